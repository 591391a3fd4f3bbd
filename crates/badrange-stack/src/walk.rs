//! The one walk: from a device up to everybody above, run by run.
//!
//! Dispatch is this walk plus calls; whoever asks a snapshot for what is above gets the same walk.

use core::{
    cell::{Cell, RefCell},
    ops::ControlFlow,
};
use std::collections::{BTreeMap, HashMap};

use badrange_core::{Flow, Hop, Leg, Link, Run, Stop};
use smallvec::SmallVec;

use crate::{
    Limits,
    table::{Above, Entry, HolderSlot},
    topology::{Device, Topology},
};

/// A device on the way of some bytes, with the devices before it.
#[derive(Clone, Copy)]
pub(crate) struct Frame<'f> {
    pub(crate) device: &'f Device,
    /// The bytes where they were asked about, as the lower side, and on this device.
    pub(crate) link: &'f Link,
    pub(crate) before: Option<&'f Self>,
    /// Devices before this one.
    pub(crate) depth: usize,
}

impl<'f> Frame<'f> {
    /// This device and those before it, the last one first.
    pub(crate) fn way(&'f self) -> impl Iterator<Item = &'f Self> {
        core::iter::successors(Some(self), |frame| frame.before)
    }

    /// The way that a part of the bytes here took, from where they were asked about on. A part of
    /// several elements whose bytes lie apart on the way took several: one after the other.
    pub(crate) fn trail(&self, part: Run, sink: &mut dyn FnMut(Hop)) {
        let mut frames: SmallVec<[&Frame<'_>; 8]> = self.way().collect();
        frames.reverse();
        if let Some(hops) = self.hops(part, &frames) {
            return hops.into_iter().for_each(sink);
        }
        for element in part.overlaps(&self.link.upper()) {
            let hops = self.hops(element, &frames);
            debug_assert!(hops.is_some(), "bytes above stem from the bytes below them");
            hops.into_iter().flatten().for_each(&mut *sink);
        }
    }

    /// Where a part of the bytes here is on each device; `None` when it is no run on one of them.
    fn hops(&self, part: Run, frames: &[&Frame<'_>]) -> Option<SmallVec<[Hop; 8]>> {
        let asked = self.link.of_upper(part)?.lower();
        let hop = |frame: &&Frame<'_>| {
            Some(Hop { device: frame.device.id, at: frame.link.of_lower(asked)?.upper() })
        };
        frames.iter().map(hop).collect()
    }
}

/// Why bytes were not followed any further: whoever is above them is not known.
///
/// # Examples
/// ```
/// use badrange_stack::Unfollowed;
/// let why = Unfollowed::Broken("a chunk lies outside its leg");
/// assert_eq!(why.to_string(), "the mapping broke its laws: a chunk lies outside its leg");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Unfollowed {
    /// A mapping broke its laws, or said itself that it is broken.
    Broken(&'static str),
    /// A byte has more routes than [`Limits::routes`].
    Routes,
    /// The walk used up its [`Limits::pieces`]: nobody knows who else is above its bytes.
    Pieces,
}

impl core::fmt::Display for Unfollowed {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Broken(why) => write!(f, "the mapping broke its laws: {why}"),
            Self::Routes => f.write_str("the bytes have too many routes"),
            Self::Pieces => f.write_str("the bytes fall into too many pieces"),
        }
    }
}

/// Who looks on while a walk goes up. What is visited is in a fixed order: the entries of a device by
/// (start, age), depth first; of one entry the parts of a run in ascending order.
pub(crate) trait Walker {
    /// Bytes arrived at a device.
    fn arrived(&self, at: &Frame<'_>) -> Flow;

    /// A holder is registered on these parts, each asked-about bytes and bytes here.
    fn registered(&self, on: &Frame<'_>, slot: &HolderSlot, parts: &[Link]) -> Flow;

    /// These bytes, which are on the device of the frame, were not followed into the device above.
    fn unfollowed(&self, on: &Frame<'_>, part: &Link, why: Unfollowed) -> Flow;
}

/// Parts of one run in one entry: at most three.
type Parts = SmallVec<[Link; 3]>;

/// A walk in progress.
pub(crate) struct Walk<'w, W> {
    topology: &'w Topology,
    limits: &'w Limits,
    walker: &'w W,
    /// Arrivals and registrations so far.
    pieces: Cell<u64>,
    arrivals: Cell<u64>,
    exhausted: Cell<bool>,
    /// Only there when there were so many arrivals that one byte may have too many routes.
    routes: RefCell<Option<Box<Routes>>>,
}

impl<'w, W: Walker> Walk<'w, W> {
    pub(crate) fn new(topology: &'w Topology, limits: &'w Limits, walker: &'w W) -> Self {
        Self {
            topology,
            limits,
            walker,
            pieces: Cell::new(0),
            arrivals: Cell::new(0),
            exhausted: Cell::new(false),
            routes: RefCell::new(None),
        }
    }

    /// Walks up from bytes of a device.
    pub(crate) fn from(&self, device: &Device, asked: Run) -> Flow {
        self.arrive(device, &Link::same(asked), None)
    }

    /// Whether the walk ended because all pieces were used up.
    pub(crate) fn exhausted(&self) -> bool {
        self.exhausted.get()
    }

    fn arrive(&self, device: &Device, link: &Link, before: Option<&Frame<'_>>) -> Flow {
        self.spend(1)?;
        self.arrivals.set(self.arrivals.get().saturating_add(1));
        let depth = before.map_or(0, |f| f.depth.saturating_add(1));
        let frame = Frame { device, link, before, depth };
        self.walker.arrived(&frame)?;
        if self.arrivals.get() > self.limits.routes && self.has_too_many_routes(link.lower()) {
            return self.walker.unfollowed(&frame, link, Unfollowed::Routes);
        }
        device.table.overlapping(link.upper().span(), &mut |entry| self.go(entry, &frame))
    }

    fn go(&self, entry: &Entry, frame: &Frame<'_>) -> Flow {
        let all = [*frame.link];
        let mut cut = Parts::new();
        let parts: &[Link] = if entry.range.contains_extent(frame.link.upper().span()) {
            &all
        } else {
            cut.extend(frame.link.clip_upper(entry.range));
            &cut
        };
        match &entry.above {
            // The entry lies in a gap of the run.
            Above::Holder(_) if parts.is_empty() => ControlFlow::Continue(()),
            Above::Holder(slot) => {
                self.spend(u64::try_from(parts.len()).unwrap_or(u64::MAX))?; // at most three
                self.walker.registered(frame, slot, parts)
            }
            Above::Device { index, leg } => {
                parts.iter().try_for_each(|part| self.enter(*index, *leg, part, frame))
            }
        }
    }

    /// Carries bytes through a device's mapping, into the device.
    fn enter(&self, index: u32, leg: Leg, part: &Link, on: &Frame<'_>) -> Flow {
        let above = self.topology.slot(index);
        let below = above.and_then(|above| above.below.as_ref().map(|below| (above, below)));
        let Some((above, below)) = below else {
            debug_assert!(false, "an entry leads to a device that has a table");
            return self.walker.unfollowed(on, part, Unfollowed::Broken("no device above"));
        };
        // A mapping may swallow what its sink says: what was broken, and that the walk is over, is
        // remembered here.
        let mut stopped = None;
        let flow = below.mapping.rmap(leg, part.upper(), &mut |link| {
            if let Some(stop) = stopped {
                return ControlFlow::Break(stop);
            }
            let flow = match checked(above, on, part, &link) {
                Ok(asked) => self.arrive(above, &asked, Some(on)),
                Err(why) => ControlFlow::Break(Stop::Broken(why)),
            };
            stopped = flow.break_value();
            flow
        });
        match ended(flow, stopped) {
            ControlFlow::Break(Stop::Broken(why)) => {
                self.walker.unfollowed(on, part, Unfollowed::Broken(why))
            }
            flow @ (ControlFlow::Break(Stop::Enough) | ControlFlow::Continue(())) => flow,
        }
    }

    /// Counts pieces; ends the walk when all are used up.
    fn spend(&self, pieces: u64) -> Flow {
        let spent = self.pieces.get().saturating_add(pieces);
        if spent > self.limits.pieces {
            self.exhausted.set(true);
            return ControlFlow::Break(Stop::Enough);
        }
        self.pieces.set(spent);
        ControlFlow::Continue(())
    }

    #[cold]
    fn has_too_many_routes(&self, asked: Run) -> bool {
        let mut routes = self.routes.borrow_mut();
        routes.get_or_insert_default().count(asked) > self.limits.routes
    }
}

/// How a translation ended, of which `flow` is what the mapping said, and `stopped` what its sink
/// said. A mapping that ends by itself has not said of all bytes where they are.
pub(crate) fn ended(flow: Flow, stopped: Option<Stop>) -> Flow {
    match (stopped, flow) {
        (Some(stop), _) => ControlFlow::Break(stop),
        (None, ControlFlow::Break(Stop::Enough)) => {
            ControlFlow::Break(Stop::Broken("the mapping ended before it was told to"))
        }
        (None, flow) => flow,
    }
}

/// The asked-about bytes of a link that a mapping emitted for `part` of a frame, on the device
/// above; or the law that it breaks.
fn checked(above: &Device, on: &Frame<'_>, part: &Link, link: &Link) -> Result<Link, &'static str> {
    if !above.extent.contains_extent(link.upper().span()) {
        return Err("a link reaches beyond the device above");
    }
    let asked = part.then(*link).ok_or("a link lies outside of what was asked")?;
    // Elements that touch here may lie apart further down.
    let touch = part.upper().count() > 1 && part.upper().as_extent().is_some();
    if touch && on.way().any(|frame| frame.link.of_lower(asked.lower()).is_none()) {
        return Err("a link joins what was asked in elements");
    }
    Ok(asked)
}

/// How often bytes that were asked about have arrived somewhere.
#[derive(Default)]
struct Routes {
    /// Disjoint ranges by start: end and count.
    ranges: BTreeMap<u64, (u64, u64)>,
    /// Strided runs, counted as wholes: what clips them differently is counted apart, and bounded
    /// by [`Limits::pieces`].
    runs: HashMap<Run, u64>,
}

impl Routes {
    /// Counts one more arrival of these bytes; the arrivals of the byte that has most.
    fn count(&mut self, asked: Run) -> u64 {
        let Some(extent) = asked.as_extent() else {
            let count = self.runs.entry(asked).or_default();
            *count = count.saturating_add(1);
            return *count;
        };
        let (start, end) = (extent.start().get(), extent.end().get());
        self.cut(start);
        self.cut(end);
        let (mut at, mut most) = (start, 1);
        let mut gaps = Vec::new();
        for (from, (to, count)) in self.ranges.range_mut(start..end) {
            gaps.extend((at < *from).then_some((at, *from)));
            *count = count.saturating_add(1);
            (at, most) = (*to, most.max(*count));
        }
        gaps.extend((at < end).then_some((at, end)));
        self.ranges.extend(gaps.into_iter().map(|(from, to)| (from, (to, 1))));
        most
    }

    /// Cuts the range that `at` lies inside of in two.
    fn cut(&mut self, at: u64) {
        if let Some((_, (end, count))) = self.ranges.range_mut(..at).next_back() {
            if *end > at {
                let rest = (*end, *count);
                *end = at;
                self.ranges.insert(at, rest);
            }
        }
    }
}

#[cfg(test)]
mod tests;
