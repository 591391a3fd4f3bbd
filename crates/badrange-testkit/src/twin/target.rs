#![expect(clippy::arithmetic_side_effects, reason = "drawn numbers are small")]

use core::num::NonZeroU64;

use arbitrary::Arbitrary;
use badrange_block::dm;
use badrange_core::{Extent, HoleKind, Sector};

use super::{Slot, Twin};
use crate::draw::{few, within};

/// Device names of drawn tables, by the number in a [`DrawnPlace`].
pub const DEVICE_NAMES: [&str; 4] = ["8:0", "/dev/mapper/vg-lv", "253:16", "/dev/nvme0n1p3"];

/// Where a leg begins: a device, and a sector of it.
///
/// # Examples
/// ```
/// use badrange_testkit::twin::DrawnPlace;
/// assert_eq!(DrawnPlace { device: 2, start: 7 }.name(), "253:16");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Arbitrary)]
pub struct DrawnPlace {
    /// Which device; its name is [`DEVICE_NAMES`]`[device % 4]`.
    #[arbitrary(with = within::<0, 7>)]
    pub device: u64,
    /// The leg's first sector there.
    #[arbitrary(with = within::<0, 40>)]
    pub start: u64,
}

impl DrawnPlace {
    /// The device as a drawn table names it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        let names = DEVICE_NAMES.iter().cycle();
        names.zip(0..).find(|(_, i)| *i == self.device % 4).map_or("", |(name, _)| name)
    }
}

/// A target of a device-mapper table in plain numbers, all in sectors.
///
/// # Examples
/// ```
/// use badrange_testkit::twin::{DrawnPlace, DrawnTarget};
/// let legs = vec![DrawnPlace { device: 0, start: 8 }, DrawnPlace { device: 2, start: 0 }];
/// let striped = DrawnTarget::Striped { chunk: 4, rows: 3, legs };
/// assert_eq!(striped.len(), 24);
/// assert_eq!(striped.text(), "striped 2 4 8:0 8 253:16 0");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Arbitrary)]
pub enum DrawnTarget {
    /// `len` sectors in order.
    Linear {
        /// Where.
        on: DrawnPlace,
        /// How many.
        #[arbitrary(with = within::<1, 15>)]
        len: u64,
    },
    /// `rows` chunks of `chunk` sectors on each leg.
    Striped {
        /// Sectors of a chunk.
        #[arbitrary(with = within::<1, 4>)]
        chunk: u64,
        /// Chunks on each leg.
        #[arbitrary(with = within::<1, 4>)]
        rows: u64,
        /// Where each leg begins.
        #[arbitrary(with = few::<_, 1, 4>)]
        legs: Vec<DrawnPlace>,
    },
    /// Every access fails.
    Error {
        /// How many sectors.
        #[arbitrary(with = within::<1, 5>)]
        len: u64,
    },
    /// Reads as zeros.
    Zero {
        /// How many sectors.
        #[arbitrary(with = within::<1, 5>)]
        len: u64,
    },
}

impl DrawnTarget {
    /// Length in sectors.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a target is never empty")]
    pub fn len(&self) -> u64 {
        match self {
            Self::Linear { len, .. } | Self::Error { len } | Self::Zero { len } => *len,
            Self::Striped { chunk, rows, legs } => chunk * rows * legs.len() as u64,
        }
    }

    /// Where its legs begin, in order.
    #[must_use]
    pub fn legs(&self) -> &[DrawnPlace] {
        match self {
            Self::Linear { on, .. } => core::slice::from_ref(on),
            Self::Striped { legs, .. } => legs,
            Self::Error { .. } | Self::Zero { .. } => &[],
        }
    }

    /// Sectors on each leg.
    #[must_use]
    pub fn width(&self) -> u64 {
        match self {
            Self::Linear { len, .. } => *len,
            Self::Striped { chunk, rows, .. } => chunk * rows,
            Self::Error { .. } | Self::Zero { .. } => 0,
        }
    }

    /// The picture of this target alone, one slot per sector.
    #[must_use]
    pub fn twin(&self) -> Twin {
        let holes = |len: u64, kind| (0..len).map(|_| Slot::Hole(kind)).collect();
        match self {
            Self::Linear { on, len } => Twin::linear(on.start, *len),
            Self::Striped { chunk, rows, legs } => {
                let starts: Vec<u64> = legs.iter().map(|leg| leg.start).collect();
                Twin::striped(*chunk, *rows, &starts)
            }
            Self::Error { len } => Twin::from_slots(0, holes(*len, HoleKind::Error)),
            Self::Zero { len } => Twin::from_slots(0, holes(*len, HoleKind::Zero)),
        }
    }

    /// Type and arguments as `dmsetup table` prints them.
    #[must_use]
    pub fn text(&self) -> String {
        let place = |leg: &DrawnPlace| format!(" {} {}", leg.name(), leg.start);
        match self {
            Self::Linear { on, .. } => format!("linear{}", place(on)),
            Self::Striped { chunk, legs, .. } => {
                let places: String = legs.iter().map(place).collect();
                format!("striped {} {chunk}{places}", legs.len())
            }
            Self::Error { .. } => "error".to_owned(),
            Self::Zero { .. } => "zero".to_owned(),
        }
    }

    /// The whole text of a table of these targets, one line each.
    ///
    /// # Examples
    /// ```
    /// use badrange_testkit::twin::DrawnTarget;
    /// let text = DrawnTarget::table_text(&[DrawnTarget::Zero { len: 2 }, DrawnTarget::Error { len: 3 }]);
    /// assert_eq!(text, "0 2 zero\n2 3 error");
    /// ```
    #[must_use]
    pub fn table_text(targets: &[Self]) -> String {
        let mut start = 0;
        let mut lines = Vec::new();
        for target in targets {
            lines.push(format!("{start} {} {}", target.len(), target.text()));
            start += target.len();
        }
        lines.join("\n")
    }

    /// The real target of these numbers; `None` where they make none: zeros, or too large.
    #[must_use]
    pub fn build(&self) -> Option<dm::Target> {
        let len_sectors = NonZeroU64::new(self.len())?;
        match self {
            Self::Linear { on, len } => {
                let area = Extent::new(Sector::new(on.start), *len).ok()?;
                dm::Linear::new(on.name(), area).ok().map(Into::into)
            }
            Self::Striped { chunk, legs, .. } => {
                let places: Vec<_> =
                    legs.iter().map(|leg| (leg.name(), Sector::new(leg.start))).collect();
                let chunk = u32::try_from(*chunk).ok()?;
                dm::Striped::new(self.len(), chunk, &places).ok().map(Into::into)
            }
            Self::Error { .. } => Some(dm::Target::Error { len_sectors }),
            Self::Zero { .. } => Some(dm::Target::Zero { len_sectors }),
        }
    }

    /// The real table of these targets; `None` where they make none.
    ///
    /// # Examples
    /// ```
    /// use badrange_testkit::twin::DrawnTarget;
    /// let table = DrawnTarget::build_table(&[DrawnTarget::Zero { len: 8 }]).unwrap();
    /// assert_eq!(table.to_string(), "0 8 zero");
    /// assert_eq!(DrawnTarget::build_table(&[]), None);
    /// ```
    #[must_use]
    pub fn build_table(targets: &[Self]) -> Option<dm::Table> {
        dm::Table::new(targets.iter().map(Self::build).collect::<Option<Vec<_>>>()?).ok()
    }
}
