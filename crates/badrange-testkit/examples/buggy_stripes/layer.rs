//! A striped layer on plain numbers, right or with one bug: 3 legs of 8 chunks of 16 bytes.
//!
//! `docs/testing-your-layer.md` walks through it, and the kit's own tests use it.

use core::ops::ControlFlow;

use badrange_core::*;

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bug {
    /// Nothing.
    None,
    /// Takes the byte after the leg for its last one.
    InclusiveEnd,
    /// Translates the start, and passes the length on whole.
    UnclippedLength,
    /// Translates what lies in the first chunk, and is done.
    FirstMatchOnly,
    /// Takes off a whole chunk where only the rest of one was used.
    ChunkRemainder,
    /// Rounds the end up to a chunk, which wraps at the end of the scale.
    Wraps,
    /// Translates the first element of a run, and repeats it by the stride.
    RunFromFirstElement,
    /// Throws the sink's answer away.
    DoesNotStop,
    /// Has an extent for a leg that does not exist.
    LegTooMany,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Buggy(pub(super) Bug);

const CHUNK: u64 = 16;
const ROWS: u64 = 8;
const LEGS: u64 = 3;
const WIDTH: u64 = CHUNK * ROWS;
const LEN: u64 = WIDTH * LEGS;

fn extent(start: u64, len: u64) -> Extent {
    Extent::new(DevOffset::new(start), len).unwrap()
}

fn begin(leg: u64) -> u64 {
    1000 * (leg + 1)
}

impl Buggy {
    fn is(self, bug: Bug) -> bool {
        self.0 == bug
    }

    /// What to hand on: what the sink said, or not.
    fn flow(self, said: Flow) -> Flow {
        if self.is(Bug::DoesNotStop) { ControlFlow::Continue(()) } else { said }
    }

    /// The part of the leg that is hit, as offsets into it.
    fn hit(self, leg: u64, lower: Extent) -> Option<(u64, u64)> {
        let (start, end) = (lower.start().get(), lower.end().get());
        if self.is(Bug::Wraps) {
            let rounded = end.wrapping_add(CHUNK - 1) / CHUNK * CHUNK;
            let _touched_chunks = extent(start, rounded.wrapping_sub(start));
        }
        let last = begin(leg) + WIDTH + u64::from(self.is(Bug::InclusiveEnd));
        let (start, end) = (start.max(begin(leg)), end.min(last));
        (start < end).then(|| (start - begin(leg), end - begin(leg)))
    }
}

impl Mapping for Buggy {
    fn legs(&self) -> u32 {
        LEGS as u32
    }

    fn extent(&self) -> Extent {
        extent(0, LEN)
    }

    fn leg_extent(&self, leg: Leg) -> Option<Extent> {
        let last = LEGS + u64::from(self.is(Bug::LegTooMany));
        let leg = u64::from(leg.index());
        (leg < last).then(|| extent(begin(leg), WIDTH))
    }

    fn map(&self, upper: Extent, sink: Sink<'_, Mapped>) -> Flow {
        let (mut at, end) = (upper.start().get(), upper.end().get());
        let mut left = end.min(LEN).saturating_sub(at);
        while left > 0 {
            let (chunk, within) = (at / CHUNK, at % CHUNK);
            let len = left.min(CHUNK - within);
            let lower = begin(chunk % LEGS) + chunk / LEGS * CHUNK + within;
            let leg = Leg::new((chunk % LEGS) as u32);
            let link = Link::at(extent(lower, len), DevOffset::new(at)).unwrap();
            self.flow(sink(Mapped::To { leg, link }))?;
            at += len;
            let used = if self.is(Bug::ChunkRemainder) { CHUNK } else { len };
            left = left.saturating_sub(used);
        }
        beyond(self.extent(), upper, sink)
    }

    fn rmap(&self, leg: Leg, lower: Run, sink: Sink<'_, Link>) -> Flow {
        if !self.is(Bug::RunFromFirstElement) {
            return lower.elements().try_for_each(|element| self.above(leg, element, sink));
        }
        self.above(leg, lower.first(), &mut |first| {
            // Every element lies like the first one: true only where the strides are in step.
            let repeated = |run: Run| Run::new(run.first(), lower.stride(), lower.count());
            let (below, above) = (repeated(first.lower()), repeated(first.upper()));
            match (below, above) {
                (Ok(below), Ok(above)) => sink(Link::new(below, above).unwrap()),
                _ => sink(first),
            }
        })
    }
}

impl Buggy {
    /// What of one extent lies in a leg, chunk by chunk.
    fn above(self, leg: Leg, lower: Extent, sink: Sink<'_, Link>) -> Flow {
        let leg = u64::from(leg.index());
        if leg >= LEGS {
            return ControlFlow::Continue(());
        }
        let Some((mut at, end)) = self.hit(leg, lower) else { return ControlFlow::Continue(()) };
        while at < end {
            let (row, within) = (at / CHUNK, at % CHUNK);
            let upper = row.wrapping_mul(LEGS).wrapping_add(leg).wrapping_mul(CHUNK);
            let upper = upper.wrapping_add(within);
            let whole = self.is(Bug::UnclippedLength) && upper + (end - at) <= LEN;
            let len = if whole { end - at } else { (end - at).min(CHUNK - within) };
            let lower = extent(begin(leg).wrapping_add(at), len);
            self.flow(sink(Link::at(lower, DevOffset::new(upper)).unwrap()))?;
            at += len;
            if self.is(Bug::FirstMatchOnly) {
                break;
            }
        }
        ControlFlow::Continue(())
    }
}
