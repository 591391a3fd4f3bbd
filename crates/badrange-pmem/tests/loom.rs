//! Every interleaving of two threads, for each promise that [`RangedPmem`] makes to readers.
//!
//! Run by `cargo xtask loom`; `cargo xtask loom --mutants` builds the crate with one hand-made
//! mistake at a time and requires that a model here fails. The memory of these models is as weakly
//! ordered as can be, so that nothing but the device's own order makes a repair one operation.
#![cfg(all(feature = "loom", not(feature = "shuttle")))]
#![expect(clippy::arithmetic_side_effects, reason = "small numbers, and a panic is a failed model")]

use badrange_core::{DevOffset, Extent};
use badrange_pmem::{Memory, RangedPmem, Repair};
use loom::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
};

/// Bytes of a granule.
const GRANULE: u64 = 64;
/// What is in a granule that is poisoned; a byte has no such value.
const POISON: usize = 256;
/// What was there first, and what a repair and a plain write put there.
const OLD: u8 = 1;
const NEW: u8 = 7;
const PLAIN: u8 = 3;

/// Two granules. Each is one word, so that what `MOVDIR64B` does is one store; two of them tear.
///
/// Each operation is one step: loom does not look for the other order of a load and a store when the
/// storing thread has loaded the word in between.
struct Cells([AtomicUsize; 2]);

impl Cells {
    fn new(values: [usize; 2]) -> Self {
        Self(values.map(AtomicUsize::new))
    }

    fn each(at: DevOffset, len: u64) -> impl Iterator<Item = usize> {
        let (first, end) = (at.get() / GRANULE, (at.get() + len) / GRANULE);
        (first..end).map(|i| usize::try_from(i).unwrap())
    }

    fn store_all(&self, at: DevOffset, data: &[u8], store: impl Fn(&AtomicUsize, usize)) {
        for (i, part) in Self::each(at, data.len() as u64).zip(data.chunks(64)) {
            store(&self.0[i], part[0].into());
        }
    }
}

impl Memory for Cells {
    fn len(&self) -> u64 {
        2 * GRANULE
    }

    fn granule(&self) -> u64 {
        GRANULE
    }

    fn copy_out(&self, at: DevOffset, buf: &mut [u8]) -> usize {
        let mut done = 0;
        for (i, part) in Self::each(at, buf.len() as u64).zip(buf.chunks_mut(64)) {
            let Ok(value) = u8::try_from(self.0[i].load(Relaxed)) else { return done };
            part.fill(value);
            done += part.len();
        }
        done
    }

    fn copy_in(&self, at: DevOffset, data: &[u8]) {
        // None of these models stores to poison that nobody knows.
        self.store_all(at, data, |cell, value| cell.store(value, Relaxed));
    }

    fn clear_poison(&self, range: Extent) -> u64 {
        for i in Self::each(range.start(), range.len()) {
            self.0[i].fetch_and(POISON - 1, Relaxed);
        }
        range.len()
    }

    fn write_and_clear(&self, at: DevOffset, data: &[u8]) -> u64 {
        self.store_all(at, data, |cell, value| cell.store(value, Relaxed));
        data.len() as u64
    }
}

fn at(start: u64, len: u64) -> Extent {
    Extent::new(DevOffset::new(start), len).unwrap()
}

fn all() -> Extent {
    at(0, 2 * GRANULE)
}

const CLEAR: Repair = Repair::ClearThenWrite { unit: GRANULE };

fn device(values: [usize; 2], repair: Repair) -> Arc<RangedPmem<Cells>> {
    Arc::new(RangedPmem::new(Cells::new(values), repair))
}

/// What a read of everything finds in the two granules: a value, or a hole.
fn read(pmem: &RangedPmem<Cells>) -> [Option<u8>; 2] {
    let mut buf = [0; 128];
    let found = pmem.read(all(), &mut buf).unwrap();
    assert_eq!(found.good_bytes() + found.lost_bytes(), all().len());
    let mut seen = [None; 2];
    for part in found.good() {
        for byte in found.place_of(part) {
            let value = seen[byte / 64].get_or_insert(buf[byte]);
            assert_eq!(*value, buf[byte], "a granule is one store");
        }
    }
    seen
}

fn repair(pmem: &RangedPmem<Cells>) {
    pmem.write(DevOffset::new(0), &[NEW; 128]).unwrap();
}

/// Both granules are known to be bad, and are repaired.
fn a_read_against_a_repair(how: Repair) {
    loom::model(move || {
        let pmem = device([POISON; 2], how);
        pmem.report(all());
        let writer = thread::spawn({
            let pmem = pmem.clone();
            move || repair(&pmem)
        });
        let seen = read(&pmem);
        assert!(seen == [None; 2] || seen == [Some(NEW); 2], "{seen:?}");
        writer.join().unwrap();
        assert_eq!(read(&pmem), [Some(NEW); 2]);
    });
}

#[test]
fn a_read_sees_all_of_a_repair_or_nothing() {
    a_read_against_a_repair(CLEAR);
}

#[test]
fn a_read_sees_all_of_a_repair_by_lines_or_nothing() {
    a_read_against_a_repair(Repair::WriteAndClear);
}

/// The read may begin while everything is good; then a granule fails and all is repaired.
fn a_read_against_failure_and_repair(how: Repair) {
    loom::model(move || {
        let pmem = device([OLD.into(); 2], how);
        let writer = thread::spawn({
            let pmem = pmem.clone();
            move || {
                pmem.memory().0[0].store(POISON, Relaxed);
                pmem.report(at(0, 1));
                repair(&pmem);
            }
        });
        let seen = read(&pmem);
        let whole = [[Some(OLD); 2], [None, Some(OLD)], [Some(NEW); 2]];
        assert!(whole.contains(&seen), "{seen:?}");
        writer.join().unwrap();
        assert_eq!(read(&pmem), [Some(NEW); 2]);
    });
}

#[test]
fn a_read_that_began_before_the_failure_sees_no_mixture() {
    a_read_against_failure_and_repair(CLEAR);
}

#[test]
fn a_read_that_began_before_the_failure_sees_no_mixture_of_lines() {
    a_read_against_failure_and_repair(Repair::WriteAndClear);
}

/// A read meets poison that nobody knew, while somebody who does know repairs it.
#[test]
fn poison_that_a_read_met_is_not_remembered_after_its_repair() {
    loom::model(|| {
        let pmem = device([POISON, OLD.into()], Repair::WriteAndClear);
        let writer = thread::spawn({
            let pmem = pmem.clone();
            move || {
                pmem.report(at(0, 1));
                repair(&pmem);
            }
        });
        let seen = read(&pmem);
        assert!([[None, Some(OLD)], [Some(NEW); 2]].contains(&seen), "{seen:?}");
        writer.join().unwrap();
        assert_eq!(pmem.holes(), []);
        assert_eq!(read(&pmem), [Some(NEW); 2]);
    });
}

#[test]
fn a_plain_write_and_a_repair_come_one_after_the_other() {
    loom::model(|| {
        let pmem = device([OLD.into(); 2], Repair::WriteAndClear);
        let writer = thread::spawn({
            let pmem = pmem.clone();
            move || {
                pmem.report(at(0, 1));
                repair(&pmem);
            }
        });
        pmem.write(DevOffset::new(0), &[PLAIN; 128]).unwrap();
        writer.join().unwrap();
        let seen = read(&pmem);
        assert!([[Some(PLAIN); 2], [Some(NEW); 2]].contains(&seen), "{seen:?}");
    });
}

#[test]
fn two_repairs_come_one_after_the_other() {
    loom::model(|| {
        let pmem = device([POISON; 2], CLEAR);
        pmem.report(all());
        let writer = thread::spawn({
            let pmem = pmem.clone();
            move || repair(&pmem)
        });
        pmem.write(DevOffset::new(0), &[PLAIN; 128]).unwrap();
        writer.join().unwrap();
        let seen = read(&pmem);
        assert!([[Some(PLAIN); 2], [Some(NEW); 2]].contains(&seen), "{seen:?}");
    });
}
