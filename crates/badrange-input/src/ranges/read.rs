use std::io::{self, BufRead, Read};

use badrange_core::PageSize;

use super::{
    LogStream, json,
    lists::{self, Numbers},
    mapfile,
    merge::Merge,
    place::{BlockUnit, NamedRange, RangeList},
};
use crate::{
    ParseError, ParseErrorKind,
    lines::{unreadable, whole_text},
    sniff::{RECOGNISE_BYTES, recognise},
};

/// Bytes of a log that are read at once.
const CHUNK: usize = 64 << 10;

/// What a text does not say, and whoever gives it knows.
///
/// # Examples
/// ```
/// use badrange_input::{BlockUnit, RangeOptions, read_ranges};
/// let options = RangeOptions {
///     device: Some("sda"),
///     block_size: &|_, unit| (unit == BlockUnit::List).then_some(1024),
///     ..RangeOptions::default()
/// };
/// let list = read_ranges(&b"7\n8\n20\n"[..], &options)?;
/// let places: Vec<_> = list.ranges.iter().map(|range| range.place.to_string()).collect();
/// assert_eq!(places, ["sda:14+4", "sda:40+2"]);
/// # Ok::<(), badrange_input::ParseError>(())
/// ```
#[derive(Clone, Copy)]
pub struct RangeOptions<'a> {
    /// The device of a list that does not name one.
    pub device: Option<&'a str>,
    /// Bytes of a block of a device, where the text does not tell; `None` where nobody knows.
    pub block_size: &'a dyn Fn(Option<&str>, BlockUnit) -> Option<u64>,
    /// Whether areas that a rescue never tried count as bad.
    pub untried_is_bad: bool,
    /// Bytes of a page of the machine: what page frame numbers count.
    pub page: PageSize,
}

/// No device, untried areas are not bad, and only blocks of the buffer cache have a size: 4096
/// bytes, which is right for every filesystem but those of smaller blocks.
impl Default for RangeOptions<'_> {
    fn default() -> Self {
        Self {
            device: None,
            block_size: &|_, unit| (unit == BlockUnit::Buffer).then_some(4096),
            untried_is_bad: false,
            page: PageSize::K4,
        }
    }
}

impl core::fmt::Debug for RangeOptions<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("RangeOptions")
            .field("device", &self.device)
            .field("untried_is_bad", &self.untried_is_bad)
            .finish_non_exhaustive()
    }
}

/// Finds every bad range that a text names.
///
/// The kind of text is told by its content: kernel logs of all eras with any time stamps, syslog
/// prefixes and colours; trace events, rasdaemon and `ras-mc-ctl`; lists of sysfs, md, `badblocks(8)`
/// and `mdadm --examine-badblocks`; JSON of ndctl and cxl; ddrescue mapfiles; smartctl in text and
/// JSON. A log without anything bad is an empty list.
///
/// # What is one range
/// A place is listed once, with the line that named it first. A request of SCSI or NVMe and the
/// sector that the block layer tells of it are one range, of the request's length. Exact ranges that
/// touch are one. A page that is named by its number takes in addresses inside it.
///
/// # Errors
/// [`ParseErrorKind::Unsupported`] for a text of another kind, by its name; and whatever a list, map
/// or JSON has wrong. Lines of a log are never an error.
///
/// # Cost
/// Linear in the text, and `O(n log n)` in its ranges. Logs and lists may be of any length; JSON is
/// read as a whole, up to [`MAX_TEXT_BYTES`](crate::MAX_TEXT_BYTES).
///
/// # Examples
/// ```
/// use badrange_input::{Confidence, RangeOptions, read_ranges};
/// let log = "\
/// [107.542221] nvme0n1: I/O Cmd(0x2) @ LBA 101224, 256 blocks, I/O Error (sct 0x2 / sc 0x81)
/// [107.542549] critical medium error, dev nvme0n1, sector 101224 op 0x0:(READ) phys_seg 1
/// ";
/// let list = read_ranges(log.as_bytes(), &RangeOptions::default())?;
/// let [range] = list.ranges.as_slice() else { panic!("{list:?}") };
/// assert_eq!(range.place.to_string(), "nvme0n1:101224+256");
/// assert_eq!((range.confidence, range.line), (Confidence::AtMost, 1));
/// # Ok::<(), badrange_input::ParseError>(())
/// ```
pub fn read_ranges(
    mut input: impl BufRead,
    options: &RangeOptions<'_>,
) -> Result<RangeList, ParseError> {
    let mut head = Vec::new();
    let limit = u64::try_from(RECOGNISE_BYTES).unwrap_or(u64::MAX);
    input.by_ref().take(limit).read_to_end(&mut head).map_err(|e| unreadable(&e))?;
    let cut = head.len() >= RECOGNISE_BYTES;
    let text = String::from_utf8_lossy(&head).into_owned();
    let text = text.trim_start_matches('\u{feff}');
    let whole = head.as_slice().chain(input);
    let mut events = Vec::new();
    if is_json(text) {
        json::read(&whole_text(whole)?, options, &mut events)?;
    } else if mapfile::is_mapfile(text) {
        mapfile::read(whole, options, &mut events)?;
    } else {
        match lists::kind(text, cut) {
            Some(Numbers::Pairs) => lists::pairs(whole, options, &mut events)?,
            Some(Numbers::Single) => lists::singles(whole, options, &mut events)?,
            None => return log(whole, &head, options),
        }
    }
    let mut merge = Merge::new(options.block_size);
    events.into_iter().for_each(|event| merge.add(event));
    Ok(merge.finish())
}

fn is_json(text: &str) -> bool {
    let text = text.trim_start();
    let list = text.strip_prefix('[').map(str::trim_start);
    text.starts_with('{') && !is_record(text) || list.is_some_and(|t| t.starts_with(['{', ']']))
}

/// `{3}[Hardware Error]: `
fn is_record(text: &str) -> bool {
    text.strip_prefix('{').is_some_and(|t| t.starts_with(|c: char| c.is_ascii_digit()))
}

fn log(
    mut input: impl Read,
    head: &[u8],
    options: &RangeOptions<'_>,
) -> Result<RangeList, ParseError> {
    let mut stream = LogStream::of_pages(options.page);
    let mut told = Vec::new();
    let mut chunk = vec![0; CHUNK];
    let mut events = Vec::new();
    loop {
        let read = match input.read(&mut chunk) {
            Ok(read) => read,
            Err(err) if err.kind() == io::ErrorKind::Interrupted => continue,
            Err(err) => return Err(unreadable(&err)),
        };
        if read == 0 {
            break;
        }
        stream.push(chunk.get(..read).unwrap_or_default(), &mut events);
        told.append(&mut events);
    }
    stream.finish(&mut told);
    // A block size that the log tells counts for lines before it too.
    let learned = |device: Option<&str>, unit: BlockUnit| {
        let logical = (unit == BlockUnit::Logical).then(|| stream.block_size(device)).flatten();
        logical.or_else(|| (options.block_size)(device, unit))
    };
    let mut merge = Merge::new(&learned);
    for event in told {
        merge.add(owned(event, options.device));
    }
    if merge.is_empty() {
        names_nothing(head)?;
    }
    Ok(merge.finish())
}

/// Gives what names no device the one that was said.
fn owned(event: super::LogEvent, device: Option<&str>) -> super::LogEvent {
    match (event, device) {
        (super::LogEvent::Range(range), Some(name)) if range.place.is_nameless() => {
            super::LogEvent::Range(NamedRange { place: range.place.on(name), ..range })
        }
        (event, _) => event,
    }
}

/// A text in which nothing bad is named: an error when it is one that never names anything.
fn names_nothing(head: &[u8]) -> Result<(), ParseError> {
    if head.iter().all(u8::is_ascii_whitespace) {
        return Ok(());
    }
    match recognise(head) {
        Ok(format) => Err(json::foreign(format)),
        Err(err) => {
            let text = err.to_string();
            // Logs, and lists that happen to be empty, belong here.
            let belongs = text.contains("--log") || text.contains("badblocks");
            let known = err.kind() == ParseErrorKind::Unsupported && !belongs;
            if known { Err(err) } else { Ok(()) }
        }
    }
}
