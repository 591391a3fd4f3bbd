use core::ops::ControlFlow;

use badrange_core::{DevOffset, Extent, Leg, Mapped, Mapping, PAGE_SIZE, Pfn, PhysAddr};

use super::Interleave;
use crate::math::gcd;

/// What a host sees when a decoder is torn down under it: every access returns poison, and every
/// access is an event of its own, page by page.
///
/// A source of events to put queues and handlers under load with. Each item is one page in which
/// an access fails; the storm is over when every such page has failed once. Nothing is stored per
/// page.
///
/// # Kernel
/// Poison on decode error. Each page is a machine check and a `memory_failure()`; the kernel queues
/// 16 per processor and drops the rest.
///
/// # Examples
/// ```
/// use badrange_block::interleave::{DecodeStorm, Granularity, Interleave};
/// use badrange_core::{DevOffset, Extent, Leg, Pfn, PhysAddr};
/// let hpa = Extent::new(PhysAddr::new(0), 64 << 10)?;
/// let region = Interleave::new(hpa, Granularity::new(8192)?, &[DevOffset::new(0); 2])?;
/// assert_eq!(DecodeStorm::of_region(&region).count(), 16);
/// // One device of two, granules of two pages: half of the pages, two and two.
/// let pages: Vec<_> = DecodeStorm::of_leg(&region, Leg::new(1)).map(Pfn::get).collect();
/// assert_eq!(pages, [2, 3, 6, 7, 10, 11, 14, 15]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct DecodeStorm<'r> {
    region: &'r Interleave,
    leg: Option<Leg>,
    pages: Extent<Pfn>,
    /// Step from access to access, coprime to the number of pages.
    step: u64,
    /// The page that is accessed next, counted from the first.
    at: u64,
    /// Accesses still to come.
    left: u64,
}

impl<'r> DecodeStorm<'r> {
    /// The decode of the whole region is gone.
    #[must_use]
    pub fn of_region(region: &'r Interleave) -> Self {
        let pages = region.hpa().containing_pages();
        Self { region, leg: None, pages, step: 1, at: 0, left: pages.len() }
    }

    /// One device is gone: the pages that have bytes on it.
    #[must_use]
    pub fn of_leg(region: &'r Interleave, leg: Leg) -> Self {
        Self { leg: Some(leg), ..Self::of_region(region) }
    }

    /// The same pages in another order, as scattered accesses find them: every page still once.
    #[must_use]
    pub fn scattered(self, seed: u64) -> Self {
        let pages = self.pages.len();
        // About the golden ratio of all pages: neighbours in time are far apart in memory.
        let golden = u128::from(pages).saturating_mul(0x9e37_79b9_7f4a_7c15) >> 64;
        let near = u64::try_from(golden).unwrap_or(1);
        let step = (near..pages).find(|step| gcd(*step, pages) == 1).unwrap_or(1);
        Self { step, at: seed.checked_rem(pages).unwrap_or(0), ..self }
    }

    fn is_hit(&self, page: Pfn) -> bool {
        let Some(leg) = self.leg else { return true };
        let bytes = page.phys().and_then(|at| Extent::new(at, PAGE_SIZE).ok());
        let inside = bytes.and_then(|bytes: Extent<PhysAddr>| bytes.intersect(self.region.hpa()));
        let Some(part) = inside.and_then(|part| self.region.offset(part)) else { return false };
        let on_leg = |part: Mapped<DevOffset, DevOffset>| match part {
            Mapped::To { leg: on, .. } if on == leg => ControlFlow::Break(()),
            Mapped::To { .. } | Mapped::Hole { .. } => ControlFlow::Continue(()),
        };
        self.region.map(part, &mut { on_leg }).is_break()
    }
}

impl Iterator for DecodeStorm<'_> {
    type Item = Pfn;

    fn next(&mut self) -> Option<Pfn> {
        while self.left > 0 {
            // NO-OVERFLOW: just tested.
            self.left = self.left.wrapping_sub(1);
            let page = self.pages.start().get().checked_add(self.at).map(Pfn::new);
            // NO-OVERFLOW: a page frame number has 52 bits, so twice as much fits.
            let next = self.at.wrapping_add(self.step);
            self.at = next.checked_rem(self.pages.len()).unwrap_or(0);
            if let Some(page) = page.filter(|page| self.is_hit(*page)) {
                return Some(page);
            }
        }
        None
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let most = usize::try_from(self.left).ok();
        (if self.leg.is_none() { most.unwrap_or(usize::MAX) } else { 0 }, most)
    }
}
