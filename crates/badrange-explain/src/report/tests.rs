use badrange_input::{MemoryFiles, Topology};

use super::ImpactReport;
use crate::{Explainer, Verdict, advice::ActionKind};

/// A partitioned disk, an XFS on the partition: inode 12 with two names in sectors 8..24, half of
/// which inode 13 shares; metadata in sectors 0..8, free space from 24 on.
fn explainer() -> Explainer {
    let files = MemoryFiles::new()
        .with("parts.txt", "label: dos\nunit: sectors\n\n/dev/sda1 : start=64, size=64, type=83\n")
        .with(
            "map.txt",
            "\t0: 8:1 [0..7]: inodes 8\n\t1: 8:1 [8..23]: inode 12 data 0..15 16\n\
             \t2: 8:1 [16..23]: inode 13 data 0..7 8\n\t3: 8:1 [24..63]: free space 40\n",
        )
        .with("paths.txt", "12 /a\n12 /b\n13 /c\n");
    let text = r#"
        schema = "badrange.stack/1"
        [[disk]]
        name = "sda"
        sectors = 128
        [[partitions]]
        on = "sda"
        table = "parts.txt"
        [[fs]]
        device = "sda1"
        kind = "xfs"
        map = ["map.txt"]
        paths = "paths.txt"
        block_size = 4096
    "#;
    Explainer::new(Topology::load("stack.toml", text, &files).unwrap()).unwrap()
}

#[test]
fn files_stand_in_the_order_of_what_they_lost() {
    let explainer = explainer();
    let answer = explainer.explain(&explainer.locate("sda1:14+4").unwrap());
    let report = ImpactReport::new(&explainer, &answer);
    let files: Vec<_> = report.files.iter().map(|f| (f.ino, f.lost_bytes)).collect();
    assert_eq!(files, [(Some(12), 4 * 512), (Some(13), 2 * 512)]);
    assert_eq!(report.files[0].paths, ["/a", "/b"]);
    let range = report.files[0].ranges[0];
    assert_eq!((range.start, range.len), (6 * 512, 4 * 512));
}

#[test]
fn bytes_asked_for_twice_are_lost_once() {
    let explainer = explainer();
    let answer = explainer.explain(&explainer.locate("sda1:10+4,sda1:12+4,sda:74+2").unwrap());
    let report = ImpactReport::new(&explainer, &answer);
    assert_eq!(report.files[0].lost_bytes, 6 * 512); // sectors 10..16
    assert_eq!(report.files[0].ranges.len(), 1);
}

#[test]
fn what_is_no_loss_and_what_cannot_be_known_is_said() {
    let explainer = explainer();
    let answer = explainer.explain(&explainer.locate("sda1:20+10,sda:126+4").unwrap());
    let report = ImpactReport::new(&explainer, &answer);
    let kept: Vec<_> =
        report.kept.iter().map(|t| (t.device.as_str(), t.verdict, t.bytes)).collect();
    assert_eq!(kept, [("sda1", Verdict::FsFree, 6 * 512), ("sda", Verdict::FsFree, 2 * 512)]);
    let unknown: Vec<_> = report.unknown.iter().map(|t| (t.verdict, t.bytes)).collect();
    assert_eq!(unknown, [(Verdict::Outside, 2 * 512)]);
    assert!(report.areas.is_empty());
}

#[test]
fn lost_metadata_is_an_area_with_advice() {
    let explainer = explainer();
    let answer = explainer.explain(&explainer.locate("sda1:0+1").unwrap());
    let report = ImpactReport::new(&explainer, &answer);
    assert_eq!(report.areas[0].why, "filesystem metadata: inodes");
    assert!(report.files.is_empty());
    assert!(report.actions.iter().any(|action| action.kind == ActionKind::Check));
}

#[test]
fn the_picture_shows_every_device_on_the_way_and_what_lies_on_it() {
    let explainer = explainer();
    let answer = explainer.explain(&explainer.locate("sda:72+1").unwrap());
    let report = ImpactReport::new(&explainer, &answer);
    let [disk, partition] = &report.picture[..] else { panic!("{:?}", report.picture) };
    assert_eq!((disk.device.as_str(), disk.bytes), ("sda", 128 * 512));
    let [part] = &disk.parts[..] else { panic!("{disk:?}") };
    assert_eq!((part.device.as_str(), part.start, part.len), ("sda1", 64 * 512, 64 * 512));
    assert_eq!((disk.marks[0].start, partition.marks[0].start), (72 * 512, 8 * 512));
    assert_eq!(partition.marks[0].lost, Some(true));
    assert!(partition.parts.is_empty());
}

#[test]
fn json_is_the_answer_and_more() {
    let explainer = explainer();
    let answer = explainer.explain(&explainer.locate("sda1:8+1").unwrap());
    let report: serde_json::Value =
        serde_json::from_str(&ImpactReport::new(&explainer, &answer).to_json()).unwrap();
    let plain: serde_json::Value = serde_json::from_str(&answer.to_json()).unwrap();
    for key in ["schema", "queries", "summary"] {
        assert_eq!(report[key], plain[key]);
    }
    assert_eq!(report["files"][0]["lost_bytes"], 512);
    assert_eq!(report["actions"][0]["kind"], "restore");
}
