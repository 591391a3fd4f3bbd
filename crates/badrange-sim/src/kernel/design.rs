//! Designs of failure notification, side by side on one machine.
//!
//! A [`Bench`] is a machine on which failures go the way of a [`Design`]: who is notified, with
//! what range, translated by whom. Page tables, signals and faults are the same for all, those of the
//! model of Linux; so is I/O, except that [`Profile::Ranged`] reads and writes around what is bad.

mod bdev;
mod chain;
pub(super) mod exact;
pub(crate) mod log;
mod owners;
pub(crate) mod pages;
mod per_pfn;
mod ranged;
pub(crate) mod reach;
mod register;

use badrange_core::{DevOffset, Extent, MfFlags, Pfn, PhysAddr};

use self::{log::Log, pages::Whom, reach::Place};
use super::{
    Halt, Kernel, Linux, Quirks, Report, Version,
    errno::{EFAULT, EINTR, EOPNOTSUPP},
    injector, is_failure,
    madvise::Target,
};
use crate::{
    Call, Crash, Effects, EventOutcome, Hex, MfResult, Notification, PAGE, PAGE_SIZE, Profile,
    Scenario, Signal, StormOutcome,
    machine::Machine,
    scenario::{Advice, Event, FileId},
    storm::Storm,
};

/// A way to let everybody know.
pub(super) trait Design: Send {
    /// Whether failures of many pages come as one range. If not, they come page by page, and of a
    /// hardware error only its first page comes.
    fn takes_ranges(&self) -> bool {
        false
    }

    /// Whether the driver of a failed page is notified at all.
    fn notifies(&self) -> bool {
        true
    }

    /// Whether a device that goes away is told from one that fails.
    fn knows_removal(&self) -> bool {
        false
    }

    /// A range failed, of memory or of a device: 0, or `-errno` for the reporter.
    fn fail(
        &mut self,
        linux: &mut Linux<'_>,
        what: Failure,
        report: &mut Report,
        log: &mut Log,
    ) -> Result<i64, Halt>;

    /// Something else than a failure happened to the machine.
    fn changed(&mut self) {}

    /// Makes ready for a machine, so that the first failure does not have to.
    fn prepare(&mut self, _: &Machine<'_>) {}

    /// The same, as ready as this one, for another machine of the same shape. Only one of the two
    /// may work at a time.
    fn fork(&self) -> Box<dyn Design>;
}

/// What is reported.
#[derive(Debug, Clone, Copy)]
pub(super) struct Failure {
    place: Place,
    flags: MfFlags,
    current: Option<usize>,
}

impl Failure {
    /// The device goes away; nothing is bad.
    fn is_removal(self) -> bool {
        self.flags.contains(MfFlags::MEM_PRE_REMOVE)
    }

    /// Notes that memory failure calls the driver, which translates; a driver that reports by
    /// itself calls nobody and knows where it is.
    fn enter(self, log: &mut Log) {
        if matches!(self.place, Place::Memory(_)) {
            log.up(1);
            log.translated(1);
        }
    }

    fn whom(self) -> Whom {
        Whom { current: self.current, everyone: self.is_removal() }
    }
}

/// A machine under a design.
pub(crate) struct Bench<'a> {
    linux: Linux<'a>,
    /// `None`: a real kernel, as it is.
    design: Option<Box<dyn Design>>,
}

impl<'a> Bench<'a> {
    pub(crate) fn new(scenario: &'a Scenario, profile: Profile) -> Self {
        let quirks = match profile {
            Profile::Linux6_1 => Quirks::new(Version::V6_1),
            Profile::Linux6_12 => Quirks::new(Version::V6_12),
            Profile::Linux7_2 => Quirks::new(Version::V7_2),
            Profile::PerPfn
            | Profile::CorruptedRange
            | Profile::MemoryFailureRegister
            | Profile::RangeOwners
            | Profile::LateNotifiers => Quirks::of_designs(),
            Profile::Ranged => Quirks::of_ranged(),
        };
        Self::on(Machine::new(scenario, quirks), profile, Self::design(profile))
    }

    /// On a machine that has the rules of the profile already.
    pub(super) fn on(
        machine: Machine<'a>,
        profile: Profile,
        design: Option<Box<dyn Design>>,
    ) -> Self {
        debug_assert_eq!(design.is_none(), Self::design(profile).is_none(), "{profile}");
        Self { linux: Linux { machine }, design }
    }

    /// `None` for a real kernel.
    pub(super) fn design(profile: Profile) -> Option<Box<dyn Design>> {
        Some(match profile {
            Profile::Linux6_1 | Profile::Linux6_12 | Profile::Linux7_2 => return None,
            Profile::PerPfn => Box::new(per_pfn::PerPfn),
            Profile::CorruptedRange => Box::new(bdev::CorruptedRange),
            Profile::MemoryFailureRegister => Box::new(register::Register),
            Profile::RangeOwners => Box::new(chain::Chain::FIRST),
            Profile::LateNotifiers => Box::new(chain::Chain::AFTERWARDS),
            Profile::Ranged => Box::new(ranged::Ranged::default()),
        })
    }

    pub(super) fn into_machine(self) -> Machine<'a> {
        self.linux.machine
    }

    pub(crate) fn machine(&self) -> &Machine<'a> {
        &self.linux.machine
    }

    /// Whether a process would be told of a failure, by its policy.
    pub(crate) fn wants_signal(&self, process: usize, event: &Event, everyone: bool) -> bool {
        self.linux.chosen_thread(process, current(event), everyone).is_some()
    }

    /// Lets an event happen, and notes how.
    pub(crate) fn observe(&mut self, event: &Event, log: &mut Log) -> EventOutcome {
        if let Event::Storm(storm) = event {
            return match self.as_range(storm) {
                Some(range) => self.observe_range(storm, range, log),
                None => self.observe_pages(storm, log),
            };
        }
        self.observe_one(event, log)
    }

    /// A range of memory as one failure, for designs that know ranges.
    fn as_range(&self, storm: &Storm) -> Option<(u64, Extent<PhysAddr>)> {
        let ranges = self.design.as_ref().is_some_and(|design| design.takes_ranges());
        if !ranges || storm.kind != "memory_failure_range" {
            return None;
        }
        let [(first, end)] = storm.ranges()[..] else { return None };
        let pages = Extent::from_bounds(Pfn::new(first), Pfn::new(end)).ok()?;
        Some((first, pages.bytes(PAGE).ok()?))
    }

    fn observe_range(
        &mut self,
        storm: &Storm,
        (first, bad): (u64, Extent<PhysAddr>),
        log: &mut Log,
    ) -> EventOutcome {
        let mut outcome = self.settle(None, log, |run| {
            let call = run.memory_failure(first, Some(bad), storm.flags, None)?;
            Ok(EventOutcome { ret: Some(call.ret), call: Some(call), ..EventOutcome::default() })
        });
        let mut counts = StormOutcome::default();
        if counts.event(&outcome) {
            counts.pages = storm.count;
            outcome.storm = Some(Box::new(counts));
        }
        outcome
    }

    /// Many failures of a page each; what they did together is noted, but for what was unmapped,
    /// which is only counted.
    fn observe_pages(&mut self, storm: &Storm, log: &mut Log) -> EventOutcome {
        let mut all = Effects { shutdown: Some(Vec::new()), ..Effects::default() };
        let mut gather = |outcome: EventOutcome| {
            let Some(effects) = outcome.effects else { return };
            all.signals.extend(effects.signals);
            all.killed.extend(effects.killed);
            all.shutdown.get_or_insert_default().extend(effects.shutdown.into_iter().flatten());
        };
        let outcome = match &mut self.design {
            None => self.linux.storm_noted(storm, log, &mut gather),
            Some(design) => self.linux.storm_by(
                storm,
                &mut |linux, pfn, report| {
                    let mut run = Run { linux, design: &mut **design, report, log: &mut *log };
                    let call = run.memory_failure(pfn, page(pfn), storm.flags, None);
                    if !report.shutdown.is_empty() {
                        design.changed();
                    }
                    call
                },
                &mut |_, _, outcome| gather(outcome),
            ),
        };
        log.storm = Some(all);
        outcome
    }

    fn observe_one(&mut self, event: &Event, log: &mut Log) -> EventOutcome {
        let Some(design) = &mut self.design else {
            let outcome = self.linux.event(event);
            exact::account(&self.linux, event, &outcome, log);
            return outcome;
        };
        if !is_failure(event) {
            design.changed();
            return self.linux.event(event);
        }
        self.settle(injector(event), log, |run| run.event(event))
    }

    /// Lets a failure happen, and says what it changed.
    fn settle(
        &mut self,
        injector: Option<usize>,
        log: &mut Log,
        fail: impl FnOnce(&mut Run<'_, 'a>) -> Result<EventOutcome, Halt>,
    ) -> EventOutcome {
        debug_assert!(self.design.is_some(), "a real kernel settles by itself");
        let Some(design) = &mut self.design else { return EventOutcome::default() };
        let before = self.linux.page_tables();
        let mut report = Report::default();
        let mut run =
            Run { linux: &mut self.linux, design: &mut **design, report: &mut report, log };
        let mut outcome = match fail(&mut run) {
            Ok(outcome) => outcome,
            Err(Halt::Crash(crash)) => {
                return EventOutcome { crash: Some(crash), ..EventOutcome::default() };
            }
            Err(Halt::Stuck) => EventOutcome { stuck: Some(true), ..EventOutcome::default() },
        };
        self.linux.bury(&mut report);
        if !report.shutdown.is_empty() {
            design.changed();
        }
        report.effects.unmapped = self.linux.unmapped_since(&before, injector);
        report.effects.shutdown = Some(report.shutdown);
        outcome.effects = Some(report.effects);
        outcome.badblocks = Some(self.linux.machine.tables());
        outcome
    }
}

impl Kernel for Bench<'_> {
    fn event(&mut self, event: &Event) -> EventOutcome {
        if self.design.is_none() {
            return self.linux.event(event);
        }
        let mut log = Log::default();
        let mut outcome = self.observe(event, &mut log);
        if is_failure(event) {
            outcome.trail = Some(log.messages.iter().map(ToString::to_string).collect());
            outcome.cost = Some(log.cost);
        }
        outcome
    }
}

/// The process in whose context an event is handled.
fn current(event: &Event) -> Option<usize> {
    match event {
        Event::MachineCheck { consumer, .. } => *consumer,
        Event::MemoryFailure { .. }
        | Event::Madvise { .. }
        | Event::Notify { .. }
        | Event::Unbind { .. }
        | Event::Mount { .. }
        | Event::Touch { .. }
        | Event::Io { .. }
        | Event::Storm(_) => injector(event),
    }
}

/// What an event reports as failed: the truth that a design is measured against. A removal takes
/// the whole device.
pub(crate) fn places(machine: &Machine<'_>, event: &Event) -> Vec<Place> {
    let memory = |range: Option<Extent<PhysAddr>>| range.map(Place::Memory).into_iter().collect();
    match event {
        Event::MemoryFailure { pfn, .. } => memory(page(*pfn)),
        Event::MachineCheck { phys, lsb, .. } => memory(block(*phys, *lsb)),
        Event::Notify { device, start, len, .. } => {
            on_device(machine, machine.disk(*device), *start, *len).into_iter().collect()
        }
        Event::Storm(storm) => storm
            .ranges()
            .into_iter()
            .filter_map(|(first, end)| {
                Extent::from_bounds(Pfn::new(first), Pfn::new(end)).ok()?.bytes(PAGE).ok()
            })
            .map(Place::Memory)
            .collect(),
        Event::Unbind { device } => {
            let alive = !machine.device(*device).dead;
            let place = on_device(machine, *device, 0, u64::MAX);
            place.filter(|_| alive).into_iter().collect()
        }
        Event::Madvise { by, advice: Advice::Hwpoison, map, offset, len } => {
            advised(machine, *by, *map, (*offset, *len))
        }
        Event::Madvise { advice: Advice::SoftOffline, .. }
        | Event::Mount { .. }
        | Event::Touch { .. }
        | Event::Io { .. } => Vec::new(),
    }
}

/// The memory of the pages of a map, as far as it is known.
fn advised(machine: &Machine<'_>, by: usize, map: usize, (offset, len): (u64, u64)) -> Vec<Place> {
    let state = machine.process(by);
    let Some(map) = state.maps.get(map).filter(|_| state.alive) else { return Vec::new() };
    if !machine.is_dax(map.file) {
        return Vec::new();
    }
    let first = map.first.saturating_add(offset / PAGE_SIZE);
    let pages = first..first.saturating_add(len.div_ceil(PAGE_SIZE));
    let phys = pages.filter(|page| !map.has_copy(*page)).map_while(|page| match map.file {
        FileId::Device(device) => machine.phys(device, page.checked_mul(PAGE_SIZE)?),
        FileId::Inode { fs, ino } => {
            let place = machine.file_page(fs, ino, page)?.ok()?;
            machine.phys(place.pmem, place.first.checked_mul(PAGE_SIZE)?)
        }
    });
    let pages: Vec<u64> = phys.map(|phys| phys / PAGE_SIZE).collect();
    contiguous(&pages).into_iter().map(Place::Memory).collect()
}

/// Page frames as ranges of memory; neighbours in the list that follow one another are one.
fn contiguous(pfns: &[u64]) -> Vec<Extent<PhysAddr>> {
    let mut ranges: Vec<Extent<PhysAddr>> = Vec::new();
    for page in pfns.iter().filter_map(|pfn| page(*pfn)) {
        match ranges.last_mut().filter(|last| last.end() == page.start()) {
            Some(last) => *last = last.hull(page),
            None => ranges.push(page),
        }
    }
    ranges
}

fn page(pfn: u64) -> Option<Extent<PhysAddr>> {
    Extent::new(Pfn::new(pfn), 1).ok()?.bytes(PAGE).ok()
}

/// The 2^`lsb` bytes around an address.
fn block(phys: u64, lsb: u64) -> Option<Extent<PhysAddr>> {
    let unit = 1_u64.checked_shl(u32::try_from(lsb).ok()?)?;
    let start = phys.checked_sub(phys.checked_rem(unit)?)?;
    let len = unit.min(u64::MAX.checked_sub(start)?);
    Extent::new(PhysAddr::new(start), len).ok()
}

/// The bytes of a device that exist.
fn on_device(machine: &Machine<'_>, device: usize, start: u64, len: u64) -> Option<Place> {
    let size = machine.scenario.device(device).size();
    let end = start.saturating_add(len).min(size);
    let range = Extent::from_bounds(DevOffset::new(start), DevOffset::new(end)).ok()?;
    Some(Place::Device { device, range })
}

/// One event on its way.
struct Run<'r, 'a> {
    linux: &'r mut Linux<'a>,
    design: &'r mut dyn Design,
    report: &'r mut Report,
    log: &'r mut Log,
}

impl Run<'_, '_> {
    fn event(&mut self, event: &Event) -> Result<EventOutcome, Halt> {
        match event {
            Event::MemoryFailure { pfn, flags, by } => {
                let call = self.memory_failure(*pfn, page(*pfn), *flags, *by)?;
                let ret = Some(call.ret);
                Ok(EventOutcome { ret, call: Some(call), ..EventOutcome::default() })
            }
            Event::Madvise { by, advice: Advice::Hwpoison, map, offset, len } => {
                self.madvise(*by, *map, (*offset, *len))
            }
            Event::Madvise { by, advice: Advice::SoftOffline, map, offset, len } => {
                Ok(self.linux.madvise_soft_offline(*by, *map, *offset, *len))
            }
            Event::MachineCheck { phys, lsb, consumer } => {
                self.machine_check(*phys, *lsb, *consumer)
            }
            Event::Notify { device, start, len, flags } => {
                let disk = self.linux.machine.disk(*device);
                self.notify(disk, (*start, *len), *flags)
            }
            Event::Unbind { device } => self.unbind(*device),
            // Handled by the kernel itself.
            Event::Mount { .. } | Event::Touch { .. } | Event::Io { .. } | Event::Storm(_) => {
                Ok(self.linux.event(event))
            }
        }
    }

    /// `memory_failure()` of a range; `pfn` is its first page.
    fn memory_failure(
        &mut self,
        pfn: u64,
        bad: Option<Extent<PhysAddr>>,
        flags: MfFlags,
        current: Option<usize>,
    ) -> Result<Call, Halt> {
        if !self.linux.machine.scenario.sysctl.recovery {
            return Err(Halt::Crash(Crash::Panic));
        }
        let (ret, action) = match bad.filter(|bad| self.is_ours(*bad)) {
            None => (super::errno::ENXIO, None),
            Some(bad) => {
                self.note_holder(bad, flags);
                let failure = Failure { place: Place::Memory(bad), flags, current };
                let ret = self.design.fail(self.linux, failure, self.report, self.log)?;
                (ret, Some(if ret == 0 { MfResult::Recovered } else { MfResult::Failed }))
            }
        };
        let mut notified = core::mem::take(&mut self.report.notified);
        if let Some(holder) = &mut notified.holder {
            holder.ret.get_or_insert(ret);
        }
        Ok(Call { pfn: Hex::new(pfn), flags, ret, action, notified })
    }

    /// Whether any of it belongs to a pmem device.
    fn is_ours(&self, bad: Extent<PhysAddr>) -> bool {
        let machine = &self.linux.machine;
        let alive = machine.devices.iter().enumerate().filter(|(_, state)| !state.dead);
        alive
            .filter_map(|(device, _)| machine.pmem(device))
            .any(|pmem| pmem.namespace.whole().intersect(bad).is_some())
    }

    /// The notification of the first device, for the outcome.
    fn note_holder(&mut self, bad: Extent<PhysAddr>, flags: MfFlags) {
        let machine = &self.linux.machine;
        let on = reach::on_pmem(machine, bad).into_iter().next();
        let on = on.filter(|_| self.design.notifies());
        let Some((device, link)) = on.filter(|(device, _)| !self.linux.is_devdax(*device)) else {
            return;
        };
        let span = link.upper().span();
        let device = machine.device_name(device).to_owned();
        let (start, len) = (span.start().get(), span.len());
        self.report.notified.holder = Some(Notification { device, start, len, flags, ret: None });
    }

    fn madvise(
        &mut self,
        by: usize,
        map: usize,
        (offset, len): (u64, u64),
    ) -> Result<EventOutcome, Halt> {
        let flags = MfFlags::COUNT_INCREASED.with(MfFlags::SW_SIMULATED);
        let flags = flags.with(MfFlags::ACTION_REQUIRED);
        let (mut at, mut ret, mut unmodelled) = (offset / PAGE_SIZE, 0, None);
        let end = at.saturating_add(len.div_ceil(PAGE_SIZE));
        let (mut calls, mut pfns) = (Vec::new(), Vec::new());
        while at < end && ret == 0 && unmodelled.is_none() {
            if self.report.dying.contains(&by) {
                ret = EINTR;
                break;
            }
            let mut next = 1;
            match self.linux.target(by, map, at) {
                Target::Page { pfn, .. } if self.design.takes_ranges() => pfns.push(pfn),
                Target::Page { pfn, step } => {
                    let call = self.memory_failure(pfn, page(pfn), flags, Some(by))?;
                    ret = if call.ret == EOPNOTSUPP { 0 } else { call.ret };
                    calls.push(call);
                    next = step;
                }
                Target::Fault => ret = EFAULT,
                Target::Unmodelled(reason) => unmodelled = Some(reason),
            }
            at = at.saturating_add(next);
        }
        for bad in contiguous(&pfns) {
            let pfn = bad.start().get() / PAGE_SIZE;
            let call = self.memory_failure(pfn, Some(bad), flags, Some(by))?;
            if ret == 0 && call.ret != EOPNOTSUPP {
                ret = call.ret;
            }
            calls.push(call);
        }
        let mut outcome = EventOutcome { unmodelled, ..EventOutcome::default() };
        outcome.ret = unmodelled.is_none().then_some(ret);
        match calls.len() {
            0 | 1 => outcome.call = calls.pop(),
            _ => outcome.calls = Some(calls),
        }
        Ok(outcome)
    }

    fn machine_check(
        &mut self,
        phys: u64,
        lsb: u64,
        consumer: Option<usize>,
    ) -> Result<EventOutcome, Halt> {
        let recorded = self.linux.record_error(phys, lsb);
        let bad = match self.design.takes_ranges() {
            true => block(phys, lsb),
            false => page(phys / PAGE_SIZE),
        };
        let flags = if consumer.is_some() { MfFlags::ACTION_REQUIRED } else { MfFlags::NONE };
        let first = bad.map_or(phys, |bad| bad.start().get()) / PAGE_SIZE;
        let call = self.memory_failure(first, bad, flags, consumer)?;
        if let Some(process) = consumer.filter(|_| call.ret != 0 && call.ret != EOPNOTSUPP) {
            self.not_recovered(process);
        }
        let recovered = bad.filter(|_| call.ret == 0);
        Ok(EventOutcome {
            ret: Some(call.ret),
            call: Some(call),
            nospec: Some(recovered.map_or_else(Vec::new, first_pages)),
            badrange: Some(recorded.into_iter().collect()),
            ..EventOutcome::default()
        })
    }

    /// A process that consumed an error nobody could handle cannot go on.
    fn not_recovered(&mut self, process: usize) {
        let alive = self.linux.machine.process(process).alive;
        let what = self.linux.machine.scenario.process(process);
        if alive {
            let signal = Signal::new(&what.tag, "SI_KERNEL");
            self.linux.deliver(process, signal, true, self.report);
        }
    }

    fn notify(
        &mut self,
        device: usize,
        (start, len): (u64, u64),
        flags: MfFlags,
    ) -> Result<EventOutcome, Halt> {
        let name = self.linux.machine.device_name(device).to_owned();
        let dead = self.linux.machine.device(device).dead;
        let place = on_device(&self.linux.machine, device, start, len).filter(|_| !dead);
        let ret = match place {
            None => super::errno::ENXIO,
            Some(place) => {
                let failure = Failure { place, flags, current: None };
                self.design.fail(self.linux, failure, self.report, self.log)?
            }
        };
        let mut notified = core::mem::take(&mut self.report.notified);
        let holder = Notification { device: name, start, len, flags, ret: Some(ret) };
        notified.holder = Some(holder);
        let notified = Some(notified);
        Ok(EventOutcome { ret: Some(ret), notified, ..EventOutcome::default() })
    }

    /// The whole device goes away: all designs get it as a range. The first three had no event for
    /// it, and take it for a failure of everything.
    fn unbind(&mut self, device: usize) -> Result<EventOutcome, Halt> {
        let place = on_device(&self.linux.machine, device, 0, u64::MAX);
        let dead = self.linux.machine.device(device).dead;
        let Some(place) = place.filter(|_| !dead) else { return Ok(EventOutcome::default()) };
        let flags = match self.design.knows_removal() {
            true => MfFlags::MEM_PRE_REMOVE,
            false => MfFlags::NONE,
        };
        let failure = Failure { place, flags, current: None };
        let ret = self.design.fail(self.linux, failure, self.report, self.log)?;
        let mut notified = core::mem::take(&mut self.report.notified);
        if !self.linux.is_devdax(device) {
            let name = self.linux.machine.device_name(device).to_owned();
            let (start, len, flags) = (0, u64::MAX, failure.flags);
            let holder = Notification { device: name, start, len, flags, ret: Some(ret) };
            notified.holder = Some(holder);
        }
        let state = self.linux.machine.device_mut(device);
        (state.dead, state.holder) = (true, None);
        self.linux.machine.unmap(FileId::Device(device), &(0..u64::MAX));
        self.design.changed();
        Ok(EventOutcome { notified: Some(notified), ..EventOutcome::default() })
    }
}

/// The first pages of a range, as many as one can list.
fn first_pages(bad: Extent<PhysAddr>) -> Vec<Hex> {
    const MOST: usize = 4096;
    let pages = bad.containing_pages(PAGE);
    (pages.start().get()..pages.end().get()).take(MOST).map(Hex::new).collect()
}

#[cfg(test)]
mod tests;
