//! What lies on one device: holders and upper devices, by range.

use badrange_core::{DevOffset, Extent, Flow, Holder, Leg};

use smallvec::SmallVec;

use crate::{
    HolderId,
    sync::{Arc, Gate},
};

#[cfg(test)]
mod tests;

/// A holder in the registry. By value in its row: whoever has found the row has it all.
pub(crate) struct HolderSlot {
    pub(crate) id: HolderId,
    pub(crate) holder: Arc<dyn Holder>,
    pub(crate) gate: Arc<Gate>,
}

impl Clone for HolderSlot {
    fn clone(&self) -> Self {
        Self { id: self.id, holder: Arc::clone(&self.holder), gate: Arc::clone(&self.gate) }
    }
}

/// What an entry stands for.
#[derive(Clone)]
pub(crate) enum Above {
    Holder(HolderSlot),
    /// The device in this slot, which uses the range as this leg.
    Device {
        index: u32,
        leg: Leg,
    },
}

/// Somebody above a range, or (as `T`) a node of entries with the range that holds them all.
#[derive(Clone)]
pub(crate) struct Entry<T = Above> {
    pub(crate) range: Extent,
    pub(crate) order: u64,
    pub(crate) above: T,
}

/// The place of an entry among all: by start, then by age.
pub(crate) type Key = (DevOffset, u64);

impl<T> Entry<T> {
    pub(crate) fn key(&self) -> Key {
        (self.range.start(), self.order)
    }
}

/// Rows of a node. More make lookups in a small table faster and registrations slower: all rows of
/// one node per level are copied.
const ROWS: usize = 16;

/// The entries of one device, in the order in which they are notified: by start, then by age.
///
/// A tree of immutable nodes. Tables share what they have in common, so that a copy costs nothing
/// and a change copies one node per level. Nodes that lose entries are not filled up again; empty
/// ones go.
///
/// # Invariants
/// All leaves are equally deep. A node below the root has 1 to [`ROWS`] rows. The key of a row above
/// a node is the least key in it, its range the hull of all ranges in it.
#[derive(Clone)]
pub(crate) struct Table {
    root: Node,
    len: usize,
}

#[derive(Clone)]
enum Node {
    Leaf(Rows<Above>),
    Inner(Rows<Self>),
}

/// Entries in order, each with the furthest end of all up to it. Shared: a copy is the same rows.
struct Rows<T>(Arc<[(DevOffset, Entry<T>)]>);

impl<T> Clone for Rows<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl Default for Table {
    fn default() -> Self {
        Self { root: Node::Leaf(Rows::of(core::iter::empty())), len: 0 }
    }
}

impl Table {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// A copy with one entry more. Cost: `O(log n)`.
    pub(crate) fn with(&self, entry: Entry) -> Self {
        let nodes = self.root.with(entry);
        Self { root: Self::root_of(nodes), len: self.len.saturating_add(1) }
    }

    /// A copy without the entry that has this key. Cost: `O(log n)`.
    pub(crate) fn without(&self, key: Key) -> Self {
        match self.root.without(key) {
            Without::Unknown => self.clone(),
            Without::Left(nodes) => {
                Self { root: Self::root_of(nodes), len: self.len.saturating_sub(1) }
            }
        }
    }

    /// A copy with the entries that `keep` wants. Cost: `O(n)`.
    pub(crate) fn retain(&self, keep: impl Fn(&Entry) -> bool) -> Self {
        let mut kept = Vec::new();
        self.each(&mut |entry| {
            if keep(entry) {
                kept.push(entry.clone());
            }
        });
        if kept.len() == self.len { self.clone() } else { Self::of_sorted(kept) }
    }

    fn of_sorted(entries: Vec<Entry>) -> Self {
        let len = entries.len();
        let mut nodes: Nodes = in_nodes(entries).map(Node::Leaf).collect();
        while nodes.len() > 1 {
            let rows = nodes.into_iter().filter_map(Node::row).collect();
            nodes = in_nodes(rows).map(Node::Inner).collect();
        }
        Self { root: Self::root_of(nodes), len }
    }

    /// Checks the invariants of the tree.
    ///
    /// # Errors
    /// The first invariant that does not hold.
    pub(crate) fn validate(&self) -> Result<(), String> {
        let mut keys = Vec::new();
        self.each(&mut |entry| keys.push(entry.key()));
        if keys.len() != self.len || !keys.is_sorted_by(|a, b| a < b) {
            return Err(format!("{} entries of {} in order", keys.len(), self.len));
        }
        self.root.validate().map(|_| ())
    }

    /// Calls `sink` for all entries, in order.
    pub(crate) fn each(&self, sink: &mut dyn FnMut(&Entry)) {
        self.root.each(sink);
    }

    /// The entries that overlap `range`, in order; stops when `sink` does.
    ///
    /// Cost: of each level at most the rows of two nodes, besides those that lead to an entry. No
    /// entry slows it down by being long.
    pub(crate) fn overlapping(&self, range: Extent, sink: &mut impl FnMut(&Entry) -> Flow) -> Flow {
        self.root.overlapping(range, sink)
    }

    /// The root above all these nodes, which are of one level.
    fn root_of(mut nodes: Nodes) -> Node {
        match (nodes.pop(), nodes.is_empty()) {
            (None, _) => Self::default().root,
            // One row is no reason for a level.
            (Some(Node::Inner(rows)), true) if rows.0.len() == 1 => {
                Self::root_of(rows.0.iter().map(|(_, row)| row.above.clone()).collect())
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
type Nodes = SmallVec<[Node; 2]>;

/// What is left of a node without an entry.
enum Without {
    /// The entry is not there.
    Unknown,
    /// One node, or none.
    Left(Nodes),
}

impl Node {
    /// The row that stands for this node a level above; none for an empty one.
    fn row(self) -> Option<Entry<Self>> {
        let (range, order) = match &self {
            Self::Leaf(rows) => rows.summary(),
            Self::Inner(rows) => rows.summary(),
        }?;
        Some(Entry { range, order, above: self })
    }

    /// This node with one entry more: as one node, or as two.
    fn with(&self, entry: Entry) -> Nodes {
        match self {
            Self::Leaf(rows) => {
                let at = rows.place_of(entry.key());
                rows.replaced(at, 0, [entry]).into_iter().map(Self::Leaf).collect()
            }
            Self::Inner(rows) => {
                let at = rows.place_of(entry.key()).saturating_sub(1);
                // INVARIANT: an inner node has rows.
                #[expect(clippy::indexing_slicing, reason = "losing the entry would be worse")]
                let below = &rows.0[at].1;
                let nodes = below.above.with(entry).into_iter().filter_map(Self::row);
                rows.replaced(at, 1, nodes).into_iter().map(Self::Inner).collect()
            }
        }
    }

    fn without(&self, key: Key) -> Without {
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

    /// Levels from here down, all leaves being equally deep.
    fn validate(&self) -> Result<usize, String> {
        match self {
            Self::Leaf(rows) => rows.validate(|_| Ok(0)),
            Self::Inner(rows) if rows.0.is_empty() => Err("an inner node without rows".to_owned()),
            Self::Inner(rows) => rows.validate(|row| {
                let depth = row.above.validate()?;
                match row.above.clone().row().map(|below| (below.range, below.order)) {
                    Some(summary) if summary == (row.range, row.order) => Ok(depth),
                    Some(_) | None => Err(format!("the row at {} is not its node's", row.range)),
                }
            }),
        }
    }

    fn each(&self, sink: &mut dyn FnMut(&Entry)) {
        match self {
            Self::Leaf(rows) => rows.0.iter().for_each(|(_, entry)| sink(entry)),
            Self::Inner(rows) => rows.0.iter().for_each(|(_, row)| row.above.each(sink)),
        }
    }

    fn overlapping(&self, range: Extent, sink: &mut impl FnMut(&Entry) -> Flow) -> Flow {
        match self {
            Self::Leaf(rows) => rows.overlapping(range).try_for_each(sink),
            Self::Inner(rows) => {
                rows.overlapping(range).try_for_each(|row| row.above.overlapping(range, sink))
            }
        }
    }
}

/// Rows in full nodes, but for the last.
fn in_nodes<T>(rows: Vec<Entry<T>>) -> impl Iterator<Item = Rows<T>> {
    let mut rows = rows.into_iter();
    core::iter::from_fn(move || {
        let node: Vec<_> = rows.by_ref().take(ROWS).collect();
        (!node.is_empty()).then(|| Rows::of(node.into_iter()))
    })
}

impl<T> Rows<T> {
    fn of(entries: impl Iterator<Item = Entry<T>>) -> Self {
        let mut reach = DevOffset::new(0);
        let with_reach = entries.map(|entry| {
            reach = reach.max(entry.range.end());
            (reach, entry)
        });
        Self(with_reach.collect())
    }

    /// One more than the depth of every row, which is the same for all.
    fn validate(
        &self,
        depth: impl Fn(&Entry<T>) -> Result<usize, String>,
    ) -> Result<usize, String> {
        if self.0.len() > ROWS {
            return Err(format!("{} rows in a node", self.0.len()));
        }
        let mut reach = DevOffset::new(0);
        let mut depths = Vec::new();
        for (said, entry) in &*self.0 {
            reach = reach.max(entry.range.end());
            if *said != reach {
                return Err(format!("the row at {} says the wrong reach", entry.range));
            }
            depths.push(depth(entry)?);
        }
        depths.dedup();
        match depths.as_slice() {
            [] => Ok(1),
            [same] => Ok(same.saturating_add(1)),
            _ => Err("leaves of different depth".to_owned()),
        }
    }

    fn get(&self, at: usize) -> Option<&Entry<T>> {
        self.0.get(at).map(|(_, entry)| entry)
    }

    /// After all rows whose key is not greater.
    fn place_of(&self, key: Key) -> usize {
        self.0.partition_point(|(_, entry)| entry.key() <= key)
    }

    /// The hull of all ranges and the age of the least key.
    fn summary(&self) -> Option<(Extent, u64)> {
        let (first, last) = (self.get(0)?, self.0.last()?);
        let hull = Extent::from_bounds(first.range.start(), last.0).ok()?;
        Some((hull, first.order))
    }

    /// The rows that overlap `range`, in order.
    fn overlapping(&self, range: Extent) -> impl Iterator<Item = &Entry<T>> {
        let first = self.0.partition_point(|(reach, _)| *reach <= range.start());
        #[cfg(test)]
        tests::visited(self.0.len());
        let rest = self.0.get(first..).unwrap_or_default().iter().map(|(_, entry)| entry);
        rest.take_while(move |entry| entry.range.start() < range.end())
            .filter(move |entry| entry.range.end() > range.start())
    }
}

impl<T: Clone> Rows<T> {
    /// A copy with `new` in place of `gone` rows from `at` on: no node, one, or two.
    fn replaced(
        &self,
        at: usize,
        gone: usize,
        new: impl IntoIterator<Item = Entry<T>>,
    ) -> SmallVec<[Self; 2]> {
        let (before, rest) = self.0.split_at(at.min(self.0.len()));
        let after = rest.get(gone..).unwrap_or_default();
        let copies = |rows| <[(DevOffset, Entry<T>)]>::iter(rows).map(|(_, entry)| entry.clone());
        let mut all: Vec<Entry<T>> = Vec::with_capacity(ROWS.saturating_add(1));
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
