//! The holder against one slot per byte: who is told what, in which order, and what is answered.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "small numbers, and a panic is a failed test"
)]

use core::cell::RefCell;
use std::sync::Mutex;

use badrange_core::{
    Context, Cover, DevOffset, Extent, FileOffset, Hop, Join, Piece, ReportOffset, Run,
};
use proptest::prelude::*;

use super::*;
use crate::{Record, testing::*};

/// What was called, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    Lost(OwnedRun),
    Metadata(OwnedRun),
}

#[derive(Default)]
struct Told(Mutex<Vec<Call>>);

impl OwnerSink for Told {
    fn lost(&self, owned: &OwnedRun, _: &Corruption<'_>) {
        self.0.lock().unwrap().push(Call::Lost(*owned));
    }

    fn metadata_hit(&self, hit: &OwnedRun, _: &Corruption<'_>) {
        self.0.lock().unwrap().push(Call::Metadata(*hit));
    }
}

/// The engine's part: what was settled.
#[derive(Default)]
struct Settled(RefCell<Cover<ReportOffset, Outcome>>);

impl Context for Settled {
    fn settle(&self, origin: Run<ReportOffset>, outcome: Outcome) {
        self.0.borrow_mut().add(origin, outcome);
    }

    fn trail(&self, _: Run<ReportOffset>, _: &mut dyn FnMut(Hop)) {}
}

/// Fails a piece, and returns the calls and the final answer for each byte of the report.
fn fail(records: &[Record], piece: Piece<DevOffset>, flags: MfFlags) -> (Vec<Call>, Vec<Outcome>) {
    let told = Arc::new(Told::default());
    let map: ReverseMap = records.iter().copied().collect();
    let holder = RmapHolder::new(Arc::new(map), told.clone());
    let settled = Settled::default();
    let rest = holder.corrupted_range(&Corruption::new(piece, flags, &settled));
    let mut outcomes = vec![None; piece.origin().span().end().get() as usize];
    for (run, outcome) in settled.0.borrow().entries() {
        for byte in run.elements().flat_map(|e| e.start().get()..e.end().get()) {
            assert!(piece.origin().contains(ReportOffset::new(byte)), "settled outside");
            let slot: &mut Option<Outcome> = &mut outcomes[byte as usize];
            *slot = Some(slot.map_or(outcome, |old| old.join(outcome)));
        }
    }
    let calls = told.0.lock().unwrap().clone();
    (calls, outcomes.into_iter().map(|o| o.unwrap_or(rest)).collect())
}

fn report(start: u64, len: u64) -> Piece<DevOffset> {
    Piece::report(at(start, len))
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
        let (_, outcomes) = fail(&records, Piece::report(asked), flags);
        for (i, outcome) in (0..).zip(outcomes) {
            let byte = asked.start().get() + i;
            prop_assert_eq!(outcome, naive_outcome(&records, byte, leaving), "byte {}", byte);
        }
    }

    #[test]
    fn every_owner_is_told_once_and_metadata_last(records in records(), asked in extents()) {
        let (calls, _) = fail(&records, Piece::report(asked), MfFlags::NONE);
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
        let told: Vec<(bool, Record)> = calls.iter().map(|call| match call {
            Call::Lost(owned) => (false, owned.record),
            Call::Metadata(owned) => (true, owned.record),
        }).collect();
        prop_assert_eq!(told, expected);
    }
}

#[test]
fn sharers_are_told_in_the_order_of_the_kernel_and_then_the_shutdown() {
    let records = [
        record(fork(7, Fork::Attr), 8, 4, 0),
        record(data(9), 0, 8, 100),
        unwritten(record(data(8), 0, 8, 200)),
        record(JOURNAL, 12, 4, 0),
        record(FREE, 16, 4, 0),
        record(UNKNOWN, 20, 4, 0),
    ];
    let (calls, outcomes) = fail(&records, report(6, 20), MfFlags::NONE);
    let owned = |record: Record, start, len, file: Option<u64>| {
        let origin = Extent::new(ReportOffset::new(start - 6), len).unwrap();
        let file = file.map(|file| Extent::new(FileOffset::new(file), len).unwrap().into());
        OwnedRun { piece: Piece::new(at(start, len).into(), origin.into()).unwrap(), record, file }
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
    let (calls, outcomes) = fail(&records, report(0, 10), MfFlags::MEM_PRE_REMOVE);
    assert!(matches!(calls[..], [Call::Lost(owned)] if owned.record == records[1]));
    assert_eq!(outcomes[..8], [Outcome::Handled; 8]);
    assert_eq!(outcomes[8..], [Outcome::NotSupported; 2]);
}

#[test]
fn a_leg_of_a_stripe_is_one_call_per_file() {
    let here = Run::new(at(2, 2), 8, 1000).unwrap();
    let origin = Run::new(Extent::new(ReportOffset::new(0), 2).unwrap(), 2, 1000).unwrap();
    let records = [record(data(7), 0, 8000, 0), record(INODES, 8000, 8000, 0)];
    let piece = Piece::new(here, origin).unwrap();
    let (calls, outcomes) = fail(&records, piece, MfFlags::NONE);
    assert_eq!(calls.len(), 1);
    let Call::Lost(owned) = calls[0] else { panic!("data was hit, no metadata: {calls:?}") };
    assert_eq!(owned.piece, piece);
    let file = Extent::new(FileOffset::new(2), 2).unwrap();
    assert_eq!(owned.file, Run::new(file, 8, 1000).ok());
    assert_eq!(outcomes, [Outcome::Handled; 2000]);
}

#[test]
fn a_sink_may_say_that_a_file_could_not_be_locked() {
    struct Busy;
    impl OwnerSink for Busy {
        fn lost(&self, owned: &OwnedRun, what: &Corruption<'_>) {
            what.settle(owned.piece.here(), Outcome::Failed(Errno::EBUSY));
        }
        fn metadata_hit(&self, _: &OwnedRun, _: &Corruption<'_>) {}
    }
    let map: ReverseMap = [record(data(7), 4, 4, 0)].into_iter().collect();
    let holder = RmapHolder::new(Arc::new(map), Arc::new(Busy));
    let settled = Settled::default();
    let what = Corruption::new(report(0, 12), MfFlags::NONE, &settled);
    assert_eq!(holder.corrupted_range(&what), Outcome::NotSupported);
    let whole = Extent::new(ReportOffset::new(0), 12).unwrap();
    let states: Vec<_> = settled
        .0
        .borrow()
        .resolve(whole)
        .into_iter()
        .map(|(run, o)| (run.total_len(), o))
        .collect();
    assert_eq!(states, [(4, None), (4, Some(Outcome::Failed(Errno::EBUSY))), (4, None)]);
}

/// Every call of the engine, one by one.
#[derive(Default)]
struct Said(RefCell<Vec<(Run<ReportOffset>, Outcome)>>);

impl Context for Said {
    fn settle(&self, origin: Run<ReportOffset>, outcome: Outcome) {
        self.0.borrow_mut().push((origin, outcome));
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
    let holder = RmapHolder::new(Arc::new(map), Arc::new(Told::default()));
    let settled = Said::default();
    let what = Corruption::new(report(2, 40), MfFlags::NONE, &settled);
    let _ = holder.corrupted_range(&what);
    let said = settled.0.take();
    let part = |start, len| Extent::new(ReportOffset::new(start), len).unwrap().into();
    let expected = [
        (part(0, 10), Outcome::Handled),
        (part(10, 4), Outcome::Failed(Errno::EUCLEAN)),
        (part(18, 4), Outcome::Handled),
    ];
    assert_eq!(said, expected);
}

#[test]
fn what_was_told_before_a_panic_stays_decided() {
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
    let what = Corruption::new(report(1, 40), MfFlags::NONE, &settled);
    let call = core::panic::AssertUnwindSafe(|| holder.corrupted_range(&what));
    assert!(std::panic::catch_unwind(call).is_err());
    let said = settled.0.take();
    let first = Extent::new(ReportOffset::new(0), 3).unwrap().into();
    assert_eq!(said, [(first, Outcome::Handled)]);
}
