use badrange_core::{DevOffset, Extent, sweep};
use rangemap::RangeSet;

use super::{AccessError, AccessErrorKind, RangedPmem, power_of_two, within};
use crate::{
    LINE_BYTES, Memory,
    bytes::{self, count, index},
    set,
};

/// How a [`RangedPmem`] repairs.
///
/// # Examples
/// ```
/// use badrange_pmem::{ModelMemory, RangedPmem, Repair};
/// let unit = |repair| RangedPmem::new(ModelMemory::new(4096, 256), repair).unit();
/// assert_eq!(unit(Repair::ClearThenWrite { unit: 4096 }), 4096);
/// assert_eq!(unit(Repair::WriteAndClear), 256); // lines of 64 bytes, but a granule of 256
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Repair {
    /// The firmware clears, then the data is stored. Between the two the memory holds zeros, which
    /// nobody may take for data: readers are kept away, but a machine that stops there has lost the
    /// error and not yet got the data.
    ClearThenWrite {
        /// Bytes that are cleared together; made a power of two, upward. The kernel's are pages.
        unit: u64,
    },
    /// Stores that clear what they write over, a granule at a time, in one step: a machine that
    /// stops in the middle has the error or the data, granule by granule.
    ///
    /// # Kernel
    /// What `MOVDIR64B` was hoped to do; not used by any kernel.
    WriteAndClear,
}

impl Repair {
    pub(super) fn unit(self) -> u64 {
        match self {
            Self::ClearThenWrite { unit } => power_of_two(unit),
            Self::WriteAndClear => LINE_BYTES,
        }
    }
}

/// What a write did.
///
/// # Examples
/// ```
/// use badrange_core::{DevOffset, Extent};
/// use badrange_pmem::{ModelMemory, RangedPmem, Repair};
/// let at = |start, len| Extent::new(DevOffset::new(start), len).unwrap();
/// let pmem = RangedPmem::new(ModelMemory::new(4096, 64), Repair::WriteAndClear);
/// assert_eq!(pmem.write(DevOffset::new(1), &[7; 3])?.repaired(), []);
/// pmem.report(at(100, 200)); // granules from 64 to 320
/// assert_eq!(pmem.write(DevOffset::new(0), &[7; 256])?.repaired(), [at(64, 192)]);
/// assert_eq!(pmem.holes(), [at(256, 64)]);
/// # Ok::<(), badrange_pmem::AccessError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Written {
    repaired: Vec<Extent>,
}

impl Written {
    /// The holes that are none any more, clipped to what was written, ascending.
    #[must_use]
    pub fn repaired(&self) -> &[Extent] {
        &self.repaired
    }
}

impl<M: Memory> RangedPmem<M> {
    /// Writes, and repairs what it writes over.
    ///
    /// Poison that nobody knows is not looked for: it stays poisoned, and what was stored there is
    /// lost with it, as the next read will say.
    ///
    /// # Errors
    /// [`AccessErrorKind::Outside`]; [`AccessErrorKind::Buffer`] for no data;
    /// [`AccessErrorKind::Unaligned`] when it covers a unit that has a hole only in part;
    /// [`AccessErrorKind::NotCleared`] when the hardware gave up, with the bytes done before.
    ///
    /// # Concurrency
    /// See [`RangedPmem`].
    pub fn write(&self, at: DevOffset, data: &[u8]) -> Result<Written, AccessError> {
        let range = self.range_of(at, data)?;
        {
            let holes = self.holes.read();
            if !holes.overlaps(&set::range(range)) {
                self.memory.copy_in(at, data);
                return Ok(Written::default());
            }
        }
        let mut holes = self.holes.write();
        let known = within(&holes, range);
        let runs = self.runs(range, &known)?;
        self.repair_runs(&mut holes, range, &runs, data)?;
        Ok(Written { repaired: known })
    }

    fn range_of(&self, at: DevOffset, data: &[u8]) -> Result<Extent, AccessError> {
        let len = count(data.len());
        let range = Extent::new(at, len).map_err(|_| {
            let kind = if len == 0 { AccessErrorKind::Buffer } else { AccessErrorKind::Outside };
            AccessError::new(kind, self.capacity)
        })?;
        self.on_device(range, data.len()).map(|()| range)
    }

    /// The runs of units that have to be repaired, ascending and apart; the range has to hold them
    /// whole.
    fn runs(&self, range: Extent, holes: &[Extent]) -> Result<Vec<Extent>, AccessError> {
        let runs = Extent::unite(holes.iter().map(|hole| self.units(*hole, self.unit)));
        let all = runs.iter().all(|run| range.contains_extent(*run));
        if all { Ok(runs) } else { Err(AccessError::new(AccessErrorKind::Unaligned, range)) }
    }

    /// One operation for all: no reader sees anything between its beginning and its end.
    fn repair_runs(
        &self,
        holes: &mut RangeSet<DevOffset>,
        range: Extent,
        runs: &[Extent],
        data: &[u8],
    ) -> Result<(), AccessError> {
        let _change = self.change();
        for (part, is_run) in parts(range, runs) {
            let data = bytes::part(range.start(), part, data);
            if !is_run {
                self.memory.copy_in(part.start(), data);
                continue;
            }
            let done = self.repair_run(part, data);
            self.forget(holes, part, done);
            if done < part.len() {
                // NO-OVERFLOW: the part is inside of the range.
                let before = part.start().get().wrapping_sub(range.start().get());
                return Err(AccessError::not_cleared(range, before.wrapping_add(done)));
            }
        }
        Ok(())
    }

    /// The first bytes of a run are no holes any more.
    fn forget(&self, holes: &mut RangeSet<DevOffset>, run: Extent, done: u64) {
        // Where none was repaired, nothing changes.
        if let Ok(repaired) = Extent::new(run.start(), done) {
            holes.remove(set::range(repaired));
            self.mark_zones(holes, repaired);
        }
    }

    /// How many bytes from the start of the run on are good and hold their new content: granules.
    fn repair_run(&self, run: Extent, data: &[u8]) -> u64 {
        match self.repair {
            Repair::WriteAndClear => {
                self.whole(run, self.memory.write_and_clear(run.start(), data))
            }
            Repair::ClearThenWrite { .. } => {
                let cleared = self.whole(run, self.memory.clear_poison(run));
                if cleared > 0 {
                    self.memory.copy_in(run.start(), data.split_at(index(cleared)).0);
                }
                cleared
            }
        }
    }

    /// What counts of the bytes of a run that a memory says are done: all, or whole granules.
    fn whole(&self, run: Extent, done: u64) -> u64 {
        if done < run.len() { bytes::down(done, self.granule) } else { run.len() }
    }
}

/// A range cut into the runs, which are apart, and what lies between: which of the two each part is.
fn parts(range: Extent, runs: &[Extent]) -> Vec<(Extent, bool)> {
    let mut parts = Vec::new();
    let runs = runs.iter().map(|run| (*run, ())).collect();
    sweep(range, runs, &mut |part, run| parts.push((part, !run.is_empty())));
    parts
}
