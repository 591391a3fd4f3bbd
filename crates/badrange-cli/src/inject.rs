//! `badrange inject`: commands that make a file range fail, and what must come of it.

use std::{io::Write, path::PathBuf};

use badrange::{
    explain::Explainer,
    explain::inject::{InjectPlan, Injector, plan},
};
use clap::{Args, builder::PossibleValuesParser};
use serde_json::{json, value::RawValue};

use crate::{Failure, explain, report::plain};

/// Print the commands that make a range of a file fail on a test machine. Runs nothing.
///
/// What the injector cannot cut finely enough fails in whole: sectors, logical blocks or pages. With
/// --expect it prints what `explain` must then say: a test plan in one line.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct InjectArgs {
    /// The description of the stack.
    #[arg(long, value_name = "stack.toml")]
    pub(crate) stack: PathBuf,

    /// The file and the bytes of it: [FS:]PATH:OFFSET+LEN, as `locate` takes it.
    #[arg(long, value_name = "FILE")]
    pub(crate) file: String,

    /// The injector.
    #[arg(long, value_name = "INJECTOR", value_parser = names())]
    pub(crate) emit: String,

    /// The device that fails; the lowest ones when not given.
    #[arg(long, value_name = "DEVICE")]
    pub(crate) on: Option<String>,

    /// Print the JSON that `explain` must give for the bytes that fail (badrange.explain/1) instead
    /// of the commands.
    #[arg(long)]
    pub(crate) expect: bool,

    /// Print all of it as one JSON object (badrange.inject/1).
    #[arg(long, conflicts_with = "expect")]
    pub(crate) json: bool,
}

const HELP: &str = "\
Examples:
  badrange inject --stack stack.toml --file /ib/orders.ibd:1047552+2048 --emit dm-dust
  badrange inject --stack stack.toml --file /ib/orders.ibd:0+4096 --emit null_blk --on disk
  badrange inject --stack stack.toml --file /ib/orders.ibd:0+4096 --emit dm-error --expect > expected.json";

fn names() -> PossibleValuesParser {
    PossibleValuesParser::new(Injector::ALL.map(Injector::as_str))
}

pub(crate) fn run(args: &InjectArgs) -> Result<u8, Failure> {
    let explainer = explain::load(&args.stack)?;
    let located = explainer.locate_file(&args.file).map_err(Failure::usage)?;
    let injector = Injector::from_name(&args.emit)
        .ok_or_else(|| Failure::usage(format!("no injector {:?}", args.emit)))?;
    let plan = plan(&explainer, &located, injector, args.on.as_deref()).map_err(Failure::usage)?;
    let mut out = anstream::stdout().lock();
    if args.expect {
        writeln!(out, "{}", expected(&explainer, &plan)?)?;
    } else if args.json {
        writeln!(out, "{}", as_json(args, &explainer, &plan)?)?;
    } else {
        script(&mut out, args, &plan)?;
    }
    out.flush()?;
    Ok(0)
}

fn expected(explainer: &Explainer, plan: &InjectPlan) -> Result<String, Failure> {
    Ok(explain::ask(explainer, &plan.at)?.to_json())
}

fn as_json(args: &InjectArgs, explainer: &Explainer, plan: &InjectPlan) -> Result<String, Failure> {
    let expect = RawValue::from_string(expected(explainer, plan)?).map_err(Failure::data)?;
    let all = json!({
        "schema": "badrange.inject/1",
        "file": args.file,
        "emit": plan.emit,
        "at": plan.at,
        "commands": plan.commands,
        "undo": plan.undo,
        "expect": expect,
    });
    serde_json::to_string_pretty(&all).map_err(Failure::data)
}

fn script(out: &mut impl Write, args: &InjectArgs, plan: &InjectPlan) -> Result<(), Failure> {
    writeln!(out, "#!/usr/bin/env bash")?;
    writeln!(out, "# Makes {} fail by {}. For a test machine.", plain(&args.file), plan.emit)?;
    for at in &plan.at {
        writeln!(out, "# bad: {}", plain(at))?;
    }
    writeln!(out, "set -eu")?;
    for command in &plan.commands {
        writeln!(out, "{command}")?;
    }
    writeln!(out, "# to take it back:")?;
    for command in &plan.undo {
        for line in command.lines() {
            writeln!(out, "#   {line}")?;
        }
    }
    Ok(())
}
