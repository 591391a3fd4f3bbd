//! What holders and fallbacks are called with, and what they answer.

use core::cell::RefCell;
use std::{string::String, sync::Mutex};

use alloc::sync::Arc;

use super::*;

/// What was settled, in bytes of the holder.
#[derive(Default)]
struct Settled(RefCell<Vec<(Run, Outcome)>>);

impl Context for Settled {
    fn settle(&self, part: Run, outcome: Outcome) {
        self.0.borrow_mut().push((part, outcome));
    }
}

proptest! {
    #[test]
    fn settling_decides_what_part_and_range_have_in_common(range in runs(), asked in runs()) {
        let told = Settled::default();
        let what = Corruption::new(range, MfFlags::NONE, &told);
        let count = what.settle(asked, Outcome::Handled);
        let common = &units(&range) & &units(&asked);
        prop_assert_eq!(count, common.len() as u64);
        let told = told.0.take();
        for (part, outcome) in &told {
            prop_assert!(units(part).is_subset(&units(&range)));
            prop_assert!(element_by_element(part, &asked));
            prop_assert_eq!(*outcome, Outcome::Handled);
        }
        prop_assert_eq!(units_of(told.into_iter().map(|(part, _)| part)), Vec::from_iter(common));
    }
}

/// Remembers what it is told.
#[derive(Debug, Default)]
struct Told(Mutex<Vec<String>>);

impl Told {
    fn add(&self, what: String) {
        self.0.lock().unwrap().push(what);
    }

    fn take(&self) -> Vec<String> {
        core::mem::take(&mut self.0.lock().unwrap())
    }
}

impl Context for Told {
    fn settle(&self, part: Run, outcome: Outcome) {
        self.add(format!("{part} {outcome}"));
    }

    fn trail(&self, part: Run, sink: &mut dyn FnMut(Hop)) {
        let start = part.first().start().get();
        sink(Hop { device: DeviceId::new(0, 9, 1), at: at(start + 1000, 1).into() });
        sink(Hop { device: DeviceId::new(0, 2, 5), at: part });
    }
}

#[test]
fn a_corruption_passes_on_what_is_settled_and_how_it_came() {
    let told = Told::default();
    let what = Corruption::new(at(4096, 512).into(), MfFlags::NO_RETRY, &told);
    assert_eq!((what.flags(), what.range()), (MfFlags::NO_RETRY, at(4096, 512).into()));
    assert_eq!(what.settle(at(4100, 8).into(), Outcome::Handled), 8);
    // What reaches beyond the range is cut; what lies outside it is ignored.
    assert_eq!(what.settle(at(4600, 100).into(), Outcome::NotSupported), 8);
    assert_eq!(what.settle(at(4608, 1).into(), Outcome::Handled), 0);
    assert_eq!(
        told.take(),
        ["device bytes [0x1004..0x100c) handled", "device bytes [0x11f8..0x1200) not supported"]
    );
    let mut way = Vec::new();
    what.trail(at(4099, 1).into(), &mut |hop| way.push((hop.device.index(), hop.at.first())));
    what.trail(at(4095, 1).into(), &mut |_| panic!("outside"));
    assert_eq!(way, [(9, at(5099, 1)), (2, at(4099, 1))]);
    let shown = format!("{what:?}");
    assert!(shown.contains("dev:0x1000..0x1200") && shown.contains("MfFlags(64)"), "{shown}");
}

#[test]
fn a_notice_keeps_range_flags_and_way() {
    let (told, range) = (Told::default(), every(4096, 512, 1024, 3));
    let notice = Corruption::new(range, MfFlags::MUST_KILL, &told).to_notice();
    assert_eq!((notice.range, notice.flags), (range, MfFlags::MUST_KILL));
    let way: Vec<_> = notice.trail.iter().map(|hop| (hop.device, hop.at)).collect();
    let (low, own) = (DeviceId::new(0, 9, 1), DeviceId::new(0, 2, 5));
    assert_eq!(way, [(low, at(5096, 1).into()), (own, range)]);
    assert_eq!(told.take(), Vec::<String>::new(), "it answers nothing");
    assert!(Corruption::new(range, MfFlags::NONE, &()).to_notice().trail.is_empty());
}

#[test]
fn nobody_behind_a_corruption_is_told_nothing() {
    ().settle(at(0, 1).into(), Outcome::Handled);
    ().trail(at(0, 1).into(), &mut |_| panic!());
}

/// Handles short ranges.
fn short(what: &Corruption<'_>) -> Outcome {
    if what.range().total_len() < 8 { Outcome::Handled } else { Outcome::NotSupported }
}

fn answers(holder: &dyn Holder, ranges: &[Run]) -> Vec<Outcome> {
    let what: Vec<_> = ranges.iter().map(|r| Corruption::new(*r, MfFlags::NONE, &())).collect();
    let mut all = Vec::new();
    holder.corrupted_ranges(&what, &mut |outcome| all.push(outcome));
    all
}

#[test]
fn a_function_is_a_holder_and_is_asked_once_for_each_range() {
    let ranges = [at(0, 4).into(), at(4, 9).into(), every(20, 2, 4, 3)];
    let due = [Outcome::Handled, Outcome::NotSupported, Outcome::Handled];
    let holder = HolderFn(short);
    assert_eq!(answers(&holder, &ranges), due);
    assert_eq!(answers(&holder, &[]), []);
    assert_eq!(answers(&Arc::new(holder), &ranges), due);
    assert_eq!(format!("{:?}", HolderFn(short)), "HolderFn");
}

/// Answers several ranges of one event in its own way.
struct AtOnce;

impl Holder for AtOnce {
    fn corrupted_range(&self, _: &Corruption<'_>) -> Outcome {
        Outcome::Nothing
    }

    fn corrupted_ranges(&self, what: &[Corruption<'_>], answer: &mut dyn FnMut(Outcome)) {
        what.iter().for_each(|_| answer(Outcome::Handled));
    }
}

#[test]
fn a_shared_holder_is_the_holder() {
    let shared: Arc<dyn Holder> = Arc::new(AtOnce);
    let range = at(0, 4).into();
    assert_eq!(answers(&shared, &[range, range]), [Outcome::Handled, Outcome::Handled]);
    let what = Corruption::new(range, MfFlags::NONE, &());
    assert_eq!(Holder::corrupted_range(&shared, &what), Outcome::Nothing);
}

impl Fallback for Told {
    fn memory_failure(&self, page: Granule, flags: MfFlags) {
        self.add(format!("{page} {} {flags}", page.size()));
    }
}

/// Takes runs as they are.
#[derive(Debug, Default)]
struct Whole(Told);

impl Fallback for Whole {
    fn memory_failure(&self, page: Granule, flags: MfFlags) {
        self.0.memory_failure(page, flags);
    }

    fn memory_failure_run(&self, pages: Granules, _: MfFlags) {
        self.0.add(pages.to_string());
    }

    fn unmap(&self, pages: Granules) {
        self.0.add(format!("unmap {pages}"));
    }
}

#[test]
fn pages_that_nobody_handled_fail_one_by_one_in_order() {
    let frames = Run::new(Extent::new(Pfn::new(16), 2).unwrap(), 8, 2).unwrap();
    let pages = Granules::new(frames, PageSize::K16);
    let plain = Told::default();
    plain.memory_failure_run(pages, MfFlags::MUST_KILL);
    plain.unmap(pages);
    let due = [0x10, 0x11, 0x18, 0x19].map(|pfn| format!("pfn {pfn:#x} 16K must_kill"));
    assert_eq!(plain.take(), due);
    let shared = Arc::new(Whole::default());
    let one = Granule::containing(DevOffset::new(0x1fff), PageSize::K4);
    Fallback::memory_failure(&shared, one, MfFlags::NONE);
    Fallback::memory_failure_run(&shared, pages, MfFlags::NONE);
    Fallback::unmap(&shared, pages);
    let runs = "pfns [0x10..0x12) x2 every 0x8";
    assert_eq!(shared.0.take(), ["pfn 0x1 4K ".into(), runs.into(), format!("unmap {runs}")]);
}
