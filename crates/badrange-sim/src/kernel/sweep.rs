//! One failure on a machine that was made ready before, over and over.

use super::{Bench, Halt, Kernel, Linux, Profile, Quirks, Report, Version, is_failure};
use crate::{Call, Crash, Scenario, StormOutcome, machine::Machine, scenario::Event, storm::Storm};
use badrange_core::PAGE_SIZE;

/// A machine on which the events of a scenario that are no failures have happened.
pub(crate) enum Ready<'a> {
    Kernel(Box<Machine<'a>>),
    /// Designs keep more than the machine, so they begin anew.
    Design(&'a Scenario, Profile),
}

/// What one failure came to.
#[derive(Debug, Default)]
pub(crate) struct Happened {
    pub(crate) counts: StormOutcome,
    pub(crate) crash: Option<Crash>,
    /// The calls, where they are known one by one.
    pub(crate) calls: Option<Vec<Call>>,
}

impl<'a> Ready<'a> {
    pub(crate) fn new(scenario: &'a Scenario, profile: Profile) -> Self {
        let version = match profile {
            Profile::Linux6_1 => Version::V6_1,
            Profile::Linux6_12 => Version::V6_12,
            Profile::Linux7_2 => Version::V7_2,
            Profile::PerPfn
            | Profile::CorruptedRange
            | Profile::MemoryFailureRegister
            | Profile::RangeOwners
            | Profile::LateNotifiers
            | Profile::Ranged => return Self::Design(scenario, profile),
        };
        let mut linux = Linux { machine: Machine::new(scenario, Quirks::new(version)) };
        for event in scenario.events.iter().filter(|event| !is_failure(event)) {
            linux.event(event);
        }
        Self::Kernel(Box::new(linux.machine))
    }

    /// Lets pages fail on a copy of the machine.
    pub(crate) fn fail(&self, storm: &Storm) -> Happened {
        match self {
            Self::Kernel(machine) => {
                Linux { machine: Machine::clone(machine) }.fail_and_list(storm)
            }
            Self::Design(scenario, profile) => {
                let mut bench = Bench::new(scenario, *profile);
                for event in scenario.events.iter().filter(|event| !is_failure(event)) {
                    bench.event(event);
                }
                let outcome = bench.event(&Event::Storm(Box::new(storm.clone())));
                let counts = outcome.storm.map(|counts| *counts).unwrap_or_default();
                Happened { counts, crash: outcome.crash, calls: None }
            }
        }
    }
}

impl Linux<'_> {
    fn fail_and_list(&mut self, storm: &Storm) -> Happened {
        let mut happened = Happened { calls: Some(Vec::new()), ..Happened::default() };
        for pfn in storm.pfns() {
            let mut report = Report::default();
            let result = self.memory_failure(pfn, storm.flags, None, &mut report);
            self.bury(&mut report);
            match result {
                Ok(call) => {
                    happened.counts.call(&call);
                    happened.calls.iter_mut().for_each(|calls| calls.push(call.clone()));
                }
                Err(Halt::Stuck) => {
                    happened.counts.stuck(report.notified.holder.is_some());
                    report.shutdown.clear();
                    happened.calls = None;
                }
                Err(Halt::Crash(how)) => {
                    happened.crash = Some(how);
                    break;
                }
            }
            let effects = &report.effects;
            happened.counts.effects(&effects.signals, &report.shutdown, &effects.killed);
            if !effects.signals.is_empty() {
                happened.counts.unmapped(self.count_gone().saturating_mul(PAGE_SIZE));
            }
        }
        happened
    }
}
