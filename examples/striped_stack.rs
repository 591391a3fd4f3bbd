//! Files on a stripe over two persistent-memory devices. First the stack is asked who is above some
//! memory, and where some bytes live; nobody is told anything. Then memory fails, and the files'
//! owners are told: once per file, not per chunk, even when one of the devices dies as a whole.
#![expect(clippy::print_stdout, reason = "an example shows its result")]

use core::error::Error;
use core::ops::ControlFlow;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::Arc;

use badrange::block::dm::Table;
use badrange::core::*;
use badrange::fs::{FileId, Fork, OwnedRun, Owner, OwnerSink, Record, ReverseMap, RmapHolder};
use badrange::pmem::{Mode, Namespace, PmemDevice};
use badrange::stack::{At, DeviceSpec, Snapshot, Stack};
use badrange::{attach_pmem, attach_table};

type Result<T> = core::result::Result<T, Box<dyn Error>>;

const TIB: u64 = 1 << 40;

/// Is told of every file that lost bytes; counts the calls.
#[derive(Default)]
struct Lost(AtomicU64);

impl OwnerSink for Lost {
    fn lost(&self, owned: &OwnedRun, _: &Corruption<'_>) {
        println!("{}: {}", owned.record.owner, owned.file.expect("data has a place in its file"));
        self.0.fetch_add(1, Relaxed);
    }
    fn metadata_hit(&self, _: &OwnedRun, _: &Corruption<'_>) {}
}

fn at(start: u64, len: u64) -> Result<Extent> {
    Ok(Extent::new(DevOffset::new(start), len)?)
}

/// 1 TiB of a file, on the device from `start` on.
fn file(ino: u64, start: u64) -> Result<Record> {
    let owner = Owner::File { id: FileId::Ino(ino), fork: Fork::Data };
    let extent = at(start, TIB)?;
    Ok(Record { extent, owner, file_start: FileOffset::new(0), unwritten: false })
}

/// Up: every place where these bytes are, and whether somebody is registered there.
fn above(snapshot: &Snapshot, device: DeviceId, bad: Extent) -> Result<Vec<String>> {
    let mut all = Vec::new();
    snapshot.up(device, bad.into(), &mut |visit| {
        match visit.at() {
            At::Arrived => all.push(format!("{}: {}", visit.name(), visit.here())),
            At::Registered { .. } => all.push(format!("{}: registered", visit.name())),
            other @ (At::Bottom | At::Hole(_) | At::Unfollowed(_) | _) => {
                all.push(format!("{}: {other:?}", visit.name()));
            }
        }
        ControlFlow::Continue(())
    })?;
    Ok(all)
}

/// Down: where these bytes live, in order.
fn below(snapshot: &Snapshot, device: DeviceId, bytes: Extent) -> Result<Vec<(Run, Run)>> {
    let mut all = Vec::new();
    snapshot.down(device, bytes, &mut |visit| {
        all.push((visit.asked(), visit.here()));
        ControlFlow::Continue(())
    })?;
    Ok(all)
}

fn main() -> Result<()> {
    let (stack, mut kept) = (Stack::new(), Vec::new());
    let memory = stack.add_device(DeviceSpec::base("mem", at(0, 8 * TIB)?))?;
    for (name, start) in [("pmem0", TIB), ("pmem1", 3 * TIB)] {
        let namespace = Namespace::new(Extent::new(PhysAddr::new(start), TIB)?, 0, Mode::Raw)?;
        kept.push(attach_pmem(&stack, name, memory, Arc::new(PmemDevice::new(namespace)))?);
    }
    let table = Table::parse("0 4294967296 striped 2 128 pmem0 0 pmem1 0")?;
    let whole = table.extent();
    let striped = attach_table(&stack, "striped", table)?;
    let map: ReverseMap = [file(132, 0)?, file(133, TIB)?].into_iter().collect();
    let lost = Arc::new(Lost::default());
    let fs = RmapHolder::new(Arc::new(map), lost.clone());
    let _registration = stack.register(striped, whole, Arc::new(fs))?;

    // Who is above 96 KiB of the second device's memory? The drivers' own registration, which
    // records badblocks, and the filesystem, for the end of one chunk and the beginning of the next.
    let snapshot = stack.snapshot();
    let bad = at(3 * TIB + 0x8000, 0x1_8000)?;
    let found = above(&snapshot, memory, bad)?;
    println!("{}", found.join("\n"));
    assert_eq!(
        found,
        [
            "mem: device bytes [0x30000008000..0x30000020000)",
            "pmem1: device bytes [0x8000..0x20000)",
            "pmem1: registered",
            "striped: device bytes [0x18000..0x20000)",
            "striped: registered",
            "striped: device bytes [0x30000..0x40000)",
            "striped: registered",
        ]
    );
    // And back: those bytes of the stripe live where we came from.
    for (asked, here) in below(&snapshot, striped, at(0x1_8000, 0x1_0000)?)? {
        println!("{asked} of the stripe are {here} of memory");
    }
    let back = below(&snapshot, striped, at(0x1_8000, 0x8000)?)?;
    assert_eq!(back, [(at(0x1_8000, 0x8000)?.into(), at(3 * TIB + 0x8000, 0x8000)?.into())]);
    assert_eq!(lost.0.load(Relaxed), 0, "to ask is not to tell");

    // 128 KiB of the second device fail, then all of it: calls per file, not per chunk of 64 KiB.
    for (start, len, calls) in [(3 * TIB + 0x8000, 0x2_0000, 3), (3 * TIB, TIB, 2)] {
        let report = stack.fail(memory, at(start, len)?, MfFlags::NONE)?;
        assert_eq!((report.handled_bytes(), lost.0.swap(0, Relaxed)), (len, calls));
    }
    Ok(())
}
