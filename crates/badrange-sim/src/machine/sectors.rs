//! The bad sectors that a driver knows: a kernel's table, or the exact set of the ranged design.

use core::ops::Range;

use badrange_core::{Extent, PhysAddr, Sector};
use badrange_pmem::{BadblocksTable, Bus};
use rangemap::RangeSet;

use crate::kernel::Quirks;

/// Sectors of one pmem device.
#[derive(Debug, Clone)]
pub(crate) enum BadSectors {
    /// KERNEL: `block/badblocks.c`, limits and mistakes included.
    Table(BadblocksTable),
    /// Without limits.
    Exact(RangeSet<u64>),
}

impl BadSectors {
    /// A list that was told of these sectors, in this order: (first, number).
    pub(crate) fn new(quirks: Quirks, known: &[(u64, u64)]) -> Self {
        let mut sectors = if quirks.works_around_holes() {
            Self::Exact(RangeSet::new())
        } else {
            Self::Table(BadblocksTable::new(quirks.badblocks()))
        };
        for (start, len) in known {
            sectors.set(Sector::new(*start), *len);
        }
        sectors
    }

    pub(crate) fn set(&mut self, start: Sector, len: u64) {
        match self {
            Self::Table(table) => {
                table.set(start, len, true);
            }
            Self::Exact(set) => {
                if let Some(range) = range(start, len) {
                    set.insert(range);
                }
            }
        }
    }

    pub(crate) fn clear(&mut self, start: Sector, len: u64) {
        match self {
            Self::Table(table) => {
                table.clear(start, len);
            }
            Self::Exact(set) => {
                if let Some(range) = range(start, len) {
                    set.remove(range);
                }
            }
        }
    }

    /// The first record that has one of these sectors, where it begins.
    pub(crate) fn first(&self, start: Sector, len: u64) -> Option<Sector> {
        match self {
            Self::Table(table) => table.check(start, len).first().map(|record| record.start()),
            Self::Exact(set) => {
                let found = set.overlapping(range(start, len)?).next();
                found.map(|bad| Sector::new(bad.start))
            }
        }
    }

    /// Which of these sectors are bad, ascending and apart.
    pub(crate) fn within(&self, start: Sector, len: u64) -> Vec<Range<u64>> {
        let Some(asked) = range(start, len) else { return Vec::new() };
        let clip = |bad: Range<u64>| bad.start.max(asked.start)..bad.end.min(asked.end);
        let rows = self.rows().into_iter().map(|(start, len)| start..start.saturating_add(len));
        let bad: RangeSet<u64> = match self {
            Self::Table(_) => rows.map(clip).filter(|part| !part.is_empty()).collect(),
            Self::Exact(set) => set.overlapping(asked.clone()).cloned().map(clip).collect(),
        };
        bad.into_iter().collect()
    }

    /// The records as sysfs prints them.
    pub(crate) fn rows(&self) -> Vec<(u64, u64)> {
        match self {
            Self::Table(table) => {
                table.records().map(|record| (record.start().get(), record.len())).collect()
            }
            Self::Exact(set) => {
                set.iter().map(|bad| (bad.start, bad.end.saturating_sub(bad.start))).collect()
            }
        }
    }

    /// KERNEL: `nvdimm_badblocks_populate()`: adds what the bus knows, never removes.
    pub(crate) fn populate(&mut self, bus: &Bus, target: Extent<PhysAddr>) {
        if let Self::Table(table) = self {
            return bus.populate(target, table);
        }
        for bad in bus.badrange().sectors(target) {
            self.set(bad.start(), bad.len());
        }
    }
}

fn range(start: Sector, len: u64) -> Option<Range<u64>> {
    let range = start.get()..start.get().saturating_add(len);
    (!range.is_empty()).then_some(range)
}
