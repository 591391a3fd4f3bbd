//! Records of similar length, in order: a directory of chunks of leaves.

use core::{
    cmp::Ordering,
    ops::{ControlFlow, Range},
};
use std::sync::Arc;

use badrange_core::Flow;

use super::{
    chunk::{Chunk, Entry, LEAVES},
    cursor::{Cursor, try_each},
    directory::{Directory, Found, Guess, Position},
    leaf::{Leaf, RECORDS, Raws},
    lost,
    raw::{Raw, sort_key},
};

/// How full leaves and chunks are made when records come in order: room for later ones.
pub(super) const FULL_LEAF: usize = 120;
const FULL_CHUNK: usize = 56;
/// Leaves and chunks that hold less are joined with a neighbour, if both fit with room to spare.
const POOR_LEAF: usize = 56;
const POOR_CHUNK: usize = 8;

/// One level of a tree. Copies share everything until one of them changes.
#[derive(Debug, Clone, Default)]
pub(super) struct Level {
    directory: Arc<Directory>,
    len: usize,
}

impl Level {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(super) fn directory(&self) -> &Directory {
        &self.directory
    }

    /// The records that end after `from` and begin before `end`, in order.
    pub(super) fn sweep(&self, from: u64, end: u64) -> Cursor<'_> {
        self.sweep_at(self.directory.find(from), from, end)
    }

    fn sweep_at<'a>(&'a self, found: Option<Found<'a>>, from: u64, end: u64) -> Cursor<'a> {
        match found {
            Some(found) if found.leaf.reach() <= from => Cursor::new(self, found, from, end),
            // Records of earlier leaves reach into this one.
            Some(found) => {
                Cursor::enter(self, self.first_reaching(from, found.position), from, end)
            }
            None => Cursor::enter(self, (0, 0), from, end),
        }
    }

    /// Calls `each` with what [`Self::sweep`] would give, for who found the leaf of `from` already.
    /// `from` may go up on the way: what ends before or at it is left out from then on.
    #[inline]
    pub(super) fn try_each<'a>(
        &'a self,
        found: Option<Found<'a>>,
        from: impl Fn() -> u64,
        end: u64,
        each: impl FnMut(Raw) -> Flow,
    ) -> Flow {
        let alone =
            |found: Found<'a>| Some((found.leaf, self.directory.alone(&found, from(), end)?));
        match found.and_then(alone) {
            Some((leaf, within)) => try_each(leaf, within, &from, each),
            None => self.sweep_at(found, from(), end).try_each(from, each),
        }
    }

    /// The same for who has a guess where `from` is.
    #[inline(always)] // as `Directory::find_by`
    pub(super) fn try_each_by(
        &self,
        guess: Guess,
        from: impl Fn() -> u64,
        end: u64,
        mut each: impl FnMut(Raw) -> Flow,
    ) -> Flow {
        if let Some(raw) = self.directory.lone(guess, from(), end) {
            return if raw.end > from() { each(raw) } else { ControlFlow::Continue(()) };
        }
        self.try_each(self.directory.find_by(guess, from()), from, end, each)
    }

    /// As long as fences are at or before `from`, reaches ascend: the first one beyond it is found
    /// by halving, however far back that is, and the leaf before is the one that reaches out.
    #[cold]
    fn first_reaching(&self, from: u64, (c, l): Position) -> Position {
        let reached = self.directory.first_reached(c, from);
        // Nothing reaches into the first leaf, so that there is one before. From the very first
        // leaf on, every byte's records are found, too.
        let before = reached.checked_sub(1).and_then(|c| Some((c, self.directory.chunk(c)?)));
        let Some((before, chunk)) = before else {
            debug_assert!(false, "nothing reaches into the first leaf");
            return (0, 0);
        };
        let last = if before == c { l } else { chunk.len().saturating_sub(1) };
        (before, chunk.first_reached(last, from).saturating_sub(1))
    }

    /// Adds records that come after all others, and in order.
    pub(super) fn append(&mut self, raws: &[Raw]) {
        for entry in Entry::pack_all(raws, FULL_LEAF) {
            self.len = self.len.saturating_add(entry.len());
            let directory = Arc::make_mut(&mut self.directory);
            let last = directory.len().saturating_sub(1);
            let fence = entry.fence();
            let reach = last_reach(directory, last).filter(|reach| *reach > fence).unwrap_or(0);
            match directory.chunk_mut(last) {
                Some(chunk) if chunk.len() < FULL_CHUNK => {
                    chunk.push(entry);
                    chunk.set_reach(chunk.len().saturating_sub(1), reach);
                    directory.describe(last);
                }
                _ => {
                    let mut chunk = Chunk::new([entry]);
                    chunk.set_reach(0, reach);
                    directory.push(chunk);
                }
            }
        }
    }

    /// To be called after records were appended: finds them as fast as it can be.
    pub(super) fn index(&mut self) {
        let directory = Arc::make_mut(&mut self.directory);
        directory.hint();
        directory.index();
    }

    /// Adds a record; `false` if there is an equal one.
    pub(super) fn insert(&mut self, raw: Raw) -> bool {
        if self.len == 0 {
            self.append(&[raw]);
            return true;
        }
        let (position, Err(at)) = self.locate(&raw) else { return false };
        self.change(position, at..at, &[raw]);
        true
    }

    /// Takes a record out; `false` if there is none.
    pub(super) fn remove(&mut self, raw: &Raw) -> bool {
        let (position, Ok(at)) = self.locate(raw) else { return false };
        self.change(position, at..at.saturating_add(1), &[]);
        true
    }

    /// Replaces neighbours `olds` by `news`, if both are in order, all of them are in one
    /// leaf, and no other record comes between; `false`, and nothing changed, if not.
    pub(super) fn swap(&mut self, olds: &[Raw], news: &[Raw]) -> bool {
        // For none there is nothing to swap, and one that is not there cannot be swapped.
        let (Some(first), Some(last)) = (olds.first(), news.last()) else { return false };
        let (position, Ok(at)) = self.locate(first) else { return false };
        let Some(leaf) = self.leaf(position) else { lost("a record that was found is in a leaf") };
        let after = at.saturating_add(olds.len());
        let same = (at..after).zip(olds).all(|(at, old)| leaf.raw(at) == Some(*old));
        // The one after must come later, and it must be known: the leaf's last one may not be it.
        let before = |next: Raw| compare(last, &next).is_lt();
        let fits = leaf.raw(after).is_some_and(before)
            && news.is_sorted_by(|a, b| compare(a, b).is_lt())
            && news.first().is_some_and(|new| compare(first, new).is_le() || at > 0)
            && at
                .checked_sub(1)
                .and_then(|at| leaf.raw(at))
                .is_none_or(|raw| news.first().is_some_and(|new| compare(&raw, new).is_lt()));
        if !same || !fits {
            return false;
        }
        self.change(position, at..after, news);
        true
    }

    pub(super) fn contains(&self, raw: &Raw) -> bool {
        self.locate(raw).1.is_ok()
    }

    /// Replaces the records `cut` by `news` of a leaf.
    fn change(&mut self, position: Position, cut: Range<usize>, news: &[Raw]) {
        self.len = self.len.saturating_sub(cut.len()).saturating_add(news.len());
        if !self.change_leaf(position, &cut, news) {
            let mut raws: Raws = self.leaf(position).into_iter().flat_map(Leaf::raws).collect();
            raws.drain(cut.clone());
            raws.insert_many(cut.start, news.iter().copied());
            rebuild(Arc::make_mut(&mut self.directory), position, &raws);
        }
    }

    /// The usual case: the leaf stays where it is and is not too full or too empty.
    fn change_leaf(&mut self, (c, l): Position, cut: &Range<usize>, news: &[Raw]) -> bool {
        let directory = Arc::make_mut(&mut self.directory);
        let whole = directory.end(c);
        // Where a chunk or a leaf is not there, `rebuild` says so.
        let Some(chunk) = directory.chunk_mut(c) else { return false };
        let len = chunk.leaf(l).map_or(0, Leaf::len);
        let len = len.saturating_sub(cut.len()).saturating_add(news.len());
        if len == 0 || neighbour(chunk, l, len).is_some() {
            return false;
        }
        let Some((leaf, mark)) = chunk.leaf_mut(l) else { return false };
        if !leaf.edit(cut, news) {
            return false;
        }
        // The first leaf of a chunk keeps its fence, because the tables know it.
        let first = leaf.raw(0).map_or(mark.fence, |raw| raw.start);
        mark.fence = if l == 0 { first.min(mark.fence) } else { first };
        let old = core::mem::replace(&mut mark.end, leaf.end());
        if old < whole && mark.end <= whole {
            directory.describe_fence(c);
        } else {
            directory.describe(c);
        }
        refresh(directory, (c, l), 2);
        true
    }

    /// The leaf where a record is, or would be, and its position there.
    fn locate(&self, raw: &Raw) -> (Position, Result<usize, usize>) {
        // In an empty level nothing is found.
        let Some(found) = self.directory.find(raw.start) else { return ((0, 0), Err(0)) };
        let index = found.leaf.find(found.rank, raw);
        if index == Err(0) && found.rank > 0 {
            // Others that begin at this byte may be in leaves before.
            return self.locate_among(raw);
        }
        (found.position, index)
    }

    /// The same, where many records begin at one byte.
    #[cold]
    fn locate_among(&self, raw: &Raw) -> (Position, Result<usize, usize>) {
        let chunks = self.directory.len();
        let after = |c: usize| self.first_of((c, 0)).is_some_and(|f| compare(&f, raw).is_gt());
        let c = partition_point(chunks, |c| !after(c)).saturating_sub(1);
        let leaves = self.directory.chunk(c).map_or(0, Chunk::len); // none in an empty level
        let after = |l: usize| self.first_of((c, l)).is_some_and(|f| compare(&f, raw).is_gt());
        let position = (c, partition_point(leaves, |l| !after(l)).saturating_sub(1));
        let find = |leaf: &Leaf| leaf.find(leaf.rank(raw.start), raw);
        let Some(leaf) = self.leaf(position) else { lost("a level that is not empty has leaves") };
        (position, find(leaf))
    }

    #[inline]
    pub(super) fn leaf(&self, position: Position) -> Option<&Leaf> {
        self.directory.leaf(position)
    }

    /// The leaf of a level that has no other.
    #[inline]
    pub(super) fn whole(&self) -> Option<&Leaf> {
        let first = self.leaf((0, 0))?;
        (first.len() == self.len).then_some(first)
    }

    fn first_of(&self, position: Position) -> Option<Raw> {
        self.leaf(position)?.raw(0)
    }

    /// Bytes of memory.
    pub(super) fn memory(&self) -> usize {
        self.directory.memory()
    }
}

/// The neighbour that a leaf of so few records should be joined with.
fn neighbour(chunk: &Chunk, l: usize, records: usize) -> Option<usize> {
    let fits = |l: &usize| {
        let len = chunk.leaf(*l).map(Leaf::len);
        len.is_some_and(|len| len.saturating_add(records) <= FULL_LEAF)
    };
    if records >= POOR_LEAF {
        return None;
    }
    Some(l.saturating_add(1)).filter(fits).or_else(|| l.checked_sub(1).filter(fits))
}

/// Replaces one leaf by others, and splits, joins or drops its chunk if need be.
fn rebuild(directory: &mut Directory, (c, l): Position, raws: &[Raw]) {
    let Some(chunk) = directory.chunk(c) else { lost("a leaf that changes is in a chunk") };
    let mut entries = chunk.entries();
    let other = neighbour(chunk, l, raws.len());
    let theirs = other.and_then(|l| chunk.leaf(l)).into_iter().flat_map(Leaf::raws);
    let ours = raws.iter().copied();
    let joined: Raws = match other {
        Some(before) if before < l => theirs.chain(ours).collect(),
        _ => ours.chain(theirs).collect(),
    };
    let (first, last) = (l.min(other.unwrap_or(l)), l.max(other.unwrap_or(l)));
    entries.splice(first..=last, Entry::pack_all(&joined, RECORDS));
    put(directory, c, entries);
}

/// Replaces the leaves of a chunk.
fn put(directory: &mut Directory, c: usize, mut entries: Vec<Entry>) {
    let joins = entries.len() < POOR_CHUNK && directory.len() > 1;
    if !joins && entries.len() <= LEAVES && !entries.is_empty() {
        let leaves = entries.len();
        directory.set(c, Chunk::new(entries));
        return refresh(directory, (c, 0), leaves.saturating_add(1));
    }
    let first = join_chunks(directory, c, &mut entries);
    let most = if entries.len() > LEAVES { entries.len().div_ceil(2) } else { LEAVES };
    let mut at = first;
    let mut leaves = entries.len();
    let mut entries = entries.into_iter().peekable();
    while entries.peek().is_some() {
        directory.insert(at, Chunk::new(entries.by_ref().take(most)));
        at = at.saturating_add(1);
    }
    directory.index();
    // What comes after may have lost what reached into it.
    leaves = leaves.saturating_add(1);
    refresh(directory, (first, 0), leaves);
}

/// Takes the chunk out of the directory, and its neighbour too where both are poor: their leaves
/// are in `entries` then. Returns where they belong.
fn join_chunks(directory: &mut Directory, c: usize, entries: &mut Vec<Entry>) -> usize {
    directory.remove(c);
    if entries.len() >= POOR_CHUNK {
        return c;
    }
    let room = FULL_CHUNK.saturating_sub(entries.len());
    // The neighbour after it is at its index now.
    if let Some(next) = directory.chunk(c).filter(|next| next.len() <= room) {
        entries.extend(next.entries());
        directory.remove(c);
        return c;
    }
    let Some(before) = c.checked_sub(1) else { return c };
    if let Some(chunk) = directory.chunk(before).filter(|chunk| chunk.len() <= room) {
        entries.splice(0..0, chunk.entries());
        directory.remove(before);
        return before;
    }
    c
}

/// Works out the reaches of `count` leaves from a position on, and of those after them as far as
/// they change.
fn refresh(directory: &mut Directory, (mut c, mut l): Position, mut count: usize) {
    loop {
        let Some(chunk) = directory.chunk(c) else { return }; // that was the last one
        if l >= chunk.len() {
            (c, l) = (c.saturating_add(1), 0);
            continue;
        }
        let carry = match l.checked_sub(1) {
            Some(before) => Some(chunk.reach(before).max(chunk.end(before))),
            None => c.checked_sub(1).and_then(|before| last_reach(directory, before)),
        };
        let reach = carry.filter(|carry| *carry > chunk.fence(l)).unwrap_or(0);
        if chunk.reach(l) != reach {
            if let Some(chunk) = directory.chunk_mut(c) {
                chunk.set_reach(l, reach);
            }
            if l == 0 {
                directory.describe(c);
            }
        } else if count == 0 {
            return;
        }
        count = count.saturating_sub(1);
        l = l.saturating_add(1);
    }
}

/// How far the records of a chunk and of all before it reach.
fn last_reach(directory: &Directory, c: usize) -> Option<u64> {
    let chunk = directory.chunk(c)?;
    let last = chunk.len().checked_sub(1)?;
    Some(chunk.reach(last).max(chunk.end(last)))
}

/// In the order of the map.
#[inline]
pub(super) fn compare(a: &Raw, b: &Raw) -> Ordering {
    if a.start == b.start { compare_same_start(a, b) } else { a.start.cmp(&b.start) }
}

#[cold]
fn compare_same_start(a: &Raw, b: &Raw) -> Ordering {
    sort_key(&a.record()).cmp(&sort_key(&b.record()))
}

/// The first index below `len` that is not `in_front`, as for slices.
pub(super) fn partition_point(len: usize, in_front: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, len);
    while low < high {
        let middle = usize::midpoint(low, high);
        if in_front(middle) {
            low = middle.saturating_add(1);
        } else {
            high = middle;
        }
    }
    low
}
