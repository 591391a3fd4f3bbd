//! B: `->corrupted_range()` of block devices and superblocks (v1 to v3, 2020-12 to 2021-02), with
//! what was wrong with it.
//!
//! Only the sector that the range begins with is looked for, everywhere; the length goes along as
//! it is, across the ends of partitions, targets and devices; and the first one found is the only
//! one told. Only `linear` could be translated: there never was a `striped` one.

use badrange_block::dm::Target;
use badrange_core::{DevOffset, Extent};

use super::{
    Design, Failure, Halt, Linux, Log, Report,
    owners::Stop,
    per_pfn::fail_pages,
    reach::{Place, on_pmem, partition_on},
};
use crate::{
    kernel::errno::{ENXIO, EOPNOTSUPP},
    scenario::DeviceKind,
};

#[derive(Debug, Clone, Copy)]
pub(super) struct CorruptedRange;

/// KERNEL: `-ENODEV`: nobody is there.
const ENODEV: i64 = -19;

impl Design for CorruptedRange {
    fn fork(&self) -> Box<dyn Design> {
        Box::new(*self)
    }

    fn fail(
        &mut self,
        linux: &mut Linux<'_>,
        what: Failure,
        report: &mut Report,
        log: &mut Log,
    ) -> Result<i64, Halt> {
        let entry = match what.place {
            Place::Device { device, range } => Some((device, range)),
            Place::Memory(bad) => {
                let first = on_pmem(&linux.machine, bad).into_iter().next();
                first.map(|(device, link)| (device, link.upper().span()))
            }
        };
        let Some((device, range)) = entry else { return Ok(ENXIO) };
        what.enter(log);
        let ret = match linux.is_devdax(device) {
            true => EOPNOTSUPP,
            false => {
                let at = (range.start().get(), range.len());
                Way { linux, what, report, log }.disk(device, at, 0)
            }
        };
        Ok(if ret == EOPNOTSUPP { fail_pages(linux, what, report, log) } else { ret })
    }
}

struct Way<'w, 'a> {
    linux: &'w mut Linux<'a>,
    what: Failure,
    report: &'w mut Report,
    log: &'w mut Log,
}

impl Way<'_, '_> {
    /// A disk: the partition that has the first byte, or else the disk itself.
    fn disk(&mut self, disk: usize, (at, len): (u64, u64), depth: usize) -> i64 {
        let devices = 0..self.linux.machine.devices.len();
        let holds = |device: usize| {
            let (on, start, size) = partition_on(&self.linux.machine, device)?;
            let inside = at.checked_sub(start).filter(|inside| *inside < size)?;
            (on == disk).then_some((device, inside))
        };
        let partition = devices.into_iter().find_map(holds);
        self.log.translated(u64::from(partition.is_some()));
        let (device, at) = partition.unwrap_or((disk, at));
        let name = self.linux.machine.device_name(device).to_owned();
        self.log.say(
            self.linux.machine.device_name(disk),
            &name,
            format_args!("corrupted_range {at:#x}+{len:#x}"),
        );
        self.superblock(device, (at, len), depth)
    }

    /// KERNEL: `get_super(bdev)`: a filesystem by its data device; logs and realtime devices have
    /// no superblock.
    fn superblock(&mut self, device: usize, (at, len): (u64, u64), depth: usize) -> i64 {
        let scenario = self.linux.machine.scenario;
        let mounted = |fs: &usize| self.linux.machine.fs(*fs).mounted;
        let found = scenario.filesystems.iter().enumerate().map(|(fs, what)| (fs, what.device));
        let fs = found.filter(|(_, on)| *on == device).map(|(fs, _)| fs).find(mounted);
        let Some(fs) = fs else { return self.holders(device, (at, len), depth) };
        let name = &scenario.filesystem(fs).name;
        self.log.up(1);
        let below = self.linux.machine.device_name(device);
        self.log.say(below, name, format_args!("corrupted_range {at:#x}+{len:#x}"));
        // The length may reach beyond the device; there is nobody there to be told.
        let len = len.min(u64::MAX.saturating_sub(at));
        let Ok(range) = Extent::new(DevOffset::new(at), len) else { return ENXIO };
        let whom = self.what.whom();
        let notes = (&mut *self.report, &mut *self.log);
        self.linux.filesystem_lost((fs, device), range.into(), whom, Stop::AtOnce, notes)
    }

    /// Device-mapper devices that hold this one: the first that knows the sector.
    fn holders(&mut self, device: usize, range: (u64, u64), depth: usize) -> i64 {
        let scenario = self.linux.machine.scenario;
        for (upper, what) in scenario.devices.iter().enumerate() {
            let DeviceKind::Dm { .. } = &what.kind else { continue };
            if !what.kind.below().contains(&device) || depth > crate::MAX_DEPTH {
                continue;
            }
            self.log.up(1);
            let Some(at) = first_target(&what.kind, device, range.0) else { continue };
            self.log.translated(1);
            let below = self.linux.machine.device_name(device);
            self.log.say(below, &what.name, format_args!("corrupted_range {at:#x}+{:#x}", range.1));
            return self.disk(upper, (at, range.1), depth.saturating_add(1));
        }
        ENODEV
    }
}

/// Where a mapped device has a byte of a device below, by its first linear target that does.
fn first_target(kind: &DeviceKind, device: usize, byte: u64) -> Option<u64> {
    let DeviceKind::Dm { table, legs } = kind else { return None };
    let mut uses = table.legs_info().zip(legs).filter(|(_, lower)| **lower == device);
    uses.find_map(|(leg, _)| {
        let (place, target) = table.targets().nth(leg.target)?;
        let is_linear = matches!(target, Target::Linear(_));
        let inside = leg.on.contains(DevOffset::new(byte)).then_some(leg.on.start())?;
        let inside = byte.checked_sub(inside.get()).filter(|_| is_linear)?;
        place.start().get().checked_add(inside)
    })
}
