//! Set operations against a plain array of bytes.

use badrange_input::{Place, RangeList, read_ranges};
use proptest::{collection::vec, prelude::*};

use super::options;

const SECTORS: usize = 64;

fn list(pairs: &[(usize, usize)]) -> RangeList {
    let text: String = pairs.iter().map(|(start, len)| format!("{start} {len}\n")).collect();
    read_ranges(text.as_bytes(), &options()).unwrap()
}

/// Which sectors are named; a sector that is named twice fails the test.
fn sectors(list: &RangeList) -> [bool; SECTORS] {
    let mut bad = [false; SECTORS];
    for range in &list.ranges {
        let Place::Device { device: None, extent } = &range.place else { panic!("{range:?}") };
        let (start, len) = (extent.start().get() / 512, extent.len() / 512);
        for sector in start..start + len {
            let known = core::mem::replace(&mut bad[usize::try_from(sector).unwrap()], true);
            assert!(!known, "sector {sector} twice: {list:?}");
        }
    }
    bad
}

fn pairs() -> impl Strategy<Value = Vec<(usize, usize)>> {
    vec((0..SECTORS - 8, 1..8_usize), 0..8)
}

proptest! {
    #[test]
    fn set_operations_are_those_of_bytes(a in pairs(), b in pairs()) {
        let (one, two) = (list(&a), list(&b));
        let (x, y) = (sectors(&one), sectors(&two));
        let and = sectors(&one.clone().and(two.clone()));
        let or = sectors(&one.clone().or(two.clone()));
        let not = sectors(&one.clone().not(two.clone()));
        for at in 0..SECTORS {
            prop_assert_eq!(and[at], x[at] && y[at]);
            prop_assert_eq!(or[at], x[at] || y[at]);
            prop_assert_eq!(not[at], x[at] && !y[at]);
        }
        // Exact ranges that touch are one.
        let joined = one.or(two);
        let mut ends: Vec<_> = joined.ranges.iter().map(|r| r.place.clone()).collect();
        ends.sort();
        for pair in ends.windows(2) {
            if let [Place::Device { extent: a, .. }, Place::Device { extent: b, .. }] = pair {
                prop_assert!(a.end() < b.start());
            }
        }
    }
}

#[test]
fn the_weaker_of_two_claims_counts_for_both_and_the_stronger_for_either() {
    let requests = "[1.0] XFS (sda): metadata I/O error in \"f\" at daddr 0x8 len 8 error 5\n";
    let exact = "==> /sys/block/sda/badblocks <==\n10 2\n";
    let read = |text: &str| read_ranges(text.as_bytes(), &options()).unwrap();
    let (a, b) = (read(requests), read(exact));
    let shown = |list: RangeList| super::shown(&list);
    assert_eq!(shown(a.clone().and(b.clone())), ["sda:10+2 at-most 1"]);
    assert_eq!(shown(b.clone().and(a.clone())), ["sda:10+2 at-most 2"]);
    assert_eq!(
        shown(a.clone().or(b.clone())),
        ["sda:8+2 at-most 1", "sda:12+4 at-most 1", "sda:10+2 exact 2"]
    );
    assert_eq!(shown(a.not(b)), ["sda:8+2 at-most 1", "sda:12+4 at-most 1"]);
}

#[test]
fn memory_is_one_space_and_devices_are_apart() {
    let read = |text: &str| read_ranges(text.as_bytes(), &options()).unwrap();
    let pages = read("Memory failure: 0x10: dirty\nMemory failure: 0x11: dirty\n");
    let poison = read("nd_bus ndbus0: Found a bad range (0x10800, 0x200)\n");
    let shown = |list: RangeList| super::shown(&list);
    assert_eq!(shown(pages.clone().and(poison.clone())), ["phys:0x10800+0x200 exact 1"]);
    assert_eq!(
        shown(pages.clone().not(poison)),
        ["phys:0x10000+0x800 exact 1", "phys:0x10a00+0x1600 exact 1"]
    );
    assert_eq!(shown(pages.clone().or(pages)), ["pfn:0x10+2 exact 1"]);
    let (a, b) = (read("I/O error, dev sda, sector 8\n"), read("I/O error, dev sdb, sector 8\n"));
    assert_eq!(shown(a.clone().and(b.clone())), [""; 0]);
    assert_eq!(shown(a.not(b)), ["sda:8+8 unknown-extent 1"]);
}
