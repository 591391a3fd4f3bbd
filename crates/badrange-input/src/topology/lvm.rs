//! Logical volumes as device-mapper tables, and what is left of their physical volumes.

use badrange_block::dm::{Linear, Striped, Table, TableError, Target};
use badrange_core::{DevOffset, Extent, SECTOR_SIZE, Sector};

use super::{
    Device, Layer,
    jobs::{Job, Wanted, thin_job},
    load::Loader,
};
use crate::{
    Area, LogicalVolume, LvSegment, PhysicalVolume, SegmentKind, StackError, Stripe, StripeTarget,
    VolumeGroup,
};

/// Makes the logical volumes of a group on its physical volumes `pvs`.
pub(super) fn make(
    loader: &mut Loader<'_>,
    job: &Job,
    group: &VolumeGroup,
    pvs: &[usize],
) -> Result<(), StackError> {
    let mut builder = Group { job, group, pvs, places: vec![None; group.lvs.len()] };
    for index in 0..group.lvs.len() {
        builder.volume(loader, index, 0)?;
    }
    for (pv, place) in group.pvs.iter().zip(pvs) {
        loader.claim(*place, &group.name, pv, job)?;
        let areas = builder.areas(loader, pv, *place)?;
        loader.describe(*place, areas);
    }
    Ok(())
}

struct Group<'g> {
    job: &'g Job,
    group: &'g VolumeGroup,
    pvs: &'g [usize],
    /// The devices made so far, by volume.
    places: Vec<Option<usize>>,
}

/// How many volumes may lie on one another; LVM's own lie 4 deep.
const MAX_STACKED: usize = 64;

/// Why a volume cannot be made when it lies on one that a table makes.
const DESCRIBED: &str = "it lies on a volume that a table describes";

/// What `p0`, `p1` and so on stand for in the target of a segment.
fn part<'p, T>(parts: &'p [T], named: &str) -> Option<&'p T> {
    parts.get(named.strip_prefix('p')?.parse::<usize>().ok()?)
}

/// What is known of a volume, or why it is not known.
type Known<T> = Result<T, String>;

/// How a volume is laid out: its table and the device under each leg.
type Layout = Known<(Table, Vec<usize>)>;

impl<'g> Group<'g> {
    /// The device of a volume, made if it is not there yet.
    fn volume(
        &mut self,
        loader: &mut Loader<'_>,
        index: usize,
        depth: usize,
    ) -> Result<Option<usize>, StackError> {
        if let Some(Some(place)) = self.places.get(index) {
            return Ok(Some(*place));
        }
        let group: &'g VolumeGroup = self.group;
        let Some(lv) = group.lvs.get(index) else { return Ok(None) };
        // What a table of device-mapper describes as well is taken from there: it is what runs.
        let described = |name: &&String| loader.from_tables.contains(*name);
        if let Some(name) =
            [lv.thin_pool(), Some(lv.dm_name.clone())].iter().flatten().find(described)
        {
            return Ok(loader.find(name));
        }
        let file = self.file();
        let err = |message: String| StackError::new(&*file, Some(lv.line), message);
        if depth > self.group.lvs.len() {
            return Err(err(format!("{} lies on itself", lv.name)));
        }
        if depth > MAX_STACKED {
            return Err(err(format!("{} has more than {MAX_STACKED} volumes above it", lv.name)));
        }
        let place = match self.make(loader, lv, depth)? {
            Ok(place) => place,
            Err(why) => {
                let message = format!(
                    "{} is not translated, what it uses below stays unexplained: {why}",
                    lv.dm_name
                );
                loader.topology.notes.push(err(message));
                loader.add_from(self.opaque(lv).map_err(err)?, err(String::new()))?
            }
        };
        self.places.get_mut(index).into_iter().for_each(|p| *p = Some(place));
        Ok(Some(place))
    }

    fn file(&self) -> String {
        self.job.error("").file().to_owned()
    }

    fn make(
        &mut self,
        loader: &mut Loader<'_>,
        lv: &LogicalVolume,
        depth: usize,
    ) -> Result<Known<usize>, StackError> {
        if let [LvSegment { kind: SegmentKind::Target { target, parts }, extent_count, .. }] =
            lv.segments.as_slice()
        {
            if target.starts_with("thin") {
                let line = self.line(*extent_count, target);
                return self.thin(loader, lv, &line, parts, depth);
            }
        }
        match self.layout(loader, lv, depth)? {
            Ok((table, legs)) => {
                let device = self.job.mapped(loader, lv.dm_name.clone(), table, &legs)?;
                let at = StackError::new(self.file(), Some(lv.line), "");
                loader.add_from(device, at).map(Ok)
            }
            Err(why) => Ok(Err(why)),
        }
    }

    /// A thin pool, or a volume of one, from the line that LVM loads for it.
    fn thin(
        &mut self,
        loader: &mut Loader<'_>,
        lv: &LogicalVolume,
        line: &str,
        parts: &[StripeTarget],
        depth: usize,
    ) -> Result<Known<usize>, StackError> {
        let (pool, mut below) = (lv.thin_pool(), Vec::new());
        for on in parts {
            let Some(on) = self.below(loader, *on, depth)? else {
                return Ok(Err(DESCRIBED.to_owned()));
            };
            let name = loader.device(on).map_or_else(String::new, |device| device.name.clone());
            // The first part of a volume is its pool.
            if pool.is_none() && below.is_empty() && !loader.pools.has(on) {
                return Ok(Err(format!("{name} is not known as a thin pool")));
            }
            below.push(name);
        }
        let name = pool.unwrap_or_else(|| lv.dm_name.clone());
        let leg = |named: &str| {
            let device = part(&below, named).cloned().unwrap_or_default();
            Ok(Wanted { shown: device.clone(), device })
        };
        let Some((job, metadata)) = thin_job(self.job.at(lv.line), line, &name, leg)? else {
            return Ok(Err(format!("{line:?} is not understood")));
        };
        let metadata = metadata.and_then(|named| part(&below, &named).cloned());
        loader.metadata.extend(metadata.map(|name| (name, Area::ThinMetadata)));
        job.run(loader)?;
        Ok(loader.find(&name).ok_or_else(|| DESCRIBED.to_owned()))
    }

    /// A segment's own target as a line of a table.
    fn line(&self, extents: u64, target: &str) -> String {
        let sectors = extents.checked_mul(self.group.extent_bytes / SECTOR_SIZE);
        format!("0 {} {target}", sectors.unwrap_or(u64::MAX))
    }

    fn layout(
        &mut self,
        loader: &mut Loader<'_>,
        lv: &LogicalVolume,
        depth: usize,
    ) -> Result<Layout, StackError> {
        let (mut targets, mut legs) = (Vec::new(), Vec::new());
        for segment in &lv.segments {
            let (chunk, stripes) = match &segment.kind {
                SegmentKind::Striped { chunk_bytes, stripes } => (*chunk_bytes, stripes),
                SegmentKind::Target { target, parts } => {
                    let made = self.array(loader, segment.extent_count, target, parts, depth)?;
                    match made {
                        Ok((table, on)) => {
                            targets.extend(table.targets().map(|(_, target)| target.clone()));
                            legs.extend(on);
                        }
                        Err(why) => return Ok(Err(why)),
                    }
                    continue;
                }
                SegmentKind::Unsupported { type_name, .. } => {
                    return Ok(Err(format!("segment type {type_name:?} is not supported")));
                }
            };
            for stripe in stripes {
                let Some(on) = self.below(loader, stripe.target, depth)? else {
                    return Ok(Err(DESCRIBED.to_owned()));
                };
                legs.push(on);
            }
            let target = self.target(segment.extent_count, chunk, stripes);
            let target = target.map_err(|why| {
                let file = self.file();
                StackError::new(file, Some(segment.line), format!("{}: {why}", lv.name))
            })?;
            targets.push(target);
        }
        let table = Table::new(targets).map_err(|err| {
            StackError::new(self.file(), Some(lv.line), format!("{}: {err}", lv.name))
        })?;
        Ok(Ok((table, legs)))
    }

    /// The device of a physical or logical volume; `None` for one that a table describes, which is
    /// not there yet.
    fn below(
        &mut self,
        loader: &mut Loader<'_>,
        on: StripeTarget,
        depth: usize,
    ) -> Result<Option<usize>, StackError> {
        match on {
            StripeTarget::Pv(pv) => Ok(self.pvs.get(pv).copied()),
            StripeTarget::Lv(below) => self.volume(loader, below, depth.saturating_add(1)),
        }
    }

    /// An array as the table that LVM loads for it, with the devices under its legs.
    fn array(
        &mut self,
        loader: &mut Loader<'_>,
        extents: u64,
        target: &str,
        parts: &[StripeTarget],
        depth: usize,
    ) -> Result<Layout, StackError> {
        let table = match Table::parse(&self.line(extents, target)) {
            Ok(table) => table,
            Err(err) => return Ok(Err(err.to_string())),
        };
        let mut legs = Vec::new();
        for on in table.legs_info().filter_map(|leg| part(parts, leg.device)) {
            let Some(on) = self.below(loader, *on, depth)? else {
                return Ok(Err(DESCRIBED.to_owned()));
            };
            legs.push(on);
        }
        loader.array_metadata(&table, |named| match part(parts, named)? {
            StripeTarget::Lv(lv) => Some(self.group.lvs.get(*lv)?.dm_name.clone()),
            StripeTarget::Pv(_) => None,
        });
        Ok(Ok((table, legs)))
    }

    /// A segment as a target; the legs are named by number, the devices are kept beside.
    fn target(
        &self,
        extents: u64,
        chunk_bytes: Option<u64>,
        stripes: &[Stripe],
    ) -> Result<Target, String> {
        let text = |err: TableError| err.to_string();
        let sectors = extents
            .checked_mul(self.group.extent_bytes)
            .map(|bytes| bytes / SECTOR_SIZE)
            .ok_or("the segment does not fit in 64 bits")?;
        let mut legs = Vec::new();
        for (name, stripe) in stripes.iter().enumerate() {
            let first = self.first_sector(stripe).ok_or("a stripe does not fit in 64 bits")?;
            legs.push((name.to_string(), first));
        }
        if let [(name, first)] = legs.as_slice() {
            let on = Extent::new(*first, sectors).map_err(|err| err.to_string())?;
            return Linear::new(name, on).map(Target::from).map_err(text);
        }
        let chunk =
            chunk_bytes.map(|bytes| bytes / SECTOR_SIZE).and_then(|c| u32::try_from(c).ok());
        let chunk = chunk.ok_or("a striped segment needs a stripe size")?;
        let legs: Vec<_> = legs.iter().map(|(name, first)| (name.as_str(), *first)).collect();
        Striped::new(sectors, chunk, &legs).map(Target::from).map_err(text)
    }

    fn first_sector(&self, stripe: &Stripe) -> Option<Sector> {
        let within = stripe.first_extent.checked_mul(self.group.extent_bytes)?;
        let start = match stripe.target {
            StripeTarget::Pv(pv) => self.group.pvs.get(pv)?.pe_start,
            StripeTarget::Lv(_) => 0,
        };
        Some(Sector::new(start.checked_add(within)? / SECTOR_SIZE))
    }

    fn opaque(&self, lv: &LogicalVolume) -> Result<Device, String> {
        let extents = lv.segments.iter().try_fold(0_u64, |n, s| n.checked_add(s.extent_count));
        let bytes = extents.and_then(|n| n.checked_mul(self.group.extent_bytes));
        let extent = Extent::new(DevOffset::new(0), bytes.ok_or("the volume is too large")?);
        Ok(Device {
            name: lv.dm_name.clone(),
            extent: extent.map_err(|err| err.to_string())?,
            logical_block: SECTOR_SIZE,
            layer: Layer::Opaque,
            areas: Vec::new(),
        })
    }

    /// The parts of a physical volume that hold no volume.
    fn areas(
        &self,
        loader: &Loader<'_>,
        pv: &PhysicalVolume,
        place: usize,
    ) -> Result<Vec<(Extent, Area)>, StackError> {
        let name = pv.names.first().map_or("", String::as_str);
        let err = |message: String| StackError::new(self.file(), Some(pv.line), message);
        let Some(device) = loader.device(place) else { return Ok(Vec::new()) };
        let at = |start: u64| Some(DevOffset::new(start)).filter(|p| *p <= device.extent.end());
        let data_end = pv
            .pe_count
            .checked_mul(self.group.extent_bytes)
            .and_then(|bytes| at(pv.pe_start.checked_add(bytes)?));
        let (Some(data_start), Some(data_end)) = (at(pv.pe_start), data_end) else {
            let end = device.extent.end().get();
            return Err(err(format!(
                "physical volume {name} is larger than its device {}, which has {end} bytes",
                device.name
            )));
        };
        let (metadata, rest) = device.extent.split_at(data_start);
        let (data, tail) = rest.map_or((None, None), |rest| rest.split_at(data_end));
        let mut areas: Vec<_> = metadata.into_iter().map(|e| (e, Area::LvmMetadata)).collect();
        if self.all_known(loader, pv) {
            let used = self.used(place);
            let free = data.into_iter().flat_map(|data| data.minus(used.iter().copied()));
            areas.extend(free.map(|e| (e, Area::LvmFree)));
        }
        areas.extend(tail.map(|e| (e, Area::LvmTail)));
        Ok(areas)
    }

    /// Whether every extent of the volume is accounted for: no segment of a type that is not
    /// understood uses it directly.
    fn all_known(&self, loader: &Loader<'_>, pv: &PhysicalVolume) -> bool {
        let index = self.group.pvs.iter().position(|p| core::ptr::eq(p, pv));
        let described = |lv: &&LogicalVolume| loader.from_tables.contains(&lv.dm_name);
        let lvs = self.group.lvs.iter().filter(|lv| !described(lv));
        let segments = lvs.flat_map(|lv| &lv.segments);
        let opaque = segments.filter_map(|s| match &s.kind {
            SegmentKind::Unsupported { on, .. } => Some(on),
            SegmentKind::Striped { .. } | SegmentKind::Target { .. } => None,
        });
        opaque.into_iter().all(|on| index.is_none_or(|index| !on.contains(&index)))
    }

    /// What the segments of the group use of a physical volume.
    fn used(&self, place: usize) -> Vec<Extent> {
        let mut used = Vec::new();
        for segment in self.group.lvs.iter().flat_map(|lv| &lv.segments) {
            let SegmentKind::Striped { stripes, .. } = &segment.kind else { continue };
            let count = u64::try_from(stripes.len()).unwrap_or(u64::MAX);
            let each = segment.extent_count.checked_div(count).unwrap_or(0);
            let here = |s: &&Stripe| match s.target {
                StripeTarget::Pv(pv) => self.pvs.get(pv) == Some(&place),
                StripeTarget::Lv(_) => false,
            };
            for stripe in stripes.iter().filter(here) {
                let bytes = each.checked_mul(self.group.extent_bytes);
                let first = self.first_sector(stripe).and_then(Sector::offset);
                used.extend(first.zip(bytes).and_then(|(at, len)| Extent::new(at, len).ok()));
            }
        }
        used
    }
}
