//! Who is hit when a range of storage or memory goes bad.
//!
//! badrange is the ranged reverse-mapping notification framework for stacked devices: physical
//! memory, persistent-memory namespaces, partitions, device-mapper tables and filesystems. A
//! failed range climbs from layer to layer, each layer's holders are told the bytes that are
//! theirs, in their own address space, and whatever nobody handles falls back page by page.
//!
//! ```
//! use std::sync::Arc;
//! use badrange::{
//!     attach_pmem, attach_table,
//!     block::dm::Table,
//!     core::{
//!         Corruption, DevOffset, Extent, Fallback, Granule, HolderFn, MfFlags, Outcome, PageSize,
//!         Pfn, PhysAddr,
//!     },
//!     pmem::{Mode, Namespace, PmemDevice},
//!     stack::{DeviceSpec, Stack},
//! };
//!
//! struct Pages; // whatever finds the users of a single page
//! impl Fallback for Pages {
//!     fn memory_failure(&self, page: Granule, _: MfFlags) {
//!         assert_eq!(page.pfn(), Pfn::new(0x10_0300));
//!     }
//! }
//! let database = HolderFn(|what: &Corruption<'_>| {
//!     assert_eq!(what.range().to_string(), "device bytes [0x800..0x1000)");
//!     Outcome::Handled
//! });
//!
//! // Physical memory, and 1 GiB of it at 4 GiB that is persistent; on it a volume, from 1 MiB of
//! // the device on.
//! let stack = Stack::new();
//! let all = Extent::new(DevOffset::new(0), 1 << 46)?;
//! let memory = DeviceSpec::base("mem", all).fallback(PageSize::K4, Arc::new(Pages));
//! let memory = stack.add_device(memory)?;
//! let whole = Extent::new(PhysAddr::new(0x1_0000_0000), 1 << 30)?;
//! let pmem = PmemDevice::new(Namespace::new(whole, 0x20_0000, Mode::Fsdax)?);
//! let _pmem0 = attach_pmem(&stack, "pmem0", memory, Arc::new(pmem))?;
//! let volume = attach_table(&stack, "volume", Table::parse("0 8192 linear pmem0 2048")?)?;
//! let mine = Extent::new(DevOffset::new(0x800), 1 << 20)?;
//! let _registration = stack.register(volume, mine, Arc::new(database))?;
//!
//! // The first page of the volume fails. Its second half is the database's.
//! let bad = Extent::new(PhysAddr::new(0x1_0030_0000), 4096)?;
//! let report = stack.fail(memory, bad.on_memory(), MfFlags::NONE)?;
//! assert_eq!((report.handled_bytes(), report.remainder_bytes()), (2048, 2048));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Overview
//!
//! * [`core`] has the words: [`Extent`](core::Extent), [`Run`](core::Run) and
//!   [`Link`](core::Link), and the three traits to implement: [`Mapping`](core::Mapping) (how a
//!   device lies on others), [`Holder`](core::Holder) (who is notified),
//!   [`Fallback`](core::Fallback) (the last resort).
//! * [`stack`] is the engine: [`Stack`](stack::Stack) knows devices and registrations, notifies
//!   everybody, and accounts for every reported byte in a [`Report`](stack::Report). Everything
//!   that has bytes is a device, physical memory included.
//! * [`pmem`], [`mod@block`] and [`fs`] are layers: namespaces and badblocks; device-mapper tables,
//!   software arrays, thin volumes and CXL interleave; reverse maps of filesystems with shared
//!   extents.
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
//! *To report a failure*: [`Stack::fail`](stack::Stack::fail), on whatever device it happened. What
//! nobody handled is [`Report::remainder`](stack::Report::remainder); a device with
//! [pages](stack::DeviceSpec::fallback) has a last resort for it.
//!
//! *To ask without telling anybody*: a [`Snapshot`](stack::Snapshot) answers who is above some
//! bytes, where they live, and which other bytes could rebuild them.
//!
//! *To add a layer of one's own*: implement [`Mapping`](core::Mapping). One leg of it is a
//! [`Link`](core::Link), and [`Link::rmap`](core::Link::rmap) its whole reverse map.
//!
//! *To find the files*: a [`ReverseMap`](fs::ReverseMap) in an [`RmapHolder`](fs::RmapHolder),
//! registered on the filesystem's device:
//!
//! ```
//! use std::sync::Arc;
//! use badrange::{
//!     core::{Corruption, DevOffset, Extent, FileOffset, MfFlags},
//!     fs::{FileId, Fork, OwnedRun, Owner, OwnerSink, Record, ReverseMap, RmapHolder},
//!     stack::{DeviceSpec, Stack},
//! };
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
//! let report = stack.fail(disk, at(8192 + 512, 512), MfFlags::NONE)?;
//! assert_eq!(report.handled_bytes(), 512);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Model and limits
//!
//! * Nothing here opens a device, repairs anything, or talks to a kernel. Failures come from the
//!   caller, effects are in the holders.
//! * Sectors have 512 bytes; how long a page is, each device says. The last unit of a 64-bit space
//!   belongs to no range.
//! * A target of a device-mapper table whose bytes no formula and no saved mapping places (cache,
//!   snapshot, ...) is refused by name, never approximated. What no map covers is unknown, never
//!   free.
//! * Depth, devices, holders, legs, pieces, routes and nesting have named
//!   [`Limits`](stack::Limits), each with a defined behaviour.
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

mod attach;

pub use attach::{AttachError, AttachedPmem, attach_pmem, attach_table};
pub use badrange_block as block;
pub use badrange_core as core;
#[cfg(feature = "explain")]
pub use badrange_explain as explain;
pub use badrange_fs as fs;
#[cfg(feature = "explain")]
pub use badrange_input as input;
pub use badrange_pmem as pmem;
pub use badrange_stack as stack;
