use badrange_core::{DevOffset, Extent};
use core::{num::NonZeroU64, sync::atomic::Ordering};
use rangemap::RangeSet;

use crate::{
    Memory,
    bytes::{self, count, index},
    set,
    sync::{AtomicUsize, RwLock, fence},
};

mod error;
mod repair;
mod salvage;

#[cfg(test)]
mod tests;

pub use self::{
    error::{AccessError, AccessErrorKind},
    repair::{Repair, Written},
    salvage::SalvagedRead,
};

/// How much of a device one bit of the fast path stands for.
const ZONE_BYTES: u64 = 2 << 20;

/// A device with poison as the lists asked for: a read gives everything that is good and the exact
/// list of holes; a write repairs by itself; and nobody ever sees a repair half done.
///
/// # Reads
/// [`read`](Self::read) goes around the holes. What it gives is good, and every byte is in what it
/// gives or in a hole. Poison that nobody knew is met, remembered, and is one more hole.
///
/// # Writes
/// There is no flag. A write that touches no hole is a store. One that does is a *repair*: it
/// clears the poison, stores, and takes the holes out of the list, as one operation. It has to
/// cover the units of the [`Repair`] that have holes, whole; else it is refused and nothing is
/// stored. Where the hardware gives up in the middle, what comes before is repaired and holds its
/// new bytes, and the rest is as it was.
///
/// # Concurrency
/// A read that overlaps a repair sees what was before it (the holes included) or what is after it,
/// for all of its bytes together: no byte is stale, and old and new are never mixed. Two repairs,
/// or a repair and a plain write, happen one after the other.
///
/// Between a plain write and a read of the same bytes there is nothing: as with memory, the read
/// may see a part of the write. Filesystems lock the inode for that.
///
/// A read of a range without holes takes no lock: it looks at one word before and after the copy,
/// and at one bit per 2 MiB between. Only while the list of holes changes, or near a hole, a read
/// takes a lock, shared with other reads and plain writes.
///
/// If the [`Memory`] panics in a repair, the holes stay in the list.
///
/// # Kernel
/// No kernel does this: there, a read fails as a whole ([`LinuxPmem`](crate::LinuxPmem)), and the
/// three steps of a repair are kept apart from readers by the inode's lock. It is what was asked for
/// in the discussion of `RWF_RECOVERY_DATA` in 2021: one interface for clearing, updating the list
/// and writing; automatic for aligned writes; and as much as possible of a poisoned range.
///
/// # Examples
/// ```
/// use badrange_core::{DevOffset, Extent};
/// use badrange_pmem::{AccessErrorKind, ModelMemory, RangedPmem, Repair};
/// let at = |start, len| Extent::new(DevOffset::new(start), len).unwrap();
/// let memory = ModelMemory::new(8192, 64);
/// memory.poison(at(4200, 1));
/// let pmem = RangedPmem::new(&memory, Repair::ClearThenWrite { unit: 256 });
///
/// let mut buf = [0; 8192];
/// let found = pmem.read(at(0, 8192), &mut buf)?;
/// assert_eq!(found.holes(), [at(4160, 64)]);
/// assert_eq!(found.good().collect::<Vec<_>>(), [at(0, 4160), at(4224, 8192 - 4224)]);
/// assert_eq!(found.prefix(), Some(at(0, 4160)));
///
/// let refused = pmem.write(DevOffset::new(4200), &[7; 100]).unwrap_err();
/// assert_eq!(refused.kind(), AccessErrorKind::Unaligned);
/// let written = pmem.write(DevOffset::new(4096), &[7; 256])?;
/// assert_eq!(written.repaired(), [at(4160, 64)]);
/// assert!(pmem.read(at(0, 8192), &mut buf)?.is_whole());
/// # Ok::<(), badrange_pmem::AccessError>(())
/// ```
#[derive(Debug)]
pub struct RangedPmem<M> {
    memory: M,
    capacity: Extent,
    repair: Repair,
    /// Bytes that go bad together: a power of two.
    granule: u64,
    /// Bytes that a repair has to cover together: a power of two, at least a granule.
    unit: u64,
    /// Counts changes of the list and repairs: odd while one is going on.
    generation: AtomicUsize,
    /// A bit per zone: whether it has a hole. Changed only within a change.
    zones: Vec<AtomicUsize>,
    /// The holes, in whole granules. Whoever writes holds it for the whole change.
    holes: RwLock<RangeSet<DevOffset>>,
}

/// A change that is going on: ends when dropped, also by a panic.
///
/// # Ordering
/// As with any sequence lock. What a change does comes after the odd number (the fence) and before
/// the next even one (the release). A reader that finds the same even number before (acquire) and
/// after (the fence) has seen nothing of a change in between, and all of those before.
struct Change<'a> {
    generation: &'a AtomicUsize,
    next: usize,
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        self.generation.store(self.next, Ordering::Release);
    }
}

impl<M: Memory> RangedPmem<M> {
    /// A device of all bytes of a memory, with no hole known. A memory of no bytes is taken for one
    /// of a single byte, which cannot be copied. A granule that is no power of two is made one,
    /// upward.
    ///
    /// # Cost
    /// A bit per 2 MiB, for as long as the device lives: 64 KiB for a terabyte.
    pub fn new(memory: M, repair: Repair) -> Self {
        let capacity = Extent::from_zero(NonZeroU64::new(memory.len()).unwrap_or(NonZeroU64::MIN));
        let words = index(capacity.len().div_ceil(ZONE_BYTES)).div_ceil(bits());
        let granule = power_of_two(memory.granule());
        Self {
            capacity,
            unit: repair.unit().max(granule),
            granule,
            memory,
            repair,
            generation: AtomicUsize::new(0),
            zones: (0..words).map(|_| AtomicUsize::new(0)).collect(),
            holes: RwLock::new(RangeSet::new()),
        }
    }

    /// All bytes of the device.
    pub const fn capacity(&self) -> Extent {
        self.capacity
    }

    /// The memory it lies in.
    pub const fn memory(&self) -> &M {
        &self.memory
    }

    /// How many bytes a repair has to cover together: the unit of the [`Repair`], and at least a
    /// granule of the memory. A power of two.
    pub const fn unit(&self) -> u64 {
        self.unit
    }

    /// Remembers that bytes are bad: all granules that they touch. The part that is on the device;
    /// `None` when none is.
    ///
    /// A read that begins after this has returned finds the holes.
    pub fn report(&self, bad: Extent) -> Option<Extent> {
        let bad = self.units(bad.intersect(self.capacity)?, self.granule);
        let mut holes = self.holes.write();
        self.learn(&mut holes, &[bad]);
        Some(bad)
    }

    /// The holes of the device in ascending order; those that touch are one.
    pub fn holes(&self) -> Vec<Extent> {
        within(&self.holes.read(), self.capacity)
    }

    /// Reads as much as can be read; `buf` has to be as long as the range. Bytes in holes are zero
    /// in `buf`.
    ///
    /// # Cost
    /// Without holes near: a copy, two loads of one word, and one load per 2 MiB. It allocates
    /// nothing then. Else the copy goes in parts, under a shared lock.
    ///
    /// # Errors
    /// [`AccessErrorKind::Outside`] and [`AccessErrorKind::Buffer`]; then `buf` is untouched.
    ///
    /// # Concurrency
    /// See [`RangedPmem`].
    pub fn read(&self, range: Extent, buf: &mut [u8]) -> Result<SalvagedRead, AccessError> {
        self.on_device(range, buf.len())?;
        if self.read_clean(range, buf) {
            return Ok(SalvagedRead::new(range, Vec::new()));
        }
        Ok(self.read_around(range, buf))
    }

    /// The way without a lock; false when the range has to be read again with one.
    fn read_clean(&self, range: Extent, buf: &mut [u8]) -> bool {
        let before = self.generation.load(Ordering::Acquire);
        if before & 1 != 0 || !self.zones_are_clean(range) {
            return false;
        }
        let copied = self.memory.copy_out(range.start(), buf);
        fence(Ordering::Acquire);
        self.generation.load(Ordering::Relaxed) == before && copied == buf.len()
    }

    fn read_around(&self, range: Extent, buf: &mut [u8]) -> SalvagedRead {
        let mut met = Vec::new();
        {
            let holes = self.holes.read();
            let known = within(&holes, range);
            self.copy_around(range, &known, buf, &mut met);
            if met.is_empty() {
                return SalvagedRead::new(range, known);
            }
        }
        // Poison that nobody knew. It must not be written down when it has been repaired meanwhile,
        // so everything is read again, with nobody else there.
        let mut holes = self.holes.write();
        met.clear();
        let known = within(&holes, range);
        self.copy_around(range, &known, buf, &mut met);
        self.learn(&mut holes, &met);
        SalvagedRead::new(range, within(&holes, range))
    }

    /// Copies what lies between the known holes, and notes the granules whose poison is met.
    fn copy_around(&self, range: Extent, known: &[Extent], buf: &mut [u8], met: &mut Vec<Extent>) {
        buf.fill(0);
        for part in range.minus(known.iter().copied()) {
            self.copy_part(part, bytes::part_mut(range.start(), part, buf), met);
        }
    }

    fn copy_part(&self, part: Extent, buf: &mut [u8], met: &mut Vec<Extent>) {
        let mut rest = Some(part);
        while let Some(next) = rest {
            let target = bytes::part_mut(part.start(), next, buf);
            let copied = self.memory.copy_out(next.start(), target).min(target.len());
            target.split_at_mut(copied).1.fill(0);
            // NO-OVERFLOW: not more than the part has.
            let stop = DevOffset::new(next.start().get().wrapping_add(count(copied)));
            rest = next.split_at(stop).1.and_then(|lost| {
                let granule = self.granule_of(lost);
                met.push(granule);
                lost.split_at(granule.end()).1
            });
        }
    }

    /// Adds holes to the list.
    fn learn(&self, holes: &mut RangeSet<DevOffset>, bad: &[Extent]) {
        if bad.is_empty() {
            return;
        }
        let _change = self.change();
        for bad in bad {
            holes.insert(set::range(*bad));
            self.mark_zones(holes, *bad);
        }
    }

    /// Begins a change. LOCKING: the caller holds the list for writing.
    fn change(&self) -> Change<'_> {
        // One step, although nobody else writes: a load of our own would hide from loom that a
        // reader's load may come on either side of the store.
        let now = self.generation.fetch_add(1, Ordering::Relaxed);
        fence(Ordering::Release);
        // NO-OVERFLOW: as many changes as an address has values; they stay even and odd in turn.
        Change { generation: &self.generation, next: now.wrapping_add(2) }
    }

    /// Brings the bits of the zones that a range touches up to the list.
    fn mark_zones(&self, holes: &RangeSet<DevOffset>, range: Extent) {
        for zone in zones_of(range) {
            // NO-OVERFLOW: a byte of the device lies in it. The last one of the scale has no end.
            let start = zone.wrapping_mul(ZONE_BYTES);
            let end = start.saturating_add(ZONE_BYTES);
            let dirty = holes.overlaps(&(DevOffset::new(start)..DevOffset::new(end)));
            // A zone beyond every address has no bit, and is read with a lock.
            let Some((word, bit)) = self.zone(zone) else { continue };
            if dirty {
                word.fetch_or(bit, Ordering::Relaxed);
            } else {
                word.fetch_and(!bit, Ordering::Relaxed);
            }
        }
    }

    fn zones_are_clean(&self, range: Extent) -> bool {
        let clean = |(word, bit): (&AtomicUsize, usize)| word.load(Ordering::Relaxed) & bit == 0;
        zones_of(range).all(|zone| self.zone(zone).is_some_and(clean))
    }

    /// The word and the bit of a zone; none for one beyond every address.
    fn zone(&self, number: u64) -> Option<(&AtomicUsize, usize)> {
        let number = usize::try_from(number).ok()?;
        let word = self.zones.get(number.checked_div(bits())?)?;
        Some((word, 1_usize.wrapping_shl(u32::try_from(number.checked_rem(bits())?).ok()?)))
    }

    /// The granule of the first byte of a range of the device.
    fn granule_of(&self, range: Extent) -> Extent {
        let end = DevOffset::new(range.start().get().saturating_add(1));
        let first = range.split_at(end).0;
        debug_assert!(first.is_some(), "an extent has a first byte");
        self.units(first.unwrap_or(range), self.granule)
    }

    /// The units that a range of the device touches. The last one ends with the device.
    fn units(&self, range: Extent, unit: u64) -> Extent {
        let units = bytes::units(range, unit).intersect(self.capacity);
        debug_assert!(units.is_some(), "the range is on the device");
        units.unwrap_or(range)
    }

    fn on_device(&self, range: Extent, buf: usize) -> Result<(), AccessError> {
        if !self.capacity.contains_extent(range) {
            return Err(AccessError::new(AccessErrorKind::Outside, range));
        }
        if count(buf) != range.len() {
            return Err(AccessError::new(AccessErrorKind::Buffer, range));
        }
        Ok(())
    }
}

const fn bits() -> usize {
    usize::BITS as usize
}

fn zones_of(range: Extent) -> core::ops::RangeInclusive<u64> {
    range.start().get() / ZONE_BYTES..=range.last().get() / ZONE_BYTES
}

/// The holes in a range, clipped to it, ascending.
fn within(holes: &RangeSet<DevOffset>, range: Extent) -> Vec<Extent> {
    set::within(holes, range).collect()
}

/// The next power of two, and the last one for what is beyond it.
fn power_of_two(bytes: u64) -> u64 {
    bytes.checked_next_power_of_two().unwrap_or(1 << 63)
}
