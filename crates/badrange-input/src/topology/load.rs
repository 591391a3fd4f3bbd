//! From the entries of a `stack.toml` to devices, in whatever order they lean on one another.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    io::Read,
};

use badrange_block::dm::{Table, Target};
use badrange_core::{Extent, PageSize, PhysAddr, Sector};
use badrange_pmem::{Align, Mode, Namespace};
use toml::Spanned;

use super::{
    Device, Filesystem, Layer, PhysicalMemory, Topology, cxl, fs, gaps,
    jobs::{Job, Wanted},
    thin,
};
use crate::{
    Area, Files, Format, ParseError, ParseErrorKind, PartitionTable, PhysicalVolume, StackError,
    parse_badblocks, recognise,
    sniff::RECOGNISE_BYTES,
    stackfile::{DiskEntry, FsEntry, MemoryEntry, Number, PmemEntry, Text, Toml},
};

/// Logical block size of a device of which nothing says otherwise.
pub(super) const DEFAULT_LOGICAL_BLOCK: u64 = 512;

/// Spaces of the command line that are no devices.
const RESERVED: [&str; 2] = ["phys", "pfn"];

/// What is built so far.
pub(super) struct Loader<'a> {
    pub(super) toml: Toml<'a>,
    pub(super) files: &'a dyn Files,
    pub(super) topology: Topology,
    /// Devices by name, each with the place it was described at.
    by_name: HashMap<String, (usize, String)>,
    /// Partition tables by device, for the areas that are in no partition.
    pub(super) tables: BTreeMap<usize, PartitionTable>,
    /// Devices whose logical block size was given, and where.
    blocks_given: HashMap<usize, u64>,
    /// The volume group of each device that is a physical volume.
    pv_groups: HashMap<usize, String>,
    /// Thin pools, and what is mapped in them.
    pub(super) pools: thin::Pools,
    /// Devices that a table of device-mapper describes, by name.
    pub(super) from_tables: HashSet<String>,
    /// What `[[fs]]` says, and the filesystems that were read so far, by their place in it.
    fs: &'a [FsEntry],
    mounted: BTreeMap<usize, Filesystem>,
    /// Devices that hold nothing but metadata, by name: of no use above, so they may be missing.
    pub(super) metadata: Vec<(String, Area)>,
}

pub(super) fn load(name: &str, text: &str, files: &dyn Files) -> Result<Topology, StackError> {
    let toml = Toml { name, text };
    let file = toml.parse()?;
    let topology = Topology {
        devices: Vec::new(),
        filesystems: Vec::new(),
        notes: Vec::new(),
        memory: PhysicalMemory::default(),
        numbers: numbers(&file),
    };
    let mut loader = Loader {
        toml,
        files,
        topology,
        by_name: HashMap::new(),
        tables: BTreeMap::new(),
        blocks_given: HashMap::new(),
        pv_groups: HashMap::new(),
        pools: thin::Pools::default(),
        metadata: Vec::new(),
        from_tables: HashSet::new(),
        fs: &file.fs,
        mounted: BTreeMap::new(),
    };
    loader.pools = thin::mappings(&loader, &file)?;
    for disk in &file.disk {
        loader.disk(disk)?;
    }
    cxl::load(&mut loader, &file)?;
    loader.memory(&file.memory)?;
    for pmem in &file.pmem {
        loader.pmem(pmem)?;
    }
    let jobs = loader.jobs(&file)?;
    let tables = jobs.iter().filter(|job| job.is_table());
    loader.from_tables = tables.flat_map(Job::makes).map(str::to_owned).collect();
    loader.run(jobs)?;
    loader.describe_partitioned();
    thin::describe(&mut loader)?;
    loader.describe_metadata();
    for index in 0..file.fs.len() {
        loader.mount(index)?;
    }
    loader.topology.filesystems = loader.mounted.into_values().collect();
    Ok(loader.topology)
}

/// Keys like `8:2` of every `devices` of `[[dm]]`.
fn numbers(file: &crate::stackfile::StackFile) -> BTreeMap<String, String> {
    let digits = |key: &str| key.bytes().all(|b| b == b':' || b.is_ascii_digit());
    let all = file.dm.iter().flat_map(|entry| &entry.devices);
    let numbered = all.filter(|(key, _)| key.contains(':') && digits(key));
    numbered.map(|(key, name)| (key.clone(), name.get_ref().clone())).collect()
}

impl Loader<'_> {
    /// Adds a device that is described at `at`; returns its place.
    pub(super) fn add(&mut self, device: Device, at: &Text) -> Result<usize, StackError> {
        self.add_from(device, self.toml.error(at, ""))
    }

    /// Adds a device; `origin` says where it is described, and becomes the error if the name is
    /// taken or cannot be asked about.
    pub(super) fn add_from(
        &mut self,
        device: Device,
        origin: StackError,
    ) -> Result<usize, StackError> {
        let place = self.topology.devices.len();
        let refuse = |message: String| Err(StackError::new(origin.file(), origin.line(), message));
        if RESERVED.contains(&device.name.as_str()) {
            return refuse(format!(
                "{:?} means physical memory: no device has that name",
                device.name
            ));
        }
        if let Some((_, first)) = self.by_name.get(&device.name) {
            return refuse(format!(
                "device name {:?} is given twice, first in {first}: if both describe the same \
                 device, leave one out",
                device.name
            ));
        }
        let line = origin.line().map_or_else(String::new, |line| format!(":{line}"));
        self.by_name.insert(device.name.clone(), (place, format!("{}{line}", origin.file())));
        self.topology.devices.push(device);
        Ok(place)
    }

    pub(super) fn find(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).map(|(place, _)| *place)
    }

    pub(super) fn device(&self, place: usize) -> Option<&Device> {
        self.topology.devices.get(place)
    }

    /// A device holds one physical volume at most.
    pub(super) fn claim(
        &mut self,
        place: usize,
        group: &str,
        pv: &PhysicalVolume,
        job: &Job,
    ) -> Result<(), StackError> {
        match self.pv_groups.insert(place, group.to_owned()) {
            None => Ok(()),
            Some(other) => Err(StackError::new(
                job.error("").file(),
                Some(pv.line),
                format!("the device of this physical volume is one of group {other:?} already"),
            )),
        }
    }

    /// A device is a member of one array at most, and of no volume group at the same time.
    pub(super) fn claim_for(
        &mut self,
        place: usize,
        array: &str,
        job: &Job,
    ) -> Result<(), StackError> {
        let name = self.device(place).map_or_else(String::new, |d| d.name.clone());
        match self.pv_groups.insert(place, array.to_owned()) {
            None => Ok(()),
            Some(other) => {
                Err(job.error(format!("{name} is a part of {other:?} already, not of {array:?}")))
            }
        }
    }

    pub(super) fn describe(&mut self, place: usize, areas: Vec<(Extent, Area)>) {
        if let Some(device) = self.topology.devices.get_mut(place) {
            device.areas = areas;
        }
    }

    fn disk(&mut self, entry: &DiskEntry) -> Result<(), StackError> {
        let extent = self.whole(&entry.sectors)?;
        let given = self.logical_block(entry.logical_block.as_ref())?;
        let logical_block = given.unwrap_or(DEFAULT_LOGICAL_BLOCK);
        let device = Device {
            name: entry.name.get_ref().clone(),
            extent,
            logical_block,
            layer: Layer::Disk,
            areas: Vec::new(),
        };
        let place = self.add(device, &entry.name)?;
        if given.is_some() {
            self.blocks_given.insert(place, logical_block);
        }
        Ok(())
    }

    /// The bytes of a device of so many sectors.
    pub(super) fn whole(&self, sectors: &Spanned<Number>) -> Result<Extent, StackError> {
        Extent::new(Sector::new(0), sectors.get_ref().0)
            .and_then(Extent::<Sector>::bytes)
            .map_err(|err| self.toml.error(sectors, err.to_string()))
    }

    /// The `logical_block` of an entry, if it is one.
    pub(super) fn logical_block(
        &self,
        given: Option<&Spanned<Number>>,
    ) -> Result<Option<u64>, StackError> {
        let Some(at) = given else { return Ok(None) };
        match at.get_ref().0 {
            block @ (512 | 4096) => Ok(Some(block)),
            other => {
                let message = format!("logical_block = {other}: must be 512 or 4096");
                Err(self.toml.error(at, message))
            }
        }
    }

    fn pmem(&mut self, entry: &PmemEntry) -> Result<(), StackError> {
        let namespace = self.namespace(entry)?;
        self.apart(entry, namespace)?;
        self.in_one_region(entry, namespace)?;
        self.in_memory(entry, namespace)?;
        let badblocks = match &entry.badblocks {
            Some(file) => {
                Some(self.parse(file, &[Format::Badblocks], |_, input| parse_badblocks(input))?)
            }
            None => None,
        };
        let device = Device {
            name: entry.name.get_ref().clone(),
            extent: namespace.capacity(),
            logical_block: DEFAULT_LOGICAL_BLOCK,
            layer: Layer::Pmem { namespace, badblocks },
            areas: Vec::new(),
        };
        self.add(device, &entry.name).map(|_| ())
    }

    /// A namespace is in one CXL region, or in none.
    fn in_one_region(&self, entry: &PmemEntry, namespace: Namespace) -> Result<(), StackError> {
        let whole = namespace.whole();
        let parts = self.topology.regions().filter_map(|(_, region)| region.hpa().intersect(whole));
        match parts.into_iter().find(|part| *part != whole) {
            Some(part) => {
                let message = format!("only {part} of it are in a CXL region");
                Err(self.toml.error(&entry.phys, message))
            }
            None => Ok(()),
        }
    }

    /// Where the size of memory is given, a namespace is in it.
    fn in_memory(&self, entry: &PmemEntry, namespace: Namespace) -> Result<(), StackError> {
        let whole = namespace.whole();
        match self.topology.memory.size.filter(|size| whole.end().get() > *size) {
            Some(size) => {
                let message = format!("{whole} reach beyond the {size} bytes of memory");
                Err(self.toml.error(&entry.phys, message))
            }
            None => Ok(()),
        }
    }

    /// Physical memory, which there is one of.
    fn memory(&mut self, entries: &[Spanned<MemoryEntry>]) -> Result<(), StackError> {
        let Some(entry) = entries.first().map(Spanned::get_ref) else { return Ok(()) };
        if let Some(second) = entries.get(1) {
            let message = "a machine has one physical memory".to_owned();
            return Err(self.toml.error(second, message));
        }
        let memory = &mut self.topology.memory;
        if let Some(name) = &entry.name {
            memory.name.clone_from(name.get_ref());
        }
        if let Some(size) = &entry.size {
            if size.get_ref().0 == 0 {
                return Err(self.toml.error(size, "a memory has bytes".to_owned()));
            }
            memory.size = Some(size.get_ref().0);
        }
        if let Some(page) = &entry.page {
            memory.page = page
                .get_ref()
                .parse::<PageSize>()
                .map_err(|err| self.toml.error(page, format!("{err}: expected 4K, 16K or 64K")))?;
        }
        Ok(())
    }

    /// Physical memory is in one namespace at most.
    fn apart(&self, entry: &PmemEntry, new: Namespace) -> Result<(), StackError> {
        for device in &self.topology.devices {
            let Layer::Pmem { namespace, .. } = &device.layer else { continue };
            if let Some(both) = namespace.whole().intersect(new.whole()) {
                let message = format!("{both} are in namespace {:?} too", device.name);
                return Err(self.toml.error(&entry.phys, message));
            }
        }
        Ok(())
    }

    fn namespace(&self, entry: &PmemEntry) -> Result<Namespace, StackError> {
        let word = |at: &Text, known: &str| {
            self.toml.error(at, format!("{:?} is not known: expected {known}", at.get_ref()))
        };
        let mode = Mode::from_name(entry.mode.get_ref())
            .ok_or_else(|| word(&entry.mode, "fsdax, devdax or raw"))?;
        let phys = PhysAddr::new(entry.phys.get_ref().0);
        let whole = Extent::new(phys, entry.size.0)
            .map_err(|err| self.toml.error(&entry.phys, err.to_string()))?;
        let namespace = Namespace::new(whole, entry.data_offset.0, mode)
            .map_err(|err| self.toml.error(&entry.phys, err.to_string()))?;
        let Some(align) = &entry.align else { return Ok(namespace) };
        let known = Align::from_name(align.get_ref()).ok_or_else(|| word(align, "4K, 2M or 1G"))?;
        namespace.with_align(known).map_err(|err| self.toml.error(align, err.to_string()))
    }

    /// Reads one file of one of the wanted formats.
    pub(super) fn parse<T>(
        &self,
        file: &Text,
        wanted: &[Format],
        parse: impl FnOnce(Format, &mut dyn std::io::BufRead) -> Result<T, ParseError>,
    ) -> Result<T, StackError> {
        let name = file.get_ref().as_str();
        let unreadable =
            |err: std::io::Error| self.toml.error(file, format!("cannot read {name:?}: {err}"));
        let mut input = self.files.open(name).map_err(unreadable)?;
        let mut head = Vec::new();
        let limit = u64::try_from(RECOGNISE_BYTES).unwrap_or(u64::MAX);
        input.by_ref().take(limit).read_to_end(&mut head).map_err(unreadable)?;
        let at = |err: ParseError| in_file(name, &err);
        let format = self.format(name, &head, wanted)?;
        let mut whole = head.as_slice().chain(input);
        parse(format, &mut whole).map_err(at)
    }

    /// What the file is, if that is what can be used here.
    fn format(&self, name: &str, head: &[u8], wanted: &[Format]) -> Result<Format, StackError> {
        let names: Vec<_> = wanted.iter().map(|f| f.as_str()).collect();
        let expected = names.join(", ");
        // An empty list of bad sectors and an empty device-mapper listing are empty files.
        if head.iter().all(u8::is_ascii_whitespace) {
            if let [only @ (Format::Badblocks | Format::InodePaths)] = wanted {
                return Ok(*only);
            }
        }
        let format = match recognise(head) {
            Ok(format) => format,
            // Nothing that is known: then the parser of what it should be says what is wrong where.
            Err(err) if err.kind() == ParseErrorKind::NotThisFormat => {
                return Ok(likely(head, wanted));
            }
            Err(err) => {
                let text = message(&err);
                let told = names.iter().any(|wanted| text.contains(wanted));
                let hint = if told { String::new() } else { format!("; expected {expected}") };
                return Err(StackError::new(name, err.line(), format!("{text}{hint}")));
            }
        };
        // Numbers in pairs are bad sectors or inodes with paths that are numbers: the entry says.
        let pairs = [Format::Badblocks, Format::InodePaths];
        if let ([only], true) = (wanted, pairs.contains(&format)) {
            if pairs.contains(only) {
                return Ok(*only);
            }
        }
        if wanted.contains(&format) {
            return Ok(format);
        }
        let message = format!("this is the output of {format}; expected {expected}");
        Err(StackError::new(name, None, message))
    }

    /// The logical block size of a device: the largest of those it lies on, as the kernel stacks
    /// queue limits.
    pub(super) fn inherited_block(&self, below: impl IntoIterator<Item = usize>) -> u64 {
        let blocks = below.into_iter().filter_map(|at| self.device(at)).map(|d| d.logical_block);
        blocks.max().unwrap_or(DEFAULT_LOGICAL_BLOCK)
    }

    /// Makes the table and the disk agree on the size of a logical block: what only one of them
    /// says, counts for both.
    pub(super) fn agree_on_block(
        &mut self,
        place: usize,
        table: PartitionTable,
        file: &Text,
    ) -> Result<PartitionTable, StackError> {
        let given = self.blocks_given.get(&place).copied();
        let err = |message: String| StackError::new(file.get_ref().as_str(), None, message);
        match given {
            Some(block) if block == table.logical_block => Ok(table),
            Some(block) if !table.block_stated => table.counted_in(block).ok_or_else(|| {
                err(format!("in blocks of {block} bytes a partition ends beyond 64 bits"))
            }),
            Some(block) => Err(err(format!(
                "sector-size: {}: the disk has logical_block = {block}",
                table.logical_block
            ))),
            None => {
                if let Some(device) = self.topology.devices.get_mut(place) {
                    device.logical_block = table.logical_block;
                }
                Ok(table)
            }
        }
    }

    fn run(&mut self, mut waiting: Vec<Job>) -> Result<(), StackError> {
        while !waiting.is_empty() {
            let before = waiting.len();
            let mut blocked = Vec::new();
            for job in waiting {
                match job.missing(self) {
                    None => job.run(self)?,
                    Some(_) => blocked.push(job),
                }
            }
            if blocked.len() == before {
                return Err(self.cannot_go_on(&blocked));
            }
            waiting = blocked;
        }
        Ok(())
    }

    /// Nothing can be built any more: a device is missing, or some lie on one another in a ring.
    fn cannot_go_on(&self, blocked: &[Job]) -> StackError {
        let made: Vec<&str> = blocked.iter().flat_map(Job::makes).collect();
        let missing = blocked.iter().filter_map(|job| Some((job, job.missing(self)?)));
        let mut ring = None;
        for (job, wanted) in missing {
            let err = |message: String| job.error(message);
            if !made.contains(&wanted.name()) {
                let Wanted { shown, device } = wanted;
                return err(match shown == device {
                    true => format!("there is no device {device:?} in this stack"),
                    false => format!("{shown} is {device:?}, but there is no such device here"),
                });
            }
            ring = ring.or_else(|| {
                Some(err(format!("{:?} lies on itself, through other devices", wanted.name())))
            });
        }
        ring.unwrap_or_else(|| StackError::new(self.toml.name, None, "nothing can be built"))
    }

    fn describe_partitioned(&mut self) {
        for (place, table) in core::mem::take(&mut self.tables) {
            if let Some(device) = self.topology.devices.get_mut(place) {
                let table_areas = gaps::partitioned(device.extent, &table);
                device.areas = table_areas;
            }
        }
    }

    /// Remembers the devices on which the arrays of a table keep nothing but metadata; `device` is what
    /// the table's words for one mean here.
    pub(super) fn array_metadata(
        &mut self,
        table: &Table,
        device: impl Fn(&str) -> Option<String>,
    ) {
        for (_, target) in table.targets() {
            let Target::Raid(raid) = target else { continue };
            let metadata = raid.metadata().filter_map(&device);
            self.metadata.extend(metadata.map(|name| (name, Area::MdMetadata)));
        }
    }

    fn describe_metadata(&mut self) {
        for (name, area) in core::mem::take(&mut self.metadata) {
            let Some(place) = self.find(&name) else { continue };
            let whole = self.device(place).map(|device| (device.extent, area));
            self.add_areas(place, whole.into_iter().collect());
        }
    }

    /// Adds areas to those a device has; where both are, the older ones stay.
    pub(super) fn add_areas(&mut self, place: usize, new: Vec<(Extent, Area)>) {
        let Some(device) = self.topology.devices.get_mut(place) else { return };
        let old: Vec<_> = device.areas.iter().map(|(part, _)| *part).collect();
        for (part, area) in new {
            let free = part.minus(old.iter().copied());
            device.areas.extend(free.into_iter().map(|part| (part, area)));
        }
        device.areas.sort_by_key(|(part, _)| part.start());
    }

    /// The filesystem on a device, read if it was not yet; `None` when no entry has one.
    pub(super) fn filesystem(&mut self, place: usize) -> Result<Option<&Filesystem>, StackError> {
        let name = self.device(place).map(|device| device.name.as_str());
        let on_it = self.fs.iter().position(|e| Some(e.device.get_ref().as_str()) == name);
        let Some(index) = on_it else { return Ok(None) };
        self.mount(index)?;
        Ok(self.mounted.get(&index))
    }

    /// Reads the filesystem of this entry, if it was not yet.
    fn mount(&mut self, index: usize) -> Result<(), StackError> {
        let Some(entry) = self.fs.get(index).filter(|_| !self.mounted.contains_key(&index)) else {
            return Ok(());
        };
        let new = fs::load(self, entry)?;
        if self.mounted.values().any(|old| old.device == new.device) {
            let name = entry.device.get_ref();
            let message = format!("{name:?} has two filesystems: give all maps in one");
            return Err(self.toml.error(&entry.device, message));
        }
        self.mounted.insert(index, new);
        Ok(())
    }

    /// The device that an entry names, or an error at the name.
    pub(super) fn known(&self, name: &Text) -> Result<usize, StackError> {
        self.find(name.get_ref()).ok_or_else(|| {
            let message = format!("there is no device {:?} in this stack", name.get_ref());
            self.toml.error(name, message)
        })
    }
}

/// Of several forms that a file may have, the one it most looks like.
fn likely(head: &[u8], wanted: &[Format]) -> Format {
    let text = String::from_utf8_lossy(head);
    let first = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    let looks_like = |format: &&Format| match format {
        Format::SfdiskJson
        | Format::LvsJson
        | Format::PvsJson
        | Format::Lsblk
        | Format::Losetup => first.starts_with(['{', '[']),
        Format::Filefrag => first.starts_with("File"),
        Format::XfsBmap => first.ends_with(':'),
        Format::FsmapVerbose => first.starts_with("EXT:"),
        Format::FsmapMachine => first.starts_with("EXT,"),
        Format::SfdiskDump
        | Format::VgCfg
        | Format::DmTable
        | Format::MdExamine
        | Format::ThinDump
        | Format::FsmapPlain
        | Format::Badblocks
        | Format::InodePaths => true,
    };
    wanted.iter().rev().find(looks_like).or(wanted.first()).copied().unwrap_or(Format::InodePaths)
}

/// An error of a named file.
pub(super) fn in_file(name: &str, err: &ParseError) -> StackError {
    StackError::new(name, err.line(), message(err))
}

/// The message without the line, which [`StackError`] puts in front itself.
fn message(err: &ParseError) -> String {
    let text = err.to_string();
    let prefix = err.line().map(|line| format!("line {line}: "));
    prefix.and_then(|p| text.strip_prefix(&p).map(str::to_owned)).unwrap_or(text)
}

/// The extent of `sectors` from `start`.
pub(super) fn sectors(
    toml: &Toml<'_>,
    start: &Spanned<Number>,
    sectors: Number,
) -> Result<Extent, StackError> {
    Extent::new(Sector::new(start.get_ref().0), sectors.0)
        .and_then(Extent::<Sector>::bytes)
        .map_err(|err| toml.error(start, err.to_string()))
}
