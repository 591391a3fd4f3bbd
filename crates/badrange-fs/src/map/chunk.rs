//! A block of the directory: what is known of up to 64 leaves without looking into them.

use std::sync::Arc;

use smallvec::SmallVec;

use super::{leaf::Leaf, lost, raw::Raw};

/// The most leaves of a chunk.
pub(super) const LEAVES: usize = 64;

/// What the directory knows of a leaf.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    /// Where its first record begins; in the first leaf of a chunk it may be before that.
    pub(super) fence: u64,
    /// The greatest end of its records.
    pub(super) end: u64,
    /// [`Leaf::reach`], for searches over many leaves.
    reach: u64,
}

/// A leaf and its mark.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    mark: Mark,
    leaf: Arc<Leaf>,
}

impl Entry {
    /// Of the first of records in order; see [`Leaf::pack`] for how many and the rest.
    pub(super) fn pack(raws: &[Raw], most: usize) -> (Self, &[Raw]) {
        let (leaf, rest) = Leaf::pack(raws, most);
        let mark = Mark { fence: leaf.base(), end: leaf.end(), reach: 0 };
        (Self { mark, leaf: Arc::new(leaf) }, rest)
    }

    /// Of all records in order.
    pub(super) fn pack_all(mut raws: &[Raw], most: usize) -> SmallVec<[Self; 4]> {
        let mut entries = SmallVec::new();
        while !raws.is_empty() {
            let (entry, rest) = Self::pack(raws, most);
            entries.push(entry);
            raws = rest;
        }
        entries
    }

    /// How many records it has.
    pub(super) fn len(&self) -> usize {
        self.leaf.len()
    }

    pub(super) fn fence(&self) -> u64 {
        self.mark.fence
    }
}

/// Leaves that follow one another. They stand apart from their marks: a query that knows its leaf
/// needs no mark, and finds the leaf with one look.
#[derive(Debug, Clone)]
pub(super) struct Chunk {
    leaves: [Option<Arc<Leaf>>; LEAVES],
    marks: SmallVec<[Mark; LEAVES]>,
}

impl Chunk {
    /// At most [`LEAVES`] leaves in order.
    pub(super) fn new(entries: impl IntoIterator<Item = Entry>) -> Self {
        let mut chunk = Self { leaves: [const { None }; LEAVES], marks: SmallVec::new() };
        entries.into_iter().for_each(|entry| chunk.push(entry));
        chunk
    }

    pub(super) fn push(&mut self, entry: Entry) {
        let Some(slot) = self.leaves.get_mut(self.marks.len()) else {
            lost("a chunk has room for the leaf it is given")
        };
        *slot = Some(entry.leaf);
        self.marks.push(entry.mark);
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.marks.len()
    }

    #[inline]
    fn mark(&self, index: usize) -> Option<&Mark> {
        self.marks.get(index)
    }

    /// The leaf and its mark, to change; the leaf is copied first if a snapshot has it too.
    pub(super) fn leaf_mut(&mut self, index: usize) -> Option<(&mut Leaf, &mut Mark)> {
        let leaf = self.leaves.get_mut(index)?.as_mut()?;
        Some((Arc::make_mut(leaf), self.marks.get_mut(index)?))
    }

    /// Notes how far the records of earlier leaves reach into this one.
    pub(super) fn set_reach(&mut self, index: usize, reach: u64) {
        if let Some((leaf, mark)) = self.leaf_mut(index) {
            leaf.set_reach(reach);
            mark.reach = reach;
        }
    }

    /// All leaves, for a chunk to be built of.
    pub(super) fn entries(&self) -> Vec<Entry> {
        let pairs = self.leaves.iter().flatten().zip(&self.marks);
        pairs.map(|(leaf, mark)| Entry { mark: *mark, leaf: Arc::clone(leaf) }).collect()
    }

    pub(super) fn leaves(&self) -> impl Iterator<Item = &Leaf> {
        self.leaves.iter().flatten().map(|leaf| &**leaf)
    }

    /// The last leaf whose fence is at or before `at`; the first one where there is none.
    pub(super) fn rank(&self, at: u64) -> usize {
        #[cfg(test)]
        super::visits::add(6);
        self.marks.partition_point(|mark| mark.fence <= at).saturating_sub(1)
    }

    /// Past the last leaf it is the end of the scale, where nothing begins.
    #[inline]
    pub(super) fn fence(&self, index: usize) -> u64 {
        self.mark(index).map_or(u64::MAX, |mark| mark.fence)
    }

    #[inline]
    pub(super) fn end(&self, index: usize) -> u64 {
        self.mark(index).map_or(0, |mark| mark.end)
    }

    #[inline]
    pub(super) fn reach(&self, index: usize) -> u64 {
        self.mark(index).map_or(0, |mark| mark.reach)
    }

    #[inline]
    pub(super) fn leaf(&self, index: usize) -> Option<&Leaf> {
        self.leaves.get(index)?.as_deref()
    }

    /// The greatest end of all its records.
    pub(super) fn greatest_end(&self) -> u64 {
        self.marks.iter().map(|mark| mark.end).fold(0, u64::max)
    }

    /// The first leaf from `index` on with a record that ends after `from`.
    #[inline]
    pub(super) fn next_ending_after(&self, index: usize, from: u64) -> Option<usize> {
        let marks = self.marks.get(index..)?;
        let found = marks.iter().position(|mark| mark.end > from);
        #[cfg(test)]
        super::visits::add(found.map_or(marks.len(), |i| i.saturating_add(1)));
        // NO-OVERFLOW: an index of a small array.
        found.map(|i| index.wrapping_add(i))
    }

    /// The first leaf up to `last` that earlier records reach beyond `from` into; `last` and one
    /// where there is none.
    pub(super) fn first_reached(&self, last: usize, from: u64) -> usize {
        let marks = self.marks.get(..=last).unwrap_or(&self.marks);
        #[cfg(test)]
        super::visits::add(7);
        marks.partition_point(|mark| mark.reach <= from)
    }

    /// Bytes of memory with the leaves.
    pub(super) fn memory(&self) -> usize {
        let shared = |size: usize| size.saturating_add(16 + 8).next_multiple_of(16);
        let leaves = shared(size_of::<Leaf>()).saturating_mul(self.len());
        shared(size_of::<Self>()).saturating_add(leaves)
    }
}
