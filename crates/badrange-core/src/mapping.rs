use core::{fmt, ops::ControlFlow};

use crate::{Extent, Link, Run};

/// Why a walk or a translation ends early.
///
/// # Examples
/// ```
/// use badrange_core::{Flow, Stop};
/// use core::ops::ControlFlow;
/// // Enough was seen; and something that cannot be.
/// let seen: Flow = ControlFlow::Break(Stop::Enough);
/// let broken: Flow = ControlFlow::Break(Stop::Broken("a chunk lies outside its leg"));
/// assert_ne!(seen, broken);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stop {
    /// The sink needs no more.
    Enough,
    /// The mapping found itself broken and cannot say where the bytes are: the engine counts it,
    /// and lets the bytes that it was asked about fall back. The reason is for the report.
    Broken(&'static str),
}

/// Go on, or stop and why. A sink's answer is handed through by whoever calls the sink.
///
/// # Examples
/// ```
/// use badrange_core::{Flow, Stop};
/// use core::ops::ControlFlow;
/// // A sink that has enough after the first.
/// let mut first = None;
/// let mut sink = |number: u32| -> Flow {
///     first = Some(number);
///     ControlFlow::Break(Stop::Enough)
/// };
/// assert!((1..10).try_for_each(&mut sink).is_break());
/// assert_eq!(first, Some(1));
/// ```
pub type Flow = ControlFlow<Stop>;

/// Where answers go, one by one.
///
/// # Examples
/// ```
/// use badrange_core::{Flow, Sink};
/// fn digits(sink: Sink<'_, u8>) -> Flow {
///     (0..10).try_for_each(sink)
/// }
/// ```
pub type Sink<'a, T> = &'a mut dyn FnMut(T) -> Flow;

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
/// assert_eq!(Mapped::Hole(HoleKind::Zero, upper).upper(), upper);
/// # Ok::<(), badrange_core::RangeError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mapped {
    /// On a leg: the same bytes below and above, one element on each side.
    To {
        /// Which leg.
        leg: Leg,
        /// The bytes on the leg's device, and on this one.
        link: Link,
    },
    /// Nowhere, and why.
    Hole(HoleKind, Extent),
    /// On no leg, and yet there: they are this device's own, as memory's are that no region has.
    Own(Extent),
}

impl Mapped {
    /// The part of the upper device.
    #[must_use]
    pub fn upper(&self) -> Extent {
        match self {
            Self::To { link, .. } => link.upper().span(),
            Self::Hole(_, upper) | Self::Own(upper) => *upper,
        }
    }
}

/// What other bytes of the same layer could stand in for bytes of a leg: what
/// [`Mapping::redundancy`] emits.
///
/// # Examples
/// ```
/// use badrange_core::{Backing, BackingKind, DevOffset, Extent, Leg, Run};
/// let chunk: Run = Extent::new(DevOffset::new(0), 4096)?.into();
/// let mirror = Backing { lower: chunk, kind: BackingKind::Copy, needed: 1, sources: &[(Leg::new(1), chunk)] };
/// assert!(mirror.sources.len() >= mirror.needed);
/// # Ok::<(), badrange_core::RangeError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backing<'a> {
    /// The bytes of the leg.
    pub lower: Run,
    /// What they are to their layer.
    pub kind: BackingKind,
    /// How many of the sources it takes.
    pub needed: usize,
    /// Parts of other legs, of the shape of `lower`, in the order in which they are to be read:
    /// all of a stripe that is left, data before parity, or every further copy. Those that are not
    /// up to date are left out.
    pub sources: &'a [(Leg, Run)],
}

/// What bytes of a leg are to a layer with redundancy.
///
/// # Examples
/// ```
/// use badrange_core::BackingKind;
/// assert_ne!(BackingKind::Copy, BackingKind::Parity);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BackingKind {
    /// One of several copies: each source has the bytes themselves.
    Copy,
    /// Data of a stripe: to be computed from the rest of it.
    Data,
    /// Parity of a stripe: no byte of the device above.
    Parity,
}

/// How one device lies on the devices below it: both directions, pure.
///
/// Everything is bytes of devices. An implementation computes only: it holds no lock, allocates
/// nothing on the way, and cannot fail for what it is asked. One that finds itself broken says so
/// ([`Stop::Broken`]) and never panics.
///
/// [`Link::rmap`] is the whole reverse map of a leg that is one run of chunks, and a loop over
/// links that of any other; [`Window`](crate::Window) and [`Piecewise`](crate::Piecewise) are ready
/// mappings.
///
/// # Laws
/// The conformance kit (`badrange-testkit`) states these for any implementation:
/// 1. `map(a)` covers every byte of `a`, in ascending order: each in exactly one hole, or as the
///    device's own, or in one `To` per copy (a mirror emits the copies one after the other, by
///    leg).
/// 2. `rmap` of a piece of `map(a)` gives back that very piece of `a`.
/// 3. `rmap` emits links whose lower sides lie element by element inside the run it was given,
///    inside [`leg_extent`](Self::leg_extent), and are disjoint; the order depends on the question
///    alone.
/// 4. `rmap` of a run equals `rmap` of each element.
/// 5. All are total: any `u64` range, any leg number.
/// 6. `redundancy` emits disjoint parts of what it was asked, with sources of the same shape on
///    other legs.
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
/// fn at(start: u64, len: u64) -> Extent {
///     Extent::new(DevOffset::new(start), len).unwrap()
/// }
/// fn halves() -> [Link; 2] {
///     [(0, HALF), (HALF, 0)].map(|(lower, upper)| Link::at(at(lower, HALF), DevOffset::new(upper)).unwrap())
/// }
///
/// impl Mapping for Swap {
///     fn legs(&self) -> u32 { 1 }
///     fn extent(&self) -> Extent { at(0, 2 * HALF) }
///     fn leg_extent(&self, leg: Leg) -> Option<Extent> {
///         (leg.index() == 0).then(|| self.extent())
///     }
///     fn map(&self, upper: Extent, sink: Sink<'_, Mapped>) -> Flow {
///         for half in halves().iter().rev() { // ascending above
///             for link in half.clip_upper(upper) {
///                 sink(Mapped::To { leg: Leg::new(0), link })?;
///             }
///         }
///         match upper.split_at(self.extent().end()).1 {
///             Some(beyond) => sink(Mapped::Hole(HoleKind::Unmapped, beyond)),
///             None => ControlFlow::Continue(()),
///         }
///     }
///     fn rmap(&self, leg: Leg, lower: Run, sink: Sink<'_, Link>) -> Flow {
///         if leg.index() != 0 { return ControlFlow::Continue(()) }
///         halves().iter().try_for_each(|half| half.rmap(lower, sink))
///     }
/// }
///
/// let mut above = Vec::new();
/// let _ = Swap.rmap(Leg::new(0), at(HALF - 512, 1024).into(), &mut |link| {
///     above.push(link.upper().first().start().get());
///     ControlFlow::Continue(())
/// });
/// assert_eq!(above, [2 * HALF - 512, 0]);
/// ```
pub trait Mapping: fmt::Debug + Send + Sync {
    /// The whole upper device.
    fn extent(&self) -> Extent;

    /// How many legs there are; their numbers are `0..legs`.
    fn legs(&self) -> u32;

    /// The smallest extent of the leg's device that holds everything this layer uses of it;
    /// `None` for a leg number that does not exist.
    fn leg_extent(&self, leg: Leg) -> Option<Extent>;

    /// Upper to lower: emits, in ascending order of the upper side, where every byte is. Bytes
    /// beyond the device are [`HoleKind::Unmapped`]. Stops and hands through what the sink says as
    /// soon as that is `Break`.
    ///
    /// Cost: one call per contiguous part (for striped: per chunk).
    fn map(&self, upper: Extent, sink: Sink<'_, Mapped>) -> Flow;

    /// Lower to upper, for one leg: emits what of `lower` this layer uses and where it is above.
    /// What lies outside the leg's area is not emitted; that is no error.
    ///
    /// Cost: a layer in closed form emits a whole leg as a handful of links, whatever its length.
    fn rmap(&self, leg: Leg, lower: Run, sink: Sink<'_, Link>) -> Flow;

    /// For each byte of a leg that this layer keeps more than once, which other legs have it once
    /// more, or what of its stripe is left to rebuild it from. A part without enough sources is
    /// emitted all the same: the layer has tried. Emits nothing where the layer has no redundancy,
    /// which is what it does if not given. A backing lives as long as the call of the sink.
    fn redundancy(&self, leg: Leg, lower: Run, sink: &mut dyn FnMut(Backing<'_>) -> Flow) -> Flow {
        let _ = (leg, lower, sink);
        ControlFlow::Continue(())
    }
}

const _: Option<&dyn Mapping> = None;

impl<M: Mapping + ?Sized> Mapping for alloc::sync::Arc<M> {
    fn extent(&self) -> Extent {
        (**self).extent()
    }

    fn legs(&self) -> u32 {
        (**self).legs()
    }

    fn leg_extent(&self, leg: Leg) -> Option<Extent> {
        (**self).leg_extent(leg)
    }

    fn map(&self, upper: Extent, sink: Sink<'_, Mapped>) -> Flow {
        (**self).map(upper, sink)
    }

    fn rmap(&self, leg: Leg, lower: Run, sink: Sink<'_, Link>) -> Flow {
        (**self).rmap(leg, lower, sink)
    }

    fn redundancy(&self, leg: Leg, lower: Run, sink: &mut dyn FnMut(Backing<'_>) -> Flow) -> Flow {
        (**self).redundancy(leg, lower, sink)
    }
}
