//! Makes a failing case small: greedily, by halves and by ones.

use super::{
    Case,
    case::RawRun,
    faults::{Checked, Fault},
    ranges::is_run,
};

/// The smallest case found that breaks the same law, and how it does.
pub(super) fn shrink(
    mut case: Case,
    mut fault: Fault,
    steps: u32,
    check: &dyn Fn(Case) -> Checked,
) -> (Case, Fault) {
    let mut left = steps;
    'smaller: loop {
        for candidate in candidates(case) {
            let Some(less) = left.checked_sub(1) else { return (case, fault) };
            left = less;
            match check(candidate) {
                Err(found) if found.law == fault.law => {
                    (case, fault) = (candidate, found);
                    continue 'smaller;
                }
                Ok(()) | Err(_) => {}
            }
        }
        return (case, fault);
    }
}

fn candidates(case: Case) -> Vec<Case> {
    match case {
        Case::Map { start, len } => {
            extents(start, len).map(|(start, len)| Case::Map { start, len }).collect()
        }
        Case::Rmap { leg, run } => runs(run).map(|run| Case::Rmap { leg, run }).collect(),
        Case::Redundancy { leg, run } => {
            runs(run).map(|run| Case::Redundancy { leg, run }).collect()
        }
        Case::Notify { run, flags } => runs(run).map(|run| Case::Notify { run, flags }).collect(),
        Case::LegExtent { .. } => Vec::new(),
    }
}

/// Parts of an extent: halves, then without one unit at either end.
fn extents(start: u64, len: u64) -> impl Iterator<Item = (u64, u64)> {
    let (half, less) = (len / 2, len.saturating_sub(1));
    // NO-OVERFLOW: inside the extent that exists.
    let (middle, next) = (start.wrapping_add(half), start.wrapping_add(1));
    let all = [(start, half), (middle, len.saturating_sub(half)), (start, less), (next, less)];
    all.into_iter().filter(move |(_, l)| *l > 0 && *l < len)
}

fn runs(run: RawRun) -> impl Iterator<Item = RawRun> {
    let RawRun { start, len, stride, count } = run;
    let later = |by: u64| start.wrapping_add(stride.wrapping_mul(by)); // NO-OVERFLOW: an element
    let (half, fewer) = (count / 2, count.saturating_sub(1));
    let shorter = extents(start, len).map(move |(start, len)| match count {
        1 => RawRun::extent(start, len),
        _ => RawRun { start, len, ..run },
    });
    let counts = [
        RawRun { count: half, ..run },
        RawRun { start: later(half), count: count.saturating_sub(half), ..run },
        RawRun { count: fewer, ..run },
        RawRun { start: later(1), count: fewer, ..run },
        RawRun { stride: len.max(stride / 2), ..run },
        RawRun { stride: stride.saturating_sub(1), ..run },
    ];
    let counts = counts.into_iter().filter(move |r| r.count > 0).map(|r| match r.count {
        1 => RawRun::extent(r.start, r.len), // of one element the stride has no meaning
        _ => r,
    });
    counts.filter(move |r| *r != run).chain(shorter).filter(is_run)
}
