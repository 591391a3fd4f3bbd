//! A finger on the elements of a run, for records that come in ascending order.

use badrange_core::{DevOffset, Extent, Run};

/// The element at hand: the first one that ends after the beginning of the record looked at last.
pub(super) struct Finger<'r> {
    run: &'r Run,
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
    One(Run),
    /// Parts of several elements, not all of them whole.
    Many,
    /// Nothing, and later records neither: all elements are behind.
    Nothing,
}

impl<'r> Finger<'r> {
    pub(super) fn new(run: &'r Run) -> Self {
        let (start, end) = (run.first().start().get(), run.first().end().get());
        Self { run, index: 0, start, end, stride: run.stride() }
    }

    /// Moves on to the first element that ends after `start`; `false` when there is none.
    #[inline]
    fn advance(&mut self, start: u64) -> bool {
        let Some(past) = start.checked_sub(self.end) else { return true };
        // A step or a leap: a division takes as long as several steps.
        self.index = if past < self.stride {
            self.index.saturating_add(1)
        } else {
            self.run.first_ending_after(DevOffset::new(start))
        };
        let Some(element) = self.run.element(self.index) else { return false };
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
        if beyond && self.index.wrapping_add(1) < self.run.count() {
            return self.whole(start, end).map_or(Meets::Many, Meets::One);
        }
        let part = (DevOffset::new(start.max(self.start)), DevOffset::new(end.min(self.end)));
        // `Many` is the general case: right for any record, and slower.
        Extent::from_bounds(part.0, part.1).map_or(Meets::Many, |part| Meets::One(part.into()))
    }

    /// The elements that the record `[start, end)` meets, if it covers all of each.
    #[inline]
    fn whole(&self, start: u64, end: u64) -> Option<Run> {
        let stop = self.run.first_ending_after(DevOffset::new(end));
        // The one behind has to begin behind it, too.
        let apart = self.run.element(stop).is_none_or(|next| next.start().get() >= end);
        (start <= self.start && apart).then(|| self.run.slice(self.index..stop))?
    }
}
