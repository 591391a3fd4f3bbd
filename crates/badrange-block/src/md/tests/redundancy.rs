//! What an array has more than once, against a walk byte by byte: of each byte alone, which members
//! have something of its stripe, and is that up to date.

use badrange_core::{Backing, BackingKind};
use proptest::prelude::*;

use super::*;

/// What a byte of a leg can be had again from: its kind, how many it takes, and which bytes.
type Spare = (BackingKind, usize, Vec<(Leg, u64)>);

/// The truth, for arrays whose members differ only in where their data begin and how much of them
/// is up to date.
struct Truth {
    twin: Twin,
    level: Level,
    /// Bytes of a row.
    chunk: u64,
    /// By role: how many bytes are up to date; `None` for a missing member.
    synced: Vec<Option<u64>>,
}

impl Truth {
    fn new(level: Level, rows: u64, synced: Vec<Option<u64>>) -> Self {
        let (chunk, rows) = if level == Level::Raid1 { (rows * CHUNK, 1) } else { (CHUNK, rows) };
        Self { twin: Twin::new(level, &vec![rows; synced.len()]), level, chunk, synced }
    }

    fn array(&self) -> Array {
        let rows = self.twin.cells[0].len() as u64;
        let member = |(role, synced): (usize, &Option<u64>)| {
            Some(Member { data: at(OFFSETS[role], rows * self.chunk), synced: (*synced)? })
        };
        let members = self.synced.iter().enumerate().map(member).collect();
        Array::new(self.level, CHUNK, members).unwrap()
    }

    /// Leg and byte of its device, if the member is there and the byte up to date.
    fn usable(&self, role: usize, row: u64, into: u64) -> Option<(Leg, u64)> {
        let by = row * self.chunk + into;
        let leg = self.synced[..role].iter().flatten().count() as u32;
        self.synced[role].filter(|synced| by < *synced)?;
        Some((Leg::new(leg), OFFSETS[role] + by))
    }

    /// `None` where the array has nothing, or nothing twice.
    fn of_byte(&self, role: usize, byte: u64) -> Option<Spare> {
        let by = byte.checked_sub(OFFSETS[role])?;
        let (row, into) = (by / self.chunk, by % self.chunk);
        let cell = *self.twin.cells[role].get(row as usize)?;
        let usable = |places: Vec<(usize, u64)>| {
            let others = places.into_iter().filter(|place| *place != (role, row));
            others.filter_map(|(role, row)| self.usable(role, row, into)).collect()
        };
        match (self.level, cell) {
            (Level::Raid0(_), _) | (_, Cell::Nothing) => None,
            (Level::Parity { disks, .. }, _) => {
                // Data in the order of the array, then P, then Q.
                let rank = |role: &usize| match self.twin.cells[*role][row as usize] {
                    Cell::Data(number) => (0, number),
                    Cell::Parity(which) => (1, which.into()),
                    Cell::Nothing => unreachable!("every row of a stripe is in use"),
                };
                let mut roles: Vec<usize> = (0..self.synced.len()).collect();
                roles.sort_by_key(rank);
                let kind = match cell {
                    Cell::Parity(_) => BackingKind::Parity,
                    _ => BackingKind::Data,
                };
                let needed = self.synced.len() - usize::from(disks);
                Some((kind, needed, usable(roles.into_iter().map(|role| (role, row)).collect())))
            }
            (_, Cell::Data(number)) => {
                Some((BackingKind::Copy, 1, usable(self.twin.places[&number].clone())))
            }
            (_, Cell::Parity(_)) => unreachable!("copies have no parity"),
        }
    }
}

/// What the array says, byte by byte, and in how many backings.
fn said(array: &Array, leg: Leg, asked: Run) -> (BTreeMap<u64, Spare>, usize) {
    let (mut all, mut backings) = (BTreeMap::new(), 0);
    let flow = array.redundancy(leg, asked, &mut |backing: Backing<'_>| {
        backings += 1;
        for (index, lower) in (0..).zip(backing.lower.elements()) {
            assert!(asked.elements().any(|element| element.contains_extent(lower)));
            for by in 0..lower.len() {
                let source = |(leg, run): &(Leg, Run)| {
                    assert_eq!(run.count(), backing.lower.count(), "of the same shape");
                    let element = run.element(index).unwrap();
                    assert_eq!(element.len(), lower.len(), "of the same shape");
                    (*leg, element.start().get() + by)
                };
                let sources = backing.sources.iter().map(source).collect();
                let spare = (backing.kind, backing.needed, sources);
                assert_eq!(all.insert(lower.start().get() + by, spare), None, "each byte once");
            }
        }
        ControlFlow::Continue(())
    });
    assert_eq!(flow, ControlFlow::Continue(()));
    (all, backings)
}

fn agrees(truth: &Truth, array: &Array, role: usize, asked: Run) {
    let Some(leg) = array.leg_of(role) else { return };
    let bytes = asked.elements().flat_map(|e| e.start().get()..e.end().get());
    let due: BTreeMap<u64, Spare> =
        bytes.filter_map(|byte| Some((byte, truth.of_byte(role, byte)?))).collect();
    let (said, _) = said(array, leg, asked);
    assert!(said == due, "{} role {role} {asked}: {said:?}\ninstead of {due:?}", truth.level);
}

fn geometry() -> impl Strategy<Value = (Level, u64, Vec<Option<u64>>)> {
    (1..=6_usize, 4..=13_u64).prop_flat_map(|(disks, rows)| {
        // Up to date as a whole, not at all, or up to some byte.
        let bytes = rows * CHUNK;
        let synced = prop_oneof![
            1 => Just(None), 3 => Just(Some(bytes)), 2 => (0..=bytes).prop_map(Some),
        ];
        let synced = prop::collection::vec(synced, disks);
        let all = synced.prop_filter("a member is there", |all| all.iter().any(Option::is_some));
        (prop::sample::select(levels(disks)), Just(rows), all)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn every_byte_has_the_sources_that_a_walk_finds(
        (level, rows, mut synced) in geometry(),
        start in 0..14 * CHUNK, len in 1..3 * CHUNK, gap in 0..2 * CHUNK, count in 1..6_u64,
        chunks in 1..8_u64, role in 0..6_usize,
    ) {
        if matches!(level, Level::Raid0(_)) {
            synced.iter_mut().for_each(|synced| *synced = Some(rows * CHUNK)); // else it has no bytes
        }
        let truth = Truth::new(level, rows, synced);
        let (array, role) = (truth.array(), role % truth.synced.len());
        agrees(&truth, &array, role, Run::new(at(start, len), len + gap, count).unwrap());
        // A stride of whole chunks, an element that often lies in one of them.
        let first = at(start, len.min(CHUNK));
        agrees(&truth, &array, role, Run::new(first, chunks * CHUNK, count).unwrap());
        agrees(&truth, &array, role, at(0, OFFSETS[role] + (rows + 1) * CHUNK).into());
    }
}

/// The rest of the stripe, or the other copies, and nothing else.
#[test]
fn backing_names_the_rest_of_the_stripe() {
    for disks in 2..=6_usize {
        for level in levels(disks) {
            let truth = Truth::new(level, 12, vec![Some(12 * CHUNK); disks]);
            let array = truth.array();
            for (role, start) in OFFSETS.into_iter().enumerate().take(disks) {
                for row in 0..12 {
                    agrees(&truth, &array, role, at(start + row * CHUNK + 1000, 24).into());
                }
            }
        }
    }
}

#[test]
fn what_is_not_up_to_date_is_no_source() {
    let data = at(4096, 8 * CHUNK);
    let members = vec![Some(Member::in_sync(data)), Some(Member { data, synced: 3 * CHUNK })];
    let array = Array::new(Level::Raid1, 0, members).unwrap();
    let mut parts = Vec::new();
    let _ = array.redundancy(Leg::new(0), data.into(), &mut |backing| {
        parts.push((backing.lower, backing.needed, backing.sources.to_vec()));
        ControlFlow::Continue(())
    });
    let (fresh, stale) =
        (Run::from(at(4096, 3 * CHUNK)), Run::from(at(4096 + 3 * CHUNK, 5 * CHUNK)));
    assert_eq!(parts, [(fresh, 1, vec![(Leg::new(1), fresh)]), (stale, 1, vec![])]);
    // The stale one can be had again from the other, all of it.
    let (_, backings) = said(&array, Leg::new(1), data.into());
    assert_eq!(backings, 1);
}

#[test]
fn too_few_sources_are_told_and_no_redundancy_is_silence() {
    let some = Some(Member::in_sync(at(0, 12 * CHUNK)));
    let raid5 = Level::Parity { disks: 1, layout: ParityLayout::LeftSymmetric };
    let degraded = Array::new(raid5, CHUNK, vec![some, None, some]).unwrap();
    let (all, _) = said(&degraded, Leg::new(0), at(0, 12 * CHUNK).into());
    assert_eq!(all.len() as u64, 12 * CHUNK);
    assert!(all.values().all(|(_, needed, from)| (*needed, from.len()) == (2, 1)));
    let alone = Array::new(Level::Raid1, 0, vec![some, None]).unwrap();
    let (all, _) = said(&alone, Leg::new(0), at(0, 512).into());
    assert!(all.values().all(|(_, needed, from)| (*needed, from.len()) == (1, 0)));
    let raid0 = Array::new(Level::Raid0(Raid0Layout::Original), CHUNK, vec![some; 3]).unwrap();
    assert_eq!(said(&raid0, Leg::new(0), at(0, 12 * CHUNK).into()), (BTreeMap::new(), 0));
    assert_eq!(said(&degraded, Leg::new(2), at(0, 512).into()).1, 0, "no such leg");
}

#[test]
fn a_sink_that_breaks_gets_no_more_backings() {
    use badrange_core::Stop;
    let some = Some(Member::in_sync(at(0, 12 * CHUNK)));
    let raid5 = Level::Parity { disks: 1, layout: ParityLayout::LeftSymmetric };
    let array = Array::new(raid5, CHUNK, vec![some; 3]).unwrap();
    let mut calls = 0;
    let flow = array.redundancy(Leg::new(0), at(0, 12 * CHUNK).into(), &mut |_| {
        calls += 1;
        ControlFlow::Break(Stop::Enough)
    });
    assert_eq!((calls, flow), (1, ControlFlow::Break(Stop::Enough)));
}

#[test]
fn a_leg_of_a_large_array_is_as_few_backings_as_there_are_repeating_parts() {
    let large = |level, members: usize, synced: u64| {
        let data = at(1 << 20, 1 << 40);
        let mut all = vec![Some(Member::in_sync(data)); members];
        all[0] = Some(Member { data, synced });
        Array::new(level, 65536, all).unwrap()
    };
    let count = |array: &Array, asked: Run| {
        let (mut backings, mut bytes) = (0, 0);
        let _ = array.redundancy(Leg::new(1), asked, &mut |backing| {
            (backings, bytes) = (backings + 1, bytes + backing.lower.total_len());
            ControlFlow::Continue(())
        });
        assert_eq!(bytes, asked.total_len());
        backings
    };
    let raid5 = Level::Parity { disks: 1, layout: ParityLayout::LeftSymmetric };
    let far = Level::Raid10(Copies::Far { copies: 2, sets: false });
    for (level, members, parts) in [
        (raid5, 3, 3),
        (raid5, 5, 5),
        (far, 4, 2),
        (Level::Raid1, 2, 1),
        (Level::Raid10(Copies::Near(2)), 4, 1),
    ] {
        let array = large(level, members, 1 << 40);
        let whole = array.leg_extent(Leg::new(1)).unwrap();
        assert_eq!(count(&array, whole.into()), parts, "{level}");
        // A source that is up to date in part cuts each of them once, inside a chunk perhaps.
        let array = large(level, members, (1 << 39) + 4096);
        assert!(count(&array, whole.into()) <= 4 * parts, "{level}");
    }
    // Elements that have the same to be rebuilt from are one backing, however many there are.
    let array = large(raid5, 3, 1 << 40);
    let first = at((1 << 20) + 4096, 8192);
    assert_eq!(count(&array, Run::new(first, 6 * 65536, 1 << 20).unwrap()), 1);
    let wide = large(raid5, 64, 1 << 40);
    assert_eq!(count(&wide, Run::new(first, 64 * 65536, 2).unwrap()), 1);
    assert_eq!(count(&wide, Run::new(first, 63 * 65536, 2).unwrap()), 2);
    assert_eq!(count(&array, Run::new(first, 65536, 1 << 20).unwrap()), 3);
}
