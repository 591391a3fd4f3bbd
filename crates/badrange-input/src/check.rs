//! What is odd about a stack that can be built all the same.

use core::{fmt, ops::ControlFlow};

use badrange_core::{DevOffset, Extent, Leg, SECTOR_SIZE};

use crate::{Device, Filesystem, Layer, LsblkDevice, StackError, Topology};

/// How much a finding matters.
///
/// # Examples
/// ```
/// use badrange_input::Severity;
/// assert!(Severity::Error < Severity::Note);
/// assert_eq!(Severity::Warning.to_string(), "warning");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The stack cannot be built.
    Error,
    /// Answers may be wrong.
    Warning,
    /// Answers are right, but some are that nothing is known.
    Note,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        })
    }
}

/// Something about a stack that somebody should look at.
///
/// # Examples
/// See [`check`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckFinding {
    /// How much it matters.
    pub severity: Severity,
    /// A short name for the kind of finding, which stays the same.
    pub code: &'static str,
    /// The file, where one is to blame.
    pub file: Option<String>,
    /// The line of the file, from 1.
    pub line: Option<u64>,
    /// What was found.
    pub message: String,
    /// What it means, and what to do.
    pub meaning: &'static str,
}

impl CheckFinding {
    fn new(severity: Severity, code: &'static str, message: String, meaning: &'static str) -> Self {
        Self { severity, code, file: None, line: None, message, meaning }
    }

    /// The finding that a stack cannot be built.
    ///
    /// # Examples
    /// ```
    /// use badrange_input::{CheckFinding, MemoryFiles, Severity, Topology};
    /// let err = Topology::load("stack.toml", "schema = 1", &MemoryFiles::new()).unwrap_err();
    /// assert_eq!(CheckFinding::of_error(&err).severity, Severity::Error);
    /// ```
    #[must_use]
    pub fn of_error(err: &StackError) -> Self {
        let meaning = "Nothing can be answered until this is mended.";
        Self::at(err, Severity::Error, "cannot-be-built", meaning)
    }

    fn at(err: &StackError, severity: Severity, code: &'static str, meaning: &'static str) -> Self {
        Self {
            file: Some(err.file().to_owned()),
            line: err.line(),
            ..Self::new(severity, code, err.message().to_owned(), meaning)
        }
    }
}

/// Looks for what is odd in a stack: bytes that several devices use, devices that nobody described,
/// maps that end early or are of another device. With a listing of the host's block devices beside
/// it (`lsblk -J -b`), also for devices, sizes, places and numbers that do not agree.
///
/// The findings are in order of their severity.
///
/// # Examples
/// ```
/// use badrange_input::{MemoryFiles, Topology, check};
/// let files = MemoryFiles::new().with("t", "a: 0 8 linear sda 0\nb: 0 8 linear sda 4\n");
/// let toml = "schema = \"badrange.stack/1\"\n[[disk]]\nname = \"sda\"\nsectors = 64\n\
///             [[dm]]\ntable = \"t\"\n";
/// let found = check(&Topology::load("stack.toml", toml, &files)?, &[]);
/// assert_eq!(found[0].code, "overlap");
/// assert_eq!(found[0].message, "sectors 4+4 of sda are used by a and by b");
/// # Ok::<(), badrange_input::StackError>(())
/// ```
#[must_use]
pub fn check(topology: &Topology, listed: &[LsblkDevice]) -> Vec<CheckFinding> {
    let mut found = Vec::new();
    for note in topology.notes() {
        let meaning = "Answers about the bytes concerned are not complete: what is not translated is \
                       answered with \"device\", and nothing is guessed.";
        found.push(CheckFinding::at(note, Severity::Note, "not-modelled", meaning));
    }
    for place in 0..topology.devices().len() {
        overlaps(topology, place, &mut found);
    }
    undescribed(topology, &mut found);
    for filesystem in topology.filesystems() {
        coverage(topology, filesystem, &mut found);
        numbers(topology, filesystem, listed, &mut found);
    }
    if !listed.is_empty() {
        compare(topology, listed, &mut found);
    }
    found.sort_by_key(|finding| finding.severity);
    found
}

/// Sectors where that is exact, else bytes.
fn shown(extent: Extent) -> String {
    let sectors = extent.containing_sectors();
    if sectors.bytes().is_ok_and(|bytes| bytes == extent) {
        return format!("sectors {}+{}", sectors.start().get(), sectors.len());
    }
    extent.to_string()
}

/// Bytes of a device that several devices above use. Volumes of a thin pool, and reflinks of a file,
/// share blocks by design.
fn overlaps(topology: &Topology, place: usize, found: &mut Vec<CheckFinding>) {
    let Some(below) = topology.devices().get(place) else { return };
    let mut uses: Vec<(Extent, &Device)> = Vec::new();
    for above in topology.devices() {
        let legs = (0_u32..).map(Leg::new).zip(above.layer.legs());
        for (leg, _) in legs.filter(|(_, on)| **on == place) {
            uses.extend(above.layer.used(leg).into_iter().map(|extent| (extent, above)));
        }
    }
    uses.sort_by_key(|(extent, _)| extent.start());
    let mut last: Option<(Extent, &Device)> = None;
    for (extent, above) in uses {
        if let Some((before, other)) = last {
            let shares =
                |device: &Device| matches!(device.layer, Layer::Thin { .. } | Layer::Loop { .. });
            let both = before.intersect(extent).filter(|_| !(shares(above) && shares(other)));
            if let Some(both) = both {
                let message = format!(
                    "{} of {} are used by {} and by {}",
                    shown(both),
                    below.name,
                    other.name,
                    above.name
                );
                let meaning = "A byte has one use, unless one of them was removed or is a copy of the \
                               other's table: the files are of different times, or name the wrong \
                               device.";
                found.push(CheckFinding::new(Severity::Warning, "overlap", message, meaning));
            }
        }
        last = match last {
            Some((before, _)) if before.end() >= extent.end() => last,
            _ => Some((extent, above)),
        };
    }
}

/// Devices at the top of which nobody said what is on them.
fn undescribed(topology: &Topology, found: &mut Vec<CheckFinding>) {
    for (place, device) in topology.devices().iter().enumerate() {
        let used = topology.devices().iter().any(|above| above.layer.legs().contains(&place));
        let mounted = topology.filesystems().iter().any(|fs| fs.device == place);
        let view = matches!(device.layer, Layer::View { .. });
        if used || mounted || view || !device.areas.is_empty() {
            continue;
        }
        let message = format!("{} has no filesystem and nothing on top of it", device.name);
        let meaning = "What is bad on it is answered with \"device\". If there is a filesystem, save its \
                       map (xfs_io -c fsmap, filefrag -v).";
        found.push(CheckFinding::new(Severity::Note, "undescribed", message, meaning));
    }
}

/// How much of a filesystem's device no map speaks of.
fn coverage(topology: &Topology, filesystem: &Filesystem, found: &mut Vec<CheckFinding>) {
    let Some(device) = topology.devices().get(filesystem.device) else { return };
    let (mut bytes, mut last) = (0_u64, None);
    let _ = filesystem.map.gaps(device.extent, &mut |gap| {
        bytes = bytes.saturating_add(gap.len());
        last = Some(gap);
        ControlFlow::Continue(())
    });
    let Some(last) = last else { return };
    if bytes == device.extent.len() {
        let message = format!("the map of {} has no rows", device.name);
        let meaning =
            "Everything on it is answered with \"fs-unknown\": save the map again, as root.";
        found.push(CheckFinding::new(Severity::Warning, "empty-map", message, meaning));
        return;
    }
    let name = &device.name;
    if last.end() == device.extent.end() && last.len() > bytes / 2 {
        let message = format!(
            "the map of {name} ends at {}, the device at {}",
            sector(last.start()),
            sector(last.end())
        );
        let meaning =
            "The filesystem is smaller than its device, or the map was saved before it grew.";
        found.push(CheckFinding::new(Severity::Note, "map-ends-early", message, meaning));
        return;
    }
    let message = format!("{bytes} bytes of the filesystem on {name} are in no map");
    let meaning = "They are answered with \"fs-unknown\". A map of filefrag alone names files only; ext4's \
                   fsmap can lack rows.";
    found.push(CheckFinding::new(Severity::Note, "map-gaps", message, meaning));
}

fn sector(at: DevOffset) -> String {
    format!("sector {}", at.get() / SECTOR_SIZE)
}

/// Whether the maps of a filesystem are of its device.
fn numbers(
    topology: &Topology,
    filesystem: &Filesystem,
    listed: &[LsblkDevice],
    found: &mut Vec<CheckFinding>,
) {
    let Some(number) = &filesystem.number else { return };
    let Some(device) = topology.devices().get(filesystem.device) else { return };
    let by_table = topology.numbered(number);
    let by_list = listed.iter().find(|d| d.number.as_ref() == Some(number)).map(|d| &*d.name);
    match by_table.or(by_list) {
        Some(name) if name == device.name => {}
        Some(other) => {
            let message = format!(
                "the map of {} was made of device {number}, which is {other} here",
                device.name
            );
            let meaning = "The map is another filesystem's, or numbers changed between the captures: \
                           save everything again in one go.";
            found.push(CheckFinding::new(Severity::Warning, "stale-map", message, meaning));
        }
        None if listed.is_empty() => {}
        None => {
            let message = format!(
                "the map of {} was made of device {number}, which is not listed",
                device.name
            );
            let meaning =
                "Nothing says that this number is this device: save lsblk and the map together.";
            found.push(CheckFinding::new(Severity::Warning, "unknown-number", message, meaning));
        }
    }
}

/// What the listing says otherwise.
fn compare(topology: &Topology, listed: &[LsblkDevice], found: &mut Vec<CheckFinding>) {
    let again = "One of the two is older: save all outputs again in one go.";
    let warning = |code, message: String, meaning| {
        CheckFinding::new(Severity::Warning, code, message, meaning)
    };
    for device in topology.devices() {
        let name = &device.name;
        let Some(other) = listed.iter().find(|d| d.name == *name) else {
            let message = format!("{name} is in the stack, but lsblk does not list it");
            let meaning = "It is gone, has another name, or its table is old.";
            found.push(warning("not-listed", message, meaning));
            continue;
        };
        let kernel_shrinks = matches!(device.layer, Layer::View { .. }) && other.kind == "part";
        if let Some(bytes) = other.bytes.filter(|b| *b != device.extent.len() && !kernel_shrinks) {
            let message = format!(
                "{name} has {} bytes by its description, {bytes} by lsblk",
                device.extent.len()
            );
            found.push(warning("size-differs", message, again));
        }
        if let (Layer::Partition { mapping, .. }, Some(start)) = (&device.layer, other.start) {
            let here = mapping.on().start().get() / SECTOR_SIZE;
            if here != start {
                let message =
                    format!("{name} begins at sector {here} by its table, {start} by lsblk");
                found.push(warning("start-differs", message, again));
            }
        }
    }
    for other in listed {
        if let Some(known) = other.number.as_deref().and_then(|number| topology.numbered(number)) {
            if known != other.name {
                let number = other.number.as_deref().unwrap_or_default();
                let message =
                    format!("{number} is {known} in [[dm]] devices, {} by lsblk", other.name);
                let meaning = "Correct the numbers, or save all outputs again.";
                found.push(warning("number-differs", message, meaning));
            }
        }
        let here = topology.devices().iter().any(|device| device.name == other.name);
        if !here && other.bytes != Some(0) {
            let message =
                format!("lsblk lists {} ({}), the stack does not have it", other.name, other.kind);
            let meaning =
                "What is bad on it cannot be asked about, and what it uses below looks unused.";
            found.push(CheckFinding::new(Severity::Note, "not-described", message, meaning));
        }
    }
}
