//! What real kernels did, and what the model says they do.

use std::{fs, path::PathBuf};

use crate::{Difference, Scenario, check, check_locations};

fn recordings() -> Vec<(String, Scenario)> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/kernel-cases");
    let mut files: Vec<PathBuf> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let read = |path: PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let scenario = Scenario::from_str(&fs::read_to_string(&path).unwrap(), &name);
        (name, scenario.unwrap_or_else(|err| panic!("{err}")))
    };
    files.into_iter().map(read).collect()
}

fn report(what: fn(&Scenario) -> Vec<Difference>) -> String {
    let mut text = String::new();
    for (name, scenario) in recordings() {
        for difference in what(&scenario) {
            text.push_str(&format!("{name}: {difference}\n"));
        }
    }
    text
}

#[test]
fn every_recording_is_predicted() {
    assert!(recordings().len() >= 172);
    let differences = report(check);
    assert!(differences.is_empty(), "\n{differences}");
}

#[test]
fn every_byte_is_where_it_was_seen() {
    let differences = report(check_locations);
    assert!(differences.is_empty(), "\n{differences}");
}
