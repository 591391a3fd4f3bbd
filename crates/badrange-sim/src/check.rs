//! Comparing an outcome with what was observed.

mod bag;
mod shape;

use core::fmt;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

pub(crate) use self::shape::expect;
use self::shape::{EVENT, Kind, Shape};
use crate::{
    RunOutcome, Scenario,
    kernel::{Quirks, Version, run},
    machine::Machine,
    scenario::{
        Event, FileId, Location,
        json::{brief, integer},
    },
};

/// One thing that an outcome says otherwise than expected.
///
/// # Examples
/// ```
/// use badrange_sim::{Scenario, check};
/// let text = r#"{"schema":"badrange.scenario/1","name":"ram","profile":"linux-6.1","devices":[],
///   "events":[{"do":"memory_failure","pfn":1,"flags":[]}],
///   "expect":{"events":[{"ret":0,"action":null}]}}"#;
/// let differences = check(&Scenario::from_str(text, "ram.json")?);
/// assert_eq!(differences.len(), 1);
/// assert_eq!(differences[0].to_string(), "events[0].ret: expected 0, got -6");
/// # Ok::<(), badrange_sim::ScenarioError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    path: String,
    expected: Value,
    got: Value,
}

impl Difference {
    /// Where in the outcome: `events[0].holder.ret`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What was observed; null where there should be nothing.
    #[must_use]
    pub const fn expected(&self) -> &Value {
        &self.expected
    }

    /// What the outcome says; null where it says nothing.
    #[must_use]
    pub const fn got(&self) -> &Value {
        &self.got
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |value: &Value| match value.is_null() {
            true => "nothing".to_owned(),
            false => brief(value),
        };
        write!(f, "{}: expected {}, got {}", self.path, text(&self.expected), text(&self.got))
    }
}

/// Runs a scenario by its own profile and compares; empty when all that was observed is predicted,
/// and when nothing was.
///
/// # Examples
/// ```
/// use badrange_sim::{Scenario, check};
/// let text = r#"{"schema":"badrange.scenario/1","name":"ram","profile":"linux-6.1","devices":[],
///   "events":[{"do":"memory_failure","pfn":1,"flags":[]}],
///   "expect":{"events":[{"ret":-6,"signals":[]}]}}"#;
/// assert!(check(&Scenario::from_str(text, "ram.json")?).is_empty());
/// # Ok::<(), badrange_sim::ScenarioError>(())
/// ```
#[must_use]
pub fn check(scenario: &Scenario) -> Vec<Difference> {
    compare(scenario, &run(scenario, None))
}

/// Compares an outcome with what the scenario says was observed, in the order of the scenario.
///
/// Only keys that the expectation has are compared, at every depth.
///
/// # Examples
/// ```
/// use badrange_sim::{Profile, Scenario, compare, run};
/// let text = r#"{"schema":"badrange.scenario/1","name":"ram","profile":"linux-6.1","devices":[],
///   "events":[{"do":"memory_failure","pfn":"0x10","flags":["must_kill"]}],
///   "expect":{"events":[{"pfn":16,"flags":["must_kill"]}]}}"#;
/// let scenario = Scenario::from_str(text, "ram.json")?;
/// let outcome = run(&scenario, Some(Profile::Linux7_2));
/// assert!(compare(&scenario, &outcome).is_empty());
/// # Ok::<(), badrange_sim::ScenarioError>(())
/// ```
#[must_use]
pub fn compare(scenario: &Scenario, outcome: &RunOutcome) -> Vec<Difference> {
    let mut differences = Vec::new();
    for (i, expected) in scenario.expect.iter().flatten().enumerate() {
        if expected.is_null() {
            continue;
        }
        let path = format!("events[{i}]");
        let Some(got) = outcome.events.get(i).and_then(|event| serde_json::to_value(event).ok())
        else {
            let (expected, got) = (expected.clone(), Value::Null);
            differences.push(Difference { path, expected, got });
            continue;
        };
        let injector = scenario.events.get(i).and_then(|event| injector(scenario, event));
        let mut comparer = Comparer { injector, differences };
        comparer.object(EVENT, &path, expected, &got);
        differences = comparer.differences;
    }
    differences
}

fn injector<'a>(scenario: &'a Scenario, event: &Event) -> Option<&'a str> {
    let by = match event {
        Event::MemoryFailure { by, .. } => (*by)?,
        Event::Madvise { by, .. } => *by,
        Event::MachineCheck { .. }
        | Event::Notify { .. }
        | Event::Unbind { .. }
        | Event::Mount { .. }
        | Event::Touch { .. }
        | Event::Io { .. }
        | Event::Storm(_) => return None,
    };
    Some(&scenario.process(by).tag)
}

struct Comparer<'a> {
    injector: Option<&'a str>,
    differences: Vec<Difference>,
}

impl Comparer<'_> {
    fn differ(&mut self, path: &str, expected: &Value, got: &Value) {
        let (path, expected, got) = (path.to_owned(), expected.clone(), got.clone());
        self.differences.push(Difference { path, expected, got });
    }

    fn object(&mut self, shape: Shape, path: &str, expected: &Value, got: &Value) {
        let (Value::Object(expected), Value::Object(got_map)) = (expected, got) else {
            return self.differ(path, expected, got);
        };
        for (key, value) in expected {
            let kind = shape.iter().find(|(known, _)| known == key).map(|(_, kind)| *kind);
            if let Some(kind) = kind {
                self.value(kind, &format!("{path}.{key}"), value, lookup(kind, key, got_map));
            }
        }
    }

    /// One key. `null` expects null or nothing.
    fn value(&mut self, kind: Kind, path: &str, expected: &Value, got: Option<Value>) {
        let got = got.unwrap_or(Value::Null);
        let equal = match kind {
            _ if expected.is_null() => got.is_null(),
            Kind::Number => integer(expected) == integer(&got) && !got.is_null(),
            Kind::Text | Kind::Switch => *expected == got,
            Kind::Owner => *expected == got || same_number(expected, &got),
            Kind::Words => words(expected) == words(&got) && !got.is_null(),
            Kind::Numbers => numbers(expected) == numbers(&got) && !got.is_null(),
            Kind::Unmapped => {
                let injector = self.injector;
                unmapped(expected, injector) == unmapped(&got, injector) && !got.is_null()
            }
            Kind::Object(shape) => return self.object(shape, path, expected, &got),
            Kind::List(shape) => return self.list(shape, path, expected, &got),
            Kind::Prefix(_, shape) => return self.prefix(shape, path, expected, &got),
            Kind::Bag(shape) => return self.bag(shape, path, expected, &got, true),
            Kind::Among(_, shape) => return self.bag(shape, path, expected, &got, false),
            Kind::Set(shape) => return self.set(shape, path, expected, &got),
            Kind::Tables => return self.tables(path, expected, &got),
        };
        if !equal {
            self.differ(path, expected, &got);
        }
    }

    fn list(&mut self, shape: Shape, path: &str, expected: &Value, got: &Value) {
        match (expected.as_array(), got.as_array()) {
            (Some(e), Some(g)) if e.len() == g.len() => self.prefix(shape, path, expected, got),
            _ => self.differ(path, expected, got),
        }
    }

    fn prefix(&mut self, shape: Shape, path: &str, expected: &Value, got: &Value) {
        match (expected.as_array(), got.as_array()) {
            (Some(e), Some(g)) if e.len() <= g.len() => {
                for (i, (e, g)) in e.iter().zip(g).enumerate() {
                    self.object(shape, &format!("{path}[{i}]"), e, g);
                }
            }
            _ => self.differ(path, expected, got),
        }
    }

    /// A multiset; unless `all`, there may be more than expected.
    fn bag(&mut self, shape: Shape, path: &str, expected: &Value, got: &Value, all: bool) {
        let (Some(e), Some(g)) = (expected.as_array(), got.as_array()) else {
            return self.differ(path, expected, got);
        };
        let fits =
            |i: usize, j: usize| e.get(i).zip(g.get(j)).is_some_and(|(e, g)| agrees(shape, e, g));
        let weight = |i: usize| e.get(i).and_then(Value::as_object).map_or(0, Map::len);
        let pairs = bag::matching(e.len(), g.len(), &fits, &weight);
        for (i, (value, pair)) in e.iter().zip(&pairs).enumerate() {
            if pair.is_none() {
                self.differ(&format!("{path}[{i}]"), value, &Value::Null);
            }
        }
        let taken: BTreeSet<usize> = pairs.into_iter().flatten().collect();
        let spare = g.iter().enumerate().filter(|(j, _)| all && !taken.contains(j));
        for (_, value) in spare {
            self.differ(path, &Value::Null, value);
        }
    }

    fn set(&mut self, shape: Shape, path: &str, expected: &Value, got: &Value) {
        let (Some(e), Some(g)) = (expected.as_array(), got.as_array()) else {
            return self.differ(path, expected, got);
        };
        let missing = e.iter().any(|e| !g.iter().any(|g| agrees(shape, e, g)));
        if missing || g.iter().any(|g| !e.iter().any(|e| agrees(shape, e, g))) {
            self.differ(path, expected, got);
        }
    }

    fn tables(&mut self, path: &str, expected: &Value, got: &Value) {
        for (name, rows) in expected.as_object().into_iter().flatten() {
            let found = got.get(name).unwrap_or(&Value::Null);
            if !rows.is_null() && (found.is_null() || ranges(rows) != ranges(found)) {
                self.differ(&format!("{path}.{name}"), rows, found);
            }
        }
    }
}

/// The value of a key, or of the key that stands for it. A single call is also a list of one.
fn lookup(kind: Kind, key: &str, got: &Map<String, Value>) -> Option<Value> {
    match kind {
        Kind::Among(other, _) => got.get(other).cloned(),
        Kind::Prefix(other, _) => match got.get(other) {
            Some(list) => Some(list.clone()),
            None if got.contains_key("pfn") => Some(vec![Value::Object(got.clone())].into()),
            None => None,
        },
        Kind::Number
        | Kind::Text
        | Kind::Switch
        | Kind::Owner
        | Kind::Words
        | Kind::Numbers
        | Kind::Object(_)
        | Kind::List(_)
        | Kind::Bag(_)
        | Kind::Set(_)
        | Kind::Unmapped
        | Kind::Tables => got.get(key).cloned(),
    }
}

fn agrees(shape: Shape, expected: &Value, got: &Value) -> bool {
    let mut comparer = Comparer { injector: None, differences: Vec::new() };
    comparer.object(shape, "", expected, got);
    comparer.differences.is_empty()
}

fn same_number(a: &Value, b: &Value) -> bool {
    let (a, b) = (integer(a), integer(b));
    a.is_some() && a == b
}

fn words(value: &Value) -> BTreeSet<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

fn numbers(value: &Value) -> BTreeSet<i128> {
    value.as_array().into_iter().flatten().filter_map(integer).collect()
}

/// Pairs of numbers.
fn ranges(value: &Value) -> Vec<Vec<Option<i128>>> {
    let pair = |value: &Value| value.as_array().into_iter().flatten().map(integer).collect();
    value.as_array().into_iter().flatten().map(pair).collect()
}

/// Ranges by process and map, joined where they touch.
fn unmapped(value: &Value, injector: Option<&str>) -> BTreeMap<(String, i128), Vec<(i128, i128)>> {
    let mut maps = BTreeMap::<_, Vec<_>>::new();
    for entry in value.as_array().into_iter().flatten() {
        let tag = entry.get("tag").and_then(Value::as_str).unwrap_or_default();
        let map = entry.get("map").and_then(integer).unwrap_or_default();
        if Some(tag) == injector {
            continue;
        }
        for pair in ranges(entry.get("ranges").unwrap_or(&Value::Null)) {
            if let [Some(start), Some(len)] = pair.as_slice() {
                let end = start.saturating_add(*len);
                maps.entry((tag.to_owned(), map)).or_default().push((*start, end));
            }
        }
    }
    maps.into_iter().map(|(key, ranges)| (key, joined(ranges))).collect()
}

fn joined(mut ranges: Vec<(i128, i128)>) -> Vec<(i128, i128)> {
    ranges.sort_unstable();
    let mut all: Vec<(i128, i128)> = Vec::new();
    for (start, end) in ranges {
        match all.last_mut() {
            Some(last) if start <= last.1 => last.1 = last.1.max(end),
            Some(_) | None => all.push((start, end)),
        }
    }
    all
}

/// Compares where bytes of files were seen in physical memory with where the stack puts them.
///
/// # Examples
/// ```
/// use badrange_sim::{Scenario, check_locations};
/// let text = r#"{"schema":"badrange.scenario/1","name":"dax","profile":"linux-6.1",
///   "devices":[{"name":"dax0.0","kind":"pmem","phys":"0x130000000","size":"0x30000000",
///               "data_offset":"0xe00000","mode":"devdax"}],
///   "events":[],
///   "locations":[{"device":"dax0.0","file_start":4096,"phys":"0x130e01000","len":4096},
///                {"device":"dax0.0","file_start":8192,"phys":"0x130e01000","len":4096}]}"#;
/// let differences = check_locations(&Scenario::from_str(text, "dax.json")?);
/// assert_eq!(differences.len(), 1);
/// assert_eq!(differences[0].path(), "locations[1].phys");
/// # Ok::<(), badrange_sim::ScenarioError>(())
/// ```
#[must_use]
pub fn check_locations(scenario: &Scenario) -> Vec<Difference> {
    let machine = Machine::new(scenario, Quirks::new(Version::V6_1));
    let found = scenario.locations.iter().enumerate().filter_map(|(i, location)| {
        let (expected, got) = misplaced(&machine, *location)?;
        let hex = |phys: Option<u64>| phys.map_or(Value::Null, |phys| format!("{phys:#x}").into());
        let path = format!("locations[{i}].phys");
        Some(Difference { path, expected: hex(Some(expected)), got: hex(got) })
    });
    found.collect()
}

/// The first part of a location that is somewhere else: where it was seen, and where the stack
/// puts it.
fn misplaced(machine: &Machine<'_>, location: Location) -> Option<(u64, Option<u64>)> {
    let mut done = 0;
    while done < location.len {
        let expected = location.phys.checked_add(done)?;
        let rest = location.len.saturating_sub(done);
        let found = location.file_start.checked_add(done);
        let found = found.and_then(|at| locate(machine, location.file, at, rest));
        match found {
            Some((phys, len)) if phys == expected => done = done.saturating_add(len),
            Some((phys, _)) => return Some((expected, Some(phys))),
            None => return Some((expected, None)),
        }
    }
    None
}

/// Where a byte of a file is in physical memory, and how many of the `len` bytes from there on
/// follow it.
fn locate(machine: &Machine<'_>, file: FileId, at: u64, len: u64) -> Option<(u64, u64)> {
    let (device, at, len) = match file {
        FileId::Device(device) => (device, at, len),
        FileId::Inode { fs, ino } => {
            let (extent, at) = machine.fs(fs).data_extent(ino, at)?;
            let rest = extent.end().checked_sub(at)?;
            (extent.device, at, len.min(rest))
        }
    };
    let bytes = machine.below(device, at, len)?;
    Some((machine.phys(bytes.pmem, bytes.at)?, bytes.len))
}
