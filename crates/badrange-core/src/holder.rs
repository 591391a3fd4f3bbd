use core::fmt;

use alloc::{sync::Arc, vec::Vec};

use crate::{Granule, Granules, MfFlags, Outcome, Run};

/// Which device of which stack: an index and a generation.
///
/// Indices are reused after a removal; a generation is never given twice by the same stack, so that
/// a stale id never hits the device that took the place. Every stack of a process has another
/// number, so that an id of one is refused by the others. Made by the stack engine.
///
/// # Examples
/// ```
/// use badrange_core::DeviceId;
/// assert_ne!(DeviceId::new(0, 3, 1), DeviceId::new(0, 3, 2));
/// assert_ne!(DeviceId::new(0, 3, 1), DeviceId::new(1, 3, 1));
/// assert_eq!(DeviceId::new(0, 3, 1).to_string(), "device 3.1");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId {
    stack: u32,
    index: u32,
    generation: u32,
}

impl DeviceId {
    /// The id of the device that was put into slot `index` as the `generation`-th of the stack with
    /// this number.
    #[must_use]
    pub const fn new(stack: u32, index: u32, generation: u32) -> Self {
        Self { stack, index, generation }
    }

    /// The number of its stack.
    #[must_use]
    pub const fn stack(self) -> u32 {
        self.stack
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

/// One step of a way through a stack: a device, and where on it the bytes are.
///
/// # Examples
/// ```
/// use badrange_core::{DevOffset, DeviceId, Extent, Hop};
/// let at = Extent::new(DevOffset::new(4096), 512)?;
/// let hop = Hop { device: DeviceId::new(0, 0, 1), at: at.into() };
/// assert_eq!(hop.at.first(), at);
/// # Ok::<(), badrange_core::RangeError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hop {
    /// The device.
    pub device: DeviceId,
    /// The bytes on it.
    pub at: Run,
}

/// What stands behind a [`Corruption`]: the engine, or a test.
///
/// Everything is in the coordinates of the holder's device. The provided bodies do nothing, so that
/// `&()` serves where neither matters.
///
/// # Examples
/// ```
/// use badrange_core::{Context, Outcome, Run};
/// use std::cell::RefCell;
///
/// #[derive(Default)]
/// struct Settled(RefCell<Vec<(Run, Outcome)>>);
/// impl Context for Settled {
///     fn settle(&self, part: Run, outcome: Outcome) {
///         self.0.borrow_mut().push((part, outcome));
///     }
/// }
/// ```
pub trait Context {
    /// The holder decided these bytes, which lie element by element in its range.
    fn settle(&self, part: Run, outcome: Outcome) {
        let _ = (part, outcome);
    }

    /// Emits the way that these bytes took, lowest device first, the holder's own last.
    fn trail(&self, part: Run, sink: &mut dyn FnMut(Hop)) {
        let _ = (part, sink);
    }
}

impl Context for () {}

/// A failed range as its holder sees it: in the holder's own address space.
///
/// # Examples
/// ```
/// use badrange_core::{Corruption, DevOffset, Extent, MfFlags};
/// let bad = Extent::new(DevOffset::new(4096), 512)?;
/// let what = Corruption::new(bad.into(), MfFlags::NONE, &());
/// assert_eq!(what.range().as_extent(), Some(bad));
/// # Ok::<(), badrange_core::RangeError>(())
/// ```
#[derive(Clone, Copy)]
pub struct Corruption<'a> {
    range: Run,
    flags: MfFlags,
    context: &'a dyn Context,
}

impl<'a> Corruption<'a> {
    /// Puts a notification together; the engine does, and tests of holders.
    #[must_use]
    pub fn new(range: Run, flags: MfFlags, context: &'a dyn Context) -> Self {
        Self { range, flags, context }
    }

    /// The failed bytes, already clipped to what the holder registered for.
    #[must_use]
    pub fn range(&self) -> Run {
        self.range
    }

    /// The circumstances.
    #[must_use]
    pub fn flags(&self) -> MfFlags {
        self.flags
    }

    /// Decides a part of the range; what lies outside the range is ignored. Returns how many bytes
    /// were decided.
    ///
    /// The return value of [`Holder::corrupted_range`] decides every byte that was not settled. A
    /// byte settled twice takes the [join](crate::Join) of both.
    ///
    /// # Examples
    /// ```
    /// use badrange_core::{Corruption, DevOffset, Errno, Extent, MfFlags, Outcome};
    /// let at = |start, len| Extent::new(DevOffset::new(start), len).unwrap();
    /// let what = Corruption::new(at(4096, 4096).into(), MfFlags::NONE, &());
    /// // Metadata from 6144 on: the part that lies in the failed range is decided.
    /// assert_eq!(what.settle(at(6144, 1 << 20).into(), Outcome::Failed(Errno::EUCLEAN)), 2048);
    /// assert_eq!(what.settle(at(0, 4096).into(), Outcome::Handled), 0);
    /// ```
    pub fn settle(&self, part: Run, outcome: Outcome) -> u64 {
        // Nearly always the part is what a lookup has cut out of the range.
        if self.range.image(part, &self.range).is_some() {
            self.context.settle(part, outcome);
            return part.total_len();
        }
        let settle = |common: Run| {
            self.context.settle(common, outcome);
            common.total_len()
        };
        // NO-OVERFLOW: parts of one run do not overlap, so the sum is below its length.
        self.range.overlaps(&part).map(settle).fold(0, u64::saturating_add)
    }

    /// Emits the way that a part of the range took from where it was reported, lowest device
    /// first, the holder's own device last. Nothing for a part that is not of this range.
    pub fn trail(&self, part: Run, sink: &mut dyn FnMut(Hop)) {
        if self.range.image(part, &self.range).is_some() {
            self.context.trail(part, sink);
        }
    }

    /// An owned copy, for a holder that works on another thread or task: the range, the flags and
    /// the way. It answers nothing and delays nobody; what the holder returns decides the bytes.
    ///
    /// # Examples
    /// ```
    /// use badrange_core::{Corruption, Holder, Notice, Outcome};
    /// use std::sync::mpsc::Sender;
    ///
    /// struct Forward(Sender<Notice>);
    /// impl Holder for Forward {
    ///     fn corrupted_range(&self, what: &Corruption<'_>) -> Outcome {
    ///         match self.0.send(what.to_notice()) {
    ///             Ok(()) => Outcome::Handled, // somebody will see to it
    ///             Err(_) => Outcome::NotSupported, // nobody will
    ///         }
    ///     }
    /// }
    /// ```
    #[must_use]
    pub fn to_notice(&self) -> Notice {
        let mut trail = Vec::new();
        self.context.trail(self.range, &mut |hop| trail.push(hop));
        Notice { range: self.range, flags: self.flags, trail }
    }
}

impl fmt::Debug for Corruption<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Corruption")
            .field("range", &self.range)
            .field("flags", &self.flags)
            .finish_non_exhaustive()
    }
}

/// A [`Corruption`] to keep: what [`Corruption::to_notice`] makes.
///
/// # Examples
/// ```
/// use badrange_core::{Corruption, DevOffset, Extent, MfFlags};
/// let bad = Extent::new(DevOffset::new(4096), 512)?;
/// let notice = Corruption::new(bad.into(), MfFlags::NONE, &()).to_notice();
/// assert_eq!(notice.range, bad.into());
/// # Ok::<(), badrange_core::RangeError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// The failed bytes, on the holder's device.
    pub range: Run,
    /// The circumstances.
    pub flags: MfFlags,
    /// The way that they took, lowest device first, the holder's own last.
    pub trail: Vec<Hop>,
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
#[doc(alias = "dax_holder_operations")]
pub trait Holder: Send + Sync {
    /// The range went bad. The answer decides every byte of it that was not
    /// [settled](Corruption::settle).
    #[doc(alias = "notify_failure")]
    fn corrupted_range(&self, what: &Corruption<'_>) -> Outcome;

    /// Several ranges of one event went bad: `answer` is called once for each, in their order. The
    /// bytes of ranges that get no answer count as [`Outcome::NotSupported`]. The provided body
    /// calls [`corrupted_range`](Self::corrupted_range) for each.
    fn corrupted_ranges(&self, what: &[Corruption<'_>], answer: &mut dyn FnMut(Outcome)) {
        what.iter().for_each(|what| answer(self.corrupted_range(what)));
    }
}

const _: Option<&dyn Holder> = None;

impl<H: Holder + ?Sized> Holder for Arc<H> {
    fn corrupted_range(&self, what: &Corruption<'_>) -> Outcome {
        (**self).corrupted_range(what)
    }

    fn corrupted_ranges(&self, what: &[Corruption<'_>], answer: &mut dyn FnMut(Outcome)) {
        (**self).corrupted_ranges(what, answer);
    }
}

/// A [`Holder`] that is a function.
///
/// # Examples
/// ```
/// use badrange_core::{Corruption, HolderFn, Outcome};
/// let log = HolderFn(|what: &Corruption<'_>| {
///     println!("lost: {}", what.range());
///     Outcome::Handled
/// });
/// # let _: &dyn badrange_core::Holder = &log;
/// ```
pub struct HolderFn<F>(pub F);

impl<F: Fn(&Corruption<'_>) -> Outcome + Send + Sync> Holder for HolderFn<F> {
    fn corrupted_range(&self, what: &Corruption<'_>) -> Outcome {
        (self.0)(what)
    }
}

impl<F> fmt::Debug for HolderFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HolderFn")
    }
}

/// The last resort of a device with pages, page by page, for whatever no holder handled.
///
/// Physical memory's finds and tells the users of a page; a guest's may inject a machine check.
///
/// # Kernel
/// `memory_failure()` of one pfn, which the ranged entry calls in a loop (`fail_each_pfn` in the
/// proposal), and the unmapping that has to happen whoever handled the failure.
///
/// # Examples
/// ```
/// use badrange_core::{DevOffset, Extent, Fallback, Granule, Granules, MfFlags, PageSize};
/// use std::sync::Mutex;
///
/// #[derive(Default)]
/// struct Killed(Mutex<Vec<u64>>);
/// impl Fallback for Killed {
///     fn memory_failure(&self, page: Granule, _: MfFlags) {
///         self.0.lock().unwrap().push(page.pfn().get());
///     }
/// }
///
/// let killed = Killed::default();
/// let bad = Extent::new(DevOffset::new(7 * 4096), 2 * 4096)?;
/// killed.memory_failure_run(Granules::containing(bad, PageSize::K4), MfFlags::NONE);
/// assert_eq!(*killed.0.lock().unwrap(), [7, 8]);
/// # Ok::<(), badrange_core::RangeError>(())
/// ```
pub trait Fallback: Send + Sync {
    /// One page failed and no holder handled it: find and tell whoever maps it.
    fn memory_failure(&self, page: Granule, flags: MfFlags);

    /// Pages failed and no holder handled them. The provided body calls
    /// [`memory_failure`](Self::memory_failure) for each, in ascending order.
    fn memory_failure_run(&self, pages: Granules, flags: MfFlags) {
        pages.iter().for_each(|page| self.memory_failure(page, flags));
    }

    /// These pages failed, whoever handled them: nobody may reach them any more. Called once per
    /// event for every run of failed pages, after holders and fallback. Does nothing if not given.
    fn unmap(&self, pages: Granules) {
        let _ = pages;
    }
}

const _: Option<&dyn Fallback> = None;

impl<F: Fallback + ?Sized> Fallback for Arc<F> {
    fn memory_failure(&self, page: Granule, flags: MfFlags) {
        (**self).memory_failure(page, flags);
    }

    fn memory_failure_run(&self, pages: Granules, flags: MfFlags) {
        (**self).memory_failure_run(pages, flags);
    }

    fn unmap(&self, pages: Granules) {
        (**self).unmap(pages);
    }
}
