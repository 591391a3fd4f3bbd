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

/// Whether this is a model with the named hand-made mistake in it; see `docs/loom.md`. False, and
/// known to be so, in every other build.
macro_rules! mutant {
    ($name:tt) => {
        cfg!(all(loom, feature = "loom", badrange_mutant = $name))
    };
}

mod badblocks;
mod badrange;
mod bus;
mod devdax;
mod device;
mod error;
mod kernel;
mod linux;
mod memory;
mod namespace;
mod ndctl;
mod ranged;
mod sync;
mod table;
mod user;

#[cfg(test)]
#[cfg(not(loom))]
mod tests;

// The models again, beside what they are about: so a hand-made mistake can be compiled into this
// crate alone.
#[cfg(all(test, loom, feature = "loom"))]
extern crate self as badrange_pmem;
#[cfg(all(test, loom, feature = "loom"))]
#[path = "../tests/loom.rs"]
mod models;

pub use crate::{
    badblocks::{Badblocks, MAX_RECORD_SECTORS},
    badrange::Badrange,
    bus::{Bus, ClearError, Provider, Region},
    devdax::{Blast, DaxFault, DevDax},
    device::{MetadataArea, PmemDevice},
    error::{NamespaceError, NamespaceErrorKind},
    kernel::Kernel,
    linux::{AccessMode, LinuxPmem, Step, Transfer, recovery_pages},
    memory::{LINE_BYTES, Memory, ModelMemory},
    namespace::{Align, Mode, Namespace},
    ndctl::{Clearing, clear_errors, media_errors},
    ranged::{AccessError, AccessErrorKind, RangedPmem, Repair, Salvage, Written},
    table::{BadRecord, BadblocksTable, Checked, TABLE_END, TABLE_RECORDS},
    user::{
        Copied, Precision, Sigbus, SigbusCode, UserFault, UserMapping, Vma, cache_alias,
        machine_check_granule,
    },
};
