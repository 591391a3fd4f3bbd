//! From bytes of a device down to where they lie: the way of `explain`, the other way round.

use core::ops::ControlFlow;

use badrange_core::{DevOffset, Extent, HoleKind, Mapped, Mapping, PhysAddr, Space};
use badrange_input::{Layer, Topology};

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

/// Follows `extent` of a device down. Every byte of it is in one landing per copy, in ascending
/// order of the bytes, copies in the order of the legs.
///
/// Ends because a device stands after those it lies on.
pub(crate) fn descend(
    topology: &Topology,
    place: usize,
    extent: Extent<DevOffset>,
) -> Vec<Landing> {
    let Some(device) = topology.devices().get(place) else { return Vec::new() };
    let mut found = Vec::new();
    match &device.layer {
        Layer::Disk | Layer::Memdev | Layer::Opaque => found.push(stay(place, extent, None)),
        Layer::Pmem { namespace, region: None, .. } => {
            let _ = Mapping::<PhysAddr, DevOffset>::map(namespace, extent, &mut |part| {
                found.push(match part {
                    Mapped::To { upper, lower, .. } => {
                        Landing { memory: Some(lower.start()), ..stay(place, upper, None) }
                    }
                    Mapped::Hole { upper, kind } => stay(place, upper, Some(kind)),
                });
                ControlFlow::Continue(())
            });
        }
        Layer::Region { region, legs } => {
            through(topology, place, &**region, legs, extent, &mut found);
            for landing in &mut found {
                landing.memory = region.phys(landing.top).map(|phys| phys.start());
            }
        }
        layer @ (Layer::Partition { .. }
        | Layer::Pmem { region: Some(_), .. }
        | Layer::Mapped { .. }
        | Layer::Array { .. }
        | Layer::Thin { .. }
        | Layer::Loop { .. }) => {
            if let Some(mapping) = layer.mapping() {
                through(topology, place, &*mapping, layer.legs(), extent, &mut found);
            }
        }
        Layer::View { of, at } => {
            if let Some(below) = extent.rebase(DevOffset::new(0), at.start()) {
                climb(place, extent, below, descend(topology, *of, below), &mut found);
            }
        }
    }
    found
}

fn stay(place: usize, top: Extent<DevOffset>, hole: Option<HoleKind>) -> Landing {
    Landing { top, way: vec![(place, top.start())], memory: None, hole }
}

fn through(
    topology: &Topology,
    place: usize,
    mapping: &dyn Mapping,
    legs: &[usize],
    extent: Extent<DevOffset>,
    found: &mut Vec<Landing>,
) {
    let _ = mapping.map(extent, &mut |part| {
        match part {
            Mapped::To { leg, upper, lower } => {
                let index = usize::try_from(leg.index()).unwrap_or(usize::MAX);
                if let Some(on) = legs.get(index) {
                    climb(place, upper, lower, descend(topology, *on, lower), found);
                }
            }
            Mapped::Hole { upper, kind } => found.push(stay(place, upper, Some(kind))),
        }
        ControlFlow::Continue(())
    });
}

/// Takes landings of `below` up to the device on top of it, where `below` is called `above`.
fn climb(
    place: usize,
    above: Extent<DevOffset>,
    below: Extent<DevOffset>,
    landings: Vec<Landing>,
    found: &mut Vec<Landing>,
) {
    for mut landing in landings {
        let Some(top) = landing.top.rebase(below.start(), above.start()) else { continue };
        landing.top = top;
        landing.way.push((place, top.start()));
        found.push(landing);
    }
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
