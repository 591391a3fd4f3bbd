//! The kit passes what is right, and names the law that is broken by what is not.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::wildcard_enum_match_arm,
    reason = "layers with the bugs that are looked for, and small numbers"
)]

#[path = "../../examples/buggy_stripes/layer.rs"]
mod buggy;

use core::{ops::ControlFlow, time::Duration};
use std::sync::{Arc, Mutex};

use badrange_block::dm::Table;
use badrange_core::*;
use badrange_fs::{FileId, Fork, OwnedRun, Owner, OwnerSink, Record, ReverseMap, RmapHolder};
use badrange_pmem::{MetadataArea, Mode, Namespace, PmemDevice};

use super::*;
use crate::fake::{Countdown, Panics, Recorder};
use buggy::{Bug, Buggy};

mod redundant;
mod wide;

fn at(start: u64, len: u64) -> Extent {
    Extent::new(DevOffset::new(start), len).unwrap()
}

fn passes(layer: &dyn Mapping) {
    if let Err(violation) = mapping(layer, &Config::DEFAULT) {
        panic!("{layer:?}: {violation}");
    }
}

#[test]
fn partitions_keep_the_laws() {
    for on in [at(0, 1), at(1 << 20, 1 << 30), at(7, 4096), at(0, u64::MAX), at(u64::MAX - 9, 9)] {
        passes(&Window::new(on));
    }
}

#[test]
fn tables_keep_the_laws() {
    for text in [
        "0 8 linear 8:0 0",
        "0 2400 striped 3 16 8:0 2048 8:16 2048 8:32 2048",
        "0 60 striped 1 4 8:0 7",
        "0 8 error",
        "0 8 zero",
        "0 1000 linear 8:2 5000\n1000 500 linear 8:2 0\n1500 8 error\n1508 96 striped 4 3 8:0 0 8:0 24 8:0 48 8:0 72\n1604 9 zero",
        "0 137438953472 striped 8 128 8:0 0 8:1 0 8:2 0 8:3 0 8:4 0 8:5 0 8:6 0 8:7 0",
        "0 36028797018963967 linear 8:0 0",
    ] {
        passes(&Table::parse(text).unwrap());
    }
}

#[test]
fn arrays_and_mirrors_keep_the_laws() {
    use badrange_block::md::{Array, Copies, Level, Member, ParityLayout, Raid0Layout};
    let member = |start: u64, chunks: u64| Some(Member::in_sync(at(start, chunks * 4096)));
    let equal =
        vec![member(0, 1000), member(1 << 20, 1000), None, member(4096, 1000), member(512, 1000)];
    for level in [
        Level::Raid1,
        Level::Parity { disks: 1, layout: ParityLayout::LeftSymmetric },
        Level::Parity { disks: 2, layout: ParityLayout::LeftAsymmetric6 },
        Level::Raid10(Copies::Near(2)),
        Level::Raid10(Copies::Far { copies: 2, sets: true }),
        Level::Raid10(Copies::Offset { copies: 3, sets: false }),
    ] {
        passes(&Array::new(level, 4096, equal.clone()).unwrap());
    }
    let unequal = vec![member(0, 10), member(4096, 30), member(512, 17)];
    for layout in [Raid0Layout::Original, Raid0Layout::Alternate] {
        passes(&Array::new(Level::Raid0(layout), 4096, unequal.clone()).unwrap());
    }
    passes(&Table::parse("0 8 linear a 0\n8 96 mirror core 1 8 2 b 3 c 0\n104 96 raid raid5_ls 1 16 3 - d - e - f").unwrap());
}

#[test]
fn thin_volumes_keep_the_laws() {
    use badrange_block::thin::{BlockRange, Volume};
    let range = |volume, data, blocks| BlockRange { volume, data, blocks };
    let ranges = [range(0, 546, 2), range(2, 315, 15), range(17, 492, 3), range(81, 0, 9)];
    passes(&Volume::new(100 * 65536 + 512, 65536, &ranges, None).unwrap());
    passes(&Volume::new(100 * 65536 + 512, 65536, &ranges, Some(50 * 65536)).unwrap());
}

#[test]
fn disk_images_keep_the_laws() {
    use badrange_block::thin::{BlockRange, Volume};
    // One block three times, another twice, and a hole.
    let range = |volume, data, blocks| BlockRange { volume, data, blocks };
    let ranges = [range(0, 40, 8), range(8, 40, 4), range(16, 41, 1), range(20, 90, 30)];
    passes(&Volume::of_file(48 * 4096 + 512, 4096, &ranges).unwrap());
}

#[test]
fn regions_of_cxl_keep_the_laws() {
    use badrange_block::interleave::{Granularity, Interleave, Ways};
    let region = |ways: u64, rows: u64| {
        let granularity = Granularity::new(256).unwrap();
        let hpa = Extent::new(PhysAddr::new(1 << 30), ways * rows * 256).unwrap();
        let starts: Vec<_> = (0..ways).map(|leg| DevOffset::new(leg << 20)).collect();
        Interleave::new(hpa, granularity, &starts).unwrap()
    };
    for ways in [1, 2, 3, 4, 6, 8, 12, 16] {
        passes(&region(ways, 64));
    }
    // Bits 8 and 12, bits 9 and 13 of the address.
    let xor = region(4, 64).with_xor(Ways::new(4).unwrap(), &[0x1100, 0x2200]);
    passes(&xor.unwrap());
}

#[test]
fn namespaces_keep_the_laws() {
    for (start, len, offset) in [(0, 4096, 0), (1 << 32, (1 << 40) + 700, 2 << 20)] {
        let whole = Extent::new(PhysAddr::new(start), len).unwrap();
        passes(&Namespace::new(whole, offset, Mode::Fsdax).unwrap());
    }
}

#[test]
fn devices_in_pieces_keep_the_laws() {
    let link = |lower, len, upper| Link::at(at(lower, len), DevOffset::new(upper)).unwrap();
    let pieces = [(0, link(100, 50, 30)), (0, link(0, 20, 0)), (1, link(7, 100, 500))];
    let pieces = pieces.map(|(leg, link)| (Leg::new(leg), link));
    for rest in [Rest::Own, Rest::Hole(HoleKind::Zero)] {
        passes(&Piecewise::new(at(0, 700), rest, pieces).unwrap());
    }
    let region = (Leg::new(0), link(0, 1 << 40, 1 << 42));
    passes(&Piecewise::new(at(0, 1 << 52), Rest::Own, [region]).unwrap());
}

/// Two legs with the same bytes.
#[derive(Debug)]
struct Mirror {
    /// Whether both halves of the device are the same bytes of each leg.
    shared: bool,
}

impl Mapping for Mirror {
    fn legs(&self) -> u32 {
        2
    }
    fn extent(&self) -> Extent {
        at(0, 100)
    }
    fn leg_extent(&self, leg: Leg) -> Option<Extent> {
        let len = if self.shared { 50 } else { 100 };
        (leg.index() < 2).then(|| at(u64::from(leg.index()) * 10, len))
    }
    fn map(&self, upper: Extent, sink: Sink<'_, Mapped>) -> Flow {
        for half in [at(0, 50), at(50, 50)] {
            let Some(upper) = upper.intersect(half) else { continue };
            for leg in [0, 1].map(Leg::new) {
                let first = self.leg_extent(leg).unwrap().start();
                let from = if self.shared { half.start() } else { DevOffset::new(0) };
                let lower = upper.rebase(from, first).unwrap();
                sink(Mapped::To { leg, link: Link::at(lower, upper.start()).unwrap() })?;
            }
        }
        beyond(self.extent(), upper, sink)
    }
    fn rmap(&self, leg: Leg, lower: Run, sink: Sink<'_, Link>) -> Flow {
        let Some(area) = self.leg_extent(leg) else { return ControlFlow::Continue(()) };
        let to: &[u64] = if self.shared { &[0, 50] } else { &[0] };
        to.iter().try_for_each(|to| Link::at(area, DevOffset::new(*to)).unwrap().rmap(lower, sink))
    }
}

#[test]
fn mirrors_keep_the_laws() {
    passes(&Mirror { shared: false });
}

/// A leg that is used twice is two legs: else one link would be as good as the other.
#[test]
fn one_byte_of_a_leg_at_two_places_breaks_law_3() {
    let violation = mapping(&Mirror { shared: true }, &Config::DEFAULT).unwrap_err();
    assert_eq!(violation.law(), Law::Inside, "{violation}");
    assert!(violation.detail().ends_with("not disjoint"), "{violation}");
    let Case::Rmap { run: RawRun { len: 1, count: 1, .. }, .. } = violation.case() else {
        panic!("{violation}")
    };
}

/// The violation, after checking that its case really breaks the layer and its neighbour does not.
fn broken(bug: Bug) -> Violation {
    let violation = mapping(&Buggy(bug), &Config::DEFAULT).unwrap_err();
    let again = mapping(&Buggy(bug), &Config::DEFAULT).unwrap_err();
    assert_eq!(violation, again, "equal seeds, equal violations");
    violation
}

#[test]
fn the_layer_without_a_bug_keeps_the_laws() {
    passes(&Buggy(Bug::None));
}

#[test]
fn an_end_that_is_off_by_one_breaks_law_3() {
    let violation = broken(Bug::InclusiveEnd);
    assert_eq!(violation.law(), Law::Inside, "{violation}");
    // The byte after the leg, alone: legs of 128 bytes at 1000, 2000 and 3000.
    let case = Case::Rmap { leg: 0, run: RawRun::extent(1128, 1) };
    assert_eq!(violation.case(), case);
    assert_eq!(case.check_mapping(&Buggy(Bug::InclusiveEnd), &Config::DEFAULT), Err(violation));
    assert_eq!(case.check_mapping(&Buggy(Bug::None), &Config::DEFAULT), Ok(()));
}

#[test]
fn a_length_that_is_not_clipped_to_the_chunk_breaks_law_2() {
    let violation = broken(Bug::UnclippedLength);
    assert_eq!(violation.law(), Law::GivesBack, "{violation}");
    // Two bytes across the end of a chunk are the smallest case there is.
    let (start, len) = rmapped(&violation);
    assert_eq!((len, (start + 1 - 1000) % 16), (2, 0), "{violation}");
}

#[test]
fn only_the_first_match_breaks_law_2() {
    let violation = broken(Bug::FirstMatchOnly);
    assert_eq!(violation.law(), Law::GivesBack, "{violation}");
    let (start, len) = rmapped(&violation);
    assert_eq!((len, (start + 1 - 1000) % 16), (2, 0), "{violation}");
}

#[test]
fn a_chunk_that_is_subtracted_whole_breaks_law_1() {
    let violation = broken(Bug::ChunkRemainder);
    assert_eq!(violation.law(), Law::Covers, "{violation}");
    let Case::Map { start, len } = violation.case() else { panic!("{violation}") };
    // It takes a start inside a chunk and an end beyond it.
    assert!(start % 16 != 0 && start % 16 + len > 16, "{violation}");
}

#[test]
fn a_sum_that_wraps_breaks_law_5() {
    let violation = broken(Bug::Wraps);
    assert_eq!(violation.law(), Law::Total, "{violation}");
    assert!(violation.detail().starts_with("panicked: "), "{violation}");
    // Within a chunk of the end of the scale, where rounding up wraps.
    let (start, len) = rmapped(&violation);
    assert!(len == 1 && start >= u64::MAX - 16, "{violation}");
}

/// The extent of leg 0 that was asked for.
fn rmapped(violation: &Violation) -> (u64, u64) {
    match violation.case() {
        Case::Rmap { leg: 0, run: RawRun { start, len, count: 1, .. } } => (start, len),
        other => panic!("{other:?}: {violation}"),
    }
}

#[test]
fn a_closed_form_that_forgets_the_phase_breaks_law_4() {
    let violation = broken(Bug::RunFromFirstElement);
    let Case::Rmap { leg: 0, run } = violation.case() else { panic!("{violation}") };
    assert_eq!((run.len, run.count), (1, 2), "{violation}");
}

#[test]
fn a_sink_that_is_called_after_its_break_is_reported() {
    let violation = broken(Bug::DoesNotStop);
    assert_eq!(violation.law(), Law::Stops, "{violation}");
}

#[test]
fn a_leg_too_many_breaks_law_5() {
    let violation = broken(Bug::LegTooMany);
    assert_eq!((violation.law(), violation.case()), (Law::Total, Case::LegExtent { leg: 3 }));
}

struct Deaf;

impl OwnerSink for Deaf {
    fn lost(&self, _: &OwnedRun, _: &Corruption<'_>) {}
    fn metadata_hit(&self, _: &OwnedRun, _: &Corruption<'_>) {}
}

#[test]
fn holders_of_the_workspace_keep_the_contract() {
    let config = Config::DEFAULT.with_repeatable(true);
    let record = |start, len, ino| Record {
        extent: at(start, len),
        owner: Owner::File { id: FileId::Ino(ino), fork: Fork::Data },
        file_start: FileOffset::new(0),
        unwritten: false,
    };
    let map: ReverseMap = [record(0, 4096, 1), record(2048, 8192, 2)].into_iter().collect();
    let fs = RmapHolder::new(Arc::new(map), Arc::new(Deaf));
    holder(Arc::new(fs), at(0, 16384), &config).unwrap();
    let whole = Extent::new(PhysAddr::new(0), 1 << 20).unwrap();
    let pmem = PmemDevice::new(Namespace::new(whole, 0, Mode::Raw).unwrap());
    holder(Arc::new(pmem), at(0, 1 << 20), &config).unwrap();
    holder(Arc::new(MetadataArea), whole.on_memory(), &config).unwrap();
}

#[test]
fn a_holder_that_panics_is_reported_with_its_call() {
    let violation = holder(Arc::new(Fussy), at(512, 4096), &Config::DEFAULT).unwrap_err();
    assert_eq!(violation.law(), Law::Survives);
    let Case::Notify { run, flags } = violation.case() else { panic!("{violation}") };
    assert_eq!((run.count, run.len, flags), (2, 1, MfFlags::NONE), "{violation}");
    let again = violation.case().check_holder(Arc::new(Fussy), &Config::DEFAULT);
    assert_eq!(again, Err(violation));
    let later = Panics::new(Recorder::new(Outcome::Handled), 1000);
    let violation = holder(Arc::new(later), at(512, 4096), &Config::DEFAULT).unwrap_err();
    assert!(violation.to_string().contains("a holder made to panic"), "{violation}");
}

/// Thinks that it is only notified of extents.
struct Fussy;

impl Holder for Fussy {
    fn corrupted_range(&self, what: &Corruption<'_>) -> Outcome {
        what.range().as_extent().expect("an extent");
        Outcome::Handled
    }
}

#[test]
fn a_holder_that_changes_its_mind_is_only_reported_where_that_matters() {
    let on = at(0, 4096);
    let moody = || Arc::new(Countdown::new(Recorder::new(Outcome::Handled), 100));
    holder(moody(), on, &Config::DEFAULT).unwrap();
    let violation = holder(moody(), on, &Config::DEFAULT.with_repeatable(true)).unwrap_err();
    assert_eq!(violation.law(), Law::Repeats);
}

/// Handles what is longer than a sector.
struct BySize;

impl Holder for BySize {
    fn corrupted_range(&self, what: &Corruption<'_>) -> Outcome {
        if what.range().total_len() > 512 { Outcome::Handled } else { Outcome::NotSupported }
    }
}

#[test]
fn an_answer_that_depends_on_the_cut_is_reported_where_that_matters() {
    holder(Arc::new(BySize), at(0, 4096), &Config::DEFAULT).unwrap();
    let config = Config::DEFAULT.with_repeatable(true);
    let violation = holder(Arc::new(BySize), at(0, 4096), &config).unwrap_err();
    assert_eq!(violation.law(), Law::Repeats);
    // One extent, cut in two: the smallest case there is.
    let Case::Notify { run, .. } = violation.case() else { panic!("{violation}") };
    assert_eq!((run.count, run.len), (1, 513), "{violation}");
}

/// Answers for all of a range as for the sector that it begins in.
struct ByFirstSector;

impl Holder for ByFirstSector {
    fn corrupted_range(&self, what: &Corruption<'_>) -> Outcome {
        match what.range().first().start().get() {
            0..512 => Outcome::Failed(Errno::EUCLEAN),
            _ => Outcome::Handled,
        }
    }
}

#[test]
fn an_answer_for_more_than_was_looked_at_is_found_by_cutting_an_extent() {
    let config = Config::DEFAULT.with_repeatable(true);
    let violation = holder(Arc::new(ByFirstSector), at(0, 4096), &config).unwrap_err();
    assert_eq!(violation.law(), Law::Repeats);
    let Case::Notify { run, .. } = violation.case() else { panic!("{violation}") };
    assert_eq!((run.count, run.len), (1, 2), "{violation}");
    assert!(run.start < 512 && run.start + run.len > 512, "{violation}");
}

/// Of several ranges answers the first one only, if it is not told to answer all.
struct Batches(bool);

impl Holder for Batches {
    fn corrupted_range(&self, what: &Corruption<'_>) -> Outcome {
        what.settle(what.range().first().into(), Outcome::Failed(Errno::EIO));
        Outcome::Failed(Errno::EIO)
    }

    fn corrupted_ranges(&self, what: &[Corruption<'_>], answer: &mut dyn FnMut(Outcome)) {
        let some = if self.0 { what.len() } else { 1 };
        what.iter().take(some).for_each(|what| answer(self.corrupted_range(what)));
    }
}

#[test]
fn a_holder_that_does_not_answer_for_each_of_several_ranges_is_reported() {
    let config = Config::DEFAULT.with_repeatable(true);
    holder(Arc::new(Batches(true)), at(0, 4096), &config).unwrap();
    let violation = holder(Arc::new(Batches(false)), at(0, 4096), &Config::DEFAULT).unwrap_err();
    assert_eq!(violation.law(), Law::Answers, "{violation}");
    let Case::Notify { run, .. } = violation.case() else { panic!("{violation}") };
    assert_eq!((run.len, run.count), (2, 1), "{violation}");
}

/// Keeps its lock while it settles.
#[derive(Default)]
struct Locks(Mutex<u64>);

impl Holder for Locks {
    fn corrupted_range(&self, what: &Corruption<'_>) -> Outcome {
        let mut calls = self.0.lock().unwrap();
        *calls += what.settle(what.range(), Outcome::Handled);
        Outcome::Handled
    }
}

#[test]
fn a_holder_that_hangs_when_called_from_inside_its_own_call_is_reported() {
    let config = Config::DEFAULT.with_timeout(Duration::from_millis(300));
    let violation = holder(Arc::new(Locks::default()), at(0, 4096), &config).unwrap_err();
    assert_eq!(violation.law(), Law::Returns, "{violation}");
    assert!(violation.detail().contains("from inside its own call"), "{violation}");
    let Case::Notify { run, flags } = violation.case() else { panic!("{violation}") };
    assert_eq!((run, flags), (RawRun::extent(0, 1), MfFlags::NONE), "the first case");
    let again = violation.case().check_holder(Arc::new(Locks::default()), &config);
    assert_eq!(again, Err(violation));
}

/// Never answers about what is longer than a sector.
struct Sleeps;

impl Holder for Sleeps {
    fn corrupted_range(&self, what: &Corruption<'_>) -> Outcome {
        while what.range().total_len() > 512 {
            std::thread::park();
        }
        Outcome::Handled
    }
}

#[test]
fn a_holder_that_never_returns_is_reported() {
    let config = Config::DEFAULT.with_timeout(Duration::from_millis(300));
    let violation = holder(Arc::new(Sleeps), at(0, 4096), &config).unwrap_err();
    assert_eq!(violation.law(), Law::Returns, "{violation}");
    assert!(violation.detail().starts_with("it did not return"), "{violation}");
}
