use core::ops::ControlFlow;

use badrange_core::{DevOffset, Extent, HoleKind, Leg, Mapped, Piece, Rmapped, Run};

/// Where a layer's parts go; `Break` stops the layer.
pub(crate) type Sink<'a, T> = &'a mut dyn FnMut(T) -> ControlFlow<()>;

/// One leg as both sides see it: the same bytes, element by element.
///
/// # Invariants
/// Both runs have the same element length and count. When both are contiguous they are one element
/// each, so that nothing is cut at chunk boundaries that are none.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LegRuns {
    lower: Run<DevOffset>,
    upper: Run<DevOffset>,
}

impl LegRuns {
    /// A leg whose bytes lie in the same order on both sides.
    pub(crate) fn window(lower: Extent<DevOffset>, upper: Extent<DevOffset>) -> Self {
        debug_assert_eq!(lower.len(), upper.len());
        Self { lower: lower.into(), upper: upper.into() }
    }

    /// A leg whose chunks correspond.
    pub(crate) fn chunks(lower: Run<DevOffset>, upper: Run<DevOffset>) -> Self {
        debug_assert_eq!(lower.element_len(), upper.element_len());
        debug_assert_eq!(lower.count(), upper.count());
        match (lower.as_extent(), upper.as_extent()) {
            (Some(below), Some(above)) => Self::window(below, above),
            (Some(_), None) | (None, Some(_) | None) => Self { lower, upper },
        }
    }

    /// Lower to upper, chunk by chunk, in ascending order of lower.
    pub(crate) fn rmap(
        &self,
        lower: Extent<DevOffset>,
        sink: Sink<'_, Rmapped>,
    ) -> ControlFlow<()> {
        for part in self.lower.clip(lower) {
            let Some(image) = self.lower.image(part, &self.upper) else {
                debug_assert!(false, "a clip of a run has an image in a run of its shape");
                continue;
            };
            for (lower, upper) in part.elements().zip(image.elements()) {
                sink(Rmapped { lower, upper })?;
            }
        }
        ControlFlow::Continue(())
    }

    /// Lower to upper in closed form: an extent comes out as at most three pieces.
    pub(crate) fn rmap_run(
        &self,
        lower: &Piece<DevOffset>,
        sink: Sink<'_, Piece<DevOffset>>,
    ) -> ControlFlow<()> {
        lower.through(&self.lower, &self.upper, sink)
    }
}

/// Emits what of `upper` lies in the window `at`, whose first byte is `lower` on the leg.
pub(crate) fn map_window(
    leg: Leg,
    at: Extent<DevOffset>,
    lower: DevOffset,
    upper: Extent<DevOffset>,
    sink: Sink<'_, Mapped>,
) -> ControlFlow<()> {
    let Some(upper) = upper.intersect(at) else { return ControlFlow::Continue(()) };
    match upper.rebase(at.start(), lower) {
        Some(lower) => sink(Mapped::To { leg, upper, lower }),
        None => ControlFlow::Continue(()), // NO-OVERFLOW: the window exists on both sides.
    }
}

/// Emits what of `upper` lies beyond a device as unmapped.
pub(crate) fn map_beyond(
    device: Extent<DevOffset>,
    upper: Extent<DevOffset>,
    sink: Sink<'_, Mapped>,
) -> ControlFlow<()> {
    match upper.split_at(device.end()).1 {
        Some(upper) => sink(Mapped::Hole { kind: HoleKind::Unmapped, upper }),
        None => ControlFlow::Continue(()),
    }
}
