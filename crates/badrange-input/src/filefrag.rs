use std::io::BufRead;

use badrange_core::{Extent, FileOffset};

use crate::{
    FileExtent, FileMapItem, MappedFile, ParseError, ParseErrorKind, Placement, Unplaced,
    lines::{Line, LineFormat, Span, Stream, is_digits},
};

/// Reads `filefrag -v` of any number of files, in whatever unit each file's header names.
///
/// Extents without a place (`unknown_loc`, `delalloc`, `inline`, `tail_packed`) are kept as
/// [`Placement::None`]. Memory does not grow with the text.
///
/// What the text cannot tell: on btrfs the positions are those of its logical space, not of a
/// device (see [`MappedFile::fs_magic`]); a unit larger than a filesystem block rounds positions
/// (see [`MappedFile::block_bytes`]); `filefrag -x` lists attributes and looks the same. `-X`
/// prints hexadecimal digits without a mark: they are refused where they can be told from decimal
/// ones, by a letter or by an end that does not reach the file's.
///
/// # Errors
/// Items are errors for unknown lines and flags, compressed extents
/// ([`ParseErrorKind::Unsupported`]: their bytes are not the file's), contradictory lengths, and
/// numbers that are none or too large; nothing follows an error.
///
/// # Kernel
/// `FS_IOC_FIEMAP`, `FIEMAP_EXTENT_*`.
///
/// # Examples
/// ```
/// use badrange_input::{collect_files, Filefrag};
/// let text = "\
/// Filesystem type is: 58465342
/// File size of /mnt/ib/log0 is 32768 (8 blocks of 4096 bytes)
///  ext:     logical_offset:        physical_offset: length:   expected: flags:
///    0:        0..       7:       1304..      1311:      8:             last,eof
/// /mnt/ib/log0: 1 extent found
/// ";
/// let files = collect_files(Filefrag::new(text.as_bytes()))?;
/// assert_eq!(files[0].file.name, "/mnt/ib/log0");
/// assert_eq!(files[0].extents[0].place.device().unwrap().start().get(), 1304 * 4096);
/// # Ok::<(), badrange_input::ParseError>(())
/// ```
#[derive(Debug)]
pub struct Filefrag<R> {
    stream: Stream<R, FilefragLines>,
}

impl<R: BufRead> Filefrag<R> {
    /// Starts at the reader's position.
    pub fn new(input: R) -> Self {
        Self { stream: Stream::new(input, FilefragLines::default()) }
    }
}

impl<R: BufRead> Iterator for Filefrag<R> {
    type Item = Result<FileMapItem, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.stream.next_item()
    }
}

#[derive(Debug, Default)]
struct FilefragLines {
    fs_magic: Option<u64>,
    file: Option<Current>,
}

/// The file whose rows are being read.
#[derive(Debug)]
struct Current {
    name: String,
    size: u64,
    block_bytes: u64,
    /// Its column header was seen.
    columns: bool,
}

impl LineFormat for FilefragLines {
    type Item = FileMapItem;

    fn line(&mut self, line: Line<'_>) -> Result<Option<FileMapItem>, ParseError> {
        let text = line.text.trim_ascii_end();
        if text.is_empty() || is_remark(text) {
            return Ok(None);
        }
        if let Some(magic) = text.strip_prefix("Filesystem type is: ") {
            self.fs_magic = Some(magic_number(line, magic)?);
            return Ok(None);
        }
        if let Some(rest) = text.strip_prefix("File size of ") {
            return self.file(line, rest).map(|file| Some(FileMapItem::File(file)));
        }
        let Some(current) = &mut self.file else {
            return Err(line.unexpected("expected filefrag -v: 'File size of NAME is ...'"));
        };
        current.line(line.with_text(text)).map(|found| found.map(FileMapItem::Extent))
    }
}

/// Lines that tell nothing about extents.
fn is_remark(text: &str) -> bool {
    text.strip_prefix("Filesystem cylinder groups ")
        .map(|rest| rest.strip_prefix("is ").unwrap_or(rest))
        .and_then(|rest| rest.strip_prefix("approximately "))
        .is_some_and(is_digits)
}

fn magic_number(line: Line<'_>, text: &str) -> Result<u64, ParseError> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    u64::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+')).ok_or_else(|| {
        let hint = "expected a hexadecimal number";
        line.err(ParseErrorKind::BadNumber, "filesystem type", text, hint)
    })
}

impl FilefragLines {
    /// `NAME is 4096 (1 block of 4096 bytes)`; NAME may hold ` is ` too.
    fn file(&mut self, line: Line<'_>, rest: &str) -> Result<MappedFile, ParseError> {
        let parts = rest.rsplit_once(" is ").and_then(|(name, sizes)| {
            let (size, unit) = sizes.split_once(" (")?;
            let unit = unit.strip_suffix(" bytes)").or_else(|| unit.strip_suffix(')'))?;
            let (blocks, unit) = unit.split_once(" block")?;
            let unit = unit.strip_prefix('s').unwrap_or(unit);
            let unit = unit.strip_prefix(" of ").or_else(|| unit.strip_prefix(", blocksize "))?;
            Some((name, size, blocks, unit))
        });
        let Some((name, size, blocks, unit)) = parts else {
            let hint = "expected 'File size of NAME is N (B blocks of S bytes)'";
            return Err(line.unexpected(hint));
        };
        let size = line.number("file size", size, "bytes")?;
        let block_bytes = line.number("block size", unit, "bytes")?;
        let expected = size.checked_next_multiple_of(block_bytes).and_then(|up| {
            // `None` for blocks of no bytes.
            up.checked_div(block_bytes)
        });
        if expected != Some(line.number("block count", blocks, "blocks")?) {
            let hint = format!("{size} bytes are not {blocks} blocks of {block_bytes}");
            return Err(line.err(ParseErrorKind::Inconsistent, "block count", blocks, hint));
        }
        let name = name.to_owned();
        self.file = Some(Current { name: name.clone(), size, block_bytes, columns: false });
        Ok(MappedFile {
            name,
            size: Some(size),
            block_bytes,
            fs_magic: self.fs_magic,
            line: line.number,
        })
    }
}

impl Current {
    fn line(&mut self, line: Line<'_>) -> Result<Option<FileExtent>, ParseError> {
        let mut words = line.text.split_ascii_whitespace();
        let columns = ["ext:", "logical_offset:", "physical_offset:", "length:", "expected:"];
        if columns.iter().all(|c| words.next() == Some(c)) {
            self.columns = true;
            return Ok(None);
        }
        if self.is_summary(line.text) {
            return Ok(None);
        }
        if let Some(cells) = Cells::split(line.text).filter(|_| self.columns) {
            return self.row(line, &cells).map(Some);
        }
        Err(line.unexpected(
            "expected a row of filefrag -v from e2fsprogs 1.42.9 or later (not -X, not Lustre)",
        ))
    }

    /// `NAME: 2 extents found, perfection would be 1 extent`
    fn is_summary(&self, text: &str) -> bool {
        text.strip_prefix(&*self.name)
            .and_then(|rest| rest.strip_prefix(": "))
            .and_then(|rest| rest.split_once(" extent"))
            .is_some_and(|(count, rest)| {
                let rest = rest.strip_prefix('s').unwrap_or(rest);
                is_digits(count) && rest.starts_with(" found")
            })
    }

    fn row(&self, line: Line<'_>, cells: &Cells<'_>) -> Result<FileExtent, ParseError> {
        refuse_hex(line, cells)?;
        let flags = Flags::parse(line, cells.flags)?;
        line.number("extent number", cells.index, "extents")?;
        let logical = line.span("logical range", cells.logical, "blocks")?;
        line.same("length", line.number("length", cells.length, "blocks")?, logical.count)?;
        // Inline data is counted in bytes, whatever the header says.
        let inline = flags.unplaced == Some(Unplaced::Inline);
        let unit = if inline { 1 } else { self.block_bytes };
        let file: Extent<FileOffset> = line.bytes("logical range", logical, unit)?;
        if flags.eof && file.end().get() < self.size {
            let hint = format!(
                "the last extent ends before the file's {} bytes; the file changed meanwhile, or \
                 filefrag -X printed hexadecimal digits",
                self.size
            );
            return Err(line.err(ParseErrorKind::Inconsistent, "eof at", cells.logical, hint));
        }
        Ok(FileExtent {
            file,
            place: self.place(line, cells, logical, flags)?,
            unwritten: Some(flags.unwritten),
            shared: Some(flags.shared),
            line: line.number,
        })
    }

    fn place(
        &self,
        line: Line<'_>,
        cells: &Cells<'_>,
        logical: Span,
        flags: Flags<'_>,
    ) -> Result<Placement, ParseError> {
        if let Some(unplaced) = flags.unplaced {
            return Ok(Placement::None(unplaced));
        }
        if let Some(why) = flags.inexact {
            let hint = "its bytes on the device are not the bytes of the file; leave this file out";
            return Err(line.err(ParseErrorKind::Unsupported, "extent flag", why, hint));
        }
        let physical = line.span("physical range", cells.physical, "blocks")?;
        line.same("physical range length", physical.count, logical.count)?;
        line.bytes("physical range", physical, self.block_bytes).map(Placement::Device)
    }
}

/// The cells of a row: `0: 0.. 7: 1304.. 1311: 8: [EXPECTED:] FLAGS`.
struct Cells<'a> {
    index: &'a str,
    logical: &'a str,
    physical: &'a str,
    length: &'a str,
    expected: &'a str,
    flags: &'a str,
}

impl<'a> Cells<'a> {
    fn split(text: &'a str) -> Option<Self> {
        let mut cells = text.split(':').map(str::trim_ascii);
        let (index, logical) = (cells.next()?, cells.next()?);
        let (physical, length) = (cells.next()?, cells.next()?);
        let (expected, flags) = match (cells.next()?, cells.next()) {
            (flags, None) => ("", flags),
            (expected, Some(flags)) => (expected, flags),
        };
        let ranges = logical.contains("..") && physical.contains("..");
        (ranges && cells.next().is_none()).then_some(Self {
            index,
            logical,
            physical,
            length,
            expected,
            flags,
        })
    }
}

fn refuse_hex(line: Line<'_>, cells: &Cells<'_>) -> Result<(), ParseError> {
    let numbers = [cells.logical, cells.physical, cells.length, cells.expected];
    let is_hex = |text: &&str| {
        text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'.' || b == b' ')
            && text.bytes().any(|b| b.is_ascii_alphabetic())
    };
    match numbers.iter().find(|text| is_hex(text)) {
        Some(text) => {
            let hint = "filefrag -X prints hexadecimal; run it without -X";
            Err(line.err(ParseErrorKind::Unsupported, "number", text, hint))
        }
        None => Ok(()),
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Flags<'a> {
    unplaced: Option<Unplaced>,
    /// The flag that says that bytes are not placed one to one.
    inexact: Option<&'a str>,
    unwritten: bool,
    shared: bool,
    eof: bool,
}

impl<'a> Flags<'a> {
    fn parse(line: Line<'_>, text: &'a str) -> Result<Self, ParseError> {
        let mut flags = Self::default();
        for word in text.split(',').map(str::trim_ascii).filter(|w| !w.is_empty()) {
            match word {
                "last" | "merged" | "encrypted" | "data_encrypted" => {}
                "unknown" | "unknown_loc" => flags.miss(Unplaced::Unknown),
                "delalloc" => flags.miss(Unplaced::Delalloc),
                "inline" | "data_inline" => flags.miss(Unplaced::Inline),
                "tail" | "tail_packed" | "data_tail" => flags.miss(Unplaced::Tail),
                "encoded" | "not_aligned" => flags.inexact = Some(word),
                "unwritten" => flags.unwritten = true,
                "shared" => flags.shared = true,
                "eof" => flags.eof = true,
                _ => {
                    let hint = "only the flags of FIEMAP are known";
                    return Err(line.err(ParseErrorKind::Unsupported, "flag", word, hint));
                }
            }
        }
        Ok(flags)
    }

    /// Of two reasons the more telling one stands: `delalloc` comes with `unknown_loc`.
    fn miss(&mut self, why: Unplaced) {
        self.unplaced = self.unplaced.max(Some(why));
    }
}
