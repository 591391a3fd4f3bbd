use badrange_core::{Errno, Extent, PhysAddr, SECTOR_SIZE, Sector};

use crate::{BadblocksTable, Badrange, Kernel, bytes};

#[cfg(test)]
mod tests;

/// Who provides the memory of a [`Bus`], and so what happens when poison is to be cleared.
///
/// # Examples
/// ```
/// use badrange_core::{Errno, Extent, PhysAddr};
/// use badrange_pmem::{Bus, Kernel, Provider};
/// let range = Extent::new(PhysAddr::new(0x1000), 0x1000)?;
/// let clear = |provider| Bus::new(Kernel::Linux6_12, provider).clear_poison(range, &mut |r| r.len());
/// assert_eq!(clear(Provider::Acpi { clear_unit: 256 }), Ok(4096));
/// assert_eq!(clear(Provider::Acpi { clear_unit: 8192 }), Err(Errno::ENXIO));
/// assert_eq!(clear(Provider::Plain), Ok(4096)); // nothing was cleared
/// assert_eq!(clear(Provider::Cxl), Err(Errno::ENOTTY));
/// assert_eq!(clear(Provider::Gone), Err(Errno::ENXIO));
/// # Ok::<(), badrange_core::RangeError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Provider {
    /// ACPI's NFIT: a firmware command clears, in multiples of `clear_unit` bytes (typically 256),
    /// and machine checks are remembered.
    Acpi {
        /// Bytes that the command clears together: a power of two, else nothing can be cleared.
        clear_unit: u64,
    },
    /// e820, device tree or virtio: there are no commands, and clearing pretends to have worked.
    Plain,
    /// CXL: commands are for devices, not for the bus, so that asking fails.
    Cxl,
    /// No bus any more.
    Gone,
}

/// A firmware's answer to the clear command: how many bytes it cleared, from the start of the range
/// on; 0 when it failed.
pub type ClearError<'a> = &'a mut dyn FnMut(Extent<PhysAddr>) -> u64;

/// One interleave set in physical memory with its own table of bad sectors, counted from its start.
///
/// # Kernel
/// `struct nd_region`; the table is sysfs's `regionX/badblocks`, which cannot be written.
///
/// # Examples
/// ```
/// use badrange_core::{Extent, PhysAddr};
/// use badrange_pmem::{Bus, Kernel, Provider};
/// let place = Extent::new(PhysAddr::new(0x1_0000_0000), 1 << 30)?;
/// let mut bus = Bus::new(Kernel::Linux6_12, Provider::Acpi { clear_unit: 256 });
/// bus.add_region(place);
/// bus.add_bad(Extent::new(PhysAddr::new(0x1_0000_1240), 64)?);
/// assert_eq!(bus.regions()[0].place(), place);
/// assert_eq!(bus.regions()[0].badblocks().show(), "9 1\n");
/// # Ok::<(), badrange_core::RangeError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region {
    place: Extent<PhysAddr>,
    badblocks: BadblocksTable,
}

impl Region {
    /// Where it lies.
    #[must_use]
    pub const fn place(&self) -> Extent<PhysAddr> {
        self.place
    }

    /// Its table.
    #[must_use]
    pub const fn badblocks(&self) -> &BadblocksTable {
        &self.badblocks
    }
}

/// What a bus of persistent memory knows and can do about bad memory.
///
/// Three records are kept: the [list of the bus](Badrange) in bytes of physical memory, the table
/// of each region, and the table of each namespace in use (which belongs to its driver, not to the
/// bus). The first is the source; the others are [filled](Self::populate) from it, rounded outward
/// to sectors and never emptied by that.
///
/// # Kernel
/// `struct nvdimm_bus`; `nvdimm_clear_poison()`, `nvdimm_badblocks_populate()`.
///
/// # Examples
/// ```
/// use badrange_core::{Extent, PhysAddr};
/// use badrange_pmem::{Bus, Kernel, Provider};
/// let phys = |start, len| Extent::new(PhysAddr::new(start), len).unwrap();
/// let mut bus = Bus::new(Kernel::Linux7_2, Provider::Acpi { clear_unit: 256 });
/// bus.add_region(phys(0x40_a000_0000, 1 << 30));
/// // A machine check of a granule of 4 KiB: eight sectors, whatever was bad of it.
/// assert_eq!(bus.machine_check(PhysAddr::new(0x40_a060_2400), 12), Some(phys(0x40_a060_2000, 4096)));
/// assert_eq!(bus.regions()[0].badblocks().show(), "12304 8\n");
/// // The firmware clears 1 KiB of the 4 KiB it was asked for.
/// assert_eq!(bus.clear_poison(phys(0x40_a060_2000, 4096), &mut |_| 1024), Ok(1024));
/// assert_eq!(bus.regions()[0].badblocks().show(), "12306 6\n");
/// assert_eq!(bus.badrange().entries(), [phys(0x40_a060_2400, 3072)]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bus {
    kernel: Kernel,
    provider: Provider,
    badrange: Badrange,
    regions: Vec<Region>,
}

impl Bus {
    /// A bus without regions, on which nothing is bad.
    #[must_use]
    pub const fn new(kernel: Kernel, provider: Provider) -> Self {
        Self { kernel, provider, badrange: Badrange::new(), regions: Vec::new() }
    }

    /// Whose rules it follows.
    #[must_use]
    pub const fn kernel(&self) -> Kernel {
        self.kernel
    }

    /// Who provides its memory.
    #[must_use]
    pub const fn provider(&self) -> Provider {
        self.provider
    }

    /// The list of the bus.
    #[must_use]
    pub const fn badrange(&self) -> &Badrange {
        &self.badrange
    }

    /// The regions, in the order in which they were added.
    #[must_use]
    pub fn regions(&self) -> &[Region] {
        &self.regions
    }

    /// Adds a region; its table is filled from what the bus knows.
    pub fn add_region(&mut self, place: Extent<PhysAddr>) {
        self.add_region_with(place, BadblocksTable::new(self.kernel));
    }

    /// Adds a region with the table that it has already; what the bus knows is added to that.
    ///
    /// The bus itself does not learn what is in the table.
    pub fn add_region_with(&mut self, place: Extent<PhysAddr>, mut badblocks: BadblocksTable) {
        self.populate(place, &mut badblocks);
        self.regions.push(Region { place, badblocks });
    }

    /// Remembers bad memory that a scrub found, and tells the regions.
    ///
    /// # Kernel
    /// `nvdimm_bus_add_badrange()` and `NVDIMM_REVALIDATE_POISON`. Namespaces in use are told too:
    /// that is for their drivers to do, with [`populate`](Self::populate). Holders are not.
    pub fn add_bad(&mut self, bad: Extent<PhysAddr>) {
        self.badrange.add(bad);
        for region in &mut self.regions {
            fill(&self.badrange, region.place, &mut region.badblocks);
        }
    }

    /// A machine check at `addr` with a granule of `1 << lsb` bytes: remembers the granule, if the
    /// provider hears of machine checks and the byte is in a region. What was remembered.
    ///
    /// # Kernel
    /// `nfit_handle_mce()`; the granule is the lowest valid bit of the address in `MCi_MISC`.
    pub fn machine_check(&mut self, addr: PhysAddr, lsb: u32) -> Option<Extent<PhysAddr>> {
        let hears = matches!(self.provider, Provider::Acpi { .. });
        let known = self.regions.iter().any(|region| region.place.contains(addr));
        let granule = granule(addr, lsb).filter(|_| hears && known)?;
        self.add_bad(granule);
        Some(granule)
    }

    /// Marks in a table the sectors of `target` that the bus knows to be bad, acknowledged. Adds,
    /// never removes; what does not fit in the table is left out without a word.
    ///
    /// `target` is the region, the data of a namespace, or all of a raw one: sector 0 of the table
    /// is its first byte.
    ///
    /// # Kernel
    /// `nvdimm_badblocks_populate()`.
    pub fn populate(&self, target: Extent<PhysAddr>, table: &mut BadblocksTable) {
        fill(&self.badrange, target, table);
    }

    /// Clears poison for a driver: how many bytes, from the start of the range on.
    ///
    /// The list of the bus forgets what was cleared, and so does the table of every region in which
    /// all of that lies. Tables of namespaces are left to the caller.
    ///
    /// # Errors
    /// `ENXIO` without a bus, without a valid unit or when the range is not made of units; `ENOTTY`
    /// when the bus has no such command; `EIO` when the firmware cleared nothing.
    ///
    /// # Kernel
    /// `nvdimm_clear_poison()`.
    pub fn clear_poison(
        &mut self,
        range: Extent<PhysAddr>,
        firmware: ClearError<'_>,
    ) -> Result<u64, Errno> {
        match self.provider {
            Provider::Plain => Ok(range.len()),
            Provider::Acpi { clear_unit } if is_in_units(range, clear_unit) => {
                self.send(range, firmware)
            }
            Provider::Acpi { .. } | Provider::Gone => Err(Errno::ENXIO),
            Provider::Cxl => Err(Errno::ENOTTY),
        }
    }

    /// Clears poison for a user of the bus, as `ndctl` does: the same accounting, but no device
    /// driver is involved, and the firmware itself judges the range.
    ///
    /// # Errors
    /// `ENOTTY` where there is no such command, `ENXIO` without a bus, `EIO` when the firmware
    /// cleared nothing.
    ///
    /// # Kernel
    /// `ND_CMD_CLEAR_ERROR` of `__nd_ioctl()`.
    pub fn clear_error(
        &mut self,
        range: Extent<PhysAddr>,
        firmware: ClearError<'_>,
    ) -> Result<u64, Errno> {
        match self.provider {
            Provider::Acpi { .. } => self.send(range, firmware),
            Provider::Plain | Provider::Cxl => Err(Errno::ENOTTY),
            Provider::Gone => Err(Errno::ENXIO),
        }
    }

    fn send(&mut self, range: Extent<PhysAddr>, firmware: ClearError<'_>) -> Result<u64, Errno> {
        let cleared = firmware(range).min(range.len());
        // What was cleared lies in the range: it is no extent only when it is nothing.
        let done = Extent::new(range.start(), cleared).map_err(|_| Errno::EIO)?;
        self.badrange.forget(done);
        let sectors = cleared / SECTOR_SIZE;
        for region in self.regions.iter_mut().filter(|region| region.place.contains_extent(done)) {
            // NO-OVERFLOW: it lies in the region.
            let offset = done.start().get().wrapping_sub(region.place.start().get());
            if sectors > 0 {
                region.badblocks.clear(Sector::new(offset / SECTOR_SIZE), sectors);
            }
        }
        Ok(cleared)
    }
}

fn fill(badrange: &Badrange, target: Extent<PhysAddr>, table: &mut BadblocksTable) {
    for sectors in badrange.sectors(target) {
        // A table without room is no error here: the hardware still raises an exception.
        let _ = table.set(sectors.start(), sectors.len(), true);
    }
}

fn is_in_units(range: Extent<PhysAddr>, unit: u64) -> bool {
    let bits = range.start().get() | range.len();
    unit.is_power_of_two() && bytes::down(bits, unit) == bits
}

/// The granule of `1 << lsb` bytes around a byte; `None` when it does not end within 64 bits.
pub(crate) fn granule(addr: PhysAddr, lsb: u32) -> Option<Extent<PhysAddr>> {
    let unit = 1_u64.checked_shl(lsb)?;
    Extent::new(PhysAddr::new(bytes::down(addr.get(), unit)), unit).ok()
}
