//! Devices and holders that come and go, against a naive registry.
#![no_main]

use badrange_testkit::case::{RegistryOps, check_bytes};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check_bytes::<RegistryOps>(bytes));
