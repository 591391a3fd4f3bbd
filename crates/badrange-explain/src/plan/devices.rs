//! The lowest devices: what is bad there, and what to look at.

use core::ops::ControlFlow;

use badrange_core::{DevOffset, Extent, SECTOR_SIZE};
use badrange_input::Layer;

use super::{
    BadDevice, Span,
    build::{MAX_ELEMENTS, MAX_SHOWN},
    names::Names,
    span::united,
};
use crate::{
    Explainer,
    advice::{Action, ActionKind, Command, Risk, RiskLevel},
    descent::descend,
};

/// Bad bytes by lowest device.
#[derive(Debug)]
pub(super) struct Devices<'t> {
    explainer: &'t Explainer,
    bad: Vec<(usize, Vec<Span>)>,
    parts: u64,
}

impl<'t> Devices<'t> {
    pub(super) fn new(explainer: &'t Explainer) -> Self {
        Self { explainer, bad: Vec::new(), parts: 0 }
    }

    /// Whether there were more parts than a plan looks at.
    pub(super) fn is_cut(&self) -> bool {
        self.parts >= MAX_ELEMENTS
    }

    /// Notes bad bytes of a device where they lie in the end.
    pub(super) fn hit(&mut self, device: &str, start: u64, len: u64) {
        let devices = self.explainer.topology().devices();
        let place = devices.iter().position(|known| known.name == device);
        let extent = Extent::new(DevOffset::new(start), len).ok();
        let Some((place, extent)) = place.zip(extent) else { return }; // of no device here
        let (bad, parts) = (&mut self.bad, &mut self.parts);
        descend(self.explainer, place, extent, &mut |landing| {
            // What is kept nowhere is bad nowhere.
            let Some((on, here)) = landing.lowest() else { return ControlFlow::Continue(()) };
            let span = Span { start: here.start().get(), len: here.len() };
            match bad.iter_mut().find(|(known, _)| *known == on) {
                Some((_, spans)) => spans.push(span),
                None => bad.push((on, vec![span])),
            }
            *parts = parts.saturating_add(1);
            if *parts < MAX_ELEMENTS { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
    }

    pub(super) fn finish(
        self,
        names: &mut Names<'t>,
        warnings: &mut Vec<String>,
    ) -> Vec<BadDevice> {
        let mut all = Vec::new();
        for (place, spans) in self.bad {
            let Some(device) = self.explainer.topology().devices().get(place) else { continue };
            let mut bad = united(spans);
            if bad.len() > MAX_SHOWN {
                let name = Command::new(&*device.name);
                warnings.push(format!("{name}: the first {MAX_SHOWN} of {} bad ranges", bad.len()));
                bad.truncate(MAX_SHOWN);
            }
            let actions = match &device.layer {
                Layer::Pmem { .. } => of_pmem(names, place, &device.name),
                Layer::Memdev => of_memdev(&device.name, &bad, warnings),
                Layer::Disk => of_disk(names, place, device.logical_block, &bad),
                // What is below is not known, or below is not the end.
                Layer::Opaque
                | Layer::Partition { .. }
                | Layer::Region { .. }
                | Layer::Mapped { .. }
                | Layer::Array { .. }
                | Layer::Thin { .. }
                | Layer::Loop { .. }
                | Layer::View { .. } => Vec::new(),
            };
            all.push(BadDevice { device: device.name.clone(), bad, actions });
        }
        all
    }
}

/// The lowest device under a byte, and the byte there.
pub(super) fn lowest(explainer: &Explainer, place: usize, at: u64) -> Option<(usize, u64)> {
    let mut lowest = None;
    let byte = Extent::new(DevOffset::new(at), 1).ok()?;
    descend(explainer, place, byte, &mut |landing| {
        lowest = landing.lowest().map(|(place, here)| (place, here.start().get()));
        if lowest.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    lowest
}

fn of_disk(names: &mut Names<'_>, place: usize, block: u64, bad: &[Span]) -> Vec<Action> {
    let node = names.device(place);
    let mut actions = vec![Action {
        kind: ActionKind::Inspect,
        command: Some(node.add_to(Command::new("smartctl").arg("--all"), "")),
        risk: Risk::none(),
        why: "a disk whose counts of pending or reallocated sectors grow is to be replaced, not \
              mended"
            .to_owned(),
    }];
    let sector = bad.first().map(|span| span.start / SECTOR_SIZE);
    if let Some(sector) = sector.filter(|_| block == SECTOR_SIZE) {
        let read = Command::new("hdparm").arg("--read-sector").arg(sector.to_string());
        actions.push(Action {
            kind: ActionKind::Inspect,
            command: Some(node.add_to(read, "")),
            risk: Risk::new(RiskLevel::Reads, "may stall until the disk gives up"),
            why:
                "whether the first sector really fails (ATA disks only); never use --write-sector: \
                  write through the file instead"
                    .to_owned(),
        });
    }
    actions
}

fn of_pmem(names: &mut Names<'_>, place: usize, device: &str) -> Vec<Action> {
    let list = Command::new("ndctl").arg("list").arg("--namespaces").arg("--media-errors");
    let list = names.namespace(place, device).add_to(list, "--namespace=");
    vec![Action {
        kind: ActionKind::Inspect,
        command: Some(list),
        risk: Risk::none(),
        why: "the list of bad blocks that the kernel has, in 512-byte blocks of the device"
            .to_owned(),
    }]
}

/// Bytes that one command clears.
const POISON_UNIT: u64 = 64;

/// Places for which a command is spelled out, at most.
const CLEARED: usize = 64;

fn of_memdev(device: &str, bad: &[Span], warnings: &mut Vec<String>) -> Vec<Action> {
    let list = Command::new("cxl").arg("list").arg("--memdevs").arg(device).arg("--media-errors");
    let mut actions = vec![Action {
        kind: ActionKind::Inspect,
        command: Some(list),
        risk: Risk::none(),
        why: "the poison that the device itself knows of, by its own addresses".to_owned(),
    }];
    let units = bad.iter().flat_map(|span| {
        let first = span.start / POISON_UNIT;
        (first..span.end().div_ceil(POISON_UNIT)).map(|unit| unit.saturating_mul(POISON_UNIT))
    });
    let mut units = units.take(CLEARED.saturating_add(1)).collect::<Vec<_>>();
    if units.len() > CLEARED {
        units.truncate(CLEARED);
        let name = Command::new(device);
        warnings
            .push(format!("{name}: commands to clear poison for the first {CLEARED} places only"));
    }
    actions.extend(units.into_iter().map(|at| {
        Action {
            kind: ActionKind::ClearPoison,
            command: Some(
                Command::new("cxl")
                    .arg("clear-media-poison")
                    .arg(device)
                    .arg(format!("--address={at:#x}")),
            ),
            risk: Risk::new(
                RiskLevel::Overwrites,
                "64 bytes become zeros, whoever has them mapped",
            ),
            why:
                "only after everything was salvaged, and before the good bytes are written: on CXL \
              memory a write does not clear. Needs debugfs and a recent cxl"
                    .to_owned(),
        }
    }));
    actions
}
