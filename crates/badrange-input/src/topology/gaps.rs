//! What is left of a device when everything known is taken away.

use badrange_core::{DevOffset, Extent};

use super::Area;
use crate::{PartitionKind, PartitionTable, TableLabel};

/// Bytes of a GPT's entries, as every tool writes them: 128 entries of 128 bytes.
const GPT_ENTRIES_BYTES: u64 = 16 * 1024;

/// The parts of `whole` that are in none of `taken`, ascending. `taken` may overlap and be in any
/// order.
///
/// # Examples
/// ```
/// use badrange_core::{DevOffset, Extent};
/// use badrange_input::gaps;
/// let at = |start, len| Extent::new(DevOffset::new(start), len).unwrap();
/// assert_eq!(gaps(at(0, 100), vec![at(40, 10), at(0, 5)]), [at(5, 35), at(50, 50)]);
/// ```
#[must_use]
pub fn gaps(whole: Extent<DevOffset>, mut taken: Vec<Extent<DevOffset>>) -> Vec<Extent<DevOffset>> {
    taken.sort();
    let mut free = Vec::new();
    let mut rest = Some(whole);
    for hole in taken {
        let Some(part) = rest else { break };
        let (before, after) = part.without(hole);
        free.extend(before);
        rest = after;
    }
    free.extend(rest);
    free
}

/// The areas of a partitioned device: the table, and what is in no partition. The table is there
/// even where a partition lies over it.
pub(super) fn partitioned(
    whole: Extent<DevOffset>,
    table: &PartitionTable,
) -> Vec<(Extent<DevOffset>, Area)> {
    let extents = |kind: PartitionKind| {
        let of_kind = table.entries.iter().filter(move |e| e.kind == kind);
        of_kind.map(|e| e.extent)
    };
    let logical: Vec<_> = extents(PartitionKind::Logical).collect();
    let mut own = table_extents(whole, table);
    for extended in extents(PartitionKind::Extended) {
        own.extend(gaps(extended, logical.clone()));
    }
    let held = extents(PartitionKind::Primary).chain(logical).chain(own.iter().copied());
    let free = gaps(whole, held.collect());
    let own = own.into_iter().map(|part| (part, Area::PartitionTable));
    let mut areas: Vec<_> =
        own.chain(free.into_iter().map(|part| (part, Area::Unpartitioned))).collect();
    areas.sort_by_key(|(part, _)| part.start());
    disjoint(areas)
}

/// Where the table itself stands, logical partitions aside.
fn table_extents(whole: Extent<DevOffset>, table: &PartitionTable) -> Vec<Extent<DevOffset>> {
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
fn disjoint(areas: Vec<(Extent<DevOffset>, Area)>) -> Vec<(Extent<DevOffset>, Area)> {
    let mut out: Vec<(Extent<DevOffset>, Area)> = Vec::new();
    for (part, area) in areas {
        let done = out.last().map_or(DevOffset::new(0), |(last, _)| last.end());
        out.extend(part.split_at(done).1.map(|rest| (rest, area)));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(start: u64, len: u64) -> Extent<DevOffset> {
        Extent::new(DevOffset::new(start), len).unwrap()
    }

    #[test]
    fn gaps_and_what_is_taken_make_up_the_whole() {
        let taken = vec![at(30, 10), at(0, 5), at(32, 20), at(90, 20)];
        assert_eq!(gaps(at(0, 100), taken), [at(5, 25), at(52, 38)]);
        assert_eq!(gaps(at(0, 10), vec![at(0, 10)]), []);
        assert_eq!(gaps(at(10, 10), vec![at(0, 5), at(25, 5)]), [at(10, 10)]);
    }
}
