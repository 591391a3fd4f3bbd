use badrange_input::{MdVersion, ThinDump, parse_mdadm_examine, parse_thin_dump};

use super::{TextFormat, read};

/// Superblocks of arrays: `mdadm --examine`.
///
/// # Examples
/// ```
/// use badrange_testkit::text::{MdExamine, TextFormat};
/// MdExamine::check(b"/dev/vda:\n          Magic : a92b4efc\n        Version : 1.2\n");
/// ```
#[derive(Debug)]
pub enum MdExamine {}

impl TextFormat for MdExamine {
    const WORDS: &'static [&'static str] = &[
        "/dev/vda:\n",
        "          Magic : a92b4efc\n",
        "        Version : 1.2\n",
        "        Version : 1.0\n",
        "        Version : 0.90.00\n",
        "     Array UUID : 1:2:3:4\n",
        "           UUID : 1:2:3:4\n",
        "     Raid Level : raid5\n",
        "   Raid Devices : 3\n",
        "   Raid Devices : ",
        " Avail Dev Size : 79872 sectors\n",
        "  Used Dev Size : ",
        "     Array Size : 79872 KiB\n",
        "    Data Offset : 2048 sectors\n",
        "   Super Offset : 8 sectors\n",
        "         Events : 0.42\n",
        "         Layout : left-symmetric\n",
        "     Chunk Size : 64K\n",
        "   Device Role : Active device 0\n",
        "   Device Role : spare\n",
        "   Array State : AAA\n",
        "Recovery Offset : ",
        "  Reshape pos'n : ",
        "this     1       8       17        1      active sync   /dev/sdb1\n",
        "   0     0       0        0        0      removed\n",
        "   2     2       8       33        ",
        "active sync",
        " sectors\n",
        " : ",
    ];

    fn check(text: &[u8]) {
        for member in read(text, |r| parse_mdadm_examine(r)).unwrap_or_default() {
            let sizes = [
                member.data_offset,
                member.super_offset,
                member.avail_bytes,
                member.used_bytes,
                member.array_bytes,
                member.recovery_offset,
            ];
            assert!(sizes.iter().flatten().all(|bytes| bytes % 512 == 0), "{member:?}");
            let old = member.version == MdVersion::V0_90;
            assert!(!old || member.state.len() <= 27, "more members than 0.90 has room for");
        }
    }
}

/// Mappings of thin pools: `thin_dump`.
///
/// # Examples
/// ```
/// use badrange_testkit::text::{TextFormat, ThinDumps};
/// ThinDumps::check(b"<superblock data_block_size=\"128\"></superblock>\n");
/// ```
#[derive(Debug)]
pub enum ThinDumps {}

impl TextFormat for ThinDumps {
    const WORDS: &'static [&'static str] = &[
        "<?xml version=\"1.0\"?>",
        "<superblock data_block_size=\"128\" nr_data_blocks=\"1024\">\n",
        "<superblock data_block_size=\"128\">\n",
        "</superblock>\n",
        "<device dev_id=\"1\" mapped_blocks=\"1\">\n",
        "<device dev_id=\"2\" mapped_blocks=\"2\">\n",
        "</device>\n",
        "<def name=\"0\">",
        "<def name=\"1\">",
        "</def>\n",
        "<ref name=\"0\"/>",
        "<ref name=\"1\"/>",
        "<single_mapping origin_block=\"0\" data_block=\"7\"/>",
        "<single_mapping origin_block=\"3\" data_block=\"7\"/>",
        "<range_mapping origin_begin=\"1\" data_begin=\"300\" length=\"2\"/>",
        "origin_begin=\"",
        "length=\"",
        "\"/>",
        "<!-- ",
        " -->",
        "&amp;",
    ];

    fn check(text: &[u8]) {
        if let Ok(dump) = read(text, |r| parse_thin_dump(r)) {
            check_pool(&dump);
        }
    }
}

fn check_pool(dump: &ThinDump) {
    assert!(dump.block_bytes > 0 && dump.block_bytes % 512 == 0);
    assert_ne!(dump.data_blocks, Some(0), "a pool without data is one that does not say");
    for device in &dump.devices {
        let apart = |a: u64, blocks: u64, b: u64| blocks > 0 && a.saturating_add(blocks) <= b;
        assert!(
            device.ranges.is_sorted_by(|a, b| apart(a.volume, a.blocks, b.volume)),
            "a block of a volume is mapped once: {device:?}"
        );
    }
}
