#![expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "drawn numbers are small, and a panic is a failed check"
)]

use core::ops::ControlFlow;
use std::collections::{BTreeMap, BTreeSet};

use arbitrary::Arbitrary;
use badrange_core::{Extent, MfFlags, Outcome, Run};
use badrange_stack::{At, Report};

use super::{
    TestCase,
    build::{Built, SLOT, StackPlan},
};
use crate::{
    draw::{few, within},
    twin::{
        Descent, Fate,
        agree::{bytes, slots},
    },
};

/// A failure. Ranges may begin or end outside of what there is.
///
/// # Examples
/// ```
/// use badrange_testkit::case::Event;
/// let event = Event { on: 0, start: 15, len: 2, removal: false };
/// assert!(!event.removal); // half sectors 15 and 16: of two pages of 4 KiB
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Arbitrary)]
pub struct Event {
    /// On which device, modulo what there is.
    #[arbitrary(with = within::<0, 7>)]
    pub on: u64,
    /// First half sector.
    #[arbitrary(with = within::<0, 150>)]
    pub start: u64,
    /// Half sectors.
    #[arbitrary(with = within::<1, 80>)]
    pub len: u64,
    /// Whether the device goes away instead of failing.
    pub removal: bool,
}

/// Whole stacks against their twins: every byte's final state, who was notified of what, which pages
/// fell back, what is above bytes and where they live.
///
/// # Examples
/// ```
/// use badrange_testkit::case::*;
/// let pmem = LayerShape::Namespace { on: 0, page: 1, metadata_pages: 1, slots: 32 };
/// let partition = LayerShape::Partition { on: 1, start: 4, len: 8 };
/// let layer = |shape| LayerPlan { shape, page: DrawnPage::None };
/// let stack = StackPlan {
///     grounds: vec![GroundPlan { slots: 100, page: DrawnPage::K4 }],
///     layers: vec![layer(pmem), layer(partition)],
///     holders: vec![HolderPlan {
///         on: 2,
///         start: 0,
///         len: 8,
///         settles: vec![SettlePlan { start: 3, len: 2, answer: DrawnAnswer::NotSupported }],
///         answer: DrawnAnswer::Handled,
///     }],
///     routes: 0,
/// };
/// let event = Event { on: 0, start: 30, len: 40, removal: false };
/// WholeStack { stack, events: vec![event] }.check();
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Arbitrary)]
pub struct WholeStack {
    /// The stack.
    pub stack: StackPlan,
    /// What fails, one after the other.
    #[arbitrary(with = few::<_, 1, 3>)]
    pub events: Vec<Event>,
}

impl TestCase for WholeStack {
    fn check(&self) {
        let built = Built::of(&self.stack);
        for event in &self.events {
            let flags = if event.removal { MfFlags::MEM_PRE_REMOVE } else { MfFlags::NONE };
            let device = built.pick(event.on);
            let first = built.fire(device, event.start, event.len, flags);
            built.ask(device, event.start, event.len);
            // Nothing has changed: the same again.
            let again = built.fire(device, event.start, event.len, flags);
            assert_eq!(said(&again), said(&first));
        }
    }
}

/// Everything that a report says.
fn said(report: &Report) -> String {
    let (states, counts) = (report.states(), report.counts());
    let (fallback, fell_back) = (report.fallback(), report.fell_back());
    format!("{states:?} {:?} {fallback:?} {fell_back:?} {counts:?}", report.outside())
}

/// Something that happens to slots, and how often it does: by device or holder, reported slot, slot
/// there.
type Times = BTreeMap<(usize, u64, u64), u64>;

fn times(all: impl IntoIterator<Item = (usize, u64, u64)>) -> Times {
    let mut times = Times::new();
    all.into_iter().for_each(|one| *times.entry(one).or_default() += 1);
    times
}

/// The slots of a run, element by element, with those of another of its shape.
fn pairs(asked: Run, here: Run) -> Vec<(u64, u64)> {
    assert_eq!((asked.count(), asked.element_len()), (here.count(), here.element_len()));
    let elements = asked.elements().zip(here.elements());
    elements.flat_map(|(asked, here)| slots(SLOT, asked).zip(slots(SLOT, here))).collect()
}

impl Built {
    /// Reports a failure on both, and compares.
    pub(super) fn fire(&self, device: usize, start: u64, len: u64, flags: MfFlags) -> Report {
        let fate = self.twin.fail(device, start, len);
        let report = self.stack.fail(self.devices[device], bytes(SLOT, start, len), flags);
        let report = report.expect("the device is there");
        self.check((start, len), flags, &fate, &report);
        report
    }

    /// Compares what became of a report, and what holders and fallbacks heard since the last time,
    /// with the twin.
    pub(super) fn check(
        &self,
        (start, len): (u64, u64),
        flags: MfFlags,
        fate: &Fate,
        report: &Report,
    ) {
        assert_eq!(report.asked(), bytes(SLOT, start, len));
        assert_eq!(report.outside_bytes(), fate.outside * SLOT);
        let outside = report.outside().map(|outside| slots(SLOT, outside));
        assert_eq!(outside, (fate.outside > 0).then(|| start + len - fate.outside..start + len));
        assert!(!report.cut_short(), "{report:?}");
        let counts = report.counts();
        assert_eq!(counts.broken, 0, "{report:?}");
        let states = states_of(start, fate, report);
        let notified = self.notified(report);
        if counts.overrouted == 0 {
            assert_eq!(notified, times(due_notified(fate)), "holder, reported slot, slot there");
            assert_eq!(states, fate.states);
            check_sums(fate, report);
            self.check_pages(start, flags, fate, report);
        } else {
            self.check_overrouted(start, fate, &states, &notified);
        }
        self.forget_pages();
    }

    /// What the holders were notified of since the last time.
    fn notified(&self, report: &Report) -> Times {
        let (mut all, mut ranges) = (Vec::new(), 0);
        for (i, recorder) in self.recorders.iter().enumerate() {
            for notice in recorder.take() {
                let asked = notice.trail[0].at;
                let pairs = pairs(asked, notice.range).into_iter();
                all.extend(pairs.map(|(asked, here)| (i, asked, here)));
                assert_eq!(notice.trail[notice.trail.len() - 1].at, notice.range);
                ranges += 1;
            }
        }
        let panicked = self.panics.iter().flatten().map(|(holder, before)| {
            let calls = holder.calls();
            calls - before.replace(calls)
        });
        let counted = (report.counts().notified, report.counts().panicked);
        assert_eq!(counted, (ranges, panicked.sum()), "ranges, and calls that panicked");
        times(all)
    }

    /// Some bytes have more routes than are allowed: then nobody is notified of anything else, and
    /// whatever somebody was not notified of is not supported.
    fn check_overrouted(&self, start: u64, fate: &Fate, states: &[Outcome], notified: &Times) {
        assert!(fate.routes() > self.limits.routes, "{} routes", fate.routes());
        let due = times(due_notified(fate));
        for (one, count) in notified {
            assert!(due.get(one).is_some_and(|due| count <= due), "{one:?} in spite of {due:?}");
        }
        for (slot, state) in (start..).zip(states) {
            let of_it = |all: &Times| -> u64 {
                all.iter().filter(|((_, asked, _), _)| *asked == slot).map(|(_, n)| n).sum()
            };
            let missed = of_it(notified) < of_it(&due);
            let due = fate.states[usize::try_from(slot - start).expect("small")];
            let right = *state == due && !missed || *state == Outcome::NotSupported;
            assert!(right, "slot {slot} is {state:?} and not {due:?}; notified: {notified:?}");
        }
    }

    fn check_pages(&self, start: u64, flags: MfFlags, fate: &Fate, report: &Report) {
        let removal = flags.contains(MfFlags::MEM_PRE_REMOVE);
        let mut widened = 0;
        let mut reported: BTreeMap<usize, BTreeSet<u64>> = BTreeMap::new();
        let mut depth = usize::MAX;
        for (id, pages) in report.fallback() {
            let device = self.devices.iter().position(|d| d == id).expect("one of the stack");
            assert!(self.twin.depth(device) <= depth, "the topmost device first: {report:?}");
            depth = self.twin.depth(device);
            let set = reported.entry(device).or_default();
            let numbers = pages.iter().map(|page| page.pfn().get());
            numbers.for_each(|page| assert!(set.insert(page), "page {page} twice: {report:?}"));
        }
        for (device, pages) in self.pages.iter().enumerate() {
            let due = fate.pages.get(&device).filter(|_| !removal).cloned().unwrap_or_default();
            let Some((_, log)) = pages else { continue };
            let (failed, unmapped) = log.take();
            assert_eq!(sorted(failed), Vec::from_iter(due.failed.clone()), "of device {device}");
            assert_eq!(sorted(unmapped), Vec::from_iter(due.unmapped), "of device {device}");
            assert_eq!(reported.remove(&device).unwrap_or_default(), due.failed);
            widened += due.widened * SLOT;
        }
        assert!(reported.is_empty(), "fallback of a device without pages: {report:?}");
        assert_eq!(report.counts().widened, widened);
        let fell_back = report.fell_back();
        let fell_back = fell_back.iter().flat_map(Run::elements).flat_map(|e| slots(SLOT, e));
        let due = fate.fell_back.iter().copied().filter(|_| !removal);
        assert_eq!(sorted(fell_back.collect()), due.collect::<Vec<_>>(), "from slot {start} on");
    }

    fn forget_pages(&self) {
        let logs = self.pages.iter().flatten();
        logs.for_each(|(_, log)| drop(log.take()));
    }

    /// Asks the snapshot what is above slots of a device and where they live, and compares.
    fn ask(&self, device: usize, start: u64, len: u64) {
        let fate = self.twin.fail(device, start, len);
        if fate.routes() <= self.limits.routes {
            self.ask_up(device, bytes(SLOT, start, len), &fate);
        }
        self.ask_down(device, start, len);
    }

    fn number(&self, id: badrange_core::DeviceId) -> usize {
        self.devices.iter().position(|device| *device == id).expect("one of the stack")
    }

    fn ask_up(&self, device: usize, range: Extent, fate: &Fate) {
        let (mut arrivals, mut registered) = (Vec::new(), Vec::new());
        let snapshot = self.stack.snapshot();
        let asked = snapshot.up(self.devices[device], range.into(), &mut |visit| {
            let pairs = pairs(visit.asked(), visit.here()).into_iter();
            match visit.at() {
                At::Arrived => {
                    let device = self.number(visit.device());
                    arrivals.extend(pairs.map(|(asked, here)| (device, asked, here)));
                }
                At::Registered { id, .. } => {
                    let known = self.registrations.iter();
                    let mut known = known.map(|r| r.as_ref().map(|r| r.id()));
                    let holder = known.position(|known| known == Some(id)).expect("registered");
                    registered.extend(pairs.map(|(asked, here)| (holder, asked, here)));
                }
                other @ (At::Bottom | At::Hole(_) | At::Unfollowed(_) | _) => unexpected(other),
            }
            ControlFlow::Continue(())
        });
        assert_eq!(asked, Ok(()));
        assert_eq!(times(arrivals), times(fate.arrivals.iter().copied()));
        assert_eq!(times(registered), times(due_notified(fate)));
    }

    fn ask_down(&self, device: usize, start: u64, len: u64) {
        let mut next = start;
        let snapshot = self.stack.snapshot();
        let range: Extent = bytes(SLOT, start, len);
        let asked = snapshot.down(self.devices[device], range, &mut |visit| {
            let hole = match visit.at() {
                At::Bottom => None,
                At::Hole(kind) => Some(kind),
                other @ (At::Arrived | At::Registered { .. } | At::Unfollowed(_) | _) => {
                    unexpected(other)
                }
            };
            for (asked, slot) in pairs(visit.asked(), visit.here()) {
                assert_eq!(asked, next, "ascending, and each slot once");
                let lies = Descent { device: self.number(visit.device()), slot, hole };
                assert_eq!(lies, self.twin.descend(device, asked), "slot {asked}");
                next += 1;
            }
            ControlFlow::Continue(())
        });
        assert_eq!(asked, Ok(()));
        let end = (start + len).min(self.len_of(device)).max(start);
        assert_eq!(next, end);
    }
}

/// Stops of a walk that drawn stacks do not have.
fn unexpected(at: At<'_>) -> ! {
    panic!("nothing else is on the way: {at:?}")
}

fn sorted(mut all: Vec<u64>) -> Vec<u64> {
    all.sort_unstable();
    all
}

fn due_notified(fate: &Fate) -> impl Iterator<Item = (usize, u64, u64)> + '_ {
    let all = fate.notified.iter().enumerate();
    all.flat_map(|(i, slots)| slots.iter().map(move |(asked, here)| (i, *asked, *here)))
}

/// The state of every slot of a report, each of which has one.
fn states_of(start: u64, fate: &Fate, report: &Report) -> Vec<Outcome> {
    let mut said: Vec<Option<Outcome>> = vec![None; fate.states.len()];
    for (run, state) in report.states() {
        for slot in run.elements().flat_map(|e| slots(SLOT, e)) {
            let at = usize::try_from(slot - start).expect("small");
            let before = said[at].replace(*state);
            assert_eq!(before, None, "slot {slot} twice in {:?}", report.states());
        }
    }
    said.into_iter().map(|said| said.expect("every slot has a state")).collect()
}

fn check_sums(fate: &Fate, report: &Report) {
    let bytes = |which: &dyn Fn(&Outcome) -> bool| {
        fate.states.iter().filter(|state| which(state)).count() as u64 * SLOT
    };
    assert_eq!(report.handled_bytes(), bytes(&|s| *s == Outcome::Handled));
    assert_eq!(report.failed_bytes(), bytes(&|s| matches!(s, Outcome::Failed(_))));
    let falls_back = |s: &Outcome| matches!(s, Outcome::Nothing | Outcome::NotSupported);
    assert_eq!(report.remainder_bytes(), bytes(&falls_back));
    let (states, outside) = (report.states(), report.outside_bytes());
    let all: u64 = states.iter().map(|(run, _)| run.total_len()).sum();
    assert_eq!(all + outside, report.len());
}
