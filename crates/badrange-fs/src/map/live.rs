use badrange_core::{DevOffset, Extent, Space};

use super::{Raw, ReverseMap, Store, Tree};
use crate::Record;

/// A reverse map that changes while others ask it.
///
/// One thread changes it; everybody else asks [`snapshot`](Self::snapshot)s, which stay as they
/// are. A snapshot costs four counters. The first change of a part after a snapshot copies that
/// part: a leaf of at most 128 records, the block of the directory above it, and the list of blocks,
/// which is one pointer for about 6700 records. Without a snapshot that is still held, records move
/// within one leaf.
///
/// # Concurrency
/// There is no lock in here. To hand snapshots to other threads, keep the newest one where they
/// find it: in a mutex that is held for the copy alone, or in an `ArcSwap`.
///
/// # Cost
/// `O(log n)` per change, and 64 records of a block moved when a leaf splits; besides, every leaf
/// under a record that is added or taken away is looked at once: a record of 2 MiB over blocks of
/// 4 KiB covers five. Each time a map has grown by a quarter, it looks at all records once to find
/// them fast again: some nanoseconds for each.
///
/// # Examples
/// ```
/// use badrange_core::{DevOffset, Extent, FileOffset};
/// use badrange_fs::{FileId, Fork, LiveMap, Owner, Record};
/// let record = Record {
///     extent: Extent::new(DevOffset::new(0), 8192)?,
///     owner: Owner::File { id: FileId::Ino(132), fork: Fork::Data },
///     file_start: FileOffset::new(65536),
///     unwritten: false,
/// };
/// let mut live = LiveMap::new();
/// assert!(live.insert(record));
/// let before = live.snapshot();
/// let (head, tail) = live.split(&record, DevOffset::new(4096)).unwrap();
/// assert_eq!(tail.file_start, FileOffset::new(65536 + 4096));
/// assert!(live.remove(&head));
/// assert_eq!(before.iter().collect::<Vec<_>>(), [record]); // as it was
/// assert_eq!(live.snapshot().iter().collect::<Vec<_>>(), [tail]);
/// # Ok::<(), badrange_core::RangeError>(())
/// ```
#[derive(Debug, Default, Clone)]
pub struct LiveMap {
    tree: Tree,
}

impl LiveMap {
    /// Nothing known yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many records there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tree.len()
    }

    /// Whether there is no record at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The map as it is now, which later changes do not touch.
    #[must_use]
    pub fn snapshot(&self) -> ReverseMap {
        ReverseMap { store: Store::Tree(self.tree.clone()) }
    }

    /// Whether this very record is there.
    #[must_use]
    pub fn contains(&self, record: &Record) -> bool {
        self.tree.contains(&Raw::of(record))
    }

    /// Adds a record; `false` if it was there.
    pub fn insert(&mut self, record: Record) -> bool {
        self.tree.insert(Raw::of(&record))
    }

    /// Takes a record out; `false` if it was not there.
    pub fn remove(&mut self, record: &Record) -> bool {
        self.tree.remove(&Raw::of(record))
    }

    /// Cuts a record in two at a byte inside it, and returns them; file offsets go on across the
    /// cut.
    ///
    /// `None`, and nothing changed, where the record is not there, `at` is not inside, or the
    /// second part would lie beyond 64 bits of the file.
    pub fn split(&mut self, record: &Record, at: DevOffset) -> Option<(Record, Record)> {
        let (Some(head), Some(tail)) = record.extent.split_at(at) else { return None };
        let head = Record { extent: head, ..*record };
        let mut tail = Record { extent: tail, ..*record };
        if record.has_file_offset() {
            tail.file_start = record.file_start.checked_add(head.extent.len())?;
        }
        self.swap(&[*record], &[head, tail]).then_some((head, tail))
    }

    /// Makes one record of two where the second goes on as the first ends: in the device, in the
    /// file, with the same owner and state. Returns it.
    ///
    /// `None`, and nothing changed, where they do not, or either is not there.
    pub fn merge(&mut self, head: &Record, tail: &Record) -> Option<Record> {
        let goes_on = head.extent.end() == tail.extent.start()
            && (head.owner, head.unwritten) == (tail.owner, tail.unwritten);
        let file = if head.has_file_offset() {
            head.file_start.checked_add(head.extent.len())
        } else {
            Some(head.file_start)
        };
        if !goes_on || file != Some(tail.file_start) {
            return None;
        }
        let extent = Extent::from_bounds(head.extent.start(), tail.extent.end()).ok()?;
        let whole = Record { extent, ..*head };
        self.swap(&[*head, *tail], &[whole]).then_some(whole)
    }

    /// Replaces records by others; `false`, and nothing changed, if one is not there.
    fn swap<const OLD: usize, const NEW: usize>(
        &mut self,
        olds: &[Record; OLD],
        news: &[Record; NEW],
    ) -> bool {
        let (olds, news) = (olds.each_ref().map(Raw::of), news.each_ref().map(Raw::of));
        if self.tree.swap(&olds, &news) {
            return true;
        }
        if !olds.iter().all(|old| self.tree.contains(old)) {
            return false;
        }
        olds.iter().for_each(|old| {
            self.tree.remove(old);
        });
        for new in news {
            self.tree.insert(new);
        }
        true
    }
}

/// Goes on from a map. Shares everything with one that was not
/// [packed](ReverseMap::packed) until it changes.
impl From<ReverseMap> for LiveMap {
    fn from(map: ReverseMap) -> Self {
        match &map.store {
            Store::Tree(tree) => Self { tree: tree.clone() },
            Store::Packed(_) => {
                let unpacked: ReverseMap = map.iter().collect();
                Self::from(unpacked)
            }
        }
    }
}
