//! The rules of the workspace that no compiler knows.
//!
//! Every rule is a pure function from texts or metadata to offences, and has a test that plants
//! the offence.

mod directions;
mod documented;
mod functions;
mod links;
mod lock_words;
mod masked;
mod names;
mod size;
mod tree;
mod words;

use std::fmt;

use crate::failure::Failure;
use crate::workspace::Workspace;

/// One broken rule at one place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Offence {
    path: String,
    /// Counted from 1; 0 when the rule is about the file as a whole.
    line: usize,
    what: String,
}

impl Offence {
    fn new(path: &str, line: usize, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, what: what.into() }
    }
}

impl fmt::Display for Offence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.what),
            line => write!(f, "{}:{line}: {}", self.path, self.what),
        }
    }
}

/// Checks every rule, prints every offence.
pub(crate) fn check(workspace: &Workspace) -> Result<(), Failure> {
    let tree = tree::Tree::read(&workspace.root)?;
    let mut offences = directions::offences(workspace);
    offences.extend(documented::offences(workspace, &tree)?);
    offences.extend(links::offences(&tree));
    let mut masked_files = Vec::new();
    for file in tree.texts() {
        offences.extend(words::offences(file));
        if file.is_rust() {
            let code = masked::mask(&file.text);
            offences.extend(words::code_offences(file, &code));
            offences.extend(lock_words::offences(file, &code));
            offences.extend(size::offences(file, &code));
            masked_files.push((file, code));
        }
    }
    offences.extend(names::offences(masked_files));
    offences.sort();
    for offence in &offences {
        println!("  {offence}");
    }
    match offences.len() {
        0 => Ok(()),
        count => Err(Failure::new(format!("{count} offences")).repeat_with("cargo xtask tidy")),
    }
}
