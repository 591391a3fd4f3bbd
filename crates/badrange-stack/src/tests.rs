//! What the engine promises, each promise as a test.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "small numbers, and a panic is a failed test"
)]

use core::ops::ControlFlow;
use std::sync::{Arc, Mutex, mpsc};

use badrange_core::*;
use proptest::prelude::*;

use crate::*;

fn at(start: u64, len: u64) -> Extent<DevOffset> {
    Extent::new(DevOffset::new(start), len).unwrap()
}

fn phys(start: u64, len: u64) -> Extent<PhysAddr> {
    Extent::new(PhysAddr::new(start), len).unwrap()
}

fn origin(start: u64, len: u64) -> Run<ReportOffset> {
    Extent::new(ReportOffset::new(start), len).unwrap().into()
}

/// `upper` of a device shows `lower` of the one below: legs of the test's layers.
#[derive(Debug, Clone)]
struct Window<L: Space, U: Space> {
    parts: Vec<(Run<L>, Run<U>)>,
    extent: Extent<U>,
}

impl<L: Space, U: Space> Window<L, U> {
    fn new(parts: impl IntoIterator<Item = (Run<L>, Run<U>)>, extent: Extent<U>) -> Arc<Self> {
        Arc::new(Self { parts: parts.into_iter().collect(), extent })
    }
}

/// A one-leg layer that begins at `lower` of its leg.
fn window(lower: Extent<DevOffset>) -> Arc<Window<DevOffset, DevOffset>> {
    let upper = at(0, lower.len());
    Window::new([(lower.into(), upper.into())], upper)
}

fn memory(lower: Extent<PhysAddr>) -> Arc<Window<PhysAddr, DevOffset>> {
    let upper = at(0, lower.len());
    Window::new([(lower.into(), upper.into())], upper)
}

impl<L: Space, U: Space> Mapping<L, U> for Window<L, U> {
    fn legs(&self) -> u32 {
        self.parts.len() as u32
    }
    fn extent(&self) -> Extent<U> {
        self.extent
    }
    fn leg_extent(&self, leg: Leg) -> Option<Extent<L>> {
        self.parts.get(leg.index() as usize).map(|(lower, _)| lower.span())
    }
    fn map(
        &self,
        _: Extent<U>,
        _: &mut dyn FnMut(Mapped<L, U>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        ControlFlow::Continue(()) // failures only climb
    }
    fn rmap(
        &self,
        leg: Leg,
        lower: Extent<L>,
        sink: &mut dyn FnMut(Rmapped<L, U>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let Some((run, upper)) = self.parts.get(leg.index() as usize) else {
            return ControlFlow::Continue(());
        };
        for part in run.clip(lower) {
            let image = run.image(part, upper).unwrap();
            for (lower, upper) in part.elements().zip(image.elements()) {
                sink(Rmapped { lower, upper })?;
            }
        }
        ControlFlow::Continue(())
    }
    fn rmap_run(
        &self,
        leg: Leg,
        lower: &Piece<L>,
        sink: &mut dyn FnMut(Piece<U>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let Some((run, upper)) = self.parts.get(leg.index() as usize) else {
            return ControlFlow::Continue(());
        };
        lower.through(run, upper, sink)
    }
}

/// A holder that remembers what it was told and answers as a closure says.
struct Fake<S: Space, F> {
    told: Mutex<Vec<Piece<S>>>,
    answer: F,
}

impl<S: Space, F: Fn(&Corruption<'_, S>) -> Outcome + Send + Sync> Fake<S, F> {
    fn new(answer: F) -> Arc<Self> {
        Arc::new(Self { told: Mutex::new(Vec::new()), answer })
    }

    fn told(&self) -> Vec<Run<S>> {
        self.told.lock().unwrap().iter().map(Piece::here).collect()
    }
}

impl<S: Space, F: Fn(&Corruption<'_, S>) -> Outcome + Send + Sync> Holder<S> for Fake<S, F> {
    fn corrupted_range(&self, what: &Corruption<'_, S>) -> Outcome {
        self.told.lock().unwrap().push(what.piece());
        (self.answer)(what)
    }
}

fn says(
    outcome: Outcome,
) -> Arc<Fake<DevOffset, impl Fn(&Corruption<'_>) -> Outcome + Send + Sync>> {
    Fake::new(move |_: &Corruption<'_>| outcome)
}

/// A fallback that remembers its pages.
#[derive(Default)]
struct Pages {
    failed: Mutex<Vec<u64>>,
    unmapped: Mutex<Vec<Run<Pfn>>>,
}

impl Fallback for Pages {
    fn memory_failure(&self, pfn: Pfn, _: MfFlags) {
        self.failed.lock().unwrap().push(pfn.get());
    }
    fn unmap(&self, pages: Run<Pfn>) {
        self.unmapped.lock().unwrap().push(pages);
    }
}

fn disk(stack: &Stack, len: u64) -> DeviceId {
    stack.add_device(DeviceSpec::base("disk", at(0, len))).unwrap()
}

const NONE: MfFlags = MfFlags::NONE;

#[test]
fn a_holder_is_told_its_own_bytes_and_no_neighbour() {
    let stack = Stack::new();
    let disk = disk(&stack, 1 << 20);
    let holder = says(Outcome::Handled);
    let _r = stack.register(disk, at(4096, 4096), holder.clone()).unwrap();

    let _ = stack.notify_failure(disk, at(0, 4096), NONE); // ends where the holder begins
    let _ = stack.notify_failure(disk, at(8192, 512), NONE); // begins where it ends
    assert_eq!(holder.told(), []);

    let report = stack.notify_failure(disk, at(4095, 2), NONE);
    assert_eq!(holder.told(), [at(4096, 1).into()]);
    assert_eq!(report.states(), [(origin(0, 1), State::Unreached), (origin(1, 1), State::Handled)]);
}

#[test]
fn every_holder_of_a_byte_is_told_in_order_of_start_then_age() {
    let stack = Stack::new();
    let disk = disk(&stack, 1 << 20);
    let order = Arc::new(Mutex::new(Vec::new()));
    let named = |name: &'static str| {
        let order = order.clone();
        Fake::new(move |_: &Corruption<'_>| {
            order.lock().unwrap().push(name);
            Outcome::Handled
        })
    };
    let _b = stack.register(disk, at(4096, 4096), named("b")).unwrap();
    let _c = stack.register(disk, at(4096, 512), named("c")).unwrap();
    let _a = stack.register(disk, at(0, 1 << 20), named("a")).unwrap();
    let report = stack.notify_failure(disk, at(4096, 512), NONE);
    assert_eq!(*order.lock().unwrap(), ["a", "b", "c"]);
    assert_eq!(report.counts().told, 3);
}

#[test]
fn answers_of_several_holders_join_per_byte() {
    let stack = Stack::new();
    let disk = disk(&stack, 4096);
    let _h = stack.register(disk, at(0, 3000), says(Outcome::Handled)).unwrap();
    let _f = stack.register(disk, at(1000, 1000), says(Outcome::Failed(Errno::EUCLEAN))).unwrap();
    let _n = stack.register(disk, at(1500, 1000), says(Outcome::NotSupported)).unwrap();
    let _z = stack.register(disk, at(0, 4096), says(Outcome::Nothing)).unwrap();
    let report = stack.notify_failure(disk, at(0, 4096), NONE);
    assert_eq!(
        report.states(),
        [
            (origin(0, 1000), State::Handled),
            (origin(1000, 500), State::Failed(Errno::EUCLEAN)),
            (origin(1500, 1000), State::NotSupported),
            (origin(2500, 500), State::Handled),
            (origin(3000, 1096), State::Unreached),
        ]
    );
    assert_eq!(report.handled_bytes() + report.failed_bytes() + report.remainder_bytes(), 4096);
}

#[test]
fn what_a_holder_settles_is_exact_and_its_answer_covers_the_rest() {
    let stack = Stack::new();
    let disk = disk(&stack, 1 << 20);
    let holder = Fake::new(|what: &Corruption<'_>| {
        assert_eq!(what.settle(at(100, 50).into(), Outcome::Failed(Errno::EIO)), 50);
        assert_eq!(what.settle(at(140, 20).into(), Outcome::Handled), 20); // 10 of them twice
        assert_eq!(what.settle(at(900, 1000).into(), Outcome::NotSupported), 100); // clipped
        assert_eq!(what.settle(at(5000, 10).into(), Outcome::Handled), 0); // not its range
        Outcome::Handled
    });
    let _r = stack.register(disk, at(0, 1000), holder).unwrap();
    let report = stack.notify_failure(disk, at(0, 2000), NONE);
    assert_eq!(
        report.states(),
        [
            (origin(0, 100), State::Handled),
            (origin(100, 50), State::Failed(Errno::EIO)),
            (origin(150, 750), State::Handled),
            (origin(900, 100), State::NotSupported),
            (origin(1000, 1000), State::Unreached),
        ]
    );
}

#[test]
fn memory_climbs_and_only_the_remainder_falls_back() {
    let stack = Stack::new();
    let pmem =
        stack.add_device(DeviceSpec::on_memory("pmem0", memory(phys(0x10000, 0x10000)))).unwrap();
    let part =
        stack.add_device(DeviceSpec::on("pmem0p1", window(at(0x2000, 0x4000)), [pmem])).unwrap();
    let holder = says(Outcome::Handled);
    let _r = stack.register(part, at(0, 0x1800), holder.clone()).unwrap();

    // Pages 0x11..0x14; the holder has bytes 0x12000..0x13800 of physical memory.
    let pages = Pages::default();
    let report = stack.memory_failure_range(phys(0x11000, 0x3000), NONE, &pages);
    assert_eq!(holder.told(), [at(0, 0x1800).into()]);
    let rest: Vec<_> = report.remainder().collect();
    assert_eq!(rest, [origin(0, 0x1000), origin(0x2800, 0x800)]);
    assert_eq!(*pages.failed.lock().unwrap(), [0x11, 0x13]);
    assert_eq!(report.counts().widened, 0x800, "half of page 0x13 was handled");
    let all: Run<Pfn> = Extent::new(Pfn::new(0x11), 3).unwrap().into();
    assert_eq!(*pages.unmapped.lock().unwrap(), [all], "whoever handled them");
}

#[test]
fn a_removal_neither_falls_back_nor_unmaps() {
    let stack = Stack::new();
    let pages = Pages::default();
    let report = stack.memory_failure_range(phys(0, 4096), MfFlags::MEM_PRE_REMOVE, &pages);
    assert_eq!(report.remainder_bytes(), 4096);
    assert!(report.fallback_pages().is_empty());
    assert!(pages.failed.lock().unwrap().is_empty() && pages.unmapped.lock().unwrap().is_empty());
}

#[test]
fn owners_of_memory_are_told_in_physical_bytes() {
    let stack = Stack::new();
    let owner = Fake::new(|_: &Corruption<'_, PhysAddr>| Outcome::Failed(Errno::ENXIO));
    let _r = stack.register_memory(phys(0x1000, 0x1000), owner.clone()).unwrap();
    let pages = Pages::default();
    let report = stack.memory_failure_range(phys(0, 0x3000), NONE, &pages);
    assert_eq!(owner.told(), [phys(0x1000, 0x1000).into()]);
    assert_eq!(report.failed_bytes(), 0x1000);
    assert_eq!(*pages.failed.lock().unwrap(), [0, 2], "a final failure does not fall back");
}

#[test]
fn a_dead_leg_of_a_stripe_is_a_handful_of_calls() {
    let stack = Stack::new();
    let (chunk, legs, chunks) = (65536, 8, 1 << 24); // 1 TiB a leg
    let size = at(0, chunk * legs * chunks);
    let members: Vec<_> = (0..legs)
        .map(|i| {
            let name = format!("leg{i}");
            stack.add_device(DeviceSpec::base(name, at(0, chunk * chunks))).unwrap()
        })
        .collect();
    let parts = (0..legs).map(|i| {
        let lower = Run::new(at(0, chunk), chunk, chunks).unwrap();
        (lower, Run::new(at(i * chunk, chunk), legs * chunk, chunks).unwrap())
    });
    let striped = DeviceSpec::on("striped", Window::new(parts, size), members.clone());
    let striped = stack.add_device(striped).unwrap();
    let holder = says(Outcome::Handled);
    let _r = stack.register(striped, size, holder.clone()).unwrap();
    let report = stack.notify_failure(members[3], at(4096, chunk * chunks - 4096), NONE);
    assert_eq!(holder.told().len(), 2, "a head and a body");
    assert_eq!(report.states(), [(origin(0, chunk * chunks - 4096), State::Handled)]);
}

#[test]
fn one_device_under_two_tables_tells_both() {
    let stack = Stack::new();
    let disk = disk(&stack, 1 << 20);
    let a = stack.add_device(DeviceSpec::on("a", window(at(0, 8192)), [disk])).unwrap();
    let b = stack.add_device(DeviceSpec::on("b", window(at(4096, 8192)), [disk])).unwrap();
    let (on_a, on_b) = (says(Outcome::Handled), says(Outcome::NotSupported));
    let _a = stack.register(a, at(0, 8192), on_a.clone()).unwrap();
    let _b = stack.register(b, at(0, 8192), on_b.clone()).unwrap();
    let report = stack.notify_failure(disk, at(0, 8192), NONE);
    assert_eq!(on_a.told(), [at(0, 8192).into()]);
    assert_eq!(on_b.told(), [at(0, 4096).into()]);
    assert_eq!(
        report.states(),
        [(origin(0, 4096), State::Handled), (origin(4096, 4096), State::NotSupported)]
    );
}

#[test]
fn the_trail_names_every_device_and_where_the_bytes_are_on_it() {
    let stack = Stack::new();
    let disk = disk(&stack, 1 << 20);
    let p1 = stack.add_device(DeviceSpec::on("p1", window(at(8192, 65536)), [disk])).unwrap();
    let lv = stack.add_device(DeviceSpec::on("lv", window(at(4096, 8192)), [p1])).unwrap();
    let hops = Arc::new(Mutex::new(Vec::new()));
    let seen = hops.clone();
    let holder = Fake::new(move |what: &Corruption<'_>| {
        what.trail(at(512, 512).into(), &mut |hop| seen.lock().unwrap().push((hop.device, hop.at)));
        Outcome::Handled
    });
    let _r = stack.register(lv, at(0, 8192), holder).unwrap();
    let _ = stack.notify_failure(disk, at(12288, 4096), NONE);
    assert_eq!(
        *hops.lock().unwrap(),
        [(disk, at(12800, 512).into()), (p1, at(4608, 512).into()), (lv, at(512, 512).into())]
    );
}

#[test]
fn a_panicking_holder_counts_as_not_supported_and_leaves_the_stack_usable() {
    let stack = Stack::new();
    let disk = disk(&stack, 4096);
    let bad = Fake::new(|what: &Corruption<'_>| {
        what.settle(at(0, 100).into(), Outcome::Handled);
        panic!("a bug in a holder");
    });
    let good = says(Outcome::Handled);
    let r = stack.register(disk, at(0, 2048), bad).unwrap();
    let _g = stack.register(disk, at(2048, 2048), good.clone()).unwrap();
    let report = stack.notify_failure(disk, at(0, 4096), NONE);
    assert_eq!(report.counts().panicked, 1);
    assert_eq!(
        report.states(),
        [
            (origin(0, 100), State::Handled),
            (origin(100, 1948), State::NotSupported),
            (origin(2048, 2048), State::Handled),
        ]
    );
    r.unregister().expect("the panicking call has left");
    assert_eq!(stack.notify_failure(disk, at(0, 2048), NONE).counts().told, 0);
}

#[test]
fn after_unregister_returns_no_call_is_running() {
    let stack = Stack::new();
    let disk = disk(&stack, 4096);
    let (entered, is_inside) = mpsc::channel();
    let (release, may_leave) = mpsc::channel::<()>();
    let may_leave = Mutex::new(may_leave);
    let left = Arc::new(Mutex::new(false));
    let has_left = left.clone();
    let holder = Fake::new(move |_: &Corruption<'_>| {
        entered.send(()).unwrap();
        may_leave.lock().unwrap().recv().unwrap();
        *has_left.lock().unwrap() = true;
        Outcome::Handled
    });
    let r = stack.register(disk, at(0, 4096), holder).unwrap();
    std::thread::scope(|scope| {
        let event = scope.spawn(|| stack.notify_failure(disk, at(0, 512), NONE));
        is_inside.recv().unwrap();
        let detached = r.detach();
        // Detached: a new event does not call it, though the old call is still inside.
        assert_eq!(stack.notify_failure(disk, at(0, 512), NONE).counts().told, 0);
        release.send(()).unwrap();
        detached.wait().unwrap();
        assert!(*left.lock().unwrap(), "wait returned while the call was inside");
        assert_eq!(event.join().unwrap().handled_bytes(), 512);
    });
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
    let report = stack.notify_failure(disk, at(0, 512), NONE);
    assert_eq!(report.handled_bytes(), 512, "the running call still counts");
    assert_eq!(stack.notify_failure(disk, at(0, 512), NONE).counts().told, 0);
    assert_eq!(holder.told().len(), 1);
}

#[test]
fn two_callbacks_that_remove_each_other_do_not_hang() {
    let stack = Stack::new();
    let disk = disk(&stack, 8192);
    let both_inside = Arc::new(std::sync::Barrier::new(2));
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
    std::thread::scope(|scope| {
        let events = [0, 4096].map(|start| {
            let stack = &stack;
            scope.spawn(move || stack.notify_failure(disk, at(start, 512), NONE))
        });
        for event in events {
            assert_eq!(event.join().unwrap().handled_bytes(), 512);
        }
    });
    assert_eq!(stack.notify_failure(disk, at(0, 8192), NONE).counts().told, 0);
}

/// Ends a registration as soon as it sees that its holder was called.
struct EndsWhatItSees(Option<Registration>);

impl Observer for EndsWhatItSees {
    fn step(&mut self, step: Step) {
        if matches!(step, Step::Told { .. }) {
            self.0.take().unwrap().unregister().expect("no callback is running");
        }
    }
}

/// The call used to count as running until the observer had heard of it: this waited for itself.
#[test]
fn an_observer_may_end_the_registration_it_hears_of() {
    let stack = Stack::new();
    let disk = disk(&stack, 4096);
    let registration = stack.register(disk, at(0, 4096), says(Outcome::Handled)).unwrap();
    let mut observer = EndsWhatItSees(Some(registration));
    let report = stack.notify_failure_observed(disk, at(0, 512), NONE, &mut observer);
    assert_eq!(report.handled_bytes(), 512);
    assert_eq!(stack.notify_failure(disk, at(0, 512), NONE).counts().told, 0);
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
        let registration = stack.register(disk, at(0, 512), says(Outcome::Handled)).unwrap();
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let report = || stack.notify_failure(disk, at(0, 1), NONE).counts().told;
                let early = if report_first { report() } else { 1 };
                KEPT.set(Some(registration));
                assert_eq!((early, report()), (1, 1));
            });
            thread.join().unwrap();
        });
        assert_eq!(stack.notify_failure(disk, at(0, 1), NONE).counts().told, 0);
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
    let _ = stack.notify_failure(disk, at(0, 1), NONE);
    assert_eq!(late.told().len(), 0);
    let _ = stack.notify_failure(disk, at(0, 1), NONE);
    assert_eq!(late.told().len(), 1);
}

#[test]
fn failures_reported_from_callbacks_end_at_the_nesting_limit() {
    let stack = Stack::with_limits(Limits { nesting: 3, ..Limits::DEFAULT });
    let disk = disk(&stack, 4096);
    let (inner, cut) = (stack.clone(), Arc::new(Mutex::new(0)));
    let seen = cut.clone();
    let holder = Fake::new(move |what: &Corruption<'_>| {
        let report = inner.notify_failure(disk, what.range().span(), NONE);
        if report.cut_short() {
            assert_eq!(report.remainder_bytes(), 512);
            *seen.lock().unwrap() += 1;
        }
        Outcome::Handled
    });
    let _r = stack.register(disk, at(0, 4096), holder.clone()).unwrap();
    let report = stack.notify_failure(disk, at(0, 512), NONE);
    assert_eq!(report.handled_bytes(), 512);
    assert_eq!((holder.told().len(), *cut.lock().unwrap()), (4, 1));
}

#[test]
fn when_the_pieces_are_used_up_the_rest_falls_back() {
    let stack = Stack::with_limits(Limits { pieces: 3, ..Limits::DEFAULT });
    let disk = disk(&stack, 4096);
    let holders: Vec<_> = (0..4).map(|_| says(Outcome::Handled)).collect();
    let _r: Vec<_> = holders
        .iter()
        .zip(0..)
        .map(|(h, i)| stack.register(disk, at(i * 1024, 1024), h.clone()).unwrap())
        .collect();
    let report = stack.notify_failure(disk, at(0, 4096), NONE);
    assert!(report.cut_short());
    assert_eq!(
        report.states(),
        [(origin(0, 2048), State::Handled), (origin(2048, 2048), State::Unreached)],
        "one arrival and two calls"
    );
}

#[test]
fn a_reload_moves_a_device_as_a_whole() {
    let stack = Stack::new();
    let disk = disk(&stack, 1 << 20);
    let lv = stack.add_device(DeviceSpec::on("lv", window(at(0, 4096)), [disk])).unwrap();
    let holder = says(Outcome::Handled);
    let _r = stack.register(lv, at(0, 4096), holder.clone()).unwrap();
    stack.reload(lv, window(at(65536, 4096)), [disk]).unwrap();
    assert_eq!(stack.notify_failure(disk, at(0, 4096), NONE).remainder_bytes(), 4096);
    assert_eq!(stack.notify_failure(disk, at(65536, 4096), NONE).handled_bytes(), 4096);
    assert_eq!(holder.told(), [at(0, 4096).into()]);
    let shrunk = stack.reload(lv, window(at(0, 2048)), [disk]).unwrap_err();
    assert_eq!(shrunk.kind(), TopologyErrorKind::Shrunk);
    assert_eq!(
        stack.notify_failure(disk, at(65536, 1), NONE).handled_bytes(),
        1,
        "a refused reload changes nothing"
    );
}

#[test]
fn a_device_cannot_lie_below_itself() {
    let stack = Stack::new();
    let disk = disk(&stack, 1 << 20);
    let a = stack.add_device(DeviceSpec::on("a", window(at(0, 4096)), [disk])).unwrap();
    let b = stack.add_device(DeviceSpec::on("b", window(at(0, 4096)), [a])).unwrap();
    for leg in [a, b] {
        let err = stack.reload(a, window(at(0, 4096)), [leg]).unwrap_err();
        assert_eq!((err.kind(), err.leg()), (TopologyErrorKind::Cycle, Some(Leg::new(0))));
    }
}

#[test]
fn topologies_that_cannot_be_are_refused_by_name() {
    let limits = Limits { depth: 2, legs: 1, holders: 2, ..Limits::DEFAULT };
    let stack = Stack::with_limits(limits);
    let disk = disk(&stack, 8192);
    let kind = |spec| stack.add_device(spec).unwrap_err().kind();
    let gone = DeviceId::new(9, 9);
    assert_eq!(kind(DeviceSpec::base("disk", at(0, 1))), TopologyErrorKind::DuplicateName);
    assert_eq!(
        kind(DeviceSpec::on("x", window(at(0, 1)), [gone])),
        TopologyErrorKind::UnknownDevice
    );
    assert_eq!(kind(DeviceSpec::on("x", window(at(0, 1)), [])), TopologyErrorKind::LegCount);
    assert_eq!(
        kind(DeviceSpec::on("x", window(at(8191, 2)), [disk])),
        TopologyErrorKind::LegOutside
    );
    let two = Window::new([(at(0, 1).into(), at(0, 1).into()); 2], at(0, 1));
    assert_eq!(
        kind(DeviceSpec::on("x", two.clone(), [disk, disk])),
        TopologyErrorKind::TooManyLegs
    );
    let tight = Stack::with_limits(Limits { holders: 1, ..Limits::DEFAULT });
    let lower = tight.add_device(DeviceSpec::base("disk", at(0, 8192))).unwrap();
    let err = tight.add_device(DeviceSpec::on("x", two, [lower, lower])).unwrap_err();
    assert_eq!((err.kind(), err.leg()), (TopologyErrorKind::TooManyHolders, Some(Leg::new(1))));
    let a = stack.add_device(DeviceSpec::on("a", window(at(0, 8192)), [disk])).unwrap();
    assert_eq!(kind(DeviceSpec::on("x", window(at(0, 1)), [a])), TopologyErrorKind::TooDeep);
    let _r = stack.register(disk, at(0, 1), says(Outcome::Handled)).unwrap();
    assert_eq!(
        kind(DeviceSpec::on("x", window(at(0, 1)), [disk])),
        TopologyErrorKind::TooManyHolders
    );
    let err = stack.register(disk, at(0, 1), says(Outcome::Handled)).unwrap_err();
    assert_eq!(err.kind(), RegisterErrorKind::TooManyHolders);
    assert_eq!(stack.remove_device(disk).unwrap_err().kind(), TopologyErrorKind::InUse);
    assert_eq!(
        stack.reload(disk, window(at(0, 1)), []).unwrap_err().kind(),
        TopologyErrorKind::NoTable
    );
}

#[test]
fn a_removed_device_tells_its_holders_and_its_id_never_comes_back() {
    let stack = Stack::new();
    let old = disk(&stack, 4096);
    let holder = Fake::new(|what: &Corruption<'_>| {
        assert!(what.flags().contains(MfFlags::MEM_PRE_REMOVE));
        Outcome::Handled
    });
    let registration = stack.register(old, at(1024, 1024), holder.clone()).unwrap();
    let report = stack.remove_device(old).unwrap();
    assert_eq!(holder.told(), [at(1024, 1024).into()]);
    assert_eq!(report.handled_bytes(), 1024);

    let new = disk(&stack, 4096);
    assert_eq!(new.index(), old.index(), "the slot is reused");
    let _r = stack.register(new, at(0, 4096), says(Outcome::Handled)).unwrap();
    assert_eq!(stack.notify_failure(old, at(0, 4096), NONE).counts().told, 0);
    let err = stack.register(old, at(0, 1), says(Outcome::Handled)).unwrap_err();
    assert_eq!(err.kind(), RegisterErrorKind::UnknownDevice);
    registration.unregister().expect("ending what has ended is nothing");
    assert_eq!(stack.notify_failure(new, at(0, 4096), NONE).counts().told, 1);
}

#[test]
fn two_runs_of_one_event_leave_equal_traces() {
    let stack = Stack::new();
    let disk = disk(&stack, 1 << 20);
    let a = stack.add_device(DeviceSpec::on("a", window(at(0, 8192)), [disk])).unwrap();
    let _a = stack.register(a, at(0, 8192), says(Outcome::Handled)).unwrap();
    let _d = stack.register(disk, at(512, 8192), says(Outcome::Failed(Errno::EIO))).unwrap();
    let run = || {
        let mut trace = Trace::new();
        let report = stack.notify_failure_observed(disk, at(0, 4096), NONE, &mut trace);
        (trace, report)
    };
    let (first, second) = (run(), run());
    assert_eq!(first, second);
    assert_eq!(
        first.0.to_string(),
        "disk: device bytes [0x0..0x1000)\n  a: device bytes [0x0..0x1000)\n    \
         holder 2: device bytes [0x0..0x1000): handled\n  \
         holder 3: device bytes [0x200..0x1000): failed (EIO)\n"
    );
}

#[test]
fn the_stack_is_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Stack>();
    shared::<Registration>();
    shared::<Detached>();
}

/// What one holder of the law below is: its range, what it settles, what it answers.
fn holders() -> impl Strategy<Value = Vec<(u64, u64, u64, u64, Outcome, Outcome)>> {
    let outcome = || {
        prop_oneof![
            Just(Outcome::Nothing),
            Just(Outcome::Handled),
            Just(Outcome::Failed(Errno::EIO)),
            Just(Outcome::NotSupported),
        ]
    };
    let one = (0..60_u64, 1..40_u64, 0..100_u64, 1..30_u64, outcome(), outcome());
    prop::collection::vec(one, 0..6)
}

proptest! {
    /// The conservation law: every reported byte has one final state, which is the join of what
    /// was said about it; nothing outside the report is told to anybody.
    #[test]
    fn every_byte_is_accounted_for(holders in holders(), start in 0..80_u64, len in 1..40_u64) {
        let stack = Stack::new();
        let disk = disk(&stack, 200);
        let upper = at(0, 100);
        let striped = Window::new(
            [(Run::new(at(10, 3), 3, 30).unwrap(), Run::new(at(1, 3), 4, 30).unwrap())], at(0, 200),
        );
        let above = stack.add_device(DeviceSpec::on("above", striped, [disk])).unwrap();
        let mut kept = Vec::new();
        for (i, &(from, n, settle_at, settle_len, settled, answer)) in holders.iter().enumerate() {
            let holder = Fake::new(move |what: &Corruption<'_>| {
                what.settle(at(settle_at, settle_len).into(), settled);
                answer
            });
            let device = if i % 2 == 0 { disk } else { above };
            let range = at(from, n).intersect(upper).unwrap();
            kept.push((device, range, holder.clone(), stack.register(device, range, holder).unwrap()));
        }
        let bad = at(start, len);
        let report = stack.notify_failure(disk, bad, NONE);

        let mut seen = vec![0_u32; len as usize];
        for (run, state) in report.states() {
            for e in run.elements() {
                for byte in e.start().get()..e.end().get() {
                    seen[byte as usize] += 1;
                    let pos = start + byte;
                    // The naive way up: byte `pos` of the disk is byte 1 + 4 * c + r above.
                    let on_above = pos.checked_sub(10).filter(|p| *p < 90).map(|p| 1 + 4 * (p / 3) + p % 3);
                    let said = holders.iter().zip(&kept).filter_map(|(h, (device, range, ..))| {
                        let here = if *device == disk { Some(pos) } else { on_above }?;
                        let inside = range.contains(DevOffset::new(here));
                        let settled = (h.2..h.2 + h.3).contains(&here);
                        inside.then_some(if settled { h.4 } else { h.5 })
                    });
                    let expected = State::of(said.reduce(Join::join));
                    prop_assert_eq!(*state, expected, "byte {}", pos);
                }
            }
        }
        prop_assert!(seen.iter().all(|n| *n == 1));
        for (device, range, holder, _) in &kept {
            for run in holder.told() {
                prop_assert!(run.elements().all(|e| range.contains_extent(e)));
                if *device == disk {
                    prop_assert!(bad.contains_extent(run.span()));
                }
            }
        }
    }
}
