//! The account against one value per byte.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "small numbers, and a panic is a failed test"
)]

use badrange_core::Errno;
use proptest::prelude::*;

use super::*;

fn at(start: u64, len: u64) -> Extent<ReportOffset> {
    Extent::new(ReportOffset::new(start), len).unwrap()
}

fn bytes<S: badrange_core::Space>(run: &Run<S>) -> impl Iterator<Item = u64> + use<S> {
    run.elements().flat_map(|e| e.start().to_raw()..e.end().to_raw())
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        Just(Outcome::Nothing),
        Just(Outcome::Handled),
        Just(Outcome::Failed(Errno::EIO)),
        Just(Outcome::NotSupported),
    ]
}

/// Runs below 100: mostly extents, so that both ways of resolving are taken.
fn run() -> impl Strategy<Value = Run<ReportOffset>> {
    let extent = (0..80_u64, 1..20_u64).prop_map(|(start, len)| Run::from(at(start, len)));
    let strided = (0..40_u64, 1..6_u64, 1..5_u64, 2..5_u64)
        .prop_map(|(start, len, gap, n)| Run::new(at(start, len), len + gap, n).unwrap());
    prop_oneof![3 => extent, 1 => strided]
}

/// How far the reports of the second law reach: some pages.
const FAR: u64 = if cfg!(miri) { 9_000 } else { 30_000 };

proptest! {
    #[test]
    fn every_byte_has_the_join_of_what_was_said_about_it(
        answers in prop::collection::vec(
            (run(), outcome(), prop::collection::vec((run(), outcome()), 0..3)), 0..6),
    ) {
        let mut account = Account::default();
        let mut naive = vec![None; 100];
        for (origin, answer, settled) in answers {
            // What a holder settles was cut to what it was told.
            let settled: Vec<Said> = settled.iter()
                .flat_map(|(run, said)| origin.overlaps(run).map(|part| (part, *said)))
                .collect();
            account.enter(origin, answer, &settled);
            for byte in bytes(&origin) {
                let said = settled.iter().filter(|(run, _)| run.contains(ReportOffset::new(byte)));
                let said = said.map(|(_, said)| *said).reduce(Join::join).unwrap_or(answer);
                let slot: &mut Option<Outcome> = &mut naive[byte as usize];
                *slot = Some(slot.map_or(said, |before| before.join(said)));
            }
        }
        let mut states = States::new();
        account.settle(at(0, 100), &mut states);
        let mut seen = vec![None; 100];
        for (run, state) in &states {
            for byte in bytes(run) {
                prop_assert_eq!(seen[byte as usize].replace(*state), None, "told twice");
            }
        }
        let expected: Vec<_> = naive.into_iter().map(|said| Some(State::of(said))).collect();
        prop_assert_eq!(seen, expected);
        for (a, b) in states.iter().zip(states.iter().skip(1)) {
            prop_assert!(a.0.first().start() < b.0.first().start());
            prop_assert!(a.1 != b.1 || joined(a.0, b.0).is_none(), "neighbours are one");
        }
    }

    #[test]
    fn the_pages_of_a_remainder_are_those_of_its_bytes(
        start in 0..FAR, len in 1..FAR,
        handled in prop::collection::vec((0..FAR, 1..9_000_u64), 0..4), strided in any::<bool>(),
    ) {
        let bad = Extent::new(PhysAddr::new(start), len).unwrap();
        let mut account = Account::default();
        for (from, n) in handled {
            if let Some(part) = at(from, n).intersect(at(0, len)) {
                account.enter(part.into(), Outcome::Handled, &[]);
            }
        }
        if strided && len >= 3000 {
            let every = Run::new(at(0, 500), 1000, len / 1000).unwrap();
            account.enter(every, Outcome::Handled, &[]);
        }
        let (mut states, mut pages) = (States::new(), Pages::new());
        account.settle(at(0, len), &mut states);
        remainder_pages(bad, &states, &mut pages);
        let touched: Vec<u64> = pages.iter().flat_map(bytes).collect();
        let rest = states.iter().filter(|(_, s)| s.falls_back());
        let mut expected: Vec<u64> =
            rest.flat_map(|(run, _)| bytes(run)).map(|b| (start + b) / PAGE_SIZE).collect();
        expected.sort_unstable();
        expected.dedup();
        prop_assert_eq!(touched.len() as u64 * PAGE_SIZE, page_bytes(&pages));
        let mut sorted = touched;
        sorted.sort_unstable();
        prop_assert_eq!(sorted, expected);
    }
}
