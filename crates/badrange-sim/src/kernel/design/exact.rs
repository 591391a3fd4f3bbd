//! F: the exclusive holder of a DAX device, as it was merged: the kernels as they are. They keep no
//! books, so their account is made up from what they did.

use badrange_fs::Fork;

use super::{
    Linux, Place,
    log::{Key, Log, Marks, page_bytes},
    places,
    reach::{Hit, hits, pieces},
};
use crate::{
    Call, EventOutcome, Notified, PAGE_SIZE,
    kernel::{errno::EOPNOTSUPP, generic::Memory},
    scenario::{Event, FileId, Owner},
};

pub(in crate::kernel) fn account(
    linux: &Linux<'_>,
    event: &Event,
    outcome: &EventOutcome,
    log: &mut Log,
) {
    let several = outcome.calls.iter().flatten();
    for call in outcome.call.iter().chain(several) {
        page_failed(linux, call, log);
        notified(linux, &call.notified, log);
    }
    if let Some(sent) = &outcome.notified {
        notified(linux, sent, log);
    }
    let down = outcome.effects.as_ref().and_then(|effects| effects.shutdown.as_ref());
    if down.is_some_and(|down| !down.is_empty()) {
        metadata(linux, event, outcome, log);
    }
}

/// A notification, its records and its owners.
fn notified(linux: &Linux<'_>, sent: &Notified, log: &mut Log) {
    let Some(holder) = &sent.holder else { return };
    log.up(1);
    let device = linux.machine.scenario.devices.iter().position(|d| d.name == holder.device);
    let fs = device.and_then(|device| linux.machine.device(device).holder);
    let name = fs.map(|fs| linux.machine.scenario.filesystem(fs));
    let to = name.map_or("nobody", |fs| &fs.name);
    log.say(&holder.device, to, format_args!("notify {:#x}+{:#x}", holder.start, holder.len));
    if name.is_some_and(|fs| Some(fs.device) != device) {
        log.translated(1); // from the disk to the partition
    }
    log.translated(u64::try_from(sent.records.len()).unwrap_or(u64::MAX));
    for owner in &sent.owners {
        log.walked(owner.count);
        let fs = linux.machine.scenario.filesystems.iter().position(|fs| fs.name == owner.fs);
        if let Some((fs, bytes)) = fs.zip(page_bytes(owner.page, owner.count)) {
            log.told.add_file(&linux.machine, (fs, owner.ino), bytes, Marks::TOLD);
        }
    }
}

/// A page that no holder took care of.
fn page_failed(linux: &Linux<'_>, call: &Call, log: &mut Log) {
    let place = super::page(call.pfn.get()).map(Place::Memory);
    let on = place.map(|place| pieces(&linux.machine, place)).unwrap_or_default();
    let Some((pmem, link)) = on.first() else { return };
    log.say("memory_failure", linux.machine.device_name(*pmem), format_args!("pfn {}", call.pfn));
    log.up(u64::from(!linux.is_devdax(*pmem)));
    log.translated(1);
    let asked = call.notified.holder.as_ref();
    if asked.is_some_and(|holder| holder.ret != Some(EOPNOTSUPP)) {
        return;
    }
    log.cost.fallback_pages = log.cost.fallback_pages.saturating_add(1);
    let page = link.upper().span().start().get() / PAGE_SIZE;
    let Memory::File(file, of_file) = linux.remembered(*pmem, page) else { return };
    log.walked(1);
    match file {
        FileId::Device(device) => {
            log.told.add(Key::Device(device), link.upper(), Marks::TOLD);
        }
        FileId::Inode { fs, ino } => {
            if let Some(bytes) = page_bytes(of_file, 1) {
                log.told.add_file(&linux.machine, (fs, ino), bytes, Marks::TOLD);
            }
        }
    }
}

/// A filesystem that shut down over a record knows of that record.
fn metadata(linux: &Linux<'_>, event: &Event, outcome: &EventOutcome, log: &mut Log) {
    let several = outcome.calls.iter().flatten().map(|call| &call.notified);
    let one = outcome.call.iter().map(|call| &call.notified);
    let all: Vec<&Notified> = one.chain(several).chain(&outcome.notified).collect();
    let seen = |start: u64, len: u64| {
        all.iter().flat_map(|sent| &sent.records).any(|r| r.start == start && r.len == len)
    };
    for place in places(&linux.machine, event) {
        for hit in hits(&linux.machine, &pieces(&linux.machine, place)) {
            if knows(linux, hit, outcome, &seen) {
                log.told.add(hit.key, hit.here(), Marks::TOLD);
            }
        }
    }
}

fn knows(
    linux: &Linux<'_>,
    hit: Hit,
    outcome: &EventOutcome,
    seen: &dyn Fn(u64, u64) -> bool,
) -> bool {
    let Key::Extent { fs, index } = hit.key else { return false };
    let name = &linux.machine.scenario.filesystem(fs).name;
    let effects = outcome.effects.iter().flat_map(|effects| effects.shutdown.iter().flatten());
    if !effects.into_iter().any(|shutdown| shutdown.fs == *name) {
        return false;
    }
    let extent = linux.machine.fs(fs).extents.get(index);
    let Some(extent) = extent else { return index == usize::MAX };
    let log = linux.machine.scenario.filesystem(fs).log;
    if log.is_some_and(|log| log.device == extent.device) {
        return true;
    }
    let data = matches!(extent.owner, Owner::Inode { fork: Fork::Data, .. });
    !data && seen(extent.start(), extent.len())
}
