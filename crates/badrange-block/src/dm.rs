//! Device-mapper tables: the targets that place every byte by a formula.
//!
//! # Kernel
//! `drivers/md/dm-table.c` and the targets' constructors and `map` functions. The reverse maps are
//! what `->rmap` of the patches that were never merged would have had to do.

mod error;
mod linear;
mod raid;
mod recovery;
mod striped;
mod table;
mod target;
mod text;
mod thin;

pub use self::{
    error::{TableError, TableErrorKind},
    linear::{Linear, LinearKind},
    raid::Raid,
    recovery::{AccessLimit, NoRecovery, NotDax, RecoveryPiece, RecoveryRefused, RecoveryWrites},
    striped::Striped,
    table::{LegInfo, MAX_TARGETS, Table},
    target::{MAX_LEGS_PER_TARGET, Target},
    thin::{Thin, ThinPool},
};
