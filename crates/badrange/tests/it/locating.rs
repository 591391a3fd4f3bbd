//! `locate` on real stacks, against the other direction: what lies at the bottom of a file's bytes
//! must be explained as those very bytes.

use std::{fs, path::PathBuf};

use badrange::{
    explain::locate::{Located, LocatedPiece},
    explain::{Explainer, Position},
    input::{DirFiles, MemoryFiles, Topology},
};
use serde_json::Value;

fn dir(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn on_disk(folder: &str) -> Explainer {
    let text = fs::read_to_string(dir(folder).join("stack.toml")).unwrap();
    let topology = Topology::load("stack.toml", &text, &DirFiles::new(dir(folder))).unwrap();
    Explainer::new(topology).unwrap()
}

/// Every way down of a piece explains back, byte for byte, to the file it is a piece of.
fn explains_back(explainer: &Explainer, located: &Located, piece: &LocatedPiece) {
    for route in &piece.routes {
        let Position { device, start, .. } = &route[0];
        let at = format!("{device}:{start}+{}B", piece.len);
        let answer = explainer.explain(&explainer.locate(&at).unwrap());
        let mut file = piece.file_start;
        for found in &answer.queries[0].pieces {
            let mut owners = found.owners.iter();
            let owner = owners
                .find(|o| o.fs == located.fs && o.ino == located.ino && o.start == Some(file));
            assert!(owner.is_some(), "{at}: {} at {file}: {found:?}", located.file);
            let ways: Vec<Vec<&str>> = found
                .routes
                .iter()
                .map(|way| way.iter().map(|p| p.device.as_str()).collect())
                .collect();
            let way: Vec<&str> = route.iter().map(|p| p.device.as_str()).collect();
            assert!(ways.contains(&way), "{at}: {ways:?}");
            file += found.len;
        }
        assert_eq!(file, piece.file_start + piece.len, "{at}");
    }
}

/// Locates every file of a stack as a whole; returns how many pieces there were.
fn all_files(explainer: &Explainer) -> usize {
    let mut pieces = 0;
    for fs in explainer.topology().filesystems() {
        let device = &explainer.topology().devices()[fs.device].name;
        for ino in fs.paths.keys() {
            let Ok(located) = explainer.locate_file(&format!("{device}:<{ino}>")) else {
                continue; // no map lists anything of it
            };
            let mut at = located.start;
            for piece in &located.pieces {
                assert_eq!(piece.file_start, at);
                at += piece.len;
                explains_back(explainer, &located, piece);
            }
            assert_eq!(at, located.start + located.len);
            pieces += located.pieces.len();
        }
    }
    pieces
}

#[test]
fn every_file_of_the_golden_stack_explains_back() {
    // 132, 134, 135 and 136 are one extent each, 133 too; whatever else `paths` names adds to it.
    assert!(all_files(&on_disk("golden")) >= 5);
}

#[test]
fn every_file_on_dos_and_4kn_partitions_explains_back() {
    assert!(all_files(&on_disk("3-dos-4kn")) > 50);
}

#[test]
fn every_recorded_place_of_a_file_page_is_found() {
    let cases: Value =
        serde_json::from_str(&fs::read_to_string(dir("locations").join("locations.json")).unwrap())
            .unwrap();
    let mut found = 0;
    for case in cases.as_array().unwrap() {
        let mut files = MemoryFiles::new();
        for (name, text) in case["files"].as_object().unwrap() {
            files = files.with(name, text.as_str().unwrap());
        }
        let text = case["stack"].as_str().unwrap();
        let explainer =
            Explainer::new(Topology::load("stack.toml", text, &files).unwrap()).unwrap();
        for query in case["queries"].as_array().unwrap() {
            found += usize::from(is_found(&explainer, query));
        }
    }
    assert!(found > 100, "{found}");
}

/// Where a recording says that a page of a file was, `locate` says so too. False where the
/// recording is of something else.
fn is_found(explainer: &Explainer, query: &Value) -> bool {
    let pfn = query["at"].as_str().unwrap().strip_prefix("pfn:0x");
    let pfn = pfn.and_then(|at| at.strip_suffix("+1")).map(|hex| u64::from_str_radix(hex, 16));
    let owners = query["expect"]["owners"].as_array().into_iter().flatten();
    let mut any = false;
    for owner in owners.filter(|owner| owner["fork"] == "data") {
        let Some(Ok(pfn)) = pfn.clone() else { continue };
        let [ino, start] = ["ino", "start"].map(|key| owner[key].as_u64().unwrap());
        let fs = owner["fs"].as_str().unwrap();
        let located = explainer.locate_file(&format!("{fs}:<{ino}>:{start}+4096")).unwrap();
        let mut at = pfn * 4096;
        for piece in &located.pieces {
            assert_eq!(piece.memory, [Some(at)], "{query}");
            explains_back(explainer, &located, piece);
            at += piece.len;
        }
        any = true;
    }
    any
}
