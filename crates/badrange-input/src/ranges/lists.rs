//! Lists that are nothing but numbers: of sysfs, and of `badblocks(8)`.

use std::io::BufRead;

use badrange_core::Extent;

use super::{
    LogEvent,
    place::{BlockUnit, NamedRange, Place},
    read::RangeOptions,
};
use crate::{
    Confidence, ParseError, ParseErrorKind,
    lines::{Lines, Span, is_digits},
    parse_badblocks,
};

/// What the lines of a text consist of, when they are numbers only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Numbers {
    /// `<first sector> <sectors>`
    Pairs,
    /// One block per line.
    Single,
}

/// Looks at the first lines; `None` when there is anything but numbers. A head may end inside a
/// line.
pub(super) fn kind(head: &str, cut: bool) -> Option<Numbers> {
    let head = if cut { head.rsplit_once('\n').map_or(head, |(before, _)| before) } else { head };
    let mut found = None;
    for line in head.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let kind = match words.as_slice() {
            [a, b] if is_digits(a) && is_digits(b) => Numbers::Pairs,
            [a] if is_digits(a) => Numbers::Single,
            _ => return None,
        };
        match found {
            None => found = Some(kind),
            // The last line of a list that sysfs cut may have lost its second number.
            Some(Numbers::Pairs) if kind == Numbers::Single => {}
            Some(known) if known != kind => return None,
            Some(_) => {}
        }
    }
    found
}

/// A list of sysfs.
pub(super) fn pairs(
    input: impl BufRead,
    options: &RangeOptions<'_>,
    out: &mut Vec<LogEvent>,
) -> Result<(), ParseError> {
    let list = parse_badblocks(input)?;
    let confidence = if list.truncated { Confidence::Truncated } else { Confidence::Exact };
    out.extend(list.ranges.iter().map(|bad| {
        let place = Place::Device { device: options.device.map(str::to_owned), extent: bad.extent };
        LogEvent::Range(NamedRange::new(place, confidence, bad.line, "bad block list"))
    }));
    if list.truncated {
        let last = list.ranges.iter().map(|bad| bad.line).max().unwrap_or(1);
        out.push(LogEvent::Cut { line: last });
    }
    Ok(())
}

/// A list of `badblocks(8)`, in blocks of a size that it does not tell.
pub(super) fn singles(
    input: impl BufRead,
    options: &RangeOptions<'_>,
    out: &mut Vec<LogEvent>,
) -> Result<(), ParseError> {
    let size = (options.block_size)(options.device, BlockUnit::List).ok_or_else(|| {
        let hint = "a list of badblocks(8) does not say its block size: give --block-size (what \
                    badblocks -b was given; 1024 without it)";
        ParseError::new(ParseErrorKind::BadUnit, "list", "", hint)
    })?;
    let mut lines = Lines::new(input);
    while let Some(line) = lines.next_line()? {
        let text = line.text.trim();
        if text.is_empty() {
            continue;
        }
        let first = line.number("block", text, "blocks")?;
        let extent: Extent = line.bytes("block", Span { first, count: 1 }, size)?;
        let place = Place::Device { device: options.device.map(str::to_owned), extent };
        let range = NamedRange::new(place, Confidence::Exact, line.number, "bad block list");
        out.push(LogEvent::Range(range));
    }
    Ok(())
}
