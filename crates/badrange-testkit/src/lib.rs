//! Oracles, generators and laws for anyone's badrange [`Mapping`](badrange_core::Mapping) or
//! [`Holder`](badrange_core::Holder).
//!
//! Translating a bad range is easy to get nearly right. This crate finds the byte that is wrong:
//! at the end of a leg, across two chunks, at the end of the 64-bit scale.
//!
//! # A layer of your own
//! Here is a layer that shows a device backwards, in blocks of 4 KiB. [`conformance::mapping()`]
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
//! /// Block `i` below, and where it is above.
//! fn block(i: u64) -> Link {
//!     let below = Extent::new(DevOffset::new(i * BLOCK), BLOCK).unwrap();
//!     Link::at(below, DevOffset::new((BLOCKS - 1 - i) * BLOCK)).unwrap()
//! }
//!
//! impl Mapping for Backwards {
//!     fn legs(&self) -> u32 { 1 }
//!     fn extent(&self) -> Extent {
//!         Extent::new(DevOffset::new(0), BLOCKS * BLOCK).unwrap()
//!     }
//!     fn leg_extent(&self, leg: Leg) -> Option<Extent> {
//!         (leg.index() == 0).then(|| self.extent())
//!     }
//!     fn map(&self, upper: Extent, sink: Sink<'_, Mapped>) -> Flow {
//!         for block in (0..BLOCKS).rev().map(block) { // ascending above
//!             for link in block.clip_upper(upper) {
//!                 sink(Mapped::To { leg: Leg::new(0), link })?;
//!             }
//!         }
//!         beyond(self.extent(), upper, sink)
//!     }
//!     fn rmap(&self, leg: Leg, lower: Run, sink: Sink<'_, Link>) -> Flow {
//!         if leg.index() != 0 { return ControlFlow::Continue(()) }
//!         (0..BLOCKS).try_for_each(|i| block(i).rmap(lower, sink))
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
//! in one sentence, and the smallest case as code that fails when it is pasted into a test:
//! ```text
//! law 2: rmap gives back what map gave, and nothing else
//! map puts 0x3f8+0x1 of leg 0 at 0x30; rmap of device bytes [0x3f7..0x3f9) of leg 0 gives [..]
//!
//! use badrange_testkit::conformance::{Case, Config, RawRun};
//!
//! let case = Case::Rmap { leg: 0, run: RawRun::extent(1015, 2) };
//! case.check_mapping(&layer, &Config::DEFAULT).unwrap();
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
//!
//! The crate [`arbitrary`] is re-exported: with `use badrange_testkit::arbitrary::{self, Arbitrary};`
//! a [`TestCase`](case::TestCase) can derive what it needs.

#[cfg(doctest)]
#[doc = include_str!("../../../docs/testing-your-layer.md")]
struct TestingYourLayer;

pub use arbitrary;

pub mod case;
pub mod conformance;
mod draw;
pub mod fake;
pub mod fuzz;
pub mod strategy;
#[cfg(feature = "text")]
pub mod text;
pub mod twin;
