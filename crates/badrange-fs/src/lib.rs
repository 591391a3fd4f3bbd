//! Filesystem reverse map of badrange: device bytes to files, forks, metadata and free space.

mod owner;

pub use crate::owner::{FileId, Fork, Owner, Record, Special};
