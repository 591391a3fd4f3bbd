#![expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "drawn numbers are small, and a panic is a failed check"
)]

use arbitrary::Arbitrary;
use badrange_core::{MfFlags, PAGE_SIZE};
use badrange_stack::{Report, State};

use super::{
    TestCase,
    build::{Built, SLOT, StackPlan},
};
use crate::{
    draw::{few, within},
    fake::PageLog,
    twin::{Fate, Space, agree::bytes},
};

/// A failure. Ranges may begin or end outside of what there is.
///
/// # Examples
/// ```
/// use badrange_testkit::case::Event;
/// let event = Event { on: 0, start: 15, len: 2, removal: false };
/// assert_eq!(event.on, 0); // physical memory: half sectors 15 and 16 are of two pages
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Arbitrary)]
pub struct Event {
    /// Where: 0 is physical memory, others are devices, modulo what there is.
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

/// Whole stacks against their twins: every byte's final state, who was told what, which pages fell
/// back.
///
/// # Examples
/// ```
/// use badrange_testkit::case::*;
/// let stack = StackPlan {
///     grounds: vec![GroundPlan::Pmem { page: 1, metadata_pages: 1, slots: 32 }],
///     layers: vec![LayerPlan::Partition { on: 0, start: 4, len: 8 }],
///     holders: vec![HolderPlan {
///         on: 2,
///         start: 0,
///         len: 8,
///         settles: vec![SettlePlan { start: 3, len: 2, answer: Answer::NotSupported }],
///         answer: Answer::Handled,
///     }],
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
            let first = built.fire(*event);
            // Nothing has changed: the same again.
            assert_eq!(built.fire(*event), first);
        }
    }
}

impl Built {
    /// Reports a failure on both, and compares.
    fn fire(&self, event: Event) -> Report {
        let flags = if event.removal { MfFlags::MEM_PRE_REMOVE } else { MfFlags::NONE };
        match event.on.checked_sub(1) {
            None => self.fire_in_memory(event, flags),
            Some(on) => self.fire_on_device(self.pick(on), event.start, event.len, flags),
        }
    }

    pub(super) fn fire_on_device(
        &self,
        device: usize,
        start: u64,
        len: u64,
        flags: MfFlags,
    ) -> Report {
        let fate = self.twin.fail(Space::Device(device), start, len);
        let bad = bytes(SLOT, start, len);
        let report = self.stack.notify_failure(self.devices[device], bad, flags);
        self.check(&fate, &report);
        assert!(report.fallback_pages().is_empty());
        report
    }

    fn fire_in_memory(&self, event: Event, flags: MfFlags) -> Report {
        let fate = self.twin.fail(Space::Memory, event.start, event.len);
        let pages = PageLog::default();
        let bad = bytes(SLOT, event.start, event.len);
        let report = self.stack.memory_failure_range(bad, flags, &pages);
        self.check(&fate, &report);
        if event.removal {
            assert!(pages.failed().is_empty() && pages.unmapped().is_empty());
            assert!(report.fallback_pages().is_empty());
        } else {
            check_pages(event, &fate, &report, &pages);
        }
        report
    }
}

fn check_pages(event: Event, fate: &Fate, report: &Report, pages: &PageLog) {
    let due: Vec<u64> = fate.pages.iter().copied().collect();
    let mut failed = pages.failed();
    failed.sort_unstable();
    assert_eq!(failed, due, "pages of the fallback, each once");
    let said = report.fallback_pages().iter().flat_map(|run| run.elements());
    let mut said: Vec<u64> = said.flat_map(|e| e.start().get()..e.end().get()).collect();
    said.sort_unstable();
    assert_eq!(said, due);
    let remainder = fate.states.iter().filter(|s| falls_back(**s)).count() as u64 * SLOT;
    assert_eq!(report.counts().widened, due.len() as u64 * PAGE_SIZE - remainder);
    let (first, last) = (event.start * SLOT, (event.start + event.len) * SLOT - 1);
    let all: Vec<u64> = (first / PAGE_SIZE..=last / PAGE_SIZE).collect();
    assert_eq!(pages.unmapped(), all, "whoever handled them");
}

fn falls_back(state: State) -> bool {
    match state {
        State::Handled | State::Failed(_) => false,
        State::NotSupported | State::Unreached => true,
    }
}
