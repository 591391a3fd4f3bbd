//! Devices with poison that are read and repaired, against single bytes and granules.
#![no_main]

use badrange_testkit::case::{RecoveryOps, check_bytes};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check_bytes::<RecoveryOps>(bytes));
