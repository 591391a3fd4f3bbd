//! What the notify path allocates in the common case: nothing.
//!
//! The allocator counts per thread. A thread's first event is not measured: `arc-swap` gives each
//! thread its own place once.
#![expect(clippy::unwrap_used, reason = "a panic is a failed test")]

use core::{
    hint::black_box,
    ops::ControlFlow,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};
use std::sync::Arc;

use allocation_counter::measure;
use badrange_core::*;
use badrange_stack::*;

const NONE: MfFlags = MfFlags::NONE;

fn at(start: u64, len: u64) -> Extent {
    Extent::new(DevOffset::new(start), len).unwrap()
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
    fn memory_failure(&self, _: Granule, _: MfFlags) {}
}

/// Allocations of the second of two equal events.
fn allocations(event: impl Fn() -> Report) -> (u64, Report) {
    let _ = event();
    let mut report = None;
    let info = measure(|| report = Some(event()));
    (info.count_total, report.unwrap())
}

/// Memory below pmem below a partition, with one holder on a part of it.
struct Pmem {
    stack: Stack,
    memory: DeviceId,
    pmem: DeviceId,
    registration: Registration,
}

fn window(lower: Extent) -> Arc<dyn Mapping> {
    Arc::new(Window::new(lower))
}

fn pmem(settles: bool) -> Pmem {
    let stack = Stack::new();
    let memory = DeviceSpec::base("mem", at(0, 1 << 46)).fallback(PageSize::K4, Arc::new(Nobody));
    let memory = stack.add_device(memory).unwrap();
    let pmem = DeviceSpec::on("pmem0", window(at(0x10_0000, 0x10_0000)), [memory]);
    let pmem = stack.add_device(pmem).unwrap();
    let part = DeviceSpec::on("pmem0p1", window(at(0x1000, 0x8_0000)), [pmem]);
    let part = stack.add_device(part).unwrap();
    let registration = stack.register(part, at(0, 0x4000), Arc::new(Owner { settles })).unwrap();
    Pmem { stack, memory, pmem, registration }
}

impl Pmem {
    fn fail(&self, device: DeviceId, start: u64, len: u64) -> Report {
        self.stack.fail(device, at(start, len), NONE).unwrap()
    }
}

#[test]
fn a_device_event_that_is_handled_allocates_nothing() {
    let pmem = pmem(false);
    let (count, report) = allocations(|| pmem.fail(pmem.pmem, 0x2000, 0x1000));
    assert_eq!((report.handled_bytes(), report.counts().arrived), (0x1000, 2));
    assert_eq!(count, 0);
}

#[test]
fn a_memory_event_that_is_handled_allocates_nothing() {
    let pmem = pmem(false);
    let (count, report) = allocations(|| pmem.fail(pmem.memory, 0x10_2000, 0x1000));
    assert_eq!((report.handled_bytes(), report.counts().notified), (0x1000, 1));
    assert_eq!(count, 0);
}

#[test]
fn a_memory_event_that_partly_falls_back_allocates_nothing() {
    let pmem = pmem(false);
    // A head below the partition, the holder's part, a tail that nobody holds.
    let (count, report) = allocations(|| pmem.fail(pmem.memory, 0x10_0000, 0x8000));
    assert_eq!((report.handled_bytes(), report.remainder_bytes()), (0x4000, 0x4000));
    assert_eq!(report.fallback().len(), 2);
    assert_eq!(count, 0);
}

/// Memory over a device that has it: a failure by the name of that device climbs into memory.
#[test]
fn an_event_below_memory_that_falls_back_there_allocates_nothing() {
    let stack = Stack::new();
    let memdev = stack.add_device(DeviceSpec::base("mem0", at(0, 1 << 30))).unwrap();
    let region = Link::at(at(0, 1 << 30), DevOffset::new(4 << 30)).unwrap();
    let parts = [(Leg::new(0), region)];
    let map = Piecewise::new(at(0, 1 << 46), Rest::Own, parts).unwrap();
    let memory = DeviceSpec::on("mem", Arc::new(map), [memdev]);
    let memory = memory.fallback(PageSize::K4, Arc::new(Nobody));
    let _memory = stack.add_device(memory).unwrap();
    let (count, report) = allocations(|| stack.fail(memdev, at(0x1000, 0x2000), NONE).unwrap());
    assert_eq!((report.remainder_bytes(), report.fallback().len()), (0x2000, 1));
    assert_eq!(count, 0);
}

#[test]
fn settling_a_part_and_asking_for_the_trail_allocates_nothing() {
    let pmem = pmem(true);
    let (count, report) = allocations(|| pmem.fail(pmem.memory, 0x10_2000, 0x1000));
    assert_eq!((report.handled_bytes(), report.failed_bytes()), (512, 0x1000_u64.abs_diff(512)));
    assert_eq!(count, 0);
}

#[test]
fn an_event_that_hits_nobody_allocates_nothing() {
    let Pmem { stack, pmem, registration, .. } = pmem(false);
    registration.unregister().unwrap();
    let (count, report) = allocations(|| stack.fail(pmem, at(0, 0x1000), NONE).unwrap());
    assert_eq!(report.remainder_bytes(), 0x1000);
    assert_eq!(count, 0);
}

/// What a walk through a snapshot costs is what its visitor does.
#[test]
fn a_walk_up_or_down_allocates_nothing() {
    let pmem = pmem(false);
    let snapshot = pmem.stack.snapshot();
    let part = pmem.stack.device("pmem0p1").unwrap();
    let mut visits = 0;
    let mut visit = |visit: &Visit<'_>| {
        visits += 1;
        visit.trail(visit.here(), &mut |hop| assert_eq!(hop.at.total_len(), 0x1000));
        ControlFlow::Continue(())
    };
    snapshot.up(pmem.pmem, at(0, 1).into(), &mut |_| ControlFlow::Continue(())).unwrap();
    let info = measure(|| {
        snapshot.up(pmem.memory, at(0x10_2000, 0x1000).into(), &mut visit).unwrap();
        snapshot.down(part, at(0x1000, 0x1000), &mut visit).unwrap();
    });
    assert_eq!((info.count_total, visits), (0, 5));
}

#[test]
fn a_failure_reported_from_a_callback_allocates_nothing_more() {
    struct Again(Stack, DeviceId);
    impl Holder for Again {
        fn corrupted_range(&self, what: &Corruption<'_>) -> Outcome {
            let _ = self.0.fail(self.1, what.range().span(), NONE).unwrap();
            Outcome::Handled
        }
    }
    let stack = Stack::new();
    let disk = stack.add_device(DeviceSpec::base("disk", at(0, 0x1000))).unwrap();
    let _r = stack.register(disk, at(0, 512), Arc::new(Again(stack.clone(), disk))).unwrap();
    let (count, report) = allocations(|| stack.fail(disk, at(0, 0x1000), NONE).unwrap());
    assert_eq!(report.handled_bytes(), 512);
    assert_eq!(count, 0, "down to the nesting limit");
}

#[test]
fn producers_of_a_full_queue_allocate_nothing() {
    let calls = Arc::new(AtomicU64::new(0));
    let called = Arc::clone(&calls);
    let wake = move || {
        called.fetch_add(1, Relaxed);
    };
    let queue = EventQueue::with_bound(4).with_waker(wake);
    // Of one device with more ranges than places, then of more devices than places.
    let push = |n: u64| {
        let of = u32::try_from(n / 1000 % 30).unwrap();
        let (device, range) = (DeviceId::new(0, of, 1), at(0x3000 * (n % 500), 0x1000));
        queue.push(Failure { device, range, flags: NONE });
    };
    let pushes = if cfg!(miri) { 200 } else { 40_000 };
    let info = measure(|| (0..pushes).for_each(push));
    assert_eq!((info.count_total, calls.load(Relaxed)), (0, 1));
    let reports: u64 = queue.drain().iter().map(QueueRecord::reports).sum();
    assert_eq!(reports, pushes);
}

#[test]
fn a_storm_of_pages_allocates_nothing() {
    let storm = PageStorm::with_bound(4, DeviceId::new(0, 0, 1), PageSize::K4, NONE);
    let mut reports = 0;
    let info = measure(|| {
        let _ = storm.report(Pfn::new(7), &mut |record| {
            reports += record.reports();
            // More regions than there is room for, so that some are lost.
            for page in (0..20).filter(|_| reports == 1) {
                let _ = storm.report(Pfn::new(page * 1000), &mut |_| {});
            }
        });
    });
    assert_eq!((info.count_total, reports), (0, 21));
}

/// Device over device, each twice on the one below: the routes of a byte are counted, not kept.
#[test]
fn bytes_with_too_many_routes_take_little_memory() {
    let limits = Limits { depth: 100, ..Limits::DEFAULT };
    let stack = Stack::with_limits(limits);
    let mut below = stack.add_device(DeviceSpec::base("disk", at(0, 0x1000))).unwrap();
    let twice = [Leg::new(0), Leg::new(1)].map(|leg| (leg, Link::same(at(0, 0x1000))));
    let twice = Arc::new(Twice(twice));
    for level in 0..64 {
        let spec = DeviceSpec::on(format!("{level}"), twice.clone(), [below, below]);
        below = stack.add_device(spec).unwrap();
    }
    let disk = stack.device("disk").unwrap();
    let mut overrouted = 0;
    let info = measure(|| {
        let report = stack.fail(disk, at(0, 0x1000), NONE).unwrap();
        overrouted = report.counts().overrouted;
    });
    assert!(overrouted > 0);
    assert!(info.bytes_max < 1 << 20, "{} bytes", info.bytes_max);
}

/// Two legs that are the same bytes.
#[derive(Debug)]
struct Twice([(Leg, Link); 2]);

impl Mapping for Twice {
    fn extent(&self) -> Extent {
        self.0[0].1.upper().span()
    }
    fn legs(&self) -> u32 {
        2
    }
    fn leg_extent(&self, _: Leg) -> Option<Extent> {
        Some(self.extent())
    }
    fn map(&self, upper: Extent, sink: Sink<'_, Mapped>) -> Flow {
        let to = |(leg, _)| Mapped::To { leg, link: Link::same(upper) };
        self.0.iter().copied().map(to).try_for_each(sink)
    }
    fn rmap(&self, _: Leg, lower: Run, sink: Sink<'_, Link>) -> Flow {
        sink(Link::same(lower))
    }
}

/// What this file would not notice if it measured nothing.
#[test]
fn the_counter_counts() {
    assert_eq!(measure(|| drop(black_box(Box::new(1)))).count_total, 1);
    let pmem = pmem(false);
    // A trace keeps every step: that does allocate.
    let mut trace = Trace::new();
    let info = measure(|| {
        let _ = pmem.stack.fail_observed(pmem.pmem, at(0, 0x1000), NONE, &mut trace).unwrap();
    });
    assert!(info.count_total > 0);
}
