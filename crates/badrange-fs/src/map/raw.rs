//! A record as numbers: what the leaves hold.

use badrange_core::{DevOffset, Extent, FileOffset};

use crate::{FileId, Fork, Owner, Record, Special};

/// The kernel's order of reverse mappings: start, owner, file offset.
pub(super) fn sort_key(record: &Record) -> (DevOffset, Owner, FileOffset, u64, bool) {
    let Record { extent, owner, file_start, unwritten } = *record;
    (extent.start(), owner, file_start, extent.len(), unwritten)
}

/// A record in numbers. Only a [`Record`] makes one.
///
/// `start < end`, and the tag is one that [`Raw::of`] made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Raw {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) id: u64,
    pub(super) file: u64,
    /// Kind of owner and, in the lowest bit, whether it is unwritten; below `1 << TAG_BITS`.
    pub(super) tag: u8,
}

/// Bits of a tag.
pub(super) const TAG_BITS: u32 = 6;

impl Raw {
    /// The safe answer where a record cannot be read: it may be about any byte, so that all are
    /// unknown.
    const UNKNOWN: Self =
        Self { start: 0, end: u64::MAX, id: 0, file: 0, tag: (Kind::Unknown as u8) << 1 };

    #[inline]
    pub(super) fn of(record: &Record) -> Self {
        let (kind, id) = Kind::of(record.owner);
        Self {
            start: record.extent.start().get(),
            end: record.extent.end().get(),
            id,
            file: record.file_start.get(),
            tag: ((kind as u8) << 1) | u8::from(record.unwritten),
        }
    }

    /// Whether it is data of a file: nearly all are.
    #[inline]
    pub(super) fn is_plain(&self) -> bool {
        self.tag <= 1
    }

    /// The record it was made of.
    #[inline]
    pub(super) fn record(&self) -> Record {
        let extent = Extent::from_bounds(DevOffset::new(self.start), DevOffset::new(self.end));
        let (Ok(extent), Some(owner)) = (extent, self.owner()) else {
            return Self::unreadable("numbers of a record that no record has").record();
        };
        let file_start = FileOffset::new(self.file);
        Record { extent, owner, file_start, unwritten: self.tag & 1 == 1 }
    }

    #[inline]
    fn owner(&self) -> Option<Owner> {
        if self.is_plain() {
            return Some(Owner::File { id: FileId::Ino(self.id), fork: Fork::Data });
        }
        KINDS.get(usize::from(self.tag >> 1))?.owner(self.id)
    }

    /// What stands for a record that the index has and cannot read, which is a bug in the index:
    /// panics in debug builds, and in a release build all bytes have an unknown owner more. To
    /// leave the record out would leave its owner without a notification.
    #[cold]
    pub(super) fn unreadable(reason: &str) -> Self {
        debug_assert!(false, "broken law: {reason}");
        Self::UNKNOWN
    }
}

/// Makes the enum and the list of its variants of one list, so that the index of a variant in it
/// is its number.
macro_rules! kinds {
    ($($kind:ident),* $(,)?) => {
        /// What a tag says apart from `unwritten`: an owner without its id.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        enum Kind { $($kind),* }

        const KINDS: &[Kind] = &[$(Kind::$kind),*];
    };
}

kinds! {
    // The first one is that of nearly all records; see `Raw::is_plain`.
    InoData, InoAttr, InoExtentMap, NameData, NameAttr, NameExtentMap,
    Other, Free, Unknown, StaticFs, Journal, PerAg, InodeBtree, Inodes, RefcountBtree,
    CowReservation, Defective,
}

const _: () = assert!(KINDS.len() * 2 <= 1 << TAG_BITS, "a tag has room for every kind");
const _: () = assert!(Kind::InoData as u8 == 0, "plain records have the tags 0 and 1");

/// Both directions are matches without a rest, so that an owner of a new sort does not compile
/// without a kind.
impl Kind {
    /// The kind of an owner, and its id.
    #[inline]
    fn of(owner: Owner) -> (Self, u64) {
        match owner {
            Owner::File { id: FileId::Ino(ino), fork } => (Self::of_inode(fork), ino),
            Owner::File { id: FileId::Name(name), fork } => (Self::of_name(fork), u64::from(name)),
            Owner::Special(special) => Self::of_special(special),
        }
    }

    const fn of_inode(fork: Fork) -> Self {
        match fork {
            Fork::Data => Self::InoData,
            Fork::Attr => Self::InoAttr,
            Fork::ExtentMap => Self::InoExtentMap,
        }
    }

    const fn of_name(fork: Fork) -> Self {
        match fork {
            Fork::Data => Self::NameData,
            Fork::Attr => Self::NameAttr,
            Fork::ExtentMap => Self::NameExtentMap,
        }
    }

    fn of_special(special: Special) -> (Self, u64) {
        let kind = match special {
            Special::Free => Self::Free,
            Special::Unknown => Self::Unknown,
            Special::StaticFs => Self::StaticFs,
            Special::Journal => Self::Journal,
            Special::PerAg => Self::PerAg,
            Special::InodeBtree => Self::InodeBtree,
            Special::Inodes => Self::Inodes,
            Special::RefcountBtree => Self::RefcountBtree,
            Special::CowReservation => Self::CowReservation,
            Special::Defective => Self::Defective,
            Special::Other { major, minor } => {
                return (Self::Other, (u64::from(major) << 32) | u64::from(minor));
            }
        };
        (kind, 0)
    }

    /// The owner of this kind with this id; `None` for an id that none of its kind has.
    fn owner(self, id: u64) -> Option<Owner> {
        let inode = |fork| Owner::File { id: FileId::Ino(id), fork };
        let name = |fork| Some(Owner::File { id: FileId::Name(u32::try_from(id).ok()?), fork });
        Some(Owner::Special(match self {
            Self::InoData => return Some(inode(Fork::Data)),
            Self::InoAttr => return Some(inode(Fork::Attr)),
            Self::InoExtentMap => return Some(inode(Fork::ExtentMap)),
            Self::NameData => return name(Fork::Data),
            Self::NameAttr => return name(Fork::Attr),
            Self::NameExtentMap => return name(Fork::ExtentMap),
            Self::Other => other(id),
            Self::Free => Special::Free,
            Self::Unknown => Special::Unknown,
            Self::StaticFs => Special::StaticFs,
            Self::Journal => Special::Journal,
            Self::PerAg => Special::PerAg,
            Self::InodeBtree => Special::InodeBtree,
            Self::Inodes => Special::Inodes,
            Self::RefcountBtree => Special::RefcountBtree,
            Self::CowReservation => Special::CowReservation,
            Self::Defective => Special::Defective,
        }))
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the two halves of the number")]
const fn other(id: u64) -> Special {
    Special::Other { major: (id >> 32) as u32, minor: id as u32 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{UNKNOWN, data, record};

    /// Tags and ids that no owner has.
    fn broken() -> [Raw; 4] {
        let plain = Raw::of(&record(data(7), 8, 4, 0));
        let name = (Kind::NameData as u8) << 1;
        [
            Raw { tag: u8::MAX, ..plain },
            Raw { tag: u8::try_from(KINDS.len()).unwrap() << 1, ..plain },
            Raw { tag: name, id: 1 << 32, ..plain },
            Raw { end: plain.start, ..plain },
        ]
    }

    /// Loud where asserts are compiled in; else the bytes are unknown, never somebody else's and
    /// never nobody's.
    #[test]
    fn numbers_that_no_record_has_are_loud_or_unknown() {
        for raw in broken() {
            let read = std::panic::catch_unwind(|| raw.record());
            if cfg!(debug_assertions) {
                assert!(read.is_err(), "{raw:?}");
            } else {
                let read = read.unwrap();
                assert_eq!(read.owner, UNKNOWN, "{raw:?}");
                assert_eq!((read.extent.start().get(), read.extent.len()), (0, u64::MAX));
            }
        }
    }
}
