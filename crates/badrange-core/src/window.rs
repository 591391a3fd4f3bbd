use core::ops::ControlFlow;

use crate::{Extent, Flow, HoleKind, Leg, Link, Mapped, Mapping, Run, Sink};

/// A device that is a window of another: its byte 0 is the first byte of the window.
///
/// The mapping of a partition, a pmem namespace in memory, a `linear` target, and a CXL region over
/// one device. The one leg is the device below. What of a bad range lies outside the window is not
/// this device's; a range that only begins or only ends inside is clipped.
///
/// # Kernel
/// `struct block_device` of a partition: `get_start_sect()` is the start of the window. For
/// persistent memory `pmem->phys_addr + pmem->data_offset`.
///
/// # Examples
/// ```
/// use badrange_core::{DevOffset, Extent, Leg, Mapping, Sector, Window};
/// use core::ops::ControlFlow;
///
/// // A partition of 1 MiB, from sector 2048 on.
/// let partition = Window::new(Extent::new(Sector::new(2048), 2048)?.bytes()?);
/// // Bad: the last sector before the partition and its first one.
/// let bad = Extent::new(Sector::new(2047), 2)?.bytes()?;
/// let mut hit = Vec::new();
/// let _ = partition.rmap(Leg::new(0), bad.into(), &mut |link| {
///     hit.push(link.upper().first());
///     ControlFlow::Continue(())
/// });
/// assert_eq!(hit, [Extent::new(DevOffset::new(0), 512)?]);
/// # Ok::<(), badrange_core::RangeError>(())
/// ```
#[doc(alias = "partition")]
#[doc(alias = "linear")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Window {
    on: Extent,
}

impl Window {
    /// The device that consists of these bytes of the one below.
    #[must_use]
    pub const fn new(on: Extent) -> Self {
        Self { on }
    }

    /// The bytes of the device below.
    #[must_use]
    pub const fn on(&self) -> Extent {
        self.on
    }

    /// Below and above: all of it.
    ///
    /// # Examples
    /// ```
    /// use badrange_core::{DevOffset, Extent, Window};
    /// let window = Window::new(Extent::new(DevOffset::new(1 << 20), 4096)?);
    /// assert_eq!(window.link().upper(), Extent::new(DevOffset::new(0), 4096)?.into());
    /// # Ok::<(), badrange_core::RangeError>(())
    /// ```
    #[must_use]
    pub fn link(&self) -> Link {
        Link::at_zero(self.on)
    }
}

impl Mapping for Window {
    fn extent(&self) -> Extent {
        Extent::from_zero(self.on.len_nonzero())
    }

    fn legs(&self) -> u32 {
        1
    }

    fn leg_extent(&self, leg: Leg) -> Option<Extent> {
        (leg.index() == 0).then_some(self.on)
    }

    fn map(&self, upper: Extent, sink: Sink<'_, Mapped>) -> Flow {
        let inside = self.link().clip_upper(upper);
        inside.map(|link| Mapped::To { leg: Leg::new(0), link }).try_for_each(&mut *sink)?;
        beyond(self.extent(), upper, sink)
    }

    fn rmap(&self, leg: Leg, lower: Run, sink: Sink<'_, Link>) -> Flow {
        match leg.index() {
            0 => self.link().rmap(lower, sink),
            _ => ControlFlow::Continue(()),
        }
    }
}

/// Emits what of `upper` lies beyond a device, as unmapped: the end of every [`Mapping::map`].
///
/// # Examples
/// ```
/// use badrange_core::{DevOffset, Extent, HoleKind, Mapped, beyond};
/// use core::ops::ControlFlow;
/// let at = |start, len| Extent::new(DevOffset::new(start), len).unwrap();
/// let mut all = Vec::new();
/// let _ = beyond(at(0, 100), at(90, 20), &mut |part| { all.push(part); ControlFlow::Continue(()) });
/// assert_eq!(all, [Mapped::Hole(HoleKind::Unmapped, at(100, 10))]);
/// ```
pub fn beyond(device: Extent, upper: Extent, sink: Sink<'_, Mapped>) -> Flow {
    match upper.split_at(device.end()).1 {
        Some(after) => sink(Mapped::Hole(HoleKind::Unmapped, after)),
        None => ControlFlow::Continue(()),
    }
}
