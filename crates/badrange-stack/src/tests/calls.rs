//! The calls themselves: several ranges at once, strides, panics.

use super::*;

/// Two legs of 100 bytes in chunks of 10, with a holder on a part of the stripe that begins and
/// ends inside chunks of leg 1: rows 1 to 8 of ten.
fn stripe(holder: Arc<dyn Holder>) -> (Stack, DeviceId, Registration) {
    let stack = Stack::new();
    let legs = ["a", "b"].map(|n| stack.add_device(DeviceSpec::base(n, at(0, 100))).unwrap());
    let striped = on(&stack, "striped", Arc::new(Legs::striped(2, 10, 10, 0)), legs);
    let registration = stack.register(striped, at(33, 142), holder).unwrap();
    (stack, legs[1], registration)
}

/// The three parts of all of leg 1 that the holder has: of the stripe, and of the leg.
fn parts() -> [(Run, Run); 3] {
    [
        (at(33, 7).into(), at(13, 7).into()),
        (run(50, 10, 20, 6), run(20, 10, 10, 6)),
        (at(170, 5).into(), at(80, 5).into()),
    ]
}

/// Answers so many ranges of a batch, and counts calls.
struct Batch {
    answers: usize,
    calls: Mutex<Vec<Vec<Run>>>,
}

impl Holder for Batch {
    fn corrupted_range(&self, _: &Corruption<'_>) -> Outcome {
        panic!("three ranges are one call")
    }

    fn corrupted_ranges(&self, what: &[Corruption<'_>], answer: &mut dyn FnMut(Outcome)) {
        self.calls.lock().unwrap().push(what.iter().map(Corruption::range).collect());
        (0..self.answers).for_each(|_| answer(Outcome::Handled));
    }
}

#[test]
fn a_registration_that_cuts_a_run_in_three_gets_one_call() {
    for answers in [0, 1, 3, 5] {
        let batch = Arc::new(Batch { answers, calls: Mutex::default() });
        let (stack, leg, _r) = stripe(batch.clone());
        let report = fail(&stack, leg, at(0, 100));
        let told = parts().map(|(here, _)| here).to_vec();
        assert_eq!(*batch.calls.lock().unwrap(), [told]);
        assert_eq!((report.counts().notified, report.counts().panicked), (3, 0));
        let handled = parts().iter().take(answers).map(|(_, on_leg)| on_leg.total_len()).sum();
        assert_eq!(report.handled_bytes(), handled, "of {answers} answers");
        let missing: u64 = parts().iter().skip(answers).map(|(_, leg)| leg.total_len()).sum();
        let not_supported = report.states().iter().filter(|(_, s)| *s == Outcome::NotSupported);
        assert_eq!(not_supported.map(|(run, _)| run.total_len()).sum::<u64>(), missing);
        assert_eq!(report.remainder_bytes(), 28 + missing, "and 28 that nobody holds");
    }
}

#[test]
fn a_holder_without_a_batch_gets_the_parts_in_ascending_order() {
    let holder = says(Outcome::Handled);
    let (stack, leg, _r) = stripe(holder.clone());
    let (steps, report) = trace(&stack, leg, at(0, 100));
    assert_eq!(holder.told(), parts().map(|(here, _)| here));
    let notified = steps.iter().filter_map(|step| match step {
        Step::Notified { asked, here, .. } => Some((*here, *asked)),
        _ => None,
    });
    assert_eq!(notified.collect::<Vec<_>>(), parts());
    assert_eq!(report.states()[1], (at(13, 72).into(), Outcome::Handled));
}

#[test]
fn a_batch_that_panics_keeps_what_it_had_answered() {
    struct Panics;
    impl Holder for Panics {
        fn corrupted_range(&self, _: &Corruption<'_>) -> Outcome {
            Outcome::Handled
        }
        fn corrupted_ranges(&self, what: &[Corruption<'_>], answer: &mut dyn FnMut(Outcome)) {
            answer(Outcome::Handled);
            what[1].settle(at(50, 10).into(), Outcome::Failed(Errno::EIO));
            panic!("a bug in a holder");
        }
    }
    let (stack, leg, _r) = stripe(Arc::new(Panics));
    let report = fail(&stack, leg, at(0, 100));
    assert_eq!((report.handled_bytes(), report.failed_bytes()), (7, 10));
    assert_eq!((report.remainder_bytes(), report.counts().panicked), (83, 1));
}

/// A registration in the gap between two elements used to cost a call about nothing.
#[test]
fn a_registration_in_a_gap_of_a_run_is_not_called() {
    let holder = says(Outcome::Handled);
    let stack = Stack::new();
    let legs = ["a", "b"].map(|n| stack.add_device(DeviceSpec::base(n, at(0, 100))).unwrap());
    let striped = on(&stack, "striped", Arc::new(Legs::striped(2, 10, 10, 0)), legs);
    let _r = stack.register(striped, at(42, 6), holder.clone()).unwrap();
    let report = fail(&stack, legs[1], at(0, 100));
    assert_eq!((holder.told().len(), report.counts().notified), (0, 0));
    assert_eq!(fail(&stack, legs[0], at(0, 100)).handled_bytes(), 6);
}

#[test]
fn parts_of_a_run_are_settled_across_its_elements() {
    let holder = Fake::new(|what: &Corruption<'_>| {
        // All bytes from 55 to 95 of the stripe: of this leg the chunks at 50, 70 and 90.
        assert_eq!(what.settle(at(55, 40).into(), Outcome::Failed(Errno::EIO)), 5 + 10 + 5);
        Outcome::Handled
    });
    let stack = Stack::new();
    let legs = ["a", "b"].map(|n| stack.add_device(DeviceSpec::base(n, at(0, 100))).unwrap());
    let striped = on(&stack, "striped", Arc::new(Legs::striped(2, 10, 10, 0)), legs);
    let _r = stack.register(striped, at(0, 200), holder).unwrap();
    let report = fail(&stack, legs[1], at(0, 100));
    let failed = Outcome::Failed(Errno::EIO);
    let failed: Vec<u64> =
        report.states().iter().filter(|(_, s)| *s == failed).flat_map(|(r, _)| bytes(r)).collect();
    assert_eq!(failed, (25..45).collect::<Vec<_>>());
    assert_eq!(report.handled_bytes(), 80);
}

/// Chunks that touch again above the stripe lie apart below it: what a holder settles or asks about
/// as one range is several there.
#[test]
fn bytes_that_touch_again_above_a_stripe_are_told_apart() {
    let stack = Stack::new();
    let legs = ["a", "b"].map(|n| stack.add_device(DeviceSpec::base(n, at(0, 40))).unwrap());
    let striped = on(&stack, "striped", Arc::new(Legs::striped(2, 10, 4, 0)), legs);
    // Only the odd chunks, one after the other: leg 1 once more.
    let odd = Legs::of([(run(10, 10, 20, 4), run(0, 10, 10, 4))], at(0, 40));
    let odd = on(&stack, "odd", Arc::new(odd), [striped]);
    let ways = Arc::new(Mutex::new(Vec::new()));
    let seen = ways.clone();
    let holder = Fake::new(move |what: &Corruption<'_>| {
        assert_eq!(what.range(), run(0, 10, 10, 4));
        what.trail(at(15, 10).into(), &mut |hop| seen.lock().unwrap().push((hop.device, hop.at)));
        assert_eq!(what.settle(at(15, 10).into(), Outcome::Failed(Errno::EIO)), 10);
        Outcome::Handled
    });
    let _r = stack.register(odd, at(0, 40), holder).unwrap();
    let report = fail(&stack, legs[1], at(0, 40));
    let states = [(at(0, 15), Outcome::Handled), (at(15, 10), Outcome::Failed(Errno::EIO))];
    let states = states.into_iter().chain([(at(25, 15), Outcome::Handled)]);
    let states: Vec<(Run, Outcome)> = states.map(|(at, outcome)| (at.into(), outcome)).collect();
    assert_eq!(report.states(), states);
    let way = |leg: u64, striped_at: u64| {
        let on = |device, start| (device, Run::from(at(start, 5)));
        [on(legs[1], leg), on(striped, striped_at), on(odd, leg)]
    };
    assert_eq!(*ways.lock().unwrap(), [way(15, 35), way(20, 50)].concat());
}

/// The same where they lie apart on the device that was reported: nothing else joins them again.
#[test]
fn bytes_that_touch_above_what_was_reported_are_settled_apart() {
    let stack = Stack::new();
    let disk = disk(&stack, 80);
    let odd = Legs::of([(run(10, 10, 20, 4), run(0, 10, 10, 4))], at(0, 40));
    let odd = on(&stack, "odd", Arc::new(odd), [disk]);
    let holder = Fake::new(move |what: &Corruption<'_>| {
        assert_eq!(what.settle(at(15, 10).into(), Outcome::Failed(Errno::EIO)), 10);
        Outcome::Handled
    });
    let _r = stack.register(odd, at(0, 40), holder).unwrap();
    let report = fail(&stack, disk, at(0, 80));
    let counts = (report.handled_bytes(), report.failed_bytes(), report.counts().panicked);
    assert_eq!(counts, (30, 10, 0));
    let failed = report.states().iter().filter(|(_, s)| matches!(s, Outcome::Failed(_)));
    let failed: Vec<u64> = failed.flat_map(|(run, _)| bytes(run)).collect();
    assert_eq!(failed, (35..40).chain(50..55).collect::<Vec<_>>());
}

#[test]
fn a_panicking_holder_counts_as_not_supported_and_leaves_the_stack_usable() {
    let stack = Stack::new();
    let disk = disk(&stack, 4096);
    let bad = Fake::new(|what: &Corruption<'_>| {
        what.settle(at(0, 100).into(), Outcome::Handled);
        panic!("a bug in a holder");
    });
    let good = says(Outcome::Handled);
    let r = stack.register(disk, at(0, 2048), bad).unwrap();
    let _g = stack.register(disk, at(2048, 2048), good.clone()).unwrap();
    let report = fail(&stack, disk, at(0, 4096));
    assert_eq!(report.counts().panicked, 1);
    assert_eq!(
        report.states(),
        [
            (at(0, 100).into(), Outcome::Handled),
            (at(100, 1948).into(), Outcome::NotSupported),
            (at(2048, 2048).into(), Outcome::Handled),
        ]
    );
    r.unregister().expect("the panicking call has left");
    assert_eq!(fail(&stack, disk, at(0, 2048)).counts().notified, 0);
}

/// Panics when it is dropped, with something that panics when it is dropped, so many times.
struct Bomb(u32);

impl Drop for Bomb {
    fn drop(&mut self) {
        if self.0 > 0 {
            std::panic::panic_any(Self(self.0 - 1));
        }
    }
}

/// The payload used to be dropped outside of what catches: the event ended in the middle, with the
/// call still counted as inside, so that the removal hung.
#[test]
fn a_panic_whose_payload_panics_when_dropped_loses_nothing() {
    for bombs in [1, 2, 5] {
        let stack = Stack::new();
        let disk = disk(&stack, 4096);
        let bad = Fake::new(move |_: &Corruption<'_>| std::panic::panic_any(Bomb(bombs)));
        let later = says(Outcome::Handled);
        let _b = stack.register(disk, at(0, 2048), bad.clone()).unwrap();
        let _l = stack.register(disk, at(1024, 2048), later.clone()).unwrap();
        let (steps, report) = trace(&stack, disk, at(0, 4096));
        assert_eq!((report.counts().panicked, report.counts().notified), (1, 2));
        assert_eq!(steps.iter().filter(|s| matches!(s, Step::Panicked { .. })).count(), 1);
        assert_eq!(later.told(), [at(1024, 2048).into()]);
        assert_eq!((report.handled_bytes(), report.remainder_bytes()), (1024, 3072));
        let removed = stack.remove_device(disk).unwrap();
        assert_eq!((removed.counts().panicked, bad.told().len()), (1, 2));
    }
}
