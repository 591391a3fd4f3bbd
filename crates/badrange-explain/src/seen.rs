//! What was seen already: an event that several layers report is one event.

use core::time::Duration;
use std::collections::BTreeMap;

use badrange_core::{DeviceId, Extent, Leg};
use badrange_input::Topology;
use rangemap::RangeMap;

use crate::{Explainer, Query, QueryTarget, ground::bottom};

/// Bytes at the bottom of a stack that queries named, each with when it was named last.
///
/// The kernel reports a bad sector of a disk, and then often once more for each device above that
/// passed the error on. Such a report has nothing new when the disk's own was seen before.
///
/// # Examples
/// ```
/// use core::time::Duration;
/// use badrange_explain::{Explainer, Seen};
/// use badrange_input::{MemoryFiles, Topology};
/// let text = "schema = \"badrange.stack/1\"\n[[disk]]\nname = \"sda\"\nsectors = 64\n\
///     [[partition]]\nname = \"sda1\"\non = \"sda\"\nstart = 8\nsectors = 32\n";
/// let stack = Explainer::new(Topology::load("stack.toml", text, &MemoryFiles::new())?)?;
/// let query = |at: &str| stack.locate(at).map(|mut queries| queries.remove(0));
/// let (now, always) = (Duration::ZERO, |_: Duration| true);
/// let mut seen = Seen::new();
/// assert!(seen.take(&stack, &query("sda:20+4")?, now, always));
/// assert!(!seen.take(&stack, &query("sda1:12+4")?, now, always), "the same sectors");
/// assert!(seen.take(&stack, &query("sda1:13+4")?, now, always), "one more");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Seen {
    named: BTreeMap<DeviceId, RangeMap<u64, Duration>>,
}

impl Seen {
    /// Nothing was seen yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { named: BTreeMap::new() }
    }

    /// Notes a query as seen at `now`, unless it has nothing new: it is of a device that lies on
    /// others, and all its bytes at the bottom were named at times that are `recent`. What an array
    /// could not read is more than what one of its members could not, and always new.
    ///
    /// Costs a walk down the stack, once per part that the bytes fall into at the bottom.
    ///
    /// # Examples
    /// See [`Seen`].
    pub fn take(
        &mut self,
        stack: &Explainer,
        query: &Query,
        now: Duration,
        recent: impl Fn(Duration) -> bool,
    ) -> bool {
        let asked = stack.asked(query);
        let mut below: Vec<(DeviceId, Extent)> = Vec::new();
        let mut is_above = !has_array_below(stack.topology(), query);
        for asked in &asked {
            let lowest = bottom(stack, asked.device, asked.bytes);
            is_above &= lowest.iter().all(|(device, _)| *device != asked.device);
            below.extend(lowest);
        }
        let known = |(device, bytes): &(DeviceId, Extent)| {
            self.named.get(device).is_some_and(|map| {
                let range = bytes.start().get()..bytes.end().get();
                map.gaps(&range).next().is_none()
                    && map.overlapping(&range).all(|(_, at)| recent(*at))
            })
        };
        // What is on no device of the stack was seen nowhere.
        if is_above && !below.is_empty() && below.iter().all(known) {
            return false;
        }
        for (device, bytes) in below {
            let range = bytes.start().get()..bytes.end().get();
            self.named.entry(device).or_default().insert(range, now);
        }
        true
    }

    /// How many ranges are remembered; those that touch and were named at one time are one.
    ///
    /// # Examples
    /// ```
    /// assert_eq!(badrange_explain::Seen::new().ranges(), 0);
    /// ```
    #[must_use]
    pub fn ranges(&self) -> usize {
        self.named.values().map(RangeMap::len).sum()
    }
}

/// Whether a query is of a device on an array that could have its bytes elsewhere.
fn has_array_below(topology: &Topology, query: &Query) -> bool {
    match query.target {
        QueryTarget::Device { place, .. } => lies_on_array(topology, place),
        QueryTarget::Memory(_) => false,
    }
}

fn lies_on_array(topology: &Topology, place: usize) -> bool {
    let Some(device) = topology.devices().get(place) else { return false };
    let legs = (0_u32..).map(Leg::new).zip(device.layer.legs());
    legs.into_iter().any(|(leg, on)| {
        device.layer.array_of(leg).is_some_and(|(array, _)| array.is_redundant())
            || lies_on_array(topology, *on)
    })
}
