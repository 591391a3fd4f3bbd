use core::ops::ControlFlow;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use badrange_core::{
    Corruption, DevOffset, DeviceId, Extent, Fallback, Holder, Leg, Mapping, MfFlags, Outcome, Pfn,
    PhysAddr, ReportOffset, Run, Space,
};
use badrange_fs::{Record, ReverseMap};
use badrange_input::{Area, Device, Layer, Topology, gaps};
use badrange_stack::{
    DeviceSpec, Limits, RegisterError, Registration, Report, Stack, TopologyError,
};

use super::{
    Answer, Query, Target, Verdict, assemble, ground,
    holders::{AreaHolder, AreasHolder, ParityHolder},
    protect,
};

/// A described stack, ready to explain what a bad range hits.
///
/// # Concurrency
/// Queries may come from several threads; they are answered one after the other.
///
/// # Examples
/// See the [module](super).
#[derive(Debug)]
pub struct Explainer {
    topology: Topology,
    stack: Stack,
    /// The device of the engine for each device of the topology; none for views.
    ids: Vec<Option<DeviceId>>,
    collector: Arc<Collector>,
    _registrations: Vec<Registration>,
}

/// A topology that cannot be put on a stack.
///
/// # Examples
/// ```
/// fn shown(err: &badrange::explain::BuildError) -> String {
///     err.to_string()
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The devices do not fit on one another, or a limit is reached.
    #[error(transparent)]
    Topology(#[from] TopologyError),
    /// An area does not fit its device, or a limit is reached.
    #[error(transparent)]
    Register(#[from] RegisterError),
}

/// Something that a holder was told: bytes of the query, their way up, and what they are.
#[derive(Debug, Clone)]
pub(super) struct Finding {
    pub(super) origin: Run<ReportOffset>,
    /// Devices by their place in the topology, lowest first.
    pub(super) trail: Vec<(usize, Run<DevOffset>)>,
    pub(super) content: Content,
    /// The devices that an array has the bytes from once more; none where it has not.
    pub(super) rebuilt: Option<Vec<usize>>,
    /// Whether an array tried in vain.
    pub(super) too_many: bool,
}

impl Finding {
    /// `len` bytes of one element, `skip` bytes behind its beginning.
    pub(super) fn slice(&self, index: u64, skip: u64, len: u64) -> Option<Self> {
        fn of<S: Space>(run: &Run<S>, index: u64, skip: u64, len: u64) -> Option<Run<S>> {
            let start = run.element(index)?.start().checked_add(skip)?;
            Extent::new(start, len).ok().map(Run::from)
        }
        let trail =
            self.trail.iter().map(|(place, run)| Some((*place, of(run, index, skip, len)?)));
        let trail: Vec<_> = trail.collect::<Option<_>>()?;
        let content = match &self.content {
            Content::Plain(verdict) => Content::Plain(*verdict),
            Content::Filesystem { fs, at, records } => {
                let last = trail.last().map_or(*at, |(_, run)| run.first().start());
                Content::Filesystem { fs: *fs, at: last, records: records.clone() }
            }
        };
        let origin = of(&self.origin, index, skip, len)?;
        Some(Self {
            origin,
            trail,
            content,
            rebuilt: self.rebuilt.clone(),
            too_many: self.too_many,
        })
    }
}

#[derive(Debug, Clone)]
pub(super) enum Content {
    Plain(Verdict),
    /// Records of a filesystem, by its place in the topology; `at` is the first byte's place.
    Filesystem {
        fs: usize,
        at: DevOffset,
        records: Vec<Record>,
    },
}

/// Gathers what the holders of one query are told.
#[derive(Debug, Default)]
pub(super) struct Collector {
    /// Held for a whole query.
    busy: Mutex<()>,
    found: Mutex<Vec<Finding>>,
    places: Mutex<HashMap<DeviceId, usize>>,
}

impl Collector {
    pub(super) fn add<S: Space>(&self, what: &Corruption<'_, S>, part: Run<S>, content: Content) {
        let Some(piece) = what.piece().select(part) else { return };
        let places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let mut trail = Vec::new();
        what.trail(part, &mut |hop| {
            trail.extend(places.get(&hop.device).map(|place| (*place, hop.at)));
        });
        drop(places);
        let finding =
            Finding { origin: piece.origin(), trail, content, rebuilt: None, too_many: false };
        self.found.lock().unwrap_or_else(PoisonError::into_inner).push(finding);
    }
}

/// A filesystem with its map.
struct FsHolder {
    fs: usize,
    map: Arc<ReverseMap>,
    collector: Arc<Collector>,
}

/// How many records per element of a run make it cheaper to look each element up than to sweep
/// over the whole span of the run.
const SWEEP_FACTOR: u64 = 8;

impl Holder for FsHolder {
    fn corrupted_range(&self, what: &Corruption<'_>) -> Outcome {
        let run = what.range();
        let records = u64::try_from(self.map.len()).unwrap_or(u64::MAX);
        if run.count().saturating_mul(SWEEP_FACTOR) < records {
            run.elements().for_each(|element| self.explain(what, element.into(), element));
        } else {
            self.explain(what, run, run.span());
        }
        Outcome::Handled
    }
}

impl FsHolder {
    /// Explains what of `run` lies in `window`, segment by segment of the map.
    fn explain(&self, what: &Corruption<'_>, run: Run<DevOffset>, window: Extent<DevOffset>) {
        let _ = self.map.segments(window, &mut |segment| {
            for part in run.clip(segment.extent) {
                let content = Content::Filesystem {
                    fs: self.fs,
                    at: part.first().start(),
                    records: segment.owners.to_vec(),
                };
                self.collector.add(what, part, content);
            }
            ControlFlow::Continue(())
        });
    }
}

/// Whether an area holds something itself, rather than nothing.
const fn area_is_use(area: Area) -> bool {
    match area {
        Area::PartitionTable | Area::LvmMetadata | Area::MdMetadata | Area::ThinMetadata => true,
        Area::Unpartitioned | Area::LvmFree | Area::LvmTail | Area::MdUnused | Area::ThinFree => {
            false
        }
    }
}

/// Explaining touches no page.
struct NoPages;

impl Fallback for NoPages {
    fn memory_failure(&self, _: Pfn, _: MfFlags) {}
    fn memory_failure_run(&self, _: Run<Pfn>, _: MfFlags) {}
}

/// A query walks as many pieces as it takes: its length bounds it.
const LIMITS: Limits = Limits {
    pieces: u64::MAX,
    devices: 1 << 20,
    holders: 1 << 22,
    legs: 1 << 20,
    ..Limits::DEFAULT
};

impl Explainer {
    /// Puts a topology on a stack.
    ///
    /// # Errors
    /// A [`BuildError`] when devices do not fit on one another or a limit is reached.
    pub fn new(topology: Topology) -> Result<Self, BuildError> {
        let (stack, collector) = (Stack::with_limits(LIMITS), Arc::<Collector>::default());
        let mut builder = Builder { topology: &topology, stack, collector, ids: Vec::new() };
        let mut registrations = Vec::new();
        for place in 0..topology.devices().len() {
            builder.add_device(place, &mut registrations)?;
        }
        for place in 0..topology.devices().len() {
            builder.describe(place, &mut registrations)?;
        }
        let Builder { stack, collector, ids, .. } = builder;
        Ok(Self { topology, stack, ids, collector, _registrations: registrations })
    }

    /// The topology it explains.
    #[must_use]
    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// Explains each query.
    ///
    /// # Panics
    /// When a bug of this crate would make the answer incomplete.
    #[must_use]
    pub fn explain(&self, queries: &[Query]) -> Answer {
        let busy = self.collector.busy.lock().unwrap_or_else(PoisonError::into_inner);
        let mut findings: Vec<_> = queries.iter().map(|query| self.ask(query)).collect();
        drop(busy);
        protect::protect(&self.topology, queries, &mut findings);
        let found = queries.iter().zip(&findings);
        let found: Vec<_> = found.map(|(query, found)| self.assemble(query, found)).collect();
        let summary = ground::summary(&self.topology, queries, &found);
        Answer { queries: found, summary }
    }

    /// Lets the query's bytes fail, and gathers what the holders were told.
    fn ask(&self, query: &Query) -> Vec<Finding> {
        match query.target {
            Target::Memory(extent) => {
                complete(&self.stack.memory_failure_range(extent, MfFlags::NONE, &NoPages));
                let elsewhere = self.take();
                return elsewhere.into_iter().chain(self.ask_regions(extent)).collect();
            }
            Target::Device { place, extent } => {
                let (below, seen_from) = self.seen_from(place);
                let asked = extent.intersect(seen_from);
                let shifted = asked.and_then(|e| e.rebase(DevOffset::new(0), below.1.start()));
                if let (Some(bad), Some(id)) = (shifted, self.ids.get(below.0).copied().flatten()) {
                    complete(&self.stack.notify_failure(id, bad, MfFlags::NONE));
                }
            }
        }
        self.take()
    }

    /// What of a failure in physical memory lies in CXL regions: those are devices on others, so
    /// each is told its part.
    fn ask_regions(&self, extent: Extent<PhysAddr>) -> Vec<Finding> {
        let mut all = Vec::new();
        for (place, region) in self.topology.regions() {
            let part = extent.intersect(region.hpa());
            let bad = part.and_then(|part| Some((part, region.offset(part)?)));
            let (Some((part, bad)), Some(id)) = (bad, self.ids.get(place).copied().flatten())
            else {
                continue;
            };
            complete(&self.stack.notify_failure(id, bad, MfFlags::NONE));
            let by = part.start().checked_offset_from(extent.start()).unwrap_or_default();
            for finding in self.take() {
                let origin = finding.origin.rebase(ReportOffset::new(0), ReportOffset::new(by));
                all.extend(origin.map(|origin| Finding { origin, ..finding }));
            }
        }
        all
    }

    fn assemble(&self, query: &Query, found: &[Finding]) -> super::Explanation {
        match query.target {
            Target::Memory(extent) => assemble::memory(&self.topology, query, extent, found),
            Target::Device { place, extent } => {
                assemble::device(&self.topology, query, place, extent, found)
            }
        }
    }

    /// The device of the engine that shows a device, the part of it that does, and the bytes that
    /// the device has itself: different only for views.
    fn seen_from(&self, place: usize) -> ((usize, Extent<DevOffset>), Extent<DevOffset>) {
        let devices = self.topology.devices();
        let fallback = Extent::from_bounds(DevOffset::new(0), DevOffset::new(1));
        match devices.get(place) {
            Some(Device { layer: Layer::View { of, at }, extent, .. }) => ((*of, *at), *extent),
            Some(device) => ((place, device.extent), device.extent),
            // A query always names a device of this topology.
            None => fallback.map_or_else(|_| unreachable!(), |e| ((place, e), e)),
        }
    }

    fn take(&self) -> Vec<Finding> {
        core::mem::take(&mut self.collector.found.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A half answer would be a wrong one.
///
/// # Panics
/// When a holder of the explainer panicked, which is a bug here.
#[expect(
    clippy::panic,
    reason = "the engine caught a bug of ours: no answer is better than half of one"
)]
fn complete(report: &Report) {
    if report.counts().panicked > 0 || report.cut_short() {
        panic!("explaining failed half way: this is a bug in badrange");
    }
}

struct Builder<'t> {
    topology: &'t Topology,
    stack: Stack,
    collector: Arc<Collector>,
    ids: Vec<Option<DeviceId>>,
}

impl Builder<'_> {
    fn id(&self, place: usize) -> Option<DeviceId> {
        self.ids.get(place).copied().flatten()
    }

    fn add_device(
        &mut self,
        place: usize,
        registrations: &mut Vec<Registration>,
    ) -> Result<(), BuildError> {
        let Some(device) = self.topology.devices().get(place) else { return Ok(()) };
        let name = device.name.as_str();
        let spec = match &device.layer {
            Layer::Disk | Layer::Memdev | Layer::Opaque => {
                Some(DeviceSpec::base(name, device.extent))
            }
            Layer::Pmem { namespace, region: None, .. } => {
                if let Some(area) = namespace.metadata() {
                    let holder = self.area(Verdict::PmemMetadata);
                    registrations.push(self.stack.register_memory(area, holder)?);
                }
                Some(DeviceSpec::on_memory(name, Arc::new(*namespace)))
            }
            layer @ (Layer::Partition { .. }
            | Layer::Pmem { region: Some(_), .. }
            | Layer::Region { .. }
            | Layer::Mapped { .. }
            | Layer::Array { .. }
            | Layer::Thin { .. }
            | Layer::Loop { .. }) => {
                let below = layer.legs().iter().filter_map(|leg| self.id(*leg)).collect::<Vec<_>>();
                layer.mapping().map(|mapping| DeviceSpec::on(name, mapping, below))
            }
            // A view is on nobody's way up.
            Layer::View { .. } => None,
        };
        let id = spec.map(|spec| self.stack.add_device(spec)).transpose()?;
        if let Some(id) = id {
            let mut places = self.collector.places.lock().unwrap_or_else(PoisonError::into_inner);
            places.insert(id, place);
        }
        self.ids.push(id);
        Ok(())
    }

    fn area(&self, verdict: Verdict) -> Arc<AreaHolder> {
        Arc::new(AreaHolder { verdict, collector: Arc::clone(&self.collector) })
    }

    /// Registers whatever holds the bytes of a device that no device above uses.
    fn describe(
        &self,
        place: usize,
        registrations: &mut Vec<Registration>,
    ) -> Result<(), BuildError> {
        let (Some(device), Some(id)) = (self.topology.devices().get(place), self.id(place)) else {
            return Ok(());
        };
        if let Some((fs, map)) = self.filesystem(place) {
            let collector = Arc::clone(&self.collector);
            let holder = Arc::new(FsHolder { fs, map, collector });
            registrations.push(self.stack.register(id, device.extent, holder)?);
            return Ok(());
        }
        let used = self.used_above(place);
        let (mut areas, mut held) = (Vec::new(), used.clone());
        for (area, kind) in &device.areas {
            // Where a device above uses bytes of no use here, they are that device's alone. Tables
            // and metadata are lost whoever else uses the bytes.
            let over = if area_is_use(*kind) { Vec::new() } else { used.clone() };
            let verdict = Verdict::of_area(*kind);
            areas.extend(gaps(*area, over).into_iter().map(|part| (part, verdict)));
            held.push(*area);
        }
        for metadata in self.namespaces_in(place) {
            areas.push((metadata, Verdict::PmemMetadata));
            held.push(metadata);
        }
        let rest = gaps(device.extent, held).into_iter().map(|part| (part, Verdict::Device));
        areas.extend(rest);
        areas.sort_unstable_by_key(|(area, _)| area.start());
        let collector = Arc::clone(&self.collector);
        let holder = Arc::new(AreasHolder { areas, collector });
        registrations.push(self.stack.register(id, device.extent, holder)?);
        self.parity(place, id, registrations)
    }

    /// Registers whoever holds the parity that arrays above keep on a device.
    fn parity(
        &self,
        place: usize,
        id: DeviceId,
        registrations: &mut Vec<Registration>,
    ) -> Result<(), BuildError> {
        for above in self.topology.devices() {
            for (leg, _) in legs_on(&above.layer, place) {
                let Some((array, leg)) = above.layer.array_of(leg) else { continue };
                let (parity, collector) = (array.parity(leg), Arc::clone(&self.collector));
                if let Some(on) = array.leg_extent(leg).filter(|_| !parity.is_empty()) {
                    let holder = Arc::new(ParityHolder { parity, collector });
                    registrations.push(self.stack.register(id, on, holder)?);
                }
            }
        }
        Ok(())
    }

    /// The metadata of namespaces in a CXL region, in its bytes.
    fn namespaces_in(&self, place: usize) -> Vec<Extent<DevOffset>> {
        let Some(Device { layer: Layer::Region { region, .. }, .. }) =
            self.topology.devices().get(place)
        else {
            return Vec::new();
        };
        let metadata = |device: &Device| match &device.layer {
            Layer::Pmem { namespace, region: Some((on, _)), .. } if *on == place => {
                region.offset(namespace.metadata()?)
            }
            Layer::Disk
            | Layer::Memdev
            | Layer::Region { .. }
            | Layer::Pmem { .. }
            | Layer::Partition { .. }
            | Layer::Mapped { .. }
            | Layer::Array { .. }
            | Layer::Thin { .. }
            | Layer::Loop { .. }
            | Layer::Opaque
            | Layer::View { .. } => None,
        };
        self.topology.devices().iter().filter_map(metadata).collect()
    }

    fn filesystem(&self, place: usize) -> Option<(usize, Arc<ReverseMap>)> {
        let all = self.topology.filesystems().iter().enumerate();
        let mut on_it = all.filter(|(_, fs)| fs.device == place);
        on_it.next().map(|(number, fs)| (number, Arc::clone(&fs.map)))
    }

    /// What the devices above use of a device.
    fn used_above(&self, place: usize) -> Vec<Extent<DevOffset>> {
        let above = self.topology.devices().iter();
        above
            .flat_map(|d| legs_on(&d.layer, place).flat_map(|(leg, _)| d.layer.used(leg)))
            .collect()
    }
}

/// The legs of a layer that are on a device.
fn legs_on(layer: &Layer, place: usize) -> impl Iterator<Item = (Leg, usize)> + '_ {
    let legs = (0_u32..).map(Leg::new).zip(layer.legs().iter().copied());
    legs.filter(move |(_, on)| *on == place)
}
