//! Who "holds" bytes of which it is known what they are without looking further up.

use core::fmt;
use std::sync::Arc;

use badrange_core::{Corruption, DevOffset, Errno, Extent, Holder, Outcome, Run, Space};

use super::{
    Verdict,
    build::{Collector, Content},
};

/// A whole area of one use.
pub(super) struct AreaHolder {
    pub(super) verdict: Verdict,
    pub(super) collector: Arc<Collector>,
}

impl<S: Space> Holder<S> for AreaHolder {
    fn corrupted_range(&self, what: &Corruption<'_, S>) -> Outcome {
        self.collector.add(what, what.range(), Content::Plain(self.verdict));
        if self.verdict == Verdict::PmemMetadata {
            Outcome::Failed(Errno::ENXIO) // as the kernel rejects it
        } else {
            Outcome::Handled
        }
    }
}

impl fmt::Debug for AreaHolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AreaHolder({})", self.verdict)
    }
}

/// Many areas of one device: a thin pool can have millions.
pub(super) struct AreasHolder {
    /// Disjoint and ascending.
    pub(super) areas: Vec<(Extent<DevOffset>, Verdict)>,
    pub(super) collector: Arc<Collector>,
}

impl Holder for AreasHolder {
    fn corrupted_range(&self, what: &Corruption<'_>) -> Outcome {
        let run = what.range();
        let areas = u64::try_from(self.areas.len()).unwrap_or(u64::MAX);
        if run.count() < areas {
            run.elements().for_each(|element| self.tell(what, element.into(), element));
        } else {
            self.tell(what, run, run.span());
        }
        Outcome::Handled
    }
}

impl AreasHolder {
    /// Tells of every area that `run` has a part in, as far as it lies in `window`.
    fn tell(&self, what: &Corruption<'_>, run: Run<DevOffset>, window: Extent<DevOffset>) {
        let first = self.areas.partition_point(|(area, _)| area.end() <= window.start());
        for (area, verdict) in self.areas.iter().skip(first) {
            if area.start() >= window.end() {
                break;
            }
            for part in run.clip(*area) {
                self.collector.add(what, part, Content::Plain(*verdict));
            }
        }
    }
}

impl fmt::Debug for AreasHolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AreasHolder({} areas)", self.areas.len())
    }
}

/// The parity of an array on one of its members: every so many chunks one.
pub(super) struct ParityHolder {
    pub(super) parity: Vec<Run<DevOffset>>,
    pub(super) collector: Arc<Collector>,
}

impl Holder for ParityHolder {
    fn corrupted_range(&self, what: &Corruption<'_>) -> Outcome {
        for parity in &self.parity {
            for part in what.range().overlaps(parity) {
                self.collector.add(what, part, Content::Plain(Verdict::MdParity));
            }
        }
        Outcome::Handled
    }
}

impl fmt::Debug for ParityHolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ParityHolder({:?})", self.parity)
    }
}
