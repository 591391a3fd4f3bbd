//! Checks and chores of the workspace: `cargo xtask ci`, `cargo xtask tidy`, `cargo xtask api`.
//!
//! Continuous integration runs `cargo xtask ci` and nothing else, so whatever it finds can be
//! repeated at a desk. Crates are discovered from `cargo metadata`; the only list of crates kept
//! here is the table of who may depend on whom (`tidy/directions.rs`).

#![expect(clippy::print_stdout, reason = "talking to the terminal is what this program is for")]

mod api;
mod bench;
mod browser;
mod ci;
mod command;
mod failure;
mod features;
mod fuzz;
mod loom;
mod mutants;
mod package;
mod steps;
mod tidy;
mod toolchain;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::command::Budget;
use crate::failure::{Failure, Outcome};
use crate::workspace::Workspace;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Checks and chores of the badrange workspace")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Run every check, in the order of continuous integration.
    Ci(ci::Options),
    /// Check the rules of the workspace that no compiler knows.
    Tidy,
    /// Run the models of the engine and of pmem: every interleaving of a few threads.
    Loom {
        /// Instead, build a copy with one mistake at a time and require that its models fail.
        #[arg(long)]
        mutants: bool,
    },
    /// Build and run the fuzz targets; keep the inputs that reach something new.
    Fuzz(fuzz::Options),
    /// Change the code in small ways, one at a time, and see whether a test notices.
    Mutants(mutants::Options),
    /// Measure badrange beside other crates and the machine's own limits.
    BenchCompare(bench::Options),
    /// Compare the public API of every published library with `docs/api/*.txt`.
    Api {
        /// Rewrite the golden lists instead of comparing.
        #[arg(long)]
        bless: bool,
    },
}

fn main() -> ExitCode {
    match run(Cli::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            println!("\nxtask: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<(), Failure> {
    match task {
        Task::Ci(options) => ci::run(&options),
        Task::Tidy => tidy::check(&Workspace::load()?),
        Task::Loom { mutants } => {
            let check = if mutants { loom::mutants } else { loom::models };
            say("loom", check)
        }
        Task::Fuzz(options) => {
            say("fuzz", |workspace, budget| fuzz::run(workspace, budget, &options))
        }
        Task::Mutants(options) => {
            say("mutants", |workspace, budget| mutants::run(workspace, budget, &options))
        }
        Task::BenchCompare(options) => {
            say("bench-compare", |workspace, budget| bench::compare(&options, workspace, budget))
        }
        Task::Api { bless } => {
            let mode = if bless { api::Mode::Bless } else { api::Mode::Compare };
            say("api", |workspace, budget| api::check(workspace, budget, mode))
        }
    }
}

/// Runs one check outside of the list, and says how it ended.
fn say(
    name: &str,
    check: impl FnOnce(&Workspace, &Budget) -> Result<Outcome, Failure>,
) -> Result<(), Failure> {
    let workspace = Workspace::load()?;
    let budget = Budget::new(&workspace.root, steps::SLOW);
    let outcome = check(&workspace, &budget)?;
    println!("{name}: {outcome}");
    Ok(())
}
