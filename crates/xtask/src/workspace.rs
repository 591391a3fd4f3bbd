//! The workspace as `cargo metadata` describes it.

use core::time::Duration;
use std::collections::BTreeMap;
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

    /// A directory for artifacts that must not share cargo's own (other compilers, other flags).
    pub(crate) fn scratch(&self, name: &str) -> PathBuf {
        self.target.join("xtask").join(name)
    }
}

impl Package {
    /// Whether it may be uploaded to a registry (`publish = false` becomes an empty list).
    pub(crate) fn is_published(&self) -> bool {
        self.publish.as_ref().is_none_or(|registries| !registries.is_empty())
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
