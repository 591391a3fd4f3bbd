//! Routes against one count per byte.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "small numbers, and a panic is a failed test"
)]

use badrange_core::{DevOffset, Extent};
use proptest::prelude::*;

use super::*;

fn at(start: u64, len: u64) -> Extent {
    Extent::new(DevOffset::new(start), len).unwrap()
}

proptest! {
    #[test]
    fn every_byte_has_its_own_count(
        arrivals in prop::collection::vec((0..90_u64, 1..30_u64), 0..40),
    ) {
        let (mut routes, mut naive) = (Routes::default(), vec![0_u64; 120]);
        for (start, len) in arrivals {
            let bytes = &mut naive[start as usize..(start + len) as usize];
            bytes.iter_mut().for_each(|count| *count += 1);
            let most = bytes.iter().max().copied();
            prop_assert_eq!(Some(routes.count(at(start, len).into())), most);
        }
        let mut end = 0;
        for (from, (to, count)) in routes.ranges {
            prop_assert!(end <= from && from < to, "disjoint and ascending");
            prop_assert!(naive[from as usize..to as usize].iter().all(|n| *n == count));
            end = to;
        }
    }
}

/// Strided runs are counted as wholes, apart from ranges; elements that touch are a range.
#[test]
fn runs_are_counted_as_wholes() {
    let mut routes = Routes::default();
    let run = |stride| Run::new(at(0, 4), stride, 3).unwrap();
    assert_eq!([8, 8, 9, 8].map(|stride| routes.count(run(stride))), [1, 2, 1, 3]);
    assert_eq!(routes.count(run(4)), 1);
    assert_eq!(routes.count(at(3, 1).into()), 2);
}
