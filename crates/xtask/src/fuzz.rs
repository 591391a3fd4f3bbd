//! `cargo xtask fuzz`: builds the targets of `fuzz/`, runs them, keeps what they find.
//!
//! Two builds: with the sanitizer and coverage, which needs nightly and cargo-fuzz, to find new
//! inputs; and plain, on stable, which only runs what is in the corpora already.

mod log;

use core::time::Duration;
use std::fs;
use std::path::{Path, PathBuf};

use crate::command::{Budget, Cmd};
use crate::failure::{Doing, Failure, Outcome};
use crate::steps::NIGHTLY;
use crate::toolchain;
use crate::workspace::Workspace;

use self::log::Progress;

/// How `cargo xtask fuzz` is asked.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// A target, or `all`.
    target: String,
    /// How long each target runs.
    #[arg(long, value_name = "N", default_value_t = 60)]
    seconds: u64,
    /// Leave `fuzz/corpus` as it is; what was found stays in the build directory.
    #[arg(long)]
    no_merge: bool,
    /// Instead of running, replace each corpus by the fewest of its inputs that reach the same code.
    #[arg(long, conflicts_with = "seconds")]
    minimise: bool,
}

/// For `cargo xtask ci --full`: every target for a while, the corpora left alone.
pub(crate) fn all_for(seconds: u64) -> Options {
    Options { target: "all".to_owned(), seconds, no_merge: true, minimise: false }
}

/// Bytes of an input at most. Small spaces collide; texts need room for a few files.
const MAX_LEN: u64 = 4096;
const MAX_TEXT_LEN: u64 = 16 << 10;

/// Memory at most, and seconds for one input: more is a finding.
const LIMITS: [&str; 2] = ["-rss_limit_mb=2048", "-timeout=20"];

/// The directories of the fuzzing workspace.
struct Place {
    root: PathBuf,
    /// What runs found that is not in the committed corpus yet.
    found: PathBuf,
}

impl Place {
    fn of(workspace: &Workspace) -> Self {
        Self { root: workspace.root.join("fuzz"), found: workspace.scratch("found") }
    }

    /// The names of all targets, in order.
    fn targets(&self) -> Result<Vec<String>, Failure> {
        let entries = fs::read_dir(self.root.join("fuzz_targets")).doing("cannot list targets")?;
        let names = entries.flatten().filter_map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            name.strip_suffix(".rs").map(str::to_owned)
        });
        let mut names: Vec<String> = names.collect();
        names.sort();
        Ok(names)
    }

    fn corpus(&self, target: &str) -> PathBuf {
        self.root.join("corpus").join(target)
    }

    /// Committed inputs of a target, corpus and regressions.
    fn inputs(&self, target: &str) -> Vec<PathBuf> {
        let regressions = self.root.join("regressions").join(target);
        let mut all: Vec<PathBuf> =
            [self.corpus(target), regressions].iter().flat_map(|dir| files(dir)).collect();
        all.sort();
        all
    }

    fn dictionary(&self, target: &str) -> Option<PathBuf> {
        let path = self.root.join("dictionaries").join(target).with_extension("dict");
        path.is_file().then_some(path)
    }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_file()).collect()
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// Why nothing can be fuzzed here, and what to install; `None` when all is there.
fn missing(budget: &Budget) -> Option<String> {
    if toolchain::find(NIGHTLY, budget).is_none() {
        return Some("no nightly toolchain: `rustup toolchain install nightly`".to_owned());
    }
    if Cmd::parse("cargo fuzz --version").output(budget).is_none() {
        return Some("no cargo-fuzz: `cargo install --locked cargo-fuzz`".to_owned());
    }
    no_compiler(budget)
}

fn no_compiler(budget: &Budget) -> Option<String> {
    let works = |name: &str| Cmd::new([name, "--version"]).output(budget).is_some();
    let none = !["c++", "g++", "clang++"].into_iter().any(works);
    none.then(|| "no C++ compiler, which libFuzzer is built with: install g++ or clang".to_owned())
}

/// Runs one target or all of them, prints what each reached, keeps new inputs.
pub(crate) fn run(
    workspace: &Workspace,
    budget: &Budget,
    options: &Options,
) -> Result<Outcome, Failure> {
    if let Some(why) = missing(budget) {
        return Ok(Outcome::Skipped(why));
    }
    let place = Place::of(workspace);
    let targets = place.targets()?;
    let picked: Vec<&String> =
        targets.iter().filter(|t| options.target == "all" || **t == options.target).collect();
    if picked.is_empty() {
        let known = targets.join(", ");
        return Err(Failure::new(format!(
            "no target {:?}; all, or one of {known}",
            options.target
        )));
    }
    let host = host(budget)?;
    println!("{}", Progress::HEAD);
    let mut failed = Vec::new();
    for target in picked {
        let binary = place.root.join("target").join(&host).join("release").join(target);
        let fuzzer = Fuzzer { place: &place, target, binary, budget };
        // What one target finds keeps no other from its turn.
        if let Err(why) = fuzzer.run(options) {
            println!("  FAILED {target}: {why}");
            failed.push(target.as_str());
        }
    }
    if !failed.is_empty() {
        return Err(Failure::new(format!("failed: {}", failed.join(", "))));
    }
    Ok(Outcome::Done)
}

/// The triple that cargo-fuzz builds for.
fn host(budget: &Budget) -> Result<String, Failure> {
    let about = Cmd::parse("rustc -vV").output(budget).unwrap_or_default();
    let host = about.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| Failure::new("rustc does not say what it runs on"))
}

/// One target, built.
struct Fuzzer<'a> {
    place: &'a Place,
    target: &'a str,
    binary: PathBuf,
    budget: &'a Budget,
}

impl Fuzzer<'_> {
    fn run(&self, options: &Options) -> Result<(), Failure> {
        let build = Cmd::parse("rustup run").args([NIGHTLY, "cargo", "fuzz", "build"]);
        build.arg(self.target).run_quietly(self.budget)?;
        if options.minimise { self.minimise() } else { self.fuzz(options) }
    }

    fn command(&self) -> Cmd {
        let stack = self.target == "stack_file" || self.target == "scenario";
        let max_len = if stack { MAX_TEXT_LEN } else { MAX_LEN };
        let command = Cmd::new([text(&self.binary)]).args(LIMITS);
        let command = command.arg(format!("-max_len={max_len}"));
        match self.place.dictionary(self.target) {
            Some(path) => command.arg(format!("-dict={}", path.display())),
            None => command,
        }
    }

    fn fuzz(&self, options: &Options) -> Result<(), Failure> {
        let found = self.place.found.join(self.target);
        let artifacts = self.place.root.join("artifacts").join(self.target);
        for dir in [&found, &artifacts, &self.place.corpus(self.target)] {
            fs::create_dir_all(dir).doing("cannot create a directory")?;
        }
        let before = files(&artifacts);
        // Libfuzzer ends by itself; the limit is for a target that does not.
        let limit = Duration::from_secs(options.seconds.saturating_add(120));
        let command = self
            .command()
            .arg(format!("-max_total_time={}", options.seconds))
            .arg(format!("-artifact_prefix={}/", artifacts.display()))
            .args(["-print_final_stats=1".to_owned(), text(&found)])
            .arg(text(&self.place.corpus(self.target)))
            .limit(limit);
        let (ended_well, output) = command.transcript(self.budget)?;
        let progress = Progress::read(&output);
        if !ended_well {
            println!("{output}");
            return Err(self.failed(files(&artifacts).into_iter().find(|f| !before.contains(f))));
        }
        let new = if options.no_merge { 0 } else { self.merge(&found)? };
        println!("{}", progress.row(self.target, new));
        Ok(())
    }

    /// Shows the smallest input that fails as code, and says how to repeat the failure.
    fn failed(&self, artifact: Option<PathBuf>) -> Failure {
        let failure = Failure::new(format!("{} found a failure", self.target));
        let Some(artifact) = artifact else { return failure };
        let show = Cmd::parse("cargo run --quiet -p badrange-testkit --features text --example")
            .args(["reproduce".to_owned(), "--".to_owned(), self.target.to_owned()])
            .arg(text(&artifact));
        // Its own failure says nothing new: the artifact is there either way.
        drop(show.run(self.budget));
        failure.repeat_with(show.to_string())
    }

    /// Adds to the committed corpus what reaches more than it does; gives the number of inputs.
    fn merge(&self, found: &Path) -> Result<usize, Failure> {
        let corpus = self.place.corpus(self.target);
        let before = files(&corpus).len();
        self.command()
            .args(["-set_cover_merge=1".to_owned(), text(&corpus), text(found)])
            .run_quietly(self.budget)?;
        Ok(files(&corpus).len().saturating_sub(before))
    }

    fn minimise(&self) -> Result<(), Failure> {
        let corpus = self.place.corpus(self.target);
        let small = tempfile::tempdir().doing("cannot create a directory")?;
        self.command()
            // How often an edge was taken is for finding more; to keep, one input of each edge is enough.
            .args(["-set_cover_merge=1".to_owned(), "-use_counters=0".to_owned()])
            .args([text(small.path()), text(&corpus)])
            .run_quietly(self.budget)?;
        let (old, kept) = (files(&corpus), files(small.path()));
        if kept.is_empty() {
            return Err(Failure::new(format!("{}: nothing would be left", self.target)));
        }
        old.iter().try_for_each(fs::remove_file).doing("cannot clear a corpus")?;
        for path in &kept {
            let name = path.file_name().unwrap_or_default();
            fs::copy(path, corpus.join(name)).doing("cannot write a corpus")?;
        }
        println!("  {:<16} {} inputs of {}", self.target, kept.len(), old.len());
        Ok(())
    }
}

/// Inputs that one process is given: command lines have an end.
const BATCH: usize = 200;

/// Builds every target on stable without the sanitizer, and runs it on every committed input.
pub(crate) fn replay(workspace: &Workspace, budget: &Budget) -> Result<Outcome, Failure> {
    if let Some(why) = no_compiler(budget) {
        return Ok(Outcome::Skipped(why));
    }
    let place = Place::of(workspace);
    Cmd::parse("cargo build --quiet --locked --bins --manifest-path fuzz/Cargo.toml")
        .env("CARGO_TARGET_DIR", text(&workspace.target))
        .run(budget)?;
    let built = workspace.target.join("debug");
    for target in place.targets()? {
        let inputs = place.inputs(&target);
        for batch in inputs.chunks(BATCH) {
            Cmd::new([text(&built.join(&target))])
                .args(batch.iter().map(|path| text(path)))
                .run_quietly(budget)?;
        }
        println!("  {target:<16} {} inputs", inputs.len());
    }
    Ok(Outcome::Done)
}
