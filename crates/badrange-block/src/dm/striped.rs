use core::{fmt, num::NonZeroU64, ops::ControlFlow};

use badrange_core::{
    DevOffset, Extent, Flow, Leg, Link, Mapped, Run, SECTOR_SIZE, Sector, Sink, bug,
};

use super::{MAX_LEGS_PER_TARGET, TableError, TableErrorKind, target::Area};

/// A target that goes over several devices in turn, chunk by chunk.
///
/// Chunk `c` lies on leg `c % legs`, as that leg's chunk number `c / legs`. With one leg it is
/// contiguous, and nothing is cut at chunk boundaries.
///
/// # Kernel
/// `stripe_ctr()` and `stripe_map_sector()` of `dm-stripe.c`. A chunk need not be a power of two.
///
/// # Examples
/// ```
/// use badrange_block::dm::Striped;
/// use badrange_core::Sector;
/// let striped = Striped::new(2400, 16, &[
///     ("8:0", Sector::new(2048)),
///     ("8:16", Sector::new(2048)),
///     ("8:32", Sector::new(2048)),
/// ])?;
/// assert_eq!(striped.to_string(), "striped 3 16 8:0 2048 8:16 2048 8:32 2048");
/// assert_eq!((striped.len_sectors(), striped.width_sectors()), (2400, 800));
/// # Ok::<(), badrange_block::dm::TableError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Striped {
    chunk_bytes: NonZeroU64,
    /// INVARIANT: `1..=MAX_LEGS_PER_TARGET` areas of equal length, a multiple of the chunk.
    areas: Box<[Area]>,
}

impl Striped {
    /// `len_sectors` sectors in chunks of `chunk_sectors` over the legs, given as device name and
    /// first sector there.
    ///
    /// # Errors
    /// [`Zero`](TableErrorKind::Zero) for no legs, no chunk or no length;
    /// [`Uneven`](TableErrorKind::Uneven) when the length does not divide into whole chunks on
    /// every leg; [`TooMany`](TableErrorKind::TooMany) for more than [`MAX_LEGS_PER_TARGET`] legs;
    /// and what [`Linear::new`](super::Linear::new) refuses.
    pub fn new(
        len_sectors: u64,
        chunk_sectors: u32,
        legs: &[(&str, Sector)],
    ) -> Result<Self, TableError> {
        Self::checked(len_sectors, chunk_sectors, legs).map_err(|e| e.of("striped"))
    }

    fn checked(
        len_sectors: u64,
        chunk_sectors: u32,
        legs: &[(&str, Sector)],
    ) -> Result<Self, TableError> {
        let width = Self::width(len_sectors, chunk_sectors, legs.len())?;
        // NO-OVERFLOW: 32 bits of sectors are 41 bits of bytes.
        let chunk_bytes = u64::from(chunk_sectors).wrapping_mul(SECTOR_SIZE);
        let chunk_bytes = NonZeroU64::new(chunk_bytes).ok_or_else(no_chunk)?;
        let areas = legs.iter().map(|(device, offset)| Area::at(device, *offset, width));
        Ok(Self { chunk_bytes, areas: areas.collect::<Result<_, _>>()? })
    }

    /// Sectors on each leg.
    fn width(len_sectors: u64, chunk_sectors: u32, legs: usize) -> Result<u64, TableError> {
        let legs = Self::check_legs(u64::try_from(legs).unwrap_or(u64::MAX))?;
        let chunk = NonZeroU64::new(chunk_sectors.into()).ok_or_else(no_chunk)?;
        if len_sectors == 0 {
            return Err(no_length());
        }
        let uneven =
            |hint: String| TableError::new(TableErrorKind::Uneven, "length", len_sectors, hint);
        if len_sectors % legs != 0 {
            return Err(uneven(format!("must be a multiple of {legs}, the number of stripes")));
        }
        let width = len_sectors / legs;
        if width % chunk != 0 {
            let hint = format!("{width} sectors on each leg are not a multiple of chunk {chunk}");
            return Err(uneven(hint));
        }
        Ok(width)
    }

    /// Checks a number of legs before any of them is looked at.
    pub(crate) fn check_legs(legs: u64) -> Result<NonZeroU64, TableError> {
        let refuse = |kind, hint: String| TableError::new(kind, "stripes", legs, hint);
        match NonZeroU64::new(legs) {
            None => Err(refuse(TableErrorKind::Zero, "must be at least 1".into())),
            Some(_) if legs > u64::from(MAX_LEGS_PER_TARGET) => {
                Err(refuse(TableErrorKind::TooMany, format!("at most {MAX_LEGS_PER_TARGET}")))
            }
            Some(legs) => Ok(legs),
        }
    }

    /// Length in 512-byte sectors.
    #[must_use]
    pub fn len_sectors(&self) -> u64 {
        // NO-OVERFLOW: the length it was made from.
        self.width_sectors().wrapping_mul(self.legs().into())
    }

    /// Length of a chunk in 512-byte sectors.
    #[must_use]
    pub fn chunk_sectors(&self) -> u64 {
        self.chunk_bytes.get() / SECTOR_SIZE
    }

    /// Length on each leg in 512-byte sectors.
    #[must_use]
    pub fn width_sectors(&self) -> u64 {
        self.areas.first().map_or(0, |area| area.on().len() / SECTOR_SIZE)
    }

    /// How many legs.
    #[must_use]
    pub fn legs(&self) -> u32 {
        u32::try_from(self.areas.len()).unwrap_or(MAX_LEGS_PER_TARGET) // there are not more
    }

    /// Bytes from `by`, counted from the start of the target, to the end of its chunk.
    pub(crate) fn chunk_left(&self, by: u64) -> u64 {
        // NO-OVERFLOW: a remainder is smaller than what it is of.
        self.chunk_bytes.get().wrapping_sub(by % self.chunk_bytes)
    }

    pub(crate) fn area(&self, leg: u32) -> Option<&Area> {
        self.areas.get(usize::try_from(leg).ok()?)
    }

    /// The chunks on a leg, and the same chunks in the striped device, when the target lies at `at`.
    pub(crate) fn link(&self, leg: u32, at: Extent) -> Option<Link> {
        let on = self.area(leg)?.on();
        let chunk = self.chunk_bytes.get();
        let count = on.len() / self.chunk_bytes;
        let row = chunk.checked_mul(self.legs().into())?;
        let above = at.start().get().checked_add(chunk.checked_mul(leg.into())?)?;
        let lower = Run::new(Extent::new(on.start(), chunk).ok()?, chunk, count).ok()?;
        let upper = Extent::new(DevOffset::new(above), chunk).ok()?;
        // One stripe is contiguous on both sides.
        Some(Link::new(lower, Run::new(upper, row, count).ok()?).ok()?.joined())
    }

    /// Chunk by chunk in ascending order. `upper` lies inside `at`.
    pub(crate) fn map(
        &self,
        at: Extent,
        first_leg: u32,
        upper: Extent,
        sink: Sink<'_, Mapped>,
    ) -> Flow {
        let mut rest = Some(upper);
        while let Some(part) = rest {
            let Some((leg, chunk)) = self.chunk_at(at, part.start()) else {
                return bug!("every byte of a striped target lies in a chunk");
            };
            // NO-OVERFLOW: legs of a table are numbered with 32 bits.
            let leg = Leg::new(first_leg.wrapping_add(leg));
            chunk.clip_upper(part).try_for_each(|link| sink(Mapped::To { leg, link }))?;
            rest = part.split_at(chunk.upper().span().end()).1;
        }
        ControlFlow::Continue(())
    }

    /// The leg, and the chunk on it, that hold a byte of the target, which lies at `at`; of one
    /// stripe all of it.
    fn chunk_at(&self, at: Extent, byte: DevOffset) -> Option<(u32, Link)> {
        if let [only] = &*self.areas {
            return Some((0, Link::try_from((only.on(), at)).ok()?));
        }
        let legs = NonZeroU64::new(self.legs().into())?;
        let index = byte.get().checked_sub(at.start().get())? / self.chunk_bytes;
        let leg = u32::try_from(index % legs).ok()?;
        let above = at.start().get().checked_add(index.checked_mul(self.chunk_bytes.get())?)?;
        let below = (index / legs).checked_mul(self.chunk_bytes.get())?;
        let below = self.area(leg)?.on().start().get().checked_add(below)?;
        let lower = Extent::new(DevOffset::new(below), self.chunk_bytes.get()).ok()?;
        Some((leg, Link::at(lower, DevOffset::new(above))?))
    }
}

#[cold]
fn no_chunk() -> TableError {
    TableError::new(TableErrorKind::Zero, "chunk", 0, "must be at least 1 sector")
}

#[cold]
pub(crate) fn no_length() -> TableError {
    TableError::new(TableErrorKind::Zero, "length", 0, "must be at least 1 sector")
}

/// Type and arguments, as `dmsetup table` prints them.
impl fmt::Display for Striped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "striped {} {}", self.legs(), self.chunk_sectors())?;
        self.areas.iter().try_for_each(|area| write!(f, " {area}"))
    }
}
