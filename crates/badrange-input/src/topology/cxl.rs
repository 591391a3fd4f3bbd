//! CXL: memory devices, and the regions of host memory that go over them.

use std::sync::Arc;

use badrange_block::interleave::{Granularity, Interleave, InterleaveError, Ways};
use badrange_core::{DevOffset, Extent, Mapping, PhysAddr};

use super::{
    Device, Layer,
    load::{DEFAULT_LOGICAL_BLOCK, Loader},
};
use crate::{
    StackError,
    stackfile::{CxlEntry, MemdevEntry, StackFile},
};

/// Adds every memory device and every region.
pub(super) fn load(loader: &mut Loader<'_>, file: &StackFile) -> Result<(), StackError> {
    let mut regions = Vec::new();
    for entry in &file.cxl {
        regions.push((entry, region(loader, entry)?));
    }
    apart(loader, &regions)?;
    for (entry, region) in &regions {
        for (memdev, on) in entry.memdevs.get_ref().iter().zip(areas(region)) {
            add_memdev(loader, memdev, on)?;
        }
    }
    for (entry, region) in regions {
        let names = entry.memdevs.get_ref().iter().map(|memdev| memdev.name.get_ref());
        let legs = names.filter_map(|name| loader.find(name)).collect();
        let device = Device {
            name: entry.name.get_ref().clone(),
            extent: region.extent(),
            logical_block: DEFAULT_LOGICAL_BLOCK,
            layer: Layer::Region { region: Arc::new(region), legs },
            areas: Vec::new(),
        };
        loader.add(device, &entry.name)?;
    }
    Ok(())
}

fn region(loader: &Loader<'_>, entry: &CxlEntry) -> Result<Interleave, StackError> {
    let toml = loader.toml;
    let memdevs = entry.memdevs.get_ref();
    if let Some(ways) = &entry.ways {
        if u64::try_from(memdevs.len()) != Ok(ways.get_ref().0) {
            let message =
                format!("ways = {}, but there are {} memdevs", ways.get_ref().0, memdevs.len());
            return Err(toml.error(ways, message));
        }
    }
    let granularity = Granularity::new(entry.granularity.get_ref().0)
        .map_err(|err| toml.error(&entry.granularity, err.to_string()))?;
    let start = PhysAddr::new(entry.resource.get_ref().0);
    let hpa = Extent::new(start, entry.size.get_ref().0)
        .map_err(|err| toml.error(&entry.size, err.to_string()))?;
    let bases: Vec<_> = memdevs.iter().map(|memdev| DevOffset::new(memdev.dpa.0)).collect();
    let refused = |err: InterleaveError| toml.error(&entry.name, err.to_string());
    let region = Interleave::new(hpa, granularity, &bases).map_err(refused)?;
    let Some(xor) = &entry.xor else { return Ok(region) };
    let count = u32::try_from(xor.get_ref().host_bridges.0).unwrap_or(u32::MAX);
    let maps: Vec<u64> = xor.get_ref().maps.iter().map(|map| map.0).collect();
    let refused = |err: InterleaveError| toml.error(xor, err.to_string());
    region.with_xor(Ways::new(count).map_err(refused)?, &maps).map_err(refused)
}

/// What a region uses of each memory device, by position.
fn areas(region: &Interleave) -> impl Iterator<Item = Extent> + '_ {
    (0..region.legs()).filter_map(|leg| region.leg_extent(badrange_core::Leg::new(leg)))
}

/// A byte of host memory is in one region, and a byte of a device in one place of one.
fn apart(loader: &Loader<'_>, regions: &[(&CxlEntry, Interleave)]) -> Result<(), StackError> {
    let mut used: Vec<(&str, Extent)> = Vec::new();
    for (number, (entry, region)) in regions.iter().enumerate() {
        for (other, before) in regions.iter().take(number) {
            if let Some(both) = before.hpa().intersect(region.hpa()) {
                let message = format!("{both} are in region {:?} too", other.name.get_ref());
                return Err(loader.toml.error(&entry.resource, message));
            }
        }
        for (memdev, on) in entry.memdevs.get_ref().iter().zip(areas(region)) {
            let name = memdev.name.get_ref().as_str();
            let taken = used.iter().filter(|(known, _)| *known == name);
            if let Some(both) = taken.into_iter().find_map(|(_, taken)| taken.intersect(on)) {
                let message = format!("{both} of {name:?} are used twice");
                return Err(loader.toml.error(&memdev.name, message));
            }
            used.push((name, on));
        }
    }
    Ok(())
}

/// Adds a memory device, or makes the one that is there long enough: as long as it is said to be,
/// else up to the last byte that a region uses.
fn add_memdev(loader: &mut Loader<'_>, entry: &MemdevEntry, on: Extent) -> Result<(), StackError> {
    let end = entry.size.as_ref().map_or(on.end().get(), |size| size.get_ref().0);
    if let Some(size) = entry.size.as_ref().filter(|_| end < on.end().get()) {
        let message = format!("{end} bytes: the region uses them up to {}", on.end().get());
        return Err(loader.toml.error(size, message));
    }
    let whole = Extent::from_bounds(DevOffset::new(0), DevOffset::new(end))
        .map_err(|err| loader.toml.error(&entry.name, err.to_string()))?;
    let known = loader.find(entry.name.get_ref());
    if let Some(device) = known.and_then(|place| loader.topology.devices.get_mut(place)) {
        if matches!(device.layer, Layer::Memdev) {
            device.extent = device.extent.hull(whole);
            return Ok(());
        }
    }
    let device = Device {
        name: entry.name.get_ref().clone(),
        extent: whole,
        logical_block: DEFAULT_LOGICAL_BLOCK,
        layer: Layer::Memdev,
        areas: Vec::new(),
    };
    loader.add(device, &entry.name).map(|_| ())
}
