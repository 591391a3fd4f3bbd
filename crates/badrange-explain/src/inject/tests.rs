use badrange_input::{MemoryFiles, Topology};

use super::{InjectError, InjectPlan, Injector, plan};
use crate::Explainer;

/// A stripe of 16-sector chunks over two disks with 4096-byte blocks; a namespace beside it.
/// File 12 has sectors 0..64 of the stripe, file 7 bytes 4096..12288 of the namespace.
fn explainer() -> Explainer {
    let files = MemoryFiles::new()
        .with("dm.txt", "0 128 striped 2 16 a 64 b 64\n")
        .with("map.txt", "\t0: 0:0 [0..63]: inode 12 data 0..63 64\n")
        .with("pmem.txt", "\t0: 0:0 [8..23]: inode 7 data 0..15 16\n")
        .with("paths.txt", "12 /wide\n")
        .with("names.txt", "7 /near\n");
    let text = r#"
        schema = "badrange.stack/1"
        [[disk]]
        name = "a"
        sectors = 256
        logical_block = 4096
        [[disk]]
        name = "b"
        sectors = 256
        logical_block = 4096
        [[pmem]]
        name = "pmem0"
        phys = "0x100000000"
        size = 16777216
        data_offset = 2097152
        mode = "fsdax"
        [[dm]]
        name = "wide"
        table = "dm.txt"
        devices = { a = "a", b = "b" }
        [[fs]]
        device = "wide"
        kind = "xfs"
        map = ["map.txt"]
        paths = "paths.txt"
        block_size = 4096
        [[fs]]
        device = "pmem0"
        kind = "xfs"
        map = ["pmem.txt"]
        paths = "names.txt"
        block_size = 4096
    "#;
    Explainer::new(Topology::load("stack.toml", text, &files).unwrap()).unwrap()
}

fn plan_for(file: &str, injector: Injector, on: Option<&str>) -> Result<InjectPlan, InjectError> {
    let explainer = explainer();
    plan(&explainer, &explainer.locate_file(file).unwrap(), injector, on)
}

#[test]
fn what_fails_is_the_range_rounded_out_to_the_injectors_granule() {
    // Bytes 7000..9000: sectors 13..18, the first three on a, the others in chunk 1 on b.
    let at = |injector| plan_for("/wide:7000+2000", injector, None).unwrap().at;
    assert_eq!(at(Injector::NullBlk), ["a:77+3", "b:64+2"]);
    assert_eq!(at(Injector::DmDust), ["a:72+8", "b:64+8"]); // blocks of 4096 bytes
}

#[test]
fn ranges_that_touch_after_rounding_are_one() {
    // The last sector of chunk 0 and the first of chunk 2 are neighbours on a.
    let plan = plan_for("/wide:7680+9216", Injector::DmError, Some("a")).unwrap();
    assert_eq!(plan.at, ["a:79+2"]);
    let table = ["0 79 linear /dev/$dev 0", "79 2 error", "81 175 linear /dev/$dev 81"];
    assert!(table.iter().all(|line| plan.commands.iter().any(|c| c == line)), "{plan:?}");
}

#[test]
fn an_upper_device_can_be_the_one_that_fails() {
    let plan = plan_for("/wide:7000+2000", Injector::BlockErrorInjection, Some("wide")).unwrap();
    assert_eq!(plan.at, ["wide:13+5"]);
    let err = plan_for("/wide:0+1", Injector::NullBlk, Some("pmem0")).unwrap_err();
    assert_eq!(err.to_string(), "the range does not lie on \"pmem0\": it lies on a, wide");
}

#[test]
fn memory_fails_page_by_page() {
    // Bytes 100..5000 of the file are on the second and third page of the device.
    let plan = plan_for("/near:100+4900", Injector::Hwpoison, None).unwrap();
    assert_eq!(plan.at, ["pfn:0x100201+2"]);
    assert_eq!(
        plan.commands[1],
        "for n in $(seq 1049089 1049090); do echo \"$n\" > \
         /sys/kernel/debug/hwpoison/corrupt-pfn; done"
    );
    assert_eq!(plan_for("/near:100+4900", Injector::Ndctl, None).unwrap().at, ["pmem0:8+10"]);
    let err = plan_for("/wide:0+1", Injector::Hwpoison, None).unwrap_err();
    assert_eq!(
        err.to_string(),
        "hwpoison needs persistent memory at the bottom of the stack: a is none"
    );
}

#[test]
fn scsi_debug_has_one_range() {
    let err = plan_for("/wide:7000+2000", Injector::ScsiDebug, None).unwrap_err();
    assert_eq!(err, InjectError::OneRange { ranges: 2 });
    let plan = plan_for("/wide:0+100", Injector::ScsiDebug, None).unwrap();
    assert_eq!(plan.at, ["a:64+8"]);
    assert!(plan.commands[0].ends_with("medium_error_start=8 medium_error_count=1")); // LBAs
}

#[test]
fn what_has_no_place_cannot_fail() {
    let err = plan_for("/wide:32768+512", Injector::NullBlk, None).unwrap_err();
    assert_eq!(err, InjectError::Nothing);
}

/// Every byte asked for fails, and the explanation of what fails names the file there.
#[test]
fn the_expectation_covers_the_file_range() {
    let explainer = explainer();
    for (start, len) in [(0, 1), (511, 2), (8000, 9000), (100, 32_000)] {
        let located = explainer.locate_file(&format!("/wide:{start}+{len}")).unwrap();
        let plan = plan(&explainer, &located, Injector::DmDust, None).unwrap();
        let queries: Vec<_> = plan.at.iter().flat_map(|at| explainer.locate(at).unwrap()).collect();
        let answer = explainer.explain(&queries);
        let owners = answer.queries.iter().flat_map(|q| &q.pieces).flat_map(|p| &p.owners);
        let told: u64 = owners
            .filter_map(|owner| owner.start.zip(owner.len))
            .map(|(from, n)| (from + n).min(start + len).saturating_sub(from.max(start)))
            .sum();
        assert_eq!(told, len, "{start}+{len}");
    }
}
