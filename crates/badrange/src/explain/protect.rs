//! What of the bad bytes an array can rebuild from members that are not bad themselves.
//!
//! All queries of one call count together: two members of a stripe that are both asked about are
//! two failures.

use core::ops::ControlFlow;

use badrange_block::md::{Array, Backing};
use badrange_core::{DevOffset, Extent, Leg, Mapping, PhysAddr, Run};
use badrange_input::{Device, Layer, Topology};

use super::{
    Query, Target, Verdict,
    build::{Content, Finding},
    ground::united,
};

/// Marks what can be rebuilt, and from which devices; cuts findings where that changes.
pub(super) fn protect(topology: &Topology, queries: &[Query], found: &mut [Vec<Finding>]) {
    if !topology.devices().iter().any(has_arrays) {
        return;
    }
    let damage = Damage::new(topology, queries);
    for findings in found {
        let mut all = Vec::new();
        for finding in core::mem::take(findings) {
            damage.protect(finding, 0, &mut all);
        }
        *findings = all;
    }
}

/// A leg of a device, as an array's.
struct ArrayLeg<'t> {
    array: &'t Array,
    /// The leg's number in the array.
    leg: Leg,
    /// The devices under the array's legs.
    devices: &'t [usize],
}

impl<'t> ArrayLeg<'t> {
    fn new(device: &'t Device, leg: Leg) -> Option<Self> {
        let (array, local) = device.layer.array_of(leg)?;
        let first = usize::try_from(leg.index().checked_sub(local.index())?).ok()?;
        let devices = device.layer.legs().get(first..)?;
        array.is_redundant().then_some(Self { array, leg: local, devices })
    }

    fn device(&self, leg: Leg) -> Option<usize> {
        self.devices.get(usize::try_from(leg.index()).ok()?).copied()
    }
}

fn legs(device: &Device) -> impl Iterator<Item = (Leg, usize)> + '_ {
    (0_u32..).map(Leg::new).zip(device.layer.legs().iter().copied())
}

fn has_arrays(device: &Device) -> bool {
    legs(device).any(|(leg, _)| ArrayLeg::new(device, leg).is_some())
}

/// Half-open ranges of bytes, disjoint and ascending.
type Ranges = Vec<(u64, u64)>;

/// The bad bytes of every device that an array may have to read.
struct Damage<'t> {
    topology: &'t Topology,
    bad: Vec<Ranges>,
}

impl<'t> Damage<'t> {
    fn new(topology: &'t Topology, queries: &[Query]) -> Self {
        let devices = topology.devices();
        let mut damage = Self { topology, bad: vec![Vec::new(); devices.len()] };
        let wanted = wanted(devices);
        for (place, device) in devices.iter().enumerate() {
            if wanted.get(place) != Some(&true) {
                continue;
            }
            let mut bad: Ranges =
                queries.iter().flat_map(|q| asked(device, place, devices, q)).collect();
            for (leg, on) in legs(device) {
                damage.climb(device, leg, on, &mut bad);
            }
            if let Some(known) = damage.bad.get_mut(place) {
                *known = united(&mut bad);
            }
        }
        damage
    }

    /// What of the bad bytes under a leg is bad in the device, too.
    fn climb(&self, device: &Device, leg: Leg, on: usize, bad: &mut Ranges) {
        let Some(mapping) = device.layer.mapping() else { return };
        let array = ArrayLeg::new(device, leg);
        for (start, end) in self.bad.get(on).into_iter().flatten() {
            let Some(lower) = extent(*start, *end) else { continue };
            let mut up = |lower: Extent<DevOffset>| {
                let _ = mapping.rmap(leg, lower, &mut |part| {
                    bad.push((part.upper.start().get(), part.upper.end().get()));
                    ControlFlow::Continue(())
                });
            };
            match &array {
                None => up(lower),
                Some(array) => self.cut(array, lower, &mut |part, from| {
                    if from.is_none() {
                        up(part);
                    }
                }),
            }
        }
    }

    /// Cuts bytes of an array's leg where it changes from what they can be rebuilt.
    fn cut(
        &self,
        on: &ArrayLeg<'_>,
        lower: Extent<DevOffset>,
        sink: &mut dyn FnMut(Extent<DevOffset>, Option<Vec<usize>>),
    ) {
        let _ = on.array.backing(on.leg, lower, &mut |backing| {
            let unusable: Vec<Ranges> = backing
                .sources
                .iter()
                .map(|source| self.unusable(on, source.leg, source.start, backing.lower.len()))
                .collect();
            let edges = unusable.iter().flatten().flat_map(|(start, end)| [*start, *end]);
            let mut edges: Vec<u64> = edges.chain([0, backing.lower.len()]).collect();
            edges.sort_unstable();
            edges.dedup();
            for (start, end) in edges.iter().zip(edges.iter().skip(1)) {
                let base = backing.lower.start().get();
                let part = base.checked_add(*start).zip(base.checked_add(*end));
                let Some(part) = part.and_then(|(start, end)| extent(start, end)) else { continue };
                let usable = |ranges: &Ranges| !ranges.iter().any(|(s, e)| s < end && start < e);
                let good: Vec<Leg> = backing
                    .sources
                    .iter()
                    .zip(&unusable)
                    .filter(|(_, ranges)| usable(ranges))
                    .map(|(source, _)| source.leg)
                    .collect();
                let from = chosen(&backing, good);
                let places =
                    from.map(|legs| legs.into_iter().filter_map(|leg| on.device(leg)).collect());
                sink(part, places);
            }
            ControlFlow::Continue(())
        });
    }

    /// What of `len` bytes of a leg cannot be read, or is not up to date; counted from `start`.
    fn unusable(&self, on: &ArrayLeg<'_>, leg: Leg, start: DevOffset, len: u64) -> Ranges {
        let start = start.get();
        let end = start.saturating_add(len);
        let bad = on.device(leg).and_then(|place| self.bad.get(place));
        let bad = bad.map(Vec::as_slice).unwrap_or_default();
        let first = bad.partition_point(|(_, to)| *to <= start);
        let reached = bad.iter().skip(first).take_while(|(from, _)| *from < end).copied();
        let stale = on.array.out_of_sync(leg).map(|e| (e.start().get(), e.end().get()));
        let stale = stale.filter(|(from, to)| *from < end && start < *to);
        let relative = |(from, to): (u64, u64)| {
            (from.max(start).saturating_sub(start), to.min(end).saturating_sub(start))
        };
        reached.chain(stale).map(relative).collect()
    }

    /// Goes up the trail from `hop` on: what one array cannot rebuild, the next one perhaps can.
    fn protect(&self, finding: Finding, hop: usize, out: &mut Vec<Finding>) {
        for at in hop..finding.trail.len() {
            let Some(array) = self.array_at(&finding, at) else { continue };
            for part in self.split(&finding, at, &array) {
                if part.rebuilt.is_some() {
                    out.push(part);
                } else {
                    self.protect(part, at.saturating_add(1), out);
                }
            }
            return;
        }
        out.push(finding);
    }

    /// The array that the bytes of a hop belong to: the next hop's, or the one whose parity they
    /// are.
    fn array_at(&self, finding: &Finding, at: usize) -> Option<ArrayLeg<'t>> {
        let (below, lower) = finding.trail.get(at)?;
        let first = Extent::new(lower.first().start(), 1).ok()?;
        let devices = self.topology.devices();
        if let Some((above, upper)) = finding.trail.get(at.checked_add(1)?) {
            let device = devices.get(*above)?;
            let mapping = device.layer.mapping()?;
            let mut here = legs(device).filter(|(_, on)| on == below).map(|(leg, _)| leg);
            let leg = here.find(|leg| {
                let mut leads = false;
                let _ = mapping.rmap(*leg, first, &mut |part| {
                    leads |= part.upper.start() == upper.first().start();
                    ControlFlow::Continue(())
                });
                leads
            })?;
            return ArrayLeg::new(device, leg);
        }
        if !matches!(finding.content, Content::Plain(Verdict::MdParity)) {
            return None;
        }
        let all =
            devices.iter().flat_map(|device| legs(device).map(move |(leg, on)| (device, leg, on)));
        let mut here = all.filter(|(_, _, on)| on == below);
        here.find_map(|(device, leg, _)| {
            let array = ArrayLeg::new(device, leg)?;
            let mut parity = false;
            let _ = array.array.backing(array.leg, first, &mut |backing| {
                parity |= backing.parity;
                ControlFlow::Continue(())
            });
            parity.then_some(array)
        })
    }

    /// The parts of a finding that are rebuilt from the same devices, or not at all.
    fn split(&self, finding: &Finding, at: usize, array: &ArrayLeg<'_>) -> Vec<Finding> {
        let Some((_, lower)) = finding.trail.get(at) else { return vec![finding.clone()] };
        if lower.count() > 1 && self.is_uniform(lower, array) {
            let mut from = None;
            self.cut(array, lower.first(), &mut |_, places| from = places);
            let too_many = from.is_none();
            return vec![Finding { rebuilt: from, too_many, ..finding.clone() }];
        }
        let mut parts = Vec::new();
        for (index, element) in (0..).zip(lower.elements()) {
            self.cut(array, element, &mut |part, from| {
                let skip = part.start().get().saturating_sub(element.start().get());
                let whole = lower.count() == 1 && part == element;
                let part = if whole {
                    Some(finding.clone())
                } else {
                    finding.slice(index, skip, part.len())
                };
                let too_many = from.is_none();
                parts.extend(part.map(|part| Finding { rebuilt: from, too_many, ..part }));
            });
        }
        parts
    }

    /// Whether all elements of a run have the same to rebuild them from, and nothing of it is bad.
    fn is_uniform(&self, run: &Run<DevOffset>, on: &ArrayLeg<'_>) -> bool {
        let Some(area) = on.array.leg_extent(on.leg) else { return false };
        let chunk = on.array.chunk_bytes();
        let chunk_of =
            |at: DevOffset| at.get().saturating_sub(area.start().get()).checked_div(chunk);
        let one_chunk = |e: Extent<DevOffset>| chunk_of(e.start()) == chunk_of(e.last());
        let period = on.array.backing_period(on.leg);
        let repeats = period.and_then(|period| run.stride().checked_rem(period)) == Some(0);
        let same = one_chunk(run.span()) || (repeats && one_chunk(run.first()));
        same && (0..on.array.legs()).map(Leg::new).filter(|leg| *leg != on.leg).all(|leg| {
            let area = on.array.leg_extent(leg);
            area.is_none_or(|area| self.unusable(on, leg, area.start(), area.len()).is_empty())
        })
    }
}

/// The sources that are needed: of copies all, of a stripe no more than it takes, data before
/// parity.
fn chosen(backing: &Backing, mut good: Vec<Leg>) -> Option<Vec<Leg>> {
    if good.is_empty() || good.len() < backing.needed {
        return None;
    }
    if !backing.copies {
        good.truncate(backing.needed);
    }
    good.sort_unstable();
    Some(good)
}

/// Which devices an array reads, directly or through others.
fn wanted(devices: &[Device]) -> Vec<bool> {
    let mut wanted = vec![false; devices.len()];
    for (place, device) in devices.iter().enumerate().rev() {
        let is_wanted = wanted.get(place) == Some(&true);
        for (leg, on) in legs(device) {
            if is_wanted || ArrayLeg::new(device, leg).is_some() {
                wanted.get_mut(on).into_iter().for_each(|w| *w = true);
            }
        }
    }
    wanted
}

/// The bytes of a device that a query asks about, directly or through a view of it.
fn asked(device: &Device, place: usize, devices: &[Device], query: &Query) -> Ranges {
    let range = |e: Extent<DevOffset>| (e.start().get(), e.end().get());
    match query.target {
        Target::Device { place: at, extent } if at == place => vec![range(extent)],
        Target::Device { place: at, extent } => {
            let Some(Layer::View { of, at: window }) = devices.get(at).map(|d| &d.layer) else {
                return Vec::new();
            };
            let inside = devices.get(at).and_then(|view| extent.intersect(view.extent));
            let here = inside.filter(|_| *of == place);
            here.and_then(|e| e.rebase(DevOffset::new(0), window.start()))
                .map(range)
                .into_iter()
                .collect()
        }
        Target::Memory(bad) => {
            let Layer::Pmem { namespace, .. } = &device.layer else { return Vec::new() };
            let mut ranges = Vec::new();
            let _ =
                Mapping::<PhysAddr, DevOffset>::rmap(namespace, Leg::new(0), bad, &mut |part| {
                    ranges.push(range(part.upper));
                    ControlFlow::Continue(())
                });
            ranges
        }
    }
}

fn extent(start: u64, end: u64) -> Option<Extent<DevOffset>> {
    Extent::from_bounds(DevOffset::new(start), DevOffset::new(end)).ok()
}
