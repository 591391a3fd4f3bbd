//! The workspace as `cargo metadata` describes it.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::command::{Budget, Cmd};
use crate::failure::{Doing, Failure};

/// All members, without their external dependencies' own metadata: no network is needed for it.
#[derive(Debug, Deserialize)]
pub(crate) struct Workspace {
    pub(crate) packages: Vec<Package>,
    #[serde(rename = "workspace_root")]
    pub(crate) root: PathBuf,
    #[serde(rename = "target_directory")]
    pub(crate) target: PathBuf,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) manifest_path: PathBuf,
    pub(crate) rust_version: Option<String>,
    publish: Option<Vec<String>>,
    #[serde(default)]
    pub(crate) dependencies: Vec<Dependency>,
    #[serde(default)]
    pub(crate) targets: Vec<Target>,
    #[serde(default)]
    pub(crate) features: BTreeMap<String, Vec<String>>,
    metadata: Option<Metadata>,
}

/// `[package.metadata]`.
#[derive(Debug, Deserialize)]
struct Metadata {
    badrange: Option<Own>,
}

/// `[package.metadata.badrange]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Own {
    /// Features that put the package on other primitives, for models: never on in ordinary checks.
    model_features: BTreeSet<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// `None` for a normal dependency, else `dev` or `build`.
    pub(crate) kind: Option<String>,
    /// The version asked for; `*` for a path alone.
    pub(crate) req: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) kind: Vec<String>,
    pub(crate) src_path: PathBuf,
}

impl Workspace {
    /// Asks cargo about the workspace that this program was built in.
    pub(crate) fn load() -> Result<Self, Failure> {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.toml");
        let root = manifest.parent().unwrap_or(Path::new("."));
        let question = Cmd::parse("cargo metadata --no-deps --format-version 1");
        let answer =
            question.output(&Budget::new(root, Duration::from_secs(60))).ok_or_else(|| {
                Failure::new("cargo metadata failed").repeat_with(question.to_string())
            })?;
        Self::parse(&answer)
    }

    pub(crate) fn parse(json: &str) -> Result<Self, Failure> {
        serde_json::from_str(json).doing("cannot read the answer of cargo metadata")
    }

    pub(crate) fn package(&self, name: &str) -> Option<&Package> {
        self.packages.iter().find(|package| package.name == name)
    }

    pub(crate) fn is_member(&self, name: &str) -> bool {
        self.package(name).is_some()
    }

    pub(crate) fn published(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| package.is_published())
    }

    pub(crate) fn published_libraries(&self) -> impl Iterator<Item = &Package> {
        self.published().filter(|package| package.library().is_some())
    }

    /// All features of all members but those for models: what `--all-features` would be if there
    /// were no models.
    pub(crate) fn all_features(&self) -> [String; 2] {
        all_features(&self.packages)
    }

    /// A directory for artifacts that must not share cargo's own (other compilers, other flags).
    pub(crate) fn scratch(&self, name: &str) -> PathBuf {
        self.target.join("xtask").join(name)
    }
}

/// All features of these packages but those for models, for cargo.
pub(crate) fn all_features<'p>(packages: impl IntoIterator<Item = &'p Package>) -> [String; 2] {
    let of = |package: &Package| {
        let features = package.features.keys().filter(|name| !package.is_for_models(name));
        features.map(|name| format!("{}/{name}", package.name)).collect::<Vec<_>>()
    };
    let all: Vec<String> = packages.into_iter().flat_map(of).collect();
    ["--features".to_owned(), all.join(",")]
}

impl Package {
    /// Whether it may be uploaded to a registry (`publish = false` becomes an empty list).
    pub(crate) fn is_published(&self) -> bool {
        self.publish.as_ref().is_none_or(|registries| !registries.is_empty())
    }

    /// Whether a feature is one for models.
    pub(crate) fn is_for_models(&self, feature: &str) -> bool {
        let own = self.metadata.as_ref().and_then(|metadata| metadata.badrange.as_ref());
        own.is_some_and(|own| own.model_features.contains(feature))
    }

    pub(crate) fn library(&self) -> Option<&Target> {
        self.targets.iter().find(|target| target.is("lib"))
    }

    pub(crate) fn examples(&self) -> impl Iterator<Item = &Target> {
        self.targets.iter().filter(|target| target.is("example"))
    }
}

impl Target {
    fn is(&self, kind: &str) -> bool {
        self.kind.iter().any(|own| own == kind)
    }
}

impl Dependency {
    /// Whether users of the package get it too; dev-dependencies stay at home.
    pub(crate) fn is_inherited(&self) -> bool {
        self.kind.as_deref() != Some("dev")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = r#"{
        "workspace_root": "/w", "target_directory": "/w/target",
        "packages": [
            { "name": "one", "manifest_path": "/w/one/Cargo.toml", "rust_version": null,
              "publish": null, "features": { "a": [], "default": ["a"], "loom": [] },
              "metadata": { "badrange": { "model-features": ["loom"] }, "docs": { "rs": {} } } },
            { "name": "two", "manifest_path": "/w/two/Cargo.toml", "rust_version": null,
              "publish": null, "features": { "loom": [] }, "metadata": null }
        ]
    }"#;

    #[test]
    fn all_features_are_all_but_those_for_models() {
        let workspace = Workspace::parse(ANSWER).unwrap();
        let expected = ["--features", "one/a,one/default,two/loom"];
        assert_eq!(workspace.all_features(), expected, "what is none in its package is no other's");
    }

    #[test]
    fn a_feature_for_models_is_one_of_the_package() {
        for package in Workspace::load().unwrap().packages {
            let own = package.metadata.as_ref().and_then(|metadata| metadata.badrange.as_ref());
            for feature in own.iter().flat_map(|own| &own.model_features) {
                assert!(package.features.contains_key(feature), "{}: {feature}", package.name);
            }
        }
    }
}
