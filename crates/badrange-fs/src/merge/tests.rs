//! Merging against a byte by byte twin that compares every pair, and every line of the tables.

#![expect(clippy::arithmetic_side_effects, reason = "small numbers, and a panic is a failed test")]

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::{FileId, Fork, testing::*};

fn claim(record: Record, kind: MapKind, file: u32, line: u64) -> Claim {
    Claim { record, shared: false, kind, source: Source { file, line } }
}

/// A row of an fsmap; map 0.
fn row(record: Record, line: u64) -> Claim {
    claim(record, MapKind::Complete, 0, line)
}

/// An extent of a filefrag; map 1.
fn frag(record: Record, line: u64) -> Claim {
    claim(record, MapKind::Files, 1, line)
}

fn shared(claim: Claim) -> Claim {
    Claim { shared: true, ..claim }
}

fn merge(claims: &[Claim]) -> Result<Vec<Record>, MergeError> {
    let mut merge = Merge::new();
    merge.extend(claims.iter().copied());
    merge.build().map(|map| map.iter().collect())
}

/// An owner and its file byte.
type ByteFact = (Owner, Option<u64>);

fn fact_at(record: &Record, byte: u64) -> ByteFact {
    let placed = matches!(record.owner, Owner::File { fork: Fork::Data | Fork::Attr, .. });
    let by = byte - record.extent.start().get();
    (record.owner, placed.then(|| record.file_start.get() + by))
}

fn is_file(owner: Owner) -> bool {
    matches!(owner, Owner::File { .. })
}

fn is_data(owner: Owner) -> bool {
    matches!(owner, Owner::File { fork: Fork::Data, .. })
}

fn is_name(owner: Owner) -> bool {
    matches!(owner, Owner::File { id: FileId::Name(_), .. })
}

/// The naive twin: the claims on one byte, each pair compared.
struct Byte<'a> {
    at: u64,
    claims: Vec<&'a Claim>,
}

impl<'a> Byte<'a> {
    fn new(at: u64, claims: &'a [Claim]) -> Self {
        let covers = |c: &&Claim| c.record.extent.contains(DevOffset::new(at));
        Self { at, claims: claims.iter().filter(covers).collect() }
    }

    fn fact(&self, claim: &Claim) -> ByteFact {
        fact_at(&claim.record, self.at)
    }

    /// What each complete map names here, if it names files.
    fn named(&self) -> BTreeMap<u32, BTreeSet<ByteFact>> {
        let mut named: BTreeMap<u32, BTreeSet<ByteFact>> = BTreeMap::new();
        for claim in &self.claims {
            if claim.kind == MapKind::Complete && is_file(claim.record.owner) {
                named.entry(claim.source.file).or_default().insert(self.fact(claim));
            }
        }
        named
    }

    fn is_flagged(&self, fact: ByteFact) -> bool {
        self.claims.iter().any(|c| self.fact(c) == fact && c.shared)
    }

    fn contradicts(&self, one: &Claim, other: &Claim) -> bool {
        let (a, b) = (self.fact(one), self.fact(other));
        if a == b {
            return false;
        }
        if a.0 == UNKNOWN || b.0 == UNKNOWN {
            let complete = one.kind == MapKind::Complete && other.kind == MapKind::Complete;
            let one_map = complete && one.source.file == other.source.file;
            return one_map || a.0 == FREE || b.0 == FREE;
        }
        if !is_data(a.0) || !is_data(b.0) {
            return true;
        }
        let named = self.named();
        if named.is_empty() {
            let alone = !self.is_flagged(a) && !self.is_flagged(b);
            return alone && (a.1 != b.1 || !(is_name(a.0) || is_name(b.0)));
        }
        let lists = |facts: &BTreeSet<ByteFact>, fact: ByteFact| match is_name(fact.0) {
            true => facts.iter().any(|f| f.1 == fact.1),
            false => facts.contains(&fact),
        };
        named.values().any(|facts| !lists(facts, a) || !lists(facts, b))
    }

    fn is_contradiction(&self) -> bool {
        let pairs = self.claims.iter().flat_map(|a| self.claims.iter().map(move |b| (a, b)));
        pairs.into_iter().any(|(a, b)| self.contradicts(a, b))
    }

    /// Whether two facts here can only be about one file.
    fn one_file(&self, a: ByteFact, b: ByteFact) -> bool {
        if a == b {
            return true;
        }
        if !is_data(a.0) || !is_data(b.0) || a.1 != b.1 {
            return false;
        }
        let named: BTreeSet<ByteFact> = self.named().into_values().flatten().collect();
        if named.is_empty() {
            return !self.is_flagged(a) && !self.is_flagged(b);
        }
        named.iter().filter(|f| f.1 == a.1 && !is_name(f.0)).count() == 1
    }

    /// The facts of the merged map, with whether they are unwritten.
    fn facts(&self) -> BTreeSet<(ByteFact, bool)> {
        let all: BTreeSet<ByteFact> = self.claims.iter().map(|c| self.fact(c)).collect();
        let known = |fact: &ByteFact| all.len() == 1 || fact.0 != UNKNOWN;
        let unwritten = |fact: ByteFact| {
            let says = |c: &&&Claim| c.record.unwritten && self.one_file(self.fact(c), fact);
            self.claims.iter().any(|c| says(&c))
        };
        all.iter().copied().filter(known).map(|fact| (fact, unwritten(fact))).collect()
    }
}

/// Checks a merge against the twin, and returns whether the claims could be merged.
fn check(claims: &[Claim]) -> Result<bool, TestCaseError> {
    let bad = (0..2 * SCALE).find(|at| Byte::new(*at, claims).is_contradiction());
    match merge(claims) {
        Err(err) => {
            prop_assert_eq!(Some(err.extent().start().get()), bad, "{}", err);
            for byte in err.extent().start().get()..err.extent().end().get() {
                let byte = Byte::new(byte, claims);
                let [one, other] = err.claims();
                prop_assert!(byte.claims.contains(&one) && byte.claims.contains(&other));
                prop_assert!(byte.contradicts(one, other), "{}", err);
            }
        }
        Ok(records) => {
            prop_assert_eq!(bad, None);
            for at in 0..2 * SCALE {
                let here = records.iter().filter(|r| r.extent.contains(DevOffset::new(at)));
                let facts: Vec<_> = here.map(|r| (fact_at(r, at), r.unwritten)).collect();
                let unique: BTreeSet<_> = facts.iter().copied().collect();
                prop_assert_eq!(facts.len(), unique.len(), "said twice at {}", at);
                prop_assert_eq!(unique, Byte::new(at, claims).facts(), "at {}", at);
            }
        }
    }
    Ok(bad.is_none())
}

/// Maps 0 and 1 are complete, 2 and 3 are of files.
fn source() -> impl Strategy<Value = (MapKind, u32)> {
    (0..4_u32).prop_map(|f| (if f < 2 { MapKind::Complete } else { MapKind::Files }, f))
}

fn any_claims() -> impl Strategy<Value = Vec<Claim>> {
    let one = (owners(), extents(), 0..3_u64, any::<(bool, bool)>(), source());
    let one = one.prop_map(|(owner, extent, file, (unwritten, shared), (kind, map))| {
        let file_start = FileOffset::new(file);
        let record = Record { extent, owner, file_start, unwritten };
        Claim { shared, ..claim(record, kind, map, 0) }
    });
    numbered(proptest::collection::vec(one, 0..6))
}

/// Claims that mostly agree: all files lie at a few shifts, most extents are flagged.
fn likely_claims() -> impl Strategy<Value = Vec<Claim>> {
    let owner = prop_oneof![
        3 => (1..3_u64).prop_map(data),
        3 => (0..2_u32).prop_map(name),
        1 => Just(UNKNOWN),
    ];
    let flags = (any::<bool>(), 0..8_u8, 0..6_u64);
    let one = (owner, extents(), flags, 0..4_u32);
    let one = one.prop_map(|(owner, extent, (unwritten, flag, shift), map)| {
        let file_start = FileOffset::new(extent.start().get() + u64::from(shift == 0));
        let record = Record { extent, owner, file_start, unwritten };
        let complete = map == 0 || owner == UNKNOWN;
        let kind = if complete { MapKind::Complete } else { MapKind::Files };
        // Unknown has a map of its own, so that it is refined and does not contradict map 0.
        let file = if owner == UNKNOWN { 9 } else { map };
        Claim { shared: flag > 0, ..claim(record, kind, file, 0) }
    });
    numbered(proptest::collection::vec(one, 0..8))
}

/// Gives each claim a line of its own.
fn numbered(claims: impl Strategy<Value = Vec<Claim>>) -> impl Strategy<Value = Vec<Claim>> {
    claims.prop_map(|mut claims| {
        (1..).zip(&mut claims).for_each(|(line, claim)| claim.source.line = line);
        claims
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn any_claims_merge_byte_by_byte(claims in any_claims()) {
        check(&claims)?;
    }

    #[test]
    fn likely_claims_merge_byte_by_byte(claims in likely_claims()) {
        check(&claims)?;
    }

    #[test]
    fn the_order_of_claims_does_not_matter(claims in likely_claims()) {
        let reversed: Vec<Claim> = claims.iter().rev().copied().collect();
        prop_assert_eq!(merge(&claims), merge(&reversed));
    }

    #[test]
    fn saying_it_all_twice_changes_nothing(claims in likely_claims()) {
        let twice = [claims.clone(), claims.clone()].concat();
        prop_assert_eq!(merge(&claims).ok(), merge(&twice).ok());
    }

    #[test]
    fn one_complete_map_comes_out_as_it_went_in(extents in proptest::collection::vec(extents(), 0..12)) {
        // Every record is of another file, so that none of them say the same.
        let records = (1..).zip(extents).map(|(ino, e)| record(data(ino), e.start().get(), e.len(), 7));
        let rows: Vec<Claim> = records.enumerate().map(|(i, r)| row(r, i as u64)).collect();
        let plain: ReverseMap = rows.iter().map(|c| c.record).collect();
        prop_assert_eq!(merge(&rows).unwrap(), plain.iter().collect::<Vec<_>>());
    }
}

#[test]
fn enough_of_the_likely_claims_can_be_merged() {
    // Otherwise the twin would only be compared about errors.
    use proptest::{strategy::ValueTree, test_runner::TestRunner};
    let mut runner = TestRunner::deterministic();
    let mut merged = 0;
    for _ in 0..300 {
        let claims = likely_claims().new_tree(&mut runner).unwrap().current();
        merged += u32::from(claims.len() > 2 && check(&claims).unwrap());
    }
    assert!((60..240).contains(&merged), "{merged} of 300");
}

#[test]
fn a_file_refines_exactly_the_unknown_bytes_it_covers() {
    let merged = merge(&[
        row(record(UNKNOWN, 10, 20, 0), 1),
        frag(record(data(7), 15, 5, 100), 1),
        frag(record(data(7), 28, 6, 200), 2), // half of it in what the fsmap does not list
    ]);
    assert_eq!(
        merged.unwrap(),
        [
            record(UNKNOWN, 10, 5, 0),
            record(data(7), 15, 5, 100),
            record(UNKNOWN, 20, 8, 0),
            record(data(7), 28, 6, 200),
        ]
    );
}

#[test]
fn unwritten_spreads_over_exactly_the_same_bytes_of_the_same_file() {
    let merged = merge(&[
        row(record(data(7), 0, 30, 100), 1),
        row(record(data(8), 0, 30, 500), 2),
        frag(unwritten(record(data(7), 10, 5, 110)), 1),
    ]);
    assert_eq!(
        merged.unwrap(),
        [
            record(data(7), 0, 10, 100),
            record(data(8), 0, 30, 500),
            unwritten(record(data(7), 10, 5, 110)),
            record(data(7), 15, 15, 115),
        ]
    );
}

#[test]
fn a_name_says_unwritten_about_the_only_inode_it_can_be() {
    let rows = [row(record(data(7), 0, 10, 0), 1), row(record(data(8), 0, 10, 40), 2)];
    let preallocated = frag(unwritten(record(name(0), 4, 2, 4)), 1);
    assert_eq!(
        merge(&[rows[0], rows[1], preallocated]).unwrap(),
        [
            record(data(7), 0, 4, 0),
            record(data(8), 0, 10, 40),
            unwritten(record(name(0), 4, 2, 4)),
            unwritten(record(data(7), 4, 2, 4)),
            record(data(7), 6, 4, 6),
        ]
    );
    // Two inodes at that offset: it may be either, so neither is said to be unwritten.
    let twin = row(record(data(9), 0, 10, 0), 3);
    let merged = merge(&[rows[0], twin, preallocated]).unwrap();
    assert_eq!(
        merged,
        [record(data(7), 0, 10, 0), record(data(9), 0, 10, 0), unwritten(record(name(0), 4, 2, 4)),]
    );
}

#[test]
fn one_fact_in_several_maps_is_one_record() {
    let merged = merge(&[
        row(record(data(7), 0, 30, 0), 1),
        claim(record(data(7), 0, 30, 0), MapKind::Complete, 5, 1),
        frag(record(data(7), 0, 10, 0), 1),
        frag(record(data(7), 10, 10, 10), 2),
        frag(record(data(7), 15, 20, 15), 3), // and 5 bytes that the others do not list
    ]);
    assert_eq!(merged.unwrap(), [record(data(7), 0, 35, 0)]);
}

#[test]
fn records_that_continue_one_another_stay_two() {
    let rows = [record(data(7), 0, 10, 0), record(data(7), 10, 10, 10)];
    assert_eq!(merge(&rows.map(|r| row(r, 1))).unwrap(), rows);
}

#[test]
fn extent_maps_have_no_file_offset_to_disagree_about() {
    let bmbt = |file| record(fork(7, Fork::ExtentMap), 0, 10, file);
    let merged = merge(&[row(bmbt(0), 1), claim(bmbt(99), MapKind::Complete, 5, 1)]);
    assert_eq!(merged.unwrap(), [bmbt(0)]);
}

/// Two claims on the same ten bytes that are compatible: both stay, or one gives way.
#[track_caller]
fn agrees(one: Claim, other: Claim, expected: &[Owner]) {
    for claims in [[one, other], [other, one]] {
        let merged = merge(&claims).unwrap();
        let owners: BTreeSet<Owner> = merged.iter().map(|r| r.owner).collect();
        assert_eq!(owners, expected.iter().copied().collect());
        assert!(merged.iter().all(|r| r.extent == at(10, 10)));
    }
}

/// Two claims that contradict each other on the bytes 15..20, and not when they only touch.
#[track_caller]
fn contradicts(kind: MergeErrorKind, message: &str, one: Claim, other: Claim) {
    let moved = |by: u64| {
        let Record { extent, owner, file_start, unwritten } = other.record;
        let start = extent.start().checked_add(by).unwrap();
        let extent = Extent::new(start, extent.len()).unwrap();
        Claim { record: Record { extent, owner, file_start, unwritten }, ..other }
    };
    for claims in [[one, moved(5)], [moved(5), one]] {
        let err = merge(&claims).unwrap_err();
        assert_eq!((err.kind(), err.extent()), (kind, at(15, 5)));
        assert_eq!(err.claims(), &[one, moved(5)]);
        assert_eq!(err.to_string(), message);
    }
    assert!(merge(&[one, moved(10)]).is_ok(), "just behind it");
}

fn ten(owner: Owner, file_start: u64) -> Record {
    record(owner, 10, 10, file_start)
}

const AT: &str = "contradiction at device bytes [0xf..0x14): ";
const AGAIN: &str = "; save the maps again while nothing is written";

#[test]
fn what_the_tables_call_compatible_is() {
    let file = frag(ten(data(7), 0), 1);
    agrees(row(ten(UNKNOWN, 0), 1), file, &[data(7)]);
    agrees(row(ten(UNKNOWN, 0), 1), claim(ten(INODES, 0), MapKind::Complete, 5, 1), &[INODES]);
    agrees(row(ten(UNKNOWN, 0), 1), claim(ten(UNKNOWN, 0), MapKind::Complete, 5, 1), &[UNKNOWN]);
    agrees(row(ten(data(7), 0), 1), row(ten(data(8), 64), 2), &[data(7), data(8)]);
    agrees(row(ten(data(7), 0), 1), row(ten(data(7), 64), 2), &[data(7)]);
    agrees(row(ten(data(7), 0), 1), file, &[data(7)]);
    agrees(row(ten(data(7), 0), 1), frag(ten(name(0), 0), 2), &[data(7), name(0)]);
    agrees(row(ten(FREE, 0), 1), claim(ten(FREE, 0), MapKind::Complete, 5, 1), &[FREE]);
    for other in [ten(data(8), 0), ten(data(7), 64), ten(name(0), 64)] {
        agrees(file, shared(frag(other, 2)), &[data(7), other.owner]);
    }
    agrees(file, frag(ten(name(0), 0), 2), &[data(7), name(0)]);
    agrees(frag(ten(name(0), 0), 1), frag(ten(name(1), 0), 2), &[name(0), name(1)]);
    agrees(
        row(ten(fork(7, Fork::Attr), 0), 1),
        row(ten(fork(7, Fork::Attr), 0), 2),
        &[fork(7, Fork::Attr)],
    );
}

#[test]
fn files_of_files_maps_that_a_complete_map_lists_both_are_no_contradiction() {
    let (a, b) = (ten(data(7), 0), ten(data(8), 64));
    assert_eq!(merge(&[row(a, 1), row(b, 2), frag(a, 1), frag(b, 2)]).unwrap(), [a, b]);
    // Only one of them listed: the complete map would have named the other, shared or not.
    let err = merge(&[row(a, 1), frag(a, 1), shared(frag(b, 2))]).unwrap_err();
    assert_eq!(err.claims().each_ref().map(|c| c.source.file), [0, 1]);
    // Not listed at all, but unknown: as if there were no complete map.
    assert!(merge(&[row(ten(UNKNOWN, 0), 1), frag(a, 1), frag(b, 2)]).is_err());
    assert_eq!(merge(&[row(ten(UNKNOWN, 0), 1), frag(a, 1), shared(frag(b, 2))]).unwrap(), [a, b]);
}

#[test]
fn free_space_belongs_to_nobody() {
    let (free, why) = (row(ten(FREE, 0), 3), format!(": free space belongs to nobody{AGAIN}"));
    let kind = MergeErrorKind::FreeAndUsed;
    let says = |text: &str| format!("{AT}map 0 line 3 says free space, {text}{why}");
    let file = frag(ten(data(7), 0), 9);
    contradicts(kind, &says("map 1 line 9 says inode 7 data at file byte 0x0"), free, file);
    let flagged = shared(frag(ten(name(2), 32), 9));
    contradicts(kind, &says("map 1 line 9 says name #2 data at file byte 0x20"), free, flagged);
    let unknown = claim(ten(UNKNOWN, 0), MapKind::Complete, 1, 9);
    contradicts(kind, &says("map 1 line 9 says unknown"), free, unknown);
    contradicts(kind, &says("map 0 line 4 says inodes"), free, row(ten(INODES, 0), 4));
}

#[test]
fn bytes_of_the_filesystem_are_no_files() {
    use crate::Special;
    let kind = MergeErrorKind::SpecialAndFile;
    let why = format!(": the filesystem's own bytes are no file's{AGAIN}");
    for special in [
        Special::StaticFs,
        Special::Journal,
        Special::CowReservation,
        Special::Defective,
        Special::Other { major: 102, minor: 3 },
    ] {
        let text = format!("{AT}map 0 line 3 says {special}, ");
        let text = |file: &str| format!("{text}{file} says inode 7 data at file byte 0x0{why}");
        let special = row(ten(Owner::Special(special), 0), 3);
        contradicts(kind, &text("map 1 line 9"), special, frag(ten(data(7), 0), 9));
        contradicts(kind, &text("map 0 line 4"), special, row(ten(data(7), 0), 4));
    }
    let unknown = row(ten(UNKNOWN, 0), 3);
    let text = format!(
        "{AT}map 0 line 3 says unknown, map 0 line 4 says inode 7 data at file byte 0x0{why}"
    );
    contradicts(kind, &text, unknown, row(ten(data(7), 0), 4));
}

#[test]
fn bytes_have_one_use_by_the_filesystem() {
    let kind = MergeErrorKind::TwoSpecials;
    let text = |of: u32, line: u64, words: &str| {
        format!(
            "{AT}map 0 line 3 says {words}, map {of} line {line} says inodes: bytes have one use{AGAIN}"
        )
    };
    let inodes = |file| claim(ten(INODES, 0), MapKind::Complete, file, 4);
    let journal = row(ten(JOURNAL, 0), 3);
    contradicts(kind, &text(0, 4, "journalling log"), journal, inodes(0));
    contradicts(kind, &text(2, 4, "journalling log"), journal, inodes(2));
    contradicts(kind, &text(0, 4, "unknown"), row(ten(UNKNOWN, 0), 3), inodes(0));
}

#[test]
fn attribute_forks_and_extent_maps_are_never_shared() {
    let kind = MergeErrorKind::Forks;
    let why = format!(": attribute forks and extent maps are never shared{AGAIN}");
    let attr = row(ten(fork(7, Fork::Attr), 0), 3);
    let text = |file: &str| {
        format!(
            "{AT}map 0 line 3 says inode 7 attr at file byte 0x5, {file} says inode 7 data at file byte 0x0{why}"
        )
    };
    contradicts(kind, &text("map 0 line 4"), attr, row(ten(data(7), 0), 4));
    contradicts(kind, &text("map 1 line 9"), attr, shared(frag(ten(data(7), 0), 9)));
    let bmbt = row(ten(fork(7, Fork::ExtentMap), 0), 3);
    let text = format!(
        "{AT}map 0 line 3 says inode 7 extent-map, map 1 line 9 says name #0 data at file byte 0x0{why}"
    );
    contradicts(kind, &text, bmbt, frag(ten(name(0), 0), 9));
}

#[test]
fn a_complete_map_names_every_owner() {
    let kind = MergeErrorKind::Owners;
    let why = format!(": nothing says that they share these bytes{AGAIN}");
    let named = row(ten(data(7), 0), 3);
    let text = |who: &str| {
        format!("{AT}map 0 line 3 says inode 7 data at file byte 0x5, map 1 line 9 says {who}{why}")
    };
    let other = frag(ten(data(8), 0), 9);
    contradicts(kind, &text("inode 8 data at file byte 0x0"), named, other);
    contradicts(kind, &text("inode 8 data at file byte 0x0"), named, shared(other));
    // Inode 7 has its byte 5 there, so a link of it cannot have its byte 1 there.
    contradicts(kind, &text("name #0 data at file byte 0x1"), named, frag(ten(name(0), 1), 9));
    let second = claim(ten(data(8), 0), MapKind::Complete, 1, 9);
    contradicts(kind, &text("inode 8 data at file byte 0x0"), named, second);
}

#[test]
fn one_file_does_not_have_bytes_at_two_offsets_unless_they_are_shared() {
    let kind = MergeErrorKind::Offsets;
    let why = format!(": nothing says that the file has them twice{AGAIN}");
    let text = |of: u32, line: u64, who: &str| {
        format!(
            "{AT}map {of} line {line} says {who} at file byte 0x5, map 1 line 9 says {who} at file byte 0x40{why}"
        )
    };
    let seven = frag(ten(data(7), 64), 9);
    contradicts(kind, &text(0, 3, "inode 7 data"), row(ten(data(7), 0), 3), seven);
    contradicts(kind, &text(0, 3, "inode 7 data"), row(ten(data(7), 0), 3), shared(seven));
    contradicts(kind, &text(1, 3, "inode 7 data"), frag(ten(data(7), 0), 3), seven);
    let link = frag(ten(name(0), 64), 9);
    contradicts(kind, &text(1, 3, "name #0 data"), frag(ten(name(0), 0), 3), link);
}

#[test]
fn files_without_a_complete_map_share_only_what_is_flagged() {
    let kind = MergeErrorKind::Owners;
    let why = format!(": nothing says that they share these bytes{AGAIN}");
    let seven = frag(ten(data(7), 0), 3);
    let text = |who: &str| {
        format!("{AT}map 1 line 3 says inode 7 data at file byte 0x5, map 1 line 9 says {who}{why}")
    };
    let text_of = text("inode 8 data at file byte 0x5");
    contradicts(kind, &text_of, seven, frag(ten(data(8), 5), 9));
    let text_of = text("name #0 data at file byte 0x1");
    contradicts(kind, &text_of, seven, frag(ten(name(0), 1), 9));
    // The name agrees with both inodes; these do not agree with each other.
    let link = frag(record(name(0), 0, 40, 0), 1);
    let eight = frag(record(data(8), 10, 10, 10), 2);
    let err = merge(&[link, eight, frag(record(data(9), 10, 10, 10), 3)]).unwrap_err();
    assert_eq!(err.claims().each_ref().map(|c| c.source.line), [2, 3]);
}

#[test]
fn a_contradiction_names_the_bytes_it_is_about_and_no_others() {
    // Inode 8 is listed for the second half only.
    let err = merge(&[
        row(record(data(7), 0, 20, 0), 1),
        row(record(data(8), 10, 10, 10), 2),
        frag(record(data(8), 0, 20, 0), 1),
    ])
    .unwrap_err();
    assert_eq!((err.kind(), err.extent()), (MergeErrorKind::Owners, at(0, 10)));
}

#[test]
fn file_offsets_end_within_64_bits() {
    let fits = frag(record(data(7), 0, 10, u64::MAX - 10), 4);
    assert_eq!(merge(&[fits]).unwrap(), [fits.record]);
    let err = merge(&[frag(record(data(7), 0, 10, u64::MAX - 9), 4)]).unwrap_err();
    assert_eq!(err.kind(), MergeErrorKind::FileRange);
    assert_eq!(
        err.to_string(),
        "invalid record at map 1 line 4: inode 7 data at file bytes 0xfffffffffffffff6+0xa: file \
         offsets end beyond 64 bits",
    );
}

#[test]
fn a_thousand_sharers_are_merged() {
    let sharer = |ino: u64| record(data(ino), 10, 10, 100 * ino);
    let rows = (1..=1000).map(|ino| row(sharer(ino), ino));
    let frags = (1..=1000).map(|ino| frag(sharer(ino), ino));
    let merged = merge(&rows.chain(frags).collect::<Vec<_>>()).unwrap();
    assert_eq!(merged, (1..=1000).map(sharer).collect::<Vec<_>>());
}

#[test]
fn an_ordered_merge_refuses_what_comes_late_and_keeps_the_rest() {
    let mut merge = OrderedMerge::new();
    let (first, second) = (row(ten(data(7), 0), 2), row(record(data(8), 40, 5, 0), 3));
    assert_eq!(merge.push(first), Ok(()));
    assert_eq!(merge.push(second), Ok(()));
    let late = row(record(data(9), 39, 1, 0), 4);
    assert_eq!(merge.push(late), Err(late));
    let earlier_line = row(record(data(9), 40, 5, 0), 1);
    assert_eq!(merge.push(earlier_line), Err(earlier_line));
    let map = merge.build().unwrap();
    assert_eq!(map.iter().collect::<Vec<_>>(), [first.record, second.record]);
}

#[test]
fn an_ordered_merge_tells_the_first_contradiction_at_the_end() {
    let mut merge = OrderedMerge::new();
    let claims = [row(ten(data(7), 0), 1), row(ten(FREE, 0), 2), row(record(FREE, 90, 5, 0), 3)];
    let after = row(record(data(1), 92, 1, 0), 4);
    claims.into_iter().chain([after]).for_each(|claim| assert_eq!(merge.push(claim), Ok(())));
    let err = merge.build().unwrap_err();
    assert_eq!(err.claims().each_ref().map(|c| c.source.line), [1, 2]);
}

#[test]
fn what_lies_before_the_newest_claim_is_decided_and_forgotten() {
    let mut merge = OrderedMerge::new();
    for n in 0..100 {
        assert!(merge.push(row(record(data(n + 1), n * 4, 4, 0), n + 1)).is_ok());
        assert_eq!(merge.sweep.active.len(), 1, "the one at hand");
        assert_eq!(merge.at.get(), n * 4);
    }
    assert_eq!(merge.build().unwrap().len(), 100);
}
