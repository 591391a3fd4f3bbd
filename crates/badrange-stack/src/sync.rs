//! The only file of this crate that names a synchronisation primitive.

use core::fmt;
use core::{
    cell::RefCell,
    sync::atomic::{AtomicUsize, Ordering},
};
pub(crate) use std::sync::Arc;
use std::sync::PoisonError;

/// A mutex whose lock cannot fail: state guarded here is only ever replaced as a whole, so that a
/// panic while it is held leaves either the old or the new state.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(std::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(std::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> std::sync::MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A published immutable value: readers load it without waiting, a writer replaces it whole.
pub(crate) struct Snapshot<T>(arc_swap::ArcSwap<T>);

impl<T> Snapshot<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(arc_swap::ArcSwap::from_pointee(value))
    }

    /// The value of now, as an owned reference: events may nest, and guards are few per thread.
    pub(crate) fn load(&self) -> Arc<T> {
        self.0.load_full()
    }

    /// LOCKING: the caller holds the writer mutex.
    pub(crate) fn store(&self, value: T) {
        self.0.store(Arc::new(value));
    }
}

impl<T> fmt::Debug for Snapshot<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Snapshot")
    }
}

const CLOSED: usize = 1 << (usize::BITS - 1);

/// Lets calls in until it is closed; whoever closes it can wait until the last call has left.
///
/// # Invariants
/// The state is the number of calls inside, plus [`CLOSED`] from the moment it is closed. Once
/// closed it is never opened again.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    state: AtomicUsize,
    idle: Idle,
}

#[derive(Debug, Default)]
struct Idle {
    lock: std::sync::Mutex<()>,
    last_left: std::sync::Condvar,
}

/// A call that is inside a [`Gate`]; leaves when dropped, also by a panic.
#[derive(Debug)]
pub(crate) struct Inside<'g>(&'g Gate);

impl Gate {
    /// Begins a call, unless the gate is closed.
    pub(crate) fn enter(&self) -> Option<Inside<'_>> {
        // Count first, look second: whoever closes after this add sees the call and waits for it.
        // NO-OVERFLOW: as many calls at a time as half of the address space has bytes.
        let before = self.state.fetch_add(1, Ordering::SeqCst);
        let inside = Inside(self);
        (before & CLOSED == 0).then_some(inside)
    }

    /// Lets nobody in any more.
    pub(crate) fn close(&self) {
        self.state.fetch_or(CLOSED, Ordering::SeqCst);
    }

    /// Waits until every call that was inside has left. The gate must be closed.
    pub(crate) fn wait(&self) {
        let mut guard = self.idle.lock.lock().unwrap_or_else(PoisonError::into_inner);
        while self.state.load(Ordering::SeqCst) != CLOSED {
            guard = self.idle.last_left.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        let before = self.0.state.fetch_sub(1, Ordering::SeqCst);
        if before == CLOSED.wrapping_add(1) {
            // The last one out of a closed gate. The lock orders this with a waiter that has
            // looked but not yet slept.
            let _guard = self.0.idle.lock.lock().unwrap_or_else(PoisonError::into_inner);
            self.0.idle.last_left.notify_all();
        }
    }
}

thread_local! {
    /// The registries whose callbacks this thread is inside of, innermost last.
    static CALLBACKS: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

/// Marks this thread as being inside a callback of a registry until dropped.
#[derive(Debug)]
pub(crate) struct InCallback(());

impl InCallback {
    pub(crate) fn enter(registry: usize) -> Self {
        CALLBACKS.with_borrow_mut(|all| all.push(registry));
        Self(())
    }

    /// How many callbacks of this registry the thread is inside of.
    pub(crate) fn depth(registry: usize) -> usize {
        CALLBACKS.with_borrow(|all| all.iter().filter(|r| **r == registry).count())
    }
}

impl Drop for InCallback {
    fn drop(&mut self) {
        CALLBACKS.with_borrow_mut(|all| {
            all.pop();
        });
    }
}
