//! JSON of ndctl, cxl and smartctl, in every shape: one object, a list, or several in a row.

use badrange_core::{DevOffset, Extent, PhysAddr, SECTOR_SIZE};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    LogEvent,
    place::{NamedRange, Place, UnplacedRange},
    read::RangeOptions,
    rules::is_incomplete,
};
use crate::{Confidence, ParseError, ParseErrorKind, parse_u64, sniff};

mod smart;

/// A bus, region, namespace, memory device, or a list that has no name at all.
#[derive(Debug, Default, Deserialize)]
struct Node<'t> {
    dev: Option<String>,
    region: Option<String>,
    memdev: Option<String>,
    mode: Option<String>,
    blockdev: Option<String>,
    chardev: Option<String>,
    resource: Option<Number>,
    #[serde(borrow, default)]
    badblocks: Vec<&'t RawValue>,
    #[serde(borrow, default)]
    media_errors: Vec<&'t RawValue>,
    #[serde(borrow, default)]
    buses: Vec<Self>,
    #[serde(borrow, default)]
    regions: Vec<Self>,
    #[serde(borrow, default)]
    namespaces: Vec<Self>,
    #[serde(borrow, default)]
    memdevs: Vec<Self>,
    #[serde(borrow)]
    daxregion: Option<DaxRegion<'t>>,
}

#[derive(Debug, Default, Deserialize)]
struct DaxRegion<'t> {
    #[serde(borrow, default)]
    devices: Vec<Node<'t>>,
}

/// A bad range of ndctl, in sectors: `list` and `inject-error --status` have different words.
#[derive(Debug, Deserialize)]
struct BadBlocks {
    #[serde(alias = "block")]
    offset: Number,
    #[serde(alias = "count")]
    length: Number,
}

/// A bad range of cxl, in bytes.
#[derive(Debug, Deserialize)]
struct MediaError {
    /// Words, where the version of cxl has them.
    flags: Option<String>,
    offset: Number,
    length: Number,
}

/// A number, or a text of one: `-u` writes hex.
#[derive(Debug, Clone, Copy)]
struct Number(u64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Number(u64),
            Text(String),
        }
        match Either::deserialize(from)? {
            Either::Number(n) => Ok(Self(n)),
            Either::Text(text) => parse_u64(&text)
                .map(Self)
                .ok_or_else(|| serde::de::Error::custom(format!("{text:?} is not a number"))),
        }
    }
}

/// Reads a whole text.
pub(super) fn read(
    text: &str,
    options: &RangeOptions<'_>,
    out: &mut Vec<LogEvent>,
) -> Result<(), ParseError> {
    let mut reader = Reader { text: Text::new(text), options, out };
    let mut known = false;
    let documents = serde_json::Deserializer::from_str(text).into_iter::<&RawValue>();
    for document in documents {
        let document = document.map_err(|e| broken(&e, 1))?;
        known |= reader.document(document)?;
    }
    if known {
        return Ok(());
    }
    // Whatever it is, its name is better than an empty list.
    match sniff::recognise(text.as_bytes()) {
        Ok(format) => Err(foreign(format)),
        Err(err) => Err(err),
    }
}

/// A text that is known and names no bad range.
#[cold]
pub(super) fn foreign(format: crate::Format) -> ParseError {
    let hint = format!(
        "this is the output of {format}, which names no bad range: it belongs in \
                        stack.toml"
    );
    ParseError::new(ParseErrorKind::Unsupported, "text", "", hint)
}

#[cold]
fn broken(e: &serde_json::Error, line: u64) -> ParseError {
    // NO-OVERFLOW: a line of a text in memory, counted from one.
    let line = line.saturating_add((e.line() as u64).saturating_sub(1));
    let text = e.to_string();
    let hint = text.split_once(" at line ").map_or(&*text, |(reason, _)| reason).to_owned();
    ParseError::new(ParseErrorKind::NotThisFormat, "JSON", "", hint).at(line)
}

/// A text that tells the lines of its parts.
struct Text<'t> {
    text: &'t str,
    newlines: Vec<usize>,
}

impl<'t> Text<'t> {
    fn new(text: &'t str) -> Self {
        Self { text, newlines: text.match_indices('\n').map(|(at, _)| at).collect() }
    }

    /// The line in which a part that was borrowed from this text begins.
    fn line(&self, part: &str) -> u64 {
        let at = (part.as_ptr() as usize).wrapping_sub(self.text.as_ptr() as usize);
        let before = self.newlines.partition_point(|newline| *newline < at);
        (before as u64).saturating_add(1)
    }
}

struct Reader<'t, 'o> {
    text: Text<'t>,
    options: &'o RangeOptions<'o>,
    out: &'o mut Vec<LogEvent>,
}

impl<'t> Reader<'t, '_> {
    /// Whether anything of it is known.
    fn document(&mut self, raw: &'t RawValue) -> Result<bool, ParseError> {
        if raw.get().starts_with('[') {
            let list: Vec<&RawValue> = self.part(raw)?;
            let empty = list.is_empty();
            return list.into_iter().try_fold(empty, |known, one| Ok(known | self.document(one)?));
        }
        if !raw.get().starts_with('{') {
            return Ok(false);
        }
        let has = |key: &str| sniff::has_key(raw.get(), key);
        if has("smartctl") {
            return smart::read(self, raw).map(|()| true);
        }
        let words = [
            "badblocks",
            "media_errors",
            "badblock_count",
            "namespaces",
            "regions",
            "memdevs",
            "blockdev",
            "provider",
            "memdev",
            "region",
            "daxregion",
            "chardev",
            "dimms",
        ];
        // lvm reports and lsblk have none of these.
        if !words.iter().any(|word| has(word)) || has("blockdevices") || has("report") {
            return Ok(false);
        }
        let node: Node<'t> = self.part(raw)?;
        self.node(&node)?;
        Ok(true)
    }

    fn part<T: Deserialize<'t>>(&self, raw: &'t RawValue) -> Result<T, ParseError> {
        serde_json::from_str(raw.get()).map_err(|e| broken(&e, self.text.line(raw.get())))
    }

    fn node(&mut self, node: &Node<'t>) -> Result<(), ParseError> {
        self.badblocks(node)?;
        self.media_errors(node)?;
        let below = [&node.buses, &node.regions, &node.namespaces, &node.memdevs];
        below.into_iter().flatten().try_for_each(|one| self.node(one))
    }

    fn badblocks(&mut self, node: &Node<'t>) -> Result<(), ParseError> {
        let bad = self.bad(&node.badblocks)?;
        // A region lists once more what its namespaces list, counted from its own beginning.
        let count = |bad: &[(BadBlocks, u64)]| bad.iter().map(|(b, _)| b.length.0).sum::<u64>();
        let mut told = 0_u64;
        for namespace in &node.namespaces {
            told = told.saturating_add(count(&self.bad(&namespace.badblocks)?));
        }
        if told > 0 && told == count(&bad) {
            return Ok(());
        }
        for (bad, line) in bad {
            let event = self.bad_block(node, &bad, line);
            self.out.push(event);
        }
        Ok(())
    }

    fn bad(&self, raw: &[&'t RawValue]) -> Result<Vec<(BadBlocks, u64)>, ParseError> {
        raw.iter().map(|one| Ok((self.part(one)?, self.text.line(one.get())))).collect()
    }

    fn bad_block(&self, node: &Node<'_>, bad: &BadBlocks, line: u64) -> LogEvent {
        let (first, count) = (bad.offset.0, bad.length.0);
        let own = node.dev.as_deref();
        if node.mode.as_deref() == Some("sector") {
            let what = format!(
                "{}: sectors {first}+{count} below a sector map (BTT), which decides what they hold",
                own.unwrap_or("a namespace")
            );
            return LogEvent::Unplaced(UnplacedRange { line, what });
        }
        let bytes = first.checked_mul(SECTOR_SIZE).zip(count.checked_mul(SECTOR_SIZE));
        let in_memory = node.resource.filter(|_| node.is_region());
        let place = bytes.and_then(|(start, len)| match in_memory {
            Some(Number(base)) => {
                let start = PhysAddr::new(base.checked_add(start)?);
                Some(Place::Memory(Extent::new(start, len).ok()?))
            }
            None => {
                let device = node.device().or(self.options.device).map(str::to_owned);
                let extent = Extent::new(DevOffset::new(start), len).ok()?;
                Some(Place::Device { device, extent })
            }
        });
        match place {
            Some(place) => {
                let mut range = NamedRange::new(place, Confidence::Exact, line, "media error");
                range.also = own.filter(|own| range.place.device() != Some(own)).map(str::to_owned);
                LogEvent::Range(range)
            }
            None => too_large(line, &format!("{}: sectors {first}+{count}", own.unwrap_or("?"))),
        }
    }

    fn media_errors(&mut self, node: &Node<'t>) -> Result<(), ParseError> {
        for raw in &node.media_errors {
            let MediaError { offset: Number(offset), length: Number(len), flags } =
                self.part(raw)?;
            let line = self.text.line(raw.get());
            let event = match (&node.region, node.resource) {
                (Some(region), Some(Number(base))) => {
                    let start = base.checked_add(offset);
                    let extent = start.and_then(|s| Extent::new(PhysAddr::new(s), len).ok());
                    match extent {
                        Some(extent) => LogEvent::Range(NamedRange::new(
                            Place::Memory(extent),
                            Confidence::Exact,
                            line,
                            "media error",
                        )),
                        None => too_large(line, &format!("{region}: {offset:#x}+{len:#x}")),
                    }
                }
                (region, _) => {
                    let name = region.as_deref().or(node.memdev.as_deref()).unwrap_or("?");
                    let of = if region.is_some() {
                        "offset in a region whose resource is not told"
                    } else {
                        "device physical address"
                    };
                    let what = format!("{name}: {of} {offset:#x}+{len:#x}");
                    LogEvent::Unplaced(UnplacedRange { line, what })
                }
            };
            self.out.push(event);
            if flags.is_some_and(|flags| is_incomplete(&flags)) {
                self.out.push(LogEvent::Cut { line });
            }
        }
        Ok(())
    }
}

#[cold]
fn too_large(line: u64, what: &str) -> LogEvent {
    let what = format!("{what}: does not fit in 64 bits of bytes");
    LogEvent::Unplaced(UnplacedRange { line, what })
}

impl Node<'_> {
    /// The device that the bad blocks of this namespace or region are counted on.
    fn device(&self) -> Option<&str> {
        let devices = self.daxregion.as_ref().map_or(&[][..], |region| &region.devices);
        let only = if let [only] = devices { only.chardev.as_deref() } else { None };
        self.blockdev.as_deref().or(self.chardev.as_deref()).or(only).or(self.dev.as_deref())
    }

    /// Bad blocks of a region count from its resource; those of a namespace do not.
    fn is_region(&self) -> bool {
        self.dev.as_deref().is_some_and(|dev| dev.starts_with("region"))
    }
}
