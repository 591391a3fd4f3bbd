//! How many entries of a store a thread looked at: the gate against slow lookups.

use core::cell::Cell;

std::thread_local! {
    static VISITS: Cell<usize> = const { Cell::new(0) };
}

pub(super) fn add(n: usize) {
    VISITS.with(|visits| visits.set(visits.get().saturating_add(n)));
}

/// The number since the last call.
pub(super) fn take() -> usize {
    VISITS.with(Cell::take)
}
