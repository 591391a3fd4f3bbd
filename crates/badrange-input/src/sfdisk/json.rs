use std::io::Read;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Head, PartitionTable, Raw};
use crate::{
    ParseError,
    json::{self, LineFinder},
    lines::{Line, whole_text},
};

/// Foreign JSON may have more keys than these.
#[derive(Debug, Deserialize)]
struct Document<'a> {
    #[serde(borrow)]
    partitiontable: Table<'a>,
}

#[derive(Debug, Deserialize)]
struct Table<'a> {
    label: String,
    unit: Option<String>,
    sectorsize: Option<u64>,
    device: Option<String>,
    firstlba: Option<u64>,
    lastlba: Option<u64>,
    #[serde(borrow, default)]
    partitions: Vec<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
struct Partition {
    node: String,
    start: u64,
    size: u64,
    #[serde(rename = "type")]
    code: String,
    name: Option<String>,
}

/// Reads `sfdisk --json`. Lines are those of the elements.
///
/// # Errors
/// As [`parse_sfdisk_dump`](crate::parse_sfdisk_dump), and
/// [`ParseErrorKind::NotThisFormat`](crate::ParseErrorKind::NotThisFormat) for broken JSON.
///
/// # Examples
/// ```
/// let text = r#"{"partitiontable": {"label": "dos", "unit": "sectors", "sectorsize": 4096,
///   "partitions": [{"node": "/dev/sda1", "start": 256, "size": 16896, "type": "83"}]}}"#;
/// let table = badrange_input::parse_sfdisk_json(text.as_bytes())?;
/// assert_eq!(table.entries[0].extent.start().get(), 256 * 4096);
/// assert_eq!(table.entries[0].line, 2);
/// # Ok::<(), badrange_input::ParseError>(())
/// ```
pub fn parse_sfdisk_json(input: impl Read) -> Result<PartitionTable, ParseError> {
    let text = whole_text(input)?;
    let Document { partitiontable: found } = json::parse(&text, "sfdisk JSON")?;
    let head = Head {
        label: Some(found.label),
        unit: found.unit,
        block: found.sectorsize,
        device: found.device,
        first: found.firstlba,
        last: found.lastlba,
    };
    let mut lines = LineFinder::new(&text);
    let mut table = head.table(Line { number: 1, text: "" })?;
    for raw in found.partitions {
        let number = lines.line(raw.get());
        let entry: Partition = json::element(raw, "partition", number)?;
        let raw = Raw {
            node: &entry.node,
            start: Some(entry.start),
            size: Some(entry.size),
            code: Some(&entry.code),
            name: entry.name,
        };
        table.push(Line { number, text: "" }, raw)?;
    }
    table.checked()
}
