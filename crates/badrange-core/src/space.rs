use core::{fmt, num::NonZeroU64};

use crate::{Extent, FromTextError, PageSize, RangeError, parse};

/// Bytes of a [`Sector`]. Always 512, also on devices with 4096-byte logical blocks.
///
/// # Kernel
/// `SECTOR_SIZE`, `SECTOR_SHIFT` 9.
pub const SECTOR_SIZE: u64 = 512;

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

        /// Decimal or `0x` hex, `_` between digits.
        impl core::str::FromStr for $name {
            type Err = FromTextError;

            fn from_str(text: &str) -> Result<Self, FromTextError> {
                parse::number(text).map(Self).ok_or_else(|| FromTextError::new($unit, text))
            }
        }
    };
}

space! {
    /// A byte of physical memory, to read and print host addresses.
    ///
    /// Physical memory is a device like any other; its bytes are these addresses, so that
    /// [`on_memory`](Self::on_memory) changes the name and not the number.
    ///
    /// # Examples
    /// ```
    /// use badrange_core::{DevOffset, PageSize, Pfn, PhysAddr};
    /// let at = PhysAddr::new(0x2_415a_b123);
    /// assert_eq!(Pfn::containing(at, PageSize::K4), Pfn::new(0x2_415ab));
    /// assert_eq!(at.on_memory(), DevOffset::new(0x2_415a_b123));
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
    /// A page frame number: physical memory counted in pages; how long one is says a [`PageSize`].
    ///
    /// # Kernel
    /// `unsigned long pfn`.
    ///
    /// # Examples
    /// ```
    /// use badrange_core::{PageSize, Pfn, PhysAddr};
    /// assert_eq!(Pfn::new(0x1850602).phys(PageSize::K4), Some(PhysAddr::new(0x1_8506_0200_0)));
    /// assert_eq!(Pfn::new(u64::MAX).phys(PageSize::K4), None);
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

/// Bytes of a filesystem block: a power of two, at least 512.
///
/// # Examples
/// ```
/// use badrange_core::BlockSize;
/// assert_eq!(BlockSize::new(4096)?.get(), 4096);
/// let err = BlockSize::new(1000).unwrap_err();
/// assert_eq!(err.to_string(), "invalid size of 1000 block bytes: not a power of two of at least 512");
/// # Ok::<(), badrange_core::RangeError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BlockSize(NonZeroU64);

impl BlockSize {
    /// Checks a block size in bytes.
    ///
    /// # Errors
    /// [`RangeErrorKind::PowerOfTwo`](crate::RangeErrorKind::PowerOfTwo) when it is not a power of
    /// two of at least 512.
    pub const fn new(bytes: u64) -> Result<Self, RangeError> {
        match NonZeroU64::new(bytes) {
            Some(size) if bytes.is_power_of_two() && bytes >= SECTOR_SIZE => Ok(Self(size)),
            _ => Err(RangeError::size("block bytes", bytes)),
        }
    }

    /// The size in bytes.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0.get()
    }
}

impl PhysAddr {
    /// The same byte of the memory device.
    #[must_use]
    pub const fn on_memory(self) -> DevOffset {
        DevOffset(self.0)
    }
}

impl DevOffset {
    /// The same byte as a host address; this has a meaning for bytes of the memory device only.
    #[must_use]
    pub const fn phys(self) -> PhysAddr {
        PhysAddr(self.0)
    }
}

impl Pfn {
    /// The page frame that holds a byte.
    #[must_use]
    pub const fn containing(addr: PhysAddr, page: PageSize) -> Self {
        Self(addr.0 >> page.shift())
    }

    /// The first byte of the frame, or `None` when it lies beyond 64 bits.
    #[must_use]
    pub const fn phys(self, page: PageSize) -> Option<PhysAddr> {
        match self.0.checked_mul(page.bytes()) {
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
    ///
    /// # Examples
    /// ```
    /// use badrange_core::{Extent, PageSize, Pfn, PhysAddr};
    /// let bad = Extent::new(PhysAddr::new(0x1fff), 2)?;
    /// assert_eq!(bad.containing_pages(PageSize::K4), Extent::new(Pfn::new(1), 2)?);
    /// assert_eq!(bad.containing_pages(PageSize::K64), Extent::new(Pfn::new(0), 1)?);
    /// # Ok::<(), badrange_core::RangeError>(())
    /// ```
    #[must_use]
    pub fn containing_pages(self, page: PageSize) -> Extent<Pfn> {
        self.round_out(page.nonzero())
    }

    /// The page frames that lie wholly inside: rounded inward, `None` if there is none.
    ///
    /// This is the rounding for clearing poison, which works on whole pages.
    ///
    /// # Examples
    /// ```
    /// use badrange_core::{Extent, PageSize, Pfn, PhysAddr};
    /// let bad = Extent::new(PhysAddr::new(0xfff), 0x2001)?;
    /// assert_eq!(bad.whole_pages(PageSize::K4), Some(Extent::new(Pfn::new(1), 2)?));
    /// assert_eq!(bad.whole_pages(PageSize::K16), None);
    /// # Ok::<(), badrange_core::RangeError>(())
    /// ```
    #[must_use]
    pub fn whole_pages(self, page: PageSize) -> Option<Extent<Pfn>> {
        self.round_in(page.nonzero())
    }

    /// The same bytes of the memory device. Exact.
    ///
    /// # Examples
    /// ```
    /// use badrange_core::{DevOffset, Extent, PhysAddr};
    /// let bad = Extent::new(PhysAddr::new(0x2000), 64)?;
    /// assert_eq!(bad.on_memory(), Extent::new(DevOffset::new(0x2000), 64)?);
    /// assert_eq!(bad.on_memory().phys(), bad);
    /// # Ok::<(), badrange_core::RangeError>(())
    /// ```
    #[must_use]
    pub fn on_memory(self) -> Extent {
        self.renamed()
    }
}

impl Extent {
    /// The same bytes as host addresses; this has a meaning for bytes of the memory device only.
    /// Exact.
    #[must_use]
    pub fn phys(self) -> Extent<PhysAddr> {
        self.renamed()
    }
}

impl Extent {
    /// The sectors that the bytes touch: rounded outward.
    ///
    /// # Examples
    /// ```
    /// use badrange_core::{DevOffset, Extent, Sector};
    /// let bad = Extent::new(DevOffset::new(511), 2)?;
    /// assert_eq!(bad.containing_sectors(), Extent::new(Sector::new(0), 2)?);
    /// # Ok::<(), badrange_core::RangeError>(())
    /// ```
    #[must_use]
    pub fn containing_sectors(self) -> Extent<Sector> {
        self.round_out(SECTOR)
    }

    /// The sectors that lie wholly inside: rounded inward, `None` if there is none.
    ///
    /// # Examples
    /// ```
    /// use badrange_core::{DevOffset, Extent, Sector};
    /// let good = Extent::new(DevOffset::new(511), 514)?;
    /// assert_eq!(good.whole_sectors(), Some(Extent::new(Sector::new(1), 1)?));
    /// # Ok::<(), badrange_core::RangeError>(())
    /// ```
    #[must_use]
    pub fn whole_sectors(self) -> Option<Extent<Sector>> {
        self.round_in(SECTOR)
    }
}

impl Extent<Pfn> {
    /// The same pages in bytes.
    ///
    /// # Errors
    /// [`RangeErrorKind::Overflow`](crate::RangeErrorKind::Overflow) when they reach beyond 64 bits.
    ///
    /// # Examples
    /// ```
    /// use badrange_core::{Extent, PageSize, Pfn, PhysAddr};
    /// let pages = Extent::new(Pfn::new(2), 3)?;
    /// assert_eq!(pages.bytes(PageSize::K4)?, Extent::new(PhysAddr::new(0x2000), 0x3000)?);
    /// assert!(Extent::new(Pfn::new(1 << 52), 1)?.bytes(PageSize::K4).is_err());
    /// # Ok::<(), badrange_core::RangeError>(())
    /// ```
    pub fn bytes(self, page: PageSize) -> Result<Extent<PhysAddr>, RangeError> {
        self.widen(page.bytes())
    }
}

impl Extent<Sector> {
    /// The same sectors in bytes.
    ///
    /// # Errors
    /// [`RangeErrorKind::Overflow`](crate::RangeErrorKind::Overflow) when they reach beyond 64 bits.
    ///
    /// # Examples
    /// ```
    /// use badrange_core::{DevOffset, Extent, Sector};
    /// assert_eq!(Extent::new(Sector::new(8), 2)?.bytes()?, Extent::new(DevOffset::new(4096), 1024)?);
    /// # Ok::<(), badrange_core::RangeError>(())
    /// ```
    pub fn bytes(self) -> Result<Extent, RangeError> {
        self.widen(SECTOR_SIZE)
    }
}

impl Extent<FsBlock> {
    /// The same blocks in bytes.
    ///
    /// # Errors
    /// [`RangeErrorKind::Overflow`](crate::RangeErrorKind::Overflow) when they reach beyond 64 bits.
    ///
    /// # Examples
    /// ```
    /// use badrange_core::{BlockSize, DevOffset, Extent, FsBlock};
    /// let blocks = Extent::new(FsBlock::new(8), 2)?;
    /// assert_eq!(blocks.bytes(BlockSize::new(1024)?)?, Extent::new(DevOffset::new(8192), 2048)?);
    /// # Ok::<(), badrange_core::RangeError>(())
    /// ```
    pub fn bytes(self, size: BlockSize) -> Result<Extent, RangeError> {
        self.widen(size.get())
    }
}
