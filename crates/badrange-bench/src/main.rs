//! `badrange-bench [PART]... [--quick]`: see the library of the same name.

use std::{path::PathBuf, process::ExitCode};

use badrange_bench::{Options, Page, engine, index, load};
use clap::Parser;

/// Measures badrange beside other crates and the machine's own limits.
#[derive(Debug, Parser)]
#[command(name = "badrange-bench")]
struct Cli {
    /// Parts to run; all when none is named.
    #[arg(value_parser = clap::builder::PossibleValuesParser::new(PARTS.map(|(name, _)| name)))]
    parts: Vec<String>,
    /// Small sizes and few rounds, for a look that everything runs.
    #[arg(long)]
    quick: bool,
    /// Rounds of each pair.
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
    /// Sizes to measure.
    #[arg(long, value_name = "N", value_delimiter = ',')]
    sizes: Vec<usize>,
    /// Build one contender and print its bytes per extent.
    #[arg(long, hide = true, value_name = "CONTENDER")]
    memory_of: Option<String>,
    /// Load one text and print its line of the table.
    #[arg(long, hide = true)]
    load: bool,
    /// Write the tables of performance.md and the plots in this directory.
    #[arg(long, value_name = "DIR")]
    docs: Option<PathBuf>,
}

/// One part: it prints as it goes, and leaves its section in the page.
type Part = fn(&Options, &mut Page) -> Result<(), String>;

const PARTS: [(&str, Part); 3] =
    [("index", index::run), ("load", load::run), ("engine", engine::run)];

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprint(&message);
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stderr, reason = "an error of a command")]
fn eprint(message: &str) {
    eprintln!("badrange-bench: {message}");
}

fn run(cli: &Cli) -> Result<(), String> {
    if let Some(name) = &cli.memory_of {
        let bytes = index::child(name, cli.sizes.first().copied().unwrap_or(0))?;
        badrange_bench::say(&bytes.to_string());
        return Ok(());
    }
    if cli.load {
        let line = load::child(cli.sizes.first().copied().unwrap_or(0))?;
        badrange_bench::say(&line);
        return Ok(());
    }
    let quick_sizes: &[usize] = &[10_000];
    let sizes: &[usize] = if cli.quick { quick_sizes } else { &[10_000, 1_000_000, 10_000_000] };
    let options = Options {
        quick: cli.quick,
        rounds: cli.rounds.unwrap_or(if cli.quick { 2 } else { 7 }),
        sizes: if cli.sizes.is_empty() { sizes.to_vec() } else { cli.sizes.clone() },
        docs: cli.docs.clone(),
    };
    let mut page = Page::new();
    for (name, part) in PARTS {
        if cli.parts.is_empty() || cli.parts.iter().any(|asked| asked == name) {
            part(&options, &mut page)?;
        }
    }
    match &options.docs {
        Some(dir) => page.write(dir),
        None => Ok(()),
    }
}
