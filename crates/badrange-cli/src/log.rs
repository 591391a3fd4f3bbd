//! `--log`: bad ranges from a text instead of locations.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use badrange::{
    core::PageSize,
    explain::{Explainer, LocatedRanges},
    input::{BlockUnit, NamedRange, RangeOptions},
};
use clap::Args;

use crate::{Failure, ranges, report::plain};

/// Options that go with a text.
#[derive(Debug, Args)]
pub(crate) struct LogArgs {
    /// Take what is bad from a text: kernel log, bad block list, ndctl or cxl JSON, rescue map; `-`
    /// for standard input.
    #[arg(long, value_name = "FILE")]
    pub(crate) log: Option<PathBuf>,

    /// The device of a list that does not name one.
    #[arg(long, value_name = "NAME", requires = "log")]
    pub(crate) device: Option<String>,

    /// Bytes of a block, where neither the text nor the stack tells.
    #[arg(long, value_name = "BYTES", requires = "log")]
    pub(crate) block_size: Option<u64>,

    /// Bytes of a page of the machine, which page frame numbers count: 4K, 16K or 64K [default: what
    /// the stack says, else 4K].
    #[arg(long, value_name = "SIZE", requires = "log")]
    pub(crate) page_size: Option<PageSize>,

    /// Count areas that a rescue never tried as bad.
    #[arg(long, requires = "log")]
    pub(crate) untried_is_bad: bool,
}

/// Something that cannot be known: the exit status of an answer that leaves something out.
pub(crate) const EXIT_UNKNOWN: u8 = 3;

/// The queries that a text stands for; what cannot be one is said on standard error.
pub(crate) fn located(explainer: &Explainer, args: &LogArgs) -> Result<LocatedRanges, Failure> {
    let Some(file) = &args.log else { return Ok(LocatedRanges::default()) };
    if let Some(name) = args.device.as_deref().filter(|n| explainer.device_of_log(n).is_none()) {
        return Err(Failure::usage(format!("--device {name:?}: no such device in this stack")));
    }
    let nameless = args.device.as_deref().or_else(|| explainer.only_disk());
    let size = |device: Option<&str>, unit: BlockUnit| {
        explainer.block_size(device.or(nameless), unit).or(args.block_size)
    };
    let options = RangeOptions {
        device: None,
        block_size: &size,
        untried_is_bad: args.untried_is_bad,
        page: args.page_size.unwrap_or(explainer.topology().memory().page),
    };
    let list = ranges::read(file, &options)?;
    let is_nameless = |range: &NamedRange| range.place.is_nameless();
    if list.ranges.iter().any(is_nameless) {
        match (nameless, &args.device) {
            (None, _) => {
                let message = format!(
                    "{}: the text does not say which device it is of: give --device",
                    file.display()
                );
                return Err(Failure::usage(message));
            }
            (Some(name), None) => {
                writeln!(
                    anstream::stderr(),
                    "note: a list without a device: taken as {}'s",
                    plain(name)
                )?;
            }
            (Some(_), Some(_)) => {}
        }
    }
    let located = explainer.locate_ranges(&list, nameless);
    notes(&located, list.truncated)?;
    Ok(located)
}

fn notes(located: &LocatedRanges, truncated: Option<u64>) -> io::Result<()> {
    let mut err = anstream::stderr().lock();
    for unplaced in &located.unplaced {
        writeln!(err, "note: line {}: not explained: {}", unplaced.line, plain(&unplaced.what))?;
    }
    if located.merged > 0 {
        let merged = located.merged;
        writeln!(err, "note: {merged} told once more by a layer above: not counted twice")?;
    }
    if let Some(line) = truncated {
        writeln!(err, "note: line {line}: the text was cut here: there may be more")?;
    }
    if located.queries.is_empty() && located.unplaced.is_empty() {
        writeln!(err, "note: the text names nothing bad")?;
    }
    Ok(())
}
