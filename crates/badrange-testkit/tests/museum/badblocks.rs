//! Lists of bad sectors.

use std::collections::BTreeSet;

use badrange_core::Sector;
use badrange_input::parse_badblocks;
use badrange_pmem::Badblocks;

use super::at;

/// The table of the kernel before its rewrite, as far as the mistake goes: a new range is merged
/// into the record before it, and what is left goes behind the next one, whose sectors it takes as
/// done. In sectors, one acknowledged state.
#[derive(Default)]
struct OldTable(Vec<(u64, u64)>);

impl OldTable {
    fn set(&mut self, start: u64, len: u64) {
        let end = start + len;
        let before = self.0.iter().rposition(|(s, _)| *s <= start);
        let Some(before) = before.filter(|i| self.0[*i].0 + self.0[*i].1 >= start) else {
            let place = self.0.partition_point(|(s, _)| *s < start);
            self.0.insert(place, (start, len));
            return;
        };
        // Grows the record up to the next one, swallows that, and stops there: whatever the new
        // range has behind the second record is lost.
        let next = self.0.get(before + 1).copied();
        let reached = match next {
            Some((s, l)) if s <= end => {
                self.0.remove(before + 1);
                s + l
            }
            _ => end,
        };
        let record = &mut self.0[before];
        record.1 = reached.max(record.0 + record.1) - record.0;
    }

    fn sectors(&self) -> BTreeSet<u64> {
        self.0.iter().flat_map(|(s, l)| *s..s + l).collect()
    }
}

fn ours(sets: &[(u64, u64)]) -> BTreeSet<u64> {
    let bad = Badblocks::new();
    for (start, len) in sets {
        bad.set(at(start * 512, len * 512));
    }
    bad.list().iter().flat_map(|e| e.start().get()..e.end().get()).collect()
}

#[test]
fn the_kernel_merged_a_range_over_several_records_in_part() {
    let sets = [(32, 1), (34, 1), (36, 1), (32, 12)];
    let mut old = OldTable::default();
    sets.iter().for_each(|(start, len)| old.set(*start, *len));
    // As it was reported: three sectors and a single one, of twelve.
    assert_eq!(old.0, [(32, 3), (36, 1)]);
    assert_eq!(ours(&sets), (32..44).collect());
    let bad = Badblocks::new();
    sets.iter().for_each(|(start, len)| {
        let _ = bad.set(at(start * 512, len * 512));
    });
    assert_eq!(bad.to_string(), "32 12");
}

#[test]
fn every_small_sequence_of_bad_ranges_is_the_union_of_them() {
    let ranges: Vec<(u64, u64)> =
        (0..6_u64).flat_map(|start| (1..=6 - start).map(move |len| (start, len))).collect();
    let mut wrong = 0;
    for a in &ranges {
        for b in &ranges {
            for c in &ranges {
                let sets = [*a, *b, *c];
                let due: BTreeSet<u64> = sets.iter().flat_map(|(s, l)| *s..s + l).collect();
                assert_eq!(ours(&sets), due, "{sets:?}");
                let mut old = OldTable::default();
                sets.iter().for_each(|(start, len)| old.set(*start, *len));
                wrong += usize::from(old.sectors() != due);
            }
        }
    }
    assert!(wrong > 0);
}

/// Takes every line for a whole one.
fn every_line(text: &str) -> Vec<(u64, u64)> {
    let words = |line: &str| {
        let (start, len) = line.split_once(' ')?;
        Some((start.parse().ok()?, len.parse().ok()?))
    };
    text.lines().filter_map(words).collect()
}

#[test]
fn sysfs_cuts_a_long_list_in_the_middle_of_a_line() {
    let lines = (0..400_u64).map(|i| format!("{} 512\n", 1_000_000 + 1024 * i));
    let whole: String = core::iter::once("0 512\n".to_owned()).chain(lines).collect();
    let cut = &whole[..4095];
    assert!(cut.ends_with("\n1348160 5"), "of the last line's 512 there is one digit");
    assert_eq!(every_line(cut).last(), Some(&(1_348_160, 5)));
    let list = parse_badblocks(cut.as_bytes()).unwrap();
    assert!(list.truncated, "and it says that there is more");
    assert_eq!(list.ranges.len() + 1, every_line(cut).len());
    assert!(list.ranges.iter().all(|range| range.extent.len() == 512 * 512));
    assert_eq!(list.ranges.last().unwrap().extent.start().get(), (1_348_160 - 1024) * 512);
}

#[test]
fn a_list_in_an_unnamed_unit_is_refused() {
    // What badblocks(8) prints: one number per line, in blocks of 1 KiB unless it was told
    // otherwise. Taken for sectors it is half of where the damage is; for 4 KiB blocks, four times.
    let text = "1932632\n1932633\n";
    let as_sectors: Vec<u64> =
        text.lines().map(|line| line.parse::<u64>().unwrap() * 512).collect();
    assert_eq!(as_sectors[0], 1_932_632 * 1024 / 2);
    let err = parse_badblocks(text.as_bytes()).unwrap_err();
    assert_eq!(err.line(), Some(1));
}

#[test]
fn a_byte_beside_an_error_is_not_an_error() {
    // An extent that ends where a bad one begins: inclusive ends called it damaged, by zero bytes.
    let touches = |(a, b): (u64, u64), (c, d): (u64, u64)| a <= d && c <= b;
    assert!(touches((0, 8), (8, 16)), "a file of sectors 0..8, and a bad range from 8 on");
    let bad = Badblocks::new();
    bad.set(at(8 * 512, 8 * 512));
    assert_eq!(bad.check(at(0, 8 * 512)), None);
    assert_eq!(bad.check(at(0, 8 * 512 + 1)).map(|e| e.start()), Some(Sector::new(8)));
}
