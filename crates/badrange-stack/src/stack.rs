use core::fmt;

use badrange_core::{
    DevOffset, DeviceId, Extent, Fallback, Holder, Mapping, MfFlags, PhysAddr, Space,
};

use crate::{
    BadRange, DeviceSpec, Failure, Limits, Observer, RegisterError, RegisterErrorKind, Report,
    TopologyError, WouldDeadlock,
    dispatch::{self, Entrance},
    edit::{self, Numbers},
    sync::{Arc, Gate, InCallback, Kept, Mutex, Snapshot},
    table::{Above, Entry, HolderSlot, Key, Table},
    topology::Topology,
};

/// A stack of devices, who registered on them, and the engine that tells them.
///
/// A handle: clones are the same stack.
///
/// # Concurrency
/// * An event (a call of one of the reporting functions) walks through one picture of the stack,
///   taken when it begins: all of what was registered, added or reloaded before, nothing of what
///   comes later, never a mix. It sees every registration that returned before the event began.
/// * Events do not wait for one another, nor for registrations; a registration never waits for an
///   event. Only [`Registration::unregister`], [`Detached::wait`], dropping a [`Registration`] and
///   [`remove_device`](Self::remove_device) wait, for calls into the holders that they end.
/// * Two events that overlap in time have no order between them, and may call one holder at the
///   same time. When one returned before the other began, so did all of its calls.
/// * Holders are called with no lock held, and may use the stack freely. What the stack was given
///   it drops with no lock held either, on whichever thread lets go of it last.
///
/// # Examples
/// Whoever holds a part of a device is told its own bytes, and what nobody handles falls back:
/// ```
/// use std::sync::{Arc, Mutex};
/// use badrange_core::*;
/// use badrange_stack::{DeviceSpec, Stack};
///
/// #[derive(Default)]
/// struct Mine(Mutex<Vec<Extent<DevOffset>>>);
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
/// let report = stack.notify_failure(disk, at(0, 8192), MfFlags::NONE);
/// assert_eq!(*mine.0.lock().unwrap(), [at(4096, 4096)]); // clipped to the registration
/// assert_eq!(report.handled_bytes(), 4096);
/// let rest: Vec<_> = report.remainder().collect();
/// assert_eq!(rest, [Extent::new(ReportOffset::new(0), 4096)?.into()]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Stack {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) limits: Limits,
    published: Snapshot<Topology>,
    /// LOCKING: held while the next picture is made and published, never while calling out: not
    /// even for dropping what others gave us, who may edit the stack in turn.
    writer: Mutex<Numbers>,
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
        let picture = self.inner.picture();
        let names: Vec<_> = picture.devices.iter().map(|(_, d)| &d.name).collect();
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
        let published = Snapshot::new(Topology::default());
        let writer = Mutex::new(Numbers::default());
        Self { inner: Arc::new(Inner { limits, published, writer }) }
    }

    /// Adds a device on top of devices that are there, or at the bottom.
    ///
    /// Cost: `O(devices + entries on the lower devices)`.
    ///
    /// # Errors
    /// A [`TopologyError`] when the name is taken, a leg does not exist or does not fit, or a
    /// limit is reached. The stack is then as it was.
    pub fn add_device(&self, spec: DeviceSpec) -> Result<DeviceId, TopologyError> {
        self.inner
            .edit(|picture, numbers| edit::add_device(picture, &spec, &self.inner.limits, numbers))
    }

    /// Replaces a device's table and legs, as `dmsetup suspend; load; resume` does: an event sees
    /// the old table or the new one as a whole.
    ///
    /// # Errors
    /// As [`add_device`](Self::add_device), and when the new legs would lie on the device itself,
    /// when the device has no table, and when a registration or an upper device lies beyond the
    /// end of the new table.
    pub fn reload(
        &self,
        device: DeviceId,
        mapping: Arc<dyn Mapping>,
        legs: impl Into<Arc<[DeviceId]>>,
    ) -> Result<(), TopologyError> {
        let (limits, legs) = (&self.inner.limits, legs.into());
        if mutant!("reload_in_two_steps") {
            self.inner.edit(|picture, _| edit::take_out(picture, device).map(|next| (next, ())))?;
        }
        self.inner.edit(|picture, numbers| {
            edit::reload(picture, device, &mapping, legs, limits, numbers).map(|next| (next, ()))
        })
    }

    /// Removes a device on which no other device lies.
    ///
    /// From the first moment nothing can be registered on it any more. Then its holders are told
    /// that all of it goes away ([`MfFlags::MEM_PRE_REMOVE`]), and they are detached. Returns when
    /// no call into them is running; inside a callback it does not wait. The report says what
    /// they answered.
    ///
    /// # Errors
    /// A [`TopologyError`] when the device does not exist, is being removed already, or carries
    /// another device.
    ///
    /// # Kernel
    /// `kill_dax()`, which tells the holder `(0, U64_MAX, MF_MEM_PRE_REMOVE)`.
    pub fn remove_device(&self, device: DeviceId) -> Result<Report, TopologyError> {
        self.inner.edit(|picture, _| Ok((edit::begin_removal(picture, device)?, ())))?;
        let extent = self.device_extent(device);
        let bad = extent
            .ok_or_else(|| TopologyError::of_id(crate::TopologyErrorKind::UnknownDevice, device))?;
        let report = self.notify_failure(device, bad, MfFlags::MEM_PRE_REMOVE);
        let removed = self
            .inner
            .edit(|picture, _| Ok::<_, TopologyError>(edit::finish_removal(picture, device)))?;
        let removed = removed.filter(|_| !mutant!("removal_leaves_gates_open"));
        let gates: Vec<_> = removed.iter().flat_map(|d| gates(&d.table)).collect();
        gates.iter().for_each(|gate| gate.close());
        if InCallback::depth(self.inner.key()) == 0 {
            gates.iter().for_each(|gate| gate.wait());
        }
        Ok(report)
    }

    /// Registers a holder on a part of a device.
    ///
    /// Not exclusive: ranges may overlap, and each holder is told what is its own. Holders on one
    /// device are told in the order of (start, registration).
    ///
    /// # Errors
    /// A [`RegisterError`] when the device does not exist or goes away, the range reaches beyond
    /// it, or the limit is reached.
    pub fn register(
        &self,
        device: DeviceId,
        range: Extent<DevOffset>,
        holder: Arc<dyn Holder>,
    ) -> Result<Registration, RegisterError> {
        let place = Place::Device(device, range.start());
        self.inner.edit(|mut picture, numbers| {
            let on = edit::device_for(&picture, device, &range)?;
            edit::check_range(&on.table, Some(on.extent), range, &self.inner.limits)
                .map_err(|kind| RegisterError::new(kind, Arc::clone(&on.name), range))?;
            let (entry, registration) = self.entry(range, &holder, place, numbers);
            picture.edit_table(device, |table| table.with(entry));
            Ok((picture, registration))
        })
    }

    /// Registers an owner of a range of physical memory.
    ///
    /// # Errors
    /// A [`RegisterError`] when the limit is reached.
    pub fn register_memory(
        &self,
        range: Extent<PhysAddr>,
        holder: Arc<dyn Holder<PhysAddr>>,
    ) -> Result<Registration, RegisterError> {
        self.inner.edit(|mut picture, numbers| {
            edit::check_range(&picture.memory, None, range, &self.inner.limits)
                .map_err(|kind: RegisterErrorKind| RegisterError::new(kind, "memory", range))?;
            let (entry, registration) =
                self.entry(range, &holder, Place::Memory(range.start()), numbers);
            picture.memory = picture.memory.with(entry);
            Ok((picture, registration))
        })
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.inner
    }

    fn entry<S: Space>(
        &self,
        range: Extent<S>,
        holder: &Arc<dyn Holder<S>>,
        place: Place,
        numbers: &mut Numbers,
    ) -> (Entry<S>, Registration) {
        let order = numbers.order();
        let (id, gate) = (HolderId(order), Arc::new(Gate::default()));
        let slot = HolderSlot { id, holder: Arc::clone(holder), gate: Arc::clone(&gate) };
        let entry = Entry { range, order, above: Above::Holder(slot) };
        let inner = Arc::clone(&self.inner);
        (entry, Registration { id, place, inner, gate, ended: false })
    }

    /// A range of physical memory failed: tells every owner, lets `fallback` run page by page on
    /// what nobody handled, and has every failed page unmapped.
    ///
    /// In this order: owners and holders, fallback, unmapping. With
    /// [`MfFlags::MEM_PRE_REMOVE`] nothing is poisoned: neither fallback nor unmapping.
    ///
    /// # Kernel
    /// The ranged `memory_failure()` that was proposed (`memory_failure_range`,
    /// `for_each_range_owner`, `notify_range_owner`, `fail_each_pfn`).
    pub fn memory_failure_range(
        &self,
        bad: Extent<PhysAddr>,
        flags: MfFlags,
        fallback: &dyn Fallback,
    ) -> Report {
        self.memory_failure_range_observed(bad, flags, fallback, &mut ())
    }

    /// [`memory_failure_range`](Self::memory_failure_range), step by step before the eyes of an
    /// observer.
    pub fn memory_failure_range_observed(
        &self,
        bad: Extent<PhysAddr>,
        flags: MfFlags,
        fallback: &dyn Fallback,
        observer: &mut dyn Observer,
    ) -> Report {
        let picture = self.inner.published.peek();
        dispatch::run(&self.inner, &picture, Entrance::Memory { bad, fallback }, flags, observer)
    }

    /// A range of a device failed: tells whoever is above. There are no pfns to fall back on; the
    /// remainder is only reported. A device that does not exist (any more) has nobody above.
    ///
    /// # Kernel
    /// `dax_holder_notify_failure()`.
    pub fn notify_failure(
        &self,
        device: DeviceId,
        bad: Extent<DevOffset>,
        flags: MfFlags,
    ) -> Report {
        self.notify_failure_observed(device, bad, flags, &mut ())
    }

    /// [`notify_failure`](Self::notify_failure), step by step before the eyes of an observer.
    pub fn notify_failure_observed(
        &self,
        device: DeviceId,
        bad: Extent<DevOffset>,
        flags: MfFlags,
        observer: &mut dyn Observer,
    ) -> Report {
        let picture = self.inner.published.peek();
        dispatch::run(&self.inner, &picture, Entrance::Device { device, bad }, flags, observer)
    }

    /// Reports a failure that waited in an [`EventQueue`](crate::EventQueue), in memory or on a
    /// device; `fallback` runs for memory only.
    pub fn report(&self, failure: Failure, fallback: &dyn Fallback) -> Report {
        match failure.range {
            BadRange::Memory(bad) => self.memory_failure_range(bad, failure.flags, fallback),
            BadRange::Device(device, bad) => self.notify_failure(device, bad, failure.flags),
        }
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
    pub fn device_extent(&self, device: DeviceId) -> Option<Extent<DevOffset>> {
        self.inner.published.peek().device(device).map(|d| d.extent)
    }
}

impl Inner {
    /// What identifies this registry among the callbacks of a thread.
    pub(crate) fn key(&self) -> usize {
        core::ptr::from_ref(self).addr()
    }

    /// A place that keeps the picture of now.
    pub(crate) fn keep(&self) -> Kept<Topology> {
        self.published.keep()
    }

    /// The picture of now.
    pub(crate) fn picture(&self) -> Arc<Topology> {
        self.published.load()
    }

    /// Makes the next picture and publishes it, unless `edit` fails.
    fn edit<T, E>(
        &self,
        edit: impl FnOnce(Topology, &mut Numbers) -> Result<(Topology, T), E>,
    ) -> Result<T, E> {
        let early = mutant!("load_before_lock").then(|| self.picture());
        let mut numbers = self.writer.lock();
        let now = early.unwrap_or_else(|| self.picture());
        let (next, value) = edit(Topology::clone(&now), &mut numbers)?;
        let old = self.published.swap(next);
        drop(numbers);
        // Only now: with the last picture that knows a holder goes the holder, and whatever it
        // does when it is dropped, edits of this stack included.
        drop((now, old));
        Ok(value)
    }
}

fn taken_out<S: Space>(table: &Table<S>, key: Key<S>) -> Table<S> {
    if mutant!("end_clears_table") {
        return Table::default();
    }
    table.without(key)
}

fn gates<S: Space>(table: &Table<S>) -> Vec<Arc<Gate>> {
    let mut gates = Vec::new();
    table.each(&mut |entry| match &entry.above {
        Above::Holder(slot) => gates.push(Arc::clone(&slot.gate)),
        Above::Device { .. } => {}
    });
    gates
}

/// Where a registration's entry begins; with its age, that is its key.
#[derive(Debug, Clone, Copy)]
enum Place {
    Memory(PhysAddr),
    Device(DeviceId, DevOffset),
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
/// assert_eq!(stack.notify_failure(disk, all, MfFlags::NONE).counts().told, 1);
/// registration.unregister().expect("not inside a callback");
/// assert_eq!(stack.notify_failure(disk, all, MfFlags::NONE).counts().told, 0);
/// ```
#[must_use = "dropping a registration ends it"]
pub struct Registration {
    id: HolderId,
    place: Place,
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
        // The gate first: from here on not even an event with an older picture gets in.
        self.gate.close();
        let order = self.id.0;
        let _ = self.inner.edit(|mut picture, _| {
            match self.place {
                Place::Memory(start) => picture.memory = taken_out(&picture.memory, (start, order)),
                Place::Device(id, start) => {
                    picture.edit_table(id, |table| taken_out(table, (start, order)));
                }
            }
            Ok::<_, core::convert::Infallible>((picture, ()))
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
        if InCallback::depth(self.inner.key()) > 0 && !mutant!("wait_in_callback") {
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
