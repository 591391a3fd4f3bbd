//! From a leg up to the device-mapper device: what the patches that were never merged did.

use core::ops::ControlFlow;

use badrange_block::dm::Table;
use badrange_core::Mapping;
use badrange_input::parse_dm_table;
use badrange_testkit::twin::{DrawnPlace, DrawnTarget, Twin};

use super::at;

const SECTOR: u64 = 512;

/// A target of the dropped patches: linear, the only one that ever had a way up.
#[derive(Clone, Copy)]
struct Linear {
    begin: u64,
    len: u64,
    device: u64,
    offset: u64,
}

/// The way up as posted: the target that has the first sector, its length as it came, and no look
/// at the others. In sectors.
fn as_posted(targets: &[Linear], device: u64, (start, len): (u64, u64)) -> Vec<(u64, u64)> {
    let hit = |t: &&Linear| t.device == device && t.offset <= start && start < t.offset + t.len;
    let first = targets.iter().find(hit);
    first.map(|t| (start.wrapping_sub(t.offset.wrapping_sub(t.begin)), len)).into_iter().collect()
}

fn drawn(targets: &[Linear]) -> Vec<DrawnTarget> {
    let draw = |t: &Linear| DrawnTarget::Linear {
        on: DrawnPlace { device: t.device, start: t.offset },
        len: t.len,
    };
    targets.iter().map(draw).collect()
}

/// Every sector above, by a look at every sector of the picture.
fn truth(targets: &[Linear], device: u64, (start, len): (u64, u64)) -> Vec<u64> {
    let twin = Twin::table(&drawn(targets));
    let legs = (0..).zip(targets).filter(|(_, t)| t.device == device);
    let legs: Vec<u32> = legs.map(|(leg, _)| leg).collect();
    let mut all: Vec<u64> = (start..start + len)
        .flat_map(|sector| legs.iter().flat_map(move |leg| [(*leg, sector)]))
        .flat_map(|(leg, sector)| twin.rmap(leg, sector))
        .collect();
    all.sort_unstable();
    all
}

fn ours(targets: &[Linear], device: u64, (start, len): (u64, u64)) -> Vec<u64> {
    let table = DrawnTarget::build_table(&drawn(targets)).unwrap();
    let name = DrawnPlace { device, start: 0 }.name();
    let mut all = Vec::new();
    for leg in table.legs_info().filter(|info| info.device == name) {
        let bad = at(start * SECTOR, len * SECTOR);
        let _ = table.rmap(leg.leg, bad.into(), &mut |link| {
            let elements = link
                .elements()
                .flat_map(|(_, upper)| upper.start().get() / SECTOR..upper.end().get() / SECTOR);
            all.extend(elements);
            ControlFlow::Continue(())
        });
    }
    all.sort_unstable();
    all
}

fn sectors(ranges: Vec<(u64, u64)>) -> Vec<u64> {
    ranges.into_iter().flat_map(|(start, len)| start..start.saturating_add(len)).collect()
}

/// Two targets on one device, the second a piece of the first once more.
const TABLE: [Linear; 2] = [
    Linear { begin: 0, len: 10, device: 0, offset: 20 },
    Linear { begin: 10, len: 10, device: 0, offset: 25 },
];

#[test]
fn dropped_dm_patches_looked_at_the_first_sector_only() {
    // The failure begins one sector before the leg.
    assert_eq!(as_posted(&TABLE, 0, (19, 4)), []);
    assert_eq!(truth(&TABLE, 0, (19, 4)), [0, 1, 2]);
    assert_eq!(ours(&TABLE, 0, (19, 4)), [0, 1, 2]);
}

#[test]
fn dropped_dm_patches_passed_the_length_on_whole() {
    // Two sectors of the first target, and what lies behind it on the disk.
    let one = [TABLE[0]];
    assert_eq!(sectors(as_posted(&one, 0, (28, 100))).len(), 100);
    assert_eq!(ours(&one, 0, (28, 100)), [8, 9]);
}

#[test]
fn dropped_dm_patches_told_the_first_match_and_were_done() {
    // Sector 27 of the disk lies under two sectors of the device.
    assert_eq!(sectors(as_posted(&TABLE, 0, (27, 1))), [7]);
    assert_eq!(truth(&TABLE, 0, (27, 1)), [7, 12]);
    assert_eq!(ours(&TABLE, 0, (27, 1)), [7, 12]);
}

#[test]
fn every_range_of_the_dropped_patches_table_comes_up_whole() {
    let ranges = (0..40_u64).flat_map(|start| (1..=40 - start).map(move |len| (start, len)));
    let mut wrong = 0;
    for bad in ranges {
        let due = truth(&TABLE, 0, bad);
        assert_eq!(ours(&TABLE, 0, bad), due, "{bad:?}");
        wrong += usize::from(sectors(as_posted(&TABLE, 0, bad)) != due);
    }
    assert!(wrong > 0);
}

/// The first line of a table for all of it.
fn first_line_only(text: &str) -> u64 {
    let line = text.lines().next().unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|len| len.parse().ok()).unwrap_or(0)
}

#[test]
fn a_table_was_its_first_line() {
    let text = "0 24576 linear 8:2 2048\n24576 16384 linear 8:2 878592\n";
    assert_eq!(first_line_only(text), 24576);
    let table = Table::parse(text).unwrap();
    assert_eq!(table.extent().len(), (24576 + 16384) * SECTOR);
    // The same from `dmsetup table` of all devices, where each line has its device's name.
    let named: String = text.lines().map(|line| format!("vgdata-swap: {line}\n")).collect();
    let devices = parse_dm_table(named.as_bytes()).unwrap();
    assert_eq!((devices.len(), devices[0].lines.len()), (1, 2));
}
