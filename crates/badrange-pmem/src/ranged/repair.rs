use badrange_core::{DevOffset, Extent};
use rangemap::RangeSet;

use super::{AccessError, AccessErrorKind, RangedPmem, salvage, units};
use crate::{LINE_BYTES, Memory};

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
            Self::ClearThenWrite { unit } => unit.checked_next_power_of_two().unwrap_or(1 << 63),
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
    repaired: Vec<Extent<DevOffset>>,
}

impl Written {
    /// The holes that are none any more, clipped to what was written, ascending.
    #[must_use]
    pub fn repaired(&self) -> &[Extent<DevOffset>] {
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
            if !holes.overlaps(&(range.start()..range.end())) {
                if mutant!("plain_write_without_lock") {
                    drop(holes);
                }
                self.memory.copy_in(at, data);
                return Ok(Written::default());
            }
        }
        let mut holes = self.holes.write();
        let known = self.within(&holes, range);
        let runs = self.runs(range, &known)?;
        self.repair_runs(&mut holes, range, &runs, data)?;
        Ok(Written { repaired: known })
    }

    fn range_of(&self, at: DevOffset, data: &[u8]) -> Result<Extent<DevOffset>, AccessError> {
        let len = u64::try_from(data.len()).unwrap_or(u64::MAX);
        let range = Extent::new(at, len).map_err(|_| {
            let kind = if len == 0 { AccessErrorKind::Buffer } else { AccessErrorKind::Outside };
            AccessError::new(kind, self.capacity)
        })?;
        self.on_device(range, data.len()).map(|()| range)
    }

    /// The runs of units that have to be repaired, ascending and apart; the range has to hold them
    /// whole.
    fn runs(
        &self,
        range: Extent<DevOffset>,
        holes: &[Extent<DevOffset>],
    ) -> Result<Vec<Extent<DevOffset>>, AccessError> {
        let unaligned = || AccessError::new(AccessErrorKind::Unaligned, range);
        let run = |hole: &Extent<DevOffset>| {
            self.units_on_device(*hole).filter(|run| range.contains_extent(*run))
        };
        let runs: Option<Vec<_>> = holes.iter().map(run).collect();
        runs.map(Extent::unite).ok_or_else(unaligned)
    }

    /// The last unit of a device ends with it.
    fn units_on_device(&self, hole: Extent<DevOffset>) -> Option<Extent<DevOffset>> {
        units(hole, self.unit)?.intersect(self.capacity)
    }

    /// One operation for all: no reader sees anything between its beginning and its end.
    fn repair_runs(
        &self,
        holes: &mut RangeSet<DevOffset>,
        range: Extent<DevOffset>,
        runs: &[Extent<DevOffset>],
        data: &[u8],
    ) -> Result<(), AccessError> {
        let bytes =
            |part: Extent<DevOffset>| data.get(salvage::place(range, part)).unwrap_or_default();
        if mutant!("badblocks_cleared_first") {
            for run in runs {
                holes.remove(run.start()..run.end());
                drop(self.change());
                self.mark_zones(holes, *run);
            }
        }
        let _change = (!mutant!("badblocks_cleared_first")).then(|| self.change());
        let mut rest = Some(range);
        for run in runs {
            let Some((before, after)) = rest.map(|rest| rest.without(*run)) else { break };
            if let Some(before) = before {
                self.memory.copy_in(before.start(), bytes(before));
            }
            let done = self.repair_run(*run, bytes(*run));
            if let Ok(repaired) = Extent::new(run.start(), done) {
                holes.remove(repaired.start()..repaired.end());
                self.mark_zones(holes, repaired);
            }
            if done < run.len() {
                // NO-OVERFLOW: the run is inside of the range.
                let before = run.start().get().wrapping_sub(range.start().get());
                return Err(AccessError::not_cleared(range, before.wrapping_add(done)));
            }
            rest = after;
        }
        if let Some(rest) = rest {
            self.memory.copy_in(rest.start(), bytes(rest));
        }
        Ok(())
    }

    /// How many bytes from the start of the run on are good and hold their new content: granules.
    fn repair_run(&self, run: Extent<DevOffset>, data: &[u8]) -> u64 {
        let whole = |done: u64| {
            let done = done.min(run.len());
            let extra = done.checked_rem(self.memory.granule()).filter(|_| done < run.len());
            // NO-OVERFLOW: a remainder is not more than what it is of.
            done.wrapping_sub(extra.unwrap_or(0))
        };
        match self.repair {
            Repair::WriteAndClear => whole(self.memory.write_and_clear(run.start(), data)),
            Repair::ClearThenWrite { .. } => {
                let cleared = whole(self.memory.clear_poison(run));
                let len = usize::try_from(cleared).unwrap_or(usize::MAX);
                if let Some(data) = data.get(..len).filter(|data| !data.is_empty()) {
                    self.memory.copy_in(run.start(), data);
                }
                cleared
            }
        }
    }
}
