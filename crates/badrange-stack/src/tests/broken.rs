//! Mappings that break their laws: their bytes are unknown, nobody else is concerned, nothing panics.

use super::*;

/// How a mapping of the first 4096 bytes of a disk is broken on the way up.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Up {
    /// A link about bytes that were not asked about.
    OutsideAsked,
    /// A link to bytes that its device does not have.
    OutsideAbove,
    /// It says so, after a good half.
    Says,
    /// It ends by itself.
    Ends,
    /// It goes on after the sink said to stop.
    Swallows,
    /// It swallows that, and that it was told of it.
    SwallowsAll,
}

const UPS: [Up; 6] =
    [Up::OutsideAsked, Up::OutsideAbove, Up::Says, Up::Ends, Up::Swallows, Up::SwallowsAll];

fn link(lower: u64, upper: u64, len: u64) -> Link {
    Link::at(at(lower, len), DevOffset::new(upper)).unwrap()
}

impl Mapping for Up {
    fn extent(&self) -> Extent {
        at(0, 4096)
    }
    fn legs(&self) -> u32 {
        1
    }
    fn leg_extent(&self, _: Leg) -> Option<Extent> {
        Some(at(0, 4096))
    }
    fn map(&self, upper: Extent, sink: Sink<'_, Mapped>) -> Flow {
        Window::new(at(0, 4096)).map(upper, sink)
    }
    fn rmap(&self, _: Leg, lower: Run, sink: Sink<'_, Link>) -> Flow {
        let half = lower.clip(at(0, 2048)).map(Link::same);
        match self {
            Self::OutsideAsked => sink(link(5000, 0, 512)),
            Self::OutsideAbove => sink(link(0, 4000, 512)),
            Self::Says => {
                half.into_iter().try_for_each(sink)?;
                ControlFlow::Break(Stop::Broken("torn"))
            }
            Self::Ends => ControlFlow::Break(Stop::Enough),
            Self::Swallows => {
                let _ = sink(link(5000, 0, 512));
                sink(link(2048, 2048, 2048))
            }
            Self::SwallowsAll => {
                let _ = sink(link(5000, 0, 512));
                let _ = sink(link(2048, 2048, 2048));
                ControlFlow::Continue(())
            }
        }
    }
}

/// A broken device and a good one on a disk with pages, each with a holder.
fn beside(broken: Up) -> (Stack, DeviceId, Vec<Registration>, Arc<Pages>) {
    let stack = Stack::new();
    let (disk, pages) = memory(&stack, "disk", 8192);
    let early = stack.register(disk, at(0, 8192), handles()).unwrap();
    let bad = on(&stack, "bad", Arc::new(broken), [disk]);
    let good = on(&stack, "good", window(at(0, 8192)), [disk]);
    let on_bad = stack.register(bad, at(2048, 2048), handles()).unwrap();
    let on_good = stack.register(good, at(0, 8192), handles()).unwrap();
    let late = stack.register(disk, at(1, 8191), handles()).unwrap();
    (stack, disk, vec![early, on_bad, on_good, late], pages)
}

#[test]
fn bytes_of_a_broken_mapping_are_not_supported_and_nobody_else_is_concerned() {
    for broken in UPS {
        let (stack, disk, kept, pages) = beside(broken);
        let (steps, report) = trace(&stack, disk, at(0, 8192));
        assert_eq!(
            report.states(),
            [
                (at(0, 4096).into(), Outcome::NotSupported),
                (at(4096, 4096).into(), Outcome::Handled)
            ],
            "{broken:?}"
        );
        let counts = report.counts();
        assert_eq!((counts.broken, counts.panicked, counts.overrouted), (1, 0, 0), "{broken:?}");
        assert!(!report.cut_short(), "{broken:?}");
        let told = |r: &Registration| {
            steps.iter().any(|s| matches!(s, Step::Notified { holder, .. } if *holder == r.id()))
        };
        let told: Vec<bool> = kept.iter().map(told).collect();
        assert_eq!(told, [true, false, true, true], "{broken:?}");
        assert_eq!(pages.failed(), [0], "{broken:?}");
    }
}

#[test]
fn a_walk_up_shows_what_a_broken_mapping_did_not_carry() {
    for broken in UPS {
        let (stack, disk, _kept, _) = beside(broken);
        let mut unfollowed = Vec::new();
        let visit = &mut |visit: &Visit<'_>| {
            if let At::Unfollowed(Unfollowed::Broken(_)) = visit.at() {
                unfollowed.push((visit.device(), visit.asked(), visit.here()));
            }
            ControlFlow::Continue(())
        };
        stack.snapshot().up(disk, at(512, 8192).into(), visit).unwrap();
        let bytes = Run::from(at(512, 3584));
        assert_eq!(unfollowed, [(disk, bytes, bytes)], "{broken:?}");
    }
}

/// Gives back as one range what it was asked about as several.
#[derive(Debug)]
struct Joins;

impl Mapping for Joins {
    fn extent(&self) -> Extent {
        at(0, 40)
    }
    fn legs(&self) -> u32 {
        1
    }
    fn leg_extent(&self, _: Leg) -> Option<Extent> {
        Some(at(0, 40))
    }
    fn map(&self, upper: Extent, sink: Sink<'_, Mapped>) -> Flow {
        Window::new(at(0, 40)).map(upper, sink)
    }
    fn rmap(&self, _: Leg, lower: Run, sink: Sink<'_, Link>) -> Flow {
        sink(Link::same(lower.span()))
    }
}

/// Its bytes are one range there, and several below: the way back was not to be found.
#[test]
fn a_mapping_that_joins_what_was_asked_in_elements_is_broken() {
    let stack = Stack::new();
    let legs = ["a", "b"].map(|n| stack.add_device(DeviceSpec::base(n, at(0, 40))).unwrap());
    let striped = on(&stack, "striped", Arc::new(Legs::striped(2, 10, 4, 0)), legs);
    let odd = Legs::of([(run(10, 10, 20, 4), run(0, 10, 10, 4))], at(0, 40));
    let spec = DeviceSpec::on("odd", Arc::new(odd), [striped]);
    let pages: Arc<Pages> = Arc::default();
    let odd = stack.add_device(spec.fallback(PageSize::K4, pages.clone())).unwrap();
    let joins = on(&stack, "joins", Arc::new(Joins), [odd]);
    let _r = stack.register(joins, at(0, 40), handles()).unwrap();
    let report = fail(&stack, legs[1], at(0, 40));
    assert_eq!((report.counts().broken, report.remainder_bytes()), (1, 40));
    assert_eq!(pages.failed(), [0]);
    // Asked as one range, it is one.
    assert_eq!(fail(&stack, odd, at(0, 40)).handled_bytes(), 40);
}

/// How a mapping of 4096 bytes of a disk is broken on the way down.
#[derive(Debug, Clone, Copy)]
enum Down {
    OutsideAsked,
    NoLeg,
    Beyond,
    LeavesOutTheFirst,
    LeavesOutTheMiddle,
    LeavesOutTheLast,
    LeavesOutAll,
    Says,
    Ends,
    Swallows,
}

const DOWNS: [Down; 10] = [
    Down::OutsideAsked,
    Down::NoLeg,
    Down::Beyond,
    Down::LeavesOutTheFirst,
    Down::LeavesOutTheMiddle,
    Down::LeavesOutTheLast,
    Down::LeavesOutAll,
    Down::Says,
    Down::Ends,
    Down::Swallows,
];

impl Mapping for Down {
    fn extent(&self) -> Extent {
        at(0, 4096)
    }
    fn legs(&self) -> u32 {
        1
    }
    fn leg_extent(&self, _: Leg) -> Option<Extent> {
        Some(at(0, 4096))
    }
    fn map(&self, _: Extent, sink: Sink<'_, Mapped>) -> Flow {
        let to = |leg, link| Mapped::To { leg: Leg::new(leg), link };
        let mut part = |start, len| sink(to(0, link(start, start, len)));
        match self {
            Self::OutsideAsked => sink(Mapped::Own(at(4000, 512))),
            Self::NoLeg => sink(to(1, link(0, 0, 4096))),
            Self::Beyond => sink(to(0, link(8000, 0, 4096))),
            Self::LeavesOutTheFirst => part(100, 3996),
            Self::LeavesOutTheMiddle => {
                part(0, 100)?;
                part(200, 3896)
            }
            Self::LeavesOutTheLast => part(0, 4095),
            Self::LeavesOutAll => ControlFlow::Continue(()),
            Self::Says => {
                part(0, 4096)?;
                ControlFlow::Break(Stop::Broken("torn"))
            }
            Self::Ends => ControlFlow::Break(Stop::Enough),
            Self::Swallows => {
                let _ = sink(Mapped::Own(at(4000, 512)));
                let _ = sink(to(0, link(0, 0, 4096)));
                ControlFlow::Continue(())
            }
        }
    }
    fn rmap(&self, _: Leg, lower: Run, sink: Sink<'_, Link>) -> Flow {
        Link::same(at(0, 4096)).rmap(lower, sink)
    }
}

#[test]
fn a_walk_down_says_that_it_does_not_know_and_goes_on_beside() {
    for broken in DOWNS {
        let stack = Stack::new();
        let disk = disk(&stack, 8192);
        let bad = on(&stack, "bad", Arc::new(broken), [disk]);
        let links = [(at(0, 4096), at(4096, 4096)), (at(0, 4096), at(0, 4096))];
        let links = links.map(|(lower, upper)| (lower.into(), upper.into()));
        let both = on(&stack, "both", Legs::mapping(links, at(0, 8192)), [disk, bad]);
        let (mut unknown, mut known) = (Vec::new(), Vec::new());
        let visit = &mut |visit: &Visit<'_>| {
            match visit.at() {
                At::Unfollowed(Unfollowed::Broken(_)) => {
                    unknown.push((visit.device(), visit.here()));
                }
                At::Bottom => known.push((visit.device(), visit.asked())),
                other => panic!("{broken:?}: {other:?}"),
            }
            ControlFlow::Continue(())
        };
        stack.snapshot().down(both, at(0, 8192), visit).unwrap();
        assert_eq!(unknown, [(bad, at(0, 4096).into())], "{broken:?}");
        assert_eq!(known.last(), Some(&(disk, at(4096, 4096).into())), "{broken:?}");
        assert!(known.iter().all(|(device, _)| *device == disk), "{broken:?}");
    }
}

/// Backings of other bytes than were asked about, sources of another shape, on no leg, or beyond
/// their device.
#[derive(Debug, Clone, Copy)]
enum Beside {
    OtherBytes,
    OtherShape,
    NoLeg,
    Beyond,
    Ends,
}

impl Mapping for Beside {
    fn extent(&self) -> Extent {
        at(0, 100)
    }
    fn legs(&self) -> u32 {
        2
    }
    fn leg_extent(&self, _: Leg) -> Option<Extent> {
        Some(at(0, 100))
    }
    fn map(&self, _: Extent, _: Sink<'_, Mapped>) -> Flow {
        ControlFlow::Continue(())
    }
    fn rmap(&self, _: Leg, lower: Run, sink: Sink<'_, Link>) -> Flow {
        Link::same(at(0, 100)).rmap(lower, sink)
    }
    fn redundancy(&self, leg: Leg, lower: Run, sink: &mut dyn FnMut(Backing<'_>) -> Flow) -> Flow {
        let other = Leg::new(1 - leg.index());
        let (lower, source) = match self {
            Self::OtherBytes => (at(150, 10).into(), (other, at(0, 10).into())),
            Self::OtherShape => (lower, (other, at(0, 99).into())),
            Self::NoLeg => (lower, (Leg::new(7), lower)),
            Self::Beyond => (lower, (other, at(1 << 20, lower.element_len()).into())),
            Self::Ends => return ControlFlow::Break(Stop::Enough),
        };
        sink(Backing { lower, kind: BackingKind::Copy, needed: 1, sources: &[source] })
    }
}

#[test]
fn redundancy_that_breaks_its_laws_rebuilds_nothing() {
    for broken in
        [Beside::OtherBytes, Beside::OtherShape, Beside::NoLeg, Beside::Beyond, Beside::Ends]
    {
        let stack = Stack::new();
        let legs = ["a", "b"].map(|n| stack.add_device(DeviceSpec::base(n, at(0, 200))).unwrap());
        let above = on(&stack, "above", Arc::new(broken), legs);
        let snapshot = stack.snapshot();
        let bad = Run::from(at(20, 30));
        let damage = snapshot.damage([(legs[0], bad)]).unwrap();
        let way = [legs[0], above].map(|device| Hop { device, at: bad });
        let mut found = Vec::new();
        let visit = &mut |r: Rebuilt<'_>| found.push((r.part, r.from.is_some()));
        snapshot.redundancy(&way, &damage, visit).unwrap();
        assert_eq!(found, [(bad, false)], "{broken:?}");
    }
}
