//! Filesystem reverse map of badrange: device bytes to files, forks, metadata and free space.
//!
//! A [`ReverseMap`] answers whose the bytes of a filesystem's device are. It is built from
//! [`Record`]s, or by a [`Merge`] of several maps of one filesystem that were saved as text. An
//! [`RmapHolder`] registers it as the owner of a device: it notifies of every file that lost bytes.
//!
//! ```
//! use badrange_core::{DevOffset, Extent, FileOffset};
//! use badrange_fs::{FileId, Fork, Owner, Record, ReverseMap};
//! use core::ops::ControlFlow;
//!
//! let at = |start, len| Extent::new(DevOffset::new(start), len).unwrap();
//! // Two files share 8 KiB: a reflink copy.
//! let record = |ino, extent, file| Record {
//!     extent,
//!     owner: Owner::File { id: FileId::Ino(ino), fork: Fork::Data },
//!     file_start: FileOffset::new(file),
//!     unwritten: false,
//! };
//! let map: ReverseMap =
//!     [record(133, at(4096, 8192), 65536), record(132, at(0, 16384), 0)].into_iter().collect();
//!
//! let mut lost = Vec::new();
//! let _ = map.owners(at(12000, 1000), &mut |owned| {
//!     lost.push((owned.record.owner.to_string(), owned.file.unwrap()));
//!     ControlFlow::Continue(())
//! });
//! let file = |start, len| Extent::new(FileOffset::new(start), len).unwrap();
//! assert_eq!(lost, [
//!     ("inode 132 data".to_owned(), file(12000, 1000)),
//!     ("inode 133 data".to_owned(), file(65536 + 12000 - 4096, 288)),
//! ]);
//! ```

mod holder;
mod map;
mod merge;
mod owner;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use crate::{
    holder::{OwnerSink, RmapHolder},
    map::{LiveMap, Owned, OwnedRun, ReverseMap, ReverseMapBuilder, Segment},
    merge::{Claim, MapKind, Merge, MergeError, MergeErrorKind, OrderedMerge, Source},
    owner::{FileId, Fork, Owner, Record, Special},
};
