use core::fmt;

/// Whose rules a machine follows: those of a real kernel, or those of a design.
///
/// # Examples
/// ```
/// use badrange_sim::Profile;
/// assert_eq!(Profile::from_name("linux-6.12"), Some(Profile::Linux6_12));
/// assert_eq!(Profile::Linux7_2.to_string(), "linux-7.2");
/// assert_eq!(Profile::from_name("per-pfn"), Some(Profile::PerPfn));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Profile {
    /// Linux 6.1, quirks included.
    Linux6_1,
    /// Linux 6.12, quirks included: an exclusive holder per DAX device.
    Linux6_12,
    /// Linux 7.2, quirks included.
    Linux7_2,
    /// `memory_failure()` of every page, and nothing else.
    PerPfn,
    /// `->corrupted_range()` of block devices and superblocks: first sector, first match.
    CorruptedRange,
    /// `memory_failure_register()`: the DAX device's own range handed upward.
    MemoryFailureRegister,
    /// Owners of memory ranges and a notifier chain in blocks, with the per-pfn way for the rest.
    RangeOwners,
    /// The same chain, fired when `memory_failure()` of every page has run.
    LateNotifiers,
    /// This project's own design: ranges through every layer, several holders, exact remainder.
    Ranged,
}

impl Profile {
    /// Those that a scenario can ask for: the kernels, oldest first, and this project's design.
    pub const ALL: [Self; 4] = [Self::Linux6_1, Self::Linux6_12, Self::Linux7_2, Self::Ranged];

    /// The kernels, oldest first.
    pub const KERNELS: [Self; 3] = [Self::Linux6_1, Self::Linux6_12, Self::Linux7_2];

    /// The designs that were argued, in the order in which they were, with the kernels that have
    /// the one that was merged, and this project's own.
    pub const DESIGNS: [Self; 8] = [
        Self::PerPfn,
        Self::CorruptedRange,
        Self::MemoryFailureRegister,
        Self::RangeOwners,
        Self::LateNotifiers,
        Self::Linux6_12,
        Self::Linux7_2,
        Self::Ranged,
    ];

    /// The name in scenarios and on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Linux6_1 => "linux-6.1",
            Self::Linux6_12 => "linux-6.12",
            Self::Linux7_2 => "linux-7.2",
            Self::PerPfn => "per-pfn",
            Self::CorruptedRange => "corrupted-range",
            Self::MemoryFailureRegister => "mf-register",
            Self::RangeOwners => "range-owners",
            Self::LateNotifiers => "late-notifiers",
            Self::Ranged => "ranged",
        }
    }

    /// The design in one line.
    #[must_use]
    pub const fn summary(self) -> &'static str {
        match self {
            Self::Linux6_1 => "exclusive holder per DAX device, as merged; Linux 6.1",
            Self::Linux6_12 => "exclusive holder per DAX device, as merged; Linux 6.12",
            Self::Linux7_2 => "exclusive holder per DAX device, as merged; Linux 7.2",
            Self::PerPfn => "memory_failure() of every page, nothing else",
            Self::CorruptedRange => "->corrupted_range() of block devices and superblocks",
            Self::MemoryFailureRegister => {
                "memory_failure_register(): {dax device, pfn, len} upward"
            }
            Self::RangeOwners => "range owners and a notifier chain, per-pfn where nobody listens",
            Self::LateNotifiers => "the same chain, told after memory_failure() of every page",
            Self::Ranged => "ranges through every layer, several holders, exact remainder",
        }
    }

    /// The profile of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let all = Self::KERNELS.into_iter().chain(Self::DESIGNS);
        all.into_iter().find(|profile| profile.as_str() == name)
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
