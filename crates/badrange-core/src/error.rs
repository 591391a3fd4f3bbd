use core::fmt;

/// Why a range could not be built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RangeErrorKind {
    /// The length is zero; an extent is never empty.
    Empty,
    /// `start + len` does not fit in 64 bits.
    Overflow,
    /// The end lies before the start.
    Reversed,
    /// A stride smaller than the element would make the elements of a run overlap.
    Overlapping,
    /// A length or start that has to be a multiple of a unit is not.
    Unaligned,
    /// The two sides of a piece differ in shape (element length or count).
    Shape,
}

/// A range that cannot exist, with the numbers that were given.
///
/// # Examples
/// ```
/// use badrange_core::{Extent, RangeErrorKind, Sector};
/// let err = Extent::new(Sector::new(8), 0).unwrap_err();
/// assert_eq!(err.kind(), RangeErrorKind::Empty);
/// assert_eq!(err.to_string(), "invalid range of sectors at 0x8+0x0: length is zero");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("invalid range of {unit} at {start:#x}+{len:#x}: {}", self.reason())]
pub struct RangeError {
    kind: RangeErrorKind,
    unit: &'static str,
    start: u64,
    len: u64,
}

impl RangeError {
    #[cold]
    pub(crate) const fn new(
        kind: RangeErrorKind,
        unit: &'static str,
        start: u64,
        len: u64,
    ) -> Self {
        Self { kind, unit, start, len }
    }

    /// What was wrong; the part of the error to match on.
    #[must_use]
    pub const fn kind(&self) -> RangeErrorKind {
        self.kind
    }

    fn reason(&self) -> Reason {
        Reason(self.kind)
    }
}

struct Reason(RangeErrorKind);

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            RangeErrorKind::Empty => "length is zero",
            RangeErrorKind::Overflow => "end does not fit in 64 bits",
            RangeErrorKind::Reversed => "end lies before the start",
            RangeErrorKind::Overlapping => "stride is smaller than the element",
            RangeErrorKind::Unaligned => "not a multiple of the unit",
            RangeErrorKind::Shape => "the two sides differ in element length or count",
        })
    }
}
