use core::{fmt, num::NonZeroU64, ops::ControlFlow};

use badrange_core::{
    DevOffset, Extent, Flow, HoleKind, Leg, Link, Mapped, Mapping, Piecewise, PiecewiseError, Rest,
    Run, Sink,
};

/// How many parts of one file may be the same bytes below, in a [`Volume::of_file`].
pub const MAX_USES: usize = 256;

/// Blocks of a volume that follow one another on the pool's data device too.
///
/// # Examples
/// ```
/// use badrange_block::thin::BlockRange;
/// let range = BlockRange { volume: 312, data: 197, blocks: 1 };
/// assert_eq!(range.data_end(), Some(198));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BlockRange {
    /// First block in the volume.
    pub volume: u64,
    /// First block on the data device.
    pub data: u64,
    /// How many.
    pub blocks: u64,
}

impl BlockRange {
    /// The block after the last one on the data device; `None` beyond 64 bits.
    #[must_use]
    pub const fn data_end(&self) -> Option<u64> {
        self.data.checked_add(self.blocks)
    }
}

/// Mappings that no pool can have.
///
/// # Examples
/// ```
/// use badrange_block::thin::{BlockRange, ThinError, Volume};
/// let twice = [0, 1].map(|data| BlockRange { volume: 0, data, blocks: 1 });
/// let err = Volume::new(65536, 65536, &twice, None).unwrap_err();
/// assert_eq!(err, ThinError::Volume { block: 0 });
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ThinError {
    /// The volume or its blocks have no bytes.
    Empty,
    /// A block of the volume is mapped twice.
    Volume {
        /// The block.
        block: u64,
    },
    /// A block of the data device stands twice in one volume, or more than [`MAX_USES`] times in a
    /// file.
    Data {
        /// The block.
        block: u64,
    },
    /// A block lies beyond 64 bits of bytes.
    Overflow,
}

impl fmt::Display for ThinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("a volume and its blocks have bytes"),
            Self::Volume { block } => write!(f, "block {block} of the volume is mapped twice"),
            Self::Data { block } => write!(f, "data block {block} is in it too often"),
            Self::Overflow => f.write_str("a block lies beyond 64 bits of bytes"),
        }
    }
}

impl core::error::Error for ThinError {}

/// A thin volume over the data device of its pool.
///
/// Leg 0 is the data device, if any block is mapped; the next leg is the external origin, if there
/// is one: it has the bytes of blocks that are not mapped. What no leg has is
/// [`HoleKind::Unmapped`]. Cost: a binary search, and one call per range that comes out.
///
/// # Kernel
/// `thin_bio_map()` and `process_bio()` of `drivers/md/dm-thin.c`.
///
/// # Examples
/// ```
/// use badrange_block::thin::{BlockRange, Volume};
/// use badrange_core::{DevOffset, Extent, Leg, Mapping};
/// use core::ops::ControlFlow;
/// // Blocks of 64 KiB: block 2 of the volume is block 315 of the data device.
/// let volume = Volume::new(1 << 20, 65536, &[BlockRange { volume: 2, data: 315, blocks: 3 }], None)?;
/// let bad = Extent::new(DevOffset::new(315 * 65536 + 4096), 512)?;
/// let mut above = Vec::new();
/// let _ = volume.rmap(Leg::new(0), bad.into(), &mut |link| {
///     above.push(link.upper().first().start().get());
///     ControlFlow::Continue(())
/// });
/// assert_eq!(above, [2 * 65536 + 4096]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    places: Piecewise,
    /// How many of the legs are the data device: the first ones.
    data_legs: u32,
}

impl Volume {
    /// The volume of `len` bytes with these blocks of `block` bytes; `origin` are the bytes of its
    /// external origin. Blocks beyond the end of the volume are not part of it.
    ///
    /// # Errors
    /// A [`ThinError`] for mappings that no pool can have.
    pub fn new(
        len: u64,
        block: u64,
        ranges: &[BlockRange],
        origin: Option<u64>,
    ) -> Result<Self, ThinError> {
        let (extent, block, links) = links(len, block, ranges)?;
        apart(links.iter().map(|link| link.lower().first()).collect(), block)
            .map_err(|block| ThinError::Data { block })?;
        let data = inside(links, extent);
        let beside = origin.and_then(NonZeroU64::new).and_then(|bytes| {
            Extent::from_zero(bytes).intersect(extent) // it may be longer than the volume
        });
        let beside = beside.map(|all| unmapped(all, &data)).unwrap_or_default();
        let data_legs = u32::from(!data.is_empty());
        Ok(Self { places: placed(extent, block, vec![data, beside])?, data_legs })
    }

    /// The device of `len` bytes that a file is: a loop device. `ranges` are the file's blocks of
    /// `block` bytes and where the filesystem has them on its device.
    ///
    /// A file may have bytes of its device twice, where parts of it are reflinks of others. Every
    /// further use is a leg of its own; all legs are the one device. What the file has no blocks
    /// for is [`HoleKind::Unmapped`]: it reads as zeros. Blocks beyond the end are not part of it.
    ///
    /// # Errors
    /// [`ThinError::Volume`] when the file has two places for a block, [`ThinError::Data`] when more
    /// than [`MAX_USES`] parts of it are one block, and the others.
    ///
    /// # Kernel
    /// `lo_rw_aio()` of `drivers/block/loop.c`, and the filesystem's own mapping of the file.
    ///
    /// # Examples
    /// ```
    /// use badrange_block::thin::{BlockRange, Volume};
    /// use badrange_core::Mapping;
    /// let twice = [0, 5].map(|volume| BlockRange { volume, data: 40, blocks: 1 });
    /// let image = Volume::of_file(8 << 12, 1 << 12, &twice)?;
    /// assert_eq!(image.legs(), 2);
    /// # Ok::<(), badrange_block::thin::ThinError>(())
    /// ```
    pub fn of_file(len: u64, block: u64, ranges: &[BlockRange]) -> Result<Self, ThinError> {
        let (extent, block, links) = links(len, block, ranges)?;
        let places = placed(extent, block, layers(inside(links, extent), block)?)?;
        Ok(Self { data_legs: places.legs(), places })
    }

    /// Whether a leg is the data device, rather than the external origin.
    #[must_use]
    pub fn is_data(&self, leg: Leg) -> bool {
        leg.index() < self.data_legs
    }

    /// The bytes of a leg that the volume uses, ascending.
    #[must_use]
    pub fn used(&self, leg: Leg) -> Vec<Extent> {
        let mut used = Vec::new();
        if let Some(hull) = self.leg_extent(leg) {
            let flow = self.rmap(leg, hull.into(), &mut |link| {
                used.push(link.lower().first());
                ControlFlow::Continue(())
            });
            debug_assert!(flow.is_continue(), "every piece of a leg is known");
        }
        used
    }
}

/// What both kinds of volume begin with: the bytes of the volume, those of a block, and the ranges as
/// links, none of which is over another in the volume.
fn links(
    len: u64,
    block: u64,
    ranges: &[BlockRange],
) -> Result<(Extent, NonZeroU64, Vec<Link>), ThinError> {
    let block = NonZeroU64::new(block).ok_or(ThinError::Empty)?;
    let extent = Extent::from_zero(NonZeroU64::new(len).ok_or(ThinError::Empty)?);
    let mut links = Vec::new();
    for range in ranges {
        links.extend(link(block, range)?);
    }
    apart(links.iter().map(|link| link.upper().first()).collect(), block)
        .map_err(|block| ThinError::Volume { block })?;
    Ok((extent, block, links))
}

/// `None` for a range of no blocks.
fn link(block: NonZeroU64, range: &BlockRange) -> Result<Option<Link>, ThinError> {
    let bytes = |blocks: u64| blocks.checked_mul(block.get()).ok_or(ThinError::Overflow);
    if range.blocks == 0 {
        return Ok(None);
    }
    let len = bytes(range.blocks)?;
    let lower = Extent::new(DevOffset::new(bytes(range.data)?), len);
    let lower = lower.map_err(|_| ThinError::Overflow)?;
    let upper = DevOffset::new(bytes(range.volume)?);
    Link::at(lower, upper).map(Some).ok_or(ThinError::Overflow)
}

/// The first block that is in two of the extents, as the error.
fn apart(mut all: Vec<Extent>, block: NonZeroU64) -> Result<(), u64> {
    all.sort_unstable();
    let mut pairs = all.iter().zip(all.iter().skip(1));
    let twice = pairs.find(|(a, b)| a.end() > b.start());
    twice.map_or(Ok(()), |(_, b)| Err(b.start().get() / block))
}

/// What of the links lies in the volume.
fn inside(links: Vec<Link>, volume: Extent) -> Vec<Link> {
    links.into_iter().flat_map(|link| link.clip_upper(volume)).collect()
}

/// The links in layers, in each of which no byte below is used twice: as few as there are uses of
/// the byte that is used most.
fn layers(mut links: Vec<Link>, block: NonZeroU64) -> Result<Vec<Vec<Link>>, ThinError> {
    links.sort_by_key(|link| (link.lower().first().start(), link.upper().first().start()));
    let mut layers: Vec<(DevOffset, Vec<Link>)> = Vec::new();
    for link in links {
        let on = link.lower().first();
        let full = layers.len() == MAX_USES;
        match layers.iter_mut().find(|(end, _)| *end <= on.start()) {
            Some((end, layer)) => {
                *end = on.end();
                layer.push(link);
            }
            None if full => return Err(ThinError::Data { block: on.start().get() / block }),
            None => layers.push((on.end(), vec![link])),
        }
    }
    Ok(layers.into_iter().map(|(_, layer)| layer).collect())
}

/// The parts of `all` that no link has, each at the same place below.
fn unmapped(all: Extent, links: &[Link]) -> Vec<Link> {
    let taken = links.iter().map(|link| link.upper().first());
    all.minus(taken).into_iter().map(Link::same).collect()
}

/// The device with these links, leg by leg; what has no links is no leg.
fn placed(extent: Extent, block: NonZeroU64, legs: Vec<Vec<Link>>) -> Result<Piecewise, ThinError> {
    let legs = (0_u32..).map(Leg::new).zip(legs.into_iter().filter(|links| !links.is_empty()));
    let pieces = legs.flat_map(|(leg, links)| links.into_iter().map(move |link| (leg, link)));
    let number = |at: Extent| at.start().get() / block;
    Piecewise::new(extent, Rest::Hole(HoleKind::Unmapped), pieces).map_err(|err| {
        debug_assert!(false, "the links were looked at: {err}");
        match err {
            PiecewiseError::Above(_, at) => ThinError::Volume { block: number(at) },
            PiecewiseError::Below(_, at) => ThinError::Data { block: number(at) },
            PiecewiseError::Strided(..)
            | PiecewiseError::Outside(..)
            | PiecewiseError::NoPiece(_)
            | _ => ThinError::Overflow,
        }
    })
}

impl Mapping for Volume {
    fn extent(&self) -> Extent {
        self.places.extent()
    }

    fn legs(&self) -> u32 {
        self.places.legs()
    }

    fn leg_extent(&self, leg: Leg) -> Option<Extent> {
        self.places.leg_extent(leg)
    }

    fn map(&self, upper: Extent, sink: Sink<'_, Mapped>) -> Flow {
        self.places.map(upper, sink)
    }

    fn rmap(&self, leg: Leg, lower: Run, sink: Sink<'_, Link>) -> Flow {
        self.places.rmap(leg, lower, sink)
    }
}
