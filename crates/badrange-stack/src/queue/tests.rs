//! The queue against the list of everything that was pushed.
#![expect(clippy::arithmetic_side_effects, reason = "small numbers, and a panic is a failed test")]

use std::{sync::Arc, thread};

use proptest::prelude::*;

use super::*;
use crate::lost::PLACES;

fn memory(start: u64, len: u64) -> Failure {
    let range = BadRange::Memory(Extent::new(PhysAddr::new(start), len).unwrap());
    Failure { range, flags: MfFlags::NONE }
}

fn device(index: u32, start: u64, len: u64) -> Failure {
    let extent = Extent::new(DevOffset::new(start), len).unwrap();
    let range = BadRange::Device(DeviceId::new(index, 1), extent);
    Failure { range, flags: MfFlags::NONE }
}

fn failed(failure: Failure, reports: u64) -> Record {
    Record::Failed { failure, reports }
}

#[test]
fn ranges_of_different_spaces_never_meet() {
    let queue = EventQueue::with_bound(8);
    let all = [memory(0, 8), device(0, 0, 8), device(1, 0, 8), device(1, 8, 8), memory(8, 8)];
    for failure in all {
        queue.push(failure);
    }
    assert_eq!(
        queue.drain(),
        [failed(memory(0, 16), 2), failed(device(0, 0, 8), 1), failed(device(1, 0, 16), 2)]
    );
    assert_eq!(queue.drain(), []);
}

#[test]
fn a_merge_never_passes_a_failure_of_the_same_bytes() {
    let undo = |f: Failure| Failure { flags: MfFlags::UNPOISON, ..f };
    let queue = EventQueue::with_bound(2);
    assert_eq!(queue.push(memory(0, 8)), Pushed::Queued);
    assert_eq!(queue.push(undo(memory(0, 4))), Pushed::Queued);
    assert_eq!(queue.push(memory(0, 2)), Pushed::Lost, "the first must not swallow it");
    assert_eq!(queue.push(memory(4, 8)), Pushed::Merged, "nobody touched these bytes since");
    assert_eq!(
        queue.drain(),
        [
            failed(memory(0, 12), 2),
            failed(undo(memory(0, 4)), 1),
            Record::Lost { failure: memory(0, 2), reports: 1 },
        ]
    );
}

#[test]
fn after_a_loss_the_same_bytes_are_lost_too_and_others_are_not() {
    let queue = EventQueue::with_bound(1);
    queue.push(memory(0, 4));
    assert_eq!(queue.push(memory(100, 4)), Pushed::Lost);
    assert_eq!(queue.push(memory(4, 96)), Pushed::Merged);
    assert_eq!(queue.push(memory(103, 4)), Pushed::Lost, "it would overtake");
    assert_eq!(
        queue.drain(),
        [failed(memory(0, 100), 2), Record::Lost { failure: memory(100, 7), reports: 2 }]
    );
    assert_eq!(queue.push(memory(103, 4)), Pushed::Queued, "a new batch");
}

#[test]
fn lost_records_widen_when_there_is_no_room_for_more() {
    let queue = EventQueue::with_bound(1);
    queue.push(device(99, 0, 1));
    for i in 0..PLACES as u64 {
        assert_eq!(queue.push(memory(i * 100, 1)), Pushed::Lost);
    }
    queue.push(memory(110, 1)); // nearest to [100, 101)
    queue.push(device(7, 0, 1)); // a space without a record
    queue.push(device(99, 0, 1)); // from now on everything is lost, also what could be merged
    let batch = queue.drain();
    assert_eq!(batch.len(), 1 + PLACES + 1);
    assert_eq!(batch[2], Record::Lost { failure: memory(100, 11), reports: 2 });
    assert_eq!(batch[1 + PLACES], Record::LostAnywhere { flags: MfFlags::NONE, reports: 2 });
}

#[test]
fn producers_never_grow_the_memory_of_the_queue() {
    let queue = EventQueue::with_bound(3);
    for i in 0..1000 {
        queue.push(device(i % 50, u64::from(i) * 64, 8));
        let state = queue.state.lock();
        assert!(state.queued.capacity() == 3 && state.lost.capacity() == PLACES);
    }
}

#[test]
fn whoever_waits_gets_what_comes_and_is_sent_home_at_the_end() {
    let queue = Arc::new(EventQueue::with_bound(4));
    let consumer = thread::spawn({
        let queue = Arc::clone(&queue);
        move || {
            let mut reports = 0;
            while let Some(batch) = queue.wait() {
                reports += batch.iter().map(Record::reports).sum::<u64>();
            }
            reports
        }
    });
    for i in 0..100 {
        queue.push(memory(i * 64, 8));
    }
    queue.close();
    queue.push(memory(0, 1)); // still kept, by whoever drains last
    let rest: u64 = queue.drain().iter().map(Record::reports).sum();
    let seen = consumer.join().unwrap();
    let left: u64 = queue.drain().iter().map(Record::reports).sum();
    assert_eq!(seen + rest + left, 101);
}

/// One byte of a space: 0 is memory, others are devices.
type Byte = (u32, u64);

fn bytes(range: BadRange) -> impl Iterator<Item = Byte> {
    let (space, range) = match range {
        BadRange::Memory(e) => (0, e.start().get()..e.end().get()),
        BadRange::Device(id, e) => (id.index(), e.start().get()..e.end().get()),
    };
    range.map(move |byte| (space, byte))
}

fn covers(lost: &Record, (space, byte): Byte) -> bool {
    match lost {
        Record::Failed { .. } => false,
        Record::LostAnywhere { .. } => true,
        Record::Lost { failure, .. } => bytes(failure.range).any(|b| b == (space, byte)),
    }
}

/// The flags under which a byte failed, repetitions counted once: what a consumer can tell.
fn story(failures: &[Failure], byte: Byte) -> Vec<MfFlags> {
    let mut flags: Vec<MfFlags> =
        failures.iter().filter(|f| bytes(f.range).any(|b| b == byte)).map(|f| f.flags).collect();
    flags.dedup();
    flags
}

fn check_batch(pushed: &[Failure], batch: &[Record], bound: usize) -> Result<(), TestCaseError> {
    let reports: u64 = batch.iter().map(Record::reports).sum();
    prop_assert_eq!(reports, pushed.len() as u64, "every report is in one record");
    let delivered: Vec<Failure> = batch
        .iter()
        .filter_map(|r| match r {
            Record::Failed { failure, .. } => Some(*failure),
            Record::Lost { .. } | Record::LostAnywhere { .. } => None,
        })
        .collect();
    prop_assert!(delivered.len() <= bound);
    prop_assert!(batch.len() <= bound + PLACES + 1);
    prop_assert!(pushed.len() > bound || delivered.len() == batch.len(), "lost without need");
    let spaces = if cfg!(miri) { 3 } else { 40 };
    for byte in (0..spaces).flat_map(|space| (0..70).map(move |byte| (space, byte))) {
        let (was, is) = (story(pushed, byte), story(&delivered, byte));
        prop_assert!(was.starts_with(&is), "byte {byte:?}: {was:?} became {is:?}");
        let whole = was.len() == is.len();
        prop_assert!(whole || batch.iter().any(|r| covers(r, byte)), "byte {byte:?} is lost");
    }
    Ok(())
}

fn failure() -> impl Strategy<Value = Failure> {
    let flags = prop_oneof![3 => Just(MfFlags::NONE), 1 => Just(MfFlags::UNPOISON)];
    let space = prop_oneof![3 => 0..3_u32, 1 => 0..40_u32];
    (space, 0..60_u64, 1..9_u64, flags).prop_map(|(space, start, len, flags)| {
        let failure = if space == 0 { memory(start, len) } else { device(space, start, len) };
        Failure { flags, ..failure }
    })
}

proptest! {
    /// Of every byte, what is delivered is a beginning of what was pushed, and where it is not
    /// all of it, a LOST record covers the byte. Every report is counted in one record.
    #[test]
    fn nothing_is_lost_in_silence_or_out_of_order(
        batches in prop::collection::vec(prop::collection::vec(failure(), 0..40), 1..4),
        bound in 1..12_usize,
    ) {
        let queue = EventQueue::with_bound(bound);
        for pushed in batches {
            for failure in &pushed {
                queue.push(*failure);
            }
            check_batch(&pushed, &queue.drain(), bound)?;
        }
    }
}
