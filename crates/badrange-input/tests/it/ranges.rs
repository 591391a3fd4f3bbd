//! Bad ranges in texts: every sample of every format, hand-worked; whole captures; laws.

mod algebra;
mod captures;
mod joined;
mod laws;
mod samples;
mod tools;

use badrange_core::PageSize;
use badrange_input::{BlockUnit, ParseError, RangeList, RangeOptions, read_ranges};

fn options() -> RangeOptions<'static> {
    RangeOptions::default()
}

/// What a text names, one line each: ranges as `place confidence line`, what leads nowhere as
/// `! what line`, and `cut line`.
fn listed(text: impl AsRef<[u8]>) -> Vec<String> {
    match read_ranges(text.as_ref(), &options()) {
        Ok(list) => shown(&list),
        Err(err) => vec![format!("error: {err}")],
    }
}

fn shown(list: &RangeList) -> Vec<String> {
    let ranges = list.ranges.iter().map(|r| format!("{} {} {}", r.place, r.confidence, r.line));
    let unplaced = list.unplaced.iter().map(|u| format!("! {} {}", u.what, u.line));
    let cut = list.truncated.map(|line| format!("cut {line}"));
    ranges.chain(unplaced).chain(cut).collect()
}

/// With blocks of this many bytes wherever the text does not say.
fn read_with_blocks(text: &str, device: &str, bytes: u64) -> Result<RangeList, ParseError> {
    let size = |_: Option<&str>, _: BlockUnit| Some(bytes);
    let options = RangeOptions {
        device: Some(device),
        block_size: &size,
        untried_is_bad: false,
        page: PageSize::K4,
    };
    read_ranges(text.as_bytes(), &options)
}

#[test]
fn names_in_a_text_have_no_control_characters_when_shown() {
    let lines = [
        "sd 0:0:0:0: [sd\u{16}a] tag#1 CDB: Read(10) 28 00 00 00 23 28 00 00 01 00",
        "I/O error, dev sd\u{7f}a, sector 8 op 0x0:(READ) flags 0x0 phys_seg 1 prio class 2",
        "I/O error, dev sd\u{9b}31ma, sector 8 op 0x0:(READ) flags 0x0 phys_seg 1 prio class 2",
    ];
    for line in lines {
        let told = listed(line);
        assert_eq!(told.len(), 1, "{line:?}");
        assert!(!told[0].chars().any(char::is_control), "{told:?}");
    }
}

#[test]
fn zeros_of_a_file_that_was_cut_off_do_not_hide_the_line_behind_them() {
    let line = "\0\0\0\0[    5.0] I/O error, dev sda, sector 8 op 0x0:(READ) flags 0x0 phys_seg 1 prio class 2";
    assert_eq!(listed(line), listed(line.trim_start_matches('\0')));
    assert_eq!(listed(line).len(), 1);
}
