use alloc::vec::Vec;
use core::{fmt, num::NonZeroU64};

use crate::{DevOffset, RangeError, RangeErrorKind, Space};

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
pub struct Extent<S: Space = DevOffset> {
    start: S,
    len: NonZeroU64,
}

impl<S: Space> Extent<S> {
    /// Makes `[start, start + len)`.
    ///
    /// # Errors
    /// [`RangeErrorKind::Empty`] for a zero length, [`RangeErrorKind::Overflow`] when the end does
    /// not fit in 64 bits.
    ///
    /// # Examples
    /// ```
    /// use badrange_core::{Extent, Sector};
    /// assert_eq!(Extent::new(Sector::new(8), 2)?.end(), Sector::new(10));
    /// assert!(Extent::new(Sector::new(8), 0).is_err());
    /// assert!(Extent::new(Sector::new(u64::MAX), 1).is_err());
    /// # Ok::<(), badrange_core::RangeError>(())
    /// ```
    pub fn new(start: S, len: u64) -> Result<Self, RangeError> {
        let err = |kind| RangeError::extent(kind, S::UNIT, start.to_raw(), len);
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
    ///
    /// # Examples
    /// ```
    /// use badrange_core::{Extent, Sector};
    /// let both = Extent::from_bounds(Sector::new(8), Sector::new(10))?;
    /// assert_eq!(both, Extent::new(Sector::new(8), 2)?);
    /// assert!(Extent::from_bounds(Sector::new(9), Sector::new(8)).is_err());
    /// # Ok::<(), badrange_core::RangeError>(())
    /// ```
    pub fn from_bounds(start: S, end: S) -> Result<Self, RangeError> {
        match end.checked_offset_from(start) {
            Some(len) => Self::new(start, len),
            None => Err(RangeError::reversed(S::UNIT, start.to_raw(), end.to_raw())),
        }
    }

    /// `[start, end)` if it is not empty: the quiet form for the result of a clip.
    pub(crate) fn between(start: u64, end: u64) -> Option<Self> {
        let len = NonZeroU64::new(end.checked_sub(start)?)?;
        Some(Self { start: S::from_raw(start), len })
    }

    /// `[0, len)`: every length fits.
    ///
    /// # Examples
    /// ```
    /// use badrange_core::Extent;
    /// use core::num::NonZeroU64;
    /// let all: Extent = Extent::from_zero(NonZeroU64::MAX);
    /// assert_eq!((all.start().get(), all.len()), (0, u64::MAX));
    /// ```
    #[must_use]
    pub fn from_zero(len: NonZeroU64) -> Self {
        Self { start: S::from_raw(0), len }
    }

    /// The same numbers in another space.
    pub(crate) fn renamed<T: Space>(self) -> Extent<T> {
        Extent { start: T::from_raw(self.raw()), len: self.len }
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
    ///
    /// # Examples
    /// ```
    /// use badrange_core::{DevOffset, Extent};
    /// let at = |start, len| Extent::new(DevOffset::new(start), len).unwrap();
    /// assert_eq!(at(0, 10).intersect(at(8, 9)), Some(at(8, 2)));
    /// assert_eq!(at(0, 10).intersect(at(10, 9)), None); // they only touch
    /// ```
    #[must_use]
    pub fn intersect(self, other: Self) -> Option<Self> {
        Self::between(self.raw().max(other.raw()), self.raw_end().min(other.raw_end()))
    }

    /// What lies before `at` and what lies from `at` on; either may be missing.
    ///
    /// # Examples
    /// ```
    /// use badrange_core::{DevOffset, Extent};
    /// let at = |start, len| Extent::new(DevOffset::new(start), len).unwrap();
    /// assert_eq!(at(4, 8).split_at(DevOffset::new(6)), (Some(at(4, 2)), Some(at(6, 6))));
    /// assert_eq!(at(4, 8).split_at(DevOffset::new(4)), (None, Some(at(4, 8))));
    /// ```
    #[must_use]
    pub fn split_at(self, at: S) -> (Option<Self>, Option<Self>) {
        let at = at.to_raw();
        (
            Self::between(self.raw(), self.raw_end().min(at)),
            Self::between(self.raw().max(at), self.raw_end()),
        )
    }

    /// What of this extent lies before and what lies after `hole`.
    ///
    /// # Examples
    /// ```
    /// use badrange_core::{DevOffset, Extent};
    /// let at = |start, len| Extent::new(DevOffset::new(start), len).unwrap();
    /// assert_eq!(at(0, 10).without(at(2, 3)), (Some(at(0, 2)), Some(at(5, 5))));
    /// assert_eq!(at(0, 10).without(at(0, 3)), (None, Some(at(3, 7))));
    /// ```
    #[must_use]
    pub fn without(self, hole: Self) -> (Option<Self>, Option<Self>) {
        (self.split_at(hole.start).0, self.split_at(hole.end()).1)
    }

    /// What of this extent lies in none of `holes`, ascending and with gaps between. The holes may
    /// come in any order, overlap, and reach out. Cost: sorting them.
    ///
    /// # Examples
    /// ```
    /// use badrange_core::{DevOffset, Extent};
    /// let at = |start, len| Extent::new(DevOffset::new(start), len).unwrap();
    /// assert_eq!(at(0, 10).minus([at(8, 9), at(2, 2), at(3, 3)]), [at(0, 2), at(6, 2)]);
    /// ```
    #[must_use]
    pub fn minus(self, holes: impl IntoIterator<Item = Self>) -> Vec<Self> {
        let mut holes: Vec<Self> = holes.into_iter().filter_map(|h| h.intersect(self)).collect();
        holes.sort_unstable();
        let mut left = Vec::new();
        let mut at = self.raw();
        for hole in holes {
            left.extend(Self::between(at, hole.raw()));
            at = at.max(hole.raw_end());
        }
        left.extend(Self::between(at, self.raw_end()));
        left
    }

    /// The smallest extent that holds both.
    ///
    /// # Examples
    /// ```
    /// use badrange_core::{DevOffset, Extent};
    /// let at = |start, len| Extent::new(DevOffset::new(start), len).unwrap();
    /// assert_eq!(at(0, 4).hull(at(9, 1)), at(0, 10));
    /// ```
    #[must_use]
    pub fn hull(self, other: Self) -> Self {
        let start = self.start.min(other.start);
        // NO-OVERFLOW: `start` is the lower of both, and one ends behind it.
        let last = self.last().max(other.last()).to_raw().wrapping_sub(start.to_raw());
        Self { start, len: NonZeroU64::MIN.saturating_add(last) }
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
    ///
    /// # Examples
    /// ```
    /// use badrange_core::{DevOffset, Extent, PhysAddr};
    /// let namespace = PhysAddr::new(0x1_0000_0000);
    /// let bad = Extent::new(PhysAddr::new(0x1_0000_3000), 4096)?;
    /// let on_device = bad.rebase(namespace, DevOffset::new(0)).unwrap();
    /// assert_eq!(on_device, Extent::new(DevOffset::new(0x3000), 4096)?);
    /// assert_eq!(bad.rebase(PhysAddr::new(0x1_0000_4000), DevOffset::new(0)), None);
    /// # Ok::<(), badrange_core::RangeError>(())
    /// ```
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
            || RangeError::extent(RangeErrorKind::Overflow, S::UNIT, self.raw(), self.len());
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
