use core::fmt;

/// Whose rules a machine follows.
///
/// # Examples
/// ```
/// use badrange_sim::Profile;
/// assert_eq!(Profile::from_name("linux-6.12"), Some(Profile::Linux6_12));
/// assert_eq!(Profile::Linux7_2.to_string(), "linux-7.2");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Profile {
    /// Linux 6.1, quirks included.
    Linux6_1,
    /// Linux 6.12, quirks included.
    Linux6_12,
    /// Linux 7.2, quirks included.
    Linux7_2,
}

impl Profile {
    /// All of them, oldest kernel first.
    pub const ALL: [Self; 3] = [Self::Linux6_1, Self::Linux6_12, Self::Linux7_2];

    /// The name in scenarios.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Linux6_1 => "linux-6.1",
            Self::Linux6_12 => "linux-6.12",
            Self::Linux7_2 => "linux-7.2",
        }
    }

    /// The profile of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| profile.as_str() == name)
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
