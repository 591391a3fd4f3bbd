#![expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "drawn numbers are small, and a panic is a failed check"
)]

use std::{collections::BTreeSet, sync::Arc};

use arbitrary::Arbitrary;
use badrange_block::dm::Table;
use badrange_core::{DeviceId, Extent, MfFlags};
use badrange_stack::{
    DeviceSpec, Limits, NoDevice, RegisterErrorKind, Stack, TopologyError, TopologyErrorKind,
};

use super::{
    DrawnAnswer, DrawnPage, TestCase,
    build::{Built, DrawnHolder, SLOT, SLOTS_PER_SECTOR, leg_devices},
};
use crate::{
    draw::{few, within},
    fake::Recorder,
    twin::{DrawnPlace, DrawnTarget, Slot, Twin, TwinHolder, agree::bytes},
};

/// Small, so that every one of them is reached.
const LIMITS: Limits = Limits { depth: 3, devices: 5, holders: 4, legs: 5, ..Limits::DEFAULT };

/// The number of a device of another stack.
const FOREIGN: u64 = 9;

/// One change of a stack, or one failure. Devices are numbered in the order in which they were
/// added, modulo how many there ever were: removed ones are asked for too. Device 9 is one of another
/// stack.
///
/// # Examples
/// ```
/// use badrange_testkit::case::{DrawnPage, Op, RegistryOps, TestCase};
/// let ops = vec![
///     // Refused: the disk that is there has the name.
///     Op::AddDisk { name: 0, sectors: 8, page: DrawnPage::None },
///     Op::Remove { device: 0 },
///     Op::AddDisk { name: 0, sectors: 8, page: DrawnPage::K4 },
/// ];
/// RegistryOps { ops }.check();
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Arbitrary)]
pub enum Op {
    /// Adds a disk, or with pages a memory.
    AddDisk {
        /// Its name is `d` and this number.
        #[arbitrary(with = within::<0, 5>)]
        name: u64,
        /// Its sectors.
        #[arbitrary(with = within::<1, 60>)]
        sectors: u64,
        /// Its pages.
        page: DrawnPage,
    },
    /// Adds a device on others.
    AddTable {
        /// Its name is `d` and this number.
        #[arbitrary(with = within::<0, 5>)]
        name: u64,
        /// Its targets; they need not fit.
        #[arbitrary(with = few::<_, 1, 2>)]
        targets: Vec<DrawnTarget>,
    },
    /// Gives a device another table.
    Reload {
        /// Which.
        #[arbitrary(with = within::<0, 9>)]
        device: u64,
        /// The new targets; they need not fit.
        #[arbitrary(with = few::<_, 1, 2>)]
        targets: Vec<DrawnTarget>,
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
        answer: DrawnAnswer,
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
        let mut model = Model::new();
        model.add_disk(0, 60, DrawnPage::TwoSectors);
        for op in &self.ops {
            model.apply(op);
        }
        for device in 0..model.names.len() {
            model.fail(device, 0, 60);
        }
    }
}

struct Model {
    built: Built,
    /// By number; `None` once removed.
    names: Vec<Option<String>>,
    /// A device of another stack, which is there.
    foreign: DeviceId,
    _other: Stack,
}

/// A device that is named: one that is or was there, or one of another stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Named {
    Ours(usize),
    Foreign,
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
    fn new() -> Self {
        let other = Stack::new();
        let foreign = other.add_device(DeviceSpec::base("d0", bytes(SLOT, 0, 120)));
        let foreign = foreign.expect("an empty stack has room");
        Self { built: Built::new(LIMITS), names: Vec::new(), foreign, _other: other }
    }

    fn apply(&mut self, op: &Op) {
        match op {
            Op::AddDisk { name, sectors, page } => self.add_disk(*name, *sectors, *page),
            Op::AddTable { name, targets } => self.add_table(*name, targets),
            Op::Reload { device, targets } => self.reload(*device, targets),
            Op::Remove { device } => self.remove(*device),
            Op::Register { device, start, len, answer } => {
                self.register(*device, *start, *len, *answer);
            }
            Op::Unregister { holder } => self.unregister(*holder),
            Op::Notify { device, start, len } => match self.number(*device) {
                Some(Named::Ours(device)) => self.fail(device, *start, *len),
                Some(Named::Foreign) => self.fail_foreign(*start, *len),
                None => {} // no device has been added yet
            },
        }
        self.built.validate();
        for (i, name) in self.names.iter().enumerate() {
            let id = self.built.devices[i];
            assert_eq!(self.built.stack.device_name(id).as_deref(), name.as_deref());
        }
    }

    /// A range fails of a device that is there, or was.
    fn fail(&self, device: usize, start: u64, len: u64) {
        if self.is_there(device) {
            let _checked = self.built.fire(device, start, len, MfFlags::NONE);
            return;
        }
        let id = self.built.devices[device];
        let refused = self.built.stack.fail(id, bytes(SLOT, start, len), MfFlags::NONE);
        assert_eq!(refused.map(drop), Err(NoDevice::Removed(id)));
    }

    fn fail_foreign(&self, start: u64, len: u64) {
        let range: Extent = bytes(SLOT, start, len);
        let refused = self.built.stack.fail(self.foreign, range, MfFlags::NONE);
        assert_eq!(refused.map(drop), Err(NoDevice::Foreign(self.foreign)));
        let asked = self.built.stack.snapshot().up(self.foreign, range.into(), &mut |_| {
            unreachable!("nothing is known of a device of another stack")
        });
        assert_eq!(asked, Err(NoDevice::Foreign(self.foreign)));
    }

    fn number(&self, device: u64) -> Option<Named> {
        if device == FOREIGN {
            return Some(Named::Foreign);
        }
        usize::try_from(device).ok()?.checked_rem(self.names.len()).map(Named::Ours)
    }

    fn is_there(&self, device: usize) -> bool {
        self.built.twin.device(device).is_some()
    }

    fn new_name(&self, name: u64, reasons: &mut Reasons) -> String {
        let name = format!("d{name}");
        let taken = self.names.iter().flatten().any(|n| *n == name);
        reasons.must(taken, TopologyErrorKind::DuplicateName);
        let full = self.names.iter().flatten().count() >= LIMITS.devices;
        reasons.must(full, TopologyErrorKind::TooManyDevices);
        name
    }

    fn add_disk(&mut self, name: u64, sectors: u64, page: DrawnPage) {
        let mut reasons = Reasons::default();
        let name = self.new_name(name, &mut reasons);
        let len = sectors * SLOTS_PER_SECTOR;
        let spec = DeviceSpec::base(name.as_str(), bytes(SLOT, 0, len));
        let (spec, pages) = Built::paged(spec, page);
        if let Some(id) = reasons.check(self.built.stack.add_device(spec)) {
            assert!(!self.built.devices.contains(&id), "an id comes back");
            self.built.added_device(id, pages, Vec::new(), Twin::base(len));
            self.names.push(Some(name));
        }
    }

    fn add_table(&mut self, name: u64, targets: &[DrawnTarget]) {
        let Some(targets) = &self.nearly_fit(targets) else { return }; // no device yet
        let (table, legs) = built(targets);
        let mut reasons = Reasons::default();
        let name = self.new_name(name, &mut reasons);
        self.leg_reasons(None, targets, &legs, &mut reasons);
        let ids = self.ids(&legs);
        let spec = DeviceSpec::on(name.as_str(), Arc::new(table), ids);
        if let Some(id) = reasons.check(self.built.stack.add_device(spec)) {
            assert!(!self.built.devices.contains(&id), "an id comes back");
            self.built.added_device(id, None, ours(&legs), picture(targets));
            self.names.push(Some(name));
        }
    }

    /// The targets on devices that are or were there, most of them inside, or on the device of
    /// another stack; `None` while there is no device at all.
    fn nearly_fit(&self, targets: &[DrawnTarget]) -> Option<Vec<DrawnTarget>> {
        let place = |leg: &DrawnPlace, width: u64| {
            // Few legs are foreign: the last of the eight numbers, and there every second place.
            if leg.device == 7 && leg.start % 2 == 1 {
                return Some(DrawnPlace { device: FOREIGN, ..*leg });
            }
            let device = usize::try_from(leg.device).ok()?.checked_rem(self.names.len())?;
            let sectors = self.built.len_of(device) / SLOTS_PER_SECTOR;
            let start = leg.start % (sectors.saturating_sub(width) + 2);
            Some(DrawnPlace { device: device as u64, start })
        };
        let fit = |target: &DrawnTarget| match target {
            DrawnTarget::Linear { on, len } => {
                Some(DrawnTarget::Linear { on: place(on, *len)?, len: *len })
            }
            DrawnTarget::Striped { chunk, rows, legs } => {
                let width = target.width();
                let legs = legs.iter().map(|leg| place(leg, width)).collect::<Option<_>>()?;
                Some(DrawnTarget::Striped { chunk: *chunk, rows: *rows, legs })
            }
            DrawnTarget::Error { .. } | DrawnTarget::Zero { .. } => Some(target.clone()),
        };
        targets.iter().map(fit).collect()
    }

    fn ids(&self, legs: &[Named]) -> Vec<DeviceId> {
        legs.iter().map(|leg| self.id(*leg)).collect()
    }

    fn id(&self, named: Named) -> DeviceId {
        match named {
            Named::Ours(device) => self.built.devices[device],
            Named::Foreign => self.foreign,
        }
    }

    /// Why a device is not known, where that is so.
    fn unknown(&self, named: Named) -> Option<TopologyErrorKind> {
        match named {
            Named::Ours(device) => (!self.is_there(device)).then_some(TopologyErrorKind::Removed),
            Named::Foreign => Some(TopologyErrorKind::Foreign),
        }
    }

    /// Reasons against these legs, for a new device or a reloaded one.
    fn leg_reasons(
        &self,
        this: Option<usize>,
        targets: &[DrawnTarget],
        legs: &[Named],
        reasons: &mut Reasons,
    ) {
        reasons.must(legs.len() > LIMITS.legs, TopologyErrorKind::TooManyLegs);
        let height = this.map_or(1, |this| self.height(this));
        let widths = targets.iter().flat_map(|t| t.legs().iter().map(|p| (p.start, t.width())));
        for (named, (start, width)) in legs.iter().zip(widths) {
            let unknown = self.unknown(*named);
            unknown.into_iter().for_each(|kind| reasons.must(true, kind));
            let (None, Named::Ours(leg)) = (unknown, *named) else { continue }; // told above
            let cycle = this.is_some_and(|this| self.lies_on(leg, this));
            reasons.must(cycle, TopologyErrorKind::Cycle);
            let outside = (start + width) * SLOTS_PER_SECTOR > self.built.len_of(leg);
            reasons.must(outside, TopologyErrorKind::LegOutside);
            let deep = !cycle && self.built.twin.depth(leg) + height > LIMITS.depth;
            reasons.must(deep, TopologyErrorKind::TooDeep);
            self.entry_reasons(this, leg, legs, reasons);
        }
    }

    /// A device that has no room for one more entry has to refuse a leg; one that has room for
    /// some of the legs may.
    fn entry_reasons(
        &self,
        this: Option<usize>,
        leg: usize,
        legs: &[Named],
        reasons: &mut Reasons,
    ) {
        let there = self.entries(leg, this);
        let new = legs.iter().filter(|l| **l == Named::Ours(leg)).count();
        reasons.must(there >= LIMITS.holders, TopologyErrorKind::TooManyHolders);
        if there + new > LIMITS.holders {
            reasons.may.insert(format!("{:?}", TopologyErrorKind::TooManyHolders));
        }
    }

    /// Registrations and legs on a device, those of `without` left out.
    fn entries(&self, on: usize, without: Option<usize>) -> usize {
        let holders = self.built.twin.holders().filter(|(_, h)| h.on == on).count();
        let devices = (0..self.names.len()).filter(|d| Some(*d) != without);
        let legs = devices.flat_map(|d| self.below(d)).filter(|below| **below == on);
        holders + legs.count()
    }

    fn below(&self, device: usize) -> &[usize] {
        self.built.twin.below(device).unwrap_or_default() // removed: it lies on nothing
    }

    fn above(&self, device: usize) -> Vec<usize> {
        (0..self.names.len()).filter(|d| self.below(*d).contains(&device)).collect()
    }

    fn height(&self, device: usize) -> usize {
        1 + self.above(device).into_iter().map(|d| self.height(d)).max().unwrap_or(0)
    }

    fn lies_on(&self, device: usize, other: usize) -> bool {
        device == other || self.below(device).iter().any(|d| self.lies_on(*d, other))
    }

    fn reload(&mut self, device: u64, targets: &[DrawnTarget]) {
        let Some(targets) = &self.nearly_fit(targets) else { return }; // no device yet
        let Some(named) = self.number(device) else { return };
        let (table, legs) = built(targets);
        let mut reasons = Reasons::default();
        match (self.unknown(named), named) {
            (None, Named::Ours(device)) => {
                let len = picture(targets).len();
                reasons.must(self.furthest_entry(device) > len, TopologyErrorKind::Shrunk);
                self.leg_reasons(Some(device), targets, &legs, &mut reasons);
            }
            (unknown, _) => unknown.into_iter().for_each(|kind| reasons.must(true, kind)),
        }
        let (id, ids) = (self.id(named), self.ids(&legs));
        let reloaded = reasons.check(self.built.stack.reload(id, Arc::new(table), ids));
        if let (Some(()), Named::Ours(device)) = (reloaded, named) {
            self.built.twin.reload(device, ours(&legs), picture(targets));
        }
    }

    /// Where the last registration or leg on a device ends.
    fn furthest_entry(&self, device: usize) -> u64 {
        let holders = self.built.twin.holders().filter(|(_, h)| h.on == device);
        let holders = holders.map(|(_, h)| h.start + h.len).max().unwrap_or(0);
        let legs = self.above(device).into_iter().filter_map(|d| {
            let (below, twin) = (self.built.twin.below(d)?, self.built.twin.device(d)?);
            let ends = twin.slots().iter().filter_map(|slot| match slot {
                Slot::On { leg, at } => {
                    let leg = usize::try_from(*leg).expect("small");
                    (below[leg] == device).then_some(at + 1)
                }
                Slot::Hole(_) | Slot::Own => None,
            });
            ends.max()
        });
        legs.max().unwrap_or(0).max(holders)
    }

    fn remove(&mut self, device: u64) {
        let Some(named) = self.number(device) else { return }; // no device yet
        let mut reasons = Reasons::default();
        match (self.unknown(named), named) {
            (None, Named::Ours(device)) => {
                reasons.must(!self.above(device).is_empty(), TopologyErrorKind::InUse);
            }
            (unknown, _) => unknown.into_iter().for_each(|kind| reasons.must(true, kind)),
        }
        let removed = reasons.check(self.built.stack.remove_device(self.id(named)));
        if let (Some(report), Named::Ours(device)) = (removed, named) {
            let all = self.built.len_of(device);
            let fate = self.built.twin.fail(device, 0, all);
            self.built.check((0, all), MfFlags::MEM_PRE_REMOVE, &fate, &report);
            self.built.twin.remove_device(device);
            self.names[device] = None;
        }
    }

    fn register(&mut self, device: u64, start: u64, len: u64, answer: DrawnAnswer) {
        let Some(named) = self.number(device) else { return }; // no device yet
        let mut must = Vec::new();
        match named {
            Named::Foreign => must.push(RegisterErrorKind::Foreign),
            Named::Ours(device) if !self.is_there(device) => must.push(RegisterErrorKind::Removed),
            Named::Ours(device) => {
                if start + len > self.built.len_of(device) {
                    must.push(RegisterErrorKind::Outside);
                }
                if self.entries(device, None) >= LIMITS.holders {
                    must.push(RegisterErrorKind::TooManyHolders);
                }
            }
        }
        let drawn = DrawnHolder::new(Recorder::new(answer.into()), answer);
        let range = bytes(SLOT, start, len);
        let registered = self.built.stack.register(self.id(named), range, drawn.holder());
        match (registered, named) {
            (Ok(registration), Named::Ours(on)) => {
                assert_eq!(must, [], "went through");
                let holder =
                    TwinHolder { on, start, len, settles: Vec::new(), answer: answer.into() };
                self.built.added_holder(holder, drawn, registration);
            }
            (Ok(_), Named::Foreign) => panic!("registered on a device of another stack"),
            (Err(err), _) => assert!(must.contains(&err.kind()), "{err}: {must:?}"),
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
fn built(targets: &[DrawnTarget]) -> (Table, Vec<Named>) {
    let table = DrawnTarget::build_table(targets).expect("drawn targets make a table");
    let named = |leg: usize| if leg as u64 == FOREIGN { Named::Foreign } else { Named::Ours(leg) };
    (table, leg_devices(targets).into_iter().map(named).collect())
}

/// The devices of legs that were not refused.
fn ours(legs: &[Named]) -> Vec<usize> {
    let ours = |leg: &Named| match leg {
        Named::Ours(device) => *device,
        Named::Foreign => panic!("a leg on a device of another stack"),
    };
    legs.iter().map(ours).collect()
}

fn picture(targets: &[DrawnTarget]) -> Twin {
    Twin::table(targets).refined(SLOTS_PER_SECTOR)
}
