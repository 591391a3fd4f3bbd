use core::{num::NonZeroU64, ops::ControlFlow, ops::Range};

use badrange_core::{
    DevOffset, Extent, Leg, Mapped, Mapping, PhysAddr, Piece, Rmapped, Run, Space,
};

use super::{Granularity, InterleaveError, InterleaveErrorKind, Ways, xor::XorMaps};
use crate::leg::{LegRuns, Sink, map_beyond, map_window};

/// Bytes of one leg, at most: a decoder takes 52 bits of address. The kernel drops the bits above.
pub const MAX_LEG_BYTES: u64 = 1 << 52;

/// A region of host memory that goes over memory devices in turn, granule by granule.
///
/// Leg `i` is position `i`, in DPA of its device. The upper device is the region, counted from its
/// first byte; [`phys`](Self::phys) and [`offset`](Self::offset) lead to host addresses and back.
///
/// With XOR maps, a leg still is a set of runs: as few as the maps allow, see
/// [`rmap_run`](Mapping::rmap_run) below.
///
/// # Kernel
/// `cxl_dpa_to_hpa()` and its inverse. Where the kernel answers `ULLONG_MAX` (position without a
/// device, address outside the region), nothing is emitted here. XOR maps are applied to the host
/// address itself, as the hardware does, not to the offset in the region.
///
/// # Examples
/// ```
/// use badrange_block::interleave::{Granularity, Interleave, Ways};
/// use badrange_core::{DevOffset, Extent, Leg, PhysAddr};
/// let hpa = Extent::new(PhysAddr::new(0), 1 << 30)?;
/// let region = Interleave::new(hpa, Granularity::new(256)?, &[DevOffset::new(0); 4])?;
/// let plain = region.dpa_to_hpa(Leg::new(1), DevOffset::new(544));
/// assert_eq!(plain, Some(PhysAddr::new(2336)));
///
/// let stirred = region.with_xor(Ways::new(4)?, &[0x202_0900, 0x404_1200])?;
/// let at = PhysAddr::new(2080);
/// assert_eq!(stirred.dpa_to_hpa(Leg::new(1), DevOffset::new(544)), Some(at));
/// assert_eq!(stirred.hpa_to_dpa(at), Some((Leg::new(1), DevOffset::new(544))));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Interleave {
    hpa: Extent<PhysAddr>,
    granularity: Granularity,
    ways: Ways,
    /// INVARIANT: a granule of every way.
    row: NonZeroU64,
    /// INVARIANT: one per way, of equal length, which is a multiple of the granule.
    areas: Box<[Extent<DevOffset>]>,
    xor: XorMaps,
}

impl Interleave {
    /// The region at `hpa`, over one device per entry of `dpa_bases`: where on that device its
    /// part begins. Modulo arithmetic.
    ///
    /// # Errors
    /// [`InterleaveErrorKind`]: the number of devices has to be one that decoders know, the size a
    /// multiple of a granule on each, the base a multiple of a granule times the power of two in
    /// the ways, and no part longer than [`MAX_LEG_BYTES`] or beyond 64 bits.
    pub fn new(
        hpa: Extent<PhysAddr>,
        granularity: Granularity,
        dpa_bases: &[DevOffset],
    ) -> Result<Self, InterleaveError> {
        let ways = Ways::new(u32::try_from(dpa_bases.len()).unwrap_or(u32::MAX))?;
        let granule = granularity.nonzero();
        // NO-OVERFLOW: at most 16 ways of 16 KiB.
        let row = NonZeroU64::from(ways.nonzero()).saturating_mul(granule);
        let err = |kind, value, hint| Err(InterleaveError::new(kind, value, hint));
        if hpa.len() % row != 0 {
            let hint = format!("a multiple of {row} bytes, a granule on each of {ways} devices");
            return err(InterleaveErrorKind::Uneven, hpa.len(), hint);
        }
        // NO-OVERFLOW: not more than a row.
        check_base(hpa, granule.get().wrapping_mul(ways.power_of_two()))?;
        let len = hpa.len() / NonZeroU64::from(ways.nonzero());
        if len > MAX_LEG_BYTES {
            let hint = format!("at most {MAX_LEG_BYTES:#x} bytes on each device");
            return err(InterleaveErrorKind::Overflow, hpa.start().get(), hint);
        }
        let area = |base: &DevOffset| {
            let beyond = |_| {
                let hint = "a part of a device that ends within 64 bits";
                InterleaveError::new(InterleaveErrorKind::Overflow, base.get(), hint)
            };
            Extent::new(*base, len).map_err(beyond)
        };
        let areas = dpa_bases.iter().map(area).collect::<Result<_, _>>()?;
        Ok(Self { hpa, granularity, ways, row, areas, xor: XorMaps::default() })
    }

    /// The same with XOR arithmetic: the maps of a window over so many host bridges, in order.
    /// Maps beyond the number that the window needs are left alone.
    ///
    /// # Errors
    /// [`InterleaveErrorKind::Ways`] when the region's ways are no multiple of the window's;
    /// [`XorCount`](InterleaveErrorKind::XorCount) for too few maps;
    /// [`XorMap`](InterleaveErrorKind::XorMap) for a map without bits, with bits below the
    /// granularity, or whose lowest bit another map looks at; and
    /// [`Misaligned`](InterleaveErrorKind::Misaligned) or [`Uneven`](InterleaveErrorKind::Uneven)
    /// when changing those bits would lead out of the region.
    pub fn with_xor(self, host_bridges: Ways, maps: &[u64]) -> Result<Self, InterleaveError> {
        let err = |kind, value, hint| Err(InterleaveError::new(kind, value, hint));
        if self.ways.count().checked_rem(host_bridges.count()) != Some(0) {
            let hint = format!("a divisor of {}, the ways of the region", self.ways);
            return err(InterleaveErrorKind::Ways, host_bridges.count().into(), hint);
        }
        let needed = usize::try_from(host_bridges.xor_maps()).unwrap_or(usize::MAX);
        let Some(maps) = maps.get(..needed) else {
            let given = u64::try_from(maps.len()).unwrap_or(u64::MAX);
            let hint = format!("at least {needed} for {host_bridges} host bridges");
            return err(InterleaveErrorKind::XorCount, given, hint);
        };
        let xor = XorMaps::new(maps, self.granularity.bytes())?;
        // Changing bits moves an address inside its block of the highest such bit.
        let Some(block) = block_of(xor.changed()) else { return Ok(Self { xor, ..self }) };
        check_base(self.hpa, block.get())?;
        if self.hpa.len() % block != 0 {
            let hint = format!("a multiple of {block:#x} bytes, where the XOR maps change bits");
            return err(InterleaveErrorKind::Uneven, self.hpa.len(), hint);
        }
        Ok(Self { xor, ..self })
    }

    /// The host addresses of the region.
    #[must_use]
    pub const fn hpa(&self) -> Extent<PhysAddr> {
        self.hpa
    }

    /// How many devices it goes over.
    #[must_use]
    pub const fn ways(&self) -> Ways {
        self.ways
    }

    /// Its granules.
    #[must_use]
    pub const fn granularity(&self) -> Granularity {
        self.granularity
    }

    /// The host addresses of bytes of the region; `None` when they reach beyond it.
    #[must_use]
    pub fn phys(&self, part: Extent<DevOffset>) -> Option<Extent<PhysAddr>> {
        let inside = self.extent().contains_extent(part);
        inside.then(|| part.rebase(DevOffset::new(0), self.hpa.start()))?
    }

    /// The bytes of the region at these host addresses; `None` when they reach beyond it.
    #[must_use]
    pub fn offset(&self, part: Extent<PhysAddr>) -> Option<Extent<DevOffset>> {
        let inside = self.hpa.contains_extent(part);
        inside.then(|| part.rebase(self.hpa.start(), DevOffset::new(0)))?
    }

    /// The host address of a byte of a device; `None` when the leg has no such byte.
    ///
    /// # Kernel
    /// `cxl_dpa_to_hpa()`, which says `ULLONG_MAX` then.
    #[must_use]
    pub fn dpa_to_hpa(&self, leg: Leg, dpa: DevOffset) -> Option<PhysAddr> {
        let at = self.leg_extent(leg)?.contains(dpa).then_some(dpa)?;
        let by = at.checked_offset_from(self.leg_extent(leg)?.start())?;
        let granule = self.granularity.nonzero();
        let above = self.granule_above(leg.index(), by / granule)?.checked_add(by % granule)?;
        self.hpa.start().get().checked_add(above).map(PhysAddr::new)
    }

    /// The position and the byte of its device at a host address; `None` outside the region.
    ///
    /// # Kernel
    /// `cxl_calculate_position()` and `cxl_calculate_dpa_offset()`.
    #[must_use]
    pub fn hpa_to_dpa(&self, hpa: PhysAddr) -> Option<(Leg, DevOffset)> {
        let at = self.hpa.contains(hpa).then_some(hpa)?;
        let by = at.get().checked_sub(self.hpa.start().get())?;
        let (leg, granule) = self.granule_below(by)?;
        Some((leg, granule.start().checked_add(by % self.granularity.nonzero())?))
    }

    /// Where in the region granule number `row` of a leg begins.
    fn granule_above(&self, leg: u32, row: u64) -> Option<u64> {
        let granule = self.granularity.bytes();
        let by = row.checked_mul(self.row.get())?.checked_add(granule.checked_mul(leg.into())?)?;
        let base = self.hpa.start().get();
        self.xor.apply(base.checked_add(by)?).checked_sub(base)
    }

    /// The leg and the granule of its device that hold a byte of the region.
    fn granule_below(&self, by: u64) -> Option<(Leg, Extent<DevOffset>)> {
        let granule = self.granularity.nonzero();
        let base = self.hpa.start().get();
        let modulo = self.xor.apply(base.checked_add(by)?).checked_sub(base)?;
        // NO-OVERFLOW: a remainder by at most 256 KiB, divided by 256 or more, is below 16.
        let leg = u32::try_from(modulo % self.row / granule).ok()?;
        let area = self.areas.get(usize::try_from(leg).ok()?)?;
        let start = (modulo / self.row).checked_mul(granule.get())?;
        let start = area.start().checked_add(start)?;
        Some((Leg::new(leg), Extent::new(start, granule.get()).ok()?))
    }

    fn area(&self, leg: Leg) -> Option<Extent<DevOffset>> {
        self.areas.get(usize::try_from(leg.index()).ok()?).copied()
    }

    /// The granules of a leg, by number, that hold bytes of `part`.
    fn rows(&self, area: Extent<DevOffset>, part: Extent<DevOffset>) -> Option<Range<u64>> {
        let hit = part.intersect(area)?;
        let granule = self.granularity.nonzero();
        let first = hit.start().checked_offset_from(area.start())? / granule;
        let last = hit.last().checked_offset_from(area.start())? / granule;
        Some(first..last.checked_add(1)?)
    }

    /// `count` granules of a leg from number `row` on, each `step` granules after the one before.
    fn runs(&self, leg: Leg, row: u64, step: u64, count: u64) -> Option<LegRuns> {
        let granule = self.granularity.bytes();
        let below = self.area(leg)?.start().checked_add(row.checked_mul(granule)?)?;
        let above = DevOffset::new(self.granule_above(leg.index(), row)?);
        let lower = Extent::new(below, granule).ok()?;
        let lower = Run::new(lower, step.saturating_mul(granule), count).ok()?;
        let upper = Extent::new(above, granule).ok()?;
        let upper = Run::new(upper, step.saturating_mul(self.row.get()), count).ok()?;
        Some(LegRuns::chunks(lower, upper))
    }

    /// Granules in ascending order, as few runs as leave no two granules of a run stirred
    /// differently.
    fn segments(&self, leg: Leg, rows: Range<u64>) -> impl Iterator<Item = LegRuns> + '_ {
        let mut next = rows.start;
        core::iter::from_fn(move || {
            let left = rows.end.checked_sub(next).filter(|left| *left > 0)?;
            let count = self.alike_from(leg, next)?.min(left);
            let runs = self.runs(leg, next, 1, count)?;
            next = next.checked_add(count)?;
            Some(runs)
        })
    }

    /// How many granules from this one on the XOR maps treat alike: all until an address bit
    /// changes that a map looks at.
    fn alike_from(&self, leg: Leg, row: u64) -> Option<u64> {
        let Some(block) = self.alike() else { return Some(u64::MAX) };
        let granule = self.granularity.bytes().checked_mul(leg.index().into())?;
        let by = row.checked_mul(self.row.get())?.checked_add(granule)?;
        let into = self.hpa.start().get().checked_add(by)? % block;
        // NO-OVERFLOW: a remainder is smaller than what it is of.
        Some(block.get().wrapping_sub(into).div_ceil(self.row.get()))
    }

    /// Bytes of host addresses in which no bit changes from granule to granule of a leg that an
    /// XOR map looks at; `None` when there is no such bit.
    fn alike(&self) -> Option<NonZeroU64> {
        // Bits below the lowest one of a row are the same for every granule of a leg.
        let moving = self.xor.union() & !lowest_bit(self.row.get()).wrapping_sub(1);
        NonZeroU64::new(lowest_bit(moving))
    }

    /// After how many granules of a leg the XOR maps repeat themselves; `None` when that is more
    /// than 64 bits can count.
    fn period(&self) -> Option<NonZeroU64> {
        let Some(block) = block_of(self.xor.union()) else { return Some(NonZeroU64::MIN) };
        let lowest = NonZeroU64::new(lowest_bit(self.row.get()))?;
        NonZeroU64::new((block.get() / lowest).max(1))
    }

    /// Whether the granules of `rows` are fewer runs when those are taken together that are a
    /// whole number of periods apart.
    fn repeats(&self, rows: &Range<u64>) -> Option<NonZeroU64> {
        let period = self.period()?;
        let count = rows.end.saturating_sub(rows.start);
        let alike = self.alike().map_or(u64::MAX, |block| block.get() / self.row);
        let blocks = count.checked_div(alike).unwrap_or(count);
        (blocks > period.get()).then_some(period)
    }
}

/// Refuses a base that is not a multiple of `unit`.
fn check_base(hpa: Extent<PhysAddr>, unit: u64) -> Result<(), InterleaveError> {
    let base = hpa.start().get();
    if base.checked_rem(unit) == Some(0) {
        return Ok(());
    }
    let hint = format!("a multiple of {unit:#x}");
    Err(InterleaveError::new(InterleaveErrorKind::Misaligned, base, hint))
}

const fn lowest_bit(bits: u64) -> u64 {
    bits & bits.wrapping_neg()
}

/// The power of two above the highest of these bits; `None` without bits, or beyond 64 of them.
fn block_of(bits: u64) -> Option<NonZeroU64> {
    let highest = bits.checked_ilog2()?;
    NonZeroU64::new(1_u64.checked_shl(highest.checked_add(1)?)?)
}

/// Cost of [`rmap_run`](Mapping::rmap_run): for an extent, at most head, body and tail with modulo
/// arithmetic. With XOR maps every run is a set of granules that the maps treat alike, so their
/// number is at most the smaller of: the blocks of equal bits that the extent touches, and the
/// granules in one period of the maps. A whole leg of 1 TiB with the maps of the usual four-way
/// window has 131 072 runs, and one of 1 PiB no more.
impl Mapping for Interleave {
    fn legs(&self) -> u32 {
        self.ways.count()
    }

    fn extent(&self) -> Extent<DevOffset> {
        // What begins at zero ends within 64 bits, whatever its length.
        let from_zero = Extent::new(DevOffset::new(0), self.hpa.len());
        from_zero.unwrap_or_else(|_| unreachable!())
    }

    fn leg_extent(&self, leg: Leg) -> Option<Extent<DevOffset>> {
        self.area(leg)
    }

    fn map(&self, upper: Extent<DevOffset>, sink: Sink<'_, Mapped>) -> ControlFlow<()> {
        let whole = self.extent();
        if let [only] = &*self.areas {
            map_window(Leg::new(0), whole, only.start(), upper, sink)?;
            return map_beyond(whole, upper, sink);
        }
        let granule = self.granularity.nonzero();
        let mut rest = upper.intersect(whole);
        while let Some(part) = rest {
            let into = part.start().get() % granule;
            let Some((leg, below)) = self.granule_below(part.start().get()) else {
                debug_assert!(false, "every byte of a region is on a device");
                break;
            };
            // NO-OVERFLOW: a remainder by a granule.
            let end = part.start().checked_add(granule.get().wrapping_sub(into));
            let (here, later) = end.map_or((Some(part), None), |end| part.split_at(end));
            let lower = here.zip(below.start().checked_add(into));
            if let Some((upper, Ok(lower))) = lower.map(|(u, at)| (u, Extent::new(at, u.len()))) {
                sink(Mapped::To { leg, upper, lower })?;
            }
            rest = later;
        }
        map_beyond(whole, upper, sink)
    }

    fn rmap(&self, leg: Leg, lower: Extent<DevOffset>, sink: Sink<'_, Rmapped>) -> ControlFlow<()> {
        let rows = self.area(leg).and_then(|area| self.rows(area, lower));
        for runs in self.segments(leg, rows.unwrap_or_default()) {
            runs.rmap(lower, sink)?;
        }
        ControlFlow::Continue(())
    }

    fn rmap_run(&self, leg: Leg, lower: &Piece, sink: Sink<'_, Piece>) -> ControlFlow<()> {
        let rows = self.area(leg).and_then(|area| self.rows(area, lower.here().span()));
        let rows = rows.unwrap_or_default();
        let Some(period) = self.repeats(&rows) else {
            for runs in self.segments(leg, rows) {
                runs.rmap_run(lower, sink)?;
            }
            return ControlFlow::Continue(());
        };
        for row in rows.start..rows.end.min(rows.start.saturating_add(period.get())) {
            let count = rows.end.saturating_sub(row).div_ceil(period.get());
            if let Some(runs) = self.runs(leg, row, period.get(), count) {
                runs.rmap_run(lower, sink)?;
            }
        }
        ControlFlow::Continue(())
    }
}
