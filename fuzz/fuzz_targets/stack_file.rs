//! A `stack.toml` with its files, and answers that have to cover their queries.
#![no_main]

use badrange_testkit::case::check_bytes;
use badrange_testkit::text::{StackArchive, Text};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check_bytes::<Text<StackArchive>>(bytes));
