//! Which other bytes could rebuild these: beside, the third question to a snapshot.

use core::ops::ControlFlow;
use std::collections::BTreeSet;

use badrange_core::{
    Backing, BackingKind, Cover, DeviceId, Extent, Hop, Leg, Link, Run, Space, Stop,
};

use crate::{NoDevice, Snapshot, table::Above, topology::Device};

/// What of every device cannot be read: the bytes that failed, and those above that no device with
/// redundancy can rebuild. Made by [`Snapshot::damage`], and belongs to that snapshot.
///
/// # Examples
/// See [`Snapshot::redundancy`].
#[derive(Debug, Clone, Default)]
pub struct Damage {
    /// By slot: disjoint, ascending.
    bad: Vec<Vec<Extent>>,
}

/// Bytes, and which devices they can be rebuilt from: what [`Snapshot::redundancy`] emits.
///
/// # Examples
/// See [`Snapshot::redundancy`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rebuilt<'r> {
    /// The bytes, on the first device of the way.
    pub part: Run,
    /// The devices to read, in the order of the legs: all further copies, or as many of the rest of
    /// a stripe as it takes. `None` where nothing can rebuild the bytes.
    pub from: Option<&'r [DeviceId]>,
    /// Whether some device on the way has redundancy for the bytes, whether it was enough or not.
    pub tried: bool,
}

type Visitor<'v> = &'v mut dyn FnMut(Rebuilt<'_>);

impl Snapshot {
    /// What cannot be read of every device, given these failed bytes. All of them count together:
    /// two members of a stripe are two failures.
    ///
    /// Only devices that something with redundancy reads, directly or through others, are followed.
    /// Cost: the ranges into which the failed bytes fall on those.
    ///
    /// # Errors
    /// [`NoDevice`] for a device that this stack did not have at that moment.
    pub fn damage(
        &self,
        failed: impl IntoIterator<Item = (DeviceId, Run)>,
    ) -> Result<Damage, NoDevice> {
        let mut asked: Vec<Vec<Extent>> = vec![Vec::new(); self.slots()];
        for (id, run) in failed {
            let device = self.known(id)?;
            let inside = run.clip(device.extent).flat_map(|part| part.elements());
            at(&mut asked, device).extend(inside);
        }
        let order = self.lowest_first();
        let wanted = self.wanted(&order);
        let mut damage = Damage { bad: vec![Vec::new(); self.slots()] };
        for device in order {
            if !wanted.contains(&device.id) {
                continue; // nobody reads it to rebuild anything
            }
            let mut bad = core::mem::take(at(&mut asked, device));
            for (leg, below) in device.numbered_legs() {
                self.climb(&damage, device, leg, below, &mut bad);
            }
            bad.sort_unstable();
            *at(&mut damage.bad, device) = Extent::unite(bad);
        }
        Ok(damage)
    }

    /// Which other bytes could rebuild these, which took `way` up from the first device on it (the
    /// [trail](crate::Visit::trail) of a visit): for every byte once, from what devices, or that
    /// nothing can. What one device with redundancy cannot rebuild, the next one up perhaps can.
    /// Bytes at the end of the way that are the parity of a device above it are that device's, too.
    ///
    /// # Errors
    /// [`NoDevice`] for a device that this stack did not have at that moment.
    ///
    /// # Kernel
    /// `fix_read_error()` of `raid1.c` and `raid10.c`, `handle_stripe()` of `raid5.c`.
    ///
    /// # Examples
    /// ```
    /// use badrange_core::*;
    /// use badrange_stack::{At, DeviceSpec, Stack};
    /// use core::ops::ControlFlow;
    /// use std::sync::Arc;
    ///
    /// #[derive(Debug)]
    /// struct Mirror(Window);
    /// impl Mapping for Mirror {
    ///     fn extent(&self) -> Extent { self.0.extent() }
    ///     fn legs(&self) -> u32 { 2 }
    ///     fn leg_extent(&self, leg: Leg) -> Option<Extent> { (leg.index() < 2).then(|| self.0.on()) }
    ///     fn map(&self, upper: Extent, sink: Sink<'_, Mapped>) -> Flow {
    ///         for link in self.0.link().clip_upper(upper) {
    ///             (0..2).map(Leg::new).try_for_each(|leg| sink(Mapped::To { leg, link }))?;
    ///         }
    ///         beyond(self.extent(), upper, sink)
    ///     }
    ///     fn rmap(&self, leg: Leg, lower: Run, sink: Sink<'_, Link>) -> Flow {
    ///         match leg.index() { 0 | 1 => self.0.link().rmap(lower, sink), _ => ControlFlow::Continue(()) }
    ///     }
    ///     fn redundancy(&self, leg: Leg, lower: Run, sink: &mut dyn FnMut(Backing<'_>) -> Flow) -> Flow {
    ///         lower.clip(self.0.on()).try_for_each(|lower| {
    ///             let sources = [(Leg::new(1 - leg.index()), lower)];
    ///             sink(Backing { lower, kind: BackingKind::Copy, needed: 1, sources: &sources })
    ///         })
    ///     }
    /// }
    ///
    /// let all = Extent::new(DevOffset::new(0), 1 << 20)?;
    /// let stack = Stack::new();
    /// let [a, b] = ["a", "b"].map(|name| stack.add_device(DeviceSpec::base(name, all)).unwrap());
    /// stack.add_device(DeviceSpec::on("md0", Arc::new(Mirror(Window::new(all))), [a, b]))?;
    /// let snapshot = stack.snapshot();
    ///
    /// let bad = Run::from(Extent::new(DevOffset::new(4096), 1024)?);
    /// let also_bad = Run::from(Extent::new(DevOffset::new(4096), 512)?);
    /// let damage = snapshot.damage([(a, bad), (b, also_bad)])?;
    /// let mut way = Vec::new();
    /// snapshot.up(a, bad, &mut |visit| {
    ///     if visit.name() == "md0" { visit.trail(visit.here(), &mut |hop| way.push(hop)); }
    ///     ControlFlow::Continue(())
    /// })?;
    /// let mut found = Vec::new();
    /// snapshot.redundancy(&way, &damage, &mut |r| found.push((r.part.total_len(), r.from.map(<[_]>::to_vec))))?;
    /// assert_eq!(found, [(512, None), (512, Some(vec![b]))]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn redundancy(
        &self,
        way: &[Hop],
        damage: &Damage,
        visit: Visitor<'_>,
    ) -> Result<(), NoDevice> {
        let devices = way.iter().map(|hop| self.known(hop.device).map(|device| &**device));
        let devices: Vec<&Device> = devices.collect::<Result<_, _>>()?;
        if let Some(first) = way.first() {
            let hops = devices.into_iter().zip(way.iter().map(|hop| hop.at));
            Question::new(self, damage, first.at, hops).ask(first.at, 0, false, visit);
        }
        Ok(())
    }

    fn slots(&self) -> usize {
        self.topology().devices.iter().map(|(slot, _)| slot.saturating_add(1)).max().unwrap_or(0)
    }

    /// All devices, each after those that it lies on.
    fn lowest_first(&self) -> Vec<&Device> {
        let mut devices: Vec<&Device> =
            self.topology().devices.iter().map(|(_, device)| &**device).collect();
        devices.sort_by_cached_key(|device| self.topology().depth(device.id));
        devices
    }

    /// The devices that something with redundancy reads, directly or through others.
    fn wanted(&self, lowest_first: &[&Device]) -> BTreeSet<DeviceId> {
        let mut wanted = BTreeSet::new();
        for device in lowest_first.iter().rev() {
            let redundant = |(leg, _): (Leg, DeviceId)| is_redundant(device, leg);
            if wanted.contains(&device.id) || device.numbered_legs().any(redundant) {
                wanted.extend(device.legs());
            }
        }
        wanted
    }

    /// What of the bad bytes under a leg is bad in the device, too.
    fn climb(
        &self,
        damage: &Damage,
        device: &Device,
        leg: Leg,
        below: DeviceId,
        bad: &mut Vec<Extent>,
    ) {
        let lower = self.known(below).map(|below| damage.of(below)).unwrap_or_default();
        let turn = Turn { device, leg, hop: 0, only: None };
        for lower in lower {
            let mut left = Vec::new();
            self.cut(damage, &turn, (*lower).into(), &mut |part, verdict| match verdict {
                Verdict::From(_) => {}
                Verdict::Lost | Verdict::Single => left.push(part),
            });
            for part in left {
                let flow = device.below.as_ref().map(|below| {
                    below.mapping.rmap(leg, part, &mut |link| {
                        bad.extend(link.upper().elements());
                        ControlFlow::Continue(())
                    })
                });
                if matches!(flow, Some(ControlFlow::Break(_))) {
                    // A mapping that is broken says nothing of what is readable: all is suspect.
                    bad.push(device.extent);
                }
            }
        }
    }

    /// Cuts bytes of a leg where it changes from what they can be rebuilt; every byte comes out once.
    fn cut(
        &self,
        damage: &Damage,
        turn: &Turn<'_>,
        lower: Run,
        sink: &mut dyn FnMut(Run, Verdict<'_>),
    ) {
        let mut seen: Cover<()> = Cover::new();
        if let Some(below) = &turn.device.below {
            // What a broken mapping does not say, or says of other bytes, rebuilds nothing.
            let _ = below.mapping.redundancy(turn.leg, lower, &mut |backing| {
                if turn.only.is_some_and(|only| only != backing.kind) {
                    return ControlFlow::Continue(());
                }
                if lower.image(backing.lower, &lower).is_none() {
                    return ControlFlow::Break(Stop::Broken("a backing lies outside"));
                }
                seen.add(backing.lower, ());
                self.cut_backing(damage, turn.device, &backing, sink);
                ControlFlow::Continue(())
            });
        }
        let mut rest = Vec::new();
        seen.resolve(lower.span(), &mut |run, said| rest.extend(said.is_none().then_some(run)));
        let parts = rest.iter().flat_map(|run| run.overlaps(&lower));
        parts.for_each(|part| sink(part, Verdict::Single));
    }

    /// Cuts the bytes of one backing where a source begins or ends to be bad.
    fn cut_backing(
        &self,
        damage: &Damage,
        device: &Device,
        backing: &Backing<'_>,
        sink: &mut dyn FnMut(Run, Verdict<'_>),
    ) {
        let on = |leg: Leg| -> Option<&Device> {
            let below = device.legs().get(usize::try_from(leg.index()).ok()?)?;
            self.known(*below).ok().map(|below| &**below)
        };
        let sources: Vec<Source<'_>> = backing
            .sources
            .iter()
            .filter_map(|(leg, at)| Some(Source { leg: *leg, device: on(*leg)?, at: *at }))
            // A source of another shape, or beyond its device, is none.
            .filter(|source| Link::new(backing.lower, source.at).is_ok())
            .filter(|source| source.device.extent.contains_extent(source.at.span()))
            .collect();
        if sources.iter().all(|source| !damage.reaches(source.device, source.at.span())) {
            let from = chosen(backing, sources.iter());
            return sink(backing.lower, Verdict::of(from.as_deref()));
        }
        for (index, element) in (0..).zip(backing.lower.elements()) {
            let edges = edges(damage, &sources, index, element.len());
            for (start, end) in edges.iter().zip(edges.iter().skip(1)) {
                let good = sources.iter().filter(|source| {
                    let part = source.part(index, *start, *end);
                    part.is_some_and(|part| !damage.reaches(source.device, part))
                });
                let from = chosen(backing, good);
                if let Some(part) = part_of(element, *start, *end) {
                    sink(part.into(), Verdict::of(from.as_deref()));
                }
            }
        }
    }
}

/// What a device with or without redundancy can do for bytes of a leg.
#[derive(Clone, Copy)]
enum Verdict<'v> {
    /// Rebuild them from these.
    From(&'v [DeviceId]),
    /// It has redundancy for them, but not enough is left.
    Lost,
    /// It has them only once.
    Single,
}

impl<'v> Verdict<'v> {
    fn of(from: Option<&'v [DeviceId]>) -> Self {
        from.map_or(Self::Lost, Self::From)
    }
}

/// A part of another leg.
struct Source<'s> {
    leg: Leg,
    device: &'s Device,
    at: Run,
}

impl Source<'_> {
    /// Bytes `start..end` of one element.
    fn part(&self, index: u64, start: u64, end: u64) -> Option<Extent> {
        part_of(self.at.element(index)?, start, end)
    }
}

/// Bytes `start..end` of an extent, counted from its first byte.
fn part_of(extent: Extent, start: u64, end: u64) -> Option<Extent> {
    Extent::new(
        extent.start().get().checked_add(start).map(badrange_core::DevOffset::new)?,
        end.checked_sub(start)?,
    )
    .ok()
}

/// Where sources begin or end to be bad inside one element, and its own ends: ascending.
fn edges(damage: &Damage, sources: &[Source<'_>], index: u64, len: u64) -> Vec<u64> {
    let mut edges = vec![0, len];
    for source in sources {
        let Some(element) = source.at.element(index) else {
            debug_assert!(false, "a source has the shape of what it backs");
            continue; // and part_of finds nothing good in it
        };
        for bad in damage.within(source.device, element) {
            let by = |at: badrange_core::DevOffset| at.get().saturating_sub(element.start().get());
            edges.extend([by(bad.start()), by(bad.end())]);
        }
    }
    edges.sort_unstable();
    edges.dedup();
    edges
}

/// The sources that are needed: of copies all, of a stripe no more than it takes, in the order in
/// which the layer would read them; named in the order of the legs.
fn chosen<'s>(
    backing: &Backing<'_>,
    good: impl Iterator<Item = &'s Source<'s>>,
) -> Option<Vec<DeviceId>> {
    let mut good: Vec<(Leg, DeviceId)> =
        good.map(|source| (source.leg, source.device.id)).collect();
    if good.is_empty() || good.len() < backing.needed {
        return None;
    }
    match backing.kind {
        BackingKind::Copy => {}
        BackingKind::Data | BackingKind::Parity => good.truncate(backing.needed),
    }
    good.sort_unstable();
    Some(good.into_iter().map(|(_, device)| device).collect())
}

impl Damage {
    fn of(&self, device: &Device) -> &[Extent] {
        let slot = usize::try_from(device.id.index()).ok();
        slot.and_then(|slot| self.bad.get(slot)).map_or(&[], Vec::as_slice)
    }

    /// The bad bytes of a device in a range, clipped to it.
    fn within(&self, device: &Device, range: Extent) -> impl Iterator<Item = Extent> + '_ {
        let bad = self.of(device);
        let first = bad.partition_point(|bad| bad.end() <= range.start());
        let reached = bad.iter().skip(first).take_while(move |bad| bad.start() < range.end());
        reached.filter_map(move |bad| bad.intersect(range))
    }

    fn reaches(&self, device: &Device, range: Extent) -> bool {
        self.within(device, range).next().is_some()
    }
}

/// The list of a device's slot. INVARIANT of the caller: there is one for every slot.
fn at<'l>(lists: &'l mut [Vec<Extent>], device: &Device) -> &'l mut Vec<Extent> {
    #[expect(clippy::indexing_slicing, reason = "a list for every slot of the snapshot")]
    &mut lists[usize::try_from(device.id.index()).unwrap_or(usize::MAX)]
}

/// Whether a device keeps any bytes of a leg more than once.
fn is_redundant(device: &Device, leg: Leg) -> bool {
    let Some(below) = &device.below else { return false };
    let Some(all) = below.mapping.leg_extent(leg) else { return false };
    let mut redundant = false;
    let _ = below.mapping.redundancy(leg, all.into(), &mut |_| {
        redundant = true;
        ControlFlow::Break(Stop::Enough)
    });
    redundant
}

/// Bytes on their way, and whom to ask about them.
struct Question<'q> {
    snapshot: &'q Snapshot,
    damage: &'q Damage,
    /// The devices on the way, the lowest first: all of the bytes on the first one, and there.
    hops: Vec<(&'q Device, Link)>,
    turns: Vec<Turn<'q>>,
}

/// A device to ask about the bytes of a hop, which are on this leg of it.
struct Turn<'q> {
    device: &'q Device,
    leg: Leg,
    hop: usize,
    /// The kind of bytes to ask about: of those at the end of the way only parity is the device's.
    only: Option<BackingKind>,
}

impl<'q> Question<'q> {
    /// The devices on the way above the first one, then those whose parity the last bytes are. A way
    /// whose hops are no parts of one another ends before the first that is none.
    fn new(
        snapshot: &'q Snapshot,
        damage: &'q Damage,
        first: Run,
        way: impl Iterator<Item = (&'q Device, Run)>,
    ) -> Self {
        let hops = way.map_while(|(device, at)| Some((device, Link::new(first, at).ok()?)));
        let hops: Vec<(&Device, Link)> = hops.collect();
        let mut turns = Vec::new();
        for (hop, (lower, upper)) in hops.iter().zip(hops.iter().skip(1)).enumerate() {
            let leg = leads(upper.0, lower.0, lower.1.upper().first(), upper.1.upper().first());
            turns.extend(leg.map(|leg| Turn { device: upper.0, leg, hop, only: None }));
        }
        if let Some((hop, (below, at))) = hops.iter().enumerate().next_back() {
            let only = Some(BackingKind::Parity);
            let parity = parity_of(snapshot, below, at.upper());
            turns.extend(parity.into_iter().map(|(device, leg)| Turn { device, leg, hop, only }));
        }
        Self { snapshot, damage, hops, turns }
    }

    /// Asks, from one turn on, about bytes of the first device.
    fn ask(&self, part: Run, from: usize, tried: bool, visit: Visitor<'_>) {
        let Some(turn) = self.turns.get(from) else {
            return visit(Rebuilt { part, from: None, tried });
        };
        let next = from.saturating_add(1);
        self.parts(turn, part, &mut |part, verdict| match verdict {
            Verdict::From(from) => visit(Rebuilt { part, from: Some(from), tried: true }),
            Verdict::Lost => self.ask(part, next, true, visit),
            Verdict::Single => self.ask(part, next, tried, visit),
        });
    }

    /// The parts of bytes of the first device for which the device of a turn has one verdict.
    fn parts(&self, turn: &Turn<'_>, part: Run, sink: &mut dyn FnMut(Run, Verdict<'_>)) {
        let link = self.hops.get(turn.hop).and_then(|(_, link)| link.of_lower(part));
        let Some(link) = link else {
            debug_assert!(false, "a part of the bytes is a part of them on every hop");
            return sink(part, Verdict::Single);
        };
        self.snapshot.cut(self.damage, turn, link.upper(), &mut |run, verdict| {
            // Elements that touch there may lie apart on the first device.
            for run in run.overlaps(&link.upper()) {
                let part = link.of_upper(run);
                debug_assert!(part.is_some(), "an overlap lies in both runs");
                part.into_iter().for_each(|part| sink(part.lower(), verdict));
            }
        });
    }
}

/// The devices above whose parity some of the bytes are, in the order of the table.
fn parity_of<'q>(snapshot: &'q Snapshot, below: &Device, bytes: Run) -> Vec<(&'q Device, Leg)> {
    let mut found = Vec::new();
    let _ = below.table.overlapping(bytes.span(), &mut |entry| {
        let Above::Device { index, leg } = entry.above else {
            return ControlFlow::Continue(());
        };
        let above = snapshot.topology().slot(index).map(|device| &**device);
        let table = above.and_then(|device| device.below.as_ref());
        if let (Some(device), Some(table)) = (above, table) {
            let mut parity = false;
            let _ = table.mapping.redundancy(leg, bytes, &mut |backing| {
                parity |= backing.kind == BackingKind::Parity;
                ControlFlow::Continue(())
            });
            found.extend(parity.then_some((device, leg)));
        }
        ControlFlow::Continue(())
    });
    found
}

/// The leg on which a byte of a device below leads to where it is above.
fn leads(above: &Device, below: &Device, bytes: Extent, top: Extent) -> Option<Leg> {
    let table = above.below.as_ref()?;
    let byte = bytes.split_at(bytes.start().checked_add(1)?).0?;
    let mut legs = above.numbered_legs().filter(|(_, on)| *on == below.id).map(|(leg, _)| leg);
    legs.find(|leg| {
        let mut leads = false;
        let _ = table.mapping.rmap(*leg, byte.into(), &mut |link| {
            leads |= link.upper().first().start() == top.start();
            ControlFlow::Continue(())
        });
        leads
    })
}
