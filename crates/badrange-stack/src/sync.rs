//! The only file of this crate that names a synchronisation primitive.
//!
//! Three backends: `std` with `arc-swap`; `loom`, whose models try every interleaving of a few
//! threads; `shuttle`, whose models try random interleavings of many. The feature `loom` or
//! `shuttle` alone chooses a backend for models. Both together choose none: that is what
//! `--all-features` says, whose tests are ordinary ones. What the doubles here promise, and what
//! they hide, is in `docs/loom.md`.

use core::{
    cell::{Cell, RefCell},
    fmt,
    sync::atomic::Ordering,
};
pub(crate) use std::sync::Arc;
use std::sync::PoisonError;

pub use self::backend::BACKEND;
use self::backend::{AtomicUsize, fence};
pub(crate) use self::backend::{MutexGuard, Published, caught};

#[cfg(any(
    not(any(feature = "loom", feature = "shuttle")),
    all(feature = "loom", feature = "shuttle")
))]
mod backend {
    use core::panic::AssertUnwindSafe;
    pub(super) use core::sync::atomic::{AtomicUsize, fence};
    pub(crate) use std::sync::MutexGuard;
    pub(super) use std::sync::{Arc, Condvar, Mutex};

    use arc_swap::{ArcSwap, Guard};

    /// Which synchronisation primitives this build of the engine stands on: `std`, `loom` or
    /// `shuttle`. Whoever runs the engine under a scheduler from outside asserts it, because cargo
    /// joins the features that all crates of one build ask for.
    ///
    /// # Examples
    /// ```
    /// assert_eq!(badrange_stack::BACKEND, "std"); // neither feature, or both
    /// ```
    pub const BACKEND: &str = "std";

    /// Values of each thread that are there from the beginning: nothing to initialise later.
    macro_rules! per_thread {
        ($($(#[$meta:meta])* static $name:ident: $type:ty = $value:expr;)*) => {
            std::thread_local! { $($(#[$meta])* static $name: $type = const { $value };)* }
        };
    }
    pub(super) use per_thread;

    /// A published immutable value: readers load it without waiting, a writer replaces it whole.
    pub(crate) struct Published<T>(ArcSwap<T>);

    impl<T> Published<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(ArcSwap::from_pointee(value))
        }

        /// The value of now, to keep.
        pub(crate) fn load(&self) -> Arc<T> {
            self.0.load_full()
        }

        /// The value of now, to look at. Costs no count while a thread looks at few of them; one
        /// that has many open, because events nest, pays for a count instead.
        pub(crate) fn peek(&self) -> Guard<Arc<T>> {
            self.0.load()
        }

        /// Publishes the next value and gives back the one before.
        ///
        /// LOCKING: the caller holds the writer mutex.
        pub(crate) fn swap(&self, value: T) -> Arc<T> {
            self.0.swap(Arc::new(value))
        }
    }

    /// Calls out; `None` when that panicked. What it panicked with may panic in turn when it is
    /// dropped; what that panics with is leaked, because it may do so, too, and so on.
    pub(crate) fn caught<T>(call: impl FnOnce() -> T) -> Option<T> {
        let payload = match std::panic::catch_unwind(AssertUnwindSafe(call)) {
            Ok(value) => return Some(value),
            Err(payload) => payload,
        };
        if let Err(second) = std::panic::catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            core::mem::forget(second);
        }
        None
    }
}

#[cfg(all(feature = "loom", not(feature = "shuttle")))]
mod backend {
    use core::sync::atomic::Ordering;
    use std::sync::PoisonError;

    pub(crate) use loom::sync::MutexGuard;
    pub(super) use loom::{
        sync::{
            Condvar, Mutex,
            atomic::{AtomicUsize, fence},
        },
        thread_local as per_thread,
    };

    use super::Arc;

    /// The primitives of this build.
    pub const BACKEND: &str = "loom";

    /// A double of an arc-swap that promises what arc-swap documents and no more: publish and
    /// acquire. A load that nothing orders after a swap may return any older value.
    ///
    /// Old values are kept until the snapshot goes. Their list is opaque to loom: the index alone
    /// decides what a load sees.
    pub(crate) struct Published<T>(Arc<Values<T>>);

    struct Values<T> {
        values: std::sync::Mutex<Vec<Arc<T>>>,
        current: AtomicUsize,
    }

    impl<T> Published<T> {
        pub(crate) fn new(value: T) -> Self {
            let values = std::sync::Mutex::new(vec![Arc::new(value)]);
            Self(Arc::new(Values { values, current: AtomicUsize::new(0) }))
        }

        pub(crate) fn load(&self) -> Arc<T> {
            self.0.at(self.0.index())
        }

        pub(crate) fn peek(&self) -> Arc<T> {
            self.load()
        }

        pub(crate) fn swap(&self, value: T) -> Arc<T> {
            let mut values = self.0.values.lock().unwrap_or_else(PoisonError::into_inner);
            values.push(Arc::new(value));
            let index = values.len().saturating_sub(1);
            drop(values);
            self.0.at(self.0.current.swap(index, Ordering::AcqRel))
        }
    }

    impl<T> Values<T> {
        fn index(&self) -> usize {
            self.current.load(Ordering::Acquire)
        }

        fn at(&self, index: usize) -> Arc<T> {
            let values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
            values.get(index).map(Arc::clone).expect("an index that was pushed")
        }
    }

    /// In a model a panic is a failure of the model.
    pub(crate) fn caught<T>(call: impl FnOnce() -> T) -> Option<T> {
        Some(call())
    }
}

#[cfg(all(feature = "shuttle", not(feature = "loom")))]
mod backend {
    use std::sync::PoisonError;

    pub(crate) use shuttle::sync::MutexGuard;
    pub(super) use shuttle::{
        sync::{
            Condvar, Mutex, RwLock,
            atomic::{AtomicUsize, fence},
        },
        thread_local as per_thread,
    };

    use super::Arc;

    /// The primitives of this build.
    pub const BACKEND: &str = "shuttle";

    /// A double of an arc-swap. Shuttle interleaves sequentially consistent steps, so that a lock
    /// hides nothing; old values are let go when arc-swap would.
    pub(crate) struct Published<T>(Arc<RwLock<Arc<T>>>);

    impl<T> Published<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(Arc::new(RwLock::new(Arc::new(value))))
        }

        pub(crate) fn peek(&self) -> Arc<T> {
            self.load()
        }

        pub(crate) fn load(&self) -> Arc<T> {
            Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
        }

        pub(crate) fn swap(&self, value: T) -> Arc<T> {
            let mut now = self.0.write().unwrap_or_else(PoisonError::into_inner);
            core::mem::replace(&mut *now, Arc::new(value))
        }
    }

    /// In a model a panic is a failure of the model.
    pub(crate) fn caught<T>(call: impl FnOnce() -> T) -> Option<T> {
        Some(call())
    }
}

/// A number that no other stack of this process has. Of the real primitives in models, too: it is no
/// part of any.
pub(crate) fn next_stack_number() -> u32 {
    static NEXT: core::sync::atomic::AtomicU32 = core::sync::atomic::AtomicU32::new(0);
    // NO-OVERFLOW: an id could only be mistaken after 2^32 stacks were made.
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A mutex whose lock cannot fail: state guarded here is whole whenever a panic can happen, so
/// that one while it is held leaves either the old or the new state.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(backend::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(backend::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where threads sleep that wait for what a [`Mutex`] guards.
#[derive(Debug, Default)]
pub(crate) struct Condvar(backend::Condvar);

impl Condvar {
    /// Lets go of the lock, sleeps until woken (or for no reason), and takes the lock again.
    pub(crate) fn wait<'m, T>(&self, guard: MutexGuard<'m, T>) -> MutexGuard<'m, T> {
        self.0.wait(guard).unwrap_or_else(PoisonError::into_inner)
    }

    /// The same for a limited time; whether that has passed. In a model there is no time: it never
    /// passes, so that a wake which is missing is a deadlock.
    pub(crate) fn wait_timeout<'m, T>(
        &self,
        guard: MutexGuard<'m, T>,
        limit: core::time::Duration,
    ) -> (MutexGuard<'m, T>, bool) {
        let (guard, timeout) =
            self.0.wait_timeout(guard, limit).unwrap_or_else(PoisonError::into_inner);
        (guard, timeout.timed_out())
    }

    pub(crate) fn wake_all(&self) {
        self.0.notify_all();
    }
}

impl<T> fmt::Debug for Published<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Published")
    }
}

const CLOSED: usize = 1 << (usize::BITS - 1);

/// Lets calls in until it is closed; whoever closes it can wait until the last call has left.
///
/// # Invariants
/// The state is the number of calls inside, plus [`CLOSED`] from the moment it is closed. Once
/// closed it is never opened again.
///
/// # Ordering
/// Entering and closing are read-modify-writes of one word, so that they have one order, whatever
/// their memory ordering: a call that entered first is seen and waited for, one that comes later
/// is turned away. Leaving releases what the call did, and the fence at the end of waiting
/// acquires it, from every call that ever left: each leave continues the release sequence of
/// those before.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    state: AtomicUsize,
    lock: Mutex<()>,
    last_left: Condvar,
}

/// A call that is inside a [`Gate`]; leaves when dropped, also by a panic.
#[derive(Debug)]
pub(crate) struct Inside<'g>(&'g Gate);

impl Gate {
    /// Begins a call, unless the gate is closed.
    pub(crate) fn enter(&self) -> Option<Inside<'_>> {
        // Count first, look second: whoever closes after this add sees the call and waits for it.
        // NO-OVERFLOW: as many calls at a time as half of the address space has bytes.
        let before = self.state.fetch_add(1, Ordering::Acquire);
        let inside = Inside(self);
        (before & CLOSED == 0).then_some(inside)
    }

    /// Lets nobody in any more.
    pub(crate) fn close(&self) {
        self.state.fetch_or(CLOSED, Ordering::Release);
    }

    /// Whether it is closed and the last call has left: then nobody has to wait for it any more, and
    /// whoever sees that also sees what the calls did.
    pub(crate) fn is_empty(&self) -> bool {
        self.state.load(Ordering::Acquire) == CLOSED
    }

    /// Waits until every call that was inside has left. The gate must be closed.
    pub(crate) fn wait(&self) {
        let mut guard = self.lock.lock();
        while self.state.load(Ordering::Relaxed) != CLOSED {
            guard = self.last_left.wait(guard);
        }
        fence(Ordering::Acquire);
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        let before = self.0.state.fetch_sub(1, Ordering::Release);
        if before == CLOSED.wrapping_add(1) {
            // The last one out of a closed gate. The lock orders this with a waiter that has
            // looked but not yet slept.
            let guard = self.0.lock.lock();
            self.0.last_left.wake_all();
            drop(guard);
        }
    }
}

/// The callbacks that a thread is inside of, of the innermost's registry: which that is, how many
/// in a row, and how many rows there are.
#[derive(Clone, Copy)]
struct Row {
    registry: usize,
    callbacks: usize,
    rows: usize,
}

const NONE: Row = Row { registry: 0, callbacks: 0, rows: 0 };

backend::per_thread! {
    /// The innermost row. Without a destructor, so that entering a callback is a few stores.
    static INNERMOST: Cell<Row> = Cell::new(NONE);
    /// The rows around it, outermost first: only where registries call into one another.
    static AROUND: RefCell<Vec<Row>> = RefCell::new(Vec::new());
    /// What waits to be released on this thread, while something is: see [`release`].
    static RELEASED: RefCell<Option<Vec<Box<dyn core::any::Any>>>> = RefCell::new(None);
}

/// Drops a value that may hold what others gave us. Their drops may come back here, with the last
/// snapshot that knew the next holder, and so on: a chain of any length is released one link after
/// the other, not one inside the other. A drop that panics is caught, as a call is: whoever happens
/// to be the last to know a holder is not to blame for it, and the rest is released all the same.
pub(crate) fn release<T: 'static>(value: T) {
    let mut value = Some(value);
    let is_first = RELEASED.try_with(|released| match &mut *released.borrow_mut() {
        Some(waiting) => {
            waiting.push(Box::new(value.take()));
            false
        }
        none => {
            *none = Some(Vec::new());
            true
        }
    });
    // A thread that is past its own end has no place to wait: there it is dropped at once.
    let _ = caught(|| drop(value));
    if matches!(is_first, Ok(true)) {
        while let Some(next) = next_released() {
            let _ = caught(|| drop(next));
        }
    }
}

/// What is released next on this thread; nothing waits any more when there is none.
fn next_released() -> Option<Box<dyn core::any::Any>> {
    RELEASED.with(|released| {
        let mut released = released.borrow_mut();
        let next = released.as_mut().and_then(Vec::pop);
        if next.is_none() {
            *released = None;
        }
        next
    })
}

/// Marks this thread as being inside a callback of a registry until dropped.
#[derive(Debug)]
pub(crate) struct InCallback(());

impl InCallback {
    pub(crate) fn enter(registry: usize) -> Self {
        INNERMOST.with(|innermost| {
            let row = innermost.get();
            let next = if row.callbacks == 0 || row.registry == registry {
                let callbacks = row.callbacks.saturating_add(1);
                Row { registry, callbacks, rows: row.rows.max(1) }
            } else {
                with_around(|around| around.push(row));
                Row { registry, callbacks: 1, rows: row.rows.saturating_add(1) }
            };
            innermost.set(next);
        });
        Self(())
    }

    /// How many callbacks of this registry the thread is inside of.
    pub(crate) fn depth(registry: usize) -> usize {
        let row = INNERMOST.with(Cell::get);
        let of = |row: &Row| if row.registry == registry { row.callbacks } else { 0 };
        let around = match row.rows {
            0 | 1 => 0,
            _ => with_around(|around| around.iter().map(of).fold(0, usize::saturating_add)),
        };
        of(&row).saturating_add(around)
    }
}

impl Drop for InCallback {
    fn drop(&mut self) {
        INNERMOST.with(|innermost| {
            let row = innermost.get();
            innermost.set(match row.callbacks {
                0 | 1 if row.rows > 1 => with_around(Vec::pop).unwrap_or(NONE),
                0 | 1 => NONE,
                more => Row { callbacks: more.saturating_sub(1), ..row },
            });
        });
    }
}

/// A thread that is past its own end, dropping its thread-locals, has no rows around.
fn with_around<T: Default>(edit: impl FnOnce(&mut Vec<Row>) -> T) -> T {
    AROUND.try_with(|around| edit(&mut around.borrow_mut())).unwrap_or_default()
}

#[cfg(test)]
mod tests;
