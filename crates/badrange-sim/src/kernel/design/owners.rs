//! What filesystems do in the designs: look owners up, kill page by page, shut down on metadata.

use badrange_core::{FileOffset, Run};
use badrange_fs::{Fork, Special};

use super::{
    log::{Key, Log, Marks, data_of},
    pages::Whom,
};
use crate::{
    FilePages, PAGE_SIZE,
    kernel::{
        Linux, Report,
        errno::{EOPNOTSUPP, EUCLEAN},
    },
    scenario::{FileId, FsKind, Owner},
};

/// When a filesystem stops over lost metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// At once: whoever comes later in the map is not told.
    AtOnce,
    /// When everybody was told.
    AtTheEnd,
}

impl Linux<'_> {
    /// Whether a filesystem listens at all: a mounted XFS.
    pub(super) fn has_handler(&self, fs: usize) -> bool {
        self.machine.scenario.filesystem(fs).kind == FsKind::Xfs && self.machine.fs(fs).mounted
    }

    /// Whether it can tell owners as well: with a reverse map that it can read.
    fn can_tell(&self, fs: usize) -> bool {
        let (what, state) = (self.machine.scenario.filesystem(fs), self.machine.fs(fs));
        self.has_handler(fs) && what.rmapbt && !state.shutdown
    }

    /// Filesystems with a handler for this device, whichever of their devices it is.
    pub(super) fn handlers_on(&self, device: usize) -> Vec<usize> {
        let filesystems = self.machine.scenario.filesystems.iter().enumerate();
        let users = filesystems.filter(|(_, what)| {
            what.device == device
                || what.rt == Some(device)
                || what.log.is_some_and(|log| log.device == device)
        });
        users.map(|(fs, _)| fs).collect()
    }

    /// Tells a filesystem that bytes of one of its devices are lost: 0 or `-errno`.
    ///
    /// Records are visited in the order of the reverse map. Files that are not in memory and files
    /// without DAX are skipped, as XFS does.
    pub(super) fn filesystem_lost(
        &mut self,
        (fs, device): (usize, usize),
        bad: Run,
        whom: Whom,
        stop: Stop,
        (report, log): (&mut Report, &mut Log),
    ) -> i64 {
        if !self.can_tell(fs) {
            return EOPNOTSUPP;
        }
        let mut metadata = self.log_lost(fs, device, bad, log);
        for (index, owner, part) in self.owned(fs, device, bad) {
            log.translated(1);
            if metadata && stop == Stop::AtOnce {
                break;
            }
            match owner {
                Owner::Inode { ino, fork: Fork::Data, .. } => {
                    self.file_lost((fs, index, ino), part, whom, report, log);
                }
                Owner::Inode { .. } | Owner::Special(_) => {
                    metadata = true;
                    let key = Key::Extent { fs, index };
                    log.told.add(key, part, Marks::TOLD);
                }
            }
        }
        let down =
            if whom.everyone { Some("force_umount") } else { metadata.then_some("corrupt_ondisk") };
        if let Some(reason) = down {
            self.shut_down(fs, reason, report);
        }
        if metadata && !whom.everyone { EUCLEAN } else { 0 }
    }

    /// The parts of a piece by owner, in the order of the reverse map.
    fn owned(&self, fs: usize, device: usize, bad: Run) -> Vec<(usize, Owner, Run)> {
        let state = self.machine.fs(fs);
        let span = bad.span();
        let near = state.extents.numbered_at_place(device, span.start().get(), span.end().get());
        let owned = |owner: Owner| !matches!(owner, Owner::Special(Special::Free));
        let mut found: Vec<_> = near
            .into_iter()
            .filter(|(_, extent)| owned(extent.owner))
            .flat_map(|(index, extent)| {
                bad.clip(extent.place).map(move |part| (index, *extent, part))
            })
            .collect();
        found.sort_by_key(|(index, extent, _)| (extent.place.start(), inode(extent.owner), *index));
        found.into_iter().map(|(index, extent, part)| (index, extent.owner, part)).collect()
    }

    fn log_lost(&self, fs: usize, device: usize, bad: Run, log: &mut Log) -> bool {
        let what = self.machine.scenario.filesystem(fs).log;
        let Some(on) = what.filter(|log| log.device == device) else { return false };
        let mut lost = false;
        for part in bad.clip(on.place) {
            lost = true;
            log.told.add_log(&self.machine, fs, part, Marks::TOLD);
        }
        lost
    }

    fn file_lost(
        &mut self,
        (fs, index, ino): (usize, usize, u64),
        part: Run,
        whom: Whom,
        report: &mut Report,
        log: &mut Log,
    ) {
        let file = FileId::Inode { fs, ino };
        if !self.machine.in_core(fs, ino) || !self.machine.is_dax(file) {
            return;
        }
        let extent = self.machine.fs(fs).extents.get(index);
        let data = extent.and_then(|extent| Some((extent.place, data_of(extent)?.1)));
        let run = data.and_then(|(place, bytes)| part.rebase(place.start(), bytes.start()));
        debug_assert!(run.is_some(), "a part of an extent of data has a place in the file");
        let Some(run) = run else { return };
        log.told.add(Key::Extent { fs, index }, part, Marks::TOLD);
        log.walked(page_count(run));
        self.note_owner(fs, ino, run, report);
        self.fail_file_range(file, run, whom, report);
    }

    /// Lists pages of a file in the outcome.
    pub(super) fn note_owner(
        &self,
        fs: usize,
        ino: u64,
        run: Run<FileOffset>,
        report: &mut Report,
    ) {
        let what = self.machine.scenario.filesystem(fs);
        let span = run.as_extent().unwrap_or(run.first());
        let page = span.start().get() / PAGE_SIZE;
        let count = span.end().get().div_ceil(PAGE_SIZE).saturating_sub(page);
        report.notified.owners.push(FilePages::new(&what.name, ino, page, count));
    }
}

/// Pages that the elements of a run touch, each by itself.
pub(super) fn page_count(run: Run<FileOffset>) -> u64 {
    let span = run.as_extent().unwrap_or(run.first());
    let each = span.end().get().div_ceil(PAGE_SIZE).saturating_sub(span.start().get() / PAGE_SIZE);
    if run.as_extent().is_some() { each } else { each.saturating_mul(run.count()) }
}

fn inode(owner: Owner) -> u64 {
    match owner {
        Owner::Inode { ino, .. } => ino,
        Owner::Special(_) => u64::MAX,
    }
}
