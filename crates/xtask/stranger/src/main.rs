//! A stranger's crate: it may name `badrange` and nothing else of ours. It puts a device-mapper
//! table and a layer of its own on a persistent-memory namespace, holds a part of the top, and
//! checks what it is told when two pages of memory fail.

use std::error::Error;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

use badrange::block::dm::Table;
use badrange::core::{
    Corruption, DevOffset, Errno, Extent, Fallback, Flow, Granule, Holder, Leg, Link, Mapped,
    Mapping, MfFlags, Outcome, PageSize, PhysAddr, Run, Sink, beyond,
};
use badrange::pmem::{MetadataArea, Mode, Namespace};
use badrange::stack::{At, DeviceSpec, Stack};

/// A layer of one's own: all but the first bytes of its leg.
#[derive(Debug)]
struct Skip {
    link: Link,
}

impl Mapping for Skip {
    fn legs(&self) -> u32 {
        1
    }

    fn extent(&self) -> Extent {
        self.link.upper().span()
    }

    fn leg_extent(&self, leg: Leg) -> Option<Extent> {
        (leg.index() == 0).then(|| self.link.lower().span())
    }

    fn map(&self, upper: Extent, sink: Sink<'_, Mapped>) -> Flow {
        for link in self.link.clip_upper(upper) {
            sink(Mapped::To { leg: Leg::new(0), link })?;
        }
        beyond(self.extent(), upper, sink)
    }

    fn rmap(&self, leg: Leg, lower: Run, sink: Sink<'_, Link>) -> Flow {
        match leg.index() {
            0 => self.link.rmap(lower, sink),
            _ => ControlFlow::Continue(()),
        }
    }
}

#[derive(Default)]
struct Told(Mutex<Vec<Run>>);

impl Holder for Told {
    fn corrupted_range(&self, what: &Corruption<'_>) -> Outcome {
        self.0.lock().unwrap().push(what.range());
        Outcome::Handled
    }
}

#[derive(Default)]
struct Pages(Mutex<Vec<u64>>);

impl Fallback for Pages {
    fn memory_failure(&self, page: Granule, _: MfFlags) {
        self.0.lock().unwrap().push(page.pfn().get());
    }
}

fn at(start: u64, len: u64) -> Extent {
    Extent::new(DevOffset::new(start), len).unwrap()
}

fn main() -> Result<(), Box<dyn Error>> {
    let whole = Extent::new(PhysAddr::new(0x1_0000_0000), 64 << 20)?;
    let namespace = Namespace::new(whole, 2 << 20, Mode::Fsdax)?;
    let metadata = namespace.metadata().ok_or("2 MiB before the data")?;

    let stack = Stack::new();
    let pages = Arc::new(Pages::default());
    let memory = DeviceSpec::base("mem", at(0, 1 << 46)).fallback(PageSize::K4, pages.clone());
    let memory = stack.add_device(memory)?;
    let pmem0 = stack.add_device(DeviceSpec::on("pmem0", Arc::new(namespace), [memory]))?;
    let _metadata = stack.register(memory, metadata.on_memory(), Arc::new(MetadataArea))?;
    // 8 MiB of the device from its 1 MiB on, and a hole.
    let table = Arc::new(Table::parse("0 16384 linear pmem0 2048\n16384 8 error")?);
    let lv = stack.add_device(DeviceSpec::on("lv", table, [pmem0]))?;
    let link = Link::at(at(4096, 4 << 20), DevOffset::new(0)).ok_or("far from the end")?;
    let top = stack.add_device(DeviceSpec::on("top", Arc::new(Skip { link }), [lv]))?;
    let told = Arc::new(Told::default());
    let registration = stack.register(top, at(0, 512), told.clone())?;

    // Where the first byte of the top lives, without telling anybody.
    let mut below = Vec::new();
    stack.snapshot().down(top, at(0, 1), &mut |visit| {
        assert!(matches!(visit.at(), At::Bottom));
        below.push((visit.name().to_owned(), visit.here()));
        ControlFlow::Continue(())
    })?;
    assert_eq!(below, [("mem".to_owned(), at(0x1_0030_1000, 1).into())]);

    // The device begins at 0x1_0020_0000, the volume 1 MiB later, the top one page after that.
    let bad = Extent::new(PhysAddr::new(0x1_0030_0000), 8192)?;
    let report = stack.fail(memory, bad.on_memory(), MfFlags::NONE)?;
    assert_eq!(*told.0.lock().unwrap(), [at(0, 512).into()]);
    assert_eq!((report.handled_bytes(), report.remainder_bytes()), (512, 8192 - 512));
    assert_eq!(*pages.0.lock().unwrap(), [0x10_0300, 0x10_0301]);

    let in_metadata = Extent::new(PhysAddr::new(0x1_0000_0000), 4096)?;
    let report = stack.fail(memory, in_metadata.on_memory(), MfFlags::NONE)?;
    let states: Vec<_> = report.states().iter().map(|(_, state)| *state).collect();
    assert_eq!(states, [Outcome::Failed(Errno::ENXIO)]);

    registration.unregister()?;
    println!("a stranger is told what is its own");
    Ok(())
}
