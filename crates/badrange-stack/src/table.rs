//! What lies on one address space: holders and upper devices, by range.

use core::ops::ControlFlow;

use badrange_core::{Extent, Holder, Leg, Space};

use smallvec::SmallVec;

use crate::{
    HolderId,
    sync::{Arc, Gate},
};

#[cfg(test)]
#[cfg(not(any(loom, shuttle)))]
mod tests;

/// A holder in the registry. By value in its row: whoever has found the row has it all.
pub(crate) struct HolderSlot<S: Space> {
    pub(crate) id: HolderId,
    pub(crate) holder: Arc<dyn Holder<S>>,
    pub(crate) gate: Arc<Gate>,
}

impl<S: Space> Clone for HolderSlot<S> {
    fn clone(&self) -> Self {
        Self { id: self.id, holder: Arc::clone(&self.holder), gate: Arc::clone(&self.gate) }
    }
}

/// What an entry stands for.
#[derive(Clone)]
pub(crate) enum Above<S: Space> {
    Holder(HolderSlot<S>),
    /// The device in this slot, which uses the range as this leg.
    Device {
        index: u32,
        leg: Leg,
    },
}

/// Somebody above a range, or (as `T`) a node of entries with the range that holds them all.
#[derive(Clone)]
pub(crate) struct Entry<S: Space, T = Above<S>> {
    pub(crate) range: Extent<S>,
    pub(crate) order: u64,
    pub(crate) above: T,
}

/// The place of an entry among all: by start, then by age.
pub(crate) type Key<S> = (S, u64);

impl<S: Space, T> Entry<S, T> {
    pub(crate) fn key(&self) -> Key<S> {
        (self.range.start(), self.order)
    }
}

/// Rows of a node. More make lookups in a small table faster and registrations slower: all rows of
/// one node per level are copied.
const ROWS: usize = 16;

/// The entries of one address space, in the order in which they are told: by start, then by age.
///
/// A tree of immutable nodes. Tables share what they have in common, so that a copy costs nothing
/// and a change copies one node per level. Nodes that lose entries are not filled up again; empty
/// ones go.
///
/// # Invariants
/// All leaves are equally deep. A node below the root has 1 to [`ROWS`] rows. The key of a row above
/// a node is the least key in it, its range the hull of all ranges in it.
#[derive(Clone)]
pub(crate) struct Table<S: Space> {
    root: Node<S>,
    len: usize,
}

#[derive(Clone)]
enum Node<S: Space> {
    Leaf(Rows<S, Above<S>>),
    Inner(Rows<S, Self>),
}

/// Entries in order, each with the furthest end of all up to it. Shared: a copy is the same rows.
struct Rows<S: Space, T>(Arc<[(S, Entry<S, T>)]>);

impl<S: Space, T> Clone for Rows<S, T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S: Space> Default for Table<S> {
    fn default() -> Self {
        Self { root: Node::Leaf(Rows::of(core::iter::empty())), len: 0 }
    }
}

impl<S: Space> Table<S> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// A copy with one entry more. Cost: `O(log n)`.
    pub(crate) fn with(&self, entry: Entry<S>) -> Self {
        let nodes = self.root.with(entry);
        Self { root: Self::root_of(nodes), len: self.len.saturating_add(1) }
    }

    /// A copy without the entry that has this key. Cost: `O(log n)`.
    pub(crate) fn without(&self, key: Key<S>) -> Self {
        match self.root.without(key) {
            Without::Unknown => self.clone(),
            Without::Left(nodes) => {
                Self { root: Self::root_of(nodes), len: self.len.saturating_sub(1) }
            }
        }
    }

    /// A copy with the entries that `keep` wants. Cost: `O(n)`.
    pub(crate) fn retain(&self, keep: impl Fn(&Entry<S>) -> bool) -> Self {
        let mut kept = Vec::new();
        self.each(&mut |entry| {
            if keep(entry) {
                kept.push(entry.clone());
            }
        });
        if kept.len() == self.len { self.clone() } else { Self::of_sorted(kept) }
    }

    fn of_sorted(entries: Vec<Entry<S>>) -> Self {
        let len = entries.len();
        let mut nodes: Nodes<S> = in_nodes(entries).map(Node::Leaf).collect();
        while nodes.len() > 1 {
            let rows = nodes.into_iter().filter_map(Node::row).collect();
            nodes = in_nodes(rows).map(Node::Inner).collect();
        }
        Self { root: Self::root_of(nodes), len }
    }

    /// Calls `sink` for all entries, in order.
    pub(crate) fn each(&self, sink: &mut dyn FnMut(&Entry<S>)) {
        self.root.each(sink);
    }

    pub(crate) fn any(&self, which: impl Fn(&Entry<S>) -> bool) -> bool {
        let mut any = false;
        self.each(&mut |entry| any |= which(entry));
        any
    }

    /// The entries that overlap `range`, in order; stops when `sink` does.
    ///
    /// Cost: of each level at most the rows of two nodes, besides those that lead to an entry. No
    /// entry slows it down by being long.
    pub(crate) fn overlapping(
        &self,
        range: Extent<S>,
        sink: &mut impl FnMut(&Entry<S>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        self.root.overlapping(range, sink)
    }

    /// The root above all these nodes, which are of one level.
    fn root_of(mut nodes: Nodes<S>) -> Node<S> {
        match (nodes.pop(), nodes.is_empty()) {
            (None, _) => Self::default().root,
            // One row is no reason for a level.
            (Some(Node::Inner(rows)), true) if rows.0.len() == 1 => {
                rows.get(0).map_or_else(|| Self::default().root, |row| row.above.clone())
            }
            (Some(only), true) => only,
            (Some(last), false) => {
                nodes.push(last);
                Node::Inner(Rows::of(nodes.into_iter().filter_map(Node::row)))
            }
        }
    }
}

/// The nodes that a change makes of one: none, one or two, but for a table that is made at once.
type Nodes<S> = SmallVec<[Node<S>; 2]>;

/// What is left of a node without an entry.
enum Without<S: Space> {
    /// The entry is not there.
    Unknown,
    /// One node, or none.
    Left(Nodes<S>),
}

impl<S: Space> Node<S> {
    /// The row that stands for this node a level above; none for an empty one.
    fn row(self) -> Option<Entry<S, Self>> {
        let (range, order) = match &self {
            Self::Leaf(rows) => rows.summary(),
            Self::Inner(rows) => rows.summary(),
        }?;
        Some(Entry { range, order, above: self })
    }

    /// This node with one entry more: as one node, or as two.
    fn with(&self, entry: Entry<S>) -> Nodes<S> {
        match self {
            Self::Leaf(rows) => {
                let at = rows.place_of(entry.key());
                rows.replaced(at, 0, [entry]).into_iter().map(Self::Leaf).collect()
            }
            Self::Inner(rows) => {
                let at = rows.place_of(entry.key()).saturating_sub(1);
                let Some(below) = rows.get(at) else { return Nodes::new() };
                let nodes = below.above.with(entry).into_iter().filter_map(Self::row);
                rows.replaced(at, 1, nodes).into_iter().map(Self::Inner).collect()
            }
        }
    }

    fn without(&self, key: Key<S>) -> Without<S> {
        match self {
            Self::Leaf(rows) => {
                // The place after all keys up to this one.
                let at = rows.place_of(key).saturating_sub(1);
                if rows.get(at).is_none_or(|entry| entry.key() != key) {
                    return Without::Unknown;
                }
                Without::Left(rows.replaced(at, 1, []).into_iter().map(Self::Leaf).collect())
            }
            Self::Inner(rows) => {
                let at = rows.place_of(key).saturating_sub(1);
                let Some(below) = rows.get(at) else { return Without::Unknown };
                let Without::Left(nodes) = below.above.without(key) else {
                    return Without::Unknown;
                };
                let nodes = nodes.into_iter().filter_map(Self::row);
                Without::Left(rows.replaced(at, 1, nodes).into_iter().map(Self::Inner).collect())
            }
        }
    }

    fn each(&self, sink: &mut dyn FnMut(&Entry<S>)) {
        match self {
            Self::Leaf(rows) => rows.0.iter().for_each(|(_, entry)| sink(entry)),
            Self::Inner(rows) => rows.0.iter().for_each(|(_, row)| row.above.each(sink)),
        }
    }

    fn overlapping(
        &self,
        range: Extent<S>,
        sink: &mut impl FnMut(&Entry<S>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        match self {
            Self::Leaf(rows) => rows.overlapping(range).try_for_each(sink),
            Self::Inner(rows) => {
                rows.overlapping(range).try_for_each(|row| row.above.overlapping(range, sink))
            }
        }
    }
}

/// Rows in full nodes, but for the last.
fn in_nodes<S: Space, T>(rows: Vec<Entry<S, T>>) -> impl Iterator<Item = Rows<S, T>> {
    let mut rows = rows.into_iter();
    core::iter::from_fn(move || {
        let node: Vec<_> = rows.by_ref().take(ROWS).collect();
        (!node.is_empty()).then(|| Rows::of(node.into_iter()))
    })
}

impl<S: Space, T> Rows<S, T> {
    fn of(entries: impl Iterator<Item = Entry<S, T>>) -> Self {
        let mut reach = S::from_raw(0);
        let with_reach = entries.map(|entry| {
            reach = reach.max(entry.range.end());
            (reach, entry)
        });
        Self(with_reach.collect())
    }

    fn get(&self, at: usize) -> Option<&Entry<S, T>> {
        self.0.get(at).map(|(_, entry)| entry)
    }

    /// After all rows whose key is not greater.
    fn place_of(&self, key: Key<S>) -> usize {
        self.0.partition_point(|(_, entry)| entry.key() <= key)
    }

    /// The hull of all ranges and the age of the least key.
    fn summary(&self) -> Option<(Extent<S>, u64)> {
        let (first, last) = (self.get(0)?, self.0.last()?);
        let hull = Extent::from_bounds(first.range.start(), last.0).ok()?;
        Some((hull, first.order))
    }

    /// The rows that overlap `range`, in order.
    fn overlapping(&self, range: Extent<S>) -> impl Iterator<Item = &Entry<S, T>> {
        let first = self.0.partition_point(|(reach, _)| *reach <= range.start());
        #[cfg(all(test, not(any(loom, shuttle))))]
        tests::visited(self.0.len());
        let rest = self.0.get(first..).unwrap_or_default().iter().map(|(_, entry)| entry);
        rest.take_while(move |entry| entry.range.start() < range.end())
            .filter(move |entry| entry.range.end() > range.start())
    }
}

impl<S: Space, T: Clone> Rows<S, T> {
    /// A copy with `new` in place of `gone` rows from `at` on: no node, one, or two.
    fn replaced(
        &self,
        at: usize,
        gone: usize,
        new: impl IntoIterator<Item = Entry<S, T>>,
    ) -> SmallVec<[Self; 2]> {
        let (before, rest) = self.0.split_at(at.min(self.0.len()));
        let after = rest.get(gone..).unwrap_or_default();
        let copies = |rows| <[(S, Entry<S, T>)]>::iter(rows).map(|(_, entry)| entry.clone());
        let mut all: Vec<Entry<S, T>> = Vec::with_capacity(ROWS.saturating_add(1));
        all.extend(copies(before));
        all.extend(new);
        all.extend(copies(after));
        // Who registers in ascending order leaves full nodes behind, not half-full ones.
        let middle = match all.len() {
            len if len <= ROWS => len,
            _ if after.is_empty() => ROWS,
            len => len / 2,
        };
        let second = all.drain(middle..);
        let second = (second.len() > 0).then(|| Self::of(second));
        let first = (!all.is_empty()).then(|| Self::of(all.into_iter()));
        first.into_iter().chain(second).collect()
    }
}
