//! Recovery writes against a walk sector by sector.

use proptest::prelude::*;

use super::*;
use crate::dm::{AccessLimit, NoRecovery, NotDax, RecoveryPiece, RecoveryRefused, RecoveryWrites};

/// A recovery write on a host with pages of 4 KiB.
fn of_table(table: &Table, asked: Extent) -> RecoveryWrites<'_> {
    RecoveryWrites::of_table(table, asked, PageSize::K4)
}

fn of_partition(partition: Window, asked: Extent) -> RecoveryWrites<'static> {
    RecoveryWrites::of_partition(partition, asked, PageSize::K4)
}

/// Targets long enough for pages, often at odds with them.
fn drawn() -> impl Strategy<Value = Drawn> {
    let leg = || (0..3_usize, prop_oneof![2 => (0..40_u64).prop_map(|p| p * 8), 1 => 0..300_u64]);
    let len = || prop_oneof![2 => (1..12_u64).prop_map(|p| p * 8), 1 => 1..90_u64];
    let chunk = prop_oneof![2 => (1..5_u64).prop_map(|p| p * 8), 1 => 1..40_u64];
    prop_oneof![
        2 => (leg(), len()).prop_map(|((device, offset), len)| Drawn::Linear { device, offset, len }),
        3 => (chunk, 1..5_u64, prop::collection::vec(leg(), 1..4))
            .prop_map(|(chunk, rows, legs)| Drawn::Striped { chunk, rows, legs }),
        1 => len().prop_map(|len| Drawn::Error { len }),
        1 => len().prop_map(|len| Drawn::Zero { len }),
    ]
}

/// What one access is, in bytes: start, length, and where to or why not.
type Item = (u64, u64, Result<(u32, u64, u64, AccessLimit), NoRecovery>);

fn items(writes: RecoveryWrites<'_>) -> Vec<Item> {
    let at = |upper: Extent| (upper.start().get(), upper.len());
    writes
        .map(|item| match item {
            Ok(RecoveryPiece { leg, upper, lower, astray, limit }) => {
                assert_eq!(upper.len(), lower.len());
                let (start, len) = at(upper);
                (start, len, Ok((leg.index(), lower.start().get(), astray, limit)))
            }
            Err(RecoveryRefused { upper, why }) => {
                let (start, len) = at(upper);
                (start, len, Err(why))
            }
        })
        .collect()
}

/// What a walk depends on besides the table.
struct Host<'a> {
    page: u64,
    starts: &'a [Sector],
    cut_off: bool,
}

/// Sector by sector: which target, which chunk of it, which sector of which leg.
struct Sectors {
    at: Vec<(usize, u64, Slot)>,
    names: Vec<Option<&'static str>>,
}

impl Sectors {
    fn of(targets: &[Drawn]) -> Self {
        let slots = draw(targets);
        let mut at = Vec::new();
        for (number, target) in targets.iter().enumerate() {
            let chunk = match target {
                Drawn::Striped { chunk, .. } => *chunk,
                Drawn::Linear { .. } | Drawn::Error { .. } | Drawn::Zero { .. } => u64::MAX,
            };
            for o in 0..target.sectors() {
                at.push((number, o / chunk, slots[at.len() * UNITS_PER_SECTOR as usize]));
            }
        }
        let name = |target: &Drawn| match target {
            Drawn::Linear { .. } | Drawn::Striped { .. } => None,
            Drawn::Error { .. } => Some("error"),
            Drawn::Zero { .. } => Some("zero"),
        };
        Self { at, names: targets.iter().map(name).collect() }
    }

    /// The access at `pos` of a request that ends at `end`, in bytes.
    fn access(&self, host: &Host<'_>, pos: u64, end: u64) -> Item {
        let (page, page_sectors) = (host.page, host.page / 512);
        let refused = |len: u64, why| (pos, len.min(end - pos), Err(why));
        if pos % page != 0 || end - pos < page {
            return refused(page - pos % page, NoRecovery::PartOfPage);
        }
        let s = pos / 512;
        let Some((target, chunk, slot)) = self.at.get(s as usize).copied() else {
            return refused(end - pos, NoRecovery::NoTarget);
        };
        if let Some(name) = self.names[target] {
            let same =
                (s..).take_while(|s| self.at.get(*s as usize).is_some_and(|x| x.0 == target));
            let len = (same.count() as u64 * 512).div_ceil(page) * page;
            return refused(len, NoRecovery::Virtual(name.to_owned()));
        }
        // Sectors that one access could go over, whatever was asked, and why it ends there.
        let same =
            |s: &u64| self.at.get(*s as usize).is_some_and(|x| (x.0, x.1) == (target, chunk));
        let most = (s..).take_while(same).count() as u64;
        let next = self.at.get((s + most) as usize);
        let whole_target = next.is_none_or(|x| x.0 != target);
        let limit = match (most < (end - pos) / 512 || most * 512 < end - pos, whole_target) {
            (false, _) => AccessLimit::Asked,
            (true, true) => AccessLimit::Target,
            (true, false) => AccessLimit::Chunk,
        };
        let sectors = most.min((end - pos) / 512) / page_sectors * page_sectors;
        if sectors == 0 {
            return refused(page, NoRecovery::ShortOfPage);
        }
        let Slot::On { leg, unit } = slot else { panic!("a target with legs") };
        let start = host.starts.get(leg as usize).map_or(0, |start| start.get());
        let below = start + unit / UNITS_PER_SECTOR;
        // The sectors follow one another on the leg: that is what makes it one access.
        for i in 0..sectors {
            let unit = unit + i * UNITS_PER_SECTOR;
            assert_eq!(self.at[(s + i) as usize].2, Slot::On { leg, unit });
        }
        let astray = below % page_sectors;
        if astray != 0 && !host.cut_off {
            return refused(sectors * 512, NoRecovery::Unaligned);
        }
        (pos, sectors * 512, Ok((leg, (below - astray) * 512, astray * 512, limit)))
    }

    fn walk(&self, host: &Host<'_>, start: u64, len: u64) -> Vec<Item> {
        let (mut pos, end) = (start, start + len);
        let mut all = Vec::new();
        while pos < end {
            let item = self.access(host, pos, end);
            pos += item.1;
            all.push(item);
        }
        all
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn recovery_writes_are_those_of_a_walk_by_sectors(
        targets in prop::collection::vec(drawn(), 1..5),
        starts in prop::collection::vec(prop_oneof![Just(0_u64), 0..64_u64, Just(2048)], 0..6),
        asked in prop::collection::vec((0..60_u64, 1..40_u64, 0..3_u64, 0..3_u64), 6),
        cut_off in any::<bool>(),
        page in prop_oneof![
            3 => Just(PageSize::K4), 1 => Just(PageSize::K16), 1 => (9..13_u32).prop_map(|shift| PageSize::new(1 << shift).unwrap())
        ],
    ) {
        let device = table(&targets);
        let picture = Sectors::of(&targets);
        let starts: Vec<_> = starts.into_iter().map(Sector::new).collect();
        let host = Host { page: page.bytes(), starts: &starts, cut_off };
        for (first, pages, before, after) in asked {
            // Sometimes a few hundred bytes more or less than whole pages.
            let (start, len) = (first * 4096 + before * 300, pages * 4096 + after * 700);
            let extent = Extent::new(DevOffset::new(start), len).unwrap();
            let writes = RecoveryWrites::of_table(&device, extent, page).with_starts(&starts);
            let writes = if cut_off { writes.cutting_off() } else { writes };
            let said = items(writes);
            prop_assert_eq!(&said, &picture.walk(&host, start, len));
            // Every byte once, in order, and nothing but pages is written.
            let mut next = start;
            for (at, len, to) in &said {
                prop_assert_eq!(*at, next);
                next = at + len;
                prop_assert!(to.is_err() || (at % host.page, len % host.page) == (0, 0));
            }
            prop_assert_eq!(next, start + len);
        }
    }

    #[test]
    fn exact_pieces_are_where_map_puts_the_bytes(
        targets in prop::collection::vec(drawn(), 1..5), page in 0..40_u64, pages in 1..40_u64,
    ) {
        let device = table(&targets);
        let asked = Extent::new(DevOffset::new(page * 4096), pages * 4096).unwrap();
        for piece in of_table(&device, asked).flatten() {
            for part in map(&device, piece.upper) {
                let Mapped::To { leg, link } = part else { panic!("on a leg") };
                prop_assert_eq!(leg, piece.leg);
                let upper = link.upper().first();
                let moved = upper.rebase(piece.upper.start(), piece.lower.start()).unwrap();
                prop_assert_eq!(Run::from(moved), link.lower());
            }
        }
    }

    #[test]
    fn any_range_comes_to_an_end(
        targets in prop::collection::vec(drawn(), 1..4), start in any::<u64>(), len in 1..u64::MAX,
        first in any::<u64>(),
    ) {
        let device = table(&targets);
        let Ok(asked) = Extent::new(DevOffset::new(start), len) else { return Ok(()) };
        let starts = [Sector::new(first); 3];
        let layers = [
            of_table(&device, asked),
            of_table(&device, asked).with_starts(&starts).cutting_off(),
            of_partition(Window::new(asked), asked),
        ];
        for layer in layers {
            let all = items(layer);
            prop_assert!(all.len() < 2000);
            prop_assert_eq!(all.iter().map(|item| item.1).sum::<u64>(), len);
        }
    }
}

fn pages(start: u64, len: u64) -> Extent {
    Extent::new(DevOffset::new(start * 4096), len * 4096).unwrap()
}

#[test]
fn a_stripe_writes_chunk_by_chunk() {
    let table = Table::parse("0 96 striped 3 16 A 2048 B 2048 C 2048").unwrap();
    let found = items(of_table(&table, pages(1, 6)));
    let at = |sector: u64| sector * 512;
    assert_eq!(
        found,
        [
            (4096, 4096, Ok((0, at(2056), 0, AccessLimit::Chunk))),
            (8192, 8192, Ok((1, at(2048), 0, AccessLimit::Chunk))),
            (16384, 8192, Ok((2, at(2048), 0, AccessLimit::Chunk))),
            (24576, 4096, Ok((0, at(2064), 0, AccessLimit::Asked))),
        ]
    );
    // One stripe is cut at chunks as well: the kernel limits its length all the same.
    let single = Table::parse("0 48 striped 1 16 A 0").unwrap();
    let found = items(of_table(&single, pages(0, 7)));
    assert_eq!(found.iter().map(|item| item.1).collect::<Vec<_>>(), [8192, 8192, 8192, 4096]);
    assert_eq!(found[2].2, Ok((0, 16384, 0, AccessLimit::Target)));
    assert_eq!(found[3].2, Err(NoRecovery::NoTarget));
}

#[test]
fn a_write_through_an_unaligned_target_goes_astray_on_linux() {
    // Seen on real kernels: such a device offers direct access, and mounts.
    let table = Table::parse("0 4096 linear A 8193").unwrap();
    let found = items(of_table(&table, pages(2, 1)));
    assert_eq!(found, [(8192, 4096, Err(NoRecovery::Unaligned))]);
    // Sector 8209 is meant; page 1026 begins at sector 8208.
    let found = items(of_table(&table, pages(2, 1)).cutting_off());
    assert_eq!(found, [(8192, 4096, Ok((0, 8208 * 512, 512, AccessLimit::Asked)))]);
    // Only the sum counts: a partition that begins at sector 7 makes it whole again.
    let starts = [Sector::new(7)];
    let writes = of_table(&table, pages(2, 1)).with_starts(&starts);
    assert_eq!(items(writes), [(8192, 4096, Ok((0, 8216 * 512, 0, AccessLimit::Asked)))]);
}

#[test]
fn partitions_are_aligned_or_have_no_direct_access() {
    let partition = |start, len| Window::new(sectors(start, len));
    let found = items(of_partition(partition(2048, 16), pages(0, 3)));
    let whole = Ok((0, 2048 * 512, 0, AccessLimit::Target));
    assert_eq!(found, [(0, 8192, whole), (8192, 4096, Err(NoRecovery::NoTarget))]);
    for (start, len) in [(2049, 16), (2048, 17)] {
        let found = items(of_partition(partition(start, len), pages(0, 2)).cutting_off());
        assert!(found.iter().all(|item| item.2 == Err(NoRecovery::Unaligned)), "{found:?}");
    }
}

#[test]
fn one_target_without_direct_access_takes_it_from_the_table() {
    let dax = |text: &str| Table::parse_known((1..).zip(text.lines())).unwrap().0.dax(|_| true);
    let because = |target, name: &str| Err(NotDax::Target { target, name: name.into() });
    assert_eq!(dax("0 8 linear A 0\n8 16 striped 2 8 A 8 B 8"), Ok(()));
    assert_eq!(dax("0 8 linear A 0\n8 8 error"), because(1, "error"));
    assert_eq!(dax("0 8 zero\n8 8 error"), because(0, "zero"));
    assert_eq!(dax("0 8 crypt aes - 0 A 0"), because(0, "crypt"));
    assert_eq!(dax("0 8 snapshot-origin A"), because(0, "snapshot-origin"));
    let table = Table::parse("0 16 striped 2 8 A 8 B 8").unwrap();
    assert_eq!(table.dax(|leg| leg.index() == 0), Err(NotDax::Leg(Leg::new(1))));
    let text = because(1, "error").map_err(|err| err.to_string());
    assert_eq!(text, Err("target 1 is \"error\", which has no direct access".to_owned()));
}

#[test]
fn a_virtual_target_says_that_it_cannot_clear() {
    let table = Table::parse("0 20 error\n20 12 linear A 0").unwrap();
    let found = items(of_table(&table, pages(0, 4)));
    // The page in which the error target ends begins in it: that page is its.
    let error = Err(NoRecovery::Virtual("error".into()));
    assert_eq!(found[0], (0, 3 * 4096, error));
    assert_eq!(found[1], (3 * 4096, 4096, Err(NoRecovery::Unaligned)));
    let words = NoRecovery::Virtual("error".into()).to_string();
    assert_eq!(words, "a target of type \"error\" cannot clear poison");
}
