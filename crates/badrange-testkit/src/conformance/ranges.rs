//! Where to look: around edges, across edges, where 32-bit numbers end, at random, and at the ends
//! of the scale.

use super::{Config, case::RawRun};

/// A small generator of random numbers (the finaliser of splitmix64 over a counter).
#[derive(Debug, Clone)]
pub(super) struct Rng(u64);

impl Rng {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`; 0 when there is none.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.next().checked_rem(end).unwrap_or(0)
    }

    fn pick(&mut self, from: &[u64]) -> Option<u64> {
        let index = self.below(u64::try_from(from.len()).ok()?);
        from.get(usize::try_from(index).ok()?).copied()
    }
}

/// Where numbers of 31 and of 32 bits end: of bytes, of sectors, and of pages of 4 KiB.
const WIDE: [u64; 6] = [1 << 31, 1 << 32, 1 << 40, 1 << 41, 1 << 43, 1 << 44];

/// Where such numbers end inside of `whole`, counted from any of `bases`: from the beginning of a
/// device, of a leg, or of a target.
pub(super) fn wide(bases: impl IntoIterator<Item = u64>, whole: (u64, u64)) -> Vec<u64> {
    let bases = bases.into_iter();
    let all = bases.flat_map(|base| WIDE.into_iter().filter_map(move |by| base.checked_add(by)));
    let mut all: Vec<u64> = all.filter(|at| whole.0 < *at && *at < whole.1).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// Ranges as (start, length), each valid and each once. Edges are thinned out, places are not.
pub(super) fn ranges(
    edges: &[u64],
    places: &[u64],
    whole: (u64, u64),
    config: &Config,
    rng: &mut Rng,
) -> Vec<(u64, u64)> {
    let mut found = Found::default();
    let some = thin_out(edges, config.edges);
    for edge in &some {
        for (back, len) in [(1, 1), (0, 1), (1, 2), (2, 5)] {
            found.add_len(edge.saturating_sub(back), len);
        }
        found.add_len(edge.saturating_add(1), 1);
    }
    for place in places {
        found.at_place(*place, whole);
    }
    for between in [2, 3, 5] {
        for ends in some.windows(between) {
            let ends = ends.first().zip(ends.last());
            ends.into_iter().for_each(|(first, last)| found.around(*first, *last));
        }
    }
    found.around(whole.0, whole.1);
    for (start, end) in [(0, u64::MAX), (0, 1), (whole.1.saturating_sub(1), u64::MAX)] {
        found.add(start, end);
    }
    found.add(u64::MAX.wrapping_sub(1), u64::MAX);
    found.add(whole.1, u64::MAX);
    for _ in 0..config.random_ranges {
        let (a, b) = (random_place(&some, whole, rng), random_place(&some, whole, rng));
        let len = rng.below(9);
        found.add_len(a, len);
        found.add(a.min(b), a.max(b));
    }
    found.all
}

fn random_place(edges: &[u64], whole: (u64, u64), rng: &mut Rng) -> u64 {
    match rng.below(8) {
        0 => rng.next(),
        1..4 => whole.0.saturating_add(rng.below(whole.1.saturating_sub(whole.0))),
        _ => {
            let near = rng.pick(edges).unwrap_or(0).saturating_add(rng.below(7));
            near.saturating_sub(3)
        }
    }
}

/// Runs that begin at edges, with the strides that meet chunks in step and out of step, and runs
/// across places.
pub(super) fn runs(edges: &[u64], places: &[u64], config: &Config, rng: &mut Rng) -> Vec<RawRun> {
    let mut all: Vec<RawRun> = places.iter().flat_map(|place| across(*place)).collect();
    let some = thin_out(edges, 4);
    for edge in &some {
        let after = edges.iter().find(|e| *e > edge);
        let gap = after.and_then(|e| e.checked_sub(*edge)).unwrap_or(8);
        let two = gap.saturating_mul(2);
        for len in [1, gap / 8, gap / 2, gap, gap.saturating_add(1)] {
            for stride in [len, gap, gap.saturating_add(1), two, two.saturating_sub(3)] {
                let start = edge.saturating_sub(rng.below(3));
                all.push(RawRun { start, len, stride, count: 2 });
                let count = rng.below(config.elements).saturating_add(1);
                all.push(RawRun { start, len, stride, count });
            }
        }
    }
    // The ends of the scale.
    all.push(RawRun { start: 0, len: 1, stride: u64::MAX.wrapping_sub(2), count: 2 });
    all.push(RawRun { start: u64::MAX.wrapping_sub(5), len: 2, stride: 3, count: 2 });
    all.retain(is_run);
    all
}

/// Runs with elements on both sides of a place, in step with it and out of step.
fn across(place: u64) -> impl Iterator<Item = RawRun> {
    let shapes = [(1, 1, 2), (512, 512, 2), (512, 4096, 6), (4096, 12_288, 4), (700, 1000, 4)];
    shapes.into_iter().map(move |(len, stride, count): (u64, u64, u64)| {
        let start = place.saturating_sub(stride.saturating_mul(count / 2));
        RawRun { start, len, stride, count }
    })
}

/// Whether the run can exist.
pub(super) fn is_run(run: &RawRun) -> bool {
    let steps = run.count.checked_sub(1);
    let last = steps.and_then(|n| run.stride.checked_mul(n)?.checked_add(run.start));
    let end = last.and_then(|last| last.checked_add(run.len));
    run.len > 0 && end.is_some() && (run.count == 1 || run.stride >= run.len)
}

/// At most `count` of the edges: the first ones, the last ones, and some between.
fn thin_out(edges: &[u64], count: usize) -> Vec<u64> {
    let third = count / 3;
    let middle = edges.len().saturating_sub(third.saturating_mul(2));
    let step = middle.div_ceil(third.max(1)).max(1);
    let first = edges.iter().take(third);
    let between = edges.iter().skip(third).take(middle).step_by(step);
    let last = edges.iter().skip(third.saturating_add(middle));
    first.chain(between).chain(last).copied().collect()
}

#[derive(Default)]
struct Found {
    all: Vec<(u64, u64)>,
}

impl Found {
    fn add_len(&mut self, start: u64, len: u64) {
        let valid = len > 0 && start.checked_add(len).is_some();
        if valid && !self.all.contains(&(start, len)) {
            self.all.push((start, len));
        }
    }

    fn add(&mut self, start: u64, end: u64) {
        if let Some(len) = end.checked_sub(start) {
            self.add_len(start, len);
        }
    }

    /// What ends at a place, begins there, crosses it, and reaches from it to both ends.
    fn at_place(&mut self, place: u64, whole: (u64, u64)) {
        for by in [1, 512, 4096, 1 << 20] {
            let start = place.saturating_sub(by);
            self.add(start, place);
            self.add_len(place, by);
            self.add_len(start, by.saturating_mul(2));
        }
        self.add_len(place.saturating_add(512), 512);
        self.add(whole.0, place);
        self.add(place, whole.1);
        self.around(whole.0, place.saturating_add(512));
        self.add(place.saturating_sub(512), whole.1);
    }

    /// From one edge to another, and with one unit more or less on either side.
    fn around(&mut self, first: u64, last: u64) {
        for start in [first, first.saturating_sub(1), first.saturating_add(1)] {
            for end in [last, last.saturating_sub(1), last.saturating_add(1)] {
                self.add(start, end);
            }
        }
    }
}
