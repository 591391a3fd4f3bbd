//! Every interleaving of two or three threads, for each promise of `docs/concurrency.md`.
//!
//! Run by `cargo xtask loom`; `cargo xtask loom --mutants` builds a copy of the engine with one
//! hand-made mistake at a time and requires that a model here fails. Models assert outside of
//! callbacks, or inside of them (a panic of a holder is not caught in a model).
#![cfg(all(feature = "loom", not(feature = "shuttle")))]
#![expect(clippy::arithmetic_side_effects, reason = "small numbers, and a panic is a failed model")]

use core::{cell::Cell, ops::ControlFlow, time::Duration};
use std::sync::Arc;

use badrange_core::*;
use badrange_stack::*;
use loom::{
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    thread,
};

const NONE: MfFlags = MfFlags::NONE;

fn at(start: u64, len: u64) -> Extent {
    Extent::new(DevOffset::new(start), len).unwrap()
}

fn pages(start: u64, len: u64) -> Extent<Pfn> {
    Extent::new(Pfn::new(start), len).unwrap()
}

/// A stack with one disk.
fn stack_with_disk() -> (Stack, DeviceId) {
    let stack = Stack::new();
    let disk = stack.add_device(DeviceSpec::base("disk", at(0, 64))).unwrap();
    (stack, disk)
}

/// Counts its calls; what it writes is as weakly ordered as can be, so that only the engine's own
/// order makes it visible.
struct Counter {
    ready: AtomicBool,
    calls: AtomicUsize,
    bytes: AtomicUsize,
    inside: AtomicBool,
}

impl Counter {
    fn new() -> Arc<Self> {
        let (ready, inside) = (AtomicBool::new(false), AtomicBool::new(false));
        let counter =
            Self { ready, calls: AtomicUsize::new(0), bytes: AtomicUsize::new(0), inside };
        // After it was made, as an owner prepares itself before it registers.
        counter.ready.store(true, Relaxed);
        Arc::new(counter)
    }

    fn calls(&self) -> usize {
        self.calls.load(Relaxed)
    }
}

impl Holder for Counter {
    fn corrupted_range(&self, what: &Corruption<'_>) -> Outcome {
        assert!(self.ready.load(Relaxed), "called before it was ready");
        self.inside.store(true, Relaxed);
        self.calls.fetch_add(1, Relaxed);
        self.bytes.fetch_add(usize::try_from(what.range().total_len()).unwrap(), Relaxed);
        self.inside.store(false, Relaxed);
        Outcome::Handled
    }
}

/// A model of three threads that do much: with fewer switches that no thread asked for.
fn model_of_three(body: impl Fn() + Sync + Send + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(body);
}

/// What was handled of a failure of a device that may have been gone already.
fn handled(report: Result<Report, NoDevice>, device: DeviceId) -> u64 {
    match report {
        Ok(report) => report.handled_bytes(),
        Err(none) => {
            assert_eq!(none, NoDevice::Removed(device));
            0
        }
    }
}

/// A layer of one leg.
fn window(range: Extent) -> Arc<dyn Mapping> {
    Arc::new(Window::new(range))
}

#[test]
fn unregister_against_notify() {
    loom::model(|| {
        let (stack, disk) = stack_with_disk();
        let holder = Counter::new();
        let registration = stack.register(disk, at(0, 64), holder.clone()).unwrap();
        let event = thread::spawn({
            let stack = stack.clone();
            move || stack.fail(disk, at(0, 8), NONE).unwrap()
        });
        registration.unregister().unwrap();
        // From here on no call is running or will start, and all that was done in one is visible.
        assert!(!holder.inside.load(Relaxed), "a call is still running");
        let calls = holder.calls();
        let report = event.join().unwrap();
        assert_eq!(holder.calls(), calls, "called after unregister returned");
        assert_eq!(report.handled_bytes(), 8 * calls as u64);
        assert_eq!(report.handled_bytes() + report.remainder_bytes(), 8);
    });
}

#[test]
fn unregister_against_two_notifications() {
    loom::model(|| {
        let (stack, disk) = stack_with_disk();
        let holder = Counter::new();
        let registration = stack.register(disk, at(0, 64), holder.clone()).unwrap();
        let event = || {
            let stack = stack.clone();
            thread::spawn(move || stack.fail(disk, at(0, 8), NONE).unwrap().handled_bytes())
        };
        let events = [event(), event()];
        registration.unregister().unwrap();
        let calls = holder.calls();
        let handled: u64 = events.into_iter().map(|event| event.join().unwrap()).sum();
        assert_eq!(handled, 8 * calls as u64, "what unregister saw is all there ever was");
        assert_eq!(holder.calls(), calls);
    });
}

#[test]
fn register_against_notify() {
    loom::model(|| {
        let (stack, disk) = stack_with_disk();
        let event = thread::spawn({
            let stack = stack.clone();
            move || stack.fail(disk, at(0, 8), NONE).unwrap()
        });
        let holder = Counter::new();
        let _registration = stack.register(disk, at(4, 60), holder.clone()).unwrap();
        let report = event.join().unwrap();
        assert_eq!(report.handled_bytes(), 4 * holder.calls() as u64);
        assert_eq!(report.handled_bytes() + report.remainder_bytes(), 8);
        // An event that begins after register returned sees it.
        let before = holder.calls();
        let _ = stack.fail(disk, at(0, 8), NONE).unwrap();
        assert_eq!(holder.calls(), before + 1);
    });
}

/// Walks up from the first bytes of the disk and visits who is registered there; how often it was
/// inside of a holder.
fn visits(snapshot: &Snapshot, disk: DeviceId, holder: &Counter) -> usize {
    let mut visits = 0;
    let visited = snapshot.up(disk, at(0, 8).into(), &mut |visit| {
        if matches!(visit.at(), At::Registered { .. }) {
            assert_eq!(visit.here(), at(0, 8).into());
            holder.inside.store(true, Relaxed);
            holder.calls.fetch_add(1, Relaxed);
            holder.inside.store(false, Relaxed);
            visits += 1;
        }
        ControlFlow::Continue(())
    });
    assert_eq!(visited, Ok(()));
    visits
}

/// Also through a snapshot that was taken long before.
#[test]
fn unregister_against_a_visit() {
    loom::model(|| {
        let (stack, disk) = stack_with_disk();
        let holder = Counter::new();
        let registration = stack.register(disk, at(0, 64), holder.clone()).unwrap();
        let snapshot = stack.snapshot();
        let visiting = thread::spawn({
            let (snapshot, holder) = (snapshot.clone(), holder.clone());
            move || visits(&snapshot, disk, &holder)
        });
        registration.unregister().unwrap();
        assert!(!holder.inside.load(Relaxed), "a visit is still going on");
        let calls = holder.calls();
        assert_eq!(visits(&snapshot, disk, &holder), 0, "visited after unregister returned");
        assert_eq!(visiting.join().unwrap(), calls);
        assert_eq!(holder.calls(), calls, "visited after unregister returned");
    });
}

#[test]
fn register_against_register() {
    loom::model(|| {
        let (stack, disk) = stack_with_disk();
        let (a, b) = (Counter::new(), Counter::new());
        let other = thread::spawn({
            let (stack, a) = (stack.clone(), a.clone());
            move || stack.register(disk, at(0, 8), a).unwrap()
        });
        let on_b = stack.register(disk, at(0, 8), b.clone()).unwrap();
        let on_a = other.join().unwrap();
        assert_ne!(on_a.id(), on_b.id());
        assert_eq!(stack.fail(disk, at(0, 8), NONE).unwrap().counts().notified, 2);
        assert_eq!((a.calls(), b.calls()), (1, 1));
    });
}

/// The kernel lost the operations of the next holder here.
#[test]
fn put_then_register_by_another_against_notify() {
    loom::model(|| {
        let (stack, disk) = stack_with_disk();
        let (old, new) = (Counter::new(), Counter::new());
        let on_old = stack.register(disk, at(0, 8), old.clone()).unwrap();
        let event = thread::spawn({
            let stack = stack.clone();
            move || stack.fail(disk, at(0, 8), NONE).unwrap().counts().notified
        });
        let put = thread::spawn(move || on_old.unregister().unwrap());
        let _on_new = stack.register(disk, at(0, 8), new.clone()).unwrap();
        put.join().unwrap();
        let gone = old.calls();
        let notified = event.join().unwrap();
        assert_eq!(old.calls(), gone, "called after its put");
        assert_eq!(notified, (old.calls() + new.calls()) as u64);
        let before = new.calls();
        let _ = stack.fail(disk, at(0, 8), NONE).unwrap();
        assert_eq!(new.calls(), before + 1, "its registration was put with the other's");
    });
}

#[test]
fn a_stale_id_never_hits_the_next_device() {
    loom::model(|| {
        let (stack, old) = stack_with_disk();
        let event = thread::spawn({
            let stack = stack.clone();
            move || stack.fail(old, at(0, 8), NONE)
        });
        let _ = stack.remove_device(old).unwrap();
        let new = stack.add_device(DeviceSpec::base("next", at(0, 64))).unwrap();
        assert_eq!(old.index(), new.index());
        let holder = Counter::new();
        let _registration = stack.register(new, at(0, 64), holder.clone()).unwrap();
        assert_eq!(handled(event.join().unwrap(), old), 0);
        assert_eq!(holder.calls(), 0, "a failure of the old device");
    });
}

/// Nobody is left behind on a device that goes: either it is notified, or it is turned away.
#[test]
fn removal_against_register() {
    loom::model(|| {
        let (stack, disk) = stack_with_disk();
        let holder = Counter::new();
        let registering = thread::spawn({
            let (stack, holder) = (stack.clone(), holder.clone());
            move || stack.register(disk, at(0, 8), holder)
        });
        let report = stack.remove_device(disk).unwrap();
        let notified = holder.calls();
        match registering.join().unwrap() {
            Ok(_registration) => assert_eq!((notified, report.counts().notified), (1, 1)),
            Err(_) => assert_eq!(notified, 0),
        }
    });
}

#[test]
fn removal_against_notify() {
    loom::model(|| {
        let (stack, disk) = stack_with_disk();
        let holder = Counter::new();
        let _registration = stack.register(disk, at(0, 64), holder.clone()).unwrap();
        let event = thread::spawn({
            let stack = stack.clone();
            move || stack.fail(disk, at(0, 8), NONE)
        });
        let report = stack.remove_device(disk).unwrap();
        assert_eq!(report.handled_bytes(), 64);
        assert!(!holder.inside.load(Relaxed), "a call is still running");
        let calls = holder.calls();
        let handled = handled(event.join().unwrap(), disk);
        assert_eq!(holder.calls(), calls, "called after the removal returned");
        assert_eq!(1 + handled / 8, calls as u64);
    });
}

/// A removal waits for a call into a holder that was detached before, which nobody else waits for.
/// The thread that detached it detaches another one, and looks which calls are over. The one that
/// removes never touches the gate of the first by itself.
#[test]
fn removal_against_a_call_into_a_detached_holder() {
    model_of_three(|| {
        let (stack, disk) = stack_with_disk();
        let holder = Counter::new();
        let first = stack.register(disk, at(0, 8), holder.clone()).unwrap();
        let next = stack.register(disk, at(8, 8), Counter::new()).unwrap();
        let detaching = thread::spawn(move || drop([first.detach(), next.detach()])); // nobody waits
        let removing = thread::spawn({
            let (stack, holder) = (stack.clone(), holder.clone());
            move || {
                let report = stack.remove_device(disk).unwrap();
                assert!(!holder.inside.load(Relaxed), "a call is still running");
                (report, holder.calls())
            }
        });
        // On this thread, which runs first: loom does not put an event before all changes by itself.
        let handled = handled(stack.fail(disk, at(0, 8), NONE), disk);
        detaching.join().unwrap();
        let (report, calls) = removing.join().unwrap();
        assert_eq!(holder.calls(), calls, "called after the removal returned");
        let is_first = |run: &Run| run.first().start() == DevOffset::new(0);
        let mut states = report.states().iter();
        let removed = states.any(|(run, said)| is_first(run) && *said == Outcome::Handled);
        assert_eq!(handled / 8 + u64::from(removed), calls as u64, "by the event, by the removal");
    });
}

/// The same for a holder that is being unregistered at that very moment.
#[test]
fn removal_against_unregister_and_a_call() {
    model_of_three(|| {
        let (stack, disk) = stack_with_disk();
        let holder = Counter::new();
        let registration = stack.register(disk, at(0, 64), holder.clone()).unwrap();
        let event = thread::spawn({
            let stack = stack.clone();
            move || stack.fail(disk, at(0, 8), NONE)
        });
        let detaching = thread::spawn(move || drop(registration.detach()));
        let report = stack.remove_device(disk).unwrap();
        assert!(!holder.inside.load(Relaxed), "a call is still running");
        let calls = holder.calls();
        let handled = handled(event.join().unwrap(), disk);
        detaching.join().unwrap();
        assert_eq!(holder.calls(), calls, "called after the removal returned");
        assert_eq!(handled / 8 + report.counts().notified, calls as u64);
    });
}

/// The volume moves from the first to the second half of the disk. Whoever reports both halves
/// hits each of its bytes exactly once, in whichever table.
#[test]
fn reload_against_event() {
    loom::model(|| {
        let (stack, disk) = stack_with_disk();
        let below = DeviceSpec::on("lv", window(at(0, 32)), [disk]);
        let lv = stack.add_device(below).unwrap();
        let holder = Counter::new();
        let _registration = stack.register(lv, at(0, 32), holder.clone()).unwrap();
        let event = thread::spawn({
            let stack = stack.clone();
            move || stack.fail(disk, at(0, 64), NONE).unwrap()
        });
        stack.reload(lv, window(at(32, 32)), [disk]).unwrap();
        let report = event.join().unwrap();
        assert_eq!(report.handled_bytes(), 32, "of the old table or the new");
        assert_eq!(report.remainder_bytes(), 32);
        assert_eq!(holder.bytes.load(Relaxed), 32);
        let after = stack.fail(disk, at(0, 64), NONE).unwrap();
        let hit: Vec<_> =
            after.states().iter().map(|(run, s)| (run.first().start().get(), *s)).collect();
        assert_eq!(hit, [(0, Outcome::Nothing), (32, Outcome::Handled)], "of the new table");
    });
}

const PAGE: u64 = 4096;

/// Takes pages, and nothing else.
struct Nobody;

impl Fallback for Nobody {
    fn memory_failure(&self, _: Granule, _: MfFlags) {}
}

/// An owner of memory that counts its calls.
struct Owner(AtomicUsize);

impl Holder for Owner {
    fn corrupted_range(&self, _: &Corruption<'_>) -> Outcome {
        self.0.fetch_add(1, Relaxed);
        Outcome::Handled
    }
}

#[test]
fn two_overlapping_events() {
    loom::model(|| {
        let stack = Stack::new();
        let ledger = Arc::new(PoisonLedger::new());
        let owner = Arc::new(Owner(AtomicUsize::new(0)));
        let all = at(0, 8 * PAGE);
        let accounting = Arc::new(ledger.accounting(Arc::new(Nobody)));
        let memory = DeviceSpec::base("mem", all).fallback(PageSize::K4, accounting);
        let memory = stack.add_device(memory).unwrap();
        let _registration = stack.register(memory, all, owner.clone()).unwrap();
        let fail = |page: u64| {
            let stack = stack.clone();
            move || stack.fail(memory, at(page * PAGE, 2 * PAGE), NONE).unwrap().handled_bytes()
        };
        let other = thread::spawn(fail(1));
        let handled = fail(0)();
        assert_eq!((handled, other.join().unwrap()), (2 * PAGE, 2 * PAGE));
        assert_eq!(owner.0.load(Relaxed), 2, "notified once per report");
        assert_eq!(ledger.failed_pages(), 3, "page 1 counts once");
        assert_eq!(ledger.failed_in(pages(0, 8)), [pages(0, 3)]);
    });
}

/// Page 0 is being repaired while it fails again: the failure that came after the repair began
/// must outlive the clear.
#[test]
fn clear_against_new_failure() {
    loom::model(|| {
        let ledger = Arc::new(PoisonLedger::new());
        assert_eq!(ledger.fail(pages(0, 1)), 1);
        let seen = ledger.token();
        let again = thread::spawn({
            let ledger = ledger.clone();
            move || ledger.fail(pages(0, 2))
        });
        let cleared = ledger.clear(pages(0, 2), seen);
        let fresh = again.join().unwrap();
        assert_eq!(ledger.failed_in(pages(0, 8)), [pages(0, 2)], "the newer failure is lost");
        assert_eq!(ledger.failed_pages(), 2);
        // Either order of the two is a story that holds together.
        assert!(matches!((cleared.pages, cleared.newer, fresh), (1, 0, 2) | (0, 2, 1)));
    });
}

type Slot = Arc<Mutex<Option<Registration>>>;

/// Ends the registration in its slot from inside its callback.
struct Ender {
    slot: Slot,
    calls: AtomicUsize,
}

impl Ender {
    fn new() -> Arc<Self> {
        Arc::new(Self { slot: Slot::default(), calls: AtomicUsize::new(0) })
    }
}

impl Holder for Ender {
    fn corrupted_range(&self, _: &Corruption<'_>) -> Outcome {
        self.calls.fetch_add(1, Relaxed);
        let registration = self.slot.lock().unwrap().take();
        if let Some(registration) = registration {
            assert!(registration.unregister().is_err(), "inside a callback nobody waits");
        }
        Outcome::Handled
    }
}

#[test]
fn a_callback_that_unregisters_itself() {
    loom::model(|| {
        let (stack, disk) = stack_with_disk();
        let holder = Ender::new();
        *holder.slot.lock().unwrap() =
            Some(stack.register(disk, at(0, 64), holder.clone()).unwrap());
        let event = thread::spawn({
            let stack = stack.clone();
            move || stack.fail(disk, at(0, 8), NONE).unwrap().counts().notified
        });
        let notified = stack.fail(disk, at(0, 8), NONE).unwrap().counts().notified;
        let notified = notified + event.join().unwrap();
        assert!(notified == 1 || notified == 2, "by one event, or by both at a time");
        assert_eq!(holder.calls.load(Relaxed) as u64, notified);
        assert_eq!(stack.fail(disk, at(0, 8), NONE).unwrap().counts().notified, 0);
    });
}

#[test]
fn two_callbacks_that_unregister_each_other() {
    loom::model(|| {
        let (stack, disk) = stack_with_disk();
        let (a, b) = (Ender::new(), Ender::new());
        *b.slot.lock().unwrap() = Some(stack.register(disk, at(0, 8), a.clone()).unwrap());
        *a.slot.lock().unwrap() = Some(stack.register(disk, at(8, 8), b.clone()).unwrap());
        let event = thread::spawn({
            let stack = stack.clone();
            move || stack.fail(disk, at(0, 8), NONE).unwrap().counts().notified
        });
        let on_b = stack.fail(disk, at(8, 8), NONE).unwrap().counts().notified;
        let on_a = event.join().unwrap();
        assert!(on_a + on_b >= 1, "the first of them was there");
        let left = stack.fail(disk, at(0, 16), NONE).unwrap().counts().notified;
        assert_eq!(left, 2 - on_a - on_b, "each call ended the other's registration");
    });
}

loom::thread_local! {
    /// How many drops of an [`Heir`] this thread is inside of.
    static DROPS: Cell<usize> = Cell::new(0);
}

/// A holder that keeps a snapshot of another stack, and with it the holder that was there.
struct Heir {
    rest: Option<Snapshot>,
    dropped: Arc<AtomicUsize>,
}

impl Heir {
    /// A snapshot, the last to know a holder that keeps another snapshot, which is the last to
    /// know a holder that keeps nothing.
    fn chain(dropped: &Arc<AtomicUsize>) -> (Snapshot, DeviceId) {
        let snapshot = |rest| {
            let (stack, disk) = stack_with_disk();
            let heir = Arc::new(Self { rest, dropped: dropped.clone() });
            let registration = stack.register(disk, at(0, 64), heir).unwrap();
            let snapshot = stack.snapshot();
            registration.unregister().unwrap();
            (snapshot, disk)
        };
        snapshot(Some(snapshot(None).0))
    }
}

impl Holder for Heir {
    fn corrupted_range(&self, _: &Corruption<'_>) -> Outcome {
        Outcome::Handled
    }
}

impl Drop for Heir {
    fn drop(&mut self) {
        let inside = DROPS.with(|drops| drops.replace(drops.get() + 1));
        assert_eq!(inside, 0, "released inside of one another");
        self.dropped.fetch_add(1, Relaxed);
        self.rest.take();
        DROPS.with(|drops| drops.set(inside));
    }
}

/// Two threads let go of a snapshot: whoever is the last releases every holder of the chain, each
/// once, one after the other; and can do it again.
#[test]
fn two_threads_that_let_go_of_a_snapshot() {
    loom::model(|| {
        let dropped = Arc::new(AtomicUsize::new(0));
        let (snapshot, disk) = Heir::chain(&dropped);
        let other = thread::spawn({
            let snapshot = snapshot.clone();
            move || {
                let enter = |visit: &Visit<'_>| {
                    assert!(!matches!(visit.at(), At::Registered { .. }), "it has ended");
                    ControlFlow::Continue(())
                };
                snapshot.up(disk, at(0, 8).into(), &mut { enter })
            }
        });
        drop(snapshot);
        assert_eq!(other.join().unwrap(), Ok(()));
        assert_eq!(dropped.load(Relaxed), 2);
        drop(Heir::chain(&dropped));
        assert_eq!(dropped.load(Relaxed), 4);
    });
}

fn bad(start: u64) -> Failure {
    Failure { device: DeviceId::new(0, 0, 1), range: at(start, 1), flags: NONE }
}

fn covers(record: &QueueRecord, byte: u64) -> bool {
    match record {
        QueueRecord::Failed { failure, .. } | QueueRecord::Lost { failure, .. } => {
            failure.range.contains_extent(at(byte, 1))
        }
        QueueRecord::LostAnywhere { .. } => true,
    }
}

/// Two producers, a consumer that comes in between, and room for one failure: nothing goes in
/// silence.
#[test]
fn queue_producers_against_consumer_against_overflow() {
    loom::model(|| {
        let queue = Arc::new(EventQueue::with_bound(1));
        let produce = |bytes: [u64; 2]| {
            let queue = queue.clone();
            thread::spawn(move || bytes.map(|byte| queue.push(bad(byte))))
        };
        let producers = [produce([0, 10]), produce([20, 11])];
        let mut records = queue.drain();
        producers.into_iter().for_each(|producer| assert_eq!(producer.join().unwrap().len(), 2));
        records.extend(queue.drain());
        let reports: u64 = records.iter().map(QueueRecord::reports).sum();
        assert_eq!(reports, 4, "{records:?}");
        for byte in [0, 10, 11, 20] {
            assert!(records.iter().any(|r| covers(r, byte)), "byte {byte} in {records:?}");
        }
        assert_eq!(queue.drain(), []);
    });
}

/// The story of one byte: failed, undone, failed. Whatever the consumer takes when, it never sees
/// it in another order.
#[test]
fn queue_keeps_the_order_of_one_range() {
    loom::model(|| {
        let queue = Arc::new(EventQueue::with_bound(2));
        let producer = thread::spawn({
            let queue = queue.clone();
            move || {
                queue.push(bad(0));
                queue.push(Failure { flags: MfFlags::UNPOISON, ..bad(0) });
                queue.push(bad(0))
            }
        });
        let mut records = queue.drain();
        let last = producer.join().unwrap();
        records.extend(queue.drain());
        let story: Vec<_> = records
            .iter()
            .map(|record| match record {
                QueueRecord::Failed { failure, .. } => failure.flags,
                QueueRecord::Lost { failure, .. } => failure.flags.with(MfFlags::NO_RETRY),
                QueueRecord::LostAnywhere { flags, .. } => *flags,
            })
            .collect();
        let third = if last == Pushed::Lost { MfFlags::NO_RETRY } else { NONE };
        assert_eq!(story, [NONE, MfFlags::UNPOISON, third]);
    });
}

#[test]
fn queue_wakes_its_consumer() {
    loom::model(|| {
        let queue = Arc::new(EventQueue::with_bound(1));
        let producer = thread::spawn({
            let queue = queue.clone();
            move || [queue.push(bad(0)), queue.push(bad(9))]
        });
        let mut reports = 0;
        while reports < 2 {
            reports += queue.wait().unwrap().iter().map(QueueRecord::reports).sum::<u64>();
        }
        assert_eq!(reports, 2);
        let _ = producer.join().unwrap();
    });
}

/// The same with a limit. Nothing limits in a model: a wake that is missing is a deadlock.
#[test]
fn queue_wakes_its_consumer_before_the_limit() {
    loom::model(|| {
        let queue = Arc::new(EventQueue::with_bound(1));
        let producer = thread::spawn({
            let queue = queue.clone();
            move || queue.push(bad(0))
        });
        let Waited::Records(batch) = queue.wait_timeout(Duration::MAX) else {
            panic!("the queue is not closed");
        };
        assert_eq!(batch.len(), 1);
        let _ = producer.join().unwrap();
        let closer = thread::spawn({
            let queue = queue.clone();
            move || queue.close()
        });
        assert_eq!(queue.wait_timeout(Duration::MAX), Waited::Closed);
        closer.join().unwrap();
    });
}

/// A consumer that sleeps elsewhere and is called: whatever two producers push when, it is called
/// for what it has not taken, or it would sleep for ever.
#[test]
fn queue_calls_whoever_sleeps_elsewhere() {
    loom::model(|| {
        let consumer = thread::current();
        let queue = Arc::new(EventQueue::with_bound(1).with_waker(move || consumer.unpark()));
        let produce = |byte: u64| {
            let queue = queue.clone();
            thread::spawn(move || queue.push(bad(byte)))
        };
        let producers = [produce(0), produce(9)];
        let mut reports = 0;
        while reports < 2 {
            thread::park(); // resets the signal, and then:
            reports += queue.drain().iter().map(QueueRecord::reports).sum::<u64>();
        }
        assert_eq!(reports, 2);
        producers.into_iter().for_each(|producer| drop(producer.join()));
    });
}

#[test]
fn queue_that_closes_lets_nobody_wait() {
    loom::model(|| {
        let queue = Arc::new(EventQueue::with_bound(1));
        let producer = thread::spawn({
            let queue = queue.clone();
            move || {
                queue.push(bad(0));
                queue.close();
            }
        });
        assert_eq!(queue.wait().map(|batch| batch.len()), Some(1));
        assert_eq!(queue.wait(), None);
        producer.join().unwrap();
    });
}

/// Two reporters, one of which may have to work for the other: every page is handed over once, by
/// one at a time, and nothing is left when both have returned.
#[test]
fn storm_of_two_reporters() {
    loom::model(|| {
        let memory = DeviceId::new(0, 0, 1);
        let storm = Arc::new(PageStorm::with_bound(2, memory, PageSize::K4, NONE));
        let (working, told) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let report = |page: u64| {
            let (storm, working, told) = (storm.clone(), working.clone(), told.clone());
            move || {
                storm.report(Pfn::new(page), &mut |record| {
                    // As weakly ordered as can be: what orders two workers is the storm's lock.
                    assert!(!working.load(Relaxed), "two work at a time");
                    working.store(true, Relaxed);
                    let (range, other) = (at(page * PAGE, PAGE), at((page ^ 512) * PAGE, PAGE));
                    let QueueRecord::Failed { failure, reports: 1 } = record else {
                        panic!("{record}")
                    };
                    let which = if failure.range == range { page } else { page ^ 512 };
                    assert!(failure.range == range || failure.range == other);
                    told.fetch_add(if which == 0 { 1 } else { 16 }, Relaxed);
                    working.store(false, Relaxed);
                })
            }
        };
        let other = thread::spawn(report(512));
        let own = report(0)();
        let other = other.join().unwrap();
        assert!(own == Stormed::Done || other == Stormed::Done);
        assert_eq!(told.load(Relaxed), 17, "each page once, and none is left");
    });
}
