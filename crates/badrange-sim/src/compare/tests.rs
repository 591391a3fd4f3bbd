//! Two tiny machines, worked out by hand.

use serde_json::{Value, json};

use crate::{DesignReport, Profile, Scenario, compare_designs};

fn compare(value: &Value) -> Vec<DesignReport> {
    let scenario = Scenario::from_str(&value.to_string(), "t.json").unwrap();
    let comparison = compare_designs(&scenario, &Profile::DESIGNS);
    let widest = comparison.to_string().lines().map(str::len).max().unwrap_or(0);
    assert!(widest <= 100, "{widest} columns");
    comparison.designs
}

/// A row: owners told and all, bytes bad, missed, wrong; signals sent, wrong, twice, missed.
fn row(report: &DesignReport) -> (&str, [u64; 9]) {
    let t = report.total;
    let name = report.design.as_str();
    let bytes = [t.told_owners, t.owners, t.owned_bytes, t.missed_bytes, t.wrong_bytes];
    let signals = [t.signals, t.wrong_signals, t.duplicate_signals, t.missed_signals];
    (name, [&bytes[..], &signals].concat().try_into().unwrap())
}

/// A page that files 131 and 132 share. A maps 131 and then B maps 132; the page remembers 132.
#[test]
fn a_shared_page() {
    let process = |tag: &str, pid: u64, ino: u64| {
        json!({"tag": tag, "pid": pid, "kill": "early", "maps": [{"file": {"fs": "xfs0", "ino": ino},
            "file_start": 0, "len": 4096, "vaddr": "0x10000", "touched": [[0, 4096]]}]})
    };
    let extent = |ino: u64| json!({"start": 65_536, "len": 4096, "owner": ino, "file_start": 0});
    let value = json!({"schema": "badrange.scenario/1", "name": "shared", "profile": "ranged",
        "devices": [{"name": "pmem0", "kind": "pmem", "phys": "0x100000000", "size": 1 << 20}],
        "filesystems": [{"name": "xfs0", "kind": "xfs", "device": "pmem0", "rmapbt": true,
            "reflink": true, "ag_blocks": 256, "ag_count": 1, "blocks": 256,
            "extents": [extent(131), extent(132)]}],
        "processes": [process("A", 1, 131), process("B", 2, 132)],
        "events": [{"do": "memory_failure", "pfn": "0x100010"}]});
    let reports = compare(&value);
    let all = [2, 2, 8192, 0, 0, 2, 0, 0, 0];
    assert_eq!(
        reports.iter().map(row).collect::<Vec<_>>(),
        [
            ("per-pfn", [1, 2, 8192, 4096, 0, 1, 0, 0, 1]),
            ("corrupted-range", all),
            ("mf-register", all),
            ("range-owners", all),
            ("late-notifiers", all),
            ("linux-6.12", all),
            ("linux-7.2", all),
            ("ranged", all),
        ]
    );
    assert_eq!(reports[0].events[0].missed[0].owner, "xfs0 inode 131");
    assert_eq!(reports[0].total.left_mapped_bytes, 4096);
    assert_eq!(reports[7].total.unmapped_bytes, 8192);
}

/// Two linear targets over one device, so that what follows on the device does not follow in the
/// volume: pages 8..16 of the volume are pages 0..8 of the device, and pages 0..8 are 16..24.
/// Device pages 7 and 8 fail: volume page 15, and a page of nobody. Volume page 16 does not exist.
/// Then device pages 15 and 16: a page of nobody, and volume page 0.
#[test]
fn a_range_over_the_ends_of_targets() {
    let table = ["0 64 linear pmem0 128", "64 64 linear pmem0 0", "128 64 linear pmem0 256"];
    let extent = |page: u64, ino: u64| json!({"start": page * 4096, "len": 4096, "owner": ino, "file_start": 0});
    let notify =
        |page: u64| json!({"do": "notify", "device": "pmem0", "start": page * 4096, "len": 8192});
    let value = json!({"schema": "badrange.scenario/1", "name": "ends", "profile": "ranged",
        "devices": [{"name": "pmem0", "kind": "pmem", "phys": "0x100000000", "size": 1 << 20},
            {"name": "vol", "kind": "dm", "table": table}],
        "filesystems": [{"name": "xfs0", "kind": "xfs", "device": "vol", "rmapbt": true,
            "ag_blocks": 24, "ag_count": 1, "blocks": 24,
            "extents": [extent(0, 130), extent(15, 131), extent(16, 132)]}],
        "events": [notify(7), notify(15)]});
    let reports = compare(&value);
    let rows: Vec<_> = reports.iter().map(row).collect();
    // Nobody ever touched a page: pages remember nothing.
    assert_eq!(rows[0], ("per-pfn", [0, 2, 8192, 8192, 0, 0, 0, 0, 0]));
    // First sector only: volume page 15 is right, and 16 is wrong, because the length goes along;
    // in the second event the first sector is nobody's, and file 130 is not told.
    assert_eq!(rows[1], ("corrupted-range", [1, 2, 8192, 4096, 4096, 0, 0, 0, 0]));
    // It cannot be translated.
    assert_eq!(rows[2], ("mf-register", [0, 2, 8192, 8192, 0, 0, 0, 0, 0]));
    assert_eq!(rows[3], ("range-owners", [2, 2, 8192, 0, 0, 0, 0, 0, 0]));
    assert_eq!(rows[4], ("late-notifiers", [2, 2, 8192, 0, 0, 0, 0, 0, 0]));
    // No holder below device-mapper.
    assert_eq!(rows[5], ("linux-6.12", [0, 2, 8192, 8192, 0, 0, 0, 0, 0]));
    assert_eq!(rows[6], ("linux-7.2", [0, 2, 8192, 8192, 0, 0, 0, 0, 0]));
    assert_eq!(rows[7], ("ranged", [2, 2, 8192, 0, 0, 0, 0, 0, 0]));
}

/// A report that can be read by what reads Mermaid: a diagram for each design, participants first.
#[test]
fn the_report_has_a_diagram_for_each_design() {
    let value = json!({"schema": "badrange.scenario/1", "name": "n", "profile": "ranged",
        "devices": [{"name": "pmem0", "kind": "pmem", "phys": 0, "size": 1 << 20, "mode": "raw"}],
        "events": [{"do": "memory_failure", "pfn": 1}]});
    let scenario = Scenario::from_str(&value.to_string(), "t.json").unwrap();
    let text = compare_designs(&scenario, &[Profile::Ranged]).to_markdown();
    assert!(text.contains("```mermaid\nsequenceDiagram\n    participant p0 as stack\n"), "{text}");
    assert!(text.contains("    p0->>p1: device bytes [0x1000..0x2000)\n"), "{text}");
}
