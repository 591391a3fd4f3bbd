use core::fmt;

use badrange_core::{Extent, MfFlags, PAGE_SIZE, Pfn, PhysAddr};

use crate::{
    BadRange, Failure, Pushed, Record,
    lost::{Item, Lost},
};

/// Pages in one word of the bitmap.
const PAGES: u64 = 64;

/// From here on pages have no bytes in a 64-bit space.
const END: u64 = u64::MAX / PAGE_SIZE;

/// Slots that are looked at for one word at most. With at most half of the slots in use, a word
/// that needs more comes of addresses made up to need them.
const PROBES: usize = 64;

/// Makes ranges of single pages that failed in whatever order: an exact set, of bounded size.
///
/// A bitmap of which only the words with a bad page are there, found by a hash of their number. A
/// page that failed again changes nothing. What does not fit becomes part of a LOST record that
/// covers it, as in an [`EventQueue`](crate::EventQueue).
///
/// All failures in one coalescer have the same flags.
///
/// # Limits
/// [`with_bound`](Self::with_bound) says how many words of 64 neighbouring pages (aligned) there is
/// room for. Pages that lie together need a word for 64 of them, isolated pages one each: that is
/// the worst that a hostile storm can do. A word takes 48 bytes at least and 80 at most, all of it
/// allocated in the beginning. A page that has no bytes in a 64-bit space is lost anywhere.
///
/// # Cost
/// [`insert`](Self::insert): constant, at most 64 slots of 16 bytes, for neighbours one. Emptying:
/// a sort of the words in use, and one step per word and range. Neither allocates.
///
/// # Examples
/// ```
/// use badrange_core::{MfFlags, Pfn};
/// use badrange_stack::{Coalescer, Pushed};
/// let mut pages = Coalescer::with_bound(2, MfFlags::NONE);
/// for pfn in [65, 63, 64, 63] {
///     let _ = pages.insert(Pfn::new(pfn));
/// }
/// assert_eq!(pages.insert(Pfn::new(1000)), Pushed::Lost); // a third word
/// let records: Vec<String> = pages.drain().map(|record| record.to_string()).collect();
/// assert_eq!(records, [
///     "failed: memory [0x3f000..0x42000)",
///     "LOST 1 reports within memory [0x3e8000..0x3e9000)",
/// ]);
/// ```
pub struct Coalescer {
    flags: MfFlags,
    bound: usize,
    /// Open addressing with linear probing, a power of two long. Free where there are no bits.
    slots: Box<[Word]>,
    /// Slots in use, in the order of their first page.
    used: Vec<u32>,
    /// The slot that was used last: neighbours follow one another.
    latest: usize,
    /// What is being taken out: words in descending order, so that the next is the last.
    leaving: Vec<Word>,
    lost: Lost,
}

/// 64 pages: which of the bitmap's words, and the bad ones among them.
#[derive(Debug, Clone, Copy, Default)]
struct Word {
    number: u64,
    bits: u64,
}

impl Coalescer {
    /// Words that a [`PageStorm`](crate::PageStorm) has room for if not told otherwise: 16 GiB of
    /// bad pages that lie together.
    pub const BOUND: usize = 1 << 16;

    /// Room for `words` times 64 neighbouring pages; at least for one, at most for 2^30. All
    /// failures have these flags.
    #[must_use]
    pub fn with_bound(words: usize, flags: MfFlags) -> Self {
        let bound = words.clamp(1, 1 << 30);
        // NO-OVERFLOW: clamped.
        let slots = bound.saturating_mul(2).next_power_of_two();
        Self {
            flags,
            bound,
            slots: vec![Word::default(); slots].into_boxed_slice(),
            used: Vec::with_capacity(bound),
            latest: 0,
            leaving: Vec::with_capacity(bound),
            lost: Lost::new(),
        }
    }

    /// Whether there is nothing to take out.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.used.is_empty() && self.leaving.is_empty() && self.lost.is_empty()
    }

    /// This page failed. [`Queued`](Pushed::Queued) when it had not, [`Merged`](Pushed::Merged)
    /// when it had already.
    pub fn insert(&mut self, page: Pfn) -> Pushed {
        let (number, bit) = (page.get() / PAGES, 1 << (page.get() % PAGES));
        match self.slots.get_mut(self.latest) {
            Some(word) if word.number == number && word.bits != 0 && page.get() < END => {
                word.mark(bit)
            }
            Some(_) | None => self.insert_elsewhere(page, number, bit),
        }
    }

    fn insert_elsewhere(&mut self, page: Pfn, number: u64, bit: u64) -> Pushed {
        if page.get() >= END {
            return self.lose(page);
        }
        // NO-OVERFLOW: there is a slot at least.
        let mask = self.slots.len().wrapping_sub(1);
        let first = home(number, mask);
        for at in (0..PROBES.min(self.slots.len())).map(|i| first.wrapping_add(i) & mask) {
            let Some(word) = self.slots.get_mut(at) else { break };
            if word.bits == 0 {
                if self.used.len() >= self.bound {
                    break;
                }
                *word = Word { number, bits: 0 };
                self.used.extend(u32::try_from(at));
            } else if word.number != number {
                continue;
            }
            self.latest = at;
            return word.mark(bit);
        }
        self.lose(page)
    }

    #[cold]
    fn lose(&mut self, page: Pfn) -> Pushed {
        match page_bytes(page) {
            Some(range) => {
                let failure = Failure { range, flags: self.flags };
                self.lost.lose(&Item { failure, reports: 1 })
            }
            None => self.lost.lose_anywhere(self.flags, 1),
        }
    }

    /// Takes everything out: ranges of pages in ascending order, as large as they can be and
    /// disjoint, then what was lost. A range counts one report per page.
    ///
    /// What is not taken from the iterator is taken first the next time; ranges of both times may
    /// then touch or overlap.
    pub fn drain(&mut self) -> Drain<'_> {
        if self.leaving.is_empty() {
            for at in self.used.drain(..) {
                let slot = usize::try_from(at).ok().and_then(|at| self.slots.get_mut(at));
                self.leaving.extend(slot.map(core::mem::take));
            }
            self.leaving.sort_unstable_by_key(|word| core::cmp::Reverse(word.number));
        }
        Drain(self)
    }

    /// The first pages of what is leaving that lie together.
    fn next_run(&mut self) -> Option<Extent<Pfn>> {
        let (start, mut end) = self.next_in_word()?;
        while self.leaving.last().is_some_and(|word| word.first() == Some(end)) {
            end = self.next_in_word()?.1;
        }
        Extent::from_bounds(Pfn::new(start), Pfn::new(end)).ok()
    }

    /// The same, from one word only.
    fn next_in_word(&mut self) -> Option<(u64, u64)> {
        let word = self.leaving.last_mut()?;
        let start = word.first()?;
        let shift = word.bits.trailing_zeros();
        let len = (word.bits >> shift).trailing_ones();
        // Adding the lowest bit carries through the run; when it is the last of the word, out of it.
        let lowest = 1_u64.wrapping_shl(shift);
        word.bits &= word.bits.wrapping_add(lowest);
        if word.bits == 0 {
            self.leaving.pop();
        }
        // NO-OVERFLOW: a page number, far from the end of the scale.
        Some((start, start.wrapping_add(len.into())))
    }
}

impl Word {
    fn mark(&mut self, bit: u64) -> Pushed {
        let before = self.bits;
        self.bits |= bit;
        if before & bit == 0 { Pushed::Queued } else { Pushed::Merged }
    }

    /// The first bad page; `None` when there is none.
    fn first(&self) -> Option<u64> {
        let start = self.number.checked_mul(PAGES)?;
        (self.bits != 0).then(|| start.checked_add(self.bits.trailing_zeros().into()))?
    }
}

/// Where a word would like to be: neighbours and multiples of anything are spread evenly.
fn home(number: u64, mask: usize) -> usize {
    const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15; // 2^64 divided by the golden ratio, odd
    let mixed = number.wrapping_mul(SPREAD);
    let mixed = (mixed ^ (mixed >> 32)).wrapping_mul(SPREAD);
    usize::try_from(mixed >> 32).unwrap_or_default() & mask
}

fn page_bytes(page: Pfn) -> Option<BadRange> {
    let bytes: Extent<PhysAddr> = Extent::new(page, 1).ok()?.bytes().ok()?;
    Some(BadRange::Memory(bytes))
}

/// What a [`Coalescer`] gives out; see [`Coalescer::drain`].
///
/// # Examples
/// See [`Coalescer`].
#[derive(Debug)]
pub struct Drain<'c>(&'c mut Coalescer);

impl Iterator for Drain<'_> {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        let Some(pages) = self.0.next_run() else { return self.0.lost.pop() };
        let range = BadRange::Memory(pages.bytes().ok()?);
        let failure = Failure { range, flags: self.0.flags };
        Some(Record::Failed { failure, reports: pages.len() })
    }
}

impl fmt::Debug for Coalescer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Coalescer")
            .field("bound", &self.bound)
            .field("words", &self.used.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[cfg(not(any(loom, shuttle)))]
mod tests;
