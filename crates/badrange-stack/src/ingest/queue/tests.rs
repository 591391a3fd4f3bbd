//! The queue against the list of everything that was pushed.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "small numbers, and a panic is a failed test"
)]

use core::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::{panic, sync::Arc, thread};

use badrange_core::{DevOffset, DeviceId, Extent, MfFlags};
use proptest::prelude::*;

use super::*;
use crate::ingest::lost::PLACES;

fn on(index: u32, start: u64, len: u64) -> Failure {
    let range = Extent::new(DevOffset::new(start), len).unwrap();
    Failure { device: DeviceId::new(0, index, 1), range, flags: MfFlags::NONE }
}

fn memory(start: u64, len: u64) -> Failure {
    on(0, start, len)
}

fn failed(failure: Failure, reports: u64) -> QueueRecord {
    QueueRecord::Failed { failure, reports }
}

#[test]
fn ranges_of_different_devices_never_meet() {
    let queue = EventQueue::with_bound(8);
    let all = [on(0, 0, 8), on(1, 0, 8), on(2, 0, 8), on(2, 8, 8), on(0, 8, 8)];
    for failure in all {
        queue.push(failure);
    }
    assert_eq!(
        queue.drain(),
        [failed(on(0, 0, 16), 2), failed(on(1, 0, 8), 1), failed(on(2, 0, 16), 2)]
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
            QueueRecord::Lost { failure: memory(0, 2), reports: 1 },
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
        [failed(memory(0, 100), 2), QueueRecord::Lost { failure: memory(100, 7), reports: 2 }]
    );
    assert_eq!(queue.push(memory(103, 4)), Pushed::Queued, "a new batch");
}

#[test]
fn lost_records_widen_when_there_is_no_room_for_more() {
    let queue = EventQueue::with_bound(1);
    queue.push(on(99, 0, 1));
    for i in 0..PLACES as u64 {
        assert_eq!(queue.push(memory(i * 100, 1)), Pushed::Lost);
    }
    queue.push(memory(110, 1)); // nearest to [100, 101)
    let batch = queue.drain();
    assert_eq!(batch.len(), 1 + PLACES);
    assert_eq!(batch[2], QueueRecord::Lost { failure: memory(100, 11), reports: 2 });
}

#[test]
fn more_devices_than_places_are_lost_anywhere() {
    let queue = EventQueue::with_bound(1);
    queue.push(on(99, 0, 1));
    for i in 0..PLACES as u32 {
        assert_eq!(queue.push(on(i, 0, 1)), Pushed::Lost);
    }
    queue.push(on(98, 0, 1)); // a device without a record
    queue.push(on(99, 0, 1)); // from now on everything is lost, also what could be merged
    queue.push(on(3, 1, 1)); // where there is a record, it still takes what continues it
    let batch = queue.drain();
    assert_eq!(batch.len(), 1 + PLACES + 1);
    assert_eq!(batch[4], QueueRecord::Lost { failure: on(3, 0, 2), reports: 2 });
    let anywhere = QueueRecord::LostAnywhere { flags: MfFlags::NONE, reports: 2 };
    assert_eq!(batch[1 + PLACES], anywhere);
}

#[test]
fn records_count_reports_in_plain_english() {
    let lost = |reports| QueueRecord::Lost { failure: memory(0, 16), reports };
    let anywhere = |reports| QueueRecord::LostAnywhere { flags: MfFlags::NONE, reports };
    assert_eq!(failed(on(1, 0, 16), 3).to_string(), "failed: device 1.1 [0x0..0x10)");
    assert_eq!(lost(1).to_string(), "LOST 1 report within device 0.1 [0x0..0x10)");
    assert_eq!(lost(2).to_string(), "LOST 2 reports within device 0.1 [0x0..0x10)");
    assert_eq!(anywhere(1).to_string(), "LOST 1 report anywhere");
    assert_eq!(anywhere(0).to_string(), "LOST 0 reports anywhere");
}

/// A queue whose waker counts its calls.
fn counting(bound: usize) -> (EventQueue, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let called = Arc::clone(&calls);
    let count = move || {
        called.fetch_add(1, SeqCst);
    };
    (EventQueue::with_bound(bound).with_waker(count), calls)
}

#[test]
fn the_waker_is_called_when_there_is_something_again_and_at_the_end() {
    let (queue, calls) = counting(1);
    let mut expected = 0;
    for _ in 0..3 {
        expected += 1;
        for start in [0, 8, 100] {
            queue.push(memory(start, 8)); // the last is lost
            assert_eq!(calls.load(SeqCst), expected);
        }
        assert_eq!(queue.drain().len(), 2);
        assert_eq!(queue.drain(), []);
    }
    queue.close();
    queue.close();
    assert_eq!(calls.load(SeqCst), expected + 1);
    queue.push(memory(0, 8));
    assert_eq!(calls.load(SeqCst), expected + 2, "what is pushed after the end is told, too");
}

/// No lock is held: the waker may drain, push and close.
#[test]
fn the_waker_may_call_the_queue() {
    let taken = Arc::new(Mutex::new(Vec::new()));
    let queue = Arc::new_cyclic(|weak: &std::sync::Weak<EventQueue>| {
        let (weak, taken) = (weak.clone(), Arc::clone(&taken));
        EventQueue::with_bound(4).with_waker(move || {
            let queue = weak.upgrade().unwrap();
            let batch = queue.drain();
            let more = taken.lock().len() < 3;
            taken.lock().extend(batch);
            if more {
                queue.push(memory(64, 1)); // calls again
            } else {
                queue.close();
            }
        })
    });
    queue.push(memory(0, 1));
    let (first, again) = (failed(memory(0, 1), 1), failed(memory(64, 1), 1));
    assert_eq!(*taken.lock(), [first, again, again, again]);
    assert_eq!(queue.wait(), None);
}

#[test]
fn a_waker_that_panics_loses_nothing() {
    let queue = EventQueue::with_bound(4).with_waker(|| panic!("a broken event loop"));
    let push = || queue.push(memory(0, 1));
    assert!(panic::catch_unwind(panic::AssertUnwindSafe(push)).is_err());
    assert_eq!(queue.push(memory(8, 1)), Pushed::Queued);
    assert_eq!(queue.drain().len(), 2);
}

#[test]
fn waiting_with_a_limit_tells_apart_how_it_ended() {
    let queue = EventQueue::with_bound(4);
    assert_eq!(queue.wait_timeout(Duration::ZERO), Waited::TimedOut);
    assert_eq!(queue.wait_timeout(Duration::from_millis(2)), Waited::TimedOut);
    queue.push(memory(0, 8));
    let records = || Waited::Records(vec![failed(memory(0, 8), 1)]);
    assert_eq!(queue.wait_timeout(Duration::ZERO), records());
    queue.push(memory(0, 8));
    queue.close();
    assert_eq!(queue.wait_timeout(Duration::MAX), records(), "what is there comes first");
    assert_eq!(queue.wait_timeout(Duration::MAX), Waited::Closed);
}

#[test]
fn whoever_waits_with_a_limit_is_woken_before_it() {
    for close in [false, true] {
        let queue = Arc::new(EventQueue::with_bound(4));
        let consumer = thread::spawn({
            let queue = Arc::clone(&queue);
            move || queue.wait_timeout(Duration::MAX)
        });
        let expected = if close {
            queue.close();
            Waited::Closed
        } else {
            queue.push(memory(0, 8));
            Waited::Records(vec![failed(memory(0, 8), 1)])
        };
        assert_eq!(consumer.join().unwrap(), expected);
    }
}

#[test]
fn producers_never_grow_the_memory_of_the_queue() {
    let queue = EventQueue::with_bound(3);
    for i in 0..1000 {
        queue.push(on(i % 50, u64::from(i) * 64, 8));
        let state = queue.state.lock();
        assert!(state.waiting.queued.capacity() == 3);
        assert!(state.waiting.lost.capacity() == PLACES + 1);
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
                reports += batch.iter().map(QueueRecord::reports).sum::<u64>();
            }
            reports
        }
    });
    for i in 0..100 {
        queue.push(memory(i * 64, 8));
    }
    queue.close();
    queue.push(memory(0, 1)); // still kept, by whoever drains last
    let rest: u64 = queue.drain().iter().map(QueueRecord::reports).sum();
    let seen = consumer.join().unwrap();
    let left: u64 = queue.drain().iter().map(QueueRecord::reports).sum();
    assert_eq!(seen + rest + left, 101);
}

/// One byte of a device.
type Byte = (u32, u64);

fn bytes(failure: &Failure) -> impl Iterator<Item = Byte> + use<> {
    let device = failure.device.index();
    let bytes = failure.range.start().get()..failure.range.end().get();
    bytes.map(move |byte| (device, byte))
}

fn covers(lost: &QueueRecord, byte: Byte) -> bool {
    match lost {
        QueueRecord::Failed { .. } => false,
        QueueRecord::LostAnywhere { .. } => true,
        QueueRecord::Lost { failure, .. } => bytes(failure).any(|b| b == byte),
    }
}

/// The flags under which a byte failed, repetitions counted once: what a consumer can tell.
fn story(failures: &[Failure], byte: Byte) -> Vec<MfFlags> {
    let mut flags: Vec<MfFlags> =
        failures.iter().filter(|f| bytes(f).any(|b| b == byte)).map(|f| f.flags).collect();
    flags.dedup();
    flags
}

fn check_batch(
    pushed: &[Failure],
    batch: &[QueueRecord],
    bound: usize,
) -> Result<(), TestCaseError> {
    let reports: u64 = batch.iter().map(QueueRecord::reports).sum();
    prop_assert_eq!(reports, pushed.len() as u64, "every report is in one record");
    let delivered: Vec<Failure> = batch
        .iter()
        .filter_map(|r| match r {
            QueueRecord::Failed { failure, .. } => Some(*failure),
            QueueRecord::Lost { .. } | QueueRecord::LostAnywhere { .. } => None,
        })
        .collect();
    prop_assert!(delivered.len() <= bound);
    prop_assert!(batch.len() <= bound + PLACES + 1);
    prop_assert!(pushed.len() > bound || delivered.len() == batch.len(), "lost without need");
    let devices = if cfg!(miri) { 3 } else { 40 };
    for byte in (0..devices).flat_map(|device| (0..70).map(move |byte| (device, byte))) {
        let (was, is) = (story(pushed, byte), story(&delivered, byte));
        prop_assert!(was.starts_with(&is), "byte {byte:?}: {was:?} became {is:?}");
        let whole = was.len() == is.len();
        prop_assert!(whole || batch.iter().any(|r| covers(r, byte)), "byte {byte:?} is lost");
    }
    Ok(())
}

fn failure() -> impl Strategy<Value = Failure> {
    let flags = prop_oneof![3 => Just(MfFlags::NONE), 1 => Just(MfFlags::UNPOISON)];
    let device = prop_oneof![3 => 0..3_u32, 1 => 0..40_u32];
    (device, 0..60_u64, 1..9_u64, flags)
        .prop_map(|(device, start, len, flags)| Failure { flags, ..on(device, start, len) })
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
