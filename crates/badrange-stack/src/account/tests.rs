//! The account against one value per byte.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "small numbers, and a panic is a failed test"
)]

use core::ops::ControlFlow;

use badrange_core::{DevOffset, Errno, Join, Space};
use proptest::prelude::*;

use super::*;

fn at(start: u64, len: u64) -> Extent {
    Extent::new(DevOffset::new(start), len).unwrap()
}

fn bytes<S: Space>(run: &Run<S>) -> impl Iterator<Item = u64> + use<S> {
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
fn run() -> impl Strategy<Value = Run> {
    let extent = (0..80_u64, 1..20_u64).prop_map(|(start, len)| Run::from(at(start, len)));
    let strided = (0..40_u64, 1..6_u64, 0..5_u64, 2..5_u64)
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
        for (part, answer, settled) in answers {
            // What a holder settles was cut to what it was notified of.
            let mut said: Cover<Outcome> = Cover::new();
            for (run, outcome) in &settled {
                part.overlaps(run).for_each(|common| said.add(common, *outcome));
            }
            let flow = each_answer(part, answer, &said, &mut |(run, outcome)| {
                account.enter(run, outcome);
                assert!(bytes(&run).all(|byte| part.contains(DevOffset::new(byte))));
                ControlFlow::Continue(())
            });
            prop_assert!(flow.is_continue());
            for byte in bytes(&part) {
                let settled = settled.iter().filter(|(run, _)| run.contains(DevOffset::new(byte)));
                let said = settled.map(|(_, said)| *said).reduce(Join::join).unwrap_or(answer);
                let slot: &mut Option<Outcome> = &mut naive[byte as usize];
                *slot = Some(slot.map_or(said, |before| before.join(said)));
            }
        }
        let mut states = States::new();
        account.states(at(0, 100), &mut states);
        let mut seen = vec![None; 100];
        for (run, state) in &states {
            for byte in bytes(run) {
                prop_assert_eq!(seen[byte as usize].replace(*state), None, "two states");
            }
        }
        let expected = naive.iter().map(|said| Some(said.unwrap_or(Outcome::Nothing)));
        prop_assert_eq!(seen, expected.collect::<Vec<_>>());
        for (a, b) in states.iter().zip(states.iter().skip(1)) {
            prop_assert!(a.0.first().start() < b.0.first().start());
            let both = a.0.as_extent().zip(b.0.as_extent()).and_then(|(a, b)| a.union(b));
            prop_assert!(a.1 != b.1 || both.is_none(), "neighbours are one");
        }
        let mut unhandled = SmallVec::new();
        account.unhandled(at(0, 100), &mut unhandled);
        let mut unhandled: Vec<u64> = unhandled.iter().flat_map(bytes).collect();
        unhandled.sort_unstable();
        let falls = |(byte, said): (u64, &Option<Outcome>)| said.is_some_and(Outcome::falls_back).then_some(byte);
        prop_assert_eq!(unhandled, (0..).zip(&naive).filter_map(falls).collect::<Vec<_>>());
    }

    #[test]
    fn the_pages_of_a_remainder_are_those_of_its_bytes(
        start in 0..FAR, len in 1..FAR, size in 9..15_u32,
        handled in prop::collection::vec((0..FAR, 1..9_000_u64), 0..4), stride in 0..5_u64,
    ) {
        let (bad, size) = (at(start, len), PageSize::new(1 << size).unwrap());
        let mut account = Account::default();
        for (from, n) in handled {
            if let Some(part) = at(start + from, n).intersect(bad) {
                account.enter(part.into(), Outcome::Handled);
            }
        }
        let stride = 1000 + 731 * stride;
        if stride > 1000 && len >= 2 * stride {
            let every = Run::new(at(start, 500), stride, len / stride).unwrap();
            account.enter(every, Outcome::Handled);
        }
        let mut states = States::new();
        account.states(bad, &mut states);
        let rest: Vec<Run> =
            states.iter().filter(|(_, s)| s.falls_back()).map(|(run, _)| *run).collect();
        let pages = pages_of(&rest, bad, size);
        let touched: Vec<u64> = pages.iter().flat_map(|p| bytes(&p.frames())).collect();
        let mut expected: Vec<u64> =
            rest.iter().flat_map(bytes).map(|byte| byte / size.bytes()).collect();
        expected.sort_unstable();
        expected.dedup();
        let held = pages.iter().map(Granules::bytes).sum::<u64>();
        prop_assert_eq!(touched.len() as u64 * size.bytes(), held);
        let mut sorted = touched;
        sorted.sort_unstable();
        prop_assert_eq!(sorted, expected);
        let firsts = pages.iter().map(|p| p.frames().first().start());
        prop_assert!(firsts.collect::<Vec<_>>().is_sorted(), "ascending");
    }

    /// The reported bytes behind bytes of a device with pages, whatever way they came.
    #[test]
    fn the_bytes_behind_those_of_a_device_with_pages_are_found(
        arrivals in prop::collection::vec((run(), 0..200_u64), 0..6),
        runs in prop::collection::vec((0..300_u64, 1..30_u64), 0..6), strided in any::<bool>(),
    ) {
        let links: SmallVec<[Link; 2]> = arrivals.iter().map(|(upper, by)| {
            let lower = Run::new(at(upper.first().start().get() + by, upper.element_len()),
                upper.stride() + by, upper.count()).unwrap();
            Link::new(lower, *upper).unwrap()
        }).collect();
        let mut cover: Cover<()> = Cover::new();
        runs.iter().for_each(|(start, len)| cover.add(at(*start, *len).into(), ()));
        if strided {
            cover.add(Run::new(at(3, 2), 7, 20).unwrap(), ());
        }
        let runs = cover.within(at(0, 400));
        let id = badrange_core::DeviceId::new(0, 0, 1);
        let account = PageAccount { device: id, arrivals: links, account: Account::default() };
        let mut found = Vec::new();
        account.reported(&runs, &mut |run| found.extend(bytes(&run)));
        let mut expected = Vec::new();
        for link in &account.arrivals {
            let pairs = bytes(&link.lower()).zip(bytes(&link.upper()));
            let hit = pairs.filter(|(_, u)| runs.iter().any(|run| run.contains(DevOffset::new(*u))));
            expected.extend(hit.map(|(lower, _)| lower));
        }
        found.sort_unstable();
        expected.sort_unstable();
        prop_assert_eq!(found, expected);
    }
}
