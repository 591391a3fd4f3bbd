use alloc::vec::Vec;

use crate::{Extent, Space};

/// Takes a part, and the extents that cover it.
type Visit<'v, T, S> = &'v mut dyn FnMut(Extent<S>, &[(Extent<S>, T)]);

/// Cuts a window wherever one of many overlapping extents begins or ends, and visits every part, in
/// ascending order, with the extents that cover it: in the order in which they began, those that
/// began together as given. Parts that nothing covers are visited, too.
///
/// Cost: sorting, and for each part the extents that cover it.
///
/// # Examples
/// ```
/// use badrange_core::{DevOffset, Extent, sweep};
/// let at = |start, len| Extent::new(DevOffset::new(start), len).unwrap();
/// let mut parts = Vec::new();
/// sweep(at(0, 10), vec![(at(2, 4), 'a'), (at(4, 9), 'b')], &mut |part, covering| {
///     parts.push((part, covering.iter().map(|(_, name)| *name).collect::<String>()));
/// });
/// let expected = [(at(0, 2), ""), (at(2, 2), "a"), (at(4, 2), "ab"), (at(6, 4), "b")];
/// assert_eq!(parts, expected.map(|(part, names)| (part, names.to_owned())));
/// ```
pub fn sweep<T, S: Space>(
    window: Extent<S>,
    mut extents: Vec<(Extent<S>, T)>,
    visit: Visit<'_, T, S>,
) {
    extents.sort_by_key(|(extent, _)| extent.start());
    let mut waiting = extents.into_iter().peekable();
    let mut active: Vec<(Extent<S>, T)> = Vec::new();
    let mut left = Some(window);
    while let Some(rest) = left {
        let at = rest.raw();
        while let Some(next) = waiting.next_if(|(extent, _)| extent.raw() <= at) {
            active.push(next);
        }
        active.retain(|(extent, _)| extent.raw_end() > at);
        let ends = active.iter().map(|(extent, _)| extent.end());
        let next = waiting.peek().map(|(extent, _)| extent.start());
        let end = ends.chain(next).fold(rest.end(), S::min);
        let (part, after) = rest.split_at(end);
        // Every end above lies behind `at`: what ends before it is not active, what begins before
        // it does not wait.
        debug_assert!(part.is_some(), "a sweep moves on");
        visit(part.unwrap_or(rest), &active);
        left = after.filter(|_| part.is_some());
    }
}
