//! KERNEL: `pmem_submit_bio()` and page cache above it: the block device itself, and files without
//! DAX.

// NO-OVERFLOW: a transfer ends below 2^63, and extents and devices end within 64 bits: where
// arithmetic saturates, it never does.

use badrange_core::{SECTOR_SIZE, Sector};

use super::{
    Linux,
    errno::{EINVAL, EIO, ENOSPC, ENXIO},
    io::{Attempts, Transfer, run_at},
};
use crate::{ClearAttempt, PAGE_SIZE, machine::PmemBytes};

/// Bytes that are transferred together: where on which device, `None` for a hole.
type Part = (Option<(usize, u64)>, u64);

impl Linux<'_> {
    pub(super) fn device_io(
        &mut self,
        device: usize,
        what: Transfer,
        direct: bool,
        attempts: &mut Attempts,
    ) -> i64 {
        let size = self.machine.scenario.device(device).size();
        if what.at == what.end {
            return 0;
        }
        if what.at >= size {
            return if what.write { ENOSPC } else { 0 };
        }
        if self.is_gone(device, what.at) {
            return ENXIO;
        }
        let what = Transfer { end: what.end.min(size), ..what };
        let parts =
            |at: u64, end: u64| -> Vec<Part> { vec![(Some((device, at)), end.saturating_sub(at))] };
        self.block_io(what, direct, &parts, attempts)
    }

    pub(super) fn cached_file_io(
        &mut self,
        fs: usize,
        ino: u64,
        what: Transfer,
        direct: bool,
        attempts: &mut Attempts,
    ) -> i64 {
        let runs = self.runs(fs, ino);
        let parts = |at: u64, end: u64| {
            let mut parts = Vec::new();
            let mut at = at;
            while at < end {
                let run = run_at(&runs, at, end);
                let stop = run.end().min(end);
                let inside = at.saturating_sub(run.file_start);
                let place = run.place.filter(|_| !run.unwritten);
                let place = place.map(|(device, start)| (device, start.saturating_add(inside)));
                parts.push((place, stop.saturating_sub(at)));
                at = stop;
            }
            parts
        };
        self.block_io(what, direct, &parts, attempts)
    }

    fn block_io(
        &mut self,
        what: Transfer,
        direct: bool,
        parts: &dyn Fn(u64, u64) -> Vec<Part>,
        attempts: &mut Attempts,
    ) -> i64 {
        let all = i64::try_from(what.end.saturating_sub(what.at)).unwrap_or(i64::MAX);
        match (direct, what.write) {
            (true, _) if what.at % SECTOR_SIZE != 0 || what.end % SECTOR_SIZE != 0 => EINVAL,
            (true, false) => {
                let bad = parts(what.at, what.end).iter().any(|part| self.is_bad_part(part));
                if bad { EIO } else { all }
            }
            (true, true) => match self.direct_write(what, parts, attempts) {
                true => all,
                false => EIO,
            },
            (false, _) => self.cached_io(what, parts),
        }
    }

    /// KERNEL: one segment of a bio is one page of the buffer; the first that fails ends it.
    fn direct_write(
        &mut self,
        what: Transfer,
        parts: &dyn Fn(u64, u64) -> Vec<Part>,
        attempts: &mut Attempts,
    ) -> bool {
        let mut at = what.at;
        while at < what.end {
            let end = at.saturating_add(PAGE_SIZE).min(what.end);
            for (place, len) in parts(at, end) {
                let Some((device, start)) = place else { continue };
                if !self.zero_blocks(device, start, len, &mut attempts.cleared) {
                    return false;
                }
            }
            at = end;
        }
        true
    }

    /// Page by page: a read ends before the first page that cannot be read. A write needs to read
    /// only a page that it does not fill; whatever is written back later is not part of the call.
    fn cached_io(&self, what: Transfer, parts: &dyn Fn(u64, u64) -> Vec<Part>) -> i64 {
        let mut at = what.at;
        while at < what.end {
            let page = at.saturating_sub(at % PAGE_SIZE);
            let next = page.saturating_add(PAGE_SIZE);
            let fills = what.write && at == page && next <= what.end;
            let bad = !fills && parts(page, next).iter().any(|part| self.is_bad_part(part));
            if bad {
                let done = i64::try_from(at.saturating_sub(what.at)).unwrap_or(i64::MAX);
                return if done > 0 { done } else { EIO };
            }
            at = next.min(what.end);
        }
        i64::try_from(what.end.saturating_sub(what.at)).unwrap_or(i64::MAX)
    }

    fn is_bad_part(&self, (place, len): &Part) -> bool {
        place.is_some_and(|(device, at)| self.is_bad(device, at, *len))
    }

    /// Whether bytes of a file lie on bad sectors.
    pub(super) fn bad_in_file(&self, fs: usize, ino: u64, at: u64, len: u64) -> bool {
        let runs = self.runs(fs, ino);
        let (mut at, end) = (at, at.saturating_add(len));
        while at < end {
            let run = run_at(&runs, at, end);
            let stop = run.end().min(end);
            let inside = at.saturating_sub(run.file_start);
            let place = run.place.filter(|_| !run.unwritten);
            let bad = place.is_some_and(|(device, start)| {
                self.is_bad(device, start.saturating_add(inside), stop.saturating_sub(at))
            });
            if bad {
                return true;
            }
            at = stop;
        }
        false
    }

    /// Whether any of these bytes of a device is in a bad sector, or on no device any more.
    pub(super) fn is_bad(&self, device: usize, at: u64, len: u64) -> bool {
        let (mut at, mut len) = (at, len);
        while len > 0 {
            let Some(bytes) = self.machine.below(device, at, len) else { return false };
            if self.is_bad_memory(bytes) {
                return true;
            }
            at = at.saturating_add(bytes.len);
            len = len.saturating_sub(bytes.len);
        }
        false
    }

    fn is_bad_memory(&self, bytes: PmemBytes) -> bool {
        let state = self.machine.device(bytes.pmem);
        let (first, end) = (bytes.at / SECTOR_SIZE, bytes.at.saturating_add(bytes.len));
        let sectors = end.div_ceil(SECTOR_SIZE).saturating_sub(first);
        state.dead || state.badblocks.first(Sector::new(first), sectors).is_some()
    }

    fn is_gone(&self, device: usize, at: u64) -> bool {
        let found = self.machine.below(device, at, 1);
        found.is_some_and(|bytes| self.machine.device(bytes.pmem).dead)
    }

    /// Writes through the block layer; false when poison could not be cleared.
    ///
    /// KERNEL: `pmem_do_write()`, a page at a time: poison is cleared first; what a partial clear
    /// cleared is taken off the table, and the write fails all the same.
    pub(super) fn zero_blocks(
        &mut self,
        device: usize,
        at: u64,
        len: u64,
        cleared: &mut Vec<ClearAttempt>,
    ) -> bool {
        let (mut at, mut len) = (at, len);
        while len > 0 {
            let Some(bytes) = self.machine.below(device, at, len.min(PAGE_SIZE)) else {
                return false;
            };
            if !self.write_memory(bytes, cleared) {
                return false;
            }
            at = at.saturating_add(bytes.len);
            len = len.saturating_sub(bytes.len);
        }
        true
    }

    fn write_memory(&mut self, bytes: PmemBytes, attempts: &mut Vec<ClearAttempt>) -> bool {
        if self.machine.device(bytes.pmem).dead {
            return false;
        }
        if !self.is_bad_memory(bytes) {
            return true;
        }
        let (phys, ret) = self.clear_poison(bytes.pmem, bytes.at, bytes.len);
        attempts.push(ClearAttempt::new(phys, bytes.len, ret));
        let Ok(cleared) = u64::try_from(ret) else { return false };
        self.clear_badblocks(bytes.pmem, bytes.at, cleared);
        cleared == bytes.len
    }
}
