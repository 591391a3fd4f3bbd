//! C: `memory_failure_register(dax_dev, data)` in the operations of DAX devices (2021-03).
//!
//! Whoever registers with a mapped device is registered with the devices below. What comes up is
//! `{dax device, pfn, length}` of the lowest device, and there is no way to translate it through a
//! table: a filesystem that stands on the device itself, or on a partition of it, knows where it
//! begins; any other one cannot tell, and asks for the per-pfn way.

use badrange_core::{DevOffset, Extent, PhysAddr};

use super::{
    Design, Failure, Halt, Linux, Log, Report,
    owners::Stop,
    per_pfn::fail_pages,
    reach::{Place, on_pmem, partition_on},
};
use crate::kernel::errno::{ENXIO, EOPNOTSUPP};

#[derive(Debug, Clone, Copy)]
pub(super) struct Register;

impl Design for Register {
    fn fork(&self) -> Box<dyn Design> {
        Box::new(*self)
    }

    fn fail(
        &mut self,
        linux: &mut Linux<'_>,
        what: Failure,
        report: &mut Report,
        log: &mut Log,
    ) -> Result<i64, Halt> {
        let on = match what.place {
            Place::Device { device, range } => vec![(device, range)],
            Place::Memory(bad) => spans(linux, bad),
        };
        let Some((device, range)) = on.into_iter().next() else { return Ok(ENXIO) };
        what.enter(log);
        let ret = tell_all(linux, (device, range), what, report, log);
        Ok(if ret == EOPNOTSUPP { fail_pages(linux, what, report, log) } else { ret })
    }
}

fn spans(linux: &Linux<'_>, bad: Extent<PhysAddr>) -> Vec<(usize, Extent)> {
    let pieces = on_pmem(&linux.machine, bad).into_iter();
    pieces.map(|(device, link)| (device, link.upper().span())).collect()
}

/// Everyone registered is called. One that handled it makes the failure handled; then comes an
/// error that is final, then the wish for the per-pfn way.
fn tell_all(
    linux: &mut Linux<'_>,
    (device, range): (usize, Extent),
    what: Failure,
    report: &mut Report,
    log: &mut Log,
) -> i64 {
    let mut answers = Vec::new();
    for (fs, on) in registered(linux, device) {
        log.up(1);
        let scenario = linux.machine.scenario;
        let name = &scenario.filesystem(fs).name;
        let below = linux.machine.device_name(device);
        log.say(below, name, format_args!("{{{below}, {range}}}"));
        answers.push(match place_of(linux, on, device, range) {
            Known::No => EOPNOTSUPP,
            Known::Outside => ENXIO,
            Known::At(bad) => {
                log.translated(u64::from(on != device));
                let notes = (&mut *report, &mut *log);
                linux.filesystem_lost((fs, on), bad.into(), what.whom(), Stop::AtTheEnd, notes)
            }
        });
    }
    let has = |ret: i64| answers.contains(&ret).then_some(ret);
    let error = answers.iter().copied().find(|ret| ![0, EOPNOTSUPP, ENXIO].contains(ret));
    error.or(has(0)).or(has(EOPNOTSUPP)).or(has(ENXIO)).unwrap_or(EOPNOTSUPP)
}

/// What a filesystem makes of a range of the lowest device.
enum Known {
    No,
    Outside,
    At(Extent),
}

fn place_of(linux: &Linux<'_>, on: usize, device: usize, range: Extent) -> Known {
    if on == device {
        return Known::At(range);
    }
    let Some((disk, start, len)) = partition_on(&linux.machine, on) else { return Known::No };
    if disk != device {
        return Known::No;
    }
    let start = DevOffset::new(start);
    let window = Extent::new(start, len).ok().and_then(|window| range.intersect(window));
    match window.and_then(|part| part.rebase(start, DevOffset::new(0))) {
        Some(part) => Known::At(part),
        None => Known::Outside,
    }
}

/// (filesystem, its device) for all that stand on a device, through whatever is between.
fn registered(linux: &Linux<'_>, device: usize) -> Vec<(usize, usize)> {
    let scenario = linux.machine.scenario;
    let mut above = vec![device];
    let mut next = 0;
    while let Some(&lower) = above.get(next) {
        next = next.saturating_add(1);
        for (upper, what) in scenario.devices.iter().enumerate() {
            if what.kind.below().contains(&lower) && !above.contains(&upper) {
                above.push(upper);
            }
        }
    }
    let handlers =
        above.iter().flat_map(|on| linux.handlers_on(*on).into_iter().map(|fs| (fs, *on)));
    handlers.filter(|(fs, _)| linux.has_handler(*fs)).collect()
}
