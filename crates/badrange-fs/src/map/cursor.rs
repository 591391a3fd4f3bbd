//! A sweep over one level, with a finger on the record at hand.

use core::ops::{ControlFlow, Range};

use badrange_core::Flow;

use super::{
    chunk::Chunk,
    directory::{Found, Position},
    leaf::Leaf,
    level::Level,
    raw::Raw,
};

/// The records of a level that end after `from` and begin before `end`, in order.
#[derive(Debug, Clone)]
pub(super) struct Cursor<'a> {
    level: &'a Level,
    chunk: Option<&'a Chunk>,
    c: usize,
    l: usize,
    leaf: Option<&'a Leaf>,
    /// The record to look at next, and the first one of the leaf that begins at `end` or later.
    at: usize,
    stop: usize,
    from: u64,
    end: u64,
}

impl<'a> Cursor<'a> {
    /// From the leaf of `from` on, into which no earlier record reaches.
    pub(super) fn new(level: &'a Level, found: Found<'a>, from: u64, end: u64) -> Self {
        let Found { position: (c, l), chunk, leaf, rank } = found;
        let stop = leaf.begun_after(rank, end);
        let at = leaf.first_reaching(rank);
        Self { level, chunk: Some(chunk), c, l, leaf: Some(leaf), at, stop, from, end }
    }

    /// From a leaf on.
    pub(super) fn enter(level: &'a Level, (c, l): Position, from: u64, end: u64) -> Self {
        let chunk = level.directory().chunk(c);
        let mut cursor = Self { level, chunk, c, l, leaf: None, at: 0, stop: 0, from, end };
        cursor.enter_leaf(l);
        cursor
    }

    /// From now on leaves out records that end before or at `from`, which only goes up.
    #[inline]
    pub(super) fn skip_to(&mut self, from: u64) {
        self.from = self.from.max(from);
    }

    /// Puts the finger on the first record of a leaf that may be asked for.
    fn enter_leaf(&mut self, l: usize) {
        let (from, end) = (self.from, self.end);
        self.l = l;
        self.leaf = self.chunk.filter(|chunk| chunk.fence(l) < end).and_then(|chunk| chunk.leaf(l));
        self.at = self.leaf.map_or(0, |leaf| leaf.first_reaching(leaf.rank(from)));
        self.stop = self.leaf.map_or(0, |leaf| leaf.begun(end));
    }

    /// The next leaf with a record that ends after `from`; none where that begins at `end`.
    fn next_leaf(&mut self) {
        let next = self.l.saturating_add(1);
        let here = self.chunk.and_then(|chunk| chunk.next_ending_after(next, self.from));
        if let Some(l) = here {
            return self.enter_leaf(l);
        }
        let directory = self.level.directory();
        let next = directory.next_ending_after(self.c.saturating_add(1), self.from);
        self.chunk = next.and_then(|c| {
            self.c = c;
            directory.chunk(c)
        });
        let first = self.chunk.and_then(|chunk| chunk.next_ending_after(0, self.from));
        self.enter_leaf(first.unwrap_or(0));
    }

    #[inline]
    pub(super) fn next(&mut self) -> Option<Raw> {
        loop {
            let leaf = self.leaf?;
            while self.at < self.stop {
                #[cfg(test)]
                super::visits::add(1);
                let raw = leaf.raw(self.at);
                let raw = raw.unwrap_or_else(|| Raw::unreadable("a leaf has what it counts"));
                // NO-OVERFLOW: an index of a small array.
                self.at = self.at.wrapping_add(1);
                if raw.end > self.from {
                    return Some(raw);
                }
            }
            self.leave(leaf);
        }
    }

    /// Goes on to the next leaf, if its records do not begin too late.
    fn leave(&mut self, leaf: &Leaf) {
        if self.stop < leaf.len() {
            self.leaf = None;
        } else {
            self.next_leaf();
        }
    }

    /// Calls `each` with all that [`Self::next`] would give; a loop per leaf. `from` may go up on
    /// the way: what ends before or at it is left out from then on.
    pub(super) fn try_each(
        &mut self,
        from: impl Fn() -> u64,
        mut each: impl FnMut(Raw) -> Flow,
    ) -> Flow {
        while let Some(leaf) = self.leaf {
            try_each(leaf, self.at..self.stop, &from, &mut each)?;
            self.from = from();
            self.leave(leaf);
        }
        ControlFlow::Continue(())
    }
}

/// Calls `each` with the records of a leaf that end after `from`.
#[inline]
pub(super) fn try_each(
    leaf: &Leaf,
    within: Range<usize>,
    from: impl Fn() -> u64,
    mut each: impl FnMut(Raw) -> Flow,
) -> Flow {
    leaf.try_each(within, |raw| {
        #[cfg(test)]
        super::visits::add(1);
        if raw.end > from() { each(raw) } else { ControlFlow::Continue(()) }
    })
}
