//! Every error names the device, and the numbers that did not fit.

use super::*;

fn refusal(stack: &Stack, spec: DeviceSpec) -> (TopologyErrorKind, String) {
    let err = stack.add_device(spec).unwrap_err();
    (err.kind(), err.to_string())
}

fn is(refusal: (TopologyErrorKind, String), kind: TopologyErrorKind, text: &str) {
    assert_eq!(refusal, (kind, text.to_owned()));
}

fn x(mapping: Arc<dyn Mapping>, legs: impl Into<Arc<[DeviceId]>>) -> DeviceSpec {
    DeviceSpec::on("x", mapping, legs)
}

fn twice(len: u64) -> Arc<dyn Mapping> {
    Arc::new(Legs::mirror(len, [0, 0]))
}

#[test]
fn a_name_that_is_taken() {
    let stack = Stack::new();
    let _ = disk(&stack, 4096);
    let taken = refusal(&stack, DeviceSpec::base("disk", at(0, 1)));
    is(taken, TopologyErrorKind::DuplicateName, "disk: a device of this name exists");
}

/// What lay before its first byte belonged to no part of the report.
#[test]
fn a_device_that_does_not_begin_at_zero() {
    let stack = Stack::new();
    let kind = TopologyErrorKind::NotAtZero;
    let text = "x: device bytes [0x10..0x30): a device begins at its byte 0";
    is(refusal(&stack, DeviceSpec::base("x", at(16, 32))), kind, text);
    let disk = disk(&stack, 4096);
    let late = || Legs::mapping([(at(0, 32).into(), at(16, 32).into())], at(16, 32));
    is(refusal(&stack, x(late(), [disk])), kind, text);
    let lv = on(&stack, "x", window(at(0, 64)), [disk]);
    let err = stack.reload(lv, late(), [disk]).unwrap_err();
    is((err.kind(), err.to_string()), kind, text);
}

#[test]
fn a_leg_on_no_device() {
    let (stack, other) = (Stack::new(), Stack::new());
    let gone = disk(&stack, 4096);
    let _ = stack.remove_device(gone).unwrap();
    let removed = refusal(&stack, x(window(at(0, 1)), [gone]));
    let text = "x: leg 0: device 0.1 has been removed";
    is(removed, TopologyErrorKind::Removed, text);
    let foreign = disk(&other, 4096);
    let foreign = refusal(&stack, x(window(at(0, 1)), [foreign]));
    let text = "x: leg 0: device 0.1 belongs to another stack";
    is(foreign, TopologyErrorKind::Foreign, text);
    let err = stack.remove_device(gone).unwrap_err();
    assert_eq!(err.to_string(), "device 0.1: device 0.1 has been removed");
}

#[test]
fn legs_and_devices_that_are_not_as_many() {
    let stack = Stack::new();
    let disk = disk(&stack, 4096);
    let kind = TopologyErrorKind::LegCount;
    is(refusal(&stack, x(window(at(0, 1)), [])), kind, "x: 1 legs, and 0 devices for them");
    is(refusal(&stack, x(twice(1), [disk])), kind, "x: 2 legs, and 1 devices for them");

    #[derive(Debug)]
    struct Silent;
    impl Mapping for Silent {
        fn extent(&self) -> Extent {
            at(0, 1)
        }
        fn legs(&self) -> u32 {
            1
        }
        fn leg_extent(&self, _: Leg) -> Option<Extent> {
            None
        }
        fn map(&self, _: Extent, _: Sink<'_, Mapped>) -> Flow {
            ControlFlow::Continue(())
        }
        fn rmap(&self, _: Leg, _: Run, _: Sink<'_, Link>) -> Flow {
            ControlFlow::Continue(())
        }
    }
    let silent = refusal(&stack, x(Arc::new(Silent), [disk]));
    is(silent, kind, "x: leg 0: the mapping says of no such leg what it uses");
}

#[test]
fn a_leg_beyond_its_device() {
    let stack = Stack::new();
    let disk = disk(&stack, 8192);
    let text = "x: leg 0: device bytes [0x1fff..0x2001) reach beyond disk, \
                which has device bytes [0x0..0x2000)";
    is(refusal(&stack, x(window(at(8191, 2)), [disk])), TopologyErrorKind::LegOutside, text);
}

#[test]
fn a_device_below_itself() {
    let stack = Stack::new();
    let disk = disk(&stack, 8192);
    let a = on(&stack, "a", window(at(0, 512)), [disk]);
    let b = on(&stack, "b", window(at(0, 512)), [a]);
    let err = stack.reload(a, window(at(0, 512)), [b]).unwrap_err();
    let text = "a: leg 0: b lies on it: it would lie below itself";
    is((err.kind(), err.to_string()), TopologyErrorKind::Cycle, text);
}

#[test]
fn more_devices_on_one_another_than_allowed() {
    let stack = Stack::with_limits(Limits { depth: 2, ..Limits::DEFAULT });
    let disk = disk(&stack, 8192);
    let a = on(&stack, "a", window(at(0, 512)), [disk]);
    let deep = refusal(&stack, x(window(at(0, 1)), [a]));
    let text = "x: leg 0: 3 devices on one another: at most 2";
    is(deep, TopologyErrorKind::TooDeep, text);
}

#[test]
fn more_devices_legs_or_holders_than_allowed() {
    let limits = Limits { devices: 2, legs: 1, holders: 1, ..Limits::DEFAULT };
    let stack = Stack::with_limits(limits);
    let disk = disk(&stack, 8192);
    let text = "x: 2 legs: at most 1 are allowed";
    is(refusal(&stack, x(twice(1), [disk, disk])), TopologyErrorKind::TooManyLegs, text);
    let _r = stack.register(disk, at(0, 1), handles()).unwrap();
    let text = "x: leg 0: 1 holders and devices are on disk: no more";
    is(refusal(&stack, x(window(at(0, 1)), [disk])), TopologyErrorKind::TooManyHolders, text);
    let _other = stack.add_device(DeviceSpec::base("other", at(0, 1))).unwrap();
    let text = "x: 2 devices are there, and no more are allowed";
    is(refusal(&stack, DeviceSpec::base("x", at(0, 1))), TopologyErrorKind::TooManyDevices, text);
}

/// Legs of one device on the same other one count together.
#[test]
fn two_legs_where_there_is_room_for_one() {
    let stack = Stack::with_limits(Limits { holders: 1, ..Limits::DEFAULT });
    let disk = disk(&stack, 8192);
    let err = stack.add_device(x(twice(1), [disk, disk])).unwrap_err();
    assert_eq!((err.kind(), err.leg()), (TopologyErrorKind::TooManyHolders, Some(Leg::new(1))));
}

#[test]
fn a_device_that_carries_another() {
    let stack = Stack::new();
    let disk = disk(&stack, 8192);
    let _a = on(&stack, "a", window(at(0, 512)), [disk]);
    let err = stack.remove_device(disk).unwrap_err();
    is((err.kind(), err.to_string()), TopologyErrorKind::InUse, "disk: a lies on it");
}

#[test]
fn a_table_that_is_too_short() {
    let stack = Stack::new();
    let disk = disk(&stack, 8192);
    let a = on(&stack, "a", window(at(0, 512)), [disk]);
    let _r = stack.register(a, at(256, 256), handles()).unwrap();
    let err = stack.reload(a, window(at(0, 300)), [disk]).unwrap_err();
    let text = "a: device bytes [0x100..0x200) are in use, \
                and the new table has device bytes [0x0..0x12c)";
    is((err.kind(), err.to_string()), TopologyErrorKind::Shrunk, text);
}

#[test]
fn a_device_that_is_being_removed() {
    let stack = Stack::new();
    let old = disk(&stack, 8192);
    let inner = stack.clone();
    let holder = Fake::new(move |_: &Corruption<'_>| {
        let err = inner.register(old, at(0, 1), handles()).unwrap_err();
        assert_eq!(err.kind(), RegisterErrorKind::Dying);
        assert_eq!(err.to_string(), "cannot register on disk: the device is being removed");
        let dying = refusal(&inner, x(window(at(0, 1)), [old]));
        is(dying, TopologyErrorKind::Dying, "x: leg 0: disk is being removed");
        for err in [
            inner.remove_device(old).unwrap_err(),
            inner.reload(old, window(at(0, 1)), [old]).unwrap_err(),
        ] {
            let text = "disk: the device is being removed";
            is((err.kind(), err.to_string()), TopologyErrorKind::Dying, text);
        }
        inner.snapshot().validate().unwrap();
        Outcome::Handled
    });
    let _r = stack.register(old, at(0, 8192), holder.clone()).unwrap();
    let report = stack.remove_device(old).unwrap();
    assert_eq!((report.handled_bytes(), report.counts().panicked), (8192, 0));
}

#[test]
fn registrations_that_cannot_be() {
    let limits = Limits { holders: 1, ..Limits::DEFAULT };
    let (stack, other) = (Stack::with_limits(limits), Stack::new());
    let (mine, foreign) = (disk(&stack, 4096), disk(&other, 4096));
    let text = |device, range, kind| {
        let err = stack.register(device, range, handles()).unwrap_err();
        assert_eq!(err.kind(), kind);
        err.to_string()
    };
    assert_eq!(
        text(mine, at(4000, 512), RegisterErrorKind::Outside),
        "cannot register on disk: device bytes [0xfa0..0x11a0) reach beyond the device, \
         which has device bytes [0x0..0x1000)"
    );
    assert_eq!(
        text(foreign, at(0, 1), RegisterErrorKind::Foreign),
        "cannot register on device 0.1: device 0.1 belongs to another stack"
    );
    let _r = stack.register(mine, at(0, 1), handles()).unwrap();
    assert_eq!(
        text(mine, at(0, 1), RegisterErrorKind::TooManyHolders),
        "cannot register on disk: 1 holders and devices are on it: no more"
    );
    let _ = stack.remove_device(mine).unwrap();
    assert_eq!(
        text(mine, at(0, 1), RegisterErrorKind::Removed),
        "cannot register on device 0.1: device 0.1 has been removed"
    );
}
