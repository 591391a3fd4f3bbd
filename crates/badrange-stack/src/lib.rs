//! Engine of badrange: devices, registrations, ranged dispatch, exact remainder and fallback.
//!
//! A [`Stack`] knows which device lies on which, and who registered on what part of them. Everything
//! that has bytes is a device, physical memory included. When a range of one fails, it climbs: every
//! layer's [`Mapping`](badrange_core::Mapping) translates the range into its own address space, every
//! [`Holder`](badrange_core::Holder) is notified of the bytes that are its own, and the [`Report`]
//! says of every byte what became of it. What nobody handled falls back, page by page, on devices
//! that have pages.
//!
//! ```
//! use std::sync::Arc;
//! use badrange_core::*;
//! use badrange_stack::{DeviceSpec, Stack};
//!
//! let mine = HolderFn(|what: &Corruption<'_>| {
//!     assert_eq!(what.range().to_string(), "device bytes [0x1000..0x2000)");
//!     Outcome::Handled
//! });
//! let stack = Stack::new();
//! let all = Extent::new(DevOffset::new(0), 1 << 20)?;
//! let disk = stack.add_device(DeviceSpec::base("disk", all))?;
//! let _mine = stack.register(disk, all, Arc::new(mine))?;
//! let report = stack.fail(disk, Extent::new(DevOffset::new(4096), 4096)?, MfFlags::NONE)?;
//! assert_eq!(report.handled_bytes(), 4096);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # One walk
//! A [`Snapshot`] can be asked [up](Snapshot::up), [down](Snapshot::down) and
//! [beside](Snapshot::redundancy). An event is the walk up plus calls.
//!
//! # Order
//! Everything an event does is in a fixed order: the entries of a device by (start, age), depth
//! first; of one entry the parts of a run in ascending order; then the fallbacks, the topmost device
//! first. Two runs of the same event through the same snapshot give equal traces and reports.
//!
//! # Storms
//! An [`EventQueue`] stands between whoever detects failures and whoever hands them to the stack:
//! bounded, coalescing, and what it cannot keep it says. Where single pages come in a million, a
//! [`PageStorm`] hands over the first at once and, while that is worked on, makes ranges of the
//! rest. A [`PoisonLedger`] counts every failed page once, and never clears a failure that is newer
//! than the repair.
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
//! * `loom`, `shuttle`: for models. One of them alone puts the engine on the doubles of a model
//!   checker, outside of which it does not run then; both together change nothing. See [`BACKEND`].

mod account;
mod dispatch;
mod edit;
mod error;
mod ingest;
mod limits;
mod redundancy;
mod report;
mod snapshot;
mod stack;
mod sync;
mod table;
mod topology;
mod trace;
mod walk;

#[cfg(test)]
mod tests;

pub use crate::{
    error::{
        NoDevice, RegisterError, RegisterErrorKind, TopologyError, TopologyErrorKind, WouldDeadlock,
    },
    ingest::{
        Accounting, Cleared, Coalescer, Drain, EventQueue, Failure, PageStorm, PoisonLedger,
        PoisonToken, Pushed, QueueRecord, Stormed, Waited,
    },
    limits::Limits,
    redundancy::{Damage, Rebuilt},
    report::{Counts, Report},
    snapshot::{At, Snapshot, Visit},
    stack::{Detached, HolderId, Registration, Stack},
    sync::BACKEND,
    topology::DeviceSpec,
    trace::{Observer, Step, Trace},
    walk::Unfollowed,
};
