use core::{fmt, ops::ControlFlow};

use badrange_core::{
    Backing, DevOffset, Extent, Flow, Leg, Link, Mapped, Mapping, Run, Sector, Sink, beyond,
};

use super::{TableError, TableErrorKind, Target};
use crate::md::Array;

/// How many targets one table may have.
pub const MAX_TARGETS: usize = 1_000_000;

/// One device-mapper device: targets that follow one another from byte 0 on.
///
/// Legs are numbered through all targets in their order: a device that is used twice is two legs.
/// A leg is found by binary search; translating costs what comes out of it.
///
/// # Kernel
/// `struct dm_table`. The text is that of `dmsetup table` for one device.
///
/// # Examples
/// ```
/// use badrange_block::dm::Table;
/// use badrange_core::{Extent, Leg, Mapping, Sector};
/// use core::ops::ControlFlow;
///
/// let table = Table::parse("0 1000 linear 8:2 5000\n1000 500 linear 8:2 0")?;
/// assert_eq!(table.to_string(), "0 1000 linear 8:2 5000\n1000 500 linear 8:2 0");
/// // 8:2 is two legs; a failure on it is asked of both.
/// let bad = Extent::new(Sector::new(5990), 20)?.bytes()?;
/// let mut hit = Vec::new();
/// for info in table.legs_info().filter(|info| info.device == "8:2") {
///     let _ = table.rmap(info.leg, bad.into(), &mut |link| {
///         hit.push((info.leg, link.upper().first().containing_sectors()));
///         ControlFlow::Continue(())
///     });
/// }
/// assert_eq!(hit, [(Leg::new(0), Extent::new(Sector::new(990), 10)?)]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// INVARIANT: not empty; ascending, each `at` begins where the one before ends.
    targets: Vec<Placed>,
    legs: u32,
    extent: Extent,
}

/// A target and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Placed {
    at: Extent,
    first_leg: u32,
    target: Target,
}

/// What a table says about one of its legs.
///
/// # Examples
/// ```
/// use badrange_block::dm::Table;
/// let table = Table::parse("0 8 zero\n8 8 linear /dev/sdb1 16")?;
/// let legs: Vec<_> = table.legs_info().map(|info| (info.device, info.target)).collect();
/// assert_eq!(legs, [("/dev/sdb1", 1)]);
/// # Ok::<(), badrange_block::dm::TableError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LegInfo<'a> {
    /// The leg's number.
    pub leg: Leg,
    /// Which target it belongs to, counted from 0.
    pub target: usize,
    /// The device as the table names it: a path or `major:minor`.
    pub device: &'a str,
    /// The bytes of the device that the leg uses.
    pub on: Extent,
}

impl Table {
    /// The table of these targets, one after the other.
    ///
    /// # Errors
    /// [`Empty`](TableErrorKind::Empty) for none, [`TooMany`](TableErrorKind::TooMany) for more
    /// than [`MAX_TARGETS`], [`Overflow`](TableErrorKind::Overflow) when the device does not end
    /// within 64 bits of bytes.
    pub fn new(targets: impl IntoIterator<Item = Target>) -> Result<Self, TableError> {
        let mut builder = Builder::default();
        for target in targets {
            builder.push(target)?;
        }
        builder.finish()
    }

    /// The targets with their place in the device, in order.
    pub fn targets(&self) -> impl ExactSizeIterator<Item = (Extent, &Target)> + '_ {
        self.targets.iter().map(|placed| (placed.at, &placed.target))
    }

    /// All legs in order: device names, and which bytes of the devices are used.
    pub fn legs_info(&self) -> impl Iterator<Item = LegInfo<'_>> + '_ {
        self.targets.iter().enumerate().flat_map(|(target, placed)| {
            (0..placed.target.legs()).filter_map(move |i| {
                let area = placed.target.area(i)?;
                let leg = Leg::new(placed.first_leg.checked_add(i)?);
                Some(LegInfo { leg, target, device: area.device(), on: area.on() })
            })
        })
    }

    /// The device of a leg as the table names it; `None` for a leg number that does not exist.
    #[must_use]
    pub fn leg_device(&self, leg: Leg) -> Option<&str> {
        let (placed, i) = self.find(leg)?;
        placed.target.area(i).map(|area| area.device())
    }

    /// The target of a leg, and the leg's number within it.
    fn find(&self, leg: Leg) -> Option<(&Placed, u32)> {
        // Of targets with the same first leg, only the last has legs.
        let after = self.targets.partition_point(|placed| placed.first_leg <= leg.index());
        let placed = self.targets.get(after.checked_sub(1)?)?;
        Some((placed, leg.index().checked_sub(placed.first_leg)?))
    }

    /// The target that holds a byte of the device: its place, its first leg, and itself.
    pub(super) fn target_at(&self, at: DevOffset) -> Option<(Extent, u32, &Target)> {
        let before = self.targets.partition_point(|placed| placed.at.end() <= at);
        let placed = self.targets.get(before)?;
        Some((placed.at, placed.first_leg, &placed.target))
    }

    /// The array that a leg belongs to, and its number there; `None` for legs of other targets.
    ///
    /// # Examples
    /// ```
    /// use badrange_block::dm::Table;
    /// use badrange_core::Leg;
    /// let table = Table::parse("0 8 linear a 0\n8 8 mirror core 1 1024 2 b 0 c 16")?;
    /// assert!(table.array_of(Leg::new(0)).is_none());
    /// assert_eq!(table.array_of(Leg::new(2)).unwrap().1, Leg::new(1));
    /// # Ok::<(), badrange_block::dm::TableError>(())
    /// ```
    #[must_use]
    pub fn array_of(&self, leg: Leg) -> Option<(&Array, Leg)> {
        let (placed, i) = self.find(leg)?;
        let Target::Raid(raid) = &placed.target else { return None };
        Some((raid.array(), Leg::new(i)))
    }
}

impl Mapping for Table {
    fn extent(&self) -> Extent {
        self.extent
    }

    fn legs(&self) -> u32 {
        self.legs
    }

    fn leg_extent(&self, leg: Leg) -> Option<Extent> {
        let (placed, i) = self.find(leg)?;
        placed.target.area(i).map(|area| area.on())
    }

    fn map(&self, upper: Extent, sink: Sink<'_, Mapped>) -> Flow {
        let first = self.targets.partition_point(|placed| placed.at.end() <= upper.start());
        for placed in self.targets.iter().skip(first) {
            // The first one behind the range: those that follow are as well.
            let Some(part) = upper.intersect(placed.at) else { break };
            placed.target.map(placed.at, placed.first_leg, part, sink)?;
        }
        beyond(self.extent, upper, sink)
    }

    fn rmap(&self, leg: Leg, lower: Run, sink: Sink<'_, Link>) -> Flow {
        match self.find(leg) {
            Some((placed, i)) => placed.target.rmap(i, placed.at, lower, sink),
            None => ControlFlow::Continue(()), // no leg has this number
        }
    }

    fn redundancy(&self, leg: Leg, lower: Run, sink: &mut dyn FnMut(Backing<'_>) -> Flow) -> Flow {
        match self.find(leg) {
            Some((placed, i)) => placed.target.redundancy(i, placed.first_leg, lower, sink),
            None => ControlFlow::Continue(()), // no leg has this number
        }
    }
}

/// One line per target, as `dmsetup table` prints them; no newline after the last.
impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, placed) in self.targets.iter().enumerate() {
            let newline = if i == 0 { "" } else { "\n" };
            let start = Sector::containing(placed.at.start()).get();
            write!(f, "{newline}{start} {} {}", placed.target.len_sectors(), placed.target)?;
        }
        Ok(())
    }
}

/// A table to which targets are added at the end.
#[derive(Default)]
pub(crate) struct Builder {
    targets: Vec<Placed>,
    legs: u32,
    end: Sector,
}

impl Builder {
    /// Where the next target begins.
    pub(crate) fn end(&self) -> Sector {
        self.end
    }

    pub(crate) fn push(&mut self, target: Target) -> Result<(), TableError> {
        let too_many =
            |field: &'static str, hint| TableError::new(TableErrorKind::TooMany, field, "", hint);
        if self.targets.len() >= MAX_TARGETS {
            return Err(too_many("targets", format!("a table has at most {MAX_TARGETS}")));
        }
        let Some(legs) = self.legs.checked_add(target.legs()) else {
            return Err(too_many("legs", "a table numbers its legs with 32 bits".into()));
        };
        let (at, end) = self.place(target.len_sectors())?;
        self.targets.push(Placed { at, first_leg: self.legs, target });
        (self.legs, self.end) = (legs, end);
        Ok(())
    }

    fn place(&self, len_sectors: u64) -> Result<(Extent, Sector), TableError> {
        let place = || {
            let sectors = Extent::new(self.end, len_sectors)?;
            Ok::<_, badrange_core::RangeError>((sectors.bytes()?, sectors.end()))
        };
        place().map_err(|_| {
            let hint = "start plus length does not fit in 64 bits of bytes";
            TableError::new(TableErrorKind::Overflow, "length", len_sectors, hint)
        })
    }

    pub(crate) fn finish(self) -> Result<Table, TableError> {
        let ends = self.targets.first().zip(self.targets.last());
        let Some(extent) = ends.map(|(first, last)| first.at.hull(last.at)) else {
            let hint = "has no targets; expected lines of 'start length type arguments'";
            return Err(TableError::new(TableErrorKind::Empty, "table", "", hint));
        };
        Ok(Table { targets: self.targets, legs: self.legs, extent })
    }
}
