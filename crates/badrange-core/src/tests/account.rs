//! Covers, sweeps, and how outcomes join.

use super::*;

/// Everything that a cover says about a window.
fn resolved<V: Join, S: Space>(cover: &Cover<V, S>, window: Extent<S>) -> Vec<(Run<S>, Option<V>)> {
    let mut states = Vec::new();
    cover.resolve(window, &mut |run, value| states.push((run, value)));
    states
}

/// The law of a cover: every unit of the window once, with the join of what was said about it.
fn check_cover(said: &[(Run, Outcome)], window: Extent) -> Result<(), TestCaseError> {
    let (mut cover, mut set) = (Cover::new(), Cover::new());
    for (run, value) in said {
        cover.add(*run, *value);
        set.add(*run, ());
    }
    let value_of = |unit: u64| {
        let about = said.iter().filter(|(run, _)| units(run).contains(&unit));
        about.map(|(_, value)| *value).reduce(Join::join)
    };
    let states = resolved(&cover, window);
    for (run, value) in &states {
        for unit in units_in_order(run) {
            prop_assert_eq!(*value, value_of(unit), "unit {:#x}", unit);
        }
    }
    let all = units_in_order(&window.into());
    prop_assert_eq!(units_of(states.iter().map(|(run, _)| *run)), all.clone());
    for pair in states.windows(2) {
        let ((a, said), (b, next)) = (pair[0], pair[1]);
        prop_assert!(a.first().start() < b.first().start());
        let touch = a.count() == 1 && b.count() == 1 && a.span().end() == b.span().start();
        prop_assert!(said != next || !touch, "neighbours of equal value are one");
    }
    let about: Vec<u64> = all.into_iter().filter(|unit| value_of(*unit).is_some()).collect();
    let within = set.within(window);
    prop_assert!(is_sorted(&within));
    prop_assert_eq!(units_of(within), about.clone());
    prop_assert_eq!(units_of(cover.within(window)), about);
    Ok(())
}

fn moved<V: Copy>(said: &[(Run, V)], base: u64) -> Vec<(Run, V)> {
    let to = DevOffset::new(base);
    said.iter().map(|(run, v)| (run.rebase(DevOffset::new(0), to).unwrap(), *v)).collect()
}

/// Extents of a scale half as long, so that they fit behind every base.
fn short_extents() -> impl Strategy<Value = Extent> {
    (0..SCALE, 1..SCALE).prop_map(|(start, len)| at(start / 2, len.div_ceil(2)))
}

fn said_of_extents(count: core::ops::Range<usize>) -> impl Strategy<Value = Vec<(Run, Outcome)>> {
    prop::collection::vec((short_extents().prop_map(Run::from), outcomes()), count)
}

/// Long runs of few periods, so that a period repeats.
fn long_runs() -> impl Strategy<Value = Run> {
    (0..40_u64, 1..5_u64, prop::sample::select(vec![5, 6, 8, 12]), 2..60_u64)
        .prop_map(|(start, len, stride, count)| every(start, len, stride, count))
}

proptest! {
    #[test]
    fn a_cover_gives_every_unit_the_join_of_what_was_said(
        said in prop::collection::vec((runs(), outcomes()), 0..7), window in extents(),
    ) {
        check_cover(&said, window)?;
    }

    #[test]
    fn a_cover_of_a_few_extents_does_so_wherever_they_lie(
        said in said_of_extents(0..5), window in short_extents(), base in bases(),
    ) {
        let window = window.rebase(DevOffset::new(0), DevOffset::new(base)).unwrap();
        check_cover(&moved(&said, base), window)?;
    }

    #[test]
    fn a_cover_of_many_extents_does_so_wherever_they_lie(
        said in said_of_extents(5..14), window in short_extents(), base in bases(),
    ) {
        let window = window.rebase(DevOffset::new(0), DevOffset::new(base)).unwrap();
        check_cover(&moved(&said, base), window)?;
    }

    #[test]
    fn a_cover_of_runs_whose_period_repeats_does_so_too(
        runs in prop::collection::vec((long_runs(), outcomes()), 1..4),
        over in said_of_extents(0..3), start in 0..200_u64, len in 1..400_u64,
    ) {
        check_cover(&[runs, over].concat(), at(start, len))?;
    }

    #[test]
    fn outcomes_join_as_a_semilattice(a in outcomes(), b in outcomes(), c in outcomes()) {
        prop_assert_eq!(a.join(a), a);
        prop_assert_eq!(a.join(b), b.join(a));
        prop_assert_eq!(a.join(b).join(c), a.join(b.join(c)));
        prop_assert_eq!(a.join(Outcome::Nothing), a);
    }

    #[test]
    fn a_sweep_visits_every_unit_once_with_what_covers_it(
        given in prop::collection::vec(short_extents(), 0..9), window in short_extents(),
        base in bases(),
    ) {
        let to = |e: Extent| e.rebase(DevOffset::new(0), DevOffset::new(base)).unwrap();
        let (window, given) = (to(window), Vec::from_iter(given.into_iter().map(to)));
        let named: Vec<(Extent, usize)> = given.iter().copied().zip(0..).collect();
        let mut parts = Vec::new();
        sweep(window, named.clone(), &mut |part, covering| parts.push((part, covering.to_vec())));

        let mut by_start = named.clone();
        by_start.sort_by_key(|(extent, name)| (extent.start(), *name));
        for (part, covering) in &parts {
            for unit in units(&(*part).into()) {
                let has = |(extent, _): &&(Extent, usize)| extent.contains(DevOffset::new(unit));
                let due: Vec<_> = by_start.iter().filter(has).copied().collect();
                prop_assert_eq!(covering, &due);
            }
        }
        prop_assert_eq!(parts.first().map(|(part, _)| part.start()), Some(window.start()));
        prop_assert_eq!(parts.last().map(|(part, _)| part.end()), Some(window.end()));
        for pair in parts.windows(2) {
            let cut = pair[0].0.end();
            prop_assert_eq!(cut, pair[1].0.start());
            // And cuts only where one of them begins or ends.
            prop_assert!(given.iter().any(|e| e.start() == cut || e.end() == cut));
        }
    }
}

#[test]
fn outcomes_join_to_what_matters_most() {
    let failed = Outcome::Failed;
    assert_eq!(failed(Errno::EUCLEAN).join(failed(Errno::EIO)), failed(Errno::EIO));
    assert_eq!(failed(Errno::EIO).join(Outcome::Handled), failed(Errno::EIO));
    assert_eq!(Outcome::NotSupported.join(failed(Errno::EIO)), Outcome::NotSupported);
    assert_eq!(Outcome::Handled.join(Outcome::NotSupported), Outcome::NotSupported);
}

#[test]
fn a_strided_account_is_resolved_by_its_period() {
    // Every other 4 KiB of 4 TiB handled: four runs, not a billion extents.
    let mut cover = Cover::new();
    cover.add(every(0, 4096, 8192, 1 << 29), Outcome::Handled);
    let states = resolved(&cover, at(0, 1 << 42));
    assert_eq!(states.len(), 4, "elements, gaps, the last element, the gap after it");
    assert_eq!(states[0], (every(0, 4096, 8192, (1 << 29) - 1), Some(Outcome::Handled)));
}

#[test]
fn a_period_with_one_value_is_one_extent() {
    // Odd and even elements together leave no gap.
    let mut cover = Cover::new();
    cover.add(every(0, 4096, 8192, 1 << 29), Outcome::Handled);
    cover.add(every(4096, 4096, 8192, 1 << 29), Outcome::Handled);
    assert_eq!(resolved(&cover, at(0, 1 << 42)), [(at(0, 1 << 42).into(), Some(Outcome::Handled))]);
}

#[test]
fn a_cover_keeps_what_continues_as_one_entry_and_forgets_on_demand() {
    let mut cover = Cover::new();
    assert!(cover.is_empty());
    cover.add(at(0, 4).into(), Outcome::Handled);
    cover.add(at(4, 4).into(), Outcome::Handled);
    assert!(!cover.is_empty());
    assert_eq!(cover.entries().collect::<Vec<_>>(), [(at(0, 8).into(), Outcome::Handled)]);
    // Not what lies apart, what overlaps another than the last, or what says something else.
    cover.add(at(9, 1).into(), Outcome::Handled);
    cover.add(at(9, 2).into(), Outcome::NotSupported);
    cover.add(at(11, 1).into(), Outcome::Handled);
    assert_eq!(cover.entries().count(), 4);
    cover.clear();
    assert!(cover.is_empty());
    assert_eq!(resolved(&cover, at(0, 8)), [(at(0, 8).into(), None)]);
}

#[test]
fn a_cover_keeps_what_repeats_the_last_entry_as_one() {
    let mut cover = Cover::new();
    for _ in 0..1000 {
        cover.add(every(0, 4, 16, 100), Outcome::Handled);
    }
    assert_eq!(cover.entries().count(), 1);
    for start in 0..1000 {
        cover.add(at(4096 + start, 8).into(), Outcome::Handled);
    }
    let due = [every(0, 4, 16, 100), at(4096, 1007).into()];
    assert_eq!(cover.entries().map(|(run, _)| run).collect::<Vec<_>>(), due);
}

#[test]
fn neighbours_of_equal_value_come_out_of_a_cover_as_one() {
    let mut cover = Cover::new();
    cover.add(at(4, 4).into(), Outcome::Handled);
    cover.add(at(0, 4).into(), Outcome::Handled);
    cover.add(at(8, 4).into(), Outcome::NotSupported);
    let states = resolved(&cover, at(0, 16));
    let due = [
        (at(0, 8).into(), Some(Outcome::Handled)),
        (at(8, 4).into(), Some(Outcome::NotSupported)),
        (at(12, 4).into(), None),
    ];
    assert_eq!(states, due);
}
