//! Laws of the vocabulary, checked against sets of single units.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "small numbers, and a panic is a failed test"
)]

extern crate std;

use core::ops::ControlFlow;
use std::{collections::BTreeSet, format, string::ToString, vec, vec::Vec};

use proptest::prelude::*;

use crate::*;

mod account;
mod extent;
#[cfg(feature = "serde")]
mod forms;
#[cfg(feature = "arbitrary")]
mod fuzzing;
mod holder;
mod link;
mod mapping;
mod pages;
mod run;
mod text;

/// A small scale, so that every law can look at each unit.
const SCALE: u64 = 96;

fn at(start: u64, len: u64) -> Extent {
    Extent::new(DevOffset::new(start), len).unwrap()
}

/// `count` extents like `[start, start + len)`.
fn every(start: u64, len: u64, stride: u64, count: u64) -> Run {
    Run::new(at(start, len), stride, count).unwrap()
}

fn extents() -> impl Strategy<Value = Extent> {
    (0..SCALE, 1..SCALE).prop_map(|(start, len)| at(start, len))
}

fn runs() -> impl Strategy<Value = Run> {
    (0..24_u64, 1..8_u64, 0..8_u64, 1..9_u64)
        .prop_map(|(start, len, gap, count)| every(start, len, len + gap, count))
}

/// Where the scale of a test begins: at sectors 2^31 and 2^32, and next to the last byte of all.
fn bases() -> impl Strategy<Value = u64> {
    let edges = [0, 512 << 31, 512 << 32, u64::MAX - 2 * SCALE];
    prop_oneof![Just(0), prop::sample::select(Vec::from(edges)), Just((512 << 32) - SCALE / 2)]
}

fn outcomes() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        Just(Outcome::Nothing),
        Just(Outcome::Handled),
        Just(Outcome::Failed(Errno::EIO)),
        Just(Outcome::Failed(Errno::EUCLEAN)),
        Just(Outcome::NotSupported),
    ]
}

/// The naive twin of a run: its units, element by element.
fn units_in_order<S: Space>(run: &Run<S>) -> Vec<u64> {
    let first = run.first().start().to_raw();
    (0..run.count())
        .flat_map(|i| (0..run.element_len()).map(move |u| first + i * run.stride() + u))
        .collect()
}

fn units<S: Space>(run: &Run<S>) -> BTreeSet<u64> {
    units_in_order(run).into_iter().collect()
}

/// All units, sorted, with every repetition.
fn units_of(runs: impl IntoIterator<Item = Run>) -> Vec<u64> {
    let mut all: Vec<u64> = runs.into_iter().flat_map(|r| units(&r)).collect();
    all.sort_unstable();
    all
}

fn is_sorted(runs: &[Run]) -> bool {
    runs.windows(2).all(|w| w[0].first().start() <= w[1].first().start())
}

/// Whether each element of `part` lies inside one element of `whole`.
fn element_by_element(part: &Run, whole: &Run) -> bool {
    part.elements().all(|e| whole.elements().any(|home| home.contains_extent(e)))
}

/// What a function emits.
fn emitted<T>(source: impl FnOnce(Sink<'_, T>) -> Flow) -> Vec<T> {
    let mut all = Vec::new();
    let flow = source(&mut |one| {
        all.push(one);
        ControlFlow::Continue(())
    });
    assert_eq!(flow, ControlFlow::Continue(()));
    all
}

/// A source whose sink has enough after `calls` calls must hand that through and stop.
fn stops_when_told<T>(calls: usize, source: impl FnOnce(Sink<'_, T>) -> Flow) -> bool {
    let mut seen = 0;
    let flow = source(&mut |_| {
        seen += 1;
        if seen == calls { ControlFlow::Break(Stop::Enough) } else { ControlFlow::Continue(()) }
    });
    flow == ControlFlow::Break(Stop::Enough) && seen == calls
}

fn naive_gcd(a: u64, b: u64) -> u64 {
    (1..=a.min(b)).rev().find(|d| a % d == 0 && b % d == 0).unwrap()
}
