//! How a careful person would mend what bad ranges hit: a plan to read, never to run.
//!
//! A [`Plan`] is made from an [`Answer`](crate::Answer): for every file the page-aligned [`Unit`]s to rewrite, in
//! each what can be salvaged around the holes and what has to come from a backup; the steps in
//! their order, each with its command, its risk and its reason; for everything else the advice
//! that there is. Three forms: the data itself, JSON (`badrange.plan/1`), and a shell script in
//! which every line is a comment.
//!
//! ```
//! use badrange_explain::{Explainer, plan::Plan};
//! use badrange_input::{MemoryFiles, Topology};
//! let files = MemoryFiles::new()
//!     .with("map.txt", "\t0: 8:1 [8..23]: inode 12 data 0..15 16\n")
//!     .with("paths.txt", "12 /etc/passwd\n");
//! let text = r#"
//!     schema = "badrange.stack/1"
//!     [[disk]]
//!     name = "sda"
//!     sectors = 64
//!     [[fs]]
//!     device = "sda"
//!     kind = "xfs"
//!     map = ["map.txt"]
//!     paths = "paths.txt"
//!     mount = "/"
//!     block_size = 4096
//! "#;
//! let explainer = Explainer::new(Topology::load("stack.toml", text, &files)?)?;
//! let plan = Plan::new(&explainer, &explainer.explain(&explainer.locate("sda:9+1")?));
//!
//! // One sector of a page is lost: the page is rewritten, the rest of it is salvaged.
//! let unit = &plan.subjects[0].units[0];
//! assert_eq!((unit.start, unit.len), (0, 4096));
//! let salvaged: Vec<_> = unit.salvage.iter().map(|s| (s.start, s.len)).collect();
//! assert_eq!(salvaged, [(0, 512), (1024, 3072)]);
//! assert_eq!((unit.restore[0].start, unit.restore[0].len), (512, 512));
//! assert!(plan.to_script().lines().all(|line| line.starts_with('#')));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Kernel
//! The order of a recovery write is that of `pmem_recovery_write()`: poison, page state, data, list
//! of bad blocks; whole pages only. See `docs/repair.md`.

mod advise;
mod build;
mod devices;
mod file;
mod json;
mod memory;
mod names;
mod script;
mod span;
#[cfg(test)]
mod tests;

use serde::Serialize;

pub use self::span::Span;
use crate::{
    Position, Redundancy, Verdict,
    advice::{Action, Variable},
};

/// What to do about bad ranges, in order: first the devices, then each subject.
///
/// # Examples
/// See the [module](self).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// What was asked about.
    pub asked: Vec<Asked>,
    /// What the reader has to fill in: the variables of the commands.
    pub settings: Vec<Setting>,
    /// The lowest devices that are known of, and what to look at there.
    pub devices: Vec<BadDevice>,
    /// Files and other things that were hit, in the order in which they were found.
    pub subjects: Vec<Subject>,
    /// What no step can help with.
    pub warnings: Vec<String>,
}

/// A range that was asked about, in bytes.
///
/// # Examples
/// See the [module](self).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Asked {
    /// As it was written.
    pub at: String,
    /// The device; `phys` for physical memory.
    pub device: String,
    /// First byte.
    pub start: u64,
    /// Bytes.
    pub len: u64,
}

/// A variable of the commands.
///
/// # Examples
/// See the [module](self).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Its name.
    pub variable: Variable,
    /// What belongs there.
    pub meaning: String,
    /// What it probably is; to be checked.
    pub guess: Option<String>,
}

/// A lowest device with bad bytes.
///
/// # Examples
/// See the [module](self).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BadDevice {
    /// Its name in the description.
    pub device: String,
    /// The bad bytes, disjoint and ascending; the first ones where there are many.
    pub bad: Vec<Span>,
    /// What to look at before anything is changed, and what the device can do itself.
    pub actions: Vec<Action>,
}

/// Something that was hit: a file, or an area that is none.
///
/// # Examples
/// See the [module](self).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// What the bytes are.
    pub verdict: Verdict,
    /// Which metadata, where that is known.
    pub what: Option<String>,
    /// Whether something is lost; `None` where that cannot be known.
    pub lost: Option<bool>,
    /// The device it is on: for a file, that of the filesystem.
    pub device: String,
    /// The file, where it is one.
    pub file: Option<PlannedFile>,
    /// Where an array has the bytes once more.
    pub redundancy: Option<Redundancy>,
    /// The bad bytes on `device`, disjoint and ascending; the first ones where there are many.
    pub bad: Vec<Span>,
    /// What to do first.
    pub before: Vec<Action>,
    /// What to rewrite, in ascending order.
    pub units: Vec<Unit>,
    /// What to do last.
    pub after: Vec<Action>,
}

/// A file of a plan.
///
/// # Examples
/// See the [module](self).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedFile {
    /// The device of the filesystem.
    pub fs: String,
    /// The inode; `None` for a file known by name only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ino: Option<u64>,
    /// Every name it has, as the description has them.
    pub paths: Vec<String>,
}

/// Whole pages that are rewritten together.
///
/// # Invariants
/// `salvage` and `restore` together are the unit exactly, and do not overlap; `restore` holds
/// every bad byte.
///
/// # Examples
/// See the [module](self).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unit {
    /// First byte: of the file, or of the device where the subject is none.
    pub start: u64,
    /// Bytes: whole pages, and whole blocks of the filesystem.
    pub len: u64,
    /// What of it is bad.
    pub bad: Vec<Span>,
    /// What can be read around it, and goes back to the same place.
    pub salvage: Vec<Salvage>,
    /// What cannot be read and has to come from a backup: the bad bytes, rounded to the smallest
    /// piece that can be read by itself.
    pub restore: Vec<Span>,
    /// Who else has the same blocks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shared_with: Vec<PlannedFile>,
    /// What to do, in order.
    pub steps: Vec<Action>,
}

/// Good bytes beside a hole.
///
/// # Examples
/// See the [module](self).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Salvage {
    /// First byte in the file (or on the device), where it goes back to.
    pub start: u64,
    /// Bytes.
    pub len: u64,
    /// Where it is on the device of the filesystem; `None` where no map says: in another place, a
    /// hole, or past the end of the file. Then it is read through the file.
    pub from: Option<Position>,
}

/// A file range that has to come from a backup.
///
/// # Examples
/// See [`Plan::restore`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileRange<'p> {
    /// The file.
    #[serde(flatten)]
    pub file: &'p PlannedFile,
    /// First byte.
    pub start: u64,
    /// Bytes.
    pub len: u64,
}

impl Plan {
    /// Every file range that has to come from a backup, file by file.
    ///
    /// # Examples
    /// ```
    /// # use badrange_explain::plan::Plan;
    /// fn bytes_to_restore(plan: &Plan) -> u64 {
    ///     plan.restore().map(|range| range.len).sum()
    /// }
    /// ```
    pub fn restore(&self) -> impl Iterator<Item = FileRange<'_>> {
        self.subjects.iter().flat_map(|subject| {
            let spans = subject.units.iter().flat_map(|unit| &unit.restore);
            let file = subject.file.as_ref();
            spans.filter_map(move |s| Some(FileRange { file: file?, start: s.start, len: s.len }))
        })
    }
}
