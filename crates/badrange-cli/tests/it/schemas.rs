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

#[test]
fn outcomes_of_all_recordings_are_in_their_schema() {
    use badrange_sim::{Profile, Scenario, run};
    let dir = root().join("../badrange-sim/tests/fixtures/kernel-cases");
    let mut count = 0;
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let name = path.display().to_string();
        let scenario = Scenario::from_str(&text, &name).unwrap();
        for profile in [None, Some(Profile::Ranged), Some(Profile::RangeOwners)] {
            let outcome = serde_json::to_value(run(&scenario, profile)).unwrap();
            assert_eq!(faults(&outcome), Vec::<String>::new(), "{name} {profile:?}");
            count += 1;
        }
    }
    assert!(count >= 3 * 172);
}

#[test]
fn the_simulator_prints_its_schemas() {
    for scenario in ["reflink", "linear", "striped", "partitions", "removal", "storm"] {
        let path = format!("../../examples/scenarios/{scenario}.json");
        holds(&["sim", "compare", &path, "--json"]);
        holds(&["sim", "run", &path, "--json"]);
    }
    for scenario in
        ["sim.in/reflink", "sim.in/holes", "sim-storms.in/storm", "sim-storms.in/layers"]
    {
        let path = format!("tests/cmd/{scenario}.json");
        holds(&["sim", "run", &path, "--json", "--profile", "ranged"]);
        holds(&["sim", "run", &path, "--json", "--profile", "linux-6.1"]);
    }
    let path = "tests/cmd/sim.in/reflink.json";
    let mut sweep = Command::new(env!("CARGO_BIN_EXE_badrange"));
    let profiles = "ranged,linux-7.2,per-pfn";
    sweep.args(["sim", "sweep", path, "--seeds", "0..30", "--profiles", profiles]);
    let lines = sweep.current_dir(root()).output().unwrap().stdout;
    let lines = String::from_utf8(lines).unwrap();
    assert_eq!(lines.lines().count(), 90);
    for line in lines.lines() {
        assert_eq!(faults(&serde_json::from_str(line).unwrap()), Vec::<String>::new(), "{line}");
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("lines.jsonl");
    fs::write(&file, lines).unwrap();
    holds(&["sim", "summarize", &file.display().to_string(), "--json"]);
}

#[test]
fn stacks_and_lists_print_their_schemas() {
    holds(&["check-stack", "--stack", STACK, "--json"]);
    for stack in ["good", "degraded", "overlap", "wrong"] {
        let path = format!("tests/cmd/check-stack.in/{stack}.toml");
        holds(&["check-stack", "--stack", &path, "--json"]);
    }
    holds(&["badblocks", "apply", "set:16+8", "check:16+1", "check:0+1", "clear:17+1", "--json"]);
    let access = ["--stack", "tests/cmd/badblocks.in/stack.toml", "--at", "pmem0:16+4", "--json"];
    for profile in ["ranged", "linux-7.2"] {
        for what in ["read", "write"] {
            let begin = ["badblocks", "access", what, "--profile", profile];
            holds(&[begin.as_slice(), access.as_slice()].concat());
        }
    }
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
