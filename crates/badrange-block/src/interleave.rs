//! CXL interleave: how a region of host memory lies on memory devices, granule by granule.
//!
//! A *region* is a range of host physical addresses (HPA). Its *ways* are endpoint decoders, each
//! a range of device physical addresses (DPA) of one memory device. Granules of 256 bytes to
//! 16 KiB go over the ways in turn; with XOR arithmetic, address bits above stir which way comes
//! when. [`Interleave`] is that as a [`Mapping`](badrange_core::Mapping): leg `i` is position `i`,
//! the leg's device is counted in DPA, and the upper device is the region from its first byte on.
//!
//! ```
//! use badrange_block::interleave::{Granularity, Interleave, PoisonRecord, PoisonSource};
//! use badrange_core::{DevOffset, Extent, Leg, PhysAddr};
//! use core::ops::ControlFlow;
//!
//! // Two devices, 4 KiB granules; both decoders begin at DPA 0x4000_0000.
//! let hpa = Extent::new(PhysAddr::new(0xf1_1000_0000), 2 << 30)?;
//! let at = DevOffset::new(0x4000_0000);
//! let region = Interleave::new(hpa, Granularity::new(4096)?, &[at, at])?;
//!
//! // A poison record of the second device: 128 bytes, across the end of its first granule.
//! let record = PoisonRecord::decode(0x4000_0fc0 | 3, 2)?;
//! assert_eq!(record.source(), PoisonSource::Injected);
//! let mut bad = Vec::new();
//! let _ = record.split(&region, Leg::new(1), &mut |link| {
//!     bad.extend(link.upper().elements().map(|part| region.phys(part).unwrap().to_string()));
//!     ControlFlow::Continue(())
//! });
//! assert_eq!(bad, [
//!     "physical bytes [0xf110001fc0..0xf110002000)",
//!     "physical bytes [0xf110003000..0xf110003040)",
//! ]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Kernel
//! `drivers/cxl/core/region.c` (`cxl_dpa_to_hpa()`), `drivers/cxl/acpi.c` (XOR maps of the CXIMS
//! table), `drivers/cxl/core/mbox.c` (poison lists).

mod encoding;
mod error;
mod poison;
mod region;
mod storm;
mod xor;

#[cfg(test)]
mod tests;

pub use self::{
    encoding::{Granularity, Ways},
    error::{InterleaveError, InterleaveErrorKind},
    poison::{PoisonRecord, PoisonSource},
    region::{Interleave, MAX_LEG_BYTES},
    storm::DecodeStorm,
};
