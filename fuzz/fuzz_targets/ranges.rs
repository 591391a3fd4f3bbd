//! Extents, runs, links and covers against sets of single units.
#![no_main]

use badrange_testkit::case::{Ranges, check_bytes};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check_bytes::<Ranges>(bytes));
