//! The report for a terminal.

use std::io::{self, Write};

use anstyle::Style;
use badrange::explain::{
    advice::Action,
    report::{ImpactReport, Tally},
};

use super::{
    Caps, table,
    words::{capped, file, losses, plain, summary, tally, wrap},
};

pub(super) fn write(out: &mut impl Write, report: &ImpactReport<'_>, caps: Caps) -> io::Result<()> {
    for explanation in &report.answer.queries {
        table::query(out, explanation, caps)?;
    }
    files(out, report, caps)?;
    tallies(out, "lost, and no file's", &report.areas)?;
    tallies(out, "not lost", &report.kept)?;
    tallies(out, "cannot be known", &report.unknown)?;
    actions(out, report, caps)?;
    for note in &report.answer.notes {
        writeln!(out, "note: {}", plain(note))?;
    }
    writeln!(out, "{}", summary(report))
}

fn head(out: &mut impl Write, words: &str) -> io::Result<()> {
    let bold = Style::new().bold();
    writeln!(out, "{bold}{words}{bold:#}")
}

fn files(out: &mut impl Write, report: &ImpactReport<'_>, caps: Caps) -> io::Result<()> {
    if report.files.is_empty() {
        return Ok(());
    }
    head(out, "files, those that lost most first")?;
    let (shown, more) = capped(&report.files, caps.files);
    let counts: Vec<_> = shown.iter().map(|file| file.lost_bytes.to_string()).collect();
    let rows = shown.iter().map(|loss| format!("{}: {}", file(loss, caps), losses(loss, caps)));
    rows_of(out, counts.iter().map(String::as_str).zip(rows))?;
    if let Some(more) = more {
        writeln!(out, "  {more} files (--all lists them)")?;
    }
    writeln!(out)
}

fn tallies(out: &mut impl Write, what: &str, all: &[Tally]) -> io::Result<()> {
    if all.is_empty() {
        return Ok(());
    }
    head(out, what)?;
    let counts: Vec<_> = all.iter().map(|tally| tally.bytes.to_string()).collect();
    rows_of(out, counts.iter().map(String::as_str).zip(all.iter().map(tally)))?;
    writeln!(out)
}

fn actions(out: &mut impl Write, report: &ImpactReport<'_>, caps: Caps) -> io::Result<()> {
    if report.actions.is_empty() {
        return Ok(());
    }
    head(out, "what to do (`badrange plan` lists every step)")?;
    let (shown, more) = capped(&report.actions, caps.actions);
    let rows = shown.iter().flat_map(|action| {
        let command = action.command.as_ref().map(|command| ("", command.to_string()));
        core::iter::once((action.kind.as_str(), advice(action))).chain(command)
    });
    rows_of(out, rows)?;
    for setting in &report.settings {
        let name = setting.variable.as_str();
        if shown.iter().any(|action| uses(action, name)) {
            rows_of(out, [("", format!("${name}: {}", setting.meaning))].into_iter())?;
        }
    }
    if let Some(more) = more {
        writeln!(out, "  {more} (--all lists them)")?;
    }
    writeln!(out)
}

pub(super) fn uses(action: &Action, name: &str) -> bool {
    let variables = action.command.iter().flat_map(|command| command.variables());
    variables.into_iter().any(|variable| variable.as_str() == name)
}

fn advice(action: &Action) -> String {
    format!("{} (risk: {}: {})", action.why, action.risk.level, action.risk.what)
}

/// Rows of two columns, the second wrapped.
fn rows_of<'a>(
    out: &mut impl Write,
    rows: impl Iterator<Item = (&'a str, String)>,
) -> io::Result<()> {
    let rows: Vec<_> = rows.collect();
    let width = rows.iter().map(|(first, _)| first.len()).max().unwrap_or(0);
    let room = table::WIDTH.saturating_sub(width.saturating_add(4));
    for (first, second) in rows {
        for (number, line) in wrap(&second, room).iter().enumerate() {
            let first = if number == 0 { first } else { "" };
            // Numbers end below one another, words begin so.
            match first.starts_with(|c: char| c.is_ascii_digit()) {
                true => writeln!(out, "  {first:>width$}  {line}")?,
                false => writeln!(out, "  {first:width$}  {line}")?,
            }
        }
    }
    Ok(())
}
