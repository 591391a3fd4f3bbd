use core::{convert::Infallible, fmt, slice, time::Duration};
use std::time::Instant;

use super::{
    lost::Lost,
    record::{Failure, Item, Pushed, QueueRecord},
};
use crate::sync::{Condvar, Mutex, MutexGuard};

/// Failures between whoever detects them and whoever hands them to a [`Stack`](crate::Stack):
/// bounded, and nothing is dropped in silence.
///
/// A producer never waits for a consumer or for room, and never allocates. A failure that
/// continues the newest one in the queue, or repeats it, is merged with it. When the queue is full,
/// a failure is merged with any that it continues; when there is none, it becomes part of a LOST
/// record that covers it.
///
/// There are 16 places for LOST records. When all are taken, the two ranges of one device that lie
/// nearest to each other, the new one included, become one, so that as few bytes as possible are
/// suspected without need. When no two are of one device, one record says that anything may be
/// lost.
///
/// # Order
/// Of every byte, the failures that are delivered are those that were pushed, in their order, up
/// to the first that was lost; a record of what was lost comes after them. Merging moves a failure
/// past others of other bytes only. A batch ends with its LOST records, by device and start.
///
/// # Concurrency
/// Any number of producers and consumers. A push holds one lock while it compares the failure
/// with what waits, `O(bound)` at most, and with the newest only while there is room; a drain holds
/// it while it takes the whole batch, in constant time. Nobody holds it while allocating, or while
/// working on a batch.
///
/// Consumers can sleep in [`wait`](Self::wait) and [`wait_timeout`](Self::wait_timeout), or be
/// woken in an event loop of their own: [`with_waker`](Self::with_waker).
///
/// # Kernel
/// `memory_failure_queue()` puts pfns in a FIFO of 16 entries per processor and drops what does not
/// fit, with a line in the log.
///
/// # Examples
/// ```
/// use badrange_core::{DevOffset, DeviceId, Extent, MfFlags};
/// use badrange_stack::{EventQueue, Failure, Pushed, QueueRecord};
///
/// let page = |n: u64| Failure {
///     device: DeviceId::new(0, 0, 1), // as the stack gave it
///     range: Extent::new(DevOffset::new(n * 4096), 4096).unwrap(),
///     flags: MfFlags::NONE,
/// };
/// let queue = EventQueue::with_bound(2);
/// assert_eq!(queue.push(page(0)), Pushed::Queued);
/// assert_eq!(queue.push(page(1)), Pushed::Merged);
/// assert_eq!(queue.push(page(9)), Pushed::Queued);
/// assert_eq!(queue.push(page(2)), Pushed::Merged); // full, but it continues the first
/// assert_eq!(queue.push(page(5)), Pushed::Lost);
/// let batch: Vec<String> = queue.drain().iter().map(QueueRecord::to_string).collect();
/// assert_eq!(batch, [
///     "failed: device 0.1 [0x0..0x3000)",
///     "failed: device 0.1 [0x9000..0xa000)",
///     "LOST 1 report within device 0.1 [0x5000..0x6000)",
/// ]);
/// ```
///
/// A consumer hands what it takes to the stack:
/// ```
/// use std::sync::Arc;
/// use badrange_core::*;
/// use badrange_stack::{DeviceSpec, EventQueue, Failure, QueueRecord, Stack};
///
/// struct Nobody;
/// impl Fallback for Nobody {
///     fn memory_failure(&self, _: Granule, _: MfFlags) {}
/// }
///
/// let stack = Stack::new();
/// let all = Extent::new(DevOffset::new(0), 1 << 30)?;
/// let memory = DeviceSpec::base("mem", all).fallback(PageSize::K4, Arc::new(Nobody));
/// let device = stack.add_device(memory)?;
///
/// let queue = EventQueue::default();
/// let range = Extent::new(DevOffset::new(0x7000), 4096)?;
/// queue.push(Failure { device, range, flags: MfFlags::NONE });
/// for record in queue.drain() {
///     match record {
///         QueueRecord::Failed { failure, .. } => {
///             assert_eq!(stack.report(failure)?.remainder_bytes(), 4096);
///         }
///         QueueRecord::Lost { .. } | QueueRecord::LostAnywhere { .. } => {
///             // Ask the hardware for its list of errors.
///         }
///     }
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct EventQueue {
    bound: usize,
    state: Mutex<State>,
    filled: Condvar,
    waker: Option<Box<dyn Fn() + Send + Sync>>,
}

/// How a [`EventQueue::wait_timeout`] ended.
///
/// # Examples
/// ```
/// use core::time::Duration;
/// use badrange_stack::{EventQueue, Waited};
/// let queue = EventQueue::default();
/// assert_eq!(queue.wait_timeout(Duration::from_millis(1)), Waited::TimedOut);
/// queue.close();
/// assert_eq!(queue.wait_timeout(Duration::from_millis(1)), Waited::Closed);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "what was taken out is not in the queue any more"]
pub enum Waited {
    /// What waited, as [`EventQueue::drain`] gives it; never empty.
    Records(Vec<QueueRecord>),
    /// Nothing came in this time; more may come.
    TimedOut,
    /// There is nothing, and the queue is closed.
    Closed,
}

#[derive(Debug)]
struct State {
    waiting: Batch,
    closed: bool,
}

/// # Invariants
/// `queued` has at most as many items as the bound, and never grows its memory. Of no byte that was
/// lost a failure is queued that is newer than the loss.
#[derive(Debug)]
struct Batch {
    queued: Vec<Item>,
    lost: Lost,
}

impl EventQueue {
    /// Failures that a [`Default`] queue holds.
    pub const BOUND: usize = 256;

    /// A queue for `bound` failures at a time (at least one), and a few LOST records beside them.
    /// All memory that producers ever use is allocated here and by drains.
    #[must_use]
    pub fn with_bound(bound: usize) -> Self {
        let bound = bound.max(1);
        let state = State { waiting: Batch::new(bound), closed: false };
        Self { bound, state: Mutex::new(state), filled: Condvar::default(), waker: None }
    }

    /// The same queue, which calls `waker` whenever there is something to do for a consumer that
    /// does not [wait](Self::wait) but has an event loop of its own. A second one replaces the
    /// first.
    ///
    /// # Contract
    /// It is called when a push finds the queue empty, and once when the queue closes: after the
    /// fact, on the thread that pushed or closed, with no lock held, and after those that wait were
    /// woken. It is not called for what joins something that waits already, so whoever is woken
    /// has to [drain](Self::drain) (which takes everything), and must reset its own signal (read
    /// the eventfd or the pipe) *before* it drains: then whatever comes later finds an empty queue
    /// and calls again. As calls come after the fact, another drain may have been faster: an empty
    /// one is no error. Between a push that joined something and the call for what it joined a
    /// moment can pass.
    ///
    /// It should only signal, because it delays the producer, and it should not fail: a panic of it
    /// goes to whoever pushed. The failure is in the queue all the same. It may call the queue.
    ///
    /// # Examples
    /// A thread that is parked; an eventfd, a pipe or a `Notify` of tokio takes the place of
    /// `unpark`.
    /// ```
    /// use std::{sync::Arc, thread};
    /// use badrange_core::{DevOffset, DeviceId, Extent, MfFlags};
    /// use badrange_stack::{EventQueue, Failure};
    ///
    /// let consumer = thread::current();
    /// let queue = Arc::new(EventQueue::default().with_waker(move || consumer.unpark()));
    /// let producer = thread::spawn({
    ///     let queue = Arc::clone(&queue);
    ///     let range = Extent::new(DevOffset::new(0x7000), 4096)?;
    ///     let failure = Failure { device: DeviceId::new(0, 0, 1), range, flags: MfFlags::NONE };
    ///     move || queue.push(failure)
    /// });
    /// let batch = loop {
    ///     thread::park(); // resets the signal
    ///     let batch = queue.drain();
    ///     if !batch.is_empty() {
    ///         break batch;
    ///     }
    /// };
    /// assert_eq!(batch[0].to_string(), "failed: device 0.1 [0x7000..0x8000)");
    /// # producer.join().unwrap();
    /// # Ok::<(), badrange_core::RangeError>(())
    /// ```
    #[must_use]
    pub fn with_waker(mut self, waker: impl Fn() + Send + Sync + 'static) -> Self {
        self.waker = Some(Box::new(waker));
        self
    }

    /// Puts a failure in. Never waits for room.
    pub fn push(&self, failure: Failure) -> Pushed {
        let mut state = self.state.lock();
        let was_empty = state.waiting.is_empty();
        let pushed = state.waiting.put(Item::new(failure), self.bound);
        drop(state);
        if was_empty {
            self.wake();
        }
        pushed
    }

    /// Takes everything out: failures in order, coalesced, then what was lost. Empty when nothing
    /// waits.
    #[must_use = "what was taken out is not in the queue any more"]
    pub fn drain(&self) -> Vec<QueueRecord> {
        // Not under the lock: allocating.
        if self.state.lock().waiting.is_empty() {
            return Vec::new();
        }
        let mut batch = Batch::new(self.bound);
        core::mem::swap(&mut self.state.lock().waiting, &mut batch);
        batch.records()
    }

    /// [`drain`](Self::drain) that waits until there is something; `None` when there is nothing
    /// and the queue is closed.
    #[must_use = "what was taken out is not in the queue any more"]
    pub fn wait(&self) -> Option<Vec<QueueRecord>> {
        let Ok(batch) = self.wait_with(|state| Ok::<_, Infallible>(self.filled.wait(state)));
        batch
    }

    /// [`wait`](Self::wait) for so long at most. Without a time to wait it takes what is there.
    ///
    /// # Examples
    /// See [`Waited`].
    pub fn wait_timeout(&self, timeout: Duration) -> Waited {
        // A deadline beyond the end of time is none.
        let deadline = Instant::now().checked_add(timeout);
        let left = || deadline.map_or(timeout, |at| at.saturating_duration_since(Instant::now()));
        let waited = self.wait_with(|state| match left() {
            Duration::ZERO => Err(Waited::TimedOut),
            left => match self.filled.wait_timeout(state, left) {
                (state, true) if state.is_idle() => Err(Waited::TimedOut),
                (state, _) => Ok(state),
            },
        });
        match waited {
            Ok(Some(batch)) => Waited::Records(batch),
            Ok(None) => Waited::Closed,
            Err(timed_out) => timed_out,
        }
    }

    /// Lets nobody [wait](Self::wait) any more. What is in the queue, and what is still put in, can
    /// be drained as before.
    pub fn close(&self) {
        let was_closed = core::mem::replace(&mut self.state.lock().closed, true);
        if !was_closed {
            self.wake();
        }
    }

    /// Tells consumers that there is something, or never will be. No lock is held.
    fn wake(&self) {
        self.filled.wake_all();
        if let Some(waker) = &self.waker {
            waker();
        }
    }

    /// Sleeps until there is something, or nothing and the queue is closed, or sleeping fails.
    fn wait_with<'q, E>(
        &'q self,
        mut sleep: impl FnMut(MutexGuard<'q, State>) -> Result<MutexGuard<'q, State>, E>,
    ) -> Result<Option<Vec<QueueRecord>>, E> {
        loop {
            let mut state = self.state.lock();
            while state.is_idle() {
                state = sleep(state)?;
            }
            let ended = state.waiting.is_empty();
            drop(state);
            // Another consumer may be faster, so there may be nothing after all.
            let batch = self.drain();
            if ended || !batch.is_empty() {
                return Ok((!batch.is_empty()).then_some(batch));
            }
        }
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

impl State {
    /// Whether a consumer has to sleep.
    fn is_idle(&self) -> bool {
        self.waiting.is_empty() && !self.closed
    }
}

impl Batch {
    fn new(bound: usize) -> Self {
        Self { queued: Vec::with_capacity(bound), lost: Lost::new() }
    }

    fn is_empty(&self) -> bool {
        self.queued.is_empty() && self.lost.is_empty()
    }

    fn put(&mut self, item: Item, bound: usize) -> Pushed {
        // What is newer than something lost of the same bytes must not overtake it.
        if self.lost.may_hold(&item.failure) {
            return self.lost.lose(item);
        }
        let full = self.queued.len() >= bound;
        let candidates = match full {
            true => self.queued.as_mut_slice(),
            // None in an empty queue.
            false => self.queued.last_mut().map(slice::from_mut).unwrap_or_default(),
        };
        match partner(candidates, &item).and_then(|index| candidates.get_mut(index)) {
            Some(older) => {
                older.absorb(&item);
                Pushed::Merged
            }
            None if full => self.lost.lose(item),
            None => {
                self.queued.push(item);
                Pushed::Queued
            }
        }
    }

    fn records(mut self) -> Vec<QueueRecord> {
        let queued = coalesce(self.queued).into_iter();
        let failed = |Item { failure, reports }| QueueRecord::Failed { failure, reports };
        queued.map(failed).chain(core::iter::from_fn(|| self.lost.pop())).collect()
    }
}

/// The newest of `items` that `next` can be merged with: it must not pass one that it overlaps.
fn partner(items: &[Item], next: &Item) -> Option<usize> {
    let decides = |item: &Item| item.continues(next) || item.failure.overlaps(&next.failure);
    let index = items.iter().rposition(decides)?;
    items.get(index).is_some_and(|item| item.continues(next)).then_some(index)
}

/// Merges what can be merged without changing the order of any byte's failures.
fn coalesce(items: Vec<Item>) -> Vec<Item> {
    let mut done: Vec<Item> = Vec::with_capacity(items.len());
    for mut item in items {
        let mut at = done.len();
        // What has grown by a merge may continue an older one.
        while let Some(index) = partner(done.split_at(at).0, &item) {
            item.absorb(&done.remove(index));
            at = index;
        }
        done.insert(at, item);
    }
    done
}

#[cfg(test)]
mod tests;
