//! The engine's locks and atomics have one door: `sync.rs`, which loom can stand behind.
//!
//! Files of tests are free: what a test counts with is not part of the engine.

use super::Offence;
use super::tree::Text;

const ENGINE: &str = "crates/badrange-stack/src/";
const DOOR: &str = "crates/badrange-stack/src/sync.rs";
const WORDS: [&str; 4] = ["std::sync", "core::sync", "arc_swap", "loom::"];

/// Offences of one Rust file; `code` is its masked text.
pub(crate) fn offences(file: &Text, code: &str) -> Vec<Offence> {
    if !file.path.starts_with(ENGINE) || file.path == DOOR || file.is_test() {
        return Vec::new();
    }
    let lines = (1..).zip(code.lines());
    lines
        .flat_map(|(number, line)| {
            WORDS.iter().filter(|&&word| line.contains(word)).map(move |word| {
                let what = format!("`{word}` belongs in {DOOR}; use crate::sync");
                Offence::new(&file.path, number, what)
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> usize {
        offences(&Text::new(path, text), text).len()
    }

    #[test]
    fn only_the_door_names_what_is_behind_it() {
        let text = "use std::sync::Arc;\nuse arc_swap::ArcSwap;\n";
        assert_eq!(found("crates/badrange-stack/src/registry.rs", text), 2);
        assert_eq!(found("crates/badrange-stack/src/sync.rs", text), 0);
        assert_eq!(found("crates/badrange-cli/src/main.rs", text), 0);
        assert_eq!(found("crates/badrange-stack/src/registry/tests.rs", text), 0);
        assert_eq!(found("crates/badrange-stack/src/a.rs", "use crate::sync::Arc;\n"), 0);
        assert_eq!(found("crates/badrange-stack/src/a.rs", "#[cfg(loom)]\nuse loom::model;\n"), 1);
    }
}
