//! The immutable snapshot of a stack that events walk through.

use std::collections::HashMap;

use badrange_core::{DeviceId, Extent, Fallback, Leg, Mapping, PageSize};
use slab::Slab;

use crate::{
    sync::{Arc, release},
    table::{Above, Table},
};

/// How a device lies on others: one per leg of the mapping.
#[derive(Clone)]
pub(crate) struct Below {
    pub(crate) mapping: Arc<dyn Mapping>,
    pub(crate) legs: Arc<[DeviceId]>,
}

/// The last resort of a device: how long its pages are, and what is called for them.
#[derive(Clone)]
pub(crate) struct Pages {
    pub(crate) size: PageSize,
    pub(crate) fallback: Arc<dyn Fallback>,
}

#[derive(Clone)]
pub(crate) struct Device {
    pub(crate) id: DeviceId,
    pub(crate) name: Arc<str>,
    pub(crate) extent: Extent,
    pub(crate) below: Option<Below>,
    pub(crate) pages: Option<Pages>,
    pub(crate) dying: bool,
    pub(crate) table: Table,
}

impl Device {
    /// The devices under the legs, in order; none for a device at the bottom.
    pub(crate) fn legs(&self) -> &[DeviceId] {
        self.below.as_ref().map_or(&[], |below| &below.legs)
    }

    /// The mapping, and what is under its legs with their numbers.
    pub(crate) fn numbered_legs(&self) -> impl Iterator<Item = (Leg, DeviceId)> + '_ {
        (0_u32..).map(Leg::new).zip(self.legs().iter().copied())
    }
}

/// Devices by slot. Cheap to copy: the devices are shared.
#[derive(Clone, Default)]
pub(crate) struct Topology {
    pub(crate) devices: Slab<Arc<Device>>,
}

/// With the last snapshot that knows a holder goes the holder, whoever lets go of it: a change, an
/// event, a [`Snapshot`](crate::Snapshot), the last handle of the stack.
impl Drop for Topology {
    fn drop(&mut self) {
        release(core::mem::take(&mut self.devices));
    }
}

impl Topology {
    /// The device with this id, if that is still the one in its slot.
    pub(crate) fn device(&self, id: DeviceId) -> Option<&Arc<Device>> {
        self.slot(id.index()).filter(|device| device.id == id)
    }

    pub(crate) fn slot(&self, index: u32) -> Option<&Arc<Device>> {
        self.devices.get(usize::try_from(index).ok()?)
    }

    pub(crate) fn by_name(&self, name: &str) -> Option<&Arc<Device>> {
        self.devices.iter().map(|(_, d)| d).find(|d| &*d.name == name)
    }

    /// Replaces the device in its slot. INVARIANT of the caller: it is there.
    pub(crate) fn put(&mut self, device: Device) {
        let slot = usize::try_from(device.id.index()).ok();
        match slot.and_then(|at| self.devices.get_mut(at)) {
            Some(slot) => *slot = Arc::new(device),
            None => debug_assert!(false, "a device that is replaced is there"),
        }
    }

    /// Changes the table of a device.
    pub(crate) fn edit_table(&mut self, id: DeviceId, edit: impl FnOnce(&Table) -> Table) {
        // A registration may outlive its device: then there is no table to change.
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
/// A device may be anything that has bytes: a disk, a volume, physical memory, a guest's memory, a
/// process's address space, a file that is a disk image.
///
/// # Examples
/// ```
/// use badrange_core::{DevOffset, Extent, Sector, Window};
/// use badrange_stack::{DeviceSpec, Stack};
/// use std::sync::Arc;
/// let stack = Stack::new();
/// let disk = DeviceSpec::base("sda", Extent::new(DevOffset::new(0), 1 << 30)?);
/// assert_eq!(disk.name(), "sda");
/// let sda = stack.add_device(disk)?;
/// let partition = Window::new(Extent::new(Sector::new(2048), 8192)?.bytes()?);
/// stack.add_device(DeviceSpec::on("sda1", Arc::new(partition), [sda]))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct DeviceSpec {
    pub(crate) name: Arc<str>,
    pub(crate) extent: Extent,
    pub(crate) below: Option<Below>,
    pub(crate) pages: Option<Pages>,
}

impl DeviceSpec {
    /// A device at the bottom: failures are reported on it directly. A [table](crate::Stack::reload)
    /// may be given to it later.
    pub fn base(name: impl Into<Arc<str>>, extent: Extent) -> Self {
        Self { name: name.into(), extent, below: None, pages: None }
    }

    /// A device that lies on other devices, one per leg of the mapping.
    pub fn on(
        name: impl Into<Arc<str>>,
        mapping: Arc<dyn Mapping>,
        legs: impl Into<Arc<[DeviceId]>>,
    ) -> Self {
        let extent = mapping.extent();
        let below = Some(Below { mapping, legs: legs.into() });
        Self { name: name.into(), extent, below, pages: None }
    }

    /// The same device with pages of this size, and a last resort: it is called for the pages with
    /// bytes that arrived at the device and that nobody above handled. Physical memory has one.
    ///
    /// # Kernel
    /// The per-pfn `memory_failure()`.
    ///
    /// # Examples
    /// ```
    /// use badrange_core::{DevOffset, Extent, Fallback, Granule, MfFlags, PageSize};
    /// use badrange_stack::{DeviceSpec, Stack};
    /// use std::sync::Arc;
    /// struct Users; // whatever finds the users of a page
    /// impl Fallback for Users {
    ///     fn memory_failure(&self, page: Granule, _: MfFlags) {
    ///         println!("{page} failed and nobody handled it");
    ///     }
    /// }
    /// let all = Extent::new(DevOffset::new(0), 1 << 46)?;
    /// let stack = Stack::new();
    /// let memory = DeviceSpec::base("mem", all).fallback(PageSize::K64, Arc::new(Users));
    /// let memory = stack.add_device(memory)?;
    /// let report = stack.fail(memory, Extent::new(DevOffset::new(0x1_0040), 64)?, MfFlags::NONE)?;
    /// assert_eq!(report.fallback()[0].1.to_string(), "pfns [0x1..0x2)");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn fallback(self, size: PageSize, fallback: Arc<dyn Fallback>) -> Self {
        Self { pages: Some(Pages { size, fallback }), ..self }
    }

    /// The name, unique in a stack.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the device will use of the devices under its legs. Calls the mapping: with no lock held,
    /// and once, so that what was checked is what is used.
    pub(crate) fn uses(&self) -> Uses {
        let Some(Below { mapping, legs }) = &self.below else { return Uses::default() };
        let numbered = (0_u32..).map(Leg::new).zip(legs.iter());
        let extents = numbered.map(|(leg, id)| (leg, *id, mapping.leg_extent(leg)));
        Uses { legs: mapping.legs(), extents: extents.collect() }
    }
}

/// What a mapping says that it uses.
#[derive(Default)]
pub(crate) struct Uses {
    /// How many legs it has.
    pub(crate) legs: u32,
    /// Of every device that was given for a leg.
    pub(crate) extents: Vec<(Leg, DeviceId, Option<Extent>)>,
}

impl core::fmt::Debug for DeviceSpec {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let mut out = f.debug_struct("DeviceSpec");
        out.field("name", &self.name).field("extent", &self.extent);
        if let Some(Below { mapping, legs }) = &self.below {
            out.field("mapping", mapping).field("legs", legs);
        }
        if let Some(pages) = &self.pages {
            out.field("pages", &pages.size);
        }
        out.finish()
    }
}
