//! Who may depend on whom.

use std::collections::BTreeSet;

use super::Offence;
use crate::workspace::{Dependency, Package, Workspace};

/// The rule of one crate: what its normal and build dependencies may be.
struct Rule {
    name: &'static str,
    /// Members of the workspace.
    ours: &'static [&'static str],
    /// Crates from the registry; `None` when any that `docs/dependencies.md` explains will do.
    theirs: Option<&'static [&'static str]>,
}

const fn rule(
    name: &'static str,
    ours: &'static [&'static str],
    theirs: Option<&'static [&'static str]>,
) -> Rule {
    Rule { name, ours, theirs }
}

const CORE: &str = "badrange-core";
const STACK: &str = "badrange-stack";
const PMEM: &str = "badrange-pmem";
const BLOCK: &str = "badrange-block";
const FS: &str = "badrange-fs";
const INPUT: &str = "badrange-input";
const EXPLAIN: &str = "badrange-explain";
const SIM: &str = "badrange-sim";
const TESTKIT: &str = "badrange-testkit";
const FACADE: &str = "badrange";

/// Arrows point down only: layers know the core and nothing of each other, and only the facade
/// knows everybody. A crate with the prefix that has no line here is an offence.
const RULES: &[Rule] = &[
    rule(CORE, &[], Some(&["thiserror", "smallvec", "serde", "arbitrary"])),
    rule(
        STACK,
        &[CORE],
        Some(&[
            "thiserror",
            "slab",
            "arc-swap",
            "smallvec",
            "rangemap",
            "tracing",
            "loom",
            "shuttle",
        ]),
    ),
    rule(PMEM, &[CORE], Some(&["thiserror", "rangemap", "smallvec", "loom", "shuttle"])),
    rule(BLOCK, &[CORE], Some(&["thiserror", "smallvec"])),
    rule(FS, &[CORE], Some(&["thiserror", "smallvec"])),
    rule(INPUT, &[CORE, PMEM, BLOCK, FS], None),
    rule(EXPLAIN, &[CORE, STACK, PMEM, BLOCK, FS, INPUT], None),
    rule(SIM, &[CORE, STACK, PMEM, BLOCK, FS], None),
    rule(TESTKIT, &[CORE, STACK, PMEM, BLOCK, FS, INPUT, EXPLAIN, SIM, FACADE], None),
    rule(FACADE, &[CORE, STACK, PMEM, BLOCK, FS, INPUT, EXPLAIN], Some(&[])),
    rule("badrange-cli", &[FACADE, INPUT, SIM], None),
    rule("badrange-bench", &[FACADE, CORE, STACK, PMEM, BLOCK, FS, INPUT, SIM, TESTKIT], None),
    rule("badrange-examples", &[FACADE, CORE, STACK, PMEM, BLOCK, FS, INPUT, SIM, TESTKIT], None),
    rule("xtask", &[], None),
];

/// Nothing may depend on these, not even for its tests.
const ENDS: [&str; 4] = ["badrange-cli", "badrange-bench", "badrange-examples", "xtask"];

pub(super) fn offences(workspace: &Workspace) -> Vec<Offence> {
    workspace.packages.iter().flat_map(|package| package_offences(package, workspace)).collect()
}

fn package_offences(package: &Package, workspace: &Workspace) -> Vec<Offence> {
    let offence = |what: String| Offence::new(&package.name, 0, what);
    let Some(rule) = RULES.iter().find(|rule| rule.name == package.name) else {
        let what = "has no line in the table of dependency directions (tidy/directions.rs)";
        return vec![offence(what.to_owned())];
    };
    let dependencies = package.dependencies.iter();
    dependencies
        .filter_map(|dependency| complaint(rule, dependency, workspace))
        .map(offence)
        .collect()
}

fn complaint(rule: &Rule, dependency: &Dependency, workspace: &Workspace) -> Option<String> {
    let name = dependency.name.as_str();
    let ours = workspace.is_member(name);
    if ENDS.contains(&name) {
        return Some(format!("depends on {name}, which is an end of the line"));
    }
    if !dependency.is_inherited() {
        return circle(rule.name, dependency, workspace);
    }
    let allowed = if ours {
        rule.ours.contains(&name)
    } else {
        rule.theirs.is_none_or(|theirs| theirs.contains(&name))
    };
    (!allowed).then(|| {
        let list = if ours { rule.ours } else { rule.theirs.unwrap_or_default() };
        format!("may not depend on {name}; allowed: {}", list.join(", "))
    })
}

/// A crate may test itself with a crate that builds on it, but then by path alone: with a version,
/// neither tarball could be made before the other.
fn circle(from: &str, dependency: &Dependency, workspace: &Workspace) -> Option<String> {
    let name = &dependency.name;
    let comes_back = dependency.req != "*" && reaches(name, from, workspace);
    comes_back.then(|| {
        format!("tests with {name}, which builds on it: use {{ path = ... }} without a version")
    })
}

/// Whether `from` depends on `to`, at once or through other members.
fn reaches(from: &str, to: &str, workspace: &Workspace) -> bool {
    let mut seen = BTreeSet::new();
    let mut todo = vec![from];
    while let Some(name) = todo.pop() {
        if name == to {
            return true;
        }
        if !seen.insert(name) {
            continue;
        }
        let dependencies = workspace.package(name).into_iter().flat_map(|p| &p.dependencies);
        let inherited = dependencies.filter(|dependency| dependency.is_inherited());
        todo.extend(inherited.map(|dependency| dependency.name.as_str()));
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A workspace whose `from` depends on `to`, beside two members that depend on nothing.
    fn workspace(from: &str, to: &str, kind: &str) -> Workspace {
        let package = |name: &str, dependencies: &str| {
            format!(r#"{{"name":"{name}","manifest_path":"x","dependencies":[{dependencies}]}}"#)
        };
        let dependency = format!(r#"{{"name":"{to}","kind":{kind},"req":"^1"}}"#);
        let members = ["badrange-core", "badrange-fs", "badrange-cli", "badrange-testkit", "xtask"];
        let mut packages: Vec<String> =
            members.iter().filter(|&&name| name != from).map(|name| package(name, "")).collect();
        packages.push(package(from, &dependency));
        let json = format!(
            r#"{{"packages":[{}],"workspace_root":"/","target_directory":"/t"}}"#,
            packages.join(",")
        );
        Workspace::parse(&json).unwrap()
    }

    fn found(from: &str, to: &str, kind: &str) -> Vec<Offence> {
        offences(&workspace(from, to, kind))
    }

    #[test]
    fn layers_know_the_core_only() {
        assert_eq!(found("badrange-block", "badrange-core", "null"), []);
        assert_eq!(found("badrange-block", "badrange-fs", "null").len(), 1);
        assert_eq!(found("badrange-core", "badrange-fs", "\"build\"").len(), 1);
    }

    #[test]
    fn tests_may_look_sideways_but_never_at_the_ends() {
        assert_eq!(found("badrange-block", "badrange-fs", "\"dev\""), []);
        assert_eq!(found("badrange-core", "badrange-testkit", "\"dev\""), []);
        assert_eq!(found("badrange-testkit", "badrange-cli", "\"dev\"").len(), 1);
    }

    #[test]
    fn a_circle_through_tests_has_no_version() {
        let member = |name: &str, to: &str, kind: &str, req: &str| {
            let dependency = format!(r#"{{"name":"{to}","kind":{kind},"req":"{req}"}}"#);
            format!(r#"{{"name":"{name}","manifest_path":"x","dependencies":[{dependency}]}}"#)
        };
        let found = |req: &str| {
            let core = member("badrange-core", "badrange-testkit", "\"dev\"", req);
            let kit = member("badrange-testkit", "badrange-core", "null", "^1");
            let json = format!(
                r#"{{"packages":[{core},{kit}],"workspace_root":"/","target_directory":"/t"}}"#
            );
            offences(&Workspace::parse(&json).unwrap()).len()
        };
        assert_eq!(found("^1"), 1);
        assert_eq!(found("*"), 0);
    }

    #[test]
    fn the_facade_brings_no_testkit() {
        assert_eq!(found("badrange", "badrange-fs", "null"), []);
        assert_eq!(found("badrange", "badrange-testkit", "null").len(), 1);
    }

    #[test]
    fn libraries_from_outside_are_on_a_list_for_the_lower_rooms() {
        assert_eq!(found("badrange-core", "smallvec", "null"), []);
        assert_eq!(found("badrange-core", "toml", "null").len(), 1);
        assert_eq!(found("badrange-core", "proptest", "\"dev\""), []);
        assert_eq!(found("badrange-input", "serde", "null"), []);
    }

    #[test]
    fn a_new_crate_needs_a_rule() {
        assert_eq!(found("badrange-new", "badrange-core", "null").len(), 1);
    }
}
