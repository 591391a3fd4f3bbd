use core::fmt;

use badrange_core::{DevOffset, Extent};

use crate::Claim;

/// Why maps cannot be merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MergeErrorKind {
    /// Free space in one, used in the other.
    FreeAndUsed,
    /// The filesystem's own in one, a file's in the other.
    SpecialAndFile,
    /// Two different uses by the filesystem itself.
    TwoSpecials,
    /// An attribute fork or an extent map, which are never shared, and another owner.
    Forks,
    /// Two files that do not share the bytes, or a file that a complete map does not name.
    Owners,
    /// One file, two offsets, and nothing says that it shares bytes with itself.
    Offsets,
    /// The file offsets of one record end beyond 64 bits; both claims are that record.
    FileRange,
}

/// Two maps, or two lines of one, that contradict each other.
///
/// The [claims](Self::claims) carry their sources, for a message that names both lines; of two,
/// the one with the lower source comes first.
///
/// # Examples
/// ```
/// use badrange_core::{DevOffset, Extent, FileOffset};
/// use badrange_fs::{
///     Claim, FileId, Fork, MapKind, Merge, MergeErrorKind, Owner, Record, Source, Special,
/// };
/// let claim = |owner, kind, file, line| Claim {
///     record: Record {
///         extent: Extent::new(DevOffset::new(4096), 4096).unwrap(),
///         owner,
///         file_start: FileOffset::new(0),
///         unwritten: false,
///     },
///     shared: false,
///     kind,
///     source: Source { file, line },
/// };
/// let orders = Owner::File { id: FileId::Ino(12), fork: Fork::Data };
/// let mut merge = Merge::new();
/// merge.push(claim(Owner::Special(Special::Free), MapKind::Complete, 0, 3));
/// merge.push(claim(orders, MapKind::Files, 1, 9));
/// let err = merge.build().unwrap_err();
/// assert_eq!(err.kind(), MergeErrorKind::FreeAndUsed);
/// assert_eq!(err.claims().each_ref().map(|claim| claim.source.line), [3, 9]);
/// assert_eq!(
///     err.to_string(),
///     "contradiction at device bytes [0x1000..0x2000): map 0 line 3 says free space, map 1 line \
///      9 says inode 12 data at file byte 0x0: free space belongs to nobody; save the maps again \
///      while nothing is written",
/// );
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.message())]
pub struct MergeError {
    kind: MergeErrorKind,
    extent: Extent,
    claims: Box<[Claim; 2]>,
}

impl MergeError {
    #[cold]
    pub(crate) fn new(kind: MergeErrorKind, extent: Extent, one: Claim, other: Claim) -> Self {
        let claims = if other.source < one.source { [other, one] } else { [one, other] };
        Self { kind, extent, claims: Box::new(claims) }
    }

    /// What was wrong; the part of the error to match on.
    #[must_use]
    pub const fn kind(&self) -> MergeErrorKind {
        self.kind
    }

    /// Bytes about which the two disagree, from the first such byte on.
    #[must_use]
    pub const fn extent(&self) -> Extent {
        self.extent
    }

    /// The two claims, by source.
    #[must_use]
    pub fn claims(&self) -> &[Claim; 2] {
        &self.claims
    }

    /// What is wrong with saying both, without the lines.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self.kind {
            MergeErrorKind::FreeAndUsed => "free space belongs to nobody",
            MergeErrorKind::SpecialAndFile => "the filesystem's own bytes are no file's",
            MergeErrorKind::TwoSpecials => "bytes have one use",
            MergeErrorKind::Forks => "attribute forks and extent maps are never shared",
            MergeErrorKind::Owners => "nothing says that they share these bytes",
            MergeErrorKind::Offsets => "nothing says that the file has them twice",
            MergeErrorKind::FileRange => "file offsets end beyond 64 bits",
        }
    }

    fn message(&self) -> Message<'_> {
        Message(self)
    }
}

struct Message<'a>(&'a MergeError);

impl fmt::Display for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (err, [one, other]) = (self.0, self.0.claims());
        let at = err.extent.start();
        if err.kind == MergeErrorKind::FileRange {
            let (source, owner) = (one.source, one.record.owner);
            let (start, len) = (one.record.file_start, one.record.extent.len());
            return write!(
                f,
                "invalid record at {source}: {owner} at file bytes {start}+{len:#x}: {}",
                err.reason()
            );
        }
        write!(f, "contradiction at {}: ", err.extent)?;
        Says(one, at).fmt(f)?;
        f.write_str(", ")?;
        Says(other, at).fmt(f)?;
        write!(f, ": {}; save the maps again while nothing is written", err.reason())
    }
}

/// What a claim says about one byte.
struct Says<'a>(&'a Claim, DevOffset);

impl fmt::Display for Says<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(claim, at) = self;
        write!(f, "{} says {}", claim.source, claim.record.owner)?;
        match claim.record.file_at(*at) {
            Some(offset) => write!(f, " at file byte {offset}"),
            None => Ok(()),
        }
    }
}
