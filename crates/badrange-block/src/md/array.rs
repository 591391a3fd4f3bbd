use core::{num::NonZeroU64, ops::ControlFlow};

use badrange_core::{DevOffset, Extent, HoleKind, Leg, Mapped, Mapping, Piece, Rmapped, Run};

use super::{
    ArrayError, ArrayErrorKind, Level,
    plan::{Plan, Section, Slot},
};
use crate::leg::{LegRuns, Sink, map_beyond, map_window};

/// How many members an array may have, those that are missing too.
///
/// # Kernel
/// More than any metadata has room for.
pub const MAX_MEMBERS: usize = 4096;

/// A member of an array that is there.
///
/// # Examples
/// ```
/// use badrange_block::md::Member;
/// use badrange_core::{DevOffset, Extent};
/// let data = Extent::new(DevOffset::new(1 << 20), 39 << 20)?;
/// assert_eq!(Member::in_sync(data).synced, 39 << 20);
/// # Ok::<(), badrange_core::RangeError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Member {
    /// The bytes of its device that the array may use. An array of equal members uses of each as
    /// much as the shortest has.
    pub data: Extent<DevOffset>,
    /// How many bytes from the start of `data` are up to date. What lies beyond is still being
    /// rebuilt: nothing can be rebuilt from it.
    pub synced: u64,
}

impl Member {
    /// A member of which all is up to date.
    #[must_use]
    pub fn in_sync(data: Extent<DevOffset>) -> Self {
        Self { data, synced: data.len() }
    }
}

/// A software array over its members.
///
/// Legs are the members that are there and hold a part of the array, in the order of their roles.
/// `map` emits a hole ([`HoleKind::Unmapped`]) for bytes whose only copy would be on a missing
/// member. Cost: `map` and `rmap` one call per chunk; `rmap_run` one call per repeating part, whose
/// number depends on the level and the number of members, not on the length.
///
/// # Kernel
/// `raid0_map_submit_bio()`, `raid5_compute_sector()`, `__raid10_find_phys()`.
///
/// # Examples
/// ```
/// use badrange_block::md::{Array, Level, Member, ParityLayout};
/// use badrange_core::{DevOffset, Extent, Leg, Mapping, Sector};
/// use core::ops::ControlFlow;
///
/// // RAID 5 over three members, chunks of 32 KiB, data from sector 2048 on.
/// let member = Member::in_sync(Extent::new(Sector::new(2048), 79872)?.bytes()?);
/// let level = Level::Parity { disks: 1, layout: ParityLayout::LeftSymmetric };
/// let array = Array::new(level, 64 * 512, vec![Some(member); 3])?;
/// assert_eq!(array.extent().len(), 2 * 79872 * 512);
/// // Sector 2112 of the first member is the second data chunk of stripe 1.
/// let bad = Extent::new(Sector::new(2112), 1)?.bytes()?;
/// let mut hit = Vec::new();
/// let _ = array.rmap(Leg::new(0), bad, &mut |part| {
///     hit.push(part.upper.containing_sectors());
///     ControlFlow::Continue(())
/// });
/// assert_eq!(hit, [Extent::new(Sector::new(192), 1)?]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Array {
    level: Level,
    pub(super) chunk: NonZeroU64,
    pub(super) plan: Plan,
    members: Box<[Option<Member>]>,
    /// The role of each leg, ascending.
    roles: Box<[u32]>,
    extent: Extent<DevOffset>,
}

impl Array {
    /// The array of these members by role; `None` for one that is missing. `chunk_bytes` has no
    /// meaning for RAID 1.
    ///
    /// # Errors
    /// An [`ArrayError`]: see [`ArrayErrorKind`].
    pub fn new(
        level: Level,
        chunk_bytes: u64,
        members: Vec<Option<Member>>,
    ) -> Result<Self, ArrayError> {
        check_members(level, members.len())?;
        let room = members.iter().flatten().map(|m| m.data.len()).min();
        let room = room.ok_or_else(|| {
            ArrayError::new(ArrayErrorKind::Members, "none of its members is there")
        })?;
        let chunk = if level == Level::Raid1 { room } else { chunk_bytes };
        let chunk = NonZeroU64::new(chunk)
            .ok_or_else(|| ArrayError::new(ArrayErrorKind::Layout, "its chunks have no bytes"))?;
        let rows: Vec<_> = members.iter().map(|m| m.map(|m| m.data.len() / chunk)).collect();
        let plan = Plan::new(level, &rows)?;
        Self::planned(level, chunk, plan, members.into())
    }

    /// The same array, of which only the first `bytes` are used.
    ///
    /// # Errors
    /// [`Length`](ArrayErrorKind::Length) when the array is shorter, or a stripe would be used in
    /// part.
    ///
    /// # Examples
    /// ```
    /// use badrange_block::md::{Array, Level, Member};
    /// use badrange_core::{DevOffset, Extent, Mapping};
    /// let member = Member::in_sync(Extent::new(DevOffset::new(0), 1 << 20)?);
    /// let array = Array::new(Level::Raid1, 0, vec![Some(member); 2])?.of_length(1 << 20)?;
    /// assert_eq!(array.extent().len(), 1 << 20);
    /// assert!(array.of_length(1 << 21).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn of_length(self, bytes: u64) -> Result<Self, ArrayError> {
        let Self { level, chunk, plan, members, .. } = self;
        let has = plan.chunks().saturating_mul(chunk.get());
        let chunks = Some(bytes / chunk).filter(|_| bytes % chunk == 0);
        let plan = chunks.and_then(|chunks| plan.truncated(chunks)).ok_or_else(|| {
            let message = format!(
                "{bytes} bytes are no whole number of its stripes, or more than the {has} that its \
                 members have room for"
            );
            ArrayError::new(ArrayErrorKind::Length, message)
        })?;
        Self::planned(level, chunk, plan, members)
    }

    fn planned(
        level: Level,
        chunk: NonZeroU64,
        plan: Plan,
        members: Box<[Option<Member>]>,
    ) -> Result<Self, ArrayError> {
        let bytes = plan.chunks().checked_mul(chunk.get());
        let extent = bytes.and_then(|bytes| Extent::new(DevOffset::new(0), bytes).ok());
        let extent = extent
            .ok_or_else(|| ArrayError::new(ArrayErrorKind::Overflow, "its bytes exceed 64 bits"))?;
        let roles = (0_u32..)
            .zip(&members)
            .filter(|(role, member)| member.is_some() && plan.rows(u64::from(*role)) > 0);
        let roles = roles.map(|(role, _)| role).collect();
        Ok(Self { level, chunk, plan, members, roles, extent })
    }

    /// How its bytes are spread.
    #[must_use]
    pub fn level(&self) -> Level {
        self.level
    }

    /// Bytes of a chunk; for RAID 1 all of it is one chunk.
    #[must_use]
    pub fn chunk_bytes(&self) -> u64 {
        self.chunk.get()
    }

    /// How many members it has, those that are missing too.
    #[must_use]
    pub fn width(&self) -> usize {
        self.members.len()
    }

    /// The role of a leg: its member's number among all members.
    #[must_use]
    pub fn role(&self, leg: Leg) -> Option<usize> {
        usize::try_from(*self.roles.get(usize::try_from(leg.index()).ok()?)?).ok()
    }

    /// The leg of a member by its role; `None` for one that is missing or holds nothing.
    #[must_use]
    pub fn leg_of(&self, role: usize) -> Option<Leg> {
        let role = u32::try_from(role).ok()?;
        let at = self.roles.binary_search(&role).ok()?;
        u32::try_from(at).ok().map(Leg::new)
    }

    /// The bytes of a leg that are not up to date, if any.
    #[must_use]
    pub fn out_of_sync(&self, leg: Leg) -> Option<Extent<DevOffset>> {
        let member = (*self.members.get(self.role(leg)?)?)?;
        let synced = member.data.start().get().checked_add(member.synced)?;
        self.leg_extent(leg)?.split_at(DevOffset::new(synced)).1
    }

    /// The bytes of a leg that hold parity, as few runs as there can be. None without parity.
    ///
    /// # Examples
    /// ```
    /// use badrange_block::md::{Array, Level, Member, ParityLayout};
    /// use badrange_core::{DevOffset, Extent, Leg};
    /// let member = Member::in_sync(Extent::new(DevOffset::new(0), 9 * 4096)?);
    /// let level = Level::Parity { disks: 1, layout: ParityLayout::LeftSymmetric };
    /// let array = Array::new(level, 4096, vec![Some(member); 3])?;
    /// let parity = array.parity(Leg::new(2));
    /// assert_eq!(parity[0].to_string(), "device bytes [0x0..0x1000) x3 every 0x3000");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn parity(&self, leg: Leg) -> Vec<Run<DevOffset>> {
        let Some(role) = self.role(leg) else { return Vec::new() };
        let role = u64::try_from(role).unwrap_or(u64::MAX);
        let mut runs = Vec::new();
        for (section, row, slot) in self.repeats(role) {
            if let Slot::Parity(_) = slot {
                runs.extend(self.rows_run(role, &section, row));
            }
        }
        runs
    }

    /// The first row of each repeating part of a member, and what stands there.
    fn repeats(&self, role: u64) -> impl Iterator<Item = (Section, u64, Slot)> + '_ {
        self.plan.sections(role).into_iter().flat_map(move |section| {
            let first = 0..section.period.min(section.rows);
            first.filter_map(move |phase| {
                let row = section.first_row.checked_add(phase)?;
                Some((section, row, self.plan.slot(role, row)?))
            })
        })
    }

    /// The rows of a section that repeat `row`, as bytes of the member.
    fn rows_run(&self, role: u64, section: &Section, row: u64) -> Option<Run<DevOffset>> {
        let first = self.row(role, row)?;
        let phase = row.checked_sub(section.first_row)?;
        let behind = section.rows.checked_sub(phase)?.checked_sub(1)?;
        let count = behind.checked_div(section.period)?.checked_add(1)?;
        Run::new(first, section.period.checked_mul(self.chunk.get())?, count).ok()
    }

    /// A row of a member as bytes of its device.
    pub(super) fn row(&self, role: u64, row: u64) -> Option<Extent<DevOffset>> {
        let member = (*self.members.get(usize::try_from(role).ok()?)?)?;
        let from = row.checked_mul(self.chunk.get())?;
        Extent::new(
            member.data.start().get().checked_add(from).map(DevOffset::new)?,
            self.chunk.get(),
        )
        .ok()
    }

    /// The chunks that repeat on a leg, each with their place in a device where the array begins
    /// at `base`.
    fn links(&self, leg: Leg, base: DevOffset) -> impl Iterator<Item = LegRuns> + '_ {
        let role = self.role(leg).and_then(|role| u64::try_from(role).ok());
        let repeats = role.into_iter().flat_map(move |role| {
            self.repeats(role).map(move |(section, row, slot)| (role, section, row, slot))
        });
        repeats.filter_map(move |(role, section, row, slot)| {
            let Slot::Data(chunk) = slot else { return None };
            let lower = self.rows_run(role, &section, row)?;
            let start = base.get().checked_add(chunk.checked_mul(self.chunk.get())?)?;
            let first = Extent::new(DevOffset::new(start), self.chunk.get()).ok()?;
            let stride = section.advance.checked_mul(self.chunk.get())?;
            let upper = Run::new(first, stride, lower.count()).ok()?;
            Some(LegRuns::chunks(lower, upper))
        })
    }

    /// `rmap` of a leg, in a device where the array begins at `base`.
    pub(crate) fn rmap_from(
        &self,
        leg: Leg,
        base: DevOffset,
        lower: Extent<DevOffset>,
        sink: Sink<'_, Rmapped>,
    ) -> ControlFlow<()> {
        self.rows_in(leg, lower, &mut |_, slot, row| {
            let Slot::Data(chunk) = slot else { return ControlFlow::Continue(()) };
            let start =
                chunk.checked_mul(self.chunk.get()).and_then(|at| base.get().checked_add(at));
            let part = row.intersect(lower).zip(start);
            let part = part.and_then(|(lower, start)| {
                Some(Rmapped { lower, upper: lower.rebase(row.start(), DevOffset::new(start))? })
            });
            part.map_or(ControlFlow::Continue(()), &mut *sink)
        })
    }

    /// Calls `sink` with number, content and bytes of every used row of a leg that `lower` touches.
    pub(super) fn rows_in(
        &self,
        leg: Leg,
        lower: Extent<DevOffset>,
        sink: &mut dyn FnMut(u64, Slot, Extent<DevOffset>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let role = self.role(leg).and_then(|role| u64::try_from(role).ok());
        let inside = self.leg_extent(leg).and_then(|on| Some((on, lower.intersect(on)?)));
        let (Some(role), Some((on, lower))) = (role, inside) else {
            return ControlFlow::Continue(());
        };
        let row_of = |at: DevOffset| at.get().saturating_sub(on.start().get()) / self.chunk;
        for row in row_of(lower.start())..=row_of(lower.last()) {
            if let (Some(slot), Some(bytes)) = (self.plan.slot(role, row), self.row(role, row)) {
                sink(row, slot, bytes)?;
            }
        }
        ControlFlow::Continue(())
    }

    /// `rmap_run` of a leg, in a device where the array begins at `base`.
    pub(crate) fn rmap_run_from(
        &self,
        leg: Leg,
        base: DevOffset,
        lower: &Piece,
        sink: Sink<'_, Piece>,
    ) -> ControlFlow<()> {
        self.links(leg, base).try_for_each(|link| link.rmap_run(lower, sink))
    }

    /// `map` of a part of a device where the array lies at `at` and its legs begin at `first_leg`.
    pub(crate) fn map_from(
        &self,
        at: Extent<DevOffset>,
        first_leg: u32,
        upper: Extent<DevOffset>,
        sink: Sink<'_, Mapped>,
    ) -> ControlFlow<()> {
        let mut rest = upper.intersect(at);
        while let Some(part) = rest {
            let chunk = part.start().get().saturating_sub(at.start().get()) / self.chunk;
            let window = chunk
                .checked_mul(self.chunk.get())
                .and_then(|from| at.start().get().checked_add(from))
                .and_then(|start| Extent::new(DevOffset::new(start), self.chunk.get()).ok());
            let Some(window) = window else {
                debug_assert!(false, "every chunk of the array lies within 64 bits");
                break;
            };
            self.map_chunk(chunk, window, first_leg, part, sink)?;
            rest = part.split_at(window.end()).1;
        }
        ControlFlow::Continue(())
    }

    fn map_chunk(
        &self,
        chunk: u64,
        window: Extent<DevOffset>,
        first_leg: u32,
        upper: Extent<DevOffset>,
        sink: Sink<'_, Mapped>,
    ) -> ControlFlow<()> {
        let mut found = false;
        self.plan.places(chunk, &mut |role, row| {
            let leg = usize::try_from(role).ok().and_then(|role| self.leg_of(role));
            let place = leg.zip(self.row(role, row));
            let Some((leg, below)) = place else { return ControlFlow::Continue(()) };
            found = true;
            // NO-OVERFLOW: legs of a table are numbered with 32 bits.
            let leg = Leg::new(first_leg.wrapping_add(leg.index()));
            map_window(leg, window, below.start(), upper, sink)
        })?;
        match upper.intersect(window).filter(|_| !found) {
            Some(upper) => sink(Mapped::Hole { kind: HoleKind::Unmapped, upper }),
            None => ControlFlow::Continue(()),
        }
    }
}

fn check_members(level: Level, members: usize) -> Result<(), ArrayError> {
    let wrong = |message: String| Err(ArrayError::new(ArrayErrorKind::Members, message));
    if members > MAX_MEMBERS {
        return wrong(format!("{members} members: at most {MAX_MEMBERS}"));
    }
    let (least, layout_fits) = match level {
        Level::Raid0(_) | Level::Raid1 => (1, true),
        Level::Parity { disks, layout } => {
            (usize::from(disks).saturating_add(1), layout.is_for(disks))
        }
        // No copy at all would be no array.
        Level::Raid10(copies) => {
            (usize::try_from(copies.number()).unwrap_or(usize::MAX), copies.number() > 0)
        }
    };
    if !layout_fits {
        let message = format!("{level} is no layout of this level");
        return Err(ArrayError::new(ArrayErrorKind::Layout, message));
    }
    if members < least {
        return wrong(format!("{members} members: {level} needs at least {least}"));
    }
    Ok(())
}

impl Mapping for Array {
    fn legs(&self) -> u32 {
        u32::try_from(self.roles.len()).unwrap_or(u32::MAX)
    }

    fn extent(&self) -> Extent<DevOffset> {
        self.extent
    }

    fn leg_extent(&self, leg: Leg) -> Option<Extent<DevOffset>> {
        let role = self.role(leg)?;
        let member = (*self.members.get(role)?)?;
        let rows = self.plan.rows(u64::try_from(role).ok()?);
        Extent::new(member.data.start(), rows.checked_mul(self.chunk.get())?).ok()
    }

    fn map(&self, upper: Extent<DevOffset>, sink: Sink<'_, Mapped>) -> ControlFlow<()> {
        self.map_from(self.extent, 0, upper, sink)?;
        map_beyond(self.extent, upper, sink)
    }

    fn rmap(&self, leg: Leg, lower: Extent<DevOffset>, sink: Sink<'_, Rmapped>) -> ControlFlow<()> {
        self.rmap_from(leg, DevOffset::new(0), lower, sink)
    }

    fn rmap_run(&self, leg: Leg, lower: &Piece, sink: Sink<'_, Piece>) -> ControlFlow<()> {
        self.rmap_run_from(leg, DevOffset::new(0), lower, sink)
    }
}
