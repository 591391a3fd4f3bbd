//! Thin pools and their volumes.

use std::{collections::BTreeMap, sync::Arc};

use badrange_block::{dm, thin::Volume};
use badrange_core::{DevOffset, Extent, Mapping, SECTOR_SIZE};

use super::{Device, Layer, jobs::Job, load::Loader};
use crate::{
    Area, Format, StackError, ThinDump, lvm::POOL_SUFFIX, parse_thin_dump, stackfile::StackFile,
};

/// A pool as it is known so far.
#[derive(Debug)]
pub(super) struct Pool {
    /// The device with the data blocks.
    data: usize,
    bytes: u64,
    block_bytes: u64,
    /// The volumes that were made.
    made: Vec<u64>,
}

/// The mappings of one pool.
#[derive(Debug)]
pub(super) struct Mappings {
    file: String,
    dump: ThinDump,
    pool: crate::stackfile::Text,
    used: bool,
}

/// Pools by device, and their mappings by name.
#[derive(Debug, Default)]
pub(super) struct Pools {
    pools: BTreeMap<usize, Pool>,
    mappings: Vec<Mappings>,
}

/// Reads the mappings of every `[[thin]]`.
pub(super) fn mappings(loader: &Loader<'_>, file: &StackFile) -> Result<Pools, StackError> {
    let mut all: Vec<Mappings> = Vec::new();
    for entry in &file.thin {
        let dump = loader
            .parse(&entry.metadata, &[Format::ThinDump], |_, input| parse_thin_dump(input))?;
        if all.iter().any(|other| other.pool.get_ref() == entry.pool.get_ref()) {
            let message = format!("pool {:?} is given twice", entry.pool.get_ref());
            return Err(loader.toml.error(&entry.pool, message));
        }
        let file = entry.metadata.get_ref().clone();
        all.push(Mappings { file, dump, pool: entry.pool.clone(), used: false });
    }
    Ok(Pools { pools: BTreeMap::new(), mappings: all })
}

impl Mappings {
    fn are_of(&self, pool: &str) -> bool {
        let named = self.pool.get_ref().as_str();
        named == pool || pool.strip_suffix(POOL_SUFFIX) == Some(named)
    }
}

impl Pools {
    /// Whether a device was made as a pool.
    pub(super) fn has(&self, place: usize) -> bool {
        self.pools.contains_key(&place)
    }

    fn mappings(&self, pool: &str) -> Option<&Mappings> {
        self.mappings.iter().find(|m| m.are_of(pool))
    }
}

/// Makes the device of a pool: a view of its data device.
pub(super) fn make_pool(
    loader: &mut Loader<'_>,
    job: &Job,
    pool: &dm::ThinPool,
    data: usize,
) -> Result<(), StackError> {
    let name = job.makes().next().unwrap_or_default().to_owned();
    let extent =
        Extent::new(DevOffset::new(0), pool.bytes).map_err(|e| job.error(e.to_string()))?;
    job.fits(loader, data, extent)?;
    if let Some(Mappings { file, dump, .. }) = loader.pools.mappings(&name) {
        if dump.block_bytes != pool.block_bytes {
            let message = format!(
                "blocks of {} sectors, but pool {name} has blocks of {}: this is another pool's dump",
                dump.block_bytes / SECTOR_SIZE,
                pool.block_bytes / SECTOR_SIZE
            );
            return Err(StackError::new(&**file, None, message));
        }
    }
    let device = Device {
        name: name.clone(),
        extent,
        logical_block: loader.inherited_block([data]),
        layer: Layer::View { of: data, at: extent },
        areas: Vec::new(),
    };
    let place = loader.add_from(device, job.error(""))?;
    let (bytes, block_bytes) = (pool.bytes, pool.block_bytes);
    loader.pools.pools.insert(place, Pool { data, bytes, block_bytes, made: Vec::new() });
    loader.pools.mappings.iter_mut().filter(|m| m.are_of(&name)).for_each(|m| m.used = true);
    Ok(())
}

/// Makes a volume; `below` are the pool and the external origin, if any.
pub(super) fn make_volume(
    loader: &mut Loader<'_>,
    job: &Job,
    thin: &dm::Thin,
    below: &[usize],
) -> Result<(), StackError> {
    let name = job.makes().next().unwrap_or_default().to_owned();
    let [pool_place, origin @ ..] = below else { return Ok(()) };
    let pool_name = loader.device(*pool_place).map_or_else(String::new, |d| d.name.clone());
    let Some(pool) = loader.pools.pools.get_mut(pool_place) else {
        return Err(job.error(format!("{pool_name} is no thin pool")));
    };
    pool.made.push(thin.id);
    let (data, pool_bytes) = (pool.data, pool.bytes);
    let extent =
        Extent::new(DevOffset::new(0), thin.bytes).map_err(|e| job.error(e.to_string()))?;
    let mut device = Device {
        name: name.clone(),
        extent,
        logical_block: loader.inherited_block([data]),
        layer: Layer::Opaque,
        areas: Vec::new(),
    };
    if let Some(mappings) = loader.pools.mappings(&pool_name) {
        let origin = origin.first().copied();
        let volume = volume(loader, mappings, thin, pool_bytes, origin, &name)?;
        let data_leg =
            (volume.legs() > 0 && volume.is_data(badrange_core::Leg::new(0))).then_some(data);
        let origin_leg = origin.filter(|_| volume.legs() > u32::from(data_leg.is_some()));
        let legs = data_leg.into_iter().chain(origin_leg).collect();
        device.layer = Layer::Thin { volume: Arc::new(volume), legs };
    } else {
        let note = format!(
            "{name} is not translated, what it uses of pool {pool_name} stays unexplained: give the \
             pool's thin_dump in [[thin]]"
        );
        loader.topology.notes.push(job.error(note));
    }
    loader.add_from(device, job.error("")).map(|_| ())
}

fn volume(
    loader: &Loader<'_>,
    mappings: &Mappings,
    thin: &dm::Thin,
    pool_bytes: u64,
    origin: Option<usize>,
    name: &str,
) -> Result<Volume, StackError> {
    let err = |line, message: String| StackError::new(&*mappings.file, line, message);
    let Some(device) = mappings.dump.devices.iter().find(|d| d.id == thin.id) else {
        let message = format!(
            "the dump has no device {}, which {name} is: it is older than the table; dump again",
            thin.id
        );
        return Err(err(None, message));
    };
    let blocks = pool_bytes.checked_div(mappings.dump.block_bytes).unwrap_or(0);
    if let Some(range) = device.ranges.iter().find(|r| r.data_end().is_none_or(|end| end > blocks))
    {
        let message = format!(
            "data block {} of device {} lies beyond the pool, which has {blocks} blocks: dump again",
            range.data_end().map_or(range.data, |end| end.saturating_sub(1)),
            device.id
        );
        return Err(err(Some(device.line), message));
    }
    let origin = origin.and_then(|place| loader.device(place)).map(|d| d.extent.len());
    Volume::new(thin.bytes, mappings.dump.block_bytes, &device.ranges, origin)
        .map_err(|e| err(Some(device.line), format!("device {}: {e}", device.id)))
}

/// Once every device is there: what of each pool is not mapped.
pub(super) fn describe(loader: &mut Loader<'_>) -> Result<(), StackError> {
    let pools = core::mem::take(&mut loader.pools);
    if let Some(unused) = pools.mappings.iter().find(|m| !m.used) {
        let name = unused.pool.get_ref();
        let message = format!("no table here has a thin-pool {name:?}");
        return Err(loader.toml.error(&unused.pool, message));
    }
    for (place, pool) in &pools.pools {
        let name = loader.device(*place).map_or_else(String::new, |d| d.name.clone());
        let Some(mappings) = pools.mappings(&name) else { continue };
        let whole = Extent::new(DevOffset::new(0), pool.bytes).ok();
        let ranges = mappings.dump.devices.iter().flat_map(|d| &d.ranges);
        let mapped: Vec<_> = ranges
            .filter_map(|range| {
                let bytes = |n: u64| n.checked_mul(pool.block_bytes);
                Extent::new(DevOffset::new(bytes(range.data)?), bytes(range.blocks)?).ok()
            })
            .collect();
        let free = whole.map(|whole| whole.minus(mapped)).unwrap_or_default();
        loader.add_areas(pool.data, free.into_iter().map(|part| (part, Area::ThinFree)).collect());
        for device in mappings.dump.devices.iter().filter(|d| !pool.made.contains(&d.id)) {
            let message = format!(
                "device {} of pool {name} is not in the table: its blocks stay unexplained",
                device.id
            );
            loader.topology.notes.push(StackError::new(
                &*mappings.file,
                Some(device.line),
                message,
            ));
        }
    }
    Ok(())
}
