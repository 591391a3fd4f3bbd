//! Engine of badrange: devices, registrations, ranged dispatch, exact remainder and fallback.
//!
//! A [`Stack`] knows which device lies on which, and who registered on what part of them. When a
//! range fails, in physical memory or on a device, it climbs: every layer's
//! [`Mapping`](badrange_core::Mapping) translates the range into its own address space, every
//! [`Holder`](badrange_core::Holder) is told the bytes that are its own, and the [`Report`] says of
//! every byte what became of it. What nobody handled falls back, page by page.
//!
//! ```
//! use std::sync::Arc;
//! use badrange_core::*;
//! use badrange_stack::{DeviceSpec, Stack};
//!
//! struct Told;
//! impl Holder for Told {
//!     fn corrupted_range(&self, what: &Corruption<'_>) -> Outcome {
//!         assert_eq!(what.range().to_string(), "device bytes [0x1000..0x2000)");
//!         Outcome::Handled
//!     }
//! }
//!
//! let stack = Stack::new();
//! let all = Extent::new(DevOffset::new(0), 1 << 20)?;
//! let disk = stack.add_device(DeviceSpec::base("disk", all))?;
//! let _told = stack.register(disk, all, Arc::new(Told))?;
//! let report = stack.notify_failure(disk, Extent::new(DevOffset::new(4096), 4096)?, MfFlags::NONE);
//! assert_eq!(report.handled_bytes(), 4096);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Order
//! Everything an event does is in a fixed order: the entries of an address space by (start, age),
//! depth first; of one entry the parts of a piece in ascending order. Two runs of the same event
//! through the same picture give equal traces and reports.
//!
//! # Storms
//! An [`EventQueue`] stands between whoever detects failures and whoever hands them to the stack:
//! bounded, coalescing, and what it cannot keep it says. Where single pages come in a million, a
//! [`PageStorm`] hands over the first at once and, while that is worked on, makes ranges of the
//! rest. A [`PoisonLedger`] counts every failed
//! page once, and never clears a failure that is newer than the repair.
//!
//! # Concurrency
//! See [`Stack`], [`Registration`], [`EventQueue`], [`PageStorm`] and [`PoisonLedger`]. Every promise there that
//! two threads can break has a model which tries all their interleavings (`docs/loom.md`).
//!
//! # Limits
//! See [`Limits`]: each has a defined behaviour.
//!
//! # Features
//! * `tracing`: every step and every report also goes to the `tracing` crate, target `badrange`.
//! * `loom`, `shuttle`: for the models of this crate. They change nothing without the cfg of the
//!   same name, and nothing in their API is meant to be built upon.

/// Whether this is a model with the named hand-made mistake in it; see `docs/loom.md`. False, and
/// known to be so, in every other build.
macro_rules! mutant {
    ($name:tt) => {
        cfg!(all(loom, feature = "loom", badrange_mutant = $name))
    };
}

mod account;
mod coalesce;
mod dispatch;
mod edit;
mod error;
mod limits;
mod lost;
mod poison;
mod queue;
mod report;
mod reporter;
mod stack;
mod storm;
mod sync;
mod table;
mod topology;
mod trace;

#[cfg(test)]
#[cfg(not(any(loom, shuttle)))]
mod tests;

// The models again, beside the engine: so a hand-made mistake can be compiled into this crate alone.
#[cfg(all(test, loom, feature = "loom"))]
extern crate self as badrange_stack;
#[cfg(all(test, loom, feature = "loom"))]
#[path = "../tests/loom.rs"]
mod models;

pub use crate::{
    coalesce::{Coalescer, Drain},
    error::{RegisterError, RegisterErrorKind, TopologyError, TopologyErrorKind, WouldDeadlock},
    limits::Limits,
    poison::{Accounting, Cleared, PoisonLedger, PoisonToken},
    queue::{BadRange, EventQueue, Failure, Pushed, Record},
    report::{Counts, Report, State},
    reporter::{Registered, Reporter},
    stack::{Detached, HolderId, Registration, Stack},
    storm::{PageStorm, Stormed},
    topology::DeviceSpec,
    trace::{Observer, Step, Trace},
};
