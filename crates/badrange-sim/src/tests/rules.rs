//! Rules of failures that no recording shows.

use serde_json::json;

use super::build::{Build, DATA, VADDR, extent, machine, process, shutdowns, signals, unmapped};
use crate::{Crash, EventOutcome, Profile};

const AR: &str = "BUS_MCEERR_AR";
const AO: &str = "BUS_MCEERR_AO";

/// Three pages of a file at the end of group 0, and 16 pages in group 1.
fn two_groups() -> Build {
    let group = 16 << 20;
    machine()
        .extent(extent(group - 12_288, 12_288, 131, 0))
        .extent(extent(group, 65_536, 132, 0))
        .process(process("A", 10, "early", 131, 12_288))
        .process(process("B", 20, "early", 132, 65_536))
}

fn owners(event: &EventOutcome) -> Vec<(u64, u64, u64)> {
    let notified = event.notified.as_ref().or(event.call.as_ref().map(|call| &call.notified));
    let owners = &notified.unwrap().owners;
    owners.iter().map(|owner| (owner.ino, owner.page, owner.count)).collect()
}

#[test]
fn a_range_over_the_end_of_a_group() {
    let group = 16 << 20;
    let machine = two_groups().notify("pmem0", group - 8192, 16_384);
    let events = machine.run(Profile::Linux6_12);
    assert_eq!(events[0].ret, Some(0));
    assert_eq!(owners(&events[0]), [(131, 1, 2), (132, 0, 2)]);
    assert_eq!(signals(&events[0]), [("A", AO), ("A", AO), ("B", AO), ("B", AO)]);
    // 7.2 counts 2^32 - 4094 pages from block 4094 on and never comes back from the first file.
    let events = machine.run(Profile::Linux7_2);
    assert_eq!(events[0].stuck, Some(true));
    assert_eq!(owners(&events[0]), [(131, 1, (1 << 32) - 4094)]);
    assert_eq!(signals(&events[0]), [("A", AO), ("A", AO)]);
    let holder = events[0].notified.as_ref().unwrap().holder.as_ref().unwrap();
    assert_eq!((holder.ret, &events[0].effects.as_ref().unwrap().shutdown), (None, &None));
}

#[test]
fn no_sector_at_all() {
    // On a block's start the last sector is in the block before.
    let machine = two_groups().notify("pmem0", 8192, 0);
    for profile in Profile::KERNELS {
        let events = machine.run(profile);
        assert_eq!((events[0].ret, shutdowns(&events[0])), (Some(-22), vec!["corrupt_ondisk"]));
    }
    // Inside a block it is in the same block, which fails; block 4093 is page 0 of file 131.
    let inside = two_groups().notify("pmem0", (16 << 20) - 12_288 + 512, 0);
    for profile in Profile::KERNELS {
        let events = inside.run(profile);
        assert_eq!((events[0].ret, owners(&events[0])), (Some(0), vec![(131, 0, 1)]));
    }
    // On a group's start no group is visited.
    let between = two_groups().notify("pmem0", 16 << 20, 0);
    for profile in Profile::KERNELS {
        let events = between.run(profile);
        assert_eq!((events[0].ret, shutdowns(&events[0])), (Some(0), vec![]));
    }
}

#[test]
fn groups_that_do_not_exist() {
    // A partition of 32 MiB from 16 MiB on; the range ends 16 MiB behind it.
    let machine = machine()
        .device(json!({"name": "p1", "kind": "partition", "on": "pmem0", "start": 32_768,
            "sectors": 65_536}))
        .set("/filesystems/0/device", "p1")
        .set("/filesystems/0/reflink", false)
        .set("/filesystems/0/ag_count", 2)
        .set("/filesystems/0/blocks", 8192)
        .notify("pmem0", (48 << 20) - 4096, 8192)
        .fail(0);
    for profile in [Profile::Linux6_1, Profile::Linux6_12] {
        let events = machine.run(profile);
        assert_eq!(events.len(), 1);
        assert_eq!(events[0].crash, Some(Crash::Oops));
        assert_eq!(events[0].effects, None);
    }
    let events = machine.run(Profile::Linux7_2);
    assert_eq!((events[0].ret, events[1].ret), (Some(0), Some(-6)));
}

/// One extent that is two files', without a reverse map: the page alone is asked.
fn shared() -> Build {
    machine()
        .set("/filesystems/0/rmapbt", false)
        .extent(extent(65_536, 65_536, 131, 0))
        .extent(extent(65_536, 65_536, 132, 0))
        .process(process("A", 10, "early", 131, 65_536))
}

#[test]
fn shared_pages_without_a_reverse_map() {
    let one = shared().fail(69_632);
    let both = shared().process(process("B", 20, "early", 132, 65_536)).fail(69_632);
    let told = |machine: &Build, profile| {
        let events = machine.run(profile);
        let tags = |event: &EventOutcome| -> Vec<String> {
            signals(event).into_iter().map(|(tag, _)| tag.to_owned()).collect()
        };
        events[0].crash.map_or_else(|| Ok((events[0].ret, tags(&events[0]))), Err)
    };
    // 6.1: the file that was touched last. 6.12: every touch leaves a marker. 7.2: one file is
    // remembered, two are not.
    assert_eq!(told(&one, Profile::Linux6_1), Ok((Some(0), vec!["A".into()])));
    assert_eq!(told(&both, Profile::Linux6_1), Ok((Some(0), vec!["B".into()])));
    assert_eq!(told(&one, Profile::Linux6_12), Err(Crash::Oops));
    assert_eq!(told(&both, Profile::Linux6_12), Err(Crash::Oops));
    assert_eq!(told(&one, Profile::Linux7_2), Ok((Some(0), vec!["A".into()])));
    assert_eq!(told(&both, Profile::Linux7_2), Ok((Some(-16), vec![])));
}

#[test]
fn a_page_nobody_touched_is_nobodys() {
    let machine = shared().set("/processes", json!([])).fail(69_632).touch("load", 131, 4096);
    let events = machine.fail(69_632).run(Profile::Linux6_1);
    assert_eq!(events[0].ret, Some(-16));
    assert_eq!(events[2].ret, Some(0)); // the load left an entry
}

#[test]
fn removal() {
    let machine = two_groups()
        .process(process("L", 30, "late", 132, 65_536))
        .event(json!({"do": "unbind", "device": "pmem0"}))
        .fail(65_536)
        .notify("pmem0", 0, 4096);
    let events = machine.run(Profile::Linux6_1);
    assert_eq!(shutdowns(&events[0]), ["corrupt_ondisk"]);
    assert_eq!(signals(&events[0]).len(), 3 + 16);
    let events = machine.run(Profile::Linux6_12);
    assert_eq!(shutdowns(&events[0]), ["force_umount", "device_removed"]);
    assert_eq!(signals(&events[0]).len(), 3 + 16 + 16);
    let call = events[1].call.as_ref().unwrap();
    assert_eq!((call.ret, call.action), (-6, None)); // no driver, no pages
    assert_eq!(events[2].ret, Some(-6));
}

#[test]
fn removal_without_a_reverse_map_tells_nobody() {
    let machine = two_groups()
        .set("/filesystems/0/rmapbt", false)
        .event(json!({"do": "unbind", "device": "pmem0"}));
    let events = machine.run(Profile::Linux6_12);
    let holder = events[0].notified.as_ref().unwrap().holder.as_ref().unwrap();
    assert_eq!((holder.ret, holder.start, holder.len), (Some(-95), 0, u64::MAX));
    assert_eq!(shutdowns(&events[0]), ["device_removed"]);
    assert!(signals(&events[0]).is_empty());
    let events = machine.run(Profile::Linux6_1);
    assert!(shutdowns(&events[0]).is_empty());
    // Nobody holds the device: nobody is asked.
    let events = machine.set("/filesystems", json!([])).set("/processes", json!([]));
    let events = events.run(Profile::Linux6_12);
    assert_eq!(events[0].notified.as_ref().unwrap().holder, None);
}

#[test]
fn device_mapper_passes_no_removal_on() {
    let machine = machine()
        .device(json!({"name": "lin", "kind": "dm", "table": ["0 131072 linear pmem0 0"]}))
        .set("/filesystems/0/device", "lin")
        .event(json!({"do": "unbind", "device": "pmem0"}));
    assert!(shutdowns(&machine.run(Profile::Linux7_2)[0]).is_empty());
}

#[test]
fn a_forced_signal_cannot_be_ignored() {
    for (on_sigbus, dies) in [("handler", false), ("ignore", true), ("blocked", true)] {
        let mut victim = process("A", 10, "default", 131, 12_288);
        victim["on_sigbus"] = on_sigbus.into();
        let machine = two_groups().set("/processes", json!([victim])).event(json!({
            "do": "machine_check", "severity": "ar", "by": "A", "lsb": 6,
            "phys": DATA + (16 << 20) - 4096 + 64}));
        let events = machine.run(Profile::Linux6_12);
        assert_eq!(signals(&events[0]), [("A", AR)], "{on_sigbus}");
        let effects = events[0].effects.as_ref().unwrap();
        assert_eq!(effects.killed.contains(&"A".to_owned()), dies, "{on_sigbus}");
        assert_eq!(effects.signals[0].result, None);
        assert_eq!(effects.signals[0].addr.unwrap().get(), VADDR + 8192);
        let unmapped = unmapped(&events[0]);
        let page = [("A", vec![(8192, 4096)])];
        assert_eq!(unmapped, if dies { vec![] } else { page.to_vec() }, "{on_sigbus}");
    }
}

#[test]
fn a_consumed_error_that_is_not_recovered() {
    // The superblock: the filesystem goes down, and the consumer gets a plain signal.
    let machine = two_groups().event(json!({"do": "machine_check", "severity": "ar", "by": "B",
        "phys": DATA, "lsb": 12}));
    let events = machine.run(Profile::Linux7_2);
    assert_eq!(events[0].ret, Some(-117));
    assert_eq!(signals(&events[0]), [("B", "SI_KERNEL")]);
    assert_eq!(shutdowns(&events[0]), ["corrupt_ondisk"]);
    assert_eq!(events[0].nospec.as_deref(), Some(&[][..]));
    assert_eq!(events[0].badblocks.as_ref().unwrap()["pmem0"], [(0, 8)]);
}

#[test]
fn memory_of_other_providers_records_nothing() {
    let machine = two_groups().set("/devices/0/provider", "e820").event(json!({
        "do": "machine_check", "severity": "ao", "phys": DATA + 65_536, "lsb": 6}));
    let events = machine.run(Profile::Linux6_12);
    assert_eq!(events[0].badrange.as_deref(), Some(&[][..]));
    assert_eq!(events[0].badblocks.as_ref().unwrap()["pmem0"], []);
}

#[test]
fn the_dead_map_nothing() {
    let mut victim = process("A", 10, "early", 131, 12_288);
    victim["on_sigbus"] = "default".into();
    let machine = two_groups().set("/processes", json!([victim]));
    let machine = machine.fail((16 << 20) - 4096).fail((16 << 20) - 8192);
    let events = machine.run(Profile::Linux6_1);
    assert_eq!(events[0].effects.as_ref().unwrap().killed, ["A"]);
    assert_eq!(events[1].ret, Some(0));
    assert!(signals(&events[1]).is_empty());
}

#[test]
fn an_injector_that_dies_stops() {
    let mut injector = process("I", 10, "default", 131, 12_288);
    injector["on_sigbus"] = "default".into();
    let machine = two_groups().set("/processes", json!([injector])).event(json!({
        "do": "madvise", "by": "I", "advice": "hwpoison", "map": 0, "offset": 0, "len": 12_288}));
    let events = machine.run(Profile::Linux6_12);
    assert_eq!(signals(&events[0]), [("I", AR)]);
    assert_eq!(events[0].ret, Some(-4));
    assert_eq!(events[0].effects.as_ref().unwrap().killed, ["I"]);
}

#[test]
fn what_is_not_modelled_is_said() {
    let mut owner = process("I", 10, "default", 131, 12_288);
    owner["maps"][0]["shared"] = false.into();
    owner["maps"][0]["touched"] = json!([]);
    owner["maps"][0]["private_copies"] = json!([[0, 4096]]);
    let machine = two_groups().set("/processes", json!([owner])).event(json!({
        "do": "madvise", "by": "I", "advice": "hwpoison", "map": 0, "offset": 0, "len": 4096}));
    let events = machine.run(Profile::Linux6_12);
    assert_eq!(events[0].ret, None);
    assert!(events[0].unmodelled.unwrap().contains("private copy"));
}

#[test]
fn a_second_filesystem_on_the_disk_does_not_hold_it() {
    let part = |name: &str, start: u64| {
        json!({"name": name, "kind": "partition", "on": "pmem0", "start": start,
            "sectors": 65_536})
    };
    let machine = machine()
        .device(part("p1", 0))
        .device(part("p2", 65_536))
        .device(part("odd", 1))
        .set(
            "/filesystems",
            json!([
            {"name": "a", "kind": "xfs", "device": "p1", "state": "unmounted"},
            {"name": "b", "kind": "xfs", "device": "p2", "state": "unmounted"},
            {"name": "c", "kind": "ext4", "device": "p2", "state": "unmounted"},
            {"name": "d", "kind": "ext4", "device": "odd", "state": "unmounted"}]),
        )
        .event(json!({"do": "mount", "fs": "a"}))
        .event(json!({"do": "mount", "fs": "b"}))
        .event(json!({"do": "mount", "fs": "c"}))
        .event(json!({"do": "mount", "fs": "d"}));
    let events = machine.run(Profile::Linux6_12);
    let mounts: Vec<_> = events.iter().map(|event| (event.ret, event.dax)).collect();
    let dax = |on: bool| (Some(0), Some(on));
    assert_eq!(mounts, [dax(true), dax(false), dax(true), (Some(-22), None)]);
}

#[test]
fn a_realtime_device_with_a_reverse_map_is_walked_since_7_2() {
    let rt = json!({"name": "pmem1", "kind": "pmem", "phys": "0x200000000", "size": 1 << 24,
        "mode": "raw"});
    let mut data = extent(65_536, 65_536, 131, 0);
    data["device"] = "pmem1".into();
    let machine = machine()
        .device(rt)
        .set("/filesystems/0/rt", json!({"device": "pmem1"}))
        .extent(data)
        .process(process("A", 10, "early", 131, 65_536))
        .event(json!({"do": "memory_failure", "pfn": 0x20_0011, "flags": []}));
    let new = machine.run(Profile::Linux7_2);
    assert_eq!((new[0].ret, owners(&new[0])), (Some(0), vec![(131, 1, 1)]));
    let old = machine.run(Profile::Linux6_12);
    assert_eq!((old[0].ret, owners(&old[0])), (Some(0), vec![]));
    for events in [new, old] {
        assert_eq!(signals(&events[0]), [("A", AO)]);
    }
}

#[test]
fn granules_of_a_gibibyte() {
    let maps = json!([{"file": {"device": "dax1.0"}, "file_start": 0, "len": 1 << 30,
        "vaddr": 1_u64 << 40, "page": 2_097_152, "touched": [[0, 1 << 30]]}]);
    let machine = machine()
        .device(json!({"name": "dax1.0", "kind": "pmem", "mode": "devdax", "align": "1G",
            "phys": "0x4000000000", "size": 2_u64 << 30}))
        .process(json!({"tag": "A", "pid": 1, "kill": "early", "maps": maps}))
        .event(json!({"do": "memory_failure", "pfn": 0x0400_0005, "flags": []}));
    let events = machine.run(Profile::Linux6_12);
    let signal = &events[0].effects.as_ref().unwrap().signals[0];
    assert_eq!((signal.addr.unwrap().get(), signal.lsb), (1 << 40, Some(30)));
    assert_eq!(unmapped(&events[0]), [("A", vec![(0, 1 << 30)])]);
}

#[test]
fn nothing_is_faulted_in_after_a_shutdown() {
    let mut injector = process("I", 10, "default", 131, 12_288);
    injector["maps"][0]["touched"] = json!([[0, 4096]]);
    let advise = |offset: u64| {
        json!({"do": "madvise", "by": "I", "advice": "hwpoison", "map": 0, "offset": offset,
            "len": 4096})
    };
    let machine = two_groups()
        .set("/processes", json!([injector]))
        .set("/filesystems/0/state", "shutdown")
        .event(advise(0))
        .event(advise(4096));
    let events = machine.run(Profile::Linux6_12);
    assert_eq!(events[0].ret, Some(-5)); // the page is there, but the group header is not read
    assert_eq!((events[1].ret, events[1].call.is_none()), (Some(-14), true));
}
