//! `xfs_io -c fsmap` in its three forms.
#![no_main]

use badrange_testkit::case::check_bytes;
use badrange_testkit::text::{Fsmaps, Text};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check_bytes::<Text<Fsmaps>>(bytes));
