//! The only file of this crate that names a synchronisation primitive.
//!
//! Three backends: `std`; `loom`, whose models try every interleaving of a few threads; `shuttle`,
//! whose models try random interleavings of many. The feature `loom` or `shuttle` alone chooses a
//! backend for models. Both together choose none: that is what `--all-features` says, whose tests
//! are ordinary ones. What the doubles hide is in `docs/loom.md`.

use core::fmt;
use std::sync::PoisonError;

pub(crate) use self::backend::{AtomicUsize, MutexGuard, ReadGuard, WriteGuard, fence};

#[cfg(any(
    not(any(feature = "loom", feature = "shuttle")),
    all(feature = "loom", feature = "shuttle")
))]
mod backend {
    pub(crate) use core::sync::atomic::{AtomicUsize, fence};
    pub(super) use std::sync::{Mutex, RwLock};
    pub(crate) use std::sync::{
        MutexGuard, RwLockReadGuard as ReadGuard, RwLockWriteGuard as WriteGuard,
    };
}

#[cfg(all(feature = "shuttle", not(feature = "loom")))]
mod backend {
    pub(super) use shuttle::sync::{Mutex, RwLock};
    pub(crate) use shuttle::sync::{
        MutexGuard, RwLockReadGuard as ReadGuard, RwLockWriteGuard as WriteGuard,
        atomic::{AtomicUsize, fence},
    };
}

#[cfg(all(feature = "loom", not(feature = "shuttle")))]
mod backend {
    use std::sync::LockResult;

    pub(super) use loom::sync::Mutex;
    pub(crate) use loom::sync::{
        MutexGuard, MutexGuard as ReadGuard, MutexGuard as WriteGuard,
        atomic::{AtomicUsize, fence},
    };

    /// A double that lets in one reader at a time: loom's own lock for many readers does not try
    /// every interleaving of what lies beside it.
    #[derive(Debug)]
    pub(super) struct RwLock<T>(Mutex<T>);

    impl<T> RwLock<T> {
        pub(super) fn new(value: T) -> Self {
            Self(Mutex::new(value))
        }

        pub(super) fn read(&self) -> LockResult<ReadGuard<'_, T>> {
            self.0.lock()
        }

        pub(super) fn write(&self) -> LockResult<WriteGuard<'_, T>> {
            self.0.lock()
        }
    }
}

/// A mutex whose lock cannot fail: what is guarded here is whole whenever a panic can happen.
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

/// A lock for many readers or one writer, with the same promise.
pub(crate) struct RwLock<T>(backend::RwLock<T>);

impl<T> RwLock<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(backend::RwLock::new(value))
    }

    pub(crate) fn read(&self) -> ReadGuard<'_, T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self) -> WriteGuard<'_, T> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: fmt::Debug> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
