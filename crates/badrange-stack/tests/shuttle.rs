//! Random interleavings of whole stacks: what loom's few threads cannot hold.
//!
//! The number of interleavings of each storm comes from `BADRANGE_SHUTTLE_ITERATIONS` (500 if not
//! set), their seed from `BADRANGE_SHUTTLE_SEED` (by the clock if not set). The seed is printed;
//! with it a failure comes back.
#![cfg(all(feature = "shuttle", not(feature = "loom")))]
#![expect(clippy::arithmetic_side_effects, reason = "small numbers, and a panic is a failed model")]

use std::{
    env,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use badrange_core::*;
use badrange_stack::*;
use shuttle::{
    Config, Runner,
    scheduler::{PctScheduler, RandomScheduler},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    thread,
};

const NONE: MfFlags = MfFlags::NONE;
const DISK: u64 = 1 << 16;
const LV: u64 = 1 << 12;

fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok()?.parse().ok()
}

/// The stack of a thread is 32 KiB if not set: callbacks that report failures need more, and without a
/// guard page they would write over what lies beside it.
fn config() -> Config {
    let mut config = Config::new();
    config.stack_size = 512 << 10;
    config
}

/// Runs a storm in many random orders, half of them chosen so that few switches matter.
fn storm(name: &str, body: impl Fn() + Send + Sync + Copy + 'static) {
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos();
    let seed = number("BADRANGE_SHUTTLE_SEED").unwrap_or(u64::from(clock));
    let iterations = number("BADRANGE_SHUTTLE_ITERATIONS").unwrap_or(500);
    println!("{name}: BADRANGE_SHUTTLE_SEED={seed}, {iterations} interleavings");
    let half = usize::try_from(iterations.div_ceil(2)).unwrap();
    Runner::new(RandomScheduler::new_from_seed(seed, half), config()).run(body);
    Runner::new(PctScheduler::new_from_seed(seed, 3, half), config()).run(body);
}

fn at(start: u64, len: u64) -> Extent {
    Extent::new(DevOffset::new(start), len).unwrap()
}

/// A layer of one leg.
fn window(range: Extent) -> Arc<dyn Mapping> {
    Arc::new(Window::new(range))
}

/// Counts bytes, and knows whether it may be called at all.
#[derive(Default)]
struct Owner {
    bytes: AtomicU64,
    inside: AtomicU64,
}

impl Holder for Owner {
    fn corrupted_range(&self, what: &Corruption<'_>) -> Outcome {
        self.inside.fetch_add(1, SeqCst);
        self.bytes.fetch_add(what.range().total_len(), SeqCst);
        self.inside.fetch_sub(1, SeqCst);
        Outcome::Handled
    }
}

fn conserved(report: &Report) {
    let sum = report.handled_bytes() + report.failed_bytes() + report.remainder_bytes();
    assert_eq!(sum, report.len(), "every byte has one state");
}

/// A disk with a volume whose table moves, owners that come and go on both, a device that goes
/// away, and failures all over: five threads.
fn whole_stack() {
    let stack = Stack::new();
    let disk = stack.add_device(DeviceSpec::base("disk", at(0, DISK))).unwrap();
    let lv = DeviceSpec::on("lv", window(at(0, LV)), [disk]);
    let lv = stack.add_device(lv).unwrap();
    let owner = Arc::new(Owner::default());
    let _owner = stack.register(lv, at(0, LV), owner.clone()).unwrap();

    let reporter = |all: bool| {
        let stack = stack.clone();
        thread::spawn(move || {
            let bad = if all { at(0, DISK) } else { at(LV / 2, LV) };
            let mut handled = 0;
            for _ in 0..2 {
                let report = stack.fail(disk, bad, NONE).unwrap();
                conserved(&report);
                assert!(!report.cut_short());
                // Wherever the volume lies, a failure of the whole disk hits all of it.
                assert!(!all || report.handled_bytes() >= LV);
                handled += report.handled_bytes();
            }
            handled
        })
    };
    let reporters = [reporter(true), reporter(false)];
    let mover = thread::spawn({
        let stack = stack.clone();
        move || {
            for to in [DISK / 2, 0] {
                stack.reload(lv, window(at(to, LV)), [disk]).unwrap();
            }
        }
    });
    let guest = thread::spawn({
        let stack = stack.clone();
        move || {
            for _ in 0..2 {
                let guest = Arc::new(Owner::default());
                let registration = stack.register(disk, at(0, DISK), guest.clone()).unwrap();
                registration.unregister().unwrap();
                let bytes = guest.bytes.load(SeqCst);
                assert_eq!(guest.inside.load(SeqCst), 0, "a call is running");
                thread::yield_now();
                assert_eq!(guest.bytes.load(SeqCst), bytes, "called after unregister returned");
            }
        }
    });
    // This thread: a device above that comes, is hit, and goes.
    let top = DeviceSpec::on("top", window(at(0, 512)), [lv]);
    let top = stack.add_device(top).unwrap();
    let on_top = Arc::new(Owner::default());
    let registration = stack.register(top, at(0, 512), on_top.clone()).unwrap();
    conserved(&stack.remove_device(top).unwrap());
    assert!(on_top.bytes.load(SeqCst) >= 512, "notified of its removal at least");
    let bytes = on_top.bytes.load(SeqCst);
    registration.unregister().unwrap();
    let handled: u64 = reporters.into_iter().map(|r| r.join().unwrap()).sum();
    mover.join().unwrap();
    guest.join().unwrap();
    assert_eq!(on_top.bytes.load(SeqCst), bytes);
    assert!(handled >= owner.bytes.load(SeqCst), "all that the owner was notified of was reported");
}

#[test]
fn a_whole_stack_under_fire() {
    storm("a_whole_stack_under_fire", whole_stack);
}

type Slots = Arc<[Mutex<Option<Registration>>]>;

/// Ends everybody it can reach, itself included, and reports a failure in turn: as deep as the
/// nesting limit, as long as another thread has taken a registration but not yet ended it.
struct Berserk {
    stack: Stack,
    disk: DeviceId,
    slots: Slots,
}

impl Holder for Berserk {
    fn corrupted_range(&self, what: &Corruption<'_>) -> Outcome {
        for slot in self.slots.iter() {
            let registration = slot.lock().unwrap().take();
            drop(registration); // inside a callback: detaches
        }
        conserved(&self.stack.fail(self.disk, what.range().span(), NONE).unwrap());
        Outcome::Handled
    }
}

fn berserk() {
    let stack = Stack::new();
    let disk = stack.add_device(DeviceSpec::base("disk", at(0, DISK))).unwrap();
    let slots: Slots = (0..4).map(|_| Mutex::new(None)).collect();
    for slot in slots.iter() {
        let holder = Berserk { stack: stack.clone(), disk, slots: slots.clone() };
        *slot.lock().unwrap() = Some(stack.register(disk, at(0, 64), Arc::new(holder)).unwrap());
    }
    let events: Vec<_> = (0..4)
        .map(|i| {
            let stack = stack.clone();
            thread::spawn(move || conserved(&stack.fail(disk, at(i * 16, 16), NONE).unwrap()))
        })
        .collect();
    events.into_iter().for_each(|event| event.join().unwrap());
    assert_eq!(stack.fail(disk, at(0, 64), NONE).unwrap().counts().notified, 0, "all have ended");
}

#[test]
fn callbacks_that_end_one_another() {
    storm("callbacks_that_end_one_another", berserk);
}

/// A holder that edits the stack when it is dropped; the engine drops it, in a thread and at a
/// moment of its own choosing, never while it holds its lock.
struct LastWill(Stack, DeviceId);

impl Holder for LastWill {
    fn corrupted_range(&self, _: &Corruption<'_>) -> Outcome {
        Outcome::Handled
    }
}

impl Drop for LastWill {
    fn drop(&mut self) {
        let heir = self.0.register(self.1, at(0, 64), Arc::new(Owner::default())).unwrap();
        drop(heir);
    }
}

fn last_will() {
    let stack = Stack::new();
    let disk = stack.add_device(DeviceSpec::base("disk", at(0, DISK))).unwrap();
    let registrations: Vec<_> = (0..2)
        .map(|_| {
            let holder = Arc::new(LastWill(stack.clone(), disk));
            stack.register(disk, at(0, 64), holder).unwrap()
        })
        .collect();
    let event = thread::spawn({
        let stack = stack.clone();
        move || conserved(&stack.fail(disk, at(0, 64), NONE).unwrap())
    });
    let enders = registrations.into_iter().map(|r| thread::spawn(move || r.unregister().unwrap()));
    let enders: Vec<_> = enders.collect();
    // Turned away: dropped by the refusal.
    let refused = Arc::new(LastWill(stack.clone(), disk));
    assert!(stack.register(disk, at(DISK, 1), refused).is_err());
    enders.into_iter().for_each(|ender| ender.join().unwrap());
    event.join().unwrap();
}

#[test]
fn holders_that_edit_the_stack_when_dropped() {
    storm("holders_that_edit_the_stack_when_dropped", last_will);
}

/// Where a monitoring agent stands: detectors fill the queue, one thread drains it into the stack,
/// another repairs pages.
fn agent() {
    struct Nobody;
    impl Fallback for Nobody {
        fn memory_failure(&self, _: Granule, _: MfFlags) {}
    }
    let (stack, queue) = (Stack::new(), Arc::new(EventQueue::with_bound(2)));
    let ledger = Arc::new(PoisonLedger::new());
    let memory = DeviceSpec::base("mem", at(0, 32 * 4096))
        .fallback(PageSize::K4, Arc::new(ledger.accounting(Arc::new(Nobody))));
    let device = stack.add_device(memory).unwrap();
    let page = move |n: u64| Failure { device, range: at(n * 4096, 4096), flags: NONE };
    let detectors: Vec<_> = [[0, 1, 4], [2, 9, 3], [20, 9, 4]]
        .into_iter()
        .map(|pages| {
            let queue = queue.clone();
            thread::spawn(move || pages.map(|n| queue.push(page(n))))
        })
        .collect();
    let worker = thread::spawn({
        let (stack, queue) = (stack.clone(), queue.clone());
        move || {
            let mut reports = 0;
            while let Some(batch) = queue.wait() {
                for record in batch {
                    reports += record.reports();
                    match record {
                        // Of what was lost, all is suspect.
                        QueueRecord::Failed { failure, .. } | QueueRecord::Lost { failure, .. } => {
                            conserved(&stack.report(failure).unwrap());
                        }
                        QueueRecord::LostAnywhere { .. } => unreachable!("one device, many places"),
                    }
                }
            }
            reports
        }
    });
    let repair = thread::spawn({
        let ledger = ledger.clone();
        move || {
            let seen = ledger.token();
            ledger.clear(Extent::new(Pfn::new(0), 32).unwrap(), seen).pages
        }
    });
    for detector in detectors {
        let _ = detector.join().unwrap();
    }
    queue.close();
    assert_eq!(worker.join().unwrap(), 9, "every report arrives, in one record");
    let repaired = repair.join().unwrap();
    let bad: u64 =
        ledger.failed_in(Extent::new(Pfn::new(0), 32).unwrap()).iter().map(Extent::len).sum();
    assert_eq!(bad, ledger.failed_pages());
    assert!(bad + repaired >= 7, "pages 0, 1, 2, 3, 4, 9 and 20 failed");
}

#[test]
fn an_agent_in_a_storm() {
    storm("an_agent_in_a_storm", agent);
}
