//! From bytes of a device down to where they lie: the snapshot's walk, in devices of the topology.

use core::ops::ControlFlow;

use badrange_core::{DevOffset, Extent, HoleKind, PhysAddr, Space, Stop};
use badrange_stack::{At, Visit};

use crate::Explainer;

/// One copy of some bytes of a device, followed down as far as the description leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Landing {
    /// The bytes, on the device that was asked about.
    pub(crate) top: Extent,
    /// The devices they lie on, the lowest first, each with the first byte there; ends with the
    /// device that was asked about. Memory is not among them.
    pub(crate) way: Vec<(usize, DevOffset)>,
    /// The first byte in physical memory, where a device on the way lies in it.
    pub(crate) memory: Option<PhysAddr>,
    /// Why the lowest device keeps the bytes on nothing below it, where it has a table that says
    /// so.
    pub(crate) hole: Option<HoleKind>,
}

/// Follows `extent` of a device down, and visits every part of it on the lowest device that the
/// description leads to: once per copy, in ascending order of the bytes, copies in the order of the
/// legs. Stops when the visitor does, so that a stripe of millions of chunks costs what is looked at.
pub(crate) fn descend(
    explainer: &Explainer,
    place: usize,
    extent: Extent,
    visit: &mut dyn FnMut(Landing) -> ControlFlow<()>,
) {
    let Some((device, start)) = explainer.seen_from(place) else { return }; // a device of another stack
    let Some(seen) = extent.rebase(DevOffset::new(0), start) else { return }; // past every end
    let walked = explainer.snapshot().down(device, seen, &mut |at| {
        let landing = landing(explainer, place, start, at);
        debug_assert!(landing.is_some(), "a walk down leads over devices of the topology");
        match landing.map_or(ControlFlow::Continue(()), &mut *visit) {
            ControlFlow::Break(()) => ControlFlow::Break(Stop::Enough),
            ControlFlow::Continue(()) => ControlFlow::Continue(()),
        }
    });
    debug_assert!(walked.is_ok(), "the explainer asks about devices of its own stack");
}

/// Where a walk down that was asked about `place` ended.
fn landing(
    explainer: &Explainer,
    place: usize,
    start: DevOffset,
    at: &Visit<'_>,
) -> Option<Landing> {
    let top = at.asked().first().rebase(start, DevOffset::new(0))?;
    let (mut way, mut memory) = (Vec::new(), None);
    at.trail(at.here(), &mut |hop| {
        let first = hop.at.first().start();
        if hop.device == explainer.memory() {
            memory = Some(first.phys());
        }
        way.extend(explainer.place(hop.device).map(|place| (place, first)));
    });
    // Asked through a view, the way ends with the view above what it is a view of.
    if way.last().is_none_or(|(last, _)| *last != place) {
        way.push((place, top.start()));
    }
    // Else the bottom, or as far as anybody knows.
    let hole = if let At::Hole(kind) = at.at() { Some(kind) } else { None };
    Some(Landing { top, way, memory, hole })
}

impl Landing {
    /// The part of it that lies in `window`, with every position moved along.
    pub(crate) fn clip(&self, window: Extent) -> Option<Self> {
        let top = self.top.intersect(window)?;
        let by = top.start().checked_offset_from(self.top.start())?;
        let moved = |(place, at): &(usize, DevOffset)| Some((*place, at.checked_add(by)?));
        let way = self.way.iter().map(moved).collect::<Option<Vec<_>>>()?;
        let memory = self.memory.and_then(|at| at.checked_add(by));
        Some(Self { top, way, memory, hole: self.hole })
    }

    /// Whether `next` goes on where this one ends, on every device.
    pub(crate) fn continues(&self, next: &Self) -> bool {
        let by = self.top.len();
        let on = |(a, b): (&(usize, DevOffset), &(usize, DevOffset))| {
            a.0 == b.0 && a.1.checked_add(by) == Some(b.1)
        };
        self.hole == next.hole
            && self.way.len() == next.way.len()
            && self.way.iter().zip(&next.way).all(on)
            && match (self.memory, next.memory) {
                (None, None) => true,
                (Some(a), Some(b)) => a.checked_add(by) == Some(b),
                (Some(_), None) | (None, Some(_)) => false,
            }
    }

    /// The lowest device, and the bytes there; none where nothing is kept.
    pub(crate) fn lowest(&self) -> Option<(usize, Extent)> {
        let (place, at) = self.way.first().filter(|_| self.hole.is_none())?;
        Some((*place, self.top.rebase(self.top.start(), *at)?))
    }
}
