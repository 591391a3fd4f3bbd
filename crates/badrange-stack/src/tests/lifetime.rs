//! Who waits for whom, and when what was given is let go.

use core::panic::AssertUnwindSafe;
use std::{
    panic::catch_unwind,
    sync::{Barrier, mpsc},
    thread,
};

use super::*;

/// A holder whose calls wait inside until they are released, and say that they have left.
struct Held {
    entered: mpsc::Receiver<()>,
    release: mpsc::Sender<()>,
    left: Arc<Mutex<bool>>,
    holder: Arc<dyn Holder>,
}

fn held() -> Held {
    let (enter, entered) = mpsc::channel();
    let (release, may_leave) = mpsc::channel::<()>();
    let may_leave = Mutex::new(may_leave);
    let left = Arc::new(Mutex::new(false));
    let has_left = left.clone();
    let holder = Fake::new(move |_: &Corruption<'_>| {
        enter.send(()).unwrap();
        may_leave.lock().unwrap().recv().unwrap();
        *has_left.lock().unwrap() = true;
        Outcome::Handled
    });
    Held { entered, release, left, holder }
}

#[test]
fn after_unregister_returns_no_call_is_running() {
    let stack = Stack::new();
    let disk = disk(&stack, 4096);
    let held = held();
    let r = stack.register(disk, at(0, 4096), held.holder).unwrap();
    thread::scope(|scope| {
        let event = scope.spawn(|| fail(&stack, disk, at(0, 512)));
        held.entered.recv().unwrap();
        let detached = r.detach();
        // Detached: a new event does not call it, though the old call is still inside.
        assert_eq!(fail(&stack, disk, at(0, 512)).counts().notified, 0);
        held.release.send(()).unwrap();
        detached.wait().unwrap();
        assert!(*held.left.lock().unwrap(), "wait returned while the call was inside");
        assert_eq!(event.join().unwrap().handled_bytes(), 512);
    });
}

/// Removes the device while a call is inside the holder; `end` ends the registration first, on a
/// thread of its own, and says when it has left the table.
fn removal_waits(end: impl FnOnce(Registration) + Send) {
    let stack = Stack::new();
    let disk = disk(&stack, 4096);
    let held = held();
    let r = stack.register(disk, at(0, 4096), held.holder).unwrap();
    thread::scope(|scope| {
        let event = scope.spawn(|| fail(&stack, disk, at(0, 512)));
        held.entered.recv().unwrap();
        let ending = scope.spawn(|| end(r));
        while is_registered(&stack, disk) {
            thread::yield_now();
        }
        let remover = scope.spawn(|| {
            let _ = stack.remove_device(disk).unwrap();
            *held.left.lock().unwrap()
        });
        while stack.device("disk").is_some() {
            thread::yield_now();
        }
        // Gone. From here on the remover only waits.
        (0..100).for_each(|_| thread::yield_now());
        let waits = !remover.is_finished();
        held.release.send(()).unwrap();
        ending.join().unwrap();
        let _ = event.join().unwrap();
        let left = remover.join().unwrap();
        assert!(waits && left, "the removal returned while the call was inside");
    });
}

fn is_registered(stack: &Stack, device: DeviceId) -> bool {
    let mut found = false;
    let all = stack.device_extent(device).unwrap();
    let visit = &mut |visit: &Visit<'_>| {
        found |= matches!(visit.at(), At::Registered { .. });
        ControlFlow::Continue(())
    };
    stack.snapshot().up(device, all.into(), visit).unwrap();
    found
}

/// The table knew nothing any more of a registration that had ended, and so did the removal.
#[test]
fn a_removal_waits_for_calls_of_registrations_that_were_detached_before() {
    removal_waits(|registration| drop(registration.detach()));
}

#[test]
fn a_removal_waits_for_calls_of_registrations_that_others_are_ending() {
    removal_waits(|registration| registration.unregister().unwrap());
    removal_waits(drop);
}

/// Of what was detached before, only what still has calls inside is remembered.
#[test]
fn a_removal_after_many_registrations_waits_for_none_that_is_over() {
    let stack = Stack::new();
    let disk = disk(&stack, 4096);
    for _ in 0..1000 {
        let registration = stack.register(disk, at(0, 512), handles()).unwrap();
        let _ = fail(&stack, disk, at(0, 1));
        drop(registration.detach());
    }
    assert_eq!(stack.remove_device(disk).unwrap().counts().notified, 0);
}

#[test]
fn inside_a_callback_unregister_detaches_and_refuses_to_wait() {
    let stack = Stack::new();
    let disk = disk(&stack, 4096);
    let slot: Arc<Mutex<Option<Registration>>> = Arc::default();
    let mine = slot.clone();
    let holder = Fake::new(move |_: &Corruption<'_>| {
        let registration = mine.lock().unwrap().take().unwrap();
        assert_eq!(registration.unregister(), Err(WouldDeadlock::default()));
        Outcome::Handled
    });
    *slot.lock().unwrap() = Some(stack.register(disk, at(0, 4096), holder.clone()).unwrap());
    let report = fail(&stack, disk, at(0, 512));
    assert_eq!(report.handled_bytes(), 512, "the running call still counts");
    assert_eq!(fail(&stack, disk, at(0, 512)).counts().notified, 0);
    assert_eq!(holder.told().len(), 1);
}

/// A visit of a holder is a call into it: nobody waits in there, and it is visited no more.
#[test]
fn inside_a_visit_of_a_holder_nobody_waits() {
    let stack = Stack::new();
    let disk = disk(&stack, 4096);
    let mut registration = Some(stack.register(disk, at(0, 4096), handles()).unwrap());
    let snapshot = stack.snapshot();
    let mut visits = 0;
    for _ in 0..2 {
        let visit = &mut |visit: &Visit<'_>| {
            if matches!(visit.at(), At::Registered { .. }) {
                visits += 1;
                let ended = registration.take().map(Registration::unregister);
                assert_eq!(ended, Some(Err(WouldDeadlock::default())));
            }
            ControlFlow::Continue(())
        };
        snapshot.up(disk, at(0, 512).into(), visit).unwrap();
    }
    assert_eq!(visits, 1, "also of an older snapshot");
}

#[test]
fn two_callbacks_that_remove_each_other_do_not_hang() {
    let stack = Stack::new();
    let disk = disk(&stack, 8192);
    let both_inside = Arc::new(Barrier::new(2));
    let slots: [Arc<Mutex<Option<Registration>>>; 2] = [Arc::default(), Arc::default()];
    for i in 0..2 {
        let (barrier, other) = (both_inside.clone(), slots[1 - i].clone());
        let holder = Fake::new(move |_: &Corruption<'_>| {
            barrier.wait();
            drop(other.lock().unwrap().take());
            Outcome::Handled
        });
        let range = at(4096 * i as u64, 4096);
        *slots[i].lock().unwrap() = Some(stack.register(disk, range, holder).unwrap());
    }
    thread::scope(|scope| {
        let events = [0, 4096].map(|start| {
            let stack = &stack;
            scope.spawn(move || fail(stack, disk, at(start, 512)))
        });
        for event in events {
            assert_eq!(event.join().unwrap().handled_bytes(), 512);
        }
    });
    assert_eq!(fail(&stack, disk, at(0, 8192)).counts().notified, 0);
}

/// Ends a registration as soon as it sees that its holder was called.
struct EndsWhatItSees(Option<Registration>);

impl Observer for EndsWhatItSees {
    fn step(&mut self, step: Step) {
        if matches!(step, Step::Notified { .. }) {
            self.0.take().unwrap().unregister().expect("no callback is running");
        }
    }
}

/// The call used to count as running until the observer had heard of it: this waited for itself.
#[test]
fn an_observer_may_end_the_registration_it_hears_of() {
    let stack = Stack::new();
    let disk = disk(&stack, 4096);
    let registration = stack.register(disk, at(0, 4096), handles()).unwrap();
    let mut observer = EndsWhatItSees(Some(registration));
    let report = stack.fail_observed(disk, at(0, 512), NONE, &mut observer).unwrap();
    assert_eq!(report.handled_bytes(), 512);
    assert_eq!(fail(&stack, disk, at(0, 512)).counts().notified, 0);
}

/// Reports another failure, and panics, when it hears of a step.
struct Meddles<'s>(&'s Stack, DeviceId, bool);

impl Observer for Meddles<'_> {
    fn step(&mut self, _: Step) {
        assert_eq!(fail(self.0, self.1, at(0, 1)).handled_bytes(), 1);
        assert!(!self.2, "a bug in an observer");
    }
}

#[test]
fn an_observer_may_report_failures_and_one_that_panics_breaks_nothing() {
    let stack = Stack::new();
    let disk = disk(&stack, 4096);
    let registration = stack.register(disk, at(0, 4096), handles()).unwrap();
    let observe =
        |panics| stack.fail_observed(disk, at(0, 512), NONE, &mut Meddles(&stack, disk, panics));
    assert_eq!(observe(false).unwrap().handled_bytes(), 512);
    assert!(catch_unwind(AssertUnwindSafe(|| observe(true))).is_err());
    registration.unregister().expect("no callback is running");
    let _ = stack.remove_device(disk).unwrap();
}

/// A holder that changes the stack when it goes.
struct LastWill(Stack, &'static str);

impl Holder for LastWill {
    fn corrupted_range(&self, _: &Corruption<'_>) -> Outcome {
        Outcome::Handled
    }
}

impl Drop for LastWill {
    fn drop(&mut self) {
        self.0.add_device(DeviceSpec::base(self.1, at(0, 1))).unwrap();
    }
}

/// Holders used to be dropped under the writer's lock: by the end of a registration, and by a
/// registration that was refused.
#[test]
fn a_holder_may_change_the_stack_when_it_is_dropped() {
    let stack = Stack::new();
    let disk = disk(&stack, 4096);
    let last_will = |name| Arc::new(LastWill(stack.clone(), name));
    let registration = stack.register(disk, at(0, 512), last_will("of the ended")).unwrap();
    registration.unregister().unwrap();
    assert!(stack.device("of the ended").is_some());
    assert!(stack.register(disk, at(4096, 1), last_will("of the refused")).is_err());
    assert!(stack.device("of the refused").is_some());
    let _r = stack.register(disk, at(0, 512), last_will("of the removed")).unwrap();
    let _ = stack.remove_device(disk).unwrap();
    assert!(stack.device("of the removed").is_some());
    stack.snapshot().validate().unwrap();
}

/// A mapping that registers on the stack whenever it is asked what it uses, and when it goes.
#[derive(Debug)]
struct Busy(Stack, DeviceId);

impl Busy {
    fn use_stack(&self) {
        drop(self.0.register(self.1, at(0, 1), handles()));
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.use_stack();
    }
}

impl Mapping for Busy {
    fn extent(&self) -> Extent {
        self.use_stack();
        at(0, 512)
    }
    fn legs(&self) -> u32 {
        self.use_stack();
        1
    }
    fn leg_extent(&self, _: Leg) -> Option<Extent> {
        self.use_stack();
        Some(at(0, 512))
    }
    fn map(&self, _: Extent, _: Sink<'_, Mapped>) -> Flow {
        ControlFlow::Continue(())
    }
    fn rmap(&self, _: Leg, _: Run, _: Sink<'_, Link>) -> Flow {
        self.use_stack();
        ControlFlow::Continue(())
    }
}

/// What a mapping uses was asked under the writer's lock.
#[test]
fn a_mapping_is_asked_and_dropped_with_no_lock_held() {
    let stack = Stack::new();
    let disk = disk(&stack, 4096);
    let busy = || Arc::new(Busy(stack.clone(), disk));
    let above = on(&stack, "above", busy(), [disk]);
    stack.reload(above, busy(), [disk]).unwrap();
    let _ = fail(&stack, disk, at(0, 1));
    let refused = stack.add_device(DeviceSpec::on("above", busy(), [disk])).unwrap_err();
    assert_eq!(refused.kind(), TopologyErrorKind::DuplicateName);
    let _ = stack.remove_device(above).unwrap();
    stack.snapshot().validate().unwrap();
}

/// A mapping that says something else each time it is asked.
#[derive(Debug, Default)]
struct Fickle(Mutex<u64>);

impl Mapping for Fickle {
    fn extent(&self) -> Extent {
        at(0, 512)
    }
    fn legs(&self) -> u32 {
        1
    }
    fn leg_extent(&self, leg: Leg) -> Option<Extent> {
        let mut times = self.0.lock().unwrap();
        *times += 1;
        (leg.index() == 0).then(|| at(*times * 512 - 512, 512 * *times))
    }
    fn map(&self, _: Extent, _: Sink<'_, Mapped>) -> Flow {
        ControlFlow::Continue(())
    }
    fn rmap(&self, _: Leg, _: Run, _: Sink<'_, Link>) -> Flow {
        ControlFlow::Continue(())
    }
}

/// The second answer was put into the table without a look at it.
#[test]
fn what_was_checked_of_a_mapping_is_what_is_used() {
    let stack = Stack::new();
    let disk = disk(&stack, 512);
    let _above = on(&stack, "above", Arc::new(Fickle::default()), [disk]);
    stack.snapshot().validate().unwrap();
    let _ = fail(&stack, disk, at(0, 512));
}

/// Owns the registration of the next one.
struct Owns(#[expect(dead_code, reason = "owned, to be dropped")] Mutex<Option<Registration>>);

impl Holder for Owns {
    fn corrupted_range(&self, _: &Corruption<'_>) -> Outcome {
        Outcome::Handled
    }
}

/// `links` holders on a disk, each of which owns the registration of the one before; and the last
/// registration.
fn linked(stack: &Stack, disk: DeviceId, links: usize) -> Registration {
    let mut last = None;
    for _ in 0..links {
        let holder = Arc::new(Owns(Mutex::new(last.take())));
        last = Some(stack.register(disk, at(0, 1), holder).unwrap());
    }
    last.unwrap()
}

/// Each was dropped inside the drop of the one before: the stack of the thread was used up.
#[test]
fn a_long_chain_of_registrations_is_dropped_one_by_one() {
    let links = if cfg!(miri) { 50 } else { 60_000 };
    let small = thread::Builder::new().stack_size(128 << 10);
    let dropped = small.spawn(move || {
        let stack = Stack::new();
        let disk = disk(&stack, 4096);
        drop(linked(&stack, disk, links));
        assert_eq!(fail(&stack, disk, at(0, 1)).counts().notified, 0);
        assert!(!is_registered(&stack, disk));
        stack.snapshot().validate().unwrap();
        stack.remove_device(disk).unwrap().counts().notified
    });
    assert_eq!(dropped.unwrap().join().unwrap(), 0);
}

/// The same with the last reference in a snapshot, in an event, and in a removal.
#[test]
fn a_long_chain_is_dropped_one_by_one_whoever_lets_go_of_it() {
    let links = if cfg!(miri) { 20 } else { 6_000 };
    let small = thread::Builder::new().stack_size(128 << 10);
    let dropped = small.spawn(move || {
        let stack = Stack::new();
        let disk = disk(&stack, 4096);
        let last = linked(&stack, disk, links);
        let snapshot = stack.snapshot();
        drop(last); // but for the snapshot, which still has the holders
        drop(snapshot);
        assert!(!is_registered(&stack, disk));

        let slot = Arc::new(Mutex::new(None));
        let ends = slot.clone();
        let ender = Fake::new(move |_: &Corruption<'_>| {
            drop(ends.lock().unwrap().take());
            Outcome::Handled
        });
        let _ender = stack.register(disk, at(512, 1), ender).unwrap();
        *slot.lock().unwrap() = Some(linked(&stack, disk, links));
        let _ = fail(&stack, disk, at(512, 1));
        assert!(!fail(&stack, disk, at(0, 1)).counts().cut_short);

        let kept = linked(&stack, disk, links);
        let _ = stack.remove_device(disk).unwrap();
        drop(kept);
        stack.snapshot().validate().unwrap();
    });
    dropped.unwrap().join().unwrap();
}

thread_local! {
    static KEPT: core::cell::RefCell<Option<Registration>> =
        const { core::cell::RefCell::new(None) };
}

#[test]
fn a_thread_may_end_a_registration_on_its_way_out() {
    let stack = Stack::new();
    let disk = disk(&stack, 4096);
    // Thread-locals go in some order: the engine's own before this one, or after.
    for report_first in [true, false] {
        let registration = stack.register(disk, at(0, 512), handles()).unwrap();
        thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let report = || fail(&stack, disk, at(0, 1)).counts().notified;
                let early = if report_first { report() } else { 1 };
                KEPT.set(Some(registration));
                assert_eq!((early, report()), (1, 1));
            });
            thread.join().unwrap();
        });
        assert_eq!(fail(&stack, disk, at(0, 1)).counts().notified, 0);
    }
}

#[test]
fn what_is_registered_during_an_event_is_seen_by_the_next() {
    let stack = Stack::new();
    let disk = disk(&stack, 4096);
    let late = says(Outcome::Handled);
    let (inner, late_too) = (stack.clone(), late.clone());
    let kept: Arc<Mutex<Vec<Registration>>> = Arc::default();
    let keep = kept.clone();
    let first = Fake::new(move |_: &Corruption<'_>| {
        let r = inner.register(disk, at(0, 4096), late_too.clone()).unwrap();
        keep.lock().unwrap().push(r);
        Outcome::Handled
    });
    let _r = stack.register(disk, at(0, 4096), first).unwrap();
    let _ = fail(&stack, disk, at(0, 1));
    assert_eq!(late.told().len(), 0);
    let _ = fail(&stack, disk, at(0, 1));
    assert_eq!(late.told().len(), 1);
}

#[test]
fn the_stack_is_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Stack>();
    shared::<Snapshot>();
    shared::<Registration>();
    shared::<Detached>();
    shared::<Report>();
    shared::<Damage>();
}
