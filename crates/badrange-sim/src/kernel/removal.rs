//! KERNEL: unbinding the pmem driver: `pmem_release_disk()`, `kill_dax()`, `del_gendisk()`; for
//! device-dax, `kill_dev_dax()`.

use badrange_core::MfFlags;

use super::{Halt, Linux, Report};
use crate::{
    EventOutcome,
    scenario::{FileId, FsKind},
};

impl Linux<'_> {
    pub(super) fn unbind(
        &mut self,
        device: usize,
        report: &mut Report,
    ) -> Result<EventOutcome, Halt> {
        let state = self.machine.device(device);
        if state.dead {
            return Ok(EventOutcome::default());
        }
        // KERNEL: `kill_dax()` asks only whether somebody holds the device; the answer of the
        // notification interests nobody.
        if state.holder.is_some() {
            let flags = match self.machine.quirks.knows_pre_remove() {
                true => MfFlags::MEM_PRE_REMOVE,
                false => MfFlags::NONE,
            };
            self.notify(device, (0, u64::MAX), flags, None, report)?;
        }
        self.report_removal(device, report);
        let state = self.machine.device_mut(device);
        (state.dead, state.holder) = (true, None);
        self.machine.unmap(FileId::Device(device), &(0..u64::MAX));
        let notified = Some(core::mem::take(&mut report.notified));
        Ok(EventOutcome { notified, ..EventOutcome::default() })
    }

    /// KERNEL: `blk_report_disk_dead()`: filesystems on the disk and on its partitions are shut
    /// down. Device-mapper in between passes nothing on.
    fn report_removal(&mut self, disk: usize, report: &mut Report) {
        if !self.machine.quirks.block_layer_reports_removal() {
            return;
        }
        let scenario = self.machine.scenario;
        for (fs, what) in scenario.filesystems.iter().enumerate() {
            let mounted = self.machine.fs(fs).mounted;
            let devices = [Some(what.device), what.log.map(|log| log.device), what.rt];
            let on_disk =
                devices.into_iter().flatten().filter(|device| self.machine.disk(*device) == disk);
            let uses = on_disk.count();
            match what.kind {
                FsKind::Xfs | FsKind::Ext4 if mounted => {
                    for _ in 0..uses {
                        self.shut_down(fs, "device_removed", report);
                    }
                }
                FsKind::Xfs | FsKind::Ext4 | FsKind::Other => {}
            }
        }
    }
}
