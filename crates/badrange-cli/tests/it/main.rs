//! The command as its users run it: transcripts, and everything that a transcript cannot show.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "small numbers, and a panic is a failed test"
)]

mod capture;
mod designs;
mod follow;
mod mending;
mod names;
mod pages;
mod schemas;
mod transcripts;
