use std::{
    io::{self, Write},
    path::PathBuf,
};

use badrange::{
    core::Sector,
    pmem::{BadRecord, BadblocksTable, Checked, TABLE_RECORDS},
};
use clap::Args;
use serde_json::{Value, json};

use super::{kernel, kernels, records};
use crate::Failure;

/// Put ranges in and out of a kernel's table of bad sectors, and print what it holds then.
///
/// The table has 512 records of at most 512 sectors; what merges, splits and is refused differs
/// between kernels. The exit status is 1 when an operation was refused.
#[derive(Debug, Args)]
#[command(after_help = HELP, after_long_help = LONG_HELP)]
pub(crate) struct ApplyArgs {
    /// Whose table.
    #[arg(long, value_name = "KERNEL", default_value = "linux-7.2", value_parser = kernels())]
    profile: String,

    /// Begin with this list: lines '<sector> <sectors>' as sysfs prints them; `-` for standard input.
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,

    /// What to do, in order: set:, unack: (set, not acknowledged), clear: or check:, then
    /// <sector>+<sectors>.
    #[arg(value_name = "OP")]
    operations: Vec<String>,

    /// Print one JSON object (badrange.badblocks/1).
    #[arg(long)]
    json: bool,
}

const HELP: &str = "\
Examples:
  badrange badblocks apply set:32+1 set:34+1 set:36+1 set:32+12 --profile linux-6.1
  badrange badblocks apply --from /sys/block/pmem0/badblocks clear:600+8 check:592+16";

const LONG_HELP: &str = "\
Kernels:
  linux-6.1   up to 6.6: merges with one neighbour on each side
  linux-6.12  6.7 to 6.14: a full table still merges
  linux-7.2   from 6.15 on: a full table refuses everything

Exit status:
  0   every operation succeeded
  1   an operation was refused
  64  wrong usage
  65  bad input: file, line and reason on standard error

Examples:
  badrange badblocks apply set:32+1 set:34+1 set:36+1 set:32+12 --profile linux-6.1
  badrange badblocks apply --from /sys/block/pmem0/badblocks clear:600+8 check:592+16
  badrange badblocks apply set:20+8 unack:0+16 --json";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    Set,
    Unack,
    Clear,
    Check,
}

const VERBS: [(&str, Verb); 4] =
    [("set", Verb::Set), ("unack", Verb::Unack), ("clear", Verb::Clear), ("check", Verb::Check)];

/// One operation and what it came to.
struct Done {
    verb: Verb,
    start: u64,
    sectors: u64,
    /// `None` for a check.
    done: Option<bool>,
    checked: Checked,
}

pub(super) fn run(args: &ApplyArgs) -> Result<u8, Failure> {
    let mut table = BadblocksTable::new(kernel(&args.profile)?);
    for (line, record) in
        (1_u64..).zip(args.from.iter().map(|f| records(f)).collect::<Result<Vec<_>, _>>()?.concat())
    {
        if !table.set(record.start(), record.len(), true) {
            return Err(Failure::data(format!("record {line}: the table does not take it")));
        }
    }
    let operations: Vec<_> =
        args.operations.iter().map(|text| parse(text)).collect::<Result<_, _>>()?;
    let done: Vec<Done> = operations.into_iter().map(|op| act(&mut table, op)).collect();
    let mut out = anstream::stdout().lock();
    if args.json {
        writeln!(
            out,
            "{}",
            serde_json::to_string_pretty(&object(&table, &done)).unwrap_or_default()
        )?;
    } else {
        text(&mut out, &table, &done)?;
    }
    out.flush()?;
    Ok(u8::from(done.iter().any(|op| op.done == Some(false))))
}

fn parse(text: &str) -> Result<(Verb, u64, u64), Failure> {
    let parts = text.split_once(':').and_then(|(verb, range)| {
        let (start, len) = range.split_once('+').unwrap_or((range, "1"));
        let (_, verb) = VERBS.iter().find(|(name, _)| *name == verb)?;
        Some((*verb, start.parse().ok()?, len.parse().ok()?))
    });
    parts.ok_or_else(|| {
        Failure::usage(format!(
            "{text:?}: expected set:, unack:, clear: or check: and <sector>+<sectors>, as in set:32+8"
        ))
    })
}

fn act(table: &mut BadblocksTable, (verb, start, sectors): (Verb, u64, u64)) -> Done {
    let at = Sector::new(start);
    let checked = table.check(at, sectors);
    let done = match verb {
        Verb::Set => Some(table.set(at, sectors, true)),
        Verb::Unack => Some(table.set(at, sectors, false)),
        Verb::Clear => Some(table.clear(at, sectors)),
        Verb::Check => None,
    };
    Done { verb, start, sectors, done, checked }
}

impl Done {
    fn name(&self) -> &'static str {
        VERBS.iter().find(|(_, verb)| *verb == self.verb).map_or("", |(name, _)| name)
    }

    fn outcome(&self) -> String {
        match (self.done, self.checked) {
            (Some(true), _) => "done".to_owned(),
            (Some(false), _) => "refused".to_owned(),
            (None, Checked::Good) => "good".to_owned(),
            (None, Checked::Bad { first, all_acknowledged }) => {
                let all =
                    if all_acknowledged { "all acknowledged" } else { "not all acknowledged" };
                format!("bad, {all}; first record {first}")
            }
        }
    }
}

fn text(out: &mut impl Write, table: &BadblocksTable, done: &[Done]) -> io::Result<()> {
    for op in done {
        let asked = format!("{}:{}+{}", op.name(), op.start, op.sectors);
        writeln!(out, "{asked:<20} {}", op.outcome())?;
    }
    writeln!(out, "{}: {} of {TABLE_RECORDS} records", table.kernel(), table.len())?;
    table.records().try_for_each(|record| writeln!(out, "{record}"))
}

fn object(table: &BadblocksTable, done: &[Done]) -> Value {
    let record = |r: BadRecord| json!({"start": r.start().get(), "sectors": r.len(), "acknowledged": r.is_acknowledged()});
    let operation = |op: &Done| match op.done {
        Some(done) => {
            json!({"op": op.name(), "start": op.start, "sectors": op.sectors, "done": done})
        }
        None => json!({
            "op": op.name(), "start": op.start, "sectors": op.sectors,
            "code": op.checked.code(), "first": op.checked.first().map(record),
        }),
    };
    json!({
        "schema": "badrange.badblocks/1",
        "profile": table.kernel().as_str(),
        "operations": done.iter().map(operation).collect::<Vec<_>>(),
        "records": table.records().map(record).collect::<Vec<_>>(),
        "sysfs": table.show(),
    })
}
