//! Which file, and which of its bytes: `[FS:]PATH[:OFFSET[+LEN]]`.

use badrange_core::{Extent, FileOffset};
use badrange_fs::FileId;
use badrange_input::{Filesystem, Topology};

use super::FileRange;
use crate::{
    LocationErrorKind,
    location::{Range, Refusal},
};

/// A range of a file that cannot be used, and what to write instead.
///
/// # Examples
/// ```
/// use badrange_explain::{Explainer, LocationErrorKind};
/// use badrange_input::{MemoryFiles, Topology};
/// let text = "schema = \"badrange.stack/1\"\n[[disk]]\nname = \"sda\"\nsectors = 64\n";
/// let explainer = Explainer::new(Topology::load("stack.toml", text, &MemoryFiles::new())?)?;
/// let err = explainer.locate_file("/etc/passwd:0+512").unwrap_err();
/// assert_eq!(err.kind(), LocationErrorKind::UnknownFile);
/// assert_eq!(err.to_string(), "file \"/etc/passwd:0+512\": this stack describes no filesystem");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("file {text:?}: {message}")]
pub struct FileError {
    kind: LocationErrorKind,
    text: String,
    message: String,
}

impl FileError {
    pub(super) fn new(text: &str, (kind, message): Refusal) -> Self {
        Self { kind, text: text.to_owned(), message }
    }

    /// What was wrong; the part of the error to match on.
    #[must_use]
    pub const fn kind(&self) -> LocationErrorKind {
        self.kind
    }
}

/// A file of the stack.
type Found<'t> = (&'t Filesystem, FileId);

pub(super) fn parse<'t>(topology: &'t Topology, text: &str) -> Result<FileRange<'t>, Refusal> {
    // A path may hold colons and digits: a file of exactly this name comes first.
    if let Some(found) = one(topology, text)? {
        return whole(found);
    }
    let (path, range) = text.rsplit_once(':').ok_or_else(|| unknown(topology, text))?;
    let Some((fs, id)) = one(topology, path)? else {
        // Without an offset the last colon is that of the filesystem, or of the path.
        let offset = range.starts_with(|first: char| first.is_ascii_digit());
        return Err(unknown(topology, if offset { path } else { text }));
    };
    let extent = Range::parse(range)?.extent(1, FileOffset::new)?;
    Ok(FileRange { fs, id, extent })
}

/// Everything that the maps list of a file.
fn whole((fs, id): Found<'_>) -> Result<FileRange<'_>, Refusal> {
    let parts = fs.data_of(id).filter_map(|r| r.extent.rebase(r.extent.start(), r.file_start));
    let extent = parts.reduce(Extent::hull).ok_or_else(|| {
        let message = "no map lists any bytes of it: name the bytes, as in PATH:0+4096".to_owned();
        (LocationErrorKind::Empty, message)
    })?;
    Ok(FileRange { fs, id, extent })
}

/// The one file with this name, `FS:` before it or not.
fn one<'t>(topology: &'t Topology, name: &str) -> Result<Option<Found<'t>>, Refusal> {
    let mut found: Vec<Found<'_>> = Vec::new();
    for fs in topology.filesystems() {
        let below = name.strip_prefix(device_name(topology, fs)).and_then(|n| n.strip_prefix(':'));
        for name in [Some(name), below].into_iter().flatten() {
            found.extend(fs.files_named(name).into_iter().map(|id| (fs, id)));
        }
    }
    match found.as_slice() {
        [] => Ok(None),
        [one] => Ok(Some(*one)),
        several => Err(ambiguous(topology, name, several)),
    }
}

fn device_name<'t>(topology: &'t Topology, fs: &Filesystem) -> &'t str {
    topology.devices().get(fs.device).map_or("", |device| &device.name)
}

fn ambiguous(topology: &Topology, name: &str, found: &[Found<'_>]) -> Refusal {
    let spelled = |(fs, id): &Found<'_>| format!("{id} of {}", device_name(topology, fs));
    let all: Vec<_> = found.iter().map(spelled).collect();
    let message = format!(
        "{name:?} is the name of {}: write FS:PATH or FS:<INODE> to say which",
        all.join(" and of ")
    );
    (LocationErrorKind::Ambiguous, message)
}

/// Names offered in an error, at most.
const OFFERED: usize = 3;

fn unknown(topology: &Topology, name: &str) -> Refusal {
    let filesystems = topology.filesystems();
    if filesystems.is_empty() {
        let message = "this stack describes no filesystem".to_owned();
        return (LocationErrorKind::UnknownFile, message);
    }
    let paths = filesystems.iter().flat_map(|fs| fs.paths.values().flatten().chain(&fs.names));
    let base = name.rsplit('/').next();
    let near = |path: &&String| path.rsplit('/').next() == base;
    let offered: Vec<_> = paths.filter(near).take(OFFERED).map(|p| format!("{p:?}")).collect();
    let offer = match offered.as_slice() {
        [] => "it knows the paths of its `paths` files, and inodes as <INODE>".to_owned(),
        some => format!("did you mean {}?", some.join(" or ")),
    };
    (LocationErrorKind::UnknownFile, format!("no file {name:?} in this stack: {offer}"))
}
