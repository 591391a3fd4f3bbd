//! Sets of ranges that also forget: extents in and out of a [`RangeSet`].

use core::ops::Range;

use badrange_core::{Extent, Space};
use rangemap::RangeSet;

/// The same as the set has it.
pub(crate) fn range<S: Space>(extent: Extent<S>) -> Range<S> {
    extent.start()..extent.end()
}

/// The same as everybody else has it: there for every range of a set, none of which is empty.
pub(crate) fn extent<S: Space>(range: &Range<S>) -> Option<Extent<S>> {
    let extent = Extent::from_bounds(range.start, range.end).ok();
    debug_assert!(extent.is_some(), "a set has no empty range");
    extent
}

/// What of the set lies in a window, clipped to it, in ascending order.
pub(crate) fn within<S: Space>(
    set: &RangeSet<S>,
    window: Extent<S>,
) -> impl Iterator<Item = Extent<S>> + '_ {
    // What overlaps the window has something in common with it.
    set.overlapping(range(window)).filter_map(move |found| extent(found)?.intersect(window))
}
