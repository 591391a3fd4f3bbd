//! The same machine under many random failures, one per seed.

use std::collections::BTreeSet;

use badrange_core::{DevOffset, Extent};
use serde::{Deserialize, Serialize};

use crate::{
    PAGE_SIZE, Profile, Scenario, ScenarioError, ScenarioErrorKind as Kind,
    kernel::{
        Ready,
        design::{
            log::{Key, Marked},
            reach::{Place, hits, pieces, truth},
        },
    },
    prng::Prng,
    scenario::{MAX_STORM_PAGES, Owner},
    storm::{Storm, data, frames},
};

/// What one random failure did: a line of `badrange.sweep/1`.
///
/// # Examples
/// See [`Sweep`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct SweepLine {
    /// Always `badrange.sweep/1`.
    pub schema: String,
    /// Of the scenario.
    pub scenario: String,
    /// What the failure was drawn from.
    pub seed: u64,
    /// Whose rules.
    pub profile: String,
    /// The pmem device that failed.
    pub device: String,
    /// First bad byte of it.
    pub start: u64,
    /// Bad bytes.
    pub bad: u64,
    /// Bytes that left page tables of processes that lived on.
    pub unmapped: u64,
    /// Signals.
    pub signals: u64,
    /// Processes that died.
    pub killed: u64,
    /// Files that own bad bytes.
    pub owners: u64,
    /// Those of them that were not told of all of them; `None` when the kernel died.
    pub owners_missed: Option<u64>,
    /// Calls to shut a filesystem down.
    pub shutdowns: u64,
    /// Notifications of DAX devices.
    pub upcalls: u64,
    /// Whether the kernel died.
    pub crashed: bool,
}

/// (filesystem, inode)
type Files = BTreeSet<(usize, u64)>;

/// A scenario under random failures.
///
/// The failures of the scenario itself are left out; its other events happen first. Every seed
/// stands for one failure of `bad_len` bytes, aligned to their number, at a place drawn from the
/// seed: all places of all pmem devices are equally likely. The same seed draws the same place in
/// every profile and in every version.
///
/// # Examples
/// ```
/// use badrange_sim::{Profile, Scenario, Sweep};
/// let text = r#"{"schema":"badrange.scenario/1","name":"nobody","profile":"linux-7.2",
///   "devices":[{"name":"pmem0","kind":"pmem","phys":"0x100000000","size":"0x20000000",
///               "data_offset":"0x200000"}],"events":[]}"#;
/// let scenario = Scenario::from_str(text, "nobody.json")?;
/// let sweep = Sweep::new(&scenario, Profile::Linux7_2, 4096)?;
/// let line = sweep.run(1);
/// assert_eq!((line.bad, line.unmapped, line.owners), (4096, 0, 0));
/// assert_eq!(line, sweep.run(1));
/// # Ok::<(), badrange_sim::ScenarioError>(())
/// ```
#[expect(missing_debug_implementations, reason = "a whole machine")]
pub struct Sweep<'a> {
    scenario: &'a Scenario,
    profile: Profile,
    bad_len: u64,
    ready: Ready<'a>,
    places: u64,
}

impl<'a> Sweep<'a> {
    /// Makes a machine ready.
    ///
    /// # Errors
    /// [`ScenarioError`] when no pmem device has room for `bad_len` bytes, or they are 0 or more
    /// pages than [`MAX_STORM_PAGES`].
    pub fn new(
        scenario: &'a Scenario,
        profile: Profile,
        bad_len: u64,
    ) -> Result<Self, ScenarioError> {
        if bad_len == 0 || bad_len.div_ceil(PAGE_SIZE) >= MAX_STORM_PAGES {
            let message = format!("a failure cannot have {bad_len} bytes");
            return Err(ScenarioError::new(Kind::BadValue, "", message));
        }
        let room = scenario.devices.iter().filter_map(data);
        let places =
            room.map(|(_, len)| len.checked_div(bad_len).unwrap_or(0)).fold(0, u64::saturating_add);
        if places == 0 {
            let message = format!("no pmem device has room for a failure of {bad_len} bytes");
            return Err(ScenarioError::new(Kind::BadValue, "devices", message));
        }
        Ok(Self { scenario, profile, bad_len, ready: Ready::new(scenario, profile), places })
    }

    /// The failure of a seed, and what it does.
    #[must_use]
    pub fn run(&self, seed: u64) -> SweepLine {
        let (device, start) = self.place(seed);
        let machine = self.ready.machine();
        let phys = machine.phys(device, start);
        let area = phys.and_then(|phys| frames(phys, self.bad_len));
        debug_assert!(area.is_some(), "a place is on a pmem device, which is memory");
        let area = area.unwrap_or_default();
        let happened = self.ready.fail(Storm::in_order(area));
        let (owners, missed) = self.owners(device, start, &happened.told);
        let counts = &happened.counts;
        let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        SweepLine {
            schema: "badrange.sweep/1".to_owned(),
            scenario: self.scenario.name().to_owned(),
            seed,
            profile: self.profile.to_string(),
            device: machine.device_name(device).to_owned(),
            start,
            bad: self.bad_len,
            unmapped: counts.unmapped,
            signals: counts.signals.values().fold(0, |sum, n| sum.saturating_add(*n)),
            killed: count(counts.killed.len()),
            owners: count(owners.len()),
            owners_missed: happened.crash.is_none().then_some(count(missed.len())),
            shutdowns: counts.shutdown.values().fold(0, |sum, n| sum.saturating_add(*n)),
            upcalls: counts.upcalls,
            crashed: happened.crash.is_some(),
        }
    }

    /// Device and first byte.
    fn place(&self, seed: u64) -> (usize, u64) {
        let mut left = Prng::new(seed).below(self.places);
        for (index, device) in self.scenario.devices.iter().enumerate() {
            let Some((_, len)) = data(device) else { continue };
            let places = len.checked_div(self.bad_len).unwrap_or(0);
            if left < places {
                return (index, left.saturating_mul(self.bad_len));
            }
            // NO-OVERFLOW: it is not less.
            left = left.wrapping_sub(places);
        }
        debug_assert!(left == 0, "all places are those of the devices");
        (0, 0)
    }

    /// Files, (filesystem, inode), with bad bytes, through all devices above; and those of them
    /// that were not told of all of their bad bytes.
    fn owners(&self, pmem: usize, start: u64, told: &Marked) -> (Files, Files) {
        let machine = self.ready.machine();
        let bytes = Extent::new(DevOffset::new(start), self.bad_len);
        let place = bytes.map(|range| Place::Device { device: pmem, range });
        let hits = place.map(|place| hits(machine, &pieces(machine, place))).unwrap_or_default();
        let mut marked = truth(&hits);
        marked.extend(told);
        let (mut owners, mut missed) = (Files::new(), Files::new());
        for (key, sums) in marked.sums(machine).filter(|(_, sums)| sums.bad > 0) {
            let Key::Extent { fs, index } = key else { continue };
            let extent = machine.fs(fs).extents.get(index);
            if let Some(Owner::Inode { ino, .. }) = extent.map(|extent| extent.owner) {
                owners.insert((fs, ino));
                missed.extend((sums.untold > 0).then_some((fs, ino)));
            }
        }
        (owners, missed)
    }
}
