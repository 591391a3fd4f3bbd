#![expect(
    clippy::arithmetic_side_effects,
    reason = "pictures are small, and a panic is a failed check"
)]

use core::ops::ControlFlow;

use badrange_core::{Extent, Leg, Link, Mapped, Mapping, Run, Space};

use super::{Slot, Twin};

/// A mapping against its picture, with slots of `slot_len` bytes. What comes out of the mapping
/// has to begin and end at slots, because what goes in does.
impl Twin {
    /// Compares what `mapping` says about slots `start..start + len` with this picture.
    ///
    /// # Panics
    /// When they differ: that is what it is for.
    ///
    /// # Examples
    /// ```
    /// use badrange_core::{DevOffset, Extent, Window};
    /// use badrange_testkit::twin::Twin;
    /// let partition = Window::new(Extent::new(DevOffset::new(1024), 2048)?);
    /// Twin::partition(2, 4).check_map(&partition, 512, 0, 6);
    /// # Ok::<(), badrange_core::RangeError>(())
    /// ```
    pub fn check_map(&self, mapping: &dyn Mapping, slot_len: u64, start: u64, len: u64) {
        let mut due = start;
        let flow = mapping.map(bytes(slot_len, start, len), &mut |part| {
            for (i, upper) in (0..).zip(slots(slot_len, part.upper())) {
                assert_eq!(upper, due, "{mapping:?}: map of {start}+{len}: order of {part:?}");
                let said = match part {
                    Mapped::To { leg, link } => {
                        assert_eq!(link.lower().count(), 1, "{mapping:?}: {part:?}");
                        let at = slots(slot_len, link.lower().first()).start + i;
                        Slot::On { leg: leg.index(), at }
                    }
                    Mapped::Hole(kind, _) => Slot::Hole(kind),
                    Mapped::Own(_) => Slot::Own,
                };
                assert_eq!(
                    said,
                    self.map(upper),
                    "{mapping:?}: map of {start}+{len}: slot {upper}"
                );
                due += 1;
            }
            ControlFlow::Continue(())
        });
        assert_eq!((flow, due), (ControlFlow::Continue(()), start + len), "{mapping:?}: map");
    }

    /// Compares what `mapping` says lies on slots `start..start + len` of a leg with this picture.
    ///
    /// # Panics
    /// When they differ.
    ///
    /// # Examples
    /// ```
    /// use badrange_core::{DevOffset, Extent, Window};
    /// use badrange_testkit::twin::Twin;
    /// let partition = Window::new(Extent::new(DevOffset::new(1024), 2048)?);
    /// Twin::partition(2, 4).check_rmap(&partition, 512, 0, (0, 99));
    /// # Ok::<(), badrange_core::RangeError>(())
    /// ```
    pub fn check_rmap(
        &self,
        mapping: &dyn Mapping,
        slot_len: u64,
        leg: u32,
        (start, len): (u64, u64),
    ) {
        self.check_rmap_run(mapping, slot_len, leg, (start, len, len, 1));
    }

    /// Compares what `mapping` says lies on a run of `count` times `len` slots of a leg, each
    /// `stride` after the one before, with this picture.
    ///
    /// # Panics
    /// When they differ, or when the run cannot exist.
    ///
    /// # Examples
    /// ```
    /// use badrange_core::{DevOffset, Extent, Window};
    /// use badrange_testkit::twin::Twin;
    /// let partition = Window::new(Extent::new(DevOffset::new(1024), 2048)?);
    /// Twin::partition(2, 4).check_rmap_run(&partition, 512, 0, (1, 2, 3, 2));
    /// # Ok::<(), badrange_core::RangeError>(())
    /// ```
    pub fn check_rmap_run(
        &self,
        mapping: &dyn Mapping,
        slot_len: u64,
        leg: u32,
        (start, len, stride, count): (u64, u64, u64, u64),
    ) {
        let asked = run(slot_len, (start, len, stride, count));
        let mut said = Vec::new();
        let flow = mapping.rmap(Leg::new(leg), asked, &mut |link: Link| {
            for (lower, upper) in link.elements() {
                said.extend(slots(slot_len, lower).zip(slots(slot_len, upper)));
            }
            ControlFlow::Continue(())
        });
        assert_eq!(flow, ControlFlow::Continue(()), "{mapping:?}: rmap");
        let drawn = |lower| self.rmap(leg, lower).into_iter().map(move |upper| (lower, upper));
        let elements = (0..count).flat_map(|i| start + i * stride..start + i * stride + len);
        let mut due: Vec<_> = elements.flat_map(drawn).collect();
        said.sort_unstable();
        due.sort_unstable();
        assert_eq!(said, due, "{mapping:?}: rmap of {asked} of leg {leg}");
    }
}

/// The bytes of some slots.
pub(crate) fn bytes<S: Space>(slot_len: u64, start: u64, len: u64) -> Extent<S> {
    Extent::new(S::from_raw(start * slot_len), len * slot_len).expect("drawn ranges are small")
}

pub(crate) fn run<S: Space>(slot_len: u64, (start, len, stride, count): Quad) -> Run<S> {
    let first = bytes(slot_len, start, len);
    Run::new(first, stride * slot_len, count).expect("drawn runs exist")
}

/// Start, length, stride, count.
pub(crate) type Quad = (u64, u64, u64, u64);

/// The slots of some bytes, which have to be whole ones.
pub(crate) fn slots<S: Space>(slot_len: u64, bytes: Extent<S>) -> core::ops::Range<u64> {
    let (start, end) = (bytes.start().to_raw(), bytes.end().to_raw());
    assert!(start % slot_len == 0 && end % slot_len == 0, "{bytes:?} is not whole slots");
    start / slot_len..end / slot_len
}
