use core::fmt::{self, Write as _};
use std::borrow::Cow;

/// How much of an offending value an error repeats.
const SHOWN_CHARS: usize = 80;

/// Why a text could not be read.
///
/// # Examples
/// ```
/// use badrange_input::{parse_badblocks, ParseErrorKind};
/// let err = parse_badblocks(&b"8 0\n"[..]).unwrap_err();
/// assert_eq!(err.kind(), ParseErrorKind::Inconsistent);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ParseErrorKind {
    /// The text, or this line of it, is not of the expected format.
    NotThisFormat,
    /// Something the format always has is not there.
    MissingField,
    /// A number is not one.
    BadNumber,
    /// A number, or what it stands for in bytes, does not fit in 64 bits.
    Overflow,
    /// A unit is missing, unknown, or makes the value inexact.
    BadUnit,
    /// Two parts of the text contradict each other.
    Inconsistent,
    /// The text is understood, but what it describes cannot be placed exactly.
    Unsupported,
    /// A line, a text or its nesting is beyond a named limit.
    TooLong,
    /// The bytes are not UTF-8.
    BadEncoding,
    /// The reader failed.
    Read,
}

/// A text that could not be read: what, where and what to do.
///
/// The name of the file is the caller's to add.
///
/// # Examples
/// ```
/// use badrange_input::{parse_badblocks, ParseErrorKind};
/// let err = parse_badblocks(&b"8 1\n12x 1\n"[..]).unwrap_err();
/// assert_eq!((err.line(), err.kind()), (Some(2), ParseErrorKind::BadNumber));
/// assert_eq!(
///     err.to_string(),
///     "line 2: bad start \"12x\": expected a decimal number of sectors",
/// );
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    kind: ParseErrorKind,
    line: Option<u64>,
    field: &'static str,
    value: Box<str>,
    hint: Cow<'static, str>,
    in_pvs: bool,
}

impl ParseError {
    #[cold]
    pub(crate) fn new(
        kind: ParseErrorKind,
        field: &'static str,
        value: &str,
        hint: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { kind, line: None, field, value: shorten(value), hint: hint.into(), in_pvs: false }
    }

    #[cold]
    pub(crate) fn at(mut self, line: u64) -> Self {
        self.line = Some(line);
        self
    }

    #[cold]
    pub(crate) fn in_pvs(mut self) -> Self {
        self.in_pvs = true;
        self
    }

    /// Whether, of two texts that were read together, the line is one of the second: the `pvs`
    /// report of [`LvsReport::volume_groups`](crate::LvsReport::volume_groups).
    #[must_use]
    pub const fn is_in_pvs(&self) -> bool {
        self.in_pvs
    }

    /// What was wrong; the part of the error to match on.
    #[must_use]
    pub const fn kind(&self) -> ParseErrorKind {
        self.kind
    }

    /// The line it was found in, counted from 1; `None` when it concerns the whole text.
    #[must_use]
    pub const fn line(&self) -> Option<u64> {
        self.line
    }

    /// The part of the format that was being read.
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

fn shorten(value: &str) -> Box<str> {
    match value.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}...", value.get(..end).unwrap_or_default()).into(),
        None => value.into(),
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        let (before, after) = words(self.kind);
        write!(f, "{before}{}", self.field)?;
        if !self.value.is_empty() {
            write!(f, " {:?}", self.value)?;
        }
        // A hint may quote another library's words about the text.
        write!(f, "{after}: {}", Plain(&self.hint))
    }
}

/// Words with their control characters escaped: a terminal must not obey what a text says.
pub(crate) struct Plain<'a>(pub(crate) &'a str);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| {
            if c.is_control() { write!(f, "{}", c.escape_unicode()) } else { f.write_char(c) }
        })
    }
}

const fn words(kind: ParseErrorKind) -> (&'static str, &'static str) {
    match kind {
        ParseErrorKind::NotThisFormat => ("unexpected ", ""),
        ParseErrorKind::MissingField => ("missing ", ""),
        ParseErrorKind::BadNumber => ("bad ", ""),
        ParseErrorKind::Overflow => ("", " is too large"),
        ParseErrorKind::BadUnit => ("bad unit of ", ""),
        ParseErrorKind::Inconsistent => ("contradictory ", ""),
        ParseErrorKind::Unsupported => ("unsupported ", ""),
        ParseErrorKind::TooLong => ("", " is too long"),
        ParseErrorKind::BadEncoding => ("undecodable ", ""),
        ParseErrorKind::Read => ("unreadable ", ""),
    }
}

impl core::error::Error for ParseError {}
