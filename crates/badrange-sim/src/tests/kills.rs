//! Who is told and what is unmapped, worked out by hand from the rules.

use serde_json::{Value, json};

use super::build::{Build, DATA, SIZE, VADDR, extent, machine, process, shutdowns, unmapped};
use crate::{EventOutcome, Profile};

const AR: &str = "BUS_MCEERR_AR";
const AO: &str = "BUS_MCEERR_AO";
const HUGE: u64 = 2 << 20;

/// Tag, code, offset in the map, lsb and thread of every signal.
type Told<'e> = Vec<(&'e str, &'e str, u64, u64, Option<u64>)>;

fn told(event: &EventOutcome) -> Told<'_> {
    let signals = &event.effects.as_ref().unwrap().signals;
    let place = |addr: Option<crate::Hex>| addr.map_or(u64::MAX, |addr| addr.get() - VADDR);
    signals
        .iter()
        .map(|s| (s.tag.as_str(), s.code, place(s.addr), s.lsb.unwrap_or(0), s.tid))
        .collect()
}

/// 4 MiB of file 131 at 2 MiB, which is aligned in memory too.
fn file() -> Build {
    machine().extent(extent(HUGE, 2 * HUGE, 131, 0))
}

fn huge(tag: &str, pid: u64, kill: &str) -> Value {
    let mut process = process(tag, pid, kill, 131, 2 * HUGE);
    process["maps"][0]["page"] = HUGE.into();
    process
}

#[test]
fn one_signal_per_mapped_unit() {
    let machine = file()
        .process(huge("H", 1, "early"))
        .process(process("S", 2, "early", 131, 2 * HUGE))
        .notify("pmem0", HUGE + 3 * 4096, 2 * 4096);
    for profile in [Profile::Linux6_1, Profile::Linux6_12, Profile::Linux7_2] {
        let events = machine.run(profile);
        // The first page takes 2 MiB from both; the second one finds nobody.
        assert_eq!(
            told(&events[0]),
            [("H", AO, 3 * 4096, 21, None), ("S", AO, 3 * 4096, 12, None)],
            "{profile}"
        );
        assert_eq!(
            unmapped(&events[0]),
            [("H", vec![(0, HUGE)]), ("S", vec![(0, HUGE)])],
            "{profile}"
        );
    }
    // Nobody has a huge page: one signal for every page.
    let small = file().process(process("S", 2, "early", 131, 2 * HUGE)).notify(
        "pmem0",
        HUGE + 3 * 4096,
        2 * 4096,
    );
    for profile in Profile::KERNELS {
        let events = small.run(profile);
        let pages = [("S", AO, 3 * 4096, 12, None), ("S", AO, 4 * 4096, 12, None)];
        assert_eq!(told(&events[0]), pages, "{profile}");
        assert_eq!(unmapped(&events[0]), [("S", vec![(3 * 4096, 8192)])], "{profile}");
    }
}

#[test]
fn a_late_process_loses_its_huge_page_to_a_small_one() {
    let machine = file()
        .process(huge("L", 1, "late"))
        .process(process("E", 2, "early", 131, 4 * 4096))
        .fail(HUGE + 2 * 4096);
    for profile in Profile::KERNELS {
        let events = machine.run(profile);
        assert_eq!(told(&events[0]), [("E", AO, 2 * 4096, 12, None)], "{profile}");
        assert_eq!(
            unmapped(&events[0]),
            [("L", vec![(0, HUGE)]), ("E", vec![(2 * 4096, 4096)])],
            "{profile}"
        );
    }
}

#[test]
fn nobody_who_wants_to_hear_nothing_unmapped() {
    let machine = file()
        .process(process("L", 1, "late", 131, 4 * 4096))
        .process(process("D", 2, "default", 131, 4 * 4096))
        .fail(HUGE)
        .set("/sysctl", json!({"memory_failure_early_kill": 1}))
        .fail(HUGE + 4096);
    for profile in Profile::KERNELS {
        // The switch makes the default policy an early one, and leaves the late one alone.
        let events = machine.run(profile);
        assert_eq!(told(&events[0]), [("D", AO, 0, 12, None)], "{profile}");
        assert_eq!(unmapped(&events[1]).len(), 2, "{profile}");
        let events = machine.clone().set("/sysctl", json!({})).run(profile);
        assert_eq!((events[0].ret, told(&events[0])), (Some(0), vec![]), "{profile}");
        assert!(unmapped(&events[1]).is_empty(), "{profile}");
    }
}

#[test]
fn the_first_thread_that_wants_it_is_told() {
    let mut process = process("T", 1, "late", 131, 4 * 4096);
    process["threads"] = json!([{"tid": 7, "kill": "default"}, {"tid": 8, "kill": "early"},
        {"tid": 9, "kill": "early"}]);
    let machine = file().process(process).fail(HUGE);
    for (early, tid) in [(0, 8), (1, 7)] {
        let sysctl = json!({"memory_failure_early_kill": early});
        for profile in Profile::KERNELS {
            let events = machine.clone().set("/sysctl", sysctl.clone()).run(profile);
            assert_eq!(told(&events[0]), [("T", AO, 0, 12, Some(tid))], "{profile}");
        }
    }
    // A device that goes away asks nobody, and tells the process.
    let gone = machine.set("/events", json!([{"do": "unbind", "device": "pmem0"}]));
    let events = gone.set("/filesystems/0/ag_blocks", 16_384).set("/filesystems/0/ag_count", 1);
    for profile in [Profile::Linux6_12, Profile::Linux7_2] {
        let events = events.run(profile);
        let pages: Vec<_> = (0..4).map(|page| ("T", AO, page * 4096, 12, None)).collect();
        assert_eq!(told(&events[0]), pages, "{profile}");
        assert_eq!(shutdowns(&events[0]), ["force_umount", "device_removed"], "{profile}");
    }
}

#[test]
fn what_is_ignored_or_blocked_is_survived_unless_it_is_forced() {
    for (on_sigbus, result, dies) in
        [("ignore", Some("ignored"), false), ("blocked", None, false), ("default", None, true)]
    {
        let mut victim = process("A", 1, "early", 131, 4 * 4096);
        victim["on_sigbus"] = on_sigbus.into();
        for profile in Profile::KERNELS {
            let events = file().process(victim.clone()).fail(HUGE).run(profile);
            let effects = events[0].effects.as_ref().unwrap();
            assert_eq!(effects.signals[0].result, result, "{profile} {on_sigbus}");
            assert_eq!(effects.killed.is_empty(), !dies, "{profile} {on_sigbus}");
        }
    }
}

#[test]
fn a_range_of_everything_and_of_nothing() {
    // Zero bytes at byte 0 of a whole disk end before they begin, and the clip at the end of the
    // device makes everything of them: `0 + 0 - 1` is larger than any end.
    let whole = file()
        .set("/filesystems/0/ag_blocks", 16_384)
        .set("/filesystems/0/ag_count", 1)
        .process(process("A", 1, "early", 131, 4 * 4096));
    for profile in Profile::KERNELS {
        let events = whole.clone().notify("pmem0", 0, 0).run(profile);
        assert_eq!((events[0].ret, told(&events[0]).len()), (Some(-117), 4), "{profile}");
        let events = whole.clone().notify("pmem0", SIZE, 0).run(profile);
        assert_eq!((events[0].ret, told(&events[0]).len()), (Some(-6), 0), "{profile}");
        let events = whole.clone().notify("pmem0", SIZE - 1, u64::MAX).run(profile);
        // The end wraps, and so does the rounding: no sector, in no group.
        assert_eq!((events[0].ret, told(&events[0]).len()), (Some(0), 0), "{profile}");
    }
}

#[test]
fn outside_goes_before_unable_since_7_2() {
    let mut small = file().set("/filesystems/0/rmapbt", false);
    small = small.set("/filesystems/0/blocks", 12_289);
    // A block that the device has and the filesystem has not.
    let events = |profile| small.clone().fail(SIZE - 4096).run(profile);
    for profile in [Profile::Linux6_1, Profile::Linux6_12] {
        let call = events(profile)[0].call.clone().unwrap();
        assert_eq!((call.ret, call.notified.holder.unwrap().ret), (-16, Some(-95)), "{profile}");
    }
    let call = events(Profile::Linux7_2)[0].call.clone().unwrap();
    assert_eq!((call.ret, call.notified.holder.unwrap().ret), (-6, Some(-6)));
}

#[test]
fn a_log_device_goes_away() {
    let log = json!({"name": "pmem1", "kind": "pmem", "phys": "0x200000000", "size": 1 << 24,
        "mode": "raw"});
    let machine = file()
        .device(log)
        .set("/filesystems/0/log", json!({"device": "pmem1", "start": 0, "len": 1 << 22}))
        .event(json!({"do": "unbind", "device": "pmem1"}));
    let events = machine.run(Profile::Linux6_1);
    let ret = |events: &[EventOutcome]| events[0].notified.clone().unwrap().holder.unwrap().ret;
    assert_eq!((ret(&events), shutdowns(&events[0])), (Some(-117), vec!["corrupt_ondisk"]));
    for profile in [Profile::Linux6_12, Profile::Linux7_2] {
        let events = machine.run(profile);
        assert_eq!((ret(&events), shutdowns(&events[0])), (Some(0), vec!["device_removed"]));
    }
}

#[test]
fn madvise_steps_over_folios() {
    let advise = |machine: Build, offset: u64, len: u64| {
        machine.event(json!({"do": "madvise", "by": "H", "advice": "hwpoison", "map": 0,
            "offset": offset, "len": len}))
    };
    // From the middle of a huge page over the beginning of the next one.
    let machine = advise(file().process(huge("H", 1, "late")), HUGE - 4096, 2 * 4096);
    let first = (DATA + 2 * HUGE - 4096) / 4096;
    for (profile, pfns) in [
        (Profile::Linux6_1, vec![first, first + 1]),
        (Profile::Linux6_12, vec![first, first + 1]),
        // The second page is less than 2 MiB behind the first: the step goes over it.
        (Profile::Linux7_2, vec![first]),
    ] {
        let events = machine.run(profile);
        let calls = events[0].calls.clone();
        let calls = calls.unwrap_or_else(|| events[0].call.iter().cloned().collect());
        let found: Vec<u64> = calls.iter().map(|call| call.pfn.get()).collect();
        assert_eq!((events[0].ret, &found), (Some(0), &pfns), "{profile}");
        let all: Vec<_> = told(&events[0]);
        assert!(all.iter().all(|signal| signal.1 == AR && signal.3 == 21), "{profile} {all:?}");
        assert_eq!(all.len(), pfns.len(), "{profile}");
    }
    let map = json!([{"file": {"device": "dax1.0"}, "file_start": 0, "len": 2 * HUGE,
        "vaddr": VADDR, "page": HUGE, "touched": [[0, 2 * HUGE]]}]);
    let devdax = super::build::machine()
        .device(json!({"name": "dax1.0", "kind": "pmem", "mode": "devdax", "align": "2M",
            "phys": "0x4000000000", "size": 2 * HUGE}))
        .process(json!({"tag": "H", "pid": 1, "maps": map}));
    for profile in Profile::KERNELS {
        let events = advise(devdax.clone(), 3 * 4096, HUGE + 4096).run(profile);
        let calls = events[0].calls.as_ref().unwrap();
        let found: Vec<u64> = calls.iter().map(|call| call.pfn.get()).collect();
        assert_eq!(found, [0x0400_0003, 0x0400_0203], "{profile}");
        assert!(calls.iter().all(|call| call.notified.holder.is_none()), "{profile}");
        // The address is that of the first byte of the folio.
        let folios = [("H", AR, 0, 21, None), ("H", AR, HUGE, 21, None)];
        assert_eq!(told(&events[0]), folios, "{profile}");
    }
}

#[test]
fn a_page_that_is_said_to_go_away() {
    // The flag is the reporter's; where the holder knows it, everybody is told and nothing is bad.
    let machine = file().process(process("L", 1, "late", 131, 4 * 4096)).event(json!({
        "do": "memory_failure", "pfn": (DATA + HUGE) / 4096, "flags": ["mem_pre_remove"]}));
    let events = machine.run(Profile::Linux6_1);
    assert_eq!((told(&events[0]), shutdowns(&events[0])), (vec![], vec![]));
    for profile in [Profile::Linux6_12, Profile::Linux7_2] {
        let events = machine.run(profile);
        assert_eq!(told(&events[0]), [("L", AO, 0, 12, None)], "{profile}");
        assert_eq!((events[0].ret, shutdowns(&events[0])), (Some(0), vec!["force_umount"]));
    }
}

#[test]
fn a_device_without_a_driver_cannot_be_mounted() {
    let machine = file()
        .device(json!({"name": "p1", "kind": "partition", "on": "pmem0", "start": 0,
            "sectors": 65_536}))
        .set("/filesystems/0/device", "p1")
        .set("/filesystems/0/reflink", false)
        .set("/filesystems/0/ag_count", 2)
        .set("/filesystems/0/blocks", 8192)
        .set("/filesystems/0/state", "unmounted")
        .event(json!({"do": "unbind", "device": "pmem0"}))
        .event(json!({"do": "mount", "fs": "xfs0"}));
    for profile in Profile::KERNELS {
        let events = machine.run(profile);
        assert_eq!((events[1].ret, events[1].dax), (Some(-6), None), "{profile}");
    }
}
