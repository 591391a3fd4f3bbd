use core::fmt;

use badrange_core::Extent;

/// Why a read or write of a [`RangedPmem`](crate::RangedPmem) was refused or came to an end.
///
/// # Examples
/// ```
/// use badrange_core::{DevOffset, Extent};
/// use badrange_pmem::{AccessErrorKind, ModelMemory, RangedPmem, Repair};
/// let pmem = RangedPmem::new(ModelMemory::new(4096, 64), Repair::WriteAndClear);
/// let range = Extent::new(DevOffset::new(4000), 100)?;
/// let err = pmem.read(range, &mut [0; 100]).unwrap_err();
/// assert_eq!(err.kind(), AccessErrorKind::Outside);
/// # Ok::<(), badrange_core::RangeError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AccessErrorKind {
    /// Some of it is not on the device.
    Outside,
    /// The buffer is not as long as the range.
    Buffer,
    /// There are holes in it, and it does not cover the units around them. Nothing was done.
    Unaligned,
    /// The hardware cleared less than it was asked to. What comes before was written.
    NotCleared,
}

/// A read or write that was refused or came to an end, with the bytes it is about.
///
/// # Examples
/// ```
/// use badrange_core::{DevOffset, Extent};
/// use badrange_pmem::{ModelMemory, RangedPmem, Repair};
/// let at = |start, len| Extent::new(DevOffset::new(start), len).unwrap();
/// let memory = ModelMemory::new(4096, 64);
/// memory.poison(at(0, 4096));
/// let pmem = RangedPmem::new(&memory, Repair::WriteAndClear);
/// pmem.report(at(0, 4096));
/// let err = pmem.write(DevOffset::new(10), &[7; 118]).unwrap_err();
/// assert_eq!(
///     err.to_string(),
///     "cannot write device bytes [0xa..0x80): there are holes in units that it covers only in part",
/// );
/// // The hardware gives up after 64 bytes.
/// memory.fail_after(64);
/// let err = pmem.write(DevOffset::new(0), &[7; 128]).unwrap_err();
/// assert_eq!(err.done_bytes(), 64);
/// assert_eq!(pmem.holes(), [at(64, 4032)]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("cannot {} {range}: {}", self.verb(), Reason(*self))]
pub struct AccessError {
    kind: AccessErrorKind,
    range: Extent,
    done_bytes: u64,
}

impl AccessError {
    #[cold]
    pub(super) const fn new(kind: AccessErrorKind, range: Extent) -> Self {
        Self { kind, range, done_bytes: 0 }
    }

    #[cold]
    pub(super) const fn not_cleared(range: Extent, done_bytes: u64) -> Self {
        Self { kind: AccessErrorKind::NotCleared, range, done_bytes }
    }

    /// What was wrong; the part of the error to match on.
    #[must_use]
    pub const fn kind(&self) -> AccessErrorKind {
        self.kind
    }

    /// The range that was asked for.
    #[must_use]
    pub const fn range(&self) -> Extent {
        self.range
    }

    /// How many bytes from the start of the range on hold what was written.
    #[must_use]
    pub const fn done_bytes(&self) -> u64 {
        self.done_bytes
    }

    const fn verb(&self) -> &'static str {
        match self.kind {
            AccessErrorKind::Outside | AccessErrorKind::Buffer => "access",
            AccessErrorKind::Unaligned | AccessErrorKind::NotCleared => "write",
        }
    }
}

struct Reason(AccessError);

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.kind {
            AccessErrorKind::Outside => f.write_str("it is not on the device"),
            AccessErrorKind::Buffer => f.write_str("the buffer has another length"),
            AccessErrorKind::Unaligned => {
                f.write_str("there are holes in units that it covers only in part")
            }
            AccessErrorKind::NotCleared => {
                write!(f, "poison was not cleared after {} bytes", self.0.done_bytes)
            }
        }
    }
}
