use core::{fmt, ops::ControlFlow};

use badrange_core::{
    DevOffset, Extent, HoleKind, Leg, Mapped, Mapping, PAGE_SIZE, Pfn, PhysAddr, Piece, Rmapped,
    SECTOR_SIZE,
};

use crate::{NamespaceError, NamespaceErrorKind};

type Sink<'a, T> = &'a mut dyn FnMut(T) -> ControlFlow<()>;

/// How a namespace is used.
///
/// # Examples
/// ```
/// use badrange_pmem::Mode;
/// assert_eq!(Mode::from_name("devdax"), Some(Mode::Devdax));
/// assert_eq!(Mode::Fsdax.to_string(), "fsdax");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Mode {
    /// A block device for a filesystem with DAX.
    Fsdax,
    /// A character device that is mapped directly.
    Devdax,
    /// A block device without metadata of its own.
    Raw,
}

impl Mode {
    /// The name that `ndctl` uses.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fsdax => "fsdax",
            Self::Devdax => "devdax",
            Self::Raw => "raw",
        }
    }

    /// The mode of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Fsdax, Self::Devdax, Self::Raw].into_iter().find(|mode| mode.as_str() == name)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The fault granularity of a namespace: how much of it one page-table entry maps.
///
/// # Examples
/// ```
/// use badrange_pmem::Align;
/// assert_eq!(Align::from_name("2M"), Some(Align::Size2M));
/// assert_eq!(Align::Size2M.bytes(), 2 << 20);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Align {
    /// 4 KiB.
    Size4K,
    /// 2 MiB.
    Size2M,
    /// 1 GiB.
    Size1G,
}

impl Align {
    /// The granularity in bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        match self {
            Self::Size4K => 4096,
            Self::Size2M => 2 << 20,
            Self::Size1G => 1 << 30,
        }
    }

    /// The name: `4K`, `2M` or `1G`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Size4K => "4K",
            Self::Size2M => "2M",
            Self::Size1G => "1G",
        }
    }

    /// The granularity of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Size4K, Self::Size2M, Self::Size1G].into_iter().find(|align| align.as_str() == name)
    }
}

impl fmt::Display for Align {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where a persistent-memory namespace lies in physical memory, and where its data begins.
///
/// Byte 0 of the device is the first byte of the data. What lies before it describes the namespace
/// and is on no device. The capacity is whole sectors: a shorter rest at the end is on no device
/// either.
///
/// # Kernel
/// `pmem_attach_disk()` and `pmem_pagemap_memory_failure()` of `drivers/nvdimm/pmem.c`. There, the
/// offset of a page below the data wraps; here it is `None`.
///
/// # Examples
/// ```
/// use badrange_core::{DevOffset, Extent, Pfn, PhysAddr};
/// use badrange_pmem::{Mode, Namespace};
/// let whole = Extent::new(PhysAddr::new(0x2_4000_0000), 512 << 20)?;
/// let namespace = Namespace::new(whole, 0x20_0000, Mode::Fsdax)?;
/// assert_eq!(namespace.offset_of(Pfn::new(0x2_415ab)), Some(DevOffset::new(20_623_360)));
/// assert_eq!(namespace.offset_of(Pfn::new(0x2_401ff)), None);
/// assert_eq!(namespace.metadata(), Some(Extent::new(PhysAddr::new(0x2_4000_0000), 0x20_0000)?));
/// assert_eq!(namespace.capacity(), Extent::new(DevOffset::new(0), 510 << 20)?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Namespace {
    whole: Extent<PhysAddr>,
    /// INVARIANT: inside `whole`, begins at a page, whole sectors long.
    data: Extent<PhysAddr>,
    /// INVARIANT: `data` from byte 0 on.
    capacity: Extent<DevOffset>,
    mode: Mode,
    align: Option<Align>,
}

impl Namespace {
    /// The namespace that is `whole`, with its data from `data_offset_bytes` on.
    ///
    /// # Errors
    /// [`NamespaceErrorKind`]: both have to begin at a page, some data has to be left, and a raw
    /// namespace has offset 0.
    pub fn new(
        whole: Extent<PhysAddr>,
        data_offset_bytes: u64,
        mode: Mode,
    ) -> Result<Self, NamespaceError> {
        let err = |kind| NamespaceError::new(kind, whole, data_offset_bytes);
        if whole.start().get() % PAGE_SIZE != 0 {
            return Err(err(NamespaceErrorKind::UnalignedStart));
        }
        if data_offset_bytes % PAGE_SIZE != 0 {
            return Err(err(NamespaceErrorKind::UnalignedData));
        }
        if mode == Mode::Raw && data_offset_bytes != 0 {
            return Err(err(NamespaceErrorKind::RawOffset));
        }
        let data = data_of(whole, data_offset_bytes);
        let both = data.and_then(|d| Some((d, d.rebase(d.start(), DevOffset::new(0))?)));
        let (data, capacity) = both.ok_or_else(|| err(NamespaceErrorKind::NoData))?;
        Ok(Self { whole, data, capacity, mode, align: None })
    }

    /// The same namespace with a fault granularity.
    ///
    /// # Errors
    /// [`NamespaceErrorKind::Misaligned`] when its data does not begin at a multiple of it.
    ///
    /// # Kernel
    /// `nd_pfn_validate()` of `drivers/nvdimm/pfn_devs.c`.
    pub fn with_align(self, align: Align) -> Result<Self, NamespaceError> {
        if self.data.start().get().checked_rem(align.bytes()) != Some(0) {
            let offset = self.metadata().map_or(0, |metadata| metadata.len());
            let kind = NamespaceErrorKind::Misaligned(align);
            return Err(NamespaceError::new(kind, self.whole, offset));
        }
        Ok(Self { align: Some(align), ..self })
    }

    /// All of the namespace in physical memory.
    #[must_use]
    pub const fn whole(&self) -> Extent<PhysAddr> {
        self.whole
    }

    /// How it is used.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// The fault granularity, if it is known.
    #[must_use]
    pub const fn align(&self) -> Option<Align> {
        self.align
    }

    /// The physical memory below the data; `None` when the data begins at the first byte.
    #[must_use]
    pub fn metadata(&self) -> Option<Extent<PhysAddr>> {
        self.whole.split_at(self.data.start()).0
    }

    /// The physical memory that is the device.
    #[must_use]
    pub const fn data(&self) -> Extent<PhysAddr> {
        self.data
    }

    /// The device: all of its bytes.
    #[must_use]
    pub const fn capacity(&self) -> Extent<DevOffset> {
        self.capacity
    }

    /// The byte of the device where a page begins; `None` for a page that is not on it.
    #[must_use]
    pub fn offset_of(&self, pfn: Pfn) -> Option<DevOffset> {
        let phys = pfn.phys().filter(|phys| self.data.contains(*phys))?;
        phys.get().checked_sub(self.data.start().get()).map(DevOffset::new)
    }
}

/// What is left for data after the metadata, in whole sectors.
fn data_of(whole: Extent<PhysAddr>, data_offset_bytes: u64) -> Option<Extent<PhysAddr>> {
    let len = whole.len().checked_sub(data_offset_bytes)?;
    let start = whole.start().get().checked_add(data_offset_bytes)?;
    // NO-OVERFLOW: a remainder is not more than what it is of.
    Extent::new(PhysAddr::new(start), len.wrapping_sub(len % SECTOR_SIZE)).ok()
}

/// The one leg is physical memory.
impl Mapping<PhysAddr, DevOffset> for Namespace {
    fn legs(&self) -> u32 {
        1
    }

    fn extent(&self) -> Extent<DevOffset> {
        self.capacity()
    }

    fn leg_extent(&self, leg: Leg) -> Option<Extent<PhysAddr>> {
        (leg.index() == 0).then_some(self.data)
    }

    fn map(
        &self,
        upper: Extent<DevOffset>,
        sink: Sink<'_, Mapped<PhysAddr, DevOffset>>,
    ) -> ControlFlow<()> {
        let (inside, beyond) = upper.split_at(self.capacity().end());
        if let Some(upper) = inside {
            if let Some(lower) = upper.rebase(DevOffset::new(0), self.data.start()) {
                sink(Mapped::To { leg: Leg::new(0), upper, lower })?;
            }
        }
        match beyond {
            Some(upper) => sink(Mapped::Hole { kind: HoleKind::Unmapped, upper }),
            None => ControlFlow::Continue(()),
        }
    }

    fn rmap(
        &self,
        leg: Leg,
        lower: Extent<PhysAddr>,
        sink: Sink<'_, Rmapped<PhysAddr, DevOffset>>,
    ) -> ControlFlow<()> {
        let part = self.leg_extent(leg).and_then(|data| lower.intersect(data));
        let pair = part.and_then(|l| Some((l, l.rebase(self.data.start(), DevOffset::new(0))?)));
        match pair {
            Some((lower, upper)) => sink(Rmapped { lower, upper }),
            None => ControlFlow::Continue(()),
        }
    }

    fn rmap_run(
        &self,
        leg: Leg,
        lower: &Piece<PhysAddr>,
        sink: Sink<'_, Piece<DevOffset>>,
    ) -> ControlFlow<()> {
        match self.leg_extent(leg) {
            Some(data) => lower.through(&data.into(), &self.capacity().into(), sink),
            None => ControlFlow::Continue(()),
        }
    }
}
