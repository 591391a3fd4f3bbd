use core::fmt;

use badrange_core::{DevOffset, Extent, FileOffset, Space};

use crate::{Owner, Record, ReverseMap, ReverseMapBuilder};

mod error;
mod rules;
#[cfg(test)]
mod tests;

pub use error::{MergeError, MergeErrorKind};

/// Where a record was read: a token that the caller chooses and gets back in errors.
///
/// All records of one map have the same `file`, and no other map has it.
///
/// # Examples
/// ```
/// use badrange_fs::Source;
/// assert_eq!(Source { file: 1, line: 12 }.to_string(), "map 1 line 12");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source {
    /// Which map.
    pub file: u32,
    /// Which line of it.
    pub line: u64,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "map {} line {}", self.file, self.line)
    }
}

/// What a map claims to be.
///
/// # Examples
/// ```
/// use badrange_fs::MapKind;
/// assert_eq!(MapKind::Complete.to_string(), "complete");
/// assert_eq!(MapKind::Files.to_string(), "files");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MapKind {
    /// Of the whole device (fsmap): where it names owners of a byte, it names all of them. What it
    /// calls unknown or does not list may be somebody's.
    Complete,
    /// Data extents of some files (filefrag, `xfs_bmap`): other files may own the bytes too.
    Files,
}

impl fmt::Display for MapKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Complete => "complete",
            Self::Files => "files",
        })
    }
}

/// A record as one map states it.
///
/// # Examples
/// ```
/// use badrange_core::{DevOffset, Extent, FileOffset};
/// use badrange_fs::{Claim, FileId, Fork, MapKind, Owner, Record, Source};
/// let claim = Claim {
///     record: Record {
///         extent: Extent::new(DevOffset::new(8192), 4096)?,
///         owner: Owner::File { id: FileId::Ino(132), fork: Fork::Data },
///         file_start: FileOffset::new(0),
///         unwritten: false,
///     },
///     shared: false,
///     kind: MapKind::Files,
///     source: Source { file: 1, line: 4 },
/// };
/// assert_eq!(claim.source.line, 4);
/// # Ok::<(), badrange_core::RangeError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Claim {
    /// What is stated.
    pub record: Record,
    /// The map flags the extent as shared: others own bytes of it too.
    pub shared: bool,
    /// What kind of map states it.
    pub kind: MapKind,
    /// Where it was read.
    pub source: Source,
}

/// Merges several maps of one filesystem into one [`ReverseMap`].
///
/// Every rule holds byte by byte: an extent that overlaps another in part is split, and only the
/// overlapping bytes are refined or contradicted.
///
/// # What is joined
/// A *fact* is an owner with a file offset for a byte. The same fact said several times, by one map
/// or by several, is one record; it is unwritten if any of them says so. Facts of a [`Complete`]
/// map about unknown bytes give way to facts of other maps.
///
/// # What contradicts what
/// `M` is a complete map, `F` any other map. Facts in one line are about the same byte.
///
/// | one says | another says | result |
/// |---|---|---|
/// | nothing | anything | the other's |
/// | unknown (`M`) | file, metadata, journal (`F`) | the other's; unknown is gone there |
/// | unknown | other than unknown, same `M` | contradiction |
/// | unknown | free space | contradiction: unknown is in use |
/// | free space | a file, or another use | contradiction |
/// | metadata, journal, cow reservation, defective | a file | contradiction |
/// | one of these | another of these | contradiction |
/// | attribute fork or extent map | any other owner | contradiction: they are never shared |
/// | files by inode (`M`) | files, same `M` | all of them: reflink |
/// | files by inode (`M`) | one of these, same offset (`F`) | one record |
/// | files by inode (`M`) | one of these, only at other offsets (`F`) | contradiction |
/// | files by inode (`M`) | another inode (`F`) | contradiction: `M` would have named it |
/// | files by inode (`M`) | a name, at the offset of one of these (`F`) | both: it may be a hard link |
/// | files by inode (`M`) | a name, at no offset of these (`F`) | contradiction |
///
/// Where no complete map names owners, extents of [`Files`] maps with the same bytes:
///
/// | one | other | neither flagged shared | either flagged shared |
/// |---|---|---|---|
/// | a file | the same file, same offset | one record | one record |
/// | a file | the same file, other offset | contradiction | both |
/// | an inode | another inode | contradiction | both |
/// | a name | a name or an inode, same offset | both: they may be hard links | both |
/// | a name | a name or an inode, other offset | contradiction | both |
///
/// A name is never taken for an inode: it stays an owner beside it. But where it can be no other
/// file, because a complete map names just one at that offset or because nobody flags the bytes as
/// shared, bytes that are unwritten in one are unwritten in the other.
///
/// [`Complete`]: MapKind::Complete
/// [`Files`]: MapKind::Files
///
/// # Record boundaries
/// Those of the maps are kept: two records that continue one another stay two, unless a record
/// spans the boundary. A single map without contradictions comes out as it went in, but for
/// records of one fact that overlap.
///
/// # Cost
/// `O(n log n)` for `n` records, plus the number of records on each part between two boundaries.
/// All records are kept until the end, at 80 bytes each; an [`OrderedMerge`] does without.
///
/// # Examples
/// ```
/// use badrange_core::{DevOffset, Extent, FileOffset};
/// use badrange_fs::{Claim, FileId, Fork, MapKind, Merge, Owner, Record, Source, Special};
/// let record = |owner, start, len| Record {
///     extent: Extent::new(DevOffset::new(start), len).unwrap(),
///     owner,
///     file_start: FileOffset::new(0),
///     unwritten: false,
/// };
/// let unknown = record(Owner::Special(Special::Unknown), 0, 12288);
/// let orders = record(Owner::File { id: FileId::Ino(12), fork: Fork::Data }, 4096, 4096);
/// let mut merge = Merge::new();
/// let fsmap = Source { file: 0, line: 1 };
/// merge.push(Claim { record: unknown, shared: false, kind: MapKind::Complete, source: fsmap });
/// let filefrag = Source { file: 1, line: 4 };
/// merge.push(Claim { record: orders, shared: false, kind: MapKind::Files, source: filefrag });
/// let owners: Vec<String> = merge.build()?.iter().map(|r| r.owner.to_string()).collect();
/// assert_eq!(owners, ["unknown", "inode 12 data", "unknown"]);
/// # Ok::<(), badrange_fs::MergeError>(())
/// ```
#[derive(Debug, Default, Clone)]
pub struct Merge {
    claims: Vec<Claim>,
}

impl Merge {
    /// Nothing claimed yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a record of a map. The order does not matter.
    pub fn push(&mut self, claim: Claim) {
        self.claims.push(claim);
    }

    /// The merged map.
    ///
    /// # Errors
    /// The contradiction with the lowest device offset, with both claims.
    pub fn build(mut self) -> Result<ReverseMap, MergeError> {
        self.claims.sort_unstable_by_key(order_of);
        let mut ordered = OrderedMerge::new();
        for claim in self.claims {
            ordered.accept(claim);
        }
        ordered.build()
    }
}

/// By device offset, then by where it was read.
fn order_of(claim: &Claim) -> (DevOffset, Source) {
    (claim.record.extent.start(), claim.source)
}

impl Extend<Claim> for Merge {
    fn extend<I: IntoIterator<Item = Claim>>(&mut self, claims: I) {
        self.claims.extend(claims);
    }
}

/// A [`Merge`] of claims that come in ascending order of device offsets, as one fsmap has them: it
/// keeps the claims on the bytes at hand and the map that is being built, and nothing else.
///
/// # Examples
/// ```
/// use badrange_core::{DevOffset, Extent, FileOffset};
/// use badrange_fs::{Claim, MapKind, OrderedMerge, Owner, Record, Source, Special};
/// let journal = |start, line| Claim {
///     record: Record {
///         extent: Extent::new(DevOffset::new(start), 4096).unwrap(),
///         owner: Owner::Special(Special::Journal),
///         file_start: FileOffset::new(0),
///         unwritten: false,
///     },
///     shared: false,
///     kind: MapKind::Complete,
///     source: Source { file: 0, line },
/// };
/// let mut merge = OrderedMerge::new();
/// assert!(merge.push(journal(8192, 1)).is_ok());
/// assert_eq!(merge.push(journal(4096, 2)), Err(journal(4096, 2))); // for a `Merge`
/// assert_eq!(merge.build()?.len(), 1);
/// # Ok::<(), badrange_fs::MergeError>(())
/// ```
#[derive(Debug, Default, Clone)]
pub struct OrderedMerge {
    sweep: Sweep,
    /// Everything before this byte is decided.
    at: DevOffset,
    last: Option<(DevOffset, Source)>,
    /// The first contradiction; what comes after it is not looked at.
    failed: Option<MergeError>,
}

impl OrderedMerge {
    /// Nothing claimed yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn takes(&self, claim: &Claim) -> bool {
        self.last.is_none_or(|last| last <= order_of(claim))
    }

    /// Adds a record of a map.
    ///
    /// # Errors
    /// The claim, if it begins before the one that came last, or at the same byte with a lower
    /// source: then only a [`Merge`] of all claims will do. A contradiction is reported by
    /// [`build`](Self::build).
    pub fn push(&mut self, claim: Claim) -> Result<(), Claim> {
        if !self.takes(&claim) {
            return Err(claim);
        }
        self.accept(claim);
        Ok(())
    }

    /// Adds a claim that does not come before the last one.
    fn accept(&mut self, claim: Claim) {
        debug_assert!(self.takes(&claim), "claims come in order");
        self.last = Some(order_of(&claim));
        if self.failed.is_none() {
            self.failed = self.add(claim).err();
        }
    }

    fn add(&mut self, claim: Claim) -> Result<(), MergeError> {
        self.decide(Some(claim.record.extent.start()))?;
        self.sweep.add(claim)
    }

    /// Decides all bytes up to `next`, or to the end of all claims.
    fn decide(&mut self, next: Option<DevOffset>) -> Result<(), MergeError> {
        while next.is_none_or(|next| self.at < next) {
            self.sweep.forget_before(self.at);
            match (self.sweep.part(self.at, next), next) {
                (Some(part), _) => self.at = self.sweep.advance(part)?,
                (None, Some(next)) => self.at = next, // nobody claims what is before it
                (None, None) => break,
            }
        }
        self.sweep.forget_before(self.at);
        Ok(())
    }

    /// The merged map.
    ///
    /// # Errors
    /// The contradiction with the lowest device offset, with both claims.
    pub fn build(mut self) -> Result<ReverseMap, MergeError> {
        if let Some(err) = self.failed {
            return Err(err);
        }
        self.decide(None)?;
        Ok(self.sweep.finish())
    }
}

/// The claims on the bytes at hand and the records they become, from the lowest offset up.
#[derive(Debug, Default, Clone)]
struct Sweep {
    /// By fact, then by source.
    active: Vec<Stated>,
    /// What was true of the part before; by key.
    facts: Vec<Fact>,
    built: ReverseMapBuilder,
}

impl Sweep {
    fn add(&mut self, claim: Claim) -> Result<(), MergeError> {
        let stated = Stated::new(claim)?;
        let order = |s: &Stated| (s.key, s.claim.source);
        let index = self.active.partition_point(|s| order(s) <= order(&stated));
        self.active.insert(index, stated);
        Ok(())
    }

    fn forget_before(&mut self, at: DevOffset) {
        self.active.retain(|stated| stated.claim.record.extent.end() > at);
    }

    /// The bytes from `at` to the next boundary; `None` when nobody claims them.
    fn part(&self, at: DevOffset, next: Option<DevOffset>) -> Option<Extent> {
        let ends = self.active.iter().map(|stated| stated.claim.record.extent.end());
        let end = ends.min()?;
        Extent::from_bounds(at, next.map_or(end, |next| next.min(end))).ok()
    }

    /// Decides a part and returns its end.
    fn advance(&mut self, part: Extent) -> Result<DevOffset, MergeError> {
        let mut facts = rules::resolve(&self.active, part)?;
        for old in self.facts.drain(..) {
            let same = facts.binary_search_by_key(&old.key, |new| new.key).ok();
            match same.and_then(|i| facts.get_mut(i)).filter(|new| new.continues(&old)) {
                Some(new) => new.extent = new.extent.hull(old.extent),
                None => self.built.push(old.record()),
            }
        }
        self.facts = facts;
        Ok(part.end())
    }

    fn finish(mut self) -> ReverseMap {
        self.built.extend(self.facts.iter().map(Fact::record));
        self.built.build()
    }
}

/// An owner and where the file lies on the device: the same for all bytes of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    owner: Owner,
    /// File offset minus device offset, modulo 2^64; 0 for what has no file offsets.
    shift: u64,
}

impl Key {
    fn file_at(&self, at: DevOffset) -> FileOffset {
        // NO-OVERFLOW: modulo 2^64 it is the claim's own file offset, which was checked.
        FileOffset::new(self.shift.wrapping_add(at.get()))
    }
}

/// A claim with its key.
#[derive(Debug, Clone, Copy)]
struct Stated {
    key: Key,
    claim: Claim,
}

impl Stated {
    fn new(claim: Claim) -> Result<Self, MergeError> {
        let Record { extent, owner, file_start, .. } = claim.record;
        if !claim.record.has_file_offset() {
            return Ok(Self { key: Key { owner, shift: 0 }, claim });
        }
        if file_start.checked_add(extent.len()).is_none() {
            return Err(MergeError::new(MergeErrorKind::FileRange, extent, claim, claim));
        }
        let shift = file_start.get().wrapping_sub(extent.start().get());
        Ok(Self { key: Key { owner, shift }, claim })
    }

    /// Whether both come from the same complete map.
    fn in_one_complete_map(&self, other: &Self) -> bool {
        self.naming_map().is_some() && self.naming_map() == other.naming_map()
    }

    fn naming_map(&self) -> Option<u32> {
        (self.claim.kind == MapKind::Complete).then_some(self.claim.source.file)
    }
}

/// What is true of some bytes after all claims were heard.
#[derive(Debug, Clone, Copy)]
struct Fact {
    key: Key,
    extent: Extent,
    unwritten: bool,
    /// Any of the claims flags it as shared.
    shared: bool,
    /// Where the first of the claims began that say so.
    since: DevOffset,
}

impl Fact {
    /// Whether this is the same record as that of the part before: a claim spans the boundary.
    fn continues(&self, before: &Self) -> bool {
        self.unwritten == before.unwritten && self.since < self.extent.start()
    }

    fn record(&self) -> Record {
        let mut record = Record {
            extent: self.extent,
            owner: self.key.owner,
            file_start: FileOffset::new(0),
            unwritten: self.unwritten,
        };
        if record.has_file_offset() {
            record.file_start = self.key.file_at(self.extent.start());
        }
        record
    }
}
