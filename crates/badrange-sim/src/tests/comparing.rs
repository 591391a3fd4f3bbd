//! The rules for comparing, each with what agrees and what just does not.

use serde_json::{Value, json};

use super::build::{DATA, VADDR, extent, machine, process};
use crate::{Profile, Scenario, check};

/// One event with an answer of every kind: a machine check on page 1 of a file that A maps twice
/// and B once, each early.
fn paths(expect: Value) -> Vec<String> {
    let mut a = process("A", 10, "early", 131, 65_536);
    let mut again = a["maps"][0].clone();
    again["vaddr"] = (VADDR + (1 << 30)).into();
    a["maps"].as_array_mut().unwrap().push(again);
    let base = machine()
        .extent(extent(65_536, 65_536, 131, 0))
        .process(a)
        .process(process("B", 20, "early", 131, 65_536))
        .event(json!({"do": "machine_check", "severity": "ao", "phys": DATA + 69_632, "lsb": 6}))
        .set("/expect", json!({"events": [expect]}))
        .scenario();
    check(&base).iter().map(|difference| difference.path().to_owned()).collect()
}

fn agrees(expect: Value) {
    assert_eq!(paths(expect.clone()), [""; 0], "{expect}");
}

fn differs(expect: Value, path: &str) {
    assert_eq!(paths(expect.clone()), [path], "{expect}");
}

#[test]
fn what_is_not_expected_is_not_compared() {
    agrees(json!({}));
    agrees(json!({"holder": {}, "records": [{}], "badblocks": {}}));
    differs(json!({"records": []}), "events[0].records");
    differs(json!({"records": [{}, {}]}), "events[0].records");
}

#[test]
fn numbers_are_values() {
    agrees(json!({"ret": 0, "pfn": (DATA + 69_632) / 4096}));
    agrees(json!({"pfn": format!("{:#X}", (DATA + 69_632) / 4096).replace('X', "x")}));
    differs(json!({"holder": {"start": "0x10000"}}), "events[0].holder.start");
    differs(json!({"ret": -5}), "events[0].ret");
}

#[test]
fn null_is_null_or_absent() {
    agrees(json!({"crash": null, "stuck": null, "recovery": null, "holder": {"device": "pmem0"}}));
    differs(json!({"action": null}), "events[0].action");
    differs(json!({"crash": "oops"}), "events[0].crash");
}

#[test]
fn sets_have_no_order() {
    agrees(json!({"flags": [], "killed": [], "nospec": [(DATA + 69_632) / 4096]}));
    differs(json!({"flags": ["must_kill"]}), "events[0].flags");
    differs(json!({"killed": ["A"]}), "events[0].killed");
    let range = json!({"phys": DATA + 69_632, "len": 64});
    agrees(json!({"badrange": [range, range]}));
    differs(json!({"badrange": []}), "events[0].badrange");
}

#[test]
fn signals_are_matched_one_to_one() {
    let at = |tag: &str, addr: u64| json!({"tag": tag, "addr": addr});
    let (first, second) = (VADDR + 4096, VADDR + (1 << 30) + 4096);
    // Those that say least come first here, and have to take what is left.
    let all = json!([{"tag": "A"}, {}, at("A", second)]);
    agrees(json!({"signals": all}));
    agrees(json!({"signals": [at("B", first), at("A", second), at("A", first)]}));
    agrees(json!({"signals_include": [at("A", second)]}));
    differs(json!({"signals_include": [at("B", second)]}), "events[0].signals_include[0]");
    assert_eq!(paths(json!({"signals": [{"tag": "A"}, {"tag": "A"}]})), ["events[0].signals"]);
    let wrong = json!({"signals": [{"tag": "B"}, {"tag": "B"}, {"tag": "A"}]});
    assert_eq!(paths(wrong), ["events[0].signals[1]", "events[0].signals"]);
}

#[test]
fn unmapped_pages_are_compared_by_map() {
    let entry =
        |tag: &str, map: u64, ranges: Value| json!({"tag": tag, "map": map, "ranges": ranges});
    let page = || json!([[4096, 4096]]);
    let all = json!([
        entry("B", 0, page()),
        entry("A", 1, json!([])),
        entry("A", 0, page()),
        entry("A", 1, page())
    ]);
    agrees(json!({"unmapped": all}));
    differs(json!({"unmapped": [entry("B", 0, page())]}), "events[0].unmapped");
}

#[test]
fn only_named_tables_are_compared() {
    agrees(json!({"badblocks": {"pmem0": [[136, 1]]}}));
    differs(json!({"badblocks": {"pmem0": [[136, 2]]}}), "events[0].badblocks.pmem0");
    differs(json!({"badblocks": {"pmem9": []}}), "events[0].badblocks.pmem9");
}

#[test]
fn one_call_is_a_prefix_of_calls_too() {
    agrees(json!({"calls_prefix": [{"ret": 0, "owners": [{"page": 1}]}]}));
    differs(json!({"calls_prefix": [{"ret": -5}]}), "events[0].calls_prefix[0].ret");
    differs(json!({"calls": [{}]}), "events[0].calls");
}

#[test]
fn an_event_that_does_not_happen_differs() {
    let text = r#"{"schema":"badrange.scenario/1","name":"t","profile":"linux-6.1",
        "sysctl":{"memory_failure_recovery":0},"devices":[],
        "events":[{"do":"memory_failure","pfn":1},{"do":"memory_failure","pfn":1}],
        "expect":{"events":[{"crash":"panic"},{}]}}"#;
    let scenario = Scenario::from_str(text, "t.json").unwrap();
    assert_eq!(scenario.profile(), Profile::Linux6_1);
    let paths: Vec<_> = check(&scenario).iter().map(|d| d.to_string()).collect();
    assert_eq!(paths, ["events[1]: expected {}, got nothing"]);
}
