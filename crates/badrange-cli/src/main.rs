//! The `badrange` command: bad ranges and saved text in, files out. No root, no network.

mod badblocks;
mod capture;
mod check_stack;
mod cli;
mod diagram;
mod discover;
mod example;
mod explain;
mod follow;
mod init;
mod inject;
mod locate;
mod log;
mod pages;
mod plan;
mod progress;
mod ranges;
mod report;
mod sim;
mod sweep;

use std::{io::Write, process::ExitCode};

use clap::Parser;

use crate::cli::{Cli, Command};

/// Wrong usage: unknown option, bad location.
const EXIT_USAGE: u8 = 64;
/// Bad input data: a file that is missing, unreadable or contradicts itself.
const EXIT_DATA: u8 = 65;

/// What ended a command early: a message for standard error, and the exit status.
#[derive(Debug)]
pub(crate) struct Failure {
    status: u8,
    message: String,
}

impl Failure {
    pub(crate) fn usage(message: impl ToString) -> Self {
        Self { status: EXIT_USAGE, message: message.to_string() }
    }

    pub(crate) fn data(message: impl ToString) -> Self {
        Self { status: EXIT_DATA, message: message.to_string() }
    }

    pub(crate) fn message(&self) -> &str {
        &self.message
    }
}

/// Output that could not be written: into a closed pipe it was not wanted any more.
impl From<std::io::Error> for Failure {
    fn from(err: std::io::Error) -> Self {
        if err.kind() == std::io::ErrorKind::BrokenPipe {
            return Self { status: 0, message: String::new() };
        }
        Self::data(format!("cannot write: {err}"))
    }
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(err) => {
            // Help and version go to standard output and are no failure.
            let status = if err.use_stderr() { EXIT_USAGE } else { 0 };
            let _ = err.print();
            return ExitCode::from(status);
        }
    };
    cli.color.apply();
    match run(cli.command) {
        Ok(status) => ExitCode::from(status),
        Err(failure) => {
            if !failure.message.is_empty() {
                let lines: Vec<_> = failure.message.lines().map(report::plain).collect();
                let _ = writeln!(anstream::stderr(), "badrange: {}", lines.join("\n"));
            }
            ExitCode::from(failure.status)
        }
    }
}

fn run(command: Option<Command>) -> Result<u8, Failure> {
    match command {
        None => example::show(),
        Some(Command::Explain(args)) => explain::run(&args),
        Some(Command::Locate(args)) => locate::run(&args),
        Some(Command::Inject(args)) => inject::run(&args),
        Some(Command::Ranges(args)) => ranges::run(&args),
        Some(Command::Plan(args)) => plan::run(&args),
        Some(Command::CheckStack(args)) => check_stack::run(&args),
        Some(Command::Capture(args)) => capture::run(&args),
        Some(Command::Example(args)) => example::write(&args),
        Some(Command::Badblocks(command)) => badblocks::run(&command),
        Some(Command::Sim(command)) => sim::run(&command),
        Some(Command::Completions(args)) => pages::completions(&args),
        Some(Command::Man(args)) => pages::man(&args),
    }
}
