use core::fmt;

use badrange_core::{Extent, Sector};

use self::word::Word;
use crate::Kernel;

mod linux_6_1;
mod rewritten;
mod sysfs;
mod word;

#[cfg(test)]
mod tests;

/// How many records a [`BadblocksTable`] has room for.
///
/// # Kernel
/// `MAX_BADBLOCKS`: one page of 64-bit words.
pub const TABLE_RECORDS: usize = 512;

/// The first sector number that a record has no bits for: what reaches beyond is refused.
///
/// # Kernel
/// A record has 54 bits for its start. The kernel does not look, and cuts the number.
pub const TABLE_END: Sector = Sector::new(1 << 54);

/// The most sectors that one call of the kernel takes, in an `int`.
const MOST_PER_CALL: u64 = i32::MAX as u64;

/// One record of a [`BadblocksTable`]: at most 512 sectors.
///
/// # Examples
/// ```
/// use badrange_core::Sector;
/// use badrange_pmem::{BadblocksTable, Kernel};
/// let mut table = BadblocksTable::new(Kernel::Linux7_2);
/// table.set(Sector::new(8), 4, false);
/// let record = table.records().next().unwrap();
/// assert_eq!((record.start(), record.end()), (Sector::new(8), Sector::new(12)));
/// assert_eq!(record.to_string(), "8 4 (unacknowledged)");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BadRecord {
    start: Sector,
    sectors: u64,
    acknowledged: bool,
}

impl BadRecord {
    /// The first sector.
    #[must_use]
    pub const fn start(&self) -> Sector {
        self.start
    }

    /// How many sectors, from 1 to 512.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a record is never empty")]
    pub const fn len(&self) -> u64 {
        self.sectors
    }

    /// One past the last sector.
    #[must_use]
    pub const fn end(&self) -> Sector {
        // NO-OVERFLOW: a start has 54 bits.
        Sector::new(self.start.get().wrapping_add(self.sectors))
    }

    /// Its sectors: there for every record, because none is empty and a start has 54 bits.
    pub(crate) fn extent(&self) -> Option<Extent<Sector>> {
        let extent = Extent::new(self.start, self.sectors).ok();
        debug_assert!(extent.is_some(), "a record has sectors");
        extent
    }

    /// Whether somebody wrote down that it is bad, so that it may be relied on.
    #[must_use]
    pub const fn is_acknowledged(&self) -> bool {
        self.acknowledged
    }
}

/// As sysfs prints it, with a word for what is not acknowledged.
impl fmt::Display for BadRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.acknowledged { "" } else { " (unacknowledged)" };
        write!(f, "{} {}{word}", self.start.get(), self.sectors)
    }
}

/// What a [`BadblocksTable`] says about a range.
///
/// # Examples
/// ```
/// use badrange_core::Sector;
/// use badrange_pmem::{BadblocksTable, Checked, Kernel};
/// let mut table = BadblocksTable::new(Kernel::Linux7_2);
/// table.set(Sector::new(4), 8, true);
/// // The record that is found is not clipped to what was asked.
/// let Checked::Bad { first, all_acknowledged } = table.check(Sector::new(10), 100) else { panic!() };
/// assert_eq!((first.start(), first.len(), all_acknowledged), (Sector::new(4), 8, true));
/// assert_eq!(table.check(Sector::new(12), 100), Checked::Good);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Checked {
    /// No record touches it.
    Good,
    /// Some record does.
    Bad {
        /// The first of them, whole.
        first: BadRecord,
        /// Whether all of them are acknowledged.
        all_acknowledged: bool,
    },
}

impl Checked {
    /// The number that the kernel's function returns: 0, 1 when all are acknowledged, else -1.
    #[must_use]
    pub const fn code(self) -> i32 {
        match self {
            Self::Good => 0,
            Self::Bad { all_acknowledged: true, .. } => 1,
            Self::Bad { all_acknowledged: false, .. } => -1,
        }
    }

    /// The first record that touches the range.
    #[must_use]
    pub const fn first(self) -> Option<BadRecord> {
        match self {
            Self::Good => None,
            Self::Bad { first, .. } => Some(first),
        }
    }
}

/// The kernel's table of bad sectors, exactly: 512 records of at most 512 sectors each, with the
/// merging, splitting, acknowledging and overflowing of one [`Kernel`].
///
/// It loses what the kernel loses. For a set that loses nothing see
/// [`Badblocks`](crate::Badblocks).
///
/// Where a range is longer than the kernel's `int`, it is taken in parts of 2^31 - 1 sectors, as the
/// callers in the kernel do. A range that ends beyond [`TABLE_END`] is refused.
///
/// # What differs
/// * 6.1 merges with one record on each side at most. A range over three records leaves records that
///   overlap, and forgets sectors it was told of; of a range of more than 512 sectors the records
///   stand in reverse order, so that later look-ups miss some of them.
/// * 6.12 sets as much as it can when the table is full, and calls it success if anything was added,
///   also failure when nothing had to be. It keeps one record free when it splits.
/// * 7.2 refuses every range as soon as the table is full, also one that it holds already.
///
/// # Cost
/// A few passes over 512 records per operation.
///
/// # Kernel
/// `block/badblocks.c`.
///
/// # Examples
/// ```
/// use badrange_core::Sector;
/// use badrange_pmem::{BadblocksTable, Kernel};
/// let mut table = BadblocksTable::new(Kernel::Linux7_2);
/// assert!(table.set(Sector::new(0), 1300, true));
/// assert_eq!(table.to_string(), "0 512\n512 512\n1024 276\n");
/// assert!(table.clear(Sector::new(600), 8));
/// assert_eq!(table.to_string(), "0 512\n512 88\n608 416\n1024 276\n");
///
/// // The famous one: three sectors, then all twelve around them.
/// let all = |kernel| {
///     let mut table = BadblocksTable::new(kernel);
///     for (start, len) in [(32, 1), (34, 1), (36, 1), (32, 12)] {
///         assert!(table.set(Sector::new(start), len, true));
///     }
///     table.to_string()
/// };
/// assert_eq!(all(Kernel::Linux7_2), "32 12\n");
/// assert_eq!(all(Kernel::Linux6_1), "32 3\n36 1\n");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BadblocksTable {
    kernel: Kernel,
    /// `None`: disabled.
    shift: Option<u32>,
    words: Vec<Word>,
}

impl BadblocksTable {
    /// An empty table that counts in sectors, as pmem's do.
    #[must_use]
    pub const fn new(kernel: Kernel) -> Self {
        Self { kernel, shift: Some(0), words: Vec::new() }
    }

    /// An empty table with a shift: it is meant to count in units of `1 << shift` sectors. Shifts
    /// beyond 31 are taken as 31.
    ///
    /// # Kernel
    /// `badblocks.shift`, which md sets. 6.1 divides. Since 6.7 the results of the rounding are
    /// dropped: the table counts in sectors, and only the printed text is multiplied.
    #[must_use]
    pub fn with_shift(kernel: Kernel, shift: u32) -> Self {
        Self { kernel, shift: Some(shift.min(31)), words: Vec::new() }
    }

    /// A table that takes nothing and answers that all is good.
    ///
    /// # Kernel
    /// `badblocks.shift` of -1.
    #[must_use]
    pub const fn disabled(kernel: Kernel) -> Self {
        Self { kernel, shift: None, words: Vec::new() }
    }

    /// Whose rules it follows.
    #[must_use]
    pub const fn kernel(&self) -> Kernel {
        self.kernel
    }

    /// The records in the order of the table. Ascending and apart, except on 6.1.
    pub fn records(&self) -> impl Iterator<Item = BadRecord> + '_ {
        self.words.iter().map(|word| word.record())
    }

    /// How many records there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.words.len()
    }

    /// Whether there is no record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// Whether no record is free.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.words.len() >= TABLE_RECORDS
    }

    /// Marks sectors as bad; whether the kernel calls it a success.
    ///
    /// What does not succeed may still be in part there.
    ///
    /// # Kernel
    /// `badblocks_set()`. 6.15 and later return this; before, 0 stood for success.
    pub fn set(&mut self, start: Sector, sectors: u64, acknowledged: bool) -> bool {
        let Some(shift) = self.shift else { return false }; // disabled
        self.in_parts(start, sectors, |table, at, count| match table.kernel {
            Kernel::Linux6_1 => {
                let (first, end) = outward(at, count, shift);
                // NO-OVERFLOW: the end is not before the start.
                table.set_6_1(first, end.wrapping_sub(first), acknowledged)
            }
            _ if count == 0 => false,
            Kernel::Linux6_12 => table.set_6_12(at, count, acknowledged),
            Kernel::Linux7_2 => table.set_7_2(at, count, acknowledged),
        })
    }

    /// Marks sectors as good; whether the kernel calls it a success. Good sectors may be cleared.
    ///
    /// A record that would have to be split when the table is full stays as it is.
    ///
    /// # Kernel
    /// `badblocks_clear()`. 6.15 and later return this; before, 0 stood for success.
    pub fn clear(&mut self, start: Sector, sectors: u64) -> bool {
        let shift = match self.shift {
            Some(shift) => shift,
            None if self.kernel == Kernel::Linux6_1 => 0,
            None => return false,
        };
        self.in_parts(start, sectors, |table, at, count| match table.kernel {
            Kernel::Linux6_1 => {
                let (first, end) = inward(at, count, shift);
                table.clear_6_1(first, end)
            }
            _ if count == 0 => false,
            Kernel::Linux6_12 | Kernel::Linux7_2 => table.clear_rewritten(at, count),
        })
    }

    /// Whether sectors are bad, and the first record that touches them, whole.
    ///
    /// # Kernel
    /// `badblocks_check()`.
    #[must_use]
    pub fn check(&self, start: Sector, sectors: u64) -> Checked {
        let shift = self.shift.unwrap_or(0); // disabled, and so empty
        // NO-OVERFLOW: what lies beyond the end of the scale is not in the table.
        let sectors = sectors.min(u64::MAX.wrapping_sub(start.get()));
        match self.kernel {
            Kernel::Linux6_1 => {
                let (first, end) = outward(start.get(), sectors, shift);
                self.check_6_1(first, end)
            }
            Kernel::Linux6_12 | Kernel::Linux7_2 => self.check_rewritten(start.get(), sectors),
        }
    }

    /// Calls `act` for parts that fit an `int`; true when it was true for each.
    fn in_parts(
        &mut self,
        start: Sector,
        sectors: u64,
        mut act: impl FnMut(&mut Self, u64, u64) -> bool,
    ) -> bool {
        let end = start.get().checked_add(sectors).filter(|end| *end <= TABLE_END.get());
        let Some(end) = end else { return false }; // refused, as documented
        let (mut at, mut all) = (start.get(), true);
        loop {
            // NO-OVERFLOW: `at` does not pass `end`.
            let count = end.wrapping_sub(at).min(MOST_PER_CALL);
            all &= act(self, at, count);
            at = at.wrapping_add(count);
            if at >= end {
                return all;
            }
        }
    }

    /// The word at an index. INVARIANT: there is one.
    fn word(&self, at: usize) -> Word {
        debug_assert!(at < self.words.len(), "a record that was found is there");
        self.words.get(at).copied().unwrap_or_default()
    }

    /// Changes the word at an index. INVARIANT: there is one.
    fn put(&mut self, at: usize, word: Word) {
        debug_assert!(at < self.words.len(), "a record that was found is there");
        if let Some(place) = self.words.get_mut(at) {
            *place = word;
        }
    }
}

/// Units of `1 << shift` sectors that the sectors touch: (first, one past the last).
fn outward(start: u64, sectors: u64, shift: u32) -> (u64, u64) {
    // NO-OVERFLOW: `start + sectors` fits; rounding up saturates at the last unit.
    let end = start.wrapping_add(sectors);
    (start >> shift, end.saturating_add(unit_less_one(shift)) >> shift)
}

/// Units of `1 << shift` sectors that lie wholly inside: the end may lie before the start.
fn inward(start: u64, sectors: u64, shift: u32) -> (u64, u64) {
    // NO-OVERFLOW: as in `outward`.
    let end = start.wrapping_add(sectors);
    (start.saturating_add(unit_less_one(shift)) >> shift, end >> shift)
}

fn unit_less_one(shift: u32) -> u64 {
    // NO-OVERFLOW: a shift is at most 31, and a unit at least 1.
    1_u64.wrapping_shl(shift).wrapping_sub(1)
}
