//! What stands on each device, as far as its description tells without looking further up.

use core::ops::ControlFlow;
use std::sync::Arc;

use badrange_core::{DevOffset, Extent, Leg, Run};
use badrange_fs::{Record, ReverseMap};
use badrange_input::{Area, Device, Layer, Topology};
use badrange_pmem::Namespace;

use crate::Verdict;

/// What bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    Plain(Verdict),
    /// Records of a filesystem, by its place in the topology; `at` is the first byte's place.
    Filesystem {
        fs: usize,
        at: DevOffset,
        records: Vec<Record>,
    },
}

/// What stands on one device.
#[derive(Debug)]
pub(crate) enum Contents {
    /// A filesystem, with the owners of all bytes.
    Filesystem { fs: usize, map: Arc<ReverseMap> },
    /// Areas of one use, disjoint and ascending (a thin pool can have millions), and the parity of
    /// arrays above, every so many chunks one.
    Areas { areas: Vec<(Extent, Verdict)>, parity: Vec<Run> },
}

/// How many records or areas per element of a run make it cheaper to look each element up than to
/// sweep over the whole span of the run.
const SWEEP_FACTOR: u64 = 8;

impl Contents {
    /// For every device of the topology, and at the end for memory.
    pub(crate) fn of(topology: &Topology) -> Vec<Self> {
        let devices = topology.devices().iter().enumerate();
        let mut all: Vec<Self> =
            devices.map(|(place, device)| Description { topology, place }.of(device)).collect();
        let metadata = topology.devices().iter().filter_map(|d| namespace(d)?.metadata());
        let mut areas: Vec<_> =
            metadata.map(|at| (at.on_memory(), Verdict::PmemMetadata)).collect();
        areas.sort_unstable_by_key(|(area, _)| area.start());
        all.push(Self::Areas { areas, parity: Vec::new() });
        all
    }

    /// Emits every part of `run` that something is known of, and what it is.
    pub(crate) fn each(&self, run: Run, sink: &mut dyn FnMut(Run, Content)) {
        let known = match self {
            Self::Filesystem { map, .. } => map.len(),
            Self::Areas { areas, .. } => areas.len(),
        };
        let known = u64::try_from(known).unwrap_or(u64::MAX);
        if run.count().saturating_mul(SWEEP_FACTOR) < known {
            run.elements().for_each(|element| self.within(element.into(), element, sink));
        } else {
            self.within(run, run.span(), sink);
        }
        if let Self::Areas { parity, .. } = self {
            let parts = parity.iter().flat_map(|parity| run.overlaps(parity));
            parts.for_each(|part| sink(part, Content::Plain(Verdict::MdParity)));
        }
    }

    /// Emits what of `run` lies in `window`, area by area.
    fn within(&self, run: Run, window: Extent, sink: &mut dyn FnMut(Run, Content)) {
        match self {
            Self::Filesystem { fs, map } => {
                let _ = map.segments(window, &mut |segment| {
                    for part in run.clip(segment.extent) {
                        let at = part.first().start();
                        let records = segment.owners.to_vec();
                        sink(part, Content::Filesystem { fs: *fs, at, records });
                    }
                    ControlFlow::Continue(())
                });
            }
            Self::Areas { areas, .. } => {
                let first = areas.partition_point(|(area, _)| area.end() <= window.start());
                let reached = areas.iter().skip(first);
                for (area, verdict) in reached.take_while(|(area, _)| area.start() < window.end()) {
                    run.clip(*area).for_each(|part| sink(part, Content::Plain(*verdict)));
                }
            }
        }
    }
}

/// A device on its way to its contents.
struct Description<'t> {
    topology: &'t Topology,
    place: usize,
}

impl Description<'_> {
    fn of(&self, device: &Device) -> Contents {
        if let Some((fs, map)) = self.filesystem() {
            return Contents::Filesystem { fs, map };
        }
        let used = self.used_above();
        let (mut areas, mut held) = (Vec::new(), used.clone());
        for (area, kind) in &device.areas {
            // Where a device above uses bytes of no use here, they are that device's alone. Tables
            // and metadata are lost whoever else uses the bytes.
            let over = if is_use(*kind) { Vec::new() } else { used.clone() };
            let verdict = Verdict::of_area(*kind);
            areas.extend(area.minus(over).into_iter().map(|part| (part, verdict)));
            held.push(*area);
        }
        let rest = device.extent.minus(held).into_iter().map(|part| (part, Verdict::Device));
        areas.extend(rest);
        areas.sort_unstable_by_key(|(area, _)| area.start());
        Contents::Areas { areas, parity: self.parity() }
    }

    fn filesystem(&self) -> Option<(usize, Arc<ReverseMap>)> {
        let all = self.topology.filesystems().iter().enumerate();
        let mut on_it = all.filter(|(_, fs)| fs.device == self.place);
        on_it.next().map(|(number, fs)| (number, Arc::clone(&fs.map)))
    }

    /// What the devices above use of the device. Of a CXL region that is what namespaces have.
    fn used_above(&self) -> Vec<Extent> {
        let above = self.topology.devices().iter();
        let used = above.flat_map(|d| self.legs_here(d).flat_map(|leg| d.layer.used(leg)));
        used.chain(self.namespaces()).collect()
    }

    /// The namespaces in a CXL region, in its bytes.
    fn namespaces(&self) -> Vec<Extent> {
        let region = self.topology.regions().find(|(place, _)| *place == self.place);
        let Some((_, region)) = region else { return Vec::new() };
        let inside = |device: &Device| region.offset(namespace(device)?.whole());
        self.topology.devices().iter().filter_map(inside).collect()
    }

    /// The parity that arrays above keep on the device.
    fn parity(&self) -> Vec<Run> {
        let above = self.topology.devices().iter();
        let arrays = above.flat_map(|d| self.legs_here(d).filter_map(|leg| d.layer.array_of(leg)));
        arrays.flat_map(|(array, leg)| array.parity(leg)).collect()
    }

    /// The legs of a device that are on this one.
    fn legs_here<'d>(&self, device: &'d Device) -> impl Iterator<Item = Leg> + use<'d> {
        let place = self.place;
        let legs = (0_u32..).map(Leg::new).zip(device.layer.legs().iter().copied());
        legs.filter(move |(_, on)| *on == place).map(|(leg, _)| leg)
    }
}

fn namespace(device: &Device) -> Option<&Namespace> {
    if let Layer::Pmem { namespace, .. } = &device.layer { Some(namespace) } else { None }
}

/// Whether an area holds something itself, rather than nothing.
const fn is_use(area: Area) -> bool {
    match area {
        Area::PartitionTable | Area::LvmMetadata | Area::MdMetadata | Area::ThinMetadata => true,
        Area::Unpartitioned | Area::LvmFree | Area::LvmTail | Area::MdUnused | Area::ThinFree => {
            false
        }
    }
}
