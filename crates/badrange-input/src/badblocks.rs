use std::io::BufRead;

use badrange_core::Extent;

use crate::{
    ParseError, ParseErrorKind,
    lines::{Line, Lines, Span},
};

/// What one read of a sysfs `badblocks` file can return at most: a page less the final NUL.
///
/// # Kernel
/// `badblocks_show` prints into one page and does not stop before it is full; sysfs then cuts the
/// answer to `PAGE_SIZE - 1` bytes, in the middle of a line.
pub const SYSFS_PAGE_BYTES: u64 = 4095;

/// One bad range of a [`BadblocksList`] list.
///
/// # Examples
/// ```
/// let list = badrange_input::parse_badblocks(&b"8 2\n"[..])?;
/// assert_eq!((list.ranges[0].extent.start().get(), list.ranges[0].line), (4096, 1));
/// # Ok::<(), badrange_input::ParseError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BadRange {
    /// Bytes of the device the list belongs to.
    pub extent: Extent,
    /// The line it begins in, from 1.
    pub line: u64,
}

/// A sysfs `badblocks` list.
///
/// # Examples
/// ```
/// // One error of 1 MiB is several records for the kernel.
/// let list = badrange_input::parse_badblocks(&b"0 512\n512 512\n"[..])?;
/// assert_eq!(list.ranges.len(), 1);
/// assert_eq!(list.ranges[0].extent.len(), 512 * 1024);
/// assert!(!list.truncated);
/// # Ok::<(), badrange_input::ParseError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadblocksList {
    /// The ranges in ascending order, adjacent and overlapping ones joined.
    pub ranges: Vec<BadRange>,
    /// The text is as long as one read of sysfs can be: more ranges may exist.
    pub truncated: bool,
}

/// Reads `<first sector> <sectors>` lines, in 512-byte sectors.
///
/// # The cut
/// sysfs cuts a long list after [`SYSFS_PAGE_BYTES`] bytes. A text of at least that length is
/// therefore [`truncated`](BadblocksList::truncated), and its last line is dropped if it has no
/// newline, because digits of it may be missing. A shorter text was not cut by the kernel: its
/// last line counts with or without a newline. An empty text is an empty list.
///
/// # Errors
/// [`ParseErrorKind::NotThisFormat`] for lines of one number (`badblocks(8)` lists count in a
/// block size that they do not name), [`ParseErrorKind::Inconsistent`] for a zero length, and
/// numbers that are none or too large.
///
/// # Kernel
/// `badblocks_show`, `/sys/block/pmem0/badblocks`, `/sys/block/md0/md/dev-sda1/bad_blocks`.
///
/// # Examples
/// ```
/// let list = badrange_input::parse_badblocks(&b"32768 8\n65528 8\n"[..])?;
/// assert_eq!(list.ranges[1].extent.start().get(), 65528 * 512);
/// # Ok::<(), badrange_input::ParseError>(())
/// ```
pub fn parse_badblocks(input: impl BufRead) -> Result<BadblocksList, ParseError> {
    let mut lines = Lines::new(input);
    let mut ranges = Vec::new();
    let mut last = None;
    while let Some(line) = lines.next_line()? {
        ranges.extend(last.transpose()?.flatten());
        last = Some(range(line));
    }
    let truncated = lines.bytes >= SYSFS_PAGE_BYTES;
    if !truncated || lines.newline {
        ranges.extend(last.transpose()?.flatten());
    }
    Ok(BadblocksList { ranges: joined(ranges), truncated })
}

fn range(line: Line<'_>) -> Result<Option<BadRange>, ParseError> {
    let mut words = line.text.split_ascii_whitespace();
    let Some(start) = words.next() else { return Ok(None) };
    let (Some(len), None) = (words.next(), words.next()) else {
        return Err(line.unexpected(
            "expected '<first sector> <sectors>' as in /sys/block/DEV/badblocks; lists of \
             badblocks(8) do not say their block size",
        ));
    };
    let first = line.number("start", start, "sectors")?;
    let count = line.number("length", len, "sectors")?;
    if count == 0 {
        let hint = "a bad range is never empty";
        return Err(line.err(ParseErrorKind::Inconsistent, "length", len, hint));
    }
    let extent = line.sectors("range", Span { first, count })?;
    Ok(Some(BadRange { extent, line: line.number }))
}

fn joined(mut ranges: Vec<BadRange>) -> Vec<BadRange> {
    ranges.sort_by_key(|r| r.extent);
    let mut out: Vec<BadRange> = Vec::with_capacity(ranges.len());
    for next in ranges {
        match out.last_mut().and_then(|last| Some((last.extent.union(next.extent)?, last))) {
            Some((both, last)) => last.extent = both,
            None => out.push(next),
        }
    }
    out
}
