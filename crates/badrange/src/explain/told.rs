//! What was told already: an event that several layers report is one event.

use core::time::Duration;
use std::collections::BTreeMap;

use badrange_core::Leg;
use badrange_input::Topology;
use rangemap::RangeMap;

use super::{
    Explainer, Query,
    ground::{Space, bottom},
};

/// Bytes at the bottom of a stack that queries named, each with when it was named last.
///
/// The kernel reports a bad sector of a disk, and then often once more for each device above that
/// passed the error on. Such a report has nothing new when the disk's own was told before.
///
/// # Examples
/// ```
/// use core::time::Duration;
/// use badrange::explain::{Explainer, Told};
/// use badrange_input::{MemoryFiles, Topology};
/// let text = "schema = \"badrange.stack/1\"\n[[disk]]\nname = \"sda\"\nsectors = 64\n\
///     [[partition]]\nname = \"sda1\"\non = \"sda\"\nstart = 8\nsectors = 32\n";
/// let stack = Explainer::new(Topology::load("stack.toml", text, &MemoryFiles::new())?)?;
/// let query = |at: &str| stack.locate(at).map(|mut queries| queries.remove(0));
/// let (now, always) = (Duration::ZERO, |_: Duration| true);
/// let mut told = Told::new();
/// assert!(told.take(&stack, &query("sda:20+4")?, now, always));
/// assert!(!told.take(&stack, &query("sda1:12+4")?, now, always), "the same sectors");
/// assert!(told.take(&stack, &query("sda1:13+4")?, now, always), "one more");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Told {
    named: BTreeMap<Space, RangeMap<u64, Duration>>,
}

impl Told {
    /// Nothing was told yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { named: BTreeMap::new() }
    }

    /// Notes a query as told at `now`, unless it has nothing new: it is of a device that lies on
    /// others, and all its bytes at the bottom were named at times that are `recent`. What an array
    /// could not read is more than what one of its members could not, and always new.
    ///
    /// Costs a walk down the stack, once per part that the bytes fall into at the bottom.
    ///
    /// # Examples
    /// See [`Told`].
    pub fn take(
        &mut self,
        stack: &Explainer,
        query: &Query,
        now: Duration,
        recent: impl Fn(Duration) -> bool,
    ) -> bool {
        let topology = stack.topology();
        let (own, start, end) = Space::part(query);
        let below = bottom(topology, own, start, end);
        let is_above =
            below.iter().all(|(space, ..)| *space != own) && !has_array_below(topology, own);
        let known = |(space, start, end): &(Space, u64, u64)| {
            self.named.get(space).is_some_and(|map| {
                let range = *start..*end;
                map.gaps(&range).next().is_none()
                    && map.overlapping(&range).all(|(_, at)| recent(*at))
            })
        };
        if is_above && below.iter().all(known) {
            return false;
        }
        for (space, start, end) in below.into_iter().filter(|(_, start, end)| start < end) {
            self.named.entry(space).or_default().insert(start..end, now);
        }
        true
    }

    /// How many ranges are remembered; those that touch and were named at one time are one.
    ///
    /// # Examples
    /// ```
    /// assert_eq!(badrange::explain::Told::new().ranges(), 0);
    /// ```
    #[must_use]
    pub fn ranges(&self) -> usize {
        self.named.values().map(RangeMap::len).sum()
    }
}

/// Whether a device lies on an array that could have had its bytes elsewhere.
fn has_array_below(topology: &Topology, space: Space) -> bool {
    let Space::Device(place) = space else { return false };
    let Some(device) = topology.devices().get(place) else { return false };
    let legs = (0_u32..).map(Leg::new).zip(device.layer.legs());
    legs.into_iter().any(|(leg, on)| {
        device.layer.array_of(leg).is_some_and(|(array, _)| array.is_redundant())
            || has_array_below(topology, Space::Device(*on))
    })
}
