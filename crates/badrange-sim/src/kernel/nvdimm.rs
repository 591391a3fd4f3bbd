//! KERNEL: `drivers/acpi/nfit/mce.c`, `drivers/nvdimm/`: what the bus remembers, how tables of bad
//! sectors are filled from it, and clearing poison.

use badrange_core::{Extent, PhysAddr, SECTOR_SIZE};

use super::{Linux, errno::ENXIO};
use crate::{
    PhysBytes,
    scenario::{Pmem, Provider},
};

impl Linux<'_> {
    /// Records a hardware error of 2^`lsb` bytes, if it is in memory the bus has: what was recorded.
    ///
    /// KERNEL: `nfit_handle_mce()`. Memory that comes from e820 or virtio is on no bus that hears
    /// of machine checks.
    pub(super) fn record_error(&mut self, phys: u64, lsb: u64) -> Option<PhysBytes> {
        let addr = PhysAddr::new(phys);
        let scenario = self.machine.scenario;
        let known = (0..scenario.devices.len()).filter_map(|device| self.machine.pmem(device));
        let on_bus =
            |pmem: &&Pmem| pmem.provider == Provider::Nfit && self.bus_range(pmem).contains(addr);
        known.into_iter().find(on_bus)?;
        let unit = 1_u64.checked_shl(u32::try_from(lsb).ok()?)?;
        let start = phys.checked_sub(phys.checked_rem(unit)?)?;
        self.machine.badrange.add(start, unit);
        self.populate();
        Some(PhysBytes::new(start, unit))
    }

    /// The region of a namespace, or the namespace where no region is given.
    fn bus_range(&self, pmem: &Pmem) -> Extent<PhysAddr> {
        let region = pmem.region.and_then(|region| self.machine.scenario.regions.get(region));
        region.map_or(pmem.namespace.whole(), |region| region.place)
    }

    /// KERNEL: `nvdimm_badblocks_populate()` for regions and for namespaces in use: adds, never
    /// removes.
    fn populate(&mut self) {
        let machine = &mut self.machine;
        let regions = machine.scenario.regions.iter().zip(&mut machine.regions);
        for (region, table) in regions {
            let place = region.place;
            for (start, len) in machine.badrange.sectors(place.start().get(), place.len()) {
                table.set(start, len);
            }
        }
        for device in 0..machine.devices.len() {
            let Some(pmem) = machine.pmem(device) else { continue };
            let data = pmem.namespace.data();
            let sectors = machine.badrange.sectors(data.start().get(), data.len());
            let Some(state) = machine.devices.get_mut(device) else { continue };
            for (start, len) in sectors.into_iter().filter(|_| !state.dead) {
                state.badblocks.set(start, len);
            }
        }
    }

    /// Clears poison of bytes of a pmem device: (first byte in memory, bytes cleared or `-errno`).
    /// The device's own table is not touched.
    ///
    /// KERNEL: `nvdimm_clear_poison()`. A bus without a clear command pretends.
    pub(super) fn clear_poison(&mut self, pmem: usize, at: u64, len: u64) -> (u64, i64) {
        let found = self.machine.pmem(pmem).zip(self.machine.phys(pmem, at));
        let Some((what, phys)) = found else { return (0, ENXIO) };
        let all = i64::try_from(len).unwrap_or(i64::MAX);
        let cleared = what.clear_poison.map_or(all, |ret| ret.min(all));
        if what.provider == Provider::Nfit {
            self.forget(what, phys, u64::try_from(cleared).unwrap_or(0));
        }
        (phys, cleared)
    }

    /// KERNEL: the bus forgets, and so does the region if it holds all that was cleared.
    fn forget(&mut self, pmem: &Pmem, phys: u64, cleared: u64) {
        let Ok(range) = Extent::new(PhysAddr::new(phys), cleared) else { return };
        self.machine.badrange.forget(phys, cleared);
        let Some(index) = pmem.region else { return };
        let scenario = self.machine.scenario;
        let found = scenario.regions.get(index).zip(self.machine.regions.get_mut(index));
        let Some((region, table)) = found else { return };
        if region.place.contains_extent(range) {
            let inside = phys.saturating_sub(region.place.start().get());
            table.clear(inside / SECTOR_SIZE, cleared / SECTOR_SIZE);
        }
    }
}
