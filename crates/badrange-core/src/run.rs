use core::{fmt, num::NonZeroU64, ops::Range};

use crate::{DevOffset, Extent, RangeError, RangeErrorKind, Space};

/// An arithmetic sequence of equal extents: first extent, stride, count.
///
/// One leg of a striped device is one run of chunks in the striped device, whatever its length;
/// an [`Extent`] is the run of count 1. Elements may touch (stride equals the element length) but
/// never overlap. No function here loops over elements except [`Run::elements`].
///
/// # Invariants
/// `stride >= element_len`, `count >= 1`, and the end of the last element fits in 64 bits. A run
/// of count 1 has its element length as stride, so that equal sets of one element compare equal.
///
/// # Examples
/// ```
/// use badrange_core::{DevOffset, Extent, Run};
/// // Leg 1 of a 3-way stripe with 8 KiB chunks, as the striped device sees it.
/// let chunk = Extent::new(DevOffset::new(8192), 8192)?;
/// let leg = Run::new(chunk, 3 * 8192, 100)?;
/// assert_eq!(leg.element(2).unwrap().start(), DevOffset::new(8192 + 2 * 24576));
/// assert_eq!(leg.total_len(), 100 * 8192);
/// // Clipping any window gives at most three runs: a partial head, the body, a partial tail.
/// let window = Extent::new(DevOffset::new(12288), 10 * 24576)?;
/// let parts: Vec<_> = leg.clip(window).collect();
/// assert_eq!(parts.len(), 3);
/// assert_eq!(parts.iter().map(Run::total_len).sum::<u64>(), 10 * 8192);
/// # Ok::<(), badrange_core::RangeError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Run<S: Space = DevOffset> {
    first: Extent<S>,
    stride: NonZeroU64,
    count: NonZeroU64,
}

/// `count` elements of a run from `index` on, each cut to its units `[skip, keep)`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cut {
    index: u64,
    skip: u64,
    keep: u64,
    count: u64,
}

impl<S: Space> From<Extent<S>> for Run<S> {
    fn from(first: Extent<S>) -> Self {
        Self { first, stride: first.len_nonzero(), count: NonZeroU64::MIN }
    }
}

impl<S: Space> Run<S> {
    /// Makes the run of `count` extents like `first`, each `stride` after the one before.
    ///
    /// The stride of a run of one element has no meaning and is not looked at.
    ///
    /// # Errors
    /// [`RangeErrorKind::Empty`] for a count of zero, [`RangeErrorKind::Overlapping`] for a stride
    /// shorter than the element, [`RangeErrorKind::Overflow`] when the last element does not end
    /// within 64 bits.
    ///
    /// # Examples
    /// ```
    /// use badrange_core::{DevOffset, Extent, Run};
    /// let chunk = Extent::new(DevOffset::new(0), 8)?;
    /// assert_eq!(Run::new(chunk, 24, 4)?.span().len(), 3 * 24 + 8);
    /// assert!(Run::new(chunk, 7, 2).is_err()); // elements would overlap
    /// assert!(Run::new(chunk, 8, 0).is_err());
    /// # Ok::<(), badrange_core::RangeError>(())
    /// ```
    pub fn new(first: Extent<S>, stride: u64, count: u64) -> Result<Self, RangeError> {
        let err = |kind| RangeError::run(kind, S::UNIT, first.raw(), first.len(), stride, count);
        let Some(count) = NonZeroU64::new(count) else { return Err(err(RangeErrorKind::Empty)) };
        if count == NonZeroU64::MIN {
            return Ok(first.into());
        }
        let stride = NonZeroU64::new(stride)
            .filter(|s| s.get() >= first.len())
            .ok_or_else(|| err(RangeErrorKind::Overlapping))?;
        // NO-OVERFLOW: count is at least 1.
        let steps = count.get().wrapping_sub(1);
        let moved = stride.get().checked_mul(steps).and_then(|by| first.end().checked_add(by));
        match moved {
            Some(_) => Ok(Self { first, stride, count }),
            None => Err(err(RangeErrorKind::Overflow)),
        }
    }

    /// `count` extents like `first`, each `stride` after the one before. INVARIANT: the stride holds
    /// an element, and the last one ends within 64 bits.
    pub(crate) fn repeated(first: Extent<S>, stride: NonZeroU64, count: u64) -> Self {
        match NonZeroU64::new(count).filter(|count| count.get() > 1) {
            Some(count) => Self { first, stride, count },
            None => first.into(),
        }
    }

    /// The first element.
    #[must_use]
    pub fn first(&self) -> Extent<S> {
        self.first
    }

    /// Distance from the start of one element to the start of the next.
    #[must_use]
    pub fn stride(&self) -> u64 {
        self.stride.get()
    }

    pub(crate) fn stride_nonzero(&self) -> NonZeroU64 {
        self.stride
    }

    /// How many elements; never zero.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count.get()
    }

    /// Length of each element.
    #[must_use]
    pub fn element_len(&self) -> u64 {
        self.first.len()
    }

    /// Units in all elements together, gaps not counted.
    #[must_use]
    pub fn total_len(&self) -> u64 {
        // NO-OVERFLOW: not more than the span, whose end fits.
        self.element_len().wrapping_mul(self.count())
    }

    /// The element with this index, `None` past the last.
    #[must_use]
    pub fn element(&self, index: u64) -> Option<Extent<S>> {
        (index < self.count()).then(|| self.element_unchecked(index))
    }

    /// These elements, by index; `None` for none of them, and past the last.
    ///
    /// # Examples
    /// ```
    /// use badrange_core::{DevOffset, Extent, Run};
    /// let at = |start, len| Extent::new(DevOffset::new(start), len).unwrap();
    /// let run = Run::new(at(0, 2), 10, 5)?;
    /// assert_eq!(run.slice(1..4), Some(Run::new(at(10, 2), 10, 3)?));
    /// assert_eq!(run.slice(1..6), None);
    /// # Ok::<(), badrange_core::RangeError>(())
    /// ```
    #[must_use]
    pub fn slice(&self, elements: Range<u64>) -> Option<Self> {
        let count = NonZeroU64::new(elements.end.checked_sub(elements.start)?)?;
        if elements.end > self.count() {
            return None;
        }
        let first = self.element_unchecked(elements.start);
        let stride = if count == NonZeroU64::MIN { first.len_nonzero() } else { self.stride };
        Some(Self { first, stride, count })
    }

    /// INVARIANT: `index < count`, so that the element lies within 64 bits.
    pub(crate) fn element_unchecked(&self, index: u64) -> Extent<S> {
        // NO-OVERFLOW: an invariant of the type.
        self.first.moved(self.stride().wrapping_mul(index))
    }

    /// The last element.
    #[must_use]
    pub fn last(&self) -> Extent<S> {
        // NO-OVERFLOW: count is at least 1.
        self.element_unchecked(self.count().wrapping_sub(1))
    }

    /// From the first unit of the first element to the last unit of the last, gaps included.
    #[must_use]
    pub fn span(&self) -> Extent<S> {
        // NO-OVERFLOW: an invariant of the type, and the count is at least 1.
        self.first.longer(self.stride().wrapping_mul(self.count().wrapping_sub(1)))
    }

    /// Whether a position lies in one of the elements, not in a gap.
    ///
    /// # Examples
    /// ```
    /// use badrange_core::{DevOffset, Extent, Run};
    /// let at = |start, len| Extent::new(DevOffset::new(start), len).unwrap();
    /// let run = Run::new(at(0, 8), 24, 4)?;
    /// assert!(run.contains(DevOffset::new(24)) && !run.contains(DevOffset::new(8)));
    /// # Ok::<(), badrange_core::RangeError>(())
    /// ```
    #[must_use]
    pub fn contains(&self, at: S) -> bool {
        if self.is_single() {
            return self.first.contains(at);
        }
        self.span().contains(at)
            && at
                .checked_offset_from(self.first.start())
                .is_some_and(|by| self.div_rem(by).1 < self.element_len())
    }

    /// Whether there is one element, so that the run is an extent.
    pub(crate) fn is_single(&self) -> bool {
        self.count == NonZeroU64::MIN
    }

    /// How many whole strides an offset is, and what is left. Strides are mostly powers of two, and
    /// a division costs more than everything else here.
    fn div_rem(&self, by: u64) -> (u64, u64) {
        if self.stride.is_power_of_two() {
            // NO-OVERFLOW: not zero.
            let mask = self.stride().wrapping_sub(1);
            return (by >> self.stride.trailing_zeros(), by & mask);
        }
        (by / self.stride, by % self.stride)
    }

    /// The run as one extent, if its elements leave no gaps.
    ///
    /// # Examples
    /// ```
    /// use badrange_core::{DevOffset, Extent, Run};
    /// let at = |start, len| Extent::new(DevOffset::new(start), len).unwrap();
    /// assert_eq!(Run::new(at(0, 8), 8, 4)?.as_extent(), Some(at(0, 32)));
    /// assert_eq!(Run::new(at(0, 8), 9, 4)?.as_extent(), None);
    /// # Ok::<(), badrange_core::RangeError>(())
    /// ```
    #[must_use]
    pub fn as_extent(&self) -> Option<Extent<S>> {
        (self.stride() == self.element_len()).then(|| self.span())
    }

    /// All elements in order. The only loop over elements in this crate: for consumers that
    /// cannot take a run.
    ///
    /// # Examples
    /// ```
    /// use badrange_core::{DevOffset, Extent, Run};
    /// let at = |start, len| Extent::new(DevOffset::new(start), len).unwrap();
    /// let run = Run::new(at(0, 8), 24, 3)?;
    /// assert_eq!(run.elements().collect::<Vec<_>>(), [at(0, 8), at(24, 8), at(48, 8)]);
    /// # Ok::<(), badrange_core::RangeError>(())
    /// ```
    pub fn elements(&self) -> impl Iterator<Item = Extent<S>> + use<S> {
        let run = *self;
        (0..run.count()).map(move |i| run.element_unchecked(i))
    }

    /// The same run in another space, where `from` here is `to` there.
    ///
    /// `None` when it begins before `from` or ends beyond 64 bits there.
    ///
    /// # Examples
    /// ```
    /// use badrange_core::{DevOffset, Extent, PhysAddr, Run};
    /// let run = Run::new(Extent::new(DevOffset::new(100), 8)?, 24, 3)?;
    /// let there = run.rebase(DevOffset::new(100), PhysAddr::new(4096)).unwrap();
    /// assert_eq!(there, Run::new(Extent::new(PhysAddr::new(4096), 8)?, 24, 3)?);
    /// # Ok::<(), badrange_core::RangeError>(())
    /// ```
    #[must_use]
    pub fn rebase<T: Space>(&self, from: S, to: T) -> Option<Run<T>> {
        let first = self.first.rebase(from, to)?;
        Run::new(first, self.stride(), self.count()).ok()
    }

    /// What of this run lies inside `window`: at most a partial head, a body and a partial tail,
    /// in ascending order. Constant cost.
    ///
    /// # Examples
    /// ```
    /// use badrange_core::{DevOffset, Extent, Run};
    /// let at = |start, len| Extent::new(DevOffset::new(start), len).unwrap();
    /// let run = Run::new(at(0, 8), 24, 100)?;
    /// let parts: Vec<_> = run.clip(at(4, 24 * 10)).collect();
    /// assert_eq!(parts, [at(4, 4).into(), Run::new(at(24, 8), 24, 9)?, at(240, 4).into()]);
    /// # Ok::<(), badrange_core::RangeError>(())
    /// ```
    pub fn clip(&self, window: Extent<S>) -> impl Iterator<Item = Self> + use<S> {
        self.clip_parts(window).into_iter().flatten()
    }

    fn clip_parts(&self, window: Extent<S>) -> [Option<Self>; 3] {
        self.cuts(window).map(|cut| self.cut(cut?))
    }

    /// Which parts of this run lie inside `window`, in ascending order.
    pub(crate) fn cuts(&self, window: Extent<S>) -> [Option<Cut>; 3] {
        let Some(hit) = self.span().intersect(window) else {
            return [None; 3];
        };
        let len = self.element_len();
        // NO-OVERFLOW: `hit` lies inside the span, so both differences are offsets into it.
        let (lo, hi) = (
            hit.raw().wrapping_sub(self.first.raw()),
            hit.last().to_raw().wrapping_sub(self.first.raw()),
        );
        if self.is_single() {
            // NO-OVERFLOW: the last unit of the span has one after it.
            let cut = Cut { index: 0, skip: lo, keep: hi.wrapping_add(1), count: 1 };
            return [Some(cut), None, None];
        }
        let (mut head, mut skip) = self.div_rem(lo);
        if skip >= len {
            // The window begins in a gap. NO-OVERFLOW: the next element exists or `head > tail`.
            (head, skip) = (head.wrapping_add(1), 0);
        }
        // NO-OVERFLOW: a remainder is smaller than the stride.
        let (tail, keep) = self.div_rem(hi);
        let keep = keep.wrapping_add(1).min(len);
        if head > tail {
            return [None; 3];
        }
        let one = |index, skip, keep| Some(Cut { index, skip, keep, count: 1 });
        if head == tail {
            return [one(head, skip, keep), None, None];
        }
        // NO-OVERFLOW: head < tail < count.
        let index = if skip > 0 { head.wrapping_add(1) } else { head };
        let end = if keep < len { tail } else { tail.wrapping_add(1) };
        let body = Cut { index, skip: 0, keep: len, count: end.saturating_sub(index) };
        [
            if skip > 0 { one(head, skip, len) } else { None },
            (body.count > 0).then_some(body),
            if keep < len { one(tail, 0, keep) } else { None },
        ]
    }

    /// A part of this run, or the part of a run of the same shape that corresponds to it.
    pub(crate) fn cut(&self, Cut { index, skip, keep, count }: Cut) -> Option<Self> {
        let part = self.part(index, skip, keep, count);
        debug_assert!(part.is_some(), "a run of the same shape has the same parts");
        part
    }

    /// `count` elements from `index` on, each cut to its units `[skip, keep)`.
    fn part(&self, index: u64, skip: u64, keep: u64, count: u64) -> Option<Self> {
        let elements = self.slice(index..index.checked_add(count)?)?;
        let len =
            NonZeroU64::new(keep.checked_sub(skip)?).filter(|_| keep <= self.element_len())?;
        let first = elements.first.part(skip, len);
        Some(if elements.is_single() { first.into() } else { Self { first, ..elements } })
    }

    /// What lies before `at` and what lies from `at` on, as [`Run::clip`] would give them.
    ///
    /// # Examples
    /// ```
    /// use badrange_core::{DevOffset, Extent, Run};
    /// let at = |start, len| Extent::new(DevOffset::new(start), len).unwrap();
    /// let run = Run::new(at(0, 8), 24, 4)?;
    /// let (before, after) = run.split_at(DevOffset::new(26));
    /// assert_eq!(before.collect::<Vec<_>>(), [at(0, 8).into(), at(24, 2).into()]);
    /// assert_eq!(after.collect::<Vec<_>>(), [at(26, 6).into(), Run::new(at(48, 8), 24, 2)?]);
    /// # Ok::<(), badrange_core::RangeError>(())
    /// ```
    pub fn split_at(
        &self,
        at: S,
    ) -> (impl Iterator<Item = Self> + use<S>, impl Iterator<Item = Self> + use<S>) {
        let (before, after) = self.span().split_at(at);
        let parts = |w: Option<Extent<S>>| w.map_or([None; 3], |w| self.clip_parts(w));
        (parts(before).into_iter().flatten(), parts(after).into_iter().flatten())
    }

    /// What this run and another have in common, lazily, ordered by first element.
    ///
    /// Every yielded run lies element by element inside elements of both. The bound: at most one
    /// run per phase of the common period, that is `other.stride / g + self.stride / g` runs where
    /// `g` is the greatest common divisor of the strides, and never more than there are pairs of
    /// overlapping elements. With an extent on either side it is [`Run::clip`]: at most three.
    ///
    /// # Examples
    /// ```
    /// use badrange_core::{DevOffset, Extent, Run};
    /// let at = |start, len| Extent::new(DevOffset::new(start), len).unwrap();
    /// // Every third chunk of 8 bytes, and every other one.
    /// let (a, b) = (Run::new(at(0, 8), 24, 100)?, Run::new(at(0, 8), 16, 150)?);
    /// assert_eq!(a.overlaps(&b).collect::<Vec<_>>(), [Run::new(at(0, 8), 48, 50)?]);
    /// # Ok::<(), badrange_core::RangeError>(())
    /// ```
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> Overlaps<S> {
        Overlaps::new(*self, *other)
    }

    /// Where the elements of `part` are in `to`, when this run and `to` correspond element by
    /// element and byte by byte.
    ///
    /// `part` must lie element by element inside elements of this run, as what [`Run::clip`] and
    /// [`Run::overlaps`] yield does. `None` when it does not, when the two runs differ in shape,
    /// or when the image is not a run.
    ///
    /// # Examples
    /// ```
    /// use badrange_core::{DevOffset, Extent, Run};
    /// let here = Run::new(Extent::new(DevOffset::new(0), 8)?, 24, 4)?; // chunks of a stripe
    /// let leg = Run::new(Extent::new(DevOffset::new(100), 8)?, 8, 4)?; // one leg's bytes
    /// let part = Run::from(Extent::new(DevOffset::new(50), 4)?); // inside element 2
    /// let image = here.image(part, &leg).unwrap();
    /// assert_eq!(image.first(), Extent::new(DevOffset::new(118), 4)?);
    /// # Ok::<(), badrange_core::RangeError>(())
    /// ```
    #[must_use]
    pub fn image<T: Space>(&self, part: Self, to: &Run<T>) -> Option<Run<T>> {
        if self.element_len() != to.element_len() || self.count != to.count {
            return None;
        }
        if let (Some(all), Some(_)) = (self.as_extent(), to.as_extent()) {
            // Two contiguous runs correspond as wholes, wherever the cuts of `part` lie.
            let inside = all.contains_extent(part.span());
            return inside.then(|| part.rebase(all.start(), to.first.start()))?;
        }
        let by = part.first.start().checked_offset_from(self.first.start())?;
        let (index, skip) = self.div_rem(by);
        let element = self.element(index)?;
        if element.contains_extent(part.span()) {
            // All of it inside one element: it moves with that element.
            return part.rebase(element.start(), to.element(index)?.start());
        }
        if skip.checked_add(part.element_len())? > self.element_len() {
            return None;
        }
        let first = to.part(index, skip, skip.checked_add(part.element_len())?, 1)?.first;
        let steps = self.steps_of(&part)?;
        Run::new(first, to.stride().checked_mul(steps)?, part.count())
            .ok()
            .filter(|_| part.last().raw_end() <= self.last().raw_end())
    }

    /// How many of this run's strides one stride of `part` is.
    fn steps_of(&self, part: &Self) -> Option<u64> {
        if part.count() == 1 {
            return Some(1);
        }
        let (steps, rest) = self.div_rem(part.stride());
        (rest == 0).then_some(steps)
    }

    /// Index of the first element that ends after `at`; the count of elements when none does.
    ///
    /// # Examples
    /// ```
    /// use badrange_core::{DevOffset, Extent, Run};
    /// let run = Run::new(Extent::new(DevOffset::new(0), 2)?, 10, 5)?;
    /// let first = |at| run.first_ending_after(DevOffset::new(at));
    /// assert_eq!([first(1), first(2), first(11), first(12), first(42)], [0, 1, 1, 2, 5]);
    /// # Ok::<(), badrange_core::RangeError>(())
    /// ```
    #[must_use]
    pub fn first_ending_after(&self, at: S) -> u64 {
        match at.to_raw().checked_sub(self.first.raw_end()) {
            // NO-OVERFLOW: a quotient of less than the whole scale, plus one, fits: `at` is below
            // the end of the scale and the stride is at least 1.
            Some(past) => self.div_rem(past).0.saturating_add(1).min(self.count()),
            None => 0,
        }
    }
}

/// The runs that two runs have in common; see [`Run::overlaps`].
///
/// # Examples
/// ```
/// use badrange_core::{DevOffset, Extent, Run};
/// let at = |start, len| Extent::new(DevOffset::new(start), len).unwrap();
/// let fours = Run::new(at(0, 2), 4, 1_000_000)?;
/// let sixes = Run::new(at(1, 2), 6, 1_000_000)?;
/// // Period 12: a handful of runs, not half a million extents.
/// let common: Vec<_> = fours.overlaps(&sixes).collect();
/// assert!(common.len() <= 6 / 2 + 4 / 2);
/// assert_eq!(common[0].first(), at(1, 1));
/// assert_eq!(common[0].stride(), 12);
/// # Ok::<(), badrange_core::RangeError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Overlaps<S: Space = DevOffset> {
    state: State<S>,
}

#[derive(Debug, Clone)]
enum State<S: Space> {
    Clip(core::iter::Flatten<core::array::IntoIter<Option<Run<S>>, 3>>),
    Phases(Phases<S>),
}

/// A walk over pairs of overlapping elements that ends when the pattern repeats.
#[derive(Debug, Clone)]
struct Phases<S: Space> {
    a: Run<S>,
    b: Run<S>,
    /// First pair of indices, and the pair to look at next.
    from: (u64, u64),
    at: (u64, u64),
    /// Elements of each run in one common period.
    period: (NonZeroU64, NonZeroU64),
}

impl<S: Space> Overlaps<S> {
    fn new(a: Run<S>, b: Run<S>) -> Self {
        let clip = |run: Run<S>, window| State::Clip(run.clip_parts(window).into_iter().flatten());
        let state = match (a.count(), b.count()) {
            (1, _) => clip(b, a.first),
            (_, 1) => clip(a, b.first),
            _ => State::Phases(Phases::new(a, b)),
        };
        Self { state }
    }
}

impl<S: Space> Iterator for Overlaps<S> {
    type Item = Run<S>;

    fn next(&mut self) -> Option<Run<S>> {
        match &mut self.state {
            State::Clip(parts) => parts.next(),
            State::Phases(phases) => phases.next_run(),
        }
    }
}

impl<S: Space> Phases<S> {
    fn new(a: Run<S>, b: Run<S>) -> Self {
        let i = a.first_ending_after(b.first.start());
        let j = a.element(i).map_or(0, |e| b.first_ending_after(e.start()));
        let common = gcd(a.stride, b.stride);
        // The divisor of a stride is not longer than it.
        let steps = |stride: u64| NonZeroU64::new(stride / common).unwrap_or(NonZeroU64::MIN);
        Self { a, b, from: (i, j), at: (i, j), period: (steps(b.stride()), steps(a.stride())) }
    }

    fn next_run(&mut self) -> Option<Run<S>> {
        while !self.is_through() {
            let (i, j) = self.at;
            let (x, y) = (self.a.element(i)?, self.b.element(j)?);
            if x.raw_end() <= y.raw() {
                self.at.0 = self.a.first_ending_after(y.start());
            } else if y.raw_end() <= x.raw() {
                self.at.1 = self.b.first_ending_after(x.start());
            } else {
                return self.emit(x.intersect(y)?);
            }
        }
        None
    }

    /// Whether the walk is a period further on: every later pair repeats an earlier one, a whole
    /// number of periods before it. Runs whose elements never meet end here, too.
    fn is_through(&self) -> bool {
        let (i, j) = self.at;
        // NO-OVERFLOW: the walk only goes up, from `from`.
        let (di, dj) = (i.wrapping_sub(self.from.0), j.wrapping_sub(self.from.1));
        di >= self.period.0.get() && dj >= self.period.1.get()
    }

    fn emit(&mut self, first: Extent<S>) -> Option<Run<S>> {
        let (i, j) = self.at;
        let (x, y) = (self.a.element(i)?, self.b.element(j)?);
        if x.raw_end() <= y.raw_end() {
            self.at.0 = i.wrapping_add(1);
        } else {
            self.at.1 = j.wrapping_add(1);
        }
        Some(Run::repeated(first, self.stride(), self.repeats(i, j)))
    }

    /// The common period in units; when it does not fit in 64 bits, nothing repeats.
    fn stride(&self) -> NonZeroU64 {
        self.a.stride.saturating_mul(self.period.0)
    }

    fn repeats(&self, i: u64, j: u64) -> u64 {
        // NO-OVERFLOW: `i` and `j` index existing elements.
        let left = |count: u64, at: u64, period: NonZeroU64| {
            count.wrapping_sub(1).wrapping_sub(at) / period
        };
        let (a, b) =
            (left(self.a.count(), i, self.period.0), left(self.b.count(), j, self.period.1));
        a.min(b).saturating_add(1)
    }
}

pub(crate) fn gcd(a: NonZeroU64, b: NonZeroU64) -> NonZeroU64 {
    let (mut a, mut b) = (a, b.get());
    while let Some(divisor) = NonZeroU64::new(b) {
        (a, b) = (divisor, a.get() % divisor);
    }
    a
}

impl<S: Space> fmt::Debug for Run<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.count() {
            1 => write!(f, "{:?}", self.first),
            n => write!(f, "{:?} x{n} every {:#x}", self.first, self.stride),
        }
    }
}

/// `device bytes [0x2000..0x4000)`, or with count and stride: `... x100 every 0x6000`.
impl<S: Space> fmt::Display for Run<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.count() {
            1 => write!(f, "{}", self.first),
            n => write!(f, "{} x{n} every {:#x}", self.first, self.stride),
        }
    }
}
