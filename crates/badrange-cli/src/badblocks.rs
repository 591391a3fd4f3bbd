//! `badrange badblocks`: tables of bad sectors, and what reads and writes come to over them.

mod access;
mod apply;
mod list;

use std::{
    fs,
    io::{self, Read},
    path::Path,
};

use badrange::{
    core::{Extent, Sector},
    explain::Explainer,
    input::{Layer, parse_badblocks},
    pmem::{Kernel, Namespace},
};
use clap::{Subcommand, builder::PossibleValuesParser};

use crate::{Failure, explain};

/// Work with tables of bad sectors: what a kernel makes of them, whose they are, what a read or a
/// write over them comes to.
#[derive(Debug, Subcommand)]
pub(crate) enum BadblocksCommand {
    Apply(apply::ApplyArgs),
    List(list::ListArgs),
    Access(access::AccessArgs),
}

pub(crate) fn run(command: &BadblocksCommand) -> Result<u8, Failure> {
    match command {
        BadblocksCommand::Apply(args) => apply::run(args),
        BadblocksCommand::List(args) => list::run(args),
        BadblocksCommand::Access(args) => access::run(args),
    }
}

/// The kernels by name, for an option.
fn kernels() -> PossibleValuesParser {
    PossibleValuesParser::new(Kernel::ALL.map(Kernel::as_str))
}

fn kernel(name: &str) -> Result<Kernel, Failure> {
    Kernel::from_name(name).ok_or_else(|| Failure::usage(format!("no kernel {name:?}")))
}

/// A persistent-memory device of a described stack.
struct Pmem {
    namespace: Namespace,
    /// What the description says is bad, as sectors of the device.
    bad: Vec<Extent<Sector>>,
}

/// The device of this name, or the only one.
fn pmem(stack: &Path, name: Option<&str>) -> Result<(Explainer, String, Pmem), Failure> {
    let explainer = explain::load(stack)?;
    let devices = explainer.topology().devices().iter().filter_map(|device| {
        let Layer::Pmem { namespace, badblocks, .. } = &device.layer else { return None };
        let ranges = badblocks.iter().flat_map(|list| &list.ranges);
        let bad = ranges.map(|range| range.extent.containing_sectors()).collect();
        Some((device.name.clone(), Pmem { namespace: *namespace, bad }))
    });
    let mut found: Vec<_> = devices.filter(|(n, _)| name.is_none_or(|name| name == n)).collect();
    let one = found.pop().filter(|_| found.is_empty());
    let (name, pmem) = one.ok_or_else(|| {
        let what = match name {
            Some(name) => format!("--pmem {name:?}: no [[pmem]] has this name"),
            None => "--pmem: say which [[pmem]]: there is not exactly one".to_owned(),
        };
        Failure::usage(format!("{what} in {}", stack.display()))
    })?;
    Ok((explainer, name, pmem))
}

/// The records of a sysfs list, one by one as they stand there; `-` is standard input.
fn records(file: &Path) -> Result<Vec<Extent<Sector>>, Failure> {
    let name = file.display();
    let text = if file == Path::new("-") {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        fs::read_to_string(file)
    };
    let text = text.map_err(|err| Failure::data(format!("cannot read {name}: {err}")))?;
    let mut found = Vec::new();
    for (number, line) in (1_u64..).zip(text.lines()) {
        let list = parse_badblocks(line.as_bytes());
        let list = list.map_err(|err| Failure::data(format!("{name}:{number}: {err}")))?;
        found.extend(list.ranges.iter().map(|range| range.extent.containing_sectors()));
    }
    Ok(found)
}

/// `<start>+<sectors>`, as locations are written.
fn short(sectors: Extent<Sector>) -> String {
    format!("{}+{}", sectors.start().get(), sectors.len())
}

/// Bytes as sectors where they are whole, else as bytes.
fn short_bytes(bytes: Extent) -> String {
    let whole = bytes.whole_sectors().filter(|sectors| sectors.bytes() == Ok(bytes));
    whole.map_or_else(|| format!("{}+{}B", bytes.start().get(), bytes.len()), short)
}
