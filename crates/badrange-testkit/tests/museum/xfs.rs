//! How a failed range is cut to the part that a filesystem has.

use core::ops::ControlFlow;

use badrange_core::{Leg, Mapping, Window};
use badrange_fs::{FileId, Fork, Owner, Record, ReverseMap};

use super::{Range, at, plain};

/// What of `start..start + len` of the disk is in the partition, in its own bytes: byte by byte.
fn truth((from, size): (u64, u64), (start, len): (u64, u64)) -> Range {
    let hit: Vec<u64> = (start..start + len).filter(|b| (from..from + size).contains(b)).collect();
    Some((hit.first()? - from, hit.len() as u64))
}

/// The same from this workspace.
fn ours((from, size): (u64, u64), (start, len): (u64, u64)) -> Range {
    let mut found = Vec::new();
    let partition = Window::new(at(from, size));
    let _ = partition.rmap(Leg::new(0), at(start, len).into(), &mut |link| {
        found.push(plain(link.upper().first()));
        ControlFlow::Continue(())
    });
    assert!(found.len() <= 1);
    found.first().copied()
}

/// The clip as merged in 2022: ends that include and ends that do not are mixed.
fn of_2022((from, size): (u64, u64), (mut start, mut len): (u64, u64)) -> Range {
    let last = from + size - 1;
    if start + len < from || start > last {
        return None;
    }
    if start > from {
        start -= from;
    } else {
        len -= from - start;
        start = 0;
    }
    if start + len > last {
        len -= last - start;
    }
    Some((start, len))
}

/// The clip since then: off-by-ones repaired, but the end is still compared after the start moved.
fn of_today((from, size): (u64, u64), (mut start, mut len): (u64, u64)) -> Range {
    let last = from + size - 1;
    if start + len - 1 < from || start > last {
        return None;
    }
    if start > from {
        start -= from;
    } else {
        len -= from - start;
        start = 0;
    }
    if start + len - 1 > last {
        len = last - start + 1;
    }
    Some((start, len))
}

/// Every partition and every range of a small disk.
fn small() -> impl Iterator<Item = ((u64, u64), (u64, u64))> {
    let ranges = || (0..12_u64).flat_map(|start| (1..=12 - start).map(move |len| (start, len)));
    ranges().flat_map(move |partition| ranges().map(move |bad| (partition, bad)))
}

fn wrong_on(clip: fn((u64, u64), (u64, u64)) -> Range) -> usize {
    small().filter(|(partition, bad)| clip(*partition, *bad) != truth(*partition, *bad)).count()
}

#[test]
fn xfs_clipped_one_byte_short_in_2022() {
    // A whole disk of 1 MiB, all of it bad: one byte was left to notify about.
    let (disk, bad) = ((0, 1 << 20), (0, 1 << 20));
    assert_eq!(of_2022(disk, bad), Some((0, 1)));
    assert_eq!(ours(disk, bad), Some((0, 1 << 20)));
    // What only touches the start was taken for a hit.
    assert_eq!(of_2022((4096, 4096), (0, 4096)), Some((0, 0)));
    assert_eq!(ours((4096, 4096), (0, 4096)), None);
    assert!(wrong_on(of_2022) > 0);
    assert_eq!(wrong_on(ours), 0);
}

#[test]
fn xfs_still_compares_a_moved_start_with_an_unmoved_end() {
    const GIB: u64 = 1 << 30;
    // A partition of 1 GiB at 1 GiB; the second half of it fails, and as much again.
    let (partition, bad) = ((GIB, GIB), (3 * GIB / 2, 2 * GIB));
    assert_eq!(of_today(partition, bad), Some((GIB / 2, 3 * GIB / 2)), "beyond the partition");
    assert_eq!(ours(partition, bad), Some((GIB / 2, GIB / 2)));
    // On a whole disk it is right, and so for one page: that is why nobody saw it.
    assert!((0..8).all(|i| of_today((0, 8), (i, 1)) == truth((0, 8), (i, 1))));
    assert!(wrong_on(of_today) > 0);
}

/// Blocks of one group that a walk looks at: from `low` to the last one, which is `high`; all of a
/// group before the last one says so with all bits set.
struct Walk {
    low: u32,
    high: u32,
    group_blocks: u32,
}

impl Walk {
    /// As first merged: the last block is taken for the end.
    fn of_2022(&self) -> u32 {
        self.group_blocks.min(self.high) - self.low
    }

    /// Since 6.14: one is added before the smaller is taken, and there it wraps.
    fn of_6_14(&self) -> u32 {
        self.group_blocks.min(self.high.wrapping_add(1)).wrapping_sub(self.low)
    }

    fn truth(&self) -> u32 {
        (self.low..self.group_blocks).filter(|block| *block <= self.high).count() as u32
    }
}

/// What a map of one file over the group tells of the same blocks.
fn blocks_told(walk: &Walk) -> u64 {
    let owner = Owner::File { id: FileId::Ino(131), fork: Fork::Data };
    let extent = at(0, u64::from(walk.group_blocks) * 4096);
    let file_start = badrange_core::FileOffset::new(0);
    let map: ReverseMap =
        [Record { extent, owner, file_start, unwritten: false }].into_iter().collect();
    let end = u64::from(walk.high) + 1;
    let mut told = 0;
    let asked = at(u64::from(walk.low) * 4096, (end - u64::from(walk.low)) * 4096);
    let _ = map.owners(asked, &mut |owned| {
        told += owned.device.len() / 4096;
        ControlFlow::Continue(())
    });
    told
}

#[test]
fn xfs_walked_one_block_less_of_each_group() {
    // The last block of a range was never looked at; of a range of one block, nothing was.
    let one = Walk { low: 24, high: 24, group_blocks: 32_640 };
    assert_eq!((one.of_2022(), one.truth()), (0, 1));
    assert_eq!(blocks_told(&one), 1);
}

#[test]
fn xfs_walks_four_billion_blocks_of_every_group_but_the_last() {
    // Recorded on 7.2: a count of 2^32 - 24, and an unbind that does not come back.
    let whole = Walk { low: 24, high: u32::MAX, group_blocks: 32_640 };
    assert_eq!(whole.of_6_14(), u32::MAX - 23);
    assert_eq!(whole.truth(), 32_616);
    assert_eq!(blocks_told(&whole), 32_616);
}
