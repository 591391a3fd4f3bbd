use core::fmt;

use badrange_core::{DeviceId, Granules, Outcome, Run};

use crate::{HolderId, Unfollowed, sync::Arc};

/// One thing that happened to a failure on its way through the stack.
///
/// # Examples
/// ```
/// use badrange_core::{DeviceId, DevOffset, Extent, Granules, PageSize};
/// use badrange_stack::Step;
/// let bad = Extent::new(DevOffset::new(0x2_415a_b000), 64)?;
/// let pages = Granules::containing(bad, PageSize::K4);
/// let step = Step::Unmapped { device: DeviceId::new(0, 0, 1), pages };
/// assert_eq!(step.to_string(), "unmapped pfns [0x2415ab..0x2415ac)");
/// # Ok::<(), badrange_core::RangeError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// Bytes arrived at a device.
    Arrived {
        /// Devices below it on this way.
        depth: usize,
        /// The device.
        device: DeviceId,
        /// Its name.
        name: Arc<str>,
        /// The bytes, as they were reported.
        asked: Run,
        /// The same bytes on this device.
        here: Run,
    },
    /// A holder was notified.
    Notified {
        /// Devices on this way, the holder's included.
        depth: usize,
        /// The holder.
        holder: HolderId,
        /// The bytes, as they were reported.
        asked: Run,
        /// The same bytes on the holder's device.
        here: Run,
        /// What it answered for the bytes that it did not settle.
        outcome: Outcome,
    },
    /// A holder panicked; what it had not settled counts as not supported.
    Panicked {
        /// The holder.
        holder: HolderId,
    },
    /// Bytes were not followed into a device above.
    Unfollowed {
        /// Devices below the one that they are on.
        depth: usize,
        /// The bytes there.
        here: Run,
        /// Why.
        why: Unfollowed,
    },
    /// The fallback of a device ran on these pages.
    FellBack {
        /// The device.
        device: DeviceId,
        /// The pages.
        pages: Granules,
    },
    /// These pages of a device were unmapped.
    Unmapped {
        /// The device.
        device: DeviceId,
        /// The pages.
        pages: Granules,
    },
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Arrived { depth, name, here, .. } => {
                write!(f, "{:width$}{name}: {here}", "", width = indent(*depth))
            }
            Self::Notified { depth, holder, here, outcome, .. } => {
                write!(f, "{:width$}{holder}: {here}: {outcome}", "", width = indent(*depth))
            }
            Self::Panicked { holder } => write!(f, "{holder} panicked"),
            Self::Unfollowed { depth, here, why } => {
                write!(f, "{:width$}{here} not followed: {why}", "", width = indent(*depth))
            }
            Self::FellBack { pages, .. } => write!(f, "fell back on {pages}"),
            Self::Unmapped { pages, .. } => write!(f, "unmapped {pages}"),
        }
    }
}

fn indent(depth: usize) -> usize {
    depth.saturating_mul(2)
}

/// Sees every [`Step`] of an event as it happens, on the thread that reported it.
///
/// `()` looks away; a [`Trace`] keeps everything.
///
/// # Examples
/// ```
/// use badrange_stack::{Observer, Step};
/// #[derive(Default)]
/// struct Calls(u32);
/// impl Observer for Calls {
///     fn step(&mut self, step: Step) {
///         if matches!(step, Step::Notified { .. }) { self.0 += 1; }
///     }
/// }
/// ```
pub trait Observer {
    /// This just happened.
    fn step(&mut self, step: Step);

    /// Whether it wants to see steps at all; asked once, when an event begins. Steps that nobody
    /// wants are not made. Yes, if not given.
    fn watches(&self) -> bool {
        true
    }
}

impl Observer for () {
    fn step(&mut self, _: Step) {}

    fn watches(&self) -> bool {
        false
    }
}

/// Every step of an event, in order.
///
/// # Examples
/// ```
/// use badrange_core::{DevOffset, Extent, MfFlags};
/// use badrange_stack::{DeviceSpec, Stack, Trace};
/// let stack = Stack::new();
/// let disk = DeviceSpec::base("disk", Extent::new(DevOffset::new(0), 4096)?);
/// let disk = stack.add_device(disk)?;
/// let mut trace = Trace::new();
/// let bad = Extent::new(DevOffset::new(512), 512)?;
/// let report = stack.fail_observed(disk, bad, MfFlags::NONE, &mut trace)?;
/// assert_eq!(report.remainder_bytes(), 512);
/// assert_eq!(trace.to_string(), "disk: device bytes [0x200..0x400)\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trace {
    steps: Vec<Step>,
}

impl Trace {
    /// An empty trace.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What happened so far.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }
}

impl Observer for Trace {
    fn step(&mut self, step: Step) {
        self.steps.push(step);
    }
}

/// One line per step, indented by depth.
impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.steps.iter().try_for_each(|step| writeln!(f, "{step}"))
    }
}
