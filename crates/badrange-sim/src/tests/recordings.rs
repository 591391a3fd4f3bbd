//! What real kernels did, and what the model says they do.

use std::{fs, path::PathBuf};

use crate::{Difference, Scenario, check, check_locations};

/// Names and texts of all recordings.
pub(super) fn texts() -> Vec<(String, String)> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/kernel-cases");
    let mut files: Vec<PathBuf> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
    files.iter().map(|path| (name(path), fs::read_to_string(path).unwrap())).collect()
}

fn recordings() -> Vec<(String, Scenario)> {
    let read = |(name, text): (String, String)| {
        let scenario = Scenario::from_str(&text, &name);
        (name, scenario.unwrap_or_else(|err| panic!("{err}")))
    };
    texts().into_iter().map(read).collect()
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
