//! What a `stack.toml` and the files it names say, put together.

mod cxl;
mod fs;
mod gaps;
mod jobs;
mod load;
mod loops;
mod lvm;
mod md;
mod names;
mod thin;

use std::{collections::BTreeMap, sync::Arc};

use badrange_block::{dm, interleave::Interleave, md as arrays, thin::Volume};
use badrange_core::{Extent, Leg, Mapping, PageSize, Window};
use badrange_fs::{FileId, Fork, Owner, Record, ReverseMap};
use badrange_pmem::Namespace;

use crate::{BadblocksList, Files, StackError};

/// A stack of devices with filesystems on top, as saved text describes it.
///
/// # Invariants
/// A device stands after every device it lies on. Names are unique. Every leg lies inside its
/// device.
///
/// # Examples
/// ```
/// use badrange_input::{MemoryFiles, Topology};
/// let files = MemoryFiles::new()
///     .with("parts.txt", "label: dos\nunit: sectors\n\n/dev/sda1 : start=2048, size=4096, type=83\n");
/// let text = r#"
///     schema = "badrange.stack/1"
///     [[disk]]
///     name = "sda"
///     sectors = 8192
///     [[partitions]]
///     on = "sda"
///     table = "parts.txt"
/// "#;
/// let topology = Topology::load("stack.toml", text, &files)?;
/// let names: Vec<_> = topology.devices().iter().map(|d| d.name.as_str()).collect();
/// assert_eq!(names, ["sda", "sda1"]);
/// # Ok::<(), badrange_input::StackError>(())
/// ```
#[derive(Debug)]
pub struct Topology {
    pub(crate) devices: Vec<Device>,
    pub(crate) filesystems: Vec<Filesystem>,
    pub(crate) notes: Vec<StackError>,
    pub(crate) memory: PhysicalMemory,
    /// Device numbers as `devices` of `[[dm]]` give them, `8:2`, and what they stand for.
    pub(crate) numbers: BTreeMap<String, String>,
}

impl Topology {
    /// Reads a `stack.toml` and every file it names.
    ///
    /// `name` is what errors call the file itself; its text is `text`; the files that it names
    /// come from `files`.
    ///
    /// # Errors
    /// A [`StackError`] naming file, line and what to do, for anything that is not understood,
    /// does not exist, does not fit, or contradicts itself.
    pub fn load(name: &str, text: &str, files: &dyn Files) -> Result<Self, StackError> {
        load::load(name, text, files)
    }

    /// The devices, each after those it lies on.
    #[must_use]
    pub fn devices(&self) -> &[Device] {
        &self.devices
    }

    /// The machine's physical memory, which namespaces and CXL regions are parts of.
    #[must_use]
    pub fn memory(&self) -> &PhysicalMemory {
        &self.memory
    }

    /// The CXL regions, each with its place.
    pub fn regions(&self) -> impl Iterator<Item = (usize, &Interleave)> {
        self.devices.iter().enumerate().filter_map(|(place, device)| match &device.layer {
            Layer::Region { region, .. } => Some((place, &**region)),
            Layer::Disk
            | Layer::Memdev
            | Layer::Pmem { .. }
            | Layer::Partition { .. }
            | Layer::Mapped { .. }
            | Layer::Array { .. }
            | Layer::Thin { .. }
            | Layer::Loop { .. }
            | Layer::Opaque
            | Layer::View { .. } => None,
        })
    }

    /// The filesystems, in the order of the file.
    #[must_use]
    pub fn filesystems(&self) -> &[Filesystem] {
        &self.filesystems
    }

    /// The name that a `[[dm]]` entry gives to a device number, `8:2`.
    #[must_use]
    pub fn numbered(&self, number: &str) -> Option<&str> {
        self.numbers.get(number).map(String::as_str)
    }

    /// The device-mapper device that the kernel calls `dm-<minor>`: the one whose own number ends in
    /// that minor. `None` when none is known, or several are.
    #[must_use]
    pub fn dm_minor(&self, minor: u64) -> Option<&str> {
        let is_dm = |name: &str| {
            let device = self.devices.iter().find(|device| device.name == name);
            device.is_some_and(|device| {
                !matches!(
                    device.layer,
                    Layer::Disk
                        | Layer::Memdev
                        | Layer::Region { .. }
                        | Layer::Pmem { .. }
                        | Layer::Partition { .. }
                        | Layer::Array { .. }
                        | Layer::Loop { .. }
                )
            })
        };
        let of_minor =
            |number: &str| number.split_once(':').is_some_and(|(_, n)| n.parse() == Ok(minor));
        let mut found =
            self.numbers.iter().filter(|(number, name)| of_minor(number) && is_dm(name));
        let (_, name) = found.next()?;
        found.all(|(_, other)| other == name).then_some(name.as_str())
    }

    /// What is not modelled and therefore not translated, each with its place: for people to read.
    #[must_use]
    pub fn notes(&self) -> &[StackError] {
        &self.notes
    }
}

/// The physical memory of a [`Topology`].
///
/// # Examples
/// ```
/// use badrange_core::PageSize;
/// use badrange_input::{MemoryFiles, Topology};
/// let text = "schema = \"badrange.stack/1\"\n[[memory]]\npage = \"64K\"\n";
/// let topology = Topology::load("stack.toml", text, &MemoryFiles::new())?;
/// assert_eq!(topology.memory().page, PageSize::K64);
/// # Ok::<(), badrange_input::StackError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PhysicalMemory {
    /// What queries and answers call it.
    pub name: String,
    /// Its bytes, from address 0 on, where that was said.
    pub size: Option<u64>,
    /// Bytes of a page frame: 4 KiB where nothing was said.
    pub page: PageSize,
}

impl Default for PhysicalMemory {
    fn default() -> Self {
        Self { name: "phys".to_owned(), size: None, page: PageSize::K4 }
    }
}

/// A device of a [`Topology`].
///
/// # Examples
/// See [`Topology`].
#[derive(Debug)]
pub struct Device {
    /// Its unique name.
    pub name: String,
    /// Its bytes.
    pub extent: Extent,
    /// Bytes of a logical block: 512 or 4096.
    pub logical_block: u64,
    /// What it lies on.
    pub layer: Layer,
    /// Parts whose use its own table or metadata tells; disjoint, ascending. Where a device above
    /// uses them all the same, that counts.
    pub areas: Vec<(Extent, Area)>,
}

/// What a device lies on. Devices are named by their place in [`Topology::devices`].
///
/// # Examples
/// See [`Topology`].
#[derive(Debug, Clone)]
pub enum Layer {
    /// Nothing: a disk.
    Disk,
    /// Nothing: a CXL memory device, in its own physical addresses.
    Memdev,
    /// CXL memory devices in turn: a region of host memory, from its first byte on.
    Region {
        /// The region.
        region: Arc<Interleave>,
        /// The memory device under each leg.
        legs: Vec<usize>,
    },
    /// Physical memory.
    Pmem {
        /// Where in it.
        namespace: Namespace,
        /// Its recorded bad sectors, where a file was given.
        badblocks: Option<BadblocksList>,
    },
    /// A window of another device.
    Partition {
        /// That device.
        on: usize,
        /// Which window.
        mapping: Window,
    },
    /// Other devices, through a device-mapper table or a logical volume.
    Mapped {
        /// The table.
        table: Arc<dm::Table>,
        /// The device under each leg.
        legs: Vec<usize>,
    },
    /// The members of a software array.
    Array {
        /// The array.
        array: Arc<arrays::Array>,
        /// The device under each leg.
        legs: Vec<usize>,
    },
    /// The data device of a thin pool.
    Thin {
        /// The volume.
        volume: Arc<Volume>,
        /// The device under each leg.
        legs: Vec<usize>,
    },
    /// A file of the filesystem on another device.
    Loop {
        /// Where that filesystem has the file's bytes.
        volume: Arc<Volume>,
        /// The device under each leg: always that one.
        legs: Vec<usize>,
    },
    /// A device whose layout is not modelled: nothing below leads to it.
    Opaque,
    /// A window that can be asked for by name but is on nobody's way up: an extended partition, a
    /// thin pool.
    View {
        /// The device it is a window of.
        of: usize,
        /// Which window.
        at: Extent,
    },
}

impl Layer {
    /// How it lies on the devices below; `None` for what lies on none, and for a namespace, which
    /// lies on the [memory](Topology::memory).
    ///
    /// # Examples
    /// ```
    /// assert!(badrange_input::Layer::Disk.mapping().is_none());
    /// ```
    #[must_use]
    pub fn mapping(&self) -> Option<Arc<dyn Mapping>> {
        match self {
            Self::Partition { mapping, .. } => Some(Arc::new(*mapping)),
            Self::Region { region, .. } => Some(Arc::<Interleave>::clone(region)),
            Self::Mapped { table, .. } => Some(Arc::<dm::Table>::clone(table)),
            Self::Array { array, .. } => Some(Arc::<arrays::Array>::clone(array)),
            Self::Thin { volume, .. } | Self::Loop { volume, .. } => {
                Some(Arc::<Volume>::clone(volume))
            }
            Self::Disk | Self::Memdev | Self::Pmem { .. } | Self::Opaque | Self::View { .. } => {
                None
            }
        }
    }

    /// The device under each leg of the [mapping](Self::mapping), by its place.
    ///
    /// # Examples
    /// ```
    /// assert!(badrange_input::Layer::Opaque.legs().is_empty());
    /// ```
    #[must_use]
    pub fn legs(&self) -> &[usize] {
        match self {
            Self::Partition { on, .. } => core::slice::from_ref(on),
            Self::Mapped { legs, .. }
            | Self::Array { legs, .. }
            | Self::Thin { legs, .. }
            | Self::Loop { legs, .. }
            | Self::Region { legs, .. } => legs,
            Self::Disk | Self::Memdev | Self::Pmem { .. } | Self::Opaque | Self::View { .. } => &[],
        }
    }

    /// The array that a leg belongs to, and its number there; `None` where the bytes of a leg are
    /// in no array.
    ///
    /// # Examples
    /// ```
    /// use badrange_core::Leg;
    /// assert!(badrange_input::Layer::Disk.array_of(Leg::new(0)).is_none());
    /// ```
    #[must_use]
    pub fn array_of(&self, leg: Leg) -> Option<(&arrays::Array, Leg)> {
        match self {
            Self::Array { array, .. } => Some((array, leg)),
            Self::Mapped { table, .. } => table.array_of(leg),
            Self::Partition { .. }
            | Self::Thin { .. }
            | Self::Loop { .. }
            | Self::Region { .. }
            | Self::Memdev
            | Self::Disk
            | Self::Pmem { .. }
            | Self::Opaque
            | Self::View { .. } => None,
        }
    }

    /// The bytes of a leg's device that are of use here, ascending.
    ///
    /// # Examples
    /// ```
    /// use badrange_core::Leg;
    /// assert!(badrange_input::Layer::Disk.used(Leg::new(0)).is_empty());
    /// ```
    #[must_use]
    pub fn used(&self, leg: Leg) -> Vec<Extent> {
        if let Self::Thin { volume, .. } | Self::Loop { volume, .. } = self {
            return volume.used(leg);
        }
        self.mapping().and_then(|m| m.leg_extent(leg)).into_iter().collect()
    }
}

/// A use of device bytes that is known without looking above.
///
/// # Examples
/// ```
/// assert_eq!(badrange_input::Area::LvmTail.as_str(), "lvm-tail");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Area {
    /// The partition table itself.
    PartitionTable,
    /// In no partition.
    Unpartitioned,
    /// Before the first extent of a physical volume.
    LvmMetadata,
    /// Extents that no logical volume uses.
    LvmFree,
    /// After the last extent of a physical volume.
    LvmTail,
    /// Superblocks of a member of an array, and whatever else stands before its data.
    MdMetadata,
    /// Bytes of a member that its array does not use.
    MdUnused,
    /// Blocks of a thin pool that no volume has.
    ThinFree,
    /// The metadata of a thin pool.
    ThinMetadata,
}

impl Area {
    /// The verdict's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PartitionTable => "partition-table",
            Self::Unpartitioned => "unpartitioned",
            Self::LvmMetadata => "lvm-metadata",
            Self::LvmFree => "lvm-free",
            Self::LvmTail => "lvm-tail",
            Self::MdMetadata => "md-metadata",
            Self::MdUnused => "md-unused",
            Self::ThinFree => "thin-free",
            Self::ThinMetadata => "thin-metadata",
        }
    }
}

/// A filesystem of a [`Topology`].
///
/// # Examples
/// See [`Topology`].
#[derive(Debug)]
pub struct Filesystem {
    /// The device it is on, by its place in [`Topology::devices`].
    pub device: usize,
    /// `xfs`, `ext4` or `other`.
    pub kind: String,
    /// Bytes of a block.
    pub block_size: u64,
    /// Where it is mounted, if that was said.
    pub mount: Option<String>,
    /// Who owns which bytes of the device.
    pub map: Arc<ReverseMap>,
    /// The paths of inodes, as the `paths` file has them, in its order.
    pub paths: BTreeMap<u64, Vec<String>>,
    /// The number, `8:2`, of the device that its maps were made of, where they tell.
    pub number: Option<String>,
    /// Files known by name only: what [`FileId::Name`](badrange_fs::FileId::Name) counts.
    pub names: Vec<String>,
}

impl Filesystem {
    /// The files with this name, ascending: a path, with or without the mount point before it, a
    /// name that a map prints, or an inode as debugfs writes it, `<132>`.
    ///
    /// Cost: looks at every path, and for an inode that has none at every record.
    ///
    /// # Examples
    /// ```
    /// use badrange_fs::FileId;
    /// use badrange_input::{MemoryFiles, Topology};
    /// let files = MemoryFiles::new()
    ///     .with("map", "\t0: 8:0 [8..15]: inode 12 data 0..7 8\n")
    ///     .with("paths", "12 /etc/passwd\n");
    /// let toml = "schema = \"badrange.stack/1\"\n[[disk]]\nname = \"sda\"\nsectors = 64\n\
    ///             [[fs]]\ndevice = \"sda\"\nkind = \"xfs\"\nmap = [\"map\"]\npaths = \"paths\"\n\
    ///             mount = \"/mnt\"\nblock_size = 4096\n";
    /// let topology = Topology::load("stack.toml", toml, &files)?;
    /// let fs = &topology.filesystems()[0];
    /// for name in ["/etc/passwd", "/mnt/etc/passwd", "<12>"] {
    ///     assert_eq!(fs.files_named(name), [FileId::Ino(12)]);
    /// }
    /// assert_eq!(fs.files_named("/etc/shadow"), []);
    /// # Ok::<(), badrange_input::StackError>(())
    /// ```
    #[must_use]
    pub fn files_named(&self, name: &str) -> Vec<FileId> {
        if let Some(ino) = inode(name) {
            return Some(FileId::Ino(ino)).filter(|_| self.is_known(ino)).into_iter().collect();
        }
        let mount = self.mount.as_deref().map(|mount| mount.trim_end_matches('/'));
        let below = mount.and_then(|mount| name.strip_prefix(mount)).filter(|p| p.starts_with('/'));
        let is = |path: &String| path == name || Some(path.as_str()) == below;
        let inodes = self.paths.iter().filter(|(_, paths)| paths.iter().any(is));
        let inodes = inodes.map(|(ino, _)| FileId::Ino(*ino));
        let names = (0_u32..).zip(&self.names).filter(|(_, path)| is(path));
        let names = names.map(|(number, _)| FileId::Name(number));
        let mut all: Vec<_> = inodes.chain(names).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// The records that place bytes of a file's data, in the order of the device.
    ///
    /// Cost: looks at every record.
    ///
    /// # Examples
    /// ```
    /// # use badrange_input::Filesystem;
    /// /// Bytes that a file has on the device.
    /// fn stored(fs: &Filesystem, name: &str) -> u64 {
    ///     let files = fs.files_named(name);
    ///     files.iter().flat_map(|id| fs.data_of(*id)).map(|record| record.extent.len()).sum()
    /// }
    /// ```
    pub fn data_of(&self, id: FileId) -> impl Iterator<Item = Record> + '_ {
        let data = Owner::File { id, fork: Fork::Data };
        self.map.iter().filter(move |record| record.owner == data)
    }

    fn is_known(&self, ino: u64) -> bool {
        let owns = |owner: Owner| matches!(owner, Owner::File { id, .. } if id == FileId::Ino(ino));
        self.paths.contains_key(&ino) || self.map.iter().any(|record| owns(record.owner))
    }
}

/// `<132>`.
fn inode(name: &str) -> Option<u64> {
    crate::parse_u64(name.strip_prefix('<')?.strip_suffix('>')?)
}
