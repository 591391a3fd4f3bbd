//! Thin volumes: blocks of a pool's data device, placed one by one by the pool's metadata; and files as
//! devices, whose blocks a filesystem placed.

mod volume;

#[cfg(test)]
mod tests;

pub use self::volume::{BlockRange, MAX_USES, ThinError, Volume};
