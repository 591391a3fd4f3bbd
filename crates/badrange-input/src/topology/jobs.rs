//! Devices that lie on others: what each needs, and how it is made once that is there.

use std::sync::Arc;

use badrange_block::dm::{Table, TableError, Thin, ThinPool};
use badrange_core::{DevOffset, Extent, Mapping, SECTOR_SIZE, Window};

use super::{
    Device, Layer,
    load::{Loader, in_file, sectors},
    loops, lvm, md, thin,
};
use crate::{
    Area, DmDevice, Format, PartitionKind, PartitionTable, PhysicalVolume, StackError, VolumeGroup,
    parse_dm_table, parse_lvs_json, parse_pvs_json, parse_sfdisk_dump, parse_sfdisk_json,
    parse_vgcfg,
    stackfile::{DmEntry, LvmEntry, MdEntry, PartitionsEntry, StackFile, Text},
};

/// A device that something lies on: how the text names it, and which device here that is.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) shown: String,
    pub(super) device: String,
}

impl Wanted {
    fn here(name: &Text) -> Self {
        Self { shown: name.get_ref().clone(), device: name.get_ref().clone() }
    }

    pub(super) fn name(&self) -> &str {
        &self.device
    }
}

/// Where an error about a job is.
#[derive(Debug)]
pub(super) struct Place {
    file: String,
    line: Option<u64>,
}

/// One or several devices, made together.
#[derive(Debug)]
pub(super) struct Job {
    place: Place,
    needs: Vec<Wanted>,
    makes: Vec<String>,
    what: What,
}

#[derive(Debug)]
enum What {
    Partitions { table: PartitionTable, names: Vec<String>, file: Text },
    Partition { at: Extent, name: Text },
    Group { group: VolumeGroup },
    Dm { table: Table },
    ThinPool { pool: ThinPool },
    Thin { thin: Thin },
    Md { superblocks: Vec<md::Superblock> },
    Loop(loops::Loop),
}

impl Loader<'_> {
    /// Reads every file that describes devices.
    pub(super) fn jobs(&mut self, file: &StackFile) -> Result<Vec<Job>, StackError> {
        let mut jobs = Vec::new();
        for entry in &file.partitions {
            jobs.push(self.partitions(entry)?);
        }
        for entry in &file.partition {
            let at = sectors(&self.toml, &entry.start, entry.sectors)?;
            jobs.push(Job {
                place: self.place(&entry.on),
                needs: vec![Wanted::here(&entry.on)],
                makes: vec![entry.name.get_ref().clone()],
                what: What::Partition { at, name: entry.name.clone() },
            });
        }
        for entry in &file.lvm {
            jobs.extend(self.volume_groups(entry)?);
        }
        for entry in &file.dm {
            jobs.extend(self.dm_devices(entry)?);
        }
        for entry in &file.md {
            jobs.push(self.md_array(entry)?);
        }
        for entry in &file.loops {
            jobs.push(Job {
                place: self.place(&entry.on),
                needs: vec![Wanted::here(&entry.on)],
                makes: vec![entry.name.get_ref().clone()],
                what: What::Loop(loops::read(self, entry)?),
            });
        }
        Ok(jobs)
    }

    fn md_array(&self, entry: &MdEntry) -> Result<Job, StackError> {
        let superblocks = md::superblocks(self, entry)?;
        Ok(Job {
            place: self.place(&entry.name),
            needs: entry.devices.get_ref().iter().map(Wanted::here).collect(),
            makes: vec![entry.name.get_ref().clone()],
            what: What::Md { superblocks },
        })
    }

    fn place(&self, at: &Text) -> Place {
        let err = self.toml.error(at, "");
        Place { file: err.file().to_owned(), line: err.line() }
    }

    fn partitions(&self, entry: &PartitionsEntry) -> Result<Job, StackError> {
        let wanted = [Format::SfdiskDump, Format::SfdiskJson];
        let table = self.parse(&entry.table, &wanted, |format, input| {
            if format == Format::SfdiskJson {
                parse_sfdisk_json(input)
            } else {
                parse_sfdisk_dump(input)
            }
        })?;
        let on = entry.on.get_ref();
        let names = match &entry.names {
            None => table.entries.iter().map(|e| partition_name(on, e.number)).collect(),
            Some(names) if names.get_ref().len() == table.entries.len() => {
                names.get_ref().iter().map(|n| n.get_ref().clone()).collect::<Vec<_>>()
            }
            Some(names) => {
                let (given, there) = (names.get_ref().len(), table.entries.len());
                let message = format!("{given} names for the {there} partitions of the table");
                return Err(self.toml.error(names, message));
            }
        };
        Ok(Job {
            place: self.place(&entry.on),
            needs: vec![Wanted::here(&entry.on)],
            makes: names.clone(),
            what: What::Partitions { table, names, file: entry.table.clone() },
        })
    }

    fn volume_groups(&mut self, entry: &LvmEntry) -> Result<Vec<Job>, StackError> {
        let (file, groups) = self.lvm_metadata(entry)?;
        let several = groups.len() > 1;
        let mut jobs = Vec::new();
        for group in groups {
            let is_given = |pv: &PhysicalVolume| pv_device(entry, pv).is_some();
            if several && !group.pvs.iter().any(is_given) {
                let message = format!(
                    "volume group {:?} is left out: none of its physical volumes is in devices",
                    group.name
                );
                self.topology.notes.push(StackError::new(&*file, Some(group.line), message));
                continue;
            }
            jobs.push(self.volume_group(entry, &file, group)?);
        }
        Ok(jobs)
    }

    fn lvm_metadata(&self, entry: &LvmEntry) -> Result<(String, Vec<VolumeGroup>), StackError> {
        match (&entry.metadata, &entry.lvs, &entry.pvs) {
            (Some(file), None, None) => {
                let groups = self.parse(file, &[Format::VgCfg], |_, input| parse_vgcfg(input))?;
                Ok((file.get_ref().clone(), groups))
            }
            (None, Some(lvs), Some(pvs)) => {
                let of_pvs =
                    self.parse(pvs, &[Format::PvsJson], |_, input| parse_pvs_json(input))?;
                let of_lvs =
                    self.parse(lvs, &[Format::LvsJson], |_, input| parse_lvs_json(input))?;
                let groups = of_lvs.volume_groups(&of_pvs).map_err(|err| {
                    in_file(if err.is_in_pvs() { pvs.get_ref() } else { lvs.get_ref() }, &err)
                })?;
                Ok((lvs.get_ref().clone(), groups))
            }
            _ => {
                let message = "[[lvm]] needs either metadata (vgcfgbackup text), or both lvs and \
                               pvs (JSON reports)";
                let given = [&entry.metadata, &entry.lvs, &entry.pvs].into_iter().flatten().next();
                Err(given.map_or_else(
                    || StackError::new(self.toml.name, None, message),
                    |at| self.toml.error(at, message),
                ))
            }
        }
    }

    fn volume_group(
        &self,
        entry: &LvmEntry,
        file: &str,
        group: VolumeGroup,
    ) -> Result<Job, StackError> {
        let mut needs: Vec<Wanted> = Vec::new();
        for pv in &group.pvs {
            let names = pv.names.join(" or ");
            let at = |message: String| StackError::new(file, Some(pv.line), message);
            let device = pv_device(entry, pv).ok_or_else(|| {
                let name = pv.names.first().map_or("", String::as_str);
                at(format!(
                    "physical volume {names} is on no device here: add \"{name}\" = \"<device>\" \
                     to devices in {}",
                    self.toml.name
                ))
            })?;
            if let Some(other) = needs.iter().find(|w| w.device == device) {
                return Err(at(format!("{device:?} is given for {} too", other.shown)));
            }
            needs.push(Wanted { shown: format!("physical volume {names}"), device });
        }
        let makes = group.lvs.iter().map(|lv| lv.dm_name.clone()).collect();
        let place = Place { file: file.to_owned(), line: Some(group.line) };
        Ok(Job { place, needs, makes, what: What::Group { group } })
    }

    fn dm_devices(&mut self, entry: &DmEntry) -> Result<Vec<Job>, StackError> {
        let devices =
            self.parse(&entry.table, &[Format::DmTable], |_, input| parse_dm_table(input))?;
        let mut jobs = Vec::new();
        for device in devices {
            jobs.push(self.dm_device(entry, &device)?);
        }
        Ok(jobs)
    }

    fn dm_device(&mut self, entry: &DmEntry, device: &DmDevice) -> Result<Job, StackError> {
        let file = entry.table.get_ref();
        let line = device.lines.first().map(|l| l.line);
        let name = match (&device.name, &entry.name) {
            (Some(own), None) => own.clone(),
            (None, Some(given)) => given.get_ref().clone(),
            (Some(own), Some(given)) if own == given.get_ref() => own.clone(),
            (Some(own), Some(given)) => {
                let message = format!(
                    "the table names its device {own:?}, name = {:?} does not fit",
                    given.get_ref()
                );
                return Err(StackError::new(file, line, message));
            }
            (None, None) => {
                let message = format!(
                    "the table does not name its device: add name = \"<device>\" in {}",
                    self.toml.name
                );
                return Err(StackError::new(file, line, message));
            }
        };
        if let Some(job) = self.thin_device(entry, device, &name)? {
            return Ok(job);
        }
        let lines = device.lines.iter().map(|l| (l.line, l.text.as_str()));
        let (table, refused) = Table::parse_known(lines).map_err(|err| in_table(file, &err))?;
        for err in &refused {
            self.topology.notes.push(dm_note(file, &name, err));
        }
        self.array_metadata(&table, |named| resolve(entry, named));
        let needs = table.legs_info().map(|leg| self.dm_leg(entry, leg.device, line));
        let needs = needs.collect::<Result<_, _>>()?;
        let place = Place { file: file.clone(), line };
        Ok(Job { place, needs, makes: vec![name], what: What::Dm { table } })
    }

    /// A thin pool or one of its volumes: these have one line.
    fn thin_device(
        &mut self,
        entry: &DmEntry,
        device: &DmDevice,
        name: &str,
    ) -> Result<Option<Job>, StackError> {
        let [only] = device.lines.as_slice() else { return Ok(None) };
        let place = Place { file: entry.table.get_ref().clone(), line: Some(only.line) };
        let leg = |named: &str| self.dm_leg(entry, named, Some(only.line));
        let Some((job, metadata)) = thin_job(place, &only.text, name, leg)? else {
            return Ok(None);
        };
        // Nothing leads through the metadata: a device that is not described may be missing.
        let metadata = metadata.and_then(|named| resolve(entry, &named));
        self.metadata.extend(metadata.map(|name| (name, Area::ThinMetadata)));
        Ok(Some(job))
    }

    fn dm_leg(
        &self,
        entry: &DmEntry,
        named: &str,
        line: Option<u64>,
    ) -> Result<Wanted, StackError> {
        let device = resolve(entry, named).ok_or_else(|| {
            let message = format!(
                "device {named} is not known here: add \"{named}\" = \"<device>\" to devices in {}",
                self.toml.name
            );
            StackError::new(entry.table.get_ref(), line, message)
        })?;
        Ok(Wanted { shown: named.to_owned(), device })
    }
}

/// The making of a thin pool or of one of its volumes from its line, and what the line calls the
/// metadata of a pool; `leg` finds the devices. `None` for other targets.
pub(super) fn thin_job(
    place: Place,
    line: &str,
    name: &str,
    leg: impl Fn(&str) -> Result<Wanted, StackError>,
) -> Result<Option<(Job, Option<String>)>, StackError> {
    let refused = |err: TableError| match place.line {
        Some(number) => in_table(&place.file, &err.in_line(number)),
        None => in_table(&place.file, &err),
    };
    let pool = ThinPool::parse(line).map_err(refused)?;
    let thin = Thin::parse(line).map_err(refused)?;
    let makes = vec![name.to_owned()];
    if let Some(pool) = pool {
        let (needs, metadata) = (vec![leg(&pool.data)?], Some(pool.metadata.clone()));
        return Ok(Some((Job { place, needs, makes, what: What::ThinPool { pool } }, metadata)));
    }
    let Some(thin) = thin else { return Ok(None) };
    let named = core::iter::once(&thin.pool).chain(&thin.origin);
    let needs = named.map(|named| leg(named)).collect::<Result<_, _>>()?;
    Ok(Some((Job { place, needs, makes, what: What::Thin { thin } }, None)))
}

/// Bytes as the text counts them, where they are whole sectors.
pub(super) fn shown(extent: Extent) -> String {
    let sectors = extent.containing_sectors();
    let exact = sectors.bytes().is_ok_and(|bytes| bytes == extent);
    if exact {
        return format!("sectors {}+{}", sectors.start().get(), sectors.len());
    }
    extent.to_string()
}

/// The kernel's rule: a `p` goes between when the device's name ends in a digit.
fn partition_name(on: &str, number: u32) -> String {
    let p = if on.ends_with(|c: char| c.is_ascii_digit()) { "p" } else { "" };
    format!("{on}{p}{number}")
}

/// The device here that a physical volume is on, by any of its names.
fn pv_device(entry: &LvmEntry, pv: &PhysicalVolume) -> Option<String> {
    pv.names.iter().find_map(|n| entry.devices.get(n)).map(|device| device.get_ref().clone())
}

/// The device here that a table means: by its own words, or by the last component of a path, or by
/// a name that needs no translation. Numbers always do.
fn resolve(entry: &DmEntry, named: &str) -> Option<String> {
    let last = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    if let Some(device) = entry.devices.get(named) {
        return Some(device.get_ref().clone());
    }
    let is_numbers = named.chars().all(|c| c == ':' || c.is_ascii_digit());
    if is_numbers {
        return None;
    }
    let by_last = entry.devices.iter().find(|(key, _)| last(key) == last(named));
    Some(by_last.map_or_else(|| last(named), |(_, device)| device.get_ref().clone()))
}

fn in_table(file: &str, err: &TableError) -> StackError {
    let text = err.to_string();
    let prefix = err.line().map(|line| format!("line {line}: ")).unwrap_or_default();
    StackError::new(file, err.line(), text.strip_prefix(&prefix).unwrap_or(&text))
}

fn dm_note(file: &str, name: &str, err: &TableError) -> StackError {
    let why = in_table(file, err);
    let message = format!(
        "{name}: target type {:?} is not supported: what it uses below stays unexplained",
        err.value()
    );
    StackError::new(file, why.line(), message)
}

/// What lies on a view (LVM's placeholder above a thin pool) is on nobody's way up either.
fn seen_through(loader: &Loader<'_>, device: &Device) -> Option<Layer> {
    let Layer::Mapped { table, legs } = &device.layer else { return None };
    let views = legs.iter().filter_map(|leg| {
        let Layer::View { of, at } = loader.device(*leg)?.layer else { return None };
        Some((of, at))
    });
    let (of, at) = views.into_iter().next()?;
    let mut targets = table.legs_info();
    match (targets.next(), targets.next()) {
        (Some(only), None) if table.extent().len() == only.on.len() => {
            let at = only.on.rebase(DevOffset::new(0), at.start())?;
            Some(Layer::View { of, at })
        }
        _ => Some(Layer::Opaque),
    }
}

impl Job {
    /// The first device it needs that is not there yet.
    pub(super) fn missing(&self, loader: &Loader<'_>) -> Option<Wanted> {
        self.needs.iter().find(|w| loader.find(&w.device).is_none()).cloned()
    }

    /// Whether it is a device of a device-mapper table.
    pub(super) fn is_table(&self) -> bool {
        matches!(self.what, What::Dm { .. } | What::ThinPool { .. } | What::Thin { .. })
    }

    /// A line of the file that it is from.
    pub(super) fn at(&self, line: u64) -> Place {
        Place { file: self.place.file.clone(), line: Some(line) }
    }

    pub(super) fn makes(&self) -> impl Iterator<Item = &str> {
        self.makes.iter().map(String::as_str)
    }

    pub(super) fn error(&self, message: impl Into<String>) -> StackError {
        StackError::new(&self.place.file, self.place.line, message)
    }

    /// Makes its devices; everything it needs is there.
    pub(super) fn run(&self, loader: &mut Loader<'_>) -> Result<(), StackError> {
        let below: Vec<usize> = self.needs.iter().filter_map(|w| loader.find(&w.device)).collect();
        match &self.what {
            What::Partitions { table, names, file } => {
                self.make_partitions(loader, &below, table, names, file)
            }
            What::Partition { at, name } => {
                let device = self.partition(loader, &below, name.get_ref(), *at)?;
                self.apart(loader, &below, *at)?;
                loader.add(device, name).map(|_| ())
            }
            What::Group { group } => lvm::make(loader, self, group, &below),
            What::Dm { table } => self.make_dm(loader, &below, table),
            What::ThinPool { pool } => match *below {
                [data] => thin::make_pool(loader, self, pool, data),
                _ => Ok(()),
            },
            What::Thin { thin } => thin::make_volume(loader, self, thin, &below),
            What::Md { superblocks } => md::make(loader, self, superblocks, &below),
            What::Loop(entry) => match *below {
                [on] => loops::make(loader, self, entry, on),
                _ => Ok(()),
            },
        }
    }

    fn make_partitions(
        &self,
        loader: &mut Loader<'_>,
        below: &[usize],
        table: &PartitionTable,
        names: &[String],
        file: &Text,
    ) -> Result<(), StackError> {
        let [on] = *below else { return Ok(()) };
        if loader.tables.contains_key(&on) {
            return Err(self.error("this device has a partition table already"));
        }
        let table = loader.agree_on_block(on, table.clone(), file)?;
        for (entry, name) in table.entries.iter().zip(names) {
            let in_table = |message| StackError::new(file.get_ref(), Some(entry.line), message);
            let device = match entry.kind {
                PartitionKind::Extended => self.view(loader, on, name, entry.extent),
                PartitionKind::Primary | PartitionKind::Logical => {
                    self.partition(loader, below, name, entry.extent)
                }
            };
            let device = device.map_err(|err| in_table(err.message().to_owned()))?;
            loader.add_from(device, in_table(String::new()))?;
        }
        loader.tables.insert(on, table);
        Ok(())
    }

    fn partition(
        &self,
        loader: &Loader<'_>,
        below: &[usize],
        name: &str,
        at: Extent,
    ) -> Result<Device, StackError> {
        let [on] = *below else { return Err(self.error("a partition is on one device")) };
        let mapping = Window::new(at);
        self.fits(loader, on, at)?;
        Ok(Device {
            name: name.to_owned(),
            extent: mapping.extent(),
            logical_block: loader.inherited_block([on]),
            layer: Layer::Partition { on, mapping },
            areas: Vec::new(),
        })
    }

    /// A byte is in one partition at most.
    fn apart(&self, loader: &Loader<'_>, below: &[usize], at: Extent) -> Result<(), StackError> {
        for device in loader.topology.devices() {
            let Layer::Partition { on, mapping } = &device.layer else { continue };
            let both = mapping.on().intersect(at).filter(|_| below == [*on]);
            if let Some(both) = both {
                let message = format!("{} are in partition {:?} too", shown(both), device.name);
                return Err(self.error(message));
            }
        }
        Ok(())
    }

    fn view(
        &self,
        loader: &Loader<'_>,
        of: usize,
        name: &str,
        at: Extent,
    ) -> Result<Device, StackError> {
        let plain = self.partition(loader, &[of], name, at)?;
        Ok(Device { layer: Layer::View { of, at }, ..plain })
    }

    pub(super) fn fits(
        &self,
        loader: &Loader<'_>,
        on: usize,
        at: Extent,
    ) -> Result<(), StackError> {
        match loader.device(on) {
            Some(device) if !device.extent.contains_extent(at) => {
                let (name, end) = (&device.name, device.extent.end().get());
                let message = format!(
                    "{} reach beyond {name}, which has {} sectors",
                    shown(at),
                    end / SECTOR_SIZE
                );
                Err(self.error(message))
            }
            _ => Ok(()),
        }
    }

    fn make_dm(
        &self,
        loader: &mut Loader<'_>,
        below: &[usize],
        table: &Table,
    ) -> Result<(), StackError> {
        let name = self.makes.first().cloned().unwrap_or_default();
        let mut device = self.mapped(loader, name, table.clone(), below)?;
        if let Some(layer) = seen_through(loader, &device) {
            device.layer = layer;
        }
        loader.add_from(device, self.error("")).map(|_| ())
    }

    /// A device with a table whose legs are these devices, in order.
    pub(super) fn mapped(
        &self,
        loader: &Loader<'_>,
        name: String,
        table: Table,
        legs: &[usize],
    ) -> Result<Device, StackError> {
        for (leg, on) in table.legs_info().zip(legs) {
            self.fits(loader, *on, leg.on)
                .map_err(|err| self.error(format!("{name}: {}: {}", leg.leg, err.message())))?;
        }
        Ok(Device {
            name,
            extent: table.extent(),
            logical_block: loader.inherited_block(legs.iter().copied()),
            layer: Layer::Mapped { table: Arc::new(table), legs: legs.to_vec() },
            areas: Vec::new(),
        })
    }
}
