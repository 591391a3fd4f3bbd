//! Who is hit when a range of storage or memory goes bad.
//!
//! badrange is the ranged reverse-mapping notification framework for stacked devices: physical
//! memory, persistent-memory namespaces, partitions, device-mapper tables and filesystems. A
//! failed range climbs from layer to layer, each layer's holders are told the bytes that are
//! theirs, in their own address space, and whatever nobody handles falls back page by page.
//!
//! ```
//! use std::sync::Arc;
//! use badrange::{attach_pmem, attach_table, block::dm::Table, core::*, pmem::*, stack::Stack};
//!
//! struct Database;
//! impl Holder for Database {
//!     fn corrupted_range(&self, what: &Corruption<'_>) -> Outcome {
//!         assert_eq!(what.range().to_string(), "device bytes [0x800..0x1000)");
//!         Outcome::Handled
//!     }
//! }
//! struct Pages; // whatever finds the users of a single page
//! impl Fallback for Pages {
//!     fn memory_failure(&self, pfn: Pfn, _: MfFlags) {
//!         assert_eq!(pfn, Pfn::new(0x10_0300));
//!     }
//! }
//!
//! // 1 GiB of persistent memory at 4 GiB; on it a volume, from 1 MiB of the device on.
//! let stack = Stack::new();
//! let memory = Extent::new(PhysAddr::new(0x1_0000_0000), 1 << 30)?;
//! let device = PmemDevice::new(Namespace::new(memory, 0x20_0000, Mode::Fsdax)?);
//! let _pmem0 = attach_pmem(&stack, "pmem0", Arc::new(device))?;
//! let volume = attach_table(&stack, "volume", Table::parse("0 8192 linear pmem0 2048")?)?;
//! let mine = Extent::new(DevOffset::new(0x800), 1 << 20)?;
//! let _registration = stack.register(volume, mine, Arc::new(Database))?;
//!
//! // The first page of the volume fails. Its second half is the database's.
//! let bad = Extent::new(PhysAddr::new(0x1_0030_0000), 4096)?;
//! let report = stack.memory_failure_range(bad, MfFlags::NONE, &Pages);
//! assert_eq!((report.handled_bytes(), report.remainder_bytes()), (2048, 2048));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Overview
//!
//! * [`core`] has the words: address spaces that do not mix, [`Extent`](core::Extent) and
//!   [`Run`](core::Run), and the three traits to implement: [`Mapping`](core::Mapping) (how a
//!   device lies on others), [`Holder`](core::Holder) (who is told), [`Fallback`](core::Fallback)
//!   (the last resort).
//! * [`stack`] is the engine: [`Stack`](stack::Stack) knows devices and registrations, tells
//!   everybody, and accounts for every reported byte in a [`Report`](stack::Report).
//! * [`pmem`], [`mod@block`] and [`fs`] are layers: namespaces and badblocks; partitions and
//!   device-mapper tables; reverse maps of filesystems with shared extents.
//! * [`attach_pmem`] and [`attach_table`] put layers on a stack in one call.
#![cfg_attr(
    feature = "explain",
    doc = "* [`input`] reads saved text of many tools, and [`explain`] answers the"
)]
#![cfg_attr(
    feature = "explain",
    doc = "  administrator's question: these sectors are bad, which files are hit?"
)]
//!
//! # Usage
//!
//! *To be told about a part of a device*: implement [`Holder`](core::Holder), register it with
//! [`Stack::register`](stack::Stack::register), keep the [`Registration`](stack::Registration).
//!
//! *To report a failure*: [`Stack::memory_failure_range`](stack::Stack::memory_failure_range) for
//! physical memory, with a fallback; [`Stack::notify_failure`](stack::Stack::notify_failure) for a
//! device. What nobody handled is [`Report::remainder`](stack::Report::remainder).
//!
//! *To add a layer of one's own*: implement [`Mapping`](core::Mapping); `rmap` for extents is
//! enough. Where there is a closed form, [`Piece::through`](core::Piece::through) makes a whole
//! leg one call.
//!
//! *To find the files*: a [`ReverseMap`](fs::ReverseMap) in an [`RmapHolder`](fs::RmapHolder),
//! registered on the filesystem's device:
//!
//! ```
//! use std::sync::Arc;
//! use badrange::{core::*, fs::*, stack::*};
//!
//! struct Print;
//! impl OwnerSink for Print {
//!     fn lost(&self, owned: &OwnedRun, _: &Corruption<'_>) {
//!         let place = owned.file.expect("data has a place in its file");
//!         assert_eq!(format!("{}: {place}", owned.record.owner), "inode 132 data: file bytes [0x200..0x400)");
//!     }
//!     fn metadata_hit(&self, _: &OwnedRun, _: &Corruption<'_>) {}
//! }
//!
//! let at = |start, len| Extent::new(DevOffset::new(start), len).unwrap();
//! let stack = Stack::new();
//! let disk = stack.add_device(DeviceSpec::base("disk", at(0, 1 << 20)))?;
//! let owner = Owner::File { id: FileId::Ino(132), fork: Fork::Data };
//! let file = Record { extent: at(8192, 4096), owner, file_start: FileOffset::new(0), unwritten: false };
//! let map: ReverseMap = [file].into_iter().collect();
//! let fs = RmapHolder::new(Arc::new(map), Arc::new(Print));
//! let _registration = stack.register(disk, at(0, 1 << 20), Arc::new(fs))?;
//! let report = stack.notify_failure(disk, at(8192 + 512, 512), MfFlags::NONE);
//! assert_eq!(report.handled_bytes(), 512);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Model and limits
//!
//! * Nothing here opens a device, repairs anything, or talks to a kernel. Failures come from the
//!   caller, effects are in the holders.
//! * Base pages have 4096 bytes, sectors 512. The last unit of a 64-bit space belongs to no range.
//! * What cannot be placed by formula (thin, raid, mirror, snapshot, ...) is refused by name, never
//!   approximated. What no map covers is unknown, never free.
//! * Depth, devices, holders, legs, pieces and nesting have named [`Limits`](stack::Limits), each
//!   with a defined behaviour.
//! * What threads may rely on is said at [`Stack`](stack::Stack) and
//!   [`Registration`](stack::Registration).
//!
//! # Features
//!
//! None is on by default.
//!
//! * `explain`: from saved text to files, and the answer as JSON. Brings the parsers.
//! * `tracing`: every step and every report also go to the `tracing` crate, target `badrange`.

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(feature = "explain")]
pub mod advice;
mod attach;

pub use attach::{AttachError, AttachedPmem, attach_pmem, attach_table};
pub use badrange_block as block;
pub use badrange_core as core;
pub use badrange_fs as fs;
#[cfg(feature = "explain")]
pub use badrange_input as input;
pub use badrange_pmem as pmem;
pub use badrange_stack as stack;

#[cfg(feature = "explain")]
pub mod explain;
#[cfg(feature = "explain")]
pub mod inject;
#[cfg(feature = "explain")]
pub mod locate;
#[cfg(feature = "explain")]
pub mod plan;
#[cfg(feature = "explain")]
pub mod report;
