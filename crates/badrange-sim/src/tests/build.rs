//! A small machine: one pmem device, one XFS on it, and whoever is put there.

use serde_json::{Value, json};

use crate::{EventOutcome, Profile, RunOutcome, Scenario, run};

/// Byte 0 of `pmem0` in physical memory.
pub(super) const DATA: u64 = 0x1_0020_0000;

/// First byte of every map that [`process`] makes.
pub(super) const VADDR: u64 = 0x7f00_0000_0000;

/// Bytes of `pmem0`.
pub(super) const SIZE: u64 = 64 << 20;

/// A scenario under construction.
#[derive(Clone)]
pub(super) struct Build(pub(super) Value);

/// `pmem0` with 64 MiB and an XFS of four groups of 16 MiB, with reverse map and reflink.
pub(super) fn machine() -> Build {
    Build(json!({
        "schema": "badrange.scenario/1", "name": "t", "profile": "linux-6.12",
        "devices": [{"name": "pmem0", "kind": "pmem", "phys": "0x100000000",
            "size": SIZE + 0x20_0000, "data_offset": 0x20_0000,
            "region": {"name": "region0", "phys": "0x100000000", "size": SIZE + 0x20_0000}}],
        "filesystems": [{"name": "xfs0", "kind": "xfs", "device": "pmem0", "rmapbt": true,
            "reflink": true, "ag_blocks": 4096, "ag_count": 4, "blocks": 16384, "extents": [
                {"start": 0, "len": 16384, "owner": "static fs metadata"}]}],
        "processes": [], "events": [],
    }))
}

/// A process that maps all of what is touched, page by page.
pub(super) fn process(tag: &str, pid: u64, kill: &str, ino: u64, touched: u64) -> Value {
    json!({"tag": tag, "pid": pid, "kill": kill, "maps": [{"file": {"fs": "xfs0", "ino": ino},
        "file_start": 0, "len": touched, "vaddr": VADDR, "touched": [[0, touched]]}]})
}

/// A data extent.
pub(super) fn extent(start: u64, len: u64, ino: u64, file_start: u64) -> Value {
    json!({"start": start, "len": len, "owner": ino, "file_start": file_start})
}

impl Build {
    pub(super) fn set(mut self, pointer: &str, value: impl Into<Value>) -> Self {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        self.0.pointer_mut(parent).unwrap()[key] = value.into();
        self
    }

    fn push(mut self, pointer: &str, value: Value) -> Self {
        self.0.pointer_mut(pointer).unwrap().as_array_mut().unwrap().push(value);
        self
    }

    pub(super) fn device(self, device: Value) -> Self {
        self.push("/devices", device)
    }

    pub(super) fn extent(self, extent: Value) -> Self {
        self.push("/filesystems/0/extents", extent)
    }

    pub(super) fn process(self, process: Value) -> Self {
        self.push("/processes", process)
    }

    pub(super) fn event(self, event: Value) -> Self {
        self.push("/events", event)
    }

    /// Fails the page of `pmem0` at this byte.
    pub(super) fn fail(self, at: u64) -> Self {
        let pfn = (DATA + at) / 4096;
        self.event(json!({"do": "memory_failure", "pfn": pfn, "flags": []}))
    }

    pub(super) fn notify(self, device: &str, start: u64, len: u64) -> Self {
        self.event(json!({"do": "notify", "device": device, "start": start, "len": len}))
    }

    /// `do` is `load` or `store`.
    pub(super) fn touch(self, what: &str, ino: u64, offset: u64) -> Self {
        self.event(json!({"do": what, "file": {"fs": "xfs0", "ino": ino}, "offset": offset}))
    }

    /// `do` is `read` or `write`.
    pub(super) fn io(self, what: &str, ino: u64, offset: u64, len: u64) -> Self {
        let file = json!({"fs": "xfs0", "ino": ino});
        self.event(json!({"do": what, "file": file, "offset": offset, "len": len}))
    }

    pub(super) fn scenario(&self) -> Scenario {
        Scenario::from_str(&self.0.to_string(), "t.json").unwrap_or_else(|err| panic!("{err}"))
    }

    pub(super) fn outcome(&self, profile: Profile) -> RunOutcome {
        run(&self.scenario(), Some(profile))
    }

    pub(super) fn run(&self, profile: Profile) -> Vec<EventOutcome> {
        self.outcome(profile).events
    }
}

/// Tag and code of every signal.
pub(super) fn signals(event: &EventOutcome) -> Vec<(&str, &str)> {
    let effects = event.effects.as_ref().unwrap();
    effects.signals.iter().map(|signal| (signal.tag.as_str(), signal.code)).collect()
}

/// Reasons of all shutdowns.
pub(super) fn shutdowns(event: &EventOutcome) -> Vec<&str> {
    let effects = event.effects.as_ref().unwrap();
    effects.shutdown.as_ref().unwrap().iter().map(|shutdown| shutdown.reason).collect()
}

/// (process, ranges) of all that was unmapped.
pub(super) fn unmapped(event: &EventOutcome) -> Vec<(&str, Vec<(u64, u64)>)> {
    let effects = event.effects.as_ref().unwrap();
    effects.unmapped.iter().map(|entry| (entry.tag.as_str(), entry.ranges.clone())).collect()
}
