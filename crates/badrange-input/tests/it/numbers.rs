//! Numbers worked out by hand from the fixtures.

use badrange_core::{DevOffset, Extent, FileOffset};
use badrange_fs::{FileId, Fork, Owner, Special};
use badrange_input::{
    FsmapDev, FsmapRecord, InodePaths, LvSegment, MappedFile, PartitionKind, Placement,
    SegmentKind, Stripe, StripeTarget, TableLabel, Unplaced, VolumeGroup, parse_badblocks,
    parse_dm_table, parse_lvs_json, parse_pvs_json, parse_sfdisk_dump, parse_sfdisk_json,
    parse_vgcfg,
};

use super::{bmap, filefrag, fixture, fsmap};

/// Device sectors `first..=last`.
fn sectors(first: u64, last: u64) -> Extent {
    Extent::new(DevOffset::new(first * 512), (last - first + 1) * 512).unwrap()
}

fn file_sectors(first: u64, last: u64) -> Extent<FileOffset> {
    Extent::new(FileOffset::new(first * 512), (last - first + 1) * 512).unwrap()
}

fn file(ino: u64, fork: Fork) -> Owner {
    Owner::File { id: FileId::Ino(ino), fork }
}

#[test]
fn golden_fsmap_rows() {
    let rows = fsmap(&fixture("golden/fsmap_v.txt")).unwrap();
    let orders = FsmapRecord {
        dev: FsmapDev::Numbers { major: 7, minor: 4 },
        extent: sectors(192, 8383),
        owner: file(132, Fork::Data),
        file_start: Some(FileOffset::new(0)),
        unwritten: Some(false),
        shared: Some(true),
        line: 10,
    };
    assert_eq!(rows[8], orders);
    assert_eq!(rows[12].unwritten, Some(true));
    assert_eq!(rows[12].owner, file(136, Fork::Data));
    assert_eq!(rows[26].owner, Owner::Special(Special::Journal));
    assert_eq!(rows[26].extent, sectors(409_600 + 56, 409_600 + 131_127));
    assert_eq!(rows[26].file_start, None);
}

#[test]
fn the_three_forms_are_equal_up_to_flags() {
    let triples = [
        ("golden/fsmap.txt", "golden/fsmap_m.txt", "golden/fsmap_v.txt"),
        ("3-dos-4kn/fsmap.a6.txt", "3-dos-4kn/fsmap_m.a6.txt", "3-dos-4kn/fsmap_v.a6.txt"),
        ("3-dos-4kn/fsmap.k3.txt", "3-dos-4kn/fsmap_m.k3.txt", "3-dos-4kn/fsmap_v.k3.txt"),
        ("4-thin/fsmap.snap.txt", "4-thin/fsmap_m.snap.txt", "4-thin/fsmap_v.snap.txt"),
        (
            "formats/vm/xfs_io-fsmap.txt",
            "formats/vm/xfs_io-fsmap-m.txt",
            "formats/vm/xfs_io-fsmap-v.txt",
        ),
    ];
    let bare = |row: &FsmapRecord| FsmapRecord { unwritten: None, shared: None, line: 0, ..*row };
    for (plain, machine, verbose) in triples {
        let plain = fsmap(&fixture(plain)).unwrap();
        let machine = fsmap(&fixture(machine)).unwrap();
        let verbose = fsmap(&fixture(verbose)).unwrap();
        assert!(plain.iter().chain(&machine).all(|r| r.unwritten.is_none() && r.shared.is_none()));
        assert!(verbose.iter().all(|r| r.unwritten.is_some() && r.shared.is_some()));
        let [plain, machine, verbose] =
            [plain, machine, verbose].map(|rows| rows.iter().map(bare).collect::<Vec<_>>());
        assert_eq!(plain, machine);
        assert_eq!(plain, verbose);
    }
}

#[test]
fn forks_and_extent_maps() {
    let rows = fsmap(&fixture("formats/xfs_fsmap_vv.txt")).unwrap();
    let at = |first: u64| rows.iter().find(|r| r.extent.start().get() == first * 512).unwrap();
    assert_eq!(at(112).owner, file(132, Fork::Attr));
    assert_eq!(at(120).owner, file(134, Fork::ExtentMap));
    assert_eq!(at(120).file_start, None);
    assert_eq!(at(16584).file_start, Some(FileOffset::new(32776 * 512)));
    assert_eq!(at(16584).unwritten, Some(true));
    let machine = fsmap(&fixture("formats/xfs_fsmap_m.txt")).unwrap();
    assert_eq!(
        machine.iter().map(|r| r.owner).collect::<Vec<_>>(),
        rows.iter().map(|r| r.owner).collect::<Vec<_>>()
    );
}

#[test]
fn fsmap_rows_of_other_devices_and_unusual_words() {
    let text = b" EXT: DEV BLOCK-RANGE OWNER FILE-OFFSET AG AG-OFFSET TOTAL FLAGS\n\
        \x20  5: 8:3 [0..8191]: journalling log                  8192\n\
        \x20  6: 8:4 [0..1048575]: 135 0..1048575   1048576 0010000\n\
        \x20  7: 0x8 [0..7]: 99 extent map  8\n\
        EXT,MAJOR,MINOR,PSTART,PEND,OWNER,OSTART,OEND,LENGTH\n\
        8,8,3,8,15,inode_18446744073709551615_attr_bmbt,,,8\n\
        9,8,3,16,23,special_102:3,,,8\n";
    let rows = fsmap(text).unwrap();
    assert_eq!(rows[0].dev, FsmapDev::Numbers { major: 8, minor: 3 });
    assert_eq!((rows[0].unwritten, rows[0].extent), (Some(false), sectors(0, 8191)));
    // A length of seven octal digits is a length, not a flag column.
    assert_eq!((rows[1].unwritten, rows[1].extent.len()), (Some(true), 1_048_576 * 512));
    assert_eq!((rows[2].dev, rows[2].owner), (FsmapDev::Opaque(8), file(99, Fork::ExtentMap)));
    assert_eq!(rows[3].owner, file(u64::MAX, Fork::ExtentMap));
    assert_eq!(rows[4].owner, Owner::Special(Special::Other { major: 102, minor: 3 }));
    assert_eq!(rows[4].unwritten, None);
}

#[test]
fn golden_partitions_in_both_forms() {
    let dump = parse_sfdisk_dump(&*fixture("golden/sfdisk_d.txt")).unwrap();
    let json = parse_sfdisk_json(&*fixture("golden/sfdisk.json")).unwrap();
    assert_eq!((dump.label, dump.logical_block), (TableLabel::Gpt, 512));
    assert_eq!(dump.usable, Some(sectors(2048, 1_310_686)));
    assert_eq!(dump.entries[1].extent, sectors(43008, 43008 + 1_265_664 - 1));
    assert_eq!((dump.entries[1].number, dump.entries[1].line), (2, 10));
    assert_eq!((dump.entries[0].name.as_deref(), json.entries[0].line), (Some("boot"), 11));
    assert_eq!(lineless(dump), lineless(json));
}

fn lineless(mut table: badrange_input::PartitionTable) -> badrange_input::PartitionTable {
    table.entries.iter_mut().for_each(|e| e.line = 0);
    table
}

#[test]
fn dos_and_4kn_partitions_in_both_forms() {
    let dos = parse_sfdisk_dump(&*fixture("3-dos-4kn/sfdisk_d.A.txt")).unwrap();
    let kinds: Vec<_> = dos.entries.iter().map(|e| (e.number, e.kind)).collect();
    let (primary, logical) = (PartitionKind::Primary, PartitionKind::Logical);
    let extended = PartitionKind::Extended;
    let expected = [
        (1, primary),
        (2, primary),
        (3, extended),
        (4, primary),
        (5, logical),
        (6, logical),
        (7, logical),
    ];
    assert_eq!(kinds, expected);
    assert_eq!(dos.entries[0].extent, sectors(63, 40063));
    let json = parse_sfdisk_json(&*fixture("3-dos-4kn/sfdisk.A.json")).unwrap();
    assert_eq!(lineless(dos), lineless(json));

    let wide = parse_sfdisk_dump(&*fixture("3-dos-4kn/sfdisk_d.K.txt")).unwrap();
    assert_eq!(wide.logical_block, 4096);
    assert_eq!(wide.entries[2].extent, sectors(22000 * 8, 40000 * 8 - 1));
    assert_eq!(wide.entries[2].name.as_deref(), Some("spaced name"));
    let json = parse_sfdisk_json(&*fixture("3-dos-4kn/sfdisk.K.json")).unwrap();
    assert_eq!(lineless(wide), lineless(json));
}

#[test]
fn partition_names_with_quotes_commas_and_escapes() {
    let text = b"label: gpt\n\n/dev/nvme0n1p12 : start= 8, size= 8, type=X, \
        name=\"a, \\\"b\\\" size=9 \\x22c\\x5c\\xc3\\xa4\", attrs=\"RequiredPartition GUID:63\"\n";
    let table = parse_sfdisk_dump(&text[..]).unwrap();
    assert_eq!(table.entries[0].number, 12);
    assert_eq!(table.entries[0].name.as_deref(), Some("a, \"b\" size=9 \"c\\\u{e4}"));
    assert_eq!(table.entries[0].extent, sectors(8, 15));
}

#[test]
fn dumps_of_an_old_sfdisk() {
    let text = b"# partition table of /dev/sda\nunit: sectors\n\n\
        /dev/sda1 : start=     2048, size=  1024000, Id=83, bootable\n\
        /dev/sda2 : start=  1026048, size=     8192, Id= 5\n\
        /dev/sda3 : start=        0, size=        0, Id= 0\n\
        /dev/sda4 : start=        0, size=        0, Id= 0\n\
        /dev/sda5 : start=  1026049, size=     8191, Id=82\n";
    let table = parse_sfdisk_dump(&text[..]).unwrap();
    let kinds: Vec<_> = table.entries.iter().map(|e| (e.number, e.kind)).collect();
    assert_eq!(
        kinds,
        [(1, PartitionKind::Primary), (2, PartitionKind::Extended), (5, PartitionKind::Logical)]
    );
}

fn pv_stripe(pv: usize, first_extent: u64) -> Stripe {
    Stripe { target: StripeTarget::Pv(pv), first_extent }
}

fn linear(start_extent: u64, extent_count: u64, pv: usize, first: u64, line: u64) -> LvSegment {
    let kind = SegmentKind::Striped { chunk_bytes: None, stripes: vec![pv_stripe(pv, first)] };
    LvSegment { start_extent, extent_count, kind, line }
}

#[test]
fn golden_volume_group() {
    let groups = parse_vgcfg(&*fixture("golden/vgcfg.txt")).unwrap();
    let [vg] = &groups[..] else { panic!("{groups:?}") };
    assert_eq!((&*vg.name, vg.extent_bytes), ("vgdata", 4 << 20));
    let pv = &vg.pvs[0];
    assert_eq!(pv.names, ["pv0", "/dev/loop4", "QW2brz-bup0-WrAl-3102-am7A-i2en-ZKpmyC"]);
    assert_eq!((pv.pe_start, pv.pe_count, pv.dev_bytes), (1 << 20, 154, Some(1_265_664 * 512)));
    let swap = &vg.lvs[0];
    assert_eq!((&*swap.name, &*swap.dm_name, swap.visible), ("swap", "vgdata-swap", true));
    assert_eq!(swap.segments, [linear(0, 3, 0, 0, 46), linear(3, 2, 0, 107, 57)]);
    assert_eq!(vg.lvs[1].segments, [linear(0, 100, 0, 3, 78)]);
}

/// What both forms can say: hints, uuids, device sizes, order and lines are left out.
fn comparable(mut vg: VolumeGroup, pv_name: impl Fn(&[String]) -> String) -> VolumeGroup {
    vg.line = 0;
    for pv in &mut vg.pvs {
        pv.names = vec![pv_name(&pv.names)];
        (pv.dev_bytes, pv.line) = (None, 0);
    }
    vg.lvs.sort_by(|a, b| a.name.cmp(&b.name));
    for lv in &mut vg.lvs {
        lv.line = 0;
        lv.segments.iter_mut().for_each(|s| s.line = 0);
    }
    vg
}

#[test]
fn both_forms_of_a_volume_group_are_equal() {
    let pairs = [
        ("golden/vgcfg.txt", "golden/lvs.json", "golden/pvs_segments.json"),
        ("formats/vgcfg.txt", "formats/lvs_segments.json", "formats/pvs_segments.json"),
    ];
    for (vgcfg, lvs, pvs) in pairs {
        let text = parse_vgcfg(&*fixture(vgcfg)).unwrap();
        let lvs = parse_lvs_json(&*fixture(lvs)).unwrap();
        let json = lvs.volume_groups(&parse_pvs_json(&*fixture(pvs)).unwrap()).unwrap();
        assert_eq!((text.len(), json.len()), (1, 1));
        assert_eq!(
            comparable(text[0].clone(), |names| names[1].clone()),
            comparable(json[0].clone(), |names| names[0].clone())
        );
    }
}

#[test]
fn striped_segments() {
    let vg = &parse_vgcfg(&*fixture("formats/vgcfg.txt")).unwrap()[0];
    let SegmentKind::Striped { chunk_bytes, stripes } = &vg.lvs[1].segments[0].kind else {
        panic!("{:?}", vg.lvs[1])
    };
    assert_eq!((*chunk_bytes, &**stripes), (Some(65536), &[pv_stripe(0, 5), pv_stripe(1, 0)][..]));
    assert_eq!(vg.lvs[0].segments[1].kind, linear(5, 2, 1, 5, 0).kind);
}

/// A thin pool over a hidden volume, a volume group with a dash, an unknown device.
#[test]
fn volumes_on_volumes_and_unsupported_types() {
    let text = br#"contents = "Text Format Volume Group" # comment { "
version = 1
vg-a {
 extent_size = 8192
 physical_volumes {
  pv0 { id = "u0" device = "[unknown]" pe_start = 2048 pe_count = 10 }
  pv1 { id = "u1" device = "[unknown]" pe_start = 2048 pe_count = 10 }
 }
 logical_volumes {
  pool { status = ["READ", "VISIBLE"] segment_count = 1
   segment1 { start_extent = 0 extent_count = 8 type = "thin-pool"
    metadata = "pool_tmeta" pool = "pool_tdata" description = "a \"quoted\" { \\ text" } }
  on-it { status = ["VISIBLE"] segment_count = 1
   segment1 { start_extent = 0 extent_count = 4 type = "striped" stripe_count = 1
    stripes = [ "pool_tdata", 2 ] } }
  pool_tdata { status = ["READ"] segment_count = 1
   segment1 { start_extent = 0 extent_count = 8 type = "striped" stripe_count = 1
    stripes = [ "pv1", 2, ] } }
  thick { segment_count = 1
   segment1 { start_extent = 0 extent_count = 8 type = "thin-pool" chunk_size = 128
    metadata = "pool_tmeta" pool = "pool_tdata" } }
  pool_tmeta { segment_count = 1
   segment1 { start_extent = 0 extent_count = 1 type = "striped" stripe_count = 1
    stripes = [ "pv1", 0, ] } }
  on-pool { segment_count = 1
   segment1 { start_extent = 0 extent_count = 9 type = "thin" thin_pool = "thick" device_id = 4 } }
  pvmove0 { status = [] segment_count = 1
   segment1 { start_extent = 0 extent_count = 2 type = "mirror" mirror_count = 2
    mirrors = [ "pv0", 0, "pv1", 0 ] } }
 }
}
"#;
    let vg = &parse_vgcfg(&text[..]).unwrap()[0];
    assert_eq!(vg.pvs[1].names, ["pv1", "u1"]);
    assert_eq!(vg.lvs[1].dm_name, "vg--a-on--it");
    let kinds: Vec<_> = vg.lvs.iter().map(|lv| (lv.visible, &lv.segments[0].kind)).collect();
    let unsupported = |name: &str, on| SegmentKind::Unsupported { type_name: name.into(), on };
    let over = Stripe { target: StripeTarget::Lv(2), first_extent: 2 };
    // A pool without the size of its blocks says too little.
    assert_eq!(kinds[0], (true, &unsupported("thin-pool", vec![])));
    let over = SegmentKind::Striped { chunk_bytes: None, stripes: vec![over] };
    assert_eq!(kinds[1], (true, &over));
    assert_eq!(kinds[2], (false, &linear(0, 8, 1, 2, 0).kind));
    let target = |target: &str, parts: &[usize]| {
        let parts = parts.iter().map(|lv| StripeTarget::Lv(*lv)).collect();
        SegmentKind::Target { target: target.into(), parts }
    };
    assert_eq!(kinds[3], (false, &target("thin-pool p0 p1 128 0", &[4, 2])));
    assert_eq!(vg.lvs[3].thin_pool().as_deref(), Some("vg--a-thick-tpool"));
    assert_eq!(kinds[5], (false, &target("thin p0 4", &[3])));
    assert_eq!(vg.lvs[5].thin_pool(), None);
    assert_eq!(kinds[6], (false, &unsupported("mirror", vec![0, 1])));
}

#[test]
fn several_groups_in_one_report_and_native_numbers() {
    let lvs = br#"{"report":[{"seg":[
     {"lv_name":"b","vg_name":"v2","segtype":"linear","seg_start_pe":0,"seg_size_pe":1,
      "devices":["/dev/b(0)"],"vg_extent_size":"1.50k"},
     {"lv_name":"a","vg_name":"v1","segtype":"linear","seg_start_pe":"0","seg_size_pe":"1",
      "devices":"/dev/a(1)","vg_extent_size":"4M"},
     {"lv_name":"[h_tdata]","vg_name":"v1","segtype":"linear","seg_start_pe":"0","seg_size_pe":"1",
      "devices":"/dev/a(0)","vg_extent_size":"4M"}]}],"log":[]}"#;
    let pvs = br#"{"report":[{"pvseg":[
     {"pv_name":"/dev/a","pv_uuid":"ua","vg_name":"v1","pe_start":"1024b","pvseg_start":0,"pvseg_size":1,"lv_name":"[h_tdata]"},
     {"pv_name":"/dev/a","pv_uuid":"ua","vg_name":"v1","pe_start":"1024b","pvseg_start":1,"pvseg_size":1,"lv_name":"a"},
     {"pv_name":"/dev/b","pv_uuid":"ub","vg_name":"v2","pe_start":"2s","pvseg_start":0,"pvseg_size":1,"segtype":"linear"},
     {"pv_name":"/dev/b","pv_uuid":"ub","vg_name":"v2","pe_start":"2s","pvseg_start":1,"pvseg_size":1,"segtype":"free"},
     {"pv_name":"/dev/c","pv_uuid":"uc","vg_name":"","pe_start":"0s","pvseg_start":0,"pvseg_size":0,"segtype":"free"}]}]}"#;
    let groups = parse_lvs_json(&lvs[..])
        .unwrap()
        .volume_groups(&parse_pvs_json(&pvs[..]).unwrap())
        .unwrap();
    let sizes: Vec<_> = groups.iter().map(|g| (&*g.name, g.extent_bytes, g.pvs.len())).collect();
    assert_eq!(sizes, [("v1", 4_000_000, 1), ("v2", 1536, 1)]);
    assert_eq!((groups[0].pvs[0].pe_start, groups[1].pvs[0].pe_start), (1024, 1024));
    assert_eq!(groups[0].pvs[0].names, ["/dev/a", "ua"]);
    assert_eq!((&*groups[0].lvs[1].name, groups[0].lvs[1].visible), ("h_tdata", false));
}

#[test]
fn device_mapper_tables() {
    let devices = parse_dm_table(&*fixture("golden/dmsetup.txt")).unwrap();
    let names: Vec<_> = devices.iter().map(|d| d.name.as_deref().unwrap()).collect();
    assert_eq!(names, ["vgdata-mysql", "vgdata-scratch", "vgdata-swap"]);
    let swap: Vec<_> = devices[2].lines.iter().map(|l| (l.line, &*l.text)).collect();
    assert_eq!(swap, [(3, "0 24576 linear 8:2 2048"), (4, "24576 16384 linear 8:2 878592")]);
    let bare = parse_dm_table(&*fixture("8-log/dm_error_table.txt")).unwrap();
    assert_eq!((bare.len(), bare[0].name.as_deref(), bare[0].lines.len()), (1, None, 3));
    assert_eq!(bare[0].lines[1].text, "52001 3 error");
    let pool = parse_dm_table(&*fixture("4-thin/dmsetup_table.txt")).unwrap();
    assert_eq!(pool[0].lines[0].text, "0 300016 thin-pool 254:16 253:0 128 0 1 skip_block_zeroing");
    let odd = parse_dm_table(&b"a: b: 0 8 zero\n12: 0 8 error\nempty: \n"[..]).unwrap();
    let names: Vec<_> = odd.iter().map(|d| (d.name.as_deref().unwrap(), d.lines.len())).collect();
    assert_eq!(names, [("a: b", 1), ("12", 1), ("empty", 0)]);
}

#[test]
fn golden_filefrag() {
    let files = filefrag(&fixture("golden/filefrag_v.txt")).unwrap();
    let orders = MappedFile {
        name: "/mnt/ib/orders.ibd".into(),
        size: Some(4_194_304),
        block_bytes: 4096,
        fs_magic: Some(0x5846_5342),
        line: 2,
    };
    assert_eq!(files[0].file, orders);
    let second = files[0].extents[1];
    assert_eq!(second.place, Placement::Device(sectors(280 * 8, 536 * 8 - 1)));
    assert_eq!(second.file, file_sectors(256 * 8, 512 * 8 - 1));
    assert_eq!((second.shared, second.unwritten, second.line), (Some(true), Some(false), 5));
    assert_eq!(files[4].extents[0].unwritten, Some(true));
}

#[test]
fn filefrag_units_come_from_each_header() {
    let b512 = filefrag(&fixture("formats/filefrag_v_b512_xfs.txt")).unwrap();
    let b4096 = filefrag(&fixture("formats/filefrag_v_xfs.txt")).unwrap();
    let bytes = |f: &badrange_input::FileExtents| {
        f.extents.iter().map(|e| (e.file, e.place, e.shared)).collect::<Vec<_>>()
    };
    assert_eq!(bytes(&b512[0]), bytes(&b4096[1]));
    let ext4 = filefrag(&fixture("3-dos-4kn/filefrag_v.a1.txt")).unwrap();
    assert_eq!((ext4[2].file.block_bytes, ext4[2].extents.len()), (1024, 1));
    assert_eq!(ext4[2].extents[0].place, Placement::Device(sectors(9729 * 2, 9729 * 2 + 1)));
}

#[test]
fn filefrag_without_places_and_with_odd_names() {
    let text = b"Filesystem type is: 9123683e\n\
        Filesystem cylinder groups approximately 2\n\
        File size of /a is 3 (x): b is 5000 (2 blocks of 4096 bytes)\n \
        ext:     logical_offset:        physical_offset: length:   expected: flags:\n   \
        0:        0..    4095:          0..      4095:   4096:             not_aligned,inline\n   \
        1:        1..       1:          0..         0:      1:             last,unknown_loc,delalloc,eof\n\
        /a is 3 (x): b: 2 extents found, perfection would be 1 extent\n\
        File size of /none is 0 (0 blocks, blocksize 1024)\n\
        /none: 0 extents found\n";
    let files = filefrag(text).unwrap();
    assert_eq!(files[0].file.name, "/a is 3 (x): b");
    let places: Vec<_> = files[0].extents.iter().map(|e| (e.file.len(), e.place)).collect();
    let none = |why| Placement::None(why);
    // Inline data is counted in bytes.
    assert_eq!(places, [(4096, none(Unplaced::Inline)), (4096, none(Unplaced::Delalloc))]);
    assert_eq!((&*files[1].file.name, files[1].extents.len()), ("/none", 0));
}

#[test]
fn xfs_bmap_of_several_files() {
    let files = bmap(&fixture("3-dos-4kn/xfs_bmap_v.a6.txt")).unwrap();
    // Each name stands there twice.
    assert_eq!(files.len(), 9);
    assert_eq!((&*files[1].file.name, files[1].file.line), ("/srv/a6/d/clone", 7));
    let clone: Vec<_> =
        files[1].extents.iter().map(|e| (e.file, e.place.device().unwrap(), e.shared)).collect();
    let expected = [
        (file_sectors(0, 127), sectors(15360, 15487), Some(true)),
        (file_sectors(128, 159), sectors(23112, 23143), Some(false)),
        (file_sectors(160, 6143), sectors(15520, 21503), Some(true)),
    ];
    assert_eq!(clone, expected);
}

#[test]
fn xfs_bmap_says_unwritten_only_with_p() {
    let files = bmap(&fixture("formats/vm/xfs_bmap-v.txt")).unwrap();
    let c: Vec<_> = files
        .iter()
        .filter(|f| f.file.name == "/mnt/c")
        .map(|f| f.extents.first().map(|e| (e.unwritten, e.shared)))
        .collect();
    // -v, -vp, -a (none), and without -v.
    assert_eq!(
        c,
        [Some((None, Some(false))), Some((Some(true), Some(false))), None, Some((None, None))]
    );
    let zeros = b"/p:\n EXT: FILE-OFFSET BLOCK-RANGE AG AG-OFFSET TOTAL FLAGS\n   \
        0: [0..7]: 8..15 0 (8..15) 8 000000\n   1: [8..15]: 16..23 0 (16..23) 8 001111\n   \
        2: [16..23]: delalloc 8\n   3: [24..31]: hole 8\n";
    let file = &bmap(zeros).unwrap()[0];
    let unwritten: Vec<_> = file.extents.iter().map(|e| e.unwritten).collect();
    assert_eq!(unwritten, [Some(false), None, None]);
    assert_eq!(file.extents[2].place, Placement::None(Unplaced::Delalloc));
}

#[test]
fn paths_are_kept_exactly() {
    let text = "  128 /\n134 /ib/log 0 \n\n134 /ib/\u{e4}:#\n";
    let paths: Vec<_> =
        InodePaths::new(text.as_bytes()).map(|p| p.unwrap()).map(|p| (p.ino, p.path)).collect();
    let expected = [(128, "/"), (134, "/ib/log 0 "), (134, "/ib/\u{e4}:#")];
    assert_eq!(paths, expected.map(|(ino, path)| (ino, path.to_owned())));
    // Without CRLF on its first line, a carriage return belongs to a name.
    let odd: Vec<_> = InodePaths::new(&b"1 /a\n2 /b\r\n"[..]).map(|p| p.unwrap().path).collect();
    assert_eq!(odd, ["/a", "/b\r"]);
}

#[test]
fn badblocks_are_joined_and_the_cut_is_said() {
    let list = parse_badblocks(&b"512 512\n0 512\n2000 8\n2004 8"[..]).unwrap();
    let ranges: Vec<_> = list.ranges.iter().map(|r| (r.extent, r.line)).collect();
    assert_eq!(ranges, [(sectors(0, 1023), 2), (sectors(2000, 2011), 3)]);
    assert!(!list.truncated);

    // 255 lines of 16 bytes are 4080; what sysfs leaves of the next one is 15 bytes of 16.
    let lines: String =
        (0..256).map(|i| format!("{} 8\n", 1_000_000_000_000_u64 + i * 64)).collect();
    assert_eq!(lines.len(), 4096);
    let cut = parse_badblocks(&lines.as_bytes()[..4095]).unwrap();
    assert_eq!((cut.ranges.len(), cut.truncated), (255, true));
    let short = parse_badblocks(&lines.as_bytes()[..4080]).unwrap();
    assert_eq!((short.ranges.len(), short.truncated), (255, false));
    let whole = parse_badblocks(lines.as_bytes()).unwrap();
    assert_eq!((whole.ranges.len(), whole.truncated), (256, true));
    // A cut inside the first number drops a line that is none.
    let middle = [lines.as_bytes(), b"10"].concat();
    assert_eq!(parse_badblocks(&*middle).unwrap().ranges.len(), 256);
    assert_eq!(parse_badblocks(&b""[..]).unwrap().ranges.len(), 0);
}
