//! Partitions and linear, striped, error and zero targets against their pictures.
#![no_main]

use badrange_testkit::case::{Tables, check_bytes};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check_bytes::<Tables>(bytes));
