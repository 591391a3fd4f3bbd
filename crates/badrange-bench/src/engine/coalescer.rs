//! Single pages into ranges: the coalescer beside an interval set and beside sorting.

use core::hint::black_box;

use badrange_core::{DeviceId, MfFlags, PageSize, Pfn};
use badrange_stack::{Coalescer, QueueRecord};
use rangemap::RangeSet;

use super::{
    Rows, Target,
    storm::{Order, Storm},
};
use crate::{Options, Pair};

/// Ranges of page numbers, ascending.
type Ranges = Vec<(u64, u64)>;

/// A coalescer with room for pages in this order.
#[must_use]
pub fn coalescer(order: Order, pages: &[u64]) -> Coalescer {
    let memory = DeviceId::new(0, 0, 1); // no stack is asked
    Coalescer::with_bound(order.bound(pages), memory, PageSize::K4, MfFlags::NONE)
}

/// Puts the pages in and takes the ranges out. The coalescer is used again and again, as storms do.
pub fn coalesced(coalescer: &mut Coalescer, pages: &[u64]) -> Ranges {
    for page in pages {
        let _ = coalescer.insert(Pfn::new(*page));
    }
    let range = |record| match record {
        QueueRecord::Failed { failure, .. } => {
            let pages = failure.range.phys().containing_pages(PageSize::K4);
            Some((pages.start().get(), pages.end().get()))
        }
        QueueRecord::Lost { .. } | QueueRecord::LostAnywhere { .. } => None,
    };
    coalescer.drain().filter_map(range).collect()
}

fn interval_set(pages: &[u64]) -> Ranges {
    let mut set = RangeSet::new();
    pages.iter().for_each(|page| set.insert(*page..*page + 1));
    set.iter().map(|range| (range.start, range.end)).collect()
}

fn sorted(pages: &[u64]) -> Ranges {
    let mut all = pages.to_vec();
    all.sort_unstable();
    let mut ranges = Ranges::new();
    for page in all {
        match ranges.last_mut() {
            Some((_, end)) if *end >= page => *end = page + 1,
            Some(_) | None => ranges.push((page, page + 1)),
        }
    }
    ranges
}

/// Measures the coalescer.
///
/// # Errors
/// Ranges that differ.
pub fn run(options: &Options, rows: &mut Rows) -> Result<(), String> {
    let storm = if options.quick { Storm::of(1000) } else { Storm::of(1_000_000) };
    for order in Order::ALL {
        let pages = storm.pages(order);
        let mut coalescer = coalescer(order, &pages);
        let (ours, set) = (coalesced(&mut coalescer, &pages), interval_set(&pages));
        if ours != set || ours != sorted(&pages) {
            return Err(format!("coalescers differ on pages {}", order.name()));
        }
        let target = match order {
            Order::InOrder | Order::RoundRobin => Target::Faster(10.0),
            Order::Shuffled => Target::Faster(100.0),
            Order::Isolated => Target::None,
        };
        let name = order.name();
        let mut put = || drop(black_box(coalesced(&mut coalescer, &pages)));
        let pair = Pair::measure(options.rounds, &mut put, || {
            drop(black_box(interval_set(&pages)));
        });
        rows.pair(
            &format!("coalescer, pages {name}; rangemap::RangeSet"),
            &pair,
            pages.len(),
            target,
        );
        let pair = Pair::measure(options.rounds, &mut put, || drop(black_box(sorted(&pages))));
        rows.pair(
            &format!("coalescer, pages {name}; sorting them"),
            &pair,
            pages.len(),
            Target::None,
        );
    }
    Ok(())
}
