//! Software arrays from the superblocks of their members.

use std::sync::Arc;

use badrange_block::{
    dm::{Linear, Table},
    md::{Array, Copies, Level, MAX_MEMBERS, Member, ParityLayout, Raid0Layout},
};
use badrange_core::{DevOffset, Extent, Leg, Mapping, SECTOR_SIZE};

use super::{
    Device, Layer,
    jobs::{Job, shown},
    load::Loader,
};
use crate::{
    Area, Format, MdMember, MdRole, MdVersion, StackError, parse_mdadm_examine, stackfile::MdEntry,
};

/// Bytes of the superblocks that stand at the end of a device.
const SUPER_1_0: u64 = 4096;
const SUPER_0_90: u64 = 65536;

/// What the file says of one device of an array.
#[derive(Debug)]
pub(super) struct Superblock {
    file: String,
    said: MdMember,
}

/// Reads the superblocks of an entry, in the order of its devices.
pub(super) fn superblocks(
    loader: &Loader<'_>,
    entry: &MdEntry,
) -> Result<Vec<Superblock>, StackError> {
    let mut all = Vec::new();
    for file in entry.examine.get_ref() {
        let read =
            loader.parse(file, &[Format::MdExamine], |_, input| parse_mdadm_examine(input))?;
        let name = file.get_ref();
        all.extend(read.into_iter().map(|said| Superblock { file: name.clone(), said }));
    }
    let devices = entry.devices.get_ref().len();
    if all.len() != devices {
        let message = format!(
            "{} superblocks for {devices} devices: give mdadm --examine of each member, in the order \
             of devices",
            all.len()
        );
        return Err(loader.toml.error(&entry.examine, message));
    }
    let fresh = freshest(&all);
    for other in &all {
        same(fresh, other)?;
    }
    Ok(all)
}

/// The superblock that was written last.
fn freshest(all: &[Superblock]) -> Option<&Superblock> {
    let active = |s: &&Superblock| matches!(s.said.role, MdRole::Active(_));
    let newest = |s: &&Superblock| s.said.events.clone();
    all.iter().filter(active).max_by_key(newest).or_else(|| all.iter().max_by_key(newest))
}

/// Members of one array agree on what it is.
fn same(fresh: Option<&Superblock>, other: &Superblock) -> Result<(), StackError> {
    let Some(fresh) = fresh else { return Ok(()) };
    let (a, b) = (&fresh.said, &other.said);
    let number = |n: Option<u64>| n.map_or_else(|| "none".to_owned(), |n| n.to_string());
    // A member that was left behind may tell of the array as it was.
    let current = a.events == b.events;
    let pairs = [
        ("array", a.uuid.clone(), b.uuid.clone(), true),
        ("version", a.version.to_string(), b.version.to_string(), true),
        ("level", a.level.clone(), b.level.clone(), current),
        ("raid devices", a.raid_devices.to_string(), b.raid_devices.to_string(), current),
        ("chunk size", number(a.chunk_bytes), number(b.chunk_bytes), current),
        (
            "layout",
            a.layout.clone().unwrap_or_default(),
            b.layout.clone().unwrap_or_default(),
            current,
        ),
    ];
    for (what, fresh_says, other_says, checked) in pairs {
        if checked && fresh_says != other_says {
            let message = format!(
                "{what} {other_says}, but {}:{} says {fresh_says}: these are no members of one array",
                fresh.file, a.line
            );
            return Err(StackError::new(&*other.file, Some(b.line), message));
        }
    }
    Ok(())
}

/// What a device is in the array now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// The member of this role.
    Member(usize),
    /// Nothing of the array's data, for this reason.
    Nothing(&'static str),
}

struct Builder<'b> {
    job: &'b Job,
    name: &'b str,
    all: &'b [Superblock],
    fresh: &'b MdMember,
    devices: &'b [usize],
}

/// Makes the array on its devices.
pub(super) fn make(
    loader: &mut Loader<'_>,
    job: &Job,
    all: &[Superblock],
    devices: &[usize],
) -> Result<(), StackError> {
    let name = job.makes().next().unwrap_or_default().to_owned();
    let Some(fresh) = freshest(all) else {
        return Err(job.error(format!("{name} has no devices")));
    };
    let builder = Builder { job, name: &name, all, fresh: &fresh.said, devices };
    builder.make(loader)
}

/// How the array's bytes are spread, or why that is not known.
enum Kind {
    Level(Level),
    Linear,
    Unknown(String),
}

impl Builder<'_> {
    fn make(&self, loader: &mut Loader<'_>) -> Result<(), StackError> {
        let width = usize::try_from(self.fresh.raid_devices).unwrap_or(usize::MAX);
        if width > MAX_MEMBERS || width == 0 {
            return Err(self.job.error(format!("{}: {width} members are no array", self.name)));
        }
        let parts = self.parts()?;
        let kind = self.kind(loader)?;
        let mut metadata = Vec::new();
        for (superblock, place) in self.all.iter().zip(self.devices) {
            loader.claim_for(*place, self.name, self.job)?;
            metadata.push(self.metadata(loader, superblock, *place)?);
        }
        let device = match kind {
            Kind::Unknown(why) => self.opaque(loader, &why)?,
            Kind::Linear => self.linear(loader, &parts, width)?,
            Kind::Level(level) => self.array(loader, level, &parts, width)?,
        };
        self.describe(loader, &device, metadata);
        self.notes(loader, &parts, width);
        loader.add_from(device, self.job.error("")).map(|_| ())
    }

    /// The part of each device, by its own role and by what the freshest superblock says of it.
    fn parts(&self) -> Result<Vec<Part>, StackError> {
        let mut parts: Vec<Part> = Vec::new();
        for superblock in self.all {
            let part = self.part(superblock);
            if let Some(twin) = parts.iter().position(|p| *p == part) {
                if let (Part::Member(role), Some(other)) = (part, self.all.get(twin)) {
                    let message =
                        format!("is member {role} of {}, as is {}", self.name, other.file);
                    let line = Some(superblock.said.line);
                    return Err(StackError::new(&*superblock.file, line, message));
                }
            }
            parts.push(part);
        }
        Ok(parts)
    }

    fn part(&self, superblock: &Superblock) -> Part {
        let said = &superblock.said;
        let role = match said.role {
            MdRole::Active(role) => role,
            MdRole::Replacement(_) => {
                return Part::Nothing("replaces a member that is still there");
            }
            MdRole::Journal => return Part::Nothing("holds a journal"),
            MdRole::Spare => return Part::Nothing("is a spare"),
        };
        let Some(role) = usize::try_from(role).ok().filter(|_| role < self.fresh.raid_devices)
        else {
            return Part::Nothing("has no role in the array any more");
        };
        let gone = self.fresh.state.chars().nth(role) == Some('.');
        let behind = said.events < self.fresh.events;
        let rival = self
            .all
            .iter()
            .any(|other| other.said.role == said.role && other.said.events > said.events);
        if behind && (gone || rival) {
            return Part::Nothing("was left behind: the other members go on without it");
        }
        Part::Member(role)
    }

    fn kind(&self, loader: &Loader<'_>) -> Result<Kind, StackError> {
        if let Some(moving) = self.all.iter().find_map(|s| s.said.moving.as_ref()) {
            return Ok(Kind::Unknown(format!("it is being reshaped ({moving})")));
        }
        let layout = self.fresh.layout.as_deref().unwrap_or_default();
        let parity = |disks: u8| match ParityLayout::from_name(layout) {
            Some(layout) if layout.is_for(disks) => Kind::Level(Level::Parity { disks, layout }),
            _ => Kind::Unknown(format!("layout {layout:?} is not supported")),
        };
        Ok(match self.fresh.level.as_str() {
            "linear" => Kind::Linear,
            "raid0" => self.raid0(loader, layout)?,
            "raid1" => Kind::Level(Level::Raid1),
            "raid4" => Kind::Level(Level::Parity { disks: 1, layout: ParityLayout::ParityLast }),
            "raid5" => parity(1),
            "raid6" => parity(2),
            "raid10" => match Copies::from_name(layout) {
                Some(copies) => Kind::Level(Level::Raid10(copies)),
                None => Kind::Unknown(format!("layout {layout:?} is not supported")),
            },
            other => Kind::Unknown(format!("level {other:?} is not supported")),
        })
    }

    /// Where members are unequal, the layout decides; else every layout is the same.
    fn raid0(&self, loader: &Loader<'_>, layout: &str) -> Result<Kind, StackError> {
        if let Some(layout) = Raid0Layout::from_name(layout) {
            return Ok(Kind::Level(Level::Raid0(layout)));
        }
        let chunk = self.chunk()?;
        let mut rows = Vec::new();
        for (superblock, place) in self.all.iter().zip(self.devices) {
            rows.push(self.avail(loader, superblock, *place)?.len().checked_div(chunk));
        }
        rows.dedup();
        Ok(if rows.len() <= 1 {
            Kind::Level(Level::Raid0(Raid0Layout::Original))
        } else {
            Kind::Unknown(format!(
                "its members are unequal, and which raid0 layout it has is not said (layout \
                 {layout:?})"
            ))
        })
    }

    fn chunk(&self) -> Result<u64, StackError> {
        self.fresh.chunk_bytes.filter(|bytes| *bytes > 0).ok_or_else(|| {
            self.wrong(format!("{} {} needs a chunk size", self.fresh.level, self.name))
        })
    }

    /// An error about the array as the freshest superblock has it.
    fn wrong(&self, message: String) -> StackError {
        let fresh = self.all.iter().find(|s| core::ptr::eq(&s.said, self.fresh));
        let file = fresh.map_or_else(String::new, |s| s.file.clone());
        StackError::new(file, Some(self.fresh.line), message)
    }

    /// The bytes of a device that the array could use.
    fn avail(
        &self,
        loader: &Loader<'_>,
        superblock: &Superblock,
        place: usize,
    ) -> Result<Extent, StackError> {
        let said = &superblock.said;
        let (name, size) = size_of(loader, place);
        let err = |message: String| StackError::new(&*superblock.file, Some(said.line), message);
        let start = said.data_offset.unwrap_or(0);
        let len = match said.version {
            MdVersion::V0_90 => super_0_90(size),
            MdVersion::V1_0 | MdVersion::V1_1 | MdVersion::V1_2 => said.avail_bytes,
        };
        let extent = len.and_then(|len| Extent::new(DevOffset::new(start), len).ok());
        let extent = extent.ok_or_else(|| err(format!("{name} has no room for data")))?;
        if extent.end().get() > size {
            let message = format!(
                "its data are {} of {name}, which has {} sectors: this is another device's \
                 superblock",
                shown(extent),
                size / SECTOR_SIZE
            );
            return Err(err(message));
        }
        Ok(extent)
    }

    /// The bytes of a device that the array uses, and up to where they are up to date.
    fn member(
        &self,
        loader: &Loader<'_>,
        superblock: &Superblock,
        place: usize,
        whole: bool,
    ) -> Result<Member, StackError> {
        let avail = self.avail(loader, superblock, place)?;
        let said = &superblock.said;
        let used = if whole { None } else { said.used_bytes.filter(|bytes| *bytes > 0) };
        let data = match used.map(|used| Extent::new(avail.start(), used)) {
            None => avail,
            Some(Ok(data)) if avail.contains_extent(data) => data,
            Some(_) => {
                let message = "Used Dev Size is more than there is".to_owned();
                return Err(StackError::new(&*superblock.file, Some(said.line), message));
            }
        };
        let synced = said.recovery_offset.unwrap_or(data.len()).min(data.len());
        Ok(Member { data, synced })
    }

    fn members(
        &self,
        loader: &Loader<'_>,
        parts: &[Part],
        width: usize,
        whole: bool,
    ) -> Result<Vec<Option<(Member, usize)>>, StackError> {
        let mut members = vec![None; width];
        for ((superblock, place), part) in self.all.iter().zip(self.devices).zip(parts) {
            let Part::Member(role) = part else { continue };
            let member = self.member(loader, superblock, *place, whole)?;
            if let Some(slot) = members.get_mut(*role) {
                *slot = Some((member, *place));
            }
        }
        Ok(members)
    }

    fn array(
        &self,
        loader: &Loader<'_>,
        level: Level,
        parts: &[Part],
        width: usize,
    ) -> Result<Device, StackError> {
        let whole = matches!(level, Level::Raid0(_));
        let chunk = if level == Level::Raid1 { 0 } else { self.chunk()? };
        let members = self.members(loader, parts, width, whole)?;
        let places: Vec<Option<usize>> =
            members.iter().map(|m| m.map(|(_, place)| place)).collect();
        let members = members.into_iter().map(|m| m.map(|(member, _)| member)).collect();
        let array = Array::new(level, chunk, members)
            .map_err(|err| self.wrong(format!("{}: {err}", self.name)))?;
        self.check_length(&array, width)?;
        let roles = (0..array.legs()).filter_map(|leg| array.role(Leg::new(leg)));
        let legs: Vec<usize> = roles.filter_map(|role| *places.get(role)?).collect();
        Ok(Device {
            name: self.name.to_owned(),
            extent: array.extent(),
            logical_block: loader.inherited_block(legs.iter().copied()),
            layer: Layer::Array { array: Arc::new(array), legs },
            areas: Vec::new(),
        })
    }

    /// What the superblock says of the array's length counts no rounding to chunks.
    fn check_length(&self, array: &Array, width: usize) -> Result<(), StackError> {
        let Some(said) = self.fresh.array_bytes else { return Ok(()) };
        let width = u64::try_from(width).unwrap_or(u64::MAX);
        let rounding = self.fresh.chunk_bytes.unwrap_or(0).max(65536).saturating_mul(width);
        if said.abs_diff(array.extent().len()) < rounding {
            return Ok(());
        }
        Err(self.wrong(format!(
            "Array Size is {said} bytes, but its members make {} of them",
            array.extent().len()
        )))
    }

    fn linear(
        &self,
        loader: &Loader<'_>,
        parts: &[Part],
        width: usize,
    ) -> Result<Device, StackError> {
        let chunk = self.fresh.chunk_bytes.filter(|bytes| *bytes > 0).unwrap_or(SECTOR_SIZE);
        let (mut targets, mut legs) = (Vec::new(), Vec::new());
        for member in self.members(loader, parts, width, true)? {
            let Some((member, place)) = member else {
                return Err(self.wrong(format!("linear {} has a member missing", self.name)));
            };
            let len = member.data.len() / SECTOR_SIZE;
            let rounding = (chunk / SECTOR_SIZE).max(1);
            let len = len.saturating_sub(len.checked_rem(rounding).unwrap_or(0));
            let on = member.data.whole_sectors().map(|on| Extent::new(on.start(), len));
            let Some(Ok(on)) = on else {
                return Err(self.wrong(format!("a member of {} has no room", self.name)));
            };
            let target = Linear::new(&legs.len().to_string(), on);
            targets.push(target.map_err(|err| self.wrong(err.to_string()))?.into());
            legs.push(place);
        }
        let table = Table::new(targets).map_err(|err| self.wrong(err.to_string()))?;
        self.job.mapped(loader, self.name.to_owned(), table, &legs)
    }

    /// The array as far as it is known: its length.
    fn opaque(&self, loader: &mut Loader<'_>, why: &str) -> Result<Device, StackError> {
        let note = format!(
            "{} is not translated, what it uses of its members stays unexplained: {why}",
            self.name
        );
        let note = self.wrong(note);
        loader.topology.notes.push(note);
        let bytes = self.fresh.array_bytes.unwrap_or(SECTOR_SIZE);
        let extent = Extent::new(DevOffset::new(0), bytes)
            .map_err(|_| self.wrong(format!("{} has no bytes", self.name)))?;
        Ok(Device {
            name: self.name.to_owned(),
            extent,
            logical_block: loader.inherited_block(self.devices.iter().copied()),
            layer: Layer::Opaque,
            areas: Vec::new(),
        })
    }

    /// Where a device has metadata, whatever else is on it.
    fn metadata(
        &self,
        loader: &Loader<'_>,
        superblock: &Superblock,
        place: usize,
    ) -> Result<Vec<Extent>, StackError> {
        let said = &superblock.said;
        let (name, size) = size_of(loader, place);
        let at_end = match said.version {
            MdVersion::V0_90 => super_0_90(size).map(|at| (at, SUPER_0_90)),
            MdVersion::V1_0 => {
                said.super_offset.or_else(|| super_1_0(size)).map(|at| (at, SUPER_1_0))
            }
            MdVersion::V1_1 | MdVersion::V1_2 => None,
        };
        let before_data = Some((0, said.data_offset.unwrap_or(0)));
        let mut areas = Vec::new();
        for (start, len) in [before_data, at_end].into_iter().flatten().filter(|(_, len)| *len > 0)
        {
            let extent = Extent::new(DevOffset::new(start), len).ok();
            let inside = extent.filter(|extent| extent.end().get() <= size);
            areas.push(inside.ok_or_else(|| {
                let message = format!(
                    "its metadata reach beyond {name}, which has {} sectors: this is another \
                     device's superblock",
                    size / SECTOR_SIZE
                );
                StackError::new(&*superblock.file, Some(said.line), message)
            })?);
        }
        Ok(areas)
    }

    /// Tells what of each device is metadata, and what the array does not use.
    fn describe(&self, loader: &mut Loader<'_>, array: &Device, metadata: Vec<Vec<Extent>>) {
        let known = !matches!(array.layer, Layer::Opaque);
        for (metadata, place) in metadata.into_iter().zip(self.devices) {
            let Some(device) = loader.device(*place) else { continue };
            let mut held = metadata.clone();
            if let Some(mapping) = array.layer.mapping() {
                let legs = (0_u32..).map(Leg::new).zip(array.layer.legs());
                let here = legs.filter(|(_, on)| *on == place);
                held.extend(here.filter_map(|(leg, _)| mapping.leg_extent(leg)));
            }
            let unused = if known { device.extent.minus(held) } else { Vec::new() };
            let metadata = metadata.into_iter().map(|part| (part, Area::MdMetadata));
            let unused = unused.into_iter().map(|part| (part, Area::MdUnused));
            loader.add_areas(*place, metadata.chain(unused).collect());
        }
    }

    fn notes(&self, loader: &mut Loader<'_>, parts: &[Part], width: usize) {
        for (part, superblock) in parts.iter().zip(self.all) {
            let Part::Nothing(why) = part else { continue };
            let message = format!("{}: this device {why}", self.name);
            let line = Some(superblock.said.line);
            loader.topology.notes.push(StackError::new(&*superblock.file, line, message));
        }
        let missing: Vec<String> = (0..width)
            .filter(|role| !parts.contains(&Part::Member(*role)))
            .map(|role| role.to_string())
            .collect();
        if !missing.is_empty() {
            let note = self.wrong(format!(
                "{} is degraded, member {} is missing: what is bad on another member may cost the \
                 missing one's bytes of the same stripe as well, which no location stands for",
                self.name,
                missing.join(" and ")
            ));
            loader.topology.notes.push(note);
        }
    }
}

fn size_of<'l>(loader: &'l Loader<'_>, place: usize) -> (&'l str, u64) {
    loader.device(place).map_or(("", 0), |device| (device.name.as_str(), device.extent.len()))
}

/// # Kernel
/// `MD_NEW_SIZE_SECTORS`: 64 KiB before the last multiple of 64 KiB.
fn super_0_90(device: u64) -> Option<u64> {
    let whole = device.checked_sub(device.checked_rem(SUPER_0_90)?)?;
    whole.checked_sub(SUPER_0_90)
}

/// # Kernel
/// `super_1_load()`: 8 KiB before the end, at a multiple of 4 KiB.
fn super_1_0(device: u64) -> Option<u64> {
    let at = device.checked_sub(device.checked_rem(SECTOR_SIZE)?)?.checked_sub(8192)?;
    at.checked_sub(at.checked_rem(SUPER_1_0)?)
}
