//! Commands with a time limit, a way to be printed, and no terminal.

use core::time::Duration;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Instant;

use crate::failure::{Doing, Failure};

const POLL: Duration = Duration::from_millis(20);

/// Where commands run and until when: one per step, so that no step can hang.
#[derive(Debug)]
pub(crate) struct Budget {
    root: PathBuf,
    deadline: Instant,
    env: Vec<(String, String)>,
}

impl Budget {
    pub(crate) fn new(root: &Path, limit: Duration) -> Self {
        let now = Instant::now();
        Self {
            root: root.to_owned(),
            deadline: now.checked_add(limit).unwrap_or(now),
            env: Vec::new(),
        }
    }

    /// Variables that every command gets, without printing them each time.
    pub(crate) fn with_environment(mut self, env: &[(String, String)]) -> Self {
        self.env.extend_from_slice(env);
        self
    }

    /// The earlier of this budget's end and `limit` from now.
    fn deadline_within(&self, limit: Option<Duration>) -> Instant {
        limit
            .and_then(|limit| Instant::now().checked_add(limit))
            .map_or(self.deadline, |own| own.min(self.deadline))
    }
}

/// One command line.
#[derive(Clone, Debug)]
pub(crate) struct Cmd {
    words: Vec<String>,
    env: Vec<(String, String)>,
    dir: Option<PathBuf>,
    limit: Option<Duration>,
}

impl Cmd {
    pub(crate) fn new<I: IntoIterator<Item: Into<String>>>(words: I) -> Self {
        Self {
            words: words.into_iter().map(Into::into).collect(),
            env: Vec::new(),
            dir: None,
            limit: None,
        }
    }

    /// A command line written as one string; words are separated by blanks.
    pub(crate) fn parse(line: &str) -> Self {
        Self::new(line.split_whitespace())
    }

    pub(crate) fn arg(mut self, word: impl Into<String>) -> Self {
        self.words.push(word.into());
        self
    }

    pub(crate) fn args<I: IntoIterator<Item: Into<String>>>(mut self, words: I) -> Self {
        self.words.extend(words.into_iter().map(Into::into));
        self
    }

    pub(crate) fn env(mut self, key: &str, value: impl Into<String>) -> Self {
        self.env.push((key.to_owned(), value.into()));
        self
    }

    /// Runs in `dir` instead of the workspace root.
    pub(crate) fn dir(mut self, dir: &Path) -> Self {
        self.dir = Some(dir.to_owned());
        self
    }

    /// A limit tighter than the budget's own.
    pub(crate) fn limit(mut self, limit: Duration) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Runs it with our own output streams; any end but success is a failure.
    pub(crate) fn run(&self, budget: &Budget) -> Result<(), Failure> {
        println!("  $ {self}");
        let status = self.wait(budget, &Streams::Ours)?;
        self.require_success(status)
    }

    /// Runs it and keeps what it printed to itself; the output is shown only on failure.
    pub(crate) fn run_quietly(&self, budget: &Budget) -> Result<(), Failure> {
        let log = tempfile::NamedTempFile::new().doing("cannot create a log file")?;
        self.wait(budget, &Streams::Log(log.as_file()))
            .and_then(|status| self.require_success(status))
            .inspect_err(|_| println!("{}", fs::read_to_string(log.path()).unwrap_or_default()))
    }

    /// Runs it, keeps what it printed to itself, and says whether it ended well; that it could not
    /// run or did not end is a failure.
    pub(crate) fn ends_well(&self, budget: &Budget) -> Result<bool, Failure> {
        let log = tempfile::NamedTempFile::new().doing("cannot create a log file")?;
        self.wait(budget, &Streams::Log(log.as_file())).map(|status| status.success())
    }

    /// Runs it; whether it ended well, and what it printed on both streams.
    pub(crate) fn transcript(&self, budget: &Budget) -> Result<(bool, String), Failure> {
        let log = tempfile::NamedTempFile::new().doing("cannot create a log file")?;
        let status = self.wait(budget, &Streams::Log(log.as_file()))?;
        let printed = fs::read(log.path()).doing("cannot read a log file")?;
        Ok((status.success(), String::from_utf8_lossy(&printed).into_owned()))
    }

    /// Runs it and returns its standard output; `None` when it cannot run or does not succeed.
    pub(crate) fn output(&self, budget: &Budget) -> Option<String> {
        let log = tempfile::NamedTempFile::new().ok()?;
        let status = self.wait(budget, &Streams::Answer(log.as_file())).ok()?;
        if status.success() { fs::read_to_string(log.path()).ok() } else { None }
    }

    fn wait(&self, budget: &Budget, streams: &Streams<'_>) -> Result<ExitStatus, Failure> {
        let mut command = self.build(budget);
        streams.connect(&mut command).doing("cannot share the log file")?;
        let mut child = command.spawn().doing(&format!("cannot run `{self}`"))?;
        let deadline = budget.deadline_within(self.limit);
        loop {
            if let Some(status) = child.try_wait().doing("cannot wait for a child")? {
                return Ok(status);
            }
            if Instant::now() >= deadline {
                kill_tree(&mut child);
                let message = "the time limit was reached and the command was killed";
                return Err(Failure::new(message).repeat_with(self.to_string()));
            }
            thread::sleep(POLL);
        }
    }

    fn build(&self, budget: &Budget) -> Command {
        let program = self.words.first().map_or("true", String::as_str);
        let mut command = Command::new(program);
        command
            .args(self.words.iter().skip(1))
            .envs(budget.env.iter().chain(&self.env).map(|(key, value)| (key, value)))
            .current_dir(self.dir.as_deref().unwrap_or(&budget.root))
            .stdin(Stdio::null());
        command
    }

    fn require_success(&self, status: ExitStatus) -> Result<(), Failure> {
        if status.success() {
            return Ok(());
        }
        Err(Failure::new(format!("the command ended with {status}")).repeat_with(self.to_string()))
    }
}

impl fmt::Display for Cmd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(dir) = &self.dir {
            write!(f, "cd {} && ", dir.display())?;
        }
        for (key, value) in &self.env {
            write!(f, "{key}={} ", quoted(value))?;
        }
        let words: Vec<String> = self.words.iter().map(|word| quoted(word)).collect();
        f.write_str(&words.join(" "))
    }
}

/// A word as a shell reads it back.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=+./,:@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Where a command's output goes.
enum Streams<'a> {
    Ours,
    Log(&'a File),
    Answer(&'a File),
}

impl Streams<'_> {
    fn connect(&self, command: &mut Command) -> io::Result<()> {
        match self {
            Self::Ours => {}
            Self::Log(file) => {
                command.stdout(file.try_clone()?).stderr(file.try_clone()?);
            }
            Self::Answer(file) => {
                command.stdout(file.try_clone()?).stderr(Stdio::null());
            }
        }
        Ok(())
    }
}

/// Kills a child and everything it started.
///
/// Cargo's own end would leave a hanging test behind, holding our output open. No process group is
/// used, so that an interrupt from the terminal still reaches everybody.
fn kill_tree(child: &mut Child) {
    let pids: Vec<String> = descendants(child.id()).iter().map(u32::to_string).collect();
    // The child goes first so that it starts nothing new; both may already be gone.
    drop(child.kill());
    if !pids.is_empty() {
        let script = format!("kill -9 {} 2>/dev/null", pids.join(" "));
        drop(Command::new("sh").args(["-c", &script]).status());
    }
    drop(child.wait());
}

/// Every process below `root`, read from `/proc`; empty where there is no `/proc`.
fn descendants(root: u32) -> Vec<u32> {
    let processes = processes();
    let mut found = vec![root];
    loop {
        let next: Vec<u32> = processes
            .iter()
            .filter(|(pid, parent)| found.contains(parent) && !found.contains(pid))
            .map(|&(pid, _)| pid)
            .collect();
        if next.is_empty() {
            break;
        }
        found.extend(next);
    }
    found.retain(|&pid| pid != root);
    found
}

/// `(pid, parent)` of every process.
fn processes() -> Vec<(u32, u32)> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            // The command's name stands in parentheses and may hold anything; state and parent follow.
            let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
            Some((pid, parent))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(limit: Duration) -> Budget {
        Budget::new(Path::new("/"), limit)
    }

    #[test]
    fn a_command_prints_as_a_shell_reads_it() {
        let command = Cmd::parse("cargo test").arg("a b").env("RUSTDOCFLAGS", "-D warnings");
        assert_eq!(command.to_string(), "RUSTDOCFLAGS='-D warnings' cargo test 'a b'");
    }

    #[test]
    fn output_is_none_for_a_red_command() {
        let budget = budget(Duration::from_secs(60));
        assert_eq!(Cmd::parse("echo hi").output(&budget).as_deref(), Some("hi\n"));
        assert_eq!(Cmd::new(["sh", "-c", "echo hi; exit 3"]).output(&budget), None);
        assert_eq!(Cmd::parse("no-such-program-anywhere").output(&budget), None);
    }

    #[test]
    fn a_red_command_says_how_to_repeat_it() {
        let failure = Cmd::parse("false").run_quietly(&budget(Duration::from_secs(60)));
        assert!(failure.unwrap_err().to_string().ends_with("repeat it with: false"));
    }

    #[test]
    fn the_limit_kills_grandchildren_too() {
        // The child waits for a grandchild that would outlive the test by far.
        let command = Cmd::new(["sh", "-c", "sleep 7177 & wait"]).limit(Duration::from_millis(300));
        let failure = command.run_quietly(&budget(Duration::from_secs(60))).unwrap_err();
        assert!(failure.to_string().contains("time limit"), "{failure}");
        let left = processes().into_iter().any(|(pid, _)| {
            fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line == b"sleep\x007177\x00")
        });
        assert!(!left, "the grandchild survived");
    }
}
