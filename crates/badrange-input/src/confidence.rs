use core::fmt;

/// How well a text that names a bad range knows its extent.
///
/// # Examples
/// ```
/// use badrange_input::Confidence;
/// assert_eq!(Confidence::AtMost.as_str(), "at-most");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Confidence {
    /// Exactly these bytes are bad.
    Exact,
    /// These bytes are bad, and more may be.
    AtLeast,
    /// The damage is somewhere inside.
    AtMost,
    /// Only the start is known.
    UnknownExtent,
    /// The text was cut: ranges may be missing from it.
    Truncated,
}

impl Confidence {
    /// The word in every output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::AtLeast => "at-least",
            Self::AtMost => "at-most",
            Self::UnknownExtent => "unknown-extent",
            Self::Truncated => "truncated",
        }
    }
}

impl fmt::Display for Confidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
