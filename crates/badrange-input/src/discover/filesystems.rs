//! Which maps and path lists belong to which filesystem.

use std::collections::BTreeMap;

use super::{Finder, list, quoted};
use crate::{
    Filefrag, Format, Fsmap, FsmapDev, InodePaths, LsblkDevice, StackError, XfsBmap, collect_files,
};

/// What `[[fs]]` says of blocks when no output tells their size; it places nothing.
const BLOCK_SIZE: u64 = 4096;

/// The maps of one filesystem.
#[derive(Debug, Default)]
struct Maps {
    /// An fsmap, and how much its form tells.
    fsmap: Option<(u8, String)>,
    files: Vec<String>,
    paths: Option<String>,
    xfs: bool,
}

impl Finder<'_> {
    pub(super) fn filesystems(&mut self) -> Result<(), StackError> {
        let mut found: BTreeMap<String, Maps> = BTreeMap::new();
        for (format, worth) in
            [(Format::FsmapVerbose, 3), (Format::FsmapMachine, 2), (Format::FsmapPlain, 1)]
        {
            for name in self.of(format) {
                self.fsmap(&name, worth, &mut found)?;
            }
        }
        for format in [Format::Filefrag, Format::XfsBmap] {
            for name in self.of(format) {
                self.file_map(&name, format, &mut found)?;
            }
        }
        for name in self.of(Format::InodePaths) {
            self.path_list(&name, &mut found)?;
        }
        let unmapped = self.devices.iter().filter(|device| !found.contains_key(&device.name));
        let missing: Vec<_> = unmapped.filter_map(no_map).collect();
        for (device, maps) in found {
            self.filesystem(&device, maps);
        }
        self.missing.extend(missing);
        Ok(())
    }

    fn fsmap(
        &mut self,
        name: &str,
        worth: u8,
        found: &mut BTreeMap<String, Maps>,
    ) -> Result<(), StackError> {
        let first = self.parse(name, |input| Fsmap::new(input).next().transpose())?;
        let numbers = first.and_then(|record| match record.dev {
            FsmapDev::Numbers { major, minor } => Some(format!("{major}:{minor}")),
            FsmapDev::Opaque(_) => None,
        });
        let by_number = self.devices.iter().find(|d| d.number.is_some() && d.number == numbers);
        let device = by_number.or_else(|| self.named_in(name)).map(|d| d.name.clone());
        let Some(device) = device else {
            let of = numbers.unwrap_or_default();
            self.leave_out(name, format!("the map of device {of}, which is not listed"));
            return Ok(());
        };
        let maps = found.entry(device.clone()).or_default();
        maps.xfs |= worth == 3; // it does not work elsewhere
        if maps.fsmap.is_some() {
            self.leave_out(name, format!("another map of {device} tells as much or more"));
        } else {
            maps.fsmap = Some((worth, name.to_owned()));
        }
        Ok(())
    }

    fn file_map(
        &mut self,
        name: &str,
        format: Format,
        found: &mut BTreeMap<String, Maps>,
    ) -> Result<(), StackError> {
        let files = self.parse(name, |input| match format == Format::Filefrag {
            true => collect_files(Filefrag::new(input)),
            false => collect_files(XfsBmap::new(input)),
        })?;
        let names: Vec<&str> = files.iter().map(|f| f.file.name.as_str()).collect();
        let Some(device) = self.mounted_over(&names).or_else(|| self.named_in(name)) else {
            self.leave_out(name, "files of a filesystem that is not mounted anywhere listed");
            return Ok(());
        };
        let maps = found.entry(device.name.clone()).or_default();
        maps.files.push(name.to_owned());
        maps.xfs |= format == Format::XfsBmap;
        Ok(())
    }

    fn path_list(
        &mut self,
        name: &str,
        found: &mut BTreeMap<String, Maps>,
    ) -> Result<(), StackError> {
        let paths =
            self.parse(name, |input| InodePaths::new(input).collect::<Result<Vec<_>, _>>())?;
        let names: Vec<&str> = paths.iter().map(|entry| entry.path.as_str()).collect();
        let named = self.named_in(name).or_else(|| self.mounted_over(&names));
        let device = named.map(|device| device.name.clone());
        let only = found.keys().next().filter(|_| found.len() == 1).cloned();
        let Some(device) = device.or(only).filter(|device| found.contains_key(device)) else {
            self.leave_out(
                name,
                "paths of a filesystem that is not clear: put the device in its name",
            );
            return Ok(());
        };
        let maps = found.entry(device.clone()).or_default();
        if maps.paths.is_some() {
            self.leave_out(name, format!("another list of paths of {device} is used"));
        } else {
            maps.paths = Some(name.to_owned());
        }
        Ok(())
    }

    /// The device whose mount point is above every one of these names; the nearest if several are.
    pub(super) fn mounted_over(&self, names: &[&str]) -> Option<&LsblkDevice> {
        let is_below = |mount: &str, name: &str| {
            let rest = name.strip_prefix(mount.trim_end_matches('/'));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let nearest = |name: &&str| {
            let all = self.devices.iter().flat_map(|d| d.mounts.iter().map(move |m| (d, m)));
            let above = all.filter(|(_, mount)| is_below(mount, name));
            above.max_by_key(|(_, mount)| mount.len()).map(|(device, _)| device)
        };
        let first = names.first().and_then(nearest)?;
        let same = |name: &&str| nearest(name).is_some_and(|device| device.name == first.name);
        names.iter().all(same).then_some(first)
    }

    fn filesystem(&mut self, device: &str, maps: Maps) {
        let of = self.devices.iter().find(|d| d.name == device);
        let said = of.and_then(|d| d.fs.as_deref()).filter(|fs| matches!(*fs, "xfs" | "ext4"));
        let kind = said.unwrap_or(if maps.xfs { "xfs" } else { "other" }).to_owned();
        let mount = of.and_then(|d| d.mounts.first()).cloned();
        let fsmap = maps.fsmap.map(|(_, name)| name);
        let all: Vec<String> = fsmap.clone().into_iter().chain(maps.files).collect();
        self.write(&format!(
            "\n[[fs]]\ndevice = {}\nkind = {}\nmap = {}\nblock_size = {BLOCK_SIZE}\n",
            quoted(device),
            quoted(&kind),
            list(&all)
        ));
        for name in all {
            self.use_file(&name, format!("map of the filesystem on {device}"));
        }
        match &maps.paths {
            Some(paths) => {
                self.write(&format!("paths = {}\n", quoted(paths)));
                self.use_file(paths, format!("paths of the files on {device}"));
            }
            None => self.missing.push(format!(
                "paths of the files on {device}: find MOUNT -xdev -printf '%i /%P\\n'"
            )),
        }
        if let Some(mount) = mount {
            self.write(&format!("mount = {}\n", quoted(&mount)));
        }
        if fsmap.is_none() {
            self.missing
                .push(format!("what is free and what is metadata on {device}: xfs_io -c fsmap"));
        }
    }
}

/// What is missing for a device with a filesystem of which there is no map.
fn no_map(device: &LsblkDevice) -> Option<String> {
    let is_mounted = device.mounts.iter().any(|mount| mount.starts_with('/'));
    let name = &device.name;
    match device.fs.as_deref() {
        Some("xfs") => Some(format!("where the files of {name} are: xfs_io -c 'fsmap -v' MOUNT")),
        Some(kind @ ("ext2" | "ext3" | "ext4" | "vfat" | "f2fs")) => {
            Some(format!("where the files of {name} ({kind}) are: filefrag -v of them"))
        }
        Some(kind @ ("btrfs" | "zfs_member" | "bcachefs")) => Some(format!(
            "where the files of {name} are: {kind} is not supported yet, what is hit there is \
             reported as the device's"
        )),
        _ => is_mounted.then(|| format!("where the files of {name} are: filefrag -v of them")),
    }
}
