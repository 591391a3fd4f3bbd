//! Questions to a snapshot, one by one; see `twin` for all of them together.

use super::*;

/// A disk with a partition, a mirror of two halves of it on top, and a holder there.
fn mirrored() -> (Stack, [DeviceId; 3], Registration) {
    let stack = Stack::new();
    let disk = disk(&stack, 1 << 20);
    let part = on(&stack, "part", window(at(4096, 65536)), [disk]);
    let mirror = on(&stack, "mirror", Arc::new(Legs::mirror(4096, [0, 8192])), [part, part]);
    let registration = stack.register(mirror, at(0, 1024), handles()).unwrap();
    (stack, [disk, part, mirror], registration)
}

#[derive(Debug, PartialEq)]
struct Seen {
    at: String,
    device: DeviceId,
    asked: Run,
    here: Run,
    copy: bool,
    way: Vec<(DeviceId, Run)>,
}

fn seen(visit: &Visit<'_>) -> Seen {
    let mut way = Vec::new();
    visit.trail(visit.here(), &mut |hop| way.push((hop.device, hop.at)));
    assert_eq!(visit.link(), Link::new(visit.asked(), visit.here()).unwrap());
    let (at, device) = (format!("{:?}", visit.at()), visit.device());
    Seen { at, device, asked: visit.asked(), here: visit.here(), copy: visit.is_copy(), way }
}

fn up(stack: &Stack, device: DeviceId, bytes: Run) -> Vec<Seen> {
    let mut all = Vec::new();
    let visit = &mut |visit: &Visit<'_>| {
        all.push(seen(visit));
        ControlFlow::Continue(())
    };
    stack.snapshot().up(device, bytes, visit).unwrap();
    all
}

fn down(stack: &Stack, device: DeviceId, bytes: Extent) -> Vec<Seen> {
    let mut all = Vec::new();
    let visit = &mut |visit: &Visit<'_>| {
        all.push(seen(visit));
        ControlFlow::Continue(())
    };
    stack.snapshot().down(device, bytes, visit).unwrap();
    all
}

#[test]
fn up_visits_what_an_event_would_in_the_same_order() {
    let (stack, [disk, part, mirror], registration) = mirrored();
    let bad = at(12288, 4096); // the second half of the mirror
    let all = up(&stack, disk, bad.into());
    let on = |device, start| (device, Run::from(at(start, 4096)));
    let way = [on(disk, 12288), on(part, 8192), on(mirror, 0)];
    let stop = |at: &str, of: &[(DeviceId, Run)]| {
        let (device, here) = *of.last().unwrap();
        let (at, asked, way) = (at.to_owned(), bad.into(), of.to_vec());
        Seen { at, device, asked, here, copy: false, way }
    };
    let holder = Seen {
        at: format!("Registered({})", registration.id()),
        device: mirror,
        asked: at(12288, 1024).into(),
        here: at(0, 1024).into(),
        copy: false,
        way: way
            .iter()
            .map(|(d, run)| (*d, run.clip(at(run.first().start().get(), 1024)).next().unwrap()))
            .collect(),
    };
    let arrived = |n| stop("Arrived", &way[..n]);
    assert_eq!(all, [arrived(1), arrived(2), arrived(3), holder]);
}

#[test]
fn down_visits_copies_one_after_the_other() {
    let (stack, [disk, part, mirror], _r) = mirrored();
    let copies = down(&stack, mirror, at(100, 50));
    let places = [(4196, 100), (12388, 8292)];
    let expected = places.map(|(on_disk, on_part)| Seen {
        at: "Bottom".to_owned(),
        device: disk,
        asked: at(100, 50).into(),
        here: at(on_disk, 50).into(),
        copy: on_disk > 10_000,
        way: [(disk, on_disk), (part, on_part), (mirror, 100)]
            .map(|(device, start)| (device, at(start, 50).into()))
            .to_vec(),
    });
    assert_eq!(copies, expected);
}

#[test]
fn down_ends_at_holes_and_at_bytes_of_a_devices_own() {
    let stack = Stack::new();
    let disk = disk(&stack, 4096);
    let piece = || [(Leg::new(0), Link::at(at(0, 512), DevOffset::new(1024)).unwrap())];
    let rests = [Rest::Own, Rest::Hole(HoleKind::Zero), Rest::Hole(HoleKind::Error)];
    for (rest, name) in rests.into_iter().zip(["Bottom", "Hole(zero)", "Hole(error)"]) {
        let mapping = Arc::new(Piecewise::new(at(0, 4096), rest, piece()).unwrap());
        let above = on(&stack, name, mapping, [disk]);
        let all: Vec<_> = down(&stack, above, at(1000, 5000))
            .into_iter()
            .map(|seen| (seen.at, seen.device, seen.asked))
            .collect();
        let on =
            |at: &str, device, start, len| (at.to_owned(), device, Run::from(self::at(start, len)));
        let expected =
            [on(name, above, 1000, 24), on("Bottom", disk, 1024, 512), on(name, above, 1536, 2560)];
        assert_eq!(all, expected, "what lies past the end is not there");
    }
}

#[test]
fn a_strided_question_is_answered_in_its_own_elements() {
    let stack = Stack::new();
    let legs = ["a", "b"].map(|n| stack.add_device(DeviceSpec::base(n, at(0, 4096))).unwrap());
    let striped = on(&stack, "striped", Arc::new(Legs::striped(2, 256, 16, 0)), legs);
    let top = on(&stack, "top", window(at(0, 8192)), [striped]);
    let asked = run(128, 64, 256, 4); // inside each of four chunks of leg b
    let all = up(&stack, legs[1], asked);
    let here = run(384, 64, 512, 4);
    let expected = [(legs[1], asked), (striped, here), (top, here)];
    assert_eq!(all.iter().map(|s| (s.device, s.here)).collect::<Vec<_>>(), expected);
    assert!(all.iter().all(|seen| seen.asked == asked));
    assert_eq!(all[2].way, expected);
    // Elements past the end of the device are not there.
    let over = up(&stack, legs[1], run(3840, 64, 256, 4));
    assert_eq!(over[0].here, at(3840, 64).into());
}

/// A visitor that said anything but `Enough` was taken for a broken mapping, and visited again.
#[test]
fn a_visitor_that_stops_is_visited_no_more() {
    let (stack, [disk, _, mirror], _r) = mirrored();
    for stop in [Stop::Enough, Stop::Broken("by the visitor")] {
        for last in 1..4 {
            let mut visits = 0;
            let visit = &mut |_: &Visit<'_>| {
                visits += 1;
                if visits == last { ControlFlow::Break(stop) } else { ControlFlow::Continue(()) }
            };
            stack.snapshot().up(disk, at(0, 1 << 20).into(), visit).unwrap();
            assert_eq!(visits, last, "up");
        }
        let mut visits = 0;
        let visit = &mut |_: &Visit<'_>| {
            visits += 1;
            ControlFlow::Break(stop)
        };
        stack.snapshot().down(mirror, at(0, 4096), visit).unwrap();
        assert_eq!(visits, 1, "down");
    }
}

#[test]
fn the_trail_of_what_is_no_part_is_empty() {
    let (stack, [disk, _, mirror], _r) = mirrored();
    let visit = &mut |visit: &Visit<'_>| {
        for part in [Run::from(at(1 << 30, 1)), visit.here().span().hull(at(1 << 20, 1)).into()] {
            visit.trail(part, &mut |hop| panic!("{hop:?}"));
        }
        ControlFlow::Continue(())
    };
    stack.snapshot().up(disk, at(0, 8192).into(), visit).unwrap();
    stack.snapshot().down(mirror, at(0, 512), visit).unwrap();
}

#[test]
fn a_snapshot_is_of_its_moment() {
    let stack = Stack::new();
    let disk = disk(&stack, 4096);
    let before = stack.snapshot();
    let lv = on(&stack, "lv", window(at(0, 512)), [disk]);
    assert_eq!((before.device("lv"), before.name(lv)), (None, None));
    let now = stack.snapshot();
    assert_eq!(
        (now.device("lv"), now.name(lv), now.extent(lv)),
        (Some(lv), Some("lv"), Some(at(0, 512)))
    );
    assert_eq!(now.devices().collect::<Vec<_>>(), [disk, lv]);
    let (mapping, legs) = now.below(lv).unwrap();
    assert_eq!((mapping.leg_extent(Leg::new(0)), legs), (Some(at(0, 512)), &[disk][..]));
    assert!(now.below(disk).is_none());
    let _ = stack.remove_device(lv).unwrap();
    assert_eq!((now.name(lv), stack.snapshot().name(lv)), (Some("lv"), None));
    assert_eq!(format!("{now:?}"), r#"["disk", "lv"]"#);
}
