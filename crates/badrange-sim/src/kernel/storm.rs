//! Many failures in one event, one after the other, without looking at everything after each.

use super::{
    Halt, Linux, Report,
    design::{exact, log::Log},
};
use crate::{
    Call, EventOutcome, PAGE_SIZE, StormOutcome,
    scenario::Event,
    storm::{Storm, page_failure},
};

/// How one page fails.
type Fail<'f, 'a> = &'f mut dyn FnMut(&mut Linux<'a>, u64, &mut Report) -> Result<Call, Halt>;

/// Who is shown what each failure did. What was unmapped is counted elsewhere.
type Show<'s, 'a> = &'s mut dyn FnMut(&Linux<'a>, &Event, EventOutcome);

impl<'a> Linux<'a> {
    /// The same as an event per page, counted, with what it cost.
    pub(super) fn storm(&mut self, storm: &Storm) -> EventOutcome {
        let mut log = Log::default();
        let mut outcome = self.storm_noted(storm, &mut log, &mut |_| {});
        outcome.cost = Some(log.cost);
        outcome
    }

    /// The same with notes; `show` gets what each failure did.
    pub(super) fn storm_noted(
        &mut self,
        storm: &Storm,
        log: &mut Log,
        show: &mut dyn FnMut(EventOutcome),
    ) -> EventOutcome {
        self.storm_by(
            storm,
            &mut |linux, pfn, report| linux.memory_failure(pfn, storm.flags, None, report),
            &mut |linux, event, outcome| {
                exact::account(linux, event, &outcome, log);
                show(outcome);
            },
        )
    }

    /// Lets pages fail one after the other, until the kernel dies.
    pub(super) fn storm_by(
        &mut self,
        storm: &Storm,
        fail: Fail<'_, 'a>,
        show: Show<'_, 'a>,
    ) -> EventOutcome {
        let mut counts = StormOutcome::default();
        let mut crash = None;
        self.machine.take_gone();
        for pfn in storm.pfns() {
            let outcome = self.fall(pfn, fail);
            if !counts.event(&outcome) {
                crash = outcome.crash;
                break;
            }
            counts.unmapped(self.machine.take_gone().saturating_mul(PAGE_SIZE));
            show(self, &page_failure(pfn, storm.flags), outcome);
        }
        let storm = Some(Box::new(counts.finish(storm)));
        let badblocks = crash.is_none().then(|| self.machine.tables());
        EventOutcome { storm, crash, badblocks, ..EventOutcome::default() }
    }

    /// One of many failures.
    fn fall(&mut self, pfn: u64, fail: Fail<'_, 'a>) -> EventOutcome {
        let mut report = Report::default();
        let result = fail(self, pfn, &mut report);
        self.bury(&mut report);
        let mut outcome = EventOutcome::default();
        match result {
            Ok(call) => {
                report.effects.shutdown = Some(report.shutdown);
                (outcome.ret, outcome.call) = (Some(call.ret), Some(call));
            }
            // Shutdowns are not known of a call that never ends.
            Err(Halt::Stuck) => {
                (outcome.stuck, outcome.notified) = (Some(true), Some(report.notified));
            }
            Err(Halt::Crash(crash)) => {
                return EventOutcome { crash: Some(crash), ..EventOutcome::default() };
            }
        }
        outcome.effects = Some(report.effects);
        outcome
    }
}
