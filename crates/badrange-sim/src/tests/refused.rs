//! Scenarios that cannot be: every refusal names the place and the reason.

use serde_json::{Value, json};

use super::build::{extent, machine, process};
use crate::{Scenario, ScenarioError, ScenarioErrorKind as Kind};

/// The refusal of the small machine with one value changed, added or (`null`) removed.
fn refusal(pointer: &str, value: Value) -> ScenarioError {
    let mut base = machine()
        .extent(extent(65_536, 65_536, 131, 0))
        .process(process("A", 10, "early", 131, 65_536))
        .fail(65_536)
        .0;
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let parent = base.pointer_mut(parent).unwrap();
    match (parent, value) {
        (Value::Object(map), Value::Null) => drop(map.remove(key)),
        (Value::Object(map), value) => drop(map.insert(key.to_owned(), value)),
        (Value::Array(list), value) if key == "-" => list.push(value),
        (parent, value) => parent[key.parse::<usize>().unwrap()] = value,
    }
    Scenario::from_str(&base.to_string(), "t.json").expect_err(pointer)
}

#[test]
fn every_refusal_names_its_place() {
    let part = json!({"name": "p", "kind": "partition", "on": "pmem0", "start": 0,
        "sectors": 200_000});
    let circle = json!({"name": "d", "kind": "dm", "table": ["0 8 linear d 0"]});
    let crypt = json!({"name": "d", "kind": "dm", "table": ["0 8 zero"]});
    let cases: &[(&str, Value, &str, Kind)] = &[
        ("/schema", json!("badrange.scenario/2"), "schema", Kind::BadValue),
        ("/name", Value::Null, "", Kind::MissingKey),
        ("/profile", json!("linux-5.4"), "profile", Kind::BadValue),
        ("/speed", json!(1), "", Kind::UnknownKey),
        (
            "/sysctl",
            json!({"memory_failure_recovery": 2}),
            "sysctl.memory_failure_recovery",
            Kind::BadValue,
        ),
        ("/devices/0/phys", json!(-1), "devices[0].phys", Kind::WrongType),
        ("/devices/0/phys", json!("12"), "devices[0].phys", Kind::WrongType),
        ("/devices/0/phys", json!("0x+1"), "devices[0].phys", Kind::WrongType),
        ("/devices/0/phys", json!(1), "devices[0]", Kind::BadValue),
        ("/devices/0/size", json!("0xffffffffffffffff"), "devices[0]", Kind::BadValue),
        (
            "/devices/0/badblocks",
            json!([[8, 4], [10, 1]]),
            "devices[0].badblocks[1]",
            Kind::BadValue,
        ),
        ("/devices/0/badblocks", json!([[8, 0]]), "devices[0].badblocks[0]", Kind::BadValue),
        ("/devices/0/badblocks", json!([[8]]), "devices[0].badblocks[0]", Kind::WrongType),
        ("/devices/0/faulted", json!([[0, 1]]), "devices[0].faulted", Kind::BadValue),
        ("/devices/0/region/size", json!(4096), "devices[0].region", Kind::BadValue),
        ("/devices/0/kind", json!("nvme"), "devices[0].kind", Kind::BadValue),
        ("/devices/-", json!({"name": "pmem0", "kind": "dm"}), "devices", Kind::BadValue),
        ("/devices/-", part, "devices[1]", Kind::BadValue),
        ("/devices/-", circle, "devices[1]", Kind::TooLarge),
        ("/devices/-", crypt, "devices[1].table", Kind::BadValue),
        ("/filesystems/0/device", json!("sda"), "filesystems[0].device", Kind::BadReference),
        ("/filesystems/0/ag_blocks", Value::Null, "filesystems[0]", Kind::MissingKey),
        ("/filesystems/0/blocks", json!(12_288), "filesystems[0]", Kind::BadValue),
        ("/filesystems/0/block_size", json!(3000), "filesystems[0].block_size", Kind::BadValue),
        ("/filesystems/0/extents/1/start", json!(512), "filesystems[0].extents[1]", Kind::BadValue),
        (
            "/filesystems/0/extents/1/start",
            json!((16 << 20) - 4096),
            "filesystems[0].extents[1]",
            Kind::BadValue,
        ),
        (
            "/filesystems/0/extents/1/owner",
            json!("me"),
            "filesystems[0].extents[1].owner",
            Kind::BadValue,
        ),
        (
            "/filesystems/0/extents/0/fork",
            json!("data"),
            "filesystems[0].extents[0]",
            Kind::BadValue,
        ),
        (
            "/filesystems/0/extents/1/file_start",
            Value::Null,
            "filesystems[0].extents[1]",
            Kind::MissingKey,
        ),
        (
            "/processes/0/maps/0/file/ino",
            Value::Null,
            "processes[0].maps[0].file",
            Kind::MissingKey,
        ),
        (
            "/processes/0/maps/0/file",
            json!({"device": "pmem0"}),
            "processes[0].maps[0].file",
            Kind::BadValue,
        ),
        (
            "/processes/0/maps/0/touched",
            json!([[0, 100]]),
            "processes[0].maps[0].touched",
            Kind::BadValue,
        ),
        (
            "/processes/0/maps/0/touched",
            json!([[0, 131_072]]),
            "processes[0].maps[0].touched",
            Kind::BadValue,
        ),
        (
            "/processes/0/maps/0/page",
            json!(2_097_152),
            "processes[0].maps[0].touched",
            Kind::BadValue,
        ),
        (
            "/processes/0/maps/0/private_copies",
            json!([[0, 4096]]),
            "processes[0].maps[0]",
            Kind::BadValue,
        ),
        ("/processes/0/parent", json!("Z"), "processes[0].parent", Kind::BadReference),
        ("/events/0/do", json!("explode"), "events[0].do", Kind::BadValue),
        ("/events/0/flags", json!(["fast"]), "events[0].flags[0]", Kind::BadValue),
        ("/events/0/by", json!("Z"), "events[0].by", Kind::BadReference),
        ("/events/0/count", json!(2), "events[0]", Kind::UnknownKey),
        (
            "/events/-",
            json!({"do": "madvise", "by": "A", "advice": "hwpoison", "map": 1,
            "offset": 0, "len": 1}),
            "events[1].map",
            Kind::BadReference,
        ),
        (
            "/events/-",
            json!({"do": "machine_check", "severity": "ar", "phys": 0, "lsb": 6}),
            "events[1]",
            Kind::MissingKey,
        ),
        (
            "/events/-",
            json!({"do": "machine_check", "severity": "ao", "phys": 0, "lsb": 64}),
            "events[1].lsb",
            Kind::BadValue,
        ),
        ("/expect", json!({"events": [{}, {}]}), "expect.events", Kind::BadValue),
        ("/expect", json!({"events": [{"return": 0}]}), "expect.events[0]", Kind::UnknownKey),
        (
            "/expect",
            json!({"events": [{"holder": {"ret": "no"}}]}),
            "expect.events[0].holder.ret",
            Kind::WrongType,
        ),
        (
            "/locations",
            json!([{"fs": "xfs0", "ino": 1, "phys": 0, "len": 1}]),
            "locations[0]",
            Kind::MissingKey,
        ),
    ];
    for (pointer, value, path, kind) in cases {
        let err = refusal(pointer, value.clone());
        assert_eq!((err.path(), err.kind()), (*path, *kind), "{pointer} = {value}: {err}");
        assert!(err.to_string().starts_with("t.json: "), "{err}");
    }
}

#[test]
fn what_the_kernel_would_not_mount_is_not_mounted() {
    let mut base = machine().device(json!({"name": "p1", "kind": "partition", "on": "pmem0",
        "start": 0, "sectors": 131_072}));
    base = base.set("/filesystems/0/device", "p1");
    let err = Scenario::from_str(&base.0.to_string(), "t.json").unwrap_err();
    assert_eq!((err.kind(), err.path()), (Kind::BadValue, "filesystems[0]"));
    base.set("/filesystems/0/reflink", false).scenario();
}

#[test]
fn unknown_keys_are_named() {
    let err = refusal("/events/0/count", json!(2));
    let text = "t.json: events[0]: unknown key \"count\"; known here: do, pfn, flags, by";
    assert_eq!(err.to_string(), text);
}

#[test]
fn a_key_cannot_stand_twice() {
    let err = Scenario::from_str(r#"{"name":"a","name":"b"}"#, "t.json").unwrap_err();
    assert_eq!(err.kind(), Kind::Syntax);
    assert!(err.to_string().contains("key \"name\" stands twice"), "{err}");
}

#[test]
fn numbers_have_two_spellings() {
    let same = |value: Value| {
        let machine = machine().set("/devices/0/clear_poison", value);
        machine.scenario()
    };
    same(json!(0x1000));
    same(json!("0x1000"));
    same(json!("0X1000"));
    let err = refusal("/devices/0/clear_poison", json!(1.5));
    assert_eq!(err.kind(), Kind::WrongType);
}

#[test]
fn too_much_is_refused_before_it_runs() {
    let len: u64 = 1 << 35;
    let huge = json!([{"tag": "A", "pid": 1, "maps": [{"file": {"fs": "xfs0", "ino": 131},
        "file_start": 0, "len": len, "vaddr": 0, "touched": [[0, len]]}]}]);
    let err = refusal("/processes", huge);
    assert_eq!(err.kind(), Kind::TooLarge);
    assert!(err.to_string().contains("4194304"), "{err}");
    let mapped = json!({"tag": "B", "pid": 1, "maps": [{"file": {"fs": "xfs0", "ino": 131},
        "file_start": 0, "len": len, "vaddr": 0}]});
    let mut base = machine().process(mapped).0;
    base["events"] = json!([{"do": "madvise", "by": "B", "advice": "hwpoison", "map": 0,
        "offset": 0, "len": len}]);
    let err = Scenario::from_str(&base.to_string(), "t.json").unwrap_err();
    assert_eq!((err.kind(), err.path()), (Kind::TooLarge, "events[0]"));
}

#[test]
fn what_a_message_quotes_has_no_control_characters() {
    // JSON escapes those below a space; 0x7f stands as it is.
    for value in ["\u{7f}0x7f219c000000", "\u{1b}[31m", "\u{9b}31m"] {
        for (pointer, value) in [
            ("/devices/0/clear_poison", json!(value)),
            ("/devices/0", json!({"name": value})),
            ("/devices/0", json!({ value: 1 })),
            ("/profile", json!(value)),
            ("/name", json!(value)),
            ("/devices/0/name", json!(value)),
            ("/filesystems/0/name", json!(value)),
        ] {
            let said = refusal(pointer, value).to_string();
            assert!(!said.chars().any(char::is_control), "{said:?}");
        }
    }
}
