//! Designs side by side: the same failures on the same machine, measured against the truth.

mod measure;
mod text;

use serde::{Serialize, Serializer};

use self::measure::Measured;
use crate::{
    Cost, Crash, Effects, Message, Profile, Scenario, Shutdown,
    kernel::design::{Bench, log::Log},
};

/// What several designs do with one scenario: `badrange.compare/1`, by [`compare_designs`].
///
/// `Display` is a table of at most 100 columns.
///
/// # Examples
/// See [`compare_designs`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Comparison {
    /// Always `badrange.compare/1`.
    pub schema: &'static str,
    /// Of the scenario.
    pub name: String,
    /// One per design, in the order asked for.
    pub designs: Vec<DesignReport>,
}

/// What one design did.
///
/// # Examples
/// See [`compare_designs`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct DesignReport {
    /// Which.
    #[serde(serialize_with = "profile_name")]
    pub design: Profile,
    /// All events together.
    pub total: DesignTally,
    /// Event by event; a machine that died has no more.
    pub events: Vec<EventReport>,
}

/// What one event did to those concerned.
///
/// # Examples
/// See [`compare_designs`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct EventReport {
    /// The figures.
    #[serde(flatten)]
    pub tally: DesignTally,
    /// Owners of bad bytes that were told of all of them, in the order of their names.
    pub told: Vec<String>,
    /// Owners of bad bytes that were not told of all of them, in the order of their names.
    pub missed: Vec<Missed>,
    /// Calls to shut a filesystem down, in order.
    pub shutdown: Vec<Shutdown>,
    /// How the machine died.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crash: Option<Crash>,
    /// The event never ends.
    #[serde(skip_serializing_if = "core::ops::Not::not")]
    pub stuck: bool,
    /// The way of the failure.
    pub messages: Vec<Message>,
    /// Further steps, which are not listed.
    pub unlisted: u64,
}

/// An owner that does not know what it lost.
///
/// # Examples
/// See [`compare_designs`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Missed {
    /// Filesystem and inode, or the filesystem's own words, or a character device.
    pub owner: String,
    /// Bad bytes of which it was not told.
    pub bytes: u64,
}

/// Figures of one event, or of several.
///
/// Owners are those of the simulated machine's own maps, found without any design. Bytes are
/// counted once per owner: a byte that two files share is two.
///
/// # Examples
/// ```
/// assert_eq!(badrange_sim::DesignTally::default().missed_bytes, 0);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct DesignTally {
    /// Owners of bad bytes.
    pub owners: u64,
    /// Those told of every bad byte of theirs.
    pub told_owners: u64,
    /// Bad bytes, once per owner.
    pub owned_bytes: u64,
    /// Of these, bytes whose owner was not told.
    pub missed_bytes: u64,
    /// Bytes that owners were told of although they are not bad.
    pub wrong_bytes: u64,
    /// Signals generated.
    pub signals: u64,
    /// Signals about mapped units that hold no bad byte.
    pub wrong_signals: u64,
    /// Signals about a mapped unit after the first.
    pub duplicate_signals: u64,
    /// Mapped units with bad bytes whose process wanted a signal and got none.
    pub missed_signals: u64,
    /// Bytes that left page tables of processes that live on and did not inject the failure.
    pub unmapped_bytes: u64,
    /// Bytes of pages with bad bytes that these processes had mapped.
    pub bad_mapped_bytes: u64,
    /// Bytes of pages with bad bytes that living processes still have mapped.
    pub left_mapped_bytes: u64,
    /// Calls to shut a filesystem down.
    pub shutdowns: u64,
    /// What it cost.
    #[serde(flatten)]
    pub cost: Cost,
}

impl DesignTally {
    fn add(&mut self, other: &Self) {
        let sums = [
            (&mut self.owners, other.owners),
            (&mut self.told_owners, other.told_owners),
            (&mut self.owned_bytes, other.owned_bytes),
            (&mut self.missed_bytes, other.missed_bytes),
            (&mut self.wrong_bytes, other.wrong_bytes),
            (&mut self.signals, other.signals),
            (&mut self.wrong_signals, other.wrong_signals),
            (&mut self.duplicate_signals, other.duplicate_signals),
            (&mut self.missed_signals, other.missed_signals),
            (&mut self.unmapped_bytes, other.unmapped_bytes),
            (&mut self.bad_mapped_bytes, other.bad_mapped_bytes),
            (&mut self.left_mapped_bytes, other.left_mapped_bytes),
            (&mut self.shutdowns, other.shutdowns),
        ];
        sums.into_iter().for_each(|(sum, more)| *sum = sum.saturating_add(more));
        self.cost.add(other.cost);
    }
}

fn profile_name<S: Serializer>(profile: &Profile, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(profile)
}

/// Runs a scenario under each of these designs and measures each against the truth.
///
/// The profile that the scenario names plays no part. Deterministic.
///
/// # Examples
/// A page that two files share. The page itself remembers one of them; the reverse map knows both.
/// ```
/// use badrange_sim::{Profile, Scenario, compare_designs};
/// let text = r#"{"schema":"badrange.scenario/1","name":"shared page","profile":"ranged",
///  "devices":[{"name":"pmem0","kind":"pmem","phys":"0x100000000","size":536870912}],
///  "filesystems":[{"name":"xfs0","kind":"xfs","device":"pmem0","rmapbt":true,"reflink":true,
///    "ag_blocks":32768,"ag_count":4,"blocks":131072,
///    "extents":[{"start":65536,"len":4096,"owner":131,"file_start":0},
///               {"start":65536,"len":4096,"owner":132,"file_start":0}],
///    "dax_entries":[{"ino":131,"ranges":[[0,4096]]},{"ino":132,"ranges":[[0,4096]]}]}],
///  "events":[{"do":"memory_failure","pfn":"0x100010"}]}"#;
/// let scenario = Scenario::from_str(text, "shared.json")?;
/// let told = compare_designs(&scenario, &[Profile::PerPfn, Profile::Ranged]);
/// assert_eq!((told.designs[0].total.owners, told.designs[0].total.told_owners), (2, 1));
/// assert_eq!(told.designs[0].events[0].missed[0].owner, "xfs0 inode 131");
/// assert_eq!((told.designs[1].total.owners, told.designs[1].total.told_owners), (2, 2));
/// # Ok::<(), badrange_sim::ScenarioError>(())
/// ```
#[must_use]
pub fn compare_designs(scenario: &Scenario, designs: &[Profile]) -> Comparison {
    let designs = designs.iter().map(|design| report(scenario, *design)).collect();
    Comparison { schema: "badrange.compare/1", name: scenario.name().to_owned(), designs }
}

fn report(scenario: &Scenario, design: Profile) -> DesignReport {
    let mut bench = Bench::new(scenario, design);
    let mut report = DesignReport { design, total: DesignTally::default(), events: Vec::new() };
    for event in &scenario.events {
        let before = Measured::before(&bench, event);
        let mut log = Log::default();
        let outcome = bench.observe(event, &mut log);
        let event = before.after(bench.machine(), event, &outcome, log);
        report.total.add(&event.tally);
        let died = event.crash.is_some();
        report.events.push(event);
        if died {
            break;
        }
    }
    report
}

/// What the notes do not have: who was signalled and shut down.
fn aftermath(effects: Option<&Effects>, log: &mut Log) {
    if let Some(effects) = effects {
        for signal in &effects.signals {
            let addr = signal.addr.map_or_else(String::new, |addr| format!(" at {addr}"));
            log.say("kernel", &signal.tag, format_args!("SIGBUS {}{addr}", signal.code));
        }
        for shutdown in effects.shutdown.iter().flatten() {
            log.say("kernel", &shutdown.fs, format_args!("shut down: {}", shutdown.reason));
        }
    }
}

#[cfg(test)]
mod tests;
