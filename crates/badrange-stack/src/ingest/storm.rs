use core::fmt;

use badrange_core::{DeviceId, MfFlags, PageSize, Pfn};

use super::{
    coalesce::Coalescer,
    record::{Pushed, QueueRecord},
};
use crate::sync::Mutex;

/// Single pages of one device on their way to a [`Stack`](crate::Stack): the first at once, the
/// rest as ranges.
///
/// Whoever reports a page while nobody works hands it over at once, on its own thread. Pages that
/// are reported while somebody works wait, and are handed over by that one when it is done: as
/// ranges, in address order, each page once. So that a single failure is not delayed, and a storm
/// costs one event per range and not per page.
///
/// # Order
/// What one batch hands over is ascending, then LOST records. A page that fails again after it was
/// handed over is handed over again.
///
/// # Concurrency
/// Any number of threads, also from inside of what hands over. At any time one thread at most hands
/// over, with no lock held. A page is handed over after its report began: before it returns, by the
/// thread that reported it or by one that is working then. When all reports have returned, nothing
/// waits. A reporter never waits for another, nor for room; it may have to work for others, as long
/// as pages come faster than they are handed over. What hands over and panics leaves the rest of
/// its batch to the next report.
///
/// # Cost
/// A report holds one lock while it marks a page, as [`Coalescer::insert`]. Nothing allocates after
/// [`new`](Self::new).
///
/// # Kernel
/// A machine check reports pages one by one; `memory_failure_queue()` keeps 16 of them per processor
/// and drops the rest.
///
/// # Examples
/// ```
/// use badrange_core::{DeviceId, MfFlags, PageSize, Pfn};
/// use badrange_stack::{PageStorm, Stormed};
/// let memory = DeviceId::new(0, 0, 1); // as the stack gave it
/// let storm = PageStorm::new(memory, PageSize::K4, MfFlags::NONE);
/// let mut told = Vec::new();
/// let done = storm.report(Pfn::new(7), &mut |record| {
///     if told.is_empty() {
///         // Busy with the first: more come in, in any order, and wait.
///         for pfn in [10, 8, 9, 8] {
///             assert_ne!(storm.report(Pfn::new(pfn), &mut |_| unreachable!()), Stormed::Done);
///         }
///     }
///     told.push(record.to_string());
/// });
/// assert_eq!(done, Stormed::Done);
/// assert_eq!(told, [
///     "failed: device 0.1 [0x7000..0x8000)",
///     "failed: device 0.1 [0x8000..0xb000)",
/// ]);
/// ```
pub struct PageStorm {
    /// LOCKING: never held while handing over.
    state: Mutex<State>,
}

/// What [`PageStorm::report`] did with a page.
///
/// # Examples
/// See [`PageStorm`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stormed {
    /// It was handed over by this call, and whatever came meanwhile.
    Done,
    /// It waits for a thread that is working.
    Left(Pushed),
}

struct State {
    waiting: Coalescer,
    /// What the last batch was in; with whoever works while somebody does.
    resting: Option<Coalescer>,
}

impl PageStorm {
    /// For pages of this device and size, with room for [`Coalescer::BOUND`] regions of pages that
    /// wait. All failures have these flags.
    #[must_use]
    pub fn new(device: DeviceId, page: PageSize, flags: MfFlags) -> Self {
        Self::with_bound(Coalescer::BOUND, device, page, flags)
    }

    /// The same with room for so many regions of pages that wait, and for as many that are being
    /// handed over; see [`Coalescer`] for how many pages that are.
    #[must_use]
    pub fn with_bound(regions: usize, device: DeviceId, page: PageSize, flags: MfFlags) -> Self {
        let coalescer = || Coalescer::with_bound(regions, device, page, flags);
        let state = State { waiting: coalescer(), resting: Some(coalescer()) };
        Self { state: Mutex::new(state) }
    }

    /// This page failed: hands it over, and whatever comes meanwhile; or leaves it to whoever is
    /// working.
    pub fn report(&self, page: Pfn, hand_over: &mut dyn FnMut(QueueRecord)) -> Stormed {
        let mut state = self.state.lock();
        let pushed = state.waiting.insert(page);
        let Some(batch) = state.resting.take() else { return Stormed::Left(pushed) };
        drop(state);
        Working { storm: self, batch: Some(batch) }.work(hand_over);
        Stormed::Done
    }
}

/// The one who works; gives the place back when dropped, also by a panic.
struct Working<'s> {
    storm: &'s PageStorm,
    batch: Option<Coalescer>,
}

impl Working<'_> {
    fn work(mut self, hand_over: &mut dyn FnMut(QueueRecord)) {
        while let Some(batch) = &mut self.batch {
            // Of a batch that a panic cut short, the rest is here already.
            batch.drain().for_each(&mut *hand_over);
            let mut state = self.storm.state.lock();
            if state.waiting.is_empty() {
                // Under the same lock as the look: who comes later finds nobody working.
                state.resting = self.batch.take();
                return;
            }
            core::mem::swap(&mut state.waiting, batch);
        }
    }
}

impl Drop for Working<'_> {
    fn drop(&mut self) {
        if let Some(batch) = self.batch.take() {
            self.storm.state.lock().resting = Some(batch);
        }
    }
}

impl fmt::Debug for PageStorm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PageStorm").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
