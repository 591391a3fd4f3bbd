//! What commands call devices and files on the machine itself.

use badrange_core::PageSize;
use badrange_input::{Filesystem, Layer, Topology};

use super::{PlannedFile, Setting};
use crate::{
    Explainer,
    advice::{Command, Variable},
};

/// A word of a command: what a variable holds, if any, and text after it.
#[derive(Debug, Clone)]
pub(super) struct Word {
    variable: Option<Variable>,
    text: String,
}

impl Word {
    fn text(text: impl Into<String>) -> Self {
        Self { variable: None, text: text.into() }
    }

    /// The word as the next argument, after `before`.
    pub(super) fn add_to(&self, command: Command, before: &str) -> Command {
        match &self.variable {
            None => command.arg(format!("{before}{}", self.text)),
            Some(variable) => command.arg_after(before, variable, self.text.clone()),
        }
    }
}

/// Names, and the variables that they made necessary.
#[derive(Debug)]
pub(super) struct Names<'t> {
    explainer: &'t Explainer,
    settings: Vec<Setting>,
    /// What each variable stands for, so that two things never share one.
    keys: Vec<String>,
}

impl<'t> Names<'t> {
    pub(super) fn new(explainer: &'t Explainer) -> Self {
        Self { explainer, settings: Vec::new(), keys: Vec::new() }
    }

    pub(super) fn into_settings(self) -> Vec<Setting> {
        self.settings
    }

    /// The variable for `key`; made the first time it is asked for.
    fn variable(
        &mut self,
        key: &str,
        name: &str,
        meaning: String,
        guess: Option<String>,
    ) -> Variable {
        if let Some(at) = self.keys.iter().position(|known| known == key) {
            if let Some(known) = self.settings.get(at) {
                return known.variable.clone();
            }
        }
        let mut variable = Variable::new(name);
        let mut number = 1_u64;
        while self.settings.iter().any(|known| known.variable == variable) {
            number = number.saturating_add(1);
            variable = Variable::new(&format!("{name}_{number}"));
        }
        self.keys.push(key.to_owned());
        self.settings.push(Setting { variable: variable.clone(), meaning, guess });
        variable
    }

    fn as_word(variable: Variable, text: impl Into<String>) -> Word {
        Word { variable: Some(variable), text: text.into() }
    }

    /// The device node of a device of the description.
    pub(super) fn device(&mut self, place: usize) -> Word {
        let Some(device) = self.topology().devices().get(place) else {
            return Word::text("/dev/null");
        };
        match device.layer {
            Layer::Mapped { .. } | Layer::Thin { .. } => {
                return Word::text(format!("/dev/mapper/{}", device.name));
            }
            Layer::Array { .. } | Layer::Loop { .. } => {
                return Word::text(format!("/dev/{}", device.name));
            }
            Layer::Disk
            | Layer::Memdev
            | Layer::Region { .. }
            | Layer::Pmem { .. }
            | Layer::Partition { .. }
            | Layer::Opaque
            | Layer::View { .. } => {}
        }
        let shown = Command::new(&*device.name);
        let meaning = format!("the device that the description calls {shown}");
        let guess = format!("/dev/{}", device.name);
        let name = format!("DEV_{}", device.name);
        let key = format!("device {place}");
        Self::as_word(self.variable(&key, &name, meaning, Some(guess)), "")
    }

    /// The `ndctl` name of the namespace of a device.
    pub(super) fn namespace(&mut self, place: usize, device: &str) -> Word {
        let meaning = format!("the namespace of {}; 'ndctl list -N' says", Command::new(device));
        let name = format!("NAMESPACE_{device}");
        Self::as_word(self.variable(&format!("namespace {place}"), &name, meaning, None), "")
    }

    /// The character device of a device-dax namespace.
    pub(super) fn dax(&mut self, place: usize, device: &str) -> Word {
        let meaning = format!("the character device of {}", Command::new(device));
        let (key, name) = (format!("dax {place}"), format!("DAX_{device}"));
        Self::as_word(self.variable(&key, &name, meaning, Some("/dev/dax0.0".to_owned())), "")
    }

    /// Where a filesystem is mounted.
    pub(super) fn mount(&mut self, fs: &Filesystem, device: &str) -> Word {
        match &fs.mount {
            Some(mount) => Word::text(mount),
            None => Self::as_word(self.mount_variable(device), ""),
        }
    }

    fn mount_variable(&mut self, device: &str) -> Variable {
        let meaning = format!(
            "where the filesystem of {} is mounted; empty if the paths begin at the root",
            Command::new(device)
        );
        self.variable(&format!("mount {device}"), &format!("MNT_{device}"), meaning, None)
    }

    /// The file itself. A file without a name gets a variable.
    pub(super) fn file(&mut self, file: &PlannedFile) -> Word {
        let Some(path) = file.paths.first() else { return self.nameless(file) };
        let by_name_only = file.ino.is_none();
        let mount = self.filesystem(&file.fs).and_then(|fs| fs.mount.as_deref());
        match mount.map(|mount| mount.trim_end_matches('/')) {
            Some(mount) if by_name_only || is_below(path, mount) => Word::text(path),
            Some(mount) => Word::text(format!("{mount}{}", rooted(path))),
            // What filefrag or xfs_bmap print is the path that they were given.
            None if by_name_only => Word::text(path),
            None => Self::as_word(self.mount_variable(&file.fs), rooted(path)),
        }
    }

    fn nameless(&mut self, file: &PlannedFile) -> Word {
        let ino = file.ino.unwrap_or_default();
        let device = Command::new(&*file.fs);
        let meaning = format!("the path of inode {ino} on {device}; the first step finds it");
        let key = format!("file {ino} {}", file.fs);
        Self::as_word(self.variable(&key, &format!("FILE_{ino}"), meaning, None), "")
    }

    /// The same file in a backup.
    pub(super) fn backup(&mut self, file: &PlannedFile) -> Word {
        let meaning = format!(
            "the root of a good copy of the filesystem of {}, of the same moment",
            Command::new(&*file.fs)
        );
        let key = format!("backup {}", file.fs);
        let backup = self.variable(&key, &format!("BACKUP_{}", file.fs), meaning, None);
        match (file.paths.first(), file.ino) {
            (Some(path), _) => Self::as_word(backup, rooted(path)),
            (None, ino) => Self::as_word(backup, format!("/inode-{}", ino.unwrap_or_default())),
        }
    }

    /// The size of a file before anything was written.
    pub(super) fn size(&mut self, file: &PlannedFile) -> Word {
        let shown = self.shown(file);
        let meaning = format!("the size of {shown} in bytes, as the first steps print it");
        let key = format!("size {shown} {}", file.fs);
        let name = file.ino.map_or_else(|| "SIZE".to_owned(), |ino| format!("SIZE_{ino}"));
        Self::as_word(self.variable(&key, &name, meaning, None), "")
    }

    /// A file of one's own to put bytes together in.
    pub(super) fn work(&mut self, name: &str) -> Word {
        let meaning = "an empty directory on another, healthy device".to_owned();
        Self::as_word(self.variable("work", "WORK", meaning, None), format!("/{name}"))
    }

    /// A file for people, on one line.
    pub(super) fn shown(&self, file: &PlannedFile) -> String {
        match (file.paths.first(), file.ino) {
            (Some(path), _) => Command::new(&**path).to_string(),
            (None, Some(ino)) => format!("inode {ino}"),
            (None, None) => "a file without a name".to_owned(),
        }
    }

    pub(super) fn filesystem(&self, device: &str) -> Option<&'t Filesystem> {
        let place = self.place(device)?;
        self.topology().filesystems().iter().find(|fs| fs.device == place)
    }

    pub(super) fn place(&self, device: &str) -> Option<usize> {
        self.topology().devices().iter().position(|known| known.name == device)
    }

    pub(super) fn topology(&self) -> &'t Topology {
        self.explainer.topology()
    }

    pub(super) fn explainer(&self) -> &'t Explainer {
        self.explainer
    }

    /// Pages of the machine's memory.
    pub(super) fn page(&self) -> PageSize {
        self.topology().memory().page
    }
}

/// Whether a path begins with a mount point.
fn is_below(path: &str, mount: &str) -> bool {
    path.strip_prefix(mount).is_some_and(|rest| !mount.is_empty() && rest.starts_with('/'))
}

fn rooted(path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("/{path}") }
}
