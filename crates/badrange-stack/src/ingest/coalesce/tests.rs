//! The coalescer against a set of page numbers.
#![expect(clippy::arithmetic_side_effects, reason = "small numbers, and a panic is a failed test")]

use std::collections::{BTreeMap, BTreeSet};

use badrange_core::DevOffset;
use proptest::prelude::*;

use super::*;

const NONE: MfFlags = MfFlags::NONE;
const DEVICE: DeviceId = DeviceId::new(0, 2, 5);

/// From here on pages have no bytes in a 64-bit space.
const END: u64 = u64::MAX / 4096;

fn coalescer(bound: usize) -> Coalescer {
    Coalescer::with_bound(bound, DEVICE, PageSize::K4, NONE)
}

fn page_bytes(page: u64) -> Extent {
    Extent::new(Pfn::new(page), 1).unwrap().bytes(PageSize::K4).unwrap().on_memory()
}

fn failed(record: &QueueRecord) -> Option<Extent<Pfn>> {
    match record {
        QueueRecord::Failed { failure: Failure { device: DEVICE, range, flags: NONE }, .. } => {
            Some(range.phys().containing_pages(PageSize::K4))
        }
        QueueRecord::Failed { .. }
        | QueueRecord::Lost { .. }
        | QueueRecord::LostAnywhere { .. } => None,
    }
}

/// The maximal ranges of a set of pages, the slow way.
fn ranges(pages: &BTreeSet<u64>) -> Vec<Extent<Pfn>> {
    let starts =
        pages.iter().filter(|page| page.checked_sub(1).is_none_or(|p| !pages.contains(&p)));
    let end = |start: u64| (start..).find(|page| !pages.contains(page)).unwrap();
    starts.map(|s| Extent::from_bounds(Pfn::new(*s), Pfn::new(end(*s))).unwrap()).collect()
}

/// Pages close together, at the edges of words and regions, and anywhere.
fn pages() -> impl Strategy<Value = Vec<u64>> {
    let last = END - 1;
    let page = prop_oneof![
        6 => 0..300_u64,
        2 => 300..3000_u64,
        2 => (0..20_u64, 0..3_u64).prop_map(|(word, by)| word * 1000 * PAGES + PAGES - 1 + by),
        1 => (0..70_u64).prop_map(move |by| last - by),
        1 => 0..END,
    ];
    proptest::collection::vec(page, 0..if cfg!(miri) { 30 } else { 300 })
}

proptest! {
    /// While there is room: exactly the set, as maximal ranges in order, each page counted once.
    #[test]
    fn pages_come_out_as_the_set_that_went_in(batches in proptest::collection::vec(pages(), 1..4)) {
        let mut coalescer = coalescer(512);
        for batch in batches {
            let mut twin = BTreeSet::new();
            for page in batch {
                let fresh = twin.insert(page);
                let expected = if fresh { Pushed::Queued } else { Pushed::Merged };
                prop_assert_eq!(coalescer.insert(Pfn::new(page)), expected);
            }
            prop_assert_eq!(coalescer.is_empty(), twin.is_empty());
            let records: Vec<QueueRecord> = coalescer.drain().collect();
            let out: Option<Vec<_>> = records.iter().map(failed).collect();
            prop_assert_eq!(out, Some(ranges(&twin)));
            let reports: u64 = records.iter().map(QueueRecord::reports).sum();
            prop_assert_eq!(reports, twin.len() as u64);
            prop_assert!(coalescer.is_empty());
        }
    }

    /// Without room: a page is in a range or within a LOST record, never neither, and never in a
    /// range when it was not reported; every report is counted that was not a repetition.
    #[test]
    fn what_does_not_fit_is_said(batch in pages(), bound in 1..5_usize) {
        let mut coalescer = coalescer(bound);
        let (mut kept, mut lost) = (BTreeSet::new(), Vec::new());
        for page in batch {
            match coalescer.insert(Pfn::new(page)) {
                Pushed::Queued => prop_assert!(kept.insert(page)),
                Pushed::Merged => prop_assert!(kept.contains(&page)),
                Pushed::Lost => lost.push(page),
            }
        }
        let regions: BTreeSet<u64> = kept.iter().map(|page| page / PAGES).collect();
        prop_assert!(regions.len() <= bound);
        let records: Vec<QueueRecord> = coalescer.drain().collect();
        let out: Vec<_> = records.iter().map_while(failed).collect();
        prop_assert_eq!(&out, &ranges(&kept));
        let said = records.get(out.len()..).unwrap();
        for page in &lost {
            let page = page_bytes(*page);
            let covers = |record: &QueueRecord| match record {
                QueueRecord::Lost { failure, .. } => failure.range.contains_extent(page),
                QueueRecord::Failed { .. } | QueueRecord::LostAnywhere { .. } => false,
            };
            prop_assert!(said.iter().any(covers), "{} is in none of {:?}", page, said);
        }
        prop_assert_eq!(said.iter().map(QueueRecord::reports).sum::<u64>(), lost.len() as u64);
    }

    /// What is left in an iterator that was dropped comes first the next time, and what came
    /// meanwhile after it.
    #[test]
    fn nothing_is_lost_with_a_dropped_iterator(batch in pages(), taken in 0..5_usize) {
        let mut coalescer = coalescer(512);
        let twin: BTreeSet<u64> = batch.iter().copied().collect();
        for page in batch {
            let _ = coalescer.insert(Pfn::new(page));
        }
        let mut out: Vec<QueueRecord> = coalescer.drain().take(taken).collect();
        prop_assert_eq!(coalescer.is_empty(), out.len() == ranges(&twin).len());
        let _ = coalescer.insert(Pfn::new(7));
        out.extend(coalescer.drain());
        prop_assert!(coalescer.is_empty());
        let mut expected = ranges(&twin);
        expected.push(Extent::new(Pfn::new(7), 1).unwrap());
        let untouched = taken == 0; // then all of it is one batch
        let expected = if untouched { ranges(&(&twin | &BTreeSet::from([7]))) } else { expected };
        prop_assert_eq!(out.iter().map(failed).collect::<Option<Vec<_>>>(), Some(expected));
    }

    /// Whatever the sequence of inserts, partial and full drains: a page that was inserted is in
    /// some output since, or within a LOST record since; no page comes out more often than it went
    /// in; and after a full drain there is nothing.
    #[test]
    fn every_page_comes_out_after_it_went_in(
        ops in proptest::collection::vec(op(), 0..60),
        bound in prop_oneof![1..6_usize, Just(512)],
    ) {
        let mut coalescer = coalescer(bound);
        let mut owed: BTreeSet<u64> = BTreeSet::new();
        let mut inside: BTreeMap<u64, u64> = BTreeMap::new();
        for op in ops {
            let taken = match op {
                Op::Insert(page) => {
                    let _ = coalescer.insert(Pfn::new(page));
                    owed.insert(page);
                    *inside.entry(page).or_default() += 1;
                    prop_assert!(!coalescer.is_empty());
                    continue;
                }
                Op::Drain(taken) => taken,
            };
            let mut drain = coalescer.drain();
            for record in drain.by_ref().take(taken.unwrap_or(usize::MAX)) {
                match record {
                    QueueRecord::Failed { .. } => {
                        for page in numbers(failed(&record).unwrap()) {
                            owed.remove(&page);
                            let left = inside.get_mut(&page).and_then(|n| n.checked_sub(1));
                            prop_assert!(left.is_some(), "page {} was not inserted", page);
                            inside.insert(page, left.unwrap());
                        }
                    }
                    QueueRecord::Lost { failure, .. } => {
                        owed.retain(|page| !failure.range.contains_extent(page_bytes(*page)));
                    }
                    QueueRecord::LostAnywhere { .. } => prop_assert!(false, "one device"),
                }
            }
            if taken.is_none() {
                prop_assert!(coalescer.is_empty());
                prop_assert_eq!(&owed, &BTreeSet::new());
                inside.clear();
            }
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Op {
    Insert(u64),
    /// So many records, or all.
    Drain(Option<usize>),
}

fn op() -> impl Strategy<Value = Op> {
    let page = prop_oneof![4 => 0..20_u64, 2 => 0..2000_u64, 1 => 0..END];
    prop_oneof![
        8 => page.prop_map(Op::Insert),
        3 => (0..4_usize).prop_map(|taken| Op::Drain(Some(taken))),
        1 => Just(Op::Drain(None)),
    ]
}

/// Regression: it gave out what the first iterator had left, and not what came after that.
#[test]
fn a_full_drain_after_a_partial_one_leaves_no_page_behind() {
    let mut coalescer = coalescer(8);
    for page in [1, 5] {
        let _ = coalescer.insert(Pfn::new(page));
    }
    let first: Vec<_> = coalescer.drain().take(1).collect();
    let _ = coalescer.insert(Pfn::new(9));
    let rest: Vec<_> = coalescer.drain().collect();
    let pages = |records: &[QueueRecord]| -> Vec<u64> {
        records.iter().filter_map(failed).flat_map(numbers).collect()
    };
    assert_eq!((pages(&first), pages(&rest)), (vec![1], vec![5, 9]));
    assert!(coalescer.is_empty());
    assert_eq!(coalescer.drain().next(), None);
}

/// The same numbers are other bytes when pages are larger.
#[test]
fn pages_are_as_large_as_the_device_says() {
    for size in [PageSize::K4, PageSize::K16, PageSize::K64] {
        let mut coalescer = Coalescer::with_bound(4, DEVICE, size, NONE);
        for page in [8, 7] {
            let _ = coalescer.insert(Pfn::new(page));
        }
        let last = u64::MAX / size.bytes() - 1;
        assert_eq!(coalescer.insert(Pfn::new(last)), Pushed::Queued);
        assert_eq!(coalescer.insert(Pfn::new(last + 1)), Pushed::Lost);
        let range = |start, len| {
            let bytes = DevOffset::new(start * size.bytes());
            let range = Extent::new(bytes, len * size.bytes()).unwrap();
            QueueRecord::Failed {
                failure: Failure { device: DEVICE, range, flags: NONE },
                reports: len,
            }
        };
        let records: Vec<_> = coalescer.drain().collect();
        assert_eq!(records[..2], [range(7, 2), range(last, 1)]);
        assert_eq!(records[2..], [QueueRecord::LostAnywhere { flags: NONE, reports: 1 }]);
    }
}

fn numbers(pages: Extent<Pfn>) -> core::ops::Range<u64> {
    pages.start().get()..pages.end().get()
}

/// Pages at a fixed distance, as an interleaved module would report them, find their place up to
/// the last region: nothing of the kind is taken for hostile.
#[test]
fn every_stride_fits_up_to_the_bound() {
    let powers = (0..34).map(|power| 1_u64 << power);
    let odd = [3, 7, 25, 513, 1000, 4095, 1_000_003, 0x1234_5678_9abc];
    let large = if cfg!(miri) { 16 } else { 4096 };
    for stride in powers.chain(odd) {
        for bound in (1..20).chain([large]) {
            all_fit(stride, bound);
        }
    }
}

fn all_fit(stride: u64, bound: usize) {
    let mut coalescer = coalescer(bound);
    for i in 0..bound as u64 {
        let page = u128::from(i * PAGES) * u128::from(stride) % u128::from(END);
        let page = Pfn::new(u64::try_from(page).unwrap());
        assert_ne!(coalescer.insert(page), Pushed::Lost, "stride {stride}, region {i} of {bound}");
    }
}

/// The worst that a storm can do: every page needs a region. Of these the first `bound` are kept.
#[test]
fn isolated_pages_are_kept_up_to_the_bound() {
    let mut coalescer = coalescer(8);
    let pushed: Vec<_> = (0..20).map(|i| coalescer.insert(Pfn::new(i * 1000))).collect();
    assert_eq!(pushed.iter().filter(|pushed| **pushed == Pushed::Queued).count(), 8);
    let records: Vec<_> = coalescer.drain().collect();
    assert_eq!(records.len(), 8 + 12, "LOST records have room for 16 ranges");
    assert_eq!(records.iter().map(QueueRecord::reports).sum::<u64>(), 20);
}

/// The last page of the address space has no end: no extent can name it.
#[test]
fn a_page_without_an_end_is_lost_anywhere() {
    let mut coalescer = coalescer(8);
    assert_eq!(coalescer.insert(Pfn::new(END - 1)), Pushed::Queued);
    for page in [END, END + 1, u64::MAX] {
        assert_eq!(coalescer.insert(Pfn::new(page)), Pushed::Lost);
    }
    let records: Vec<_> = coalescer.drain().collect();
    assert_eq!(failed(&records[0]), Extent::new(Pfn::new(END - 1), 1).ok());
    assert_eq!(records[1..], [QueueRecord::LostAnywhere { flags: NONE, reports: 3 }]);
}

#[test]
fn failures_keep_their_flags() {
    let mut coalescer = Coalescer::with_bound(1, DEVICE, PageSize::K4, MfFlags::ACTION_REQUIRED);
    let _ = coalescer.insert(Pfn::new(0));
    let _ = coalescer.insert(Pfn::new(PAGES));
    for record in coalescer.drain() {
        let (QueueRecord::Failed { failure, .. } | QueueRecord::Lost { failure, .. }) = record
        else {
            panic!("{record}");
        };
        assert_eq!(failure.flags, MfFlags::ACTION_REQUIRED);
    }
}
