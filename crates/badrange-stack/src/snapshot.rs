use core::{
    cell::{Cell, RefCell},
    fmt,
    ops::ControlFlow,
};

use badrange_core::{
    DeviceId, Extent, Flow, Holder, HoleKind, Hop, Link, Mapped, Mapping, Run, Stop,
};

use crate::{
    HolderId, NoDevice, Stack, Unfollowed, edit,
    stack::Inner,
    sync::{Arc, InCallback},
    table::HolderSlot,
    topology::{Device, Topology},
    walk::{Frame, Walk, Walker, ended},
};

/// A stack as it was at one moment, to be asked: [up](Self::up), who is above these bytes;
/// [down](Self::down), where they live; and [beside](Self::redundancy), which other bytes could
/// rebuild them. An event is the walk up plus calls; these are the same walks without.
///
/// # Concurrency
/// Immutable. It keeps what the stack had at that moment, holders included, for as long as it is
/// there. A visit of a [registered](At::Registered) holder is a call into the holder as far as its
/// registration is concerned: whoever ends that waits until the visitor has returned, inside a
/// visitor nobody waits, and a registration that has ended is not visited.
///
/// # Examples
/// ```
/// use badrange_core::{DevOffset, Extent, Sector, Window};
/// use badrange_stack::{At, DeviceSpec, Stack};
/// use core::ops::ControlFlow;
/// use std::sync::Arc;
/// let stack = Stack::new();
/// let sda = stack.add_device(DeviceSpec::base("sda", Extent::new(DevOffset::new(0), 1 << 30)?))?;
/// let window = Window::new(Extent::new(Sector::new(2048), 8192)?.bytes()?);
/// let sda1 = stack.add_device(DeviceSpec::on("sda1", Arc::new(window), [sda]))?;
///
/// let snapshot = stack.snapshot();
/// let bad = Extent::new(Sector::new(2050), 1)?.bytes()?;
/// let mut above = Vec::new();
/// snapshot.up(sda, bad.into(), &mut |visit| {
///     above.push((visit.name().to_owned(), visit.here().first().containing_sectors()));
///     ControlFlow::Continue(())
/// })?;
/// assert_eq!(above[1], ("sda1".to_owned(), Extent::new(Sector::new(2), 1)?));
///
/// // And back again.
/// snapshot.down(sda1, Extent::new(Sector::new(2), 1)?.bytes()?, &mut |visit| {
///     assert!(matches!(visit.at(), At::Bottom));
///     assert_eq!((visit.name(), visit.here()), ("sda", bad.into()));
///     ControlFlow::Continue(())
/// })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Snapshot {
    inner: Arc<Inner>,
    topology: Arc<Topology>,
}

impl Stack {
    /// The stack as it is now. Cost: one reference count.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let inner = Arc::clone(self.inner());
        let topology = inner.topology();
        Snapshot { inner, topology }
    }
}

/// Where a walk through a [`Snapshot`] is.
///
/// # Examples
/// See [`Snapshot`].
#[derive(Clone, Copy)]
#[non_exhaustive]
pub enum At<'v> {
    /// The bytes arrived at the device; going up.
    Arrived,
    /// A holder is registered on them; going up.
    Registered {
        /// The registration.
        id: HolderId,
        /// The holder.
        holder: &'v dyn Holder,
    },
    /// Nothing is known below: the device is at the bottom, or the bytes are its own; going down.
    Bottom,
    /// The device keeps the bytes on nothing below it; going down.
    Hole(HoleKind),
    /// The bytes were not followed any further, and this is why.
    Unfollowed(Unfollowed),
}

impl fmt::Debug for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Arrived => f.write_str("Arrived"),
            Self::Registered { id, .. } => write!(f, "Registered({id})"),
            Self::Bottom => f.write_str("Bottom"),
            Self::Hole(kind) => write!(f, "Hole({kind})"),
            Self::Unfollowed(why) => write!(f, "Unfollowed({why})"),
        }
    }
}

/// One stop of a walk: bytes of some device, which bytes of the question they are, and the way.
///
/// # Examples
/// See [`Snapshot`].
pub struct Visit<'v> {
    at: At<'v>,
    frame: Frame<'v>,
    /// Bytes of the question as the lower side, and bytes here.
    link: Link,
    /// Whether the walk goes down.
    down: bool,
    copy: bool,
}

impl Visit<'_> {
    /// What is here.
    #[must_use]
    pub fn at(&self) -> At<'_> {
        self.at
    }

    /// The device.
    #[must_use]
    pub fn device(&self) -> DeviceId {
        self.frame.device.id
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.frame.device.name
    }

    /// The bytes of the device that was asked about.
    #[must_use]
    pub fn asked(&self) -> Run {
        self.link.lower()
    }

    /// The same bytes here, element by element.
    #[must_use]
    pub fn here(&self) -> Run {
        self.link.upper()
    }

    /// Both: the bytes that were asked about as the lower side, the bytes here as the upper side,
    /// whichever way the walk goes.
    #[must_use]
    pub fn link(&self) -> Link {
        self.link
    }

    /// Whether the walk down has been at a copy of these bytes already: a mirror has several.
    #[must_use]
    pub fn is_copy(&self) -> bool {
        self.copy
    }

    /// Emits the way of a part of the bytes [here](Self::here), the lowest device first: up from
    /// the device that was asked about, or down to this one. Nothing for what is no such part; and
    /// one way after the other for a part whose bytes lie apart on the way.
    pub fn trail(&self, part: Run, sink: &mut dyn FnMut(Hop)) {
        let Some(asked) = self.link.of_upper(part).map(|part| part.lower()) else { return };
        if !self.down {
            return self.frame.trail(part, sink);
        }
        sink(Hop { device: self.frame.device.id, at: part });
        for frame in self.frame.way().skip(1) {
            let at = frame.link.of_lower(asked);
            debug_assert!(at.is_some(), "bytes below stem from the bytes above them");
            at.into_iter().for_each(|at| sink(Hop { device: frame.device.id, at: at.upper() }));
        }
    }
}

impl fmt::Debug for Visit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Visit")
            .field("device", &self.name())
            .field("at", &self.at)
            .field("asked", &self.asked())
            .field("here", &self.here())
            .finish_non_exhaustive()
    }
}

/// Who looks on while a walk goes through a snapshot.
type Visitor<'v> = &'v mut dyn FnMut(&Visit<'_>) -> Flow;

impl Snapshot {
    /// Walks up from bytes of a device: visits the device, everybody registered on it and every
    /// device above that has bytes of them, depth first, in the order in which an event would.
    /// What of the bytes lies past the end of the device is not there. Ends when the visitor says
    /// so.
    ///
    /// # Errors
    /// [`NoDevice`] for a device that this stack did not have at that moment.
    ///
    /// # Kernel
    /// `for_each_range_owner()` of the proposed ranged `memory_failure()`.
    pub fn up(&self, device: DeviceId, bytes: Run, visit: Visitor<'_>) -> Result<(), NoDevice> {
        let on = self.known(device)?;
        let up = Up { key: self.inner.key(), visit: RefCell::new(visit) };
        let walk = Walk::new(&self.topology, &self.inner.limits, &up);
        let _ = bytes.clip(on.extent).try_for_each(|bytes| walk.from(on, bytes));
        if walk.exhausted() {
            let _ = bytes.clip(on.extent).try_for_each(|bytes| up.visit_end(on, bytes));
        }
        Ok(())
    }

    /// Walks down from bytes of a device: visits every part of them where they end, on the lowest
    /// device that the stack leads to, in ascending order; copies one after the other, in the order
    /// of the legs. Ends when the visitor says so, so that a stripe of millions of chunks costs
    /// what is looked at. After [`Limits::pieces`](crate::Limits::pieces) visits of further copies
    /// those that are left are not followed.
    ///
    /// # Errors
    /// [`NoDevice`] for a device that this stack did not have at that moment.
    pub fn down(
        &self,
        device: DeviceId,
        bytes: Extent,
        visit: Visitor<'_>,
    ) -> Result<(), NoDevice> {
        let on = self.known(device)?;
        if let Some(inside) = bytes.intersect(on.extent) {
            let link = Link::same(inside);
            let frame = Frame { device: on, link: &link, before: None, depth: 0 };
            let limit = self.inner.limits.pieces;
            let down = Down { topology: &self.topology, limit, copies: Cell::new(0) };
            let _ = down.go(&frame, false, visit);
        }
        Ok(())
    }

    /// The device of this name.
    #[must_use]
    pub fn device(&self, name: &str) -> Option<DeviceId> {
        self.topology.by_name(name).map(|d| d.id)
    }

    /// The name of a device.
    #[must_use]
    pub fn name(&self, device: DeviceId) -> Option<&str> {
        self.known(device).ok().map(|d| &*d.name)
    }

    /// The bytes that a device has.
    #[must_use]
    pub fn extent(&self, device: DeviceId) -> Option<Extent> {
        self.known(device).ok().map(|d| d.extent)
    }

    /// What a device lies on: its mapping, and the devices under its legs; `None` at the bottom.
    #[must_use]
    pub fn below(&self, device: DeviceId) -> Option<(&dyn Mapping, &[DeviceId])> {
        let below = self.known(device).ok()?.below.as_ref()?;
        Some((&*below.mapping, &below.legs))
    }

    /// All devices, by slot.
    pub fn devices(&self) -> impl Iterator<Item = DeviceId> + '_ {
        self.topology.devices.iter().map(|(_, device)| device.id)
    }

    /// Checks every invariant of the registry: for tests, after each operation.
    ///
    /// Cost: all devices times all entries.
    ///
    /// # Errors
    /// The first invariant that does not hold, in words.
    ///
    /// # Examples
    /// ```
    /// assert_eq!(badrange_stack::Stack::new().snapshot().validate(), Ok(()));
    /// ```
    pub fn validate(&self) -> Result<(), String> {
        edit::validate(&self.topology)
    }

    pub(crate) fn known(&self, id: DeviceId) -> Result<&Arc<Device>, NoDevice> {
        edit::known(&self.topology, self.inner.number, id)
    }

    pub(crate) fn topology(&self) -> &Topology {
        &self.topology
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.topology.devices.iter().map(|(_, d)| &d.name);
        f.debug_list().entries(names).finish()
    }
}

/// A walk up that shows itself to a visitor.
struct Up<'u> {
    key: usize,
    visit: RefCell<Visitor<'u>>,
}

impl Up<'_> {
    fn visit(&self, frame: &Frame<'_>, link: Link, at: At<'_>) -> Flow {
        let visit = Visit { at, frame: *frame, link, down: false, copy: false };
        said((self.visit.borrow_mut())(&visit))
    }

    /// The walk used up its pieces: whoever else is above the bytes is not known.
    fn visit_end(&self, device: &Device, bytes: Run) -> Flow {
        let link = Link::same(bytes);
        let frame = Frame { device, link: &link, before: None, depth: 0 };
        self.visit(&frame, link, At::Unfollowed(Unfollowed::Pieces))
    }
}

impl Walker for Up<'_> {
    fn arrived(&self, at: &Frame<'_>) -> Flow {
        self.visit(at, *at.link, At::Arrived)
    }

    fn registered(&self, on: &Frame<'_>, slot: &HolderSlot, parts: &[Link]) -> Flow {
        let Some(_inside) = slot.gate.enter() else { return ControlFlow::Continue(()) };
        let _callback = InCallback::enter(self.key);
        parts.iter().try_for_each(|part| {
            self.visit(on, *part, At::Registered { id: slot.id, holder: &*slot.holder })
        })
    }

    fn unfollowed(&self, on: &Frame<'_>, part: &Link, why: Unfollowed) -> Flow {
        self.visit(on, *part, At::Unfollowed(why))
    }
}

/// What a visitor said: to go on or not. It is no mapping, and has no laws to break.
fn said(flow: Flow) -> Flow {
    flow.map_break(|_| Stop::Enough)
}

/// A walk down. Ends because the devices form no cycle.
struct Down<'d> {
    topology: &'d Topology,
    /// Visits of further copies that are allowed, and that there were.
    limit: u64,
    copies: Cell<u64>,
}

impl Down<'_> {
    fn go(&self, frame: &Frame<'_>, copy: bool, visit: Visitor<'_>) -> Flow {
        let Some(below) = &frame.device.below else {
            return self.show(frame, *frame.link, At::Bottom, copy, visit);
        };
        let all = frame.link.upper().span();
        let mut reached = all.start();
        let mut stopped = None;
        let flow = below.mapping.map(all, &mut |part| {
            if let Some(stop) = stopped {
                return ControlFlow::Break(stop);
            }
            let upper = part.upper();
            let again = copy || upper.start() < reached;
            let flow = match frame.link.of_upper(upper.into()) {
                Some(_) if upper.start() > reached => broken("bytes are left out"),
                Some(link) => self.part(frame, part, link, again, visit),
                None => broken("a part lies outside of what was asked"),
            };
            reached = reached.max(upper.end());
            stopped = flow.break_value();
            flow
        });
        let flow = match ended(flow, stopped) {
            ControlFlow::Continue(()) if reached < all.end() => broken("bytes are left out"),
            flow @ (ControlFlow::Break(_) | ControlFlow::Continue(())) => flow,
        };
        match flow {
            ControlFlow::Break(Stop::Broken(why)) => {
                let at = At::Unfollowed(Unfollowed::Broken(why));
                self.show(frame, *frame.link, at, copy, visit)
            }
            flow @ (ControlFlow::Break(Stop::Enough) | ControlFlow::Continue(())) => flow,
        }
    }

    /// Goes on with one part of the bytes of a frame: `link` has them, as asked and there.
    fn part(
        &self,
        frame: &Frame<'_>,
        part: Mapped,
        link: Link,
        copy: bool,
        visit: Visitor<'_>,
    ) -> Flow {
        let (leg, step) = match part {
            Mapped::Hole(kind, _) => return self.show(frame, link, At::Hole(kind), copy, visit),
            Mapped::Own(_) => return self.show(frame, link, At::Bottom, copy, visit),
            Mapped::To { leg, link } => (leg, link),
        };
        if copy && self.copies.get() >= self.limit {
            let at = At::Unfollowed(Unfollowed::Pieces);
            return said(visit(&Visit { at, frame: *frame, link, down: true, copy }));
        }
        let legs = frame.device.legs();
        let below = usize::try_from(leg.index()).ok().and_then(|at| legs.get(at));
        let below = below.and_then(|id| self.topology.device(*id));
        let (Some(device), Some(link)) = (below, link.then(step.inverse())) else {
            return broken("a part lies on no leg");
        };
        if !device.extent.contains_extent(link.upper().span()) {
            return broken("a part reaches beyond the device below");
        }
        let depth = frame.depth.saturating_add(1);
        self.go(&Frame { device, link: &link, before: Some(frame), depth }, copy, visit)
    }

    fn show(
        &self,
        frame: &Frame<'_>,
        link: Link,
        at: At<'_>,
        copy: bool,
        visit: Visitor<'_>,
    ) -> Flow {
        self.copies.set(self.copies.get().saturating_add(u64::from(copy)));
        said(visit(&Visit { at, frame: *frame, link, down: true, copy }))
    }
}

const fn broken(why: &'static str) -> Flow {
    ControlFlow::Break(Stop::Broken(why))
}
