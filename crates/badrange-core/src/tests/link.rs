//! Links: byte pairs are their twin.

use super::*;

type Pairs = BTreeSet<(u64, u64)>;

/// The naive twin of a link: each byte below with the same byte above.
fn pairs(link: &Link) -> Pairs {
    let sides = (units_in_order(&link.lower()), units_in_order(&link.upper()));
    sides.0.into_iter().zip(sides.1).collect()
}

/// All pairs, sorted, with every repetition.
fn pairs_of(links: &[Link]) -> Vec<(u64, u64)> {
    let mut all: Vec<_> = links.iter().flat_map(pairs).collect();
    all.sort_unstable();
    all
}

fn where_lower(all: &Pairs, keep: impl Fn(u64) -> bool) -> Vec<(u64, u64)> {
    all.iter().copied().filter(|(lower, _)| keep(*lower)).collect()
}

/// What is above what is above, naively.
fn composed(first: &Pairs, second: &Pairs) -> Pairs {
    first
        .iter()
        .flat_map(|(a, b)| second.iter().filter(move |(c, _)| b == c).map(move |(_, d)| (*a, *d)))
        .collect()
}

fn link_to(lower: Run, start: u64, gap: u64) -> Link {
    let len = lower.element_len();
    Link::new(lower, every(start, len, len + gap, lower.count())).unwrap()
}

fn links() -> impl Strategy<Value = Link> {
    (runs(), 0..24_u64, 0..8_u64).prop_map(|(lower, start, gap)| link_to(lower, start, gap))
}

fn flipped(all: &Pairs) -> Pairs {
    all.iter().map(|(a, b)| (*b, *a)).collect()
}

proptest! {
    #[test]
    fn only_runs_of_equal_shape_are_linked(a in runs(), b in runs()) {
        let same = a.element_len() == b.element_len() && a.count() == b.count();
        let link = Link::new(a, b);
        prop_assert_eq!(link.is_ok(), same);
        match link {
            Ok(link) => prop_assert_eq!((link.lower(), link.upper()), (a, b)),
            Err(err) => prop_assert_eq!(err.kind(), RangeErrorKind::Shape),
        }
    }

    #[test]
    fn the_elements_of_a_link_are_those_of_both_sides(link in links()) {
        let due: Vec<_> = link.lower().elements().zip(link.upper().elements()).collect();
        prop_assert_eq!(link.elements().collect::<Vec<_>>(), due);
        prop_assert_eq!(pairs(&link.inverse()), flipped(&pairs(&link)));
        prop_assert_eq!(link.inverse().inverse(), link);
        let same = Link::same(link.lower());
        prop_assert_eq!((same.lower(), same.upper()), (link.lower(), link.lower()));
    }

    #[test]
    fn a_slice_of_a_link_keeps_its_elements_together(
        link in links(), from in 0..10_u64, to in 0..10_u64,
    ) {
        let elements: Vec<_> = link.elements().collect();
        let named = elements.get(from as usize..to as usize).filter(|named| !named.is_empty());
        let slice = link.slice(from..to);
        prop_assert_eq!(slice.map(|s| s.elements().collect::<Vec<_>>()), named.map(Vec::from));
    }

    #[test]
    fn clipping_a_link_keeps_the_pairs_with_one_side_inside(link in links(), window in extents()) {
        let inside = |unit| window.contains(DevOffset::new(unit));
        let below: Vec<_> = link.clip_lower(window).collect();
        prop_assert_eq!(pairs_of(&below), where_lower(&pairs(&link), inside));
        prop_assert!(below.len() <= 3);
        prop_assert!(is_sorted(&below.iter().map(Link::lower).collect::<Vec<_>>()));

        let above: Vec<_> = link.clip_upper(window).collect();
        let due: Pairs = where_lower(&flipped(&pairs(&link)), inside).into_iter().collect();
        prop_assert_eq!(pairs_of(&above), Vec::from_iter(flipped(&due)));
        prop_assert!(above.len() <= 3);
        prop_assert!(is_sorted(&above.iter().map(Link::upper).collect::<Vec<_>>()));
    }

    #[test]
    fn a_part_of_a_link_is_the_pairs_of_that_part(link in links(), part in runs()) {
        let all = pairs(&link);
        let below = units(&part);
        if let Some(of) = link.of_lower(part) {
            prop_assert_eq!(of.lower(), part);
            prop_assert!(below.is_subset(&units(&link.lower())));
            prop_assert_eq!(pairs_of(&[of]), where_lower(&all, |unit| below.contains(&unit)));
        }
        // What clips and overlaps yield always has one.
        for part in link.lower().overlaps(&part) {
            let (of, below) = (link.of_lower(part).unwrap(), units(&part));
            prop_assert_eq!(pairs_of(&[of]), where_lower(&all, |unit| below.contains(&unit)));
        }
        for part in link.upper().overlaps(&part) {
            let of = link.of_upper(part).unwrap();
            prop_assert_eq!(of.upper(), part);
            prop_assert_eq!(link.inverse().of_lower(part), Some(of.inverse()));
            prop_assert!(pairs(&of).is_subset(&all));
        }
        prop_assert_eq!(link.of_lower(link.lower()), Some(link));
        prop_assert_eq!(link.of_upper(link.upper()), Some(link));
    }

    #[test]
    fn a_link_after_a_link_is_their_composition(first in links(), second in links()) {
        let (a, b) = (pairs(&first), pairs(&second));
        if let Some(both) = first.then(second) {
            prop_assert_eq!(both.upper(), second.upper());
            prop_assert!(units(&second.lower()).is_subset(&units(&first.upper())));
            prop_assert_eq!(pairs(&both), composed(&a, &b));
        }
        // What the reverse map of the second emits follows the first, and is all of it.
        let above = emitted(|sink| second.rmap(first.upper(), sink));
        let both: Vec<Link> = above.iter().map(|next| first.then(*next).unwrap()).collect();
        prop_assert_eq!(pairs_of(&both), Vec::from_iter(composed(&a, &b)));
    }

    #[test]
    fn what_is_joined_has_the_same_pairs_as_one_element_if_it_can(link in links()) {
        let joined = link.joined();
        prop_assert_eq!(pairs(&joined), pairs(&link));
        let contiguous = |run: Run| run.span().len() == run.total_len();
        if contiguous(link.lower()) && contiguous(link.upper()) {
            prop_assert_eq!(joined.lower().count(), 1);
        } else {
            prop_assert_eq!(joined, link);
        }
    }

    #[test]
    fn the_reverse_map_of_a_leg_is_its_pairs_below_what_was_asked(link in links(), asked in runs()) {
        let above = emitted(|sink| link.rmap(asked, sink));
        let inside = units(&asked);
        prop_assert_eq!(pairs_of(&above), where_lower(&pairs(&link), |unit| inside.contains(&unit)));
        let below: Vec<Run> = above.iter().map(Link::lower).collect();
        prop_assert!(is_sorted(&below));
        for part in &below {
            prop_assert!(element_by_element(part, &asked));
            prop_assert!(units(part).is_subset(&units(&link.lower())));
        }
        if asked.count() == 1 {
            prop_assert!(above.len() <= 3);
        }
        for calls in 1..=above.len() {
            prop_assert!(stops_when_told(calls, |sink| link.rmap(asked, sink)));
        }
    }

    #[test]
    fn a_link_to_a_place_is_the_extent_moved_there(lower in extents(), upper in bases()) {
        let link = Link::at(lower, DevOffset::new(upper)).unwrap();
        prop_assert_eq!((link.lower(), link.upper()), (lower.into(), at(upper, lower.len()).into()));
        prop_assert_eq!(Link::try_from((lower, at(upper, lower.len()))), Ok(link));
        prop_assert!(Link::try_from((lower, at(upper, lower.len() + 1))).is_err());
        prop_assert_eq!(Link::at(lower, DevOffset::new(u64::MAX - lower.len() + 1)), None);
    }

    /// What was carried through several layers is still found on each layer below.
    #[test]
    fn a_link_is_found_on_every_layer_it_came_through(
        bad in extents(), layers in prop::collection::vec((runs(), 0..9_u64, 0..5_u64), 1..4),
    ) {
        let layers = layers.into_iter().map(|(lower, gap, start)| link_to(lower, start, gap));
        climb_and_look_down(&layers.collect::<Vec<_>>(), &[Link::same(bad)]);
    }
}

/// Climbs depth first; the bytes of the report that a link stands for must be found on every layer
/// below, byte by byte. `way` has a link from the report to each device so far.
fn climb_and_look_down(layers: &[Link], way: &[Link]) {
    let here = way.last().unwrap();
    for below in way {
        let there = below.of_lower(here.lower()).expect("a link stems from those below it");
        let (asked, whole) = (units(&here.lower()), pairs(below));
        assert_eq!(pairs_of(&[there]), where_lower(&whole, |unit| asked.contains(&unit)));
    }
    let Some((layer, rest)) = layers.split_first() else { return };
    for next in emitted(|sink| layer.rmap(here.upper(), sink)) {
        let above = here.then(next).expect("a reverse map stays inside what it was asked");
        assert_eq!(pairs(&above), composed(&pairs(here), &pairs(&next)));
        climb_and_look_down(rest, &[way, &[above]].concat());
    }
}

#[test]
fn chunks_cut_from_a_single_chunk_are_found_below() {
    // Two stripes on one another: chunks of 1 within a single chunk of 4.
    let outer = Link::new(every(3, 4, 4, 4), every(0, 4, 8, 4)).unwrap();
    let inner = Link::new(every(16, 1, 1, 5), every(0, 1, 2, 5)).unwrap();
    climb_and_look_down(&[outer, inner], &[Link::same(at(0, 60))]);
}

#[test]
fn a_terabyte_leg_costs_a_handful_of_runs() {
    // One leg of `striped 8 128` (64 KiB chunks) of 1 TiB, hit from the middle of a chunk on.
    let chunks = (1 << 40) / 65536;
    let leg =
        Link::new(every(0, 65536, 65536, chunks), every(0, 65536, 8 * 65536, chunks)).unwrap();
    let failed = at(4096, (1 << 40) - 8192);
    let above = emitted(|sink| leg.rmap(failed.into(), sink));
    assert_eq!(above.len(), 3);
    assert_eq!(above[0].upper(), at(4096, 61440).into());
    assert_eq!(above[1].upper().count(), chunks - 2);
    assert_eq!(above[1].upper().stride(), 8 * 65536);
    assert_eq!(above[2].upper().first().len(), 61440);
    let total = |side: fn(&Link) -> Run| above.iter().map(|l| side(l).total_len()).sum::<u64>();
    assert_eq!((total(Link::lower), total(Link::upper)), ((1 << 40) - 8192, (1 << 40) - 8192));
}

#[test]
fn a_leg_next_to_the_end_of_the_scale_is_mapped_to_the_byte() {
    let end = u64::MAX;
    let leg = Link::new(every(end - 64, 8, 16, 4), every(end - 32, 8, 8, 4)).unwrap();
    let above = emitted(|sink| leg.rmap(at(end - 62, 62).into(), sink));
    let due = [
        (at(end - 62, 6).into(), at(end - 30, 6).into()),
        (every(end - 48, 8, 16, 3), every(end - 24, 8, 8, 3)),
    ];
    assert_eq!(above.iter().map(|l| (l.lower(), l.upper())).collect::<Vec<_>>(), due);
}
