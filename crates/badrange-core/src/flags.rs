use core::fmt;

use crate::FromTextError;

/// Circumstances of a memory failure, as the kernel's `MF_*` flags: a set.
///
/// # Kernel
/// `enum mf_flags` in `include/linux/mm.h`; the bit numbers are the kernel's.
///
/// # Examples
/// ```
/// use badrange_core::MfFlags;
/// let flags = MfFlags::ACTION_REQUIRED.with(MfFlags::MUST_KILL);
/// assert!(flags.contains(MfFlags::MUST_KILL));
/// assert_eq!(flags.to_string(), "action_required must_kill");
/// assert_eq!("mem_pre_remove".parse(), Ok(MfFlags::MEM_PRE_REMOVE));
/// assert_eq!(flags.bits(), 0b110);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct MfFlags(u8);

const NAMES: [(MfFlags, &str); 8] = [
    (MfFlags::COUNT_INCREASED, "count_increased"),
    (MfFlags::ACTION_REQUIRED, "action_required"),
    (MfFlags::MUST_KILL, "must_kill"),
    (MfFlags::SOFT_OFFLINE, "soft_offline"),
    (MfFlags::UNPOISON, "unpoison"),
    (MfFlags::SW_SIMULATED, "sw_simulated"),
    (MfFlags::NO_RETRY, "no_retry"),
    (MfFlags::MEM_PRE_REMOVE, "mem_pre_remove"),
];

impl MfFlags {
    /// No flag.
    pub const NONE: Self = Self(0);
    /// The caller already holds a reference to the page.
    pub const COUNT_INCREASED: Self = Self(1);
    /// The error was consumed: the current task cannot go on without it.
    pub const ACTION_REQUIRED: Self = Self(1 << 1);
    /// Kill even if the page could be recovered.
    pub const MUST_KILL: Self = Self(1 << 2);
    /// Take the page out of use while it still works.
    pub const SOFT_OFFLINE: Self = Self(1 << 3);
    /// Undo a simulated failure.
    pub const UNPOISON: Self = Self(1 << 4);
    /// Injected by software.
    pub const SW_SIMULATED: Self = Self(1 << 5);
    /// Do not try again.
    pub const NO_RETRY: Self = Self(1 << 6);
    /// The device is going away: tell everybody, poison nothing.
    pub const MEM_PRE_REMOVE: Self = Self(1 << 7);

    /// Both sets together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all flags of `other` are set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The kernel's bit mask.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// The flags of a bit mask of the kernel: every bit is one.
    ///
    /// # Examples
    /// ```
    /// use badrange_core::MfFlags;
    /// assert_eq!(MfFlags::from_bits(0b100), MfFlags::MUST_KILL);
    /// ```
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits)
    }

    /// The flag of this name.
    pub(crate) fn from_name(name: &str) -> Result<Self, FromTextError> {
        let flag = NAMES.iter().find(|(_, n)| *n == name).map(|(flag, _)| *flag);
        flag.ok_or_else(|| FromTextError::expecting("memory failure flag", name))
    }

    /// The names of the flags set, in bit order.
    ///
    /// # Examples
    /// ```
    /// use badrange_core::MfFlags;
    /// let flags = MfFlags::MUST_KILL.with(MfFlags::NO_RETRY);
    /// assert_eq!(flags.names().collect::<Vec<_>>(), ["must_kill", "no_retry"]);
    /// ```
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        NAMES.iter().filter(move |(flag, _)| self.contains(*flag)).map(|(_, name)| *name)
    }
}

/// The names, separated by blanks; nothing for the empty set.
impl fmt::Display for MfFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, name) in self.names().enumerate() {
            if i > 0 {
                f.write_str(" ")?;
            }
            f.write_str(name)?;
        }
        Ok(())
    }
}

/// The names that [`Display`](fmt::Display) writes, separated by blanks, commas or `|`.
///
/// # Examples
/// ```
/// use badrange_core::MfFlags;
/// let flags: MfFlags = "action_required must_kill".parse()?;
/// assert_eq!(flags, MfFlags::ACTION_REQUIRED.with(MfFlags::MUST_KILL));
/// # Ok::<(), badrange_core::FromTextError>(())
/// ```
impl core::str::FromStr for MfFlags {
    type Err = FromTextError;

    fn from_str(text: &str) -> Result<Self, FromTextError> {
        let mut words = text.split([' ', ',', '|']).filter(|word| !word.is_empty());
        words.try_fold(Self::NONE, |all, word| Ok(all.with(Self::from_name(word)?)))
    }
}
