//! `cargo xtask loom`: the models of the crates that share state between threads, and the proof
//! that they can fail.
//!
//! A mutant is a copy of such a crate with one hand-made mistake: a patch of
//! `crates/xtask/mutants/`, which says what it does and which model has to notice. The copy of the
//! workspace lies in the target directory, so that nothing here is touched; only the crate with the
//! mistake is built again.

use core::time::Duration;
use std::fs;
use std::path::{Path, PathBuf};

use crate::command::{Budget, Cmd};
use crate::failure::{Doing, Failure, Outcome};
use crate::workspace::Workspace;

mod patch;

use patch::Patch;

/// Loom tries every interleaving with at most so many switches that no thread asked for.
const PREEMPTIONS: &str = "5";
/// Interleavings that shuttle tries with a mistake: half of them random, half chosen by depth.
const MISTAKEN_STORMS: &str = "2000";
/// The same for a proof that nothing fails without one.
const SOUND_STORMS: &str = "200";

/// More than all models of a crate take on a machine that has much else to do.
const LIMIT: Duration = Duration::from_secs(20 * 60);

/// The engine.
const STACK: &str = "badrange-stack";
/// Persistent memory.
const PMEM: &str = "badrange-pmem";

/// The models: crate, and the file in `tests/` that has them, which is also the feature they need.
const HARNESSES: [(&str, &str); 3] = [(STACK, "loom"), (STACK, "shuttle"), (PMEM, "loom")];

/// Where the mistakes are, one directory for each crate.
const MUTANTS: &str = "crates/xtask/mutants";

/// Runs every loom model against the crates as they are.
pub(crate) fn models(workspace: &Workspace, budget: &Budget) -> Result<Outcome, Failure> {
    for (package, harness) in HARNESSES.iter().filter(|(_, harness)| *harness == "loom") {
        test(package, harness, workspace).run(budget)?;
    }
    Ok(Outcome::Done)
}

/// Runs every storm of whole stacks in so many random interleavings.
pub(crate) fn storms(
    interleavings: &str,
    workspace: &Workspace,
    budget: &Budget,
) -> Result<Outcome, Failure> {
    let command = test(STACK, "shuttle", workspace).args(["--", "--nocapture"]);
    command.env("BADRANGE_SHUTTLE_ITERATIONS", interleavings).run(budget)?;
    Ok(Outcome::Done)
}

/// Runs, for every mistake, the models that have to fail; first of all, that none does without.
pub(crate) fn mutants(workspace: &Workspace, budget: &Budget) -> Result<Outcome, Failure> {
    let copy = Copy::of(workspace)?;
    for (package, harness) in HARNESSES {
        copy.build(package, harness, workspace, budget)?
            .env("BADRANGE_SHUTTLE_ITERATIONS", SOUND_STORMS)
            .run_quietly(budget)?;
    }
    let mut survivors = Vec::new();
    for package in [STACK, PMEM] {
        for patch in patch::of_package(&workspace.root.join(MUTANTS), package)? {
            survivors.extend(copy.survived(&patch, workspace, budget)?);
        }
    }
    if survivors.is_empty() {
        return Ok(Outcome::Done);
    }
    Err(Failure::new(format!("no model noticed: {}", survivors.join(", "))))
}

/// A copy of the sources of the workspace, to make mistakes in.
struct Copy {
    root: PathBuf,
}

impl Copy {
    fn of(workspace: &Workspace) -> Result<Self, Failure> {
        let copy = Self { root: workspace.scratch("models") };
        if copy.root.exists() {
            fs::remove_dir_all(&copy.root).doing("cannot remove an older copy of the workspace")?;
        }
        fs::create_dir_all(&copy.root).doing("cannot make a copy of the workspace")?;
        for part in ["Cargo.toml", "Cargo.lock", "crates", "examples"] {
            copy_all(&workspace.root.join(part), &copy.root.join(part))
                .doing(&format!("cannot copy {part}"))?;
        }
        Ok(copy)
    }

    /// The models that did not notice a mistake, as `mistake (model)`.
    fn survived(
        &self,
        patch: &Patch,
        workspace: &Workspace,
        budget: &Budget,
    ) -> Result<Vec<String>, Failure> {
        let before = patch.apply(&self.root.join("crates").join(&patch.package))?;
        let mut survived = Vec::new();
        for model in &patch.caught_by {
            let harness = self
                .build(&patch.package, &model.harness, workspace, budget)
                .map_err(|why| Failure::new(format!("with the mistake {}: {why}", patch.name)))?;
            // That a model aborts is noticed, too: a mistake may panic inside of a panic.
            let ended_well = harness
                .args(["--exact", &model.test])
                .env("BADRANGE_SHUTTLE_ITERATIONS", MISTAKEN_STORMS)
                .ends_well(budget)?;
            let word = if ended_well { "SURVIVED" } else { "caught by" };
            println!("  {:<26} {word} {}", patch.name, model.test);
            survived.extend(ended_well.then(|| format!("{} ({})", patch.name, model.test)));
        }
        before.restore()?;
        Ok(survived)
    }

    /// Builds the models of a crate of the copy; the command that runs them. The crate itself is not
    /// optimised: a model that fails does so soon, so that building it is all that costs.
    fn build(
        &self,
        package: &str,
        harness: &str,
        workspace: &Workspace,
        budget: &Budget,
    ) -> Result<Cmd, Failure> {
        let fast = format!("profile.models.package.{package}.opt-level=0");
        let build = test(package, harness, workspace)
            .args(["--no-run", "--quiet", "--message-format", "json", "--config", &fast])
            .dir(&self.root);
        let path = build.output(budget).and_then(|messages| executable(&messages));
        path.map(|path| model(Cmd::new([path])).limit(LIMIT))
            .ok_or_else(|| Failure::new("the models do not build").repeat_with(build.to_string()))
    }
}

/// Copies a file, or a directory with all that is in it.
fn copy_all(from: &Path, to: &Path) -> std::io::Result<()> {
    if !from.is_dir() {
        return fs::copy(from, to).map(|_| ());
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        copy_all(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

/// The test of a crate's models. They have a target directory of their own, so that they do not wait
/// for other builds, nor these for them.
fn test(package: &str, harness: &str, workspace: &Workspace) -> Cmd {
    let command = Cmd::parse("cargo test --profile models -p")
        .args([package, "--features", harness, "--test", harness])
        .env("CARGO_TARGET_DIR", workspace.target.join("models").to_string_lossy());
    model(command)
}

/// Without a backtrace: the threads of a model have stacks that printing one overflows, and then the
/// model hangs instead of failing.
fn model(command: Cmd) -> Cmd {
    command.env("LOOM_MAX_PREEMPTIONS", PREEMPTIONS).env("RUST_BACKTRACE", "0")
}

/// The executable that cargo says it made, from its messages.
fn executable(messages: &str) -> Option<String> {
    let messages = messages.lines().filter_map(|line| serde_json::from_str(line).ok());
    let mut paths = messages.filter_map(|message: serde_json::Value| {
        message.get("executable").and_then(|path| path.as_str()).map(str::to_owned)
    });
    paths.next_back()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
    }

    fn all() -> Vec<Patch> {
        let of = |package| patch::of_package(&root().join(MUTANTS), package).unwrap();
        [STACK, PMEM].into_iter().flat_map(of).collect()
    }

    fn models(package: &str, harness: &str) -> String {
        let path = root().join(format!("crates/{package}/tests/{harness}.rs"));
        fs::read_to_string(path).unwrap()
    }

    /// So that it is known at once, and not when the mutants are run.
    #[test]
    fn every_mistake_applies_and_every_model_is_there() {
        for patch in all() {
            let dir = root().join("crates").join(&patch.package);
            let copy = tempfile::tempdir().unwrap();
            copy_all(&dir.join("src"), &copy.path().join("src")).unwrap();
            patch.apply(copy.path()).unwrap().restore().unwrap();
            for model in &patch.caught_by {
                assert!(HARNESSES.contains(&(&*patch.package, &*model.harness)), "{}", patch.name);
                let models = models(&patch.package, &model.harness);
                assert!(models.contains(&format!("fn {}()", model.test)), "{}", model.test);
            }
        }
    }

    #[test]
    fn every_model_but_a_few_has_a_mistake_that_it_notices() {
        // What it holds is held by the model beside it, in another setting.
        const WITHOUT: [&str; 2] = [
            "a_read_sees_all_of_a_repair_by_lines_or_nothing",
            "two_repairs_come_one_after_the_other",
        ];
        let patches = all();
        for (package, harness) in HARNESSES.iter().filter(|(_, harness)| *harness == "loom") {
            let text = models(package, harness);
            let tests =
                text.split("#[test]\nfn ").skip(1).filter_map(|rest| rest.split('(').next());
            for test in tests.filter(|test| !WITHOUT.contains(test)) {
                let caught = patches.iter().flat_map(|patch| &patch.caught_by);
                assert!(
                    caught.into_iter().any(|model| model.test == test),
                    "{test} has no mistake"
                );
            }
        }
    }

    #[test]
    fn the_documents_explain_every_mistake() {
        let text = fs::read_to_string(root().join("docs/loom.md")).unwrap();
        for patch in all() {
            let row = text.lines().find(|line| line.contains(&format!("`{}`", patch.name)));
            assert!(row.is_some(), "docs/loom.md lacks {}", patch.name);
        }
    }

    #[test]
    fn the_executable_is_found_among_the_messages() {
        let messages = concat!(
            "{\"reason\":\"compiler-artifact\",\"executable\":null}\n",
            "{\"reason\":\"compiler-artifact\",\"executable\":\"/t/stack-1\"}\n",
            "{\"reason\":\"build-finished\",\"success\":true}\n",
        );
        assert_eq!(executable(messages).as_deref(), Some("/t/stack-1"));
        assert_eq!(executable("not json\n"), None);
    }
}
