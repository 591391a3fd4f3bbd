//! Benchmarks of badrange: against other crates, and against what the machine can do.
//!
//! `cargo xtask bench-compare` builds this program in release mode and runs it. Every comparison is
//! made in one process, in interleaved pairs: ours, the rival, ours, the rival. What counts is the
//! ratio within a pair, because the machine's speed changes from minute to minute.
//!
//! A part is a module with a function `run(&Options, &mut Page)`; `main.rs` has one line for each.
//! It prints as it goes and leaves its section in [`Page`], which becomes a part of
//! `docs/performance.md`.

#![expect(clippy::print_stdout, reason = "talking to the terminal is what this program is for")]
#![expect(
    clippy::arithmetic_side_effects,
    clippy::cast_precision_loss,
    reason = "counts and times of measurements, far from the ends of their types"
)]

pub mod data;
pub mod engine;
pub mod index;
pub mod load;
pub mod measure;
pub mod page;

use std::path::PathBuf;

pub use measure::{Pair, Ratio};
pub use page::Page;

/// What the command line asks for.
#[derive(Debug, Clone)]
pub struct Options {
    /// Small sizes and few rounds: whether everything runs, not how fast.
    pub quick: bool,
    /// Rounds of each pair.
    pub rounds: usize,
    /// Sizes to measure, where a part has sizes.
    pub sizes: Vec<usize>,
    /// Where `performance.md` and the plots go; `None` prints only.
    pub docs: Option<PathBuf>,
}

/// One line to the terminal, as it is known.
pub fn say(line: &str) {
    println!("{line}");
}
