//! CXL regions, modulo and XOR, against pictures of them.
#![no_main]

use badrange_testkit::case::{Interleaves, check_bytes};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check_bytes::<Interleaves>(bytes));
