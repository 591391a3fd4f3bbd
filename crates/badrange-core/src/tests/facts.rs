//! Single facts, worked out by hand: numbers of the kernel, units, and how things are shown.

use std::{
    string::{String, ToString},
    sync::Mutex,
};

use super::*;

fn bytes(start: u64, len: u64) -> Extent<PhysAddr> {
    Extent::new(PhysAddr::new(start), len).unwrap()
}

#[test]
fn flags_have_the_bits_and_names_of_the_kernel() {
    let all = [
        (MfFlags::COUNT_INCREASED, 1, "count_increased"),
        (MfFlags::ACTION_REQUIRED, 2, "action_required"),
        (MfFlags::MUST_KILL, 4, "must_kill"),
        (MfFlags::SOFT_OFFLINE, 8, "soft_offline"),
        (MfFlags::UNPOISON, 16, "unpoison"),
        (MfFlags::SW_SIMULATED, 32, "sw_simulated"),
        (MfFlags::NO_RETRY, 64, "no_retry"),
        (MfFlags::MEM_PRE_REMOVE, 128, "mem_pre_remove"),
    ];
    for (flag, bits, name) in all {
        assert_eq!((flag.bits(), flag.to_string().as_str()), (bits, name));
        assert_eq!(MfFlags::from_name(name), Some(flag));
    }
    assert_eq!(MfFlags::from_name("must kill"), None);
    assert_eq!(MfFlags::NONE.to_string(), "");
}

#[test]
fn a_set_of_flags_has_all_that_were_put_in_and_no_other() {
    let two = MfFlags::ACTION_REQUIRED.with(MfFlags::MUST_KILL);
    assert_eq!(two.bits(), 6);
    assert_eq!(two.with(MfFlags::MUST_KILL), two);
    assert!(two.contains(MfFlags::MUST_KILL) && two.contains(two) && two.contains(MfFlags::NONE));
    assert!(!two.contains(MfFlags::UNPOISON));
    assert!(!MfFlags::MUST_KILL.contains(two), "one of two is not both");
    let three = two.with(MfFlags::MEM_PRE_REMOVE);
    assert_eq!(three.to_string(), "action_required must_kill mem_pre_remove");
}

#[test]
fn ids_and_legs_are_their_numbers() {
    let id = DeviceId::new(3, 7);
    assert_eq!((id.index(), id.generation(), &*id.to_string()), (3, 7, "device 3.7"));
    assert_eq!((Leg::new(5).index(), &*Leg::new(5).to_string()), (5, "leg 5"));
    let kinds = [HoleKind::Error, HoleKind::Zero, HoleKind::Unmapped].map(|kind| kind.to_string());
    assert_eq!(kinds, ["error", "zero", "unmapped"]);
}

#[test]
fn errors_and_outcomes_say_what_they_are() {
    assert_eq!((Errno::EIO.to_string(), Errno::EBUSY.to_string()), ("EIO".into(), "EBUSY".into()));
    assert_eq!(Errno::new(200).to_string(), "errno 200");
    let failed = Outcome::Failed(Errno::EUCLEAN);
    let said = [Outcome::Nothing, Outcome::Handled, failed, Outcome::NotSupported];
    let said = said.map(|outcome| outcome.to_string());
    assert_eq!(said, ["nothing there", "handled", "failed (EUCLEAN)", "not supported"]);
    let empty = Extent::new(Sector::new(8), 0).unwrap_err();
    assert_eq!(empty.to_string(), "invalid range of sectors at 0x8+0x0: length is zero");
    let odd = BlockSize::new(1000).unwrap_err();
    assert!(odd.to_string().ends_with("not a multiple of the unit"), "{odd}");
}

#[test]
fn extents_and_runs_are_shown_half_open() {
    let extent = at(0x40, 0x10);
    assert_eq!(std::format!("{extent} {extent:?}"), "device bytes [0x40..0x50) dev:0x40..0x50");
    let run = Run::new(extent, 0x100, 3).unwrap();
    assert_eq!(run.to_string(), "device bytes [0x40..0x50) x3 every 0x100");
    assert_eq!(std::format!("{run:?}"), "dev:0x40..0x50 x3 every 0x100");
    assert_eq!(Run::from(extent).to_string(), extent.to_string());
}

#[test]
fn extents_are_in_order_of_start_and_then_of_length() {
    assert!(at(4, 9) < at(5, 1) && at(5, 1) < at(5, 2));
    assert_eq!(at(4, 9).partial_cmp(&at(4, 9)), Some(core::cmp::Ordering::Equal));
}

#[test]
fn a_hole_leaves_what_is_before_and_what_is_after_it() {
    let whole = at(10, 10);
    assert_eq!(whole.without(at(13, 2)), (Some(at(10, 3)), Some(at(15, 5))));
    assert_eq!(whole.without(at(5, 10)), (None, Some(at(15, 5))));
    assert_eq!(whole.without(at(15, 10)), (Some(at(10, 5)), None));
    assert_eq!(whole.without(at(10, 10)), (None, None));
}

#[test]
fn positions_move_and_stop_at_the_ends_of_the_scale() {
    let here = DevOffset::new(4096);
    assert_eq!(here.checked_sub(4096), Some(DevOffset::new(0)));
    assert_eq!(here.checked_sub(4097), None);
    assert_eq!(here.checked_add(u64::MAX - 4096), Some(DevOffset::new(u64::MAX)));
    assert_eq!(here.checked_add(u64::MAX), None);
}

#[test]
fn every_unit_has_its_size() {
    assert_eq!(Pfn::containing(PhysAddr::new(0x7fff)), Pfn::new(7));
    assert_eq!(Pfn::new(7).phys(), Some(PhysAddr::new(0x7000)));
    assert_eq!(Pfn::new(1 << 52).phys(), None);
    assert_eq!(Sector::containing(DevOffset::new(1535)), Sector::new(2));
    assert_eq!(Sector::new(2).offset(), Some(DevOffset::new(1024)));
    assert_eq!(Sector::new(1 << 55).offset(), None);
    let block = BlockSize::new(2048).unwrap();
    assert_eq!(block.get(), 2048);
    assert_eq!(FsBlock::containing(DevOffset::new(6143), block), FsBlock::new(2));
    assert_eq!(FsBlock::new(2).offset(block), Some(DevOffset::new(4096)));
    assert_eq!(FsBlock::new(1 << 53).offset(block), None);
    assert_eq!(at(511, 1026).whole_sectors(), Some(Extent::new(Sector::new(1), 2).unwrap()));
    assert_eq!(at(511, 1024).whole_sectors(), Some(Extent::new(Sector::new(1), 1).unwrap()));
    assert_eq!(at(1, 1022).whole_sectors(), None);
}

#[test]
fn pages_of_a_strided_run_are_those_that_its_bytes_touch() {
    // 512 bytes in every 6 KiB, from 0 on: at 0, 6144, 12288 and 18432.
    let touched = |first: Extent<PhysAddr>, stride: u64, count: u64| {
        let mut pages = BTreeSet::new();
        Run::new(first, stride, count).unwrap().containing_pages(&mut |run| {
            for pfns in run.elements() {
                pages.extend(pfns.start().get()..pfns.end().get());
            }
        });
        pages.into_iter().collect::<Vec<_>>()
    };
    assert_eq!(touched(bytes(0, 512), 6144, 4), [0, 1, 3, 4]);
    // One byte more, and the first of every pair reaches no further: 4095 + 2 crosses a page.
    assert_eq!(touched(bytes(4095, 2), 8192, 2), [0, 1, 2, 3]);
    assert_eq!(touched(bytes(4096, 4096), 4096, 3), [1, 2, 3]);
}

#[test]
fn runs_of_different_shape_have_no_image() {
    let run = |start, len, count| Run::new(at(start, len), 16, count).unwrap();
    let (here, part) = (run(0, 8, 4), Run::from(at(18, 4)));
    assert_eq!(here.image(part, &run(100, 8, 4)), Some(Run::from(at(118, 4))));
    assert_eq!(here.image(part, &run(100, 8, 3)), None, "fewer elements");
    assert_eq!(here.image(part, &run(100, 9, 4)), None, "longer elements");
}

#[test]
fn a_piece_moves_to_another_space_with_its_origin() {
    let piece = Piece::report(at(4096, 512));
    let moved: Piece<PhysAddr> =
        piece.rebase(DevOffset::new(4096), PhysAddr::new(1 << 20)).unwrap();
    assert_eq!((moved.here(), moved.origin()), (Run::from(bytes(1 << 20, 512)), piece.origin()));
    assert!(piece.rebase(DevOffset::new(4097), PhysAddr::new(0)).is_none());
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
    fn settle(&self, origin: Run<ReportOffset>, outcome: Outcome) {
        self.add(std::format!("{origin} {outcome}"));
    }

    fn trail(&self, origin: Run<ReportOffset>, sink: &mut dyn FnMut(Hop)) {
        let at = Run::from(at(origin.first().start().get(), 1));
        sink(Hop { device: DeviceId::new(9, 1), at });
    }
}

#[test]
fn a_corruption_passes_on_what_is_settled_and_how_it_came() {
    let told = Told::default();
    let what = Corruption::new(Piece::report(at(4096, 512)), MfFlags::NO_RETRY, &told);
    assert_eq!(what.flags(), MfFlags::NO_RETRY);
    assert_eq!(what.settle(at(4100, 8).into(), Outcome::Handled), 8);
    // What reaches beyond the range is cut; what lies outside it is ignored.
    assert_eq!(what.settle(at(4600, 100).into(), Outcome::NotSupported), 8);
    assert_eq!(what.settle(at(4608, 1).into(), Outcome::Handled), 0);
    assert_eq!(
        told.take(),
        ["report bytes [0x4..0xc) handled", "report bytes [0x1f8..0x200) not supported"]
    );
    let mut way = Vec::new();
    what.trail(at(4099, 1).into(), &mut |hop| way.push((hop.device.index(), hop.at.first())));
    what.trail(at(4095, 1).into(), &mut |_| panic!("outside"));
    assert_eq!(way, [(9, at(3, 1))]);
    let shown = std::format!("{what:?}");
    assert!(shown.contains("dev:0x1000..0x1200") && shown.contains("MfFlags(64)"), "{shown}");
}

#[test]
fn nobody_behind_a_corruption_is_told_nothing() {
    ().settle(Run::from(Extent::new(ReportOffset::new(0), 1).unwrap()), Outcome::Handled);
    ().trail(Run::from(Extent::new(ReportOffset::new(0), 1).unwrap()), &mut |_| panic!());
}

impl Fallback for Told {
    fn memory_failure(&self, pfn: Pfn, flags: MfFlags) {
        self.add(std::format!("{pfn} {flags}"));
    }
}

/// Takes runs as they are.
#[derive(Debug, Default)]
struct Whole(Told);

impl Fallback for Whole {
    fn memory_failure(&self, pfn: Pfn, flags: MfFlags) {
        self.0.memory_failure(pfn, flags);
    }

    fn memory_failure_run(&self, pages: Run<Pfn>, _: MfFlags) {
        self.0.add(pages.to_string());
    }

    fn unmap(&self, pages: Run<Pfn>) {
        self.0.add(std::format!("unmap {pages}"));
    }
}

#[test]
fn pages_that_nobody_handled_fail_one_by_one_in_order() {
    let pages = Run::new(Extent::new(Pfn::new(16), 2).unwrap(), 8, 2).unwrap();
    let plain = Told::default();
    plain.memory_failure_run(pages, MfFlags::MUST_KILL);
    plain.unmap(pages);
    assert_eq!(
        plain.take(),
        ["0x10 must_kill", "0x11 must_kill", "0x18 must_kill", "0x19 must_kill"]
    );
    let shared = alloc::sync::Arc::new(Whole::default());
    Fallback::memory_failure(&shared, Pfn::new(1), MfFlags::NONE);
    Fallback::memory_failure_run(&shared, pages, MfFlags::NONE);
    Fallback::unmap(&shared, pages);
    let told = shared.0.take();
    assert_eq!(
        told,
        ["0x1 ", "pfns [0x10..0x12) x2 every 0x8", "unmap pfns [0x10..0x12) x2 every 0x8",]
    );
}

/// One leg, whose bytes `[8, 12)` are the device's `[0, 4)`.
#[derive(Debug)]
struct Window;

impl Mapping for Window {
    fn legs(&self) -> u32 {
        3
    }

    fn extent(&self) -> Extent<DevOffset> {
        at(0, 4)
    }

    fn leg_extent(&self, leg: Leg) -> Option<Extent<DevOffset>> {
        (leg.index() == 0).then(|| at(8, 4))
    }

    fn map(
        &self,
        upper: Extent<DevOffset>,
        sink: &mut dyn FnMut(Mapped) -> core::ops::ControlFlow<()>,
    ) -> core::ops::ControlFlow<()> {
        let lower = upper.rebase(DevOffset::new(0), DevOffset::new(8));
        lower.map_or(core::ops::ControlFlow::Break(()), |lower| {
            sink(Mapped::To { leg: Leg::new(0), lower, upper })
        })
    }

    fn rmap(
        &self,
        _: Leg,
        lower: Extent<DevOffset>,
        sink: &mut dyn FnMut(Rmapped) -> core::ops::ControlFlow<()>,
    ) -> core::ops::ControlFlow<()> {
        match lower.rebase(DevOffset::new(8), DevOffset::new(0)) {
            Some(upper) => sink(Rmapped { lower, upper }),
            None => core::ops::ControlFlow::Continue(()),
        }
    }
}

#[test]
fn a_shared_mapping_is_the_mapping() {
    let shared: alloc::sync::Arc<dyn Mapping> = alloc::sync::Arc::new(Window);
    assert_eq!((shared.legs(), shared.extent()), (3, at(0, 4)));
    let shared = alloc::sync::Arc::new(shared);
    assert_eq!(Mapping::legs(&shared), 3);
    assert_eq!(Mapping::leg_extent(&shared, Leg::new(0)), Some(at(8, 4)));
    assert_eq!(Mapping::leg_extent(&shared, Leg::new(1)), None);
    let mut above = Vec::new();
    let _ = Mapping::rmap(&shared, Leg::new(0), at(9, 2), &mut |part| {
        above.push(part.upper);
        core::ops::ControlFlow::Continue(())
    });
    assert_eq!(above, [at(1, 2)]);
}
