//! KERNEL: `pmem_do_read()`, `pmem_do_write()` and zeroing of `drivers/nvdimm/pmem.c`, and what
//! `fs/dax.c` makes of it.

use badrange_core::{DevOffset, Errno, Extent, PAGE_SIZE};

use super::{AccessMode, LinuxPmem, Step, Transfer, page_of};
use crate::{Bus, Memory};

const ZEROS: [u8; 4096] = [0; 4096];

impl<M: Memory> LinuxPmem<M> {
    /// Reads through the block layer, page by page: whole sectors, else `EINVAL`.
    ///
    /// A sector known to be bad fails with `EIO` and its page is not touched; so does poison that
    /// is met. What was copied before stays in `buf`, but the request failed.
    ///
    /// # Kernel
    /// `pmem_submit_bio()`, `pmem_do_read()`.
    pub fn bio_read(
        &mut self,
        bus: &mut Bus,
        range: Extent<DevOffset>,
        buf: &mut [u8],
    ) -> Transfer {
        let mut steps = Vec::new();
        let result = self.sectors(range.start(), buf.len()).and_then(|range| {
            for (part, from) in segments(range) {
                if self.is_bad(part) {
                    return Err(Errno::EIO);
                }
                let len = usize::try_from(part.len()).unwrap_or(0);
                let target = buf.get_mut(from..).unwrap_or_default();
                let target = target.get_mut(..len).unwrap_or_default();
                if self.load(bus, part.start(), target, &mut steps) < part.len() {
                    return Err(Errno::EIO);
                }
            }
            Ok(range.len())
        });
        Transfer { result, steps }
    }

    /// Writes through the block layer, page by page: whole sectors, else `EINVAL`.
    ///
    /// Sectors known to be bad are cleared first. Where that fails, nothing of that page is
    /// written; where it works for a part, the table forgets the part, and it fails all the same.
    ///
    /// # Kernel
    /// `pmem_submit_bio()`, `pmem_do_write()`, `pmem_clear_poison()`.
    pub fn bio_write(&mut self, bus: &mut Bus, at: DevOffset, data: &[u8]) -> Transfer {
        let mut steps = Vec::new();
        let result = self.sectors(at, data.len()).and_then(|range| {
            for (part, from) in segments(range) {
                let len = usize::try_from(part.len()).unwrap_or(0);
                let source = data.get(from..).unwrap_or_default();
                let source = source.get(..len).unwrap_or_default();
                self.write_segment(bus, part, source, &mut steps)?;
            }
            Ok(range.len())
        });
        Transfer { result, steps }
    }

    /// Zeroes a part of a file with DAX, within one page.
    ///
    /// A whole page goes the way of a block write, and clears poison; a part of one is stored to,
    /// and fails with `EIO` where the page is known to be bad. `EINVAL` for more than a page.
    ///
    /// # Kernel
    /// `dax_zero_iter()`, `pmem_dax_zero_page_range()`, `dax_memzero()`.
    pub fn zero(&mut self, bus: &mut Bus, range: Extent<DevOffset>) -> Transfer {
        let mut steps = Vec::new();
        let len = usize::try_from(range.len()).unwrap_or(usize::MAX);
        let one_page = page_of(range.start()) == page_of(range.last());
        let result = self.on_device(range.start(), len).and_then(|range| {
            let data = ZEROS.get(..len).filter(|_| one_page).ok_or(Errno::EINVAL)?;
            if range.len() == PAGE_SIZE {
                self.write_segment(bus, range, data, &mut steps)?;
                return Ok(range.len());
            }
            let page = page_of(range.start()).get() / PAGE_SIZE;
            // KERNEL: `dax_mem2blk_err()`.
            self.direct_access(page, 1, AccessMode::Access).map_err(|errno| match errno {
                Errno::EHWPOISON => Errno::EIO,
                other => other,
            })?;
            self.store(range.start(), data, &mut steps);
            Ok(range.len())
        });
        Transfer { result, steps }
    }

    fn write_segment(
        &mut self,
        bus: &mut Bus,
        part: Extent<DevOffset>,
        data: &[u8],
        steps: &mut Vec<Step>,
    ) -> Result<(), Errno> {
        if self.is_bad(part) {
            let cleared = self.clear_poison(bus, part, steps).map_err(|_| Errno::EIO)?;
            self.forget(part.start(), cleared, steps);
            if cleared < part.len() {
                return Err(Errno::EIO);
            }
        }
        self.store(part.start(), data, steps);
        Ok(())
    }

    /// The bytes, when they are whole sectors of the device.
    fn sectors(&self, at: DevOffset, len: usize) -> Result<Extent<DevOffset>, Errno> {
        let range = self.on_device(at, len)?;
        let whole = range.whole_sectors().and_then(|sectors| sectors.bytes().ok());
        if whole == Some(range) { Ok(range) } else { Err(Errno::EINVAL) }
    }
}

/// A range cut at pages, each part with its place in the buffer.
fn segments(range: Extent<DevOffset>) -> impl Iterator<Item = (Extent<DevOffset>, usize)> {
    let mut rest = Some(range);
    core::iter::from_fn(move || {
        let part = rest?;
        let end = page_of(part.start()).get().saturating_add(PAGE_SIZE);
        let (part, after) = part.split_at(DevOffset::new(end));
        rest = after;
        let part = part?;
        let from = part.start().get().checked_sub(range.start().get())?;
        Some((part, usize::try_from(from).ok()?))
    })
}
