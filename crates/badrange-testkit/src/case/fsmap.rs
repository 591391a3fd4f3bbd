#![expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "drawn numbers are small, and a panic is a failed check"
)]

use core::{cell::RefCell, ops::ControlFlow};
use std::{collections::BTreeSet, sync::Arc};

use arbitrary::Arbitrary;
use badrange_core::{
    Context, Corruption, Errno, Extent, FileOffset, Holder, MfFlags, Outcome, Run,
};
use badrange_fs::{OwnedRun, OwnerSink, ReverseMap, RmapHolder};

use super::{DrawnExtent, DrawnRun, TestCase};
use crate::{
    draw::few,
    twin::{
        FsRecord, FsTwin,
        agree::{bytes, run, slots},
    },
};

/// Bytes of a slot.
const SLOT: u64 = 512;

/// A filesystem's reverse map, and the holder made of it, against a list of owners per slot.
///
/// # Examples
/// ```
/// use badrange_testkit::{case::{DrawnExtent, FsMap, TestCase}, twin::FsRecord};
/// let record = FsRecord { start: 2, len: 3, owner: 1, file_start: 0, unwritten: false };
/// FsMap { records: vec![record], asked: vec![DrawnExtent { start: 0, len: 9 }], runs: vec![] }.check();
/// ```
#[derive(Debug, Clone, Arbitrary)]
pub struct FsMap {
    /// The records.
    #[arbitrary(with = few::<_, 0, 12>)]
    pub records: Vec<FsRecord>,
    /// Ranges to ask for.
    #[arbitrary(with = few::<_, 1, 4>)]
    pub asked: Vec<DrawnExtent>,
    /// Runs to ask for.
    #[arbitrary(with = few::<_, 0, 3>)]
    pub runs: Vec<DrawnRun>,
}

/// What a record of the drawn ones says about a slot, to be sorted: slot, record, slot of the file.
type Line = (u64, String, Option<u64>);

impl TestCase for FsMap {
    fn check(&self) {
        let mut distinct: Vec<FsRecord> = Vec::new();
        for record in &self.records {
            // Equal records count once, and a file offset without meaning makes no difference to
            // the map only if it is the same.
            let real = record.build(SLOT);
            if distinct.iter().all(|other| other.build(SLOT) != real) {
                distinct.push(*record);
            }
        }
        let all = self.records.iter().map(|r| r.build(SLOT).expect("small"));
        let map: ReverseMap = all.collect();
        assert_eq!(map.len(), distinct.len());
        let checked =
            Checked { twin: FsTwin::new(&distinct), records: distinct, map: Arc::new(map) };
        for asked in &self.asked {
            checked.owners(*asked);
            checked.gaps(*asked);
            checked.segments(*asked);
            let (start, len) = (asked.start, asked.len);
            checked.holder((start, len, len, 1));
        }
        for asked in &self.runs {
            checked.owners_of_run(asked.quad());
            checked.holder(asked.quad());
        }
    }
}

struct Checked {
    twin: FsTwin,
    records: Vec<FsRecord>,
    map: Arc<ReverseMap>,
}

impl Checked {
    /// The lines about a slot.
    fn due(&self, slot: u64) -> Vec<Line> {
        let line = |i: &usize| {
            let record = &self.records[*i];
            let real = record.build(SLOT).expect("small");
            (slot, format!("{real:?}"), record.file_slot(slot))
        };
        self.twin.owners(slot).iter().map(line).collect()
    }

    fn due_of(&self, units: impl Iterator<Item = u64>) -> Vec<Line> {
        let mut all: Vec<Line> = units.flat_map(|slot| self.due(slot)).collect();
        all.sort();
        all
    }

    fn owners(&self, asked: DrawnExtent) {
        let mut said = Vec::new();
        let _ = self.map.owners(bytes(SLOT, asked.start, asked.len), &mut |owned| {
            let name = format!("{:?}", owned.record);
            said.extend(lines(owned.device, &name, owned.file));
            ControlFlow::Continue(())
        });
        said.sort();
        assert_eq!(said, self.due_of(asked.start..asked.start + asked.len), "{asked:?}");
    }

    fn owners_of_run(&self, (start, len, stride, count): (u64, u64, u64, u64)) {
        let asked: Run = run(SLOT, (start, len, stride, count));
        let mut said = Vec::new();
        let _ = self.map.owners_of_run(&asked, &mut |owned| {
            let name = format!("{:?}", owned.record);
            let files: Vec<_> = owned.file.iter().flat_map(Run::elements).map(Some).collect();
            let files = files.into_iter().chain(core::iter::repeat(None));
            for (here, file) in owned.device.elements().zip(files) {
                assert_eq!(file.is_some(), owned.file.is_some());
                let lies = asked.elements().any(|element| element.contains_extent(here));
                assert!(lies, "element by element: {owned:?} of {asked}");
                said.extend(lines(here, &name, file));
            }
            ControlFlow::Continue(())
        });
        said.sort();
        let slots = (0..count).flat_map(|i| start + i * stride..start + i * stride + len);
        assert_eq!(said, self.due_of(slots), "{asked}");
    }

    fn gaps(&self, asked: DrawnExtent) {
        let mut said: Vec<Extent> = Vec::new();
        let _ = self.map.gaps(bytes(SLOT, asked.start, asked.len), &mut |gap| {
            // Maximal and ascending.
            assert!(said.last().is_none_or(|last| last.end() < gap.start()));
            said.push(gap);
            ControlFlow::Continue(())
        });
        let said: Vec<u64> = said.into_iter().flat_map(|gap| slots(SLOT, gap)).collect();
        let unknown = |slot: &u64| self.twin.owners(*slot).is_empty();
        let due: Vec<u64> = (asked.start..asked.start + asked.len).filter(unknown).collect();
        assert_eq!(said, due, "{asked:?}");
    }

    fn segments(&self, asked: DrawnExtent) {
        let mut next = asked.start;
        let mut last: Vec<String> = vec!["no segment".to_owned()];
        let _ = self.map.segments(bytes(SLOT, asked.start, asked.len), &mut |segment| {
            let mut said: Vec<String> = segment.owners.iter().map(|r| format!("{r:?}")).collect();
            said.sort();
            assert_ne!(said, last, "{segment:?} continues the one before");
            for slot in slots(SLOT, segment.extent) {
                assert_eq!(slot, next);
                let mut due: Vec<String> =
                    self.due(slot).into_iter().map(|(_, name, _)| name).collect();
                due.sort();
                assert_eq!(said, due, "{segment:?}");
                next += 1;
            }
            last = said;
            ControlFlow::Continue(())
        });
        assert_eq!(next, asked.start + asked.len);
    }

    /// The holder settles every known slot as its owners demand, and no other: how often is its own
    /// affair, as equal answers join to themselves.
    fn holder(&self, asked: (u64, u64, u64, u64)) {
        let holder = RmapHolder::new(Arc::clone(&self.map), Arc::new(Deaf));
        let settled = Settled::default();
        let told = run(SLOT, asked);
        let answer = holder.corrupted_range(&Corruption::new(told, MfFlags::NONE, &settled));
        assert_eq!(answer, Outcome::NotSupported);
        let (start, len, stride, count) = asked;
        let mut said: BTreeSet<(u64, String)> = BTreeSet::new();
        for (part, outcome) in settled.0.borrow().iter() {
            let slots = part.elements().flat_map(|e| slots(SLOT, e));
            said.extend(slots.map(|slot| (slot, outcome.to_string())));
        }
        let due = (0..count).flat_map(|i| start + i * stride..start + i * stride + len);
        let due: BTreeSet<(u64, String)> = due
            .flat_map(|slot| self.twin.owners(slot).iter().map(move |i| (slot, *i)))
            .map(|(slot, i)| (slot, wanted(self.records[i].owner).to_string()))
            .collect();
        assert_eq!(said, due);
    }
}

/// What a record's owner makes of a failure; see [`FsRecord::owner`].
fn wanted(owner: u64) -> Outcome {
    match owner {
        0..=3 | 6 => Outcome::Handled,
        7 => Outcome::NotSupported,
        _ => Outcome::Failed(Errno::EUCLEAN),
    }
}

fn lines(device: Extent, name: &str, file: Option<Extent<FileOffset>>) -> Vec<Line> {
    assert!(file.is_none_or(|file| file.len() == device.len()));
    let files = file.map(|file| slots(SLOT, file).start);
    let line = |(i, slot)| (slot, name.to_owned(), files.map(|first| first + i));
    (0..).zip(slots(SLOT, device)).map(line).collect()
}

/// Collects what is settled.
#[derive(Default)]
struct Settled(RefCell<Vec<(Run, Outcome)>>);

impl Context for Settled {
    fn settle(&self, part: Run, outcome: Outcome) {
        self.0.borrow_mut().push((part, outcome));
    }
}

struct Deaf;

impl OwnerSink for Deaf {
    fn lost(&self, _: &OwnedRun, _: &Corruption<'_>) {}
    fn metadata_hit(&self, _: &OwnedRun, _: &Corruption<'_>) {}
}
