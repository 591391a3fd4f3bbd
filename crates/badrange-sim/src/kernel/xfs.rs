//! KERNEL: `fs/xfs/xfs_notify_failure.c`: from a range of a DAX device to records of the reverse
//! map, and what is done with each owner.

mod range;
mod walk;

use badrange_core::{MfFlags, SECTOR_SIZE};

use self::range::{Span, translate};
use super::{
    Halt, Linux, Report,
    errno::{ENXIO, EOPNOTSUPP, EUCLEAN},
    quirks::LogRange,
};
use crate::{Shutdown, scenario::Filesystem};

/// A notification as the filesystem gets it.
#[derive(Debug, Clone, Copy)]
struct Failure {
    fs: usize,
    /// First byte of the DAX device, and bytes.
    range: (u64, u64),
    current: Option<usize>,
    /// The device is going away: everybody is told, nothing is poisoned.
    removal: bool,
}

/// Which of its devices a filesystem was told about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Data,
    Log,
    Realtime,
}

impl Linux<'_> {
    pub(super) fn xfs_notify(
        &mut self,
        fs: usize,
        dax: usize,
        range: (u64, u64),
        flags: MfFlags,
        current: Option<usize>,
        report: &mut Report,
    ) -> Result<i64, Halt> {
        let scenario = self.machine.scenario;
        let what = scenario.filesystem(fs);
        let removal =
            self.machine.quirks.knows_pre_remove() && flags.contains(MfFlags::MEM_PRE_REMOVE);
        let failure = Failure { fs, range, current, removal };
        match self.role(fs, dax) {
            Role::Log => Ok(self.log_failed(what, failure, report)),
            Role::Realtime if !self.machine.quirks.walks_realtime() => Ok(EOPNOTSUPP),
            Role::Data => self.blocks_failed(what, what.device, failure, report),
            Role::Realtime => {
                self.blocks_failed(what, what.rt.unwrap_or(what.device), failure, report)
            }
        }
    }

    fn role(&self, fs: usize, dax: usize) -> Role {
        match self.machine.fs(fs) {
            state if state.rt == Some(dax) => Role::Realtime,
            state if state.log == Some(dax) => Role::Log,
            _ => Role::Data,
        }
    }

    /// The log is lost, wherever in it the failure is.
    fn log_failed(&mut self, what: &Filesystem, failure: Failure, report: &mut Report) -> i64 {
        debug_assert!(what.log.is_some(), "a device that holds the log is named");
        let Some(log) = what.log else { return EOPNOTSUPP };
        let start = self.machine.disk_offset(log.device);
        let size = match self.machine.quirks.log_range() {
            LogRange::Nothing => None,
            LogRange::Device => Some(self.machine.scenario.device(log.device).size()),
            LogRange::Log => Some(log.place.end().get()),
        };
        let outside = size.is_some_and(|size| translate(failure.range, start, size).is_none());
        if outside {
            return ENXIO;
        }
        if failure.removal {
            return 0;
        }
        self.shut_down(failure.fs, "corrupt_ondisk", report);
        EUCLEAN
    }

    /// Blocks of the data device or of the realtime device are lost.
    fn blocks_failed(
        &mut self,
        what: &Filesystem,
        device: usize,
        failure: Failure,
        report: &mut Report,
    ) -> Result<i64, Halt> {
        let size = self.failed_device_size(what, device);
        let span = translate(failure.range, self.machine.disk_offset(device), size);
        let first = self.machine.quirks.translates_first();
        if !what.rmapbt && (span.is_some() || !first) {
            return Ok(EOPNOTSUPP);
        }
        let Some(span) = span else { return Ok(ENXIO) };
        let (error, metadata) = self.walk(what, device, span, failure, report)?;
        if failure.removal {
            self.shut_down(failure.fs, "force_umount", report);
            return Ok(error);
        }
        if error == 0 && !metadata {
            return Ok(0);
        }
        self.shut_down(failure.fs, "corrupt_ondisk", report);
        Ok(if error == 0 { EUCLEAN } else { error })
    }

    fn failed_device_size(&self, what: &Filesystem, device: usize) -> u64 {
        if self.machine.quirks.clips_to_filesystem() && device == what.device {
            return what.geometry.blocks.saturating_mul(what.block_size);
        }
        self.machine.scenario.device(device).size()
    }

    /// KERNEL: `xfs_force_shutdown()`; calls on a filesystem that is down already are listed too.
    pub(super) fn shut_down(&mut self, fs: usize, reason: &'static str, report: &mut Report) {
        let what = self.machine.scenario.filesystem(fs);
        report.shutdown.push(Shutdown::new(&what.name, reason));
        self.machine.fs_mut(fs).shutdown = true;
    }
}

impl Span {
    /// The first and the last filesystem block, by number.
    ///
    /// KERNEL: `XFS_DADDR_TO_FSB()` shifts a signed sector number, so that the sector before 0 is
    /// in a block of all ones.
    fn blocks(self, block_size: u64) -> (u64, u64) {
        let sectors = (block_size / SECTOR_SIZE).max(1);
        let negative = |number: u64| number > u64::MAX / 2;
        let divide = |number: u64| number.checked_div(sectors).unwrap_or(0);
        let block = |sector: u64| match negative(sector) {
            true => !divide(!sector),
            false => divide(sector),
        };
        let last = self.sector.wrapping_add(self.sectors).wrapping_sub(1);
        (block(self.sector), block(last))
    }
}
