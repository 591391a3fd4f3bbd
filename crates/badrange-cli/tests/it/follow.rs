//! `explain --follow` as a step of a pipe, and its schema.

use std::{
    collections::BTreeSet,
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("example/stack.toml")
}

/// The lines that come out for these that go in, and the exit status.
fn piped(text: &str) -> (Vec<Value>, i32) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_badrange"))
        .args(["explain", "--log", "-", "--follow", "--format", "jsonl", "--stack"])
        .arg(example())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (lines, output.status.code().unwrap())
}

const LOG: &str = "\
[1.0] critical medium error, dev disk, sector 71870 op 0x0:(READ)
[1.1] critical medium error, dev disk, sector 71870 op 0x0:(READ)
[1.2] critical medium error, dev other, sector 8 op 0x0:(READ)
[1.3] blk_print_req_error: 12 callbacks suppressed
";

#[test]
fn a_pipe_ends_with_the_status_of_everything_found() {
    let (lines, status) = piped(LOG);
    let events: Vec<_> = lines.iter().map(|line| line["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["finding", "unplaced", "truncated"]);
    // From sector 71870 to the end of its page: the end of one file's blocks, then shared ones.
    assert_eq!(lines[0]["at"], "disk:71870+2");
    assert_eq!(lines[0]["pieces"][0]["owners"][0]["paths"][0], "/ib/orders.ibd");
    assert_eq!(status, 1);
    assert_eq!(piped(""), (Vec::new(), 0));
}

/// Every line is of exactly one kind of the schema, and has what that kind needs and nothing else.
#[test]
fn every_event_is_in_the_schema() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let Ok(schema) = fs::read_to_string(root.join("docs/schema/badrange.event-1.json")) else {
        return; // built from the published crate, which has no docs
    };
    let schema: Value = serde_json::from_str(&schema).unwrap();
    let kinds = schema["oneOf"].as_array().unwrap();
    for line in piped(LOG).0 {
        let fitting = kinds.iter().filter(|kind| fits(kind, &line)).count();
        assert_eq!(fitting, 1, "{line}");
    }
}

fn fits(kind: &Value, line: &Value) -> bool {
    let properties = kind["properties"].as_object().unwrap();
    let known: BTreeSet<&str> = properties.keys().map(String::as_str).collect();
    let needed = kind["required"].as_array().unwrap().iter().map(|key| key.as_str().unwrap());
    let keys: BTreeSet<&str> = line.as_object().unwrap().keys().map(String::as_str).collect();
    needed.clone().all(|key| keys.contains(key))
        && keys.is_subset(&known)
        && properties.iter().all(|(key, rule)| line.get(key).is_none_or(|value| is(rule, value)))
}

fn is(rule: &Value, value: &Value) -> bool {
    let of_type = match rule["type"].as_str() {
        Some("string") => value.is_string(),
        Some("integer") => value.as_u64() >= rule["minimum"].as_u64() && value.is_u64(),
        Some("array") => value.is_array(),
        Some("object") => value.is_object(),
        _ => true,
    };
    let constant = rule.get("const").is_none_or(|constant| constant == value);
    let listed = rule["enum"].as_array().is_none_or(|list| list.contains(value));
    of_type && constant && listed
}
