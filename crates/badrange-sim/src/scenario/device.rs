use core::ops::ControlFlow;

use badrange_block::dm::{LinearKind, Table, Target};
use badrange_core::{Extent, Flow, Leg, Link, Mapping, PhysAddr, Sector, Window, bug};
use badrange_pmem::{Align, Mode, Namespace};

use super::{
    Names, Result, ScenarioErrorKind as Kind,
    json::{At, Object},
    limits::{MAX_DEPTH, MAX_ROUTES},
};
use crate::PAGE_SIZE;

/// A device: what it is and where it lies.
#[derive(Debug, Clone)]
pub(crate) struct Device {
    pub(crate) name: String,
    pub(crate) kind: DeviceKind,
}

#[derive(Debug, Clone)]
pub(crate) enum DeviceKind {
    Pmem(Box<Pmem>),
    Partition { on: usize, place: Window },
    Dm { table: Box<Table>, legs: Vec<usize> },
}

impl Device {
    /// All of its bytes.
    pub(crate) fn extent(&self) -> Extent {
        match &self.kind {
            DeviceKind::Pmem(pmem) => pmem.namespace.capacity(),
            DeviceKind::Partition { place, .. } => place.extent(),
            DeviceKind::Dm { table, .. } => table.extent(),
        }
    }

    /// How many they are.
    pub(crate) fn size(&self) -> u64 {
        self.extent().len()
    }

    /// Whether it is a character device that is mapped directly.
    pub(crate) fn is_devdax(&self) -> bool {
        match &self.kind {
            DeviceKind::Pmem(pmem) => pmem.namespace.mode() == Mode::Devdax,
            DeviceKind::Partition { .. } | DeviceKind::Dm { .. } => false,
        }
    }
}

impl DeviceKind {
    /// The devices below, leg by leg.
    pub(crate) fn below(&self) -> &[usize] {
        match self {
            Self::Pmem(_) => &[],
            Self::Partition { on, .. } => core::slice::from_ref(on),
            Self::Dm { legs, .. } => legs,
        }
    }

    /// The same, with the number of each leg.
    pub(crate) fn legs(&self) -> impl Iterator<Item = (Leg, usize)> + '_ {
        (0..).map(Leg::new).zip(self.below().iter().copied())
    }

    /// The device under a leg of its own mapping.
    pub(crate) fn leg(&self, leg: Leg) -> Option<usize> {
        self.below().get(usize::try_from(leg.index()).ok()?).copied()
    }

    /// Carries bytes of the device under a leg into this one: the upper side of `link` becomes the
    /// bytes here.
    pub(crate) fn rmap(&self, leg: Leg, link: Link, sink: &mut dyn FnMut(Link)) -> Flow {
        let Some(mapping) = self.mapping() else {
            return bug!("a device with legs has a mapping");
        };
        mapping.rmap(leg, link.upper(), &mut |step| match link.then(step) {
            Some(link) => {
                sink(link);
                ControlFlow::Continue(())
            }
            None => bug!("a reverse map emits parts of what it was asked for"),
        })
    }

    /// How the device lies on the devices below; pmem lies on physical memory.
    pub(crate) fn mapping(&self) -> Option<&dyn Mapping> {
        match self {
            Self::Pmem(_) => None,
            Self::Partition { place, .. } => Some(place),
            Self::Dm { table, .. } => Some(&**table),
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Pmem {
    pub(crate) namespace: Namespace,
    /// Fault granularity in bytes; used by device-dax only.
    pub(crate) align: u64,
    pub(crate) provider: Provider,
    pub(crate) badblocks: Vec<(u64, u64)>,
    /// What clearing poison returns; `None` clears everything.
    pub(crate) clear_poison: Option<i64>,
    pub(crate) region: Option<usize>,
    pub(crate) faulted: Vec<(u64, u64)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Provider {
    Nfit,
    E820,
    Virtio,
}

/// A region of persistent memory, with the bad sectors of all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Region {
    pub(crate) name: String,
    pub(crate) place: Extent<PhysAddr>,
    pub(crate) badblocks: Vec<(u64, u64)>,
}

/// A device of the list, by an index that a name stands for.
#[expect(clippy::indexing_slicing, reason = "a name that is not of the list is refused")]
pub(crate) fn known(devices: &[Device], device: usize) -> &Device {
    &devices[device]
}

/// Reads the whole list: devices refer to each other.
pub(super) fn read_all(at: At<'_>, names: &Names) -> Result<(Vec<Device>, Vec<Region>)> {
    let mut regions = Vec::new();
    let devices = at.list(|at| read(at, names, &mut regions))?;
    if let Some(region) = regions.iter().find(|r| names.devices.contains_key(&r.name)) {
        return Err(at.bad(format!("{:?} names both a device and a region", region.name)));
    }
    check_sizes(at, &devices)?;
    check_routes(at, &devices)?;
    at.list(|at| check_overlap(at, &devices))?;
    Ok((devices, regions))
}

fn read(at: At<'_>, names: &Names, regions: &mut Vec<Region>) -> Result<Device> {
    #[derive(Clone, Copy)]
    enum Word {
        Pmem,
        Partition,
        Dm,
    }
    let words = [("pmem", Word::Pmem), ("partition", Word::Partition), ("dm", Word::Dm)];
    let kind = at.peek("kind", |at| at.word(&words))?;
    let (name, kind) = match kind {
        Word::Pmem => pmem(&at.object(&PMEM_KEYS)?, regions)?,
        Word::Partition => {
            partition(&at.object(&["name", "kind", "on", "start", "sectors"])?, names)?
        }
        Word::Dm => dm(&at.object(&["name", "kind", "table"])?, names)?,
    };
    Ok(Device { name, kind })
}

const PMEM_KEYS: [&str; 12] = [
    "name",
    "kind",
    "phys",
    "size",
    "data_offset",
    "mode",
    "align",
    "provider",
    "badblocks",
    "clear_poison",
    "region",
    "faulted",
];

fn pmem(object: &Object<'_>, regions: &mut Vec<Region>) -> Result<(String, DeviceKind)> {
    let align = align(object)?;
    let namespace = namespace(object, align)?;
    let size = namespace.capacity().len();
    let providers =
        [("nfit", Provider::Nfit), ("e820", Provider::E820), ("virtio", Provider::Virtio)];
    let pmem = Pmem {
        namespace,
        align: align.bytes(),
        provider: object.or("provider", Provider::Nfit, |at| at.word(&providers))?,
        badblocks: object.ranges("badblocks")?,
        clear_poison: object.optional("clear_poison", |at| at.signed())?,
        region: object.optional("region", |at| region(at, namespace, regions))?,
        faulted: object.or("faulted", Vec::new(), |at| faulted(at, namespace, size))?,
    };
    Ok((object.required("name", |at| at.name())?, DeviceKind::Pmem(Box::new(pmem))))
}

fn align(object: &Object<'_>) -> Result<Align> {
    let words = [("4K", Align::Size4K), ("2M", Align::Size2M), ("1G", Align::Size1G)];
    object.or("align", Align::Size2M, |at| at.word(&words))
}

fn namespace(object: &Object<'_>, align: Align) -> Result<Namespace> {
    let phys = object.required("phys", |at| at.number())?;
    let size = object.required("size", |at| at.number())?;
    let offset = object.or("data_offset", 0, |at| at.number())?;
    let modes = [("fsdax", Mode::Fsdax), ("raw", Mode::Raw), ("devdax", Mode::Devdax)];
    let mode = object.or("mode", Mode::Fsdax, |at| at.word(&modes))?;
    let bad = |reason: String| object.at().bad(reason);
    let whole = Extent::new(PhysAddr::new(phys), size).map_err(|err| bad(err.to_string()))?;
    let namespace = Namespace::new(whole, offset, mode).map_err(|err| bad(err.to_string()))?;
    if mode == Mode::Devdax {
        return namespace.with_align(align).map_err(|err| bad(err.to_string()));
    }
    Ok(namespace)
}

fn faulted(at: At<'_>, namespace: Namespace, size: u64) -> Result<Vec<(u64, u64)>> {
    let ranges = at.ranges()?;
    if namespace.mode() != Mode::Devdax {
        return Err(at.bad("is for mode \"devdax\" only"));
    }
    inside(at, &ranges, size, "device")?;
    Ok(ranges)
}

/// The number of the region, which several namespaces may name.
fn region(at: At<'_>, namespace: Namespace, regions: &mut Vec<Region>) -> Result<usize> {
    let object = at.object(&["name", "phys", "size", "badblocks"])?;
    let phys = object.required("phys", |at| at.multiple(PAGE_SIZE))?;
    let size = object.required("size", |at| at.positive())?;
    let place = Extent::new(PhysAddr::new(phys), size).map_err(|err| at.bad(err.to_string()))?;
    if !place.contains_extent(namespace.whole()) {
        return Err(at.bad(format!("{place} does not hold all of the namespace")));
    }
    let name = object.required("name", |at| at.name())?;
    let badblocks = object.ranges("badblocks")?;
    let region = Region { name, place, badblocks };
    match regions.iter().position(|known| known.name == region.name) {
        Some(known) if regions.get(known) == Some(&region) => Ok(known),
        Some(_) => Err(at.bad(format!("region {:?} is described in two ways", region.name))),
        None => {
            regions.push(region);
            // NO-OVERFLOW: one was pushed just now.
            Ok(regions.len().wrapping_sub(1))
        }
    }
}

fn partition(object: &Object<'_>, names: &Names) -> Result<(String, DeviceKind)> {
    let on = object.required("on", |at| names.device(at))?;
    let start = object.required("start", |at| at.number())?;
    let sectors = object.required("sectors", |at| at.number())?;
    let place = Extent::new(Sector::new(start), sectors)
        .and_then(Extent::<Sector>::bytes)
        .map_err(|err| object.at().bad(err.to_string()))?;
    let kind = DeviceKind::Partition { on, place: Window::new(place) };
    Ok((object.required("name", |at| at.name())?, kind))
}

fn dm(object: &Object<'_>, names: &Names) -> Result<(String, DeviceKind)> {
    let table = object.required("table", |at| {
        let lines = at.list(|at| at.string())?;
        let table = Table::parse_lines((1..).zip(lines.iter().map(String::as_str)));
        let table = table.map_err(|err| at.bad(err.to_string()))?;
        check_targets(at, &table)?;
        Ok(table)
    })?;
    let legs = table.legs_info().map(|leg| {
        names.devices.get(leg.device).copied().ok_or_else(|| {
            let message = format!("the table names {:?}, and there is no such device", leg.device);
            object.at().fail(Kind::BadReference, message)
        })
    });
    let legs = legs.collect::<Result<Vec<usize>>>()?;
    let kind = DeviceKind::Dm { table: Box::new(table), legs };
    Ok((object.required("name", |at| at.name())?, kind))
}

/// The format has two kinds of targets; what others do with failures was not observed.
fn check_targets(at: At<'_>, table: &Table) -> Result<()> {
    let known = |target: &Target| {
        matches!(target, Target::Striped(_))
            || matches!(target, Target::Linear(linear) if linear.kind() == LinearKind::Linear)
    };
    match table.targets().find(|(_, target)| !known(target)) {
        Some((_, other)) => {
            Err(at.bad(format!("target \"{other}\" is neither linear nor striped")))
        }
        None => Ok(()),
    }
}

/// Checks every use of a lower device against its size, and finds circles.
fn check_sizes(at: At<'_>, devices: &[Device]) -> Result<()> {
    at.list(|at| {
        let device = known(devices, at.index());
        check_depth(at, devices, at.index())?;
        let Some(mapping) = device.kind.mapping() else { return Ok(()) }; // on memory
        for (leg, lower) in device.kind.legs() {
            let used = mapping.leg_extent(leg);
            debug_assert!(used.is_some(), "a device has as many legs as its mapping");
            if let Some(used) = used {
                check_fit(at, device, used.end().get(), known(devices, lower))?;
            }
        }
        Ok(())
    })
    .map(drop)
}

fn check_fit(at: At<'_>, device: &Device, end: u64, lower: &Device) -> Result<()> {
    let partition = |device: &Device| matches!(device.kind, DeviceKind::Partition { .. });
    if partition(device) && partition(lower) {
        return Err(at.bad("a partition cannot lie on a partition"));
    }
    if lower.is_devdax() {
        return Err(at.bad(format!("{:?} is a character device", lower.name)));
    }
    if end > lower.size() {
        return Err(at.bad(format!(
            "reaches to byte {end} of {:?}, which has only {} bytes",
            lower.name,
            lower.size()
        )));
    }
    Ok(())
}

/// Walks down until nothing is below; a circle never gets there.
fn check_depth(at: At<'_>, devices: &[Device], from: usize) -> Result<()> {
    let mut level = vec![from];
    for _ in 0..=MAX_DEPTH {
        level =
            level.iter().flat_map(|i| known(devices, *i).kind.below().iter().copied()).collect();
        level.sort_unstable();
        level.dedup();
        if level.is_empty() {
            return Ok(());
        }
    }
    let message = format!("stands on more than {MAX_DEPTH} devices, or on itself");
    Err(at.fail(Kind::TooLarge, message))
}

/// The ways from every device down to memory, counted as one walk per leg.
fn check_routes(at: At<'_>, devices: &[Device]) -> Result<()> {
    let mut ways = vec![1_u64; devices.len()];
    for _ in 0..=MAX_DEPTH {
        ways = devices
            .iter()
            .map(|device| match device.kind.below() {
                [] => 1,
                below => below
                    .iter()
                    .filter_map(|i| ways.get(*i))
                    .fold(0, |sum: u64, n| sum.saturating_add(*n)),
            })
            .collect();
    }
    // NO-OVERFLOW: a count beyond 64 bits is beyond the limit as well.
    if ways.iter().fold(0, |sum: u64, n| sum.saturating_add(*n)) > MAX_ROUTES {
        let message = format!("more than {MAX_ROUTES} ways from devices down to memory");
        return Err(at.fail(Kind::TooLarge, message));
    }
    Ok(())
}

/// Two namespaces cannot share memory.
fn check_overlap(at: At<'_>, devices: &[Device]) -> Result<()> {
    let place = |i: usize| match &known(devices, i).kind {
        DeviceKind::Pmem(pmem) => Some(pmem.namespace.whole()),
        DeviceKind::Partition { .. } | DeviceKind::Dm { .. } => None,
    };
    let Some(mine) = place(at.index()) else { return Ok(()) };
    match (0..at.index()).find(|i| place(*i).is_some_and(|other| other.intersect(mine).is_some())) {
        Some(other) => {
            let name = &known(devices, other).name;
            Err(at.bad(format!("overlaps {name:?} in physical memory")))
        }
        None => Ok(()),
    }
}

/// Every range lies within `size` bytes.
pub(crate) fn inside(at: At<'_>, ranges: &[(u64, u64)], size: u64, what: &str) -> Result<()> {
    let end = ranges.iter().filter_map(|(start, len)| start.checked_add(*len)).max();
    match end {
        Some(end) if end > size => {
            Err(at.bad(format!("reaches to byte {end}, but the {what} has only {size} bytes")))
        }
        Some(_) | None => Ok(()),
    }
}
