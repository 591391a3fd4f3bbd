//! Processes and their page tables. All pages are pages of the file that is mapped.

use core::ops::Range;
use std::sync::Arc;

use badrange_pmem::Align;

use super::pages::Pages;
use crate::{
    PAGE_SIZE,
    scenario::{Device, DeviceKind, FileId, HUGE, Map, Process, known},
};

/// How a page is mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum PageSize {
    Small,
    Huge,
    /// Device-dax of 1 GiB granules only.
    Giant,
}

impl PageSize {
    /// Bits of the address below the page.
    pub(crate) const fn shift(self) -> u64 {
        match self {
            Self::Small => 12,
            Self::Huge => 21,
            Self::Giant => 30,
        }
    }

    pub(crate) const fn pages(self) -> u64 {
        match self {
            Self::Small => 1,
            Self::Huge => 1 << 9,
            Self::Giant => 1 << 18,
        }
    }

    /// The pages of a page of this size around a page.
    pub(crate) fn around(self, page: u64) -> Range<u64> {
        let inside = page.checked_rem(self.pages()).unwrap_or(0);
        // NO-OVERFLOW: a remainder is not more than what it is of, and pages are 52 bits.
        let first = page.wrapping_sub(inside);
        first..first.wrapping_add(self.pages())
    }
}

/// A process while events happen. Copies share the maps that neither of them changed.
#[derive(Debug, Clone)]
pub(crate) struct ProcState {
    pub(crate) alive: bool,
    pub(crate) maps: Maps,
}

/// The maps of a process, by index.
pub(crate) type Maps = Arc<Vec<Arc<MapState>>>;

impl ProcState {
    pub(crate) fn new(process: &Process, devices: &[Device]) -> Self {
        let maps = process.maps.iter().map(|map| MapState::new(map, large_size(map.file, devices)));
        Self { alive: true, maps: Arc::new(maps.map(Arc::new).collect()) }
    }

    /// A map, to be changed.
    pub(crate) fn map_mut(&mut self, index: usize) -> Option<&mut MapState> {
        // Without a look first, all maps would be copied for an index that is none.
        self.maps.get(index)?;
        Arc::make_mut(&mut self.maps).get_mut(index).map(Arc::make_mut)
    }

    /// Nothing is mapped any more.
    pub(crate) fn clear(&mut self) {
        for index in 0..self.maps.len() {
            if let Some(map) = self.map_mut(index) {
                map.clear();
            }
        }
    }
}

/// What a page is mapped by that is not mapped by itself.
fn large_size(file: FileId, devices: &[Device]) -> PageSize {
    let FileId::Device(device) = file else { return PageSize::Huge };
    match &known(devices, device).kind {
        DeviceKind::Pmem(pmem) if pmem.align == Align::Size1G.bytes() => PageSize::Giant,
        DeviceKind::Pmem(_) | DeviceKind::Partition { .. } | DeviceKind::Dm { .. } => {
            PageSize::Huge
        }
    }
}

/// A mapping and its part of the page table.
#[derive(Debug, Clone)]
pub(crate) struct MapState {
    pub(crate) file: FileId,
    pub(crate) first: u64,
    pages: u64,
    vaddr: u64,
    small: Pages,
    /// Pages mapped by pages of `large_size`.
    large: Pages,
    large_size: PageSize,
    copies: Pages,
}

impl MapState {
    fn new(map: &Map, large_size: PageSize) -> Self {
        let pages = |ranges: &[(u64, u64)]| ranges.iter().copied().collect();
        Self {
            file: map.file,
            first: map.first,
            pages: map.pages,
            vaddr: map.vaddr,
            small: pages(&map.small),
            large: pages(&map.huge),
            large_size,
            copies: pages(&map.copies),
        }
    }

    pub(crate) fn clear(&mut self) {
        (self.small, self.large, self.copies) = Default::default();
    }

    /// Address of a page of the file.
    pub(crate) fn address(&self, page: u64) -> Option<u64> {
        let inside = page.checked_sub(self.first).filter(|inside| *inside < self.pages)?;
        self.vaddr.checked_add(inside.checked_mul(PAGE_SIZE)?)
    }

    /// How the page of the file is mapped; `None` when it is not there.
    pub(crate) fn level(&self, page: u64) -> Option<PageSize> {
        if self.large.contains(page) {
            Some(self.large_size)
        } else {
            self.small.contains(page).then_some(PageSize::Small)
        }
    }

    /// Whether a copy in ordinary memory stands in for the page.
    pub(crate) fn has_copy(&self, page: u64) -> bool {
        self.copies.contains(page)
    }

    /// The first page in a range that is there, copies included if wanted.
    pub(crate) fn first_present(&self, pages: Range<u64>, copies: bool) -> Option<u64> {
        let sets = [Some(&self.small), Some(&self.large), copies.then_some(&self.copies)];
        sets.into_iter().flatten().filter_map(|set| set.first_in(pages.clone())).min()
    }

    /// Removes pages of the file, never copies: how many were there.
    ///
    /// KERNEL: `unmap_mapping_pages()` with `even_cows` 0. A huge entry that is hit in part goes as
    /// a whole: a file's PMD is dropped, not split.
    pub(crate) fn unmap(&mut self, pages: Range<u64>) -> u64 {
        let mut gone = self.small.take(pages.clone());
        let mut from = pages.start;
        while let Some(hit) = self.large.first_in(from..pages.end) {
            let unit = self.large_size.around(hit);
            from = unit.end;
            for range in self.large.take(unit).ranges() {
                gone.insert(range);
            }
        }
        gone.len()
    }

    pub(crate) fn fault_in(&mut self, page: u64, size: PageSize) {
        let pages = size.around(page);
        match size {
            PageSize::Small => self.small.insert(pages),
            PageSize::Huge | PageSize::Giant => {
                self.small.remove(pages.clone());
                self.large.insert(pages);
            }
        }
    }

    /// What a fault of device-dax maps.
    pub(crate) fn large_size(&self) -> PageSize {
        self.large_size
    }

    /// Whether address and file agree on where a huge page around this page begins, and the map
    /// holds all of it.
    pub(crate) fn fits_huge(&self, page: u64) -> bool {
        let unit = PageSize::Huge.around(page);
        let aligned = |address: u64| address % HUGE == 0;
        unit.end.checked_sub(1).is_some_and(|last| self.address(last).is_some())
            && self.address(unit.start).is_some_and(aligned)
    }

    /// What of some pages is there, without copies.
    pub(crate) fn present_in<'a>(
        &'a self,
        pages: &Range<u64>,
    ) -> impl Iterator<Item = Range<u64>> + use<'a> {
        self.small.in_range(pages).chain(self.large.in_range(pages))
    }

    /// What is there now, without copies.
    pub(crate) fn present(&self) -> Pages {
        self.small.with(&self.large)
    }
}
