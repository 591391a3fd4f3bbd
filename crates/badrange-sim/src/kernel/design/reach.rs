//! Where bad bytes are in the whole machine: up through all devices, and whose they are. A plain
//! walk over everything; the truth that designs are measured against.

use core::ops::ControlFlow;

use badrange_core::{DevOffset, Extent, FileOffset, Leg, PhysAddr, Piece, Run};

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
    Device { device: usize, range: Extent<DevOffset> },
}

/// Bad bytes of one owner.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hit {
    pub(crate) key: Key,
    pub(crate) piece: Piece<DevOffset>,
}

/// The pieces of a failure on every device, lower devices first.
pub(crate) fn pieces(machine: &Machine<'_>, place: Place) -> Vec<(usize, Piece<DevOffset>)> {
    let mut seen = match place {
        Place::Memory(bad) => on_pmem(machine, bad),
        Place::Device { device, range } => vec![(device, Piece::report(range))],
    };
    let mut next = 0;
    while let Some(&(device, piece)) = seen.get(next) {
        next = next.saturating_add(1);
        for (upper, what) in machine.scenario.devices.iter().enumerate() {
            let Some(mapping) = what.kind.mapping() else { continue };
            for (leg, lower) in (0..).map(Leg::new).zip(what.kind.below()) {
                if *lower == device {
                    let _ = mapping.rmap_run(leg, &piece, &mut |above| {
                        seen.push((upper, above));
                        ControlFlow::Continue(())
                    });
                }
            }
        }
    }
    seen
}

/// The parts of a range of memory that pmem devices have, each on its device.
pub(crate) fn on_pmem(
    machine: &Machine<'_>,
    bad: Extent<PhysAddr>,
) -> Vec<(usize, Piece<DevOffset>)> {
    let mut found = Vec::new();
    for (device, state) in machine.devices.iter().enumerate().filter(|(_, state)| !state.dead) {
        let Some(pmem) = machine.pmem(device) else { continue };
        let data = pmem.namespace.data();
        let parts = Piece::report(bad).clip(data);
        found.extend(
            parts
                .filter_map(|part| part.rebase(data.start(), DevOffset::new(0)))
                .map(|p| (device, p)),
        );
        debug_assert!(!state.dead, "a device without a driver has no memory");
    }
    found
}

/// All owners of the bytes of these pieces. Free space has none, and what a map does not know is
/// no owner either.
pub(crate) fn hits(machine: &Machine<'_>, pieces: &[(usize, Piece<DevOffset>)]) -> Vec<Hit> {
    let mut hits = Vec::new();
    for (device, piece) in pieces {
        let kind = machine.scenario.devices.get(*device);
        if kind.is_some_and(|device| device.is_devdax()) {
            hits.push(Hit { key: Key::Device(*device), piece: *piece });
        }
        for (fs, state) in machine.filesystems.iter().enumerate().filter(|(_, fs)| fs.mounted) {
            let span = piece.here().span();
            let near =
                state.extents.numbered_at_place(*device, span.start().get(), span.end().get());
            for (index, extent) in near {
                if is_nobody(extent.owner) {
                    continue;
                }
                let window = Extent::new(DevOffset::new(extent.start), extent.len);
                let parts = window.into_iter().flat_map(|window| piece.clip(window));
                hits.extend(parts.map(|piece| Hit { key: Key::Extent { fs, index }, piece }));
            }
        }
    }
    hits.extend(logs(machine, pieces));
    hits
}

/// External logs that no map lists.
fn logs(machine: &Machine<'_>, pieces: &[(usize, Piece<DevOffset>)]) -> Vec<Hit> {
    let mut hits = Vec::new();
    for (fs, what) in machine.scenario.filesystems.iter().enumerate() {
        let mounted = machine.filesystems.get(fs).is_some_and(|state| state.mounted);
        let Some(log) = what.log.filter(|_| mounted) else { continue };
        let listed =
            machine.filesystems.get(fs).is_some_and(|state| state.extents.any_on(log.device));
        if listed {
            continue;
        }
        let Ok(window) = Extent::new(DevOffset::new(log.start), log.len) else { continue };
        for (_, piece) in pieces.iter().filter(|(device, _)| *device == log.device) {
            let key = Key::Extent { fs, index: usize::MAX };
            hits.extend(piece.clip(window).map(|piece| Hit { key, piece }));
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
        bad.add(hit.key, hit.piece.here(), Marks::BAD);
    }
    bad
}

impl Hit {
    /// The file that the bytes belong to, if it can be mapped, and where in it they are.
    pub(crate) fn file(&self, machine: &Machine<'_>) -> Option<(FileId, Piece<FileOffset>)> {
        match self.key {
            Key::Device(device) => {
                let piece = self.piece.rebase(DevOffset::new(0), FileOffset::new(0))?;
                Some((FileId::Device(device), piece))
            }
            Key::Extent { fs, index } => {
                let extent = machine.filesystems.get(fs)?.extents.get(index)?;
                let (ino, bytes) = data_of(extent)?;
                let piece = self.piece.rebase(DevOffset::new(extent.start), bytes.start())?;
                Some((FileId::Inode { fs, ino }, piece))
            }
        }
    }
}

/// Bytes of files that can be mapped: (file, bytes), in no particular order.
pub(crate) fn mapped_files(machine: &Machine<'_>, hits: &[Hit]) -> Vec<(FileId, Run<FileOffset>)> {
    let files = hits.iter().filter_map(|hit| hit.file(machine));
    files.filter(|(file, _)| machine.is_dax(*file)).map(|(file, p)| (file, p.here())).collect()
}

/// The device that a device is a part of, and what part: for a partition, its place on the disk.
pub(crate) fn partition_on(machine: &Machine<'_>, device: usize) -> Option<(usize, u64, u64)> {
    match machine.scenario.devices.get(device).map(|device| &device.kind) {
        Some(DeviceKind::Partition { on, place }) => {
            Some((*on, place.on().start().get(), place.on().len()))
        }
        Some(DeviceKind::Pmem(_) | DeviceKind::Dm { .. }) | None => None,
    }
}
