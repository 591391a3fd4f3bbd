//! Every design on every recording, and the design of this project against a plain search.
#![expect(clippy::arithmetic_side_effects, reason = "small numbers worked out by hand")]

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{
    EventOutcome, Profile, RunOutcome, Scenario, compare_designs, run, tests::recordings::texts,
};

fn scenario(value: &Value) -> Scenario {
    Scenario::from_str(&value.to_string(), "t.json").unwrap_or_else(|err| panic!("{err}\n{value}"))
}

fn ranged(value: &Value) -> RunOutcome {
    run(&scenario(value), Some(Profile::Ranged))
}

/// Nothing recorded makes a design panic, and all of it comes out the same twice.
#[test]
fn every_design_survives_every_recording() {
    for (name, text) in texts() {
        let scenario = Scenario::from_str(&text, &name).unwrap();
        for design in Profile::DESIGNS {
            let once = serde_json::to_string(&run(&scenario, Some(design))).unwrap();
            let twice = serde_json::to_string(&run(&scenario, Some(design))).unwrap();
            assert_eq!(once, twice, "{name} under {design}");
        }
        let comparison = compare_designs(&scenario, &Profile::DESIGNS);
        assert_eq!(comparison, compare_designs(&scenario, &Profile::DESIGNS), "{name}");
    }
}

/// Whatever happens in a recording, this project's design tells every owner, tells nobody of
/// anything else, signals once, and leaves no bad page mapped, as long as somebody knows the map.
#[test]
fn ranged_misses_nobody_in_recordings() {
    for (name, text) in texts() {
        let scenario = Scenario::from_str(&text, &name).unwrap();
        let xfs = |fs: &crate::scenario::Filesystem| fs.kind == crate::scenario::FsKind::Xfs;
        let live = |fs: &crate::scenario::Filesystem| fs.state == crate::scenario::State::Mounted;
        let known = scenario.filesystems.iter().all(|fs| xfs(fs) && fs.rmapbt && live(fs));
        for report in &compare_designs(&scenario, &[Profile::Ranged]).designs[0].events {
            let tally = report.tally;
            if report.crash == Some(crate::Crash::Panic) {
                continue; // the administrator wants no recovery
            }
            assert_eq!(tally.wrong_signals, 0, "{name}: {report:?}");
            assert_eq!(tally.duplicate_signals, 0, "{name}: {report:?}");
            assert_eq!(tally.left_mapped_bytes, 0, "{name}: {report:?}");
            assert!(!report.stuck && report.crash.is_none(), "{name}");
            if known && !name.contains("after_shutdown") {
                assert_eq!(report.missed, [], "{name}");
                assert_eq!(tally.missed_signals, 0, "{name}: {report:?}");
            }
        }
    }
}

/// Where 6.1 has no holder, its pages are all there is: the same processes are told as by design A.
#[test]
fn per_pfn_is_what_6_1_does_without_a_holder() {
    let mut compared = 0;
    for (name, text) in texts() {
        let scenario = Scenario::from_str(&text, &name).unwrap();
        let kernel = run(&scenario, Some(Profile::Linux6_1));
        let design = run(&scenario, Some(Profile::PerPfn));
        for (kernel, design) in kernel.events.iter().zip(&design.events) {
            let Some(call) = &kernel.call else { break };
            let holder = call.notified.holder.as_ref();
            let fell_back = holder.is_none_or(|holder| holder.ret == Some(-95)) && call.ret != -6;
            if kernel.nospec.is_some() || !fell_back {
                break;
            }
            assert!(kernel.effects == design.effects, "{name}");
            assert_eq!(Some(call.ret), design.ret, "{name}");
            compared += 1;
        }
    }
    assert!(compared > 20, "{compared}");
}

// ---- random machines

const PAGE: u64 = 4096;
const PHYS: u64 = 0x1_0000_0000;
/// Pages of each of the two pmem devices.
const PAGES: u64 = 32;

/// How the volume stands on the two devices.
#[derive(Debug, Clone, Copy)]
enum Stack {
    /// Both, one after the other.
    Linear,
    /// Chunks of two pages in turn.
    Striped,
    /// The first one alone, from its page 4 on.
    Partition,
    /// The first one itself.
    Bare,
}

impl Stack {
    fn devices(self) -> (Vec<Value>, &'static str, u64) {
        let pmem = |n: u64| {
            json!({"name": format!("pmem{n}"), "kind": "pmem", "mode": "raw",
            "phys": PHYS + n * PAGES * PAGE, "size": PAGES * PAGE})
        };
        let mut devices = vec![pmem(0), pmem(1)];
        let sectors = PAGES * 8;
        let (name, pages) = match self {
            Self::Bare => return (devices, "pmem0", PAGES),
            Self::Linear => {
                let table = [
                    format!("0 {sectors} linear pmem0 0"),
                    format!("{sectors} {sectors} linear pmem1 0"),
                ];
                devices.push(json!({"name": "vol", "kind": "dm", "table": table}));
                ("vol", 2 * PAGES)
            }
            Self::Striped => {
                let table = [format!("0 {} striped 2 16 pmem0 0 pmem1 0", 2 * sectors)];
                devices.push(json!({"name": "vol", "kind": "dm", "table": table}));
                ("vol", 2 * PAGES)
            }
            Self::Partition => {
                devices.push(json!({"name": "part", "kind": "partition", "on": "pmem0",
                    "start": 32, "sectors": sectors - 32}));
                ("part", PAGES - 4)
            }
        };
        (devices, name, pages)
    }

    /// The physical address of a page of the volume, by arithmetic of its own.
    fn phys(self, page: u64) -> u64 {
        let at = match self {
            Self::Bare | Self::Linear => page,
            Self::Partition => page + 4,
            Self::Striped => {
                let (chunk, inside) = (page / 2, page % 2);
                (chunk % 2) * PAGES + (chunk / 2) * 2 + inside
            }
        };
        PHYS + at * PAGE
    }
}

/// A file extent: first page on the volume, pages, inode, first page in the file.
type Piece = (u64, u64, u64, u64);

#[derive(Debug, Clone)]
struct Machine {
    stack: Stack,
    pieces: Vec<Piece>,
    /// (inode, wants early signals) of processes that map 64 pages of the file.
    processes: Vec<(u64, bool)>,
    /// Page frames: first and number.
    bad: (u64, u64),
}

fn machines() -> impl Strategy<Value = Machine> {
    let stack =
        prop::sample::select(vec![Stack::Linear, Stack::Striped, Stack::Partition, Stack::Bare]);
    // An inode has each of its pages in one place: its pieces follow one another in the file.
    let piece = (0..26_u64, 1..3_u64, 1..4_u64);
    let pieces = prop::collection::vec(piece, 0..8).prop_map(|drawn| {
        let mut ends = [0_u64; 4];
        let place = |(start, len, file): (u64, u64, u64)| {
            let end = &mut ends[usize::try_from(file).unwrap()];
            let at = *end;
            *end += len;
            (start, len, 130 + file, at)
        };
        drawn.into_iter().map(place).collect::<Vec<_>>()
    });
    let processes = prop::collection::vec((131..134_u64, any::<bool>()), 0..4);
    let bad = (0..2 * PAGES, 1..20_u64);
    (stack, pieces, processes, bad).prop_map(|(stack, pieces, processes, bad)| Machine {
        stack,
        pieces,
        processes,
        bad,
    })
}

impl Machine {
    fn scenario(&self) -> Value {
        let (devices, on, pages) = self.stack.devices();
        let extents = self.pieces.iter().map(|(start, len, ino, at)| {
            json!({"start": start * PAGE, "len": len * PAGE, "owner": ino, "file_start": at * PAGE})
        });
        let processes = self.processes.iter().enumerate().map(|(n, (ino, early))| {
            let touched: Vec<Value> =
                self.file(*ino).iter().map(|(page, _)| json!([page * PAGE, PAGE])).collect();
            json!({"tag": format!("P{n}"), "pid": 100 + n,
                "kill": if *early { "early" } else { "late" },
                "maps": [{"file": {"fs": "xfs0", "ino": ino}, "file_start": 0, "len": 64 * PAGE,
                    "vaddr": "0x7f0000000000", "touched": touched}]})
        });
        json!({"schema": "badrange.scenario/1", "name": "t", "profile": "ranged",
            "devices": devices,
            "filesystems": [{"name": "xfs0", "kind": "xfs", "device": on, "rmapbt": true,
                "ag_blocks": pages, "ag_count": 1, "blocks": pages,
                "extents": extents.collect::<Vec<_>>()}],
            "processes": processes.collect::<Vec<_>>(),
            "events": [{"do": "memory_failure_range", "phys": PHYS + self.bad.0 * PAGE,
                "len": self.bad.1 * PAGE}]})
    }

    /// Pages of a file with their physical addresses.
    fn file(&self, ino: u64) -> Vec<(u64, u64)> {
        let own = self.pieces.iter().filter(|piece| piece.2 == ino);
        let mut pages: Vec<(u64, u64)> = own
            .flat_map(|(start, len, _, at)| {
                (0..*len).map(move |i| (at + i, self.stack.phys(start + i)))
            })
            .collect();
        pages.sort_unstable();
        pages
    }

    fn is_bad(&self, phys: u64) -> bool {
        let start = PHYS + self.bad.0 * PAGE;
        (start..start + self.bad.1 * PAGE).contains(&phys)
    }

    /// (process, address) of all who must be signalled: page by page, process by process.
    fn signals(&self) -> Vec<(String, u64)> {
        let mut all = Vec::new();
        for (n, (ino, _)) in self.processes.iter().enumerate().filter(|(_, (_, early))| *early) {
            let bad = self.file(*ino).into_iter().filter(|(_, phys)| self.is_bad(*phys));
            all.extend(bad.map(|(page, _)| (format!("P{n}"), 0x7f00_0000_0000 + page * PAGE)));
        }
        all.sort();
        all
    }

    /// (process, page) of all mappings that must go.
    fn unmapped(&self) -> BTreeSet<(String, u64)> {
        let all = self.processes.iter().enumerate().flat_map(|(n, (ino, _))| {
            let bad = self.file(*ino).into_iter().filter(|(_, phys)| self.is_bad(*phys));
            bad.map(move |(page, _)| (format!("P{n}"), page))
        });
        all.collect()
    }

    /// Bad bytes, once per owner.
    fn owned(&self) -> u64 {
        let inodes = [131, 132, 133].into_iter();
        let pages = inodes.flat_map(|ino| self.file(ino)).filter(|(_, phys)| self.is_bad(*phys));
        u64::try_from(pages.count()).unwrap() * PAGE
    }
}

/// Process and address of every signal; process and page of all that was unmapped.
type Told = (Vec<(String, u64)>, BTreeSet<(String, u64)>);

fn told(event: &EventOutcome) -> Told {
    let effects = event.effects.as_ref().unwrap();
    let signal = |signal: &crate::Signal| (signal.tag.clone(), signal.addr.unwrap().get());
    let mut signals: Vec<(String, u64)> = effects.signals.iter().map(signal).collect();
    signals.sort();
    let pages = effects.unmapped.iter().flat_map(|unmapped| {
        let pages = unmapped.ranges.iter().flat_map(|(at, len)| at / PAGE..(at + len) / PAGE);
        pages.map(|page| (unmapped.tag.clone(), page))
    });
    (signals, pages.collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    /// Every owner is told, every process that wants to hear is signalled once per bad page it
    /// maps, every bad mapping goes, and nothing else happens to anybody.
    #[test]
    fn ranged_is_a_plain_search(machine in machines()) {
        let value = machine.scenario();
        let outcome = ranged(&value);
        let (signals, unmapped) = told(&outcome.events[0]);
        prop_assert_eq!(signals, machine.signals());
        prop_assert_eq!(unmapped, machine.unmapped());

        let comparison = compare_designs(&scenario(&value), &Profile::DESIGNS);
        for report in &comparison.designs {
            // The truth is the same for all.
            prop_assert_eq!(report.total.owned_bytes, machine.owned(), "{}", report.design);
            prop_assert_eq!(report.total.bad_mapped_bytes, told_bytes(&machine));
            prop_assert!(report.total.missed_bytes <= report.total.owned_bytes);
        }
        let total = comparison.designs.last().unwrap().total;
        prop_assert_eq!((total.missed_bytes, total.wrong_bytes), (0, 0));
        prop_assert_eq!((total.missed_signals, total.wrong_signals), (0, 0));
        prop_assert_eq!(total.duplicate_signals, 0);
        prop_assert_eq!((total.left_mapped_bytes, total.shutdowns), (0, 0));
        prop_assert_eq!(total.told_owners, total.owners);
    }

    /// One event of a range is worth as many of single pages, to everybody concerned.
    #[test]
    fn a_range_is_its_pages(machine in machines()) {
        let whole = ranged(&machine.scenario());
        let mut value = machine.scenario();
        let first = PHYS / PAGE + machine.bad.0;
        let pages = (first..first + machine.bad.1)
            .map(|pfn| json!({"do": "memory_failure", "pfn": pfn}));
        value["events"] = pages.collect();
        let single = ranged(&value);
        let mut signals = Vec::new();
        let mut unmapped = BTreeSet::new();
        for event in &single.events {
            let (more, gone) = told(event);
            signals.extend(more);
            unmapped.extend(gone);
        }
        signals.sort();
        prop_assert_eq!(told(&whole.events[0]), (signals, unmapped));
    }
}

fn told_bytes(machine: &Machine) -> u64 {
    u64::try_from(machine.unmapped().len()).unwrap() * PAGE
}

// ---- rules of this project's design, by hand

/// `pmem0` of 64 MiB with files 131 and 132, and 16 KiB of metadata at its beginning.
fn machine(event: Value) -> Value {
    let extent = |start: u64, ino: u64| json!({"start": start, "len": 4 << 20, "owner": ino, "file_start": 0});
    json!({"schema": "badrange.scenario/1", "name": "t", "profile": "ranged",
        "devices": [{"name": "pmem0", "kind": "pmem", "phys": PHYS, "size": 66 << 20,
            "data_offset": 2 << 20}],
        "filesystems": [{"name": "xfs0", "kind": "xfs", "device": "pmem0", "rmapbt": true,
            "ag_blocks": 16384, "ag_count": 1, "blocks": 16384,
            "extents": [{"start": 0, "len": 16384, "owner": "static fs metadata"},
                extent(4 << 20, 131), extent(8 << 20, 132)]}],
        "processes": [
            {"tag": "A", "pid": 1, "kill": "early", "maps": [{"file": {"fs": "xfs0", "ino": 131},
                "file_start": 0, "len": 4 << 20, "vaddr": "0x7f0000000000", "page": 2 << 20,
                "touched": [[0, 4 << 20]]}]},
            {"tag": "B", "pid": 2, "kill": "early", "maps": [{"file": {"fs": "xfs0", "ino": 131},
                "file_start": 0, "len": 4 << 20, "vaddr": "0x7f0000000000",
                "touched": [[0, 65536]]}]}],
        "events": [event]})
}

/// A process with huge pages loses one, once; another one with small pages loses only what is bad.
#[test]
fn one_signal_for_each_mapped_unit_and_nothing_needless() {
    let at = PHYS + (2 << 20) + (4 << 20) + 8192;
    let outcome = ranged(&machine(json!({"do": "memory_failure_range", "phys": at, "len": 8192})));
    let effects = outcome.events[0].effects.as_ref().unwrap();
    let signals: Vec<_> =
        effects.signals.iter().map(|s| (s.tag.as_str(), s.addr.unwrap().get(), s.lsb)).collect();
    let vaddr = 0x7f00_0000_0000_u64;
    assert_eq!(
        signals,
        [
            ("A", vaddr + 8192, Some(21)),
            ("B", vaddr + 8192, Some(12)),
            ("B", vaddr + 12_288, Some(12)),
        ]
    );
    let gone: Vec<_> = effects.unmapped.iter().map(|u| (u.tag.as_str(), &u.ranges[..])).collect();
    assert_eq!(gone, [("A", &[(0, 2 << 20)][..]), ("B", &[(8192, 8192)][..])]);
    assert_eq!(effects.shutdown, Some(vec![]));
    // The kernel takes 2 MiB from B as well, and signals A and B page by page.
    let kernel = run(
        &scenario(&machine(json!({"do": "memory_failure", "pfn": at / PAGE}))),
        Some(Profile::Linux6_12),
    );
    let effects = kernel.events[0].effects.as_ref().unwrap();
    assert_eq!(effects.unmapped[1].ranges, [(0, 65_536)]);
}

/// A range over metadata and data: mappings go first, then the shutdown, once.
#[test]
fn metadata_shuts_down_after_files_were_told() {
    let event = json!({"do": "notify", "device": "pmem0", "start": 8192, "len": 8 << 20});
    let outcome = ranged(&machine(event));
    let event = &outcome.events[0];
    assert_eq!(event.ret, Some(-117));
    let effects = event.effects.as_ref().unwrap();
    assert_eq!(effects.signals.len(), 2 + 16);
    assert_eq!(effects.shutdown.as_ref().unwrap().len(), 1);
    let records = &event.notified.as_ref().unwrap().records;
    assert_eq!(records.len(), 3, "metadata, and both files"); // 132 lies in [8 MiB, 8 MiB + 8 KiB)
    let trail = event.trail.as_ref().unwrap();
    assert_eq!(trail[0], "stack -> pmem0: device bytes [0x2000..0x802000)");
}

/// What lies below the data of a namespace is nobody's, and final.
#[test]
fn the_metadata_of_a_namespace_is_final() {
    let event = json!({"do": "memory_failure", "pfn": PHYS / PAGE + 1});
    let outcome = ranged(&machine(event));
    assert_eq!(outcome.events[0].ret, Some(-6));
    let call = outcome.events[0].call.as_ref().unwrap();
    assert_eq!(call.action, Some(crate::MfResult::Failed));
    // And what is no device's memory is not even accounted.
    let outcome = ranged(&machine(json!({"do": "memory_failure", "pfn": 1})));
    let call = outcome.events[0].call.as_ref().unwrap();
    assert_eq!((call.ret, call.action), (-6, None));
}

/// A filesystem without reverse map: only its own bytes fall back, and the page's own memory is
/// all there is. The page is gone from everybody all the same.
#[test]
fn only_the_remainder_falls_back() {
    let at = PHYS + (2 << 20) + (4 << 20);
    let event = json!({"do": "memory_failure_range", "phys": at, "len": 8192});
    let mut value = machine(event);
    value["filesystems"][0]["rmapbt"] = false.into();
    value["processes"][0]["kill"] = "late".into();
    let outcome = ranged(&value);
    let event = &outcome.events[0];
    assert_eq!(event.ret, Some(0));
    assert_eq!(event.cost.unwrap().fallback_pages, 2);
    let (signals, unmapped) = told(event);
    assert_eq!(signals.len(), 2);
    assert!(unmapped.contains(&("A".to_owned(), 0)) && unmapped.contains(&("B".to_owned(), 1)));
    assert!(!unmapped.contains(&("B".to_owned(), 2)));
    // With the map nothing falls back.
    value["filesystems"][0]["rmapbt"] = true.into();
    assert_eq!(ranged(&value).events[0].cost.unwrap().fallback_pages, 0);
}

/// A pmem device goes away under device-mapper: the filesystem on top is told and shut down, and
/// everybody is signalled whatever the policy.
#[test]
fn removal_climbs() {
    let mut value = machine(json!({"do": "unbind", "device": "pmem0"}));
    let table = ["0 131072 linear pmem0 0"];
    value["devices"]
        .as_array_mut()
        .unwrap()
        .push(json!({"name": "vol", "kind": "dm", "table": table}));
    value["filesystems"][0]["device"] = "vol".into();
    value["processes"][1]["kill"] = "late".into();
    let outcome = ranged(&value);
    let effects = outcome.events[0].effects.as_ref().unwrap();
    assert_eq!(effects.signals.len(), 2 + 16);
    let shutdown = &effects.shutdown.as_ref().unwrap()[..];
    assert_eq!((shutdown.len(), shutdown[0].reason), (1, "device_removed"));
    // The kernel tells nobody: device-mapper passes nothing on.
    let kernel = run(&scenario(&value), Some(Profile::Linux7_2));
    assert!(kernel.events[0].effects.as_ref().unwrap().signals.is_empty());
}
