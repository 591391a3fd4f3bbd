//! The report as one HTML file: no network, no script, light and dark, and a picture of the stack
//! in which every bad range leads to its piece and every piece to its files.

use core::fmt;
use std::io::{self, Write};

use badrange::{
    explain::report::{Bar, FileLoss, ImpactReport, Mark, Part, Tally},
    explain::{Explanation, PieceFound},
};

use super::{
    Caps,
    text::uses,
    words::{asked, capped, file, is_obeyed, losses, lost, range, summary, tally, way, what},
};

const STYLE: &str = include_str!("style.css");

pub(super) fn write(out: &mut impl Write, report: &ImpactReport<'_>, caps: Caps) -> io::Result<()> {
    writeln!(out, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">")?;
    writeln!(out, "<meta name=\"viewport\" content=\"width=device-width\">")?;
    // Whatever a file is called, nothing in it can run and nothing can be fetched.
    let policy = "default-src 'none'; style-src 'unsafe-inline'";
    writeln!(out, "<meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">")?;
    let summary = summary(report);
    writeln!(out, "<title>badrange: {}</title>\n<style>\n{STYLE}</style>", Esc(&summary))?;
    writeln!(out, "</head>\n<body>\n<h1>{}</h1>", Esc(&summary))?;
    picture(out, report)?;
    files(out, report, caps)?;
    tallies(out, "Lost, and no file's", &report.areas)?;
    tallies(out, "Not lost", &report.kept)?;
    tallies(out, "Cannot be known", &report.unknown)?;
    actions(out, report, caps)?;
    for note in &report.answer.notes {
        writeln!(out, "<p>Note: {}</p>", Esc(note))?;
    }
    for (number, explanation) in report.answer.queries.iter().enumerate() {
        query(out, report, number, explanation, caps)?;
    }
    let version = env!("CARGO_PKG_VERSION");
    writeln!(out, "<footer>badrange {version}</footer>\n</body>\n</html>")
}

/// Text in which nothing is markup.
struct Esc<T>(T);

impl<T: AsRef<str>> fmt::Display for Esc<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.as_ref().chars() {
            match c {
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '&' => f.write_str("&amp;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                c if is_obeyed(c) => write!(f, "{}", c.escape_debug())?,
                c => write!(f, "{c}")?,
            }
        }
        Ok(())
    }
}

/// Units of the picture from the left end of a device to the right one.
const SPAN: u64 = 1000;
/// The least width of a mark, so that it can be seen and hit.
const LEAST: u64 = 4;

fn picture(out: &mut impl Write, report: &ImpactReport<'_>) -> io::Result<()> {
    if report.picture.is_empty() {
        return Ok(());
    }
    writeln!(out, "<section id=\"stack\">\n<h2>The stack</h2>")?;
    writeln!(out, "<p>Each device from its first byte to its last, the lowest at the bottom.</p>")?;
    for bar in report.picture.iter().rev() {
        device(out, bar)?;
    }
    writeln!(out, "</section>")
}

fn device(out: &mut impl Write, bar: &Bar) -> io::Result<()> {
    let name = Esc(&bar.device);
    writeln!(
        out,
        "<figure id=\"device-{name}\">\n<figcaption>{name} <small>{}</small></figcaption>",
        size(bar.bytes)
    )?;
    writeln!(
        out,
        "<svg viewBox=\"0 0 {SPAN} 36\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"{name}\">"
    )?;
    writeln!(out, "<rect class=\"device\" x=\"0\" y=\"0\" width=\"{SPAN}\" height=\"36\"/>")?;
    bar.parts.iter().try_for_each(|part| nested(out, bar, part))?;
    bar.marks.iter().try_for_each(|mark| marked(out, bar, mark))?;
    writeln!(out, "</svg>\n</figure>")
}

/// Where on the picture bytes of a device are: left end and width.
fn place(start: u64, len: u64, of: u64) -> (u64, u64) {
    let scaled = |at: u64| {
        let at = u128::from(at.min(of)).saturating_mul(u128::from(SPAN));
        u64::try_from(at.checked_div(u128::from(of)).unwrap_or(0)).unwrap_or(SPAN)
    };
    let (from, to) = (scaled(start), scaled(start.saturating_add(len)));
    let width = to.saturating_sub(from).max(LEAST);
    (from.min(SPAN.saturating_sub(width)), width)
}

fn nested(out: &mut impl Write, bar: &Bar, part: &Part) -> io::Result<()> {
    let (x, width) = place(part.start, part.len, bar.bytes);
    let name = Esc(&part.device);
    writeln!(
        out,
        "<a href=\"#device-{name}\"><rect class=\"part\" x=\"{x}\" y=\"3\" width=\"{width}\" height=\"12\"><title>{name}: bytes {}+{}</title></rect></a>",
        part.start, part.len
    )
}

fn marked(out: &mut impl Write, bar: &Bar, mark: &Mark) -> io::Result<()> {
    let (x, width) = place(mark.start, mark.len, bar.bytes);
    let class = class(mark.lost);
    writeln!(
        out,
        "<a href=\"#{}\"><rect class=\"mark {class}\" x=\"{x}\" y=\"18\" width=\"{width}\" height=\"15\"><title>bytes {}+{}</title></rect></a>",
        piece_id(mark.query, mark.piece),
        mark.start,
        mark.len
    )
}

const fn class(lost: Option<bool>) -> &'static str {
    match lost {
        Some(true) => "lost",
        Some(false) => "kept",
        None => "unknown",
    }
}

fn piece_id(query: usize, piece: usize) -> String {
    format!("q{query}p{piece}")
}

/// A length that a person can grasp; exact ones stand elsewhere.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let (mut unit, mut rest) = (0_usize, bytes);
    while rest >= 1024 && unit < UNITS.len().saturating_sub(1) {
        (unit, rest) = (unit.saturating_add(1), rest >> 10);
    }
    format!("{rest} {}", UNITS.get(unit).copied().unwrap_or_default())
}

fn files(out: &mut impl Write, report: &ImpactReport<'_>, caps: Caps) -> io::Result<()> {
    if report.files.is_empty() {
        return Ok(());
    }
    writeln!(out, "<section>\n<h2>Files</h2>\n<table>")?;
    writeln!(out, "<tr><th class=\"n\">lost bytes</th><th>file</th><th>which</th></tr>")?;
    let (shown, more) = capped(&report.files, caps.files);
    for (number, loss) in shown.iter().enumerate() {
        let (name, which) = (file(loss, caps), losses(loss, caps));
        writeln!(
            out,
            "<tr id=\"file-{number}\"><td class=\"n\">{}</td><td>{}</td><td>{}</td></tr>",
            loss.lost_bytes,
            Esc(name),
            Esc(which)
        )?;
    }
    writeln!(out, "</table>")?;
    if let Some(more) = more {
        writeln!(out, "<p>{more} files</p>")?;
    }
    writeln!(out, "</section>")
}

fn tallies(out: &mut impl Write, what: &str, all: &[Tally]) -> io::Result<()> {
    if all.is_empty() {
        return Ok(());
    }
    writeln!(out, "<section>\n<h2>{what}</h2>\n<table>")?;
    writeln!(out, "<tr><th class=\"n\">bytes</th><th>what</th></tr>")?;
    for of in all {
        writeln!(out, "<tr><td class=\"n\">{}</td><td>{}</td></tr>", of.bytes, Esc(tally(of)))?;
    }
    writeln!(out, "</table>\n</section>")
}

fn actions(out: &mut impl Write, report: &ImpactReport<'_>, caps: Caps) -> io::Result<()> {
    if report.actions.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "<section>\n<h2>What to do</h2>\n<p>Nothing of this was run. <code>badrange plan</code> lists every step.</p>\n<table>"
    )?;
    writeln!(out, "<tr><th>action</th><th>why</th><th>risk</th></tr>")?;
    let (shown, more) = capped(&report.actions, caps.actions);
    for action in shown {
        let command =
            action.command.as_ref().map(|c| format!("<br><code>{}</code>", Esc(c.to_string())));
        let (why, risk) = (Esc(&action.why), Esc(&action.risk.what));
        writeln!(
            out,
            "<tr><td class=\"kind\">{}</td><td>{why}{}</td><td>{}: {risk}</td></tr>",
            action.kind,
            command.unwrap_or_default(),
            action.risk.level
        )?;
    }
    writeln!(out, "</table>")?;
    for setting in &report.settings {
        let name = setting.variable.as_str();
        if shown.iter().any(|action| uses(action, name)) {
            writeln!(out, "<p><code>{}</code>: {}</p>", Esc(name), Esc(&setting.meaning))?;
        }
    }
    if let Some(more) = more {
        writeln!(out, "<p>{more}</p>")?;
    }
    writeln!(out, "</section>")
}

fn query(
    out: &mut impl Write,
    report: &ImpactReport<'_>,
    number: usize,
    explanation: &Explanation,
    caps: Caps,
) -> io::Result<()> {
    let memory = explanation.device == "phys";
    let unit = if memory { "bytes" } else { "sectors" };
    writeln!(
        out,
        "<section>\n<h2><code>{}</code>: {}</h2>\n<table>",
        Esc(&explanation.at),
        Esc(asked(explanation))
    )?;
    writeln!(out, "<tr><th>{unit}</th><th>lost</th><th>what</th><th>where</th></tr>")?;
    let (pieces, more) = capped(&explanation.pieces, caps.pieces);
    for (place, piece) in pieces.iter().enumerate() {
        let id = piece_id(number, place);
        let (class, lost) = (class(piece.lost), lost(piece.lost));
        let ways: Vec<_> =
            piece.routes.iter().filter_map(|r| way(r)).map(|w| Esc(w).to_string()).collect();
        writeln!(
            out,
            "<tr id=\"{id}\"><td>{}</td><td class=\"{class}\">{lost}</td><td>{}</td><td>{}</td></tr>",
            Esc(range(piece, memory)),
            contents(report, piece, caps),
            ways.join("<br>")
        )?;
    }
    writeln!(out, "</table>")?;
    if let Some(more) = more {
        writeln!(out, "<p>{more} pieces</p>")?;
    }
    writeln!(out, "</section>")
}

/// What a piece is; lines about a file that lost something lead to it.
fn contents(report: &ImpactReport<'_>, piece: &PieceFound, caps: Caps) -> String {
    let lines = what(piece, caps);
    let line = |(number, line): (usize, &String)| {
        let owner = piece.owners.get(number).filter(|_| number < caps.owners);
        let is = |loss: &FileLoss| {
            owner.is_some_and(|owner| {
                (&loss.fs, loss.ino, &loss.paths) == (&owner.fs, owner.ino, &owner.paths)
            })
        };
        match report.files.iter().take(caps.files).position(is) {
            Some(file) => format!("<a href=\"#file-{file}\">{}</a>", Esc(line)),
            None => Esc(line).to_string(),
        }
    };
    lines.iter().enumerate().map(line).collect::<Vec<_>>().join("<br>")
}
