//! `badrange plan`.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use anstyle::Style;
use badrange::{
    explain::advice::{Action, Command},
    explain::plan::{Plan, PlannedFile, Salvage, Span, Subject, Unit},
};
use clap::Args;

use crate::{Failure, explain, report::wrap};

/// Columns of the text, at most.
const WIDTH: usize = 100;

/// Print how to mend what bad ranges hit. Nothing is ever executed.
///
/// For each file: the pages to rewrite, the good bytes around each hole and where they go back to,
/// what has to come from a backup, and every step with its command, risk and reason. For
/// everything else: what to look at, and what can be done.
#[derive(Debug, Args)]
#[command(after_help = HELP, after_long_help = LONG_HELP)]
pub(crate) struct PlanArgs {
    /// The description of the stack.
    #[arg(long, value_name = "stack.toml", required_unless_present = "from")]
    stack: Option<PathBuf>,

    /// A directory of saved outputs instead (lsblk -J -b, dmsetup table, ...).
    #[arg(long, value_name = "DIR", conflicts_with = "stack")]
    from: Option<PathBuf>,

    /// What is bad: <device>:<start>+<len>, a comma-separated list of them, or several --at.
    #[arg(long, value_name = "LOCATION", required_unless_present = "log", conflicts_with = "log")]
    at: Vec<String>,

    #[command(flatten)]
    log: crate::log::LogArgs,

    /// Print one JSON object (badrange.plan/1).
    #[arg(long, conflicts_with = "script")]
    json: bool,

    /// Print a bash script in which every line is a comment.
    #[arg(long)]
    script: bool,
}

const HELP: &str = "\
Examples:
  badrange plan --stack stack.toml --at disk:71870+4
  badrange plan --stack stack.toml --at disk:71870+4 --script > mend.sh
  dmesg | badrange plan --stack stack.toml --log -";

const LONG_HELP: &str = "\
Variables stand for what a description does not say: device nodes, mount points, a good copy to
restore from, a directory to work in. The plan begins with a list of them.

Commands are written for bash and the GNU tools. Commands that would lose more than the bytes they
name are marked \"destroys\".

With --log the ranges are those that `badrange explain --log` asks about. What the text names and the
stack has no device for is said on standard error, and makes the status 3.

Exit status:
  0   a plan was printed, also when nothing has to be done
  3   a plan was printed, and the text names something that it leaves out
  64  wrong usage
  65  bad input: file, line and reason on standard error

Examples:
  badrange plan --stack stack.toml --at disk:71870+4
  badrange plan --stack stack.toml --at pfn:0x1850602 --json
  badrange plan --stack stack.toml --at disk:71870+4 --script > mend.sh
  badrange plan --from saved/ --log dmesg.txt";

pub(crate) fn run(args: &PlanArgs) -> Result<u8, Failure> {
    let explainer = explain::load_or_discover(args.stack.as_deref(), args.from.as_deref())?;
    let (answer, status) = explain::ask_or_read(&explainer, &args.at, &args.log)?;
    let plan = Plan::new(&explainer, &answer);
    let mut out = anstream::stdout().lock();
    if args.json {
        writeln!(out, "{}", plan.to_json())?;
    } else if args.script {
        write!(out, "{}", plan.to_script())?;
    } else {
        text(&mut out, &plan)?;
    }
    out.flush()?;
    Ok(status)
}

fn text(out: &mut impl Write, plan: &Plan) -> io::Result<()> {
    let bold = Style::new().bold();
    for asked in &plan.asked {
        let at = Command::new(&*asked.at);
        writeln!(out, "{bold}plan for {at}{bold:#}: {} bytes", asked.len)?;
    }
    writeln!(out, "Nothing here was or is executed: read it, check it, then type it yourself.")?;
    for warning in &plan.warnings {
        paragraph(out, "WARNING: ", warning)?;
    }
    if !plan.settings.is_empty() {
        writeln!(out, "\n{bold}set first{bold:#}")?;
    }
    for setting in &plan.settings {
        let guess = setting.guess.as_deref().map(|guess| Command::new(guess).to_string());
        writeln!(out, "{}={}", setting.variable.as_str(), guess.unwrap_or_default())?;
        paragraph(out, "  ", &setting.meaning)?;
    }
    for device in &plan.devices {
        writeln!(out, "\n{bold}device {}{bold:#}", Command::new(&*device.device))?;
        paragraph(out, "  bad: ", &spans(&device.bad))?;
        actions(out, &device.actions)?;
    }
    plan.subjects.iter().try_for_each(|subject| one(out, subject))
}

fn one(out: &mut impl Write, subject: &Subject) -> io::Result<()> {
    let bold = Style::new().bold();
    writeln!(out)?;
    for line in wrap(&subject.title(), WIDTH) {
        writeln!(out, "{bold}{line}{bold:#}")?;
    }
    let lost = match subject.lost {
        Some(true) => "lost",
        Some(false) => "nothing is lost",
        None => "whether something is lost cannot be known",
    };
    paragraph(out, "  ", &format!("{lost}; on the device: {}", spans(&subject.bad)))?;
    if let Some(redundancy) = &subject.redundancy {
        let from: Vec<_> = redundancy.from.iter().map(|m| Command::new(&**m).to_string()).collect();
        paragraph(out, "  can be rebuilt from: ", &from.join(", "))?;
    }
    actions(out, &subject.before)?;
    subject.units.iter().try_for_each(|u| unit(out, u))?;
    if !subject.units.is_empty() && !subject.after.is_empty() {
        writeln!(out, "\n  {bold}after that{bold:#}")?;
    }
    actions(out, &subject.after)
}

fn unit(out: &mut impl Write, unit: &Unit) -> io::Result<()> {
    let bold = Style::new().bold();
    let end = unit.start.saturating_add(unit.len);
    writeln!(out, "\n  {bold}bytes {}..{end}{bold:#}", unit.start)?;
    paragraph(out, "  bad:           ", &spans(&unit.bad))?;
    paragraph(out, "  from a backup: ", &unit.lost())?;
    if !unit.salvage.is_empty() {
        let all: Vec<_> = unit.salvage.iter().map(salvaged).collect();
        paragraph(out, "  salvaged:      ", &all.join(", "))?;
    }
    if !unit.shared_with.is_empty() {
        let all: Vec<_> = unit.shared_with.iter().map(name).collect();
        paragraph(out, "  shared with:   ", &all.join(", "))?;
    }
    actions(out, &unit.steps)
}

fn salvaged(part: &Salvage) -> String {
    let end = part.start.saturating_add(part.len);
    match &part.from {
        Some(from) => {
            let device = Command::new(&*from.device);
            format!("{}..{end} from {device} byte {}", part.start, from.start)
        }
        None => format!("{}..{end} through the file", part.start),
    }
}

fn name(file: &PlannedFile) -> String {
    match (file.paths.first(), file.ino) {
        (Some(path), _) => Command::new(&**path).to_string(),
        (None, Some(ino)) => format!("inode {ino}"),
        (None, None) => "a file without a name".to_owned(),
    }
}

/// Ranges that are listed, at most.
const SHOWN: usize = 8;

fn spans(all: &[Span]) -> String {
    let shown = all.iter().take(SHOWN).map(|span| format!("{}..{}", span.start, span.end()));
    let more = all.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    format!("bytes {}{more}", shown.collect::<Vec<_>>().join(", "))
}

/// Each action in words, and its command at the very beginning of the line, to be copied.
fn actions(out: &mut impl Write, all: &[Action]) -> io::Result<()> {
    for action in all {
        paragraph(out, &format!("  - {:<12} ", action.kind), &action.why)?;
        paragraph(out, "    risk: ", &format!("{}: {}", action.risk.level, action.risk.what))?;
        for line in action.command.iter().flat_map(|command| command.lines(WIDTH)) {
            writeln!(out, "{line}")?;
        }
    }
    Ok(())
}

/// Words after `begin`, the following lines below the first word.
fn paragraph(out: &mut impl Write, begin: &str, words: &str) -> io::Result<()> {
    let indent = begin.chars().count();
    for (number, line) in wrap(words, WIDTH.saturating_sub(indent)).iter().enumerate() {
        let begin = if number == 0 { begin } else { "" };
        writeln!(out, "{begin:indent$}{line}")?;
    }
    Ok(())
}
