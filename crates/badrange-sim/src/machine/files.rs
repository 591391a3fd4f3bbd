//! What a mounted filesystem knows of its files.

use core::ops::Range;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use badrange_core::Space;
use badrange_fs::Fork;
use rangemap::RangeMap;

use super::{Machine, coverage::Coverage, extents::Extents, pages::Pages};
use crate::{
    PAGE_SIZE,
    scenario::{Dax, Extent, FileId, Filesystem, FsKind, Owner},
};

/// A filesystem while events happen.
#[derive(Debug, Clone, Default)]
pub(crate) struct FsState {
    pub(crate) mounted: bool,
    pub(crate) shutdown: bool,
    /// Whether any file can use DAX.
    pub(crate) dax_on: bool,
    /// The DAX devices it got.
    pub(crate) data: Option<usize>,
    pub(crate) log: Option<usize>,
    pub(crate) rt: Option<usize>,
    pub(crate) extents: Extents,
    pub(crate) entries: Arc<BTreeMap<u64, Entries>>,
    pub(crate) not_in_core: Arc<BTreeSet<u64>>,
}

/// When a page of a file got its entry, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Order among all entries of the machine.
    pub(crate) stamp: u64,
    /// Made by a copy-on-write fault.
    pub(crate) cow: bool,
}

/// The DAX entries of a file: pages that somebody touched at any time.
#[derive(Debug, Clone, Default)]
pub(crate) struct Entries {
    map: RangeMap<u64, Entry>,
    /// Pages whose entry is a huge one.
    huge: Pages,
}

impl Entries {
    pub(crate) fn get(&self, page: u64) -> Option<Entry> {
        self.map.get(&page).copied()
    }

    pub(crate) fn is_huge(&self, page: u64) -> bool {
        self.huge.contains(page)
    }

    /// The first page with an entry in a range.
    pub(crate) fn first_in(&self, pages: Range<u64>) -> Option<u64> {
        if pages.is_empty() {
            return None;
        }
        let (found, _) = self.map.overlapping(pages.clone()).next()?;
        Some(found.start.max(pages.start))
    }

    /// The entries of pages in a range.
    pub(crate) fn in_range(
        &self,
        pages: Range<u64>,
    ) -> impl Iterator<Item = (Range<u64>, Entry)> + '_ {
        let (start, end) = (pages.start, pages.end.max(pages.start.saturating_add(1)));
        let found = self.map.overlapping(start..end);
        found.map(move |(range, entry)| (range.start.max(start)..range.end.min(end), *entry))
    }

    /// Entries for the pages that have none.
    pub(crate) fn add(&mut self, pages: Range<u64>, entry: Entry) {
        if pages.is_empty() {
            return;
        }
        let missing: Vec<Range<u64>> = self.map.gaps(&pages).collect();
        for gap in missing {
            self.map.insert(gap, entry);
        }
    }

    pub(crate) fn add_huge(&mut self, pages: Range<u64>) {
        self.huge.insert(pages);
    }

    /// The same, when one was there before: the page is another one now.
    pub(crate) fn replace(&mut self, pages: Range<u64>, entry: Entry) {
        self.remove(pages.clone());
        self.add(pages, entry);
    }

    pub(crate) fn remove(&mut self, pages: Range<u64>) {
        if !pages.is_empty() {
            self.map.remove(pages.clone());
            self.huge.remove(pages);
        }
    }
}

/// Bytes of a file and where they are, contiguous in both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileRun {
    pub(crate) file_start: u64,
    pub(crate) len: u64,
    /// Where; `None` for a hole, and for blocks whose place is not known.
    pub(crate) place: Option<(usize, u64)>,
    pub(crate) unwritten: bool,
    pub(crate) shared: bool,
}

impl FileRun {
    pub(crate) fn end(&self) -> u64 {
        // NO-OVERFLOW: an extent ends within 64 bits of its file, and a hole where the next begins.
        self.file_start.wrapping_add(self.len)
    }
}

impl FsState {
    /// The extent that holds a byte of a file, and the byte's place on the extent's device.
    pub(crate) fn data_extent(&self, ino: u64, at: u64) -> Option<(&Extent, u64)> {
        let extent = self.extents.of_byte(ino, at)?;
        let inside = at.checked_sub(data_start(extent, ino)?)?;
        Some((extent, extent.start().checked_add(inside)?))
    }

    /// The data extents of a file in order, joined where they go on.
    ///
    /// KERNEL: the extent map of a file joins what the reverse map keeps apart; reads and writes
    /// see the former. Allocation groups and the ends of sharing keep extents apart in both.
    pub(crate) fn file_runs(&self, ino: u64, what: &Filesystem) -> Vec<FileRun> {
        // NO-OVERFLOW: 32 bits of blocks, 17 bits of bytes.
        let group = what.geometry.ag_blocks.wrapping_mul(what.block_size);
        let group = if what.kind == FsKind::Xfs { group } else { u64::MAX };
        let mut parts: Vec<FileRun> =
            self.extents.iter().filter_map(|extent| run(extent, ino)).collect();
        parts.sort_by_key(|part| part.file_start);
        let parts = self.cut_at_sharing(parts, !what.rmapbt);
        let mut runs: Vec<FileRun> = Vec::new();
        for part in parts {
            match runs.last_mut() {
                Some(last) if goes_on(last, &part, group) => {
                    // NO-OVERFLOW: both are parts of the file, one after the other.
                    last.len = last.len.wrapping_add(part.len);
                }
                Some(_) | None => runs.push(part),
            }
        }
        runs
    }

    /// KERNEL: `xfs_reflink_trim_around_shared()`.
    fn cut_at_sharing(&self, parts: Vec<FileRun>, trust_flag: bool) -> Vec<FileRun> {
        let mut devices = BTreeMap::<usize, Coverage>::new();
        let mut cut = Vec::new();
        for part in parts {
            let Some((device, start)) = part.place else { continue }; // a hole is nobody's
            let coverage = devices.entry(device).or_insert_with(|| self.coverage(device));
            // NO-OVERFLOW: an extent ends within 64 bits, and the pieces lie in it.
            for (from, to, owners) in coverage.pieces(start, start.wrapping_add(part.len)) {
                cut.push(FileRun {
                    file_start: part.file_start.wrapping_add(from.wrapping_sub(start)),
                    len: to.wrapping_sub(from),
                    place: Some((device, from)),
                    shared: owners > 1 || (part.shared && trust_flag),
                    ..part
                });
            }
        }
        cut
    }

    fn coverage(&self, device: usize) -> Coverage {
        let owned = self.extents.iter().filter(|e| e.device == device && is_data(e));
        owned.map(|e| (e.start(), e.end())).collect()
    }

    /// Whether a byte of a device belongs to several files, or to one file twice.
    pub(crate) fn is_shared(&self, device: usize, at: u64) -> bool {
        let Some(after) = at.checked_add(1) else { return false };
        let here = self.extents.at_place(device, at, after);
        here.into_iter().filter(|extent| is_data(extent)).count() > 1
    }

    /// Takes bytes of a file off their blocks: what comes instead has no known place.
    pub(crate) fn move_away(&mut self, ino: u64, from: u64, to: u64) {
        self.rewrite(ino, from, to, |_| None);
    }

    /// Makes unwritten bytes of a file written.
    pub(crate) fn convert(&mut self, ino: u64, from: u64, to: u64) {
        self.rewrite(ino, from, to, |extent| Some(Extent { unwritten: false, ..extent }));
    }

    /// Replaces the data extents of bytes of a file; what sticks out stays.
    fn rewrite(&mut self, ino: u64, from: u64, to: u64, change: impl Fn(Extent) -> Option<Extent>) {
        let mut extents = Vec::new();
        for extent in self.extents.iter().copied() {
            let Some(file_start) = data_start(&extent, ino) else {
                extents.push(extent);
                continue;
            };
            let cut = |a: u64, b: u64| part(&extent, ino, a.max(file_start), b);
            // NO-OVERFLOW: an extent ends within 64 bits of its file.
            let end = file_start.wrapping_add(extent.len());
            extents.extend(cut(0, from.min(end)));
            extents.extend(cut(from, to.min(end)).and_then(&change));
            extents.extend(cut(to, end));
        }
        self.extents.replace(extents);
    }
}

fn is_data(extent: &Extent) -> bool {
    matches!(extent.owner, Owner::Inode { fork: Fork::Data, .. })
}

fn data_start(extent: &Extent, ino: u64) -> Option<u64> {
    match extent.owner {
        Owner::Inode { ino: owner, fork: Fork::Data, file_start } if owner == ino => {
            Some(file_start)
        }
        Owner::Inode { .. } | Owner::Special(_) => None,
    }
}

/// The bytes `[from, to)` of the file that an extent holds.
fn part(extent: &Extent, ino: u64, from: u64, to: u64) -> Option<Extent> {
    let skip = from.checked_sub(data_start(extent, ino)?)?;
    let len = to.checked_sub(from).filter(|len| *len > 0)?;
    let owner = Owner::Inode { ino, fork: Fork::Data, file_start: from };
    let start = extent.place.start().checked_add(skip)?;
    let place = badrange_core::Extent::new(start, len).ok()?;
    Some(Extent { place, owner, ..*extent })
}

fn run(extent: &Extent, ino: u64) -> Option<FileRun> {
    Some(FileRun {
        file_start: data_start(extent, ino)?,
        len: extent.len(),
        place: Some((extent.device, extent.start())),
        unwritten: extent.unwritten,
        shared: extent.shared,
    })
}

fn goes_on(last: &FileRun, next: &FileRun, group: u64) -> bool {
    let (Some((device, start)), Some((other, at))) = (last.place, next.place) else { return false };
    let same_kind = last.unwritten == next.unwritten && last.shared == next.shared;
    let follows = last.end() == next.file_start && start.checked_add(last.len) == Some(at);
    let same_group = start.checked_div(group) == at.checked_div(group);
    device == other && same_kind && follows && same_group
}

impl Machine<'_> {
    pub(crate) fn in_core(&self, fs: usize, ino: u64) -> bool {
        !self.fs(fs).not_in_core.contains(&ino)
    }

    /// Somebody opened the file: its inode is in the cache.
    pub(crate) fn load_inode(&mut self, fs: usize, ino: u64) {
        let state = self.fs_mut(fs);
        // Without a look first, all would be copied.
        if state.not_in_core.contains(&ino) {
            Arc::make_mut(&mut state.not_in_core).remove(&ino);
        }
    }

    /// The first page of a file in a range that has a DAX entry.
    pub(crate) fn first_entry(&self, fs: usize, ino: u64, pages: Range<u64>) -> Option<u64> {
        self.fs(fs).entries.get(&ino)?.first_in(pages)
    }

    pub(crate) fn has_huge_entry(&self, fs: usize, ino: u64, page: u64) -> bool {
        let entries = self.fs(fs).entries.get(&ino);
        entries.is_some_and(|entries| entries.is_huge(page))
    }

    /// Takes the DAX entries of pages away.
    pub(crate) fn invalidate(&mut self, fs: usize, ino: u64, pages: Range<u64>) {
        let state = self.fs_mut(fs);
        if state.entries.contains_key(&ino) {
            let entries = Arc::make_mut(&mut state.entries).get_mut(&ino);
            entries.into_iter().for_each(|entries| entries.remove(pages.clone()));
        }
    }

    /// Whether the pages of a file are the memory of the device itself.
    pub(crate) fn is_dax(&self, file: FileId) -> bool {
        match file {
            FileId::Device(device) => self.scenario.device(device).is_devdax(),
            FileId::Inode { fs, ino } => self.is_dax_inode(fs, ino),
        }
    }

    fn is_dax_inode(&self, fs: usize, ino: u64) -> bool {
        let (what, state) = (self.scenario.filesystem(fs), self.fs(fs));
        let inode = what.files.get(&ino).copied().unwrap_or_default(); // a plain file
        state.mounted
            && state.dax_on
            && !inode.dir
            && match what.dax {
                Dax::Always => true,
                Dax::Inode => inode.dax,
                Dax::Never => false,
            }
    }

    /// Notes that somebody touched pages of a file that has DAX.
    pub(crate) fn touch(&mut self, file: FileId, pages: Range<u64>, cow: bool) {
        let stamp = self.tick();
        match file {
            FileId::Device(device) => self.fault_device(device, pages),
            FileId::Inode { fs, ino } => {
                let state = self.fs_mut(fs);
                let entries = Arc::make_mut(&mut state.entries).entry(ino).or_default();
                entries.add(pages, Entry { stamp, cow });
            }
        }
    }

    /// Device-dax makes all pages of a fault known at once.
    fn fault_device(&mut self, device: usize, pages: Range<u64>) {
        let unit = self.pmem(device).map_or(1, |pmem| pmem.align / PAGE_SIZE);
        let first = pages.start.checked_div(unit).and_then(|n| n.checked_mul(unit));
        let end = pages.end.checked_next_multiple_of(unit);
        // A granule that would end beyond 64 bits is not on the device.
        if let (Some(first), Some(end)) = (first, end) {
            self.device_mut(device).faulted.insert(first..end);
        }
    }
}
