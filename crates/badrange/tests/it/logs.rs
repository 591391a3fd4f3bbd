//! Kernel logs on the stacks they came from: the truth is what was injected and found by stamps on
//! the raw disks (`cases.json`), never what this program printed.

use std::collections::BTreeMap;

use badrange::{
    explain::{Answer, Explainer, LocatedRanges},
    input::{BlockUnit, DirFiles, MemoryFiles, RangeOptions, Topology, read_ranges},
};
use serde_json::Value;

use super::captures::{dir, read};

fn explainer(folder: &str, file: &str) -> Explainer {
    let text = read(dir(folder).join(file));
    let topology = Topology::load(file, &text, &DirFiles::new(dir(folder)));
    Explainer::new(topology.unwrap_or_else(|e| panic!("{folder}/{file}: {e}"))).unwrap()
}

fn located(explainer: &Explainer, log: &str) -> LocatedRanges {
    let size = |device: Option<&str>, unit: BlockUnit| explainer.block_size(device, unit);
    let options = RangeOptions { block_size: &size, ..RangeOptions::default() };
    explainer.locate_ranges(&read_ranges(log.as_bytes(), &options).unwrap(), explainer.only_disk())
}

fn at(located: &LocatedRanges) -> Vec<&str> {
    located.queries.iter().map(|query| query.at.as_str()).collect()
}

/// Lost bytes of each file, as half-open ranges.
type Lost = BTreeMap<(u64, Vec<String>), Vec<(u64, u64)>>;

fn lost(answer: &Answer) -> Lost {
    let mut files: BTreeMap<_, Vec<_>> = BTreeMap::new();
    let pieces = answer.queries.iter().flat_map(|query| &query.pieces);
    for owner in pieces.filter(|piece| piece.lost == Some(true)).flat_map(|piece| &piece.owners) {
        let (start, len) = (owner.start.unwrap(), owner.len.unwrap());
        let file = (owner.ino.unwrap_or(0), owner.paths.clone());
        files.entry(file).or_default().push((start, start + len));
    }
    files
}

fn covers(ranges: &[(u64, u64)], start: u64, end: u64) -> bool {
    (start..end).step_by(512).all(|at| ranges.iter().any(|(from, to)| (*from..*to).contains(&at)))
}

/// Every log of a test names at least what was bad, and explains it to the files that were hit.
#[test]
fn every_log_leads_to_what_was_injected() {
    let mut checked = 0;
    for folder in ["8-log", "8-log-scsi_debug"] {
        let cases: Value = serde_json::from_str(&read(dir(folder).join("cases.json"))).unwrap();
        for case in cases["cases"].as_array().unwrap() {
            let Some(stack) = case["stack"].as_str() else { continue };
            let explainer = explainer(folder, stack);
            for file in case["log_files"].as_array().unwrap() {
                let file = file.as_str().unwrap();
                let found = located(&explainer, &read(dir(folder).join(file)));
                assert!(found.unplaced.is_empty(), "{file}: {found:?}");
                let answer = explainer.explain(&found.queries);
                assert_eq!(answer.exit_code(), 1, "{file}");
                let files = lost(&answer);
                for wanted in case["must_report"].as_array().unwrap() {
                    let ino = wanted["ino"].as_u64().unwrap();
                    let paths: Vec<String> =
                        serde_json::from_value(wanted["paths"].clone()).unwrap();
                    let (start, len) =
                        (wanted["start"].as_u64().unwrap(), wanted["len"].as_u64().unwrap());
                    let ranges = files.get(&(ino, paths)).map_or(&[][..], Vec::as_slice);
                    assert!(
                        covers(ranges, start, start + len),
                        "{file}: {wanted} not in {files:?}"
                    );
                    checked += 1;
                }
            }
        }
    }
    // Two to three logs each of five disks, one of a device-mapper device, three each of two.
    assert_eq!(checked, 3 * 4 + 2 + 1 + 3 * 2);
}

/// The log of a whole machine, on the stack of one disk: the others are named, not lost.
#[test]
fn what_the_stack_has_no_device_for_is_named() {
    let explainer = explainer("8-log", "stack-e1ext4.toml");
    let found = located(&explainer, &read(dir("8-log").join("dmesg.txt")));
    assert_eq!(at(&found), ["vdd:70000+8", "vdd:70003+5", "vdd:69888+8"]);
    let lines: Vec<_> = found.queries.iter().map(|query| query.line).collect();
    assert_eq!(lines, [Some(2), Some(4), Some(7)]);
    let named = |device: &str| {
        let missing = format!("no device {device:?} in this stack");
        found.unplaced.iter().filter(|u| u.what.contains(&missing)).count()
    };
    let counts = ["sda", "sdb", "nvme0n1", "nvme1n1", "dm-2", "vdf", "vde"].map(named);
    assert_eq!(counts, [3, 3, 3, 2, 2, 1, 2]);
    // Addresses of btrfs, and nothing else.
    assert_eq!(found.unplaced.len(), counts.iter().sum::<usize>() + 4, "{:#?}", found.unplaced);
}

const STACK: &str = r#"
    schema = "badrange.stack/1"
    [[disk]]
    name = "sda"
    sectors = 8192
    [[disk]]
    name = "sdb"
    sectors = 8192
    logical_block = 4096
    [[dm]]
    table = "table.txt"
    devices = { "8:0" = "sda", "253:4" = "vg-data" }
"#;

const TABLE: &str = "vg-data: 0 4096 linear 8:0 2048\n";

fn described() -> Explainer {
    let files = MemoryFiles::new().with("table.txt", TABLE);
    Explainer::new(Topology::load("stack.toml", STACK, &files).unwrap()).unwrap()
}

#[test]
fn devices_are_found_by_every_name_a_log_has() {
    let explainer = described();
    let names = ["sda", "dm-4", "253:4", "8:0", "vg-data"].map(|name| {
        let place = explainer.device_of_log(name).unwrap();
        explainer.topology().devices()[place].name.as_str()
    });
    assert_eq!(names, ["sda", "vg-data", "vg-data", "sda", "vg-data"]);
    // `8:0` ends in 0 and is no device-mapper device.
    assert_eq!(["dm-0", "dm-14", "253:5", "sdc"].map(|n| explainer.device_of_log(n)), [None; 4]);
    let log = "[1.0] I/O error, dev dm-4, sector 8\n[1.1] BTRFS warning (device dm-4): i/o error at logical 5 on dev /dev/vg/data, physical 65536, root 5, inode 6, offset 0, length 4096, links 1 (path: x)\n";
    assert_eq!(at(&located(&explainer, log)), ["vg-data:8+8", "vg-data:128+8"]);
}

#[test]
fn an_event_of_several_layers_is_one() {
    let explainer = described();
    // Sector 2064 of the disk is sector 16 of the volume.
    let disk = "[1.0] I/O error, dev sda, sector 2064\n";
    let volume = "[1.1] Buffer I/O error on dev dm-4, logical block 2, async page read\n";
    let found = located(&explainer, &format!("{disk}{volume}"));
    assert_eq!((at(&found), found.merged), (vec!["sda:2064+8"], 1));
    // In whatever order they come.
    let found = located(&explainer, &format!("{volume}{disk}"));
    assert_eq!((at(&found), found.merged), (vec!["sda:2064+8"], 1));
    // The neighbour is another event; so is a volume's range that reaches further.
    let next = volume.replace("block 2", "block 3");
    assert_eq!(at(&located(&explainer, &format!("{disk}{next}"))), ["sda:2064+8", "vg-data:24+8"]);
    let wider = "[1.1] XFS (dm-4): metadata I/O error in \"f\" at daddr 0x10 len 16 error 5\n";
    assert_eq!(
        at(&located(&explainer, &format!("{disk}{wider}"))),
        ["sda:2064+8", "vg-data:16+16"]
    );
    // Two names of one device.
    let twice = "[1.0] I/O error, dev dm-4, sector 8\n[1.1] 3 2025-03-28 13:28:48 +0800 error: dev=253:4, sector=8, nr_sector=8, error='x'\n";
    let found = located(&explainer, twice);
    assert_eq!((at(&found), found.merged), (vec!["vg-data:8+8"], 1));
}

#[test]
fn blocks_get_their_size_from_the_stack() {
    let explainer = described();
    let log = "\
[1.0] sd 0:0:0:0: [sdb] tag#1 CDB: Read(10) 28 00 00 00 00 08 00 00 02 00
[1.1] EXT4-fs warning (device sda): ext4_end_bio:343: I/O error 10 writing to inode 14 starting block 3)
";
    let found = located(&explainer, log);
    assert_eq!(at(&found), ["sdb:64+16"]);
    assert_eq!(
        found.unplaced[0].what,
        "fsblock@sda:3: nobody says how large a filesystem block is"
    );
}

/// A device that ends inside a page.
#[test]
fn the_last_page_ends_with_the_device() {
    let text = "schema = \"badrange.stack/1\"\n[[disk]]\nname = \"sda\"\nsectors = 66\n";
    let topology = Topology::load("stack.toml", text, &MemoryFiles::new()).unwrap();
    let explainer = Explainer::new(topology).unwrap();
    let found = located(&explainer, "I/O error, dev sda, sector 65\n");
    assert_eq!(at(&found), ["sda:65+1"]);
    // Past the end there is nothing to end with.
    assert_eq!(at(&located(&explainer, "I/O error, dev sda, sector 66\n")), ["sda:66+6"]);
}

fn mirror() -> Explainer {
    let text = r#"
        schema = "badrange.stack/1"
        [[disk]]
        name = "vdd"
        sectors = 81920
        [[disk]]
        name = "vde"
        sectors = 81920
        [[md]]
        name = "md1"
        examine = ["mdadm_examine.D.txt", "mdadm_examine.E.txt"]
        devices = ["vdd", "vde"]
    "#;
    let topology = Topology::load("stack.toml", text, &DirFiles::new(dir("8-log-md")));
    Explainer::new(topology.unwrap()).unwrap()
}

#[test]
fn a_read_that_an_array_does_elsewhere_is_the_members() {
    let explainer = mirror();
    // The sector is the array's; the member's is its data offset of 2048 further.
    let retry = "[1.0] md/raid1:md1: vde: rescheduling sector 1000\n";
    let found = located(&explainer, retry);
    assert_eq!(at(&found), ["vde:3048+8"]);
    assert_eq!(explainer.explain(&found.queries).exit_code(), 0, "the other member has the bytes");
    // With the member's own line they are one event.
    let member = "[0.9] I/O error, dev vde, sector 3048 op 0x0:(READ)\n";
    let elsewhere = "[1.1] md/raid1:md1: redirecting sector 1000 to other mirror: vdd\n";
    let found = located(&explainer, &format!("{member}{retry}{elsewhere}"));
    assert_eq!(at(&found), ["vde:3048+8"]);
    assert_eq!(found.queries[0].line, Some(1));
    let found = located(&explainer, elsewhere);
    assert!(found.queries.is_empty());
    assert!(found.unplaced[0].what.contains("does not name the member"), "{found:?}");
}

#[test]
fn an_array_that_failed_as_a_whole_is_asked_for() {
    let explainer = mirror();
    let log = "\
[0.8] I/O error, dev vdd, sector 3048 op 0x0:(READ)
[0.9] I/O error, dev vde, sector 3048 op 0x0:(READ)
[1.0] md/raid1:md1: vde: rescheduling sector 1000
[1.1] md/raid1:md1: vdd: unrecoverable I/O read error for block 1000
";
    let found = located(&explainer, log);
    assert_eq!(at(&found), ["vdd:3048+8", "vde:3048+8", "md1:1000+8"]);
    assert_eq!(explainer.explain(&found.queries).exit_code(), 3, "nobody said what is on it");
}

#[test]
fn a_list_without_a_device_is_the_only_disks() {
    let text = "schema = \"badrange.stack/1\"\n[[disk]]\nname = \"sda\"\nsectors = 64\n";
    let topology = Topology::load("stack.toml", text, &MemoryFiles::new()).unwrap();
    let explainer = Explainer::new(topology).unwrap();
    assert_eq!(at(&located(&explainer, "8 2\n")), ["sda:8+2"]);
    let found = located(&described(), "8 2\n");
    assert_eq!(found.unplaced[0].what, "?:8+2: the text does not say which device");
}

/// An extended partition is a view of its disk. What lies beyond 64 bits there leads to no byte of the
/// disk, which is no reason to leave it out as told already.
#[test]
fn a_range_of_a_view_beyond_64_bits_is_not_lost() {
    let table = "label: dos\ndevice: sda\nunit: sectors\nsector-size: 512\n\n\
                 sda1 : start=1000, size=64, type=5\nsda5 : start=1008, size=8, type=83\n";
    let toml = "schema = \"badrange.stack/1\"\n[[disk]]\nname = \"sda\"\nsectors = 2000\n\
                [[partitions]]\non = \"sda\"\ntable = \"table\"\nnames = [\"sda1\", \"sda5\"]\n";
    let files = MemoryFiles::new().with("table", table);
    let stack = Explainer::new(Topology::load("stack.toml", toml, &files).unwrap()).unwrap();
    let log = "I/O error, dev sda1, sector 36028797018963900\n";
    let list = read_ranges(log.as_bytes(), &RangeOptions::default()).unwrap();
    let located = stack.locate_ranges(&list, None);
    assert_eq!((located.queries.len(), located.merged), (1, 0), "{located:?}");
}
