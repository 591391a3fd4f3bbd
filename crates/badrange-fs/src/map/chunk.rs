//! A block of the directory: what is known of up to 64 leaves without looking into them.

use smallvec::SmallVec;

use super::leaf::Leaf;

/// The most leaves of a chunk.
pub(super) const LEAVES: usize = 64;

/// A leaf, and what the directory knows of it: all in one or two cache lines.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// Where its first record begins; in the first leaf of a chunk it may be before that.
    pub(super) fence: u64,
    /// The greatest end of its records.
    pub(super) end: u64,
    /// The greatest end of all records in earlier leaves of the level, those of other chunks
    /// included; 0 where that is not beyond the fence. So every byte from a fence on knows by one
    /// comparison whether records of earlier leaves can cover it.
    pub(super) reach: u64,
    pub(super) leaf: Leaf,
}

/// Leaves that follow one another.
#[derive(Debug, Clone, Default)]
pub(super) struct Chunk {
    entries: SmallVec<[Entry; LEAVES]>,
}

impl Chunk {
    /// At most [`LEAVES`] leaves in order.
    pub(super) fn new(entries: impl IntoIterator<Item = Entry>) -> Self {
        let chunk = Self { entries: entries.into_iter().collect() };
        debug_assert!(chunk.len() <= LEAVES);
        chunk
    }

    pub(super) fn push(&mut self, entry: Entry) {
        debug_assert!(self.len() < LEAVES);
        self.entries.push(entry);
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    #[inline]
    pub(super) fn entry(&self, index: usize) -> Option<&Entry> {
        self.entries.get(index)
    }

    /// The leaf to change, or what is known of it.
    pub(super) fn entry_mut(&mut self, index: usize) -> Option<&mut Entry> {
        self.entries.get_mut(index)
    }

    /// All leaves, for a chunk to be built of.
    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The last leaf whose fence is at or before `at`; the first one where there is none.
    pub(super) fn rank(&self, at: u64) -> usize {
        #[cfg(test)]
        super::visits::add(6);
        self.entries.partition_point(|entry| entry.fence <= at).saturating_sub(1)
    }

    /// Past the last leaf it is the end of the scale, where nothing begins.
    #[inline]
    pub(super) fn fence(&self, index: usize) -> u64 {
        self.entry(index).map_or(u64::MAX, |entry| entry.fence)
    }

    #[inline]
    pub(super) fn end(&self, index: usize) -> u64 {
        self.entry(index).map_or(0, |entry| entry.end)
    }

    #[inline]
    pub(super) fn reach(&self, index: usize) -> u64 {
        self.entry(index).map_or(0, |entry| entry.reach)
    }

    #[inline]
    pub(super) fn leaf(&self, index: usize) -> Option<&Leaf> {
        self.entry(index).map(|entry| &entry.leaf)
    }

    /// The greatest end of all its records.
    pub(super) fn greatest_end(&self) -> u64 {
        self.entries.iter().map(|entry| entry.end).fold(0, u64::max)
    }

    /// The first leaf from `index` on with a record that ends after `from`.
    #[inline]
    pub(super) fn next_ending_after(&self, index: usize, from: u64) -> Option<usize> {
        let entries = self.entries.get(index..)?;
        let found = entries.iter().position(|entry| entry.end > from);
        #[cfg(test)]
        super::visits::add(found.map_or(entries.len(), |i| i.saturating_add(1)));
        // NO-OVERFLOW: an index of a small array.
        found.map(|i| index.wrapping_add(i))
    }

    /// The first leaf up to `last` that earlier records reach beyond `from` into; `last` and one
    /// where there is none.
    pub(super) fn first_reached(&self, last: usize, from: u64) -> usize {
        let entries = self.entries.get(..=last).unwrap_or(&self.entries);
        #[cfg(test)]
        super::visits::add(7);
        entries.partition_point(|entry| entry.reach <= from)
    }

    /// Bytes of memory with the leaves.
    pub(super) fn memory(&self) -> usize {
        let own = size_of::<Self>().saturating_add(16 + 8).next_multiple_of(16);
        self.entries.iter().map(|entry| entry.leaf.memory()).fold(own, usize::saturating_add)
    }
}
