//! What is installed beside the compiler in use, and what rustup can fetch.
//!
//! A part that is missing and cannot be fetched makes a check `SKIPPED`, never green.

use core::time::Duration;
use std::env;
use std::path::Path;

use crate::command::{Budget, Cmd};

/// How long one attempt to fetch something may take.
const FETCH: Duration = Duration::from_secs(180);

/// Makes sure that libraries for `target` are there, fetching them if needed.
pub(crate) fn has_target(target: &str, budget: &Budget) -> bool {
    let installed = || {
        Cmd::parse("rustc --print sysroot").output(budget).is_some_and(|root| {
            Path::new(root.trim()).join("lib/rustlib").join(target).join("lib").is_dir()
        })
    };
    installed() || (fetch(&format!("rustup target add {target}"), budget) && installed())
}

/// The name of an installed toolchain of that release (`1.85` finds `1.85.1-x86_64-...`).
pub(crate) fn find(release: &str, budget: &Budget) -> Option<String> {
    let list = Cmd::parse("rustup toolchain list").output(budget)?;
    let belongs = |name: &str| {
        name.strip_prefix(release)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '-']))
    };
    list.lines()
        .filter_map(|line| line.split_whitespace().next())
        .find(|name| belongs(name))
        .map(str::to_owned)
}

/// Like [`find`]; in continuous integration, where a toolchain more hurts nobody, fetches it.
pub(crate) fn find_or_fetch(release: &str, budget: &Budget) -> Option<String> {
    find(release, budget).or_else(|| {
        if !in_ci() {
            return None;
        }
        fetch(&format!("rustup toolchain install --profile minimal {release}"), budget);
        find(release, budget)
    })
}

/// Makes sure that the nightly toolchain has miri, fetching it if needed.
pub(crate) fn has_miri(nightly: &str, budget: &Budget) -> bool {
    let works = || {
        Cmd::new(["rustup", "run", nightly, "cargo", "miri", "--version"]).output(budget).is_some()
    };
    let add = format!("rustup component add --toolchain {nightly} miri rust-src");
    works() || (fetch(&add, budget) && works())
}

/// Whether an unattended run is going on.
pub(crate) fn in_ci() -> bool {
    env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false")
}

fn fetch(command: &str, budget: &Budget) -> bool {
    Cmd::parse(command).limit(FETCH).run_quietly(budget).is_ok()
}
