//! From an answer to subjects: which file and which area was hit where.

use super::{
    Asked, Plan, PlannedFile, Span, Subject, advise, devices::Devices, file, names::Names,
    span::united,
};
use crate::{
    Answer, Explainer, Explanation, OwnerFound, PieceFound, Position, Redundancy, Verdict,
    advice::Command,
};

/// How many pieces a plan spells out. What is beyond gets a warning.
pub(super) const MAX_ELEMENTS: u64 = 1 << 16;

/// One thing that was hit, while it is being collected.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) verdict: Verdict,
    pub(super) what: Option<String>,
    pub(super) lost: Option<bool>,
    pub(super) device: String,
    pub(super) file: Option<PlannedFile>,
    pub(super) redundancy: Option<Redundancy>,
    /// The devices on the first way up, or the one asked about.
    pub(super) way: Vec<String>,
    /// Bytes of `device`.
    pub(super) bad: Vec<Span>,
    /// Bytes of the file's data.
    pub(super) parts: Vec<FilePart>,
}

/// Bad bytes of a file, and where they are.
#[derive(Debug, Clone)]
pub(super) struct FilePart {
    pub(super) file: Span,
    /// The first byte on the device of the filesystem.
    pub(super) device_start: u64,
    /// The other files that the same bytes belong to.
    pub(super) shared_with: Vec<PlannedFile>,
}

impl Plan {
    /// The plan for what an answer says is hit. The explainer is the one that gave the answer.
    ///
    /// # Cost
    /// Linear in the pieces of the answer. Of strided pieces at most 65 536 elements are spelled
    /// out; a warning says so.
    #[must_use]
    pub fn new(explainer: &Explainer, answer: &Answer) -> Self {
        let mut builder = Builder::new(explainer);
        answer.queries.iter().for_each(|query| builder.query(query));
        builder.finish()
    }
}

struct Builder<'t> {
    names: Names<'t>,
    devices: Devices<'t>,
    asked: Vec<Asked>,
    drafts: Vec<Draft>,
    /// Elements that may still be spelled out.
    left: u64,
}

impl<'t> Builder<'t> {
    fn new(explainer: &'t Explainer) -> Self {
        Self {
            names: Names::new(explainer),
            devices: Devices::new(explainer),
            asked: Vec::new(),
            drafts: Vec::new(),
            left: MAX_ELEMENTS,
        }
    }

    fn query(&mut self, query: &Explanation) {
        self.asked.push(Asked {
            at: query.at.clone(),
            device: query.device.clone(),
            start: query.start,
            len: query.len,
        });
        for piece in &query.pieces {
            let (stride, count) = piece.repeat.unwrap_or((0, 1));
            let spelled = count.min(self.left);
            self.left = self.left.saturating_sub(spelled);
            for index in 0..spelled {
                self.element(&query.device, piece, stride, index);
            }
        }
    }

    /// One contiguous part of a piece.
    fn element(&mut self, asked: &str, piece: &PieceFound, stride: u64, index: u64) {
        let moved = |at: &Position| {
            at.start.saturating_add(at.stride.unwrap_or(stride).saturating_mul(index))
        };
        let start = piece.start.saturating_add(stride.saturating_mul(index));
        match (asked, piece.routes.first().and_then(|route| route.first())) {
            ("phys", Some(lowest)) => self.devices.hit(&lowest.device, moved(lowest), piece.len),
            ("phys", None) => {}
            (device, _) => self.devices.hit(device, start, piece.len),
        }
        let last = |route: &'_ Vec<Position>| route.last().map(|at| (at.device.clone(), moved(at)));
        for owner in &piece.owners {
            let on_fs =
                piece.routes.iter().filter_map(last).find(|(device, _)| *device == owner.fs);
            if let Some((_, at)) = on_fs {
                self.owner(piece, owner, at, index);
            }
        }
        let nowhere = Vec::new();
        let unreached = piece.routes.is_empty().then_some((&nowhere, &piece.verdicts));
        for (route, says) in piece.routes.iter().zip(&piece.says).chain(unreached) {
            let (device, at) = last(route).unwrap_or_else(|| (asked.to_owned(), start));
            for verdict in says.iter().filter(|verdict| !is_file(**verdict)) {
                let what = piece.what.clone().filter(|_| *verdict == piece.verdict);
                let new =
                    Draft { what, way: devices(route), ..Draft::new(*verdict, &device, piece) };
                self.draft(new).bad.push(Span { start: at, len: piece.len });
            }
        }
    }

    fn owner(&mut self, piece: &PieceFound, owner: &OwnerFound, at: u64, index: u64) {
        let verdict = match owner.fork {
            "data" if piece.verdict == Verdict::FileUnwritten => Verdict::FileUnwritten,
            "data" => Verdict::File,
            _ => Verdict::FileMetadata,
        };
        let file = Some(PlannedFile::of(owner));
        let what = (owner.fork != "data").then(|| owner.fork.to_owned());
        let draft = self.draft(Draft { what, file, ..Draft::new(verdict, &owner.fs, piece) });
        draft.bad.push(Span { start: at, len: piece.len });
        if let Some(start) = owner.start.filter(|_| verdict != Verdict::FileMetadata) {
            // One record is contiguous on both sides: the file goes on as the device does.
            let last = piece.routes.iter().filter_map(|route| route.last());
            let first = last.clone().find(|last| last.device == owner.fs).map_or(at, |l| l.start);
            debug_assert!(index > 0 || at == first, "the first element is where the piece is");
            let start = start.saturating_add(at.saturating_sub(first));
            let others = piece.owners.iter().filter(|other| *other != owner);
            draft.parts.push(FilePart {
                file: Span { start, len: piece.len },
                device_start: at,
                shared_with: others.map(PlannedFile::of).collect(),
            });
        }
    }

    /// The draft of the same thing, begun if there is none yet.
    fn draft(&mut self, new: Draft) -> &mut Draft {
        let at = self.drafts.iter().position(|known| known.is_same(&new)).unwrap_or_else(|| {
            self.drafts.push(new);
            self.drafts.len().saturating_sub(1)
        });
        // NO-OVERFLOW: found, or just pushed.
        self.drafts.get_mut(at).unwrap_or_else(|| unreachable!())
    }

    fn finish(mut self) -> Plan {
        let mut warnings = Vec::new();
        if self.left == 0 || self.devices.is_cut() {
            warnings.push(format!(
                "more than {MAX_ELEMENTS} pieces: what is beyond them is not in this plan; ask for \
                 shorter ranges"
            ));
        }
        let mut number = 0;
        let mut subjects = Vec::new();
        for draft in self.drafts {
            subjects.push(match &draft.file {
                Some(file) if !draft.parts.is_empty() => {
                    file::subject(&mut self.names, &draft, file, &mut number, &mut warnings)
                }
                _ => advise::subject(&mut self.names, draft, &mut number),
            });
        }
        let devices = self.devices.finish(&mut self.names, &mut warnings);
        subjects.iter().filter_map(unhelpful).for_each(|warning| warnings.push(warning));
        warnings.dedup();
        let settings = self.names.into_settings();
        Plan { asked: self.asked, settings, devices, subjects, warnings }
    }
}

/// A warning where something may be lost and no command helps.
fn unhelpful(subject: &Subject) -> Option<String> {
    let steps = subject.units.iter().flat_map(|unit| &unit.steps);
    let mut all = subject.before.iter().chain(steps).chain(&subject.after);
    let helped = all.any(|action| action.command.is_some());
    let is_there = subject.verdict != Verdict::Outside;
    (is_there && subject.lost != Some(false) && !helped).then(|| {
        let device = Command::new(&*subject.device);
        format!("there is no command for what was hit on {device}: {}", subject.verdict)
    })
}

impl Draft {
    fn new(verdict: Verdict, device: &str, piece: &PieceFound) -> Self {
        Self {
            verdict,
            what: None,
            lost: if piece.redundancy.is_some() { piece.lost } else { verdict.lost() },
            device: device.to_owned(),
            file: None,
            redundancy: piece.redundancy.clone(),
            way: piece.routes.first().map(|route| devices(route)).unwrap_or_default(),
            bad: Vec::new(),
            parts: Vec::new(),
        }
    }

    fn is_same(&self, other: &Self) -> bool {
        let key = |draft: &Self| (draft.verdict, draft.lost, draft.what.clone());
        key(self) == key(other)
            && self.device == other.device
            && self.file == other.file
            && self.redundancy == other.redundancy
    }

    /// The bad bytes on the device, the first ones where there are many.
    pub(super) fn shown_bad(&self) -> Vec<Span> {
        let mut bad = united(self.bad.iter().copied());
        bad.truncate(MAX_SHOWN);
        bad
    }
}

/// Bad ranges of a device that are listed, at most.
pub(super) const MAX_SHOWN: usize = 256;

impl PlannedFile {
    fn of(owner: &OwnerFound) -> Self {
        Self { fs: owner.fs.clone(), ino: owner.ino, paths: owner.paths.clone() }
    }
}

fn devices(route: &[Position]) -> Vec<String> {
    route.iter().map(|at| at.device.clone()).collect()
}

const fn is_file(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::File | Verdict::FileMetadata | Verdict::FileUnwritten)
}
