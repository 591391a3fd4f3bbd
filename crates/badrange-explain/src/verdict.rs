use core::fmt;

use badrange_fs::{Fork, Owner, Record, Special};
use badrange_input::Area;

/// What a range of bytes is, as far as the description of the stack tells.
///
/// # Examples
/// ```
/// use badrange_explain::Verdict;
/// assert_eq!(Verdict::FileUnwritten.as_str(), "file-unwritten");
/// assert_eq!(Verdict::FileUnwritten.lost(), Some(false));
/// assert_eq!(Verdict::Device.lost(), None); // cannot be known
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// Metadata of a filesystem.
    FsMetadata,
    /// The journal of a filesystem.
    FsJournal,
    /// An attribute fork or the extent map of a file.
    FileMetadata,
    /// File data; bytes of a written extent past the end of file too.
    File,
    /// Before the first extent of a physical volume.
    LvmMetadata,
    /// A device whose content nobody described.
    Device,
    /// In a filesystem, but no map says whose.
    FsUnknown,
    /// Allocated to a file but never written.
    FileUnwritten,
    /// Blocks of a thin pool that no volume has.
    ThinFree,
    /// Free space of a filesystem.
    FsFree,
    /// Extents of a physical volume that no logical volume uses.
    LvmFree,
    /// After the last extent of a physical volume.
    LvmTail,
    /// A partition table.
    PartitionTable,
    /// The metadata of a thin pool.
    ThinMetadata,
    /// Superblocks of a member of an array, and whatever else stands before its data.
    MdMetadata,
    /// In no partition.
    Unpartitioned,
    /// Parity of an array.
    MdParity,
    /// Bytes of a member that its array does not use.
    MdUnused,
    /// Below the first data byte of a persistent-memory namespace.
    PmemMetadata,
    /// Physical memory that nobody registered.
    NoOwner,
    /// Past the end of the device.
    Outside,
}

impl Verdict {
    /// The name in the JSON output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FsMetadata => "fs-metadata",
            Self::FsJournal => "fs-journal",
            Self::FileMetadata => "file-metadata",
            Self::File => "file",
            Self::LvmMetadata => "lvm-metadata",
            Self::Device => "device",
            Self::FsUnknown => "fs-unknown",
            Self::FileUnwritten => "file-unwritten",
            Self::FsFree => "fs-free",
            Self::LvmFree => "lvm-free",
            Self::LvmTail => "lvm-tail",
            Self::PartitionTable => "partition-table",
            Self::Unpartitioned => "unpartitioned",
            Self::ThinFree => "thin-free",
            Self::ThinMetadata => "thin-metadata",
            Self::MdMetadata => "md-metadata",
            Self::MdParity => "md-parity",
            Self::MdUnused => "md-unused",
            Self::PmemMetadata => "pmem-metadata",
            Self::NoOwner => "no-owner",
            Self::Outside => "outside",
        }
    }

    /// What it is, in words for people.
    ///
    /// # Examples
    /// ```
    /// use badrange_explain::Verdict;
    /// assert_eq!(Verdict::Unpartitioned.words(), "in no partition");
    /// ```
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::FsMetadata => "filesystem metadata",
            Self::FsJournal => "filesystem journal",
            Self::FsFree => "free space of the filesystem",
            Self::FsUnknown => "in the filesystem, but no map says whose",
            Self::Device => "nobody described what is on this device",
            Self::LvmMetadata => "LVM metadata area",
            Self::LvmFree => "extents of no logical volume",
            Self::LvmTail => "after the last extent of the physical volume",
            Self::ThinFree => "blocks of a thin pool that no volume maps",
            Self::ThinMetadata => "metadata of a thin pool",
            Self::MdMetadata => "metadata of a software array",
            Self::MdParity => "parity of a software array",
            Self::MdUnused => "in no use by the software array",
            Self::PartitionTable => "partition table",
            Self::Unpartitioned => "in no partition",
            Self::PmemMetadata => "metadata of the namespace",
            Self::NoOwner => "physical memory of no device here",
            Self::Outside => "past the end of the device",
            Self::File => "data of a file",
            Self::FileMetadata => "metadata of a file",
            Self::FileUnwritten => "allocated to a file but never written",
        }
    }

    /// Whether something is lost with the bytes; `None` where that cannot be known.
    #[must_use]
    pub const fn lost(self) -> Option<bool> {
        match self {
            Self::File
            | Self::FileMetadata
            | Self::FsMetadata
            | Self::FsJournal
            | Self::PartitionTable
            | Self::ThinMetadata
            | Self::MdMetadata
            | Self::PmemMetadata => Some(true),
            Self::FsUnknown | Self::Device | Self::LvmMetadata | Self::Outside | Self::NoOwner => {
                None
            }
            Self::FileUnwritten
            | Self::FsFree
            | Self::LvmFree
            | Self::LvmTail
            | Self::ThinFree
            | Self::MdParity
            | Self::MdUnused
            | Self::Unpartitioned => Some(false),
        }
    }

    /// Whether it is metadata of any kind. The loss of it decides the exit status, where it is
    /// [`lost`](Self::lost) with its bytes.
    #[must_use]
    pub const fn is_metadata(self) -> bool {
        matches!(
            self,
            Self::FsMetadata
                | Self::FsJournal
                | Self::FileMetadata
                | Self::LvmMetadata
                | Self::PartitionTable
                | Self::ThinMetadata
                | Self::MdMetadata
                | Self::PmemMetadata
        )
    }

    pub(super) const fn of_area(area: Area) -> Self {
        match area {
            Area::PartitionTable => Self::PartitionTable,
            Area::Unpartitioned => Self::Unpartitioned,
            Area::LvmMetadata => Self::LvmMetadata,
            Area::LvmFree => Self::LvmFree,
            Area::LvmTail => Self::LvmTail,
            Area::MdMetadata => Self::MdMetadata,
            Area::MdUnused => Self::MdUnused,
            Area::ThinFree => Self::ThinFree,
            Area::ThinMetadata => Self::ThinMetadata,
        }
    }

    /// What one record of a filesystem's map says.
    pub(super) const fn of_record(record: &Record) -> Self {
        match record.owner {
            Owner::File { fork: Fork::Data, .. } if record.unwritten => Self::FileUnwritten,
            Owner::File { fork: Fork::Data, .. } => Self::File,
            Owner::File { fork: Fork::Attr | Fork::ExtentMap, .. } => Self::FileMetadata,
            Owner::Special(Special::Free) => Self::FsFree,
            Owner::Special(Special::Unknown) => Self::FsUnknown,
            Owner::Special(Special::Journal) => Self::FsJournal,
            Owner::Special(_) => Self::FsMetadata,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
