//! The XML of `thin_dump`.
#![no_main]

use badrange_testkit::case::check_bytes;
use badrange_testkit::text::{Text, ThinDumps};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check_bytes::<Text<ThinDumps>>(bytes));
