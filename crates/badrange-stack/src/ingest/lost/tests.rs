//! LOST records against sets of bytes, and every step against all that it could have done.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "small numbers, and a panic is a failed test"
)]

use std::collections::BTreeSet;

use badrange_core::{DevOffset, DeviceId, Extent};
use proptest::prelude::*;

use super::*;

const KIB: u64 = 1 << 10;

fn item(device: u32, start: u64, len: u64) -> Item {
    let range = Extent::new(DevOffset::new(start), len).unwrap();
    Item::new(Failure { device: DeviceId::new(0, device, 1), range, flags: MfFlags::NONE })
}

/// All that is suspected, in bytes.
fn suspected(lost: &Lost) -> u64 {
    lost.items.iter().map(|item| item.failure.range.len()).sum()
}

/// Regression: a far page widened the record next to it, and 1 TiB was suspected, although two
/// others lay 24 KiB apart.
#[test]
fn a_far_page_does_not_make_all_between_suspect() {
    let mut lost = Lost::new();
    for i in 0..PLACES as u64 {
        lost.lose(item(0, i * 28 * KIB, 4 * KIB));
    }
    assert_eq!(suspected(&lost), PLACES as u64 * 4 * KIB);
    lost.lose(item(0, 1 << 40, 4 * KIB));
    assert_eq!(lost.items.last(), Some(&item(0, 1 << 40, 4 * KIB)));
    assert_eq!(suspected(&lost), (PLACES as u64 + 1) * 4 * KIB + 24 * KIB);
}

#[test]
fn a_new_device_takes_the_place_of_two_that_merge() {
    let mut lost = Lost::new();
    for i in 0..PLACES as u64 {
        lost.lose(item(0, i << 20, 1));
    }
    for device in 1..PLACES as u32 {
        lost.lose(item(device, 0, 1));
    }
    assert_eq!(lost.items.len(), PLACES);
    assert_eq!(lost.items[0].reports, PLACES as u64);
    assert!(lost.anywhere.is_none());
    lost.lose(item(99, 0, 1));
    assert_eq!(lost.anywhere, Some((MfFlags::NONE, 1)), "no two are of one device");
}

#[test]
fn a_bridge_makes_one_record_of_two() {
    let mut lost = Lost::new();
    lost.lose(item(0, 0, 10));
    lost.lose(item(0, 20, 10));
    lost.lose(item(1, 10, 10));
    lost.lose(item(0, 10, 10));
    assert_eq!(lost.pop(), Some(QueueRecord::Lost { failure: item(0, 0, 30).failure, reports: 3 }));
    assert_eq!(
        lost.pop(),
        Some(QueueRecord::Lost { failure: item(1, 10, 10).failure, reports: 1 })
    );
    assert_eq!(lost.pop(), None);
}

/// One byte of a device.
type Byte = (u32, u64);

fn bytes(item: &Item) -> BTreeSet<Byte> {
    let (device, range) = (item.failure.device.index(), item.failure.range);
    (range.start().get()..range.end().get()).map(|byte| (device, byte)).collect()
}

fn all_bytes(items: &[Item]) -> BTreeSet<Byte> {
    items.iter().flat_map(bytes).collect()
}

/// The fewest bytes that can be suspected when one item joins these: as it is while there is room
/// (what touches is one), else after the cheapest of all merges of two of one device. `None` when
/// there is none.
fn fewest(before: &[Item], new: &Item) -> Option<usize> {
    let mut items = before.to_vec();
    items.push(*new);
    let bytes = all_bytes(&items);
    if pieces(&bytes) <= PLACES {
        return Some(bytes.len());
    }
    let merges = items.iter().flat_map(|one| items.iter().map(move |other| (one, other)));
    let of_one = merges.filter(|(one, other)| one != other && same_device(one, other));
    let after = of_one.map(|(one, other)| {
        let mut hull = *one;
        hull.absorb(other);
        &bytes | &all_bytes(&[hull])
    });
    after.map(|bytes| bytes.len()).min()
}

fn same_device(one: &Item, other: &Item) -> bool {
    one.failure.device == other.failure.device
}

/// How many ranges a set of bytes is.
fn pieces(bytes: &BTreeSet<Byte>) -> usize {
    let begins = |(device, byte): &&Byte| {
        byte.checked_sub(1).is_none_or(|before| !bytes.contains(&(*device, before)))
    };
    bytes.iter().filter(begins).count()
}

/// Isolated bytes and ranges, of few devices or of many.
fn items() -> impl Strategy<Value = Vec<Item>> {
    let device = prop_oneof![6 => 0..2_u32, 1 => 0..40_u32];
    let len = prop_oneof![3 => Just(1_u64), 1 => 1..20_u64];
    let item = (device, 0..200_u64, len).prop_map(|(device, start, len)| item(device, start, len));
    proptest::collection::vec(item, 0..if cfg!(miri) { 25 } else { 70 })
}

/// As many devices as there are places, or one more or less, and little else.
fn devices() -> impl Strategy<Value = Vec<Item>> {
    let item = (0..PLACES as u32 + 2, 0..4_u64).prop_map(|(device, n)| item(device, n * 9, 1));
    proptest::collection::vec(item, 0..60)
}

proptest! {
    /// Every lost byte is inside a record of its device, or everything has to be looked at; every
    /// report is counted once; records of one device lie apart; and each step adds as few bytes as
    /// it can.
    #[test]
    fn every_lost_byte_is_covered_and_few_others_are(items in prop_oneof![items(), devices()]) {
        let mut lost = Lost::new();
        let mut named = BTreeSet::new();
        for (count, item) in (1..).zip(items) {
            let before = lost.items.clone();
            let had_anywhere = lost.anywhere.is_some();
            prop_assert_eq!(lost.lose(item), Pushed::Lost);
            named.extend(bytes(&item));

            let covered = all_bytes(&lost.items);
            prop_assert!(lost.anywhere.is_some() || covered.is_superset(&named));
            prop_assert_eq!(pieces(&covered), lost.items.len(), "records lie apart");
            prop_assert!(lost.items.len() <= PLACES);
            prop_assert_eq!(lost.items.capacity(), PLACES + 1);
            let reports: u64 = lost.items.iter().map(|item| item.reports).sum();
            prop_assert_eq!(reports + lost.anywhere.map_or(0, |(_, reports)| reports), count);

            match fewest(&before, &item) {
                _ if had_anywhere => {
                    let touches = pieces(&(&all_bytes(&before) | &bytes(&item))) <= before.len();
                    let expected = if touches { &all_bytes(&before) | &bytes(&item) } else { all_bytes(&before) };
                    prop_assert_eq!(covered, expected, "nothing is widened without need");
                }
                Some(fewest) => {
                    prop_assert!(lost.anywhere.is_none());
                    prop_assert_eq!(covered.len(), fewest);
                }
                None => prop_assert!(lost.anywhere.is_some() && lost.items == before),
            }
        }
    }

    /// What comes out is what was kept: by device and start, the record without a range last.
    #[test]
    fn records_come_out_in_order(items in prop_oneof![items(), devices()]) {
        let mut lost = Lost::new();
        let count = items.len() as u64;
        for item in items {
            lost.lose(item);
        }
        let records: Vec<QueueRecord> = core::iter::from_fn(|| lost.pop()).collect();
        prop_assert!(lost.is_empty());
        prop_assert_eq!(records.iter().map(QueueRecord::reports).sum::<u64>(), count);
        let key = |record: &QueueRecord| match record {
            QueueRecord::Lost { failure, .. } => Some((false, Some(failure.device), Some(failure.range))),
            QueueRecord::LostAnywhere { .. } => Some((true, None, None)),
            QueueRecord::Failed { .. } => None,
        };
        prop_assert!(records.iter().all(|record| key(record).is_some()));
        prop_assert!(records.is_sorted_by_key(key));
    }
}
