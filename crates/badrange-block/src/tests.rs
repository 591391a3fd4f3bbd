//! The layers against a picture of the device with one slot per half sector, drawn by the textbook
//! formulas.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "small numbers, and a panic is a failed test"
)]

mod facts;
mod laws;
mod recovery;
mod regressions;
mod text;

use core::{num::NonZeroU64, ops::ControlFlow};
use std::collections::BTreeMap;

use badrange_core::*;

use crate::dm::{Linear, Striped, Table, Target};

/// Half a sector: ranges that begin and end inside sectors are tried too.
pub(crate) const UNIT: u64 = 256;
pub(crate) const UNITS_PER_SECTOR: u64 = SECTOR_SIZE / UNIT;

/// Where one unit of a device is, in units of the leg's device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slot {
    On { leg: u32, unit: u64 },
    Hole(HoleKind),
}

/// A target as the drawing sees it, in sectors.
#[derive(Debug, Clone)]
pub(crate) enum Drawn {
    Linear { device: usize, offset: u64, len: u64 },
    Striped { chunk: u64, rows: u64, legs: Vec<(usize, u64)> },
    Error { len: u64 },
    Zero { len: u64 },
}

pub(crate) const DEVICES: [&str; 3] = ["8:0", "/dev/mapper/vg-lv", "253:16"];

impl Drawn {
    fn sectors(&self) -> u64 {
        match self {
            Self::Linear { len, .. } | Self::Error { len } | Self::Zero { len } => *len,
            Self::Striped { chunk, rows, legs } => chunk * rows * legs.len() as u64,
        }
    }

    fn legs(&self) -> u32 {
        match self {
            Self::Linear { .. } => 1,
            Self::Striped { legs, .. } => legs.len() as u32,
            Self::Error { .. } | Self::Zero { .. } => 0,
        }
    }

    /// Leg and sector of sector `o` of the target.
    fn place(&self, o: u64) -> Result<(u32, u64), HoleKind> {
        match self {
            Self::Linear { offset, .. } => Ok((0, offset + o)),
            Self::Striped { chunk, legs, .. } => {
                let (c, r, n) = (o / chunk, o % chunk, legs.len() as u64);
                let i = c % n;
                Ok((i as u32, legs[i as usize].1 + (c / n) * chunk + r))
            }
            Self::Error { .. } => Err(HoleKind::Error),
            Self::Zero { .. } => Err(HoleKind::Zero),
        }
    }

    pub(crate) fn target(&self) -> Target {
        let len = NonZeroU64::new(self.sectors()).unwrap();
        match self {
            Self::Linear { device, offset, len } => {
                let on = Extent::new(Sector::new(*offset), *len).unwrap();
                Linear::new(DEVICES[*device], on).unwrap().into()
            }
            Self::Striped { chunk, legs, .. } => {
                let legs: Vec<_> =
                    legs.iter().map(|(d, offset)| (DEVICES[*d], Sector::new(*offset))).collect();
                Striped::new(len.get(), *chunk as u32, &legs).unwrap().into()
            }
            Self::Error { .. } => Target::Error { len_sectors: len },
            Self::Zero { .. } => Target::Zero { len_sectors: len },
        }
    }
}

pub(crate) fn table(targets: &[Drawn]) -> Table {
    Table::new(targets.iter().map(Drawn::target)).unwrap()
}

/// Every unit of the device of these targets.
pub(crate) fn draw(targets: &[Drawn]) -> Vec<Slot> {
    let mut slots = Vec::new();
    let mut first_leg = 0;
    for target in targets {
        for o in 0..target.sectors() {
            for half in 0..UNITS_PER_SECTOR {
                slots.push(match target.place(o) {
                    Ok((i, s)) => {
                        Slot::On { leg: first_leg + i, unit: s * UNITS_PER_SECTOR + half }
                    }
                    Err(kind) => Slot::Hole(kind),
                });
            }
        }
        first_leg += target.legs();
    }
    slots
}

pub(crate) fn units(start: u64, len: u64) -> Extent {
    Extent::new(DevOffset::new(start * UNIT), len * UNIT).unwrap()
}

pub(crate) fn sectors(start: u64, len: u64) -> Extent {
    Extent::new(Sector::new(start), len).unwrap().bytes().unwrap()
}

pub(crate) fn in_sectors(e: Extent) -> (u64, u64) {
    assert_eq!((e.start().get() % SECTOR_SIZE, e.len() % SECTOR_SIZE), (0, 0));
    (e.start().get() / SECTOR_SIZE, e.len() / SECTOR_SIZE)
}

pub(crate) fn map(m: &dyn Mapping, upper: Extent) -> Vec<Mapped> {
    let mut all = Vec::new();
    let flow = m.map(upper, &mut |part| {
        all.push(part);
        ControlFlow::Continue(())
    });
    assert_eq!(flow, ControlFlow::Continue(()));
    all
}

pub(crate) fn rmap(m: &dyn Mapping, leg: u32, lower: impl Into<Run>) -> Vec<Link> {
    let mut all = Vec::new();
    let flow = m.rmap(Leg::new(leg), lower.into(), &mut |link| {
        all.push(link);
        ControlFlow::Continue(())
    });
    assert_eq!(flow, ControlFlow::Continue(()));
    all
}

/// Below and above, element by element.
pub(crate) fn elements(links: &[Link]) -> impl Iterator<Item = (Extent, Extent)> + '_ {
    links.iter().flat_map(Link::elements)
}

/// A link of one range on each side.
pub(crate) fn link(lower: Extent, upper: Extent) -> Link {
    Link::try_from((lower, upper)).unwrap()
}

/// A mapping, its picture, and the picture read backwards.
#[derive(Debug)]
pub(crate) struct Checked<M> {
    mapping: M,
    slots: Vec<Slot>,
    above: BTreeMap<(u32, u64), u64>,
}

impl<M: Mapping> Checked<M> {
    pub(crate) fn new(mapping: M, slots: Vec<Slot>) -> Self {
        let mut above = BTreeMap::new();
        for (upper, slot) in (0..).zip(&slots) {
            if let Slot::On { leg, unit } = slot {
                assert_eq!(above.insert((*leg, *unit), upper), None, "a leg's unit is used once");
            }
        }
        let checked = Self { mapping, slots, above };
        checked.shape();
        checked
    }

    /// Extent, number of legs, and the hull of every leg.
    fn shape(&self) {
        assert_eq!(self.mapping.extent(), units(0, self.slots.len() as u64));
        let legs = self.above.keys().map(|(leg, _)| leg + 1).max().unwrap_or(0);
        assert_eq!(self.mapping.legs(), legs);
        for leg in 0..legs + 2 {
            let used = || self.above.keys().filter(|(l, _)| *l == leg).map(|(_, unit)| *unit);
            let hull = used().min().zip(used().max()).map(|(min, max)| units(min, max - min + 1));
            assert_eq!(self.mapping.leg_extent(Leg::new(leg)), hull);
        }
    }

    /// Laws 1 and 2 for one range, in units.
    pub(crate) fn map(&self, start: u64, len: u64) {
        let mut next = start;
        for part in map(&self.mapping, units(start, len)) {
            let (at, count) = in_units(part.upper());
            assert_eq!(at, next, "in order and without gaps");
            for i in 0..count {
                let slot = self.slots.get((at + i) as usize).copied();
                let slot = slot.unwrap_or(Slot::Hole(HoleKind::Unmapped));
                match part {
                    Mapped::To { leg, link } => {
                        let unit = in_units(link.lower().first()).0 + i;
                        assert_eq!(slot, Slot::On { leg: leg.index(), unit });
                    }
                    Mapped::Hole(kind, _) => assert_eq!(slot, Slot::Hole(kind)),
                    Mapped::Own(_) => panic!("a block layer has no bytes of its own"),
                }
            }
            if let Mapped::To { leg, link } = part {
                assert_eq!((link.lower().count(), link.upper().count()), (1, 1));
                assert_eq!(rmap(&self.mapping, leg.index(), link.lower()), [link]);
            }
            next = at + count;
        }
        assert_eq!(next, start + len, "all of it");
    }

    /// Law 3 for one range of a leg: ascending, in at most head, body and tail.
    pub(crate) fn rmap(&self, leg: u32, start: u64, len: u64) {
        let links = self.rmap_run(leg, units(start, len).into());
        let ascends = |pair: &[Link]| pair[0].lower().last() < pair[1].lower().first();
        assert!(links.windows(2).all(ascends), "ascending: {links:?}");
        assert!(links.len() <= 3, "head, body, tail: {links:?}");
    }

    /// Laws 3 and 4 for a run of a leg: every unit of it arrives where the picture says, once, and
    /// no element of a link crosses the end of an element that was asked for.
    pub(crate) fn rmap_run(&self, leg: u32, asked: Run) -> Vec<Link> {
        let links = rmap(&self.mapping, leg, asked);
        let mut found = Vec::new();
        for (lower, upper) in elements(&links) {
            let inside = |element: Extent| element.contains_extent(lower);
            assert!(asked.elements().any(inside), "{lower} is in no element of {asked}");
            let ((lower, count), (upper, above)) = (in_units(lower), in_units(upper));
            assert_eq!(count, above);
            found.extend((0..count).map(|i| (lower + i, upper + i)));
        }
        let mut expected = Vec::new();
        for element in asked.elements() {
            let (lower, count) = in_units(element);
            let above = |unit| Some((unit, *self.above.get(&(leg, unit))?));
            expected.extend((lower..lower + count).filter_map(above));
        }
        found.sort_unstable();
        assert_eq!(found, expected, "{asked:?}");
        links
    }
}

pub(crate) fn in_units(e: Extent) -> (u64, u64) {
    assert_eq!((e.start().get() % UNIT, e.len() % UNIT), (0, 0));
    (e.start().get() / UNIT, e.len() / UNIT)
}
