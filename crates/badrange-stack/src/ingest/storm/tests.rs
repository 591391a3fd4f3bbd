//! Storms on one thread; several are in the models.
#![expect(clippy::arithmetic_side_effects, reason = "small numbers, and a panic is a failed test")]

use core::panic::AssertUnwindSafe;
use std::panic::catch_unwind;

use proptest::prelude::*;

use super::*;
use crate::ingest::record::Failure;

/// The pages of a record.
fn pages(record: &QueueRecord) -> Vec<u64> {
    let QueueRecord::Failed { failure: Failure { range, .. }, .. } = record else {
        panic!("{record}");
    };
    let pages = range.phys().containing_pages(PageSize::K4);
    (pages.start().get()..pages.end().get()).collect()
}

fn storm() -> PageStorm {
    PageStorm::with_bound(64, DeviceId::new(0, 0, 1), PageSize::K4, MfFlags::NONE)
}

#[test]
fn a_single_page_is_handed_over_at_once() {
    let storm = storm();
    for page in [5, 5, 9] {
        let mut told = Vec::new();
        let done = storm.report(Pfn::new(page), &mut |record| told.extend(pages(&record)));
        assert_eq!((done, told), (Stormed::Done, vec![page]));
    }
}

proptest! {
    /// Whatever comes while the first is worked on, the second batch is it: in order, each once.
    #[test]
    fn what_comes_meanwhile_is_one_batch(meanwhile in proptest::collection::vec(0..200_u64, 0..50)) {
        let storm = storm();
        let mut batches: Vec<Vec<u64>> = Vec::new();
        let mut told: Vec<u64> = Vec::new();
        let done = storm.report(Pfn::new(1000), &mut |record| {
            if told.is_empty() {
                for page in &meanwhile {
                    let left = storm.report(Pfn::new(*page), &mut |_| panic!("one works at a time"));
                    assert!(matches!(left, Stormed::Left(Pushed::Queued | Pushed::Merged)));
                }
            }
            told.extend(pages(&record));
            batches.push(pages(&record));
        });
        prop_assert_eq!(done, Stormed::Done);
        let mut expected = meanwhile;
        expected.sort_unstable();
        expected.dedup();
        prop_assert_eq!(told.split_off(1), expected);
        for pair in batches[1..].windows(2) {
            prop_assert!(pair[0].last().unwrap() + 1 < pair[1][0], "ranges as large as can be");
        }
    }
}

#[test]
fn whoever_panics_leaves_the_rest_to_the_next() {
    let storm = storm();
    let mut told = Vec::new();
    let mut calls = 0;
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        storm.report(Pfn::new(0), &mut |record| {
            calls += 1;
            if calls == 1 {
                for page in [10, 20, 30] {
                    let _ = storm.report(Pfn::new(page), &mut |_| {});
                }
            }
            assert_ne!(calls, 3, "a panic at page 20");
            told.extend(pages(&record));
        })
    }));
    assert!(panicked.is_err());
    assert_eq!(told, [0, 10]);
    let mut rest = Vec::new();
    let done = storm.report(Pfn::new(5), &mut |record| rest.extend(pages(&record)));
    assert_eq!((done, rest), (Stormed::Done, vec![30, 5]), "20 had been handed over");
}
