use core::fmt;
use std::borrow::Cow;

/// How much of an offending value an error repeats.
const SHOWN_CHARS: usize = 80;

/// Why a table was refused.
///
/// # Examples
/// ```
/// use badrange_block::dm::{Table, TableErrorKind};
/// let err = Table::parse("0 100 cache 254:3").unwrap_err();
/// assert_eq!(err.kind(), TableErrorKind::Unsupported);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TableErrorKind {
    /// A table has at least one target.
    Empty,
    /// The line ends before start, length and type.
    MissingField,
    /// A number is not a decimal number.
    BadNumber,
    /// A number, or the bytes it stands for, does not fit.
    Overflow,
    /// A target does not begin where the one before ends, or the first not at 0.
    Gap,
    /// A length, a stripe count or a chunk is zero.
    Zero,
    /// A striped length that does not divide into whole chunks on every leg.
    Uneven,
    /// Too few or too many arguments for the target type.
    ArgumentCount,
    /// A device name that could not be printed and read back: empty, or with blanks.
    DeviceName,
    /// More targets or legs than the limits allow.
    TooMany,
    /// The target is known, but its bytes cannot be placed from the table alone.
    Unsupported,
    /// No target type of this name is known.
    UnknownTarget,
}

/// A table that was refused: what, where and what to do.
///
/// # Examples
/// ```
/// use badrange_block::dm::{Table, TableErrorKind};
/// let err = Table::parse("0 8 zero\n8 96 striped 3 0 A 0 B 0 C 0").unwrap_err();
/// assert_eq!(err.kind(), TableErrorKind::Zero);
/// assert_eq!((err.line(), err.field(), err.value()), (Some(2), "chunk", "0"));
/// assert_eq!(err.to_string(), "line 2: striped: chunk \"0\": must be at least 1 sector");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableError {
    kind: TableErrorKind,
    line: Option<u64>,
    target: &'static str,
    field: &'static str,
    value: Box<str>,
    hint: Cow<'static, str>,
}

impl TableError {
    #[cold]
    pub(crate) fn new(
        kind: TableErrorKind,
        field: &'static str,
        value: impl fmt::Display,
        hint: impl Into<Cow<'static, str>>,
    ) -> Self {
        let value = shorten(value.to_string());
        Self { kind, line: None, target: "", field, value, hint: hint.into() }
    }

    #[cold]
    pub(crate) fn at(self, line: u64) -> Self {
        Self { line: Some(line), ..self }
    }

    #[cold]
    pub(crate) fn of(self, target: &'static str) -> Self {
        Self { target, ..self }
    }

    /// The same error, found in this line.
    #[must_use]
    pub fn in_line(self, line: u64) -> Self {
        self.at(line)
    }

    /// Whether the line is fine but for what its target type is.
    pub(crate) fn is_about_the_type(&self) -> bool {
        matches!(self.kind, TableErrorKind::Unsupported | TableErrorKind::UnknownTarget)
    }

    /// What was wrong; the part of the error to match on.
    #[must_use]
    pub const fn kind(&self) -> TableErrorKind {
        self.kind
    }

    /// The line it was found in, counted from 1; `None` when there was no text, or when it
    /// concerns all of it.
    #[must_use]
    pub const fn line(&self) -> Option<u64> {
        self.line
    }

    /// The part of the target that was refused: `start`, `chunk`, `offset`, ...
    #[must_use]
    pub const fn field(&self) -> &'static str {
        self.field
    }

    /// What stood there, shortened to its beginning; may be empty.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }
}

fn shorten(value: String) -> Box<str> {
    match value.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}...", value.get(..end).unwrap_or_default()).into(),
        None => value.into(),
    }
}

/// `line 2: striped: chunk "0": must be at least 1 sector`; what is not known is left out.
impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        if !self.target.is_empty() {
            write!(f, "{}: ", self.target)?;
        }
        f.write_str(self.field)?;
        if !self.value.is_empty() {
            write!(f, " {:?}", self.value)?;
        }
        write!(f, ": {}", self.hint)
    }
}

impl core::error::Error for TableError {}
