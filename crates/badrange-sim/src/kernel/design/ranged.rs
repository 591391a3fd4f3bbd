//! This project's own design: ranges, from the bottom to the top, through the stack engine.
//!
//! Every device forwards to whatever is above it; every filesystem is a holder of its devices, next
//! to any other; owners are found by reverse map and clipped exactly; what nobody can tell falls
//! back, page by page, and nothing else does; and when all was said, nobody maps a bad page.

use core::{num::NonZeroU64, ops::ControlFlow};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use badrange_core::{
    Corruption, DevOffset, DeviceId, Errno, Extent, Fallback, FileOffset, Granule, Granules,
    Holder, Mapping, MfFlags, Outcome, Run,
};
use badrange_fs::{FileId as MapFile, Fork, OwnedRun, OwnerSink, ReverseMap, RmapHolder, Special};
use badrange_pmem::MetadataArea;
use badrange_stack::{
    DeviceSpec, HolderId, Limits, Observer, Registration, Report as StackReport, Stack, Step,
};

use super::{
    Design, Failure, Halt, Linux, Log, Report,
    log::{Key, Marks},
    reach::{Place, hits, mapped_files, pieces},
};
use crate::{
    OwnerName, PAGE, RmapRecord,
    kernel::errno::{EBUSY, ENXIO},
    machine::Machine,
    scenario::{DeviceKind, FileId, FsKind, Owner},
};

/// The stack as it is now; made when it is first needed.
#[derive(Default)]
pub(super) struct Ranged {
    built: Option<Arc<Built>>,
}

struct Built {
    stack: Stack,
    /// Physical memory.
    memory: Option<DeviceId>,
    /// Those of the scenario.
    devices: BTreeMap<usize, DeviceId>,
    /// Who is behind a registration: a filesystem, or else a device.
    holders: BTreeMap<HolderId, Party>,
    desk: Arc<Desk>,
    _registrations: Vec<Registration>,
}

/// The name of the memory device: no name in a scenario has a control character.
const MEMORY: &str = "\0memory";

/// Whatever a scenario may have.
const LIMITS: Limits = Limits { holders: 1 << 20, legs: 1 << 20, ..Limits::DEFAULT };

const _: () = assert!(crate::MAX_DEPTH + 2 <= LIMITS.depth, "devices on one another, and memory");
const _: () = assert!(crate::MAX_DEVICES < LIMITS.devices, "and memory");
const _: () = assert!(crate::MAX_ROUTES < LIMITS.routes, "and memory");

/// Somebody who is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Party {
    Filesystem(usize),
    Device(usize),
    Memory,
}

/// What has to be done, in the order in which the stack said so.
#[derive(Debug)]
enum Act {
    /// Bytes of a pmem device are bad.
    Bad { device: usize, bytes: Run },
    /// Bytes of a file are lost.
    Lost { fs: usize, device: usize, owned: OwnedRun },
    /// Metadata of a filesystem is lost.
    Metadata { fs: usize, device: usize, owned: OwnedRun },
    /// Bytes of an external log are lost.
    LogLost { fs: usize, bytes: Run },
    /// Bytes of a character device are lost.
    DeviceLost { device: usize, bytes: Run },
    /// Nobody handled these pages.
    Fallback { pages: Granules },
}

/// Where holders leave what has to be done to the machine, which none of them may keep.
#[derive(Debug, Default)]
struct Desk(Mutex<Vec<Act>>);

impl Desk {
    fn put(&self, act: Act) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(act);
    }

    fn take(&self) -> Vec<Act> {
        core::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A filesystem at the desk.
struct Teller {
    fs: usize,
    device: usize,
    desk: Arc<Desk>,
}

impl OwnerSink for Teller {
    fn lost(&self, owned: &OwnedRun, _: &Corruption<'_>) {
        self.desk.put(Act::Lost { fs: self.fs, device: self.device, owned: *owned });
    }

    fn metadata_hit(&self, hit: &OwnedRun, _: &Corruption<'_>) {
        self.desk.put(Act::Metadata { fs: self.fs, device: self.device, owned: *hit });
    }
}

/// A pmem driver at the desk: it records what is bad, and knows nobody. Device-dax knows: itself.
struct Driver {
    device: usize,
    devdax: bool,
    desk: Arc<Desk>,
}

impl Holder for Driver {
    fn corrupted_range(&self, what: &Corruption<'_>) -> Outcome {
        let (device, bytes) = (self.device, what.range());
        if !what.flags().contains(MfFlags::MEM_PRE_REMOVE) {
            self.desk.put(Act::Bad { device, bytes });
        }
        if !self.devdax {
            return Outcome::Nothing;
        }
        self.desk.put(Act::DeviceLost { device, bytes });
        Outcome::Handled
    }
}

/// The external log of a filesystem at the desk.
struct LogDevice {
    fs: usize,
    desk: Arc<Desk>,
}

impl Holder for LogDevice {
    fn corrupted_range(&self, what: &Corruption<'_>) -> Outcome {
        if what.flags().contains(MfFlags::MEM_PRE_REMOVE) {
            return Outcome::Handled;
        }
        self.desk.put(Act::LogLost { fs: self.fs, bytes: what.range() });
        Outcome::Failed(Errno::EUCLEAN)
    }
}

impl Fallback for Desk {
    fn memory_failure(&self, page: Granule, flags: MfFlags) {
        let frame = Extent::new(page.pfn(), 1);
        debug_assert!(
            frame.is_ok(),
            "a page has many bytes, so that its number is far from the end"
        );
        if let Ok(frame) = frame {
            self.memory_failure_run(Granules::new(frame.into(), page.size()), flags);
        }
    }

    fn memory_failure_run(&self, pages: Granules, _: MfFlags) {
        self.put(Act::Fallback { pages });
    }
}

impl Built {
    fn new(machine: &Machine<'_>) -> Self {
        let stack = Stack::with_limits(LIMITS);
        let desk: Arc<Desk> = Arc::default();
        let memory = DeviceSpec::base(MEMORY, Extent::from_zero(NonZeroU64::MAX));
        let memory = stack.add_device(memory.fallback(PAGE, Arc::<Desk>::clone(&desk)));
        debug_assert!(memory.is_ok(), "an empty stack takes a device");
        let mut built = Self {
            stack,
            memory: memory.ok(),
            devices: BTreeMap::new(),
            holders: BTreeMap::new(),
            desk,
            _registrations: Vec::new(),
        };
        // Lower devices first, whatever the order of the list; nothing lies deeper than the limit.
        for _ in 0..=crate::MAX_DEPTH {
            (0..machine.scenario.devices.len()).for_each(|device| built.add(machine, device));
        }
        (0..machine.filesystems.len()).for_each(|fs| built.mount(machine, fs));
        built
    }

    fn add(&mut self, machine: &Machine<'_>, device: usize) {
        let what = machine.scenario.device(device);
        if self.device(device).is_some() {
            return;
        }
        let below = what.kind.below().iter().map(|lower| self.device(*lower));
        // Those below may come later in the list.
        let Some(legs) = below.collect::<Option<Vec<DeviceId>>>() else { return };
        let dead = machine.device(device).dead;
        let name = what.name.as_str();
        let mapping: Arc<dyn Mapping> = match &what.kind {
            DeviceKind::Pmem(pmem) => Arc::new(pmem.namespace),
            DeviceKind::Partition { place, .. } => Arc::new(*place),
            DeviceKind::Dm { table, .. } => Arc::new((**table).clone()),
        };
        let spec = match &what.kind {
            // Without its driver it has no memory.
            DeviceKind::Pmem(_) if dead => DeviceSpec::base(name, what.extent()),
            DeviceKind::Pmem(_) => DeviceSpec::on(name, mapping, self.memory.as_slice()),
            DeviceKind::Partition { .. } | DeviceKind::Dm { .. } => {
                DeviceSpec::on(name, mapping, legs)
            }
        };
        let added = self.stack.add_device(spec);
        debug_assert!(added.is_ok(), "a scenario that was read has no device that does not fit");
        self.devices.extend(added.ok().map(|id| (device, id)));
        if let DeviceKind::Pmem(pmem) = &what.kind {
            let devdax = what.is_devdax();
            let driver = Driver { device, devdax, desk: Arc::clone(&self.desk) };
            let on = self.device(device);
            self.hold(on, what.extent(), Arc::new(driver), Party::Device(device));
            if let Some(metadata) = pmem.namespace.metadata().filter(|_| !dead) {
                let metadata = metadata.on_memory();
                self.hold(self.memory, metadata, Arc::new(MetadataArea), Party::Memory);
            }
        }
    }

    fn device(&self, device: usize) -> Option<DeviceId> {
        self.devices.get(&device).copied()
    }

    fn hold(&mut self, on: Option<DeviceId>, range: Extent, holder: Arc<dyn Holder>, party: Party) {
        let registered = on.and_then(|on| self.stack.register(on, range, holder).ok());
        debug_assert!(registered.is_some(), "whatever is held lies on a device of the stack");
        if let Some(registration) = registered {
            self.holders.insert(registration.id(), party);
            self._registrations.push(registration);
        }
    }

    /// Registers a mounted filesystem on all of its devices.
    fn mount(&mut self, machine: &Machine<'_>, fs: usize) {
        let what = machine.scenario.filesystem(fs);
        if !machine.fs(fs).mounted {
            return;
        }
        let mut devices = vec![what.device];
        devices.extend(what.rt.filter(|rt| *rt != what.device));
        for device in devices {
            let all = machine.scenario.device(device).extent();
            let map = reverse_map(machine, fs, device, all);
            let sink = Teller { fs, device, desk: Arc::clone(&self.desk) };
            let holder = RmapHolder::new(Arc::new(map), Arc::new(sink));
            self.hold(self.device(device), all, Arc::new(holder), Party::Filesystem(fs));
        }
        if let Some(log) = what.log {
            let holder = Arc::new(LogDevice { fs, desk: Arc::clone(&self.desk) });
            self.hold(self.device(log.device), log.place, holder, Party::Filesystem(fs));
        }
    }

    fn party(&self, id: HolderId) -> Option<Party> {
        self.holders.get(&id).copied()
    }
}

/// What a filesystem knows about one of its devices: nothing, when it is an XFS without reverse
/// map, or cannot read it any more. An XFS map that can be read is complete: what it does not list
/// is free. Any other map knows only what it lists.
fn reverse_map(machine: &Machine<'_>, fs: usize, device: usize, all: Extent) -> ReverseMap {
    let (what, state) = (machine.scenario.filesystem(fs), machine.fs(fs));
    let xfs = what.kind == FsKind::Xfs;
    if state.shutdown || (xfs && !what.rmapbt) {
        return ReverseMap::default();
    }
    let listed = state.extents.iter().filter(|extent| extent.device == device);
    let map: ReverseMap = listed.map(map_record).collect();
    if !xfs {
        return map;
    }
    let mut records: Vec<badrange_fs::Record> = map.iter().collect();
    let _ = map.gaps(all, &mut |extent| {
        let owner = badrange_fs::Owner::Special(Special::Free);
        let file_start = FileOffset::new(0);
        records.push(badrange_fs::Record { extent, owner, file_start, unwritten: false });
        ControlFlow::Continue(())
    });
    records.into_iter().collect()
}

fn map_record(extent: &crate::scenario::Extent) -> badrange_fs::Record {
    let (owner, file_start) = match extent.owner {
        Owner::Inode { ino, fork, file_start } => {
            (badrange_fs::Owner::File { id: MapFile::Ino(ino), fork }, file_start)
        }
        Owner::Special(special) => (badrange_fs::Owner::Special(special), 0),
    };
    let (file_start, unwritten) = (FileOffset::new(file_start), extent.unwritten);
    badrange_fs::Record { extent: extent.place, owner, file_start, unwritten }
}

impl Design for Ranged {
    fn prepare(&mut self, machine: &Machine<'_>) {
        self.built = Some(Arc::new(Built::new(machine)));
    }

    /// Shares the stack, and with it the desk.
    fn fork(&self) -> Box<dyn Design> {
        Box::new(Self { built: self.built.clone() })
    }

    fn takes_ranges(&self) -> bool {
        true
    }

    fn knows_removal(&self) -> bool {
        true
    }

    fn changed(&mut self) {
        self.built = None;
    }

    fn fail(
        &mut self,
        linux: &mut Linux<'_>,
        what: Failure,
        report: &mut Report,
        log: &mut Log,
    ) -> Result<i64, Halt> {
        let built = self.built.get_or_insert_with(|| Arc::new(Built::new(&linux.machine)));
        let mut eyes = Eyes { built, linux, told: Vec::new(), log };
        let sent = send(built, what, &mut eyes);
        let told = eyes.told;
        debug_assert!(sent.is_some(), "every device of the machine is one of the stack");
        let Some(sent) = sent else { return Ok(ENXIO) };
        // A driver that takes note of its own device is no call upward.
        let filesystems = u64::try_from(told.len()).unwrap_or(u64::MAX);
        // Nor do the bytes arrive anywhere, or are translated, where they are reported.
        let arrived = sent.counts().arrived.saturating_sub(1);
        log.up(arrived.saturating_add(filesystems));
        log.translated(arrived);
        let acts = built.desk.take();
        let mut hand = Hand { linux, what, report, log, down: Vec::new(), unhandled: false };
        acts.into_iter().for_each(|act| hand.act(act));
        hand.unmap();
        if what.is_removal() {
            hand.down.extend(told);
        }
        let unhandled = hand.unhandled;
        hand.shut_down();
        Ok(answer(&sent, unhandled))
    }
}

/// Sends a failure into the stack.
fn send(built: &Built, what: Failure, eyes: &mut Eyes<'_, '_>) -> Option<StackReport> {
    let (on, range) = match what.place {
        Place::Memory(bad) => (built.memory, bad.on_memory()),
        Place::Device { device, range } => (built.device(device), range),
    };
    built.stack.fail_observed(on?, range, what.flags, eyes).ok()
}

/// 0, or the error of the bytes that failed for good, or of the pages that nobody could handle.
fn answer(sent: &StackReport, unhandled: bool) -> i64 {
    let errors = sent.states().iter().filter_map(|(_, state)| match state {
        Outcome::Failed(errno) => Some(errno.get()),
        Outcome::Handled | Outcome::NotSupported | Outcome::Nothing => None,
    });
    match errors.min() {
        Some(errno) => i64::from(errno).saturating_neg(),
        None if unhandled => EBUSY,
        None => 0,
    }
}

/// Writes down who was told.
struct Eyes<'e, 'a> {
    built: &'e Built,
    linux: &'e Linux<'a>,
    told: Vec<usize>,
    log: &'e mut Log,
}

impl Observer for Eyes<'_, '_> {
    fn step(&mut self, step: Step) {
        match step {
            // That memory failed nobody has to be told.
            Step::Arrived { device, .. } if Some(device) == self.built.memory => {}
            Step::Arrived { name, here, .. } => {
                self.log.say("stack", &name, format_args!("{here}"));
            }
            Step::Notified { holder, here, .. } => {
                if let Some(Party::Filesystem(fs)) = self.built.party(holder) {
                    self.told.push(fs);
                    let name = &self.linux.machine.scenario.filesystem(fs).name;
                    self.log.say("stack", name, format_args!("{here}"));
                }
            }
            Step::FellBack { pages, .. } => {
                self.log.say("stack", "memory_failure", format_args!("each page of {pages}"));
            }
            Step::Panicked { .. } | Step::Unmapped { .. } | Step::Unfollowed { .. } | _ => {}
        }
    }
}

/// Does to the machine what the stack found out.
struct Hand<'h, 'a> {
    linux: &'h mut Linux<'a>,
    what: Failure,
    report: &'h mut Report,
    log: &'h mut Log,
    /// Filesystems that cannot go on.
    down: Vec<usize>,
    /// A page fell back and remembered nobody.
    unhandled: bool,
}

impl Hand<'_, '_> {
    fn act(&mut self, act: Act) {
        match act {
            Act::Bad { device, bytes } => self.record_bad(device, bytes),
            Act::Lost { fs, device, owned } => self.file_lost(fs, device, &owned),
            Act::Metadata { fs, device, owned } => {
                self.log.translated(1);
                self.note(fs, device, &owned);
                self.down.push(fs);
            }
            Act::LogLost { fs, bytes } => {
                self.log.told.add_log(&self.linux.machine, fs, bytes, Marks::TOLD);
                self.down.push(fs);
            }
            Act::DeviceLost { device, bytes } => {
                self.log.walked(1);
                self.log.told.add(Key::Device(device), bytes, Marks::TOLD);
                if let Some(run) = bytes.rebase(DevOffset::new(0), FileOffset::new(0)) {
                    let whom = self.what.whom();
                    self.linux.revoke(FileId::Device(device), &[run], whom, self.report);
                }
            }
            Act::Fallback { pages } => self.fall_back(pages),
        }
    }

    /// The driver's list of bad sectors.
    fn record_bad(&mut self, device: usize, bytes: Run) {
        let state = self.linux.machine.device_mut(device);
        let span = bytes.span().containing_sectors();
        state.badblocks.set(span.start(), span.len());
    }

    fn file_lost(&mut self, fs: usize, device: usize, owned: &OwnedRun) {
        self.log.translated(1);
        self.note(fs, device, owned);
        let Some(run) = owned.file else { return }; // data that lies nowhere in the file
        let badrange_fs::Owner::File { id: MapFile::Ino(ino), fork: Fork::Data } =
            owned.record.owner
        else {
            return;
        };
        let file = FileId::Inode { fs, ino };
        if !self.linux.machine.is_dax(file) || !self.linux.machine.in_core(fs, ino) {
            return;
        }
        self.linux.note_owner(fs, ino, run, self.report);
        self.log.walked(1);
        self.linux.revoke(file, &[run], self.what.whom(), self.report);
    }

    /// The filesystem knows of this record.
    fn note(&mut self, fs: usize, device: usize, owned: &OwnedRun) {
        self.report.notified.records.push(outcome_record(&owned.record));
        let state = self.linux.machine.fs(fs);
        let place = owned.record.extent;
        let near = state.extents.numbered_at_place(device, place.start().get(), place.end().get());
        for (index, extent) in near {
            if map_record(extent) == owned.record {
                let key = Key::Extent { fs, index };
                self.log.told.add(key, owned.device, Marks::TOLD);
            }
        }
    }

    fn fall_back(&mut self, pages: Granules) {
        let frames = pages.frames();
        for part in frames.as_extent().map_or_else(|| frames.elements().collect(), |all| vec![all])
        {
            let Ok(bad) = part.bytes(pages.size()) else {
                self.unhandled = true; // the last page of all has no end in 64 bits
                continue;
            };
            let whom = self.what.whom();
            let place = Place::Memory(bad);
            let (all, known) = self.linux.fail_each_pfn(place, whom, self.report, self.log);
            self.unhandled |= known < all;
        }
    }

    /// Whoever was or was not told: nobody keeps a page that is bad.
    fn unmap(&mut self) {
        let machine = &self.linux.machine;
        let files = mapped_files(machine, &hits(machine, &pieces(machine, self.what.place)));
        for (file, bytes) in files {
            if self.what.is_removal() {
                self.linux.revoke(file, &[bytes], self.what.whom(), self.report);
            } else {
                self.linux.revoke_quietly(file, &[bytes]);
            }
        }
    }

    fn shut_down(mut self) {
        self.down.sort_unstable();
        self.down.dedup();
        let removal = self.what.is_removal();
        let reason = if removal { "device_removed" } else { "corrupt_ondisk" };
        for fs in self.down {
            if !self.linux.machine.fs(fs).shutdown {
                self.linux.shut_down(fs, reason, self.report);
            }
        }
    }
}

fn outcome_record(record: &badrange_fs::Record) -> RmapRecord {
    let (start, len) = (record.extent.start().get(), record.extent.len());
    match record.owner {
        badrange_fs::Owner::File { id, fork } => {
            let name = match id {
                MapFile::Ino(ino) => OwnerName::Inode(ino),
                MapFile::Name(_) => OwnerName::Words(id.to_string()),
            };
            let file_start = (fork != Fork::ExtentMap).then_some(record.file_start.get());
            let (fork, unwritten) = (Some(fork.as_str()), record.unwritten);
            RmapRecord { fork, file_start, unwritten, ..RmapRecord::new(start, len, name) }
        }
        badrange_fs::Owner::Special(special) => {
            RmapRecord::new(start, len, OwnerName::Words(special.to_string()))
        }
    }
}
