use core::{fmt, num::NonZeroU64, ops::ControlFlow};

use badrange_core::{
    Backing, Extent, Flow, HoleKind, Leg, Link, Mapped, Run, SECTOR_SIZE, Sector, Sink, bug,
};

use super::{Linear, Raid, Striped, TableError, TableErrorKind};

const NOTHING: Flow = ControlFlow::Continue(());

/// How many legs one target may have.
pub const MAX_LEGS_PER_TARGET: u32 = 65_536;

/// One target of a table: so many sectors, and where they are.
///
/// A target does not know where it begins: in a [`Table`](super::Table) targets follow one another.
///
/// # Examples
/// ```
/// use badrange_block::dm::{Linear, Target};
/// use badrange_core::{Extent, Sector};
/// use std::num::NonZeroU64;
///
/// let linear: Target = Linear::new("8:2", Extent::new(Sector::new(2048), 800)?)?.into();
/// assert_eq!(linear.to_string(), "linear 8:2 2048");
/// assert_eq!((linear.len_sectors(), linear.legs()), (800, 1));
/// let error = Target::Error { len_sectors: NonZeroU64::new(8).unwrap() };
/// assert_eq!((error.to_string().as_str(), error.legs()), ("error", 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Target {
    /// All bytes in order on one device.
    Linear(Linear),
    /// Chunk by chunk on several devices in turn.
    Striped(Striped),
    /// An array with copies or parity.
    Raid(Raid),
    /// Every access fails.
    Error {
        /// How many 512-byte sectors.
        len_sectors: NonZeroU64,
    },
    /// Reads as zeros.
    Zero {
        /// How many 512-byte sectors.
        len_sectors: NonZeroU64,
    },
    /// A target whose bytes cannot be placed from its line. It has no legs here: nothing below
    /// leads to it, and what it maps is [`HoleKind::Unmapped`].
    Opaque {
        /// How many 512-byte sectors.
        len_sectors: NonZeroU64,
        /// Type and arguments as they stand in the line.
        words: String,
    },
}

impl Target {
    /// Length in 512-byte sectors; never zero.
    #[must_use]
    pub fn len_sectors(&self) -> u64 {
        match self {
            Self::Linear(linear) => linear.on().len() / SECTOR_SIZE,
            Self::Striped(striped) => striped.len_sectors(),
            Self::Raid(raid) => raid.len_sectors(),
            Self::Error { len_sectors }
            | Self::Zero { len_sectors }
            | Self::Opaque { len_sectors, .. } => len_sectors.get(),
        }
    }

    /// How many legs the target has.
    #[must_use]
    pub fn legs(&self) -> u32 {
        match self {
            Self::Linear(_) => 1,
            Self::Striped(striped) => striped.legs(),
            Self::Raid(raid) => raid.legs(),
            Self::Error { .. } | Self::Zero { .. } | Self::Opaque { .. } => 0,
        }
    }

    /// Device and area of one of its legs, counted from 0 within the target.
    pub(crate) fn area(&self, leg: u32) -> Option<&Area> {
        match self {
            Self::Linear(linear) => (leg == 0).then_some(linear.area()),
            Self::Striped(striped) => striped.area(leg),
            Self::Raid(raid) => raid.area(leg),
            Self::Error { .. } | Self::Zero { .. } | Self::Opaque { .. } => None,
        }
    }

    /// Lower to upper for one of its legs, when the target lies at `at`. Nothing for a leg that it
    /// does not have.
    pub(crate) fn rmap(&self, leg: u32, at: Extent, lower: Run, sink: Sink<'_, Link>) -> Flow {
        let link = match self {
            Self::Raid(raid) => {
                return raid.array().rmap_from(Leg::new(leg), at.start(), lower, sink);
            }
            Self::Linear(linear) if leg == 0 => linear.link(at),
            Self::Striped(striped) if leg < striped.legs() => striped.link(leg, at),
            Self::Linear(_)
            | Self::Striped(_)
            | Self::Error { .. }
            | Self::Zero { .. }
            | Self::Opaque { .. } => return NOTHING,
        };
        match link {
            Some(link) => link.rmap(lower, sink),
            None => bug!("a leg of a target lies within 64 bits on both sides"),
        }
    }

    /// What can stand in for bytes of one of its legs, when the target's legs begin at `first_leg`.
    pub(crate) fn redundancy(
        &self,
        leg: u32,
        first_leg: u32,
        lower: Run,
        sink: &mut dyn FnMut(Backing<'_>) -> Flow,
    ) -> Flow {
        match self {
            Self::Raid(raid) => raid.array().redundancy_from(Leg::new(leg), first_leg, lower, sink),
            Self::Linear(_)
            | Self::Striped(_)
            | Self::Error { .. }
            | Self::Zero { .. }
            | Self::Opaque { .. } => NOTHING,
        }
    }

    /// Bytes that are left in the chunk of a byte, counted from the start of the target; `None`
    /// for a target without chunks.
    ///
    /// # Kernel
    /// `max_io_len` of `dm-stripe`, which one stripe has too.
    pub(crate) fn chunk_left(&self, by: u64) -> Option<u64> {
        match self {
            Self::Striped(striped) => Some(striped.chunk_left(by)),
            Self::Linear(_)
            | Self::Raid(_)
            | Self::Error { .. }
            | Self::Zero { .. }
            | Self::Opaque { .. } => None,
        }
    }

    /// Upper to lower for `upper` inside `at`, where the target lies and its legs begin at
    /// `first_leg`.
    pub(crate) fn map(
        &self,
        at: Extent,
        first_leg: u32,
        upper: Extent,
        sink: Sink<'_, Mapped>,
    ) -> Flow {
        match self {
            Self::Linear(linear) => match linear.link(at) {
                Some(link) => link
                    .clip_upper(upper)
                    .try_for_each(|link| sink(Mapped::To { leg: Leg::new(first_leg), link })),
                None => bug!("a linear target is as long as its area"),
            },
            Self::Striped(striped) => striped.map(at, first_leg, upper, sink),
            Self::Raid(raid) => raid.array().map_from(at, first_leg, upper, sink),
            Self::Error { .. } => sink(Mapped::Hole(HoleKind::Error, upper)),
            Self::Zero { .. } => sink(Mapped::Hole(HoleKind::Zero, upper)),
            Self::Opaque { .. } => sink(Mapped::Hole(HoleKind::Unmapped, upper)),
        }
    }
}

impl From<Linear> for Target {
    fn from(linear: Linear) -> Self {
        Self::Linear(linear)
    }
}

impl From<Raid> for Target {
    fn from(raid: Raid) -> Self {
        Self::Raid(raid)
    }
}

impl From<Striped> for Target {
    fn from(striped: Striped) -> Self {
        Self::Striped(striped)
    }
}

/// Type and arguments as `dmsetup table` prints them after start and length.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Linear(linear) => linear.fmt(f),
            Self::Striped(striped) => striped.fmt(f),
            Self::Raid(raid) => raid.fmt(f),
            Self::Error { .. } => f.write_str("error"),
            Self::Zero { .. } => f.write_str("zero"),
            Self::Opaque { words, .. } => f.write_str(words),
        }
    }
}

/// The part of a lower device that a leg uses.
///
/// # Invariants
/// The name is one word; the extent is whole sectors.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Area {
    device: Box<str>,
    on: Extent,
}

impl Area {
    pub(crate) fn new(device: &str, on: Extent<Sector>) -> Result<Self, TableError> {
        if device.is_empty() || device.contains(|c: char| c.is_whitespace() || c.is_control()) {
            let hint = "must be one word: a path or major:minor";
            return Err(TableError::new(TableErrorKind::DeviceName, "device", device, hint));
        }
        match on.bytes() {
            Ok(on) => Ok(Self { device: device.into(), on }),
            Err(_) => Err(beyond(on.start())),
        }
    }

    /// `len_sectors` from `offset` on.
    pub(crate) fn at(device: &str, offset: Sector, len_sectors: u64) -> Result<Self, TableError> {
        let on = Extent::new(offset, len_sectors).map_err(|_| beyond(offset))?;
        Self::new(device, on)
    }

    pub(crate) fn device(&self) -> &str {
        &self.device
    }

    pub(crate) fn on(&self) -> Extent {
        self.on
    }
}

#[cold]
fn beyond(offset: Sector) -> TableError {
    let hint = "offset plus length does not fit in 64 bits of bytes";
    TableError::new(TableErrorKind::Overflow, "offset", offset.get(), hint)
}

/// `<device> <offset in sectors>`.
impl fmt::Display for Area {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.device, Sector::containing(self.on.start()).get())
    }
}
