//! What a check answers: done, skipped for a reason, or a failure with the way to repeat it.

use std::fmt;

/// A check that did not fail.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Everything asked for was checked.
    Done,
    /// Nothing was checked; the text says why and how to get it checked.
    Skipped(String),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("ok"),
            Self::Skipped(why) => write!(f, "SKIPPED: {why}"),
        }
    }
}

/// A check that failed: what was wrong and, when it was a command, how to run that command again.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    repeat: Option<String>,
}

impl Failure {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), repeat: None }
    }

    /// Adds the command line that shows the failure again.
    pub(crate) fn repeat_with(mut self, command: impl Into<String>) -> Self {
        self.repeat = Some(command.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.repeat {
            Some(command) => write!(f, "\n  repeat it with: {command}"),
            None => Ok(()),
        }
    }
}

/// Turns any error into a failure that says what was being done.
pub(crate) trait Doing<T> {
    fn doing(self, what: &str) -> Result<T, Failure>;
}

impl<T, E: fmt::Display> Doing<T> for Result<T, E> {
    fn doing(self, what: &str) -> Result<T, Failure> {
        self.map_err(|error| Failure::new(format!("{what}: {error}")))
    }
}
