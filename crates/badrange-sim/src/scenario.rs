//! A machine, the programs that run on it, and events that happen to it.

mod device;
mod error;
mod event;
mod filesystem;
pub(crate) mod json;
mod limits;
mod process;

use std::collections::BTreeMap;

use serde_json::Value;

pub(crate) use self::{
    device::{Device, DeviceKind, Pmem, Provider, Region, inside, known},
    event::{Advice, Event, flags},
    filesystem::{Dax, Extent, Filesystem, FsKind, Owner, State},
    process::{Disposition, HUGE, Map, Policy, Process},
};
pub use self::{
    error::{ScenarioError, ScenarioErrorKind},
    limits::{
        MAX_DEPTH, MAX_DEVICES, MAX_EVENTS, MAX_EXTENTS, MAX_FILESYSTEMS, MAX_LIST,
        MAX_MADVISE_PAGES, MAX_PROCESSES, MAX_ROUTES, MAX_STORM_PAGES, MAX_TEXT_BYTES,
        MAX_TOUCHED_PAGES,
    },
};
use self::{
    json::{At, Object, Path, Strict, duplicate},
    limits::{MAX_PROCESSES as PROCESSES, MAX_TOUCHED_PAGES as TOUCHED},
};
use crate::{
    Profile,
    check::expect,
    kernel::{Quirks, Version},
    machine::Machine,
};

type Result<T> = core::result::Result<T, ScenarioError>;

/// What a process maps and a program opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum FileId {
    /// An inode of a filesystem.
    Inode { fs: usize, ino: u64 },
    /// A device itself.
    Device(usize),
}

/// Where bytes of a file were seen in physical memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Location {
    pub(crate) file: FileId,
    pub(crate) file_start: u64,
    pub(crate) phys: u64,
    pub(crate) len: u64,
}

/// Kernel settings.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sysctl {
    pub(crate) early_kill: bool,
    pub(crate) recovery: bool,
}

/// A machine, the processes on it, and what happens to it: `badrange.scenario/1`.
///
/// # Invariants
/// Every reference leads somewhere, every range lies in what it is a part of, and the limits hold:
/// a scenario that exists can be run.
///
/// # Examples
/// ```
/// use badrange_sim::Scenario;
/// let text = r#"{"schema":"badrange.scenario/1","name":"nobody","profile":"linux-7.2",
///   "devices":[{"name":"pmem0","kind":"pmem","phys":"0x100000000","size":"0x20000000",
///               "data_offset":"0x200000"}],
///   "events":[{"do":"memory_failure","pfn":"0x100300","flags":[]}]}"#;
/// let scenario = Scenario::from_str(text, "nobody.json")?;
/// assert_eq!(scenario.name(), "nobody");
/// assert_eq!(scenario.event_kinds().collect::<Vec<_>>(), ["memory_failure"]);
/// # Ok::<(), badrange_sim::ScenarioError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Scenario {
    name: String,
    profile: Profile,
    desc: Option<String>,
    note: Option<String>,
    source: Option<String>,
    tags: Vec<String>,
    pub(crate) sysctl: Sysctl,
    pub(crate) devices: Vec<Device>,
    pub(crate) regions: Vec<Region>,
    pub(crate) filesystems: Vec<Filesystem>,
    pub(crate) processes: Vec<Process>,
    pub(crate) events: Vec<Event>,
    pub(crate) expect: Option<Vec<Value>>,
    pub(crate) locations: Vec<Location>,
}

/// Indices of the lists of a scenario are checked when it is read.
#[expect(clippy::indexing_slicing, reason = "every reference leads somewhere")]
impl Scenario {
    pub(crate) fn device(&self, device: usize) -> &Device {
        &self.devices[device]
    }

    pub(crate) fn filesystem(&self, fs: usize) -> &Filesystem {
        &self.filesystems[fs]
    }

    pub(crate) fn process(&self, process: usize) -> &Process {
        &self.processes[process]
    }
}

impl Scenario {
    /// Reads a scenario; `file_name` is only for messages.
    ///
    /// # Errors
    /// [`ScenarioError`] with the path in the JSON for everything that the format does not allow:
    /// unknown keys, numbers out of range, references to nothing, ranges out of their device, and
    /// whatever is beyond the limits.
    pub fn from_str(text: &str, file_name: &str) -> Result<Self> {
        parse(text).map_err(|err| err.in_file(file_name))
    }

    /// The unique name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whose rules the scenario asks for.
    #[must_use]
    pub const fn profile(&self) -> Profile {
        self.profile
    }

    /// What it is, for people.
    #[must_use]
    pub fn desc(&self) -> Option<&str> {
        self.desc.as_deref()
    }

    /// Limits of the observation, for people.
    #[must_use]
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    /// The kernel that was recorded, for people.
    #[must_use]
    pub fn source(&self) -> Option<&str> {
        self.source.as_deref()
    }

    /// Words to group scenarios by.
    #[must_use]
    pub fn tags(&self) -> &[String] {
        &self.tags
    }

    /// What happens, in the words of the format: `memory_failure`, `load`, ...
    pub fn event_kinds(&self) -> impl ExactSizeIterator<Item = &'static str> + '_ {
        self.events.iter().map(Event::kind)
    }

    /// Whether it says what was observed, so that [`check`](crate::check()) has work to do.
    #[must_use]
    pub fn has_expectations(&self) -> bool {
        self.expect.is_some()
    }
}

const KEYS: [&str; 14] = [
    "schema",
    "name",
    "profile",
    "desc",
    "note",
    "source",
    "tags",
    "sysctl",
    "devices",
    "filesystems",
    "processes",
    "events",
    "expect",
    "locations",
];

/// Names that stand for an index, while a scenario is read.
pub(crate) struct Names {
    pub(crate) devices: BTreeMap<String, usize>,
    pub(crate) filesystems: BTreeMap<String, usize>,
    pub(crate) processes: BTreeMap<String, usize>,
}

impl Names {
    pub(crate) fn device(&self, at: At<'_>) -> Result<usize> {
        find(&self.devices, "device", at)
    }

    pub(crate) fn filesystem(&self, at: At<'_>) -> Result<usize> {
        find(&self.filesystems, "filesystem", at)
    }

    pub(crate) fn process(&self, at: At<'_>) -> Result<usize> {
        find(&self.processes, "process", at)
    }

    /// `{"fs","ino"}` or `{"device"}`.
    pub(crate) fn file(&self, at: At<'_>) -> Result<FileId> {
        self.file_keys(&at.object(&["fs", "ino", "device"])?)
    }

    pub(crate) fn file_keys(&self, object: &Object<'_>) -> Result<FileId> {
        if object.has("device") {
            if object.has("fs") || object.has("ino") {
                return Err(object.at().bad("names both a device and a file of a filesystem"));
            }
            return object.required("device", |at| self.device(at)).map(FileId::Device);
        }
        let fs = object.required("fs", |at| self.filesystem(at))?;
        let ino = object.required("ino", |at| at.number())?;
        Ok(FileId::Inode { fs, ino })
    }
}

fn find(names: &BTreeMap<String, usize>, what: &str, at: At<'_>) -> Result<usize> {
    let name = at.text()?;
    names.get(name).copied().ok_or_else(|| {
        at.fail(ScenarioErrorKind::BadReference, format!("there is no {what} named {name:?}"))
    })
}

fn parse(text: &str) -> Result<Scenario> {
    if text.len() > MAX_TEXT_BYTES {
        let message = format!("the text is longer than {MAX_TEXT_BYTES} bytes");
        return Err(ScenarioError::new(ScenarioErrorKind::TooLarge, "", message));
    }
    let Strict(value) = serde_json::from_str(text)
        .map_err(|err| ScenarioError::new(ScenarioErrorKind::Syntax, "", err.to_string()))?;
    let at = At { value: &value, path: &Path::Root };
    let scenario = read(&at.object(&KEYS)?)?;
    // All kernels refuse the same.
    match Machine::new(&scenario, Quirks::new(Version::V7_2)).impossible_mount() {
        None => Ok(scenario),
        Some(fs) => {
            let message = "cannot be mounted like this: the kernel refuses \"dax\":\"always\" with \
                           reflink on a partition, and on ext4 without a DAX device";
            let list = Path::Key(&Path::Root, "filesystems");
            Err(ScenarioError::new(ScenarioErrorKind::BadValue, Path::Index(&list, fs), message))
        }
    }
}

fn read(object: &Object<'_>) -> Result<Scenario> {
    object.required("schema", |at| at.word(&[("badrange.scenario/1", ())]))?;
    let names = names(object)?;
    let (devices, regions) = object.required("devices", |at| device::read_all(at, &names))?;
    let filesystems = object
        .or("filesystems", Vec::new(), |at| at.list(|at| filesystem::read(at, &names, &devices)))?;
    let processes = object
        .or("processes", Vec::new(), |at| at.list(|at| process::read(at, &names, &devices)))?;
    check_touched(object, &processes)?;
    let events = object.required("events", |at| {
        at.short_list(MAX_EVENTS, |at| event::read(at, &names, &devices, &processes))
    })?;
    check_storms(object, &events)?;
    let expect = object.optional("expect", |at| expect(at, events.len()))?;
    Ok(Scenario {
        name: object.required("name", |at| at.name())?,
        profile: object.required("profile", profile)?,
        desc: object.optional("desc", |at| at.string())?,
        note: object.optional("note", |at| at.string())?,
        source: object.optional("source", |at| at.string())?,
        tags: object.many("tags", |at| at.string())?,
        sysctl: sysctl(object)?,
        locations: object.many("locations", |at| location(at, &names))?,
        devices,
        regions,
        filesystems,
        processes,
        events,
        expect,
    })
}

fn profile(at: At<'_>) -> Result<Profile> {
    let name = at.text()?;
    Profile::ALL.into_iter().find(|profile| profile.as_str() == name).ok_or_else(|| {
        let known: Vec<&str> = Profile::ALL.iter().map(|profile| profile.as_str()).collect();
        at.bad(format!("{name:?} is not one of: {}", known.join(", ")))
    })
}

fn sysctl(object: &Object<'_>) -> Result<Sysctl> {
    let default = Sysctl { early_kill: false, recovery: true };
    let keys = ["memory_failure_early_kill", "memory_failure_recovery"];
    object.or("sysctl", default, |at| {
        let object = at.object(&keys)?;
        let switch = |at: At<'_>| match at.number()? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(at.bad(format!("must be 0 or 1, but is {other}"))),
        };
        Ok(Sysctl {
            early_kill: object.or(keys[0], default.early_kill, switch)?,
            recovery: object.or(keys[1], default.recovery, switch)?,
        })
    })
}

fn location(at: At<'_>, names: &Names) -> Result<Location> {
    let object = at.object(&["fs", "ino", "device", "file_start", "phys", "len", "from"])?;
    object.optional("from", |at| at.string())?;
    Ok(Location {
        file: names.file_keys(&object)?,
        file_start: object.required("file_start", |at| at.number())?,
        phys: object.required("phys", |at| at.number())?,
        len: object.required("len", |at| at.positive())?,
    })
}

/// The names of everything, before anything is read in full.
fn names(object: &Object<'_>) -> Result<Names> {
    Ok(Names {
        devices: index(object, "devices", "name", MAX_DEVICES)?,
        filesystems: index(object, "filesystems", "name", MAX_FILESYSTEMS)?,
        processes: index(object, "processes", "tag", PROCESSES)?,
    })
}

fn index(
    object: &Object<'_>,
    list: &str,
    key: &str,
    limit: usize,
) -> Result<BTreeMap<String, usize>> {
    let read = |at: At<'_>| at.peek(key, |at| at.string());
    object.or(list, BTreeMap::new(), |at| {
        let names = at.short_list(limit, read)?;
        if let Some(twice) = duplicate(names.iter().map(String::as_str)) {
            return Err(at.bad(format!("the {key} {twice:?} stands twice")));
        }
        Ok(names.into_iter().enumerate().map(|(i, name)| (name, i)).collect())
    })
}

/// All storms together, because their number is not what they cost.
fn check_storms(object: &Object<'_>, events: &[Event]) -> Result<()> {
    // NO-OVERFLOW: a bounded number of events of bounded counts.
    let total = events.iter().map(Event::storm_pages).fold(0, u64::saturating_add);
    object.required("events", |at| match total {
        0..=MAX_STORM_PAGES => Ok(()),
        _ => {
            let message =
                format!("ranges, lists and storms fail {total} pages, more than {MAX_STORM_PAGES}");
            Err(at.fail(ScenarioErrorKind::TooLarge, message))
        }
    })
}

/// Page-table entries are what events work on: their number is what an event can cost.
fn check_touched(object: &Object<'_>, processes: &[Process]) -> Result<()> {
    let maps = processes.iter().flat_map(|process| &process.maps);
    let entries: u128 = maps.map(Map::entries).sum();
    if entries <= u128::from(TOUCHED) {
        return Ok(());
    }
    let message =
        format!("the processes touched {entries} pages, more than {TOUCHED} can be simulated");
    Err(object.at().fail(ScenarioErrorKind::TooLarge, message))
}
