//! Real threads, real memory: notifications against continuous registration, with the law of
//! conservation checked on every event.
//!
//! The number of notifications comes from `BADRANGE_STRESS_EVENTS`; a few thousand if not set.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    reason = "small numbers, and a panic is a failed test"
)]

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::{env, sync::Arc, thread};

use badrange_core::*;
use badrange_stack::*;

const DISK: u64 = 1 << 20;
const PAGE: u64 = 4096;

fn events() -> u64 {
    let asked = env::var("BADRANGE_STRESS_EVENTS").ok().and_then(|n| n.parse().ok());
    asked.unwrap_or(if cfg!(miri) { 40 } else { 20_000 })
}

fn at(start: u64, len: u64) -> Extent {
    Extent::new(DevOffset::new(start), len).unwrap()
}

/// Counts, and is told when it must not be called any more.
#[derive(Default)]
struct Owner {
    calls: AtomicU64,
    bytes: AtomicU64,
    ended: AtomicBool,
}

impl Holder for Owner {
    fn corrupted_range(&self, what: &Corruption<'_>) -> Outcome {
        assert!(!self.ended.load(Relaxed), "called after unregister returned");
        self.calls.fetch_add(1, Relaxed);
        self.bytes.fetch_add(what.range().total_len(), Relaxed);
        Outcome::Handled
    }
}

/// The states cover the report exactly, without overlap, and sum up.
fn check(report: &Report) {
    assert_eq!(report.counts().panicked, 0);
    let sum = report.handled_bytes() + report.failed_bytes() + report.remainder_bytes();
    assert_eq!(sum, report.len());
    let mut end = report.asked().start().get();
    for (run, _) in report.states() {
        let extent = run.as_extent().unwrap();
        assert_eq!(extent.start().get(), end, "a gap or an overlap");
        end = extent.end().get();
    }
    assert_eq!(end, report.asked().end().get());
}

#[test]
fn notifications_against_continuous_registration() {
    let stack = Stack::new();
    let disk = stack.add_device(DeviceSpec::base("disk", at(0, DISK))).unwrap();
    let always = Arc::new(Owner::default());
    let half = at(0, DISK / 2);
    let _always = stack.register(disk, half, always.clone()).unwrap();
    let (done, registered) = (AtomicBool::new(false), AtomicU64::new(0));
    let (handled, by_guests) = (AtomicU64::new(0), AtomicU64::new(0));

    let reporters = 2;
    let each = events().div_ceil(reporters);
    let report = |thread: u64| {
        for i in 0..each {
            // A page on one side of the middle, one on the other, or across.
            let start = (i * 7 + thread * 131) % (DISK / PAGE - 1) * PAGE + (i % 3) * 512;
            let bad = at(start, PAGE);
            let report = stack.fail(disk, bad, MfFlags::NONE).unwrap();
            check(&report);
            let sure = bad.intersect(half).map_or(0, |part| part.len());
            assert!(report.handled_bytes() >= sure, "the owner that stays is always told");
            handled.fetch_add(report.handled_bytes(), Relaxed);
        }
    };
    let register = || {
        while !done.load(Relaxed) {
            let guest = Arc::new(Owner::default());
            // Only where nobody else is: what is handled there, a guest was told.
            let range = at(DISK / 2, DISK / 2);
            let registration = stack.register(disk, range, guest.clone()).unwrap();
            registration.unregister().unwrap();
            guest.ended.store(true, Relaxed);
            by_guests.fetch_add(guest.bytes.load(Relaxed), Relaxed);
            registered.fetch_add(1, Relaxed);
        }
    };
    thread::scope(|scope| {
        let registrar = scope.spawn(register);
        let reporters: Vec<_> =
            (0..reporters).map(|thread| scope.spawn(move || report(thread))).collect();
        reporters.into_iter().for_each(|reporter| reporter.join().unwrap());
        done.store(true, Relaxed);
        registrar.join().unwrap();
    });
    // Over all events: what is reported as handled is what owners were told.
    let told = always.bytes.load(Relaxed) + by_guests.load(Relaxed);
    assert_eq!(handled.load(Relaxed), told);
    let (events, registered) = (each * reporters, registered.load(Relaxed));
    println!("{events} notifications, {registered} registrations, {told} bytes told");
}

/// Reports from several threads through the queue into a stack, while pages are repaired.
#[test]
fn reports_through_the_queue_are_all_accounted_for() {
    #[derive(Default)]
    struct Pages(AtomicU64);
    impl Fallback for Pages {
        fn memory_failure(&self, _: Granule, _: MfFlags) {
            self.0.fetch_add(1, Relaxed);
        }
    }
    let each = events() / 4;
    let (stack, queue) = (Stack::new(), EventQueue::with_bound(8));
    let (ledger, fallback) = (Arc::new(PoisonLedger::new()), Arc::new(Pages::default()));
    let accounting = Arc::new(ledger.accounting(fallback.clone()));
    let memory = DeviceSpec::base("mem", at(0, PAGE << 20)).fallback(PageSize::K4, accounting);
    let device = stack.add_device(memory).unwrap();
    let all = Extent::new(Pfn::new(0), 1 << 20).unwrap();
    let repaired = AtomicU64::new(0);
    let push = |thread: u64| {
        for i in 0..each {
            let range = at((thread * 1000 + i % 700) * PAGE, PAGE);
            queue.push(Failure { device, range, flags: MfFlags::NONE });
        }
    };
    let work = || {
        let mut reports = 0;
        while let Some(batch) = queue.wait() {
            for record in &batch {
                reports += record.reports();
                let (QueueRecord::Failed { failure, .. } | QueueRecord::Lost { failure, .. }) =
                    record
                else {
                    panic!("one device needs one LOST record");
                };
                let report = stack.report(*failure).unwrap();
                assert_eq!(report.remainder_bytes(), failure.range.len());
            }
            let cleared = ledger.clear(all, ledger.token());
            repaired.fetch_add(cleared.pages, Relaxed);
        }
        reports
    };
    let reports = thread::scope(|scope| {
        let worker = scope.spawn(work);
        let producers: Vec<_> = (0..2).map(|thread| scope.spawn(move || push(thread))).collect();
        producers.into_iter().for_each(|producer| producer.join().unwrap());
        queue.close();
        worker.join().unwrap()
    });
    assert_eq!(reports, 2 * each);
    assert_eq!(ledger.failed_pages(), 0);
    assert!(
        repaired.load(Relaxed) <= fallback.0.load(Relaxed),
        "each repaired page had fallen back"
    );
}
