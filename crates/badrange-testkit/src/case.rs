//! Cases for fuzzers and property tests: structured input, and a `check` that panics on a bug.
//!
//! Each case is drawn from bytes ([`Arbitrary`]), lives in a small space so
//! that ranges collide, and compares the real thing with a [twin](crate::twin), just outside of
//! what is asked too. One case serves smoke tests, proptest, fuzz targets and the replay of a
//! corpus:
//! ```
//! use badrange_testkit::case::{Tables, check_bytes};
//! // The body of a fuzz target.
//! check_bytes::<Tables>(&[7; 100]);
//! ```

mod badblocks;
mod build;
mod fsmap;
mod interleave;
mod ranges;
mod recovery;
mod registry;
mod stacks;
mod tables;

#[cfg(test)]
mod tests;

pub use self::{
    badblocks::{BadblocksOp, BadblocksOps},
    build::{
        DrawnAnswer, DrawnPage, DrawnPiece, GroundPlan, HolderPlan, LayerPlan, LayerShape,
        SettlePlan, StackPlan,
    },
    fsmap::FsMap,
    interleave::Interleaves,
    ranges::{DrawnExtent, DrawnRun, Ranges},
    recovery::{RecoveryOp, RecoveryOps},
    registry::{Op, RegistryOps},
    stacks::{Event, WholeStack},
    tables::{TableText, Tables},
};

use core::fmt::Debug;

use arbitrary::{Arbitrary, Unstructured};

/// Input for a check, drawn from bytes.
///
/// # Examples
/// ```
/// use badrange_testkit::{arbitrary::{self, Arbitrary}, case::TestCase};
/// #[derive(Debug, Arbitrary)]
/// struct Doubled(u8);
/// impl TestCase for Doubled {
///     fn check(&self) {
///         assert_eq!(u16::from(self.0) * 2, u16::from(self.0) + u16::from(self.0));
///     }
/// }
/// badrange_testkit::case::check_bytes::<Doubled>(&[200]);
/// ```
pub trait TestCase: for<'a> Arbitrary<'a> + Debug {
    /// Returns if everything is in order.
    ///
    /// # Panics
    /// When it is not: that is a bug in what is checked.
    fn check(&self);
}

/// Draws a case from bytes and checks it; bytes that are too few for a case are in order.
///
/// # Panics
/// As [`TestCase::check`].
///
/// # Examples
/// ```
/// use badrange_testkit::case::{Ranges, check_bytes};
/// check_bytes::<Ranges>(b"some bytes of a fuzzer, which are enough for a few ranges of bytes");
/// ```
pub fn check_bytes<T: TestCase>(bytes: &[u8]) {
    if let Ok(case) = T::arbitrary_take_rest(Unstructured::new(bytes)) {
        case.check();
    }
}
