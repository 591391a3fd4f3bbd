use core::cell::Cell;
use std::{
    collections::HashMap,
    io::{self, BufRead, Read},
    rc::Rc,
};

use badrange_block::thin::BlockRange;
use badrange_core::SECTOR_SIZE;
use quick_xml::{
    Reader,
    events::{BytesStart, Event},
};

use crate::{ParseError, ParseErrorKind};

/// The mappings of a thin pool: what `thin_dump` prints.
///
/// # Examples
/// ```
/// let text = r#"<superblock uuid="" time="1" transaction="2" data_block_size="128" nr_data_blocks="1024">
///   <device dev_id="1" mapped_blocks="3" transaction="0" creation_time="0" snap_time="1">
///     <range_mapping origin_begin="0" data_begin="300" length="2" time="0"/>
///     <single_mapping origin_block="9" data_block="7" time="1"/>
///   </device>
/// </superblock>"#;
/// let pool = badrange_input::parse_thin_dump(text.as_bytes())?;
/// assert_eq!((pool.block_bytes, pool.data_blocks), (65536, Some(1024)));
/// assert_eq!((pool.devices[0].id, pool.devices[0].ranges.len()), (1, 2));
/// # Ok::<(), badrange_input::ParseError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThinDump {
    /// Bytes of a block; never zero.
    pub block_bytes: u64,
    /// How many blocks the data device had; `None` when the dump was made of a metadata snapshot,
    /// which does not say.
    pub data_blocks: Option<u64>,
    /// The volumes, in the order of the text.
    pub devices: Vec<ThinDevice>,
}

/// A volume of a thin pool.
///
/// # Examples
/// See [`ThinDump`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThinDevice {
    /// Its number in the pool.
    pub id: u64,
    /// Its blocks.
    pub ranges: Vec<BlockRange>,
    /// The line it begins in, from 1.
    pub line: u64,
}

/// Reads the XML form of `thin_dump`.
///
/// Memory is bounded by the number of ranges, not by the length of the text: of these, volumes can
/// have [`MAX_THIN_RANGES`] together, and no element may take more than a mebibyte of text.
///
/// # Errors
/// [`ParseErrorKind::NotThisFormat`] for what is no well-formed dump or ends early,
/// [`ParseErrorKind::MissingField`], [`ParseErrorKind::BadNumber`],
/// [`ParseErrorKind::Inconsistent`] when a volume has more or fewer blocks than it says (a dump
/// made with `--skip-mappings`, or damaged metadata) or its mappings do not ascend,
/// [`ParseErrorKind::TooLong`] for more ranges than that, [`ParseErrorKind::Unsupported`] for
/// elements that are not known.
///
/// # Kernel
/// The mapping tree of `drivers/md/dm-thin-metadata.c`, as `thin_dump` prints it.
///
/// # Examples
/// See [`ThinDump`].
pub fn parse_thin_dump(input: impl BufRead) -> Result<ThinDump, ParseError> {
    let (line, node) = (Rc::new(Cell::new(1)), Rc::new(Cell::new(0)));
    let counting = Counting { inner: input, line: Rc::clone(&line), node: Rc::clone(&node) };
    let mut reader = Reader::from_reader(counting);
    let mut dump = Dump::default();
    let mut buf = Vec::new();
    loop {
        let at = line.get();
        node.set(0);
        let event = reader.read_event_into(&mut buf).map_err(|err| {
            let hint = format!("expected the XML of thin_dump: {err}");
            ParseError::new(ParseErrorKind::NotThisFormat, "text", "", hint).at(line.get())
        })?;
        match event {
            Event::Start(element) => dump.start(&element, at)?,
            Event::Empty(element) => {
                dump.start(&element, at)?;
                dump.end(element.name().as_ref())?;
            }
            Event::End(element) => dump.end(element.name().as_ref())?,
            Event::Eof => return dump.finish(line.get()),
            Event::Text(_)
            | Event::CData(_)
            | Event::Comment(_)
            | Event::Decl(_)
            | Event::PI(_)
            | Event::DocType(_)
            | Event::GeneralRef(_) => {}
        }
        buf.clear();
    }
}

/// Bytes of an element, or of what stands between two. A real one has some dozens.
const MAX_NODE: usize = 1 << 20;

/// A reader that counts lines as they are consumed, and the bytes of the element at hand, which the
/// reader of XML keeps whole.
struct Counting<R> {
    inner: R,
    line: Rc<Cell<u64>>,
    node: Rc<Cell<usize>>,
}

impl<R: BufRead> Read for Counting<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let count = available.len().min(buf.len());
        if let (Some(to), Some(from)) = (buf.get_mut(..count), available.get(..count)) {
            to.copy_from_slice(from);
        }
        self.consume(count);
        Ok(count)
    }
}

impl<R: BufRead> BufRead for Counting<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.node.get() > MAX_NODE {
            let message = format!("an element of more than {MAX_NODE} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        self.inner.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        // What was filled is still there: nothing is read here.
        if let Ok(filled) = self.inner.fill_buf() {
            let passed = filled.get(..amount).unwrap_or(filled);
            let lines = passed.iter().filter(|b| **b == b'\n').count();
            self.line.set(self.line.get().saturating_add(u64::try_from(lines).unwrap_or(0)));
        }
        self.node.set(self.node.get().saturating_add(amount));
        self.inner.consume(amount);
    }
}

/// Ranges of all volumes of a pool together. Volumes can share mappings, so that a short text stands
/// for many of them.
pub const MAX_THIN_RANGES: usize = 1 << 24;

/// A dump as it is read.
#[derive(Debug, Default)]
struct Dump {
    pool: Option<(u64, Option<u64>)>,
    ended: bool,
    /// Of all volumes and shared mappings that are whole.
    ranges: usize,
    devices: Vec<ThinDevice>,
    /// Mappings that several volumes share, by name.
    shared: HashMap<u64, Vec<BlockRange>>,
    open: Option<Open>,
}

/// A volume or shared mappings, on the way.
#[derive(Debug)]
struct Open {
    device: Option<(u64, u64)>,
    name: u64,
    ranges: Vec<BlockRange>,
    line: u64,
}

impl Open {
    /// Adds ranges, which have to ascend: a dump walks a tree in order. It is also what bounds the
    /// result: no volume can refer twice to the same shared mappings, which could double at every
    /// reference.
    fn extend(&mut self, more: &[BlockRange], line: u64) -> Result<(), ParseError> {
        let mut end = self.ranges.last().map_or(0, end_in_volume);
        for range in more {
            if range.blocks == 0 || range.volume < end {
                let hint = "mappings of a volume ascend, and none is empty or named twice";
                let kind = ParseErrorKind::Inconsistent;
                let value = range.volume.to_string();
                return Err(ParseError::new(kind, "mapping", &value, hint).at(line));
            }
            end = end_in_volume(range);
        }
        self.ranges.extend(more);
        Ok(())
    }
}

const fn end_in_volume(range: &BlockRange) -> u64 {
    range.volume.saturating_add(range.blocks)
}

impl Dump {
    fn start(&mut self, element: &BytesStart<'_>, line: u64) -> Result<(), ParseError> {
        let name = element.name();
        let attributes = Attributes { element, line };
        match name.as_ref() {
            b"superblock" if self.pool.is_none() => {
                let sectors = attributes.number("data_block_size")?;
                let bytes = sectors.checked_mul(SECTOR_SIZE).filter(|bytes| *bytes > 0);
                let bytes = bytes.ok_or_else(|| {
                    let value = sectors.to_string();
                    let hint = "expected 512-byte sectors of a block";
                    ParseError::new(ParseErrorKind::Overflow, "data_block_size", &value, hint)
                        .at(line)
                })?;
                let blocks = attributes.optional("nr_data_blocks")?.filter(|blocks| *blocks > 0);
                self.pool = Some((bytes, blocks));
            }
            b"device" if self.may_open() => {
                let device = (attributes.number("dev_id")?, attributes.number("mapped_blocks")?);
                self.open = Some(Open { device: Some(device), name: 0, ranges: Vec::new(), line });
            }
            b"def" if self.may_open() => {
                let name = attributes.number("name")?;
                self.open = Some(Open { device: None, name, ranges: Vec::new(), line });
            }
            b"range_mapping" => self.push(attributes.range()?, line)?,
            b"single_mapping" => self.push(attributes.single()?, line)?,
            b"ref" => self.refer(attributes.number("name")?, line)?,
            other => {
                let name = String::from_utf8_lossy(other).into_owned();
                let hint = "no such element is known here, at this place";
                return Err(
                    ParseError::new(ParseErrorKind::Unsupported, "element", &name, hint).at(line)
                );
            }
        }
        Ok(())
    }

    fn may_open(&self) -> bool {
        self.pool.is_some() && self.open.is_none() && !self.ended
    }

    fn push(&mut self, range: BlockRange, line: u64) -> Result<(), ParseError> {
        let open = self.open.as_mut().ok_or_else(|| outside(line))?;
        check_room(self.ranges, open.ranges.len(), 1, line)?;
        open.extend(&[range], line)
    }

    fn refer(&mut self, name: u64, line: u64) -> Result<(), ParseError> {
        let known = self.shared.get(&name).ok_or_else(|| {
            let hint = "no mappings of that name were defined before";
            ParseError::new(ParseErrorKind::Inconsistent, "ref", &name.to_string(), hint).at(line)
        })?;
        let open = self.open.as_mut().ok_or_else(|| outside(line))?;
        check_room(self.ranges, open.ranges.len(), known.len(), line)?;
        open.extend(known, line)
    }

    fn end(&mut self, name: &[u8]) -> Result<(), ParseError> {
        match name {
            b"superblock" => self.ended = true,
            b"device" | b"def" => {
                let Some(Open { device, name, ranges, line }) = self.open.take() else {
                    return Ok(());
                };
                self.ranges = self.ranges.saturating_add(ranges.len());
                let Some((id, mapped)) = device else {
                    self.shared.insert(name, ranges);
                    return Ok(());
                };
                let listed = ranges.iter().fold(0_u64, |n, range| n.saturating_add(range.blocks));
                if listed != mapped {
                    let hint = format!(
                        "volume {id} lists {listed} blocks; dump the whole metadata, without \
                         --skip-mappings"
                    );
                    let value = mapped.to_string();
                    let kind = ParseErrorKind::Inconsistent;
                    return Err(ParseError::new(kind, "mapped_blocks", &value, hint).at(line));
                }
                self.devices.push(ThinDevice { id, ranges, line });
            }
            _ => {}
        }
        Ok(())
    }

    fn finish(self, line: u64) -> Result<ThinDump, ParseError> {
        let Some((block_bytes, data_blocks)) = self.pool.filter(|_| self.ended) else {
            let hint = "expected a <superblock> with its end: is the text whole?";
            return Err(
                ParseError::new(ParseErrorKind::NotThisFormat, "end of text", "", hint).at(line)
            );
        };
        Ok(ThinDump { block_bytes, data_blocks, devices: self.devices })
    }
}

fn check_room(whole: usize, open: usize, more: usize, line: u64) -> Result<(), ParseError> {
    let all = whole.saturating_add(open).saturating_add(more);
    if all <= MAX_THIN_RANGES {
        return Ok(());
    }
    let hint = format!("at most {MAX_THIN_RANGES} ranges in all volumes: dump fewer with --dev-id");
    Err(ParseError::new(ParseErrorKind::TooLong, "mappings", &all.to_string(), hint).at(line))
}

#[cold]
fn outside(line: u64) -> ParseError {
    let hint = "mappings stand inside <device> or <def>";
    ParseError::new(ParseErrorKind::NotThisFormat, "element", "", hint).at(line)
}

struct Attributes<'a> {
    element: &'a BytesStart<'a>,
    line: u64,
}

impl Attributes<'_> {
    fn optional(&self, name: &'static str) -> Result<Option<u64>, ParseError> {
        let err = |kind, value: &str, hint: String| {
            ParseError::new(kind, name, value, hint).at(self.line)
        };
        let found = self.element.try_get_attribute(name).map_err(|e| {
            err(ParseErrorKind::NotThisFormat, "", format!("the element is no XML: {e}"))
        })?;
        let Some(attribute) = found else { return Ok(None) };
        let text = String::from_utf8_lossy(&attribute.value).into_owned();
        let digits = crate::lines::is_digits(&text);
        match text.parse().ok().filter(|_| digits) {
            Some(number) => Ok(Some(number)),
            None => {
                Err(err(ParseErrorKind::BadNumber, &text, "expected a decimal number".to_owned()))
            }
        }
    }

    fn number(&self, name: &'static str) -> Result<u64, ParseError> {
        self.optional(name)?.ok_or_else(|| {
            let hint = "the element has no such attribute";
            ParseError::new(ParseErrorKind::MissingField, name, "", hint).at(self.line)
        })
    }

    fn range(&self) -> Result<BlockRange, ParseError> {
        Ok(BlockRange {
            volume: self.number("origin_begin")?,
            data: self.number("data_begin")?,
            blocks: self.number("length")?,
        })
    }

    fn single(&self) -> Result<BlockRange, ParseError> {
        let (volume, data) = (self.number("origin_block")?, self.number("data_block")?);
        Ok(BlockRange { volume, data, blocks: 1 })
    }
}
