//! `vgcfgbackup`, and the JSON of `lvs` and `pvs`.
#![no_main]

use badrange_testkit::case::check_bytes;
use badrange_testkit::text::{Lvm, Text};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check_bytes::<Text<Lvm>>(bytes));
