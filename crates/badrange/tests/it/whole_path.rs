//! From a failed range of memory to the owners of files, through every layer: what it costs in
//! calls, pieces and allocations. Times are for benchmarks.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::Arc;

use allocation_counter::measure;
use badrange::{
    attach_pmem, attach_table,
    block::dm::Table,
    core::{
        Corruption, DevOffset, Extent, Fallback, FileOffset, Granule, MfFlags, Outcome, PageSize,
        PhysAddr, Run,
    },
    fs::{FileId, Fork, OwnedRun, Owner, OwnerSink, Record, ReverseMap, RmapHolder, Special},
    pmem::{Mode, Namespace, PmemDevice},
    stack::{DeviceSpec, Observer, Report, Stack, Step},
};
use proptest::prelude::*;

const LEGS: u64 = 8;
const CHUNK: u64 = 64 << 10;
const TIB: u64 = 1 << 40;
const SECTOR: u64 = 512;

fn phys(start: u64, len: u64) -> Extent<PhysAddr> {
    Extent::new(PhysAddr::new(start), len).unwrap()
}

fn at(start: u64, len: u64) -> Extent {
    Extent::new(DevOffset::new(start), len).unwrap()
}

#[derive(Default)]
struct Notified {
    calls: AtomicU64,
    bytes: AtomicU64,
}

impl OwnerSink for Notified {
    fn lost(&self, owned: &OwnedRun, _: &Corruption<'_>) {
        self.calls.fetch_add(1, Relaxed);
        self.bytes.fetch_add(owned.device.total_len(), Relaxed);
    }
    fn metadata_hit(&self, _: &OwnedRun, _: &Corruption<'_>) {}
}

struct Pages;

impl Fallback for Pages {
    fn memory_failure(&self, _: Granule, _: MfFlags) {}
}

/// Counts what arrives at a device, and the calls of holders on it.
#[derive(Default)]
struct Arrivals {
    at_striped: usize,
    above: Vec<Run>,
}

impl Observer for Arrivals {
    fn step(&mut self, step: Step) {
        if let Step::Arrived { name, here, .. } = step {
            self.at_striped += usize::from(&*name == "striped");
            if &*name == "nested" {
                self.above.push(here);
            }
        }
    }
}

/// Whose the bytes are: extents of 12 MiB, every fourth of them free; all bytes have an owner.
fn files(len: u64) -> ReverseMap {
    const EXTENT: u64 = 12 << 20;
    let record = |i: u64| Record {
        extent: at(i * EXTENT, EXTENT.min(len - i * EXTENT)),
        owner: match i % 4 {
            0 => Owner::Special(Special::Free),
            _ => Owner::File { id: FileId::Ino(i), fork: Fork::Data },
        },
        file_start: FileOffset::new(0),
        unwritten: false,
    };
    (0..len.div_ceil(EXTENT)).map(record).collect()
}

struct World {
    stack: Stack,
    memory: badrange::core::DeviceId,
    told: Arc<Notified>,
    _keep: (badrange::AttachedPmem, badrange::stack::Registration),
}

/// Memory below pmem, below one linear device per leg, below a striped device with a filesystem.
fn world(leg: u64) -> World {
    let stack = Stack::new();
    let memory = DeviceSpec::base("mem", at(0, 1 << 52)).fallback(PageSize::K4, Arc::new(Pages));
    let memory = stack.add_device(memory).unwrap();
    let namespace = Namespace::new(phys(TIB, LEGS * leg), 0, Mode::Raw).unwrap();
    let pmem = attach_pmem(&stack, "pmem", memory, Arc::new(PmemDevice::new(namespace))).unwrap();
    let sectors = leg / SECTOR;
    let mut striped = format!("0 {} striped {LEGS} {}", LEGS * sectors, CHUNK / SECTOR);
    for i in 0..LEGS {
        let table = format!("0 {sectors} linear pmem {}", i * sectors);
        attach_table(&stack, &format!("leg{i}"), Table::parse(&table).unwrap()).unwrap();
        striped += &format!(" leg{i} 0");
    }
    let striped = attach_table(&stack, "striped", Table::parse(&striped).unwrap()).unwrap();
    let told = Arc::new(Notified::default());
    let all = stack.device_extent(striped).unwrap();
    let fs = RmapHolder::new(Arc::new(files(all.len())), told.clone());
    let registration = stack.register(striped, all, Arc::new(fs)).unwrap();
    World { stack, memory, told, _keep: (pmem, registration) }
}

impl World {
    fn fail(&self, start: u64, len: u64) -> Report {
        let bad = phys(TIB + start, len).on_memory();
        self.stack.fail(self.memory, bad, MfFlags::NONE).unwrap()
    }
}

/// The second of two equal failures: the first sets thread-locals up, and enters badblocks.
fn allocations(world: &World, start: u64, len: u64) -> (u64, Report) {
    let _ = world.fail(start, len);
    let mut report = None;
    let counted = measure(|| report = Some(world.fail(start, len)));
    (counted.count_total, report.unwrap())
}

#[test]
fn a_failed_leg_of_1_tib_allocates_nothing_and_is_one_call_of_the_filesystem() {
    let world = world(TIB);
    let (count, report) = allocations(&world, 3 * TIB, TIB);
    assert_eq!(count, 0);
    assert_eq!(report.handled_bytes(), TIB);
    assert_eq!(report.states(), [(at(4 * TIB, TIB).into(), Outcome::Handled)]);
    // Memory, pmem, its linear device, the striped device; badblocks and the filesystem.
    assert_eq!((report.counts().arrived, report.counts().notified), (4, 2));
    // Per chunk it would have been 16 777 216 calls. Here each owner is told at most three parts.
    let extents = (8 * TIB).div_ceil(12 << 20);
    let files = extents - extents.div_ceil(4);
    let calls = world.told.calls.load(Relaxed) / 2;
    assert!((files..=3 * files).contains(&calls), "{calls} calls for {files} files");
    let bytes = world.told.bytes.load(Relaxed) / 2;
    assert!(bytes < TIB && bytes > TIB / 2, "what is free has nobody to tell");
}

#[test]
fn a_failed_part_of_a_leg_is_three_pieces_at_most_and_allocates_nothing() {
    let world = world(TIB);
    for (start, len) in [(5 * TIB + 4096, TIB - 12288), (7 * TIB, 4096), (TIB + CHUNK, 4 * CHUNK)] {
        let (count, report) = allocations(&world, start, len);
        assert_eq!((count, report.handled_bytes()), (0, len), "{start:#x} {len:#x}");
        let mut seen = Arrivals::default();
        let bad = phys(TIB + start, len).on_memory();
        let _ = world.stack.fail_observed(world.memory, bad, MfFlags::NONE, &mut seen).unwrap();
        assert!((1..=3).contains(&seen.at_striped), "{} pieces", seen.at_striped);
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

proptest! {
    /// A stripe over stripes: what of a leg's leg reaches the top is bounded by the phases of the
    /// two patterns, not by the length.
    #[test]
    fn nested_striping_degrades_by_phases(
        (inner_legs, outer_legs) in (2..9_u64, 2..6_u64),
        (inner_chunk, outer_chunk) in (1..33_u64, 1..33_u64), // of 4 KiB
        rows in 1..40_u64,
        (skip, cut) in (0..100_000_u64, 0..100_000_u64),
    ) {
        let (inner_chunk, outer_chunk) = (inner_chunk * 4096, outer_chunk * 4096);
        // As many rows that both levels come out even.
        let width = rows * outer_chunk * inner_legs * inner_chunk;
        let stack = Stack::new();
        let leg = width / inner_legs;
        let names = |count: u64, name: &str| -> String {
            (0..count).map(|i| format!(" {name}{i} 0")).collect()
        };
        let mut disks = Vec::new();
        for i in 0..inner_legs {
            let disk = DeviceSpec::base(format!("d{i}"), at(0, leg));
            disks.push(stack.add_device(disk).unwrap());
        }
        let (sectors, chunk) = (width / SECTOR, inner_chunk / SECTOR);
        let striped = format!("0 {sectors} striped {inner_legs} {chunk}{}", names(inner_legs, "d"));
        attach_table(&stack, "o0", Table::parse(&striped).unwrap()).unwrap();
        for i in 1..outer_legs {
            let other = DeviceSpec::base(format!("o{i}"), at(0, width));
            stack.add_device(other).unwrap();
        }
        let (sectors, chunk) = (sectors * outer_legs, outer_chunk / SECTOR);
        let nested = format!("0 {sectors} striped {outer_legs} {chunk}{}", names(outer_legs, "o"));
        attach_table(&stack, "nested", Table::parse(&nested).unwrap()).unwrap();

        let (skip, cut) = (skip % leg, cut % leg);
        prop_assume!(skip + cut < leg);
        let bad = at(skip, leg - skip - cut);
        let mut seen = Arrivals::default();
        let _ = stack.fail_observed(disks[1], bad, MfFlags::NONE, &mut seen).unwrap();
        let total: u64 = seen.above.iter().map(Run::total_len).sum();
        prop_assert_eq!(total, bad.len());
        // The body of three pieces is strided; head and tail are cut at chunks of the outer stripe.
        let stride = inner_legs * inner_chunk;
        let phases = (stride + outer_chunk) / gcd(stride, outer_chunk);
        let ends = 2 * (inner_chunk.div_ceil(outer_chunk) + 1);
        let elements = bad.len().div_ceil(inner_chunk.min(outer_chunk)) + 4;
        let bound = (phases + ends).min(2 * elements);
        let pieces = seen.above.len() as u64;
        prop_assert!(pieces <= bound, "{} pieces, bound {}", pieces, bound);
    }
}
