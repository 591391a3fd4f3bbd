//! Plans against bytes counted one by one, and with names that are out to do harm.
#![expect(clippy::arithmetic_side_effects, reason = "small numbers, and a panic is a failed test")]

use core::fmt::Write as _;
use std::collections::BTreeSet;

use badrange_input::{MemoryFiles, Topology};
use proptest::prelude::*;

use super::{advise::lv_of, *};
use crate::{
    Explainer,
    advice::{ActionKind, RiskLevel},
};

const SECTOR: u64 = 512;

fn explainer(text: &str, files: &MemoryFiles) -> Explainer {
    Explainer::new(Topology::load("stack.toml", text, files).unwrap()).unwrap()
}

fn plan(explainer: &Explainer, at: &str) -> Plan {
    Plan::new(explainer, &explainer.explain(&explainer.locate(at).unwrap()))
}

fn pmem(map: &str, paths: &str) -> Explainer {
    let text = r#"
        schema = "badrange.stack/1"
        [[pmem]]
        name = "pmem0"
        phys = "0x240000000"
        size = 0x20000000
        data_offset = 0x200000
        mode = "fsdax"
        [[fs]]
        device = "pmem0"
        kind = "xfs"
        map = ["map.txt"]
        paths = "paths.txt"
        block_size = 4096
    "#;
    explainer(text, &MemoryFiles::new().with("map.txt", map).with("paths.txt", paths))
}

fn spans(all: &[Span]) -> Vec<(u64, u64)> {
    all.iter().map(|span| (span.start, span.len)).collect()
}

fn kinds(actions: &[Action]) -> Vec<&'static str> {
    actions.iter().map(|action| action.kind.as_str()).collect()
}

fn commands(actions: &[Action]) -> Vec<String> {
    actions.iter().filter_map(|action| action.command.as_ref()).map(ToString::to_string).collect()
}

#[test]
fn a_page_of_persistent_memory_is_cleared_in_the_kernels_order() {
    // File 131 has sectors 2048..2064 of the device: bytes 0..8192 of the file.
    let explainer = pmem("\t0: 259:0 [2048..2063]: inode 131 data 0..15 16\n", "131 /a\n");
    // 64 bytes, 256 bytes into the second page of the file: 2048 sectors, 4096 and 256 bytes.
    let at = 0x2_4000_0000_u64 + 0x20_0000 + 2048 * SECTOR + 4096 + 256;
    let plan = plan(&explainer, &format!("phys:{at:#x}+0x40"));
    let [subject] = &plan.subjects[..] else { panic!("one file") };
    let [unit] = &subject.units[..] else { panic!("one page") };
    assert_eq!((unit.start, unit.len), (4096, 4096));
    assert_eq!(spans(&unit.bad), [(4352, 64)]);
    assert_eq!(spans(&unit.restore), [(4096, 512)], "a sector is what can be read by itself");
    let from = Position { device: "pmem0".into(), start: 2048 * 512 + 4608, stride: None };
    assert_eq!(unit.salvage, [Salvage { start: 4608, len: 3584, from: Some(from) }]);
    assert_eq!(
        kinds(&unit.steps),
        [
            "salvage",
            "restore",
            "clear-poison",
            "page-state",
            "write-data",
            "badblocks",
            "verify",
            "punch-hole"
        ]
    );
    assert_eq!(
        commands(&unit.steps),
        [
            "dd if=\"$DEV_PMEM0\" of=\"$WORK\"/unit-1 bs=512 iflag=direct,skip_bytes,count_bytes \
             skip=1053184 count=3584 oflag=seek_bytes seek=512 conv=notrunc",
            "dd if=\"$BACKUP_PMEM0\"/a of=\"$WORK\"/unit-1 iflag=skip_bytes,count_bytes skip=4096 \
             count=512 oflag=seek_bytes seek=0 conv=notrunc",
            "dd if=\"$WORK\"/unit-1 of=\"$MNT_PMEM0\"/a bs=4096 count=1 oflag=direct,seek_bytes \
             seek=4096 conv=notrunc,fsync",
            "cmp --ignore-initial=4096:0 --bytes=4096 -- \"$MNT_PMEM0\"/a \"$WORK\"/unit-1",
            "fallocate --punch-hole --offset=4096 --length=4096 -- \"$MNT_PMEM0\"/a",
        ]
    );
    let restore: Vec<_> = plan.restore().map(|r| (r.file.ino, r.start, r.len)).collect();
    assert_eq!(restore, [(Some(131), 4096, 512)]);
    assert_eq!(plan.devices[0].device, "pmem0");
    assert_eq!(spans(&plan.devices[0].bad), [(2048 * 512 + 4352, 64)]);
    assert_eq!(plan.warnings, [""; 0]);
}

#[test]
fn pages_with_other_sharers_are_units_of_their_own() {
    // Pages 0 and 1 of file 131; page 1 is page 4 of file 140 as well.
    let map = "\t0: 259:0 [0..15]: inode 131 data 0..15 16\n\
               \t1: 259:0 [8..15]: inode 140 data 32..39 8\n";
    let explainer = pmem(map, "131 /a\n140 /b\n");
    let plan = plan(&explainer, "pmem0:6+4");
    let [a, b] = &plan.subjects[..] else { panic!("two files") };
    let shape = |unit: &Unit| (unit.start, unit.len, unit.shared_with.len(), spans(&unit.restore));
    let units: Vec<_> = a.units.iter().map(shape).collect();
    assert_eq!(units, [(0, 4096, 0, vec![(3072, 1024)]), (4096, 4096, 1, vec![(4096, 1024)])]);
    let units: Vec<_> = b.units.iter().map(shape).collect();
    assert_eq!(units, [(16384, 4096, 1, vec![(16384, 1024)])]);
    // What is shared is not cleared by writing: the file gets new blocks.
    assert!(kinds(&a.units[0].steps).contains(&"clear-poison"));
    assert!(!kinds(&a.units[1].steps).contains(&"clear-poison"));
    assert_eq!(a.units[1].shared_with[0].paths, ["/b"]);
}

#[test]
fn good_bytes_that_no_map_places_are_read_through_the_file() {
    // Blocks of 1 KiB: the page of the file is on two places, and its last block nowhere.
    let text = r#"
        schema = "badrange.stack/1"
        [[disk]]
        name = "sda"
        sectors = 1000
        [[fs]]
        device = "sda"
        kind = "ext4"
        map = ["map.txt"]
        block_size = 1024
    "#;
    let map = "\t0: 8:0 [10..13]: inode 12 data 0..3 4\n\t1: 8:0 [50..51]: inode 12 data 4..5 2\n";
    let explainer = explainer(text, &MemoryFiles::new().with("map.txt", map));
    let plan = plan(&explainer, "sda:12");
    let unit = &plan.subjects[0].units[0];
    let place = |part: &Salvage| (part.start, part.len, part.from.as_ref().map(|from| from.start));
    let salvage: Vec<_> = unit.salvage.iter().map(place).collect();
    assert_eq!(
        salvage,
        [(0, 1024, Some(10 * 512)), (1536, 512, Some(13 * 512)), (2048, 2048, None)]
    );
    assert_eq!(spans(&unit.restore), [(1024, 512)]);
    // A file without a name: the first step finds it.
    let first = plan.subjects[0].before[0].command.as_ref().unwrap().to_string();
    assert_eq!(first, "find \"$MNT_SDA\" -xdev -inum 12");
    // A disk may have the bytes in memory, and clears nothing.
    let due = [
        "salvage",
        "salvage",
        "salvage",
        "salvage",
        "restore",
        "write-data",
        "verify",
        "punch-hole",
    ];
    assert_eq!(kinds(&unit.steps), due);
}

#[test]
fn paths_are_put_below_the_mount_point_once() {
    let path = |mount: &str, paths: &str| {
        let mount = if mount.is_empty() { String::new() } else { format!("mount = \"{mount}\"\n") };
        let text = format!(
            "schema = \"badrange.stack/1\"\n[[disk]]\nname = \"sda\"\nsectors = 64\n[[fs]]\n\
             device = \"sda\"\nkind = \"xfs\"\nmap = [\"map\"]\npaths = \"paths\"\n{mount}\
             block_size = 4096\n"
        );
        let map = "\t0: 8:0 [0..7]: inode 12 data 0..7 8\n";
        let files = MemoryFiles::new().with("map", map).with("paths", paths);
        let plan = plan(&explainer(&text, &files), "sda:0");
        commands(&plan.subjects[0].before)[0].strip_prefix("fuser --verbose ").unwrap().to_owned()
    };
    assert_eq!(path("", "12 /x/y\n"), "\"$MNT_SDA\"/x/y");
    assert_eq!(path("", "12 x/y\n"), "\"$MNT_SDA\"/x/y");
    assert_eq!(path("/", "12 /x/y\n"), "/x/y");
    assert_eq!(path("/mnt", "12 /x/y\n"), "/mnt/x/y");
    assert_eq!(path("/mnt/", "12 x/y\n"), "/mnt/x/y");
    assert_eq!(path("/mnt", "12 /mnt/x\n"), "/mnt/x");
    assert_eq!(path("/mnt", "12 /mnt2/x\n"), "/mnt/mnt2/x");
}

#[test]
fn a_range_of_everything_has_advice_for_everything() {
    let map = "\t0: 259:0 [0..7]: static fs metadata 8\n\
               \t1: 259:0 [8..15]: journalling log 8\n\
               \t2: 259:0 [16..23]: inode 131 attr 0..7 8\n\
               \t3: 259:0 [24..31]: inode 131 data extent map 8\n\
               \t4: 259:0 [32..39]: inode 131 data 0..7 8\n\
               \t5: 259:0 [40..47]: unwritten inode 132 data 0..7 8\n\
               \t6: 259:0 [48..55]: free space 8\n";
    let map = map.replace("unwritten inode 132 data 0..7", "inode 132 data 0..7");
    let explainer = pmem(&map, "131 /a\n");
    let plan = plan(&explainer, "pmem0:0+64,phys:0x240000000+8,phys:0x10,pmem0:0x10000000000");
    let found: Vec<_> = plan.subjects.iter().map(|s| s.verdict.as_str()).collect();
    let due = [
        "fs-metadata",
        "fs-journal",
        "file-metadata",
        "file-metadata",
        "file",
        "file",
        "fs-free",
        "fs-unknown",
        "pmem-metadata",
        "no-owner",
        "outside",
    ];
    assert_eq!(found, due);
    for subject in &plan.subjects {
        let steps = subject.units.iter().flat_map(|unit| &unit.steps);
        let all: Vec<_> = subject.before.iter().chain(steps).chain(&subject.after).collect();
        assert!(!all.is_empty(), "{}", subject.title());
        for action in all {
            assert!(!action.why.is_empty() && !action.risk.what.is_empty());
            // Whatever writes says so.
            let writes = matches!(action.kind, ActionKind::WriteData | ActionKind::Repair);
            assert!(!writes || action.risk.level >= RiskLevel::Overwrites, "{action:?}");
        }
    }
    // Below the data of the namespace nothing helps, and that is said.
    assert!(plan.warnings.iter().any(|warning| warning.contains("pmem-metadata")));
}

#[test]
fn a_stretch_of_too_many_pieces_is_cut_and_says_so() {
    let text = r#"
        schema = "badrange.stack/1"
        [[disk]]
        name = "a"
        sectors = 4000000
        [[disk]]
        name = "b"
        sectors = 4000000
        [[dm]]
        table = "table.txt"
        name = "stripe"
        devices = { "8:0" = "a", "8:16" = "b" }
    "#;
    let table = "0 8000000 striped 2 16 8:0 0 8:16 0\n";
    let explainer = explainer(text, &MemoryFiles::new().with("table.txt", table));
    let plan = plan(&explainer, "a:0+4000000");
    assert_eq!(plan.warnings.iter().filter(|w| w.starts_with("more than 65536")).count(), 1);
    assert!(plan.subjects.iter().all(|subject| subject.bad.len() <= 256));
}

#[test]
fn group_and_volume_come_out_of_a_device_mapper_name() {
    let of = |name| lv_of(name).map(|(group, volume)| format!("{group}|{volume}"));
    assert_eq!(of("vg-lv").as_deref(), Some("vg|lv"));
    assert_eq!(of("my--vg-a--b--c").as_deref(), Some("my-vg|a-b-c"));
    assert_eq!(of("vg-lv_rimage_0").as_deref(), Some("vg|lv_rimage_0"));
    assert_eq!(of("plain"), None);
    assert_eq!(of("my--disk"), None);
    assert_eq!(of("-lv"), None);
    assert_eq!(of("vg-"), None);
    assert_eq!(of(""), None);
}

/// Names that end lines, quotes and commands, or look like something else.
const NASTY: [&str; 8] = [
    "/a b",
    "/it's",
    "/$(touch x)`touch y`",
    "/-rf",
    "/\u{202e}txt.exe",
    "/\"; rm -rf /; \"",
    "/a\\nb",
    "/tab\there",
];

#[test]
fn no_name_gets_out_of_a_comment() {
    for name in NASTY {
        let explainer =
            pmem("\t0: 259:0 [0..7]: inode 131 data 0..7 8\n", &format!("131 {name}\n"));
        let script = plan(&explainer, "pmem0:3").to_script();
        assert!(script.lines().all(|line| line.starts_with('#')), "{script}");
        let hidden = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!script.chars().any(hidden), "{name:?}");
    }
}

#[test]
fn a_line_end_in_a_device_name_stays_in_the_comment() {
    for end in ["\\n", "\\r", "\\u2028", "\\u0085", "\\u000b"] {
        let text = format!(
            "schema = \"badrange.stack/1\"\n[[disk]]\nname = \"a{end}rm -rf x\"\nsectors = 64\n"
        );
        let explainer = explainer(&text, &MemoryFiles::new());
        let name = explainer.topology().devices()[0].name.clone();
        let plan = plan(&explainer, &format!("{name}:1"));
        let script = plan.to_script();
        let ends = ['\n', '\r', '\u{b}', '\u{85}', '\u{2028}'];
        for line in script.trim_end().split(ends) {
            assert!(line.starts_with('#'), "{line:?} of {script}");
        }
        let json: serde_json::Value = serde_json::from_str(&plan.to_json()).unwrap();
        assert_eq!(json["subjects"][0]["device"], name);
    }
}

/// A file of a drawn filesystem: extents of so many sectors at these places, one after the other.
fn drawn() -> impl Strategy<Value = Vec<(u64, u64, u64, u64)>> {
    // Device sector, sectors, inode, sector of the file.
    prop::collection::vec((0..60_u64, 1..12_u64, 12..15_u64, 0..40_u64), 1..8)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn units_are_whole_pages_of_what_is_good_and_what_is_not(
        records in drawn(), bad in prop::collection::vec((0..80_u64 * 512, 1..3000_u64), 1..4),
        block in prop::sample::select(&[512_u64, 1024, 4096, 16384][..]),
    ) {
        let mut map = String::new();
        for (number, (at, len, ino, file)) in records.iter().enumerate() {
            let (end, last) = (at + len - 1, file + len - 1);
            writeln!(map, "\t{number}: 8:0 [{at}..{end}]: inode {ino} data {file}..{last} {len}").unwrap();
        }
        let text = format!(
            "schema = \"badrange.stack/1\"\n[[disk]]\nname = \"sda\"\nsectors = 200\n[[fs]]\n\
             device = \"sda\"\nkind = \"xfs\"\nmap = [\"map\"]\nblock_size = {block}\n"
        );
        let files = MemoryFiles::new().with("map", &*map);
        let Ok(topology) = Topology::load("stack.toml", &text, &files) else { return Ok(()) };
        let explainer = Explainer::new(topology).unwrap();
        let at: Vec<_> = bad.iter().map(|(start, len)| format!("sda:{start}+{len}B")).collect();
        let plan = plan(&explainer, &at.join(","));
        let bad: BTreeSet<u64> = bad.iter().flat_map(|(start, len)| *start..start + len).collect();

        // Every bad byte of every file, counted from the records.
        let mut due: BTreeSet<(u64, u64)> = BTreeSet::new();
        let mut owns: BTreeSet<(u64, u64, u64)> = BTreeSet::new();
        for (at, len, ino, file) in records {
            for by in 0..len * SECTOR {
                owns.insert((ino, file * SECTOR + by, at * SECTOR + by));
                if bad.contains(&(at * SECTOR + by)) {
                    due.insert((ino, file * SECTOR + by));
                }
            }
        }
        let page = block.max(4096);
        let mut covered = BTreeSet::new();
        for subject in &plan.subjects {
            let Some(ino) = subject.file.as_ref().and_then(|file| file.ino) else { continue };
            let mut end = 0;
            for unit in &subject.units {
                prop_assert_eq!((unit.start % page, unit.len % page), (0, 0));
                prop_assert!(unit.start >= end, "ascending, apart");
                end = unit.start + unit.len;
                check(unit, ino, &due, &owns, &bad)?;
                covered.extend((unit.start..end).map(|at| (ino, at)));
                for at in (unit.start..end).step_by(usize::try_from(page).unwrap()) {
                    let hit = (at..at + page).any(|byte| due.contains(&(ino, byte)));
                    prop_assert!(hit, "a page without a bad byte is left alone");
                }
            }
        }
        prop_assert!(due.is_subset(&covered), "every bad byte is in a unit");
    }
}

/// One unit against the bytes.
fn check(
    unit: &Unit,
    ino: u64,
    due: &BTreeSet<(u64, u64)>,
    owns: &BTreeSet<(u64, u64, u64)>,
    bad: &BTreeSet<u64>,
) -> Result<(), TestCaseError> {
    let mut parts: Vec<_> = unit.restore.iter().map(|span| (span.start, span.len)).collect();
    parts.extend(unit.salvage.iter().map(|part| (part.start, part.len)));
    parts.sort_unstable();
    let mut next = unit.start;
    for (start, len) in parts {
        prop_assert_eq!(start, next, "every byte is salvaged or restored, never both");
        next = start + len;
    }
    prop_assert_eq!(next, unit.start + unit.len);
    for span in &unit.restore {
        for sector in (span.start..span.end()).step_by(512) {
            let hit = (sector..sector + SECTOR).any(|byte| due.contains(&(ino, byte)));
            prop_assert!(hit, "a sector without a bad byte can be read");
        }
    }
    for part in &unit.salvage {
        for by in 0..part.len {
            prop_assert!(!due.contains(&(ino, part.start + by)), "bad bytes are never salvaged");
            if let Some(from) = &part.from {
                prop_assert!(owns.contains(&(ino, part.start + by, from.start + by)));
                prop_assert!(!bad.contains(&(from.start + by)));
            }
        }
    }
    Ok(())
}
