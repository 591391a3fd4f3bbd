use badrange_core::{DevOffset, Errno, Extent, Sector};

use crate::{Align, Bus, ClearError, Namespace, Sigbus, SigbusCode, Vma, bytes, media_errors};

#[cfg(test)]
mod tests;

/// What a page fault of device-dax comes to.
///
/// # Examples
/// See [`DevDax`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DaxFault {
    /// The whole unit is mapped to this part of the device.
    Mapped(Extent),
    /// The program gets a plain `SIGBUS`.
    Sigbus,
    /// Ask again with the next smaller size.
    Fallback,
}

/// What one failed byte costs somebody who maps a device-dax device.
///
/// # Examples
/// See [`DevDax::blast_radius`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Blast {
    unit: Extent,
    signal: Sigbus,
}

impl Blast {
    /// The part of the device that leaves the page tables: a mapping unit.
    #[must_use]
    pub const fn unit(&self) -> Extent {
        self.unit
    }

    /// What the program is told: the first byte of the unit, and how long it is.
    #[must_use]
    pub const fn signal(&self) -> Sigbus {
        self.signal
    }
}

/// A character device for mappings of persistent memory, with a fault granularity that is
/// guaranteed: its [`Align`].
///
/// There is no smaller fallback and no look at tables of bad sectors: poison is met by the program,
/// as a machine check, and what leaves its page tables is the whole mapping unit. Nor has the device
/// a table of its own: [`list_errors`](Self::list_errors) and [`clear_error`](Self::clear_error)
/// translate those of the region, as `ndctl` does.
///
/// # Kernel
/// `drivers/dax/device.c`.
///
/// # Examples
/// ```
/// use badrange_core::{DevOffset, Errno, Extent, PhysAddr};
/// use badrange_pmem::{Align, DaxFault, DevDax, Mode, Namespace, Vma};
/// let whole = Extent::new(PhysAddr::new(0x1_0000_0000), 64 << 20)?;
/// let namespace = Namespace::new(whole, 2 << 20, Mode::Devdax)?.with_align(Align::Size2M)?;
/// let dax = DevDax::new(namespace).unwrap();
/// let vma = Vma::new(0x7f00_0000_0000, 8 << 20, DevOffset::new(0)).unwrap();
/// assert_eq!(dax.mmap(vma, true), Ok(()));
/// assert_eq!(dax.mmap(vma, false), Err(Errno::EINVAL)); // private
/// let at = 0x7f00_0020_1234;
/// assert_eq!(dax.fault(vma, at, Align::Size1G), DaxFault::Fallback);
/// let unit = Extent::new(DevOffset::new(2 << 20), 2 << 20)?;
/// assert_eq!(dax.fault(vma, at, Align::Size2M), DaxFault::Mapped(unit));
/// assert_eq!(dax.fault(vma, at, Align::Size4K), DaxFault::Sigbus); // no smaller ones
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DevDax {
    namespace: Namespace,
    align: Align,
    alive: bool,
}

impl DevDax {
    /// The device of a namespace; `None` when the namespace says no granularity.
    #[must_use]
    pub const fn new(namespace: Namespace) -> Option<Self> {
        match namespace.align() {
            Some(align) => Some(Self { namespace, align, alive: true }),
            None => None,
        }
    }

    /// The same device after its driver has let it go.
    #[must_use]
    pub const fn dead(self) -> Self {
        Self { alive: false, ..self }
    }

    /// Its geometry.
    #[must_use]
    pub const fn namespace(&self) -> Namespace {
        self.namespace
    }

    /// How much one fault maps.
    #[must_use]
    pub const fn align(&self) -> Align {
        self.align
    }

    /// Whether the device lets itself be mapped there.
    ///
    /// # Errors
    /// `ENXIO` when it is dead; `EINVAL` for a private mapping and for one whose addresses are no
    /// multiples of the granularity.
    ///
    /// # Kernel
    /// `check_vma()`.
    pub fn mmap(&self, vma: Vma, shared: bool) -> Result<(), Errno> {
        if !self.alive {
            return Err(Errno::ENXIO);
        }
        let bits = vma.start() | vma.end();
        let aligned = bytes::down(bits, self.align.bytes()) == bits;
        if shared && aligned { Ok(()) } else { Err(Errno::EINVAL) }
    }

    /// A fault of one size at an address.
    ///
    /// A size below the granularity is an error, one above it falls back. The unit has to lie in
    /// the mapping and on the device as a whole.
    ///
    /// # Kernel
    /// `__dev_dax_pte_fault()`, `__dev_dax_pmd_fault()`, `__dev_dax_pud_fault()`.
    #[must_use]
    pub fn fault(&self, vma: Vma, addr: u64, size: Align) -> DaxFault {
        if self.mmap(vma, true).is_err() || size < self.align {
            return DaxFault::Sigbus;
        }
        if size > self.align {
            return DaxFault::Fallback;
        }
        let unit =
            self.unit_at(vma, addr).filter(|unit| self.namespace.capacity().contains_extent(*unit));
        unit.map_or(DaxFault::Sigbus, DaxFault::Mapped)
    }

    /// The bytes of the device that the unit around an address maps, if it is in the mapping.
    fn unit_at(&self, vma: Vma, addr: u64) -> Option<Extent> {
        let len = self.align.bytes();
        // A unit that reaches beyond 64 bits is in no mapping either.
        let unit = Extent::new(vma.offset_of(bytes::down(addr, len))?, len).ok()?;
        vma.device().contains_extent(unit).then_some(unit)
    }

    /// What the failure of a byte of the device costs somebody who maps it there and has touched
    /// it; `None` when it is not in the mapping.
    ///
    /// The signal names the first byte of the unit, whatever the failed byte: the page of a unit is
    /// one.
    ///
    /// # Kernel
    /// `mf_generic_kill_procs()`: device-dax has no `->memory_failure` of its own.
    ///
    /// # Examples
    /// ```
    /// use badrange_core::{DevOffset, Extent, PhysAddr};
    /// use badrange_pmem::{Align, DevDax, Mode, Namespace, SigbusCode, Vma};
    /// let whole = Extent::new(PhysAddr::new(1 << 30), 4 << 30)?;
    /// let vma = Vma::new(0x7f00_0000_0000, 2 << 30, DevOffset::new(1 << 30)).unwrap();
    /// let lost = |align| {
    ///     let namespace = Namespace::new(whole, 0, Mode::Devdax)?.with_align(align)?;
    ///     Ok(DevDax::new(namespace).unwrap().blast_radius(vma, DevOffset::new((1 << 30) + 0x21_0040)).unwrap())
    /// };
    /// let check = |align, addr, lsb| {
    ///     let blast = lost(align)?;
    ///     assert_eq!((blast.signal().addr(), blast.signal().lsb()), (addr, lsb));
    ///     assert_eq!(blast.unit().len(), 1 << lsb);
    ///     Ok::<(), badrange_pmem::NamespaceError>(())
    /// };
    /// check(Align::Size4K, 0x7f00_0021_0000, 12)?;
    /// check(Align::Size2M, 0x7f00_0020_0000, 21)?;
    /// check(Align::Size1G, 0x7f00_0000_0000, 30)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn blast_radius(&self, vma: Vma, at: DevOffset) -> Option<Blast> {
        let addr = vma.addr_of(at)?;
        let unit = self.unit_at(vma, addr)?;
        let first = vma.addr_of(unit.start())?;
        let signal = Sigbus::new(SigbusCode::MceerrAr, first, self.align.lsb());
        Some(Blast { unit, signal })
    }

    /// The bad sectors of the device, from the table of the bus's region with that number.
    ///
    /// # Errors
    /// `ENXIO` when the bus has no such region.
    ///
    /// # Examples
    /// ```
    /// use badrange_core::{Extent, PhysAddr, Sector};
    /// use badrange_pmem::{Align, Bus, DevDax, Kernel, Mode, Namespace, Provider};
    /// let whole = Extent::new(PhysAddr::new(0x1_0000_0000), 64 << 20)?;
    /// let namespace = Namespace::new(whole, 2 << 20, Mode::Devdax)?.with_align(Align::Size2M)?;
    /// let dax = DevDax::new(namespace).unwrap();
    /// let mut bus = Bus::new(Kernel::Linux7_2, Provider::Acpi { clear_unit: 256 });
    /// bus.add_region(whole);
    /// bus.add_bad(Extent::new(PhysAddr::new(0x1_0020_3000), 512)?);
    /// let bad = Extent::new(Sector::new(24), 1)?;
    /// assert_eq!(dax.list_errors(&bus, 0), Ok(vec![bad]));
    /// assert_eq!(dax.clear_error(&mut bus, bad, &mut |range| range.len()), Ok(512));
    /// assert_eq!(dax.list_errors(&bus, 0), Ok(vec![]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn list_errors(&self, bus: &Bus, region: usize) -> Result<Vec<Extent<Sector>>, Errno> {
        let region = bus.regions().get(region).ok_or(Errno::ENXIO)?;
        let records = region.badblocks().records();
        let sectors = records.filter_map(|record| record.extent());
        Ok(media_errors(&self.namespace, region.place().start(), sectors))
    }

    /// Clears poison of sectors of the device with the command of the bus: how many bytes were
    /// cleared.
    ///
    /// # Errors
    /// `EINVAL` for what is not on the device; else as [`Bus::clear_error`].
    pub fn clear_error(
        &self,
        bus: &mut Bus,
        sectors: Extent<Sector>,
        firmware: ClearError<'_>,
    ) -> Result<u64, Errno> {
        let bytes = sectors.bytes().map_err(|_| Errno::EINVAL)?;
        let link = self.namespace.link().of_upper(bytes.into()).ok_or(Errno::EINVAL)?;
        bus.clear_error(link.lower().span().phys(), firmware)
    }
}

impl Align {
    /// The granularity as a power of two, as a signal says it: 12, 21 or 30.
    ///
    /// # Kernel
    /// `si_addr_lsb`.
    #[must_use]
    pub const fn lsb(self) -> u32 {
        self.bytes().trailing_zeros()
    }
}
