use core::{convert::Infallible, fmt};

use badrange_core::{DevOffset, DeviceId, Extent, Holder, Mapping, MfFlags};

use crate::{
    DeviceSpec, Failure, Limits, NoDevice, Observer, RegisterError, Report, TopologyError,
    WouldDeadlock, dispatch, edit,
    edit::Writer,
    sync::{Arc, Gate, InCallback, Mutex, Published, next_stack_number},
    topology::Topology,
};

/// A stack of devices, who registered on them, and the engine that tells them.
///
/// A handle: clones are the same stack.
///
/// # Concurrency
/// * An event (a call of [`fail`](Self::fail)) walks through one snapshot of the stack, taken when
///   it begins: all of what was registered, added or reloaded before, nothing of what
///   comes later, never a mix. It sees every registration that returned before the event began.
/// * Events do not wait for one another, nor for registrations; a registration never waits for an
///   event. Only [`Registration::unregister`], [`Detached::wait`], dropping a [`Registration`] and
///   [`remove_device`](Self::remove_device) wait, for calls into the holders that they end.
/// * Two events that overlap in time have no order between them, and may call one holder at the
///   same time. When one returned before the other began, so did all of its calls.
/// * Holders and fallbacks are called with no lock held, and may use the stack freely: a call of
///   either is a callback, in which nobody waits. What the stack was given
///   it drops with no lock held either, on whichever thread lets go of it last.
///
/// # Examples
/// Whoever holds a part of a device is notified of its own bytes; the rest is the remainder:
/// ```
/// use std::sync::{Arc, Mutex};
/// use badrange_core::*;
/// use badrange_stack::{DeviceSpec, Stack};
///
/// #[derive(Default)]
/// struct Mine(Mutex<Vec<Extent>>);
/// impl Holder for Mine {
///     fn corrupted_range(&self, what: &Corruption<'_>) -> Outcome {
///         self.0.lock().unwrap().extend(what.range().elements());
///         Outcome::Handled
///     }
/// }
///
/// let at = |start, len| Extent::new(DevOffset::new(start), len).unwrap();
/// let stack = Stack::new();
/// let disk = stack.add_device(DeviceSpec::base("disk", at(0, 1 << 20)))?;
/// let mine = Arc::new(Mine::default());
/// let _registration = stack.register(disk, at(4096, 8192), mine.clone())?;
///
/// let report = stack.fail(disk, at(0, 8192), MfFlags::NONE)?;
/// assert_eq!(*mine.0.lock().unwrap(), [at(4096, 4096)]); // clipped to the registration
/// assert_eq!(report.handled_bytes(), 4096);
/// let rest: Vec<_> = report.remainder().collect();
/// assert_eq!(rest, [at(0, 4096).into()]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Stack {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    /// Which of all stacks of the process: ids of devices carry it.
    pub(crate) number: u32,
    pub(crate) limits: Limits,
    published: Published<Topology>,
    /// LOCKING: held while the next snapshot is made and published, never while calling out: not
    /// even for dropping what others gave us, who may edit the stack in turn.
    writer: Mutex<Writer>,
}

/// Identifies a registration; never given twice by the same stack.
///
/// # Examples
/// ```
/// # use std::sync::Arc;
/// # use badrange_core::*;
/// # use badrange_stack::{DeviceSpec, Stack};
/// # struct Mine;
/// # impl Holder for Mine {
/// #     fn corrupted_range(&self, _: &Corruption<'_>) -> Outcome { Outcome::Handled }
/// # }
/// # let all = Extent::new(DevOffset::new(0), 4096).unwrap();
/// # let stack = Stack::new();
/// # let disk = stack.add_device(DeviceSpec::base("disk", all)).unwrap();
/// let first = stack.register(disk, all, Arc::new(Mine)).unwrap();
/// let second = stack.register(disk, all, Arc::new(Mine)).unwrap();
/// assert_ne!(first.id(), second.id());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HolderId(pub(crate) u64);

impl fmt::Display for HolderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "holder {}", self.0)
    }
}

impl Default for Stack {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let topology = self.inner.topology();
        let names: Vec<_> = topology.devices.iter().map(|(_, d)| &d.name).collect();
        f.debug_struct("Stack").field("devices", &names).finish_non_exhaustive()
    }
}

impl Stack {
    /// An empty stack with the default limits.
    #[must_use]
    pub fn new() -> Self {
        Self::with_limits(Limits::DEFAULT)
    }

    /// An empty stack with limits of its own.
    #[must_use]
    pub fn with_limits(limits: Limits) -> Self {
        let number = next_stack_number();
        let published = Published::new(Topology::default());
        let writer = Mutex::new(Writer::new(number));
        Self { inner: Arc::new(Inner { number, limits, published, writer }) }
    }

    /// Adds a device on top of devices that are there, or at the bottom.
    ///
    /// Cost: `O(devices + entries on the lower devices)`.
    ///
    /// # Errors
    /// A [`TopologyError`] when the name is taken, the device does not begin at its byte 0, a leg
    /// does not exist or does not fit, or a limit is reached. The stack is then as it was.
    pub fn add_device(&self, spec: DeviceSpec) -> Result<DeviceId, TopologyError> {
        let (limits, uses) = (&self.inner.limits, spec.uses());
        self.inner.edit(|topology, writer| edit::add_device(topology, &spec, &uses, limits, writer))
    }

    /// Replaces a device's table and legs, as `dmsetup suspend; load; resume` does: an event sees
    /// the old table or the new one as a whole. Registrations stay, and so do pages and fallback. A
    /// device that had no table gets one: physical memory when a CXL region is added to it.
    ///
    /// # Errors
    /// As [`add_device`](Self::add_device), and when the new legs would lie on the device itself,
    /// and when a registration or an upper device lies beyond the end of the new table.
    pub fn reload(
        &self,
        device: DeviceId,
        mapping: Arc<dyn Mapping>,
        legs: impl Into<Arc<[DeviceId]>>,
    ) -> Result<(), TopologyError> {
        let table = DeviceSpec::on("", mapping, legs);
        let (limits, uses) = (&self.inner.limits, table.uses());
        self.inner.edit(|topology, writer| {
            edit::reload(topology, device, &table, &uses, limits, writer).map(|next| (next, ()))
        })
    }

    /// Removes a device on which no other device lies.
    ///
    /// From the first moment nothing can be registered on it any more. Then its holders are
    /// notified that all of it goes away ([`MfFlags::MEM_PRE_REMOVE`]), and they are detached.
    /// Returns when no call into any holder that was ever registered on it is running: those whose
    /// registrations ended before are waited for, too. Inside a callback it does not wait. The
    /// report says what the holders answered.
    ///
    /// # Errors
    /// A [`TopologyError`] when the device does not exist, is being removed already, or carries
    /// another device.
    ///
    /// # Kernel
    /// `kill_dax()`, which tells the holder `(0, U64_MAX, MF_MEM_PRE_REMOVE)`.
    pub fn remove_device(&self, device: DeviceId) -> Result<Report, TopologyError> {
        let inner = &self.inner;
        let extent =
            inner.edit(|topology, writer| edit::begin_removal(topology, device, writer))?;
        let report = self.fail(device, extent, MfFlags::MEM_PRE_REMOVE);
        let gates =
            inner.edit_always(|topology, writer| edit::finish_removal(topology, device, writer));
        gates.iter().for_each(|gate| gate.close());
        if InCallback::depth(inner.key()) == 0 {
            gates.iter().for_each(|gate| gate.wait());
        }
        // Nobody else can remove the device while it is being removed.
        report.map_err(|none| {
            TopologyError::new(
                crate::TopologyErrorKind::of(none),
                device.to_string(),
                none.to_string(),
            )
        })
    }

    /// Registers a holder on a part of a device.
    ///
    /// Not exclusive: ranges may overlap, and each holder is notified of what is its own. Holders
    /// on one device are notified in the order of (start, registration).
    ///
    /// # Errors
    /// A [`RegisterError`] when the device does not exist or goes away, the range reaches beyond
    /// it, or the limit is reached.
    ///
    /// # Kernel
    /// `dax_register_holder()`, which is exclusive.
    #[doc(alias = "dax_register_holder")]
    pub fn register(
        &self,
        device: DeviceId,
        range: Extent,
        holder: Arc<dyn Holder>,
    ) -> Result<Registration, RegisterError> {
        let limits = &self.inner.limits;
        self.inner.edit(|mut topology, writer| {
            edit::check_registration(&topology, device, range, limits, writer)?;
            let (id, gate) = (HolderId(writer.order()), Arc::new(Gate::default()));
            let entry = edit::holder_entry(range, id, Arc::clone(&holder), Arc::clone(&gate));
            topology.edit_table(device, |table| table.with(entry));
            let inner = Arc::clone(&self.inner);
            let registration =
                Registration { id, device, start: range.start(), inner, gate, ended: false };
            Ok((topology, registration))
        })
    }

    /// A range of a device failed: notifies everybody above, in their own bytes; then the
    /// fallbacks of the devices with pages that the failure reached, this one's included, for the
    /// pages with bytes that nobody above handled; and has every failed page of those unmapped.
    ///
    /// The one entrance, for disks, volumes and physical memory alike. With
    /// [`MfFlags::MEM_PRE_REMOVE`] nothing is poisoned: neither fallback nor unmapping. What of the
    /// range lies past the end of the device is [`Report::outside`].
    ///
    /// # Errors
    /// [`NoDevice`] for a device of another stack, and for one that has been removed.
    ///
    /// # Kernel
    /// `dax_holder_notify_failure()`, and on the memory device the ranged `memory_failure()` that
    /// was proposed (`memory_failure_range`, `for_each_range_owner`, `notify_range_owner`,
    /// `fail_each_pfn`).
    #[doc(alias = "memory_failure_range")]
    #[doc(alias = "memory_failure")]
    #[doc(alias = "corrupted_range")]
    #[doc(alias = "notify_failure")]
    pub fn fail(
        &self,
        device: DeviceId,
        range: Extent,
        flags: MfFlags,
    ) -> Result<Report, NoDevice> {
        self.fail_observed(device, range, flags, &mut ())
    }

    /// [`fail`](Self::fail), step by step before the eyes of an observer.
    ///
    /// # Errors
    /// As [`fail`](Self::fail).
    pub fn fail_observed(
        &self,
        device: DeviceId,
        range: Extent,
        flags: MfFlags,
        observer: &mut dyn Observer,
    ) -> Result<Report, NoDevice> {
        let topology = self.inner.published.peek();
        let on = edit::known(&topology, self.inner.number, device)?;
        Ok(dispatch::run(&self.inner, &topology, on, range, flags, observer))
    }

    /// Reports a failure that waited in an [`EventQueue`](crate::EventQueue).
    ///
    /// # Errors
    /// As [`fail`](Self::fail): a device may have been removed while the failure waited.
    pub fn report(&self, failure: Failure) -> Result<Report, NoDevice> {
        self.fail(failure.device, failure.range, failure.flags)
    }

    /// The device of this name.
    #[must_use]
    pub fn device(&self, name: &str) -> Option<DeviceId> {
        self.inner.published.peek().by_name(name).map(|d| d.id)
    }

    /// The name of a device.
    #[must_use]
    pub fn device_name(&self, device: DeviceId) -> Option<Arc<str>> {
        self.inner.published.peek().device(device).map(|d| Arc::clone(&d.name))
    }

    /// The bytes that a device has.
    #[must_use]
    pub fn device_extent(&self, device: DeviceId) -> Option<Extent> {
        self.inner.published.peek().device(device).map(|d| d.extent)
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.inner
    }
}

impl Inner {
    /// What identifies this registry among the callbacks of a thread.
    pub(crate) fn key(&self) -> usize {
        core::ptr::from_ref(self).addr()
    }

    /// The snapshot of now.
    pub(crate) fn topology(&self) -> Arc<Topology> {
        self.published.load()
    }

    /// Makes the next snapshot and publishes it, unless `edit` fails.
    fn edit<T, E>(
        &self,
        edit: impl FnOnce(Topology, &mut Writer) -> Result<(Topology, T), E>,
    ) -> Result<T, E> {
        let mut writer = self.writer.lock();
        let now = self.topology();
        let (next, value) = edit(Topology::clone(&now), &mut writer)?;
        let old = self.published.swap(next);
        drop(writer);
        // Only now: with the last snapshot that knows a holder goes the holder, and whatever it
        // does when it is dropped, edits of this stack included.
        drop((now, old));
        Ok(value)
    }

    fn edit_always<T>(&self, edit: impl FnOnce(Topology, &mut Writer) -> (Topology, T)) -> T {
        let edited = self.edit(|topology, writer| Ok::<_, Infallible>(edit(topology, writer)));
        let Ok(value) = edited;
        value
    }
}

/// A holder's registration; ends when dropped.
///
/// # Concurrency
/// [`unregister`](Self::unregister) and dropping detach: from then on no new call into the holder
/// starts, whatever event is on its way. Outside every callback of this stack they then wait until
/// the calls that were running have returned. Inside a callback they never wait: two callbacks
/// that end each other's registrations would hang.
///
/// A holder object is released when the last event that began before has ended, which may be
/// later.
///
/// # Examples
/// ```
/// # use std::sync::Arc;
/// # use badrange_core::*;
/// # use badrange_stack::{DeviceSpec, Stack};
/// # struct Mine;
/// # impl Holder for Mine {
/// #     fn corrupted_range(&self, _: &Corruption<'_>) -> Outcome { Outcome::Handled }
/// # }
/// # let all = Extent::new(DevOffset::new(0), 4096).unwrap();
/// # let stack = Stack::new();
/// # let disk = stack.add_device(DeviceSpec::base("disk", all)).unwrap();
/// let registration = stack.register(disk, all, Arc::new(Mine)).unwrap();
/// assert_eq!(stack.fail(disk, all, MfFlags::NONE).unwrap().counts().notified, 1);
/// registration.unregister().expect("not inside a callback");
/// assert_eq!(stack.fail(disk, all, MfFlags::NONE).unwrap().counts().notified, 0);
/// ```
#[must_use = "dropping a registration ends it"]
pub struct Registration {
    id: HolderId,
    device: DeviceId,
    /// Where its row begins; with its age, that is the key.
    start: DevOffset,
    inner: Arc<Inner>,
    gate: Arc<Gate>,
    ended: bool,
}

impl Registration {
    /// Which registration this is, as traces name it.
    #[must_use]
    pub fn id(&self) -> HolderId {
        self.id
    }

    /// Ends the registration: no new call starts. Does not wait.
    pub fn detach(mut self) -> Detached {
        self.end()
    }

    /// Ends the registration, and returns when no call into the holder is running.
    ///
    /// # Errors
    /// [`WouldDeadlock`] inside a callback of the same stack: the registration is ended all the
    /// same, but running calls were not waited for.
    pub fn unregister(self) -> Result<(), WouldDeadlock> {
        self.detach().wait()
    }

    fn end(&mut self) -> Detached {
        self.ended = true;
        // The gate first: from here on not even an event with an older snapshot gets in.
        self.gate.close();
        let key = (self.start, self.id.0);
        self.inner.edit_always(|topology, writer| {
            (edit::unregister(topology, self.device, key, &self.gate, writer), ())
        });
        Detached { inner: Arc::clone(&self.inner), gate: Arc::clone(&self.gate) }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        if !self.ended {
            // Inside a callback nobody waits; that is what dropping promises.
            let _ = self.end().wait();
        }
    }
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registration").field("id", &self.id).finish_non_exhaustive()
    }
}

/// An ended registration whose last calls may still be running.
///
/// # Examples
/// ```
/// # use std::sync::Arc;
/// # use badrange_core::*;
/// # use badrange_stack::{DeviceSpec, Stack};
/// # struct Mine;
/// # impl Holder for Mine {
/// #     fn corrupted_range(&self, _: &Corruption<'_>) -> Outcome { Outcome::Handled }
/// # }
/// # let all = Extent::new(DevOffset::new(0), 4096).unwrap();
/// # let stack = Stack::new();
/// # let disk = stack.add_device(DeviceSpec::base("disk", all)).unwrap();
/// let detached = stack.register(disk, all, Arc::new(Mine)).unwrap().detach();
/// detached.wait().expect("not inside a callback");
/// ```
#[must_use = "calls may still be running"]
pub struct Detached {
    inner: Arc<Inner>,
    gate: Arc<Gate>,
}

impl Detached {
    /// Returns when no call into the holder is running.
    ///
    /// # Errors
    /// [`WouldDeadlock`], at once, inside a callback of the same stack.
    pub fn wait(self) -> Result<(), WouldDeadlock> {
        if InCallback::depth(self.inner.key()) > 0 {
            return Err(WouldDeadlock);
        }
        self.gate.wait();
        Ok(())
    }
}

impl fmt::Debug for Detached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Detached")
    }
}
