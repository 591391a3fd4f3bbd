//! Tables of bad sectors, where the kernels differ: worked out from the rules of each for setting.

use serde_json::json;

use super::{
    build::{Build, DATA, machine},
    io::{block, table},
};
use crate::{EventOutcome, Profile};

/// A machine whose `pmem0` has these bad sectors already.
fn known(sectors: &[(u64, u64)]) -> Build {
    machine().set("/devices/0/badblocks", json!(sectors))
}

/// A worker finds an error in the page of `pmem0` that begins at this sector.
fn error(machine: Build, sector: u64) -> Build {
    let phys = DATA + sector * 512;
    machine.event(json!({"do": "machine_check", "severity": "ao", "phys": phys, "lsb": 12}))
}

fn read_sector(machine: Build, sector: u64) -> Build {
    machine.event(block("read", sector * 512, 512, true))
}

fn rets(events: &[EventOutcome]) -> Vec<Option<i64>> {
    events.iter().skip(1).map(|event| event.ret).collect()
}

#[test]
fn a_page_over_three_known_sectors_is_forgotten_in_part_by_6_1() {
    // 6.1 lets the record at 32 grow to the end of the page, and joins it with the one at 34. The
    // length of both is then the sum less what the first has beyond the start of the second:
    // 8 + 1 - (40 - 34) = 3. The record at 36 stays; 35 and 37..40 are lost.
    let machine = error(known(&[(32, 1), (34, 1), (36, 1)]), 32);
    let machine = [34, 35, 36, 37, 39].into_iter().fold(machine, read_sector);
    let events = machine.run(Profile::Linux6_1);
    assert_eq!(table(&events[0], "pmem0"), [(32, 3), (36, 1)]);
    assert_eq!(rets(&events), [Some(-5), Some(512), Some(-5), Some(512), Some(512)]);
    // The region was told of nothing before: its table has all of the page.
    assert_eq!(table(&events[0], "region0"), [(4096 + 32, 8)]);
    for kernel in [Profile::Linux6_12, Profile::Linux7_2, Profile::RangeOwners] {
        let events = machine.run(kernel);
        assert_eq!(table(&events[0], "pmem0"), [(32, 8)], "{kernel}");
        assert_eq!(rets(&events), [Some(-5); 5], "{kernel}");
    }
}

#[test]
fn what_comes_before_the_first_record_is_not_joined_with_it_by_6_12() {
    let machine = error(known(&[(16, 8)]), 8);
    let pmem0 = |kernel| table(&machine.run(kernel)[0], "pmem0");
    assert_eq!(pmem0(Profile::Linux6_1), [(8, 16)]);
    assert_eq!(pmem0(Profile::Linux6_12), [(8, 8), (16, 8)]);
    assert_eq!(pmem0(Profile::Linux7_2), [(8, 16)]);
}

#[test]
fn a_full_table_takes_what_merges_except_in_7_2() {
    // 512 records of a page with a page between: the page at 8 touches the first and the second.
    let full: Vec<(u64, u64)> = (0..512).map(|n| (n * 16, 8)).collect();
    let machine = read_sector(error(known(&full), 8), 8);
    for kernel in [Profile::Linux6_1, Profile::Linux6_12] {
        let events = machine.run(kernel);
        let rows = table(&events[0], "pmem0");
        assert_eq!((rows[0], rows[1], rows.len()), ((0, 24), (32, 8), 511), "{kernel}");
        assert_eq!(rets(&events), [Some(-5)], "{kernel}");
    }
    let events = machine.run(Profile::Linux7_2);
    assert_eq!(table(&events[0], "pmem0"), full);
    assert_eq!(rets(&events), [Some(512)]); // nobody wrote down that it is bad
}
