use core::{fmt, iter::Peekable, ops::ControlFlow};

use badrange_core::{DevOffset, Extent, FileOffset, Piece, Run, Space};
use smallvec::SmallVec;

use crate::Record;

mod store;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod visits;

use store::{Store, sort_key};

/// One owner of bytes that were asked for.
///
/// # Examples
/// ```
/// use badrange_core::{DevOffset, Extent, FileOffset};
/// use badrange_fs::{FileId, Fork, Owner, Record, ReverseMap};
/// use core::ops::ControlFlow;
/// let at = |start, len| Extent::new(DevOffset::new(start), len).unwrap();
/// let record = Record {
///     extent: at(8192, 4096),
///     owner: Owner::File { id: FileId::Ino(7), fork: Fork::Data },
///     file_start: FileOffset::new(65536),
///     unwritten: false,
/// };
/// let map: ReverseMap = [record].into_iter().collect();
/// let _ = map.owners(at(0, 8200), &mut |owned| {
///     assert_eq!(owned.device, at(8192, 8)); // clipped
///     assert_eq!(owned.file, Extent::new(FileOffset::new(65536), 8).ok());
///     ControlFlow::Continue(())
/// });
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Owned {
    /// The part of the asked bytes that the record covers; clipped exactly.
    pub device: Extent<DevOffset>,
    /// The whole record, not clipped.
    pub record: Record,
    /// Where in the file the part lies; `None` for records without file offsets, and where they
    /// would lie beyond 64 bits.
    pub file: Option<Extent<FileOffset>>,
}

/// One owner of a part of a run that was asked for.
///
/// # Examples
/// ```
/// use badrange_core::{DevOffset, Extent, FileOffset, Piece, ReportOffset, Run};
/// use badrange_fs::{FileId, Fork, OwnedRun, Owner, Record, ReverseMap};
/// use core::ops::ControlFlow;
/// let at = |start, len| Extent::new(DevOffset::new(start), len).unwrap();
/// let record = Record {
///     extent: at(0, 1 << 30),
///     owner: Owner::File { id: FileId::Ino(7), fork: Fork::Data },
///     file_start: FileOffset::new(0),
///     unwritten: false,
/// };
/// let map: ReverseMap = [record].into_iter().collect();
/// // One leg of a stripe: 4 KiB of every 64 KiB, a thousand times.
/// let here = Run::new(at(8192, 4096), 65536, 1000)?;
/// let origin = Run::new(Extent::new(ReportOffset::new(0), 4096)?, 4096, 1000)?;
/// let mut owned: Vec<OwnedRun> = Vec::new();
/// let _ = map.owners_of_piece(&Piece::new(here, origin)?, &mut |o| {
///     owned.push(o);
///     ControlFlow::Continue(())
/// });
/// assert_eq!(owned.len(), 1); // not a thousand
/// assert_eq!(owned[0].file.unwrap().count(), 1000);
/// # Ok::<(), badrange_core::RangeError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OwnedRun {
    /// The part of the asked piece that the record covers, with its origin; clipped exactly.
    pub piece: Piece<DevOffset>,
    /// The whole record, not clipped.
    pub record: Record,
    /// Where in the file the part lies, element by element; `None` for records without file
    /// offsets, and where they would lie beyond 64 bits.
    pub file: Option<Run<FileOffset>>,
}

/// Bytes with the same records throughout.
///
/// # Examples
/// ```
/// use badrange_core::{DevOffset, Extent};
/// use badrange_fs::{ReverseMap, Segment};
/// use core::ops::ControlFlow;
/// let asked = Extent::new(DevOffset::new(0), 4096)?;
/// let _ = ReverseMap::default().segments(asked, &mut |segment: Segment<'_>| {
///     assert_eq!(segment.extent, asked);
///     assert!(segment.owners.is_empty()); // nothing known: not the same as free
///     ControlFlow::Continue(())
/// });
/// # Ok::<(), badrange_core::RangeError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment<'a> {
    /// The bytes.
    pub extent: Extent<DevOffset>,
    /// All records that cover them, in the map's order and not clipped; empty where there is none.
    pub owners: &'a [Record],
}

/// Whose the bytes of a filesystem's device are: an immutable snapshot.
///
/// A set of [`Record`]s, which may overlap as they like: reflink copies share bytes. What no record
/// covers is unknown; free space has records of its own.
///
/// Everything is reported in the order of the kernel's reverse map: start of the record (not of
/// the part that was hit), owner, file offset; then length. No query allocates, except that
/// [`segments`](Self::segments) does where more than eight records share a byte.
///
/// # Cost
/// About 34 bytes per record. With `n` records of which `k` overlap what is asked, a query costs
/// `O((k + 1) log n)` at worst and `O(log n + k)` where the hits are neighbours in the order. Long
/// records do not slow down queries elsewhere: nothing looks back by the length of the longest.
///
/// # Kernel
/// The reverse mapping btrees of all allocation groups as one
/// (`fs/xfs/libxfs/xfs_rmap_btree.c`), an overlapping-interval tree as well.
///
/// # Examples
/// ```
/// use badrange_core::{DevOffset, Extent, FileOffset};
/// use badrange_fs::{Owner, Record, ReverseMap, Special};
/// use core::ops::ControlFlow;
/// let at = |start, len| Extent::new(DevOffset::new(start), len).unwrap();
/// let journal = Record {
///     extent: at(4096, 8192),
///     owner: Owner::Special(Special::Journal),
///     file_start: FileOffset::new(0),
///     unwritten: false,
/// };
/// let map: ReverseMap = [journal].into_iter().collect();
/// assert_eq!(map.iter().collect::<Vec<_>>(), [journal]);
/// let mut unknown = Vec::new();
/// let _ = map.gaps(at(0, 16384), &mut |gap| {
///     unknown.push(gap);
///     ControlFlow::Continue(())
/// });
/// assert_eq!(unknown, [at(0, 4096), at(12288, 4096)]);
/// ```
#[derive(Default, Clone)]
pub struct ReverseMap {
    store: Store,
}

impl ReverseMap {
    /// Collects records in any order; the same as `collect()` from an iterator.
    #[must_use]
    pub fn builder() -> ReverseMapBuilder {
        ReverseMapBuilder::default()
    }

    /// How many records there are; equal ones count once.
    #[must_use]
    pub fn len(&self) -> usize {
        self.store.len()
    }

    /// Whether there is no record at all: everything is unknown.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All records, in order.
    pub fn iter(&self) -> impl Iterator<Item = Record> + '_ {
        (0..self.len()).filter_map(|index| self.store.record(index))
    }

    /// Emits every owner of bytes of `extent`, each clipped to it, in the map's order.
    ///
    /// # Kernel
    /// `xfs_rmap_query_range()` with the overlap semantics that `xfs_dax_notify_ddev_failure()`
    /// uses: records that begin before the range are found too.
    pub fn owners(
        &self,
        extent: Extent<DevOffset>,
        sink: &mut dyn FnMut(Owned) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        for record in Sweep::new(self, extent) {
            let Some(device) = record.extent.intersect(extent) else { continue };
            sink(Owned { device, record, file: file_part(&record, device.into()).map(only) })?;
        }
        ControlFlow::Continue(())
    }

    /// Emits every owner of bytes of `piece`, each clipped to it, in the map's order. A record
    /// under many elements of a strided piece comes out as at most three runs: head, body, tail.
    ///
    /// One sweep over the records under the piece; records that lie in its gaps are stepped over,
    /// a whole gap at a time. With `k` records that overlap elements: `O((k + 1) log n)`.
    pub fn owners_of_piece(
        &self,
        piece: &Piece<DevOffset>,
        sink: &mut dyn FnMut(OwnedRun) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let run = piece.here();
        let mut sweep = Sweep::new(self, run.span());
        while let Some(record) = sweep.next() {
            let mut hit = false;
            for part in piece.clip(record.extent) {
                hit = true;
                sink(OwnedRun { piece: part, record, file: file_part(&record, part.here()) })?;
            }
            if !hit {
                // It lies in a gap. Later records begin no earlier, so whatever of them overlaps
                // the run reaches beyond the beginning of the next element.
                let Some(next) = element_ending_after(&run, record.extent.start()) else { break };
                sweep.skip_to(next.start());
            }
        }
        ControlFlow::Continue(())
    }

    /// Emits what of `extent` no record covers, in ascending order, as maximal extents.
    ///
    /// Such bytes are unknown, never free: free space has records.
    pub fn gaps(
        &self,
        extent: Extent<DevOffset>,
        sink: &mut dyn FnMut(Extent<DevOffset>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let mut sweep = Sweep::new(self, extent);
        let mut known_to = extent.start();
        while let Some(record) = sweep.next() {
            if let Ok(gap) = Extent::from_bounds(known_to, record.extent.start()) {
                sink(gap)?;
            }
            known_to = known_to.max(record.extent.end());
            sweep.skip_to(known_to);
        }
        match Extent::from_bounds(known_to, extent.end()) {
            Ok(gap) => sink(gap),
            Err(_) => ControlFlow::Continue(()),
        }
    }

    /// Emits `extent` cut into maximal parts with the same records throughout, in ascending order.
    /// The parts cover it exactly; where nothing is known, `owners` is empty.
    ///
    /// A part ends wherever any record begins or ends. With `s` records on a byte at most, each
    /// part costs `O(s)` besides finding the records.
    pub fn segments(
        &self,
        extent: Extent<DevOffset>,
        sink: &mut dyn FnMut(Segment<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let mut waiting = Sweep::new(self, extent).peekable();
        let mut active = SmallVec::<[Record; 8]>::new();
        let mut at = extent.start();
        while let Some(part) = next_segment(&mut waiting, &mut active, at, extent.end()) {
            sink(Segment { extent: part, owners: &active })?;
            at = part.end();
        }
        ControlFlow::Continue(())
    }
}

/// The next part of a sweep from `at`, and what is active in it.
fn next_segment(
    waiting: &mut Peekable<Sweep<'_>>,
    active: &mut SmallVec<[Record; 8]>,
    at: DevOffset,
    end: DevOffset,
) -> Option<Extent<DevOffset>> {
    active.retain(|record| record.extent.end() > at);
    while let Some(record) = waiting.next_if(|record| record.extent.start() <= at) {
        active.push(record);
    }
    let ends = active.iter().map(|record| record.extent.end());
    let next_start = waiting.peek().map(|record| record.extent.start());
    Extent::from_bounds(at, ends.chain(next_start).fold(end, DevOffset::min)).ok()
}

/// Where in the file a part of a record's extent lies.
fn file_part(record: &Record, part: Run<DevOffset>) -> Option<Run<FileOffset>> {
    if !record.has_file_offset() {
        return None;
    }
    part.rebase(record.extent.start(), record.file_start)
}

/// The one element of a run of one.
fn only(run: Run<FileOffset>) -> Extent<FileOffset> {
    run.first()
}

/// The first element that ends after `at`.
fn element_ending_after(run: &Run<DevOffset>, at: DevOffset) -> Option<Extent<DevOffset>> {
    let Some(by) = at.checked_offset_from(run.first().start()) else {
        return Some(run.first());
    };
    let index = by.checked_div(run.stride())?;
    run.element(index).filter(|e| e.end() > at).or_else(|| run.element(index.checked_add(1)?))
}

/// The records that overlap a window, in order.
struct Sweep<'a> {
    store: &'a Store,
    next: usize,
    /// Records that do not end after this are of no interest.
    from: DevOffset,
    end: DevOffset,
}

impl<'a> Sweep<'a> {
    fn new(map: &'a ReverseMap, window: Extent<DevOffset>) -> Self {
        Self { store: &map.store, next: 0, from: window.start(), end: window.end() }
    }

    /// From now on leaves out records that end before or at `from`, which only goes up.
    fn skip_to(&mut self, from: DevOffset) {
        debug_assert!(self.from <= from);
        self.from = from;
    }
}

impl Iterator for Sweep<'_> {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        let index = self.store.next_ending_after(self.next, self.from.get())?;
        if self.store.start(index)? >= self.end.get() {
            return None;
        }
        // NO-OVERFLOW: an index of an array.
        self.next = index.wrapping_add(1);
        self.store.record(index)
    }
}

impl fmt::Debug for ReverseMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReverseMap").field("records", &self.len()).finish_non_exhaustive()
    }
}

/// Equal when the records are.
impl PartialEq for ReverseMap {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for ReverseMap {}

impl FromIterator<Record> for ReverseMap {
    fn from_iter<I: IntoIterator<Item = Record>>(records: I) -> Self {
        let mut builder = Self::builder();
        builder.extend(records);
        builder.build()
    }
}

/// Collects the records of a [`ReverseMap`], in any order.
///
/// # Cost
/// 56 bytes per record, beside the map while that is being built. Building sorts, which is linear
/// for records that come in the map's order, as a dump of a reverse map has them.
///
/// # Examples
/// ```
/// use badrange_core::{DevOffset, Extent, FileOffset};
/// use badrange_fs::{Owner, Record, ReverseMap, Special};
/// let mut builder = ReverseMap::builder();
/// builder.push(Record {
///     extent: Extent::new(DevOffset::new(0), 4096)?,
///     owner: Owner::Special(Special::StaticFs),
///     file_start: FileOffset::new(0),
///     unwritten: false,
/// });
/// assert_eq!(builder.build().len(), 1);
/// # Ok::<(), badrange_core::RangeError>(())
/// ```
#[derive(Debug, Default, Clone)]
pub struct ReverseMapBuilder {
    records: Vec<Record>,
}

impl ReverseMapBuilder {
    /// Adds one record. Pushing an equal one again has no effect.
    pub fn push(&mut self, record: Record) {
        self.records.push(record);
    }

    /// The map of all records pushed.
    #[must_use]
    pub fn build(mut self) -> ReverseMap {
        self.records.sort_unstable_by_key(sort_key);
        self.records.dedup();
        ReverseMap { store: Store::of_sorted(&self.records) }
    }
}

impl Extend<Record> for ReverseMapBuilder {
    fn extend<I: IntoIterator<Item = Record>>(&mut self, records: I) {
        self.records.extend(records);
    }
}
