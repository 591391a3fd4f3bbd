//! The ready mappings, against a table that says of every byte where it is.

use std::collections::BTreeMap;

use alloc::sync::Arc;

use super::*;

/// The naive twin of a mapping: the leg and the byte below of each byte that is on a leg.
type Table = BTreeMap<u64, (Leg, u64)>;

/// A device, its twin, and a place to ask near each of its sides.
#[derive(Debug, Clone)]
struct Case {
    device: Piecewise,
    rest: Rest,
    table: Table,
    /// First byte of the device, and of what it uses of each leg.
    upper: u64,
    lower: Vec<u64>,
}

/// One piece: bytes left free before it above, its length, its leg, its turn below, and bytes left
/// free before it there.
type Drawn = (u64, u64, usize, u32, u64);

fn drawn() -> impl Strategy<Value = Vec<Drawn>> {
    prop::collection::vec((0..4_u64, 1..7_u64, 0..3_usize, any::<u32>(), 0..3_u64), 0..8)
}

fn rests() -> impl Strategy<Value = Rest> {
    prop_oneof![
        Just(Rest::Own),
        Just(Rest::Hole(HoleKind::Zero)),
        Just(Rest::Hole(HoleKind::Error))
    ]
}

/// Lays pieces out: above as drawn, below by their turns.
fn laid_out(drawn: &[Drawn], upper: u64, lower: &[u64]) -> Vec<(Leg, Link)> {
    let used: BTreeSet<usize> = drawn.iter().map(|piece| piece.2).collect();
    let number = |leg: usize| used.range(..leg).count();
    let mut places = Vec::new();
    let mut top = upper;
    for (gap, len, leg, turn, below) in drawn {
        places.push((*turn, number(*leg), top + gap, *len, *below));
        top += gap + len;
    }
    places.sort_unstable();
    let mut bottom = Vec::from(lower);
    let mut pieces = Vec::new();
    for (_, leg, upper, len, below) in places {
        bottom[leg] += below;
        let link = Link::at(at(bottom[leg], len), DevOffset::new(upper)).unwrap();
        pieces.push((Leg::new(leg as u32), link));
        bottom[leg] += len;
    }
    pieces
}

fn cases() -> impl Strategy<Value = Case> {
    let bases = (bases(), prop::collection::vec(bases(), 3));
    (drawn(), rests(), bases).prop_map(|(drawn, rest, (upper, lower))| {
        let pieces = laid_out(&drawn, upper, &lower);
        let mut table = Table::new();
        for (leg, link) in &pieces {
            let bytes = units(&link.upper()).into_iter().zip(units(&link.lower()));
            table.extend(bytes.map(|(upper, lower)| (upper, (*leg, lower))));
        }
        let device = Piecewise::new(at(upper, SCALE), rest, pieces).unwrap();
        Case { device, rest, table, upper, lower }
    })
}

/// Law 1, and law 2 for each piece.
fn check_map(
    case: &dyn Mapping,
    table: &Table,
    rest: Rest,
    asked: Extent,
) -> Result<(), TestCaseError> {
    let mut next = asked.start();
    for part in emitted(|sink| case.map(asked, sink)) {
        prop_assert_eq!(part.upper().start(), next, "ascending, nothing left out");
        next = part.upper().end();
        for byte in units(&part.upper().into()) {
            let inside = case.extent().contains(DevOffset::new(byte));
            let below = table.get(&byte).filter(|_| inside);
            match part {
                Mapped::To { leg, link } => {
                    let by = byte - link.upper().first().start().get();
                    let here = link.lower().first().start().get() + by;
                    prop_assert_eq!(below, Some(&(leg, here)));
                }
                Mapped::Own(_) => prop_assert!(inside && below.is_none() && rest == Rest::Own),
                Mapped::Hole(kind, _) if inside => {
                    prop_assert!(below.is_none() && rest == Rest::Hole(kind));
                }
                Mapped::Hole(kind, _) => prop_assert_eq!(kind, HoleKind::Unmapped),
            }
        }
        if let Mapped::To { leg, link } = part {
            prop_assert_eq!((link.lower().count(), link.upper().count()), (1, 1));
            prop_assert_eq!(emitted(|sink| case.rmap(leg, link.lower(), sink)), [link]);
        }
    }
    prop_assert_eq!(next, asked.end());
    Ok(())
}

fn byte_pairs(links: &[Link]) -> Vec<(u64, u64)> {
    let sides = |l: &Link| units_in_order(&l.lower()).into_iter().zip(units_in_order(&l.upper()));
    let mut all: Vec<(u64, u64)> = links.iter().flat_map(sides).collect();
    all.sort_unstable();
    all
}

/// Laws 3 and 4, and law 5 for legs that do not exist.
fn check_rmap(
    case: &dyn Mapping,
    table: &Table,
    leg: Leg,
    asked: Run,
) -> Result<(), TestCaseError> {
    let above = emitted(|sink| case.rmap(leg, asked, sink));
    let inside = units(&asked);
    let mut due: Vec<(u64, u64)> = table
        .iter()
        .filter(|(_, (on, lower))| *on == leg && inside.contains(lower))
        .map(|(upper, (_, lower))| (*lower, *upper))
        .collect();
    due.sort_unstable();
    // Equal with all repetitions: so the links are disjoint below.
    prop_assert_eq!(byte_pairs(&above), due.clone());
    for link in &above {
        prop_assert!(element_by_element(&link.lower(), &asked));
        let extent = case.leg_extent(leg);
        prop_assert!(extent.is_some_and(|all| all.contains_extent(link.lower().span())));
    }
    prop_assert!(is_sorted(&above.iter().map(Link::lower).collect::<Vec<_>>()));
    let of_element = |e: Extent| emitted(|sink| case.rmap(leg, e.into(), sink));
    let each: Vec<Link> = asked.elements().flat_map(of_element).collect();
    prop_assert_eq!(byte_pairs(&each), due);
    for calls in 1..=above.len() {
        prop_assert!(stops_when_told(calls, |sink| case.rmap(leg, asked, sink)));
    }
    Ok(())
}

/// A run near `base`, as far as it fits.
fn near(run: Run, base: u64) -> Run {
    run.rebase(DevOffset::new(8), DevOffset::new(base))
        .or_else(|| run.rebase(run.first().start(), DevOffset::new(base)))
        .unwrap()
}

proptest! {
    #[test]
    fn a_device_in_pieces_maps_every_byte_down(case in cases(), asked in extents()) {
        let asked = asked.rebase(DevOffset::new(0), DevOffset::new(case.upper.saturating_sub(9)));
        let asked = asked.unwrap();
        check_map(&case.device, &case.table, case.rest, asked)?;
        let parts = emitted(|sink| case.device.map(asked, sink)).len();
        for calls in 1..=parts {
            prop_assert!(stops_when_told(calls, |sink| case.device.map(asked, sink)));
        }
    }

    #[test]
    fn a_device_in_pieces_finds_every_byte_of_a_run(
        case in cases(), asked in runs(), leg in 0..4_u32,
    ) {
        let base = case.lower.get(leg as usize).copied().unwrap_or_default();
        check_rmap(&case.device, &case.table, Leg::new(leg), near(asked, base))?;
    }

    #[test]
    fn the_extent_of_a_leg_is_the_hull_of_what_is_used_of_it(case in cases()) {
        let legs: BTreeSet<Leg> = case.table.values().map(|(leg, _)| *leg).collect();
        prop_assert_eq!(case.device.legs() as usize, legs.len());
        for leg in (0..4).map(Leg::new) {
            let used = case.table.values().filter(|(on, _)| *on == leg).map(|(_, lower)| *lower);
            let used: BTreeSet<u64> = used.collect();
            let hull = used.first().zip(used.last()).map(|(a, b)| at(*a, b - a + 1));
            prop_assert_eq!(case.device.leg_extent(leg), hull);
        }
        let uppers = case.device.pieces().map(|(_, link)| link.upper()).collect::<Vec<_>>();
        prop_assert!(is_sorted(&uppers));
        prop_assert_eq!(units_of(uppers), Vec::from_iter(case.table.keys().copied()));
    }

    #[test]
    fn mappings_are_total(case in cases(), start in any::<u64>(), len in 1..=u64::MAX, leg in any::<u32>()) {
        let asked = at(start.min(u64::MAX - len), len);
        for mapping in [&case.device as &dyn Mapping, &Window::new(at(case.upper, SCALE))] {
            let parts = emitted(|sink| mapping.map(asked, sink));
            let total: u64 = parts.iter().map(|part| part.upper().len()).sum();
            prop_assert_eq!(total, len);
            for leg in [0, 1, 2, leg].map(Leg::new) {
                let all = emitted(|sink| mapping.rmap(leg, asked.into(), sink));
                prop_assert!(mapping.leg_extent(leg).is_some() || all.is_empty());
            }
        }
    }

    #[test]
    fn a_window_is_its_bytes_counted_from_its_first(
        on in extents(), base in bases(), up in extents(), run in runs(), leg in 0..2_u32,
    ) {
        let on = at(base + on.start().get() / 2, on.len().div_ceil(2));
        let window = Window::new(on);
        let table: Table = (0..).zip(units(&on.into()).into_iter().map(|b| (Leg::new(0), b))).collect();
        prop_assert_eq!((window.extent(), window.legs()), (at(0, on.len()), 1));
        prop_assert_eq!((window.on(), window.leg_extent(Leg::new(0))), (on, Some(on)));
        prop_assert_eq!(window.leg_extent(Leg::new(1)), None);
        prop_assert_eq!(byte_pairs(&[window.link()]), byte_pairs(&[Link::at(on, DevOffset::new(0)).unwrap()]));
        check_map(&window, &table, Rest::Hole(HoleKind::Unmapped), up)?;
        check_rmap(&window, &table, Leg::new(leg), near(run, on.start().get()))?;
        // And is the same as the piece it is.
        let one = Piecewise::new(window.extent(), Rest::Own, [(Leg::new(0), window.link())]).unwrap();
        let of = |m: &dyn Mapping| emitted(|sink| m.rmap(Leg::new(0), near(run, on.start().get()), sink));
        prop_assert_eq!(of(&window), of(&one));
    }

    #[test]
    fn what_lies_beyond_a_device_is_unmapped(device in extents(), asked in extents()) {
        let after = emitted(|sink| beyond(device, asked, sink));
        let due = Extent::from_bounds(asked.start().max(device.end()), asked.end()).ok();
        let due = due.map(|part| Mapped::Hole(HoleKind::Unmapped, part));
        prop_assert_eq!(after, Vec::from_iter(due));
    }
}

/// Ten pieces of 4 bytes, every 8, in order below and reversed above.
fn ten() -> Piecewise {
    let piece = |i: u64| Link::at(at(8 * i, 4), DevOffset::new(4 * (9 - i))).unwrap();
    let pieces = (0..10).map(|i| (Leg::new(0), piece(i)));
    Piecewise::new(at(0, 40), Rest::Own, pieces).unwrap()
}

#[test]
fn a_run_of_few_elements_and_one_of_many_find_the_same_bytes() {
    let device = ten();
    let above = |run: Run| emitted(|sink| device.rmap(Leg::new(0), run, sink));
    // Two elements among ten pieces: element by element.
    let few = every(2, 12, 40, 2);
    let due = [(2, 2, 38), (8, 4, 32), (42, 2, 18), (48, 4, 12)];
    let links = due.map(|(lower, len, upper)| Link::at(at(lower, len), DevOffset::new(upper)));
    assert_eq!(above(few), links.map(Option::unwrap));
    // Twenty elements of one byte: piece by piece, as runs.
    let many = every(0, 1, 2, 40);
    let found = above(many);
    assert_eq!(found.len(), 10);
    assert_eq!(found[3].lower(), every(24, 1, 2, 2));
    assert_eq!(found[3].upper(), every(24, 1, 2, 2));
    assert_eq!(found[4].upper(), every(20, 1, 2, 2));
    // As many elements as pieces in reach, and one fewer: the same bytes.
    let (nine, eight) = (every(0, 4, 8, 9), every(0, 4, 8, 8));
    assert_eq!(byte_pairs(&above(nine)[..8]), byte_pairs(&above(eight)));
}

#[test]
fn no_piece_is_a_device_too() {
    let device = Piecewise::new(at(0, 8), Rest::Hole(HoleKind::Zero), []).unwrap();
    assert_eq!((device.legs(), device.extent(), device.pieces().len()), (0, at(0, 8), 0));
    let due = [Mapped::Hole(HoleKind::Zero, at(4, 4)), Mapped::Hole(HoleKind::Unmapped, at(8, 2))];
    assert_eq!(emitted(|sink| device.map(at(4, 6), sink)), due);
}

#[test]
fn a_piece_of_several_chunks_without_gaps_is_one_range() {
    let link = Link::new(every(64, 8, 8, 4), every(0, 8, 8, 4)).unwrap();
    let device = Piecewise::new(at(0, 32), Rest::Own, [(Leg::new(0), link)]).unwrap();
    assert_eq!(
        device.pieces().collect::<Vec<_>>(),
        [(Leg::new(0), Link::at(at(64, 32), DevOffset::new(0)).unwrap())]
    );
}

#[test]
fn pieces_that_no_device_can_have_are_named_with_their_numbers() {
    let err = |pieces: &[(u32, Link)]| {
        let pieces = pieces.iter().map(|(leg, link)| (Leg::new(*leg), *link));
        let err = Piecewise::new(at(0, 64), Rest::Own, pieces).unwrap_err();
        (err, err.to_string())
    };
    let link = |lower, len, upper| Link::at(at(lower, len), DevOffset::new(upper)).unwrap();
    let strided = Link::new(every(0, 4, 8, 3), every(0, 4, 4, 3)).unwrap();
    let (kind, text) = err(&[(1, strided)]);
    assert_eq!(kind, PiecewiseError::Strided(Leg::new(1), every(0, 4, 8, 3)));
    assert_eq!(text, "leg 1: device bytes [0x0..0x4) x3 every 0x8 are no single range");
    let (kind, text) = err(&[(0, link(0, 8, 57))]);
    assert_eq!(kind, PiecewiseError::Outside(Leg::new(0), at(57, 8)));
    assert_eq!(text, "leg 0: device bytes [0x39..0x41) reach beyond the device");
    let (kind, text) = err(&[(0, link(20, 8, 4)), (1, link(0, 5, 0))]);
    assert_eq!(kind, PiecewiseError::Above(Leg::new(0), at(4, 8)));
    assert_eq!(text, "leg 0: device bytes [0x4..0xc) above overlap another piece");
    let (kind, text) = err(&[(0, link(7, 8, 0)), (0, link(0, 8, 8))]);
    assert_eq!(kind, PiecewiseError::Below(Leg::new(0), at(7, 8)));
    assert_eq!(text, "leg 0: device bytes [0x7..0xf) below overlap another piece of the leg");
    let (kind, text) = err(&[(0, link(0, 8, 0)), (2, link(0, 8, 8))]);
    assert_eq!(kind, PiecewiseError::NoPiece(Leg::new(1)));
    assert_eq!(text, "leg 1 has no piece");
    assert_eq!(err(&[(3, link(0, 8, 0))]).0, PiecewiseError::NoPiece(Leg::new(0)));
    // The same bytes below on two legs are two devices' bytes, and what touches does not overlap.
    let fine = [(0, link(0, 8, 0)), (1, link(0, 8, 8)), (0, link(8, 8, 16))];
    let fine = fine.map(|(leg, link)| (Leg::new(leg), link));
    assert!(Piecewise::new(at(0, 24), Rest::Own, fine).is_ok());
}

/// Three legs, of which none has an equal, and a redundancy of its own.
#[derive(Debug)]
struct Odd;

impl Mapping for Odd {
    fn legs(&self) -> u32 {
        3
    }

    fn extent(&self) -> Extent {
        at(0, 4)
    }

    fn leg_extent(&self, leg: Leg) -> Option<Extent> {
        (leg.index() == 0).then(|| at(8, 4))
    }

    fn map(&self, upper: Extent, sink: Sink<'_, Mapped>) -> Flow {
        sink(Mapped::Own(upper))
    }

    fn rmap(&self, _: Leg, lower: Run, sink: Sink<'_, Link>) -> Flow {
        sink(Link::same(lower))
    }

    fn redundancy(&self, leg: Leg, lower: Run, sink: &mut dyn FnMut(Backing<'_>) -> Flow) -> Flow {
        sink(Backing { lower, kind: BackingKind::Data, needed: 1, sources: &[(leg, lower)] })
    }
}

#[test]
fn a_shared_mapping_is_the_mapping() {
    let shared: Arc<dyn Mapping> = Arc::new(Odd);
    assert_eq!((shared.legs(), shared.extent()), (3, at(0, 4)));
    let shared = Arc::new(shared);
    assert_eq!((Mapping::legs(&shared), Mapping::extent(&shared)), (3, at(0, 4)));
    assert_eq!(Mapping::leg_extent(&shared, Leg::new(0)), Some(at(8, 4)));
    assert_eq!(Mapping::leg_extent(&shared, Leg::new(1)), None);
    let (leg, run) = (Leg::new(2), every(9, 2, 4, 2));
    assert_eq!(emitted(|sink| Mapping::map(&shared, at(9, 2), sink)), [Mapped::Own(at(9, 2))]);
    assert_eq!(emitted(|sink| Mapping::rmap(&shared, leg, run, sink)), [Link::same(run)]);
    let mut backed = Vec::new();
    let _ = Mapping::redundancy(&shared, leg, run, &mut |one| {
        backed.push((one.lower, one.kind, one.sources.to_vec()));
        ControlFlow::Continue(())
    });
    assert_eq!(backed, [(run, BackingKind::Data, vec![(leg, run)])]);
}

#[test]
fn a_mapping_has_no_redundancy_unless_it_says_so() {
    let mut told = 0;
    let flow = ten().redundancy(Leg::new(0), at(0, 8).into(), &mut |_| {
        told += 1;
        ControlFlow::Continue(())
    });
    assert_eq!((flow, told), (ControlFlow::Continue(()), 0));
}

#[test]
#[cfg_attr(debug_assertions, should_panic(expected = "broken law: chunks end"))]
fn what_is_impossible_is_loud_in_debug_builds_and_stops_in_others() {
    fn impossible() -> Flow {
        bug!("chunks end")
    }
    assert_eq!(impossible(), ControlFlow::Break(Stop::Broken("chunks end")));
}
