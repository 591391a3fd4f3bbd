use core::ops::Range;

use badrange_core::{DevOffset, Extent, Space};

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
pub struct Salvage {
    range: Extent<DevOffset>,
    /// INVARIANT: inside of the range, ascending, apart.
    holes: Vec<Extent<DevOffset>>,
}

impl Salvage {
    pub(super) const fn new(range: Extent<DevOffset>, holes: Vec<Extent<DevOffset>>) -> Self {
        Self { range, holes }
    }

    /// What was asked for.
    #[must_use]
    pub const fn range(&self) -> Extent<DevOffset> {
        self.range
    }

    /// What is lost, clipped to the range, ascending; holes that touch are one.
    #[must_use]
    pub fn holes(&self) -> &[Extent<DevOffset>] {
        &self.holes
    }

    /// Whether nothing is lost.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.holes.is_empty()
    }

    /// What is good, ascending: the range without its holes.
    pub fn good(&self) -> impl Iterator<Item = Extent<DevOffset>> + '_ {
        let ends = self.holes.iter().map(|hole| hole.start()).chain([self.range.end()]);
        let starts = [self.range.start()].into_iter().chain(self.holes.iter().map(|h| h.end()));
        starts.zip(ends).filter_map(|(start, end)| Extent::from_bounds(start, end).ok())
    }

    /// What is good before the first hole; `None` when the first byte is lost.
    #[must_use]
    pub fn prefix(&self) -> Option<Extent<DevOffset>> {
        self.good().next().filter(|part| part.start() == self.range.start())
    }

    /// How many bytes are good.
    #[must_use]
    pub fn good_bytes(&self) -> u64 {
        self.good().map(|part| part.len()).fold(0, u64::saturating_add)
    }

    /// How many bytes are lost.
    #[must_use]
    pub fn lost_bytes(&self) -> u64 {
        self.holes.iter().map(|hole| hole.len()).fold(0, u64::saturating_add)
    }

    /// Where a part of the range is in the buffer; empty for what is not in the range.
    #[must_use]
    pub fn place_of(&self, part: Extent<DevOffset>) -> Range<usize> {
        part.intersect(self.range).map_or(0..0, |part| place(self.range, part))
    }
}

/// Where a part of a range is in the range's buffer.
pub(super) fn place(range: Extent<DevOffset>, part: Extent<DevOffset>) -> Range<usize> {
    let index = |at: DevOffset| {
        let offset = at.checked_offset_from(range.start()).and_then(|o| usize::try_from(o).ok());
        offset.unwrap_or(0)
    };
    index(part.start())..index(part.end())
}
