use core::fmt;

use badrange_core::{DeviceId, Extent, MfFlags, PageSize, Pfn};

use super::{
    lost::Lost,
    record::{Failure, Item, Pushed, QueueRecord},
};

/// Pages in one region: as many as a cache line has bits. With pages of 4 KiB these are 2 MiB.
const PAGES: u64 = 512;

/// Pages in one word of a region.
const WORD: u64 = 64;

/// The bad pages of a region.
type Bits = [u64; 8];

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

/// Makes ranges of single pages of one device that failed in whatever order: an exact set, of
/// bounded size.
///
/// A bitmap of which only the regions with a bad page are there, found by a hash of their number. A
/// page that failed again changes nothing. What does not fit becomes part of a LOST record that
/// covers it, as in an [`EventQueue`](crate::EventQueue).
///
/// All failures in one coalescer have the same flags.
///
/// # Limits
/// [`with_bound`](Self::with_bound) says how many regions of 512 neighbouring pages (aligned; of
/// pages of 4 KiB 2 MiB) there is room for. Pages that lie together need a region for 512 of them, isolated pages one
/// each: that is the worst that a hostile storm can do. A region takes 164 bytes, or up to 172, all
/// of it allocated in the beginning. A page that has no bytes in a 64-bit space is lost anywhere.
///
/// # Cost
/// [`insert`](Self::insert): constant, at most 64 slots of 4 bytes, for neighbours none. Emptying:
/// a sort of the regions in use, and one step per word of them and per range. Neither allocates.
///
/// # Examples
/// ```
/// use badrange_core::{DeviceId, MfFlags, PageSize, Pfn};
/// use badrange_stack::{Coalescer, Pushed};
/// let memory = DeviceId::new(0, 0, 1); // as the stack gave it
/// let mut pages = Coalescer::with_bound(2, memory, PageSize::K4, MfFlags::NONE);
/// for pfn in [513, 511, 512, 511] {
///     let _ = pages.insert(Pfn::new(pfn));
/// }
/// assert_eq!(pages.insert(Pfn::new(8192)), Pushed::Lost); // a third region
/// let records: Vec<String> = pages.drain().map(|record| record.to_string()).collect();
/// assert_eq!(records, [
///     "failed: device 0.1 [0x1ff000..0x202000)",
///     "LOST 1 report within device 0.1 [0x2000000..0x2001000)",
/// ]);
/// ```
pub struct Coalescer {
    device: DeviceId,
    page: PageSize,
    flags: MfFlags,
    /// From this number on, pages have no bytes in a 64-bit space.
    end: u64,
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
    /// Regions that a [`PageStorm`](crate::PageStorm) has room for if not told otherwise: of pages
    /// of 4 KiB that lie together 32 GiB.
    pub const BOUND: usize = 1 << 14;

    /// For pages of this device and size, with room for `regions` times 512 neighbouring ones; at
    /// least for one, at most for 2^30. All failures have these flags.
    #[must_use]
    pub fn with_bound(regions: usize, device: DeviceId, page: PageSize, flags: MfFlags) -> Self {
        let bound = regions.clamp(1, 1 << 30);
        // NO-OVERFLOW: clamped.
        let slots = bound.saturating_mul(2).next_power_of_two();
        let leaving = Leaving {
            regions: Vec::with_capacity(bound),
            bits: Vec::with_capacity(bound),
            word: 0,
        };
        Self {
            device,
            page,
            flags,
            end: u64::MAX / page.nonzero(),
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
        if page >= self.end {
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
        // Below 8.
        let word = (page % PAGES / WORD) as usize;
        let bits = self.bits.get_mut(self.latest.1).and_then(|bits| bits.get_mut(word));
        let Some(bits) = bits else {
            debug_assert!(false, "a region that was found has its bits");
            return self.lose(page);
        };
        let before = core::mem::replace(bits, *bits | bit);
        if before & bit == 0 { Pushed::Queued } else { Pushed::Merged }
    }

    /// Where a region is that no other one has pushed away: nearly all of them.
    #[inline]
    fn at_home(&self, number: u64) -> Option<usize> {
        let slot = self.slots.get(home(number, self.mask()))?;
        let place = (*slot as usize).checked_sub(1)?;
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
            match (*slot as usize).checked_sub(1) {
                Some(place) if self.numbers.get(place) == Some(&number) => return Some(place),
                Some(_) => {}
                None if self.numbers.len() >= self.bound => return None,
                None => {
                    let place = self.numbers.len();
                    // Both fit, as the bound does; a page that they did not fit would be lost.
                    let at = u32::try_from(at).ok()?;
                    *slot = u32::try_from(place).ok()?.checked_add(1)?;
                    self.used.push(at);
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
        match Extent::new(Pfn::new(page), 1).ok().and_then(|page| self.failure(page)) {
            Some(failure) => self.lost.lose(Item::new(failure)),
            None => self.lost.lose_anywhere(self.flags, 1),
        }
    }

    /// These pages as bytes; `None` when they reach beyond 64 bits.
    fn failure(&self, pages: Extent<Pfn>) -> Option<Failure> {
        let range = pages.bytes(self.page).ok()?.on_memory();
        Some(Failure { device: self.device, range, flags: self.flags })
    }

    /// Takes everything out: ranges of pages in ascending order, as large as they can be and
    /// disjoint, then what was lost. A range counts one report per page.
    ///
    /// What is not taken from the iterator comes first the next time, in its own order. What was
    /// inserted meanwhile follows it; it may touch or repeat what comes before.
    pub fn drain(&mut self) -> Drain<'_> {
        Drain(self)
    }

    /// Lets what was inserted leave; what was leaving must have left.
    fn begin_leaving(&mut self) {
        for at in self.used.drain(..) {
            let slot = self.slots.get_mut(at as usize);
            debug_assert!(slot.is_some(), "a slot in use exists");
            slot.into_iter().for_each(|slot| *slot = 0);
        }
        self.latest = NOWHERE;
        self.leaving.bits.clear();
        core::mem::swap(&mut self.bits, &mut self.leaving.bits);
        self.leaving.regions.extend(self.numbers.drain(..).zip(0..));
        self.leaving.regions.sort_unstable_by_key(|(number, _)| core::cmp::Reverse(*number));
    }

    /// The next pages that lie together.
    fn next_run(&mut self) -> Option<Extent<Pfn>> {
        if self.leaving.regions.is_empty() {
            self.begin_leaving();
        }
        self.leaving.next_run()
    }
}

impl Leaving {
    /// The first pages that lie together.
    fn next_run(&mut self) -> Option<Extent<Pfn>> {
        let (start, mut end) = self.next_in_word()?;
        while self.peek() == Some(end) {
            end = self.next_in_word()?.1;
        }
        let pages = Extent::from_bounds(Pfn::new(start), Pfn::new(end));
        debug_assert!(pages.is_ok(), "pages that lie together are one at least");
        pages.ok()
    }

    /// The number of the region that leaves first, and its bits.
    fn first(&mut self) -> Option<(u64, &mut Bits)> {
        let (number, place) = *self.regions.last()?;
        let bits = self.bits.get_mut(place as usize);
        debug_assert!(bits.is_some(), "a region that leaves has its bits");
        Some((number, bits?))
    }

    /// The first bad page, if there is one left.
    fn peek(&mut self) -> Option<u64> {
        loop {
            let from = self.word;
            let (number, bits) = self.first()?;
            let mut rest = bits.iter().enumerate().skip(from);
            if let Some((word, bits)) = rest.find(|(_, bits)| **bits != 0) {
                let in_word = u64::from(bits.trailing_zeros());
                self.word = word;
                // NO-OVERFLOW: this is the number of a page that was inserted.
                let in_region = (word as u64).wrapping_mul(WORD).wrapping_add(in_word);
                return Some(number.wrapping_mul(PAGES).wrapping_add(in_region));
            }
            self.regions.pop();
            self.word = 0;
        }
    }

    /// Takes the first pages that lie together in one word.
    fn next_in_word(&mut self) -> Option<(u64, u64)> {
        let start = self.peek()?;
        let word = self.word;
        let bits = self.first().and_then(|(_, bits)| bits.get_mut(word));
        debug_assert!(bits.is_some(), "a page was found in this word");
        let bits = bits?;
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
    #[expect(clippy::cast_possible_truncation, reason = "the mask leaves the low bits only")]
    let slot = ((mixed >> 32) ^ within) as usize;
    slot & mask
}

/// What a [`Coalescer`] gives out; see [`Coalescer::drain`].
///
/// # Examples
/// See [`Coalescer`].
#[derive(Debug)]
#[must_use = "takes out what is asked for, and nothing by itself"]
pub struct Drain<'c>(&'c mut Coalescer);

impl Iterator for Drain<'_> {
    type Item = QueueRecord;

    fn next(&mut self) -> Option<QueueRecord> {
        let Some(pages) = self.0.next_run() else { return self.0.lost.pop() };
        let (flags, reports) = (self.0.flags, pages.len());
        let failure = self.0.failure(pages);
        debug_assert!(failure.is_some(), "a page without bytes is not let in");
        Some(match failure {
            Some(failure) => QueueRecord::Failed { failure, reports },
            None => QueueRecord::LostAnywhere { flags, reports },
        })
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
mod tests;
