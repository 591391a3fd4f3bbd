//! Software arrays: where every byte of a member belongs, and which members have it once more.
//!
//! An [`Array`] is a [`Mapping`](badrange_core::Mapping) with one leg for each member that is
//! there. Bytes of parity belong to no byte of the array: [`Array::parity`] tells which they are,
//! and [`redundancy`](badrange_core::Mapping::redundancy) from what any bytes of a member can be
//! rebuilt.
//!
//! # Kernel
//! `drivers/md/raid0.c`, `raid1.c`, `raid5.c`, `raid10.c`; the same formulas serve `dm-raid` and
//! `dm-mirror`.

mod array;
mod error;
mod level;
mod plan;
mod redundancy;
mod rows;

#[cfg(test)]
mod tests;

pub use self::{
    array::{Array, MAX_MEMBERS, Member},
    error::{ArrayError, ArrayErrorKind},
    level::{Copies, Level, ParityLayout, Raid0Layout},
};
