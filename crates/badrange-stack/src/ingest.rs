//! What stands between whoever detects failures and the [`Stack`](crate::Stack): batches of reports.
//!
//! A [`Failure`] names a device, a range of its bytes, and the circumstances.
//!
//! * [`EventQueue`]: failures of any devices, from any threads; bounded, and what it cannot keep it
//!   says.
//! * [`Coalescer`]: single pages of one device, made into ranges.
//! * [`PageStorm`]: the same among threads. The first page is handed over at once, what comes while
//!   somebody works on it is handed over as ranges.
//! * [`PoisonLedger`]: beside a device's fallback, counts every failed page once.
//!
//! The first three give out [`QueueRecord`]s.

mod coalesce;
mod lost;
mod poison;
mod queue;
mod record;
mod storm;

pub use self::{
    coalesce::{Coalescer, Drain},
    poison::{Accounting, Cleared, PoisonLedger, PoisonToken},
    queue::{EventQueue, Waited},
    record::{Failure, Pushed, QueueRecord},
    storm::{PageStorm, Stormed},
};
