//! Many failures in one event: ranges, lists, and storms drawn from a seed.

use std::collections::BTreeMap;

use badrange_core::MfFlags;
use serde::Serialize;

use crate::{
    Call, EventOutcome, PAGE_SIZE, Shutdown, Signal,
    prng::shuffled,
    scenario::{
        Device, DeviceKind, Event, MAX_STORM_PAGES, Names, ScenarioError,
        ScenarioErrorKind as Kind, flags, inside,
        json::{At, Object},
        known,
    },
};

type Result<T> = core::result::Result<T, ScenarioError>;

/// Pages that fail one after the other, each by a `memory_failure()` call of its own.
#[derive(Debug, Clone)]
pub(crate) struct Storm {
    pub(crate) kind: &'static str,
    pub(crate) flags: MfFlags,
    /// (first page frame, pages); never empty, and no area is.
    areas: Vec<(u64, u64)>,
    order: Order,
    seed: u64,
    pub(crate) count: u64,
}

/// In which order the pages of areas fail. When all have failed, it begins again.
#[derive(Debug, Clone, Copy)]
enum Order {
    /// Area after area.
    Sequential,
    /// Every page once, in an order drawn from the seed.
    Shuffled,
    /// The first page of every area, then the second one, ...
    RoundRobin,
}

impl Storm {
    /// Every page of an area once.
    pub(crate) fn in_order(area: (u64, u64)) -> Self {
        let (kind, flags, seed) = ("memory_failure_range", MfFlags::NONE, 0);
        let (order, count) = (Order::Sequential, area.1);
        Self { kind, flags, areas: vec![area], order, seed, count }
    }

    /// The page frames, in the order in which they fail.
    pub(crate) fn pfns(&self) -> Box<dyn Iterator<Item = u64> + '_> {
        let count = usize::try_from(self.count).unwrap_or(usize::MAX);
        match self.order {
            Order::Sequential => {
                let pages = |(first, pages): &(u64, u64)| *first..first.saturating_add(*pages);
                Box::new(self.areas.iter().flat_map(pages).cycle().take(count))
            }
            Order::RoundRobin => {
                Box::new(core::iter::repeat_with(|| self.rounds()).flatten().take(count))
            }
            Order::Shuffled => self.drawn(),
        }
    }

    fn rounds(&self) -> impl Iterator<Item = u64> + '_ {
        let mut areas = self.areas.clone();
        let longest = areas.iter().map(|(_, pages)| *pages).max().unwrap_or(0);
        (0..longest).flat_map(move |round| {
            areas.retain(|(_, pages)| *pages > round);
            let round = areas.iter().map(|(first, _)| first.saturating_add(round));
            round.collect::<Vec<_>>()
        })
    }

    fn drawn(&self) -> Box<dyn Iterator<Item = u64> + '_> {
        let mut ends = Vec::new();
        let mut total = 0_u64;
        for (_, pages) in &self.areas {
            total = total.saturating_add(*pages);
            ends.push(total);
        }
        let pfn = move |index: u64| {
            let (pass, index) = (index.checked_div(total)?, index.checked_rem(total)?);
            let drawn = shuffled(index, total, self.seed.wrapping_add(pass));
            let area = ends.partition_point(|end| *end <= drawn);
            let before = area.checked_sub(1).and_then(|i| ends.get(i)).copied().unwrap_or(0);
            self.areas.get(area)?.0.checked_add(drawn.checked_sub(before)?)
        };
        Box::new((0..self.count).filter_map(pfn))
    }

    /// The pages, each once, as `[start, end)` ranges of frames.
    pub(crate) fn ranges(&self) -> Vec<(u64, u64)> {
        let mut pfns: Vec<u64> = self.pfns().collect();
        pfns.sort_unstable();
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        for pfn in pfns {
            match ranges.last_mut() {
                Some(last) if pfn <= last.1 => last.1 = last.1.max(pfn.saturating_add(1)),
                Some(_) | None => ranges.push((pfn, pfn.saturating_add(1))),
            }
        }
        ranges
    }
}

/// One failure of a storm as an event of its own.
pub(crate) const fn page_failure(pfn: u64, flags: MfFlags) -> Event {
    Event::MemoryFailure { pfn, flags, by: None }
}

/// `memory_failure_range`: bytes of memory, page by page.
pub(crate) fn read_range(at: At<'_>) -> Result<Storm> {
    let object = at.object(&["do", "phys", "len", "flags"])?;
    let (phys, len) =
        (object.required("phys", |at| at.number())?, object.required("len", |at| at.positive())?);
    let area = frames(phys, len)
        .ok_or_else(|| object.at().bad("\"phys\" plus \"len\" does not fit in 64 bits"))?;
    storm("memory_failure_range", &object, vec![area], area.1)
}

/// `memory_failure_list`: page frames in this order.
pub(crate) fn read_list(at: At<'_>) -> Result<Storm> {
    let object = at.object(&["do", "pfns", "flags"])?;
    let pfns = object.required("pfns", |at| match at.list(|at| at.number())? {
        pfns if pfns.is_empty() => Err(at.bad("lists no page")),
        pfns => Ok(pfns),
    })?;
    let count = u64::try_from(pfns.len()).unwrap_or(u64::MAX);
    storm("memory_failure_list", &object, pfns.into_iter().map(|pfn| (pfn, 1)).collect(), count)
}

/// `storm`: so many pages of devices or of ranges.
pub(crate) fn read_storm(at: At<'_>, names: &Names, devices: &[Device]) -> Result<Storm> {
    let object = at.object(&["do", "seed", "count", "device", "ranges", "flags", "order"])?;
    let orders = [
        ("in-order", Order::Sequential),
        ("shuffled", Order::Shuffled),
        ("round-robin", Order::RoundRobin),
    ];
    let count = object.required("count", |at| at.positive())?;
    Ok(Storm {
        seed: object.or("seed", 0, |at| at.number())?,
        order: object.or("order", Order::Shuffled, |at| at.word(&orders))?,
        ..storm("storm", &object, areas(&object, names, devices)?, count)?
    })
}

fn storm(
    kind: &'static str,
    object: &Object<'_>,
    areas: Vec<(u64, u64)>,
    count: u64,
) -> Result<Storm> {
    if count > MAX_STORM_PAGES {
        let message = format!("fails {count} pages, more than {MAX_STORM_PAGES}");
        return Err(object.at().fail(Kind::TooLarge, message));
    }
    let flags = object.or("flags", MfFlags::NONE, flags)?;
    Ok(Storm { kind, flags, areas, order: Order::Sequential, seed: 0, count })
}

/// Where a storm strikes: ranges of a device, ranges of memory, or all data of all pmem devices.
fn areas(object: &Object<'_>, names: &Names, devices: &[Device]) -> Result<Vec<(u64, u64)>> {
    let device = object.optional("device", |at| {
        let found = known(devices, names.device(at)?);
        data(found).ok_or_else(|| at.bad("is not a pmem device"))
    })?;
    let ranges = object.optional("ranges", |at| {
        let ranges = at.ranges()?;
        if let Some((_, size)) = device {
            inside(at, &ranges, size, "device")?;
        }
        Ok(ranges)
    })?;
    let bytes: Vec<(u64, u64)> = match (device, ranges) {
        (base, Some(ranges)) => {
            let base = base.map_or(0, |(start, _)| start);
            ranges.into_iter().map(|(start, len)| (base.saturating_add(start), len)).collect()
        }
        (Some(data), None) => vec![data],
        (None, None) => devices.iter().filter_map(data).collect(),
    };
    let areas: Vec<(u64, u64)> =
        bytes.into_iter().filter_map(|(start, len)| frames(start, len)).collect();
    if areas.is_empty() {
        return Err(object.at().bad("no page can fail: there is no pmem device and no range"));
    }
    Ok(areas)
}

/// The data of a pmem device in memory: first byte and bytes.
pub(crate) fn data(device: &Device) -> Option<(u64, u64)> {
    match &device.kind {
        DeviceKind::Pmem(pmem) => {
            let data = pmem.namespace.data();
            Some((data.start().get(), data.len()))
        }
        DeviceKind::Partition { .. } | DeviceKind::Dm { .. } => None,
    }
}

/// The page frames that hold any of these bytes: the first, and how many.
pub(crate) fn frames(phys: u64, len: u64) -> Option<(u64, u64)> {
    let end = phys.checked_add(len)?.div_ceil(PAGE_SIZE);
    let pages = end.checked_sub(phys / PAGE_SIZE).filter(|pages| *pages > 0)?;
    Some((phys / PAGE_SIZE, pages))
}

/// What many failures came to, counted.
///
/// Counts are of the failures one by one: as many as if each had been an event of its own.
///
/// # Examples
/// ```
/// use badrange_sim::{Scenario, run};
/// let text = r#"{"schema":"badrange.scenario/1","name":"all of it","profile":"linux-7.2",
///   "devices":[{"name":"pmem0","kind":"pmem","phys":"0x100000000","size":"0x400000",
///               "data_offset":"0x200000"}],
///   "events":[{"do":"storm","seed":1,"count":1000,"flags":[]}]}"#;
/// let outcome = run(&Scenario::from_str(text, "storm.json")?, None);
/// let storm = outcome.events[0].storm.as_ref().unwrap();
/// assert_eq!((storm.calls, storm.pages), (1000, 512)); // the device has 512 pages
/// assert_eq!(storm.rets[&-16], 1000); // nobody ever touched them
/// # Ok::<(), badrange_sim::ScenarioError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct StormOutcome {
    /// `memory_failure()` calls; the one that a kernel died in is not counted.
    pub calls: u64,
    /// Different pages that failed.
    pub pages: u64,
    /// Calls by what they returned.
    pub rets: BTreeMap<i64, u64>,
    /// Calls that never return.
    pub stuck: u64,
    /// Notifications of DAX devices.
    pub upcalls: u64,
    /// Signals by process.
    pub signals: BTreeMap<String, u64>,
    /// Processes that died, in order.
    pub killed: Vec<String>,
    /// Bytes that left page tables of processes that lived on after that failure.
    pub unmapped: u64,
    /// Calls to shut a filesystem down, by filesystem.
    pub shutdown: BTreeMap<String, u64>,
}

impl StormOutcome {
    pub(crate) fn call(&mut self, call: &Call) {
        bump(&mut self.calls, 1);
        bump(self.rets.entry(call.ret).or_default(), 1);
        bump(&mut self.upcalls, u64::from(call.notified.holder.is_some()));
    }

    pub(crate) fn effects(&mut self, signals: &[Signal], shutdown: &[Shutdown], killed: &[String]) {
        for signal in signals {
            bump(entry(&mut self.signals, &signal.tag), 1);
        }
        for call in shutdown {
            bump(entry(&mut self.shutdown, &call.fs), 1);
        }
        self.killed.extend(killed.iter().cloned());
    }

    pub(crate) fn unmapped(&mut self, bytes: u64) {
        bump(&mut self.unmapped, bytes);
    }

    /// A call that does not come back; its notification went out.
    pub(crate) fn stuck(&mut self, notified: bool) {
        bump(&mut self.calls, 1);
        bump(&mut self.stuck, 1);
        bump(&mut self.upcalls, u64::from(notified));
    }

    /// One failure that was an event of its own. False when it was the last one.
    pub(crate) fn event(&mut self, event: &EventOutcome) -> bool {
        if event.crash.is_some() {
            return false;
        }
        match &event.call {
            Some(call) => self.call(call),
            None => self.stuck(event.notified.as_ref().is_some_and(|n| n.holder.is_some())),
        }
        if let Some(effects) = &event.effects {
            let shutdown = effects.shutdown.as_deref().unwrap_or_default();
            self.effects(&effects.signals, shutdown, &effects.killed);
            let ranges = effects.unmapped.iter().flat_map(|unmapped| &unmapped.ranges);
            ranges.for_each(|(_, len)| self.unmapped(*len));
        }
        true
    }

    /// The counts of a storm that is over.
    pub(crate) fn finish(mut self, storm: &Storm) -> Self {
        let calls = usize::try_from(self.calls).unwrap_or(usize::MAX);
        let mut pfns: Vec<u64> = storm.pfns().take(calls).collect();
        pfns.sort_unstable();
        pfns.dedup();
        self.pages = u64::try_from(pfns.len()).unwrap_or(u64::MAX);
        self
    }
}

fn entry<'m>(map: &'m mut BTreeMap<String, u64>, key: &str) -> &'m mut u64 {
    map.entry(key.to_owned()).or_default()
}

fn bump(count: &mut u64, by: u64) {
    // NO-OVERFLOW: as many bytes and calls as there are, times a bounded number of maps.
    *count = count.saturating_add(by);
}
