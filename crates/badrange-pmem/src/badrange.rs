use badrange_core::{Extent, PhysAddr, Sector, Window};

/// What a bus remembers of bad memory: ranges as they were reported, unsorted, possibly over one
/// another.
///
/// # Cost
/// One pass over the list per operation.
///
/// # Kernel
/// `struct badrange` of `drivers/nvdimm/badrange.c`. There, a split that finds no memory loses the
/// second half.
///
/// # Examples
/// ```
/// use badrange_core::{Extent, PhysAddr, Sector};
/// use badrange_pmem::Badrange;
/// let phys = |start, len| Extent::new(PhysAddr::new(start), len).unwrap();
/// let mut bad = Badrange::new();
/// bad.add(phys(0x1000, 0x200));
/// bad.add(phys(0x1000, 0x40)); // the same start: the length is replaced
/// bad.add(phys(0x1010, 0x400)); // another start: one more entry
/// assert_eq!(bad.entries(), [phys(0x1000, 0x40), phys(0x1010, 0x400)]);
/// // As sectors of something that begins at 0x800: outward.
/// let sectors = bad.sectors(phys(0x800, 0x10000));
/// assert_eq!(sectors[0], Extent::new(Sector::new(4), 1)?);
/// assert_eq!(sectors[1], Extent::new(Sector::new(4), 3)?);
/// # Ok::<(), badrange_core::RangeError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Badrange(Vec<Extent<PhysAddr>>);

impl Badrange {
    /// Nothing is bad.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Remembers a range. One that begins where a known one does replaces it, and may shrink it.
    ///
    /// # Kernel
    /// `badrange_add()`.
    pub fn add(&mut self, bad: Extent<PhysAddr>) {
        match self.0.iter_mut().find(|known| known.start() == bad.start()) {
            Some(known) => *known = bad,
            None => self.0.push(bad),
        }
    }

    /// Forgets what of the known ranges lies in this one. The second half of a split comes last.
    ///
    /// A range of more than one byte whose first byte is the last one forgotten is left as it is.
    /// Of a length only the lower 32 bits count.
    ///
    /// # Kernel
    /// `badrange_forget()`; its length is an `unsigned int`.
    pub fn forget(&mut self, good: Extent<PhysAddr>) {
        let len = good.len() & u64::from(u32::MAX);
        // A length of nothing splits what it lies in, as the kernel does, and forgets no byte.
        // NO-OVERFLOW: not beyond the end of the range.
        let end = good.start().get().wrapping_add(len);
        let mut tails = Vec::new();
        let mut kept = Vec::with_capacity(self.0.len());
        for bad in self.0.drain(..) {
            let (before, after) = remains(bad, good.start().get(), end);
            match (before, after) {
                (Some(before), Some(after)) => {
                    kept.push(before);
                    tails.push(after);
                }
                (one, other) => kept.extend(one.or(other)),
            }
        }
        kept.append(&mut tails);
        self.0 = kept;
    }

    /// The entries, in the order of the list.
    #[must_use]
    pub fn entries(&self) -> &[Extent<PhysAddr>] {
        &self.0
    }

    /// The bad sectors of something that lies at `target` in physical memory, counted from its
    /// start and rounded outward: one range per entry that touches it, in the order of the list.
    ///
    /// # Kernel
    /// `badblocks_populate()`.
    #[must_use]
    pub fn sectors(&self, target: Extent<PhysAddr>) -> Vec<Extent<Sector>> {
        let whole = Window::new(target.on_memory()).link();
        let inside = self.0.iter().flat_map(|bad| whole.clip_lower(bad.on_memory()));
        inside.map(|link| link.upper().span().containing_sectors()).collect()
    }
}

/// What is left of a known range: before and from `end` on.
fn remains(
    bad: Extent<PhysAddr>,
    start: u64,
    end: u64,
) -> (Option<Extent<PhysAddr>>, Option<Extent<PhysAddr>>) {
    let (first, after) = (bad.start().get(), bad.end().get());
    let apart = after <= start || end <= first;
    // KERNEL: asks whether the last byte lies beyond the first bad one.
    let only_first = start <= first && end.checked_sub(1) == Some(first) && bad.len() > 1;
    if apart || only_first {
        return (Some(bad), None);
    }
    (bad.split_at(PhysAddr::new(start)).0, bad.split_at(PhysAddr::new(end)).1)
}

#[cfg(test)]
mod tests;
