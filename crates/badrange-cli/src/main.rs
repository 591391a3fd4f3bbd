//! The `badrange` command.
fn main() {}
