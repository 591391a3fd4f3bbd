//! The holder against one slot per byte: who is notified of what, in which order, and what is answered.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "small numbers, and a panic is a failed test"
)]

use core::cell::RefCell;
use std::sync::Mutex;

use badrange_core::{Context, Cover, DevOffset, Extent, FileOffset, Join, Run};
use proptest::prelude::*;

use super::*;
use crate::{Fork, Record, testing::*};

/// What was called, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    Lost(OwnedRun),
    Metadata(OwnedRun),
}

#[derive(Default)]
struct Calls(Mutex<Vec<Call>>);

impl OwnerSink for Calls {
    fn lost(&self, owned: &OwnedRun, _: &Corruption<'_>) {
        self.0.lock().unwrap().push(Call::Lost(*owned));
    }

    fn metadata_hit(&self, hit: &OwnedRun, _: &Corruption<'_>) {
        self.0.lock().unwrap().push(Call::Metadata(*hit));
    }
}

/// The engine's part: what was settled.
#[derive(Default)]
struct Settled(RefCell<Cover<Outcome>>);

impl Context for Settled {
    fn settle(&self, part: Run, outcome: Outcome) {
        self.0.borrow_mut().add(part, outcome);
    }
}

/// Fails a run, and returns the calls and the final answer for each byte of it, element by element.
fn fail(records: &[Record], run: Run, flags: MfFlags) -> (Vec<Call>, Vec<Outcome>) {
    let sink = Arc::new(Calls::default());
    let map: ReverseMap = records.iter().copied().collect();
    let holder = RmapHolder::new(Arc::new(map), sink.clone());
    let settled = Settled::default();
    let rest = holder.corrupted_range(&Corruption::new(run, flags, &settled));
    let mut outcomes = vec![None; run.span().end().get() as usize];
    for (part, outcome) in settled.0.borrow().entries() {
        for byte in part.elements().flat_map(|e| e.start().get()..e.end().get()) {
            assert!(run.contains(DevOffset::new(byte)), "settled outside");
            let slot: &mut Option<Outcome> = &mut outcomes[byte as usize];
            *slot = Some(slot.map_or(outcome, |old| old.join(outcome)));
        }
    }
    let calls = sink.0.lock().unwrap().clone();
    let bytes = run.elements().flat_map(|e| e.start().get()..e.end().get());
    (calls, bytes.map(|byte| outcomes[byte as usize].unwrap_or(rest)).collect())
}

fn naive_outcome(records: &[Record], byte: u64, leaving: bool) -> Outcome {
    let here = records.iter().filter(|r| r.extent.contains(DevOffset::new(byte)));
    let answers = here.map(|r| match r.owner {
        UNKNOWN => Outcome::NotSupported,
        FREE | Owner::File { fork: Fork::Data, .. } => Outcome::Handled,
        Owner::File { .. } | Owner::Special(_) if leaving => Outcome::Handled,
        Owner::File { .. } | Owner::Special(_) => Outcome::Failed(Errno::EUCLEAN),
    });
    answers.reduce(Join::join).unwrap_or(Outcome::NotSupported)
}

proptest! {
    #[test]
    fn every_byte_gets_the_answer_of_its_owners(
        records in records(),
        asked in extents(),
        leaving in any::<bool>(),
    ) {
        let flags = if leaving { MfFlags::MEM_PRE_REMOVE } else { MfFlags::NONE };
        let (_, outcomes) = fail(&records, asked.into(), flags);
        for (i, outcome) in (0..).zip(outcomes) {
            let byte = asked.start().get() + i;
            prop_assert_eq!(outcome, naive_outcome(&records, byte, leaving), "byte {}", byte);
        }
    }

    #[test]
    fn every_owner_is_notified_once_and_metadata_last(records in records(), asked in extents()) {
        let (calls, _) = fail(&records, asked.into(), MfFlags::NONE);
        let order = |r: &Record| (r.extent.start(), r.owner, r.file_start, r.extent.len(), r.unwritten);
        let mut hit = records.clone();
        hit.retain(|r| r.extent.intersect(asked).is_some());
        hit.sort_by_key(order);
        hit.dedup();
        let data = |r: &&Record| matches!(r.owner, Owner::File { fork: Fork::Data, .. });
        let metadata = |r: &&Record| !data(r) && r.owner != FREE && r.owner != UNKNOWN;
        let expected: Vec<(bool, Record)> = hit.iter().filter(data).map(|r| (false, *r))
            .chain(hit.iter().filter(metadata).map(|r| (true, *r)))
            .collect();
        let notified: Vec<(bool, Record)> = calls.iter().map(|call| match call {
            Call::Lost(owned) => (false, owned.record),
            Call::Metadata(owned) => (true, owned.record),
        }).collect();
        prop_assert_eq!(notified, expected);
    }
}

#[test]
fn sharers_are_notified_in_the_order_of_the_kernel_and_then_the_shutdown() {
    let records = [
        record(fork(7, Fork::Attr), 8, 4, 0),
        record(data(9), 0, 8, 100),
        unwritten(record(data(8), 0, 8, 200)),
        record(JOURNAL, 12, 4, 0),
        record(FREE, 16, 4, 0),
        record(UNKNOWN, 20, 4, 0),
    ];
    let (calls, outcomes) = fail(&records, at(6, 20).into(), MfFlags::NONE);
    let owned = |record: Record, start, len, file: Option<u64>| {
        let file = file.map(|file| Extent::new(FileOffset::new(file), len).unwrap().into());
        OwnedRun { device: at(start, len).into(), record, file }
    };
    assert_eq!(
        calls,
        [
            Call::Lost(owned(records[2], 6, 2, Some(206))),
            Call::Lost(owned(records[1], 6, 2, Some(106))),
            Call::Metadata(owned(records[0], 8, 4, Some(0))),
            Call::Metadata(owned(records[3], 12, 4, None)),
        ]
    );
    let shutdown = Outcome::Failed(Errno::EUCLEAN);
    let expected = [
        (2, Outcome::Handled),          // data
        (8, shutdown),                  // attribute fork and journal
        (4, Outcome::Handled),          // free
        (4 + 2, Outcome::NotSupported), // unknown, and not listed
    ];
    let expected: Vec<_> =
        expected.iter().flat_map(|(n, o)| core::iter::repeat_n(*o, *n)).collect();
    assert_eq!(outcomes, expected);
}

#[test]
fn a_device_that_leaves_shuts_nothing_down_for_its_metadata() {
    let records = [record(JOURNAL, 0, 4, 0), record(data(7), 4, 4, 0)];
    let (calls, outcomes) = fail(&records, at(0, 10).into(), MfFlags::MEM_PRE_REMOVE);
    assert!(matches!(calls[..], [Call::Lost(owned)] if owned.record == records[1]));
    assert_eq!(outcomes[..8], [Outcome::Handled; 8]);
    assert_eq!(outcomes[8..], [Outcome::NotSupported; 2]);
}

#[test]
fn a_leg_of_a_stripe_is_one_call_per_file() {
    let leg = Run::new(at(2, 2), 8, 1000).unwrap();
    let records = [record(data(7), 0, 8000, 0), record(INODES, 8000, 8000, 0)];
    let (calls, outcomes) = fail(&records, leg, MfFlags::NONE);
    assert_eq!(calls.len(), 1);
    let Call::Lost(owned) = calls[0] else { panic!("data was hit, no metadata: {calls:?}") };
    assert_eq!(owned.device, leg);
    let file = Extent::new(FileOffset::new(2), 2).unwrap();
    assert_eq!(owned.file, Run::new(file, 8, 1000).ok());
    assert_eq!(outcomes, [Outcome::Handled; 2000]);
}

#[test]
fn a_sink_may_say_that_a_file_could_not_be_locked() {
    struct Busy;
    impl OwnerSink for Busy {
        fn lost(&self, owned: &OwnedRun, what: &Corruption<'_>) {
            what.settle(owned.device, Outcome::Failed(Errno::EBUSY));
        }
        fn metadata_hit(&self, _: &OwnedRun, _: &Corruption<'_>) {}
    }
    let map: ReverseMap = [record(data(7), 4, 4, 0)].into_iter().collect();
    let holder = RmapHolder::new(Arc::new(map), Arc::new(Busy));
    let settled = Settled::default();
    let what = Corruption::new(at(0, 12).into(), MfFlags::NONE, &settled);
    assert_eq!(holder.corrupted_range(&what), Outcome::NotSupported);
    let mut states = Vec::new();
    settled.0.borrow().resolve(at(0, 12), &mut |run, said| states.push((run.total_len(), said)));
    assert_eq!(states, [(4, None), (4, Some(Outcome::Failed(Errno::EBUSY))), (4, None)]);
}

/// Every call of the engine, one by one.
#[derive(Default)]
struct Said(RefCell<Vec<(Run, Outcome)>>);

impl Context for Said {
    fn settle(&self, part: Run, outcome: Outcome) {
        self.0.borrow_mut().push((part, outcome));
    }
}

/// One answer for neighbours that fare alike, whatever number of files they are.
#[test]
fn neighbours_are_settled_together_and_others_are_not() {
    let records = [
        record(data(7), 0, 4, 0),
        record(data(8), 4, 4, 0),
        record(FREE, 6, 6, 0),
        record(JOURNAL, 12, 4, 0),
        record(data(9), 20, 4, 0),
    ];
    let map: ReverseMap = records.into_iter().collect();
    let holder = RmapHolder::new(Arc::new(map), Arc::new(Calls::default()));
    let settled = Said::default();
    let what = Corruption::new(at(2, 40).into(), MfFlags::NONE, &settled);
    let _ = holder.corrupted_range(&what);
    let said = settled.0.take();
    let expected = [
        (at(2, 10).into(), Outcome::Handled),
        (at(12, 4).into(), Outcome::Failed(Errno::EUCLEAN)),
        (at(20, 4).into(), Outcome::Handled),
    ];
    assert_eq!(said, expected);
}

#[test]
fn what_was_answered_before_a_panic_stays_decided() {
    struct Stumbles;
    impl OwnerSink for Stumbles {
        fn lost(&self, owned: &OwnedRun, _: &Corruption<'_>) {
            assert_ne!(owned.record.owner, data(8), "this one");
        }
        fn metadata_hit(&self, _: &OwnedRun, _: &Corruption<'_>) {}
    }
    let records = [record(data(7), 0, 4, 0), record(data(8), 4, 4, 0), record(data(9), 8, 4, 0)];
    let map: ReverseMap = records.into_iter().collect();
    let holder = RmapHolder::new(Arc::new(map), Arc::new(Stumbles));
    let settled = Said::default();
    let what = Corruption::new(at(1, 40).into(), MfFlags::NONE, &settled);
    let call = core::panic::AssertUnwindSafe(|| holder.corrupted_range(&what));
    assert!(std::panic::catch_unwind(call).is_err());
    let said = settled.0.take();
    assert_eq!(said, [(at(1, 3).into(), Outcome::Handled)]);
}

/// Where the elements of a run touch, they are settled as one; where they do not, one by one.
#[test]
fn neighbours_in_elements_that_touch_are_settled_together() {
    let records = (0..8).map(|n| record(data(n), 4 * n, 4, 0));
    let holder = |records: Vec<Record>| {
        RmapHolder::new(Arc::new(records.into_iter().collect()), Arc::new(Calls::default()))
    };
    let holder = holder(records.collect());
    let said = |run: Run| {
        let settled = Said::default();
        let _ = holder.corrupted_range(&Corruption::new(run, MfFlags::NONE, &settled));
        settled.0.take()
    };
    let touching = Run::new(at(2, 6), 6, 5).unwrap();
    assert_eq!(said(touching), [(at(2, 30).into(), Outcome::Handled)]);
    let apart = Run::new(at(2, 6), 8, 4).unwrap();
    let expected = [(2, 6), (10, 6), (18, 6), (26, 6)];
    assert_eq!(said(apart), expected.map(|(s, n)| (at(s, n).into(), Outcome::Handled)));
}
