//! Who said what about which bytes of one event. Allocates nothing while that is little.

use badrange_core::{Cover, Extent, Join, Outcome, PAGE_SIZE, Pfn, PhysAddr, ReportOffset, Run};
use smallvec::SmallVec;

use crate::State;

pub(crate) type Said = (Run<ReportOffset>, Outcome);
pub(crate) type Saids = SmallVec<[Said; FEW]>;
pub(crate) type States = SmallVec<[(Run<ReportOffset>, State); FEW]>;
pub(crate) type Pages = SmallVec<[Run<Pfn>; FEW]>;

/// As many answers as are kept and resolved in place.
const FEW: usize = 4;

/// The account of one event.
#[derive(Debug, Default)]
pub(crate) struct Account {
    said: Saids,
}

impl Account {
    /// Enters one holder's answer: what it settled, and its answer for every byte besides.
    pub(crate) fn enter(&mut self, origin: Run<ReportOffset>, answer: Outcome, settled: &[Said]) {
        settled.iter().for_each(|(run, outcome)| self.add(*run, *outcome));
        if settled.is_empty() {
            return self.add(origin, answer);
        }
        each_state(origin.span(), settled, &mut |part, said| {
            if said.is_none() {
                part.overlaps(&origin).for_each(|rest| self.add(rest, answer));
            }
        });
    }

    fn add(&mut self, run: Run<ReportOffset>, outcome: Outcome) {
        enter_next(&mut self.said, run, outcome);
    }

    /// Every byte's final state, of a report of `window`.
    pub(crate) fn settle(&self, window: Extent<ReportOffset>, states: &mut States) {
        each_state(window, &self.said, &mut |run, said| {
            let state = State::of(said);
            let last = states.last_mut().filter(|(_, s)| *s == state);
            match last.and_then(|(last, _)| Some((joined(*last, run)?, last))) {
                Some((both, last)) => *last = both,
                None => states.push((run, state)),
            }
        });
    }
}

/// Enters an answer after others. What continues or repeats the one before is merged into it: so
/// that a holder that settles a million neighbours, one by one, says one thing.
pub(crate) fn enter_next(said: &mut Saids, run: Run<ReportOffset>, outcome: Outcome) {
    let run = run.as_extent().map_or(run, Run::from);
    let last = said.last_mut().filter(|(_, before)| *before == outcome);
    match last.and_then(|(last, _)| Some((joined(*last, run)?, last))) {
        Some((both, last)) => *last = both,
        None => said.push((run, outcome)),
    }
}

type Sink<'s> = dyn FnMut(Run<ReportOffset>, Option<Outcome>) + 's;

/// Emits disjoint runs that cover `window` exactly, in order, each with the join of what was said
/// about it.
fn each_state(window: Extent<ReportOffset>, said: &[Said], sink: &mut Sink<'_>) {
    if said.len() > FEW || said.iter().any(|(run, _)| run.as_extent().is_none()) {
        let mut cover = Cover::new();
        said.iter().for_each(|(run, outcome)| cover.add(*run, *outcome));
        return cover.resolve(window).into_iter().for_each(|(run, said)| sink(run, said));
    }
    if let [] | [_] = said {
        return one_state(window, said.first(), sink);
    }
    // Every start and end, and the window's own.
    let mut cuts: SmallVec<[ReportOffset; 2 * FEW + 2]> = SmallVec::new();
    let spans = said.iter().filter_map(|(run, _)| run.span().intersect(window));
    spans.chain([window]).for_each(|span| cuts.extend([span.start(), span.end()]));
    cuts.sort_unstable();
    for (start, end) in cuts.iter().zip(cuts.iter().skip(1)) {
        if let Ok(part) = Extent::from_bounds(*start, *end) {
            let about = said.iter().filter(|(run, _)| run.contains(part.start()));
            sink(part.into(), about.map(|(_, outcome)| *outcome).reduce(Join::join));
        }
    }
}

/// The same where at most one thing was said, about an extent: nearly every event.
fn one_state(window: Extent<ReportOffset>, said: Option<&Said>, sink: &mut Sink<'_>) {
    let about = said.and_then(|(run, outcome)| Some((run.span().intersect(window)?, *outcome)));
    let Some((part, outcome)) = about else { return sink(window.into(), None) };
    let (before, after) = window.without(part);
    before.into_iter().for_each(|before| sink(before.into(), None));
    sink(part.into(), Some(outcome));
    after.into_iter().for_each(|after| sink(after.into(), None));
}

/// Two contiguous runs that overlap or touch, as one.
fn joined(a: Run<ReportOffset>, b: Run<ReportOffset>) -> Option<Run<ReportOffset>> {
    Some(a.as_extent()?.union(b.as_extent()?)?.into())
}

/// The pages that the remainder of a report of `bad` touches: disjoint, ascending.
pub(crate) fn remainder_pages(bad: Extent<PhysAddr>, states: &States, pages: &mut Pages) {
    let remainder = states.iter().filter(|(_, s)| s.falls_back());
    let remainder = remainder.filter_map(|(r, _)| r.rebase(ReportOffset::new(0), bad.start()));
    if remainder.clone().any(|run| run.as_extent().is_none()) {
        return pages.extend(strided_pages(bad, remainder));
    }
    for next in remainder.map(|run| run.span().containing_pages()) {
        // Ascending and disjoint bytes share a page at most with the neighbour.
        match pages.last_mut().and_then(|last| Some((last.span().union(next)?, last))) {
            Some((both, last)) => *last = both.into(),
            None => pages.push(next.into()),
        }
    }
}

fn strided_pages(bad: Extent<PhysAddr>, remainder: impl Iterator<Item = Run<PhysAddr>>) -> Pages {
    let mut cover = Cover::new();
    remainder.for_each(|run| run.containing_pages(&mut |run| cover.add(run, ())));
    let covered = cover.resolve(bad.containing_pages());
    covered.into_iter().filter(|(_, said)| said.is_some()).map(|(run, _)| run).collect()
}

/// Bytes in all of these pages.
pub(crate) fn page_bytes(pages: &Pages) -> u64 {
    // NO-OVERFLOW: disjoint pages of a 64-bit space.
    pages.iter().map(|run| run.total_len().wrapping_mul(PAGE_SIZE)).fold(0, u64::wrapping_add)
}

#[cfg(test)]
#[cfg(not(any(loom, shuttle)))]
mod tests;
