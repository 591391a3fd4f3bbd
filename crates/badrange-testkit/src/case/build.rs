#![expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "drawn numbers are small, and a panic is a failed check"
)]

use std::sync::Arc;

use arbitrary::Arbitrary;
use badrange_block::Partition;
use badrange_core::{
    DevOffset, DeviceId, Errno, Holder, Outcome, PAGE_SIZE, PhysAddr, Piece, SECTOR_SIZE,
};
use badrange_pmem::{Mode, Namespace};
use badrange_stack::{DeviceSpec, Registration, Report, Stack, State};

use crate::{
    draw::{few, within},
    fake::{Panics, Recorder},
    twin::{
        Fate, Place, Settle, Space, Target, Twin, TwinHolder, TwinStack,
        agree::{bytes, slots},
    },
};

/// Bytes of a slot of drawn stacks: half a sector.
pub(super) const SLOT: u64 = SECTOR_SIZE / 2;
pub(super) const SLOTS_PER_SECTOR: u64 = SECTOR_SIZE / SLOT;
const SLOTS_PER_PAGE: u64 = PAGE_SIZE / SLOT;

/// An answer of a drawn holder.
///
/// # Examples
/// ```
/// use badrange_core::{Errno, Outcome};
/// use badrange_testkit::case::Answer;
/// assert_eq!(Outcome::from(Answer::Eio), Outcome::Failed(Errno::EIO));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Arbitrary)]
pub enum Answer {
    /// Nothing there.
    Nothing,
    /// Handled.
    Handled,
    /// Failed for good, with the lower error number.
    Eio,
    /// Failed for good, with the higher one.
    Euclean,
    /// Please fall back.
    NotSupported,
    /// None: it panics, after what it settled. What it did not settle falls back.
    Panics,
}

impl From<Answer> for Outcome {
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::Nothing => Self::Nothing,
            Answer::Handled => Self::Handled,
            Answer::Eio => Self::Failed(Errno::EIO),
            Answer::Euclean => Self::Failed(Errno::EUCLEAN),
            Answer::NotSupported | Answer::Panics => Self::NotSupported,
        }
    }
}

/// A device at the bottom.
///
/// # Examples
/// See [`WholeStack`](super::WholeStack).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Arbitrary)]
pub enum GroundPlan {
    /// A disk.
    Disk {
        /// Its sectors.
        #[arbitrary(with = within::<1, 60>)]
        sectors: u64,
    },
    /// A persistent-memory namespace.
    Pmem {
        /// Its first page.
        #[arbitrary(with = within::<0, 7>)]
        page: u64,
        /// Pages before its data.
        #[arbitrary(with = within::<0, 1>)]
        metadata_pages: u64,
        /// Half sectors of data.
        #[arbitrary(with = within::<2, 90>)]
        slots: u64,
    },
}

/// A device on others. Numbers of devices and sectors are taken modulo what there is.
///
/// # Examples
/// See [`WholeStack`](super::WholeStack).
#[derive(Debug, Clone, PartialEq, Eq, Arbitrary)]
pub enum LayerPlan {
    /// A partition.
    Partition {
        /// Its disk.
        #[arbitrary(with = within::<0, 7>)]
        on: u64,
        /// First half sector.
        #[arbitrary(with = within::<0, 119>)]
        start: u64,
        /// Half sectors.
        #[arbitrary(with = within::<1, 60>)]
        len: u64,
    },
    /// A device-mapper device.
    Table(#[arbitrary(with = few::<_, 1, 3>)] Vec<Target>),
}

/// What a holder decides about a part of its device.
///
/// # Examples
/// See [`WholeStack`](super::WholeStack).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Arbitrary)]
pub struct SettlePlan {
    /// First half sector.
    #[arbitrary(with = within::<0, 79>)]
    pub start: u64,
    /// Half sectors.
    #[arbitrary(with = within::<1, 30>)]
    pub len: u64,
    /// What it says.
    pub answer: Answer,
}

/// A holder. Numbers of devices and slots are taken modulo what there is.
///
/// # Examples
/// See [`WholeStack`](super::WholeStack).
#[derive(Debug, Clone, PartialEq, Eq, Arbitrary)]
pub struct HolderPlan {
    /// Where: 0 is physical memory, others are devices.
    #[arbitrary(with = within::<0, 9>)]
    pub on: u64,
    /// First half sector.
    #[arbitrary(with = within::<0, 119>)]
    pub start: u64,
    /// Half sectors.
    #[arbitrary(with = within::<1, 80>)]
    pub len: u64,
    /// What it settles.
    #[arbitrary(with = few::<_, 0, 2>)]
    pub settles: Vec<SettlePlan>,
    /// What it answers for the rest.
    pub answer: Answer,
}

/// A stack of devices with holders, in plain numbers.
///
/// # Examples
/// See [`WholeStack`](super::WholeStack).
#[derive(Debug, Clone, PartialEq, Eq, Arbitrary)]
pub struct StackPlan {
    /// Devices at the bottom.
    #[arbitrary(with = few::<_, 1, 3>)]
    pub grounds: Vec<GroundPlan>,
    /// Devices on those before them.
    #[arbitrary(with = few::<_, 0, 4>)]
    pub layers: Vec<LayerPlan>,
    /// Holders.
    #[arbitrary(with = few::<_, 0, 6>)]
    pub holders: Vec<HolderPlan>,
}

/// A holder that watches, in the space where it registered.
pub(super) enum Watch {
    Memory(Arc<Recorder<PhysAddr>>),
    Device(Arc<Recorder<DevOffset>>),
}

/// The real stack and its twin, built from the same numbers.
pub(super) struct Built {
    pub(super) stack: Stack,
    pub(super) twin: TwinStack,
    /// By the twin's numbers.
    pub(super) devices: Vec<DeviceId>,
    pub(super) watches: Vec<Watch>,
    /// Whose holders panic, by the same numbers.
    panics: Vec<bool>,
    /// `None` once ended.
    pub(super) registrations: Vec<Option<Registration>>,
}

impl Built {
    pub(super) fn new(stack: Stack) -> Self {
        Self {
            stack,
            twin: TwinStack::new(SLOT),
            devices: Vec::new(),
            watches: Vec::new(),
            panics: Vec::new(),
            registrations: Vec::new(),
        }
    }

    pub(super) fn of(plan: &StackPlan) -> Self {
        let mut built = Self::new(Stack::new());
        plan.grounds.iter().for_each(|ground| built.add_ground(*ground));
        plan.layers.iter().for_each(|layer| built.add_layer(layer));
        plan.holders.iter().for_each(|holder| built.add_holder(holder));
        built
    }

    fn add(&mut self, spec: DeviceSpec, below: Vec<Space>, twin: Twin) {
        self.devices.push(self.stack.add_device(spec).expect("drawn devices fit"));
        self.twin.add_device(below, twin);
    }

    fn name(&self) -> String {
        format!("d{}", self.devices.len())
    }

    fn add_ground(&mut self, ground: GroundPlan) {
        match ground {
            GroundPlan::Disk { sectors } => {
                let len = sectors * SLOTS_PER_SECTOR;
                let spec = DeviceSpec::base(self.name(), bytes(SLOT, 0, len));
                self.add(spec, Vec::new(), Twin::base(len));
            }
            GroundPlan::Pmem { page, metadata_pages, slots } => {
                let (start, offset) = (page * SLOTS_PER_PAGE, metadata_pages * SLOTS_PER_PAGE);
                let whole = bytes(SLOT, start, offset + slots);
                let namespace = Namespace::new(whole, offset * SLOT, Mode::Fsdax);
                let namespace = Arc::new(namespace.expect("drawn namespaces have data"));
                let twin = Twin::namespace(start, offset, offset + slots, SLOTS_PER_SECTOR);
                let spec = DeviceSpec::on_memory(self.name(), namespace);
                self.add(spec, vec![Space::Memory], twin);
            }
        }
    }

    fn add_layer(&mut self, layer: &LayerPlan) {
        match layer {
            LayerPlan::Partition { on, start, len } => {
                let device = self.pick(*on);
                let there = self.len_of(device);
                let start = start % there;
                let len = (*len).min(there - start);
                let partition = Arc::new(Partition::new(bytes(SLOT, start, len)));
                let spec = DeviceSpec::on(self.name(), partition, [self.devices[device]]);
                self.add(spec, vec![Space::Device(device)], Twin::partition(start, len));
            }
            LayerPlan::Table(targets) => {
                let fitted: Vec<Target> = targets.iter().map(|t| self.fit(t)).collect();
                let table = Target::build_table(&fitted).expect("drawn targets make a table");
                let legs: Vec<usize> = leg_devices(&fitted);
                let ids: Vec<DeviceId> = legs.iter().map(|leg| self.devices[*leg]).collect();
                let below = legs.into_iter().map(Space::Device).collect();
                let twin = Twin::table(&fitted).refined(SLOTS_PER_SECTOR);
                let spec = DeviceSpec::on(self.name(), Arc::new(table), ids);
                self.add(spec, below, twin);
            }
        }
    }

    /// One of the devices there are.
    pub(super) fn pick(&self, number: u64) -> usize {
        usize::try_from(number).unwrap_or(0) % self.devices.len()
    }

    pub(super) fn len_of(&self, device: usize) -> u64 {
        self.twin.device(device).map_or(0, Twin::len)
    }

    /// The target with its legs moved to where they fit; what fits nowhere is an error target.
    fn fit(&self, target: &Target) -> Target {
        let place = |leg: &Place| {
            let device = self.pick(leg.device);
            let last = (self.len_of(device) / SLOTS_PER_SECTOR).checked_sub(target.width())?;
            Some(Place { device: device as u64, start: leg.start % (last + 1) })
        };
        let fitted = match target {
            Target::Linear { on, len } => place(on).map(|on| Target::Linear { on, len: *len }),
            Target::Striped { chunk, rows, legs } => {
                let legs: Option<Vec<Place>> = legs.iter().map(place).collect();
                legs.map(|legs| Target::Striped { chunk: *chunk, rows: *rows, legs })
            }
            Target::Error { .. } | Target::Zero { .. } => Some(target.clone()),
        };
        fitted.unwrap_or(Target::Error { len: target.len() })
    }

    fn add_holder(&mut self, plan: &HolderPlan) {
        let device = plan.on.checked_sub(1).map(|on| self.pick(on));
        let (start, len) = match device {
            None => (plan.start, plan.len),
            Some(device) => {
                let there = self.len_of(device);
                let start = plan.start % there;
                (start, plan.len.min(there - start))
            }
        };
        let on = device.map_or(Space::Memory, Space::Device);
        let settle =
            |s: &SettlePlan| Settle { start: s.start, len: s.len, outcome: s.answer.into() };
        let settles = plan.settles.iter().map(settle).collect();
        let holder = TwinHolder { on, start, len, settles, answer: plan.answer.into() };
        self.register(holder, plan.answer == Answer::Panics);
    }

    /// Registers a holder, which has to fit, on both.
    pub(super) fn register(&mut self, holder: TwinHolder, panics: bool) {
        let (watch, registration) = match holder.on {
            Space::Memory => {
                let recorder = Arc::new(recorder(&holder));
                let range = bytes(SLOT, holder.start, holder.len);
                let r = self.stack.register_memory(range, faulty(&recorder, panics));
                (Watch::Memory(recorder), r)
            }
            Space::Device(device) => {
                let recorder = Arc::new(recorder(&holder));
                let range = bytes(SLOT, holder.start, holder.len);
                let id = self.devices[device];
                let r = self.stack.register(id, range, faulty(&recorder, panics));
                (Watch::Device(recorder), r)
            }
        };
        self.added(holder, watch, panics, registration.expect("drawn holders fit"));
    }

    /// Remembers a holder that is registered.
    pub(super) fn added(
        &mut self,
        holder: TwinHolder,
        watch: Watch,
        panics: bool,
        registration: Registration,
    ) {
        self.twin.add_holder(holder);
        self.watches.push(watch);
        self.panics.push(panics);
        self.registrations.push(Some(registration));
    }

    /// Compares what became of a report, and what the holders were told since the last time, with
    /// the twin.
    pub(super) fn check(&self, fate: &Fate, report: &Report) {
        assert_eq!(report.len(), fate.states.len() as u64 * SLOT);
        assert!(!report.cut_short(), "{report:?}");
        check_states(fate, report);
        let (mut calls, mut panicked) = (0, 0);
        for (i, watch) in self.watches.iter().enumerate() {
            let (mut said, told) = match watch {
                Watch::Memory(recorder) => told(recorder),
                Watch::Device(recorder) => told(recorder),
            };
            said.sort_unstable();
            assert_eq!(said, fate.told[i], "holder {i} (slot of the report, slot there)");
            calls += told;
            panicked += if self.panics[i] { told } else { 0 };
        }
        assert_eq!((report.counts().told, report.counts().panicked), (calls, panicked));
    }
}

/// The devices under the legs of a table, in order.
pub(super) fn leg_devices(targets: &[Target]) -> Vec<usize> {
    let legs = targets.iter().flat_map(Target::legs);
    legs.map(|leg| usize::try_from(leg.device).expect("small")).collect()
}

fn recorder<S: badrange_core::Space>(holder: &TwinHolder) -> Recorder<S> {
    let recorder = Recorder::new(holder.answer);
    holder.settles.iter().fold(recorder, |recorder, settle| {
        recorder.settling(bytes(SLOT, settle.start, settle.len).into(), settle.outcome)
    })
}

/// The recorder, which panics after each call if it is to.
pub(super) fn faulty<S: badrange_core::Space>(
    recorder: &Arc<Recorder<S>>,
    panics: bool,
) -> Arc<dyn Holder<S>> {
    let recorder = Arc::clone(recorder);
    if panics { Arc::new(Panics::always(recorder)) } else { recorder }
}

/// What a holder was told, as slots of the report and its own, and in how many calls.
fn told<S: badrange_core::Space>(recorder: &Recorder<S>) -> (Vec<(u64, u64)>, u64) {
    let told = recorder.take();
    let elements = told.iter().flat_map(|(piece, _): &(Piece<S>, _)| piece.elements());
    let pairs = elements.flat_map(|(here, origin)| slots(SLOT, origin).zip(slots(SLOT, here)));
    (pairs.collect(), told.len() as u64)
}

fn check_states(fate: &Fate, report: &Report) {
    let mut said: Vec<Option<State>> = vec![None; fate.states.len()];
    for (run, state) in report.states() {
        for slot in run.elements().flat_map(|e| slots(SLOT, e)) {
            let slot = usize::try_from(slot).expect("small");
            let before = said[slot].replace(*state);
            assert_eq!(before, None, "slot {slot} twice in {:?}", report.states());
        }
    }
    let due: Vec<Option<State>> = fate.states.iter().copied().map(Some).collect();
    assert_eq!(said, due);
    let bytes = |which: &dyn Fn(&State) -> bool| {
        fate.states.iter().filter(|state| which(state)).count() as u64 * SLOT
    };
    assert_eq!(report.handled_bytes(), bytes(&|s| *s == State::Handled));
    assert_eq!(report.failed_bytes(), bytes(&|s| matches!(s, State::Failed(_))));
    assert_eq!(report.remainder_bytes(), bytes(&|s| s.falls_back()));
}
