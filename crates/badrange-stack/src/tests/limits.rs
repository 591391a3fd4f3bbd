//! Every limit, on both of its sides.

use super::*;

#[test]
fn failures_reported_from_callbacks_end_at_the_nesting_limit() {
    let stack = Stack::with_limits(Limits { nesting: 3, ..Limits::DEFAULT });
    let disk = disk(&stack, 4096);
    let (inner, cut) = (stack.clone(), Arc::new(Mutex::new(0)));
    let seen = cut.clone();
    let holder = Fake::new(move |what: &Corruption<'_>| {
        let report = fail(&inner, disk, what.range().span());
        if report.cut_short() {
            assert_eq!(report.remainder_bytes(), 512);
            assert_eq!(report.states(), [(at(0, 512).into(), Outcome::NotSupported)]);
            *seen.lock().unwrap() += 1;
        }
        Outcome::Handled
    });
    let _r = stack.register(disk, at(0, 4096), holder.clone()).unwrap();
    let report = fail(&stack, disk, at(0, 512));
    assert_eq!(report.handled_bytes(), 512);
    assert_eq!((holder.told().len(), *cut.lock().unwrap()), (4, 1));
}

/// The bytes that holders had handled before used to count as handled, though nobody knows who else
/// has them.
#[test]
fn when_the_pieces_are_used_up_all_bytes_fall_back() {
    for (pieces, told) in [(3, 2), (4, 3), (5, 4), (6, 4)] {
        let stack = Stack::with_limits(Limits { pieces, ..Limits::DEFAULT });
        let (mem, pages) = memory(&stack, "mem", 16384);
        let holders: Vec<_> = (0..4).map(|_| says(Outcome::Handled)).collect();
        let _r: Vec<_> = (0..)
            .zip(&holders)
            .map(|(i, h)| stack.register(mem, at(i * 4096, 4096), h.clone()).unwrap())
            .collect();
        let report = fail(&stack, mem, at(0, 16384));
        // One arrival, and the calls.
        assert_eq!(report.counts().notified, told);
        assert_eq!(report.cut_short(), pieces < 5);
        let state = if pieces < 5 { Outcome::NotSupported } else { Outcome::Handled };
        assert_eq!(report.states(), [(at(0, 16384).into(), state)]);
        assert_eq!(pages.failed().len(), if pieces < 5 { 4 } else { 0 });
    }
}

/// The pages above that an event had reached before it was cut short fall back, too.
#[test]
fn pages_above_fall_back_when_an_event_is_cut_short() {
    let stack = Stack::with_limits(Limits { pieces: 4, ..Limits::DEFAULT });
    let disk = disk(&stack, 8192);
    let pages = Arc::new(Pages::default());
    let spec = DeviceSpec::on("mem", window(at(0, 4096)), [disk]);
    let mem = stack.add_device(spec.fallback(PageSize::K4, pages.clone())).unwrap();
    let _a = stack.register(mem, at(0, 4096), handles()).unwrap();
    let _b = stack.register(disk, at(4096, 1), handles()).unwrap();
    let _c = stack.register(disk, at(4097, 1), handles()).unwrap();
    assert_eq!(fail(&stack, disk, at(0, 4098)).counts().notified, 2);
    assert_eq!(pages.failed(), [0]);
    assert_eq!(fail(&stack, disk, at(0, 4097)).handled_bytes(), 4097);
    assert_eq!(pages.failed(), [0]);
}

/// `levels` devices of `len` bytes, each of which lies twice on the one below, above `below`.
fn doubling(stack: &Stack, below: DeviceId, from: u64, len: u64, levels: usize) -> DeviceId {
    let mut below = (below, from);
    for level in 0..levels {
        let twice = Arc::new(Legs::mirror(len, [below.1; 2]));
        below = (on(stack, &format!("level {level}"), twice, [below.0; 2]), 0);
    }
    below.0
}

fn routed(routes: u64) -> Stack {
    Stack::with_limits(Limits { depth: 100, routes, ..Limits::DEFAULT })
}

/// It took 2^64 steps: only pieces were counted, and with them gone every byte was unknown.
#[test]
fn bytes_with_too_many_routes_fall_back_and_the_others_do_not() {
    let stack = routed(Limits::DEFAULT.routes);
    let disk = disk(&stack, 1 << 20);
    let top = doubling(&stack, disk, 4096, 512, 64);
    let _top = stack.register(top, at(0, 512), handles()).unwrap();
    let all = says(Outcome::Handled);
    let _all = stack.register(disk, at(0, 1 << 20), all.clone()).unwrap();
    let report = fail(&stack, disk, at(0, 8192));
    assert!(report.counts().overrouted > 0 && !report.cut_short());
    assert!(report.counts().arrived <= 2 * Limits::DEFAULT.routes + 200);
    assert_eq!(
        report.states(),
        [
            (at(0, 4096).into(), Outcome::Handled),
            (at(4096, 512).into(), Outcome::NotSupported),
            (at(4608, 3584).into(), Outcome::Handled),
        ]
    );
    assert_eq!(all.told(), [at(0, 8192).into()]);
}

/// Arrivals of one byte below which all `levels` are complete: the disk and 2 + 4 + 8 and so on.
#[test]
fn just_below_the_limit_of_routes_everything_is_complete() {
    let levels = 6;
    let arrivals = (1 << (levels + 1)) - 1;
    let report = |routes| {
        let stack = routed(routes);
        let disk = disk(&stack, 1 << 20);
        let top = doubling(&stack, disk, 0, 512, levels);
        let holder = says(Outcome::Handled);
        let _r = stack.register(top, at(0, 512), holder.clone()).unwrap();
        (fail(&stack, disk, at(0, 512)), holder.told().len())
    };
    for routes in [arrivals, arrivals + 1] {
        let (report, told) = report(routes);
        assert_eq!((report.counts().overrouted, told), (0, 1 << levels));
        assert_eq!((report.handled_bytes(), report.counts().arrived), (512, arrivals));
    }
    // What is counted late may be followed up to twice; half of the limit is too low for sure.
    let (report, told) = report(arrivals / 2 - 1);
    assert!(report.counts().overrouted > 0 && told < 1 << levels);
    assert_eq!((report.handled_bytes(), report.remainder_bytes()), (0, 512));
}

/// Counts are per byte: a byte is not given up for the routes of its neighbours.
#[test]
fn many_bytes_with_few_routes_are_no_byte_with_many() {
    let stack = routed(8);
    let disk = disk(&stack, 1 << 20);
    let parts: Vec<_> = (0..100)
        .map(|i| on(&stack, &format!("part {i}"), window(at(i * 1000, 2000)), [disk]))
        .collect();
    let _r: Vec<_> =
        parts.iter().map(|p| stack.register(*p, at(0, 2000), handles()).unwrap()).collect();
    let report = fail(&stack, disk, at(0, 101_000));
    assert_eq!((report.handled_bytes(), report.counts().arrived), (101_000, 101));
    assert_eq!(report.counts().overrouted, 0);
}

/// Strided bytes are counted as well.
#[test]
fn strided_bytes_with_too_many_routes_fall_back() {
    let stack = routed(64);
    let legs = ["a", "b"].map(|n| stack.add_device(DeviceSpec::base(n, at(0, 4096))).unwrap());
    let striped = on(&stack, "striped", Arc::new(Legs::striped(2, 512, 8, 0)), legs);
    let top = doubling(&stack, striped, 0, 8192, 64);
    let _r = stack.register(top, at(0, 8192), handles()).unwrap();
    let report = fail(&stack, legs[0], at(0, 4096));
    assert!(report.counts().overrouted > 0 && report.counts().arrived < 400);
    assert_eq!((report.remainder_bytes(), report.cut_short()), (4096, false));
}

/// Pages that are reached but given up fall back: nobody knows who has their bytes.
#[test]
fn pages_behind_too_many_routes_fall_back_once() {
    let stack = routed(64);
    let disk = disk(&stack, 1 << 20);
    let top = doubling(&stack, disk, 0, 8192, 20);
    let pages = Arc::new(Pages::default());
    let spec = DeviceSpec::on("mem", window(at(0, 8192)), [top]);
    let mem = stack.add_device(spec.fallback(PageSize::K4, pages.clone())).unwrap();
    let _r = stack.register(mem, at(0, 8192), handles()).unwrap();
    let report = fail(&stack, disk, at(0, 8192));
    assert_eq!(report.remainder_bytes(), 8192);
    assert!(report.counts().overrouted > 0);
    let (failed, unmapped) = (pages.failed(), pages.unmapped_pages());
    assert!(failed.is_empty() || failed == [0, 1], "{failed:?}");
    assert_eq!(unmapped, [0, 1]);
}

/// Bytes that are given up where they arrive have arrived: the last resort there missed them.
#[test]
fn pages_at_which_bytes_are_given_up_fall_back() {
    let stack = routed(64);
    let disk = disk(&stack, 1 << 20);
    let _top = doubling(&stack, disk, 0, 4096, 20);
    let pages = Arc::new(Pages::default());
    let spec = DeviceSpec::on("mem", window(at(0, 8192)), [disk]);
    let mem = stack.add_device(spec.fallback(PageSize::K4, pages.clone())).unwrap();
    let holder = says(Outcome::Handled);
    let _r = stack.register(mem, at(0, 4096), holder.clone()).unwrap();
    let report = fail(&stack, disk, at(0, 4096));
    assert_eq!((report.remainder_bytes(), holder.told()), (4096, vec![]));
    assert_eq!((pages.failed(), pages.unmapped_pages()), (vec![0], vec![0]));
}

/// A walk up shows where it gave up, and goes on with the rest.
#[test]
fn a_walk_up_shows_bytes_with_too_many_routes() {
    let stack = routed(64);
    let disk = disk(&stack, 1 << 20);
    let _top = doubling(&stack, disk, 4096, 512, 64);
    let last = on(&stack, "last", window(at(8192, 512)), [disk]);
    let (mut unfollowed, mut reached_last) = (0, false);
    let visit = &mut |visit: &Visit<'_>| {
        if let At::Unfollowed(why) = visit.at() {
            assert_eq!((why, visit.asked()), (Unfollowed::Routes, at(4096, 512).into()));
            unfollowed += 1;
        }
        reached_last |= visit.device() == last;
        ControlFlow::Continue(())
    };
    stack.snapshot().up(disk, at(0, 1 << 20).into(), visit).unwrap();
    assert!(unfollowed > 0 && reached_last);
}

#[test]
fn a_walk_up_that_uses_up_its_pieces_says_so_at_the_end() {
    let stack = Stack::with_limits(Limits { pieces: 3, ..Limits::DEFAULT });
    let disk = disk(&stack, 4096);
    let _r: Vec<_> =
        (0..4).map(|i| stack.register(disk, at(i * 1024, 1024), handles()).unwrap()).collect();
    let mut visits = Vec::new();
    let visit = &mut |visit: &Visit<'_>| {
        visits.push((format!("{:?}", visit.at()), visit.here()));
        ControlFlow::Continue(())
    };
    // What lies past the end is not there, also not as something unknown.
    stack.snapshot().up(disk, at(0, 8192).into(), visit).unwrap();
    let unknown = "Unfollowed(the bytes fall into too many pieces)".to_owned();
    assert_eq!((visits.len(), visits.last()), (4, Some(&(unknown, at(0, 4096).into()))));
}

/// It went through 2^64 copies.
#[test]
fn a_walk_down_through_copies_of_copies_ends() {
    let limits = Limits { depth: 100, pieces: 1000, ..Limits::DEFAULT };
    let stack = Stack::with_limits(limits);
    let disk = disk(&stack, 1 << 20);
    let top = doubling(&stack, disk, 0, 512, 64);
    let (mut first, mut copies, mut unknown) = (0, 0, 0);
    let visit = &mut |visit: &Visit<'_>| {
        assert_eq!(visit.asked(), at(0, 512).into());
        match visit.at() {
            At::Bottom if visit.is_copy() => copies += 1,
            At::Bottom => first += 1,
            At::Unfollowed(Unfollowed::Pieces) => unknown += 1,
            other => panic!("{other:?}"),
        }
        ControlFlow::Continue(())
    };
    stack.snapshot().down(top, at(0, 512), visit).unwrap();
    assert_eq!((first, copies), (1, 1000));
    assert!((1..=64).contains(&unknown), "{unknown}");
}

/// Originals are not counted, only what comes again.
#[test]
fn a_walk_down_through_many_chunks_is_complete() {
    let stack = Stack::with_limits(Limits { pieces: 10, ..Limits::DEFAULT });
    let legs = ["a", "b"].map(|n| stack.add_device(DeviceSpec::base(n, at(0, 4096))).unwrap());
    let striped = on(&stack, "striped", Arc::new(Legs::striped(2, 16, 256, 0)), legs);
    let mut visits = 0;
    let visit = &mut |visit: &Visit<'_>| {
        assert!(matches!(visit.at(), At::Bottom));
        visits += 1;
        ControlFlow::Continue(())
    };
    stack.snapshot().down(striped, at(0, 8192), visit).unwrap();
    assert_eq!(visits, 512);
}
