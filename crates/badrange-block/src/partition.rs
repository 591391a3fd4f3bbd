use core::ops::ControlFlow;

use badrange_core::{DevOffset, Extent, Leg, Mapped, Mapping, Piece, Rmapped};

use crate::leg::{LegRuns, Sink, map_beyond, map_window};

/// A window of a disk: byte 0 of the partition is the first byte of the window.
///
/// The one leg is the disk. What of a bad range lies outside the window is not the partition's; a
/// range that only begins or only ends inside is clipped.
///
/// # Kernel
/// `struct block_device` of a partition; `get_start_sect()` is the start of the window.
///
/// # Examples
/// ```
/// use badrange_block::Partition;
/// use badrange_core::{DevOffset, Extent, Leg, Mapping, Rmapped, Sector};
/// use core::ops::ControlFlow;
///
/// // 1 MiB from sector 2048 on.
/// let partition = Partition::new(Extent::new(Sector::new(2048), 2048)?.bytes()?);
/// // Bad: the last sector before the partition and its first one.
/// let bad = Extent::new(Sector::new(2047), 2)?.bytes()?;
/// let mut hit = Vec::new();
/// let _ = partition.rmap(Leg::new(0), bad, &mut |part: Rmapped| {
///     hit.push(part.upper);
///     ControlFlow::Continue(())
/// });
/// assert_eq!(hit, [Extent::new(DevOffset::new(0), 512)?]);
/// # Ok::<(), badrange_core::RangeError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Partition {
    on: Extent<DevOffset>,
}

impl Partition {
    /// The partition that consists of these bytes of its disk.
    #[must_use]
    pub const fn new(on: Extent<DevOffset>) -> Self {
        Self { on }
    }

    /// The bytes of the disk.
    #[must_use]
    pub const fn on(&self) -> Extent<DevOffset> {
        self.on
    }
}

impl Mapping for Partition {
    fn legs(&self) -> u32 {
        1
    }

    fn extent(&self) -> Extent<DevOffset> {
        // What begins at zero ends within 64 bits, whatever its length.
        self.on.rebase(self.on.start(), DevOffset::new(0)).unwrap_or(self.on)
    }

    fn leg_extent(&self, leg: Leg) -> Option<Extent<DevOffset>> {
        (leg.index() == 0).then_some(self.on)
    }

    fn map(&self, upper: Extent<DevOffset>, sink: Sink<'_, Mapped>) -> ControlFlow<()> {
        map_window(Leg::new(0), self.extent(), self.on.start(), upper, sink)?;
        map_beyond(self.extent(), upper, sink)
    }

    fn rmap(&self, leg: Leg, lower: Extent<DevOffset>, sink: Sink<'_, Rmapped>) -> ControlFlow<()> {
        match self.leg_extent(leg) {
            Some(on) => LegRuns::window(on, self.extent()).rmap(lower, sink),
            None => ControlFlow::Continue(()),
        }
    }

    fn rmap_run(&self, leg: Leg, lower: &Piece, sink: Sink<'_, Piece>) -> ControlFlow<()> {
        match self.leg_extent(leg) {
            Some(on) => LegRuns::window(on, self.extent()).rmap_run(lower, sink),
            None => ControlFlow::Continue(()),
        }
    }
}
