//! Every change of a topology: pure functions from one snapshot to the next, or to an error.

use std::collections::{HashMap, HashSet};

use badrange_core::{DevOffset, DeviceId, Extent};

use crate::{
    DeviceSpec, HolderId, Limits, NoDevice, RegisterError, RegisterErrorKind, TopologyError,
    TopologyErrorKind,
    sync::{Arc, Gate},
    table::{Above, Entry, Key, Table},
    topology::{Device, Topology, Uses},
};

/// What the writers of a stack share: numbers that are never given again, and the gates of
/// registrations that have left the table while calls into them may still run.
#[derive(Debug)]
pub(crate) struct Writer {
    /// The number of the stack.
    stack: u32,
    next: u64,
    generation: u32,
    /// By device. Whoever removes a device waits for these, too: the table does not know them any
    /// more.
    leaving: HashMap<DeviceId, Vec<Arc<Gate>>>,
}

impl Writer {
    pub(crate) fn new(stack: u32) -> Self {
        Self { stack, next: 0, generation: 0, leaving: HashMap::new() }
    }

    pub(crate) fn order(&mut self) -> u64 {
        // NO-OVERFLOW: 2^64 registrations do not happen.
        self.next = self.next.wrapping_add(1);
        self.next
    }

    fn id(&mut self, index: u32) -> DeviceId {
        // NO-OVERFLOW: an id could only be mistaken after 2^32 devices were added.
        self.generation = self.generation.wrapping_add(1);
        DeviceId::new(self.stack, index, self.generation)
    }

    /// Remembers the gate of a registration that leaves the table of a device that is still there.
    fn leaves(&mut self, device: DeviceId, gate: Arc<Gate>) {
        let gates = self.leaving.entry(device).or_default();
        gates.retain(|gate| !gate.is_empty());
        gates.push(gate);
    }
}

/// The device, or why there is none.
pub(crate) fn known(
    topology: &Topology,
    stack: u32,
    id: DeviceId,
) -> Result<&Arc<Device>, NoDevice> {
    if id.stack() != stack {
        return Err(NoDevice::Foreign(id));
    }
    topology.device(id).ok_or(NoDevice::Removed(id))
}

pub(crate) fn add_device(
    mut topology: Topology,
    spec: &DeviceSpec,
    uses: &Uses,
    limits: &Limits,
    writer: &mut Writer,
) -> Result<(Topology, DeviceId), TopologyError> {
    let err = |kind, why: String| TopologyError::new(kind, &spec.name, why);
    if topology.by_name(&spec.name).is_some() {
        let why = "a device of this name exists".to_owned();
        return Err(err(TopologyErrorKind::DuplicateName, why));
    }
    let too_many = || {
        let why = format!("{} devices are there, and no more are allowed", topology.devices.len());
        err(TopologyErrorKind::TooManyDevices, why)
    };
    if topology.devices.len() >= limits.devices {
        return Err(too_many());
    }
    check_start(spec)?;
    check_legs(&topology, spec, uses, None, limits, writer.stack)?;
    let index = u32::try_from(topology.devices.vacant_key()).map_err(|_| too_many())?;
    let id = writer.id(index);
    topology.devices.insert(Arc::new(Device {
        id,
        name: Arc::clone(&spec.name),
        extent: spec.extent,
        below: spec.below.clone(),
        pages: spec.pages.clone(),
        dying: false,
        table: Table::default(),
    }));
    link(&mut topology, id, uses, writer);
    Ok((topology, id))
}

/// Bytes of a device are counted from its byte 0.
fn check_start(spec: &DeviceSpec) -> Result<(), TopologyError> {
    if spec.extent.start() == DevOffset::new(0) {
        return Ok(());
    }
    let why = format!("{}: a device begins at its byte 0", spec.extent);
    Err(TopologyError::new(TopologyErrorKind::NotAtZero, &spec.name, why))
}

/// Checks that the legs exist, fit, make no cycle, and stay within the limits. `this` is the
/// device itself when its table is reloaded.
fn check_legs(
    topology: &Topology,
    spec: &DeviceSpec,
    uses: &Uses,
    this: Option<DeviceId>,
    limits: &Limits,
    stack: u32,
) -> Result<(), TopologyError> {
    let err = |(kind, why): (TopologyErrorKind, String)| TopologyError::new(kind, &spec.name, why);
    let legs = &uses.extents;
    if usize::try_from(uses.legs) != Ok(legs.len()) {
        let why = format!("{} legs, and {} devices for them", uses.legs, legs.len());
        return Err(err((TopologyErrorKind::LegCount, why)));
    }
    if legs.len() > limits.legs {
        let why = format!("{} legs: at most {} are allowed", legs.len(), limits.legs);
        return Err(err((TopologyErrorKind::TooManyLegs, why)));
    }
    let above = this.map_or(1, |id| topology.height(id));
    let mut on_same: HashMap<DeviceId, usize> = HashMap::new();
    for &(leg, id, extent) in legs {
        let checks = LegChecks { topology, this, limits, stack };
        let earlier = on_same.entry(id).or_default();
        checks.all(id, extent, *earlier, above).map_err(|e| err(e).on_leg(leg))?;
        *earlier = earlier.saturating_add(1);
    }
    Ok(())
}

struct LegChecks<'t> {
    topology: &'t Topology,
    this: Option<DeviceId>,
    limits: &'t Limits,
    stack: u32,
}

impl LegChecks<'_> {
    /// Checks the leg on `id`, of a device with `above` devices on the longest way up from it.
    fn all(
        &self,
        id: DeviceId,
        extent: Option<Extent>,
        earlier_legs: usize,
        above: usize,
    ) -> Result<(), (TopologyErrorKind, String)> {
        let device = known(self.topology, self.stack, id)
            .map_err(|none| (TopologyErrorKind::of(none), none.to_string()))?;
        if device.dying {
            return Err((TopologyErrorKind::Dying, format!("{} is being removed", device.name)));
        }
        if self.this.is_some_and(|this| self.topology.lies_on(id, this)) {
            let why = format!("{} lies on it: it would lie below itself", device.name);
            return Err((TopologyErrorKind::Cycle, why));
        }
        let Some(extent) = extent else {
            let why = "the mapping says of no such leg what it uses".to_owned();
            return Err((TopologyErrorKind::LegCount, why));
        };
        if !device.extent.contains_extent(extent) {
            let why = format!("{extent} reach beyond {}, which has {}", device.name, device.extent);
            return Err((TopologyErrorKind::LegOutside, why));
        }
        let holders = device.table.len().saturating_add(earlier_legs);
        if holders >= self.limits.holders {
            let why = format!("{holders} holders and devices are on {}: no more", device.name);
            return Err((TopologyErrorKind::TooManyHolders, why));
        }
        let depth = self.topology.depth(device.id).saturating_add(above);
        if depth > self.limits.depth {
            let why = format!("{depth} devices on one another: at most {}", self.limits.depth);
            return Err((TopologyErrorKind::TooDeep, why));
        }
        Ok(())
    }
}

/// Puts the device into the tables of what it lies on.
fn link(topology: &mut Topology, id: DeviceId, uses: &Uses, writer: &mut Writer) {
    for &(leg, below, range) in &uses.extents {
        // The legs have been checked: each has a range.
        if let Some(range) = range {
            let above = Above::Device { index: id.index(), leg };
            let entry = Entry { range, order: writer.order(), above };
            topology.edit_table(below, |table| table.with(entry));
        }
    }
}

/// Takes the device out of the tables of what it lies on.
fn unlink(topology: &mut Topology, device: &Device) {
    let index = device.id.index();
    let mut below = device.legs().to_vec();
    below.sort_unstable();
    below.dedup();
    for below in below {
        topology.edit_table(below, |table| table.retain(|e| !is_device(e, index)));
    }
}

fn is_device(entry: &Entry, slot: u32) -> bool {
    matches!(entry.above, Above::Device { index, .. } if index == slot)
}

/// The next snapshot with another table for the device, that of a spec without a name; the old legs
/// are gone, the new ones there.
pub(crate) fn reload(
    mut topology: Topology,
    id: DeviceId,
    table: &DeviceSpec,
    uses: &Uses,
    limits: &Limits,
    writer: &mut Writer,
) -> Result<Topology, TopologyError> {
    let device = Arc::clone(live(&topology, id, writer.stack)?);
    let spec = DeviceSpec { name: Arc::clone(&device.name), ..table.clone() };
    check_start(&spec)?;
    let mut outside = None;
    device.table.each(&mut |e| {
        outside = outside.or(Some(e.range).filter(|range| !spec.extent.contains_extent(*range)));
    });
    if let Some(range) = outside {
        let why = format!("{range} are in use, and the new table has {}", spec.extent);
        return Err(TopologyError::new(TopologyErrorKind::Shrunk, &device.name, why));
    }
    unlink(&mut topology, &device);
    check_legs(&topology, &spec, uses, Some(id), limits, writer.stack)?;
    let (extent, below) = (spec.extent, spec.below.clone());
    // Taken from the topology again: unlinking has changed its tables.
    let now = live(&topology, id, writer.stack)?;
    topology.put(Device { extent, below, ..Device::clone(now) });
    link(&mut topology, id, uses, writer);
    Ok(topology)
}

fn live(topology: &Topology, id: DeviceId, stack: u32) -> Result<&Arc<Device>, TopologyError> {
    let device = known(topology, stack, id).map_err(|none| {
        TopologyError::new(TopologyErrorKind::of(none), id.to_string(), none.to_string())
    })?;
    if device.dying {
        let why = "the device is being removed".to_owned();
        return Err(TopologyError::new(TopologyErrorKind::Dying, &device.name, why));
    }
    Ok(device)
}

/// The next snapshot, in which nothing can be put on the device any more; and its bytes.
pub(crate) fn begin_removal(
    mut topology: Topology,
    id: DeviceId,
    writer: &Writer,
) -> Result<(Topology, Extent), TopologyError> {
    let device = live(&topology, id, writer.stack)?;
    let mut above = None;
    device.table.each(&mut |entry| {
        if let Above::Device { index, .. } = &entry.above {
            above = above.take().or_else(|| topology.slot(*index).map(|d| Arc::clone(&d.name)));
        }
    });
    if let Some(above) = above {
        let why = format!("{above} lies on it");
        return Err(TopologyError::new(TopologyErrorKind::InUse, &device.name, why));
    }
    let extent = device.extent;
    let dying = Device { dying: true, ..Device::clone(device) };
    topology.put(dying);
    Ok((topology, extent))
}

/// The next snapshot without the device, and the gate of every registration that it ever had and
/// into which a call may still be running.
pub(crate) fn finish_removal(
    mut topology: Topology,
    id: DeviceId,
    writer: &mut Writer,
) -> (Topology, Vec<Arc<Gate>>) {
    let mut gates = writer.leaving.remove(&id).unwrap_or_default(); // none has left: no gates
    let Some(device) = topology.device(id).map(Arc::clone) else {
        debug_assert!(false, "whoever began a removal ends it");
        return (topology, gates);
    };
    device.table.each(&mut |entry| match &entry.above {
        Above::Holder(slot) => gates.push(Arc::clone(&slot.gate)),
        Above::Device { .. } => {}
    });
    unlink(&mut topology, &device);
    if let Ok(slot) = usize::try_from(id.index()) {
        let _ = topology.devices.try_remove(slot);
    }
    (topology, gates)
}

/// The next snapshot without a registration whose gate is closed.
pub(crate) fn unregister(
    mut topology: Topology,
    device: DeviceId,
    key: Key,
    gate: &Arc<Gate>,
    writer: &mut Writer,
) -> Topology {
    // A registration may outlive its device: whoever removed that has waited for it.
    if topology.device(device).is_some() {
        topology.edit_table(device, |table| table.without(key));
        writer.leaves(device, Arc::clone(gate));
    }
    topology
}

/// Checks a registration; the device that it is for.
pub(crate) fn check_registration<'t>(
    topology: &'t Topology,
    id: DeviceId,
    range: Extent,
    limits: &Limits,
    writer: &Writer,
) -> Result<&'t Arc<Device>, RegisterError> {
    let device = known(topology, writer.stack, id).map_err(|none| {
        RegisterError::new(RegisterErrorKind::of(none), id.to_string(), none.to_string())
    })?;
    let err = |kind, why: String| Err(RegisterError::new(kind, &device.name, why));
    if device.dying {
        return err(RegisterErrorKind::Dying, "the device is being removed".to_owned());
    }
    if !device.extent.contains_extent(range) {
        let why = format!("{range} reach beyond the device, which has {}", device.extent);
        return err(RegisterErrorKind::Outside, why);
    }
    if device.table.len() >= limits.holders {
        let why = format!("{} holders and devices are on it: no more", device.table.len());
        return err(RegisterErrorKind::TooManyHolders, why);
    }
    Ok(device)
}

/// The row of a new registration.
pub(crate) fn holder_entry(
    range: Extent,
    id: HolderId,
    holder: Arc<dyn badrange_core::Holder>,
    gate: Arc<Gate>,
) -> Entry {
    Entry {
        range,
        order: id.0,
        above: Above::Holder(crate::table::HolderSlot { id, holder, gate }),
    }
}

/// Checks the invariants of a topology: what holds between the tables and the legs.
///
/// # Errors
/// The first invariant that does not hold.
pub(crate) fn validate(topology: &Topology) -> Result<(), String> {
    let mut names = HashSet::new();
    for (slot, device) in &topology.devices {
        if !names.insert(&*device.name) {
            return Err(format!("two devices are called {}", device.name));
        }
        if usize::try_from(device.id.index()) != Ok(slot) {
            return Err(format!("{} is in slot {slot} as {}", device.name, device.id));
        }
        device.table.validate().map_err(|why| format!("{}: {why}", device.name))?;
        validate_entries(topology, device)?;
        validate_legs(topology, device)?;
    }
    Ok(())
}

/// Every entry lies on the device; every device above is there and has that leg here.
fn validate_entries(topology: &Topology, device: &Device) -> Result<(), String> {
    let mut wrong = None;
    device.table.each(&mut |entry| {
        let fits = device.extent.contains_extent(entry.range);
        let known = match &entry.above {
            Above::Holder(_) => true,
            Above::Device { index, leg } => topology
                .slot(*index)
                .is_some_and(|above| above.numbered_legs().any(|l| l == (*leg, device.id))),
        };
        if !fits || !known {
            wrong = Some(format!("{}: an entry at {} is wrong", device.name, entry.range));
        }
    });
    wrong.map_or(Ok(()), Err)
}

/// Every leg is one entry of the device below.
fn validate_legs(topology: &Topology, device: &Device) -> Result<(), String> {
    for (leg, below) in device.numbered_legs() {
        let entries = topology.device(below).map_or(0, |below| {
            let mut entries = 0_usize;
            below.table.each(&mut |entry| {
                let it = matches!(entry.above, Above::Device { index, leg: of }
                    if index == device.id.index() && of == leg);
                entries = entries.saturating_add(usize::from(it));
            });
            entries
        });
        if entries != 1 {
            return Err(format!("{}: {leg} has {entries} entries below", device.name));
        }
    }
    Ok(())
}
