//! The public API of every published library, compared with a golden list.
//!
//! A change of the API is never an accident: it shows up as a diff of `docs/api/<crate>.txt` that a
//! reviewer reads. The list comes from rustdoc's JSON, which only nightly writes.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::command::{Budget, Cmd};
use crate::failure::{Doing, Failure, Outcome};
use crate::steps::NIGHTLY;
use crate::toolchain;
use crate::workspace::{Package, Workspace, all_features};

/// The version of rustdoc's JSON that the pinned `public-api` reads.
const FORMAT: u32 = 57;

/// Compare with the golden lists, or rewrite them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Compare,
    Bless,
}

/// Compares or rewrites `docs/api/*.txt`.
pub(crate) fn check(
    workspace: &Workspace,
    budget: &Budget,
    mode: Mode,
) -> Result<Outcome, Failure> {
    let Some(nightly) = toolchain::find(NIGHTLY, budget) else {
        return Ok(Outcome::Skipped(
            "no nightly toolchain: `rustup toolchain install nightly`".into(),
        ));
    };
    let golden = workspace.root.join("docs/api");
    let mut differences = Vec::new();
    let mut expected = BTreeSet::new();
    for package in workspace.published_libraries() {
        let json = document(package, &nightly, workspace, budget)?;
        let format = format_version(&json)?;
        if format != FORMAT {
            let why = format!("{nightly} writes rustdoc JSON {format}, public-api reads {FORMAT}");
            return Ok(Outcome::Skipped(why));
        }
        let path = golden.join(format!("{}.txt", package.name));
        differences.extend(settle(&path, &list(&json)?, mode)?);
        expected.insert(path);
    }
    differences.extend(leftovers(&golden, &expected, mode)?);
    report(&differences)
}

/// Has rustdoc describe a library; returns the JSON file.
///
/// The target directory is apart because rustdoc empties `doc` whenever the compiler changes.
fn document(
    package: &Package,
    nightly: &str,
    workspace: &Workspace,
    budget: &Budget,
) -> Result<PathBuf, Failure> {
    let target = workspace.scratch("nightly");
    Cmd::new(["rustup", "run", nightly, "cargo", "rustdoc", "--quiet", "--lib"])
        .args(["-p", &package.name])
        .args(all_features([package]))
        .args(["--", "-Z", "unstable-options", "--output-format", "json", "--cap-lints", "allow"])
        .env("CARGO_TARGET_DIR", target.to_string_lossy())
        .run(budget)?;
    let name = package.library().map_or("", |library| library.name.as_str()).replace('-', "_");
    Ok(target.join("doc").join(name).with_extension("json"))
}

fn format_version(json: &Path) -> Result<u32, Failure> {
    #[derive(Deserialize)]
    struct Head {
        format_version: u32,
    }
    let text = fs::read_to_string(json).doing(&format!("cannot read {}", json.display()))?;
    let head: Head = serde_json::from_str(&text).doing("cannot read rustdoc's JSON")?;
    Ok(head.format_version)
}

/// One line per public item; derived, blanket and auto trait implementations are left out.
fn list(json: &Path) -> Result<String, Failure> {
    let api = public_api::Builder::from_rustdoc_json(json)
        .omit_blanket_impls(true)
        .omit_auto_trait_impls(true)
        .omit_auto_derived_impls(true)
        .build()
        .doing("cannot list the public API")?;
    let lines: Vec<String> = api.items().map(|item| format!("{item}\n")).collect();
    Ok(lines.concat())
}

/// Compares one list with its file, or writes it; answers the lines of the difference.
fn settle(path: &Path, now: &str, mode: Mode) -> Result<Vec<String>, Failure> {
    let before = fs::read_to_string(path).unwrap_or_default();
    let lines = difference(&before, now);
    if lines.is_empty() && path.is_file() {
        return Ok(lines);
    }
    match mode {
        Mode::Compare => {
            let title = format!("{}:", path.display());
            Ok([title].into_iter().chain(lines).collect())
        }
        Mode::Bless => {
            if let Some(dir) = path.parent() {
                fs::create_dir_all(dir).doing("cannot create docs/api")?;
            }
            fs::write(path, now).doing(&format!("cannot write {}", path.display()))?;
            println!("  wrote {}", path.display());
            Ok(Vec::new())
        }
    }
}

/// Lists of crates that are gone.
fn leftovers(dir: &Path, expected: &BTreeSet<PathBuf>, mode: Mode) -> Result<Vec<String>, Failure> {
    let found = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut lines = Vec::new();
    for path in found.filter(|path| !expected.contains(path)) {
        match mode {
            Mode::Compare => lines.push(format!("{}: no such published library", path.display())),
            Mode::Bless => fs::remove_file(&path).doing("cannot remove an old list")?,
        }
    }
    Ok(lines)
}

/// Lines gone and lines new; the lists are sorted, so sets are enough.
fn difference(before: &str, now: &str) -> Vec<String> {
    let (old, new): (BTreeSet<&str>, BTreeSet<&str>) =
        (before.lines().collect(), now.lines().collect());
    let gone = old.difference(&new).map(|line| format!("  -{line}"));
    gone.chain(new.difference(&old).map(|line| format!("  +{line}"))).collect()
}

fn report(differences: &[String]) -> Result<Outcome, Failure> {
    if differences.is_empty() {
        return Ok(Outcome::Done);
    }
    for line in differences {
        println!("{line}");
    }
    Err(Failure::new(
        "the public API is not what docs/api says; if it is meant: cargo xtask api --bless",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_names_both_sides() {
        assert_eq!(
            difference("pub fn a()\npub fn b()\n", "pub fn b()\npub fn c()\n"),
            ["  -pub fn a()", "  +pub fn c()"]
        );
        assert!(difference("x\n", "x\n").is_empty());
    }

    #[test]
    fn compare_writes_nothing_and_bless_does() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("api/x.txt");
        assert_eq!(settle(&path, "pub fn a()\n", Mode::Compare).unwrap().len(), 2);
        assert!(!path.exists());
        assert!(settle(&path, "pub fn a()\n", Mode::Bless).unwrap().is_empty());
        assert!(settle(&path, "pub fn a()\n", Mode::Compare).unwrap().is_empty());
        assert_eq!(settle(&path, "", Mode::Compare).unwrap().len(), 2);
    }

    #[test]
    fn a_list_without_its_crate_is_a_difference() {
        let dir = tempfile::tempdir().unwrap();
        let kept = dir.path().join("kept.txt");
        fs::write(&kept, "").unwrap();
        fs::write(dir.path().join("gone.txt"), "").unwrap();
        let expected = BTreeSet::from([kept.clone()]);
        assert_eq!(leftovers(dir.path(), &expected, Mode::Compare).unwrap().len(), 1);
        assert!(leftovers(dir.path(), &expected, Mode::Bless).unwrap().is_empty());
        assert!(leftovers(dir.path(), &expected, Mode::Compare).unwrap().is_empty());
        assert!(kept.exists());
    }
}
