//! A small device for the tests: every law can look at each of its bytes.

use badrange_core::{DevOffset, Extent, FileOffset};
use proptest::prelude::*;

use crate::{FileId, Fork, Owner, Record, Special};

/// Bytes of the device.
pub(crate) const SCALE: u64 = 40;

pub(crate) const FREE: Owner = Owner::Special(Special::Free);
pub(crate) const UNKNOWN: Owner = Owner::Special(Special::Unknown);
pub(crate) const INODES: Owner = Owner::Special(Special::Inodes);
pub(crate) const JOURNAL: Owner = Owner::Special(Special::Journal);

pub(crate) const fn data(ino: u64) -> Owner {
    Owner::File { id: FileId::Ino(ino), fork: Fork::Data }
}

pub(crate) const fn name(index: u32) -> Owner {
    Owner::File { id: FileId::Name(index), fork: Fork::Data }
}

pub(crate) const fn fork(ino: u64, fork: Fork) -> Owner {
    Owner::File { id: FileId::Ino(ino), fork }
}

pub(crate) fn at(start: u64, len: u64) -> Extent {
    Extent::new(DevOffset::new(start), len).unwrap()
}

pub(crate) fn record(owner: Owner, start: u64, len: u64, file_start: u64) -> Record {
    let file_start = FileOffset::new(file_start);
    Record { extent: at(start, len), owner, file_start, unwritten: false }
}

pub(crate) fn unwritten(record: Record) -> Record {
    Record { unwritten: true, ..record }
}

pub(crate) fn extents() -> impl Strategy<Value = Extent> {
    (0..SCALE, 1..SCALE).prop_map(|(start, len)| at(start, len.min(SCALE.saturating_sub(start))))
}

pub(crate) fn owners() -> impl Strategy<Value = Owner> {
    prop_oneof![
        4 => (1..4_u64).prop_map(data),
        2 => (0..2_u32).prop_map(name),
        1 => (1..3_u64).prop_map(|ino| fork(ino, Fork::Attr)),
        1 => (1..3_u64).prop_map(|ino| fork(ino, Fork::ExtentMap)),
        1 => Just(FREE),
        1 => Just(UNKNOWN),
        1 => Just(INODES),
        1 => Just(JOURNAL),
    ]
}

/// Any records: overlapping, contradictory, equal.
pub(crate) fn records() -> impl Strategy<Value = Vec<Record>> {
    let one =
        (owners(), extents(), 0..6_u64, any::<bool>()).prop_map(|(owner, extent, file, u)| {
            let file_start = FileOffset::new(file);
            Record { extent, owner, file_start, unwritten: u }
        });
    proptest::collection::vec(one, 0..24)
}
