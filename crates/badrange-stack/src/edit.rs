//! Every change of a topology: pure functions from one picture to the next, or to an error.

use std::collections::HashMap;

use badrange_core::{DeviceId, Extent, Leg, Mapping, Space};

use crate::{
    DeviceSpec, Limits, RegisterError, RegisterErrorKind, TopologyError, TopologyErrorKind,
    sync::Arc,
    table::{Above, Entry, Table},
    topology::{Below, Device, Topology},
};

/// Gives every entry and every use of a slot a number that is never given again.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    next: u64,
    generation: u32,
}

impl Numbers {
    pub(crate) fn order(&mut self) -> u64 {
        // NO-OVERFLOW: 2^64 registrations do not happen.
        self.next = self.next.wrapping_add(1);
        self.next
    }

    fn generation(&mut self) -> u32 {
        // NO-OVERFLOW: an id could only be mistaken after 2^32 devices were added.
        self.generation = self.generation.wrapping_add(1);
        self.generation
    }
}

pub(crate) fn add_device(
    mut topology: Topology,
    spec: &DeviceSpec,
    limits: &Limits,
    numbers: &mut Numbers,
) -> Result<(Topology, DeviceId), TopologyError> {
    let err = |kind| TopologyError::new(kind, Arc::clone(&spec.name));
    if topology.by_name(&spec.name).is_some() {
        return Err(err(TopologyErrorKind::DuplicateName));
    }
    if topology.devices.len() >= limits.devices {
        return Err(err(TopologyErrorKind::TooManyDevices));
    }
    check_legs(&topology, spec, None, limits)?;
    let index = u32::try_from(topology.devices.vacant_key())
        .map_err(|_| err(TopologyErrorKind::TooManyDevices))?;
    let id = DeviceId::new(index, numbers.generation());
    topology.devices.insert(Arc::new(Device {
        id,
        name: Arc::clone(&spec.name),
        extent: spec.extent,
        below: spec.below.clone(),
        dying: false,
        table: Table::default(),
    }));
    link(&mut topology, id, spec, numbers);
    Ok((topology, id))
}

/// Checks that the legs exist, fit, make no cycle, and stay within the limits. `this` is the
/// device itself when its table is reloaded.
fn check_legs(
    topology: &Topology,
    spec: &DeviceSpec,
    this: Option<DeviceId>,
    limits: &Limits,
) -> Result<(), TopologyError> {
    let err = |kind| TopologyError::new(kind, Arc::clone(&spec.name));
    let legs = spec.leg_extents();
    if let Below::Devices { mapping, legs } = &spec.below {
        if usize::try_from(mapping.legs()) != Ok(legs.len()) {
            return Err(err(TopologyErrorKind::LegCount));
        }
    }
    if legs.len() > limits.legs {
        return Err(err(TopologyErrorKind::TooManyLegs));
    }
    if let Below::Memory(mapping) = &spec.below {
        let legs = usize::try_from(mapping.legs()).unwrap_or(usize::MAX);
        if topology.memory.len().saturating_add(legs) > limits.holders {
            return Err(err(TopologyErrorKind::TooManyHolders));
        }
    }
    let above = this.map_or(1, |id| topology.height(id));
    let mut on_same: HashMap<DeviceId, usize> = HashMap::new();
    for (leg, id, extent) in legs {
        let earlier = on_same.entry(id).or_default();
        let device = check_leg(topology, id, extent, this, limits, *earlier)
            .map_err(|k| err(k).on_leg(leg))?;
        *earlier = earlier.saturating_add(1);
        if topology.depth(device.id).saturating_add(above) > limits.depth {
            return Err(err(TopologyErrorKind::TooDeep).on_leg(leg));
        }
    }
    Ok(())
}

fn check_leg<'t>(
    topology: &'t Topology,
    id: DeviceId,
    extent: Option<Extent<badrange_core::DevOffset>>,
    this: Option<DeviceId>,
    limits: &Limits,
    earlier_legs: usize,
) -> Result<&'t Device, TopologyErrorKind> {
    let device = topology.device(id).ok_or(TopologyErrorKind::UnknownDevice)?;
    if device.dying {
        return Err(TopologyErrorKind::Dying);
    }
    if this.is_some_and(|this| topology.lies_on(id, this)) {
        return Err(TopologyErrorKind::Cycle);
    }
    let extent = extent.ok_or(TopologyErrorKind::LegCount)?;
    if !device.extent.contains_extent(extent) {
        return Err(TopologyErrorKind::LegOutside);
    }
    if device.table.len().saturating_add(earlier_legs) >= limits.holders {
        return Err(TopologyErrorKind::TooManyHolders);
    }
    Ok(device)
}

/// Puts the device into the tables of what it lies on.
fn link(topology: &mut Topology, id: DeviceId, spec: &DeviceSpec, numbers: &mut Numbers) {
    if let Below::Memory(mapping) = &spec.below {
        let legs = (0..mapping.legs()).map(Leg::new);
        for (leg, range) in legs.filter_map(|leg| Some((leg, mapping.leg_extent(leg)?))) {
            topology.memory = topology.memory.with(entry(id, leg, range, numbers));
        }
    }
    for (leg, below, range) in spec.leg_extents() {
        let Some(range) = range else { continue };
        let entry = entry(id, leg, range, numbers);
        topology.edit_table(below, |table| table.with(entry));
    }
}

fn entry<S: Space>(id: DeviceId, leg: Leg, range: Extent<S>, numbers: &mut Numbers) -> Entry<S> {
    let above = Above::Device { index: id.index(), leg };
    Entry { range, order: numbers.order(), above }
}

/// Takes the device out of the tables of what it lies on.
fn unlink(topology: &mut Topology, device: &Device) {
    let index = device.id.index();
    topology.memory = topology.memory.retain(|e| !is_device(e, index));
    for below in device.legs() {
        topology.edit_table(*below, |table| table.retain(|e| !is_device(e, index)));
    }
}

fn is_device<S: Space>(entry: &Entry<S>, slot: u32) -> bool {
    matches!(entry.above, Above::Device { index, .. } if index == slot)
}

fn has_devices(device: &Device) -> bool {
    device.table.any(|e| matches!(e.above, Above::Device { .. }))
}

/// The next picture with another table for the device; the old legs are gone, the new ones there.
pub(crate) fn reload(
    mut topology: Topology,
    id: DeviceId,
    mapping: &Arc<dyn Mapping>,
    legs: Arc<[DeviceId]>,
    limits: &Limits,
    numbers: &mut Numbers,
) -> Result<Topology, TopologyError> {
    let device = live(&topology, id)?;
    let err = |kind| TopologyError::new(kind, Arc::clone(&device.name));
    if !matches!(device.below, Below::Devices { .. }) {
        return Err(err(TopologyErrorKind::NoTable));
    }
    let spec = DeviceSpec::on(Arc::clone(&device.name), Arc::clone(mapping), legs);
    if device.table.any(|e| !spec.extent.contains_extent(e.range)) {
        return Err(err(TopologyErrorKind::Shrunk));
    }
    let device = Arc::clone(device);
    unlink(&mut topology, &device);
    check_legs(&topology, &spec, Some(id), limits)?;
    let (extent, below) = (spec.extent, spec.below.clone());
    topology.put(Device { extent, below, ..Device::clone(&device) });
    link(&mut topology, id, &spec, numbers);
    Ok(topology)
}

/// The next picture with a device that lies on nothing: half of a reload, which nobody may see.
pub(crate) fn take_out(mut topology: Topology, id: DeviceId) -> Result<Topology, TopologyError> {
    let device = Arc::clone(live(&topology, id)?);
    unlink(&mut topology, &device);
    Ok(topology)
}

fn live(topology: &Topology, id: DeviceId) -> Result<&Arc<Device>, TopologyError> {
    let device = topology
        .device(id)
        .ok_or_else(|| TopologyError::of_id(TopologyErrorKind::UnknownDevice, id))?;
    match device.dying {
        true => Err(TopologyError::new(TopologyErrorKind::Dying, Arc::clone(&device.name))),
        false => Ok(device),
    }
}

/// The next picture in which nothing can be put on the device any more.
pub(crate) fn begin_removal(
    mut topology: Topology,
    id: DeviceId,
) -> Result<Topology, TopologyError> {
    let device = live(&topology, id)?;
    if has_devices(device) {
        return Err(TopologyError::new(TopologyErrorKind::InUse, Arc::clone(&device.name)));
    }
    let dying = Device { dying: true, ..Device::clone(device) };
    topology.put(dying);
    Ok(topology)
}

/// The next picture without the device, and the device as it was.
pub(crate) fn finish_removal(
    mut topology: Topology,
    id: DeviceId,
) -> (Topology, Option<Arc<Device>>) {
    let Some(device) = topology.device(id).map(Arc::clone) else { return (topology, None) };
    unlink(&mut topology, &device);
    if let Ok(slot) = usize::try_from(id.index()) {
        let _ = topology.devices.try_remove(slot);
    }
    (topology, Some(device))
}

/// Where a holder registers: the one difference between devices and physical memory.
pub(crate) fn check_range<S: Space>(
    table: &Table<S>,
    extent: Option<Extent<S>>,
    range: Extent<S>,
    limits: &Limits,
) -> Result<(), RegisterErrorKind> {
    if extent.is_some_and(|all| !all.contains_extent(range)) {
        return Err(RegisterErrorKind::Outside);
    }
    if table.len() >= limits.holders {
        return Err(RegisterErrorKind::TooManyHolders);
    }
    Ok(())
}

pub(crate) fn device_for(
    topology: &Topology,
    id: DeviceId,
    range: &dyn core::fmt::Display,
) -> Result<Arc<Device>, RegisterError> {
    let Some(device) = topology.device(id) else {
        return Err(RegisterError::new(RegisterErrorKind::UnknownDevice, id.to_string(), range));
    };
    if device.dying && !mutant!("dying_unchecked") {
        let name = Arc::clone(&device.name);
        return Err(RegisterError::new(RegisterErrorKind::Dying, name, range));
    }
    Ok(Arc::clone(device))
}
