//! The forms of an answer: text for a terminal, JSON, Markdown for a ticket, one HTML file.

mod html;
mod markdown;
mod table;
mod text;
mod words;

use std::io::Write;

use badrange::{
    explain::report::ImpactReport,
    explain::{Answer, Explainer},
};
use clap::{Args, ValueEnum};

pub(crate) use self::words::{plain, wrap};
use crate::Failure;

/// How an answer is printed.
#[derive(Debug, Args)]
pub(crate) struct Output {
    /// Print one JSON object (badrange.explain/1) instead of a table.
    #[arg(long, conflicts_with = "format")]
    pub(crate) json: bool,

    /// The form: a table (when not given), JSON with the report's own parts, Markdown, one HTML
    /// file with a picture of the stack, or with --follow a JSON object per line.
    #[arg(long, value_name = "FORM")]
    pub(crate) format: Option<Format>,

    /// List everything, however long: names, files, pieces. (JSON always does.)
    #[arg(long)]
    pub(crate) all: bool,
}

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A table for people, at most 100 columns wide.
    Text,
    /// The object of --json, with files, areas, kept, unknown and actions added.
    Json,
    /// Tables for a ticket.
    Markdown,
    /// One self-contained page.
    Html,
    /// A JSON object per finding of a followed text.
    Jsonl,
}

/// How much of each list is shown.
#[derive(Debug, Clone, Copy)]
struct Caps {
    /// Names of a file.
    names: usize,
    /// Files and other owners of a piece.
    owners: usize,
    /// Files of the report.
    files: usize,
    /// Ranges of a file.
    ranges: usize,
    /// Pieces of a query.
    pieces: usize,
    /// Things to do.
    actions: usize,
}

impl Caps {
    const SHORT: Self = Self { names: 4, owners: 8, files: 40, ranges: 4, pieces: 200, actions: 8 };
    const NONE: Self = Self {
        names: usize::MAX,
        owners: usize::MAX,
        files: usize::MAX,
        ranges: usize::MAX,
        pieces: usize::MAX,
        actions: usize::MAX,
    };
}

/// Prints an answer for a terminal.
pub(crate) fn text(
    out: &mut impl Write,
    explainer: &Explainer,
    answer: &Answer,
) -> std::io::Result<()> {
    text::write(out, &ImpactReport::new(explainer, answer), Caps::SHORT)
}

/// Prints an answer as it was asked for.
pub(crate) fn print(
    explainer: &Explainer,
    answer: &Answer,
    output: &Output,
) -> Result<(), Failure> {
    let mut out = anstream::stdout().lock();
    if output.json {
        writeln!(out, "{}", answer.to_json())?;
        return Ok(out.flush()?);
    }
    let caps = if output.all { Caps::NONE } else { Caps::SHORT };
    let report = ImpactReport::new(explainer, answer);
    match output.format.unwrap_or(Format::Text) {
        Format::Text => text::write(&mut out, &report, caps)?,
        Format::Json | Format::Jsonl => writeln!(out, "{}", report.to_json())?,
        Format::Markdown => markdown::write(&mut out, &report, caps)?,
        Format::Html => html::write(&mut out, &report, caps)?,
    }
    Ok(out.flush()?)
}
