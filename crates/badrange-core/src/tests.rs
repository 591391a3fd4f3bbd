//! Laws of the range algebra, checked against sets of single units.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "small numbers, and a panic is a failed test"
)]

extern crate std;

use core::cell::RefCell;
use std::{collections::BTreeSet, vec, vec::Vec};

use proptest::prelude::*;

use crate::*;

mod facts;

/// A small scale, so that every law can look at each unit.
const SCALE: u64 = 96;

fn at(start: u64, len: u64) -> Extent<DevOffset> {
    Extent::new(DevOffset::new(start), len).unwrap()
}

fn extents() -> impl Strategy<Value = Extent<DevOffset>> {
    (0..SCALE, 1..SCALE).prop_map(|(start, len)| at(start, len))
}

fn runs() -> impl Strategy<Value = Run<DevOffset>> {
    (0..24_u64, 1..8_u64, 0..8_u64, 1..9_u64)
        .prop_map(|(start, len, gap, count)| Run::new(at(start, len), len + gap, count).unwrap())
}

/// The naive twin of a run: its units.
fn units(run: &Run<DevOffset>) -> BTreeSet<u64> {
    let first = run.first().start().get();
    (0..run.count())
        .flat_map(|i| (0..run.element_len()).map(move |u| first + i * run.stride() + u))
        .collect()
}

fn units_of(runs: impl IntoIterator<Item = Run<DevOffset>>) -> Vec<u64> {
    let mut all: Vec<u64> = runs.into_iter().flat_map(|r| units(&r)).collect();
    all.sort_unstable();
    all
}

fn is_sorted(runs: &[Run<DevOffset>]) -> bool {
    runs.windows(2).all(|w| w[0].first().start() <= w[1].first().start())
}

proptest! {
    #[test]
    fn intersection_is_what_both_contain(a in extents(), b in extents()) {
        let both = a.intersect(b);
        for unit in 0..2 * SCALE {
            let pos = DevOffset::new(unit);
            prop_assert_eq!(both.is_some_and(|e| e.contains(pos)), a.contains(pos) && b.contains(pos));
        }
    }

    #[test]
    fn splitting_loses_nothing(e in extents(), cut in 0..2 * SCALE) {
        let (before, after) = e.split_at(DevOffset::new(cut));
        prop_assert!(before.is_none_or(|b| b.end().get() <= cut));
        prop_assert!(after.is_none_or(|a| a.start().get() >= cut));
        let total = before.map_or(0, |b| b.len()) + after.map_or(0, |a| a.len());
        prop_assert_eq!(total, e.len());
    }

    #[test]
    fn rebasing_there_and_back_is_the_identity(e in extents(), to in 0..u64::MAX - 3 * SCALE) {
        let there = e.rebase(e.start(), PhysAddr::new(to)).unwrap();
        prop_assert_eq!(there.start().get(), to);
        prop_assert_eq!(there.rebase(PhysAddr::new(to), e.start()), Some(e));
    }

    #[test]
    fn pages_outward_hold_every_byte_and_pages_inward_only_whole_ones(
        start in 0..5 * PAGE_SIZE, len in 1..5 * PAGE_SIZE,
    ) {
        let bytes = Extent::new(PhysAddr::new(start), len).unwrap();
        let out = bytes.containing_pages();
        prop_assert!(out.bytes().unwrap().contains_extent(bytes));
        prop_assert!(out.bytes().unwrap().len() < len + 2 * PAGE_SIZE);
        match bytes.whole_pages() {
            Some(inner) => prop_assert!(bytes.contains_extent(inner.bytes().unwrap())),
            None => prop_assert!(len < 2 * PAGE_SIZE),
        }
    }

    #[test]
    fn clipping_a_run_keeps_exactly_what_is_inside(run in runs(), window in extents()) {
        let parts: Vec<_> = run.clip(window).collect();
        let expected: Vec<u64> =
            units(&run).into_iter().filter(|u| window.contains(DevOffset::new(*u))).collect();
        prop_assert_eq!(units_of(parts.iter().copied()), expected);
        prop_assert!(parts.len() <= 3 && is_sorted(&parts));
    }

    #[test]
    fn extents_unite_where_no_unit_lies_between(a in extents(), b in extents()) {
        let both: BTreeSet<u64> = &units(&a.into()) | &units(&b.into());
        let hull = units(&a.hull(b).into());
        prop_assert_eq!(a.union(b).map(|u| units(&u.into())), (both == hull).then_some(hull));
    }

    #[test]
    fn united_extents_are_the_same_units_with_gaps_between(
        extents in prop::collection::vec(extents(), 0..6),
    ) {
        let mut ascending = extents.clone();
        ascending.sort_unstable();
        let united = Extent::unite(ascending);
        let all: BTreeSet<u64> = extents.iter().flat_map(|e| units(&(*e).into())).collect();
        prop_assert_eq!(units_of(united.iter().map(|e| Run::from(*e))), Vec::from_iter(all));
        prop_assert!(united.windows(2).all(|pair| pair[0].end() < pair[1].start()));
    }

    #[test]
    fn a_slice_of_a_run_is_its_elements(run in runs(), from in 0..10_u64, to in 0..10_u64) {
        let elements: Vec<_> = run.elements().collect();
        let named = elements.get(from as usize..to as usize).filter(|named| !named.is_empty());
        let slice = run.slice(from..to);
        prop_assert_eq!(slice.map(|s| s.elements().collect::<Vec<_>>()), named.map(Vec::from));
        // A single element has no stride of its own.
        prop_assert_eq!(slice, slice.map(|s| Run::new(s.first(), run.stride(), s.count()).unwrap()));
    }

    #[test]
    fn a_slice_of_a_piece_keeps_its_elements_together(
        run in runs(), gap in 0..8_u64, from in 0..10_u64, to in 0..10_u64,
    ) {
        let first = Extent::new(ReportOffset::new(5), run.element_len()).unwrap();
        let origin = Run::new(first, run.element_len() + gap, run.count()).unwrap();
        let pairs: Vec<_> = run.elements().zip(origin.elements()).collect();
        let named = pairs.get(from as usize..to as usize).filter(|named| !named.is_empty());
        let slice = Piece::new(run, origin).unwrap().slice(from..to);
        let pairs_of = |p: Piece<DevOffset>| p.here().elements().zip(p.origin().elements()).collect();
        prop_assert_eq!(slice.map(pairs_of), named.map(Vec::from));
    }

    #[test]
    fn the_first_element_that_ends_after_a_unit(run in runs(), at in 0..2 * SCALE) {
        let at = DevOffset::new(at);
        let first = run.elements().position(|e| e.end() > at);
        prop_assert_eq!(run.first_ending_after(at), first.map_or(run.count(), |i| i as u64));
    }

    #[test]
    fn settling_by_origin_is_settling_by_place(here in runs(), gap in 0..3_u64, asked in runs()) {
        let origin = Extent::new(ReportOffset::new(5), here.element_len()).unwrap();
        let origin = Run::new(origin, here.element_len() + gap, here.count()).unwrap();
        let piece = Piece::new(here, origin).unwrap();
        let asked = asked.rebase(DevOffset::new(0), ReportOffset::new(0)).unwrap();
        let told = Settled::default();
        let count = Corruption::new(piece, MfFlags::NONE, &told).settle_origin(asked, Outcome::Handled);
        let report = |run: Run<ReportOffset>| run.rebase(ReportOffset::new(0), DevOffset::new(0));
        let settled = units_of(told.0.take().into_iter().filter_map(report));
        let common = &units(&report(origin).unwrap()) & &units(&report(asked).unwrap());
        prop_assert_eq!(count, common.len() as u64);
        prop_assert_eq!(settled, Vec::from_iter(common));
    }

    #[test]
    fn a_run_contains_its_units_and_no_other(run in runs()) {
        let all = units(&run);
        for unit in 0..2 * SCALE {
            prop_assert_eq!(run.contains(DevOffset::new(unit)), all.contains(&unit));
        }
        prop_assert_eq!(run.total_len(), all.len() as u64);
        prop_assert_eq!(run.span().start().get(), *all.first().unwrap());
        prop_assert_eq!(run.span().last().get(), *all.last().unwrap());
    }

    #[test]
    fn overlaps_of_runs_are_their_common_units_within_the_bound(a in runs(), b in runs()) {
        let common: Vec<_> = a.overlaps(&b).collect();
        let expected: Vec<u64> = units(&a).intersection(&units(&b)).copied().collect();
        prop_assert_eq!(units_of(common.iter().copied()), expected);
        prop_assert!(is_sorted(&common));
        if a.count() > 1 && b.count() > 1 {
            let g = naive_gcd(a.stride(), b.stride());
            prop_assert!(common.len() as u64 <= a.stride() / g + b.stride() / g);
        }
        for part in common {
            for e in part.elements() {
                prop_assert!(a.elements().any(|x| x.contains_extent(e)));
                prop_assert!(b.elements().any(|x| x.contains_extent(e)));
            }
        }
    }

    #[test]
    fn an_image_keeps_every_unit_in_its_place(a in runs(), b in runs(), gap in 0..9_u64, base in 0..99_u64) {
        let first = Extent::new(ReportOffset::new(base), a.element_len()).unwrap();
        let to = Run::new(first, a.element_len() + gap, a.count()).unwrap();
        for part in a.overlaps(&b) {
            let image = a.image(part, &to).expect("overlaps have images");
            let pairs = part.elements().zip(image.elements());
            for (x, y) in pairs {
                prop_assert_eq!(x.len(), y.len());
                let i = a.elements().position(|e| e.contains_extent(x)).unwrap();
                let home = a.elements().nth(i).unwrap();
                let there = to.elements().nth(i).unwrap();
                prop_assert_eq!(
                    x.start().get() - home.start().get(),
                    y.start().get() - there.start().get()
                );
            }
        }
    }

    /// A piece carried through several layers is still found on each layer below: by its origin.
    #[test]
    fn a_piece_is_found_on_every_layer_it_came_through(
        bad in extents(), layers in prop::collection::vec((runs(), 0..9_u64, 0..5_u64), 1..4),
    ) {
        let layers: Vec<_> = layers
            .into_iter()
            .map(|(lower, gap, start)| {
                let first = at(start, lower.element_len());
                (lower, Run::new(first, lower.element_len() + gap, lower.count()).unwrap())
            })
            .collect();
        climb_and_look_down(&layers, &[Piece::report(bad)]);
    }

    #[test]
    fn what_is_not_inside_a_run_has_no_image(a in runs(), part in runs()) {
        let to = Run::new(
            Extent::new(ReportOffset::new(0), a.element_len()).unwrap(), a.element_len() + 1, a.count(),
        ).unwrap();
        if a.image(part, &to).is_some() {
            prop_assert!(units(&part).is_subset(&units(&a)));
        }
    }

    #[test]
    fn a_cover_gives_every_unit_the_join_of_what_was_said(
        said in prop::collection::vec((runs(), outcomes()), 0..7), window in extents(),
    ) {
        let mut cover = Cover::new();
        for (run, value) in &said {
            cover.add(*run, *value);
        }
        let states = cover.resolve(window);
        let mut seen = vec![0_u32; 2 * SCALE as usize];
        for (run, value) in &states {
            for unit in units(run) {
                seen[unit as usize] += 1;
                let expected = said
                    .iter()
                    .filter(|(r, _)| units(r).contains(&unit))
                    .map(|(_, v)| *v)
                    .reduce(Join::join);
                prop_assert_eq!(*value, expected);
            }
        }
        for unit in 0..2 * SCALE {
            let inside = window.contains(DevOffset::new(unit));
            prop_assert_eq!(seen[unit as usize], u32::from(inside));
        }
        prop_assert!(states.windows(2).all(|w| w[0].0.first().start() < w[1].0.first().start()));
    }

    #[test]
    fn outcomes_join_as_a_semilattice(a in outcomes(), b in outcomes(), c in outcomes()) {
        prop_assert_eq!(a.join(a), a);
        prop_assert_eq!(a.join(b), b.join(a));
        prop_assert_eq!(a.join(b).join(c), a.join(b.join(c)));
        prop_assert_eq!(a.join(Outcome::Nothing), a);
    }

    #[test]
    fn nothing_panics_at_the_end_of_the_scale(
        start in u64::MAX - 40.., len in 1..40_u64, gap in 0..u64::MAX, count in 1..5_u64,
        w_start in u64::MAX - 40.., w_len in 1..40_u64,
    ) {
        let Ok(first) = Extent::new(DevOffset::new(start), len) else { return Ok(()) };
        let Ok(window) = Extent::new(DevOffset::new(w_start), w_len) else { return Ok(()) };
        let clipped = first.intersect(window);
        prop_assert!(clipped.is_none_or(|c| c.len() <= len));
        if let Ok(run) = Run::new(first, gap, count) {
            let kept: u64 = run.clip(window).map(|r| r.total_len()).sum();
            prop_assert!(kept <= run.total_len());
            prop_assert!(run.overlaps(&window.into()).count() <= 3);
        }
    }
}

/// Climbs depth first; every piece must be located on every layer below, unit by unit.
/// What was settled, by bytes of the report.
#[derive(Default)]
struct Settled(RefCell<Vec<Run<ReportOffset>>>);

impl Context for Settled {
    fn settle(&self, origin: Run<ReportOffset>, _: Outcome) {
        self.0.borrow_mut().push(origin);
    }
}

fn climb_and_look_down(layers: &[(Run<DevOffset>, Run<DevOffset>)], way: &[Piece]) {
    let piece = way.last().unwrap();
    for below in way {
        let there = below.locate(piece.origin()).expect("a piece stems from those below it");
        for (element, origin) in there.elements().zip(piece.origin().elements()) {
            let twin = below.elements().find(|(_, o)| o.contains_extent(origin));
            let (home, from) = twin.expect("an element inside one element");
            let offset = origin.start().get() - from.start().get();
            assert_eq!(element.start().get() - home.start().get(), offset);
            assert_eq!(element.len(), origin.len());
        }
    }
    let Some(((lower, upper), rest)) = layers.split_first() else { return };
    let _ = piece.through(lower, upper, &mut |above| {
        climb_and_look_down(rest, &[way, &[above]].concat());
        core::ops::ControlFlow::Continue(())
    });
}

#[test]
fn chunks_cut_from_a_single_chunk_are_found_below() {
    // Two stripes on one another: chunks of 1 within a single chunk of 4.
    let outer = (Run::new(at(3, 4), 4, 4).unwrap(), Run::new(at(0, 4), 8, 4).unwrap());
    let inner = (Run::new(at(16, 1), 1, 5).unwrap(), Run::new(at(0, 1), 2, 5).unwrap());
    climb_and_look_down(&[outer, inner], &[Piece::report(at(0, 60))]);
}

fn outcomes() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        Just(Outcome::Nothing),
        Just(Outcome::Handled),
        Just(Outcome::Failed(Errno::EIO)),
        Just(Outcome::Failed(Errno::EUCLEAN)),
        Just(Outcome::NotSupported),
    ]
}

fn naive_gcd(a: u64, b: u64) -> u64 {
    (1..=a.min(b)).rev().find(|d| a % d == 0 && b % d == 0).unwrap()
}

#[test]
fn every_pair_of_small_runs_overlaps_as_their_units_do() {
    // Miri is some hundred times slower: every 11th run against every 11th.
    let every = if cfg!(miri) { 11 } else { 1 };
    let all: Vec<Run<DevOffset>> = small_runs().into_iter().step_by(every).collect();
    for a in &all {
        for b in &all {
            let expected: Vec<u64> = units(a).intersection(&units(b)).copied().collect();
            assert_eq!(units_of(a.overlaps(b)), expected, "{a:?} with {b:?}");
        }
    }
}

/// Every run with start < 4, elements of 1..=3, gaps of 0..=3 and 1..=4 elements.
fn small_runs() -> Vec<Run<DevOffset>> {
    let mut all = Vec::new();
    for start in 0..4 {
        for len in 1..=3 {
            for gap in 0..=3 {
                for count in 1..=4 {
                    all.push(Run::new(at(start, len), len + gap, count).unwrap());
                }
            }
        }
    }
    all
}

#[test]
fn a_terabyte_leg_costs_a_handful_of_runs() {
    // One leg of `striped 8 128` (64 KiB chunks) of 1 TiB, hit from the middle of a chunk on.
    let chunks = (1 << 40) / 65536;
    let lower = Run::new(at(0, 65536), 65536, chunks).unwrap();
    let upper = Run::new(at(0, 65536), 8 * 65536, chunks).unwrap();
    let failed = Piece::report(at(4096, (1 << 40) - 8192));
    let mut above = Vec::new();
    let _ = failed.through(&lower, &upper, &mut |p| {
        above.push(p);
        core::ops::ControlFlow::Continue(())
    });
    assert_eq!(above.len(), 3);
    assert_eq!(above[0].here(), at(4096, 61440).into());
    assert_eq!(above[1].here().count(), chunks - 2);
    assert_eq!(above[1].here().stride(), 8 * 65536);
    assert_eq!(above[2].here().first().len(), 61440);
    let total: u64 = above.iter().map(|p| p.here().total_len()).sum();
    assert_eq!(total, (1 << 40) - 8192);
}

#[test]
fn a_strided_account_is_resolved_by_its_period() {
    // Every other 4 KiB of 4 TiB handled: four runs, not a billion extents.
    let mut cover = Cover::new();
    let first = Extent::new(ReportOffset::new(0), 4096).unwrap();
    cover.add(Run::new(first, 8192, 1 << 29).unwrap(), Outcome::Handled);
    let all = Extent::new(ReportOffset::new(0), 1 << 42).unwrap();
    let states = cover.resolve(all);
    assert_eq!(states.len(), 4, "elements, gaps, the last element, the gap after it");
    assert_eq!(states[0], (Run::new(first, 8192, (1 << 29) - 1).unwrap(), Some(Outcome::Handled)));
}

#[test]
fn a_cover_keeps_what_continues_as_one_entry_and_forgets_on_demand() {
    let mut cover = Cover::new();
    assert!(cover.is_empty());
    cover.add(at(0, 4).into(), Outcome::Handled);
    cover.add(at(4, 4).into(), Outcome::Handled);
    assert!(!cover.is_empty());
    assert_eq!(cover.entries().collect::<Vec<_>>(), [(at(0, 8).into(), Outcome::Handled)]);
    // Not what lies apart, what overlaps, or what says something else.
    cover.add(at(9, 1).into(), Outcome::Handled);
    cover.add(at(9, 2).into(), Outcome::Handled);
    cover.add(at(11, 1).into(), Outcome::NotSupported);
    assert_eq!(cover.entries().count(), 4);
    cover.clear();
    assert!(cover.is_empty());
    assert_eq!(cover.resolve(at(0, 8)), [(at(0, 8).into(), None)]);
}

#[test]
fn neighbours_of_equal_value_come_out_of_a_cover_as_one() {
    let mut cover = Cover::new();
    cover.add(at(4, 4).into(), Outcome::Handled);
    cover.add(at(0, 4).into(), Outcome::Handled);
    cover.add(at(8, 4).into(), Outcome::NotSupported);
    let states = cover.resolve(at(0, 16));
    let due = [
        (at(0, 8).into(), Some(Outcome::Handled)),
        (at(8, 4).into(), Some(Outcome::NotSupported)),
        (at(12, 4).into(), None),
    ];
    assert_eq!(states, due);
}

#[test]
fn ranges_that_cannot_exist_say_why() {
    let kind = |r: Result<Extent<Sector>, RangeError>| r.unwrap_err().kind();
    assert_eq!(kind(Extent::new(Sector::new(1), 0)), RangeErrorKind::Empty);
    assert_eq!(kind(Extent::new(Sector::new(u64::MAX), 1)), RangeErrorKind::Overflow);
    assert!(Extent::new(Sector::new(u64::MAX - 1), 1).is_ok());
    assert_eq!(kind(Extent::from_bounds(Sector::new(9), Sector::new(8))), RangeErrorKind::Reversed);
    let first = at(0, 8);
    assert_eq!(Run::new(first, 7, 2).unwrap_err().kind(), RangeErrorKind::Overlapping);
    assert_eq!(Run::new(first, 8, 0).unwrap_err().kind(), RangeErrorKind::Empty);
    assert_eq!(Run::new(first, u64::MAX, 2).unwrap_err().kind(), RangeErrorKind::Overflow);
    assert_eq!(Run::new(first, 1, 1).unwrap(), first.into());
    let pages = Extent::new(Pfn::new(u64::MAX / PAGE_SIZE), 2).unwrap();
    assert_eq!(pages.bytes().unwrap_err().kind(), RangeErrorKind::Overflow);
}

#[test]
fn a_clip_in_the_wrong_order_is_not_possible() {
    // The kernel's first XFS clip subtracted what it should have kept: offset 10, len 100, device
    // end 50 (inclusive) left 60 instead of 41.
    let event = at(10, 100);
    let device = Extent::from_bounds(DevOffset::new(0), DevOffset::new(51)).unwrap();
    assert_eq!(event.intersect(device).unwrap().len(), 41);
    // And the one still there: an end compared after the start was made relative.
    let gib = 1 << 30;
    let partition = at(gib, gib);
    let event = at(gib + gib / 2, 2 * gib);
    let clipped = event.intersect(partition).unwrap();
    let relative = clipped.rebase(partition.start(), DevOffset::new(0)).unwrap();
    assert_eq!(relative, at(gib / 2, gib / 2));
}
