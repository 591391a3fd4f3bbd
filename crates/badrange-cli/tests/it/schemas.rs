//! Whatever the command prints as JSON is what its schema in `docs/schema` says.

use std::{fs, path::PathBuf, process::Command};

use serde_json::Value;

const STACK: &str = "example/stack.toml";
const FILE: &str = "/ib/orders.ibd:1047552+2048";
const EVERYTHING: &str = "disk:0+1310721,pfn:0,vgdata-mysql:2238+4,lba@disk:1";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn printed(arguments: &[&str]) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_badrange"));
    let output = command.args(arguments).current_dir(root()).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|err| panic!("{arguments:?}: {err}: {error}"))
}

/// What the schema of a document has against it.
fn faults(document: &Value) -> Vec<String> {
    let name = document["schema"].as_str().unwrap().replace('/', "-");
    let path = root().join(format!("../../docs/schema/{name}.json"));
    let text = fs::read_to_string(&path).unwrap_or_else(|err| panic!("{}: {err}", path.display()));
    let schema: Value = serde_json::from_str(&text).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    validator.iter_errors(document).map(|err| format!("{}: {err}", err.instance_path())).collect()
}

fn holds(arguments: &[&str]) {
    let document = printed(arguments);
    assert_eq!(faults(&document), Vec::<String>::new(), "{arguments:?}");
}

#[test]
fn explain_prints_its_schema() {
    holds(&["explain", "--stack", STACK, "--at", EVERYTHING, "--json"]);
    holds(&["explain", "--stack", STACK, "--at", EVERYTHING, "--format", "json"]);
}

#[test]
fn locate_prints_its_schema() {
    holds(&["locate", "--stack", STACK, "--file", FILE, "--json"]);
    holds(&["locate", "--stack", STACK, "--file", "/ib/prealloc:0+999999", "--json"]);
}

#[test]
fn inject_prints_its_schema() {
    for injector in ["dm-dust", "dm-error", "block-error-injection", "null_blk", "scsi_debug"] {
        holds(&["inject", "--stack", STACK, "--file", FILE, "--emit", injector, "--json"]);
    }
}

#[test]
fn plan_prints_its_schema() {
    holds(&["plan", "--stack", STACK, "--at", EVERYTHING, "--json"]);
}

/// A schema that lets everything pass would not be one.
#[test]
fn schemas_refuse_what_is_not_in_them() {
    let mut document = printed(&["explain", "--stack", STACK, "--at", "disk:71870", "--json"]);
    assert!(faults(&document).is_empty());
    document["queries"][0]["pieces"][0]["verdict"] = "perhaps".into();
    assert_eq!(faults(&document).len(), 1);
    let mut document = printed(&["locate", "--stack", STACK, "--file", FILE, "--json"]);
    document["pieces"][0]["sector"] = 7.into();
    assert!(!faults(&document).is_empty());
}
