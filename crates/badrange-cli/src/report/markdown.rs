//! The report as Markdown, to paste into a ticket.

use std::io::{self, Write};

use badrange::{
    explain::Explanation,
    explain::report::{ImpactReport, Tally},
};

use super::{
    Caps,
    text::uses,
    words::{
        asked, capped, file, is_obeyed, losses, lost, plain, range, summary, tally, way, what,
    },
};

pub(super) fn write(out: &mut impl Write, report: &ImpactReport<'_>, caps: Caps) -> io::Result<()> {
    writeln!(out, "**{}**", cell(&summary(report)))?;
    files(out, report, caps)?;
    tallies(out, "Lost, and no file's", &report.areas)?;
    tallies(out, "Not lost", &report.kept)?;
    tallies(out, "Cannot be known", &report.unknown)?;
    actions(out, report, caps)?;
    for note in &report.answer.notes {
        writeln!(out, "Note: {}\n", cell(note))?;
    }
    for explanation in &report.answer.queries {
        query(out, explanation, caps)?;
    }
    Ok(())
}

/// Text that means itself, in one cell of a table.
fn cell(text: &str) -> String {
    let mut cell = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '<' | '#' | '|' | '~' | '&' => {
                cell.push('\\');
                cell.push(c);
            }
            '\n' | '\r' | '\t' => cell.push(' '),
            c if is_obeyed(c) => cell.extend(c.escape_debug()),
            c => cell.push(c),
        }
    }
    cell
}

/// A command in a cell: code spans know no escapes, so the fence is longer than any in it.
fn code(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.saturating_add(1));
    // A bar ends a cell in a code span too.
    let text = plain(&text.replace('|', "\\|").replace('\n', " "));
    if text.starts_with('`') || text.ends_with('`') {
        return format!("{fence} {text} {fence}");
    }
    format!("{fence}{text}{fence}")
}

fn files(out: &mut impl Write, report: &ImpactReport<'_>, caps: Caps) -> io::Result<()> {
    if report.files.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n### Files\n\n| lost bytes | file | which |\n| ---: | --- | --- |")?;
    let (shown, more) = capped(&report.files, caps.files);
    for loss in shown {
        let (name, which) = (cell(&file(loss, caps)), cell(&losses(loss, caps)));
        writeln!(out, "| {} | {name} | {which} |", loss.lost_bytes)?;
    }
    more.map_or(Ok(()), |more| writeln!(out, "\n{more} files"))
}

fn tallies(out: &mut impl Write, what: &str, all: &[Tally]) -> io::Result<()> {
    if all.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n### {what}\n\n| bytes | what |\n| ---: | --- |")?;
    all.iter().try_for_each(|of| writeln!(out, "| {} | {} |", of.bytes, cell(&tally(of))))
}

fn actions(out: &mut impl Write, report: &ImpactReport<'_>, caps: Caps) -> io::Result<()> {
    if report.actions.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "\n### What to do\n\n| action | command | risk | why |\n| --- | --- | --- | --- |"
    )?;
    let (shown, more) = capped(&report.actions, caps.actions);
    for action in shown {
        let command = action.command.as_ref().map_or_else(String::new, |c| code(&c.to_string()));
        let risk = cell(&format!("{}: {}", action.risk.level, action.risk.what));
        writeln!(out, "| {} | {command} | {risk} | {} |", action.kind, cell(&action.why))?;
    }
    if let Some(more) = more {
        writeln!(out, "\n{more}")?;
    }
    let used = report
        .settings
        .iter()
        .filter(|setting| shown.iter().any(|action| uses(action, setting.variable.as_str())));
    for (number, setting) in used.enumerate() {
        if number == 0 {
            writeln!(out)?;
        }
        writeln!(out, "- {}: {}", code(setting.variable.as_str()), cell(&setting.meaning))?;
    }
    Ok(())
}

fn query(out: &mut impl Write, explanation: &Explanation, caps: Caps) -> io::Result<()> {
    let (at, asked) = (code(&explanation.at), cell(&asked(explanation)));
    let memory = explanation.device == "phys";
    let unit = if memory { "bytes" } else { "sectors" };
    writeln!(out, "\n### {at}: {asked}\n\n| {unit} | lost | what | where |")?;
    writeln!(out, "| --- | --- | --- | --- |")?;
    let (pieces, more) = capped(&explanation.pieces, caps.pieces);
    for piece in pieces {
        let what: Vec<_> = what(piece, caps).iter().map(|line| cell(line)).collect();
        let ways: Vec<_> =
            piece.routes.iter().filter_map(|r| way(r)).map(|way| cell(&way)).collect();
        let (range, lost) = (cell(&range(piece, memory)), lost(piece.lost));
        let (what, ways) = (what.join("<br>"), ways.join("<br>"));
        writeln!(out, "| {range} | {lost} | {what} | {ways} |")?;
    }
    more.map_or(Ok(()), |more| writeln!(out, "\n{more} pieces"))
}
