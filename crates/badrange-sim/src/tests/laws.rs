//! What holds for any scenario whatever.

use proptest::prelude::*;
use serde_json::Value;

use super::recordings::texts;
use crate::{Profile, Scenario, check_locations, compare, compare_designs, run};

/// The places of all leaves of a JSON text.
fn leaves(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Array(list) => {
            for (i, value) in list.iter().enumerate() {
                leaves(value, &format!("{path}/{i}"), found);
            }
        }
        Value::Object(map) => {
            for (key, value) in map {
                leaves(value, &format!("{path}/{key}"), found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            found.push(path.to_owned());
        }
    }
}

/// A value that is likely to be at an edge.
fn nasty() -> impl Strategy<Value = Value> {
    prop_oneof![
        prop::sample::select(vec![0_u64, 1, 511, 512, 4095, 4096, 4097, 1 << 21, 1 << 32])
            .prop_map(Value::from),
        (0_u32..64, -2_i64..3)
            .prop_map(|(bit, off)| { Value::from((1_u64 << bit).wrapping_add_signed(off)) }),
        any::<u64>().prop_map(Value::from),
        (-200_i64..0).prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        Just(Value::Null),
        Just(Value::from("pmem0")),
        Just(Value::from("early")),
    ]
}

/// How a number moves a little.
fn nudged(value: &Value, by: i64) -> Option<Value> {
    let number = match value {
        Value::Number(number) => number.as_u64()?,
        Value::String(text) => u64::from_str_radix(text.strip_prefix("0x")?, 16).ok()?,
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    Some(number.wrapping_add_signed(by).into())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whatever is changed in a recorded scenario, it is refused, or it runs, and gives the same
    /// outcome twice.
    #[test]
    fn any_scenario_is_refused_or_runs(
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec(
            (any::<prop::sample::Index>(), nasty(), prop::option::of(-9000_i64..9000)), 1..4),
        design in prop::sample::select(Profile::DESIGNS.to_vec()),
    ) {
        let texts = texts();
        let mut value: Value = serde_json::from_str(&which.get(&texts).1).unwrap();
        for (place, new, nudge) in changes {
            let mut found = Vec::new();
            leaves(&value, "", &mut found);
            let place: &String = place.get(&found);
            let leaf = value.pointer_mut(place).unwrap();
            *leaf = nudge.and_then(|by| nudged(leaf, by)).unwrap_or(new);
        }
        if let Ok(scenario) = Scenario::from_str(&value.to_string(), "mutated.json") {
            for profile in Profile::KERNELS.into_iter().chain([design]) {
                let outcome = run(&scenario, Some(profile));
                prop_assert_eq!(&outcome, &run(&scenario, Some(profile)));
                let _ = compare(&scenario, &outcome);
                serde_json::to_string(&outcome).unwrap();
            }
            let _ = check_locations(&scenario);
            let _ = compare_designs(&scenario, &[design]).to_markdown();
        }
    }

    /// Ranges anywhere, of any length.
    #[test]
    fn any_range_can_be_notified(
        start in prop_oneof![0_u64..(70 << 20), any::<u64>()],
        len in prop_oneof![0_u64..20_000, 0_u64..(70 << 20), any::<u64>()],
        profile in prop::sample::select(Profile::ALL.to_vec()),
    ) {
        let machine = super::build::machine()
            .extent(super::build::extent(65_536, 65_536, 131, 0))
            .extent(super::build::extent(17 << 20, 65_536, 132, 0))
            .process(super::build::process("A", 1, "early", 131, 65_536))
            .process(super::build::process("B", 2, "early", 132, 65_536))
            .notify("pmem0", start, len);
        let events = machine.run(profile);
        // What is outside of the range stays mapped.
        if let Some(effects) = &events[0].effects {
            let signals = u64::try_from(effects.signals.len()).unwrap();
            prop_assert!(signals <= 32);
            let end = start.saturating_add(len);
            let hit = |at: u64| start < at + 65_536 && at < end;
            let stuck = events[0].stuck == Some(true);
            if !stuck && len > 512 && !hit(65_536) && !hit(17 << 20) {
                prop_assert_eq!(signals, 0);
            }
        }
    }
}

/// Bytes that are no JSON at all.
#[test]
fn noise_is_refused() {
    for text in ["", "null", "[]", "{", "\u{0}", "{\"schema\":1}", "1e999", &"[".repeat(1000)] {
        assert!(Scenario::from_str(text, "noise").is_err(), "{text:?}");
    }
}
