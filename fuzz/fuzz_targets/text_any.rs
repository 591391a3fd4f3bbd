//! Any text: what it is, and what its reader makes of it; lists of paths.
#![no_main]

use badrange_testkit::case::check_bytes;
use badrange_testkit::text::{AnyFormat, Text};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check_bytes::<Text<AnyFormat>>(bytes));
