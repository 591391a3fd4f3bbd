#![expect(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "small numbers, and a panic is a failed test"
)]

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::ModelMemory;

fn at(start: u64, len: u64) -> Extent {
    Extent::new(DevOffset::new(start), len).unwrap()
}

const PAGES: Repair = Repair::ClearThenWrite { unit: 4096 };
const LINES: Repair = Repair::WriteAndClear;

/// 16 KiB of ones.
fn device(granule: u64, repair: Repair) -> RangedPmem<ModelMemory> {
    let pmem = RangedPmem::new(ModelMemory::new(16384, granule), repair);
    pmem.memory().copy_in(DevOffset::new(0), &[1; 16384]);
    pmem
}

fn read(pmem: &RangedPmem<ModelMemory>, range: Extent) -> (SalvagedRead, Vec<u8>) {
    let mut buf = vec![0xee; range.len() as usize];
    let found = pmem.read(range, &mut buf).unwrap();
    (found, buf)
}

#[test]
fn a_read_goes_around_holes_known_and_unknown() {
    let pmem = device(64, LINES);
    pmem.memory().poison(at(1000, 1)); // 960..1024, unknown
    pmem.memory().poison(at(2048, 64)); // known
    assert_eq!(pmem.report(at(2100, 1)), Some(at(2048, 64)));
    let (found, buf) = read(&pmem, at(900, 2000));
    assert_eq!(found.holes(), [at(960, 64), at(2048, 64)]);
    assert_eq!(found.good().collect::<Vec<_>>(), [at(900, 60), at(1024, 1024), at(2112, 788)]);
    assert_eq!(found.prefix(), Some(at(900, 60)));
    for (i, byte) in buf.iter().enumerate() {
        let hole = found.holes().iter().any(|h| h.contains(DevOffset::new(900 + i as u64)));
        assert_eq!(*byte, u8::from(!hole), "byte {i}");
    }
    // What was met is known from now on; on either side of it nothing is.
    assert_eq!(pmem.holes(), [at(960, 64), at(2048, 64)]);
    assert!(read(&pmem, at(896, 64)).0.is_whole());
    assert!(read(&pmem, at(1024, 1024)).0.is_whole());
    assert_eq!(read(&pmem, at(959, 2)).0.holes(), [at(960, 1)]);
    assert_eq!(read(&pmem, at(1023, 2)).0.holes(), [at(1023, 1)]);
    assert_eq!(read(&pmem, at(970, 10)).0.prefix(), None);
}

#[test]
fn an_unaligned_repair_is_refused_and_changes_nothing() {
    for (repair, unit) in [(PAGES, 4096), (LINES, 64)] {
        let pmem = device(64, repair);
        pmem.memory().poison(at(5000, 1));
        pmem.report(at(5000, 1));
        let hole = pmem.holes();
        for (start, len) in [(5000, 1), (4984, unit), (4993, 63), (4993, 66_u64)] {
            let err = pmem.write(DevOffset::new(start), &vec![9; len as usize]).unwrap_err();
            assert_eq!(
                (err.kind(), err.done_bytes()),
                (AccessErrorKind::Unaligned, 0),
                "{start}+{len}"
            );
        }
        assert_eq!(pmem.holes(), hole);
        let (found, buf) = read(&pmem, at(0, 16384));
        assert_eq!(found.holes(), hole);
        assert!(buf.iter().all(|b| *b <= 1), "nothing was stored");
        // The units of the hole whole, the ends anywhere.
        let written = pmem.write(DevOffset::new(4000), &[9; 8000]).unwrap();
        assert_eq!(written.repaired(), hole);
        assert_eq!(read(&pmem, at(3999, 8002)).1, [&[1][..], &[9; 8000], &[1]].concat());
        assert_eq!(pmem.holes(), []);
    }
}

#[test]
fn a_repair_that_fails_in_the_middle_leaves_new_before_and_old_after() {
    for repair in [Repair::ClearThenWrite { unit: 256 }, LINES] {
        let pmem = device(64, repair);
        pmem.memory().poison(at(4096, 512));
        pmem.report(at(4096, 512));
        pmem.memory().fail_after(130); // two granules of 64
        let err = pmem.write(DevOffset::new(4000), &[9; 1000]).unwrap_err();
        assert_eq!((err.kind(), err.done_bytes()), (AccessErrorKind::NotCleared, 96 + 128));
        assert_eq!(pmem.holes(), [at(4224, 384)]);
        assert_eq!(pmem.memory().poisoned(), pmem.holes());
        let (found, buf) = read(&pmem, at(4000, 1000));
        assert_eq!(found.holes(), [at(4224, 384)]);
        assert_eq!(buf[..224], [9; 224]);
        assert_eq!(buf[608..], [1; 392]);
    }
}

#[test]
fn a_granule_that_no_hardware_has_is_made_one() {
    struct Odd(ModelMemory);
    impl Memory for Odd {
        fn len(&self) -> u64 {
            self.0.len()
        }
        fn granule(&self) -> u64 {
            if self.0.granule() == 1 { 0 } else { 100 }
        }
        fn copy_out(&self, at: DevOffset, buf: &mut [u8]) -> usize {
            self.0.copy_out(at, buf)
        }
        fn copy_in(&self, at: DevOffset, data: &[u8]) {
            self.0.copy_in(at, data);
        }
        fn clear_poison(&self, range: Extent) -> u64 {
            self.0.clear_poison(range)
        }
        fn write_and_clear(&self, at: DevOffset, data: &[u8]) -> u64 {
            self.0.write_and_clear(at, data)
        }
    }
    for (model, known) in [(1, at(1000, 5)), (128, at(896, 128))] {
        let pmem = RangedPmem::new(Odd(ModelMemory::new(4096, model)), LINES);
        assert_eq!(pmem.report(at(1000, 5)), Some(known));
        pmem.memory().0.poison(at(1000, 1));
        assert_eq!(pmem.read(at(0, 4096), &mut [0; 4096]).unwrap().holes(), [known]);
    }
}

#[test]
fn what_is_not_on_the_device_is_refused() {
    let pmem = device(64, LINES);
    let err = |range, len: usize| pmem.read(range, &mut vec![0; len]).unwrap_err().kind();
    assert_eq!(err(at(16384, 1), 1), AccessErrorKind::Outside);
    assert_eq!(err(at(16383, 2), 2), AccessErrorKind::Outside);
    assert_eq!(err(at(0, 2), 1), AccessErrorKind::Buffer);
    let err =
        |start, len: usize| pmem.write(DevOffset::new(start), &vec![0; len]).unwrap_err().kind();
    assert_eq!(err(16383, 2), AccessErrorKind::Outside);
    assert_eq!(err(u64::MAX, 2), AccessErrorKind::Outside);
    assert_eq!(err(0, 0), AccessErrorKind::Buffer);
    assert_eq!(pmem.report(at(16384, 100)), None);
    assert_eq!(pmem.report(at(16380, 100)), Some(at(16320, 64)));
    // A device that ends within a unit: its last unit ends with it.
    let odd = RangedPmem::new(ModelMemory::new(5000, 64), PAGES);
    assert_eq!(odd.report(at(4999, 9)), Some(at(4992, 8)));
    assert!(odd.write(DevOffset::new(4096), &[1; 904]).is_ok());
    assert_eq!(odd.holes(), []);
}

/// A memory of terabytes that nobody has: all of it reads as ones.
#[derive(Debug)]
struct Vast;

impl Memory for Vast {
    fn len(&self) -> u64 {
        1 << 42
    }
    fn granule(&self) -> u64 {
        256
    }
    fn copy_out(&self, _: DevOffset, buf: &mut [u8]) -> usize {
        buf.fill(1);
        buf.len()
    }
    fn copy_in(&self, _: DevOffset, _: &[u8]) {}
    fn clear_poison(&self, range: Extent) -> u64 {
        range.len()
    }
    fn write_and_clear(&self, _: DevOffset, data: &[u8]) -> u64 {
        data.len() as u64
    }
}

#[test]
fn a_hole_makes_only_its_zone_slow() {
    let pmem = RangedPmem::new(Vast, LINES);
    let far = 3 << 40;
    pmem.report(at(far - 100, 200));
    let clean = |start, len| pmem.read_clean(at(start, len), &mut vec![0; len as usize]);
    assert!(clean(0, 4096) && clean(far - 2 * ZONE_BYTES, 4096));
    assert!(clean(far + ZONE_BYTES, 4096) && clean((1 << 42) - 4096, 4096));
    assert!(!clean(far, 4096) && !clean(far - 4096, 4096) && !clean(far - ZONE_BYTES, 1));
    assert!(!clean(far - ZONE_BYTES - 1, 2), "begins in a clean zone, ends in one with a hole");
    // A repair of one side cleans that zone only.
    pmem.write(DevOffset::new(far - 256), &[0; 256]).unwrap();
    assert!(clean(far - 4096, 4096) && !clean(far, 4096));
    pmem.write(DevOffset::new(far), &[0; 256]).unwrap();
    assert!(clean(far - 4096, 8192));
}

/// A memory that clears nothing, and says what it is told to say.
struct Says<F>(ModelMemory, F);

impl<F: Fn() -> u64 + Send + Sync> Memory for Says<F> {
    fn len(&self) -> u64 {
        self.0.len()
    }
    fn granule(&self) -> u64 {
        self.0.granule()
    }
    fn copy_out(&self, at: DevOffset, buf: &mut [u8]) -> usize {
        self.0.copy_out(at, buf)
    }
    fn copy_in(&self, at: DevOffset, data: &[u8]) {
        self.0.copy_in(at, data);
    }
    fn clear_poison(&self, _: Extent) -> u64 {
        (self.1)()
    }
    fn write_and_clear(&self, _: DevOffset, _: &[u8]) -> u64 {
        (self.1)()
    }
}

#[test]
fn a_panic_in_a_repair_leaves_the_holes_and_the_device_usable() {
    let pmem =
        RangedPmem::new(Says(ModelMemory::new(4096, 64), || panic!("the machine stops")), LINES);
    pmem.report(at(64, 64));
    let repair = core::panic::AssertUnwindSafe(|| pmem.write(DevOffset::new(0), &[1; 4096]));
    assert!(std::panic::catch_unwind(repair).is_err());
    assert_eq!(pmem.holes(), [at(64, 64)]);
    let mut buf = [0; 128];
    assert_eq!(pmem.read(at(0, 128), &mut buf).unwrap().holes(), [at(64, 64)]);
}

#[test]
fn a_part_of_a_granule_is_not_repaired() {
    for repair in [LINES, Repair::ClearThenWrite { unit: 64 }] {
        for (says, repaired) in [(0, 0), (63, 0), (64, 64), (100, 64), (192, 192), (500, 192)] {
            let pmem = RangedPmem::new(Says(ModelMemory::new(4096, 64), || says), repair);
            let _ = pmem.report(at(64, 192));
            let result = pmem.write(DevOffset::new(64), &[1; 192]);
            assert_eq!(result.is_ok(), repaired == 192, "{says}");
            let left = Extent::new(DevOffset::new(64 + repaired), 192 - repaired).ok();
            assert_eq!(pmem.holes(), Vec::from_iter(left), "{says}");
            let mut buf = [0; 256];
            assert_eq!(pmem.read(at(0, 256), &mut buf).unwrap().is_whole(), left.is_none());
        }
    }
}

/// Who reads while others write: no mixture, whatever the interleaving.
#[test]
fn reads_beside_repairs_see_whole_writes() {
    let rounds: u32 = if cfg!(miri) { 5 } else { 2000 };
    let pmem = device(64, LINES);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..rounds {
                pmem.memory().poison(at(4096, 64));
                pmem.report(at(4096, 64));
                pmem.write(DevOffset::new(4096), &[(round % 200) as u8 + 2; 4096]).unwrap();
            }
        });
        for _ in 0..rounds {
            let (found, buf) = read(&pmem, at(4160, 4032));
            assert!(found.is_whole());
            assert!(buf.iter().all(|b| *b == buf[0]), "a mixture");
        }
    });
}

#[derive(Debug, Clone, Copy)]
enum Op {
    Poison(u64, u64),
    Report(u64, u64),
    Read(u64, u64),
    Write(u64, u64),
    Limit(u64),
}

const SPACE: u64 = 16384;

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let range = || {
        let aligned = (0..64_u64, 1..20_u64).prop_map(|(at, len)| (at * 256, len * 256));
        prop_oneof![2 => aligned, 1 => (0..SPACE, 1..5000_u64)]
    };
    let op = prop_oneof![
        2 => (0..SPACE, 1..300_u64).prop_map(|(at, len)| Op::Poison(at, len)),
        1 => (0..SPACE, 1..300_u64).prop_map(|(at, len)| Op::Report(at, len)),
        4 => range().prop_map(|(at, len)| Op::Read(at, len)),
        4 => range().prop_map(|(at, len)| Op::Write(at, len)),
        1 => (0..2000_u64).prop_map(Op::Limit),
    ];
    prop::collection::vec(op, 1..50)
}

/// What is true of every byte: its value, or nothing when it is lost.
struct Truth(Vec<Option<u8>>);

impl Truth {
    fn set(&mut self, range: Extent, value: Option<u8>) {
        let end = (range.end().get() as usize).min(self.0.len());
        self.0[range.start().get() as usize..end].fill(value);
    }
}

/// Bytes rounded outward to granules.
fn granules(range: Extent, granule: u64) -> Extent {
    let first = range.start().get() / granule * granule;
    at(first, range.end().get().next_multiple_of(granule) - first)
}

fn bytes(extents: &[Extent]) -> BTreeSet<u64> {
    extents.iter().flat_map(|e| e.start().get()..e.end().get()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 2 } else { 128 }, ..ProptestConfig::default() })]

    /// Over any order of failures, reports, reads, writes and failing repairs: every byte of a read
    /// is good or in a hole; what is good is what was written last; what is in a hole is really
    /// lost or was said to be; and what was repaired is no hole.
    #[test]
    fn every_byte_is_accounted_for_and_none_is_good_that_is_not(
        ops in ops(), granule in prop::sample::select(&[64_u64, 256][..]),
        repair in prop::sample::select(&[PAGES, Repair::ClearThenWrite { unit: 256 }, LINES][..]),
    ) {
        let pmem = RangedPmem::new(ModelMemory::new(SPACE as usize, granule), repair);
        let mut truth = Truth(vec![Some(0); SPACE as usize]);
        let mut reported = BTreeSet::new();
        let mut value = 0_u8;
        for op in ops {
            value = value.wrapping_add(1).max(1);
            let clip = |start: u64, len: u64| at(start, len.min(SPACE - start));
            match op {
                Op::Poison(start, len) => {
                    let bad = clip(start, len);
                    pmem.memory().poison(bad);
                    truth.set(granules(bad, granule), None);
                }
                Op::Report(start, len) => {
                    let bad = clip(start, len);
                    let known = pmem.report(bad).unwrap();
                    prop_assert_eq!(known, granules(bad, granule));
                    reported.extend(bytes(&[known]));
                }
                Op::Read(start, len) => {
                    let range = clip(start, len);
                    let (found, buf) = read(&pmem, range);
                    let good: Vec<_> = found.good().collect();
                    // The conservation law: each byte once.
                    let lost = bytes(found.holes());
                    prop_assert!(bytes(&good).is_disjoint(&lost));
                    let all: BTreeSet<u64> = bytes(&good).union(&lost).copied().collect();
                    prop_assert_eq!(all, bytes(&[range]));
                    prop_assert_eq!(found.good_bytes() + found.lost_bytes(), range.len());
                    for (i, byte) in (range.start().get()..).zip(&buf) {
                        let expected = if lost.contains(&i) { 0 } else { truth.0[i as usize].expect("no lost byte is given out") };
                        prop_assert_eq!(*byte, expected, "byte {}", i);
                        prop_assert!(!lost.contains(&i) || truth.0[i as usize].is_none() || reported.contains(&i));
                    }
                }
                Op::Write(start, len) => {
                    let range = clip(start, len);
                    let before = pmem.holes();
                    let result = pmem.write(range.start(), &vec![value; range.len() as usize]);
                    let done = match &result {
                        Ok(_) => range.len(),
                        Err(err) => err.done_bytes(),
                    };
                    if let Ok(done) = Extent::new(range.start(), done) {
                        truth.set(done, Some(value));
                        reported.retain(|b| !done.contains(DevOffset::new(*b)));
                        // Nothing that was written to is a hole, and no other hole went.
                        let after = bytes(&pmem.holes());
                        let expected: BTreeSet<u64> =
                            bytes(&before).into_iter().filter(|b| !done.contains(DevOffset::new(*b))).collect();
                        prop_assert_eq!(after, expected);
                    }
                    if let Ok(written) = &result {
                        let inside: Vec<_> = before.iter().filter_map(|h| h.intersect(range)).collect();
                        prop_assert_eq!(written.repaired(), inside);
                    }
                    // Stores to poison that nobody knows are lost.
                    for bad in pmem.memory().poisoned() {
                        truth.set(bad, None);
                    }
                }
                Op::Limit(limit) => pmem.memory().fail_after(limit),
            }
        }
        // All poison that a read of everything meets is known afterwards, and nothing else is new.
        let before = bytes(&pmem.holes());
        let (found, _) = read(&pmem, pmem.capacity());
        let poisoned = bytes(&pmem.memory().poisoned());
        let known: BTreeSet<u64> = before.union(&poisoned).copied().collect();
        prop_assert_eq!(bytes(found.holes()), known.clone());
        prop_assert_eq!(bytes(&pmem.holes()), known);
    }
}
