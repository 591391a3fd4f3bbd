//! A storm of single pages through four layers: as ranges, and page by page.

use std::sync::Arc;

use badrange_core::{Extent, MfFlags, PageSize, Pfn};
use badrange_fs::ReverseMap;
use badrange_stack::{Coalescer, PageStorm, QueueRecord};

use super::{
    Rows, Target,
    world::{Design, MEMORY, PAGE, World, files},
};
use crate::{Options, Pair};

/// In what order the pages of a storm come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Range by range, ascending.
    InOrder,
    /// One of each range in turn.
    RoundRobin,
    /// Any.
    Shuffled,
    /// As many pages of which no two lie together, in any order: nothing to coalesce.
    Isolated,
}

impl Order {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::InOrder, Self::RoundRobin, Self::Shuffled, Self::Isolated];

    /// As tables write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::InOrder => "in order",
            Self::RoundRobin => "round robin",
            Self::Shuffled => "shuffled",
            Self::Isolated => "isolated and shuffled",
        }
    }
}

impl Order {
    /// Room that a coalescer needs for these pages.
    #[must_use]
    pub const fn bound(self, pages: &[u64]) -> usize {
        match self {
            Self::InOrder | Self::RoundRobin | Self::Shuffled => Coalescer::BOUND,
            Self::Isolated => pages.len(),
        }
    }
}

/// Pages that are eight ranges, one below each leg of the stack.
#[derive(Debug, Clone, Copy)]
pub struct Storm {
    each: u64,
}

/// Bytes of a leg: the storm's ranges lie well inside.
const LEG: u64 = 200 << 30;

impl Storm {
    /// So many pages in all.
    #[must_use]
    pub fn of(pages: u64) -> Self {
        Self { each: pages / 8 }
    }

    fn first(range: u64) -> u64 {
        // Not at the beginning of a word, a chunk or a row.
        (MEMORY + range * LEG) / PAGE + 1_000_003 * (range + 1)
    }

    /// The pages in this order.
    #[must_use]
    pub fn pages(&self, order: Order) -> Vec<u64> {
        let mut rng = fastrand::Rng::with_seed(11);
        let mut pages: Vec<u64> = match order {
            Order::InOrder | Order::Shuffled => {
                let range = |range| (0..self.each).map(move |i| Self::first(range) + i);
                (0..8).flat_map(range).collect()
            }
            Order::RoundRobin => {
                (0..self.each).flat_map(|i| (0..8).map(move |r| Self::first(r) + i)).collect()
            }
            Order::Isolated => {
                let all = 8 * LEG / PAGE;
                let step = all / (8 * self.each);
                let page = |i: u64| MEMORY / PAGE + i * step + rng.u64(0..step - 1);
                (0..8 * self.each).map(page).collect()
            }
        };
        if matches!(order, Order::Shuffled | Order::Isolated) {
            rng.shuffle(&mut pages);
        }
        pages
    }
}

/// Page by page, as they come.
fn page_by_page(world: &World, pages: &[u64]) {
    for page in pages {
        let bytes = Extent::new(Pfn::new(*page), 1).and_then(|page| page.bytes(PageSize::K4));
        let _ = world.fail_memory(bytes.expect("far from 2^64"));
    }
}

/// The first at once; the rest come in while it is being worked on. Returns how many events it
/// took.
fn as_a_storm(world: &World, storm: &PageStorm, pages: &[u64]) -> usize {
    let mut events = 0;
    let Some((first, rest)) = pages.split_first() else { return 0 };
    let _ = storm.report(Pfn::new(*first), &mut |record| {
        if let QueueRecord::Failed { failure, .. } = record {
            let _ = world.stack.report(failure).expect("the memory stays");
        }
        if events == 0 {
            for page in rest {
                let _ = storm.report(Pfn::new(*page), &mut |_| {});
            }
        }
        events += 1;
    });
    events
}

/// Measures storms.
///
/// # Errors
/// Owners that were told of different bytes.
pub fn run(options: &Options, rows: &mut Rows) -> Result<(), String> {
    let (storm, extents) =
        if options.quick { (Storm::of(1000), 10_000) } else { (Storm::of(1_000_000), 10_000_000) };
    let map: Arc<ReverseMap> = Arc::new(files(8 * LEG, extents, 5).into_iter().collect());
    let world = World::new(LEG, map, Design::Runs)?;
    for order in Order::ALL {
        let pages = storm.pages(order);
        let (bound, memory) = (order.bound(&pages), world.memory);
        let waiting = PageStorm::with_bound(bound, memory, PageSize::K4, MfFlags::NONE);
        page_by_page(&world, &pages);
        let (calls, bytes) = world.told.take();
        let events = as_a_storm(&world, &waiting, &pages);
        let (fewer, same) = world.told.take();
        if bytes != same {
            return Err(format!("pages {}: {bytes} bytes told, {same} as a storm", order.name()));
        }
        let (name, target) = match order {
            Order::InOrder => ("in order", 20.0),
            Order::RoundRobin => ("round robin", 20.0),
            Order::Shuffled => ("shuffled", 40.0),
            Order::Isolated => ("isolated", 3.0),
        };
        let pair = Pair::measure(
            options.rounds.min(5),
            || {
                let _ = core::hint::black_box(as_a_storm(&world, &waiting, &pages));
            },
            || page_by_page(&world, &pages),
        );
        let _ = world.told.take();
        let what = format!(
            "storm of {} pages {name} through four layers: {events} events, {fewer} calls of owners; \
             page by page: {} and {calls}",
            pages.len(),
            pages.len(),
        );
        rows.pair(&what, &pair, pages.len(), Target::Faster(target));
    }
    Ok(())
}
