//! The stack of a scenario, for drawing.

use std::collections::BTreeMap;

use badrange_core::{Extent, Run};

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
pub struct DrawnLayer {
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
    pub fn layers(&self) -> Vec<DrawnLayer> {
        let mut bad = self.bad();
        let mut layers: Vec<DrawnLayer> = Vec::new();
        for (index, device) in self.devices.iter().enumerate() {
            let kind = match &device.kind {
                DeviceKind::Pmem(pmem) => {
                    format!("pmem at {:#x}", pmem.namespace.whole().start().get())
                }
                DeviceKind::Partition { .. } => "partition".to_owned(),
                DeviceKind::Dm { .. } => "dm".to_owned(),
            };
            let on = bad.remove(&index).unwrap_or_default();
            layers.push(DrawnLayer {
                name: device.name.clone(),
                what: format!("{kind}, {} bytes", device.size()),
                below: device.kind.below().to_vec(),
                unlisted: on.unlisted,
                bad: on.united(),
            });
        }
        for fs in &self.filesystems {
            let mut below = vec![fs.device];
            below.extend(fs.log.map(|log| log.device));
            below.extend(fs.rt);
            below.dedup();
            let what = format!("filesystem, {} extents", fs.extents.len());
            let (bad, unlisted) = (Vec::new(), 0);
            layers.push(DrawnLayer { name: fs.name.clone(), what, below, bad, unlisted });
        }
        layers
    }

    /// Bad bytes by device, with the number of ranges that are not listed.
    fn bad(&self) -> BTreeMap<usize, Bad> {
        let machine = Machine::new(self, Quirks::new(Version::V7_2));
        let mut bad: BTreeMap<usize, Bad> = BTreeMap::new();
        let places = self.events.iter().flat_map(|event| places(&machine, event));
        for (device, link) in places.flat_map(|place| pieces(&machine, place)) {
            bad.entry(device).or_default().add(link.upper());
        }
        bad
    }
}

/// Bad bytes of a device.
#[derive(Default)]
struct Bad {
    ranges: Vec<Extent>,
    unlisted: u64,
}

impl Bad {
    /// Nobody reads more chunks of a stripe than this.
    const MOST: u64 = 1 << 12;

    fn add(&mut self, run: Run) {
        if let Some(all) = run.as_extent() {
            self.ranges.push(all);
            return;
        }
        let listed = run.count().min(Self::MOST);
        self.ranges.extend((0..listed).filter_map(|index| run.element(index)));
        self.unlisted = self.unlisted.saturating_add(run.count().saturating_sub(listed));
    }

    /// (first byte, bytes), ascending; what touches is one.
    fn united(mut self) -> Vec<(u64, u64)> {
        self.ranges.sort_unstable();
        let united = Extent::unite(self.ranges);
        united.into_iter().map(|part| (part.start().get(), part.len())).collect()
    }
}
