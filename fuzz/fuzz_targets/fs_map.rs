//! A filesystem's reverse map and its holder against a list of owners per slot.
#![no_main]

use badrange_testkit::case::{FsMap, check_bytes};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check_bytes::<FsMap>(bytes));
