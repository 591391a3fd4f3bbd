//! What a partition table leaves of a device.

use badrange_core::{DevOffset, Extent};

use super::Area;
use crate::{PartitionKind, PartitionTable, TableLabel};

/// Bytes of a GPT's entries, as every tool writes them: 128 entries of 128 bytes.
const GPT_ENTRIES_BYTES: u64 = 16 * 1024;

/// The areas of a partitioned device: the table, and what is in no partition. The table is there
/// even where a partition lies over it.
pub(super) fn partitioned(whole: Extent, table: &PartitionTable) -> Vec<(Extent, Area)> {
    let extents = |kind: PartitionKind| {
        let of_kind = table.entries.iter().filter(move |e| e.kind == kind);
        of_kind.map(|e| e.extent)
    };
    let logical: Vec<_> = extents(PartitionKind::Logical).collect();
    let mut own = table_extents(whole, table);
    for extended in extents(PartitionKind::Extended) {
        own.extend(extended.minus(logical.iter().copied()));
    }
    let held = extents(PartitionKind::Primary).chain(logical).chain(own.iter().copied());
    let free = whole.minus(held);
    let own = own.into_iter().map(|part| (part, Area::PartitionTable));
    let mut areas: Vec<_> =
        own.chain(free.into_iter().map(|part| (part, Area::Unpartitioned))).collect();
    areas.sort_by_key(|(part, _)| part.start());
    disjoint(areas)
}

/// Where the table itself stands, logical partitions aside.
fn table_extents(whole: Extent, table: &PartitionTable) -> Vec<Extent> {
    let at = |start: u64, len: u64| Extent::new(DevOffset::new(start), len).ok();
    match table.label {
        TableLabel::Dos => at(0, 512).into_iter().collect(),
        TableLabel::Gpt => {
            // The protective record and the header, one block each, then the entries; at the end
            // of the disk the entries again, then one block.
            let block = table.logical_block;
            let head = block.checked_mul(2).and_then(|h| at(0, h.checked_add(GPT_ENTRIES_BYTES)?));
            let tail = block.checked_add(GPT_ENTRIES_BYTES);
            let tail = tail.and_then(|len| at(whole.end().get().checked_sub(len)?, len));
            head.into_iter().chain(tail).collect()
        }
    }
}

/// Areas of one kind may touch or overlap (a GPT on a tiny disk): each byte once.
fn disjoint(areas: Vec<(Extent, Area)>) -> Vec<(Extent, Area)> {
    let mut out: Vec<(Extent, Area)> = Vec::new();
    for (part, area) in areas {
        let done = out.last().map_or(DevOffset::new(0), |(last, _)| last.end());
        out.extend(part.split_at(done).1.map(|rest| (rest, area)));
    }
    out
}
