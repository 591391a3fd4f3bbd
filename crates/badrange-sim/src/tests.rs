//! The model against recordings, against rules worked out by hand, and against nonsense.
#![expect(clippy::arithmetic_side_effects, reason = "small numbers worked out by hand")]

mod anything;
mod around;
mod build;
mod comparing;
mod io;
mod kills;
mod laws;
pub(crate) mod recordings;
mod refused;
mod rules;
mod storms;
mod sweeps;
mod tables;
