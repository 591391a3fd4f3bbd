//! Texts that name bad ranges: logs, events, lists, JSON, rescue maps; and logs in pieces.
#![no_main]

use badrange_testkit::case::check_bytes;
use badrange_testkit::text::{BadRanges, Text};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check_bytes::<Text<BadRanges>>(bytes));
