//! The summary: files counted once, bytes counted once.

use core::ops::ControlFlow;
use std::collections::{BTreeMap, BTreeSet};

use badrange_core::{DevOffset, Extent, PhysAddr};
use badrange_input::Topology;

use super::{Explanation, PieceFound, Query, Summary, Target, Verdict, descent::descend};

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

/// Lost bytes of all queries, each once. Queries of one space overlap where they name the same
/// bytes of it; queries of different spaces, where those lie on the same bytes at the bottom of the
/// stack. Of these the space that was named first counts them.
fn bytes_lost(topology: &Topology, queries: &[Query], found: &[Explanation]) -> u64 {
    let mut spaces: Vec<(Space, Ranges)> = Vec::new();
    for (query, explanation) in queries.iter().zip(found) {
        let space = Space::of(query);
        let at = spaces.iter().position(|(known, _)| *known == space).unwrap_or_else(|| {
            spaces.push((space, Ranges::default()));
            spaces.len().saturating_sub(1)
        });
        let lost = explanation.pieces.iter().filter(|p| p.lost == Some(true));
        if let Some((_, ranges)) = spaces.get_mut(at) {
            lost.flat_map(elements).for_each(|(start, end)| ranges.add(start, end));
        }
    }
    let alone = spaces.len() <= 1;
    let mut ground = Ground { topology, counted: BTreeMap::new() };
    let mut total = 0_u64;
    for (space, ranges) in &mut spaces {
        let union = ranges.union();
        total = match alone {
            true => union
                .iter()
                .fold(total, |n, (start, end)| n.saturating_add(end.saturating_sub(*start))),
            false => total.saturating_add(ground.count_new(*space, &union)),
        };
    }
    total
}

/// A piece's bytes: one range, or each element of a strided one.
pub(crate) fn elements(piece: &PieceFound) -> impl Iterator<Item = (u64, u64)> + '_ {
    let (stride, count) = piece.repeat.unwrap_or((0, 1));
    let start = move |i: u64| piece.start.saturating_add(stride.saturating_mul(i));
    (0..count).map(move |i| (start(i), start(i).saturating_add(piece.len)))
}

/// Half-open ranges, in any order until they are united.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ranges(Vec<(u64, u64)>);

impl Ranges {
    pub(crate) fn add(&mut self, start: u64, end: u64) {
        self.0.push((start, end));
    }

    /// The same bytes as disjoint ranges, ascending.
    pub(crate) fn union(&mut self) -> Vec<(u64, u64)> {
        united(&mut self.0)
    }
}

/// The bytes of half-open ranges as disjoint ones, ascending.
pub(super) fn united(ranges: &mut [(u64, u64)]) -> Vec<(u64, u64)> {
    ranges.sort_unstable();
    let mut united: Vec<(u64, u64)> = Vec::new();
    for (start, end) in ranges {
        match united.last_mut() {
            Some((_, last)) if *last >= *start => *last = (*last).max(*end),
            _ => united.push((*start, *end)),
        }
    }
    united
}

/// Where bytes are counted: physical memory, or a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Space {
    Memory,
    Device(usize),
}

impl Space {
    fn of(query: &Query) -> Self {
        Self::part(query).0
    }

    /// The bytes of a query.
    pub(super) fn part(query: &Query) -> Part {
        match query.target {
            Target::Device { place, extent } => {
                (Self::Device(place), extent.start().get(), extent.end().get())
            }
            Target::Memory(extent) => (Self::Memory, extent.start().get(), extent.end().get()),
        }
    }
}

/// Bytes at the bottom of the stack that were counted already.
struct Ground<'t> {
    topology: &'t Topology,
    counted: BTreeMap<Space, Ranges>,
}

impl Ground<'_> {
    /// How many of these bytes of a space lie on bytes that no space before them counted.
    fn count_new(&mut self, space: Space, lost: &[(u64, u64)]) -> u64 {
        let parts = lost.iter().flat_map(|(start, end)| bottom(self.topology, space, *start, *end));
        let below: Vec<Part> = parts.collect();
        let united = |(bottom, ranges): (&Space, &mut Ranges)| (*bottom, ranges.union());
        let seen: BTreeMap<Space, Vec<(u64, u64)>> = self.counted.iter_mut().map(united).collect();
        let mut new = 0_u64;
        for (bottom, start, end) in &below {
            let known = seen.get(bottom).map_or(0, |seen| overlap(seen, *start, *end));
            new = new.saturating_add(end.saturating_sub(*start).saturating_sub(known));
        }
        for (bottom, start, end) in below {
            self.counted.entry(bottom).or_default().add(start, end);
        }
        new
    }
}

/// A space, and bytes of it: half-open.
pub(super) type Part = (Space, u64, u64);

/// Where bytes of a space lie at the bottom of the stack; of several copies the first stands for all.
pub(super) fn bottom(topology: &Topology, space: Space, start: u64, end: u64) -> Vec<Part> {
    let mut below = Vec::new();
    match (space, Extent::from_bounds(DevOffset::new(start), DevOffset::new(end))) {
        (Space::Device(place), Ok(extent)) => sink(topology, place, extent, &mut below),
        _ => sink_memory(topology, start, end, &mut below),
    }
    below
}

/// Bytes of physical memory: those of CXL regions lie on memory devices.
fn sink_memory(topology: &Topology, start: u64, end: u64, below: &mut Vec<Part>) {
    let mut at = start;
    let mut regions: Vec<_> = topology.regions().collect();
    regions.sort_by_key(|(_, region)| region.hpa().start());
    for (place, region) in regions {
        let asked = Extent::from_bounds(PhysAddr::new(at), PhysAddr::new(end)).ok();
        let part = asked.and_then(|asked| asked.intersect(region.hpa()));
        let Some((part, here)) = part.and_then(|part| Some((part, region.offset(part)?))) else {
            continue;
        };
        if at < part.start().get() {
            below.push((Space::Memory, at, part.start().get()));
        }
        sink(topology, place, here, below);
        at = part.end().get();
    }
    if at < end {
        below.push((Space::Memory, at, end));
    }
}

fn sink(topology: &Topology, place: usize, extent: Extent<DevOffset>, below: &mut Vec<Part>) {
    let _ = descend(topology, place, extent, &mut |step| {
        let (space, start) = match step.memory {
            Some(phys) => (Space::Memory, phys.get()),
            None => (Space::Device(step.place), step.here.start().get()),
        };
        if !step.is_copy {
            below.push((space, start, start.saturating_add(step.here.len())));
        }
        ControlFlow::Continue(())
    });
}

/// How many of `start..end` lie in these disjoint, ascending ranges.
fn overlap(ranges: &[(u64, u64)], start: u64, end: u64) -> u64 {
    let first = ranges.partition_point(|(_, to)| *to <= start);
    let reached = ranges.iter().skip(first).take_while(|(from, _)| *from < end);
    let inside = |(from, to): &(u64, u64)| (*to).min(end).saturating_sub((*from).max(start));
    reached.map(inside).fold(0, u64::saturating_add)
}
