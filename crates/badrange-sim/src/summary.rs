//! Distributions of what sweeps found.

use core::fmt::{self, Write as _};
use std::collections::BTreeMap;

use serde::Serialize;

use crate::SweepLine;

/// Smallest, middle and largest of some numbers. Percentiles are numbers that occurred: the
/// smallest with at least that share of all not above it.
///
/// # Examples
/// ```
/// use badrange_sim::Distribution;
/// let numbers = Distribution::of(vec![4, 1, 2, 3]).unwrap();
/// assert_eq!((numbers.min, numbers.median, numbers.p99, numbers.max), (1, 2, 4, 4));
/// assert_eq!(Distribution::of(vec![]), None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Distribution {
    /// Smallest.
    pub min: u64,
    /// 50th percentile.
    pub median: u64,
    /// 99th percentile.
    pub p99: u64,
    /// Largest.
    pub max: u64,
}

impl Distribution {
    /// Of these numbers; `None` for no number.
    #[must_use]
    pub fn of(mut numbers: Vec<u64>) -> Option<Self> {
        numbers.sort_unstable();
        let rank = |percent: usize| {
            let rank = numbers.len().checked_mul(percent)?.div_ceil(100).max(1);
            numbers.get(rank.checked_sub(1)?).copied()
        };
        Some(Self { min: *numbers.first()?, median: rank(50)?, p99: rank(99)?, max: rank(100)? })
    }
}

/// What the failures of one profile did.
///
/// # Examples
/// See [`SweepSummary`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ProfileSummary {
    /// Failures.
    pub failures: u64,
    /// Bytes unmapped per 100 bytes bad.
    pub blast_percent: Distribution,
    /// Bytes unmapped.
    pub unmapped: Distribution,
    /// Signals.
    pub signals: Distribution,
    /// Notifications of DAX devices.
    pub upcalls: Distribution,
    /// Owners that no notification reached, over the failures for which that is known.
    pub owners_missed: Option<Distribution>,
    /// Failures for which it is not known.
    pub owners_unknown: u64,
    /// Failures that shut a filesystem down.
    pub shut_down: u64,
    /// Failures that killed the kernel.
    pub crashed: u64,
    /// Failures by blast radius: 0 is none, n is at least 2^(n-1) and less than 2^n hundredths.
    #[serde(skip)]
    histogram: BTreeMap<u32, u64>,
}

/// Distributions by profile: `badrange.summary/1`. `Display` is a table.
///
/// # Examples
/// ```
/// use badrange_sim::{Profile, Scenario, SweepSummary, Sweep};
/// let text = r#"{"schema":"badrange.scenario/1","name":"nobody","profile":"linux-7.2",
///   "devices":[{"name":"pmem0","kind":"pmem","phys":"0x100000000","size":"0x20000000",
///               "data_offset":"0x200000"}],"events":[]}"#;
/// let scenario = Scenario::from_str(text, "nobody.json")?;
/// let sweep = Sweep::new(&scenario, Profile::Linux7_2, 4096)?;
/// let summary = SweepSummary::of((0..10).map(|seed| sweep.run(seed)));
/// assert_eq!(summary.profiles["linux-7.2"].failures, 10);
/// # Ok::<(), badrange_sim::ScenarioError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SweepSummary {
    /// Always `badrange.summary/1`.
    pub schema: &'static str,
    /// By profile name.
    pub profiles: BTreeMap<String, ProfileSummary>,
}

#[derive(Default)]
struct Columns {
    blast: Vec<u64>,
    unmapped: Vec<u64>,
    signals: Vec<u64>,
    upcalls: Vec<u64>,
    missed: Vec<u64>,
    unknown: u64,
    shut_down: u64,
    crashed: u64,
}

impl SweepSummary {
    /// Of all lines, in any order.
    #[must_use]
    pub fn of(lines: impl IntoIterator<Item = SweepLine>) -> Self {
        let mut all: BTreeMap<String, Columns> = BTreeMap::new();
        for line in lines {
            let blast = line.unmapped.saturating_mul(100).checked_div(line.bad).unwrap_or(0);
            let of = all.entry(line.profile).or_default();
            of.blast.push(blast);
            of.unmapped.push(line.unmapped);
            of.signals.push(line.signals);
            of.upcalls.push(line.upcalls);
            of.missed.extend(line.owners_missed);
            // NO-OVERFLOW: one per line.
            let count = |sum: u64, yes: bool| sum.saturating_add(u64::from(yes));
            of.unknown = count(of.unknown, line.owners_missed.is_none());
            of.shut_down = count(of.shut_down, line.shutdowns > 0);
            of.crashed = count(of.crashed, line.crashed);
        }
        let profiles = all.into_iter().filter_map(|(name, of)| Some((name, of.summary()?)));
        Self { schema: "badrange.summary/1", profiles: profiles.collect() }
    }

    /// A histogram of blast radius per profile, as SVG.
    #[must_use]
    pub fn to_svg(&self) -> String {
        const PANEL: u64 = 150;
        const WIDTH: u64 = 720;
        let panels = u64::try_from(self.profiles.len()).unwrap_or(0);
        let height = panels.saturating_mul(PANEL).saturating_add(30);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
             font-family=\"sans-serif\" font-size=\"11\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
             <text x=\"10\" y=\"18\">failures by bytes unmapped per byte bad</text>\n"
        );
        let tops = (0..).map(|i: u64| i.saturating_mul(PANEL).saturating_add(30));
        for (top, (name, of)) in tops.zip(&self.profiles) {
            of.panel(&mut svg, name, top);
        }
        svg.push_str("</svg>\n");
        svg
    }
}

impl Columns {
    fn summary(self) -> Option<ProfileSummary> {
        let mut histogram = BTreeMap::new();
        for blast in &self.blast {
            let count: &mut u64 =
                histogram.entry(u64::BITS.saturating_sub(blast.leading_zeros())).or_default();
            *count = count.saturating_add(1);
        }
        Some(ProfileSummary {
            failures: u64::try_from(self.blast.len()).ok()?,
            blast_percent: Distribution::of(self.blast)?,
            unmapped: Distribution::of(self.unmapped)?,
            signals: Distribution::of(self.signals)?,
            upcalls: Distribution::of(self.upcalls)?,
            owners_missed: Distribution::of(self.missed),
            owners_unknown: self.unknown,
            shut_down: self.shut_down,
            crashed: self.crashed,
            histogram,
        })
    }
}

impl ProfileSummary {
    /// Bars from `top` on, as high as the square root of their share: rare ones are seen as well.
    fn panel(&self, svg: &mut String, name: &str, top: u64) {
        const HIGH: u64 = 90;
        let base = top.saturating_add(120);
        let most = self.histogram.values().max().copied().unwrap_or(1).max(1);
        let name = escape(name);
        let y = top.saturating_add(14);
        let _ = writeln!(svg, "<text x=\"10\" y=\"{y}\" font-weight=\"bold\">{name}</text>");
        let columns = (0..).map(|i: u64| i.saturating_mul(70).saturating_add(20));
        for (x, (bucket, count)) in columns.zip(&self.histogram) {
            let scaled = count.saturating_mul(HIGH * HIGH).checked_div(most).unwrap_or(0);
            let height = scaled.isqrt().max(1);
            let (y, label) = (base.saturating_sub(height), bucket_label(*bucket));
            let _ = writeln!(
                svg,
                "<rect x=\"{x}\" y=\"{y}\" width=\"60\" height=\"{height}\" fill=\"#4878a8\">\
                 <title>{count} failures</title></rect>\n\
                 <text x=\"{x}\" y=\"{}\">{label}</text>\n<text x=\"{x}\" y=\"{}\">{count}</text>",
                base.saturating_add(13),
                y.saturating_sub(3),
            );
        }
    }
}

fn bucket_label(bucket: u32) -> String {
    match bucket.checked_sub(1) {
        None => "none".to_owned(),
        Some(below) => {
            let from = 1_u64.checked_shl(below).unwrap_or(u64::MAX);
            format!("&#8805; {}.{:02}", from / 100, from % 100)
        }
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

impl fmt::Display for SweepSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (name, of)) in self.profiles.iter().enumerate() {
            let gap = if i == 0 { "" } else { "\n" };
            writeln!(
                f,
                "{gap}{name}: {} failures, {} with a shutdown, {} crashes",
                of.failures, of.shut_down, of.crashed
            )?;
            writeln!(f, "  {:<24}{:>12}{:>12}{:>12}{:>12}", "", "min", "median", "p99", "max")?;
            let rows = [
                ("unmapped % of bad", Some(of.blast_percent)),
                ("unmapped bytes", Some(of.unmapped)),
                ("signals", Some(of.signals)),
                ("up-calls", Some(of.upcalls)),
                ("owners missed", of.owners_missed),
            ];
            for (what, row) in rows {
                match row {
                    Some(d) => writeln!(
                        f,
                        "  {what:<24}{:>12}{:>12}{:>12}{:>12}",
                        d.min, d.median, d.p99, d.max
                    )?,
                    None => writeln!(f, "  {what:<24}{:>12}", "unknown")?,
                }
            }
            if of.owners_unknown > 0 {
                writeln!(f, "  owners missed are not known for {} failures", of.owners_unknown)?;
            }
        }
        Ok(())
    }
}
