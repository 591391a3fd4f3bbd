use core::fmt;

use badrange_core::{
    DevOffset, Extent, Flow, Leg, Link, Mapped, Mapping, PageSize, Pfn, PhysAddr, Run, SECTOR_SIZE,
    Sink, Space, Window,
};

use crate::{NamespaceError, NamespaceErrorKind, bytes};

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
/// either. As a [`Mapping`] it is a [`Window`] of the memory device.
///
/// Pages are 4 KiB long unless [`with_page_size`](Self::with_page_size) says otherwise.
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
    data: Window,
    mode: Mode,
    page: PageSize,
    align: Option<Align>,
}

impl Namespace {
    /// The namespace that is `whole`, with its data from `data_offset_bytes` on.
    ///
    /// # Errors
    /// [`NamespaceErrorKind`]: both have to begin at a page of 4 KiB, some data has to be left, and
    /// a raw namespace has offset 0.
    pub fn new(
        whole: Extent<PhysAddr>,
        data_offset_bytes: u64,
        mode: Mode,
    ) -> Result<Self, NamespaceError> {
        let page = PageSize::K4;
        let err = |kind| NamespaceError::new(kind, whole, data_offset_bytes, page);
        in_pages(whole, data_offset_bytes, page).map_err(err)?;
        if mode == Mode::Raw && data_offset_bytes != 0 {
            return Err(err(NamespaceErrorKind::RawOffset));
        }
        let data = data_of(whole, data_offset_bytes);
        let data = data.ok_or_else(|| err(NamespaceErrorKind::NoData))?;
        Ok(Self { whole, data: Window::new(data.on_memory()), mode, page, align: None })
    }

    /// The same namespace on a host with pages of another size.
    ///
    /// # Errors
    /// [`NamespaceErrorKind::UnalignedStart`] and [`NamespaceErrorKind::UnalignedData`] when it or
    /// its data does not begin at a page of this size; [`NamespaceErrorKind::AlignBelowPage`] when
    /// its fault granularity is smaller.
    ///
    /// # Examples
    /// ```
    /// use badrange_core::{DevOffset, Extent, PageSize, Pfn, PhysAddr};
    /// use badrange_pmem::{Mode, Namespace, NamespaceErrorKind};
    /// let whole = Extent::new(PhysAddr::new(0x2_4000_0000), 512 << 20)?;
    /// let namespace = Namespace::new(whole, 0x20_0000, Mode::Fsdax)?.with_page_size(PageSize::K64)?;
    /// assert_eq!(namespace.offset_of(Pfn::new(0x2_415a)), Some(DevOffset::new(0x13a_0000)));
    /// let err = Namespace::new(whole, 0x1000, Mode::Fsdax)?.with_page_size(PageSize::K64).unwrap_err();
    /// assert_eq!(err.kind(), NamespaceErrorKind::UnalignedData);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_page_size(self, page: PageSize) -> Result<Self, NamespaceError> {
        let new = Self { page, ..self };
        in_pages(self.whole, self.data_offset(), page).map_err(|kind| new.refused(kind))?;
        new.granularity_is_pages().map(|()| new)
    }

    /// The same namespace with a fault granularity.
    ///
    /// # Errors
    /// [`NamespaceErrorKind::Misaligned`] when its data does not begin at a multiple of it,
    /// [`NamespaceErrorKind::AlignBelowPage`] when it is smaller than a page.
    ///
    /// # Kernel
    /// `nd_pfn_validate()` of `drivers/nvdimm/pfn_devs.c`.
    pub fn with_align(self, align: Align) -> Result<Self, NamespaceError> {
        if !is_multiple(self.data().start().get(), align.bytes()) {
            return Err(self.refused(NamespaceErrorKind::Misaligned(align)));
        }
        let new = Self { align: Some(align), ..self };
        new.granularity_is_pages().map(|()| new)
    }

    fn granularity_is_pages(&self) -> Result<(), NamespaceError> {
        match self.align.filter(|align| align.bytes() < self.page.bytes()) {
            Some(align) => Err(self.refused(NamespaceErrorKind::AlignBelowPage(align))),
            None => Ok(()),
        }
    }

    fn refused(&self, kind: NamespaceErrorKind) -> NamespaceError {
        NamespaceError::new(kind, self.whole, self.data_offset(), self.page)
    }

    /// Bytes of metadata.
    fn data_offset(&self) -> u64 {
        self.metadata().map_or(0, |metadata| metadata.len())
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

    /// How long a page of its host is.
    #[must_use]
    pub const fn page_size(&self) -> PageSize {
        self.page
    }

    /// The fault granularity, if it is known.
    #[must_use]
    pub const fn align(&self) -> Option<Align> {
        self.align
    }

    /// The physical memory below the data; `None` when the data begins at the first byte.
    #[must_use]
    pub fn metadata(&self) -> Option<Extent<PhysAddr>> {
        self.whole.split_at(self.data().start()).0
    }

    /// The physical memory that is the device.
    #[must_use]
    pub fn data(&self) -> Extent<PhysAddr> {
        self.data.on().phys()
    }

    /// The device: all of its bytes.
    #[must_use]
    pub fn capacity(&self) -> Extent {
        self.data.extent()
    }

    /// The byte of the device where a page begins; `None` for a page that is not on it.
    #[must_use]
    pub fn offset_of(&self, pfn: Pfn) -> Option<DevOffset> {
        let phys = pfn.phys(self.page).filter(|phys| self.data().contains(*phys))?;
        phys.checked_offset_from(self.data().start()).map(DevOffset::new)
    }

    /// The data, below in memory and above on the device.
    pub(crate) fn link(&self) -> Link {
        self.data.link()
    }
}

fn is_multiple(number: u64, unit: u64) -> bool {
    bytes::down(number, unit) == number
}

/// Whether a namespace and its data begin at pages.
fn in_pages(
    whole: Extent<PhysAddr>,
    data_offset_bytes: u64,
    page: PageSize,
) -> Result<(), NamespaceErrorKind> {
    if !is_multiple(whole.start().get(), page.bytes()) {
        return Err(NamespaceErrorKind::UnalignedStart);
    }
    if !is_multiple(data_offset_bytes, page.bytes()) {
        return Err(NamespaceErrorKind::UnalignedData);
    }
    Ok(())
}

/// What is left for data after the metadata, in whole sectors.
fn data_of(whole: Extent<PhysAddr>, data_offset_bytes: u64) -> Option<Extent<PhysAddr>> {
    let len = whole.len().checked_sub(data_offset_bytes)?;
    let start = whole.start().get().checked_add(data_offset_bytes)?;
    // NO-OVERFLOW: a remainder is not more than what it is of.
    Extent::new(PhysAddr::new(start), len.wrapping_sub(len % SECTOR_SIZE)).ok()
}

/// The one leg is the memory device.
impl Mapping for Namespace {
    fn extent(&self) -> Extent {
        self.data.extent()
    }

    fn legs(&self) -> u32 {
        self.data.legs()
    }

    fn leg_extent(&self, leg: Leg) -> Option<Extent> {
        self.data.leg_extent(leg)
    }

    fn map(&self, upper: Extent, sink: Sink<'_, Mapped>) -> Flow {
        self.data.map(upper, sink)
    }

    fn rmap(&self, leg: Leg, lower: Run, sink: Sink<'_, Link>) -> Flow {
        self.data.rmap(leg, lower, sink)
    }
}
