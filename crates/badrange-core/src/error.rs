use core::fmt;

/// Why a range could not be built.
///
/// # Examples
/// ```
/// use badrange_core::{Extent, RangeErrorKind, Sector};
/// let err = Extent::from_bounds(Sector::new(9), Sector::new(8)).unwrap_err();
/// assert_eq!(err.kind(), RangeErrorKind::Reversed);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RangeErrorKind {
    /// The length is zero, or the count; neither an extent nor a run is ever empty.
    Empty,
    /// The end does not fit in 64 bits.
    Overflow,
    /// The end lies before the start.
    Reversed,
    /// A stride smaller than the element would make the elements of a run overlap.
    Overlapping,
    /// A size has to be a power of two of at least 512.
    PowerOfTwo,
    /// The two sides of a link differ in shape (element length or count).
    Shape,
}

/// A range that cannot exist, with the numbers that were given.
///
/// # Examples
/// ```
/// use badrange_core::{DevOffset, Extent, Run, RangeErrorKind, Sector};
/// let err = Extent::new(Sector::new(8), 0).unwrap_err();
/// assert_eq!(err.kind(), RangeErrorKind::Empty);
/// assert_eq!(err.to_string(), "invalid range of sectors at 0x8+0x0: length is zero");
/// let err = Extent::from_bounds(Sector::new(9), Sector::new(8)).unwrap_err();
/// assert_eq!(err.to_string(), "invalid range of sectors [0x9..0x8): end lies before the start");
/// let err = Run::new(Extent::new(DevOffset::new(0), 16)?, 8, 3).unwrap_err();
/// assert_eq!(
///     err.to_string(),
///     "invalid run of device bytes at 0x0+0x10 x3 every 0x8: stride is smaller than the element",
/// );
/// # Ok::<(), badrange_core::RangeError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{given}: {}", self.reason())]
pub struct RangeError {
    kind: RangeErrorKind,
    given: Given,
}

/// What was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Given {
    Extent { unit: &'static str, start: u64, len: u64 },
    Bounds { unit: &'static str, start: u64, end: u64 },
    Run { unit: &'static str, start: u64, len: u64, stride: u64, count: u64 },
    Shapes { lower: (u64, u64), upper: (u64, u64) },
    Size { unit: &'static str, bytes: u64 },
}

impl RangeError {
    #[cold]
    pub(crate) const fn extent(
        kind: RangeErrorKind,
        unit: &'static str,
        start: u64,
        len: u64,
    ) -> Self {
        Self { kind, given: Given::Extent { unit, start, len } }
    }

    #[cold]
    pub(crate) const fn reversed(unit: &'static str, start: u64, end: u64) -> Self {
        Self { kind: RangeErrorKind::Reversed, given: Given::Bounds { unit, start, end } }
    }

    #[cold]
    pub(crate) const fn run(
        kind: RangeErrorKind,
        unit: &'static str,
        start: u64,
        len: u64,
        stride: u64,
        count: u64,
    ) -> Self {
        Self { kind, given: Given::Run { unit, start, len, stride, count } }
    }

    /// Of two runs of other shape: element length and count of each.
    #[cold]
    pub(crate) const fn shapes(lower: (u64, u64), upper: (u64, u64)) -> Self {
        Self { kind: RangeErrorKind::Shape, given: Given::Shapes { lower, upper } }
    }

    #[cold]
    pub(crate) const fn size(unit: &'static str, bytes: u64) -> Self {
        Self { kind: RangeErrorKind::PowerOfTwo, given: Given::Size { unit, bytes } }
    }

    /// What was wrong; the part of the error to match on.
    #[must_use]
    pub const fn kind(&self) -> RangeErrorKind {
        self.kind
    }

    const fn reason(&self) -> &'static str {
        match self.kind {
            RangeErrorKind::Empty if matches!(self.given, Given::Run { .. }) => "count is zero",
            RangeErrorKind::Empty => "length is zero",
            RangeErrorKind::Overflow => "end does not fit in 64 bits",
            RangeErrorKind::Reversed => "end lies before the start",
            RangeErrorKind::Overlapping => "stride is smaller than the element",
            RangeErrorKind::PowerOfTwo => "not a power of two of at least 512",
            RangeErrorKind::Shape => "the two sides differ in element length or count",
        }
    }
}

impl fmt::Display for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Extent { unit, start, len } => {
                write!(f, "invalid range of {unit} at {start:#x}+{len:#x}")
            }
            Self::Bounds { unit, start, end } => {
                write!(f, "invalid range of {unit} [{start:#x}..{end:#x})")
            }
            Self::Run { unit, start, len, stride, count } => {
                write!(f, "invalid run of {unit} at {start:#x}+{len:#x} x{count} every {stride:#x}")
            }
            Self::Shapes { lower: (len, count), upper: (above, of) } => {
                write!(f, "invalid link of {len:#x} x{count} to {above:#x} x{of}")
            }
            Self::Size { unit, bytes } => {
                write!(f, "invalid size of {bytes} {unit}")
            }
        }
    }
}

/// Text that is not what it should be.
///
/// # Examples
/// ```
/// use badrange_core::Sector;
/// let err = "12q".parse::<Sector>().unwrap_err();
/// assert_eq!(err.to_string(), "no number of sectors: \"12q\"");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no {}: {text:?}", self.expected)]
pub struct FromTextError {
    expected: alloc::string::String,
    text: alloc::string::String,
}

impl FromTextError {
    /// Of text that should be a number of `unit`.
    #[cold]
    pub(crate) fn new(unit: &str, text: &str) -> Self {
        Self::expecting(alloc::format!("number of {unit}"), text)
    }

    #[cold]
    pub(crate) fn expecting(expected: impl Into<alloc::string::String>, text: &str) -> Self {
        Self { expected: expected.into(), text: text.into() }
    }
}
