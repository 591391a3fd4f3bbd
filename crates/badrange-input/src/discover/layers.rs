//! Disks, partitions, volumes, arrays and pools.

use std::collections::BTreeMap;

use badrange_core::SECTOR_SIZE;

use super::{Finder, last, list, quoted};
use crate::{
    Format, LogicalVolume, LsblkDevice, MdMember, StackError, parse_dm_table, parse_losetup,
    parse_lvs_json, parse_mdadm_examine, parse_pvs_json, parse_sfdisk_dump, parse_sfdisk_json,
    parse_vgcfg,
};

/// Devices that the kernel makes up and nobody stores anything on.
const NO_STORAGE: [&str; 2] = ["rom", "zram"];

impl Finder<'_> {
    /// What is behind loop devices.
    pub(super) fn loops(&mut self) -> Result<(), StackError> {
        for name in self.of(Format::Losetup) {
            let listed = self.parse(&name, |input| parse_losetup(input))?;
            let old: Vec<_> = self.loops.iter().map(|known| known.name.clone()).collect();
            self.loops.extend(listed.into_iter().filter(|new| !old.contains(&new.name)));
            self.use_file(&name, "what is behind loop devices");
        }
        let is_alone = |d: &&LsblkDevice| d.kind == "loop" && d.bytes != Some(0);
        if self.loops.is_empty() && self.devices.iter().any(|d| is_alone(&d)) {
            self.missing.push("the files behind loop devices: losetup --json".to_owned());
        }
        Ok(())
    }

    /// The entry of a loop device without its name and size, if what is behind it is listed.
    fn behind(&self, name: &str) -> Option<String> {
        let here = self.loops.iter().find(|known| known.name == name)?;
        if let Some(device) = here.file.strip_prefix("/dev/").and_then(|path| self.device(path)) {
            let whole = here.offset % SECTOR_SIZE == 0;
            let (on, start) = (quoted(&device.name), here.offset / SECTOR_SIZE);
            return whole.then(|| format!("[[partition]]\non = {on}\nstart = {start}"));
        }
        let on = quoted(&self.mounted_over(&[&here.file])?.name);
        let (file, offset) = (quoted(&here.file), here.offset);
        Some(format!("[[loop]]\non = {on}\nfile = {file}\noffset = {offset}"))
    }

    pub(super) fn disks(&mut self, dir: &str) -> Result<(), StackError> {
        let mut written = 0_usize;
        for device in self.devices.clone() {
            let is_base = device.parents.is_empty() && !NO_STORAGE.contains(&device.kind.as_str());
            if !is_base || device.kind.starts_with("raid") || device.bytes == Some(0) {
                continue;
            }
            let Some(bytes) = device.bytes.filter(|bytes| bytes % SECTOR_SIZE == 0) else {
                self.missing.push(format!("the size of {} in bytes: lsblk -J -b", device.name));
                continue;
            };
            let sectors = bytes / SECTOR_SIZE;
            let name = quoted(&device.name);
            written = written.saturating_add(1);
            if let Some(entry) = self.behind(&device.name) {
                self.write(&format!("\n{entry}\nname = {name}\nsectors = {sectors}\n"));
                continue;
            }
            self.write(&format!("\n[[disk]]\nname = {name}\nsectors = {sectors}\n"));
            if let Some(block @ (512 | 4096)) = device.logical_block {
                self.write(&format!("logical_block = {block}\n"));
            }
            if device.name.starts_with("pmem") {
                self.missing.push(format!(
                    "where {} is in physical memory: describe it as [[pmem]]",
                    device.name
                ));
            }
        }
        if written > 0 {
            return Ok(());
        }
        let message = "no disk with its size in bytes is listed: save lsblk with -b";
        Err(StackError::new(dir, None, message))
    }

    pub(super) fn partitions(&mut self) -> Result<(), StackError> {
        let mut done: Vec<String> = Vec::new();
        for (format, name) in [Format::SfdiskDump, Format::SfdiskJson]
            .into_iter()
            .flat_map(|format| self.of(format).into_iter().map(move |name| (format, name)))
            .collect::<Vec<_>>()
        {
            let table = self.parse(&name, |input| {
                if format == Format::SfdiskJson {
                    parse_sfdisk_json(input)
                } else {
                    parse_sfdisk_dump(input)
                }
            })?;
            let on = table.device.as_deref().and_then(|path| self.device(path));
            let on = on.or_else(|| self.named_in(&name)).map(|device| device.name.clone());
            match on {
                None => self.leave_out(&name, "a partition table, but of no device that is listed"),
                Some(on) if done.contains(&on) => {
                    self.leave_out(&name, format!("the partition table of {on} once more"));
                }
                Some(on) => {
                    let entry = format!(
                        "\n[[partitions]]\non = {}\ntable = {}\n",
                        quoted(&on),
                        quoted(&name)
                    );
                    self.write(&entry);
                    self.use_file(&name, format!("partition table of {on}"));
                    done.push(on);
                }
            }
        }
        self.lone_partitions(&done);
        Ok(())
    }

    /// Partitions of devices without a saved table, as far as lsblk tells.
    fn lone_partitions(&mut self, done: &[String]) {
        let mut without: Vec<String> = Vec::new();
        for device in self.devices.clone() {
            let parent = device.parents.first().and_then(|place| self.devices.get(*place));
            let Some(on) = parent.map(|p| p.name.clone()).filter(|_| device.kind == "part") else {
                continue;
            };
            if done.contains(&on) {
                continue;
            }
            if let (Some(start), Some(bytes)) = (device.start, device.bytes) {
                self.write(&format!(
                    "\n[[partition]]\nname = {}\non = {}\nstart = {start}\nsectors = {}\n",
                    quoted(&device.name),
                    quoted(&on),
                    bytes / SECTOR_SIZE
                ));
            }
            if !without.contains(&on) {
                self.missing.push(format!("the partition table of {on}: sfdisk -d /dev/{on}"));
                without.push(on);
            }
        }
    }

    pub(super) fn device_mapper(&mut self) -> Result<(), StackError> {
        let mut taken = false;
        for name in self.of(Format::DmTable) {
            let table = self.parse(&name, |input| parse_dm_table(input))?;
            if table.is_empty() {
                self.leave_out(&name, "no device-mapper devices");
            } else if taken {
                self.leave_out(&name, "another table of device-mapper is used");
            } else if table.iter().any(|device| device.name.is_none()) {
                self.leave_out(&name, "the table of one device that it does not name");
            } else {
                let numbers: Vec<_> = self.devices.iter().filter_map(number).collect();
                let devices = numbers.join(", ");
                let entry =
                    format!("\n[[dm]]\ntable = {}\ndevices = {{ {devices} }}\n", quoted(&name));
                self.write(&entry);
                self.use_file(&name, "device-mapper tables");
                self.tables = table.iter().filter_map(first_target).collect();
                let pools = self.tables.iter().filter(|(_, kind)| kind == "thin-pool");
                self.pools.extend(pools.map(|(name, _)| name.clone()));
                taken = true;
            }
        }
        let listed = |d: &&LsblkDevice| matches!(d.kind.as_str(), "dm" | "crypt" | "mpath" | "lvm");
        if !taken && self.devices.iter().any(|d| listed(&d)) {
            self.missing.push("how device-mapper devices lie on others: dmsetup table".to_owned());
        }
        Ok(())
    }

    pub(super) fn volumes(&mut self) -> Result<(), StackError> {
        let mut described = false;
        for name in self.of(Format::VgCfg) {
            let groups = self.parse(&name, |input| parse_vgcfg(input))?;
            let pvs: Vec<_> =
                groups.iter().flat_map(|g| g.pvs.iter().map(|p| p.names.clone())).collect();
            if self.volume_group(&name, &format!("metadata = {}", quoted(&name)), &pvs) {
                described = true;
                let pools = groups.iter().flat_map(|g| &g.lvs).filter_map(LogicalVolume::thin_pool);
                self.pools.extend(pools);
            }
        }
        let (lvs, pvs) = (self.of(Format::LvsJson), self.of(Format::PvsJson));
        if let (Some(lvs), Some(pvs)) = (lvs.first(), pvs.first()) {
            if described {
                for name in [lvs, pvs] {
                    self.leave_out(name, "vgcfgbackup tells the same");
                }
                return Ok(());
            }
            let of_pvs = self.parse(pvs, |input| parse_pvs_json(input))?;
            let of_lvs = self.parse(lvs, |input| parse_lvs_json(input))?;
            let groups = of_lvs
                .volume_groups(&of_pvs)
                .map_err(|err| StackError::new(&**lvs, err.line(), err.to_string()))?;
            let names: Vec<_> =
                groups.iter().flat_map(|g| g.pvs.iter().map(|p| p.names.clone())).collect();
            let source = format!("lvs = {}\npvs = {}", quoted(lvs), quoted(pvs));
            if self.volume_group(lvs, &source, &names) {
                self.use_file(pvs, "LVM physical volumes");
            }
        } else {
            for alone in lvs.iter().chain(&pvs) {
                self.leave_out(alone, "lvs and pvs are of use together only");
            }
            if !described && self.devices.iter().any(|d| d.kind == "lvm") {
                self.missing.push("what of a physical volume is free: vgcfgbackup".to_owned());
            }
        }
        Ok(())
    }

    fn volume_group(&mut self, file: &str, source: &str, pvs: &[Vec<String>]) -> bool {
        let mut devices = Vec::new();
        for names in pvs {
            let found = names.iter().find_map(|name| Some((name, self.device(name)?.name.clone())));
            let Some((_, device)) = found else {
                let shown = names.join(" or ");
                self.leave_out(file, format!("physical volume {shown} is on no device listed"));
                return false;
            };
            let key = names.first().map_or("", String::as_str);
            devices.push(format!("{} = {}", quoted(key), quoted(&device)));
        }
        self.write(&format!("\n[[lvm]]\n{source}\ndevices = {{ {} }}\n", devices.join(", ")));
        self.use_file(file, "LVM volume groups");
        true
    }

    pub(super) fn arrays(&mut self) -> Result<(), StackError> {
        let mut by_device: BTreeMap<String, (String, MdMember)> = BTreeMap::new();
        for name in self.of(Format::MdExamine) {
            let members = self.parse(&name, |input| parse_mdadm_examine(input))?;
            let [member] = members.as_slice() else {
                self.leave_out(&name, "superblocks of several devices: save each on its own");
                continue;
            };
            let device = self.device(&member.device).or_else(|| self.named_in(&name));
            let Some(device) = device.map(|d| d.name.clone()) else {
                self.leave_out(&name, "the superblock of no device that is listed");
                continue;
            };
            let old = by_device.get(&device);
            // Of two the later one; of equals the one with the plainer name.
            let later = old.is_none_or(|(file, old)| {
                (&member.events, core::cmp::Reverse(name.len()))
                    > (&old.events, core::cmp::Reverse(file.len()))
            });
            let replaced = if later {
                by_device.insert(device.clone(), (name, member.clone())).map(|(file, _)| file)
            } else {
                Some(name)
            };
            if let Some(file) = replaced {
                self.leave_out(&file, format!("another superblock of {device}"));
            }
        }
        for array in self.devices.clone() {
            if array.kind.starts_with("raid") || array.kind == "linear" {
                self.array(&array, &mut by_device);
            }
        }
        for (device, (file, _)) in by_device {
            self.leave_out(&file, format!("{device} is in no array that is listed"));
        }
        Ok(())
    }

    fn array(&mut self, array: &LsblkDevice, members: &mut BTreeMap<String, (String, MdMember)>) {
        if self.tables.iter().any(|(name, _)| *name == array.name) {
            return; // one of device-mapper
        }
        let (mut devices, mut files) = (Vec::new(), Vec::new());
        for parent in &array.parents {
            let Some(device) = self.devices.get(*parent).map(|d| d.name.clone()) else { continue };
            match members.remove(&device) {
                Some((file, _)) => {
                    files.push(file);
                    devices.push(device);
                }
                None => self.missing.push(format!(
                    "the superblock of {device}, a member of {}: mdadm --examine /dev/{device}",
                    array.name
                )),
            }
        }
        if devices.is_empty() {
            return;
        }
        let entry = format!(
            "\n[[md]]\nname = {}\ndevices = {}\nexamine = {}\n",
            quoted(&array.name),
            list(&devices),
            list(&files)
        );
        self.write(&entry);
        for file in files {
            self.use_file(&file, format!("superblock of a member of {}", array.name));
        }
    }

    pub(super) fn pools(&mut self) -> Result<(), StackError> {
        let mut pools = core::mem::take(&mut self.pools);
        for name in self.of(Format::ThinDump) {
            let named = self.named_in(&name).map(|device| device.name.clone());
            let only = if pools.len() == 1 { pools.first() } else { None };
            let pool = named.filter(|n| pools.contains(n)).or_else(|| only.cloned());
            let Some(pool) = pool else {
                self.leave_out(
                    &name,
                    "mappings of a thin pool that is not clear, or known already",
                );
                continue;
            };
            pools.remove(&pool);
            let entry =
                format!("\n[[thin]]\npool = {}\nmetadata = {}\n", quoted(&pool), quoted(&name));
            self.write(&entry);
            self.use_file(&name, format!("mappings of thin pool {pool}"));
        }
        for pool in pools {
            self.missing.push(format!("what is mapped in thin pool {pool}: thin_dump"));
        }
        Ok(())
    }
}

/// `"8:2" = "sda2"`.
fn number(device: &LsblkDevice) -> Option<String> {
    let number = device.number.as_ref()?;
    Some(format!("{} = {}", quoted(number), quoted(last(&device.name))))
}

fn first_target(device: &crate::DmDevice) -> Option<(String, String)> {
    let kind = device.lines.first().and_then(|l| l.text.split_ascii_whitespace().nth(2));
    Some((device.name.clone()?, kind.unwrap_or_default().to_owned()))
}
