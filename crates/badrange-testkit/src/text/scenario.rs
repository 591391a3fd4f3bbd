use badrange_sim::{Profile, Scenario, check, run};

use super::{TextFormat, check_message};

/// Scenarios of the simulator, as JSON. A small one that loads is run as every kernel, twice.
///
/// # Examples
/// ```
/// use badrange_testkit::text::{ScenarioJson, TextFormat};
/// ScenarioJson::check(br#"{"schema":"badrange.scenario/1","name":"n","profile":"linux-7.2",
///   "devices":[{"name":"pmem0","kind":"pmem","phys":"0x100000000","size":"0x20000000",
///   "data_offset":"0x200000"}],"events":[{"do":"memory_failure","pfn":"0x100300","flags":[]}]}"#);
/// ```
#[derive(Debug)]
pub enum ScenarioJson {}

/// Events whose work is bounded by the whole machine, not by the text.
const LARGE: [&str; 4] = ["storm", "memory_failure_range", "memory_failure_list", "madvise"];

/// The longest text that is run as well.
const RUN_BYTES: usize = 16 << 10;

impl TextFormat for ScenarioJson {
    const WORDS: &'static [&'static str] = &[
        "{\"schema\":\"badrange.scenario/1\",",
        "\"name\":\"n\",",
        "\"profile\":\"linux-6.1\",",
        "\"profile\":\"linux-6.12\",",
        "\"profile\":\"linux-7.2\",",
        "\"sysctl\":{",
        "\"devices\":[",
        "\"kind\":\"pmem\",",
        "\"kind\":\"partition\",",
        "\"kind\":\"dm\",",
        "\"table\":[\"0 8 linear pmem0 0\"]",
        "\"phys\":\"0x100000000\",",
        "\"size\":\"0x20000000\",",
        "\"data_offset\":\"0x200000\"",
        "\"badblocks\":[[8,1]]",
        "\"region\":{",
        "\"filesystems\":[",
        "\"kind\":\"xfs\",",
        "\"rmapbt\":true,",
        "\"ag_blocks\":32640,",
        "\"ag_count\":4,",
        "\"blocks\":130560,",
        "\"extents\":[",
        "{\"start\":98304,\"len\":65536,\"owner\":131,\"fork\":\"data\",\"file_start\":0}",
        "\"processes\":[",
        "\"tag\":\"A\",",
        "\"pid\":504,",
        "\"kill\":\"early\",",
        "\"maps\":[",
        "\"file\":{\"fs\":\"xfs0\",\"ino\":131},",
        "\"vaddr\":\"0x7f0000000000\",",
        "\"touched\":[[0,65536]]",
        "\"events\":[",
        "{\"do\":\"memory_failure\",\"pfn\":\"0x100300\",\"flags\":[]}",
        "{\"do\":\"load\",",
        "{\"do\":\"store\",",
        "{\"do\":\"read\",",
        "{\"do\":\"write\",",
        "{\"do\":\"unbind\",",
        "\"expect\":[",
        "]}",
        "}",
        "]",
    ];

    fn check(text: &[u8]) {
        let Ok(utf8) = core::str::from_utf8(text) else { return };
        let scenario = match Scenario::from_str(utf8, "s.json") {
            Ok(scenario) => scenario,
            Err(err) => return check_message(None, &err.to_string(), text),
        };
        let large = scenario.event_kinds().any(|kind| LARGE.contains(&kind));
        if large || text.len() > RUN_BYTES {
            return;
        }
        for profile in [Profile::Linux6_1, Profile::Linux6_12, Profile::Linux7_2] {
            let first = run(&scenario, Some(profile));
            assert_eq!(first, run(&scenario, Some(profile)), "the same every time");
        }
        let _differences = check(&scenario);
    }
}
