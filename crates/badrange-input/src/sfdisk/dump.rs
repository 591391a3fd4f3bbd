use std::io::BufRead;

use super::{Head, PartitionTable, Raw};
use crate::{
    ParseError, ParseErrorKind,
    lines::{Line, Lines},
};

/// Reads `sfdisk -d`.
///
/// Starts and sizes count logical blocks (`sector-size`, 512 where a dump does not say), which
/// are 4096 bytes on some disks. Dumps of an sfdisk that knew DOS tables only (`Id=`, no label)
/// are read as DOS.
///
/// # Errors
/// [`ParseErrorKind::Unsupported`] for labels other than gpt and dos, [`ParseErrorKind::BadUnit`]
/// for units other than sectors, [`ParseErrorKind::Inconsistent`] for what [`PartitionTable`]
/// rules out, and fields that are missing, no numbers or too large.
///
/// # Examples
/// ```
/// let text = "\
/// label: gpt
/// unit: sectors
/// sector-size: 512
///
/// disk.img2 : start=       43008, size=     1265664, type=E6D6D379, name=\"pv\"
/// ";
/// let table = badrange_input::parse_sfdisk_dump(text.as_bytes())?;
/// assert_eq!(table.entries[0].number, 2);
/// # Ok::<(), badrange_input::ParseError>(())
/// ```
pub fn parse_sfdisk_dump(input: impl BufRead) -> Result<PartitionTable, ParseError> {
    let mut lines = Lines::new(input);
    let mut head = Head::default();
    let mut table: Option<PartitionTable> = None;
    let mut last = 1;
    while let Some(line) = lines.next_line()? {
        last = line.number;
        let line = line.with_text(line.text.trim_ascii());
        if line.text.is_empty() || line.text.starts_with('#') {
            continue;
        }
        if let Some((node, fields)) = entry(line.text) {
            let raw = raw_entry(line, node, fields)?;
            if table.is_none() {
                if raw.old && head.label.is_none() {
                    head.label = Some("dos".to_owned());
                }
                table = Some(head.table(line)?);
            }
            if let Some(table) = &mut table {
                table.push(line, raw.raw)?;
            }
        } else if table.is_none() {
            head.line(line)?;
        } else {
            return Err(line.unexpected("expected 'NODE : start=..., size=..., type=...'"));
        }
    }
    let table = match table {
        Some(table) => table,
        None => head.table(Line { number: last, text: "" })?,
    };
    table.checked()
}

impl Head {
    /// `key: value`. Other keys (`label-id`, `grain`, `table-length`) say nothing about places.
    fn line(&mut self, line: Line<'_>) -> Result<(), ParseError> {
        let Some((key, value)) = line.text.split_once(':') else {
            return Err(line.unexpected("expected 'key: value' or a partition of sfdisk -d"));
        };
        let value = value.trim_ascii();
        let text = || value.to_owned();
        let number = |field| line.number(field, value, "sectors");
        let again = match key {
            "label" => self.label.replace(text()).is_some(),
            "unit" => self.unit.replace(text()).is_some(),
            "device" => self.device.replace(text()).is_some(),
            "sector-size" => {
                let bytes = line.number("sector size", value, "bytes")?;
                self.block.replace(bytes).is_some()
            }
            "first-lba" => self.first.replace(number("first LBA")?).is_some(),
            "last-lba" => self.last.replace(number("last LBA")?).is_some(),
            _ => false,
        };
        if again {
            let hint = "a table says it once; give one table only";
            return Err(line.err(ParseErrorKind::Inconsistent, "line", line.text, hint));
        }
        Ok(())
    }
}

/// `NODE : fields`
fn entry(text: &str) -> Option<(&str, &str)> {
    let (node, fields) = text.split_once(" : ")?;
    fields.contains('=').then_some((node.trim_ascii(), fields))
}

/// An entry, and whether it is in the words of an old sfdisk.
struct Entry<'a> {
    raw: Raw<'a>,
    old: bool,
}

fn raw_entry<'a>(line: Line<'_>, node: &'a str, fields: &'a str) -> Result<Entry<'a>, ParseError> {
    let mut found = Entry { raw: Raw { node, ..Raw::default() }, old: false };
    let raw = &mut found.raw;
    for field in Fields(fields) {
        // `bootable` and its like have no value.
        let Some((key, value)) = field.split_once('=') else { continue };
        let (key, value) = (key.trim_ascii(), value.trim_ascii());
        let again = match key {
            "start" => raw.start.replace(line.number("start", value, "sectors")?).is_some(),
            "size" => raw.size.replace(line.number("size", value, "sectors")?).is_some(),
            "type" => raw.code.replace(value).is_some(),
            "Id" => {
                found.old = true;
                raw.code.replace(value).is_some()
            }
            "name" => raw.name.replace(unquote(line, value)?).is_some(),
            _ => false,
        };
        if again {
            let hint = "a partition says it once";
            return Err(line.err(ParseErrorKind::Inconsistent, "field", field, hint));
        }
    }
    Ok(found)
}

/// The fields of an entry: parted by commas, but not by those inside quotes.
struct Fields<'a>(&'a str);

impl<'a> Iterator for Fields<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        if self.0.is_empty() {
            return None;
        }
        let (mut quoted, mut escaped) = (false, false);
        let end = self.0.find(|c: char| {
            if escaped {
                escaped = false;
                return false;
            }
            escaped = c == '\\';
            quoted ^= c == '"';
            c == ',' && !quoted
        });
        let (field, rest) = self.0.split_at(end.unwrap_or(self.0.len()));
        self.0 = rest.strip_prefix(',').unwrap_or(rest);
        Some(field.trim_ascii())
    }
}

/// A value in quotes, with `\xHH` for bytes and a backslash before others taken as they are.
fn unquote(line: Line<'_>, text: &str) -> Result<String, ParseError> {
    let text = text.strip_prefix('"').unwrap_or(text);
    let text = text.strip_suffix('"').unwrap_or(text);
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        match (first, after) {
            (b'\\', [b'x', a, b, after @ ..]) if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => {
                bytes.push(hex(*a) << 4 | hex(*b));
                rest = after;
            }
            (b'\\', [next, after @ ..]) => {
                bytes.push(*next);
                rest = after;
            }
            _ => bytes.push(*first),
        }
    }
    String::from_utf8(bytes).map_err(|_| {
        let hint = "expected UTF-8";
        line.err(ParseErrorKind::BadEncoding, "partition name", text, hint)
    })
}

fn hex(digit: u8) -> u8 {
    // The caller checked that it is a digit of 0..16, which fits.
    char::from(digit).to_digit(16).and_then(|d| u8::try_from(d).ok()).unwrap_or_default()
}
