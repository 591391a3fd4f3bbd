use core::fmt;

use crate::error::Plain;

/// A stack that could not be built: which file, which line, what, and what to do.
///
/// # Examples
/// ```
/// use badrange_input::{MemoryFiles, Topology};
/// let err = Topology::load("stack.toml", "schema = \"badrange.stack/1\"\ndisc = 1\n", &MemoryFiles::new())
///     .unwrap_err();
/// assert_eq!((err.file(), err.line()), ("stack.toml", Some(2)));
/// assert!(err.to_string().starts_with("stack.toml:2: unknown field `disc`"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StackError {
    file: String,
    line: Option<u64>,
    message: String,
}

impl StackError {
    #[cold]
    pub(crate) fn new(
        file: impl Into<String>,
        line: Option<u64>,
        message: impl Into<String>,
    ) -> Self {
        // It may quote any of the files.
        Self { file: file.into(), line, message: Plain(&message.into()).to_string() }
    }

    /// The file the error is in, as `stack.toml` names it.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// What is wrong and what to do, without the place.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The line, from 1, where one is to blame.
    #[must_use]
    pub fn line(&self) -> Option<u64> {
        self.line
    }
}

impl fmt::Display for StackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Plain(&self.file).fmt(f)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}", self.message)
    }
}

impl core::error::Error for StackError {}
