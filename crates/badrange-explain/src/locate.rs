//! The way back: where a range of a file lives, down to the bottom of the stack.
//!
//! ```
//! use badrange_explain::{Explainer, locate::FileState};
//! use badrange_input::{MemoryFiles, Topology};
//! let files = MemoryFiles::new()
//!     .with("parts.txt", "label: dos\nunit: sectors\n\n/dev/sda1 : start=2048, size=4096, type=83\n")
//!     .with("map.txt", "\t0: 8:1 [8..15]: inode 12 data 0..7 8\n")
//!     .with("paths.txt", "12 /etc/passwd\n");
//! let text = r#"
//!     schema = "badrange.stack/1"
//!     [[disk]]
//!     name = "sda"
//!     sectors = 8192
//!     [[partitions]]
//!     on = "sda"
//!     table = "parts.txt"
//!     [[fs]]
//!     device = "sda1"
//!     kind = "xfs"
//!     map = ["map.txt"]
//!     paths = "paths.txt"
//!     block_size = 4096
//! "#;
//! let explainer = Explainer::new(Topology::load("stack.toml", text, &files)?)?;
//! let located = explainer.locate_file("/etc/passwd:512+8192")?;
//! let [data, rest] = &located.pieces[..] else { panic!("two pieces") };
//! let at: Vec<_> = data.routes[0].iter().map(|p| (p.device.as_str(), p.start)).collect();
//! assert_eq!(at, [("sda", (2048 + 9) * 512), ("sda1", 9 * 512)]);
//! // What no map lists is a hole or past the end: which, the maps do not say.
//! assert_eq!((rest.file_start, rest.state), (4096, FileState::Unlisted));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use core::ops::ControlFlow;

use badrange_core::{DevOffset, Extent, FileOffset, HoleKind, PageSize, PhysAddr, sweep};
use badrange_fs::{FileId, Record};
use badrange_input::{Filesystem, Topology};
use serde::{Serialize, Serializer};

use crate::{
    Explainer, Position,
    descent::{Landing, descend},
};

mod name;
#[cfg(test)]
mod tests;

pub use name::FileError;

/// The schema of the JSON form.
const SCHEMA: &str = "badrange.locate/1";

/// Where a range of a file lives; serialises to `badrange.locate/1`.
///
/// # Examples
/// See the [module](self).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// The range as it was written.
    pub file: String,
    /// The device of the filesystem.
    pub fs: String,
    /// The inode; `None` for a file known by name only.
    pub ino: Option<u64>,
    /// Every name it has.
    pub paths: Vec<String>,
    /// First byte of the range in the file.
    pub start: u64,
    /// Bytes of the range.
    pub len: u64,
    /// Bytes of a page of the memory below, to write bytes there as page frames. Not in the JSON form.
    pub page: PageSize,
    /// What it consists of: the range exactly, in ascending order of the file.
    pub pieces: Vec<LocatedPiece>,
}

/// A part of a file range that is contiguous on every device it lies on.
///
/// # Examples
/// See the [module](self).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocatedPiece {
    /// First byte in the file.
    pub file_start: u64,
    /// Bytes.
    pub len: u64,
    /// What the maps say of these bytes.
    pub state: FileState,
    /// A way per copy, each from the bottom of the stack to the filesystem's device; none for what
    /// no map lists. More than one on a mirror, or where two maps place the bytes.
    pub routes: Vec<Vec<Position>>,
    /// For each way the first byte in physical memory, where its lowest device lies there.
    pub memory: Vec<Option<u64>>,
    /// For each way why its lowest device keeps the bytes nowhere, where a table says so.
    pub holes: Vec<Option<HoleKind>>,
}

/// What the maps of a filesystem say of bytes of a file.
///
/// # Examples
/// ```
/// assert_eq!(badrange_explain::locate::FileState::Unwritten.as_str(), "unwritten");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileState {
    /// They are stored.
    Data,
    /// They have a place but were never written: they read as zeros.
    Unwritten,
    /// No map lists them: a hole, or past the end of the file.
    Unlisted,
}

impl FileState {
    /// The word in the JSON form.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Unwritten => "unwritten",
            Self::Unlisted => "unlisted",
        }
    }
}

/// A range of a file of a described stack.
#[derive(Debug, Clone, Copy)]
struct FileRange<'t> {
    fs: &'t Filesystem,
    id: FileId,
    extent: Extent<FileOffset>,
}

impl Explainer {
    /// Where a range of a file lives: `[FS:]PATH[:OFFSET[+LEN]]`, in bytes.
    ///
    /// `PATH` is a path of the `paths` file, with or without the mount point before it, a name that
    /// a map prints, or `<INODE>` as debugfs writes it. `FS` is the device of the filesystem. Without
    /// a length: one byte. Without an offset: all bytes that the maps list.
    ///
    /// # Cost
    /// One pass over all records of the filesystem, and what the answer is long.
    ///
    /// # Errors
    /// A [`FileError`] when the text is no range of one file of this stack.
    ///
    /// # Examples
    /// See the [module](crate::locate).
    pub fn locate_file(&self, text: &str) -> Result<Located, FileError> {
        let topology = self.topology();
        let range = name::parse(topology, text).map_err(|why| FileError::new(text, why))?;
        let device = topology.devices().get(range.fs.device);
        Ok(Located {
            file: text.to_owned(),
            fs: device.map_or_else(String::new, |device| device.name.clone()),
            ino: match range.id {
                FileId::Ino(ino) => Some(ino),
                FileId::Name(_) => None,
            },
            paths: paths_of(range.fs, range.id),
            start: range.extent.start().get(),
            len: range.extent.len(),
            page: topology.memory().page,
            pieces: pieces(self, &range),
        })
    }
}

/// Every name of a file.
fn paths_of(fs: &Filesystem, id: FileId) -> Vec<String> {
    match id {
        FileId::Ino(ino) => fs.paths.get(&ino).cloned().unwrap_or_default(),
        FileId::Name(number) => {
            let at = usize::try_from(number).unwrap_or(usize::MAX);
            fs.names.get(at).cloned().into_iter().collect()
        }
    }
}

/// A copy of some bytes of a file, and whether they were written.
#[derive(Debug, Clone)]
struct Copy {
    file: Extent<FileOffset>,
    unwritten: bool,
    landing: Landing,
}

impl Copy {
    fn clip(&self, window: Extent<FileOffset>) -> Option<Self> {
        let file = self.file.intersect(window)?;
        let top = file.rebase(self.file.start(), self.landing.top.start())?;
        Some(Self { file, unwritten: self.unwritten, landing: self.landing.clip(top)? })
    }

    fn continues(&self, next: &Self) -> bool {
        self.file.end() == next.file.start()
            && self.unwritten == next.unwritten
            && self.landing.continues(&next.landing)
    }
}

fn pieces(explainer: &Explainer, range: &FileRange<'_>) -> Vec<LocatedPiece> {
    let mut copies: Vec<(Extent<FileOffset>, Copy)> = Vec::new();
    for record in range.fs.data_of(range.id) {
        copies.extend(copies_of(explainer, range.fs.device, &record, range.extent));
    }
    let mut parts: Vec<Part> = Vec::new();
    sweep(range.extent, copies, &mut |extent, active| {
        let copies = active.iter().filter_map(|(_, copy)| copy.clip(extent)).collect();
        let window = Window { extent, copies };
        match parts.last_mut() {
            Some(part) if part.goes_on(&window) => part.last = window,
            _ => parts.push(Part { first: window.clone(), last: window }),
        }
    });
    parts.iter().filter_map(|part| part.piece(explainer.topology())).collect()
}

/// The copies of what a record places of the file range that was asked for.
fn copies_of(
    explainer: &Explainer,
    place: usize,
    record: &Record,
    asked: Extent<FileOffset>,
) -> Vec<(Extent<FileOffset>, Copy)> {
    let Some((_, here)) = record.part_of(asked) else { return Vec::new() };
    let copy = |landing: Landing| {
        let file = landing.top.rebase(record.extent.start(), record.file_start)?;
        Some((file, Copy { file, unwritten: record.unwritten, landing }))
    };
    let mut copies = Vec::new();
    descend(explainer, place, here, &mut |landing| {
        copies.extend(copy(landing));
        ControlFlow::Continue(())
    });
    copies
}

/// Bytes of a file in which no copy begins or ends, and every copy of them.
#[derive(Debug, Clone)]
struct Window {
    extent: Extent<FileOffset>,
    copies: Vec<Copy>,
}

/// Windows in which every copy goes on.
struct Part {
    first: Window,
    last: Window,
}

impl Part {
    fn goes_on(&self, next: &Window) -> bool {
        let (now, next) = (&self.last.copies, &next.copies);
        now.len() == next.len() && now.iter().zip(next).all(|(now, next)| now.continues(next))
    }

    fn piece(&self, topology: &Topology) -> Option<LocatedPiece> {
        let copies = &self.first.copies;
        let extent = Extent::from_bounds(self.first.extent.start(), self.last.extent.end()).ok()?;
        let state = match copies.as_slice() {
            [] => FileState::Unlisted,
            all if all.iter().all(|copy| copy.unwritten) => FileState::Unwritten,
            _ => FileState::Data,
        };
        Some(LocatedPiece {
            file_start: extent.start().get(),
            len: extent.len(),
            state,
            routes: copies.iter().map(|copy| route(topology, &copy.landing)).collect(),
            memory: copies.iter().map(|copy| copy.landing.memory.map(PhysAddr::get)).collect(),
            holes: copies.iter().map(|copy| copy.landing.hole).collect(),
        })
    }
}

fn route(topology: &Topology, landing: &Landing) -> Vec<Position> {
    let name = |place: usize| topology.devices().get(place).map_or("", |device| &device.name);
    let position = |(place, at): &(usize, DevOffset)| Position {
        device: name(*place).to_owned(),
        start: at.get(),
        stride: None,
    };
    landing.way.iter().map(position).collect()
}

impl Located {
    /// The JSON form, `badrange.locate/1`, indented.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Strings and numbers only: serialising them cannot fail.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }
}

impl Serialize for Located {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Shape<'a> {
            schema: &'static str,
            file: &'a str,
            fs: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            ino: Option<u64>,
            paths: &'a [String],
            start: u64,
            len: u64,
            pieces: &'a [LocatedPiece],
        }
        let Self { file, fs, ino, paths, start, len, page: _, pieces } = self;
        Shape { schema: SCHEMA, file, fs, ino: *ino, paths, start: *start, len: *len, pieces }
            .serialize(serializer)
    }
}

/// One way is `trail`, several are `routes`, as in the answers of `explain`.
impl Serialize for LocatedPiece {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Shape<'a> {
            file_start: u64,
            len: u64,
            state: &'static str,
            #[serde(skip_serializing_if = "Option::is_none")]
            trail: Option<&'a [Position]>,
            #[serde(skip_serializing_if = "Option::is_none")]
            routes: Option<&'a [Vec<Position>]>,
            #[serde(skip_serializing_if = "Option::is_none")]
            phys: Option<u64>,
            #[serde(skip_serializing_if = "Option::is_none")]
            hole: Option<String>,
        }
        let (trail, routes) = match self.routes.as_slice() {
            [] => (Some(&[][..]), None),
            [one] => (Some(one.as_slice()), None),
            several => (None, Some(several)),
        };
        let only = self.routes.len() == 1;
        Shape {
            file_start: self.file_start,
            len: self.len,
            state: self.state.as_str(),
            trail,
            routes,
            phys: self.memory.first().copied().flatten().filter(|_| only),
            hole: self.holes.iter().flatten().next().map(HoleKind::to_string),
        }
        .serialize(serializer)
    }
}
