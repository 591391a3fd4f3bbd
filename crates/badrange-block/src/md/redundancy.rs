use core::ops::ControlFlow;

use badrange_core::{Backing, BackingKind, DevOffset, Extent, Flow, Leg, Run, bug};

use super::{Array, array::InUse, plan::Slot};

/// A part of another leg that has something of the same stripe.
struct Source {
    leg: Leg,
    /// Where on it what corresponds to the first byte begins.
    start: DevOffset,
    /// Up to where, in bytes of the leg that is asked about, it is up to date.
    fresh_to: u64,
}

impl Array {
    /// `redundancy` of a leg, where the array's legs begin at `first_leg`.
    ///
    /// # Kernel
    /// `fix_read_error()` of `raid1.c` and `raid10.c`, `handle_stripe()` of `raid5.c`.
    pub(crate) fn redundancy_from(
        &self,
        leg: Leg,
        first_leg: u32,
        lower: Run,
        sink: &mut dyn FnMut(Backing<'_>) -> Flow,
    ) -> Flow {
        let Some(member) = self.member(leg).filter(|_| self.is_redundant()) else {
            return ControlFlow::Continue(());
        };
        self.rows_under(member, lower, &mut |asked, rows| {
            asked
                .overlaps(&rows.on)
                .try_for_each(|part| self.back(member, rows.slot, first_leg, part, sink))
        })
    }

    /// Emits what can stand in for bytes whose elements lie in rows that repeat, each inside one
    /// row: cut where a source stops to be up to date.
    fn back(
        &self,
        member: &InUse,
        slot: Slot,
        first_leg: u32,
        part: Run,
        sink: &mut dyn FnMut(Backing<'_>) -> Flow,
    ) -> Flow {
        let row = part.first().start().get().saturating_sub(member.on.start().get()) / self.chunk;
        let mut all = Vec::new();
        self.sources(member, row, part, &mut |source| {
            // NO-OVERFLOW: legs of a table are numbered with 32 bits.
            let leg = Leg::new(first_leg.wrapping_add(source.leg.index()));
            all.push(Source { leg, ..source });
            ControlFlow::Continue(())
        })?;
        let (kind, needed) = self.kind(slot, row);
        let mut sources = Vec::new();
        zones(part.span(), &all).try_for_each(|zone| {
            part.clip(zone).try_for_each(|lower| {
                sources.clear();
                for source in all.iter().filter(|source| source.fresh_to >= zone.end().get()) {
                    let Some(run) = lower.rebase(part.first().start(), source.start) else {
                        return bug!("what repeats on a leg repeats on the others");
                    };
                    sources.push((source.leg, run));
                }
                sink(Backing { lower, kind, needed, sources: &sources })
            })
        })
    }

    /// What bytes of a row are, and how many sources it takes to have them again.
    fn kind(&self, slot: Slot, row: u64) -> (BackingKind, usize) {
        let Some((_, needed)) = self.plan.stripe(row) else { return (BackingKind::Copy, 1) };
        let kind = match slot {
            Slot::Data(_) => BackingKind::Data,
            Slot::Parity(_) => BackingKind::Parity,
        };
        (kind, usize::try_from(needed).unwrap_or(usize::MAX)) // at most `MAX_MEMBERS`
    }

    /// Emits the places on other members that are there: the rest of the stripe, data first, or the
    /// other copies.
    fn sources(
        &self,
        member: &InUse,
        row: u64,
        part: Run,
        sink: &mut dyn FnMut(Source) -> Flow,
    ) -> Flow {
        self.plan.siblings(member.role, row, &mut |role, row| {
            let Some((leg, other)) = self.leg_of_role(role) else {
                return ControlFlow::Continue(()); // it is missing
            };
            match self.source(member, leg, other, part, row) {
                Some(source) => sink(source),
                None => bug!("a row of a member lies within 64 bits"),
            }
        })
    }

    /// What in a row of another member corresponds to the first element of `part`.
    fn source(
        &self,
        member: &InUse,
        leg: Leg,
        other: &InUse,
        part: Run,
        row: u64,
    ) -> Option<Source> {
        let asked = part.first().start().get();
        let into = asked.checked_sub(member.on.start().get())? % self.chunk;
        let start = self.chunk_at(other.on.start(), row)?.start().get().checked_add(into)?;
        let by = start.checked_sub(other.on.start().get())?;
        let fresh_to = asked.saturating_add(other.synced.saturating_sub(by));
        Some(Source { leg, start: DevOffset::new(start), fresh_to })
    }
}

/// Cuts a span wherever a source stops to be up to date.
fn zones(span: Extent, sources: &[Source]) -> impl Iterator<Item = Extent> + '_ {
    let mut rest = Some(span);
    core::iter::from_fn(move || {
        let part = rest?;
        let ends = sources.iter().map(|source| source.fresh_to);
        let next = ends.filter(|end| *end > part.start().get()).min();
        let (zone, after) = part.split_at(next.map_or(part.end(), DevOffset::new));
        rest = after;
        zone
    })
}
