use core::fmt;

use badrange_core::{Extent, MfFlags, PAGE_SIZE, Pfn, PhysAddr};

use crate::{
    BadRange, Failure, Pushed, Record,
    lost::{Item, Lost},
};

/// Pages in one region: 2 MiB, and as many bits as a cache line has.
const PAGES: u64 = 512;

/// Pages in one word of a region.
const WORD: u64 = 64;

/// The bad pages of a region.
type Bits = [u64; 8];

/// From here on pages have no bytes in a 64-bit space.
const END: u64 = u64::MAX / PAGE_SIZE;

/// No region, and no place.
const NOWHERE: (u64, usize) = (u64::MAX, usize::MAX);

/// Slots of one cache line.
const LINE: u64 = 16;

/// From slot to slot for a region that is not at home: a line and one; odd, so that all slots
/// come.
const STEP: usize = 17;

/// Slots that are looked at for one region at most. With at most half of the slots in use, a region
/// that needs more comes of addresses made up to need them.
const PROBES: usize = 64;

/// Makes ranges of single pages that failed in whatever order: an exact set, of bounded size.
///
/// A bitmap of which only the regions with a bad page are there, found by a hash of their number. A
/// page that failed again changes nothing. What does not fit becomes part of a LOST record that
/// covers it, as in an [`EventQueue`](crate::EventQueue).
///
/// All failures in one coalescer have the same flags.
///
/// # Limits
/// [`with_bound`](Self::with_bound) says how many regions of 512 neighbouring pages (2 MiB, aligned)
/// there is room for. Pages that lie together need a region for 512 of them, isolated pages one
/// each: that is the worst that a hostile storm can do. A region takes 164 bytes, or up to 172, all
/// of it allocated in the beginning. A page that has no bytes in a 64-bit space is lost anywhere.
///
/// # Cost
/// [`insert`](Self::insert): constant, at most 64 slots of 4 bytes, for neighbours none. Emptying:
/// a sort of the regions in use, and one step per word of them and per range. Neither allocates.
///
/// # Examples
/// ```
/// use badrange_core::{MfFlags, Pfn};
/// use badrange_stack::{Coalescer, Pushed};
/// let mut pages = Coalescer::with_bound(2, MfFlags::NONE);
/// for pfn in [513, 511, 512, 511] {
///     let _ = pages.insert(Pfn::new(pfn));
/// }
/// assert_eq!(pages.insert(Pfn::new(8192)), Pushed::Lost); // a third region
/// let records: Vec<String> = pages.drain().map(|record| record.to_string()).collect();
/// assert_eq!(records, [
///     "failed: memory [0x1ff000..0x202000)",
///     "LOST 1 reports within memory [0x2000000..0x2001000)",
/// ]);
/// ```
pub struct Coalescer {
    flags: MfFlags,
    bound: usize,
    /// One more than the place of a region in the lists; 0 is free. Open addressing with linear
    /// probing, a power of two long.
    slots: Box<[u32]>,
    /// Slots in use, numbers of the regions, and bits, in the order of their first page.
    used: Vec<u32>,
    numbers: Vec<u64>,
    bits: Vec<Bits>,
    /// Number and place of the region that was found last: neighbours follow one another.
    latest: (u64, usize),
    leaving: Leaving,
    lost: Lost,
}

/// What is being taken out.
struct Leaving {
    /// Numbers and places in `bits`, in descending order, so that the next is the last.
    regions: Vec<(u64, u32)>,
    bits: Vec<Bits>,
    /// The next word of the last region.
    word: usize,
}

impl Coalescer {
    /// Regions that a [`PageStorm`](crate::PageStorm) has room for if not told otherwise: 32 GiB of
    /// bad pages that lie together.
    pub const BOUND: usize = 1 << 14;

    /// Room for `regions` times 512 neighbouring pages; at least for one, at most for 2^30. All
    /// failures have these flags.
    #[must_use]
    pub fn with_bound(regions: usize, flags: MfFlags) -> Self {
        let bound = regions.clamp(1, 1 << 30);
        // NO-OVERFLOW: clamped.
        let slots = bound.saturating_mul(2).next_power_of_two();
        let leaving = Leaving {
            regions: Vec::with_capacity(bound),
            bits: Vec::with_capacity(bound),
            word: 0,
        };
        Self {
            flags,
            bound,
            slots: vec![0; slots].into_boxed_slice(),
            used: Vec::with_capacity(bound),
            numbers: Vec::with_capacity(bound),
            bits: Vec::with_capacity(bound),
            latest: NOWHERE,
            leaving,
            lost: Lost::new(),
        }
    }

    /// Whether there is nothing to take out.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty() && self.leaving.regions.is_empty() && self.lost.is_empty()
    }

    /// This page failed. [`Queued`](Pushed::Queued) when it had not, [`Merged`](Pushed::Merged)
    /// when it had already.
    #[inline]
    pub fn insert(&mut self, page: Pfn) -> Pushed {
        let page = page.get();
        if page >= END {
            return self.lost.lose_anywhere(self.flags, 1);
        }
        let number = page / PAGES;
        if self.latest.0 != number {
            match self.at_home(number).or_else(|| self.place_of(number)) {
                Some(place) => self.latest = (number, place),
                None => return self.lose(page),
            }
        }
        let bit = 1 << (page % WORD);
        let word = usize::try_from(page % PAGES / WORD).unwrap_or_default();
        let bits = self.bits.get_mut(self.latest.1).and_then(|bits| bits.get_mut(word));
        let before = bits.map_or(0, |bits| core::mem::replace(bits, *bits | bit));
        if before & bit == 0 { Pushed::Queued } else { Pushed::Merged }
    }

    /// Where a region is that no other one has pushed away: nearly all of them.
    #[inline]
    fn at_home(&self, number: u64) -> Option<usize> {
        let slot = self.slots.get(home(number, self.mask()))?;
        let place = usize::try_from(*slot).ok()?.checked_sub(1)?;
        (self.numbers.get(place) == Some(&number)).then_some(place)
    }

    fn mask(&self) -> usize {
        // NO-OVERFLOW: there is a slot at least.
        self.slots.len().wrapping_sub(1)
    }

    /// Where a region is, new or not; `None` when there is no room.
    #[inline(never)]
    fn place_of(&mut self, number: u64) -> Option<usize> {
        let mask = self.mask();
        let first = home(number, mask);
        for at in (0..PROBES).map(|i| first.wrapping_add(i.wrapping_mul(STEP)) & mask) {
            let slot = self.slots.get_mut(at)?;
            match usize::try_from(*slot).ok()?.checked_sub(1) {
                Some(place) if self.numbers.get(place) == Some(&number) => return Some(place),
                Some(_) => {}
                None if self.numbers.len() >= self.bound => return None,
                None => {
                    let place = self.numbers.len();
                    *slot = u32::try_from(place).ok()?.checked_add(1)?;
                    self.used.extend(u32::try_from(at));
                    self.numbers.push(number);
                    self.bits.push(Bits::default());
                    return Some(place);
                }
            }
        }
        None
    }

    #[cold]
    fn lose(&mut self, page: u64) -> Pushed {
        match page_bytes(Pfn::new(page)) {
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
        if self.leaving.regions.is_empty() {
            for at in self.used.drain(..) {
                let slot = usize::try_from(at).ok().and_then(|at| self.slots.get_mut(at));
                slot.into_iter().for_each(|slot| *slot = 0);
            }
            self.latest = NOWHERE;
            self.leaving.bits.clear();
            core::mem::swap(&mut self.bits, &mut self.leaving.bits);
            self.leaving.regions.extend(self.numbers.drain(..).zip(0..));
            self.leaving.regions.sort_unstable_by_key(|(number, _)| core::cmp::Reverse(*number));
        }
        Drain(self)
    }
}

impl Leaving {
    /// The first pages that lie together.
    fn next_run(&mut self) -> Option<Extent<Pfn>> {
        let (start, mut end) = self.next_in_word()?;
        while self.peek() == Some(end) {
            end = self.next_in_word()?.1;
        }
        Extent::from_bounds(Pfn::new(start), Pfn::new(end)).ok()
    }

    /// The first bad page, if there is one left.
    fn peek(&mut self) -> Option<u64> {
        while let Some((number, place)) = self.regions.last().copied() {
            let bits = self.bits.get(usize::try_from(place).ok()?)?;
            let rest = bits.get(self.word..).unwrap_or_default();
            if let Some(empty) = rest.iter().position(|bits| *bits != 0) {
                self.word = self.word.saturating_add(empty);
                let word = rest.get(empty)?;
                let in_region = u64::try_from(self.word).ok()?.checked_mul(WORD)?;
                let first = in_region.checked_add(word.trailing_zeros().into())?;
                return number.checked_mul(PAGES)?.checked_add(first);
            }
            self.regions.pop();
            self.word = 0;
        }
        None
    }

    /// Takes the first pages that lie together in one word.
    fn next_in_word(&mut self) -> Option<(u64, u64)> {
        let start = self.peek()?;
        let place = usize::try_from(self.regions.last()?.1).ok()?;
        let bits = self.bits.get_mut(place)?.get_mut(self.word)?;
        let shift = bits.trailing_zeros();
        let len = (*bits >> shift).trailing_ones();
        // Adding the lowest bit carries through the run; when it is the last of the word, out of it.
        *bits &= bits.wrapping_add(1_u64.wrapping_shl(shift));
        Some((start, start.checked_add(len.into())?))
    }
}

/// Where a region would like to be: neighbours share a line, in which each has its own place. Lines
/// are spread evenly, also those of multiples of large powers of two, whose products have few bits
/// that differ; so they are mixed twice.
#[inline]
fn home(number: u64, mask: usize) -> usize {
    const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15; // 2^64 divided by the golden ratio, odd
    let mixed = (number / LINE).wrapping_mul(SPREAD);
    let mixed = (mixed ^ (mixed >> 32)).wrapping_mul(SPREAD);
    let within = number % LINE;
    usize::try_from((mixed >> 32) ^ within).unwrap_or_default() & mask
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
        let Some(pages) = self.0.leaving.next_run() else { return self.0.lost.pop() };
        let range = BadRange::Memory(pages.bytes().ok()?);
        let failure = Failure { range, flags: self.0.flags };
        Some(Record::Failed { failure, reports: pages.len() })
    }
}

impl fmt::Debug for Coalescer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Coalescer")
            .field("bound", &self.bound)
            .field("regions", &self.numbers.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[cfg(not(any(loom, shuttle)))]
mod tests;
