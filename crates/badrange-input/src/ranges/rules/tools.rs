//! rasdaemon's disk errors, smartctl, smartd, mdadm, and lists under a heading.

use super::{Groups, Rule};
use crate::{
    Confidence,
    ranges::{
        name,
        place::{BlockUnit, Place},
        said::{Said, sectors},
    },
};

pub(super) const RULES: &[Rule] = &[
    (r"^(?:.* )?dev=([0-9]+:[0-9]+),? sector=([0-9]+),? nr_sector=([0-9]+)", disk_error),
    (
        r"^block_rq_(?:error|complete): ([0-9]+),([0-9]+) [A-Z]+ \(.*\) ([0-9]+) \+ ([0-9]+) .*\[-[0-9]+\]$",
        block_event,
    ),
    (r"^Sector Sizes?: +([0-9]+) bytes logical", sector_size),
    (r"^Logical block size: +([0-9]+) bytes", sector_size),
    (
        r"^# *[0-9]+ .*(?:read failure|servo/seek failure|failed.*segment).* ((?:0x[0-9a-f]+)|[0-9]+)(?: +\[.*\])?$",
        self_test,
    ),
    (
        r"^.*Error: (?:UNC|IDNF|AMNF)[A-Z, ]* (?:([0-9]+) sectors )?at LBA = 0x[0-9a-f]+ = ([0-9]+)",
        smart_error,
    ),
    (
        r"^Device: ([^ ,]+)(?: \[[^\]]*\])?, ([0-9]+) (?:Currently unreadable \(pending\)|Offline uncorrectable) sectors",
        smartd,
    ),
    (r"^Bad-blocks on ([^ ]+):$", examine),
    (r"^([0-9]+) for ([0-9]+) sectors$", list_line),
    (r"^==> (.+) <==$", heading),
    (r"^([0-9]+)(?: ([0-9]+))?$", list_line),
    (r"^(/sys/[^ :=]*/(?:badblocks|bad_blocks))[:=] ?([0-9]+) ([0-9]+)$", sysfs_line),
];

/// What is left of a request when it failed.
fn disk_error(g: &Groups<'_>) -> Option<Said> {
    Some(sectors(g.text(1), g.number(2)?, g.number(3)?.max(1), "disk error event"))
}

fn block_event(g: &Groups<'_>) -> Option<Said> {
    let device = format!("{}:{}", g.text(1), g.text(2));
    let count = g.number(4).filter(|n| *n > 0)?;
    Some(sectors(&device, g.number(3)?, count, "block event"))
}

fn sector_size(g: &Groups<'_>) -> Option<Said> {
    Some(Said::BlockSize { device: None, bytes: g.number(1)? })
}

/// A self-test stops at the first block that it cannot read.
fn self_test(g: &Groups<'_>) -> Option<Said> {
    let place = Place::Blocks {
        device: None,
        unit: BlockUnit::Logical,
        first: g.either(1)?,
        count: Some(1),
    };
    Some(Said::Range { place, confidence: Confidence::AtLeast, said: "SMART self-test" })
}

fn smart_error(g: &Groups<'_>) -> Option<Said> {
    let count = g.number(1);
    let place =
        Place::Blocks { device: None, unit: BlockUnit::Logical, first: g.number(2)?, count };
    let confidence = if count.is_some() { Confidence::AtMost } else { Confidence::UnknownExtent };
    Some(Said::Range { place, confidence, said: "SMART error log" })
}

fn smartd(g: &Groups<'_>) -> Option<Said> {
    let device = name::of_device(g.text(1));
    Some(Said::Unplaced(format!("{device}: {} unreadable sectors, without address", g.text(2))))
}

fn examine(g: &Groups<'_>) -> Option<Said> {
    Some(Said::ListOf { device: Some(name::of_device(g.text(1))), sysfs: false })
}

fn list_line(g: &Groups<'_>) -> Option<Said> {
    Some(Said::ListLine { first: g.number(1)?, count: g.number(2) })
}

/// The device of a list in sysfs: of the array's member, the disk, or the region.
fn of_sysfs(path: &str) -> Option<String> {
    let (parent, file) = path.rsplit_once('/')?;
    let list = matches!(file, "badblocks" | "bad_blocks" | "unacknowledged_bad_blocks");
    let parent = parent.rsplit('/').next()?;
    list.then(|| parent.strip_prefix("dev-").unwrap_or(parent).to_owned())
}

fn heading(g: &Groups<'_>) -> Option<Said> {
    Some(Said::ListOf { device: of_sysfs(g.text(1)), sysfs: true })
}

fn sysfs_line(g: &Groups<'_>) -> Option<Said> {
    let device = of_sysfs(g.text(1))?;
    let said = sectors(&device, g.number(2)?, g.number(3)?, "bad block list");
    let Said::Range { place, said, .. } = said else { return Some(said) };
    Some(Said::Range { place, confidence: Confidence::Exact, said })
}
