//! Who is notified of what, and what the answers come to.

use super::*;

#[test]
fn a_holder_is_notified_of_its_own_bytes_and_no_neighbour() {
    let stack = Stack::new();
    let disk = disk(&stack, 1 << 20);
    let holder = says(Outcome::Handled);
    let _r = stack.register(disk, at(4096, 4096), holder.clone()).unwrap();

    let _ = fail(&stack, disk, at(0, 4096)); // ends where the holder begins
    let _ = fail(&stack, disk, at(8192, 512)); // begins where it ends
    assert_eq!(holder.told(), []);

    let report = fail(&stack, disk, at(4095, 2));
    assert_eq!(holder.told(), [at(4096, 1).into()]);
    let states = [(at(4095, 1).into(), Outcome::Nothing), (at(4096, 1).into(), Outcome::Handled)];
    assert_eq!(report.states(), states);
}

#[test]
fn every_holder_of_a_byte_is_notified_in_order_of_start_then_age() {
    let stack = Stack::new();
    let disk = disk(&stack, 1 << 20);
    let order = Arc::new(Mutex::new(Vec::new()));
    let named = |name: &'static str| {
        let order = order.clone();
        Fake::new(move |_: &Corruption<'_>| {
            order.lock().unwrap().push(name);
            Outcome::Handled
        })
    };
    let _b = stack.register(disk, at(4096, 4096), named("b")).unwrap();
    let _c = stack.register(disk, at(4096, 512), named("c")).unwrap();
    let _a = stack.register(disk, at(0, 1 << 20), named("a")).unwrap();
    let report = fail(&stack, disk, at(4096, 512));
    assert_eq!(*order.lock().unwrap(), ["a", "b", "c"]);
    assert_eq!((report.counts().notified, report.counts().arrived), (3, 1));
}

#[test]
fn answers_of_several_holders_join_per_byte() {
    let stack = Stack::new();
    let disk = disk(&stack, 4096);
    let _h = stack.register(disk, at(0, 3000), says(Outcome::Handled)).unwrap();
    let _f = stack.register(disk, at(1000, 1000), says(Outcome::Failed(Errno::EUCLEAN))).unwrap();
    let _n = stack.register(disk, at(1500, 1000), says(Outcome::NotSupported)).unwrap();
    let _z = stack.register(disk, at(0, 4096), says(Outcome::Nothing)).unwrap();
    let report = fail(&stack, disk, at(0, 4096));
    assert_eq!(
        report.states(),
        [
            (at(0, 1000).into(), Outcome::Handled),
            (at(1000, 500).into(), Outcome::Failed(Errno::EUCLEAN)),
            (at(1500, 1000).into(), Outcome::NotSupported),
            (at(2500, 500).into(), Outcome::Handled),
            (at(3000, 1096).into(), Outcome::Nothing),
        ]
    );
    let rest: Vec<_> = report.remainder().collect();
    assert_eq!(rest, [at(1500, 1000).into(), at(3000, 1096).into()]);
}

#[test]
fn what_a_holder_settles_is_exact_and_its_answer_covers_the_rest() {
    let stack = Stack::new();
    let disk = disk(&stack, 1 << 20);
    let holder = Fake::new(|what: &Corruption<'_>| {
        assert_eq!(what.settle(at(100, 50).into(), Outcome::Failed(Errno::EIO)), 50);
        assert_eq!(what.settle(at(140, 20).into(), Outcome::Handled), 20); // 10 of them twice
        assert_eq!(what.settle(at(900, 1000).into(), Outcome::NotSupported), 100); // clipped
        assert_eq!(what.settle(at(5000, 10).into(), Outcome::Handled), 0); // not its range
        Outcome::Handled
    });
    let _r = stack.register(disk, at(0, 1000), holder).unwrap();
    let report = fail(&stack, disk, at(0, 2000));
    assert_eq!(
        report.states(),
        [
            (at(0, 100).into(), Outcome::Handled),
            (at(100, 50).into(), Outcome::Failed(Errno::EIO)),
            (at(150, 750).into(), Outcome::Handled),
            (at(900, 100).into(), Outcome::NotSupported),
            (at(1000, 1000).into(), Outcome::Nothing),
        ]
    );
}

#[test]
fn a_dead_leg_of_a_stripe_is_a_handful_of_calls() {
    let stack = Stack::new();
    let (chunk, legs, chunks) = (65536, 8, 1 << 24); // 1 TiB a leg
    let member = |i| DeviceSpec::base(format!("leg{i}"), at(0, chunk * chunks));
    let members: Vec<_> = (0..legs).map(|i| stack.add_device(member(i)).unwrap()).collect();
    let striped = Arc::new(Legs::striped(legs, chunk, chunks, 0));
    let size = striped.extent();
    let striped = on(&stack, "striped", striped, members.clone());
    let holder = says(Outcome::Handled);
    let _r = stack.register(striped, size, holder.clone()).unwrap();
    let bad = at(4096, chunk * chunks - 4096);
    let report = fail(&stack, members[3], bad);
    assert_eq!(holder.told().len(), 2, "a head and a body");
    assert_eq!(report.states(), [(bad.into(), Outcome::Handled)]);
}

#[test]
fn one_device_under_two_tables_notifies_both() {
    let stack = Stack::new();
    let disk = disk(&stack, 1 << 20);
    let a = on(&stack, "a", window(at(0, 8192)), [disk]);
    let b = on(&stack, "b", window(at(4096, 8192)), [disk]);
    let (on_a, on_b) = (says(Outcome::Handled), says(Outcome::NotSupported));
    let _a = stack.register(a, at(0, 8192), on_a.clone()).unwrap();
    let _b = stack.register(b, at(0, 8192), on_b.clone()).unwrap();
    let report = fail(&stack, disk, at(0, 8192));
    assert_eq!(on_a.told(), [at(0, 8192).into()]);
    assert_eq!(on_b.told(), [at(0, 4096).into()]);
    let handled = (at(0, 4096).into(), Outcome::Handled);
    assert_eq!(report.states(), [handled, (at(4096, 4096).into(), Outcome::NotSupported)]);
}

#[test]
fn the_trail_names_every_device_and_where_the_bytes_are_on_it() {
    let stack = Stack::new();
    let disk = disk(&stack, 1 << 20);
    let p1 = on(&stack, "p1", window(at(8192, 65536)), [disk]);
    let lv = on(&stack, "lv", window(at(4096, 8192)), [p1]);
    let hops = Arc::new(Mutex::new(Vec::new()));
    let seen = hops.clone();
    let holder = Fake::new(move |what: &Corruption<'_>| {
        what.trail(at(512, 512).into(), &mut |hop| seen.lock().unwrap().push((hop.device, hop.at)));
        Outcome::Handled
    });
    let _r = stack.register(lv, at(0, 8192), holder).unwrap();
    let _ = fail(&stack, disk, at(12288, 4096));
    assert_eq!(
        *hops.lock().unwrap(),
        [(disk, at(12800, 512).into()), (p1, at(4608, 512).into()), (lv, at(512, 512).into())]
    );
}

#[test]
fn two_runs_of_one_event_leave_equal_traces() {
    let stack = Stack::new();
    let disk = disk(&stack, 1 << 20);
    let a = on(&stack, "a", window(at(0, 8192)), [disk]);
    let _a = stack.register(a, at(0, 8192), says(Outcome::Handled)).unwrap();
    let _d = stack.register(disk, at(512, 8192), says(Outcome::Failed(Errno::EIO))).unwrap();
    let run = || {
        let mut trace = Trace::new();
        let report = stack.fail_observed(disk, at(0, 4096), NONE, &mut trace).unwrap();
        (trace, report.states().to_vec(), report.counts())
    };
    let (first, second) = (run(), run());
    assert_eq!(first, second);
    assert_eq!(
        first.0.to_string(),
        "disk: device bytes [0x0..0x1000)\n  a: device bytes [0x0..0x1000)\n    \
         holder 2: device bytes [0x0..0x1000): handled\n  \
         holder 3: device bytes [0x200..0x1000): failed (EIO)\n"
    );
}

#[test]
fn what_lies_past_the_end_is_outside_and_the_rest_is_dispatched() {
    let stack = Stack::new();
    let disk = disk(&stack, 4096);
    let holder = says(Outcome::Handled);
    let _r = stack.register(disk, at(0, 4096), holder.clone()).unwrap();
    let report = fail(&stack, disk, at(4000, 200));
    assert_eq!(report.states(), [(at(4000, 96).into(), Outcome::Handled)]);
    assert_eq!((report.outside(), report.outside_bytes()), (Some(at(4096, 104)), 104));
    assert_eq!((report.asked(), report.handled_bytes()), (at(4000, 200), 96));

    let report = fail(&stack, disk, at(4096, 1));
    assert_eq!((report.states(), report.outside()), (&[][..], Some(at(4096, 1))));
    assert_eq!((report.counts().arrived, report.remainder_bytes()), (0, 0));
    let all = Extent::new(DevOffset::new(0), u64::MAX).unwrap();
    assert_eq!(fail(&stack, disk, all).outside_bytes(), u64::MAX - 4096);
    assert_eq!(holder.told(), [at(4000, 96).into(), at(0, 4096).into()]);
}
