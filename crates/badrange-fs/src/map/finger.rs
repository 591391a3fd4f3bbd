//! A finger on the elements of a piece, for records that come in ascending order.

use badrange_core::{DevOffset, Extent, Piece, Space};

/// The element at hand: the first one that ends after the beginning of the record looked at last.
pub(super) struct Finger<'p> {
    piece: &'p Piece<DevOffset>,
    index: u64,
    start: u64,
    end: u64,
    stride: u64,
}

/// What a record and the elements from the finger on have in common.
pub(super) enum Meets {
    /// Nothing: it ends before this byte, where the next element begins.
    Before(u64),
    /// A part of one element, or several whole ones.
    One(Piece<DevOffset>),
    /// Parts of several elements, not all of them whole.
    Many,
    /// Nothing, and later records neither: all elements are behind.
    Nothing,
}

impl<'p> Finger<'p> {
    pub(super) fn new(piece: &'p Piece<DevOffset>) -> Self {
        let run = piece.here();
        let (start, end) = (run.first().start().get(), run.first().end().get());
        Self { piece, index: 0, start, end, stride: run.stride() }
    }

    /// Moves on to the first element that ends after `start`; `false` when there is none.
    #[inline]
    fn advance(&mut self, start: u64) -> bool {
        let Some(past) = start.checked_sub(self.end) else { return true };
        // A step or a leap: a division takes as long as several steps.
        self.index = if past < self.stride {
            self.index.saturating_add(1)
        } else {
            self.piece.here().first_ending_after(DevOffset::new(start))
        };
        let Some(element) = self.piece.here().element(self.index) else { return false };
        (self.start, self.end) = (element.start().get(), element.end().get());
        true
    }

    /// What the record `[start, end)` has in common with the elements.
    #[inline]
    pub(super) fn meet(&mut self, start: u64, end: u64) -> Meets {
        if !self.advance(start) {
            return Meets::Nothing;
        }
        if end <= self.start {
            return Meets::Before(self.start);
        }
        let beyond = self.start.checked_add(self.stride).is_some_and(|next| next < end);
        // NO-OVERFLOW: an index and one.
        if beyond && self.index.wrapping_add(1) < self.piece.here().count() {
            return self.whole(start, end).map_or(Meets::Many, Meets::One);
        }
        self.part(start.max(self.start), end.min(self.end)).map_or(Meets::Many, Meets::One)
    }

    /// The elements that the record `[start, end)` meets, if it covers all of each.
    #[inline]
    fn whole(&self, start: u64, end: u64) -> Option<Piece<DevOffset>> {
        let run = self.piece.here();
        let stop = run.first_ending_after(DevOffset::new(end));
        // The one behind has to begin behind it, too.
        let apart = run.element(stop).is_none_or(|next| next.start().get() >= end);
        (start <= self.start && apart).then(|| self.piece.slice(self.index..stop))?
    }

    /// Bytes of the element at hand, with their origin.
    fn part(&self, start: u64, end: u64) -> Option<Piece<DevOffset>> {
        let here = Extent::from_bounds(DevOffset::new(start), DevOffset::new(end)).ok()?;
        let origin = self.piece.origin().element(self.index)?;
        let from = origin.start().checked_add(start.checked_sub(self.start)?)?;
        Piece::new(here.into(), Extent::new(from, here.len()).ok()?.into()).ok()
    }
}
