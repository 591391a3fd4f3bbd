//! Many failures of a real kernel, one after the other, without looking at everything after each.

use badrange_core::PAGE_SIZE;

use super::{Halt, Linux, Report};
use crate::{EventOutcome, StormOutcome, storm::Storm};

impl Linux<'_> {
    /// The same as an event per page, counted.
    pub(super) fn storm(&mut self, storm: &Storm) -> EventOutcome {
        let mut counts = StormOutcome::default();
        let mut crash = None;
        self.count_gone();
        for pfn in storm.pfns() {
            let mut report = Report::default();
            let result = self.memory_failure(pfn, storm.flags, None, &mut report);
            self.bury(&mut report);
            match result {
                Ok(call) => counts.call(&call),
                Err(Halt::Stuck) => {
                    counts.stuck(report.notified.holder.is_some());
                    // Shutdowns are not known of a call that never ends.
                    report.shutdown.clear();
                }
                Err(Halt::Crash(how)) => {
                    crash = Some(how);
                    break;
                }
            }
            let effects = &report.effects;
            counts.effects(&effects.signals, &report.shutdown, &effects.killed);
            // A page is unmapped for those who are told.
            if !effects.signals.is_empty() {
                let pages = self.count_gone();
                counts.unmapped(pages.saturating_mul(PAGE_SIZE));
            }
        }
        let storm = Some(Box::new(counts.finish(storm)));
        let badblocks = crash.is_none().then(|| self.machine.tables());
        EventOutcome { storm, crash, badblocks, ..EventOutcome::default() }
    }

    /// Pages that left page tables of those who live since the last time.
    pub(super) fn count_gone(&mut self) -> u64 {
        let mut gone = 0_u64;
        for process in &mut self.machine.processes {
            for map in &mut process.maps {
                let pages = map.take_gone();
                if process.alive {
                    // NO-OVERFLOW: bounded by all pages that are mapped.
                    gone = gone.saturating_add(pages);
                }
            }
        }
        gone
    }
}
