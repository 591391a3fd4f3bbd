//! Lines that may be a table, read back when they are.
#![no_main]

use badrange_testkit::case::{TableText, check_bytes};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check_bytes::<TableText>(bytes));
