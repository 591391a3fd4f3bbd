use core::ops::{ControlFlow, Range};

use crate::{DevOffset, Extent, RangeError, RangeErrorKind, ReportOffset, Run, Space};

/// A part of a failure report on its way up the stack: where it is now, and where it came from.
///
/// Element `i` of `here` is the same storage as element `i` of `origin`, byte for byte.
///
/// # Invariants
/// Both runs have the same element length and count; only their strides differ.
///
/// # Examples
/// ```
/// use badrange_core::{DevOffset, Extent, Piece, ReportOffset, Run};
/// let report = Extent::new(DevOffset::new(1_000_000), 8192)?;
/// let piece = Piece::report(report);
/// assert_eq!(piece.origin().first().start(), ReportOffset::new(0));
/// // A partition that begins at 1_004_096 sees the second half, at its byte 0.
/// let partition = Extent::new(DevOffset::new(1_004_096), 1 << 20)?;
/// let hit = piece.clip(partition).next().unwrap();
/// let above = hit.rebase(partition.start(), DevOffset::new(0)).unwrap();
/// assert_eq!(above.here().first(), Extent::new(DevOffset::new(0), 4096)?);
/// assert_eq!(above.origin().first().start(), ReportOffset::new(4096));
/// # Ok::<(), badrange_core::RangeError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Piece<S: Space = DevOffset> {
    here: Run<S>,
    origin: Run<ReportOffset>,
}

impl<S: Space> Piece<S> {
    /// Puts two runs of equal shape together.
    ///
    /// # Errors
    /// [`RangeErrorKind::Shape`] when element length or count differ.
    pub fn new(here: Run<S>, origin: Run<ReportOffset>) -> Result<Self, RangeError> {
        if here.element_len() == origin.element_len() && here.count() == origin.count() {
            return Ok(Self { here, origin });
        }
        let first = here.first();
        Err(RangeError::new(RangeErrorKind::Shape, S::UNIT, first.raw(), first.len()))
    }

    /// The piece that is a whole report: byte 0 of the report is the first byte of `bad`.
    #[must_use]
    pub fn report(bad: Extent<S>) -> Self {
        Self { here: bad.into(), origin: Extent::from_zero(bad.len_nonzero()).into() }
    }

    /// Where the piece is now.
    #[must_use]
    pub fn here(&self) -> Run<S> {
        self.here
    }

    /// Which bytes of the report it stands for.
    #[must_use]
    pub fn origin(&self) -> Run<ReportOffset> {
        self.origin
    }

    /// These elements, by index; `None` for none of them, and past the last.
    ///
    /// # Examples
    /// ```
    /// use badrange_core::{DevOffset, Extent, Piece, ReportOffset, Run};
    /// let here = Run::new(Extent::new(DevOffset::new(8192), 512)?, 4096, 100)?;
    /// let origin = Run::new(Extent::new(ReportOffset::new(0), 512)?, 512, 100)?;
    /// let part = Piece::new(here, origin)?.slice(10..12).unwrap();
    /// assert_eq!(part.here().first().start(), DevOffset::new(8192 + 10 * 4096));
    /// assert_eq!(part.origin().total_len(), 1024);
    /// # Ok::<(), badrange_core::RangeError>(())
    /// ```
    #[must_use]
    pub fn slice(&self, elements: Range<u64>) -> Option<Self> {
        let here = self.here.slice(elements.clone())?;
        Some(Self { here, origin: self.origin.slice(elements)? })
    }

    /// What of the piece lies inside `window`: at most three pieces, in ascending order.
    pub fn clip(&self, window: Extent<S>) -> impl Iterator<Item = Self> + use<S> {
        let whole = *self;
        let cuts = self.here.cuts(window).into_iter().flatten();
        // Both runs have the same shape, so that a cut is one of both.
        cuts.filter_map(move |cut| {
            Some(Self { here: whole.here.cut(cut)?, origin: whole.origin.cut(cut)? })
        })
    }

    /// The part of the piece whose place is `part`, which must lie element by element inside
    /// `here`, as what [`Run::clip`] and [`Run::overlaps`] yield does; `None` when it does not.
    #[must_use]
    pub fn select(&self, part: Run<S>) -> Option<Self> {
        let origin = self.here.image(part, &self.origin)?;
        Some(Self { here: part, origin })
    }

    /// Where the bytes `origin` of the report are in this piece: the inverse of carrying an
    /// origin up. `None` when they are not part of it.
    #[must_use]
    pub fn locate(&self, origin: Run<ReportOffset>) -> Option<Run<S>> {
        self.origin.image(origin, &self.here)
    }

    /// The same piece in another space, where `from` here is `to` there.
    #[must_use]
    pub fn rebase<T: Space>(&self, from: S, to: T) -> Option<Piece<T>> {
        Some(Piece { here: self.here.rebase(from, to)?, origin: self.origin })
    }

    /// The elements one by one, each with its origin. A loop: for consumers that cannot take runs.
    pub fn elements(&self) -> impl Iterator<Item = (Extent<S>, Extent<ReportOffset>)> + use<S> {
        self.here.elements().zip(self.origin.elements())
    }

    /// Carries the piece through a layer in which the run `lower` is the run `upper`, element by
    /// element: the reverse map of every linear, striped or interleaved leg.
    ///
    /// An extent comes out as at most three pieces (head, body, tail), whatever its length. A run
    /// comes out as at most one piece per phase of the two strides, as in [`Run::overlaps`].
    /// Pieces that would lie beyond 64 bits above are impossible: `upper` exists.
    ///
    /// # Examples
    /// ```
    /// use badrange_core::{DevOffset, Extent, Piece, Run};
    /// use core::ops::ControlFlow;
    /// let at = |start, len| Extent::new(DevOffset::new(start), len).unwrap();
    /// // Leg 1 of `striped 3 16`, legs at sector 2048, in bytes: 50 chunks of 8 KiB.
    /// let lower = Run::new(at(1_048_576, 8192), 8192, 50)?;
    /// let upper = Run::new(at(8192, 8192), 3 * 8192, 50)?;
    /// // Sectors 2060..2100 of the leg fail.
    /// let failed = Piece::report(at(2060 * 512, 40 * 512));
    /// let mut above = Vec::new();
    /// let _ = failed.through(&lower, &upper, &mut |p| { above.push(p.here()); ControlFlow::Continue(()) });
    /// assert_eq!(above[0], at(14336, 2048).into());
    /// assert_eq!(above[1], Run::new(at(32768, 8192), 24576, 2)?);
    /// assert_eq!(above[2], at(81920, 2048).into());
    /// # Ok::<(), badrange_core::RangeError>(())
    /// ```
    pub fn through<U: Space>(
        &self,
        lower: &Run<S>,
        upper: &Run<U>,
        sink: &mut dyn FnMut(Piece<U>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        // Nearly always all of it lies in the layer and keeps its shape.
        if let Some(at) = lower.image(self.here, upper) {
            return sink(Piece { here: at, origin: self.origin });
        }
        for part in self.here.overlaps(lower) {
            let (Some(at), Some(from)) = (lower.image(part, upper), self.select(part)) else {
                debug_assert!(false, "an overlap lies inside both runs");
                continue;
            };
            sink(Piece { here: at, origin: from.origin })?;
        }
        ControlFlow::Continue(())
    }
}
