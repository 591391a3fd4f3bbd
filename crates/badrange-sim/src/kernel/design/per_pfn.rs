//! A: `memory_failure()` of every page, and nothing else.

use super::{Design, Failure, Halt, Linux, Log, Report};
use crate::kernel::errno::{EBUSY, ENXIO};

/// Every page is failed by itself, with what it remembers of its file. A device that goes away is
/// a loop over all of its pages, whose answers interest nobody.
#[derive(Debug, Clone, Copy)]
pub(super) struct PerPfn;

impl Design for PerPfn {
    fn fork(&self) -> Box<dyn Design> {
        Box::new(*self)
    }

    fn notifies(&self) -> bool {
        false
    }

    fn fail(
        &mut self,
        linux: &mut Linux<'_>,
        what: Failure,
        report: &mut Report,
        log: &mut Log,
    ) -> Result<i64, Halt> {
        Ok(fail_pages(linux, what, report, log))
    }
}

/// Fails all pages behind a failure one by one: 0, or `-errno` if one of them remembers nothing.
pub(super) fn fail_pages(
    linux: &mut Linux<'_>,
    what: Failure,
    report: &mut Report,
    log: &mut Log,
) -> i64 {
    let (pages, known) = linux.fail_each_pfn(what.place, what.whom(), report, log);
    match (pages, known) {
        (0, _) => ENXIO,
        (pages, known) if known < pages && !what.is_removal() => EBUSY,
        (_, _) => 0,
    }
}
