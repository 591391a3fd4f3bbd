//! Words that do not belong into the sources.

use super::Offence;
use super::functions::words;
use super::tree::Text;

/// Words of one machine or one workplace. They are put together here so that this file passes.
const FOREIGN: [(&str, &str); 6] = [
    (concat!("/wo", "rk/"), "a path of one machine"),
    (concat!("/tmp/", "bash_jobs"), "a path of one machine"),
    (concat!("issue ", "#"), "a number that the reader cannot look up; say what it is about"),
    (concat!("fixes ", "#"), "a number that the reader cannot look up; say what it is about"),
    (concat!("closes ", "#"), "a number that the reader cannot look up; say what it is about"),
    (concat!("TODO", "(#"), "a number that the reader cannot look up; say what it is about"),
];

/// Pieces of code, with blanks left out, and what to do instead.
const CODE: [(&str, &str); 6] = [
    ("todo!(", "unfinished"),
    ("unimplemented!(", "unfinished"),
    ("dbg!(", "left from debugging"),
    ("#[allow(", "use #[expect(lint, reason = \"...\")]"),
    ("#![allow(", "use #![expect(lint, reason = \"...\")]"),
    ("#[ignore]", "a test that never runs says why, or goes"),
];

/// Offences in any text.
pub(crate) fn offences(file: &Text) -> Vec<Offence> {
    let mut found = Vec::new();
    for (number, line) in (1..).zip(file.text.lines()) {
        let lower = line.to_ascii_lowercase();
        for (word, why) in FOREIGN {
            if lower.contains(&word.to_ascii_lowercase()) {
                found.push(Offence::new(&file.path, number, format!("`{word}`: {why}")));
            }
        }
        if let Some(wide) = line.chars().find(|c| !c.is_ascii()).filter(|_| file.is_rust()) {
            let what = format!("{:?} is not ASCII", wide.escape_unicode().to_string());
            found.push(Offence::new(&file.path, number, what));
        }
    }
    found
}

/// Offences in the code of a Rust file, outside comments and literals.
pub(crate) fn code_offences(file: &Text, code: &str) -> Vec<Offence> {
    let mut found = Vec::new();
    for (number, line) in (1..).zip(code.lines()) {
        let tight: String = line.split_whitespace().collect();
        for (piece, why) in CODE {
            if tight.contains(piece) {
                found.push(Offence::new(&file.path, number, format!("`{piece}`: {why}")));
            }
        }
        if words(line, "unsafe").next().is_some() {
            found.push(Offence::new(&file.path, number, "`unsafe` has no place here"));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::masked::mask;
    use super::*;

    fn in_text(path: &str, text: &str) -> usize {
        offences(&Text::new(path, text)).len()
    }

    fn in_code(text: &str) -> usize {
        code_offences(&Text::new("a.rs", text), &mask(text)).len()
    }

    #[test]
    fn foreign_words_are_found_in_any_text() {
        assert_eq!(in_text("a.md", concat!("see /wo", "rk/main")), 1);
        assert_eq!(in_text("a.rs", concat!("// Fixes ", "#12\n// TODO", "(#3): x")), 2);
        assert_eq!(in_text("a.md", "a /workload/ and the 1# of things"), 0);
    }

    #[test]
    fn sources_are_ascii_and_documents_need_not_be() {
        assert_eq!(in_text("a.rs", "// caf\u{e9}"), 1);
        assert_eq!(in_text("a.md", "caf\u{e9} \u{2502}"), 0);
    }

    #[test]
    fn unfinished_code_is_found() {
        assert_eq!(in_code("fn f() { todo!() }\nfn g() { unimplemented!(\"x\") }"), 2);
        assert_eq!(in_code("fn f() { dbg!(1); }"), 1);
        assert_eq!(in_code("/// `todo!()` is not code\nlet x = \"todo!()\";"), 0);
    }

    #[test]
    fn allow_is_found_and_expect_is_not() {
        assert_eq!(in_code("#[allow(dead_code)]\n#![ allow(dead_code)]"), 2);
        assert_eq!(in_code("#[expect(dead_code, reason = \"x\")]"), 0);
    }

    #[test]
    fn ignored_tests_give_a_reason() {
        assert_eq!(in_code("#[ignore]\nfn f() {}"), 1);
        assert_eq!(in_code("#[ignore = \"needs a pmem device\"]\nfn f() {}"), 0);
    }

    #[test]
    fn unsafe_is_found_as_a_word() {
        assert_eq!(in_code("unsafe { x() }"), 1);
        assert_eq!(in_code("#![forbid(unsafe_code)] // unsafe"), 0);
    }
}
