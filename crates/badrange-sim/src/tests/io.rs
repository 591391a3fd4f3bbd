//! Reads, writes and clearing poison: values by the kernel's text, no recording has them.

use serde_json::json;

use super::build::{Build, DATA, extent, machine};
use crate::{ClearAttempt, EventOutcome, Profile, Recovery};

const KERNEL: Profile = Profile::Linux6_12;

/// A file of 16 pages from byte 65536 of the device on; sector 128 is its first.
fn file() -> Build {
    machine().extent(extent(65_536, 65_536, 131, 0))
}

fn bad(sectors: &[(u64, u64)]) -> Build {
    file().set("/devices/0/badblocks", json!(sectors))
}

pub(super) fn table(event: &EventOutcome, name: &str) -> Vec<(u64, u64)> {
    event.badblocks.as_ref().unwrap()[name].clone()
}

fn cleared(at: u64, len: u64, ret: i64) -> ClearAttempt {
    ClearAttempt::new(DATA + at, len, ret)
}

#[test]
fn a_whole_page_write_heals() {
    // Sector 145 is in page 2 of the file; in the region the data begins at sector 4096.
    let machine = bad(&[(145, 1)])
        .set("/devices/0/region/badblocks", json!([[4096 + 145, 1]]))
        .io("write", 131, 8192, 4096)
        .io("read", 131, 0, 65_536)
        .touch("load", 131, 8192);
    let events = machine.run(KERNEL);
    assert_eq!(events[0].ret, Some(4096));
    assert_eq!(events[0].recovery, Some(vec![Recovery::new(73_728, 4096, 4096)]));
    assert_eq!(events[0].clear_poison, Some(vec![cleared(73_728, 4096, 4096)]));
    assert_eq!(table(&events[0], "pmem0"), []);
    assert_eq!(table(&events[0], "region0"), []);
    assert_eq!(events[1].ret, Some(65_536));
    let access = events[2].access.as_ref().unwrap();
    assert_eq!((access.result, access.phys.unwrap().get()), ("ok", DATA + 73_728));
}

#[test]
fn recovery_runs_end_behind_a_bad_page_that_begins_clean_and_before_one_that_does_not() {
    // The bad sector is the first of page 2: the clean pages come first, then the bad one.
    let aligned = bad(&[(144, 1)]).io("write", 131, 0, 16_384).run(KERNEL);
    let clean = Recovery::new(65_536, 8192, 8192);
    let page = Recovery::new(73_728, 4096, 4096);
    assert_eq!(aligned[0].ret, Some(16_384));
    assert_eq!(aligned[0].recovery, Some(vec![clean, page]));
    assert_eq!(aligned[0].clear_poison, Some(vec![cleared(73_728, 4096, 4096)]));
    // In the middle of page 2: all three pages at once, and all three are cleared.
    let middle = bad(&[(145, 1)]).io("write", 131, 0, 16_384).run(KERNEL);
    assert_eq!(middle[0].ret, Some(16_384));
    assert_eq!(middle[0].recovery, Some(vec![Recovery::new(65_536, 12_288, 12_288)]));
    assert_eq!(middle[0].clear_poison, Some(vec![cleared(65_536, 12_288, 12_288)]));
}

#[test]
fn a_record_that_begins_before_the_request_takes_all_pages() {
    // Sectors 136..152 are pages 1 and 2; the write begins at page 2.
    let events = bad(&[(136, 16)]).io("write", 131, 8192, 16_384).run(KERNEL);
    assert_eq!(events[0].ret, Some(16_384));
    assert_eq!(events[0].recovery, Some(vec![Recovery::new(73_728, 16_384, 16_384)]));
    assert_eq!(table(&events[0], "pmem0"), [(136, 8)]);
}

#[test]
fn a_record_that_begins_less_than_a_page_before_the_request_takes_one_page() {
    // Sectors 143..152 are the last one of page 1 and all of page 2, where the write begins: the
    // distance of -1 sector wraps to no page when it is rounded up. The rest is clean.
    let events = bad(&[(143, 9)]).io("write", 131, 8192, 16_384).run(KERNEL);
    assert_eq!(events[0].ret, Some(16_384));
    assert_eq!(events[0].recovery, Some(vec![Recovery::new(73_728, 4096, 4096)]));
    assert_eq!(events[0].clear_poison, Some(vec![cleared(73_728, 4096, 4096)]));
    assert_eq!(table(&events[0], "pmem0"), [(143, 1)]);
}

#[test]
fn a_partial_clear_writes_nothing_and_keeps_the_table() {
    let machine = bad(&[(144, 8)]).set("/devices/0/clear_poison", 512);
    let events = machine.io("write", 131, 8192, 4096).run(KERNEL);
    assert_eq!(events[0].ret, Some(-14));
    assert_eq!(events[0].recovery, Some(vec![Recovery::new(73_728, 4096, 0)]));
    assert_eq!(events[0].clear_poison, Some(vec![cleared(73_728, 4096, 512)]));
    assert_eq!(table(&events[0], "pmem0"), [(144, 8)]);
}

#[test]
fn a_clear_of_nothing_is_taken_for_success() {
    let machine = bad(&[(144, 8)]).set("/devices/0/clear_poison", 0);
    let events = machine.io("write", 131, 8192, 4096).io("read", 131, 8192, 1).run(KERNEL);
    assert_eq!(events[0].ret, Some(4096));
    assert_eq!(table(&events[0], "pmem0"), [(144, 8)]);
    assert_eq!(events[1].ret, Some(-5));
}

#[test]
fn the_part_before_a_bad_extent_is_read() {
    // Pages 4.. lie elsewhere; their first page is bad.
    let machine = machine()
        .extent(extent(65_536, 16_384, 131, 0))
        .extent(extent(131_072, 16_384, 131, 16_384))
        .set("/devices/0/badblocks", json!([[256, 1]]))
        .io("read", 131, 4096, 20_480)
        .io("read", 131, 16_384, 4096)
        .io("read", 131, 0, 16_384);
    let events = machine.run(KERNEL);
    assert_eq!(events[0].ret, Some(12_288));
    assert_eq!(events[1].ret, Some(-5));
    assert_eq!(events[2].ret, Some(16_384));
}

#[test]
fn holes_and_unwritten_extents_read_as_zeros() {
    let unwritten = json!({"start": 65_536, "len": 4096, "owner": 131, "file_start": 4096,
        "unwritten": true});
    let machine = machine()
        .extent(unwritten)
        .set("/devices/0/badblocks", json!([[128, 8]]))
        .io("read", 131, 0, 8192)
        .touch("load", 131, 4096);
    let events = machine.run(KERNEL);
    assert_eq!(events[0].ret, Some(8192));
    let access = events[1].access.as_ref().unwrap();
    assert_eq!((access.result, access.phys), ("ok", None)); // the zero page
}

#[test]
fn a_write_to_an_unwritten_extent_zeroes_through_the_block_layer() {
    let unwritten = json!({"start": 65_536, "len": 8192, "owner": 131, "file_start": 0,
        "unwritten": true});
    let machine = machine().extent(unwritten).set("/devices/0/badblocks", json!([[128, 1]]));
    let healed = machine.clone().io("write", 131, 100, 10).io("read", 131, 0, 8192).run(KERNEL);
    assert_eq!(healed[0].ret, Some(10));
    assert_eq!(healed[0].recovery, Some(vec![]));
    assert_eq!(healed[0].clear_poison, Some(vec![cleared(65_536, 4096, 4096)]));
    assert_eq!(healed[1].ret, Some(8192));
    let refused = machine.set("/devices/0/clear_poison", -25).io("write", 131, 100, 10);
    assert_eq!(refused.run(KERNEL)[0].ret, Some(-5));
}

/// Two legs, one page per chunk: page 2n of the upper device is page n of `pmem0`.
fn striped() -> Build {
    let second = json!({"name": "pmem1", "kind": "pmem", "phys": "0x200000000",
        "size": 67_108_864, "mode": "raw"});
    let table = json!(["0 262144 striped 2 8 pmem0 0 pmem1 0"]);
    machine()
        .device(second)
        .device(json!({"name": "str", "kind": "dm", "table": table}))
        .set("/filesystems/0/device", "str")
        .extent(extent(65_536, 65_536, 131, 0))
}

#[test]
fn stripes_are_accessed_chunk_by_chunk() {
    // Page 18 of the upper device, page 2 of the file, is page 9 of pmem0.
    let machine = striped()
        .set("/devices/0/badblocks", json!([[72, 1]]))
        .set("/devices/0/clear_poison", -25)
        .io("read", 131, 0, 65_536)
        .io("write", 131, 0, 65_536)
        .touch("load", 131, 12_288);
    let events = machine.run(KERNEL);
    assert_eq!(events[0].ret, Some(8192));
    // What failed after a part was done is tried once more.
    assert_eq!(events[1].ret, Some(8192));
    let attempt = Recovery::new(36_864, 4096, 0);
    assert_eq!(events[1].recovery, Some(vec![attempt, attempt]));
    let refused = cleared(36_864, 4096, -25);
    assert_eq!(events[1].clear_poison, Some(vec![refused, refused]));
    let access = events[2].access.as_ref().unwrap();
    assert_eq!(access.phys.unwrap().get(), 0x2_0000_9000);
}

#[test]
fn a_store_to_a_shared_page_moves_it_away() {
    let machine = machine()
        .extent(extent(65_536, 65_536, 131, 0))
        .extent(extent(65_536, 65_536, 132, 0))
        .touch("store", 131, 8192)
        .touch("load", 131, 8192)
        .touch("load", 132, 8192)
        .fail(73_728)
        .fail(77_824);
    let events = machine.run(Profile::Linux7_2);
    let phys = |i: usize| events[i].access.as_ref().unwrap().phys.map(|phys| phys.get());
    assert_eq!((phys(0), phys(1), phys(2)), (None, None, Some(DATA + 73_728)));
    let owners = |i: usize| -> Vec<(u64, u64)> {
        let call = events[i].call.as_ref().unwrap();
        call.notified.owners.iter().map(|owner| (owner.ino, owner.page)).collect()
    };
    assert_eq!(owners(3), [(132, 2)]);
    // What is left of file 131 behind the hole is a record that begins later.
    assert_eq!(owners(4), [(132, 3), (131, 3)]);
}

#[test]
fn copy_on_write_reads_what_it_replaces() {
    let shared = machine()
        .extent(extent(65_536, 65_536, 131, 0))
        .extent(extent(65_536, 65_536, 132, 0))
        .set("/devices/0/badblocks", json!([[144, 1]]));
    let events = shared.io("write", 131, 8192, 4096).touch("store", 131, 8192).run(KERNEL);
    assert_eq!((events[0].ret, events[0].recovery.as_deref()), (Some(-5), Some(&[][..])));
    let signal = events[1].access.as_ref().unwrap().signal.unwrap();
    assert_eq!((signal.code, signal.lsb), ("BUS_ADRERR", 0));
}

pub(super) fn block(what: &str, offset: u64, len: u64, direct: bool) -> serde_json::Value {
    json!({"do": what, "file": {"device": "pmem0"}, "offset": offset, "len": len,
        "direct": direct})
}

#[test]
fn block_writes_clear_page_by_page() {
    let machine = bad(&[(8, 1), (16, 1)]);
    let events = machine
        .clone()
        .event(block("write", 0, 16_384, true))
        .event(block("read", 0, 16_384, true))
        .run(KERNEL);
    assert_eq!(events[0].ret, Some(16_384));
    let page = |at: u64| cleared(at, 4096, 4096);
    assert_eq!(events[0].clear_poison, Some(vec![page(4096), page(8192)]));
    assert_eq!(events[1].ret, Some(16_384));
    // A partial clear is taken off the table, and the write fails.
    let partial = bad(&[(8, 8)])
        .set("/devices/0/clear_poison", 1024)
        .event(block("write", 4096, 4096, true))
        .run(KERNEL);
    assert_eq!(partial[0].ret, Some(-5));
    assert_eq!(partial[0].clear_poison, Some(vec![cleared(4096, 4096, 1024)]));
    assert_eq!(table(&partial[0], "pmem0"), [(10, 6)]);
}

#[test]
fn page_cache_reads_up_to_the_bad_page() {
    let machine = bad(&[(17, 1)]);
    let events = machine
        .event(block("read", 100, 16_384, false))
        .event(block("read", 8192 + 4000, 10, false))
        .event(block("write", 8192, 4096, false))
        .event(block("write", 4096, 5000, false))
        .event(block("read", 512, 100, true))
        .run(KERNEL);
    assert_eq!(events[0].ret, Some(8092));
    assert_eq!(events[1].ret, Some(-5));
    assert_eq!(events[2].ret, Some(4096)); // fills the page, so it is not read
    assert_eq!(events[3].ret, Some(4096)); // the second page is not filled
    assert_eq!(events[4].ret, Some(-22));
}

#[test]
fn device_dax_has_no_read() {
    let machine = machine().device(json!({"name": "dax1.0", "kind": "pmem", "mode": "devdax",
        "phys": "0x200000000", "size": 8_388_608}));
    let file = json!({"device": "dax1.0"});
    let events = machine
        .event(json!({"do": "read", "file": file, "offset": 0, "len": 4096}))
        .event(json!({"do": "load", "file": file, "offset": 4_200_000}))
        .event(json!({"do": "memory_failure", "pfn": 0x20_0400, "flags": []}))
        .event(json!({"do": "memory_failure", "pfn": 0x20_0600, "flags": []}))
        .event(json!({"do": "load", "file": file, "offset": 8_388_608}))
        .run(KERNEL);
    assert_eq!(events[0].ret, Some(-22));
    assert_eq!(events[1].access.as_ref().unwrap().phys.unwrap().get(), 0x2_0040_1000);
    assert_eq!(events[2].ret, Some(0)); // the load made all of its 2 MiB known
    assert_eq!(events[3].ret, Some(-16));
    assert_eq!(events[4].access.as_ref().unwrap().signal.unwrap().code, "BUS_ADRERR");
}
