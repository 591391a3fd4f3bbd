//! The law of conservation, against arithmetic by hand.

use proptest::prelude::*;

use super::*;

pub(super) fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        Just(Outcome::Nothing),
        Just(Outcome::Handled),
        Just(Outcome::Failed(Errno::EIO)),
        Just(Outcome::Failed(Errno::EUCLEAN)),
        Just(Outcome::NotSupported),
    ]
}

/// What one holder of the law below is: its range, what it settles, what it answers.
fn holders() -> impl Strategy<Value = Vec<(u64, u64, u64, u64, Outcome, Outcome)>> {
    let one = (0..60_u64, 1..40_u64, 0..100_u64, 1..30_u64, outcome(), outcome());
    prop::collection::vec(one, 0..6)
}

proptest! {
    /// Every reported byte has one final state, which is the join of what was said about it; nothing
    /// outside the report is told to anybody.
    #[test]
    fn every_byte_is_accounted_for(holders in holders(), start in 0..80_u64, len in 1..40_u64) {
        let stack = Stack::new();
        let disk = disk(&stack, 200);
        let upper = at(0, 100);
        let striped = Legs::mapping([(run(10, 3, 3, 30), run(1, 3, 4, 30))], at(0, 200));
        let above = on(&stack, "above", striped, [disk]);
        let mut kept = Vec::new();
        for (i, &(from, n, settle_at, settle_len, settled, answer)) in holders.iter().enumerate() {
            let holder = Fake::new(move |what: &Corruption<'_>| {
                what.settle(at(settle_at, settle_len).into(), settled);
                answer
            });
            let device = if i % 2 == 0 { disk } else { above };
            let range = at(from, n).intersect(upper).unwrap();
            let registration = stack.register(device, range, holder.clone()).unwrap();
            kept.push((device, range, holder, registration));
        }
        let bad = at(start, len);
        let report = fail(&stack, disk, bad);

        let mut seen = vec![0_u32; 200];
        for (run, state) in report.states() {
            for pos in bytes(run) {
                seen[pos as usize] += 1;
                // The naive way up: byte `pos` of the disk is byte 1 + 4 * c + r above.
                let on_above = pos.checked_sub(10).filter(|p| *p < 90).map(|p| 1 + 4 * (p / 3) + p % 3);
                let said = holders.iter().zip(&kept).filter_map(|(h, (device, range, ..))| {
                    let here = if *device == disk { Some(pos) } else { on_above }?;
                    let inside = range.contains(DevOffset::new(here));
                    let settled = (h.2..h.2 + h.3).contains(&here);
                    inside.then_some(if settled { h.4 } else { h.5 })
                });
                let expected = said.reduce(Join::join).unwrap_or(Outcome::Nothing);
                prop_assert_eq!(*state, expected, "byte {}", pos);
            }
        }
        let expected = (0..200).map(|b| u32::from(bad.contains(DevOffset::new(b))));
        prop_assert_eq!(seen, expected.collect::<Vec<_>>());
        for (device, range, holder, _) in &kept {
            for run in holder.told() {
                prop_assert!(run.elements().all(|e| range.contains_extent(e)));
                if *device == disk {
                    prop_assert!(bad.contains_extent(run.span()));
                }
            }
        }
    }
}
