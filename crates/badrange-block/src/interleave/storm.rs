use core::ops::ControlFlow;

use badrange_core::{Extent, Leg, Mapped, Mapping, PageSize, Pfn, PhysAddr, Space, Stop};

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
/// use badrange_core::{DevOffset, Extent, Leg, PageSize, Pfn, PhysAddr};
/// let hpa = Extent::new(PhysAddr::new(0), 64 << 10)?;
/// let region = Interleave::new(hpa, Granularity::new(8192)?, &[DevOffset::new(0); 2])?;
/// assert_eq!(DecodeStorm::of_region(&region, PageSize::K4).count(), 16);
/// // One device of two, granules of two pages: half of the pages, two and two.
/// let storm = DecodeStorm::of_leg(&region, Leg::new(1), PageSize::K4);
/// let pages: Vec<_> = storm.map(Pfn::get).collect();
/// assert_eq!(pages, [2, 3, 6, 7, 10, 11, 14, 15]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct DecodeStorm<'r> {
    region: &'r Interleave,
    leg: Option<Leg>,
    page: PageSize,
    pages: Extent<Pfn>,
    /// Step from access to access, coprime to the number of pages.
    step: u64,
    /// The page that is accessed next, counted from the first.
    at: u64,
    /// Accesses still to come.
    left: u64,
}

impl<'r> DecodeStorm<'r> {
    /// The decode of the whole region is gone, on a host with pages of this size.
    #[must_use]
    pub fn of_region(region: &'r Interleave, page: PageSize) -> Self {
        let pages = region.hpa().containing_pages(page);
        Self { region, leg: None, page, pages, step: 1, at: 0, left: pages.len() }
    }

    /// One device is gone: the pages that have bytes on it.
    #[must_use]
    pub fn of_leg(region: &'r Interleave, leg: Leg, page: PageSize) -> Self {
        Self { leg: Some(leg), ..Self::of_region(region, page) }
    }

    /// The same pages in another order, as scattered accesses find them: every page still once.
    #[must_use]
    pub fn scattered(self, seed: u64) -> Self {
        let pages = self.pages.len();
        // About the golden ratio of all pages: neighbours in time are far apart in memory.
        let golden = u128::from(pages).saturating_mul(0x9e37_79b9_7f4a_7c15) >> 64;
        let near = u64::try_from(golden).unwrap_or(1); // less than the number of pages
        let step = (near..pages).find(|step| gcd(*step, pages) == 1).unwrap_or(1);
        Self { step, at: seed % self.pages.len_nonzero(), ..self }
    }

    fn is_hit(&self, page: Pfn) -> bool {
        let Some(leg) = self.leg else { return true };
        let inside = self.inside(page).and_then(|part| self.region.offset(part));
        debug_assert!(inside.is_some(), "every page has bytes of the region");
        inside.is_some_and(|part| {
            let flow = self.region.map(part, &mut |part| match part {
                Mapped::To { leg: on, .. } if on == leg => ControlFlow::Break(Stop::Enough),
                Mapped::To { .. } | Mapped::Hole(..) | Mapped::Own(_) => ControlFlow::Continue(()),
            });
            flow == ControlFlow::Break(Stop::Enough)
        })
    }

    /// The bytes of the region in a page, which may end where 64 bits do.
    fn inside(&self, page: Pfn) -> Option<Extent<PhysAddr>> {
        let at = page.phys(self.page)?;
        let from = self.region.hpa().split_at(at).1?;
        match at.checked_add(self.page.bytes()) {
            Some(end) => from.split_at(end).0,
            None => Some(from),
        }
    }
}

impl Iterator for DecodeStorm<'_> {
    type Item = Pfn;

    fn next(&mut self) -> Option<Pfn> {
        while self.left > 0 {
            // NO-OVERFLOW: just tested.
            self.left = self.left.wrapping_sub(1);
            let page = self.pages.start().get().checked_add(self.at).map(Pfn::new);
            // NO-OVERFLOW: a page frame number has at most 55 bits, so twice as much fits.
            let next = self.at.wrapping_add(self.step);
            self.at = next % self.pages.len_nonzero();
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
