//! Bugs of the field. Each exhibit is a wrong implementation made from descriptions, a documented case on which
//! it is wrong, and the same question to this workspace, which has to be right: on that case, and
//! on every small one, where there is a plain way to know what is right.
//!
//! `docs/bug-museum.md` tells the stories; every test here has a line there.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "the mistakes as they were made, small numbers, and a panic is a failed test"
)]

mod badblocks;
mod dax;
mod dm;
mod text;
mod xfs;

use badrange_core::{DevOffset, Extent};

/// Start and length; `None` where nothing is hit.
type Range = Option<(u64, u64)>;

fn at(start: u64, len: u64) -> Extent {
    Extent::new(DevOffset::new(start), len).unwrap()
}

fn plain(extent: Extent) -> (u64, u64) {
    (extent.start().get(), extent.len())
}

/// The page and the tests name the same exhibits.
#[test]
fn every_exhibit_has_its_story() {
    let sources = [
        include_str!("badblocks.rs"),
        include_str!("dax.rs"),
        include_str!("dm.rs"),
        include_str!("text.rs"),
        include_str!("xfs.rs"),
    ];
    let tests = sources.iter().flat_map(|source| source.split("#[test]\nfn ").skip(1));
    let mut tests: Vec<&str> = tests.filter_map(|rest| rest.split('(').next()).collect();
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/bug-museum.md");
    let page = std::fs::read_to_string(page).unwrap();
    let mut told: Vec<&str> =
        page.lines().filter_map(|line| line.strip_prefix("Test: `")?.strip_suffix('`')).collect();
    tests.sort_unstable();
    told.sort_unstable();
    assert_eq!(told, tests);
}
