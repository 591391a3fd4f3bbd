//! The vocabulary of badrange: extents, runs and links, mappings, holders and outcomes.
//!
//! Everything that translates a bad range or is notified of one speaks these types. The crate is
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
//! * What travels is **bytes of a device**. An [`Extent`] is one contiguous, half-open, never empty
//!   range of them. A [`Run`] is an arithmetic sequence of equal extents: first, stride, count. One
//!   leg of a striped device is one run, whatever its length.
//! * A [`Link`] is two runs of equal shape that are the same bytes, below and above.
//! * Physical memory is a device, too: its bytes are the host addresses. [`PhysAddr`], [`Pfn`],
//!   [`Sector`], [`FsBlock`] and [`FileOffset`] are ways to read and print positions where they
//!   come in and go out; the functions that convert say how they round.
//! * A [`Mapping`] computes between a device and those below it, in both directions. A [`Holder`]
//!   has the effects.
//! * An [`Outcome`] is what a holder answers for a range; outcomes join per byte, in a [`Cover`].
//!
//! Positions do not mix:
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
//! * `serde`: `Serialize` and `Deserialize` for positions, [`Extent`], [`Run`], [`Link`],
//!   [`BlockSize`], [`PageSize`], [`MfFlags`], [`Outcome`], [`Errno`], [`DeviceId`], [`Leg`] and
//!   [`HoleKind`]. Works without `std`.
//! * `arbitrary`: `Arbitrary` for the same types, to fuzz with: any bytes make a valid value, and
//!   every valid value can come out. Implies `std`.
//!
//! ## The forms of `serde`
//!
//! | type | form in JSON |
//! |---|---|
//! | [`DevOffset`], [`PhysAddr`], [`Pfn`], [`Sector`], [`FileOffset`], [`FsBlock`] | a number, to 2^64 - 1 |
//! | [`Extent`] | `{"start":4096,"len":512}` |
//! | [`Run`] | an extent; of several elements `{"start":0,"len":512,"stride":4096,"count":8}` |
//! | [`Link`] | `{"lower":{"start":1048576,"len":512},"upper":{"start":0,"len":512}}` |
//! | [`BlockSize`], [`PageSize`] | bytes: `4096` |
//! | [`MfFlags`] | a list of names: `["action_required","must_kill"]` |
//! | [`Outcome`] | `"nothing"`, `"handled"`, `{"failed":117}`, `"not_supported"` |
//! | [`Errno`], [`Leg`] | a number: `117` |
//! | [`DeviceId`] | `{"stack":0,"index":3,"generation":1}` |
//! | [`HoleKind`] | `"error"`, `"zero"`, `"unmapped"` |
//!
//! Reading checks what the constructors check, and an unknown key is an error, so that no value
//! breaks the invariants of its type. As a run leaves out what an extent does not need, the format
//! has to name its fields, as JSON, TOML and CBOR do. The space of a range is not written: the type
//! that reads it says which it is.
//!
#![cfg_attr(feature = "serde", doc = "```")]
#![cfg_attr(not(feature = "serde"), doc = "```ignore")]
//! use badrange_core::{DevOffset, Extent, MfFlags, Run};
//!
//! let run: Run = serde_json::from_str(r#"{"start":0,"len":512,"stride":4096,"count":8}"#)?;
//! assert_eq!(run.total_len(), 8 * 512);
//! let first = serde_json::to_string(&run.first())?;
//! assert_eq!(first, r#"{"start":0,"len":512}"#);
//! let flags: MfFlags = serde_json::from_str(r#"["must_kill"]"#)?;
//! assert_eq!(flags, MfFlags::MUST_KILL);
//!
//! let wrong = serde_json::from_str::<Extent>(r#"{"start":8,"len":0}"#).unwrap_err();
//! assert!(wrong.to_string().starts_with("invalid range of device bytes at 0x8+0x0: length is zero"));
//! # Ok::<(), serde_json::Error>(())
//! ```

#![no_std]

extern crate alloc;

#[cfg(feature = "arbitrary")]
mod arbitrary;
mod bug;
mod cover;
mod error;
mod extent;
mod flags;
mod granule;
mod holder;
mod link;
mod mapping;
mod outcome;
mod parse;
mod piecewise;
mod run;
#[cfg(feature = "serde")]
mod serde;
mod space;
mod sweep;
mod window;

#[cfg(test)]
mod tests;

#[doc(hidden)]
pub use crate::bug::bug_found;
pub use crate::{
    cover::{Cover, Join},
    error::{FromTextError, RangeError, RangeErrorKind},
    extent::Extent,
    flags::MfFlags,
    granule::{Granule, Granules, PageSize},
    holder::{Context, Corruption, DeviceId, Fallback, Holder, HolderFn, Hop, Notice},
    link::Link,
    mapping::{Backing, BackingKind, Flow, HoleKind, Leg, Mapped, Mapping, Sink, Stop},
    outcome::{Errno, Outcome},
    piecewise::{Piecewise, PiecewiseError, Rest},
    run::{Overlaps, Run},
    space::{BlockSize, DevOffset, FileOffset, FsBlock, Pfn, PhysAddr, SECTOR_SIZE, Sector, Space},
    sweep::sweep,
    window::{Window, beyond},
};
