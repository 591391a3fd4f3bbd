//! Reads and writes of the ranged design: values by hand, and bytes against the list of sectors.

use proptest::prelude::*;
use serde_json::json;

use super::{
    build::{Build, DATA, extent, machine},
    io::table,
};
use crate::{Around, ClearAttempt, EventOutcome, Profile, Recovery};

/// A file of 16 pages from byte 65536 of the device on; sector 128 is its first.
const FILE: u64 = 65_536;

fn bad(sectors: &[(u64, u64)]) -> Build {
    machine().extent(extent(FILE, FILE, 131, 0)).set("/devices/0/badblocks", json!(sectors))
}

fn run(machine: &Build) -> Vec<EventOutcome> {
    machine.run(Profile::Ranged)
}

fn around(good: &[(u64, u64)], holes: &[(u64, u64)]) -> Option<Around> {
    Some(Around { good: good.to_vec(), holes: holes.to_vec() })
}

fn cleared(at: u64, len: u64, ret: i64) -> ClearAttempt {
    ClearAttempt::new(DATA + at, len, ret)
}

#[test]
fn a_read_gives_all_but_the_hole() {
    // Sector 145 is the second of page 2 of the file: bytes 8704..9216.
    let events = run(&bad(&[(145, 1)])
        .io("read", 131, 0, FILE)
        .io("read", 131, 8704, 512)
        .io("read", 131, 8703, 514)
        .io("read", 131, 9216, 512)
        .io("read", 131, 0, 8704)
        .io("read", 131, 9000, 100));
    assert_eq!(events[0].ret, Some(8704));
    assert_eq!(events[0].around, around(&[(0, 8704), (9216, FILE - 9216)], &[(8704, 512)]));
    assert_eq!((events[1].ret, &events[1].around), (Some(-5), &around(&[], &[(8704, 512)])));
    let both_sides = around(&[(8703, 1), (9216, 1)], &[(8704, 512)]);
    assert_eq!((events[2].ret, &events[2].around), (Some(1), &both_sides));
    assert_eq!((events[3].ret, &events[3].around), (Some(512), &around(&[(9216, 512)], &[])));
    assert_eq!((events[4].ret, &events[4].around), (Some(8704), &around(&[(0, 8704)], &[])));
    assert_eq!((events[5].ret, &events[5].around), (Some(-5), &around(&[], &[(9000, 100)])));
    // A kernel gives nothing of the extent, and says nothing of holes.
    let kernel = bad(&[(145, 1)]).io("read", 131, 0, FILE).run(Profile::Linux6_12);
    assert_eq!((kernel[0].ret, &kernel[0].around), (Some(-5), &None));
}

#[test]
fn a_write_that_covers_the_hole_repairs_just_that() {
    let events = run(&bad(&[(145, 1)])
        .set("/devices/0/region/badblocks", json!([[4096 + 145, 1]]))
        .io("write", 131, 8704, 512)
        .io("read", 131, 0, FILE));
    let at = FILE + 8704;
    assert_eq!(events[0].ret, Some(512));
    assert_eq!(events[0].recovery, Some(vec![Recovery::new(at, 512, 512)]));
    assert_eq!(events[0].clear_poison, Some(vec![cleared(at, 512, 512)]));
    assert_eq!((table(&events[0], "pmem0"), table(&events[0], "region0")), (vec![], vec![]));
    assert_eq!((events[1].ret, &events[1].around), (Some(65_536), &around(&[(0, FILE)], &[])));
}

#[test]
fn a_write_that_cuts_a_hole_is_refused_and_stores_nothing() {
    for (at, len) in [(8704, 511), (8705, 511), (8000, 705), (9215, 1)] {
        let events = run(&bad(&[(130, 1), (145, 1)]).io("write", 131, at, len));
        assert_eq!(events[0].ret, Some(-14), "{at}+{len}");
        assert_eq!(events[0].clear_poison, Some(vec![]));
        assert_eq!(table(&events[0], "pmem0"), [(130, 1), (145, 1)]);
    }
    // Also when what comes before could have been repaired: sector 130 is bytes 1024..1536.
    let events = run(&bad(&[(130, 1), (145, 1)]).io("write", 131, 1024, 7681));
    assert_eq!((events[0].ret, table(&events[0], "pmem0").len()), (Some(-14), 2));
    let beside = run(&bad(&[(145, 1)]).io("write", 131, 8000, 704).io("write", 131, 9216, 9));
    assert_eq!((beside[0].ret, beside[1].ret), (Some(704), Some(9)));
    assert_eq!(beside[1].clear_poison, Some(vec![]));
}

#[test]
fn where_the_hardware_gives_up_the_rest_stays_bad() {
    // Three sectors from 145 on; the hardware clears one and a half.
    let machine = bad(&[(145, 3)]).set("/devices/0/clear_poison", 768);
    let events = run(&machine.io("write", 131, 8192, 4096).io("read", 131, 8192, 4096));
    assert_eq!(events[0].ret, Some(1024), "to the first byte that is still bad");
    assert_eq!(events[0].clear_poison, Some(vec![cleared(FILE + 8704, 1536, 768)]));
    assert_eq!(events[0].recovery, Some(vec![Recovery::new(FILE + 8704, 1536, 512)]));
    assert_eq!(table(&events[0], "pmem0"), [(146, 2)]);
    let left = around(&[(8192, 1024), (10_240, 2048)], &[(9216, 1024)]);
    assert_eq!((events[1].ret, &events[1].around), (Some(1024), &left));
    let without = bad(&[(144, 1)]).set("/devices/0/clear_poison", -25);
    assert_eq!(run(&without.io("write", 131, 8192, 4096))[0].ret, Some(-5));
}

#[test]
fn bad_blocks_that_were_never_written_are_zeros_to_read_and_repaired_by_a_write() {
    let mut unwritten = extent(FILE, FILE, 131, 0);
    unwritten["unwritten"] = true.into();
    let machine = machine().extent(unwritten).set("/devices/0/badblocks", json!([[145, 1]]));
    let events =
        run(&machine.io("read", 131, 0, FILE).io("write", 131, 8192, 8).io("read", 131, 0, FILE));
    assert_eq!((events[0].ret, &events[0].around), (Some(65_536), &around(&[(0, FILE)], &[])));
    // The page is zeroed around the eight bytes, and that covers the sector.
    assert_eq!(events[1].ret, Some(8));
    assert_eq!(events[1].clear_poison, Some(vec![cleared(FILE + 8704, 512, 512)]));
    assert_eq!((events[2].ret, table(&events[2], "pmem0")), (Some(65_536), vec![]));
}

#[test]
fn a_write_to_shared_blocks_needs_only_what_it_keeps() {
    let machine = |sector: u64| {
        let mut shared = extent(FILE, FILE, 131, 0);
        shared["shared"] = true.into();
        machine()
            .extent(shared.clone())
            .extent({
                shared["owner"] = 132.into();
                shared
            })
            .set("/devices/0/badblocks", json!([[sector, 1]]))
    };
    // Bytes 8704..9216 are replaced, the rest of their page is copied.
    let replaced = run(&machine(145).io("write", 131, 8704, 512).io("read", 131, 8192, 4096));
    assert_eq!((replaced[0].ret, replaced[1].ret), (Some(512), Some(4096)));
    assert_eq!(table(&replaced[0], "pmem0"), [(145, 1)], "the other file still has them");
    assert_eq!(run(&machine(146).io("write", 131, 8704, 512))[0].ret, Some(-5));
}

#[test]
fn more_holes_than_a_kernel_remembers_are_all_told() {
    // Every second sector of 600: the table of a kernel takes 512 records and forgets the rest.
    let many: Vec<(u64, u64)> = (0..600).map(|i| (128 + 2 * i, 1)).collect();
    let machine =
        machine().extent(extent(FILE, 1 << 20, 131, 0)).set("/devices/0/badblocks", json!(many));
    let events = run(&machine.io("read", 131, 0, 600 * 1024));
    let holes: Vec<(u64, u64)> = (0..600).map(|i| (1024 * i, 512)).collect();
    assert_eq!(events[0].around.as_ref().unwrap().holes, holes);
    assert_eq!(table(&events[0], "pmem0").len(), 600);
}

#[test]
fn the_legs_of_a_stripe_have_their_own_holes() {
    // Two legs, chunks of 64 KiB. Byte 70000 of the volume is byte 4464 of the second leg: sector 8.
    let mut machine = machine();
    let mut second = machine.0["devices"][0].clone();
    second["name"] = "pmem1".into();
    second["phys"] = "0x200000000".into();
    second["badblocks"] = json!([[8, 1]]);
    second.as_object_mut().unwrap().remove("region");
    let table = "0 262144 striped 2 128 pmem0 0 pmem1 0";
    machine = machine.device(second).device(json!({"name": "dm0", "kind": "dm", "table": [table]}));
    machine = machine.set("/filesystems/0/device", "dm0").extent(extent(32_768, 98_304, 131, 0));
    // The file begins at byte 32768 of the volume; its byte 36864 is the first of the second leg.
    let events = run(&machine.io("read", 131, 0, 98_304).io("write", 131, 36_864, 512));
    assert_eq!(events[0].around, around(&[(0, 36_864), (37_376, 60_928)], &[(36_864, 512)]));
    assert_eq!(
        (events[1].ret, events[1].badblocks.as_ref().unwrap()["pmem1"].len()),
        (Some(512), 0)
    );
}

#[test]
fn a_device_that_is_gone_is_one_hole() {
    let machine = bad(&[]).event(json!({"do": "unbind", "device": "pmem0"}));
    let events = run(&machine.io("read", 131, 0, 4096).io("write", 131, 0, 4096));
    assert!(events[1].ret.unwrap() < 0 && events[2].ret.unwrap() < 0);
}

proptest! {
    /// Every byte that is asked for is good or in a hole, and in a hole just where its sector is
    /// bad. A write repairs all it covers or nothing, and nothing beside.
    #[test]
    fn every_byte_is_in_one_of_the_two(
        sectors in prop::collection::btree_set(100..300_u64, 0..12),
        start in 0..FILE,
        len in 1..FILE,
    ) {
        let len = len.min(FILE - start);
        let rows: Vec<(u64, u64)> = sectors.iter().map(|sector| (*sector, 1)).collect();
        let events = run(&bad(&rows)
            .io("read", 131, start, len)
            .io("write", 131, start, len)
            .io("read", 131, start, len));
        let bad_byte = |byte: u64| sectors.contains(&((FILE + byte) / 512));
        let seen = events[0].around.clone().unwrap();
        let bytes = |rows: &[(u64, u64)]| -> Vec<u64> {
            rows.iter().flat_map(|(at, len)| *at..at + len).collect()
        };
        let (good, lost) = (start..start + len).partition::<Vec<u64>, _>(|byte| !bad_byte(*byte));
        prop_assert_eq!(bytes(&seen.good), good);
        prop_assert_eq!(bytes(&seen.holes), lost.clone());
        let prefix = lost.first().map_or(len, |first| first - start);
        let ret = if prefix == 0 { -5 } else { i64::try_from(prefix).unwrap() };
        prop_assert_eq!(events[0].ret, Some(ret));
        // The first and the last sector that it touches are the only ones it can cut.
        let (first, end) = ((FILE + start) / 512, (FILE + start + len).div_ceil(512));
        let cut = |sector: u64| {
            sectors.contains(&sector) && (sector * 512 < FILE + start || (sector + 1) * 512 > FILE + start + len)
        };
        let refused = cut(first) || cut(end - 1);
        prop_assert_eq!(events[1].ret, Some(if refused { -14 } else { i64::try_from(len).unwrap() }));
        let left = sectors.iter().filter(|sector| refused || !(first..end).contains(*sector)).count();
        let known: u64 = table(&events[1], "pmem0").iter().map(|(_, len)| len).sum();
        prop_assert_eq!(known, u64::try_from(left).unwrap());
        let after = events[2].around.clone().unwrap();
        prop_assert_eq!(after.holes.is_empty(), !refused || lost.is_empty());
    }
}
