//! Who said what about which bytes of one event. Allocates nothing while that is little.

use badrange_core::{Cover, Extent, Flow, Granules, Link, Outcome, PageSize, Pfn, Run, Sink};
use smallvec::SmallVec;

use crate::topology::Device;

pub(crate) type States = SmallVec<[(Run, Outcome); 4]>;
pub(crate) type PageRuns = SmallVec<[Granules; 4]>;

/// What one device knows of an event: its own bytes, and what was answered for them.
#[derive(Debug, Default)]
pub(crate) struct Account {
    said: Cover<Outcome>,
}

impl Account {
    /// Enters an answer for bytes of the device.
    pub(crate) fn enter(&mut self, run: Run, outcome: Outcome) {
        self.said.add(run, outcome);
    }

    /// The final state of every byte of `window`.
    pub(crate) fn states(&self, window: Extent, states: &mut States) {
        self.said.resolve(window, &mut |run, said| {
            let state = said.unwrap_or(Outcome::Nothing); // nobody answered for it
            let last = states.last_mut().filter(|(_, s)| *s == state);
            match last
                .and_then(|(last, _)| Some((last.as_extent()?.union(run.as_extent()?)?, last)))
            {
                Some((both, last)) => *last = both.into(),
                None => states.push((run, state)),
            }
        });
    }

    /// What of `window` was entered at all and nobody handled.
    fn unhandled(&self, window: Extent, runs: &mut SmallVec<[Run; 4]>) {
        self.said.resolve(window, &mut |run, said| {
            runs.extend(said.filter(|outcome| outcome.falls_back()).map(|_| run));
        });
    }
}

/// Hands on what a holder said of each reported byte of `part`: what it settled, and its answer for
/// every byte besides.
pub(crate) fn each_answer(
    part: Run,
    answer: Outcome,
    settled: &Cover<Outcome>,
    sink: Sink<'_, (Run, Outcome)>,
) -> Flow {
    if settled.is_empty() {
        return sink((part, answer));
    }
    settled.entries().try_for_each(|(run, outcome)| {
        // What was settled lies in the part.
        sink((run, outcome))
    })?;
    let mut rest: SmallVec<[Run; 4]> = SmallVec::new();
    settled.resolve(part.span(), &mut |run, said| rest.extend(said.is_none().then_some(run)));
    rest.into_iter().try_for_each(|gap| gap.overlaps(&part).try_for_each(|run| sink((run, answer))))
}

/// The account of a device with pages that the event reached from below.
#[derive(Debug)]
pub(crate) struct PageAccount {
    pub(crate) device: badrange_core::DeviceId,
    /// Reported bytes and bytes of this device.
    pub(crate) arrivals: SmallVec<[Link; 2]>,
    pub(crate) account: Account,
}

impl PageAccount {
    pub(crate) fn new(device: &Device) -> Self {
        let (arrivals, account) = (SmallVec::new(), Account::default());
        Self { device: device.id, arrivals, account }
    }

    /// Notes bytes that arrived, and that nobody has answered for.
    pub(crate) fn arrive(&mut self, link: &Link) {
        self.arrivals.push(*link);
        self.account.enter(link.upper(), Outcome::Nothing);
    }

    /// From the first byte that arrived to the last.
    pub(crate) fn window(&self) -> Option<Extent> {
        self.arrivals.iter().map(|link| link.upper().span()).reduce(Extent::hull)
    }

    /// The reported bytes that runs of this device stand for, which are disjoint and ordered by first
    /// byte.
    pub(crate) fn reported(&self, runs: &[Run], sink: &mut dyn FnMut(Run)) {
        let plain = are_plain(runs);
        for link in &self.arrivals {
            let reach = reached(runs, plain, link.upper().span());
            for part in reach.iter().flat_map(|run| run.overlaps(&link.upper())) {
                let reported = link.of_upper(part);
                debug_assert!(reported.is_some(), "an overlap lies in both runs");
                reported.into_iter().for_each(|reported| sink(reported.lower()));
            }
        }
    }
}

/// Whether all are single extents.
pub(crate) fn are_plain(runs: &[Run]) -> bool {
    runs.iter().all(|run| run.count() == 1)
}

/// Those of ordered and disjoint runs that may have bytes of `span`: exactly those that do where all
/// are plain extents.
pub(crate) fn reached(runs: &[Run], plain: bool, span: Extent) -> &[Run] {
    let to = runs.partition_point(|run| run.first().start() < span.end());
    let from = match plain {
        true => runs.partition_point(|run| run.first().end() <= span.start()),
        false => 0, // a run that begins early may reach far
    };
    runs.get(from..to).unwrap_or_default() // not reached: the first cut is not behind the second
}

/// The unhandled bytes of `window`, and the pages that they touch: disjoint, ascending.
pub(crate) fn fallen(
    account: &Account,
    window: Extent,
    size: PageSize,
) -> (SmallVec<[Run; 4]>, PageRuns) {
    let mut runs = SmallVec::new();
    account.unhandled(window, &mut runs);
    let pages = pages_of(&runs, window, size);
    (runs, pages)
}

/// The pages that runs touch, of which none lies outside of `window`: disjoint, ascending.
pub(crate) fn pages_of(runs: &[Run], window: Extent, size: PageSize) -> PageRuns {
    if runs.iter().any(|run| run.as_extent().is_none()) {
        return strided_pages(runs, window, size);
    }
    let mut pages = PageRuns::new();
    let mut extents: SmallVec<[Extent; 4]> = runs.iter().map(Run::span).collect();
    extents.sort_unstable();
    for extent in extents {
        let next = Granules::containing(extent, size);
        let last = pages.last_mut();
        let both =
            last.and_then(|last| Some((last.frames().span().union(next.frames().span())?, last)));
        match both {
            Some((both, last)) => *last = Granules::new(both.into(), size),
            None => pages.push(next),
        }
    }
    pages
}

fn strided_pages(runs: &[Run], window: Extent, size: PageSize) -> PageRuns {
    let mut cover: Cover<(), Pfn> = Cover::new();
    runs.iter().for_each(|run| run.containing_frames(size, &mut |run| cover.add(run, ())));
    let all = Granules::containing(window, size).frames().span();
    cover.within(all).into_iter().map(|frames| Granules::new(frames, size)).collect()
}

#[cfg(test)]
mod tests;
