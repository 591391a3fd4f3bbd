//! What every contender is asked.

use core::{hint::black_box, ops::Range};

use badrange_core::{DevOffset, Extent, Run};
use badrange_fs::{Record, ReverseMap};

use super::rivals::{Contender, Sum};
use crate::data::{BLOCK, queries};

/// Length of a long query in bytes.
pub(super) const GIB: u64 = 1 << 30;

/// Starts of queries, the same for all contenders.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) points: Vec<u64>,
    pub(super) ranges: Vec<u64>,
}

impl Work {
    /// As many as keep a round below a second.
    pub(super) fn new(records: &[Record], quick: bool) -> Self {
        let (points, ranges) = if quick { (2_000, 4) } else { (200_000, 400) };
        Self {
            points: queries(records, 1, points, 11),
            ranges: queries(records, GIB / BLOCK, ranges, 12),
        }
    }

    /// The last of the points and ranges, for checking answers.
    pub(super) fn sample(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        let points = self.points.iter().rev().take(500).map(|at| *at..at + BLOCK);
        points.chain(self.ranges.iter().rev().take(4).map(|at| *at..at + GIB))
    }

    /// Points one after the other: the next one does not wait for the answer of the one before.
    pub(super) fn points(&self, map: &impl Contender) -> Sum {
        let mut sum = Sum::default();
        for at in &self.points {
            map.visit(*at..at + BLOCK, &mut sum);
        }
        black_box(sum)
    }

    /// Points of which each begins where the answer of the one before says.
    pub(super) fn dependent(&self, map: &impl Contender) -> Sum {
        let mut sum = Sum::default();
        let nothing = black_box(0);
        for at in &self.points {
            let at = at + (sum.mixed & nothing);
            map.visit(at..at + BLOCK, &mut sum);
        }
        black_box(sum)
    }

    /// Ranges of 1 GiB.
    pub(super) fn ranges(&self, map: &impl Contender) -> Sum {
        let mut sum = Sum::default();
        for at in &self.ranges {
            map.visit(*at..at + GIB, &mut sum);
        }
        black_box(sum)
    }

    /// The points as a batch.
    pub(super) fn batch(&self, map: &ReverseMap) -> Sum {
        let points: Vec<DevOffset> = self.points.iter().copied().map(DevOffset::new).collect();
        batch_of(map, &points)
    }

    /// One leg of a stripe, a chunk at a time, for who knows no runs.
    pub(super) fn legs_by_chunk(&self, map: &impl Contender, legs: usize) -> Sum {
        let mut sum = Sum::default();
        for at in self.ranges.iter().take(legs) {
            for chunk in leg(*at).elements() {
                map.visit(chunk.start().get()..chunk.end().get(), &mut sum);
            }
        }
        black_box(sum)
    }

    /// The same legs as runs.
    pub(super) fn legs(&self, map: &ReverseMap, legs: usize) -> Sum {
        let mut sum = Sum::default();
        for at in self.ranges.iter().take(legs) {
            let _ = map.for_each_owner_of_run(&leg(*at), |owned| {
                sum.run(&owned);
                core::ops::ControlFlow::Continue(())
            });
        }
        black_box(sum)
    }
}

/// The points as a batch, in the order they are given.
pub(super) fn batch_of(map: &ReverseMap, points: &[DevOffset]) -> Sum {
    let mut sum = Sum::default();
    let _ = map.owners_of_points(points, |_, owned| {
        sum.owned(&owned);
        core::ops::ControlFlow::Continue(())
    });
    black_box(sum)
}

/// Chunk and legs of the striped device.
pub(super) const CHUNK: u64 = 64 << 10;
const LEGS: u64 = 8;

/// 1 GiB of one leg, as the striped device sees it: 16384 chunks in 8 GiB.
pub(super) fn leg(start: u64) -> Run {
    let chunk = Extent::new(DevOffset::new(start), CHUNK).expect("not empty");
    Run::new(chunk, LEGS * CHUNK, GIB / CHUNK).expect("8 GiB")
}
