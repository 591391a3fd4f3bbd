//! `cargo xtask mutants`: changes the code in small ways, one at a time, by cargo-mutants, and
//! compares what no test noticed with `docs/mutants.md`.
//!
//! Hand-made mistakes in the engine are another thing: `cargo xtask loom --mutants`.

use std::collections::BTreeSet;
use std::fs;

use crate::command::{Budget, Cmd};
use crate::failure::{Doing, Failure, Outcome};
use crate::workspace::Workspace;

/// The page where every survivor has a row with the reason why it is none.
const PAGE: &str = "docs/mutants.md";

/// Crates whose arithmetic is worth it.
const PACKAGES: [&str; 4] = ["badrange-core", "badrange-block", "badrange-fs", "badrange-pmem"];

/// What the unit tests do not compile or do not run: models, and the locks that models put in place
/// of the real ones. `cargo xtask loom --mutants` is for these.
const MODELS: [&str; 3] = ["**/tests/loom.rs", "**/tests/shuttle.rs", "**/sync.rs"];

/// How `cargo xtask mutants` is asked.
#[derive(clap::Args, Default)]
pub(crate) struct Options {
    /// This crate only; may be given several times. Without it: core, block, fs and pmem.
    #[arg(short, long, value_name = "CRATE")]
    package: Vec<String>,
    /// The part `k` of `n` equal parts, counted from 0: `0/4`.
    #[arg(long, value_name = "K/N")]
    shard: Option<String>,
}

/// Tests every change; one that no test notices and the page does not explain is a failure.
pub(crate) fn run(
    workspace: &Workspace,
    budget: &Budget,
    options: &Options,
) -> Result<Outcome, Failure> {
    if Cmd::parse("cargo mutants --version").output(budget).is_none() {
        let why = "no cargo-mutants: `cargo install --locked cargo-mutants`";
        return Ok(Outcome::Skipped(why.to_owned()));
    }
    let out = workspace.scratch("mutants");
    let own: Vec<String> = PACKAGES.iter().map(|name| (*name).to_owned()).collect();
    let packages = if options.package.is_empty() { &own } else { &options.package };
    let mut command = Cmd::parse("cargo mutants --no-shuffle --minimum-test-timeout 60 --output")
        .arg(out.to_string_lossy());
    for models in MODELS {
        command = command.args(["--exclude", models]);
    }
    for package in packages {
        command = command.args(["-p", package]);
    }
    if let Some(shard) = &options.shard {
        command = command.args(["--shard", shard]);
    }
    // The unit tests: what is proved by documentation alone is proved by accident.
    let (_, printed) = command.args(["--", "--lib"]).transcript(budget)?;
    let last = printed.lines().last().unwrap_or_default();
    println!("  {last}");
    let survivors = survivors(&fs::read_to_string(out.join("mutants.out/missed.txt")).doing(last)?);
    let page =
        fs::read_to_string(workspace.root.join(PAGE)).doing("cannot read docs/mutants.md")?;
    let explained = explained(&page);
    let new: Vec<&String> = survivors.difference(&explained).collect();
    new.iter().for_each(|name| println!("  SURVIVED {name}"));
    if new.is_empty() {
        return Ok(Outcome::Done);
    }
    let count = new.len();
    Err(Failure::new(format!("{count} changes that no test notices and {PAGE} does not explain")))
}

/// What no test noticed, without the place in the file, which every edit moves.
fn survivors(missed: &str) -> BTreeSet<String> {
    missed.lines().filter_map(without_place).collect()
}

/// `a.rs:12:5: replace x` as `a.rs: replace x`.
fn without_place(line: &str) -> Option<String> {
    let (place, what) = line.split_once(": ")?;
    let file = place.split(':').next()?;
    Some(format!("{file}: {what}"))
}

/// The first column of the page's tables.
fn explained(page: &str) -> BTreeSet<String> {
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` |"));
    rows.map(|(name, _)| name.replace("\\|", "|")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_survivor_is_known_by_its_file_and_change() {
        let missed = "crates/a/src/x.rs:12:5: replace f -> bool with true\n\
            crates/a/src/x.rs:99:1: replace | with ^ in g\n";
        let page = "| change | why |\n| --- | --- |\n\
            | `crates/a/src/x.rs: replace \\| with ^ in g` | equal bits |\n";
        let (found, known) = (survivors(missed), explained(page));
        let new: Vec<&String> = found.difference(&known).collect();
        assert_eq!(new, ["crates/a/src/x.rs: replace f -> bool with true"]);
        assert_eq!(known.len(), 1);
    }
}
