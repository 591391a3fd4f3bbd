use badrange_core::Sector;

use super::BadRecord;

/// Sectors of one record at most.
///
/// KERNEL: `BB_MAX_LEN`.
pub(super) const LONGEST: u64 = crate::MAX_RECORD_SECTORS;

const ACKNOWLEDGED: u64 = 1 << 63;
const LENGTH_BITS: u32 = 9;
const LENGTH: u64 = (1 << LENGTH_BITS) - 1;

/// A record as the kernel packs it: bit 63 acknowledged, bits 9 to 62 the start, bits 0 to 8 the
/// length less one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct Word(u64);

impl Word {
    /// Packs without looking, as the kernel does: of a length that has more bits, these spoil the
    /// others. Only 6.1 ever packs one.
    pub(super) const fn pack(start: u64, len: u64, acknowledged: bool) -> Self {
        let flag = if acknowledged { ACKNOWLEDGED } else { 0 };
        Self(start << LENGTH_BITS | len.wrapping_sub(1) | flag)
    }

    pub(super) const fn start(self) -> u64 {
        (self.0 & !ACKNOWLEDGED) >> LENGTH_BITS
    }

    pub(super) const fn len(self) -> u64 {
        // NO-OVERFLOW: nine bits.
        (self.0 & LENGTH).wrapping_add(1)
    }

    pub(super) const fn end(self) -> u64 {
        // NO-OVERFLOW: a start has 54 bits, a length 10.
        self.start().wrapping_add(self.len())
    }

    pub(super) const fn is_acknowledged(self) -> bool {
        self.0 & ACKNOWLEDGED != 0
    }

    pub(super) const fn record(self) -> BadRecord {
        BadRecord {
            start: Sector::new(self.start()),
            sectors: self.len(),
            acknowledged: self.is_acknowledged(),
        }
    }
}
