//! The maps of a filesystem, read and merged.

use std::{
    collections::{BTreeMap, HashMap},
    io::BufRead,
    sync::Arc,
};

use badrange_core::{BlockSize, Extent, FileOffset, SECTOR_SIZE};
use badrange_fs::{
    Claim, FileId, Fork, MapKind, Merge, MergeError, OrderedMerge, Owner, Record, ReverseMap,
    Source,
};

use super::{
    Filesystem,
    jobs::shown,
    load::Loader,
    names::{Paths, Prefix},
};
use crate::{
    FileExtents, Filefrag, Format, Fsmap, FsmapDev, FsmapRecord, InodePaths, ParseError,
    StackError, XfsBmap, collect_files,
    stackfile::{FsEntry, Text},
};

/// What `Filesystem type is:` says for btrfs.
const BTRFS_MAGIC: u64 = 0x9123_683e;

const KINDS: [&str; 3] = ["xfs", "ext4", "other"];

const MAPS: [Format; 5] = [
    Format::FsmapPlain,
    Format::FsmapVerbose,
    Format::FsmapMachine,
    Format::XfsBmap,
    Format::Filefrag,
];

pub(super) fn load(loader: &Loader<'_>, entry: &FsEntry) -> Result<Filesystem, StackError> {
    let device = loader.known(&entry.device)?;
    let kind = entry.kind.get_ref();
    if !KINDS.contains(&kind.as_str()) {
        let message = match kind.as_str() {
            "btrfs" => {
                "kind \"btrfs\" is not supported yet: its files have logical addresses, which \
                        its chunk tree places on devices; leave this entry out, and what is hit \
                        there is reported as the device's"
                    .to_owned()
            }
            _ => format!("kind {kind:?} is not known: expected xfs, ext4 or other"),
        };
        return Err(loader.toml.error(&entry.kind, message));
    }
    let block_size = BlockSize::new(entry.block_size.get_ref().0).map_err(|_| {
        let message = "block_size must be a power of two of at least 512";
        loader.toml.error(&entry.block_size, message)
    })?;
    if entry.map.get_ref().is_empty() {
        let message = "map is empty: name at least one fsmap, xfs_bmap or filefrag output";
        return Err(loader.toml.error(&entry.map, message));
    }
    let paths = inode_paths(loader, entry.paths.as_ref())?;
    let extent = loader.device(device).map(|d| d.extent);
    let mut maps = Maps {
        loader,
        entry,
        paths: &paths,
        extent,
        number: None,
        names: HashMap::new(),
        claims: Claims::begin(entry.map.get_ref().len()),
    };
    maps.read_all()?;
    if matches!(maps.claims, Claims::Late) {
        // The one map is in no order: once more, keeping everything.
        maps.claims = Claims::Any(Merge::new());
        maps.read_all()?;
    }
    let Maps { names, claims, number, .. } = maps;
    let map = claims.build().map_err(|err| contradiction(entry, &names, &err))?;
    Ok(Filesystem {
        device,
        kind: kind.clone(),
        block_size: block_size.get(),
        mount: entry.mount.clone(),
        map: Arc::new(map),
        paths,
        number,
        names: in_order(names),
    })
}

/// The names, each at its number.
fn in_order(names: HashMap<String, u32>) -> Vec<String> {
    let mut numbered: Vec<_> = names.into_iter().collect();
    numbered.sort_by_key(|(_, number)| *number);
    numbered.into_iter().map(|(name, _)| name).collect()
}

fn inode_paths(
    loader: &Loader<'_>,
    file: Option<&Text>,
) -> Result<BTreeMap<u64, Vec<String>>, StackError> {
    let mut paths: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    let Some(file) = file else { return Ok(paths) };
    let (mut owners, mut twice) = (HashMap::new(), None);
    loader.parse(file, &[Format::InodePaths], |_, input| {
        for entry in InodePaths::new(input) {
            let entry = entry?;
            let (ino, line) = *owners.entry(entry.path.clone()).or_insert((entry.ino, entry.line));
            if ino != entry.ino {
                twice.get_or_insert((entry.line, entry.path.clone(), ino, line));
            }
            paths.entry(entry.ino).or_default().push(entry.path);
        }
        Ok(())
    })?;
    match twice {
        None => Ok(paths),
        Some((line, path, ino, first)) => {
            let message = format!("{path:?} is inode {ino} in line {first}: a path names one file");
            Err(StackError::new(file.get_ref(), Some(line), message))
        }
    }
}

/// Names both lines of a contradiction, and what each says.
fn contradiction(entry: &FsEntry, names: &HashMap<String, u32>, err: &MergeError) -> StackError {
    let file = |source: Source| {
        let at = usize::try_from(source.file).unwrap_or(usize::MAX);
        entry.map.get_ref().get(at).map_or("", |f| f.get_ref().as_str())
    };
    let [one, other] = err.claims();
    let message = format!(
        "this line says {}, {}:{} says {} about {}: {}; save the maps again while nothing is \
         written",
        says(&one.record, names),
        file(other.source),
        other.source.line,
        says(&other.record, names),
        err.extent(),
        err.reason()
    );
    StackError::new(file(one.source), Some(one.source.line), message)
}

/// What a record says, files by their names.
fn says(record: &Record, names: &HashMap<String, u32>) -> String {
    let Owner::File { id, fork } = record.owner else { return record.owner.to_string() };
    let known = names.iter().find(|(_, number)| id == FileId::Name(**number));
    let file = known.map_or_else(|| id.to_string(), |(name, _)| format!("{name:?}"));
    let unwritten = if record.unwritten { ", unwritten" } else { "" };
    let from = record.file_start.get();
    match fork {
        Fork::Data => format!("{file} from byte {from}{unwritten}"),
        Fork::Attr | Fork::ExtentMap => format!("{file} {fork}"),
    }
}

/// The maps of one filesystem on their way into one.
struct Maps<'m> {
    loader: &'m Loader<'m>,
    entry: &'m FsEntry,
    paths: &'m BTreeMap<u64, Vec<String>>,
    extent: Option<Extent>,
    /// The number of the device that the maps are of.
    number: Option<String>,
    /// Files without an inode, by name, numbered as they come.
    names: HashMap<String, u32>,
    claims: Claims,
}

/// What the maps said so far.
#[expect(clippy::large_enum_variant, reason = "one per filesystem")]
enum Claims {
    /// One map, in order: only the bytes at hand are kept.
    Ordered(OrderedMerge),
    /// It turned out not to be in order.
    Late,
    /// All claims of all maps.
    Any(Merge),
}

impl Claims {
    fn begin(maps: usize) -> Self {
        if maps == 1 { Self::Ordered(OrderedMerge::new()) } else { Self::Any(Merge::new()) }
    }

    fn push(&mut self, claim: Claim) {
        match self {
            Self::Ordered(merge) => {
                if merge.push(claim).is_err() {
                    *self = Self::Late;
                }
            }
            Self::Late => {}
            Self::Any(merge) => merge.push(claim),
        }
    }

    fn build(self) -> Result<ReverseMap, MergeError> {
        match self {
            Self::Ordered(merge) => merge.build(),
            Self::Late => Ok(ReverseMap::default()),
            Self::Any(merge) => merge.build(),
        }
    }
}

impl Maps<'_> {
    fn read_all(&mut self) -> Result<(), StackError> {
        for (number, file) in (0_u32..).zip(self.entry.map.get_ref()) {
            self.read(number, file)?;
        }
        Ok(())
    }

    fn read(&mut self, number: u32, file: &Text) -> Result<(), StackError> {
        let mut deferred = None;
        let loader = self.loader;
        loader.parse(file, &MAPS, |format, input| {
            deferred = Some(if format == Format::Filefrag {
                self.files(number, file, &collect_files(Filefrag::new(input))?)
            } else if format == Format::XfsBmap {
                self.files(number, file, &collect_files(XfsBmap::new(input))?)
            } else {
                self.fsmap(number, file, input)?
            });
            Ok(())
        })?;
        deferred.unwrap_or(Ok(()))
    }

    /// The records of an fsmap, as they stream by.
    fn fsmap(
        &mut self,
        number: u32,
        file: &Text,
        input: &mut dyn BufRead,
    ) -> Result<Result<(), StackError>, ParseError> {
        let mut first: Option<(FsmapDev, u64)> = None;
        for record in Fsmap::new(input) {
            let record = record?;
            let (dev, line) = *first.get_or_insert((record.dev, record.line));
            if let FsmapDev::Numbers { major, minor } = dev {
                self.number.get_or_insert_with(|| format!("{major}:{minor}"));
            }
            if dev != record.dev {
                let message = format!(
                    "this row is about device {}, line {line} about {dev}: a log or realtime \
                     device; keep only the rows of {:?}",
                    record.dev,
                    self.entry.device.get_ref()
                );
                return Ok(Err(StackError::new(file.get_ref(), Some(record.line), message)));
            }
            if let Err(err) = self.inside(file, record.extent, record.line) {
                return Ok(Err(err));
            }
            self.claims.push(claim_of(number, &record));
        }
        Ok(Ok(()))
    }

    fn inside(&self, file: &Text, extent: Extent, line: u64) -> Result<(), StackError> {
        match self.extent {
            Some(all) if !all.contains_extent(extent) => {
                let message = format!(
                    "{} reach beyond device {:?}, which has {} sectors: the map is of another \
                     device, or in other units",
                    shown(extent),
                    self.entry.device.get_ref(),
                    all.end().get() / SECTOR_SIZE
                );
                Err(StackError::new(file.get_ref(), Some(line), message))
            }
            _ => Ok(()),
        }
    }

    /// The extents of files that are known by name.
    fn files(&mut self, number: u32, file: &Text, files: &[FileExtents]) -> Result<(), StackError> {
        let paths = Paths::new(self.paths).map_err(|path| {
            let at = self.entry.paths.as_ref().map_or("paths", |p| p.get_ref().as_str());
            let message = format!("path {path:?} is given to two inodes: a path names one file");
            StackError::new(at, None, message)
        })?;
        let names: Vec<_> = files.iter().map(|f| f.file.name.as_str()).collect();
        let prefix = paths.prefix(&names, self.entry.mount.as_deref()).map_err(|[a, b]| {
            let message = format!(
                "the names could stand below {a:?} or below {b:?}: add mount = \"...\" in {}",
                self.loader.toml.name
            );
            StackError::new(file.get_ref(), None, message)
        })?;
        for one in files {
            self.usable(file, one)?;
            let id = self.identify(&paths, &prefix, file, one)?;
            for extent in &one.extents {
                let Some(device) = extent.place.device() else { continue };
                self.inside(file, device, extent.line)?;
                self.claims.push(Claim {
                    record: Record {
                        extent: device,
                        owner: Owner::File { id, fork: Fork::Data },
                        file_start: extent.file.start(),
                        unwritten: extent.unwritten.unwrap_or(false),
                    },
                    shared: extent.shared.unwrap_or(false),
                    kind: MapKind::Files,
                    source: Source { file: number, line: extent.line },
                });
            }
        }
        Ok(())
    }

    /// Refuses maps whose positions are not bytes of this device.
    fn usable(&self, file: &Text, one: &FileExtents) -> Result<(), StackError> {
        let refuse =
            |message: String| Err(StackError::new(file.get_ref(), Some(one.file.line), message));
        if one.file.fs_magic == Some(BTRFS_MAGIC) {
            return refuse(
                "this is btrfs: filefrag prints its logical addresses, not bytes of a device; \
                 btrfs is not supported yet"
                    .to_owned(),
            );
        }
        let (unit, block) = (one.file.block_bytes, self.entry.block_size.get_ref().0);
        if unit > block {
            return refuse(format!(
                "positions are in units of {unit} bytes, the filesystem's blocks have {block}: \
                 they were rounded; run filefrag without -k, or with -b{block}"
            ));
        }
        Ok(())
    }

    fn identify(
        &mut self,
        paths: &Paths,
        prefix: &Prefix,
        file: &Text,
        one: &FileExtents,
    ) -> Result<FileId, StackError> {
        let name = &one.file.name;
        let inode = paths.inode(name, prefix).map_err(|[a, b]| {
            let message =
                format!("{name:?} could be inode {a} or inode {b}: correct mount or paths");
            StackError::new(file.get_ref(), Some(one.file.line), message)
        })?;
        if let Some(ino) = inode {
            return Ok(FileId::Ino(ino));
        }
        let next = u32::try_from(self.names.len()).map_err(|_| {
            StackError::new(file.get_ref(), Some(one.file.line), "too many files without an inode")
        })?;
        Ok(FileId::Name(*self.names.entry(name.clone()).or_insert(next)))
    }
}

fn claim_of(number: u32, record: &FsmapRecord) -> Claim {
    Claim {
        record: Record {
            extent: record.extent,
            owner: record.owner,
            file_start: record.file_start.unwrap_or(FileOffset::new(0)),
            unwritten: record.unwritten.unwrap_or(false),
        },
        shared: record.shared.unwrap_or(false),
        kind: MapKind::Complete,
        source: Source { file: number, line: record.line },
    }
}

#[cfg(test)]
mod tests {
    use crate::{MemoryFiles, Topology};

    const HEAD: &str = "EXT,MAJOR,MINOR,PSTART,PEND,OWNER,OSTART,OEND,LENGTH\n";
    const ROWS: [&str; 3] = [
        "0,8,1,0,7,special_88:1,,,8\n",
        "1,8,1,8,15,inode_132_data,0,7,8\n",
        "2,8,1,8,15,inode_133_data,8,15,8\n",
    ];

    fn load(rows: &[&str]) -> Topology {
        let toml = "schema = \"badrange.stack/1\"\n\
                    [[disk]]\nname = \"d\"\nsectors = 64\n\
                    [[fs]]\ndevice = \"d\"\nkind = \"xfs\"\nmap = [\"m\"]\nblock_size = 4096\n";
        let files = MemoryFiles::new().with("m", format!("{HEAD}{}", rows.concat()));
        Topology::load("stack.toml", toml, &files).unwrap()
    }

    #[test]
    fn a_map_that_is_in_no_order_is_the_same_map() {
        let [a, b, c] = ROWS;
        let ordered = load(&[a, b, c]);
        let map = &ordered.filesystems()[0].map;
        assert_eq!(map.len(), 3);
        for rows in [[c, b, a], [b, a, c], [a, c, b]] {
            assert_eq!(&load(&rows).filesystems()[0].map, map);
        }
    }
}
