//! Scenarios of the simulator; small ones run as every kernel.
#![no_main]

use badrange_testkit::case::check_bytes;
use badrange_testkit::text::{ScenarioJson, Text};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check_bytes::<Text<ScenarioJson>>(bytes));
