//! Which byte of a leg is which byte above: what `map` and `rmap` say, in one form.

use core::fmt;

use badrange_core::{DevOffset, Extent, Link, Mapped};

/// Bytes of a leg and the same bytes above.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Placed {
    pub(super) leg: u32,
    pub(super) lower: u64,
    pub(super) upper: u64,
    pub(super) len: u64,
}

impl Placed {
    pub(super) fn of_mapped(part: &Mapped) -> Option<Self> {
        match part {
            Mapped::To { leg, link } => {
                Some(Self::new(leg.index(), link.lower().first(), link.upper().first()))
            }
            Mapped::Hole(..) | Mapped::Own(_) => None,
        }
    }

    fn new(leg: u32, lower: Extent, upper: Extent) -> Self {
        Self { leg, lower: lower.start().get(), upper: upper.start().get(), len: lower.len() }
    }

    pub(super) fn lower_end(&self) -> u64 {
        self.lower.saturating_add(self.len)
    }

    pub(super) fn upper_end(&self) -> u64 {
        self.upper.saturating_add(self.len)
    }

    pub(super) fn lower_extent(&self) -> Option<Extent> {
        Extent::new(DevOffset::new(self.lower), self.len).ok()
    }

    pub(super) fn upper_extent(&self) -> Option<Extent> {
        Extent::new(DevOffset::new(self.upper), self.len).ok()
    }

    /// What of it lies in this part of the leg.
    pub(super) fn clip(self, window: Extent) -> Option<Self> {
        let lower = self.lower_extent()?.intersect(window)?;
        let upper = lower.rebase(DevOffset::new(self.lower), DevOffset::new(self.upper))?;
        Some(Self::new(self.leg, lower, upper))
    }

    /// How far above the lower byte the upper one is.
    fn shift(&self) -> u64 {
        self.upper.wrapping_sub(self.lower)
    }

    /// The first lower byte that `said` does not put where this does.
    pub(super) fn first_missing(&self, said: impl IntoIterator<Item = Self>) -> Option<u64> {
        let same = said.into_iter().filter(|s| s.leg == self.leg && s.shift() == self.shift());
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

    /// Whether links of its leg have all of it. Of links with more than `limit` elements in it only
    /// so many are looked at, and the rest is believed.
    pub(super) fn is_in(&self, links: &[Link], limit: usize) -> bool {
        let Some(window) = self.lower_extent() else { return true }; // made of an extent
        let (mut said, mut all) = (Vec::new(), true);
        for part in links.iter().flat_map(|link| link.clip_lower(window)) {
            all &= usize::try_from(part.lower().count()).is_ok_and(|count| count <= limit);
            let elements = part.elements().take(limit);
            said.extend(elements.map(|(lower, upper)| Self::new(self.leg, lower, upper)));
        }
        !all || self.first_missing(said).is_none()
    }
}

impl fmt::Debug for Placed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { leg, lower, upper, len } = self;
        write!(f, "{lower:#x}+{len:#x} of leg {leg} at {upper:#x}")
    }
}

/// Elements of a link of this leg: all, or the first ones, the last ones and one between.
pub(super) fn some_elements(leg: u32, link: &Link, limit: u64) -> Vec<Placed> {
    let (count, half) = (link.lower().count(), limit / 2);
    let middle = count / 2;
    let last = count.saturating_sub(half.max(1));
    let mut parts = vec![0..half.max(1), middle..middle.saturating_add(1), last..count];
    if count <= limit.max(2) {
        parts = core::iter::once(0..count).collect();
    }
    let parts = parts.into_iter().filter_map(|part| link.slice(part));
    let placed = |(lower, upper)| Placed::new(leg, lower, upper);
    parts.flat_map(|part| part.elements()).map(placed).collect()
}
