//! A layer of one's own: the lower device keeps 4 KiB of checksums after every 64 KiB of data.
#![expect(clippy::print_stdout, reason = "an example shows its result")]

use core::ops::ControlFlow;
use std::sync::Arc;

use badrange::core::*;
use badrange::stack::{DeviceSpec, Stack, Trace};

type Dev = Extent<DevOffset>;
type Sink<'a, T> = &'a mut dyn FnMut(T) -> ControlFlow<()>;

/// The data as the lower device has it, and as the device shows it: without the gaps.
#[derive(Debug)]
struct Checksummed(Run<DevOffset>, Run<DevOffset>);

/// The elements of `from` in a window, each with its place in `to`.
fn pairs(from: Run<DevOffset>, to: Run<DevOffset>, at: Dev) -> impl Iterator<Item = (Dev, Dev)> {
    let parts = from.clip(at).filter_map(move |part| Some((part, from.image(part, &to)?)));
    parts.flat_map(|(part, image)| part.elements().zip(image.elements()))
}

impl Mapping for Checksummed {
    fn legs(&self) -> u32 {
        1
    }
    fn extent(&self) -> Dev {
        self.1.span()
    }
    fn leg_extent(&self, leg: Leg) -> Option<Dev> {
        (leg.index() == 0).then(|| self.0.span())
    }
    fn map(&self, upper: Dev, sink: Sink<'_, Mapped>) -> ControlFlow<()> {
        let to = |(upper, lower)| Mapped::To { leg: Leg::new(0), upper, lower };
        let beyond = upper.split_at(self.extent().end()).1.into_iter();
        let hole = beyond.map(|upper| Mapped::Hole { kind: HoleKind::Unmapped, upper });
        pairs(self.1, self.0, upper).map(to).chain(hole).try_for_each(sink)
    }
    fn rmap(&self, leg: Leg, lower: Dev, sink: Sink<'_, Rmapped>) -> ControlFlow<()> {
        let mut used = self.leg_extent(leg).into_iter().flat_map(|_| pairs(self.0, self.1, lower));
        used.try_for_each(|(lower, upper)| sink(Rmapped { lower, upper }))
    }
    /// Right without this, too; with it, head, body and tail instead of a piece per chunk.
    fn rmap_run(&self, leg: Leg, lower: &Piece, sink: Sink<'_, Piece>) -> ControlFlow<()> {
        self.leg_extent(leg).into_iter().try_for_each(|_| lower.through(&self.0, &self.1, sink))
    }
}

fn main() -> Result<(), Box<dyn core::error::Error>> {
    let run = |stride| Run::new(Extent::new(DevOffset::new(0), 0x1_0000)?, stride, 1 << 24);
    let (stack, layer) = (Stack::new(), Checksummed(run(0x1_1000)?, run(0x1_0000)?));
    let disk = stack.add_device(DeviceSpec::base("disk", layer.0.span()))?;
    stack.add_device(DeviceSpec::on("data", Arc::new(layer), [disk]))?;
    let (bad, mut trace) = (Extent::new(DevOffset::new(4096), 1 << 39)?, Trace::new());
    let report = stack.notify_failure_observed(disk, bad, MfFlags::NONE, &mut trace);
    print!("{trace}");
    assert_eq!(report.counts().arrived, 4); // at the disk; above, head, body and tail
    Ok(())
}
