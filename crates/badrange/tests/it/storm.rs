//! A storm of accesses to memory whose decoder was torn down, through the queue and the coalescer.

use std::collections::BTreeSet;

use badrange::{
    block::interleave::{DecodeStorm, Granularity, Interleave},
    core::{DevOffset, Extent, Leg, MfFlags, PAGE_SIZE, Pfn, PhysAddr},
    stack::{BadRange, Coalescer, EventQueue, Failure, Record},
};

/// 64 MiB over four devices in granules of two pages, at 4 GiB.
fn region() -> Interleave {
    let hpa = Extent::new(PhysAddr::new(4 << 30), 64 << 20).unwrap();
    Interleave::new(hpa, Granularity::new(8192).unwrap(), &[DevOffset::new(0); 4]).unwrap()
}

fn failure(page: Pfn) -> Failure {
    let bytes = Extent::new(page.phys().unwrap(), PAGE_SIZE).unwrap();
    Failure { range: BadRange::Memory(bytes), flags: MfFlags::NONE }
}

/// Pages of exact records, and of records that cover what was lost.
#[derive(Default)]
struct Told {
    exact: BTreeSet<u64>,
    reports: u64,
    covered: BTreeSet<u64>,
    lost: u64,
    ranges: usize,
}

impl Told {
    fn add(&mut self, record: &Record) {
        match record {
            Record::Failed { failure, reports } => {
                let pages = pages(failure);
                assert!(pages.clone().all(|page| self.exact.insert(page)), "told twice: {record}");
                self.reports += reports;
                self.ranges += 1;
            }
            Record::Lost { failure, reports } => {
                self.covered.extend(pages(failure));
                self.lost += reports;
            }
            Record::LostAnywhere { .. } => panic!("{record}"),
        }
    }
}

fn pages(failure: &Failure) -> core::ops::Range<u64> {
    let BadRange::Memory(bytes) = failure.range else { panic!("{failure:?}") };
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
        let mut pages = Coalescer::with_bound(32, MfFlags::NONE);
        for page in DecodeStorm::of_leg(&region, Leg::new(leg)).scattered(u64::from(leg) * 99) {
            let _ = pages.insert(page);
            let _ = pages.insert(page); // a page that failed again is no other page
        }
        let mut told = Told::default();
        pages.drain().for_each(|record| told.add(&record));
        let expected = pages_of_leg(leg.into());
        assert_eq!(expected.len(), 4096);
        assert!(told.exact == expected && told.covered.is_empty());
        assert_eq!(told.ranges, 2048, "two pages each");
    }
}

#[test]
fn all_devices_gone_is_one_range() {
    let region = region();
    let mut pages = Coalescer::with_bound(32, MfFlags::NONE);
    DecodeStorm::of_region(&region).scattered(7).for_each(|page| {
        let _ = pages.insert(page);
    });
    let records: Vec<Record> = pages.drain().collect();
    let [Record::Failed { failure, reports: 16_384 }] = records.as_slice() else {
        panic!("{records:?}");
    };
    assert_eq!(failure.range, BadRange::Memory(region.hpa()));
}

#[test]
fn a_queue_that_is_too_short_says_what_it_lost() {
    let region = region();
    let expected = pages_of_leg(1);
    for bound in [16, 512, 4096] {
        let queue = EventQueue::with_bound(bound);
        let mut told = Told::default();
        for (n, page) in DecodeStorm::of_leg(&region, Leg::new(1)).scattered(5).enumerate() {
            let _ = queue.push(failure(page));
            if n % 1000 == 999 {
                queue.drain().iter().for_each(|record| told.add(record));
            }
        }
        queue.drain().iter().for_each(|record| told.add(record));
        assert_eq!(told.reports + told.lost, 4096, "every report is in one record");
        assert!(told.exact.is_subset(&expected), "nothing is invented");
        let unaccounted = expected.difference(&told.exact).filter(|p| !told.covered.contains(p));
        assert_eq!(unaccounted.count(), 0, "nothing is forgotten");
        assert_eq!(bound < 1000, told.lost > 0);
    }
}
