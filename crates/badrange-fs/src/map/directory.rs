//! The directory of one level: chunks in order, and a table that finds the chunk of a byte.

use core::ops::Range;
use std::sync::Arc;

use super::{
    chunk::{Chunk, LEAVES},
    leaf::{Leaf, RECORDS},
    lost,
    raw::Raw,
};

/// Chunks below one entry of `groups`.
const GROUP: usize = 64;
/// No chunk.
const NOWHERE: u32 = u32::MAX;

/// All chunks of a level, one array per field; see [`Chunk`] for fences and reaches.
#[derive(Debug, Clone, Default)]
pub(super) struct Directory {
    fences: Vec<u64>,
    ends: Vec<u64>,
    reaches: Vec<u64>,
    /// The greatest end of each group of chunks.
    groups: Vec<u64>,
    chunks: Vec<Arc<Chunk>>,
    /// Names of chunks that do not change as others come and go, and the chunk of each name:
    /// what [`Hints`] speak of.
    names: Vec<u32>,
    homes: Vec<u32>,
    table: Table,
    hints: Arc<Hints>,
}

impl Directory {
    pub(super) fn len(&self) -> usize {
        self.chunks.len()
    }

    #[inline]
    pub(super) fn chunk(&self, index: usize) -> Option<&Chunk> {
        self.chunks.get(index).map(|chunk| &**chunk)
    }

    /// The chunk to change, which is copied first if a snapshot has it too. [`Self::describe`]
    /// comes after.
    pub(super) fn chunk_mut(&mut self, index: usize) -> Option<&mut Chunk> {
        self.chunks.get_mut(index).map(Arc::make_mut)
    }

    #[inline]
    pub(super) fn fence(&self, index: usize) -> u64 {
        self.fences.get(index).copied().unwrap_or(u64::MAX)
    }

    /// The last chunk whose fence is at or before `at`; the first one where there is none.
    #[inline]
    pub(super) fn rank(&self, at: u64) -> usize {
        let (low, high) = self.table.bounds(at, self.len());
        // NO-OVERFLOW: indices.
        let between = self.fences.get(low.wrapping_add(1)..high.wrapping_add(1));
        let between = between.unwrap_or_default();
        let more = if between.len() <= 1 {
            usize::from(between.first().is_some_and(|fence| *fence <= at))
        } else if between.len() <= 8 {
            between.iter().map(|fence| usize::from(*fence <= at)).sum()
        } else {
            between.partition_point(|fence| *fence <= at)
        };
        #[cfg(test)]
        super::visits::add(between.len().min(8).saturating_add(1));
        low.wrapping_add(more)
    }

    /// The first chunk up to `last` that earlier records reach beyond `from` into; `last` and one
    /// where there is none.
    pub(super) fn first_reached(&self, last: usize, from: u64) -> usize {
        #[cfg(test)]
        super::visits::add(self.len().checked_ilog2().unwrap_or(0) as usize);
        let reaches = self.reaches.get(..=last).unwrap_or(&self.reaches);
        reaches.partition_point(|reach| *reach <= from)
    }

    /// The first chunk from `index` on with a record that ends after `from`.
    pub(super) fn next_ending_after(&self, index: usize, from: u64) -> Option<usize> {
        let first = |row: &[u64], start: usize, stop: usize| {
            let part = row.get(start..stop.min(row.len()))?;
            let found = part.iter().position(|end| *end > from);
            #[cfg(test)]
            super::visits::add(found.map_or(part.len(), |i| i.saturating_add(1)));
            found.map(|i| start.wrapping_add(i))
        };
        // NO-OVERFLOW: indices of arrays in memory, and their multiples.
        let stop = (index / GROUP).wrapping_add(1).wrapping_mul(GROUP);
        if let Some(found) = first(&self.ends, index, stop) {
            return Some(found);
        }
        let group = first(&self.groups, stop / GROUP, usize::MAX)?.wrapping_mul(GROUP);
        first(&self.ends, group, group.wrapping_add(GROUP))
    }

    /// Inserts a chunk at `index`; those from there on move up.
    pub(super) fn insert(&mut self, index: usize, chunk: Chunk) {
        self.fences.insert(index, chunk.fence(0));
        self.ends.insert(index, chunk.greatest_end());
        self.reaches.insert(index, chunk.reach(0));
        self.chunks.insert(index, Arc::new(chunk));
        // Beyond four billion chunks they have no name: no hint leads to them, and a search does.
        self.names.insert(index, u32::try_from(self.homes.len()).unwrap_or(NOWHERE));
        self.homes.push(NOWHERE);
    }

    /// Adds a chunk after all others. The table stays right, and is made anew as the set doubles.
    pub(super) fn push(&mut self, chunk: Chunk) {
        let (position, end) = (self.len(), chunk.greatest_end());
        self.insert(position, chunk);
        match self.groups.get_mut(position / GROUP) {
            Some(group) => *group = end.max(*group),
            None => self.groups.push(end),
        }
        if position >= self.table.chunks.saturating_mul(2) {
            self.index();
        }
    }

    /// Replaces a chunk by another. Its fence may be another one.
    pub(super) fn set(&mut self, index: usize, chunk: Chunk) {
        let moved = self.fence(index) != chunk.fence(0);
        let Some(slot) = self.chunks.get_mut(index) else {
            lost("a chunk that is replaced is there")
        };
        *slot = Arc::new(chunk);
        self.describe(index);
        if moved {
            self.index();
        }
    }

    pub(super) fn remove(&mut self, index: usize) {
        self.fences.remove(index);
        self.ends.remove(index);
        self.reaches.remove(index);
        self.chunks.remove(index);
        let name = self.names.remove(index);
        if let Some(home) = self.homes.get_mut(name as usize) {
            *home = NOWHERE;
        }
    }

    /// To be called after chunks were inserted or removed.
    pub(super) fn index(&mut self) {
        if self.homes.len() > self.hints.names.saturating_mul(5) / 4 {
            self.hint();
        }
        for (home, name) in (0..).zip(&self.names) {
            if let Some(slot) = self.homes.get_mut(*name as usize) {
                *slot = home;
            }
        }
        let greatest = |ends: &[u64]| ends.iter().copied().fold(0, u64::max);
        self.groups = self.ends.chunks(GROUP).map(greatest).collect();
        self.table = Table::new(&self.fences);
    }

    /// Numbers the chunks anew and finds the leaf of every part of the space.
    pub(super) fn hint(&mut self) {
        let count = u32::try_from(self.len()).unwrap_or(NOWHERE);
        self.names = (0..count).collect();
        self.homes = self.names.clone();
        self.hints = Arc::new(Hints::new(&self.chunks));
    }

    #[inline]
    pub(super) fn leaf(&self, (c, l): Position) -> Option<&Leaf> {
        self.chunk(c)?.leaf(l)
    }

    /// The last leaf whose fence is at or before `at`; the first one where there is none. Nearly
    /// always found without a search.
    #[inline]
    pub(super) fn find(&self, at: u64) -> Option<Found<'_>> {
        self.find_by(self.guess(at), at)
    }

    /// A guess, for [`Self::find_by`].
    #[inline]
    pub(super) fn guess(&self, at: u64) -> Guess {
        self.hints.at(at)
    }

    /// Reads what a guess leads to.
    #[inline]
    pub(super) fn touch(&self, guess: Guess) -> u64 {
        self.named(guess).map_or(0, |found| found.leaf.touch(found.rank))
    }

    /// What [`Self::find`] finds, from a guess on.
    // Worth a sixth of the instructions of a point, so that the next one can begin meanwhile.
    #[inline(always)]
    pub(super) fn find_by(&self, guess: Guess, at: u64) -> Option<Found<'_>> {
        if let Some(found) = self.named(guess) {
            let rank = found.leaf.rank_near(found.rank, at);
            if rank > 0 && rank < found.leaf.len() {
                return Some(Found { rank, ..found });
            }
        }
        self.search(guess, at)
    }

    /// The only record that may end after `from` and begins before `end`, where that is plain to
    /// see: nearly all points of files that share nothing.
    #[inline(always)] // as `find_by`
    pub(super) fn lone(&self, guess: Guess, from: u64, end: u64) -> Option<Raw> {
        let found = self.named(guess).filter(|found| found.leaf.reach() <= from)?;
        found.leaf.lone(found.rank, from, end)
    }

    /// The records of a leaf that may end after `from` and do begin before `end`, where no other
    /// leaf has any.
    // As `find_by`.
    #[inline(always)]
    pub(super) fn alone(&self, found: &Found<'_>, from: u64, end: u64) -> Option<Range<usize>> {
        let leaf = found.leaf;
        let stop = leaf.begun_after(found.rank, end);
        let alone = leaf.reach() <= from
            && (stop < leaf.len() || self.fence_after(found.chunk, found.position) >= end);
        alone.then(|| leaf.first_reaching(found.rank)..stop)
    }

    /// Where the next leaf begins; the end of the scale after the last.
    #[inline(never)]
    fn fence_after(&self, chunk: &Chunk, (c, l): Position) -> u64 {
        // NO-OVERFLOW: indices of arrays in memory.
        let within = l.wrapping_add(1);
        if within < chunk.len() { chunk.fence(within) } else { self.fence(c.wrapping_add(1)) }
    }

    /// The record that a guess names, if there is still one.
    #[inline]
    fn named(&self, guess: Guess) -> Option<Found<'_>> {
        let (name, l, rank) = guess.parts();
        let c = *self.homes.get(name)? as usize;
        let chunk = self.chunk(c)?;
        Some(Found { position: (c, l), chunk, leaf: chunk.leaf(l)?, rank })
    }

    /// For bytes behind the last beginning of a leaf, and for guesses that are out of date.
    #[inline(never)]
    fn search(&self, guess: Guess, at: u64) -> Option<Found<'_>> {
        let near = self.named(guess).and_then(|found| self.beyond(found, at));
        near.or_else(|| {
            let c = self.rank(at);
            let found = self.found((c, self.chunk(c)?.rank(at)))?;
            Some(Found { rank: found.leaf.rank(at), ..found })
        })
    }

    /// The position of a byte that is in this leaf, behind all beginnings, or in the next leaf.
    fn beyond<'a>(&'a self, here: Found<'a>, at: u64) -> Option<Found<'a>> {
        let ((c, l), chunk) = (here.position, here.chunk);
        if here.leaf.rank(at) < here.leaf.len() {
            return None;
        }
        if at < self.fence_after(chunk, here.position) {
            return Some(Found { rank: here.leaf.len(), ..here });
        }
        // NO-OVERFLOW: indices of arrays in memory.
        let (within, next) = (l.wrapping_add(1), c.wrapping_add(1));
        let position = if within < chunk.len() { (c, within) } else { (next, 0) };
        let found = self.found(position)?;
        let rank = found.leaf.rank(at);
        (rank < found.leaf.len()).then_some(Found { rank, ..found })
    }

    fn found(&self, (c, l): Position) -> Option<Found<'_>> {
        let chunk = self.chunk(c)?;
        Some(Found { position: (c, l), chunk, leaf: chunk.leaf(l)?, rank: 0 })
    }

    #[inline]
    pub(super) fn end(&self, index: usize) -> u64 {
        self.ends.get(index).copied().unwrap_or(0)
    }

    /// [`Self::describe`] for a chunk whose greatest end is still the same.
    pub(super) fn describe_fence(&mut self, index: usize) {
        let fence = self.chunk(index).map(|chunk| chunk.fence(0));
        if let Some((slot, fence)) = self.fences.get_mut(index).zip(fence) {
            *slot = fence;
        }
    }

    /// Notes down what a changed chunk looks like from outside.
    pub(super) fn describe(&mut self, index: usize) {
        let Some(chunk) = self.chunks.get(index) else {
            debug_assert!(false, "a chunk that has changed is there");
            return; // nothing is described, and nothing has changed
        };
        let news = [
            (&mut self.fences, chunk.fence(0)),
            (&mut self.ends, chunk.greatest_end()),
            (&mut self.reaches, chunk.reach(0)),
        ];
        for (row, value) in news {
            if let Some(slot) = row.get_mut(index) {
                *slot = value;
            }
        }
        let group = index / GROUP;
        let ends = self.ends.chunks(GROUP).nth(group).unwrap_or_default();
        if let Some(slot) = self.groups.get_mut(group) {
            *slot = ends.iter().copied().fold(0, u64::max);
        }
    }

    /// Bytes of memory with everything below.
    pub(super) fn memory(&self) -> usize {
        let Self { fences, ends, reaches, groups, chunks, names, homes, table, hints } = self;
        let rows = [fences, ends, reaches, groups].map(Vec::capacity);
        let halves = [names, homes, &table.slots].map(Vec::capacity);
        let halves = halves.iter().copied().fold(hints.slots.capacity(), usize::saturating_add);
        let words = rows.iter().copied().fold(chunks.capacity(), usize::saturating_add);
        let own = words.saturating_mul(8).saturating_add(halves.saturating_mul(4));
        chunks.iter().map(|chunk| chunk.memory()).fold(own, usize::saturating_add)
    }
}

/// The position of a leaf: chunk, leaf.
pub(super) type Position = (usize, usize);

/// The leaf of a byte, and how many of its records begin at or before the byte.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found<'a> {
    pub(super) position: Position,
    pub(super) chunk: &'a Chunk,
    pub(super) leaf: &'a Leaf,
    pub(super) rank: usize,
}

/// Where a record was when the hints were made: name of the chunk, leaf, index.
#[derive(Debug, Clone, Copy)]
pub(super) struct Guess(u32);

impl Guess {
    /// Leads nowhere where there are more chunks than names.
    fn new(name: usize, l: usize, index: usize) -> Self {
        let leaf = name.checked_mul(LEAVES).and_then(|name| name.checked_add(l));
        let all = leaf.and_then(|leaf| leaf.checked_mul(RECORDS)?.checked_add(index));
        Self(all.and_then(|all| u32::try_from(all).ok()).unwrap_or(NOWHERE))
    }

    #[inline]
    fn parts(self) -> (usize, usize, usize) {
        let all = self.0 as usize;
        let leaf = all / RECORDS;
        (leaf / LEAVES, leaf % LEAVES, all % RECORDS)
    }
}

/// Records for each slot of the hints: that many lie between the guess and the right one.
const RECORDS_PER_HINT: usize = 2;

/// Where the last record before a byte was when the hints were made: a table like [`Table`] with a
/// slot for every few records. Records move; who follows a hint looks whether it still leads to the
/// right position.
#[derive(Debug, Default)]
struct Hints {
    base: u64,
    shift: u32,
    slots: Vec<Guess>,
    /// How many names were known.
    names: usize,
}

impl Hints {
    fn new(chunks: &[Arc<Chunk>]) -> Self {
        let leaves = chunks
            .iter()
            .enumerate()
            .flat_map(|(c, chunk)| chunk.leaves().enumerate().map(move |(l, leaf)| (c, l, leaf)));
        let records = leaves.flat_map(|(c, l, leaf)| {
            leaf.raws().enumerate().map(move |(index, raw)| (raw.start, Guess::new(c, l, index)))
        });
        let count = chunks.iter().flat_map(|chunk| chunk.leaves()).map(Leaf::len).sum::<usize>();
        let start = |leaf: Option<&Leaf>, index: fn(&Leaf) -> usize| {
            leaf.and_then(|leaf| leaf.raw(index(leaf))).map_or(0, |raw| raw.start)
        };
        let base = start(chunks.first().and_then(|c| c.leaf(0)), |_| 0);
        let last = chunks.last().and_then(|chunk| chunk.leaf(chunk.len().saturating_sub(1)));
        let span = start(last, |leaf| leaf.len().saturating_sub(1)).saturating_sub(base);
        let (shift, parts) = cut(span, count / (4 * RECORDS_PER_HINT));
        let mut slots = Vec::with_capacity(usize::try_from(parts).unwrap_or(0).saturating_add(1));
        let mut before = Guess::new(0, 0, 0);
        for (start, guess) in records {
            // Parts that begin before this record are in the one before.
            // NO-OVERFLOW: no record begins before the first.
            while (slots.len() as u64).saturating_mul(1 << shift) < start.wrapping_sub(base) {
                slots.push(before);
            }
            before = guess;
        }
        slots.push(before);
        Self { base, shift, slots, names: chunks.len() }
    }

    #[inline]
    fn at(&self, at: u64) -> Guess {
        let part = usize::try_from(at.saturating_sub(self.base) >> self.shift);
        let slot = part.ok().and_then(|part| self.slots.get(part));
        slot.or(self.slots.last()).copied().unwrap_or(Guess(NOWHERE))
    }
}

/// How to cut a span into four to eight parts for each of `count` things: the shift, and the number
/// of the last part.
fn cut(span: u64, count: usize) -> (u32, u64) {
    let size = count.max(1).next_power_of_two().ilog2().saturating_add(2);
    let bits = u64::BITS.saturating_sub(span.leading_zeros());
    let shift = bits.saturating_sub(size);
    (shift, span.checked_shr(shift).unwrap_or(0))
}

/// Cuts the fences into equal parts and knows the last fence at or before the beginning of each:
/// a page table of one level whose size is that of the set, not that of the space.
#[derive(Debug, Clone, Default)]
struct Table {
    base: u64,
    shift: u32,
    slots: Vec<u32>,
    /// How many chunks there were. Later ones may stand behind them.
    chunks: usize,
}

impl Table {
    /// At most four slots for each fence.
    fn new(fences: &[u64]) -> Self {
        let (Some(first), Some(last)) = (fences.first(), fences.last()) else {
            return Self::default();
        };
        // NO-OVERFLOW: fences ascend.
        let span = last.wrapping_sub(*first);
        let (shift, parts) = cut(span, fences.len());
        let mut at = 0_usize;
        let slots = (0..=parts).map(|part| {
            // NO-OVERFLOW: the last part begins at or before the last fence.
            let begin = first.wrapping_add(part << shift);
            let passed = |at: usize| fences.get(at.wrapping_add(1)).is_some_and(|f| *f <= begin);
            while passed(at) {
                at = at.wrapping_add(1);
            }
            u32::try_from(at).unwrap_or(u32::MAX)
        });
        Self { base: *first, shift, slots: slots.collect(), chunks: fences.len() }
    }

    /// The chunk of `at` is not before the first and not after the second.
    #[inline]
    fn bounds(&self, at: u64, chunks: usize) -> (usize, usize) {
        let last = chunks.saturating_sub(1);
        let Some(by) = at.checked_sub(self.base) else { return (0, 0) };
        let part = usize::try_from(by >> self.shift).unwrap_or(usize::MAX);
        match self.slots.get(part..) {
            Some([low, high, ..]) => (*low as usize, *high as usize),
            Some([low]) => (*low as usize, last),
            _ => (self.chunks.saturating_sub(1), last),
        }
    }
}
