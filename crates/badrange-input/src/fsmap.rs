use core::fmt;
use std::io::BufRead;

use badrange_core::{Extent, FileOffset};
use badrange_fs::{FileId, Fork, Owner, Special};

use crate::{
    ParseError, ParseErrorKind,
    lines::{Line, LineFormat, Span, Stream, is_digits},
};

const ATTR_FORK: u64 = 0o1_000_000;
const SHARED: u64 = 0o100_000;
const UNWRITTEN: u64 = 0o10_000;
/// Where an extent lies relative to stripe units; of no consequence here.
const STRIPE_BITS: u64 = 0o1_111;

/// The device of an fsmap row. A filesystem with a realtime or log device has rows of several.
///
/// # Examples
/// ```
/// use badrange_input::{Fsmap, FsmapDev};
/// let row = Fsmap::new(&b"\t0: 8:2 [0..7]: static fs metadata 8\n"[..]).next().unwrap()?;
/// assert_eq!(row.dev, FsmapDev::Numbers { major: 8, minor: 2 });
/// assert_eq!(row.dev.to_string(), "8:2");
/// # Ok::<(), badrange_input::ParseError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FsmapDev {
    /// Device numbers, as seen by the machine that printed the map.
    Numbers {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// An opaque id, printed in hex, of a filesystem that does not give device numbers.
    Opaque(u32),
}

/// As fsmap prints it: `8:2`, `0x5`.
impl fmt::Display for FsmapDev {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Numbers { major, minor } => write!(f, "{major}:{minor}"),
            Self::Opaque(id) => write!(f, "{id:#x}"),
        }
    }
}

/// One row of an fsmap: these bytes of the device belong to that owner.
///
/// # Examples
/// ```
/// use badrange_fs::{FileId, Fork, Owner};
/// use badrange_input::Fsmap;
/// let text = "\t8: 7:4 [192..8383]: inode 132 data 0..8191 8192\n";
/// let row = Fsmap::new(text.as_bytes()).next().unwrap()?;
/// assert_eq!(row.extent.start().get(), 192 * 512);
/// assert_eq!(row.owner, Owner::File { id: FileId::Ino(132), fork: Fork::Data });
/// assert_eq!(row.unwritten, None); // the plain form has no flags
/// # Ok::<(), badrange_input::ParseError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FsmapRecord {
    /// Which device the extent is on.
    pub dev: FsmapDev,
    /// Bytes of that device.
    pub extent: Extent,
    /// Whose they are.
    pub owner: Owner,
    /// File offset of the first byte; `None` for extent maps and what belongs to no file.
    pub file_start: Option<FileOffset>,
    /// Allocated but never written; `None` when the form has no flags.
    pub unwritten: Option<bool>,
    /// Other records own bytes of it too; `None` when the form has no flags.
    pub shared: Option<bool>,
    /// The line, from 1.
    pub line: u64,
}

/// Reads `xfs_io -c fsmap`: plain, `-v`, `-vv` and `-m`, each row as what it is.
///
/// Rows may begin anywhere and have gaps; a gap is nothing this map knows, not free space.
/// Headers may stand anywhere (they are repeated for each batch) and the legend of `-vv` is
/// skipped. All numbers are 512-byte sectors with inclusive ends. Memory does not grow with the
/// text.
///
/// # Errors
/// Items are errors for unknown lines, owners and flags, for numbers that are none or too large,
/// and for rows whose ranges and lengths contradict each other; nothing follows an error.
///
/// # Kernel
/// `FS_IOC_GETFSMAP`, `struct fsmap`; owner codes are `FMR_OWN_*`.
///
/// # Examples
/// ```
/// use badrange_input::Fsmap;
/// let text = "\
/// EXT,MAJOR,MINOR,PSTART,PEND,OWNER,OSTART,OEND,LENGTH
/// 0,7,4,0,7,special_88:1,,,8
/// 1,7,4,192,8383,inode_132_data,0,8191,8192
/// ";
/// assert_eq!(Fsmap::new(text.as_bytes()).count(), 2);
/// ```
#[derive(Debug)]
pub struct Fsmap<R> {
    stream: Stream<R, FsmapLines>,
}

impl<R: BufRead> Fsmap<R> {
    /// Starts at the reader's position.
    pub fn new(input: R) -> Self {
        Self { stream: Stream::new(input, FsmapLines::default()) }
    }
}

impl<R: BufRead> Iterator for Fsmap<R> {
    type Item = Result<FsmapRecord, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.stream.next_item()
    }
}

/// What the lines so far said: a verbose header, or the beginning of the legend.
#[derive(Debug, Default)]
pub(crate) struct FsmapLines {
    verbose: bool,
    legend: bool,
}

/// The three forms of a row, and what is no row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FsmapForm {
    Plain,
    Verbose,
    Machine,
}

impl FsmapForm {
    /// The form whose header this is.
    pub(crate) fn of_header(text: &str) -> Option<Self> {
        let mut words = text.split_ascii_whitespace();
        match (words.next()?, words.next()) {
            ("EXT:", Some("DEV")) => Some(Self::Verbose),
            ("EXT,MAJOR,MINOR,PSTART,PEND,OWNER,OSTART,OEND,LENGTH", None) => Some(Self::Machine),
            _ => None,
        }
    }
}

impl LineFormat for FsmapLines {
    type Item = FsmapRecord;

    fn line(&mut self, line: Line<'_>) -> Result<Option<FsmapRecord>, ParseError> {
        let text = line.text.trim_ascii();
        if text.is_empty() || (self.legend && is_legend(text)) {
            return Ok(None);
        }
        self.legend = text == "FLAG Values:";
        if self.legend {
            // Stays on while known explanations follow.
            return Ok(None);
        }
        if let Some(form) = FsmapForm::of_header(text) {
            self.verbose = form == FsmapForm::Verbose;
            return Ok(None);
        }
        row(line.with_text(text), self.verbose).map(|(record, _)| Some(record))
    }
}

/// One explanation of a flag, as `-vv` and the verbose `xfs_bmap` print below their rows.
pub(crate) fn is_legend(text: &str) -> bool {
    const MEANINGS: [&str; 7] = [
        "Attribute fork",
        "Shared extent",
        "Unwritten preallocated extent",
        "Doesn't begin on stripe unit",
        "Doesn't end   on stripe unit",
        "Doesn't begin on stripe width",
        "Doesn't end   on stripe width",
    ];
    text.split_once(' ').is_some_and(|(bits, meaning)| {
        octal(bits).is_some() && MEANINGS.contains(&meaning.trim_ascii())
    })
}

/// A flag column: octal digits only.
pub(crate) fn octal(text: &str) -> Option<u64> {
    if !is_digits(text) {
        return None;
    }
    u64::from_str_radix(text, 8).ok()
}

/// Reads one row of any form and says which form it has.
pub(crate) fn row(line: Line<'_>, verbose: bool) -> Result<(FsmapRecord, FsmapForm), ParseError> {
    if line.text.contains(',') {
        return machine(line).map(|record| (record, FsmapForm::Machine));
    }
    let expected = "expected a row of xfs_io -c fsmap (plain, -v or -m)";
    let unexpected = || line.unexpected(expected);
    let (index, rest) = line.text.split_once(':').ok_or_else(unexpected)?;
    let (dev, rest) = rest.split_once('[').ok_or_else(unexpected)?;
    let (range, rest) = rest.split_once(']').ok_or_else(unexpected)?;
    let rest = rest.strip_prefix(':').ok_or_else(unexpected)?;
    line.number("row number", index, "rows")?;
    let span = line.span("range", range, "sectors")?;
    let tail = Tail::split(line, rest)?;
    tail.check(line, span)?;
    let owner = NamedOwner::words(line, tail.owner)?;
    let form = if verbose || tail.ag || owner.bare { FsmapForm::Verbose } else { FsmapForm::Plain };
    let flags = (form == FsmapForm::Verbose).then_some(tail.flags.unwrap_or(0));
    let record = owner.record(line, device(line, dev.trim_ascii())?, span, flags)?;
    Ok((record, form))
}

/// What follows the range: `OWNER [AG (OFFSETS)] TOTAL [FLAGS]`.
struct Tail<'a> {
    owner: &'a str,
    ag: bool,
    ag_span: Option<Span>,
    total: u64,
    flags: Option<u64>,
}

impl<'a> Tail<'a> {
    fn split(line: Line<'_>, rest: &'a str) -> Result<Self, ParseError> {
        let (mut rest, mut total) = last_word(rest);
        let mut flags = None;
        let (before, word) = last_word(rest);
        // Two numbers at the end are length and flags; owners never end in a bare number.
        if is_digits(word) && is_digits(total) {
            flags = Some(flag_bits(line, total)?);
            (rest, total) = (before, word);
        }
        let total = line.number("length", total, "sectors")?;
        let mut tail = Self { owner: rest.trim_ascii(), ag: false, ag_span: None, total, flags };
        let (before, word) = last_word(rest);
        if let Some(offsets) = word.strip_prefix('(').and_then(|w| w.strip_suffix(')')) {
            let (owner, ag) = last_word(before);
            line.number("allocation group", ag, "groups")?;
            tail.ag_span = Some(line.span("AG offset", offsets, "sectors")?);
            (tail.owner, tail.ag) = (owner.trim_ascii(), true);
        }
        Ok(tail)
    }

    fn check(&self, line: Line<'_>, span: Span) -> Result<(), ParseError> {
        line.same("length", self.total, span.count)?;
        self.ag_span.map_or(Ok(()), |ag| line.same("AG offset length", ag.count, span.count))
    }
}

fn flag_bits(line: Line<'_>, text: &str) -> Result<u64, ParseError> {
    let known = ATTR_FORK | SHARED | UNWRITTEN | STRIPE_BITS;
    octal(text).filter(|bits| bits & !known == 0).ok_or_else(|| {
        let hint = "only attr, shared, unwritten and stripe bits are known";
        line.err(ParseErrorKind::Unsupported, "flags", text, hint)
    })
}

/// What precedes the last word, and that word.
fn last_word(text: &str) -> (&str, &str) {
    let text = text.trim_ascii_end();
    let blank = text.bytes().rposition(|b| b == b' ' || b == b'\t');
    // The word begins after the blank.
    text.split_at(blank.map_or(0, |at| at.saturating_add(1)))
}

fn device(line: Line<'_>, text: &str) -> Result<FsmapDev, ParseError> {
    if let Some(id) = text.strip_prefix("0x").and_then(|hex| u32::from_str_radix(hex, 16).ok()) {
        return Ok(FsmapDev::Opaque(id));
    }
    let Some((major, minor)) = text.split_once(':') else {
        let hint = "expected MAJOR:MINOR";
        return Err(line.err(ParseErrorKind::BadNumber, "device", text, hint));
    };
    numbers(line, major, minor)
}

fn numbers(line: Line<'_>, major: &str, minor: &str) -> Result<FsmapDev, ParseError> {
    let number = |text: &str| {
        let wide = line.number("device", text, "a device")?;
        u32::try_from(wide).map_err(|_| line.too_large("device", text))
    };
    Ok(FsmapDev::Numbers { major: number(major)?, minor: number(minor)? })
}

/// An owner, and where in it the row begins.
struct NamedOwner {
    owner: Owner,
    file: Option<Span>,
    /// Written as a bare inode number, as only the verbose form does.
    bare: bool,
}

impl NamedOwner {
    /// `inode 132 data 0..7`, `132 0..7`, `inode 132 attr extent map`, `static fs metadata`.
    fn words(line: Line<'_>, text: &str) -> Result<Self, ParseError> {
        if let Some(special) = Special::from_words(text) {
            return Ok(Self { owner: Owner::Special(special), file: None, bare: false });
        }
        let unknown = || {
            let hint = "expected an inode or one of the words of xfs_io -c fsmap";
            line.err(ParseErrorKind::NotThisFormat, "owner", text, hint)
        };
        let bare = text.strip_prefix("inode ").is_none();
        let rest = text.strip_prefix("inode ").unwrap_or(text);
        let (ino, rest) = rest.split_once(' ').ok_or_else(unknown)?;
        if !is_digits(ino) {
            return Err(unknown());
        }
        let (fork, place) = if bare {
            (Fork::Data, rest)
        } else {
            let (fork, place) = rest.split_once(' ').ok_or_else(unknown)?;
            (fork_of(fork).ok_or_else(unknown)?, place)
        };
        Self::file(line, ino, fork, place.trim_ascii(), bare)
    }

    fn file(
        line: Line<'_>,
        ino: &str,
        fork: Fork,
        place: &str,
        bare: bool,
    ) -> Result<Self, ParseError> {
        let id = FileId::Ino(line.number("inode", ino, "an inode")?);
        if place == "extent map" {
            return Ok(Self { owner: Owner::File { id, fork: Fork::ExtentMap }, file: None, bare });
        }
        let file = Some(line.span("file range", place, "sectors")?);
        Ok(Self { owner: Owner::File { id, fork }, file, bare })
    }

    fn record(
        self,
        line: Line<'_>,
        dev: FsmapDev,
        span: Span,
        flags: Option<u64>,
    ) -> Result<FsmapRecord, ParseError> {
        let file_start = match self.file {
            Some(file) => {
                line.same("file range length", file.count, span.count)?;
                Some(line.sectors::<FileOffset>("file range", file)?.start())
            }
            None => None,
        };
        let has = |bit: u64| flags.map(|bits| bits & bit != 0);
        Ok(FsmapRecord {
            dev,
            extent: line.sectors("range", span)?,
            owner: flagged(self.owner, has(ATTR_FORK) == Some(true)),
            file_start,
            unwritten: has(UNWRITTEN),
            shared: has(SHARED),
            line: line.number,
        })
    }
}

/// The verbose form tells the attribute fork by a flag.
fn flagged(owner: Owner, attr: bool) -> Owner {
    match owner {
        Owner::File { id, fork: Fork::Data } if attr => Owner::File { id, fork: Fork::Attr },
        Owner::File { .. } | Owner::Special(_) => owner,
    }
}

fn fork_of(word: &str) -> Option<Fork> {
    match word {
        "data" => Some(Fork::Data),
        "attr" => Some(Fork::Attr),
        _ => None,
    }
}

/// `8,7,4,192,8383,inode_132_data,0,8191,8192`
fn machine(line: Line<'_>) -> Result<FsmapRecord, ParseError> {
    let mut fields = line.text.split(',');
    let first_nine: [Option<&str>; 9] = core::array::from_fn(|_| fields.next());
    let (
        [
            Some(index),
            Some(major),
            Some(minor),
            Some(first),
            Some(last),
            Some(owner),
            Some(file_first),
            Some(file_last),
            Some(total),
        ],
        None,
    ) = (first_nine, fields.next())
    else {
        let hint = "expected the 9 comma-separated fields of xfs_io -c 'fsmap -m'";
        return Err(line.unexpected(hint));
    };
    line.number("row number", index, "rows")?;
    let dev = numbers(line, major, minor)?;
    let first = line.number("range start", first, "sectors")?;
    let span = line.span_to("range", first, line.number("range end", last, "sectors")?)?;
    line.same("length", line.number("length", total, "sectors")?, span.count)?;
    let file = if file_first.is_empty() && file_last.is_empty() {
        None
    } else {
        let first = line.number("file range start", file_first, "sectors")?;
        let last = line.number("file range end", file_last, "sectors")?;
        Some(line.span_to("file range", first, last)?)
    };
    let owner = machine_owner(line, owner, file.is_some())?;
    NamedOwner { owner, file, bare: false }.record(line, dev, span, None)
}

/// `special_88:1`, `inode_132_data`, `inode_134_attr_bmbt`
fn machine_owner(line: Line<'_>, text: &str, placed: bool) -> Result<Owner, ParseError> {
    let owner = machine_name(text).ok_or_else(|| {
        let hint = "expected special_MAJOR:MINOR or inode_NUMBER_FORK";
        line.err(ParseErrorKind::NotThisFormat, "owner", text, hint)
    })?;
    let has_offset = matches!(owner, Owner::File { fork: Fork::Data | Fork::Attr, .. });
    if placed != has_offset {
        let hint = "file data has a file range, and nothing else has";
        return Err(line.err(ParseErrorKind::Inconsistent, "file range of", text, hint));
    }
    Ok(owner)
}

fn machine_name(text: &str) -> Option<Owner> {
    if let Some(code) = text.strip_prefix("special_") {
        let (major, minor) = code.split_once(':').filter(|(a, b)| is_digits(a) && is_digits(b))?;
        return Some(Owner::Special(Special::from_code(major.parse().ok()?, minor.parse().ok()?)));
    }
    let (ino, fork) = text.strip_prefix("inode_")?.split_once('_')?;
    let fork = match fork {
        "data_bmbt" | "attr_bmbt" => Fork::ExtentMap,
        _ => fork_of(fork)?,
    };
    let ino = is_digits(ino).then(|| ino.parse().ok()).flatten()?;
    Some(Owner::File { id: FileId::Ino(ino), fork })
}
