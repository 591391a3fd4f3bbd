use core::fmt;
use std::collections::BTreeSet;

use badrange_core::{DevOffset, Errno, Extent, PageSize, PhysAddr, SECTOR_SIZE, Sector};

use crate::{
    BadblocksTable, Bus, Kernel, Memory, Namespace,
    bytes::{self, count},
};

mod block;
mod iomap;

#[cfg(test)]
mod tests;

/// What a caller of `direct_access` wants the memory for.
///
/// # Examples
/// ```
/// use badrange_pmem::AccessMode;
/// assert_eq!(AccessMode::RecoveryWrite.to_string(), "recovery write");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AccessMode {
    /// To load and store.
    ///
    /// # Kernel
    /// `DAX_ACCESS`.
    Access,
    /// To write over poison.
    ///
    /// # Kernel
    /// `DAX_RECOVERY_WRITE`.
    RecoveryWrite,
}

impl fmt::Display for AccessMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Access => "access",
            Self::RecoveryWrite => "recovery write",
        })
    }
}

/// Something that happened on the way of a read or a write.
///
/// # Examples
/// ```
/// use badrange_core::{DevOffset, Extent, Sector};
/// use badrange_pmem::AccessStep;
/// let step = AccessStep::Forgotten(Extent::new(Sector::new(8), 8)?);
/// assert_eq!(step.to_string(), "badblocks cleared: sectors 8+8");
/// # Ok::<(), badrange_core::RangeError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AccessStep {
    /// A load met poison that no table knew: a machine check.
    MachineCheck(DevOffset),
    /// Clearing of poison was asked for: bytes cleared, or why none was.
    Cleared(Extent, Result<u64, Errno>),
    /// The page that begins here is no longer marked as poisoned and is back in the direct map.
    PageRestored(DevOffset),
    /// Bytes were stored.
    Stored(Extent),
    /// Sectors were taken out of the table of the device.
    Forgotten(Extent<Sector>),
}

impl fmt::Display for AccessStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MachineCheck(at) => write!(f, "machine check at device byte {at}"),
            Self::Cleared(range, Ok(done)) => {
                write!(f, "poison cleared: {done} of {} bytes of {range}", range.len())
            }
            Self::Cleared(range, Err(errno)) => write!(f, "poison of {range} not cleared: {errno}"),
            Self::PageRestored(page) => write!(f, "page at device byte {page} restored"),
            Self::Stored(range) => write!(f, "data stored: {range}"),
            Self::Forgotten(sectors) => {
                write!(f, "badblocks cleared: sectors {}+{}", sectors.start().get(), sectors.len())
            }
        }
    }
}

/// What a read or a write came to, and what happened on the way.
///
/// # Examples
/// See [`LinuxPmem`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a transfer may be short or have failed"]
pub struct Transfer {
    pub(crate) result: Result<u64, Errno>,
    pub(crate) steps: Vec<AccessStep>,
}

impl Transfer {
    /// Bytes done, from the start on, or why none was.
    ///
    /// # Errors
    /// What the system call returns.
    pub const fn result(&self) -> Result<u64, Errno> {
        self.result
    }

    /// What happened, in order.
    #[must_use]
    pub fn steps(&self) -> &[AccessStep] {
        &self.steps
    }
}

/// The disk that the kernel makes of a namespace, exactly: its table of bad sectors and every way
/// through it to the memory. Its pages are those of the namespace.
///
/// One extent of a file is one contiguous range of the device here, with the same place in its
/// first page: what a filesystem does with several is a sum of such transfers.
///
/// A range that is not on the device is refused with `ENXIO`, which in the kernel is the caller's
/// business.
///
/// # Kernel
/// `struct pmem_device` of `drivers/nvdimm/pmem.c`, `dax_iomap_iter()` of `fs/dax.c`.
///
/// # Examples
/// ```
/// use badrange_core::{DevOffset, Errno, Extent, PhysAddr};
/// use badrange_pmem::*;
/// let phys = |start, len| Extent::new(PhysAddr::new(start), len).unwrap();
/// let dev = |start, len| Extent::new(DevOffset::new(start), len).unwrap();
/// let mut bus = Bus::new(Kernel::Linux6_12, Provider::Acpi { clear_unit: 256 });
/// bus.add_region(phys(0x1_0000_0000, 0x10_0000));
/// bus.add_bad(phys(0x1_0000_4200, 512)); // one sector of page 4
/// let memory = ModelMemory::new(0x10_0000, 256);
/// memory.poison(dev(0x4200, 512));
/// let namespace = Namespace::new(phys(0x1_0000_0000, 0x10_0000), 0, Mode::Fsdax)?;
/// let mut pmem = LinuxPmem::new(namespace, &memory, &bus);
///
/// // A read fails as a whole, however much of it is good.
/// let mut buf = vec![0; 0x10000];
/// assert_eq!(pmem.read(&mut bus, dev(0, 0x10000), &mut buf).result(), Err(Errno::EIO));
/// // A write of less than the page fails too; a write of pages repairs.
/// let short = pmem.write(&mut bus, DevOffset::new(0x4200), &[1; 512]);
/// assert_eq!(short.result(), Err(Errno::EFAULT));
/// let whole = pmem.write(&mut bus, DevOffset::new(0x4000), &[1; 4096]);
/// assert_eq!(whole.result(), Ok(4096));
/// assert_eq!(whole.steps()[0], AccessStep::Cleared(dev(0x4000, 4096), Ok(4096)));
/// assert_eq!(pmem.read(&mut bus, dev(0, 0x10000), &mut buf).result(), Ok(0x10000));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct LinuxPmem<M> {
    kernel: Kernel,
    namespace: Namespace,
    memory: M,
    badblocks: BadblocksTable,
    /// First bytes of the pages marked as poisoned.
    poisoned_pages: BTreeSet<DevOffset>,
    /// The granule that machine checks report, as a power of two.
    machine_check_lsb: u32,
}

impl<M: Memory> LinuxPmem<M> {
    /// The disk of a namespace, with its table filled from what the bus knows. It follows the rules
    /// of the bus's kernel. Machine checks report pages.
    pub fn new(namespace: Namespace, memory: M, bus: &Bus) -> Self {
        let mut badblocks = BadblocksTable::new(bus.kernel());
        bus.populate(namespace.data(), &mut badblocks);
        Self {
            kernel: bus.kernel(),
            namespace,
            memory,
            badblocks,
            poisoned_pages: BTreeSet::new(),
            machine_check_lsb: namespace.page_size().shift(),
        }
    }

    /// The same, where machine checks report a granule of `1 << lsb` bytes.
    #[must_use]
    pub fn with_machine_check_lsb(self, lsb: u32) -> Self {
        Self { machine_check_lsb: lsb, ..self }
    }

    /// Its geometry.
    #[must_use]
    pub const fn namespace(&self) -> Namespace {
        self.namespace
    }

    /// Its table of bad sectors.
    #[must_use]
    pub const fn badblocks(&self) -> &BadblocksTable {
        &self.badblocks
    }

    /// The memory it lies in.
    #[must_use]
    pub const fn memory(&self) -> &M {
        &self.memory
    }

    /// Adds to its table what the bus has learned since.
    ///
    /// # Kernel
    /// `pmem_revalidate_poison()`.
    pub fn revalidate(&mut self, bus: &Bus) {
        bus.populate(self.namespace.data(), &mut self.badblocks);
    }

    /// Marks the page of a byte as poisoned, as `memory_failure()` does.
    pub fn mark_page(&mut self, at: DevOffset) {
        self.poisoned_pages.insert(self.page_of(at));
    }

    /// The first bytes of the pages marked as poisoned, ascending.
    pub fn marked_pages(&self) -> impl Iterator<Item = DevOffset> + '_ {
        self.poisoned_pages.iter().copied()
    }

    /// How many pages from page `page` on a caller gets who asks for `pages`.
    ///
    /// | sectors known to be bad | [`AccessMode::Access`] | [`AccessMode::RecoveryWrite`] |
    /// | --- | --- | --- |
    /// | none in the range | what was asked for, up to the end | the same |
    /// | some in the range | `EHWPOISON` (6.1: `EIO`) | [`recovery_pages`] |
    ///
    /// Never more than was asked for, where the kernel gives all up to the end of a device without
    /// bad sectors and leaves it to the caller to use less.
    ///
    /// # Errors
    /// As above; `ENXIO` for a page that is not on the device, `ERANGE` for no pages at all.
    ///
    /// # Kernel
    /// `dax_direct_access()` and `__pmem_direct_access()`.
    pub fn direct_access(&self, page: u64, pages: u64, mode: AccessMode) -> Result<u64, Errno> {
        let size = self.page_size();
        let all = self.namespace.capacity().len() / size.nonzero();
        let left = all.checked_sub(page).filter(|left| *left > 0).ok_or(Errno::ENXIO)?;
        // NO-OVERFLOW: pages of the device, in sectors.
        let sector = page.wrapping_mul(size.bytes() / SECTOR_SIZE);
        let asked = pages.min(left).wrapping_mul(size.bytes() / SECTOR_SIZE);
        let first = self.badblocks.check(Sector::new(sector), asked).first();
        let granted = match (first, mode) {
            (None, _) => pages,
            (Some(_), AccessMode::Access) => return Err(poisoned(self.kernel)),
            (Some(bad), AccessMode::RecoveryWrite) => {
                recovery_pages(Sector::new(sector), bad.start(), pages, size)
            }
        };
        match granted.min(pages).min(left) {
            0 => Err(Errno::ERANGE),
            granted => Ok(granted),
        }
    }

    fn page_size(&self) -> PageSize {
        self.namespace.page_size()
    }

    /// The first byte of the page that holds a byte.
    fn page_of(&self, at: DevOffset) -> DevOffset {
        DevOffset::new(bytes::down(at.get(), self.page_size().bytes()))
    }

    /// Whether any sector that the bytes touch is known to be bad.
    fn is_bad(&self, range: Extent) -> bool {
        let sectors = range.containing_sectors();
        !self.badblocks.is_empty()
            && self.badblocks.check(sectors.start(), sectors.len()).code() != 0
    }

    /// The bytes, when they are on the device.
    fn on_device(&self, at: DevOffset, len: u64) -> Result<Extent, Errno> {
        let range = Extent::new(at, len).map_err(|_| Errno::EINVAL)?;
        let fits = self.namespace.capacity().contains_extent(range);
        if fits { Ok(range) } else { Err(Errno::ENXIO) }
    }

    /// Clears poison of a part of the device: bytes cleared. Their pages are restored.
    ///
    /// KERNEL: `__pmem_clear_poison()`.
    fn clear_poison(
        &mut self,
        bus: &mut Bus,
        range: Extent,
        steps: &mut Vec<AccessStep>,
    ) -> Result<u64, Errno> {
        let Some(link) = self.namespace.link().of_upper(range.into()) else {
            debug_assert!(false, "a transfer is on the device");
            return Err(Errno::ENXIO);
        };
        // The bus asks for the range that it was given.
        let mut firmware = |_: Extent<PhysAddr>| self.memory.clear_poison(range);
        let cleared = bus.clear_poison(link.lower().span().phys(), &mut firmware);
        steps.push(AccessStep::Cleared(range, cleared));
        self.restore_pages(range.start(), cleared?, steps);
        cleared
    }

    /// KERNEL: `pmem_mkpage_present()`.
    fn restore_pages(&mut self, at: DevOffset, cleared: u64, steps: &mut Vec<AccessStep>) {
        let (first, page) = (self.page_of(at), self.page_size().bytes());
        // NO-OVERFLOW: what was cleared is on the device.
        let end = DevOffset::new(first.get().wrapping_add(bytes::down(cleared, page)));
        let restored: Vec<_> = self.poisoned_pages.range(first..end).copied().collect();
        for page in restored {
            self.poisoned_pages.remove(&page);
            steps.push(AccessStep::PageRestored(page));
        }
    }

    /// KERNEL: `pmem_clear_bb()`.
    fn forget(&mut self, at: DevOffset, cleared: u64, steps: &mut Vec<AccessStep>) {
        // Less than a sector is forgotten by nobody.
        let Ok(sectors) = Extent::new(Sector::containing(at), cleared / SECTOR_SIZE) else {
            return;
        };
        self.badblocks.clear(sectors.start(), sectors.len());
        steps.push(AccessStep::Forgotten(sectors));
    }

    fn store(&self, range: Extent, data: &[u8], steps: &mut Vec<AccessStep>) {
        self.memory.copy_in(range.start(), data);
        steps.push(AccessStep::Stored(range));
    }

    /// Copies out; poison that is met raises a machine check, which the bus may remember.
    fn load(
        &mut self,
        bus: &mut Bus,
        at: DevOffset,
        buf: &mut [u8],
        steps: &mut Vec<AccessStep>,
    ) -> u64 {
        let done = count(self.memory.copy_out(at, buf).min(buf.len()));
        if done == count(buf.len()) {
            return done;
        }
        // NO-OVERFLOW: what was asked for is on the device, and the device in memory.
        let stop = DevOffset::new(at.get().wrapping_add(done));
        let phys = self.namespace.data().start().get().wrapping_add(stop.get());
        steps.push(AccessStep::MachineCheck(stop));
        if bus.machine_check(PhysAddr::new(phys), self.machine_check_lsb).is_some() {
            self.revalidate(bus);
        }
        done
    }
}

/// What `direct_access` says about poison.
const fn poisoned(kernel: Kernel) -> Errno {
    match kernel {
        Kernel::Linux6_1 => Errno::EIO,
        Kernel::Linux6_12 | Kernel::Linux7_2 => Errno::EHWPOISON,
    }
}

/// How many pages a recovery write gets at once, when it asks for `pages` of `size` from `sector` on
/// and the first bad record begins at `first_bad`.
///
/// The clean pages before, with the bad one if the bad record begins in the middle of it; one page
/// when it begins in the first sector. But a record is not clipped to what was asked: when it begins
/// before, the distance wraps. Up to a sector less than a page before, rounding up to pages wraps it
/// back to zero, and one page is granted; from a page on it is more than anybody asks for: all pages
/// are.
///
/// # Kernel
/// `PHYS_PFN(PAGE_ALIGN((first_bad - sector) << SECTOR_SHIFT))` of `__pmem_direct_access()`.
///
/// # Examples
/// ```
/// use badrange_core::{PageSize, Sector};
/// use badrange_pmem::recovery_pages;
/// let pages = |first_bad| recovery_pages(Sector::new(800), Sector::new(first_bad), 10, PageSize::K4);
/// assert_eq!((pages(800), pages(801), pages(808), pages(817)), (1, 1, 1, 3));
/// assert_eq!((pages(799), pages(793), pages(792), pages(0)), (1, 1, 10, 10));
/// ```
#[must_use]
pub const fn recovery_pages(sector: Sector, first_bad: Sector, pages: u64, size: PageSize) -> u64 {
    let distance = first_bad.get().wrapping_sub(sector.get()).wrapping_mul(SECTOR_SIZE);
    let granted = distance.wrapping_add(size.bytes().wrapping_sub(1)) >> size.shift();
    let granted = if granted == 0 { 1 } else { granted };
    if granted < pages { granted } else { pages }
}
