//! `cargo xtask ci`: picks the steps, runs them in order, says what happened.

use core::time::Duration;
use std::env;
use std::io::{self, IsTerminal};
use std::time::Instant;

use clap::builder::PossibleValuesParser;

use crate::command::Budget;
use crate::failure::{Failure, Outcome};
use crate::steps::{self, Context, Step};
use crate::toolchain;
use crate::workspace::Workspace;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// List the steps and stop.
    #[arg(long)]
    list: bool,
    /// Run this step only; may be given several times.
    #[arg(long, value_name = "STEP", value_parser = step_names(), conflicts_with = "from")]
    only: Vec<String>,
    /// Start at this step.
    #[arg(long, value_name = "STEP", value_parser = step_names())]
    from: Option<String>,
    /// Go on after a red step.
    #[arg(long)]
    keep_going: bool,
    /// Add the slow steps.
    #[arg(long)]
    full: bool,
}

fn step_names() -> PossibleValuesParser {
    PossibleValuesParser::new(steps::ALL.iter().map(|step| step.name))
}

impl Options {
    /// The steps asked for, in their own order.
    fn pick(&self) -> Vec<&'static Step> {
        let not_before = |step: &&Step| self.from.as_ref().is_some_and(|from| from != step.name);
        steps::ALL
            .iter()
            .skip_while(not_before)
            .filter(|step| match self.only.as_slice() {
                [] => self.full || !step.full_only || self.from.as_deref() == Some(step.name),
                only => only.iter().any(|name| name == step.name),
            })
            .collect()
    }
}

/// Runs the steps asked for.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    if options.list {
        for step in steps::ALL {
            let when = if step.full_only { "  (--full)" } else { "" };
            println!("{:<12} {}{when}", step.name, step.about);
        }
        return Ok(());
    }
    let context = Context { workspace: Workspace::load()?, environment: environment() };
    let mut ended: Vec<Ended> = Vec::new();
    for step in options.pick() {
        let end = run_step(step, &context);
        let red = end.result.is_err();
        ended.push(end);
        if red && !options.keep_going {
            break;
        }
    }
    summarise(&ended)
}

struct Ended {
    name: &'static str,
    took: Duration,
    result: Result<Outcome, Failure>,
}

fn run_step(step: &'static Step, context: &Context) -> Ended {
    println!("\n==> {}: {}", step.name, step.about);
    let start = Instant::now();
    let budget =
        Budget::new(&context.workspace.root, step.limit).with_environment(&context.environment);
    let result = (step.run)(context, &budget);
    let took = start.elapsed();
    match &result {
        Ok(outcome) => println!("<== {} {outcome} ({:.1} s)", step.name, took.as_secs_f64()),
        Err(failure) => {
            println!("<== {} RED ({:.1} s): {failure}", step.name, took.as_secs_f64());
            println!("  repeat the step with: cargo xtask ci --only {}", step.name);
        }
    }
    Ended { name: step.name, took, result }
}

fn summarise(ended: &[Ended]) -> Result<(), Failure> {
    println!("\n==> summary");
    for end in ended {
        let word = match &end.result {
            Ok(outcome) => outcome.to_string(),
            Err(_) => "RED".to_owned(),
        };
        println!("{:>8.1} s  {:<12} {word}", end.took.as_secs_f64(), end.name);
    }
    let red: Vec<&str> =
        ended.iter().filter(|end| end.result.is_err()).map(|end| end.name).collect();
    if red.is_empty() { Ok(()) } else { Err(Failure::new(format!("red: {}", red.join(", ")))) }
}

/// What every command gets: no colours and no progress bars into a file, no incremental artifacts
/// that an unattended run would never use again. What the caller has set stays.
fn environment() -> Vec<(String, String)> {
    let terminal = io::stdout().is_terminal();
    let unset = |key: &str| env::var_os(key).is_none();
    let wanted = [
        ("CARGO_TERM_COLOR", "never", !terminal && unset("CARGO_TERM_COLOR")),
        ("CARGO_TERM_PROGRESS_WHEN", "never", !terminal && unset("CARGO_TERM_PROGRESS_WHEN")),
        // Rustfmt asks nothing but this.
        ("TERM", "dumb", !terminal),
        ("CARGO_INCREMENTAL", "0", toolchain::in_ci() && unset("CARGO_INCREMENTAL")),
    ];
    wanted
        .into_iter()
        .filter(|&(_, _, wanted)| wanted)
        .map(|(key, value, _)| (key.to_owned(), value.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> Options {
        Options { list: false, only: Vec::new(), from: None, keep_going: false, full: false }
    }

    fn names(options: &Options) -> Vec<&'static str> {
        options.pick().iter().map(|step| step.name).collect()
    }

    #[test]
    fn the_slow_steps_come_only_when_asked_for() {
        let usual = names(&options());
        assert_eq!(usual.first(), Some(&"fmt"));
        assert!(!usual.contains(&"miri"));
        assert!(names(&Options { full: true, ..options() }).contains(&"miri"));
        assert_eq!(names(&Options { only: vec!["miri".to_owned()], ..options() }), ["miri"]);
    }

    #[test]
    fn from_drops_what_comes_before() {
        let from = names(&Options { from: Some("doc".to_owned()), ..options() });
        assert_eq!(from.first(), Some(&"doc"));
        assert!(!from.contains(&"test"));
        assert!(from.contains(&"package"));
    }

    #[test]
    fn only_keeps_the_order_of_the_steps() {
        let only = vec!["doc".to_owned(), "fmt".to_owned()];
        assert_eq!(names(&Options { only, ..options() }), ["fmt", "doc"]);
    }

    #[test]
    fn names_are_unique() {
        let mut all: Vec<&str> = steps::ALL.iter().map(|step| step.name).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), steps::ALL.len());
    }
}
