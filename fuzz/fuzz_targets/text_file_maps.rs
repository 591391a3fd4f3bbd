//! `filefrag -v` and `xfs_bmap -v`.
#![no_main]

use badrange_testkit::case::check_bytes;
use badrange_testkit::text::{FileMaps, Text};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check_bytes::<Text<FileMaps>>(bytes));
