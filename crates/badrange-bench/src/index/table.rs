//! What was measured, as tables.

use core::fmt::Write as _;

use crate::{Pair, Ratio, data::Shape, measure::nanos_each, say};

/// One pair of one set.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) shape: Shape,
    pub(super) n: usize,
    pub(super) rival: String,
    pub(super) what: &'static str,
    pub(super) ratio: Ratio,
    /// Nanoseconds of one query, ours and the rival's.
    pub(super) nanos: (f64, f64),
}

/// All pairs, and the memory of each contender.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) rows: Vec<Row>,
    /// Contender, size, bytes per extent.
    pub(super) memory: Vec<(String, usize, f64)>,
}

impl Table {
    pub(super) fn note(
        &mut self,
        shape: Shape,
        n: usize,
        rival: &str,
        what: &'static str,
        count: usize,
        pair: &Pair,
    ) {
        let nanos = (nanos_each(pair.ours(), count), nanos_each(pair.rival(), count));
        let ratio = pair.ratio();
        say(&format!(
            "{:>9} {:9} {:22} {:26} {:>22}   ours {}, theirs {}",
            n,
            shape.name(),
            what,
            rival,
            shown(&ratio),
            time(nanos.0),
            time(nanos.1)
        ));
        self.rows.push(Row { shape, n, rival: rival.to_owned(), what, ratio, nanos });
    }

    pub(super) fn note_memory(&mut self, name: &str, n: usize, bytes: f64) {
        say(&format!("{n:>9} memory    {name:26} {bytes:.1} bytes per extent"));
        self.memory.push((name.to_owned(), n, bytes));
    }

    /// One table per size and shape: a line per contender, a column per work.
    pub(super) fn markdown(&self) -> String {
        let mut text = String::new();
        let mut sets: Vec<(usize, Shape)> = Vec::new();
        for row in &self.rows {
            if !sets.contains(&(row.n, row.shape)) {
                sets.push((row.n, row.shape));
            }
        }
        for (n, shape) in sets {
            let rows: Vec<&Row> =
                self.rows.iter().filter(|row| (row.n, row.shape) == (n, shape)).collect();
            let _ = writeln!(text, "### {} extents, {}\n", grouped(n), shape.name());
            one(&mut text, &rows);
        }
        if !self.memory.is_empty() {
            text.push_str(
                "### Memory\n\n| contender | extents | bytes per extent |\n|---|---|---|\n",
            );
            for (name, n, bytes) in &self.memory {
                let _ = writeln!(text, "| {name} | {} | {bytes:.1} |", grouped(*n));
            }
        }
        text
    }
}

fn one(text: &mut String, rows: &[&Row]) {
    let mut works: Vec<&str> = Vec::new();
    let mut rivals: Vec<&str> = Vec::new();
    for row in rows {
        if !works.contains(&row.what) {
            works.push(row.what);
        }
        if !rivals.contains(&row.rival.as_str()) {
            rivals.push(&row.rival);
        }
    }
    let _ = writeln!(text, "| beside | {} |", works.join(" | "));
    let _ = writeln!(text, "|---|{}", "---|".repeat(works.len()));
    for rival in rivals {
        let _ = write!(text, "| {rival} |");
        for work in &works {
            let found = rows.iter().find(|row| row.rival == rival && row.what == *work);
            let _ = match found {
                Some(row) => write!(text, " {} |", cell(row)),
                None => write!(text, " |"),
            };
        }
        text.push('\n');
    }
    text.push('\n');
}

fn cell(row: &Row) -> String {
    let (ours, theirs) = row.nanos;
    if ours.is_nan() {
        return format!("over the limit: {} each", time(theirs));
    }
    format!("**{}** {} / {}", shown(&row.ratio), time(ours), time(theirs))
}

fn shown(ratio: &Ratio) -> String {
    if ratio.median.is_nan() { "over the limit".to_owned() } else { ratio.to_string() }
}

/// `35 ns`, `1.2 us`, `3.4 ms`
pub(super) fn time(nanos: f64) -> String {
    match nanos {
        n if n < 1e3 => format!("{n:.0} ns"),
        n if n < 1e6 => format!("{:.1} us", n / 1e3),
        n => format!("{:.1} ms", n / 1e6),
    }
}

/// `10 000 000`
pub(super) fn grouped(n: usize) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i) % 3 == 0 {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}
