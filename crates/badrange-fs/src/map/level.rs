//! Records of similar length, in order: a directory of chunks of leaves.

use core::{cmp::Ordering, ops::Range};
use std::sync::Arc;

use smallvec::SmallVec;

use super::{
    chunk::{Chunk, Entry, LEAVES},
    cursor::Cursor,
    directory::Directory,
    leaf::{Form, Leaf, RECORDS, View},
    raw::{Raw, sort_key},
};

/// How full leaves and chunks are made when records come in order: room for later ones.
pub(super) const FULL_LEAF: usize = 28;
const FULL_CHUNK: usize = 56;
/// Leaves and chunks that hold less are joined with a neighbour, if both fit with room to spare.
const POOR_LEAF: usize = 8;
const POOR_CHUNK: usize = 8;

/// Room for the records of a leaf and one more; 36 is the next size there is.
type Raws = SmallVec<[Raw; 36]>;

/// One level of a tree. Copies share everything until one of them changes.
#[derive(Debug, Clone)]
pub(super) struct Level {
    form: Form,
    directory: Arc<Directory>,
    len: usize,
}

/// The place of a leaf: chunk, leaf.
pub(super) type Place = (usize, usize);

impl Level {
    pub(super) fn new(form: Form) -> Self {
        Self { form, directory: Arc::default(), len: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn form(&self) -> Form {
        self.form
    }

    #[inline]
    pub(super) fn directory(&self) -> &Directory {
        &self.directory
    }

    /// The records that end after `from` and begin before `end`, in order.
    #[inline]
    pub(super) fn sweep(&self, from: u64, end: u64) -> Cursor<'_> {
        Cursor::new(self, self.seek(from), from, end)
    }

    /// The first leaf that may hold a record that ends after `from`.
    #[inline]
    pub(super) fn seek(&self, from: u64) -> Place {
        self.seek_at(self.directory.leaf(from), from)
    }

    /// The same, for who knows the leaf whose fence is before `from` already.
    #[inline]
    pub(super) fn seek_at(&self, (c, l): Place, from: u64) -> Place {
        let reach = self.directory.chunk(c).map_or(0, |chunk| chunk.reach(l));
        if reach <= from { (c, l) } else { self.first_reaching(from, (c, l)) }
    }

    /// Whether [`Self::seek`] would give this place.
    #[inline]
    pub(super) fn is_in(&self, (c, l): Place, from: u64) -> bool {
        self.directory.chunk(c).is_some_and(|chunk| {
            // Past the last leaf of the chunk another one may be meant: that is looked up.
            let next = l.wrapping_add(1);
            next < chunk.len()
                && (chunk.fence(l)..chunk.fence(next)).contains(&from)
                && chunk.reach(l) <= from
        })
    }

    /// As long as fences are at or before `from`, reaches ascend: the first one beyond it is found
    /// by halving, however far back that is, and the leaf before is the one that reaches out.
    #[cold]
    fn first_reaching(&self, from: u64, (c, l): Place) -> Place {
        let reached = self.directory.first_reached(c, from);
        let Some(before) = reached.checked_sub(1) else { return (0, 0) };
        let Some(chunk) = self.directory.chunk(before) else { return (0, 0) };
        let last = if before == c { l } else { chunk.len().saturating_sub(1) };
        (before, chunk.first_reached(last, from).saturating_sub(1))
    }

    /// Adds records that come after all others, and in order.
    pub(super) fn append(&mut self, raws: &[Raw]) {
        for part in parts(self.form, raws, FULL_LEAF) {
            self.len = self.len.saturating_add(part.len());
            let mut entry = entry(self.form, part);
            let directory = Arc::make_mut(&mut self.directory);
            let last = directory.len().saturating_sub(1);
            let reach = last_reach(directory, last).filter(|reach| *reach > entry.fence);
            entry.reach = reach.unwrap_or(0);
            match directory.chunk_mut(last) {
                Some(chunk) if chunk.len() < FULL_CHUNK => {
                    chunk.push(entry);
                    directory.describe(last);
                }
                _ => directory.push(Chunk::new([entry])),
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
        let place = self.place_of(&raw);
        let found = self.view(place).map_or(Ok(0), |view| view.find(&raw));
        let Err(at) = found else { return false };
        self.change(place, at..at, &[raw]);
        true
    }

    /// Takes a record out; `false` if there is none.
    pub(super) fn remove(&mut self, raw: &Raw) -> bool {
        let place = self.place_of(raw);
        let found = self.view(place).and_then(|view| view.find(raw).ok());
        let Some(at) = found else { return false };
        self.change(place, at..at.saturating_add(1), &[]);
        true
    }

    /// Puts `news` in the place of neighbours `olds`, if both are in order, all of them are in one
    /// leaf, and no other record comes between; `false`, and nothing changed, if not.
    pub(super) fn swap(&mut self, olds: &[Raw], news: &[Raw]) -> bool {
        let (Some(first), Some(last)) = (olds.first(), news.last()) else { return false };
        let place = self.place_of(first);
        let Some(view) = self.view(place) else { return false };
        let Ok(at) = view.find(first) else { return false };
        let after = at.saturating_add(olds.len());
        let same = (at..after).zip(olds).all(|(at, old)| view.raw(at) == Some(*old));
        // The one after must come later, and it must be known: the leaf's last one may not be it.
        let before = |next: Raw| compare(last, &next).is_lt();
        let fits = view.raw(after).is_some_and(before)
            && news.is_sorted_by(|a, b| compare(a, b).is_lt())
            && news.first().is_some_and(|new| compare(first, new).is_le() || at > 0)
            && at
                .checked_sub(1)
                .and_then(|at| view.raw(at))
                .is_none_or(|raw| news.first().is_some_and(|new| compare(&raw, new).is_lt()));
        if !same || !fits {
            return false;
        }
        self.change(place, at..after, news);
        true
    }

    pub(super) fn contains(&self, raw: &Raw) -> bool {
        self.view(self.place_of(raw)).is_some_and(|view| view.find(raw).is_ok())
    }

    /// Puts `news` in the place of the records `cut` of a leaf.
    fn change(&mut self, place: Place, cut: Range<usize>, news: &[Raw]) {
        self.len = self.len.saturating_sub(cut.len()).saturating_add(news.len());
        if !self.change_leaf(place, &cut, news) {
            let mut raws: Raws = self.raws(place);
            raws.drain(cut.clone());
            raws.insert_many(cut.start, news.iter().copied());
            let directory = Arc::make_mut(&mut self.directory);
            rebuild(self.form, directory, place, &raws);
        }
    }

    /// The usual case: the leaf stays where it is and is not too full or too empty.
    fn change_leaf(&mut self, (c, l): Place, cut: &Range<usize>, news: &[Raw]) -> bool {
        let form = self.form;
        let directory = Arc::make_mut(&mut self.directory);
        let Some(chunk) = directory.chunk(c) else { return false };
        let fence = chunk.fence(l);
        let Some(view) = chunk.leaf(l).map(|leaf| leaf.view(form, fence)) else { return false };
        let len = view.len().saturating_sub(cut.len()).saturating_add(news.len());
        let poor = neighbour(form, chunk, l, len).is_some();
        if len == 0 || len > RECORDS || poor {
            return false;
        }
        // The first leaf of a chunk keeps its fence, because the tables know it.
        let first = news.first().filter(|_| cut.start == 0).copied();
        let first = first.or_else(|| view.raw(if cut.start == 0 { cut.end } else { 0 }));
        let Some(first) = first.map(|raw| raw.start) else { return false };
        let fence = if l == 0 { first.min(fence) } else { first };
        let Some((leaf, end)) = view.edit(fence, cut, news) else { return false };
        let whole = directory.end(c);
        let old = chunk.end(l);
        if let Some(entry) = directory.chunk_mut(c).and_then(|chunk| chunk.entry_mut(l)) {
            *entry = Entry { fence, end, leaf, ..*entry };
        }
        if old < whole && end <= whole {
            directory.describe_fence(c);
        } else {
            directory.describe(c);
        }
        refresh(directory, (c, l), 2);
        true
    }

    /// The leaf where a record is, or would be.
    fn place_of(&self, raw: &Raw) -> Place {
        let (c, l) = self.directory.leaf(raw.start);
        let fence = self.directory.chunk(c).map(|chunk| chunk.fence(l));
        let behind = self.first_of((c, l)).is_none_or(|first| compare(&first, raw).is_le());
        if behind || fence != Some(raw.start) {
            return (c, l);
        }
        // Others that begin at this byte may be in leaves before.
        let chunks = self.directory.len();
        let after = |c: usize| self.first_of((c, 0)).is_some_and(|f| compare(&f, raw).is_gt());
        let c = partition_point(chunks, |c| !after(c)).saturating_sub(1);
        let leaves = self.directory.chunk(c).map_or(0, Chunk::len);
        let after = |l: usize| self.first_of((c, l)).is_some_and(|f| compare(&f, raw).is_gt());
        (c, partition_point(leaves, |l| !after(l)).saturating_sub(1))
    }

    pub(super) fn view(&self, (c, l): Place) -> Option<View<'_>> {
        let chunk = self.directory.chunk(c)?;
        Some(chunk.leaf(l)?.view(self.form, chunk.fence(l)))
    }

    fn first_of(&self, place: Place) -> Option<Raw> {
        self.view(place)?.raw(0)
    }

    /// The record after all others.
    pub(super) fn last(&self) -> Option<Raw> {
        let c = self.directory.len().checked_sub(1)?;
        let l = self.directory.chunk(c)?.len().checked_sub(1)?;
        let view = self.view((c, l))?;
        view.raw(view.len().checked_sub(1)?)
    }

    fn raws(&self, place: Place) -> Raws {
        self.view(place).into_iter().flat_map(|view| view.from(0)).collect()
    }

    /// Bytes of memory.
    pub(super) fn memory(&self) -> usize {
        self.directory.memory()
    }
}

/// The neighbour that a leaf of so few records should be joined with.
fn neighbour(form: Form, chunk: &Chunk, l: usize, records: usize) -> Option<usize> {
    let fits = |l: &usize| {
        let len = chunk.leaf(*l).map(|leaf| leaf.view(form, 0).len());
        len.is_some_and(|len| len.saturating_add(records) <= FULL_LEAF)
    };
    if records >= POOR_LEAF {
        return None;
    }
    Some(l.saturating_add(1)).filter(fits).or_else(|| l.checked_sub(1).filter(fits))
}

/// Puts other leaves in the place of one, and splits, joins or drops its chunk if need be.
fn rebuild(form: Form, directory: &mut Directory, (c, l): Place, raws: &Raws) {
    let Some(chunk) = directory.chunk(c) else { return };
    let mut entries: Vec<Entry> = chunk.entries().to_vec();
    let other = neighbour(form, chunk, l, raws.len());
    let theirs = other.and_then(|l| Some(chunk.leaf(l)?.view(form, chunk.fence(l))));
    let theirs = theirs.into_iter().flat_map(|view| view.from(0));
    let ours = raws.iter().copied();
    let joined: Raws = match other {
        Some(before) if before < l => theirs.chain(ours).collect(),
        _ => ours.chain(theirs).collect(),
    };
    let (first, last) = (l.min(other.unwrap_or(l)), l.max(other.unwrap_or(l)));
    let news = parts(form, &joined, RECORDS).into_iter().map(|part| entry(form, part));
    entries.splice(first..=last, news);
    put(directory, c, entries);
}

/// Puts leaves in the place of those of a chunk.
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
    // The neighbour after it is at its place now.
    if let Some(next) = directory.chunk(c).filter(|next| next.len() <= room) {
        entries.extend_from_slice(next.entries());
        directory.remove(c);
        return c;
    }
    let Some(before) = c.checked_sub(1) else { return c };
    if let Some(chunk) = directory.chunk(before).filter(|chunk| chunk.len() <= room) {
        entries.splice(0..0, chunk.entries().iter().cloned());
        directory.remove(before);
        return before;
    }
    c
}

/// Works the reaches of `count` leaves from a place on out, and of those after them as far as
/// they change.
fn refresh(directory: &mut Directory, (mut c, mut l): Place, mut count: usize) {
    loop {
        let Some(chunk) = directory.chunk(c) else { return };
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
            if let Some(entry) = directory.chunk_mut(c).and_then(|chunk| chunk.entry_mut(l)) {
                entry.reach = reach;
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

/// Cuts records into leaves: in halves while there are too many, and where they lie too far apart
/// for their form.
fn parts(form: Form, raws: &[Raw], most: usize) -> SmallVec<[&[Raw]; 4]> {
    let mut rest = raws;
    let mut parts = SmallVec::new();
    while let Some(first) = rest.first() {
        let near = rest.partition_point(|raw| raw.start.wrapping_sub(first.start) <= form.reach());
        let count = if raws.len() > most { raws.len().div_ceil(2) } else { most };
        let (part, after) = rest.split_at(near.min(count).min(rest.len()));
        parts.push(part);
        rest = after;
    }
    parts
}

fn entry(form: Form, raws: &[Raw]) -> Entry {
    let fence = raws.first().map_or(u64::MAX, |raw| raw.start);
    let end = raws.iter().map(|raw| raw.end).fold(0, u64::max);
    Entry { fence, end, reach: 0, leaf: Leaf::pack(form, fence, raws) }
}

/// In the order of the map.
#[inline]
pub(super) fn compare(a: &Raw, b: &Raw) -> Ordering {
    if a.start == b.start { compare_same_start(a, b) } else { a.start.cmp(&b.start) }
}

#[cold]
fn compare_same_start(a: &Raw, b: &Raw) -> Ordering {
    match (a.record(), b.record()) {
        (Some(a), Some(b)) => sort_key(&a).cmp(&sort_key(&b)),
        _ => Ordering::Equal,
    }
}

/// The first index below `len` that is not `in_front`, as for slices.
fn partition_point(len: usize, in_front: impl Fn(usize) -> bool) -> usize {
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
