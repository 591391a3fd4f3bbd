//! `badrange check-stack`.

use std::{
    fs::{self, File},
    io::{BufReader, Write},
    path::{Path, PathBuf},
};

use anstyle::{AnsiColor, Style};
use badrange::input::{
    CheckFinding, DirFiles, LsblkDevice, Severity, StackError, Topology, check, parse_lsblk,
};
use clap::Args;
use serde_json::{Value, json};

use crate::{EXIT_DATA, Failure, discover, report::plain};

/// Say what is odd about the description of a stack.
///
/// Bytes that two devices use, devices that nobody described, maps that are old or of another
/// device; with the output of `lsblk -J -b` beside it also sizes, places and numbers that do not
/// agree. Each finding says what it means and what to do.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct CheckStackArgs {
    /// The description of the stack.
    #[arg(long, value_name = "stack.toml", required_unless_present = "from")]
    pub(crate) stack: Option<PathBuf>,

    /// A directory of saved outputs instead.
    #[arg(long, value_name = "DIR", conflicts_with = "stack")]
    pub(crate) from: Option<PathBuf>,

    /// The host's block devices, to compare with: the output of lsblk -J -b.
    #[arg(long, value_name = "FILE", conflicts_with = "from")]
    pub(crate) lsblk: Option<PathBuf>,

    /// Print the stack.toml that a directory amounts to, and check nothing.
    // That --from is needed is not enough: clap drops it beside --stack, which excludes --from.
    #[arg(long, requires = "from", conflicts_with_all = ["stack", "json"])]
    pub(crate) print: bool,

    /// Print one JSON object (badrange.check/1).
    #[arg(long)]
    pub(crate) json: bool,
}

const HELP: &str = "\
Exit status: 0 nothing worse than a note, 1 a warning, 64 wrong usage, 65 the stack cannot be built.

Examples:
  badrange check-stack --stack stack.toml
  badrange check-stack --stack stack.toml --lsblk lsblk.json --json
  badrange check-stack --from saved/
  badrange check-stack --from saved/ --print > saved/stack.toml";

pub(crate) fn run(args: &CheckStackArgs) -> Result<u8, Failure> {
    let mut out = anstream::stdout().lock();
    if let (Some(dir), true) = (&args.from, args.print) {
        let found = discover::look(dir)?;
        write!(out, "{}", found.toml)?;
        return Ok(out.flush().map(|()| 0)?);
    }
    let (name, findings) = match (&args.from, &args.stack) {
        (Some(dir), _) => (dir.display().to_string(), of_directory(dir)?),
        (None, Some(stack)) => {
            (stack.display().to_string(), of_stack(stack, args.lsblk.as_deref())?)
        }
        (None, None) => return Err(Failure::usage("give --stack or --from")),
    };
    if args.json {
        let all: Vec<Value> = findings.iter().map(to_json).collect();
        writeln!(out, "{:#}", json!({ "schema": "badrange.check/1", "findings": all }))?;
    } else {
        show(&mut out, &name, &findings)?;
    }
    out.flush()?;
    Ok(match findings.iter().map(|finding| finding.severity).min() {
        Some(Severity::Error) => EXIT_DATA,
        Some(Severity::Warning) => 1,
        Some(Severity::Note) | None => 0,
    })
}

fn of_directory(dir: &Path) -> Result<Vec<CheckFinding>, Failure> {
    let found = discover::look(dir)?;
    discover::tell(&found)?;
    let mut listed = Vec::new();
    // The listing that the description was made from says the same; another may not.
    for (file, _) in &found.used {
        if let Ok(devices) = read_lsblk(&dir.join(file)) {
            listed = devices;
            break;
        }
    }
    let files = DirFiles::new(dir);
    Ok(checked(Topology::load(&dir.display().to_string(), &found.toml, &files), &listed))
}

fn of_stack(stack: &Path, lsblk: Option<&Path>) -> Result<Vec<CheckFinding>, Failure> {
    let name = stack.display().to_string();
    let text = fs::read_to_string(stack)
        .map_err(|err| Failure::data(format!("cannot read {name:?}: {err}")))?;
    let listed = lsblk.map(read_lsblk).transpose()?.unwrap_or_default();
    let dir = stack.parent().map_or_else(PathBuf::new, Path::to_owned);
    Ok(checked(Topology::load(&name, &text, &DirFiles::new(dir)), &listed))
}

fn checked(loaded: Result<Topology, StackError>, listed: &[LsblkDevice]) -> Vec<CheckFinding> {
    match loaded {
        Ok(topology) => check(&topology, listed),
        Err(err) => vec![CheckFinding::of_error(&err)],
    }
}

fn read_lsblk(path: &Path) -> Result<Vec<LsblkDevice>, Failure> {
    let name = path.display();
    let file = File::open(path).map_err(|err| Failure::data(format!("{name}: {err}")))?;
    parse_lsblk(BufReader::new(file)).map_err(|err| Failure::data(format!("{name}: {err}")))
}

fn place(finding: &CheckFinding) -> Option<String> {
    let file = finding.file.as_ref()?;
    Some(finding.line.map_or_else(|| file.clone(), |line| format!("{file}:{line}")))
}

fn to_json(finding: &CheckFinding) -> Value {
    let mut value = json!({
        "severity": finding.severity.to_string(),
        "code": finding.code,
        "message": finding.message,
        "meaning": finding.meaning,
    });
    if let (Some(object), Some(file)) = (value.as_object_mut(), &finding.file) {
        object.insert("file".to_owned(), json!(file));
        object.extend(finding.line.map(|line| ("line".to_owned(), json!(line))));
    }
    value
}

fn show(out: &mut impl Write, name: &str, findings: &[CheckFinding]) -> Result<(), Failure> {
    for finding in findings {
        let color = match finding.severity {
            Severity::Error => AnsiColor::Red.on_default().bold(),
            Severity::Warning => AnsiColor::Yellow.on_default().bold(),
            Severity::Note => Style::new().bold(),
        };
        let place = place(finding).map_or_else(String::new, |place| format!("{place}: "));
        let code = finding.code;
        let message = plain(&format!("{place}{}", finding.message));
        writeln!(out, "{color}{}{color:#} [{code}]: {message}", finding.severity)?;
        writeln!(out, "  {}", finding.meaning)?;
    }
    match findings.len() {
        0 => writeln!(out, "{name}: nothing odd")?,
        1 => writeln!(out, "{name}: 1 finding")?,
        many => writeln!(out, "{name}: {many} findings")?,
    }
    Ok(())
}
