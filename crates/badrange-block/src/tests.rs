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

pub(crate) fn units(start: u64, len: u64) -> Extent<DevOffset> {
    Extent::new(DevOffset::new(start * UNIT), len * UNIT).unwrap()
}

pub(crate) fn sectors(start: u64, len: u64) -> Extent<DevOffset> {
    Extent::new(Sector::new(start), len).unwrap().bytes().unwrap()
}

pub(crate) fn in_sectors(e: Extent<DevOffset>) -> (u64, u64) {
    assert_eq!((e.start().get() % SECTOR_SIZE, e.len() % SECTOR_SIZE), (0, 0));
    (e.start().get() / SECTOR_SIZE, e.len() / SECTOR_SIZE)
}

pub(crate) fn map(m: &dyn Mapping, upper: Extent<DevOffset>) -> Vec<Mapped> {
    let mut all = Vec::new();
    let flow = m.map(upper, &mut |part| {
        all.push(part);
        ControlFlow::Continue(())
    });
    assert_eq!(flow, ControlFlow::Continue(()));
    all
}

pub(crate) fn rmap(m: &dyn Mapping, leg: u32, lower: Extent<DevOffset>) -> Vec<Rmapped> {
    let mut all = Vec::new();
    let flow = m.rmap(Leg::new(leg), lower, &mut |part| {
        all.push(part);
        ControlFlow::Continue(())
    });
    assert_eq!(flow, ControlFlow::Continue(()));
    all
}

pub(crate) fn rmap_run(m: &dyn Mapping, leg: u32, lower: &Piece) -> Vec<Piece> {
    let mut all = Vec::new();
    let flow = m.rmap_run(Leg::new(leg), lower, &mut |piece| {
        all.push(piece);
        ControlFlow::Continue(())
    });
    assert_eq!(flow, ControlFlow::Continue(()));
    all
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
                    Mapped::To { leg, lower, .. } => {
                        let unit = in_units(lower).0 + i;
                        assert_eq!(slot, Slot::On { leg: leg.index(), unit });
                    }
                    Mapped::Hole { kind, .. } => assert_eq!(slot, Slot::Hole(kind)),
                }
            }
            if let Mapped::To { leg, upper, lower } = part {
                assert_eq!(lower.len(), upper.len());
                assert_eq!(rmap(&self.mapping, leg.index(), lower), [Rmapped { lower, upper }]);
            }
            next = at + count;
        }
        assert_eq!(next, start + len, "all of it");
    }

    /// Law 3 for one range of a leg, and law 4 for it as a whole report.
    pub(crate) fn rmap(&self, leg: u32, start: u64, len: u64) {
        let mut found = BTreeMap::new();
        let mut end = start;
        for part in rmap(&self.mapping, leg, units(start, len)) {
            let ((lower, count), (upper, _)) = (in_units(part.lower), in_units(part.upper));
            assert_eq!(part.lower.len(), part.upper.len());
            assert!(lower >= end && lower + count <= start + len, "ascending, inside");
            end = lower + count;
            found.extend((0..count).map(|i| (lower + i, upper + i)));
        }
        let expected: BTreeMap<u64, u64> =
            (start..start + len).filter_map(|u| Some((u, *self.above.get(&(leg, u))?))).collect();
        assert_eq!(found, expected);
        let pieces = self.rmap_run(leg, units(start, len).into());
        assert!(pieces <= 3, "head, body, tail: {pieces}");
    }

    /// Law 4 for a run of a leg: every unit of the report arrives where the picture says, once.
    pub(crate) fn rmap_run(&self, leg: u32, here: Run<DevOffset>) -> usize {
        // The report has gaps of its own, so that origins cannot be right by accident.
        let origin = Extent::new(ReportOffset::new(7 * UNIT), here.element_len()).unwrap();
        let origin = Run::new(origin, here.element_len() + 3 * UNIT, here.count()).unwrap();
        let pieces = rmap_run(&self.mapping, leg, &Piece::new(here, origin).unwrap());
        let mut found = Vec::new();
        for piece in &pieces {
            for (at, from) in piece.elements() {
                let (from, count) = (from.start().get() / UNIT, in_units(at).1);
                found.extend((0..count).map(|i| (from + i, in_units(at).0 + i)));
            }
        }
        let mut expected = Vec::new();
        for (at, from) in here.elements().zip(origin.elements()) {
            let ((lower, count), from) = (in_units(at), from.start().get() / UNIT);
            let above = |i| Some((from + i, *self.above.get(&(leg, lower + i))?));
            expected.extend((0..count).filter_map(above));
        }
        found.sort_unstable();
        assert_eq!(found, expected, "{here:?}");
        pieces.len()
    }
}

pub(crate) fn in_units(e: Extent<DevOffset>) -> (u64, u64) {
    assert_eq!((e.start().get() % UNIT, e.len() % UNIT), (0, 0));
    (e.start().get() / UNIT, e.len() / UNIT)
}
