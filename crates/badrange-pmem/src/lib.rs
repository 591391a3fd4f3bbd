//! Persistent memory: where a failed page lies on its device, and the device's own record of it.
//!
//! ```
//! use badrange_core::{Corruption, DevOffset, Extent, Holder, MfFlags, Outcome, Pfn, PhysAddr};
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
//! let bad = Extent::new(at, 4096)?.into();
//! let answer = device.corrupted_range(&Corruption::new(bad, MfFlags::NONE, &()));
//! assert_eq!(answer, Outcome::Nothing);
//! assert_eq!(device.badblocks().to_string(), "40280 8");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Overview
//!
//! * [`Namespace`] is the geometry, and a [`Mapping`](badrange_core::Mapping) whose one leg is the
//!   memory device. How long a page is, it knows.
//! * [`Badblocks`] is the record of bad sectors of one device.
//! * [`PmemDevice`] is both together, and a [`Holder`](badrange_core::Holder) on its own bytes:
//!   it records what failed. Who is affected, the holders above know.
//! * [`MetadataArea`] is the holder of the memory below the data.
//!
//! What Linux does with poison, exactly, by [`Kernel`]:
//!
//! * [`BadblocksTable`] is the kernel's table of bad sectors, with its limits.
//! * [`Bus`] has the [list](Badrange) in bytes and a table per [`Region`], and clears poison;
//!   [`media_errors`] and [`clear_errors`] are what `ndctl` makes of it.
//! * [`LinuxPmem`] is a disk: reads, writes and recovery with DAX and through the block layer.
//! * [`DevDax`] is the character device; [`UserMapping`] is what a program sees.
//!
//! And what was asked for instead:
//!
//! * [`RangedPmem`] reads around holes and repairs as one operation. [`Memory`] is what it lies in.
//!
//! # Features
//!
//! * `loom`, `shuttle`: for models. One of them alone puts [`RangedPmem`] on the doubles of a model
//!   checker, outside of which it does not run then; both together change nothing.

mod badblocks;
mod badrange;
mod bus;
mod bytes;
mod devdax;
mod device;
mod error;
mod kernel;
mod linux;
mod memory;
mod namespace;
mod ndctl;
mod ranged;
mod set;
mod sync;
mod table;
mod user;

#[cfg(test)]
mod tests;

pub use crate::{
    badblocks::{Badblocks, MAX_RECORD_SECTORS},
    badrange::Badrange,
    bus::{Bus, ClearError, Provider, Region},
    devdax::{Blast, DaxFault, DevDax},
    device::{MetadataArea, PmemDevice},
    error::{NamespaceError, NamespaceErrorKind},
    kernel::Kernel,
    linux::{AccessMode, AccessStep, LinuxPmem, Transfer, recovery_pages},
    memory::{LINE_BYTES, Memory, ModelMemory},
    namespace::{Align, Mode, Namespace},
    ndctl::{Clearing, clear_errors, media_errors},
    ranged::{AccessError, AccessErrorKind, RangedPmem, Repair, SalvagedRead, Written},
    table::{BadRecord, BadblocksTable, Checked, TABLE_END, TABLE_RECORDS},
    user::{
        Copied, Precision, Sigbus, SigbusCode, UserFault, UserMapping, Vma, cache_alias,
        machine_check_granule,
    },
};
