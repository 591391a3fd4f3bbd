//! Cases of text: every reader of saved text, whole stack descriptions, and scenarios (feature
//! `text`).
//!
//! A [`Text`] of a [`TextFormat`] is the bytes of a fuzzer as they are, so that a corpus is files
//! that one can read, and any capture is a seed. Where bytes are drawn for a smoke test, they are
//! words of the format in any order.
//!
//! There is no second reader to compare with. What is checked instead are laws that any reader
//! keeps: it ends, without a panic, with the same answer however few bytes come at a time; ranges
//! are in order where order is promised; an error names a line that there is.
//!
//! ```
//! use badrange_testkit::{case::check_bytes, text::{BadblocksText, Text}};
//! check_bytes::<Text<BadblocksText>>(b"8 1\n4294967296 8\n");
//! check_bytes::<Text<BadblocksText>>(b"8 0\n\xff\n"); // refused, and refused in the same way in pieces
//! ```

mod arrays;
mod formats;
mod scenario;
mod stackfile;

#[cfg(test)]
mod tests;

pub use self::{
    arrays::{MdExamine, ThinDumps},
    formats::{AnyFormat, BadRanges, BadblocksText, Dmsetup, FileMaps, Fsmaps, Lvm, Sfdisk},
    scenario::ScenarioJson,
    stackfile::StackArchive,
};

use core::{fmt, marker::PhantomData};
use std::io::{self, BufRead, Read};

use arbitrary::{Arbitrary, Result, Unstructured};
use badrange_input::ParseError;

use crate::case::TestCase;

/// A format of text with the laws that its readers keep.
///
/// # Examples
/// ```
/// use badrange_testkit::text::{Fsmaps, TextFormat};
/// Fsmaps::check(b"\t0: 8:1 [0..7]: static fs metadata 8\n");
/// ```
pub trait TextFormat: fmt::Debug + 'static {
    /// Words and pieces that texts of this format consist of: the dictionary of its fuzz target.
    const WORDS: &'static [&'static str];

    /// Returns if the readers of the format keep the laws on this text.
    ///
    /// # Panics
    /// When they do not.
    fn check(text: &[u8]);
}

/// A text of a format, in order or not.
///
/// # Examples
/// ```
/// use arbitrary::{Arbitrary, Unstructured};
/// use badrange_testkit::text::{Sfdisk, Text};
/// let text = Text::<Sfdisk>::arbitrary_take_rest(Unstructured::new(b"label: gpt\n"))?;
/// assert_eq!(text.bytes(), b"label: gpt\n");
/// # Ok::<(), arbitrary::Error>(())
/// ```
pub struct Text<F> {
    bytes: Vec<u8>,
    format: PhantomData<fn() -> F>,
}

impl<F> Text<F> {
    /// This text.
    #[must_use]
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self { bytes: bytes.into(), format: PhantomData }
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl<F> fmt::Debug for Text<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Text::new(b\"{}\")", self.bytes.escape_ascii())
    }
}

/// Pieces of a drawn text, at most.
const PIECES: usize = 80;

impl<'a, F: TextFormat> Arbitrary<'a> for Text<F> {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let mut bytes = Vec::new();
        for _ in 0..u.int_in_range(0..=PIECES)? {
            match u.int_in_range(0..=15_u8)? {
                0..=8 if !F::WORDS.is_empty() => {
                    bytes.extend_from_slice(u.choose(F::WORDS)?.as_bytes());
                }
                9 | 10 => bytes.push(b'\n'),
                11 => bytes.extend_from_slice(b"18446744073709551615"),
                12 => bytes.push(u.arbitrary()?),
                _ => bytes.extend(u.int_in_range(0..=300_u16)?.to_string().into_bytes()),
            }
            bytes.extend(u.ratio(3_u8, 4_u8)?.then_some(b' '));
        }
        Ok(Self::new(bytes))
    }

    fn arbitrary_take_rest(u: Unstructured<'a>) -> Result<Self> {
        Ok(Self::new(u.take_rest()))
    }
}

impl<F: TextFormat> TestCase for Text<F> {
    fn check(&self) {
        F::check(&self.bytes);
    }
}

/// Gives one byte at a time, as a slow pipe may.
struct Trickle<'t>(&'t [u8]);

impl Read for Trickle<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(into)?;
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for Trickle<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        Ok(self.0.get(..1).unwrap_or_default())
    }

    fn consume(&mut self, count: usize) {
        self.0 = self.0.get(count..).unwrap_or_default();
    }
}

/// What a reader makes of a text, after checking what holds for every reader.
fn read<T: PartialEq + fmt::Debug>(
    text: &[u8],
    reader: impl Fn(&mut dyn BufRead) -> core::result::Result<T, ParseError>,
) -> core::result::Result<T, ParseError> {
    let whole = reader(&mut &*text);
    assert_eq!(reader(&mut Trickle(text)), whole, "byte by byte");
    if let Err(err) = &whole {
        check_message(err.line(), &err.to_string(), text);
    }
    whole
}

/// An error is one line of text, about a line that there is.
fn check_message(line: Option<u64>, message: &str, text: &[u8]) {
    let newlines = text.iter().filter(|b| **b == b'\n').count() as u64;
    if let Some(line) = line {
        assert!((1..=newlines.saturating_add(1)).contains(&line), "{message}: {newlines} newlines");
    }
    assert!(!message.chars().any(char::is_control), "a terminal would obey {message:?}");
}
