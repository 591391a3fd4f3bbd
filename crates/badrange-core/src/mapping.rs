use core::{fmt, ops::ControlFlow};

use crate::{DevOffset, Extent, Piece, Space};

/// Which of a layer's lower devices: an index from 0.
///
/// # Kernel
/// A stripe of `dm-stripe`, the one `dm_dev` of `dm-linear`.
///
/// # Examples
/// ```
/// use badrange_core::Leg;
/// assert_eq!(Leg::new(2).index(), 2);
/// assert_eq!(Leg::new(2).to_string(), "leg 2");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Leg(u32);

impl Leg {
    /// The leg with this index.
    #[must_use]
    pub const fn new(index: u32) -> Self {
        Self(index)
    }

    /// The index, from 0.
    #[must_use]
    pub const fn index(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Leg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "leg {}", self.0)
    }
}

/// Why a range of a device lies on no lower device.
///
/// # Examples
/// ```
/// use badrange_core::HoleKind;
/// assert_eq!(HoleKind::Error.to_string(), "error");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum HoleKind {
    /// Every access fails (`dm-error`).
    Error,
    /// Reads as zeros (`dm-zero`).
    Zero,
    /// Outside every target, or not yet allocated.
    Unmapped,
}

impl fmt::Display for HoleKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Zero => "zero",
            Self::Unmapped => "unmapped",
        })
    }
}

/// Where a part of an upper extent lies: what [`Mapping::map`] emits.
///
/// # Examples
/// ```
/// use badrange_core::{DevOffset, Extent, HoleKind, Mapped};
/// let upper = Extent::new(DevOffset::new(0), 512)?;
/// let hole: Mapped = Mapped::Hole { kind: HoleKind::Zero, upper };
/// assert_eq!(hole.upper(), upper);
/// # Ok::<(), badrange_core::RangeError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mapped<L: Space = DevOffset, U: Space = DevOffset> {
    /// On a leg: `upper` and `lower` have equal length and correspond byte by byte.
    To {
        /// Which leg.
        leg: Leg,
        /// The part of the upper device.
        upper: Extent<U>,
        /// The same bytes on the leg's device.
        lower: Extent<L>,
    },
    /// On no leg.
    Hole {
        /// Why.
        kind: HoleKind,
        /// The part of the upper device.
        upper: Extent<U>,
    },
}

impl<L: Space, U: Space> Mapped<L, U> {
    /// The part of the upper device.
    #[must_use]
    pub fn upper(&self) -> Extent<U> {
        match self {
            Self::To { upper, .. } | Self::Hole { upper, .. } => *upper,
        }
    }
}

/// A part of a lower extent and where it is above: what [`Mapping::rmap`] emits.
///
/// # Invariants
/// `lower` and `upper` have equal length and correspond byte by byte.
///
/// # Examples
/// ```
/// use badrange_core::{DevOffset, Extent, Rmapped};
/// let lower = Extent::new(DevOffset::new(1 << 20), 512)?;
/// let upper = Extent::new(DevOffset::new(0), 512)?;
/// let part = Rmapped { lower, upper };
/// assert_eq!(part.lower.len(), part.upper.len());
/// # Ok::<(), badrange_core::RangeError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rmapped<L: Space = DevOffset, U: Space = DevOffset> {
    /// The part of the lower device.
    pub lower: Extent<L>,
    /// The same bytes of the upper device.
    pub upper: Extent<U>,
}

/// How one device lies on the devices below it: both directions, pure.
///
/// An implementation computes only: it holds no lock, allocates nothing on the way, and cannot
/// fail. Whoever writes a simple layer writes [`rmap`](Self::rmap) for extents and is done; layers
/// with a closed form (striped) override [`rmap_run`](Self::rmap_run), usually with
/// [`Piece::through`].
///
/// # Laws
/// The conformance kit (`badrange-testkit`) states these for any implementation:
/// 1. `map(a)` covers every byte of `a`, in ascending order: each in exactly one hole, or in one
///    `To` per copy (a mirror emits the copies one after the other, by leg).
/// 2. `rmap` of a piece of `map(a)` gives back that very piece of `a`.
/// 3. `rmap` emits parts of the extent it was given, and nothing outside [`leg_extent`](Self::leg_extent).
/// 4. `rmap_run` equals `rmap` of each element.
/// 5. All are total: any `u64` range, any leg number.
///
/// # Kernel
/// `dm_target_type->map` and the `->rmap` of the patches that were never merged.
///
/// # Examples
/// A layer that swaps the two halves of a 1 MiB device:
/// ```
/// use badrange_core::*;
/// use core::ops::ControlFlow;
///
/// #[derive(Debug)]
/// struct Swap;
/// const HALF: u64 = 512 * 1024;
///
/// fn halves() -> [(Extent<DevOffset>, DevOffset); 2] {
///     let at = |start| Extent::new(DevOffset::new(start), HALF).unwrap();
///     [(at(0), DevOffset::new(HALF)), (at(HALF), DevOffset::new(0))]
/// }
///
/// impl Mapping for Swap {
///     fn legs(&self) -> u32 { 1 }
///     fn extent(&self) -> Extent<DevOffset> { Extent::new(DevOffset::new(0), 2 * HALF).unwrap() }
///     fn leg_extent(&self, leg: Leg) -> Option<Extent<DevOffset>> {
///         (leg.index() == 0).then(|| self.extent())
///     }
///     fn map(&self, upper: Extent<DevOffset>, sink: &mut dyn FnMut(Mapped) -> ControlFlow<()>)
///         -> ControlFlow<()>
///     {
///         for (half, to) in halves() {
///             let Some(upper) = upper.intersect(half) else { continue };
///             let Some(lower) = upper.rebase(half.start(), to) else { continue };
///             sink(Mapped::To { leg: Leg::new(0), upper, lower })?;
///         }
///         match upper.split_at(self.extent().end()).1 {
///             Some(upper) => sink(Mapped::Hole { kind: HoleKind::Unmapped, upper }),
///             None => ControlFlow::Continue(()),
///         }
///     }
///     fn rmap(&self, leg: Leg, lower: Extent<DevOffset>, sink: &mut dyn FnMut(Rmapped) -> ControlFlow<()>)
///         -> ControlFlow<()>
///     {
///         if leg.index() != 0 { return ControlFlow::Continue(()) }
///         for (half, to) in halves() {
///             let Some(lower) = lower.intersect(half) else { continue };
///             let Some(upper) = lower.rebase(half.start(), to) else { continue };
///             sink(Rmapped { lower, upper })?;
///         }
///         ControlFlow::Continue(())
///     }
/// }
///
/// let mut above = Vec::new();
/// let bad = Extent::new(DevOffset::new(HALF - 512), 1024)?;
/// let _ = Swap.rmap(Leg::new(0), bad, &mut |r| { above.push(r.upper.start().get()); ControlFlow::Continue(()) });
/// assert_eq!(above, [2 * HALF - 512, 0]);
/// # Ok::<(), RangeError>(())
/// ```
pub trait Mapping<L: Space = DevOffset, U: Space = DevOffset>: fmt::Debug + Send + Sync {
    /// How many legs there are; their numbers are `0..legs`.
    fn legs(&self) -> u32;

    /// The whole upper device.
    fn extent(&self) -> Extent<U>;

    /// The smallest extent of the leg's device that holds everything this layer uses of it;
    /// `None` for a leg number that does not exist.
    fn leg_extent(&self, leg: Leg) -> Option<Extent<L>>;

    /// Upper to lower: emits, in ascending order of `upper`, where every byte is. Bytes beyond the
    /// device are [`HoleKind::Unmapped`]. Stops and returns `Break` as soon as the sink does.
    ///
    /// Cost: one call per contiguous part (for striped: per chunk).
    fn map(
        &self,
        upper: Extent<U>,
        sink: &mut dyn FnMut(Mapped<L, U>) -> ControlFlow<()>,
    ) -> ControlFlow<()>;

    /// Lower to upper, for one leg: emits what of `lower` this layer uses, in ascending order of
    /// `lower`. What lies outside the leg's area is not emitted; that is no error.
    fn rmap(
        &self,
        leg: Leg,
        lower: Extent<L>,
        sink: &mut dyn FnMut(Rmapped<L, U>) -> ControlFlow<()>,
    ) -> ControlFlow<()>;

    /// The same for a piece of a report, run by run and with origins carried along.
    ///
    /// The provided form calls [`rmap`](Self::rmap) per element: right for any layer, and a loop.
    /// Layers with a closed form override it.
    fn rmap_run(
        &self,
        leg: Leg,
        lower: &Piece<L>,
        sink: &mut dyn FnMut(Piece<U>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        for (here, origin) in lower.elements() {
            self.rmap(leg, here, &mut |part| {
                // A mapping that emits parts outside its argument or of unequal length breaks its
                // laws: such a part stands for no byte of the report, and nobody is told of it.
                let inside = Some(part.lower).filter(|lower| here.contains_extent(*lower));
                let from = inside.and_then(|lower| lower.rebase(here.start(), origin.start()));
                match from.map(|from| Piece::new(part.upper.into(), from.into())) {
                    Some(Ok(piece)) => sink(piece),
                    Some(Err(_)) | None => ControlFlow::Continue(()),
                }
            })?;
        }
        ControlFlow::Continue(())
    }
}

const _: Option<&dyn Mapping> = None;

impl<L: Space, U: Space, M: Mapping<L, U> + ?Sized> Mapping<L, U> for alloc::sync::Arc<M> {
    fn legs(&self) -> u32 {
        (**self).legs()
    }

    fn extent(&self) -> Extent<U> {
        (**self).extent()
    }

    fn leg_extent(&self, leg: Leg) -> Option<Extent<L>> {
        (**self).leg_extent(leg)
    }

    fn map(
        &self,
        upper: Extent<U>,
        sink: &mut dyn FnMut(Mapped<L, U>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        (**self).map(upper, sink)
    }

    fn rmap(
        &self,
        leg: Leg,
        lower: Extent<L>,
        sink: &mut dyn FnMut(Rmapped<L, U>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        (**self).rmap(leg, lower, sink)
    }

    fn rmap_run(
        &self,
        leg: Leg,
        lower: &Piece<L>,
        sink: &mut dyn FnMut(Piece<U>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        (**self).rmap_run(leg, lower, sink)
    }
}
