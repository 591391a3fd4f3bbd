//! An endless log: bytes in, events out, bounded memory.

use badrange_core::PageSize;

use super::{
    gather::Gather,
    place::{NamedRange, UnplacedRange},
    prefix, rules,
    said::Said,
};

/// The longest line of a log that is looked at; the rest of a longer one is skipped.
pub const MAX_LOG_LINE_BYTES: usize = 64 << 10;

/// Lines that a mail program or a terminal may have made of one.
const MAX_PARTS: usize = 4;
/// Bytes of them together.
const MAX_JOINED_BYTES: usize = 4 << 10;

/// Something that a log says.
///
/// # Examples
/// See [`LogStream`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum LogEvent {
    /// A bad range.
    Range(NamedRange),
    /// Something bad that leads to no bytes.
    Unplaced(UnplacedRange),
    /// Something is missing from the log at this line.
    Cut {
        /// The line, from 1.
        line: u64,
    },
}

/// Reads a log piece by piece, as it grows.
///
/// Lines may be of any length and in any encoding; memory is bounded. An event comes as soon as the
/// lines that belong to it are complete: a line may be continued by the next, and a request is told
/// by two. Call [`idle`](Self::idle) when no more lines are expected for the moment.
///
/// # Cost
/// Linear in the bytes.
///
/// # Examples
/// ```
/// use badrange_input::{LogEvent, LogStream};
/// let mut log = LogStream::new();
/// let mut events = Vec::new();
/// log.push(b"[1.0] critical medium error, dev sda, sec", &mut events);
/// log.push(b"tor 100000 op 0x0:(READ)\n", &mut events);
/// log.idle(&mut events);
/// let [LogEvent::Range(range)] = events.as_slice() else { panic!("{events:?}") };
/// assert_eq!(range.place.to_string(), "sda:100000+8");
/// ```
#[derive(Debug, Default)]
pub struct LogStream {
    bytes: Vec<u8>,
    /// Bytes of the current line beyond the limit were dropped.
    skipping: bool,
    lines: u64,
    held: Option<Held>,
    gather: Gather,
}

/// A message that the next line may continue.
#[derive(Debug)]
struct Held {
    line: u64,
    text: String,
    prefixed: bool,
    parts: usize,
    said: Option<Said>,
}

impl LogStream {
    /// A log of a machine whose pages have this size: it is what page frame numbers count.
    ///
    /// # Examples
    /// ```
    /// use badrange_core::PageSize;
    /// use badrange_input::{LogEvent, LogStream};
    /// let mut log = LogStream::of_pages(PageSize::K64);
    /// let mut events = Vec::new();
    /// log.push(b"Memory failure: 0x2: recovery action for dirty LRU page: Recovered\n", &mut events);
    /// log.idle(&mut events);
    /// let [LogEvent::Range(range)] = events.as_slice() else { panic!("{events:?}") };
    /// assert_eq!(range.place.to_string(), "pfn:0x2+1");
    /// ```
    #[must_use]
    pub fn of_pages(page: PageSize) -> Self {
        Self { gather: Gather::with_pages(page), ..Self::default() }
    }

    /// A stream at its beginning.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Lines that were complete so far.
    #[must_use]
    pub const fn lines(&self) -> u64 {
        self.lines
    }

    /// Takes more bytes.
    pub fn push(&mut self, bytes: &[u8], events: &mut Vec<LogEvent>) {
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, after) = rest.split_at(end);
            self.keep(line);
            self.line(events);
            rest = after.get(1..).unwrap_or_default();
        }
        self.keep(rest);
    }

    /// Says what waits for a next line, because none is expected. A line without its newline keeps
    /// waiting.
    pub fn idle(&mut self, events: &mut Vec<LogEvent>) {
        self.flush(events);
        self.gather.idle(events);
    }

    /// The end of the log: the last line may lack its newline.
    pub fn finish(&mut self, events: &mut Vec<LogEvent>) {
        if !self.bytes.is_empty() {
            self.line(events);
        }
        self.flush(events);
        self.gather.finish(events);
    }

    /// The block size of a disk, where the log told it.
    pub(super) fn block_size(&self, device: Option<&str>) -> Option<u64> {
        self.gather.block_size(device)
    }

    fn keep(&mut self, part: &[u8]) {
        let room = MAX_LOG_LINE_BYTES.saturating_sub(self.bytes.len());
        self.bytes.extend(part.iter().take(room));
        self.skipping |= part.len() > room;
    }

    fn line(&mut self, events: &mut Vec<LogEvent>) {
        let bytes = core::mem::take(&mut self.bytes);
        self.lines = self.lines.saturating_add(1);
        let skipped = core::mem::take(&mut self.skipping);
        if !skipped {
            let text = String::from_utf8_lossy(&bytes);
            self.message(text.trim_start_matches('\u{feff}'), events);
        }
        // The allocation serves the next line.
        self.bytes = bytes;
        self.bytes.clear();
    }

    fn message(&mut self, line: &str, events: &mut Vec<LogEvent>) {
        let message = prefix::message(line);
        if message.text.is_empty() {
            self.flush(events);
            return;
        }
        let said = rules::said(&message.text).filter(|said| self.is_expected(said));
        let continues = !message.prefixed && said.is_none();
        if continues && self.held.as_mut().is_some_and(|held| held.take(&message.text)) {
            return;
        }
        self.flush(events);
        let line = self.lines;
        self.gather.tick(line, events);
        let (text, prefixed) = (message.text.into_owned(), message.prefixed);
        self.held = Some(Held { line, text, prefixed, parts: 1, said });
    }

    /// Numbers alone are a list only under its heading; elsewhere they continue a line.
    fn is_expected(&self, said: &Said) -> bool {
        let heading = |held: &Held| matches!(held.said, Some(Said::ListOf { .. }));
        !matches!(said, Said::ListLine { .. })
            || self.gather.is_in_list()
            || self.held.as_ref().is_some_and(heading)
    }

    fn flush(&mut self, events: &mut Vec<LogEvent>) {
        let Some(Held { line, said: Some(said), .. }) = self.held.take() else { return };
        self.gather.say(line, said, events);
    }
}

impl Held {
    /// Takes a line without anything in front, which says nothing by itself, as the continuation;
    /// `false` when it cannot be one.
    fn take(&mut self, next: &str) -> bool {
        let room = MAX_JOINED_BYTES.saturating_sub(self.text.len());
        if self.parts >= MAX_PARTS || next.len() >= room {
            return false;
        }
        if self.is_cut_in_number(next) {
            let what = format!("line {} is cut inside a number: {}", self.line, self.text);
            self.said = Some(Said::Unplaced(what));
            return true;
        }
        let joined = format!("{} {next}", self.text);
        let said = rules::said(&joined);
        match (&self.said, &said) {
            // What was complete stays what it is, whatever follows it.
            (Some(_), None) => return self.prefixed,
            (None, None) if !self.prefixed => return false,
            _ => {}
        }
        self.text = joined;
        self.parts = self.parts.saturating_add(1);
        self.said = said;
        true
    }

    /// Whether a terminal may have broken the line inside the number that decides what it says: with
    /// the next digit it would say something else.
    fn is_cut_in_number(&self, next: &str) -> bool {
        let digit = next.chars().next().filter(char::is_ascii_hexdigit);
        let Some(digit) = digit.filter(|_| self.prefixed && self.said.is_some()) else {
            return false;
        };
        rules::said(&format!("{}{digit}", self.text)) != self.said
    }
}
