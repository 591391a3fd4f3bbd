//! D: owners of ranges of memory, and below them a notifier chain in blocks (2021-03).
//!
//! Memory failure knows ranges. Each driver that owns a part of a range is told; it translates to
//! its own blocks and fires its chain; each stacked device listens to the one below, and
//! filesystems listen at the top. Nobody listening, or nobody who can tell: every page of that
//! owner is failed by itself. An owner that takes over the failures of its pages, as device-dax
//! does here, is not second-guessed.
//!
//! The answer is one per owner: when somebody handled a part, nobody looks for the rest.

use super::{
    Design, Failure, Halt, Linux, Log, Report,
    log::{Key, Marks},
    owners::Stop,
    per_pfn::fail_pages,
    reach::{Place, on_pmem, pieces},
};
use crate::{
    kernel::errno::{ENXIO, EOPNOTSUPP},
    scenario::FileId,
};
use badrange_core::{DevOffset, Extent, FileOffset, Run};

#[derive(Debug, Clone, Copy)]
pub(super) struct Chain {
    /// Drivers learn of a failure only when `memory_failure()` has run.
    afterwards: bool,
}

impl Chain {
    pub(super) const FIRST: Self = Self { afterwards: false };
    pub(super) const AFTERWARDS: Self = Self { afterwards: true };
}

impl Design for Chain {
    fn fork(&self) -> Box<dyn Design> {
        Box::new(*self)
    }

    fn takes_ranges(&self) -> bool {
        true
    }

    fn knows_removal(&self) -> bool {
        true
    }

    fn fail(
        &mut self,
        linux: &mut Linux<'_>,
        what: Failure,
        report: &mut Report,
        log: &mut Log,
    ) -> Result<i64, Halt> {
        let owned: Vec<(usize, Extent)> = match what.place {
            Place::Device { device, range } => vec![(device, range)],
            Place::Memory(bad) => on_pmem(&linux.machine, bad)
                .into_iter()
                .map(|(device, link)| (device, link.upper().span()))
                .collect(),
        };
        let mut ret = if owned.is_empty() { ENXIO } else { 0 };
        for (device, range) in owned {
            what.enter(log);
            let answer = self.owner(linux, (device, range), what, report, log);
            ret = if ret == 0 { answer } else { ret };
        }
        Ok(ret)
    }
}

impl Chain {
    /// One owner of a part of the range.
    fn owner(
        &self,
        linux: &mut Linux<'_>,
        (device, range): (usize, Extent),
        what: Failure,
        report: &mut Report,
        log: &mut Log,
    ) -> i64 {
        let part = Failure { place: Place::Device { device, range }, ..what };
        let first = self.afterwards.then(|| fail_pages(linux, part, report, log));
        log.say("memory_failure", linux.machine.device_name(device), format_args!("{range}"));
        let answer = if linux.is_devdax(device) {
            take_over(linux, (device, range), part, report, log)
        } else {
            fire(linux, part, report, log)
        };
        match (answer, first) {
            (EOPNOTSUPP, Some(first)) => first,
            (EOPNOTSUPP, None) => fail_pages(linux, part, report, log),
            (answer, _) => answer,
        }
    }
}

/// The driver itself maps the memory, and takes it away as a range.
fn take_over(
    linux: &mut Linux<'_>,
    (device, range): (usize, Extent),
    what: Failure,
    report: &mut Report,
    log: &mut Log,
) -> i64 {
    log.walked(1);
    log.told.add(Key::Device(device), range.into(), Marks::TOLD);
    if let Some(bytes) = range.rebase(DevOffset::new(0), FileOffset::new(0)) {
        linux.revoke(FileId::Device(device), &[bytes.into()], what.whom(), report);
    }
    0
}

/// The chains of all devices above: one call for every piece that is contiguous there.
fn fire(linux: &mut Linux<'_>, what: Failure, report: &mut Report, log: &mut Log) -> i64 {
    let mut ret = EOPNOTSUPP;
    for (number, (device, link)) in pieces(&linux.machine, what.place).into_iter().enumerate() {
        let bad = link.upper();
        if number > 0 {
            log.up(bad.count());
            log.translated(bad.count());
            log.say("chain", linux.machine.device_name(device), format_args!("{bad}"));
        }
        for fs in linux.handlers_on(device) {
            if linux.has_handler(fs) {
                let answer = notify(linux, (fs, device), bad, what, report, log);
                ret =
                    if answer == EOPNOTSUPP || ret < 0 && ret != EOPNOTSUPP { ret } else { answer };
            }
        }
    }
    ret
}

fn notify(
    linux: &mut Linux<'_>,
    (fs, device): (usize, usize),
    bad: Run,
    what: Failure,
    report: &mut Report,
    log: &mut Log,
) -> i64 {
    let scenario = linux.machine.scenario;
    let name = &scenario.filesystem(fs).name;
    log.up(bad.count());
    log.say(linux.machine.device_name(device), name, format_args!("{bad}"));
    linux.filesystem_lost((fs, device), bad, what.whom(), Stop::AtTheEnd, (report, log))
}
