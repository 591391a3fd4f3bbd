//! `badrange explain`.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use badrange::{
    explain::{Answer, Explainer},
    input::{DirFiles, Files, Topology},
};

use crate::{
    Failure,
    cli::ExplainArgs,
    discover, follow, log,
    progress::Shown,
    report::{self, Format},
};

pub(crate) fn run(args: &ExplainArgs) -> Result<u8, Failure> {
    match (args.follow, args.output.format) {
        (true, None | Some(Format::Jsonl)) if !args.output.json => return follow::run(args),
        (true, _) => return Err(Failure::usage("--follow prints JSON lines: --format jsonl")),
        (false, Some(Format::Jsonl)) => {
            return Err(Failure::usage("--format jsonl is for a text that grows: add --follow"));
        }
        (false, _) => {}
    }
    let explainer = load_or_discover(args.stack.as_deref(), args.from.as_deref())?;
    let (answer, left_out) = ask_or_read(&explainer, &args.at, &args.log)?;
    report::print(&explainer, &answer, &args.output)?;
    Ok(if answer.exit_code() == 0 { left_out } else { answer.exit_code() })
}

/// The explainer of a described stack, or of one that saved outputs describe.
pub(crate) fn load_or_discover(
    stack: Option<&Path>,
    from: Option<&Path>,
) -> Result<Explainer, Failure> {
    match (from, stack) {
        (Some(dir), _) => discover::load(dir),
        (None, Some(stack)) => load(stack),
        (None, None) => Err(Failure::usage("give --stack or --from")),
    }
}

/// What is hit by the locations, or by what a text names, and the exit status for what it names
/// and nothing is known about.
pub(crate) fn ask_or_read(
    explainer: &Explainer,
    at: &[String],
    text: &log::LogArgs,
) -> Result<(Answer, u8), Failure> {
    if text.log.is_none() {
        return Ok((ask(explainer, at)?, 0));
    }
    let located = log::located(explainer, text)?;
    let left_out = if located.unplaced.is_empty() { 0 } else { log::EXIT_UNKNOWN };
    Ok((explainer.explain(&located.queries), left_out))
}

/// The explainer of a `stack.toml` and the files beside it.
pub(crate) fn load(stack: &Path) -> Result<Explainer, Failure> {
    let name = stack.display().to_string();
    let text = fs::read_to_string(stack)
        .map_err(|err| Failure::data(format!("cannot read {name:?}: {err}")))?;
    let dir = stack.parent().map_or_else(PathBuf::new, Path::to_owned);
    build(&name, &text, &Shown::new(DirFiles::new(dir)))
}

/// The explainer of a described stack; what is not modelled is said on standard error.
pub(crate) fn build(name: &str, text: &str, files: &dyn Files) -> Result<Explainer, Failure> {
    let topology = Topology::load(name, text, files).map_err(Failure::data)?;
    for note in topology.notes() {
        writeln!(anstream::stderr(), "note: {note}")?;
    }
    Explainer::new(topology).map_err(Failure::data)
}

pub(crate) fn ask(explainer: &Explainer, at: &[String]) -> Result<Answer, Failure> {
    let mut queries = Vec::new();
    for list in at {
        queries.extend(explainer.locate(list).map_err(Failure::usage)?);
    }
    Ok(explainer.explain(&queries))
}
