//! KERNEL: `dax_iomap_rw()` of `fs/dax.c` and `pmem_recovery_write()` of `drivers/nvdimm/pmem.c`:
//! read(2) and write(2) on files with DAX.

// NO-OVERFLOW: a transfer ends below 2^63, extents end within 64 bits of their file and of their
// device, and every sum and difference below is of parts of these: where arithmetic saturates, it
// never does.

use core::ops::Range;

use badrange_core::{SECTOR_SIZE, Sector};
use badrange_pmem::recovery_pages;

use super::{
    Linux,
    errno::{EFAULT, EINVAL, EIO, EISDIR, ENOENT, EROFS},
};
use crate::{
    Around, ClearAttempt, EventOutcome, PAGE, PAGE_SIZE, Recovery,
    machine::{DaxPages, FileRun},
    scenario::FileId,
};

/// KERNEL: `MAX_RW_COUNT`: the most that one call transfers.
const MOST: u64 = 0x7fff_f000;

/// What a transfer did on the way.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    pub(super) recovery: Vec<Recovery>,
    pub(super) cleared: Vec<ClearAttempt>,
    /// What a read of the ranged design gave.
    pub(super) around: Option<Around>,
}

/// A transfer: where in the file, and which way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Transfer {
    pub(super) at: u64,
    pub(super) end: u64,
    pub(super) write: bool,
}

impl Linux<'_> {
    pub(super) fn io(
        &mut self,
        file: FileId,
        offset: u64,
        len: u64,
        direct: bool,
        write: bool,
    ) -> EventOutcome {
        let mut attempts = Attempts::default();
        let ret = self.transfer(file, (offset, len), direct, write, &mut attempts);
        let mut outcome =
            EventOutcome { ret: Some(ret), around: attempts.around, ..EventOutcome::default() };
        if write {
            outcome.recovery = Some(attempts.recovery);
            outcome.clear_poison = Some(attempts.cleared);
        }
        outcome
    }

    fn transfer(
        &mut self,
        file: FileId,
        (offset, len): (u64, u64),
        direct: bool,
        write: bool,
        attempts: &mut Attempts,
    ) -> i64 {
        let len = len.min(MOST);
        let Some(end) = offset.checked_add(len).filter(|end| i64::try_from(*end).is_ok()) else {
            return EINVAL;
        };
        let what = Transfer { at: offset, end, write };
        match file {
            FileId::Device(_) if self.machine.is_dax(file) => EINVAL,
            FileId::Device(device) => self.device_io(device, what, direct, attempts),
            FileId::Inode { fs, ino } => match self.cannot_open(fs, ino, write) {
                Some(errno) => errno,
                None => {
                    self.machine.load_inode(fs, ino);
                    self.file_io(fs, ino, what, direct, attempts)
                }
            },
        }
    }

    fn cannot_open(&self, fs: usize, ino: u64, write: bool) -> Option<i64> {
        let (what, state) = (self.machine.scenario.filesystem(fs), self.machine.fs(fs));
        if !state.mounted {
            return Some(ENOENT);
        }
        if state.shutdown {
            return Some(EIO);
        }
        if what.files.get(&ino).is_some_and(|inode| inode.dir) {
            return Some(EISDIR);
        }
        (what.read_only && write).then_some(EROFS)
    }

    fn file_io(
        &mut self,
        fs: usize,
        ino: u64,
        what: Transfer,
        direct: bool,
        attempts: &mut Attempts,
    ) -> i64 {
        if !self.machine.is_dax(FileId::Inode { fs, ino }) {
            return self.cached_file_io(fs, ino, what, direct, attempts);
        }
        match (self.machine.quirks.works_around_holes(), what.write) {
            (false, _) => self.dax_io(fs, ino, what, attempts),
            (true, true) => self.write_around(fs, ino, what, attempts),
            (true, false) => {
                let (ret, around) = self.read_around(fs, ino, what);
                attempts.around = Some(around);
                ret
            }
        }
    }

    /// The data extents of a file in order.
    pub(super) fn runs(&self, fs: usize, ino: u64) -> Vec<FileRun> {
        self.machine.fs(fs).file_runs(ino, self.machine.scenario.filesystem(fs))
    }

    /// KERNEL: the loop of `dax_iomap_rw()` asks again for what an extent left over, so an attempt
    /// that fails after a part was done is made twice.
    fn dax_io(&mut self, fs: usize, ino: u64, what: Transfer, attempts: &mut Attempts) -> i64 {
        let runs = self.runs(fs, ino);
        let (mut at, mut error) = (what.at, 0);
        while at < what.end {
            let run = run_at(&runs, at, what.end);
            let end = what.end.min(run.end());
            let part = Transfer { at, end, write: what.write };
            match self.dax_extent(fs, ino, run, part, attempts) {
                Ok(done) => at = at.saturating_add(done),
                Err(errno) => {
                    error = errno;
                    break;
                }
            }
        }
        let done = i64::try_from(at.saturating_sub(what.at)).unwrap_or(i64::MAX);
        if done > 0 { done } else { error }
    }

    /// One extent or hole: bytes done, or why none was.
    fn dax_extent(
        &mut self,
        fs: usize,
        ino: u64,
        run: FileRun,
        what: Transfer,
        attempts: &mut Attempts,
    ) -> Result<u64, i64> {
        let all = what.end.saturating_sub(what.at);
        let Some((device, start)) = run.place else { return Ok(all) };
        let place = (device, start.saturating_add(what.at.saturating_sub(run.file_start)));
        if what.write && run.shared {
            return self.cow_write(fs, ino, place, what);
        }
        if run.unwritten && !what.write {
            return Ok(all);
        }
        if run.unwritten && !self.convert(fs, ino, place, what, attempts) {
            return Err(EIO);
        }
        self.dax_copy(place, what, attempts)
    }

    /// KERNEL: `dax_iomap_iter()`.
    fn dax_copy(
        &mut self,
        (device, start): (usize, u64),
        what: Transfer,
        attempts: &mut Attempts,
    ) -> Result<u64, i64> {
        let mut at = what.at;
        let mut error = 0;
        while at < what.end {
            let inside = at % PAGE_SIZE;
            let rest = what.end.saturating_sub(at);
            let pages = rest.saturating_add(inside).div_ceil(PAGE_SIZE);
            let byte = start.saturating_add(at.saturating_sub(what.at)).saturating_sub(inside);
            let (place, recover) = match self.dax_access(device, byte, pages, what.write) {
                Ok(found) => found,
                Err(errno) => {
                    error = errno;
                    break;
                }
            };
            let run = place.count.saturating_mul(PAGE_SIZE).saturating_sub(inside).min(rest);
            let done = match recover {
                true => self.recovery_write(place.pmem, place.first, inside, run, attempts),
                false => run,
            };
            at = at.saturating_add(done);
            if done == 0 {
                error = EFAULT;
            }
            if done < run {
                break;
            }
        }
        let done = at.saturating_sub(what.at);
        if done > 0 { Ok(done) } else { Err(error) }
    }

    /// Pages to copy, and whether by way of recovery.
    ///
    /// KERNEL: `__pmem_direct_access()`.
    fn dax_access(
        &self,
        device: usize,
        at: u64,
        count: u64,
        write: bool,
    ) -> Result<(DaxPages, bool), i64> {
        let place = self.machine.dax_pages(device, at, count)?;
        let Some(bad) = self.first_bad(place) else { return Ok((place, false)) };
        if !write {
            return Err(EIO);
        }
        let count = recovery_pages(place.first_sector(), bad, place.count, PAGE);
        Ok((DaxPages { count, ..place }, true))
    }

    /// KERNEL: `pmem_recovery_write()`: bytes written, 0 for none.
    fn recovery_write(
        &mut self,
        pmem: usize,
        first: u64,
        inside: u64,
        len: u64,
        attempts: &mut Attempts,
    ) -> u64 {
        let at = first.saturating_mul(PAGE_SIZE);
        let done = self.try_recovery(pmem, first, inside, len, attempts);
        let ret = i64::try_from(done).unwrap_or(i64::MAX);
        attempts.recovery.push(Recovery::new(at, len, ret));
        done
    }

    fn try_recovery(
        &mut self,
        pmem: usize,
        first: u64,
        inside: u64,
        len: u64,
        attempts: &mut Attempts,
    ) -> u64 {
        let count = inside.saturating_add(len).div_ceil(PAGE_SIZE);
        if self.first_bad(DaxPages { pmem, first, count }).is_none() {
            return len;
        }
        if inside != 0 || len % PAGE_SIZE != 0 {
            return 0;
        }
        let at = first.saturating_mul(PAGE_SIZE);
        let (phys, cleared) = self.clear_poison(pmem, at, len);
        attempts.cleared.push(ClearAttempt::new(phys, len, cleared));
        // KERNEL: a negative or partial result is a failure; zero is not looked at.
        match u64::try_from(cleared) {
            Ok(cleared) if cleared == 0 || cleared == len => {
                self.clear_badblocks(pmem, at, cleared);
                len
            }
            Ok(_) | Err(_) => 0,
        }
    }

    pub(super) fn clear_badblocks(&mut self, pmem: usize, at: u64, cleared: u64) {
        if cleared >= SECTOR_SIZE {
            let badblocks = &mut self.machine.device_mut(pmem).badblocks;
            badblocks.clear(Sector::new(at / SECTOR_SIZE), cleared / SECTOR_SIZE);
        }
    }

    /// A write to shared blocks goes to new ones; the old ones are read for what surrounds it.
    ///
    /// KERNEL: `dax_iomap_copy_around()` gets access to all of the source, whatever it copies.
    fn cow_write(
        &mut self,
        fs: usize,
        ino: u64,
        (device, start): (usize, u64),
        what: Transfer,
    ) -> Result<u64, i64> {
        let inside = what.at % PAGE_SIZE;
        let all = what.end.saturating_sub(what.at);
        let len = all.saturating_add(inside).next_multiple_of(PAGE_SIZE);
        if self.is_bad(device, start.saturating_sub(inside), len) {
            return Err(EIO);
        }
        self.write_elsewhere(fs, ino, what.at..what.end);
        Ok(all)
    }

    /// The pages of a file that hold these bytes go to new blocks.
    pub(super) fn write_elsewhere(&mut self, fs: usize, ino: u64, bytes: Range<u64>) {
        let pages = bytes.start / PAGE_SIZE..bytes.end.div_ceil(PAGE_SIZE);
        let (from, to) =
            (pages.start.saturating_mul(PAGE_SIZE), pages.end.saturating_mul(PAGE_SIZE));
        self.machine.fs_mut(fs).move_away(ino, from, to);
        self.machine.invalidate(fs, ino, pages.clone());
        self.machine.unmap(FileId::Inode { fs, ino }, &pages);
    }

    /// Makes unwritten blocks written; false when they could not be zeroed.
    fn convert(
        &mut self,
        fs: usize,
        ino: u64,
        (device, start): (usize, u64),
        what: Transfer,
        attempts: &mut Attempts,
    ) -> bool {
        let inside = what.at % PAGE_SIZE;
        let (from, to) = (what.at.saturating_sub(inside), what.end.next_multiple_of(PAGE_SIZE));
        let (at, len) = (start.saturating_sub(inside), to.saturating_sub(from));
        if !self.zero_blocks(device, at, len, &mut attempts.cleared) {
            return false;
        }
        self.machine.fs_mut(fs).convert(ino, from, to);
        true
    }
}

/// The extent at a byte of a file, or the hole there. Blocks that nobody described are a hole too:
/// where they are is not known, and whether they are bad neither.
pub(super) fn run_at(runs: &[FileRun], at: u64, end: u64) -> FileRun {
    let next = runs.partition_point(|run| run.end() <= at);
    let hole = |end: u64| FileRun {
        file_start: at,
        len: end.saturating_sub(at),
        place: None,
        unwritten: false,
        shared: false,
    };
    match runs.get(next) {
        Some(run) if run.file_start <= at => *run,
        Some(run) => hole(run.file_start.min(end)),
        None => hole(end),
    }
}
