//! One event: the walk, the calls on it, and the account of what they answered.

use core::{cell::RefCell, ops::ControlFlow};

use badrange_core::{
    Context, Corruption, Cover, Extent, Flow, Granules, Hop, Link, MfFlags, Outcome, Run,
};
use smallvec::SmallVec;

use crate::{
    Observer, Report, Step,
    account::{Account, PageAccount, PageRuns, each_answer, fallen, pages_of},
    report::Counts,
    stack::Inner,
    sync::{Arc, InCallback, caught},
    table::HolderSlot,
    topology::{Device, Pages, Topology},
    walk::{Frame, Unfollowed, Walk, Walker},
};

/// Walks one event through one snapshot of the stack and settles the accounts.
pub(crate) fn run(
    inner: &Inner,
    topology: &Topology,
    device: &Device,
    asked: Extent,
    flags: MfFlags,
    observer: &mut dyn Observer,
) -> Report {
    let _span = span(device, asked, flags);
    let (inside, outside) = match device.extent.intersect(asked) {
        Some(inside) if inside == asked => (Some(inside), None),
        // Devices begin at zero, so that nothing lies before one.
        inside => (inside, asked.split_at(device.extent.end()).1),
    };
    let mut report = Report::new(asked, outside);
    if let Some(bad) = inside {
        let event = Event {
            inner,
            flags,
            nested: InCallback::depth(inner.key()),
            watched: observer.watches() || cfg!(feature = "tracing"),
            state: RefCell::new(State::new(observer)),
        };
        event.climb(topology, device, bad);
        event.settle(topology, device, bad, &mut report);
    }
    log_end(&report);
    report
}

/// An event in flight.
struct Event<'e> {
    inner: &'e Inner,
    flags: MfFlags,
    /// Callbacks of this stack that the event was reported from inside of.
    nested: usize,
    /// Whether steps are made at all.
    watched: bool,
    /// Borrowed for moments only, never while calling a mapping, a holder or a fallback.
    state: RefCell<State<'e>>,
}

/// Who said what, what it cost, and who watches.
struct State<'e> {
    /// Of the device that the failure was reported on.
    account: Account,
    /// Of the devices with pages above it.
    above: SmallVec<[PageAccount; 1]>,
    counts: Counts,
    observer: &'e mut dyn Observer,
}

impl<'e> State<'e> {
    fn new(observer: &'e mut dyn Observer) -> Self {
        let (account, above) = (Account::default(), SmallVec::new());
        Self { account, above, counts: Counts::default(), observer }
    }

    /// Enters an answer for reported bytes that reached the device of a frame, in every account on
    /// the way there.
    fn enter(&mut self, on: &Frame<'_>, reported: Run, outcome: Outcome) -> Flow {
        self.account.enter(reported, outcome);
        for frame in on.way().filter(|frame| frame.depth > 0 && frame.device.pages.is_some()) {
            let account = &mut self.page_account(frame.device).account;
            // Reported bytes are kept joined, across elements that lie apart on the way.
            reported.overlaps(&frame.link.lower()).try_for_each(|part| {
                let Some(here) = frame.link.of_lower(part) else {
                    return badrange_core::bug!("bytes above stem from the bytes below them");
                };
                account.enter(here.upper(), outcome);
                ControlFlow::Continue(())
            })?;
        }
        ControlFlow::Continue(())
    }

    fn page_account(&mut self, device: &Device) -> &mut PageAccount {
        // Depth first: mostly the last one.
        let known = self.above.iter().rposition(|account| account.device == device.id);
        let at = known.unwrap_or_else(|| {
            self.above.push(PageAccount::new(device));
            self.above.len().saturating_sub(1)
        });
        #[expect(clippy::indexing_slicing, reason = "found, or just pushed")]
        &mut self.above[at]
    }
}

impl Walker for Event<'_> {
    fn arrived(&self, at: &Frame<'_>) -> Flow {
        let mut state = self.state.borrow_mut();
        state.counts.arrived = state.counts.arrived.saturating_add(1);
        if at.depth > 0 && at.device.pages.is_some() {
            state.page_account(at.device).arrive(at.link);
        }
        drop(state);
        self.show(|| Step::Arrived {
            depth: at.depth,
            device: at.device.id,
            name: Arc::clone(&at.device.name),
            asked: at.link.lower(),
            here: at.link.upper(),
        });
        ControlFlow::Continue(())
    }

    /// Calls one holder, unless its registration has ended meanwhile.
    fn registered(&self, on: &Frame<'_>, slot: &HolderSlot, parts: &[Link]) -> Flow {
        let Some(inside) = slot.gate.enter() else { return ControlFlow::Continue(()) };
        let calls: SmallVec<[Call<'_>; 3]> = parts.iter().map(|part| Call::new(on, part)).collect();
        let what: SmallVec<[Corruption<'_>; 3]> =
            calls.iter().map(|call| Corruption::new(call.part.upper(), self.flags, call)).collect();
        let mut answers: SmallVec<[Outcome; 3]> = SmallVec::new();
        let ended = caught(|| {
            let _callback = InCallback::enter(self.inner.key());
            match what.as_slice() {
                [one] => answers.push(slot.holder.corrupted_range(one)),
                all => slot.holder.corrupted_ranges(all, &mut |answer| answers.push(answer)),
            }
        });
        drop(what);
        // Before the observer hears of it, who may well end this very registration.
        drop(inside);
        if ended.is_none() {
            let mut state = self.state.borrow_mut();
            state.counts.panicked = state.counts.panicked.saturating_add(1);
            drop(state);
            self.show(|| Step::Panicked { holder: slot.id });
        }
        // What got no answer is not supported: a holder that panicked said nothing of the rest.
        let answers = answers.into_iter().chain(core::iter::repeat(Outcome::NotSupported));
        calls
            .into_iter()
            .zip(answers)
            .try_for_each(|(call, answer)| self.answered(call, slot, answer))
    }

    fn unfollowed(&self, on: &Frame<'_>, part: &Link, why: Unfollowed) -> Flow {
        let mut state = self.state.borrow_mut();
        let count = match why {
            Unfollowed::Broken(_) => &mut state.counts.broken,
            Unfollowed::Routes | Unfollowed::Pieces => &mut state.counts.overrouted,
        };
        *count = count.saturating_add(1);
        state.enter(on, part.lower(), Outcome::NotSupported)?;
        drop(state);
        self.show(|| Step::Unfollowed { depth: on.depth, here: part.upper(), why });
        ControlFlow::Continue(())
    }
}

impl Event<'_> {
    /// Walks, unless callbacks report failures from inside callbacks too deeply. When the walk did
    /// not come to its end, nobody knows who else has the bytes: none of them counts as handled.
    fn climb(&self, topology: &Topology, device: &Device, bad: Extent) {
        let walk = Walk::new(topology, &self.inner.limits, self);
        let ended =
            self.nested <= self.inner.limits.nesting && walk.from(device, bad.into()).is_continue();
        if !ended {
            let mut state = self.state.borrow_mut();
            state.counts.cut_short = true;
            state.account.enter(bad.into(), Outcome::NotSupported);
            for above in &mut state.above {
                let arrivals = above.arrivals.iter();
                arrivals.for_each(|link| above.account.enter(link.upper(), Outcome::NotSupported));
            }
        }
    }

    /// Enters what a holder said of one part.
    fn answered(&self, call: Call<'_>, slot: &HolderSlot, answer: Outcome) -> Flow {
        let (on, part, settled) = (call.on, call.part, call.settled.into_inner());
        let mut state = self.state.borrow_mut();
        state.counts.notified = state.counts.notified.saturating_add(1);
        each_answer(part.lower(), answer, &settled, &mut |(reported, outcome)| {
            state.enter(on, reported, outcome)
        })?;
        drop(state);
        self.show(|| Step::Notified {
            depth: on.depth.saturating_add(1),
            holder: slot.id,
            asked: part.lower(),
            here: part.upper(),
            outcome: answer,
        });
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

    /// Every byte's final state; then the last resorts, the topmost device first.
    fn settle(&self, topology: &Topology, device: &Device, bad: Extent, report: &mut Report) {
        let mut above = core::mem::take(&mut self.state.borrow_mut().above);
        self.state.borrow().account.states(bad, &mut report.states);
        if above.len() > 1 {
            // Several on one level: in the order in which the event reached them.
            above.sort_by_cached_key(|pages| core::cmp::Reverse(topology.depth(pages.device)));
        }
        if self.has_last_resort() {
            for account in &above {
                let pages = topology.device(account.device).and_then(|d| d.pages.as_ref());
                if let (Some(pages), Some(window)) = (pages, account.window()) {
                    self.fail_pages_above(pages, account, window, report);
                }
            }
            if let Some(pages) = &device.pages {
                self.fail_own_pages(device, pages, bad, report);
            }
        }
        report.counts = Counts { widened: report.counts.widened, ..self.state.borrow().counts };
    }

    /// A removal poisons nothing. And a fallback that reports failures from which it is called again
    /// ends, too: one level after the holders.
    fn has_last_resort(&self) -> bool {
        !self.flags.contains(MfFlags::MEM_PRE_REMOVE)
            && self.nested <= self.inner.limits.nesting.saturating_add(1)
    }

    /// The last resort of a device that the event reached.
    fn fail_pages_above(
        &self,
        pages: &Pages,
        account: &PageAccount,
        window: Extent,
        report: &mut Report,
    ) {
        let (runs, fallen) = fallen(&account.account, window, pages.size);
        account.reported(&runs, &mut |reported| report.fell_back.add(reported, ()));
        let arrived: SmallVec<[Run; 4]> = account.arrivals.iter().map(Link::upper).collect();
        let all = pages_of(&arrived, window, pages.size);
        self.fail_pages(account.device, pages, &runs, fallen, all, report);
    }

    /// The last resort of the device that the failure was reported on.
    fn fail_own_pages(&self, device: &Device, pages: &Pages, bad: Extent, report: &mut Report) {
        let runs: SmallVec<[Run; 4]> = report.remainder().collect();
        let fallen = pages_of(&runs, bad, pages.size);
        runs.iter().for_each(|run| report.fell_back.add(*run, ()));
        let all = core::iter::once(Granules::containing(bad, pages.size)).collect();
        self.fail_pages(device.id, pages, &runs, fallen, all, report);
    }

    /// Fallback on the pages of what nobody handled, then unmapping of all that failed.
    fn fail_pages(
        &self,
        device: badrange_core::DeviceId,
        pages: &Pages,
        runs: &[Run],
        fallen: PageRuns,
        all: PageRuns,
        report: &mut Report,
    ) {
        let bytes = runs.iter().map(Run::total_len).fold(0, u64::saturating_add);
        let held = fallen.iter().map(Granules::bytes).fold(0, u64::saturating_add);
        let widened = &mut report.counts.widened;
        *widened = widened.saturating_add(held.saturating_sub(bytes));
        for pages_run in fallen {
            self.call(|| pages.fallback.memory_failure_run(pages_run, self.flags));
            report.fallback.push((device, pages_run));
            self.show(|| Step::FellBack { device, pages: pages_run });
        }
        for pages_run in all {
            self.call(|| pages.fallback.unmap(pages_run));
            self.show(|| Step::Unmapped { device, pages: pages_run });
        }
    }

    /// Calls a fallback; one that panics is counted.
    fn call(&self, call: impl FnOnce()) {
        let call = || {
            let _callback = InCallback::enter(self.inner.key());
            call();
        };
        if caught(call).is_none() {
            let panicked = &mut self.state.borrow_mut().counts.panicked;
            *panicked = panicked.saturating_add(1);
        }
    }
}

/// One range that one holder is notified of: collects what it settles and knows the way its bytes
/// took.
struct Call<'c> {
    on: &'c Frame<'c>,
    part: &'c Link,
    /// In the reported bytes, in which what a holder settles one by one joins again: a leg of a
    /// stripe is in many places above, and was one range when it failed.
    settled: RefCell<Cover<Outcome>>,
}

impl<'c> Call<'c> {
    fn new(on: &'c Frame<'c>, part: &'c Link) -> Self {
        Self { on, part, settled: RefCell::default() }
    }
}

impl Context for Call<'_> {
    fn settle(&self, part: Run, outcome: Outcome) {
        // Elements that touch here may lie apart where they were reported.
        for part in part.overlaps(&self.part.upper()) {
            let reported = self.part.of_upper(part);
            debug_assert!(reported.is_some(), "an overlap lies in both runs");
            if let Some(reported) = reported {
                self.settled.borrow_mut().add(reported.lower(), outcome);
            }
        }
    }

    fn trail(&self, part: Run, sink: &mut dyn FnMut(Hop)) {
        self.on.trail(part, sink);
    }
}

/// One span per event, around everything that happens in it.
#[cfg(feature = "tracing")]
fn span(device: &Device, asked: Extent, flags: MfFlags) -> tracing::span::EnteredSpan {
    tracing::info_span!(target: "badrange", "fail", device = %device.name, %asked, %flags).entered()
}

/// What stands for the span where nobody asked for one.
#[cfg(not(feature = "tracing"))]
struct NoSpan;

#[cfg(not(feature = "tracing"))]
fn span(_: &Device, _: Extent, _: MfFlags) -> NoSpan {
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
