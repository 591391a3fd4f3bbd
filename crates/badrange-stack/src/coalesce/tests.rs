//! The coalescer against a set of page numbers.
#![expect(clippy::arithmetic_side_effects, reason = "small numbers, and a panic is a failed test")]

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const NONE: MfFlags = MfFlags::NONE;

fn failed(record: &Record) -> Option<Extent<Pfn>> {
    match record {
        Record::Failed {
            failure: Failure { range: BadRange::Memory(bytes), flags: NONE }, ..
        } => Some(bytes.containing_pages()),
        Record::Failed { .. } | Record::Lost { .. } | Record::LostAnywhere { .. } => None,
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
        let mut coalescer = Coalescer::with_bound(512, NONE);
        for batch in batches {
            let mut twin = BTreeSet::new();
            for page in batch {
                let fresh = twin.insert(page);
                let expected = if fresh { Pushed::Queued } else { Pushed::Merged };
                prop_assert_eq!(coalescer.insert(Pfn::new(page)), expected);
            }
            prop_assert_eq!(coalescer.is_empty(), twin.is_empty());
            let records: Vec<Record> = coalescer.drain().collect();
            let out: Option<Vec<_>> = records.iter().map(failed).collect();
            prop_assert_eq!(out, Some(ranges(&twin)));
            let reports: u64 = records.iter().map(Record::reports).sum();
            prop_assert_eq!(reports, twin.len() as u64);
            prop_assert!(coalescer.is_empty());
        }
    }

    /// Without room: a page is in a range or within a LOST record, never neither, and never in a
    /// range when it was not reported; every report is counted that was not a repetition.
    #[test]
    fn what_does_not_fit_is_said(batch in pages(), bound in 1..5_usize) {
        let mut coalescer = Coalescer::with_bound(bound, NONE);
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
        let records: Vec<Record> = coalescer.drain().collect();
        let out: Vec<_> = records.iter().map_while(failed).collect();
        prop_assert_eq!(&out, &ranges(&kept));
        let said = records.get(out.len()..).unwrap();
        for page in &lost {
            let page = page_bytes(Pfn::new(*page)).unwrap();
            let covers = |record: &Record| match record {
                Record::Lost { failure, .. } => failure.range.hull(page) == Some(failure.range),
                Record::Failed { .. } | Record::LostAnywhere { .. } => false,
            };
            prop_assert!(said.iter().any(covers), "{} is in none of {:?}", page, said);
        }
        prop_assert_eq!(said.iter().map(Record::reports).sum::<u64>(), lost.len() as u64);
    }

    /// What is left in an iterator that was dropped comes first the next time.
    #[test]
    fn nothing_is_lost_with_a_dropped_iterator(batch in pages(), taken in 0..5_usize) {
        let mut coalescer = Coalescer::with_bound(512, NONE);
        let twin: BTreeSet<u64> = batch.iter().copied().collect();
        for page in batch {
            let _ = coalescer.insert(Pfn::new(page));
        }
        let mut out: Vec<Record> = coalescer.drain().take(taken).collect();
        prop_assert_eq!(coalescer.is_empty(), out.len() == ranges(&twin).len());
        let _ = coalescer.insert(Pfn::new(7));
        out.extend(coalescer.drain());
        let fresh = coalescer.drain().next();
        out.extend(fresh.into_iter().chain(coalescer.drain()));
        let all: BTreeSet<u64> = out.iter().filter_map(failed).flat_map(numbers).collect();
        prop_assert_eq!(all, &twin | &BTreeSet::from([7]));
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
    let mut coalescer = Coalescer::with_bound(bound, NONE);
    for i in 0..bound as u64 {
        let page = u128::from(i * PAGES) * u128::from(stride) % u128::from(END);
        let page = Pfn::new(u64::try_from(page).unwrap());
        assert_ne!(coalescer.insert(page), Pushed::Lost, "stride {stride}, region {i} of {bound}");
    }
}

/// The worst that a storm can do: every page needs a region. Of these the first `bound` are kept.
#[test]
fn isolated_pages_are_kept_up_to_the_bound() {
    let mut coalescer = Coalescer::with_bound(8, NONE);
    let pushed: Vec<_> = (0..20).map(|i| coalescer.insert(Pfn::new(i * 1000))).collect();
    assert_eq!(pushed.iter().filter(|pushed| **pushed == Pushed::Queued).count(), 8);
    let records: Vec<_> = coalescer.drain().collect();
    assert_eq!(records.len(), 8 + 12, "LOST records have room for 16 ranges");
    assert_eq!(records.iter().map(Record::reports).sum::<u64>(), 20);
}

/// The last page of the address space has no end: no extent can name it.
#[test]
fn a_page_without_an_end_is_lost_anywhere() {
    let mut coalescer = Coalescer::with_bound(8, NONE);
    assert_eq!(coalescer.insert(Pfn::new(END - 1)), Pushed::Queued);
    for page in [END, END + 1, u64::MAX] {
        assert_eq!(coalescer.insert(Pfn::new(page)), Pushed::Lost);
    }
    let records: Vec<_> = coalescer.drain().collect();
    assert_eq!(failed(&records[0]), Extent::new(Pfn::new(END - 1), 1).ok());
    assert_eq!(records[1..], [Record::LostAnywhere { flags: NONE, reports: 3 }]);
}

#[test]
fn failures_keep_their_flags() {
    let mut coalescer = Coalescer::with_bound(1, MfFlags::ACTION_REQUIRED);
    let _ = coalescer.insert(Pfn::new(0));
    let _ = coalescer.insert(Pfn::new(PAGES));
    for record in coalescer.drain() {
        let (Record::Failed { failure, .. } | Record::Lost { failure, .. }) = record else {
            panic!("{record}");
        };
        assert_eq!(failure.flags, MfFlags::ACTION_REQUIRED);
    }
}
