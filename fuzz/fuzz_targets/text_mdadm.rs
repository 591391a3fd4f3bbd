//! `mdadm --examine`.
#![no_main]

use badrange_testkit::case::check_bytes;
use badrange_testkit::text::{MdExamine, Text};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check_bytes::<Text<MdExamine>>(bytes));
