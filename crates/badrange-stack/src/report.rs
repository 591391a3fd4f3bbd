use badrange_core::{Cover, DeviceId, Extent, Granules, Outcome, Run};
use smallvec::SmallVec;

use crate::account::{States, are_plain, reached};

/// What became of a failure: one final state for every reported byte, and nothing else touched.
/// Everything is in the bytes of the device that the failure was reported on.
///
/// # Invariants
/// The runs of [`states`](Self::states) are disjoint and cover exactly what of the report lies on
/// the device, so that `handled + failed + remainder + outside == len` in bytes.
///
/// # Examples
/// See [`Stack`](crate::Stack).
#[derive(Debug, Clone)]
#[must_use = "the remainder was not handled by anybody"]
pub struct Report {
    pub(crate) asked: Extent,
    pub(crate) outside: Option<Extent>,
    pub(crate) states: States,
    pub(crate) fallback: SmallVec<[(DeviceId, Granules); 2]>,
    pub(crate) fell_back: Cover<()>,
    pub(crate) counts: Counts,
}

/// What an event cost.
///
/// # Examples
/// ```
/// assert_eq!(badrange_stack::Counts::default().notified, 0);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Ranges that holders were notified of.
    pub notified: u64,
    /// Runs that arrived at devices.
    pub arrived: u64,
    /// Calls of holders and fallbacks that panicked.
    pub panicked: u64,
    /// Runs that a mapping did not carry up because it broke its laws or said that it is broken.
    /// Their bytes count as not supported.
    pub broken: u64,
    /// Runs that were given up because a byte has more routes than
    /// [`Limits::routes`](crate::Limits::routes). Their bytes count as not supported.
    pub overrouted: u64,
    /// Bytes that the pages of all fallbacks hold beyond the bytes that fell back, from rounding.
    pub widened: u64,
    /// Whether a limit ended the event early; see [`Limits`](crate::Limits).
    pub cut_short: bool,
}

impl Report {
    /// Nothing has become of the bytes yet.
    pub(crate) fn new(asked: Extent, outside: Option<Extent>) -> Self {
        Self {
            asked,
            outside,
            states: States::new(),
            fallback: SmallVec::new(),
            fell_back: Cover::new(),
            counts: Counts::default(),
        }
    }

    /// What was reported.
    #[must_use]
    pub fn asked(&self) -> Extent {
        self.asked
    }

    /// Every byte's final state: disjoint runs, ordered by first byte. [`Outcome::Nothing`] where
    /// no holder answered.
    pub fn states(&self) -> &[(Run, Outcome)] {
        &self.states
    }

    /// What of the report lies past the end of the device.
    #[must_use]
    pub fn outside(&self) -> Option<Extent> {
        self.outside
    }

    /// The bytes that nobody handled, exactly. Those that a fallback was called for are among them:
    /// it has no answer.
    pub fn remainder(&self) -> impl Iterator<Item = Run> + '_ {
        self.states.iter().filter(|(_, state)| state.falls_back()).map(|(run, _)| *run)
    }

    /// What of the [`remainder`](Self::remainder) the fallback of some device was called for:
    /// disjoint, ascending.
    #[must_use]
    pub fn fell_back(&self) -> Vec<Run> {
        // Bytes that a holder further down handled may have fallen back above it.
        let mut marked: Cover<()> = Cover::new();
        let ran = self.fell_back.within(self.asked);
        let plain = are_plain(&ran);
        for run in self.remainder() {
            let ran = reached(&ran, plain, run.span()).iter();
            ran.flat_map(|ran| ran.overlaps(&run)).for_each(|part| marked.add(part, ()));
        }
        marked.within(self.asked)
    }

    /// The pages that fallbacks were called for, by device, the topmost device first: disjoint and
    /// ascending for each. Empty for a failure that is a removal.
    #[must_use]
    pub fn fallback(&self) -> &[(DeviceId, Granules)] {
        &self.fallback
    }

    /// Bytes reported.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a report is never empty")]
    pub fn len(&self) -> u64 {
        self.asked.len()
    }

    /// Bytes handled.
    #[must_use]
    pub fn handled_bytes(&self) -> u64 {
        self.sum(|state| state == Outcome::Handled)
    }

    /// Bytes for which a holder failed for good.
    #[must_use]
    pub fn failed_bytes(&self) -> u64 {
        self.sum(|state| matches!(state, Outcome::Failed(_)))
    }

    /// Bytes that nobody handled.
    #[must_use]
    pub fn remainder_bytes(&self) -> u64 {
        self.sum(Outcome::falls_back)
    }

    /// Bytes past the end of the device.
    #[must_use]
    pub fn outside_bytes(&self) -> u64 {
        self.outside.map_or(0, |outside| outside.len())
    }

    fn sum(&self, which: impl Fn(Outcome) -> bool) -> u64 {
        let lens = self.states.iter().filter(|(_, s)| which(*s)).map(|(run, _)| run.total_len());
        // NO-OVERFLOW: disjoint runs of a report whose length fits.
        lens.fold(0, u64::wrapping_add)
    }

    /// What the event cost.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Whether a limit ended the event before every holder was notified.
    #[must_use]
    pub fn cut_short(&self) -> bool {
        self.counts.cut_short
    }
}
