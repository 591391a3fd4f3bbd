use std::io::BufRead;

use crate::{
    ParseError, ParseErrorKind,
    lines::{Line, LineFormat, Stream, is_digits},
};

/// One name of a file: an inode number and a path.
///
/// # Examples
/// ```
/// use badrange_input::InodePaths;
/// let text = "134 /ib/log 0\n134 /ib/log0.hard\n";
/// let names: Vec<_> = InodePaths::new(text.as_bytes()).collect::<Result<_, _>>()?;
/// assert_eq!((names[0].ino, &*names[0].path), (134, "/ib/log 0"));
/// assert_eq!((names[1].ino, names[1].line), (134, 2));
/// # Ok::<(), badrange_input::ParseError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct InodePath {
    /// Inode number.
    pub ino: u64,
    /// The path exactly as it stands there, blanks included.
    pub path: String,
    /// The line, from 1.
    pub line: u64,
}

/// Reads `<inode> <path>` lines, one for each name: `find /mnt -xdev -printf '%i %p\n'`.
///
/// One blank parts the two; everything after it is the path, so there are no comments and
/// trailing blanks count. Blank lines are skipped. Memory does not grow with the text.
///
/// # Errors
/// Items are errors for lines without a number or without a path, and for names that are not
/// UTF-8; nothing follows an error.
///
/// # Examples
/// ```
/// use badrange_input::InodePaths;
/// let err = InodePaths::new(&b"/ib/orders.ibd\n"[..]).next().unwrap().unwrap_err();
/// assert_eq!(err.line(), Some(1));
/// ```
#[derive(Debug)]
pub struct InodePaths<R> {
    stream: Stream<R, PathLines>,
}

impl<R: BufRead> InodePaths<R> {
    /// Starts at the reader's position.
    pub fn new(input: R) -> Self {
        Self { stream: Stream::new(input, PathLines) }
    }
}

impl<R: BufRead> Iterator for InodePaths<R> {
    type Item = Result<InodePath, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.stream.next_item()
    }
}

#[derive(Debug)]
struct PathLines;

impl LineFormat for PathLines {
    type Item = InodePath;

    fn line(&mut self, line: Line<'_>) -> Result<Option<InodePath>, ParseError> {
        if line.text.trim_ascii().is_empty() {
            return Ok(None);
        }
        let text = line.text.trim_ascii_start();
        let (ino, path) = text.split_once([' ', '\t']).unwrap_or((text, ""));
        if !is_digits(ino) {
            return Err(line.unexpected("expected '<inode> <path>'"));
        }
        if path.is_empty() {
            let hint = "expected '<inode> <path>'";
            return Err(line.err(ParseErrorKind::MissingField, "path", "", hint));
        }
        let ino = line.number("inode", ino, "an inode")?;
        Ok(Some(InodePath { ino, path: path.to_owned(), line: line.number }))
    }
}
