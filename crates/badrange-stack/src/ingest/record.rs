//! What goes in, and what comes out.

use core::fmt;

use badrange_core::{DeviceId, Extent, MfFlags};

/// A failure on its way to a [`Stack`](crate::Stack).
///
/// Displays as the bytes that failed; the circumstances are not shown.
///
/// # Examples
/// ```
/// use badrange_core::{DevOffset, DeviceId, Extent, MfFlags};
/// use badrange_stack::Failure;
/// let failure = Failure {
///     device: DeviceId::new(0, 3, 7), // as the stack gave it
///     range: Extent::new(DevOffset::new(0x1000), 0x1000)?,
///     flags: MfFlags::ACTION_REQUIRED,
/// };
/// assert_eq!(failure.to_string(), "device 3.7 [0x1000..0x2000)");
/// # Ok::<(), badrange_core::RangeError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Failure {
    /// The device that the failure is named on. Physical memory is one, too.
    pub device: DeviceId,
    /// Which bytes of it failed.
    pub range: Extent,
    /// The circumstances.
    pub flags: MfFlags,
}

impl Failure {
    /// Whether they have a byte in common.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        self.device == other.device && self.range.intersect(other.range).is_some()
    }

    /// Whether one range can stand for both and names no other byte.
    fn meets(&self, other: &Self) -> bool {
        self.device == other.device && self.range.union(other.range).is_some()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (start, end) = (self.range.start().get(), self.range.end().get());
        write!(f, "{} [{start:#x}..{end:#x})", self.device)
    }
}

/// What was done with a failure that was put in.
///
/// # Examples
/// See [`EventQueue`](crate::EventQueue).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pushed {
    /// It has a place of its own.
    Queued,
    /// It continues or repeats one that waits: same device, same flags.
    Merged,
    /// There was no room: it will be part of a LOST record.
    Lost,
}

/// What a consumer takes out of an [`EventQueue`](crate::EventQueue), a
/// [`Coalescer`](crate::Coalescer) or a [`PageStorm`](crate::PageStorm).
///
/// # Examples
/// ```
/// use badrange_core::MfFlags;
/// use badrange_stack::QueueRecord;
/// let record = QueueRecord::LostAnywhere { flags: MfFlags::NONE, reports: 1 };
/// assert_eq!(record.to_string(), "LOST 1 report anywhere");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum QueueRecord {
    /// Every byte of this range failed, under these circumstances.
    Failed {
        /// The failure.
        failure: Failure,
        /// How many reports it stands for.
        reports: u64,
    },
    /// Failures were reported in this range and could not be kept. Every byte that they named lies
    /// inside it; which those are is not known any more: look at the source itself.
    Lost {
        /// The range, and every flag that any of them had.
        failure: Failure,
        /// How many reports were lost.
        reports: u64,
    },
    /// Failures were reported that could not be kept, on more devices than there are places for
    /// LOST records: look at everything.
    LostAnywhere {
        /// Every flag that any of them had.
        flags: MfFlags,
        /// How many reports were lost.
        reports: u64,
    },
}

impl QueueRecord {
    /// How many reports the record stands for.
    #[must_use]
    pub fn reports(&self) -> u64 {
        match self {
            Self::Failed { reports, .. }
            | Self::Lost { reports, .. }
            | Self::LostAnywhere { reports, .. } => *reports,
        }
    }
}

impl fmt::Display for QueueRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lost = |f: &mut fmt::Formatter<'_>, reports: u64| {
            write!(f, "LOST {reports} report{}", if reports == 1 { "" } else { "s" })
        };
        match self {
            Self::Failed { failure, .. } => write!(f, "failed: {failure}"),
            Self::Lost { failure, reports } => {
                lost(f, *reports)?;
                write!(f, " within {failure}")
            }
            Self::LostAnywhere { reports, .. } => {
                lost(f, *reports)?;
                f.write_str(" anywhere")
            }
        }
    }
}

/// A failure, or several that became one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) failure: Failure,
    pub(super) reports: u64,
}

impl Item {
    /// One report of this failure.
    pub(super) const fn new(failure: Failure) -> Self {
        Self { failure, reports: 1 }
    }

    /// Whether one record can stand for both and says nothing that neither says.
    pub(super) fn continues(&self, other: &Self) -> bool {
        self.failure.flags == other.failure.flags && self.failure.meets(&other.failure)
    }

    /// Takes another one of the same device in: covers both, and whatever lies between.
    pub(super) fn absorb(&mut self, other: &Self) {
        debug_assert_eq!(self.failure.device, other.failure.device, "one range is on one device");
        self.failure.range = self.failure.range.hull(other.failure.range);
        self.failure.flags = self.failure.flags.with(other.failure.flags);
        self.reports = self.reports.saturating_add(other.reports);
    }
}
