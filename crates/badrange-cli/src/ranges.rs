//! `badrange ranges`: the bad ranges that a text names.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Write},
    path::{Path, PathBuf},
};

use badrange::{
    core::PageSize,
    input::{BlockUnit, NamedRange, Place, RangeList, RangeOptions, read_ranges},
};
use clap::Args;
use serde_json::{Value, json};

use crate::{Failure, report::plain};

/// List the bad ranges that a text names: kernel log, bad block list, ndctl or cxl JSON, rescue map.
///
/// The kind of text is told by its content. One range per line: where, how well the text knows its
/// extent, and the line that named it. What the text names and nobody can place is said on standard
/// error.
#[derive(Debug, Args)]
#[command(after_help = HELP, after_long_help = LONG_HELP)]
pub(crate) struct RangesArgs {
    /// The text; `-` for standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// The device of a list that does not name one.
    #[arg(long, value_name = "NAME")]
    device: Option<String>,

    /// Bytes of a block, where the text counts blocks without saying how large they are.
    #[arg(long, value_name = "BYTES")]
    block_size: Option<u64>,

    /// Bytes of a page of the machine, which page frame numbers count: 4K, 16K or 64K.
    #[arg(long, value_name = "SIZE", default_value_t = PageSize::K4)]
    page_size: PageSize,

    /// Count areas that a rescue never tried as bad.
    #[arg(long)]
    untried_is_bad: bool,

    /// Add what another text names.
    #[arg(long, value_name = "FILE")]
    or: Vec<PathBuf>,

    /// Keep only what another text names too.
    #[arg(long, value_name = "FILE")]
    and: Vec<PathBuf>,

    /// Take away what another text names.
    #[arg(long, value_name = "FILE")]
    not: Vec<PathBuf>,

    /// Also list failed requests of which a smaller part is listed.
    #[arg(long)]
    all: bool,

    /// Print one JSON object (badrange.ranges/1).
    #[arg(long)]
    json: bool,
}

const HELP: &str = "\
Examples:
  dmesg | badrange ranges -
  badrange ranges /var/log/kern.log --json
  badrange ranges disk.map --untried-is-bad --not rescued-again.map";

const LONG_HELP: &str = "\
Texts:
  kernel logs of all eras: block layer, SCSI, ATA, NVMe, md, XFS, ext4, btrfs, memory failure,
  machine checks, firmware records, nvdimm, CXL; with any time stamps, syslog prefixes and colours
  trace events, rasdaemon, ras-mc-ctl --errors
  /sys/block/DEV/badblocks, bad_blocks of md, mdadm --examine-badblocks, badblocks(8)
  ndctl and cxl list --media-errors, smartctl as text or JSON, ddrescue mapfiles

Where: <device>:<start>+<len> in sectors of 512 bytes (with B: in bytes), pfn: pages, phys: bytes of
memory, ?: a list that names no device (say it with --device).

How well the extent is known:
  exact           these bytes
  at-least        these bytes, and more may be bad
  at-most         the damage is somewhere inside
  unknown-extent  the start is known; the length runs to the end of the page
  truncated       messages were suppressed, or the list was cut, here

A failed request is left out when a smaller range inside it is listed, which explains its failure;
nothing says that the rest is good: --all lists both, and `badrange explain --log` asks about both.

Set operations work on bytes: first every --or, then every --and, then every --not.

Exit status: 0, also when nothing is named; 64 wrong usage; 65 a text that cannot be read, or is of
another kind.

Examples:
  dmesg | badrange ranges -
  badrange ranges /var/log/kern.log --json
  badrange ranges disk.map --untried-is-bad --not rescued-again.map
  badrange ranges bad.txt --device sda1 --block-size 4096";

pub(crate) fn run(args: &RangesArgs) -> Result<u8, Failure> {
    let list = gathered(args)?;
    let (ranges, blocks): (Vec<_>, Vec<_>) =
        list.ranges.iter().partition(|r| !matches!(r.place, Place::Blocks { .. }));
    let narrowed = |range: &&NamedRange| range.narrowed.is_none() || args.all;
    let shown: Vec<&NamedRange> = ranges.iter().copied().filter(narrowed).collect();
    notes(&list, &blocks, args.all)?;
    let mut out = io::BufWriter::new(io::stdout().lock());
    if args.json {
        let text = serde_json::to_string_pretty(&as_json(&list, &shown, &blocks));
        writeln!(out, "{}", text.unwrap_or_default())?;
    } else {
        table(&mut out, &shown)?;
    }
    out.flush()?;
    Ok(0)
}

/// The list, with every set operation.
fn gathered(args: &RangesArgs) -> Result<RangeList, Failure> {
    if args.block_size.is_some_and(|size| !size.is_power_of_two() || size < 512) {
        let message = "--block-size: a block has a power of two of bytes, and at least 512";
        return Err(Failure::usage(message));
    }
    let size = |_: Option<&str>, unit: BlockUnit| {
        args.block_size.or((unit == BlockUnit::Buffer).then_some(4096))
    };
    let options = RangeOptions {
        device: args.device.as_deref(),
        block_size: &size,
        untried_is_bad: args.untried_is_bad,
        page: args.page_size,
    };
    let mut list = read(&args.file, &options)?;
    for file in &args.or {
        list = list.or(read(file, &options)?);
    }
    for file in &args.and {
        list = list.and(read(file, &options)?);
    }
    for file in &args.not {
        list = list.not(read(file, &options)?);
    }
    Ok(list)
}

/// The ranges of a file; `-` is standard input.
pub(crate) fn read(file: &Path, options: &RangeOptions<'_>) -> Result<RangeList, Failure> {
    let name = file.display();
    let input: Box<dyn BufRead> = if file == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        let opened = File::open(file);
        let opened = opened.map_err(|err| Failure::data(format!("cannot read {name}: {err}")))?;
        Box::new(BufReader::with_capacity(1 << 16, opened))
    };
    read_ranges(input, options).map_err(|err| match err.line() {
        Some(line) => {
            let text = err.to_string();
            let text = text.strip_prefix(&format!("line {line}: ")).unwrap_or(&text).to_owned();
            Failure::data(format!("{name}:{line}: {text}"))
        }
        None => Failure::data(format!("{name}: {err}")),
    })
}

/// What cannot be listed, and what is missing.
fn notes(list: &RangeList, blocks: &[&NamedRange], all: bool) -> io::Result<()> {
    let mut err = anstream::stderr().lock();
    for range in blocks {
        let (line, place, confidence) = (range.line, &range.place, range.confidence);
        writeln!(err, "note: line {line}: {place} ({confidence}): {SIZE_UNKNOWN}")?;
    }
    for unplaced in &list.unplaced {
        writeln!(err, "note: line {}: cannot be placed: {}", unplaced.line, plain(&unplaced.what))?;
    }
    for range in list.ranges.iter().filter(|_| !all) {
        if let Some(line) = range.narrowed {
            let place = &range.place;
            writeln!(err, "note: line {}: {place} failed too; line {line} says where", range.line)?;
        }
    }
    if let Some(line) = list.truncated {
        writeln!(err, "note: line {line}: the text was cut here: there may be more")?;
    }
    if *list == RangeList::default() {
        writeln!(err, "note: the text names nothing bad")?;
    }
    Ok(())
}

const SIZE_UNKNOWN: &str = "the text does not say how large its blocks are: give --block-size";

fn table(out: &mut impl Write, ranges: &[&NamedRange]) -> io::Result<()> {
    let places: Vec<String> = ranges.iter().map(|range| range.place.to_string()).collect();
    let width = places.iter().map(String::len).max().unwrap_or(0);
    for (range, place) in ranges.iter().zip(&places) {
        writeln!(out, "{place:width$}  {:14}  {}", range.confidence.as_str(), range.line)?;
    }
    Ok(())
}

fn as_json(list: &RangeList, ranges: &[&NamedRange], blocks: &[&NamedRange]) -> Value {
    let mut whole = json!({
        "schema": "badrange.ranges/1",
        "ranges": ranges.iter().filter_map(|range| range_json(range)).collect::<Vec<_>>(),
    });
    let of_blocks = blocks.iter().map(|range| (range.line, format!("{}", range.place)));
    let unplaced = list.unplaced.iter().map(|unplaced| (unplaced.line, unplaced.what.clone()));
    let mut unplaced: Vec<_> = of_blocks.chain(unplaced).collect();
    unplaced.sort();
    if let Some(object) = whole.as_object_mut() {
        if !unplaced.is_empty() {
            let one = |(line, what): &(u64, String)| json!({ "what": what, "line": line });
            object.insert("unplaced".to_owned(), unplaced.iter().map(one).collect());
        }
        if let Some(line) = list.truncated {
            object.insert("truncated".to_owned(), line.into());
        }
    }
    whole
}

fn range_json(range: &NamedRange) -> Option<Value> {
    let (device, start, len) = match &range.place {
        Place::Device { device, extent } => {
            (device.as_deref().unwrap_or("?"), extent.start().get(), extent.len())
        }
        Place::Pages(extent, _) | Place::Memory(extent) => {
            ("phys", extent.start().get(), extent.len())
        }
        Place::Blocks { .. } => return None,
    };
    Some(json!({
        "at": range.place.to_string(),
        "device": device,
        "start": start,
        "len": len,
        "confidence": range.confidence.as_str(),
        "line": range.line,
    }))
}
