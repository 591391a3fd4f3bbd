//! The locks and atomics of a crate with models have one door: its `sync.rs`, which loom can stand
//! behind.
//!
//! Files of tests are free: what a test counts with is not part of the crate. So is the name of an
//! ordering: it is an argument, not a primitive.

use super::Offence;
use super::tree::Text;

const ROOMS: [&str; 2] = ["crates/badrange-stack/src/", "crates/badrange-pmem/src/"];
const DOOR: &str = "sync.rs";
const WORDS: [&str; 5] = ["std::sync", "core::sync", "arc_swap", "loom::", "shuttle::"];
const ORDERING: &str = "use core::sync::atomic::Ordering;";

/// Offences of one Rust file; `code` is its masked text.
pub(crate) fn offences(file: &Text, code: &str) -> Vec<Offence> {
    let Some((room, name)) =
        ROOMS.iter().find_map(|room| Some((*room, file.path.strip_prefix(room)?)))
    else {
        return Vec::new();
    };
    if name == DOOR || file.is_test() {
        return Vec::new();
    }
    let lines = (1..).zip(code.lines()).filter(|(_, line)| line.trim() != ORDERING);
    lines
        .flat_map(|(number, line)| {
            WORDS.iter().filter(|&&word| line.contains(word)).map(move |word| {
                let what = format!("`{word}` belongs in {room}{DOOR}; use crate::sync");
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
        assert_eq!(found("crates/badrange-pmem/src/badblocks.rs", text), 2);
        assert_eq!(found("crates/badrange-pmem/src/sync.rs", text), 0);
        assert_eq!(found("crates/badrange-pmem/src/ranged/sync.rs", text), 2);
        assert_eq!(found("crates/badrange-cli/src/main.rs", text), 0);
        assert_eq!(found("crates/badrange-stack/src/registry/tests.rs", text), 0);
        assert_eq!(found("crates/badrange-stack/src/a.rs", "use crate::sync::Arc;\n"), 0);
        assert_eq!(
            found("crates/badrange-pmem/src/a.rs", "use core::sync::atomic::Ordering;\n"),
            0
        );
        assert_eq!(found("crates/badrange-pmem/src/a.rs", "use core::sync::atomic::fence;\n"), 1);
        assert_eq!(found("crates/badrange-stack/src/a.rs", "use loom::model;\n"), 1);
    }
}
