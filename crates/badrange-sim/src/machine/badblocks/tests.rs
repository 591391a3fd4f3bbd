use super::*;
use crate::kernel::Version::{self, V6_1, V6_12, V7_2};

fn table(version: Version) -> Badblocks {
    Badblocks::new(Quirks::new(version), &[])
}

#[test]
fn neighbours_are_one_row() {
    for version in [V6_1, V6_12, V7_2] {
        let mut bad = table(version);
        assert!(bad.set(0, 8));
        assert!(bad.set(8, 8));
        assert_eq!(bad.rows(), [(0, 16)]);
    }
}

#[test]
fn long_ranges_are_cut_and_joined_again() {
    let mut bad = table(V7_2);
    assert!(bad.set(0, 1300));
    assert_eq!(bad.rows(), [(0, 512), (512, 512), (1024, 276)]);
    bad.clear(600, 8);
    assert_eq!(bad.rows(), [(0, 512), (512, 88), (608, 416), (1024, 276)]);
    assert!(bad.set(600, 8));
    assert_eq!(bad.rows(), [(0, 512), (512, 512), (1024, 276)]);
}

#[test]
fn a_range_that_fills_a_gap_joins_both_sides() {
    let mut bad = table(V6_12);
    bad.set(0, 100);
    bad.set(200, 100);
    assert!(bad.set(50, 200));
    assert_eq!(bad.rows(), [(0, 300)]);
}

#[test]
fn the_first_bad_sector_is_that_of_the_record() {
    let mut bad = table(V6_1);
    bad.set(200, 16);
    assert_eq!(bad.first_bad(208, 8), Some(200));
    assert_eq!(bad.first_bad(199, 1), None);
    assert_eq!(bad.first_bad(199, 2), Some(200));
    assert_eq!(bad.first_bad(215, 1), Some(200));
    assert_eq!(bad.first_bad(216, 8), None);
}

#[test]
fn nothing_is_recorded_for_no_sectors() {
    let mut bad = table(V7_2);
    assert!(!bad.set(8, 0));
    assert!(!bad.set(u64::MAX, 2));
    assert_eq!(bad.rows(), []);
}

fn full(version: Version) -> Badblocks {
    let mut bad = table(version);
    for start in (0..512 * 16).step_by(16) {
        assert!(bad.set(start, 8));
    }
    assert_eq!(bad.rows().len(), 512);
    bad
}

#[test]
fn a_full_table_takes_what_merges_or_nothing() {
    for (version, merged) in [(V6_1, (0, 10)), (V6_12, (0, 10)), (V7_2, (0, 8))] {
        let mut bad = full(version);
        assert!(!bad.set(100_000, 8), "{version:?}");
        bad.set(8, 2);
        assert_eq!(bad.rows()[0], merged, "{version:?}");
        assert_eq!(bad.rows().len(), 512, "{version:?}");
    }
}

#[test]
fn a_split_needs_room() {
    let mut at_the_limit = full(V7_2);
    at_the_limit.clear(2, 2);
    assert_eq!(at_the_limit.rows()[0], (0, 8));
    // One row less is room enough, but not by the count of 6.12.
    for (version, rows) in [(V7_2, 512), (V6_12, 511)] {
        let mut bad = full(version);
        bad.clear(511 * 16, 8);
        bad.clear(2, 2);
        assert_eq!(bad.rows().len(), rows, "{version:?}");
    }
}

#[test]
fn trimming_needs_no_room() {
    let mut bad = full(V6_12);
    bad.clear(0, 2);
    bad.clear(20, 10);
    assert_eq!(&bad.rows()[..3], [(2, 6), (16, 4), (32, 8)]);
}
