//! Extents: clipping, rebasing, holes, and what cannot be one.

use core::num::NonZeroU64;

use super::*;

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
    fn extents_unite_where_no_unit_lies_between(a in extents(), b in extents()) {
        let both: BTreeSet<u64> = &units(&a.into()) | &units(&b.into());
        let hull = units(&a.hull(b).into());
        prop_assert_eq!(hull.first(), both.first());
        prop_assert_eq!(hull.last(), both.last());
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
    fn an_extent_minus_holes_is_its_units_in_none_of_them(
        whole in extents(), holes in prop::collection::vec(extents(), 0..6), base in bases(),
    ) {
        let moved = |e: Extent| at(base + e.start().get() / 2, e.len().div_ceil(2));
        let (whole, holes) = (moved(whole), holes.into_iter().map(moved).collect::<Vec<_>>());
        let in_holes: BTreeSet<u64> = holes.iter().flat_map(|h| units(&(*h).into())).collect();
        let left = whole.minus(holes);
        let due = &units(&whole.into()) - &in_holes;
        prop_assert_eq!(units_of(left.iter().map(|e| Run::from(*e))), Vec::from_iter(due));
        prop_assert!(left.windows(2).all(|pair| pair[0].end() < pair[1].start()));
    }

    #[test]
    fn from_zero_every_length_fits(len in 1..=u64::MAX) {
        let all = Extent::<Sector>::from_zero(NonZeroU64::new(len).unwrap());
        prop_assert_eq!(Extent::new(Sector::new(0), len), Ok(all));
        prop_assert_eq!((all.len_nonzero().get(), all.end().get()), (len, len));
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
        prop_assert!(first.hull(window).contains_extent(window));
        prop_assert!(first.minus([window]).iter().map(Extent::len).sum::<u64>() <= len);
        if let Ok(run) = Run::new(first, gap, count) {
            let kept: u64 = run.clip(window).map(|r| r.total_len()).sum();
            prop_assert!(kept <= run.total_len());
            prop_assert!(run.overlaps(&window.into()).count() <= 3);
            let link = Link::same(run);
            prop_assert!(emitted(|sink| link.rmap(window.into(), sink)).len() <= 3);
            prop_assert!(link.clip_upper(window).count() <= 3);
        }
    }
}

#[test]
fn ranges_that_cannot_exist_say_why() {
    let kind = |r: Result<Extent<Sector>, RangeError>| r.unwrap_err().kind();
    assert_eq!(kind(Extent::new(Sector::new(1), 0)), RangeErrorKind::Empty);
    assert_eq!(kind(Extent::new(Sector::new(u64::MAX), 1)), RangeErrorKind::Overflow);
    assert!(Extent::new(Sector::new(u64::MAX - 1), 1).is_ok());
    assert_eq!(kind(Extent::from_bounds(Sector::new(9), Sector::new(8))), RangeErrorKind::Reversed);
    assert_eq!(kind(Extent::from_bounds(Sector::new(8), Sector::new(8))), RangeErrorKind::Empty);
    let first = at(0, 8);
    assert_eq!(Run::new(first, 7, 2).unwrap_err().kind(), RangeErrorKind::Overlapping);
    assert_eq!(Run::new(first, 8, 0).unwrap_err().kind(), RangeErrorKind::Empty);
    assert_eq!(Run::new(first, u64::MAX, 2).unwrap_err().kind(), RangeErrorKind::Overflow);
    assert_eq!(Run::new(first, 1, 1).unwrap(), first.into());
    for page in [PageSize::K4, PageSize::K16, PageSize::K64] {
        let pages = Extent::new(Pfn::new(u64::MAX / page.bytes()), 2).unwrap();
        assert_eq!(pages.bytes(page).unwrap_err().kind(), RangeErrorKind::Overflow);
    }
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

#[test]
fn extents_are_in_order_of_start_and_then_of_length() {
    assert!(at(4, 9) < at(5, 1) && at(5, 1) < at(5, 2));
    assert_eq!(at(4, 9).partial_cmp(&at(4, 9)), Some(core::cmp::Ordering::Equal));
}

#[test]
fn a_hole_leaves_what_is_before_and_what_is_after_it() {
    let whole = at(10, 10);
    assert_eq!(whole.without(at(13, 2)), (Some(at(10, 3)), Some(at(15, 5))));
    assert_eq!(whole.without(at(5, 10)), (None, Some(at(15, 5))));
    assert_eq!(whole.without(at(15, 10)), (Some(at(10, 5)), None));
    assert_eq!(whole.without(at(10, 10)), (None, None));
}

#[test]
fn gaps_are_what_holes_leave() {
    let whole = at(10, 10);
    assert_eq!(whole.minus([]), [whole]);
    assert_eq!(whole.minus([at(0, 30)]), []);
    assert_eq!(whole.minus([at(0, 10), at(20, 5)]), [whole], "what touches takes nothing");
    assert_eq!(whole.minus([at(15, 1), at(12, 1), at(12, 2)]), [at(10, 2), at(14, 1), at(16, 4)]);
}

#[test]
fn positions_move_and_stop_at_the_ends_of_the_scale() {
    let here = DevOffset::new(4096);
    assert_eq!(here.checked_sub(4096), Some(DevOffset::new(0)));
    assert_eq!(here.checked_sub(4097), None);
    assert_eq!(here.checked_add(u64::MAX - 4096), Some(DevOffset::new(u64::MAX)));
    assert_eq!(here.checked_add(u64::MAX), None);
}
