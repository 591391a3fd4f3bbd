use core::ops::Range;

use crate::{DevOffset, Extent, Flow, RangeError, Run, Sink, bug};

/// Two runs of equal shape that are the same bytes, element by element: below and above.
///
/// What a layer says of its bytes is a link, what a question to a stack is answered with is one:
/// `lower` is the part asked about, `upper` where it is now.
///
/// # Invariants
/// Both runs have the same element length and count; only their strides differ.
///
/// # Examples
/// ```
/// use badrange_core::{DevOffset, Extent, Link, Run};
/// let at = |start, len| Extent::new(DevOffset::new(start), len).unwrap();
/// // Leg 1 of `striped 3 16`, legs at sector 2048, in bytes: 50 chunks of 8 KiB.
/// let leg = Link::new(Run::new(at(1_048_576, 8192), 8192, 50)?, Run::new(at(8192, 8192), 24576, 50)?)?;
/// // Bytes 4096..8192 of its third chunk:
/// let part = leg.of_lower(at(1_048_576 + 2 * 8192 + 4096, 4096).into()).unwrap();
/// assert_eq!(part.upper(), at(8192 + 2 * 24576 + 4096, 4096).into());
/// # Ok::<(), badrange_core::RangeError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Link {
    lower: Run,
    upper: Run,
}

impl Link {
    /// Puts two runs of equal shape together.
    ///
    /// # Errors
    /// [`RangeErrorKind::Shape`](crate::RangeErrorKind::Shape) when element length or count differ.
    ///
    /// # Examples
    /// ```
    /// use badrange_core::{DevOffset, Extent, Link, Run};
    /// let at = |start, len| Extent::new(DevOffset::new(start), len).unwrap();
    /// let chunks = Run::new(at(100, 8), 8, 4)?;
    /// assert!(Link::new(chunks, Run::new(at(0, 8), 24, 4)?).is_ok());
    /// assert!(Link::new(chunks, Run::new(at(0, 8), 24, 3)?).is_err());
    /// assert!(Link::new(chunks, Run::new(at(0, 9), 24, 4)?).is_err());
    /// # Ok::<(), badrange_core::RangeError>(())
    /// ```
    pub fn new(lower: Run, upper: Run) -> Result<Self, RangeError> {
        if lower.element_len() == upper.element_len() && lower.count() == upper.count() {
            return Ok(Self::of_one_shape(lower, upper));
        }
        let shape = |run: Run| (run.element_len(), run.count());
        Err(RangeError::shapes(shape(lower), shape(upper)))
    }

    /// INVARIANT: both have the same element length and count.
    pub(crate) fn of_one_shape(lower: Run, upper: Run) -> Self {
        Self { lower, upper }
    }

    /// The run as itself: what a question begins with.
    ///
    /// # Examples
    /// ```
    /// use badrange_core::{DevOffset, Extent, Link};
    /// let bad = Extent::new(DevOffset::new(4096), 512)?;
    /// assert_eq!(Link::same(bad).lower(), Link::same(bad).upper());
    /// # Ok::<(), badrange_core::RangeError>(())
    /// ```
    #[must_use]
    pub fn same(run: impl Into<Run>) -> Self {
        let run = run.into();
        Self { lower: run, upper: run }
    }

    /// `lower` as the bytes from `upper` on; `None` when those do not end within 64 bits.
    ///
    /// # Examples
    /// ```
    /// use badrange_core::{DevOffset, Extent, Link};
    /// let lower = Extent::new(DevOffset::new(1 << 20), 4096)?;
    /// let link = Link::at(lower, DevOffset::new(0)).unwrap();
    /// assert_eq!(link.upper().first(), Extent::new(DevOffset::new(0), 4096)?);
    /// # Ok::<(), badrange_core::RangeError>(())
    /// ```
    #[must_use]
    pub fn at(lower: Extent, upper: DevOffset) -> Option<Self> {
        let above = lower.rebase(lower.start(), upper)?;
        Some(Self { lower: lower.into(), upper: above.into() })
    }

    /// `lower` as the bytes from 0 on, which always end within 64 bits.
    pub(crate) fn at_zero(lower: Extent) -> Self {
        Self { lower: lower.into(), upper: Extent::from_zero(lower.len_nonzero()).into() }
    }

    /// One element on each side. INVARIANT: of equal length.
    pub(crate) fn of_extents(lower: Extent, upper: Extent) -> Self {
        debug_assert_eq!(lower.len(), upper.len());
        Self { lower: lower.into(), upper: upper.into() }
    }

    /// The side below.
    #[must_use]
    pub fn lower(&self) -> Run {
        self.lower
    }

    /// The side above.
    #[must_use]
    pub fn upper(&self) -> Run {
        self.upper
    }

    /// The same with the sides changed.
    ///
    /// # Examples
    /// ```
    /// use badrange_core::{DevOffset, Extent, Link, Run};
    /// let at = |start, len| Extent::new(DevOffset::new(start), len).unwrap();
    /// let leg = Link::new(Run::new(at(100, 8), 8, 4)?, Run::new(at(0, 8), 24, 4)?)?;
    /// assert_eq!((leg.inverse().lower(), leg.inverse().upper()), (leg.upper(), leg.lower()));
    /// # Ok::<(), badrange_core::RangeError>(())
    /// ```
    #[must_use]
    pub fn inverse(self) -> Self {
        Self { lower: self.upper, upper: self.lower }
    }

    /// The same bytes as one element, where neither side leaves a gap: for a layer that describes
    /// itself. What answers a question stays as it was asked, element by element.
    ///
    /// # Examples
    /// ```
    /// use badrange_core::{DevOffset, Extent, Link, Run};
    /// let at = |start, len| Extent::new(DevOffset::new(start), len).unwrap();
    /// let touching = Link::new(Run::new(at(100, 8), 8, 4)?, Run::new(at(0, 8), 8, 4)?)?;
    /// assert_eq!(touching.joined().lower(), at(100, 32).into());
    /// let striped = Link::new(Run::new(at(100, 8), 8, 4)?, Run::new(at(0, 8), 24, 4)?)?;
    /// assert_eq!(striped.joined(), striped);
    /// # Ok::<(), badrange_core::RangeError>(())
    /// ```
    #[must_use]
    pub fn joined(self) -> Self {
        match (self.lower.as_extent(), self.upper.as_extent()) {
            (Some(lower), Some(upper)) => Self { lower: lower.into(), upper: upper.into() },
            (Some(_) | None, None) | (None, Some(_)) => self,
        }
    }

    /// These elements, by index; `None` for none of them, and past the last.
    ///
    /// # Examples
    /// ```
    /// use badrange_core::{DevOffset, Extent, Link, Run};
    /// let at = |start, len| Extent::new(DevOffset::new(start), len).unwrap();
    /// let leg = Link::new(Run::new(at(100, 8), 8, 4)?, Run::new(at(0, 8), 24, 4)?)?;
    /// let last = leg.slice(3..4).unwrap();
    /// assert_eq!((last.lower(), last.upper()), (at(124, 8).into(), at(72, 8).into()));
    /// assert_eq!(leg.slice(3..5), None);
    /// # Ok::<(), badrange_core::RangeError>(())
    /// ```
    #[must_use]
    pub fn slice(&self, elements: Range<u64>) -> Option<Self> {
        let lower = self.lower.slice(elements.clone())?;
        Some(Self { lower, upper: self.upper.slice(elements)? })
    }

    /// What of the link lies below in `window`: at most three links, ascending.
    ///
    /// # Examples
    /// ```
    /// use badrange_core::{DevOffset, Extent, Link, Run};
    /// let at = |start, len| Extent::new(DevOffset::new(start), len).unwrap();
    /// let leg = Link::new(Run::new(at(100, 8), 8, 4)?, Run::new(at(0, 8), 24, 4)?)?;
    /// let uppers: Vec<Run> = leg.clip_lower(at(104, 12)).map(|link| link.upper()).collect();
    /// assert_eq!(uppers, [at(4, 4).into(), at(24, 8).into()]);
    /// # Ok::<(), badrange_core::RangeError>(())
    /// ```
    pub fn clip_lower(&self, window: Extent) -> impl Iterator<Item = Self> + use<> {
        let whole = *self;
        let cuts = self.lower.cuts(window).into_iter().flatten();
        // Both runs have the same shape, so that a cut of one is a cut of both.
        cuts.filter_map(move |cut| {
            Some(Self { lower: whole.lower.cut(cut)?, upper: whole.upper.cut(cut)? })
        })
    }

    /// What of the link lies above in `window`: at most three links, ascending above.
    ///
    /// # Examples
    /// ```
    /// use badrange_core::{DevOffset, Extent, Link, Run};
    /// let at = |start, len| Extent::new(DevOffset::new(start), len).unwrap();
    /// let leg = Link::new(Run::new(at(100, 8), 8, 4)?, Run::new(at(0, 8), 24, 4)?)?;
    /// let lowers: Vec<Run> = leg.clip_upper(at(4, 24)).map(|link| link.lower()).collect();
    /// assert_eq!(lowers, [at(104, 4).into(), at(108, 4).into()]);
    /// # Ok::<(), badrange_core::RangeError>(())
    /// ```
    pub fn clip_upper(&self, window: Extent) -> impl Iterator<Item = Self> + use<> {
        self.inverse().clip_lower(window).map(Self::inverse)
    }

    /// The part of the link whose lower side is `part`, which must lie element by element inside
    /// elements of it, as what [`Run::clip`] and [`Run::overlaps`] yield does; `None` when it does
    /// not.
    ///
    /// # Examples
    /// ```
    /// use badrange_core::{DevOffset, Extent, Link, Run};
    /// let at = |start, len| Extent::new(DevOffset::new(start), len).unwrap();
    /// let leg = Link::new(Run::new(at(100, 8), 8, 4)?, Run::new(at(0, 8), 24, 4)?)?;
    /// let part = leg.of_lower(at(110, 2).into()).unwrap();
    /// assert_eq!(part.upper(), at(26, 2).into());
    /// assert_eq!(leg.of_lower(at(106, 4).into()), None); // reaches over two chunks
    /// # Ok::<(), badrange_core::RangeError>(())
    /// ```
    #[must_use]
    pub fn of_lower(&self, part: Run) -> Option<Self> {
        if part == self.lower {
            return Some(*self);
        }
        Some(Self { lower: part, upper: self.lower.image(part, &self.upper)? })
    }

    /// The part of the link whose upper side is `part`; as [`of_lower`](Self::of_lower).
    ///
    /// # Examples
    /// ```
    /// use badrange_core::{DevOffset, Extent, Link, Run};
    /// let at = |start, len| Extent::new(DevOffset::new(start), len).unwrap();
    /// let leg = Link::new(Run::new(at(100, 8), 8, 4)?, Run::new(at(0, 8), 24, 4)?)?;
    /// let part = leg.of_upper(at(26, 2).into()).unwrap();
    /// assert_eq!(part.lower(), at(110, 2).into());
    /// assert_eq!(leg.of_upper(at(8, 2).into()), None); // of another leg
    /// # Ok::<(), badrange_core::RangeError>(())
    /// ```
    #[must_use]
    pub fn of_upper(&self, part: Run) -> Option<Self> {
        self.inverse().of_lower(part).map(Self::inverse)
    }

    /// One link after the other: the lower side of this one with the upper side of `next`, whose
    /// lower side must lie element by element inside the upper side of this one; `None` when it
    /// does not.
    ///
    /// # Examples
    /// ```
    /// use badrange_core::{DevOffset, Extent, Link};
    /// let at = |start, len| Extent::new(DevOffset::new(start), len).unwrap();
    /// let to_partition = Link::at(at(1000, 500), DevOffset::new(0)).unwrap();
    /// let to_volume = Link::at(at(100, 50), DevOffset::new(7000)).unwrap();
    /// let both = to_partition.then(to_volume).unwrap();
    /// assert_eq!((both.lower(), both.upper()), (at(1100, 50).into(), at(7000, 50).into()));
    /// ```
    #[must_use]
    pub fn then(self, next: Self) -> Option<Self> {
        let part = self.of_upper(next.lower)?;
        Some(Self { lower: part.lower, upper: next.upper })
    }

    /// The elements one by one, both sides of each. A loop: for consumers that cannot take runs.
    ///
    /// # Examples
    /// ```
    /// use badrange_core::{DevOffset, Extent, Link, Run};
    /// let at = |start, len| Extent::new(DevOffset::new(start), len).unwrap();
    /// let leg = Link::new(Run::new(at(100, 8), 8, 4)?, Run::new(at(0, 8), 24, 4)?)?;
    /// assert_eq!(leg.elements().nth(2), Some((at(116, 8), at(48, 8))));
    /// # Ok::<(), badrange_core::RangeError>(())
    /// ```
    pub fn elements(&self) -> impl Iterator<Item = (Extent, Extent)> + use<> {
        self.lower.elements().zip(self.upper.elements())
    }

    /// What of `lower` lies in this link, and where it is above: the reverse map of every linear,
    /// striped or interleaved leg.
    ///
    /// An extent comes out as at most three links (head, body, tail), whatever its length, and
    /// ascending. A run comes out as at most one link per phase of the two strides, as in
    /// [`Run::overlaps`].
    ///
    /// # Examples
    /// ```
    /// use badrange_core::{DevOffset, Extent, Link, Run};
    /// use core::ops::ControlFlow;
    /// let at = |start, len| Extent::new(DevOffset::new(start), len).unwrap();
    /// let leg = Link::new(Run::new(at(1_048_576, 8192), 8192, 50)?, Run::new(at(8192, 8192), 24576, 50)?)?;
    /// // Sectors 2060..2100 of the leg fail.
    /// let mut above = Vec::new();
    /// let _ = leg.rmap(at(2060 * 512, 40 * 512).into(), &mut |link| {
    ///     above.push(link.upper());
    ///     ControlFlow::Continue(())
    /// });
    /// assert_eq!(above[0], at(14336, 2048).into());
    /// assert_eq!(above[1], Run::new(at(32768, 8192), 24576, 2)?);
    /// assert_eq!(above[2], at(81920, 2048).into());
    /// # Ok::<(), badrange_core::RangeError>(())
    /// ```
    pub fn rmap(&self, lower: Run, sink: Sink<'_, Self>) -> Flow {
        // Nearly always all of it lies in the layer and keeps its shape.
        if let Some(upper) = self.lower.image(lower, &self.upper) {
            return sink(Self { lower, upper });
        }
        lower.overlaps(&self.lower).try_for_each(|part| match self.lower.image(part, &self.upper) {
            Some(upper) => sink(Self { lower: part, upper }),
            None => bug!("what two runs have in common has an image in a run of their shape"),
        })
    }
}

/// Two extents of equal length.
impl TryFrom<(Extent, Extent)> for Link {
    type Error = RangeError;

    fn try_from((lower, upper): (Extent, Extent)) -> Result<Self, RangeError> {
        Self::new(lower.into(), upper.into())
    }
}
