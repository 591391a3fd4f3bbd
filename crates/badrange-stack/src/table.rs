//! What lies on one address space: holders and upper devices, by range.

use badrange_core::{Extent, Holder, Leg, Space};

use crate::{
    HolderId,
    sync::{Arc, Gate},
};

/// A holder's place in the registry; shared by every snapshot that knows it.
pub(crate) struct HolderSlot<S: Space> {
    pub(crate) id: HolderId,
    pub(crate) holder: Arc<dyn Holder<S>>,
    pub(crate) gate: Arc<Gate>,
}

/// What an entry stands for.
pub(crate) enum Above<S: Space> {
    Holder(Arc<HolderSlot<S>>),
    /// The device in this slot, which uses the range as this leg.
    Device {
        index: u32,
        leg: Leg,
    },
}

impl<S: Space> Clone for Above<S> {
    fn clone(&self) -> Self {
        match self {
            Self::Holder(slot) => Self::Holder(Arc::clone(slot)),
            Self::Device { index, leg } => Self::Device { index: *index, leg: *leg },
        }
    }
}

#[derive(Clone)]
pub(crate) struct Entry<S: Space> {
    pub(crate) range: Extent<S>,
    pub(crate) order: u64,
    pub(crate) above: Above<S>,
}

/// The entries of one address space, in the order in which they are told: by start, then by age.
///
/// # Invariants
/// `reach[i]` is the furthest end of entries `0..=i`.
#[derive(Clone)]
pub(crate) struct Table<S: Space> {
    entries: Vec<Entry<S>>,
    reach: Vec<S>,
}

impl<S: Space> Default for Table<S> {
    fn default() -> Self {
        Self { entries: Vec::new(), reach: Vec::new() }
    }
}

impl<S: Space> Table<S> {
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn entries(&self) -> &[Entry<S>] {
        &self.entries
    }

    /// A copy with one entry more.
    pub(crate) fn with(&self, entry: Entry<S>) -> Self {
        let key = |e: &Entry<S>| (e.range.start(), e.order);
        let at = self.entries.partition_point(|e| key(e) < key(&entry));
        let (before, after) = self.entries.split_at(at);
        Self::from_sorted(before.iter().chain([&entry]).chain(after).cloned().collect())
    }

    /// A copy with the entries that `keep` wants.
    pub(crate) fn retain(&self, keep: impl Fn(&Entry<S>) -> bool) -> Self {
        Self::from_sorted(self.entries.iter().filter(|e| keep(e)).cloned().collect())
    }

    fn from_sorted(entries: Vec<Entry<S>>) -> Self {
        let mut furthest = S::from_raw(0);
        let reach = entries
            .iter()
            .map(|e| {
                furthest = furthest.max(e.range.end());
                furthest
            })
            .collect();
        Self { entries, reach }
    }

    /// The entries that overlap `range`, in order.
    pub(crate) fn overlapping(&self, range: Extent<S>) -> impl Iterator<Item = &Entry<S>> {
        let first = self.reach.partition_point(|end| *end <= range.start());
        let last = self.entries.partition_point(|e| e.range.start() < range.end());
        self.entries
            .get(first..last)
            .unwrap_or_default()
            .iter()
            .filter(move |e| e.range.end() > range.start())
    }
}
