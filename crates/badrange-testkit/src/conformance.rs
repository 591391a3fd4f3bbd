//! The laws of [`Mapping`](badrange_core::Mapping) and the contract of
//! [`Holder`](badrange_core::Holder), for anyone's implementation.
//!
//! [`mapping()`] and [`holder()`] need no second implementation to compare with: they try an
//! implementation's own answers against each other, at the places where translation goes wrong.
//! A [`Violation`] says which law was broken, and prints the smallest case found as code.
//!
//! ```
//! use badrange_block::dm::Table;
//! use badrange_testkit::conformance::{self, Config};
//! let table = Table::parse("0 96 striped 3 8 8:0 0 8:16 64 8:32 0\n96 8 error")?;
//! conformance::mapping(&table, &Config::default())?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is tried
//! A walk with `map` over the device (or over both ends of it and some places between, if it is
//! large) finds where extents begin and end. Then: one byte before, at and after each edge, from
//! edge to edge and one byte beside, across several edges, the whole device and more, random ranges
//! from a seeded generator, the ends of the 64-bit scale, every leg and leg numbers that do not
//! exist, and runs of several strides. And where numbers of 31 and 32 bits end inside the device or a
//! leg, be they bytes, sectors or pages of 4 KiB, counted from the beginning of the device, of the leg
//! or of a long part of it: what ends there, begins there, and crosses.
//!
//! # Limits
//! Work is bounded by [`Config`], not by the size of the device. A mapping that never returns is not
//! found out: it hangs. A holder that does not return is ([`Law::Returns`]). One that panics is
//! caught; the panic hook prints as usual.

mod case;
mod config;
mod faults;
mod holders;
mod mappings;
mod ranges;
mod redundancy;
mod relation;
mod shrink;
mod violation;
mod watchdog;

#[cfg(test)]
mod tests;

pub use self::{
    case::{Case, RawRun},
    config::Config,
    holders::holder,
    mappings::mapping,
    violation::{Law, Violation},
};
