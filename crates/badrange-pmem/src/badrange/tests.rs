#![expect(clippy::arithmetic_side_effects, reason = "small numbers, and a panic is a failed test")]

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn phys(start: u64, len: u64) -> Extent<PhysAddr> {
    Extent::new(PhysAddr::new(start), len).unwrap()
}

fn list(bad: &Badrange) -> Vec<(u64, u64)> {
    bad.entries().iter().map(|e| (e.start().get(), e.len())).collect()
}

#[test]
fn the_same_start_replaces_and_others_are_added() {
    let mut bad = Badrange::new();
    for (start, len) in [(4096, 512), (4096, 64), (4100, 64), (100, 8)] {
        bad.add(phys(start, len));
    }
    assert_eq!(list(&bad), [(4096, 64), (4100, 64), (100, 8)]);
}

#[test]
fn forgetting_trims_splits_and_drops() {
    let forget = |start, len| {
        let mut bad = Badrange::new();
        bad.add(phys(1000, 100));
        bad.add(phys(5000, 1));
        bad.forget(phys(start, len));
        list(&bad)
    };
    let other = (5000, 1);
    assert_eq!(forget(900, 100), [(1000, 100), other]);
    assert_eq!(forget(900, 101), [(1000, 100), other], "its last byte is the first bad one");
    assert_eq!(forget(1000, 1), [(1000, 100), other], "the same");
    assert_eq!(forget(900, 102), [(1002, 98), other]);
    assert_eq!(forget(1040, 20), [(1000, 40), other, (1060, 40)], "the tail comes last");
    assert_eq!(forget(1099, 1), [(1000, 99), other]);
    assert_eq!(forget(1100, 10), [(1000, 100), other]);
    assert_eq!(forget(1000, 100), [other]);
    assert_eq!(forget(5000, 1), [(1000, 100)], "one byte is all of it");
    assert_eq!(forget(0, 1 << 32), [(1000, 100), other], "32 bits of nothing");
    assert_eq!(forget(1050, 1 << 32), [(1000, 50), other, (1050, 50)], "split, nothing forgotten");
    assert_eq!(forget(1050, (1 << 32) + 10), [(1000, 50), other, (1060, 40)]);
}

#[test]
fn sectors_are_clipped_and_rounded_outward() {
    let mut bad = Badrange::new();
    bad.add(phys(0x100a_1b240, 64));
    bad.add(phys(0x0fff_ff00, 0x200));
    let sectors = |start, len| {
        let found = bad.sectors(phys(start, len));
        found.iter().map(|e| (e.start().get(), e.len())).collect::<Vec<_>>()
    };
    assert_eq!(sectors(0x1000_0000, 0x1000), [(0, 1)]);
    assert_eq!(sectors(0x1_00a0_0000, 0x2000_0000), [(217, 1)]);
    assert_eq!(sectors(0x0fff_fe00, 0x100), [], "ends where the bad range begins");
    assert_eq!(sectors(0x0fff_fe00, 0x101), [(0, 1)]);
}

proptest! {
    /// Apart from the one quirk, the list is the set of its bytes.
    #[test]
    fn a_list_is_the_set_of_its_bytes(ops in prop::collection::vec((any::<bool>(), 0..200_u64, 1..40_u64), 0..30)) {
        let (mut bad, mut naive) = (Badrange::new(), BTreeSet::new());
        for (add, start, len) in ops {
            let known = bad.entries().iter().find(|e| e.start().get() == start).copied();
            if add && known.is_none() {
                bad.add(phys(start, len));
                naive.extend(start..start + len);
            } else if !add {
                let last = start + len - 1;
                if bad.entries().iter().any(|e| e.start().get() == last && e.len() > 1) {
                    continue;
                }
                bad.forget(phys(start, len));
                naive.retain(|b| !(start..start + len).contains(b));
            }
            let bytes: BTreeSet<u64> =
                bad.entries().iter().flat_map(|e| e.start().get()..e.end().get()).collect();
            prop_assert_eq!(&bytes, &naive);
        }
        let target = phys(37, 150);
        let expected: BTreeSet<u64> =
            naive.iter().filter(|b| target.contains(PhysAddr::new(**b))).map(|b| (b - 37) / 512).collect();
        let found: BTreeSet<u64> =
            bad.sectors(target).iter().flat_map(|e| e.start().get()..e.end().get()).collect();
        prop_assert_eq!(found, expected);
    }
}
