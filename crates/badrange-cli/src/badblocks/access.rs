use std::{
    io::{self, Write},
    path::PathBuf,
};

use badrange::{
    core::{DevOffset, Errno, Extent, PhysAddr, Sector},
    explain::QueryTarget,
    pmem::{
        AccessErrorKind, Bus, Kernel, LinuxPmem, Memory, Namespace, Provider, RangedPmem, Repair,
    },
};
use clap::{Args, ValueEnum, builder::PossibleValuesParser};
use serde_json::{Value, json};

use super::{pmem, records, short_bytes};
use crate::Failure;

/// The most bytes that a dry run goes through.
const MOST: u64 = 256 << 20;

/// Say what a read or a write over bad sectors comes to. A dry run: nothing is read or written.
///
/// By the rules of a kernel: what the system call returns, and every step on the way. By those of
/// this project's ranged device: what is good, what is lost, what a write repairs.
#[derive(Debug, Args)]
#[command(after_help = HELP, after_long_help = LONG_HELP)]
pub(crate) struct AccessArgs {
    /// Read or write.
    #[arg(value_name = "WHAT")]
    what: What,

    /// The description of the stack, with the device as [[pmem]].
    #[arg(long, value_name = "stack.toml")]
    stack: PathBuf,

    /// The bytes: <device>:<start>+<len>, one range of a [[pmem]].
    #[arg(long, value_name = "LOCATION")]
    at: String,

    /// The bad sectors of the device, instead of the list that the description names.
    #[arg(long, value_name = "FILE")]
    bad: Option<PathBuf>,

    /// Whose rules: a kernel, or `ranged`.
    #[arg(long, value_name = "PROFILE", default_value = "ranged", value_parser = profiles())]
    profile: String,

    /// Who provides the memory, for a kernel: who clears poison, and how.
    #[arg(long, value_name = "PROVIDER", default_value = "acpi")]
    provider: By,

    /// How many bytes are cleared together: the firmware's unit (256) for a kernel, the unit of a
    /// repair (4096) for the ranged device.
    #[arg(long, value_name = "BYTES")]
    unit: Option<u64>,

    /// Print one JSON object (badrange.access/1).
    #[arg(long)]
    json: bool,
}

const HELP: &str = "\
Examples:
  badrange badblocks access read --stack stack.toml --at pmem0:0+64
  badrange badblocks access write --stack stack.toml --at pmem0:16+8 --profile linux-6.12";

const LONG_HELP: &str = "\
Bad sectors come from `badblocks` of the [[pmem]], or from --bad. The range is one extent of a file with
DAX: what a filesystem does with several is a sum of these.

Exit status:
  0   all of it is read or written
  1   not all of it
  64  wrong usage
  65  bad input: file, line and reason on standard error

Examples:
  badrange badblocks access read --stack stack.toml --at pmem0:0+64
  badrange badblocks access write --stack stack.toml --at pmem0:16+8 --profile linux-6.12
  badrange badblocks access write --stack stack.toml --at pmem0:16+8 --profile linux-6.12 --provider cxl";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    Read,
    Write,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum By {
    /// NFIT: a firmware command clears.
    Acpi,
    /// e820, device tree, virtio: pretends to clear.
    Plain,
    /// CXL: there is no command.
    Cxl,
}

const RANGED: &str = "ranged";

fn profiles() -> PossibleValuesParser {
    PossibleValuesParser::new(Kernel::ALL.map(Kernel::as_str).into_iter().chain([RANGED]))
}

/// Memory that has no bytes, only bad places.
struct Sketch {
    len: u64,
    bad: Vec<Extent>,
}

impl Memory for Sketch {
    fn len(&self) -> u64 {
        self.len
    }
    fn granule(&self) -> u64 {
        512
    }
    fn copy_out(&self, at: DevOffset, buf: &mut [u8]) -> usize {
        let Ok(range) = Extent::new(at, u64::try_from(buf.len()).unwrap_or(0)) else { return 0 };
        let first = self.bad.iter().filter_map(|bad| bad.intersect(range)).map(|b| b.start()).min();
        let good = first.map(|first| first.get().saturating_sub(at.get()));
        good.and_then(|good| usize::try_from(good).ok()).unwrap_or(buf.len())
    }
    fn copy_in(&self, _: DevOffset, _: &[u8]) {}
    fn clear_poison(&self, range: Extent) -> u64 {
        range.len()
    }
    fn write_and_clear(&self, _: DevOffset, data: &[u8]) -> u64 {
        u64::try_from(data.len()).unwrap_or(0)
    }
}

/// What it came to, for both kinds of rules.
struct Outcome {
    done: u64,
    error: Option<Errno>,
    lines: Vec<String>,
    details: Value,
}

pub(super) fn run(args: &AccessArgs) -> Result<u8, Failure> {
    let wanted = args.at.split_once(':').map(|(device, _)| device.to_owned());
    let (explainer, name, mut pmem) = pmem(&args.stack, wanted.as_deref())?;
    let queries = explainer.locate(&args.at).map_err(Failure::usage)?;
    let [query] = &queries[..] else { return Err(Failure::usage("--at: give one range")) };
    let range = match query.target {
        QueryTarget::Device { extent, .. } => extent,
        QueryTarget::Memory(_) => return Err(Failure::usage("--at: give a range of a device")),
    };
    if range.len() > MOST {
        return Err(Failure::usage(format!("--at: more than {MOST} bytes; ask for a part")));
    }
    if let Some(file) = &args.bad {
        pmem.bad = records(file)?;
    }
    let result = match Kernel::from_name(&args.profile) {
        Some(kernel) => by_kernel(args, kernel, pmem.namespace, &pmem.bad, range),
        None => by_ranged(args, pmem.namespace, &pmem.bad, range),
    };
    let mut out = anstream::stdout().lock();
    if args.json {
        let object = object(args, &name, range, &result);
        writeln!(out, "{}", serde_json::to_string_pretty(&object).unwrap_or_default())?;
    } else {
        text(&mut out, args, &name, range, &result)?;
    }
    out.flush()?;
    Ok(u8::from(result.done < range.len()))
}

fn sketch(namespace: Namespace, bad: &[Extent<Sector>]) -> Sketch {
    let bytes = bad.iter().filter_map(|sectors| sectors.bytes().ok());
    Sketch { len: namespace.capacity().len(), bad: bytes.collect() }
}

fn by_kernel(
    args: &AccessArgs,
    kernel: Kernel,
    namespace: Namespace,
    bad: &[Extent<Sector>],
    range: Extent,
) -> Outcome {
    let provider = match args.provider {
        By::Acpi => Provider::Acpi { clear_unit: args.unit.unwrap_or(256) },
        By::Plain => Provider::Plain,
        By::Cxl => Provider::Cxl,
    };
    let mut bus = Bus::new(kernel, provider);
    bus.add_region(namespace.whole());
    let memory = sketch(namespace, bad);
    for bytes in &memory.bad {
        let phys: Option<Extent<PhysAddr>> =
            bytes.rebase(DevOffset::new(0), namespace.data().start());
        phys.into_iter().for_each(|phys| bus.add_bad(phys));
    }
    let mut pmem = LinuxPmem::new(namespace, memory, &bus);
    let mut buf = vec![0; usize::try_from(range.len()).unwrap_or(0)];
    let transfer = match args.what {
        What::Read => pmem.read(&mut bus, range, &mut buf),
        What::Write => pmem.write(&mut bus, range.start(), &buf),
    };
    let lines: Vec<String> = transfer.steps().iter().map(ToString::to_string).collect();
    let left = pmem.badblocks().show();
    Outcome {
        done: transfer.result().unwrap_or(0),
        error: transfer.result().err(),
        details: json!({"steps": lines, "badblocks": left}),
        lines,
    }
}

fn by_ranged(
    args: &AccessArgs,
    namespace: Namespace,
    bad: &[Extent<Sector>],
    range: Extent,
) -> Outcome {
    let unit = args.unit.unwrap_or(4096);
    let pmem = RangedPmem::new(sketch(namespace, bad), Repair::ClearThenWrite { unit });
    for bytes in &pmem.memory().bad {
        let _ = pmem.report(*bytes);
    }
    let shown = |parts: Vec<Extent>| -> Value {
        parts.iter().map(|e| json!({"start": e.start().get(), "len": e.len()})).collect()
    };
    let lines = |what: &str, parts: &[Extent]| -> Vec<String> {
        parts.iter().map(|part| format!("{what} {}", short_bytes(*part))).collect()
    };
    let mut buf = vec![0; usize::try_from(range.len()).unwrap_or(0)];
    let found = match args.what {
        What::Read => pmem.read(range, &mut buf).map(|found| {
            let good: Vec<_> = found.good().collect();
            let all = [lines("good", &good), lines("lost", found.holes())].concat();
            let details = json!({"good": shown(good), "lost": shown(found.holes().to_vec())});
            (found.good_bytes(), all, details)
        }),
        What::Write => pmem.write(range.start(), &buf).map(|written| {
            let details = json!({"repaired": shown(written.repaired().to_vec())});
            (range.len(), lines("repaired", written.repaired()), details)
        }),
    };
    match found {
        Ok((done, lines, details)) => Outcome { done, error: None, lines, details },
        Err(err) => {
            let outside = err.kind() == AccessErrorKind::Outside;
            let errno = if outside { Errno::ENXIO } else { Errno::EIO };
            let lines = vec![err.to_string()];
            let details = json!({"error": err.to_string()});
            Outcome { done: err.done_bytes(), error: Some(errno), lines, details }
        }
    }
}

fn verb(what: What) -> &'static str {
    match what {
        What::Read => "read",
        What::Write => "write",
    }
}

fn text(
    out: &mut impl Write,
    args: &AccessArgs,
    name: &str,
    range: Extent,
    result: &Outcome,
) -> io::Result<()> {
    let what = verb(args.what);
    write!(out, "{what} of {name}:{} on {}: ", short_bytes(range), args.profile)?;
    match result.error {
        Some(errno) => writeln!(out, "{errno}")?,
        None => writeln!(out, "{} of {} bytes", result.done, range.len())?,
    }
    result.lines.iter().try_for_each(|line| writeln!(out, "  {line}"))
}

fn object(args: &AccessArgs, name: &str, range: Extent, result: &Outcome) -> Value {
    json!({
        "schema": "badrange.access/1",
        "access": verb(args.what),
        "profile": args.profile,
        "device": name,
        "start": range.start().get(),
        "len": range.len(),
        "done": result.done,
        "error": result.error.map(|errno| errno.to_string()),
        "details": result.details,
    })
}
