#![expect(clippy::arithmetic_side_effects, reason = "small numbers, and a panic is a failed test")]

use std::collections::BTreeMap;

use badrange_core::{DevOffset, Errno, Extent};
use proptest::prelude::*;

use super::*;
use crate::Badblocks;
use Kernel::{Linux6_1, Linux6_12, Linux7_2};

/// A table after sets of (start, sectors, acknowledged), each of which has to succeed.
fn table(kernel: Kernel, sets: &[(u64, u64, bool)]) -> BadblocksTable {
    let mut table = BadblocksTable::new(kernel);
    for (start, sectors, acknowledged) in sets {
        assert!(table.set(Sector::new(*start), *sectors, *acknowledged), "{kernel} {start}");
    }
    table
}

fn rows(table: &BadblocksTable) -> Vec<(u64, u64, bool)> {
    table.records().map(|r| (r.start().get(), r.len(), r.is_acknowledged())).collect()
}

/// A table with no room: 512 records of 8 sectors, 8 apart, acknowledged.
fn full(kernel: Kernel) -> BadblocksTable {
    let sets: Vec<_> = (0..512).map(|i| (i * 16, 8, true)).collect();
    let table = table(kernel, &sets);
    assert!(table.is_full());
    table
}

#[test]
fn neighbours_that_say_the_same_are_one_record() {
    for kernel in Kernel::ALL {
        let mut bad = table(kernel, &[(0, 8, true), (8, 8, true)]);
        assert_eq!(rows(&bad), [(0, 16, true)], "{kernel}");
        // What is acknowledged is not un-acknowledged, except on 6.1.
        assert_eq!(bad.set(Sector::new(4), 2, false), kernel != Linux6_12, "{kernel}");
        assert_eq!(rows(&bad), [(0, 16, kernel != Linux6_1)], "{kernel}");
    }
}

#[test]
fn an_acknowledged_part_splits_what_is_not() {
    for kernel in [Linux6_12, Linux7_2] {
        let bad = table(kernel, &[(0, 16, true), (20, 8, false), (22, 2, true)]);
        let expected = [(0, 16, true), (20, 2, false), (22, 2, true), (24, 4, false)];
        assert_eq!(rows(&bad), expected, "{kernel}");
        assert_eq!(bad.check(Sector::new(0), 22).code(), -1);
        assert_eq!(bad.check(Sector::new(0), 20).code(), 1);
        assert_eq!(bad.check(Sector::new(22), 2).code(), 1);
        assert_eq!(bad.check(Sector::new(16), 4).code(), 0);
        assert_eq!(
            bad.check(Sector::new(27), 9).first().unwrap().to_string(),
            "24 4 (unacknowledged)"
        );
        assert_eq!(bad.show_unacknowledged(), "20 2\n24 4\n");
    }
    // 6.1 knows one word for both together: no.
    let bad = table(Linux6_1, &[(0, 16, true), (20, 8, false), (22, 2, true)]);
    assert_eq!(rows(&bad), [(0, 16, true), (20, 8, false)]);
    // What covers the old record decides.
    let bad = table(Linux6_1, &[(20, 8, false), (20, 8, true)]);
    assert_eq!(rows(&bad), [(20, 8, true)]);
}

/// `can_combine_front()` asks whether what is set begins where the second of the two does.
#[test]
fn records_that_came_to_say_the_same_are_joined_by_a_range_that_begins_with_the_second() {
    // Ways to two records that touch and say the same: from below (6.12), by what was acknowledged
    // since (7.2).
    let below = table(Linux6_12, &[(4, 4, true), (2, 2, true)]);
    let since = table(Linux7_2, &[(0, 4, false), (4, 4, true), (2, 2, true)]);
    for (mut bad, before) in [(below, vec![]), (since, vec![(0, 2, false)])] {
        let kernel = bad.kernel();
        let with = |last: &[(u64, u64, bool)]| [&before, last].concat();
        assert_eq!(rows(&bad), with(&[(2, 2, true), (4, 4, true)]), "{kernel}");
        assert!(bad.set(Sector::new(6), 1, true));
        assert_eq!(rows(&bad), with(&[(2, 2, true), (4, 4, true)]), "{kernel}: inside the second");
        assert!(bad.set(Sector::new(4), 1, true));
        assert_eq!(rows(&bad), with(&[(2, 6, true)]), "{kernel}");
    }
    // Up to 512 sectors together.
    for (len, joined) in
        [(256, vec![(1000, 512, true)]), (257, vec![(1000, 256, true), (1256, 257, true)])]
    {
        let bad = table(Linux6_12, &[(1256, len, true), (1000, 256, true), (1256, 1, true)]);
        assert_eq!(rows(&bad), joined);
    }
}

/// "badblocks: fix merge issue when new badblocks align with pre+1", in 6.15.
#[test]
fn a_new_record_is_joined_with_the_one_behind_it_since_6_15() {
    let sets = [(0, 2, true), (8, 4, true), (4, 4, true)];
    assert_eq!(rows(&table(Linux7_2, &sets)), [(0, 2, true), (4, 8, true)]);
    assert_eq!(rows(&table(Linux6_12, &sets)), [(0, 2, true), (4, 4, true), (8, 4, true)]);
    for kernel in [Linux6_12, Linux7_2] {
        let apart = table(kernel, &[(0, 2, true), (8, 4, true), (4, 3, true)]);
        assert_eq!(rows(&apart), [(0, 2, true), (4, 3, true), (8, 4, true)], "{kernel}");
    }
}

#[test]
fn a_full_table_of_6_12_grows_its_records() {
    // Before all others: what lies between is taken by the first record, if it says the same.
    let later: Vec<_> = (1..=512).map(|i| (1000 + i * 16, 8, true)).collect();
    let mut bad = table(Linux6_12, &later);
    assert!(!bad.set(Sector::new(1010), 8, false));
    // It would have 513 sectors; that the last one of these is there already counts as success.
    assert!(bad.set(Sector::new(511), 506, true));
    assert_eq!(rows(&bad), later);
    assert!(bad.set(Sector::new(1010), 8, true));
    assert_eq!(rows(&bad)[..2], [(1010, 14, true), (1032, 8, true)]);
    // Behind a record that says something else: up to the next one, which is stepped over whole,
    // and grows.
    let two = [(0, 1, true), (2, 1, false)];
    let rest: Vec<_> = (0..510).map(|i| (100 + i * 16, 8, true)).collect();
    let mut bad = table(Linux6_12, &[&two[..], &rest].concat());
    assert!(bad.is_full());
    assert!(bad.set(Sector::new(1), 3, false));
    assert_eq!(rows(&bad)[..3], [(0, 1, true), (2, 2, false), (100, 8, true)]);
}

#[test]
fn long_ranges_are_cut_and_joined_again() {
    for kernel in [Linux6_12, Linux7_2] {
        let mut bad = table(kernel, &[(0, 1300, true)]);
        let whole = [(0, 512, true), (512, 512, true), (1024, 276, true)];
        assert_eq!(rows(&bad), whole);
        assert!(bad.clear(Sector::new(600), 8));
        let split = [(0, 512, true), (512, 88, true), (608, 416, true), (1024, 276, true)];
        assert_eq!(rows(&bad), split);
        assert!(bad.set(Sector::new(600), 8, true));
        assert_eq!(rows(&bad), whole);
        assert_eq!(rows(&table(kernel, &[(0, 1024, true)])), [(0, 512, true), (512, 512, true)]);
        let grown = table(kernel, &[(0, 1, true), (1, 600, true)]);
        assert_eq!(rows(&grown), [(0, 512, true), (512, 89, true)]);
    }
}

/// 6.1 puts each further record of a long range before the last one, and its look-ups, which
/// bisect, then miss bad sectors.
#[test]
fn long_ranges_stand_in_reverse_order_on_6_1() {
    let mut bad = table(Linux6_1, &[(0, 1300, true)]);
    assert_eq!(rows(&bad), [(1024, 276, true), (512, 512, true), (0, 512, true)]);
    for at in [100, 600, 1100] {
        assert_eq!(bad.check(Sector::new(at), 8).code(), 0, "bad, and not found");
    }
    assert_eq!(bad.check(Sector::new(500), 100).code(), 1);
    assert_eq!(bad.show(), "1024 276\n512 512\n0 512\n");
    assert!(bad.clear(Sector::new(600), 8));
    assert_eq!(bad.len(), 3);
}

#[test]
fn a_range_over_three_records_loses_sectors_on_6_1() {
    let sets = [(32, 1, true), (34, 1, true), (36, 1, true), (32, 12, true)];
    assert_eq!(table(Linux6_1, &sets).to_string(), "32 3\n36 1\n");
    for kernel in [Linux6_12, Linux7_2] {
        assert_eq!(table(kernel, &sets).to_string(), "32 12\n");
    }
}

#[test]
fn a_range_that_fills_a_gap_joins_both_sides() {
    for kernel in Kernel::ALL {
        let bad = table(kernel, &[(0, 100, true), (200, 100, true), (50, 200, true)]);
        assert_eq!(rows(&bad), [(0, 300, true)], "{kernel}");
    }
    // A sum of 512 is one record since the rewrite, and two before.
    let sum =
        |kernel| rows(&table(kernel, &[(0, 256, true), (257, 255, true), (256, 1, true)])).len();
    assert_eq!((sum(Linux6_1), sum(Linux6_12), sum(Linux7_2)), (2, 1, 1));
}

/// 6.12 looks for a right neighbour from the record before the one that it put last.
#[test]
fn a_record_put_before_another_is_joined_by_6_1_and_7_2() {
    let before = |kernel| table(kernel, &[(16, 8, true), (8, 8, true)]).to_string();
    assert_eq!(before(Linux6_1), "8 16\n");
    assert_eq!(before(Linux6_12), "8 8\n16 8\n");
    assert_eq!(before(Linux7_2), "8 16\n");
}

/// After an overwritten head was joined to the left, 6.12 and 7.2 look from the wrong record.
#[test]
fn an_overwritten_head_is_joined_to_the_left_only() {
    for kernel in [Linux6_12, Linux7_2] {
        let bad = table(kernel, &[(0, 8, true), (16, 8, true), (8, 8, false), (8, 8, true)]);
        assert_eq!(rows(&bad), [(0, 16, true), (16, 8, true)], "{kernel}");
    }
}

#[test]
fn the_first_bad_sector_is_that_of_the_record() {
    for kernel in Kernel::ALL {
        let bad = table(kernel, &[(200, 16, true)]);
        let first =
            |start, len| bad.check(Sector::new(start), len).first().map(|r| r.start().get());
        assert_eq!(first(208, 8), Some(200));
        assert_eq!((first(199, 1), first(199, 2)), (None, Some(200)));
        assert_eq!((first(215, 1), first(216, 8)), (Some(200), None));
        assert_eq!(first(u64::MAX, u64::MAX), None);
        assert_eq!(first(0, u64::MAX), Some(200));
    }
}

#[test]
fn no_sectors_and_no_bits_for_them() {
    for kernel in [Linux6_12, Linux7_2] {
        let mut bad = BadblocksTable::new(kernel);
        assert!(!bad.set(Sector::new(8), 0, true));
        assert!(!bad.clear(Sector::new(8), 0));
        assert!(bad.clear(Sector::new(8), 1), "clearing good sectors succeeds");
    }
    let mut bad = BadblocksTable::new(Linux6_1);
    assert!(bad.set(Sector::new(8), 0, true));
    assert!(bad.is_empty());
    for kernel in Kernel::ALL {
        let mut bad = BadblocksTable::new(kernel);
        assert!(!bad.set(Sector::new(u64::MAX), 2, true));
        assert!(!bad.set(TABLE_END, 1, true));
        let last = TABLE_END.get() - 1;
        assert!(bad.set(Sector::new(last), 1, false));
        assert_eq!(rows(&bad), [(last, 1, false)]);
        assert!(!bad.clear(Sector::new(last), 2));
        assert!(bad.clear(Sector::new(last), 1));
        assert!(bad.is_empty());
    }
}

#[test]
fn a_full_table_takes_what_merges_or_nothing() {
    for (kernel, merged) in [(Linux6_1, 10), (Linux6_12, 10), (Linux7_2, 8)] {
        let mut bad = full(kernel);
        assert!(!bad.set(Sector::new(100_000), 8, true), "{kernel}");
        bad.set(Sector::new(8), 2, true);
        assert_eq!(rows(&bad)[0], (0, merged, true), "{kernel}");
        assert_eq!(bad.len(), TABLE_RECORDS);
        // What is covered already needs no room, but 7.2 does not look.
        assert_eq!(bad.set(Sector::new(32), 8, true), kernel != Linux7_2, "{kernel}");
    }
}

#[test]
fn a_full_table_of_6_12_makes_room_by_merging_and_tries_again() {
    let sets: Vec<_> = (0..512).map(|i| (1000 + i * 16, 8, true)).collect();
    // There is no record for the head; its tail makes one of three; then there are two for the head.
    let mut bad = table(Linux6_12, &sets);
    assert!(bad.set(Sector::new(0), 1040, true));
    let head = [(0, 512, true), (512, 488, true), (1000, 40, true), (1048, 8, true)];
    assert_eq!(rows(&bad)[..4], head);
    // What is stepped over with a record that is covered whole is not tried again.
    let mut bad = table(Linux6_12, &sets);
    assert!(bad.set(Sector::new(1012), 28, true));
    assert_eq!(rows(&bad)[..3], [(1000, 8, true), (1016, 24, true), (1048, 8, true)]);
    assert_eq!(bad.check(Sector::new(1012), 4), Checked::Good);
    // Something was added, so it is called a success, although not all is there.
    let mut bad = full(Linux6_12);
    assert!(bad.set(Sector::new(510 * 16 + 8), 4000, true));
    assert_eq!(bad.check(Sector::new(510 * 16 + 8 + 3999), 1), Checked::Good);
}

#[test]
fn a_full_table_of_7_2_keeps_what_it_took_of_a_range() {
    let sets: Vec<_> = (0..511).map(|i| (i * 16, 8, true)).collect();
    let mut bad = table(Linux7_2, &sets);
    assert!(!bad.set(Sector::new(100_000), 513, true));
    assert_eq!(rows(&bad).last(), Some(&(100_000, 512, true)));
    assert_eq!(bad.check(Sector::new(100_512), 1), Checked::Good);
}

#[test]
fn a_split_needs_room() {
    let mut bad = full(Linux7_2);
    assert!(!bad.clear(Sector::new(2), 2));
    assert_eq!(rows(&bad)[0], (0, 8, true));
    // With something else cleared it is a success all the same.
    assert!(bad.clear(Sector::new(8), 10));
    assert_eq!(&rows(&bad)[..2], [(0, 8, true), (18, 6, true)]);
    assert!(bad.clear(Sector::new(10), 10), "good sectors, and the head of a record");
    // One record less is room enough, but not by the count of 6.12.
    for (kernel, rows) in [(Linux6_1, 512), (Linux6_12, 511), (Linux7_2, 512)] {
        let mut bad = full(kernel);
        assert!(bad.clear(Sector::new(511 * 16), 8));
        assert_eq!(bad.clear(Sector::new(2), 2), kernel != Linux6_12, "{kernel}");
        assert_eq!(bad.len(), rows, "{kernel}");
    }
    // The same when a part is acknowledged.
    for (kernel, done, rows) in [(Linux6_12, false, 511), (Linux7_2, true, 512)] {
        let mut sets: Vec<_> = (0..511).map(|i| (i * 16, 8, true)).collect();
        sets[0].2 = false;
        let mut bad = table(kernel, &sets);
        assert_eq!(bad.set(Sector::new(0), 2, true), done, "{kernel}");
        assert_eq!(bad.len(), rows);
    }
}

#[test]
fn trimming_needs_no_room() {
    for kernel in Kernel::ALL {
        let mut bad = full(kernel);
        assert!(bad.clear(Sector::new(0), 2));
        assert!(bad.clear(Sector::new(20), 10));
        assert_eq!(&rows(&bad)[..3], [(2, 6, true), (16, 4, true), (32, 8, true)], "{kernel}");
        assert!(bad.clear(Sector::new(0), 4000));
        assert_eq!(rows(&bad)[0], (4000, 8, true));
    }
}

#[test]
fn a_shift_rounds_outward_for_set_and_inward_for_clear_on_6_1() {
    let mut bad = BadblocksTable::with_shift(Linux6_1, 3);
    assert!(bad.set(Sector::new(9), 8, true));
    assert_eq!(rows(&bad), [(1, 2, true)]);
    assert_eq!(bad.to_string(), "8 16\n");
    assert_eq!(bad.check(Sector::new(23), 1).code(), 1);
    assert_eq!(bad.check(Sector::new(24), 1).code(), 0);
    assert!(bad.clear(Sector::new(8), 15));
    assert_eq!(bad.to_string(), "16 8\n");
}

/// Since the rewrite the results of the rounding are dropped: records count in sectors, and the
/// text multiplies them.
#[test]
fn a_shift_is_only_in_the_text_since_6_7() {
    for kernel in [Linux6_12, Linux7_2] {
        let mut bad = BadblocksTable::with_shift(kernel, 3);
        assert!(bad.set(Sector::new(9), 8, true));
        assert_eq!(rows(&bad), [(9, 8, true)]);
        assert_eq!(bad.to_string(), "72 64\n");
        assert_eq!(bad.check(Sector::new(8), 1).code(), 0);
    }
}

#[test]
fn a_disabled_table_takes_nothing() {
    for kernel in Kernel::ALL {
        let mut bad = BadblocksTable::disabled(kernel);
        assert!(!bad.set(Sector::new(0), 8, true));
        assert_eq!(bad.clear(Sector::new(0), 8), kernel == Linux6_1);
        assert_eq!((bad.check(Sector::new(0), 8), bad.show().as_str()), (Checked::Good, ""));
    }
}

#[test]
fn sysfs_shows_a_page_and_cuts_in_the_middle_of_a_line() {
    let sets: Vec<_> = (0..512).map(|i| (1_000_000 + i * 16, 8, true)).collect();
    let bad = table(Linux7_2, &sets);
    let all = bad.to_string();
    assert_eq!(all.lines().count(), 512);
    assert!(all.len() > 4095);
    let shown = bad.show();
    assert_eq!(shown.len(), 4095);
    assert!(all.starts_with(&shown));
    // 10 bytes a line: the 410th, 1006544, loses its end.
    assert_eq!(shown.lines().last(), Some("10065"));
}

#[test]
fn sysfs_stores_one_range_and_refuses_the_rest() {
    let mut bad = BadblocksTable::new(Linux7_2);
    for text in [
        "",
        "5",
        "5 ",
        "x 3",
        "5 x",
        "5 0",
        "5 -3",
        "5 3x",
        "5 3 \n",
        "-5 3",
        "5,3",
        "5 4294967296",
    ] {
        assert_eq!(bad.store(text, true), Err(Errno::EINVAL), "{text:?}");
    }
    assert!(bad.is_empty());
    for text in ["5 3", " 5 3\n", "5\n3\nanything", "5 4294967299"] {
        assert_eq!(bad.store(text, true), Ok(()), "{text:?}");
        assert_eq!(bad.show(), "5 3\n", "{text:?}");
    }
    assert_eq!(full(Linux7_2).store("0 8\n", true), Err(Errno::ENOSPC));
    assert_eq!(full(Linux6_12).store("0 8\n", true), Ok(()));
    assert_eq!(full(Linux6_1).store("8 20\n", true), Ok(()));
}

/// The naive twin: a word per sector, `Some(acknowledged)` when bad.
type Sectors = BTreeMap<u64, bool>;

fn sectors(table: &BadblocksTable) -> Sectors {
    let each =
        |r: BadRecord| (r.start().get()..r.end().get()).map(move |s| (s, r.is_acknowledged()));
    table.records().flat_map(each).collect()
}

#[derive(Debug, Clone, Copy)]
enum Op {
    Set(u64, u64, bool),
    Clear(u64, u64),
}

fn ops(space: u64, longest: u64) -> impl Strategy<Value = Vec<Op>> {
    let at = move || (0..space, 1..longest);
    let op = prop_oneof![
        2 => (at(), any::<bool>()).prop_map(|((start, len), ack)| Op::Set(start, len, ack)),
        1 => at().prop_map(|(start, len)| Op::Clear(start, len)),
    ];
    prop::collection::vec(op, 0..24)
}

fn apply(naive: &mut Sectors, op: Op) {
    match op {
        Op::Set(start, len, ack) => {
            for sector in start..start + len {
                *naive.entry(sector).or_insert(ack) |= ack;
            }
        }
        Op::Clear(start, len) => naive.retain(|s, _| !(start..start + len).contains(s)),
    }
}

fn run(table: &mut BadblocksTable, op: Op) -> bool {
    match op {
        Op::Set(start, len, ack) => table.set(Sector::new(start), len, ack),
        Op::Clear(start, len) => table.clear(Sector::new(start), len),
    }
}

/// Ascending, apart, within both limits.
fn is_whole(table: &BadblocksTable) -> bool {
    let records: Vec<_> = table.records().collect();
    let in_order = records.windows(2).all(|w| w[0].end() <= w[1].start());
    in_order && table.len() <= TABLE_RECORDS && records.iter().all(|r| (1..=512).contains(&r.len()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 4 } else { 64 }, ..ProptestConfig::default() })]

    /// Within the limits, the rewritten table is a set of sectors with a word for each.
    #[test]
    fn a_rewritten_table_is_what_its_sectors_are(ops in prop_oneof![ops(60, 12), ops(2000, 1400)]) {
        for kernel in [Linux6_12, Linux7_2] {
            let (mut bad, mut naive, exact) = (BadblocksTable::new(kernel), Sectors::new(), Badblocks::new());
            for op in &ops {
                let before = sectors(&bad);
                let done = run(&mut bad, *op);
                apply(&mut naive, *op);
                prop_assert!(is_whole(&bad));
                prop_assert_eq!(&sectors(&bad), &naive);
                // 6.12 calls it a failure when nothing had to be added.
                prop_assert!(done || (kernel == Linux6_12 && before == naive));
                let bytes = |start: u64, len: u64| Extent::new(DevOffset::new(start * 512), len * 512).unwrap();
                match *op {
                    Op::Set(start, len, _) => drop(exact.set(bytes(start, len))),
                    Op::Clear(start, len) => drop(exact.clear(bytes(start, len))),
                }
                let unlimited = exact.list().into_iter().flat_map(|e| e.start().get()..e.end().get());
                prop_assert!(unlimited.eq(naive.keys().copied()));
            }
            for (start, len) in (0..70).map(|i| (i, i % 7 + 1)) {
                let hit: Vec<bool> = naive.range(start..start + len).map(|(_, ack)| *ack).collect();
                let expected = if hit.is_empty() { 0 } else if hit.iter().all(|ack| *ack) { 1 } else { -1 };
                let checked = bad.check(Sector::new(start), len);
                prop_assert_eq!(checked.code(), expected);
                prop_assert!(checked.first().is_none_or(|r| r.start().get() < start + len && r.end().get() > start));
            }
        }
    }

    /// Beyond the limits nothing is made up, what is said to be done is done, and order is kept.
    #[test]
    fn a_full_rewritten_table_makes_nothing_up(ops in ops(8300, 700)) {
        for kernel in [Linux6_12, Linux7_2] {
            let mut bad = full(kernel);
            for op in &ops {
                let (before, done) = (sectors(&bad), run(&mut bad, *op));
                prop_assert!(is_whole(&bad));
                let (after, mut most) = (sectors(&bad), before.clone());
                apply(&mut most, *op);
                match *op {
                    Op::Set(..) => {
                        prop_assert!(before.keys().all(|s| after.contains_key(s)), "set forgets nothing");
                        prop_assert!(after.keys().all(|s| most.contains_key(s)), "and takes no more");
                        prop_assert!(kernel == Linux6_12 || !done || after == most);
                    }
                    Op::Clear(..) => {
                        prop_assert!(most.iter().all(|s| after.get(s.0) == Some(s.1)));
                        prop_assert!(after.iter().all(|s| before.get(s.0) == Some(s.1)));
                    }
                }
            }
        }
    }

    /// 6.1 is a set of sectors too, as long as no range is longer than a record or touches two.
    #[test]
    fn a_table_of_6_1_is_what_its_sectors_are_while_ranges_touch_one_record(ops in ops(200, 12)) {
        let (mut bad, mut naive) = (BadblocksTable::new(Linux6_1), Sectors::new());
        for op in &ops {
            let op = match *op {
                Op::Set(start, len, _) => Op::Set(start, len, true),
                Op::Clear(start, len) => Op::Clear(start, len),
            };
            if let Op::Set(start, len, _) = op {
                let touched = bad.records().filter(|r| r.start().get() <= start + len && r.end().get() >= start);
                if touched.count() > 1 {
                    continue;
                }
            }
            prop_assert!(run(&mut bad, op));
            apply(&mut naive, op);
            prop_assert!(is_whole(&bad));
            prop_assert_eq!(&sectors(&bad), &naive);
        }
    }

    /// No table of 6.1, however much out of order, grows or panics.
    #[test]
    fn a_table_of_6_1_survives_anything(ops in ops(9000, 3000), shift in 0..5_u32) {
        for mut bad in [full(Linux6_1), BadblocksTable::with_shift(Linux6_1, shift)] {
            for op in &ops {
                run(&mut bad, *op);
                prop_assert!(bad.len() <= TABLE_RECORDS);
                let _ = (bad.check(Sector::new(77), 1000), bad.show());
            }
        }
    }

    /// What is shown can be stored.
    #[test]
    fn what_sysfs_shows_can_be_stored(ops in ops(2000, 1400)) {
        let mut bad = BadblocksTable::new(Linux7_2);
        for op in &ops {
            run(&mut bad, *op);
        }
        let mut again = BadblocksTable::new(Linux7_2);
        let unacknowledged = bad.show_unacknowledged();
        for line in bad.show().lines().filter(|line| !unacknowledged.lines().any(|l| l == *line)) {
            prop_assert_eq!(again.store(line, true), Ok(()));
        }
        for line in unacknowledged.lines() {
            prop_assert_eq!(again.store(line, false), Ok(()));
        }
        prop_assert_eq!(sectors(&again), sectors(&bad));
    }
}
