use std::io::BufRead;

use badrange_core::SECTOR_SIZE;

use crate::{
    FileExtent, FileMapItem, MappedFile, ParseError, ParseErrorKind, Placement, Unplaced,
    fsmap::{is_legend, octal},
    lines::{Line, LineFormat, Span, Stream, is_digits},
};

const SHARED: u64 = 0o100_000;
const UNWRITTEN: u64 = 0o10_000;
/// Where an extent lies relative to stripe units; of no consequence here.
const STRIPE_BITS: u64 = 0o1_111;

/// Reads `xfs_bmap` of any number of files: `-v`, `-vv`, `-vvp` and the bare form.
///
/// Numbers are 512-byte sectors with inclusive ends. Holes are dropped, `delalloc` has no place.
/// A name line directly above an equal one counts once. Memory does not grow with the text.
///
/// What the text cannot tell: `xfs_bmap -a` lists attribute forks and looks the same; do not mix
/// it in. Only with `-p` does it mark unwritten extents, so [`FileExtent::unwritten`] is `None`
/// unless a row says something that only `-p` prints. The bare form marks no sharing either.
///
/// # Errors
/// Items are errors for unknown lines and flags, rows before a name, contradictory lengths, files
/// on a realtime device ([`ParseErrorKind::Unsupported`]) and numbers that are none or too large;
/// nothing follows an error.
///
/// # Kernel
/// `XFS_IOC_GETBMAPX`, `struct getbmapx`.
///
/// # Examples
/// ```
/// use badrange_input::{collect_files, XfsBmap};
/// let text = "\
/// /mnt/a:
///  EXT: FILE-OFFSET      BLOCK-RANGE      AG AG-OFFSET        TOTAL FLAGS
///    0: [0..127]:        192..319          0 (192..319)         128 010000
/// ";
/// let files = collect_files(XfsBmap::new(text.as_bytes()))?;
/// assert_eq!(files[0].extents[0].unwritten, Some(true));
/// # Ok::<(), badrange_input::ParseError>(())
/// ```
#[derive(Debug)]
pub struct XfsBmap<R> {
    stream: Stream<R, BmapLines>,
}

impl<R: BufRead> XfsBmap<R> {
    /// Starts at the reader's position.
    pub fn new(input: R) -> Self {
        Self { stream: Stream::new(input, BmapLines::default()) }
    }
}

impl<R: BufRead> Iterator for XfsBmap<R> {
    type Item = Result<FileMapItem, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.stream.next_item()
    }
}

#[derive(Debug, Default)]
struct BmapLines {
    /// The name, until a row of it was read.
    name_only: Option<String>,
    in_file: bool,
    legend: bool,
}

impl LineFormat for BmapLines {
    type Item = FileMapItem;

    fn line(&mut self, line: Line<'_>) -> Result<Option<FileMapItem>, ParseError> {
        let text = line.text.trim_ascii();
        if text.is_empty() || (self.legend && is_legend(text)) {
            return Ok(None);
        }
        self.legend = line.text.trim_ascii_end() == " FLAG Values:";
        if self.legend || header(line)? {
            return Ok(None);
        }
        if let Some((range, place)) = row_parts(text) {
            if !self.in_file {
                let hint = "expected the line with the name of its file above it";
                return Err(line.err(ParseErrorKind::MissingField, "file name", text, hint));
            }
            self.name_only = None;
            return Ok(row(line, range, place)?.map(FileMapItem::Extent));
        }
        Ok(self.name(line)?.map(FileMapItem::File))
    }
}

impl BmapLines {
    /// `NAME:` or `NAME: no extents`
    fn name(&mut self, line: Line<'_>) -> Result<Option<MappedFile>, ParseError> {
        let text = line.text.trim_ascii_end();
        let empty = text.strip_suffix(": no extents");
        let Some(name) = empty.or_else(|| text.strip_suffix(':')).filter(|n| !n.is_empty()) else {
            return Err(line.unexpected("expected xfs_bmap -v: 'NAME:', a header, or a row"));
        };
        let again = self.name_only.as_deref() == Some(name);
        self.in_file = empty.is_none();
        self.name_only = self.in_file.then(|| name.to_owned());
        if again {
            return Ok(None);
        }
        Ok(Some(MappedFile {
            name: name.to_owned(),
            size: None,
            block_bytes: SECTOR_SIZE,
            fs_magic: None,
            line: line.number,
        }))
    }
}

/// Whether this is the header of the verbose form.
pub(crate) fn header(line: Line<'_>) -> Result<bool, ParseError> {
    let mut words = line.text.split_ascii_whitespace();
    if (words.next(), words.next()) != (Some("EXT:"), Some("FILE-OFFSET")) {
        return Ok(false);
    }
    match (words.next(), words.next()) {
        (Some("BLOCK-RANGE"), Some("AG")) => Ok(true),
        (Some("RT-BLOCK-RANGE"), _) => {
            let hint = "its extents are on the realtime device; leave this file out";
            Err(line.err(ParseErrorKind::Unsupported, "file on the realtime device", "", hint))
        }
        _ => {
            let hint = "this is xfs_io fiemap; give xfs_bmap -v or filefrag -v";
            Err(line.err(ParseErrorKind::Unsupported, "text", line.text.trim(), hint))
        }
    }
}

/// `0: [0..127]: REST`
fn row_parts(text: &str) -> Option<(&str, &str)> {
    let (index, rest) = text.split_once(": [")?;
    let (range, place) = rest.split_once("]:")?;
    is_digits(index).then_some((range, place.trim_ascii()))
}

/// Whether this is a row, for telling the format.
pub(crate) fn is_row(text: &str) -> bool {
    let line = Line { number: 0, text };
    row_parts(text).is_some_and(|(range, place)| row(line, range, place).is_ok())
}

fn row(line: Line<'_>, range: &str, place: &str) -> Result<Option<FileExtent>, ParseError> {
    let file = line.span("file range", range, "sectors")?;
    let mut words = place.split_ascii_whitespace();
    let first = words.next().unwrap_or_default();
    let (place, flags) = match first {
        "hole" => {
            check_total(line, words.next(), file)?;
            return Ok(None);
        }
        "delalloc" => {
            check_total(line, words.next(), file)?;
            (Placement::None(Unplaced::Delalloc), Flags::default())
        }
        _ => {
            let span = line.span("block range", first, "sectors")?;
            line.same("block range length", span.count, file.count)?;
            let flags = columns(line, words, file)?;
            (Placement::Device(line.sectors("block range", span)?), flags)
        }
    };
    Ok(Some(FileExtent {
        file: line.sectors("file range", file)?,
        place,
        unwritten: flags.unwritten,
        shared: flags.shared,
        line: line.number,
    }))
}

fn check_total(line: Line<'_>, total: Option<&str>, span: Span) -> Result<(), ParseError> {
    total.map_or(Ok(()), |total| {
        line.same("length", line.number("length", total, "sectors")?, span.count)
    })
}

/// What the flag column of a row says.
#[derive(Debug, Clone, Copy, Default)]
struct Flags {
    unwritten: Option<bool>,
    shared: Option<bool>,
}

/// `AG (OFFSETS) TOTAL [FLAGS]`, or nothing, or `N blocks`.
fn columns<'a>(
    line: Line<'_>,
    words: impl Iterator<Item = &'a str>,
    span: Span,
) -> Result<Flags, ParseError> {
    let words: Vec<&str> = words.collect();
    let (ag, total, flags) = match words[..] {
        [] => return Ok(Flags::default()),
        [total, "blocks"] => {
            check_total(line, Some(total), span)?;
            return Ok(Flags::default());
        }
        [_, ag, total] => (ag, total, None),
        [_, ag, total, flags] => (ag, total, Some(flags)),
        _ => return Err(line.unexpected("expected 'AG (OFFSETS) TOTAL [FLAGS]' after the range")),
    };
    check_total(line, Some(total), span)?;
    let offsets = ag.trim_start_matches('(').trim_end_matches(')');
    line.same("AG offset length", line.span("AG offset", offsets, "sectors")?.count, span.count)?;
    match flags {
        Some(flags) => flag_column(line, flags),
        // Without -p the column is empty when no bit is set, and no bit tells of unwritten ones.
        None => Ok(Flags { unwritten: None, shared: Some(false) }),
    }
}

fn flag_column(line: Line<'_>, text: &str) -> Result<Flags, ParseError> {
    let known = SHARED | UNWRITTEN | STRIPE_BITS;
    let Some(bits) = octal(text).filter(|bits| bits & !known == 0) else {
        let hint = "only shared, unwritten and stripe bits are known";
        return Err(line.err(ParseErrorKind::Unsupported, "flags", text, hint));
    };
    let unwritten = match bits {
        // Only -p prints zeros.
        0 => Some(false),
        _ => (bits & UNWRITTEN != 0).then_some(true),
    };
    Ok(Flags { unwritten, shared: Some(bits & SHARED != 0) })
}
