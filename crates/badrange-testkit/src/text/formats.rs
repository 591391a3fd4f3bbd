#![expect(clippy::arithmetic_side_effects, reason = "a panic is a failed check")]

use std::{collections::BTreeMap, io::BufRead};

use badrange_block::dm::Table;
use badrange_core::PageSize;
use badrange_input::{
    FileExtents, Filefrag, Format, Fsmap, InodePaths, LogStream, ParseError, PartitionTable,
    RangeOptions, XfsBmap, collect_files, parse_badblocks, parse_dm_table, parse_losetup,
    parse_lsblk, parse_lvs_json, parse_pvs_json, parse_sfdisk_dump, parse_sfdisk_json, parse_vgcfg,
    read_ranges, recognise,
};

use super::{MdExamine, TextFormat, ThinDumps, check_message, read};

type Read<T> = Result<T, ParseError>;

/// Every record of an iterator, which has to end, and at the first error at the latest.
fn all<T>(records: impl Iterator<Item = Read<T>>) -> Read<Vec<T>> {
    let mut records = records.into_iter();
    let mut found = Vec::new();
    while let Some(record) = records.next() {
        match record {
            Ok(record) => found.push(record),
            Err(err) => {
                assert!(records.next().is_none(), "goes on after {err}");
                return Err(err);
            }
        }
    }
    Ok(found)
}

/// Partition tables: `sfdisk -d` and `sfdisk --json`.
///
/// # Examples
/// ```
/// use badrange_testkit::text::{Sfdisk, TextFormat};
/// Sfdisk::check(b"label: dos\nunit: sectors\n\n/dev/sda1 : start=8, size=16, type=83\n");
/// ```
#[derive(Debug)]
pub enum Sfdisk {}

impl TextFormat for Sfdisk {
    const WORDS: &'static [&'static str] = &[
        "label: gpt",
        "label: dos",
        "label-id: ",
        "device: /dev/sda",
        "unit: sectors",
        "first-lba: ",
        "last-lba: ",
        "sector-size: 512",
        "sector-size: 4096",
        "/dev/sda1 : ",
        "start=",
        "size=",
        "type=83",
        "type=5",
        "type=f",
        "uuid=",
        "name=\"",
        "attrs=\"",
        ", ",
        "bootable",
        "{\"partitiontable\":{",
        "\"label\":\"gpt\",",
        "\"unit\":\"sectors\",",
        "\"firstlba\":",
        "\"lastlba\":",
        "\"sectorsize\":",
        "\"partitions\":[",
        "{\"node\":\"/dev/sda1\",",
        "\"start\":",
        "\"size\":",
        "\"type\":\"83\"",
        "},",
        "}]}}",
    ];

    fn check(text: &[u8]) {
        for table in [read(text, |r| parse_sfdisk_dump(r)), read(text, |r| parse_sfdisk_json(r))] {
            table.into_iter().for_each(|table| check_table(&table));
        }
    }
}

fn check_table(table: &PartitionTable) {
    let same = table.counted_in(table.logical_block);
    assert_eq!(same.as_ref(), Some(table), "counted in its own blocks");
    let aligned = |bytes: u64| bytes % table.logical_block == 0;
    for entry in &table.entries {
        assert!(aligned(entry.extent.start().get()) && aligned(entry.extent.len()), "{entry:?}");
    }
}

/// Volume groups: `vgcfgbackup`, and the JSON reports of `lvs` and `pvs`.
///
/// # Examples
/// ```
/// use badrange_testkit::text::{Lvm, TextFormat};
/// Lvm::check(b"vg0 {\nextent_size = 8192\n}\n");
/// ```
#[derive(Debug)]
pub enum Lvm {}

impl TextFormat for Lvm {
    const WORDS: &'static [&'static str] = &[
        "contents = \"Text Format Volume Group\"",
        "version = 1",
        "vg0 {",
        "id = \"",
        "extent_size = ",
        "physical_volumes {",
        "pv0 {",
        "device = \"/dev/sda2\"",
        "dev_size = ",
        "pe_start = ",
        "pe_count = ",
        "logical_volumes {",
        "root {",
        "status = [\"READ\", \"WRITE\", \"VISIBLE\"]",
        "segment_count = ",
        "segment1 {",
        "start_extent = ",
        "extent_count = ",
        "type = \"striped\"",
        "type = \"thin\"",
        "type = \"thin-pool\"",
        "thin_pool = \"pool\"",
        "metadata = \"pool_tmeta\"",
        "pool = \"pool_tdata\"",
        "chunk_size = 128",
        "device_id = 1",
        "external_origin = \"root\"",
        "type = \"raid1\"",
        "raids = [",
        "mirrors = [",
        "stripe_count = ",
        "stripe_size = ",
        "stripes = [",
        "\"pv0\", ",
        "]",
        "}",
        "# ",
        "{\"report\":[{\"lv\":[{",
        "{\"report\":[{\"pvseg\":[{",
        "\"lv_name\":\"",
        "\"vg_name\":\"",
        "\"segtype\":\"striped\"",
        "\"stripes\":\"",
        "\"stripe_size\":\"",
        "\"seg_start_pe\":\"",
        "\"seg_size_pe\":\"",
        "\"seg_pe_ranges\":\"/dev/sda2:",
        "\"devices\":\"/dev/sda2(",
        "\"vg_extent_size\":\"8192S\"",
        "\"pv_name\":\"/dev/sda2\"",
        "\"pe_start\":\"2048S\"",
        "\"pvseg_start\":\"",
        "\"pvseg_size\":\"",
        "}]}]}",
    ];

    /// The two reports are one text each, and read together: a line of `--` alone separates them.
    fn check(text: &[u8]) {
        let groups = read(text, |r| parse_vgcfg(r));
        groups.into_iter().flatten().for_each(|group| {
            for segment in group.lvs.iter().flat_map(|lv| &lv.segments) {
                assert!(segment.extent_count > 0, "{segment:?}");
            }
        });
        let shown = |text: &[u8]| {
            let lvs = read(text, |r| Ok(format!("{:?}", parse_lvs_json(r)?)));
            let pvs = read(text, |r| Ok(format!("{:?}", parse_pvs_json(r)?)));
            (lvs.is_ok(), pvs.is_ok())
        };
        let separator = text.windows(4).position(|w| w == b"\n--\n");
        let Some((lvs, pvs)) =
            separator.and_then(|at| Some((text.get(..at)?, text.get(at + 4..)?)))
        else {
            shown(text);
            return;
        };
        if let ((true, _), (_, true)) = (shown(lvs), shown(pvs)) {
            let (lvs, pvs) = (parse_lvs_json(lvs).unwrap_or_else(never), parse_pvs_json(pvs));
            if let Err(err) = lvs.volume_groups(&pvs.unwrap_or_else(never)) {
                check_message(None, &err.to_string(), text);
            }
        }
    }
}

#[expect(clippy::panic, reason = "a failed check")]
fn never<T>(err: ParseError) -> T {
    panic!("read before: {err}")
}

/// Tables of all devices: `dmsetup table`.
///
/// # Examples
/// ```
/// use badrange_testkit::text::{Dmsetup, TextFormat};
/// Dmsetup::check(b"lv: 0 8 linear 8:2 2048\nlv: 8 16 striped 2 8 8:0 0 8:16 0\n");
/// ```
#[derive(Debug)]
pub enum Dmsetup {}

impl TextFormat for Dmsetup {
    const WORDS: &'static [&'static str] = &[
        "vg-lv: ",
        "0 8 linear 8:2 2048",
        "8 16 striped 2 8 8:0 0 8:16 0",
        "linear ",
        "striped ",
        "error",
        "zero",
        "crypt aes-xts-plain64 :64:logon:cryptsetup:x 0 8:3 32768",
        "delay 8:0 0 500",
        "flakey 8:16 0 30 5",
        "dust /dev/vdb1 0 512",
        "thin 254:12 1",
        "thin-pool 254:10 254:11 128 0 0",
        "mirror core 1 1024 2 254:57 0 254:58 0 1 handle_errors",
        "raid raid1 3 0 region_size 1024 2 254:1 254:2 254:3 254:4",
        "snapshot-origin 254:3",
        "8:0 ",
        "/dev/mapper/vg--a-lv ",
    ];

    fn check(text: &[u8]) {
        let Ok(devices) = read(text, |r| parse_dm_table(r)) else { return };
        for device in devices {
            let lines: Vec<&str> = device.lines.iter().map(|line| line.text.as_str()).collect();
            let Ok(table) = Table::parse(&lines.join("\n")) else { continue };
            assert_eq!(
                Table::parse(&table.to_string()),
                Ok(table),
                "a printed table reads as itself"
            );
        }
    }
}

/// What `xfs_io -c fsmap` prints, plain, `-v` and `-m`.
///
/// # Examples
/// ```
/// use badrange_testkit::text::{Fsmaps, TextFormat};
/// Fsmaps::check(b"EXT,MAJOR,MINOR,PSTART,PEND,OWNER,OSTART,OEND,LENGTH\n0,7,0,0,7,special_88:1,,,8\n");
/// ```
#[derive(Debug)]
pub enum Fsmaps {}

impl TextFormat for Fsmaps {
    const WORDS: &'static [&'static str] = &[
        "\t0: 8:1 [0..7]: static fs metadata 8",
        "\t1: 8:1 [8..15]: inode 132 data 0..7 8",
        "EXT,MAJOR,MINOR,PSTART,PEND,OWNER,OSTART,OEND,LENGTH",
        "0,7,0,0,7,special_88:1,,,8",
        "6,7,0,104,111,inode_134_data,16384,16391,8",
        "8,7,0,120,127,inode_134_data_bmbt,,,8",
        " EXT: DEV    BLOCK-RANGE           OWNER              FILE-OFFSET      AG AG-OFFSET             TOTAL FLAGS",
        "7: 7:0 [192..8383]:",
        "[0..7]: ",
        "inode ",
        " data ",
        " attr ",
        "extent map ",
        "free space ",
        "unknown ",
        "journalling log ",
        "per-AG metadata ",
        "inode btree ",
        "inodes ",
        "refcount btree ",
        "cow reservation ",
        "defective ",
        "special 102:1 ",
        "0100000",
        "0010000",
        "1000000",
        "0 (192..8383) ",
    ];

    fn check(text: &[u8]) {
        let records = read(text, |r| all(Fsmap::new(r))).unwrap_or_default();
        for record in &records {
            assert!(record.extent.len() % 512 == 0 && record.extent.start().get() % 512 == 0);
        }
        assert!(records.is_sorted_by(|a, b| a.line < b.line), "one record to a line");
    }
}

/// Maps of files: `filefrag -v` and `xfs_bmap -v`.
///
/// # Examples
/// ```
/// use badrange_testkit::text::{FileMaps, TextFormat};
/// FileMaps::check(b"/a:\n   0: [0..127]: hole 128\n");
/// ```
#[derive(Debug)]
pub enum FileMaps {}

impl TextFormat for FileMaps {
    const WORDS: &'static [&'static str] = &[
        "Filesystem type is: 58465342",
        "File size of a is 3145728 (768 blocks of 4096 bytes)",
        " ext:     logical_offset:        physical_offset: length:   expected: flags:",
        "   0:       16..      31:       2680..      2695:     16:         16:",
        "last,shared,eof",
        "unwritten",
        "delalloc",
        "inline",
        "unknown",
        "encoded",
        "a: 2 extents found",
        "a:",
        " EXT: FILE-OFFSET      BLOCK-RANGE      AG AG-OFFSET        TOTAL FLAGS",
        "   0: [0..127]:      21440..21567      0 (21440..21567)     128 0000000",
        "[0..127]: hole 128",
        "0010000",
        "..",
    ];

    fn check(text: &[u8]) {
        let frag = read(text, |r: &mut dyn BufRead| {
            collect_files(all(Filefrag::new(r))?.into_iter().map(Ok))
        });
        let bmap = read(text, |r: &mut dyn BufRead| {
            collect_files(all(XfsBmap::new(r))?.into_iter().map(Ok))
        });
        frag.into_iter().chain(bmap).flatten().for_each(|file| check_file(&file));
    }
}

fn check_file(file: &FileExtents) {
    for extent in &file.extents {
        let placed = extent.place.device();
        assert!(placed.is_none_or(|on| on.len() == extent.file.len()), "{extent:?}");
        assert!(extent.line >= file.file.line, "{extent:?} before its file");
    }
}

/// Lists of bad sectors as sysfs prints them, against their lines read in the plainest way.
///
/// # Examples
/// ```
/// use badrange_testkit::text::{BadblocksText, TextFormat};
/// BadblocksText::check(b"0 512\n512 512\n1024 276\n");
/// ```
#[derive(Debug)]
pub enum BadblocksText {}

impl TextFormat for BadblocksText {
    const WORDS: &'static [&'static str] = &["0 512", "512 512", "8 1", "4294967296 8"];

    fn check(text: &[u8]) {
        let Ok(list) = read(text, |r| parse_badblocks(r)) else { return };
        let apart = |pair: &[badrange_input::BadRange]| match pair {
            [a, b] => a.extent.end() < b.extent.start(),
            _ => true,
        };
        assert!(list.ranges.windows(2).all(apart), "ascending, and joined where they touch");
        let text = String::from_utf8_lossy(text);
        let text = text.trim_start_matches('\u{feff}');
        let words = |line: &str| -> Option<(u64, u64)> {
            let (start, len) = line.trim().split_once(char::is_whitespace)?;
            Some((start.parse().ok()?, len.trim().parse().ok()?))
        };
        let mut edges: BTreeMap<u64, i64> = BTreeMap::new();
        for (start, len) in text.lines().filter_map(words) {
            *edges.entry(start).or_default() += 1;
            *edges.entry(start + len).or_default() -= 1;
        }
        let mut due = Vec::new();
        let (mut depth, mut begin) = (0, 0);
        for (at, change) in edges.into_iter().filter(|(_, change)| *change != 0) {
            let before = depth;
            depth += change;
            match (before, depth) {
                (0, _) => begin = at,
                (_, 0) => due.push((begin * 512, at * 512)),
                _ => {}
            }
        }
        let said: Vec<_> =
            list.ranges.iter().map(|r| (r.extent.start().get(), r.extent.end().get())).collect();
        // A list that was cut lacks its last, partial line.
        assert!(said == due || list.truncated, "{said:?}, line by line {due:?}");
    }
}

/// Texts that name bad ranges: kernel logs, trace events, lists, JSON of memory tools, rescue maps.
///
/// # Examples
/// ```
/// use badrange_testkit::text::{BadRanges, TextFormat};
/// BadRanges::check(b"[1.0] critical medium error, dev sda, sector 100000 op 0x0:(READ)\n");
/// BadRanges::check(b"0x00000000  0x1000  -\n");
/// ```
#[derive(Debug)]
pub enum BadRanges {}

impl TextFormat for BadRanges {
    const WORDS: &'static [&'static str] = &[
        "[  903.737002] ",
        "<3>",
        "Nov 20 16:00:28 vm kernel: ",
        "blk_update_request: ",
        "print_req_error: ",
        "I/O error, dev sda, sector 8",
        "critical medium error, dev nvme0n1, sector 40910720 op 0x0:(READ) flags 0x80700 phys_seg 1",
        "Buffer I/O error on dev dm-0, logical block 32873, async page read",
        "sd 5:0:0:0: [sdr] tag#80 CDB: Read(10) 28 00 00 00 2d 88 00 04 00 00",
        "sd 0:0:0:0: [sdc] tag#30 CDB: Read(16) 88 00 00 00 00 00 93 40 d7 58 00 00 00 08 00 00",
        "sd 5:0:0:0: [sdr] tag#80 Sense Key : Medium Error [current]",
        "res 41/40:00:90:2b:a9/00:00:73:00:00/40 Emask 0x409 (media error) <F>",
        "nvme0n1: Read(0x2) @ LBA 96673920, 8 blocks, Unrecovered Read Error (sct 0x2 / sc 0x81)",
        "4096-byte logical blocks",
        "XFS (dm-0): metadata I/O error in \"xfs_imap_to_bp+0x53/0x70 [xfs]\" at daddr 0x3a0 len 32 error 5",
        "EXT4-fs warning (device sda1): ext4_end_bio:343: I/O error 10 writing to inode 14 starting block 36928)",
        "BTRFS warning (device sda3): i/o error at logical 3266019328 on dev /dev/sda3, physical 1114341376, root 402",
        "md/raid1:md0: read error corrected (8 sectors at 14393 on sda1)",
        "Memory failure: 0x1850602: recovery action for dax page: Recovered",
        "Memory failure: 0x1850602: Sending SIGBUS to a b:c):8457 due to hardware memory corruption",
        "mce: Uncorrected hardware memory error in user-access at 1850602400",
        "{3}[Hardware Error]:   physical_address: 0x00000040a0602400",
        "nd_bus ndbus0: Found a bad range (0x40a0602000, 0x1000)",
        "callbacks suppressed",
        "memory_failure_event: pfn 0x19869: recovery action for free buddy page: Delayed",
        "cxl_poison: memdev=mem0 region=region5 hpa=0xf110001000 dpa=0x40000000 dpa_length=0x40",
        " source=Injected flags=Overflow",
        "pfn=0xe53218, page_type=dax page, action_result=Recovered",
        "dev=8:16, sector=78014, nr_sector=8, error='critical medium error'",
        "Bad-blocks on /dev/sda1:",
        "1932632 for 8 sectors",
        "{\"dev\":\"namespace7.0\",\"mode\":\"raw\",\"badblocks\":[{\"offset\":4,\"length\":1}]}",
        "{\"region\":\"region5\",\"resource\":\"0xf110000000\",\"media_errors\":[{\"offset\":\"0x1000\",\"length\":64}]}",
        "# Mapfile. Created by GNU ddrescue version 1.27",
        "0x22A53FC00     +               3",
        "0x22A53F000  0x00000600  -",
        "0x22A53F600  0x00000A00  ?",
        "# 1  Extended offline    Completed: read failure       90%       217         0x016561e9",
    ];

    fn check(text: &[u8]) {
        for options in [RangeOptions::default(), KNOWN] {
            let Ok(list) = read(text, |r| read_ranges(r, &options)) else { continue };
            let lines = text.iter().filter(|b| **b == b'\n').count() as u64 + 1;
            for range in &list.ranges {
                assert!((1..=lines).contains(&range.line), "{range:?} of {lines} lines");
                let place = range.place.to_string();
                assert!(!place.chars().any(char::is_control), "a terminal would obey {place:?}");
            }
        }
        let (mut at_once, mut in_bytes) = (Vec::new(), Vec::new());
        let (mut whole, mut pieces) = (LogStream::new(), LogStream::new());
        whole.push(text, &mut at_once);
        text.iter().for_each(|byte| pieces.push(&[*byte], &mut in_bytes));
        assert_eq!(at_once, in_bytes, "a stream says the same, however it is cut");
        whole.finish(&mut at_once);
        pieces.finish(&mut in_bytes);
        assert_eq!(at_once, in_bytes);
    }
}

/// Everything that a text may leave open.
const KNOWN: RangeOptions<'static> = RangeOptions {
    device: Some("sda"),
    block_size: &|_, _| Some(4096),
    untried_is_bad: true,
    page: PageSize::K16,
};

/// Any text: its format is told from its content, and it is read as that; lists of paths too.
///
/// # Examples
/// ```
/// use badrange_testkit::text::{AnyFormat, TextFormat};
/// AnyFormat::check(b"NAME   MAJ:MIN RM  SIZE RO TYPE MOUNTPOINTS\n");
/// AnyFormat::check(b"132 /ib/orders.ibd\n");
/// ```
#[derive(Debug)]
pub enum AnyFormat {}

impl TextFormat for AnyFormat {
    const WORDS: &'static [&'static str] = &[
        "132 /ib/orders.ibd",
        "NAME   MAJ:MIN RM  SIZE RO TYPE MOUNTPOINTS",
        "{\"blockdevices\": [",
        "[   12.345678] ",
        "I/O error, dev sda, sector 8",
        "label: gpt",
        "0 8 linear 8:0 0",
        "\t0: 8:1 [0..7]: unknown 8",
        "EXT,MAJOR,MINOR",
        "Filesystem type is:",
        "Disk /dev/sda: 1 GiB",
        "# Mapfile. Created by GNU ddrescue",
    ];

    fn check(text: &[u8]) {
        let _paths = read(text, |r| all(InodePaths::new(r)));
        let format = match recognise(text) {
            Ok(format) => format,
            Err(err) => return check_message(err.line(), &err.to_string(), text),
        };
        match format {
            Format::SfdiskDump | Format::SfdiskJson => Sfdisk::check(text),
            Format::VgCfg | Format::LvsJson | Format::PvsJson => Lvm::check(text),
            Format::DmTable => Dmsetup::check(text),
            Format::FsmapPlain | Format::FsmapVerbose | Format::FsmapMachine => Fsmaps::check(text),
            Format::XfsBmap | Format::Filefrag => FileMaps::check(text),
            Format::Badblocks => BadblocksText::check(text),
            Format::MdExamine => MdExamine::check(text),
            Format::ThinDump => ThinDumps::check(text),
            Format::Lsblk => drop(read(text, |r| parse_lsblk(r))),
            Format::Losetup => drop(read(text, |r| parse_losetup(r))),
            // Read above, whatever the text is taken for.
            Format::InodePaths => {}
            // A format that is new and has no case here yet.
            _ => {}
        }
    }
}
