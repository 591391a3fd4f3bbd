#![expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "drawn numbers are small, and a panic is a failed check"
)]

use core::cell::Cell;
use std::sync::Arc;

use arbitrary::Arbitrary;
use badrange_core::{
    DevOffset, DeviceId, Errno, Extent, Holder, HoleKind, Leg, Link, Mapping, Outcome, PageSize,
    Piecewise, Rest, SECTOR_SIZE, Window,
};
use badrange_pmem::{Mode, Namespace};
use badrange_stack::{DeviceSpec, Limits, Registration, Stack};

use crate::{
    draw::{few, within},
    fake::{PageLog, Panics, Recorder},
    twin::{DrawnPlace, DrawnTarget, Settle, Slot, Twin, TwinHolder, TwinStack, agree::bytes},
};

/// Bytes of a slot of drawn stacks: half a sector.
pub(super) const SLOT: u64 = SECTOR_SIZE / 2;
pub(super) const SLOTS_PER_SECTOR: u64 = SECTOR_SIZE / SLOT;

/// An answer of a drawn holder.
///
/// # Examples
/// ```
/// use badrange_core::{Errno, Outcome};
/// use badrange_testkit::case::DrawnAnswer;
/// assert_eq!(Outcome::from(DrawnAnswer::Eio), Outcome::Failed(Errno::EIO));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Arbitrary)]
pub enum DrawnAnswer {
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

impl From<DrawnAnswer> for Outcome {
    fn from(answer: DrawnAnswer) -> Self {
        match answer {
            DrawnAnswer::Nothing => Self::Nothing,
            DrawnAnswer::Handled => Self::Handled,
            DrawnAnswer::Eio => Self::Failed(Errno::EIO),
            DrawnAnswer::Euclean => Self::Failed(Errno::EUCLEAN),
            DrawnAnswer::NotSupported | DrawnAnswer::Panics => Self::NotSupported,
        }
    }
}

/// Pages of a drawn device, which then has a fallback.
///
/// # Examples
/// ```
/// use badrange_testkit::case::DrawnPage;
/// assert_eq!(DrawnPage::TwoSectors.size().map(|size| size.bytes()), Some(1024));
/// assert_eq!(DrawnPage::None.size(), None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Arbitrary)]
pub enum DrawnPage {
    /// It has none.
    None,
    /// As short as pages can be.
    Sector,
    /// 1 KiB.
    TwoSectors,
    /// 4 KiB: 16 half sectors.
    K4,
}

impl DrawnPage {
    /// The real size.
    #[must_use]
    pub fn size(self) -> Option<PageSize> {
        let bytes = match self {
            Self::None => return None,
            Self::Sector => SECTOR_SIZE,
            Self::TwoSectors => 2 * SECTOR_SIZE,
            Self::K4 => 4096,
        };
        // All of them are powers of two.
        PageSize::new(bytes).ok()
    }
}

/// A device at the bottom.
///
/// # Examples
/// See [`WholeStack`](super::WholeStack).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Arbitrary)]
pub struct GroundPlan {
    /// Its half sectors.
    #[arbitrary(with = within::<1, 120>)]
    pub slots: u64,
    /// Its pages: one with pages is physical memory, one without a disk.
    pub page: DrawnPage,
}

/// A part of a device in pieces.
///
/// # Examples
/// See [`LayerShape`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Arbitrary)]
pub struct DrawnPiece {
    /// Half sectors between the piece before and this one.
    #[arbitrary(with = within::<0, 9>)]
    pub gap: u64,
    /// Half sectors.
    #[arbitrary(with = within::<1, 20>)]
    pub len: u64,
    /// The device below.
    #[arbitrary(with = within::<0, 7>)]
    pub on: u64,
    /// Where it begins there.
    #[arbitrary(with = within::<0, 119>)]
    pub start: u64,
}

/// What lies on other devices. Numbers of devices and slots are taken modulo what there is.
///
/// # Examples
/// ```
/// use badrange_testkit::case::{DrawnPiece, LayerShape};
/// // Half sectors 2..8 are those from 30 on of the device below; the others are its own.
/// let piece = DrawnPiece { gap: 2, len: 6, on: 0, start: 30 };
/// let shape = LayerShape::Pieces { own: true, pieces: vec![piece], after: 4 };
/// assert!(matches!(shape, LayerShape::Pieces { own: true, .. }));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Arbitrary)]
pub enum LayerShape {
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
    /// A persistent-memory namespace.
    Namespace {
        /// The memory.
        #[arbitrary(with = within::<0, 7>)]
        on: u64,
        /// Its first page of 4 KiB.
        #[arbitrary(with = within::<0, 7>)]
        page: u64,
        /// Pages before its data.
        #[arbitrary(with = within::<0, 1>)]
        metadata_pages: u64,
        /// Half sectors of data.
        #[arbitrary(with = within::<2, 90>)]
        slots: u64,
    },
    /// A device-mapper device.
    Table(#[arbitrary(with = few::<_, 1, 3>)] Vec<DrawnTarget>),
    /// A device in pieces, each on a leg of its own.
    Pieces {
        /// Whether what no piece covers is the device's own; else it is nowhere.
        own: bool,
        /// The pieces, ascending.
        #[arbitrary(with = few::<_, 0, 4>)]
        pieces: Vec<DrawnPiece>,
        /// Half sectors after the last one.
        #[arbitrary(with = within::<1, 9>)]
        after: u64,
    },
}

/// A device on others.
///
/// # Examples
/// See [`WholeStack`](super::WholeStack).
#[derive(Debug, Clone, PartialEq, Eq, Arbitrary)]
pub struct LayerPlan {
    /// What lies where.
    pub shape: LayerShape,
    /// Its pages: a guest's memory has some.
    pub page: DrawnPage,
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
    pub answer: DrawnAnswer,
}

/// A holder. Numbers of devices and slots are taken modulo what there is.
///
/// # Examples
/// See [`WholeStack`](super::WholeStack).
#[derive(Debug, Clone, PartialEq, Eq, Arbitrary)]
pub struct HolderPlan {
    /// On which device.
    #[arbitrary(with = within::<0, 7>)]
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
    pub answer: DrawnAnswer,
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
    /// Routes that one byte may take; 0 for the limit that stacks have by default.
    #[arbitrary(with = within::<0, 2>)]
    pub routes: u64,
}

/// The real stack and its twin, built from the same numbers.
pub(super) struct Built {
    pub(super) stack: Stack,
    pub(super) twin: TwinStack,
    pub(super) limits: Limits,
    /// By the twin's numbers, as everything here.
    pub(super) devices: Vec<DeviceId>,
    pub(super) pages: Vec<Option<(PageSize, Arc<PageLog>)>>,
    pub(super) recorders: Vec<Arc<Recorder>>,
    /// The holders that panic, and how often they were called when that was last looked at.
    pub(super) panics: Vec<Option<Panicker>>,
    /// `None` once ended.
    pub(super) registrations: Vec<Option<Registration>>,
}

impl Built {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            stack: Stack::with_limits(limits),
            twin: TwinStack::default(),
            limits,
            devices: Vec::new(),
            pages: Vec::new(),
            recorders: Vec::new(),
            panics: Vec::new(),
            registrations: Vec::new(),
        }
    }

    pub(super) fn of(plan: &StackPlan) -> Self {
        let routes = if plan.routes == 0 { Limits::DEFAULT.routes } else { plan.routes };
        let mut built = Self::new(Limits { routes, ..Limits::DEFAULT });
        plan.grounds.iter().for_each(|ground| built.add_ground(*ground));
        plan.layers.iter().for_each(|layer| built.add_layer(layer));
        plan.holders.iter().for_each(|holder| built.add_holder(holder));
        built.validate();
        built
    }

    /// Checks the invariants of the registry.
    pub(super) fn validate(&self) {
        assert_eq!(self.stack.snapshot().validate(), Ok(()));
    }

    /// The spec with these pages, and who remembers them.
    pub(super) fn paged(
        spec: DeviceSpec,
        page: DrawnPage,
    ) -> (DeviceSpec, Option<(PageSize, Arc<PageLog>)>) {
        let pages = page.size().map(|size| (size, Arc::new(PageLog::default())));
        match &pages {
            Some((size, log)) => {
                let log = Arc::clone(log);
                (spec.fallback(*size, log), pages)
            }
            None => (spec, None),
        }
    }

    fn add(&mut self, spec: DeviceSpec, page: DrawnPage, below: Vec<usize>, twin: Twin) {
        let (spec, pages) = Self::paged(spec, page);
        let id = self.stack.add_device(spec).expect("drawn devices fit");
        self.added_device(id, pages, below, twin);
    }

    /// Remembers a device that was added.
    pub(super) fn added_device(
        &mut self,
        id: DeviceId,
        pages: Option<(PageSize, Arc<PageLog>)>,
        below: Vec<usize>,
        twin: Twin,
    ) {
        self.devices.push(id);
        let device = self.twin.add_device(below, twin);
        if let Some((size, _)) = &pages {
            self.twin.set_page(device, size.bytes() / SLOT);
        }
        self.pages.push(pages);
        self.validate();
    }

    fn name(&self) -> String {
        format!("d{}", self.devices.len())
    }

    fn add_ground(&mut self, ground: GroundPlan) {
        let spec = DeviceSpec::base(self.name(), bytes(SLOT, 0, ground.slots));
        self.add(spec, ground.page, Vec::new(), Twin::base(ground.slots));
    }

    fn add_layer(&mut self, layer: &LayerPlan) {
        let (mapping, below, twin): (Arc<dyn Mapping>, _, _) = match &layer.shape {
            LayerShape::Partition { on, start, len } => self.partition(*on, *start, *len),
            LayerShape::Namespace { on, page, metadata_pages, slots } => {
                self.namespace(*on, *page, *metadata_pages, *slots)
            }
            LayerShape::Table(targets) => self.table(targets),
            LayerShape::Pieces { own, pieces, after } => self.pieces(*own, pieces, *after),
        };
        let ids: Vec<DeviceId> = below.iter().map(|leg| self.devices[*leg]).collect();
        let spec = DeviceSpec::on(self.name(), mapping, ids);
        self.add(spec, layer.page, below, twin);
    }

    /// A part of a device that is there: where it begins, and how long it is.
    fn part(&self, device: usize, start: u64, len: u64) -> (u64, u64) {
        let there = self.len_of(device);
        let start = start % there;
        (start, len.min(there - start))
    }

    fn partition(&self, on: u64, start: u64, len: u64) -> Layer {
        let device = self.pick(on);
        let (start, len) = self.part(device, start, len);
        let window = Window::new(bytes(SLOT, start, len));
        (Arc::new(window), vec![device], Twin::partition(start, len))
    }

    /// A namespace where the memory has room for one, else all of the memory.
    fn namespace(&self, on: u64, page: u64, metadata_pages: u64, slots: u64) -> Layer {
        const SLOTS_PER_PAGE: u64 = 4096 / SLOT;
        let device = self.pick(on);
        let there = self.len_of(device);
        let pages = there / SLOTS_PER_PAGE;
        let Some(last) = pages.checked_sub(1) else { return self.partition(on, 0, there) };
        let page = page % pages;
        let metadata_pages = metadata_pages.min(last - page);
        let (start, offset) = (page * SLOTS_PER_PAGE, metadata_pages * SLOTS_PER_PAGE);
        let len = offset + slots.min(there - start - offset);
        let whole: Extent = bytes(SLOT, start, len);
        let namespace = Namespace::new(whole.phys(), offset * SLOT, Mode::Fsdax);
        let namespace = namespace.expect("drawn namespaces have data");
        let twin = Twin::namespace(start, offset, len, SLOTS_PER_SECTOR);
        (Arc::new(namespace), vec![device], twin)
    }

    fn table(&self, targets: &[DrawnTarget]) -> Layer {
        let fitted: Vec<DrawnTarget> = targets.iter().map(|t| self.fit(t)).collect();
        let table = DrawnTarget::build_table(&fitted).expect("drawn targets make a table");
        let twin = Twin::table(&fitted).refined(SLOTS_PER_SECTOR);
        (Arc::new(table), leg_devices(&fitted), twin)
    }

    fn pieces(&self, own: bool, pieces: &[DrawnPiece], after: u64) -> Layer {
        let (mut end, mut below, mut links, mut drawn) = (0, Vec::new(), Vec::new(), Vec::new());
        for (leg, piece) in (0..).zip(pieces) {
            let device = self.pick(piece.on);
            let (start, len) = self.part(device, piece.start, piece.len);
            let upper = end + piece.gap;
            let link = Link::at(bytes(SLOT, start, len), DevOffset::new(upper * SLOT));
            links.push((Leg::new(leg), link.expect("drawn pieces are small")));
            drawn.push((upper, leg, start, len));
            below.push(device);
            end = upper + len;
        }
        let (hole, len) = (HoleKind::Zero, end + after);
        let rest = if own { Rest::Own } else { Rest::Hole(hole) };
        let layer = Piecewise::new(bytes(SLOT, 0, len), rest, links).expect("drawn pieces fit");
        let rest = if own { Slot::Own } else { Slot::Hole(hole) };
        (Arc::new(layer), below, Twin::pieces(len, rest, &drawn))
    }

    /// One of the devices there are.
    pub(super) fn pick(&self, number: u64) -> usize {
        usize::try_from(number).expect("small") % self.devices.len()
    }

    pub(super) fn len_of(&self, device: usize) -> u64 {
        self.twin.device(device).map_or(0, Twin::len)
    }

    /// The target with its legs moved to where they fit; what fits nowhere is an error target.
    fn fit(&self, target: &DrawnTarget) -> DrawnTarget {
        let place = |leg: &DrawnPlace| {
            let device = self.pick(leg.device);
            let last = (self.len_of(device) / SLOTS_PER_SECTOR).checked_sub(target.width())?;
            Some(DrawnPlace { device: device as u64, start: leg.start % (last + 1) })
        };
        let fitted = match target {
            DrawnTarget::Linear { on, len } => {
                place(on).map(|on| DrawnTarget::Linear { on, len: *len })
            }
            DrawnTarget::Striped { chunk, rows, legs } => {
                let legs: Option<Vec<DrawnPlace>> = legs.iter().map(place).collect();
                legs.map(|legs| DrawnTarget::Striped { chunk: *chunk, rows: *rows, legs })
            }
            DrawnTarget::Error { .. } | DrawnTarget::Zero { .. } => Some(target.clone()),
        };
        fitted.unwrap_or(DrawnTarget::Error { len: target.len() })
    }

    fn add_holder(&mut self, plan: &HolderPlan) {
        let on = self.pick(plan.on);
        let (start, len) = self.part(on, plan.start, plan.len);
        let settle =
            |s: &SettlePlan| Settle { start: s.start, len: s.len, outcome: s.answer.into() };
        let settles = plan.settles.iter().map(settle).collect();
        let holder = TwinHolder { on, start, len, settles, answer: plan.answer.into() };
        let drawn = DrawnHolder::new(recorder(&holder), plan.answer);
        let range = bytes(SLOT, holder.start, holder.len);
        let registered = self.stack.register(self.devices[on], range, drawn.holder());
        self.added_holder(holder, drawn, registered.expect("drawn holders fit"));
    }

    /// Remembers a holder that is registered.
    pub(super) fn added_holder(
        &mut self,
        holder: TwinHolder,
        drawn: DrawnHolder,
        registration: Registration,
    ) {
        self.twin.add_holder(holder);
        self.recorders.push(drawn.recorder);
        self.panics.push(drawn.panics.map(|panics| (panics, Cell::new(0))));
        self.registrations.push(Some(registration));
        self.validate();
    }
}

/// A mapping, the devices under its legs, and its picture.
type Layer = (Arc<dyn Mapping>, Vec<usize>, Twin);

/// The devices under the legs of a table, in order.
pub(super) fn leg_devices(targets: &[DrawnTarget]) -> Vec<usize> {
    let legs = targets.iter().flat_map(DrawnTarget::legs);
    legs.map(|leg| usize::try_from(leg.device).expect("small")).collect()
}

fn recorder(holder: &TwinHolder) -> Recorder {
    let recorder = Recorder::new(holder.answer);
    holder.settles.iter().fold(recorder, |recorder, settle| {
        recorder.settling(bytes(SLOT, settle.start, settle.len).into(), settle.outcome)
    })
}

/// A holder that panics, and how often it had when it was looked at last.
pub(super) type Panicker = (Arc<Panics<Arc<Recorder>>>, Cell<u64>);

/// A holder that records, and panics after each call if it is to.
pub(super) struct DrawnHolder {
    recorder: Arc<Recorder>,
    panics: Option<Arc<Panics<Arc<Recorder>>>>,
}

impl DrawnHolder {
    pub(super) fn new(recorder: Recorder, answer: DrawnAnswer) -> Self {
        let recorder = Arc::new(recorder);
        let panics = (answer == DrawnAnswer::Panics)
            .then(|| Arc::new(Panics::always(Arc::clone(&recorder))));
        Self { recorder, panics }
    }

    pub(super) fn holder(&self) -> Arc<dyn Holder> {
        match &self.panics {
            Some(panics) => Arc::<Panics<_>>::clone(panics),
            None => Arc::<Recorder>::clone(&self.recorder),
        }
    }
}
