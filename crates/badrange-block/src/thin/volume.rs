use core::{fmt, num::NonZeroU64, ops::ControlFlow};

use badrange_core::{DevOffset, Extent, HoleKind, Leg, Mapped, Mapping, Rmapped};

use crate::leg::{Sink, map_beyond};

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

/// A range of the volume and the same bytes below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Link {
    upper: Extent<DevOffset>,
    lower: DevOffset,
}

impl Link {
    fn lower_extent(&self) -> Option<Extent<DevOffset>> {
        Extent::new(self.lower, self.upper.len()).ok()
    }

    /// The part of it that lies before the end of `volume`, which begins at zero.
    fn inside(self, volume: Extent<DevOffset>) -> Option<Self> {
        Some(Self { upper: self.upper.intersect(volume)?, lower: self.lower })
    }
}

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
/// let _ = volume.rmap(Leg::new(0), bad, &mut |part| {
///     above.push(part.upper.start().get());
///     ControlFlow::Continue(())
/// });
/// assert_eq!(above, [2 * 65536 + 4096]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    extent: Extent<DevOffset>,
    legs: Box<[Links]>,
    /// How many of the legs are the data device: the first ones.
    data_legs: u32,
}

/// The links of one leg, ordered both ways. INVARIANT: not empty, disjoint above and below.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Links {
    by_upper: Box<[Link]>,
    by_lower: Box<[Link]>,
    hull: Extent<DevOffset>,
}

impl Links {
    fn new(mut links: Vec<Link>) -> Option<Self> {
        links.sort_by_key(|link| link.upper.start());
        let by_upper: Box<[Link]> = links.clone().into();
        links.sort_by_key(|link| link.lower);
        let hull = links.first()?.lower_extent()?.hull(links.last()?.lower_extent()?);
        Some(Self { by_upper, by_lower: links.into(), hull })
    }
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
        apart(links.iter().filter_map(Link::lower_extent).collect(), block)
            .map_err(|block| ThinError::Data { block })?;
        let data: Vec<Link> = links.into_iter().filter_map(|link| link.inside(extent)).collect();
        let beside = origin.and_then(|bytes| Extent::new(DevOffset::new(0), bytes.min(len)).ok());
        let beside = beside.map(|all| unmapped(all, &data)).unwrap_or_default();
        let legs = [Links::new(data), Links::new(beside)];
        let data_legs = legs.first().map_or(0, |data| u32::from(data.is_some()));
        Ok(Self { extent, legs: legs.into_iter().flatten().collect(), data_legs })
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
        let inside = links.into_iter().filter_map(|link| link.inside(extent));
        let layers = layers(inside.collect(), block)?;
        let legs: Box<[Links]> = layers.into_iter().filter_map(Links::new).collect();
        let data_legs = u32::try_from(legs.len()).unwrap_or(u32::MAX);
        Ok(Self { extent, legs, data_legs })
    }

    /// Whether a leg is the data device, rather than the external origin.
    #[must_use]
    pub fn is_data(&self, leg: Leg) -> bool {
        leg.index() < self.data_legs
    }

    /// The bytes of a leg that the volume uses, ascending.
    pub fn used(&self, leg: Leg) -> impl Iterator<Item = Extent<DevOffset>> + '_ {
        let links = self.leg(leg).map_or(&[][..], |links| &links.by_lower);
        links.iter().filter_map(Link::lower_extent)
    }

    fn leg(&self, leg: Leg) -> Option<&Links> {
        self.legs.get(usize::try_from(leg.index()).ok()?)
    }

    /// The link that ends first after a byte of the volume, of either leg.
    fn next(&self, at: DevOffset) -> Option<(Leg, Link)> {
        let of_leg = |(index, links): (u32, &Links)| {
            let first = links.by_upper.partition_point(|link| link.upper.end() <= at);
            links.by_upper.get(first).map(|link| (Leg::new(index), *link))
        };
        let all = (0_u32..).zip(&self.legs).filter_map(of_leg);
        all.min_by_key(|(_, link)| link.upper.start())
    }
}

/// What both kinds of volume begin with: the bytes of the volume, those of a block, and the ranges as
/// links, none of which is over another in the volume.
fn links(
    len: u64,
    block: u64,
    ranges: &[BlockRange],
) -> Result<(Extent<DevOffset>, NonZeroU64, Vec<Link>), ThinError> {
    let block = NonZeroU64::new(block).ok_or(ThinError::Empty)?;
    let extent = Extent::new(DevOffset::new(0), len).map_err(|_| ThinError::Empty)?;
    let mut links = Vec::new();
    for range in ranges {
        links.extend(link(block, range)?);
    }
    apart(links.iter().map(|link| link.upper).collect(), block)
        .map_err(|block| ThinError::Volume { block })?;
    Ok((extent, block, links))
}

fn link(block: NonZeroU64, range: &BlockRange) -> Result<Option<Link>, ThinError> {
    let bytes = |blocks: u64| blocks.checked_mul(block.get()).ok_or(ThinError::Overflow);
    if range.blocks == 0 {
        return Ok(None);
    }
    let len = bytes(range.blocks)?;
    let at = |start: u64| Extent::new(DevOffset::new(start), len).map_err(|_| ThinError::Overflow);
    let (upper, lower) = (at(bytes(range.volume)?)?, at(bytes(range.data)?)?);
    Ok(Some(Link { upper, lower: lower.start() }))
}

/// The first block that is in two of the extents, as the error.
fn apart(mut all: Vec<Extent<DevOffset>>, block: NonZeroU64) -> Result<(), u64> {
    all.sort();
    let mut pairs = all.iter().zip(all.iter().skip(1));
    let twice = pairs.find(|(a, b)| a.end() > b.start());
    twice.map_or(Ok(()), |(_, b)| Err(b.start().get() / block))
}

/// The links in layers, in each of which no byte below is used twice: as few as there are uses of
/// the byte that is used most.
fn layers(mut links: Vec<Link>, block: NonZeroU64) -> Result<Vec<Vec<Link>>, ThinError> {
    links.sort_by_key(|link| (link.lower, link.upper.start()));
    let mut layers: Vec<(DevOffset, Vec<Link>)> = Vec::new();
    for link in links {
        let Some(on) = link.lower_extent() else { return Err(ThinError::Overflow) };
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
fn unmapped(all: Extent<DevOffset>, links: &[Link]) -> Vec<Link> {
    let mut taken: Vec<_> = links.iter().map(|link| link.upper).collect();
    taken.sort();
    let (mut free, mut rest) = (Vec::new(), Some(all));
    for hole in taken {
        let Some(part) = rest else { break };
        let (before, after) = part.without(hole);
        free.extend(before);
        rest = after;
    }
    free.extend(rest);
    free.into_iter().map(|upper| Link { upper, lower: upper.start() }).collect()
}

impl Mapping for Volume {
    fn legs(&self) -> u32 {
        u32::try_from(self.legs.len()).unwrap_or(u32::MAX)
    }

    fn extent(&self) -> Extent<DevOffset> {
        self.extent
    }

    fn leg_extent(&self, leg: Leg) -> Option<Extent<DevOffset>> {
        self.leg(leg).map(|links| links.hull)
    }

    fn map(&self, upper: Extent<DevOffset>, sink: Sink<'_, Mapped>) -> ControlFlow<()> {
        let mut rest = upper.intersect(self.extent);
        while let Some(part) = rest {
            let next = self.next(part.start());
            let next = next.filter(|(_, link)| link.upper.start() < part.end());
            let Some((leg, link)) = next else {
                sink(Mapped::Hole { kind: HoleKind::Unmapped, upper: part })?;
                break;
            };
            if let Some(upper) = part.split_at(link.upper.start()).0 {
                sink(Mapped::Hole { kind: HoleKind::Unmapped, upper })?;
            }
            if let Some(upper) = part.intersect(link.upper) {
                if let Some(lower) = upper.rebase(link.upper.start(), link.lower) {
                    sink(Mapped::To { leg, upper, lower })?;
                }
            }
            rest = part.split_at(link.upper.end()).1;
        }
        map_beyond(self.extent, upper, sink)
    }

    fn rmap(&self, leg: Leg, lower: Extent<DevOffset>, sink: Sink<'_, Rmapped>) -> ControlFlow<()> {
        let Some(links) = self.leg(leg) else { return ControlFlow::Continue(()) };
        let ends = |link: &Link| link.lower_extent().map_or(link.lower, |e| e.end());
        let first = links.by_lower.partition_point(|link| ends(link) <= lower.start());
        for link in links.by_lower.iter().skip(first) {
            let Some(part) = link.lower_extent().and_then(|on| on.intersect(lower)) else { break };
            if let Some(upper) = part.rebase(link.lower, link.upper.start()) {
                sink(Rmapped { lower: part, upper })?;
            }
        }
        ControlFlow::Continue(())
    }
}
