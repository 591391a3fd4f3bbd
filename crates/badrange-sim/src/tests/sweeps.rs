//! Sweeps: nothing but scenario, seed, profile and length decides about a line.

use serde_json::{Value, json};

use super::build::{extent, machine, process};
use crate::{Profile, Sweep, SweepLine, SweepSummary};

fn line(profile: &str, unmapped: u64, missed: Value, shutdowns: u64) -> SweepLine {
    serde_json::from_value(json!({"schema": "badrange.sweep/1", "scenario": "t", "seed": 1,
        "profile": profile, "device": "pmem0", "start": 0, "bad": 4096, "unmapped": unmapped,
        "signals": 1, "killed": 0, "owners": 1, "owners_missed": missed, "shutdowns": shutdowns,
        "upcalls": 1, "crashed": false}))
    .unwrap()
}

#[test]
fn a_failure_is_the_event_of_the_same_page() {
    let build = machine().extent(extent(65_536, 60 << 16, 131, 0)).process(process(
        "A",
        10,
        "early",
        131,
        1 << 20,
    ));
    let scenario = build.scenario();
    for profile in Profile::KERNELS.into_iter().chain(Profile::DESIGNS) {
        let sweep = Sweep::new(&scenario, profile, 4096).unwrap();
        for seed in 0..200 {
            let line = sweep.run(seed);
            assert_eq!(line, sweep.run(seed));
            let event = &build.clone().fail(line.start).run(profile)[0];
            let effects = event.effects.as_ref().unwrap();
            assert_eq!(line.signals, u64::try_from(effects.signals.len()).unwrap());
            let shutdowns = effects.shutdown.as_ref().unwrap().len();
            assert_eq!(line.shutdowns, u64::try_from(shutdowns).unwrap());
            let owned = (65_536..65_536 + (60 << 16)).contains(&line.start);
            assert_eq!(line.owners, u64::from(owned));
            // Nobody touched the pages behind the first MiB: there are no entries to go by.
            let known = owned && profile == Profile::PerPfn && line.start >= 65_536 + (1 << 20);
            assert_eq!(line.owners_missed, Some(u64::from(known)), "{profile} {}", line.start);
        }
    }
}

#[test]
fn a_summary_by_hand() {
    let lines = [
        line("a", 0, json!(0), 0),
        line("a", 4096, json!(1), 0),
        line("a", 2 << 20, json!(null), 2),
        line("b", 8192, json!(null), 0),
    ];
    let summary = SweepSummary::of(lines);
    let a = &summary.profiles["a"];
    assert_eq!((a.failures, a.shut_down, a.owners_unknown), (3, 1, 1));
    let blast = a.blast_percent;
    assert_eq!((blast.min, blast.median, blast.p99, blast.max), (0, 100, 51_200, 51_200));
    assert_eq!(a.owners_missed.unwrap().max, 1);
    assert_eq!(summary.profiles["b"].owners_missed, None);
    assert!(summary.to_svg().starts_with("<svg ") && summary.to_svg().ends_with("</svg>\n"));
}
