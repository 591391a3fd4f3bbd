use core::{num::NonZeroU64, ops::ControlFlow, ops::Range};

use badrange_core::{DevOffset, Extent, Flow, Leg, Link, Run, Sink, bug};

use super::{
    Array,
    array::InUse,
    plan::{Section, Slot},
};

/// Rows of a member at a fixed distance, in which the same stands: data of the array in equal
/// steps, or parity.
pub(super) struct Rows {
    /// What the first of them holds.
    pub(super) slot: Slot,
    /// The rows as bytes of the member.
    pub(super) on: Run,
    /// Chunks of the array from one of them to the next.
    advance: u64,
}

/// Where rows go, each with what of the question to look for in them.
pub(super) type RowsSink<'a> = &'a mut dyn FnMut(Run, Rows) -> Flow;

impl Array {
    /// The bytes of a leg that hold parity, as few runs as there can be. None without parity.
    ///
    /// # Examples
    /// ```
    /// use badrange_block::md::{Array, Level, Member, ParityLayout};
    /// use badrange_core::{DevOffset, Extent, Leg};
    /// let member = Member::in_sync(Extent::new(DevOffset::new(0), 9 * 4096)?);
    /// let level = Level::Parity { disks: 1, layout: ParityLayout::LeftSymmetric };
    /// let array = Array::new(level, 4096, vec![Some(member); 3])?;
    /// let parity = array.parity(Leg::new(2));
    /// assert_eq!(parity[0].to_string(), "device bytes [0x0..0x1000) x3 every 0x3000");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn parity(&self, leg: Leg) -> Vec<Run> {
        let mut runs = Vec::new();
        if let Some(member) = self.member(leg) {
            let flow = self.repeating(member, member.on.into(), &mut |_, rows| {
                runs.extend(matches!(rows.slot, Slot::Parity(_)).then_some(rows.on));
                ControlFlow::Continue(())
            });
            debug_assert!(flow.is_continue(), "every row of a leg is known");
        }
        runs
    }

    /// `rmap` of a leg, in a device where the array begins at `base`.
    pub(crate) fn rmap_from(
        &self,
        leg: Leg,
        base: DevOffset,
        lower: Run,
        sink: Sink<'_, Link>,
    ) -> Flow {
        let Some(member) = self.member(leg) else { return ControlFlow::Continue(()) };
        self.rows_under(member, lower, &mut |asked, rows| {
            let Slot::Data(chunk) = rows.slot else {
                return ControlFlow::Continue(()); // parity is no byte of the array
            };
            match self.above(base, chunk, &rows) {
                Some(link) => link.rmap(asked, sink),
                None => bug!("a chunk of an array lies within 64 bits"),
            }
        })
    }

    /// Rows of data, the first of which holds `chunk`, and the same bytes in a device where the array
    /// begins at `base`.
    fn above(&self, base: DevOffset, chunk: u64, rows: &Rows) -> Option<Link> {
        // NO-OVERFLOW: a stride beyond 64 bits would be that of a single row, which has none.
        let stride = rows.advance.saturating_mul(self.chunk.get());
        let upper = Run::new(self.chunk_at(base, chunk)?, stride, rows.on.count()).ok()?;
        Some(Link::new(rows.on, upper).ok()?.joined())
    }

    /// Emits rows that hold every byte of `lower` that the member has, each byte once: as few as
    /// there are chunks, or repeating parts.
    pub(super) fn rows_under(&self, member: &InUse, lower: Run, sink: RowsSink<'_>) -> Flow {
        let Some(span) = lower.span().intersect(member.on) else {
            return ControlFlow::Continue(()); // nothing of it is in use
        };
        if let Some(rows) = self.one_phase(member, lower) {
            return sink(lower, rows);
        }
        let rows = rows_of(member.on, span, self.chunk);
        let repeats = self.repeats(member.role);
        if rows.end.saturating_sub(rows.start) <= repeats {
            return self.each_row(member, rows, lower, sink);
        }
        // An element touches at most so many rows.
        let of_element = (lower.element_len() / self.chunk).saturating_add(2);
        if lower.count().saturating_mul(of_element) > repeats {
            return self.repeating(member, lower, sink);
        }
        lower.elements().filter_map(|element| element.intersect(member.on)).try_for_each(
            |element| {
                self.each_row(member, rows_of(member.on, element, self.chunk), element.into(), sink)
            },
        )
    }

    /// All rows for a run whose elements lie in one repeating part, each inside one row of it.
    fn one_phase(&self, member: &InUse, lower: Run) -> Option<Rows> {
        if !member.on.contains_extent(lower.span()) {
            return None;
        }
        let first = rows_of(member.on, lower.first(), self.chunk);
        if first.end.checked_sub(first.start) != Some(1) {
            return None;
        }
        if lower.count() == 1 {
            return self.row(member, first.start);
        }
        let last = rows_of(member.on, lower.last(), self.chunk);
        let inside = |section: &Section| {
            let rows = section.first_row..section.first_row.saturating_add(section.rows);
            rows.contains(&first.start) && last.end <= rows.end
        };
        let section = self.plan.sections(member.role).find(inside)?;
        let step = section.period.saturating_mul(self.chunk.get());
        let fits = lower.stride().checked_rem(step) == Some(0);
        fits.then(|| self.rows_from(member, &section, first.start))?
    }

    fn each_row(
        &self,
        member: &InUse,
        mut rows: Range<u64>,
        lower: Run,
        sink: RowsSink<'_>,
    ) -> Flow {
        rows.try_for_each(|row| match self.row(member, row) {
            Some(row) => sink(lower, row),
            None => bug!("a row in use holds data or parity"),
        })
    }

    /// One row of a member.
    fn row(&self, member: &InUse, row: u64) -> Option<Rows> {
        let slot = self.plan.slot(member.role, row)?;
        Some(Rows { slot, on: self.chunk_at(member.on.start(), row)?.into(), advance: 0 })
    }

    /// How many repeating parts a member has.
    fn repeats(&self, role: u64) -> u64 {
        let phases = self.plan.sections(role).map(|section| section.period.min(section.rows));
        phases.fold(0, u64::saturating_add)
    }

    /// All repeating parts of a member.
    fn repeating(&self, member: &InUse, lower: Run, sink: RowsSink<'_>) -> Flow {
        self.plan.sections(member.role).try_for_each(|section| {
            (0..section.period.min(section.rows)).try_for_each(|phase| {
                let row = section.first_row.checked_add(phase);
                match row.and_then(|row| self.rows_from(member, &section, row)) {
                    Some(rows) => sink(lower, rows),
                    None => bug!("a row in use holds data or parity"),
                }
            })
        })
    }

    /// The rows of a section that repeat `row`, from it on.
    fn rows_from(&self, member: &InUse, section: &Section, row: u64) -> Option<Rows> {
        let Rows { slot, on, .. } = self.row(member, row)?;
        let behind = section.rows.checked_sub(row.checked_sub(section.first_row)?)?;
        let count = behind.div_ceil(section.period);
        // NO-OVERFLOW: a stride beyond 64 bits would be that of a single row, which has none.
        let stride = section.period.saturating_mul(self.chunk.get());
        let on = Run::new(on.first(), stride, count).ok()?;
        Some(Rows { slot, on, advance: section.advance })
    }
}

/// The rows, by number, that hold bytes of `part`, which lies in the bytes of the member in use.
fn rows_of(on: Extent, part: Extent, chunk: NonZeroU64) -> Range<u64> {
    let row = |at: DevOffset| at.get().saturating_sub(on.start().get()) / chunk;
    row(part.start())..row(part.last()).saturating_add(1)
}
