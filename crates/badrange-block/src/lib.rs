//! Block layers of badrange: how device-mapper tables, arrays, thin volumes and CXL regions lie on
//! the devices below.
//!
//! Everything here is a [`Mapping`](badrange_core::Mapping): pure translation, in both directions,
//! exact to the byte. Who is told about a bad range is decided elsewhere.
//!
//! ```
//! use badrange_block::dm::Table;
//! use badrange_core::{DevOffset, Extent, Leg, Mapping};
//! use core::ops::ControlFlow;
//!
//! // Sectors 2060..2100 of the second disk of a stripe go bad.
//! let table = Table::parse("0 2400 striped 3 16 8:0 2048 8:16 2048 8:32 2048")?;
//! assert_eq!(table.leg_device(Leg::new(1)), Some("8:16"));
//! let bad = Extent::new(DevOffset::new(2060 * 512), 40 * 512)?;
//! let mut above = Vec::new();
//! let _ = table.rmap(Leg::new(1), bad.into(), &mut |link| {
//!     above.push(link.upper().to_string());
//!     ControlFlow::Continue(())
//! });
//! assert_eq!(above, [
//!     "device bytes [0x3800..0x4000)",
//!     "device bytes [0x8000..0xa000) x2 every 0x6000",
//!     "device bytes [0x14000..0x14800)",
//! ]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Overview
//!
//! * A partition is a [`Window`](badrange_core::Window) of its disk.
//! * [`dm::Table`] is one device-mapper device: targets one after the other. It reads and prints
//!   the text of `dmsetup table`, or is built from [`dm::Target`]s. [`dm::RecoveryWrites`] says
//!   which writes reach which leg when a range is to be cleared through it.
//! * [`interleave::Interleave`] is a CXL region over its memory devices.
//! * [`md::Array`] is a software array: RAID 0, 1, 4, 5, 6 and 10, with members missing or not; it
//!   tells what can be rebuilt from what.
//! * [`thin::Volume`] is a thin volume over the data device of its pool.
//!
//! A leg is one use of a lower device, not the device itself: a table that uses a device twice has
//! two legs for it, and both have to be asked.
//!
//! # Limits
//!
//! Target types that a line of a table does not place (thin, snapshot, cache, ...) are refused by
//! name there, never approximated. A table has at most [`dm::MAX_TARGETS`] targets, a target at most
//! [`dm::MAX_LEGS_PER_TARGET`] legs, an array at most [`md::MAX_MEMBERS`] members.

pub mod dm;
pub mod interleave;
mod math;
pub mod md;
pub mod thin;

#[cfg(test)]
mod tests;
