use core::fmt;

/// Whose rules a model follows where kernels differ.
///
/// The three are the ones whose behaviour was recorded. For `block/badblocks.c` each stands for a
/// span of releases: up to 6.6, from 6.7 (the rewrite) to 6.14, and from 6.15 on.
///
/// # Examples
/// ```
/// use badrange_pmem::Kernel;
/// assert_eq!(Kernel::from_name("linux-6.12"), Some(Kernel::Linux6_12));
/// assert_eq!(Kernel::Linux7_2.to_string(), "linux-7.2");
/// assert_eq!(Kernel::from_name("linux-2.6"), None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Kernel {
    /// 6.1, long-term.
    Linux6_1,
    /// 6.12, long-term.
    Linux6_12,
    /// 7.2.
    Linux7_2,
}

impl Kernel {
    /// All of them, oldest first.
    pub const ALL: [Self; 3] = [Self::Linux6_1, Self::Linux6_12, Self::Linux7_2];

    /// The name: `linux-6.1`, `linux-6.12` or `linux-7.2`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Linux6_1 => "linux-6.1",
            Self::Linux6_12 => "linux-6.12",
            Self::Linux7_2 => "linux-7.2",
        }
    }

    /// The kernel of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kernel| kernel.as_str() == name)
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
