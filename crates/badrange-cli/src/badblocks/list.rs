use std::{
    io::{self, Write},
    path::PathBuf,
};

use badrange::{
    core::{Extent, PhysAddr, Sector, Space},
    pmem::{Namespace, media_errors},
};
use clap::Args;
use serde_json::{Value, json};

use super::{pmem, records, short};
use crate::Failure;

/// Say what the bad sectors of a region are on a namespace in it, as ndctl does.
///
/// A region counts from its own first byte, a device from the first byte of its data. Each record is
/// clipped to the data of the namespace; ndctl clear-errors clears the ones that lie wholly inside.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct ListArgs {
    /// The description of the stack, with the namespace as [[pmem]].
    #[arg(long, value_name = "stack.toml")]
    stack: PathBuf,

    /// Which [[pmem]], where there are several.
    #[arg(long, value_name = "NAME")]
    pmem: Option<String>,

    /// The first byte of the region in physical memory; the namespace's own when not given.
    #[arg(long, value_name = "PHYS", value_parser = number)]
    region: Option<u64>,

    /// The list of the region: lines '<sector> <sectors>'; `-` for standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Print one JSON object (badrange.media-errors/1).
    #[arg(long)]
    json: bool,
}

const HELP: &str = "\
Examples:
  badrange badblocks list --stack stack.toml /sys/bus/nd/devices/region0/badblocks
  badrange badblocks list --stack stack.toml --region 0x100000000 region0.badblocks --json";

fn number(text: &str) -> Result<u64, String> {
    let digits = text.replace('_', "");
    let parsed = match digits.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => digits.parse(),
    };
    parsed.map_err(|_| "expected a number, decimal or 0x-hex".to_owned())
}

/// A record of the region, and what it is here.
struct Row {
    region: Extent<Sector>,
    memory: Option<Extent<PhysAddr>>,
    device: Option<Extent<Sector>>,
    cleared: bool,
}

pub(super) fn run(args: &ListArgs) -> Result<u8, Failure> {
    let (_, name, pmem) = pmem(&args.stack, args.pmem.as_deref())?;
    let start = args.region.map_or(pmem.namespace.whole().start(), PhysAddr::new);
    let rows: Vec<Row> =
        records(&args.file)?.into_iter().map(|r| row(&pmem.namespace, start, r)).collect();
    let mut out = anstream::stdout().lock();
    if args.json {
        let object = object(&name, &pmem.namespace, start, &rows);
        writeln!(out, "{}", serde_json::to_string_pretty(&object).unwrap_or_default())?;
    } else {
        text(&mut out, &name, &pmem.namespace, &rows)?;
    }
    out.flush()?;
    Ok(0)
}

fn row(namespace: &Namespace, region_start: PhysAddr, region: Extent<Sector>) -> Row {
    let bytes = region.bytes().ok();
    let memory = bytes.and_then(|bytes| {
        Extent::new(region_start.checked_add(bytes.start().get())?, bytes.len()).ok()
    });
    let device = media_errors(namespace, region_start, [region]).first().copied();
    let cleared = memory.is_some_and(|memory| namespace.data().contains_extent(memory));
    Row { region, memory, device, cleared }
}

fn text(out: &mut impl Write, name: &str, namespace: &Namespace, rows: &[Row]) -> io::Result<()> {
    let data = namespace.data();
    writeln!(
        out,
        "{name}: {}, data at {:#x}+{}",
        namespace.mode(),
        data.start().get(),
        data.len()
    )?;
    writeln!(out, "{:<14} {:<24} {:<14} ndctl clear-errors", "region", "physical", "device")?;
    for row in rows {
        let memory = row.memory.map(|m| format!("{:#x}+{}", m.start().get(), m.len()));
        let what = match (row.cleared, row.device) {
            (true, _) => "clears it",
            (false, Some(_)) => "leaves it: not wholly in the data",
            (false, None) => "leaves it: not in the data",
        };
        let device = row.device.map_or_else(|| "-".to_owned(), short);
        let memory = memory.unwrap_or_else(|| "-".to_owned());
        writeln!(out, "{:<14} {memory:<24} {device:<14} {what}", short(row.region))?;
    }
    Ok(())
}

fn object(name: &str, namespace: &Namespace, region_start: PhysAddr, rows: &[Row]) -> Value {
    let sectors = |e: Extent<Sector>| json!({"offset": e.start().get(), "length": e.len()});
    let rows = rows.iter().map(|row| {
        json!({
            "region": sectors(row.region),
            "phys": row.memory.map(|m| json!({"start": m.start().get(), "len": m.len()})),
            "device": row.device.map(sectors),
            "clear_errors": row.cleared,
        })
    });
    let rows: Vec<_> = rows.collect();
    json!({
        "schema": "badrange.media-errors/1",
        "device": name,
        "mode": namespace.mode().as_str(),
        "region_start": region_start.get(),
        "records": rows,
    })
}
