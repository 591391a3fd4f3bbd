#![expect(clippy::arithmetic_side_effects, reason = "drawn numbers are small")]

use std::collections::BTreeSet;

use arbitrary::Arbitrary;
use badrange_core::{Extent, SECTOR_SIZE, Sector};
use badrange_pmem::{Badblocks, MAX_RECORD_SECTORS};

use super::{DrawnExtent, TestCase};
use crate::{
    draw::{few, within},
    twin::agree::bytes,
};

/// A quarter of a sector: what begins and ends inside sectors is tried too.
const SLOT: u64 = SECTOR_SIZE / 4;
const SLOTS_PER_SECTOR: u64 = SECTOR_SIZE / SLOT;

/// One change of a list of bad sectors. Ranges are in quarters of a sector.
///
/// # Examples
/// See [`BadblocksOps`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Arbitrary)]
pub enum BadblocksOp {
    /// These bytes failed.
    Set(DrawnExtent),
    /// These bytes are good again.
    Clear(DrawnExtent),
    /// So many sectors failed, from this one on: long enough for several records.
    SetLong {
        /// The first.
        #[arbitrary(with = within::<0, 2000>)]
        start: u64,
        /// How many.
        #[arbitrary(with = within::<1, 1600>)]
        len: u64,
    },
}

/// Sequences of changes of a list of bad sectors, against a set of single sectors.
///
/// # Examples
/// ```
/// use badrange_testkit::case::{BadblocksOp, BadblocksOps, DrawnExtent, TestCase};
/// // A byte of sector 1 fails, then sectors 0 to 2 are said to be good from the middle of 0 on.
/// let ops = vec![
///     BadblocksOp::Set(DrawnExtent { start: 5, len: 1 }),
///     BadblocksOp::Clear(DrawnExtent { start: 2, len: 10 }),
/// ];
/// BadblocksOps { ops, asked: vec![] }.check();
/// ```
#[derive(Debug, Clone, Arbitrary)]
pub struct BadblocksOps {
    /// What happens, in order.
    #[arbitrary(with = few::<_, 0, 16>)]
    pub ops: Vec<BadblocksOp>,
    /// Ranges to ask for in the end.
    #[arbitrary(with = few::<_, 0, 4>)]
    pub asked: Vec<DrawnExtent>,
}

impl TestCase for BadblocksOps {
    fn check(&self) {
        let (real, mut model) = (Badblocks::new(), BTreeSet::new());
        for op in &self.ops {
            apply(*op, &real, &mut model);
            let list: Vec<u64> = real.list().into_iter().flat_map(sectors).collect();
            assert_eq!(list, model.iter().copied().collect::<Vec<_>>(), "after {op:?}");
        }
        let apart = |pair: &[Extent<Sector>]| match pair {
            [a, b] => a.end() < b.start(),
            _ => true,
        };
        assert!(real.list().windows(2).all(apart), "ranges that touch are one");
        assert_eq!(real.is_empty(), model.is_empty());
        for asked in &self.asked {
            check_asked(*asked, &real, &model);
        }
        check_text(&real);
    }
}

fn sectors(extent: Extent<Sector>) -> core::ops::Range<u64> {
    extent.start().get()..extent.end().get()
}

/// The sectors with a byte of the range, and those that lie in it whole.
fn touched(range: DrawnExtent) -> impl Iterator<Item = u64> {
    range.start / SLOTS_PER_SECTOR..(range.start + range.len).div_ceil(SLOTS_PER_SECTOR)
}

fn whole(range: DrawnExtent) -> impl Iterator<Item = u64> {
    let all = (0..SLOTS_PER_SECTOR).collect::<Vec<_>>();
    touched(range)
        .filter(move |sector| all.iter().all(|slot| range.has(sector * SLOTS_PER_SECTOR + slot)))
}

fn apply(op: BadblocksOp, real: &Badblocks, model: &mut BTreeSet<u64>) {
    match op {
        BadblocksOp::Set(range) => {
            let said: Vec<u64> = sectors(real.set(bytes(SLOT, range.start, range.len))).collect();
            assert_eq!(said, touched(range).collect::<Vec<_>>(), "rounded outward");
            model.extend(touched(range));
        }
        BadblocksOp::Clear(range) => {
            let said = real.clear(bytes(SLOT, range.start, range.len));
            let said: Vec<u64> = said.into_iter().flat_map(sectors).collect();
            assert_eq!(said, whole(range).collect::<Vec<_>>(), "rounded inward");
            model.retain(|sector| !whole(range).any(|cleared| cleared == *sector));
        }
        BadblocksOp::SetLong { start, len } => {
            let _sectors = real.set(bytes(SECTOR_SIZE, start, len));
            model.extend(start..start + len);
        }
    }
}

fn check_asked(asked: DrawnExtent, real: &Badblocks, model: &BTreeSet<u64>) {
    let range: Extent = bytes(SLOT, asked.start, asked.len);
    let bad: Vec<u64> = touched(asked).filter(|sector| model.contains(sector)).collect();
    let within: Vec<u64> = real.within(range).into_iter().flat_map(sectors).collect();
    assert_eq!(within, bad, "within {asked:?}");
    let first = real.check(range);
    assert_eq!(first.is_some(), !bad.is_empty(), "check {asked:?}");
    assert!(first.is_none_or(|e| bad.first().is_some_and(|s| sectors(e).contains(s))));
}

/// Records are as long as the kernel's at most, and their text is that of sysfs.
fn check_text(real: &Badblocks) {
    let records: Vec<Extent<Sector>> = real.records().collect();
    assert!(records.iter().all(|record| record.len() <= MAX_RECORD_SECTORS));
    let again: Badblocks = records.iter().copied().collect();
    assert_eq!(again.list(), real.list());
    let line = |r: &Extent<Sector>| format!("{} {}", r.start().get(), r.len());
    let text: Vec<String> = records.iter().map(line).collect();
    assert_eq!(real.to_string(), text.join("\n"));
}
