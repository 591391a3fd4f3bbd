//! What the kit prints about a bug fails when it is pasted. Each case here has the printed code in
//! its body, as it stands; a test compares the two.
#![expect(clippy::unwrap_used, reason = "a panic is a failed test")]
#![expect(clippy::wildcard_enum_match_arm, reason = "the other mistakes are the same")]

use std::{panic::catch_unwind, sync::Arc};

use badrange_core::{
    Backing, BackingKind, Corruption, DevOffset, Extent, Flow, Holder, Leg, Link, Mapped, Mapping,
    Outcome, Run, Sink, Window, beyond,
};
use badrange_testkit::{
    arbitrary::{self, Arbitrary},
    case::TestCase,
    conformance::{self, Config, Violation},
    fuzz,
};

/// A window of 128 bytes at 1000, with one thing wrong.
#[derive(Debug, Clone, Copy)]
enum Wrong {
    /// Nothing lies anywhere.
    Map,
    /// A leg too many.
    LegExtent,
    /// What begins before the leg is lost.
    Rmap,
    /// Runs of three elements are lost.
    Run,
    /// Everything is parity.
    Redundancy,
}

impl Wrong {
    fn window() -> Window {
        Window::new(Extent::new(DevOffset::new(1000), 128).unwrap())
    }
}

impl Mapping for Wrong {
    fn extent(&self) -> Extent {
        Self::window().extent()
    }

    fn legs(&self) -> u32 {
        1
    }

    fn leg_extent(&self, leg: Leg) -> Option<Extent> {
        match (self, leg.index()) {
            (Self::LegExtent, 1) => Some(Self::window().on()),
            _ => Self::window().leg_extent(leg),
        }
    }

    fn map(&self, upper: Extent, sink: Sink<'_, Mapped>) -> Flow {
        match self {
            Self::Map => beyond(self.extent(), upper, sink),
            _ => Self::window().map(upper, sink),
        }
    }

    fn rmap(&self, leg: Leg, lower: Run, sink: Sink<'_, Link>) -> Flow {
        let lost = match self {
            Self::Rmap => lower.count() == 1 && lower.first().start().get() < 1000,
            Self::Run => lower.count() == 3,
            _ => false,
        };
        if lost { Flow::Continue(()) } else { Self::window().rmap(leg, lower, sink) }
    }

    fn redundancy(&self, leg: Leg, lower: Run, sink: &mut dyn FnMut(Backing<'_>) -> Flow) -> Flow {
        let parity = matches!(self, Self::Redundancy) && leg.index() == 0;
        let kind = BackingKind::Parity;
        let mut parts = lower.clip(Self::window().on()).filter(|_| parity);
        parts.try_for_each(|lower| sink(Backing { lower, kind, needed: 1, sources: &[] }))
    }
}

/// Knows extents only.
struct Fussy;

impl Holder for Fussy {
    fn corrupted_range(&self, what: &Corruption<'_>) -> Outcome {
        what.range().as_extent().unwrap();
        Outcome::Handled
    }
}

/// Fails on any three.
#[derive(Debug, Arbitrary)]
struct NoThree(Vec<u8>);

impl TestCase for NoThree {
    fn check(&self) {
        assert!(!self.0.contains(&3));
    }
}

fn found(layer: Wrong, config: &Config) -> Violation {
    conformance::mapping(&layer, config).unwrap_err()
}

/// Without leading blanks, as text is that stands in a body.
fn flat(code: &str) -> String {
    let lines = code.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.filter(|line| !line.starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// Checks that `pasted` fails, and that this file has `printed` as the body of the function that calls
/// it.
fn check(printed: &str, pasted: impl FnOnce() + core::panic::UnwindSafe) {
    let here = flat(include_str!("reproducers.rs"));
    assert!(here.contains(&flat(printed)), "nobody has pasted:\n{printed}");
    assert!(catch_unwind(pasted).is_err(), "does not fail:\n{printed}");
}

#[test]
#[rustfmt::skip]
fn of_map() {
    let layer = Wrong::Map;
    check(&found(layer, &Config::DEFAULT).reproduction(), move || {
        use badrange_testkit::conformance::{Case, Config};

        let case = Case::Map { start: 0, len: 1 };
        case.check_mapping(&layer, &Config::DEFAULT).unwrap();
    });
}

#[test]
#[rustfmt::skip]
fn of_the_extent_of_a_leg() {
    let layer = Wrong::LegExtent;
    check(&found(layer, &Config::DEFAULT).reproduction(), move || {
        use badrange_testkit::conformance::{Case, Config};

        let case = Case::LegExtent { leg: 1 };
        case.check_mapping(&layer, &Config::DEFAULT).unwrap();
    });
}

#[test]
#[rustfmt::skip]
fn of_rmap_of_an_extent_with_a_configuration_of_ones_own() {
    let layer = Wrong::Rmap;
    let config = Config::DEFAULT.with_seed(3).with_random_ranges(20);
    check(&found(layer, &config).reproduction(), move || {
        use badrange_testkit::conformance::{Case, Config, RawRun};

        let case = Case::Rmap { leg: 0, run: RawRun::extent(999, 2) };
        case.check_mapping(&layer, &Config { seed: 3, random_ranges: 20, ..Config::DEFAULT }).unwrap();
    });
}

#[test]
#[rustfmt::skip]
fn of_rmap_of_a_run() {
    let layer = Wrong::Run;
    check(&found(layer, &Config::DEFAULT).reproduction(), move || {
        use badrange_testkit::conformance::{Case, Config, RawRun};

        let case = Case::Rmap { leg: 0, run: RawRun { start: 1000, len: 1, stride: 1, count: 3 } };
        case.check_mapping(&layer, &Config::DEFAULT).unwrap();
    });
}

#[test]
#[rustfmt::skip]
fn of_redundancy() {
    let layer = Wrong::Redundancy;
    check(&found(layer, &Config::DEFAULT).reproduction(), move || {
        use badrange_testkit::conformance::{Case, Config, RawRun};

        let case = Case::Redundancy { leg: 0, run: RawRun::extent(1000, 1) };
        case.check_mapping(&layer, &Config::DEFAULT).unwrap();
    });
}

#[test]
#[rustfmt::skip]
fn of_a_holder() {
    let on = Extent::new(DevOffset::new(512), 4096).unwrap();
    let violation = conformance::holder(Arc::new(Fussy), on, &Config::DEFAULT).unwrap_err();
    let holder = Fussy;
    check(&violation.reproduction(), move || {
        use std::sync::Arc;
        use badrange_core::MfFlags;
        use badrange_testkit::conformance::{Case, Config, RawRun};

        let case = Case::Notify { run: RawRun { start: 512, len: 1, stride: 2, count: 2 }, flags: MfFlags::NONE };
        case.check_holder(Arc::new(holder), &Config::DEFAULT).unwrap();
    });
}

#[test]
#[rustfmt::skip]
fn of_a_fuzz_target() {
    let printed = fuzz::reproduction::<NoThree>(&[1, 7, 1, 3, 0, 9]).unwrap();
    check(&printed, || {
        use badrange_testkit::case::check_bytes;

        check_bytes::<NoThree>(b"\x01\x03");
    });
    // One of the workspace's own is found by its name.
    let target = fuzz::target("ranges").unwrap();
    assert!(target.reproduction(b"nothing fails").is_none());
}
