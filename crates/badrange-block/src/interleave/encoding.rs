use core::{
    fmt,
    num::{NonZeroU32, NonZeroU64},
};

use super::{InterleaveError, InterleaveErrorKind};

/// Count and encoded form of every number of ways there is.
const WAYS: [(u32, u8); 8] = [(1, 0), (2, 1), (4, 2), (8, 3), (16, 4), (3, 8), (6, 9), (12, 10)];

/// How many devices a region or a window goes over: 1, 2, 3, 4, 6, 8, 12 or 16.
///
/// # Kernel
/// `eiw_to_ways()`: encoded 0 to 4 are the powers of two, 8 to 10 three times a power of two.
///
/// # Examples
/// ```
/// use badrange_block::interleave::Ways;
/// assert_eq!(Ways::from_encoded(9)?.count(), 6);
/// assert_eq!(Ways::new(12)?.encoded(), 10);
/// assert!(Ways::new(5).is_err());
/// # Ok::<(), badrange_block::interleave::InterleaveError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ways {
    count: NonZeroU32,
    encoded: u8,
}

impl Ways {
    /// So many ways.
    ///
    /// # Errors
    /// [`InterleaveErrorKind::Ways`] for a number that a decoder cannot express.
    pub fn new(count: u32) -> Result<Self, InterleaveError> {
        Self::find(count.into(), |(known, _)| known == count)
    }

    /// The ways that a decoder register means.
    ///
    /// # Errors
    /// [`InterleaveErrorKind::Ways`] for a reserved encoding.
    pub fn from_encoded(eiw: u8) -> Result<Self, InterleaveError> {
        Self::find(eiw.into(), |(_, known)| known == eiw)
    }

    fn find(given: u64, is: impl Fn((u32, u8)) -> bool) -> Result<Self, InterleaveError> {
        let known = WAYS.into_iter().find(|known| is(*known));
        let known = known.and_then(|(count, encoded)| Some((NonZeroU32::new(count)?, encoded)));
        known.map(|(count, encoded)| Self { count, encoded }).ok_or_else(|| {
            let hint = "1, 2, 3, 4, 6, 8, 12 or 16 ways (encoded 0 to 4 and 8 to 10)";
            InterleaveError::new(InterleaveErrorKind::Ways, given, hint)
        })
    }

    /// How many.
    #[must_use]
    pub const fn count(self) -> u32 {
        self.count.get()
    }

    pub(super) const fn nonzero(self) -> NonZeroU32 {
        self.count
    }

    /// The encoding in a decoder register.
    #[must_use]
    pub const fn encoded(self) -> u8 {
        self.encoded
    }

    /// The largest power of two that divides the number of ways.
    pub(super) const fn power_of_two(self) -> u64 {
        1 << self.count.trailing_zeros()
    }

    /// How many XOR maps a window over so many host bridges uses: one per bit of the position that
    /// is chosen by bits.
    ///
    /// # Kernel
    /// `cxl_parse_cxims()`: the logarithm of the ways, or of a third of them; none for 1 and 3.
    #[must_use]
    pub const fn xor_maps(self) -> u32 {
        self.count.trailing_zeros()
    }
}

impl fmt::Display for Ways {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.count)
    }
}

/// Bytes that lie together on one device: a power of two from 256 bytes to 16 KiB.
///
/// # Kernel
/// `eig_to_granularity()`: `256 << eig`, encoded 0 to 6.
///
/// # Examples
/// ```
/// use badrange_block::interleave::Granularity;
/// assert_eq!(Granularity::from_encoded(6)?.bytes(), 16384);
/// assert_eq!(Granularity::new(256)?.encoded(), 0);
/// assert!(Granularity::new(32768).is_err());
/// # Ok::<(), badrange_block::interleave::InterleaveError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Granularity {
    bytes: NonZeroU64,
}

impl Granularity {
    const MIN: u64 = 256;
    const MAX_ENCODED: u8 = 6;

    /// Granules of so many bytes.
    ///
    /// # Errors
    /// [`InterleaveErrorKind::Granularity`] when it is not one of the seven there are.
    pub fn new(bytes: u64) -> Result<Self, InterleaveError> {
        let refuse = || {
            let hint = "a power of two from 256 to 16384 bytes (encoded 0 to 6)";
            InterleaveError::new(InterleaveErrorKind::Granularity, bytes, hint)
        };
        let max = Self::MIN << Self::MAX_ENCODED;
        let known = (Self::MIN..=max).contains(&bytes) && bytes.is_power_of_two();
        NonZeroU64::new(bytes).filter(|_| known).map(|bytes| Self { bytes }).ok_or_else(refuse)
    }

    /// The granules that a decoder register means.
    ///
    /// # Errors
    /// [`InterleaveErrorKind::Granularity`] for a reserved encoding.
    pub fn from_encoded(eig: u8) -> Result<Self, InterleaveError> {
        if eig > Self::MAX_ENCODED {
            let hint = "encoded granularities are 0 to 6";
            let kind = InterleaveErrorKind::Granularity;
            return Err(InterleaveError::new(kind, eig.into(), hint));
        }
        Self::new(Self::MIN << eig)
    }

    /// Bytes of a granule.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.bytes.get()
    }

    pub(super) const fn nonzero(self) -> NonZeroU64 {
        self.bytes
    }

    /// The encoding in a decoder register.
    #[must_use]
    pub fn encoded(self) -> u8 {
        let shift = self.bytes.trailing_zeros().saturating_sub(Self::MIN.trailing_zeros());
        u8::try_from(shift).unwrap_or(Self::MAX_ENCODED) // not more than that
    }
}

impl fmt::Display for Granularity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.bytes)
    }
}
