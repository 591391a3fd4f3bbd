//! The steps, in order. To add one, write a function and give it a line in [`ALL`].

use core::time::Duration;
use std::fs;

use crate::command::{Budget, Cmd};
use crate::failure::{Failure, Outcome};
use crate::features;
use crate::workspace::{Package, Workspace, all_features};
use crate::{api, browser, fuzz, loom, mutants, package, tidy, toolchain};

/// What every step is given, beside its budget.
pub(crate) struct Context {
    pub(crate) workspace: Workspace,
    pub(crate) environment: Vec<(String, String)>,
}

type Run = fn(&Context, &Budget) -> Result<Outcome, Failure>;

/// One line of the list.
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) limit: Duration,
    pub(crate) full_only: bool,
    pub(crate) run: Run,
}

/// For steps that ought to take seconds.
const SHORT: Duration = Duration::from_secs(5 * 60);
/// For steps that compile the workspace.
const LONG: Duration = Duration::from_secs(20 * 60);
/// For steps that only `--full` runs.
pub(crate) const SLOW: Duration = Duration::from_secs(2 * 60 * 60);

/// The bare-metal target that the crates without `std` are built for.
const BARE_METAL: &str = "thumbv7em-none-eabi";
/// The toolchain for what stable does not offer: rustdoc's JSON and miri.
pub(crate) const NIGHTLY: &str = "nightly";

const fn step(name: &'static str, about: &'static str, limit: Duration, run: Run) -> Step {
    Step { name, about, limit, full_only: false, run }
}

const fn slow(name: &'static str, about: &'static str, run: Run) -> Step {
    Step { name, about, limit: SLOW, full_only: true, run }
}

pub(crate) const ALL: &[Step] = &[
    step("fmt", "formatting", SHORT, fmt),
    step("tidy", "the rules of the workspace that no compiler knows", SHORT, tidy),
    step("clippy", "lints, all targets and features", LONG, clippy),
    step("features", "every combination of features of every published crate", LONG, feature_sets),
    step("test", "tests and doctests with all features", LONG, test),
    step(
        "testrelease",
        "laws of the layers with default features, debug assertions off",
        LONG,
        test_release,
    ),
    step("loom", "models: every interleaving of a few threads", LONG, loom_models),
    step("fuzz", "every fuzz target builds on stable and bears its corpus", LONG, fuzz_replay),
    step("doc", "documentation without warnings", LONG, doc),
    step("no-std", "crates without std, built for bare metal", SHORT, no_std),
    step("msrv", "libraries checked with the oldest supported compiler", LONG, msrv),
    step("examples", "every example runs", SHORT, examples),
    step("bench", "every benchmark runs once", LONG, benchmarks),
    step("api", "public API as in docs/api", LONG, public_api),
    step("package", "every published crate builds from its tarball", LONG, tarballs),
    step("stranger", "a crate outside the workspace uses the facade", SHORT, stranger),
    slow("browser", "the HTML report in a real browser, light and dark", html_report),
    slow("soak", "property tests with many more cases", soak),
    slow("mutants", "every hand-made mistake fails a model", loom_mutants),
    slow("fuzzing", "every fuzz target for a while, with the sanitizer", fuzzing),
    slow("mutations", "small changes of core and block that no test notices", mutations),
    slow("shuttle", "random interleavings of whole stacks", shuttle),
    slow("stress", "ten million notifications against continuous registration", stress),
    slow("miri", "core, stack and pmem under miri", miri),
];

fn fmt(_: &Context, budget: &Budget) -> Result<Outcome, Failure> {
    run(Cmd::parse("cargo fmt --all --check"), budget)
}

fn tidy(context: &Context, _: &Budget) -> Result<Outcome, Failure> {
    tidy::check(&context.workspace).map(|()| Outcome::Done)
}

fn clippy(context: &Context, budget: &Budget) -> Result<Outcome, Failure> {
    let command = Cmd::parse("cargo clippy --workspace --all-targets");
    run(command.args(context.workspace.all_features()).args(["--", "-D", "warnings"]), budget)
}

/// Clippy rather than check: code that only one combination leaves unused is a failure too.
fn feature_sets(context: &Context, budget: &Budget) -> Result<Outcome, Failure> {
    for package in context.workspace.published() {
        for set in features::combinations(&package.features, |name| package.is_for_models(name)) {
            Cmd::parse("cargo clippy --quiet --no-default-features -p")
                .arg(&package.name)
                .args(["--features".to_owned(), set.join(",")])
                .args(["--", "-D", "warnings"])
                .run(budget)?;
        }
    }
    Ok(Outcome::Done)
}

/// All features at once here and the default ones in [`test_release`], so that both are tested
/// without compiling everything a third time; `soak` has everything without debug assertions.
fn test(context: &Context, budget: &Budget) -> Result<Outcome, Failure> {
    run(Cmd::parse("cargo test --workspace").args(context.workspace.all_features()), budget)
}

/// The layers that embedders build.
const LAYERS: [&str; 5] =
    ["badrange-core", "badrange-stack", "badrange-pmem", "badrange-block", "badrange-fs"];

fn test_release(_: &Context, budget: &Budget) -> Result<Outcome, Failure> {
    let packages = LAYERS.into_iter().flat_map(|name| ["-p", name]);
    run(Cmd::parse("cargo test --lib --tests --profile testrelease").args(packages), budget)
}

fn loom_models(context: &Context, budget: &Budget) -> Result<Outcome, Failure> {
    loom::models(&context.workspace, budget)
}

fn loom_mutants(context: &Context, budget: &Budget) -> Result<Outcome, Failure> {
    loom::mutants(&context.workspace, budget)
}

fn fuzz_replay(context: &Context, budget: &Budget) -> Result<Outcome, Failure> {
    fuzz::replay(&context.workspace, budget)
}

fn html_report(context: &Context, budget: &Budget) -> Result<Outcome, Failure> {
    browser::check(&context.workspace, budget)
}

/// How long `--full` runs each fuzz target.
const FUZZ_SECONDS: u64 = 60;

fn fuzzing(context: &Context, budget: &Budget) -> Result<Outcome, Failure> {
    fuzz::run(&context.workspace, budget, &fuzz::all_for(FUZZ_SECONDS))
}

fn mutations(context: &Context, budget: &Budget) -> Result<Outcome, Failure> {
    mutants::run(&context.workspace, budget, &mutants::Options::default())
}

/// Libraries only: the binary `badrange` would write over the library of that name.
fn doc(context: &Context, budget: &Budget) -> Result<Outcome, Failure> {
    let command = Cmd::parse("cargo doc --workspace --exclude xtask --lib --no-deps");
    let command = command.args(context.workspace.all_features());
    run(command.env("RUSTDOCFLAGS", "-D warnings"), budget)
}

fn no_std(context: &Context, budget: &Budget) -> Result<Outcome, Failure> {
    if !toolchain::has_target(BARE_METAL, budget) {
        let why = format!("target {BARE_METAL} is missing: `rustup target add {BARE_METAL}`");
        return Ok(Outcome::Skipped(why));
    }
    let mut found = false;
    for package in
        context.workspace.published_libraries().filter(|package| lives_without_std(package))
    {
        found = true;
        Cmd::parse("cargo build --no-default-features --lib --target")
            .args([BARE_METAL, "-p", &package.name])
            .run(budget)?;
    }
    // The core must stay usable without std: no such crate at all means that somebody dropped it.
    if found { Ok(Outcome::Done) } else { Err(Failure::new("no crate declares no_std")) }
}

/// Whether the library's root says `no_std`, always or without its `std` feature.
fn lives_without_std(package: &Package) -> bool {
    let source = package.library().and_then(|library| fs::read_to_string(&library.src_path).ok());
    source.is_some_and(|text| {
        text.lines().any(|line| line.starts_with("#![") && line.contains("no_std"))
    })
}

fn msrv(context: &Context, budget: &Budget) -> Result<Outcome, Failure> {
    let libraries: Vec<&Package> = context.workspace.published_libraries().collect();
    let Some(release) = libraries.iter().find_map(|package| package.rust_version.as_deref()) else {
        return Err(Failure::new("no published library states its rust-version"));
    };
    let Some(toolchain) = toolchain::find_or_fetch(release, budget) else {
        let why = format!(
            "no toolchain {release}: `rustup toolchain install --profile minimal {release}`"
        );
        return Ok(Outcome::Skipped(why));
    };
    let names = libraries.iter().flat_map(|package| ["-p".to_owned(), package.name.clone()]);
    let check = Cmd::new(["rustup", "run", &toolchain, "cargo", "check", "--lib"]);
    run(check.args(names).args(all_features(libraries.iter().copied())), budget)
}

fn examples(context: &Context, budget: &Budget) -> Result<Outcome, Failure> {
    for package in &context.workspace.packages {
        for example in package.examples() {
            let command = Cmd::parse("cargo run --quiet -p").arg(&package.name);
            let command = command.args(["--example", &example.name]);
            println!("  $ {command}");
            command.run_quietly(budget)?;
        }
    }
    Ok(Outcome::Done)
}

/// Whether they run and their answers agree; nothing is timed.
fn benchmarks(_: &Context, budget: &Budget) -> Result<Outcome, Failure> {
    Cmd::parse("cargo test --quiet -p badrange-bench --benches").run(budget)?;
    run(Cmd::parse("cargo run --quiet -p badrange-bench -- --quick"), budget)
}

fn public_api(context: &Context, budget: &Budget) -> Result<Outcome, Failure> {
    api::check(&context.workspace, budget, api::Mode::Compare)
}

fn tarballs(context: &Context, budget: &Budget) -> Result<Outcome, Failure> {
    package::build_from_tarballs(&context.workspace, budget)
}

fn stranger(context: &Context, budget: &Budget) -> Result<Outcome, Failure> {
    package::run_stranger(&context.workspace, budget)
}

/// The cases per property that `--full` asks for; the default is 256.
const SOAK_CASES: &str = "4096";

fn soak(context: &Context, budget: &Budget) -> Result<Outcome, Failure> {
    let command = Cmd::parse("cargo test --workspace --exclude xtask --profile testrelease");
    let command = command.args(context.workspace.all_features());
    run(command.args(["--lib", "--tests"]).env("PROPTEST_CASES", SOAK_CASES), budget)
}

/// Interleavings of each storm that `--full` asks for.
const INTERLEAVINGS: &str = "200000";

fn shuttle(context: &Context, budget: &Budget) -> Result<Outcome, Failure> {
    loom::storms(INTERLEAVINGS, &context.workspace, budget)
}

fn stress(_: &Context, budget: &Budget) -> Result<Outcome, Failure> {
    let command = Cmd::parse("cargo test --release -p badrange-stack --test stress -- --nocapture");
    run(command.env("BADRANGE_STRESS_EVENTS", "10000000"), budget)
}

fn miri(context: &Context, budget: &Budget) -> Result<Outcome, Failure> {
    let Some(nightly) = toolchain::find(NIGHTLY, budget) else {
        return Ok(Outcome::Skipped(
            "no nightly toolchain: `rustup toolchain install nightly`".into(),
        ));
    };
    if !toolchain::has_miri(&nightly, budget) {
        return Ok(Outcome::Skipped(
            "no miri: `rustup +nightly component add miri rust-src`".into(),
        ));
    }
    let command =
        Cmd::new(["rustup", "run", &nightly, "cargo", "miri", "test", "--lib", "--tests"])
            .args(["-p", "badrange-core", "-p", "badrange-stack", "-p", "badrange-pmem"])
            // Property tests read the clock and their seeds; a handful of cases is what miri can bear.
            .env("MIRIFLAGS", "-Zmiri-disable-isolation")
            .env("PROPTEST_CASES", "4")
            .env("CARGO_TARGET_DIR", context.workspace.scratch("miri").to_string_lossy());
    run(command, budget)
}

fn run(command: Cmd, budget: &Budget) -> Result<Outcome, Failure> {
    command.run(budget).map(|()| Outcome::Done)
}
