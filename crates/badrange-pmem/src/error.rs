use core::fmt;

use badrange_core::{Extent, PageSize, PhysAddr};

use crate::Align;

/// Why a namespace was refused.
///
/// # Examples
/// ```
/// use badrange_core::{Extent, PhysAddr};
/// use badrange_pmem::{Mode, Namespace, NamespaceErrorKind};
/// let whole = Extent::new(PhysAddr::new(0x200), 1 << 20)?;
/// let err = Namespace::new(whole, 0, Mode::Raw).unwrap_err();
/// assert_eq!(err.kind(), NamespaceErrorKind::UnalignedStart);
/// # Ok::<(), badrange_core::RangeError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NamespaceErrorKind {
    /// The first byte is not at the start of a page.
    UnalignedStart,
    /// The data does not begin at the start of a page.
    UnalignedData,
    /// The data does not begin at a multiple of the fault granularity.
    Misaligned(Align),
    /// The fault granularity is smaller than a page.
    AlignBelowPage(Align),
    /// Less than one sector is left for data.
    NoData,
    /// A raw namespace has no metadata, so its data begins at its first byte.
    RawOffset,
}

/// A namespace geometry that cannot exist, with the numbers that were given.
///
/// # Examples
/// ```
/// use badrange_core::{Extent, PhysAddr};
/// use badrange_pmem::{Mode, Namespace, NamespaceErrorKind};
/// let whole = Extent::new(PhysAddr::new(0x1_0000_0000), 0x20_0000)?;
/// let err = Namespace::new(whole, 0x20_0000, Mode::Fsdax).unwrap_err();
/// assert_eq!(err.kind(), NamespaceErrorKind::NoData);
/// assert_eq!(
///     err.to_string(),
///     "invalid namespace at physical bytes [0x100000000..0x100200000) with data offset 0x200000: \
///      data offset leaves no sector for data",
/// );
/// # Ok::<(), badrange_core::RangeError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("invalid namespace at {whole} with data offset {data_offset_bytes:#x}: {}", Reason(*self))]
pub struct NamespaceError {
    kind: NamespaceErrorKind,
    whole: Extent<PhysAddr>,
    data_offset_bytes: u64,
    page: PageSize,
}

impl NamespaceError {
    #[cold]
    pub(crate) const fn new(
        kind: NamespaceErrorKind,
        whole: Extent<PhysAddr>,
        data_offset_bytes: u64,
        page: PageSize,
    ) -> Self {
        Self { kind, whole, data_offset_bytes, page }
    }

    /// What was wrong; the part of the error to match on.
    #[must_use]
    pub const fn kind(&self) -> NamespaceErrorKind {
        self.kind
    }
}

struct Reason(NamespaceError);

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let page = self.0.page;
        match self.0.kind {
            NamespaceErrorKind::UnalignedStart => {
                write!(f, "must begin at a multiple of {} bytes", page.bytes())
            }
            NamespaceErrorKind::UnalignedData => {
                write!(f, "data offset must be a multiple of {} bytes", page.bytes())
            }
            NamespaceErrorKind::Misaligned(align) => {
                write!(f, "data must begin at a physical address that is a multiple of {align}")
            }
            NamespaceErrorKind::AlignBelowPage(align) => {
                write!(f, "a fault granularity of {align} is smaller than a page of {page}")
            }
            NamespaceErrorKind::NoData => f.write_str("data offset leaves no sector for data"),
            NamespaceErrorKind::RawOffset => {
                f.write_str("a raw namespace has no metadata; its data offset must be 0")
            }
        }
    }
}
