use core::fmt;

use crate::{FromTextError, Join, parse};

/// A kernel error number, positive.
///
/// # Examples
/// ```
/// use badrange_core::Errno;
/// assert_eq!(Errno::EUCLEAN.get(), 117);
/// assert_eq!(Errno::EUCLEAN.to_string(), "EUCLEAN");
/// assert_eq!(Errno::new(200).to_string(), "errno 200");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Errno(u16);

const NAMES: [(Errno, &str); 12] = [
    (Errno::EIO, "EIO"),
    (Errno::ENXIO, "ENXIO"),
    (Errno::EFAULT, "EFAULT"),
    (Errno::EBUSY, "EBUSY"),
    (Errno::ENODEV, "ENODEV"),
    (Errno::EINVAL, "EINVAL"),
    (Errno::ENOTTY, "ENOTTY"),
    (Errno::ENOSPC, "ENOSPC"),
    (Errno::ERANGE, "ERANGE"),
    (Errno::EOPNOTSUPP, "EOPNOTSUPP"),
    (Errno::EUCLEAN, "EUCLEAN"),
    (Errno::EHWPOISON, "EHWPOISON"),
];

impl Errno {
    /// Input/output error.
    pub const EIO: Self = Self(5);
    /// No such device or address: outside, or dead.
    pub const ENXIO: Self = Self(6);
    /// Bad address.
    pub const EFAULT: Self = Self(14);
    /// Busy: the page could not be locked for handling.
    pub const EBUSY: Self = Self(16);
    /// No such device.
    pub const ENODEV: Self = Self(19);
    /// Invalid argument.
    pub const EINVAL: Self = Self(22);
    /// No such command on this bus.
    pub const ENOTTY: Self = Self(25);
    /// No space: a table is full.
    pub const ENOSPC: Self = Self(28);
    /// Result out of range.
    pub const ERANGE: Self = Self(34);
    /// Not supported: please fall back.
    pub const EOPNOTSUPP: Self = Self(95);
    /// Structure needs cleaning: metadata was hit (`EFSCORRUPTED` in XFS).
    pub const EUCLEAN: Self = Self(117);
    /// The memory page has a hardware error.
    pub const EHWPOISON: Self = Self(133);

    /// The error with this number.
    #[must_use]
    pub const fn new(number: u16) -> Self {
        Self(number)
    }

    /// The number, positive.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(e, _)| e == self) {
            Some((_, name)) => f.write_str(name),
            None => write!(f, "errno {}", self.0),
        }
    }
}

/// A name or `errno` and the number, as [`Display`](fmt::Display) writes them, or the number alone;
/// always positive.
///
/// # Examples
/// ```
/// use badrange_core::Errno;
/// assert_eq!("EUCLEAN".parse(), Ok(Errno::EUCLEAN));
/// assert_eq!("117".parse(), Ok(Errno::EUCLEAN));
/// assert_eq!("errno 200".parse(), Ok(Errno::new(200)));
/// assert!("-117".parse::<Errno>().is_err());
/// ```
impl core::str::FromStr for Errno {
    type Err = FromTextError;

    fn from_str(text: &str) -> Result<Self, FromTextError> {
        let named = NAMES.iter().find(|(_, name)| *name == text).map(|(errno, _)| *errno);
        let digits = text.strip_prefix("errno ").unwrap_or(text);
        let numbered = || u16::try_from(parse::number(digits)?).ok().map(Self);
        named.or_else(numbered).ok_or_else(|| FromTextError::expecting("kernel error number", text))
    }
}

/// What a holder answers for a range.
///
/// Answers of several holders for the same byte of a report [join](Join): any
/// [`NotSupported`](Self::NotSupported) sends the byte to the fallback; else any
/// [`Failed`](Self::Failed) is final (of several, the lowest error number); else
/// [`Handled`](Self::Handled). [`Nothing`](Self::Nothing) is neutral, and a byte for which nobody
/// answered anything else falls back as well.
///
/// # Kernel
/// The return value of `->notify_failure()`: 0 is `Handled`, `-EOPNOTSUPP` is `NotSupported`, any
/// other error is `Failed`. The kernel has one answer per call; here it is one per byte.
///
/// # Examples
/// ```
/// use badrange_core::{Errno, Join, Outcome};
/// let failed = Outcome::Failed(Errno::EUCLEAN);
/// assert_eq!(Outcome::Handled.join(failed), failed);
/// assert_eq!(failed.join(Outcome::NotSupported), Outcome::NotSupported);
/// assert_eq!(Outcome::Nothing.join(Outcome::Handled), Outcome::Handled);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[must_use = "what a holder did not handle has to fall back"]
pub enum Outcome {
    /// Nothing of this holder is there: counts as if it had not been asked.
    Nothing,
    /// Everyone affected was told.
    Handled,
    /// Final: no fallback. The error says what went wrong.
    Failed(Errno),
    /// This holder cannot tell who is affected; run the per-pfn fallback.
    NotSupported,
}

impl Outcome {
    /// Whether bytes with this as their final state belong to the remainder, which nobody handled:
    /// nobody answered, or somebody asked for the fallback.
    ///
    /// # Examples
    /// ```
    /// use badrange_core::Outcome;
    /// assert!(Outcome::Nothing.falls_back() && Outcome::NotSupported.falls_back());
    /// assert!(!Outcome::Handled.falls_back());
    /// ```
    #[must_use]
    pub const fn falls_back(self) -> bool {
        matches!(self, Self::Nothing | Self::NotSupported)
    }

    fn rank(self) -> (u8, core::cmp::Reverse<u16>) {
        let rank = match self {
            Self::Nothing => 0,
            Self::Handled => 1,
            Self::Failed(_) => 2,
            Self::NotSupported => 3,
        };
        let errno = match self {
            Self::Failed(errno) => errno.get(),
            Self::Nothing | Self::Handled | Self::NotSupported => 0,
        };
        (rank, core::cmp::Reverse(errno))
    }
}

impl Join for Outcome {
    fn join(self, other: Self) -> Self {
        if self.rank() >= other.rank() { self } else { other }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing there"),
            Self::Handled => f.write_str("handled"),
            Self::Failed(errno) => write!(f, "failed ({errno})"),
            Self::NotSupported => f.write_str("not supported"),
        }
    }
}
