//! KERNEL: `collect_procs_fsdax()`, `unmap_and_kill()` and `kill_proc()`: who maps a page, who of
//! them is told, and what becomes of the mapping.

use core::ops::Range;

use super::{Linux, Report};
use crate::{
    Hex, Signal,
    machine::PageSize,
    scenario::{Disposition, FileId, Policy},
};

/// A process that is to be told about a page it maps.
#[derive(Debug, Clone, Copy)]
struct Victim {
    process: usize,
    /// The thread that gets the signal, when it is not the first one.
    tid: Option<u64>,
    address: u64,
    size: PageSize,
}

impl Linux<'_> {
    /// Fails one page of a file for everybody who maps it. `everyone` asks no policy.
    pub(super) fn fail_page(
        &mut self,
        file: FileId,
        page: u64,
        current: Option<usize>,
        everyone: bool,
        report: &mut Report,
    ) {
        let victims = self.collect(file, page, current, everyone);
        // KERNEL: nothing is unmapped when nobody was collected, whoever else maps the page.
        let Some(size) = victims.iter().map(|victim| victim.size).max() else { return };
        self.machine.unmap(file, &size.around(page));
        for victim in victims {
            self.send(victim, current, report);
        }
    }

    fn collect(
        &self,
        file: FileId,
        page: u64,
        current: Option<usize>,
        everyone: bool,
    ) -> Vec<Victim> {
        let mut victims = Vec::new();
        for (process, _, map) in self.machine.maps_of(file) {
            let copy = self.machine.quirks.collects_private_copies() && map.has_copy(page);
            let size = map.level(page).or(copy.then_some(PageSize::Small));
            let Some((size, address)) = size.zip(map.address(page)) else { continue };
            if let Some(tid) = self.chosen_thread(process, current, everyone) {
                victims.push(Victim { process, tid, address, size });
            }
        }
        victims
    }

    /// The thread that is told: `None` when the process is not, `Some(None)` for the first thread.
    ///
    /// KERNEL: `task_early_kill()` with `force_early`, `find_early_kill_thread()`.
    pub(super) fn chosen_thread(
        &self,
        process: usize,
        current: Option<usize>,
        everyone: bool,
    ) -> Option<Option<u64>> {
        let what = self.machine.scenario.process(process);
        if !self.machine.process(process).alive {
            return None;
        }
        if everyone || current == Some(process) {
            return Some(None);
        }
        let wants = |policy: Policy| match policy {
            Policy::Early => true,
            Policy::Late => false,
            Policy::Default => self.machine.scenario.sysctl.early_kill,
        };
        let index = what.threads.iter().position(|(_, policy)| wants(*policy))?;
        Some(what.threads.get(index).filter(|_| index > 0).map(|(tid, _)| *tid))
    }

    /// KERNEL: `kill_proc()`: the current task is forced, everybody else is only sent the signal.
    fn send(&mut self, victim: Victim, current: Option<usize>, report: &mut Report) {
        let forced = current == Some(victim.process);
        let code = if forced { "BUS_MCEERR_AR" } else { "BUS_MCEERR_AO" };
        let what = self.machine.scenario.process(victim.process);
        let mut signal = Signal::new(&what.tag, code);
        signal.addr = Some(Hex::new(victim.address));
        signal.lsb = Some(victim.size.shift());
        signal.tid = victim.tid;
        self.deliver(victim.process, signal, forced, report);
    }

    /// KERNEL: a forced signal that is blocked or ignored kills (`force_sig_info_to_task()`).
    pub(super) fn deliver(
        &mut self,
        process: usize,
        mut signal: Signal,
        forced: bool,
        report: &mut Report,
    ) {
        let what = self.machine.scenario.process(process);
        let fatal = match what.on_sigbus {
            Disposition::Handler => false,
            Disposition::Default => true,
            Disposition::Ignore | Disposition::Blocked => forced,
        };
        if what.on_sigbus == Disposition::Ignore && !forced {
            signal.result = Some("ignored");
        }
        if fatal {
            report.dying.push(process);
        }
        report.effects.signals.push(signal);
    }

    /// The first page of a file in a range that somebody who can be collected maps.
    pub(super) fn first_collectable(
        &self,
        file: FileId,
        pages: Range<u64>,
        current: Option<usize>,
        everyone: bool,
    ) -> Option<u64> {
        let copies = self.machine.quirks.collects_private_copies();
        let mut first = None;
        for (process, _, map) in self.machine.maps_of(file) {
            let found = map.first_present(pages.clone(), copies);
            let better = found.filter(|page| first.is_none_or(|first| *page < first));
            if better.is_some() && self.chosen_thread(process, current, everyone).is_some() {
                first = better;
            }
        }
        first
    }
}
