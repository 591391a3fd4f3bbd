use std::{collections::HashMap, io::BufRead};

use crate::{
    ParseError, ParseErrorKind,
    lines::{Line, Lines, is_digits},
};

/// One line of a device-mapper table, without the device's name.
///
/// # Examples
/// ```
/// let devices = badrange_input::parse_dm_table(&b"swap: 0 24576 linear 8:2 2048\n"[..])?;
/// assert_eq!(devices[0].lines[0].text, "0 24576 linear 8:2 2048");
/// # Ok::<(), badrange_input::ParseError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DmLine {
    /// `<start> <length> <target> <arguments>`, as the table has it; sectors of 512 bytes.
    pub text: String,
    /// The line, from 1.
    pub line: u64,
}

/// The table of one device.
///
/// # Examples
/// ```
/// let devices = badrange_input::parse_dm_table(&b"0 8 error\n"[..])?;
/// assert_eq!(devices[0].name, None);
/// # Ok::<(), badrange_input::ParseError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DmDevice {
    /// The name as printed; `None` in the output for a single device.
    pub name: Option<String>,
    /// The lines in the order of the text. Empty for a device without a table.
    pub lines: Vec<DmLine>,
}

/// Splits `dmsetup table` into devices: of many, `name: ` before each line, or of one, without.
///
/// Lines of one name are gathered, devices stand in the order of their first line. The targets are
/// left to whoever knows them. `No devices found` and an empty text are no devices.
///
/// # Errors
/// [`ParseErrorKind::Unsupported`] for `dmsetup status`, [`ParseErrorKind::NotThisFormat`] for its
/// other output (ls, deps, info) and unknown lines, [`ParseErrorKind::Inconsistent`] when only some lines have a name, and
/// [`ParseErrorKind::Overflow`].
///
/// # Kernel
/// `DM_TABLE_STATUS` with `DM_STATUS_TABLE_FLAG`.
///
/// # Examples
/// ```
/// let text = "a: 0 8 linear 8:2 0\nb: 0 8 zero \na: 8 8 error \n";
/// let devices = badrange_input::parse_dm_table(text.as_bytes())?;
/// assert_eq!(devices.len(), 2);
/// assert_eq!(devices[0].lines.len(), 2);
/// # Ok::<(), badrange_input::ParseError>(())
/// ```
pub fn parse_dm_table(input: impl BufRead) -> Result<Vec<DmDevice>, ParseError> {
    let mut lines = Lines::new(input);
    let mut devices: Vec<DmDevice> = Vec::new();
    let mut by_name: HashMap<Option<String>, usize> = HashMap::new();
    while let Some(line) = lines.next_line()? {
        let text = line.text.trim_ascii();
        if text.is_empty() || text == NO_DEVICES {
            continue;
        }
        let (name, row) = split(line.with_text(text))?;
        let name = name.map(str::to_owned);
        if devices.first().is_some_and(|d| d.name.is_some() != name.is_some()) {
            let hint = "either every line of a table begins with 'NAME: ' or none does";
            return Err(line.err(ParseErrorKind::Inconsistent, "device name", text, hint));
        }
        let index = *by_name.entry(name.clone()).or_insert(devices.len());
        if index == devices.len() {
            devices.push(DmDevice { name, lines: Vec::new() });
        }
        if let (Some(device), Some(text)) = (devices.get_mut(index), row) {
            device.lines.push(DmLine { text: text.to_owned(), line: line.number });
        }
    }
    Ok(devices)
}

pub(crate) const NO_DEVICES: &str = "No devices found";

/// Name and target text of a line. The name is what precedes the first `: ` that a target follows;
/// names may have colons.
pub(crate) fn split(line: Line<'_>) -> Result<(Option<&str>, Option<&str>), ParseError> {
    if let Some(target) = Target::of(line.text) {
        return target.check(line).map(|()| (None, Some(line.text)));
    }
    for (at, _) in line.text.match_indices(':') {
        let (name, rest) = line.text.split_at(at);
        let rest = rest.strip_prefix(':').unwrap_or(rest);
        if rest.is_empty() && !name.is_empty() && !name.contains([' ', '\t', '/']) {
            return Ok((Some(name), None));
        }
        let Some(rest) = rest.strip_prefix(' ').map(str::trim_ascii) else { continue };
        if let Some(target) = Target::of(rest).filter(|_| !name.is_empty()) {
            return target.check(line).map(|()| (Some(name), Some(rest)));
        }
    }
    Err(line.unexpected(
        "expected '[NAME: ]START LENGTH TARGET ARGUMENTS' of dmsetup table (not status, ls, deps \
         or info)",
    ))
}

/// The words of a target line.
struct Target<'a> {
    start: &'a str,
    len: &'a str,
    name: &'a str,
    args: [Option<&'a str>; 3],
}

impl<'a> Target<'a> {
    fn of(text: &'a str) -> Option<Self> {
        let mut words = text.split_ascii_whitespace();
        let (start, len, name) = (words.next()?, words.next()?, words.next()?);
        let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic());
        (is_digits(start) && is_digits(len) && is_name).then(|| Self {
            start,
            len,
            name,
            args: [words.next(), words.next(), words.next()],
        })
    }

    fn check(&self, line: Line<'_>) -> Result<(), ParseError> {
        let start = line.number("start", self.start, "sectors")?;
        let len = line.number("length", self.len, "sectors")?;
        if start.checked_add(len).is_none() {
            return Err(line.too_large("end of target", line.text));
        }
        if self.is_status() {
            let hint = "this is dmsetup status; give dmsetup table";
            return Err(line.err(ParseErrorKind::Unsupported, "line", line.text, hint));
        }
        Ok(())
    }

    /// Status has the same first three columns; what follows tells them apart.
    ///
    /// # Kernel
    /// `STATUSTYPE_INFO` and `STATUSTYPE_TABLE` of each target's `status`.
    fn is_status(&self) -> bool {
        let number = |arg: Option<&str>| arg.is_some_and(is_digits);
        let ratio = |arg: Option<&str>| {
            arg.and_then(|a| a.split_once('/')).is_some_and(|(a, b)| is_digits(a) && is_digits(b))
        };
        let [first, second, third] = self.args;
        match self.name {
            "linear" | "crypt" | "flakey" => first.is_none(),
            "thin" => number(first) || first == Some("-") || first == Some("Fail"),
            "striped" => !number(second),
            "thin-pool" | "cache" | "writecache" => ratio(second) || ratio(first),
            "snapshot" => ratio(first) || matches!(first, Some("Invalid" | "Overflow")),
            "mirror" => number(first),
            "raid" => third.is_some_and(|t| t.bytes().all(|b| b"AaD-".contains(&b))),
            _ => false,
        }
    }
}
