//! KERNEL: `mf_generic_kill_procs()`: what is done with one page when no filesystem takes care of
//! it. The page itself remembers whose it is, and that is all there is to go by.

use super::{Halt, Linux, Report, errno::EBUSY, quirks::SharedPages};
use crate::{
    Crash, PAGE_SIZE,
    machine::{Entry, PageSize},
    scenario::FileId,
};

/// What a page remembers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Memory {
    Nothing,
    File(FileId, u64),
    /// KERNEL: `PAGE_MAPPING_DAX_SHARED`, the number 1 in place of a pointer.
    Marker,
}

impl Linux<'_> {
    /// Fails a page of a pmem device by what the page remembers.
    pub(super) fn kill_by_page(
        &mut self,
        pmem: usize,
        page: u64,
        current: Option<usize>,
        report: &mut Report,
    ) -> Result<i64, Halt> {
        match self.remembered(pmem, page) {
            // KERNEL: `dax_lock_folio()` has nothing to lock.
            Memory::Nothing => Ok(EBUSY),
            // KERNEL: `dax_lock_page()` follows the marker as if it were a pointer.
            Memory::Marker => Err(Halt::Crash(Crash::Oops)),
            Memory::File(file, page) => {
                self.fail_page(file, page, current, false, report);
                Ok(0)
            }
        }
    }

    pub(super) fn remembered(&self, pmem: usize, page: u64) -> Memory {
        let devdax = self.machine.scenario.device(pmem).is_devdax();
        if devdax { self.remembered_device(pmem, page) } else { self.remembered_file(pmem, page) }
    }

    /// Device-dax works on compound pages: the first page of the fault granule stands for all.
    fn remembered_device(&self, device: usize, page: u64) -> Memory {
        let known = self.machine.device(device).faulted.contains(page);
        let unit = self.machine.pmem(device).map_or(1, |pmem| pmem.align / PAGE_SIZE);
        match page.checked_rem(unit).and_then(|inside| page.checked_sub(inside)) {
            Some(head) if known => Memory::File(FileId::Device(device), head),
            Some(_) | None => Memory::Nothing,
        }
    }

    fn remembered_file(&self, pmem: usize, page: u64) -> Memory {
        let mut touched = self.touched_pages(pmem, page);
        touched.sort_by_key(|(_, _, entry, _)| entry.stamp);
        let mut memory = Memory::Nothing;
        for (file, page, entry, shared) in touched {
            let this = Memory::File(file, page);
            memory = match self.machine.quirks.shared_pages() {
                SharedPages::LastFile if entry.cow => Memory::Marker,
                SharedPages::Marker if entry.cow || shared => Memory::Marker,
                SharedPages::LastFile | SharedPages::Marker => this,
                // KERNEL: `dax_folio_make_shared()` clears the mapping for the second sharer and
                // all after it; a new block of its own is like any first one.
                SharedPages::Forgotten if shared && memory != Memory::Nothing => {
                    return Memory::Nothing;
                }
                SharedPages::Forgotten => this,
            };
        }
        memory
    }

    /// The file pages with an entry for a page of memory: file, page, entry, and whether the
    /// extent is shared. Where the kernel has huge folios, the page is the first one of the entry.
    fn touched_pages(&self, pmem: usize, page: u64) -> Vec<(FileId, u64, Entry, bool)> {
        let mut touched = Vec::new();
        for (fs, ino, page) in self.machine.file_pages_at(pmem, page) {
            let state = self.machine.fs(fs);
            let Some(entries) = state.entries.get(&ino) else { continue };
            let Some(entry) = entries.get(page) else { continue };
            let shared = page
                .checked_mul(PAGE_SIZE)
                .and_then(|at| state.data_extent(ino, at))
                .is_some_and(|(extent, at)| self.is_shared(fs, extent, at));
            let huge = self.machine.quirks.has_huge_folios() && entries.is_huge(page);
            let head = if huge { PageSize::Huge.around(page).start } else { page };
            touched.push((FileId::Inode { fs, ino }, head, entry, shared));
        }
        touched
    }
}
