use core::fmt;

use badrange_core::{DevOffset, Extent, PageSize, PhysAddr, Space};

use crate::{
    Align, Kernel, Memory,
    bytes::{self, count, index},
};

#[cfg(test)]
mod tests;

/// Why a program got `SIGBUS`.
///
/// # Kernel
/// `si_code`.
///
/// # Examples
/// ```
/// use badrange_pmem::SigbusCode;
/// assert_eq!(SigbusCode::MceerrAr.to_string(), "BUS_MCEERR_AR");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SigbusCode {
    /// A hardware error that the program has run into: it cannot go on.
    MceerrAr,
    /// A hardware error in its memory that it has not run into yet.
    MceerrAo,
    /// There is nothing at the address.
    Adrerr,
}

impl fmt::Display for SigbusCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MceerrAr => "BUS_MCEERR_AR",
            Self::MceerrAo => "BUS_MCEERR_AO",
            Self::Adrerr => "BUS_ADRERR",
        })
    }
}

/// A `SIGBUS` as the program's handler sees it.
///
/// # Examples
/// ```
/// use badrange_core::PageSize;
/// use badrange_pmem::{Kernel, Sigbus};
/// // A fault on a page that is known to be bad, before and since 6.6:
/// let signal = |kernel, page| Sigbus::of_known_bad_page(kernel, 0x7f00_0000_5678, page).to_string();
/// assert_eq!(signal(Kernel::Linux6_1, PageSize::K4), "BUS_ADRERR at 0x7f0000005000, lsb 0");
/// assert_eq!(signal(Kernel::Linux7_2, PageSize::K4), "BUS_MCEERR_AR at 0x7f0000005000, lsb 12");
/// assert_eq!(signal(Kernel::Linux7_2, PageSize::K64), "BUS_MCEERR_AR at 0x7f0000000000, lsb 16");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sigbus {
    code: SigbusCode,
    addr: u64,
    lsb: u32,
}

impl Sigbus {
    pub(crate) const fn new(code: SigbusCode, addr: u64, lsb: u32) -> Self {
        Self { code, addr, lsb }
    }

    /// The signal for a fault, on a file with DAX, on a page with sectors known to be bad.
    ///
    /// # Kernel
    /// `dax_fault_return()`: `VM_FAULT_SIGBUS`, since 6.6 `VM_FAULT_HWPOISON`.
    #[must_use]
    pub const fn of_known_bad_page(kernel: Kernel, addr: u64, page: PageSize) -> Self {
        let first = bytes::down(addr, page.bytes());
        match kernel {
            Kernel::Linux6_1 => Self::new(SigbusCode::Adrerr, first, 0),
            Kernel::Linux6_12 | Kernel::Linux7_2 => {
                Self::new(SigbusCode::MceerrAr, first, page.shift())
            }
        }
    }

    /// Why.
    #[must_use]
    pub const fn code(&self) -> SigbusCode {
        self.code
    }

    /// The address it names (`si_addr`).
    #[must_use]
    pub const fn addr(&self) -> u64 {
        self.addr
    }

    /// How much is lost there, as a power of two (`si_addr_lsb`); 0 when it does not say.
    #[must_use]
    pub const fn lsb(&self) -> u32 {
        self.lsb
    }
}

impl fmt::Display for Sigbus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {:#x}, lsb {}", self.code, self.addr, self.lsb)
    }
}

/// A mapping of a part of a device into a program: addresses `[start, end)`, the first of which is
/// byte `offset` of the device.
///
/// # Examples
/// ```
/// use badrange_core::DevOffset;
/// use badrange_pmem::Vma;
/// let vma = Vma::new(0x7000, 0x2000, DevOffset::new(0x10_0000)).unwrap();
/// assert_eq!(vma.offset_of(0x7123), Some(DevOffset::new(0x10_0123)));
/// assert_eq!(vma.addr_of(DevOffset::new(0x10_1fff)), Some(0x8fff));
/// assert_eq!((vma.offset_of(0x9000), vma.addr_of(DevOffset::new(0))), (None, None));
/// assert!(Vma::new(0, 0, DevOffset::new(0)).is_none());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Vma {
    start: u64,
    /// INVARIANT: not empty; `start + len` fits.
    device: Extent,
}

impl Vma {
    /// `len` bytes from address `start` on; `None` for none, or when they do not fit in 64 bits.
    #[must_use]
    pub fn new(start: u64, len: u64, offset: DevOffset) -> Option<Self> {
        start.checked_add(len)?;
        Some(Self { start, device: Extent::new(offset, len).ok()? })
    }

    /// The first address.
    #[must_use]
    pub const fn start(&self) -> u64 {
        self.start
    }

    /// One past the last address.
    #[must_use]
    pub fn end(&self) -> u64 {
        // NO-OVERFLOW: an invariant of the type.
        self.start.wrapping_add(self.device.len())
    }

    /// What of the device is mapped.
    #[must_use]
    pub const fn device(&self) -> Extent {
        self.device
    }

    /// The byte of the device at an address.
    #[must_use]
    pub fn offset_of(&self, addr: u64) -> Option<DevOffset> {
        let at = self.device.start().checked_add(addr.checked_sub(self.start)?)?;
        self.device.contains(at).then_some(at)
    }

    /// The address of a byte of the device.
    #[must_use]
    pub fn addr_of(&self, at: DevOffset) -> Option<u64> {
        let offset =
            at.checked_offset_from(self.device.start()).filter(|_| self.device.contains(at));
        self.start.checked_add(offset?)
    }
}

/// How a load from a mapping ended early.
///
/// # Examples
/// See [`UserMapping`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UserFault {
    /// `SIGSEGV`: nothing is mapped at this address.
    Segv(u64),
    /// `SIGBUS`.
    Sigbus(Sigbus),
}

/// What a copy that does not fault came to.
///
/// # Examples
/// See [`UserMapping::load_nofault`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Copied {
    bytes: usize,
    stopped: Option<UserFault>,
}

impl Copied {
    /// How many bytes were copied, from the start on.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Where it stopped: the signal that an ordinary load would have got. `None` when all was copied.
    #[must_use]
    pub const fn stopped(&self) -> Option<UserFault> {
        self.stopped
    }
}

/// A program's view of memory that may be poisoned.
///
/// A plain [`load`](Self::load) dies of poison: `SIGBUS`, with the address and size of what left the
/// page tables. A load by the [exception table](Self::load_nofault) says how far it got, and goes on
/// from there if it wants.
///
/// # Kernel
/// Machine check, `memory_failure()`, `kill_proc()`. There is no such exception table for user space:
/// it is the "only thing we need" of the discussion of 2021.
///
/// # Examples
/// ```
/// use badrange_core::{DevOffset, Extent};
/// use badrange_pmem::{Align, Memory, ModelMemory, Precision, UserFault, UserMapping, Vma};
/// let memory = ModelMemory::new(0x4000, 64);
/// memory.copy_in(DevOffset::new(0), &[1; 0x4000]);
/// memory.poison(Extent::new(DevOffset::new(0x1240), 1)?);
/// let vma = Vma::new(0x7000_0000, 0x4000, DevOffset::new(0)).unwrap();
/// let mapping = UserMapping::new(&memory, vma, Align::Size4K, Precision::Page);
/// let mut buf = [0; 256];
/// let Err(UserFault::Sigbus(signal)) = mapping.load(0x7000_1200, &mut buf) else { panic!() };
/// assert_eq!(signal.to_string(), "BUS_MCEERR_AR at 0x70001000, lsb 12");
/// let copied = mapping.load_nofault(0x7000_1200, &mut buf);
/// assert_eq!((copied.bytes(), copied.stopped()), (64, Some(UserFault::Sigbus(signal))));
/// # Ok::<(), badrange_core::RangeError>(())
/// ```
#[derive(Debug)]
pub struct UserMapping<M> {
    memory: M,
    vma: Vma,
    unit: Align,
    precision: Precision,
    page: PageSize,
}

/// Which address a signal names.
///
/// # Examples
/// ```
/// use badrange_pmem::Precision;
/// assert_ne!(Precision::Page, Precision::Unit);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Precision {
    /// The page with the failed byte: files with DAX whose filesystem is told by its holder, and all
    /// files that are mapped page by page.
    Page,
    /// The first page of the mapping unit: device-dax, and 2 MiB mappings of files in the generic
    /// handler of 7.2.
    Unit,
}

impl<M: Memory> UserMapping<M> {
    /// A mapping by page-table entries of one size, on a host with pages of 4 KiB.
    pub const fn new(memory: M, vma: Vma, unit: Align, precision: Precision) -> Self {
        Self { memory, vma, unit, precision, page: PageSize::K4 }
    }

    /// The same on a host with pages of another size. No entry maps less than a page.
    #[must_use]
    pub fn with_page_size(self, page: PageSize) -> Self {
        Self { page, ..self }
    }

    /// Where it is.
    pub const fn vma(&self) -> Vma {
        self.vma
    }

    /// Loads to `buf`; what was copied before it failed cannot be relied on by anybody.
    ///
    /// # Errors
    /// The signal that ends it.
    pub fn load(&self, addr: u64, buf: &mut [u8]) -> Result<(), UserFault> {
        match self.load_nofault(addr, buf).stopped {
            None => Ok(()),
            Some(fault) => Err(fault),
        }
    }

    /// Loads to `buf` until poison or the end of the mapping: how many bytes, and where it stopped.
    #[must_use]
    pub fn load_nofault(&self, addr: u64, buf: &mut [u8]) -> Copied {
        let Some(at) = self.vma.offset_of(addr) else {
            // Not mapped; who copies nothing does not see that.
            let stopped = (!buf.is_empty()).then_some(UserFault::Segv(addr));
            return Copied { bytes: 0, stopped };
        };
        // NO-OVERFLOW: the address is inside.
        let len = buf.len().min(index(self.vma.end().wrapping_sub(addr)));
        let (inside, beyond) = buf.split_at_mut(len);
        let bytes = self.memory.copy_out(at, inside).min(len);
        let stopped = if bytes < len {
            // NO-OVERFLOW: it stopped before the end of the mapping.
            Some(UserFault::Sigbus(self.signal(addr.wrapping_add(count(bytes)))))
        } else {
            (!beyond.is_empty()).then_some(UserFault::Segv(self.vma.end()))
        };
        Copied { bytes, stopped }
    }

    /// The signal for poison at an address.
    fn signal(&self, addr: u64) -> Sigbus {
        let lsb = self.unit.lsb().max(self.page.shift());
        let named = match self.precision {
            Precision::Page => self.page.bytes(),
            Precision::Unit => self.page.bytes().max(self.unit.bytes()),
        };
        Sigbus::new(SigbusCode::MceerrAr, bytes::down(addr, named), lsb)
    }
}

/// The memory that a machine check at `addr` says is bad: the granule of `1 << lsb` bytes around it.
/// `None` when it does not end within 64 bits.
///
/// Poison of 64 or 256 bytes is often reported with the granule of a page.
///
/// # Kernel
/// `MCI_MISC_ADDR_LSB()`, used by `nfit_handle_mce()`.
///
/// # Examples
/// ```
/// use badrange_core::{Extent, PhysAddr};
/// use badrange_pmem::machine_check_granule;
/// let page = Extent::new(PhysAddr::new(0x40_a060_2000), 4096)?;
/// assert_eq!(machine_check_granule(PhysAddr::new(0x40_a060_2400), 12), Some(page));
/// # Ok::<(), badrange_core::RangeError>(())
/// ```
#[must_use]
pub fn machine_check_granule(addr: PhysAddr, lsb: u32) -> Option<Extent<PhysAddr>> {
    crate::bus::granule(addr, lsb)
}

/// Where the other name of a byte is in a region whose memory stands behind a cache of memory: one
/// hardware error is two failures. `None` for a byte outside of the region, and without a cache.
///
/// The cache and the memory behind it share addresses: bytes of the first `cache_bytes` of the region
/// have their alias that much higher, all others that much lower.
///
/// # Kernel
/// The machine-check notifier of `drivers/cxl`, 6.14 and later, for an extended linear cache. Its
/// first version was off by one: the first byte above the cache got an alias still higher.
///
/// # Examples
/// ```
/// use badrange_core::{Extent, PhysAddr};
/// use badrange_pmem::cache_alias;
/// let region = Extent::new(PhysAddr::new(0x1000), 0x2000)?;
/// let alias = |addr| cache_alias(region, 0x1000, PhysAddr::new(addr)).map(|a| a.get());
/// assert_eq!((alias(0x1040), alias(0x1fff)), (Some(0x2040), Some(0x2fff)));
/// assert_eq!((alias(0x2000), alias(0x2040)), (Some(0x1000), Some(0x1040)));
/// assert_eq!((alias(0xfff), alias(0x3000)), (None, None));
/// # Ok::<(), badrange_core::RangeError>(())
/// ```
#[must_use]
pub fn cache_alias(region: Extent<PhysAddr>, cache_bytes: u64, addr: PhysAddr) -> Option<PhysAddr> {
    let inside = addr.checked_offset_from(region.start()).filter(|_| region.contains(addr))?;
    if cache_bytes == 0 {
        return None;
    }
    if inside >= cache_bytes {
        addr.checked_sub(cache_bytes)
    } else {
        addr.checked_add(cache_bytes)
    }
}
