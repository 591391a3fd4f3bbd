use core::{fmt, ops::ControlFlow};

use badrange_core::{DevOffset, Extent, Leg, Mapped, PageSize, Sector, Space, Stop, Window};

use super::{LinearKind, Table, Target};

/// Whether and where a device-mapper device can be reached directly: [`Table::dax`].
///
/// # Kernel
/// `dm_table_supports_dax()`.
///
/// # Examples
/// ```
/// use badrange_block::dm::{NotDax, Table};
/// let table = Table::parse("0 8 linear 259:0 0\n8 8 zero")?;
/// assert_eq!(table.dax(|_| true), Err(NotDax::Target { target: 1, name: "zero".into() }));
/// # Ok::<(), badrange_block::dm::TableError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NotDax {
    /// A target that has no direct access; one is enough for the whole table.
    Target {
        /// Which target, counted from 0.
        target: usize,
        /// Its type.
        name: String,
    },
    /// A leg whose device has no direct access.
    Leg(Leg),
}

impl fmt::Display for NotDax {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Target { target, name } => {
                write!(f, "target {target} is {name:?}, which has no direct access")
            }
            Self::Leg(leg) => write!(f, "the device of {leg} has no direct access"),
        }
    }
}

impl core::error::Error for NotDax {}

impl Table {
    /// Whether the device can be reached directly, given which legs' devices can.
    ///
    /// # Errors
    /// The first [`NotDax`] reason in the order of the targets.
    ///
    /// # Kernel
    /// Of the targets here, `linear` and `striped` have direct access. `error` is a wildcard, which
    /// takes it from the table as `zero` and `crypt` do.
    pub fn dax(&self, leg_has_dax: impl Fn(Leg) -> bool) -> Result<(), NotDax> {
        for (number, (_, target)) in self.targets().enumerate() {
            if let Some(name) = without_dax(target) {
                return Err(NotDax::Target { target: number, name: name.to_owned() });
            }
        }
        match self.legs_info().find(|info| !leg_has_dax(info.leg)) {
            Some(info) => Err(NotDax::Leg(info.leg)),
            None => Ok(()),
        }
    }
}

/// The type of a target without direct access.
fn without_dax(target: &Target) -> Option<&str> {
    match target {
        Target::Striped(_) => None,
        Target::Linear(linear) => match linear.kind() {
            LinearKind::Linear => None,
            kind @ (LinearKind::Crypt
            | LinearKind::Flakey
            | LinearKind::Dust
            | LinearKind::Delay
            | LinearKind::SnapshotOrigin) => Some(kind.as_str()),
        },
        Target::Raid(raid) => Some(raid.type_name()),
        Target::Error { .. } => Some("error"),
        Target::Zero { .. } => Some("zero"),
        Target::Opaque { words, .. } => Some(words.split(' ').next().unwrap_or_default()),
    }
}

/// What ends one access to a leg.
///
/// # Examples
/// ```
/// use badrange_block::dm::{AccessLimit, RecoveryWrites, Table};
/// use badrange_core::{DevOffset, Extent, PageSize};
/// let table = Table::parse("0 32 striped 2 8 259:0 0 259:1 0")?;
/// let asked = Extent::new(DevOffset::new(0), 2 * 4096)?;
/// let writes = RecoveryWrites::of_table(&table, asked, PageSize::K4);
/// let limits: Vec<_> = writes.flatten().map(|piece| piece.limit).collect();
/// assert_eq!(limits, [AccessLimit::Chunk, AccessLimit::Asked]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AccessLimit {
    /// No more was asked for.
    Asked,
    /// The chunk of the stripe.
    Chunk,
    /// The target, or the partition.
    Target,
}

/// One recovery write as a leg gets it.
///
/// # Invariants
/// `upper` and `lower` are whole pages of the host, equally many.
///
/// # Examples
/// ```
/// use badrange_block::dm::{RecoveryWrites, Table};
/// use badrange_core::{DevOffset, Extent, PageSize};
/// let table = Table::parse("0 64 linear 259:0 2048")?;
/// let asked = Extent::new(DevOffset::new(4096), 4096)?;
/// let piece = RecoveryWrites::of_table(&table, asked, PageSize::K4).next().unwrap()?;
/// assert_eq!((piece.upper, piece.astray), (asked, 0));
/// assert_eq!(piece.lower, Extent::new(DevOffset::new(2048 * 512 + 4096), 4096)?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RecoveryPiece {
    /// Which leg.
    pub leg: Leg,
    /// The bytes of the device that was asked.
    pub upper: Extent,
    /// The bytes that are written: of the device that gives direct access to the leg, from that
    /// device's first byte on.
    pub lower: Extent,
    /// How many bytes `lower` begins before the bytes that `upper` means: not zero only where page
    /// numbers are [cut off](RecoveryWrites::cutting_off) as Linux does.
    pub astray: u64,
    /// Why the piece ends where it does.
    pub limit: AccessLimit,
}

/// Why no recovery write goes to a range.
///
/// # Examples
/// ```
/// use badrange_block::dm::NoRecovery;
/// assert_eq!(NoRecovery::PartOfPage.to_string(), "not a whole page");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NoRecovery {
    /// Poison is cleared page by page, and this is no whole page. The kernel writes nothing.
    PartOfPage,
    /// Past the end of the device. `-EIO`.
    NoTarget,
    /// The page goes over the end of a chunk or a target: less than a page is left there. `-EIO`.
    ShortOfPage,
    /// The page begins inside a page of the leg's device.
    Unaligned,
    /// A target of this type cannot clear anything: it has no direct access to what is below.
    /// `-EIO`, and a recovery write of no bytes.
    Virtual(String),
}

impl fmt::Display for NoRecovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PartOfPage => f.write_str("not a whole page"),
            Self::NoTarget => f.write_str("past the end of the device"),
            Self::ShortOfPage => f.write_str("less than a page is left in the chunk or target"),
            Self::Unaligned => f.write_str("not at a page of the device below"),
            Self::Virtual(name) => write!(f, "a target of type {name:?} cannot clear poison"),
        }
    }
}

/// A range that no recovery write goes to.
///
/// # Examples
/// ```
/// use badrange_block::dm::RecoveryWrites;
/// use badrange_core::{DevOffset, Extent, PageSize, Window};
/// let partition = Window::new(Extent::new(DevOffset::new(512), 8192)?);
/// let asked = Extent::new(DevOffset::new(0), 4096)?;
/// let mut writes = RecoveryWrites::of_partition(partition, asked, PageSize::K4);
/// let refused = writes.next().unwrap().unwrap_err();
/// assert_eq!(
///     refused.to_string(),
///     "device bytes [0x0..0x1000): not at a page of the device below",
/// );
/// # Ok::<(), badrange_core::RangeError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RecoveryRefused {
    /// The bytes of the device that was asked.
    pub upper: Extent,
    /// Why.
    pub why: NoRecovery,
}

impl fmt::Display for RecoveryRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.upper, self.why)
    }
}

impl core::error::Error for RecoveryRefused {}

/// How a recovery write of a range reaches the devices below, access by access, in ascending
/// order. Every byte that was asked for is in exactly one item.
///
/// An item is one access: it ends with what was asked, with the target, and with the chunk of a
/// stripe (also when there is one leg only), and it is whole pages of the host. The kernel stops at the first
/// refusal and says how far it came; the iterator goes on, so that a planner sees all of them.
///
/// # Kernel
/// `dm_dax_direct_access()`, `linear_dax_recovery_write()`, `stripe_dax_recovery_write()`,
/// `max_io_len()`.
///
/// # Examples
/// ```
/// use badrange_block::dm::{AccessLimit, NoRecovery, RecoveryWrites, Table};
/// use badrange_core::{DevOffset, Extent, Leg, PageSize};
/// // Chunks of 12 sectors: a page and a half.
/// let table = Table::parse("0 48 striped 2 12 259:0 0 259:1 80\n48 8 crypt aes - 0 259:0 64")?;
/// let asked = Extent::new(DevOffset::new(0), 7 * 4096)?;
/// let items: Vec<_> = RecoveryWrites::of_table(&table, asked, PageSize::K4).collect();
/// let first = items[0].as_ref().unwrap();
/// assert_eq!((first.leg, first.limit), (Leg::new(0), AccessLimit::Chunk));
/// // The page at 4096 is half on one leg and half on the other.
/// assert_eq!(items[1].as_ref().unwrap_err().why, NoRecovery::ShortOfPage);
/// // The one after it begins at sector 4 of a chunk on leg 1: at sector 84, which is no page.
/// assert_eq!(items[2].as_ref().unwrap_err().why, NoRecovery::Unaligned);
/// let last = items.last().unwrap().as_ref().unwrap_err();
/// assert_eq!(last.why.to_string(), "a target of type \"crypt\" cannot clear poison");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct RecoveryWrites<'t> {
    on: On<'t>,
    page: PageSize,
    starts: &'t [Sector],
    cut_off: bool,
    rest: Option<Extent>,
}

#[derive(Debug, Clone, Copy)]
enum On<'t> {
    Table(&'t Table),
    Partition(Window),
}

/// One leg from a position on, before it is cut to pages.
struct Reach {
    leg: Leg,
    /// The byte of the leg's device that the position is.
    at: DevOffset,
    /// Bytes up to the limit.
    len: u64,
    limit: AccessLimit,
}

impl<'t> RecoveryWrites<'t> {
    /// A recovery write of these bytes of a device-mapper device, on a host with pages of this size.
    #[must_use]
    pub const fn of_table(table: &'t Table, asked: Extent, page: PageSize) -> Self {
        Self { on: On::Table(table), page, starts: &[], cut_off: false, rest: Some(asked) }
    }

    /// A recovery write of these bytes of a partition. A partition that does not begin and end at
    /// pages of its disk has no direct access at all.
    #[must_use]
    pub const fn of_partition(partition: Window, asked: Extent, page: PageSize) -> Self {
        Self { on: On::Partition(partition), page, starts: &[], cut_off: false, rest: Some(asked) }
    }

    /// Where the device of each leg begins on the device that gives direct access to it: not 0 for
    /// a partition. Legs without an entry begin at 0.
    #[must_use]
    pub const fn with_starts(self, starts: &'t [Sector]) -> Self {
        Self { starts, ..self }
    }

    /// As Linux does up to 6.12: the page number of the leg is cut off instead of checked, so that
    /// a write through a target that does not begin at a page goes astray, to bytes before those it
    /// means.
    #[must_use]
    pub const fn cutting_off(self) -> Self {
        Self { cut_off: true, ..self }
    }

    /// One access or refusal at the start of `rest`; what it covers is the start of `rest`.
    fn step(&self, rest: Extent) -> Result<RecoveryPiece, RecoveryRefused> {
        let refuse = |len: u64, why| {
            let upper = prefix(rest, len);
            Err(RecoveryRefused { upper, why })
        };
        let page = self.page.bytes();
        let into = rest.start().get() % self.page.nonzero();
        // NO-OVERFLOW: a remainder by a page.
        let to_page = page.wrapping_sub(into);
        if into != 0 || rest.len() < page {
            return refuse(to_page, NoRecovery::PartOfPage);
        }
        let reach = match self.reach(rest.start()) {
            Ok(reach) => reach,
            Err((len, why)) => return refuse(self.pages_out(len), why),
        };
        let (len, limit) = match reach.len < rest.len() {
            true => (reach.len, reach.limit),
            false => (rest.len(), AccessLimit::Asked),
        };
        let len = self.pages_in(len);
        let Some(upper) = Some(len).filter(|len| *len > 0).map(|len| prefix(rest, len)) else {
            return refuse(page, NoRecovery::ShortOfPage);
        };
        let astray = reach.at.get() % self.page.nonzero();
        if astray != 0 && !self.cut_off {
            return refuse(len, NoRecovery::Unaligned);
        }
        // NO-OVERFLOW: a remainder is not more than what it is of.
        let lower = DevOffset::new(reach.at.get().wrapping_sub(astray));
        match Extent::new(lower, len) {
            Ok(lower) => Ok(RecoveryPiece { leg: reach.leg, upper, lower, astray, limit }),
            Err(_) => refuse(len, NoRecovery::NoTarget),
        }
    }

    /// How far one leg goes from a position on; or for how many bytes there is none, and why.
    fn reach(&self, at: DevOffset) -> Result<Reach, (u64, NoRecovery)> {
        match self.on {
            On::Table(table) => self.reach_in_table(table, at),
            On::Partition(partition) => self.reach_in_partition(partition, at),
        }
    }

    fn reach_in_partition(
        &self,
        partition: Window,
        at: DevOffset,
    ) -> Result<Reach, (u64, NoRecovery)> {
        let on = partition.on();
        let Some(left) = on.len().checked_sub(at.get()).filter(|left| *left > 0) else {
            return Err((u64::MAX, NoRecovery::NoTarget));
        };
        let start = self.start(Leg::new(0)).and_then(|start| on.start().checked_add(start));
        let is_page = |bytes: u64| bytes % self.page.nonzero() == 0;
        match start.and_then(|start| start.checked_add(at.get()).map(|at| (start, at))) {
            Some((start, at)) if is_page(start.get()) && is_page(on.len()) => {
                Ok(Reach { leg: Leg::new(0), at, len: left, limit: AccessLimit::Target })
            }
            Some(_) => Err((left, NoRecovery::Unaligned)),
            None => Err((left, NoRecovery::NoTarget)),
        }
    }

    fn reach_in_table(&self, table: &Table, at: DevOffset) -> Result<Reach, (u64, NoRecovery)> {
        let Some((on, first_leg, target)) = table.target_at(at) else {
            return Err((u64::MAX, NoRecovery::NoTarget));
        };
        let left = on.end().get().saturating_sub(at.get());
        if let Some(name) = without_dax(target) {
            return Err((left, NoRecovery::Virtual(name.to_owned())));
        }
        let found = below(target, on, first_leg, at);
        debug_assert!(found.is_some(), "a target with direct access has every byte on a leg");
        // The leg's device may begin so high that this is beyond 64 bits: then there is nothing.
        let moved =
            found.and_then(|(leg, on_leg)| Some((leg, on_leg.checked_add(self.start(leg)?)?)));
        let Some((leg, below)) = moved else { return Err((left, NoRecovery::NoTarget)) };
        let chunk = target.chunk_left(at.get().saturating_sub(on.start().get()));
        let (len, limit) = match chunk {
            Some(chunk) if chunk < left => (chunk, AccessLimit::Chunk),
            Some(_) | None => (left, AccessLimit::Target),
        };
        Ok(Reach { leg, at: below, len, limit })
    }

    /// Whole pages of so many bytes.
    fn pages_in(&self, len: u64) -> u64 {
        // NO-OVERFLOW: a remainder is not more than what it is of.
        len.wrapping_sub(len % self.page.nonzero())
    }

    /// The pages that so many bytes from a page on touch.
    fn pages_out(&self, len: u64) -> u64 {
        len.div_ceil(self.page.bytes()).saturating_mul(self.page.bytes())
    }

    /// In bytes.
    fn start(&self, leg: Leg) -> Option<u64> {
        let place = usize::try_from(leg.index()).ok()?;
        match self.starts.get(place) {
            Some(start) => start.offset().map(DevOffset::get),
            None => Some(0),
        }
    }
}

impl Iterator for RecoveryWrites<'_> {
    type Item = Result<RecoveryPiece, RecoveryRefused>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.rest.take()?;
        let item = self.step(rest);
        let done = match &item {
            Ok(piece) => piece.upper,
            Err(refused) => refused.upper,
        };
        self.rest = rest.split_at(done.end()).1;
        Some(item)
    }
}

/// The leg and its byte that a byte of a target is, which lies at `on`.
fn below(target: &Target, on: Extent, first_leg: u32, at: DevOffset) -> Option<(Leg, DevOffset)> {
    let mut found = None;
    let flow = target.map(on, first_leg, Extent::new(at, 1).ok()?, &mut |part| {
        if let Mapped::To { leg, link } = part {
            found = Some((leg, link.lower().first().start()));
        }
        ControlFlow::Break(Stop::Enough)
    });
    found.filter(|_| flow == ControlFlow::Break(Stop::Enough))
}

/// The first `len` bytes of an extent, or all of it. INVARIANT: not none.
fn prefix(extent: Extent, len: u64) -> Extent {
    debug_assert!(len > 0, "an access has bytes");
    Extent::new(extent.start(), len.min(extent.len())).unwrap_or(extent)
}
