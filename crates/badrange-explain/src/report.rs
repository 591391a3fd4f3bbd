//! An answer made ready to be read: by file, by what was not lost, with what to do next.
//!
//! ```
//! use badrange_explain::{Explainer, report::ImpactReport};
//! use badrange_input::{MemoryFiles, Topology};
//! let files = MemoryFiles::new()
//!     .with("map.txt", "\t0: 8:1 [0..7]: free space 8\n\t1: 8:1 [8..15]: inode 12 data 0..7 8\n")
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
//!     block_size = 4096
//! "#;
//! let explainer = Explainer::new(Topology::load("stack.toml", text, &files)?)?;
//! let answer = explainer.explain(&explainer.locate("sda:7+2")?);
//! let report = ImpactReport::new(&explainer, &answer);
//! assert_eq!(report.files[0].paths, ["/etc/passwd"]);
//! assert_eq!((report.files[0].lost_bytes, report.kept[0].bytes), (512, 512));
//! assert_eq!(report.kept[0].why, "free space of the filesystem");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::collections::BTreeMap;

use badrange_core::{DevOffset, Extent};
use serde::Serialize;

use crate::{
    Answer, Explainer, OwnerFound, PieceFound, Summary, Verdict,
    advice::{Action, ActionKind, Risk, RiskLevel},
    ground::{bytes_of, elements, united},
    plan::{Plan, Setting},
};

mod picture;
#[cfg(test)]
mod tests;

pub use picture::{Bar, Mark, Part};

/// What an answer says, put together for people.
///
/// # Examples
/// See the [module](self).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImpactReport<'a> {
    /// The answer it was made from.
    pub answer: &'a Answer,
    /// Files with lost bytes, those that lost most first.
    pub files: Vec<FileLoss>,
    /// Lost bytes that are no file's, by what they are.
    pub areas: Vec<Tally>,
    /// Bytes that were asked about and are no loss, and why.
    pub kept: Vec<Tally>,
    /// Bytes of which it cannot be known, and why.
    pub unknown: Vec<Tally>,
    /// What could be done next; every step of it is in the [`Plan`].
    pub actions: Vec<Action>,
    /// The variables in the commands of `actions`.
    pub settings: Vec<Setting>,
    /// Every device that has a part in the answer, the lowest first.
    pub picture: Vec<Bar>,
}

/// A file with lost bytes.
///
/// # Examples
/// See the [module](self).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileLoss {
    /// The device of the filesystem.
    pub fs: String,
    /// The inode; `None` for a file known by name only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ino: Option<u64>,
    /// Every name it has.
    pub paths: Vec<String>,
    /// Lost bytes of its data, each once.
    pub lost_bytes: u64,
    /// Which bytes of its data: disjoint and ascending.
    pub ranges: Vec<FileSpan>,
    /// Whether its attributes or its extent map lost bytes.
    pub metadata: bool,
}

/// Bytes of a file.
///
/// # Examples
/// See the [module](self).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct FileSpan {
    /// First byte.
    pub start: u64,
    /// Bytes.
    pub len: u64,
}

/// How many bytes are something, on one of the devices that were asked about.
///
/// # Examples
/// See the [module](self).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// The device asked about; `phys` for memory.
    pub device: String,
    /// What they are.
    #[serde(serialize_with = "verdict")]
    pub verdict: Verdict,
    /// In words.
    pub why: String,
    /// How many, each once however the queries overlap.
    pub bytes: u64,
}

fn verdict<S: serde::Serializer>(verdict: &Verdict, to: S) -> Result<S::Ok, S::Error> {
    verdict.as_str().serialize(to)
}

impl<'a> ImpactReport<'a> {
    /// Puts an answer together.
    ///
    /// # Cost
    /// Linear in the pieces of the answer and in the devices of the stack, but for sorting.
    #[must_use]
    pub fn new(explainer: &Explainer, answer: &'a Answer) -> Self {
        let plan = Plan::new(explainer, answer);
        let files = files(answer);
        let tallies = tallies(answer);
        let with = |lost: Option<bool>| {
            let all = tallies.iter().filter(move |(of, _)| *of == lost);
            all.map(|(_, tally)| tally.clone()).collect::<Vec<_>>()
        };
        let mut areas = with(Some(true));
        areas.retain(|tally| !matches!(tally.verdict, Verdict::File | Verdict::FileMetadata));
        Self {
            answer,
            actions: actions(&plan, &files),
            files,
            areas,
            kept: with(Some(false)),
            unknown: with(None),
            settings: plan.settings,
            picture: picture::of(explainer.topology(), answer),
        }
    }

    /// The JSON of the answer with the report's own parts added: `files`, `areas`, `kept`,
    /// `unknown` and `actions`.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Strings and numbers only: serialising them cannot fail.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }
}

impl Serialize for ImpactReport<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Shape<'r> {
            #[serde(flatten)]
            answer: &'r Answer,
            files: &'r [FileLoss],
            areas: &'r [Tally],
            kept: &'r [Tally],
            unknown: &'r [Tally],
            actions: &'r [Action],
        }
        let Self { answer, files, areas, kept, unknown, actions, .. } = self;
        Shape { answer, files, areas, kept, unknown, actions }.serialize(serializer)
    }
}

/// A file, as far as answers tell files apart.
type Key<'a> = (&'a str, Option<u64>, Option<&'a str>);

fn key(owner: &OwnerFound) -> Key<'_> {
    let name = owner.paths.first().map(String::as_str).filter(|_| owner.ino.is_none());
    (&owner.fs, owner.ino, name)
}

/// Whether files lose something by a piece: the rule by which the summary counts them.
fn hits_files(piece: &PieceFound) -> bool {
    piece.lost == Some(true) && matches!(piece.verdict, Verdict::File | Verdict::FileMetadata)
}

fn files(answer: &Answer) -> Vec<FileLoss> {
    let mut found: BTreeMap<Key<'_>, (FileLoss, Vec<Extent>)> = BTreeMap::new();
    for piece in answer.queries.iter().flat_map(|q| &q.pieces).filter(|p| hits_files(p)) {
        for owner in &piece.owners {
            let (loss, ranges) = found.entry(key(owner)).or_insert_with(|| empty(owner));
            match owner.start.zip(owner.len) {
                Some((start, len)) if owner.fork == "data" => {
                    let starts = file_starts(piece, start).map(DevOffset::new);
                    ranges.extend(starts.filter_map(|at| Extent::new(at, len).ok()));
                }
                _ => loss.metadata = true,
            }
        }
    }
    let mut files: Vec<FileLoss> = found.into_values().map(finished).collect();
    files.sort_by_key(|file| core::cmp::Reverse(file.lost_bytes));
    files
}

fn empty(owner: &OwnerFound) -> (FileLoss, Vec<Extent>) {
    let loss = FileLoss {
        fs: owner.fs.clone(),
        ino: owner.ino,
        paths: owner.paths.clone(),
        lost_bytes: 0,
        ranges: Vec::new(),
        metadata: false,
    };
    (loss, Vec::new())
}

fn finished((mut loss, ranges): (FileLoss, Vec<Extent>)) -> FileLoss {
    let span = |e: Extent| FileSpan { start: e.start().get(), len: e.len() };
    loss.ranges = united(ranges).into_iter().map(span).collect();
    loss.lost_bytes = loss.ranges.iter().map(|span| span.len).fold(0, u64::saturating_add);
    loss
}

/// Where each element of a piece begins in the file. Inside one record the file goes on as the
/// device of the filesystem does.
fn file_starts(piece: &PieceFound, first: u64) -> impl Iterator<Item = u64> + use<> {
    let (stride, count) = piece.repeat.unwrap_or((0, 1));
    let top = piece.routes.first().and_then(|route| route.last());
    let stride = top.and_then(|position| position.stride).unwrap_or(stride);
    (0..count).map(move |i| first.saturating_add(stride.saturating_mul(i)))
}

/// Bytes by device and by what they are, in the order in which they were met.
fn tallies(answer: &Answer) -> Vec<(Option<bool>, Tally)> {
    let mut found: Vec<(Option<bool>, Tally, Vec<Extent>)> = Vec::new();
    for query in &answer.queries {
        for piece in &query.pieces {
            let why = why(piece);
            let same = |(lost, tally, _): &(Option<bool>, Tally, Vec<Extent>)| {
                (*lost, &tally.device, &tally.why) == (piece.lost, &query.device, &why)
            };
            let at = found.iter().position(same).unwrap_or_else(|| {
                let device = query.device.clone();
                let tally = Tally { device, verdict: piece.verdict, why: why.clone(), bytes: 0 };
                found.push((piece.lost, tally, Vec::new()));
                found.len().saturating_sub(1)
            });
            if let Some((.., ranges)) = found.get_mut(at) {
                ranges.extend(elements(piece));
            }
        }
    }
    let counted = |(lost, mut tally, ranges): (Option<bool>, Tally, Vec<Extent>)| {
        tally.bytes = bytes_of(&united(ranges));
        (lost, tally)
    };
    found.into_iter().map(counted).collect()
}

/// Why a piece is lost, kept or unknown.
fn why(piece: &PieceFound) -> String {
    if let Some(redundancy) = &piece.redundancy {
        return format!("can be rebuilt from {}", redundancy.from.join(", "));
    }
    let what = piece.what.as_deref().map_or_else(String::new, |what| format!(": {what}"));
    format!("{}{what}", piece.verdict.words())
}

/// What to do: first what the plan says of devices and areas, then what files need.
fn actions(plan: &Plan, files: &[FileLoss]) -> Vec<Action> {
    let mut actions: Vec<Action> = files.iter().filter(|f| f.lost_bytes > 0).map(restore).collect();
    let subjects = plan.subjects.iter().filter(|subject| subject.units.is_empty());
    let of_subjects = subjects.flat_map(|subject| subject.before.iter().chain(&subject.after));
    let of_devices = plan.devices.iter().flat_map(|device| &device.actions);
    for action in of_subjects.chain(of_devices) {
        if action.kind != ActionKind::Nothing && !actions.contains(action) {
            actions.push(action.clone());
        }
    }
    actions
}

fn restore(file: &FileLoss) -> Action {
    let name = file.paths.first().cloned().or_else(|| Some(format!("inode {}", file.ino?)));
    let (name, bytes) =
        (name.unwrap_or_else(|| "a file without a name".to_owned()), file.lost_bytes);
    Action {
        kind: ActionKind::Restore,
        command: None,
        risk: Risk::new(RiskLevel::Overwrites, "what the backup does not have is gone"),
        why: format!("{bytes} bytes of {name} have to come from a backup"),
    }
}

impl ImpactReport<'_> {
    /// The summary of the answer.
    #[must_use]
    pub fn summary(&self) -> Summary {
        self.answer.summary
    }
}
