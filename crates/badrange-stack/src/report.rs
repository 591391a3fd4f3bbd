use badrange_core::{Errno, Outcome, Pfn, ReportOffset, Run};

use crate::account::{Pages, States};

/// The one final state of a byte of a report.
///
/// # Examples
/// ```
/// use badrange_stack::State;
/// assert!(State::NotSupported.falls_back() && State::Unreached.falls_back());
/// assert!(!State::Handled.falls_back());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Some holder handled it and none objected.
    Handled,
    /// Some holder failed for good, and none asked for the fallback.
    Failed(Errno),
    /// Some holder asked for the fallback.
    NotSupported,
    /// No holder was there.
    Unreached,
}

impl State {
    pub(crate) fn of(outcome: Option<Outcome>) -> Self {
        match outcome {
            None | Some(Outcome::Nothing) => Self::Unreached,
            Some(Outcome::Handled) => Self::Handled,
            Some(Outcome::Failed(errno)) => Self::Failed(errno),
            Some(Outcome::NotSupported) => Self::NotSupported,
        }
    }

    /// Whether the byte belongs to the remainder.
    #[must_use]
    pub const fn falls_back(self) -> bool {
        matches!(self, Self::NotSupported | Self::Unreached)
    }
}

/// What became of a failure: one final state for every reported byte, and nothing else touched.
///
/// # Invariants
/// The runs of [`states`](Self::states) are disjoint and cover the report exactly, so that
/// `handled + failed + remainder == len` in bytes.
///
/// # Examples
/// See [`Stack`](crate::Stack).
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "the remainder was not handled by anybody"]
pub struct Report {
    pub(crate) len: u64,
    pub(crate) states: States,
    pub(crate) fallback: Pages,
    pub(crate) counts: Counts,
}

/// What an event cost.
///
/// # Examples
/// ```
/// assert_eq!(badrange_stack::Counts::default().told, 0);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Calls of holders.
    pub told: u64,
    /// Pieces that arrived at devices.
    pub arrived: u64,
    /// Holders that panicked.
    pub panicked: u64,
    /// Bytes that the fallback's pages hold beyond the remainder, from rounding to pages.
    pub widened: u64,
    /// Whether a limit ended the event early; see [`Limits`](crate::Limits).
    pub cut_short: bool,
}

impl Report {
    /// Nothing has become of the bytes yet.
    pub(crate) fn new(len: u64) -> Self {
        Self { len, states: States::new(), fallback: Pages::new(), counts: Counts::default() }
    }

    /// Bytes reported.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a report is never empty")]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Every byte's final state: disjoint runs of report bytes, ordered by first byte.
    #[must_use]
    pub fn states(&self) -> &[(Run<ReportOffset>, State)] {
        &self.states
    }

    /// The bytes that nobody handled, exactly.
    pub fn remainder(&self) -> impl Iterator<Item = Run<ReportOffset>> + '_ {
        self.states.iter().filter(|(_, s)| s.falls_back()).map(|(run, _)| *run)
    }

    /// The pages that the fallback ran on: disjoint, ascending. Empty for a failure that was not
    /// reported in physical memory, and for one that is a removal.
    #[must_use]
    pub fn fallback_pages(&self) -> &[Run<Pfn>] {
        &self.fallback
    }

    /// Bytes handled.
    #[must_use]
    pub fn handled_bytes(&self) -> u64 {
        self.sum(|s| s == State::Handled)
    }

    /// Bytes for which a holder failed for good.
    #[must_use]
    pub fn failed_bytes(&self) -> u64 {
        self.sum(|s| matches!(s, State::Failed(_)))
    }

    /// Bytes that nobody handled.
    #[must_use]
    pub fn remainder_bytes(&self) -> u64 {
        self.sum(State::falls_back)
    }

    fn sum(&self, which: impl Fn(State) -> bool) -> u64 {
        let lens = self.states.iter().filter(|(_, s)| which(*s)).map(|(run, _)| run.total_len());
        // NO-OVERFLOW: disjoint runs of a report whose length fits.
        lens.fold(0, u64::wrapping_add)
    }

    /// What the event cost.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Whether a limit ended the event before every holder was told.
    #[must_use]
    pub fn cut_short(&self) -> bool {
        self.counts.cut_short
    }
}
