use core::fmt;

/// Why a scenario was refused.
///
/// # Examples
/// ```
/// use badrange_sim::{Scenario, ScenarioErrorKind};
/// let err = Scenario::from_str("{", "broken.json").unwrap_err();
/// assert_eq!(err.kind(), ScenarioErrorKind::Syntax);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ScenarioErrorKind {
    /// Not JSON, or a key that stands twice in one object.
    Syntax,
    /// A key that the format does not have.
    UnknownKey,
    /// A required key is missing.
    MissingKey,
    /// A value of another type than the key has.
    WrongType,
    /// A value that cannot be: unaligned, reversed, overlapping, out of its device.
    BadValue,
    /// A name, tag or index that refers to nothing.
    BadReference,
    /// Beyond one of the limits.
    TooLarge,
    /// Well-formed, but this version cannot run it.
    Unsupported,
}

/// A scenario that cannot be run: which file, where in it, and why.
///
/// # Examples
/// ```
/// use badrange_sim::{Scenario, ScenarioErrorKind};
/// let text = r#"{"schema":"badrange.scenario/1","name":"a","profile":"linux-6.1",
///               "devices":[{"name":"pmem0","kind":"pmem","phys":0,"size":"0x200000","speed":9}],
///               "events":[]}"#;
/// let err = Scenario::from_str(text, "a.json").unwrap_err();
/// assert_eq!(err.kind(), ScenarioErrorKind::UnknownKey);
/// assert_eq!(err.path(), "devices[0]");
/// assert!(err.to_string().starts_with(r#"a.json: devices[0]: unknown key "speed""#));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{}{}", Prefix(.file), Prefix(.path), Shown(.message))]
pub struct ScenarioError {
    kind: ScenarioErrorKind,
    file: String,
    path: String,
    message: String,
}

impl ScenarioError {
    #[cold]
    pub(crate) fn new(
        kind: ScenarioErrorKind,
        path: impl fmt::Display,
        message: impl Into<String>,
    ) -> Self {
        Self { kind, file: String::new(), path: path.to_string(), message: message.into() }
    }

    pub(crate) fn in_file(self, file: &str) -> Self {
        Self { file: file.to_owned(), ..self }
    }

    /// What was wrong; the part of the error to match on.
    #[must_use]
    pub const fn kind(&self) -> ScenarioErrorKind {
        self.kind
    }

    /// The file, as the caller named it.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Where in the JSON: `events[0].pfn`; empty for the whole text.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }
}

struct Prefix<'a>(&'a str);

impl fmt::Display for Prefix<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, "{}: ", Shown(self.0)) }
    }
}

/// Words that may quote a scenario: a terminal must not obey them.
struct Shown<'a>(&'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            c if c.is_control() => write!(f, "{}", c.escape_unicode()),
            c => write!(f, "{c}"),
        })
    }
}
