use core::ops::ControlFlow;

use badrange_core::{DevOffset, Extent, Leg};

use super::{
    Array, Level,
    plan::{Slot, Stripe},
};
use crate::leg::Sink;

/// Bytes of a leg, and where else they can be had from.
///
/// # Examples
/// See [`Array::backing`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backing {
    /// The bytes of the leg: one chunk of it at most.
    pub lower: Extent<DevOffset>,
    /// Whether they are parity.
    pub parity: bool,
    /// The members that are there and have something of the same stripe: copies of the bytes, or
    /// the rest of the stripe, data before parity. As long as `lower`.
    pub sources: Vec<Source>,
    /// How many of the sources it takes: one copy, or all but the parity of a stripe.
    pub needed: usize,
    /// Whether any one source has the bytes themselves: then there is no parity to compute.
    pub copies: bool,
}

/// A part of another leg of the same stripe.
///
/// # Examples
/// See [`Array::backing`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Source {
    /// The leg.
    pub leg: Leg,
    /// Where on it the part begins.
    pub start: DevOffset,
}

impl Array {
    /// Tells for each byte of a leg which other legs have it once more, or what of its stripe is
    /// left to rebuild it from. Emits in ascending order what of `lower` the array uses, chunk by
    /// chunk. Members that are missing are no sources; whether a source is readable or up to date
    /// is for the caller to know ([`out_of_sync`](Self::out_of_sync)).
    ///
    /// # Kernel
    /// `fix_read_error()` of `raid1.c` and `raid10.c`, `handle_stripe()` of `raid5.c`.
    ///
    /// # Examples
    /// ```
    /// use badrange_block::md::{Array, Level, Member, ParityLayout, Source};
    /// use badrange_core::{DevOffset, Extent, Leg};
    /// use core::ops::ControlFlow;
    /// let member = Member::in_sync(Extent::new(DevOffset::new(0), 9 * 4096)?);
    /// let level = Level::Parity { disks: 1, layout: ParityLayout::LeftSymmetric };
    /// let array = Array::new(level, 4096, vec![Some(member); 3])?;
    /// let bad = Extent::new(DevOffset::new(512), 512)?;
    /// let _ = array.backing(Leg::new(0), bad, &mut |backing| {
    ///     let from = |leg| Source { leg: Leg::new(leg), start: DevOffset::new(512) };
    ///     assert_eq!(backing.sources, [from(1), from(2)]);
    ///     assert_eq!((backing.needed, backing.parity), (2, false));
    ///     ControlFlow::Continue(())
    /// });
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn backing(
        &self,
        leg: Leg,
        lower: Extent<DevOffset>,
        sink: Sink<'_, Backing>,
    ) -> ControlFlow<()> {
        let Some(role) = self.role(leg).and_then(|r| u64::try_from(r).ok()) else {
            return ControlFlow::Continue(());
        };
        self.rows_in(leg, lower, &mut |row, slot, bytes| {
            let Some(part) = bytes.intersect(lower) else { return ControlFlow::Continue(()) };
            let into = part.start().get().saturating_sub(bytes.start().get());
            let stripe = self.plan.stripe(row);
            let (places, needed) = match (stripe, slot) {
                (Some((stripe, needed)), _) => (rest_of(stripe, role, row), needed),
                (None, Slot::Data(chunk)) => (self.other_copies(chunk, role), 1),
                (None, Slot::Parity(_)) => (Vec::new(), 1),
            };
            let sources = places.into_iter().filter_map(|(role, row)| {
                let leg = self.leg_of(usize::try_from(role).ok()?)?;
                let start = self.row(role, row)?.start().get().checked_add(into)?;
                Some(Source { leg, start: DevOffset::new(start) })
            });
            sink(Backing {
                lower: part,
                parity: matches!(slot, Slot::Parity(_)),
                sources: sources.collect(),
                needed: usize::try_from(needed).unwrap_or(usize::MAX),
                copies: stripe.is_none(),
            })
        })
    }

    /// Bytes of a leg after which its backing repeats, for legs where it is the same legs again.
    #[must_use]
    pub fn backing_period(&self, leg: Leg) -> Option<u64> {
        let role = u64::try_from(self.role(leg)?).ok()?;
        let sections = self.plan.sections(role);
        let [only] = sections.as_slice() else { return None };
        only.period.checked_mul(self.chunk.get())
    }

    /// Whether its level has anything twice.
    #[must_use]
    pub fn is_redundant(&self) -> bool {
        !matches!(self.level(), Level::Raid0(_))
    }

    fn other_copies(&self, chunk: u64, but: u64) -> Vec<(u64, u64)> {
        let mut places = Vec::new();
        let _ = self.plan.places(chunk, &mut |role, row| {
            places.extend((role != but).then_some((role, row)));
            ControlFlow::Continue(())
        });
        places
    }
}

/// The other members of a stripe, data first, then P, then Q.
fn rest_of(stripe: Stripe, but: u64, row: u64) -> Vec<(u64, u64)> {
    let data = (0..stripe.data()).filter_map(|index| stripe.role(index));
    let all = data.chain(stripe.parities().into_iter().flatten());
    all.filter(|role| *role != but).map(|role| (role, row)).collect()
}
