use core::ops::Range;

use rangemap::RangeSet;

/// A set of page numbers, kept as ranges.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Pages(RangeSet<u64>);

impl Pages {
    pub(crate) fn insert(&mut self, pages: Range<u64>) {
        if !pages.is_empty() {
            self.0.insert(pages);
        }
    }

    pub(crate) fn remove(&mut self, pages: Range<u64>) {
        if !pages.is_empty() {
            self.0.remove(pages);
        }
    }

    /// Removes pages: those that were there.
    pub(crate) fn take(&mut self, pages: Range<u64>) -> Self {
        if pages.is_empty() {
            return Self::default();
        }
        let taken: Vec<Range<u64>> = self.in_range(&pages).collect();
        self.0.remove(pages);
        Self(taken.into_iter().collect())
    }

    /// How many pages.
    pub(crate) fn len(&self) -> u64 {
        // NO-OVERFLOW: ranges do not overlap, and pages are 52 bits.
        self.0
            .iter()
            .map(|range| range.end.saturating_sub(range.start))
            .fold(0, u64::saturating_add)
    }

    pub(crate) fn contains(&self, page: u64) -> bool {
        self.0.contains(&page)
    }

    /// The first page of the set in a range.
    pub(crate) fn first_in(&self, pages: Range<u64>) -> Option<u64> {
        if pages.is_empty() {
            return None;
        }
        let found = self.0.overlapping(pages.clone()).next()?;
        Some(found.start.max(pages.start))
    }

    /// The parts of the set in a range.
    pub(crate) fn in_range<'a>(
        &'a self,
        pages: &Range<u64>,
    ) -> impl Iterator<Item = Range<u64>> + use<'a> {
        let (start, end) = (pages.start, pages.end);
        // The map of ranges does not take empty ones; nothing is cut out for one here.
        let asked = start..end.max(start.saturating_add(1));
        let found = self.0.overlapping(asked).filter(move |_| start < end);
        found.map(move |range| range.start.max(start)..range.end.min(end))
    }

    pub(crate) fn ranges(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.0.iter().cloned()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is in this set and not in the other.
    pub(crate) fn without(&self, other: &Self) -> Self {
        let mut rest = self.clone();
        for range in other.ranges() {
            rest.remove(range);
        }
        rest
    }

    /// What is in either.
    pub(crate) fn with(&self, other: &Self) -> Self {
        let mut all = self.clone();
        for range in other.ranges() {
            all.insert(range);
        }
        all
    }
}

/// From `(start, end)` pairs.
impl FromIterator<(u64, u64)> for Pages {
    fn from_iter<I: IntoIterator<Item = (u64, u64)>>(ranges: I) -> Self {
        let mut pages = Self::default();
        for (start, end) in ranges {
            pages.insert(start..end);
        }
        pages
    }
}
