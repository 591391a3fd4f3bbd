//! Changes: taken out and put back, cut and joined.

use badrange_core::DevOffset;
use badrange_fs::{LiveMap, Record};

use super::rivals::Contender;
use crate::data::BLOCK;

/// Records to change, spread over the set.
pub(super) fn victims(records: &[Record], count: usize) -> Vec<Record> {
    let mut rng = fastrand::Rng::with_seed(31);
    (0..count).filter_map(|_| records.get(rng.usize(0..records.len()))).copied().collect()
}

fn middle(record: &Record) -> Option<u64> {
    let blocks = record.extent.len() / BLOCK;
    (blocks > 1).then(|| record.extent.start().get() + blocks / 2 * BLOCK)
}

pub(super) fn churn(map: &mut impl Contender, victims: &[Record]) {
    for record in victims {
        map.remove(record);
        map.insert(record);
    }
}

pub(super) fn churn_live(map: &mut LiveMap, victims: &[Record]) {
    for record in victims {
        map.remove(record);
        map.insert(*record);
    }
}

pub(super) fn cut(map: &mut impl Contender, victims: &[Record]) {
    for record in victims {
        if let Some(at) = middle(record) {
            map.split_and_merge(record, at);
        }
    }
}

pub(super) fn cut_live(map: &mut LiveMap, victims: &[Record]) {
    for record in victims {
        if let Some((head, tail)) =
            middle(record).and_then(|at| map.split(record, DevOffset::new(at)))
        {
            map.merge(&head, &tail);
        }
    }
}
