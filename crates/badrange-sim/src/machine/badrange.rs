//! KERNEL: `drivers/nvdimm/badrange.c`: what the bus remembers of bad memory.

// NO-OVERFLOW: saturation is a cap where it can happen: memory ends with 64 bits.

use badrange_core::SECTOR_SIZE;

/// Bad ranges of physical memory, unsorted, as they were reported: (first byte, bytes).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Badrange(Vec<(u64, u64)>);

impl Badrange {
    /// A range that begins where a known one does replaces it, and may shrink it.
    pub(crate) fn add(&mut self, start: u64, len: u64) {
        match self.0.iter_mut().find(|range| range.0 == start) {
            Some(range) => range.1 = len,
            None => self.0.push((start, len)),
        }
    }

    /// Forgets the parts of all ranges that lie in this one.
    pub(crate) fn forget(&mut self, start: u64, len: u64) {
        let end = start.saturating_add(len);
        let mut tails = Vec::new();
        for range in &mut self.0 {
            let (from, to) = (range.0, range.0.saturating_add(range.1));
            // KERNEL: a clear that ends on the first byte of a longer range changes nothing.
            let last_on_first = end.checked_sub(1) == Some(from) && range.1 > 1;
            if to <= start || end <= from || last_on_first {
                continue;
            }
            *range = (from, start.saturating_sub(from));
            if end < to {
                tails.push((end, to.saturating_sub(end)));
            }
        }
        self.0.append(&mut tails);
        self.0.retain(|range| range.1 > 0);
    }

    /// The sectors of `[base, base + size)` that are bad, counted from `base` and rounded outward.
    ///
    /// KERNEL: `nvdimm_badblocks_populate()`.
    pub(crate) fn sectors(&self, base: u64, size: u64) -> Vec<(u64, u64)> {
        let limit = base.saturating_add(size);
        let clip = |(start, len): &(u64, u64)| {
            let (from, to) = ((*start).max(base), start.saturating_add(*len).min(limit));
            let first = from.checked_sub(base)? / SECTOR_SIZE;
            let last = to.checked_sub(base)?.div_ceil(SECTOR_SIZE);
            let count = last.checked_sub(first)?;
            (from < to).then_some((first, count))
        };
        self.0.iter().filter_map(clip).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_start_replaces_and_others_are_added() {
        let mut bad = Badrange::default();
        bad.add(4096, 512);
        bad.add(4096, 64);
        bad.add(4100, 64);
        assert_eq!(bad, Badrange(vec![(4096, 64), (4100, 64)]));
    }

    #[test]
    fn forgetting_trims_splits_and_drops() {
        let forget = |start, len| {
            let mut bad = Badrange(vec![(1000, 100)]);
            bad.forget(start, len);
            bad.0
        };
        assert_eq!(forget(900, 100), [(1000, 100)]);
        assert_eq!(forget(900, 101), [(1000, 100)]); // its last byte is the first bad one
        assert_eq!(forget(900, 102), [(1002, 98)]);
        assert_eq!(forget(1040, 20), [(1000, 40), (1060, 40)]);
        assert_eq!(forget(1099, 1), [(1000, 99)]);
        assert_eq!(forget(1100, 10), [(1000, 100)]);
        assert_eq!(forget(1000, 100), []);
    }

    #[test]
    fn sectors_are_clipped_and_rounded_outward() {
        let bad = Badrange(vec![(0x100a_1b240, 64), (0x0fff_ff00, 0x200)]);
        assert_eq!(bad.sectors(0x1000_0000, 0x1000), [(0, 1)]);
        assert_eq!(bad.sectors(0x1_00a0_0000, 0x2000_0000), [(217, 1)]);
    }
}
