//! Every input that a fuzzer ever found worth keeping, and every one that once failed, on stable
//! and without a fuzzer. Not part of the published crate: the corpora are not either.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a panic is a failed test")]

use core::panic::AssertUnwindSafe;
use std::{
    collections::BTreeSet,
    fs,
    panic::catch_unwind,
    path::{Path, PathBuf},
};

use badrange_testkit::fuzz::{FuzzTarget, TARGETS};

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz")
}

fn names(dir: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(fuzz().join(dir)).unwrap_or_else(|e| panic!("fuzz/{dir}: {e}"));
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn replay(target: &FuzzTarget, dir: &str) -> usize {
    let dir = format!("{dir}/{}", target.name());
    let all = if fuzz().join(&dir).is_dir() { names(&dir) } else { BTreeSet::new() };
    for name in &all {
        let bytes = fs::read(fuzz().join(&dir).join(name)).unwrap();
        if catch_unwind(AssertUnwindSafe(|| target.check(&bytes))).is_err() {
            let code = target.reproduction(&bytes).unwrap_or_default();
            panic!("fuzz/{dir}/{name} fails:\n{code}");
        }
    }
    all.len()
}

#[test]
fn every_input_of_every_corpus_is_in_order() {
    for target in TARGETS {
        assert!(replay(target, "corpus") > 0, "{} has no corpus", target.name());
    }
}

#[test]
fn what_failed_once_is_in_order() {
    for target in TARGETS {
        let _count = replay(target, "regressions");
    }
}

#[test]
fn the_table_the_programs_and_the_directories_name_the_same_targets() {
    let table: BTreeSet<String> = TARGETS.iter().map(|target| target.name().to_owned()).collect();
    assert_eq!(table.len(), TARGETS.len(), "a name twice");
    let programs = names("fuzz_targets");
    let programs: BTreeSet<String> =
        programs.iter().map(|name| name.strip_suffix(".rs").unwrap().to_owned()).collect();
    assert_eq!(programs, table);
    assert_eq!(names("corpus"), table);
    let known = names("regressions").into_iter().filter(|name| !name.ends_with(".md"));
    assert!(known.collect::<BTreeSet<_>>().is_subset(&table));
    let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    let page = fs::read_to_string(fuzz().join("../docs/fuzzing.md")).unwrap();
    for name in &table {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name} is not built");
        assert!(page.contains(&format!("| `{name}` |")), "docs/fuzzing.md lacks {name}");
    }
}

#[test]
fn targets_are_a_line_and_its_surroundings() {
    for name in names("fuzz_targets") {
        let text = fs::read_to_string(fuzz().join("fuzz_targets").join(&name)).unwrap();
        assert!(text.lines().count() <= 15, "{name}");
    }
}

/// The committed dictionaries are those of the formats; `BADRANGE_BLESS=1` writes them.
#[test]
fn dictionaries_are_the_words_of_their_formats() {
    let bless = std::env::var_os("BADRANGE_BLESS").is_some();
    let mut due = BTreeSet::new();
    for target in TARGETS.iter().filter(|target| !target.words().is_empty()) {
        let name = format!("{}.dict", target.name());
        let path = fuzz().join("dictionaries").join(&name);
        due.insert(name);
        if bless {
            fs::write(&path, target.dictionary()).unwrap();
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), target.dictionary(), "{}", path.display());
    }
    assert_eq!(names("dictionaries"), due);
}
