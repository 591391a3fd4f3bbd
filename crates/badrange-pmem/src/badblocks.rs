use core::fmt;

use badrange_core::{Extent, Sector, Space};
use rangemap::RangeSet;

use crate::{
    set,
    sync::{Mutex, MutexGuard},
};

/// How many sectors one printed record holds at most.
///
/// # Kernel
/// `BB_MAX_LEN`.
pub const MAX_RECORD_SECTORS: u64 = 512;

/// The bad sectors of one device, exactly.
///
/// Setting rounds outward to sectors (a sector with one bad byte is bad), clearing rounds inward
/// (a sector is good again only when all of it is). There is no limit on the number of ranges, and
/// ranges that touch are one. Only the printed form has the kernel's record length.
///
/// # Concurrency
/// One lock inside, held for each operation by itself.
///
/// # Kernel
/// `struct badblocks` of `block/badblocks.c`, without its table of 512 records.
///
/// # Examples
/// ```
/// use badrange_core::{DevOffset, Extent, Sector, Space};
/// use badrange_pmem::Badblocks;
/// let at = |start, len| Extent::new(DevOffset::new(start), len).unwrap();
/// let bad = Badblocks::new();
/// bad.set(at(4096, 1)); // one byte: all of sector 8
/// bad.set(at(4608, 512));
/// assert_eq!(bad.to_string(), "8 2");
/// assert_eq!(bad.clear(at(4097, 1000)), None); // no whole sector
/// assert_eq!(bad.clear(at(4096, 1000)), Some(Extent::new(Sector::new(8), 1)?));
/// assert_eq!(bad.check(at(0, 8192)), Some(Extent::new(Sector::new(9), 1)?));
/// # Ok::<(), badrange_core::RangeError>(())
/// ```
#[derive(Debug, Default)]
pub struct Badblocks {
    sectors: Mutex<RangeSet<Sector>>,
}

impl Badblocks {
    /// No bad sector.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Marks every sector that the bytes touch as bad, and returns these sectors.
    pub fn set(&self, bad: Extent) -> Extent<Sector> {
        let sectors = bad.containing_sectors();
        self.lock().insert(set::range(sectors));
        sectors
    }

    /// Marks every sector that lies wholly inside as good, and returns these sectors; `None` when
    /// there is none.
    pub fn clear(&self, good: Extent) -> Option<Extent<Sector>> {
        let sectors = good.whole_sectors()?;
        self.lock().remove(set::range(sectors));
        Some(sectors)
    }

    /// The first bad range that the bytes touch, not clipped to them; `None` when all are good.
    #[must_use]
    pub fn check(&self, range: Extent) -> Option<Extent<Sector>> {
        let sectors = range.containing_sectors();
        self.lock().overlapping(set::range(sectors)).next().and_then(set::extent)
    }

    /// The bad sectors among those that the bytes touch, clipped to these, in ascending order.
    #[must_use]
    pub fn within(&self, range: Extent) -> Vec<Extent<Sector>> {
        set::within(&self.lock(), range.containing_sectors()).collect()
    }

    /// All bad ranges in ascending order; ranges that touch are one.
    #[must_use]
    pub fn list(&self) -> Vec<Extent<Sector>> {
        self.lock().iter().filter_map(set::extent).collect()
    }

    /// The same cut into records of at most [`MAX_RECORD_SECTORS`], each range from its start on.
    pub fn records(&self) -> impl Iterator<Item = Extent<Sector>> + use<> {
        self.list().into_iter().flat_map(records_of)
    }

    /// Whether no sector is bad.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, RangeSet<Sector>> {
        self.sectors.lock()
    }
}

/// One range cut into records.
fn records_of(range: Extent<Sector>) -> impl Iterator<Item = Extent<Sector>> {
    let mut rest = Some(range);
    core::iter::from_fn(move || {
        let range = rest?;
        let (record, after) = match range.start().checked_add(MAX_RECORD_SECTORS) {
            Some(end) => range.split_at(end),
            // A range at the end of the scale is shorter than a record.
            None => (Some(range), None),
        };
        rest = after;
        record
    })
}

/// Adds sectors known to be bad, such as the records of another table.
impl Extend<Extent<Sector>> for Badblocks {
    fn extend<I: IntoIterator<Item = Extent<Sector>>>(&mut self, records: I) {
        self.lock().extend(records.into_iter().map(set::range));
    }
}

/// The table with exactly these sectors; records may touch, overlap and come in any order.
impl FromIterator<Extent<Sector>> for Badblocks {
    fn from_iter<I: IntoIterator<Item = Extent<Sector>>>(records: I) -> Self {
        let mut all = Self::new();
        all.extend(records);
        all
    }
}

/// The text of sysfs: `<sector> <sectors>` for every [record](Badblocks::records), one to a line,
/// no newline after the last.
impl fmt::Display for Badblocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, record) in self.records().enumerate() {
            let newline = if i == 0 { "" } else { "\n" };
            write!(f, "{newline}{} {}", record.start().get(), record.len())?;
        }
        Ok(())
    }
}
