//! A layer of one's own: the lower device keeps 4 KiB of checksums after every 64 KiB of data.
#![expect(clippy::print_stdout, reason = "an example shows its result")]

use core::{error::Error, ops::ControlFlow};
use std::sync::Arc;

use badrange::core::*;
use badrange::stack::{At, DeviceSpec, Stack, Trace};

const DATA: u64 = 0x1_0000;
const CHECKSUMS: u64 = 0x1000;

/// The data as the lower device has it, with gaps, and as this device shows it, without: one run of
/// chunks on either side.
#[derive(Debug)]
struct Checksummed {
    data: Link,
}

impl Checksummed {
    fn new(chunks: u64) -> Result<Self, RangeError> {
        let first = Extent::new(DevOffset::new(0), DATA)?;
        let lower = Run::new(first, DATA + CHECKSUMS, chunks)?;
        Ok(Self { data: Link::new(lower, Run::new(first, DATA, chunks)?)? })
    }
}

impl Mapping for Checksummed {
    fn extent(&self) -> Extent {
        self.data.upper().span()
    }

    fn legs(&self) -> u32 {
        1
    }

    fn leg_extent(&self, leg: Leg) -> Option<Extent> {
        (leg.index() == 0).then(|| self.data.lower().span())
    }

    /// Down: chunk by chunk, ascending, and what lies beyond the end.
    fn map(&self, upper: Extent, sink: Sink<'_, Mapped>) -> Flow {
        for (lower, upper) in self.data.clip_upper(upper).flat_map(|part| part.elements()) {
            match Link::try_from((lower, upper)) {
                Ok(link) => sink(Mapped::To { leg: Leg::new(0), link })?,
                Err(_) => return bug!("both sides of a chunk are of one length"),
            }
        }
        beyond(self.extent(), upper, sink)
    }

    /// Up: a whole range of chunks is one run, so that no loop is needed. Checksums are emitted
    /// nowhere: they are no bytes of this device.
    fn rmap(&self, leg: Leg, lower: Run, sink: Sink<'_, Link>) -> Flow {
        match leg.index() {
            0 => self.data.rmap(lower, sink),
            _ => ControlFlow::Continue(()), // no such leg: nothing of it is used
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let layer = Checksummed::new(1 << 24)?;
    let stack = Stack::new();
    let disk = stack.add_device(DeviceSpec::base("disk", layer.data.lower().span()))?;
    let data = stack.add_device(DeviceSpec::on("data", Arc::new(layer), [disk]))?;

    // Half a TiB of the disk fails: head, body and tail above, not eight million chunks.
    let (bad, mut trace) = (Extent::new(DevOffset::new(4096), 1 << 39)?, Trace::new());
    let report = stack.fail_observed(disk, bad, MfFlags::NONE, &mut trace)?;
    print!("{trace}");
    let steps: Vec<String> = trace.steps().iter().map(ToString::to_string).collect();
    assert_eq!(
        steps,
        [
            "disk: device bytes [0x1000..0x8000001000)",
            "  data: device bytes [0x1000..0x10000)",
            "  data: device bytes [0x10000..0x20000) x7895159 every 0x10000",
            "  data: device bytes [0x7878780000..0x7878789000)",
        ]
    );
    assert_eq!(report.remainder_bytes(), 1 << 39, "nobody holds any of it");

    // Only checksums fail: the device above has none of these bytes.
    let checksums = Extent::new(DevOffset::new(DATA), CHECKSUMS)?;
    let report = stack.fail(disk, checksums, MfFlags::NONE)?;
    assert_eq!(report.counts().arrived, 1);

    // And down: where are the last byte of the first chunk and the first of the second?
    let mut below = Vec::new();
    stack.snapshot().down(data, Extent::new(DevOffset::new(DATA - 1), 2)?, &mut |visit| {
        assert!(matches!(visit.at(), At::Bottom));
        println!("{} of data lie on {} at {}", visit.asked(), visit.name(), visit.here());
        below.push(visit.here().first().start().get());
        ControlFlow::Continue(())
    })?;
    assert_eq!(below, [DATA - 1, DATA + CHECKSUMS]);
    Ok(())
}
