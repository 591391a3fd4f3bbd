//! A directory of many chunks, each of one record, against plain lists.

use super::*;
use crate::map::{
    chunk::{Chunk, Entry},
    directory::Directory,
};

/// A chunk of one record, and how far earlier ones reach into it.
fn chunk(start: u64, len: u64, reach: u64) -> Chunk {
    let raw = Raw::of(&record(data(1), start, len, 0));
    let mut chunk = Chunk::new(Entry::pack_all(&[raw], 1));
    chunk.set_reach(0, reach);
    chunk
}

/// Start and end of every chunk's record, in order.
type Twin = Vec<(u64, u64)>;

/// How far records before `index` reach into it.
fn reach_into(twin: &Twin, index: usize) -> u64 {
    let greatest = twin[..index].iter().map(|(_, end)| *end).max().unwrap_or(0);
    if greatest > twin[index].0 { greatest } else { 0 }
}

fn agrees(directory: &Directory, twin: &Twin) {
    assert_eq!(directory.len(), twin.len());
    let position = |found: Option<usize>, none| found.unwrap_or(none);
    for (c, (start, end)) in twin.iter().copied().enumerate() {
        assert_eq!((directory.fence(c), directory.end(c)), (start, end));
        for probe in [start.saturating_sub(1), start, start + 1, end - 1, end] {
            let rank = twin.iter().rposition(|(start, _)| *start <= probe);
            assert_eq!(directory.rank(probe), position(rank, 0), "rank of {probe}");
            let after = (c..twin.len()).find(|c| twin[*c].1 > probe);
            assert_eq!(directory.next_ending_after(c, probe), after, "from {c} after {probe}");
        }
        let reached = (0..=c).find(|c| reach_into(twin, *c) > start);
        assert_eq!(directory.first_reached(c, start), position(reached, c + 1));
    }
    assert_eq!(directory.fence(twin.len()), u64::MAX);
    assert_eq!(directory.next_ending_after(twin.len(), 0), None);
}

/// Starts that ascend: even, in clusters, or both, and records of which some are very long.
fn drawn(draw: &mut Draw, n: usize) -> Twin {
    let (mut start, far) = (draw.below(1 << 20), draw.below(40));
    let step = |draw: &mut Draw| match draw.below(8) {
        0 => 1 << draw.below(far + 1),
        _ => 1 + draw.below(3),
    };
    let one = |_| {
        start += step(draw);
        let len = if draw.below(16) == 0 { 1 << (1 + draw.below(20)) } else { 1 };
        (start, start + len)
    };
    (0..n).map(one).collect()
}

fn directory_of(twin: &Twin) -> Directory {
    let mut directory = Directory::default();
    for (c, (start, end)) in twin.iter().copied().enumerate() {
        directory.push(chunk(start, end - start, reach_into(twin, c)));
    }
    directory
}

/// Works the reaches out anew, as a level does after a change.
fn refresh(directory: &mut Directory, twin: &Twin) {
    for c in 0..twin.len() {
        directory.chunk_mut(c).unwrap().set_reach(0, reach_into(twin, c));
        directory.describe(c);
    }
}

proptest! {
    #[test]
    fn chunks_are_found_as_in_a_list(seed: u64, n in 0..300_usize, changes in 0..20_usize) {
        let mut draw = Draw(seed);
        let mut twin = drawn(&mut draw, n);
        let mut directory = directory_of(&twin);
        agrees(&directory, &twin);
        directory.hint();
        directory.index();
        for _ in 0..changes {
            let c = draw.below(twin.len() as u64 + 1) as usize;
            let low = c.checked_sub(1).map_or(0, |before| twin[before].0 + 1);
            match (draw.below(4), twin.get(c).copied()) {
                (0, Some(_)) => {
                    directory.remove(c);
                    twin.remove(c);
                    directory.index();
                }
                (1, Some((start, _))) if low <= start => {
                    let moved = low + draw.below(start - low + 1);
                    twin[c] = (moved, start + 1 + draw.below(9));
                    directory.set(c, chunk(moved, twin[c].1 - moved, 0));
                }
                (_, next) if next.is_none_or(|(start, _)| low < start) => {
                    twin.insert(c, (low, low + 1 + draw.below(100)));
                    directory.insert(c, chunk(low, twin[c].1 - low, 0));
                    directory.index();
                }
                _ => {}
            }
            refresh(&mut directory, &twin);
        }
        agrees(&directory, &twin);
    }
}

#[test]
fn a_chunk_that_ends_elsewhere_is_noted_in_its_group() {
    let twin: Twin = (0..200).map(|c| (10 * c, 10 * c + 1)).collect();
    for c in [0, 1, 63, 64, 65, 127, 128, 199] {
        let mut directory = directory_of(&twin);
        directory.index();
        directory.set(c, chunk(twin[c].0, 5_000, 0));
        for from in 0..200 {
            let found = directory.next_ending_after(from, 4_000);
            assert_eq!(found, (from <= c).then_some(c), "from {from}");
        }
        directory.set(c, chunk(twin[c].0, 1, 0));
        assert_eq!(directory.next_ending_after(0, 4_000), None);
    }
}

#[test]
fn a_chunk_that_begins_elsewhere_is_found_there() {
    let twin: Twin = (1..100).map(|c| (1000 * c, 1000 * c + 1)).collect();
    for c in [0, 1, 50, 98] {
        let (mut directory, mut twin) = (directory_of(&twin), twin.clone());
        directory.index();
        twin[c] = (twin[c].0 - 900, twin[c].0 - 899);
        directory.set(c, chunk(twin[c].0, 1, 0));
        agrees(&directory, &twin);
    }
}
