//! `dmsetup table`.
#![no_main]

use badrange_testkit::case::check_bytes;
use badrange_testkit::text::{Dmsetup, Text};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check_bytes::<Text<Dmsetup>>(bytes));
