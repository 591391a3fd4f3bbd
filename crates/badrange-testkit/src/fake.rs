//! Holders that misbehave on purpose, one that only records, and a fallback that records.
//!
//! They wrap another holder, so that a test adds the fault to what it already has:
//! ```
//! use badrange_core::*;
//! use badrange_stack::{DeviceSpec, Stack};
//! use badrange_testkit::fake::{Countdown, Recorder};
//! use std::sync::Arc;
//!
//! let all = Extent::new(DevOffset::new(0), 4096)?;
//! let stack = Stack::new();
//! let disk = stack.add_device(DeviceSpec::base("disk", all))?;
//! let recorder = Arc::new(Recorder::new(Outcome::Handled));
//! let _r = stack.register(disk, all, Arc::new(Countdown::new(recorder.clone(), 1)))?;
//! assert_eq!(stack.fail(disk, all, MfFlags::NONE)?.handled_bytes(), 4096);
//! assert_eq!(stack.fail(disk, all, MfFlags::NONE)?.handled_bytes(), 0); // refuses now
//! assert_eq!(recorder.notices().len(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use core::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};
use std::sync::{Mutex, MutexGuard, PoisonError};

use badrange_core::{
    Corruption, Fallback, Granule, Granules, Holder, MfFlags, Notice, Outcome, Run,
};

/// What is guarded here is only appended to, so that a panic elsewhere leaves it whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A holder that records what it is notified of and always says the same.
///
/// # Examples
/// ```
/// use badrange_core::*;
/// use badrange_testkit::fake::Recorder;
/// let at = |start, len| Extent::new(DevOffset::new(start), len).unwrap();
/// let recorder = Recorder::new(Outcome::Handled).settling(at(512, 512).into(), Outcome::NotSupported);
/// let what = Corruption::new(at(0, 1024).into(), MfFlags::ACTION_REQUIRED, &());
/// assert_eq!(recorder.corrupted_range(&what), Outcome::Handled);
/// assert_eq!(recorder.notices()[0].range, at(0, 1024).into());
/// assert_eq!(recorder.notices()[0].flags, MfFlags::ACTION_REQUIRED);
/// ```
#[derive(Debug)]
pub struct Recorder {
    notices: Mutex<Vec<Notice>>,
    settles: Vec<(Run, Outcome)>,
    answer: Outcome,
}

impl Recorder {
    /// Says `answer` for everything.
    #[must_use]
    pub fn new(answer: Outcome) -> Self {
        Self { notices: Mutex::new(Vec::new()), settles: Vec::new(), answer }
    }

    /// Settles `part` whenever it is notified of anything, before it answers.
    #[must_use]
    pub fn settling(mut self, part: Run, outcome: Outcome) -> Self {
        self.settles.push((part, outcome));
        self
    }

    /// Everything it was notified of so far, in order, with the way that the bytes took.
    #[must_use]
    pub fn notices(&self) -> Vec<Notice> {
        lock(&self.notices).clone()
    }

    /// The same, and forgets it.
    #[must_use]
    pub fn take(&self) -> Vec<Notice> {
        core::mem::take(&mut *lock(&self.notices))
    }
}

impl Holder for Recorder {
    fn corrupted_range(&self, what: &Corruption<'_>) -> Outcome {
        // Before the lock is taken: whoever is asked for the way may call in again.
        let notice = what.to_notice();
        lock(&self.notices).push(notice);
        for (part, outcome) in &self.settles {
            what.settle(*part, *outcome);
        }
        self.answer
    }
}

/// Passes the first calls on, and refuses from then on with [`Outcome::NotSupported`].
///
/// # Examples
/// ```
/// use badrange_core::*;
/// use badrange_testkit::fake::{Countdown, Recorder};
/// let holder = Countdown::new(Recorder::new(Outcome::Handled), 1);
/// let bad = Extent::new(DevOffset::new(0), 1)?;
/// let what = Corruption::new(bad.into(), MfFlags::NONE, &());
/// assert_eq!(holder.corrupted_range(&what), Outcome::Handled);
/// assert_eq!(holder.corrupted_range(&what), Outcome::NotSupported);
/// # Ok::<(), RangeError>(())
/// ```
#[derive(Debug)]
pub struct Countdown<H> {
    inner: H,
    calls: Calls,
    passes: u64,
}

impl<H> Countdown<H> {
    /// Passes `passes` calls on to `inner`.
    #[must_use]
    pub fn new(inner: H, passes: u64) -> Self {
        Self { inner, calls: Calls::default(), passes }
    }
}

impl<H: Holder> Holder for Countdown<H> {
    fn corrupted_range(&self, what: &Corruption<'_>) -> Outcome {
        match self.calls.count() < self.passes {
            true => self.inner.corrupted_range(what),
            false => Outcome::NotSupported,
        }
    }
}

/// Panics at one call, after what `inner` settled at it, and passes all others on; or panics at each.
///
/// # Examples
/// ```
/// use badrange_core::*;
/// use badrange_stack::{DeviceSpec, Stack};
/// use badrange_testkit::fake::{Panics, Recorder};
/// use std::sync::Arc;
/// let all = Extent::new(DevOffset::new(0), 4096)?;
/// let stack = Stack::new();
/// let disk = stack.add_device(DeviceSpec::base("disk", all))?;
/// let holder = Panics::new(Recorder::new(Outcome::Handled), 0);
/// let _r = stack.register(disk, all, Arc::new(holder))?;
/// let report = stack.fail(disk, all, MfFlags::NONE)?;
/// assert_eq!((report.counts().panicked, report.remainder_bytes()), (1, 4096));
/// assert_eq!(stack.fail(disk, all, MfFlags::NONE)?.handled_bytes(), 4096);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Panics<H> {
    inner: H,
    calls: Calls,
    at: Option<u64>,
}

impl<H> Panics<H> {
    /// Panics at call number `at`, counted from 0.
    #[must_use]
    pub fn new(inner: H, at: u64) -> Self {
        Self { inner, calls: Calls::default(), at: Some(at) }
    }

    /// Panics at every call.
    ///
    /// # Examples
    /// ```
    /// use badrange_core::{DevOffset, Extent, Outcome};
    /// use badrange_testkit::{conformance::{self, Config, Law}, fake::{Panics, Recorder}};
    /// use std::sync::Arc;
    /// let holder = Panics::always(Recorder::new(Outcome::Handled));
    /// let on = Extent::new(DevOffset::new(0), 4096)?;
    /// let violation = conformance::holder(Arc::new(holder), on, &Config::default()).unwrap_err();
    /// assert_eq!(violation.law(), Law::Survives);
    /// # Ok::<(), badrange_core::RangeError>(())
    /// ```
    #[must_use]
    pub fn always(inner: H) -> Self {
        Self { inner, calls: Calls::default(), at: None }
    }
}

impl<H> Panics<H> {
    /// How often it was called so far.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.calls.so_far()
    }

    /// Ends a call, of which `answer` is what is said if it is not one to panic at.
    fn end<T>(&self, answer: T) -> T {
        let call = self.calls.count();
        if self.at.is_none_or(|at| at == call) {
            // Past the panic hook: a panic that is wanted needs no message.
            std::panic::resume_unwind(Box::new("a holder made to panic"));
        }
        answer
    }
}

impl<H: Holder> Holder for Panics<H> {
    /// # Panics
    /// At that one call, or at each: it is made to.
    fn corrupted_range(&self, what: &Corruption<'_>) -> Outcome {
        self.end(self.inner.corrupted_range(what))
    }

    /// Several ranges are one call: `inner` is notified of all before the panic, and answers none.
    ///
    /// # Panics
    /// As above.
    fn corrupted_ranges(&self, what: &[Corruption<'_>], answer: &mut dyn FnMut(Outcome)) {
        let mut answers = Vec::new();
        self.inner.corrupted_ranges(what, &mut |said| answers.push(said));
        self.end(answers).into_iter().for_each(answer);
    }
}

/// Does something from inside the first calls, such as reporting or registering, and passes all
/// calls on.
///
/// # Examples
/// ```
/// use badrange_core::*;
/// use badrange_stack::{DeviceSpec, Stack};
/// use badrange_testkit::fake::{Recorder, Reenters};
/// use std::sync::Arc;
/// let all = Extent::new(DevOffset::new(0), 4096)?;
/// let stack = Stack::new();
/// let disk = stack.add_device(DeviceSpec::base("disk", all))?;
/// let recorder = Arc::new(Recorder::new(Outcome::Handled));
/// let inside = stack.clone();
/// let holder = Reenters::new(recorder.clone(), 2, move |what: &Corruption<'_>| {
///     let _nested = inside.fail(disk, what.range().first(), MfFlags::NONE);
/// });
/// let _r = stack.register(disk, all, Arc::new(holder))?;
/// let report = stack.fail(disk, all, MfFlags::NONE)?;
/// assert_eq!(report.handled_bytes(), 4096);
/// assert_eq!(recorder.notices().len(), 3); // the event, one inside it, and one inside that
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Reenters<H, F> {
    inner: H,
    calls: Calls,
    times: u64,
    action: F,
}

impl<H, F> Reenters<H, F> {
    /// Runs `action` in each of the first `times` calls: an action that leads back here ends.
    #[must_use]
    pub fn new(inner: H, times: u64, action: F) -> Self {
        Self { inner, calls: Calls::default(), times, action }
    }
}

impl<H: Holder, F: Fn(&Corruption<'_>) + Send + Sync> Holder for Reenters<H, F> {
    fn corrupted_range(&self, what: &Corruption<'_>) -> Outcome {
        if self.calls.count() < self.times {
            (self.action)(what);
        }
        self.inner.corrupted_range(what)
    }
}

impl<H: fmt::Debug, F> fmt::Debug for Reenters<H, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reenters").field("inner", &self.inner).finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct Calls(AtomicU64);

impl Calls {
    /// How many calls there were before this one.
    fn count(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }

    fn so_far(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A fallback that records the pages it is given.
///
/// # Examples
/// ```
/// use badrange_core::{DevOffset, Extent, MfFlags, PageSize};
/// use badrange_stack::{DeviceSpec, Stack};
/// use badrange_testkit::fake::PageLog;
/// use std::sync::Arc;
/// let pages = Arc::new(PageLog::default());
/// let stack = Stack::new();
/// let memory = DeviceSpec::base("mem", Extent::new(DevOffset::new(0), 1 << 30)?);
/// let memory = stack.add_device(memory.fallback(PageSize::K4, pages.clone()))?;
/// let bad = Extent::new(DevOffset::new(0x1fff), 2)?; // touches two pages
/// let _report = stack.fail(memory, bad, MfFlags::NONE)?;
/// assert_eq!(pages.failed(), [1, 2]);
/// assert_eq!(pages.unmapped(), [1, 2]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct PageLog {
    failed: Mutex<Vec<u64>>,
    unmapped: Mutex<Vec<u64>>,
}

impl PageLog {
    /// Numbers of the pages that the fallback ran on, in order, each as often as it did.
    #[must_use]
    pub fn failed(&self) -> Vec<u64> {
        lock(&self.failed).clone()
    }

    /// Numbers of the pages that were unmapped, in order, each as often as it was.
    #[must_use]
    pub fn unmapped(&self) -> Vec<u64> {
        lock(&self.unmapped).clone()
    }

    /// Both, the failed and the unmapped ones, and forgets them.
    #[must_use]
    pub fn take(&self) -> (Vec<u64>, Vec<u64>) {
        (core::mem::take(&mut *lock(&self.failed)), core::mem::take(&mut *lock(&self.unmapped)))
    }
}

impl Fallback for PageLog {
    fn memory_failure(&self, page: Granule, _: MfFlags) {
        lock(&self.failed).push(page.pfn().get());
    }

    fn unmap(&self, pages: Granules) {
        lock(&self.unmapped).extend(pages.iter().map(|page| page.pfn().get()));
    }
}
