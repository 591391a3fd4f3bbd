//! Files on a stripe over two persistent-memory devices: which parts of which files does a range of
//! physical memory hold, and what if one device dies as a whole?
#![expect(clippy::print_stdout, reason = "an example shows its result")]

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::Arc;

use badrange::block::dm::Table;
use badrange::core::*;
use badrange::fs::{FileId, Fork, OwnedRun, Owner, OwnerSink, Record, ReverseMap, RmapHolder};
use badrange::pmem::{Mode, Namespace, PmemDevice};
use badrange::stack::Stack;
use badrange::{attach_pmem, attach_table};

const TIB: u64 = 1 << 40;

/// Is told of every file that lost bytes; counts the calls.
struct Lost(AtomicU64);

impl OwnerSink for Lost {
    fn lost(&self, owned: &OwnedRun, _: &Corruption<'_>) {
        println!("{}: {}", owned.record.owner, owned.file.expect("data has a place in its file"));
        self.0.fetch_add(1, Relaxed);
    }
    fn metadata_hit(&self, _: &OwnedRun, _: &Corruption<'_>) {}
}

impl Fallback for Lost {
    fn memory_failure(&self, _: Pfn, _: MfFlags) {}
}

/// 1 TiB of a file, on the device from `start` on.
fn file(ino: u64, start: u64) -> Result<Record, RangeError> {
    let owner = Owner::File { id: FileId::Ino(ino), fork: Fork::Data };
    let extent = Extent::new(DevOffset::new(start), TIB)?;
    Ok(Record { extent, owner, file_start: FileOffset::new(0), unwritten: false })
}

fn main() -> Result<(), Box<dyn core::error::Error>> {
    let (stack, mut kept) = (Stack::new(), Vec::new());
    for (name, start) in [("pmem0", TIB), ("pmem1", 3 * TIB)] {
        let memory = Namespace::new(Extent::new(PhysAddr::new(start), TIB)?, 0, Mode::Raw)?;
        kept.push(attach_pmem(&stack, name, Arc::new(PmemDevice::new(memory)))?);
    }
    let table = Table::parse("0 4294967296 striped 2 128 pmem0 0 pmem1 0")?;
    let whole = table.extent();
    let striped = attach_table(&stack, "striped", table)?;
    let map: ReverseMap = [file(132, 0)?, file(133, TIB)?].into_iter().collect();
    let lost = Arc::new(Lost(AtomicU64::new(0)));
    let fs = RmapHolder::new(Arc::new(map), lost.clone());
    let _registration = stack.register(striped, whole, Arc::new(fs))?;
    // 128 KiB of the second device, then all of it: calls per file, not per chunk of 64 KiB.
    for (start, len, calls) in [(3 * TIB + 0x8000, 0x2_0000, 3), (3 * TIB, TIB, 2)] {
        let bad = Extent::new(PhysAddr::new(start), len)?;
        let report = stack.memory_failure_range(bad, MfFlags::NONE, &lost);
        assert_eq!((report.handled_bytes(), lost.0.swap(0, Relaxed)), (len, calls));
    }
    Ok(())
}
