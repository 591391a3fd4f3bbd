//! The facade against real captures.
#![expect(clippy::arithmetic_side_effects, reason = "small numbers, and a panic is a failed test")]

mod captures;
