#![expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "drawn numbers are small, and a panic is a failed check"
)]

use std::{collections::BTreeSet, sync::Arc};

use arbitrary::Arbitrary;
use badrange_block::dm::Table;
use badrange_core::{DevOffset, DeviceId, MfFlags};
use badrange_stack::{
    DeviceSpec, Limits, RegisterErrorKind, Stack, TopologyError, TopologyErrorKind,
};

use super::{
    Answer, TestCase,
    build::{Built, SLOT, SLOTS_PER_SECTOR, Watch, faulty, leg_devices},
};
use crate::{
    draw::{few, within},
    fake::Recorder,
    twin::{Place, Space, Target, Twin, TwinHolder, agree::bytes},
};

/// Small, so that every one of them is reached.
const LIMITS: Limits = Limits { depth: 3, devices: 5, holders: 4, legs: 5, ..Limits::DEFAULT };

/// One change of a stack, or one failure. Devices are numbered in the order in which they were
/// added, modulo how many there ever were: removed ones are asked for too.
///
/// # Examples
/// ```
/// use badrange_testkit::case::{Op, RegistryOps, TestCase};
/// let ops = vec![
///     Op::AddDisk { name: 0, sectors: 8 }, // refused: the disk that is there has the name
///     Op::Remove { device: 0 },
///     Op::AddDisk { name: 0, sectors: 8 },
/// ];
/// RegistryOps { ops }.check();
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Arbitrary)]
pub enum Op {
    /// Adds a disk.
    AddDisk {
        /// Its name is `d` and this number.
        #[arbitrary(with = within::<0, 5>)]
        name: u64,
        /// Its sectors.
        #[arbitrary(with = within::<1, 60>)]
        sectors: u64,
    },
    /// Adds a device on others.
    AddTable {
        /// Its name is `d` and this number.
        #[arbitrary(with = within::<0, 5>)]
        name: u64,
        /// Its targets; they need not fit.
        #[arbitrary(with = few::<_, 1, 2>)]
        targets: Vec<Target>,
    },
    /// Gives a device another table.
    Reload {
        /// Which.
        #[arbitrary(with = within::<0, 9>)]
        device: u64,
        /// The new targets; they need not fit.
        #[arbitrary(with = few::<_, 1, 2>)]
        targets: Vec<Target>,
    },
    /// Removes a device.
    Remove {
        /// Which.
        #[arbitrary(with = within::<0, 9>)]
        device: u64,
    },
    /// Registers a holder.
    Register {
        /// On which device.
        #[arbitrary(with = within::<0, 9>)]
        device: u64,
        /// First half sector.
        #[arbitrary(with = within::<0, 60>)]
        start: u64,
        /// Half sectors.
        #[arbitrary(with = within::<1, 60>)]
        len: u64,
        /// What it answers.
        answer: Answer,
    },
    /// Ends a registration.
    Unregister {
        /// Which, modulo how many there ever were.
        #[arbitrary(with = within::<0, 9>)]
        holder: u64,
    },
    /// A range of a device fails.
    Notify {
        /// Which device.
        #[arbitrary(with = within::<0, 9>)]
        device: u64,
        /// First half sector.
        #[arbitrary(with = within::<0, 80>)]
        start: u64,
        /// Half sectors.
        #[arbitrary(with = within::<1, 80>)]
        len: u64,
    },
}

/// Sequences of changes and failures against a naive model of the registry.
///
/// # Examples
/// See [`Op`].
#[derive(Debug, Clone, PartialEq, Eq, Arbitrary)]
pub struct RegistryOps {
    /// What happens to a disk of 60 sectors, in order. What cannot be has to be refused, and for a reason that applies.
    #[arbitrary(with = few::<_, 0, 24>)]
    pub ops: Vec<Op>,
}

impl TestCase for RegistryOps {
    fn check(&self) {
        let mut model = Model { built: Built::new(Stack::with_limits(LIMITS)), names: Vec::new() };
        model.add_disk(0, 60);
        for op in &self.ops {
            model.apply(op);
        }
        for device in 0..model.names.len() {
            let _checked = model.built.fire_on_device(device, 0, 60, MfFlags::NONE);
        }
    }
}

struct Model {
    built: Built,
    /// By number; `None` once removed.
    names: Vec<Option<String>>,
}

/// Reasons to refuse something: any of `must` has to be given if there is one; those of `may` can.
#[derive(Debug, Default)]
struct Reasons {
    must: BTreeSet<String>,
    may: BTreeSet<String>,
}

impl Reasons {
    fn must(&mut self, applies: bool, kind: TopologyErrorKind) {
        if applies {
            self.must.insert(format!("{kind:?}"));
        }
    }

    /// Checks a refusal, or that there was none; whether it went through.
    fn check<T>(&self, result: Result<T, TopologyError>) -> Option<T> {
        match result {
            Ok(value) => {
                assert!(self.must.is_empty(), "went through in spite of {:?}", self.must);
                Some(value)
            }
            Err(err) => {
                let said = format!("{:?}", err.kind());
                assert!(self.must.union(&self.may).any(|r| *r == said), "{err}: {self:?}");
                None
            }
        }
    }
}

impl Model {
    fn apply(&mut self, op: &Op) {
        match op {
            Op::AddDisk { name, sectors } => self.add_disk(*name, *sectors),
            Op::AddTable { name, targets } => self.add_table(*name, targets),
            Op::Reload { device, targets } => self.reload(*device, targets),
            Op::Remove { device } => self.remove(*device),
            Op::Register { device, start, len, answer } => {
                self.register(*device, *start, *len, *answer);
            }
            Op::Unregister { holder } => self.unregister(*holder),
            Op::Notify { device, start, len } => {
                if let Some(device) = self.number(*device) {
                    let none = MfFlags::NONE;
                    let _checked = self.built.fire_on_device(device, *start, *len, none);
                }
            }
        }
        for (i, name) in self.names.iter().enumerate() {
            let id = self.built.devices[i];
            assert_eq!(self.built.stack.device_name(id).as_deref(), name.as_deref());
        }
    }

    /// A device that is or was there.
    fn number(&self, device: u64) -> Option<usize> {
        usize::try_from(device).ok()?.checked_rem(self.names.len())
    }

    fn is_there(&self, device: usize) -> bool {
        self.built.twin.device(device).is_some()
    }

    fn added(&mut self, id: DeviceId, name: String, below: Vec<Space>, twin: Twin) {
        assert!(!self.built.devices.contains(&id), "an id comes back");
        self.built.devices.push(id);
        self.names.push(Some(name));
        self.built.twin.add_device(below, twin);
    }

    fn new_name(&self, name: u64, reasons: &mut Reasons) -> String {
        let name = format!("d{name}");
        let taken = self.names.iter().flatten().any(|n| *n == name);
        reasons.must(taken, TopologyErrorKind::DuplicateName);
        let full = self.names.iter().flatten().count() >= LIMITS.devices;
        reasons.must(full, TopologyErrorKind::TooManyDevices);
        name
    }

    fn add_disk(&mut self, name: u64, sectors: u64) {
        let mut reasons = Reasons::default();
        let name = self.new_name(name, &mut reasons);
        let len = sectors * SLOTS_PER_SECTOR;
        let spec = DeviceSpec::base(name.as_str(), bytes(SLOT, 0, len));
        if let Some(id) = reasons.check(self.built.stack.add_device(spec)) {
            self.added(id, name, Vec::new(), Twin::base(len));
        }
    }

    fn add_table(&mut self, name: u64, targets: &[Target]) {
        let Some(targets) = &self.nearly_fit(targets) else { return };
        let (table, legs) = built(targets);
        let mut reasons = Reasons::default();
        let name = self.new_name(name, &mut reasons);
        self.leg_reasons(None, targets, &legs, &mut reasons);
        let ids = self.ids(&legs);
        let spec = DeviceSpec::on(name.as_str(), Arc::new(table), ids);
        if let Some(id) = reasons.check(self.built.stack.add_device(spec)) {
            let below = legs.into_iter().map(Space::Device).collect();
            self.added(id, name, below, picture(targets));
        }
    }

    /// The targets on devices that are or were there, most of them inside; `None` while there is
    /// no device at all.
    fn nearly_fit(&self, targets: &[Target]) -> Option<Vec<Target>> {
        let place = |leg: &Place, width: u64| {
            let device = self.number(leg.device)?;
            let sectors = self.built.len_of(device) / SLOTS_PER_SECTOR;
            let start = leg.start % (sectors.saturating_sub(width) + 2);
            Some(Place { device: device as u64, start })
        };
        let fit = |target: &Target| match target {
            Target::Linear { on, len } => Some(Target::Linear { on: place(on, *len)?, len: *len }),
            Target::Striped { chunk, rows, legs } => {
                let width = target.width();
                let legs = legs.iter().map(|leg| place(leg, width)).collect::<Option<_>>()?;
                Some(Target::Striped { chunk: *chunk, rows: *rows, legs })
            }
            Target::Error { .. } | Target::Zero { .. } => Some(target.clone()),
        };
        targets.iter().map(fit).collect()
    }

    fn ids(&self, legs: &[usize]) -> Vec<DeviceId> {
        legs.iter().map(|leg| self.built.devices[*leg]).collect()
    }

    /// Reasons against these legs, for a new device or a reloaded one.
    fn leg_reasons(
        &self,
        this: Option<usize>,
        targets: &[Target],
        legs: &[usize],
        reasons: &mut Reasons,
    ) {
        reasons.must(legs.len() > LIMITS.legs, TopologyErrorKind::TooManyLegs);
        let height = this.map_or(1, |this| self.height(this));
        let widths = targets.iter().flat_map(|t| t.legs().iter().map(|p| (p.start, t.width())));
        for (leg, (start, width)) in legs.iter().zip(widths) {
            let gone = !self.is_there(*leg);
            reasons.must(gone, TopologyErrorKind::UnknownDevice);
            if gone {
                continue;
            }
            let cycle = this.is_some_and(|this| self.lies_on(*leg, this));
            reasons.must(cycle, TopologyErrorKind::Cycle);
            let outside = (start + width) * SLOTS_PER_SECTOR > self.built.len_of(*leg);
            reasons.must(outside, TopologyErrorKind::LegOutside);
            let deep = !cycle && self.depth(*leg) + height > LIMITS.depth;
            reasons.must(deep, TopologyErrorKind::TooDeep);
            self.entry_reasons(this, *leg, legs, reasons);
        }
    }

    /// A device that has no room for one more entry has to refuse a leg; one that has room for
    /// some of the legs may.
    fn entry_reasons(
        &self,
        this: Option<usize>,
        leg: usize,
        legs: &[usize],
        reasons: &mut Reasons,
    ) {
        let there = self.entries(leg, this);
        let new = legs.iter().filter(|l| **l == leg).count();
        reasons.must(there >= LIMITS.holders, TopologyErrorKind::TooManyHolders);
        if there + new > LIMITS.holders {
            reasons.may.insert(format!("{:?}", TopologyErrorKind::TooManyHolders));
        }
    }

    /// Registrations and legs on a device, those of `without` left out.
    fn entries(&self, on: usize, without: Option<usize>) -> usize {
        let space = Space::Device(on);
        let holders = self.built.twin.holders().filter(|(_, h)| h.on == space).count();
        let devices = (0..self.names.len()).filter(|d| Some(*d) != without);
        let legs = devices.flat_map(|d| self.below(d)).filter(|below| *below == on);
        holders + legs.count()
    }

    fn below(&self, device: usize) -> Vec<usize> {
        let below = self.built.twin.below(device).unwrap_or_default().iter();
        let devices = below.filter_map(|space| match space {
            Space::Memory => None,
            Space::Device(device) => Some(*device),
        });
        devices.collect()
    }

    fn above(&self, device: usize) -> Vec<usize> {
        (0..self.names.len()).filter(|d| self.below(*d).contains(&device)).collect()
    }

    fn depth(&self, device: usize) -> usize {
        1 + self.below(device).into_iter().map(|d| self.depth(d)).max().unwrap_or(0)
    }

    fn height(&self, device: usize) -> usize {
        1 + self.above(device).into_iter().map(|d| self.height(d)).max().unwrap_or(0)
    }

    fn lies_on(&self, device: usize, other: usize) -> bool {
        device == other || self.below(device).into_iter().any(|d| self.lies_on(d, other))
    }

    fn reload(&mut self, device: u64, targets: &[Target]) {
        let Some(targets) = &self.nearly_fit(targets) else { return };
        let Some(device) = self.number(device) else { return };
        let (table, legs) = built(targets);
        let mut reasons = Reasons::default();
        let there = self.is_there(device);
        reasons.must(!there, TopologyErrorKind::UnknownDevice);
        if there {
            let is_disk = self.built.twin.device(device).is_some_and(|twin| twin.legs() == 0);
            let has_table = self.built.twin.below(device).is_some_and(|below| !below.is_empty());
            // A table of holes only has no legs, as a disk has none; the model tells them apart
            // by what their slots are.
            let holes = is_disk && !is_base(self.built.twin.device(device));
            reasons.must(!has_table && !holes, TopologyErrorKind::NoTable);
            let len = picture(targets).len();
            reasons.must(self.furthest_entry(device) > len, TopologyErrorKind::Shrunk);
            self.leg_reasons(Some(device), targets, &legs, &mut reasons);
        }
        let (id, ids) = (self.built.devices[device], self.ids(&legs));
        if reasons.check(self.built.stack.reload(id, Arc::new(table), ids)).is_some() {
            let below = legs.into_iter().map(Space::Device).collect();
            self.built.twin.reload(device, below, picture(targets));
        }
    }

    /// Where the last registration or leg on a device ends.
    fn furthest_entry(&self, device: usize) -> u64 {
        let on = Space::Device(device);
        let holders = self.built.twin.holders().filter(|(_, h)| h.on == on);
        let holders = holders.map(|(_, h)| h.start + h.len).max().unwrap_or(0);
        let legs = self.above(device).into_iter().filter_map(|d| {
            let (below, twin) = (self.built.twin.below(d)?, self.built.twin.device(d)?);
            let ends = twin.slots().iter().filter_map(|slot| match slot {
                crate::twin::Slot::On { leg, at } => {
                    let leg = usize::try_from(*leg).expect("small");
                    (below[leg] == on).then_some(at + 1)
                }
                crate::twin::Slot::Hole(_) => None,
            });
            ends.max()
        });
        legs.max().unwrap_or(0).max(holders)
    }

    fn remove(&mut self, device: u64) {
        let Some(device) = self.number(device) else { return };
        let mut reasons = Reasons::default();
        reasons.must(!self.is_there(device), TopologyErrorKind::UnknownDevice);
        reasons.must(!self.above(device).is_empty(), TopologyErrorKind::InUse);
        let removed = self.built.stack.remove_device(self.built.devices[device]);
        if let Some(report) = reasons.check(removed) {
            let all = self.built.len_of(device);
            let fate = self.built.twin.fail(Space::Device(device), 0, all);
            self.built.check(&fate, &report);
            self.built.twin.remove_device(device);
            self.names[device] = None;
        }
    }

    fn register(&mut self, device: u64, start: u64, len: u64, answer: Answer) {
        let Some(device) = self.number(device) else { return };
        let mut must = Vec::new();
        if !self.is_there(device) {
            must.push(RegisterErrorKind::UnknownDevice);
        } else {
            if start + len > self.built.len_of(device) {
                must.push(RegisterErrorKind::Outside);
            }
            if self.entries(device, None) >= LIMITS.holders {
                must.push(RegisterErrorKind::TooManyHolders);
            }
        }
        let recorder = Arc::new(Recorder::<DevOffset>::new(answer.into()));
        let range = bytes(SLOT, start, len);
        let id = self.built.devices[device];
        let panics = answer == Answer::Panics;
        match self.built.stack.register(id, range, faulty(&recorder, panics)) {
            Ok(registration) => {
                assert_eq!(must, [], "went through");
                let (on, settles) = (Space::Device(device), Vec::new());
                let holder = TwinHolder { on, start, len, settles, answer: answer.into() };
                self.built.added(holder, Watch::Device(recorder), panics, registration);
            }
            Err(err) => assert!(must.contains(&err.kind()), "{err}: {must:?}"),
        }
    }

    fn unregister(&mut self, holder: u64) {
        let count = self.built.registrations.len();
        let holder = usize::try_from(holder).ok().and_then(|h| h.checked_rem(count));
        let Some(holder) = holder else { return };
        if let Some(registration) = self.built.registrations[holder].take() {
            registration.unregister().expect("not inside a callback");
            self.built.twin.remove_holder(holder);
        }
    }
}

/// The table, and the devices of its legs.
fn built(targets: &[Target]) -> (Table, Vec<usize>) {
    let table = Target::build_table(targets).expect("drawn targets make a table");
    (table, leg_devices(targets))
}

fn picture(targets: &[Target]) -> Twin {
    Twin::table(targets).refined(SLOTS_PER_SECTOR)
}

/// A disk's slots are on nothing; those of a table are on a leg, or errors or zeros.
fn is_base(twin: Option<&Twin>) -> bool {
    let unmapped = crate::twin::Slot::Hole(badrange_core::HoleKind::Unmapped);
    twin.is_some_and(|twin| twin.slots().iter().all(|slot| *slot == unmapped))
}
