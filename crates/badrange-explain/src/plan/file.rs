//! Files: pages to rewrite, what is good in them, and the steps.

use core::{num::NonZeroU64, ops::ControlFlow};

use badrange_block::dm::RecoveryWrites;
use badrange_core::{DevOffset, Extent};
use badrange_fs::{FileId, Fork, Owner};
use badrange_input::{Filesystem, Layer};

use super::{
    PlannedFile, Salvage, Span, Subject, Unit, advise,
    build::{Draft, FilePart},
    devices::lowest,
    names::{Names, Word},
    span::{united, without},
};
use crate::{
    Position, Verdict,
    advice::{Action, ActionKind, Command, Risk, RiskLevel},
};

/// What the steps of one file have in common.
struct Context<'n, 't> {
    names: &'n mut Names<'t>,
    file: &'n PlannedFile,
    path: Word,
    fs: Option<&'t Filesystem>,
    /// The device of the filesystem.
    place: Option<usize>,
    /// Bytes that can be read by themselves there.
    block: NonZeroU64,
    /// What is written at once: a page, or a block of the filesystem where that is longer.
    page: NonZeroU64,
    is_pmem: bool,
    /// On CXL memory, where a write does not clear poison.
    is_cxl: bool,
}

pub(super) fn subject(
    names: &mut Names<'_>,
    draft: &Draft,
    file: &PlannedFile,
    number: &mut u64,
    warnings: &mut Vec<String>,
) -> Subject {
    let mut context = Context::new(names, file, draft);
    let (before, mut after, mut units) = (context.before(draft), Vec::new(), Vec::new());
    if draft.redundancy.is_some() {
        after.push(advise::rebuild(context.names, draft));
    } else if draft.verdict == Verdict::File {
        units = context.units(draft, number);
        after = context.after(&units);
        warnings.extend(units.iter().filter_map(|unit| context.astray(unit, draft)));
    } else {
        after.push(advise::unwritten(&context.path, &draft.parts));
    }
    Subject {
        verdict: draft.verdict,
        what: draft.what.clone(),
        lost: draft.lost,
        device: draft.device.clone(),
        file: Some(file.clone()),
        redundancy: draft.redundancy.clone(),
        bad: draft.shown_bad(),
        before,
        units,
        after,
    }
}

impl<'n, 't> Context<'n, 't> {
    fn new(names: &'n mut Names<'t>, file: &'n PlannedFile, draft: &Draft) -> Self {
        let (fs, place) = (names.filesystem(&file.fs), names.place(&file.fs));
        let devices = names.topology().devices();
        let page = names.page().bytes();
        let device = place.and_then(|place| devices.get(place));
        let block = device.and_then(|device| NonZeroU64::new(device.logical_block));
        let size = fs.map_or(page, |fs| fs.block_size.max(page));
        let first = draft.bad.first().map_or(0, |span| span.start);
        let below = place.and_then(|place| lowest(names.explainer(), place, first));
        let below = below.and_then(|(place, _)| devices.get(place));
        let is_cxl = below.is_some_and(|device| matches!(device.layer, Layer::Memdev));
        let is_pmem = below.is_some_and(|device| matches!(device.layer, Layer::Pmem { .. }));
        let is_pmem = is_pmem || is_cxl;
        let (block, page) = (block.unwrap_or(NonZeroU64::MIN), NonZeroU64::new(size));
        let page = page.unwrap_or(NonZeroU64::MIN);
        Self { path: names.file(file), names, file, fs, place, block, page, is_pmem, is_cxl }
    }

    fn before(&mut self, draft: &Draft) -> Vec<Action> {
        let mut actions = Vec::new();
        if let (true, Some(ino), Some(fs)) = (self.file.paths.is_empty(), self.file.ino, self.fs) {
            actions.push(advise::find_inode(self.names, fs, &self.file.fs, ino));
        }
        if draft.verdict == Verdict::FileUnwritten {
            return actions;
        }
        let on_path = |command: Command| Some(self.path.add_to(command.arg("--"), ""));
        actions.push(Action {
            kind: ActionKind::Inspect,
            command: Some(self.path.add_to(Command::new("fuser").arg("--verbose"), "")),
            risk: Risk::none(),
            why: "stop whoever has the file open before anything is written".to_owned(),
        });
        if draft.redundancy.is_none() {
            actions.push(Action {
                kind: ActionKind::Inspect,
                command: on_path(Command::new("stat").arg("--format=%s")),
                risk: Risk::none(),
                why: "note the size: whole pages are written, and the last one may make the file \
                      longer"
                    .to_owned(),
            });
        }
        actions
    }

    fn units(&mut self, draft: &Draft, number: &mut u64) -> Vec<Unit> {
        let mut units = Vec::new();
        for (whole, shared_with) in stretches(&draft.parts, self.page) {
            *number = number.saturating_add(1);
            units.push(self.unit(whole, shared_with, &draft.parts, *number));
        }
        units
    }

    fn unit(
        &mut self,
        whole: Span,
        shared_with: Vec<PlannedFile>,
        parts: &[FilePart],
        number: u64,
    ) -> Unit {
        let here: Vec<_> = parts.iter().filter(|p| p.file.intersect(whole).is_some()).collect();
        let bad = united(here.iter().filter_map(|part| part.file.intersect(whole)));
        let holes = united(bad.iter().map(|span| span.round_out(self.block)));
        let mut salvage = Vec::new();
        for good in without(whole, &holes) {
            let beside = here.iter().min_by_key(|part| distance(part.file, good)).copied();
            self.salvage(good, beside, &mut salvage);
        }
        let restore: Vec<Span> = holes.iter().filter_map(|hole| hole.intersect(whole)).collect();
        let (start, len) = (whole.start, whole.len);
        let steps = Vec::new();
        let mut unit = Unit { start, len, bad, salvage, restore, shared_with, steps };
        unit.steps = self.steps(&unit, number);
        unit
    }

    /// Where good bytes are on the device: beside the bad ones, if the map says so of each byte.
    fn salvage(&self, good: Span, beside: Option<&FilePart>, all: &mut Vec<Salvage>) {
        let sure = beside.map_or_else(Vec::new, |part| self.beside(good, part));
        let known: Vec<Span> = sure.iter().map(|(span, _)| *span).collect();
        let found = |(span, start): (Span, u64)| Salvage {
            start: span.start,
            len: span.len,
            from: Some(Position { device: self.file.fs.clone(), start, stride: None }),
        };
        all.extend(sure.into_iter().map(found));
        let elsewhere = without(good, &united(known)).into_iter();
        all.extend(elsewhere.map(|s| Salvage { start: s.start, len: s.len, from: None }));
        all.sort_by_key(|salvage| salvage.start);
    }

    /// The parts of `good` that lie where `part` goes on, each with its first byte on the device.
    fn beside(&self, good: Span, part: &FilePart) -> Vec<(Span, u64)> {
        let on_device = if good.start >= part.file.start {
            part.device_start.checked_add(good.start.saturating_sub(part.file.start))
        } else {
            part.device_start.checked_sub(part.file.start.saturating_sub(good.start))
        };
        let extent = on_device.and_then(|at| Extent::new(DevOffset::new(at), good.len).ok());
        let (Some(extent), Some(fs)) = (extent, self.fs) else { return Vec::new() };
        let mut sure = Vec::new();
        let _ = fs.map.owners(extent, &mut |owned| {
            let Owner::File { id, fork: Fork::Data } = owned.record.owner else {
                return ControlFlow::Continue(());
            };
            let by = owned.device.start().get().saturating_sub(extent.start().get());
            let due = good.start.saturating_add(by);
            let same = self.is_this(fs, id) && !owned.record.unwritten;
            if same && owned.file.is_some_and(|file| file.start().get() == due) {
                let span = Span { start: due, len: owned.device.len() };
                sure.push((span, owned.device.start().get()));
            }
            ControlFlow::Continue(())
        });
        sure.sort_unstable();
        sure.dedup();
        sure
    }

    fn is_this(&self, fs: &Filesystem, id: FileId) -> bool {
        match (id, self.file.ino) {
            (FileId::Ino(ino), Some(this)) => ino == this,
            (FileId::Name(number), None) => {
                let name = usize::try_from(number).ok().and_then(|number| fs.names.get(number));
                name == self.file.paths.first()
            }
            (FileId::Ino(_), None) | (FileId::Name(_), Some(_)) => false,
        }
    }

    fn steps(&mut self, unit: &Unit, number: u64) -> Vec<Action> {
        let image = self.names.work(&format!("unit-{number}"));
        let mut steps = Vec::new();
        for part in &unit.salvage {
            steps.push(self.read_good(unit, part, &image));
        }
        for part in &unit.restore {
            if !self.is_pmem {
                steps.push(self.read_cached(unit, *part, &image));
            }
            steps.push(self.read_backup(unit, *part, &image));
        }
        if self.is_pmem {
            steps.extend(advise::clear_and_page(!unit.shared_with.is_empty(), self.is_cxl));
        }
        steps.push(self.write(unit, &image));
        if self.is_pmem && !self.is_cxl {
            steps.push(advise::badblocks(!unit.shared_with.is_empty()));
        }
        steps.push(self.verify(unit, &image));
        steps.push(advise::punch(&self.path, unit));
        steps
    }

    fn read_good(&mut self, unit: &Unit, part: &Salvage, image: &Word) -> Action {
        let (source, skip, what) = match (&part.from, self.place) {
            (Some(from), Some(place)) => {
                (self.names.device(place), from.start, "good bytes beside the hole")
            }
            _ => (self.path.clone(), part.start, "bytes that no map places: they may be a hole"),
        };
        let span = Span { start: part.start, len: part.len };
        Action {
            kind: ActionKind::Salvage,
            command: Some(self.copy(&source, skip, span, unit, image)),
            risk: Risk::new(RiskLevel::Reads, "if this fails, more is bad than was asked about"),
            why: format!("{what}: bytes {}..{} of the file", span.start, span.end()),
        }
    }

    /// Copies bytes to their place in the image of the unit.
    fn copy(&self, source: &Word, skip: u64, part: Span, unit: &Unit, image: &Word) -> Command {
        let command = source.add_to(Command::new("dd"), "if=");
        image
            .add_to(command, "of=")
            .arg(format!("bs={}", self.block))
            .arg("iflag=direct,skip_bytes,count_bytes")
            .arg(format!("skip={skip}"))
            .arg(format!("count={}", part.len))
            .arg("oflag=seek_bytes")
            .arg(format!("seek={}", part.start.saturating_sub(unit.start)))
            .arg("conv=notrunc")
    }

    fn read_cached(&self, unit: &Unit, part: Span, image: &Word) -> Action {
        Action {
            kind: ActionKind::Salvage,
            command: Some(into_image(&self.path, part, unit, image)),
            risk: Risk::new(RiskLevel::Reads, "may stall until the device gives up"),
            why: format!(
                "memory may still have bytes {}..{} of the file: if this works, the next step is \
                 not needed",
                part.start,
                part.end()
            ),
        }
    }

    fn read_backup(&mut self, unit: &Unit, part: Span, image: &Word) -> Action {
        let backup = self.names.backup(self.file);
        Action {
            kind: ActionKind::Restore,
            command: Some(into_image(&backup, part, unit, image)),
            risk: Risk::new(
                RiskLevel::None,
                "writes to the image only; bytes of another moment do not fit those around them",
            ),
            why: format!("lost: bytes {}..{} of the file", part.start, part.end()),
        }
    }

    fn write(&self, unit: &Unit, image: &Word) -> Action {
        let command = image.add_to(Command::new("dd"), "if=");
        let command = self
            .path
            .add_to(command, "of=")
            .arg(format!("bs={}", self.page))
            .arg(format!("count={}", unit.len / self.page))
            .arg("oflag=direct,seek_bytes")
            .arg(format!("seek={}", unit.start))
            .arg("conv=notrunc,fsync");
        let what = match (self.is_pmem, unit.shared_with.is_empty()) {
            (_, false) => {
                "the blocks are shared: this file gets new ones, and the bad ones stay bad for the \
                 other files"
            }
            (true, true) if self.is_cxl => "the poison was cleared before, by device address",
            (true, true) => "writing whole pages clears them; less than a page does not",
            (false, true) => "the disk puts the bytes on a good sector when they are written",
        };
        Action {
            kind: ActionKind::WriteData,
            command: Some(command),
            risk: Risk::new(
                RiskLevel::Overwrites,
                "what the pages held is gone; a failure half way leaves the first pages new and \
                 the rest old",
            ),
            why: format!("write through the file, never to the device: {what}"),
        }
    }

    fn verify(&self, unit: &Unit, image: &Word) -> Action {
        let command = Command::new("cmp")
            .arg(format!("--ignore-initial={}:0", unit.start))
            .arg(format!("--bytes={}", unit.len))
            .arg("--");
        Action {
            kind: ActionKind::Verify,
            command: Some(image.add_to(self.path.add_to(command, ""), "")),
            risk: Risk::none(),
            why: "the file has what was written".to_owned(),
        }
    }

    fn after(&mut self, units: &[Unit]) -> Vec<Action> {
        let Some(end) = units.last().map(|unit| unit.start.saturating_add(unit.len)) else {
            return Vec::new();
        };
        let size = self.names.size(self.file);
        let command = size.add_to(Command::new("truncate").arg("--no-create"), "--size=");
        vec![Action {
            kind: ActionKind::WriteData,
            command: Some(self.path.add_to(command.arg("--"), "")),
            risk: Risk::new(
                RiskLevel::Destroys,
                "with a size too small the end of the file is lost",
            ),
            why: format!(
                "only if the file was shorter than {end} bytes before: gives it its size back"
            ),
        }]
    }

    /// A warning where a page of the file is no page of the memory below, or cannot be cleared.
    fn astray(&self, unit: &Unit, draft: &Draft) -> Option<String> {
        let devices = self.names.topology().devices();
        let Layer::Mapped { table, .. } = &devices.get(self.place?)?.layer else { return None };
        let part = draft.parts.iter().find(|part| {
            part.file.intersect(Span { start: unit.start, len: unit.len }).is_some()
        })?;
        let page = self.names.page().nonzero();
        let first = part.device_start.checked_sub(part.device_start % page)?;
        let asked = Extent::new(DevOffset::new(first), page.get()).ok().filter(|_| self.is_pmem)?;
        let refused =
            RecoveryWrites::of_table(table, asked, self.names.page()).find_map(Result::err)?;
        let shown = self.names.shown(self.file);
        Some(format!(
            "{shown}: a write through {} clears nothing: {}",
            Command::new(&*self.file.fs),
            refused.why
        ))
    }
}

/// Copies bytes of a file to their place in the image of a unit.
fn into_image(source: &Word, part: Span, unit: &Unit, image: &Word) -> Command {
    image
        .add_to(source.add_to(Command::new("dd"), "if="), "of=")
        .arg("iflag=skip_bytes,count_bytes")
        .arg(format!("skip={}", part.start))
        .arg(format!("count={}", part.len))
        .arg("oflag=seek_bytes")
        .arg(format!("seek={}", part.start.saturating_sub(unit.start)))
        .arg("conv=notrunc")
}

/// The pages with bad bytes, as stretches whose blocks are shared with the same files throughout.
fn stretches(parts: &[FilePart], page: NonZeroU64) -> Vec<(Span, Vec<PlannedFile>)> {
    let mut parts: Vec<_> = parts.iter().collect();
    parts.sort_by_key(|part| part.file);
    let mut all: Vec<(Span, Vec<PlannedFile>)> = Vec::new();
    for part in parts {
        let pages = part.file.round_out(page);
        match all.last_mut() {
            // The same page, or the next one with the same sharers.
            Some((last, shared))
                if last.end() > pages.start
                    || (last.end() == pages.start && *shared == part.shared_with) =>
            {
                last.len = last.end().max(pages.end()).saturating_sub(last.start);
                let new = part.shared_with.iter().filter(|file| !shared.contains(file));
                let new: Vec<_> = new.cloned().collect();
                shared.extend(new);
            }
            _ => all.push((pages, part.shared_with.clone())),
        }
    }
    all
}

/// How far apart two spans are.
fn distance(a: Span, b: Span) -> u64 {
    b.start.saturating_sub(a.end()).max(a.start.saturating_sub(b.end()))
}
