//! Every fixture is recognised by content, and every one of a known format parses.

use badrange_input::{
    Format, InodePaths, ParseError, ParseErrorKind, parse_badblocks, parse_dm_table, parse_losetup,
    parse_lsblk, parse_lvs_json, parse_mdadm_examine, parse_pvs_json, parse_sfdisk_dump,
    parse_sfdisk_json, parse_thin_dump, parse_vgcfg, recognise,
};

use super::{bmap, filefrag, fixture, fsmap};

/// Reads a text of a known format and counts its records.
pub(crate) fn count(format: Format, text: &[u8]) -> Result<usize, ParseError> {
    Ok(match format {
        Format::SfdiskDump => parse_sfdisk_dump(text)?.entries.len(),
        Format::SfdiskJson => parse_sfdisk_json(text)?.entries.len(),
        Format::VgCfg => parse_vgcfg(text)?.iter().map(|vg| vg.lvs.len()).sum(),
        Format::LvsJson => parse_lvs_json(text).map(|_| 0)?,
        Format::PvsJson => parse_pvs_json(text).map(|_| 0)?,
        Format::DmTable => parse_dm_table(text)?.iter().map(|d| d.lines.len()).sum(),
        Format::FsmapPlain | Format::FsmapVerbose | Format::FsmapMachine => fsmap(text)?.len(),
        Format::XfsBmap => bmap(text)?.iter().map(|f| f.extents.len()).sum(),
        Format::Filefrag => filefrag(text)?.iter().map(|f| f.extents.len()).sum(),
        Format::Lsblk => parse_lsblk(text)?.len(),
        Format::Losetup => parse_losetup(text)?.len(),
        Format::MdExamine => parse_mdadm_examine(text)?.len(),
        Format::ThinDump => parse_thin_dump(text)?.devices.iter().map(|d| d.ranges.len()).sum(),
        Format::Badblocks => parse_badblocks(text)?.ranges.len(),
        Format::InodePaths => InodePaths::new(text).collect::<Result<Vec<_>, _>>()?.len(),
        other => panic!("{other} has no reader here"),
    })
}

/// What a fixture is, and how many records it has. Counts are those of `grep -c` on its rows.
pub(crate) const KNOWN: &[(&str, Format, usize)] = &[
    ("golden/dmsetup.txt", Format::DmTable, 4),
    ("golden/filefrag_v.txt", Format::Filefrag, 7),
    ("golden/fsmap.txt", Format::FsmapPlain, 36),
    ("golden/fsmap_m.txt", Format::FsmapMachine, 36),
    ("golden/fsmap_v.txt", Format::FsmapVerbose, 36),
    ("golden/inode_paths.txt", Format::InodePaths, 8),
    ("golden/sfdisk_d.txt", Format::SfdiskDump, 2),
    ("golden/sfdisk.json", Format::SfdiskJson, 2),
    ("golden/vgcfg.txt", Format::VgCfg, 3),
    ("golden/lvs.json", Format::LvsJson, 0),
    ("golden/pvs_segments.json", Format::PvsJson, 0),
    ("3-dos-4kn/sfdisk_d.A.txt", Format::SfdiskDump, 7),
    ("3-dos-4kn/sfdisk_d.K.txt", Format::SfdiskDump, 3),
    ("3-dos-4kn/sfdisk.A.json", Format::SfdiskJson, 7),
    ("3-dos-4kn/sfdisk.K.json", Format::SfdiskJson, 3),
    ("3-dos-4kn/filefrag_v.a1.txt", Format::Filefrag, 14),
    ("3-dos-4kn/fsmap.a1.txt", Format::FsmapPlain, 18),
    ("3-dos-4kn/fsmap_m.a1.txt", Format::FsmapMachine, 18),
    ("3-dos-4kn/fsmap.a6.txt", Format::FsmapPlain, 34),
    ("3-dos-4kn/fsmap_v.k3.txt", Format::FsmapVerbose, 57),
    ("3-dos-4kn/dmsetup_table.txt", Format::DmTable, 0),
    ("4-thin/dmsetup_table.txt", Format::DmTable, 6),
    ("4-thin/thin_dump.xml", Format::ThinDump, 32),
    ("6-md/mdadm_examine.A.txt", Format::MdExamine, 1),
    ("4-thin/xfs_bmap_v.snap.txt", Format::XfsBmap, 5),
    ("4-thin/fsmap_v.snap.txt", Format::FsmapVerbose, 37),
    ("6-md/filefrag_v.md0.txt", Format::Filefrag, 2),
    ("6-md/fsmap.md5.txt", Format::FsmapPlain, 12),
    ("8-log/dm_error_table.txt", Format::DmTable, 3),
    ("8-log/filefrag_v.e6btrfs.txt", Format::Filefrag, 3),
    ("8-log/vgcfg.vg.txt", Format::VgCfg, 2),
    ("8-log/sfdisk_d.4096.txt", Format::SfdiskDump, 1),
    ("8-log/sfdisk.4096.json", Format::SfdiskJson, 1),
    ("formats/vm/lsblk-J-b-cols.json", Format::Lsblk, 7),
    ("formats/ext4_fsmap.txt", Format::FsmapPlain, 19),
    ("formats/filefrag_v_b512_xfs.txt", Format::Filefrag, 2),
    ("formats/filefrag_v_ext4.txt", Format::Filefrag, 4),
    ("formats/filefrag_v_xfs.txt", Format::Filefrag, 6),
    ("formats/vgcfg.txt", Format::VgCfg, 3),
    ("formats/xfs_bmap_attr.txt", Format::XfsBmap, 1),
    ("formats/xfs_bmap_vv.txt", Format::XfsBmap, 2),
    ("formats/xfs_fsmap_m.txt", Format::FsmapMachine, 118),
    ("formats/xfs_fsmap_vv.txt", Format::FsmapVerbose, 118),
    ("formats/xfs_fsmap_range.txt", Format::FsmapPlain, 2),
    ("formats/vm/dmsetup-table-target.txt", Format::DmTable, 1),
    ("formats/vm/dmsetup-table.txt", Format::DmTable, 4),
    ("formats/vm/filefrag-v.txt", Format::Filefrag, 9),
    ("formats/vm/xfs_bmap-v.txt", Format::XfsBmap, 28),
    ("formats/vm/xfs_io-fsmap-v.txt", Format::FsmapVerbose, 46),
    ("locations/dm_stripe8.k61.fsmap.txt", Format::FsmapVerbose, 31),
    ("locations/dm_stripe8.k61.paths.txt", Format::InodePaths, 2),
    ("locations/dm_stripe8.k61.str.dmtable.txt", Format::DmTable, 1),
    ("locations/dax_inode_flag.k61.fsmap.txt", Format::FsmapVerbose, 31),
];

#[test]
fn every_known_fixture_is_recognised_and_read() {
    for (name, format, records) in KNOWN {
        let text = fixture(name);
        assert_eq!(recognise(&text), Ok(*format), "{name}");
        assert_eq!(count(*format, &text), Ok(*records), "{name}");
    }
}

#[test]
fn line_ends_and_byte_order_marks_make_no_difference() {
    for (name, format, records) in KNOWN {
        let text = String::from_utf8(fixture(name)).unwrap();
        let crlf = format!("\u{feff}{}", text.replace('\n', "\r\n"));
        assert_eq!(recognise(crlf.as_bytes()), Ok(*format), "{name}");
        assert_eq!(count(*format, crlf.as_bytes()), Ok(*records), "{name}");
        let open = text.trim_end();
        assert_eq!(recognise(open.as_bytes()), Ok(*format), "{name}");
        assert_eq!(count(*format, open.as_bytes()), Ok(*records), "{name}");
    }
}

/// What a fixture of another kind is called.
const OTHERS: &[(&str, &str)] = &[
    ("golden/lvdisplay_maps.txt", "this is lvdisplay; give vgcfgbackup"),
    ("golden/pvdisplay_m.txt", "this is pvdisplay; give vgcfgbackup"),
    ("formats/lvs_segments.txt", "this is lvs for humans; give vgcfgbackup"),
    ("formats/pvs_segments.txt", "this is pvs for humans; give vgcfgbackup"),
    ("3-dos-4kn/fdisk_l.A.txt", "for humans; give sfdisk -d"),
    ("3-dos-4kn/fdisk_l.K.txt", "for humans; give sfdisk -d"),
    ("3-dos-4kn/sgdisk_p.A.txt", "for humans; give sfdisk -d"),
    ("3-dos-4kn/parted.A.txt", "for humans; give sfdisk -d"),
    ("3-dos-4kn/parted_m.A.txt", "this is parted -m; give sfdisk -d"),
    ("3-dos-4kn/proc_partitions.txt", "this is /proc/partitions; give sfdisk -d"),
    ("3-dos-4kn/lsblk.txt", "this is lsblk;"),
    ("3-dos-4kn/xfs_info.a6.txt", "this is xfs_info;"),
    ("formats/vm/lsblk-P.txt", "this is lsblk -P;"),
    ("formats/vm/ndctl-list-idle.json", "this is ndctl or daxctl list; give it to --log"),
    ("formats/vm/iomem.txt", "this is /proc/iomem;"),
    ("formats/vm/dmsetup-status.txt", "this is dmsetup status; give dmsetup table"),
    ("4-thin/dmsetup_status.txt", "this is dmsetup status; give dmsetup table"),
    ("formats/vm/dmsetup-deps.txt", "this is dmsetup deps; give dmsetup table"),
    ("formats/vm/dmsetup-ls-tree.txt", "this is dmsetup ls; give dmsetup table"),
    ("formats/vm/dmsetup-info-c.txt", "this is dmsetup info -c; give dmsetup table"),
    ("4-thin/thin_dump_human.txt", "give thin_dump"),
    ("4-thin/thin_rmap.txt", "this is thin_rmap; give thin_dump"),
    ("6-md/mdadm_detail.md0.txt", "this is mdadm --detail; give mdadm --examine"),
    ("6-md/mdstat.txt", "this is /proc/mdstat; give mdadm --examine"),
    ("8-log/log-e2xfs-direct-512.txt", "this is a kernel log; give it to --log"),
    ("8-log/log-sd4096-end.txt", "this is a kernel log; give it to --log"),
    ("8-log/badblocks.sd512.txt", "this is a list of badblocks(8); give /sys/block/DEV/badblocks"),
    ("formats/ddrescue.map", "this is a ddrescue map; give it to --log"),
    ("formats/btrfs_chunk_tree.txt", "this is btrfs inspect-internal dump-tree;"),
    ("formats/debugfs_icheck.txt", "this is debugfs;"),
    ("formats/ntfscluster.txt", "this is ntfscluster;"),
    ("formats/xfs_statfs.txt", "this is xfs_io statfs;"),
    ("formats/xfs_io_fiemap_v.txt", "this is xfs_io fiemap; give xfs_bmap -v"),
    ("formats/ext4_fsmap_v.txt", "this is an error message of xfs_io;"),
];

#[test]
fn every_other_fixture_is_refused_by_name() {
    for (name, message) in OTHERS {
        let err = recognise(&fixture(name)).unwrap_err();
        assert_eq!(err.kind(), ParseErrorKind::Unsupported, "{name}: {err}");
        assert!(err.to_string().contains(message), "{name}: {err}");
    }
}

#[test]
fn texts_of_other_tools_are_refused_by_name() {
    for (text, message) in [
        ("LUKS header information\nVersion:       \t2\n", "this is cryptsetup luksDump;"),
        ("Inode 7 /$Boot/$DATA\n", "this is ntfscluster;"),
        ("   10: 0/24 len 2048 owner 132 offset 0 bmbt 0 attrfork 0 extflag 0\n", "xfs_db fsmap;"),
        ("22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n", "/proc/self/mountinfo; give"),
        ("5564df62e000-5564df634000 r-xp 00002000 fe:00 247282     /usr/bin/head\n", "PID/maps;"),
    ] {
        let err = recognise(text.as_bytes()).unwrap_err();
        assert_eq!(err.kind(), ParseErrorKind::Unsupported, "{text}: {err}");
        assert!(err.to_string().contains(message), "{text}: {err}");
    }
    // Lists of paths that look a little like them are lists of paths.
    assert_eq!(recognise(b"22 /1 8:1 - x\n"), Ok(Format::InodePaths));
    assert_eq!(recognise(b"7 /Inode 7 /x\n"), Ok(Format::InodePaths));
}

#[test]
fn content_decides_between_bad_ranges_and_paths() {
    assert_eq!(recognise(b"8 1\n16 8\n"), Ok(Format::Badblocks));
    assert_eq!(recognise(b"8 /a\n16 /8\n"), Ok(Format::InodePaths));
    // `ls -i` and the like, with more columns, are neither.
    let err = recognise(b"13 1 3145728 6144 /big\n").unwrap_err();
    assert_eq!(err.kind(), ParseErrorKind::NotThisFormat);
    // A head that ends inside a line is not judged by that line.
    let mut head = b"8 1\n".repeat(badrange_input::RECOGNISE_BYTES / 4);
    head.extend(b"x");
    assert_eq!(recognise(&head), Ok(Format::Badblocks));
}
