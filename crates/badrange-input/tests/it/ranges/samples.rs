//! One message each, of every era. Numbers are worked out by hand beside them.

use super::{listed, read_with_blocks, shown};

/// Messages that name one range, and what it is. All stand in line 1.
const ONE: &[(&str, &str)] = &[
    // 1940466576 % 8 == 0: the page is 8 sectors.
    ("end_request: I/O error, dev sda, sector 1940466576", "sda:1940466576+8 unknown-extent"),
    // 1234567 % 8 == 7.
    ("blk_update_request: I/O error, dev sda, sector 1234567", "sda:1234567+1 unknown-extent"),
    (
        "print_req_error: critical medium error, dev nvme0n1, sector 40910720 flags 84700",
        "nvme0n1:40910720+8 unknown-extent",
    ),
    (
        "blk_update_request: critical medium error, dev sdc, sector 2470500184 op 0x0:(READ) flags 0x80700 phys_seg 1 prio class 0",
        "sdc:2470500184+8 unknown-extent",
    ),
    // 62466 % 8 == 2.
    (
        "I/O error, dev loop2, sector 62466 op 0x0:(READ) flags 0x84700 phys_seg 20 prio class 2",
        "loop2:62466+6 unknown-extent",
    ),
    ("critical target error, dev sdb, sector 8", "sdb:8+8 unknown-extent"),
    ("recoverable transport error, dev sdb, sector 9", "sdb:9+7 unknown-extent"),
    ("device offline error, dev sdb, sector 15", "sdb:15+1 unknown-extent"),
    ("Buffer I/O error on dev sdd, logical block 0, async page read", "sdd:0+8 at-most"),
    // 32873 * 8 and 6500 * 8.
    ("Buffer I/O error on device dm-0, logical block 32873", "dm-0:262984+8 at-most"),
    ("Buffer I/O error on dev dm-2, logical block 6500, async page read", "dm-2:52000+8 at-most"),
    ("Buffer I/O error on dev dm-2, logical block 0, lost sync page write", "dm-2:0+8 at-most"),
    (
        r#"XFS (dm-0): metadata I/O error in "xfs_imap_to_bp+0x53/0x70 [xfs]" at daddr 0x3a0 len 32 error 5"#,
        "dm-0:928+32 at-most",
    ),
    (
        r#"XFS (sda1): metadata I/O error: block 0x3a0 ("xfs_trans_read_buf_map") error 5 numblks 32"#,
        "sda1:928+32 at-most",
    ),
    // 8192 bytes are 16 sectors.
    (
        r#"I/O error in meta-data dev sda1 block 0x3a0       ("xfs_trans_read_buf") error 5 buf count 8192"#,
        "sda1:928+16 at-most",
    ),
    (
        "XFS (sda1): writeback error on inode 131, offset 4096, sector 4097",
        "sda1:4097+7 unknown-extent",
    ),
    ("XFS (sda1): writeback error on sector 4096", "sda1:4096+8 unknown-extent"),
    // 1114341376 / 512 == 2176448.
    (
        "BTRFS warning (device sda3): i/o error at logical 3266019328 on dev /dev/mapper/error-test, physical 1114341376, root 402, inode 294, offset 3936256, length 4096, links 1 (path: p7/d8/fa)",
        "error-test:2176448+8 at-most",
    ),
    (
        "BTRFS warning (device sda3): i/o error at logical 3266019328 on dev /dev/sdb, sector 2176449, root 402, inode 294, offset 3936256, length 4096, links 1 (path: p7/d8/fa)",
        "sdb:2176449+8 at-most",
    ),
    // 7.2 has neither the commas nor the old order of words.
    (
        "BTRFS warning (device sda3): scrub: i/o error at logical 3266019328 on dev /dev/sdb physical 1114341376 root 402 inode 294 offset 3936256 length 4096 links 1 (path: p7/d8/fa)",
        "sdb:2176448+8 at-most",
    ),
    // 867246145536 / 512 == 1693840128.
    (
        "BTRFS warning (device sdc1): i/o error at logical 11658111352832 on dev /dev/sde1, physical 867246145536: metadata leaf (level 0) in tree 9109477097472",
        "sde1:1693840128+8 unknown-extent",
    ),
    (
        "BTRFS error (device dm-0): unable to fixup (regular) error at logical 192613056512 on dev /dev/mapper/root physical 193796243456",
        "root:378508288+8 unknown-extent",
    ),
    (
        "BTRFS info (device sda3): read error corrected: ino 194473 off 2134016 (dev /dev/nvme0n1p3 sector 36711808)",
        "nvme0n1p3:36711808+8 unknown-extent",
    ),
    // The array's sector, not the member's. 12345 % 8 == 1.
    ("md/raid1:md0: sda1: rescheduling sector 12345", "md0:12345+7 unknown-extent"),
    ("md/raid1:md0: redirecting sector 47864 to other mirror: vdb", "md0:47864+8 unknown-extent"),
    ("md/raid1:md0: read error corrected (8 sectors at 14393 on sda1)", "sda1:14393+8 at-most"),
    ("md/raid:md5: read error corrected (8 sectors at 1234 on sdb1)", "sdb1:1234+8 at-most"),
    (
        "md/raid:md5: read error not correctable (sector 1232 on sdb1).",
        "sdb1:1232+8 unknown-extent",
    ),
    ("md/raid1:md0: sda1: unrecoverable I/O read error for block 16", "md0:16+8 unknown-extent"),
    (
        "Memory failure: 0x1850602: Sending SIGBUS to fsdax_poison_v1:8457 due to hardware memory corruption",
        "pfn:0x1850602+1 exact",
    ),
    (
        "Memory failure: 0x20cb00: Killing dax-pmd:5421 due to hardware memory corruption",
        "pfn:0x20cb00+1 exact",
    ),
    (
        "Memory failure: 0x1: Killing a: b) c:5421 due to hardware memory corruption",
        "pfn:0x1+1 exact",
    ),
    (
        "Memory failure: 0x200c9742: recovery action for dax page: Recovered",
        "pfn:0x200c9742+1 exact",
    ),
    (
        "Memory failure: 0x40272d: recovery action for get hwpoison page: Ignored",
        "pfn:0x40272d+1 exact",
    ),
    ("Memory failure: 0x30a6a8f: unhandlable page.", "pfn:0x30a6a8f+1 exact"),
    ("Memory failure: 0x318: already hardware poisoned", "pfn:0x318+1 exact"),
    (
        "Memory failure: 0x123: forcibly killing qemu:77 because of failure to unmap corrupted page",
        "pfn:0x123+1 exact",
    ),
    ("Memory failure: 0x123: failed to unmap page (mapcount=3)", "pfn:0x123+1 exact"),
    ("MCE 0x318: recovery action for dirty LRU page: Recovered", "pfn:0x318+1 exact"),
    ("MCE 0x318: Killing a:1 early due to hardware memory corruption", "pfn:0x318+1 exact"),
    // A byte address, in hex without 0x: the rest of its page, 0x1000 - 0x400.
    (
        "mce: Uncorrected hardware memory error in user-access at 1850602400",
        "phys:0x1850602400+0xc00 unknown-extent",
    ),
    (
        "{3}[Hardware Error]:   physical_address: 0x00000040a0602400",
        "phys:0x40a0602400+0xc00 unknown-extent",
    ),
    (
        "Injecting memory failure for pfn 0x20cb00 at process virtual address 0x7f763dd00000",
        "pfn:0x20cb00+1 exact",
    ),
    ("Injecting memory failure at pfn 0x100e43", "pfn:0x100e43+1 exact"),
    ("soft offline: 0x1234 page already poisoned", "pfn:0x1234+1 exact"),
    ("nd_bus ndbus0: Found a bad range (0x40a0602000, 0x1000)", "phys:0x40a0602000+0x1000 exact"),
    ("nd_pmem namespace0.0: Found a bad range (0x1000, 0x200)", "namespace0.0:8+1 exact"),
    ("Read-error on swap-device (253:1:16)", "253:1:16+8 unknown-extent"),
    // 0x12345 * 4096 + 0x680, down to 32 bytes.
    (
        "EDAC MC0: 1 UE memory read error on CPU_SrcID#0_MC#0 (channel:0 slot:0 page:0x12345 offset:0x690 grain:32 syndrome:0x0)",
        "phys:0x12345680+0x20 at-most",
    ),
];

#[test]
fn every_message_names_its_range() {
    for (text, expected) in ONE {
        assert_eq!(listed(text), [format!("{expected} 1")], "{text}");
    }
}

/// Messages that name something that leads to no bytes.
const NOWHERE: &[(&str, &str)] = &[
    (
        "EXT4-fs error (device dm-0): ext4_find_entry:1455: inode #2: comm ls: reading directory lblock 0",
        "dm-0: inode 2, block 0 of a directory",
    ),
    (
        "BTRFS warning (device dm-0): csum failed root 257 ino 3037134 off 253952 csum 0xc341dc86 expected csum 0xc341fc86 mirror 1",
        "dm-0: btrfs root 257, inode 3037134, file offset 253952",
    ),
    (
        "BTRFS warning (device vde): direct IO failed ino 260 rw 0,0 sector 0x24a00 len 0 err no 10",
        "vde: btrfs logical address, sector 150016",
    ),
    (
        "BTRFS warning (device vde): direct IO failed ino 260 op 0x0 offset 0x1000 len 4096 err no 10",
        "vde: btrfs inode 260, file offset 4096",
    ),
    (
        "BTRFS error (device vde): unable to fixup (regular) error at logical 76808192 on dev /dev/vde",
        "vde: btrfs logical address 76808192",
    ),
    (
        "MCE: Killing uffd-unit-tests:1321817 due to hardware memory corruption fault at 4631e000",
        "virtual address 0x4631e000 of a process that was killed",
    ),
    (
        "res 41/40:00:90:2b:a9/00:00:73:00:00/40 Emask 0x409 (media error) <F>",
        "ata: logical block 1940466576 of a disk without name",
    ),
    (
        "I/O error, dev vda, sector 0 op 0x1:(WRITE) flags 0x800 phys_seg 0 prio class 2",
        "vda: a FLUSH request, which has no data",
    ),
    (
        "I/O error, dev vda, sector 64 op 0x3:(DISCARD) flags 0x800 phys_seg 1 prio class 2",
        "vda: a DISCARD request, which has no data",
    ),
    (
        "loop: Write error at byte offset 4096, length 512.",
        "bytes 4096+512 of a loop device without name",
    ),
    (
        "Device: /dev/sdc [SAT], 8 Currently unreadable (pending) sectors",
        "sdc: 8 unreadable sectors, without address",
    ),
];

#[test]
fn what_leads_nowhere_is_said_by_name() {
    for (text, expected) in NOWHERE {
        assert_eq!(listed(text), [format!("! {expected} 1")], "{text}");
    }
}

/// Messages that report nothing bad, however close they come.
const NOTHING: &[&str] = &[
    "device-mapper: dust: block 60 removed from badblocklist by write",
    "BTRFS error (device dm-0): bdev /dev/mapper/x errs: wr 0, rd 94, flush 0, corrupt 0, gen 0",
    "BTRFS error (device vde): fixed up error at logical 76808192 on dev /dev/vde",
    "nfit ACPI0012:00: addr in SPA 1 (0x4080000000, 0x1f80000000)",
    "Unpoison: Software-unpoisoned page 0x1234",
    "EDAC MC0: 1 CE memory read error on CPU_SrcID#0 (channel:0 slot:0 page:0x12345 offset:0x690 grain:32)",
    "sd 5:0:0:0: [sdr] tag#80 FAILED Result: hostbyte=DID_OK driverbyte=DRIVER_SENSE",
    "sd 5:0:0:0: [sdr] tag#80 Sense Key : Medium Error [current]",
    "sd 5:0:0:0: [sdr] tag#80 CDB: Synchronize Cache(10) 35 00 00 00 00 00 00 00 00 00",
    "nvme0n1: Dataset Management(0x9) @ LBA 0, 8 blocks, I/O Error (sct 0x0 / sc 0x2)",
    "EXT4-fs (dm-2): I/O error while writing superblock",
    "XFS (dm-0): log I/O error -5",
    "host sudo[7]: root : COMMAND=/bin/grep I/O error, dev sda, sector 5",
    "said: I/O error, dev sda, sector 5",
    "functions unc 5",
    "8 16",
    "ata3.00: cmd ec/00:01:00:00:00/00:00:00:00:00/a0 tag 9 pio 512 in",
];

#[test]
fn what_reports_nothing_bad_is_nothing() {
    for text in NOTHING {
        // A second line keeps a pair of numbers from being a list.
        assert_eq!(listed(format!("[    0.000000] begin\n{text}\n")), [""; 0], "{text}");
    }
}

#[test]
fn blocks_of_unknown_size_stay_blocks_until_somebody_knows() {
    let cases = [
        (
            "EXT4-fs warning (device sda1): ext4_end_bio:343: I/O error 10 writing to inode 14 starting block 36928)",
            "fsblock@sda1:36928 unknown-extent 1",
            // 36928 * 8.
            "sda1:295424+8 unknown-extent 1",
        ),
        (
            "EXT4-fs warning (device sda1): ext4_end_bio:314: I/O error -5 writing to inode 14 (offset 0 size 4096 starting block 36928)",
            "fsblock@sda1:36928 unknown-extent 1",
            "sda1:295424+8 unknown-extent 1",
        ),
        (
            "EXT4-fs error (device sda1): ext4_read_inode_bitmap:140: comm ls: Cannot read inode bitmap - block_group = 1, inode_bitmap = 1025",
            "fsblock@sda1:1025 unknown-extent 1",
            "sda1:8200+8 unknown-extent 1",
        ),
        (
            "nvme0n1: Read(0x2) @ LBA 96673920, 8 blocks, Unrecovered Read Error (sct 0x2 / sc 0x81) DNR",
            "lba@nvme0n1:96673920+8 at-most 1",
            // 96673920 * 8, 8 * 8.
            "nvme0n1:773391360+64 at-most 1",
        ),
        (
            "nvme0c3n1: I/O Cmd(0x2) @ LBA 96673920, 8 blocks, I/O Error (sct 0x2 / sc 0x81) ",
            "lba@nvme0n1:96673920+8 at-most 1",
            "nvme0n1:773391360+64 at-most 1",
        ),
        (
            "sd 5:0:0:0: [sdr] tag#80 CDB: Read(10) 28 00 00 00 2d 88 00 04 00 00",
            // 0x2d88, 0x400.
            "lba@sdr:11656+1024 at-most 1",
            "sdr:93248+8192 at-most 1",
        ),
        (
            "sd 0:0:0:0: [sdc] tag#30 CDB: Read(16) 88 00 00 00 00 00 93 40 d7 58 00 00 00 08 00 00",
            // 0x9340d758.
            "lba@sdc:2470500184+8 at-most 1",
            "sdc:19764001472+64 at-most 1",
        ),
        (
            "sd 0:0:0:0: [sdc]  CDB: Read(10): 28 00 93 40 d7 58 00 00 08 00",
            "lba@sdc:2470500184+8 at-most 1",
            "sdc:19764001472+64 at-most 1",
        ),
    ];
    for (text, unknown, known) in cases {
        let text = format!("[    1.000000] {text}\n");
        assert_eq!(listed(&text), [unknown], "{text}");
        let list = read_with_blocks(&text, "none", 4096).unwrap();
        assert_eq!(shown(&list), [known], "{text}");
    }
}

#[test]
fn numbers_at_the_edge_of_64_bits_are_never_another_place() {
    let max = u64::MAX;
    // The last sector whose page ends below 2^64, and the first one whose page does not.
    let last = (max / 4096) * 8 - 1;
    let cases = [
        (format!("I/O error, dev sda, sector {last}"), format!("sda:{last}+1 unknown-extent 1")),
        (
            format!("I/O error, dev sda, sector {}", last + 1),
            "! sda: does not fit in 64 bits of bytes 1".to_owned(),
        ),
        (
            format!("I/O error, dev sda, sector {max}"),
            "! sda: does not fit in 64 bits of bytes 1".to_owned(),
        ),
        (
            "I/O error, dev sda, sector 99999999999999999999999".to_owned(),
            "! sda: does not fit in 64 bits of bytes 1".to_owned(),
        ),
        (
            "Memory failure: 0xffffffffffffe: dirty LRU page".to_owned(),
            "pfn:0xffffffffffffe+1 exact 1".to_owned(),
        ),
        (
            "Memory failure: 0xfffffffffffff: dirty LRU page".to_owned(),
            "! pfn 0xfffffffffffff: does not fit in 64 bits of bytes 1".to_owned(),
        ),
        (
            "mce: Uncorrected hardware memory error in user-access at ffffffffffffffff".to_owned(),
            "! physical address 0xffffffffffffffff: does not fit in 64 bits of bytes 1".to_owned(),
        ),
        (
            format!("XFS (sda): metadata I/O error in \"f\" at daddr 0x{max:x} len 8 error 5"),
            format!("! sda: sectors {max}+8: does not fit in 64 bits of bytes 1"),
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(listed(&text), [expected], "{text}");
    }
}
