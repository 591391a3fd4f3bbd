//! Where bytes of devices are in memory, and back: through partitions and device-mapper tables.

use core::ops::ControlFlow;

use badrange_block::dm::{Table, Target};
use badrange_core::{DevOffset, Extent, Leg, Link, Mapped, SECTOR_SIZE, Sector, Stop};

use super::Machine;
use crate::{
    PAGE_SIZE,
    kernel::errno::{EIO, ENXIO},
    scenario::{DeviceKind, Owner},
};
use badrange_fs::Fork;

/// Bytes of a pmem device, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PmemBytes {
    pub(crate) pmem: usize,
    pub(crate) at: u64,
    pub(crate) len: u64,
}

/// Pages of a pmem device, as `dax_direct_access()` gives them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DaxPages {
    pub(crate) pmem: usize,
    /// Page of the device.
    pub(crate) first: u64,
    pub(crate) count: u64,
}

impl DaxPages {
    pub(crate) const fn first_sector(self) -> Sector {
        // NO-OVERFLOW: a page of a device, whose bytes have 64 bits.
        Sector::new(self.first.saturating_mul(PAGE_SIZE / SECTOR_SIZE))
    }

    pub(crate) const fn sectors(self) -> u64 {
        // NO-OVERFLOW: as in `first_sector`.
        self.count.saturating_mul(PAGE_SIZE / SECTOR_SIZE)
    }
}

impl Machine<'_> {
    /// Where byte `at` of a device is, with as many of the `len` bytes after it as follow there.
    pub(crate) fn below(&self, device: usize, at: u64, len: u64) -> Option<PmemBytes> {
        let (mut device, mut at, mut len) = (device, at, len);
        loop {
            let kind = &self.scenario.device(device).kind;
            let Some(mapping) = kind.mapping() else {
                let size = self.scenario.device(device).size();
                let len = len.min(size.checked_sub(at)?);
                return (len > 0).then_some(PmemBytes { pmem: device, at, len });
            };
            let (leg, lower) = first_piece(mapping, at, len)?;
            device = kind.leg(leg)?;
            (at, len) = (lower.start().get(), lower.len());
        }
    }

    /// KERNEL: `dax_direct_access()`, without a look at bad sectors. Device-mapper cuts at the end
    /// of a target and of a chunk, and rounds the place on the leg down to a page without a word.
    pub(crate) fn dax_pages(&self, device: usize, at: u64, count: u64) -> Result<DaxPages, i64> {
        let (mut device, mut at, mut count) = (device, at, count);
        loop {
            let found = self.scenario.device(device);
            match &found.kind {
                DeviceKind::Partition { on, place } => {
                    at = at.checked_add(place.on().start().get()).ok_or(EIO)?;
                    device = *on;
                }
                DeviceKind::Dm { table, .. } => {
                    let first = at / PAGE_SIZE;
                    let page = first.checked_mul(PAGE_SIZE).ok_or(EIO)?;
                    // NO-OVERFLOW: a cap; more pages than 64 bits of bytes are all that follow.
                    let len = count.saturating_mul(PAGE_SIZE).min(dm_limit(table, page));
                    let (leg, lower) = first_piece(&**table, page, len).ok_or(EIO)?;
                    count = lower.len() / PAGE_SIZE;
                    if count == 0 {
                        return Err(EIO);
                    }
                    device = found.kind.leg(leg).ok_or(EIO)?;
                    at = lower.start().get();
                }
                DeviceKind::Pmem(_) => return self.pmem_pages(device, at / PAGE_SIZE, count),
            }
        }
    }

    fn pmem_pages(&self, pmem: usize, first: u64, count: u64) -> Result<DaxPages, i64> {
        if self.device(pmem).dead {
            return Err(ENXIO);
        }
        let size = self.scenario.device(pmem).size();
        let pages = (size / PAGE_SIZE).checked_sub(first).ok_or(EIO)?;
        match count.min(pages) {
            0 => Err(EIO),
            count => Ok(DaxPages { pmem, first, count }),
        }
    }

    /// First byte in physical memory of byte `at` of a pmem device.
    pub(crate) fn phys(&self, pmem: usize, at: u64) -> Option<u64> {
        self.pmem(pmem)?.namespace.data().start().get().checked_add(at)
    }

    /// Every place above a pmem device where these bytes are seen.
    fn above(&self, pmem: usize, bytes: Extent) -> Vec<(usize, Extent)> {
        let mut seen = vec![(pmem, bytes)];
        let mut next = 0;
        while let Some(&(device, lower)) = seen.get(next) {
            // NO-OVERFLOW: an index of a vector.
            next = next.wrapping_add(1);
            for &(upper, leg) in self.uppers.get(device).into_iter().flatten() {
                let what = self.scenario.device(upper);
                let flow = what.kind.rmap(leg, Link::same(lower), &mut |link| {
                    seen.extend(link.upper().elements().map(|part| (upper, part)));
                });
                debug_assert!(flow.is_continue(), "{}: {flow:?}", what.name);
            }
        }
        seen
    }

    /// The pages of files, (filesystem, inode, page), whose memory is this page of a pmem device.
    pub(crate) fn file_pages_at(&self, pmem: usize, page: u64) -> Vec<(usize, u64, u64)> {
        let at = page.checked_mul(PAGE_SIZE).map(DevOffset::new);
        let bytes = at.and_then(|at| Extent::new(at, PAGE_SIZE).ok());
        let Some(bytes) = bytes else { return Vec::new() }; // no device is that long
        let mut found = Vec::new();
        for (device, part) in self.above(pmem, bytes) {
            let (start, end) = (part.start().get(), part.end().get());
            for (fs, state) in self.filesystems.iter().enumerate().filter(|(_, fs)| fs.mounted) {
                for extent in state.extents.at_place(device, start, end) {
                    if let Some((ino, file_page)) = page_begins(extent, start, end) {
                        found.push((fs, ino, file_page));
                    }
                }
            }
        }
        found.sort_unstable();
        found.dedup();
        let here = Ok(DaxPages { pmem, first: page, count: 1 });
        found.retain(|(fs, ino, page)| self.file_page(*fs, *ino, *page) == Some(here));
        found
    }

    /// Where a page of a file is; `None` for a hole, an error where its device has no such byte.
    pub(crate) fn file_page(
        &self,
        fs: usize,
        ino: u64,
        page: u64,
    ) -> Option<Result<DaxPages, i64>> {
        let at = page.checked_mul(PAGE_SIZE)?;
        let (extent, start) = self.fs(fs).data_extent(ino, at)?;
        Some(self.dax_pages(extent.device, start, 1))
    }
}

/// The page of a file that begins in the bytes `[start, end)` of an extent's device.
fn page_begins(extent: &crate::scenario::Extent, start: u64, end: u64) -> Option<(u64, u64)> {
    let Owner::Inode { ino, fork: Fork::Data, file_start } = extent.owner else { return None };
    let from = start.max(extent.start());
    let to = end.min(extent.end());
    let first = file_start.checked_add(from.checked_sub(extent.start())?)?;
    let byte = first.checked_next_multiple_of(PAGE_SIZE)?;
    let inside = byte.checked_sub(first)? < to.checked_sub(from)?;
    inside.then_some((ino, byte / PAGE_SIZE))
}

fn first_piece(mapping: &dyn badrange_core::Mapping, at: u64, len: u64) -> Option<(Leg, Extent)> {
    // NO-OVERFLOW: a cap; what would lie beyond 64 bits lies beyond the device.
    let end = at.saturating_add(len).min(mapping.extent().end().get());
    let upper = Extent::from_bounds(DevOffset::new(at), DevOffset::new(end)).ok()?;
    let mut first = None;
    let _ = mapping.map(upper, &mut |piece| {
        if let Mapped::To { leg, link } = piece {
            first = Some((leg, link.lower().first()));
        }
        ControlFlow::Break(Stop::Enough)
    });
    first
}

/// Bytes from `at` to the end of its chunk.
///
/// KERNEL: `max_io_len()`: also a stripe of one device is cut at every chunk.
fn dm_limit(table: &Table, at: u64) -> u64 {
    let here = table.targets().find(|(place, _)| place.contains(DevOffset::new(at)));
    let rest_of_chunk = || match here {
        Some((place, Target::Striped(striped))) => {
            let chunk = striped.chunk_sectors().checked_mul(SECTOR_SIZE)?;
            let inside = at.checked_sub(place.start().get())?.checked_rem(chunk)?;
            chunk.checked_sub(inside)
        }
        Some(_) | None => None,
    };
    rest_of_chunk().unwrap_or(u64::MAX)
}
