//! What real kernels did, and what the model says they do.

use std::{fs, path::PathBuf};

use serde_json::Value;

use crate::{Difference, Profile, Scenario, check, check_locations, run};

/// Names and texts of all recordings.
pub(crate) fn texts() -> Vec<(String, String)> {
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

/// No key stands twice in the JSON of an outcome, and nothing expected is lost in printing.
#[test]
fn outcomes_are_json() {
    for (name, scenario) in recordings() {
        for profile in Profile::ALL {
            let outcome = run(&scenario, Some(profile));
            let text = serde_json::to_string(&outcome).unwrap();
            let value: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(text.len(), value.to_string().len(), "{name}: {text}");
            assert_eq!(value["schema"], "badrange.outcome/1");
            assert_eq!(value["profile"], profile.as_str());
        }
    }
}
