use core::fmt;
use std::borrow::Cow;

/// Why an interleave was refused.
///
/// # Examples
/// ```
/// use badrange_block::interleave::{Granularity, InterleaveErrorKind};
/// let err = Granularity::new(100).unwrap_err();
/// assert_eq!(err.kind(), InterleaveErrorKind::Granularity);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum InterleaveErrorKind {
    /// No decoder goes over so many devices.
    Ways,
    /// No decoder has granules of that length.
    Granularity,
    /// The size does not divide into whole granules on every device.
    Uneven,
    /// The region begins where its granules could not.
    Misaligned,
    /// A range does not fit: beyond 64 bits, or more on one device than a decoder can address.
    Overflow,
    /// Fewer XOR maps than the window's ways need.
    XorCount,
    /// An XOR map that cannot be undone, or that would tear granules apart.
    XorMap,
    /// A poison record of no bytes.
    Empty,
}

/// An interleave that was refused: what, and what to do.
///
/// # Examples
/// ```
/// use badrange_block::interleave::Ways;
/// assert_eq!(
///     Ways::from_encoded(7).unwrap_err().to_string(),
///     "interleave ways 0x7: expected 1, 2, 3, 4, 6, 8, 12 or 16 ways (encoded 0 to 4 and 8 to 10)",
/// );
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterleaveError {
    kind: InterleaveErrorKind,
    value: u64,
    hint: Cow<'static, str>,
}

impl InterleaveError {
    #[cold]
    pub(super) fn new(
        kind: InterleaveErrorKind,
        value: u64,
        hint: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { kind, value, hint: hint.into() }
    }

    /// What was wrong; the part of the error to match on.
    #[must_use]
    pub const fn kind(&self) -> InterleaveErrorKind {
        self.kind
    }

    /// The number that was refused.
    #[must_use]
    pub const fn value(&self) -> u64 {
        self.value
    }
}

impl fmt::Display for InterleaveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            InterleaveErrorKind::Ways => "interleave ways",
            InterleaveErrorKind::Granularity => "interleave granularity",
            InterleaveErrorKind::Uneven => "region size",
            InterleaveErrorKind::Misaligned => "region base",
            InterleaveErrorKind::Overflow => "range at",
            InterleaveErrorKind::XorCount => "number of XOR maps",
            InterleaveErrorKind::XorMap => "XOR map",
            InterleaveErrorKind::Empty => "poison record of length",
        };
        write!(f, "{what} {:#x}: expected {}", self.value, self.hint)
    }
}

impl core::error::Error for InterleaveError {}
