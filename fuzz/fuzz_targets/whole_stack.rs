//! Failures in whole stacks, against the naive twin.
#![no_main]

use badrange_testkit::case::{WholeStack, check_bytes};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check_bytes::<WholeStack>(bytes));
