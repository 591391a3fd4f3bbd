//! Checks and chores of the workspace: `cargo xtask ci`.
fn main() {}
