//! `badrange sim init`: a scenario to start from.

use std::{
    fs::OpenOptions,
    io::{self, Write},
    path::PathBuf,
};

use clap::Args;

use crate::Failure;

const STARTER: &str = include_str!("../example/scenario.json");

/// Write a small scenario that runs, to change.
///
/// JSON has no comments: "desc" and "note" say what it is. Without FILE it is printed.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  badrange sim init scenario.json\n  badrange sim run scenario.json"
)]
pub(crate) struct InitArgs {
    /// The file to write; it must not exist yet.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

pub(crate) fn run(args: &InitArgs) -> Result<u8, Failure> {
    let Some(path) = &args.file else {
        io::stdout().lock().write_all(STARTER.as_bytes())?;
        return Ok(0);
    };
    let shown = path.display();
    let cannot = |err: io::Error| Failure::data(format!("cannot write {shown}: {err}"));
    let mut file = OpenOptions::new().write(true).create_new(true).open(path).map_err(cannot)?;
    file.write_all(STARTER.as_bytes()).map_err(cannot)?;
    writeln!(anstream::stdout().lock(), "{shown} written. Try:\n  badrange sim run {shown}")?;
    Ok(0)
}
