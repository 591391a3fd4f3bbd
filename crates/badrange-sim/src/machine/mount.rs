//! Who registers with which DAX device.

use super::Machine;
use crate::{
    PAGE_SIZE,
    kernel::errno::{EBUSY, EINVAL, ENXIO},
    scenario::{Dax, DeviceKind, Filesystem, FsKind},
};

impl Machine<'_> {
    /// The DAX device of a block device; one per whole disk.
    ///
    /// KERNEL: `fs_dax_get_by_bdev()`. Only a partition is asked for whole pages; the legs of a
    /// device-mapper device are not, so a table at an odd sector has DAX.
    pub(crate) fn dax_device(&self, device: usize) -> Option<usize> {
        let found = self.scenario.device(device);
        match &found.kind {
            DeviceKind::Pmem(_) => {
                let dead = self.device(device).dead;
                (!dead && !found.is_devdax()).then_some(device)
            }
            DeviceKind::Partition { on, place } => {
                let aligned = |bytes: u64| bytes % PAGE_SIZE == 0;
                let whole = aligned(place.on().start().get()) && aligned(place.on().len());
                whole.then(|| self.dax_device(*on))?
            }
            DeviceKind::Dm { legs, .. } => {
                legs.iter().all(|leg| self.dax_device(*leg).is_some()).then_some(device)
            }
        }
    }

    /// The disk that a device is, or is a partition of.
    pub(crate) fn disk(&self, device: usize) -> usize {
        match &self.scenario.device(device).kind {
            DeviceKind::Partition { on, .. } => *on,
            DeviceKind::Pmem(_) | DeviceKind::Dm { .. } => device,
        }
    }

    /// Byte of its disk where a device begins.
    pub(crate) fn disk_offset(&self, device: usize) -> u64 {
        match &self.scenario.device(device).kind {
            DeviceKind::Partition { place, .. } => place.on().start().get(),
            DeviceKind::Pmem(_) | DeviceKind::Dm { .. } => 0,
        }
    }

    /// Mounts: whether files can use DAX, or `-errno`.
    pub(crate) fn mount(&mut self, fs: usize) -> Result<bool, i64> {
        let scenario = self.scenario;
        let what = scenario.filesystem(fs);
        if self.fs(fs).mounted {
            return Err(EBUSY);
        }
        if self.is_gone(what.device) {
            return Err(ENXIO);
        }
        let data = self.register(what.device, fs, what.kind);
        let whole_pages = what.block_size == PAGE_SIZE;
        let dax_on = data.is_some() && whole_pages && what.dax != Dax::Never;
        if self.is_refused(what, dax_on) {
            self.release(fs);
            return Err(EINVAL);
        }
        let log = what.log.and_then(|log| self.register(log.device, fs, what.kind));
        let rt = what.rt.and_then(|rt| self.register(rt, fs, what.kind));
        let state = self.fs_mut(fs);
        (state.mounted, state.dax_on) = (true, dax_on);
        (state.data, state.log, state.rt) = (data, log, rt);
        Ok(dax_on)
    }

    /// Whether the driver of any memory below a device is gone.
    fn is_gone(&self, device: usize) -> bool {
        let below = self.scenario.device(device).kind.below();
        self.device(device).dead || below.iter().any(|lower| self.is_gone(*lower))
    }

    /// KERNEL: `xfs_setup_dax_always()`: without a DAX device the mount goes on without DAX; with
    /// one, reflink on a partition is refused. ext4 refuses `dax=always` without a DAX device.
    fn is_refused(&self, what: &Filesystem, dax_on: bool) -> bool {
        let exclusive = self.quirks.has_exclusive_holder();
        let partition = exclusive && self.disk(what.device) != what.device;
        match what.kind {
            _ if what.dax != Dax::Always => false,
            FsKind::Xfs => dax_on && what.reflink && partition,
            FsKind::Ext4 => !dax_on,
            FsKind::Other => false,
        }
    }

    /// Gets the DAX device, and becomes its holder if it is one that registers.
    ///
    /// KERNEL: a device that is held already, also by this very filesystem for another of its
    /// devices, is no DAX device for the second one. Filesystems without a handler are not holders
    /// and share the device with anybody.
    fn register(&mut self, device: usize, fs: usize, kind: FsKind) -> Option<usize> {
        let dax = self.dax_device(device)?;
        if kind != FsKind::Xfs || !self.quirks.has_exclusive_holder() {
            return Some(dax);
        }
        let state = self.device_mut(dax);
        if state.holder.is_some() {
            return None;
        }
        state.holder = Some(fs);
        Some(dax)
    }

    fn release(&mut self, fs: usize) {
        for device in self.devices.iter_mut().filter(|device| device.holder == Some(fs)) {
            device.holder = None;
        }
    }
}
