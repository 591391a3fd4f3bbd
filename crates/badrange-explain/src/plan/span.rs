use core::num::NonZeroU64;

use serde::Serialize;

/// Bytes of a device or a file: half-open, never empty.
///
/// # Examples
/// ```
/// use badrange_explain::plan::Span;
/// let span = Span { start: 512, len: 1024 };
/// assert_eq!(span.end(), 1536);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Span {
    /// First byte.
    pub start: u64,
    /// Bytes.
    pub len: u64,
}

impl Span {
    /// One past the last byte.
    #[must_use]
    pub const fn end(self) -> u64 {
        self.start.saturating_add(self.len)
    }

    pub(super) fn between(start: u64, end: u64) -> Option<Self> {
        end.checked_sub(start).filter(|len| *len > 0).map(|len| Self { start, len })
    }

    /// Rounded outward to multiples of `unit`; at the end of the scale as far as it goes.
    pub(super) fn round_out(self, unit: NonZeroU64) -> Self {
        let start = self.start.saturating_sub(self.start % unit);
        let end = self.end().checked_next_multiple_of(unit.get()).unwrap_or(u64::MAX);
        Self { start, len: end.saturating_sub(start) }
    }

    pub(super) fn intersect(self, other: Self) -> Option<Self> {
        Self::between(self.start.max(other.start), self.end().min(other.end()))
    }
}

/// The same bytes, disjoint and ascending; what touches is one.
pub(super) fn united(spans: impl IntoIterator<Item = Span>) -> Vec<Span> {
    let mut spans: Vec<Span> = spans.into_iter().collect();
    spans.sort_unstable();
    let mut all: Vec<Span> = Vec::new();
    for span in spans {
        match all.last_mut() {
            Some(last) if last.end() >= span.start => {
                last.len = last.end().max(span.end()).saturating_sub(last.start);
            }
            _ => all.push(span),
        }
    }
    all
}

/// What of `whole` is in none of `holes`, which are disjoint and ascending.
pub(super) fn without(whole: Span, holes: &[Span]) -> Vec<Span> {
    let mut at = whole.start;
    let mut rest = Vec::new();
    for hole in holes.iter().filter_map(|hole| hole.intersect(whole)) {
        rest.extend(Span::between(at, hole.start));
        at = hole.end();
    }
    rest.extend(Span::between(at, whole.end()));
    rest
}
