//! Bad sectors as sysfs lists them, against their lines read plainly.
#![no_main]

use badrange_testkit::case::check_bytes;
use badrange_testkit::text::{BadblocksText, Text};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check_bytes::<Text<BadblocksText>>(bytes));
