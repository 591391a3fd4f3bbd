//! KERNEL: `madvise_inject_error()` of `mm/madvise.c`.

// NO-OVERFLOW: pages of maps are byte offsets divided, 52 bits: where arithmetic saturates, it
// never does.

use badrange_core::MfFlags;

use super::{
    Halt, Linux, Report,
    errno::{EFAULT, EINTR, EIO, EOPNOTSUPP},
    fault::Fault,
};
use crate::{
    EventOutcome, PAGE_SIZE,
    machine::{DaxPages, MapState, PageSize},
    scenario::FileId,
};

/// A page that an injector has in its hand.
pub(super) enum Target {
    /// Page frame, and how many pages its folio has.
    Page { pfn: u64, step: u64 },
    /// The page could not be faulted in.
    Fault,
    /// Not a page of the memory that is modelled.
    Unmodelled(&'static str),
}

impl Linux<'_> {
    pub(super) fn madvise_hwpoison(
        &mut self,
        by: usize,
        map: usize,
        offset: u64,
        len: u64,
        report: &mut Report,
    ) -> Result<EventOutcome, Halt> {
        let flags = MfFlags::COUNT_INCREASED.with(MfFlags::SW_SIMULATED);
        let flags = match self.machine.quirks.madvise_requires_action() {
            true => flags.with(MfFlags::ACTION_REQUIRED),
            false => flags,
        };
        let (mut calls, mut ret, mut unmodelled) = (Vec::new(), 0, None);
        let mut at = offset / PAGE_SIZE;
        let end = at.saturating_add(len.div_ceil(PAGE_SIZE));
        while at < end && ret == 0 && unmodelled.is_none() {
            if report.dying.contains(&by) {
                // KERNEL: a page is not faulted in for a task that is about to die.
                ret = EINTR;
                break;
            }
            match self.target(by, map, at) {
                Target::Page { pfn, step } => {
                    let call = self.memory_failure(pfn, flags, Some(by), report)?;
                    ret = if call.ret == EOPNOTSUPP { 0 } else { call.ret };
                    calls.push(call);
                    at = at.saturating_add(step);
                }
                Target::Fault => ret = EFAULT,
                Target::Unmodelled(reason) => unmodelled = Some(reason),
            }
        }
        let mut outcome = EventOutcome { unmodelled, ..EventOutcome::default() };
        outcome.ret = unmodelled.is_none().then_some(ret);
        if calls.len() > 1 {
            outcome.calls = Some(calls);
        } else {
            outcome.call = calls.pop();
        }
        Ok(outcome)
    }

    /// KERNEL: `soft_offline_page()` does not take memory that is not "online".
    pub(super) fn madvise_soft_offline(
        &mut self,
        by: usize,
        map: usize,
        offset: u64,
        len: u64,
    ) -> EventOutcome {
        if len == 0 {
            return EventOutcome { ret: Some(0), ..EventOutcome::default() };
        }
        let (ret, unmodelled) = match self.soft_target(by, map, offset / PAGE_SIZE) {
            Target::Page { .. } => (Some(EIO), None),
            Target::Fault => (Some(EFAULT), None),
            Target::Unmodelled(reason) => (None, Some(reason)),
        };
        EventOutcome { ret, unmodelled, ..EventOutcome::default() }
    }

    /// Any page of DAX will do, also one whose place is not known.
    fn soft_target(&mut self, by: usize, map: usize, at: u64) -> Target {
        let dax = self.map(by, map).is_some_and(|map| self.machine.is_dax(map.file));
        match self.target(by, map, at) {
            Target::Unmodelled(_) if dax && !self.is_copy(by, map, at) => {
                Target::Page { pfn: 0, step: 1 }
            }
            Target::Unmodelled(reason) => Target::Unmodelled(reason),
            target @ (Target::Page { .. } | Target::Fault) => target,
        }
    }

    fn is_copy(&self, by: usize, map: usize, at: u64) -> bool {
        self.map(by, map).is_some_and(|map| map.has_copy(map.first.saturating_add(at)))
    }

    fn map(&self, process: usize, map: usize) -> Option<&MapState> {
        Some(self.machine.process(process).maps.get(map)?)
    }

    /// Faults in page `at` of a map, and looks where it is.
    pub(super) fn target(&mut self, by: usize, index: usize, at: u64) -> Target {
        if !self.machine.process(by).alive {
            return Target::Unmodelled("the process is dead");
        }
        let Some(map) = self.map(by, index) else { return Target::Fault };
        let (file, page) = (map.file, map.first.saturating_add(at));
        if map.has_copy(page) {
            return Target::Unmodelled("the page is a private copy in ordinary memory");
        }
        if !self.machine.is_dax(file) {
            return Target::Unmodelled("the page is not the memory of a device");
        }
        if map.level(page).is_none() && !self.fault_map(by, index, file, page) {
            return Target::Fault;
        }
        let place = self.place(file, page).and_then(|place| self.page_phys(place));
        match place {
            Some(phys) => {
                Target::Page { pfn: phys / PAGE_SIZE, step: self.folio_pages(file, page) }
            }
            None => Target::Unmodelled("the page lies on a block whose place is not known"),
        }
    }

    fn place(&self, file: FileId, page: u64) -> Option<DaxPages> {
        match file {
            FileId::Device(device) => {
                let size = self.machine.scenario.device(device).size();
                let inside = page.checked_mul(PAGE_SIZE).is_some_and(|at| at < size);
                inside.then_some(DaxPages { pmem: device, first: page, count: 1 })
            }
            FileId::Inode { fs, ino } => self.machine.file_page(fs, ino, page)?.ok(),
        }
    }

    /// Brings a page into a page table; false when the fault fails.
    fn fault_map(&mut self, by: usize, index: usize, file: FileId, page: u64) -> bool {
        let large = self.map(by, index).map_or(PageSize::Huge, MapState::large_size);
        let fits_huge = self.map(by, index).is_some_and(|map| map.fits_huge(page));
        let size = match file {
            FileId::Device(device) => {
                self.machine.touch(file, page..page.saturating_add(1), false);
                let granule = self.machine.pmem(device).map_or(PAGE_SIZE, |pmem| pmem.align);
                if granule > PAGE_SIZE { large } else { PageSize::Small }
            }
            FileId::Inode { fs, ino } => match self.fault_into((fs, ino), page, fits_huge) {
                (Fault::Mapped(_), size) => size,
                (Fault::Signal(..), _) => return false,
            },
        };
        let state = self.machine.process_mut(by);
        if let Some(map) = state.map_mut(index) {
            map.fault_in(page, size);
        }
        true
    }

    /// How far one call gets.
    fn folio_pages(&self, file: FileId, page: u64) -> u64 {
        match file {
            FileId::Device(device) => {
                self.machine.pmem(device).map_or(1, |pmem| pmem.align / PAGE_SIZE)
            }
            FileId::Inode { fs, ino } => {
                let huge = self.machine.quirks.has_huge_folios()
                    && self.machine.has_huge_entry(fs, ino, page);
                if huge { PageSize::Huge.pages() } else { 1 }
            }
        }
    }
}
