//! Bad ranges in texts: every sample of every format, hand-worked; whole captures; laws.

mod algebra;
mod captures;
mod joined;
mod laws;
mod samples;
mod tools;

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
    let options = RangeOptions { device: Some(device), block_size: &size, untried_is_bad: false };
    read_ranges(text.as_bytes(), &options)
}
