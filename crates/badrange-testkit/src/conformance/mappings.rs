use core::fmt;

use badrange_core::{
    Extent, HoleKind, Leg, Mapped, Mapping, Piece, ReportOffset, Rmapped, Run, Space,
};

use super::{
    Case, Config, Law, Violation,
    case::{Names, RawRun},
    faults::{Checked, Emitted, collect, demand, guarded},
    ranges::{Rng, ranges, runs},
    shrink::shrink,
};

/// Checks the laws of a mapping.
///
/// Cost: bounded by `config`; about a second for the default in a build without optimisation.
///
/// # Errors
/// The first [`Violation`] found, made small.
///
/// # Examples
/// ```
/// use badrange_core::{Extent, PhysAddr};
/// use badrange_pmem::{Mode, Namespace};
/// use badrange_testkit::conformance::{self, Config};
/// let whole = Extent::new(PhysAddr::new(0x1_0000_0000), 1 << 40)?;
/// let namespace = Namespace::new(whole, 2 << 20, Mode::Fsdax)?;
/// conformance::mapping(&namespace, &Config::default())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn mapping<L: Space, U: Space>(
    mapping: &dyn Mapping<L, U>,
    config: &Config,
) -> Result<(), Violation> {
    let mut tester = Tester { mapping, config, known: Vec::new() };
    let mut rng = Rng::new(config.seed);
    for case in tester.windows(&mut rng) {
        tester.try_case(case)?;
        tester.learn(case);
    }
    tester.cases(&mut rng).into_iter().try_for_each(|case| tester.try_case(case))
}

/// Bytes of a leg and the same bytes above.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Link {
    leg: u32,
    lower: u64,
    upper: u64,
    len: u64,
}

impl Link {
    fn lower_end(&self) -> u64 {
        self.lower.saturating_add(self.len)
    }

    /// What of the link lies in `start..end` of the leg.
    fn clip(self, start: u64, end: u64) -> Option<Self> {
        let (first, last) = (self.lower.max(start), self.lower_end().min(end));
        let len = last.checked_sub(first).filter(|len| *len > 0)?;
        let upper = self.upper.checked_add(first.checked_sub(self.lower)?)?;
        Some(Self { leg: self.leg, lower: first, upper, len })
    }

    /// The first lower byte of the link that `said` does not put where the link does.
    fn first_missing(&self, said: &[Self]) -> Option<u64> {
        let by = |link: &Self| link.upper.wrapping_sub(link.lower);
        let same = said.iter().filter(|s| s.leg == self.leg && by(s) == by(self));
        let mut spans: Vec<(u64, u64)> = same.map(|s| (s.lower, s.lower_end())).collect();
        spans.sort_unstable();
        let reached = spans.iter().fold(
            self.lower,
            |at, (start, end)| {
                if *start <= at { at.max(*end) } else { at }
            },
        );
        (reached < self.lower_end()).then_some(reached)
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { leg, lower, upper, len } = self;
        write!(f, "{lower:#x}+{len:#x} of leg {leg} at {upper:#x}")
    }
}

/// Start and end in raw numbers.
fn raw<S: Space>(e: Extent<S>) -> (u64, u64) {
    (e.start().to_raw(), e.end().to_raw())
}

fn extent<S: Space>(start: u64, len: u64) -> Option<Extent<S>> {
    Extent::new(S::from_raw(start), len).ok()
}

fn run<S: Space>(raw: RawRun) -> Option<Run<S>> {
    Run::new(extent(raw.start, raw.len)?, raw.stride, raw.count).ok()
}

struct Tester<'m, L: Space, U: Space> {
    mapping: &'m dyn Mapping<L, U>,
    config: &'m Config,
    /// What `map` said on the walk over the device.
    known: Vec<Link>,
}

impl<L: Space, U: Space> Tester<'_, L, U> {
    fn try_case(&self, case: Case) -> Result<(), Violation> {
        self.check(case).map_err(|fault| {
            let check = |case| self.check(case);
            let (case, fault) = shrink(case, fault, self.config.shrink_steps, &check);
            Violation::new(fault.law, fault.detail, case, Names::of::<L, U>())
        })
    }

    /// The parts of the device to walk over: all of it, or both ends and some places between.
    fn windows(&self, rng: &mut Rng) -> Vec<Case> {
        let (start, end) = raw(self.mapping.extent());
        let len = self.mapping.extent().len();
        let mut all = vec![Case::Map { start, len }];
        // A call that fails here fails again, and is reported, when the case is tried.
        let Ok(walk) = self.map(self.mapping.extent()) else { return all };
        let reached = walk.parts.last().map_or(end, |part| raw(part.upper()).1);
        let span = reached.saturating_sub(start).min(len);
        if !walk.complete && span > 0 {
            let rest = len.saturating_sub(span);
            let places = [rest, rng.below(rest), rng.below(rest)];
            let windows = places.map(|at| Case::Map { start: start.saturating_add(at), len: span });
            all.extend(windows);
        }
        all
    }

    /// Remembers what `map` says, which the case has found to be in order.
    fn learn(&mut self, case: Case) {
        let Case::Map { start, len } = case else { return };
        let Some(emitted) = extent(start, len).and_then(|e| self.map(e).ok()) else { return };
        self.known.extend(emitted.parts.iter().filter_map(to_link));
    }

    fn cases(&self, rng: &mut Rng) -> Vec<Case> {
        let device = raw(self.mapping.extent());
        let upper = self.known.iter().flat_map(|l| [l.upper, l.upper.saturating_add(l.len)]);
        let edges = sorted(upper.chain([device.0, device.1]));
        let asked = ranges(&edges, device, self.config, rng);
        let mut all: Vec<_> =
            asked.iter().map(|(start, len)| Case::Map { start: *start, len: *len }).collect();
        for leg in self.legs() {
            all.push(Case::LegExtent { leg });
            self.leg_cases(leg, rng, &mut all);
        }
        all
    }

    /// The first legs, the last legs, and numbers that no leg has.
    fn legs(&self) -> Vec<u32> {
        let (legs, some) = (self.mapping.legs(), self.config.legs);
        let first = 0..legs.min(some);
        let last = legs.saturating_sub(some)..legs;
        let mut all: Vec<u32> = first.chain(last).chain([legs, u32::MAX]).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    fn leg_cases(&self, leg: u32, rng: &mut Rng, all: &mut Vec<Case>) {
        let area = guarded(Law::Total, || self.mapping.leg_extent(Leg::new(leg)));
        let area = area.ok().flatten().map_or_else(|| raw(self.mapping.extent()), raw);
        let on_leg = self.known.iter().filter(|l| l.leg == leg);
        let edges = on_leg.flat_map(|l| [l.lower, l.lower_end()]);
        let edges = sorted(edges.chain([area.0, area.1]));
        for (start, len) in ranges(&edges, area, self.config, rng) {
            all.push(Case::Rmap { leg, start, len });
            let run = RawRun::extent(start, len);
            all.push(Case::RmapRun { leg, run, origin_stride: len });
        }
        for run in runs(&edges, self.config, rng) {
            let apart = run.len.saturating_mul(2).saturating_add(1);
            for origin_stride in [run.len, apart] {
                all.push(Case::RmapRun { leg, run, origin_stride });
            }
        }
    }

    fn check(&self, case: Case) -> Checked {
        match case {
            Case::Map { start, len } => extent(start, len).map_or(Ok(()), |e| self.check_map(e)),
            Case::LegExtent { leg } => self.check_leg(leg),
            Case::Rmap { leg, start, len } => {
                extent(start, len).map_or(Ok(()), |e| self.check_rmap(leg, e))
            }
            Case::RmapRun { leg, run, origin_stride } => self.check_run(leg, run, origin_stride),
            Case::Notify { .. } => Ok(()),
        }
    }

    fn map(&self, upper: Extent<U>) -> Checked<Emitted<Mapped<L, U>>> {
        collect(self.config.parts, |sink| self.mapping.map(upper, sink))
    }

    fn rmap(&self, leg: u32, lower: Extent<L>) -> Checked<Emitted<Rmapped<L, U>>> {
        collect(self.config.parts, |sink| self.mapping.rmap(Leg::new(leg), lower, sink))
    }

    fn check_leg(&self, leg: u32) -> Checked {
        let area = guarded(Law::Total, || self.mapping.leg_extent(Leg::new(leg)))?;
        let legs = self.mapping.legs();
        demand(Law::Total, area.is_some() == (leg < legs), || {
            format!("leg_extent is {area:?} for leg {leg} of {legs}")
        })
    }

    fn check_map(&self, asked: Extent<U>) -> Checked {
        let emitted = self.map(asked)?;
        let mut due = asked.start().to_raw();
        let mut before: Option<Mapped<L, U>> = None;
        for part in &emitted.parts {
            let (start, end) = raw(part.upper());
            let copy = before.is_some_and(|before| is_copy(&before, part));
            demand(Law::Covers, copy || start == due, || {
                format!("map of {asked} emits {part:?} where {due:#x} is next")
            })?;
            demand(Law::Covers, asked.contains_extent(part.upper()), || {
                format!("map of {asked} emits {part:?}, which reaches beyond it")
            })?;
            self.check_mapped(asked, part)?;
            (due, before) = (end, Some(*part));
        }
        let end = asked.end().to_raw();
        demand(Law::Covers, !emitted.complete || due == end, || {
            format!("map of {asked} ends at {due:#x}")
        })?;
        let links = emitted.parts.iter().filter_map(to_link);
        links.take(few(self.config.elements)).try_for_each(|link| self.check_back(link))?;
        collect(1, |sink| self.mapping.map(asked, sink)).map(drop)
    }

    /// One part of what `map` says, by itself.
    fn check_mapped(&self, asked: Extent<U>, part: &Mapped<L, U>) -> Checked {
        let whole = self.mapping.extent();
        let beyond = |law, holds, what| {
            demand(law, holds, || format!("map of {asked} emits {part:?}: {what}"))
        };
        match part {
            Mapped::Hole { kind, upper } => {
                let inside = whole.contains_extent(*upper) || *kind == HoleKind::Unmapped;
                beyond(Law::Covers, inside, "beyond the device is unmapped, nothing else")
            }
            Mapped::To { leg, upper, lower } => {
                beyond(Law::Covers, upper.len() == lower.len(), "unequal lengths")?;
                beyond(Law::Covers, whole.contains_extent(*upper), "beyond the device is no leg")?;
                let area = guarded(Law::Total, || self.mapping.leg_extent(*leg))?;
                let inside = area.is_some_and(|area| area.contains_extent(*lower));
                beyond(Law::Inside, inside, "outside the leg's extent, or no such leg")
            }
        }
    }

    /// Law 2, from above: what `map` gave has to come back.
    fn check_back(&self, link: Link) -> Checked {
        let Some(lower) = extent(link.lower, link.len) else { return Ok(()) };
        let back = self.rmap(link.leg, lower)?;
        let said: Vec<_> = back.parts.iter().map(|part| from_rmapped(link.leg, part)).collect();
        let missing = link.first_missing(&said).filter(|_| back.complete);
        demand(Law::GivesBack, missing.is_none(), || {
            format!("map puts {link:?}; rmap of {lower} of leg {} gives {said:?}", link.leg)
        })
    }

    fn check_rmap(&self, leg: u32, asked: Extent<L>) -> Checked {
        let emitted = self.rmap(leg, asked)?;
        let area = guarded(Law::Total, || self.mapping.leg_extent(Leg::new(leg)))?;
        let mut before = 0;
        for part in &emitted.parts {
            let wrong = |holds, what| {
                demand(Law::Inside, holds, || {
                    format!("rmap of {asked} of leg {leg} emits {part:?}: {what}")
                })
            };
            wrong(asked.contains_extent(part.lower), "not inside what was asked")?;
            wrong(area.is_some_and(|a| a.contains_extent(part.lower)), "not inside the leg")?;
            wrong(self.mapping.extent().contains_extent(part.upper), "not inside the device")?;
            wrong(part.lower.len() == part.upper.len(), "unequal lengths")?;
            wrong(before <= part.lower.start().to_raw(), "not in ascending order")?;
            before = part.lower.start().to_raw();
        }
        let said: Vec<_> = emitted.parts.iter().map(|part| from_rmapped(leg, part)).collect();
        let horizon = if emitted.complete { asked.end().to_raw() } else { before };
        let known = self.known.iter().filter(|link| link.leg == leg);
        for link in known.filter_map(|link| link.clip(asked.start().to_raw(), horizon)) {
            demand(Law::GivesBack, link.first_missing(&said).is_none(), || {
                format!("map puts {link:?}; rmap of {asked} of leg {leg} gives {said:?}")
            })?;
        }
        said.iter().take(few(self.config.elements)).try_for_each(|link| self.check_forth(*link))?;
        collect(1, |sink| self.mapping.rmap(Leg::new(leg), asked, sink)).map(drop)
    }

    /// Law 2, from below: what `rmap` gave, `map` has to put there.
    fn check_forth(&self, link: Link) -> Checked {
        let Some(upper) = extent(link.upper, link.len) else { return Ok(()) };
        let forth = self.map(upper)?;
        let said: Vec<_> = forth.parts.iter().filter_map(to_link).collect();
        let missing = link.first_missing(&said).filter(|_| forth.complete);
        demand(Law::GivesBack, missing.is_none(), || {
            format!("rmap puts {link:?}; map of {upper} gives {said:?}")
        })
    }

    fn check_run(&self, leg: u32, raw_run: RawRun, origin_stride: u64) -> Checked {
        let origin = RawRun { start: 0, stride: origin_stride, ..raw_run };
        let piece = run(raw_run).zip(run::<ReportOffset>(origin));
        let piece = piece.and_then(|(here, origin)| Piece::new(here, origin).ok());
        let Some(piece) = piece else { return Ok(()) };
        let at = Leg::new(leg);
        let by_run = collect(self.config.parts, |sink| self.mapping.rmap_run(at, &piece, sink))?;
        collect(1, |sink| self.mapping.rmap_run(at, &piece, sink))?;
        if piece.here().count() > self.config.elements || !by_run.complete {
            return Ok(());
        }
        let limit = self.config.parts.saturating_mul(few(self.config.elements));
        let mut said = Vec::new();
        for part in &by_run.parts {
            let elements = part.elements().take(limit);
            said.extend(elements.map(|(upper, from)| from_to(leg, from, upper)));
        }
        let mut due = Vec::new();
        for (lower, from) in piece.elements() {
            let emitted = self.rmap(leg, lower)?;
            if !emitted.complete {
                return Ok(());
            }
            due.extend(emitted.parts.iter().filter_map(|part| {
                let from = part.lower.rebase(lower.start(), from.start())?;
                Some(from_to(leg, from, part.upper))
            }));
        }
        let (said, due) = (merged(said), merged(due));
        demand(Law::Runs, said == due, || {
            format!(
                "rmap_run of {} of leg {leg} is (origin, upper, length) {said:x?}; \
                 rmap of its elements is {due:x?}",
                piece.here()
            )
        })
    }
}

fn few(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

fn sorted(edges: impl Iterator<Item = u64>) -> Vec<u64> {
    let mut all: Vec<u64> = edges.collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// The next copy of a mirrored part: the same bytes on a later leg.
fn is_copy<L: Space, U: Space>(before: &Mapped<L, U>, part: &Mapped<L, U>) -> bool {
    match (before, part) {
        (Mapped::To { leg: a, upper: x, .. }, Mapped::To { leg: b, upper: y, .. }) => {
            a < b && x == y
        }
        (Mapped::Hole { .. }, _) | (_, Mapped::Hole { .. }) => false,
    }
}

fn to_link<L: Space, U: Space>(part: &Mapped<L, U>) -> Option<Link> {
    match part {
        Mapped::To { leg, upper, lower } => {
            let (lower, upper, len) = (raw(*lower).0, raw(*upper).0, lower.len());
            Some(Link { leg: leg.index(), lower, upper, len })
        }
        Mapped::Hole { .. } => None,
    }
}

fn from_rmapped<L: Space, U: Space>(leg: u32, part: &Rmapped<L, U>) -> Link {
    Link { leg, lower: raw(part.lower).0, upper: raw(part.upper).0, len: part.lower.len() }
}

/// Bytes of the report and where they are above, as a link.
fn from_to<U: Space>(leg: u32, from: Extent<ReportOffset>, upper: Extent<U>) -> Link {
    Link { leg, lower: raw(from).0, upper: raw(upper).0, len: upper.len() }
}

/// The same correspondence in as few links as there can be, whatever it was cut into.
fn merged(mut links: Vec<Link>) -> Vec<(u64, u64, u64)> {
    links.sort_unstable_by_key(|l| (l.upper.wrapping_sub(l.lower), l.lower));
    let mut all: Vec<Link> = Vec::new();
    for link in links {
        match all.last_mut() {
            Some(last)
                if last.lower_end() == link.lower
                    && last.upper.saturating_add(last.len) == link.upper =>
            {
                last.len = last.len.saturating_add(link.len);
            }
            _ => all.push(link),
        }
    }
    all.into_iter().map(|l| (l.lower, l.upper, l.len)).collect()
}
