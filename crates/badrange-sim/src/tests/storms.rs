//! Ranges, lists and storms of failures.

use serde_json::{Value, json};

use super::build::{Build, DATA, SIZE, extent, machine, process};
use crate::{
    Crash, Profile, Scenario, ScenarioErrorKind as Kind, StormOutcome, compare_designs, run,
};

/// Two files that share a page, one that somebody ignores, metadata near the end.
fn busy() -> Build {
    let mut dying = process("C", 12, "early", 132, 40_960);
    dying["on_sigbus"] = json!("default");
    machine()
        .extent(extent(65_536, 65_536, 131, 0))
        .extent(extent(122_880, 40_960, 132, 0))
        .extent(extent(17 << 20, 65_536, 133, 0))
        .process(process("A", 10, "early", 131, 65_536))
        .process(process("B", 11, "late", 131, 65_536))
        .process(dying)
        .process(process("D", 13, "early", 133, 65_536))
}

fn storm(event: Value) -> Build {
    busy().event(event)
}

fn counts(build: &Build, profile: Profile) -> StormOutcome {
    *build.run(profile)[0].storm.clone().unwrap()
}

fn list(pfns: &[u64]) -> Value {
    json!({"do": "memory_failure_list", "pfns": pfns, "flags": []})
}

/// The oracle: every page an event of its own.
fn one_by_one(pfns: &[u64], profile: Profile) -> StormOutcome {
    let event = |build: Build, pfn: &u64| {
        build.event(json!({"do": "memory_failure", "pfn": pfn, "flags": []}))
    };
    let events = pfns.iter().fold(busy(), event).run(profile);
    let mut sum = StormOutcome::default();
    for event in &events {
        if event.crash.is_some() {
            break;
        }
        let call = event.call.as_ref().unwrap();
        sum.calls += 1;
        *sum.rets.entry(call.ret).or_default() += 1;
        sum.upcalls += u64::from(call.notified.holder.is_some());
        let effects = event.effects.as_ref().unwrap();
        for signal in &effects.signals {
            *sum.signals.entry(signal.tag.clone()).or_default() += 1;
        }
        sum.killed.extend(effects.killed.iter().cloned());
        for shutdown in effects.shutdown.iter().flatten() {
            *sum.shutdown.entry(shutdown.fs.clone()).or_default() += 1;
        }
        let ranges = effects.unmapped.iter().flat_map(|unmapped| &unmapped.ranges);
        sum.unmapped += ranges.map(|(_, len)| len).sum::<u64>();
    }
    let calls = usize::try_from(sum.calls).unwrap();
    let pages: std::collections::BTreeSet<_> = pfns[..calls].iter().collect();
    sum.pages = u64::try_from(pages.len()).unwrap();
    sum
}

#[test]
fn a_list_is_what_its_pages_are_one_by_one() {
    let first = DATA / 4096;
    let pages = |range: core::ops::Range<u64>| range.map(|page| first + page);
    let pfns: Vec<u64> = pages(16..44)
        .rev()
        .chain(pages(4352..4368))
        .chain(pages(16..20))
        .chain([7])
        .chain(pages(0..2))
        .chain(pages(20..22))
        .collect();
    for profile in all() {
        let got = counts(&storm(list(&pfns)), profile);
        assert_eq!(got, one_by_one(&pfns, profile), "{profile}");
        assert!(got.signals["A"] >= 12 && got.killed == ["C"], "{profile}: {got:?}");
    }
}

/// Kernels and designs.
fn all() -> impl Iterator<Item = Profile> {
    Profile::KERNELS.into_iter().chain(Profile::DESIGNS)
}

/// The same pages in one event and in an event each, measured against the truth.
#[test]
fn a_list_costs_what_its_pages_cost() {
    let first = DATA / 4096;
    let pfns: Vec<u64> = (first + 28..first + 36).chain(first + 4352..first + 4360).collect();
    let event = |build: Build, pfn: &u64| {
        build.event(json!({"do": "memory_failure", "pfn": pfn, "flags": []}))
    };
    let pages = pfns.iter().fold(busy(), event).scenario();
    let listed = storm(list(&pfns)).scenario();
    for profile in all() {
        let [pages, together] =
            [&pages, &listed].map(|s| compare_designs(s, &[profile]).designs[0].total);
        assert_eq!(pages.cost, together.cost, "{profile}");
        assert_eq!(
            (pages.signals, pages.unmapped_bytes, pages.shutdowns, pages.missed_bytes),
            (together.signals, together.unmapped_bytes, together.shutdowns, together.missed_bytes),
            "{profile}"
        );
        let cost = run(&listed, Some(profile)).events[0].cost;
        assert_eq!(cost, Some(together.cost), "{profile}");
    }
}

#[test]
fn a_range_is_every_page_that_holds_one_of_its_bytes() {
    let event = json!({"do": "memory_failure_range", "phys": DATA + 69_631, "len": 4098});
    let got = counts(&storm(event), Profile::Linux7_2);
    // The last byte of page 16, page 17, and the first byte of page 18.
    assert_eq!((got.calls, got.pages), (3, 3));
    assert_eq!(got.signals.iter().collect::<Vec<_>>(), [(&"A".to_owned(), &3)]);
    assert_eq!(got.unmapped, 2 * 3 * 4096); // B is not told, and loses the pages as well
}

#[test]
fn orders_and_the_next_pass() {
    let event = |order: &str, count: u64| {
        json!({"do": "storm", "seed": 3, "count": count, "order": order, "device": "pmem0",
            "ranges": [[65_536, 8192], [17 << 20, 12_288]]})
    };
    for order in ["in-order", "round-robin", "shuffled"] {
        let got = counts(&storm(event(order, 12)), Profile::Linux6_12);
        assert_eq!((got.calls, got.pages), (12, 5), "{order}");
        // All five pages failed; each is unmapped once.
        assert_eq!(got.signals.values().sum::<u64>(), 5, "{order}");
        assert_eq!(got, counts(&storm(event(order, 12)), Profile::Linux6_12), "{order}");
    }
    let first = |order| {
        let got = counts(&storm(event(order, 2)), Profile::Linux6_12);
        (got.signals.get("A").copied(), got.signals.get("D").copied())
    };
    assert_eq!(first("in-order"), (Some(2), None));
    assert_eq!(first("round-robin"), (Some(1), Some(1)));
}

#[test]
fn a_storm_ends_where_the_kernel_dies() {
    let event = json!({"do": "storm", "count": 10, "order": "in-order"});
    let build = busy().set("/sysctl", json!({"memory_failure_recovery": 0})).event(event);
    let events = build.run(Profile::Linux6_1);
    assert_eq!(events[0].crash, Some(Crash::Panic));
    assert_eq!(events[0].storm.as_ref().unwrap().calls, 0);
    assert_eq!(events[0].badblocks, None);
}

#[test]
fn outcomes_are_equal_byte_by_byte() {
    let text = |seed: u64| {
        let event = json!({"do": "storm", "seed": seed, "count": 5000});
        let outcome = run(&storm(event).scenario(), Some(Profile::Linux7_2));
        serde_json::to_string(&outcome).unwrap()
    };
    assert_eq!(text(1), text(1));
    assert_ne!(text(1), text(2));
}

#[test]
fn what_cannot_be_is_refused_with_its_place() {
    let cases: &[(Value, &str, Kind)] = &[
        (json!({"do": "storm"}), "events[0]", Kind::MissingKey),
        (json!({"do": "storm", "count": 0}), "events[0].count", Kind::BadValue),
        (json!({"do": "storm", "count": 1 << 23}), "events[0]", Kind::TooLarge),
        (json!({"do": "storm", "count": 1, "order": "x"}), "events[0].order", Kind::BadValue),
        (json!({"do": "storm", "count": 1, "device": "x"}), "events[0].device", Kind::BadReference),
        (json!({"do": "storm", "count": 1, "ranges": []}), "events[0]", Kind::BadValue),
        (
            json!({"do": "storm", "count": 1, "ranges": [[0, 0]]}),
            "events[0].ranges[0]",
            Kind::BadValue,
        ),
        (
            json!({"do": "storm", "count": 1, "device": "pmem0", "ranges": [[SIZE, 1]]}),
            "events[0].ranges",
            Kind::BadValue,
        ),
        (json!({"do": "storm", "count": 1, "flags": ["x"]}), "events[0].flags[0]", Kind::BadValue),
        (json!({"do": "storm", "count": 1, "speed": 1}), "events[0]", Kind::UnknownKey),
        (json!({"do": "memory_failure_list", "pfns": []}), "events[0].pfns", Kind::BadValue),
        (
            json!({"do": "memory_failure_range", "phys": 0, "len": 0}),
            "events[0].len",
            Kind::BadValue,
        ),
        (
            json!({"do": "memory_failure_range", "phys": u64::MAX, "len": 2}),
            "events[0]",
            Kind::BadValue,
        ),
    ];
    for (event, path, kind) in cases {
        let text = busy().event(event.clone()).0.to_string();
        let err = Scenario::from_str(&text, "t.json").expect_err(path);
        assert_eq!((err.path(), err.kind()), (*path, *kind), "{event}: {err}");
    }
    let half = json!({"do": "storm", "count": 3 << 20});
    let text = busy().event(half.clone()).event(half).0.to_string();
    let err = Scenario::from_str(&text, "t.json").unwrap_err();
    assert_eq!((err.path(), err.kind()), ("events", Kind::TooLarge));
}
