//! A public type name stands once in all libraries: whoever imports two of them with a star, or
//! reads a name in a message, never has to ask which one it is.

use std::collections::BTreeMap;

use super::Offence;
use super::tree::Text;

/// What begins the declaration of a type that everybody sees.
const DECLARATIONS: [&str; 5] =
    ["pub struct ", "pub enum ", "pub trait ", "pub type ", "pub union "];

/// The libraries that may not share a name: all but those that nobody embeds.
fn is_library(path: &str) -> bool {
    let other = ["crates/badrange-cli/", "crates/badrange-bench/"];
    path.starts_with("crates/badrange")
        && path.contains("/src/")
        && !is_test(path)
        && !other.iter().any(|other| path.starts_with(other))
}

fn is_test(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/")
}

/// Offences of all files together; `code` is each file without comments and literals.
pub(super) fn offences<'t>(files: impl IntoIterator<Item = (&'t Text, String)>) -> Vec<Offence> {
    let mut known: BTreeMap<String, (String, usize)> = BTreeMap::new();
    let mut found = Vec::new();
    for (file, code) in files {
        if !is_library(&file.path) {
            continue;
        }
        for (number, line) in (1..).zip(code.lines()) {
            let Some(name) = declared(line) else { continue };
            match known.get(name) {
                Some((path, at)) => {
                    let what = format!("`{name}` is the name of a type at {path}:{at} already");
                    found.push(Offence::new(&file.path, number, what));
                }
                None => {
                    known.insert(name.to_owned(), (file.path.clone(), number));
                }
            }
        }
    }
    found
}

/// The type that a line declares, at the outermost level of its file.
fn declared(line: &str) -> Option<&str> {
    let rest = DECLARATIONS.iter().find_map(|words| line.strip_prefix(words))?;
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    rest.get(..end).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> usize {
        let texts: Vec<Text> = files.iter().map(|(path, text)| Text::new(path, text)).collect();
        offences(texts.iter().map(|text| (text, text.text.clone()))).len()
    }

    #[test]
    fn a_name_in_two_libraries_is_an_offence() {
        let (a, b) = ("crates/badrange-fs/src/a.rs", "crates/badrange-stack/src/b.rs");
        assert_eq!(found(&[(a, "pub struct Record {"), (b, "pub enum Record<T> {")]), 1);
        assert_eq!(found(&[(a, "pub struct Record {"), (b, "pub struct Records;")]), 0);
        assert_eq!(found(&[(a, "pub struct Record {"), (b, "pub(crate) struct Record;")]), 0);
        assert_eq!(found(&[(a, "pub struct Record {"), (b, "struct Record;")]), 0);
    }

    #[test]
    fn tests_and_the_command_may_call_things_as_they_like() {
        let a = ("crates/badrange-fs/src/a.rs", "pub struct Record {");
        for other in ["crates/badrange-cli/src/b.rs", "crates/badrange-fs/src/tests.rs"] {
            assert_eq!(found(&[a, (other, "pub struct Record {")]), 0);
        }
    }
}
