use core::{cmp::Ordering, fmt};

use badrange_core::{DevOffset, DeviceId, Extent, MfFlags, PhysAddr, Space};

use crate::{
    lost::{Item, Lost},
    sync::{Condvar, Mutex, MutexGuard},
};

/// A range that failed, with the space it failed in.
///
/// # Examples
/// ```
/// use badrange_core::{Extent, PhysAddr};
/// use badrange_stack::BadRange;
/// let page = BadRange::Memory(Extent::new(PhysAddr::new(0x1000), 0x1000)?);
/// assert_eq!(page.to_string(), "memory [0x1000..0x2000)");
/// # Ok::<(), badrange_core::RangeError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BadRange {
    /// Bytes of physical memory.
    Memory(Extent<PhysAddr>),
    /// Bytes of a device.
    Device(DeviceId, Extent<DevOffset>),
}

impl BadRange {
    /// The smallest range that covers both; `None` when they lie in different spaces.
    #[must_use]
    pub fn hull(self, other: Self) -> Option<Self> {
        match (self, other) {
            (Self::Memory(a), Self::Memory(b)) => Some(Self::Memory(a.hull(b))),
            (Self::Device(id, a), Self::Device(other, b)) if id == other => {
                Some(Self::Device(id, a.hull(b)))
            }
            (Self::Memory(_) | Self::Device(..), Self::Memory(_) | Self::Device(..)) => None,
        }
    }

    /// Whether they have a byte in common.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        self.compare(other) == Some(Meeting::Overlap)
    }

    /// Bytes.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a range is never empty")]
    pub fn len(self) -> u64 {
        match self {
            Self::Memory(extent) => extent.len(),
            Self::Device(_, extent) => extent.len(),
        }
    }

    /// Both as one, when nothing lies between them.
    pub(crate) fn joined(self, other: Self) -> Option<Self> {
        self.compare(other).and_then(|_| self.hull(other))
    }

    fn compare(self, other: Self) -> Option<Meeting> {
        match (self, other) {
            (Self::Memory(a), Self::Memory(b)) => meeting(a, b),
            (Self::Device(id, a), Self::Device(other, b)) if id == other => meeting(a, b),
            (Self::Memory(_) | Self::Device(..), Self::Memory(_) | Self::Device(..)) => None,
        }
    }
}

impl fmt::Display for BadRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory(e) => write!(f, "memory [{:#x}..{:#x})", e.start().get(), e.end().get()),
            Self::Device(id, e) => {
                write!(f, "{id} [{:#x}..{:#x})", e.start().get(), e.end().get())
            }
        }
    }
}

/// How two ranges of one space meet, if they do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meeting {
    Overlap,
    Touch,
}

fn meeting<S: Space>(a: Extent<S>, b: Extent<S>) -> Option<Meeting> {
    match a.start().max(b.start()).cmp(&a.end().min(b.end())) {
        Ordering::Less => Some(Meeting::Overlap),
        Ordering::Equal => Some(Meeting::Touch),
        Ordering::Greater => None,
    }
}

/// A failure on its way to a [`Stack`](crate::Stack).
///
/// # Examples
/// ```
/// use badrange_core::{Extent, MfFlags, PhysAddr};
/// use badrange_stack::{BadRange, Failure};
/// let range = BadRange::Memory(Extent::new(PhysAddr::new(0x1000), 0x1000)?);
/// let failure = Failure { range, flags: MfFlags::ACTION_REQUIRED };
/// # Ok::<(), badrange_core::RangeError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Failure {
    /// What failed.
    pub range: BadRange,
    /// The circumstances.
    pub flags: MfFlags,
}

/// What an [`EventQueue`] did with a failure.
///
/// # Examples
/// See [`EventQueue`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pushed {
    /// It has a place of its own.
    Queued,
    /// It continues or repeats one that waits: same space, same flags.
    Merged,
    /// There was no room: it will be part of a LOST record.
    Lost,
}

/// What a consumer takes out of an [`EventQueue`].
///
/// # Examples
/// See [`EventQueue`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Record {
    /// Every byte of this range failed, under these circumstances.
    Failed {
        /// The failure.
        failure: Failure,
        /// How many reports it stands for.
        reports: u64,
    },
    /// Failures were reported in this range and could not be kept. Every byte that they named lies
    /// inside it; which those are is not known any more: look at the source itself.
    Lost {
        /// The range, and every flag that any of them had.
        failure: Failure,
        /// How many reports were lost.
        reports: u64,
    },
    /// Failures were reported that could not be kept, in more spaces than there are places for
    /// LOST records: look at everything.
    LostAnywhere {
        /// Every flag that any of them had.
        flags: MfFlags,
        /// How many reports were lost.
        reports: u64,
    },
}

impl Record {
    /// How many reports the record stands for.
    #[must_use]
    pub fn reports(&self) -> u64 {
        match self {
            Self::Failed { reports, .. }
            | Self::Lost { reports, .. }
            | Self::LostAnywhere { reports, .. } => *reports,
        }
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed { failure, .. } => write!(f, "failed: {}", failure.range),
            Self::Lost { failure, reports } => {
                write!(f, "LOST {reports} reports within {}", failure.range)
            }
            Self::LostAnywhere { reports, .. } => write!(f, "LOST {reports} reports anywhere"),
        }
    }
}

/// Failures between whoever detects them and whoever hands them to a [`Stack`](crate::Stack):
/// bounded, and nothing is dropped in silence.
///
/// A producer never waits for a consumer or for room, and never allocates. A failure that
/// continues the newest one in the queue, or repeats it, is merged with it. When the queue is full,
/// a failure is merged with any that it continues; when there is none, it becomes part of a LOST
/// record that covers it. LOST records are few and grow: when even they have no room for another
/// space, one record says that anything may be lost.
///
/// # Order
/// Of every byte, the failures that are delivered are those that were pushed, in their order, up
/// to the first that was lost; a record of what was lost comes after them. Merging moves a failure
/// past others of other bytes only. A batch ends with its LOST records.
///
/// # Concurrency
/// Any number of producers and consumers. A push holds one lock while it compares the failure
/// with what waits, `O(bound)` at most, and with the newest only while there is room; a drain holds
/// it while it takes the whole batch, in constant time. Nobody holds it while allocating, or while
/// working on a batch.
///
/// # Kernel
/// `memory_failure_queue()` puts pfns in a FIFO of 16 entries per processor and drops what does not
/// fit, with a line in the log.
///
/// # Examples
/// ```
/// use badrange_core::{Extent, MfFlags, PhysAddr};
/// use badrange_stack::{BadRange, EventQueue, Failure, Pushed, Record};
///
/// let page = |n: u64| Failure {
///     range: BadRange::Memory(Extent::new(PhysAddr::new(n * 4096), 4096).unwrap()),
///     flags: MfFlags::NONE,
/// };
/// let queue = EventQueue::with_bound(2);
/// assert_eq!(queue.push(page(0)), Pushed::Queued);
/// assert_eq!(queue.push(page(1)), Pushed::Merged);
/// assert_eq!(queue.push(page(9)), Pushed::Queued);
/// assert_eq!(queue.push(page(2)), Pushed::Merged); // full, but it continues the first
/// assert_eq!(queue.push(page(5)), Pushed::Lost);
/// let batch: Vec<String> = queue.drain().iter().map(Record::to_string).collect();
/// assert_eq!(batch, [
///     "failed: memory [0x0..0x3000)",
///     "failed: memory [0x9000..0xa000)",
///     "LOST 1 reports within memory [0x5000..0x6000)",
/// ]);
/// ```
pub struct EventQueue {
    bound: usize,
    state: Mutex<State>,
    filled: Condvar,
}

/// # Invariants
/// `queued` has at most as many items as the bound, and never grows its memory. No queued item that
/// overlaps a lost one is newer than what was lost.
#[derive(Debug)]
struct State {
    queued: Vec<Item>,
    lost: Lost,
    closed: bool,
}

impl EventQueue {
    /// Failures that a [`Default`] queue holds.
    pub const BOUND: usize = 256;

    /// A queue for `bound` failures at a time (at least one), and a few LOST records beside them.
    /// All memory that producers ever use is allocated here and by drains.
    #[must_use]
    pub fn with_bound(bound: usize) -> Self {
        let bound = bound.max(1);
        Self { bound, state: Mutex::new(State::new(bound)), filled: Condvar::default() }
    }

    /// Puts a failure in. Never waits for room.
    pub fn push(&self, failure: Failure) -> Pushed {
        let mut state = self.state.lock();
        let was_empty = state.is_empty();
        let pushed = state.put(Item { failure, reports: 1 }, self.bound);
        drop(state);
        if was_empty && !mutant!("push_wakes_nobody") {
            self.filled.wake_all();
        }
        pushed
    }

    /// Takes everything out: failures in order, coalesced, then what was lost. Empty when nothing
    /// waits.
    pub fn drain(&self) -> Vec<Record> {
        // Not under the lock: allocating.
        if self.state.lock().is_empty() { Vec::new() } else { self.take(State::new(self.bound)) }
    }

    /// [`drain`](Self::drain) that waits until there is something; `None` when there is nothing
    /// and the queue is closed.
    pub fn wait(&self) -> Option<Vec<Record>> {
        loop {
            let mut state = self.state.lock();
            while state.is_empty() && !state.closed {
                state = self.filled.wait(state);
            }
            let ended = state.is_empty();
            drop(state);
            // Another consumer may be faster, so there may be nothing after all.
            let batch = self.drain();
            if ended || !batch.is_empty() {
                return (!batch.is_empty()).then_some(batch);
            }
        }
    }

    /// Lets nobody [wait](Self::wait) any more. What is in the queue, and what is still put in, can
    /// be drained as before.
    pub fn close(&self) {
        self.state.lock().closed = true;
        if !mutant!("close_wakes_nobody") {
            self.filled.wake_all();
        }
    }

    /// Exchanges the state for an empty one, and reads it at leisure.
    fn take(&self, mut fresh: State) -> Vec<Record> {
        let mut state: MutexGuard<'_, State> = self.state.lock();
        if mutant!("drain_looks_then_clears") {
            fresh.queued.extend(state.queued.iter().copied());
            drop(state);
            self.state.lock().queued.clear();
            return fresh.records();
        }
        fresh.closed = state.closed;
        core::mem::swap(&mut *state, &mut fresh);
        drop(state);
        fresh.records()
    }
}

impl Default for EventQueue {
    fn default() -> Self {
        Self::with_bound(Self::BOUND)
    }
}

impl fmt::Debug for EventQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventQueue").field("bound", &self.bound).finish_non_exhaustive()
    }
}

impl Item {
    /// The range of both, when one record can stand for both.
    fn joined(&self, other: &Self) -> Option<BadRange> {
        let same = self.failure.flags == other.failure.flags;
        same.then(|| self.failure.range.joined(other.failure.range))?
    }
}

/// The newest of `items` that `next` can be merged with: it must not pass one that it overlaps.
fn partner(items: &[Item], next: &Item) -> Option<(usize, BadRange)> {
    for (index, item) in items.iter().enumerate().rev() {
        if let Some(range) = item.joined(next) {
            return Some((index, range));
        }
        if item.failure.range.overlaps(next.failure.range) && !mutant!("merge_passes_overlaps") {
            return None;
        }
    }
    None
}

impl State {
    fn new(bound: usize) -> Self {
        Self { queued: Vec::with_capacity(bound), lost: Lost::new(), closed: false }
    }

    fn is_empty(&self) -> bool {
        self.queued.is_empty() && self.lost.is_empty()
    }

    fn put(&mut self, item: Item, bound: usize) -> Pushed {
        // What is newer than something lost of the same bytes must not overtake it.
        if self.lost.may_hold(item.failure.range) {
            return self.lost.lose(&item);
        }
        let full = self.queued.len() >= bound;
        let from = if full { 0 } else { self.queued.len().saturating_sub(1) };
        let newest = self.queued.get_mut(from..).unwrap_or_default();
        if let Some((index, range)) = partner(newest, &item) {
            if let Some(with) = newest.get_mut(index) {
                with.absorb(&item, range);
                return Pushed::Merged;
            }
        }
        if full {
            return self.lost.lose(&item);
        }
        self.queued.push(item);
        Pushed::Queued
    }

    fn records(mut self) -> Vec<Record> {
        let queued = coalesce(self.queued).into_iter();
        let queued = queued.map(|Item { failure, reports }| Record::Failed { failure, reports });
        queued.chain(core::iter::from_fn(|| self.lost.pop())).collect()
    }
}

/// Merges what can be merged without changing the order of any byte's failures.
fn coalesce(items: Vec<Item>) -> Vec<Item> {
    let mut done: Vec<Item> = Vec::with_capacity(items.len());
    for mut item in items {
        let mut at = done.len();
        // What has grown by a merge may continue an older one.
        while let Some((index, range)) = partner(done.get(..at).unwrap_or_default(), &item) {
            let older = done.remove(index);
            item.absorb(&older, range);
            at = index;
        }
        done.insert(at, item);
    }
    done
}

#[cfg(test)]
#[cfg(not(any(loom, shuttle)))]
mod tests;
