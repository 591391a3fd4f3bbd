use core::fmt;

use badrange_core::{DevOffset, Extent, Flow, Leg, Link, Mapping, PhysAddr, Sink};

use super::{Interleave, InterleaveError, InterleaveErrorKind};

/// Bytes that one unit of a record's length stands for.
const UNIT: u64 = 64;

/// Where poison came from, as the device says.
///
/// # Examples
/// ```
/// use badrange_block::interleave::PoisonSource;
/// assert_eq!(PoisonSource::Injected.to_string(), "Injected");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum PoisonSource {
    /// Not known.
    Unknown,
    /// It arrived with a write.
    External,
    /// The device found it.
    Internal,
    /// Somebody put it there to test.
    Injected,
    /// A code that the vendor defines.
    Vendor,
    /// A code without a meaning.
    Reserved(u8),
}

impl PoisonSource {
    const fn from_code(code: u8) -> Self {
        match code {
            0 => Self::Unknown,
            1 => Self::External,
            2 => Self::Internal,
            3 => Self::Injected,
            7 => Self::Vendor,
            other => Self::Reserved(other),
        }
    }
}

/// The word that `cxl list --media-errors` prints.
impl fmt::Display for PoisonSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Unknown => "Unknown",
            Self::External => "External",
            Self::Internal => "Internal",
            Self::Injected => "Injected",
            Self::Vendor => "Vendor",
            Self::Reserved(_) => "Reserved",
        })
    }
}

/// One record of a device's poison list: some bytes of the device, in units of 64.
///
/// A record may be longer than a granule: then its bytes are several places of the region, and
/// [`split`](Self::split) says which. It may be shorter than a page of the host: which pages are
/// bad is for the host to say.
///
/// # Kernel
/// `struct cxl_poison_record`. The kernel's trace event translates the first byte alone.
///
/// # Examples
/// ```
/// use badrange_block::interleave::{PoisonRecord, PoisonSource};
/// // Two units at 0x1000, found by the device itself. The [module](super) translates one.
/// let record = PoisonRecord::decode(0x1000 | 2, 2)?;
/// assert_eq!(record.source(), PoisonSource::Internal);
/// assert_eq!((record.dpa().start().get(), record.dpa().len()), (0x1000, 128));
/// # Ok::<(), badrange_block::interleave::InterleaveError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PoisonRecord {
    dpa: Extent,
    source: PoisonSource,
}

impl PoisonRecord {
    /// The record with this address field (bits 63 to 6 are the address, bits 2 to 0 the source)
    /// and this length in units of 64 bytes.
    ///
    /// # Errors
    /// [`InterleaveErrorKind::Empty`] for no length, [`InterleaveErrorKind::Overflow`] when the
    /// bytes do not end within 64 bits.
    pub fn decode(address: u64, length_units: u32) -> Result<Self, InterleaveError> {
        if length_units == 0 {
            let hint = "at least one unit of 64 bytes";
            return Err(InterleaveError::new(InterleaveErrorKind::Empty, 0, hint));
        }
        // Three bits always fit.
        let source = PoisonSource::from_code(u8::try_from(address & 7).unwrap_or_default());
        let start = address & !UNIT.wrapping_sub(1);
        // NO-OVERFLOW: 32 bits of units are 38 bits of bytes.
        let len = u64::from(length_units).wrapping_mul(UNIT);
        let dpa = Extent::new(DevOffset::new(start), len).map_err(|_| {
            let hint = "a record that ends within 64 bits";
            InterleaveError::new(InterleaveErrorKind::Overflow, start, hint)
        })?;
        Ok(Self { dpa, source })
    }

    /// The bytes of the device.
    #[must_use]
    pub const fn dpa(&self) -> Extent {
        self.dpa
    }

    /// Where the poison came from.
    #[must_use]
    pub const fn source(&self) -> PoisonSource {
        self.source
    }

    /// The bytes of the region that are bad, granule by granule as elements of few links, when the
    /// device is this leg of it. Bytes of the device that the region does not use are not emitted.
    pub fn split(&self, region: &Interleave, leg: Leg, sink: Sink<'_, Link>) -> Flow {
        region.rmap(leg, self.dpa.into(), sink)
    }

    /// The one host address that the kernel's trace event shows: where the first byte is. `None`
    /// where the kernel shows `ULLONG_MAX`.
    #[must_use]
    pub fn traced(&self, region: &Interleave, leg: Leg) -> Option<PhysAddr> {
        region.dpa_to_hpa(leg, self.dpa.start())
    }
}
