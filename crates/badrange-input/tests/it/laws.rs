//! Nothing panics, whatever the bytes; what is printed is read back.

use core::fmt::Write;

use badrange_core::{DevOffset, Extent, FileOffset};
use badrange_fs::{FileId, Fork, Owner, Special};
use badrange_input::{
    Format, FsmapDev, FsmapRecord, InodePath, InodePaths, parse_badblocks, recognise,
};
use proptest::{collection::vec, prelude::*, sample::Index};

use super::{
    bmap,
    corpus::{KNOWN, count},
    filefrag, fixture, fsmap,
};

const FORMATS: [Format; 13] = [
    Format::SfdiskDump,
    Format::SfdiskJson,
    Format::VgCfg,
    Format::LvsJson,
    Format::PvsJson,
    Format::DmTable,
    Format::FsmapPlain,
    Format::FsmapVerbose,
    Format::FsmapMachine,
    Format::XfsBmap,
    Format::Filefrag,
    Format::Badblocks,
    Format::InodePaths,
];

/// Reads the text as every format; only panics matter.
fn feed(text: &[u8]) {
    let _ = recognise(text);
    for format in FORMATS {
        let _ = count(format, text);
    }
}

/// One change to a text: where, how many bytes go, and what comes instead.
type Change = (Index, usize, Vec<u8>);

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let piece = prop_oneof![
        vec(any::<u8>(), 0..4),
        "[0-9 :.,=\\[\\]{}()\"\n-]{0,8}".prop_map(String::into_bytes),
        Just(b"18446744073709551615".to_vec()),
        Just(b"0".to_vec()),
    ];
    vec((any::<Index>(), 0..8_usize, piece), 1..5)
}

fn change(text: &mut Vec<u8>, (at, gone, new): &Change) {
    let at = at.index(text.len() + 1);
    let end = (at + gone).min(text.len());
    text.splice(at..end, new.iter().copied());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn no_bytes_make_a_reader_panic(text in vec(any::<u8>(), 0..300)) {
        feed(&text);
    }

    #[test]
    fn no_changed_capture_makes_a_reader_panic(which in any::<Index>(), changes in changes()) {
        let (name, ..) = KNOWN[which.index(KNOWN.len())];
        let mut text = fixture(name);
        changes.iter().for_each(|c| change(&mut text, c));
        feed(&text);
    }

    #[test]
    fn fsmaps_are_read_back(rows in vec(row(), 0..20)) {
        let plain: String = rows.iter().map(plain).collect();
        let machine: String = rows.iter().map(machine).collect();
        let expected: Vec<_> = (1..).zip(&rows).map(|(line, r)| FsmapRecord { line, ..*r }).collect();
        prop_assert_eq!(fsmap(plain.as_bytes()).unwrap(), expected.clone());
        prop_assert_eq!(fsmap(machine.as_bytes()).unwrap(), expected);
        let (text, marked) = verbose(&rows);
        prop_assert_eq!(fsmap(text.as_bytes()).unwrap(), marked);
    }

    #[test]
    fn paths_are_read_back(names in vec((any::<u64>(), "/[^\n\r]{0,20}"), 0..20)) {
        let text: String = names.iter().map(|(ino, path)| format!("{ino} {path}\n")).collect();
        let found: Vec<_> = InodePaths::new(text.as_bytes()).map(|p| p.unwrap()).collect();
        let expected: Vec<_> = (1..)
            .zip(names)
            .map(|(line, (ino, path))| InodePath { ino, path, line })
            .collect();
        prop_assert_eq!(found, expected);
    }

    /// Sector by sector, the list names what its lines name, and neighbours are joined.
    #[test]
    fn badblocks_hold_exactly_the_sectors_of_their_lines(lines in vec((0..200_u64, 1..9_u64), 0..20)) {
        let text: String = lines.iter().map(|(at, len)| format!("{at} {len}\n")).collect();
        let list = parse_badblocks(text.as_bytes()).unwrap();
        for sector in 0..210 {
            let bad = lines.iter().any(|(at, len)| (*at..at + len).contains(&sector));
            let at = DevOffset::new(sector * 512);
            prop_assert_eq!(list.ranges.iter().any(|r| r.extent.contains(at)), bad);
        }
        for pair in list.ranges.windows(2) {
            prop_assert!(pair[0].extent.end() < pair[1].extent.start());
        }
    }

    /// The same extents through both tools: filefrag in any unit, xfs_bmap in sectors.
    #[test]
    fn file_maps_are_read_back(
        shift in 0..4_u32,
        extents in vec((0..3_u64, 1..50_u64, 0..1_000_000_u64, any::<bool>()), 0..10),
    ) {
        let unit = 512_u64 << shift;
        let (mut frag, mut map) = (String::new(), "/x y:\n".to_owned());
        let mut expected = Vec::new();
        let mut at = 0;
        for (hole, len, device, unwritten) in extents {
            at += hole;
            let flags = if unwritten { "unwritten" } else { "" };
            let (last, device_last) = (at + len - 1, device + len - 1);
            writeln!(frag, "   0: {at:8}..{last:8}: {device:10}..{device_last:10}: {len:6}:  {flags}")
                .unwrap();
            let [first, last, from, to, total] =
                [at << shift, ((at + len) << shift) - 1, device << shift, ((device + len) << shift) - 1, len << shift];
            let flags = if unwritten { "0010000" } else { "0000000" };
            writeln!(map, "   0: [{first}..{last}]:   {from}..{to}  0 ({from}..{to})  {total} {flags}")
                .unwrap();
            let file = Extent::new(FileOffset::new(at * unit), len * unit).unwrap();
            let place = Extent::new(DevOffset::new(device * unit), len * unit).unwrap();
            expected.push((file, Some(place), Some(unwritten)));
            at += len;
        }
        let frag = format!(
            "File size of /x y is {} ({at} blocks of {unit} bytes)\n ext: logical_offset: \
             physical_offset: length: expected: flags:\n{frag}/x y: 1 extent found\n",
            at * unit
        );
        for files in [filefrag(frag.as_bytes()).unwrap(), bmap(map.as_bytes()).unwrap()] {
            prop_assert_eq!(files.len(), 1);
            prop_assert_eq!(&files[0].file.name, "/x y");
            let found: Vec<_> =
                files[0].extents.iter().map(|e| (e.file, e.place.device(), e.unwritten)).collect();
            prop_assert_eq!(&found, &expected);
        }
    }
}

fn owner() -> impl Strategy<Value = Owner> {
    let fork = prop_oneof![Just(Fork::Data), Just(Fork::Attr), Just(Fork::ExtentMap)];
    let code = (prop_oneof![Just(0_u32), Just(88), any::<u32>()], 0..12_u32);
    prop_oneof![
        (any::<u64>(), fork).prop_map(|(ino, fork)| Owner::File { id: FileId::Ino(ino), fork }),
        code.prop_map(|(major, minor)| Owner::Special(Special::from_code(major, minor))),
    ]
}

const MOST: u64 = u64::MAX / 512 / 4;

fn row() -> impl Strategy<Value = FsmapRecord> {
    let place = (0..MOST, 1..MOST, 0..MOST);
    (any::<(u32, u32)>(), place, owner()).prop_map(|((major, minor), (start, len, at), owner)| {
        let placed = matches!(owner, Owner::File { fork: Fork::Data | Fork::Attr, .. });
        FsmapRecord {
            dev: FsmapDev::Numbers { major, minor },
            extent: Extent::new(DevOffset::new(start * 512), len * 512).unwrap(),
            owner,
            file_start: placed.then(|| FileOffset::new(at * 512)),
            unwritten: None,
            shared: None,
            line: 0,
        }
    })
}

/// First, last and count in sectors, and the file's first and last.
fn numbers(row: &FsmapRecord) -> (u64, u64, u64, Option<(u64, u64)>) {
    let (first, count) = (row.extent.start().get() / 512, row.extent.len() / 512);
    let file = row.file_start.map(|at| (at.get() / 512, at.get() / 512 + count - 1));
    (first, first + count - 1, count, file)
}

fn dev(row: &FsmapRecord) -> (u32, u32) {
    match row.dev {
        FsmapDev::Numbers { major, minor } => (major, minor),
        FsmapDev::Opaque(id) => panic!("{id}"),
    }
}

fn plain(row: &FsmapRecord) -> String {
    let (first, last, count, file) = numbers(row);
    let (major, minor) = dev(row);
    let owner = match (row.owner, file) {
        (Owner::Special(special), _) => special.to_string(),
        (Owner::File { id: FileId::Ino(ino), fork }, Some((a, b))) => {
            format!("inode {ino} {fork} {a}..{b}")
        }
        (Owner::File { id: FileId::Ino(ino), .. }, None) => format!("inode {ino} data extent map"),
        (Owner::File { id: FileId::Name(_), .. }, _) => panic!("not generated"),
    };
    format!("\t0: {major}:{minor} [{first}..{last}]: {owner} {count}\n")
}

fn machine(row: &FsmapRecord) -> String {
    let (first, last, count, file) = numbers(row);
    let (major, minor) = dev(row);
    let owner = match (row.owner, file) {
        (Owner::Special(special), _) => {
            let (major, minor) = special.code();
            format!("special_{major}:{minor}")
        }
        (Owner::File { id: FileId::Ino(ino), fork }, Some(_)) => format!("inode_{ino}_{fork}"),
        (Owner::File { id: FileId::Ino(ino), .. }, None) => format!("inode_{ino}_attr_bmbt"),
        (Owner::File { id: FileId::Name(_), .. }, _) => panic!("not generated"),
    };
    let file = file.map_or(",".to_owned(), |(a, b)| format!("{a},{b}"));
    format!("0,{major},{minor},{first},{last},{owner},{file},{count}\n")
}

/// The verbose form marks every second row unwritten and every third shared.
fn verbose(rows: &[FsmapRecord]) -> (String, Vec<FsmapRecord>) {
    let mut text = " EXT: DEV BLOCK-RANGE OWNER FILE-OFFSET AG AG-OFFSET TOTAL FLAGS\n".to_owned();
    let mut expected = Vec::new();
    for (index, row) in (0..).zip(rows) {
        let (unwritten, shared) = (index % 2 == 0, index % 3 == 0);
        let (first, last, count, file) = numbers(row);
        let (major, minor) = dev(row);
        let (owner, attr) = match (row.owner, file) {
            (Owner::Special(special), _) => (special.to_string(), false),
            (Owner::File { id: FileId::Ino(ino), fork }, Some((a, b))) => {
                (format!("{ino} {a}..{b}"), fork == Fork::Attr)
            }
            (Owner::File { id: FileId::Ino(ino), .. }, None) => {
                (format!("{ino} extent map"), false)
            }
            (Owner::File { id: FileId::Name(_), .. }, _) => panic!("not generated"),
        };
        let bits: u64 = [(attr, 0o1_000_000), (shared, 0o100_000), (unwritten, 0o10_000)]
            .iter()
            .map(|(on, bit)| if *on { *bit } else { 0 })
            .sum();
        let flags = if bits == 0 { String::new() } else { format!(" {bits:07o}") };
        // Rows of other devices have no group.
        let group = if index % 5 == 4 { String::new() } else { format!("3 ({first}..{last})") };
        writeln!(text, "  7: {major}:{minor} [{first}..{last}]:  {owner}  {group}  {count}{flags}")
            .unwrap();
        let marks = (Some(unwritten), Some(shared));
        expected.push(FsmapRecord { unwritten: marks.0, shared: marks.1, line: index + 2, ..*row });
    }
    (text, expected)
}
