#![expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "drawn numbers are small, and a panic is a failed check"
)]

use std::collections::{BTreeMap, BTreeSet};

use badrange_core::{HoleKind, Outcome};

use super::{Slot, Twin};

/// What a holder decides about a part of its device, whatever it is notified of.
///
/// # Examples
/// See [`TwinStack`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settle {
    /// First slot.
    pub start: u64,
    /// How many slots.
    pub len: u64,
    /// What it says about them.
    pub outcome: Outcome,
}

/// A holder in plain numbers.
///
/// # Examples
/// See [`TwinStack`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TwinHolder {
    /// The device that it registered on.
    pub on: usize,
    /// First slot of its range.
    pub start: u64,
    /// How many slots.
    pub len: u64,
    /// What it settles.
    pub settles: Vec<Settle>,
    /// What it answers for everything else.
    pub answer: Outcome,
}

impl TwinHolder {
    fn holds(&self, on: usize, slot: u64) -> bool {
        self.on == on && self.start <= slot && slot < self.start + self.len
    }

    /// What becomes of one slot that it is notified of.
    fn says(&self, slot: u64) -> Outcome {
        let covers = |s: &&Settle| s.start <= slot && slot < s.start + s.len;
        let settled: Vec<Outcome> = self.settles.iter().filter(covers).map(|s| s.outcome).collect();
        if settled.is_empty() { self.answer } else { join(&settled) }
    }
}

/// A device of a twin stack.
#[derive(Debug, Clone)]
struct TwinDevice {
    /// One device per leg.
    below: Vec<usize>,
    twin: Twin,
    /// Slots of a page, if it has pages and a fallback.
    page: Option<u64>,
}

/// A whole stack, slot by slot: which device lies on which, who is notified of what, and which pages
/// of which device fall back.
///
/// Physical memory is a device with pages, as any device may be.
///
/// # Examples
/// ```
/// use badrange_core::Outcome;
/// use badrange_testkit::twin::{Settle, Twin, TwinHolder, TwinStack};
///
/// let mut stack = TwinStack::default();
/// let memory = stack.add_device(vec![], Twin::base(8));
/// stack.set_page(memory, 2);
/// let pmem = stack.add_device(vec![memory], Twin::partition(2, 4));
/// let holder = stack.add_holder(TwinHolder {
///     on: pmem,
///     start: 0,
///     len: 2,
///     settles: vec![Settle { start: 1, len: 1, outcome: Outcome::NotSupported }],
///     answer: Outcome::Handled,
/// });
/// // Slots 1..4 of memory: the last two are slots 0 and 1 of the namespace.
/// let fate = stack.fail(memory, 1, 3);
/// assert_eq!(fate.states, [Outcome::Nothing, Outcome::Handled, Outcome::NotSupported]);
/// assert_eq!(fate.notified[holder], [(2, 0), (3, 1)]);
/// assert_eq!(fate.pages[&memory].failed, [0, 1].into());
/// ```
#[derive(Debug, Clone, Default)]
pub struct TwinStack {
    /// `None` once removed; numbers are not reused.
    devices: Vec<Option<TwinDevice>>,
    holders: Vec<Option<TwinHolder>>,
}

/// What a failure leads to.
///
/// # Examples
/// See [`TwinStack`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fate {
    /// The final state of every reported slot that the device has, in order.
    pub states: Vec<Outcome>,
    /// Reported slots past the end of the device.
    pub outside: u64,
    /// For every holder ever added, what it is notified of: reported slot, slot of its own device.
    /// Sorted; a slot that it is notified of twice, by two routes, is there twice.
    pub notified: Vec<Vec<(u64, u64)>>,
    /// Where reported slots arrive: device, reported slot, slot there. Sorted; once for each route.
    pub arrivals: Vec<(usize, u64, u64)>,
    /// Pages of the devices with pages that the failure reaches, by device.
    pub pages: BTreeMap<usize, FatePages>,
    /// Reported slots that nobody handled and that some fallback runs for.
    pub fell_back: BTreeSet<u64>,
}

/// What becomes of the pages of one device.
///
/// # Examples
/// See [`TwinStack`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FatePages {
    /// Pages that the fallback runs on.
    pub failed: BTreeSet<u64>,
    /// Pages with a slot that failed, whoever handled it.
    pub unmapped: BTreeSet<u64>,
    /// Slots in the pages of the fallback that did not fall back themselves.
    pub widened: u64,
}

impl Fate {
    /// The most routes that one reported slot takes.
    #[must_use]
    pub fn routes(&self) -> u64 {
        let mut routes: BTreeMap<u64, u64> = BTreeMap::new();
        for (_, reported, _) in &self.arrivals {
            *routes.entry(*reported).or_default() += 1;
        }
        routes.into_values().max().unwrap_or(0)
    }
}

/// Where a slot ends on its way down.
///
/// # Examples
/// ```
/// use badrange_testkit::twin::{Descent, Twin, TwinStack};
/// let mut stack = TwinStack::default();
/// let disk = stack.add_device(vec![], Twin::base(8));
/// let part = stack.add_device(vec![disk], Twin::partition(2, 4));
/// assert_eq!(stack.descend(part, 1), Descent { device: disk, slot: 3, hole: None });
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Descent {
    /// The lowest device.
    pub device: usize,
    /// The slot there.
    pub slot: u64,
    /// Why that device has nothing below it there, unless it is its own.
    pub hole: Option<HoleKind>,
}

/// A device and a slot of it, from the reported one up.
type Way = Vec<(usize, u64)>;

impl TwinStack {
    /// Adds a device, one device below for each leg; gives its number.
    pub fn add_device(&mut self, below: Vec<usize>, twin: Twin) -> usize {
        self.devices.push(Some(TwinDevice { below, twin, page: None }));
        self.devices.len() - 1
    }

    /// Gives a device pages of so many slots, and a fallback.
    ///
    /// # Panics
    /// When no such number was given.
    pub fn set_page(&mut self, device: usize, slots: u64) {
        let device = self.devices[device].as_mut();
        device.into_iter().for_each(|device| device.page = Some(slots));
    }

    /// Gives a device another table.
    ///
    /// # Panics
    /// When no such number was given.
    pub fn reload(&mut self, device: usize, below: Vec<usize>, twin: Twin) {
        let page = self.devices[device].as_ref().and_then(|device| device.page);
        self.devices[device] = Some(TwinDevice { below, twin, page });
    }

    /// Removes a device and the holders on it.
    ///
    /// # Panics
    /// When no such number was given.
    pub fn remove_device(&mut self, device: usize) {
        self.devices[device] = None;
        for holder in &mut self.holders {
            holder.take_if(|h| h.on == device);
        }
    }

    /// Adds a holder; gives its number.
    pub fn add_holder(&mut self, holder: TwinHolder) -> usize {
        self.holders.push(Some(holder));
        self.holders.len() - 1
    }

    /// Removes a holder; nothing if it is gone.
    ///
    /// # Panics
    /// When no such number was given.
    pub fn remove_holder(&mut self, holder: usize) {
        self.holders[holder] = None;
    }

    /// The picture of a device; `None` when it is gone.
    #[must_use]
    pub fn device(&self, device: usize) -> Option<&Twin> {
        Some(&self.devices.get(device)?.as_ref()?.twin)
    }

    /// What a device lies on; `None` when it is gone.
    #[must_use]
    pub fn below(&self, device: usize) -> Option<&[usize]> {
        Some(&self.devices.get(device)?.as_ref()?.below)
    }

    /// Slots of a page of a device; `None` when it has no pages, or is gone.
    #[must_use]
    pub fn page(&self, device: usize) -> Option<u64> {
        self.devices.get(device)?.as_ref()?.page
    }

    /// Devices on the longest way from the bottom to a device, itself included: fallbacks run from the
    /// topmost device down.
    #[must_use]
    pub fn depth(&self, device: usize) -> usize {
        let below = self.below(device).unwrap_or_default();
        1 + below.iter().map(|below| self.depth(*below)).max().unwrap_or(0)
    }

    /// The holders that are there, by number.
    pub fn holders(&self) -> impl Iterator<Item = (usize, &TwinHolder)> {
        let all = self.holders.iter().enumerate();
        all.filter_map(|(i, holder)| Some((i, holder.as_ref()?)))
    }

    /// Slots `start..start + len` of a device fail.
    ///
    /// # Panics
    /// Where more slots are reported than an index can count.
    #[must_use]
    pub fn fail(&self, on: usize, start: u64, len: u64) -> Fate {
        let there = self.device(on).map_or(0, Twin::len);
        let end = start + len;
        let mut fate = Fate {
            notified: vec![Vec::new(); self.holders.len()],
            outside: end - start.max(end.min(there)),
            ..Fate::default()
        };
        // For each slot of a device with pages: what was said about it, and the reported slots.
        let mut said_above: BTreeMap<(usize, u64), (Vec<Outcome>, BTreeSet<u64>)> = BTreeMap::new();
        for reported in start..end.min(there) {
            let mut ways = Vec::new();
            self.climb(&mut vec![(on, reported)], &mut ways);
            let mut said_of_it = Vec::new();
            for way in ways {
                let said = self.arrive(reported, &way, &mut fate);
                said_of_it.extend(said.iter().copied());
                for place in way.iter().skip(1).filter(|(device, _)| self.page(*device).is_some()) {
                    let (answers, stems_from) = said_above.entry(*place).or_default();
                    answers.extend(said.iter().copied());
                    stems_from.insert(reported);
                }
            }
            if self.page(on).is_some() {
                said_above.insert((on, reported), (said_of_it.clone(), [reported].into()));
            }
            fate.states.push(join(&said_of_it));
        }
        for ((device, slot), (said, stems_from)) in said_above {
            self.fail_page(device, slot, join(&said), &stems_from, &mut fate);
        }
        let states = fate.states.clone();
        // A holder further down may have handled what falls back above it.
        fate.fell_back.retain(|reported| {
            let at = usize::try_from(reported - start).expect("it is reported");
            falls_back(states[at])
        });
        fate.notified.iter_mut().for_each(|notified| notified.sort_unstable());
        fate.arrivals.sort_unstable();
        fate
    }

    /// Notes an arrival; what the holders there say.
    fn arrive(&self, reported: u64, way: &Way, fate: &mut Fate) -> Vec<Outcome> {
        let (device, slot) = way[way.len() - 1];
        fate.arrivals.push((device, reported, slot));
        let mut said = Vec::new();
        for (i, holder) in self.holders().filter(|(_, h)| h.holds(device, slot)) {
            fate.notified[i].push((reported, slot));
            said.push(holder.says(slot));
        }
        said
    }

    /// A slot of a device with pages has failed.
    fn fail_page(
        &self,
        device: usize,
        slot: u64,
        said: Outcome,
        stems_from: &BTreeSet<u64>,
        fate: &mut Fate,
    ) {
        let Some(size) = self.page(device) else { return };
        let pages = fate.pages.entry(device).or_default();
        pages.unmapped.insert(slot / size);
        if falls_back(said) {
            if pages.failed.insert(slot / size) {
                pages.widened += size;
            }
            pages.widened -= 1;
            fate.fell_back.extend(stems_from);
        }
    }

    /// Every way up from the last place of `way`, the one that ends there first.
    fn climb(&self, way: &mut Way, ways: &mut Vec<Way>) {
        ways.push(way.clone());
        let here = way[way.len() - 1];
        for (device, entry) in self.devices.iter().enumerate() {
            let Some(TwinDevice { below, twin, .. }) = entry else { continue };
            for (upper, lies) in (0..).zip(twin.slots()) {
                if on(below, *lies) == Some(here) {
                    way.push((device, upper));
                    self.climb(way, ways);
                    way.pop();
                }
            }
        }
    }

    /// Where a slot of a device lies in the end.
    ///
    /// # Panics
    /// When the device is not there.
    #[must_use]
    pub fn descend(&self, device: usize, slot: u64) -> Descent {
        let TwinDevice { below, twin, .. } = self.devices[device].as_ref().expect("it is there");
        match twin.map(slot) {
            Slot::Hole(kind) => Descent { device, slot, hole: Some(kind) },
            Slot::Own => Descent { device, slot, hole: None },
            Slot::On { leg, at } => {
                self.descend(below[usize::try_from(leg).expect("few legs")], at)
            }
        }
    }
}

fn falls_back(said: Outcome) -> bool {
    match said {
        Outcome::Nothing | Outcome::NotSupported => true,
        Outcome::Handled | Outcome::Failed(_) => false,
    }
}

/// The device and the slot that a slot lies on.
fn on(below: &[usize], lies: Slot) -> Option<(usize, u64)> {
    match lies {
        Slot::On { leg, at } => Some((*below.get(usize::try_from(leg).ok()?)?, at)),
        Slot::Hole(_) | Slot::Own => None,
    }
}

/// Several answers for one byte: any wish for the fallback, else the lowest error, else handled.
fn join(said: &[Outcome]) -> Outcome {
    if said.contains(&Outcome::NotSupported) {
        return Outcome::NotSupported;
    }
    let errors = said.iter().filter_map(|o| match o {
        Outcome::Failed(errno) => Some(*errno),
        Outcome::Nothing | Outcome::Handled | Outcome::NotSupported => None,
    });
    match errors.min() {
        Some(errno) => Outcome::Failed(errno),
        None if said.contains(&Outcome::Handled) => Outcome::Handled,
        None => Outcome::Nothing,
    }
}
