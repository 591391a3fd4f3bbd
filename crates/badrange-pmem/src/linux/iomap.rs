//! KERNEL: `dax_iomap_iter()` of `fs/dax.c` and `pmem_recovery_write()` of
//! `drivers/nvdimm/pmem.c`: read(2) and write(2) on files with DAX.

use badrange_core::{DevOffset, Errno, Extent, Granules};

use super::{AccessMode, AccessStep, LinuxPmem, Transfer, poisoned};
use crate::{
    Bus, Memory,
    bytes::{self, count},
};

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
    pub fn read(&mut self, bus: &mut Bus, range: Extent, buf: &mut [u8]) -> Transfer {
        let mut steps = Vec::new();
        let len = range.len().min(count(buf.len()));
        let result = self.on_device(range.start(), len).and_then(|range| {
            self.each_run(range, false, |pmem, run, _| {
                let target = bytes::part_mut(range.start(), run, buf);
                pmem.load(bus, run.start(), target, &mut steps)
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
        let result = self.on_device(at, count(data.len())).and_then(|range| {
            self.each_run(range, true, |pmem, run, recovery| {
                let source = bytes::part(at, run, data);
                if recovery {
                    return pmem.recover(bus, run, source, &mut steps);
                }
                pmem.store(run, source, &mut steps);
                run.len()
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
        let range = self.on_device(at, count(data.len()));
        let result = range.map(|range| self.recover(bus, range, data, &mut steps));
        Transfer { result, steps }
    }

    fn recover(
        &mut self,
        bus: &mut Bus,
        range: Extent,
        data: &[u8],
        steps: &mut Vec<AccessStep>,
    ) -> u64 {
        let pages = bytes::units(range, self.page_size().bytes());
        if !self.is_bad(pages) {
            self.store(range, data, steps);
            return range.len();
        }
        if pages != range {
            return 0;
        }
        // KERNEL: a negative or partial result is a failure; zero is not looked at.
        match self.clear_poison(bus, pages, steps) {
            Ok(cleared) if cleared == 0 || cleared == range.len() => {
                self.store(range, data, steps);
                self.forget(range.start(), cleared, steps);
                range.len()
            }
            Ok(_) | Err(_) => 0,
        }
    }

    /// Goes through a range, as many pages at a time as are granted. `copy` is given the part of the
    /// device and whether to recover, and says how much it did.
    fn each_run(
        &mut self,
        range: Extent,
        write: bool,
        mut copy: impl FnMut(&mut Self, Extent, bool) -> u64,
    ) -> Result<u64, Errno> {
        let (mut rest, mut done, mut error) = (Some(range), 0_u64, Errno::EFAULT);
        while let Some(left) = rest {
            let pages = Granules::containing(left, self.page_size()).frames().span();
            let granted = match self.grant(pages.start().get(), pages.len(), write) {
                Ok(granted) => granted,
                Err(errno) => {
                    error = errno;
                    break;
                }
            };
            // No more than was asked for, and at least one page. The last one of the scale has no end.
            let end = pages.start().get().saturating_add(granted.pages);
            let end = DevOffset::new(end.saturating_mul(self.page_size().bytes()));
            let (Some(run), after) = left.split_at(end) else {
                debug_assert!(false, "a page is granted or the error says why not");
                break;
            };
            let copied = copy(self, run, granted.recovery);
            done = done.saturating_add(copied);
            rest = after.filter(|_| copied == run.len());
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
