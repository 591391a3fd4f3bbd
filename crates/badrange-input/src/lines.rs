//! Lines, numbers and inclusive ranges: what every line format has in common, in one place.

use std::{
    borrow::Cow,
    io::{BufRead, Read},
};

use badrange_core::{Extent, RangeErrorKind, SECTOR_SIZE, Space};

use crate::{ParseError, ParseErrorKind};

/// The longest line that is read, in bytes; a longer one is [`ParseErrorKind::TooLong`].
pub const MAX_LINE_BYTES: usize = 1 << 20;

/// The longest text of a format that is read as a whole (LVM metadata, JSON), in bytes.
pub const MAX_TEXT_BYTES: usize = 64 << 20;

const UTF8_BOM: &[u8] = b"\xef\xbb\xbf";

/// One line without its end: number from 1, and text exactly as it stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line<'a> {
    pub(crate) number: u64,
    pub(crate) text: &'a str,
}

/// Reads lines with bounded memory, whatever the reader holds.
///
/// A UTF-8 byte order mark is skipped. A carriage return before the newline belongs to the line
/// end in a text whose first line has one; elsewhere it is text (a file name may end in one).
#[derive(Debug)]
pub(crate) struct Lines<R> {
    reader: R,
    buf: Vec<u8>,
    number: u64,
    crlf: bool,
    /// Bytes read so far.
    pub(crate) bytes: u64,
    /// Whether the line read last had a newline.
    pub(crate) newline: bool,
}

impl<R: BufRead> Lines<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self { reader, buf: Vec::new(), number: 0, crlf: false, bytes: 0, newline: true }
    }

    /// The next line, `None` at the end. The last line needs no newline.
    pub(crate) fn next_line(&mut self) -> Result<Option<Line<'_>>, ParseError> {
        self.buf.clear();
        // NO-OVERFLOW: a constant, and a count of lines read one by one.
        let limit = (MAX_LINE_BYTES as u64).wrapping_add(1);
        self.number = self.number.wrapping_add(1);
        let read = self.reader.by_ref().take(limit).read_until(b'\n', &mut self.buf);
        let bytes = read.map_err(|e| unreadable(&e).at(self.number))?;
        if bytes == 0 {
            return Ok(None);
        }
        self.bytes = self.bytes.saturating_add(bytes as u64);
        self.strip_ends()?;
        let text = core::str::from_utf8(&self.buf).map_err(|e| {
            undecodable("line", self.buf.get(..e.valid_up_to()).unwrap_or_default()).at(self.number)
        })?;
        Ok(Some(Line { number: self.number, text }))
    }

    fn strip_ends(&mut self) -> Result<(), ParseError> {
        self.newline = self.buf.last() == Some(&b'\n');
        if self.newline {
            self.buf.pop();
        } else if self.buf.len() > MAX_LINE_BYTES {
            let hint = format!("no line of a known format has over {MAX_LINE_BYTES} bytes");
            return Err(ParseError::new(ParseErrorKind::TooLong, "line", "", hint).at(self.number));
        }
        if self.number == 1 {
            self.crlf = self.buf.last() == Some(&b'\r');
            if self.buf.starts_with(UTF8_BOM) {
                self.buf.drain(..UTF8_BOM.len());
            }
        }
        if self.crlf && self.buf.last() == Some(&b'\r') {
            self.buf.pop();
        }
        Ok(())
    }
}

/// Reads a whole text of bounded size.
pub(crate) fn whole_text(reader: impl Read) -> Result<String, ParseError> {
    let mut bytes = Vec::new();
    // NO-OVERFLOW: a constant.
    let limit = (MAX_TEXT_BYTES as u64).wrapping_add(1);
    reader.take(limit).read_to_end(&mut bytes).map_err(|e| unreadable(&e))?;
    if bytes.len() > MAX_TEXT_BYTES {
        let hint = format!("no text of this format has over {MAX_TEXT_BYTES} bytes");
        return Err(ParseError::new(ParseErrorKind::TooLong, "text", "", hint));
    }
    if bytes.starts_with(UTF8_BOM) {
        bytes.drain(..UTF8_BOM.len());
    }
    String::from_utf8(bytes).map_err(|e| {
        let good = e.as_bytes().get(..e.utf8_error().valid_up_to()).unwrap_or_default();
        let last = good.rsplit(|b| *b == b'\n').next().unwrap_or_default();
        undecodable("line", last).at(line_of(good))
    })
}

/// The number of the line that follows this much text.
pub(crate) fn line_of(before: &[u8]) -> u64 {
    // NO-OVERFLOW: a length in memory and one.
    (before.iter().filter(|b| **b == b'\n').count() as u64).wrapping_add(1)
}

#[cold]
pub(crate) fn unreadable(e: &std::io::Error) -> ParseError {
    ParseError::new(ParseErrorKind::Read, "input", "", e.to_string())
}

#[cold]
fn undecodable(field: &'static str, good: &[u8]) -> ParseError {
    let hint = "expected UTF-8; file names in other bytes are not supported, give this file as \
                UTF-8 without them";
    ParseError::new(ParseErrorKind::BadEncoding, field, &String::from_utf8_lossy(good), hint)
}

/// First block and count of an inclusive range `a..b`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) first: u64,
    pub(crate) count: u64,
}

impl<'a> Line<'a> {
    /// A line with other text, for parts of lines and elements of JSON.
    pub(crate) const fn with_text(self, text: &'a str) -> Self {
        Self { number: self.number, text }
    }

    #[cold]
    pub(crate) fn err(
        self,
        kind: ParseErrorKind,
        field: &'static str,
        value: &str,
        hint: impl Into<Cow<'static, str>>,
    ) -> ParseError {
        ParseError::new(kind, field, value, hint).at(self.number)
    }

    /// The error for a line that fits nothing.
    #[cold]
    pub(crate) fn unexpected(self, hint: impl Into<Cow<'static, str>>) -> ParseError {
        self.err(ParseErrorKind::NotThisFormat, "line", self.text.trim(), hint)
    }

    /// Decimal digits only, no sign.
    pub(crate) fn number(
        self,
        field: &'static str,
        text: &str,
        unit: &str,
    ) -> Result<u64, ParseError> {
        if !is_digits(text) {
            let hint = format!("expected a decimal number of {unit}");
            return Err(self.err(ParseErrorKind::BadNumber, field, text, hint));
        }
        text.parse().map_err(|_| self.too_large(field, text))
    }

    #[cold]
    pub(crate) fn too_large(self, field: &'static str, text: &str) -> ParseError {
        self.err(ParseErrorKind::Overflow, field, text, "it does not fit in 64 bits")
    }

    /// An inclusive range `a..b`.
    pub(crate) fn span(
        self,
        field: &'static str,
        text: &str,
        unit: &str,
    ) -> Result<Span, ParseError> {
        let ends = text.split_once('.').and_then(|(a, b)| Some((a, b.strip_prefix('.')?)));
        let Some((first, last)) = ends else {
            let hint = format!("expected FIRST..LAST in {unit}");
            return Err(self.err(ParseErrorKind::BadNumber, field, text, hint));
        };
        let first = self.number(field, first.trim(), unit)?;
        self.span_to(field, first, self.number(field, last.trim(), unit)?)
    }

    /// The range between two inclusive bounds.
    pub(crate) fn span_to(
        self,
        field: &'static str,
        first: u64,
        last: u64,
    ) -> Result<Span, ParseError> {
        let shown = || format!("{first}..{last}");
        let Some(less_one) = last.checked_sub(first) else {
            let hint = "the end lies before the start";
            return Err(self.err(ParseErrorKind::Inconsistent, field, &shown(), hint));
        };
        let count = less_one.checked_add(1).ok_or_else(|| self.too_large(field, &shown()))?;
        Ok(Span { first, count })
    }

    /// The same count in two places of the line.
    pub(crate) fn same(
        self,
        field: &'static str,
        count: u64,
        expected: u64,
    ) -> Result<(), ParseError> {
        if count == expected {
            return Ok(());
        }
        let hint = format!("the range of this line holds {expected}");
        Err(self.err(ParseErrorKind::Inconsistent, field, &count.to_string(), hint))
    }

    /// `count` units of `unit` bytes from the unit `first` on, in bytes.
    pub(crate) fn bytes<S: Space>(
        self,
        field: &'static str,
        span: Span,
        unit: u64,
    ) -> Result<Extent<S>, ParseError> {
        let shown = || format!("{}+{}", span.first, span.count);
        let both = span.first.checked_mul(unit).zip(span.count.checked_mul(unit));
        let (start, len) = both.ok_or_else(|| self.too_large(field, &shown()))?;
        Extent::new(S::from_raw(start), len).map_err(|e| {
            if e.kind() == RangeErrorKind::Empty {
                let hint = "a range is never empty";
                return self.err(ParseErrorKind::Inconsistent, field, &shown(), hint);
            }
            self.too_large(field, &shown())
        })
    }

    /// 512-byte sectors in bytes.
    pub(crate) fn sectors<S: Space>(
        self,
        field: &'static str,
        span: Span,
    ) -> Result<Extent<S>, ParseError> {
        self.bytes(field, span, SECTOR_SIZE)
    }
}

/// Whether this is a plain decimal number.
pub(crate) fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// A format that is understood line by line.
pub(crate) trait LineFormat {
    type Item;

    fn line(&mut self, line: Line<'_>) -> Result<Option<Self::Item>, ParseError>;
}

/// Runs a line format over a reader. Ends after the first error.
#[derive(Debug)]
pub(crate) struct Stream<R, F> {
    lines: Lines<R>,
    format: F,
    done: bool,
}

impl<R: BufRead, F: LineFormat> Stream<R, F> {
    pub(crate) fn new(reader: R, format: F) -> Self {
        Self { lines: Lines::new(reader), format, done: false }
    }

    fn advance(&mut self) -> Result<Option<F::Item>, ParseError> {
        while let Some(line) = self.lines.next_line()? {
            if let Some(item) = self.format.line(line)? {
                return Ok(Some(item));
            }
        }
        Ok(None)
    }

    pub(crate) fn next_item(&mut self) -> Option<Result<F::Item, ParseError>> {
        if self.done {
            return None;
        }
        let item = self.advance().transpose();
        self.done = !matches!(item, Some(Ok(_)));
        item
    }
}
