use core::fmt;

use badrange_core::{DevOffset, Extent, PageSize, PhysAddr, SECTOR_SIZE, Space};

use crate::Confidence;

/// What a block number counts where the text does not say how many bytes a block has.
///
/// # Examples
/// ```
/// use badrange_input::BlockUnit;
/// assert_eq!(BlockUnit::Logical.to_string(), "logical block");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BlockUnit {
    /// Logical blocks of the device, as SCSI, ATA and NVMe address it.
    Logical,
    /// Blocks of the filesystem on the device.
    Filesystem,
    /// Blocks of the buffer cache: of the filesystem, or the device's soft block size.
    Buffer,
    /// Blocks of a list of `badblocks(8)`, whose size was given to that command.
    List,
}

impl fmt::Display for BlockUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Logical => "logical block",
            Self::Filesystem => "filesystem block",
            Self::Buffer => "buffer block",
            Self::List => "block of a list",
        })
    }
}

/// Where a bad range lies, in the words of the text.
///
/// A device is `None` in a list that does not say whose it is. Names are without `/dev/`. Shown,
/// they have no control characters.
///
/// # Examples
/// ```
/// use badrange_input::{BlockUnit, Place};
/// let place = Place::Blocks {
///     device: Some("nvme0n1".to_owned()),
///     unit: BlockUnit::Logical,
///     first: 8,
///     count: Some(2),
/// };
/// assert_eq!(place.to_string(), "lba@nvme0n1:8+2");
/// let in_bytes = place.in_bytes(4096).unwrap();
/// assert_eq!(in_bytes.to_string(), "nvme0n1:64+16");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// Bytes of a device.
    Device {
        /// Its name.
        device: Option<String>,
        /// The bytes, half-open.
        extent: Extent,
    },
    /// Blocks of a device, of a size that the text does not tell.
    Blocks {
        /// Its name.
        device: Option<String>,
        /// What is counted.
        unit: BlockUnit,
        /// The first block.
        first: u64,
        /// How many; `None` where only the first is known.
        count: Option<u64>,
    },
    /// Whole pages of physical memory, named by their number, and how long one is.
    Pages(Extent<PhysAddr>, PageSize),
    /// Bytes of physical memory, half-open.
    Memory(Extent<PhysAddr>),
}

impl Place {
    /// The device, where there is one and the text names it.
    #[must_use]
    pub fn device(&self) -> Option<&str> {
        match self {
            Self::Device { device, .. } | Self::Blocks { device, .. } => device.as_deref(),
            Self::Pages(..) | Self::Memory(_) => None,
        }
    }

    /// Whether this is a place of a device that the text does not name.
    #[must_use]
    pub const fn is_nameless(&self) -> bool {
        matches!(self, Self::Device { device: None, .. } | Self::Blocks { device: None, .. })
    }

    /// The same place on another device: for lists that name none, and for other names of one.
    #[must_use]
    pub fn on(self, name: &str) -> Self {
        let device = Some(name.to_owned());
        match self {
            Self::Device { extent, .. } => Self::Device { device, extent },
            Self::Blocks { unit, first, count, .. } => Self::Blocks { device, unit, first, count },
            memory @ (Self::Pages(..) | Self::Memory(_)) => memory,
        }
    }

    /// Pages of 4096 bytes as pages of another length with the same numbers; anything else as it is.
    /// An address of which nobody knows how much around it is bad runs to the end of such a page.
    ///
    /// `None` when that does not fit in 64 bits.
    pub(super) fn in_pages(self, page: PageSize, confidence: Confidence) -> Option<Self> {
        match self {
            Self::Pages(bytes, known) => {
                Some(Self::Pages(bytes.containing_pages(known).bytes(page).ok()?, page))
            }
            Self::Memory(bytes) if confidence == Confidence::UnknownExtent => {
                to_page_end(bytes.start().get(), 1, page).map(Self::Memory)
            }
            other @ (Self::Memory(_) | Self::Device { .. } | Self::Blocks { .. }) => Some(other),
        }
    }

    /// Blocks as bytes, when a block has `block_size` bytes; anything else as it is. Where only the
    /// first block is known, the bytes run to the end of its 4096-byte page.
    ///
    /// `None` when that does not fit in 64 bits, or `block_size` is zero.
    #[must_use]
    pub fn in_bytes(self, block_size: u64) -> Option<Self> {
        let Self::Blocks { device, first, count, .. } = self else { return Some(self) };
        let start = first.checked_mul(block_size).filter(|_| block_size > 0)?;
        let extent = match count {
            Some(count) => {
                Extent::new(DevOffset::new(start), count.checked_mul(block_size)?).ok()?
            }
            None => to_page_end(start, block_size, PageSize::K4)?,
        };
        Some(Self::Device { device, extent })
    }
}

/// From `start` to the end of its page, and at least one block.
pub(super) fn to_page_end<S: Space>(start: u64, block: u64, page: PageSize) -> Option<Extent<S>> {
    let end = start.checked_next_multiple_of(page.bytes())?;
    let end = if end == start { start.checked_add(page.bytes())? } else { end };
    let end = end.max(start.checked_add(block)?);
    Extent::from_bounds(S::from_raw(start), S::from_raw(end)).ok()
}

/// The location language of `badrange explain --at`; `?` where the text names no device, and
/// `fsblock@`, `buffer@` and `block@`, which that language does not have.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
        let name = |device: &Option<String>| -> String {
            device.as_deref().unwrap_or("?").chars().map(shown).collect()
        };
        match self {
            Self::Device { device, extent } => {
                let (start, len) = (extent.start().get(), extent.len());
                write!(f, "{}:", name(device))?;
                if start % SECTOR_SIZE == 0 && len % SECTOR_SIZE == 0 {
                    write!(f, "{}+{}", start / SECTOR_SIZE, len / SECTOR_SIZE)
                } else {
                    write!(f, "{start}+{len}B")
                }
            }
            Self::Blocks { device, unit, first, count } => {
                let unit = match unit {
                    BlockUnit::Logical => "lba",
                    BlockUnit::Filesystem => "fsblock",
                    BlockUnit::Buffer => "buffer",
                    BlockUnit::List => "block",
                };
                write!(f, "{unit}@{}:{first}", name(device))?;
                count.map_or(Ok(()), |count| write!(f, "+{count}"))
            }
            Self::Pages(extent, page) => {
                let frames = extent.containing_pages(*page);
                write!(f, "pfn:{:#x}+{}", frames.start().get(), frames.len())
            }
            Self::Memory(extent) => {
                write!(f, "phys:{:#x}+{:#x}", extent.start().get(), extent.len())
            }
        }
    }
}

/// A bad range that a text names.
///
/// # Examples
/// See [`read_ranges`](crate::read_ranges).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NamedRange {
    /// Where.
    pub place: Place,
    /// How well the text knows its extent.
    pub confidence: Confidence,
    /// The line that named it first, from 1.
    pub line: u64,
    /// What the line reports: `read or write request`, `memory failure`, ...
    pub said: &'static str,
    /// Another device that reported the same sectors right after: the request went through it.
    pub also: Option<String>,
    /// For a place on an array that was read elsewhere: the member that failed, empty where the text
    /// does not name it. The bytes of the array are not lost by that; those of the member are.
    pub retried: Option<String>,
    /// The line of a smaller range inside this one, which explains its failure. The rest of this
    /// range was not read again, so nothing says that it is good.
    pub narrowed: Option<u64>,
}

impl NamedRange {
    pub(super) const fn new(
        place: Place,
        confidence: Confidence,
        line: u64,
        said: &'static str,
    ) -> Self {
        Self { place, confidence, line, said, also: None, retried: None, narrowed: None }
    }
}

/// Something bad that a text names by a word that leads to no bytes.
///
/// # Examples
/// ```
/// use badrange_input::{RangeOptions, read_ranges};
/// let text = "EXT4-fs error (device dm-0): ext4_find_entry:1455: inode #2: comm ls: reading \
///             directory lblock 0\n";
/// let list = read_ranges(text.as_bytes(), &RangeOptions::default())?;
/// assert_eq!(list.unplaced[0].what, "dm-0: inode 2, block 0 of a directory");
/// # Ok::<(), badrange_input::ParseError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UnplacedRange {
    /// The line, from 1.
    pub line: u64,
    /// What it names.
    pub what: String,
}

/// Every bad range that a text names, each once.
///
/// # Examples
/// See [`read_ranges`](crate::read_ranges).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RangeList {
    /// The ranges, in the order of their lines.
    pub ranges: Vec<NamedRange>,
    /// What the text names and nobody can place.
    pub unplaced: Vec<UnplacedRange>,
    /// The line that says, or shows, that something is missing from the text: suppressed messages,
    /// lost events, a list that was cut.
    pub truncated: Option<u64>,
}
