use badrange_input::Confidence;
use serde::{Serialize, Serializer};

use crate::Verdict;

/// The schema of the JSON form.
const SCHEMA: &str = "badrange.explain/1";

/// The answer to one or several queries; serialises to `badrange.explain/1`.
///
/// # Examples
/// See the [crate](crate).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// One per query, in order.
    pub queries: Vec<Explanation>,
    /// All of them together.
    pub summary: Summary,
    /// Where the answer is not complete, and why: for people to read.
    pub notes: Vec<String>,
}

/// The answer to one query: pieces that cover it exactly.
///
/// # Examples
/// See the [crate](crate).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The query as it was written.
    pub at: String,
    /// The device asked about; `phys` for physical memory.
    pub device: String,
    /// First byte.
    pub start: u64,
    /// Bytes.
    pub len: u64,
    /// How well the text that named the range knew its extent; `None` for a location.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "confidence")]
    pub confidence: Option<Confidence>,
    /// The line of that text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// What it consists of, in ascending order.
    pub pieces: Vec<PieceFound>,
}

fn confidence<S: Serializer>(known: &Option<Confidence>, to: S) -> Result<S::Ok, S::Error> {
    known.map(Confidence::as_str).serialize(to)
}

/// Where else the bytes of a piece can be had from.
///
/// # Examples
/// ```
/// use badrange_explain::Redundancy;
/// let mirrored = Redundancy { from: vec!["vdb".to_owned()] };
/// let json = serde_json::to_string(&mirrored)?;
/// assert_eq!(json, r#"{"state":"rebuildable","from":["vdb"]}"#);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Redundancy {
    /// The members of the array that together hold the bytes.
    pub from: Vec<String>,
}

impl Serialize for Redundancy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Shape<'a> {
            state: &'static str,
            from: &'a [String],
        }
        Shape { state: "rebuildable", from: &self.from }.serialize(serializer)
    }
}

/// A part of a query in which everything continues byte for byte.
///
/// # Examples
/// See the [crate](crate).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PieceFound {
    /// First byte, in the space of the query.
    pub start: u64,
    /// Bytes; of one element where `repeat` says that there are several.
    pub len: u64,
    /// Distance from element to element and how many there are, for a strided piece.
    pub repeat: Option<(u64, u64)>,
    /// The ways up, each from the device asked about to the top. Usually one; none where no
    /// device is below the bytes.
    pub routes: Vec<Vec<Position>>,
    /// What the bytes are.
    pub verdict: Verdict,
    /// What every route and owner says they are, but for routes through an array that can rebuild
    /// the bytes; `verdict` is the first of all by precedence.
    pub verdicts: Vec<Verdict>,
    /// The same by route, in the order of `routes`; nothing for a route that is left out. Not in the
    /// JSON form.
    pub says: Vec<Vec<Verdict>>,
    /// For filesystem metadata and journals: which, in the words of the plain fsmap form.
    pub what: Option<String>,
    /// Whether something is lost; `None` where that cannot be known.
    pub lost: Option<bool>,
    /// Where an array has the bytes once more: then nothing is lost.
    pub redundancy: Option<Redundancy>,
    /// Whether an array should have the bytes once more, but too many of its members are missing
    /// or bad there. Not in the JSON form: there, `redundancy` is absent.
    pub too_many: bool,
    /// The files the bytes belong to, by (fs, inode, fork, start).
    pub owners: Vec<OwnerFound>,
}

/// Where a piece begins on a device.
///
/// # Examples
/// See the [crate](crate).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Position {
    /// The device.
    pub device: String,
    /// First byte.
    pub start: u64,
    /// Distance from element to element, where a strided piece is spread differently here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stride: Option<u64>,
}

/// A file, or a part of one, that owns a piece.
///
/// # Examples
/// See the [crate](crate).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct OwnerFound {
    /// The device of the filesystem.
    pub fs: String,
    /// The inode; `None` for a file known by name only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ino: Option<u64>,
    /// `data`, `attr` or `extent-map`.
    pub fork: &'static str,
    /// First byte in the fork; `None` for the extent map.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<u64>,
    /// Bytes; `None` for the extent map.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub len: Option<u64>,
    /// Every name it has.
    pub paths: Vec<String>,
}

/// All queries together.
///
/// # Examples
/// See the [crate](crate).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Distinct files with lost bytes.
    pub files_lost: u64,
    /// Queried bytes that are lost, each once however the queries overlap.
    pub bytes_lost: u64,
    /// Bytes of all queries.
    pub bytes_queried: u64,
}

impl Answer {
    /// The exit status of the command: 2 metadata lost, 1 file data lost, 3 something that cannot
    /// be known, 0 nothing lost; the first that applies.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        let pieces = || self.queries.iter().flat_map(|q| &q.pieces);
        // What an array can rebuild is not lost.
        let said = || pieces().filter(|p| p.redundancy.is_none()).flat_map(|p| &p.verdicts);
        let lost = |v: &&Verdict| v.lost() == Some(true);
        if said().filter(lost).any(|v| v.is_metadata()) {
            2
        } else if said().any(|v| *v == Verdict::File) {
            1
        } else if pieces().any(|p| p.lost.is_none()) {
            3
        } else {
            0
        }
    }

    /// The JSON form, `badrange.explain/1`, indented.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Strings and numbers only: serialising them cannot fail.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }
}

impl Serialize for Answer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Shape<'a> {
            schema: &'static str,
            queries: &'a [Explanation],
            summary: Summary,
            #[serde(skip_serializing_if = "<[_]>::is_empty")]
            notes: &'a [String],
        }
        let Self { queries, summary, notes } = self;
        Shape { schema: SCHEMA, queries, summary: *summary, notes }.serialize(serializer)
    }
}

impl Serialize for PieceFound {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Shape<'a> {
            start: u64,
            len: u64,
            #[serde(skip_serializing_if = "Option::is_none")]
            stride: Option<u64>,
            #[serde(skip_serializing_if = "Option::is_none")]
            count: Option<u64>,
            #[serde(skip_serializing_if = "Option::is_none")]
            trail: Option<&'a [Position]>,
            #[serde(skip_serializing_if = "Option::is_none")]
            routes: Option<&'a [Vec<Position>]>,
            verdict: &'static str,
            #[serde(skip_serializing_if = "Option::is_none")]
            what: Option<&'a str>,
            lost: Option<bool>,
            #[serde(skip_serializing_if = "Option::is_none")]
            redundancy: Option<&'a Redundancy>,
            #[serde(skip_serializing_if = "<[_]>::is_empty")]
            owners: &'a [OwnerFound],
        }
        let (trail, routes) = match self.routes.as_slice() {
            [] => (Some(&[][..]), None),
            [one] => (Some(one.as_slice()), None),
            several => (None, Some(several)),
        };
        Shape {
            start: self.start,
            len: self.len,
            stride: self.repeat.map(|(stride, _)| stride),
            count: self.repeat.map(|(_, count)| count),
            trail,
            routes,
            verdict: self.verdict.as_str(),
            what: self.what.as_deref(),
            lost: self.lost,
            redundancy: self.redundancy.as_ref(),
            owners: &self.owners,
        }
        .serialize(serializer)
    }
}
