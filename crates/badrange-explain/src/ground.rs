//! The summary: files counted once, bytes counted once.

use core::ops::ControlFlow;
use std::collections::{BTreeMap, BTreeSet};

use badrange_core::{DevOffset, DeviceId, Extent};

use crate::{Explainer, Explanation, PieceFound, Query, Summary, Verdict};

/// Counts files and bytes over all queries.
pub(crate) fn summary(explainer: &Explainer, queries: &[Query], found: &[Explanation]) -> Summary {
    let pieces = || found.iter().flat_map(|q| &q.pieces).filter(|p| p.lost == Some(true));
    let of_file = |p: &&PieceFound| matches!(p.verdict, Verdict::File | Verdict::FileMetadata);
    let files: BTreeSet<_> = pieces()
        .filter(of_file)
        .flat_map(|p| &p.owners)
        .map(|o| (o.fs.as_str(), o.ino, o.paths.first().filter(|_| o.ino.is_none())))
        .collect();
    Summary {
        files_lost: u64::try_from(files.len()).unwrap_or(u64::MAX),
        bytes_lost: bytes_lost(explainer, queries, found),
        bytes_queried: found.iter().map(|q| q.len).fold(0, u64::saturating_add),
    }
}

/// Lost bytes of all queries, each once. Queries overlap where they name the same bytes of a device,
/// or bytes that are the same at the bottom of the stack. Of several devices the one that was named
/// first counts them.
fn bytes_lost(explainer: &Explainer, queries: &[Query], found: &[Explanation]) -> u64 {
    let mut devices: Vec<(DeviceId, Vec<Extent>)> = Vec::new();
    for (query, explanation) in queries.iter().zip(found) {
        let lost = explanation.pieces.iter().filter(|piece| piece.lost == Some(true));
        let lost: Vec<Extent> = lost.flat_map(elements).collect();
        for (device, bytes) in on_engine(explainer, query, &lost) {
            match devices.iter_mut().find(|(known, _)| *known == device) {
                Some((_, ranges)) => ranges.push(bytes),
                None => devices.push((device, vec![bytes])),
            }
        }
    }
    let alone = devices.len() <= 1;
    let mut ground = Ground { explainer, counted: BTreeMap::new() };
    devices.into_iter().fold(0_u64, |total, (device, ranges)| {
        let lost = united(ranges);
        let new = if alone { bytes_of(&lost) } else { ground.count_new(device, &lost) };
        total.saturating_add(new)
    })
}

/// Bytes of a query, as bytes of the devices that the engine is asked about.
fn on_engine(explainer: &Explainer, query: &Query, bytes: &[Extent]) -> Vec<(DeviceId, Extent)> {
    let start = query.start();
    let parts = explainer.asked(query).into_iter().flat_map(|asked| {
        // The asked bytes as the query names them.
        let from = DevOffset::new(start.saturating_add(asked.offset));
        let named = Extent::new(from, asked.bytes.len()).ok();
        bytes.iter().filter_map(move |bytes| {
            let here = bytes.intersect(named?)?.rebase(from, asked.bytes.start())?;
            Some((asked.device, here))
        })
    });
    parts.collect()
}

/// A piece's bytes: one range, or each element of a strided one.
pub(crate) fn elements(piece: &PieceFound) -> impl Iterator<Item = Extent> + '_ {
    let (stride, count) = piece.repeat.unwrap_or((0, 1));
    let start = move |i: u64| piece.start.saturating_add(stride.saturating_mul(i));
    (0..count).filter_map(move |i| Extent::new(DevOffset::new(start(i)), piece.len).ok())
}

/// The same bytes as disjoint ranges, ascending.
pub(crate) fn united(mut ranges: Vec<Extent>) -> Vec<Extent> {
    ranges.sort_unstable();
    Extent::unite(ranges)
}

pub(crate) fn bytes_of(ranges: &[Extent]) -> u64 {
    ranges.iter().map(Extent::len).fold(0, u64::saturating_add)
}

/// Bytes at the bottom of the stack that were counted already.
struct Ground<'e> {
    explainer: &'e Explainer,
    counted: BTreeMap<DeviceId, Vec<Extent>>,
}

impl Ground<'_> {
    /// How many of these bytes of a device lie on bytes that no device before it counted.
    fn count_new(&mut self, device: DeviceId, lost: &[Extent]) -> u64 {
        let parts = lost.iter().flat_map(|lost| bottom(self.explainer, device, *lost));
        let mut below: BTreeMap<DeviceId, Vec<Extent>> = BTreeMap::new();
        parts.for_each(|(bottom, bytes)| below.entry(bottom).or_default().push(bytes));
        let mut new = 0_u64;
        for (bottom, bytes) in below {
            let known = self.counted.entry(bottom).or_default();
            // A byte of this device counts as often as this device has it.
            let fresh = bytes.iter().map(|bytes| bytes_of(&bytes.minus(known.iter().copied())));
            new = fresh.fold(new, u64::saturating_add);
            known.extend(bytes);
            *known = united(core::mem::take(known));
        }
        new
    }
}

/// Where bytes of a device lie at the bottom of the stack; of several copies the first stands for
/// all.
pub(crate) fn bottom(
    explainer: &Explainer,
    device: DeviceId,
    bytes: Extent,
) -> Vec<(DeviceId, Extent)> {
    let mut below = Vec::new();
    let walked = explainer.snapshot().down(device, bytes, &mut |visit| {
        if !visit.is_copy() {
            below.push((visit.device(), visit.here().span()));
        }
        ControlFlow::Continue(())
    });
    debug_assert!(walked.is_ok(), "the explainer asks about devices of its own stack");
    below
}
