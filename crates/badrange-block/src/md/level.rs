use core::fmt;

/// How an array spreads its bytes over its members.
///
/// # Kernel
/// `level` and `layout` of `struct mddev`. A `linear` array is a table of linear targets
/// ([`dm::Table`](crate::dm::Table)) and no level here.
///
/// # Examples
/// ```
/// use badrange_block::md::{Level, ParityLayout};
/// let level = Level::Parity { disks: 1, layout: ParityLayout::LeftSymmetric };
/// assert_eq!(level.to_string(), "raid5 left-symmetric");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Level {
    /// Chunks in turn, no redundancy; members may differ in length.
    Raid0(Raid0Layout),
    /// Every member has all bytes.
    Raid1,
    /// Chunks in turn, with `disks` (1 or 2) chunks of parity in each stripe: RAID 4, 5 and 6.
    Parity {
        /// Chunks of parity in a stripe.
        disks: u8,
        /// Where in the stripe they are.
        layout: ParityLayout,
    },
    /// Chunks in turn, each several times.
    Raid10(Copies),
}

/// How RAID 0 goes on when its smaller members are full. With members of equal length there is no
/// difference.
///
/// # Kernel
/// `RAID0_ORIG_LAYOUT`, `RAID0_ALT_MULTIZONE_LAYOUT` of `drivers/md/raid0.c`.
///
/// # Examples
/// ```
/// use badrange_block::md::Raid0Layout;
/// assert_eq!(Raid0Layout::from_name("alternate"), Some(Raid0Layout::Alternate));
/// assert_eq!(Raid0Layout::from_name("-unknown-"), None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Raid0Layout {
    /// The member of a chunk follows from the chunk's number in the array.
    Original,
    /// The member of a chunk follows from the chunk's number in its zone.
    Alternate,
}

impl Raid0Layout {
    /// The layout that `mdadm` calls so.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "original" => Some(Self::Original),
            "alternate" => Some(Self::Alternate),
            _ => None,
        }
    }
}

/// Where in a stripe the parity is, and in which order the data follows.
///
/// # Kernel
/// `ALGORITHM_*` of `drivers/md/raid5.h`; the names are those of `mdadm`.
///
/// # Examples
/// ```
/// use badrange_block::md::ParityLayout;
/// let layout = ParityLayout::from_name("left-symmetric").unwrap();
/// assert_eq!(layout.as_str(), "left-symmetric");
/// assert!(ParityLayout::from_name("ddf-zero-restart").unwrap().is_for(2));
/// assert!(!ParityLayout::ZeroRestart.is_for(1));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ParityLayout {
    /// Parity moves down from the last member, data in the order of the members.
    LeftAsymmetric,
    /// Parity moves up from the first member, data in the order of the members.
    RightAsymmetric,
    /// Parity moves down, data begins behind it.
    LeftSymmetric,
    /// Parity moves up, data begins behind it.
    RightSymmetric,
    /// Parity always on the first member (two: on the first two).
    ParityFirst,
    /// Parity always on the last member (two: on the last two); RAID 4.
    ParityLast,
    /// RAID 6 as DDF has it: like right-asymmetric.
    ZeroRestart,
    /// RAID 6 as DDF has it: like left-asymmetric, one stripe on.
    NRestart,
    /// RAID 6 as DDF has it: Q before P, data behind P.
    NContinue,
    /// RAID 5 left-asymmetric, and Q on a last member of its own.
    LeftAsymmetric6,
    /// RAID 5 right-asymmetric, and Q on a last member of its own.
    RightAsymmetric6,
    /// RAID 5 left-symmetric, and Q on a last member of its own.
    LeftSymmetric6,
    /// RAID 5 right-symmetric, and Q on a last member of its own.
    RightSymmetric6,
    /// P on the first member and Q on the last.
    ParityFirst6,
}

impl ParityLayout {
    /// All there are.
    pub const ALL: [Self; 14] = [
        Self::LeftAsymmetric,
        Self::RightAsymmetric,
        Self::LeftSymmetric,
        Self::RightSymmetric,
        Self::ParityFirst,
        Self::ParityLast,
        Self::ZeroRestart,
        Self::NRestart,
        Self::NContinue,
        Self::LeftAsymmetric6,
        Self::RightAsymmetric6,
        Self::LeftSymmetric6,
        Self::RightSymmetric6,
        Self::ParityFirst6,
    ];

    /// The name that `mdadm` prints.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LeftAsymmetric => "left-asymmetric",
            Self::RightAsymmetric => "right-asymmetric",
            Self::LeftSymmetric => "left-symmetric",
            Self::RightSymmetric => "right-symmetric",
            Self::ParityFirst => "parity-first",
            Self::ParityLast => "parity-last",
            Self::ZeroRestart => "ddf-zero-restart",
            Self::NRestart => "ddf-N-restart",
            Self::NContinue => "ddf-N-continue",
            Self::LeftAsymmetric6 => "left-asymmetric-6",
            Self::RightAsymmetric6 => "right-asymmetric-6",
            Self::LeftSymmetric6 => "left-symmetric-6",
            Self::RightSymmetric6 => "right-symmetric-6",
            Self::ParityFirst6 => "parity-first-6",
        }
    }

    /// The layout that `mdadm` calls so.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|layout| layout.as_str() == name)
    }

    /// Whether it is defined for so many chunks of parity in a stripe.
    #[must_use]
    pub const fn is_for(self, disks: u8) -> bool {
        match self {
            Self::LeftAsymmetric
            | Self::RightAsymmetric
            | Self::LeftSymmetric
            | Self::RightSymmetric
            | Self::ParityFirst
            | Self::ParityLast => matches!(disks, 1 | 2),
            Self::ZeroRestart
            | Self::NRestart
            | Self::NContinue
            | Self::LeftAsymmetric6
            | Self::RightAsymmetric6
            | Self::LeftSymmetric6
            | Self::RightSymmetric6
            | Self::ParityFirst6 => disks == 2,
        }
    }
}

/// Where RAID 10 puts the copies of a chunk.
///
/// Near and far copies at once are a layout that no tool makes; it does not exist here.
///
/// # Kernel
/// `struct geom` of `drivers/md/raid10.h`.
///
/// # Examples
/// ```
/// use badrange_block::md::Copies;
/// assert_eq!(Copies::from_name("near=2"), Some(Copies::Near(2)));
/// assert_eq!(Copies::from_name("far=2"), Some(Copies::Far { copies: 2, sets: false }));
/// assert_eq!(Copies::from_name("near=2, far=2"), None);
/// assert_eq!(Copies::Near(2).number(), 2);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Copies {
    /// On the members that follow, at the same height; with this many copies.
    Near(u32),
    /// In later sections of the members, each section shifted by one member.
    Far {
        /// How many.
        copies: u32,
        /// Whether members are shifted within sets of as many members as there are copies, as
        /// device-mapper does, rather than over all members.
        sets: bool,
    },
    /// In the next rows, each shifted by one member.
    Offset {
        /// How many.
        copies: u32,
        /// As in [`Far`](Self::Far).
        sets: bool,
    },
}

impl Copies {
    /// Reads what `mdadm` prints: `near=2`, `far=2`, `offset=2`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let (kind, copies) = name.split_once('=')?;
        let copies = copies.parse().ok().filter(|n| *n > 0)?;
        match kind {
            "near" => Some(Self::Near(copies)),
            "far" => Some(Self::Far { copies, sets: false }),
            "offset" => Some(Self::Offset { copies, sets: false }),
            _ => None,
        }
    }

    /// How many copies there are of every chunk.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::Near(copies) | Self::Far { copies, .. } | Self::Offset { copies, .. } => copies,
        }
    }
}

/// `near=2`, as `mdadm` prints it.
impl fmt::Display for Copies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Near(copies) => write!(f, "near={copies}"),
            Self::Far { copies, .. } => write!(f, "far={copies}"),
            Self::Offset { copies, .. } => write!(f, "offset={copies}"),
        }
    }
}

/// `raid5 left-symmetric`, `raid10 near=2`, `raid1`.
impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Raid0(Raid0Layout::Original) => f.write_str("raid0 original"),
            Self::Raid0(Raid0Layout::Alternate) => f.write_str("raid0 alternate"),
            Self::Raid1 => f.write_str("raid1"),
            Self::Parity { disks: 1, layout } => write!(f, "raid5 {}", layout.as_str()),
            Self::Parity { layout, .. } => write!(f, "raid6 {}", layout.as_str()),
            Self::Raid10(copies) => write!(f, "raid10 {copies}"),
        }
    }
}
