//! Manual pages and completions.

use std::{fs, path::Path, process::Command};

fn badrange(args: &[&str]) -> (Vec<u8>, i32) {
    let output = Command::new(env!("CARGO_BIN_EXE_badrange")).args(args).output().unwrap();
    (output.stdout, output.status.code().unwrap())
}

#[test]
fn the_manual_pages_in_docs_are_current() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/man");
    if !docs.exists() {
        return; // built from the published crate, which has no docs
    }
    let fresh = tempfile::tempdir().unwrap();
    let (_, status) = badrange(&["man", "--dir", &fresh.path().display().to_string()]);
    assert_eq!(status, 0);
    let names = |dir: &Path| {
        let mut names: Vec<_> =
            fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(names(&docs), names(fresh.path()), "run: badrange man --dir docs/man");
    for name in names(fresh.path()) {
        let (old, new) = (fs::read(docs.join(&name)), fs::read(fresh.path().join(&name)));
        assert_eq!(old.unwrap(), new.unwrap(), "{name:?} is old: badrange man --dir docs/man");
    }
}

#[test]
fn every_shell_has_completions() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let (script, status) = badrange(&["completions", shell]);
        assert_eq!(status, 0, "{shell}");
        assert!(String::from_utf8(script).unwrap().contains("explain"), "{shell}");
    }
}

#[test]
fn an_example_is_never_written_over_something() {
    let dir = tempfile::tempdir().unwrap();
    let (_, status) = badrange(&["example", &dir.path().display().to_string()]);
    assert_eq!(status, 65);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("example");
    assert_eq!(badrange(&["example", &target.display().to_string()]).1, 0);
    let stack = target.join("stack.toml");
    // The whole disk, as JSON, into a pipe that nobody reads.
    let mut child = Command::new(env!("CARGO_BIN_EXE_badrange"))
        .args(["explain", "--json", "--at", "disk:0+1310720", "--stack"])
        .arg(stack)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn shards_joined_are_the_whole_sweep() {
    let scenario = Path::new(env!("CARGO_MANIFEST_DIR")).join("example/scenario.json");
    let scenario = scenario.display().to_string();
    let sweep = |shard: &str| {
        let (text, status) =
            badrange(&["sim", "sweep", &scenario, "--seeds", "5..105", "--shard", shard]);
        assert_eq!(status, 0);
        let text = String::from_utf8(text).unwrap();
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let mut whole = sweep("0/1");
    assert_eq!((whole.len(), &whole), (100, &sweep("0/1")));
    let mut joined: Vec<String> = ["0/3", "1/3", "2/3"].into_iter().flat_map(sweep).collect();
    whole.sort();
    joined.sort();
    assert_eq!(whole, joined);
}
