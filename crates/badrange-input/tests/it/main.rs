//! Real captures, hand-checked numbers, every refusal's message, and laws.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "small numbers, and a panic is a failed test"
)]

mod arrays;
mod corpus;
mod errors;
mod laws;
mod memory;
mod numbers;
mod ranges;

use badrange_input::{
    FileExtents, Filefrag, Fsmap, FsmapRecord, ParseError, XfsBmap, collect_files,
};

fn fixture(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/fixtures/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn fsmap(text: &[u8]) -> Result<Vec<FsmapRecord>, ParseError> {
    Fsmap::new(text).collect()
}

fn bmap(text: &[u8]) -> Result<Vec<FileExtents>, ParseError> {
    collect_files(XfsBmap::new(text))
}

fn filefrag(text: &[u8]) -> Result<Vec<FileExtents>, ParseError> {
    collect_files(Filefrag::new(text))
}
