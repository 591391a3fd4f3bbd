//! Lists, JSON, rescue maps, SMART, and trace events.

use badrange_input::{BlockUnit, ParseErrorKind, RangeOptions, read_ranges};

use super::{listed, options, read_with_blocks, shown};

#[test]
fn trace_events_and_rasdaemon() {
    let cases = [
        (
            " mce-inject-13150 [001] .... 277.019359: memory_failure_event: pfn 0x19869: recovery action for free buddy page: Delayed",
            "pfn:0x19869+1 exact 1",
        ),
        (
            " cxl_poison: memdev=mem0 host=0000:35:00.0 serial=0 trace_type=List region=region5 region_uuid=0 hpa=0xf110001000 dpa=0x40000000 dpa_length=0x40 source=Injected flags= overflow_time=0",
            "phys:0xf110001000+0x40 exact 1",
        ),
        // All ones is no address.
        (
            "cxl_poison: memdev=mem0 host=0000:35:00.0 serial=0 trace_type=List region= region_uuid=0 hpa=0xffffffffffffffff dpa=0x40000000 dpa_length=0x40 source=Injected flags= overflow_time=0",
            "! mem0: device physical address 0x40000000+0x40, of no region 1",
        ),
        (
            " <...>-1367638 [022] .... 0.024825 memory_failure_event [ALERT] 2025-03-28 13:28:48 +0800 pfn=0xe53218 page_type=already truncated LRU page action_result=Recovered",
            "pfn:0xe53218+1 exact 1",
        ),
        (
            "12 2025-03-28 13:28:48 +0800 error: pfn=0xe53218, page_type=dax page, action_result=Recovered",
            "pfn:0xe53218+1 exact 1",
        ),
        (
            "3 2025-03-28 13:28:48 +0800 error: dev=8:16, sector=78014, nr_sector=8, error='critical medium error', rwbs='R', cmd='', ",
            "8:16:78014+8 at-most 1",
        ),
        (
            "7 2026-01-02 03:04:05 +0000 error: memdev=mem0, host=0000:35:00.0, serial=0x5, trace_type=List, region=region5, region_uuid=0, hpa=0xf110001000, dpa=0x40000000, dpa_length=0x40, source=Injected, flags=0, overflow timestamp=1970-01-01 00:00:00 +0000, ",
            "phys:0xf110001000+0x40 exact 1",
        ),
        // The grain is a logarithm: 2^5 bytes.
        (
            " <...>-2159524 [024] 0.562862: mc_event: 2021-01-07 17:12:47 +0000 1 Uncorrected error: memory read error on CPU1_E0 (mc: 3 location: 1:0 address: 0x20fa015f10 grain: 5 syndrome: 0x0)",
            "phys:0x20fa015f00+0x20 at-most 1",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(listed(text), [expected], "{text}");
    }
    let corrected = " <...>-2159524 [024] 0.562862: mc_event: 2021-01-07 17:12:47 +0000 6 Corrected errors: memory read error on CPU1_E0 (mc: 3 location: 1:0 address: 0x20fa015f00 grain: 5 syndrome: 0x0)";
    assert_eq!(listed(corrected), [""; 0]);
}

#[test]
fn a_list_of_poison_that_overflowed_is_truncated() {
    let record = |flags: &str| {
        format!(
            "cxl_poison: memdev=mem0 host=0000:35:00.0 serial=0 trace_type=List region=region5 region_uuid=0 hpa=0xf110001000 hpa_alias0=0xffffffffffffffff dpa=0x40000000 dpa_length=0x40 source=External flags={flags} overflow_time=1700000000"
        )
    };
    let saved = |flags: &str| {
        format!(
            "7 2026-01-02 03:04:05 +0000 error: memdev=mem0, host=0000:35:00.0, serial=0x5, trace_type=List, region=region5, region_uuid=0, hpa=0xf110001000, dpa=0x40000000, dpa_length=0x40, source=Injected, flags={flags}, overflow timestamp=1970-01-01 00:00:00 +0000, "
        )
    };
    let json = |flags: &str| {
        format!(
            r#"{{"region":"region5","resource":"0xf110000000","media_errors":[{{"offset":"0x1000","length":64,"source":"Internal","flags":"{flags}"}}]}}"#
        )
    };
    for more in ["Overflow", "Scanning", "More|Overflow", "0x2", "4"] {
        for text in [record(more), saved(more), json(more)] {
            assert_eq!(listed(&text), ["phys:0xf110001000+0x40 truncated 1", "cut 1"], "{text}");
        }
    }
    // That more records follow is no loss: they do follow.
    for whole in ["", "More", "0x1", "0"] {
        for text in [record(whole), saved(whole), json(whole)] {
            assert_eq!(listed(&text), ["phys:0xf110001000+0x40 exact 1"], "{text}");
        }
    }
}

#[test]
fn a_storm_of_poison_becomes_few_ranges() {
    // Two devices take turns, 64 bytes each: ten thousand lines, one range.
    let line = |i: u64| {
        format!(
            "cxl_poison: memdev=mem{} host=0 serial=0 trace_type=List region=region5 region_uuid=0 hpa={:#x} dpa={:#x} dpa_length=0x40 source=Internal flags= overflow_time=0\n",
            i % 2,
            0x10_0000_0000 + i * 64,
            0x1000 + i / 2 * 64
        )
    };
    // In any order.
    let text: String = (0..10_000).map(|i| line(i * 3331 % 10_000)).collect();
    assert_eq!(listed(text), ["phys:0x1000000000+0x9c400 exact 1"]);
}

#[test]
fn lists_of_sysfs() {
    assert_eq!(
        listed("4 1\n32768 8\n65528 8\n"),
        ["?:4+1 exact 1", "?:32768+8 exact 2", "?:65528+8 exact 3"]
    );
    // One error of 1 MiB is four records.
    assert_eq!(listed("0 512\n512 512\n1024 512\n1536 512\n"), ["?:0+2048 exact 1"]);
    assert_eq!(listed(""), [""; 0]);
    let headed = "\
==> /sys/block/md0/md/dev-vdb/bad_blocks <==
4 1

==> /sys/block/pmem0/badblocks <==
8 2
10 6

==> /sys/block/md0/md/dev-vdb/offset <==
2048
";
    assert_eq!(listed(headed), ["vdb:4+1 exact 2", "pmem0:8+8 exact 5"]);
    let grep = "/sys/block/pmem0/badblocks:8 2\n/sys/block/pmem1/badblocks:8 3\n";
    assert_eq!(listed(grep), ["pmem0:8+2 exact 1", "pmem1:8+3 exact 2"]);
}

#[test]
fn a_list_that_sysfs_cut_says_so() {
    let whole: String = (0..1000).map(|i| format!("{} 8\n", 10_000_000 + i * 16)).collect();
    let cut = &whole[..4095];
    let list = read_ranges(cut.as_bytes(), &options()).unwrap();
    // Eleven bytes a line: 372 are whole, and a part of the next is left.
    assert_eq!(list.ranges.len(), 4095 / 11);
    assert!(list.ranges.iter().all(|r| r.confidence == badrange_input::Confidence::Truncated));
    assert_eq!(list.truncated, Some(372));
    let headed = format!("==> /sys/block/pmem0/badblocks <==\n{cut}\n\n==> /x <==\n");
    let list = read_ranges(headed.as_bytes(), &options()).unwrap();
    assert_eq!(list.ranges.len(), 4095 / 11);
    assert!(list.truncated.is_some());
}

#[test]
fn lists_of_badblocks_need_a_block_size() {
    let err = read_ranges(&b"8494\n8495\n8496\n"[..], &options()).unwrap_err();
    assert_eq!(err.kind(), ParseErrorKind::BadUnit);
    assert!(err.to_string().contains("--block-size"), "{err}");
    let list = read_with_blocks("8494\n8495\n8496\n8498\n", "sda1", 4096).unwrap();
    // 8494 * 8; touching blocks are one range.
    assert_eq!(shown(&list), ["sda1:67952+24 exact 1", "sda1:67984+8 exact 4"]);
}

#[test]
fn mdadm_lists() {
    let text = "Bad-blocks on /dev/sda1:\n             1932632 for 8 sectors\n             1932648 for 1 sectors\n";
    assert_eq!(listed(text), ["sda1:1932632+8 exact 2", "sda1:1932648+1 exact 3"]);
    assert_eq!(listed("Bad-blocks list is empty in /dev/vdf\n"), [""; 0]);
}

#[test]
fn ndctl_in_every_shape() {
    let namespace = r#"{"dev":"namespace7.0","mode":"raw","size":33554432,"blockdev":"pmem7","badblock_count":17,
 "badblocks":[{"offset":4,"length":1},{"offset":32768,"length":8},{"offset":65528,"length":8}]}"#;
    let one = ["pmem7:4+1 exact 2", "pmem7:32768+8 exact 2", "pmem7:65528+8 exact 2"];
    assert_eq!(listed(namespace), one);
    assert_eq!(listed(format!("[{namespace}]")), one);
    assert_eq!(listed(format!("{{\"namespaces\":[{namespace}]}}")), one);
    assert_eq!(
        listed(format!("{namespace}\n{}", namespace.replace("pmem7", "pmem8"))).len(),
        6,
        "several objects in a row"
    );
    // A region counts from its own beginning; what its namespaces list is not told twice.
    let region = r#"{"dev":"region2","size":268435456000,"type":"pmem","badblock_count":8,
 "badblocks":[{"offset":8196097,"length":1,"dimms":["nmem0"]},{"offset":8196111,"length":7,"dimms":["nmem0","nmem2"]}]}"#;
    assert_eq!(listed(region), ["region2:8196097+1 exact 2", "region2:8196111+7 exact 2"]);
    let with_resource = region.replace("\"type\"", "\"resource\":4294967296,\"type\"");
    // 0x100000000 + 8196097 * 512, 8196111 * 512.
    assert_eq!(
        listed(with_resource),
        ["phys:0x1fa200200+0x200 exact 2", "phys:0x1fa201e00+0xe00 exact 2"]
    );
    let nested = r#"{"dev":"region0","badblocks":[{"offset":28889,"length":1}],
"namespaces":[{"dev":"namespace0.0","mode":"fsdax","blockdev":"pmem0","badblocks":[{"offset":8409,"length":1}]}]}"#;
    assert_eq!(listed(nested), ["pmem0:8409+1 exact 2"]);
    // -u writes texts; a device-dax namespace has its device one level deeper.
    let human = r#"{"dev":"namespace2.0","mode":"devdax","size":"502.00 MiB (526.39 MB)",
"daxregion":{"id":2,"devices":[{"chardev":"dax2.0"}]},"badblocks":[{"offset":"0x1028","length":"1"}]}"#;
    assert_eq!(listed(human), ["dax2.0:4136+1 exact 2"]);
    let sector = namespace.replace("raw", "sector");
    assert_eq!(
        listed(sector)[0],
        "! namespace7.0: sectors 4+1 below a sector map (BTT), which decides what they hold 2"
    );
    assert_eq!(listed(r#"{"badblocks":[{"block":12,"count":2}]}"#), ["?:12+2 exact 1"]);
    assert_eq!(listed("[]"), [""; 0]);
}

#[test]
fn cxl_in_every_shape() {
    let region = r#"{"region":"region5","resource":"0xf110000000","size":"2.00 GiB (2.15 GB)","interleave_ways":2,"interleave_granularity":4096,
 "media_errors":[{"offset":"0x1000","length":64,"source":"Injected"},{"offset":"0x2000","length":64,"source":"Injected"}]}"#;
    let both = ["phys:0xf110001000+0x40 exact 2", "phys:0xf110002000+0x40 exact 2"];
    assert_eq!(listed(region), both);
    assert_eq!(listed(format!("{{\"regions\":[{region}]}}")), both);
    let memdev = r#"{"memdev":"mem9","pmem_size":1073741824,"media_errors":[{"offset":"0x40000000","length":64,"source":"Injected"}]}"#;
    assert_eq!(listed(memdev), ["! mem9: device physical address 0x40000000+0x40 1"]);
}

#[test]
fn json_of_another_kind_is_refused_by_name() {
    for (text, name) in [
        (r#"{"blockdevices":[{"name":"sda"}]}"#, "lsblk"),
        (r#"{"partitiontable":{"label":"gpt"}}"#, "sfdisk --json"),
    ] {
        let err = read_ranges(text.as_bytes(), &options()).unwrap_err();
        assert!(err.to_string().contains(name), "{err}");
    }
    let err = read_ranges(&b"{\"badblocks\":[{\"offset\":1}]}"[..], &options()).unwrap_err();
    assert_eq!(err.line(), Some(1));
    let err = read_ranges(&b"{\"badblocks\":[\n"[..], &options()).unwrap_err();
    assert_eq!(err.kind(), ParseErrorKind::NotThisFormat);
}

#[test]
fn outputs_that_belong_in_a_stack_are_refused_by_name() {
    for (text, name) in [
        ("cat: 0 65536 linear \n", "dmsetup status"),
        ("swap: 0 24576 linear 8:2 2048\n", "dmsetup table"),
        ("label: gpt\nunit: sectors\n", "sfdisk -d"),
    ] {
        let err = read_ranges(text.as_bytes(), &options()).unwrap_err();
        assert!(err.to_string().contains(name), "{text}: {err}");
    }
    assert_eq!(listed("just words\n"), [""; 0]);
}

const MAP: &str = "\
# Mapfile. Created by GNU ddrescue version 1.27
# Command line: ddrescue -d /dev/sdb sdb.img sdb.map
0x22A53FC00     +               3
#      pos        size  status
0x00000000  0x22A53F000  +
0x22A53F000  0x00000600  -
0x22A53F600  0x00000A00  +
0x22A540000  0x0F000000  ?
0x239540000  0x00000200  /
0x239540200  0x00010000  *
";

#[test]
fn rescue_maps() {
    // ddrescuelog -l- -b512: 18164216..18164219.
    let bad = ["sdb:18164216+3 exact 6", "sdb:18655744+1 at-most 9", "sdb:18655745+128 at-most 10"];
    assert_eq!(listed(MAP), bad);
    let untried = RangeOptions { untried_is_bad: true, ..options() };
    let list = read_ranges(MAP.as_bytes(), &untried).unwrap();
    assert_eq!(shown(&list)[1], "sdb:18164224+491520 at-most 8");
    // Old maps lack the pass, and the name of the device may be missing.
    let old = MAP.replace("+               3", "+").replace("/dev/sdb", "sdb.img");
    assert_eq!(listed(old)[0], "?:18164216+3 exact 6");
    // Without comments.
    let bare: String = MAP.lines().filter(|l| !l.starts_with('#')).collect::<Vec<_>>().join("\n");
    assert_eq!(listed(bare)[0], "?:18164216+3 exact 3");
}

#[test]
fn rescue_maps_that_contradict_themselves() {
    for (from, to, message) in [
        (
            "0x22A53F600  0x00000A00  +",
            "0x22A53F800  0x00000A00  +",
            "the block before ends at 0x22a53f600",
        ),
        ("0x22A53F600  0x00000A00  +", "0x22A53F600  0x00000A00  x", "expected one of ? * / - +"),
        ("0x22A53F600  0x00000A00  +", "0x22A53F600  0xZ  +", "expected bytes"),
        ("0x22A53F600  0x00000A00  +", "0x22A53F600  0  +", "a block is never empty"),
        ("0x239540200  0x00010000  *", "0x239540200  0xffffffffffffffff  *", "ends below 2^64"),
    ] {
        let err = read_ranges(MAP.replace(from, to).as_bytes(), &options()).unwrap_err();
        assert!(err.to_string().contains(message), "{to}: {err}");
        assert!(err.line().is_some(), "{err}");
    }
}

#[test]
fn smart_as_text() {
    let text = "\
smartctl 7.3 2022-02-28 r5338 [x86_64-linux-6.1.0] (local build)
Sector Sizes:     512 bytes logical, 4096 bytes physical
Num  Test_Description    Status                  Remaining  LifeTime(hours)  LBA_of_first_error
# 1  Extended offline    Completed: read failure       90%       217         0x016561e9
# 2  Short offline       Completed without error       00%       100         -
# 3  Extended offline    Completed: read failure       90%        90         23421417
  40 51 12 46 9f 1d e2  Error: UNC 18 sectors at LBA = 0x021d9f46 = 35495750
  40 51 12 47 9f 1d e2  Error: UNC at LBA = 0x021d9f47 = 35495751
";
    // 0x016561e9 is 23421417: the first failing block, there may be more.
    assert_eq!(
        listed(text),
        ["?:23421417+1 at-least 4", "?:35495750+18 at-most 7", "?:35495751+1 unknown-extent 8"]
    );
    let unknown = text.replace("512 bytes logical", "");
    assert_eq!(listed(unknown)[0], "lba@?:23421417+1 at-least 4");
    let list = read_with_blocks(&text.replace("Sizes", ""), "sdc", 4096).unwrap();
    assert_eq!(shown(&list)[0], "sdc:187371336+8 at-least 4");
}

#[test]
fn smart_as_json() {
    let text = r#"{ "smartctl": {"version": [7,3]},
"device": {"name": "/dev/sda", "type": "sat"}, "logical_block_size": 512,
"ata_smart_self_test_log": {"extended": {"table": [
 {"type": {"value": 2}, "status": {"value": 121, "passed": false}, "lba": 23421417},
 {"type": {"value": 2}, "status": {"value": 0, "passed": true}, "lba": 5}]}},
"ata_pending_defects_log": {"count": 3, "table": [
 {"lba": 100, "power_on_hours": 1},
 {"lba": 101, "power_on_hours": 1},
 {"lba": 200, "power_on_hours": 2}]}}"#;
    assert_eq!(
        listed(text),
        ["sda:23421417+1 at-least 4", "sda:100+2 exact 7", "sda:200+1 exact 9"]
    );
    let more = text.replace("\"count\": 3", "\"count\": 4");
    assert_eq!(listed(more)[2..], ["sda:200+1 truncated 9".to_owned(), "cut 9".to_owned()]);
    let nvme = r#"{"smartctl": {}, "device": {"name": "/dev/nvme0"}, "logical_block_size": 4096,
"nvme_error_information_log": {"table": [
 {"lba": {"value": 3}, "nsid": 2, "status_field": {"status_code_type": 2, "status_code": 129}},
 {"lba": {"value": 0}, "nsid": 1, "status_field": {"status_code_type": 0, "status_code": 2}}]}}"#;
    assert_eq!(listed(nvme), ["nvme0n2:24+8 unknown-extent 3"]);
    let unknown = text.replace("\"logical_block_size\": 512,", "");
    assert_eq!(listed(&unknown)[0], "lba@sda:23421417+1 at-least 4");
    let size = |device: Option<&str>, unit: BlockUnit| {
        (device == Some("sda") && unit == BlockUnit::Logical).then_some(4096)
    };
    let known = RangeOptions { block_size: &size, ..options() };
    let list = read_ranges(unknown.as_bytes(), &known).unwrap();
    assert_eq!(shown(&list)[0], "sda:187371336+8 at-least 4");
}
