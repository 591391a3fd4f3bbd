//! Thin volumes: blocks of a pool's data device, placed one by one by the pool's metadata.

mod volume;

#[cfg(test)]
mod tests;

pub use self::volume::{BlockRange, ThinError, Volume};
