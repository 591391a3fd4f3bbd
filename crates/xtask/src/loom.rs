//! `cargo xtask loom`: the models of the crates that share state between threads, and the proof
//! that they can fail.
//!
//! A mutant is such a crate with one hand-made mistake, chosen by a cfg that only its own code asks
//! for (`mutant!`, in models only). It is given to rustc for that one crate: the models are compiled
//! into its test harness, so that nothing else has to be built again.

use crate::command::{Budget, Cmd};
use crate::failure::{Failure, Outcome};
use crate::workspace::Workspace;

/// Loom tries every interleaving with at most so many switches that no thread asked for.
const PREEMPTIONS: &str = "5";

/// The engine.
const STACK: &str = "badrange-stack";
/// Persistent memory.
const PMEM: &str = "badrange-pmem";

/// The crates with models: each has `tests/loom.rs` and a feature `loom`.
const CRATES: [&str; 2] = [STACK, PMEM];

/// One mistake, and the model that has to notice it.
struct Mutant {
    package: &'static str,
    name: &'static str,
    model: &'static str,
}

const fn mutant(name: &'static str, model: &'static str) -> Mutant {
    Mutant { package: STACK, name, model }
}

const fn pmem(name: &'static str, model: &'static str) -> Mutant {
    Mutant { package: PMEM, name, model }
}

/// Every mistake that the sources can be built with; what each does is in `docs/loom.md`.
const MUTANTS: &[Mutant] = &[
    mutant("gate_unchecked", "unregister_against_notify"),
    mutant("gate_looks_first", "unregister_against_notify"),
    mutant("unregister_does_not_wait", "unregister_against_notify"),
    mutant("leave_relaxed", "unregister_against_notify"),
    mutant("wait_without_fence", "unregister_against_two_notifications"),
    mutant("wake_without_lock", "unregister_against_two_notifications"),
    mutant("publish_relaxed", "register_against_notify"),
    mutant("load_relaxed", "register_against_notify"),
    mutant("kept_for_ever", "register_against_a_reporter"),
    mutant("kept_trusts_its_look", "register_against_a_reporter"),
    mutant("visit_leaves_first", "unregister_against_a_visit"),
    mutant("load_before_lock", "register_against_register"),
    mutant("end_clears_table", "put_then_register_by_another_against_notify"),
    mutant("generation_unchecked", "a_stale_id_never_hits_the_next_device"),
    mutant("dying_unchecked", "removal_against_register"),
    mutant("removal_leaves_gates_open", "removal_against_notify"),
    mutant("load_twice", "reload_against_event"),
    mutant("reload_in_two_steps", "reload_against_event"),
    mutant("count_outside_lock", "two_overlapping_events"),
    mutant("clear_ignores_token", "clear_against_new_failure"),
    mutant("wait_in_callback", "a_callback_that_unregisters_itself"),
    mutant("wait_in_callback", "two_callbacks_that_unregister_each_other"),
    mutant("overflow_drops", "queue_producers_against_consumer_against_overflow"),
    mutant("lost_keeps_its_range", "queue_producers_against_consumer_against_overflow"),
    mutant("drain_looks_then_clears", "queue_producers_against_consumer_against_overflow"),
    mutant("merge_passes_overlaps", "queue_keeps_the_order_of_one_range"),
    mutant("push_wakes_nobody", "queue_wakes_its_consumer"),
    mutant("close_wakes_nobody", "queue_that_closes_lets_nobody_wait"),
    mutant("storm_has_two_workers", "storm_of_two_reporters"),
    mutant("storm_leaves_after_a_look", "storm_of_two_reporters"),
    pmem("badblocks_cleared_first", "a_read_sees_all_of_a_repair_or_nothing"),
    pmem("repair_is_no_change", "a_read_that_began_before_the_failure_sees_no_mixture"),
    pmem("reader_looks_once", "a_read_that_began_before_the_failure_sees_no_mixture"),
    pmem("second_look_without_fence", "a_read_that_began_before_the_failure_sees_no_mixture"),
    pmem("change_begins_without_fence", "a_read_that_began_before_the_failure_sees_no_mixture"),
    pmem("change_ends_relaxed", "a_read_that_began_before_the_failure_sees_no_mixture_of_lines"),
    pmem("first_look_relaxed", "a_read_that_began_before_the_failure_sees_no_mixture_of_lines"),
    pmem("poison_learned_late", "poison_that_a_read_met_is_not_remembered_after_its_repair"),
    pmem("plain_write_without_lock", "a_plain_write_and_a_repair_come_one_after_the_other"),
];

/// Runs every model against the crates as they are.
pub(crate) fn models(workspace: &Workspace, budget: &Budget) -> Result<Outcome, Failure> {
    for package in CRATES {
        let command = Cmd::parse("cargo test --release --features loom --test loom -p");
        model(command.arg(package), workspace).run(budget)?;
    }
    Ok(Outcome::Done)
}

/// Runs, for every mistake, the model that has to fail; first of all, that none does without.
pub(crate) fn mutants(workspace: &Workspace, budget: &Budget) -> Result<Outcome, Failure> {
    for package in CRATES {
        harness(package, "none", workspace, budget)?.arg("models::").run(budget)?;
    }
    let mut survivors = Vec::new();
    let mut built: Option<(&str, Cmd)> = None;
    for mutant in MUTANTS {
        let harness = match built.take() {
            Some((name, harness)) if name == mutant.name => harness,
            Some(_) | None => harness(mutant.package, mutant.name, workspace, budget)?,
        };
        let test = format!("models::{}", mutant.model);
        let survived = harness.clone().args(["--exact".to_owned(), test]).ends_well(budget)?;
        let word = if survived { "SURVIVED" } else { "caught by" };
        println!("  {:<26} {word} {}", mutant.name, mutant.model);
        if survived {
            survivors.push(mutant.name);
        }
        built = Some((mutant.name, harness));
    }
    if survivors.is_empty() {
        return Ok(Outcome::Done);
    }
    Err(Failure::new(format!("no model noticed: {}", survivors.join(", "))))
}

/// Builds the test harness of a crate with a mistake; the command that runs it.
fn harness(
    package: &str,
    mistake: &str,
    workspace: &Workspace,
    budget: &Budget,
) -> Result<Cmd, Failure> {
    // The profile `bench` is `release` with the test harness. The crate itself is not optimised: a
    // model that fails does so soon, so that building it is all that costs.
    let build = Cmd::parse("cargo rustc --quiet --features loom --lib -p")
        .arg(package)
        .args(["--profile", "bench", "--message-format", "json", "--", "--cfg"])
        .arg(format!("badrange_mutant=\"{mistake}\""))
        .args(["-C", "opt-level=0"]);
    let build = model(build, workspace);
    let path = build.output(budget).and_then(|messages| executable(&messages));
    path.map(|path| model(Cmd::new([path]), workspace))
        .ok_or_else(|| Failure::new("the models do not build").repeat_with(build.to_string()))
}

/// The cfg reaches every crate, so models have a target directory of their own.
fn model(command: Cmd, workspace: &Workspace) -> Cmd {
    command
        .env("RUSTFLAGS", "--cfg loom -C debug-assertions=on")
        .env("LOOM_MAX_PREEMPTIONS", PREEMPTIONS)
        .env("CARGO_TARGET_DIR", workspace.target.join("loom").to_string_lossy())
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
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::{Path, PathBuf};

    fn dir(package: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(package)
    }

    /// Every source of a crate, as one text.
    fn sources(dir: &Path) -> String {
        let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
        let texts = entries.map(|path| match path.is_dir() {
            true => sources(&path),
            false => fs::read_to_string(&path).unwrap(),
        });
        texts.collect()
    }

    #[test]
    fn the_table_names_every_mistake_and_every_model_is_there() {
        for package in CRATES {
            let sources = sources(&dir(package).join("src"));
            let known: BTreeSet<&str> = sources
                .split("mutant!(\"")
                .skip(1)
                .filter_map(|rest| rest.split('"').next())
                .collect();
            let of_package = || MUTANTS.iter().filter(|mutant| mutant.package == package);
            let listed: BTreeSet<&str> = of_package().map(|mutant| mutant.name).collect();
            assert_eq!(known, listed, "{package}");
            let models = fs::read_to_string(dir(package).join("tests/loom.rs")).unwrap();
            for mutant in of_package() {
                assert!(models.contains(&format!("fn {}()", mutant.model)), "{}", mutant.model);
            }
        }
    }

    #[test]
    fn the_documents_explain_every_mistake() {
        let text = fs::read_to_string(dir("../docs/loom.md")).unwrap();
        for mutant in MUTANTS {
            let row = text.lines().find(|line| line.contains(&format!("`{}`", mutant.name)));
            assert!(row.is_some(), "docs/loom.md lacks {}", mutant.name);
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
