#![expect(clippy::arithmetic_side_effects, reason = "a panic is a failed check")]

use badrange::explain::{Explainer, Explanation, Query, QueryTarget};
use badrange_core::{DevOffset, Extent};
use badrange_input::{MemoryFiles, Topology};

use super::{TextFormat, check_message};

/// A `stack.toml` with the files that it names, in one text: the files follow, each after a line
/// `-- its name --`.
///
/// A description that loads is asked about every device, at its ends and across its edges; the
/// answer has to cover the query exactly.
///
/// # Examples
/// ```
/// use badrange_testkit::text::{StackArchive, TextFormat};
/// StackArchive::check(b"schema = \"badrange.stack/1\"
/// [[disk]]
/// name = \"sda\"
/// sectors = 64
/// [[fs]]
/// device = \"sda\"
/// kind = \"xfs\"
/// map = [\"map.txt\"]
/// block_size = 4096
/// -- map.txt --
/// \t0: 8:1 [0..7]: static fs metadata 8
/// ");
/// ```
#[derive(Debug)]
pub enum StackArchive {}

impl TextFormat for StackArchive {
    const WORDS: &'static [&'static str] = &[
        "schema = \"badrange.stack/1\"",
        "[[disk]]",
        "[[pmem]]",
        "[[partitions]]",
        "[[partition]]",
        "[[lvm]]",
        "[[dm]]",
        "[[fs]]",
        "[[thin]]",
        "[[md]]",
        "[[loop]]",
        "name = \"a\"",
        "name = \"b\"",
        "sectors = ",
        "logical_block = 4096",
        "phys = \"0x100000000\"",
        "size = ",
        "data_offset = 0",
        "mode = \"fsdax\"",
        "align = \"2M\"",
        "badblocks = \"x\"",
        "on = \"a\"",
        "start = ",
        "table = \"x\"",
        "names = [\"a1\", \"a2\"]",
        "metadata = \"x\"",
        "lvs = \"x\"",
        "pvs = \"y\"",
        "devices = { \"8:0\" = \"a\" }",
        "device = \"a\"",
        "kind = \"xfs\"",
        "map = [\"x\"]",
        "paths = \"y\"",
        "mount = \"/\"",
        "block_size = 4096",
        "-- x --",
        "-- y --",
        "0 8 linear 8:0 0",
        "0 16 striped 2 8 8:0 0 8:0 8",
        "\t0: 8:1 [0..7]: inode 132 data 0..7 8",
    ];

    fn check(text: &[u8]) {
        let (toml, files) = unpack(&String::from_utf8_lossy(text));
        match Topology::load("stack.toml", &toml, &files) {
            Err(err) => check_message(None, &err.to_string(), text),
            Ok(topology) => {
                // One that the stack has no room for is refused by name.
                if let Ok(explainer) = Explainer::new(topology) {
                    check_answers(&explainer);
                }
            }
        }
    }
}

fn unpack(text: &str) -> (String, MemoryFiles) {
    let mut toml = String::new();
    let mut files = MemoryFiles::new();
    let mut open: Option<(&str, String)> = None;
    for line in text.split_inclusive('\n') {
        let name = line.trim_end().strip_prefix("-- ").and_then(|l| l.strip_suffix(" --"));
        match (name, &mut open) {
            (Some(name), open) => {
                if let Some((name, content)) = open.replace((name, String::new())) {
                    files = files.with(name, content);
                }
            }
            (None, Some((_, content))) => content.push_str(line),
            (None, None) => toml.push_str(line),
        }
    }
    if let Some((name, content)) = open {
        files = files.with(name, content);
    }
    (toml, files)
}

/// Devices that are asked about, and the longest range: what one query costs grows with it.
const DEVICES: usize = 8;
const LONGEST: u64 = 1 << 20;

fn check_answers(explainer: &Explainer) {
    let devices = explainer.topology().devices().iter();
    for (place, device) in devices.enumerate().take(DEVICES) {
        let end = device.extent.end().get();
        let last = end.saturating_sub(LONGEST);
        for (start, len) in [(0, end.min(LONGEST)), (last, LONGEST + 7), (end / 2, 513)] {
            let Ok(extent) = Extent::new(DevOffset::new(start), len) else { continue };
            let query = Query {
                at: "query".to_owned(),
                target: QueryTarget::Device { place, extent },
                confidence: None,
                line: None,
            };
            let answer = explainer.explain(&[query]);
            answer.queries.iter().for_each(|found| check_covers(found, start, len));
            let json = answer.to_json();
            assert!(!json.is_empty(), "an answer is never nothing");
        }
    }
}

/// The pieces are those of the query: every byte, once.
fn check_covers(found: &Explanation, start: u64, len: u64) {
    let mut parts: Vec<(u64, u64)> = Vec::new();
    for piece in &found.pieces {
        let (stride, count) = piece.repeat.unwrap_or((piece.len, 1));
        parts.extend((0..count).map(|i| (piece.start + i * stride, piece.len)));
    }
    parts.sort_unstable();
    let mut due = start;
    for (at, len) in parts {
        assert_eq!(at, due, "a gap or an overlap in {found:?}");
        due += len;
    }
    assert_eq!(due, start + len, "the end of {found:?}");
}
