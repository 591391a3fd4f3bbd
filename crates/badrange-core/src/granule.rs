use core::{fmt, num::NonZeroU64};

use crate::{Extent, FromTextError, Pfn, RangeError, Run, run::gcd};

/// Bytes of a page: a power of two, at least 512. A property of a device, never a constant.
///
/// # Kernel
/// `PAGE_SIZE`: 4 KiB on x86, 4, 16 or 64 KiB on arm64 and powerpc.
///
/// # Examples
/// ```
/// use badrange_core::PageSize;
/// assert_eq!(PageSize::K64.bytes(), 65536);
/// assert_eq!("16K".parse(), Ok(PageSize::K16));
/// assert_eq!("4096".parse(), Ok(PageSize::K4));
/// assert_eq!(PageSize::K4.to_string(), "4K");
/// assert!("5K".parse::<PageSize>().is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageSize {
    shift: u8,
}

impl PageSize {
    /// 4 KiB.
    pub const K4: Self = Self { shift: 12 };
    /// 16 KiB.
    pub const K16: Self = Self { shift: 14 };
    /// 64 KiB.
    pub const K64: Self = Self { shift: 16 };

    /// Checks a page size in bytes.
    ///
    /// # Errors
    /// [`RangeErrorKind::PowerOfTwo`](crate::RangeErrorKind::PowerOfTwo) when it is not a power of
    /// two of at least 512.
    pub const fn new(bytes: u64) -> Result<Self, RangeError> {
        if bytes.is_power_of_two() && bytes >= crate::SECTOR_SIZE {
            #[expect(clippy::cast_possible_truncation, reason = "at most 63")]
            return Ok(Self { shift: bytes.trailing_zeros() as u8 });
        }
        Err(RangeError::size("page bytes", bytes))
    }

    /// The size in bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        1 << self.shift
    }

    /// The size with its proof that it is not zero.
    #[must_use]
    pub const fn nonzero(self) -> NonZeroU64 {
        match NonZeroU64::new(self.bytes()) {
            Some(bytes) => bytes,
            None => NonZeroU64::MIN, // not reached: a power of two
        }
    }

    /// The size as a power of two.
    ///
    /// # Kernel
    /// `PAGE_SHIFT`.
    #[must_use]
    pub const fn shift(self) -> u32 {
        self.shift as u32
    }
}

/// In KiB where it is whole KiB, else in bytes.
impl fmt::Display for PageSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.bytes() {
            bytes @ 0..1024 => write!(f, "{bytes}"),
            bytes => write!(f, "{}K", bytes / 1024),
        }
    }
}

/// Bytes, or KiB, MiB or GiB with `K`, `M` or `G` behind the number.
impl core::str::FromStr for PageSize {
    type Err = FromTextError;

    fn from_str(text: &str) -> Result<Self, FromTextError> {
        let wrong = || FromTextError::expecting("page size (4K, 16K, 64K)", text);
        let (digits, shift) = match text.as_bytes().last() {
            Some(b'K' | b'k') => (text.get(..text.len().saturating_sub(1)), 10),
            Some(b'M' | b'm') => (text.get(..text.len().saturating_sub(1)), 20),
            Some(b'G' | b'g') => (text.get(..text.len().saturating_sub(1)), 30),
            _ => (Some(text), 0),
        };
        let number = digits.and_then(crate::parse::number).ok_or_else(wrong)?;
        let bytes = number.checked_mul(1 << shift).ok_or_else(wrong)?;
        Self::new(bytes).map_err(|_| wrong())
    }
}

/// One page of a device that has pages: what a [`Fallback`](crate::Fallback) is called for.
///
/// # Invariants
/// Begins at a multiple of its size.
///
/// # Examples
/// ```
/// use badrange_core::{DevOffset, Granule, PageSize, Pfn};
/// let page = Granule::containing(DevOffset::new(0x2_415a_b123), PageSize::K4);
/// assert_eq!(page.pfn(), Pfn::new(0x2_415ab));
/// assert_eq!(page.to_string(), "pfn 0x2415ab");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Granule {
    number: u64,
    size: PageSize,
}

impl Granule {
    /// The granule that holds a byte.
    #[must_use]
    pub const fn containing(at: crate::DevOffset, size: PageSize) -> Self {
        Self { number: at.get() >> size.shift(), size }
    }

    /// Its number on its device: for physical memory the page frame number.
    #[must_use]
    pub const fn pfn(self) -> Pfn {
        Pfn::new(self.number)
    }

    /// How long it is.
    #[must_use]
    pub const fn size(self) -> PageSize {
        self.size
    }
}

impl fmt::Display for Granule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pfn {:#x}", self.number)
    }
}

/// Pages of one device at a fixed stride: a run in units of pages.
///
/// # Examples
/// ```
/// use badrange_core::{DevOffset, Extent, Granules, PageSize, Pfn};
/// let bad = Extent::new(DevOffset::new(0x1fff), 2)?;
/// let pages = Granules::containing(bad, PageSize::K4);
/// assert_eq!(pages.frames().first(), Extent::new(Pfn::new(1), 2)?);
/// assert_eq!((pages.count(), pages.bytes()), (2, 8192));
/// assert_eq!(pages.iter().map(|page| page.pfn().get()).collect::<Vec<_>>(), [1, 2]);
/// # Ok::<(), badrange_core::RangeError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Granules {
    frames: Run<Pfn>,
    size: PageSize,
}

impl Granules {
    /// These pages, by number, of this size each.
    #[must_use]
    pub const fn new(frames: Run<Pfn>, size: PageSize) -> Self {
        Self { frames, size }
    }

    /// The pages that the bytes touch: rounded outward.
    #[must_use]
    pub fn containing(bytes: Extent, size: PageSize) -> Self {
        Self { frames: bytes.round_out(size.nonzero()).into(), size }
    }

    /// The pages by number: page frame numbers for physical memory.
    #[must_use]
    pub const fn frames(&self) -> Run<Pfn> {
        self.frames
    }

    /// How long each page is.
    #[must_use]
    pub const fn size(&self) -> PageSize {
        self.size
    }

    /// How many pages.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.frames.total_len()
    }

    /// Bytes in all pages together; the largest number where they are more than 64 bits can say.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.count().saturating_mul(self.size.bytes())
    }

    /// One page after the other, ascending.
    ///
    /// # Examples
    /// ```
    /// use badrange_core::{DevOffset, Extent, Granule, Granules, PageSize};
    /// let pages = Granules::containing(Extent::new(DevOffset::new(0x1fff), 2)?, PageSize::K4);
    /// let last = Granule::containing(DevOffset::new(0x2000), PageSize::K4);
    /// assert_eq!(pages.iter().last(), Some(last));
    /// # Ok::<(), badrange_core::RangeError>(())
    /// ```
    pub fn iter(&self) -> impl Iterator<Item = Granule> + use<> {
        let size = self.size;
        let numbers = self.frames.elements().flat_map(|e| e.start().get()..e.end().get());
        numbers.map(move |number| Granule { number, size })
    }
}

/// `pfns [0x1..0x3)`, or with count and stride.
impl fmt::Display for Granules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.frames.fmt(f)
    }
}

impl Run {
    /// The pages that the bytes touch, by number, rounded outward: emits at most one run per phase
    /// of stride and page. Runs of neighbouring phases may name a page twice; a
    /// [`Cover`](crate::Cover) makes them disjoint.
    ///
    /// # Examples
    /// ```
    /// use badrange_core::{DevOffset, Extent, PageSize, Run};
    /// // 512 bytes in every 6 KiB: every second element begins a page.
    /// let bad = Run::new(Extent::new(DevOffset::new(0), 512)?, 6144, 4)?;
    /// let mut pages = Vec::new();
    /// bad.containing_frames(PageSize::K4, &mut |run| {
    ///     pages.extend(run.elements().map(|e| e.start().get()));
    /// });
    /// pages.sort();
    /// assert_eq!(pages, [0, 1, 3, 4]);
    /// # Ok::<(), badrange_core::RangeError>(())
    /// ```
    pub fn containing_frames(&self, size: PageSize, sink: &mut dyn FnMut(Run<Pfn>)) {
        let page = size.nonzero();
        let frames = |bytes: Extent| -> Extent<Pfn> { bytes.round_out(page) };
        if let Some(bytes) = self.as_extent() {
            return sink(frames(bytes).into());
        }
        let phases = page.get() / gcd(self.stride_nonzero(), page);
        for phase in 0..phases.min(self.count()) {
            // NO-OVERFLOW: the phase is below the count, and the period is the stride of a run
            // inside the scale whenever it is used more than once.
            let left = self.count().wrapping_sub(1).wrapping_sub(phase);
            let count = left.checked_div(phases).unwrap_or(0).saturating_add(1);
            let stride = self.stride().saturating_mul(phases) / page;
            let first = frames(self.element_unchecked(phase));
            match Run::new(first, stride, count) {
                Ok(run) => sink(run),
                // Elements of one phase touch a page in common: together they are contiguous.
                Err(_) => {
                    let last = phase.saturating_add(phases.saturating_mul(count.saturating_sub(1)));
                    sink(first.hull(frames(self.element_unchecked(last))).into());
                }
            }
        }
    }
}
