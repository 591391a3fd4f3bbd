#![expect(
    clippy::arithmetic_side_effects,
    reason = "drawn numbers are small, and a panic is a failed check"
)]

use arbitrary::Arbitrary;
use badrange_core::{DevOffset, Extent, FileOffset};
use badrange_fs::{FileId, Fork, Owner, Record, Special};

use crate::draw::within;

/// A record of a reverse map in plain numbers, in slots.
///
/// # Examples
/// ```
/// use badrange_testkit::twin::FsRecord;
/// let record = FsRecord { start: 4, len: 3, owner: 2, file_start: 9, unwritten: false };
/// assert_eq!(record.build(512).unwrap().owner.to_string(), "inode 2 data");
/// assert_eq!(record.file_slot(5), Some(10));
/// assert_eq!(record.file_slot(7), None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Arbitrary)]
pub struct FsRecord {
    /// First slot of the device.
    #[arbitrary(with = within::<0, 59>)]
    pub start: u64,
    /// How many slots.
    #[arbitrary(with = within::<1, 15>)]
    pub len: u64,
    /// Whose: 0..=3 data of that inode, 4 attribute fork of inode 0, 5 extent map of inode 1,
    /// 6 free space, 7 unknown, 8 the journal, 9 other metadata; counted on from 0 again.
    #[arbitrary(with = within::<0, 9>)]
    pub owner: u64,
    /// Slot of the file at which it begins.
    #[arbitrary(with = within::<0, 31>)]
    pub file_start: u64,
    /// Allocated but never written.
    pub unwritten: bool,
}

impl FsRecord {
    /// Whose it is, in the words of the real map.
    #[must_use]
    pub fn owner(&self) -> Owner {
        let file = |ino, fork| Owner::File { id: FileId::Ino(ino), fork };
        match self.owner % 10 {
            4 => file(0, Fork::Attr),
            5 => file(1, Fork::ExtentMap),
            6 => Owner::Special(Special::Free),
            7 => Owner::Special(Special::Unknown),
            8 => Owner::Special(Special::Journal),
            9 => Owner::Special(Special::InodeBtree),
            ino => file(ino, Fork::Data),
        }
    }

    /// Slot of the file of a slot of the device; `None` outside, and for what is in no file.
    #[must_use]
    pub fn file_slot(&self, slot: u64) -> Option<u64> {
        let in_file = self.owner % 10 <= 4;
        let inside = self.start <= slot && slot < self.start + self.len;
        (in_file && inside).then(|| self.file_start + (slot - self.start))
    }

    /// The real record, with slots of `slot_len` bytes; `None` when it lies beyond 64 bits.
    #[must_use]
    pub fn build(&self, slot_len: u64) -> Option<Record> {
        let start = DevOffset::new(self.start.checked_mul(slot_len)?);
        let file_start = match self.owner % 10 {
            0..=4 => self.file_start.checked_mul(slot_len)?,
            _ => 0,
        };
        Some(Record {
            extent: Extent::new(start, self.len.checked_mul(slot_len)?).ok()?,
            owner: self.owner(),
            file_start: FileOffset::new(file_start),
            unwritten: self.unwritten,
        })
    }
}

/// A filesystem's reverse map as a list: for every slot, which records cover it.
///
/// # Examples
/// ```
/// use badrange_testkit::twin::{FsRecord, FsTwin};
/// let record = |start, len, owner| FsRecord { start, len, owner, file_start: 0, unwritten: false };
/// let twin = FsTwin::new(&[record(0, 4, 1), record(2, 4, 2)]);
/// assert_eq!(twin.owners(1), [0]);
/// assert_eq!(twin.owners(3), [0, 1]); // shared
/// assert!(twin.owners(6).is_empty()); // unknown
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FsTwin {
    slots: Vec<Vec<usize>>,
}

impl FsTwin {
    /// The picture of these records.
    #[must_use]
    pub fn new(records: &[FsRecord]) -> Self {
        let end = records.iter().map(|r| r.start + r.len).max().unwrap_or(0);
        let owners = |slot: u64| {
            let covers = |r: &FsRecord| r.start <= slot && slot < r.start + r.len;
            (0..).zip(records).filter(|(_, r)| covers(r)).map(|(i, _)| i).collect()
        };
        Self { slots: (0..end).map(owners).collect() }
    }

    /// Indices of the records that cover a slot, in the order they were given.
    #[must_use]
    pub fn owners(&self, slot: u64) -> &[usize] {
        let known = usize::try_from(slot).ok().and_then(|i| self.slots.get(i));
        known.map_or(&[], Vec::as_slice)
    }
}
