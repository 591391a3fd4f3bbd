//! The answer for people: a table of at most 100 columns.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use badrange::explain::{Answer, Explanation, OwnerFound, PieceFound, Position, Verdict};

/// Columns of the table, at most.
const WIDTH: usize = 100;
/// Columns of the range, at most, before the rest of the line moves down.
const RANGE_WIDTH: usize = 28;
const SECTOR: u64 = 512;

pub(crate) fn answer(out: &mut impl Write, answer: &Answer) -> io::Result<()> {
    for explanation in &answer.queries {
        query(out, explanation)?;
    }
    let summary = &answer.summary;
    let pieces = answer.queries.iter().flat_map(|q| &q.pieces);
    let bytes = |p: &PieceFound| p.len.saturating_mul(p.repeat.map_or(1, |(_, count)| count));
    let unknown = pieces.filter(|p| p.lost.is_none()).map(bytes).fold(0, u64::saturating_add);
    let unknown = if unknown > 0 { format!(", {unknown} unknown") } else { String::new() };
    writeln!(
        out,
        "{} lost; {} of {} bytes lost{unknown}",
        counted(summary.files_lost, "file"),
        summary.bytes_lost,
        summary.bytes_queried
    )
}

fn counted(n: u64, what: &str) -> String {
    let s = if n == 1 { "" } else { "s" };
    format!("{n} {what}{s}")
}

fn query(out: &mut impl Write, explanation: &Explanation) -> io::Result<()> {
    let bold = Style::new().bold();
    writeln!(out, "{bold}{}{bold:#}: {} bytes", explanation.at, explanation.len)?;
    let memory = explanation.device == "phys";
    let unit = if memory { "bytes" } else { "sectors" };
    let ranges: Vec<_> = explanation.pieces.iter().map(|p| range(p, memory)).collect();
    let longest = ranges.iter().map(String::len).filter(|len| *len <= RANGE_WIDTH).max();
    let width = longest.unwrap_or(0).max(unit.len());
    let dim = Style::new().dimmed();
    writeln!(out, "  {dim}{unit:width$}  lost  what{dim:#}")?;
    for (piece, range) in explanation.pieces.iter().zip(&ranges) {
        row(out, piece, range, width)?;
    }
    writeln!(out)
}

/// The bytes of a piece in the unit of its space: sectors where they are whole.
fn range(piece: &PieceFound, memory: bool) -> String {
    let repeat = piece.repeat.map_or_else(String::new, |(stride, count)| {
        format!(" x{count} every {}", length(stride, memory))
    });
    if memory {
        return format!("{:#x}+{:#x}{repeat}", piece.start, piece.len);
    }
    if piece.start % SECTOR == 0 && piece.len % SECTOR == 0 {
        return format!("{}+{}{repeat}", piece.start / SECTOR, piece.len / SECTOR);
    }
    format!("{}+{}B{repeat}", piece.start, piece.len)
}

fn length(bytes: u64, memory: bool) -> String {
    match (memory, bytes % SECTOR) {
        (true, _) => format!("{bytes:#x}"),
        (false, 0) => format!("{}", bytes / SECTOR),
        (false, _) => format!("{bytes}B"),
    }
}

fn row(out: &mut impl Write, piece: &PieceFound, range: &str, width: usize) -> io::Result<()> {
    let (lost, color) = match piece.lost {
        Some(true) => ("yes", AnsiColor::Red.on_default().bold()),
        Some(false) => ("no", AnsiColor::Green.on_default()),
        None => ("?", AnsiColor::Yellow.on_default()),
    };
    let ways = piece.routes.iter().filter_map(|route| way(route));
    let mut lines = what(piece).into_iter().chain(ways).chain(array(piece));
    // NO-OVERFLOW: a handful of columns.
    let indent = width.saturating_add(10);
    let room = WIDTH.saturating_sub(indent);
    let first = lines.next().unwrap_or_default();
    if range.len() > width {
        writeln!(out, "  {range}")?;
        write!(out, "  {:width$}  {color}{lost:4}{color:#}  ", "")?;
    } else {
        write!(out, "  {range:width$}  {color}{lost:4}{color:#}  ")?;
    }
    for (number, line) in
        core::iter::once(first).chain(lines).flat_map(|l| wrap(&l, room)).enumerate()
    {
        if number > 0 {
            write!(out, "{:indent$}", "")?;
        }
        writeln!(out, "{line}")?;
    }
    Ok(())
}

/// What the bytes are: one line per owner, or the verdict in words.
fn what(piece: &PieceFound) -> Vec<String> {
    if piece.owners.is_empty() {
        let what = piece.what.as_deref().map_or_else(String::new, |what| format!(": {what}"));
        let all: Vec<_> = piece.verdicts.iter().map(|verdict| words(*verdict)).collect();
        return vec![format!("{}{what}", all.join(", and "))];
    }
    let owners = piece.owners.iter().map(|owner| owned(piece, owner));
    // Other routes may lead to what is no file.
    let others = piece.verdicts.iter().filter(|verdict| !is_file(**verdict));
    owners.chain(others.map(|verdict| words(*verdict).to_owned())).collect()
}

fn owned(piece: &PieceFound, owner: &OwnerFound) -> String {
    let name = match (owner.paths.split_first(), owner.ino) {
        (Some((first, others)), ino) => {
            let links: String = others.iter().map(|path| format!(" = {path}")).collect();
            let ino = ino.map_or_else(String::new, |ino| format!(" (inode {ino})"));
            format!("{first}{links}{ino}")
        }
        (None, Some(ino)) => format!("inode {ino}"),
        (None, None) => "a file without a name".to_owned(),
    };
    let unwritten = if piece.verdict == Verdict::FileUnwritten { ", never written" } else { "" };
    let part = match (owner.fork, owner.start.zip(owner.len)) {
        ("data", Some((start, len))) => format!("bytes {start}..{}", start.saturating_add(len)),
        (fork, Some((start, len))) => {
            format!("{fork} fork, bytes {start}..{}", start.saturating_add(len))
        }
        (fork, None) => fork.to_owned(),
    };
    format!("{name}: {part}{unwritten}")
}

const fn is_file(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::File | Verdict::FileMetadata | Verdict::FileUnwritten)
}

fn words(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::FsMetadata => "filesystem metadata",
        Verdict::FsJournal => "filesystem journal",
        Verdict::FsFree => "free space of the filesystem",
        Verdict::FsUnknown => "in the filesystem, but no map says whose",
        Verdict::Device => "nobody described what is on this device",
        Verdict::LvmMetadata => "LVM metadata area",
        Verdict::LvmFree => "extents of no logical volume",
        Verdict::ThinFree => "blocks of no thin volume",
        Verdict::ThinMetadata => "metadata of the thin pool",
        Verdict::MdMetadata => "metadata of the array",
        Verdict::MdParity => "parity of the array",
        Verdict::MdUnused => "not used by the array",
        Verdict::LvmTail => "after the last extent of the physical volume",
        Verdict::PartitionTable => "partition table",
        Verdict::Unpartitioned => "in no partition",
        Verdict::PmemMetadata => "metadata of the namespace",
        Verdict::NoOwner => "physical memory of no device here",
        Verdict::Outside => "past the end of the device",
        Verdict::File | Verdict::FileMetadata | Verdict::FileUnwritten => "a file",
    }
}

/// What an array can do about it.
fn array(piece: &PieceFound) -> Option<String> {
    match &piece.redundancy {
        Some(redundancy) => Some(format!("rebuildable from {}", redundancy.from.join(", "))),
        None if piece.too_many && piece.lost != Some(false) => {
            Some("too many failures in this stripe: lost".to_owned())
        }
        None => None,
    }
}

/// The way up, without the device asked about.
fn way(route: &[Position]) -> Option<String> {
    let hops: Vec<_> = route.iter().skip(1).map(hop).collect();
    (!hops.is_empty()).then(|| format!("at {}", hops.join(" > ")))
}

fn hop(position: &Position) -> String {
    let stride =
        position.stride.map_or_else(String::new, |s| format!(" every {}", length(s, false)));
    match position.start % SECTOR {
        0 => format!("{}:{}{stride}", position.device, position.start / SECTOR),
        _ => format!("{}:{}B{stride}", position.device, position.start),
    }
}

/// Breaks a line at blanks so that no part is wider than `room`; a word that is wider by itself is
/// cut, never dropped.
fn wrap(line: &str, room: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut used = 0_usize;
    for word in line.split_inclusive(' ') {
        let len = word.trim_end().chars().count();
        if used > 0 && used.saturating_add(len) > room {
            lines.push(String::new());
            used = 0;
        }
        for c in word.chars() {
            if used >= room && c != ' ' {
                lines.push(String::new());
                used = 0;
            }
            lines.last_mut().into_iter().for_each(|l| l.push(c));
            used = used.saturating_add(1);
        }
    }
    lines.into_iter().map(|l| l.trim_end().to_owned()).collect()
}
