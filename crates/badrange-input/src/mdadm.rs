use std::io::BufRead;

use badrange_core::SECTOR_SIZE;

use crate::{
    ParseError, ParseErrorKind,
    lines::{Line, Lines, is_digits},
};

/// What `mdadm --examine` prints of one member of an array: its superblock.
///
/// Sizes are in bytes. What the text does not say is `None`.
///
/// # Examples
/// ```
/// let text = "/dev/vda:\n          Magic : a92b4efc\n        Version : 1.2\n     Array UUID : 1:2:3:4\n     \
///     Raid Level : raid1\n   Raid Devices : 2\n Avail Dev Size : 79872 sectors (39.00 MiB 40.89 MB)\n    \
///     Data Offset : 2048 sectors\n   Super Offset : 8 sectors\n         Events : 2\n   \
///     Device Role : Active device 0\n   Array State : AA ('A' == active, '.' == missing)\n";
/// let members = badrange_input::parse_mdadm_examine(text.as_bytes())?;
/// assert_eq!((&*members[0].level, members[0].raid_devices), ("raid1", 2));
/// assert_eq!(members[0].data_offset, Some(1 << 20));
/// assert_eq!(members[0].role, badrange_input::MdRole::Active(0));
/// # Ok::<(), badrange_input::ParseError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MdMember {
    /// The device as the text names it; empty when it does not.
    pub device: String,
    /// Which superblock it is.
    pub version: MdVersion,
    /// The array's identity.
    pub uuid: String,
    /// `raid0`, `raid5`, `linear`, ...
    pub level: String,
    /// How many members the array has, those that are missing too.
    pub raid_devices: u64,
    /// Bytes of a chunk.
    pub chunk_bytes: Option<u64>,
    /// `left-symmetric`, `near=2`, `original`, ...
    pub layout: Option<String>,
    /// From the start of the device to the array's data. Always `None` for 0.90, and for 1.0 with
    /// the data at the start.
    pub data_offset: Option<u64>,
    /// From the start of the device to the superblock. Always `None` for 0.90.
    pub super_offset: Option<u64>,
    /// Bytes of the device that the array could use.
    pub avail_bytes: Option<u64>,
    /// Bytes of the device that it does use; `None` when these are all.
    pub used_bytes: Option<u64>,
    /// Bytes of the array.
    pub array_bytes: Option<u64>,
    /// What the device is in the array.
    pub role: MdRole,
    /// How often the array has changed its state: a member with fewer was left behind.
    pub events: Vec<u64>,
    /// For each role whether a member was in it, as this member saw it last: `A` active, `.`
    /// missing, `R` being replaced. Empty when the text does not say.
    pub state: String,
    /// How far the member is rebuilt, where it is not wholly.
    pub recovery_offset: Option<u64>,
    /// Why the array's bytes cannot be placed from this text, if so: it is being reshaped.
    pub moving: Option<String>,
    /// The line it begins in, from 1.
    pub line: u64,
}

/// The superblock versions of Linux software arrays.
///
/// # Examples
/// ```
/// assert_eq!(badrange_input::MdVersion::V0_90.to_string(), "0.90");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MdVersion {
    /// 64 KiB near the end of the device.
    V0_90,
    /// 4 KiB near the end of the device.
    V1_0,
    /// At the start of the device.
    V1_1,
    /// 4 KiB from the start of the device.
    V1_2,
}

impl core::fmt::Display for MdVersion {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::V0_90 => "0.90",
            Self::V1_0 => "1.0",
            Self::V1_1 => "1.1",
            Self::V1_2 => "1.2",
        })
    }
}

/// What a device is in its array.
///
/// # Examples
/// ```
/// assert_ne!(badrange_input::MdRole::Active(0), badrange_input::MdRole::Spare);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MdRole {
    /// The member with this number.
    Active(u64),
    /// Becomes the member with this number, whose device is still there.
    Replacement(u64),
    /// A write journal.
    Journal,
    /// Waits for a member to fail, or has failed.
    Spare,
}

/// Reads the output of `mdadm --examine` for one or several devices.
///
/// # Errors
/// [`ParseErrorKind::Unsupported`] for metadata of other makers (IMSM, DDF) and for partition
/// tables, [`ParseErrorKind::MissingField`] for what every superblock has,
/// [`ParseErrorKind::NotThisFormat`] for other texts.
///
/// # Kernel
/// `struct mdp_superblock_1` and `mdp_super_t`, as `mdadm` prints them.
///
/// # Examples
/// See [`MdMember`].
pub fn parse_mdadm_examine(input: impl BufRead) -> Result<Vec<MdMember>, ParseError> {
    let mut lines = Lines::new(input);
    let mut members = Vec::new();
    let mut open: Option<Fields> = None;
    let mut heading: Option<(String, u64)> = None;
    while let Some(line) = lines.next_line()? {
        let text = line.text.trim_ascii();
        if let Some(device) = text.strip_suffix(':').filter(|d| d.starts_with('/')) {
            members.extend(open.take().map(Fields::finish).transpose()?);
            heading = Some((device.to_owned(), line.number));
            continue;
        }
        let Some((key, value)) =
            text.split_once(" : ").map(|(k, v)| (k.trim_end(), v.trim_ascii()))
        else {
            if let Some(fields) = &mut open {
                fields.row(line, text)?;
            }
            continue;
        };
        if key.ends_with("Magic") {
            check_magic(line, key, value)?;
            members.extend(open.take().map(Fields::finish).transpose()?);
            let (device, at) = heading.take().unwrap_or((String::new(), line.number));
            open = Some(Fields { device, line: at, ..Fields::default() });
        }
        if let Some(fields) = &mut open {
            fields.set(line, key, value)?;
        }
    }
    members.extend(open.take().map(Fields::finish).transpose()?);
    if members.is_empty() {
        let hint = "expected the output of mdadm --examine of a member of an array";
        return Err(ParseError::new(ParseErrorKind::NotThisFormat, "text", "", hint));
    }
    Ok(members)
}

fn check_magic(line: Line<'_>, key: &str, value: &str) -> Result<(), ParseError> {
    let hint = match (key, value) {
        ("Magic", "a92b4efc") => return Ok(()),
        ("MBR Magic", _) => {
            "this device has a partition table; give mdadm --examine of the partition"
        }
        ("Magic", v) if v.starts_with("Intel Raid ISM") => {
            "arrays with IMSM metadata are not supported"
        }
        ("Magic", v) if v.eq_ignore_ascii_case("de11de11") => {
            "arrays with DDF metadata are not supported"
        }
        _ => "this metadata is not supported: expected magic a92b4efc",
    };
    Err(line.err(ParseErrorKind::Unsupported, "magic", value, hint))
}

/// Devices that a superblock of 0.90 has room for (`MD_SB_DISKS`): more are not believed, whatever
/// number the text names.
const OLD_MEMBERS: u64 = 27;

/// A member as it is read.
#[derive(Debug, Default)]
struct Fields {
    device: String,
    line: u64,
    version: Option<MdVersion>,
    uuid: Option<String>,
    level: Option<String>,
    raid_devices: Option<u64>,
    chunk_bytes: Option<u64>,
    layout: Option<String>,
    data_offset: Option<u64>,
    super_offset: Option<u64>,
    avail: Option<u64>,
    used: Option<u64>,
    array: Option<u64>,
    role: Option<MdRole>,
    events: Vec<u64>,
    /// The line `Array State`, and what it says.
    array_state: Option<(u64, String)>,
    /// The same from the table that 0.90 has instead.
    seen: String,
    recovery_offset: Option<u64>,
    moving: Option<String>,
}

impl Fields {
    fn set(&mut self, line: Line<'_>, key: &str, value: &str) -> Result<(), ParseError> {
        let words = || value.split_ascii_whitespace();
        let first = words().next().unwrap_or_default();
        match key {
            "Version" => self.version = Some(version(line, value)?),
            "Array UUID" | "UUID" => self.uuid = Some(first.to_owned()),
            "Raid Level" => self.level = Some(value.to_owned()),
            "Raid Devices" => {
                self.raid_devices = Some(line.number("raid devices", first, "devices")?);
            }
            "Layout" => self.layout = Some(value.to_owned()),
            "Chunk Size" | "Rounding" => self.chunk_bytes = Some(size(line, first)?),
            "Data Offset" => self.data_offset = Some(sectors(line, "data offset", first)?),
            "Super Offset" => self.super_offset = Some(sectors(line, "super offset", first)?),
            "Avail Dev Size" => self.avail = Some(sectors(line, "avail dev size", first)?),
            "Used Dev Size" if self.version == Some(MdVersion::V0_90) => {
                self.used = Some(kib(line, "used dev size", first)?);
            }
            "Used Dev Size" => self.used = Some(sectors(line, "used dev size", first)?),
            // Only since its unit is printed is it sure which it is.
            "Array Size" if words().nth(1) == Some("KiB") => {
                self.array = Some(kib(line, "array size", first)?);
            }
            "Recovery Offset" => {
                self.recovery_offset = Some(sectors(line, "recovery offset", first)?);
            }
            "Device Role" => self.role = Some(role(line, value)?),
            "Array State" => self.array_state = Some((line.number, first.to_owned())),
            "Events" => {
                let parts = first.split('.').map(|n| line.number("events", n, "events"));
                self.events = parts.collect::<Result<_, _>>()?;
            }
            "Reshape pos'n" | "New Level" | "New Layout" | "New Chunksize" | "Delta Devices"
            | "New Offset" => self.moving = Some(format!("{key} : {value}")),
            _ => {}
        }
        Ok(())
    }

    /// A line of the table that 0.90 has: `this 0 8 17 0 active sync /dev/sdb1`, and below it every
    /// member.
    fn row(&mut self, line: Line<'_>, text: &str) -> Result<(), ParseError> {
        let mut words = text.split_ascii_whitespace();
        let first = words.next().unwrap_or_default();
        let numbers: Vec<&str> = words.by_ref().take(4).collect();
        let is_row = numbers.len() == 4 && numbers.iter().all(|n| is_digits(n));
        let is_other = is_digits(first);
        if !is_row || !(first == "this" || is_other) || self.version != Some(MdVersion::V0_90) {
            return Ok(());
        }
        let in_role = line.number("RaidDevice", numbers.last().unwrap_or(&""), "members")?;
        let states: Vec<&str> = words.collect();
        let active = states.contains(&"active") && states.contains(&"sync");
        if is_other {
            self.see(in_role, active);
        } else {
            self.role = Some(if active { MdRole::Active(in_role) } else { MdRole::Spare });
        }
        Ok(())
    }

    /// What this superblock of 0.90 says of a role.
    fn see(&mut self, role: u64, active: bool) {
        let is_role = role < OLD_MEMBERS && Some(role) < self.raid_devices;
        let Some(role) = usize::try_from(role).ok().filter(|_| is_role) else { return };
        let mut state: Vec<char> = self.seen.chars().collect();
        if state.len() <= role {
            state.resize(role.saturating_add(1), '.');
        }
        if let Some(known) = state.get_mut(role).filter(|_| active) {
            *known = 'A';
        }
        self.seen = state.into_iter().collect();
    }

    fn finish(self) -> Result<MdMember, ParseError> {
        let at = Line { number: self.line, text: "" };
        let missing = |field| {
            at.err(
                ParseErrorKind::MissingField,
                field,
                "",
                "the superblock that begins here has none",
            )
        };
        let version = self.version.ok_or_else(|| missing("version"))?;
        let late = version != MdVersion::V0_90;
        if late && self.avail.is_none() {
            return Err(missing("avail dev size"));
        }
        // 1.0 stands at the end and has none when the data begins at the start.
        if self.data_offset.is_none() && matches!(version, MdVersion::V1_1 | MdVersion::V1_2) {
            return Err(missing("data offset"));
        }
        let state = match self.array_state {
            Some((line, said)) if !late => {
                let hint = "a superblock of 0.90 has a table of its members instead";
                let at = Line { number: line, text: "" };
                return Err(at.err(ParseErrorKind::Inconsistent, "array state", &said, hint));
            }
            Some((_, said)) => said,
            None => self.seen,
        };
        Ok(MdMember {
            device: self.device,
            version,
            uuid: self.uuid.ok_or_else(|| missing("array uuid"))?,
            level: self.level.ok_or_else(|| missing("raid level"))?,
            raid_devices: self.raid_devices.ok_or_else(|| missing("raid devices"))?,
            chunk_bytes: self.chunk_bytes,
            layout: self.layout,
            data_offset: self.data_offset,
            super_offset: self.super_offset,
            avail_bytes: self.avail,
            used_bytes: self.used,
            array_bytes: self.array,
            role: self.role.ok_or_else(|| missing("device role"))?,
            events: self.events,
            state,
            recovery_offset: self.recovery_offset,
            moving: self.moving,
            line: self.line,
        })
    }
}

fn version(line: Line<'_>, value: &str) -> Result<MdVersion, ParseError> {
    match value {
        "1.0" => Ok(MdVersion::V1_0),
        "1.1" => Ok(MdVersion::V1_1),
        "1.2" => Ok(MdVersion::V1_2),
        old if old == "0.90" || old.starts_with("0.90.") => Ok(MdVersion::V0_90),
        _ => {
            let hint = "expected 0.90, 1.0, 1.1 or 1.2";
            Err(line.err(ParseErrorKind::Unsupported, "version", value, hint))
        }
    }
}

/// `Active device 0`, `Replacement device 2`, `spare`, `Journal`.
fn role(line: Line<'_>, value: &str) -> Result<MdRole, ParseError> {
    let number = |n: &str| line.number("device role", n, "members");
    if let Some(n) = value.strip_prefix("Active device ") {
        return number(n).map(MdRole::Active);
    }
    if let Some(n) = value.strip_prefix("Replacement device ") {
        return number(n).map(MdRole::Replacement);
    }
    match value {
        "spare" => Ok(MdRole::Spare),
        "Journal" => Ok(MdRole::Journal),
        _ => {
            let hint = "expected 'Active device N', 'Replacement device N', 'spare' or 'Journal'";
            Err(line.err(ParseErrorKind::Unsupported, "device role", value, hint))
        }
    }
}

fn sectors(line: Line<'_>, field: &'static str, text: &str) -> Result<u64, ParseError> {
    let number = line.number(field, text, "sectors")?;
    number.checked_mul(SECTOR_SIZE).ok_or_else(|| line.too_large(field, text))
}

fn kib(line: Line<'_>, field: &'static str, text: &str) -> Result<u64, ParseError> {
    let number = line.number(field, text, "KiB")?;
    number.checked_mul(1024).ok_or_else(|| line.too_large(field, text))
}

/// `64K`, `1M`.
fn size(line: Line<'_>, text: &str) -> Result<u64, ParseError> {
    let (number, unit) = if let Some(number) = text.strip_suffix('K') {
        (number, 1 << 10)
    } else if let Some(number) = text.strip_suffix('M') {
        (number, 1 << 20)
    } else {
        let hint = "expected a number of K or M, such as 64K";
        return Err(line.err(ParseErrorKind::BadUnit, "chunk size", text, hint));
    };
    let number = line.number("chunk size", number, "K or M")?;
    number.checked_mul(unit).ok_or_else(|| line.too_large("chunk size", text))
}
