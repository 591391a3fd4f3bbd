//! The stack of a scenario, for drawing.

use std::collections::BTreeMap;

use badrange_core::PAGE_SIZE;

use crate::{
    Scenario,
    kernel::{Quirks, Version},
    machine::Machine,
    scenario::{DeviceKind, Event},
    storm::{data, frames},
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
}

impl Scenario {
    /// The devices in the order of the scenario, and then the filesystems.
    ///
    /// Bad are the pages of `memory_failure`, ranges, lists and storms, the bytes of machine
    /// checks (as pages) and of notifications, and whatever lies on them.
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
        let bad = self.bad();
        let on = |device: usize| bad.get(&device).cloned().unwrap_or_default();
        let mut layers: Vec<Layer> = Vec::new();
        for (index, device) in self.devices.iter().enumerate() {
            let kind = match &device.kind {
                DeviceKind::Pmem(pmem) => {
                    format!("pmem at {:#x}", pmem.namespace.whole().start().get())
                }
                DeviceKind::Partition { .. } => "partition".to_owned(),
                DeviceKind::Dm { .. } => "dm".to_owned(),
            };
            layers.push(Layer {
                name: device.name.clone(),
                what: format!("{kind}, {} bytes", device.size),
                below: device.kind.below().to_vec(),
                bad: on(index),
            });
        }
        for fs in &self.filesystems {
            let mut below = vec![fs.device];
            below.extend(fs.log.map(|log| log.device));
            below.extend(fs.rt);
            below.dedup();
            let what = format!("filesystem, {} extents", fs.extents.len());
            layers.push(Layer { name: fs.name.clone(), what, below, bad: Vec::new() });
        }
        layers
    }

    /// Bad bytes by device.
    fn bad(&self) -> BTreeMap<usize, Vec<(u64, u64)>> {
        let machine = Machine::new(self, Quirks::new(Version::V7_2));
        let mut bad: BTreeMap<usize, Vec<(u64, u64)>> = BTreeMap::new();
        for (phys, len) in self.events.iter().flat_map(memory) {
            for (index, device) in self.devices.iter().enumerate() {
                let Some((start, size)) = data(device) else { continue };
                let (from, to) =
                    (phys.max(start), phys.saturating_add(len).min(start.saturating_add(size)));
                if let Some(bytes) = to.checked_sub(from).filter(|bytes| *bytes > 0) {
                    for (device, at, len) in machine.above(index, from.saturating_sub(start), bytes)
                    {
                        bad.entry(device).or_default().push((at, len));
                    }
                }
            }
        }
        for event in &self.events {
            if let Event::Notify { device, start, len, .. } = event {
                let disk = machine.disk(*device);
                let size = self.devices.get(disk).map_or(0, |device| device.size);
                let len = size.saturating_sub(*start).min(*len);
                for (device, at, len) in machine.above(disk, *start, len) {
                    bad.entry(device).or_default().push((at, len));
                }
            }
        }
        bad.values_mut().for_each(join);
        bad.retain(|_, ranges| !ranges.is_empty());
        bad
    }
}

/// Bytes of memory that an event says are bad: (first, count).
fn memory(event: &Event) -> Vec<(u64, u64)> {
    let bytes = |(first, pages): (u64, u64)| {
        Some((first.checked_mul(PAGE_SIZE)?, pages.checked_mul(PAGE_SIZE)?))
    };
    match event {
        Event::MemoryFailure { pfn, .. } => bytes((*pfn, 1)).into_iter().collect(),
        Event::Storm(storm) => storm
            .ranges()
            .into_iter()
            .filter_map(|(first, end)| bytes((first, end.checked_sub(first)?)))
            .collect(),
        Event::MachineCheck { phys, .. } => frames(*phys, 1).and_then(bytes).into_iter().collect(),
        Event::Madvise { .. }
        | Event::Notify { .. }
        | Event::Unbind { .. }
        | Event::Mount { .. }
        | Event::Touch { .. }
        | Event::Io { .. } => Vec::new(),
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
