use core::{num::NonZeroU64, ops::ControlFlow, ops::Range};

use badrange_core::{
    DevOffset, Extent, Flow, Leg, Link, Mapped, Mapping, PhysAddr, Run, Sink, Space, beyond, bug,
};

use super::{Granularity, InterleaveError, InterleaveErrorKind, Ways, xor::XorMaps};
use crate::math::gcd;

/// Bytes of one leg, at most: a decoder takes 52 bits of address. The kernel drops the bits above.
pub const MAX_LEG_BYTES: u64 = 1 << 52;

/// A region of host memory that goes over memory devices in turn, granule by granule.
///
/// Leg `i` is position `i`, in DPA of its device. The upper device is the region, counted from its
/// first byte; [`phys`](Self::phys) and [`offset`](Self::offset) lead to host addresses and back.
///
/// With XOR maps, a leg still is a set of runs: as few as the maps allow, see
/// [`rmap`](Mapping::rmap) below.
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
    areas: Box<[Extent]>,
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
    pub fn phys(&self, part: Extent) -> Option<Extent<PhysAddr>> {
        let inside = self.extent().contains_extent(part);
        inside.then(|| part.rebase(DevOffset::new(0), self.hpa.start()))?
    }

    /// The bytes of the region at these host addresses; `None` when they reach beyond it.
    #[must_use]
    pub fn offset(&self, part: Extent<PhysAddr>) -> Option<Extent> {
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
    fn granule_below(&self, by: u64) -> Option<(Leg, Extent)> {
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

    /// The leg and the granule around a byte of the region, on both sides; of one device all of it.
    fn contiguous_at(&self, at: DevOffset) -> Option<(Leg, Link)> {
        if let [only] = &*self.areas {
            return Some((Leg::new(0), Link::at(*only, DevOffset::new(0))?));
        }
        let (leg, below) = self.granule_below(at.get())?;
        let above = at.checked_sub(at.get() % self.granularity.nonzero())?;
        Some((leg, Link::at(below, above)?))
    }

    fn area(&self, leg: Leg) -> Option<Extent> {
        self.areas.get(usize::try_from(leg.index()).ok()?).copied()
    }

    /// The granules of a leg, by number, that hold bytes of `part`; `None` when it has none there.
    fn rows(&self, area: Extent, part: Extent) -> Option<Range<u64>> {
        let hit = part.intersect(area)?;
        let granule = self.granularity.nonzero();
        let first = hit.start().checked_offset_from(area.start())? / granule;
        let last = hit.last().checked_offset_from(area.start())? / granule;
        Some(first..last.checked_add(1)?)
    }

    /// `count` granules of a leg from number `row` on, each `step` granules after the one before.
    fn granules(&self, leg: Leg, row: u64, step: u64, count: u64) -> Option<Link> {
        let granule = self.granularity.bytes();
        let below = self.area(leg)?.start().checked_add(row.checked_mul(granule)?)?;
        let above = DevOffset::new(self.granule_above(leg.index(), row)?);
        let lower = Extent::new(below, granule).ok()?;
        // NO-OVERFLOW: a stride beyond 64 bits would be that of a single granule, which has none.
        let lower = Run::new(lower, step.saturating_mul(granule), count).ok()?;
        let upper = Extent::new(above, granule).ok()?;
        let upper = Run::new(upper, step.saturating_mul(self.row.get()), count).ok()?;
        Some(Link::new(lower, upper).ok()?.joined())
    }

    /// What of `lower` lies in these granules, taken together as few links as leave no two granules
    /// of a link stirred differently.
    fn rmap_alike(&self, leg: Leg, rows: Range<u64>, lower: Run, sink: Sink<'_, Link>) -> Flow {
        let mut next = rows.start;
        while let Some(left) = rows.end.checked_sub(next).filter(|left| *left > 0) {
            let count = self.alike_from(leg, next).map(|alike| alike.min(left));
            let alike = count.and_then(|count| Some((count, self.granules(leg, next, 1, count)?)));
            let Some((count, link)) = alike else {
                return bug!("a granule of a region lies within 64 bits on both sides");
            };
            link.rmap(lower, sink)?;
            // NO-OVERFLOW: not beyond the last row.
            next = next.saturating_add(count);
        }
        ControlFlow::Continue(())
    }

    /// The same, those taken together that are a whole number of periods apart.
    fn rmap_periods(
        &self,
        leg: Leg,
        rows: Range<u64>,
        period: NonZeroU64,
        lower: Run,
        sink: Sink<'_, Link>,
    ) -> Flow {
        let mut firsts = rows.start..rows.end.min(rows.start.saturating_add(period.get()));
        firsts.try_for_each(|row| self.rmap_period(leg, row..rows.end, period, lower, sink))
    }

    /// What of `lower` lies in the first of these granules, and in those a whole number of periods
    /// after it.
    fn rmap_period(
        &self,
        leg: Leg,
        rows: Range<u64>,
        period: NonZeroU64,
        lower: Run,
        sink: Sink<'_, Link>,
    ) -> Flow {
        let count = rows.end.saturating_sub(rows.start).div_ceil(period.get());
        match self.granules(leg, rows.start, period.get(), count) {
            Some(link) => link.rmap(lower, sink),
            None => bug!("a granule of a region lies within 64 bits on both sides"),
        }
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

    /// `rmap` of bytes in the area of a leg, by the way that looks at the fewest granules.
    fn rmap_inside(&self, leg: Leg, area: Extent, lower: Run, sink: Sink<'_, Link>) -> Flow {
        let Some(rows) = self.rows(area, lower.span()) else {
            return bug!("bytes of an area are in its granules");
        };
        let (blocks, period) = (self.blocks(&rows), self.period());
        let all = period.map_or(blocks, |period| blocks.min(period.get()));
        let groups = self.groups(&lower, period);
        // An element touches at most so many granules.
        let of_element = (lower.element_len() / self.granularity.nonzero()).saturating_add(2);
        if lower.count() > 1 && groups.saturating_mul(of_element) < all {
            return self.rmap_groups(leg, area, &lower, groups, sink);
        }
        match period.filter(|period| blocks > period.get()) {
            Some(period) => self.rmap_periods(leg, rows, period, lower, sink),
            None => self.rmap_alike(leg, rows, lower, sink),
        }
    }

    /// After how many elements of a run the XOR maps repeat themselves; how many there are, when
    /// they do not.
    fn groups(&self, lower: &Run, period: Option<NonZeroU64>) -> u64 {
        let bytes = period.and_then(|period| period.checked_mul(self.granularity.nonzero()));
        let groups = bytes.and_then(|bytes| {
            // Neither is zero, so that the divisor is not.
            bytes.get().checked_div(gcd(lower.stride(), bytes.get()))
        });
        groups.map_or(lower.count(), |groups| groups.min(lower.count()))
    }

    /// `rmap` of every `groups`th element of a run at once: what lies between is not looked at.
    fn rmap_groups(
        &self,
        leg: Leg,
        area: Extent,
        lower: &Run,
        groups: u64,
        sink: Sink<'_, Link>,
    ) -> Flow {
        (0..groups).try_for_each(|number| {
            let Some((group, rows)) = lower.element(number).and_then(|first| {
                let count = lower.count().checked_sub(number)?.div_ceil(groups);
                // NO-OVERFLOW: a stride beyond 64 bits would be that of a single element.
                let group = Run::new(first, lower.stride().saturating_mul(groups), count).ok()?;
                Some((group, self.rows(area, first)?))
            }) else {
                return bug!("an element of a run in an area is in its granules");
            };
            match self.period().filter(|_| group.count() > 1) {
                Some(period) => self.rmap_repeats(leg, area, rows, period, group, sink),
                None => self.rmap_alike(leg, rows, group, sink),
            }
        })
    }

    /// `rmap` of elements a whole number of periods apart, the first of which is in `rows`.
    fn rmap_repeats(
        &self,
        leg: Leg,
        area: Extent,
        mut rows: Range<u64>,
        period: NonZeroU64,
        lower: Run,
        sink: Sink<'_, Link>,
    ) -> Flow {
        let end = area.len() / self.granularity.nonzero();
        rows.try_for_each(|row| self.rmap_period(leg, row..end, period, lower, sink))
    }

    /// How many links the granules of `rows` are at most, when neighbours are taken together.
    fn blocks(&self, rows: &Range<u64>) -> u64 {
        let count = rows.end.saturating_sub(rows.start);
        let alike = self.alike().map_or(u64::MAX, |block| block.get() / self.row);
        count.checked_div(alike).unwrap_or(count)
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

/// Cost of [`rmap`](Mapping::rmap): for an extent, at most head, body and tail with modulo
/// arithmetic. With XOR maps every link is a set of granules that the maps treat alike, so their
/// number is at most the smaller of: the blocks of equal bits that the extent touches, and the
/// granules in one period of the maps. A whole leg of 1 TiB with the maps of the usual four-way
/// window has 131 072 links, and one of 1 PiB no more.
impl Mapping for Interleave {
    fn extent(&self) -> Extent {
        Extent::from_zero(self.hpa.len_nonzero())
    }

    fn legs(&self) -> u32 {
        self.ways.count()
    }

    fn leg_extent(&self, leg: Leg) -> Option<Extent> {
        self.area(leg)
    }

    fn map(&self, upper: Extent, sink: Sink<'_, Mapped>) -> Flow {
        let mut rest = upper.intersect(self.extent());
        while let Some(part) = rest {
            let Some((leg, link)) = self.contiguous_at(part.start()) else {
                return bug!("every byte of a region is on a device");
            };
            link.clip_upper(part).try_for_each(|link| sink(Mapped::To { leg, link }))?;
            rest = part.split_at(link.upper().span().end()).1;
        }
        beyond(self.extent(), upper, sink)
    }

    fn rmap(&self, leg: Leg, lower: Run, sink: Sink<'_, Link>) -> Flow {
        match self.area(leg) {
            Some(area) => lower
                .clip(area)
                .try_for_each(|inside| self.rmap_inside(leg, area, inside, &mut *sink)),
            None => ControlFlow::Continue(()), // no leg has this number
        }
    }
}
