use core::num::NonZeroU64;

use alloc::vec::Vec;
use smallvec::SmallVec;

use crate::{DevOffset, Extent, Run, Space, run::gcd, sweep};

/// Values that combine: associative, commutative, and idempotent.
///
/// # Laws
/// `a.join(a) == a`, `a.join(b) == b.join(a)`, `a.join(b).join(c) == a.join(b.join(c))`.
///
/// # Examples
/// ```
/// use badrange_core::Join;
/// assert_eq!(().join(()), ());
/// ```
pub trait Join: Copy + PartialEq {
    /// The combination of both.
    #[must_use]
    fn join(self, other: Self) -> Self;
}

impl Join for () {
    fn join(self, (): Self) -> Self {}
}

/// So many entries are kept and resolved without an allocation.
const FEW: usize = 4;

/// Runs with a value each, overlapping as they like, and what they say per unit: the join. With
/// the value `()` it is a set.
///
/// This is the account of a failure: who said what about which bytes. [`resolve`](Self::resolve)
/// gives every unit of a window its one final value. A few entries take no memory of their own.
///
/// # Examples
/// ```
/// use badrange_core::{Cover, DevOffset, Extent, Outcome};
/// let at = |start, len| Extent::new(DevOffset::new(start), len).unwrap();
/// let mut cover = Cover::new();
/// cover.add(at(0, 100).into(), Outcome::Handled);
/// cover.add(at(40, 20).into(), Outcome::NotSupported);
/// let mut states = Vec::new();
/// cover.resolve(at(0, 128), &mut |run, value| states.push((run, value)));
/// assert_eq!(states, [
///     (at(0, 40).into(), Some(Outcome::Handled)),
///     (at(40, 20).into(), Some(Outcome::NotSupported)),
///     (at(60, 40).into(), Some(Outcome::Handled)),
///     (at(100, 28).into(), None),
/// ]);
/// ```
#[derive(Debug, Clone)]
pub struct Cover<V, S: Space = DevOffset> {
    entries: SmallVec<[(Run<S>, V); FEW]>,
}

impl<V, S: Space> Default for Cover<V, S> {
    fn default() -> Self {
        Self { entries: SmallVec::new() }
    }
}

/// What was said, and about what.
type Said<V, S> = (Run<S>, V);

/// Where resolved runs go: disjoint, ordered by first unit; `None` where nothing was said.
type Resolved<'r, V, S> = &'r mut dyn FnMut(Run<S>, Option<V>);

impl<V: Join, S: Space> Cover<V, S> {
    /// Nothing said about anything. Does not allocate.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Says `value` about every unit of `run`. What continues or repeats the entry before is merged
    /// into it, so that a million neighbours, one by one, are one entry.
    ///
    /// # Examples
    /// ```
    /// use badrange_core::{Cover, DevOffset, Extent};
    /// let mut set: Cover<()> = Cover::new();
    /// for sector in 0..1000 {
    ///     set.add(Extent::new(DevOffset::new(512 * sector), 512)?.into(), ());
    /// }
    /// assert_eq!(set.entries().count(), 1);
    /// # Ok::<(), badrange_core::RangeError>(())
    /// ```
    pub fn add(&mut self, run: Run<S>, value: V) {
        let run = run.as_extent().map_or(run, Run::from);
        let last = self.entries.last_mut().filter(|(_, said)| *said == value);
        match last.and_then(|(last, _)| Some((joined(*last, run)?, last))) {
            Some((both, last)) => *last = both,
            None => self.entries.push((run, value)),
        }
    }

    /// What was said, in the order it was added, as far as it was not merged.
    pub fn entries(&self) -> impl Iterator<Item = (Run<S>, V)> + '_ {
        self.entries.iter().copied()
    }

    /// Whether nothing was said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Forgets everything but keeps the memory.
    pub fn clear(&mut self) {
        self.entries.clear();
    }

    /// Emits the value of every unit of `window`: disjoint runs that cover it exactly, ordered by
    /// first unit; `None` where nothing was said. Neighbouring extents of equal value are one.
    ///
    /// Extents cost `O(n log n)` in their number; a few cost no allocation. Where strided runs are
    /// involved, one common period is resolved and repeated; if the period does not fit at least
    /// twice between two boundaries of other entries, the elements there are resolved one by one.
    pub fn resolve(&self, window: Extent<S>, sink: Resolved<'_, V, S>) {
        let mut out = Merging { open: None, sink };
        match self.entries.as_slice() {
            [] => out.push(window.into(), None),
            [(run, value)] if run.is_single() => one_value(window, run.first(), *value, &mut out),
            few if few.len() <= FEW && few.iter().all(|(run, _)| run.is_single()) => {
                few_values(window, few, &mut out);
            }
            many => many_values(window, many, &mut out),
        }
        out.close();
    }

    /// The parts of `window` about which something was said, ascending.
    ///
    /// # Examples
    /// ```
    /// use badrange_core::{Cover, DevOffset, Extent};
    /// let at = |start, len| Extent::new(DevOffset::new(start), len).unwrap();
    /// let mut set = Cover::new();
    /// set.add(at(8, 4).into(), ());
    /// set.add(at(2, 7).into(), ());
    /// assert_eq!(set.within(at(0, 10)), [at(2, 8).into()]);
    /// ```
    #[must_use]
    pub fn within(&self, window: Extent<S>) -> Vec<Run<S>> {
        let mut parts = Vec::new();
        self.resolve(window, &mut |run, said| parts.extend(said.map(|_| run)));
        parts
    }
}

/// Two runs as one: contiguous ones that overlap or touch, and a run with itself.
fn joined<S: Space>(a: Run<S>, b: Run<S>) -> Option<Run<S>> {
    if a == b {
        return Some(a);
    }
    Some(a.as_extent()?.union(b.as_extent()?)?.into())
}

fn join_all<V: Join>(a: Option<V>, b: Option<V>) -> Option<V> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.join(b)),
        (one, other) => one.or(other),
    }
}

/// Where at most one thing was said, about an extent: nearly every event.
fn one_value<V: Join, S: Space>(
    window: Extent<S>,
    said: Extent<S>,
    value: V,
    out: &mut Merging<'_, V, S>,
) {
    let Some(part) = said.intersect(window) else { return out.push(window.into(), None) };
    let (before, after) = window.without(part);
    before.into_iter().for_each(|before| out.push(before.into(), None));
    out.push(part.into(), Some(value));
    after.into_iter().for_each(|after| out.push(after.into(), None));
}

/// The same where a few things were said about extents: cut at every start and end.
fn few_values<V: Join, S: Space>(
    window: Extent<S>,
    said: &[Said<V, S>],
    out: &mut Merging<'_, V, S>,
) {
    let mut cuts: SmallVec<[u64; 2 * FEW + 2]> = SmallVec::new();
    let spans = said.iter().filter_map(|(run, _)| run.span().intersect(window));
    spans.chain([window]).for_each(|span| cuts.extend([span.raw(), span.raw_end()]));
    cuts.sort_unstable();
    for (start, end) in cuts.iter().zip(cuts.iter().skip(1)) {
        if let Some(part) = Extent::between(*start, *end) {
            let about = said.iter().filter(|(run, _)| run.contains(part.start()));
            out.push(part.into(), about.map(|(_, value)| *value).reduce(Join::join));
        }
    }
}

fn many_values<V: Join, S: Space>(
    window: Extent<S>,
    said: &[Said<V, S>],
    out: &mut Merging<'_, V, S>,
) {
    let spans = said.iter().map(|entry| (entry.0.span(), *entry)).collect();
    sweep(window, spans, &mut |zone, active| zone_values(zone, active, out));
}

/// The values of one zone: no entry begins or ends inside it.
fn zone_values<V: Join, S: Space>(
    zone: Extent<S>,
    active: &[(Extent<S>, Said<V, S>)],
    out: &mut Merging<'_, V, S>,
) {
    let (mut base, mut strided) = (None, Vec::new());
    for (_, (run, value)) in active {
        match run.is_single() {
            true => base = join_all(base, Some(*value)),
            false => strided.push((*run, *value)),
        }
    }
    if strided.is_empty() {
        return out.push(zone.into(), base);
    }
    let period = strided.iter().try_fold(NonZeroU64::MIN, |p, (run, _)| {
        let stride = run.stride_nonzero();
        p.checked_mul(NonZeroU64::new(stride.get() / gcd(p, stride))?)
    });
    let repeats = period.map_or(0, |p| zone.len() / p);
    match period.and_then(|p| Extent::between(zone.raw(), zone.raw().checked_add(p.get())?)) {
        Some(one) if repeats > 1 => repeat_period(zone, one, base, &strided, out),
        _ => elements(zone, base, &strided, &mut |run, value| out.push(run, value)),
    }
}

/// Resolves one period and repeats it; what is left over at the end is resolved by itself.
fn repeat_period<V: Join, S: Space>(
    zone: Extent<S>,
    one: Extent<S>,
    base: Option<V>,
    strided: &[Said<V, S>],
    out: &mut Merging<'_, V, S>,
) {
    let repeats = zone.len() / one.len_nonzero();
    let mut values: Vec<(Run<S>, Option<V>)> = Vec::new();
    let mut collect = |run, value| values.push((run, value));
    let mut period = Merging { open: None, sink: &mut collect };
    elements(one, base, strided, &mut |run, value| period.push(run, value));
    period.close();
    // NO-OVERFLOW: whole periods end inside the zone.
    let periods_end = zone.raw().wrapping_add(repeats.wrapping_mul(one.len()));
    if let [(_, value)] = values.as_slice() {
        // NO-OVERFLOW: and the first of them is one.
        let periods = one.longer(periods_end.wrapping_sub(one.raw_end()));
        out.push(periods.into(), *value);
    } else {
        for (part, value) in values {
            // NO-OVERFLOW: the period holds the part, and its repeats end inside the zone.
            out.push(Run::repeated(part.first(), one.len_nonzero(), repeats), value);
        }
    }
    if let Some(rest) = Extent::between(periods_end, zone.raw_end()) {
        elements(rest, base, strided, &mut |run, value| out.push(run, value));
    }
}

/// Element by element: cuts the window at every element boundary.
fn elements<V: Join, S: Space>(
    window: Extent<S>,
    base: Option<V>,
    strided: &[Said<V, S>],
    sink: Resolved<'_, V, S>,
) {
    let mut parts: Vec<(Extent<S>, V)> = Vec::new();
    for (run, value) in strided {
        for part in run.clip(window) {
            parts.extend(part.elements().map(|e| (e, *value)));
        }
    }
    sweep(window, parts, &mut |part, active| {
        let value = active.iter().fold(base, |v, (_, w)| join_all(v, Some(*w)));
        sink(part.into(), value);
    });
}

/// Hands runs on; neighbouring extents of equal value become one.
struct Merging<'r, V, S: Space> {
    open: Option<(Run<S>, Option<V>)>,
    sink: Resolved<'r, V, S>,
}

impl<V: Join, S: Space> Merging<'_, V, S> {
    fn push(&mut self, run: Run<S>, value: Option<V>) {
        if let Some((open, said)) = &mut self.open {
            if let Some(both) = joined(*open, run).filter(|_| *said == value) {
                *open = both;
                return;
            }
        }
        self.close();
        self.open = Some((run, value));
    }

    fn close(&mut self) {
        if let Some((run, value)) = self.open.take() {
            (self.sink)(run, value);
        }
    }
}
