//! What could not be kept, and is said: a few records that grow.

use core::ops::Range;

use badrange_core::{MfFlags, Space};

use super::record::{Failure, Item, Pushed, QueueRecord};

/// Places for LOST records.
pub(super) const PLACES: usize = 16;

/// # Invariants
/// At most [`PLACES`] items, in memory that never grows. They are sorted by device and start, and
/// between two of one device lies a byte of neither.
#[derive(Debug)]
pub(super) struct Lost {
    items: Vec<Item>,
    /// Flags and reports of what was lost without a range.
    anywhere: Option<(MfFlags, u64)>,
}

impl Lost {
    pub(super) fn new() -> Self {
        // One more, for the moment between a new item and the merge that makes room for it.
        Self { items: Vec::with_capacity(PLACES.saturating_add(1)), anywhere: None }
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.items.capacity()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty() && self.anywhere.is_none()
    }

    /// Whether bytes of this failure may have been lost before.
    pub(super) fn may_hold(&self, failure: &Failure) -> bool {
        self.anywhere.is_some() || self.items.iter().any(|lost| lost.failure.overlaps(failure))
    }

    /// Covers the item by a record: together with those that it touches or, when there are none, by
    /// one of its own. When all places are taken, the two records of one device, the new one
    /// included, that have the fewest bytes between them become one. When no two are of one
    /// device, the item is lost without a range.
    pub(super) fn lose(&mut self, mut item: Item) -> Pushed {
        let touched = self.touched_by(&item.failure);
        let at = touched.start;
        // Where everything has to be looked at, another range adds nothing.
        if touched.is_empty() && self.anywhere.is_some() {
            return self.lose_anywhere(item.failure.flags, item.reports);
        }
        self.items.drain(touched).for_each(|lost| item.absorb(&lost));
        self.items.insert(at, item);
        if self.items.len() > PLACES && !self.merge_nearest() {
            let Item { failure, reports } = self.items.remove(at);
            return self.lose_anywhere(failure.flags, reports);
        }
        Pushed::Lost
    }

    /// Adds reports to the record without a range.
    pub(super) fn lose_anywhere(&mut self, flags: MfFlags, reports: u64) -> Pushed {
        let (before, lost) = self.anywhere.unwrap_or((MfFlags::NONE, 0));
        self.anywhere = Some((before.with(flags), lost.saturating_add(reports)));
        Pushed::Lost
    }

    /// Takes one record out, by device and start; the one without a range last.
    pub(super) fn pop(&mut self) -> Option<QueueRecord> {
        if self.items.is_empty() {
            let (flags, reports) = self.anywhere.take()?;
            return Some(QueueRecord::LostAnywhere { flags, reports });
        }
        let Item { failure, reports } = self.items.remove(0);
        Some(QueueRecord::Lost { failure, reports })
    }

    /// The items that the failure overlaps or touches; when there are none, where its place is.
    fn touched_by(&self, failure: &Failure) -> Range<usize> {
        let (first, last) = (failure.range.start(), failure.range.end());
        let before = |lost: &Item| (lost.failure.device, lost.failure.range.end());
        let until = |lost: &Item| (lost.failure.device, lost.failure.range.start());
        let from = self.items.partition_point(|lost| before(lost) < (failure.device, first));
        let to = self.items.partition_point(|lost| until(lost) <= (failure.device, last));
        from..to
    }

    /// Makes one of the two items of one device with the fewest bytes between them, if there are
    /// two.
    fn merge_nearest(&mut self) -> bool {
        // What lies nearest to an item is beside it.
        let pairs = self.items.iter().zip(self.items.iter().skip(1)).enumerate();
        let gaps = pairs.filter_map(|(index, (one, next))| Some((gap(one, next)?, index)));
        let Some((_, index)) = gaps.min() else { return false };
        let mut merged = self.items.remove(index);
        merged.absorb(&self.items.remove(index));
        self.items.insert(index, merged);
        true
    }
}

/// Bytes between two items, in this order; `None` when they are not of one device.
fn gap(one: &Item, next: &Item) -> Option<u64> {
    let same = one.failure.device == next.failure.device;
    same.then(|| next.failure.range.start().checked_offset_from(one.failure.range.end()))?
}

#[cfg(test)]
mod tests;
