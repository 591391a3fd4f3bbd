//! The immutable picture of a stack that events walk through.

use std::collections::HashMap;

use badrange_core::{DevOffset, DeviceId, Extent, Leg, Mapping, PhysAddr};
use slab::Slab;

use crate::{
    sync::Arc,
    table::{Above, Table},
};

/// What a device lies on.
#[derive(Clone)]
pub(crate) enum Below {
    /// Nothing: a disk.
    Nothing,
    /// Physical memory: a persistent-memory namespace.
    Memory(Arc<dyn Mapping<PhysAddr, DevOffset>>),
    /// Other devices, one per leg.
    Devices { mapping: Arc<dyn Mapping>, legs: Arc<[DeviceId]> },
}

#[derive(Clone)]
pub(crate) struct Device {
    pub(crate) id: DeviceId,
    pub(crate) name: Arc<str>,
    pub(crate) extent: Extent<DevOffset>,
    pub(crate) below: Below,
    pub(crate) dying: bool,
    pub(crate) table: Table<DevOffset>,
}

impl Device {
    /// The devices under the legs, in order; none for devices at the bottom.
    pub(crate) fn legs(&self) -> &[DeviceId] {
        match &self.below {
            Below::Devices { legs, .. } => legs,
            Below::Nothing | Below::Memory(_) => &[],
        }
    }
}

/// Devices by slot, and who owns physical memory. Cheap to copy: the devices are shared.
#[derive(Clone, Default)]
pub(crate) struct Topology {
    pub(crate) devices: Slab<Arc<Device>>,
    pub(crate) memory: Table<PhysAddr>,
}

impl Topology {
    /// The device with this id, if that is still the one in its slot.
    pub(crate) fn device(&self, id: DeviceId) -> Option<&Arc<Device>> {
        self.slot(id.index()).filter(|d| d.id == id || mutant!("generation_unchecked"))
    }

    pub(crate) fn slot(&self, index: u32) -> Option<&Arc<Device>> {
        self.devices.get(usize::try_from(index).ok()?)
    }

    pub(crate) fn by_name(&self, name: &str) -> Option<&Arc<Device>> {
        self.devices.iter().map(|(_, d)| d).find(|d| &*d.name == name)
    }

    /// Replaces the device in its slot.
    pub(crate) fn put(&mut self, device: Device) {
        let slot = usize::try_from(device.id.index()).ok();
        if let Some(place) = slot.and_then(|at| self.devices.get_mut(at)) {
            *place = Arc::new(device);
        }
    }

    /// Changes the table of a device.
    pub(crate) fn edit_table(
        &mut self,
        id: DeviceId,
        edit: impl FnOnce(&Table<DevOffset>) -> Table<DevOffset>,
    ) {
        if let Some(device) = self.device(id) {
            let table = edit(&device.table);
            self.put(Device { table, ..Device::clone(device) });
        }
    }

    /// Devices on the longest way from the bottom to `id`, itself included.
    pub(crate) fn depth(&self, id: DeviceId) -> usize {
        longest(id, &|id| self.below(id), &mut HashMap::new())
    }

    /// Devices on the longest way from `id` up to a top, itself included.
    pub(crate) fn height(&self, id: DeviceId) -> usize {
        longest(id, &|id| self.above(id), &mut HashMap::new())
    }

    /// Whether `id` is `below` or lies on it, at any distance.
    pub(crate) fn lies_on(&self, id: DeviceId, below: DeviceId) -> bool {
        let mut ways = HashMap::new();
        longest(id, &|id| self.below(id), &mut ways);
        ways.contains_key(&below)
    }

    fn below(&self, id: DeviceId) -> Vec<DeviceId> {
        self.device(id).map_or_else(Vec::new, |d| d.legs().to_vec())
    }

    fn above(&self, id: DeviceId) -> Vec<DeviceId> {
        let mut above = Vec::new();
        if let Some(device) = self.device(id) {
            device.table.each(&mut |entry| match entry.above {
                Above::Device { index, .. } => above.extend(self.slot(index).map(|d| d.id)),
                Above::Holder(_) => {}
            });
        }
        above
    }
}

/// Devices on the longest way from `id` on; each device is visited once, and all end up in `ways`.
///
/// Ends because the devices form no cycle (every edit checks that), and because no way is longer
/// than the depth limit.
fn longest(
    id: DeviceId,
    next: &dyn Fn(DeviceId) -> Vec<DeviceId>,
    ways: &mut HashMap<DeviceId, usize>,
) -> usize {
    if let Some(known) = ways.get(&id) {
        return *known;
    }
    let further = next(id).into_iter().map(|id| longest(id, next, ways)).max().unwrap_or(0);
    let len = further.saturating_add(1);
    ways.insert(id, len);
    len
}

/// A new device, before it is added to a [`Stack`](crate::Stack).
///
/// # Examples
/// ```
/// use badrange_core::{DevOffset, Extent};
/// use badrange_stack::DeviceSpec;
/// let disk = DeviceSpec::base("sda", Extent::new(DevOffset::new(0), 1 << 30)?);
/// assert_eq!(disk.name(), "sda");
/// # Ok::<(), badrange_core::RangeError>(())
/// ```
#[derive(Clone)]
pub struct DeviceSpec {
    pub(crate) name: Arc<str>,
    pub(crate) extent: Extent<DevOffset>,
    pub(crate) below: Below,
}

impl DeviceSpec {
    /// A device at the bottom: failures are reported on it directly.
    pub fn base(name: impl Into<Arc<str>>, extent: Extent<DevOffset>) -> Self {
        Self { name: name.into(), extent, below: Below::Nothing }
    }

    /// A device that is a part of physical memory.
    pub fn on_memory(
        name: impl Into<Arc<str>>,
        mapping: Arc<dyn Mapping<PhysAddr, DevOffset>>,
    ) -> Self {
        Self { name: name.into(), extent: mapping.extent(), below: Below::Memory(mapping) }
    }

    /// A device that lies on other devices, one per leg of the mapping.
    pub fn on(
        name: impl Into<Arc<str>>,
        mapping: Arc<dyn Mapping>,
        legs: impl Into<Arc<[DeviceId]>>,
    ) -> Self {
        let extent = mapping.extent();
        Self { name: name.into(), extent, below: Below::Devices { mapping, legs: legs.into() } }
    }

    /// The name, unique in a stack.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the device will use of the leg's device.
    pub(crate) fn leg_extents(&self) -> Vec<(Leg, DeviceId, Option<Extent<DevOffset>>)> {
        let Below::Devices { mapping, legs } = &self.below else { return Vec::new() };
        let numbered = (0_u32..).map(Leg::new).zip(legs.iter());
        numbered.map(|(leg, id)| (leg, *id, mapping.leg_extent(leg))).collect()
    }
}

impl core::fmt::Debug for DeviceSpec {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let mut out = f.debug_struct("DeviceSpec");
        out.field("name", &self.name).field("extent", &self.extent);
        match &self.below {
            Below::Nothing => {}
            Below::Memory(mapping) => {
                out.field("memory", mapping);
            }
            Below::Devices { mapping, legs } => {
                out.field("mapping", mapping).field("legs", legs);
            }
        }
        out.finish()
    }
}
