#![expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "drawn numbers are small, and a panic is a failed check"
)]

use std::collections::BTreeSet;

use badrange_core::{Outcome, PAGE_SIZE};
use badrange_stack::State;

use super::{Slot, Twin};

/// An address space of a twin stack.
///
/// # Examples
/// ```
/// use badrange_testkit::twin::Space;
/// assert_ne!(Space::Memory, Space::Device(0));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Space {
    /// Physical memory.
    Memory,
    /// The device with this number.
    Device(usize),
}

/// What a device of a twin stack lies on: one address space per leg.
///
/// # Examples
/// ```
/// use badrange_testkit::twin::{Below, Space};
/// let striped: Below = vec![Space::Device(0), Space::Device(1)];
/// assert_eq!(striped.len(), 2);
/// ```
pub type Below = Vec<Space>;

/// What a holder decides about a part of its device, whatever it is told.
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
    /// Where it registered.
    pub on: Space,
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
    fn holds(&self, on: Space, slot: u64) -> bool {
        self.on == on && self.start <= slot && slot < self.start + self.len
    }

    /// What becomes of one slot that it is told about.
    fn says(&self, slot: u64) -> Outcome {
        let covers = |s: &&Settle| s.start <= slot && slot < s.start + s.len;
        let settled: Vec<Outcome> = self.settles.iter().filter(covers).map(|s| s.outcome).collect();
        if settled.is_empty() { self.answer } else { join(&settled) }
    }
}

/// A whole stack, slot by slot: who lies on whom, and who is told what.
///
/// # Examples
/// ```
/// use badrange_core::Outcome;
/// use badrange_stack::State;
/// use badrange_testkit::twin::{Settle, Space, Twin, TwinHolder, TwinStack};
///
/// let mut stack = TwinStack::new(512);
/// let disk = stack.add_device(vec![], Twin::base(8));
/// let part = stack.add_device(vec![Space::Device(disk)], Twin::partition(2, 4));
/// let holder = stack.add_holder(TwinHolder {
///     on: Space::Device(part),
///     start: 0,
///     len: 2,
///     settles: vec![Settle { start: 1, len: 1, outcome: Outcome::NotSupported }],
///     answer: Outcome::Handled,
/// });
/// // Slots 1..4 of the disk: the last two are slots 0 and 1 of the partition.
/// let fate = stack.fail(Space::Device(disk), 1, 3);
/// assert_eq!(fate.states, [State::Unreached, State::Handled, State::NotSupported]);
/// assert_eq!(fate.told[holder], [(1, 0), (2, 1)]);
/// ```
#[derive(Debug, Clone, Default)]
pub struct TwinStack {
    slot_len: u64,
    /// `None` once removed; numbers are not reused.
    devices: Vec<Option<(Below, Twin)>>,
    holders: Vec<Option<TwinHolder>>,
}

/// What a failure leads to.
///
/// # Examples
/// See [`TwinStack`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fate {
    /// The final state of every reported slot, in order.
    pub states: Vec<State>,
    /// For every holder ever added, what it is told: slot of the report, slot of its own space.
    /// Sorted; a slot that it is told about twice, by two ways, is there twice.
    pub told: Vec<Vec<(u64, u64)>>,
    /// Pages of physical memory that the fallback runs on, when the failure is in memory.
    pub pages: BTreeSet<u64>,
}

impl TwinStack {
    /// No devices; slots are `slot_len` bytes.
    #[must_use]
    pub fn new(slot_len: u64) -> Self {
        Self { slot_len, ..Self::default() }
    }

    /// Bytes of a slot.
    #[must_use]
    pub fn slot_len(&self) -> u64 {
        self.slot_len
    }

    /// Adds a device; gives its number.
    pub fn add_device(&mut self, below: Below, twin: Twin) -> usize {
        self.devices.push(Some((below, twin)));
        self.devices.len() - 1
    }

    /// Gives a device another table.
    ///
    /// # Panics
    /// When no such number was given.
    pub fn reload(&mut self, device: usize, below: Below, twin: Twin) {
        self.devices[device] = Some((below, twin));
    }

    /// Removes a device and the holders on it.
    ///
    /// # Panics
    /// When no such number was given.
    pub fn remove_device(&mut self, device: usize) {
        self.devices[device] = None;
        for holder in &mut self.holders {
            holder.take_if(|h| h.on == Space::Device(device));
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
        self.devices.get(device)?.as_ref().map(|(_, twin)| twin)
    }

    /// What a device lies on; `None` when it is gone.
    #[must_use]
    pub fn below(&self, device: usize) -> Option<&[Space]> {
        self.devices.get(device)?.as_ref().map(|(below, _)| below.as_slice())
    }

    /// Everybody who holds something, by number.
    pub fn holders(&self) -> impl Iterator<Item = (usize, &TwinHolder)> {
        (0..).zip(&self.holders).filter_map(|(i, h)| Some((i, h.as_ref()?)))
    }

    /// Slots `start..start + len` of an address space fail.
    #[must_use]
    pub fn fail(&self, on: Space, start: u64, len: u64) -> Fate {
        let mut fate = Fate {
            states: Vec::new(),
            told: vec![Vec::new(); self.holders.len()],
            pages: BTreeSet::new(),
        };
        for origin in 0..len {
            let mut ways = Vec::new();
            self.climb(on, start + origin, &mut ways);
            let mut said = Vec::new();
            for (space, slot) in ways {
                for (i, holder) in self.holders().filter(|(_, h)| h.holds(space, slot)) {
                    fate.told[i].push((origin, slot));
                    said.push(holder.says(slot));
                }
            }
            let state = state(join(&said));
            if on == Space::Memory && matches!(state, State::NotSupported | State::Unreached) {
                let first = (start + origin) * self.slot_len;
                fate.pages.extend((first..first + self.slot_len).map(|byte| byte / PAGE_SIZE));
            }
            fate.states.push(state);
        }
        fate.told.iter_mut().for_each(|told| told.sort_unstable());
        fate
    }

    /// Every place that a slot has, itself first, once for each way to it.
    fn climb(&self, on: Space, slot: u64, ways: &mut Vec<(Space, u64)>) {
        ways.push((on, slot));
        for (device, entry) in self.devices.iter().enumerate() {
            let Some((below, twin)) = entry else { continue };
            for (upper, lies) in (0..).zip(twin.slots()) {
                let Slot::On { leg, at } = lies else { continue };
                let space = below.iter().zip(0..).find(|(_, i)| i == leg).map(|(space, _)| *space);
                if space == Some(on) && *at == slot {
                    self.climb(Space::Device(device), upper, ways);
                }
            }
        }
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

fn state(said: Outcome) -> State {
    match said {
        Outcome::Nothing => State::Unreached,
        Outcome::Handled => State::Handled,
        Outcome::Failed(errno) => State::Failed(errno),
        Outcome::NotSupported => State::NotSupported,
    }
}
