//! The facade against real captures.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "small numbers, and a panic is a failed test"
)]

mod arrays;
mod captures;
mod cxl;
mod discovery;
mod locating;
mod logs;
mod loops;
mod lvm_arrays;
mod lvm_thin;
mod storm;
mod thin;
mod whole_path;
