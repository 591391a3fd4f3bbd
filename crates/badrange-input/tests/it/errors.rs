//! What each refusal says, to the letter.

use std::io::{BufReader, Cursor, Read};

use badrange_input::{
    InodePaths, MAX_LINE_BYTES, ParseError, ParseErrorKind, parse_badblocks, parse_dm_table,
    parse_lvs_json, parse_pvs_json, parse_sfdisk_dump, parse_sfdisk_json, parse_vgcfg, recognise,
};

use super::{bmap, filefrag, fixture, fsmap};

/// Kind and message of an error, on one line.
fn said<T>(result: Result<T, ParseError>) -> String {
    match result {
        Ok(_) => "no error".to_owned(),
        Err(e) => format!("{:?}: {e}", e.kind()),
    }
}

#[test]
fn lines_in_general() {
    let far = Cursor::new("8 1\n").chain(std::io::repeat(b'7').take(1 << 30));
    let said_far = said(parse_badblocks(BufReader::new(far)));
    assert_eq!(
        said_far,
        format!(
            "TooLong: line 2: line is too long: no line of a known format has over \
             {MAX_LINE_BYTES} bytes"
        )
    );
    assert_eq!(
        said(InodePaths::new(&b"1 /a\n2 /b\xff\n"[..]).collect::<Result<Vec<_>, _>>()),
        "BadEncoding: line 2: undecodable line \"2 /b\": expected UTF-8; file names in other bytes \
         are not supported, give this file as UTF-8 without them"
    );
    assert_eq!(
        said(parse_vgcfg(&b"a = 1\nb = \"\xff"[..])),
        "BadEncoding: line 2: undecodable line \"b = \\\"\": expected UTF-8; file names in other \
         bytes are not supported, give this file as UTF-8 without them"
    );
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("the disk went away"))
        }
    }
    assert_eq!(
        said(parse_badblocks(BufReader::new(Broken))),
        "Read: line 1: unreadable input: the disk went away"
    );
    assert_eq!(said(parse_sfdisk_json(Broken)), "Read: unreadable input: the disk went away");
}

#[test]
fn nothing_follows_an_error() {
    let mut paths = InodePaths::new(&b"x\n1 /a\n"[..]);
    assert!(paths.next().is_some_and(|p| p.is_err()));
    assert!(paths.next().is_none());
}

#[test]
fn accessors_tell_what_the_message_says() {
    let err = parse_badblocks(&b"8 1\n\n8 x\n"[..]).unwrap_err();
    assert_eq!((err.line(), err.kind()), (Some(3), ParseErrorKind::BadNumber));
    assert_eq!((err.field(), err.value()), ("length", "x"));
}

#[test]
fn badblocks() {
    let cases = [
        (
            "8 1\n12x 1\n",
            "BadNumber: line 2: bad start \"12x\": expected a decimal number of sectors",
        ),
        ("-1 1\n", "BadNumber: line 1: bad start \"-1\": expected a decimal number of sectors"),
        ("8 0\n", "Inconsistent: line 1: contradictory length \"0\": a bad range is never empty"),
        (
            "1234\n",
            "NotThisFormat: line 1: unexpected line \"1234\": expected '<first sector> <sectors>' \
             as in /sys/block/DEV/badblocks; lists of badblocks(8) do not say their block size",
        ),
        (
            "99999999999999999999 1\n",
            "Overflow: line 1: start \"99999999999999999999\" is too large: it does not fit in 64 \
             bits",
        ),
        (
            "36028797018963967 1\n",
            "Overflow: line 1: range \"36028797018963967+1\" is too large: it does not fit in 64 \
             bits",
        ),
    ];
    for (text, message) in cases {
        assert_eq!(said(parse_badblocks(text.as_bytes())), message);
    }
    // The last sector whose end still fits.
    assert!(parse_badblocks(&b"36028797018963966 1\n"[..]).is_ok());
}

#[test]
fn fsmaps() {
    let cases = [
        (
            "\t0: 7:4 [8..7]: inodes 8\n",
            "Inconsistent: line 1: contradictory range \"8..7\": the end lies before the start",
        ),
        (
            "\t0: 7:4 [0..7]: inodes 9\n",
            "Inconsistent: line 1: contradictory length \"9\": the range of this line holds 8",
        ),
        (
            "\t0: 7:4 [0..7]: inode 132 data 0..8 8\n",
            "Inconsistent: line 1: contradictory file range length \"9\": the range of this line \
             holds 8",
        ),
        (
            "\t0: 7:4 [0..7]: hot air 8\n",
            "NotThisFormat: line 1: unexpected owner \"hot air\": expected an inode or one of the \
             words of xfs_io -c fsmap",
        ),
        (
            "0: 7:4 [0..7]: 132 0..7 0 (0..6) 8\n",
            "Inconsistent: line 1: contradictory AG offset length \"7\": the range of this line \
             holds 8",
        ),
        (
            "0: 7:4 [0..7]: 132 0..7 0 (0..7) 8 2000000\n",
            "Unsupported: line 1: unsupported flags \"2000000\": only attr, shared, unwritten and \
             stripe bits are known",
        ),
        ("0: 7 [0..7]: inodes 8\n", "BadNumber: line 1: bad device \"7\": expected MAJOR:MINOR"),
        (
            "0: 7:4294967296 [0..7]: inodes 8\n",
            "Overflow: line 1: device \"4294967296\" is too large: it does not fit in 64 bits",
        ),
        (
            "0: 7:4 [0-7]: inodes 8\n",
            "BadNumber: line 1: bad range \"0-7\": expected FIRST..LAST in sectors",
        ),
        (
            "0,7,4,0,7,special_88:1,,,8\n1,7,4,8,15,special_88:3,0,7,8\n",
            "Inconsistent: line 2: contradictory file range of \"special_88:3\": file data has a \
             file range, and nothing else has",
        ),
        (
            "0,7,4,0,7,inode_5_resource,0,7,8\n",
            "NotThisFormat: line 1: unexpected owner \"inode_5_resource\": expected \
             special_MAJOR:MINOR or inode_NUMBER_FORK",
        ),
        (
            "0,7,4,0,7,special_88:1,,\n",
            "NotThisFormat: line 1: unexpected line \"0,7,4,0,7,special_88:1,,\": expected the 9 \
             comma-separated fields of xfs_io -c 'fsmap -m'",
        ),
        (
            "    0100000 Shared extent\n",
            "NotThisFormat: line 1: unexpected line \"0100000 Shared extent\": expected a row of \
             xfs_io -c fsmap (plain, -v or -m)",
        ),
        (
            "\t0: 7:4 [0..18446744073709551615]: inodes 8\n",
            "Overflow: line 1: range \"0..18446744073709551615\" is too large: it does not fit in \
             64 bits",
        ),
    ];
    for (text, message) in cases {
        assert_eq!(said(fsmap(text.as_bytes())), message, "{text}");
    }
}

const FRAG: &str = "File size of /a is 8192 (2 blocks of 4096 bytes)\n \
    ext:     logical_offset:        physical_offset: length:   expected: flags:\n";

#[test]
fn filefrags() {
    let rows = [
        (
            "   0:        0..       1:         10..        12:      2:             last,eof\n",
            "Inconsistent: line 3: contradictory physical range length \"3\": the range of this \
             line holds 2",
        ),
        (
            "   0:        0..       1:         10..        11:      3:             last,eof\n",
            "Inconsistent: line 3: contradictory length \"3\": the range of this line holds 2",
        ),
        (
            "   0:        0..       1:         10..        11:      2:             last,encoded,eof\n",
            "Unsupported: line 3: unsupported extent flag \"encoded\": its bytes on the device are \
             not the bytes of the file; leave this file out",
        ),
        (
            "   0:        0..       1:         10..        11:      2:             last,0x4000\n",
            "Unsupported: line 3: unsupported flag \"0x4000\": only the flags of FIEMAP are known",
        ),
        (
            "   0:        0..       1:          a..         b:      2:             last,eof\n",
            "Unsupported: line 3: unsupported number \"a..         b\": filefrag -X prints \
             hexadecimal; run it without -X",
        ),
        (
            "   0:        0..       0:         10..        10:      1:             last,eof\n",
            "Inconsistent: line 3: contradictory eof at \"0..       0\": the last extent ends \
             before the file's 8192 bytes; the file changed meanwhile, or filefrag -X printed \
             hexadecimal digits",
        ),
        (
            "what is this\n",
            "NotThisFormat: line 3: unexpected line \"what is this\": expected a row of filefrag -v \
             from e2fsprogs 1.42.9 or later (not -X, not Lustre)",
        ),
    ];
    for (row, message) in rows {
        assert_eq!(said(filefrag(format!("{FRAG}{row}").as_bytes())), message, "{row}");
    }
    assert_eq!(
        said(filefrag(b"File size of /a is 8192 (3 blocks of 4096 bytes)\n")),
        "Inconsistent: line 1: contradictory block count \"3\": 8192 bytes are not 3 blocks of 4096"
    );
    assert_eq!(
        said(filefrag(b"File size of /a is 8192 (0 blocks of 0 bytes)\n")),
        "Inconsistent: line 1: contradictory block count \"0\": 8192 bytes are not 0 blocks of 0"
    );
    assert_eq!(
        said(filefrag(&fixture("formats/vm/filefrag-ve.txt"))),
        "Unsupported: line 14: unsupported number \"38..        3b\": filefrag -X prints \
         hexadecimal; run it without -X"
    );
}

#[test]
fn xfs_bmaps() {
    let cases = [
        (
            "   0: [0..7]: 8..15 0 (8..15) 8\n",
            "MissingField: line 1: missing file name \"0: [0..7]: 8..15 0 (8..15) 8\": expected the \
             line with the name of its file above it",
        ),
        (
            "/a:\n EXT: FILE-OFFSET      RT-BLOCK-RANGE      TOTAL\n",
            "Unsupported: line 2: unsupported file on the realtime device: its extents are on the \
             realtime device; leave this file out",
        ),
        (
            "/a:\n 0: [0..7]: 8..16 0 (8..16) 8\n",
            "Inconsistent: line 2: contradictory block range length \"9\": the range of this line \
             holds 8",
        ),
        (
            "/a:\n 0: [0..7]: 8..15 0 (8..15) 8 0200000\n",
            "Unsupported: line 2: unsupported flags \"0200000\": only shared, unwritten and stripe \
             bits are known",
        ),
        (
            "no colon\n",
            "NotThisFormat: line 1: unexpected line \"no colon\": expected xfs_bmap -v: 'NAME:', a \
             header, or a row",
        ),
    ];
    for (text, message) in cases {
        assert_eq!(said(bmap(text.as_bytes())), message, "{text}");
    }
}

#[test]
fn partitions() {
    let cases = [
        (
            "unit: sectors\n\nsda1 : start= 1, size= 1, type=83\n",
            "MissingField: line 3: missing label: expected 'label: gpt' or 'label: dos'",
        ),
        (
            "label: sun\n",
            "Unsupported: line 1: unsupported label \"sun\": only gpt and dos tables are known",
        ),
        (
            "label: gpt\nunit: cylinders\n",
            "BadUnit: line 2: bad unit of table \"cylinders\": only sectors are known; print the \
             table with sfdisk -d",
        ),
        (
            "label: gpt\nlabel: gpt\n",
            "Inconsistent: line 2: contradictory line \"label: gpt\": a table says it once; give \
             one table only",
        ),
        (
            "label: gpt\nsector-size: 1000\n",
            "Inconsistent: line 2: contradictory sector size \"1000\": expected a power of two of \
             at least 512",
        ),
        (
            "label: gpt\n\nsda1 : start= 12x, size= 1, type=X\n",
            "BadNumber: line 3: bad start \"12x\": expected a decimal number of sectors",
        ),
        (
            "label: gpt\n\nsda1 : size= 1, type=X\n",
            "MissingField: line 3: missing start of \"sda1\": every partition of sfdisk -d has it",
        ),
        (
            "label: gpt\n\nsda : start= 1, size= 1, type=X\n",
            "BadNumber: line 3: bad node \"sda\": expected a node that ends in the partition's \
             number",
        ),
        (
            "label: gpt\n\nsda1 : start= 1, size= 0, type=X\n",
            "Inconsistent: line 3: contradictory partition \"1+0\": a range is never empty",
        ),
        (
            "label: gpt\n\na1 : start= 10, size= 5, type=X\na2 : start= 14, size= 5, type=X\n",
            "Inconsistent: line 4: contradictory partition \"a2\": it overlaps a1 of line 3",
        ),
        (
            "label: gpt\n\na1 : start= 10, size= 4, type=X\na1 : start= 14, size= 5, type=X\n",
            "Inconsistent: line 4: contradictory partition \"a1\": line 3 has this number too",
        ),
        (
            "label: dos\n\na1 : start= 10, size= 5, type=f\na5 : start= 14, size= 2, type=83\n",
            "Inconsistent: line 4: contradictory partition \"a5\": a logical partition lies inside \
             the extended one",
        ),
        (
            "label: gpt\nfirst-lba: 2\nlast-lba: 9\n\na1 : start= 5, size= 6, type=X\n",
            "Inconsistent: line 5: contradictory partition \"a1\": it reaches beyond last-lba",
        ),
    ];
    for (text, message) in cases {
        assert_eq!(said(parse_sfdisk_dump(text.as_bytes())), message, "{text}");
    }
    // One sector less overlaps nothing, and the last usable sector may be used.
    let apart = b"label: gpt\nfirst-lba: 2\nlast-lba: 18\n\n\
        a1 : start= 10, size= 4, type=X\na2 : start= 14, size= 5, type=X\n";
    assert!(parse_sfdisk_dump(&apart[..]).is_ok());
    assert_eq!(
        said(parse_sfdisk_json(&b"{\"partitiontable\":\n {\"label\":\"gpt\",}}"[..])),
        "NotThisFormat: line 2: unexpected sfdisk JSON: trailing comma"
    );
    let no_size = b"{\"partitiontable\":{\"label\":\"gpt\",\"partitions\":[\n\n{\"node\":\"a1\",\n\"start\":1}]}}";
    assert_eq!(
        said(parse_sfdisk_json(&no_size[..])),
        "MissingField: line 4: missing partition: missing field `size`"
    );
}

#[test]
fn device_mapper_tables() {
    let status = [
        (
            "4-thin/dmsetup_status.txt",
            "pool: 0 300016 thin-pool 0 219/2048 544/2343 - rw discard_passdown queue_if_no_s...",
        ),
        ("formats/vm/dmsetup-status.txt", "cat: 0 65536 linear"),
    ];
    for (name, line) in status {
        assert_eq!(
            said(parse_dm_table(&*fixture(name))),
            format!(
                "Unsupported: line 1: unsupported line {line:?}: this is dmsetup status; give \
                 dmsetup table"
            )
        );
    }
    for line in [
        "s: 0 8 striped 2 259:1 259:5 1 AA",
        "v: 0 160000 thin 43008 159999",
        "v: 0 9 thin -",
        "m: 0 8 mirror 2 254:57 254:58 400/400 1 AA 1 core",
        "s: 0 8 snapshot 16/1000 16",
        "r: 0 8 raid raid1 2 AA 8/8 idle 0 0 -",
        "c: 0 8 crypt ",
    ] {
        let err = parse_dm_table(line.as_bytes()).unwrap_err();
        assert_eq!(err.kind(), ParseErrorKind::Unsupported, "{line}");
    }
    assert_eq!(
        said(parse_dm_table(&b"a: 0 8 zero\n8 8 zero\n"[..])),
        "Inconsistent: line 2: contradictory device name \"8 8 zero\": either every line of a table \
         begins with 'NAME: ' or none does"
    );
    assert_eq!(
        said(parse_dm_table(&b"lin\t(254:0)\n"[..])),
        "NotThisFormat: line 1: unexpected line \"lin\\t(254:0)\": expected '[NAME: ]START LENGTH \
         TARGET ARGUMENTS' of dmsetup table (not status, ls, deps or info)"
    );
}

fn vgcfg(pvs: &str, lvs: &str) -> String {
    format!(
        "contents = \"Text Format Volume Group\"\nvg {{\nextent_size = 8192\n\
         physical_volumes {{\n{pvs}\n}}\nlogical_volumes {{\n{lvs}\n}}\n}}\n"
    )
}

/// A logical volume on one line: its segments are `start count pv first`.
fn lv(name: &str, segments: &[(u64, u64, &str, u64)]) -> String {
    let body: String = (1..)
        .zip(segments)
        .map(|(n, (start, count, pv, first))| {
            format!(
                "segment{n} {{ start_extent = {start} extent_count = {count} type = \"striped\" \
                 stripe_count = 1 stripes = [ \"{pv}\", {first} ] }} "
            )
        })
        .collect();
    format!("{name} {{ segment_count = {} {body}}}", segments.len())
}

#[test]
fn volume_group_text() {
    let pv = "pv0 { pe_start = 2048 pe_count = 10 }";
    let check = |lvs: &str, message: &str| {
        assert_eq!(said(parse_vgcfg(vgcfg(pv, lvs).as_bytes())), message);
    };
    check(
        &format!("{}\n{}", lv("a", &[(0, 3, "pv0", 0)]), lv("b", &[(0, 2, "pv0", 2)])),
        "Inconsistent: line 9: contradictory segment of \"b\": its extents 2..4 overlap those of a, \
         line 8",
    );
    check(
        &lv("a", &[(0, 3, "pv0", 8)]),
        "Inconsistent: line 8: contradictory stripe on \"pv0\": 3 extents from 8 on are more than \
         the 10 it has",
    );
    check(
        &lv("a", &[(0, 1, "pv0", 0), (2, 1, "pv0", 1)]),
        "Inconsistent: line 8: contradictory segment start \"2\": the segments of a should go on at \
         extent 1",
    );
    check(
        &lv("a", &[(0, 1, "pv7", 0)]),
        "Inconsistent: line 8: contradictory stripe on \"pv7\": no physical or logical volume has \
         this name",
    );
    check(
        "a { segment_count = 2 }",
        "Inconsistent: line 8: contradictory segment_count \"2\": there are 0",
    );
    check(
        "a { segment_count = 1 segment1 { start_extent = 0 extent_count = 3 type = \"striped\"\n\
         stripe_count = 2 stripe_size = 8 stripes = [ \"pv0\", 0, \"pv0\", 4 ] } }",
        "Inconsistent: line 8: contradictory segment: 3 extents do not fill 2 stripes",
    );
    check(
        "a { segment_count = x }",
        "BadNumber: line 8: bad segment_count \"x\": expected a decimal number of units",
    );
    check(
        "a { segment_count = 1\nsegment_count = 1 }",
        "Inconsistent: line 9: contradictory key \"segment_count\": a section says it once",
    );
    check(
        "a {",
        "NotThisFormat: line 11: unexpected end of text: expected 'name {', 'key =' or '}'",
    );
    // Ten extents end exactly at the end.
    assert!(parse_vgcfg(vgcfg(pv, &lv("a", &[(0, 2, "pv0", 8)])).as_bytes()).is_ok());
    let small = "pv0 { pe_start = 2048 pe_count = 10 dev_size = 83967 }";
    assert_eq!(
        said(parse_vgcfg(vgcfg(small, "").as_bytes())),
        "Inconsistent: line 5: contradictory physical volume \"pv0\": its extents reach beyond the \
         device"
    );
    assert_eq!(
        said(parse_vgcfg(vgcfg("pv0 { pe_start = 2048 }", "").as_bytes())),
        "MissingField: line 5: missing pe_count: every section like pv0 has it"
    );
    assert_eq!(
        said(parse_vgcfg("a {\n".repeat(100_000).as_bytes())),
        "TooLong: line 17: nesting is too long: sections of LVM metadata are at most 16 deep"
    );
    assert_eq!(
        said(parse_vgcfg(&b"version = 1\n"[..])),
        "NotThisFormat: unexpected text: expected contents = \"Text Format Volume Group\", as \
         vgcfgbackup writes"
    );
}

fn lvs(rows: &str) -> String {
    format!("{{\"report\":[{{\"lv\":[\n{rows}\n]}}]}}")
}

fn pvs(rows: &str) -> String {
    format!("{{\"report\":[{{\"pvseg\":[\n{rows}\n]}}]}}")
}

fn groups(lv_rows: &str, pv_rows: &str) -> Result<(), ParseError> {
    let lvs = parse_lvs_json(lvs(lv_rows).as_bytes())?;
    lvs.volume_groups(&parse_pvs_json(pvs(pv_rows).as_bytes())?).map(|_| ())
}

const LV: &str = r#"{"lv_name":"a","vg_name":"v","segtype":"linear","seg_start_pe":"0","seg_size_pe":"4","seg_pe_ranges":"/dev/a:3-6","devices":"/dev/a(3)","vg_extent_size":"8192S"}"#;
const PV: &str = r#"{"pv_name":"/dev/a","pe_start":"1m","pvseg_start":"0","pvseg_size":"3","lv_name":""},
{"pv_name":"/dev/a","pe_start":"1m","pvseg_start":"3","pvseg_size":"4","lv_name":"a"}"#;

#[test]
fn volume_group_reports() {
    assert_eq!(said(groups(LV, PV)), "no error");
    let cases = [
        (
            LV.replace("3-6", "3-7"),
            PV.to_owned(),
            "Inconsistent: line 2: contradictory seg_pe_ranges \"/dev/a:3-7\": by devices and size \
             it is \"/dev/a:3-6\"",
        ),
        (
            LV.replace("8192S", "<4.00m"),
            PV.to_owned(),
            "BadUnit: line 2: bad unit of vg_extent_size \"<4.00m\": it was rounded; report with \
             --units b",
        ),
        (
            LV.replace("8192S", "1.33m"),
            PV.to_owned(),
            "BadUnit: line 2: bad unit of vg_extent_size \"1.33m\": it is no whole number of bytes, \
             so it was rounded; report with --units b",
        ),
        (
            LV.replace("8192S", "4194304"),
            PV.to_owned(),
            "BadUnit: line 2: bad unit of vg_extent_size \"4194304\": expected a size with its \
             unit; report with --units b",
        ),
        (
            LV.replace("seg_start_pe", "start"),
            PV.to_owned(),
            "MissingField: line 2: missing seg_start_pe: LVM did not report it; add it with -o",
        ),
        (
            LV.replace("\"linear\"", "\"striped\"")
                .replace("/dev/a:3-6", "")
                .replace("/dev/a(3)", "/dev/a(3),/dev/a(5)"),
            PV.to_owned(),
            "MissingField: line 2: missing stripe_size: LVM did not report it; add it with -o",
        ),
        (
            LV.to_owned(),
            PV.replace("\"lv_name\":\"a\"", "\"lv_name\":\"b\""),
            "Inconsistent: line 3: contradictory line of pvs: pvs gives extents 3+4 of /dev/a to b, \
             lvs to a; report both at one time, with lvs -a",
        ),
        (
            LV.to_owned(),
            PV.replace("\"lv_name\":\"\"", "\"lv_name\":\"[hidden]\""),
            "Inconsistent: line 2: contradictory line of pvs: pvs gives extents 0+3 of /dev/a to \
             hidden, lvs to nobody, or only a part; report both at one time, with lvs -a",
        ),
        (
            LV.to_owned(),
            PV.replace(",\"lv_name\":\"\"", ",\"segtype\":\"linear\""),
            "Inconsistent: line 2: contradictory line of pvs: pvs gives extents 0+3 of /dev/a to \
             somebody, lvs to nobody, or only a part; report both at one time, with lvs -a",
        ),
        (
            LV.to_owned(),
            PV.replace("\"lv_name\":\"a\"", "\"segtype\":\"free\""),
            "Inconsistent: line 3: contradictory line of pvs: pvs gives extents 3+4 of /dev/a to \
             nobody, lvs to a; report both at one time, with lvs -a",
        ),
        (
            LV.to_owned(),
            PV.replace(",\"lv_name\":\"\"", ""),
            "MissingField: line 2: missing lv_name: LVM did not report it; add it with -o",
        ),
        (
            LV.to_owned(),
            PV.replace("\"pvseg_start\":\"3\"", "\"pvseg_start\":\"4\""),
            "Inconsistent: line 3: contradictory pvseg_start \"4\": in pvs, the segments of /dev/a \
             should go on at extent 3",
        ),
    ];
    for (lv, pv, message) in cases {
        assert_eq!(said(groups(&lv, &pv)), message);
    }
    assert_eq!(
        said(parse_lvs_json(pvs(PV).as_bytes())),
        "NotThisFormat: unexpected rows \"pvseg\": expected the rows \"lv or seg\", as LVM reports \
         them"
    );
}

#[test]
fn paths() {
    let paths = |text: &str| said(InodePaths::new(text.as_bytes()).collect::<Result<Vec<_>, _>>());
    assert_eq!(
        paths("# paths\n"),
        "NotThisFormat: line 1: unexpected line \"# paths\": expected '<inode> <path>'"
    );
    assert_eq!(paths("12\n"), "MissingField: line 1: missing path: expected '<inode> <path>'");
}

#[test]
fn unrecognisable_texts() {
    assert_eq!(
        said(recognise(b" \n")),
        "MissingField: missing content: the text is empty; was the capture made as root?"
    );
    let binary = "BadEncoding: undecodable text: this is no UTF-8 text; give the text that the \
                  tool prints";
    assert_eq!(said(recognise(b"\xff\xfel\0a\0")), binary);
    assert_eq!(said(recognise(b"ab\0")), binary);
    assert_eq!(
        said(recognise(b"\nhello world\n")),
        "NotThisFormat: unexpected text \"hello world\": known are sfdisk -d, sfdisk --json, \
         vgcfgbackup, lvs --reportformat json, pvs --segments --reportformat json, dmsetup table, \
         lsblk -J, losetup --json, mdadm --examine, thin_dump, xfs_io -c fsmap, xfs_io -c 'fsmap \
         -v', xfs_io -c 'fsmap -m', xfs_bmap -v, filefrag -v, badblocks list, inode paths"
    );
    assert_eq!(
        said(recognise(b"{\"report\":[{\"vg\":[]}]}")),
        "Unsupported: line 1: unsupported text: this is a report of other LVM columns; give \
         vgcfgbackup, or lvs and pvs with --reportformat json"
    );
}
