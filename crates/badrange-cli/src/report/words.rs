//! Words that every form of the report uses.

use badrange::{
    explain::report::{FileLoss, FileSpan, ImpactReport, Tally},
    explain::{Explanation, OwnerFound, PieceFound, Position, Verdict},
};

use super::Caps;

const SECTOR: u64 = 512;

/// `1 file`, `2 files`.
pub(super) fn counted(n: u64, what: &str) -> String {
    let s = if n == 1 { "" } else { "s" };
    format!("{n} {what}{s}")
}

/// The first of a list, and how many more there are.
pub(super) fn capped<T>(all: &[T], cap: usize) -> (&[T], Option<String>) {
    let (shown, rest) = all.split_at(all.len().min(cap));
    (shown, (!rest.is_empty()).then(|| format!("and {} more", rest.len())))
}

/// What a query asked about and how well that is known: the line above its pieces.
pub(super) fn asked(explanation: &Explanation) -> String {
    let source = explanation.line.map_or_else(String::new, |line| format!(" (line {line})"));
    let known = explanation.confidence.map_or_else(String::new, |known| format!(", {known}"));
    format!("{} bytes{known}{source}", explanation.len)
}

/// The bytes of a piece in the unit of its space: sectors where they are whole.
pub(super) fn range(piece: &PieceFound, memory: bool) -> String {
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

/// `yes`, `no` or `?`.
pub(super) const fn lost(lost: Option<bool>) -> &'static str {
    match lost {
        Some(true) => "yes",
        Some(false) => "no",
        None => "?",
    }
}

/// What the bytes are: one line per owner, or the verdict in words; and where else they are.
pub(super) fn what(piece: &PieceFound, caps: Caps) -> Vec<String> {
    let mut lines = contents(piece, caps);
    match &piece.redundancy {
        Some(redundancy) => {
            lines.push(format!("can be rebuilt from {}", redundancy.from.join(", ")));
        }
        None if piece.too_many && piece.lost != Some(false) => {
            lines.push("too many failures in this stripe of the array".to_owned());
        }
        None => {}
    }
    lines
}

fn contents(piece: &PieceFound, caps: Caps) -> Vec<String> {
    if piece.owners.is_empty() {
        let what = piece.what.as_deref().map_or_else(String::new, |what| format!(": {what}"));
        let all: Vec<_> = piece.verdicts.iter().map(|verdict| verdict.words()).collect();
        // A route through an array that can rebuild the bytes says nothing of its own.
        let all = if all.is_empty() { vec![piece.verdict.words()] } else { all };
        return vec![format!("{}{what}", all.join(", and "))];
    }
    let (owners, more) = capped(&piece.owners, caps.owners);
    let owners = owners.iter().map(|owner| owned(piece, owner, caps));
    // Other routes may lead to what is no file.
    let others = piece.verdicts.iter().filter(|verdict| !is_file(**verdict));
    owners.chain(more).chain(others.map(|verdict| verdict.words().to_owned())).collect()
}

const fn is_file(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::File | Verdict::FileMetadata | Verdict::FileUnwritten)
}

fn owned(piece: &PieceFound, owner: &OwnerFound, caps: Caps) -> String {
    let unwritten = if piece.verdict == Verdict::FileUnwritten { ", never written" } else { "" };
    let part = match (owner.fork, owner.start.zip(owner.len)) {
        ("data", Some((start, len))) => format!("bytes {start}..{}", start.saturating_add(len)),
        (fork, Some((start, len))) => {
            format!("{fork} fork, bytes {start}..{}", start.saturating_add(len))
        }
        (fork, None) => fork.to_owned(),
    };
    format!("{}: {part}{unwritten}", named(&owner.paths, owner.ino, None, caps))
}

/// Every name of a file, then its inode: `/a = /b (inode 12 on sda1)`.
fn named(paths: &[String], ino: Option<u64>, fs: Option<&str>, caps: Caps) -> String {
    let on = fs.map_or_else(String::new, |fs| format!(" on {fs}"));
    let (names, more) = capped(paths, caps.names);
    let names: Vec<_> = names.iter().cloned().chain(more).collect();
    match (names.is_empty(), ino) {
        (false, Some(ino)) => format!("{} (inode {ino}{on})", names.join(" = ")),
        (false, None) => format!("{}{on}", names.join(" = ")),
        (true, Some(ino)) => format!("inode {ino}{on}"),
        (true, None) => format!("a file without a name{on}"),
    }
}

/// A file of the report by its names.
pub(super) fn file(loss: &FileLoss, caps: Caps) -> String {
    named(&loss.paths, loss.ino, Some(&loss.fs), caps)
}

/// What a file lost.
pub(super) fn losses(loss: &FileLoss, caps: Caps) -> String {
    let (ranges, more) = capped(&loss.ranges, caps.ranges);
    let shown =
        |span: &FileSpan| format!("{}..{}", span.start, span.start.saturating_add(span.len));
    let ranges: Vec<_> = ranges.iter().map(shown).chain(more).collect();
    let data = (!ranges.is_empty()).then(|| format!("bytes {}", ranges.join(", ")));
    let metadata = loss.metadata.then(|| "attributes or extent map".to_owned());
    data.into_iter().chain(metadata).collect::<Vec<_>>().join("; ")
}

/// Why bytes are, or are not, lost.
pub(super) fn tally(tally: &Tally) -> String {
    let on = if tally.device == "phys" { "memory" } else { &tally.device };
    format!("{} ({on})", tally.why)
}

/// The last line.
pub(super) fn summary(report: &ImpactReport<'_>) -> String {
    let summary = report.summary();
    let unknown = report.unknown.iter().map(|t| t.bytes).fold(0, u64::saturating_add);
    let unknown = if unknown > 0 { format!(", {unknown} unknown") } else { String::new() };
    format!(
        "{} lost; {} of {} bytes lost{unknown}",
        counted(summary.files_lost, "file"),
        summary.bytes_lost,
        summary.bytes_queried
    )
}

/// The way up, without the device asked about.
pub(super) fn way(route: &[Position]) -> Option<String> {
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

/// What a terminal or a browser would obey: controls, and marks that turn the direction of writing.
pub(super) fn is_obeyed(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

/// Text of which everything is shown and nothing obeyed: files may have any name.
pub(crate) fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match is_obeyed(c) {
            true => shown.extend(c.escape_debug()),
            false => shown.push(c),
        }
    }
    shown
}

/// Breaks a line, made [`plain`], at blanks so that no part is wider than `room`; a word that is wider
/// by itself is cut, never dropped.
pub(crate) fn wrap(line: &str, room: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut used = 0_usize;
    for word in plain(line).split_inclusive(' ') {
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
