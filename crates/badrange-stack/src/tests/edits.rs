//! Any sequence of edits: the invariants hold after each, and the stack has what it was given.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// One edit; numbers name the devices and registrations that are there, counted round and round.
#[derive(Debug, Clone)]
enum Edit {
    Base { name: u8, len: u64 },
    On { name: u8, legs: Vec<usize>, start: u64, len: u64 },
    Reload { device: usize, legs: Vec<usize>, start: u64, len: u64 },
    Remove(usize),
    Register { device: usize, start: u64, len: u64 },
    Unregister(usize),
    Drop(usize),
    Detach(usize),
    Fail { device: usize, start: u64, len: u64 },
}

fn edit() -> impl Strategy<Value = Edit> {
    let legs = || prop::collection::vec(any::<usize>(), 0..4);
    prop_oneof![
        2 => (any::<u8>(), 1..200_u64).prop_map(|(name, len)| Edit::Base { name, len }),
        4 => (any::<u8>(), legs(), 0..100_u64, 1..120_u64)
            .prop_map(|(name, legs, start, len)| Edit::On { name, legs, start, len }),
        3 => (any::<usize>(), legs(), 0..100_u64, 1..120_u64)
            .prop_map(|(device, legs, start, len)| Edit::Reload { device, legs, start, len }),
        2 => any::<usize>().prop_map(Edit::Remove),
        4 => (any::<usize>(), 0..150_u64, 1..60_u64)
            .prop_map(|(device, start, len)| Edit::Register { device, start, len }),
        1 => any::<usize>().prop_map(Edit::Unregister),
        1 => any::<usize>().prop_map(Edit::Drop),
        1 => any::<usize>().prop_map(Edit::Detach),
        1 => (any::<usize>(), 0..250_u64, 1..60_u64)
            .prop_map(|(device, start, len)| Edit::Fail { device, start, len }),
    ]
}

/// What should be there.
struct Twin {
    stack: Stack,
    /// Name, length and legs of every device.
    devices: BTreeMap<DeviceId, (String, u64, Vec<DeviceId>)>,
    holders: Vec<(DeviceId, Extent, Registration)>,
}

impl Twin {
    fn pick(&self, index: usize) -> Option<DeviceId> {
        let all: Vec<_> = self.devices.keys().collect();
        all.get(index.checked_rem(all.len())?).map(|id| **id)
    }

    /// Mirrored legs of one length: `None` where there is nothing to lie on.
    fn table(
        &self,
        legs: &[usize],
        start: u64,
        len: u64,
    ) -> Option<(Arc<dyn Mapping>, Vec<DeviceId>)> {
        let legs: Option<Vec<_>> = legs.iter().map(|leg| self.pick(*leg)).collect();
        let legs = legs?;
        let from = (0..).map(|i| start + 7 * i).take(legs.len());
        Some((Arc::new(Legs::mirror(len, from)), legs))
    }

    fn fits(&self, legs: &[DeviceId], start: u64, len: u64) -> bool {
        let ends = (0..).map(|i| start + 7 * i + len);
        legs.iter().zip(ends).all(|(leg, end)| end <= self.devices[leg].1)
    }

    /// Whether `id` is `below` or lies on it.
    fn lies_on(&self, id: DeviceId, below: DeviceId) -> bool {
        id == below || self.devices[&id].2.iter().any(|leg| self.lies_on(*leg, below))
    }

    fn depth(&self, id: DeviceId) -> usize {
        1 + self.devices[&id].2.iter().map(|leg| self.depth(*leg)).max().unwrap_or(0)
    }

    /// Devices from `id` up to the furthest top.
    fn height(&self, id: DeviceId) -> usize {
        let above = self.devices.iter().filter(|(_, (.., legs))| legs.contains(&id));
        1 + above.map(|(above, _)| self.height(*above)).max().unwrap_or(0)
    }

    /// The furthest byte in use of a device.
    fn used(&self, id: DeviceId) -> u64 {
        let stack = self.stack.snapshot();
        let holders =
            self.holders.iter().filter(|(on, ..)| *on == id).map(|(_, r, _)| r.end().get());
        let legs = self.devices.keys().flat_map(|above| {
            let below = stack.below(*above);
            below.map_or_else(Vec::new, |(mapping, legs)| {
                let numbered = (0..).map(Leg::new).zip(legs).filter(|(_, leg)| **leg == id);
                let ends = numbered.map(|(leg, _)| mapping.leg_extent(leg).unwrap().end().get());
                ends.collect()
            })
        });
        holders.chain(legs).max().unwrap_or(0)
    }

    fn apply(&mut self, edit: &Edit) -> Result<(), TestCaseError> {
        match edit {
            Edit::Base { name, len } => {
                let spec = DeviceSpec::base(name_of(*name), at(0, *len));
                self.add(spec, *len, vec![], true)?;
            }
            Edit::On { name, legs, start, len } => {
                let Some((mapping, legs)) = self.table(legs, *start, *len) else { return Ok(()) };
                let depth = legs.iter().map(|leg| self.depth(*leg)).max().unwrap_or(0);
                let fits = self.fits(&legs, *start, *len) && depth < DEPTH;
                let spec = DeviceSpec::on(name_of(*name), mapping, legs.clone());
                self.add(spec, *len, legs, fits)?;
            }
            Edit::Reload { device, legs, start, len } => {
                self.reload(*device, legs, *start, *len)?;
            }
            Edit::Remove(device) => self.remove(*device)?,
            Edit::Register { device, start, len } => self.register(*device, at(*start, *len))?,
            Edit::Unregister(which) => self.end(*which, |r| r.unregister().unwrap()),
            Edit::Drop(which) => self.end(*which, drop),
            Edit::Detach(which) => self.end(*which, |r| drop(r.detach())),
            Edit::Fail { device, start, len } => self.fail(*device, at(*start, *len))?,
        }
        Ok(())
    }

    fn add(
        &mut self,
        spec: DeviceSpec,
        len: u64,
        legs: Vec<DeviceId>,
        fits: bool,
    ) -> Result<(), TestCaseError> {
        let name = spec.name().to_owned();
        let taken = self.devices.values().any(|(other, ..)| *other == name);
        let added = self.stack.add_device(spec);
        prop_assert_eq!(added.is_ok(), fits && !taken, "{:?}", added);
        self.devices.extend(added.ok().map(|id| (id, (name, len, legs))));
        Ok(())
    }

    fn reload(
        &mut self,
        device: usize,
        legs: &[usize],
        start: u64,
        len: u64,
    ) -> Result<(), TestCaseError> {
        let Some(id) = self.pick(device) else { return Ok(()) };
        let Some((mapping, legs)) = self.table(legs, start, len) else { return Ok(()) };
        let depth = legs.iter().map(|leg| self.depth(*leg)).max().unwrap_or(0);
        let fits = self.fits(&legs, start, len)
            && self.used(id) <= len
            && !legs.iter().any(|leg| self.lies_on(*leg, id))
            && depth + self.height(id) <= DEPTH;
        let reloaded = self.stack.reload(id, mapping, legs.clone());
        prop_assert_eq!(reloaded.is_ok(), fits, "{:?}", reloaded);
        if fits {
            let device = self.devices.get_mut(&id).unwrap();
            (device.1, device.2) = (len, legs);
        }
        Ok(())
    }

    fn remove(&mut self, device: usize) -> Result<(), TestCaseError> {
        let Some(id) = self.pick(device) else { return Ok(()) };
        let in_use = self.devices.values().any(|(.., legs)| legs.contains(&id));
        let here = self.holders.iter().filter(|(on, ..)| *on == id).count();
        let removed = self.stack.remove_device(id);
        prop_assert_eq!(removed.is_ok(), !in_use);
        if let Ok(report) = removed {
            prop_assert_eq!(report.counts().notified, here as u64);
            self.devices.remove(&id);
            self.holders.retain(|(on, ..)| *on != id);
        }
        Ok(())
    }

    fn register(&mut self, device: usize, range: Extent) -> Result<(), TestCaseError> {
        let Some(id) = self.pick(device) else { return Ok(()) };
        let registered = self.stack.register(id, range, handles());
        prop_assert_eq!(registered.is_ok(), range.end().get() <= self.devices[&id].1);
        self.holders.extend(registered.ok().map(|registration| (id, range, registration)));
        Ok(())
    }

    fn end(&mut self, which: usize, end: impl FnOnce(Registration)) {
        if !self.holders.is_empty() {
            let which = which % self.holders.len();
            end(self.holders.swap_remove(which).2);
        }
    }

    /// Every byte is handled as soon as somebody above has it.
    fn fail(&mut self, device: usize, bad: Extent) -> Result<(), TestCaseError> {
        let Some(id) = self.pick(device) else { return Ok(()) };
        let report = fail(&self.stack, id, bad);
        let here = self.holders.iter().filter(|(on, ..)| *on == id);
        let inside = at(0, self.devices[&id].1).intersect(bad);
        let direct: u64 = inside.map_or(0, |inside| {
            let covered = here.filter_map(|(_, range, _)| range.intersect(inside));
            inside.len() - inside.minus(covered).iter().map(Extent::len).sum::<u64>()
        });
        prop_assert!(report.handled_bytes() >= direct);
        Ok(())
    }

    fn check(&self) -> Result<(), TestCaseError> {
        let snapshot = self.stack.snapshot();
        prop_assert_eq!(snapshot.validate(), Ok(()));
        let mut there: Vec<_> = snapshot.devices().collect();
        there.sort_unstable();
        prop_assert_eq!(there, self.devices.keys().copied().collect::<Vec<_>>());
        for (id, (name, len, legs)) in &self.devices {
            prop_assert_eq!(snapshot.name(*id), Some(&**name));
            prop_assert_eq!(snapshot.device(name), Some(*id));
            prop_assert_eq!(snapshot.extent(*id), Some(at(0, *len)));
            let below = snapshot.below(*id).map_or(&[][..], |(_, legs)| legs);
            prop_assert_eq!(below, &**legs);
        }
        Ok(())
    }
}

const DEPTH: usize = 5;

fn name_of(name: u8) -> String {
    format!("device {}", name % 12)
}

proptest! {
    #[test]
    fn every_edit_keeps_every_invariant(
        edits in prop::collection::vec(edit(), 0..if cfg!(miri) { 15 } else { 60 }),
    ) {
        let stack = Stack::with_limits(Limits { depth: DEPTH, ..Limits::DEFAULT });
        let mut twin = Twin { stack, devices: BTreeMap::new(), holders: Vec::new() };
        for edit in &edits {
            twin.apply(edit)?;
            twin.check()?;
        }
    }
}
