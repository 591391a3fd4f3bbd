//! Arrays against the kernel's forward formulas, written down chunk by chunk for every geometry
//! that is small enough to write all of it down.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::wildcard_enum_match_arm,
    reason = "small numbers, and a panic is a failed test"
)]

use core::ops::ControlFlow;
use std::collections::BTreeMap;

use badrange_core::{DevOffset, Extent, Leg, Link, Mapped, Mapping, Run};

use super::*;

mod redundancy;

const CHUNK: u64 = 1024;
/// Data begins somewhere else on every member.
const OFFSETS: [u64; 7] = [0, 4096, 512, 1024, 7680, 512, 2048];

fn at(start: u64, len: u64) -> Extent {
    Extent::new(DevOffset::new(start), len).unwrap()
}

/// What a row of a member holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cell {
    Data(u64),
    Parity(u8),
    Nothing,
}

/// Cell by role and row, and the copies of every chunk.
#[derive(Debug)]
struct Twin {
    cells: Vec<Vec<Cell>>,
    places: BTreeMap<u64, Vec<(usize, u64)>>,
}

impl Twin {
    fn new(level: Level, rows: &[u64]) -> Self {
        let cells = rows.iter().map(|n| vec![Cell::Nothing; *n as usize]).collect();
        let mut twin = Self { cells, places: BTreeMap::new() };
        let least = *rows.iter().min().unwrap();
        match level {
            Level::Raid0(layout) => twin.raid0(layout, rows),
            Level::Raid1 => (0..rows.len()).for_each(|role| twin.put(0, role, 0)),
            Level::Parity { disks, layout } => twin.parity(disks, layout, rows.len() as u64, least),
            Level::Raid10(copies) => twin.raid10(copies, rows.len() as u64, least),
        }
        twin
    }

    fn put(&mut self, chunk: u64, role: usize, row: u64) {
        let cell = &mut self.cells[role][row as usize];
        assert_eq!(*cell, Cell::Nothing, "{role} {row} twice");
        *cell = Cell::Data(chunk);
        self.places.entry(chunk).or_default().push((role, row));
    }

    /// `raid0_make_request`: find the zone, then the member, then the place on it.
    fn raid0(&mut self, layout: Raid0Layout, rows: &[u64]) {
        let total: u64 = rows.iter().sum();
        for chunk in 0..total {
            let (mut dev_start, mut zone_start, mut rest) = (0, 0, chunk);
            loop {
                let members: Vec<usize> =
                    (0..rows.len()).filter(|role| rows[*role] > dev_start).collect();
                let zone_rows = members.iter().map(|m| rows[*m]).min().unwrap() - dev_start;
                let n = members.len() as u64;
                if rest >= zone_rows * n {
                    rest -= zone_rows * n;
                    zone_start += zone_rows * n;
                    dev_start += zone_rows;
                    continue;
                }
                let index = match layout {
                    Raid0Layout::Original => (zone_start + rest) % n,
                    Raid0Layout::Alternate => rest % n,
                };
                self.put(chunk, members[index as usize], dev_start + rest / n);
                break;
            }
        }
    }

    /// `raid5_compute_sector`, one case after the other as the kernel has them.
    fn parity(&mut self, parity: u8, layout: ParityLayout, disks: u64, rows: u64) {
        let data = disks - u64::from(parity);
        for row in 0..rows {
            for index in 0..data {
                let (p, q, dd) = if parity == 1 {
                    let (p, dd) = raid5(layout, disks, row, index);
                    (p, None, dd)
                } else {
                    let (p, q, dd) = raid6(layout, disks, row, index);
                    (p, Some(q), dd)
                };
                self.put(row * data + index, dd as usize, row);
                self.cells[p as usize][row as usize] = Cell::Parity(0);
                if let Some(q) = q {
                    self.cells[q as usize][row as usize] = Cell::Parity(1);
                }
            }
        }
    }

    /// `__raid10_find_phys`.
    fn raid10(&mut self, copies: Copies, disks: u64, rows: u64) {
        let (near, far, offset, set) = match copies {
            Copies::Near(n) => (u64::from(n), 1, false, disks),
            Copies::Far { copies, sets } => {
                (1, u64::from(copies), false, if sets { copies.into() } else { disks })
            }
            Copies::Offset { copies, sets } => {
                (1, u64::from(copies), true, if sets { copies.into() } else { disks })
            }
        };
        let chunks = rows / far * disks / near;
        let used = (chunks * near * far).div_ceil(disks);
        let stride = if offset { 1 } else { used / far };
        let last_start = (disks / set - 1) * set;
        let last_size = set + disks % set;
        for chunk in 0..chunks {
            let slot = chunk * near;
            let (mut dev, mut row) = (slot % disks, slot / disks);
            if offset {
                row *= far;
            }
            for _ in 0..near {
                let (mut d, mut s) = (dev, row);
                self.put(chunk, d as usize, s);
                for _ in 1..far {
                    let number = d / set;
                    d += near;
                    if disks % set != 0 && d > last_start {
                        d -= last_start;
                        d %= last_size;
                        d += last_start;
                    } else {
                        d %= set;
                        d += set * number;
                    }
                    s += stride;
                    self.put(chunk, d as usize, s);
                }
                dev += 1;
                if dev >= disks {
                    dev = 0;
                    row += 1;
                }
            }
        }
        self.places.values_mut().for_each(|places| places.sort_unstable());
    }
}

fn raid5(layout: ParityLayout, disks: u64, stripe: u64, index: u64) -> (u64, u64) {
    let data = disks - 1;
    match layout {
        ParityLayout::LeftAsymmetric => {
            let p = data - stripe % disks;
            (p, if index >= p { index + 1 } else { index })
        }
        ParityLayout::RightAsymmetric => {
            let p = stripe % disks;
            (p, if index >= p { index + 1 } else { index })
        }
        ParityLayout::LeftSymmetric => {
            let p = data - stripe % disks;
            (p, (p + 1 + index) % disks)
        }
        ParityLayout::RightSymmetric => {
            let p = stripe % disks;
            (p, (p + 1 + index) % disks)
        }
        ParityLayout::ParityFirst => (0, index + 1),
        ParityLayout::ParityLast => (data, index),
        _ => unreachable!(),
    }
}

fn raid6(layout: ParityLayout, disks: u64, stripe: u64, index: u64) -> (u64, u64, u64) {
    let data = disks - 2;
    // Data in order around P and the Q behind it.
    let around = |p: u64| {
        if p == disks - 1 {
            (p, 0, index + 1)
        } else if index >= p {
            (p, p + 1, index + 2)
        } else {
            (p, p + 1, index)
        }
    };
    let over = |p: u64| if index >= p { index + 1 } else { index };
    match layout {
        ParityLayout::LeftAsymmetric => around(disks - 1 - stripe % disks),
        ParityLayout::RightAsymmetric | ParityLayout::ZeroRestart => around(stripe % disks),
        ParityLayout::NRestart => around(disks - 1 - (stripe + 1) % disks),
        ParityLayout::LeftSymmetric => {
            let p = disks - 1 - stripe % disks;
            (p, (p + 1) % disks, (p + 2 + index) % disks)
        }
        ParityLayout::RightSymmetric => {
            let p = stripe % disks;
            (p, (p + 1) % disks, (p + 2 + index) % disks)
        }
        ParityLayout::NContinue => {
            let p = disks - 1 - stripe % disks;
            (p, (p + disks - 1) % disks, (p + 1 + index) % disks)
        }
        ParityLayout::ParityFirst => (0, 1, index + 2),
        ParityLayout::ParityLast => (data, data + 1, index),
        ParityLayout::LeftAsymmetric6 => {
            let p = data - stripe % (disks - 1);
            (p, disks - 1, over(p))
        }
        ParityLayout::RightAsymmetric6 => {
            let p = stripe % (disks - 1);
            (p, disks - 1, over(p))
        }
        ParityLayout::LeftSymmetric6 => {
            let p = data - stripe % (disks - 1);
            (p, disks - 1, (p + 1 + index) % (disks - 1))
        }
        ParityLayout::RightSymmetric6 => {
            let p = stripe % (disks - 1);
            (p, disks - 1, (p + 1 + index) % (disks - 1))
        }
        ParityLayout::ParityFirst6 => (0, disks - 1, index + 1),
    }
}

/// Every level and layout on so many members.
fn levels(disks: usize) -> Vec<Level> {
    let n = u32::try_from(disks).unwrap();
    let mut all = vec![Level::Raid1];
    all.extend([Raid0Layout::Original, Raid0Layout::Alternate].map(Level::Raid0));
    for parity in [1_u8, 2] {
        let fits = |l: &ParityLayout| l.is_for(parity) && disks > usize::from(parity);
        let layouts = ParityLayout::ALL.into_iter().filter(fits);
        all.extend(layouts.map(|layout| Level::Parity { disks: parity, layout }));
    }
    for copies in 1..=n.min(4) {
        all.push(Level::Raid10(Copies::Near(copies)));
        for sets in [false, true] {
            all.push(Level::Raid10(Copies::Far { copies, sets }));
            all.push(Level::Raid10(Copies::Offset { copies, sets }));
        }
    }
    all
}

fn member(role: usize, rows: u64, more: u64) -> Member {
    Member::in_sync(at(OFFSETS[role], rows * CHUNK + more))
}

fn array(level: Level, rows: &[u64], missing: Option<usize>) -> Array {
    let of_role = |(role, rows): (usize, &u64)| {
        // What is too short for a chunk is not used; RAID 1 has no chunks.
        let more = if level == Level::Raid1 { 0 } else { 512 };
        (Some(role) != missing).then(|| member(role, *rows, more))
    };
    let members = rows.iter().enumerate().map(of_role).collect();
    Array::new(level, CHUNK, members).unwrap_or_else(|err| panic!("{level} {rows:?}: {err}"))
}

fn rmap(array: &Array, leg: Leg, lower: impl Into<Run>) -> Vec<Link> {
    let mut links = Vec::new();
    let flow = array.rmap(leg, lower.into(), &mut |link| {
        links.push(link);
        ControlFlow::Continue(())
    });
    assert_eq!(flow, ControlFlow::Continue(()));
    links
}

/// Bytes below and above, sector by sector, each once and inside an element that was asked for.
fn sectors(array: &Array, leg: Leg, lower: impl Into<Run>) -> BTreeMap<u64, u64> {
    let asked = lower.into();
    let mut pairs = BTreeMap::new();
    for (below, above) in rmap(array, leg, asked).iter().flat_map(Link::elements) {
        assert!(asked.elements().any(|element| element.contains_extent(below)));
        for by in (0..below.len()).step_by(512) {
            assert_eq!(pairs.insert(below.start().get() + by, above.start().get() + by), None);
        }
    }
    pairs
}

fn agrees(level: Level, rows: &[u64], missing: Option<usize>) {
    let shown = format!("{level:?} {rows:?} without {missing:?}");
    // Of RAID 1 the twin has one row that is as long as the members.
    let (chunk, twin) = match level {
        Level::Raid1 => (rows[0] * CHUNK, Twin::new(level, &vec![1; rows.len()])),
        _ => (CHUNK, Twin::new(level, rows)),
    };
    let array = array(level, rows, missing);
    assert_eq!(array.extent(), at(0, twin.places.len() as u64 * chunk), "{shown}");
    for (role, cells) in twin.cells.iter().enumerate().filter(|(role, _)| Some(*role) != missing) {
        let used = cells.iter().rposition(|c| *c != Cell::Nothing).map_or(0, |last| last + 1);
        let Some(leg) = array.leg_of(role) else {
            assert_eq!(used, 0, "{shown}");
            continue;
        };
        assert_eq!(array.leg_extent(leg), Some(at(OFFSETS[role], used as u64 * chunk)), "{shown}");
        leg_agrees(&array, leg, OFFSETS[role], chunk, cells, &shown);
    }
    for (number, places) in &twin.places {
        let mut found = Vec::new();
        let _ = array.map(at(number * chunk + 512, 512), &mut |part| {
            match part {
                Mapped::To { leg, link } => {
                    assert_eq!(rmap(&array, leg, link.lower()), [link], "{shown}");
                    found.push((leg, link.lower().first().start().get()));
                }
                Mapped::Hole(..) => assert!(places.iter().all(|(r, _)| Some(*r) == missing)),
                Mapped::Own(_) => panic!("an array has no bytes of its own"),
            }
            ControlFlow::Continue(())
        });
        let due = places.iter().filter_map(|(role, row)| {
            Some((array.leg_of(*role)?, OFFSETS[*role] + row * chunk + 512))
        });
        assert_eq!(found, due.collect::<Vec<_>>(), "{shown} chunk {number}");
    }
}

fn leg_agrees(array: &Array, leg: Leg, start: u64, chunk: u64, cells: &[Cell], shown: &str) {
    let whole = at(0, start + cells.len() as u64 * chunk + 4096);
    let mut due = BTreeMap::new();
    let mut parity = Vec::new();
    for (row, cell) in cells.iter().enumerate() {
        let bytes = at(start + row as u64 * chunk, chunk);
        match cell {
            Cell::Data(number) => {
                for by in (0..chunk).step_by(512) {
                    due.insert(bytes.start().get() + by, number * chunk + by);
                }
                // One sector inside, and one beside it.
                let upper = at(number * chunk + chunk - 512, 512);
                let lower = at(bytes.end().get() - 512, 512);
                assert_eq!(
                    rmap(array, leg, lower),
                    [Link::try_from((lower, upper)).unwrap()],
                    "{shown}"
                );
            }
            Cell::Parity(_) => parity.push(bytes),
            Cell::Nothing => assert_eq!(rmap(array, leg, bytes), [], "{shown}"),
        }
    }
    assert_eq!(sectors(array, leg, whole), due, "{shown} {leg}");
    for asked in questions(start, chunk, cells.len() as u64) {
        let inside = |below: &u64| asked.contains(DevOffset::new(*below));
        let due: BTreeMap<_, _> = due.iter().filter(|(below, _)| inside(below)).collect();
        let said = sectors(array, leg, asked);
        assert_eq!(said.iter().collect::<BTreeMap<_, _>>(), due, "{shown} {leg} {asked}");
    }
    let mut said: Vec<_> = array.parity(leg).iter().flat_map(|run| run.elements()).collect();
    said.sort();
    assert_eq!(said, parity, "{shown} {leg}");
}

/// Ranges and runs of a leg, in whole sectors: inside a chunk and over several, at every distance.
fn questions(start: u64, chunk: u64, rows: u64) -> Vec<Run> {
    let mut all = Vec::new();
    for row in 0..rows {
        for over in [1, 2, 3, 5, 8].into_iter().filter(|over| row + over <= rows) {
            all.push(at(start + row * chunk + 512, (over - 1) * chunk + 512).into());
        }
    }
    for stride in 1..=rows {
        // In a row each, over the end of a row, from before the leg to behind it.
        let count = rows.div_ceil(stride);
        for (from, len) in [(0, 512), (512, chunk), (0, chunk)] {
            all.extend(Run::new(at(start + from, len), stride * chunk, count));
            all.extend(Run::new(at(start + chunk * (rows / 2) + from, len), stride * chunk, 2));
        }
        let before = start.saturating_sub(512);
        all.extend(Run::new(at(before, 1024), stride * chunk + 512, count + 2));
    }
    all
}

#[test]
fn every_small_array_is_what_the_kernel_s_formulas_say() {
    for disks in 1..=6_usize {
        for level in levels(disks) {
            for rows in [1, 2, 3, 5, 8, 13_u64] {
                let equal = vec![rows; disks];
                let fits = match level {
                    Level::Raid10(Copies::Far { copies, .. } | Copies::Offset { copies, .. }) => {
                        rows >= u64::from(copies)
                    }
                    _ => true,
                };
                if !fits {
                    let members = (0..disks).map(|role| Some(member(role, rows, 0))).collect();
                    let err = Array::new(level, CHUNK, members).unwrap_err();
                    assert_eq!(err.kind(), ArrayErrorKind::Empty);
                    continue;
                }
                agrees(level, &equal, None);
                if disks > 1 && !matches!(level, Level::Raid0(_)) {
                    agrees(level, &equal, Some(0));
                    agrees(level, &equal, Some(disks - 1));
                }
            }
        }
    }
}

#[test]
fn raid0_of_unequal_members_is_what_the_kernel_s_formulas_say() {
    for layout in [Raid0Layout::Original, Raid0Layout::Alternate] {
        for a in 1..5 {
            for b in 1..5 {
                for c in 1..5 {
                    agrees(Level::Raid0(layout), &[a, b, c], None);
                    agrees(Level::Raid0(layout), &[a, b, c, 2], None);
                }
            }
        }
    }
}

#[test]
fn a_leg_of_a_large_array_is_as_few_links_as_there_are_repeating_parts() {
    let member = Member::in_sync(at(1 << 20, 1 << 40));
    for (level, members, links) in [
        (Level::Parity { disks: 1, layout: ParityLayout::LeftSymmetric }, 3, 2),
        (Level::Parity { disks: 2, layout: ParityLayout::LeftSymmetric }, 6, 4),
        (Level::Raid10(Copies::Near(2)), 4, 1),
        (Level::Raid10(Copies::Near(2)), 3, 2),
        (Level::Raid10(Copies::Far { copies: 2, sets: false }), 4, 2),
        (Level::Raid10(Copies::Offset { copies: 2, sets: false }), 4, 2),
        (Level::Raid0(Raid0Layout::Original), 8, 1),
        (Level::Raid1, 2, 1),
    ] {
        let array = Array::new(level, 65536, vec![Some(member); members]).unwrap();
        let on = array.leg_extent(Leg::new(1)).unwrap();
        assert_eq!(rmap(&array, Leg::new(1), on).len(), links, "{level}");
        // Two sectors at the ends of it cost two rows.
        let ends = Run::new(at(1 << 20, 512), on.len() - 512, 2).unwrap();
        assert!(rmap(&array, Leg::new(1), ends).len() <= 2, "{level}");
    }
    // Many elements in two rows of many that differ are what they are in each of the two.
    let raid5 = Level::Parity { disks: 1, layout: ParityLayout::LeftSymmetric };
    let wide = Array::new(raid5, 65536, vec![Some(member); 64]).unwrap();
    let spots = Run::new(at((1 << 20) + 65536, 512), 6144, 21).unwrap();
    assert_eq!(rmap(&wide, Leg::new(1), spots).len(), 2);
}

#[test]
fn chunks_so_large_that_a_period_of_them_exceeds_64_bits_have_places() {
    // Three chunks of a quarter of the scale fit, six of them do not.
    let chunk = 1 << 62;
    let level = Level::Parity { disks: 1, layout: ParityLayout::LeftSymmetric };
    let array = Array::new(level, chunk, vec![Some(Member::in_sync(at(0, chunk))); 3]).unwrap();
    assert_eq!(rmap(&array, Leg::new(0), at(0, chunk)), [Link::same(at(0, chunk))]);
    let second = Link::try_from((at(512, 512), at(chunk + 512, 512))).unwrap();
    assert_eq!(rmap(&array, Leg::new(1), at(512, 512)), [second]);
    assert_eq!(array.parity(Leg::new(2)), [Run::from(at(0, chunk))]);
}

#[test]
fn arrays_that_cannot_be_are_refused() {
    let some = Some(Member::in_sync(at(0, 8 * CHUNK)));
    let kind = |level, chunk, members| Array::new(level, chunk, members).unwrap_err().kind();
    let raid6 = Level::Parity { disks: 2, layout: ParityLayout::LeftSymmetric };
    let ddf = Level::Parity { disks: 1, layout: ParityLayout::NContinue };
    assert_eq!(kind(raid6, CHUNK, vec![some; 2]), ArrayErrorKind::Members);
    assert_eq!(kind(ddf, CHUNK, vec![some; 4]), ArrayErrorKind::Layout);
    assert_eq!(kind(raid6, 0, vec![some; 4]), ArrayErrorKind::Layout);
    assert_eq!(kind(Level::Raid1, 0, vec![None, None]), ArrayErrorKind::Members);
    let raid0 = Level::Raid0(Raid0Layout::Original);
    assert_eq!(kind(raid0, CHUNK, vec![some, None]), ArrayErrorKind::Members);
    assert_eq!(kind(raid0, 9 * CHUNK, vec![some; 2]), ArrayErrorKind::Empty);
    let near = Level::Raid10(Copies::Near(3));
    assert_eq!(kind(near, CHUNK, vec![some; 2]), ArrayErrorKind::Members);
    let long = Some(Member::in_sync(at(0, u64::MAX)));
    assert_eq!(kind(raid0, CHUNK, vec![long; 3]), ArrayErrorKind::Overflow);
}

/// LVM makes RAID 10 of an odd number of legs shorter than its legs would have room for.
#[test]
fn a_shorter_raid10_leaves_the_last_row_in_part() {
    let member = Some(Member::in_sync(at(0, 6 * CHUNK)));
    let array = Array::new(Level::Raid10(Copies::Near(2)), CHUNK, vec![member; 3]).unwrap();
    assert_eq!(array.extent().len(), 9 * CHUNK);
    let array = array.of_length(8 * CHUNK).unwrap();
    let ends: Vec<_> =
        (0..3).map(|leg| array.leg_extent(Leg::new(leg)).unwrap().end().get() / CHUNK).collect();
    assert_eq!(ends, [6, 5, 5], "16 copies in rows of three");
    assert!(array.of_length(8 * CHUNK + 512).is_err());
}

#[test]
fn beyond_the_rows_and_the_members_there_is_nothing() {
    use super::plan::{Plan, Slot};
    let parity = Level::Parity { disks: 1, layout: ParityLayout::LeftSymmetric };
    for level in [Level::Raid1, parity, Level::Raid0(Raid0Layout::Original)] {
        let plan = Plan::new(level, &[Some(4); 3]).unwrap();
        assert!(matches!(plan.slot(2, 3), Some(Slot::Data(_) | Slot::Parity(0))), "{level}");
        assert_eq!((plan.slot(3, 3), plan.slot(2, 4)), (None, None), "{level}");
    }
}
