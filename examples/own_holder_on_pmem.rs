//! A holder of one's own on a part of a persistent-memory device: what it is told, what is left.
#![expect(clippy::print_stdout, reason = "an example shows its result")]

use std::sync::{Arc, mpsc};

use badrange::core::*;
use badrange::pmem::{Mode, Namespace};
use badrange::stack::{DeviceSpec, Stack};

/// A database with its log on the raw device: it only notes what it has lost.
struct Log(mpsc::Sender<Run<DevOffset>>);

impl Holder for Log {
    fn corrupted_range(&self, what: &Corruption<'_>) -> Outcome {
        println!("holder told: {}", what.range());
        if self.0.send(what.range()).is_ok() { Outcome::Handled } else { Outcome::NotSupported }
    }
}

/// Stands for whatever finds the users of a single page, in a kernel or in a VMM.
struct Pages(mpsc::Sender<u64>);

impl Fallback for Pages {
    fn memory_failure(&self, pfn: Pfn, _: MfFlags) {
        println!("falls back: pfn {pfn}");
        self.0.send(pfn.get()).expect("the receiver is there");
    }
}

fn main() -> Result<(), Box<dyn core::error::Error>> {
    // 512 MiB at 9 GiB; the first 2 MiB describe the namespace and are no part of the device.
    let whole = Extent::new(PhysAddr::new(0x2_4000_0000), 512 << 20)?;
    let namespace = Namespace::new(whole, 0x20_0000, Mode::Fsdax)?;
    let stack = Stack::new();
    let pmem0 = stack.add_device(DeviceSpec::on_memory("pmem0", Arc::new(namespace)))?;

    let (log, told) = mpsc::channel();
    let mine = Extent::new(DevOffset::new(0x13a_c000), 0x2800)?;
    let registration = stack.register(pmem0, mine, Arc::new(Log(log)))?;

    // Four pages fail. The holder has the second, the third, and half of the fourth.
    let bad = Extent::new(Pfn::new(0x2_415ab), 4)?.bytes()?;
    let (pages, failed) = mpsc::channel();
    let report = stack.memory_failure_range(bad, MfFlags::ACTION_REQUIRED, &Pages(pages));

    assert_eq!(told.try_iter().collect::<Vec<_>>(), [mine.into()]);
    assert_eq!(report.handled_bytes(), 0x2800);
    let left: Vec<_> = report.remainder().map(|run| run.to_string()).collect();
    assert_eq!(left, ["report bytes [0x0..0x1000)", "report bytes [0x3800..0x4000)"]);
    assert_eq!(failed.try_iter().collect::<Vec<_>>(), [0x2_415ab, 0x2_415ae]);
    assert_eq!(report.counts().widened, 0x800); // the half of the last page that was handled
    registration.unregister()?;
    Ok(())
}
