use alloc::vec::Vec;
use core::num::NonZeroU64;

use crate::{Extent, Run, Space, run::gcd};

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

/// Runs with a value each, overlapping as they like, and what they say per unit: the join.
///
/// This is the account of a failure: who said what about which bytes. [`resolve`](Self::resolve)
/// gives every unit of a window its one final value.
///
/// # Examples
/// ```
/// use badrange_core::{Cover, Extent, Outcome, ReportOffset};
/// let at = |start, len| Extent::new(ReportOffset::new(start), len).unwrap();
/// let mut cover = Cover::new();
/// cover.add(at(0, 100).into(), Outcome::Handled);
/// cover.add(at(40, 20).into(), Outcome::NotSupported);
/// let states = cover.resolve(at(0, 128));
/// assert_eq!(states, [
///     (at(0, 40).into(), Some(Outcome::Handled)),
///     (at(40, 20).into(), Some(Outcome::NotSupported)),
///     (at(60, 40).into(), Some(Outcome::Handled)),
///     (at(100, 28).into(), None),
/// ]);
/// ```
#[derive(Debug, Clone)]
pub struct Cover<S: Space, V> {
    entries: Vec<(Run<S>, V)>,
}

impl<S: Space, V> Default for Cover<S, V> {
    fn default() -> Self {
        Self { entries: Vec::new() }
    }
}

impl<S: Space, V: Join> Cover<S, V> {
    /// Nothing said about anything. Does not allocate.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Says `value` about every unit of `run`. What continues the entry before is merged into it.
    pub fn add(&mut self, run: Run<S>, value: V) {
        let run = run.as_extent().map_or(run, Run::from);
        if let Some((last, said)) = self.entries.last_mut() {
            if let Some(both) = joined(*last, run).filter(|_| *said == value) {
                *last = both;
                return;
            }
        }
        self.entries.push((run, value));
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

    /// The value of every unit of `window`: disjoint runs that cover it exactly, ordered by first
    /// unit; `None` where nothing was said. Neighbouring extents of equal value are one.
    ///
    /// Extents cost `O(n log n)` in their number. Where strided runs are involved, one common
    /// period is resolved and repeated; if the period does not fit at least twice between two
    /// boundaries of other entries, the elements there are resolved one by one.
    #[must_use]
    pub fn resolve(&self, window: Extent<S>) -> Vec<(Run<S>, Option<V>)> {
        let mut resolved = Resolved { runs: Vec::new() };
        let mut entries = self.entries.clone();
        entries.sort_by_key(|(run, _)| run.first().start());
        let mut waiting = entries.into_iter().peekable();
        let mut active: Vec<(Run<S>, V)> = Vec::new();
        let mut at = window.raw();
        while at < window.raw_end() {
            while let Some(entry) = waiting.next_if(|(run, _)| run.first().raw() <= at) {
                active.push(entry);
            }
            active.retain(|(run, _)| run.span().raw_end() > at);
            let next_start = waiting.peek().map(|(run, _)| run.first().raw());
            let next_end = active.iter().map(|(run, _)| run.span().raw_end()).min();
            let end = [next_start, next_end].into_iter().flatten().fold(window.raw_end(), u64::min);
            let Some(zone) = Extent::between(at, end) else { break };
            zone_states(zone, &active, &mut resolved);
            at = end;
        }
        resolved.runs
    }
}

/// Two contiguous runs that follow one another, as one.
fn joined<S: Space>(a: Run<S>, b: Run<S>) -> Option<Run<S>> {
    let (a, b) = (a.as_extent()?, b.as_extent()?);
    (a.end() == b.start()).then(|| Extent::between(a.raw(), b.raw_end()))?.map(Run::from)
}

fn join_all<V: Join>(a: Option<V>, b: Option<V>) -> Option<V> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.join(b)),
        (one, other) => one.or(other),
    }
}

/// The states of one zone: no entry begins or ends inside it.
fn zone_states<S: Space, V: Join>(
    zone: Extent<S>,
    active: &[(Run<S>, V)],
    out: &mut Resolved<S, V>,
) {
    let whole = |(run, _): &&(Run<S>, V)| run.as_extent().is_some();
    let base = active.iter().filter(whole).fold(None, |v, (_, w)| join_all(v, Some(*w)));
    let strided: Vec<_> = active.iter().filter(|e| !whole(e)).copied().collect();
    if strided.is_empty() {
        return out.push(zone.into(), base);
    }
    let period = strided.iter().try_fold(NonZeroU64::MIN, |p, (run, _)| {
        let stride = NonZeroU64::new(run.stride())?;
        p.checked_mul(NonZeroU64::new(stride.get() / gcd(p, stride))?)
    });
    let repeats = period.map_or(0, |p| zone.len() / p);
    match period.and_then(|p| Extent::between(zone.raw(), zone.raw().checked_add(p.get())?)) {
        Some(one) if repeats > 1 => repeat_period(zone, one, base, &strided, out),
        _ => sweep(zone, base, &strided, &mut |part, value| out.push(part.into(), value)),
    }
}

/// Resolves one period and repeats it; what is left over at the end is resolved by itself.
fn repeat_period<S: Space, V: Join>(
    zone: Extent<S>,
    one: Extent<S>,
    base: Option<V>,
    strided: &[(Run<S>, V)],
    out: &mut Resolved<S, V>,
) {
    let repeats = zone.len() / one.len_nonzero();
    let mut states = Resolved { runs: Vec::new() };
    sweep(one, base, strided, &mut |part, value| states.push(part.into(), value));
    // NO-OVERFLOW: whole periods end inside the zone.
    let periods_end = zone.raw().wrapping_add(repeats.wrapping_mul(one.len()));
    if let [(_, value)] = states.runs.as_slice() {
        out.push(Extent::between(zone.raw(), periods_end).unwrap_or(zone).into(), *value);
    } else {
        for (part, value) in states.runs {
            if let Ok(run) = Run::new(part.first(), one.len(), repeats) {
                out.push(run, value);
            }
        }
    }
    if let Some(rest) = Extent::between(periods_end, zone.raw_end()) {
        sweep(rest, base, strided, &mut |part, value| out.push(part.into(), value));
    }
}

/// Element by element: cuts the window at every element boundary.
fn sweep<S: Space, V: Join>(
    window: Extent<S>,
    base: Option<V>,
    strided: &[(Run<S>, V)],
    sink: &mut dyn FnMut(Extent<S>, Option<V>),
) {
    let mut parts: Vec<(Extent<S>, V)> = Vec::new();
    for (run, value) in strided {
        for part in run.clip(window) {
            parts.extend(part.elements().map(|e| (e, *value)));
        }
    }
    parts.sort_by_key(|(e, _)| e.start());
    let mut waiting = parts.into_iter().peekable();
    let mut active: Vec<(Extent<S>, V)> = Vec::new();
    let mut at = window.raw();
    while at < window.raw_end() {
        while let Some(part) = waiting.next_if(|(e, _)| e.raw() <= at) {
            active.push(part);
        }
        active.retain(|(e, _)| e.raw_end() > at);
        let bounds = active.iter().map(|(e, _)| e.raw_end());
        let end =
            bounds.chain(waiting.peek().map(|(e, _)| e.raw())).fold(window.raw_end(), u64::min);
        let Some(part) = Extent::between(at, end) else { break };
        sink(part, active.iter().fold(base, |v, (_, w)| join_all(v, Some(*w))));
        at = end;
    }
}

struct Resolved<S: Space, V> {
    runs: Vec<(Run<S>, Option<V>)>,
}

impl<S: Space, V: Join> Resolved<S, V> {
    fn push(&mut self, run: Run<S>, value: Option<V>) {
        if let Some((last, said)) = self.runs.last_mut() {
            if let Some(both) = joined(*last, run).filter(|_| *said == value) {
                *last = both;
                return;
            }
        }
        self.runs.push((run, value));
    }
}
