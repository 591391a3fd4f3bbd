//! The pieces of every query as a table of at most 100 columns.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use badrange::explain::{Explanation, PieceFound};

use super::{
    Caps,
    words::{asked, capped, lost, plain, range, way, what, wrap},
};

/// Columns of the table, at most.
pub(super) const WIDTH: usize = 100;
/// Columns of the range, at most, before the rest of the line moves down.
const RANGE_WIDTH: usize = 28;

pub(super) fn query(out: &mut impl Write, explanation: &Explanation, caps: Caps) -> io::Result<()> {
    let bold = Style::new().bold();
    writeln!(out, "{bold}{}{bold:#}: {}", plain(&explanation.at), asked(explanation))?;
    let memory = explanation.device == "phys";
    let unit = if memory { "bytes" } else { "sectors" };
    let (pieces, more) = capped(&explanation.pieces, caps.pieces);
    let ranges: Vec<_> = pieces.iter().map(|p| range(p, memory)).collect();
    let longest = ranges.iter().map(String::len).filter(|len| *len <= RANGE_WIDTH).max();
    let width = longest.unwrap_or(0).max(unit.len());
    let dim = Style::new().dimmed();
    writeln!(out, "  {dim}{unit:width$}  lost  what{dim:#}")?;
    for (piece, range) in pieces.iter().zip(&ranges) {
        row(out, piece, range, width, caps)?;
    }
    if let Some(more) = more {
        writeln!(out, "  {more} (--all lists them)")?;
    }
    writeln!(out)
}

fn row(
    out: &mut impl Write,
    piece: &PieceFound,
    range: &str,
    width: usize,
    caps: Caps,
) -> io::Result<()> {
    let color = match piece.lost {
        Some(true) => AnsiColor::Red.on_default().bold(),
        Some(false) => AnsiColor::Green.on_default(),
        None => AnsiColor::Yellow.on_default(),
    };
    let lost = lost(piece.lost);
    let mut lines = what(piece, caps).into_iter().chain(piece.routes.iter().filter_map(|r| way(r)));
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
