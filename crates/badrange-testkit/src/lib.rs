//! Oracles, generators and laws for anyone's badrange [`Mapping`](badrange_core::Mapping) or
//! [`Holder`](badrange_core::Holder).
//!
//! Translating a bad range is easy to get nearly right. This crate finds the byte that is wrong:
//! at the end of a leg, across two chunks, at the end of the 64-bit scale.
//!
//! # A layer of your own
//! Here is a layer that shows a device backwards, in blocks of 4 KiB. [`conformance::mapping`]
//! says whether it keeps the laws; it needs nothing but the layer itself.
//! ```
//! use badrange_core::*;
//! use badrange_testkit::{conformance::{self, Config}, twin::{Slot, Twin}};
//! use core::ops::ControlFlow;
//!
//! const BLOCK: u64 = 4096;
//! const BLOCKS: u64 = 10;
//!
//! #[derive(Debug)]
//! struct Backwards;
//!
//! /// Block `i` above, and where it is below (and the other way round: it is the same formula).
//! fn block(i: u64) -> (Extent<DevOffset>, DevOffset) {
//!     let at = Extent::new(DevOffset::new(i * BLOCK), BLOCK).unwrap();
//!     (at, DevOffset::new((BLOCKS - 1 - i) * BLOCK))
//! }
//!
//! impl Mapping for Backwards {
//!     fn legs(&self) -> u32 { 1 }
//!     fn extent(&self) -> Extent<DevOffset> {
//!         Extent::new(DevOffset::new(0), BLOCKS * BLOCK).unwrap()
//!     }
//!     fn leg_extent(&self, leg: Leg) -> Option<Extent<DevOffset>> {
//!         (leg.index() == 0).then(|| self.extent())
//!     }
//!     fn map(&self, upper: Extent<DevOffset>, sink: &mut dyn FnMut(Mapped) -> ControlFlow<()>)
//!         -> ControlFlow<()>
//!     {
//!         for (at, to) in (0..BLOCKS).map(block) {
//!             let Some(upper) = upper.intersect(at) else { continue }; // clip first
//!             let Some(lower) = upper.rebase(at.start(), to) else { continue }; // then translate
//!             sink(Mapped::To { leg: Leg::new(0), upper, lower })?;
//!         }
//!         match upper.split_at(self.extent().end()).1 {
//!             Some(upper) => sink(Mapped::Hole { kind: HoleKind::Unmapped, upper }),
//!             None => ControlFlow::Continue(()),
//!         }
//!     }
//!     fn rmap(&self, leg: Leg, lower: Extent<DevOffset>, sink: &mut dyn FnMut(Rmapped) -> ControlFlow<()>)
//!         -> ControlFlow<()>
//!     {
//!         for (at, to) in (0..BLOCKS).map(block).filter(|_| leg.index() == 0) {
//!             let Some(lower) = lower.intersect(at) else { continue };
//!             let Some(upper) = lower.rebase(at.start(), to) else { continue };
//!             sink(Rmapped { lower, upper })?;
//!         }
//!         ControlFlow::Continue(())
//!     }
//! }
//!
//! conformance::mapping(&Backwards, &Config::default())?;
//!
//! // That it keeps the laws does not say that it is the layer you mean. A picture does: one slot
//! // per block, drawn by the plainest formula there is.
//! let twin = Twin::from_slots(1, (0..BLOCKS).map(|i| Slot::On { leg: 0, at: 9 - i }).collect());
//! twin.check_map(&Backwards, BLOCK, 0, BLOCKS + 2);
//! twin.check_rmap(&Backwards, BLOCK, 0, (0, BLOCKS + 2));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//! What a layer with a bug gets is a [`Violation`](conformance::Violation): the law, what was wrong
//! in one sentence, and the smallest case as code to paste into a test:
//! ```text
//! law 2: rmap gives back what map gave, and nothing else
//! map puts 0x3f8+0x1 of leg 0 at 0x30; rmap of device bytes [0x3f7..0x3f9) of leg 0
//! gives [0x3f7+0x2 of leg 0 at 0xf]
//!
//! let bad = Extent::new(DevOffset::new(1015), 2)?;
//! let _ = layer.rmap(Leg::new(0), bad, &mut |part| {
//!     println!("{part:?}");
//!     ControlFlow::Continue(())
//! });
//! ```
//!
//! # Overview
//! * [`conformance`]: the laws of mappings and the contract of holders, for any implementation.
//! * [`twin`]: pictures of layers, filesystems and whole stacks, one entry per slot; too simple to
//!   be wrong, and independent of the code that they are compared with.
//! * [`case`]: structured input drawn from bytes, with a `check` each, for smoke tests, proptest
//!   and fuzz targets.
//! * [`fuzz`]: all fuzz targets of the workspace in one table, and the smallest input that fails.
//! * `text` (feature `text`, which brings the readers): cases of saved text, stack descriptions and
//!   scenarios.
//! * [`strategy`]: strategies for proptest, from extents to stacks with failures.
//! * [`fake`]: holders that refuse, panic or re-enter, one that records, and a recording fallback.
//!
//! # Limits
//! The kit bounds its work, not the device: on a large one it looks at both ends and at places
//! between. The twins cost one entry per slot and are for small devices. Both are for tests: they
//! panic, and they do not hurry.

#[cfg(doctest)]
#[doc = include_str!("../../../docs/testing-your-layer.md")]
struct TestingYourLayer;

pub mod case;
pub mod conformance;
mod draw;
pub mod fake;
pub mod fuzz;
pub mod strategy;
#[cfg(feature = "text")]
pub mod text;
pub mod twin;
