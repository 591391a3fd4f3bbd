//! Machines made up at random: whatever the format allows has an outcome, the same every time, in
//! every profile, and so do sweeps, comparisons and pictures of it.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{Profile, Scenario, Sweep, compare_designs, run, scenario::json::Strict};

const MIB: u64 = 1 << 20;

/// Bytes of data of each pmem device.
const SIZE: u64 = 16 * MIB;

/// `pmem0` for filesystems, `pmem1` for a character device, a filesystem or a leg, and what stands
/// on both.
fn devices() -> impl Strategy<Value = Vec<Value>> {
    let upper = prop::sample::select(vec![
        None,
        Some(json!({"name": "up", "kind": "partition", "on": "pmem0", "start": 2048,
            "sectors": 16_384})),
        Some(json!({"name": "up", "kind": "partition", "on": "pmem0", "start": 2049,
            "sectors": 16_391})),
        Some(json!({"name": "up", "kind": "dm",
            "table": ["0 8192 linear pmem0 8193", "8192 8192 linear pmem1 0"]})),
        Some(json!({"name": "up", "kind": "dm",
            "table": ["0 16384 striped 2 24 pmem0 2048 pmem1 4096"]})),
        Some(json!({"name": "up", "kind": "dm",
            "table": ["0 8192 linear pmem0 0", "8192 8192 linear pmem0 0"]})),
    ]);
    let mode = prop::sample::select(vec!["fsdax", "raw", "devdax"]);
    let align = prop::sample::select(vec!["4K", "2M", "1G"]);
    let clear = prop::option::of(prop::sample::select(vec![-25_i64, -5, 0, 512, 4096]));
    let bad = prop::collection::vec((0_u64..SIZE / 512 - 8, 1_u64..8), 0..4);
    (upper, mode, align, clear, bad).prop_map(|(upper, mode, align, clear, bad)| {
        let offset = if mode == "raw" { 0 } else { 2 * MIB };
        let mut bad: Vec<_> = bad.into_iter().map(|(at, len)| (at / 8 * 8, len)).collect();
        bad.sort_unstable();
        bad.dedup_by_key(|(at, _)| *at);
        let mut first = json!({"name": "pmem0", "kind": "pmem", "phys": "0x100000000",
            "size": SIZE + 2 * MIB, "data_offset": 2 * MIB, "badblocks": bad,
            "region": {"name": "region0", "phys": "0x100000000", "size": SIZE + 2 * MIB}});
        if let Some(clear) = clear {
            first["clear_poison"] = clear.into();
        }
        let mut second = json!({"name": "pmem1", "kind": "pmem", "phys": "0x140000000",
            "size": SIZE + offset, "data_offset": offset, "mode": mode, "align": align});
        if mode == "devdax" {
            second["faulted"] = json!([[0, 4096], [2 * MIB, 2 * MIB]]);
        }
        [Some(first), Some(second), upper].into_iter().flatten().collect()
    })
}

fn extents(pages: u64) -> impl Strategy<Value = Vec<Value>> {
    let owner = prop_oneof![
        4 => (131_u64..134, prop::sample::select(vec!["data", "data", "data", "attr"]), 0_u64..40)
            .prop_map(|(ino, fork, page)| json!({"owner": ino, "fork": fork,
                "file_start": page * 4096})),
        1 => Just(json!({"owner": 131, "fork": "extent-map"})),
        1 => prop::sample::select(vec!["inode btree", "free space", "unknown", "cow reservation"])
            .prop_map(|words| json!({"owner": words})),
    ];
    let one =
        (owner, 0..pages, 1_u64..40, any::<[bool; 2]>()).prop_map(move |(owner, at, n, b)| {
            let mut extent = owner;
            extent["start"] = json!(at * 4096);
            extent["len"] = json!(n.min(pages - at) * 4096);
            (extent["unwritten"], extent["shared"]) = (b[0].into(), b[1].into());
            extent
        });
    prop::collection::vec(one, 0..12)
}

fn filesystem(name: &'static str, device: &'static str) -> impl Strategy<Value = Value> {
    let pages = if device == "up" { 1024 } else { SIZE / 4096 };
    (
        prop::sample::select(vec!["xfs", "xfs", "xfs", "ext4", "other"]),
        prop::sample::select(vec!["mounted", "mounted", "shutdown", "unmounted"]),
        prop::sample::select(vec!["always", "inode", "never"]),
        any::<[bool; 4]>(),
        extents(pages),
        prop::sample::select(vec!["pmem0", "pmem1"]),
    )
        .prop_map(move |(kind, state, dax, flags, extents, other)| {
            let mut fs = json!({"name": name, "kind": kind, "device": device, "state": state,
                "dax": dax, "rmapbt": flags[0], "reflink": flags[1], "ag_blocks": pages,
                "ag_count": 1, "blocks": pages, "extents": extents,
                "files": [{"ino": 132, "dax": true}, {"ino": 133, "type": "dir"}],
                "not_in_core": [134], "dax_entries": [{"ino": 131, "ranges": [[0, 65_536]]}]});
            if flags[2] {
                fs["log"] = json!({"device": other, "start": 0, "len": MIB});
            }
            if flags[3] {
                fs["rt"] = json!({"device": other});
            }
            fs
        })
}

fn map() -> impl Strategy<Value = Value> {
    let file = prop_oneof![
        3 => (131_u64..134).prop_map(|ino| json!({"fs": "fs0", "ino": ino})),
        1 => (131_u64..134).prop_map(|ino| json!({"fs": "fs1", "ino": ino})),
        1 => Just(json!({"device": "pmem1"})),
    ];
    let ranges = || prop::collection::vec((0_u64..32, 1_u64..8), 0..3);
    (file, 0_u64..2, ranges(), ranges(), any::<[bool; 2]>()).prop_map(
        |(file, unit, touched, copies, [huge, private])| {
            let disjoint = |ranges: Vec<(u64, u64)>, from: u64| {
                let mut at = from;
                let mut list = Vec::new();
                for (gap, len) in ranges {
                    list.push(((at + gap) * 4096, len * 4096));
                    at += gap + len;
                }
                list
            };
            let mut map = json!({"file": file, "file_start": unit * 2 * MIB, "len": 4 * MIB,
                "vaddr": 0x7f00_0000_0000_u64, "shared": !private,
                "touched": disjoint(touched, 0)});
            if huge {
                map["touched_huge"] = json!([[2 * MIB, 2 * MIB]]);
            } else if private {
                map["private_copies"] = json!(disjoint(copies, 600));
            }
            map
        },
    )
}

fn process(number: u64) -> impl Strategy<Value = Value> {
    let policy = || prop::sample::select(vec!["early", "late", "default"]);
    let signal = prop::sample::select(vec!["handler", "default", "ignore", "blocked"]);
    (policy(), policy(), signal, prop::collection::vec(map(), 0..3)).prop_map(
        move |(kill, other, on_sigbus, maps)| {
            json!({"tag": format!("P{number}"), "pid": number, "kill": kill, "maps": maps,
                "threads": [{"tid": number + 100, "kill": other}], "on_sigbus": on_sigbus})
        },
    )
}

/// Mostly inside of a device; sometimes just outside, or anywhere.
fn place() -> impl Strategy<Value = u64> {
    prop_oneof![
        6 => 0..SIZE,
        2 => (0..SIZE / 4096).prop_map(|page| page * 4096),
        1 => SIZE - 4096..SIZE + 4096,
        1 => any::<u64>(),
    ]
}

fn event() -> impl Strategy<Value = Value> {
    let base = || prop::sample::select(vec![0x1_0000_0000_u64, 0x1_0020_0000, 0x1_4000_0000]);
    let device = || prop::sample::select(vec!["pmem0", "pmem1", "up"]);
    let length = || prop_oneof![0_u64..10_000, 0_u64..4 * MIB, any::<u64>()];
    let flags =
        || prop::sample::subsequence(vec!["action_required", "must_kill", "mem_pre_remove"], 0..=3);
    let file = || {
        prop_oneof![
            4 => (131_u64..136).prop_map(|ino| json!({"fs": "fs0", "ino": ino})),
            1 => Just(json!({"device": "pmem0"})),
            1 => Just(json!({"device": "pmem1"})),
        ]
    };
    let by = || prop::option::of(prop::sample::select(vec!["P1", "P2"]));
    prop_oneof![
        3 => (base(), place(), flags(), by()).prop_map(|(base, at, flags, by)| {
            let pfn = base.wrapping_add(at) / 4096;
            let event = json!({"do": "memory_failure", "pfn": pfn, "flags": flags});
            with(event, "by", by)
        }),
        2 => (0_u64..1024, 0_u64..20_000, any::<bool>()).prop_map(|(page, len, soft)| {
            let advice = if soft { "soft_offline" } else { "hwpoison" };
            json!({"do": "madvise", "by": "P1", "advice": advice, "map": 0,
                "offset": page * 4096, "len": len.min((1024 - page) * 4096)})
        }),
        2 => (base(), place(), 0_u64..30, by()).prop_map(|(base, at, lsb, by)| {
            let severity = if by.is_some() { "ar" } else { "ao" };
            let event = json!({"do": "machine_check", "severity": severity,
                "phys": base.wrapping_add(at), "lsb": lsb});
            with(event, "by", by)
        }),
        2 => (device(), place(), length(), flags()).prop_map(|(device, at, len, flags)| {
            json!({"do": "notify", "device": device, "start": at, "len": len, "flags": flags})
        }),
        1 => device().prop_map(|device| json!({"do": "unbind", "device": device})),
        1 => prop::sample::select(vec!["fs0", "fs1"])
            .prop_map(|fs| json!({"do": "mount", "fs": fs})),
        2 => (file(), place(), any::<bool>()).prop_map(|(file, at, write)| {
            json!({"do": if write { "store" } else { "load" }, "file": file, "offset": at})
        }),
        2 => (file(), place(), length(), any::<[bool; 2]>()).prop_map(
            |(file, at, len, [write, direct])| {
                json!({"do": if write { "write" } else { "read" }, "file": file, "offset": at,
                    "len": len, "direct": direct})
            }
        ),
        1 => (place(), 1_u64..200_000).prop_map(|(at, len)| {
            let phys = 0x1_0020_0000_u64.wrapping_add(at).min(u64::MAX - len);
            json!({"do": "memory_failure_range", "phys": phys, "len": len})
        }),
        1 => (any::<u64>(), 1_u64..100).prop_map(|(seed, count)| {
            json!({"do": "storm", "seed": seed, "count": count})
        }),
    ]
}

fn with(mut event: Value, key: &str, value: Option<&str>) -> Value {
    if let Some(value) = value {
        event[key] = value.into();
    }
    event
}

prop_compose! {
    fn scenario()(
        devices in devices(),
        fs0 in prop_oneof![filesystem("fs0", "pmem0"), filesystem("fs0", "up")],
        fs1 in prop_oneof![filesystem("fs1", "pmem1"), filesystem("fs1", "pmem0")],
        one in process(1),
        two in process(2),
        events in prop::collection::vec(event(), 1..5),
        early in 0_u64..2,
    ) -> Value {
        json!({"schema": "badrange.scenario/1", "name": "made up", "profile": "ranged",
            "sysctl": {"memory_failure_early_kill": early}, "devices": devices,
            "filesystems": [fs0, fs1], "processes": [one, two], "events": events})
    }
}

/// Takes out what a scenario is refused for, a thing at a time, until it is taken.
fn repaired(mut value: Value) -> Option<(Value, Scenario)> {
    for _ in 0..64 {
        let err = match Scenario::from_str(&value.to_string(), "made up") {
            Ok(scenario) => return Some((value, scenario)),
            Err(err) => err,
        };
        let path = err.path().to_owned();
        let (list, rest) = path.split_once('[')?;
        let (index, rest) = rest.split_once(']')?;
        let inner = rest.strip_prefix('.').and_then(|rest| rest.split_once('['));
        let index: usize = index.parse().unwrap();
        match inner.filter(|_| list != "events") {
            Some((inner, rest)) if value[list][index][inner].is_array() => {
                let at: usize = rest.split_once(']')?.0.parse().unwrap();
                value[list][index][inner].as_array_mut()?.remove(at);
            }
            Some(_) | None => {
                value[list].as_array_mut()?.remove(index);
            }
        }
    }
    None
}

proptest! {
    #[test]
    fn whatever_is_taken_has_an_outcome(
        value in scenario(),
        design in prop::sample::select(Profile::DESIGNS.to_vec()),
        seed in any::<u64>(),
    ) {
        let found = repaired(value);
        prop_assume!(found.is_some());
        let Some((value, scenario)) = found else { return Ok(()) };
        for profile in Profile::KERNELS.into_iter().chain([design]) {
            let text = |scenario: &Scenario| {
                serde_json::to_string(&run(scenario, Some(profile))).unwrap()
            };
            let again = Scenario::from_str(&value.to_string(), "made up").unwrap();
            prop_assert_eq!(text(&scenario), text(&again));
            prop_assert!(serde_json::from_str::<Strict>(&text(&scenario)).is_ok(), "a key twice");
            let line = |scenario: &Scenario| {
                Sweep::new(scenario, profile, 4096).map(|sweep| sweep.run(seed)).ok()
            };
            prop_assert_eq!(line(&scenario), line(&again));
        }
        let compared = compare_designs(&scenario, &[design]);
        prop_assert_eq!(compared.to_markdown(), compare_designs(&scenario, &[design]).to_markdown());
        let text = serde_json::to_string(&compared).unwrap();
        prop_assert!(serde_json::from_str::<Strict>(&text).is_ok(), "a key twice: {}", text);
        let _ = scenario.layers();
    }
}
