use core::{fmt, num::NonZeroU64};

use crate::{Extent, RangeError, RangeErrorKind};

/// Bytes of a page frame: every [`Pfn`] is this long.
///
/// # Kernel
/// `PAGE_SIZE` with `PAGE_SHIFT` 12. Machines with other base pages are not modelled.
pub const PAGE_SIZE: u64 = 4096;

/// Bytes of a [`Sector`]. Always 512, also on devices with 4096-byte logical blocks.
///
/// # Kernel
/// `SECTOR_SIZE`, `SECTOR_SHIFT` 9.
pub const SECTOR_SIZE: u64 = 512;

const PAGE: NonZeroU64 = NonZeroU64::new(PAGE_SIZE).expect("pages have bytes");
const SECTOR: NonZeroU64 = NonZeroU64::new(SECTOR_SIZE).expect("sectors have bytes");

mod sealed {
    #[expect(unnameable_types, reason = "seals `Space`: the list of spaces is finite")]
    pub trait Sealed {}
}

/// An address space, or a view of one: a position is a plain `u64` with a type.
///
/// Sealed. There are no operators and no way to add or subtract without naming what happens at
/// the end of the 64-bit scale.
///
/// # Examples
/// ```
/// use badrange_core::{DevOffset, Space};
/// let at = DevOffset::new(4096);
/// assert_eq!(at.checked_add(512), Some(DevOffset::new(4608)));
/// assert_eq!(at.checked_offset_from(DevOffset::new(4608)), None); // would be negative
/// assert_eq!(DevOffset::new(u64::MAX).checked_add(1), None);
/// ```
pub trait Space:
    sealed::Sealed + Copy + Ord + core::hash::Hash + fmt::Debug + fmt::Display + Send + Sync + 'static
{
    /// Plural name of what the scale counts, for messages: `device bytes`, `pfns`.
    const UNIT: &'static str;

    /// Makes a position from its raw number.
    fn from_raw(raw: u64) -> Self;

    /// The raw number.
    fn to_raw(self) -> u64;

    /// This position moved up by `by`, or `None` past the end of the scale.
    fn checked_add(self, by: u64) -> Option<Self> {
        self.to_raw().checked_add(by).map(Self::from_raw)
    }

    /// This position moved down by `by`, or `None` below zero.
    fn checked_sub(self, by: u64) -> Option<Self> {
        self.to_raw().checked_sub(by).map(Self::from_raw)
    }

    /// How far this position lies above `base`, or `None` if it lies below.
    fn checked_offset_from(self, base: Self) -> Option<u64> {
        self.to_raw().checked_sub(base.to_raw())
    }
}

/// A space whose scale is bytes. Views ([`Pfn`], [`Sector`], [`FsBlock`]) are not.
pub trait ByteSpace: Space {}

macro_rules! space {
    ($(#[$doc:meta])* $name:ident, $unit:literal, $debug:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        #[repr(transparent)]
        pub struct $name(u64);

        impl $name {
            /// Makes a position from its raw number.
            #[must_use]
            pub const fn new(raw: u64) -> Self {
                Self(raw)
            }

            /// The raw number.
            #[must_use]
            pub const fn get(self) -> u64 {
                self.0
            }
        }

        impl sealed::Sealed for $name {}

        impl Space for $name {
            const UNIT: &'static str = $unit;

            fn from_raw(raw: u64) -> Self {
                Self(raw)
            }

            fn to_raw(self) -> u64 {
                self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($debug, ":{:#x}"), self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:#x}", self.0)
            }
        }
    };
}

space! {
    /// A byte of physical memory.
    ///
    /// # Examples
    /// ```
    /// use badrange_core::{Pfn, PhysAddr};
    /// assert_eq!(Pfn::containing(PhysAddr::new(0x2_415a_b123)), Pfn::new(0x2_415ab));
    /// ```
    PhysAddr, "physical bytes", "phys"
}

space! {
    /// A byte of one device, counted from its byte 0. Which device is known from the context.
    ///
    /// # Examples
    /// ```
    /// use badrange_core::{DevOffset, Sector};
    /// assert_eq!(Sector::containing(DevOffset::new(1023)), Sector::new(1));
    /// ```
    DevOffset, "device bytes", "dev"
}

space! {
    /// A byte of one file (or of one fork of it), counted from its byte 0.
    ///
    /// # Examples
    /// ```
    /// use badrange_core::FileOffset;
    /// assert_eq!(format!("{:?}", FileOffset::new(4096)), "file:0x1000");
    /// ```
    FileOffset, "file bytes", "file"
}

space! {
    /// A byte of a failure report, counted from the first byte reported, whatever space the
    /// report was in. A piece that climbs the stack carries the part of the report it stands for.
    ///
    /// # Examples
    /// ```
    /// use badrange_core::{Extent, ReportOffset};
    /// let whole_report = Extent::new(ReportOffset::new(0), 8192)?;
    /// assert_eq!(whole_report.len(), 8192);
    /// # Ok::<(), badrange_core::RangeError>(())
    /// ```
    ReportOffset, "report bytes", "report"
}

space! {
    /// A page frame number: physical memory counted in units of [`PAGE_SIZE`].
    ///
    /// # Kernel
    /// `unsigned long pfn`.
    ///
    /// # Examples
    /// ```
    /// use badrange_core::{Pfn, PhysAddr};
    /// assert_eq!(Pfn::new(0x1850602).phys(), Some(PhysAddr::new(0x1_8506_0200_0)));
    /// assert_eq!(Pfn::new(u64::MAX).phys(), None);
    /// ```
    Pfn, "pfns", "pfn"
}

space! {
    /// A 512-byte sector of one device, whatever the device's logical block size.
    ///
    /// # Kernel
    /// `sector_t`.
    ///
    /// # Examples
    /// ```
    /// use badrange_core::{DevOffset, Sector};
    /// assert_eq!(Sector::new(8).offset(), Some(DevOffset::new(4096)));
    /// ```
    Sector, "sectors", "sector"
}

space! {
    /// A filesystem block of one device; how long it is says a [`BlockSize`].
    ///
    /// # Examples
    /// ```
    /// use badrange_core::{BlockSize, DevOffset, FsBlock};
    /// let bs = BlockSize::new(2048)?;
    /// assert_eq!(FsBlock::containing(DevOffset::new(5000), bs), FsBlock::new(2));
    /// assert_eq!(FsBlock::new(2).offset(bs), Some(DevOffset::new(4096)));
    /// # Ok::<(), badrange_core::RangeError>(())
    /// ```
    FsBlock, "filesystem blocks", "block"
}

impl ByteSpace for PhysAddr {}
impl ByteSpace for DevOffset {}
impl ByteSpace for FileOffset {}
impl ByteSpace for ReportOffset {}

/// Bytes of a filesystem block: a power of two, at least 512.
///
/// # Examples
/// ```
/// use badrange_core::BlockSize;
/// assert_eq!(BlockSize::new(4096)?.get(), 4096);
/// assert!(BlockSize::new(1000).is_err());
/// # Ok::<(), badrange_core::RangeError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BlockSize(NonZeroU64);

impl BlockSize {
    /// Checks a block size in bytes.
    ///
    /// # Errors
    /// [`RangeErrorKind::Unaligned`] when it is not a power of two of at least 512.
    pub fn new(bytes: u64) -> Result<Self, RangeError> {
        match NonZeroU64::new(bytes) {
            Some(size) if bytes.is_power_of_two() && bytes >= SECTOR_SIZE => Ok(Self(size)),
            _ => Err(RangeError::new(RangeErrorKind::Unaligned, "block bytes", 0, bytes)),
        }
    }

    /// The size in bytes.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0.get()
    }
}

impl Pfn {
    /// The page frame that holds a byte.
    #[must_use]
    pub const fn containing(addr: PhysAddr) -> Self {
        Self(addr.0 / PAGE_SIZE)
    }

    /// The first byte of the frame, or `None` when it lies beyond 64 bits.
    #[must_use]
    pub const fn phys(self) -> Option<PhysAddr> {
        match self.0.checked_mul(PAGE_SIZE) {
            Some(raw) => Some(PhysAddr(raw)),
            None => None,
        }
    }
}

impl Sector {
    /// The sector that holds a byte.
    #[must_use]
    pub const fn containing(at: DevOffset) -> Self {
        Self(at.0 / SECTOR_SIZE)
    }

    /// The first byte of the sector, or `None` when it lies beyond 64 bits.
    #[must_use]
    pub const fn offset(self) -> Option<DevOffset> {
        match self.0.checked_mul(SECTOR_SIZE) {
            Some(raw) => Some(DevOffset(raw)),
            None => None,
        }
    }
}

impl FsBlock {
    /// The block that holds a byte.
    #[must_use]
    pub fn containing(at: DevOffset, size: BlockSize) -> Self {
        Self(at.0 / size.0)
    }

    /// The first byte of the block, or `None` when it lies beyond 64 bits.
    #[must_use]
    pub const fn offset(self, size: BlockSize) -> Option<DevOffset> {
        match self.0.checked_mul(size.0.get()) {
            Some(raw) => Some(DevOffset(raw)),
            None => None,
        }
    }
}

/// Views of an extent: `containing_*` rounds outward, `whole_*` rounds inward, `bytes` is exact.
impl Extent<PhysAddr> {
    /// The page frames that the bytes touch: rounded outward.
    ///
    /// This is the rounding for unmapping: a page with one bad byte is a bad page.
    #[must_use]
    pub fn containing_pages(self) -> Extent<Pfn> {
        self.round_out(PAGE)
    }

    /// The page frames that lie wholly inside: rounded inward, `None` if there is none.
    ///
    /// This is the rounding for clearing poison, which works on whole pages.
    #[must_use]
    pub fn whole_pages(self) -> Option<Extent<Pfn>> {
        self.round_in(PAGE)
    }
}

impl Extent<DevOffset> {
    /// The sectors that the bytes touch: rounded outward.
    #[must_use]
    pub fn containing_sectors(self) -> Extent<Sector> {
        self.round_out(SECTOR)
    }

    /// The sectors that lie wholly inside: rounded inward, `None` if there is none.
    #[must_use]
    pub fn whole_sectors(self) -> Option<Extent<Sector>> {
        self.round_in(SECTOR)
    }
}

impl Extent<Pfn> {
    /// The same pages in bytes.
    ///
    /// # Errors
    /// [`RangeErrorKind::Overflow`] when they reach beyond 64 bits.
    pub fn bytes(self) -> Result<Extent<PhysAddr>, RangeError> {
        self.widen(PAGE_SIZE)
    }
}

impl Extent<Sector> {
    /// The same sectors in bytes.
    ///
    /// # Errors
    /// [`RangeErrorKind::Overflow`] when they reach beyond 64 bits.
    pub fn bytes(self) -> Result<Extent<DevOffset>, RangeError> {
        self.widen(SECTOR_SIZE)
    }
}

impl Extent<FsBlock> {
    /// The same blocks in bytes.
    ///
    /// # Errors
    /// [`RangeErrorKind::Overflow`] when they reach beyond 64 bits.
    pub fn bytes(self, size: BlockSize) -> Result<Extent<DevOffset>, RangeError> {
        self.widen(size.get())
    }
}
