//! Every case on a fixed set of seeds, and the negative control: checks that can fail.
#![expect(clippy::arithmetic_side_effects, reason = "small numbers, and a panic is a failed test")]

use core::panic::AssertUnwindSafe;
use std::panic::catch_unwind;

use proptest::prelude::*;

use super::*;
use crate::{
    strategy,
    twin::{DrawnPlace, DrawnTarget, FsRecord, Twin},
};

/// Bytes that one case is drawn from.
const BYTES: u64 = 600;

/// Checks `cases` cases, always the same ones; a failure prints the seed that repeats it.
fn smoke<T: TestCase>(cases: u64) {
    for seed in 1..=cases {
        arbtest::arbtest(|u| {
            u.arbitrary::<T>()?.check();
            Ok(())
        })
        .seed(seed << 32 | BYTES);
    }
}

#[test]
fn ranges_smoke() {
    smoke::<Ranges>(1500);
}

#[test]
fn tables_smoke() {
    smoke::<Tables>(500);
}

#[test]
fn table_text_smoke() {
    smoke::<TableText>(2000);
}

#[test]
fn fs_map_smoke() {
    smoke::<FsMap>(400);
}

#[test]
fn registry_ops_smoke() {
    smoke::<RegistryOps>(600);
}

#[test]
fn whole_stack_smoke() {
    smoke::<WholeStack>(400);
}

#[test]
fn interleave_smoke() {
    smoke::<Interleaves>(800);
}

#[test]
fn badblocks_ops_smoke() {
    smoke::<BadblocksOps>(800);
}

#[test]
fn recovery_ops_smoke() {
    smoke::<RecoveryOps>(800);
}

#[test]
fn bytes_that_are_too_few_are_in_order() {
    check_bytes::<WholeStack>(&[]);
    check_bytes::<Tables>(&[1]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whole_stacks_are_as_their_twins(case in strategy::whole_stack()) {
        case.check();
    }

    #[test]
    fn registries_are_as_their_models(case in strategy::case::<RegistryOps>()) {
        case.check();
    }

    #[test]
    fn tables_are_as_their_twins(
        targets in strategy::targets(),
        asked in prop::collection::vec(strategy::drawn_extent(), 1..4),
        runs in prop::collection::vec(strategy::drawn_run(), 1..3),
    ) {
        Tables { targets, asked, runs }.check();
    }

    #[test]
    fn maps_are_as_their_twins(
        records in strategy::drawn_records(),
        asked in prop::collection::vec(strategy::drawn_extent(), 1..4),
        runs in prop::collection::vec(strategy::drawn_run(), 0..3),
    ) {
        FsMap { records, asked, runs }.check();
    }

    #[test]
    fn namespaces_are_as_their_twins(
        page in 0..5_u64, below in 0..3_u64, slots in 2..90_u64,
        asked in strategy::drawn_extent(), run in strategy::drawn_run(),
    ) {
        // Slots of half a sector: 16 to a page.
        let whole = badrange_core::Extent::new(
            badrange_core::PhysAddr::new(page * 4096), below * 4096 + slots * 256,
        ).unwrap();
        let mode = badrange_pmem::Mode::Fsdax;
        let namespace = badrange_pmem::Namespace::new(whole, below * 4096, mode).unwrap();
        let twin = Twin::namespace(page * 16, below * 16, below * 16 + slots, 2);
        twin.check_map(&namespace, 256, asked.start, asked.len);
        for leg in 0..3 {
            twin.check_rmap(&namespace, 256, leg, (asked.start, asked.len));
            twin.check_rmap_run(&namespace, 256, leg, run.quad());
        }
    }
}

fn fails(check: impl FnOnce()) -> bool {
    catch_unwind(AssertUnwindSafe(check)).is_err()
}

#[test]
fn a_twin_that_differs_in_one_slot_is_told_from_the_table() {
    let leg = |device, start| DrawnPlace { device, start };
    let right = DrawnTarget::Striped { chunk: 2, rows: 2, legs: vec![leg(0, 4), leg(1, 8)] };
    let wrong = DrawnTarget::Striped { chunk: 2, rows: 2, legs: vec![leg(0, 4), leg(1, 9)] };
    let table = DrawnTarget::build_table(core::slice::from_ref(&right)).unwrap();
    right.twin().check_map(&table, 512, 0, 9);
    assert!(fails(|| wrong.twin().check_map(&table, 512, 0, 9)));
    assert!(fails(|| wrong.twin().check_rmap(&table, 512, 1, (8, 1))));
    wrong.twin().check_rmap(&table, 512, 1, (7, 1)); // just outside both
    assert!(fails(|| wrong.twin().check_rmap_run(&table, 512, 1, (8, 1, 2, 2))));
}

#[test]
fn a_fate_that_differs_is_told_from_the_report() {
    let answer = DrawnAnswer::Handled;
    let holder = HolderPlan { on: 0, start: 2, len: 4, settles: vec![], answer };
    let plan = StackPlan {
        grounds: vec![GroundPlan { slots: 16, page: DrawnPage::TwoSectors }],
        layers: vec![],
        holders: vec![holder.clone()],
        routes: 0,
    };
    let shorter = StackPlan { holders: vec![HolderPlan { len: 3, ..holder }], ..plan.clone() };
    let wider =
        StackPlan { grounds: vec![GroundPlan { slots: 16, page: DrawnPage::K4 }], ..plan.clone() };
    let none = badrange_core::MfFlags::NONE;
    let bad = badrange_core::Extent::new(badrange_core::DevOffset::new(0), 18 * 256).unwrap();
    let check = |other: &StackPlan| {
        let (built, other) = (build::Built::of(&plan), build::Built::of(other));
        let report = built.stack.fail(built.devices[0], bad, none).unwrap();
        built.check((0, 18), none, &other.twin.fail(0, 0, 18), &report);
    };
    check(&plan);
    assert!(fails(|| check(&shorter)));
    assert!(fails(|| check(&wider)));
}

/// What drawn stacks are there for does occur in them.
#[test]
fn drawn_stacks_have_what_makes_them_interesting() {
    let (mut overrouted, mut above, mut both, mut outside, mut own) = (0, 0, 0, 0, 0);
    for seed in 1..=400 {
        arbtest::arbtest(|u| {
            let WholeStack { stack, events } = u.arbitrary()?;
            let is_own = |l: &LayerPlan| matches!(l.shape, LayerShape::Pieces { own: true, .. });
            own += u64::from(stack.layers.iter().any(is_own));
            let built = build::Built::of(&stack);
            for event in events {
                let on = built.devices[built.pick(event.on)];
                let bad = crate::twin::agree::bytes(256, event.start, event.len);
                let report = built.stack.fail(on, bad, badrange_core::MfFlags::NONE).unwrap();
                let on_others = report.fallback().iter().filter(|(device, _)| *device != on);
                let on_others = on_others.count() > 0;
                overrouted += u64::from(report.counts().overrouted > 0);
                above += u64::from(on_others);
                both += u64::from(on_others && report.fallback().iter().any(|(d, _)| *d == on));
                outside += u64::from(report.outside().is_some());
            }
            Ok(())
        })
        .seed(seed << 32 | BYTES);
    }
    for count in [overrouted, above, both, outside, own] {
        assert!(count >= 5, "{:?}", [overrouted, above, both, outside, own]);
    }
}

#[test]
fn one_map_is_not_the_twin_of_another() {
    let record = |len| FsRecord { start: 3, len, owner: 1, file_start: 0, unwritten: false };
    let case = FsMap { records: vec![record(4)], asked: vec![], runs: vec![] };
    case.check();
    // The same file, one slot further: two records, both found.
    let asked = vec![DrawnExtent { start: 6, len: 2 }];
    FsMap { records: vec![record(4), record(5)], asked, runs: vec![] }.check();
}

#[test]
fn a_reload_that_would_lift_what_is_above_too_high_is_refused() {
    let on = |device, len| vec![DrawnTarget::Linear { on: DrawnPlace { device, start: 0 }, len }];
    let add = |name, targets| Op::AddTable { name, targets };
    // 0 is the disk; 1 on it, 2 on 1; 3 on the disk. With 1 on 3, 2 would be the fourth.
    let ops = vec![
        add(1, on(0, 8)),
        add(2, on(1, 8)),
        add(3, on(0, 8)),
        Op::Register { device: 2, start: 0, len: 16, answer: DrawnAnswer::Handled },
        Op::Reload { device: 1, targets: on(3, 8) },
        Op::Notify { device: 0, start: 0, len: 20 },
    ];
    RegistryOps { ops }.check();
}
