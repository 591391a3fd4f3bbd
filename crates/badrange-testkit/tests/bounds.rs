//! Hostile input ends in a clear error within fixed memory; so do ranges as large as there are.
//!
//! What is asserted is the peak of what the thread has allocated, never time.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "small numbers, and a panic is a failed test"
)]

use core::{fmt::Write as _, ops::ControlFlow};
use std::{
    io::{self, BufRead, Read},
    sync::Arc,
};

use allocation_counter::measure;
use badrange::{attach_table, explain::Explainer};
use badrange_block::dm::{MAX_LEGS_PER_TARGET, MAX_TARGETS, Table, TableErrorKind};
use badrange_core::{
    DevOffset, Extent, Fallback, Granule, Granules, Leg, Link, Mapping, MfFlags, Outcome, PageSize,
    Run, Window,
};
use badrange_input::{
    Filefrag, Fsmap, InodePaths, MAX_LINE_BYTES, MAX_TEXT_BYTES, MemoryFiles, ParseError,
    ParseErrorKind, RangeOptions, Topology, XfsBmap, collect_files, parse_badblocks,
    parse_dm_table, parse_lvs_json, parse_pvs_json, parse_sfdisk_dump, parse_sfdisk_json,
    parse_vgcfg, read_ranges,
};
use badrange_sim::Scenario;
use badrange_stack::{DeviceSpec, Limits, Stack, TopologyErrorKind};
use badrange_testkit::fake::Recorder;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// The result, and the most bytes that the call held at a time.
fn peak<T>(call: impl FnOnce() -> T) -> (T, u64) {
    let mut result = None;
    let info = measure(|| result = Some(call()));
    (result.unwrap(), info.bytes_max)
}

/// A text again and again, up to a length; never in memory.
struct Again {
    piece: Vec<u8>,
    left: u64,
    at: usize,
    taken: u64,
}

impl Again {
    /// `bytes` in all, in pieces of about 64 KiB.
    fn of(piece: &str, bytes: u64) -> Self {
        let piece = piece.repeat((64 << 10) / piece.len() + 1).into_bytes();
        Self { piece, left: bytes, at: 0, taken: 0 }
    }
}

impl Read for Again {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(into)?;
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for Again {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let rest = &self.piece[self.at..];
        Ok(&rest[..rest.len().min(usize::try_from(self.left).unwrap_or(usize::MAX))])
    }

    fn consume(&mut self, count: usize) {
        self.left -= count as u64;
        self.taken += count as u64;
        self.at = (self.at + count) % self.piece.len();
    }
}

type Reader = fn(&mut dyn BufRead) -> Result<(), ParseError>;

/// Readers that go line by line.
const BY_LINE: [Reader; 7] = [
    |r| parse_sfdisk_dump(r).map(drop),
    |r| parse_dm_table(r).map(drop),
    |r| parse_badblocks(r).map(drop),
    |r| Fsmap::new(r).try_for_each(|record| record.map(drop)),
    |r| InodePaths::new(r).try_for_each(|path| path.map(drop)),
    |r| collect_files(Filefrag::new(r)).map(drop),
    |r| collect_files(XfsBmap::new(r)).map(drop),
];

/// Readers that take the whole text.
const WHOLE: [Reader; 4] = [
    |r| parse_sfdisk_json(r).map(drop),
    |r| parse_vgcfg(r).map(drop),
    |r| parse_lvs_json(r).map(drop),
    |r| parse_pvs_json(r).map(drop),
];

#[test]
fn a_line_of_a_gibibyte_is_refused_after_its_first_mebibyte() {
    for (i, reader) in BY_LINE.into_iter().enumerate() {
        let mut text = Again::of("8 ", KIB * MIB);
        let (result, bytes) = peak(|| reader(&mut text));
        assert_eq!(result.unwrap_err().kind(), ParseErrorKind::TooLong, "reader {i}");
        assert!(text.taken <= MAX_LINE_BYTES as u64 + 1, "reader {i} took {}", text.taken);
        assert!(bytes <= 4 * MIB, "reader {i} held {bytes}");
    }
}

#[test]
fn a_text_of_a_gibibyte_is_refused_after_64_mebibytes() {
    for (i, reader) in WHOLE.into_iter().enumerate() {
        let mut text = Again::of("{\"a\":[\n", KIB * MIB);
        let (result, bytes) = peak(|| reader(&mut text));
        assert_eq!(result.unwrap_err().kind(), ParseErrorKind::TooLong, "reader {i}");
        assert!(text.taken <= MAX_TEXT_BYTES as u64 + 1, "reader {i} took {}", text.taken);
        assert!(bytes <= 256 * MIB, "reader {i} held {bytes}");
    }
}

#[test]
fn a_log_may_have_a_line_of_a_gibibyte() {
    let mut text = Again::of("I/O error, dev sda, sector 8 ", KIB * MIB);
    let (list, bytes) = peak(|| read_ranges(&mut text, &RangeOptions::default()).unwrap());
    assert_eq!((text.taken, list.ranges.len()), (KIB * MIB, 0), "a line cut is no line");
    assert!(bytes <= MIB, "held {bytes}");
}

#[test]
fn maps_are_read_in_fixed_memory_however_long() {
    let mut text = Again::of("\t0: 8:1 [0..7]: inode 132 data 0..7 8\n", 8 * MIB);
    let (count, bytes) = peak(|| Fsmap::new(&mut text).take_while(Result::is_ok).count());
    assert!(count > 100_000);
    assert!(bytes <= 64 * KIB, "held {bytes}");
}

/// Depth, digits and repetition, each alone.
fn json_bombs() -> Vec<String> {
    let deep = 1_000_000;
    let digits = "9".repeat(deep);
    vec![
        "[".repeat(deep),
        "{\"partitiontable\":".repeat(deep / 10),
        format!("{{\"report\":{}", "[".repeat(deep)),
        format!("{{\"partitiontable\":{{\"label\":\"gpt\",\"firstlba\":{digits}}}}}"),
        "{\"partitiontable\":{\"label\":\"gpt\",\"firstlba\":1e999999}}".to_owned(),
        format!("{{{}", "\"schema\":\"badrange.scenario/1\",".repeat(100_000)),
        format!("{{\"partitiontable\":{{{}", "\"label\":\"gpt\",".repeat(100_000)),
        format!("{{\"devices\":[{}", "{},".repeat(200_000)),
    ]
}

#[test]
fn json_bombs_end_in_an_error() {
    for bomb in json_bombs() {
        // A few copies of the text, whatever it says.
        let most = 8 * bomb.len() as u64 + MIB;
        let shown = &bomb[..bomb.len().min(40)];
        for reader in [WHOLE[0], WHOLE[2], WHOLE[3]] {
            let (result, bytes) = peak(|| reader(&mut bomb.as_bytes()));
            assert!(result.is_err(), "{shown}");
            assert!(bytes <= most, "{shown} held {bytes}");
        }
        let (result, bytes) = peak(|| Scenario::from_str(&bomb, "bomb").map(drop));
        let message = result.unwrap_err().to_string();
        assert!(message.len() < 1000, "{shown}: {} bytes of message", message.len());
        assert!(bytes <= most * 4, "{shown} held {bytes}");
    }
}

#[test]
fn a_storm_of_2_to_the_64_pages_is_refused() {
    for (key, value) in [("count", "18446744073709551615"), ("len", "18446744073709551615")] {
        let kind = if key == "count" { "storm" } else { "memory_failure_range" };
        let text = format!(
            r#"{{"schema":"badrange.scenario/1","name":"n","profile":"linux-7.2","devices":[
            {{"name":"pmem0","kind":"pmem","phys":"0x100000000","size":"0x20000000","data_offset":0}}],
            "events":[{{"do":"{kind}","phys":0,"seed":1,"{key}":{value},"flags":[]}}]}}"#
        );
        let (result, bytes) = peak(|| Scenario::from_str(&text, "s").map(drop));
        assert!(result.is_err());
        assert!(bytes <= MIB, "held {bytes}");
    }
}

#[test]
fn toml_bombs_end_in_an_error() {
    let deep = 100_000;
    for bomb in [
        format!("schema = {}", "[".repeat(deep)),
        format!("schema = {}", "{a=".repeat(deep)),
        format!("{}a = 1\n", "a.".repeat(deep)),
        format!("[{}a]\n", "a.".repeat(deep)),
        "[[disk]]\n".repeat(deep),
        format!(
            "schema = \"badrange.stack/1\"\n[[disk]]\nname = \"a\"\nsectors = {}\n",
            "9".repeat(deep)
        ),
    ] {
        let shown = &bomb[..bomb.len().min(40)];
        let (result, bytes) = peak(|| Topology::load("s", &bomb, &MemoryFiles::new()).map(drop));
        assert!(result.is_err(), "{shown}");
        assert!(bytes <= 64 * MIB, "{shown} held {bytes}");
    }
}

#[test]
fn deep_lvm_metadata_ends_in_an_error() {
    let head = "contents = \"Text Format Volume Group\"\nversion = 1\n";
    let nested = format!("{head}{}", "vg0 {\n".repeat(200_000));
    let lists = format!("{head}vg0 {{\na = {}", "[".repeat(200_000));
    for text in [nested, lists] {
        let (result, bytes) = peak(|| parse_vgcfg(text.as_bytes()).map(drop));
        assert!(result.is_err());
        assert!(bytes <= 16 * MIB, "held {bytes}");
    }
}

/// Once the volumes were made by recursion without a limit of its own.
#[test]
fn twenty_thousand_volumes_on_one_another_end_in_an_error() {
    let mut text = "contents = \"Text Format Volume Group\"\nversion = 1\nvg0 {\n\
        extent_size = 8192\nphysical_volumes {\npv0 {\ndevice = \"/dev/sda\"\npe_start = 2048\n\
        pe_count = 100\n}\n}\nlogical_volumes {\n"
        .to_owned();
    for i in 0..20_000 {
        let below = if i == 19_999 { "pv0".to_owned() } else { format!("lv{}", i + 1) };
        write!(
            text,
            "lv{i} {{\nstatus = [\"READ\", \"VISIBLE\"]\nsegment_count = 1\nsegment1 {{\n\
             start_extent = 0\nextent_count = 1\ntype = \"striped\"\nstripe_count = 1\n\
             stripes = [\"{below}\", 0]\n}}\n}}\n"
        )
        .unwrap();
    }
    text.push_str("}\n}\n");
    let toml = "schema = \"badrange.stack/1\"\n[[disk]]\nname = \"sda\"\nsectors = 4000000\n\
        [[lvm]]\nmetadata = \"vg\"\ndevices = { pv0 = \"sda\" }\n";
    let files = MemoryFiles::new().with("vg", text);
    let message = Topology::load("s", toml, &files).unwrap_err().to_string();
    assert!(message.contains("lv"), "{message}");
}

#[test]
fn two_thousand_partitions_on_one_another_are_refused_by_the_stack() {
    let mut toml = "schema = \"badrange.stack/1\"\n".to_owned();
    // The one on top first: nothing is there yet when it is read.
    for i in (1..2000).rev() {
        write!(
            toml,
            "[[partition]]\nname = \"d{i}\"\non = \"d{}\"\nstart = 0\nsectors = 8\n",
            i - 1
        )
        .unwrap();
    }
    toml.push_str("[[disk]]\nname = \"d0\"\nsectors = 8\n");
    let topology = Topology::load("s", &toml, &MemoryFiles::new()).unwrap();
    assert_eq!(topology.devices().len(), 2000);
    assert!(Explainer::new(topology).is_err());
}

#[test]
fn a_stack_is_as_deep_as_its_limit_and_no_deeper() {
    let stack = Stack::new();
    let whole = Extent::new(DevOffset::new(0), 4096).unwrap();
    let mut below = stack.add_device(DeviceSpec::base("d0", whole)).unwrap();
    for depth in 2..=Limits::DEFAULT.depth {
        let layer = Arc::new(Window::new(whole));
        below = stack.add_device(DeviceSpec::on(format!("d{depth}"), layer, [below])).unwrap();
    }
    let layer = Arc::new(Window::new(whole));
    let err = stack.add_device(DeviceSpec::on("one more", layer, [below])).unwrap_err();
    assert_eq!(err.kind(), TopologyErrorKind::TooDeep);
    let recorder = Arc::new(Recorder::new(Outcome::Handled));
    let _registration = stack.register(below, whole, recorder.clone()).unwrap();
    let bottom = stack.device("d0").unwrap();
    let report = stack.fail(bottom, whole, MfFlags::NONE).unwrap();
    assert_eq!(report.handled_bytes(), 4096);
    assert_eq!(recorder.notices().len(), 1);
}

#[test]
fn a_table_of_a_million_targets_is_read_and_one_more_is_refused() {
    let mut text = String::new();
    for i in 0..MAX_TARGETS {
        writeln!(text, "{} 8 linear 8:0 {}", 8 * i, 16 * i).unwrap();
    }
    // A target and its two words, and what a vector that grows holds beside them.
    let each = 320;
    let (table, bytes) = peak(|| Table::parse(&text).unwrap());
    assert_eq!(table.targets().count(), MAX_TARGETS);
    assert!(bytes <= each * MAX_TARGETS as u64, "held {bytes}");
    // The last target is found, and what lies behind it is not.
    let last = Leg::new(u32::try_from(MAX_TARGETS - 1).unwrap());
    let at = |sector: u64| Extent::new(DevOffset::new(sector * 512), 512).unwrap();
    let count = |asked: Extent| {
        let mut found = 0;
        let _ = table.rmap(last, asked.into(), &mut |_| {
            found += 1;
            ControlFlow::Continue(())
        });
        found
    };
    let first = 16 * (MAX_TARGETS as u64 - 1);
    assert_eq!([first - 1, first, first + 7, first + 8].map(|s| count(at(s))), [0, 1, 1, 0]);
    drop(table);
    writeln!(text, "{} 8 error", 8 * MAX_TARGETS).unwrap();
    let (err, bytes) = peak(|| Table::parse(&text).unwrap_err());
    assert_eq!(err.kind(), TableErrorKind::TooMany);
    assert!(bytes <= each * MAX_TARGETS as u64, "held {bytes}");
}

#[test]
fn a_number_of_legs_is_not_believed_before_they_are_there() {
    let most = u64::from(MAX_LEGS_PER_TARGET);
    for legs in [most + 1, 1 << 32, u64::MAX] {
        let text = format!("0 8 striped {legs} 8 8:0 0");
        let (err, bytes) = peak(|| Table::parse(&text).unwrap_err());
        assert!(bytes <= 64 * KIB, "{err}: held {bytes}");
    }
}

#[test]
fn lengths_of_2_to_the_64_are_refused_by_name() {
    let max = u64::MAX;
    for text in [
        format!("0 {max} linear 8:0 0"),
        format!("0 {max} error"),
        format!("0 8 linear 8:0 {max}"),
        format!("{max} 8 error"),
        format!("0 8 striped 1 {max} 8:0 0"),
        "0 36028797018963968 striped 2 8 8:0 0 8:16 0".to_owned(),
        format!("0 {max}{max} zero"),
    ] {
        let (err, bytes) = peak(|| Table::parse(&text).unwrap_err());
        assert!(err.line() == Some(1), "{text}: {err}");
        assert!(bytes <= 64 * KIB, "{err}: held {bytes}");
    }
}

/// A fallback that is given runs, and counts.
#[derive(Default)]
struct Counts(std::sync::Mutex<(u64, u64)>);

impl Fallback for Counts {
    fn memory_failure(&self, _: Granule, _: MfFlags) {
        panic!("page by page would take years");
    }

    fn memory_failure_run(&self, pages: Granules, _: MfFlags) {
        let mut counts = self.0.lock().unwrap();
        counts.0 += 1;
        counts.1 += pages.count();
    }
}

#[test]
fn all_of_memory_fails_in_fixed_memory() {
    let stack = Stack::new();
    let all = Extent::new(DevOffset::new(0), u64::MAX).unwrap();
    let fallback = Arc::new(Counts::default());
    let memory = DeviceSpec::base("mem", all).fallback(PageSize::K4, fallback.clone());
    let memory = stack.add_device(memory).unwrap();
    let (report, bytes) = peak(|| stack.fail(memory, all, MfFlags::NONE).unwrap());
    assert_eq!(report.remainder_bytes(), u64::MAX);
    // The last page has a byte that belongs to no range; it fails with the others.
    assert_eq!(*fallback.0.lock().unwrap(), (1, 1 << 52));
    assert!(bytes <= 64 * KIB, "held {bytes}");
}

#[test]
fn all_of_a_striped_device_fails_in_fixed_memory() {
    let stack = Stack::new();
    let whole = Extent::new(DevOffset::new(0), u64::MAX).unwrap();
    let disk = stack.add_device(DeviceSpec::base("disk", whole)).unwrap();
    // 2^51 sectors on each of 8 legs of one disk, in chunks of one sector.
    let width = 1_u64 << 51;
    let legs: String = (0..8).map(|i| format!(" disk {}", i * width)).collect();
    let text = format!("0 {} striped 8 1{legs}", 8 * width);
    let lv = attach_table(&stack, "lv", Table::parse(&text).unwrap()).unwrap();
    let top = Extent::new(DevOffset::new(0), 8 * width * 512).unwrap();
    let recorder = Arc::new(Recorder::new(Outcome::Handled));
    let _registration = stack.register(lv, top, recorder.clone()).unwrap();
    let (report, bytes) = peak(|| stack.fail(disk, whole, MfFlags::NONE).unwrap());
    assert!(!report.cut_short());
    assert_eq!(report.handled_bytes(), top.len());
    let notified: u64 = recorder.notices().iter().map(|notice| notice.range.total_len()).sum();
    assert_eq!(notified, top.len());
    assert!(bytes <= MIB, "held {bytes}");
}

#[test]
fn a_run_of_2_to_the_64_elements_is_cut_without_visiting_them() {
    let one = Extent::new(DevOffset::new(0), 1).unwrap();
    let every = Run::new(one, 1, u64::MAX).unwrap();
    let second = Run::new(one, 2, u64::MAX / 2).unwrap();
    let window = Extent::new(DevOffset::new(1 << 40), 1 << 41).unwrap();
    let (parts, bytes) = peak(|| every.clip(window).count() + every.overlaps(&second).count());
    assert!(parts <= 6, "{parts}");
    assert!(bytes <= 64 * KIB, "held {bytes}");
    // The same as a leg, every second byte of the device above.
    let link = Link::new(Run::new(one, 1, u64::MAX / 2).unwrap(), second).unwrap();
    let mut bytes_above = 0;
    let (flow, bytes) = peak(|| {
        link.rmap(window.into(), &mut |link| {
            bytes_above += link.upper().total_len();
            ControlFlow::Continue(())
        })
    });
    assert_eq!((flow, bytes_above), (ControlFlow::Continue(()), window.len()));
    assert!(bytes <= 64 * KIB, "held {bytes}");
}
