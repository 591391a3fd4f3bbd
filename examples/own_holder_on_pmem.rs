//! A holder of one's own on a part of a persistent-memory device: what it is told, what is left.
#![expect(clippy::print_stdout, reason = "an example shows its result")]

use core::error::Error;
use std::sync::{Arc, mpsc};

use badrange::attach_pmem;
use badrange::core::*;
use badrange::pmem::{Mode, Namespace, PmemDevice};
use badrange::stack::{DeviceSpec, Stack};

/// Stands for whatever finds the users of a single page, in a kernel or in a VMM.
struct Pages(mpsc::Sender<Pfn>);

impl Fallback for Pages {
    fn memory_failure(&self, page: Granule, _: MfFlags) {
        println!("falls back: {page}");
        self.0.send(page.pfn()).expect("the receiver is there");
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    // Physical memory is a device, and its last resort goes page by page.
    let stack = Stack::new();
    let (pages, fell_back) = mpsc::channel();
    let all = Extent::new(DevOffset::new(0), 1 << 46)?;
    let memory = DeviceSpec::base("mem", all).fallback(PageSize::K4, Arc::new(Pages(pages)));
    let memory = stack.add_device(memory)?;

    // 512 MiB of it at 9 GiB are persistent; the first 2 MiB describe the namespace and are no part
    // of the device.
    let whole = Extent::new(PhysAddr::new(0x2_4000_0000), 512 << 20)?;
    let pmem = Arc::new(PmemDevice::new(Namespace::new(whole, 0x20_0000, Mode::Fsdax)?));
    let pmem0 = attach_pmem(&stack, "pmem0", memory, Arc::clone(&pmem))?;

    // A database has its log on the raw device. It notes what it has lost, and works on it later.
    let (log, lost) = mpsc::channel();
    let database = HolderFn(move |what: &Corruption<'_>| {
        println!("the database is told: {}", what.range());
        match log.send(what.to_notice()) {
            Ok(()) => Outcome::Handled,
            Err(_) => Outcome::NotSupported, // nobody will see to it any more
        }
    });
    let mine = Extent::new(DevOffset::new(0x13a_c000), 0x2800)?;
    let registration = stack.register(pmem0.device(), mine, Arc::new(database))?;

    // Four pages fail. The database has the second, the third, and half of the fourth.
    let bad = Extent::new(Pfn::new(0x2_415ab), 4)?.bytes(PageSize::K4)?;
    let report = stack.fail(memory, bad.on_memory(), MfFlags::ACTION_REQUIRED)?;

    let notice = lost.try_recv()?;
    assert_eq!(notice.range, mine.into(), "its own bytes, on the device that it is registered on");
    assert_eq!(notice.trail.len(), 2, "from memory to pmem0");
    assert_eq!(report.handled_bytes(), 0x2800);
    // What is left is in the bytes of the device that the failure was reported on: addresses.
    let left: Vec<String> = report.remainder().map(|run| run.to_string()).collect();
    println!("left: {}", left.join(", "));
    assert_eq!(
        left,
        ["device bytes [0x2415ab000..0x2415ac000)", "device bytes [0x2415ae800..0x2415af000)",]
    );
    let fell_back: Vec<Pfn> = fell_back.try_iter().collect();
    assert_eq!(fell_back, [Pfn::new(0x2_415ab), Pfn::new(0x2_415ae)]);
    assert_eq!(report.counts().widened, 0x800, "the half of the last page that was handled");
    println!("badblocks of pmem0: {}", pmem.badblocks());
    assert_eq!(pmem.badblocks().to_string(), "40280 32");

    registration.unregister()?;
    Ok(())
}
