use core::ops::ControlFlow;
use std::{collections::HashMap, sync::Arc};

use badrange_core::{
    DevOffset, DeviceId, Extent, Hop, Leg, Link, Mapping, PhysAddr, Piecewise, Rest, Run, Space,
};
use badrange_input::{Device, Layer, Topology};
use badrange_stack::{At, DeviceSpec, Limits, Snapshot, Stack, TopologyError, Unfollowed, Visit};

use crate::{
    Answer, Explanation, Query, QueryTarget, Verdict, assemble,
    contents::{Content, Contents},
    ground,
};

/// A described stack, ready to explain what a bad range hits.
///
/// # Concurrency
/// Immutable: queries may come from several threads.
///
/// # Examples
/// See the [crate](crate).
#[derive(Debug)]
pub struct Explainer {
    topology: Topology,
    snapshot: Snapshot,
    /// The device of the engine for each device of the topology; none for views.
    ids: Vec<Option<DeviceId>>,
    /// The other way round; nothing for memory, which is on no trail.
    places: HashMap<DeviceId, usize>,
    memory: DeviceId,
    /// What stands on each device of the topology, and at the end on memory.
    contents: Vec<Contents>,
    /// Whether anything here has redundancy.
    redundant: bool,
}

/// A topology that cannot be put on a stack.
///
/// # Examples
/// ```
/// fn shown(err: &badrange_explain::BuildError) -> String {
///     err.to_string()
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The devices do not fit on one another, or a limit is reached.
    #[error(transparent)]
    Topology(#[from] TopologyError),
}

/// Bytes of a query, their way up, and what they are.
#[derive(Debug, Clone)]
pub(crate) struct Finding {
    /// Counted from the first byte of the query.
    pub(crate) origin: Run,
    /// The way, from the device that the engine was asked about on.
    pub(crate) way: Vec<Hop>,
    pub(crate) content: Content,
    /// The devices that the bytes can be rebuilt from; none where nothing can.
    pub(crate) rebuilt: Option<Vec<DeviceId>>,
    /// Whether a device with redundancy tried in vain.
    pub(crate) too_many: bool,
}

impl Finding {
    /// The same for a part of its bytes, on the first device of its way.
    fn part(&self, part: Run) -> Option<Self> {
        let first = self.way.first()?.at;
        let moved = |to: Run| Some(Link::new(first, to).ok()?.of_lower(part)?.upper());
        let hop = |hop: &Hop| Some(Hop { device: hop.device, at: moved(hop.at)? });
        let way: Vec<Hop> = self.way.iter().map(hop).collect::<Option<_>>()?;
        let content = match (&self.content, way.last()) {
            (Content::Filesystem { fs, records, .. }, Some(last)) => {
                let at = last.at.first().start();
                Content::Filesystem { fs: *fs, at, records: records.clone() }
            }
            (content, _) => content.clone(),
        };
        Some(Self { origin: moved(self.origin)?, way, content, ..self.clone() })
    }
}

/// Bytes of a query as the engine is asked about them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) device: DeviceId,
    pub(crate) bytes: Extent,
    /// The first of the bytes, counted from the first byte of the query.
    pub(crate) offset: u64,
}

/// A query walks as many pieces as it takes: its length bounds it. Routes to one byte are bounded.
const LIMITS: Limits = Limits {
    pieces: u64::MAX,
    devices: 1 << 20,
    holders: 1 << 22,
    legs: 1 << 20,
    depth: 256,
    ..Limits::DEFAULT
};

impl Explainer {
    /// Puts a topology on a stack.
    ///
    /// # Errors
    /// A [`BuildError`] when devices do not fit on one another or a limit is reached.
    pub fn new(topology: Topology) -> Result<Self, BuildError> {
        let stack = Stack::with_limits(LIMITS);
        let memory = stack.add_device(DeviceSpec::base(MEMORY, all_memory(&topology)))?;
        let mut builder = Builder { topology: &topology, stack, memory, ids: Vec::new() };
        for device in topology.devices() {
            builder.add_device(device)?;
        }
        builder.link_memory()?;
        let Builder { stack, ids, .. } = builder;
        let contents = Contents::of(&topology);
        let numbered = ids.iter().enumerate();
        let places = numbered.filter_map(|(place, id)| Some(((*id)?, place))).collect();
        let redundant = topology.devices().iter().any(is_redundant);
        let snapshot = stack.snapshot();
        Ok(Self { topology, snapshot, ids, places, memory, contents, redundant })
    }

    /// The topology it explains.
    #[must_use]
    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// Explains each query.
    #[must_use]
    pub fn explain(&self, queries: &[Query]) -> Answer {
        let mut notes = Vec::new();
        let mut findings: Vec<Vec<Finding>> =
            queries.iter().map(|query| self.ask(query, &mut notes)).collect();
        if self.redundant {
            self.rebuild(queries, &mut findings);
        }
        let found = queries.iter().zip(&findings);
        let found: Vec<_> = found.map(|(query, found)| self.assemble(query, found)).collect();
        let summary = ground::summary(self, queries, &found);
        notes.dedup();
        Answer { queries: found, summary, notes }
    }

    /// The bytes that queries name on each device that they reach, the devices they are of included:
    /// by place in the topology, ascending, each once.
    ///
    /// # Examples
    /// ```
    /// use badrange_explain::Explainer;
    /// use badrange_input::{MemoryFiles, Topology};
    /// let text = "schema = \"badrange.stack/1\"\n[[disk]]\nname = \"sda\"\nsectors = 64\n\
    ///     [[partition]]\nname = \"sda1\"\non = \"sda\"\nstart = 8\nsectors = 32\n";
    /// let stack = Explainer::new(Topology::load("stack.toml", text, &MemoryFiles::new())?)?;
    /// let reached = stack.reached(&stack.locate("sda:10+1")?);
    /// let shown: Vec<_> = reached.iter().map(|(place, e)| (*place, e.start().get())).collect();
    /// assert_eq!(shown, [(0, 10 * 512), (1, 2 * 512)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn reached(&self, queries: &[Query]) -> Vec<(usize, Extent)> {
        let mut all = Vec::new();
        for query in queries {
            if let Some((view, bytes)) = self.of_view(query) {
                all.push((view, bytes));
                continue; // on nobody's way up
            }
            for asked in self.asked(query) {
                let bytes = asked.bytes.into();
                let walked = self.snapshot.up(asked.device, bytes, &mut |visit| {
                    if let (At::Arrived, Some(place)) = (visit.at(), self.place(visit.device())) {
                        all.extend(visit.here().elements().map(|bytes| (place, bytes)));
                    }
                    ControlFlow::Continue(())
                });
                debug_assert!(walked.is_ok(), "the explainer asks about devices of its own stack");
            }
        }
        all.sort_unstable();
        all.dedup();
        all
    }

    /// The bytes of a view that a query names.
    fn of_view(&self, query: &Query) -> Option<(usize, Extent)> {
        let QueryTarget::Device { place, extent } = query.target else { return None };
        let device = self.topology.devices().get(place)?;
        let view = matches!(device.layer, Layer::View { .. });
        view.then(|| device.extent.intersect(extent).map(|bytes| (place, bytes)))?
    }

    pub(crate) fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    pub(crate) fn memory(&self) -> DeviceId {
        self.memory
    }

    /// The device of the topology; none for memory.
    pub(crate) fn place(&self, device: DeviceId) -> Option<usize> {
        self.places.get(&device).copied()
    }

    /// The device of the engine that shows a device, and which of its bytes are byte 0 and what
    /// follows: different from the device itself only for views.
    pub(crate) fn seen_from(&self, place: usize) -> Option<(DeviceId, DevOffset)> {
        let layer = &self.topology.devices().get(place)?.layer;
        let (on, start) = if let Layer::View { of, at } = layer {
            (*of, at.start())
        } else {
            (place, DevOffset::new(0))
        };
        Some((self.ids.get(on).copied().flatten()?, start))
    }

    /// The bytes of a query as the engine is asked about them.
    pub(crate) fn asked(&self, query: &Query) -> Vec<Asked> {
        match query.target {
            QueryTarget::Memory(extent) => self.asked_memory(extent),
            QueryTarget::Device { place, extent } => {
                let device = self.topology.devices().get(place);
                let inside = device.and_then(|device| extent.intersect(device.extent));
                let asked = inside.zip(self.seen_from(place)).and_then(|(inside, (id, start))| {
                    let bytes = inside.rebase(DevOffset::new(0), start)?;
                    let offset = inside.start().checked_offset_from(extent.start())?;
                    Some(Asked { device: id, bytes, offset })
                });
                asked.into_iter().collect()
            }
        }
    }

    /// Bytes of physical memory: those of a CXL region are asked of the region, so that the way up
    /// begins there.
    fn asked_memory(&self, extent: Extent<PhysAddr>) -> Vec<Asked> {
        let asked = extent.on_memory();
        let mut all = Vec::new();
        let legs = self.snapshot.below(self.memory);
        let Some((mapping, regions)) = legs else {
            return vec![Asked { device: self.memory, bytes: asked, offset: 0 }];
        };
        let _ = mapping.map(asked, &mut |part| {
            let upper = part.upper();
            let on = match part {
                badrange_core::Mapped::To { leg, link } => {
                    let region = usize::try_from(leg.index()).ok().and_then(|at| regions.get(at));
                    region.map(|region| (*region, link.lower().span()))
                }
                badrange_core::Mapped::Own(upper) => Some((self.memory, upper)),
                badrange_core::Mapped::Hole(..) => None, // past the end
            };
            let offset = upper.start().checked_offset_from(asked.start());
            all.extend(on.zip(offset).map(|((device, bytes), offset)| Asked {
                device,
                bytes,
                offset,
            }));
            ControlFlow::Continue(())
        });
        all
    }

    /// Asks the snapshot who is above the query's bytes, and gathers what stands there.
    fn ask(&self, query: &Query, notes: &mut Vec<String>) -> Vec<Finding> {
        let mut found = Vec::new();
        for asked in self.asked(query) {
            let walked = self.snapshot.up(asked.device, asked.bytes.into(), &mut |visit| {
                self.visit(query, &asked, visit, &mut found, notes);
                ControlFlow::Continue(())
            });
            debug_assert!(walked.is_ok(), "the explainer asks about devices of its own stack");
        }
        found
    }

    /// What stands on the bytes that the walk is at.
    fn visit(
        &self,
        query: &Query,
        asked: &Asked,
        visit: &Visit<'_>,
        found: &mut Vec<Finding>,
        notes: &mut Vec<String>,
    ) {
        let mut add = |part: Run, content: Content| {
            let mut way = Vec::new();
            visit.trail(part, &mut |hop| way.push(hop));
            let origin = way.first().and_then(|first: &Hop| {
                first.at.rebase(asked.bytes.start(), DevOffset::new(asked.offset))
            });
            debug_assert!(origin.is_some(), "a part of a visit is a part of the question");
            let finding = |origin| Finding { origin, way, content, rebuilt: None, too_many: false };
            found.extend(origin.map(finding));
        };
        // Nobody registers here, and a walk up has no bottom.
        if matches!(visit.at(), At::Arrived) {
            let contents = self.contents_of(visit.device());
            contents.into_iter().for_each(|contents| contents.each(visit.here(), &mut add));
        } else if let At::Unfollowed(why) = visit.at() {
            notes.push(unfollowed(query, visit, why));
            add(visit.here(), Content::Plain(Verdict::Device));
        }
    }

    fn contents_of(&self, device: DeviceId) -> Option<&Contents> {
        let at =
            if device == self.memory { self.topology.devices().len() } else { self.place(device)? };
        self.contents.get(at)
    }

    /// Marks what can be rebuilt, and from which devices; cuts findings where that changes. All
    /// queries of one call count together: two members of a stripe that are both asked about are
    /// two failures.
    fn rebuild(&self, queries: &[Query], found: &mut [Vec<Finding>]) {
        let asked = queries.iter().flat_map(|query| self.asked(query));
        let failed = asked.map(|asked| (asked.device, Run::from(asked.bytes)));
        let Ok(damage) = self.snapshot.damage(failed) else {
            debug_assert!(false, "the explainer asks about devices of its own stack");
            return;
        };
        for findings in found {
            let mut all = Vec::new();
            for finding in core::mem::take(findings) {
                let walked = self.snapshot.redundancy(&finding.way, &damage, &mut |rebuilt| {
                    let from = rebuilt.from.map(<[DeviceId]>::to_vec);
                    let too_many = rebuilt.tried && from.is_none();
                    let part = finding.part(rebuilt.part);
                    debug_assert!(part.is_some(), "a part of a way is a part of the finding");
                    all.extend(part.map(|part| Finding { rebuilt: from, too_many, ..part }));
                });
                debug_assert!(walked.is_ok(), "the way is one of the same snapshot");
            }
            *findings = all;
        }
    }

    fn assemble(&self, query: &Query, found: &[Finding]) -> Explanation {
        match query.target {
            QueryTarget::Memory(extent) => assemble::memory(self, query, extent, found),
            QueryTarget::Device { place, extent } => {
                assemble::device(self, query, place, extent, found)
            }
        }
    }
}

/// What people are told where an answer is not complete.
fn unfollowed(query: &Query, visit: &Visit<'_>, why: Unfollowed) -> String {
    format!("{}: who is above bytes of {} is not known: {why}", query.at, visit.name())
}

/// What the engine calls memory: no device of a topology has a name with a blank.
const MEMORY: &str = "physical memory";

/// The bytes of memory; all that 64 bits can say where its size is not known.
fn all_memory(topology: &Topology) -> Extent {
    let size = topology.memory().size.and_then(core::num::NonZeroU64::new);
    Extent::from_zero(size.unwrap_or(core::num::NonZeroU64::MAX))
}

fn is_redundant(device: &Device) -> bool {
    let legs = (0_u32..).map(Leg::new).zip(device.layer.legs());
    let mut arrays = legs.filter_map(|(leg, _)| device.layer.array_of(leg));
    arrays.any(|(array, _)| array.is_redundant())
}

struct Builder<'t> {
    topology: &'t Topology,
    stack: Stack,
    memory: DeviceId,
    ids: Vec<Option<DeviceId>>,
}

impl Builder<'_> {
    fn add_device(&mut self, device: &Device) -> Result<(), BuildError> {
        let name = device.name.as_str();
        let spec = match &device.layer {
            Layer::Disk | Layer::Memdev | Layer::Opaque => {
                Some(DeviceSpec::base(name, device.extent))
            }
            Layer::Pmem { namespace, .. } => {
                Some(DeviceSpec::on(name, Arc::new(*namespace), [self.memory]))
            }
            // A view is on nobody's way up.
            Layer::View { .. } => None,
            layer @ (Layer::Partition { .. }
            | Layer::Region { .. }
            | Layer::Mapped { .. }
            | Layer::Array { .. }
            | Layer::Thin { .. }
            | Layer::Loop { .. }) => layer.mapping().map(|mapping| {
                let below = layer.legs().iter().filter_map(|leg| self.ids.get(*leg).copied());
                DeviceSpec::on(name, mapping, below.flatten().collect::<Vec<_>>())
            }),
        };
        let id = spec.map(|spec| self.stack.add_device(spec)).transpose()?;
        self.ids.push(id);
        Ok(())
    }

    /// Puts memory on the CXL regions that it consists of; the rest of it is its own.
    fn link_memory(&self) -> Result<(), BuildError> {
        let regions = self.topology.regions().filter_map(|(place, region)| {
            let id = self.ids.get(place).copied().flatten()?;
            Some((id, Link::at(region.extent(), region.hpa().start().on_memory())?))
        });
        let (legs, links): (Vec<DeviceId>, Vec<Link>) = regions.unzip();
        if legs.is_empty() {
            return Ok(());
        }
        let links = (0_u32..).map(Leg::new).zip(links);
        // Regions are apart in memory, which the topology has checked.
        if let Ok(memory) = Piecewise::new(all_memory(self.topology), Rest::Own, links) {
            self.stack.reload(self.memory, Arc::new(memory), legs)?;
        } else {
            debug_assert!(false, "regions are apart and in memory");
        }
        Ok(())
    }
}
