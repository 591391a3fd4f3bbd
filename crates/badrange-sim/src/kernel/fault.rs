//! KERNEL: `fs/dax.c` and `drivers/dax/device.c`: page faults.

// NO-OVERFLOW: pages are byte offsets divided, 52 bits, and extents end within 64 bits: where
// arithmetic saturates, it never does.

use core::ops::Range;
use std::sync::Arc;

use badrange_core::Sector;

use super::Linux;
use crate::{
    Access, EventOutcome, PAGE_SIZE,
    machine::{DaxPages, Entry, PageSize},
    scenario::{Extent, FileId},
};

/// What a page fault came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The page is mapped; where it is, if that is known.
    Mapped(Option<DaxPages>),
    Signal(&'static str, u64),
}

/// KERNEL: any error that is not about poison is `VM_FAULT_SIGBUS`.
const ERROR: Fault = Fault::Signal("BUS_ADRERR", 0);

impl Linux<'_> {
    /// A fresh process maps one page, loads or stores a byte, and is gone.
    pub(super) fn touch(&mut self, file: FileId, offset: u64, write: bool) -> EventOutcome {
        if let Some(reason) = self.cannot_map(file, write) {
            return EventOutcome { unmodelled: Some(reason), ..EventOutcome::default() };
        }
        let page = offset / PAGE_SIZE;
        let fault = match file {
            FileId::Device(device) => self.fault_device(device, page),
            FileId::Inode { fs, ino } if self.machine.is_dax(file) => {
                self.dax_fault(fs, ino, page, write)
            }
            FileId::Inode { fs, ino } => self.cache_fault(fs, ino, page),
        };
        let access = match fault {
            Fault::Signal(code, lsb) => Access::signal(code, lsb),
            Fault::Mapped(place) => Access::ok(place.and_then(|place| self.page_phys(place))),
        };
        EventOutcome { access: Some(access), ..EventOutcome::default() }
    }

    fn cannot_map(&self, file: FileId, write: bool) -> Option<&'static str> {
        let FileId::Inode { fs, ino } = file else { return None };
        let (what, state) = (self.machine.scenario.filesystem(fs), self.machine.fs(fs));
        if !state.mounted {
            return Some("the filesystem is not mounted: the file cannot be opened");
        }
        if state.shutdown {
            return Some("the filesystem is shut down: the file cannot be opened");
        }
        if what.read_only && write {
            return Some("the filesystem is read-only: the file cannot be mapped for writing");
        }
        let dir = what.files.get(&ino).is_some_and(|inode| inode.dir);
        dir.then_some("a directory cannot be mapped")
    }

    /// First byte in physical memory of pages of a pmem device.
    pub(super) fn page_phys(&self, place: DaxPages) -> Option<u64> {
        self.machine.phys(place.pmem, place.first.checked_mul(PAGE_SIZE)?)
    }

    /// A fault of device-dax maps one granule or fails; a block device has page cache.
    ///
    /// KERNEL: `dev_dax_huge_fault()`: the whole granule has to be on the device.
    fn fault_device(&mut self, device: usize, page: u64) -> Fault {
        let file = FileId::Device(device);
        let at = page.saturating_mul(PAGE_SIZE);
        let size = self.machine.scenario.device(device).size();
        if !self.machine.is_dax(file) {
            let bad = at >= size || self.is_bad(device, at, PAGE_SIZE);
            return if bad { ERROR } else { Fault::Mapped(None) };
        }
        let granule = self.machine.pmem(device).map_or(PAGE_SIZE, |pmem| pmem.align);
        let end = at.checked_add(1).and_then(|at| at.checked_next_multiple_of(granule));
        let dead = self.machine.device(device).dead;
        if dead || end.is_none_or(|end| end > size) {
            return ERROR;
        }
        self.machine.touch(file, page..page.saturating_add(1), false);
        Fault::Mapped(Some(DaxPages { pmem: device, first: page, count: 1 }))
    }

    /// Where page cache lies is nobody's business here; reading it in may fail.
    fn cache_fault(&mut self, fs: usize, ino: u64, page: u64) -> Fault {
        self.machine.load_inode(fs, ino);
        let bad = self.bad_in_file(fs, ino, page.saturating_mul(PAGE_SIZE), PAGE_SIZE);
        if bad { ERROR } else { Fault::Mapped(None) }
    }

    /// KERNEL: `dax_iomap_pte_fault()`.
    pub(super) fn dax_fault(&mut self, fs: usize, ino: u64, page: u64, write: bool) -> Fault {
        self.machine.load_inode(fs, ino);
        let byte = page.saturating_mul(PAGE_SIZE);
        let state = self.machine.fs(fs);
        if state.shutdown {
            return ERROR;
        }
        let found = state.data_extent(ino, byte).map(|(extent, at)| (*extent, at));
        let Some((extent, at)) = found else {
            if write {
                self.add_entry(fs, ino, page, false);
            }
            return Fault::Mapped(None);
        };
        let shared = self.is_shared(fs, &extent, at);
        if shared && write {
            return self.cow_fault(fs, ino, page, &extent, at);
        }
        if extent.unwritten && !write {
            // KERNEL: `dax_load_hole()` maps the zero page.
            return Fault::Mapped(None);
        }
        if extent.unwritten && !self.zero_blocks(extent.device, at, PAGE_SIZE, &mut Vec::new()) {
            return ERROR;
        }
        if extent.unwritten {
            self.machine.fs_mut(fs).convert(ino, byte, byte.saturating_add(PAGE_SIZE));
        }
        self.map_page(fs, ino, page, (extent.device, at), shared)
    }

    fn map_page(
        &mut self,
        fs: usize,
        ino: u64,
        page: u64,
        (device, at): (usize, u64),
        shared: bool,
    ) -> Fault {
        let Ok(place) = self.machine.dax_pages(device, at, 1) else { return ERROR };
        if self.first_bad(place).is_some() {
            let (code, lsb) = self.machine.quirks.bad_page_signal();
            return Fault::Signal(code, lsb);
        }
        self.add_entry(fs, ino, page, false);
        if shared && self.machine.quirks.shared_fault_unmaps() {
            self.machine.unmap(FileId::Inode { fs, ino }, &(page..page.saturating_add(1)));
        }
        Fault::Mapped(Some(place))
    }

    /// A write fault on a shared page: the file gets a new block, and everybody who maps the file
    /// page loses the old one. Where the new block is cannot be known.
    ///
    /// KERNEL: the copy reads the old block; known poison there is `-EIO`.
    fn cow_fault(&mut self, fs: usize, ino: u64, page: u64, extent: &Extent, at: u64) -> Fault {
        let Ok(source) = self.machine.dax_pages(extent.device, at, 1) else { return ERROR };
        if self.first_bad(source).is_some() {
            return ERROR;
        }
        let byte = page.saturating_mul(PAGE_SIZE);
        self.machine.fs_mut(fs).move_away(ino, byte, byte.saturating_add(PAGE_SIZE));
        self.add_entry(fs, ino, page, true);
        self.machine.unmap(FileId::Inode { fs, ino }, &(page..page.saturating_add(1)));
        Fault::Mapped(None)
    }

    fn add_entry(&mut self, fs: usize, ino: u64, page: u64, cow: bool) {
        let pages = page..page.saturating_add(1);
        if cow {
            let stamp = self.machine.tick();
            let entry = Entry { stamp, cow };
            let state = self.machine.fs_mut(fs);
            let entries = Arc::make_mut(&mut state.entries).entry(ino).or_default();
            entries.replace(pages, entry);
        } else {
            self.machine.touch(FileId::Inode { fs, ino }, pages, false);
        }
    }

    /// Whether a byte of a file's device belongs to several files. Without a reverse map, the
    /// word of the extent has to do.
    pub(super) fn is_shared(&self, fs: usize, extent: &Extent, at: u64) -> bool {
        let rmapbt = self.machine.scenario.filesystem(fs).rmapbt;
        self.machine.fs(fs).is_shared(extent.device, at) || (extent.shared && !rmapbt)
    }

    /// The first bad sector record in pages of a pmem device, where it begins.
    pub(super) fn first_bad(&self, place: DaxPages) -> Option<Sector> {
        let known = &self.machine.device(place.pmem).badblocks;
        known.first(place.first_sector(), place.sectors())
    }

    /// Faults a page into a map, as large as it goes.
    pub(super) fn fault_into(
        &mut self,
        (fs, ino): (usize, u64),
        page: u64,
        fits_huge: bool,
    ) -> (Fault, PageSize) {
        let unit = PageSize::Huge.around(page);
        let huge = fits_huge && self.can_be_huge(fs, ino, page, &unit);
        let fault = self.dax_fault(fs, ino, page, false);
        if !huge || !matches!(fault, Fault::Mapped(Some(_))) {
            return (fault, PageSize::Small);
        }
        self.machine.touch(FileId::Inode { fs, ino }, unit.clone(), false);
        let state = self.machine.fs_mut(fs);
        Arc::make_mut(&mut state.entries).entry(ino).or_default().add_huge(unit);
        (fault, PageSize::Huge)
    }

    /// KERNEL: `dax_iomap_pmd_fault()`: an entry of single pages stays so; a new one has to be one
    /// extent at an aligned place in memory without a bad sector.
    fn can_be_huge(&self, fs: usize, ino: u64, page: u64, unit: &Range<u64>) -> bool {
        let state = self.machine.fs(fs);
        if let Some(entries) = state.entries.get(&ino) {
            if entries.is_huge(page) {
                return true;
            }
            if entries.first_in(unit.clone()).is_some() {
                return false;
            }
        }
        let bytes = PageSize::Huge.pages().saturating_mul(PAGE_SIZE);
        let found = state.data_extent(ino, unit.start.saturating_mul(PAGE_SIZE));
        let Some((extent, at)) = found else { return false };
        let end = extent.end();
        let whole = at.saturating_add(bytes) <= end && !extent.unwritten;
        let place = self.machine.dax_pages(extent.device, at, PageSize::Huge.pages());
        let Some(place) = place.ok().filter(|place| place.count == PageSize::Huge.pages()) else {
            return false;
        };
        let aligned = self.page_phys(place).is_some_and(|phys| phys.checked_rem(bytes) == Some(0));
        whole && aligned && self.first_bad(place).is_none()
    }
}
