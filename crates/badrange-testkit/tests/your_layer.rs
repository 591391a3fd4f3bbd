//! `docs/testing-your-layer.md` shows the code that is compiled here, and what the kit really
//! prints about it. Not part of the published crate: the page is not either.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::unwrap_used,
    reason = "a layer with the bugs that are looked for, and a panic is a failed test"
)]

#[path = "../examples/buggy_stripes/layer.rs"]
mod layer;

use std::fs;

use badrange_testkit::conformance::{self, Config};
use layer::{Bug, Buggy};

const ALL: [Bug; 8] = [
    Bug::InclusiveEnd,
    Bug::UnclippedLength,
    Bug::FirstMatchOnly,
    Bug::ChunkRemainder,
    Bug::Wraps,
    Bug::RunFromFirstElement,
    Bug::DoesNotStop,
    Bug::LegTooMany,
];

fn page() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/testing-your-layer.md");
    fs::read_to_string(path).unwrap()
}

/// The fenced blocks of a kind, without their fences.
fn blocks(page: &str, kind: &str) -> Vec<String> {
    let fence = format!("```{kind}\n");
    let starts = page.split(fence.as_str()).skip(1);
    starts.filter_map(|rest| rest.split("```").next()).map(str::to_owned).collect()
}

#[test]
fn what_the_page_prints_is_what_the_kit_prints() {
    let page = page();
    assert_eq!(conformance::mapping(&Buggy(Bug::None), &Config::default()), Ok(()));
    for bug in ALL {
        let title = format!("### `{bug:?}`");
        let section = page.split(title.as_str()).nth(1).unwrap_or_default();
        let section = section.split("\n### ").next().unwrap_or_default();
        let printed = conformance::mapping(&Buggy(bug), &Config::default()).unwrap_err();
        let shown = blocks(section, "text").concat();
        assert_eq!(shown, format!("{printed}\n"), "{title}");
    }
}

/// Code of the page, up to how far it is indented.
fn lines(code: &str) -> Vec<&str> {
    code.lines().map(str::trim).filter(|line| !line.is_empty()).collect()
}

#[test]
fn the_code_of_the_page_is_the_code_that_is_compiled() {
    let source = include_str!("../examples/buggy_stripes/layer.rs");
    let source = lines(source);
    let page = page();
    let about_the_layer = page.split("\n## That it keeps the laws").next().unwrap();
    for block in blocks(about_the_layer, "rust,ignore") {
        let quoted = lines(&block);
        let there = source.windows(quoted.len()).any(|part| part == quoted.as_slice());
        assert!(there, "the layer has no such lines:\n{block}");
    }
}
