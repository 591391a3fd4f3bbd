//! Devices that come, change and go.

use super::*;

#[test]
fn a_reload_moves_a_device_as_a_whole() {
    let stack = Stack::new();
    let disk = disk(&stack, 1 << 20);
    let lv = on(&stack, "lv", window(at(0, 4096)), [disk]);
    let holder = says(Outcome::Handled);
    let _r = stack.register(lv, at(0, 4096), holder.clone()).unwrap();
    stack.reload(lv, window(at(65536, 4096)), [disk]).unwrap();
    assert_eq!(fail(&stack, disk, at(0, 4096)).remainder_bytes(), 4096);
    assert_eq!(fail(&stack, disk, at(65536, 4096)).handled_bytes(), 4096);
    assert_eq!(holder.told(), [at(0, 4096).into()]);
    let shrunk = stack.reload(lv, window(at(0, 2048)), [disk]).unwrap_err();
    assert_eq!(shrunk.kind(), TopologyErrorKind::Shrunk);
    let report = fail(&stack, disk, at(65536, 1));
    assert_eq!(report.handled_bytes(), 1, "a refused reload changes nothing");
    stack.snapshot().validate().unwrap();
}

/// Everything that `check_legs` refuses comes after the old legs were taken out.
#[test]
fn every_refused_reload_changes_nothing() {
    let limits = Limits { depth: 3, legs: 2, holders: 3, ..Limits::DEFAULT };
    let stack = Stack::with_limits(limits);
    let disk = disk(&stack, 8192);
    let deep = on(&stack, "deep", window(at(0, 4096)), [disk]);
    let lv = on(&stack, "lv", window(at(0, 4096)), [disk]);
    let top = on(&stack, "top", window(at(0, 4096)), [lv]);
    let holder = says(Outcome::Handled);
    let _r = stack.register(top, at(0, 4096), holder).unwrap();
    let three = Legs::mapping([(at(0, 1).into(), at(0, 1).into()); 3], at(0, 4096));
    let two = Legs::mapping([(at(0, 1).into(), at(0, 1).into()); 2], at(0, 4096));
    let _full = stack.register(disk, at(0, 1), handles()).unwrap();
    let refused: [(Arc<dyn Mapping>, Vec<DeviceId>); 7] = [
        (window(at(8000, 4096)), vec![disk]),
        (window(at(0, 4096)), vec![]),
        (three, vec![disk; 3]),
        (two, vec![disk; 2]),
        (window(at(0, 4096)), vec![top]),
        (window(at(0, 4096)), vec![deep]),
        (window(at(0, 100)), vec![disk]),
    ];
    let mut kinds = Vec::new();
    for (mapping, legs) in refused {
        kinds.push(stack.reload(lv, mapping, legs).unwrap_err().kind());
        stack.snapshot().validate().unwrap();
        assert_eq!(fail(&stack, disk, at(0, 4096)).handled_bytes(), 4096);
    }
    use TopologyErrorKind as K;
    let expected = [K::LegOutside, K::LegCount, K::TooManyLegs, K::TooManyHolders];
    assert_eq!(kinds, [&expected[..], &[K::Cycle, K::TooDeep, K::Shrunk]].concat());
}

#[test]
fn a_device_without_a_table_may_get_one() {
    let stack = Stack::new();
    let (mem, pages) = memory(&stack, "mem", 1 << 20);
    let disk = disk(&stack, 1 << 20);
    let _r = stack.register(mem, at(0, 4096), handles()).unwrap();
    stack.reload(mem, window(at(4096, 8192)), [disk]).unwrap();
    stack.snapshot().validate().unwrap();
    assert_eq!(stack.device_extent(mem), Some(at(0, 8192)));
    let report = fail(&stack, disk, at(0, 1 << 20));
    assert_eq!((report.handled_bytes(), pages.failed()), (4096, vec![1]));
}

#[test]
fn a_device_cannot_lie_below_itself() {
    let stack = Stack::new();
    let disk = disk(&stack, 1 << 20);
    let a = on(&stack, "a", window(at(0, 4096)), [disk]);
    let b = on(&stack, "b", window(at(0, 4096)), [a]);
    for leg in [a, b] {
        let err = stack.reload(a, window(at(0, 4096)), [leg]).unwrap_err();
        assert_eq!((err.kind(), err.leg()), (TopologyErrorKind::Cycle, Some(Leg::new(0))));
    }
}

#[test]
fn a_removed_device_notifies_its_holders_and_its_id_never_comes_back() {
    let stack = Stack::new();
    let old = disk(&stack, 4096);
    let holder = Fake::new(|what: &Corruption<'_>| {
        assert!(what.flags().contains(MfFlags::MEM_PRE_REMOVE));
        Outcome::Handled
    });
    let registration = stack.register(old, at(1024, 1024), holder.clone()).unwrap();
    let report = stack.remove_device(old).unwrap();
    assert_eq!(holder.told(), [at(1024, 1024).into()]);
    assert_eq!(report.handled_bytes(), 1024);

    let new = disk(&stack, 4096);
    assert_eq!(new.index(), old.index(), "the slot is reused");
    let _r = stack.register(new, at(0, 4096), handles()).unwrap();
    assert_eq!(stack.fail(old, at(0, 4096), NONE).unwrap_err(), NoDevice::Removed(old));
    let err = stack.register(old, at(0, 1), handles()).unwrap_err();
    assert_eq!(err.kind(), RegisterErrorKind::Removed);
    registration.unregister().expect("ending what has ended is nothing");
    assert_eq!(fail(&stack, new, at(0, 4096)).counts().notified, 1);
}

/// Whether every function that takes a device refuses this one.
fn refused(stack: &Stack, id: DeviceId, why: NoDevice) {
    let topology = TopologyErrorKind::of(why);
    assert_eq!(stack.fail(id, at(0, 1), NONE).unwrap_err(), why);
    assert_eq!(stack.fail_observed(id, at(0, 1), NONE, &mut ()).unwrap_err(), why);
    let failure = Failure { device: id, range: at(0, 1), flags: NONE };
    assert_eq!(stack.report(failure).unwrap_err(), why);
    assert_eq!(
        stack.register(id, at(0, 1), handles()).unwrap_err().kind(),
        RegisterErrorKind::of(why)
    );
    let added = stack.add_device(DeviceSpec::on("new", window(at(0, 1)), [id])).unwrap_err();
    assert_eq!((added.kind(), added.leg()), (topology, Some(Leg::new(0))));
    assert_eq!(stack.reload(id, window(at(0, 1)), [id]).unwrap_err().kind(), topology);
    let there = stack.device("there").unwrap();
    let reloaded = stack.reload(there, window(at(0, 1)), [id]).unwrap_err();
    assert_eq!((reloaded.kind(), reloaded.leg()), (topology, Some(Leg::new(0))));
    assert_eq!(stack.remove_device(id).unwrap_err().kind(), topology);
    assert_eq!((stack.device_name(id), stack.device_extent(id)), (None, None));
    refused_by_snapshot(&stack.snapshot(), id, why);
}

fn refused_by_snapshot(snapshot: &Snapshot, id: DeviceId, why: NoDevice) {
    let mut nothing = |_: &Visit<'_>| panic!("no such device");
    assert_eq!(snapshot.up(id, at(0, 1).into(), &mut nothing), Err(why));
    assert_eq!(snapshot.down(id, at(0, 1), &mut nothing), Err(why));
    assert_eq!(snapshot.damage([(id, at(0, 1).into())]).unwrap_err(), why);
    let way = [Hop { device: id, at: at(0, 1).into() }];
    assert_eq!(snapshot.redundancy(&way, &Damage::default(), &mut |_| {}), Err(why));
    assert_eq!((snapshot.name(id), snapshot.extent(id)), (None, None));
    assert!(snapshot.below(id).is_none());
    assert!(snapshot.devices().all(|device| device != id));
}

/// The device in the same slot was taken for it.
#[test]
fn an_id_of_another_stack_is_refused_by_everything_that_takes_one() {
    let (stack, other) = (Stack::new(), Stack::new());
    let there = stack.add_device(DeviceSpec::base("there", at(0, 4096))).unwrap();
    let foreign = other.add_device(DeviceSpec::base("foreign", at(0, 4096))).unwrap();
    assert_eq!((there.index(), there.generation()), (foreign.index(), foreign.generation()));
    refused(&stack, foreign, NoDevice::Foreign(foreign));
    let holder = says(Outcome::Handled);
    let _r = stack.register(there, at(0, 4096), holder.clone()).unwrap();
    assert!(stack.fail(foreign, at(0, 1), NONE).is_err());
    assert_eq!(holder.told(), []);
}

#[test]
fn a_removed_device_is_refused_by_everything_that_takes_one() {
    let stack = Stack::new();
    let _there = stack.add_device(DeviceSpec::base("there", at(0, 4096))).unwrap();
    let gone = disk(&stack, 4096);
    let before = stack.snapshot();
    let _ = stack.remove_device(gone).unwrap();
    refused(&stack, gone, NoDevice::Removed(gone));
    let _new = stack.add_device(DeviceSpec::base("in its slot", at(0, 4096))).unwrap();
    refused(&stack, gone, NoDevice::Removed(gone));
    assert_eq!(before.name(gone), Some("disk"), "a snapshot is of its moment");
}
