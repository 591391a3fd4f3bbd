//! One failure on a machine that was made ready before, over and over.

use std::sync::{Mutex, PoisonError};

use super::{
    Bench, Kernel, Profile,
    design::{
        Design,
        log::{Log, Marked},
    },
    is_failure,
};
use crate::{Crash, Scenario, StormOutcome, machine::Machine, scenario::Event, storm::Storm};

/// A machine on which the events of a scenario that are no failures have happened.
pub(crate) struct Ready<'a> {
    machine: Machine<'a>,
    profile: Profile,
    /// Designs that are ready for the machine, one for every thread that ever needed one at the
    /// same time.
    designs: Mutex<Vec<Box<dyn Design>>>,
}

/// What one failure came to.
#[derive(Debug)]
pub(crate) struct Happened {
    pub(crate) counts: StormOutcome,
    pub(crate) crash: Option<Crash>,
    /// Who was told of which bytes.
    pub(crate) told: Marked,
}

impl<'a> Ready<'a> {
    pub(crate) fn new(scenario: &'a Scenario, profile: Profile) -> Self {
        let mut bench = Bench::new(scenario, profile);
        for event in scenario.events.iter().filter(|event| !is_failure(event)) {
            bench.event(event);
        }
        Self { machine: bench.into_machine(), profile, designs: Mutex::default() }
    }

    pub(crate) fn machine(&self) -> &Machine<'a> {
        &self.machine
    }

    /// Lets pages fail on a copy of the machine.
    pub(crate) fn fail(&self, storm: Storm) -> Happened {
        let design = self.design();
        let fork = design.as_ref().map(|design| design.fork());
        let mut bench = Bench::on(self.machine.clone(), self.profile, fork);
        let mut log = Log::default();
        let outcome = bench.observe(&Event::Storm(Box::new(storm)), &mut log);
        drop(bench);
        self.designs.lock().unwrap_or_else(PoisonError::into_inner).extend(design);
        let counts = outcome.storm.map(|counts| *counts).unwrap_or_default(); // none of a crash
        Happened { counts, crash: outcome.crash, told: log.told }
    }

    /// One that nobody else works with.
    fn design(&self) -> Option<Box<dyn Design>> {
        let free = self.designs.lock().unwrap_or_else(PoisonError::into_inner).pop();
        free.or_else(|| {
            let mut design = Bench::design(self.profile)?;
            design.prepare(&self.machine);
            Some(design)
        })
    }
}
