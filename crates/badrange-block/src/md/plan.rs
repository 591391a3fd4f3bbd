//! Which chunk stands where: arithmetic on chunks and rows, without bytes.
//!
//! A row is one chunk of one member, counted from the member's first data byte. A role is a
//! member's number in the array.

use core::ops::ControlFlow;

use badrange_core::{Flow, bug};

use super::{ArrayError, ArrayErrorKind, Copies, Level, ParityLayout, Raid0Layout};
use crate::math::gcd;

/// What a row of a member holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slot {
    /// This chunk of the array.
    Data(u64),
    /// Parity of its stripe: 0 is P, 1 is Q.
    Parity(u8),
}

/// Rows of a member that repeat: row `r + period` holds chunk `c + advance` where row `r` holds
/// chunk `c`, and parity where it holds parity.
///
/// # Invariants
/// The period is not zero. What else is in the stripe, or where the other copies are, repeats with
/// it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Section {
    pub(crate) first_row: u64,
    pub(crate) rows: u64,
    pub(crate) period: u64,
    pub(crate) advance: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    shape: Shape,
    /// Members of the array, those that are missing too.
    disks: u64,
    /// Chunks of the array.
    chunks: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Shape {
    Zones(Box<[Zone]>),
    Parity { parity: u64, layout: ParityLayout, rows: u64 },
    Near { copies: u64 },
    Far { copies: u64, set: u64, stride: u64 },
    Offset { copies: u64, set: u64, rows: u64 },
}

/// Rows of RAID 0 that the same members have.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Zone {
    first_row: u64,
    rows: u64,
    first_chunk: u64,
    /// Which of the members has the first chunk.
    turn: u64,
    /// Roles, ascending.
    members: Box<[u64]>,
}

impl Plan {
    /// `rows` tells how many whole chunks each member has room for; `None` is a missing member.
    pub(crate) fn new(level: Level, rows: &[Option<u64>]) -> Result<Self, ArrayError> {
        let disks = u64::try_from(rows.len()).unwrap_or(u64::MAX);
        let room = rows.iter().flatten().min().copied().unwrap_or(0);
        let shape = match level {
            Level::Raid0(layout) => zones(layout, rows)?,
            Level::Raid1 => Shape::Near { copies: disks },
            Level::Parity { disks: parity, layout } => {
                Shape::Parity { parity: parity.into(), layout, rows: room }
            }
            Level::Raid10(Copies::Near(copies)) => Shape::Near { copies: copies.into() },
            Level::Raid10(Copies::Far { copies, sets }) => {
                let copies = u64::from(copies);
                let stride = room.checked_div(copies).unwrap_or(0);
                Shape::Far { copies, set: if sets { copies } else { disks }, stride }
            }
            Level::Raid10(Copies::Offset { copies, sets }) => {
                let copies = u64::from(copies);
                let whole = room.checked_div(copies).unwrap_or(0);
                let rows = whole.checked_mul(copies).unwrap_or(0);
                Shape::Offset { copies, set: if sets { copies } else { disks }, rows }
            }
        };
        let chunks = shape.chunks(disks, room).filter(|chunks| *chunks > 0).ok_or_else(|| {
            ArrayError::new(ArrayErrorKind::Empty, "its members have no room for a single chunk")
        })?;
        Ok(Self { shape, disks, chunks })
    }

    /// Chunks of the array.
    pub(crate) fn chunks(&self) -> u64 {
        self.chunks
    }

    /// The same with fewer chunks, `None` where that would leave a stripe in part.
    pub(crate) fn truncated(self, chunks: u64) -> Option<Self> {
        let whole = chunks == self.chunks;
        let can = matches!(self.shape, Shape::Near { .. }) && (1..self.chunks).contains(&chunks);
        (whole || can).then_some(Self { chunks, ..self })
    }

    /// Rows of a member that hold anything; those after them are not used.
    pub(crate) fn rows(&self, role: u64) -> u64 {
        match &self.shape {
            Shape::Zones(_) => {
                self.sections(role).map(|zone| zone.rows).fold(0, u64::saturating_add)
            }
            Shape::Parity { rows, .. } | Shape::Offset { rows, .. } => *rows,
            Shape::Far { copies, stride, .. } => copies.saturating_mul(*stride),
            Shape::Near { copies } => {
                let slots = self.chunks.saturating_mul(*copies);
                let behind = self.disks.saturating_sub(1).saturating_sub(role);
                slots.saturating_add(behind).checked_div(self.disks).unwrap_or(0)
            }
        }
    }

    /// What stands in a row of a member; `None` when nothing does.
    pub(crate) fn slot(&self, role: u64, row: u64) -> Option<Slot> {
        if role >= self.disks || row >= self.rows(role) {
            return None;
        }
        let chunk = match &self.shape {
            Shape::Zones(zones) => zones.iter().find_map(|zone| zone.chunk(role, row))?,
            Shape::Parity { parity, layout, .. } => {
                let stripe = Stripe::new(*layout, *parity, self.disks, row)?;
                match stripe.index(role)? {
                    Slot::Data(index) => {
                        row.checked_mul(self.disks.checked_sub(*parity)?)?.checked_add(index)?
                    }
                    parity @ Slot::Parity(_) => return Some(parity),
                }
            }
            Shape::Near { copies } => {
                row.checked_mul(self.disks)?.checked_add(role)?.checked_div(*copies)?
            }
            Shape::Far { set, stride, .. } => {
                let (copy, row) = (row.checked_div(*stride)?, row.checked_rem(*stride)?);
                row.checked_mul(self.disks)?.checked_add(self.unshifted(role, copy, *set)?)?
            }
            Shape::Offset { copies, set, .. } => {
                let (row, copy) = (row.checked_div(*copies)?, row.checked_rem(*copies)?);
                row.checked_mul(self.disks)?.checked_add(self.unshifted(role, copy, *set)?)?
            }
        };
        (chunk < self.chunks).then_some(Slot::Data(chunk))
    }

    /// Calls `sink` with role and row of every copy of a chunk of the array, by role.
    pub(crate) fn places(&self, chunk: u64, sink: &mut dyn FnMut(u64, u64) -> Flow) -> Flow {
        let number = match &self.shape {
            Shape::Zones(_) | Shape::Parity { .. } => 1,
            Shape::Near { copies } | Shape::Far { copies, .. } | Shape::Offset { copies, .. } => {
                *copies
            }
        };
        let Some((first, _)) = self.place(chunk, 0) else {
            return bug!("a chunk of an array has a place");
        };
        // Copies go up from the first one's role, and go on from the bottom: these come first.
        for from_bottom in [true, false] {
            for copy in 0..number {
                let Some((role, row)) = self.place(chunk, copy) else {
                    return bug!("every copy of a chunk has a place");
                };
                if (role < first) == from_bottom {
                    sink(role, row)?;
                }
            }
        }
        ControlFlow::Continue(())
    }

    /// Role and row of a copy of a chunk.
    fn place(&self, chunk: u64, copy: u64) -> Option<(u64, u64)> {
        match &self.shape {
            Shape::Zones(zones) => zones.iter().find_map(|zone| zone.place(chunk)),
            Shape::Parity { parity, layout, .. } => {
                let data = self.disks.checked_sub(*parity)?;
                let (row, index) = (chunk.checked_div(data)?, chunk.checked_rem(data)?);
                Some((Stripe::new(*layout, *parity, self.disks, row)?.role(index)?, row))
            }
            Shape::Near { copies } => {
                let slot = chunk.checked_mul(*copies)?.checked_add(copy)?;
                Some((slot.checked_rem(self.disks)?, slot.checked_div(self.disks)?))
            }
            Shape::Far { set, stride, .. } => {
                let (role, row) = (chunk.checked_rem(self.disks)?, chunk.checked_div(self.disks)?);
                let row = copy.checked_mul(*stride)?.checked_add(row)?;
                Some((self.shifted(role, copy, *set)?, row))
            }
            Shape::Offset { copies, set, .. } => {
                let (role, row) = (chunk.checked_rem(self.disks)?, chunk.checked_div(self.disks)?);
                let row = row.checked_mul(*copies)?.checked_add(copy)?;
                Some((self.shifted(role, copy, *set)?, row))
            }
        }
    }

    /// The rows of a member in parts that repeat, ascending.
    pub(crate) fn sections(&self, role: u64) -> impl Iterator<Item = Section> + '_ {
        (0..).map_while(move |number| self.section(role, number))
    }

    fn section(&self, role: u64, number: usize) -> Option<Section> {
        let one = |period: u64, advance: u64| {
            let all = Section { first_row: 0, rows: self.rows(role), period, advance };
            (number == 0).then_some(all)
        };
        match &self.shape {
            // A member is in all zones up to its end.
            Shape::Zones(zones) => {
                let zone = zones.get(number)?;
                zone.members.binary_search(&role).is_ok().then(|| zone.section())
            }
            Shape::Parity { parity, layout, .. } => {
                let period = layout.period(self.disks);
                // NO-OVERFLOW: an array has more members than parity, and at most `MAX_MEMBERS`.
                one(period, period.saturating_mul(self.disks.saturating_sub(*parity)))
            }
            Shape::Near { copies } => {
                // Neither is zero, so that the divisor is not.
                let common = gcd(self.disks, *copies);
                one(copies.checked_div(common)?, self.disks.checked_div(common)?)
            }
            Shape::Far { copies, stride, .. } => {
                let copy = u64::try_from(number).ok().filter(|copy| copy < copies)?;
                let first_row = copy.checked_mul(*stride)?;
                Some(Section { first_row, rows: *stride, period: 1, advance: self.disks })
            }
            Shape::Offset { copies, .. } => one(*copies, self.disks),
        }
    }

    /// Who has what in a stripe with parity, and how many of its chunks it takes to have another;
    /// `None` without parity.
    pub(crate) fn stripe(&self, row: u64) -> Option<(Stripe, u64)> {
        let Shape::Parity { parity, layout, .. } = &self.shape else { return None };
        let stripe = Stripe::new(*layout, *parity, self.disks, row)?;
        Some((stripe, stripe.data()))
    }

    /// Calls `sink` with role and row of what else belongs to a row of a member: the rest of the
    /// stripe, data first, then P, then Q; without parity the other copies, by role.
    pub(crate) fn siblings(
        &self,
        role: u64,
        row: u64,
        sink: &mut dyn FnMut(u64, u64) -> Flow,
    ) -> Flow {
        if let Some((stripe, _)) = self.stripe(row) {
            let data = (0..stripe.data()).filter_map(|index| stripe.role(index));
            let mut all = data.chain(stripe.parities().into_iter().flatten());
            return all.try_for_each(|other| match other == role {
                true => ControlFlow::Continue(()),
                false => sink(other, row),
            });
        }
        match self.slot(role, row) {
            Some(Slot::Data(chunk)) => self.places(chunk, &mut |other, at| match other == role {
                true => ControlFlow::Continue(()),
                false => sink(other, at),
            }),
            Some(Slot::Parity(_)) | None => bug!("a row in use holds a copy of a chunk"),
        }
    }

    /// The first role of the set a role is in, and how many the set has. The last set takes what
    /// is left over.
    fn set_of(&self, role: u64, set: u64) -> Option<(u64, u64)> {
        let sets = self.disks.checked_div(set)?;
        let number = role.checked_div(set)?.min(sets.checked_sub(1)?);
        let start = number.checked_mul(set)?;
        let is_last = number.checked_add(1)? == sets;
        let len = if is_last { self.disks.checked_sub(start)? } else { set };
        Some((start, len))
    }

    fn shifted(&self, role: u64, by: u64, set: u64) -> Option<u64> {
        let (start, len) = self.set_of(role, set)?;
        let within = role.checked_sub(start)?.checked_add(by)?.checked_rem(len)?;
        start.checked_add(within)
    }

    fn unshifted(&self, role: u64, by: u64, set: u64) -> Option<u64> {
        let (start, len) = self.set_of(role, set)?;
        let back = len.checked_sub(by.checked_rem(len)?)?;
        let within = role.checked_sub(start)?.checked_add(back)?.checked_rem(len)?;
        start.checked_add(within)
    }
}

impl Shape {
    /// How many chunks there are on so many members of which the smallest has `room` rows.
    fn chunks(&self, disks: u64, room: u64) -> Option<u64> {
        match self {
            Self::Zones(zones) => zones.iter().try_fold(0_u64, |n, zone| {
                n.checked_add(zone.rows.checked_mul(u64::try_from(zone.members.len()).ok()?)?)
            }),
            Self::Parity { parity, rows, .. } => rows.checked_mul(disks.checked_sub(*parity)?),
            Self::Near { copies } => room.checked_mul(disks)?.checked_div(*copies),
            Self::Far { stride, .. } => stride.checked_mul(disks),
            Self::Offset { copies, rows, .. } => rows.checked_div(*copies)?.checked_mul(disks),
        }
    }
}

/// Zones of RAID 0: each goes up to the end of its smallest members.
///
/// # Kernel
/// `create_strip_zones()` of `raid0.c`.
fn zones(layout: Raid0Layout, rows: &[Option<u64>]) -> Result<Shape, ArrayError> {
    let missing = || {
        ArrayError::new(ArrayErrorKind::Members, "raid0 without one of its members has no bytes")
    };
    let rows: Vec<u64> = rows.iter().copied().collect::<Option<_>>().ok_or_else(missing)?;
    let mut ends = rows.clone();
    ends.sort_unstable();
    ends.dedup();
    let too_large = || ArrayError::new(ArrayErrorKind::Overflow, "its chunks exceed 64 bits");
    let (mut zones, mut first_row, mut first_chunk) = (Vec::new(), 0, 0_u64);
    for end in ends {
        let members: Box<[u64]> =
            (0..).zip(&rows).filter(|(_, has)| **has >= end).map(|(role, _)| role).collect();
        let number = u64::try_from(members.len()).unwrap_or(u64::MAX);
        let turn = match layout {
            Raid0Layout::Original => first_chunk.checked_rem(number).unwrap_or(0),
            Raid0Layout::Alternate => 0,
        };
        let in_zone = end.saturating_sub(first_row);
        zones.push(Zone { first_row, rows: in_zone, first_chunk, turn, members });
        first_row = end;
        let next = in_zone.checked_mul(number).and_then(|n| first_chunk.checked_add(n));
        first_chunk = next.ok_or_else(too_large)?;
    }
    Ok(Shape::Zones(zones.into()))
}

impl Zone {
    fn number(&self) -> u64 {
        u64::try_from(self.members.len()).unwrap_or(u64::MAX)
    }

    fn chunk(&self, role: u64, row: u64) -> Option<u64> {
        let row = row.checked_sub(self.first_row).filter(|row| *row < self.rows)?;
        let at = u64::try_from(self.members.binary_search(&role).ok()?).ok()?;
        let number = self.number();
        let column = at.checked_add(number)?.checked_sub(self.turn)?.checked_rem(number)?;
        self.first_chunk.checked_add(row.checked_mul(number)?.checked_add(column)?)
    }

    fn place(&self, chunk: u64) -> Option<(u64, u64)> {
        let (number, within) = (self.number(), chunk.checked_sub(self.first_chunk)?);
        let row = within.checked_div(number).filter(|row| *row < self.rows)?;
        let column = within.checked_add(self.turn)?.checked_rem(number)?;
        let role = self.members.get(usize::try_from(column).ok()?)?;
        Some((*role, self.first_row.checked_add(row)?))
    }

    fn section(&self) -> Section {
        let Self { first_row, rows, .. } = *self;
        Section { first_row, rows, period: 1, advance: self.number() }
    }
}

impl ParityLayout {
    /// Whether Q is always on the last member.
    fn keeps_q_last(self) -> bool {
        matches!(
            self,
            Self::LeftAsymmetric6
                | Self::RightAsymmetric6
                | Self::LeftSymmetric6
                | Self::RightSymmetric6
                | Self::ParityFirst6
        )
    }

    /// After how many stripes the places of data and parity repeat.
    fn period(self, disks: u64) -> u64 {
        match self {
            Self::ParityFirst | Self::ParityLast | Self::ParityFirst6 => 1,
            Self::LeftAsymmetric6
            | Self::RightAsymmetric6
            | Self::LeftSymmetric6
            | Self::RightSymmetric6 => disks.saturating_sub(1),
            Self::LeftAsymmetric
            | Self::RightAsymmetric
            | Self::LeftSymmetric
            | Self::RightSymmetric
            | Self::ZeroRestart
            | Self::NRestart
            | Self::NContinue => disks,
        }
    }
}

/// Who has what in one stripe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stripe {
    p: u64,
    q: Option<u64>,
    /// Where data begins, when it goes around; else it goes over the members in order.
    begin: Option<u64>,
    /// Over how many members data goes around.
    around: u64,
    data: u64,
}

impl Stripe {
    /// # Kernel
    /// `raid5_compute_sector()` of `raid5.c`.
    fn new(layout: ParityLayout, parity: u64, disks: u64, stripe: u64) -> Option<Self> {
        use ParityLayout as L;
        let data = disks.checked_sub(parity)?;
        let two = parity == 2;
        let last = disks.checked_sub(1)?;
        // Members that parity goes over: all, or all but the last when Q stays there.
        let around = if layout.keeps_q_last() { last } else { disks };
        let next = |role: u64| role.checked_add(1)?.checked_rem(around);
        let up = stripe.checked_rem(around)?;
        let down = around.checked_sub(1)?.checked_sub(up)?;
        let p = match layout {
            L::LeftAsymmetric
            | L::LeftSymmetric
            | L::NContinue
            | L::LeftAsymmetric6
            | L::LeftSymmetric6 => down,
            L::RightAsymmetric
            | L::RightSymmetric
            | L::ZeroRestart
            | L::RightAsymmetric6
            | L::RightSymmetric6 => up,
            L::NRestart => down.checked_add(around)?.checked_sub(1)?.checked_rem(around)?,
            L::ParityFirst | L::ParityFirst6 => 0,
            L::ParityLast => data,
        };
        let q = if layout.keeps_q_last() {
            last
        } else if layout == L::NContinue {
            p.checked_add(last)?.checked_rem(disks)?
        } else {
            next(p)?
        };
        let q = two.then_some(q);
        let begin = match layout {
            L::LeftSymmetric | L::RightSymmetric if two => next(next(p)?),
            L::LeftSymmetric
            | L::RightSymmetric
            | L::NContinue
            | L::LeftSymmetric6
            | L::RightSymmetric6 => next(p),
            L::LeftAsymmetric
            | L::RightAsymmetric
            | L::ParityFirst
            | L::ParityLast
            | L::ZeroRestart
            | L::NRestart
            | L::LeftAsymmetric6
            | L::RightAsymmetric6
            | L::ParityFirst6 => None,
        };
        Some(Self { p, q, begin, around, data })
    }

    /// What a member has: for data, its index in the stripe.
    fn index(&self, role: u64) -> Option<Slot> {
        if role == self.p {
            return Some(Slot::Parity(0));
        }
        if Some(role) == self.q {
            return Some(Slot::Parity(1));
        }
        let index = match self.begin {
            Some(begin) => {
                role.checked_add(self.around)?.checked_sub(begin)?.checked_rem(self.around)?
            }
            None => {
                let before = [Some(self.p), self.q].into_iter().flatten().filter(|p| *p < role);
                role.checked_sub(u64::try_from(before.count()).ok()?)?
            }
        };
        (index < self.data).then_some(Slot::Data(index))
    }

    /// The member that has data of this index.
    pub(crate) fn role(&self, index: u64) -> Option<u64> {
        if let Some(begin) = self.begin {
            return begin.checked_add(index)?.checked_rem(self.around);
        }
        // Each parity that stands at or before the place shifts it by one, the lower one first.
        let mut parities = [Some(self.p), self.q];
        parities.sort_unstable();
        parities.into_iter().flatten().try_fold(index, |role, parity| {
            if parity <= role { role.checked_add(1) } else { Some(role) }
        })
    }

    pub(crate) fn data(&self) -> u64 {
        self.data
    }

    pub(crate) fn parities(&self) -> [Option<u64>; 2] {
        [Some(self.p), self.q]
    }
}
