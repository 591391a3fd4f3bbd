//! A storm of accesses to memory whose decoder was torn down, through the queue and the coalescer.

use std::collections::BTreeSet;

use badrange::{
    block::interleave::{DecodeStorm, Granularity, Interleave},
    core::{DevOffset, DeviceId, Extent, Leg, MfFlags, PageSize, Pfn, PhysAddr},
    stack::{Coalescer, EventQueue, Failure, QueueRecord},
};

/// Physical memory, in some stack.
const MEMORY: DeviceId = DeviceId::new(0, 0, 1);
const PAGE: PageSize = PageSize::K4;
const PAGE_SIZE: u64 = PAGE.bytes();

/// 64 MiB over four devices in granules of two pages, at 4 GiB.
fn region() -> Interleave {
    let hpa = Extent::new(PhysAddr::new(4 << 30), 64 << 20).unwrap();
    Interleave::new(hpa, Granularity::new(8192).unwrap(), &[DevOffset::new(0); 4]).unwrap()
}

fn failure(page: Pfn) -> Failure {
    let bytes = Extent::new(page.phys(PAGE).unwrap(), PAGE_SIZE).unwrap();
    Failure { device: MEMORY, range: bytes.on_memory(), flags: MfFlags::NONE }
}

/// Pages of exact records, and of records that cover what was lost.
#[derive(Default)]
struct Notified {
    exact: BTreeSet<u64>,
    reports: u64,
    covered: BTreeSet<u64>,
    lost: u64,
    ranges: usize,
}

impl Notified {
    fn add(&mut self, record: &QueueRecord) {
        match record {
            QueueRecord::Failed { failure, reports } => {
                let pages = pages(failure);
                assert!(
                    pages.clone().all(|page| self.exact.insert(page)),
                    "notified twice: {record}"
                );
                self.reports += reports;
                self.ranges += 1;
            }
            QueueRecord::Lost { failure, reports } => {
                self.covered.extend(pages(failure));
                self.lost += reports;
            }
            QueueRecord::LostAnywhere { .. } => panic!("{record}"),
        }
    }
}

fn pages(failure: &Failure) -> core::ops::Range<u64> {
    assert_eq!(failure.device, MEMORY);
    let bytes = failure.range;
    bytes.start().get() / PAGE_SIZE..bytes.end().get() / PAGE_SIZE
}

/// The pages of a leg, worked out from the geometry: two of every eight, in its turn.
fn pages_of_leg(leg: u64) -> BTreeSet<u64> {
    let first = (4_u64 << 30) / PAGE_SIZE;
    (first..first + (64 << 20) / PAGE_SIZE).filter(|page| page / 2 % 4 == leg).collect()
}

#[test]
fn a_coalescer_makes_the_exact_ranges_of_a_storm() {
    let region = region();
    for leg in 0..4 {
        let mut pages = Coalescer::with_bound(32, MEMORY, PAGE, MfFlags::NONE);
        for page in DecodeStorm::of_leg(&region, Leg::new(leg), PAGE).scattered(u64::from(leg) * 99)
        {
            let _ = pages.insert(page);
            let _ = pages.insert(page); // a page that failed again is no other page
        }
        let mut seen = Notified::default();
        pages.drain().for_each(|record| seen.add(&record));
        let expected = pages_of_leg(leg.into());
        assert_eq!(expected.len(), 4096);
        assert!(seen.exact == expected && seen.covered.is_empty());
        assert_eq!(seen.ranges, 2048, "two pages each");
    }
}

#[test]
fn all_devices_gone_is_one_range() {
    let region = region();
    let mut pages = Coalescer::with_bound(32, MEMORY, PAGE, MfFlags::NONE);
    DecodeStorm::of_region(&region, PAGE).scattered(7).for_each(|page| {
        let _ = pages.insert(page);
    });
    let records: Vec<QueueRecord> = pages.drain().collect();
    let [QueueRecord::Failed { failure, reports: 16_384 }] = records.as_slice() else {
        panic!("{records:?}");
    };
    assert_eq!(failure.range, region.hpa().on_memory());
}

#[test]
fn a_queue_that_is_too_short_says_what_it_lost() {
    let region = region();
    let expected = pages_of_leg(1);
    for bound in [16, 512, 4096] {
        let queue = EventQueue::with_bound(bound);
        let mut seen = Notified::default();
        for (n, page) in DecodeStorm::of_leg(&region, Leg::new(1), PAGE).scattered(5).enumerate() {
            let _ = queue.push(failure(page));
            if n % 1000 == 999 {
                queue.drain().iter().for_each(|record| seen.add(record));
            }
        }
        queue.drain().iter().for_each(|record| seen.add(record));
        assert_eq!(seen.reports + seen.lost, 4096, "every report is in one record");
        assert!(seen.exact.is_subset(&expected), "nothing is invented");
        let unaccounted = expected.difference(&seen.exact).filter(|p| !seen.covered.contains(p));
        assert_eq!(unaccounted.count(), 0, "nothing is forgotten");
        assert_eq!(bound < 1000, seen.lost > 0);
    }
}
