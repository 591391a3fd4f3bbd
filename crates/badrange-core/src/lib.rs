//! The vocabulary of badrange: address spaces, extents, runs, mappings, holders and outcomes.
//!
//! Everything that translates a bad range or is told about one speaks these types. The crate is
//! `no_std` with `alloc`, computes only, and knows nothing about threads, files or devices.
//!
//! ```
//! use badrange_core::{DevOffset, Extent, PhysAddr};
//!
//! // A page of persistent memory fails. The device's byte 0 is at 0x1_0020_0000.
//! let bad = Extent::new(PhysAddr::new(0x1_0060_3000), 4096)?;
//! let on_device = bad.rebase(PhysAddr::new(0x1_0020_0000), DevOffset::new(0)).unwrap();
//! assert_eq!(on_device, Extent::new(DevOffset::new(0x40_3000), 4096)?);
//! assert_eq!(on_device.to_string(), "device bytes [0x403000..0x404000)");
//! # Ok::<(), badrange_core::RangeError>(())
//! ```
//!
//! # The shapes
//!
//! * A **space** has a type and its scale is always bytes: [`PhysAddr`], [`DevOffset`],
//!   [`FileOffset`], [`ReportOffset`]. [`Pfn`] and [`Sector`] are views to read and print them;
//!   the functions that convert say how they round.
//! * An [`Extent`] is one contiguous, half-open, never empty range of one space.
//! * A [`Run`] is an arithmetic sequence of equal extents: first, stride, count. One leg of a
//!   striped device is one run, whatever its length.
//! * A [`Piece`] is a run on its way up a stack with its *origin*: which bytes of the report it
//!   stands for.
//! * A [`Mapping`] computes between two spaces, in both directions. A [`Holder`] has the effects.
//! * An [`Outcome`] is what a holder answers for a range; outcomes join per byte of the report.
//!
//! Spaces do not mix:
//!
//! ```compile_fail
//! use badrange_core::{DevOffset, Extent, PhysAddr};
//! let a = Extent::new(PhysAddr::new(0), 8).unwrap();
//! let b = Extent::new(DevOffset::new(0), 8).unwrap();
//! a.intersect(b); // different spaces
//! ```
//!
//! and there is no silent arithmetic:
//!
//! ```compile_fail
//! use badrange_core::DevOffset;
//! let _ = DevOffset::new(1) + DevOffset::new(2); // name the overflow behaviour
//! ```
//!
//! # Features
//!
//! * `std` (default): `std::error::Error` for the error types comes from `core::error` either way;
//!   the feature only reaches `thiserror`.

#![no_std]

extern crate alloc;

mod cover;
mod error;
mod extent;
mod flags;
mod holder;
mod mapping;
mod outcome;
mod piece;
mod run;
mod space;

#[cfg(test)]
mod tests;

pub use crate::{
    cover::{Cover, Join},
    error::{RangeError, RangeErrorKind},
    extent::Extent,
    flags::MfFlags,
    holder::{Context, Corruption, DeviceId, Fallback, Holder, Hop},
    mapping::{HoleKind, Leg, Mapped, Mapping, Rmapped},
    outcome::{Errno, Outcome},
    piece::Piece,
    run::{Overlaps, Run},
    space::{
        BlockSize, ByteSpace, DevOffset, FileOffset, FsBlock, PAGE_SIZE, Pfn, PhysAddr,
        ReportOffset, SECTOR_SIZE, Sector, Space,
    },
};
