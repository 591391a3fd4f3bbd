//! What could not be kept, and is said: a few records that grow.

use badrange_core::MfFlags;

use crate::{BadRange, Failure, Pushed, Record};

/// Places for LOST records.
pub(crate) const PLACES: usize = 16;

/// A failure, or several that became one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Item {
    pub(crate) failure: Failure,
    pub(crate) reports: u64,
}

impl Item {
    /// Takes another in, which `range` covers.
    pub(crate) fn absorb(&mut self, other: &Self, range: BadRange) {
        let flags = self.failure.flags.with(other.failure.flags);
        self.failure = Failure { range, flags };
        self.reports = self.reports.saturating_add(other.reports);
    }
}

/// # Invariants
/// At most [`PLACES`] items, whose memory never grows.
#[derive(Debug)]
pub(crate) struct Lost {
    items: Vec<Item>,
    /// Flags and reports of what was lost without a range.
    anywhere: Option<(MfFlags, u64)>,
}

impl Lost {
    pub(crate) fn new() -> Self {
        Self { items: Vec::with_capacity(PLACES), anywhere: None }
    }

    #[cfg(test)]
    #[cfg(not(any(loom, shuttle)))]
    pub(crate) fn capacity(&self) -> usize {
        self.items.capacity()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty() && self.anywhere.is_none()
    }

    /// Whether bytes of this range may have been lost.
    pub(crate) fn may_hold(&self, range: BadRange) -> bool {
        self.anywhere.is_some() || self.items.iter().any(|lost| lost.failure.range.overlaps(range))
    }

    /// Widens a LOST record so that it covers the failure: one that it touches, else a new one,
    /// else the one of its space that grows least, else the one without a range.
    pub(crate) fn lose(&mut self, item: &Item) -> Pushed {
        if mutant!("overflow_drops") {
            return Pushed::Lost;
        }
        let range = item.failure.range;
        let room = self.items.len() < PLACES;
        // By how much a record would grow to what, if it can take the failure in.
        let wider = |lost: &Item| {
            let own = lost.failure.range;
            let hull = if room { own.joined(range) } else { own.hull(range) }?;
            // NO-OVERFLOW: a hull covers both.
            Some((hull.len().wrapping_sub(own.len()), hull))
        };
        let candidates = self.items.iter_mut().filter_map(|lost| Some((wider(lost)?, lost)));
        match candidates.min_by_key(|((growth, _), _)| *growth) {
            Some((_, lost)) if mutant!("lost_keeps_its_range") => {
                lost.absorb(item, lost.failure.range);
            }
            Some(((_, hull), lost)) => lost.absorb(item, hull),
            None if room && self.anywhere.is_none() => self.items.push(*item),
            None => return self.lose_anywhere(item.failure.flags, item.reports),
        }
        Pushed::Lost
    }

    /// Adds reports to the record without a range.
    pub(crate) fn lose_anywhere(&mut self, flags: MfFlags, reports: u64) -> Pushed {
        let (before, lost) = self.anywhere.unwrap_or((MfFlags::NONE, 0));
        self.anywhere = Some((before.with(flags), lost.saturating_add(reports)));
        Pushed::Lost
    }

    /// Takes one record out, in the order in which they were begun; the one without a range last.
    pub(crate) fn pop(&mut self) -> Option<Record> {
        if self.items.is_empty() {
            let (flags, reports) = self.anywhere.take()?;
            return Some(Record::LostAnywhere { flags, reports });
        }
        let Item { failure, reports } = self.items.remove(0);
        Some(Record::Lost { failure, reports })
    }
}
