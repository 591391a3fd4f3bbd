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
/// `start < end`, and the tag is one that [`pack`] made.
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
    #[inline]
    pub(super) fn of(record: &Record) -> Self {
        let (id, tag) = pack(record);
        Self {
            start: record.extent.start().get(),
            end: record.extent.end().get(),
            id,
            file: record.file_start.get(),
            tag,
        }
    }

    /// Whether it is data of a file: nearly all are.
    #[inline]
    pub(super) fn is_plain(&self) -> bool {
        self.tag <= 1
    }

    /// The record it was made of; `None` for numbers that no record makes.
    #[inline]
    pub(super) fn record(&self) -> Option<Record> {
        let extent = Extent::from_bounds(DevOffset::new(self.start), DevOffset::new(self.end));
        Some(Record {
            extent: extent.ok()?,
            owner: unpack(self.id, self.tag),
            file_start: FileOffset::new(self.file),
            unwritten: self.tag & 1 == 1,
        })
    }
}

/// What a tag says apart from `unwritten`, which is its lowest bit. The place in here is the rest.
/// Ids of `Ino`, `Name` and `Other` stand beside the tag and are zero here.
const KINDS: [Owner; 17] = [
    file(FileId::Ino(0), Fork::Data),
    file(FileId::Ino(0), Fork::Attr),
    file(FileId::Ino(0), Fork::ExtentMap),
    file(FileId::Name(0), Fork::Data),
    file(FileId::Name(0), Fork::Attr),
    file(FileId::Name(0), Fork::ExtentMap),
    Owner::Special(Special::Other { major: 0, minor: 0 }),
    Owner::Special(Special::Free),
    Owner::Special(Special::Unknown),
    Owner::Special(Special::StaticFs),
    Owner::Special(Special::Journal),
    Owner::Special(Special::PerAg),
    Owner::Special(Special::InodeBtree),
    Owner::Special(Special::Inodes),
    Owner::Special(Special::RefcountBtree),
    Owner::Special(Special::CowReservation),
    Owner::Special(Special::Defective),
];

const _: () = assert!(KINDS.len() * 2 <= 1 << TAG_BITS, "a tag has room for every kind");

const fn file(id: FileId, fork: Fork) -> Owner {
    Owner::File { id, fork }
}

/// An owner as its id and its kind with the id left out.
fn split(owner: Owner) -> (u64, Owner) {
    match owner {
        Owner::File { id: FileId::Ino(ino), fork } => (ino, file(FileId::Ino(0), fork)),
        Owner::File { id: FileId::Name(name), fork } => {
            (u64::from(name), file(FileId::Name(0), fork))
        }
        Owner::Special(Special::Other { major, minor }) => {
            let none = Owner::Special(Special::Other { major: 0, minor: 0 });
            ((u64::from(major) << 32) | u64::from(minor), none)
        }
        Owner::Special(_) => (0, owner),
    }
}

fn pack(record: &Record) -> (u64, u8) {
    let (id, kind) = split(record.owner);
    let tag = (0_u8..).zip(KINDS).find(|(_, k)| *k == kind).map_or(u8::MAX, |(tag, _)| tag);
    debug_assert_ne!(tag, u8::MAX, "every owner has a kind");
    (id, (tag << 1) | u8::from(record.unwritten))
}

#[inline]
fn unpack(id: u64, tag: u8) -> Owner {
    if tag <= 1 {
        return file(FileId::Ino(id), Fork::Data); // nearly all of them
    }
    unpack_other(id, tag).unwrap_or(Owner::Special(Special::Unknown))
}

fn unpack_other(id: u64, tag: u8) -> Option<Owner> {
    let low = |id: u64| u32::try_from(id & u64::from(u32::MAX)).ok();
    Some(match *KINDS.get(usize::from(tag >> 1))? {
        Owner::File { id: FileId::Ino(_), fork } => file(FileId::Ino(id), fork),
        Owner::File { id: FileId::Name(_), fork } => file(FileId::Name(low(id)?), fork),
        Owner::Special(Special::Other { .. }) => {
            Owner::Special(Special::Other { major: low(id >> 32)?, minor: low(id)? })
        }
        special @ Owner::Special(_) => special,
    })
}
