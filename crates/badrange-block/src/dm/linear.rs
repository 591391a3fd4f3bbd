use core::fmt;

use badrange_core::{Extent, Link, Sector};

use super::{TableError, target::Area};

/// Which of the target types that place bytes like `linear`.
///
/// # Examples
/// ```
/// use badrange_block::dm::LinearKind;
/// assert_eq!(LinearKind::Crypt.to_string(), "crypt");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum LinearKind {
    /// `dm-linear`.
    Linear,
    /// `dm-crypt`: the bytes are encrypted, their places are not.
    Crypt,
    /// `dm-flakey`: fails from time to time.
    Flakey,
    /// `dm-dust`: fails at listed blocks.
    Dust,
    /// `dm-delay`, when reads, writes and flushes go to the same place.
    Delay,
    /// `dm-snapshot-origin`: a device that has snapshots, all of it.
    SnapshotOrigin,
}

impl LinearKind {
    /// The target type as a table names it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::Crypt => "crypt",
            Self::Flakey => "flakey",
            Self::Dust => "dust",
            Self::Delay => "delay",
            Self::SnapshotOrigin => "snapshot-origin",
        }
    }
}

impl fmt::Display for LinearKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A target that is one area of one device, byte by byte in order.
///
/// # Kernel
/// `linear_map()` of `dm-linear.c`: `leg = offset + (sector - target begin)`; the same formula in
/// the other [kinds](LinearKind).
///
/// # Examples
/// ```
/// use badrange_block::dm::{Linear, LinearKind};
/// use badrange_core::{DevOffset, Extent, Sector};
/// let linear = Linear::new("/dev/sda2", Extent::new(Sector::new(2048), 800)?)?;
/// assert_eq!((linear.kind(), linear.device()), (LinearKind::Linear, "/dev/sda2"));
/// assert_eq!(linear.on(), Extent::new(DevOffset::new(2048 * 512), 800 * 512)?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Linear {
    area: Area,
    kind: LinearKind,
    /// Arguments that do not place bytes: before the device, after the offset.
    words: Option<Box<(Box<str>, Box<str>)>>,
}

impl Linear {
    /// The `linear` target that is this part of a device, which is named as a table would: by path
    /// or `major:minor`.
    ///
    /// # Errors
    /// [`DeviceName`](super::TableErrorKind::DeviceName) when the name is not one word,
    /// [`Overflow`](super::TableErrorKind::Overflow) when the sectors in bytes do not fit in 64
    /// bits.
    pub fn new(device: &str, on: Extent<Sector>) -> Result<Self, TableError> {
        let area = Area::new(device, on).map_err(|e| e.of(LinearKind::Linear.as_str()))?;
        Ok(Self { area, kind: LinearKind::Linear, words: None })
    }

    /// The same places under another name, with the words that stand before the device and after
    /// the offset.
    pub(crate) fn with_words(
        area: Area,
        kind: LinearKind,
        before: &[&str],
        after: &[&str],
    ) -> Self {
        let words = || Box::new((before.join(" ").into(), after.join(" ").into()));
        let plain = before.is_empty() && after.is_empty();
        Self { area, kind, words: (!plain).then(words) }
    }

    /// Which target type it is.
    #[must_use]
    pub const fn kind(&self) -> LinearKind {
        self.kind
    }

    /// The device as the table names it.
    #[must_use]
    pub fn device(&self) -> &str {
        self.area.device()
    }

    /// The bytes of the device.
    #[must_use]
    pub fn on(&self) -> Extent {
        self.area.on()
    }

    pub(crate) fn area(&self) -> &Area {
        &self.area
    }

    /// Below and above, when the target lies at `at`.
    pub(crate) fn link(&self, at: Extent) -> Option<Link> {
        Link::try_from((self.on(), at)).ok()
    }
}

/// Type and arguments, as `dmsetup table` prints them.
impl fmt::Display for Linear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (before, after) = self.words.as_deref().map_or(("", ""), |(b, a)| (b, a));
        f.write_str(self.kind.as_str())?;
        if !before.is_empty() {
            write!(f, " {before}")?;
        }
        if self.kind == LinearKind::SnapshotOrigin {
            return write!(f, " {}", self.area.device()); // it has no offset
        }
        write!(f, " {}", self.area)?;
        if !after.is_empty() {
            write!(f, " {after}")?;
        }
        Ok(())
    }
}
