#![expect(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    reason = "drawn numbers are small, and a panic is a failed check"
)]

use std::collections::BTreeSet;

use arbitrary::Arbitrary;
use badrange_core::{DevOffset, Extent};
use badrange_pmem::{AccessErrorKind, ModelMemory, RangedPmem, Repair};

use super::{DrawnExtent, TestCase};
use crate::draw::few;

/// A quarter of a granule: what begins and ends inside granules is tried too.
const SLOT: u64 = GRANULE / 4;
const GRANULE: u64 = 64;
/// What a repair has to cover whole.
const UNIT: u64 = 256;
/// No drawn range ends beyond it.
const LEN: u64 = 2048;

/// Something that happens to a device with poison. Ranges are in quarters of a granule.
///
/// # Examples
/// See [`RecoveryOps`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Arbitrary)]
pub enum RecoveryOp {
    /// Memory fails, and nobody knows.
    Poison(DrawnExtent),
    /// Somebody says that it is bad, whether it is or not.
    Report(DrawnExtent),
    /// A read.
    Read(DrawnExtent),
    /// A write of this byte.
    Write(DrawnExtent, u8),
    /// A write of whole units around the range.
    WriteUnits(DrawnExtent, u8),
}

/// Sequences of failures, reads and repairs of a device, against single bytes and granules.
///
/// # Examples
/// ```
/// use badrange_testkit::case::{DrawnExtent, RecoveryOp, RecoveryOps, TestCase};
/// let bad = DrawnExtent { start: 5, len: 1 };
/// let ops = vec![RecoveryOp::Poison(bad), RecoveryOp::Read(bad), RecoveryOp::WriteUnits(bad, 7)];
/// RecoveryOps { ops }.check();
/// ```
#[derive(Debug, Clone, Arbitrary)]
pub struct RecoveryOps {
    /// What happens, in order.
    #[arbitrary(with = few::<_, 0, 16>)]
    pub ops: Vec<RecoveryOp>,
}

impl TestCase for RecoveryOps {
    fn check(&self) {
        let memory = ModelMemory::new(LEN as usize, GRANULE);
        let mut model = Model {
            real: RangedPmem::new(&memory, Repair::ClearThenWrite { unit: UNIT }),
            bytes: vec![0; LEN as usize],
            poisoned: BTreeSet::new(),
            known: BTreeSet::new(),
        };
        for op in &self.ops {
            model.apply(*op);
            model.check_holes();
        }
    }
}

struct Model<'m> {
    real: RangedPmem<&'m ModelMemory>,
    /// What each byte holds, unless it is lost.
    bytes: Vec<u8>,
    /// Granules that are lost.
    poisoned: BTreeSet<u64>,
    /// Granules that are listed as bad.
    known: BTreeSet<u64>,
}

/// The bytes of a drawn range.
fn bytes_of(range: DrawnExtent) -> core::ops::Range<u64> {
    range.start * SLOT..(range.start + range.len) * SLOT
}

fn extent(bytes: &core::ops::Range<u64>) -> Extent {
    Extent::new(DevOffset::new(bytes.start), bytes.end - bytes.start).expect("not empty")
}

fn granules(bytes: &core::ops::Range<u64>) -> BTreeSet<u64> {
    bytes.clone().map(|byte| byte / GRANULE).collect()
}

impl Model<'_> {
    fn apply(&mut self, op: RecoveryOp) {
        match op {
            RecoveryOp::Poison(range) => {
                let bytes = bytes_of(range);
                self.real.memory().poison(extent(&bytes));
                self.poisoned.extend(granules(&bytes));
            }
            RecoveryOp::Report(range) => {
                let bytes = bytes_of(range);
                let _granules = self.real.report(extent(&bytes));
                self.known.extend(granules(&bytes));
            }
            RecoveryOp::Read(range) => self.read(&bytes_of(range)),
            RecoveryOp::Write(range, byte) => self.write(&bytes_of(range), byte),
            RecoveryOp::WriteUnits(range, byte) => {
                let bytes = bytes_of(range);
                let (start, end) = (bytes.start / UNIT * UNIT, bytes.end.div_ceil(UNIT) * UNIT);
                self.write(&(start..end), byte);
            }
        }
    }

    /// Gives every byte that is neither lost nor listed, and lists what it met.
    fn read(&mut self, bytes: &core::ops::Range<u64>) {
        let mut buf = vec![0xee; (bytes.end - bytes.start) as usize];
        let salvage = self.real.read(extent(bytes), &mut buf).expect("inside the device");
        self.known.extend(granules(bytes).intersection(&self.poisoned));
        for byte in bytes.clone() {
            let at = DevOffset::new(byte);
            let lost = self.known.contains(&(byte / GRANULE));
            assert_eq!(salvage.holes().iter().any(|hole| hole.contains(at)), lost, "byte {byte}");
            assert_eq!(salvage.good().any(|part| part.contains(at)), !lost, "byte {byte}");
            let due = if lost { 0 } else { self.bytes[byte as usize] };
            assert_eq!(buf[(byte - bytes.start) as usize], due, "byte {byte}");
        }
    }

    /// Repairs the units that have listed granules, if it covers them whole. What is lost and not
    /// listed stays lost.
    fn write(&mut self, bytes: &core::ops::Range<u64>, byte: u8) {
        let data = vec![byte; (bytes.end - bytes.start) as usize];
        let result = self.real.write(DevOffset::new(bytes.start), &data);
        let units: BTreeSet<u64> = granules(bytes)
            .intersection(&self.known)
            .map(|granule| granule * GRANULE / UNIT)
            .collect();
        let covers = |unit: &u64| bytes.start <= unit * UNIT && (unit + 1) * UNIT <= bytes.end;
        if !units.iter().all(covers) {
            assert_eq!(result.map(drop).map_err(|e| e.kind()), Err(AccessErrorKind::Unaligned));
            return;
        }
        assert_eq!(result.map(drop).map_err(|e| e.kind()), Ok(()));
        let repaired = |granule: &u64| units.contains(&(granule * GRANULE / UNIT));
        self.known.retain(|granule| !repaired(granule));
        self.poisoned.retain(|granule| !repaired(granule));
        self.bytes[bytes.start as usize..bytes.end as usize].fill(byte);
    }

    fn check_holes(&self) {
        let holes = self.real.holes();
        let listed = |byte: u64| holes.iter().any(|hole| hole.contains(DevOffset::new(byte)));
        let said: BTreeSet<u64> = (0..LEN / GRANULE).filter(|g| listed(g * GRANULE)).collect();
        assert_eq!(said, self.known, "{holes:?}");
        let lost = self.real.memory().poisoned();
        let lost = lost.iter().flat_map(|e| granules(&(e.start().get()..e.end().get())));
        assert_eq!(lost.collect::<BTreeSet<u64>>(), self.poisoned);
    }
}
