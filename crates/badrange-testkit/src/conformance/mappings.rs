use badrange_core::{Extent, HoleKind, Leg, Link, Mapped, Mapping, Run};

use super::{
    Case, Config, Law, Violation,
    case::RawRun,
    faults::{Checked, Emitted, Fault, broken_off, collect, demand, guarded},
    ranges::{Rng, ranges, runs, wide},
    redundancy::check_redundancy,
    relation::{Placed, some_elements},
    shrink::shrink,
};

/// Checks the laws of a mapping.
///
/// Cost: bounded by `config`; a second or two for the default in a build without optimisation.
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
pub fn mapping(mapping: &dyn Mapping, config: &Config) -> Result<(), Violation> {
    let mut rng = Rng::new(config.seed);
    let mut tester = Tester { mapping, config, known: Vec::new() };
    tester.walk(&mut rng, &mut |tester, case| tester.try_case(case))?;
    tester.cases(&mut rng).into_iter().try_for_each(|case| tester.try_case(case))
}

/// Checks one case, after a walk over the device for which no check is made.
pub(super) fn check(case: Case, mapping: &dyn Mapping, config: &Config) -> Result<(), Violation> {
    let mut tester = Tester { mapping, config, known: Vec::new() };
    tester.walk(&mut Rng::new(config.seed), &mut |_, _| Ok(()))?;
    tester.check(case).map_err(|fault| tester.violation(case, fault))
}

/// Start and end in raw numbers.
fn raw(e: Extent) -> (u64, u64) {
    (e.start().get(), e.end().get())
}

fn extent(start: u64, len: u64) -> Option<Extent> {
    RawRun::extent(start, len).build().map(|run| run.first())
}

pub(super) struct Tester<'m> {
    pub(super) mapping: &'m dyn Mapping,
    pub(super) config: &'m Config,
    /// What `map` said on the walk over the device.
    known: Vec<Placed>,
}

/// Called for each part of the device that a walk goes over.
type OnWalk<'w, 'm> = &'w mut dyn FnMut(&Tester<'m>, Case) -> Result<(), Violation>;

impl<'m> Tester<'m> {
    fn violation(&self, case: Case, fault: Fault) -> Violation {
        Violation::new(fault.law, fault.detail, case, *self.config)
    }

    fn try_case(&self, case: Case) -> Result<(), Violation> {
        self.check(case).map_err(|fault| {
            let check = |case| self.check(case);
            let (case, fault) = shrink(case, fault, self.config.shrink_steps, &check);
            self.violation(case, fault)
        })
    }

    /// Walks over all of the device, or over both ends of it and some places between, and remembers
    /// what `map` says there.
    fn walk(&mut self, rng: &mut Rng, visit: OnWalk<'_, 'm>) -> Result<(), Violation> {
        self.walk_over(self.windows(rng), visit)?;
        self.walk_over(self.wide_windows(), visit)
    }

    fn walk_over(&mut self, windows: Vec<Case>, visit: OnWalk<'_, 'm>) -> Result<(), Violation> {
        for case in windows {
            visit(self, case)?;
            self.learn(case);
        }
        Ok(())
    }

    /// The parts of the device to walk over first: all of it, or both ends and some places between.
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

    /// The parts around the places where 32-bit numbers end: above, and below on every leg.
    fn wide_windows(&self) -> Vec<Case> {
        let device = raw(self.mapping.extent());
        let around = self.part_len().saturating_mul(16);
        let mut places = self.wide_above();
        for leg in self.legs() {
            let Some(area) = self.area(leg) else { continue };
            for lower in self.wide_below(leg, raw(area)) {
                places.extend(self.above(leg, area, lower));
            }
        }
        let window = |place: u64| {
            let start = place.saturating_sub(around).max(device.0);
            let end = place.saturating_add(around).min(device.1);
            end.checked_sub(start).filter(|len| *len > 0).map(|len| Case::Map { start, len })
        };
        sorted(places.into_iter()).into_iter().filter_map(window).collect()
    }

    /// How long a part is that `map` emits, more or less.
    fn part_len(&self) -> u64 {
        let parts = u64::try_from(self.known.len()).unwrap_or(u64::MAX).max(1);
        let bytes = self.known.iter().map(|placed| placed.len).fold(0, u64::saturating_add);
        bytes.checked_div(parts).unwrap_or(0).max(4096)
    }

    /// Where bytes of a leg may be above: in a part that is known, and where they are if the leg is
    /// spread over the device evenly.
    fn above(&self, leg: u32, area: Extent, lower: u64) -> Vec<u64> {
        let at = extent(lower, 1);
        let known = self.known.iter().filter(|placed| placed.leg == leg);
        let known = known.filter_map(|placed| Some(placed.clip(at?)?.upper));
        let (device, by) = (self.mapping.extent(), lower.saturating_sub(area.start().get()));
        let scaled = u128::from(by).saturating_mul(u128::from(device.len()));
        let even = scaled.checked_div(u128::from(area.len())).and_then(|by| u64::try_from(by).ok());
        let even = even.map(|by| device.start().get().saturating_add(by));
        known.chain(even).collect()
    }

    /// Where 32-bit numbers end on the device, counted from its beginning and from that of long parts.
    fn wide_above(&self) -> Vec<u64> {
        let device = raw(self.mapping.extent());
        let long = self.known.iter().filter(|placed| placed.len > 1 << 31);
        wide(long.map(|placed| placed.upper).chain([0, device.0]), device)
    }

    /// The same on a leg.
    fn wide_below(&self, leg: u32, area: (u64, u64)) -> Vec<u64> {
        let long = self.known.iter().filter(|placed| placed.leg == leg && placed.len > 1 << 31);
        wide(long.map(|placed| placed.lower).chain([0, area.0]), area)
    }

    fn area(&self, leg: u32) -> Option<Extent> {
        // A leg whose extent cannot be asked for is reported when that case is tried.
        guarded(Law::Total, || self.mapping.leg_extent(Leg::new(leg))).ok().flatten()
    }

    /// Remembers what `map` says, which the case has found to be in order.
    fn learn(&mut self, case: Case) {
        let Case::Map { start, len } = case else { return }; // a walk has no other cases
        let Some(emitted) = extent(start, len).and_then(|e| self.map(e).ok()) else { return };
        self.known.extend(emitted.parts.iter().filter_map(Placed::of_mapped));
    }

    fn cases(&self, rng: &mut Rng) -> Vec<Case> {
        let device = raw(self.mapping.extent());
        let upper = self.known.iter().flat_map(|placed| [placed.upper, placed.upper_end()]);
        let edges = sorted(upper.chain([device.0, device.1]));
        let asked = ranges(&edges, &self.wide_above(), device, self.config, rng);
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
        let area = raw(self.area(leg).unwrap_or_else(|| self.mapping.extent()));
        let on_leg = self.known.iter().filter(|placed| placed.leg == leg);
        let edges = on_leg.flat_map(|placed| [placed.lower, placed.lower_end()]);
        let edges = sorted(edges.chain([area.0, area.1]));
        let places = self.wide_below(leg, area);
        let extents = ranges(&edges, &places, area, self.config, rng).into_iter();
        let extents = extents.map(|(start, len)| RawRun::extent(start, len));
        for run in extents.chain(runs(&edges, &places, self.config, rng)) {
            all.extend([Case::Rmap { leg, run }, Case::Redundancy { leg, run }]);
        }
    }

    /// Cases that cannot be, as shrinking makes them, are in order.
    fn check(&self, case: Case) -> Checked {
        match case {
            Case::Map { start, len } => extent(start, len).map_or(Ok(()), |e| self.check_map(e)),
            Case::LegExtent { leg } => self.check_leg(leg),
            Case::Rmap { leg, run } => run.build().map_or(Ok(()), |run| self.check_rmap(leg, run)),
            Case::Redundancy { leg, run } => {
                run.build().map_or(Ok(()), |run| check_redundancy(self, leg, run))
            }
            Case::Notify { .. } => Ok(()),
        }
    }

    fn map(&self, upper: Extent) -> Checked<Emitted<Mapped>> {
        collect(self.config.parts, |sink| self.mapping.map(upper, sink))
    }

    pub(super) fn rmap(&self, leg: u32, lower: Run) -> Checked<Emitted<Link>> {
        collect(self.config.parts, |sink| self.mapping.rmap(Leg::new(leg), lower, sink))
    }

    fn check_leg(&self, leg: u32) -> Checked {
        let area = guarded(Law::Total, || self.mapping.leg_extent(Leg::new(leg)))?;
        let legs = self.mapping.legs();
        demand(Law::Total, area.is_some() == (leg < legs), || {
            format!("leg_extent is {area:?} for leg {leg} of {legs}")
        })
    }

    fn check_map(&self, asked: Extent) -> Checked {
        let emitted = self.map(asked)?;
        let mut due = asked.start().get();
        let mut before: Option<Mapped> = None;
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
        let end = asked.end().get();
        demand(Law::Covers, !emitted.complete || due == end, || {
            format!("map of {asked} ends at {due:#x}")
        })?;
        let again = self.map(asked)?.parts;
        demand(Law::Covers, again == emitted.parts, || {
            format!("map of {asked} is {:?} first, and then {again:?}", emitted.parts)
        })?;
        let placed = emitted.parts.iter().filter_map(Placed::of_mapped);
        placed.take(few(self.config.elements)).try_for_each(|placed| self.check_back(placed))?;
        broken_off(|sink| self.mapping.map(asked, sink))
    }

    /// One part of what `map` says, by itself.
    fn check_mapped(&self, asked: Extent, part: &Mapped) -> Checked {
        let whole = self.mapping.extent();
        let beyond = |law, holds, what| {
            demand(law, holds, || format!("map of {asked} emits {part:?}: {what}"))
        };
        match part {
            Mapped::Hole(kind, upper) => {
                let inside = whole.contains_extent(*upper) || *kind == HoleKind::Unmapped;
                beyond(Law::Covers, inside, "beyond the device is unmapped, nothing else")
            }
            Mapped::Own(upper) => {
                let inside = whole.contains_extent(*upper);
                beyond(Law::Covers, inside, "beyond the device nothing is its own")
            }
            Mapped::To { leg, link } => {
                let one = link.lower().count() == 1;
                beyond(Law::Covers, one, "more than one element on a side")?;
                let inside = whole.contains_extent(part.upper());
                beyond(Law::Covers, inside, "beyond the device is no leg")?;
                let area = guarded(Law::Total, || self.mapping.leg_extent(*leg))?;
                let inside = area.is_some_and(|area| area.contains_extent(link.lower().first()));
                beyond(Law::Inside, inside, "outside the leg's extent, or no such leg")
            }
        }
    }

    /// Law 2, from above: what `map` gave has to come back.
    fn check_back(&self, placed: Placed) -> Checked {
        let Some(lower) = placed.lower_extent() else { return Ok(()) }; // made of an extent
        let back = self.rmap(placed.leg, lower.into())?;
        let said = &back.parts;
        let given = !back.complete || placed.is_in(said, self.config.parts);
        demand(Law::GivesBack, given, || {
            format!("map puts {placed:?}; rmap of {lower} of leg {} gives {said:?}", placed.leg)
        })
    }

    fn check_rmap(&self, leg: u32, asked: Run) -> Checked {
        let emitted = self.rmap(leg, asked)?;
        let area = guarded(Law::Total, || self.mapping.leg_extent(Leg::new(leg)))?;
        emitted.parts.iter().try_for_each(|link| self.check_link(leg, asked, area, link))?;
        disjoint(&emitted.parts, |link| link.lower()).map_or(Ok(()), |(a, b)| {
            let detail =
                format!("rmap of {asked} of leg {leg} emits {a:?} and {b:?}: not disjoint");
            Err(Fault { law: Law::Inside, detail })
        })?;
        let again = self.rmap(leg, asked)?.parts;
        demand(Law::Inside, again == emitted.parts, || {
            format!("rmap of {asked} of leg {leg} is {:?} first, and then {again:?}", emitted.parts)
        })?;
        if asked.count() > 1 {
            self.check_parts(leg, asked, &emitted)?; // of what is wrong with runs this says most
        }
        self.check_known(leg, asked, &emitted)?;
        let said = emitted.parts.iter().flat_map(|link| {
            some_elements(leg, link, 8) // what is wrong at one is mostly wrong at many
        });
        said.take(few(self.config.elements)).try_for_each(|placed| self.check_forth(placed))?;
        if asked.count() == 1 {
            self.check_parts(leg, asked, &emitted)?;
        }
        broken_off(|sink| self.mapping.rmap(Leg::new(leg), asked, sink))
    }

    /// One link of what `rmap` says, by itself.
    fn check_link(&self, leg: u32, asked: Run, area: Option<Extent>, link: &Link) -> Checked {
        let wrong = |holds, what| {
            demand(Law::Inside, holds, || {
                format!("rmap of {asked} of leg {leg} emits {link:?}: {what}")
            })
        };
        wrong(is_part(asked, link.lower()), "not inside what was asked, element by element")?;
        let inside = area.is_some_and(|area| area.contains_extent(link.lower().span()));
        wrong(inside, "not inside the leg")?;
        wrong(self.mapping.extent().contains_extent(link.upper().span()), "not inside the device")
    }

    /// Law 2, by what the walk knows: it has to be among what `rmap` says.
    fn check_known(&self, leg: u32, asked: Run, emitted: &Emitted<Link>) -> Checked {
        if !emitted.complete {
            return Ok(()); // what is missing may come yet
        }
        let elements = asked.elements().take(few(self.config.elements));
        let known = self.known.iter().filter(|placed| placed.leg == leg);
        for placed in elements.flat_map(|e| known.clone().filter_map(move |k| k.clip(e))) {
            let given = placed.is_in(&emitted.parts, self.config.parts);
            demand(Law::GivesBack, given, || {
                let said = &emitted.parts;
                format!("map puts {placed:?}; rmap of {asked} of leg {leg} gives {said:?}")
            })?;
        }
        Ok(())
    }

    /// Law 2, from below: what `rmap` gave, `map` has to put there.
    fn check_forth(&self, placed: Placed) -> Checked {
        let Some(upper) = placed.upper_extent() else { return Ok(()) }; // made of an extent
        let forth = self.map(upper)?;
        let said: Vec<_> = forth.parts.iter().filter_map(Placed::of_mapped).collect();
        let missing = placed.first_missing(said.iter().copied()).filter(|_| forth.complete);
        demand(Law::GivesBack, missing.is_none(), || {
            format!("rmap puts {placed:?}; map of {upper} gives {said:?}")
        })
    }

    /// Law 4: the elements of a run, and the halves of an extent.
    fn check_parts(&self, leg: u32, asked: Run, emitted: &Emitted<Link>) -> Checked {
        let Some(parts) = parts_of(asked, self.config.elements) else { return Ok(()) };
        let mut due = Emitted { parts: Vec::new(), complete: emitted.complete };
        for part in parts {
            let one = self.rmap(leg, part.into())?;
            due.complete &= one.complete;
            due.parts.extend(one.parts);
        }
        if !due.complete {
            return Ok(());
        }
        for (these, those) in [(&emitted.parts, &due.parts), (&due.parts, &emitted.parts)] {
            let some = these.iter().flat_map(|link| some_elements(leg, link, self.config.elements));
            for placed in some {
                demand(Law::Runs, placed.is_in(those, self.config.parts), || {
                    let (said, due) = (&emitted.parts, &due.parts);
                    format!(
                        "rmap of {asked} of leg {leg} is {said:?}; that of its parts is {due:?}"
                    )
                })?;
            }
        }
        Ok(())
    }
}

/// The elements of a run, or the halves of an extent; `None` where there are too many, or none.
pub(super) fn parts_of(asked: Run, elements: u64) -> Option<Vec<Extent>> {
    match asked.count() {
        1 => {
            let all = asked.first();
            let half = extent(all.start().get(), all.len() / 2)?;
            Some([Some(half), all.split_at(half.end()).1].into_iter().flatten().collect())
        }
        count => (count <= elements).then(|| asked.elements().collect()),
    }
}

/// Whether every element of `part` lies inside an element of `whole`.
pub(super) fn is_part(whole: Run, part: Run) -> bool {
    let mut bytes = 0_u64;
    let whole_elements = whole.overlaps(&part).all(|common| {
        bytes = bytes.saturating_add(common.total_len());
        common.element_len() == part.element_len()
    });
    whole_elements && bytes == part.total_len()
}

/// Two of these that have bytes in common below.
pub(super) fn disjoint<T>(all: &[T], run: impl Fn(&T) -> Run) -> Option<(&T, &T)> {
    let mut sorted: Vec<&T> = all.iter().collect();
    sorted.sort_by_key(|one| run(one).first());
    let mut pairs = sorted.iter().enumerate().flat_map(|(i, a)| {
        let end = run(a).span().end();
        let near = sorted.iter().skip(i.saturating_add(1));
        near.take_while({
            let run = &run;
            move |b| run(b).first().start() < end
        })
        .map(move |b| (*a, *b))
    });
    pairs.find(|(a, b)| run(a).overlaps(&run(b)).next().is_some())
}

pub(super) fn few(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX) // more than there can be
}

fn sorted(edges: impl Iterator<Item = u64>) -> Vec<u64> {
    let mut all: Vec<u64> = edges.collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// The next copy of a mirrored part: the same bytes on a later leg.
fn is_copy(before: &Mapped, part: &Mapped) -> bool {
    match (before, part) {
        (Mapped::To { leg: a, link: x }, Mapped::To { leg: b, link: y }) => {
            a < b && x.upper() == y.upper()
        }
        (Mapped::Hole(..) | Mapped::Own(_), _) | (_, Mapped::Hole(..) | Mapped::Own(_)) => false,
    }
}
