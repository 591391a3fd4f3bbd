//! Software arrays: where every byte of a member belongs, and which members have it once more.
//!
//! An [`Array`] is a [`Mapping`](badrange_core::Mapping) with one leg for each member that is
//! there. Bytes of parity belong to no byte of the array: [`Array::parity`] tells which they are,
//! and [`Array::backing`] from what any bytes of a member can be rebuilt.
//!
//! # Kernel
//! `drivers/md/raid0.c`, `raid1.c`, `raid5.c`, `raid10.c`; the same formulas serve `dm-raid` and
//! `dm-mirror`.

mod array;
mod backing;
mod error;
mod level;
mod plan;

#[cfg(test)]
mod tests;

pub use self::{
    array::{Array, MAX_MEMBERS, Member},
    backing::{Backing, Source},
    error::{ArrayError, ArrayErrorKind},
    level::{Copies, Level, ParityLayout, Raid0Layout},
};
