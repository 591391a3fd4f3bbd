mod dump;
mod json;

use badrange_core::{DevOffset, Extent};

pub use self::{dump::parse_sfdisk_dump, json::parse_sfdisk_json};
use crate::{
    ParseError, ParseErrorKind,
    lines::{Line, Span, is_digits},
};

/// Bytes of a logical block of most disks, and of the disks of dumps that do not name theirs.
const DEFAULT_BLOCK: u64 = 512;

/// The kind of a partition table.
///
/// # Examples
/// ```
/// use badrange_input::{parse_sfdisk_dump, TableLabel};
/// let table = parse_sfdisk_dump(&b"label: gpt\nunit: sectors\n"[..])?;
/// assert_eq!(table.label, TableLabel::Gpt);
/// # Ok::<(), badrange_input::ParseError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TableLabel {
    /// GUID partition table.
    Gpt,
    /// DOS (MBR) partition table, with its extended partition.
    Dos,
}

/// What a partition is to its table.
///
/// # Examples
/// ```
/// use badrange_input::{parse_sfdisk_dump, PartitionKind};
/// let text = "label: dos\n\nsda2 : start= 100, size= 50, type=5\nsda5 : start= 110, size= 9, type=83\n";
/// let table = parse_sfdisk_dump(text.as_bytes())?;
/// assert_eq!(table.entries[0].kind, PartitionKind::Extended);
/// assert_eq!(table.entries[1].kind, PartitionKind::Logical);
/// # Ok::<(), badrange_input::ParseError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PartitionKind {
    /// A partition of the table itself; all partitions of a GPT.
    Primary,
    /// DOS types 5, f and 85: holds the logical partitions and their tables.
    Extended,
    /// A DOS partition inside the extended one: numbers from 5 on.
    Logical,
}

/// One partition.
///
/// # Examples
/// ```
/// let text = "label: gpt\nsector-size: 4096\n\nvdb1 : start= 256, size= 10, type=X, name=\"a b\"\n";
/// let table = badrange_input::parse_sfdisk_dump(text.as_bytes())?;
/// let entry = &table.entries[0];
/// assert_eq!((entry.number, entry.line, entry.name.as_deref()), (1, 4, Some("a b")));
/// assert_eq!(entry.extent.start().get(), 256 * 4096);
/// # Ok::<(), badrange_input::ParseError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PartitionEntry {
    /// The number its node ends in.
    pub number: u32,
    /// The node as printed, such as `/dev/sda1`.
    pub node: String,
    /// Bytes of the disk.
    pub extent: Extent,
    /// Primary, extended or logical.
    pub kind: PartitionKind,
    /// The type as printed: a GUID, or a DOS code in hex.
    pub type_code: String,
    /// The name of a GPT partition.
    pub name: Option<String>,
    /// The line, from 1.
    pub line: u64,
}

/// A partition table as `sfdisk` prints it.
///
/// Partitions do not overlap, logical ones lie inside the extended one, and none reaches beyond
/// `last-lba`; whether the table fits the disk is for whoever knows the disk.
///
/// # Examples
/// ```
/// let text = "label: dos\nunit: sectors\n\nsda1 : start= 63, size= 40001, type=83, bootable\n";
/// let table = badrange_input::parse_sfdisk_dump(text.as_bytes())?;
/// assert_eq!(table.logical_block, 512);
/// assert_eq!(table.entries[0].extent.len(), 40001 * 512);
/// # Ok::<(), badrange_input::ParseError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PartitionTable {
    /// GPT or DOS.
    pub label: TableLabel,
    /// Bytes of a logical block: the unit of the text's numbers.
    pub logical_block: u64,
    /// Whether the text says so itself; older dumps do not, and then 512 is taken.
    pub block_stated: bool,
    /// The device as printed.
    pub device: Option<String>,
    /// Bytes that partitions may use, where the text names them (GPT).
    pub usable: Option<Extent>,
    /// The partitions in the order of the text.
    pub entries: Vec<PartitionEntry>,
}

/// What a table says before its entries, still in its own words.
#[derive(Debug, Default)]
struct Head {
    label: Option<String>,
    unit: Option<String>,
    block: Option<u64>,
    device: Option<String>,
    first: Option<u64>,
    last: Option<u64>,
}

/// An entry in the words of the text.
#[derive(Debug, Default)]
struct Raw<'a> {
    node: &'a str,
    start: Option<u64>,
    size: Option<u64>,
    code: Option<&'a str>,
    name: Option<String>,
}

impl Head {
    /// A table without entries; `line` is where errors point to.
    fn table(&self, line: Line<'_>) -> Result<PartitionTable, ParseError> {
        let err = |kind, field, value: &str, hint: &'static str| line.err(kind, field, value, hint);
        let label = match self.label.as_deref() {
            Some("gpt") => TableLabel::Gpt,
            Some("dos") => TableLabel::Dos,
            Some(other) => {
                let hint = "only gpt and dos tables are known";
                return Err(err(ParseErrorKind::Unsupported, "label", other, hint));
            }
            None => {
                let hint = "expected 'label: gpt' or 'label: dos'";
                return Err(err(ParseErrorKind::MissingField, "label", "", hint));
            }
        };
        if let Some(unit) = self.unit.as_deref().filter(|unit| *unit != "sectors") {
            let hint = "only sectors are known; print the table with sfdisk -d";
            return Err(err(ParseErrorKind::BadUnit, "table", unit, hint));
        }
        let logical_block = self.block.unwrap_or(DEFAULT_BLOCK);
        if !logical_block.is_power_of_two() || logical_block < DEFAULT_BLOCK {
            let value = logical_block.to_string();
            let hint = "expected a power of two of at least 512";
            return Err(err(ParseErrorKind::Inconsistent, "sector size", &value, hint));
        }
        let usable = match self.first.zip(self.last) {
            Some((first, last)) => {
                let span = line.span_to("first and last LBA", first, last)?;
                Some(line.bytes("last LBA", span, logical_block)?)
            }
            None => None,
        };
        let device = self.device.clone();
        let block_stated = self.block.is_some();
        Ok(PartitionTable {
            label,
            logical_block,
            block_stated,
            device,
            usable,
            entries: Vec::new(),
        })
    }
}

impl PartitionTable {
    /// The same numbers, counted in blocks of `logical_block` bytes: for a text that does not say
    /// what it counts in, on a disk that does. `None` when a partition would end beyond 64 bits.
    ///
    /// # Examples
    /// ```
    /// use badrange_input::parse_sfdisk_dump;
    /// let text = "label: dos\nunit: sectors\n\n/dev/sda1 : start=8, size=16, type=83\n";
    /// let table = parse_sfdisk_dump(text.as_bytes())?;
    /// assert!(!table.block_stated);
    /// let on_4k = table.counted_in(4096).unwrap();
    /// assert_eq!(on_4k.entries[0].extent.start().get(), 8 * 4096);
    /// # Ok::<(), badrange_input::ParseError>(())
    /// ```
    #[must_use]
    pub fn counted_in(&self, logical_block: u64) -> Option<Self> {
        let factor = logical_block.checked_div(self.logical_block)?;
        let scaled = |extent: Extent| {
            let start = extent.start().get().checked_mul(factor)?;
            Extent::new(DevOffset::new(start), extent.len().checked_mul(factor)?).ok()
        };
        let mut table = self.clone();
        table.logical_block = logical_block;
        table.usable = match self.usable {
            Some(usable) => Some(scaled(usable)?),
            None => None,
        };
        for entry in &mut table.entries {
            entry.extent = scaled(entry.extent)?;
        }
        Some(table)
    }

    fn push(&mut self, line: Line<'_>, raw: Raw<'_>) -> Result<(), ParseError> {
        let missing = |field| {
            let hint = "every partition of sfdisk -d has it";
            line.err(ParseErrorKind::MissingField, field, raw.node, hint)
        };
        let number = number_of(line, raw.node)?;
        let first = raw.start.ok_or_else(|| missing("start of"))?;
        let count = raw.size.ok_or_else(|| missing("size of"))?;
        let code = raw.code.ok_or_else(|| missing("type of"))?;
        if count == 0 && is_empty_type(code) && self.label == TableLabel::Dos {
            return Ok(()); // Old dumps list the unused slots.
        }
        let entry = PartitionEntry {
            number,
            node: raw.node.to_owned(),
            extent: line.bytes("partition", Span { first, count }, self.logical_block)?,
            kind: self.kind(number, code),
            type_code: code.to_owned(),
            name: raw.name,
            line: line.number,
        };
        let beyond = |usable: Extent| usable.end() < entry.extent.end();
        if self.usable.is_some_and(beyond) {
            let hint = "it reaches beyond last-lba";
            return Err(line.err(ParseErrorKind::Inconsistent, "partition", raw.node, hint));
        }
        self.entries.push(entry);
        Ok(())
    }

    fn kind(&self, number: u32, code: &str) -> PartitionKind {
        let code = code.trim_start_matches("0x").trim_start_matches('0');
        match self.label {
            TableLabel::Gpt => PartitionKind::Primary,
            TableLabel::Dos if number > 4 => PartitionKind::Logical,
            TableLabel::Dos => match code {
                "5" | "f" | "F" | "85" => PartitionKind::Extended,
                _ => PartitionKind::Primary,
            },
        }
    }

    /// What must hold between the entries.
    fn checked(self) -> Result<Self, ParseError> {
        self.check_numbers()?;
        let (logical, table): (Vec<_>, Vec<_>) =
            self.entries.iter().partition(|e| e.kind == PartitionKind::Logical);
        check_apart(table.clone())?;
        check_apart(logical.clone())?;
        let extended: Vec<_> =
            table.into_iter().filter(|e| e.kind == PartitionKind::Extended).collect();
        for entry in logical {
            if !extended.iter().any(|e| e.extent.contains_extent(entry.extent)) {
                let hint = "a logical partition lies inside the extended one";
                return Err(entry.wrong(hint));
            }
        }
        Ok(self)
    }

    fn check_numbers(&self) -> Result<(), ParseError> {
        let mut entries: Vec<_> = self.entries.iter().collect();
        entries.sort_by_key(|e| (e.number, e.line));
        for pair in entries.windows(2) {
            if let [a, b] = pair {
                if a.number == b.number {
                    return Err(b.wrong(format!("line {} has this number too", a.line)));
                }
            }
        }
        Ok(())
    }
}

impl PartitionEntry {
    #[cold]
    fn wrong(&self, hint: impl Into<std::borrow::Cow<'static, str>>) -> ParseError {
        ParseError::new(ParseErrorKind::Inconsistent, "partition", &self.node, hint).at(self.line)
    }
}

fn check_apart(mut entries: Vec<&PartitionEntry>) -> Result<(), ParseError> {
    entries.sort_by_key(|e| e.extent);
    for pair in entries.windows(2) {
        if let [a, b] = pair {
            if a.extent.intersect(b.extent).is_some() {
                return Err(b.wrong(format!("it overlaps {} of line {}", a.node, a.line)));
            }
        }
    }
    Ok(())
}

fn is_empty_type(code: &str) -> bool {
    code.trim_start_matches("0x").bytes().all(|b| b == b'0')
}

/// The digits a node ends in.
fn number_of(line: Line<'_>, node: &str) -> Result<u32, ParseError> {
    let digits = node.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let digits = node.get(digits..).unwrap_or_default();
    if !is_digits(digits) {
        let hint = "expected a node that ends in the partition's number";
        return Err(line.err(ParseErrorKind::BadNumber, "node", node, hint));
    }
    match digits.parse() {
        Ok(0) => {
            let hint = "partitions are numbered from 1";
            Err(line.err(ParseErrorKind::BadNumber, "node", node, hint))
        }
        Ok(number) => Ok(number),
        Err(_) => Err(line.too_large("partition number", node)),
    }
}
