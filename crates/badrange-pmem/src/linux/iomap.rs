//! KERNEL: `dax_iomap_iter()` of `fs/dax.c` and `pmem_recovery_write()` of
//! `drivers/nvdimm/pmem.c`: read(2) and write(2) on files with DAX.

use badrange_core::{DevOffset, Errno, Extent, PAGE_SIZE, Space};

use super::{AccessMode, LinuxPmem, Step, Transfer, page_of, poisoned};
use crate::{Bus, Memory};

/// Pages that a step of a transfer may use.
#[derive(Debug, Clone, Copy)]
struct Granted {
    pages: u64,
    /// By way of recovery.
    recovery: bool,
}

impl<M: Memory> LinuxPmem<M> {
    /// Reads one extent of a file with DAX to `buf`, which is as long as the range.
    ///
    /// Any sector known to be bad in it fails all of it with `EIO`: nothing is copied. Poison that
    /// is not known stops the copy: a short count, or `EFAULT` for none.
    ///
    /// # Kernel
    /// `dax_iomap_iter()` for `READ`.
    pub fn read(&mut self, bus: &mut Bus, range: Extent<DevOffset>, buf: &mut [u8]) -> Transfer {
        let mut steps = Vec::new();
        let len = usize::try_from(range.len()).unwrap_or(usize::MAX).min(buf.len());
        let result = self.on_device(range.start(), len).and_then(|range| {
            self.each_run(range, false, |pmem, at, _, from, run| {
                let part = buf.get_mut(from..).unwrap_or_default();
                let part = part.get_mut(..run).unwrap_or_default();
                pmem.load(bus, at, part, &mut steps)
            })
        });
        Transfer { result, steps }
    }

    /// Writes one extent of a file with DAX.
    ///
    /// Sectors known to be bad are recovered on the way, when the write covers their pages whole;
    /// else it stops there: a short count, or `EFAULT` for none.
    ///
    /// # Kernel
    /// `dax_iomap_iter()` for `WRITE`.
    pub fn write(&mut self, bus: &mut Bus, at: DevOffset, data: &[u8]) -> Transfer {
        let mut steps = Vec::new();
        let result = self.on_device(at, data.len()).and_then(|range| {
            self.each_run(range, true, |pmem, at, recovery, from, run| {
                let part = data.get(from..).unwrap_or_default();
                let part = part.get(..run).unwrap_or_default();
                if recovery {
                    return pmem.recover(bus, at, part, &mut steps);
                }
                pmem.store(at, part, &mut steps);
                u64::try_from(run).unwrap_or(0)
            })
        });
        Transfer { result, steps }
    }

    /// Writes over poison: `data` goes to `at`, which begins in the first page that
    /// [`direct_access`](Self::direct_access) granted. 0 bytes are done when it cannot be.
    ///
    /// In this order, so that readers see an error until the data is there: poison cleared, pages
    /// restored, data stored, badblocks cleared. A partial clear ends it with its pages restored and
    /// their old content gone, and badblocks as they were.
    ///
    /// # Kernel
    /// `pmem_recovery_write()`.
    pub fn recovery_write(&mut self, bus: &mut Bus, at: DevOffset, data: &[u8]) -> Transfer {
        let mut steps = Vec::new();
        let range = self.on_device(at, data.len());
        let result = range.map(|_| self.recover(bus, at, data, &mut steps));
        Transfer { result, steps }
    }

    fn recover(&mut self, bus: &mut Bus, at: DevOffset, data: &[u8], steps: &mut Vec<Step>) -> u64 {
        let len = u64::try_from(data.len()).unwrap_or(u64::MAX);
        let Some(pages) = whole_pages(at, len) else { return 0 };
        if !self.is_bad(pages) {
            self.store(at, data, steps);
            return len;
        }
        if pages.start() != at || pages.len() != len {
            return 0;
        }
        // KERNEL: a negative or partial result is a failure; zero is not looked at.
        match self.clear_poison(bus, pages, steps) {
            Ok(cleared) if cleared == 0 || cleared == len => {
                self.store(at, data, steps);
                self.forget(at, cleared, steps);
                len
            }
            Ok(_) | Err(_) => 0,
        }
    }

    /// Goes through a range, as many pages at a time as are granted. `copy` is given the place on
    /// the device, whether to recover, the place in the buffer and the length, and says how much it
    /// did.
    fn each_run(
        &mut self,
        range: Extent<DevOffset>,
        write: bool,
        mut copy: impl FnMut(&mut Self, DevOffset, bool, usize, usize) -> u64,
    ) -> Result<u64, Errno> {
        let (mut done, mut error) = (0_u64, Errno::EFAULT);
        while let Some(at) = range.start().checked_add(done).filter(|at| range.contains(*at)) {
            let inside = at.get() % PAGE_SIZE;
            // NO-OVERFLOW: parts of the range, which is on the device.
            let rest = range.len().wrapping_sub(done);
            let pages = inside.wrapping_add(rest).div_ceil(PAGE_SIZE);
            let granted = match self.grant(page_of(at).get() / PAGE_SIZE, pages, write) {
                Ok(granted) => granted,
                Err(errno) => {
                    error = errno;
                    break;
                }
            };
            let run = granted.pages.saturating_mul(PAGE_SIZE).saturating_sub(inside).min(rest);
            let place = (usize::try_from(done).unwrap_or(0), usize::try_from(run).unwrap_or(0));
            let copied = copy(self, at, granted.recovery, place.0, place.1);
            done = done.saturating_add(copied);
            if copied < run {
                break;
            }
        }
        if done > 0 { Ok(done) } else { Err(error) }
    }

    fn grant(&self, page: u64, pages: u64, write: bool) -> Result<Granted, Errno> {
        match self.direct_access(page, pages, AccessMode::Access) {
            Ok(pages) => Ok(Granted { pages, recovery: false }),
            Err(errno) if errno != poisoned(self.kernel) => Err(errno),
            Err(_) if write => {
                let pages = self.direct_access(page, pages, AccessMode::RecoveryWrite)?;
                Ok(Granted { pages, recovery: true })
            }
            // KERNEL: `dax_mem2blk_err()`.
            Err(_) => Err(Errno::EIO),
        }
    }
}

/// The pages that `len` bytes touch.
fn whole_pages(at: DevOffset, len: u64) -> Option<Extent<DevOffset>> {
    let end = at.get().checked_add(len)?.checked_next_multiple_of(PAGE_SIZE)?;
    Extent::from_bounds(page_of(at), DevOffset::new(end)).ok()
}
