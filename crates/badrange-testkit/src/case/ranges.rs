#![expect(
    clippy::arithmetic_side_effects,
    reason = "drawn numbers are small, and a panic is a failed check"
)]

use core::ops::ControlFlow;
use std::collections::BTreeSet;

use arbitrary::Arbitrary;
use badrange_core::{Cover, DevOffset, Extent, Link, Outcome, PageSize, Run, Space, sweep};

use super::{DrawnAnswer, TestCase};
use crate::draw::{few, within};

/// An extent in plain numbers.
///
/// # Examples
/// ```
/// use badrange_testkit::case::DrawnExtent;
/// let extent = DrawnExtent { start: 3, len: 2 };
/// assert!(extent.has(4) && !extent.has(5));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Arbitrary)]
pub struct DrawnExtent {
    /// First unit.
    #[arbitrary(with = within::<0, 59>)]
    pub start: u64,
    /// How many units.
    #[arbitrary(with = within::<1, 60>)]
    pub len: u64,
}

impl DrawnExtent {
    /// Whether a unit lies inside.
    #[must_use]
    pub fn has(&self, unit: u64) -> bool {
        self.start <= unit && unit < self.start + self.len
    }

    /// The real extent, in units of `unit`; `None` where it would end beyond 64 bits.
    ///
    /// # Examples
    /// ```
    /// use badrange_core::DevOffset;
    /// use badrange_testkit::case::DrawnExtent;
    /// let extent = DrawnExtent { start: 3, len: 2 };
    /// assert_eq!(extent.build::<DevOffset>(512).unwrap().start(), DevOffset::new(1536));
    /// assert_eq!(extent.build::<DevOffset>(u64::MAX), None);
    /// ```
    #[must_use]
    pub fn build<S: Space>(&self, unit: u64) -> Option<Extent<S>> {
        let start = S::from_raw(self.start.checked_mul(unit)?);
        Extent::new(start, self.len.checked_mul(unit)?).ok()
    }

    fn real(&self, base: u64) -> Extent {
        Extent::new(DevOffset::new(base + self.start), self.len).expect("ends within 64 bits")
    }
}

/// A run in plain numbers.
///
/// # Examples
/// ```
/// use badrange_testkit::case::DrawnRun;
/// let run = DrawnRun { start: 1, len: 2, gap: 1, count: 3 };
/// let units: Vec<u64> = (0..12).filter(|unit| run.has(*unit)).collect();
/// assert_eq!(units, [1, 2, 4, 5, 7, 8]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Arbitrary)]
pub struct DrawnRun {
    /// First unit.
    #[arbitrary(with = within::<0, 59>)]
    pub start: u64,
    /// Units of an element.
    #[arbitrary(with = within::<1, 15>)]
    pub len: u64,
    /// Units between two elements.
    #[arbitrary(with = within::<0, 15>)]
    pub gap: u64,
    /// How many elements.
    #[arbitrary(with = within::<1, 8>)]
    pub count: u64,
}

impl DrawnRun {
    /// Whether a unit lies in one of the elements.
    #[must_use]
    pub fn has(&self, unit: u64) -> bool {
        (0..self.count).any(|i| {
            let start = self.start + i * (self.len + self.gap);
            start <= unit && unit < start + self.len
        })
    }

    /// The real run, in units of `unit`; `None` where it would end beyond 64 bits.
    ///
    /// # Examples
    /// ```
    /// use badrange_core::DevOffset;
    /// use badrange_testkit::case::DrawnRun;
    /// let run = DrawnRun { start: 1, len: 2, gap: 1, count: 3 };
    /// assert_eq!(run.build::<DevOffset>(512).unwrap().stride(), 1536);
    /// ```
    #[must_use]
    pub fn build<S: Space>(&self, unit: u64) -> Option<Run<S>> {
        let first = DrawnExtent { start: self.start, len: self.len }.build(unit)?;
        Run::new(first, self.len.checked_add(self.gap)?.checked_mul(unit)?, self.count).ok()
    }

    pub(crate) fn quad(&self) -> (u64, u64, u64, u64) {
        (self.start, self.len, self.len + self.gap, self.count)
    }

    fn real(&self, base: u64) -> Run {
        let first = Extent::new(DevOffset::new(base + self.start), self.len);
        Run::new(first.expect("ends within 64 bits"), self.len + self.gap, self.count)
            .expect("ends within 64 bits")
    }
}

/// No drawn range ends beyond this unit.
const END: u64 = 59 + 8 * 30 + 1;

/// The algebra of ranges against sets of single units.
///
/// # Examples
/// ```
/// badrange_testkit::case::check_bytes::<badrange_testkit::case::Ranges>(&[1; 64]);
/// ```
#[derive(Debug, Clone, Arbitrary)]
pub struct Ranges {
    /// Whether all of it happens at the end of the 64-bit scale instead of its beginning.
    pub at_the_end: bool,
    /// Two extents.
    pub extents: (DrawnExtent, DrawnExtent),
    /// Two runs.
    pub runs: (DrawnRun, DrawnRun),
    /// What somebody said about runs, for a cover.
    #[arbitrary(with = few::<_, 0, 6>)]
    pub said: Vec<(DrawnRun, DrawnAnswer)>,
}

impl TestCase for Ranges {
    fn check(&self) {
        let base = if self.at_the_end { u64::MAX - END } else { 0 };
        check_extents(base, self.extents);
        check_clip(base, self.runs.0, self.extents.0);
        check_overlaps(base, self.runs);
        check_links(base, self.runs);
        check_link_ends(base, self.runs.0, self.extents.1);
        check_pages(self.runs.0);
        self.check_cover(base);
        self.check_extents_of_said(base);
    }
}

fn check_extents(base: u64, (a, b): (DrawnExtent, DrawnExtent)) {
    let (x, y) = (a.real(base), b.real(base));
    let (both, hull, cut) = (x.intersect(y), x.hull(y), y.start());
    let ((before, after), (left, right)) = (x.split_at(cut), x.without(y));
    assert_eq!(x.contains_extent(y), (0..END).all(|unit| !b.has(unit) || a.has(unit)));
    for unit in 0..END {
        let at = DevOffset::new(base + unit);
        let has = |e: Option<Extent>| e.is_some_and(|e| e.contains(at));
        assert_eq!(x.contains(at), a.has(unit));
        assert_eq!(has(both), a.has(unit) && b.has(unit), "{x} and {y} at {at}");
        assert_eq!(has(before), a.has(unit) && unit < b.start);
        assert_eq!(has(after), a.has(unit) && unit >= b.start);
        assert_eq!(has(left) || has(right), a.has(unit) && !b.has(unit), "{x} without {y}");
        assert!(!(has(left) && has(right)));
        let (first, end) = (a.start.min(b.start), (a.start + a.len).max(b.start + b.len));
        assert_eq!(hull.contains(at), first <= unit && unit < end);
    }
    let apart = a.start + a.len < b.start || b.start + b.len < a.start;
    assert_eq!(x.union(y), (!apart).then_some(hull), "{x} and {y}");
}

/// The units of some runs, each as often as it is there.
fn units(base: u64, runs: &[Run]) -> Vec<u64> {
    let elements = runs.iter().flat_map(Run::elements);
    let mut all: Vec<u64> =
        elements.flat_map(|e| e.start().get() - base..e.end().get() - base).collect();
    all.sort_unstable();
    all
}

fn check_clip(base: u64, run: DrawnRun, window: DrawnExtent) {
    let (real, cut) = (run.real(base), window.real(base));
    let parts: Vec<_> = real.clip(cut).collect();
    let due: Vec<u64> = (0..END).filter(|unit| run.has(*unit) && window.has(*unit)).collect();
    assert_eq!(units(base, &parts), due, "{real} in {cut}");
    assert!(parts.len() <= 3 && parts.is_sorted_by_key(|r| r.first().start()));
    for unit in 0..END {
        assert_eq!(real.contains(DevOffset::new(base + unit)), run.has(unit), "{real} at {unit}");
    }
}

fn check_overlaps(base: u64, (a, b): (DrawnRun, DrawnRun)) {
    let (x, y) = (a.real(base), b.real(base));
    let parts: Vec<_> = x.overlaps(&y).collect();
    let due: Vec<u64> = (0..END).filter(|unit| a.has(*unit) && b.has(*unit)).collect();
    assert_eq!(units(base, &parts), due, "{x} and {y}");
    assert!(parts.is_sorted_by_key(|r| r.first().start()), "{parts:?}");
    for element in parts.iter().flat_map(Run::elements) {
        for run in [&x, &y] {
            assert!(run.elements().any(|e| e.contains_extent(element)), "{element} of {run}");
        }
    }
    let common = (1..=x.stride()).rev().find(|d| x.stride() % d == 0 && y.stride() % d == 0);
    let bound = (x.stride() + y.stride()) / common.unwrap_or(1);
    assert!(parts.len() as u64 <= bound.max(3), "{x} and {y}: {} runs", parts.len());
}

/// Index of the element that has a unit, and which unit of it that is.
fn index(run: DrawnRun, unit: u64) -> Option<(u64, u64)> {
    let by = unit.checked_sub(run.start)?;
    let (element, within) = (by / (run.len + run.gap), by % (run.len + run.gap));
    run.has(unit).then_some((element, within))
}

/// The bytes of links, below and above; each pair once.
fn linked(base: u64, links: &[Link]) -> BTreeSet<(u64, u64)> {
    let mut pairs = BTreeSet::new();
    for (lower, upper) in links.iter().flat_map(Link::elements) {
        for by in 0..lower.len() {
            let pair = (lower.start().get() - base + by, upper.start().get() + by);
            assert!(pairs.insert(pair), "{pair:?} twice in {links:?}");
        }
    }
    pairs
}

/// A leg of this run: the same elements at other places above, `STRIDE` times as far apart.
fn leg(base: u64, run: DrawnRun) -> Link {
    let upper = Extent::new(DevOffset::new(ABOVE), run.len).expect("small");
    let upper = Run::new(upper, STRIDE * run.len + 1, run.count).expect("small");
    Link::new(run.real(base), upper).expect("of one shape")
}

const ABOVE: u64 = 5000;
const STRIDE: u64 = 3;

/// Where a unit of such a leg is above.
fn above(run: DrawnRun, unit: u64) -> Option<u64> {
    let (element, within) = index(run, unit)?;
    Some(ABOVE + element * (STRIDE * run.len + 1) + within)
}

/// The reverse map of a leg keeps every byte in its place, element by element of what was asked.
fn check_links(base: u64, (a, b): (DrawnRun, DrawnRun)) {
    let (asked, link) = (a.real(base), leg(base, b));
    let mut links: Vec<Link> = Vec::new();
    let flow = link.rmap(asked, &mut |part| {
        links.push(part);
        ControlFlow::Continue(())
    });
    assert!(flow.is_continue());
    let common = (0..END).filter(|unit| a.has(*unit));
    let due: BTreeSet<_> = common.filter_map(|unit| Some((unit, above(b, unit)?))).collect();
    assert_eq!(linked(base, &links), due, "{asked} through {link:?}");
    for part in &links {
        let lies = |e: Extent| asked.elements().any(|element| element.contains_extent(e));
        assert!(part.lower().elements().all(lies), "{part:?} of {asked}");
        assert_eq!(link.of_lower(part.lower()), Some(*part));
        assert_eq!(link.of_upper(part.upper()), Some(*part));
        // On by another link, and back again.
        let back = part.inverse();
        assert_eq!(link.then(back), Some(Link::same(part.lower())));
    }
}

/// A link cut on either side.
fn check_link_ends(base: u64, run: DrawnRun, window: DrawnExtent) {
    let link = leg(base, run);
    let below: Vec<Link> = link.clip_lower(window.real(base)).collect();
    let all = (0..END).filter_map(|unit| Some((unit, above(run, unit)?)));
    let due: BTreeSet<_> = all.clone().filter(|(unit, _)| window.has(*unit)).collect();
    assert_eq!(linked(base, &below), due, "{link:?} in {window:?}");
    let upper = Extent::new(DevOffset::new(ABOVE + window.start), window.len).expect("small");
    let clipped: Vec<Link> = link.clip_upper(upper).collect();
    let due: BTreeSet<_> = all.filter(|(_, at)| window.has(at - ABOVE)).collect();
    assert_eq!(linked(base, &clipped), due, "{link:?} above in {window:?}");
    assert!(below.len() <= 3 && clipped.len() <= 3);
}

/// Pages of a strided run, at a sixteenth and at a quarter of a page per unit.
fn check_pages(run: DrawnRun) {
    for (size, units) in [(PageSize::K4, 16), (PageSize::K64, 4)] {
        let unit = size.bytes() / units;
        let bytes: Run = run.build(unit).expect("small");
        let mut pages = BTreeSet::new();
        bytes.containing_frames(size, &mut |part| {
            for e in part.elements() {
                pages.extend(e.start().get()..e.end().get());
            }
        });
        let touched = (0..END).filter(|unit| run.has(*unit)).map(|unit| unit / units);
        assert_eq!(pages, touched.collect(), "{bytes}");
    }
}

impl Ranges {
    fn check_cover(&self, base: u64) {
        let mut cover = Cover::new();
        for (run, answer) in &self.said {
            cover.add(run.real(base), Outcome::from(*answer));
        }
        let window = self.extents.1;
        let mut states = Vec::new();
        cover.resolve(window.real(base), &mut |run, said| states.push((run, said)));
        let mut seen = BTreeSet::new();
        for (run, state) in &states {
            for unit in units(base, &[*run]) {
                assert!(seen.insert(unit), "unit {unit} twice in {states:?}");
                assert_eq!(*state, self.said_about(unit), "unit {unit} of {states:?}");
            }
        }
        let due: BTreeSet<u64> = (0..END).filter(|unit| window.has(*unit)).collect();
        assert_eq!(seen, due);
        assert!(states.is_sorted_by_key(|(run, _)| run.first().start()));
    }

    /// What was said as plain extents: gaps of a window, unions, and who covers what.
    fn check_extents_of_said(&self, base: u64) {
        let window = self.extents.1;
        let elements = self.said.iter().flat_map(|(run, _)| run.real(base).elements());
        let mut all: Vec<Extent> = elements.collect();
        let has = |e: &Extent, unit: u64| e.contains(DevOffset::new(base + unit));
        let covers = |unit: u64| all.iter().filter(|e| has(e, unit)).count();
        let in_window = (0..END).filter(|unit| window.has(*unit));
        let gaps: Vec<Run> =
            window.real(base).minus(all.iter().copied()).into_iter().map(Run::from).collect();
        let due: Vec<u64> = in_window.clone().filter(|unit| covers(*unit) == 0).collect();
        assert_eq!(units(base, &gaps), due);
        let mut covered = Vec::new();
        let numbered = all.iter().copied().zip(0_u64..).collect();
        sweep(window.real(base), numbered, &mut |part, covering| {
            let each = units(base, &[part.into()]).into_iter();
            covered.extend(each.map(|unit| (unit, covering.len())));
        });
        let due: Vec<_> = in_window.map(|unit| (unit, covers(unit))).collect();
        assert_eq!(covered, due);
        let due: Vec<u64> = (0..END).filter(|unit| covers(*unit) > 0).collect();
        all.sort_unstable();
        let united: Vec<Run> = Extent::unite(all).into_iter().map(Run::from).collect();
        assert_eq!(units(base, &united), due);
        assert!(united.is_sorted_by(|a, b| a.span().end() < b.span().start()), "{united:?}");
    }

    /// The join, spelled out.
    fn said_about(&self, unit: u64) -> Option<Outcome> {
        let about = self.said.iter().filter(|(run, _)| run.has(unit));
        let said: Vec<Outcome> = about.map(|(_, answer)| Outcome::from(*answer)).collect();
        let order = [
            DrawnAnswer::NotSupported,
            DrawnAnswer::Eio,
            DrawnAnswer::Euclean,
            DrawnAnswer::Handled,
        ];
        let strongest = order.into_iter().map(Outcome::from).find(|outcome| said.contains(outcome));
        strongest.or_else(|| said.first().copied())
    }
}
