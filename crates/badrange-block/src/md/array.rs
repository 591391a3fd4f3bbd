use core::{num::NonZeroU64, ops::ControlFlow};

use badrange_core::{
    Backing, DevOffset, Extent, Flow, HoleKind, Leg, Link, Mapped, Mapping, Run, Sink, beyond, bug,
};

use super::{ArrayError, ArrayErrorKind, Level, plan::Plan};

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
    pub data: Extent,
    /// How many bytes from the start of `data` are up to date. What lies beyond is still being
    /// rebuilt: nothing can be rebuilt from it.
    pub synced: u64,
}

impl Member {
    /// A member of which all is up to date.
    #[must_use]
    pub fn in_sync(data: Extent) -> Self {
        Self { data, synced: data.len() }
    }
}

/// A software array over its members.
///
/// Legs are the members that are there and hold a part of the array, in the order of their roles.
/// `map` emits a hole ([`HoleKind::Unmapped`]) for bytes whose only copy would be on a missing
/// member. Parity is no byte of the array: `rmap` does not emit it. Cost: `map` one call per chunk;
/// `rmap` and `redundancy` one call per chunk, or per repeating part where these are fewer: their
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
/// let _ = array.rmap(Leg::new(0), bad.into(), &mut |link| {
///     hit.push(link.upper().first().containing_sectors());
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
    /// INVARIANT: ascending by role.
    legs: Box<[InUse]>,
    extent: Extent,
}

/// A member that is there and holds a part of the array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct InUse {
    pub(super) role: u64,
    /// The bytes of its device in use. INVARIANT: whole rows.
    pub(super) on: Extent,
    /// How many bytes from the first on are up to date.
    pub(super) synced: u64,
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
        let overflow = || ArrayError::new(ArrayErrorKind::Overflow, "its bytes exceed 64 bits");
        let bytes = |rows: u64| rows.checked_mul(chunk.get()).ok_or_else(overflow);
        let extent = Extent::new(DevOffset::new(0), bytes(plan.chunks())?);
        let extent = extent.map_err(|_| overflow())?;
        let mut legs = Vec::new();
        for (role, member) in (0_u64..).zip(&members) {
            let Some(Member { data, synced }) = *member else { continue }; // it is missing
            let rows = plan.rows(role);
            if rows > 0 {
                let on = Extent::new(data.start(), bytes(rows)?).map_err(|_| overflow())?;
                legs.push(InUse { role, on, synced });
            }
        }
        Ok(Self { level, chunk, plan, members, legs: legs.into(), extent })
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

    /// Whether its level has anything twice.
    #[must_use]
    pub fn is_redundant(&self) -> bool {
        !matches!(self.level, Level::Raid0(_))
    }

    /// The role of a leg: its member's number among all members.
    #[must_use]
    pub fn role(&self, leg: Leg) -> Option<usize> {
        usize::try_from(self.member(leg)?.role).ok()
    }

    /// The leg of a member by its role; `None` for one that is missing or holds nothing.
    #[must_use]
    pub fn leg_of(&self, role: usize) -> Option<Leg> {
        self.leg_of_role(u64::try_from(role).ok()?).map(|(leg, _)| leg)
    }

    pub(super) fn leg_of_role(&self, role: u64) -> Option<(Leg, &InUse)> {
        let at = self.legs.binary_search_by_key(&role, |member| member.role).ok()?;
        Some((Leg::new(u32::try_from(at).ok()?), self.legs.get(at)?))
    }

    /// The member that a leg is; `None` for a leg number that does not exist.
    pub(super) fn member(&self, leg: Leg) -> Option<&InUse> {
        self.legs.get(usize::try_from(leg.index()).ok()?)
    }

    /// A chunk as bytes of a device where chunk 0 begins at `base`: a row of a member, or a chunk of
    /// the array.
    pub(super) fn chunk_at(&self, base: DevOffset, number: u64) -> Option<Extent> {
        let start = base.get().checked_add(number.checked_mul(self.chunk.get())?)?;
        Extent::new(DevOffset::new(start), self.chunk.get()).ok()
    }

    /// `map` of a part of a device where the array lies at `at` and its legs begin at `first_leg`.
    pub(crate) fn map_from(
        &self,
        at: Extent,
        first_leg: u32,
        upper: Extent,
        sink: Sink<'_, Mapped>,
    ) -> Flow {
        let mut rest = upper.intersect(at);
        while let Some(part) = rest {
            let number = part.start().get().saturating_sub(at.start().get()) / self.chunk;
            let Some(above) = self.chunk_at(at.start(), number) else {
                return bug!("a chunk of an array lies within 64 bits");
            };
            self.map_chunk(number, above, first_leg, part, sink)?;
            rest = part.split_at(above.end()).1;
        }
        ControlFlow::Continue(())
    }

    fn map_chunk(
        &self,
        number: u64,
        above: Extent,
        first_leg: u32,
        upper: Extent,
        sink: Sink<'_, Mapped>,
    ) -> Flow {
        let mut found = false;
        self.plan.places(number, &mut |role, row| {
            let Some((leg, member)) = self.leg_of_role(role) else {
                return ControlFlow::Continue(()); // it is missing
            };
            found = true;
            let below = self.chunk_at(member.on.start(), row);
            let Some(link) = below.and_then(|below| Link::try_from((below, above)).ok()) else {
                return bug!("a chunk of an array lies within 64 bits of its member");
            };
            // NO-OVERFLOW: legs of a table are numbered with 32 bits.
            let leg = Leg::new(first_leg.wrapping_add(leg.index()));
            link.clip_upper(upper).try_for_each(|link| sink(Mapped::To { leg, link }))
        })?;
        match upper.intersect(above).filter(|_| !found) {
            Some(lost) => sink(Mapped::Hole(HoleKind::Unmapped, lost)),
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
    fn extent(&self) -> Extent {
        self.extent
    }

    fn legs(&self) -> u32 {
        u32::try_from(self.legs.len()).unwrap_or(u32::MAX) // at most `MAX_MEMBERS`
    }

    fn leg_extent(&self, leg: Leg) -> Option<Extent> {
        self.member(leg).map(|member| member.on)
    }

    fn map(&self, upper: Extent, sink: Sink<'_, Mapped>) -> Flow {
        self.map_from(self.extent, 0, upper, sink)?;
        beyond(self.extent, upper, sink)
    }

    fn rmap(&self, leg: Leg, lower: Run, sink: Sink<'_, Link>) -> Flow {
        self.rmap_from(leg, DevOffset::new(0), lower, sink)
    }

    fn redundancy(&self, leg: Leg, lower: Run, sink: &mut dyn FnMut(Backing<'_>) -> Flow) -> Flow {
        self.redundancy_from(leg, 0, lower, sink)
    }
}
