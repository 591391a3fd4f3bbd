//! Where bad bytes are in the whole machine: up through all devices, and whose they are. A plain
//! walk over everything; the truth that designs are measured against.

use badrange_core::{DevOffset, Extent, FileOffset, Link, PhysAddr, Run};

use super::log::{Key, Marked, Marks, data_of};
use crate::{
    machine::Machine,
    scenario::{DeviceKind, FileId, Owner},
};
use badrange_fs::Special;

/// Where a failure is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Memory(Extent<PhysAddr>),
    Device { device: usize, range: Extent },
}

/// Bad bytes of one owner.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hit {
    pub(crate) key: Key,
    /// The bytes where they were reported, below, and on the owner's device.
    pub(crate) link: Link,
}

/// The pieces of a failure on every device, lower devices first: each where it was reported, below,
/// and on the device.
pub(crate) fn pieces(machine: &Machine<'_>, place: Place) -> Vec<(usize, Link)> {
    let mut seen = match place {
        Place::Memory(bad) => on_pmem(machine, bad),
        Place::Device { device, range } => vec![(device, Link::same(range))],
    };
    let mut next = 0;
    while let Some(&(device, link)) = seen.get(next) {
        next = next.saturating_add(1);
        for (upper, what) in machine.scenario.devices.iter().enumerate() {
            for (leg, _) in what.kind.legs().filter(|(_, lower)| *lower == device) {
                let flow = what.kind.rmap(leg, link, &mut |link| seen.push((upper, link)));
                debug_assert!(flow.is_continue(), "{}: {flow:?}", what.name);
            }
        }
    }
    seen
}

/// The parts of a range of memory that pmem devices have, each on its device.
pub(crate) fn on_pmem(machine: &Machine<'_>, bad: Extent<PhysAddr>) -> Vec<(usize, Link)> {
    // A device without a driver has no memory.
    let alive = machine.devices.iter().enumerate().filter(|(_, state)| !state.dead);
    let part = |(device, _)| {
        let data = machine.pmem(device)?.namespace.data();
        let part = bad.intersect(data)?;
        let inside = part.start().get().checked_sub(data.start().get())?;
        Some((device, Link::at(part.on_memory(), DevOffset::new(inside))?))
    };
    alive.filter_map(part).collect()
}

/// All owners of the bytes of these pieces. Free space has none, and what a map does not know is
/// no owner either.
pub(crate) fn hits(machine: &Machine<'_>, pieces: &[(usize, Link)]) -> Vec<Hit> {
    let mut hits = Vec::new();
    for (device, link) in pieces {
        if machine.scenario.device(*device).is_devdax() {
            hits.push(Hit { key: Key::Device(*device), link: *link });
        }
        for (fs, state) in machine.filesystems.iter().enumerate().filter(|(_, fs)| fs.mounted) {
            let span = link.upper().span();
            let near =
                state.extents.numbered_at_place(*device, span.start().get(), span.end().get());
            for (index, extent) in near {
                if is_nobody(extent.owner) {
                    continue;
                }
                let parts = link.clip_upper(extent.place);
                hits.extend(parts.map(|link| Hit { key: Key::Extent { fs, index }, link }));
            }
        }
    }
    hits.extend(logs(machine, pieces));
    hits
}

/// External logs that no map lists.
fn logs(machine: &Machine<'_>, pieces: &[(usize, Link)]) -> Vec<Hit> {
    let mut hits = Vec::new();
    for (fs, what) in machine.scenario.filesystems.iter().enumerate() {
        let mounted = machine.fs(fs).mounted;
        let Some(log) = what.log.filter(|_| mounted) else { continue };
        let listed = machine.fs(fs).extents.any_on(log.device);
        if listed {
            continue;
        }
        for (_, link) in pieces.iter().filter(|(device, _)| *device == log.device) {
            let key = Key::Extent { fs, index: usize::MAX };
            hits.extend(link.clip_upper(log.place).map(|link| Hit { key, link }));
        }
    }
    hits
}

fn is_nobody(owner: Owner) -> bool {
    matches!(owner, Owner::Special(Special::Free | Special::Unknown))
}

/// The owners' bytes, marked bad.
pub(crate) fn truth(hits: &[Hit]) -> Marked {
    let mut bad = Marked::default();
    for hit in hits {
        bad.add(hit.key, hit.here(), Marks::BAD);
    }
    bad
}

impl Hit {
    /// The bytes on the owner's device.
    pub(crate) fn here(&self) -> Run {
        self.link.upper()
    }

    /// The file that the bytes belong to, if it can be mapped, and where in it they are.
    pub(crate) fn file(&self, machine: &Machine<'_>) -> Option<(FileId, Run<FileOffset>)> {
        match self.key {
            Key::Device(device) => {
                let bytes = self.here().rebase(DevOffset::new(0), FileOffset::new(0))?;
                Some((FileId::Device(device), bytes))
            }
            Key::Extent { fs, index } => {
                let extent = machine.fs(fs).extents.get(index)?;
                let (ino, file) = data_of(extent)?;
                let bytes = self.here().rebase(extent.place.start(), file.start())?;
                Some((FileId::Inode { fs, ino }, bytes))
            }
        }
    }
}

/// Bytes of files that can be mapped: (file, bytes), in no particular order.
pub(crate) fn mapped_files(machine: &Machine<'_>, hits: &[Hit]) -> Vec<(FileId, Run<FileOffset>)> {
    let files = hits.iter().filter_map(|hit| hit.file(machine));
    files.filter(|(file, _)| machine.is_dax(*file)).collect()
}

/// The device that a device is a part of, and what part: for a partition, its place on the disk.
pub(crate) fn partition_on(machine: &Machine<'_>, device: usize) -> Option<(usize, u64, u64)> {
    match &machine.scenario.device(device).kind {
        DeviceKind::Partition { on, place } => {
            Some((*on, place.on().start().get(), place.on().len()))
        }
        DeviceKind::Pmem(_) | DeviceKind::Dm { .. } => None,
    }
}
