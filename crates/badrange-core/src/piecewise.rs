use alloc::{boxed::Box, vec::Vec};
use core::{fmt, ops::ControlFlow};

use crate::{
    DevOffset, Extent, Flow, HoleKind, Leg, Link, Mapped, Mapping, Run, Sink, beyond, bug,
};

/// A device in pieces: a sorted list of links, each to a part of some leg.
///
/// The mapping of a disk image in a file, of guest memory, of a thin volume, of physical memory
/// with CXL regions in it, and of anything that a test makes up. What no piece covers is a hole of
/// a given kind, or the device's own.
///
/// Cost: a binary search, and one call per piece that comes out; for a run of more elements than
/// there are pieces, one look at each piece in reach.
///
/// # Examples
/// Physical memory whose bytes from 4 GiB on are a CXL region:
/// ```
/// use badrange_core::{DevOffset, Extent, Leg, Link, Mapped, Mapping, Piecewise, Rest};
/// use core::ops::ControlFlow;
/// let at = |start, len| Extent::new(DevOffset::new(start), len).unwrap();
/// let region = Link::at(at(0, 1 << 30), DevOffset::new(4 << 30)).unwrap();
/// let memory = Piecewise::new(at(0, 1 << 52), Rest::Own, [(Leg::new(0), region)])?;
///
/// let mut ways = Vec::new();
/// let _ = memory.map(at((4 << 30) - 4096, 8192), &mut |part| {
///     ways.push(part);
///     ControlFlow::Continue(())
/// });
/// assert_eq!(ways[0], Mapped::Own(at((4 << 30) - 4096, 4096)));
/// assert!(matches!(ways[1], Mapped::To { link, .. } if link.lower() == at(0, 4096).into()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piecewise {
    extent: Extent,
    rest: Rest,
    /// INVARIANT: inside `extent`, ascending and disjoint above.
    by_upper: Box<[(Leg, Part)]>,
    /// By leg. INVARIANT: the same parts, ascending and disjoint below.
    by_lower: Box<[Box<[Part]>]>,
}

/// A piece as it is kept: as small as can be, because a thin pool has millions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Part {
    lower: Extent,
    /// INVARIANT: so many bytes from here on end within 64 bits.
    upper: DevOffset,
}

impl Part {
    fn upper(&self) -> Extent {
        Extent::from_zero(self.lower.len_nonzero()).moved(self.upper.get())
    }

    fn lower(&self) -> Extent {
        self.lower
    }

    fn link(&self) -> Link {
        Link::of_extents(self.lower, self.upper())
    }
}

/// What bytes of a [`Piecewise`] device are that no piece covers.
///
/// # Examples
/// ```
/// use badrange_core::{DevOffset, Extent, HoleKind, Mapped, Mapping, Piecewise, Rest};
/// use core::ops::ControlFlow;
/// let all = Extent::new(DevOffset::new(0), 4096)?;
/// let sparse = Piecewise::new(all, Rest::Hole(HoleKind::Zero), [])?;
/// let mut parts = Vec::new();
/// let _ = sparse.map(all, &mut |part| {
///     parts.push(part);
///     ControlFlow::Continue(())
/// });
/// assert_eq!(parts, [Mapped::Hole(HoleKind::Zero, all)]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rest {
    /// Nowhere, and why.
    Hole(HoleKind),
    /// The device's own.
    Own,
}

/// Pieces that no device can have.
///
/// # Examples
/// ```
/// use badrange_core::{DevOffset, Extent, HoleKind, Leg, Link, Piecewise, Rest};
/// let at = |start, len| Extent::new(DevOffset::new(start), len).unwrap();
/// let twice = [0, 4].map(|upper| (Leg::new(0), Link::at(at(0, 8), DevOffset::new(upper)).unwrap()));
/// let err = Piecewise::new(at(0, 64), Rest::Hole(HoleKind::Unmapped), twice).unwrap_err();
/// assert_eq!(err.to_string(), "leg 0: device bytes [0x4..0xc) above overlap another piece");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PiecewiseError {
    /// A piece is no single range on both sides.
    Strided(Leg, Run),
    /// A piece reaches beyond the device.
    Outside(Leg, Extent),
    /// Two pieces have a byte of the device in common.
    Above(Leg, Extent),
    /// Two pieces have a byte of a leg in common: a leg that is used twice is two legs.
    Below(Leg, Extent),
    /// A leg number below the highest has no piece.
    NoPiece(Leg),
}

impl fmt::Display for PiecewiseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Strided(leg, run) => write!(f, "{leg}: {run} are no single range"),
            Self::Outside(leg, at) => write!(f, "{leg}: {at} reach beyond the device"),
            Self::Above(leg, at) => write!(f, "{leg}: {at} above overlap another piece"),
            Self::Below(leg, at) => write!(f, "{leg}: {at} below overlap another piece of the leg"),
            Self::NoPiece(leg) => write!(f, "{leg} has no piece"),
        }
    }
}

impl core::error::Error for PiecewiseError {}

impl Piecewise {
    /// The device `extent` with these pieces, in any order, each of one range on both sides.
    ///
    /// # Errors
    /// A [`PiecewiseError`] when a piece is strided or reaches beyond the device, when two overlap,
    /// above or on one leg, or when a leg number below the highest has no piece.
    pub fn new(
        extent: Extent,
        rest: Rest,
        pieces: impl IntoIterator<Item = (Leg, Link)>,
    ) -> Result<Self, PiecewiseError> {
        let mut by_upper: Vec<(Leg, Part)> = Vec::new();
        for (leg, link) in pieces {
            by_upper.push((leg, checked(extent, leg, link)?));
        }
        by_upper.sort_by_key(|(_, part)| part.upper());
        if let Some((leg, upper)) = overlap(&by_upper, Part::upper) {
            return Err(PiecewiseError::Above(leg, upper));
        }
        let mut by_leg = by_upper.clone();
        by_leg.sort_by_key(|(leg, part)| (*leg, part.lower()));
        let legs: Vec<&[(Leg, Part)]> = by_leg.chunk_by(|(a, _), (b, _)| a == b).collect();
        for (number, pieces) in (0..).map(Leg::new).zip(&legs) {
            if pieces.first().is_none_or(|(leg, _)| *leg != number) {
                return Err(PiecewiseError::NoPiece(number));
            }
            if let Some((leg, lower)) = overlap(pieces, Part::lower) {
                return Err(PiecewiseError::Below(leg, lower));
            }
        }
        let parts = |pieces: &&[(Leg, Part)]| pieces.iter().map(|(_, part)| *part).collect();
        let by_lower = legs.iter().map(parts).collect();
        Ok(Self { extent, rest, by_upper: by_upper.into(), by_lower })
    }

    /// The pieces, ascending above.
    ///
    /// # Examples
    /// ```
    /// use badrange_core::{DevOffset, Extent, Leg, Link, Piecewise, Rest};
    /// let at = |start, len| Extent::new(DevOffset::new(start), len).unwrap();
    /// let piece = |upper| (Leg::new(0), Link::at(at(upper + 4096, 512), DevOffset::new(upper)).unwrap());
    /// let device = Piecewise::new(at(0, 4096), Rest::Own, [piece(2048), piece(0)])?;
    /// assert_eq!(device.pieces().collect::<Vec<_>>(), [piece(0), piece(2048)]);
    /// # Ok::<(), badrange_core::PiecewiseError>(())
    /// ```
    pub fn pieces(&self) -> impl ExactSizeIterator<Item = (Leg, Link)> + '_ {
        self.by_upper.iter().map(|(leg, part)| (*leg, part.link()))
    }

    fn leg(&self, leg: Leg) -> Option<&[Part]> {
        self.by_lower.get(usize::try_from(leg.index()).ok()?).map(|parts| &**parts)
    }

    /// Emits bytes that no piece covers.
    fn rest(&self, upper: Option<Extent>, sink: Sink<'_, Mapped>) -> Flow {
        match (upper, self.rest) {
            (None, _) => ControlFlow::Continue(()),
            (Some(upper), Rest::Own) => sink(Mapped::Own(upper)),
            (Some(upper), Rest::Hole(kind)) => sink(Mapped::Hole(kind, upper)),
        }
    }
}

/// The piece with one element on each side.
fn checked(device: Extent, leg: Leg, link: Link) -> Result<Part, PiecewiseError> {
    let one = link.joined();
    if let Some(run) = [one.lower(), one.upper()].into_iter().find(|run| run.count() > 1) {
        return Err(PiecewiseError::Strided(leg, run));
    }
    if !device.contains_extent(one.upper().first()) {
        return Err(PiecewiseError::Outside(leg, one.upper().first()));
    }
    Ok(Part { lower: one.lower().first(), upper: one.upper().first().start() })
}

/// The first piece that begins before the one before it ends, on a side on which they ascend.
fn overlap(pieces: &[(Leg, Part)], side: fn(&Part) -> Extent) -> Option<(Leg, Extent)> {
    let place = |(_, part): &(Leg, Part)| side(part);
    let mut pairs = pieces.iter().zip(pieces.iter().skip(1));
    let (_, second) = pairs.find(|(a, b)| place(a).end() > place(b).start())?;
    Some((second.0, place(second)))
}

impl Mapping for Piecewise {
    fn extent(&self) -> Extent {
        self.extent
    }

    fn legs(&self) -> u32 {
        u32::try_from(self.by_lower.len()).unwrap_or(u32::MAX) // legs are numbered with 32 bits
    }

    fn leg_extent(&self, leg: Leg) -> Option<Extent> {
        let parts = self.leg(leg)?;
        Some(parts.first()?.lower.hull(parts.last()?.lower))
    }

    fn map(&self, upper: Extent, sink: Sink<'_, Mapped>) -> Flow {
        let first = self.by_upper.partition_point(|(_, part)| part.upper().end() <= upper.start());
        if let Some(before) = upper.split_at(self.extent.start()).0 {
            sink(Mapped::Hole(HoleKind::Unmapped, before))?;
        }
        let mut left = upper.intersect(self.extent);
        for (leg, part) in self.by_upper.iter().skip(first) {
            let Some(rest) = left.filter(|rest| part.upper < rest.end()) else { break };
            let (before, after) = rest.without(part.upper());
            self.rest(before, sink)?;
            let here = part.link().clip_upper(rest).map(|link| Mapped::To { leg: *leg, link });
            here.into_iter().try_for_each(&mut *sink)?;
            left = after;
        }
        self.rest(left, sink)?;
        beyond(self.extent, upper, sink)
    }

    fn rmap(&self, leg: Leg, lower: Run, sink: Sink<'_, Link>) -> Flow {
        let parts = self.leg(leg).unwrap_or_default(); // no such leg: nothing of it is used
        let reach = reached(parts, lower.span());
        let few = usize::try_from(lower.count()).is_ok_and(|count| count < reach.len());
        if !few {
            return reach.iter().try_for_each(|part| part.link().rmap(lower, sink));
        }
        lower.elements().try_for_each(|element| {
            reached(reach, element).iter().try_for_each(|part| {
                match part.link().clip_lower(element).next() {
                    Some(part) => sink(part),
                    None => bug!("a link in reach of a range has bytes of it"),
                }
            })
        })
    }
}

/// The parts that have bytes of `span`. They ascend and are disjoint below.
fn reached(parts: &[Part], span: Extent) -> &[Part] {
    let from = parts.partition_point(|part| part.lower.end() <= span.start());
    let to = parts.partition_point(|part| part.lower.start() < span.end());
    parts.get(from..to).unwrap_or_default() // not reached: the first cut is not behind the second
}
