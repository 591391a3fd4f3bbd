//! KERNEL: `drivers/acpi/nfit/mce.c`, `drivers/nvdimm/`: what the bus remembers, how tables of bad
//! sectors are filled from it, and clearing poison.

use badrange_core::{Extent, PhysAddr};
use badrange_pmem::machine_check_granule;

use super::{Linux, errno::ENXIO};
use crate::{
    PhysBytes,
    machine::Machine,
    scenario::{DeviceKind, Pmem, Provider},
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
        let granule = machine_check_granule(addr, u32::try_from(lsb).ok()?)?;
        self.machine.bus.add_bad(granule);
        self.populate();
        Some(PhysBytes::new(granule.start().get(), granule.len()))
    }

    /// The region of a namespace, or the namespace where no region is given.
    fn bus_range(&self, pmem: &Pmem) -> Extent<PhysAddr> {
        let region = pmem.region.and_then(|region| self.machine.scenario.regions.get(region));
        region.map_or(pmem.namespace.whole(), |region| region.place)
    }

    /// KERNEL: `nvdimm_badblocks_populate()` for namespaces in use: adds, never removes.
    fn populate(&mut self) {
        let Machine { scenario, devices, bus, .. } = &mut self.machine;
        let alive = scenario.devices.iter().zip(devices).filter(|(_, state)| !state.dead);
        for (what, state) in alive {
            if let DeviceKind::Pmem(pmem) = &what.kind {
                state.badblocks.populate(bus, pmem.namespace.data());
            }
        }
    }

    /// Clears poison of bytes of a pmem device: (first byte in memory, bytes cleared or `-errno`).
    /// The device's own table is not touched.
    ///
    /// KERNEL: `nvdimm_clear_poison()`. A bus without a clear command pretends.
    pub(super) fn clear_poison(&mut self, pmem: usize, at: u64, len: u64) -> (u64, i64) {
        let found = self.machine.pmem(pmem).zip(self.machine.phys(pmem, at));
        debug_assert!(found.is_some(), "bytes of a pmem device are memory");
        let Some((what, phys)) = found else { return (0, ENXIO) };
        let all = i64::try_from(len).unwrap_or(i64::MAX);
        let cleared = what.clear_poison.map_or(all, |ret| ret.min(all));
        if what.provider == Provider::Nfit {
            self.forget(phys, len, u64::try_from(cleared).unwrap_or(0));
        }
        (phys, cleared)
    }

    /// The bus forgets what was cleared, and so does each region that holds all of it.
    fn forget(&mut self, phys: u64, len: u64, cleared: u64) {
        if let Ok(range) = Extent::new(PhysAddr::new(phys), len) {
            // How it ends for the driver, the scenario has said.
            let _ = self.machine.bus.clear_poison(range, &mut |_| cleared);
        }
    }
}
