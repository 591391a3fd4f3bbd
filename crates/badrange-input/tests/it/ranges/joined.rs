//! Lines that belong together: requests and their sectors, wrapped lines, several layers.

use super::listed;

const CDB: &str =
    "[   20.431076] sd 0:0:0:0: [sda] tag#34 CDB: Read(10) 28 00 00 01 0f 00 00 04 00 00";
const SECTOR: &str = "[   20.431110] critical medium error, dev sda, sector 69376 op 0x0:(READ) flags 0x80700 phys_seg 128 prio class 2";

#[test]
fn a_request_beside_a_sector_gives_the_length() {
    assert_eq!(listed(format!("{CDB}\n{SECTOR}\n")), ["sda:69376+1024 at-most 1"]);
    // Another disk's sector stays alone; the request waits, and its block size is never told.
    let other = SECTOR.replace("sda", "sdb");
    assert_eq!(
        listed(format!("{CDB}\n{other}\n")),
        ["lba@sda:69376+1024 at-most 1", "sdb:69376+8 unknown-extent 2"]
    );
}

#[test]
fn lines_of_other_disks_may_stand_between() {
    let nvme = "nvme0n1: I/O Cmd(0x2) @ LBA 101234, 1 blocks, I/O Error (sct 0x2 / sc 0x81) ";
    let sector = "critical medium error, dev nvme0n1, sector 101234 op 0x0:(READ)";
    assert_eq!(
        listed(format!("{CDB}\n{nvme}\n{SECTOR}\n{sector}\n")),
        ["sda:69376+1024 at-most 1", "nvme0n1:101234+1 at-most 2"]
    );
}

#[test]
fn what_is_left_of_a_request_starts_at_the_sector() {
    // 8 blocks from 0x11170, 70000; what is left starts at 70003.
    let text = "\
[1.0] sd 0:0:0:0: [sda] tag#60 CDB: Read(10) 28 00 00 01 11 70 00 00 08 00
[1.1] critical medium error, dev sda, sector 70003 op 0x0:(READ)
";
    assert_eq!(listed(text), ["sda:70003+5 at-most 1"]);
}

#[test]
fn blocks_of_4096_bytes_are_known_by_their_sector() {
    // LBA 0x2328 is 9000, in sectors 72000; NVMe LBA 11250 is sector 90000.
    let text = "\
[1.0] sd 0:0:0:0: [sda] tag#97 CDB: Read(10) 28 00 00 00 23 28 00 00 01 00
[1.1] critical medium error, dev sda, sector 72000 op 0x0:(READ)
[2.0] nvme1n1: I/O Cmd(0x2) @ LBA 11250, 32 blocks, I/O Error (sct 0x2 / sc 0x81)
[2.1] critical medium error, dev nvme1n1, sector 90000 op 0x0:(READ)
[3.0] nvme1n1: I/O Cmd(0x2) @ LBA 20, 1 blocks, I/O Error (sct 0x2 / sc 0x81)
";
    // The last one has no sector beside it; the block size is known by then.
    assert_eq!(
        listed(text),
        ["sda:72000+8 at-most 1", "nvme1n1:90000+256 at-most 3", "nvme1n1:160+8 at-most 5"]
    );
}

#[test]
fn the_first_block_shows_no_block_size() {
    let text = "\
[1.0] nvme1n1: I/O Cmd(0x2) @ LBA 0, 8 blocks, I/O Error (sct 0x2 / sc 0x81)
[1.1] critical medium error, dev nvme1n1, sector 0 op 0x0:(READ)
";
    assert_eq!(listed(text), ["nvme1n1:0+8 unknown-extent 2"]);
    let text = format!(
        "[0.5] sd 0:0:0:0: [nvme1n1] 18432 4096-byte logical blocks: (75.5 MB/72.0 MiB)\n{text}"
    );
    assert_eq!(listed(text), ["nvme1n1:0+64 at-most 2"]);
}

#[test]
fn a_name_may_become_another_disk() {
    let text = "\
[1.0] sd 0:0:0:0: [sda] tag#60 CDB: Read(10) 28 00 00 01 11 70 00 00 08 00
[1.1] critical medium error, dev sda, sector 70000 op 0x0:(READ)
[9.0] sd 0:0:0:0: [sda] tag#97 CDB: Read(10) 28 00 00 00 23 28 00 00 01 00
[9.1] critical medium error, dev sda, sector 72000 op 0x0:(READ)
";
    assert_eq!(listed(text), ["sda:70000+8 at-most 1", "sda:72000+8 at-most 3"]);
}

#[test]
fn ata_commands_are_told_by_their_disk() {
    let text = "\
[1.0] ata3.00: cmd c8/00:08:e0:38:01/00:00:00:00:00/e0 tag 7 dma 4096 in
                        res 41/04:08:e0:38:01/00:00:00:00:00/e0 Emask 0x1 (device error)
[1.1] ata3: EH complete
";
    // Without the disk: by name, once, however often it is tried.
    let twice = format!("{text}{text}");
    assert_eq!(listed(&twice), ["! ata3.00: logical block 80096+8 of a disk without name 1"]);
    let disk = "\
[2.0] sd 3:0:0:0: [sdb] tag#22 CDB: Read(10) 28 00 00 01 38 e0 00 00 08 00
[2.1] I/O error, dev sdb, sector 80096 op 0x0:(READ) flags 0x0 phys_seg 1 prio class 2
";
    assert_eq!(listed(format!("{twice}{disk}")), ["sdb:80096+8 at-most 7"]);
}

#[test]
fn a_device_mapper_line_with_the_same_sector_is_the_same_request() {
    let text = "\
[1.0] critical medium error, dev sdc, sector 2470500184 op 0x0:(READ)
[1.1] critical medium error, dev dm-0, sector 2470500184 op 0x0:(READ)
[1.2] critical medium error, dev dm-0, sector 16 op 0x0:(READ)
";
    assert_eq!(listed(text), ["sdc:2470500184+8 unknown-extent 1", "dm-0:16+8 unknown-extent 3"]);
}

#[test]
fn the_same_place_is_named_once() {
    let text = "\
[1.0] Memory failure: 0x1850602: Sending SIGBUS to cellsrv:33395 due to hardware memory corruption
[1.1] Memory failure: 0x1850602: recovery action for dax page: Recovered
[1.2] mce: Uncorrected hardware memory error in user-access at 1850602400
[2.0] I/O error, dev sda, sector 8 op 0x0:(READ)
[2.1] I/O error, dev sda, sector 8 op 0x0:(READ)
[2.2] XFS (sda): metadata I/O error in \"f\" at daddr 0x8 len 8 error 5
";
    assert_eq!(listed(text), ["pfn:0x1850602+1 exact 1", "sda:8+8 at-most 4"]);
    // Its neighbours are other places, and pages that touch are one range.
    let text = "\
Memory failure: 0x1850601: unhandlable page.
Memory failure: 0x1850603: unhandlable page.
Memory failure: 0x1850602: unhandlable page.
mce: Uncorrected hardware memory error in user-access at 1850604000
";
    assert_eq!(
        listed(text),
        ["pfn:0x1850601+3 exact 1", "phys:0x1850604000+0x1000 unknown-extent 4"]
    );
}

#[test]
fn a_smaller_range_inside_explains_a_request() {
    use badrange_input::read_ranges;
    let text = "\
[1.0] nvme1n1: I/O Cmd(0x2) @ LBA 11250, 32 blocks, I/O Error (sct 0x2 / sc 0x81)
[1.1] critical medium error, dev nvme1n1, sector 90000 op 0x0:(READ)
[1.2] nvme1n1: I/O Cmd(0x2) @ LBA 11250, 1 blocks, I/O Error (sct 0x2 / sc 0x81)
[1.3] critical medium error, dev nvme1n1, sector 90000 op 0x0:(READ)
";
    let list = read_ranges(text.as_bytes(), &super::options()).unwrap();
    let narrowed: Vec<_> = list.ranges.iter().map(|r| (r.place.to_string(), r.narrowed)).collect();
    assert_eq!(
        narrowed,
        [("nvme1n1:90000+256".to_owned(), Some(3)), ("nvme1n1:90000+8".to_owned(), None)]
    );
}

#[test]
fn suppressed_messages_cut_the_range_before() {
    for marker in [
        "blk_print_req_error: 12 callbacks suppressed",
        "btrfs_dev_stat_inc_and_print: 91111 callbacks suppressed",
        "** 123 printk messages dropped **",
    ] {
        let text = format!(
            "[1.0] I/O error, dev sda, sector 8\n[1.1] I/O error, dev sda, sector 16\n[6.0] {marker}\n[6.1] I/O error, dev sda, sector 24\n"
        );
        assert_eq!(
            listed(text),
            [
                "sda:8+8 unknown-extent 1",
                "sda:16+8 truncated 2",
                "sda:24+8 unknown-extent 4",
                "cut 3"
            ],
            "{marker}"
        );
    }
    assert_eq!(listed("[1.0] blk_print_req_error: 12 callbacks suppressed\n"), ["cut 1"]);
}

#[test]
fn wrapped_lines_are_one() {
    let text = "\
> [  107.542221] nvme0n1: I/O Cmd(0x2) @ LBA
> 101224, 256 blocks,
> I/O Error (sct 0x2 / sc 0x81)
> [  107.542549] critical medium error, dev nvme0n1, sector
> 101224 op 0x0:(READ) flags 0x80700
> phys_seg 1 prio class 2
";
    assert_eq!(listed(text), ["nvme0n1:101224+256 at-most 1"]);
    // The rest of a command is numbers only.
    let text = "\
[1.0] sd 0:0:0:0: [sdc] tag#30 CDB: Read(16) 88 00 00 00 00 00 93 40 d7 58 00 00 00 08
00 00
[1.1] critical medium error, dev sdc, sector 2470500184 op 0x0:(READ)
";
    assert_eq!(listed(text), ["sdc:2470500184+8 at-most 1"]);
    // Without anything in front of the lines, two are one where neither says anything alone.
    let text = "nvme0n1: I/O Cmd(0x2) @ LBA\n101224, 256 blocks, I/O Error (sct 0x2 / sc 0x81)\n";
    assert_eq!(listed(text), ["lba@nvme0n1:101224+256 at-most 1"]);
}

#[test]
fn a_line_that_is_cut_inside_its_number_names_no_other_sector() {
    let text = "[1.0] I/O error, dev sda, sector 624\n66 op 0x0:(READ)\n[1.1] next\n";
    assert_eq!(listed(text), ["! line 1 is cut inside a number: I/O error, dev sda, sector 624 1"]);
    let text = "[1.0] Memory failure: 0x123: dirty LRU page\n66 more\n[1.1] next\n";
    assert_eq!(listed(text), ["pfn:0x123+1 exact 1"]);
}

#[test]
fn machine_checks_tell_how_exact_they_are() {
    let status =
        |uncorrected: bool| if uncorrected { "be00000000800400" } else { "9c00000000800400" };
    let text = |uncorrected, misc: &str| {
        format!(
            "[1.0] mce: [Hardware Error]: CPU 1: Machine Check: 0 Bank 9: {}\n\
             [1.1] mce: [Hardware Error]: TSC 0 ADDR 1850602440 MISC {misc} \n",
            status(uncorrected)
        )
    };
    // MISC 0x86: physical address, 64 bytes. 0x8c: 4096 bytes. 0x06: an offset in a segment.
    assert_eq!(listed(text(true, "86")), ["phys:0x1850602440+0x40 at-most 2"]);
    assert_eq!(listed(text(true, "8c")), ["phys:0x1850602000+0x1000 at-most 2"]);
    assert_eq!(
        listed(text(true, "6")),
        ["! machine check at 0x1850602440, which is no physical address 2"]
    );
    assert_eq!(listed(text(false, "86")), [""; 0]);
}

#[test]
fn corrected_records_of_the_firmware_lost_nothing() {
    let record = |severity: &str| {
        format!(
            "[1.0] {{1}}[Hardware Error]: event severity: {severity}\n\
             [1.0] {{1}}[Hardware Error]:   physical_address: 0x00000040a0602400\n"
        )
    };
    assert_eq!(listed(record("corrected")), [""; 0]);
    assert_eq!(listed(record("recoverable")), ["phys:0x40a0602400+0xc00 unknown-extent 2"]);
}
