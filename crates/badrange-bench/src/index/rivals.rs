//! The contenders: one record type each, the same queries, the same work per answer.

use core::ops::{ControlFlow, Range};
use std::collections::BTreeMap;

use badrange_core::{DevOffset, Extent};
use badrange_fs::{FileId, Owned, Owner, Record, ReverseMap};
use coitrees::{COITree, Interval as CoInterval, IntervalTree as _};
use intervaltree::IntervalTree;
use iset::IntervalMap;
use nodit::{Interval as NoditInterval, NoditMap, interval::ie};
use rangemap::RangeMap;
use rust_lapper::{Interval as LapperInterval, Lapper};
use smallvec::{SmallVec, smallvec};
use superintervals::IntervalMap as SuperMap;

use crate::data::{BLOCK, Shape};

/// What rivals keep beside the range: 24 bytes, as XFS does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Payload {
    pub(super) owner: u64,
    pub(super) offset: u64,
    pub(super) flags: u64,
}

impl Payload {
    pub(super) fn of(record: &Record) -> Self {
        let owner = id_of(record.owner);
        Self { owner, offset: record.file_start.get(), flags: u64::from(record.unwritten) }
    }
}

fn id_of(owner: Owner) -> u64 {
    match owner {
        Owner::File { id: FileId::Ino(ino), .. } => ino,
        Owner::File { .. } | Owner::Special(_) => 0,
    }
}

/// What a query adds up. Every field of every answer is in it, in a way that does not depend on
/// where a contender cuts an answer in two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Sum {
    pub(super) bytes: u64,
    pub(super) mixed: u64,
}

impl Sum {
    #[inline]
    pub(super) fn add(&mut self, asked: &Range<u64>, found: &Range<u64>, payload: &Payload) {
        let len = found.end.min(asked.end) - found.start.max(asked.start);
        let Payload { owner, offset, flags } = *payload;
        self.bytes = self.bytes.wrapping_add(len);
        self.mixed = self.mixed.wrapping_add(len.wrapping_mul(owner ^ offset ^ flags));
    }
}

/// A map from ranges to owners.
pub(super) trait Contender: Sized {
    const NAME: &'static str;
    /// Whether it can hold overlapping records.
    const OVERLAPS: bool;
    /// Whether [`Self::insert`] works.
    const CHANGES: bool = false;

    /// From sorted records, the fastest way that it offers.
    fn build(records: &[Record]) -> Self;

    /// Adds up all owners of bytes of `asked`.
    fn visit(&self, asked: Range<u64>, sum: &mut Sum);

    fn insert(&mut self, _: &Record) {}
    fn remove(&mut self, _: &Record) {}
    /// Cuts a record in two at a byte, and undoes it.
    fn split_and_merge(&mut self, _: &Record, _: u64) {}
}

pub(super) fn range_of(record: &Record) -> Range<u64> {
    record.extent.start().get()..record.extent.end().get()
}

/// Ours: what [`badrange_fs::ReverseMap::for_each_owner`] gives.
impl Contender for ReverseMap {
    const NAME: &'static str = "badrange";
    const OVERLAPS: bool = true;

    fn build(records: &[Record]) -> Self {
        records.iter().copied().collect()
    }

    #[inline]
    fn visit(&self, asked: Range<u64>, sum: &mut Sum) {
        let Ok(extent) =
            Extent::from_bounds(DevOffset::new(asked.start), DevOffset::new(asked.end))
        else {
            return;
        };
        let _ = self.for_each_owner(extent, |owned| {
            sum.owned(&owned);
            ControlFlow::Continue(())
        });
    }
}

impl Sum {
    #[inline]
    pub(super) fn owned(&mut self, owned: &Owned) {
        let word = word_of(&owned.record);
        self.bytes = self.bytes.wrapping_add(owned.device.len());
        self.mixed = self.mixed.wrapping_add(owned.device.len().wrapping_mul(word));
    }
}

/// What [`Sum`] mixes of a record.
#[inline]
pub(super) fn word_of(record: &Record) -> u64 {
    id_of(record.owner) ^ record.file_start.get() ^ u64::from(record.unwritten)
}

/// `rangemap` for sets without overlaps.
pub(super) struct Ranges(RangeMap<u64, Payload>);

impl Contender for Ranges {
    const NAME: &'static str = "rangemap";
    const OVERLAPS: bool = false;
    const CHANGES: bool = true;

    fn build(records: &[Record]) -> Self {
        Self(records.iter().map(|r| (range_of(r), Payload::of(r))).collect())
    }

    #[inline]
    fn visit(&self, asked: Range<u64>, sum: &mut Sum) {
        for (range, payload) in self.0.overlapping(&asked) {
            sum.add(&asked, range, payload);
        }
    }

    fn insert(&mut self, record: &Record) {
        self.0.insert(range_of(record), Payload::of(record));
    }

    fn remove(&mut self, record: &Record) {
        self.0.remove(range_of(record));
    }

    /// Writing over the tail cuts; writing the whole again merges.
    fn split_and_merge(&mut self, record: &Record, at: u64) {
        let (range, mut payload) = (range_of(record), Payload::of(record));
        payload.offset += at - range.start;
        self.0.insert(at..range.end, payload);
        self.0.insert(range, Payload::of(record));
    }
}

/// `rangemap` with all owners of a byte in the value: the only way that it can hold several.
pub(super) struct SharedRanges(RangeMap<u64, SmallVec<[(u64, Payload); 1]>>);

impl Contender for SharedRanges {
    const NAME: &'static str = "rangemap of SmallVec";
    const OVERLAPS: bool = true;

    /// Swept once: one segment per change of owners, so that no segment is written twice.
    fn build(records: &[Record]) -> Self {
        let mut map = RangeMap::new();
        let mut active: SmallVec<[Record; 8]> = smallvec![];
        let mut at = 0;
        let mut waiting = records.iter().peekable();
        loop {
            active.retain(|r| r.extent.end().get() > at);
            while let Some(r) = waiting.next_if(|r| r.extent.start().get() <= at) {
                active.push(*r);
            }
            let next = waiting.peek().map(|r| r.extent.start().get());
            let end = active.iter().map(|r| r.extent.end().get()).min();
            match (end, next) {
                (None, None) => return Self(map),
                (None, Some(start)) => at = start,
                (Some(end), next) => {
                    let end = next.map_or(end, |next| next.min(end));
                    let owners =
                        active.iter().map(|r| (r.extent.start().get(), Payload::of(r))).collect();
                    map.insert(at..end, owners);
                    at = end;
                }
            }
        }
    }

    #[inline]
    fn visit(&self, asked: Range<u64>, sum: &mut Sum) {
        for (range, owners) in self.0.overlapping(&asked) {
            for (_, payload) in owners {
                sum.add(&asked, range, payload);
            }
        }
    }
}

/// `BTreeMap` from start to end and owner, for sets without overlaps.
pub(super) struct BTree(BTreeMap<u64, (u64, Payload)>);

impl BTree {
    #[inline]
    fn visit_from(&self, asked: &Range<u64>, sum: &mut Sum) {
        if let Some((start, (end, payload))) = self.0.range(..asked.start).next_back() {
            if *end > asked.start {
                sum.add(asked, &(*start..*end), payload);
            }
        }
        for (start, (end, payload)) in self.0.range(asked.clone()) {
            sum.add(asked, &(*start..*end), payload);
        }
    }
}

impl Contender for BTree {
    const NAME: &'static str = "BTreeMap, bulk-built";
    const OVERLAPS: bool = false;
    const CHANGES: bool = true;

    fn build(records: &[Record]) -> Self {
        let pairs = records.iter().map(|r| {
            let range = range_of(r);
            (range.start, (range.end, Payload::of(r)))
        });
        Self(pairs.collect())
    }

    #[inline]
    fn visit(&self, asked: Range<u64>, sum: &mut Sum) {
        self.visit_from(&asked, sum);
    }

    fn insert(&mut self, record: &Record) {
        let range = range_of(record);
        self.0.insert(range.start, (range.end, Payload::of(record)));
    }

    fn remove(&mut self, record: &Record) {
        self.0.remove(&record.extent.start().get());
    }

    fn split_and_merge(&mut self, record: &Record, at: u64) {
        let (range, mut payload) = (range_of(record), Payload::of(record));
        if let Some((end, _)) = self.0.get_mut(&range.start) {
            *end = at;
        }
        payload.offset += at - range.start;
        self.0.insert(at, (range.end, payload));
        self.0.remove(&at);
        if let Some((end, _)) = self.0.get_mut(&range.start) {
            *end = range.end;
        }
    }
}

/// The same, grown by one insertion after the other.
pub(super) struct GrownBTree(BTree);

impl Contender for GrownBTree {
    const NAME: &'static str = "BTreeMap, grown";
    const OVERLAPS: bool = false;

    fn build(records: &[Record]) -> Self {
        let mut grown = BTree(BTreeMap::new());
        records.iter().for_each(|record| grown.insert(record));
        Self(grown)
    }

    #[inline]
    fn visit(&self, asked: Range<u64>, sum: &mut Sum) {
        self.0.visit_from(&asked, sum);
    }
}

/// `BTreeMap` for overlaps: looks back by the longest record.
pub(super) struct LookBack {
    map: BTreeMap<(u64, u32), (u64, Payload)>,
    longest: u64,
}

impl Contender for LookBack {
    const NAME: &'static str = "BTreeMap, look-back";
    const OVERLAPS: bool = true;

    fn build(records: &[Record]) -> Self {
        let pairs = (0_u32..).zip(records).map(|(i, r)| {
            let range = range_of(r);
            ((range.start, i), (range.end, Payload::of(r)))
        });
        let longest = records.iter().map(|r| r.extent.len()).max().unwrap_or(0);
        Self { map: pairs.collect(), longest }
    }

    #[inline]
    fn visit(&self, asked: Range<u64>, sum: &mut Sum) {
        let first = asked.start.saturating_sub(self.longest);
        for ((start, _), (end, payload)) in self.map.range((first, 0)..(asked.end, 0)) {
            if *end > asked.start {
                sum.add(&asked, &(*start..*end), payload);
            }
        }
    }
}

/// Block numbers for those that have 32-bit positions.
#[expect(clippy::cast_possible_truncation, reason = "a few TiB of blocks fit")]
fn block(byte: u64) -> i32 {
    (byte / BLOCK) as i32
}

#[expect(clippy::cast_sign_loss, reason = "block numbers are not negative")]
fn bytes(block: i32) -> u64 {
    block as u64 * BLOCK
}

pub(super) struct Coi(COITree<Payload, u32>);

impl Contender for Coi {
    const NAME: &'static str = "coitrees";
    const OVERLAPS: bool = true;

    fn build(records: &[Record]) -> Self {
        let intervals: Vec<CoInterval<Payload>> = records
            .iter()
            .map(|r| {
                let range = range_of(r);
                CoInterval::new(block(range.start), block(range.end) - 1, Payload::of(r))
            })
            .collect();
        Self(COITree::new(&intervals))
    }

    #[inline]
    fn visit(&self, asked: Range<u64>, sum: &mut Sum) {
        self.0.query(block(asked.start), block(asked.end) - 1, |node| {
            let found = bytes(node.first)..bytes(node.last + 1);
            sum.add(&asked, &found, &node.metadata.clone());
        });
    }
}

pub(super) struct Super(SuperMap<Payload>);

impl Contender for Super {
    const NAME: &'static str = "superintervals";
    const OVERLAPS: bool = true;

    fn build(records: &[Record]) -> Self {
        let mut map = SuperMap::new();
        map.reserve(records.len());
        for record in records {
            let range = range_of(record);
            map.add(block(range.start), block(range.end) - 1, Payload::of(record));
        }
        map.build();
        Self(map)
    }

    #[inline]
    fn visit(&self, asked: Range<u64>, sum: &mut Sum) {
        for item in self.0.search_items_iter(block(asked.start), block(asked.end) - 1) {
            sum.add(&asked, &(bytes(item.start)..bytes(item.end + 1)), &item.data);
        }
    }
}

pub(super) struct Iset(IntervalMap<u64, Payload>);

impl Contender for Iset {
    const NAME: &'static str = "iset";
    const OVERLAPS: bool = true;
    const CHANGES: bool = true;

    fn build(records: &[Record]) -> Self {
        let disjoint = records.is_sorted_by(|a, b| a.extent.end() <= b.extent.start());
        if disjoint {
            let pairs = records.iter().map(|r| (range_of(r), Payload::of(r)));
            return Self(IntervalMap::from_sorted(pairs));
        }
        let mut map = IntervalMap::new();
        records.iter().for_each(|r| map.force_insert(range_of(r), Payload::of(r)));
        Self(map)
    }

    #[inline]
    fn visit(&self, asked: Range<u64>, sum: &mut Sum) {
        for (range, payload) in self.0.iter(asked.clone()) {
            sum.add(&asked, &range, payload);
        }
    }

    fn insert(&mut self, record: &Record) {
        self.0.insert(range_of(record), Payload::of(record));
    }

    fn remove(&mut self, record: &Record) {
        self.0.remove(range_of(record));
    }

    fn split_and_merge(&mut self, record: &Record, at: u64) {
        let (range, payload) = (range_of(record), Payload::of(record));
        self.0.remove(range.clone());
        self.0.insert(range.start..at, payload);
        self.0.insert(at..range.end, payload);
        self.0.remove(range.start..at);
        self.0.remove(at..range.end);
        self.0.insert(range, payload);
    }
}

pub(super) struct Nodit(NoditMap<u64, NoditInterval<u64>, Payload>);

impl Contender for Nodit {
    const NAME: &'static str = "nodit";
    const OVERLAPS: bool = false;
    const CHANGES: bool = true;

    fn build(records: &[Record]) -> Self {
        let mut map = NoditMap::new();
        for record in records {
            let range = range_of(record);
            let _ = map.insert_strict(ie(range.start, range.end), Payload::of(record));
        }
        Self(map)
    }

    #[inline]
    fn visit(&self, asked: Range<u64>, sum: &mut Sum) {
        for (range, payload) in self.0.overlapping(&ie(asked.start, asked.end)) {
            sum.add(&asked, &(*range.start()..range.end() + 1), payload);
        }
    }

    fn insert(&mut self, record: &Record) {
        let range = range_of(record);
        let _ = self.0.insert_strict(ie(range.start, range.end), Payload::of(record));
    }

    fn remove(&mut self, record: &Record) {
        let range = range_of(record);
        self.0.remove_overlapping(&ie(range.start, range.end)).for_each(drop);
    }

    fn split_and_merge(&mut self, record: &Record, at: u64) {
        let (range, payload) = (range_of(record), Payload::of(record));
        let _ = self.0.insert_overwrite(ie(at, range.end), payload).count();
        let _ = self.0.insert_overwrite(ie(range.start, range.end), payload).count();
    }
}

pub(super) struct Centered(IntervalTree<u64, Payload>);

impl Contender for Centered {
    const NAME: &'static str = "intervaltree";
    const OVERLAPS: bool = true;

    fn build(records: &[Record]) -> Self {
        Self(records.iter().map(|r| (range_of(r), Payload::of(r))).collect())
    }

    #[inline]
    fn visit(&self, asked: Range<u64>, sum: &mut Sum) {
        for element in self.0.query(asked.clone()) {
            sum.add(&asked, &element.range, &element.value);
        }
    }
}

pub(super) struct Lapped(Lapper<u64, Payload>);

impl Contender for Lapped {
    const NAME: &'static str = "rust-lapper";
    const OVERLAPS: bool = true;

    fn build(records: &[Record]) -> Self {
        let interval = |r: &Record| {
            let Range { start, end: stop } = range_of(r);
            LapperInterval { start, stop, val: Payload::of(r) }
        };
        Self(Lapper::new(records.iter().map(interval).collect()))
    }

    #[inline]
    fn visit(&self, asked: Range<u64>, sum: &mut Sum) {
        for found in self.0.find(asked.start, asked.end) {
            sum.add(&asked, &(found.start..found.stop), &found.val);
        }
    }
}

/// The limit of a range: a plain scan over an array of records of 24 bytes.
pub(super) struct Scan(Vec<[u64; 3]>);

impl Contender for Scan {
    const NAME: &'static str = "plain scan";
    const OVERLAPS: bool = false;

    fn build(records: &[Record]) -> Self {
        let word = |r: &Record| {
            let (start, len) = (r.extent.start().get() / BLOCK, r.extent.len() / BLOCK);
            let payload = Payload::of(r);
            [start << 32 | len << 1 | payload.flags, payload.owner, payload.offset]
        };
        Self(records.iter().map(word).collect())
    }

    #[inline]
    fn visit(&self, asked: Range<u64>, sum: &mut Sum) {
        let at = |[head, ..]: &[u64; 3]| {
            let start = (head >> 32) * BLOCK;
            start..start + ((head & 0xffff_ffff) >> 1) * BLOCK
        };
        let first = self.0.partition_point(|record| at(record).end <= asked.start);
        for record in self.0.get(first..).unwrap_or_default() {
            let range = at(record);
            if range.start >= asked.end {
                break;
            }
            let [head, owner, offset] = *record;
            sum.add(&asked, &range, &Payload { owner, offset, flags: head & 1 });
        }
    }
}

/// Whether a contender can hold the set.
pub(super) fn holds<C: Contender>(shape: Shape) -> bool {
    C::OVERLAPS || shape == Shape::Disjoint
}
