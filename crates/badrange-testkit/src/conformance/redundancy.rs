//! Law 6: which other bytes could stand in for bytes of a leg.

use badrange_core::{Backing, BackingKind, Leg, Run, Stop};

use super::{
    Law,
    faults::{Checked, Emitted, Fault, counted, demand, guarded},
    mappings::{Tester, disjoint, is_part, parts_of},
};

/// A backing to keep.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Backed {
    lower: Run,
    kind: BackingKind,
    needed: usize,
    sources: Vec<(Leg, Run)>,
}

impl Backed {
    fn of(backing: &Backing<'_>) -> Self {
        let Backing { lower, kind, needed, sources } = *backing;
        Self { lower, kind, needed, sources: sources.to_vec() }
    }

    /// Its first elements one by one, and its last one: where they are and where each source is.
    fn elements(&self, limit: u64) -> Vec<Line> {
        let count = self.lower.count();
        let some = (0..count.min(limit)).chain((count > limit).then(|| count.saturating_sub(1)));
        some.filter_map(|i| {
            let source =
                |(leg, run): &(Leg, Run)| Some((leg.index(), run.element(i)?.start().get()));
            let sources: Option<Vec<_>> = self.sources.iter().map(source).collect();
            let lower = self.lower.element(i)?;
            let (kind, needed) = (self.kind, self.needed);
            let (start, len) = (lower.start().get(), lower.len());
            Some(Line { start, len, kind, needed, sources: sources? })
        })
        .collect()
    }
}

/// One element of a backing in plain numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    start: u64,
    len: u64,
    kind: BackingKind,
    needed: usize,
    sources: Vec<(u32, u64)>,
}

impl Line {
    fn end(&self) -> u64 {
        self.start.saturating_add(self.len)
    }

    /// Whether the other is what comes after this one, of the same kind and from the same sources.
    fn goes_on_in(&self, next: &Self) -> bool {
        let sources = self.sources.iter().map(|(leg, at)| (*leg, at.saturating_add(self.len)));
        self.end() == next.start
            && (self.kind, self.needed) == (next.kind, next.needed)
            && sources.eq(next.sources.iter().copied())
    }
}

/// The same in as few lines as there can be, whatever it was cut into.
fn merged(mut lines: Vec<Line>) -> Vec<Line> {
    lines.sort_by_key(|line| line.start);
    let mut all: Vec<Line> = Vec::new();
    for line in lines {
        match all.last_mut().filter(|last| last.goes_on_in(&line)) {
            Some(last) => last.len = last.len.saturating_add(line.len),
            None => all.push(line),
        }
    }
    all
}

pub(super) fn check_redundancy(tester: &Tester<'_>, leg: u32, asked: Run) -> Checked {
    let emitted = redundancy(tester, leg, asked)?;
    emitted.parts.iter().try_for_each(|backed| check_backed(tester, leg, asked, backed))?;
    if let Some((a, b)) = disjoint(&emitted.parts, |backed| backed.lower) {
        let detail =
            format!("redundancy of {asked} of leg {leg} emits {a:?} and {b:?}: not disjoint");
        return Err(Fault { law: Law::Redundancy, detail });
    }
    let again = redundancy(tester, leg, asked)?.parts;
    demand(Law::Redundancy, again == emitted.parts, || {
        let said = &emitted.parts;
        format!("redundancy of {asked} of leg {leg} is {said:?} first, and then {again:?}")
    })?;
    check_parts(tester, leg, asked, &emitted)?;
    let stop = Stop::Broken("the sink broke off");
    counted(1, stop, |count| tester.mapping.redundancy(Leg::new(leg), asked, &mut |_| count()))
        .map(drop)
}

fn redundancy(tester: &Tester<'_>, leg: u32, asked: Run) -> Checked<Emitted<Backed>> {
    let mut parts = Vec::new();
    let complete = counted(tester.config.parts, Stop::Enough, |count| {
        tester.mapping.redundancy(Leg::new(leg), asked, &mut |backing| {
            parts.push(Backed::of(&backing));
            count()
        })
    })?;
    Ok(Emitted { parts, complete })
}

/// One backing by itself.
fn check_backed(tester: &Tester<'_>, leg: u32, asked: Run, backed: &Backed) -> Checked {
    let wrong = |holds, what: &str| {
        demand(Law::Redundancy, holds, || {
            format!("redundancy of {asked} of leg {leg} emits {backed:?}: {what}")
        })
    };
    let area = |leg| guarded(Law::Total, || tester.mapping.leg_extent(leg));
    wrong(is_part(asked, backed.lower), "not inside what was asked, element by element")?;
    let inside = area(Leg::new(leg))?.is_some_and(|a| a.contains_extent(backed.lower.span()));
    wrong(inside, "not inside the leg")?;
    wrong(backed.needed > 0, "it takes no source")?;
    wrong(
        backed.kind != BackingKind::Copy || backed.needed == 1,
        "it takes one copy, not several",
    )?;
    for (at, run) in &backed.sources {
        wrong(at.index() != leg, "a source on the leg itself")?;
        let shape = |run: &Run| (run.element_len(), run.count());
        wrong(shape(run) == shape(&backed.lower), "a source of another shape")?;
        let inside = area(*at)?.is_some_and(|area| area.contains_extent(run.span()));
        wrong(inside, "a source outside of its leg, or on no leg")?;
    }
    let twice = |(i, a): (usize, &(Leg, Run))| {
        let later = backed.sources.iter().skip(i.saturating_add(1));
        later.filter(|b| a.0 == b.0).any(|b| a.1.overlaps(&b.1).next().is_some())
    };
    wrong(!backed.sources.iter().enumerate().any(twice), "the same bytes twice as a source")?;
    check_kind(tester, leg, backed)
}

/// Parity is no byte of the device; copies are the same bytes of it.
fn check_kind(tester: &Tester<'_>, leg: u32, backed: &Backed) -> Checked {
    let above = |leg: u32, run: Run| -> Checked<Option<Vec<(u64, u64)>>> {
        let emitted = tester.rmap(leg, run.first().into())?;
        let mut all: Vec<_> = emitted.parts.iter().flat_map(|link| link.elements()).collect();
        all.sort_unstable();
        let from = run.first().start().get();
        let place = |(lower, upper): (badrange_core::Extent, badrange_core::Extent)| {
            (lower.start().get().saturating_sub(from), upper.start().get())
        };
        Ok(emitted.complete.then(|| all.into_iter().map(place).collect()))
    };
    // One element says it for all: the others are asked for by themselves.
    let Some(here) = above(leg, backed.lower)? else { return Ok(()) };
    match backed.kind {
        BackingKind::Data => Ok(()),
        BackingKind::Parity => demand(Law::Redundancy, here.is_empty(), || {
            format!(
                "parity of leg {leg} is no byte of the device, and rmap puts {backed:?} at {here:x?}"
            )
        }),
        BackingKind::Copy => backed.sources.iter().try_for_each(|(at, run)| {
            let there = above(at.index(), *run)?.filter(|there| *there != here);
            demand(Law::Redundancy, there.is_none(), || {
                format!(
                    "{backed:?} of leg {leg} is at {here:x?} above, the copy on {at} at {there:x?}"
                )
            })
        }),
    }
}

/// What is asked together is as when it is asked alone.
fn check_parts(tester: &Tester<'_>, leg: u32, asked: Run, emitted: &Emitted<Backed>) -> Checked {
    let Some(parts) = parts_of(asked, tester.config.elements) else { return Ok(()) };
    let mut due = Vec::new();
    let mut complete = emitted.complete;
    for part in parts {
        let one = redundancy(tester, leg, part.into())?;
        complete &= one.complete;
        due.extend(one.parts);
    }
    let limit = tester.config.elements;
    let long = |backed: &Backed| backed.lower.count() > limit;
    if !complete || emitted.parts.iter().chain(&due).any(long) {
        return Ok(()); // of so many only some could be compared
    }
    let lines = |all: &[Backed]| merged(all.iter().flat_map(|b| b.elements(limit)).collect());
    let (said, due) = (lines(&emitted.parts), lines(&due));
    demand(Law::Redundancy, said == due, || {
        format!("redundancy of {asked} of leg {leg} is {said:x?}; that of its parts is {due:x?}")
    })
}
