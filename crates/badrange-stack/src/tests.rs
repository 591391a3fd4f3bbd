//! What the engine promises, each promise as a test.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "small numbers, and a panic is a failed test"
)]
#![expect(clippy::wildcard_enum_match_arm, reason = "a test names what it looks for")]

use core::ops::ControlFlow;
use std::sync::{Arc, Mutex};

use badrange_core::*;

use crate::*;

mod broken;
mod calls;
mod chain;
mod conservation;
mod dispatch;
mod edits;
mod errors;
mod lifetime;
mod limits;
mod pages;
mod redundancy;
mod snapshot;
mod topology;
mod twin;

const NONE: MfFlags = MfFlags::NONE;

fn at(start: u64, len: u64) -> Extent {
    Extent::new(DevOffset::new(start), len).unwrap()
}

fn run(start: u64, len: u64, stride: u64, count: u64) -> Run {
    Run::new(at(start, len), stride, count).unwrap()
}

/// The bytes of a run, one by one.
fn bytes(run: &Run) -> impl Iterator<Item = u64> + use<> {
    run.elements().flat_map(|e| e.start().get()..e.end().get())
}

/// A one-leg layer that begins at `lower` of its leg.
fn window(lower: Extent) -> Arc<dyn Mapping> {
    Arc::new(Window::new(lower))
}

/// A layer of any links, one per leg.
#[derive(Debug, Clone)]
struct Legs {
    links: Vec<Link>,
    extent: Extent,
}

impl Legs {
    fn of(links: impl IntoIterator<Item = (Run, Run)>, extent: Extent) -> Self {
        let links = links.into_iter().map(|(lower, upper)| Link::new(lower, upper).unwrap());
        Self { links: links.collect(), extent }
    }

    fn mapping(links: impl IntoIterator<Item = (Run, Run)>, extent: Extent) -> Arc<dyn Mapping> {
        Arc::new(Self::of(links, extent))
    }

    /// `legs` chunks side by side, row after row; the legs are used from their byte `from` on.
    fn striped(legs: u64, chunk: u64, rows: u64, from: u64) -> Self {
        let leg = |i| (run(from, chunk, chunk, rows), run(i * chunk, chunk, legs * chunk, rows));
        Self::of((0..legs).map(leg), at(0, legs * chunk * rows))
    }

    /// As many copies of `len` bytes as there are places below.
    fn mirror(len: u64, from: impl IntoIterator<Item = u64>) -> Self {
        let leg = |from| (at(from, len).into(), at(0, len).into());
        Self::of(from.into_iter().map(leg), at(0, len))
    }
}

impl Mapping for Legs {
    fn legs(&self) -> u32 {
        self.links.len() as u32
    }
    fn extent(&self) -> Extent {
        self.extent
    }
    fn leg_extent(&self, leg: Leg) -> Option<Extent> {
        self.links.get(leg.index() as usize).map(|link| link.lower().span())
    }
    fn map(&self, upper: Extent, sink: Sink<'_, Mapped>) -> Flow {
        let mut parts = Vec::new();
        for (leg, link) in (0..).map(Leg::new).zip(&self.links) {
            for part in link.clip_upper(upper) {
                parts.extend(part.elements().map(|pair| (leg, Link::try_from(pair).unwrap())));
            }
        }
        parts.sort_by_key(|(leg, link)| (link.upper().first().start(), *leg));
        let covered = parts.iter().map(|(_, link)| link.upper().first());
        let gaps = upper.intersect(self.extent).map_or_else(Vec::new, |all| all.minus(covered));
        let hole = |gap| Mapped::Hole(HoleKind::Unmapped, gap);
        let mut all: Vec<Mapped> = gaps.into_iter().map(hole).collect();
        all.extend(parts.into_iter().map(|(leg, link)| Mapped::To { leg, link }));
        all.sort_by_key(|part| part.upper().start()); // stable: copies stay by leg
        all.into_iter().try_for_each(&mut *sink)?;
        beyond(self.extent, upper, sink)
    }
    fn rmap(&self, leg: Leg, lower: Run, sink: Sink<'_, Link>) -> Flow {
        match self.links.get(leg.index() as usize) {
            Some(link) => link.rmap(lower, sink),
            None => ControlFlow::Continue(()),
        }
    }
}

/// A holder that remembers what it was notified of and answers as a closure says.
struct Fake<F> {
    told: Mutex<Vec<Run>>,
    answer: F,
}

impl<F: Fn(&Corruption<'_>) -> Outcome + Send + Sync> Fake<F> {
    fn new(answer: F) -> Arc<Self> {
        Arc::new(Self { told: Mutex::new(Vec::new()), answer })
    }

    fn told(&self) -> Vec<Run> {
        self.told.lock().unwrap().clone()
    }
}

impl<F: Fn(&Corruption<'_>) -> Outcome + Send + Sync> Holder for Fake<F> {
    fn corrupted_range(&self, what: &Corruption<'_>) -> Outcome {
        self.told.lock().unwrap().push(what.range());
        (self.answer)(what)
    }
}

fn says(outcome: Outcome) -> Arc<Fake<impl Fn(&Corruption<'_>) -> Outcome + Send + Sync>> {
    Fake::new(move |_: &Corruption<'_>| outcome)
}

fn handles() -> Arc<dyn Holder> {
    says(Outcome::Handled)
}

/// A fallback that remembers its pages.
#[derive(Default)]
struct Pages {
    failed: Mutex<Vec<u64>>,
    unmapped: Mutex<Vec<Run<Pfn>>>,
}

impl Pages {
    fn failed(&self) -> Vec<u64> {
        self.failed.lock().unwrap().clone()
    }

    fn unmapped(&self) -> Vec<Run<Pfn>> {
        self.unmapped.lock().unwrap().clone()
    }

    fn unmapped_pages(&self) -> Vec<u64> {
        let runs = self.unmapped();
        let extents = runs.iter().flat_map(Run::elements);
        extents.flat_map(|e| e.start().get()..e.end().get()).collect()
    }
}

impl Fallback for Pages {
    fn memory_failure(&self, page: Granule, _: MfFlags) {
        self.failed.lock().unwrap().push(page.pfn().get());
    }
    fn unmap(&self, pages: Granules) {
        self.unmapped.lock().unwrap().push(pages.frames());
    }
}

fn disk(stack: &Stack, len: u64) -> DeviceId {
    stack.add_device(DeviceSpec::base("disk", at(0, len))).unwrap()
}

/// A device whose pages of 4 KiB have a last resort.
fn memory(stack: &Stack, name: &str, len: u64) -> (DeviceId, Arc<Pages>) {
    let pages = Arc::new(Pages::default());
    let spec = DeviceSpec::base(name, at(0, len)).fallback(PageSize::K4, pages.clone());
    (stack.add_device(spec).unwrap(), pages)
}

fn on(
    stack: &Stack,
    name: &str,
    mapping: Arc<dyn Mapping>,
    legs: impl Into<Arc<[DeviceId]>>,
) -> DeviceId {
    stack.add_device(DeviceSpec::on(name, mapping, legs)).unwrap()
}

fn fail(stack: &Stack, device: DeviceId, range: Extent) -> Report {
    let report = stack.fail(device, range, NONE).unwrap();
    let sum = report.handled_bytes() + report.failed_bytes() + report.remainder_bytes();
    assert_eq!(sum + report.outside_bytes(), report.len());
    report
}

/// The steps of an event, and its report.
fn trace(stack: &Stack, device: DeviceId, range: Extent) -> (Vec<Step>, Report) {
    let mut trace = Trace::new();
    let report = stack.fail_observed(device, range, NONE, &mut trace).unwrap();
    (trace.steps().to_vec(), report)
}
