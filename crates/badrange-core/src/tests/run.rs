//! Runs: clipping, common units, images.

use super::*;

proptest! {
    #[test]
    fn clipping_a_run_keeps_exactly_what_is_inside(run in runs(), window in extents()) {
        let parts: Vec<_> = run.clip(window).collect();
        let expected: Vec<u64> =
            units(&run).into_iter().filter(|u| window.contains(DevOffset::new(*u))).collect();
        prop_assert_eq!(units_of(parts.iter().copied()), expected);
        prop_assert!(parts.len() <= 3 && is_sorted(&parts));
    }

    #[test]
    fn a_split_run_is_its_clips_before_and_after(run in runs(), cut in 0..2 * SCALE) {
        let (before, after) = run.split_at(DevOffset::new(cut));
        let (before, after) = (units_of(before), units_of(after));
        let due = units(&run).into_iter().partition::<Vec<u64>, _>(|unit| *unit < cut);
        prop_assert_eq!((before, after), due);
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
    fn the_first_element_that_ends_after_a_unit(run in runs(), at in 0..2 * SCALE) {
        let at = DevOffset::new(at);
        let first = run.elements().position(|e| e.end() > at);
        prop_assert_eq!(run.first_ending_after(at), first.map_or(run.count(), |i| i as u64));
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
        prop_assert_eq!(run.last().last().get(), *all.last().unwrap());
        let contiguous = run.span().len() == all.len() as u64;
        prop_assert_eq!(run.as_extent(), contiguous.then(|| run.span()));
        prop_assert_eq!(run.element(run.count()), None);
    }

    #[test]
    fn a_run_rebased_there_and_back_is_the_same(run in runs(), base in bases()) {
        let there: Run<PhysAddr> = run.rebase(run.first().start(), PhysAddr::new(base)).unwrap();
        prop_assert_eq!(there.first().start(), PhysAddr::new(base));
        prop_assert_eq!(there.rebase(PhysAddr::new(base), run.first().start()), Some(run));
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
            prop_assert!(element_by_element(&part, &a) && element_by_element(&part, &b));
        }
    }

    #[test]
    fn an_image_keeps_every_unit_in_its_place(a in runs(), b in runs(), gap in 0..9_u64, base in 0..99_u64) {
        let first = Extent::new(FileOffset::new(base), a.element_len()).unwrap();
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

    #[test]
    fn what_is_not_inside_a_run_has_no_image(a in runs(), part in runs()) {
        let to = Run::new(
            Extent::new(FileOffset::new(0), a.element_len()).unwrap(), a.element_len() + 1, a.count(),
        ).unwrap();
        if a.image(part, &to).is_some() {
            prop_assert!(units(&part).is_subset(&units(&a)));
        }
    }
}

#[test]
fn every_pair_of_small_runs_overlaps_as_their_units_do() {
    // Miri is some hundred times slower: every 11th run against every 11th.
    let every = if cfg!(miri) { 11 } else { 1 };
    let all: Vec<Run> = small_runs().into_iter().step_by(every).collect();
    for a in &all {
        for b in &all {
            let expected: Vec<u64> = units(a).intersection(&units(b)).copied().collect();
            assert_eq!(units_of(a.overlaps(b)), expected, "{a:?} with {b:?}");
        }
    }
}

/// Every run with start < 4, elements of 1..=3, gaps of 0..=3 and 1..=4 elements.
fn small_runs() -> Vec<Run> {
    let mut all = Vec::new();
    for start in 0..4 {
        for len in 1..=3 {
            for gap in 0..=3 {
                all.extend((1..=4).map(|count| every(start, len, len + gap, count)));
            }
        }
    }
    all
}

#[test]
fn runs_of_different_shape_have_no_image() {
    let run = |start, len, count| every(start, len, 16, count);
    let (here, part) = (run(0, 8, 4), Run::from(at(18, 4)));
    assert_eq!(here.image(part, &run(100, 8, 4)), Some(Run::from(at(118, 4))));
    assert_eq!(here.image(part, &run(100, 8, 3)), None, "fewer elements");
    assert_eq!(here.image(part, &run(100, 9, 4)), None, "longer elements");
}

#[test]
fn runs_whose_common_period_does_not_fit_overlap_element_by_element() {
    // The strides are coprime and their product lies beyond 64 bits.
    let (p, q) = ((1 << 33) - 9, (1 << 33) - 25);
    let (a, b) = (every(0, 1 << 32, p, 4), every(1, 1 << 32, q, 4));
    let common: Vec<Run> = a.overlaps(&b).collect();
    let total: u64 = common.iter().map(Run::total_len).sum();
    // By elements: the ranges of one against the ranges of the other.
    let both = a.elements().flat_map(|x| b.elements().filter_map(move |y| x.intersect(y)));
    assert_eq!(total, both.map(|e| e.len()).sum::<u64>());
    assert!(common.iter().all(|part| part.count() == 1));
}

#[test]
fn runs_whose_elements_never_meet_cost_one_period() {
    // Element by element this would take years.
    let count = 1 << 58;
    assert_eq!(every(0, 4, 12, count).overlaps(&every(4, 4, 12, count)).count(), 0);
    assert_eq!(every(0, 2, 12, count).overlaps(&every(4, 2, 6, count)).count(), 0);
    // The second element of each period of the one is in the only element of the other's.
    let common: Vec<Run> = every(0, 4, 6, count).overlaps(&every(7, 2, 12, count)).collect();
    assert_eq!(common, [every(7, 2, 12, count / 2)]);
}
