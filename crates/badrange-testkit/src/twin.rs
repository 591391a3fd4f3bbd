//! Naive twins: pictures of devices with one entry per slot, too simple to be wrong.
//!
//! A *slot* is whatever unit the picture is drawn in: a byte, half a sector, a sector. A twin is a
//! list that says of every slot where it lies, filled by the textbook formula, and every question
//! to it is a loop over the list. Nothing here uses the range algebra or the mappings that the
//! twins are compared with.
//!
//! ```
//! use badrange_testkit::twin::{Slot, Twin};
//! // Two legs, chunks of 2 slots, one row; the legs begin at slots 10 and 20.
//! let twin = Twin::striped(2, 1, &[10, 20]);
//! assert_eq!(twin.map(1), Slot::On { leg: 0, at: 11 });
//! assert_eq!(twin.map(2), Slot::On { leg: 1, at: 20 });
//! assert_eq!(twin.rmap(1, 21), [3]);
//! assert!(twin.rmap(1, 22).is_empty());
//! ```

pub(crate) mod agree;
mod device;
mod fs;
mod stack;
mod target;

pub use self::{
    device::{Slot, Twin},
    fs::{FsRecord, FsTwin},
    stack::{Descent, Fate, FatePages, Settle, TwinHolder, TwinStack},
    target::{DEVICE_NAMES, DrawnPlace, DrawnTarget},
};
