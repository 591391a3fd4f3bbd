//! One event on its way: from where it was reported to everybody above.

use core::{cell::RefCell, ops::ControlFlow};

use badrange_core::{
    Context, Corruption, DevOffset, DeviceId, Extent, Fallback, Hop, Leg, MfFlags, Outcome,
    PhysAddr, Piece, ReportOffset, Run, Space,
};
use smallvec::SmallVec;

use crate::{
    HolderId, Observer, Report, Step,
    account::{Account, Saids, enter_next, page_bytes, remainder_pages},
    report::Counts,
    stack::Inner,
    sync::{Arc, InCallback, caught},
    table::{Above, HolderSlot, Table},
    topology::{Below, Device, Topology},
};

/// Where a failure enters the stack.
pub(crate) enum Entrance<'a> {
    Memory { bad: Extent<PhysAddr>, fallback: &'a dyn Fallback },
    Device { device: DeviceId, bad: Extent<DevOffset> },
}

impl Entrance<'_> {
    fn len(&self) -> u64 {
        match self {
            Self::Memory { bad, .. } => bad.len(),
            Self::Device { bad, .. } => bad.len(),
        }
    }
}

/// Walks one event through one picture of the stack and settles the account.
pub(crate) fn run(
    inner: &Inner,
    picture: &Topology,
    entrance: Entrance<'_>,
    flags: MfFlags,
    observer: &mut dyn Observer,
) -> Report {
    let _span = span(&entrance, flags);
    let event = Event {
        inner,
        picture,
        flags,
        watched: observer.watches() || cfg!(feature = "tracing"),
        state: RefCell::new(State {
            account: Account::default(),
            counts: Counts::default(),
            observer,
        }),
    };
    // Filled in where it is: it is large.
    let mut report = Report::new(entrance.len());
    match entrance {
        Entrance::Device { device, bad } => {
            event.begin(|event| {
                picture.device(device).map_or(ControlFlow::Continue(()), |on| {
                    event.arrive(on, &Piece::report(bad), None)
                })
            });
            event.settle(&mut report);
        }
        Entrance::Memory { bad, fallback } => {
            event.begin(|event| event.climb(&picture.memory, &Piece::report(bad), None));
            event.settle(&mut report);
            event.fail_pages(bad, fallback, &mut report);
        }
    }
    log_end(&report);
    report
}

/// An event in flight.
struct Event<'e> {
    inner: &'e Inner,
    picture: &'e Topology,
    flags: MfFlags,
    /// Whether steps are made at all.
    watched: bool,
    /// Borrowed for moments only, never while calling out.
    state: RefCell<State<'e>>,
}

/// Who said what, what it cost, and who watches.
struct State<'e> {
    account: Account,
    counts: Counts,
    observer: &'e mut dyn Observer,
}

/// A device on the way of a piece, with the devices below it.
#[derive(Clone, Copy)]
struct Frame<'f> {
    device: &'f Device,
    piece: &'f Piece<DevOffset>,
    below: Option<&'f Self>,
    depth: usize,
}

/// A space in which a piece can climb: the two differ only in what the observer is shown.
trait Level: Space {
    fn told(holder: HolderId, piece: Piece<Self>, outcome: Outcome, depth: usize) -> Step;

    /// Carries the piece through the device's mapping, from this level.
    fn through(
        device: &Device,
        leg: Leg,
        piece: &Piece<Self>,
        sink: &mut dyn FnMut(Piece<DevOffset>) -> ControlFlow<()>,
    ) -> ControlFlow<()>;
}

impl Level for DevOffset {
    fn told(holder: HolderId, piece: Piece, outcome: Outcome, depth: usize) -> Step {
        Step::Told { depth, holder, piece, outcome }
    }

    fn through(
        device: &Device,
        leg: Leg,
        piece: &Piece<Self>,
        sink: &mut dyn FnMut(Piece<Self>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        match &device.below {
            Below::Devices { mapping, .. } => mapping.rmap_run(leg, piece, sink),
            Below::Nothing | Below::Memory(_) => ControlFlow::Continue(()),
        }
    }
}

impl Level for PhysAddr {
    fn told(holder: HolderId, piece: Piece<Self>, outcome: Outcome, _: usize) -> Step {
        Step::ToldMemory { holder, piece, outcome }
    }

    fn through(
        device: &Device,
        leg: Leg,
        piece: &Piece<Self>,
        sink: &mut dyn FnMut(Piece<DevOffset>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        match &device.below {
            Below::Memory(mapping) => mapping.rmap_run(leg, piece, sink),
            Below::Nothing | Below::Devices { .. } => ControlFlow::Continue(()),
        }
    }
}

impl<'e> Event<'e> {
    /// Climbs, unless callbacks report failures from inside callbacks too deeply.
    fn begin(&self, climb: impl FnOnce(&Self) -> ControlFlow<()>) {
        let nested = InCallback::depth(self.inner.key());
        if nested > self.inner.limits.nesting || climb(self).is_break() {
            self.state.borrow_mut().counts.cut_short = true;
        }
    }

    /// Tells everything above an address space about a piece of it.
    fn climb<S: Level>(
        &self,
        table: &Table<S>,
        piece: &Piece<S>,
        frame: Option<&Frame<'_>>,
    ) -> ControlFlow<()> {
        table.overlapping(piece.here().span(), &mut |entry| {
            if entry.range.contains_extent(piece.here().span()) {
                return self.go(&entry.above, piece, frame);
            }
            piece.clip(entry.range).try_for_each(|part| self.go(&entry.above, &part, frame))
        })
    }

    fn go<S: Level>(
        &self,
        above: &Above<S>,
        piece: &Piece<S>,
        frame: Option<&Frame<'_>>,
    ) -> ControlFlow<()> {
        match above {
            Above::Holder(slot) => self.tell(slot, *piece, frame),
            Above::Device { index, leg } => self.enter(*index, *leg, piece, frame),
        }
    }

    /// Carries a piece through a device's mapping, into the device.
    fn enter<S: Level>(
        &self,
        index: u32,
        leg: Leg,
        piece: &Piece<S>,
        frame: Option<&Frame<'_>>,
    ) -> ControlFlow<()> {
        let second = mutant!("load_twice").then(|| self.inner.picture());
        let picture = second.as_deref().unwrap_or(self.picture);
        let Some(device) = picture.slot(index) else { return ControlFlow::Continue(()) };
        S::through(device, leg, piece, &mut |above| self.arrive(device, &above, frame))
    }

    fn arrive(
        &self,
        device: &Device,
        piece: &Piece<DevOffset>,
        below: Option<&Frame<'_>>,
    ) -> ControlFlow<()> {
        let depth = below.map_or(0, |f| f.depth.saturating_add(1));
        self.spend(|counts| &mut counts.arrived)?;
        self.show(|| {
            let name = Arc::clone(&device.name);
            Step::Arrived { depth, device: device.id, name, piece: *piece }
        });
        let frame = Frame { device, piece, below, depth };
        self.climb(&device.table, piece, Some(&frame))
    }

    /// Calls one holder, unless its registration has ended meanwhile.
    fn tell<S: Level>(
        &self,
        slot: &HolderSlot<S>,
        piece: Piece<S>,
        frame: Option<&Frame<'_>>,
    ) -> ControlFlow<()> {
        let Some(inside) = slot.gate.enter() else { return ControlFlow::Continue(()) };
        self.spend(|counts| &mut counts.told)?;
        let call = Call { frame, settled: RefCell::new(Saids::new()) };
        let what = Corruption::new(piece, self.flags, &call);
        let answer = caught(|| {
            let _callback = InCallback::enter(self.inner.key());
            slot.holder.corrupted_range(&what)
        });
        // Before the observer hears of it, who may well end this very registration.
        drop(inside);
        let outcome = answer.unwrap_or(Outcome::NotSupported);
        let mut state = self.state.borrow_mut();
        state.account.enter(piece.origin(), outcome, &call.settled.borrow());
        state.counts.panicked = state.counts.panicked.saturating_add(u64::from(answer.is_none()));
        drop(state);
        if answer.is_none() {
            self.show(|| Step::Panicked { holder: slot.id });
        }
        let depth = frame.map_or(0, |f| f.depth.saturating_add(1));
        self.show(|| S::told(slot.id, piece, outcome, depth));
        ControlFlow::Continue(())
    }

    /// Counts a piece; breaks off when the event has used up its pieces.
    fn spend(&self, count: fn(&mut Counts) -> &mut u64) -> ControlFlow<()> {
        let counts = &mut self.state.borrow_mut().counts;
        if counts.arrived.saturating_add(counts.told) >= self.inner.limits.pieces {
            return ControlFlow::Break(());
        }
        let count = count(counts);
        *count = count.saturating_add(1);
        ControlFlow::Continue(())
    }

    fn show(&self, step: impl FnOnce() -> Step) {
        if !self.watched {
            return;
        }
        let step = step();
        log_step(&step);
        self.state.borrow_mut().observer.step(step);
    }

    /// Every byte's final state.
    fn settle(&self, report: &mut Report) {
        let state = self.state.borrow();
        if let Ok(window) = Extent::new(ReportOffset::new(0), report.len) {
            state.account.settle(window, &mut report.states);
        }
        report.counts = state.counts;
    }

    /// Fallback on the remainder's pages, then unmapping of all.
    fn fail_pages(&self, bad: Extent<PhysAddr>, fallback: &dyn Fallback, report: &mut Report) {
        if self.flags.contains(MfFlags::MEM_PRE_REMOVE) {
            return;
        }
        remainder_pages(bad, &report.states, &mut report.fallback);
        let widened = page_bytes(&report.fallback).saturating_sub(report.remainder_bytes());
        report.counts.widened = widened;
        for pages in &report.fallback {
            fallback.memory_failure_run(*pages, self.flags);
            self.show(|| Step::FellBack { pages: *pages });
        }
        let pages = Run::from(bad.containing_pages());
        fallback.unmap(pages);
        self.show(|| Step::Unmapped { pages });
    }
}

/// One call of one holder: collects what it settles and knows the way its bytes took.
struct Call<'c> {
    frame: Option<&'c Frame<'c>>,
    settled: RefCell<Saids>,
}

impl Context for Call<'_> {
    fn settle(&self, origin: Run<ReportOffset>, outcome: Outcome) {
        enter_next(&mut self.settled.borrow_mut(), origin, outcome);
    }

    fn trail(&self, origin: Run<ReportOffset>, sink: &mut dyn FnMut(Hop)) {
        let way = core::iter::successors(self.frame, |frame| frame.below);
        let mut frames: SmallVec<[&Frame<'_>; 8]> = way.collect();
        frames.reverse();
        for frame in frames {
            let at = frame.piece.locate(origin);
            debug_assert!(at.is_some(), "a piece above stems from the pieces below it");
            if let Some(at) = at {
                sink(Hop { device: frame.device.id, at });
            }
        }
    }
}

/// One span per event, around everything that happens in it.
#[cfg(feature = "tracing")]
fn span(entrance: &Entrance<'_>, flags: MfFlags) -> tracing::span::EnteredSpan {
    match entrance {
        Entrance::Memory { bad, .. } => {
            tracing::info_span!(target: "badrange", "memory_failure_range", %bad, %flags)
        }
        Entrance::Device { device, bad } => {
            tracing::info_span!(target: "badrange", "notify_failure", %device, %bad, %flags)
        }
    }
    .entered()
}

/// What stands for the span where nobody asked for one.
#[cfg(not(feature = "tracing"))]
struct NoSpan;

#[cfg(not(feature = "tracing"))]
fn span(_: &Entrance<'_>, _: MfFlags) -> NoSpan {
    NoSpan
}

#[cfg(feature = "tracing")]
fn log_step(step: &Step) {
    tracing::debug!(target: "badrange", "{step}");
}

#[cfg(not(feature = "tracing"))]
fn log_step(_: &Step) {}

#[cfg(feature = "tracing")]
fn log_end(report: &Report) {
    tracing::info!(
        target: "badrange",
        handled = report.handled_bytes(),
        failed = report.failed_bytes(),
        remainder = report.remainder_bytes(),
        "failure reported"
    );
}

#[cfg(not(feature = "tracing"))]
fn log_end(_: &Report) {}
