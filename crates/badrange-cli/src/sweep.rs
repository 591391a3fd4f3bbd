//! `badrange sim sweep` and `badrange sim summarize`: many random failures, and what they came to.

use core::ops::Range;
use std::{
    fs,
    io::{self, BufRead, BufReader, BufWriter, IsTerminal, Write},
    path::PathBuf,
    thread,
    time::Instant,
};

use badrange_sim::{Profile, Sweep, SweepLine, SweepSummary};
use clap::Args;
use indicatif::ProgressBar;

use crate::{Failure, sim};

/// Run a scenario under many random failures, one per seed.
///
/// Writes one JSON object per line (badrange.sweep/1) for every seed and profile. The failures of
/// the scenario itself are left out. Lines depend on nothing but scenario, seed, profile and
/// --bad-len, so that sweeps can be cut into shards and the outputs joined by `cat`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  badrange sim sweep scenario.json --seeds 0..10000 > all.jsonl\n  badrange sim sweep scenario.json --seeds 0..10000 --shard 3/8 > shard-3.jsonl\n  badrange sim sweep scenario.json --seeds 0..1000 --profiles linux-6.1,linux-7.2 --bad-len 2097152"
)]
pub(crate) struct SweepArgs {
    /// The scenario (badrange.scenario/1).
    #[arg(value_name = "scenario.json")]
    scenario: PathBuf,

    /// Seeds, from A up to B, without B.
    #[arg(long, value_name = "A..B")]
    seeds: String,

    /// Only seeds with the remainder I when divided by N; I counts from 0.
    #[arg(long, value_name = "I/N", default_value = "0/1")]
    shard: String,

    /// Whose rules, instead of the scenario's own, separated by commas.
    #[arg(long, value_name = "PROFILES", value_delimiter = ',')]
    profiles: Vec<String>,

    /// Bytes of every failure.
    #[arg(long, value_name = "BYTES", default_value_t = 4096)]
    bad_len: u64,
}

/// Turn the lines of sweeps into distributions.
///
/// For every profile: smallest, median, 99th percentile and largest of what was unmapped, signals,
/// up-calls and missed owners, and how many failures shut a filesystem down.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  badrange sim summarize all.jsonl\n  badrange sim summarize shard-*.jsonl --svg blast.svg --json"
)]
pub(crate) struct SummarizeArgs {
    /// Outputs of sweeps, in any order.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,

    /// Draw a histogram of the blast radius per profile.
    #[arg(long, value_name = "out.svg")]
    svg: Option<PathBuf>,

    /// Print one JSON object (badrange.summary/1) instead of a table.
    #[arg(long)]
    json: bool,
}

/// Seeds that are worked on before lines are written.
const BATCH: u64 = 1 << 14;

pub(crate) fn sweep(args: &SweepArgs) -> Result<u8, Failure> {
    let seeds = seeds(&args.seeds)?;
    let (shard, shards) = shard(&args.shard)?;
    let scenario = sim::load(&args.scenario)?;
    let profiles = match args.profiles.as_slice() {
        [] => vec![scenario.profile()],
        names => names.iter().map(|name| sim::profile(name)).collect::<Result<_, _>>()?,
    };
    let sweep = |profile: Profile| Sweep::new(&scenario, profile, args.bad_len);
    let sweeps: Vec<Sweep<'_>> = profiles
        .into_iter()
        .map(sweep)
        .collect::<Result<_, _>>()
        .map_err(|err| Failure::usage(format!("--bad-len {}: {err}", args.bad_len)))?;
    let bar = bar(seeds.end.saturating_sub(seeds.start));
    let began = Instant::now();
    let mut out = BufWriter::new(io::stdout().lock());
    let mut lines = 0_u64;
    let mut from = seeds.start;
    while from < seeds.end {
        let to = from.saturating_add(BATCH.saturating_mul(shards)).min(seeds.end);
        for text in batch(&sweeps, from..to, (shard, shards)) {
            // NO-OVERFLOW: one per line that is in memory.
            let new = text.iter().filter(|byte| **byte == b'\n').count();
            lines = lines.saturating_add(u64::try_from(new).unwrap_or(0));
            out.write_all(&text)?;
        }
        bar.inc(to.saturating_sub(from));
        from = to;
    }
    out.flush()?;
    bar.finish_and_clear();
    let seconds = began.elapsed().as_secs_f64();
    writeln!(anstream::stderr(), "{lines} failures in {seconds:.1} s")?;
    Ok(0)
}

/// The lines of some seeds, in order, from as many threads as there are processors.
fn batch(sweeps: &[Sweep<'_>], seeds: Range<u64>, (shard, shards): (u64, u64)) -> Vec<Vec<u8>> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let mine = of_shard(seeds, (shard, shards));
    let each = mine.len().div_ceil(threads).max(1);
    thread::scope(|scope| {
        let workers: Vec<_> =
            mine.chunks(each).map(|seeds| scope.spawn(move || lines(sweeps, seeds))).collect();
        workers.into_iter().filter_map(|worker| worker.join().ok()).collect()
    })
}

/// The seeds with the remainder of a shard, without a look at the others.
fn of_shard(seeds: Range<u64>, (shard, shards): (u64, u64)) -> Vec<u64> {
    let away = seeds.start.checked_rem(shards).map(|inside| match shard.checked_sub(inside) {
        Some(away) => away,
        // NO-OVERFLOW: both are less than the number of shards.
        None => shards.wrapping_sub(inside.wrapping_sub(shard)),
    });
    let first = away.and_then(|away| seeds.start.checked_add(away));
    let next = |seed: &u64| seed.checked_add(shards);
    core::iter::successors(first, next).take_while(|seed| *seed < seeds.end).collect()
}

fn lines(sweeps: &[Sweep<'_>], seeds: &[u64]) -> Vec<u8> {
    let mut text = Vec::new();
    for seed in seeds {
        for sweep in sweeps {
            // Strings and numbers into memory: neither can fail.
            let _ = serde_json::to_writer(&mut text, &sweep.run(*seed));
            text.push(b'\n');
        }
    }
    text
}

/// On a terminal only.
fn bar(len: u64) -> ProgressBar {
    if io::stderr().is_terminal() { ProgressBar::new(len) } else { ProgressBar::hidden() }
}

fn seeds(text: &str) -> Result<Range<u64>, Failure> {
    let numbers = text.split_once("..").and_then(|(from, to)| {
        let range = from.parse().ok()?..to.parse().ok()?;
        (range.start < range.end).then_some(range)
    });
    numbers.ok_or_else(|| {
        Failure::usage(format!("--seeds {text:?}: expected A..B with A less than B, as in 0..1000"))
    })
}

fn shard(text: &str) -> Result<(u64, u64), Failure> {
    let numbers = text.split_once('/').and_then(|(shard, of)| {
        let (shard, of): (u64, u64) = (shard.parse().ok()?, of.parse().ok()?);
        (shard < of).then_some((shard, of))
    });
    numbers.ok_or_else(|| {
        Failure::usage(format!("--shard {text:?}: expected I/N with I less than N, as in 0/8"))
    })
}

pub(crate) fn summarize(args: &SummarizeArgs) -> Result<u8, Failure> {
    let mut lines = Vec::new();
    for file in &args.files {
        read(file, &mut lines)?;
    }
    let summary = SweepSummary::of(lines);
    if let Some(path) = &args.svg {
        fs::write(path, summary.to_svg())
            .map_err(|err| Failure::data(format!("cannot write {}: {err}", path.display())))?;
    }
    let mut out = anstream::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&summary).unwrap_or_default())?;
    } else {
        write!(out, "{summary}")?;
    }
    out.flush()?;
    Ok(0)
}

fn read(file: &PathBuf, lines: &mut Vec<SweepLine>) -> Result<(), Failure> {
    let name = file.display();
    let cannot = |err: io::Error| Failure::data(format!("cannot read {name}: {err}"));
    let text = BufReader::new(fs::File::open(file).map_err(cannot)?);
    for (number, line) in (1_u64..).zip(text.lines()) {
        let line = line.map_err(cannot)?;
        if line.trim().is_empty() {
            continue;
        }
        let bad = |err: String| Failure::data(format!("{name}:{number}: {err}"));
        let line: SweepLine = serde_json::from_str(&line).map_err(|err| bad(err.to_string()))?;
        if line.schema != "badrange.sweep/1" {
            return Err(bad(format!("schema is {:?}, not \"badrange.sweep/1\"", line.schema)));
        }
        lines.push(line);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::of_shard;

    #[test]
    fn shards_are_remainders() {
        for shards in 1..8 {
            for start in 0..20 {
                for shard in 0..shards {
                    let seeds: Vec<u64> =
                        (start..start + 15).filter(|seed| seed % shards == shard).collect();
                    assert_eq!(of_shard(start..start + 15, (shard, shards)), seeds);
                }
            }
        }
        let last = u64::MAX - 1;
        assert_eq!(of_shard(last..u64::MAX, (0, 1)), [last]);
        assert_eq!(of_shard(0..u64::MAX, (last, u64::MAX)), [last]);
        assert!(of_shard(last..u64::MAX, (0, last - 1)).is_empty());
    }
}
