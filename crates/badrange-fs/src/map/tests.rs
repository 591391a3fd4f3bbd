//! The map against one slot per byte.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "small numbers, and a panic is a failed test"
)]

use core::ops::ControlFlow::{Break, Continue};

use badrange_core::{Link, Space, Stop};
use proptest::prelude::*;

use super::*;
use crate::{FileId, Fork, Owner, Special, testing::*};

mod index;

/// The naive twin: of each byte of the device, its records, in the order they were given.
struct Slots(Vec<Vec<Record>>);

impl Slots {
    fn new(records: &[Record]) -> Self {
        let mut slots = vec![Vec::new(); SCALE as usize];
        for record in records {
            let Record { extent, .. } = record;
            for byte in extent.start().get()..extent.start().get() + extent.len() {
                let slot: &mut Vec<Record> = &mut slots[byte as usize];
                if !slot.contains(record) {
                    slot.push(*record);
                }
            }
        }
        slots.iter_mut().for_each(|slot| slot.sort_by_key(in_order));
        Self(slots)
    }

    fn at(&self, byte: u64) -> &[Record] {
        self.0.get(byte as usize).map_or(&[], Vec::as_slice)
    }

    /// What the bytes of `extent` are known to be: byte, record, file byte.
    fn under(&self, extent: Extent) -> Vec<(u64, Record, Option<u64>)> {
        let bytes = extent.start().get()..extent.end().get();
        bytes.flat_map(|b| self.at(b).iter().map(move |r| (b, *r, file_byte(r, b)))).collect()
    }
}

fn in_order(r: &Record) -> (u64, Owner, u64, u64, bool) {
    (r.extent.start().get(), r.owner, r.file_start.get(), r.extent.len(), r.unwritten)
}

fn file_byte(r: &Record, byte: u64) -> Option<u64> {
    matches!(r.owner, Owner::File { fork: Fork::Data | Fork::Attr, .. })
        .then(|| r.file_start.get() + (byte - r.extent.start().get()))
}

fn map_of(records: &[Record]) -> ReverseMap {
    records.iter().copied().collect()
}

fn owners_of(map: &ReverseMap, extent: Extent) -> Vec<Owned> {
    let mut all = Vec::new();
    assert_eq!(map.owners(extent, &mut |o| (all.push(o), Continue(())).1), Continue(()));
    all
}

fn runs_of(map: &ReverseMap, run: &Run) -> Vec<OwnedRun> {
    let mut all = Vec::new();
    assert_eq!(map.owners_of_run(run, &mut |o| (all.push(o), Continue(())).1), Continue(()));
    all
}

fn gaps_of(map: &ReverseMap, extent: Extent) -> Vec<Extent> {
    let mut all = Vec::new();
    assert_eq!(map.gaps(extent, &mut |gap| (all.push(gap), Continue(())).1), Continue(()));
    all
}

fn segments_of(map: &ReverseMap, extent: Extent) -> Vec<(Extent, Vec<Record>)> {
    let mut all = Vec::new();
    let end = map.segments(extent, &mut |s| {
        all.push((s.extent, s.owners.to_vec()));
        Continue(())
    });
    assert_eq!(end, Continue(()));
    all
}

/// Every byte of a run of owned bytes: device byte, the byte that it is elsewhere, record, file
/// byte.
fn bytes_of(owned: &OwnedRun, elsewhere: &Link) -> Vec<(u64, u64, Record, Option<u64>)> {
    let file: Vec<Option<u64>> = match owned.file {
        Some(run) => run.elements().flat_map(|e| each(e).map(Some)).collect(),
        None => vec![None; owned.device.total_len() as usize],
    };
    let link = elsewhere.of_lower(owned.device).expect("a part of what was asked");
    let pairs = link.elements().flat_map(|(here, there)| each(here).zip(each(there)));
    let bytes: Vec<_> = pairs.zip(file).map(|((h, o), f)| (h, o, owned.record, f)).collect();
    assert_eq!(bytes.len() as u64, owned.device.total_len());
    bytes
}

fn each<S: Space>(extent: Extent<S>) -> impl Iterator<Item = u64> {
    extent.start().to_raw()..extent.end().to_raw()
}

/// A run to ask about, and what its bytes are elsewhere.
fn links() -> impl Strategy<Value = Link> {
    (0..12_u64, 1..5_u64, 0..7_u64, 1..8_u64, 0..3_u64).prop_map(
        |(start, len, gap, count, apart)| {
            let here = Run::new(at(start, len), len + gap, count).unwrap();
            let there = Run::new(at(100, len), len + apart, count).unwrap();
            Link::new(here, there).unwrap()
        },
    )
}

proptest! {
    #[test]
    fn owners_are_those_of_every_byte(records in records(), asked in extents()) {
        let map = map_of(&records);
        let found = owners_of(&map, asked);
        let mut bytes: Vec<_> = found
            .iter()
            .flat_map(|o| each(o.device).enumerate().map(move |(i, byte)| {
                (byte, o.record, o.file.map(|f| f.start().get() + i as u64))
            }))
            .collect();
        bytes.sort_by_key(|(byte, record, _)| (*byte, in_order(record)));
        prop_assert_eq!(bytes, Slots::new(&records).under(asked));
        prop_assert!(found.windows(2).all(|w| in_order(&w[0].record) < in_order(&w[1].record)));
        prop_assert!(found.iter().all(|o| o.file.is_none_or(|f| f.len() == o.device.len())));
    }

    #[test]
    fn owners_of_a_run_are_those_of_its_elements(records in records(), asked in links()) {
        let slots = Slots::new(&records);
        let found = runs_of(&map_of(&records), &asked.lower());
        let mut expected = Vec::new();
        for (here, there) in asked.elements() {
            for (byte, from) in each(here).zip(each(there)) {
                let owners = slots.at(byte);
                expected.extend(owners.iter().map(|r| (byte, from, *r, file_byte(r, byte))));
            }
        }
        let mut bytes: Vec<_> = found.iter().flat_map(|o| bytes_of(o, &asked)).collect();
        bytes.sort_by_key(|(byte, _, record, _)| (*byte, in_order(record)));
        prop_assert_eq!(bytes, expected);
    }

    #[test]
    fn a_record_is_at_most_head_body_and_tail_of_a_run(
        records in records(),
        asked in links(),
    ) {
        let found = runs_of(&map_of(&records), &asked.lower());
        for same in found.chunk_by(|a, b| a.record == b.record) {
            prop_assert!(same.len() <= 3);
            let starts = same.iter().map(|o| o.device.first().start());
            prop_assert!(starts.is_sorted());
        }
        prop_assert!(found.is_sorted_by_key(|o| in_order(&o.record)));
    }

    #[test]
    fn gaps_are_what_nobody_owns(records in records(), asked in extents()) {
        let slots = Slots::new(&records);
        let gaps = gaps_of(&map_of(&records), asked);
        for byte in 0..SCALE {
            let in_gap = gaps.iter().any(|gap| gap.contains(DevOffset::new(byte)));
            let unowned = asked.contains(DevOffset::new(byte)) && slots.at(byte).is_empty();
            prop_assert_eq!(in_gap, unowned, "byte {}", byte);
        }
        prop_assert!(gaps.windows(2).all(|w| w[0].end() < w[1].start()), "maximal: {:?}", gaps);
    }

    #[test]
    fn segments_are_the_maximal_parts_of_equal_owners(records in records(), asked in extents()) {
        let slots = Slots::new(&records);
        let map = map_of(&records);
        let segments = segments_of(&map, asked);
        prop_assert_eq!(&segments_of(&map.packed(), asked), &segments);
        prop_assert_eq!(gaps_of(&map.packed(), asked), gaps_of(&map, asked));
        prop_assert_eq!(segments[0].0.start(), asked.start());
        prop_assert_eq!(segments[segments.len() - 1].0.end(), asked.end());
        for pair in segments.windows(2) {
            prop_assert_eq!(pair[0].0.end(), pair[1].0.start());
            prop_assert_ne!(&pair[0].1, &pair[1].1);
        }
        for (extent, owners) in segments {
            for byte in each(extent) {
                prop_assert_eq!(slots.at(byte), owners.as_slice());
            }
        }
    }

    #[test]
    fn the_order_of_building_does_not_matter(records in records()) {
        let mut sorted = records.clone();
        sorted.sort_by_key(in_order);
        sorted.dedup();
        let map = map_of(&records);
        prop_assert_eq!(map.iter().collect::<Vec<_>>(), sorted.clone());
        prop_assert_eq!(map.len(), sorted.len());
        prop_assert_eq!(map, map_of(&sorted));
    }

    #[test]
    fn every_query_stops_where_its_sink_says_so(
        records in records(),
        asked in extents(),
        run in links(),
        stop in 1..5_usize,
    ) {
        stops_at(&records, asked, run.lower(), stop);
    }
}

fn stops_at(records: &[Record], asked: Extent, run: Run, stop: usize) {
    let map = map_of(records);
    for query in 0..4 {
        let mut calls = 0;
        let mut tick = || {
            calls += 1;
            if calls == stop { Break(Stop::Enough) } else { Continue(()) }
        };
        let (all, end) = match query {
            0 => (owners_of(&map, asked).len(), map.owners(asked, &mut |_| tick())),
            1 => (runs_of(&map, &run).len(), map.owners_of_run(&run, &mut |_| tick())),
            2 => (gaps_of(&map, asked).len(), map.gaps(asked, &mut |_| tick())),
            _ => (segments_of(&map, asked).len(), map.segments(asked, &mut |_| tick())),
        };
        let expected = if all >= stop { Break(Stop::Enough) } else { Continue(()) };
        assert_eq!((end, calls), (expected, all.min(stop)), "query {query}");
    }
}

#[test]
fn a_run_of_one_byte_that_two_own_stops_after_the_first() {
    let records = [record(data(1), 12, 1, 0), record(name(0), 12, 1, 0), record(data(1), 0, 1, 0)];
    stops_at(&records, at(1, 11), at(0, 1).into(), 1);
    stops_at(&records, at(12, 1), at(12, 1).into(), 1);
}

#[test]
fn the_reflink_copy_is_reported_after_the_file_that_begins_before_it() {
    // Inode 140 owns the blocks 676..692 from its block 0, inode 133 the blocks 680..688 from its
    // block 100; block 683 fails.
    let block = |n: u64| n * 4096;
    let map = map_of(&[
        record(data(133), block(680), block(8), block(100)),
        record(data(140), block(676), block(16), 0),
    ]);
    let owners = owners_of(&map, at(block(683), 4096));
    let file = |start| Extent::new(FileOffset::new(start), 4096).ok();
    assert_eq!(owners.len(), 2);
    assert_eq!((owners[0].record.owner, owners[0].file), (data(140), file(block(7))));
    assert_eq!((owners[1].record.owner, owners[1].file), (data(133), file(421_888)));
}

#[test]
fn neighbours_of_the_asked_bytes_are_not_hit() {
    let map = map_of(&[record(data(1), 0, 10, 0), record(data(2), 11, 9, 0)]);
    assert_eq!(owners_of(&map, at(10, 1)), []);
    assert_eq!(gaps_of(&map, at(0, 30)), [at(10, 1), at(20, 10)]);
    assert_eq!(owners_of(&map, at(9, 2)).len(), 1);
    assert_eq!(owners_of(&map, at(10, 2)).len(), 1);
    assert_eq!(owners_of(&map, at(20, 1)), []);
}

#[test]
fn an_empty_map_knows_nothing() {
    let map = ReverseMap::default();
    let everything = at(0, u64::MAX);
    assert!(map.is_empty());
    assert_eq!(owners_of(&map, everything), []);
    assert_eq!(gaps_of(&map, everything), [everything]);
    assert_eq!(segments_of(&map, everything), [(everything, vec![])]);
}

#[test]
fn the_end_of_the_scale_is_a_place_like_any_other() {
    let last = record(data(1), u64::MAX - 4, 4, 0);
    let map = map_of(&[last, record(FREE, 0, u64::MAX, 0)]);
    let hits = owners_of(&map, at(u64::MAX - 1, 1));
    assert_eq!(hits.iter().map(|o| o.record.owner).collect::<Vec<_>>(), [FREE, data(1)]);
    assert_eq!(hits[1].file, Extent::new(FileOffset::new(3), 1).ok());
    assert_eq!(owners_of(&map, at(u64::MAX - 5, 1)).len(), 1);
    assert_eq!(gaps_of(&map, at(0, u64::MAX)), []);
}

#[test]
fn file_offsets_beyond_the_scale_are_left_out_not_wrapped() {
    let map = map_of(&[record(data(1), 0, 16, u64::MAX - 8)]);
    assert_eq!(owners_of(&map, at(0, 8))[0].file.unwrap().len(), 8);
    assert_eq!(owners_of(&map, at(8, 8))[0].file, None);
    assert_eq!(owners_of(&map, at(0, 16))[0].device, at(0, 16));
}

#[test]
fn records_come_out_as_they_went_in() {
    let ids = [FileId::Ino(0), FileId::Ino(u64::MAX), FileId::Name(0), FileId::Name(u32::MAX)];
    let forks = [Fork::Data, Fork::Attr, Fork::ExtentMap];
    let mut owners: Vec<Owner> =
        ids.iter().flat_map(|id| forks.map(|fork| Owner::File { id: *id, fork })).collect();
    for code in [(0, 1), (0, 2), (0, 3), (88, 9), (102, 3), (u32::MAX, 0), (0, u32::MAX)] {
        owners.push(Owner::Special(Special::from_code(code.0, code.1)));
    }
    owners.extend((1..9).map(|minor| Owner::Special(Special::from_code(88, minor))));
    for owner in owners {
        for file_start in [0, 1, u64::MAX] {
            let written = record(owner, 3, 5, file_start);
            let both = [written, unwritten(written)];
            assert_eq!(map_of(&both).iter().collect::<Vec<_>>(), both);
        }
    }
}

/// A file that spans the device, free space that spans its first half, and small files with a
/// byte between each two.
fn giants_over_small(n: u64) -> Vec<Record> {
    let small = (0..n).map(|i| record(data(10 + i), 16 * i, 15, 0));
    [record(data(1), 0, 16 * n, 0), record(FREE, 0, 8 * n, 0)].into_iter().chain(small).collect()
}

#[test]
fn a_point_query_visits_a_handful_of_entries_under_giants() {
    let n = 100_000;
    let map = map_of(&giants_over_small(n));
    // Five levels of 16: one group of each on the way up and one down, for each of the hits.
    let bound = |hits: usize| (hits + 1) * 2 * 5 * 16;
    for i in [0, 1, 15, 16, 17, n / 2 - 1, n / 2, n - 2, n - 1] {
        visits::take();
        let hits = owners_of(&map, at(16 * i + 3, 1)).len();
        assert_eq!(hits, if i < n / 2 { 3 } else { 2 });
        assert!(visits::take() <= bound(hits), "small file {i}");
        let hits = owners_of(&map, at(16 * i + 15, 1)).len();
        assert_eq!(hits, if i < n / 2 { 2 } else { 1 });
        assert!(visits::take() <= bound(hits), "the byte after small file {i}");
    }
    assert_eq!(owners_of(&map, at(16 * n, 1)), []);
    assert!(visits::take() <= bound(0));
}

#[test]
fn a_nest_of_giants_costs_no_more_than_its_hits() {
    // Each spans all that begin after it; then small ones. Looking back by the longest would
    // visit everything.
    let n = 2_000;
    let nested = (0..n).map(|i| record(data(i), i, 100_000 - 2 * i, 0));
    let small = (0..20_000).map(|i| record(data(9_000 + i), 100_000 + 16 * i, 8, 0));
    let map: ReverseMap = nested.chain(small).collect();
    visits::take();
    assert_eq!(owners_of(&map, at(99_999, 1)).len(), 1);
    assert_eq!(owners_of(&map, at(99_990, 1)).len(), 10);
    assert_eq!(owners_of(&map, at(400_000, 1)).len(), 1);
    assert!(visits::take() <= (1 + 10 + 1 + 3) * 2 * 4 * 16);
}

#[test]
fn a_sweep_visits_each_neighbour_about_once() {
    let n = 100_000;
    let map = map_of(&giants_over_small(n));
    visits::take();
    let hits = owners_of(&map, at(16 * 60_000, 16 * 10_000)).len();
    assert_eq!(hits, 10_001);
    assert!(visits::take() <= hits * 2 + 500);
}

#[test]
fn a_sparse_run_steps_over_the_records_in_its_gaps() {
    let n = 100_000;
    let map = map_of(&giants_over_small(n));
    // Byte 3 of every thousandth small file.
    let run = Run::new(at(3, 1), 16 * 1000, 100).unwrap();
    visits::take();
    let found = runs_of(&map, &run);
    // Both giants as one run each, and a hundred small files.
    assert_eq!(found.len(), 102);
    assert_eq!(found.iter().filter(|o| o.device.count() > 1).count(), 2);
    assert!(visits::take() <= 2 * 102 * 2 * 5 * 16);
}

#[test]
fn gaps_step_over_what_lies_under_a_giant() {
    let n = 100_000;
    let map = map_of(&giants_over_small(n));
    visits::take();
    assert_eq!(gaps_of(&map, at(0, 16 * n + 1)), [at(16 * n, 1)]);
    // The free space that begins with the giant, the giant, and nothing behind it.
    assert!(visits::take() <= 3 * 2 * 5 * 16);
}

#[test]
fn a_record_takes_less_than_32_bytes_and_packed_less_than_20() {
    let map = map_of(&giants_over_small(100_000));
    assert!(map.memory() < 32 * map.len(), "{}", map.memory() / map.len());
    let packed = map.packed();
    assert!(packed.memory() < 20 * map.len(), "{}", packed.memory() / map.len());
    assert_eq!(packed, map);
}
