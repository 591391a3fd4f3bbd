//! Who is hit when a range of storage or memory goes bad.
//!
//! badrange is the ranged reverse-mapping notification framework for stacked devices: physical
//! memory, persistent-memory namespaces, partitions, device-mapper tables and filesystems. A
//! failed range climbs from layer to layer, each layer's holders are told the bytes that are
//! theirs, in their own address space, and whatever nobody handles falls back page by page.
#![cfg_attr(feature = "explain", doc = "")]
#![cfg_attr(
    feature = "explain",
    doc = "With the feature `explain`, [`explain`] answers the administrator's question: these \
           sectors are bad, which files are hit?"
)]

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
