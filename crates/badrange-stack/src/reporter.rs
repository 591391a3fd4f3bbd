use core::fmt;

use badrange_core::{DevOffset, DeviceId, Extent, Fallback, MfFlags, PhysAddr};

use crate::{
    BadRange, Failure, Report, Stack,
    dispatch::{self, Entrance},
    sync::Kept,
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
