use core::{fmt, ops::ControlFlow};

use badrange_core::{DevOffset, DeviceId, Extent, Fallback, Holder, MfFlags, PhysAddr, Space};

use crate::{
    BadRange, Failure, HolderId, Report, Stack,
    dispatch::{self, Entrance},
    sync::{InCallback, Kept},
    table::{Above, Table},
    topology::Topology,
};

/// A way into a [`Stack`] for one thread that reports many failures.
///
/// The reporting functions of the stack look the current picture up for every event; a reporter
/// keeps it, and only looks whether there is a newer one. What an event sees is the same.
///
/// The price: a reporter that rests keeps the picture of its last event, and so every holder that
/// was registered then. [`rest`](Self::rest) lets go of what has ended since.
///
/// # Concurrency
/// As [`Stack`]. One event at a time; a clone is a reporter of its own, for another thread.
///
/// # Cost
/// Beside the calls of holders: one load of a word that changes when the stack does.
///
/// # Examples
/// ```
/// use std::sync::Arc;
/// use badrange_core::*;
/// use badrange_stack::{DeviceSpec, Stack};
///
/// struct Told;
/// impl Holder for Told {
///     fn corrupted_range(&self, _: &Corruption<'_>) -> Outcome { Outcome::Handled }
/// }
///
/// let all = Extent::new(DevOffset::new(0), 1 << 20)?;
/// let stack = Stack::new();
/// let disk = stack.add_device(DeviceSpec::base("disk", all))?;
/// let mut reporter = stack.reporter();
/// let registration = stack.register(disk, all, Arc::new(Told))?;
/// let page = Extent::new(DevOffset::new(4096), 4096)?;
/// assert_eq!(reporter.notify_failure(disk, page, MfFlags::NONE).handled_bytes(), 4096);
/// drop(registration);
/// assert_eq!(reporter.notify_failure(disk, page, MfFlags::NONE).handled_bytes(), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Reporter {
    stack: Stack,
    picture: Kept<Topology>,
}

impl Stack {
    /// A way into this stack for one thread that reports many failures.
    #[must_use]
    pub fn reporter(&self) -> Reporter {
        Reporter { stack: self.clone(), picture: self.inner().keep() }
    }
}

impl Reporter {
    /// As [`Stack::memory_failure_range`].
    pub fn memory_failure_range(
        &mut self,
        bad: Extent<PhysAddr>,
        flags: MfFlags,
        fallback: &dyn Fallback,
    ) -> Report {
        self.event(Entrance::Memory { bad, fallback }, flags)
    }

    /// As [`Stack::notify_failure`].
    pub fn notify_failure(
        &mut self,
        device: DeviceId,
        bad: Extent<DevOffset>,
        flags: MfFlags,
    ) -> Report {
        self.event(Entrance::Device { device, bad }, flags)
    }

    /// As [`Stack::report`].
    pub fn report(&mut self, failure: Failure, fallback: &dyn Fallback) -> Report {
        match failure.range {
            BadRange::Memory(bad) => self.memory_failure_range(bad, failure.flags, fallback),
            BadRange::Device(device, bad) => self.notify_failure(device, bad, failure.flags),
        }
    }

    /// Visits everybody who is registered directly on a device and has bytes of `range`, in the
    /// order in which an event tells them. Nothing climbs and nothing is accounted for: the bare
    /// registry, for whoever brings an own way to notify.
    ///
    /// A visit is a call into the holder as far as its registration is concerned: whoever ends that
    /// waits until the visitor has returned, and inside a visitor nobody waits.
    ///
    /// # Kernel
    /// `for_each_range_owner()` of the proposed ranged `memory_failure()`.
    ///
    /// # Examples
    /// ```
    /// # use std::sync::Arc;
    /// # use badrange_core::*;
    /// # use badrange_stack::{DeviceSpec, Stack};
    /// # use core::ops::ControlFlow;
    /// # struct Mine;
    /// # impl Holder for Mine {
    /// #     fn corrupted_range(&self, _: &Corruption<'_>) -> Outcome { Outcome::Handled }
    /// # }
    /// # let at = |start, len| Extent::new(DevOffset::new(start), len).unwrap();
    /// # let stack = Stack::new();
    /// # let disk = stack.add_device(DeviceSpec::base("disk", at(0, 4096))).unwrap();
    /// let mine = stack.register(disk, at(0, 512), Arc::new(Mine)).unwrap();
    /// let mut found = Vec::new();
    /// let _ = stack.reporter().each_holder(disk, at(256, 512), |registered| {
    ///     found.push((registered.id, registered.part));
    ///     ControlFlow::Continue(())
    /// });
    /// assert_eq!(found, [(mine.id(), at(256, 256))]);
    /// ```
    pub fn each_holder(
        &mut self,
        device: DeviceId,
        range: Extent<DevOffset>,
        visit: impl FnMut(Registered<'_, DevOffset>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let key = self.stack.inner().key();
        match self.picture.now().device(device) {
            Some(on) => each(&on.table, range, key, visit),
            None => ControlFlow::Continue(()),
        }
    }

    /// The same for the owners of physical memory.
    pub fn each_owner(
        &mut self,
        range: Extent<PhysAddr>,
        visit: impl FnMut(Registered<'_, PhysAddr>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let key = self.stack.inner().key();
        each(&self.picture.now().memory, range, key, visit)
    }

    /// Keeps the picture of now, and lets go of the one before: so that holders whose
    /// registrations have ended are released although no event comes.
    pub fn rest(&mut self) {
        let _ = self.picture.now();
    }

    /// The stack it reports to.
    #[must_use]
    pub fn stack(&self) -> &Stack {
        &self.stack
    }

    fn event(&mut self, entrance: Entrance<'_>, flags: MfFlags) -> Report {
        dispatch::run(self.stack.inner(), self.picture.now(), entrance, flags, &mut ())
    }
}

/// Visits the holders of one table. A registration that has ended meanwhile is none.
fn each<S: Space>(
    table: &Table<S>,
    range: Extent<S>,
    key: usize,
    mut visit: impl FnMut(Registered<'_, S>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    table.overlapping(range, &mut |entry| {
        let Above::Holder(slot) = &entry.above else { return ControlFlow::Continue(()) };
        let Some(part) = entry.range.intersect(range) else { return ControlFlow::Continue(()) };
        let Some(inside) = slot.gate.enter() else { return ControlFlow::Continue(()) };
        let _inside = (!mutant!("visit_leaves_first")).then_some(inside);
        let _callback = InCallback::enter(key);
        visit(Registered { id: slot.id, part, holder: &*slot.holder })
    })
}

/// Somebody who is registered on a part of what was asked for.
///
/// # Examples
/// See [`Reporter::each_holder`].
#[derive(Clone, Copy)]
pub struct Registered<'a, S: Space> {
    /// The registration.
    pub id: HolderId,
    /// What of the asked range it was registered for; clipped exactly.
    pub part: Extent<S>,
    /// The holder.
    pub holder: &'a dyn Holder<S>,
}

impl<S: Space> fmt::Debug for Registered<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registered")
            .field("id", &self.id)
            .field("part", &self.part)
            .finish_non_exhaustive()
    }
}

impl Clone for Reporter {
    fn clone(&self) -> Self {
        self.stack.reporter()
    }
}

impl fmt::Debug for Reporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reporter").field("stack", &self.stack).finish_non_exhaustive()
    }
}
