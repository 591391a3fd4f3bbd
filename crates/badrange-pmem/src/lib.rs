//! Persistent memory: where a failed page lies on its device, and the device's own record of it.
//!
//! ```
//! use badrange_core::{Corruption, DevOffset, Extent, Holder, MfFlags, Outcome, Pfn, PhysAddr, Piece};
//! use badrange_pmem::{Mode, Namespace, PmemDevice};
//!
//! // 512 MiB at 9 GiB; the first 2 MiB describe the namespace.
//! let whole = Extent::new(PhysAddr::new(0x2_4000_0000), 512 << 20)?;
//! let device = PmemDevice::new(Namespace::new(whole, 0x20_0000, Mode::Fsdax)?);
//!
//! let at = device.namespace().offset_of(Pfn::new(0x2_415ab)).unwrap();
//! assert_eq!(at, DevOffset::new(0x13a_b000));
//! assert_eq!(device.namespace().offset_of(Pfn::new(0x2_401ff)), None); // below the data
//!
//! let bad = Piece::report(Extent::new(at, 4096)?);
//! let answer = device.corrupted_range(&Corruption::new(bad, MfFlags::NONE, &()));
//! assert_eq!(answer, Outcome::Nothing);
//! assert_eq!(device.badblocks().to_string(), "40280 8");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Overview
//!
//! * [`Namespace`] is the geometry, and a [`Mapping`](badrange_core::Mapping) whose one leg is
//!   physical memory.
//! * [`Badblocks`] is the record of bad sectors of one device.
//! * [`PmemDevice`] is both together, and a [`Holder`](badrange_core::Holder) on its own bytes:
//!   it records what failed. Who is affected, the holders above know.
//! * [`MetadataArea`] is the holder of the physical memory below the data.

mod badblocks;
mod badrange;
mod bus;
mod device;
mod error;
mod kernel;
mod namespace;
mod ndctl;
mod table;

#[cfg(test)]
mod tests;

pub use crate::{
    badblocks::{Badblocks, MAX_RECORD_SECTORS},
    badrange::Badrange,
    bus::{Bus, ClearError, Provider, Region},
    device::{MetadataArea, PmemDevice},
    error::{NamespaceError, NamespaceErrorKind},
    kernel::Kernel,
    namespace::{Align, Mode, Namespace},
    ndctl::{Clearing, clear_errors, media_errors},
    table::{BadRecord, BadblocksTable, Checked, TABLE_END, TABLE_RECORDS},
};
