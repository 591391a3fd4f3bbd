//! Superblocks, thin pools and listings that no capture at hand has.

use badrange_input::{
    MAX_THIN_RANGES, MdRole, MdVersion, MemoryFiles, ParseErrorKind, Topology, parse_lsblk,
    parse_mdadm_examine, parse_thin_dump,
};

/// As mdadm prints 0.90: sizes in KiB, no data offset, a table of the members.
const OLD: &str = "/dev/sdb1:
          Magic : a92b4efc
        Version : 0.90.00
           UUID : 6f9a1b3c:00000000:00000000:00000001 (local to host box)
     Raid Level : raid5
  Used Dev Size : 40896 (39.94 MiB 41.88 MB)
     Array Size : 81792 (79.88 MiB 83.76 MB)
   Raid Devices : 3
  Total Devices : 2
Preferred Minor : 0
         Events : 0.42

         Layout : left-symmetric
     Chunk Size : 64K

      Number   Major   Minor   RaidDevice State
this     1       8       17        1      active sync   /dev/sdb1

   0     0       0        0        0      removed
   1     1       8       17        1      active sync   /dev/sdb1
   2     2       8       33        2      active sync   /dev/sdc1
";

#[test]
fn old_superblocks_count_in_kib_and_have_a_table_of_members() {
    let members = parse_mdadm_examine(OLD.as_bytes()).unwrap();
    let [old] = members.as_slice() else { panic!("{members:?}") };
    assert_eq!((old.version, old.role), (MdVersion::V0_90, MdRole::Active(1)));
    assert_eq!((old.used_bytes, old.array_bytes), (Some(40896 * 1024), None));
    assert_eq!((old.data_offset, old.super_offset, old.chunk_bytes), (None, None, Some(65536)));
    assert_eq!((old.state.as_str(), old.events.as_slice()), (".AA", &[0, 42][..]));
}

#[test]
fn several_devices_in_one_text_are_several_members() {
    let two = format!("{OLD}{}", OLD.replace("sdb1", "sdc1"));
    let devices: Vec<_> =
        parse_mdadm_examine(two.as_bytes()).unwrap().into_iter().map(|m| m.device).collect();
    assert_eq!(devices, ["/dev/sdb1", "/dev/sdc1"]);
}

#[test]
fn what_is_no_superblock_of_linux_is_refused_by_name() {
    let refused = |text: &str| parse_mdadm_examine(text.as_bytes()).unwrap_err();
    let mbr = refused("/dev/sda:\n   MBR Magic : aa55\nPartition[0] : 2048 sectors at 2048\n");
    assert!(mbr.to_string().contains("of the partition"), "{mbr}");
    let imsm = refused("/dev/sda:\n          Magic : Intel Raid ISM Cfg Sig. 1.3.00\n");
    assert!(imsm.to_string().contains("IMSM"), "{imsm}");
    assert_eq!(refused("hello\n").kind(), ParseErrorKind::NotThisFormat);
    let no_level = refused(&OLD.replace("     Raid Level : raid5\n", ""));
    assert_eq!((no_level.kind(), no_level.line()), (ParseErrorKind::MissingField, Some(1)));
    let odd = refused(&OLD.replace("Chunk Size : 64K", "Chunk Size : 64"));
    assert_eq!((odd.kind(), odd.line()), (ParseErrorKind::BadUnit, Some(14)));
}

#[test]
fn a_reshape_is_told() {
    let moving = OLD.replace("         Events", "  Reshape pos'n : 4096\n         Events");
    let members = parse_mdadm_examine(moving.as_bytes()).unwrap();
    assert_eq!(members[0].moving.as_deref(), Some("Reshape pos'n : 4096"));
}

#[test]
fn shared_mappings_are_put_where_they_are_referred_to() {
    let text = "<?xml version=\"1.0\"?>\n<!-- two volumes -->\n<superblock data_block_size=\"128\">\n\
        <def name=\"0\"><range_mapping origin_begin=\"0\" data_begin=\"10\" length=\"2\"/></def>\n\
        <device dev_id=\"1\" mapped_blocks=\"3\"><ref name=\"0\"/>\n\
        <single_mapping origin_block=\"5\" data_block=\"7\"/></device>\n\
        <device dev_id=\"2\" mapped_blocks=\"2\"><ref name=\"0\"/></device></superblock>";
    let dump = parse_thin_dump(text.as_bytes()).unwrap();
    let ranges: Vec<_> = dump
        .devices
        .iter()
        .map(|d| d.ranges.iter().map(|r| (r.volume, r.data, r.blocks)).collect::<Vec<_>>())
        .collect();
    assert_eq!(ranges, [vec![(0, 10, 2), (5, 7, 1)], vec![(0, 10, 2)]]);
    assert_eq!((dump.devices[1].line, dump.data_blocks), (7, None));
}

#[test]
fn a_dump_that_is_not_whole_is_refused() {
    let refused = |text: &str| parse_thin_dump(text.as_bytes()).unwrap_err();
    let skipped = "<superblock data_block_size=\"128\">\n<device dev_id=\"1\" mapped_blocks=\"9\">\n\
                   </device></superblock>";
    let err = refused(skipped);
    assert_eq!((err.kind(), err.line()), (ParseErrorKind::Inconsistent, Some(2)));
    assert!(err.to_string().contains("--skip-mappings"), "{err}");
    let cut = "<superblock data_block_size=\"128\">\n<device dev_id=\"1\" mapped_blocks=\"0\">";
    assert_eq!(refused(cut).kind(), ParseErrorKind::NotThisFormat);
    let unknown = "<superblock data_block_size=\"128\"><hole/></superblock>";
    assert_eq!(refused(unknown).kind(), ParseErrorKind::Unsupported);
    let no_ref = "<superblock data_block_size=\"128\"><device dev_id=\"1\" mapped_blocks=\"0\">\
                  <ref name=\"3\"/></device></superblock>";
    assert_eq!(refused(no_ref).kind(), ParseErrorKind::Inconsistent);
}

#[test]
fn a_member_of_number_2_to_the_40_takes_no_memory() {
    let bomb = OLD.replace("Raid Devices : 3", "Raid Devices : 18446744073709551615").replace(
        "   2     2       8       33        2 ",
        "   2     2       8       33        1099511627776 ",
    );
    assert!(bomb.contains(" 1099511627776 "));
    let members = parse_mdadm_examine(bomb.as_bytes()).unwrap();
    assert_eq!(members[0].state, ".A");
}

#[test]
fn a_superblock_of_0_90_with_a_state_of_later_ones_is_refused() {
    let text = OLD.replace("   Raid Devices : 3", "    Array State : AAA\n   Raid Devices : 3");
    assert_ne!(text, OLD);
    let line = text.lines().position(|line| line.contains("Array State")).unwrap() as u64 + 1;
    let err = parse_mdadm_examine(text.as_bytes()).unwrap_err();
    assert_eq!((err.kind(), err.line()), (ParseErrorKind::Inconsistent, Some(line)));
    assert!(
        err.to_string().contains("contradictory array state \"AAA\": a superblock of 0.90"),
        "{err}"
    );
}

#[test]
fn what_an_error_about_a_stack_quotes_has_no_control_characters() {
    let member = |uuid: &str, role: u8| {
        format!(
            "Magic : a92b4efc\nVersion : 1.2\nArray UUID : {uuid}\nRaid Level : raid1\n\
             Raid Devices : 2\nAvail Dev Size : 2048 sectors\nData Offset : 2048 sectors\n\
             Events : 1\nDevice Role : Active device {role}\nArray State : AA\n"
        )
    };
    let files = MemoryFiles::new().with("a", member("1:2", 0)).with("b", member("1:\u{14}2", 1));
    let toml = "schema = \"badrange.stack/1\"\n[[disk]]\nname = \"a\"\nsectors = 8192\n\
                [[disk]]\nname = \"b\"\nsectors = 8192\n\
                [[md]]\nname = \"m\"\ndevices = [\"a\", \"b\"]\nexamine = [\"a\", \"b\"]\n";
    let err = Topology::load("stack.toml", toml, &files).unwrap_err().to_string();
    assert!(err.contains("no members of one array") && err.contains("1:\\u{14}2"), "{err:?}");
    assert!(!err.contains(char::is_control), "{err:?}");
}

#[test]
fn mappings_that_double_at_every_reference_are_refused() {
    let mut bomb = "<superblock data_block_size=\"128\">\n<def name=\"0\">\
        <single_mapping origin_block=\"0\" data_block=\"0\"/></def>\n"
        .to_owned();
    for name in 1..50 {
        let below = name - 1;
        bomb +=
            &format!("<def name=\"{name}\"><ref name=\"{below}\"/><ref name=\"{below}\"/></def>\n");
    }
    let err = parse_thin_dump(bomb.as_bytes()).unwrap_err();
    assert_eq!((err.kind(), err.line()), (ParseErrorKind::Inconsistent, Some(3)));
}

#[test]
fn a_short_text_does_not_stand_for_more_ranges_than_memory_has() {
    // 65536 shared ranges, and volumes that all refer to them: 256 of those are the most there is
    // room for, with the definition itself 255.
    let many = 1 << 16;
    let mut text = "<superblock data_block_size=\"128\"><def name=\"1\">".to_owned();
    for i in 0..many {
        text += &format!("<single_mapping origin_block=\"{}\" data_block=\"{i}\"/>", 2 * i);
    }
    text += "</def>";
    let volumes = |count: usize| {
        let volume = |id| {
            format!("<device dev_id=\"{id}\" mapped_blocks=\"{many}\"><ref name=\"1\"/></device>")
        };
        let text = text.clone() + &(0..count).map(volume).collect::<String>() + "</superblock>";
        parse_thin_dump(text.as_bytes()).map(|dump| dump.devices.len()).map_err(|err| err.kind())
    };
    assert_eq!(MAX_THIN_RANGES, 256 * many);
    assert_eq!(volumes(255), Ok(255));
    assert_eq!(volumes(256), Err(ParseErrorKind::TooLong));
}

/// Endless bytes of one element, which nobody may keep.
struct Endless(u64);

impl std::io::Read for Endless {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        buf.fill(b'a');
        self.0 += buf.len() as u64;
        assert!(self.0 < 4 << 20, "it reads on and on");
        Ok(buf.len())
    }
}

#[test]
fn an_element_without_end_is_refused_early() {
    use std::io::{BufReader, Read};
    for begin in ["<superblock uuid=\"", "<!--", "<superblock data_block_size=\"128\">", "<"] {
        let text = BufReader::new(begin.as_bytes().chain(Endless(0)));
        let err = parse_thin_dump(text).unwrap_err();
        assert_eq!(err.kind(), ParseErrorKind::NotThisFormat, "{begin}");
    }
}

#[test]
fn mappings_of_a_volume_ascend_and_none_is_empty() {
    let volume = |first: &str| {
        let text = format!(
            "<superblock data_block_size=\"128\"><device dev_id=\"1\" mapped_blocks=\"3\">{first}\
             <single_mapping origin_block=\"7\" data_block=\"7\"/></device></superblock>"
        );
        parse_thin_dump(text.as_bytes()).map_err(|err| err.kind())
    };
    let range = |begin: u64, length: u64| {
        format!("<range_mapping origin_begin=\"{begin}\" data_begin=\"0\" length=\"{length}\"/>")
    };
    assert!(volume(&range(5, 2)).is_ok(), "up to the next one");
    for wrong in [range(6, 2), range(8, 2), range(5, 0), range(u64::MAX, 2)] {
        assert_eq!(volume(&wrong), Err(ParseErrorKind::Inconsistent), "{wrong}");
    }
}

#[test]
fn what_the_reader_of_xml_says_of_a_text_is_shown_without_control_characters() {
    let text = "<superblock data_block_size=\"128\"></super\u{1b}[31mblock>";
    let said = parse_thin_dump(text.as_bytes()).unwrap_err().to_string();
    assert!(!said.chars().any(char::is_control), "{said:?}");
    assert!(said.contains("\\u{1b}"), "{said}");
}

#[test]
fn listings_of_any_age_are_read() {
    // Before 2.33 every number was a string and there was one mount point.
    let old = r#"{"blockdevices": [
        {"name": "sda", "maj:min": "8:0", "size": "41943040", "type": "disk", "mountpoint": null,
         "children": [{"name": "md0", "maj:min": "9:0", "size": "1G", "type": "raid1", "mountpoint": "/srv"}]},
        {"name": "sdb", "maj:min": "8:16", "size": "41943040", "type": "disk", "mountpoint": null,
         "children": [{"name": "md0", "maj:min": "9:0", "size": "1G", "type": "raid1", "mountpoint": "/srv"}]}]}"#;
    let devices = parse_lsblk(old.as_bytes()).unwrap();
    let names: Vec<_> = devices.iter().map(|d| d.name.as_str()).collect();
    assert_eq!(names, ["sda", "sdb", "md0"], "after both of its parents");
    assert_eq!((devices[0].bytes, devices[2].bytes), (Some(41_943_040), None));
    assert_eq!(
        (devices[2].parents.as_slice(), devices[2].mounts.as_slice()),
        (&[0, 1][..], &["/srv".to_owned()][..])
    );
    assert!(parse_lsblk(&b"{\"filesystems\": []}"[..]).is_err());
}
