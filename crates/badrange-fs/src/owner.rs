use core::fmt;

use badrange_core::{DevOffset, Extent, FileOffset};

/// Which part of a file an extent belongs to.
///
/// # Kernel
/// XFS keeps a data fork and an attribute fork per inode; the blocks of a fork's own extent map
/// carry `XFS_RMAP_BMBT_BLOCK`.
///
/// # Examples
/// ```
/// use badrange_fs::Fork;
/// assert_eq!(Fork::ExtentMap.to_string(), "extent-map");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fork {
    /// File contents.
    Data,
    /// Extended attributes.
    Attr,
    /// Blocks of the extent map itself; they have no file offset.
    ExtentMap,
}

impl Fork {
    /// The name used in reports: `data`, `attr`, `extent-map`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Attr => "attr",
            Self::ExtentMap => "extent-map",
        }
    }
}

impl fmt::Display for Fork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a filesystem uses blocks for that belong to no file.
///
/// Codes are the `MAJOR:MINOR` pairs of `xfs_io -c 'fsmap -m'`; words are those of the plain form.
///
/// # Examples
/// ```
/// use badrange_fs::Special;
/// assert_eq!(Special::from_code(88, 3), Special::PerAg);
/// assert_eq!(Special::from_words("per-AG metadata"), Some(Special::PerAg));
/// assert_eq!(Special::from_code(102, 1).to_string(), "special 102:1");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Special {
    /// `0:1`: nobody's.
    Free,
    /// `0:2`: in use, but the map does not say by what.
    Unknown,
    /// `88:1`: superblock and other static metadata.
    StaticFs,
    /// `88:2`: the journal.
    Journal,
    /// `88:3`: headers and free-space trees of an allocation group.
    PerAg,
    /// `88:4`: inode btree.
    InodeBtree,
    /// `88:5`: inode chunks or tables.
    Inodes,
    /// `88:6`: refcount btree.
    RefcountBtree,
    /// `88:7`: blocks reserved for copy-on-write.
    CowReservation,
    /// `88:8`: blocks the filesystem itself marked defective.
    Defective,
    /// Any other code, such as ext4's `102:3` (block bitmap). Metadata without a name here.
    Other {
        /// First number of the code.
        major: u32,
        /// Second number of the code.
        minor: u32,
    },
}

/// All that have a name of their own, by code.
const NAMED: [Special; 10] = [
    Special::Free,
    Special::Unknown,
    Special::StaticFs,
    Special::Journal,
    Special::PerAg,
    Special::InodeBtree,
    Special::Inodes,
    Special::RefcountBtree,
    Special::CowReservation,
    Special::Defective,
];

impl Special {
    /// The use with this code.
    #[must_use]
    pub fn from_code(major: u32, minor: u32) -> Self {
        let named = NAMED.into_iter().find(|special| special.code() == (major, minor));
        named.unwrap_or(Self::Other { major, minor })
    }

    /// The use that the plain fsmap form writes in these words, `special 102:3` included.
    #[must_use]
    pub fn from_words(words: &str) -> Option<Self> {
        if let Some(named) = NAMED.into_iter().find(|special| special.words() == Some(words)) {
            return Some(named);
        }
        let (major, minor) = words.strip_prefix("special ")?.split_once(':')?;
        Some(Self::from_code(major.parse().ok()?, minor.parse().ok()?))
    }

    /// The `(major, minor)` code.
    #[must_use]
    pub const fn code(self) -> (u32, u32) {
        match self {
            Self::Free => (0, 1),
            Self::Unknown => (0, 2),
            Self::StaticFs => (88, 1),
            Self::Journal => (88, 2),
            Self::PerAg => (88, 3),
            Self::InodeBtree => (88, 4),
            Self::Inodes => (88, 5),
            Self::RefcountBtree => (88, 6),
            Self::CowReservation => (88, 7),
            Self::Defective => (88, 8),
            Self::Other { major, minor } => (major, minor),
        }
    }

    /// The name; `None` for a use that has only a code.
    const fn words(self) -> Option<&'static str> {
        Some(match self {
            Self::Free => "free space",
            Self::Unknown => "unknown",
            Self::StaticFs => "static fs metadata",
            Self::Journal => "journalling log",
            Self::PerAg => "per-AG metadata",
            Self::InodeBtree => "inode btree",
            Self::Inodes => "inodes",
            Self::RefcountBtree => "refcount btree",
            Self::CowReservation => "cow reservation",
            Self::Defective => "defective",
            Self::Other { .. } => return None,
        })
    }
}

impl fmt::Display for Special {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.words() {
            Some(name) => f.write_str(name),
            None => {
                let (major, minor) = self.code();
                write!(f, "special {major}:{minor}")
            }
        }
    }
}

/// How a map names a file.
///
/// # Examples
/// ```
/// use badrange_fs::FileId;
/// assert_eq!(FileId::Ino(132).to_string(), "inode 132");
/// assert_eq!(FileId::Name(3).to_string(), "name #3");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileId {
    /// Known by name only: an index into the name table of whoever loaded the map.
    Name(u32),
    /// An inode number.
    Ino(u64),
}

impl fmt::Display for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(index) => write!(f, "name #{index}"),
            Self::Ino(ino) => write!(f, "inode {ino}"),
        }
    }
}

/// Who owns an extent of a filesystem's device.
///
/// # Examples
/// ```
/// use badrange_fs::{FileId, Fork, Owner, Special};
/// let orders = Owner::File { id: FileId::Ino(132), fork: Fork::Data };
/// assert_eq!(orders.to_string(), "inode 132 data");
/// assert!(!orders.is_metadata());
/// assert!(Owner::Special(Special::Journal).is_metadata());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    /// A file.
    File {
        /// Which one.
        id: FileId,
        /// Which part of it.
        fork: Fork,
    },
    /// Nobody, the filesystem itself, or somebody unknown.
    Special(Special),
}

impl Owner {
    /// Whether the bytes are metadata of any kind: what the filesystem itself needs to go on. Those
    /// are an attribute fork, an extent map, the journal, and every other use by the filesystem.
    /// Data of files, free space and what is unknown are not.
    ///
    /// This is the one meaning of the word: whoever asks whether a loss is a loss of metadata
    /// (holders, reports, exit codes) asks here.
    ///
    /// # Kernel
    /// The test that makes `xfs_dax_failure_fn()` ask for a shutdown: `XFS_RMAP_NON_INODE_OWNER`,
    /// `XFS_RMAP_ATTR_FORK` or `XFS_RMAP_BMBT_BLOCK`. [`Special::Unknown`] is not counted here: it
    /// may be file data.
    ///
    /// # Examples
    /// ```
    /// use badrange_fs::{FileId, Fork, Owner, Special};
    /// let id = FileId::Ino(132);
    /// assert!(!Owner::File { id, fork: Fork::Data }.is_metadata());
    /// assert!(Owner::File { id, fork: Fork::Attr }.is_metadata());
    /// assert!(Owner::Special(Special::Journal).is_metadata());
    /// assert!(Owner::Special(Special::from_code(102, 1)).is_metadata());
    /// assert!(!Owner::Special(Special::Unknown).is_metadata());
    /// ```
    #[must_use]
    pub const fn is_metadata(&self) -> bool {
        match self {
            Self::File { fork: Fork::Data, .. }
            | Self::Special(Special::Free | Special::Unknown) => false,
            Self::File { fork: Fork::Attr | Fork::ExtentMap, .. }
            | Self::Special(
                Special::StaticFs
                | Special::Journal
                | Special::PerAg
                | Special::InodeBtree
                | Special::Inodes
                | Special::RefcountBtree
                | Special::CowReservation
                | Special::Defective
                | Special::Other { .. },
            ) => true,
        }
    }
}

/// `inode 132 data`, `name #3 data`, `static fs metadata`.
impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { id, fork } => write!(f, "{id} {fork}"),
            Self::Special(special) => special.fmt(f),
        }
    }
}

/// One record of a reverse map: these bytes of the device belong to that owner.
///
/// # Kernel
/// `struct xfs_rmap_irec`, in bytes.
///
/// # Examples
/// ```
/// use badrange_core::{DevOffset, Extent, FileOffset};
/// use badrange_fs::{FileId, Fork, Owner, Record};
/// let orders = Record {
///     extent: Extent::new(DevOffset::new(98304), 4_194_304)?,
///     owner: Owner::File { id: FileId::Ino(132), fork: Fork::Data },
///     file_start: FileOffset::new(0),
///     unwritten: false,
/// };
/// assert_eq!(orders.file_at(DevOffset::new(98304 + 512)), Some(FileOffset::new(512)));
/// # Ok::<(), badrange_core::RangeError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Record {
    /// Bytes of the filesystem's device.
    pub extent: Extent,
    /// Whose they are.
    pub owner: Owner,
    /// File offset of the first byte; 0 and without meaning for [`Fork::ExtentMap`] and
    /// [`Owner::Special`].
    pub file_start: FileOffset,
    /// Allocated but never written: reads as zeros, nothing is lost with it.
    pub unwritten: bool,
}

impl Record {
    /// Whether the bytes of the record have file offsets.
    #[must_use]
    pub const fn has_file_offset(&self) -> bool {
        matches!(self.owner, Owner::File { fork: Fork::Data | Fork::Attr, .. })
    }

    /// The file offset of a device byte of this record; `None` outside it, for records without
    /// file offsets, and beyond 64 bits.
    #[must_use]
    pub fn file_at(&self, at: DevOffset) -> Option<FileOffset> {
        use badrange_core::Space;
        if !self.has_file_offset() || !self.extent.contains(at) {
            return None;
        }
        self.file_start.checked_add(at.checked_offset_from(self.extent.start())?)
    }

    /// The part of a range of the file that lies in this record, in the file and on the device;
    /// `None` when none of it does, and for records without file offsets.
    ///
    /// # Examples
    /// ```
    /// use badrange_core::{DevOffset, Extent, FileOffset};
    /// use badrange_fs::{FileId, Fork, Owner, Record};
    /// let record = Record {
    ///     extent: Extent::new(DevOffset::new(4096), 512)?,
    ///     owner: Owner::File { id: FileId::Ino(132), fork: Fork::Data },
    ///     file_start: FileOffset::new(1000),
    ///     unwritten: false,
    /// };
    /// let (file, device) = record.part_of(Extent::new(FileOffset::new(1500), 100)?).unwrap();
    /// assert_eq!(file, Extent::new(FileOffset::new(1500), 12)?);
    /// assert_eq!(device, Extent::new(DevOffset::new(4596), 12)?);
    /// assert!(record.part_of(Extent::new(FileOffset::new(1512), 100)?).is_none());
    /// # Ok::<(), badrange_core::RangeError>(())
    /// ```
    #[must_use]
    pub fn part_of(&self, asked: Extent<FileOffset>) -> Option<(Extent<FileOffset>, Extent)> {
        let (here, there) = (self.extent.start(), self.file_start);
        let whole = self.extent.rebase(here, there).filter(|_| self.has_file_offset())?;
        let file = whole.intersect(asked)?;
        Some((file, file.rebase(there, here)?))
    }
}
