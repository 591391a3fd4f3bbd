//! What users get: the tarballs build, and a crate outside the workspace can use the facade.

use std::fs;
use std::path::Path;

use crate::command::{Budget, Cmd};
use crate::failure::{Doing, Failure, Outcome};
use crate::workspace::Workspace;

/// Packs every published crate and builds each from its own tarball.
///
/// Cargo lets the tarballs find each other in a registry of its own making, so nothing has to be
/// uploaded first and files missing from a tarball are found here.
pub(crate) fn build_from_tarballs(
    workspace: &Workspace,
    budget: &Budget,
) -> Result<Outcome, Failure> {
    let unpublished = workspace.packages.iter().filter(|package| !package.is_published());
    let excluded = unpublished.flat_map(|package| ["--exclude".to_owned(), package.name.clone()]);
    Cmd::parse("cargo package --quiet --workspace --allow-dirty --offline")
        .args(excluded)
        .run(budget)?;
    Ok(Outcome::Done)
}

/// Builds and runs the crate of a stranger: `stranger/` copied out of the workspace, depending on
/// the facade alone. It proves that the facade is enough, without help from the workspace's lints,
/// profiles or unified features.
pub(crate) fn run_stranger(workspace: &Workspace, budget: &Budget) -> Result<Outcome, Failure> {
    let facade = workspace
        .package("badrange")
        .and_then(|package| package.manifest_path.parent())
        .ok_or_else(|| Failure::new("the workspace has no package `badrange`"))?;
    let home = tempfile::tempdir().doing("cannot create a directory outside the workspace")?;
    settle_in(&workspace.root, facade, home.path()).doing("cannot copy the stranger")?;
    Cmd::parse("cargo run --quiet --offline")
        .dir(home.path())
        .env("CARGO_TARGET_DIR", workspace.scratch("stranger").to_string_lossy())
        .run(budget)?;
    Ok(Outcome::Done)
}

/// Copies the template; the lock file comes along so that the same versions are used, offline.
fn settle_in(root: &Path, facade: &Path, home: &Path) -> std::io::Result<()> {
    let template = root.join("crates/xtask/stranger");
    let manifest = fs::read_to_string(template.join("Cargo.toml.in"))?;
    let manifest = manifest.replace("@BADRANGE@", &facade.to_string_lossy());
    fs::write(home.join("Cargo.toml"), manifest)?;
    fs::copy(root.join("Cargo.lock"), home.join("Cargo.lock"))?;
    fs::create_dir_all(home.join("src"))?;
    for entry in fs::read_dir(template.join("src"))? {
        let entry = entry?;
        fs::copy(entry.path(), home.join("src").join(entry.file_name()))?;
    }
    Ok(())
}
