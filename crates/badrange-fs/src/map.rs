use core::{cell::Cell, fmt, iter::Peekable, ops::ControlFlow};

use badrange_core::{DevOffset, Extent, FileOffset, Flow, Run, Sink, bug};
use smallvec::SmallVec;

use crate::Record;

mod chunk;
mod cursor;
mod directory;
mod finger;
mod leaf;
mod level;
mod live;
mod load;
mod packed;
mod points;
mod raw;
#[cfg(test)]
mod tests;
mod tree;
#[cfg(test)]
mod visits;

use finger::{Finger, Meets};
pub use live::LiveMap;
use load::Load;
use packed::Packed;
use raw::Raw;
use tree::Tree;

/// The end of a branch that the index itself rules out, where there is no safe answer: to go on
/// would lose records, and with them the notification of their owners. Panics in every build.
#[cold]
#[track_caller]
#[expect(clippy::panic, reason = "a broken law is loud")]
fn lost(law: &str) -> ! {
    panic!("broken law: {law}");
}

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
    pub device: Extent,
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
/// use badrange_core::{DevOffset, Extent, FileOffset, Run};
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
/// let leg = Run::new(at(8192, 4096), 65536, 1000)?;
/// let mut owned: Vec<OwnedRun> = Vec::new();
/// let _ = map.owners_of_run(&leg, &mut |o| {
///     owned.push(o);
///     ControlFlow::Continue(())
/// });
/// assert_eq!(owned.len(), 1); // not a thousand
/// assert_eq!(owned[0].device, leg);
/// assert_eq!(owned[0].file.unwrap().count(), 1000);
/// # Ok::<(), badrange_core::RangeError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OwnedRun {
    /// The part of the asked run that the record covers, element by element inside elements of
    /// it; clipped exactly.
    pub device: Run,
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
    pub extent: Extent,
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
/// 28 to 31 bytes per record, up to twice that where records lie very far apart or are long and do
/// not begin and end at sectors, and 5 KiB at least; [`packed`](Self::packed) 10 to 20. With `n`
/// records, finding the first that overlaps what is asked takes a few steps where records are spread
/// evenly and `O(log n)` at worst; each further one is next to it. Long records do not slow down queries elsewhere: nothing looks back
/// by the length of the longest. A copy costs a few counters and shares everything.
///
/// # Concurrency
/// Immutable; any number of threads may ask. A [`LiveMap`] is what changes.
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

/// The two ways to keep records.
#[derive(Clone)]
enum Store {
    Tree(Tree),
    Packed(Packed),
}

impl Default for Store {
    fn default() -> Self {
        Self::Tree(Tree::default())
    }
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
        match &self.store {
            Store::Tree(tree) => tree.len(),
            Store::Packed(packed) => packed.len(),
        }
    }

    /// Whether there is no record at all: everything is unknown.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All records, in order.
    pub fn iter(&self) -> impl Iterator<Item = Record> + '_ {
        Sweep::over(&self.store, 0, u64::MAX)
    }

    /// The same records in the small form: about half of the memory, and slower to ask.
    ///
    /// Meant for maps that are kept for the day they are needed. Packing reads every record once.
    #[must_use]
    pub fn packed(&self) -> Self {
        match &self.store {
            Store::Tree(tree) => {
                Self { store: Store::Packed(Packed::new(tree.sweep(0, u64::MAX))) }
            }
            Store::Packed(_) => self.clone(),
        }
    }

    /// Bytes of memory that the records and the index take, shared with copies and snapshots; what
    /// an allocator adds is estimated.
    #[must_use]
    pub fn memory(&self) -> usize {
        match &self.store {
            Store::Tree(tree) => tree.memory(),
            Store::Packed(packed) => packed.memory(),
        }
    }

    /// Emits every owner of bytes of `extent`, each clipped to it, in the map's order.
    ///
    /// # Kernel
    /// `xfs_rmap_query_range()` with the overlap semantics that `xfs_dax_notify_ddev_failure()`
    /// uses: records that begin before the range are found too.
    pub fn owners(&self, extent: Extent, sink: Sink<'_, Owned>) -> Flow {
        self.for_each_owner(extent, sink)
    }

    /// [`owners`](Self::owners) for a sink that is known when this is compiled: what it does not
    /// look at is not worked out, which makes long ranges several times faster.
    ///
    /// # Examples
    /// ```
    /// use badrange_core::{DevOffset, Extent};
    /// use badrange_fs::ReverseMap;
    /// use core::ops::ControlFlow;
    /// let map = ReverseMap::default();
    /// let mut bytes = 0;
    /// let _ = map.for_each_owner(Extent::new(DevOffset::new(0), 4096)?, |owned| {
    ///     bytes += owned.device.len();
    ///     ControlFlow::Continue(())
    /// });
    /// assert_eq!(bytes, 0);
    /// # Ok::<(), badrange_core::RangeError>(())
    /// ```
    #[inline]
    pub fn for_each_owner(&self, extent: Extent, mut sink: impl FnMut(Owned) -> Flow) -> Flow {
        let (from, end) = (extent.start().get(), extent.end().get());
        self.each_raw(move || from, extent.end(), move |raw| emit(raw, from, end, &mut sink))
    }

    /// Calls `each` with every record that ends after `from` and begins before `end`, in order.
    /// `from` may go up on the way: what ends before or at it is left out, and stepped over as far
    /// as it fills leaves.
    #[inline]
    fn each_raw(
        &self,
        from: impl Fn() -> u64,
        end: DevOffset,
        mut each: impl FnMut(Raw) -> Flow,
    ) -> Flow {
        match &self.store {
            Store::Tree(tree) => tree.try_each(from, end.get(), each),
            Store::Packed(packed) => {
                let mut sweep = packed.sweep(from(), end.get());
                while let Some(raw) = sweep.next() {
                    each(raw)?;
                    sweep.skip_to(from());
                }
                ControlFlow::Continue(())
            }
        }
    }

    /// Emits every owner of bytes of `run`, each clipped to it, in the map's order. A record under
    /// many elements of a strided run comes out as at most three runs: head, body, tail.
    ///
    /// Each part lies element by element inside elements of `run`, so that
    /// [`Link::of_lower`](badrange_core::Link::of_lower) and
    /// [`Link::of_upper`](badrange_core::Link::of_upper) say what it is elsewhere.
    ///
    /// One sweep over the records under the run, with a finger on its elements: whole leaves of
    /// records that lie in a gap are stepped over.
    pub fn owners_of_run(&self, run: &Run, sink: Sink<'_, OwnedRun>) -> Flow {
        self.for_each_owner_of_run(run, sink)
    }

    /// [`owners_of_run`](Self::owners_of_run) for a sink that is known when this is compiled.
    #[inline]
    pub fn for_each_owner_of_run(&self, run: &Run, mut sink: impl FnMut(OwnedRun) -> Flow) -> Flow {
        let span = run.span();
        let from = Cell::new(span.start().get());
        let mut finger = Finger::new(run);
        let mut emit = |record: Record, device: Run| {
            let file = file_part(&record, device);
            sink(OwnedRun { device, record, file })
        };
        self.each_raw(
            || from.get(),
            span.end(),
            |raw| match finger.meet(raw.start, raw.end) {
                // It lies in a gap. Later records begin no earlier, so whatever of them overlaps
                // the run reaches beyond the beginning of this element.
                Meets::Before(next) => {
                    from.set(next);
                    ControlFlow::Continue(())
                }
                Meets::One(part) => emit(raw.record(), part),
                Meets::Many => {
                    let record = raw.record();
                    run.clip(record.extent).try_for_each(|part| emit(record, part))
                }
                Meets::Nothing => ControlFlow::Continue(()),
            },
        )
    }

    /// Emits what of `extent` no record covers, in ascending order, as maximal extents.
    ///
    /// Such bytes are unknown, never free: free space has records.
    pub fn gaps(&self, extent: Extent, sink: Sink<'_, Extent>) -> Flow {
        let from = Cell::new(extent.start().get());
        self.each_raw(
            || from.get(),
            extent.end(),
            |raw| {
                let known_to = DevOffset::new(from.get());
                from.set(raw.end);
                match Extent::from_bounds(known_to, DevOffset::new(raw.start)) {
                    Ok(gap) => sink(gap),
                    // The record begins where the known bytes end, or among them.
                    Err(_) => ControlFlow::Continue(()),
                }
            },
        )?;
        let known_to = DevOffset::new(from.get());
        match Extent::from_bounds(known_to, extent.end()) {
            Ok(gap) => sink(gap),
            // The last record reaches to the end, or beyond it.
            Err(_) => ControlFlow::Continue(()),
        }
    }

    /// Emits `extent` cut into maximal parts with the same records throughout, in ascending order.
    /// The parts cover it exactly; where nothing is known, `owners` is empty.
    ///
    /// A part ends wherever any record begins or ends. With `s` records on a byte at most, each
    /// part costs `O(s)` besides finding the records.
    pub fn segments(&self, extent: Extent, sink: &mut dyn FnMut(Segment<'_>) -> Flow) -> Flow {
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

/// The next part of a sweep from `at`, and what is active in it; `None` when `at` is the end of it.
/// Before the end there is one: what is active ends after `at`, and what waits begins after it.
fn next_segment(
    waiting: &mut Peekable<Sweep<'_>>,
    active: &mut SmallVec<[Record; 8]>,
    at: DevOffset,
    end: DevOffset,
) -> Option<Extent> {
    active.retain(|record| record.extent.end() > at);
    while let Some(record) = waiting.next_if(|record| record.extent.start() <= at) {
        active.push(record);
    }
    let ends = active.iter().map(|record| record.extent.end());
    let next_start = waiting.peek().map(|record| record.extent.start());
    Extent::from_bounds(at, ends.chain(next_start).fold(end, DevOffset::min)).ok()
}

/// Where in the file a part of a record's extent lies.
fn file_part(record: &Record, part: Run) -> Option<Run<FileOffset>> {
    if !record.has_file_offset() {
        return None;
    }
    part.rebase(record.extent.start(), record.file_start)
}

/// One record, clipped to what was asked: `[start, end)`.
#[inline]
fn emit(raw: Raw, start: u64, end: u64, sink: &mut impl FnMut(Owned) -> Flow) -> Flow {
    if !raw.is_plain() || raw.start < start || raw.end > end {
        return emit_part(raw, start, end, sink);
    }
    let record = raw.record();
    let device = record.extent;
    let file = Extent::new(record.file_start, device.len()).ok();
    sink(Owned { device, record, file })
}

/// [`emit`] for what has to be clipped, and for what is not data of a file.
#[inline]
fn emit_part(raw: Raw, start: u64, end: u64, sink: &mut impl FnMut(Owned) -> Flow) -> Flow {
    let record = raw.record();
    let start = record.extent.start().max(DevOffset::new(start));
    let end = record.extent.end().min(DevOffset::new(end));
    let Ok(device) = Extent::from_bounds(start, end) else {
        return bug!("a query meets only records that overlap what is asked");
    };
    let file = if record.has_file_offset() {
        device.rebase(record.extent.start(), record.file_start)
    } else {
        None
    };
    sink(Owned { device, record, file })
}

/// The records that overlap a window, in order.
#[expect(clippy::large_enum_variant, reason = "one on the stack per query")]
enum Sweep<'a> {
    Tree(tree::Sweep<'a>),
    Packed(packed::Sweep<'a>),
}

impl<'a> Sweep<'a> {
    fn new(map: &'a ReverseMap, window: Extent) -> Self {
        Self::over(&map.store, window.start().get(), window.end().get())
    }

    fn over(store: &'a Store, from: u64, end: u64) -> Self {
        match store {
            Store::Tree(tree) => Self::Tree(tree.sweep(from, end)),
            Store::Packed(packed) => Self::Packed(packed.sweep(from, end)),
        }
    }
}

impl Iterator for Sweep<'_> {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        match self {
            Self::Tree(sweep) => sweep.next().map(|raw| raw.record()),
            Self::Packed(sweep) => sweep.next().map(|raw| raw.record()),
        }
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
/// Records go into the map as they come: beside it there are a few thousand at most. In the order
/// of the map, or nearly, a record costs tens of nanoseconds; out of order it costs as much as
/// [`LiveMap::insert`].
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
    load: Load,
}

impl ReverseMapBuilder {
    /// Adds one record. Pushing an equal one again has no effect.
    pub fn push(&mut self, record: Record) {
        self.load.push(Raw::of(&record));
    }

    /// The map of all records pushed.
    #[must_use]
    pub fn build(self) -> ReverseMap {
        ReverseMap { store: Store::Tree(self.load.finish()) }
    }
}

impl Extend<Record> for ReverseMapBuilder {
    fn extend<I: IntoIterator<Item = Record>>(&mut self, records: I) {
        records.into_iter().for_each(|record| self.push(record));
    }
}
