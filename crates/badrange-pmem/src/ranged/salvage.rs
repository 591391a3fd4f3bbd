use core::ops::Range;

use badrange_core::Extent;

use crate::bytes;

/// What a read got out of a range: every byte of it is good or in a hole.
///
/// # Examples
/// ```
/// use badrange_core::{DevOffset, Extent};
/// use badrange_pmem::{ModelMemory, RangedPmem, Repair};
/// let at = |start, len| Extent::new(DevOffset::new(start), len).unwrap();
/// let memory = ModelMemory::new(1024, 64);
/// memory.poison(at(0, 1));
/// memory.poison(at(200, 1));
/// let pmem = RangedPmem::new(&memory, Repair::WriteAndClear);
/// let mut buf = [0; 500];
/// let found = pmem.read(at(50, 500), &mut buf)?;
/// assert_eq!(found.holes(), [at(50, 14), at(192, 64)]); // clipped to what was asked
/// assert_eq!(found.prefix(), None); // the first byte is lost
/// assert_eq!((found.good_bytes(), found.lost_bytes()), (422, 78));
/// // Where the good bytes are in the buffer:
/// let good: Vec<_> = found.good().map(|part| found.place_of(part)).collect();
/// assert_eq!(good, [14..142, 206..500]);
/// # Ok::<(), badrange_pmem::AccessError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "bytes in holes are lost"]
pub struct SalvagedRead {
    range: Extent,
    /// INVARIANT: inside of the range, ascending, apart.
    holes: Vec<Extent>,
}

impl SalvagedRead {
    pub(super) const fn new(range: Extent, holes: Vec<Extent>) -> Self {
        Self { range, holes }
    }

    /// What was asked for.
    #[must_use]
    pub const fn range(&self) -> Extent {
        self.range
    }

    /// What is lost, clipped to the range, ascending; holes that touch are one.
    #[must_use]
    pub fn holes(&self) -> &[Extent] {
        &self.holes
    }

    /// Whether nothing is lost.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.holes.is_empty()
    }

    /// What is good, ascending: the range without its holes.
    pub fn good(&self) -> impl Iterator<Item = Extent> + use<> {
        self.range.minus(self.holes.iter().copied()).into_iter()
    }

    /// What is good before the first hole; `None` when the first byte is lost.
    #[must_use]
    pub fn prefix(&self) -> Option<Extent> {
        self.holes.first().map_or(Some(self.range), |hole| self.range.without(*hole).0)
    }

    /// How many bytes are good.
    #[must_use]
    pub fn good_bytes(&self) -> u64 {
        // NO-OVERFLOW: the holes are parts of the range, and apart.
        self.range.len().wrapping_sub(self.lost_bytes())
    }

    /// How many bytes are lost.
    #[must_use]
    pub fn lost_bytes(&self) -> u64 {
        // NO-OVERFLOW: as above.
        self.holes.iter().map(|hole| hole.len()).fold(0, u64::wrapping_add)
    }

    /// Where a part of the range is in the buffer; empty for what is not in the range.
    #[must_use]
    pub fn place_of(&self, part: Extent) -> Range<usize> {
        part.intersect(self.range).map_or(0..0, |part| bytes::place(self.range.start(), part))
    }
}
