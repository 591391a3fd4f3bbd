//! A sweep over one level, with a finger on the record at hand.

use core::{cell::Cell, ops::ControlFlow};

use super::{
    chunk::Chunk,
    leaf::View,
    level::{Level, Place},
    raw::Raw,
};

/// The records of a level that end after `from` and begin before `end`, in order.
#[derive(Debug, Clone)]
pub(super) struct Cursor<'a> {
    level: &'a Level,
    chunk: Option<&'a Chunk>,
    c: usize,
    l: usize,
    view: Option<View<'a>>,
    /// The record to look at next.
    at: usize,
    from: u64,
    end: u64,
}

impl<'a> Cursor<'a> {
    #[inline]
    pub(super) fn new(level: &'a Level, (c, l): Place, from: u64, end: u64) -> Self {
        let chunk = level.directory().chunk(c);
        let mut cursor = Self { level, chunk, c, l, view: None, at: 0, from, end };
        cursor.enter(l);
        cursor
    }

    /// From now on leaves out records that end before or at `from`, which only goes up.
    #[inline]
    pub(super) fn skip_to(&mut self, from: u64) {
        self.from = self.from.max(from);
    }

    /// Puts the finger on the first record of a leaf that may be asked for.
    #[inline]
    fn enter(&mut self, l: usize) {
        self.l = l;
        self.view = self.chunk.and_then(|chunk| {
            let fence = chunk.fence(l);
            if fence >= self.end {
                return None;
            }
            Some(chunk.leaf(l)?.view(self.level.form(), fence))
        });
        self.at = self.view.as_ref().map_or(0, |view| view.first_reaching(self.from));
    }

    /// A word of the record at the finger, for its memory to be read.
    #[inline]
    pub(super) fn touch(&self) -> u32 {
        self.view.as_ref().map_or(0, |view| view.touch(self.at))
    }

    /// The next leaf with a record that ends after `from`; none where that begins at `end`.
    fn next_leaf(&mut self) {
        let next = self.l.saturating_add(1);
        let here = self.chunk.and_then(|chunk| chunk.next_ending_after(next, self.from));
        if let Some(l) = here {
            return self.enter(l);
        }
        let directory = self.level.directory();
        let next = directory.next_ending_after(self.c.saturating_add(1), self.from);
        self.chunk = next.and_then(|c| {
            self.c = c;
            directory.chunk(c)
        });
        let first = self.chunk.and_then(|chunk| chunk.next_ending_after(0, self.from));
        self.enter(first.unwrap_or(0));
    }

    #[inline]
    pub(super) fn next(&mut self) -> Option<Raw> {
        loop {
            let view = self.view.as_ref()?;
            while let Some(raw) = view.raw(self.at) {
                #[cfg(test)]
                super::visits::add(1);
                if raw.start >= self.end {
                    self.view = None;
                    return None;
                }
                // NO-OVERFLOW: an index of a small array.
                self.at = self.at.wrapping_add(1);
                if raw.end > self.from {
                    return Some(raw);
                }
            }
            self.next_leaf();
        }
    }

    /// Calls `each` with all that [`Self::next`] would give; a loop per leaf. `from` may go up on
    /// the way: what ends before or at it is left out from then on.
    #[inline]
    pub(super) fn try_each(
        &mut self,
        from: &Cell<u64>,
        mut each: impl FnMut(Raw) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        while let Some(view) = self.view {
            let end = self.end;
            let mut over = false;
            let each_within = |raw: Raw| {
                #[cfg(test)]
                super::visits::add(1);
                over = raw.start >= end;
                if over {
                    return ControlFlow::Break(ControlFlow::Continue(()));
                }
                if raw.end > from.get() {
                    return each(raw).map_break(ControlFlow::Break);
                }
                ControlFlow::Continue(())
            };
            if let ControlFlow::Break(told) = view.try_each(self.at, each_within) {
                told?;
            }
            if over {
                break;
            }
            self.from = from.get();
            self.next_leaf();
        }
        ControlFlow::Continue(())
    }
}
