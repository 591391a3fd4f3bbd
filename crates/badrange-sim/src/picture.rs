//! The stack of a scenario, for drawing.

use std::collections::BTreeMap;

use badrange_core::{DevOffset, Extent, Run};

use crate::{
    Scenario,
    kernel::{
        Quirks, Version,
        design::{places, reach::pieces},
    },
    machine::Machine,
    scenario::DeviceKind,
};

/// A device or a filesystem of a scenario, what it stands on, and which of its bytes the events
/// report as bad. By [`Scenario::layers`].
///
/// # Examples
/// See [`Scenario::layers`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Layer {
    /// Unique.
    pub name: String,
    /// What it is, in words.
    pub what: String,
    /// Places in the list.
    pub below: Vec<usize>,
    /// (first byte, bytes), ascending, not overlapping.
    pub bad: Vec<(u64, u64)>,
    /// Further bad ranges: of a long run of chunks only the first ones are listed.
    pub unlisted: u64,
}

impl Scenario {
    /// The devices in the order of the scenario, and then the filesystems.
    ///
    /// Bad is what the events report, on the machine as it is before the first of them: the pages
    /// of `memory_failure`, ranges, lists and storms, and those that `madvise` injects into; the
    /// bytes of machine checks and of notifications; all of a device that is unbound; and whatever
    /// lies on them.
    ///
    /// # Examples
    /// ```
    /// use badrange_sim::Scenario;
    /// let text = r#"{"schema":"badrange.scenario/1","name":"p","profile":"linux-7.2",
    ///   "devices":[{"name":"pmem0","kind":"pmem","phys":"0x100000000","size":"0x400000"},
    ///              {"name":"pmem0p1","kind":"partition","on":"pmem0","start":8,"sectors":2048}],
    ///   "events":[{"do":"memory_failure","pfn":"0x100001","flags":[]}]}"#;
    /// let layers = Scenario::from_str(text, "p.json")?.layers();
    /// assert_eq!(layers[0].bad, [(4096, 4096)]);
    /// assert_eq!((&layers[1].below[..], &layers[1].bad[..]), (&[0][..], &[(0, 4096)][..]));
    /// # Ok::<(), badrange_sim::ScenarioError>(())
    /// ```
    #[must_use]
    pub fn layers(&self) -> Vec<Layer> {
        let mut bad = self.bad();
        let mut layers: Vec<Layer> = Vec::new();
        for (index, device) in self.devices.iter().enumerate() {
            let kind = match &device.kind {
                DeviceKind::Pmem(pmem) => {
                    format!("pmem at {:#x}", pmem.namespace.whole().start().get())
                }
                DeviceKind::Partition { .. } => "partition".to_owned(),
                DeviceKind::Dm { .. } => "dm".to_owned(),
            };
            let on = bad.remove(&index).unwrap_or_default();
            layers.push(Layer {
                name: device.name.clone(),
                what: format!("{kind}, {} bytes", device.size),
                below: device.kind.below().to_vec(),
                bad: on.ranges,
                unlisted: on.unlisted,
            });
        }
        for fs in &self.filesystems {
            let mut below = vec![fs.device];
            below.extend(fs.log.map(|log| log.device));
            below.extend(fs.rt);
            below.dedup();
            let what = format!("filesystem, {} extents", fs.extents.len());
            let (bad, unlisted) = (Vec::new(), 0);
            layers.push(Layer { name: fs.name.clone(), what, below, bad, unlisted });
        }
        layers
    }

    /// Bad bytes by device, with the number of ranges that are not listed.
    fn bad(&self) -> BTreeMap<usize, Bad> {
        let machine = Machine::new(self, Quirks::new(Version::V7_2));
        let mut bad: BTreeMap<usize, Bad> = BTreeMap::new();
        let places = self.events.iter().flat_map(|event| places(&machine, event));
        for (device, piece) in places.flat_map(|place| pieces(&machine, place)) {
            bad.entry(device).or_default().add(piece.here());
        }
        bad.values_mut().for_each(|bad| join(&mut bad.ranges));
        bad
    }
}

/// Bad bytes of a device.
#[derive(Default)]
struct Bad {
    ranges: Vec<(u64, u64)>,
    unlisted: u64,
}

impl Bad {
    /// Nobody reads more chunks of a stripe than this.
    const MOST: usize = 1 << 12;

    fn add(&mut self, run: Run<DevOffset>) {
        let bytes = |part: Extent<DevOffset>| (part.start().get(), part.len());
        if let Some(all) = run.as_extent() {
            self.ranges.push(bytes(all));
            return;
        }
        let listed = self.ranges.len();
        self.ranges.extend(run.elements().take(Self::MOST).map(bytes));
        let listed = self.ranges.len().saturating_sub(listed);
        let rest = run.count().saturating_sub(u64::try_from(listed).unwrap_or(u64::MAX));
        self.unlisted = self.unlisted.saturating_add(rest);
    }
}

/// Sorts ranges and joins those that touch.
fn join(ranges: &mut Vec<(u64, u64)>) {
    ranges.retain(|(_, len)| *len > 0);
    ranges.sort_unstable();
    let mut joined: Vec<(u64, u64)> = Vec::new();
    for (start, len) in ranges.drain(..) {
        match joined.last_mut() {
            Some(last) if start <= last.0.saturating_add(last.1) => {
                let end = start.saturating_add(len).saturating_sub(last.0);
                last.1 = last.1.max(end);
            }
            Some(_) | None => joined.push((start, len)),
        }
    }
    *ranges = joined;
}
