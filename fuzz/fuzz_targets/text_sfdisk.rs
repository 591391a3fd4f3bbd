//! `sfdisk -d` and `sfdisk --json`.
#![no_main]

use badrange_testkit::case::check_bytes;
use badrange_testkit::text::{Sfdisk, Text};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check_bytes::<Text<Sfdisk>>(bytes));
