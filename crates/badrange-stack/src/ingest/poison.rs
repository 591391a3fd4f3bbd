use core::{fmt, ops::Range};

use badrange_core::{Extent, Fallback, Granule, Granules, MfFlags, Pfn, Run};
use rangemap::RangeMap;
use smallvec::SmallVec;

use crate::sync::{Arc, Mutex};

/// The pages of one device that have failed and were not repaired: each counted once, however often
/// and in however overlapping ranges it was reported.
///
/// A page has the number that it has on its device, in units of the device's page size.
///
/// # Concurrency
/// Every operation is one step: others see it whole or not at all. [`clear`](Self::clear) names,
/// by a [`PoisonToken`], the moment up to which failures are known to be repaired, so that a
/// failure that arrives while a repair is going on is never cleared with the older ones.
///
/// # Kernel
/// The `HWPoison` page flag and `num_poisoned_pages` (`HardwareCorrupted` in `/proc/meminfo`). The
/// kernel's flag has no age: clearing it can lose a newer failure.
///
/// # Examples
/// Around the fallback of a device, it counts what every event fails there:
/// ```
/// use std::sync::Arc;
/// use badrange_core::*;
/// use badrange_stack::{DeviceSpec, PoisonLedger, Stack};
///
/// struct Nobody;
/// impl Fallback for Nobody {
///     fn memory_failure(&self, _: Granule, _: MfFlags) {}
/// }
///
/// let bytes = |start, len| Extent::new(DevOffset::new(start), len).unwrap();
/// let (stack, ledger) = (Stack::new(), Arc::new(PoisonLedger::new()));
/// let fallback = Arc::new(ledger.accounting(Arc::new(Nobody)));
/// let memory = DeviceSpec::base("mem", bytes(0, 1 << 30)).fallback(PageSize::K4, fallback);
/// let memory = stack.add_device(memory)?;
/// let _ = stack.fail(memory, bytes(0, 8192), MfFlags::NONE)?;
/// let _ = stack.fail(memory, bytes(4096, 8192), MfFlags::NONE)?;
/// assert_eq!(ledger.failed_pages(), 3); // page 1 was reported twice
///
/// // Page 0 and 1 are being repaired; meanwhile page 1 fails again.
/// let pages = Extent::new(Pfn::new(0), 2)?;
/// let seen = ledger.token();
/// let _ = ledger.fail(Extent::new(Pfn::new(1), 1)?);
/// let cleared = ledger.clear(pages, seen);
/// assert_eq!((cleared.pages, cleared.newer), (1, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Default)]
pub struct PoisonLedger {
    state: Mutex<State>,
}

/// A moment in the life of a [`PoisonLedger`]: everything that failed up to it.
///
/// # Examples
/// ```
/// # use badrange_core::{Extent, Pfn};
/// # use badrange_stack::PoisonLedger;
/// let ledger = PoisonLedger::new();
/// let before = ledger.token();
/// let _ = ledger.fail(Extent::new(Pfn::new(7), 1).unwrap());
/// assert!(before < ledger.token());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PoisonToken(u64);

/// What [`PoisonLedger::clear`] did.
///
/// # Examples
/// See [`PoisonLedger`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
#[must_use = "pages with a newer failure are still bad"]
pub struct Cleared {
    /// Pages that were bad and are not any more.
    pub pages: u64,
    /// Pages that stay bad, because they failed after the token was taken.
    pub newer: u64,
}

/// # Invariants
/// `count` is the number of pages in `failed`; the value of a page is the number of its last
/// failure, and no number is greater than `last`.
#[derive(Default)]
struct State {
    failed: RangeMap<Pfn, u64>,
    count: u64,
    last: u64,
}

impl PoisonLedger {
    /// No page has failed.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// These pages failed, perhaps again. Returns how many of them were not failed before.
    ///
    /// Cost: `O(log n)` in the ranges that differ in when they failed last, per element of the run
    /// and per such range that it touches.
    #[must_use = "how many pages are newly failed"]
    pub fn fail(&self, pages: impl Into<Run<Pfn>>) -> u64 {
        let pages = pages.into();
        let mut state = self.state.lock();
        let fresh = state.fresh(pages);
        // NO-OVERFLOW: one per call; 2^64 calls do not happen.
        state.last = state.last.wrapping_add(1);
        let now = state.last;
        pages.elements().for_each(|extent| state.failed.insert(range(extent), now));
        // NO-OVERFLOW: distinct pages of a 64-bit space.
        state.count = state.count.wrapping_add(fresh);
        fresh
    }

    /// Everything that has failed up to now. Taken before a repair begins, it tells
    /// [`clear`](Self::clear) which failures the repair can have repaired.
    #[must_use]
    pub fn token(&self) -> PoisonToken {
        PoisonToken(self.state.lock().last)
    }

    /// These pages were repaired: none of them is bad any more, but for those that failed after
    /// `seen` was taken.
    pub fn clear(&self, pages: Extent<Pfn>, seen: PoisonToken) -> Cleared {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let mut cleared = Cleared { pages: 0, newer: 0 };
        let mut old: SmallVec<[Extent<Pfn>; 8]> = SmallVec::new();
        for (part, failed) in state.overlapping(pages) {
            let is_old = failed <= seen.0;
            let count = if is_old { &mut cleared.pages } else { &mut cleared.newer };
            // NO-OVERFLOW: distinct pages of a 64-bit space.
            *count = count.wrapping_add(part.len());
            if is_old {
                old.push(part);
            }
        }
        old.into_iter().for_each(|part| state.failed.remove(range(part)));
        // NO-OVERFLOW: they were counted when they failed.
        state.count = state.count.wrapping_sub(cleared.pages);
        cleared
    }

    /// How many pages are bad.
    #[must_use]
    pub fn failed_pages(&self) -> u64 {
        self.state.lock().count
    }

    /// The bad pages among these: disjoint, ascending, neighbours as one.
    #[must_use]
    pub fn failed_in(&self, pages: Extent<Pfn>) -> Vec<Extent<Pfn>> {
        Extent::unite(self.state.lock().overlapping(pages).map(|(part, _)| part))
    }

    /// A fallback that does what `fallback` does, and enters every page of the device that an event
    /// fails, whoever handled it: for the device whose pages this ledger counts.
    #[must_use]
    pub fn accounting(self: &Arc<Self>, fallback: Arc<dyn Fallback>) -> Accounting {
        Accounting { ledger: Arc::clone(self), fallback }
    }
}

impl fmt::Debug for PoisonLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoisonLedger")
            .field("failed_pages", &self.failed_pages())
            .finish_non_exhaustive()
    }
}

impl State {
    /// The failed parts of these pages, with the number of their last failure.
    fn overlapping(&self, pages: Extent<Pfn>) -> impl Iterator<Item = (Extent<Pfn>, u64)> {
        let parts = self.failed.overlapping(range(pages));
        parts.filter_map(move |(part, failed)| {
            let (start, end) = (part.start.max(pages.start()), part.end.min(pages.end()));
            let common = Extent::from_bounds(start, end);
            debug_assert!(common.is_ok(), "what overlaps has a page in common");
            Some((common.ok()?, *failed))
        })
    }

    /// How many of these pages have not failed.
    fn fresh(&self, pages: Run<Pfn>) -> u64 {
        let known = pages.elements().flat_map(|e| self.overlapping(e)).map(|(part, _)| part.len());
        // NO-OVERFLOW: parts of the run are disjoint.
        pages.total_len().wrapping_sub(known.fold(0, u64::wrapping_add))
    }
}

fn range(pages: Extent<Pfn>) -> Range<Pfn> {
    pages.start()..pages.end()
}

/// A fallback that keeps a [`PoisonLedger`]; see [`PoisonLedger::accounting`].
///
/// # Examples
/// See [`PoisonLedger`].
#[derive(Clone)]
pub struct Accounting {
    ledger: Arc<PoisonLedger>,
    fallback: Arc<dyn Fallback>,
}

impl Fallback for Accounting {
    fn memory_failure(&self, page: Granule, flags: MfFlags) {
        self.fallback.memory_failure(page, flags);
    }

    fn memory_failure_run(&self, pages: Granules, flags: MfFlags) {
        self.fallback.memory_failure_run(pages, flags);
    }

    fn unmap(&self, pages: Granules) {
        let _ = self.ledger.fail(pages.frames());
        self.fallback.unmap(pages);
    }
}

impl fmt::Debug for Accounting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accounting").field("ledger", &self.ledger).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
