//! What is measured: extents and queries, the same for every seed and machine.

use badrange_core::{DevOffset, Extent, FileOffset};
use badrange_fs::{FileId, Fork, Owner, Record};

/// Bytes of a block.
pub const BLOCK: u64 = 4096;

/// A set of extents, as the measurements of candidate structures used them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Lengths of 1 to 64 blocks, and a free gap of 1 to 64 after one extent in five: one owner
    /// per byte.
    Disjoint,
    /// The same, and one extent in ten has 1 to 7 more owners: half of them on the same range,
    /// half on a part of it.
    Reflinked,
    /// [`Self::Reflinked`], under one extent over everything.
    Giant,
}

impl Shape {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Disjoint, Self::Reflinked, Self::Giant];

    /// As tables write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Disjoint => "disjoint",
            Self::Reflinked => "reflinked",
            Self::Giant => "giant",
        }
    }
}

/// The disjoint set, one record after the other.
#[derive(Debug)]
pub struct Stream {
    rng: fastrand::Rng,
    at: u64,
}

impl Stream {
    /// From a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { rng: fastrand::Rng::with_seed(seed), at: 0 }
    }

    /// The next record.
    pub fn next_record(&mut self) -> Record {
        let blocks = self.rng.u64(1..=64);
        let record = file(&mut self.rng, self.at, blocks);
        self.at += blocks;
        if self.rng.u8(0..5) == 0 {
            self.at += self.rng.u64(1..=64);
        }
        record
    }
}

/// Records in ascending order of start; `n` counts those without the shares and the giant.
#[must_use]
pub fn records(shape: Shape, n: usize, seed: u64) -> Vec<Record> {
    let mut stream = Stream::new(seed);
    let mut rng = fastrand::Rng::with_seed(seed ^ 1);
    let mut all = Vec::with_capacity(if shape == Shape::Disjoint { n } else { n * 3 / 2 });
    for _ in 0..n {
        let record = stream.next_record();
        all.push(record);
        if shape != Shape::Disjoint && rng.u8(..) < 26 {
            let (at, len) = (record.extent.start().get(), record.extent.len());
            share(&mut rng, &mut all, at / BLOCK, len / BLOCK);
        }
    }
    if shape == Shape::Giant {
        all.push(file(&mut rng, 0, stream.at));
    }
    all.sort_unstable_by_key(|record| (record.extent.start(), record.owner, record.file_start));
    all
}

/// More owners of a range.
fn share(rng: &mut fastrand::Rng, all: &mut Vec<Record>, at: u64, blocks: u64) {
    for _ in 0..rng.u8(1..=7) {
        let (skip, len) = if rng.bool() || blocks == 1 {
            (0, blocks)
        } else {
            let skip = rng.u64(0..blocks);
            (skip, rng.u64(1..=blocks - skip))
        };
        all.push(file(rng, at + skip, len));
    }
}

fn file(rng: &mut fastrand::Rng, block: u64, blocks: u64) -> Record {
    Record {
        extent: extent(block, blocks),
        owner: Owner::File { id: FileId::Ino(rng.u64(1..1 << 32)), fork: Fork::Data },
        file_start: FileOffset::new(rng.u64(0..1 << 28) * BLOCK),
        unwritten: rng.u8(..) == 0,
    }
}

/// Blocks as bytes.
///
/// # Panics
/// For no blocks, and beyond 64 bits: the sets above stay far from both.
#[must_use]
pub fn extent(block: u64, blocks: u64) -> Extent {
    Extent::new(DevOffset::new(block * BLOCK), blocks * BLOCK).expect("a few TiB")
}

/// Starts of queries of `blocks` blocks, uniform over the device of these records.
#[must_use]
pub fn queries(records: &[Record], blocks: u64, count: usize, seed: u64) -> Vec<u64> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let end = records.iter().map(|r| r.extent.end().get()).max().unwrap_or(BLOCK) / BLOCK;
    let last = end.saturating_sub(blocks).max(1);
    (0..count).map(|_| rng.u64(0..last) * BLOCK).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_the_same_for_a_seed_and_have_their_shape() {
        for shape in Shape::ALL {
            let set = records(shape, 1000, 7);
            assert_eq!(set, records(shape, 1000, 7));
            assert!(set.is_sorted_by_key(|r| r.extent.start()));
            let overlaps = set.windows(2).any(|w| w[0].extent.intersect(w[1].extent).is_some());
            assert_eq!(overlaps, shape != Shape::Disjoint);
        }
        let disjoint = records(Shape::Disjoint, 10_000, 7);
        let end = disjoint[9_999].extent.end().get() / BLOCK;
        assert!((36..42).contains(&(end / 10_000)), "39 blocks per extent on average");
    }
}
