//! Every library from outside is chosen once, in the root manifest, and explained once, in
//! `docs/dependencies.md`; every member takes versions, lints and edition from the root.

use std::collections::BTreeSet;

use toml::{Table, Value};

use super::Offence;
use super::tree::{Text, Tree};
use crate::failure::{Doing, Failure};
use crate::workspace::Workspace;

const ROOT: &str = "Cargo.toml";
const PAGE: &str = "docs/dependencies.md";
const KINDS: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];

pub(super) fn offences(workspace: &Workspace, tree: &Tree) -> Result<Vec<Offence>, Failure> {
    let outside = |name: &str| !workspace.is_member(name);
    let root = tree.text(ROOT).ok_or_else(|| Failure::new("there is no root Cargo.toml"))?;
    let page = tree.text(PAGE).map_or("", |page| &page.text);
    let chosen = chosen(&root.text, outside)?;
    let mut found = differences(&chosen, &explained(page));
    let manifests = tree.texts().iter().filter(|text| is_member_manifest(&text.path));
    for manifest in manifests {
        found.extend(member_offences(manifest)?);
    }
    Ok(found)
}

fn is_member_manifest(path: &str) -> bool {
    path.ends_with("/Cargo.toml") && !path.starts_with("fuzz/")
}

/// The names in `[workspace.dependencies]` that are not ours.
fn chosen(manifest: &str, outside: impl Fn(&str) -> bool) -> Result<BTreeSet<String>, Failure> {
    let manifest: Table = toml::from_str(manifest).doing("cannot read the root Cargo.toml")?;
    let names = manifest
        .get("workspace")
        .and_then(|workspace| workspace.get("dependencies"))
        .and_then(Value::as_table)
        .map(|table| table.keys().filter(|name| outside(name)).cloned().collect());
    Ok(names.unwrap_or_default())
}

/// The names in the first column of the page's tables.
fn explained(page: &str) -> BTreeSet<String> {
    page.lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(name, _)| name.to_owned())
        .collect()
}

fn differences(chosen: &BTreeSet<String>, explained: &BTreeSet<String>) -> Vec<Offence> {
    let missing = chosen.difference(explained).map(|name| {
        Offence::new(PAGE, 0, format!("no row for `{name}`, which [workspace.dependencies] has"))
    });
    let stale = explained.difference(chosen).map(|name| {
        Offence::new(PAGE, 0, format!("`{name}` is not in [workspace.dependencies] any more"))
    });
    missing.chain(stale).collect()
}

fn member_offences(manifest: &Text) -> Result<Vec<Offence>, Failure> {
    let table: Table =
        toml::from_str(&manifest.text).doing(&format!("cannot read {}", manifest.path))?;
    let offence = |what: String| Offence::new(&manifest.path, 0, what);
    let mut found = Vec::new();
    if !from_root(table.get("lints")) {
        found.push(offence(
            "takes no lints from the workspace: [lints] workspace = true".to_owned(),
        ));
    }
    for key in ["edition", "rust-version", "license"] {
        if !from_root(table.get("package").and_then(|package| package.get(key))) {
            found.push(offence(format!("states its own {key}: {key}.workspace = true")));
        }
    }
    for (name, dependency) in dependencies(&table) {
        let path_only = dependency.get("path").is_some() && dependency.get("version").is_none();
        if !from_root(Some(dependency)) && !path_only {
            found.push(offence(format!("states its own version of {name}: workspace = true")));
        }
    }
    Ok(found)
}

fn from_root(value: Option<&Value>) -> bool {
    value.and_then(|value| value.get("workspace")).and_then(Value::as_bool) == Some(true)
}

/// Every dependency of a manifest, also those for one target only.
fn dependencies(table: &Table) -> Vec<(&String, &Value)> {
    let targets = table.get("target").and_then(Value::as_table);
    let per_target = targets.into_iter().flat_map(|targets| targets.values());
    let tables = per_target.filter_map(Value::as_table).chain([table]);
    tables
        .flat_map(|table| KINDS.iter().filter_map(|&kind| table.get(kind)?.as_table()))
        .flat_map(|table| table.iter())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "[package]\nedition.workspace = true\nrust-version.workspace = true\n\
        license.workspace = true\n[lints]\nworkspace = true\n";

    fn of_member(extra: &str) -> usize {
        let text = Text::new("crates/x/Cargo.toml", &format!("{GOOD}{extra}"));
        member_offences(&text).unwrap().len()
    }

    #[test]
    fn the_page_and_the_manifest_name_the_same_crates() {
        let manifest = "[workspace.dependencies]\nbadrange = {}\nslab = \"1\"\nserde = \"1\"\n";
        let chosen = chosen(manifest, |name| name != "badrange").unwrap();
        let page = "| crate | why |\n|---|---|\n| `slab` | ids |\n| `loom` | models |\n";
        let found = differences(&chosen, &explained(page));
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found.iter().any(|offence| offence.what.contains("no row for `serde`")));
        assert!(found.iter().any(|offence| offence.what.contains("`loom` is not in")));
    }

    #[test]
    fn members_take_versions_from_the_root() {
        assert_eq!(of_member("[dependencies]\nslab.workspace = true\n"), 0);
        assert_eq!(of_member("[dependencies]\nslab = { workspace = true, optional = true }\n"), 0);
        assert_eq!(of_member("[dependencies]\nslab = \"0.4\"\n"), 1);
        assert_eq!(of_member("[target.'cfg(loom)'.dependencies]\nloom = \"0.7\"\n"), 1);
    }

    #[test]
    fn a_test_dependency_in_a_circle_has_a_path_only() {
        assert_eq!(of_member("[dev-dependencies]\nkit = { path = \"../kit\" }\n"), 0);
        assert_eq!(
            of_member("[dev-dependencies]\nkit = { path = \"../kit\", version = \"1\" }\n"),
            1
        );
    }

    #[test]
    fn members_take_lints_and_edition_from_the_root() {
        let text = Text::new("crates/x/Cargo.toml", "[package]\nedition = \"2021\"\n");
        assert_eq!(member_offences(&text).unwrap().len(), 4);
    }
}
