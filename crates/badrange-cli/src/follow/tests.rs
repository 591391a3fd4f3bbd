//! Findings, a growing file, and a stack that changes.

use core::{cell::Cell, time::Duration};
use std::{collections::VecDeque, fs, io, io::Write, path::PathBuf};

use serde_json::Value;

use super::{
    feed::{Feed, Growing, Next},
    findings::{Findings, MAX_REMEMBERED},
    follow,
    watch::Watched,
};
use crate::log::LogArgs;

const STACK: &str = "\
schema = \"badrange.stack/1\"
[[disk]]
name = \"sda\"
sectors = 1310720
[[partition]]
name = \"sda1\"
on = \"sda\"
start = 2048
sectors = 8192
";

/// A directory with a stack.
struct Host {
    dir: tempfile::TempDir,
}

impl Host {
    fn new() -> Self {
        let host = Self { dir: tempfile::tempdir().unwrap() };
        fs::write(host.path("stack.toml"), STACK).unwrap();
        host
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn findings(&self, window: u64) -> Findings {
        let args = LogArgs {
            log: Some("-".into()),
            device: None,
            page_size: None,
            block_size: None,
            untried_is_bad: false,
        };
        let stack = Watched::load(&self.path("stack.toml")).unwrap();
        Findings::new(stack, &args, Duration::from_secs(window)).unwrap()
    }
}

fn sector(n: u64) -> String {
    format!("[1.0] I/O error, dev sda, sector {n} op 0x0:(READ)\n")
}

fn bytes(text: &str) -> Next {
    Next::Bytes(text.as_bytes().to_vec())
}

/// What a line says, in short: the event, where, how often it was left out.
fn brief(line: &Value) -> String {
    assert_eq!(line["schema"], "badrange.event/1");
    let event = line["event"].as_str().unwrap();
    let subject = line["at"].as_str().or(line["what"].as_str()).unwrap_or_default();
    match line["repeats"].as_u64() {
        Some(0) | None => format!("{event} {subject}"),
        Some(n) => format!("{event} {subject} after {n}"),
    }
}

fn briefs(lines: &[Value]) -> Vec<String> {
    lines.iter().map(brief).collect()
}

/// What is new in a text after which nothing follows for a while.
fn told(findings: &mut Findings, text: &str, now: Duration) -> Vec<Value> {
    let mut lines = findings.take(bytes(text), now);
    lines.extend(findings.take(Next::Idle, now));
    lines
}

const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[test]
fn a_finding_is_told_once_per_window() {
    let host = Host::new();
    let mut findings = host.findings(60);
    let mut take = |text: &str, now| briefs(&told(&mut findings, text, now));
    assert_eq!(take(&sector(8), secs(0)), ["finding sda:8+8"]);
    assert_eq!(take(&sector(8).repeat(5), secs(59)), [""; 0]);
    assert_eq!(take(&(sector(16) + &sector(8)), secs(59)), ["finding sda:16+8"]);
    assert_eq!(take(&sector(8), secs(60)), ["finding sda:8+8 after 6"]);
    assert_eq!(take(&sector(8), secs(61)), [""; 0]);
    assert_eq!(findings.exit_code(), 3, "nobody said what is on the disk");
}

#[test]
fn what_a_layer_above_reports_once_more_is_left_out() {
    let host = Host::new();
    let mut findings = host.findings(60);
    let mut take = |text: &str, now| briefs(&told(&mut findings, text, now));
    let above = |n: u64| {
        format!("[1.0] Buffer I/O error on dev sda1, logical block {n}, async page read\n")
    };
    // Block 1 of the partition is sectors 2056 to 2063 of the disk.
    let both = sector(2056) + &above(1);
    assert_eq!(take(&both, secs(0)), ["finding sda:2056+8"]);
    assert_eq!(take(&above(1), secs(59)), [""; 0]);
    assert_eq!(take(&above(2), secs(59)), ["finding sda1:16+8"], "the disk said nothing of it");
    assert_eq!(take(&above(1), secs(61)), ["finding sda1:8+8 after 2"]);
    // Where the bytes are is new, even if a layer above had them first.
    assert_eq!(take(&sector(2064), secs(62)), ["finding sda:2064+8"]);
}

#[test]
fn a_finding_has_its_explanation() {
    let host = Host::new();
    let mut findings = host.findings(60);
    let lines = told(&mut findings, &sector(2048), secs(0));
    let line = &lines[0];
    assert_eq!(line["device"], "sda");
    assert_eq!((&line["start"], &line["len"]), (&1_048_576.into(), &4096.into()));
    assert_eq!((&line["confidence"], &line["line"]), (&"unknown-extent".into(), &1.into()));
    assert_eq!(line["pieces"][0]["trail"][1]["device"], "sda1");
    assert_eq!(line["status"], 3);
    assert_eq!(line["summary"]["bytes_queried"], 4096);
}

#[test]
fn what_waits_for_a_next_line_is_told_in_a_pause() {
    let host = Host::new();
    let mut findings = host.findings(60);
    assert_eq!(briefs(&findings.take(bytes("[1.0] I/O error, dev sda, sec"), secs(0))), [""; 0]);
    assert_eq!(briefs(&findings.take(bytes("tor 8 op 0x0\n"), secs(0))), [""; 0]);
    assert_eq!(briefs(&findings.take(Next::Idle, secs(1))), ["finding sda:8+8"]);
    assert_eq!(briefs(&findings.take(Next::Idle, secs(2))), [""; 0]);
}

#[test]
fn what_leads_nowhere_and_what_is_missing_are_told_too() {
    let host = Host::new();
    let mut findings = host.findings(60);
    let text = "[1.0] I/O error, dev sdb, sector 8 op 0x0:(READ)\n[1.1] blk_print_req_error: 12 callbacks suppressed\n\n";
    let lines = told(&mut findings, text, secs(0));
    assert_eq!(briefs(&lines), ["unplaced sdb:8+8: no device \"sdb\" in this stack", "truncated "]);
    assert_eq!(findings.exit_code(), 3);
}

#[test]
fn memory_of_findings_is_bounded() {
    let host = Host::new();
    let mut findings = host.findings(60);
    let many: String =
        (0..MAX_REMEMBERED as u64 + 10).map(|n| format!("Memory failure: {n:#x}: x\n")).collect();
    assert_eq!(told(&mut findings, &many, secs(0)).len(), MAX_REMEMBERED + 10);
    assert_eq!(findings.remembered(), MAX_REMEMBERED);
    // The oldest was forgotten, the newest not.
    let newest = MAX_REMEMBERED + 9;
    let text = format!("Memory failure: 0x0: x\nMemory failure: {newest:#x}: x\n\n");
    assert_eq!(briefs(&told(&mut findings, &text, secs(1))), ["finding pfn:0x0+1"]);
}

#[test]
fn a_stack_that_changes_is_loaded_again() {
    let host = Host::new();
    let mut findings = host.findings(3600);
    let before = told(&mut findings, &sector(2048), secs(0));
    assert_eq!(before[0]["pieces"][0]["trail"][1]["device"], "sda1");
    fs::write(host.path("stack.toml"), STACK.replace("\"sda1\"", "\"renamed\"")).unwrap();
    // Not before its time, and then before anything is explained.
    assert_eq!(briefs(&told(&mut findings, &sector(2048), secs(0))), [""; 0]);
    let lines = told(&mut findings, &sector(2048), secs(2));
    assert_eq!(briefs(&lines), ["reloaded ", "finding sda:2048+8"]);
    assert_eq!(lines[1]["pieces"][0]["trail"][1]["device"], "renamed");
    // One that cannot be loaded leaves the old one, and is told once.
    fs::write(host.path("stack.toml"), "schema = \"other\"").unwrap();
    let lines = told(&mut findings, &sector(2056), secs(4));
    assert_eq!(briefs(&lines), ["reload-failed ", "finding sda:2056+8"]);
    assert!(lines[0]["error"].as_str().unwrap().contains("schema"), "{lines:?}");
    assert_eq!(briefs(&findings.take(Next::Idle, secs(6))), [""; 0]);
    fs::write(host.path("stack.toml"), STACK).unwrap();
    assert_eq!(briefs(&findings.take(Next::Idle, secs(8))), ["reloaded "]);
}

/// Everything that a file gives while something is done to it at every pause.
fn grown(path: PathBuf, mut pauses: VecDeque<Box<dyn FnMut() + '_>>) -> Vec<Next> {
    let wait = || {
        pauses.pop_front().is_some_and(|mut act| {
            act();
            true
        })
    };
    let mut feed = Growing::open(path, wait).unwrap();
    let mut all = Vec::new();
    loop {
        let next = feed.next().unwrap();
        let ended = next == Next::End;
        if next != Next::Idle {
            all.push(next);
        }
        if ended {
            return all;
        }
    }
}

fn append(path: &PathBuf, text: &str) {
    let file = fs::OpenOptions::new().append(true).open(path);
    file.unwrap().write_all(text.as_bytes()).unwrap();
}

#[test]
fn a_file_is_followed_through_growth_rotation_and_truncation() {
    let host = Host::new();
    let (log, old) = (host.path("log"), host.path("log.1"));
    fs::write(&log, "one\n").unwrap();
    let pauses: Vec<Box<dyn FnMut()>> = vec![
        Box::new(|| append(&log, "two\n")),
        // Rotated, but written to once more: nothing of it is lost.
        Box::new(|| {
            fs::rename(&log, &old).unwrap();
            append(&old, "three\n");
        }),
        // For a moment there is no file.
        Box::new(|| fs::write(&log, "four\n").unwrap()),
        // Cut and written again.
        Box::new(|| fs::write(&log, "5\n").unwrap()),
    ];
    let all = grown(log.clone(), pauses.into());
    let expected = [
        bytes("one\n"),
        bytes("two\n"),
        bytes("three\n"),
        Next::Anew,
        bytes("four\n"),
        Next::Anew,
        bytes("5\n"),
        Next::End,
    ];
    assert_eq!(all, expected);
}

/// A feed that says what it is told to.
struct Said(VecDeque<Next>);

impl Feed for Said {
    fn next(&mut self) -> io::Result<Next> {
        Ok(self.0.pop_front().unwrap_or(Next::End))
    }
}

#[test]
fn lines_count_anew_in_a_new_file_and_every_line_is_json() {
    let host = Host::new();
    let mut findings = host.findings(60);
    let mut feed = Said(
        [bytes("x\n"), bytes(&sector(8)), Next::Anew, bytes(&sector(16))].into_iter().collect(),
    );
    let mut out = Vec::new();
    let now = Cell::new(0);
    let clock = || {
        now.set(now.get() + 1);
        secs(now.get())
    };
    assert_eq!(follow(&mut feed, &mut findings, &mut out, clock).unwrap(), 3);
    let lines: Vec<Value> = String::from_utf8(out)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(briefs(&lines), ["finding sda:8+8", "rotated ", "finding sda:16+8"]);
    assert_eq!((&lines[0]["line"], &lines[2]["line"]), (&2.into(), &1.into()));
}
