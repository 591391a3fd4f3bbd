//! A stack from a directory of saved outputs, whatever their names.

mod filesystems;
mod layers;

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead, Read},
};

use crate::{
    Files, Format, LoopDevice, LsblkDevice, ParseError, StackError, parse_lsblk, recognise,
    sniff::RECOGNISE_BYTES,
};

/// A description of a stack that was put together from saved outputs.
///
/// # Examples
/// ```
/// use badrange_input::{Discovery, MemoryFiles, Topology};
/// let files = MemoryFiles::new()
///     .with("lsblk.json", r#"{"blockdevices": [{"name":"sda", "maj:min":"8:0", "type":"disk",
///         "size":2097152, "children": [{"name":"root", "maj:min":"253:0", "type":"dm", "size":8192}]}]}"#)
///     .with("table.txt", "root: 0 16 linear 8:0 2048\n");
/// let names = ["lsblk.json".to_owned(), "table.txt".to_owned()];
/// let found = Discovery::new("saved", &names, &files)?;
/// assert_eq!(found.used.len(), 2);
/// let topology = Topology::load("saved", &found.toml, &files)?;
/// assert_eq!(topology.devices().len(), 2);
/// # Ok::<(), badrange_input::StackError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discovery {
    /// The description, as a `stack.toml` in the same directory would have it.
    pub toml: String,
    /// Files that are named in it, or were needed to make it, each with what it is.
    pub used: Vec<(String, String)>,
    /// Files that are not, each with the reason.
    pub left_out: Vec<(String, String)>,
    /// What would tell more: outputs that are not there.
    pub missing: Vec<String>,
}

impl Discovery {
    /// Looks at the files of these names. `dir` is what errors call the directory.
    ///
    /// Cost: every file is read at its beginning, those with file maps wholly.
    ///
    /// # Errors
    /// A [`StackError`] when no listing of block devices is among them, or none with sizes in
    /// bytes, or a file of a known form is broken.
    pub fn new(dir: &str, names: &[String], files: &dyn Files) -> Result<Self, StackError> {
        let mut finder = Finder::new(files);
        finder.sort(names);
        finder.backbone(dir)?;
        finder.loops()?;
        finder.write("schema = \"badrange.stack/1\"\n");
        finder.disks(dir)?;
        finder.partitions()?;
        finder.device_mapper()?;
        finder.volumes()?;
        finder.arrays()?;
        finder.pools()?;
        finder.filesystems()?;
        let Finder { toml, used, left_out, missing, .. } = finder;
        Ok(Self { toml, used, left_out, missing })
    }
}

/// Files by form, and what is found so far.
struct Finder<'f> {
    files: &'f dyn Files,
    by_format: BTreeMap<Format, Vec<String>>,
    devices: Vec<LsblkDevice>,
    loops: Vec<LoopDevice>,
    /// Names of device-mapper devices that have a table, with the type of their first target.
    tables: Vec<(String, String)>,
    /// Names of thin pools.
    pools: BTreeSet<String>,
    toml: String,
    used: Vec<(String, String)>,
    left_out: Vec<(String, String)>,
    missing: Vec<String>,
}

impl<'f> Finder<'f> {
    fn new(files: &'f dyn Files) -> Self {
        Self {
            files,
            by_format: BTreeMap::new(),
            devices: Vec::new(),
            loops: Vec::new(),
            tables: Vec::new(),
            pools: BTreeSet::new(),
            toml: String::new(),
            used: Vec::new(),
            left_out: Vec::new(),
            missing: Vec::new(),
        }
    }

    /// Tells what each file is.
    fn sort(&mut self, names: &[String]) {
        for name in names {
            let mut head = Vec::new();
            let limit = u64::try_from(RECOGNISE_BYTES).unwrap_or(u64::MAX);
            let read = self.files.open(name).and_then(|f| f.take(limit).read_to_end(&mut head));
            match read.map_err(|err| err.to_string()).map(|_| recognise(&head)) {
                Err(err) => self.leave_out(name, err),
                Ok(Err(err)) => self.leave_out(name, err.to_string()),
                Ok(Ok(format)) => self.by_format.entry(format).or_default().push(name.clone()),
            }
        }
    }

    fn of(&self, format: Format) -> Vec<String> {
        self.by_format.get(&format).cloned().unwrap_or_default()
    }

    fn write(&mut self, text: &str) {
        self.toml.push_str(text);
    }

    fn use_file(&mut self, name: &str, what: impl Into<String>) {
        self.used.push((name.to_owned(), what.into()));
    }

    fn leave_out(&mut self, name: &str, why: impl Into<String>) {
        self.left_out.push((name.to_owned(), why.into()));
    }

    fn parse<T>(
        &self,
        name: &str,
        parse: impl FnOnce(&mut dyn BufRead) -> Result<T, ParseError>,
    ) -> Result<T, StackError> {
        let mut input = self
            .files
            .open(name)
            .map_err(|err| StackError::new(name, None, format!("cannot read: {err}")))?;
        parse(&mut input).map_err(|err| {
            let text = err.to_string();
            let prefix = err.line().map(|line| format!("line {line}: ")).unwrap_or_default();
            StackError::new(name, err.line(), text.strip_prefix(&prefix).unwrap_or(&text))
        })
    }

    /// The listing that knows most sizes.
    fn backbone(&mut self, dir: &str) -> Result<(), StackError> {
        let mut best: Option<(usize, String, Vec<LsblkDevice>)> = None;
        for name in self.of(Format::Lsblk) {
            let devices = self.parse(&name, |input| parse_lsblk(input))?;
            let sizes = devices.iter().filter(|d| d.bytes.is_some()).count();
            if best.as_ref().is_none_or(|(most, ..)| sizes > *most) {
                if let Some((_, other, _)) = best.replace((sizes, name, devices)) {
                    self.leave_out(&other, "another lsblk tells more sizes in bytes");
                }
            } else {
                self.leave_out(&name, "another lsblk tells as much");
            }
        }
        let Some((_, name, devices)) = best else {
            let message = "no listing of the block devices is here: save lsblk -J -b -o \
                           NAME,MAJ:MIN,TYPE,SIZE,START,LOG-SEC,FSTYPE,MOUNTPOINT";
            return Err(StackError::new(dir, None, message));
        };
        self.use_file(&name, "lsblk: devices, numbers, sizes and mount points");
        self.devices = devices;
        Ok(())
    }

    /// The device of this name, or of the last component of this path.
    fn device(&self, path: &str) -> Option<&LsblkDevice> {
        let name = last(path);
        self.devices.iter().find(|device| device.name == name)
    }

    /// The device whose name is a part of a file's name, between dots, dashes and underscores; the
    /// longest if several are.
    fn named_in(&self, file: &str) -> Option<&LsblkDevice> {
        let is_edge = |c: Option<char>| c.is_none_or(|c| matches!(c, '.' | '_' | '-' | '/'));
        let is_in = |device: &&LsblkDevice| {
            file.match_indices(device.name.as_str()).any(|(at, found)| {
                let before = file.get(..at).and_then(|t| t.chars().next_back());
                let after = file.get(at.saturating_add(found.len())..);
                is_edge(before) && is_edge(after.and_then(|t| t.chars().next()))
            })
        };
        self.devices.iter().filter(is_in).max_by_key(|device| device.name.len())
    }
}

fn last(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// A string as TOML has it.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn list(texts: &[String]) -> String {
    let all: Vec<_> = texts.iter().map(|text| quoted(text)).collect();
    format!("[{}]", all.join(", "))
}
