//! A stranger's crate: it may name `badrange` and nothing else of ours.

use badrange as _;

fn main() {}
