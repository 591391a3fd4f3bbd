//! Single facts, worked out by hand: codes and words of fsmap, names, and what maps say of themselves.

use core::ops::ControlFlow;
use std::sync::Arc;

use badrange_core::{Corruption, DevOffset, Extent, FileOffset};

use crate::{
    Claim, FileId, Fork, LiveMap, MapKind, Merge, OwnedRun, Owner, OwnerSink, Record, ReverseMap,
    RmapHolder, Source, Special,
    testing::{at, data, fork, name, record, unwritten},
};

/// Every variant of [`Special`], the one with numbers several times. A new variant does not compile
/// until it is named here.
fn every_special() -> Vec<Special> {
    let listed = |special| match special {
        Special::Free
        | Special::Unknown
        | Special::StaticFs
        | Special::Journal
        | Special::PerAg
        | Special::InodeBtree
        | Special::Inodes
        | Special::RefcountBtree
        | Special::CowReservation
        | Special::Defective
        | Special::Other { .. } => special,
    };
    let named = [(0, 1), (0, 2)].into_iter().chain((1..9).map(|minor| (88, minor)));
    let named = named.map(|(major, minor)| listed(Special::from_code(major, minor)));
    let numbers = [0, 1, 2, 88, 0x7fff_ffff, 0x8000_0000, u32::MAX - 1, u32::MAX];
    let other = |major| numbers.map(|minor| Special::Other { major, minor });
    named.chain(numbers.into_iter().flat_map(other)).collect()
}

/// Every sort of owner, with the smallest and the greatest numbers.
fn every_owner() -> Vec<Owner> {
    let ids = [FileId::Ino(0), FileId::Ino(u64::MAX), FileId::Name(0), FileId::Name(u32::MAX)];
    let forks = [Fork::Data, Fork::Attr, Fork::ExtentMap];
    let files = ids.into_iter().flat_map(|id| forks.map(|fork| Owner::File { id, fork }));
    files.chain(every_special().into_iter().map(Owner::Special)).collect()
}

/// What a map gives back must be what it was given: in both states, beside others, in every form.
#[track_caller]
fn comes_back(records: &[Record]) {
    let mut sorted = records.to_vec();
    sorted.sort_by_key(|r| (r.extent.start(), r.owner, r.file_start, r.extent.len(), r.unwritten));
    let map: ReverseMap = records.iter().copied().collect();
    let mut live = LiveMap::new();
    records.iter().for_each(|record| assert!(live.insert(*record)));
    let packed = map.packed();
    for map in [map, packed.clone(), live.snapshot(), LiveMap::from(packed).snapshot()] {
        assert_eq!(map.iter().collect::<Vec<_>>(), sorted);
        for record in records {
            let mut found = Vec::new();
            let _ = map.owners(record.extent, &mut |owned| {
                found.push(owned.record);
                ControlFlow::Continue(())
            });
            assert!(found.contains(record), "{record:?}");
        }
    }
}

/// The numbers of an owner share a word with the length of its extent: one that the packed form
/// does not know would come back as another range.
#[test]
fn every_special_comes_back_exactly_with_its_range() {
    let specials = every_special();
    assert_eq!(specials.len(), 10 + 64);
    let ranges = [(0, 1), (4096, 4096), (1 << 40, 1 << 26), (7, (1 << 50) + 3)];
    for (start, len) in ranges {
        let one = |special: &Special| record(Owner::Special(*special), start, len, 0);
        let all: Vec<Record> = specials.iter().map(one).flat_map(|r| [r, unwritten(r)]).collect();
        comes_back(&all);
        all.iter().for_each(|record| comes_back(&[*record]));
    }
}

#[test]
fn every_owner_comes_back_exactly_with_its_range() {
    for (start, len, file) in [(0, 1, 0), (512, 1 << 35, u64::MAX), (3, u64::MAX - 3, 1)] {
        let one = |owner: Owner| record(owner, start, len, file);
        let all: Vec<Record> =
            every_owner().into_iter().map(one).flat_map(|r| [r, unwritten(r)]).collect();
        comes_back(&all);
    }
}

/// One meaning of the word: metadata of any kind, the journal too. Data, free space and what is
/// unknown are none.
#[test]
fn metadata_is_all_but_data_free_space_and_unknown() {
    for owner in every_owner() {
        let none = match owner {
            Owner::File { fork, .. } => fork == Fork::Data,
            Owner::Special(special) => [(0, 1), (0, 2)].contains(&special.code()),
        };
        // A code without a name that is written like one with a name is no name.
        let unnamed = matches!(owner, Owner::Special(Special::Other { .. }));
        assert_eq!(owner.is_metadata(), !none || unnamed, "{owner}");
    }
}

#[test]
fn specials_have_the_codes_and_words_of_fsmap() {
    for (special, (major, minor), words, is_metadata) in [
        (Special::Free, (0, 1), "free space", false),
        (Special::Unknown, (0, 2), "unknown", false),
        (Special::StaticFs, (88, 1), "static fs metadata", true),
        (Special::Journal, (88, 2), "journalling log", true),
        (Special::PerAg, (88, 3), "per-AG metadata", true),
        (Special::InodeBtree, (88, 4), "inode btree", true),
        (Special::Inodes, (88, 5), "inodes", true),
        (Special::RefcountBtree, (88, 6), "refcount btree", true),
        (Special::CowReservation, (88, 7), "cow reservation", true),
        (Special::Defective, (88, 8), "defective", true),
        (Special::Other { major: 102, minor: 3 }, (102, 3), "special 102:3", true),
        (Special::Other { major: 88, minor: 9 }, (88, 9), "special 88:9", true),
    ] {
        assert_eq!(Special::from_code(major, minor), special);
        assert_eq!(Special::from_words(words), Some(special));
        assert_eq!((special.code(), special.to_string().as_str()), ((major, minor), words));
        let owner = Owner::Special(special);
        assert_eq!((owner.is_metadata(), owner.to_string().as_str()), (is_metadata, words));
    }
    for words in
        ["free", "special", "special 102", "special 102:", "special x:1", "special 1:x", ""]
    {
        assert_eq!(Special::from_words(words), None, "{words:?}");
    }
}

#[test]
fn owners_and_maps_have_names() {
    for (owner, words, is_metadata) in [
        (data(132), "inode 132 data", false),
        (name(3), "name #3 data", false),
        (fork(7, Fork::Attr), "inode 7 attr", true),
        (fork(7, Fork::ExtentMap), "inode 7 extent-map", true),
    ] {
        assert_eq!((owner.to_string().as_str(), owner.is_metadata()), (words, is_metadata));
    }
    assert_eq!(FileId::Name(0).to_string(), "name #0");
    assert_eq!(Source { file: 1, line: 12 }.to_string(), "map 1 line 12");
    assert_eq!(
        [MapKind::Complete, MapKind::Files].map(|kind| kind.to_string()),
        ["complete", "files"]
    );
}

#[test]
fn a_record_says_where_bytes_of_forks_with_offsets_are() {
    let orders = record(data(132), 100, 50, 1000);
    let byte = |n| orders.file_at(DevOffset::new(n)).map(FileOffset::get);
    assert_eq!([99, 100, 149, 150].map(byte), [None, Some(1000), Some(1049), None]);
    let attr = record(fork(132, Fork::Attr), 100, 50, 8);
    assert_eq!(attr.file_at(DevOffset::new(101)), Some(FileOffset::new(9)));
    for without in [fork(132, Fork::ExtentMap), Owner::Special(Special::Journal)] {
        let record = record(without, 100, 50, 0);
        assert!(!record.has_file_offset());
        assert_eq!(record.file_at(DevOffset::new(101)), None);
        assert_eq!(record.part_of(file(0, 50)), None);
    }
    // Asked for bytes 990 to 1009 of the file, it has the last ten of them.
    assert_eq!(orders.part_of(file(990, 20)), Some((file(1000, 10), at(100, 10))));
    assert_eq!(orders.part_of(file(1049, 20)), Some((file(1049, 1), at(149, 1))));
    assert_eq!(orders.part_of(file(1050, 20)), None);
    assert_eq!(orders.part_of(file(980, 20)), None);
}

fn file(start: u64, len: u64) -> Extent<FileOffset> {
    Extent::new(FileOffset::new(start), len).unwrap()
}

/// Records of 4096 bytes, one after the other.
fn blocks(count: u64) -> Vec<Record> {
    let block = |n: u64| n.checked_mul(4096).unwrap();
    (0..count).map(|n| record(data(n), block(n), 4096, 0)).collect()
}

#[test]
fn a_map_says_how_large_it_is() {
    let none = ReverseMap::default();
    assert_eq!((none.len(), none.is_empty()), (0, true));
    let mut builder = ReverseMap::builder();
    builder.extend(blocks(10_000));
    let map = builder.build();
    assert_eq!((map.len(), map.is_empty()), (10_000, false));
    assert_eq!(format!("{map:?}"), "ReverseMap { records: 10000, .. }");
    // docs/performance.md: 28 to 31 bytes a record, about half of it packed.
    let per_record = |map: &ReverseMap| map.memory() / 10_000;
    assert!((24..=36).contains(&per_record(&map)), "{}", per_record(&map));
    let packed = map.packed();
    assert!((2..=20).contains(&per_record(&packed)), "{}", per_record(&packed));
    assert_eq!((packed.len(), packed.is_empty()), (10_000, false));
}

#[test]
fn maps_are_equal_when_their_records_are() {
    let map: ReverseMap = blocks(5).into_iter().collect();
    let backwards: ReverseMap = blocks(5).into_iter().rev().collect();
    assert_eq!(map, backwards);
    assert_eq!(map, map.packed());
    assert_ne!(map, blocks(6).into_iter().collect());
    assert_ne!(map, blocks(4).into_iter().collect());
    let mut other = blocks(5);
    other[4].file_start = FileOffset::new(1);
    assert_ne!(map, other.into_iter().collect());
}

#[test]
fn a_holder_gives_its_map_back() {
    struct Deaf;
    impl OwnerSink for Deaf {
        fn lost(&self, _: &OwnedRun, _: &Corruption<'_>) {}
        fn metadata_hit(&self, _: &OwnedRun, _: &Corruption<'_>) {}
    }
    let map: Arc<ReverseMap> = Arc::new(blocks(3).into_iter().collect());
    let holder = RmapHolder::new(Arc::clone(&map), Arc::new(Deaf));
    assert!(Arc::ptr_eq(holder.map(), &map));
    assert_eq!(format!("{holder:?}"), "RmapHolder { map: ReverseMap { records: 3, .. }, .. }");
}

#[test]
fn a_merge_takes_claims_one_by_one_in_any_order() {
    let mut merge = Merge::new();
    for (line, record) in (1..).zip(blocks(3).into_iter().rev()) {
        let source = Source { file: 0, line };
        merge.push(Claim { record, shared: false, kind: MapKind::Complete, source });
    }
    assert_eq!(merge.build().unwrap(), blocks(3).into_iter().collect());
}
