//! Bad sectors that are set and cleared, against a set of single sectors.
#![no_main]

use badrange_testkit::case::{BadblocksOps, check_bytes};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check_bytes::<BadblocksOps>(bytes));
