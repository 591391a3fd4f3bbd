//! KERNEL: `pmem_do_read()`, `pmem_do_write()` and zeroing of `drivers/nvdimm/pmem.c`, and what
//! `fs/dax.c` makes of it.

use badrange_core::{DevOffset, Errno, Extent, Granules, PageSize};

use super::{AccessMode, AccessStep, LinuxPmem, Transfer};
use crate::{
    Bus, Memory,
    bytes::{self, count},
};

/// As many as are stored at once.
const ZEROS: [u8; 4096] = [0; 4096];

impl<M: Memory> LinuxPmem<M> {
    /// Reads through the block layer, page by page: whole sectors, else `EINVAL`.
    ///
    /// A sector known to be bad fails with `EIO` and its page is not touched; so does poison that
    /// is met. What was copied before stays in `buf`, but the request failed.
    ///
    /// # Kernel
    /// `pmem_submit_bio()`, `pmem_do_read()`.
    pub fn bio_read(&mut self, bus: &mut Bus, range: Extent, buf: &mut [u8]) -> Transfer {
        let mut steps = Vec::new();
        let result = self.sectors(range.start(), count(buf.len())).and_then(|range| {
            for part in segments(range, self.page_size()) {
                if self.is_bad(part) {
                    return Err(Errno::EIO);
                }
                let target = bytes::part_mut(range.start(), part, buf);
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
        let result = self.sectors(at, count(data.len())).and_then(|range| {
            for part in segments(range, self.page_size()) {
                self.make_good(bus, part, &mut steps)?;
                self.store(part, bytes::part(at, part, data), &mut steps);
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
    pub fn zero(&mut self, bus: &mut Bus, range: Extent) -> Transfer {
        let mut steps = Vec::new();
        let result = self.on_device(range.start(), range.len()).and_then(|range| {
            let pages = Granules::containing(range, self.page_size());
            if pages.count() > 1 {
                return Err(Errno::EINVAL);
            }
            if range.len() == pages.bytes() {
                self.make_good(bus, range, &mut steps)?;
            } else {
                let page = pages.frames().first().start().get();
                self.direct_access(page, 1, AccessMode::Access).map_err(of_block_layer)?;
            }
            self.store_zeros(range, &mut steps);
            Ok(range.len())
        });
        Transfer { result, steps }
    }

    /// Clears what is known to be bad in a part of the device, all of it or it fails.
    fn make_good(
        &mut self,
        bus: &mut Bus,
        part: Extent,
        steps: &mut Vec<AccessStep>,
    ) -> Result<(), Errno> {
        if !self.is_bad(part) {
            return Ok(());
        }
        let cleared = self.clear_poison(bus, part, steps).map_err(|_| Errno::EIO)?;
        self.forget(part.start(), cleared, steps);
        if cleared < part.len() { Err(Errno::EIO) } else { Ok(()) }
    }

    fn store_zeros(&self, range: Extent, steps: &mut Vec<AccessStep>) {
        for part in segments(range, PageSize::K4) {
            self.memory.copy_in(part.start(), bytes::part(part.start(), part, &ZEROS));
        }
        steps.push(AccessStep::Stored(range));
    }

    /// The bytes, when they are whole sectors of the device.
    fn sectors(&self, at: DevOffset, len: u64) -> Result<Extent, Errno> {
        let range = self.on_device(at, len)?;
        let whole = range.whole_sectors().and_then(|sectors| sectors.bytes().ok());
        if whole == Some(range) { Ok(range) } else { Err(Errno::EINVAL) }
    }
}

/// KERNEL: `dax_mem2blk_err()`.
const fn of_block_layer(errno: Errno) -> Errno {
    match errno {
        Errno::EHWPOISON => Errno::EIO,
        other => other,
    }
}

/// A range cut at pages.
fn segments(range: Extent, page: PageSize) -> impl Iterator<Item = Extent> {
    let mut rest = Some(range);
    core::iter::from_fn(move || {
        let start = bytes::down(rest?.start().get(), page.bytes());
        // The last page of the scale has no end.
        let (part, after) = rest?.split_at(DevOffset::new(start.saturating_add(page.bytes())));
        rest = after;
        part
    })
}
