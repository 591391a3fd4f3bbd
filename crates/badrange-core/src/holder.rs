use core::fmt;

use alloc::sync::Arc;

use crate::{DevOffset, MfFlags, Outcome, Pfn, Piece, ReportOffset, Run, Space};

/// Which device of a stack: an index and a generation.
///
/// Indices are reused after a removal; a generation is never given twice by the same stack, so that
/// a stale id never hits the device that took the place. Made by the stack engine.
///
/// # Examples
/// ```
/// use badrange_core::DeviceId;
/// assert_ne!(DeviceId::new(3, 1), DeviceId::new(3, 2));
/// assert_eq!(DeviceId::new(3, 1).to_string(), "device 3.1");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId {
    index: u32,
    generation: u32,
}

impl DeviceId {
    /// The id of the device that was put into slot `index` as the `generation`-th of its stack.
    #[must_use]
    pub const fn new(index: u32, generation: u32) -> Self {
        Self { index, generation }
    }

    /// The slot.
    #[must_use]
    pub const fn index(self) -> u32 {
        self.index
    }

    /// Which of all devices ever added to the stack it is.
    #[must_use]
    pub const fn generation(self) -> u32 {
        self.generation
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "device {}.{}", self.index, self.generation)
    }
}

/// One step of the way that a piece took: a device, and where on it the piece lies.
///
/// # Examples
/// ```
/// use badrange_core::{DevOffset, DeviceId, Extent, Hop};
/// let at = Extent::new(DevOffset::new(4096), 512)?;
/// let hop = Hop { device: DeviceId::new(0, 1), at: at.into() };
/// assert_eq!(hop.at.first(), at);
/// # Ok::<(), badrange_core::RangeError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hop {
    /// The device.
    pub device: DeviceId,
    /// The piece's bytes on it.
    pub at: Run<DevOffset>,
}

/// What stands behind a [`Corruption`]: the engine, or a test.
///
/// Both methods are told byte ranges of the report. The provided bodies do nothing, so that `&()`
/// serves where neither matters.
///
/// # Examples
/// ```
/// use badrange_core::{Context, Outcome, ReportOffset, Run};
/// use std::cell::RefCell;
///
/// #[derive(Default)]
/// struct Settled(RefCell<Vec<(Run<ReportOffset>, Outcome)>>);
/// impl Context for Settled {
///     fn settle(&self, origin: Run<ReportOffset>, outcome: Outcome) {
///         self.0.borrow_mut().push((origin, outcome));
///     }
/// }
/// ```
pub trait Context {
    /// A holder decided these bytes.
    fn settle(&self, origin: Run<ReportOffset>, outcome: Outcome) {
        let _ = (origin, outcome);
    }

    /// Emits the way that these bytes took, lowest device first.
    fn trail(&self, origin: Run<ReportOffset>, sink: &mut dyn FnMut(Hop)) {
        let _ = (origin, sink);
    }
}

impl Context for () {}

/// A failed range as its holder sees it: in the holder's own address space.
///
/// `S` is the space the holder registered in: [`DevOffset`] of its device, or
/// [`PhysAddr`](crate::PhysAddr) for an owner of physical memory.
///
/// # Examples
/// ```
/// use badrange_core::{Corruption, DevOffset, Extent, MfFlags, Piece};
/// let bad = Extent::new(DevOffset::new(4096), 512)?;
/// let what = Corruption::new(Piece::report(bad), MfFlags::NONE, &());
/// assert_eq!(what.range().as_extent(), Some(bad));
/// # Ok::<(), badrange_core::RangeError>(())
/// ```
pub struct Corruption<'a, S: Space = DevOffset> {
    piece: Piece<S>,
    flags: MfFlags,
    context: &'a dyn Context,
}

impl<'a, S: Space> Corruption<'a, S> {
    /// Puts a notification together; the engine does, and tests of holders.
    #[must_use]
    pub fn new(piece: Piece<S>, flags: MfFlags, context: &'a dyn Context) -> Self {
        Self { piece, flags, context }
    }

    /// The failed bytes, already clipped to what the holder registered for.
    #[must_use]
    pub fn range(&self) -> Run<S> {
        self.piece.here()
    }

    /// The failed bytes with the part of the report they stand for.
    #[must_use]
    pub fn piece(&self) -> Piece<S> {
        self.piece
    }

    /// The circumstances.
    #[must_use]
    pub fn flags(&self) -> MfFlags {
        self.flags
    }

    /// Decides a part of the range, in the holder's coordinates; what lies outside the range is
    /// ignored. Returns how many bytes were decided.
    ///
    /// The return value of [`Holder::corrupted_range`] decides every byte that was not settled. A
    /// byte settled twice takes the [join](crate::Join) of both.
    pub fn settle(&self, part: Run<S>, outcome: Outcome) -> u64 {
        // Nearly always the part is what a lookup has cut out of the range.
        if let Some(piece) = self.piece.select(part) {
            self.context.settle(piece.origin(), outcome);
            return part.total_len();
        }
        let mut settled = 0_u64;
        for common in self.piece.here().overlaps(&part) {
            if let Some(piece) = self.piece.select(common) {
                self.context.settle(piece.origin(), outcome);
                // NO-OVERFLOW: parts of one run do not overlap, so the sum is below its length.
                settled = settled.saturating_add(common.total_len());
            }
        }
        settled
    }

    /// [`settle`](Self::settle) for who has the bytes of the report at hand, as whoever clips
    /// [`piece`](Self::piece) has: nothing has to be looked up.
    ///
    /// Bytes of the report that this range does not stand for are ignored. Returns how many bytes
    /// were decided.
    ///
    /// # Examples
    /// ```
    /// use badrange_core::{Corruption, DevOffset, Extent, MfFlags, Outcome, Piece};
    /// let at = |start, len| Extent::new(DevOffset::new(start), len).unwrap();
    /// let what = Corruption::new(Piece::report(at(4096, 512)), MfFlags::NONE, &());
    /// for part in what.piece().clip(at(4600, 100)) {
    ///     assert_eq!(what.settle_origin(part.origin(), Outcome::Handled), 8);
    /// }
    /// ```
    pub fn settle_origin(&self, origin: Run<ReportOffset>, outcome: Outcome) -> u64 {
        let mine = self.piece.origin();
        let mine = mine.as_extent().map_or(mine, Run::from);
        let settle = |part: Run<ReportOffset>| {
            self.context.settle(part, outcome);
            part.total_len()
        };
        if mine.is_single() && mine.first().contains_extent(origin.span()) {
            return settle(origin);
        }
        // NO-OVERFLOW: parts of one run do not overlap, so the sum is below its length.
        mine.overlaps(&origin).map(settle).fold(0, u64::saturating_add)
    }

    /// Emits the way that a part of the range took from where it was reported, lowest device
    /// first, the holder's own device last. Nothing for a part that is not of this range.
    pub fn trail(&self, part: Run<S>, sink: &mut dyn FnMut(Hop)) {
        if let Some(piece) = self.piece.select(part) {
            self.context.trail(piece.origin(), sink);
        }
    }
}

impl<S: Space> fmt::Debug for Corruption<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Corruption")
            .field("range", &self.piece.here())
            .field("origin", &self.piece.origin())
            .field("flags", &self.flags)
            .finish_non_exhaustive()
    }
}

/// Whoever registered on a part of a device, to be told when it goes bad.
///
/// # Contract
/// Called by the engine once per event and contiguous or strided piece that reaches the
/// registration, clipped to it, on the thread that reported the failure, with no lock of the
/// engine held: the callback may register, unregister (it then detaches and never waits) and
/// report further failures. It must not assume that it is called only once for a byte: overlapping
/// reports and several routes reach it several times.
///
/// # Kernel
/// `dax_holder_operations->notify_failure`, and the `->corrupted_range()` that was proposed before.
///
/// # Examples
/// ```
/// use badrange_core::{Corruption, Holder, Outcome};
/// struct Log;
/// impl Holder for Log {
///     fn corrupted_range(&self, what: &Corruption<'_>) -> Outcome {
///         println!("lost: {}", what.range());
///         Outcome::Handled
///     }
/// }
/// ```
pub trait Holder<S: Space = DevOffset>: Send + Sync {
    /// The range went bad. The answer decides every byte of it that was not
    /// [settled](Corruption::settle).
    fn corrupted_range(&self, what: &Corruption<'_, S>) -> Outcome;
}

const _: Option<&dyn Holder> = None;

impl<S: Space, H: Holder<S> + ?Sized> Holder<S> for Arc<H> {
    fn corrupted_range(&self, what: &Corruption<'_, S>) -> Outcome {
        (**self).corrupted_range(what)
    }
}

/// The last resort, page by page, for whatever no holder handled.
///
/// # Kernel
/// `memory_failure()` of one pfn, which the ranged entry calls in a loop (`fail_each_pfn` in the
/// proposal), and the unmapping that has to happen whoever handled the failure.
///
/// # Examples
/// ```
/// use badrange_core::{Extent, Fallback, MfFlags, Pfn, Run};
/// use std::sync::Mutex;
///
/// #[derive(Default)]
/// struct Killed(Mutex<Vec<u64>>);
/// impl Fallback for Killed {
///     fn memory_failure(&self, pfn: Pfn, _: MfFlags) {
///         self.0.lock().unwrap().push(pfn.get());
///     }
/// }
///
/// let killed = Killed::default();
/// killed.memory_failure_run(Extent::new(Pfn::new(7), 2)?.into(), MfFlags::NONE);
/// assert_eq!(*killed.0.lock().unwrap(), [7, 8]);
/// # Ok::<(), badrange_core::RangeError>(())
/// ```
pub trait Fallback: Send + Sync {
    /// One page failed and no holder handled it: find and tell whoever maps it.
    fn memory_failure(&self, pfn: Pfn, flags: MfFlags);

    /// Pages failed and no holder handled them. The provided body calls
    /// [`memory_failure`](Self::memory_failure) for each, in ascending order.
    fn memory_failure_run(&self, pages: Run<Pfn>, flags: MfFlags) {
        for extent in pages.elements() {
            for pfn in extent.start().get()..extent.end().get() {
                self.memory_failure(Pfn::new(pfn), flags);
            }
        }
    }

    /// These pages failed, whoever handled them: nobody may reach them any more. Called once per
    /// event for every run of failed pages, after holders and fallback. Does nothing if not given.
    fn unmap(&self, pages: Run<Pfn>) {
        let _ = pages;
    }
}

const _: Option<&dyn Fallback> = None;

impl<F: Fallback + ?Sized> Fallback for Arc<F> {
    fn memory_failure(&self, pfn: Pfn, flags: MfFlags) {
        (**self).memory_failure(pfn, flags);
    }

    fn memory_failure_run(&self, pages: Run<Pfn>, flags: MfFlags) {
        (**self).memory_failure_run(pages, flags);
    }

    fn unmap(&self, pages: Run<Pfn>) {
        (**self).unmap(pages);
    }
}
