//! The summary: files counted once, bytes counted once.

use core::ops::ControlFlow;
use std::collections::{BTreeMap, BTreeSet};

use badrange_core::{DevOffset, Extent, Mapped, Mapping, PhysAddr, Space};
use badrange_input::{Layer, Topology};

use super::{Explanation, PieceFound, Query, Summary, Target, Verdict};

/// Counts files and bytes over all queries.
pub(super) fn summary(topology: &Topology, queries: &[Query], found: &[Explanation]) -> Summary {
    let pieces = || found.iter().flat_map(|q| &q.pieces).filter(|p| p.lost == Some(true));
    let of_file = |p: &&PieceFound| matches!(p.verdict, Verdict::File | Verdict::FileMetadata);
    let files: BTreeSet<_> = pieces()
        .filter(of_file)
        .flat_map(|p| &p.owners)
        .map(|o| (o.fs.as_str(), o.ino, o.paths.first().filter(|_| o.ino.is_none())))
        .collect();
    Summary {
        files_lost: u64::try_from(files.len()).unwrap_or(u64::MAX),
        bytes_lost: bytes_lost(topology, queries, found),
        bytes_queried: found.iter().map(|q| q.len).fold(0, u64::saturating_add),
    }
}

/// Lost bytes of all queries, each once: counted where they lie at the bottom of the stack.
fn bytes_lost(topology: &Topology, queries: &[Query], found: &[Explanation]) -> u64 {
    let mut ground = Ground { topology, lost: BTreeMap::new() };
    let one_space = queries.windows(2).all(|w| match w {
        [a, b] => space_of(a) == space_of(b),
        _ => true,
    });
    for (query, explanation) in queries.iter().zip(found) {
        for piece in explanation.pieces.iter().filter(|p| p.lost == Some(true)) {
            for (start, len) in elements(piece) {
                ground.add(query, start, len, one_space);
            }
        }
    }
    ground.total()
}

fn space_of(query: &Query) -> Option<usize> {
    match query.target {
        Target::Device { place, .. } => Some(place),
        Target::Memory(_) => None,
    }
}

fn elements(piece: &PieceFound) -> impl Iterator<Item = (u64, u64)> + '_ {
    let (stride, count) = piece.repeat.unwrap_or((0, 1));
    (0..count).map(move |i| (piece.start.saturating_add(stride.saturating_mul(i)), piece.len))
}

/// Where bytes are counted: physical memory, or a device nothing is known below.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Bottom {
    Memory,
    Device(usize),
}

struct Ground<'t> {
    topology: &'t Topology,
    lost: BTreeMap<Bottom, Vec<(u64, u64)>>,
}

impl Ground<'_> {
    fn add(&mut self, query: &Query, start: u64, len: u64, one_space: bool) {
        match query.target {
            Target::Memory(_) => self.put(Bottom::Memory, start, len),
            Target::Device { place, .. } if one_space => {
                self.put(Bottom::Device(place), start, len);
            }
            Target::Device { place, .. } => {
                if let Ok(extent) = Extent::new(DevOffset::new(start), len) {
                    self.sink(place, extent);
                }
            }
        }
    }

    fn put(&mut self, bottom: Bottom, start: u64, len: u64) {
        let end = start.saturating_add(len);
        self.lost.entry(bottom).or_default().push((start, end));
    }

    /// Follows bytes of a device down to the bottom. Ends because a device stands after those it
    /// lies on.
    fn sink(&mut self, place: usize, extent: Extent<DevOffset>) {
        let topology = self.topology;
        let Some(device) = topology.devices().get(place) else { return };
        match &device.layer {
            Layer::Pmem { namespace, .. } => {
                let _ = Mapping::<PhysAddr, DevOffset>::map(namespace, extent, &mut |part| {
                    match part {
                        Mapped::To { lower, .. } => {
                            self.put(Bottom::Memory, lower.start().get(), lower.len());
                        }
                        Mapped::Hole { upper, .. } => self.stay(place, upper),
                    }
                    ControlFlow::Continue(())
                });
            }
            Layer::Partition { on, mapping } => self.follow(place, mapping, &[*on], extent),
            Layer::Mapped { table, legs } => self.follow(place, &**table, legs, extent),
            Layer::View { of, at } => {
                if let Some(below) = extent.rebase(DevOffset::new(0), at.start()) {
                    self.sink(*of, below);
                }
            }
            // Nothing is known below.
            Layer::Disk | Layer::Opaque => self.stay(place, extent),
        }
    }

    fn follow(
        &mut self,
        place: usize,
        mapping: &dyn Mapping,
        legs: &[usize],
        extent: Extent<DevOffset>,
    ) {
        let _ = mapping.map(extent, &mut |part| {
            match part {
                Mapped::To { leg, lower, .. } => {
                    let index = usize::try_from(leg.index()).unwrap_or(usize::MAX);
                    if let Some(below) = legs.get(index) {
                        self.sink(*below, lower);
                    }
                }
                Mapped::Hole { upper, .. } => self.stay(place, upper),
            }
            ControlFlow::Continue(())
        });
    }

    fn stay(&mut self, place: usize, extent: Extent<DevOffset>) {
        self.put(Bottom::Device(place), extent.start().to_raw(), extent.len());
    }

    /// Bytes in the union, space by space.
    fn total(mut self) -> u64 {
        let mut total = 0_u64;
        for ranges in self.lost.values_mut() {
            ranges.sort_unstable();
            let mut counted_to = 0;
            for (start, end) in ranges {
                let from = (*start).max(counted_to);
                total = total.saturating_add(end.saturating_sub(from));
                counted_to = counted_to.max(*end);
            }
        }
        total
    }
}
