//! Every range once: duplicates, the same event told by several layers, and what was cut.

use std::collections::{BTreeMap, HashMap, HashSet};

/// Longer ranges than this explain no request that holds them.
const SMALL_BYTES: u64 = 4096;

use super::{
    LogEvent,
    place::{BlockUnit, NamedRange, Place, RangeList, UnplacedRange},
};
use crate::Confidence;

/// Smaller ranges that are looked at as the reason of a larger one, at most.
const MAX_REASONS: usize = 64;

/// Takes events, gives a list.
pub(super) struct Merge<'a> {
    block_size: &'a dyn Fn(Option<&str>, BlockUnit) -> Option<u64>,
    ranges: Vec<NamedRange>,
    at: HashMap<Place, usize>,
    unplaced: Vec<UnplacedRange>,
    said: HashSet<String>,
    cuts: Vec<u64>,
}

impl<'a> Merge<'a> {
    pub(super) fn new(block_size: &'a dyn Fn(Option<&str>, BlockUnit) -> Option<u64>) -> Self {
        Self {
            block_size,
            ranges: Vec::new(),
            at: HashMap::new(),
            unplaced: Vec::new(),
            said: HashSet::new(),
            cuts: Vec::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ranges.is_empty() && self.unplaced.is_empty() && self.cuts.is_empty()
    }

    pub(super) fn add(&mut self, event: LogEvent) {
        match event {
            LogEvent::Range(range) => self.range(range),
            LogEvent::Unplaced(unplaced) => {
                if self.said.insert(unplaced.what.clone()) {
                    self.unplaced.push(unplaced);
                }
            }
            LogEvent::Cut { line } => self.cuts.push(line),
        }
    }

    fn range(&mut self, mut range: NamedRange) {
        if let Place::Blocks { device, unit, .. } = &range.place {
            if let Some(size) = (self.block_size)(device.as_deref(), *unit) {
                match range.place.clone().in_bytes(size) {
                    Some(place) => range.place = place,
                    None => {
                        let what = format!("{}: does not fit in 64 bits of bytes", range.place);
                        self.add(LogEvent::Unplaced(UnplacedRange { line: range.line, what }));
                        return;
                    }
                }
            }
        }
        match self.at.get(&range.place).and_then(|at| self.ranges.get_mut(*at)) {
            Some(known) => absorb(known, &range),
            None => {
                self.at.insert(range.place.clone(), self.ranges.len());
                self.ranges.push(range);
            }
        }
    }

    /// Every range once, in the order of lines.
    pub(super) fn finish(self) -> RangeList {
        let Self { ranges, unplaced, cuts, .. } = self;
        let mut spaces: BTreeMap<Option<String>, Vec<NamedRange>> = BTreeMap::new();
        let (mut pages, mut memory, mut others) = (Vec::new(), Vec::new(), Vec::new());
        for range in ranges {
            match &range.place {
                Place::Device { device, .. } => {
                    spaces.entry(device.clone()).or_default().push(range);
                }
                Place::Pages(..) => pages.push(range),
                Place::Memory(_) => memory.push(range),
                Place::Blocks { .. } => others.push(range),
            }
        }
        let mut all: Vec<NamedRange> = spaces.into_values().flat_map(of_device).collect();
        let mut pages = joined(pages);
        let mut memory = joined(memory);
        memory.retain(|range| !within_pages(&mut pages, range));
        all.extend(pages.into_iter().chain(memory).chain(others));
        all.sort_by(|a, b| (a.line, &a.place).cmp(&(b.line, &b.place)));
        for cut in &cuts {
            let before = all.partition_point(|range| range.line <= *cut);
            if let Some(range) = all.get_mut(before.saturating_sub(1)) {
                range.confidence = Confidence::Truncated;
            }
        }
        RangeList { ranges: all, unplaced, truncated: cuts.into_iter().min() }
    }
}

/// The same event once more: its first line, and the most that any line knows.
fn absorb(known: &mut NamedRange, again: &NamedRange) {
    if again.confidence < known.confidence {
        known.confidence = again.confidence;
        known.said = again.said;
    }
    known.line = known.line.min(again.line);
    known.also = known.also.take().or_else(|| again.also.clone());
    known.retried = match (known.retried.take(), &again.retried) {
        (Some(one), Some(two)) if one.is_empty() => Some(two.clone()),
        // An array that failed as a whole did not only read elsewhere.
        (one, two) => one.filter(|_| two.is_some()),
    };
}

fn bounds(place: &Place) -> (u64, u64) {
    match place {
        Place::Device { extent, .. } => (extent.start().get(), extent.end().get()),
        Place::Pages(extent, _) | Place::Memory(extent) => {
            (extent.start().get(), extent.end().get())
        }
        Place::Blocks { first, .. } => (*first, *first),
    }
}

/// Ranges of one device.
fn of_device(ranges: Vec<NamedRange>) -> Vec<NamedRange> {
    let mut ranges = starts_known_better(joined(ranges));
    narrow(&mut ranges);
    ranges
}

/// Exact ranges that touch or overlap are one; other ranges stay as they were told. In the order of
/// starts, longer ones first.
fn joined(mut ranges: Vec<NamedRange>) -> Vec<NamedRange> {
    ranges.sort_by_key(|range| {
        let (start, end) = bounds(&range.place);
        (start, core::cmp::Reverse(end))
    });
    let mut out: Vec<NamedRange> = Vec::with_capacity(ranges.len());
    let mut open: Option<usize> = None;
    for range in ranges {
        if range.confidence != Confidence::Exact {
            out.push(range);
            continue;
        }
        let known = open.and_then(|at| out.get_mut(at));
        let grown = known.is_some_and(|known| grow(known, &range));
        if !grown {
            open = Some(out.len());
            out.push(range);
        }
    }
    out
}

fn grow(known: &mut NamedRange, next: &NamedRange) -> bool {
    let touches = bounds(&next.place).0 <= bounds(&known.place).1;
    let hull = match (&known.place, &next.place) {
        (Place::Device { device, extent: a }, Place::Device { extent: b, .. }) => {
            Place::Device { device: device.clone(), extent: a.hull(*b) }
        }
        (Place::Pages(a, page), Place::Pages(b, _)) => Place::Pages(a.hull(*b), *page),
        (Place::Memory(a), Place::Memory(b)) => Place::Memory(a.hull(*b)),
        _ => return false,
    };
    if touches {
        known.place = hull;
        absorb(known, next);
    }
    touches
}

/// A bare start tells nothing beside a range that starts there too.
fn starts_known_better(ranges: Vec<NamedRange>) -> Vec<NamedRange> {
    let is_bare = |range: &NamedRange| range.confidence == Confidence::UnknownExtent;
    let mut known: HashMap<u64, usize> = HashMap::new();
    let (bare, mut out): (Vec<_>, Vec<_>) = ranges.into_iter().partition(is_bare);
    for (at, range) in out.iter().enumerate() {
        known.insert(bounds(&range.place).0, at);
    }
    let mut left = Vec::new();
    for range in bare {
        match known.get(&bounds(&range.place).0).and_then(|at| out.get_mut(*at)) {
            Some(better) => absorb(better, &range),
            None => left.push(range),
        }
    }
    out.extend(left);
    out
}

/// Marks requests of which a smaller part is named too: that part explains them.
fn narrow(ranges: &mut [NamedRange]) {
    let mut small: Vec<(u64, u64, u64)> = ranges
        .iter()
        .map(|range| (bounds(&range.place), range.line))
        .filter(|((start, end), _)| end.saturating_sub(*start) <= SMALL_BYTES)
        .map(|((start, end), line)| (start, end, line))
        .collect();
    small.sort_unstable();
    let at_most = ranges.iter_mut().filter(|range| range.confidence == Confidence::AtMost);
    for range in at_most {
        let (start, end) = bounds(&range.place);
        let from = small.partition_point(|(s, ..)| *s < start);
        let inside = small.iter().skip(from).take(MAX_REASONS).take_while(|(s, ..)| *s < end);
        let smaller = |(s, e, _): &&(u64, u64, u64)| {
            *e <= end && e.saturating_sub(*s) < end.saturating_sub(start)
        };
        range.narrowed = inside.filter(smaller).map(|(.., line)| *line).min();
    }
}

/// Whether memory lies in pages that are named as well: the same event, told by another layer.
fn within_pages(pages: &mut [NamedRange], range: &NamedRange) -> bool {
    let (start, end) = bounds(&range.place);
    let holds = |page: &NamedRange| {
        let (first, last) = bounds(&page.place);
        first <= start && end <= last
    };
    // Pages are joined and in order: only the last that starts at or before can hold it.
    let after = pages.partition_point(|page| bounds(&page.place).0 <= start);
    match pages.get_mut(after.saturating_sub(1)).filter(|page| holds(page)) {
        Some(page) => {
            page.line = page.line.min(range.line);
            true
        }
        None => false,
    }
}
