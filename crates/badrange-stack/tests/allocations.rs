//! What the notify path allocates in the common case: nothing.
//!
//! The allocator counts per thread. A thread's first event is not measured: `arc-swap` gives each
//! thread its own place once.
#![cfg(not(any(loom, shuttle)))]
#![expect(clippy::unwrap_used, reason = "a panic is a failed test")]

use core::{hint::black_box, ops::ControlFlow};
use std::sync::Arc;

use allocation_counter::measure;
use badrange_core::*;
use badrange_stack::*;

const NONE: MfFlags = MfFlags::NONE;

fn at(start: u64, len: u64) -> Extent<DevOffset> {
    Extent::new(DevOffset::new(start), len).unwrap()
}

fn phys(start: u64, len: u64) -> Extent<PhysAddr> {
    Extent::new(PhysAddr::new(start), len).unwrap()
}

/// A layer of one leg, in any two spaces.
#[derive(Debug)]
struct Window<L: Space>(Extent<L>);

impl<L: Space> Mapping<L, DevOffset> for Window<L> {
    fn legs(&self) -> u32 {
        1
    }
    fn extent(&self) -> Extent<DevOffset> {
        at(0, self.0.len())
    }
    fn leg_extent(&self, _: Leg) -> Option<Extent<L>> {
        Some(self.0)
    }
    fn map(
        &self,
        _: Extent<DevOffset>,
        _: &mut dyn FnMut(Mapped<L, DevOffset>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        ControlFlow::Continue(()) // failures only climb
    }
    fn rmap(
        &self,
        _: Leg,
        lower: Extent<L>,
        sink: &mut dyn FnMut(Rmapped<L, DevOffset>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let Some(lower) = lower.intersect(self.0) else { return ControlFlow::Continue(()) };
        let upper = lower.rebase(self.0.start(), DevOffset::new(0)).unwrap();
        sink(Rmapped { lower, upper })
    }
}

/// Handles everything, or settles the first 512 bytes of it and fails the rest.
struct Owner {
    settles: bool,
}

impl Holder for Owner {
    fn corrupted_range(&self, what: &Corruption<'_>) -> Outcome {
        if !self.settles {
            return Outcome::Handled;
        }
        let first = Extent::new(what.range().first().start(), 512).unwrap();
        assert_eq!(what.settle(first.into(), Outcome::Handled), 512);
        what.trail(first.into(), &mut |hop| assert_eq!(hop.at.total_len(), 512));
        Outcome::Failed(Errno::EIO)
    }
}

struct Nobody;

impl Fallback for Nobody {
    fn memory_failure(&self, _: Pfn, _: MfFlags) {}
}

/// Allocations of the second of two equal events.
fn allocations(event: impl Fn() -> Report) -> (u64, Report) {
    let _ = event();
    let mut report = None;
    let info = measure(|| report = Some(event()));
    (info.count_total, report.unwrap())
}

/// Memory below pmem below a partition, with one holder on a part of it.
fn pmem(settles: bool) -> (Stack, DeviceId, Registration) {
    let stack = Stack::new();
    let below = Arc::new(Window(phys(0x10_0000, 0x10_0000)));
    let pmem = stack.add_device(DeviceSpec::on_memory("pmem0", below)).unwrap();
    let part = DeviceSpec::on("pmem0p1", Arc::new(Window(at(0x1000, 0x8_0000))), [pmem]);
    let part = stack.add_device(part).unwrap();
    let registration = stack.register(part, at(0, 0x4000), Arc::new(Owner { settles })).unwrap();
    (stack, pmem, registration)
}

#[test]
fn a_device_event_that_is_handled_allocates_nothing() {
    let (stack, pmem, _registration) = pmem(false);
    let (count, report) = allocations(|| stack.notify_failure(pmem, at(0x2000, 0x1000), NONE));
    assert_eq!((report.handled_bytes(), report.counts().arrived), (0x1000, 2));
    assert_eq!(count, 0);
}

#[test]
fn a_memory_event_that_is_handled_allocates_nothing() {
    let (stack, _, _registration) = pmem(false);
    let (count, report) =
        allocations(|| stack.memory_failure_range(phys(0x10_2000, 0x1000), NONE, &Nobody));
    assert_eq!((report.handled_bytes(), report.counts().told), (0x1000, 1));
    assert_eq!(count, 0);
}

#[test]
fn a_memory_event_that_partly_falls_back_allocates_nothing() {
    let (stack, _, _registration) = pmem(false);
    // A head below the partition, the holder's part, a tail that nobody holds.
    let (count, report) =
        allocations(|| stack.memory_failure_range(phys(0x10_0000, 0x8000), NONE, &Nobody));
    assert_eq!((report.handled_bytes(), report.remainder_bytes()), (0x4000, 0x4000));
    assert_eq!(report.fallback_pages().len(), 2);
    assert_eq!(count, 0);
}

#[test]
fn settling_a_part_and_asking_for_the_trail_allocates_nothing() {
    let (stack, _, _registration) = pmem(true);
    let (count, report) =
        allocations(|| stack.memory_failure_range(phys(0x10_2000, 0x1000), NONE, &Nobody));
    assert_eq!((report.handled_bytes(), report.failed_bytes()), (512, 0x1000_u64.abs_diff(512)));
    assert_eq!(count, 0);
}

#[test]
fn an_event_that_hits_nobody_allocates_nothing() {
    let (stack, pmem, registration) = pmem(false);
    registration.unregister().unwrap();
    let (count, report) = allocations(|| stack.notify_failure(pmem, at(0, 0x1000), NONE));
    assert_eq!(report.remainder_bytes(), 0x1000);
    assert_eq!(count, 0);
}

#[test]
fn a_failure_reported_from_a_callback_allocates_nothing_more() {
    struct Again(Stack, DeviceId);
    impl Holder for Again {
        fn corrupted_range(&self, what: &Corruption<'_>) -> Outcome {
            let _ = self.0.notify_failure(self.1, what.range().span(), NONE);
            Outcome::Handled
        }
    }
    let stack = Stack::new();
    let disk = stack.add_device(DeviceSpec::base("disk", at(0, 0x1000))).unwrap();
    let _r = stack.register(disk, at(0, 512), Arc::new(Again(stack.clone(), disk))).unwrap();
    let (count, report) = allocations(|| stack.notify_failure(disk, at(0, 0x1000), NONE));
    assert_eq!(report.handled_bytes(), 512);
    assert_eq!(count, 0, "down to the nesting limit");
}

#[test]
fn producers_of_a_full_queue_allocate_nothing() {
    let queue = EventQueue::with_bound(4);
    let push = |n: u64| {
        let range = BadRange::Memory(phys(0x3000 * (n % 500), 0x1000));
        queue.push(Failure { range, flags: NONE });
    };
    let pushes = if cfg!(miri) { 200 } else { 10_000 };
    let info = measure(|| (0..pushes).for_each(push));
    assert_eq!(info.count_total, 0);
    let reports: u64 = queue.drain().iter().map(Record::reports).sum();
    assert_eq!(reports, pushes);
}

/// What this file would not notice if it measured nothing.
#[test]
fn the_counter_counts() {
    assert_eq!(measure(|| drop(black_box(Box::new(1)))).count_total, 1);
    let (stack, pmem, _registration) = pmem(false);
    // A trace keeps every step: that does allocate.
    let mut trace = Trace::new();
    let info = measure(|| {
        let _ = stack.notify_failure_observed(pmem, at(0, 0x1000), NONE, &mut trace);
    });
    assert!(info.count_total > 0);
}
