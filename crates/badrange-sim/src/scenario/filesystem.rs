use std::collections::{BTreeMap, BTreeSet};

use badrange_core::{BlockSize, DevOffset};
use badrange_fs::{Fork, Special};

use super::{
    Device, Names, Result, ScenarioErrorKind as Kind,
    device::{inside, known},
    json::{At, Object},
    limits::MAX_EXTENTS,
};

/// A filesystem before the first event.
#[derive(Debug, Clone)]
pub(crate) struct Filesystem {
    pub(crate) name: String,
    pub(crate) kind: FsKind,
    pub(crate) device: usize,
    pub(crate) state: State,
    pub(crate) dax: Dax,
    pub(crate) read_only: bool,
    pub(crate) rmapbt: bool,
    pub(crate) reflink: bool,
    pub(crate) block_size: u64,
    /// Of an XFS; all of it in one group where the scenario does not say.
    pub(crate) geometry: Geometry,
    /// `None`: inside the data device.
    pub(crate) log: Option<Log>,
    pub(crate) rt: Option<usize>,
    pub(crate) extents: Vec<Extent>,
    pub(crate) files: BTreeMap<u64, Inode>,
    pub(crate) not_in_core: BTreeSet<u64>,
    pub(crate) dax_entries: Vec<(u64, Vec<(u64, u64)>)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FsKind {
    Xfs,
    Ext4,
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Mounted,
    Shutdown,
    Unmounted,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dax {
    Always,
    Inode,
    Never,
}

/// Allocation groups, in blocks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Geometry {
    pub(crate) ag_blocks: u64,
    pub(crate) ag_count: u64,
    pub(crate) blocks: u64,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Log {
    pub(crate) device: usize,
    pub(crate) place: badrange_core::Extent,
}

/// What is known of an inode besides where its bytes are.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Inode {
    pub(crate) dir: bool,
    pub(crate) dax: bool,
}

/// Who owns some bytes of a device: one record of the filesystem's own map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) device: usize,
    pub(crate) place: badrange_core::Extent,
    /// Bytes of a file end within 64 bits there as well.
    pub(crate) owner: Owner,
    pub(crate) unwritten: bool,
    /// What the map says: some of these bytes have several owners.
    pub(crate) shared: bool,
}

impl Extent {
    pub(crate) fn start(&self) -> u64 {
        self.place.start().get()
    }

    pub(crate) fn end(&self) -> u64 {
        self.place.end().get()
    }

    pub(crate) fn len(&self) -> u64 {
        self.place.len()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    Inode { ino: u64, fork: Fork, file_start: u64 },
    Special(Special),
}

const KEYS: [&str; 18] = [
    "name",
    "kind",
    "device",
    "state",
    "dax",
    "read_only",
    "rmapbt",
    "reflink",
    "block_size",
    "ag_blocks",
    "ag_count",
    "blocks",
    "log",
    "rt",
    "extents",
    "files",
    "not_in_core",
    "dax_entries",
];

pub(super) fn read(at: At<'_>, names: &Names, devices: &[Device]) -> Result<Filesystem> {
    let object = at.object(&KEYS)?;
    let kinds = [("xfs", FsKind::Xfs), ("ext4", FsKind::Ext4), ("other", FsKind::Other)];
    let states = [
        ("mounted", State::Mounted),
        ("shutdown", State::Shutdown),
        ("unmounted", State::Unmounted),
    ];
    let dax = [("always", Dax::Always), ("inode", Dax::Inode), ("never", Dax::Never)];
    let kind = object.required("kind", |at| at.word(&kinds))?;
    let device = object.required("device", |at| block_device(at, names, devices))?;
    let state = object.or("state", State::Mounted, |at| at.word(&states))?;
    let block_size = object.or("block_size", 4096, block_size)?;
    let size = known(devices, device).size();
    let geometry = geometry(&object, kind, state, size, block_size)?;
    let read_extent = |at: At<'_>| extent(at, names, devices, device);
    let fs = Filesystem {
        name: object.required("name", |at| at.name())?,
        kind,
        device,
        state,
        dax: object.or("dax", Dax::Always, |at| at.word(&dax))?,
        read_only: object.flag("read_only", false)?,
        rmapbt: object.flag("rmapbt", false)?,
        reflink: object.flag("reflink", false)?,
        block_size,
        geometry,
        log: object.or("log", None, |at| log(at, names, devices))?,
        rt: object.optional("rt", |at| {
            at.object(&["device"])?.required("device", |at| block_device(at, names, devices))
        })?,
        extents: object.or("extents", Vec::new(), |at| at.short_list(MAX_EXTENTS, read_extent))?,
        files: object.or("files", BTreeMap::new(), files)?,
        not_in_core: object.many("not_in_core", |at| at.number())?.into_iter().collect(),
        dax_entries: object.many("dax_entries", |at| {
            let object = at.object(&["ino", "ranges"])?;
            Ok((
                object.required("ino", |at| at.number())?,
                object.required("ranges", |at| at.ranges())?,
            ))
        })?,
    };
    check_groups(&object, &fs)?;
    Ok(fs)
}

fn block_device(at: At<'_>, names: &Names, devices: &[Device]) -> Result<usize> {
    let device = names.device(at)?;
    match known(devices, device) {
        found if found.is_devdax() => {
            Err(at.bad(format!("{:?} is a character device", found.name)))
        }
        _ => Ok(device),
    }
}

fn block_size(at: At<'_>) -> Result<u64> {
    const LARGEST: u64 = 65_536;
    let bytes = at.number()?;
    match BlockSize::new(bytes) {
        Ok(_) if bytes <= LARGEST => Ok(bytes),
        Ok(_) | Err(_) => Err(at.bad(format!("must be a power of two from 512 to {LARGEST}"))),
    }
}

/// KERNEL: numbers of groups and blocks of a group are 32 bits (`xfs_agnumber_t`, `xfs_agblock_t`).
fn geometry(
    object: &Object<'_>,
    kind: FsKind,
    state: State,
    size: u64,
    block_size: u64,
) -> Result<Geometry> {
    let keys = ["ag_blocks", "ag_count", "blocks"];
    let room = size.checked_div(block_size).unwrap_or(0);
    let needed = kind == FsKind::Xfs && state != State::Unmounted;
    if !needed && !keys.iter().any(|key| object.has(key)) {
        return Ok(Geometry { ag_blocks: room.max(1), ag_count: 1, blocks: room });
    }
    let small = |at: At<'_>| match at.positive()? {
        number if number < u64::from(u32::MAX) => Ok(number),
        number => Err(at.bad(format!("{number} does not fit in 32 bits"))),
    };
    let ag_blocks = object.required(keys[0], small)?;
    let ag_count = object.required(keys[1], small)?;
    let blocks = object.required(keys[2], |at| at.positive())?;
    // NO-OVERFLOW: both factors have 32 bits.
    let (most, least) =
        (ag_blocks.saturating_mul(ag_count), ag_blocks.saturating_mul(ag_count.saturating_sub(1)));
    if blocks <= least || blocks > most {
        let message =
            format!("{ag_count} groups of {ag_blocks} blocks cannot hold {blocks} blocks");
        return Err(object.at().bad(message));
    }
    if blocks > room {
        let message = format!("{blocks} blocks of {block_size} bytes do not fit on the device");
        return Err(object.at().bad(message));
    }
    Ok(Geometry { ag_blocks, ag_count, blocks })
}

fn log(at: At<'_>, names: &Names, devices: &[Device]) -> Result<Option<Log>> {
    if at.value.as_str() == Some("internal") {
        return Ok(None);
    }
    let object = at.object(&["device", "start", "len"])?;
    let device = object.required("device", |at| block_device(at, names, devices))?;
    let start = object.or("start", 0, |at| at.number())?;
    let len = object.required("len", |at| at.positive())?;
    let size = known(devices, device).size();
    inside(at, &[(start, len)], size, "device")?;
    let place = place(at, start, len)?;
    Ok(Some(Log { device, place }))
}

/// Bytes of a device; the length is not zero.
fn place(at: At<'_>, start: u64, len: u64) -> Result<badrange_core::Extent> {
    let place = badrange_core::Extent::new(DevOffset::new(start), len);
    place.map_err(|_| at.bad("start plus length does not fit in 64 bits"))
}

/// One inode may have several names.
fn files(at: At<'_>) -> Result<BTreeMap<u64, Inode>> {
    let mut files = BTreeMap::<u64, Inode>::new();
    at.list(|at| {
        let object = at.object(&["ino", "path", "type", "dax"])?;
        let ino = object.required("ino", |at| at.number())?;
        object.optional("path", |at| at.string())?;
        let dir = object.or("type", false, |at| at.word(&[("file", false), ("dir", true)]))?;
        let inode = files.entry(ino).or_default();
        inode.dir |= dir;
        inode.dax |= object.flag("dax", false)?;
        Ok(())
    })?;
    Ok(files)
}

fn extent(at: At<'_>, names: &Names, devices: &[Device], default: usize) -> Result<Extent> {
    let keys = ["start", "len", "owner", "fork", "file_start", "unwritten", "shared", "device"];
    let object = at.object(&keys)?;
    let device = object.or("device", default, |at| block_device(at, names, devices))?;
    let start = object.required("start", |at| at.number())?;
    let len = object.required("len", |at| at.positive())?;
    let size = known(devices, device).size();
    let place = place(at, start, len)?;
    inside(at, &[(start, len)], size, "device")?;
    Ok(Extent {
        device,
        place,
        owner: owner(&object, len)?,
        unwritten: object.flag("unwritten", false)?,
        shared: object.flag("shared", false)?,
    })
}

fn owner(object: &Object<'_>, len: u64) -> Result<Owner> {
    let special = object.required("owner", special)?;
    if let Some(special) = special {
        return match ["fork", "file_start"].into_iter().find(|key| object.has(key)) {
            Some(key) => Err(object.at().bad(format!("key {key:?} is for owners with an inode"))),
            None => Ok(Owner::Special(special)),
        };
    }
    let ino = object.required("owner", |at| at.number())?;
    let forks = [("data", Fork::Data), ("attr", Fork::Attr), ("extent-map", Fork::ExtentMap)];
    let fork = object.or("fork", Fork::Data, |at| at.word(&forks))?;
    if fork == Fork::ExtentMap {
        return match object.has("file_start") {
            true => Err(object.at().bad("blocks of an extent map have no file_start")),
            false => Ok(Owner::Inode { ino, fork, file_start: 0 }),
        };
    }
    let file_start = object.required("file_start", |at| at.number())?;
    match file_start.checked_add(len) {
        Some(_) => Ok(Owner::Inode { ino, fork, file_start }),
        None => Err(object.at().bad("file_start plus length does not fit in 64 bits")),
    }
}

/// The words of the map, or `None` for an inode number.
fn special(at: At<'_>) -> Result<Option<Special>> {
    if at.number().is_ok() {
        return Ok(None);
    }
    let named = Special::from_words(at.text()?)
        .filter(|special| !matches!(special, Special::Other { .. } | Special::Defective));
    named.map(Some).ok_or_else(|| {
        at.fail(Kind::BadValue, "is neither an inode number nor one of the map's own words")
    })
}

/// The map of an XFS is in whole blocks, and no extent of the data device leaves its group.
fn check_groups(object: &Object<'_>, fs: &Filesystem) -> Result<()> {
    if fs.kind != FsKind::Xfs {
        return Ok(());
    }
    let block = |byte: u64| byte.checked_div(fs.block_size).unwrap_or(0);
    let group = |byte: u64| block(byte).checked_div(fs.geometry.ag_blocks);
    object.many("extents", |at| {
        let Some(extent) = fs.extents.get(at.index()) else { return Ok(()) };
        let aligned = |bytes: u64| bytes.checked_rem(fs.block_size) == Some(0);
        if !aligned(extent.start()) || !aligned(extent.len()) {
            return Err(at.bad(format!("is not in whole blocks of {} bytes", fs.block_size)));
        }
        let last = extent.place.last().get();
        if extent.device == fs.device && group(extent.start()) != group(last) {
            return Err(at.bad("reaches over the end of its allocation group"));
        }
        Ok(())
    })?;
    Ok(())
}
