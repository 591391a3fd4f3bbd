//! A stranger's crate: it may name `badrange` and nothing else of ours. It puts a device-mapper
//! table and a layer of its own on a persistent-memory namespace, holds a part of the top, and
//! checks what it is told when two pages of memory fail.

use std::error::Error;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

use badrange::block::dm::Table;
use badrange::core::{
    Corruption, DevOffset, Errno, Extent, Fallback, Holder, HoleKind, Leg, Mapped, Mapping,
    MfFlags, Outcome, Pfn, PhysAddr, Rmapped, Run,
};
use badrange::pmem::{MetadataArea, Mode, Namespace};
use badrange::stack::{DeviceSpec, Stack, State};

/// A layer of one's own that overrides nothing: all but the first bytes of its leg.
#[derive(Debug)]
struct Skip {
    on: Extent<DevOffset>,
    shown: Extent<DevOffset>,
}

impl Mapping for Skip {
    fn legs(&self) -> u32 {
        1
    }

    fn extent(&self) -> Extent<DevOffset> {
        self.shown
    }

    fn leg_extent(&self, leg: Leg) -> Option<Extent<DevOffset>> {
        (leg.index() == 0).then_some(self.on)
    }

    fn map(
        &self,
        upper: Extent<DevOffset>,
        sink: &mut dyn FnMut(Mapped) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let (inside, beyond) = upper.split_at(self.shown.end());
        if let Some(upper) = inside {
            if let Some(lower) = upper.rebase(self.shown.start(), self.on.start()) {
                sink(Mapped::To { leg: Leg::new(0), upper, lower })?;
            }
        }
        match beyond {
            Some(upper) => sink(Mapped::Hole { kind: HoleKind::Unmapped, upper }),
            None => ControlFlow::Continue(()),
        }
    }

    fn rmap(
        &self,
        leg: Leg,
        lower: Extent<DevOffset>,
        sink: &mut dyn FnMut(Rmapped) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let used = self.leg_extent(leg).and_then(|on| lower.intersect(on));
        let both = used.and_then(|l| Some((l, l.rebase(self.on.start(), self.shown.start())?)));
        match both {
            Some((lower, upper)) => sink(Rmapped { lower, upper }),
            None => ControlFlow::Continue(()),
        }
    }
}

#[derive(Default)]
struct Told(Mutex<Vec<Run<DevOffset>>>);

impl Holder for Told {
    fn corrupted_range(&self, what: &Corruption<'_>) -> Outcome {
        self.0.lock().unwrap().push(what.range());
        Outcome::Handled
    }
}

#[derive(Default)]
struct Pages(Mutex<Vec<u64>>);

impl Fallback for Pages {
    fn memory_failure(&self, pfn: Pfn, _: MfFlags) {
        self.0.lock().unwrap().push(pfn.get());
    }
}

fn at(start: u64, len: u64) -> Extent<DevOffset> {
    Extent::new(DevOffset::new(start), len).unwrap()
}

fn main() -> Result<(), Box<dyn Error>> {
    let whole = Extent::new(PhysAddr::new(0x1_0000_0000), 64 << 20)?;
    let namespace = Namespace::new(whole, 2 << 20, Mode::Fsdax)?;
    let metadata = namespace.metadata().ok_or("2 MiB before the data")?;

    let stack = Stack::new();
    let pmem0 = stack.add_device(DeviceSpec::on_memory("pmem0", Arc::new(namespace)))?;
    let _metadata = stack.register_memory(metadata, Arc::new(MetadataArea))?;
    // 8 MiB of the device from its 1 MiB on, and a hole.
    let table = Arc::new(Table::parse("0 16384 linear pmem0 2048\n16384 8 error")?);
    let lv = stack.add_device(DeviceSpec::on("lv", table, [pmem0]))?;
    let skip = Arc::new(Skip { on: at(4096, 4 << 20), shown: at(0, 4 << 20) });
    let top = stack.add_device(DeviceSpec::on("top", skip, [lv]))?;
    let told = Arc::new(Told::default());
    let registration = stack.register(top, at(0, 512), told.clone())?;

    // The device begins at 0x1_0020_0000, the volume 1 MiB later, the top one page after that.
    let bad = Extent::new(PhysAddr::new(0x1_0030_0000), 8192)?;
    let pages = Pages::default();
    let report = stack.memory_failure_range(bad, MfFlags::NONE, &pages);
    assert_eq!(*told.0.lock().unwrap(), [at(0, 512).into()]);
    assert_eq!((report.handled_bytes(), report.remainder_bytes()), (512, 8192 - 512));
    assert_eq!(*pages.0.lock().unwrap(), [0x10_0300, 0x10_0301]);

    let in_metadata = Extent::new(PhysAddr::new(0x1_0000_0000), 4096)?;
    let report = stack.memory_failure_range(in_metadata, MfFlags::NONE, &pages);
    let states: Vec<_> = report.states().iter().map(|(_, state)| *state).collect();
    assert_eq!(states, [State::Failed(Errno::ENXIO)]);

    registration.unregister()?;
    println!("a stranger is told what is its own");
    Ok(())
}
