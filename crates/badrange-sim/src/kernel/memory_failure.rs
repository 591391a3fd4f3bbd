//! KERNEL: `memory_failure()` of `mm/memory-failure.c`, for memory that a driver brought, and
//! `dax_holder_notify_failure()` of `drivers/dax/super.c`.

use badrange_core::{MfFlags, Pfn, PhysAddr};

use super::{
    Halt, Linux, Report,
    errno::{ENXIO, EOPNOTSUPP},
};
use crate::{Call, Crash, Hex, MfResult, Notification, PAGE, PAGE_SIZE};

impl Linux<'_> {
    /// One failed page. `current` is the process in whose context the kernel runs.
    pub(super) fn memory_failure(
        &mut self,
        pfn: u64,
        flags: MfFlags,
        current: Option<usize>,
        report: &mut Report,
    ) -> Result<Call, Halt> {
        if !self.machine.scenario.sysctl.recovery {
            return Err(Halt::Crash(Crash::Panic));
        }
        let (ret, action) = match self.owner_of(pfn) {
            // KERNEL: "memory outside kernel control", neither logged nor accounted as a page.
            None => (ENXIO, None),
            // KERNEL: `pgmap_pfn_valid()`: the driver's own metadata cannot be recovered; nobody
            // is asked, but it is accounted.
            Some((_, None)) => (ENXIO, Some(MfResult::Failed)),
            Some((pmem, Some(at))) => {
                let ret = self.dev_pagemap_failure(pmem, at, flags, current, report)?;
                (ret, Some(if ret == 0 { MfResult::Recovered } else { MfResult::Failed }))
            }
        };
        let notified = core::mem::take(&mut report.notified);
        Ok(Call { pfn: Hex::new(pfn), flags, ret, action, notified })
    }

    /// The pmem device that has a page, and the byte of the device where it begins: `None` below
    /// the data.
    fn owner_of(&self, pfn: u64) -> Option<(usize, Option<u64>)> {
        let phys = Pfn::new(pfn).phys(PAGE)?;
        let bound = self.machine.devices.iter().enumerate().filter(|(_, state)| !state.dead);
        for (device, _) in bound {
            let Some(pmem) = self.machine.pmem(device) else { continue };
            if pmem.namespace.whole().contains(phys) {
                return Some((device, data_byte(pmem.namespace.data().start(), phys)));
            }
        }
        None
    }

    /// KERNEL: `memory_failure_dev_pagemap()`: the driver first, and when it does not want to, the
    /// page by itself. Device-dax has no handler.
    fn dev_pagemap_failure(
        &mut self,
        pmem: usize,
        at: u64,
        flags: MfFlags,
        current: Option<usize>,
        report: &mut Report,
    ) -> Result<i64, Halt> {
        let devdax = self.machine.scenario.device(pmem).is_devdax();
        if !devdax {
            let ret = self.notify(pmem, (at, PAGE_SIZE), flags, current, report)?;
            if ret != EOPNOTSUPP {
                return Ok(ret);
            }
        }
        self.kill_by_page(pmem, at / PAGE_SIZE, current, report)
    }

    /// Tells whoever holds a DAX device that `range`, (first byte, bytes), of it failed.
    pub(super) fn notify(
        &mut self,
        dax: usize,
        range: (u64, u64),
        flags: MfFlags,
        current: Option<usize>,
        report: &mut Report,
    ) -> Result<i64, Halt> {
        let device = self.machine.device_name(dax).to_owned();
        let (start, len) = range;
        report.notified.holder = Some(Notification { device, start, len, flags, ret: None });
        let state = self.machine.device(dax);
        let ret = match (state.dead, state.holder) {
            (true, _) => ENXIO,
            (false, None) => EOPNOTSUPP,
            (false, Some(fs)) => self.xfs_notify(fs, dax, range, flags, current, report)?,
        };
        if let Some(holder) = &mut report.notified.holder {
            holder.ret = Some(ret);
        }
        Ok(ret)
    }
}

fn data_byte(data: PhysAddr, phys: PhysAddr) -> Option<u64> {
    phys.get().checked_sub(data.get())
}
