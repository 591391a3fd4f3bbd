//! From bytes of a device down to where they lie: the way of `explain`, the other way round.

use core::ops::ControlFlow;

use badrange_core::{DevOffset, Extent, HoleKind, Mapped, Mapping, PhysAddr, Space};
use badrange_input::{Layer, Topology};

/// Bytes on the way down: of one device, and where they are on the device above it.
#[derive(Debug)]
pub(crate) struct Step<'s> {
    /// The device, and the bytes there.
    pub(crate) place: usize,
    pub(crate) here: Extent<DevOffset>,
    /// The step before, and the bytes there that these are; none for the device that was asked about.
    above: Option<(&'s Self, Extent<DevOffset>)>,
    /// Whether a step before this one had the same bytes of a device above.
    pub(crate) is_copy: bool,
    /// The first byte in physical memory, where the device lies in it.
    pub(crate) memory: Option<PhysAddr>,
    /// Why the device keeps the bytes on nothing below it, where it has a table that says so.
    pub(crate) hole: Option<HoleKind>,
}

/// Follows `extent` of a device down, and visits every part of it on the lowest device that the
/// description leads to: once per copy, in ascending order of the bytes, copies in the order of the
/// legs. Stops when the visitor does, so that a stripe of millions of chunks costs what is looked at.
///
/// Ends because a device stands after those it lies on.
pub(crate) fn descend(
    topology: &Topology,
    place: usize,
    extent: Extent<DevOffset>,
    visit: &mut dyn FnMut(&Step<'_>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let step = Step { place, here: extent, above: None, is_copy: false, memory: None, hole: None };
    step.go(topology, visit)
}

type Visit<'v> = &'v mut dyn FnMut(&Step<'_>) -> ControlFlow<()>;

impl Step<'_> {
    fn go(&self, topology: &Topology, visit: Visit<'_>) -> ControlFlow<()> {
        let Some(device) = topology.devices().get(self.place) else {
            return ControlFlow::Continue(());
        };
        if let Some(mapping) = device.layer.mapping() {
            return self.through(topology, &*mapping, device.layer.legs(), visit);
        }
        if let Layer::Pmem { namespace, region: None, .. } = &device.layer {
            return self.through_memory(namespace, visit);
        }
        if let Layer::View { of, at } = &device.layer {
            if let Some(below) = self.here.rebase(DevOffset::new(0), at.start()) {
                return self.down(*of, self.here, below, false).go(topology, visit);
            }
        }
        // Nothing is known below, or the bytes lie beyond what 64 bits can say there.
        visit(self)
    }

    fn through(
        &self,
        topology: &Topology,
        mapping: &dyn Mapping,
        legs: &[usize],
        visit: Visit<'_>,
    ) -> ControlFlow<()> {
        let mut reached = self.here.start();
        mapping.map(self.here, &mut |part| match part {
            Mapped::To { leg, upper, lower } => {
                let is_copy = upper.start() < reached;
                reached = reached.max(upper.end());
                let index = usize::try_from(leg.index()).unwrap_or(usize::MAX);
                match legs.get(index) {
                    Some(on) => self.down(*on, upper, lower, is_copy).go(topology, visit),
                    None => ControlFlow::Continue(()),
                }
            }
            Mapped::Hole { upper, kind } => visit(&self.part(upper, None, Some(kind))),
        })
    }

    fn through_memory(
        &self,
        namespace: &dyn Mapping<PhysAddr, DevOffset>,
        visit: Visit<'_>,
    ) -> ControlFlow<()> {
        namespace.map(self.here, &mut |part| match part {
            Mapped::To { upper, lower, .. } => visit(&self.part(upper, Some(lower.start()), None)),
            Mapped::Hole { upper, kind } => visit(&self.part(upper, None, Some(kind))),
        })
    }

    /// The step to the device below, on which `upper` of this one is `here`.
    fn down(
        &self,
        place: usize,
        upper: Extent<DevOffset>,
        here: Extent<DevOffset>,
        is_copy: bool,
    ) -> Step<'_> {
        let is_copy = is_copy || self.is_copy;
        Step { place, here, above: Some((self, upper)), is_copy, memory: None, hole: None }
    }

    /// The same step for a part of its bytes.
    fn part(
        &self,
        here: Extent<DevOffset>,
        memory: Option<PhysAddr>,
        hole: Option<HoleKind>,
    ) -> Step<'_> {
        let of_part = |(above, upper): (_, Extent<DevOffset>)| {
            Some((above, here.rebase(self.here.start(), upper.start())?))
        };
        Step { here, memory, hole, above: self.above.and_then(of_part), ..*self }
    }

    /// The whole way, as a landing.
    pub(crate) fn landing(&self, topology: &Topology) -> Option<Landing> {
        let (mut step, mut top, mut memory) = (self, self.here, self.memory);
        let mut way = vec![(self.place, top.start())];
        loop {
            if let Some(Layer::Region { region, .. }) =
                topology.devices().get(step.place).map(|device| &device.layer)
            {
                memory = region.phys(top).map(|phys| phys.start());
            }
            let Some((above, upper)) = step.above else {
                return Some(Landing { top, way, memory, hole: self.hole });
            };
            top = top.rebase(step.here.start(), upper.start())?;
            way.push((above.place, top.start()));
            step = above;
        }
    }
}

/// One copy of some bytes of a device, followed down as far as the description leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Landing {
    /// The bytes, on the device that was asked about.
    pub(crate) top: Extent<DevOffset>,
    /// The devices they lie on, the lowest first, each with the first byte there; ends with the
    /// device that was asked about.
    pub(crate) way: Vec<(usize, DevOffset)>,
    /// The first byte in physical memory, where the lowest device lies in it.
    pub(crate) memory: Option<PhysAddr>,
    /// Why the lowest device keeps the bytes on nothing below it, where it has a table that says
    /// so.
    pub(crate) hole: Option<HoleKind>,
}

impl Landing {
    /// The part of it that lies in `window`, with every position moved along.
    pub(crate) fn clip(&self, window: Extent<DevOffset>) -> Option<Self> {
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
}
