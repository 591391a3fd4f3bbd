//! Maps of GNU ddrescue.

use std::io::BufRead;

use badrange_core::{DevOffset, Extent, Space};

use super::{
    LogEvent, name,
    place::{NamedRange, Place},
    read::RangeOptions,
};
use crate::{
    Confidence, ParseError, ParseErrorKind,
    lines::{Line, Lines},
    parse_u64,
};

/// Reads `<pos> <size> <status>` lines, in bytes.
///
/// `-` was tried to the last sector: exactly bad. `/` and `*` failed in larger pieces: the damage is
/// somewhere inside. `?` was not tried.
pub(super) fn read(
    input: impl BufRead,
    options: &RangeOptions<'_>,
    out: &mut Vec<LogEvent>,
) -> Result<(), ParseError> {
    let mut lines = Lines::new(input);
    let mut device = options.device.map(str::to_owned);
    let mut position_seen = false;
    let mut expected: Option<u64> = None;
    while let Some(line) = lines.next_line()? {
        let text = line.text.trim();
        if let Some(comment) = text.strip_prefix('#') {
            device = device.or_else(|| rescued(comment));
            continue;
        }
        if text.is_empty() {
            continue;
        }
        if !position_seen {
            position_seen = true;
            position(line.with_text(text))?;
            continue;
        }
        let (start, len, status) = block(line.with_text(text))?;
        let wrong = |hint: String| line.err(ParseErrorKind::Inconsistent, "pos", text, hint);
        if let Some(expected) = expected.filter(|expected| *expected != start) {
            return Err(wrong(format!("the block before ends at {expected:#x}")));
        }
        let extent = Extent::new(DevOffset::new(start), len)
            .map_err(|_| wrong("a block is never empty and ends below 2^64".to_owned()))?;
        expected = Some(extent.end().to_raw());
        let confidence = match status {
            '-' => Some(Confidence::Exact),
            '/' | '*' => Some(Confidence::AtMost),
            _ => options.untried_is_bad.then_some(Confidence::AtMost),
        };
        let bad = confidence.filter(|_| status != '+');
        out.extend(bad.map(|confidence| {
            let place = Place::Device { device: device.clone(), extent };
            LogEvent::Range(NamedRange::new(place, confidence, line.number, "rescue map"))
        }));
    }
    if !position_seen {
        let hint = "a mapfile has a line with the current position";
        return Err(ParseError::new(ParseErrorKind::MissingField, "current_pos", "", hint));
    }
    Ok(())
}

/// `# Command line: ddrescue -d /dev/sdb sdb.img sdb.map`: the device that was read. Options have
/// values that look like names, so only a path below `/dev` is one.
fn rescued(comment: &str) -> Option<String> {
    let command = comment.trim_start().strip_prefix("Command line:")?;
    let words: Vec<&str> = command.split_ascii_whitespace().collect();
    // In, out, map: the last three words.
    let [.., infile, _out, _map] = words.as_slice() else { return None };
    infile.starts_with("/dev/").then(|| name::of_device(infile))
}

fn position(line: Line<'_>) -> Result<(), ParseError> {
    let mut words = line.text.split_ascii_whitespace();
    let pos = words.next().and_then(parse_u64);
    let status = words.next().is_some_and(|s| matches!(s, "?" | "*" | "/" | "-" | "F" | "G" | "+"));
    let pass = words.next().is_none_or(|pass| parse_u64(pass).is_some());
    if pos.is_some() && status && pass && words.next().is_none() {
        return Ok(());
    }
    Err(line.unexpected("expected '<current_pos> <current_status> [<current_pass>]'"))
}

fn block(line: Line<'_>) -> Result<(u64, u64, char), ParseError> {
    let words: Vec<&str> = line.text.split_ascii_whitespace().collect();
    let [pos, size, status] = words.as_slice() else {
        return Err(line.unexpected("expected '<pos> <size> <status>'"));
    };
    let number = |field, text: &str| {
        parse_u64(text).ok_or_else(|| {
            let hint = "expected bytes, decimal or 0x-hex of 64 bits";
            line.err(ParseErrorKind::BadNumber, field, text, hint)
        })
    };
    let known = |status: &str| {
        let mut chars = status.chars();
        chars.next().filter(|c| "?*/-+".contains(*c) && chars.next().is_none())
    };
    let status = known(status).ok_or_else(|| {
        line.err(ParseErrorKind::NotThisFormat, "status", status, "expected one of ? * / - +")
    })?;
    Ok((number("pos", pos)?, number("size", size)?, status))
}

/// Whether a text is a mapfile: by its first line, or by its first lines without a comment.
pub(super) fn is_mapfile(head: &str) -> bool {
    if head.trim_start().starts_with("# Mapfile. Created by GNU ddrescue")
        || head.trim_start().starts_with("# Rescue Logfile. Created by GNU ddrescue")
    {
        return true;
    }
    let mut data = head.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#'));
    let line = |number, text| Line { number, text };
    let (first, second) = (data.next(), data.next());
    first.is_some_and(|text| position(line(1, text)).is_ok())
        && second.is_some_and(|text| block(line(2, text)).is_ok())
}
