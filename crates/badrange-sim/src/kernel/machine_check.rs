//! KERNEL: `arch/x86/kernel/cpu/mce/core.c`: hardware errors.

use badrange_core::MfFlags;

use super::{Halt, Linux, Report, errno::EOPNOTSUPP};
use crate::{EventOutcome, Hex, PAGE_SIZE, Signal};

impl Linux<'_> {
    /// An error at `phys`, consumed by a process or found by a worker.
    pub(super) fn machine_check(
        &mut self,
        phys: u64,
        lsb: u64,
        consumer: Option<usize>,
        report: &mut Report,
    ) -> Result<EventOutcome, Halt> {
        // KERNEL: the decode chain, which records the error, runs in the handler. What a process
        // consumed fails afterwards, in its task work; what a worker finds fails earlier in the
        // same chain.
        let early = consumer.and_then(|_| self.record_error(phys, lsb));
        let pfn = phys / PAGE_SIZE;
        let flags = if consumer.is_some() { MfFlags::ACTION_REQUIRED } else { MfFlags::NONE };
        let call = self.memory_failure(pfn, flags, consumer, report)?;
        let late = if consumer.is_none() { self.record_error(phys, lsb) } else { None };
        if let Some(process) = consumer {
            self.not_recovered(process, call.ret, report);
        }
        let nospec = (call.ret == 0).then(|| Hex::new(pfn));
        Ok(EventOutcome {
            ret: Some(call.ret),
            call: Some(call),
            nospec: Some(nospec.into_iter().collect()),
            badrange: Some(early.or(late).into_iter().collect()),
            ..EventOutcome::default()
        })
    }

    /// KERNEL: `kill_me_maybe()`: "Memory error not recovered", and a plain forced signal.
    fn not_recovered(&mut self, process: usize, ret: i64, report: &mut Report) {
        let alive = self.machine.process(process).alive;
        if ret == 0 || ret == EOPNOTSUPP || !alive {
            return;
        }
        let what = self.machine.scenario.process(process);
        self.deliver(process, Signal::new(&what.tag, "SI_KERNEL"), true, report);
    }
}
