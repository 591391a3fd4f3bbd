//! What kernels do.
//!
//! [`Kernel`] is the seam: whoever implements it is a machine that events can happen to. [`Linux`]
//! is the model of the real ones.

mod around;
mod block_io;
mod collect;
pub(crate) mod design;
pub(crate) mod errno;
mod fault;
mod generic;
mod io;
mod machine_check;
mod madvise;
mod memory_failure;
mod nvdimm;
mod quirks;
mod removal;
mod storm;
mod sweep;
mod xfs;

use self::design::Bench;
pub(crate) use self::{
    quirks::{Quirks, Version},
    sweep::Ready,
};
use crate::{
    Crash, Effects, EventOutcome, Notified, PAGE_SIZE, Profile, RunOutcome, Scenario, Shutdown,
    Unmapped,
    machine::{Machine, ProcState},
    scenario::{Advice, Event},
};
use std::sync::Arc;

/// A machine under the rules of a design.
trait Kernel {
    /// Lets one event happen.
    fn event(&mut self, event: &Event) -> EventOutcome;
}

/// Runs a scenario, by the rules of `profile` or else of the profile it names.
///
/// Deterministic: the same scenario gives the same outcome.
///
/// # Examples
/// ```
/// use badrange_sim::{Crash, Profile, Scenario, run};
/// let text = r#"{"schema":"badrange.scenario/1","name":"no recovery","profile":"linux-6.1",
///   "sysctl":{"memory_failure_recovery":0},"devices":[],
///   "events":[{"do":"memory_failure","pfn":1,"flags":[]},
///             {"do":"memory_failure","pfn":2,"flags":[]}]}"#;
/// let outcome = run(&Scenario::from_str(text, "off.json")?, Some(Profile::Linux7_2));
/// assert_eq!(outcome.events.len(), 1); // dead kernels have no events
/// assert_eq!(outcome.events[0].crash, Some(Crash::Panic));
/// # Ok::<(), badrange_sim::ScenarioError>(())
/// ```
#[must_use]
pub fn run(scenario: &Scenario, profile: Option<Profile>) -> RunOutcome {
    Running::new(scenario, profile).finish()
}

/// A scenario that runs event by event, by [`step`](Self::step).
///
/// Who wants to know how long an event takes measures its step; an outcome has no time in it.
///
/// # Examples
/// ```
/// use badrange_sim::{Running, Scenario, run};
/// let text = r#"{"schema":"badrange.scenario/1","name":"ram","profile":"linux-6.1","devices":[],
///   "events":[{"do":"memory_failure","pfn":1},{"do":"memory_failure","pfn":2}]}"#;
/// let scenario = Scenario::from_str(text, "ram.json")?;
/// let mut running = Running::new(&scenario, None);
/// assert_eq!(running.step().unwrap().ret, Some(-6));
/// assert_eq!(running.finish(), run(&scenario, None)); // all events, the first one included
/// # Ok::<(), badrange_sim::ScenarioError>(())
/// ```
#[expect(missing_debug_implementations, reason = "a whole machine")]
pub struct Running<'a> {
    scenario: &'a Scenario,
    profile: Profile,
    kernel: Bench<'a>,
    /// Of the events so far.
    done: Vec<EventOutcome>,
}

impl<'a> Running<'a> {
    /// Boots the machine, by the rules of `profile` or else of the profile the scenario names.
    #[must_use]
    pub fn new(scenario: &'a Scenario, profile: Option<Profile>) -> Self {
        let profile = profile.unwrap_or(scenario.profile());
        Self { scenario, profile, kernel: Bench::new(scenario, profile), done: Vec::new() }
    }

    /// Lets the next event happen: `None` after the last one, and after the one that the kernel
    /// died in.
    pub fn step(&mut self) -> Option<&EventOutcome> {
        if self.done.last().is_some_and(|outcome| outcome.crash.is_some()) {
            return None;
        }
        let event = self.scenario.events.get(self.done.len())?;
        let outcome = self.kernel.event(event);
        self.done.push(outcome);
        self.done.last()
    }

    /// Lets the rest happen: the outcome of all events.
    #[must_use]
    pub fn finish(mut self) -> RunOutcome {
        while self.step().is_some() {}
        let name = self.scenario.name().to_owned();
        let (profile, events) = (self.profile, self.done);
        RunOutcome { schema: "badrange.outcome/1", name, profile, events }
    }
}

/// A real kernel.
struct Linux<'a> {
    machine: Machine<'a>,
}

/// Why the kernel does not get to the end of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Halt {
    Crash(Crash),
    Stuck,
}

/// What an event has done so far.
#[derive(Debug, Default)]
struct Report {
    effects: Effects,
    /// Calls to shut a filesystem down.
    shutdown: Vec<Shutdown>,
    /// Who will be dead when the event is over.
    dying: Vec<usize>,
    /// The notification on its way.
    notified: Notified,
}

impl Kernel for Linux<'_> {
    fn event(&mut self, event: &Event) -> EventOutcome {
        if let Event::Storm(storm) = event {
            return self.storm(storm);
        }
        let before = self.page_tables();
        let mut report = Report::default();
        let mut outcome = match self.dispatch(event, &mut report) {
            Ok(outcome) => outcome,
            Err(Halt::Crash(crash)) => {
                return EventOutcome { crash: Some(crash), ..EventOutcome::default() };
            }
            Err(Halt::Stuck) => {
                let notified = Some(core::mem::take(&mut report.notified));
                EventOutcome { stuck: Some(true), notified, ..EventOutcome::default() }
            }
        };
        self.bury(&mut report);
        if is_failure(event) {
            report.effects.unmapped = self.unmapped_since(&before, injector(event));
            report.effects.shutdown = outcome.stuck.is_none().then_some(report.shutdown);
            outcome.effects = Some(report.effects);
        }
        outcome.badblocks = Some(self.machine.tables());
        outcome
    }
}

fn is_failure(event: &Event) -> bool {
    match event {
        Event::MemoryFailure { .. }
        | Event::Madvise { .. }
        | Event::MachineCheck { .. }
        | Event::Notify { .. }
        | Event::Unbind { .. }
        | Event::Storm(_) => true,
        Event::Mount { .. } | Event::Touch { .. } | Event::Io { .. } => false,
    }
}

/// The process that made the event happen.
pub(crate) fn injector(event: &Event) -> Option<usize> {
    match event {
        Event::MemoryFailure { by, .. } => *by,
        Event::Madvise { by, .. } => Some(*by),
        Event::MachineCheck { .. }
        | Event::Notify { .. }
        | Event::Unbind { .. }
        | Event::Mount { .. }
        | Event::Touch { .. }
        | Event::Io { .. }
        | Event::Storm(_) => None,
    }
}

impl Linux<'_> {
    fn dispatch(&mut self, event: &Event, report: &mut Report) -> Result<EventOutcome, Halt> {
        match event {
            Event::MemoryFailure { pfn, flags, by } => {
                let call = self.memory_failure(*pfn, *flags, *by, report)?;
                let ret = Some(call.ret);
                Ok(EventOutcome { ret, call: Some(call), ..EventOutcome::default() })
            }
            Event::Madvise { by, advice: Advice::Hwpoison, map, offset, len } => {
                self.madvise_hwpoison(*by, *map, *offset, *len, report)
            }
            Event::Madvise { by, advice: Advice::SoftOffline, map, offset, len } => {
                Ok(self.madvise_soft_offline(*by, *map, *offset, *len))
            }
            Event::MachineCheck { phys, lsb, consumer } => {
                self.machine_check(*phys, *lsb, *consumer, report)
            }
            Event::Notify { device, start, len, flags } => {
                let dax = self.machine.disk(*device);
                let ret = self.notify(dax, (*start, *len), *flags, None, report)?;
                let notified = Some(core::mem::take(&mut report.notified));
                Ok(EventOutcome { ret: Some(ret), notified, ..EventOutcome::default() })
            }
            Event::Unbind { device } => self.unbind(*device, report),
            Event::Mount { fs } => Ok(self.mount(*fs)),
            Event::Touch { file, offset, write } => Ok(self.touch(*file, *offset, *write)),
            Event::Io { file, offset, len, direct, write } => {
                Ok(self.io(*file, *offset, *len, *direct, *write))
            }
            Event::Storm(storm) => Ok(self.storm(storm)),
        }
    }

    fn mount(&mut self, fs: usize) -> EventOutcome {
        let (ret, dax) = match self.machine.mount(fs) {
            Ok(dax) => (0, Some(dax)),
            Err(errno) => (errno, None),
        };
        EventOutcome { ret: Some(ret), dax, ..EventOutcome::default() }
    }

    /// The page tables as they are now; what changes later is changed in a copy.
    fn page_tables(&self) -> Arc<Vec<ProcState>> {
        Arc::clone(&self.machine.processes)
    }

    /// What left the page tables of those who live on and did not do it themselves.
    fn unmapped_since(
        &self,
        before: &Arc<Vec<ProcState>>,
        injector: Option<usize>,
    ) -> Vec<Unmapped> {
        let mut unmapped = Vec::new();
        if Arc::ptr_eq(before, &self.machine.processes) {
            return unmapped;
        }
        let processes = self.machine.scenario.processes.iter().zip(&*self.machine.processes);
        for (i, ((what, state), before)) in processes.zip(&**before).enumerate() {
            if !state.alive || Some(i) == injector {
                continue;
            }
            for (index, (map, before)) in state.maps.iter().zip(&*before.maps).enumerate() {
                if Arc::ptr_eq(map, before) {
                    continue;
                }
                let gone = before.present().without(&map.present());
                if !gone.is_empty() {
                    let ranges = gone.ranges().map(|range| in_map(&range, map.first)).collect();
                    unmapped.push(Unmapped::new(&what.tag, index, ranges));
                }
            }
        }
        unmapped
    }

    /// Those who got a fatal signal die when the event is over.
    ///
    /// KERNEL: a fatal signal is acted on when its thread runs next; the pages of one event fail
    /// faster than that. No recording shows a process that dies in the middle of an event.
    fn bury(&mut self, report: &mut Report) {
        report.dying.sort_unstable();
        report.dying.dedup();
        for process in &report.dying {
            let state = self.machine.process_mut(*process);
            state.alive = false;
            state.clear();
            report.effects.killed.push(self.machine.scenario.process(*process).tag.clone());
        }
    }
}

/// Pages of a file as bytes relative to a map that begins at page `first`.
fn in_map(pages: &core::ops::Range<u64>, first: u64) -> (u64, u64) {
    // NO-OVERFLOW: a map's pages begin at `first`, and their bytes fit in 64 bits.
    let bytes = |pages: u64| pages.wrapping_mul(PAGE_SIZE);
    (bytes(pages.start.wrapping_sub(first)), bytes(pages.end.wrapping_sub(pages.start)))
}
