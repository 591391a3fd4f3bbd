//! KERNEL: `xfs_dax_notify_ddev_failure()` and its callback, `mf_dax_kill_procs()`.

// NO-OVERFLOW: groups, and blocks of a group, have 32 bits, blocks at most 17 bits of bytes, and
// extents end within 64 bits: where arithmetic saturates, it never does. Arithmetic that wraps in
// the kernel is written as such.

use std::collections::BTreeMap;

use badrange_fs::{Fork, Special};

use super::{Failure, range::Span};
use crate::{
    Crash, FilePages, OwnerName, PAGE_SIZE, RmapRecord,
    kernel::{
        Halt, Linux, Report,
        errno::{EBUSY, EINVAL, EIO},
    },
    scenario::{Extent, FileId, Filesystem, Owner},
};

/// Allocation groups of the device that is walked, in blocks.
#[derive(Debug, Clone, Copy)]
struct Groups {
    blocks_each: u64,
    count: u64,
    blocks: u64,
    block_size: u64,
}

impl Groups {
    /// Group and block in the group.
    ///
    /// KERNEL: a group number has 32 bits.
    fn locate(self, block: u64) -> (u64, u64) {
        let group = block.checked_div(self.blocks_each).unwrap_or(0) & u64::from(u32::MAX);
        (group, block.checked_rem(self.blocks_each).unwrap_or(0))
    }

    /// The bytes `[from, to)` of the blocks `first..=last`. `None` when the range is empty, or so
    /// far beyond the device that its groups are numbered from 0 again.
    fn bytes(self, first: u64, last: u64) -> Option<(u64, u64)> {
        let far = last.checked_div(self.blocks_each)? > u64::from(u32::MAX);
        let (from, after) = (first.checked_mul(self.block_size)?, last.checked_add(1)?);
        (first <= last && !far).then_some((from, after.checked_mul(self.block_size)?))
    }

    fn len(self, group: u64) -> u64 {
        let before = group.saturating_mul(self.blocks_each);
        self.blocks.saturating_sub(before).min(self.blocks_each)
    }
}

/// What is lost of one group: blocks `low..=high`, and the end that pages are counted to.
#[derive(Debug, Clone, Copy)]
struct Lost {
    low: u64,
    high: u64,
    end: u64,
}

/// Which pages of a file a record and a loss have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileSpan {
    page: u64,
    count: u64,
    /// The count is what is left of a number below zero.
    wrapped: bool,
}

/// What the reverse map is ordered by: start, owner, kind of fork, offset.
type Key = (u64, u64, u8, u64);

/// Why a walk ends early.
enum Stop {
    Errno(i64),
    Halt(Halt),
}

/// Records by group, in the order in which they are visited, each with its block in the group.
type Visits = BTreeMap<u64, Vec<(u64, Extent)>>;

impl Linux<'_> {
    /// Visits every record that is lost in part: the error, and whether metadata was hit.
    pub(super) fn walk(
        &mut self,
        what: &Filesystem,
        device: usize,
        span: Span,
        failure: Failure,
        report: &mut Report,
    ) -> Result<(i64, bool), Halt> {
        let groups = self.groups(what, device);
        let (first, last) = span.blocks(groups.block_size);
        let (start, end) = (groups.locate(first), groups.locate(last));
        let mut metadata = false;
        for (group, records) in self.visits(failure.fs, device, groups, (first, last)) {
            let lost = self.lost(groups, group, start, end);
            let visited = self.walk_group(what, &records, (groups, lost), failure, report);
            match visited {
                Ok(hit) => metadata |= hit,
                // After an error it makes no difference whether metadata was hit.
                Err(Stop::Errno(errno)) => return Ok((errno, metadata)),
                Err(Stop::Halt(halt)) => return Err(halt),
            }
        }
        let missing = start.0 <= end.0 && end.0 >= groups.count;
        if missing && self.machine.quirks.uses_missing_groups() {
            return Err(Halt::Crash(Crash::Oops));
        }
        Ok((0, metadata))
    }

    /// One group: whether metadata was hit.
    fn walk_group(
        &mut self,
        what: &Filesystem,
        records: &[(u64, Extent)],
        (groups, lost): (Groups, Lost),
        failure: Failure,
        report: &mut Report,
    ) -> Result<bool, Stop> {
        // KERNEL: reading the header of a group fails after a shutdown.
        if self.machine.fs(failure.fs).shutdown {
            return Err(Stop::Errno(EIO));
        }
        // KERNEL: a query that ends before it begins is refused.
        if lost.high < lost.low {
            return Err(Stop::Errno(EINVAL));
        }
        let mut metadata = false;
        for (block, extent) in records {
            if touches(extent, *block, lost, groups) {
                let hit = pages(extent, *block, lost, groups);
                metadata |= self.visit(what, extent, hit, failure, report)?;
            }
        }
        Ok(metadata)
    }

    /// The groups of a range of blocks that exist and matter: the first, the last, and those with
    /// records in the range.
    fn visits(
        &self,
        fs: usize,
        device: usize,
        groups: Groups,
        (first, last): (u64, u64),
    ) -> Visits {
        let range = groups.locate(first).0..=groups.locate(last).0;
        let exists = |group: &u64| range.contains(group) && *group < groups.count;
        let ends = [*range.start(), *range.end()].into_iter().filter(exists);
        let mut visits: Visits = ends.map(|group| (group, Vec::new())).collect();
        let (from, to) = groups.bytes(first, last).unwrap_or((0, u64::MAX));
        let recorded = self.machine.fs(fs).extents.at_place(device, from, to).into_iter();
        for extent in recorded.filter(|extent| extent.owner != Owner::Special(Special::Free)) {
            let block = extent.start().checked_div(groups.block_size).unwrap_or(0);
            let (group, block) = groups.locate(block);
            if exists(&group) {
                visits.entry(group).or_default().push((block, *extent));
            }
        }
        for records in visits.values_mut() {
            records.sort_by_key(|(_, extent)| order(extent));
        }
        visits
    }

    /// KERNEL: the groups of a realtime device are as large as it says; the scenario does not, so
    /// all of the device is one group.
    fn groups(&self, what: &Filesystem, device: usize) -> Groups {
        let block_size = what.block_size;
        if device == what.device {
            let of = what.geometry;
            let (blocks_each, count, blocks) = (of.ag_blocks, of.ag_count, of.blocks);
            return Groups { blocks_each, count, blocks, block_size };
        }
        let size = self.machine.scenario.device(device).size();
        let blocks = size.checked_div(block_size).unwrap_or(0);
        Groups { blocks_each: blocks.max(1), count: 1, blocks, block_size }
    }

    fn lost(&self, groups: Groups, group: u64, start: (u64, u64), end: (u64, u64)) -> Lost {
        let all_ones = u64::from(u32::MAX);
        let low = if group == start.0 { start.1 } else { 0 };
        let high = if group == end.0 { end.1 } else { all_ones };
        let len = groups.len(group);
        // NO-OVERFLOW: 32 bits.
        let after = high.wrapping_add(1);
        let end = if self.machine.quirks.group_end_wraps() { after & all_ones } else { after };
        Lost { low, high, end: end.min(len) }
    }

    /// One record: whether it is metadata.
    fn visit(
        &mut self,
        what: &Filesystem,
        extent: &Extent,
        hit: FileSpan,
        failure: Failure,
        report: &mut Report,
    ) -> Result<bool, Stop> {
        report.notified.records.push(record(extent));
        let Owner::Inode { ino, fork: Fork::Data, .. } = extent.owner else {
            return Ok(!failure.removal);
        };
        if !self.machine.in_core(failure.fs, ino) {
            return Ok(false);
        }
        let file = FileId::Inode { fs: failure.fs, ino };
        let dax = self.machine.is_dax(file);
        if !dax && self.machine.quirks.skips_files_without_dax() {
            return Ok(false);
        }
        let owner = FilePages::new(&what.name, ino, hit.page, hit.count);
        report.notified.owners.push(owner);
        if !dax {
            return if hit.count == 0 { Ok(false) } else { Err(Stop::Errno(EBUSY)) };
        }
        self.fail_file_pages(failure, ino, hit, report);
        if hit.wrapped { Err(Stop::Halt(Halt::Stuck)) } else { Ok(false) }
    }

    /// KERNEL: `mf_dax_kill_procs()`. Pages that nobody can be told about have no effect, however
    /// many there are, so only the others are looked at.
    fn fail_file_pages(&mut self, failure: Failure, ino: u64, hit: FileSpan, report: &mut Report) {
        let file = FileId::Inode { fs: failure.fs, ino };
        let end = hit.page.saturating_add(hit.count);
        let mut from = hit.page;
        while let Some(page) =
            self.first_collectable(file, from..end, failure.current, failure.removal)
        {
            match self.machine.first_entry(failure.fs, ino, page..end) {
                Some(entry) if entry == page => {
                    self.fail_page(file, page, failure.current, failure.removal, report);
                    from = page.saturating_add(1);
                }
                Some(entry) => from = entry,
                None => break,
            }
        }
        if failure.removal {
            self.machine.invalidate(failure.fs, ino, hit.page..end);
            self.machine.unmap(file, &(hit.page..end));
        }
    }
}

/// KERNEL: `xfs_rmapbt` orders by start, owner, offset. Owners that are no inodes are numbers below
/// zero, so they come last; the kind of fork is in the top bits of the offset.
fn order(extent: &Extent) -> Key {
    let (owner, fork, offset) = match extent.owner {
        Owner::Inode { ino, fork, file_start } => {
            let fork = match fork {
                Fork::Data => 0,
                Fork::ExtentMap => 1,
                Fork::Attr => 2,
            };
            (ino, fork, file_start)
        }
        Owner::Special(_) => (u64::MAX, 0, 0),
    };
    (extent.start(), owner, fork, offset)
}

fn record(extent: &Extent) -> RmapRecord {
    let (start, len) = (extent.start(), extent.len());
    match extent.owner {
        Owner::Special(special) => {
            RmapRecord::new(start, len, OwnerName::Words(special.to_string()))
        }
        Owner::Inode { ino, fork, file_start } => RmapRecord {
            fork: Some(fork.as_str()),
            file_start: (fork != Fork::ExtentMap).then_some(file_start),
            unwritten: extent.unwritten,
            ..RmapRecord::new(start, len, OwnerName::Inode(ino))
        },
    }
}

fn block_count(extent: &Extent, groups: Groups) -> u64 {
    extent.len().checked_div(groups.block_size).unwrap_or(0)
}

fn touches(extent: &Extent, block: u64, lost: Lost, groups: Groups) -> bool {
    block <= lost.high && block.saturating_add(block_count(extent, groups)) > lost.low
}

/// KERNEL: `xfs_failure_pgoff()` and `xfs_failure_pgcnt()`, block numbers in 32 bits.
fn pages(extent: &Extent, block: u64, lost: Lost, groups: Groups) -> FileSpan {
    let file_start = match extent.owner {
        Owner::Inode { file_start, .. } => file_start,
        Owner::Special(_) => 0,
    };
    let bytes = |blocks: u64| blocks.saturating_mul(groups.block_size);
    let skipped = bytes(lost.low.saturating_sub(block));
    let start = block.max(lost.low);
    let end = block.saturating_add(block_count(extent, groups)).min(lost.end);
    let blocks = end.wrapping_sub(start) & u64::from(u32::MAX);
    FileSpan {
        page: file_start.saturating_add(skipped) / PAGE_SIZE,
        count: bytes(blocks) / PAGE_SIZE,
        wrapped: end < start,
    }
}
