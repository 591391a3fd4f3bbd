//! A comparison for people: a table for terminals, a report in Markdown.

use core::fmt::{self, Write};

use super::{Comparison, DesignReport, DesignTally};

/// A column: its head in two lines, and what stands in it.
type Column = (&'static str, &'static str, fn(&DesignReport) -> String);

/// Who heard of it.
const TOLD: [Column; 8] = [
    ("", "design", |report| report.design.to_string()),
    ("owners", "told", |report| share(report.total.told_owners, report.total.owners)),
    ("bytes", "bad", |report| bytes(report.total.owned_bytes)),
    ("bytes", "missed", |report| bytes(report.total.missed_bytes)),
    ("bytes", "wrong", |report| bytes(report.total.wrong_bytes)),
    ("signals", "sent", |report| report.total.signals.to_string()),
    ("wrong/twice/missed", "signals", |report| signals(&report.total)),
    ("", "ended", ended),
];

/// What it did and cost.
const DONE: [Column; 8] = [
    ("", "design", |report| report.design.to_string()),
    ("unmapped", "/bad", |report| {
        let (gone, bad) = (report.total.unmapped_bytes, report.total.bad_mapped_bytes);
        format!("{}/{}", bytes(gone), bytes(bad))
    }),
    ("left", "mapped", |report| bytes(report.total.left_mapped_bytes)),
    ("shut-", "downs", |report| report.total.shutdowns.to_string()),
    ("up-", "calls", |report| report.total.cost.up_calls.to_string()),
    ("trans-", "lations", |report| report.total.cost.translations.to_string()),
    ("table", "walks", |report| report.total.cost.table_walks.to_string()),
    ("fallback", "pages", |report| report.total.cost.fallback_pages.to_string()),
];

fn share(part: u64, of: u64) -> String {
    format!("{part}/{of}")
}

fn signals(total: &DesignTally) -> String {
    format!("{}/{}/{}", total.wrong_signals, total.duplicate_signals, total.missed_signals)
}

/// How it ended for the machine.
fn ended(report: &DesignReport) -> String {
    let crash = report.events.iter().find_map(|event| event.crash);
    let stuck = report.events.iter().any(|event| event.stuck);
    match crash {
        Some(crate::Crash::Oops) => "oops".to_owned(),
        Some(crate::Crash::Panic) => "panic".to_owned(),
        None if stuck => "stuck".to_owned(),
        None => "well".to_owned(),
    }
}

/// Bytes in the largest binary unit that divides them.
fn bytes(number: u64) -> String {
    const UNITS: [(u64, &str); 4] =
        [(1 << 40, "T"), (1 << 30, "G"), (1 << 20, "M"), (1 << 10, "K")];
    let whole = |(unit, name): &(u64, &str)| match number.checked_rem(*unit)? {
        0 if number > 0 => Some(format!("{}{name}", number.checked_div(*unit)?)),
        _ => None,
    };
    UNITS.iter().find_map(whole).unwrap_or_else(|| number.to_string())
}

fn table(f: &mut impl Write, columns: &[Column], designs: &[DesignReport]) -> fmt::Result {
    let mut rows: Vec<Vec<String>> = vec![
        columns.iter().map(|column| column.0.to_owned()).collect(),
        columns.iter().map(|column| column.1.to_owned()).collect(),
    ];
    rows.extend(designs.iter().map(|report| columns.iter().map(|c| (c.2)(report)).collect()));
    let widest = |at: usize| rows.iter().filter_map(|row| row.get(at)).map(String::len).max();
    let widths: Vec<usize> = (0..columns.len()).map(|at| widest(at).unwrap_or(0)).collect();
    for row in &rows {
        let mut line = String::new();
        for (at, (cell, width)) in row.iter().zip(&widths).enumerate() {
            match at {
                0 => write!(line, "{cell:width$}")?,
                _ => write!(line, "  {cell:>width$}")?,
            }
        }
        writeln!(f, "{}", line.trim_end())?;
    }
    Ok(())
}

/// One line per owner that does not know.
fn missed(report: &DesignReport) -> Vec<String> {
    let mut lines = Vec::new();
    for (number, event) in (1..).zip(&report.events) {
        for missed in &event.missed {
            let line = format!("event {number}: {}, {} bytes", missed.owner, missed.bytes);
            lines.push(line);
        }
    }
    lines
}

/// A line for each event that told anybody, with the first of them.
fn told(report: &DesignReport) -> Vec<String> {
    const MOST: usize = 8;
    let events = (1_u64..).zip(&report.events).filter(|(_, event)| !event.told.is_empty());
    let line = |(number, event): (u64, &super::EventReport)| {
        let names: Vec<&str> = event.told.iter().take(MOST).map(String::as_str).collect();
        let more = event.told.len().saturating_sub(MOST);
        let more = if more > 0 { format!(", and {more} more") } else { String::new() };
        format!("event {number}: {}{more}", names.join(", "))
    };
    events.map(line).collect()
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.name)?;
        table(f, &TOLD, &self.designs)?;
        writeln!(f)?;
        table(f, &DONE, &self.designs)?;
        for report in &self.designs {
            const MOST: usize = 8;
            let lines = missed(report);
            if !lines.is_empty() {
                writeln!(f, "\nnot told by {}:", report.design)?;
            }
            lines.iter().take(MOST).try_for_each(|line| writeln!(f, "  {line}"))?;
            if lines.len() > MOST {
                writeln!(f, "  and {} more", lines.len().saturating_sub(MOST))?;
            }
        }
        Ok(())
    }
}

impl Comparison {
    /// A report in Markdown: the figures, who was told and who was not, and for each design the way of the
    /// first failure as a Mermaid sequence diagram.
    #[must_use]
    pub fn to_markdown(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = self.markdown(&mut text);
        text
    }

    fn markdown(&self, f: &mut impl Write) -> fmt::Result {
        writeln!(f, "# {}\n", self.name)?;
        markdown_table(f, &TOLD, &self.designs)?;
        markdown_table(f, &DONE, &self.designs)?;
        for report in &self.designs {
            writeln!(f, "## {}\n\n{}.\n", report.design, capital(report.design.summary()))?;
            let (told, missed) = (told(report), missed(report));
            told.iter().try_for_each(|line| writeln!(f, "* told: {line}"))?;
            missed.iter().try_for_each(|line| writeln!(f, "* not told: {line}"))?;
            if !told.is_empty() || !missed.is_empty() {
                writeln!(f)?;
            }
            diagram(f, report)?;
        }
        Ok(())
    }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

fn markdown_table(f: &mut impl Write, columns: &[Column], designs: &[DesignReport]) -> fmt::Result {
    let heads = columns.iter().map(|(one, two, _)| format!("{one} {two}").trim().to_owned());
    writeln!(f, "| {} |", heads.collect::<Vec<_>>().join(" | "))?;
    writeln!(f, "|{}", " --- |".repeat(columns.len()))?;
    for report in designs {
        let cells = columns.iter().map(|column| (column.2)(report));
        writeln!(f, "| {} |", cells.collect::<Vec<_>>().join(" | "))?;
    }
    writeln!(f)
}

/// The first event with a way, as a sequence diagram.
fn diagram(f: &mut impl Write, report: &DesignReport) -> fmt::Result {
    let Some(event) = report.events.iter().find(|event| !event.messages.is_empty()) else {
        return writeln!(f, "Nobody is called.\n");
    };
    let mut names: Vec<&str> = Vec::new();
    for message in &event.messages {
        for name in [message.from.as_str(), &message.to] {
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    let id = |name: &str| names.iter().position(|known| *known == name).unwrap_or(0);
    writeln!(f, "```mermaid\nsequenceDiagram")?;
    for (number, name) in names.iter().enumerate() {
        writeln!(f, "    participant p{number} as {}", plain(name))?;
    }
    for message in &event.messages {
        let (from, to) = (id(&message.from), id(&message.to));
        writeln!(f, "    p{from}->>p{to}: {}", plain(&message.text))?;
    }
    if event.unlisted > 0 {
        writeln!(f, "    Note over p0: and {} more steps", event.unlisted)?;
    }
    writeln!(f, "```\n")
}

/// Without what ends a statement or begins a comment in Mermaid.
fn plain(text: &str) -> String {
    text.replace([';', '#', '\n', '{', '}'], " ")
}
