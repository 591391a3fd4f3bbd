//! The stack that is measured: memory below pmem below a linear device per leg below a striped
//! device with a filesystem.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::Arc;

use badrange::attach_table;
use badrange_block::dm::Table;
use badrange_core::{
    Corruption, DevOffset, DeviceId, Extent, Fallback, FileOffset, Flow, Granule, Granules, Leg,
    Link, Mapped, Mapping, MfFlags, PageSize, PhysAddr, Run, SECTOR_SIZE, Sink, bug,
};
use badrange_fs::{
    FileId, Fork, OwnedRun, Owner, OwnerSink, Record, ReverseMap, RmapHolder, Special,
};
use badrange_pmem::{Mode, Namespace};
use badrange_stack::{DeviceSpec, Limits, Registration, Report, Stack};

/// Legs of the striped device.
pub const LEGS: u64 = 8;
/// Bytes of a chunk.
pub const CHUNK: u64 = 64 << 10;
/// Bytes of a page.
pub const PAGE: u64 = 4096;
/// Where the persistent memory begins.
pub const MEMORY: u64 = 1 << 40;

/// How a striped leg reaches the filesystem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Design {
    /// As runs: one call for any length.
    Runs,
    /// One call for each chunk: the same table, asked extent by extent.
    PerChunk,
}

/// A stack, its filesystem, and what was told.
#[derive(Debug)]
pub struct World {
    /// The engine.
    pub stack: Stack,
    /// Physical memory.
    pub memory: DeviceId,
    /// The striped device.
    pub striped: DeviceId,
    /// The first leg's device.
    pub leg: DeviceId,
    /// Who owns what.
    pub map: Arc<ReverseMap>,
    /// What was told.
    pub told: Arc<Told>,
    _registration: Registration,
}

/// Adds up what owners are told. One thread at a time.
#[derive(Debug, Default)]
pub struct Told {
    calls: AtomicU64,
    bytes: AtomicU64,
}

impl Told {
    /// Calls and bytes since the last time.
    pub fn take(&self) -> (u64, u64) {
        (self.calls.swap(0, Relaxed), self.bytes.swap(0, Relaxed))
    }
}

impl OwnerSink for Told {
    fn lost(&self, owned: &OwnedRun, _: &Corruption<'_>) {
        let add = |to: &AtomicU64, by: u64| to.store(to.load(Relaxed).wrapping_add(by), Relaxed);
        add(&self.calls, 1);
        add(&self.bytes, owned.device.total_len());
    }

    fn metadata_hit(&self, _: &OwnedRun, _: &Corruption<'_>) {}
}

/// Pages that fall back are nobody's here.
#[derive(Debug)]
pub struct Nobody;

impl Fallback for Nobody {
    fn memory_failure(&self, _: Granule, _: MfFlags) {}
    fn memory_failure_run(&self, _: Granules, _: MfFlags) {}
}

/// A table without the closed form: the loop that a layer has which does not know about runs.
#[derive(Debug)]
struct PerChunk(Table);

impl Mapping for PerChunk {
    fn legs(&self) -> u32 {
        self.0.legs()
    }
    fn extent(&self) -> Extent {
        self.0.extent()
    }
    fn leg_extent(&self, leg: Leg) -> Option<Extent> {
        self.0.leg_extent(leg)
    }
    fn map(&self, upper: Extent, sink: Sink<'_, Mapped>) -> Flow {
        self.0.map(upper, sink)
    }
    fn rmap(&self, leg: Leg, lower: Run, sink: Sink<'_, Link>) -> Flow {
        self.0.rmap(leg, lower, &mut |link| {
            link.elements().try_for_each(|chunk| match Link::try_from(chunk) {
                Ok(link) => sink(link),
                Err(_) => bug!("both sides of an element are of one length"),
            })
        })
    }
}

/// The table of the striped device.
///
/// # Errors
/// None for a length of whole chunks.
pub fn striped(leg_bytes: u64) -> Result<Table, String> {
    let (sectors, chunk) = (LEGS * leg_bytes / SECTOR_SIZE, CHUNK / SECTOR_SIZE);
    let legs: String = (0..LEGS).map(|i| format!(" leg{i} 0")).collect();
    Table::parse(&format!("0 {sectors} striped {LEGS} {chunk}{legs}")).map_err(|e| e.to_string())
}

/// Records for `len` bytes, `count` of them in the mean: lengths uniform, after one in five a free
/// one. Every byte has an owner, as in a dump of a filesystem.
///
/// # Panics
/// Beyond the end of the scale.
#[must_use]
pub fn files(len: u64, count: u64, seed: u64) -> Vec<Record> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let longest = (2 * len / PAGE / count.max(1)).saturating_sub(1).max(1);
    let mut records = Vec::new();
    let mut at = 0;
    while at < len {
        let blocks = rng.u64(1..=longest).min((len - at) / PAGE).max(1);
        let free = rng.u8(0..6) == 0;
        let file = Owner::File { id: FileId::Ino(rng.u64(1..1 << 32)), fork: Fork::Data };
        records.push(Record {
            extent: Extent::new(DevOffset::new(at), blocks * PAGE).expect("far from 2^64"),
            owner: if free { Owner::Special(Special::Free) } else { file },
            file_start: FileOffset::new(0),
            unwritten: false,
        });
        at += blocks * PAGE;
    }
    records
}

/// A range of the memory below leg 0, counted from its first byte.
///
/// # Panics
/// Beyond the end of the scale.
#[must_use]
pub fn memory(start: u64, len: u64) -> Extent<PhysAddr> {
    Extent::new(PhysAddr::new(MEMORY + start), len).expect("far from 2^64")
}

/// Adds all of physical memory, with pages that are nobody's.
///
/// # Errors
/// None in an empty stack.
pub fn add_memory(stack: &Stack) -> Result<DeviceId, String> {
    let all = Extent::new(DevOffset::new(0), 1 << 52).map_err(|e| e.to_string())?;
    let memory = DeviceSpec::base("mem", all).fallback(PageSize::K4, Arc::new(Nobody));
    stack.add_device(memory).map_err(|e| e.to_string())
}

impl World {
    /// Eight legs of so many bytes each, below this filesystem.
    ///
    /// # Errors
    /// None for a length of whole chunks.
    pub fn new(leg_bytes: u64, map: Arc<ReverseMap>, design: Design) -> Result<Self, String> {
        let failed = |e: &dyn core::fmt::Display| e.to_string();
        // A call for each chunk: far more than a real stack has to allow.
        let limits = Limits { pieces: u64::MAX, routes: u64::MAX, ..Limits::DEFAULT };
        let stack = Stack::with_limits(limits);
        let mem = add_memory(&stack)?;
        let pmem = Namespace::new(memory(0, LEGS * leg_bytes), 0, Mode::Raw);
        let pmem = Arc::new(pmem.map_err(|e| failed(&e))?);
        stack.add_device(DeviceSpec::on("pmem", pmem, [mem])).map_err(|e| failed(&e))?;
        let mut legs = Vec::new();
        for i in 0..LEGS {
            let sectors = leg_bytes / SECTOR_SIZE;
            let table = Table::parse(&format!("0 {sectors} linear pmem {}", i * sectors));
            let table = table.map_err(|e| failed(&e))?;
            legs.push(attach_table(&stack, &format!("leg{i}"), table).map_err(|e| failed(&e))?);
        }
        let leg = legs.first().copied().ok_or("no legs")?;
        let table = striped(leg_bytes)?;
        let mapping: Arc<dyn Mapping> = match design {
            Design::Runs => Arc::new(table),
            Design::PerChunk => Arc::new(PerChunk(table)),
        };
        let all = mapping.extent();
        let spec = DeviceSpec::on("striped", mapping, legs);
        let striped = stack.add_device(spec).map_err(|e| failed(&e))?;
        let told = Arc::new(Told::default());
        let holder = Arc::new(RmapHolder::new(Arc::clone(&map), told.clone()));
        let registration = stack.register(striped, all, holder).map_err(|e| failed(&e))?;
        Ok(Self { stack, memory: mem, striped, leg, map, told, _registration: registration })
    }

    /// A range of the memory below leg 0 fails.
    ///
    /// # Panics
    /// Beyond the end of the scale.
    pub fn fail(&self, start: u64, len: u64) -> Report {
        self.fail_memory(memory(start, len))
    }

    /// A range of memory fails.
    ///
    /// # Panics
    /// Never: the memory stays.
    pub fn fail_memory(&self, bad: Extent<PhysAddr>) -> Report {
        let report = self.stack.fail(self.memory, bad.on_memory(), MfFlags::NONE);
        report.expect("the memory stays")
    }
}
