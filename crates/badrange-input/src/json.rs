//! JSON whose elements know their line.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{ParseError, ParseErrorKind, lines::line_of};

/// Reads a whole JSON text.
pub(crate) fn parse<'a, T: Deserialize<'a>>(
    text: &'a str,
    what: &'static str,
) -> Result<T, ParseError> {
    serde_json::from_str(text).map_err(|e| broken(&e, what, 0))
}

/// Reads one element of a JSON text that was left raw; errors have the line of the text.
pub(crate) fn element<'a, T: Deserialize<'a>>(
    raw: &'a RawValue,
    what: &'static str,
    line: u64,
) -> Result<T, ParseError> {
    serde_json::from_str(raw.get()).map_err(|e| broken(&e, what, line.saturating_sub(1)))
}

#[cold]
fn broken(e: &serde_json::Error, what: &'static str, lines_before: u64) -> ParseError {
    let text = e.to_string();
    let kind = match e.classify() {
        serde_json::error::Category::Data if text.starts_with("missing field") => {
            ParseErrorKind::MissingField
        }
        serde_json::error::Category::Data => ParseErrorKind::BadNumber,
        serde_json::error::Category::Io
        | serde_json::error::Category::Syntax
        | serde_json::error::Category::Eof => ParseErrorKind::NotThisFormat,
    };
    // NO-OVERFLOW: a line number of a text in memory.
    let line = lines_before.saturating_add(e.line() as u64);
    // The line of an element counts from the element; ours stands in front.
    let hint = text.split_once(" at line ").map_or(&*text, |(reason, _)| reason).to_owned();
    ParseError::new(kind, what, "", hint).at(line)
}

/// A number, or its text: old versions quote all numbers, and without `-b` sizes are rounded.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Num {
    Number(u64),
    Text(String),
}

impl core::fmt::Display for Num {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl Num {
    /// The number; `None` for one that was rounded.
    pub(crate) fn exact(&self) -> Option<u64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(text) => text.trim().parse().ok(),
        }
    }
}

/// Tells the lines of elements borrowed from one text, in ascending order.
#[derive(Debug)]
pub(crate) struct LineFinder<'a> {
    text: &'a str,
    at: usize,
    line: u64,
}

impl<'a> LineFinder<'a> {
    pub(crate) const fn new(text: &'a str) -> Self {
        Self { text, at: 0, line: 1 }
    }

    /// The line where this part of the text begins.
    pub(crate) fn line(&mut self, part: &str) -> u64 {
        let to = (part.as_ptr() as usize).wrapping_sub(self.text.as_ptr() as usize);
        // An element elsewhere (it cannot be) leaves the line where it is.
        if let Some(between) = self.text.as_bytes().get(self.at..to) {
            self.line = self.line.saturating_add(line_of(between).saturating_sub(1));
            self.at = to;
        }
        self.line
    }
}
