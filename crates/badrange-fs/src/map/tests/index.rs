//! The index at a size where leaves and blocks split: every form against a plain list.

use super::*;
use crate::{
    LiveMap,
    map::{Store, chunk::Chunk, leaf::Leaf, level::Level, raw::Raw},
};

mod directory;

/// Numbers from a seed: the finalizer of `SplitMix64`.
struct Draw(u64);

impl Draw {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }

    /// Dense and sparse, short and long, on sectors and off, many with one start.
    fn record(&mut self) -> Record {
        let start = match self.below(10) {
            0..=5 => self.below(20_000),
            6 => 4096 * self.below(4),
            7 => self.below(1 << 62),
            _ => self.below(1 << 24) * 512,
        };
        let len = match self.below(12) {
            0..=6 => 1 + self.below(64),
            7 => 1 + self.below(4096),
            8 => (1 << 21) - 1 + self.below(3),
            9 => 512 * (1 + self.below(1 << 22)),
            10 => (1 << 30) * (1 + self.below(64)),
            _ => 1 + self.below(1 << 40),
        };
        let owner = if self.below(4) == 0 { FREE } else { data(1 + self.below(3)) };
        let one = record(owner, start, len, 512 * self.below(3));
        if self.below(8) == 0 { unwritten(one) } else { one }
    }

    /// On sectors but for one in so many, far apart or long: what leaves count in sectors.
    fn in_sectors(&mut self, off: u64) -> Record {
        let odd = |draw: &mut Self| u64::from(draw.below(off) == 0) * (1 + draw.below(511));
        let (far, long) = (16 * self.below(2), 1 << (2 + 13 * self.below(2)));
        let start = 512 * (self.below(2_000) << far) + odd(self);
        let len = 512 * (1 + self.below(long)) - odd(self);
        record(data(1 + self.below(3)), start, len, 0)
    }

    fn extent(&mut self) -> Extent {
        let Record { extent, .. } = self.record();
        let len = [1, 2, 100, extent.len()][self.below(4) as usize];
        at(extent.start().get().saturating_sub(self.below(3)), len)
    }

    /// A run to ask about, and what its bytes are elsewhere.
    fn link(&mut self) -> Link {
        let first = at(self.below(20_000), 1 + self.below(40));
        let here = Run::new(first, first.len() + self.below(200), 1 + self.below(50)).unwrap();
        let there = Run::new(at(7, first.len()), first.len() + 1, here.count()).unwrap();
        Link::new(here, there).unwrap()
    }
}

fn draw_all(draw: &mut Draw, n: usize) -> Vec<Record> {
    (0..n).map(|_| draw.record()).collect()
}

/// The naive twin: all records, and a look at every one of them.
fn listed(records: &[Record], asked: Extent) -> Vec<Record> {
    let hit = |r: &&Record| r.extent.intersect(asked).is_some();
    let mut found: Vec<Record> = records.iter().filter(hit).copied().collect();
    found.sort_by_key(in_order);
    found.dedup();
    found
}

fn found_by(map: &ReverseMap, asked: Extent) -> Vec<Record> {
    let found = owners_of(map, asked);
    for owned in &found {
        assert_eq!(Some(owned.device), owned.record.extent.intersect(asked));
    }
    found.into_iter().map(|owned| owned.record).collect()
}

/// What a batch of points has to give.
fn one_by_one(map: &ReverseMap, points: &[DevOffset]) -> Vec<(usize, Owned)> {
    let owners = |point: &DevOffset| owners_of(map, at(point.get(), 1));
    let each = points.iter().map(owners).enumerate();
    each.flat_map(|(i, owners)| owners.into_iter().map(move |owned| (i, owned))).collect()
}

fn forms(records: &[Record]) -> [(&'static str, ReverseMap); 4] {
    let mut sorted = records.to_vec();
    sorted.sort_by_key(in_order);
    let mut live = LiveMap::new();
    for record in records {
        live.insert(*record);
    }
    let map = map_of(&sorted);
    let packed = map.packed();
    [("sorted", map), ("any order", map_of(records)), ("live", live.snapshot()), ("packed", packed)]
}

proptest! {
    #[test]
    fn every_form_answers_as_a_list_does(seed: u64, n in 0..2000_usize) {
        let mut draw = Draw(seed);
        let records = draw_all(&mut draw, n);
        for (name, map) in forms(&records) {
            check(&map);
            prop_assert_eq!(map.iter().collect::<Vec<_>>(), listed(&records, at(0, u64::MAX)));
            for _ in 0..8 {
                let asked = draw.extent();
                prop_assert_eq!(found_by(&map, asked), listed(&records, asked), "{}", name);
            }
            // What the last record of all covers, and one byte more on either side.
            let Some(last) = map.iter().last() else { continue };
            let (start, end) = (last.extent.start().get(), last.extent.end().get());
            for byte in [start.saturating_sub(1), start, end - 1, end] {
                prop_assert_eq!(found_by(&map, at(byte, 1)), listed(&records, at(byte, 1)));
            }
        }
    }

    #[test]
    fn sectors_are_counted_where_all_of_a_leaf_are_on_them(seed: u64, n in 0..600_usize) {
        let mut draw = Draw(seed);
        for off in [u64::MAX, 200] {
            let records: Vec<Record> = (0..n).map(|_| draw.in_sectors(off)).collect();
            for (name, map) in forms(&records) {
                check(&map);
                prop_assert_eq!(
                    map.iter().collect::<Vec<_>>(),
                    listed(&records, at(0, u64::MAX)),
                    "{}", name
                );
                for _ in 0..8 {
                    let asked = draw.in_sectors(2).extent;
                    prop_assert_eq!(found_by(&map, asked), listed(&records, asked), "{}", name);
                }
            }
        }
    }

    #[test]
    fn points_are_answered_as_one_by_one(seed: u64, n in 0..600_usize, ascending: bool) {
        let mut draw = Draw(seed);
        let records = draw_all(&mut draw, n);
        let mut points: Vec<DevOffset> = (0..50).map(|_| draw.extent().start()).collect();
        if ascending {
            points.sort();
        }
        for (name, map) in forms(&records) {
            let mut found = Vec::new();
            let all = map.owners_of_points(&points, |i, o| (found.push((i, o)), Continue(())).1);
            prop_assert_eq!(all, Continue(()));
            let alone = one_by_one(&map, &points);
            prop_assert_eq!(&found, &alone, "{}", name);
            let mut calls = 0;
            let stopped = map.owners_of_points(&points, |_, _| (calls += 1, Break(Stop::Enough)).1);
            prop_assert_eq!(stopped.is_break(), !alone.is_empty());
            prop_assert_eq!(calls, alone.len().min(1));
        }
    }

    #[test]
    fn a_run_is_answered_as_element_by_element(seed: u64, n in 0..300_usize) {
        let mut draw = Draw(seed);
        let records = draw_all(&mut draw, n);
        let links = [draw.link(), draw.link(), draw.link()];
        for (name, map) in forms(&records) {
            for link in &links {
                let elsewhere = |o: &OwnedRun| link.of_lower(o.device).expect("a part of it");
                let mut bytes: Vec<_> = runs_of(&map, &link.lower())
                    .iter()
                    .flat_map(|o| elsewhere(o).elements().map(move |(h, t)| (h, t, o.record)))
                    .collect();
                bytes.sort_by_key(|(here, _, record)| (here.start(), in_order(record)));
                let mut expected = Vec::new();
                for (here, there) in link.elements() {
                    for record in listed(&records, here) {
                        let part = record.extent.intersect(here).unwrap();
                        let skip = part.start().get() - here.start().get();
                        expected.push((part, at(there.start().get() + skip, part.len()), record));
                    }
                }
                expected.sort_by_key(|(here, _, record)| (here.start(), in_order(record)));
                prop_assert_eq!(bytes, expected, "{}", name);
            }
        }
    }

    #[test]
    fn a_live_map_is_a_list(seed: u64, n in 0..2000_usize, changes in 0..400_usize) {
        let mut draw = Draw(seed);
        let mut list = listed(&draw_all(&mut draw, n), at(0, u64::MAX));
        let mut live = LiveMap::from(map_of(&list));
        let mut snapshots = Vec::new();
        for _ in 0..changes {
            change(&mut draw, &mut live, &mut list);
            if draw.below(64) == 0 {
                snapshots.push((live.snapshot(), list.clone()));
            }
        }
        snapshots.push((live.snapshot(), list));
        for (snapshot, mut list) in snapshots {
            list.sort_by_key(in_order);
            check(&snapshot);
            prop_assert_eq!(snapshot.len(), list.len());
            for _ in 0..8 {
                let asked = draw.extent();
                prop_assert_eq!(found_by(&snapshot, asked), listed(&list, asked));
            }
            prop_assert_eq!(snapshot.iter().collect::<Vec<_>>(), list);
        }
    }
}

fn change(draw: &mut Draw, live: &mut LiveMap, list: &mut Vec<Record>) {
    let some = (draw.below(list.len().max(1) as u64) as usize).min(list.len().saturating_sub(1));
    match (draw.below(6), list.get(some).copied()) {
        (0..=1, Some(record)) => {
            assert!(live.remove(&record));
            assert!(!live.contains(&record) && !live.remove(&record));
            list.remove(some);
        }
        (2, Some(record)) => split(draw, live, list, record),
        (3, Some(record)) => {
            assert!(live.contains(&record) && !live.insert(record));
        }
        _ => {
            let record = draw.record();
            assert_eq!(live.insert(record), !list.contains(&record));
            if !list.contains(&record) {
                list.push(record);
            }
        }
    }
}

/// Cuts a record, and half of the time makes one of it again.
fn split(draw: &mut Draw, live: &mut LiveMap, list: &mut Vec<Record>, record: Record) {
    let before = live.len();
    let cut = DevOffset::new(record.extent.start().get() + draw.below(record.extent.len() + 1));
    let Some((head, tail)) = live.split(&record, cut) else {
        assert!(record.extent.split_at(cut).0.is_none() || record.extent.split_at(cut).1.is_none());
        assert_eq!(live.len(), before);
        return;
    };
    assert_eq!(head.extent.hull(tail.extent), record.extent);
    assert_eq!(head.extent.end(), tail.extent.start());
    assert_eq!(tail.file_at(cut), record.file_at(cut));
    let known = (list.contains(&head), list.contains(&tail));
    list.retain(|r| *r != record && *r != head && *r != tail);
    if known == (false, false) && draw.below(2) == 0 {
        assert_eq!(live.merge(&tail, &head), None);
        assert_eq!(live.merge(&head, &tail), Some(record));
        list.push(record);
    } else {
        list.extend([head, tail]);
    }
}

/// What every leaf, chunk and directory of a map promises.
fn check(map: &ReverseMap) {
    let Store::Tree(tree) = &map.store else { return };
    tree.used().for_each(check_level);
}

fn check_level(level: &Level) {
    let directory = level.directory();
    let (mut greatest, mut last, mut len) = (0, None, 0);
    let fences: Vec<u64> = (0..directory.len()).map(|c| directory.fence(c)).collect();
    for c in 0..directory.len() {
        let chunk = directory.chunk(c).unwrap();
        assert_eq!(chunk.fence(0), directory.fence(c));
        assert_eq!(chunk.greatest_end(), directory.end(c));
        assert!(chunk.len() > 0);
        for l in 0..chunk.len() {
            let raws: Vec<_> = level.leaf((c, l)).unwrap().raws().collect();
            let first = raws.first().expect("no leaf is empty").start;
            assert!(if l == 0 { chunk.fence(l) <= first } else { chunk.fence(l) == first });
            let reach = if greatest > chunk.fence(l) { greatest } else { 0 };
            assert_eq!(chunk.reach(l), reach, "leaf {l} of chunk {c}");
            check_leaf(level.leaf((c, l)).unwrap(), reach, &raws);
            for raw in &raws {
                let record = raw.record();
                assert!(last.is_none_or(|last| in_order(&last) < in_order(&record)));
                last = Some(record);
                len += 1;
            }
            let end = raws.iter().map(|raw| raw.end).max().unwrap();
            assert_eq!(chunk.end(l), end);
            greatest = greatest.max(end);
        }
        for probe in [fences[c].saturating_sub(1), fences[c], fences[c] + 1] {
            let expected = fences.iter().rposition(|fence| *fence <= probe).unwrap_or(0);
            assert_eq!(directory.rank(probe), expected);
        }
        for probe in [fences[c], fences[c] + 1] {
            let reached = (0..=c).find(|c| directory.chunk(*c).unwrap().reach(0) > probe);
            assert_eq!(directory.first_reached(c, probe), reached.unwrap_or(c + 1));
        }
        let probe = chunk.greatest_end() - 1;
        let found =
            (c..directory.len()).find(|c| directory.chunk(*c).unwrap().greatest_end() > probe);
        assert_eq!(directory.next_ending_after(c, probe), found);
    }
    assert_eq!(level.len(), len);
}

/// What a leaf says of its records, against the records.
fn check_leaf(leaf: &Leaf, reach: u64, raws: &[Raw]) {
    assert_eq!((leaf.len(), leaf.reach()), (raws.len(), reach));
    let starts = raws.iter().flat_map(|raw| [raw.start.saturating_sub(1), raw.start, raw.end]);
    for probe in starts.chain([0, u64::MAX]) {
        let rank = raws.iter().filter(|raw| raw.start <= probe).count();
        assert_eq!(leaf.rank(probe), rank);
        for guess in [0, rank.saturating_sub(5), rank.saturating_sub(1), rank, raws.len()] {
            assert_eq!(leaf.rank_near(guess, probe), rank, "from {guess}");
            check_lone(leaf, guess, probe, raws);
        }
        let first = raws.iter().position(|raw| raw.end > probe).unwrap_or(rank).min(rank);
        assert!(leaf.first_reaching(rank) <= first);
        assert_eq!(leaf.begun(probe), raws.iter().filter(|raw| raw.start < probe).count());
    }
}

/// A lone record is the last one that begins at or before a byte, and no other one is near.
fn check_lone(leaf: &Leaf, guess: usize, from: u64, raws: &[Raw]) {
    for end in [from.saturating_add(1), from.saturating_add(64), from.saturating_add(1 << 20)] {
        let Some(lone) = leaf.lone(guess, from, end) else { continue };
        assert_eq!(raws.iter().rfind(|raw| raw.start <= from), Some(&lone));
        let near = raws.iter().filter(|raw| raw.start < end && raw.end > from);
        assert!(near.clone().all(|raw| *raw == lone), "from {from} to {end}, guess {guess}");
        // One that begins in another leaf is not known here.
        assert!(raws.iter().any(|raw| raw.start >= end));
    }
}

#[test]
fn neighbours_in_other_leaves_are_not_hit() {
    // Records side by side, many leaves and chunks of them: asked for around every boundary.
    let n = 20_000;
    let map: ReverseMap = (0..n).map(|i| record(data(10 + i), 8 * i, 8, 0)).collect();
    for i in 1..n {
        let names = |start, len| -> Vec<Owner> {
            owners_of(&map, at(start, len)).into_iter().map(|owned| owned.record.owner).collect()
        };
        assert_eq!(names(8 * i - 1, 1), [data(9 + i)]);
        assert_eq!(names(8 * i - 1, 2), [data(9 + i), data(10 + i)]);
        assert_eq!(names(8 * i - 8, 8), [data(9 + i)]);
        assert_eq!(names(8 * i, 1), [data(10 + i)]);
    }
}

#[test]
fn a_fresh_map_finds_every_byte_without_a_search() {
    // Forty chunks' worth, and gaps of different sizes: the hints lead to the record, or near it.
    let mut start = 0;
    let position = |i: u64| {
        start += 4096 * (1 + i % 5 / 4);
        start
    };
    let starts: Vec<u64> = (0..270_000).map(position).collect();
    let records = starts.iter().map(|start| record(data(1), *start, 4096, 0));
    let map: ReverseMap = records.collect();
    let searched = |byte: u64| {
        visits::take();
        assert_eq!(owners_of(&map, at(byte, 1)).len(), 1, "byte {byte}");
        // The cells that are counted beside a guess, and the record.
        usize::from(visits::take() > 4 + 1)
    };
    let bytes = starts.iter().flat_map(|start| [*start, *start + 4095]);
    // Hints are made for the last beginning before each few records: some lead too far back.
    let count: usize = bytes.map(searched).sum();
    assert!(count * 20 < 2 * starts.len(), "{count} of {}", 2 * starts.len());
}

#[test]
fn one_giant_over_a_million_small_ones_costs_a_point_nothing() {
    let n = 1_000_000;
    let small = (0..n).map(|i| record(data(10 + i), 4096 * i, 4096, 0));
    let without: ReverseMap = small.clone().collect();
    let giant = record(data(1), 0, 4096 * n, 0);
    let with: ReverseMap = core::iter::once(giant).chain(small).collect();
    for i in [0, 1, n / 2, n - 1] {
        let point = at(4096 * i + 7, 1);
        visits::take();
        assert_eq!(owners_of(&without, point).len(), 1);
        let before = visits::take();
        assert_eq!(owners_of(&with, point).len(), 2);
        // The giant, and the four cells that are counted beside a guess.
        assert!(visits::take() <= before + 8, "small file {i}");
        assert!(before <= 64);
    }
}

#[test]
fn giants_of_every_level_stay_out_of_the_way() {
    // Three million bytes, each its own record, under records of all levels that begin with them.
    let n = 3_000_000;
    let small = (0..n).map(|i| record(data(10 + i), i, 1, 0));
    let giants = [1 << 21, 1 << 30, 1 << 35, (1 << 30) + 1].map(|len| record(FREE, 0, len, 0));
    let map: ReverseMap = giants.into_iter().chain(small).collect();
    for (point, hits) in [(0, 5), (1_000_000, 5), ((1 << 21) - 1, 5), (1 << 21, 4), (n - 1, 4)] {
        visits::take();
        assert_eq!(owners_of(&map, at(point, 1)).len(), hits);
        // A group of chunks, the chunks of one group, the leaves of two chunks, a leaf.
        assert!(visits::take() <= 4 * 64 + 128, "byte {point}");
    }
}

#[test]
fn a_sparse_space_takes_memory_for_its_records_alone() {
    // One record in every 2^40 bytes: nothing is as large as the space.
    let far = (0..10_000).map(|i| record(data(i), i << 40, 512, 0));
    let map: ReverseMap = far.collect();
    assert!(map.memory() < 150 * map.len(), "{}", map.memory() / map.len());
    assert!(map.packed().memory() < 20 * map.len());
    assert_eq!(map.packed(), map);
    assert_eq!(owners_of(&map, at(5_000 << 40, 1)).len(), 1);
    assert_eq!(owners_of(&map, at((5_000 << 40) + 512, 1)), []);
}

#[test]
fn many_owners_of_one_byte_are_found_put_and_taken() {
    let n = 5_000;
    let mut live = LiveMap::new();
    for i in (0..n).rev() {
        assert!(live.insert(record(data(i), 4096, 4096, 0)));
        assert!(live.insert(record(data(i), 8192, 1 + i, 0)));
    }
    let map = live.snapshot();
    check(&map);
    assert_eq!(owners_of(&map, at(5000, 1)).len(), n as usize);
    assert_eq!(owners_of(&map, at(8191, 2)).len(), 2 * n as usize);
    for i in 0..n {
        assert!(live.remove(&record(data(i), 4096, 4096, 0)));
    }
    check(&live.snapshot());
    assert_eq!(owners_of(&live.snapshot(), at(8191, 2)).len(), n as usize);
}

#[test]
fn a_map_that_was_emptied_is_small() {
    let records: Vec<Record> = (0..50_000).map(|i| record(data(i), 16 * i, 8, 0)).collect();
    let mut live = LiveMap::from(map_of(&records));
    for (i, record) in records.iter().enumerate().filter(|(i, _)| i % 20 != 0) {
        assert!(live.remove(record), "{i}");
    }
    check(&live.snapshot());
    assert_eq!(live.len(), 2_500);
    assert!(live.snapshot().memory() < 64 * live.len(), "{}", live.snapshot().memory());
    let snapshot = live.snapshot();
    let Store::Tree(tree) = &snapshot.store else { panic!("it is not packed") };
    let directory = tree.only().expect("all are short").directory();
    // Of leaves that hold less than 56, none is beside another one that it fits into.
    let leaves = directory.chunk(0).map_or(0, Chunk::len);
    assert!(directory.len() == 1 && leaves <= 2_500 / 56 + 1, "{leaves} leaves");
    records.iter().step_by(20).for_each(|record| assert!(live.remove(record)));
    assert!(live.is_empty() && live.snapshot().iter().next().is_none());
}

#[test]
fn what_comes_before_everything_is_in_the_first_chunk() {
    let later = (100..1_000).map(|i| record(data(i), 64 * i, 32, 0));
    let mut live = LiveMap::from(later.collect::<ReverseMap>());
    for i in (0..100).rev() {
        assert!(live.insert(record(data(i), 64 * i, 32, 0)));
        check(&live.snapshot());
    }
    assert_eq!(owners_of(&live.snapshot(), at(0, 1)).len(), 1);
}

#[test]
fn as_many_bytes_off_a_sector_at_either_end_are_not_lost() {
    let far = 5 << 32;
    for off in [1, 256, 511] {
        let records = [record(data(1), 0, 512, 0), record(data(2), far + off, 512 + off, 0)];
        let map = map_of(&records);
        assert_eq!(map.iter().collect::<Vec<_>>(), records);
        check(&map);
    }
}

#[test]
fn a_leaf_that_is_written_anew_knows_what_reaches_into_it() {
    // Of 1 GiB each, 64 MiB apart: 120 in one leaf and 50 in the next, in sectors.
    let records = (0..170).map(|i| record(data(i), i << 26, 1 << 30, 0));
    let mut live = LiveMap::from(records.collect::<ReverseMap>());
    let odd = record(data(999), (150 << 26) + 1, 1 << 30, 0);
    assert!(live.insert(odd));
    check(&live.snapshot());
    assert_eq!(owners_of(&live.snapshot(), at(121 << 26, 1)).len(), 16);
}

#[test]
fn a_part_goes_to_the_leaf_before() {
    // The last of one leaf and the first of the next begin at one byte; what comes later begins later.
    let fillers = (0..119).map(|i| record(data(1), 1000 * i, 500, 0));
    let (short, whole) = (record(data(1), 200_000, 10, 0), record(data(1), 200_000, 20, 0));
    let later = (0..200).map(|i| record(data(1), 201_000 + 1000 * i, 500, 0));
    let mut live =
        LiveMap::from(fillers.chain([short, whole]).chain(later).collect::<ReverseMap>());
    let (head, tail) = live.split(&whole, DevOffset::new(200_005)).expect("inside");
    check(&live.snapshot());
    assert!(live.contains(&head) && live.contains(&short) && live.contains(&tail));
}

#[test]
fn an_emptied_level_begins_anew() {
    let (first, second) = (record(data(1), 0, 8, 0), record(data(2), 100, 8, 0));
    let mut live = LiveMap::new();
    assert!(live.insert(first) && live.remove(&first) && live.insert(second));
    check(&live.snapshot());
    assert!(live.insert(first));
    check(&live.snapshot());
}

#[test]
fn the_end_of_a_chunk_is_that_of_its_longest() {
    let records = (0..500).map(|i| record(data(i), 64 * i, 32, 0));
    let mut live = LiveMap::from(records.collect::<ReverseMap>());
    for (start, len) in [(40, 1 << 20), (20_000, 1 << 21)] {
        let long = record(data(999), start, len, 0);
        assert!(live.insert(long));
        check(&live.snapshot());
        assert_eq!(owners_of(&live.snapshot(), at(start + len - 1, 1)).len(), 1);
        assert!(live.remove(&long));
        check(&live.snapshot());
    }
}

#[test]
fn what_reaches_out_of_a_chunk_is_found_in_the_next() {
    // Two chunks, and a record from the end of the first far into the second.
    let records = (0..8_000).map(|i| record(data(i), 64 * i, 32, 0));
    let mut live = LiveMap::from(records.collect::<ReverseMap>());
    let long = record(data(9_999), 64 * 6_700 + 1, 64 * 1_000, 0);
    assert!(!live.is_empty() && live.insert(long));
    let map = live.snapshot();
    for i in [6_701, 6_719, 6_720, 6_721, 7_300, 7_699] {
        assert_eq!(owners_of(&map, at(64 * i + 3, 1)).len(), 2, "record {i}");
        assert_eq!(owners_of(&map, at(64 * i + 33, 1)).len(), 1, "after record {i}");
    }
    assert_eq!(owners_of(&map, at(64 * 7_701 + 3, 1)).len(), 1);
    assert!(live.remove(&long));
    assert_eq!(owners_of(&live.snapshot(), at(64 * 7_300 + 3, 1)).len(), 1);
}

#[test]
fn many_points_of_a_single_level() {
    let map: ReverseMap = (0..3_000).map(|i| record(data(i), 64 * i, 32, 0)).collect();
    let bytes = (0..500).map(|i| 64 * (i * 7 % 3_000) + i % 64);
    let points: Vec<DevOffset> = bytes.map(DevOffset::new).collect();
    let mut found = Vec::new();
    let _ = map.owners_of_points(&points, |i, owned| (found.push((i, owned)), Continue(())).1);
    assert_eq!(found, one_by_one(&map, &points));
    assert_eq!(found, one_by_one(&map.packed(), &points));
    assert_eq!(found.len(), points.iter().filter(|point| point.get() % 64 < 32).count());
}

/// A record of the main level is 2 MiB long at most: up to there one that begins with it, or just
/// before or behind it, belongs in its position; whoever asks beyond meets the long one alone.
#[test]
fn a_long_record_is_reported_in_its_position_among_short_ones() {
    const SHORT: u64 = 1 << 21;
    let short = (0..8).map(|i| record(data(5), i * SHORT, SHORT, 0));
    for begin in [3 * SHORT - 1, 3 * SHORT, 3 * SHORT + 1] {
        let long = [record(data(1), begin, 1 << 40, 0), record(data(9), begin, 1 << 40, 0)];
        let records: Vec<Record> = short.clone().chain(long).collect();
        let map = map_of(&records);
        let asked = [begin, begin + 1, 4 * SHORT - 1, 4 * SHORT, begin + SHORT - 1, begin + SHORT];
        for asked in asked.into_iter().flat_map(|from| [at(from, 1), at(from, 3 * SHORT)]) {
            assert_eq!(found_by(&map, asked), listed(&records, asked), "{asked} over {begin}");
        }
    }
}

#[test]
fn records_are_on_the_level_of_their_length() {
    let level = |len| tree::level_of(&Raw::of(&record(data(1), 5, len, 0)));
    assert_eq!([1, 1 << 21].map(level), [0, 0]);
    assert_eq!([(1 << 21) + 1, 1 << 30].map(level), [1, 1]);
    assert_eq!([(1 << 30) + 1, 1 << 35].map(level), [2, 2]);
    assert_eq!([(1 << 35) + 1, u64::MAX - 5].map(level), [3, 3]);
}

#[test]
fn hints_of_yesterday_lead_several_leaves_back() {
    // The hints know of a few records; between two of them come leaves full of others.
    let few = (0..600).map(|i| record(data(1), i << 20, 512, 0));
    let mut live = LiveMap::from(few.collect::<ReverseMap>());
    let base = 300 << 20;
    for i in 0..4_000 {
        assert!(live.insert(record(data(2), base + 1024 + 64 * i, 32, 0)));
    }
    let map = live.snapshot();
    check(&map);
    for i in 0..4_000 {
        let first = base + 1024 + 64 * i;
        assert_eq!(owners_of(&map, at(first, 1)).len(), 1, "record {i}");
        assert_eq!(owners_of(&map, at(first + 31, 1)).len(), 1, "record {i}");
        assert_eq!(owners_of(&map, at(first + 32, 32)), [], "after record {i}");
    }
    assert_eq!(owners_of(&map, at(base + 511, 1)).len(), 1);
    assert_eq!(owners_of(&map, at(base + 512, 512)), []);
    assert_eq!(owners_of(&map, at((301 << 20) - 1, 2)).len(), 1);
}

#[test]
fn a_part_goes_to_the_leaf_that_it_belongs_to() {
    // Many begin at one byte and differ in length alone: the first part of any of them comes before
    // all others, in another leaf.
    let records: Vec<Record> = (0..500).map(|i| record(data(1), 0, 1000 + 2 * i, 0)).collect();
    // First and last ones of leaves, of 120 records each, and some in the middle.
    for i in [0, 1, 60, 119, 120, 121, 238, 239, 240, 241, 359, 360, 480, 499] {
        let whole = &records[i];
        let mut live = LiveMap::from(map_of(&records));
        let cut = DevOffset::new(500 + i as u64);
        let (head, tail) = live.split(whole, cut).expect("inside");
        check(&live.snapshot());
        assert!(live.contains(&head) && live.contains(&tail) && !live.contains(whole));
        assert_eq!(live.merge(&head, &tail), Some(*whole));
        check(&live.snapshot());
    }
}

#[test]
fn long_records_far_apart_are_narrow_too() {
    // 2 MiB each, and thirty gibibytes per leaf.
    let n = 40_000;
    let long: ReverseMap = (0..n).map(|i| record(data(i), i << 28, 1 << 21, 0)).collect();
    assert!(long.memory() < 32 * long.len(), "{}", long.memory() / long.len());
    // Off the sectors as well, as long as 32 bits of bytes are enough.
    let odd: ReverseMap =
        (0..n).map(|i| record(data(i), (i << 21) + 1, (1 << 21) - 1, 0)).collect();
    assert!(odd.memory() < 32 * odd.len(), "{}", odd.memory() / odd.len());
}

#[test]
fn narrow_records_are_exact_up_to_their_limits() {
    let (byte, sector) = (1_u64 << 26, 512_u64 << 26);
    for (len, unit) in [(byte, 1), (sector, 512)] {
        for len in [len - unit, len, len + unit] {
            for far in [unit * 0xffff_fffe, unit * 0xffff_ffff, unit << 32] {
                let base = 1 << 50;
                let records = [record(data(1), base, len, 0), record(data(2), base + far, len, 0)];
                let map = map_of(&records);
                check(&map);
                assert_eq!(map.iter().collect::<Vec<_>>(), records);
                let ends = |start| owners_of(&map, at(start + len, 1)).len();
                assert_eq!((ends(base), ends(base + far)), (0, 0), "{len} {far}");
                assert_eq!(owners_of(&map, at(base + far + len - 1, 1)).len(), 1, "{len} {far}");
                assert_eq!(owners_of(&map, at(base + far - 1, 1)).len(), usize::from(far <= len));
            }
        }
    }
}

#[test]
fn what_does_not_go_on_is_not_merged() {
    let (head, tail) = (record(data(1), 0, 8, 100), record(data(1), 8, 8, 108));
    let others = [
        record(data(2), 8, 8, 108),
        record(data(1), 8, 8, 109),
        record(data(1), 9, 8, 109),
        unwritten(tail),
    ];
    let mut live = LiveMap::from(map_of(&[head, tail]));
    others.iter().for_each(|other| assert!(live.insert(*other)));
    for other in others {
        assert_eq!(live.merge(&head, &other), None);
    }
    assert_eq!(live.merge(&head, &record(data(1), 8, 9, 108)), None, "it is not there");
    assert_eq!(live.len(), 6);
    assert_eq!(live.merge(&head, &tail), Some(record(data(1), 0, 16, 100)));
    assert_eq!(live.split(&head, DevOffset::new(4)), None, "it is not there any more");
    let end = record(data(3), 0, 16, u64::MAX - 8);
    assert!(live.insert(end));
    assert_eq!(live.split(&end, DevOffset::new(9)), None, "beyond 64 bits of the file");
    assert!(live.contains(&end));
}
