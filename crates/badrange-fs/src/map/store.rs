use badrange_core::{DevOffset, Extent, FileOffset};

use crate::{FileId, Fork, Owner, Record, Special};

/// Entries under one entry of the level above. 16 maxima are two cache lines.
const FANOUT: usize = 16;

/// Records in the order of [`sort_key`], one array per field, below a tree of greatest ends.
///
/// 33 bytes per record, and 8/16 + 8/256 + ... more for the tree.
#[derive(Default, Clone)]
pub(super) struct Store {
    starts: Vec<u64>,
    ends: Vec<u64>,
    ids: Vec<u64>,
    file_starts: Vec<u64>,
    tags: Vec<u8>,
    /// Level `k` has the greatest end of each group of `FANOUT` entries of level `k - 1`; level -1
    /// are the `ends`. The last level is one group.
    maxima: Vec<Vec<u64>>,
}

/// The kernel's order of reverse mappings: start, owner, file offset.
pub(super) fn sort_key(record: &Record) -> (DevOffset, Owner, FileOffset, u64, bool) {
    let Record { extent, owner, file_start, unwritten } = *record;
    (extent.start(), owner, file_start, extent.len(), unwritten)
}

impl Store {
    /// Packs records that are sorted by [`sort_key`].
    pub(super) fn of_sorted(records: &[Record]) -> Self {
        debug_assert!(records.is_sorted_by_key(sort_key));
        let (ids, tags) = records.iter().map(pack).unzip();
        let ends: Vec<u64> = records.iter().map(|r| r.extent.end().get()).collect();
        Self {
            starts: records.iter().map(|r| r.extent.start().get()).collect(),
            maxima: maxima_of(&ends),
            ends,
            ids,
            file_starts: records.iter().map(|r| r.file_start.get()).collect(),
            tags,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.starts.len()
    }

    /// Bytes of memory for records and tree.
    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        let Self { starts, ends, ids, file_starts, tags, maxima } = self;
        let tree = maxima.iter().map(|level| size_of_val(level.as_slice()));
        let words = [starts, ends, ids, file_starts].map(|words| size_of_val(words.as_slice()));
        tree.chain(words).chain([tags.len()]).sum()
    }

    /// The record at an index, `None` past the last.
    pub(super) fn record(&self, index: usize) -> Option<Record> {
        let start = DevOffset::new(*self.starts.get(index)?);
        let end = DevOffset::new(*self.ends.get(index)?);
        let (owner, unwritten) = unpack(*self.ids.get(index)?, *self.tags.get(index)?)?;
        Some(Record {
            extent: Extent::from_bounds(start, end).ok()?,
            owner,
            file_start: FileOffset::new(*self.file_starts.get(index)?),
            unwritten,
        })
    }

    /// Where the record begins.
    pub(super) fn start(&self, index: usize) -> Option<u64> {
        self.starts.get(index).copied()
    }

    /// The first index from `from` on whose record ends after `after`.
    ///
    /// Climbs from `from` and then descends: of each level at most one group on the way up and one
    /// on the way down, whatever lies between.
    pub(super) fn next_ending_after(&self, from: usize, after: u64) -> Option<usize> {
        let (mut level, mut at) = (0, from);
        let mut found = loop {
            // NO-OVERFLOW: an index is far from the end of the scale; `from` may be past the last.
            let stop = (at / FANOUT).saturating_add(1).saturating_mul(FANOUT);
            match first_above(self.level(level)?, at, stop, after) {
                Some(found) => break found,
                None => at = stop / FANOUT,
            }
            // NO-OVERFLOW: there are not more levels than bits.
            level = level.wrapping_add(1);
        };
        while level > 0 {
            // NO-OVERFLOW: checked; and the groups of one level are the entries of the next.
            level = level.wrapping_sub(1);
            let group = found.wrapping_mul(FANOUT);
            found = first_above(self.level(level)?, group, group.wrapping_add(FANOUT), after)?;
        }
        Some(found)
    }

    fn level(&self, level: usize) -> Option<&[u64]> {
        match level.checked_sub(1) {
            Some(above) => self.maxima.get(above).map(Vec::as_slice),
            None => Some(&self.ends),
        }
    }
}

fn maxima_of(ends: &[u64]) -> Vec<Vec<u64>> {
    let group = |row: &[u64]| -> Vec<u64> {
        row.chunks(FANOUT).filter_map(|group| group.iter().copied().max()).collect()
    };
    let mut levels: Vec<Vec<u64>> = Vec::new();
    while levels.last().map_or(ends, Vec::as_slice).len() > FANOUT {
        levels.push(group(levels.last().map_or(ends, Vec::as_slice)));
    }
    levels
}

/// The first index in `[from, to)` of a row whose value is greater than `after`.
fn first_above(row: &[u64], from: usize, to: usize, after: u64) -> Option<usize> {
    let group = row.get(from..to.min(row.len()))?;
    let found = group.iter().position(|end| *end > after);
    #[cfg(test)]
    super::visits::add(found.map_or(group.len(), |i| i.saturating_add(1)));
    // NO-OVERFLOW: an index into the row.
    found.map(|i| from.wrapping_add(i))
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

fn unpack(id: u64, tag: u8) -> Option<(Owner, bool)> {
    let low = |id: u64| u32::try_from(id & u64::from(u32::MAX)).ok();
    let owner = match *KINDS.get(usize::from(tag >> 1))? {
        Owner::File { id: FileId::Ino(_), fork } => file(FileId::Ino(id), fork),
        Owner::File { id: FileId::Name(_), fork } => file(FileId::Name(low(id)?), fork),
        Owner::Special(Special::Other { .. }) => {
            Owner::Special(Special::Other { major: low(id >> 32)?, minor: low(id)? })
        }
        special @ Owner::Special(_) => special,
    };
    Some((owner, tag & 1 == 1))
}
