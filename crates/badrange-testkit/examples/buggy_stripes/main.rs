//! What the kit prints about a striped layer with one bug at a time.
//!
//! `cargo run -p badrange-testkit --example buggy_stripes`; `docs/testing-your-layer.md` explains
//! each.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a layer with the bugs that are looked for, which prints them"
)]

mod layer;

use std::panic;

use badrange_testkit::conformance::{self, Config};
use layer::{Bug, Buggy};

const BUGS: [Bug; 9] = [
    Bug::None,
    Bug::InclusiveEnd,
    Bug::UnclippedLength,
    Bug::FirstMatchOnly,
    Bug::ChunkRemainder,
    Bug::Wraps,
    Bug::RunFromFirstElement,
    Bug::DoesNotStop,
    Bug::LegTooMany,
];

fn main() {
    // A layer that panics is caught and reported; the hook need not say it too.
    panic::set_hook(Box::new(|_| ()));
    for bug in BUGS {
        println!("== {bug:?}");
        match conformance::mapping(&Buggy(bug), &Config::default()) {
            Ok(()) => println!("keeps the laws"),
            Err(violation) => println!("{violation}"),
        }
    }
}
