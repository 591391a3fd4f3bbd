use core::fmt;

/// Why an array cannot be.
///
/// # Examples
/// ```
/// use badrange_block::md::{Array, ArrayErrorKind, Level};
/// let err = Array::new(Level::Raid1, 0, vec![]).unwrap_err();
/// assert_eq!(err.kind(), ArrayErrorKind::Members);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ArrayErrorKind {
    /// Too few or too many members for the level, or none present.
    Members,
    /// A chunk of no bytes, or a layout that the level does not have.
    Layout,
    /// The members have no room for a single chunk, or a member is missing that RAID 0 needs.
    Empty,
    /// The members are too short for the length of the array, or that is no whole number of stripes.
    Length,
    /// Bytes beyond 64 bits.
    Overflow,
}

/// An array that cannot be, and why.
///
/// # Examples
/// ```
/// use badrange_block::md::{Array, Level, Member};
/// use badrange_core::{DevOffset, Extent};
/// let member = Member::in_sync(Extent::new(DevOffset::new(0), 4096)?);
/// let err = Array::new(Level::Raid1, 0, vec![Some(member); 5000]).unwrap_err();
/// assert_eq!(err.to_string(), "5000 members: at most 4096");
/// # Ok::<(), badrange_core::RangeError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArrayError {
    kind: ArrayErrorKind,
    message: String,
}

impl ArrayError {
    #[cold]
    pub(crate) fn new(kind: ArrayErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// What was wrong; the part of the error to match on.
    #[must_use]
    pub const fn kind(&self) -> ArrayErrorKind {
        self.kind
    }
}

impl fmt::Display for ArrayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl core::error::Error for ArrayError {}
