use alloc::vec::Vec;
use core::{fmt, num::NonZeroU64};

use crate::{RangeError, RangeErrorKind, Space};

/// One contiguous, half-open, never empty range of one space: `[start, start + len)`.
///
/// # Invariants
/// The length is not zero and `start + len` fits in 64 bits. The price is that the last unit of
/// the 64-bit scale belongs to no extent.
///
/// # Examples
/// ```
/// use badrange_core::{DevOffset, Extent};
/// let target = Extent::new(DevOffset::new(1000), 500)?;
/// let failed = Extent::new(DevOffset::new(1400), 4096)?;
/// // Clip first, in the coordinates you are in; then translate.
/// let hit = failed.intersect(target).unwrap();
/// assert_eq!((hit.start(), hit.len()), (DevOffset::new(1400), 100));
/// assert_eq!(hit.rebase(target.start(), DevOffset::new(0)).unwrap().start(), DevOffset::new(400));
/// # Ok::<(), badrange_core::RangeError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Extent<S: Space> {
    start: S,
    len: NonZeroU64,
}

impl<S: Space> Extent<S> {
    /// Makes `[start, start + len)`.
    ///
    /// # Errors
    /// [`RangeErrorKind::Empty`] for a zero length, [`RangeErrorKind::Overflow`] when the end does
    /// not fit in 64 bits.
    pub fn new(start: S, len: u64) -> Result<Self, RangeError> {
        let err = |kind| RangeError::new(kind, S::UNIT, start.to_raw(), len);
        let Some(nonzero) = NonZeroU64::new(len) else {
            return Err(err(RangeErrorKind::Empty));
        };
        match start.checked_add(len) {
            Some(_) => Ok(Self { start, len: nonzero }),
            None => Err(err(RangeErrorKind::Overflow)),
        }
    }

    /// Makes `[start, end)`.
    ///
    /// # Errors
    /// [`RangeErrorKind::Empty`] when the two are equal, [`RangeErrorKind::Reversed`] when the end
    /// lies before the start.
    pub fn from_bounds(start: S, end: S) -> Result<Self, RangeError> {
        match end.checked_offset_from(start) {
            Some(len) => Self::new(start, len),
            None => Err(RangeError::new(
                RangeErrorKind::Reversed,
                S::UNIT,
                start.to_raw(),
                end.to_raw(),
            )),
        }
    }

    /// `[start, end)` if it is not empty: the quiet form for the result of a clip.
    pub(crate) fn between(start: u64, end: u64) -> Option<Self> {
        let len = NonZeroU64::new(end.checked_sub(start)?)?;
        Some(Self { start: S::from_raw(start), len })
    }

    /// `[0, len)`: every length fits.
    pub(crate) fn from_zero(len: NonZeroU64) -> Self {
        Self { start: S::from_raw(0), len }
    }

    /// As many units, `by` further on. INVARIANT: they end within 64 bits.
    pub(crate) fn moved(self, by: u64) -> Self {
        // NO-OVERFLOW: an invariant of the caller.
        Self { start: S::from_raw(self.raw().wrapping_add(by)), len: self.len }
    }

    /// `len` units from the `skip`th on. INVARIANT: so many are there.
    pub(crate) fn part(self, skip: u64, len: NonZeroU64) -> Self {
        Self { len, ..self.moved(skip) }
    }

    /// The same and `by` units more. INVARIANT: they end within 64 bits.
    pub(crate) fn longer(self, by: u64) -> Self {
        Self { start: self.start, len: self.len.saturating_add(by) }
    }

    /// The first unit.
    #[must_use]
    pub fn start(&self) -> S {
        self.start
    }

    /// One past the last unit.
    #[must_use]
    pub fn end(&self) -> S {
        S::from_raw(self.raw_end())
    }

    /// The last unit: the inclusive end, for formats that print one.
    #[must_use]
    pub fn last(&self) -> S {
        // NO-OVERFLOW: the end is at least 1, because the length is.
        S::from_raw(self.raw_end().wrapping_sub(1))
    }

    /// How many units; never zero.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "an extent is never empty")]
    pub fn len(&self) -> u64 {
        self.len.get()
    }

    /// The length with its proof that it is not zero.
    #[must_use]
    pub fn len_nonzero(&self) -> NonZeroU64 {
        self.len
    }

    pub(crate) fn raw(&self) -> u64 {
        self.start.to_raw()
    }

    pub(crate) fn raw_end(&self) -> u64 {
        // NO-OVERFLOW: an invariant of the type.
        self.raw().wrapping_add(self.len.get())
    }

    /// Whether a position lies inside.
    #[must_use]
    pub fn contains(&self, at: S) -> bool {
        self.start <= at && at.to_raw() < self.raw_end()
    }

    /// Whether every unit of `other` lies inside.
    #[must_use]
    pub fn contains_extent(&self, other: Self) -> bool {
        self.start <= other.start && other.raw_end() <= self.raw_end()
    }

    /// The units that both have, `None` if there is none.
    #[must_use]
    pub fn intersect(self, other: Self) -> Option<Self> {
        Self::between(self.raw().max(other.raw()), self.raw_end().min(other.raw_end()))
    }

    /// What lies before `at` and what lies from `at` on; either may be missing.
    #[must_use]
    pub fn split_at(self, at: S) -> (Option<Self>, Option<Self>) {
        let at = at.to_raw();
        (
            Self::between(self.raw(), self.raw_end().min(at)),
            Self::between(self.raw().max(at), self.raw_end()),
        )
    }

    /// What of this extent lies before and what lies after `hole`.
    #[must_use]
    pub fn without(self, hole: Self) -> (Option<Self>, Option<Self>) {
        (self.split_at(hole.start).0, self.split_at(hole.end()).1)
    }

    /// The smallest extent that holds both.
    #[must_use]
    pub fn hull(self, other: Self) -> Self {
        let (start, end) = (self.raw().min(other.raw()), self.raw_end().max(other.raw_end()));
        Self::between(start, end).unwrap_or(self)
    }

    /// Both as one extent, where they overlap or touch; `None` where a gap lies between.
    ///
    /// # Examples
    /// ```
    /// use badrange_core::{DevOffset, Extent};
    /// let at = |start, len| Extent::new(DevOffset::new(start), len).unwrap();
    /// assert_eq!(at(0, 4).union(at(4, 2)), Some(at(0, 6)));
    /// assert_eq!(at(0, 4).union(at(5, 2)), None);
    /// ```
    #[must_use]
    pub fn union(self, other: Self) -> Option<Self> {
        let meet = self.raw() <= other.raw_end() && other.raw() <= self.raw_end();
        meet.then(|| self.hull(other))
    }

    /// The fewest extents that cover what `ascending` ones cover: those that overlap or touch become
    /// one.
    ///
    /// # Examples
    /// ```
    /// use badrange_core::{DevOffset, Extent};
    /// let at = |start, len| Extent::new(DevOffset::new(start), len).unwrap();
    /// assert_eq!(Extent::unite([at(0, 4), at(2, 4), at(6, 1), at(8, 1)]), [at(0, 7), at(8, 1)]);
    /// ```
    #[must_use]
    pub fn unite(ascending: impl IntoIterator<Item = Self>) -> Vec<Self> {
        let mut united: Vec<Self> = Vec::new();
        for next in ascending {
            match united.last_mut().and_then(|last| Some((last.union(next)?, last))) {
                Some((both, last)) => *last = both,
                None => united.push(next),
            }
        }
        united
    }

    /// The same extent in another space, where `from` here is `to` there.
    ///
    /// The one translation step of every linear layer. `None` when this extent begins before
    /// `from` (clip first) or ends beyond 64 bits there.
    #[must_use]
    pub fn rebase<T: Space>(self, from: S, to: T) -> Option<Extent<T>> {
        let start = to.checked_add(self.start.checked_offset_from(from)?)?;
        Extent::new(start, self.len.get()).ok()
    }

    pub(crate) fn round_out<T: Space>(self, unit: NonZeroU64) -> Extent<T> {
        let (first, last) = (self.raw() / unit, self.last().to_raw() / unit);
        // NO-OVERFLOW: a quotient by 512 or more is far from the end of the scale.
        let len = NonZeroU64::MIN.saturating_add(last.wrapping_sub(first));
        Extent { start: T::from_raw(first), len }
    }

    pub(crate) fn round_in<T: Space>(self, unit: NonZeroU64) -> Option<Extent<T>> {
        Extent::between(self.raw().div_ceil(unit.get()), self.raw_end() / unit)
    }

    pub(crate) fn widen<T: Space>(self, unit: u64) -> Result<Extent<T>, RangeError> {
        let overflow =
            || RangeError::new(RangeErrorKind::Overflow, S::UNIT, self.raw(), self.len());
        let start = self.raw().checked_mul(unit).ok_or_else(overflow)?;
        let end = self.raw_end().checked_mul(unit).ok_or_else(overflow)?;
        Extent::between(start, end).ok_or_else(overflow)
    }
}

impl<S: Space> PartialOrd for Extent<S> {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// By start, then by length.
impl<S: Space> Ord for Extent<S> {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        (self.start, self.len).cmp(&(other.start, other.len))
    }
}

impl<S: Space> fmt::Debug for Extent<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}..{:#x}", self.start, self.raw_end())
    }
}

/// The unit, hex and half-open: `device bytes [0x403000..0x404000)`.
impl<S: Space> fmt::Display for Extent<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{:#x}..{:#x})", S::UNIT, self.raw(), self.raw_end())
    }
}
