use std::io::Read;

use serde::Deserialize;

use crate::{
    ParseError, ParseErrorKind,
    json::{self, Num},
    lines::{Line, whole_text},
};

/// A loop device as `losetup` lists it.
///
/// # Examples
/// ```
/// let text = "/dev/loop0: [64768]:131 (/srv/vm.img), offset 1048576\n";
/// let json = r#"{"loopdevices": [{"name":"/dev/loop0", "sizelimit":0, "offset":1048576,
///     "back-file":"/srv/vm.img"}]}"#;
/// let [one] = &badrange_input::parse_losetup(text.as_bytes())?[..] else { panic!() };
/// assert_eq!((&*one.name, &*one.file, one.offset), ("loop0", "/srv/vm.img", 1 << 20));
/// assert_eq!(&badrange_input::parse_losetup(json.as_bytes())?[0], one);
/// # Ok::<(), badrange_input::ParseError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LoopDevice {
    /// Its name, without `/dev/`.
    pub name: String,
    /// What is behind it: a file, or a block device.
    pub file: String,
    /// The first byte of it that the device has.
    pub offset: u64,
    /// Bytes of the device where they are limited; `None` for all that follow.
    pub size_limit: Option<u64>,
}

/// Reads `losetup --json` and `losetup -a`.
///
/// What nothing is behind is left out.
///
/// # Errors
/// [`ParseErrorKind::NotThisFormat`] for other texts, and fields that are no numbers.
///
/// # Examples
/// See [`LoopDevice`].
pub fn parse_losetup(input: impl Read) -> Result<Vec<LoopDevice>, ParseError> {
    let text = whole_text(input)?;
    if text.trim_start().starts_with('{') {
        let listed: Listed = json::parse(&text, "losetup")?;
        let devices = listed.loopdevices.into_iter().map(Entry::device);
        return devices.filter_map(Result::transpose).collect();
    }
    let lines = (1..).zip(text.lines()).map(|(number, text)| Line { number, text });
    lines.filter(|line| !line.text.trim_ascii().is_empty()).map(row).collect()
}

#[derive(Debug, Deserialize)]
struct Listed {
    loopdevices: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
struct Entry {
    name: String,
    #[serde(rename = "back-file", default)]
    file: Option<String>,
    #[serde(default)]
    offset: Option<Num>,
    #[serde(default)]
    sizelimit: Option<Num>,
}

impl Entry {
    fn device(self) -> Result<Option<LoopDevice>, ParseError> {
        let Some(file) = self.file.filter(|file| !file.is_empty()) else { return Ok(None) };
        let (offset, limit) = (bytes("offset", self.offset)?, bytes("sizelimit", self.sizelimit)?);
        let name = self.name.rsplit('/').next().unwrap_or_default().to_owned();
        let size_limit = Some(limit).filter(|limit| *limit > 0);
        Ok(Some(LoopDevice { name, file, offset, size_limit }))
    }
}

fn bytes(field: &'static str, value: Option<Num>) -> Result<u64, ParseError> {
    let Some(value) = value else { return Ok(0) };
    value.exact().ok_or_else(|| {
        let hint = "expected a number of bytes";
        ParseError::new(ParseErrorKind::BadNumber, field, &value.to_string(), hint)
    })
}

/// Whether a line is one of `losetup -a`.
pub(crate) fn is_row(text: &str) -> bool {
    parts(text).is_some()
}

/// `/dev/loop0: [64768]:131 (/srv/vm.img), offset 1048576, sizelimit 4096`: name, file, the rest.
fn parts(text: &str) -> Option<(&str, &str, &str)> {
    let (name, rest) = text.strip_prefix("/dev/loop")?.split_once(": [")?;
    let (_, rest) = rest.split_once("]:")?;
    let (_, rest) = rest.split_once(" (")?;
    let (file, rest) = rest.rsplit_once(')')?;
    Some((name, file, rest))
}

fn row(line: Line<'_>) -> Result<LoopDevice, ParseError> {
    let Some((name, file, rest)) = parts(line.text.trim_ascii()) else {
        let hint = "expected '/dev/loop0: [DEVICE]:INODE (FILE)', as losetup -a prints";
        return Err(line.err(ParseErrorKind::NotThisFormat, "line", line.text, hint));
    };
    let mut found = LoopDevice {
        name: format!("loop{name}"),
        file: file.to_owned(),
        offset: 0,
        size_limit: None,
    };
    for said in rest.split(',').map(str::trim_ascii) {
        match said.split_once(' ') {
            Some(("offset", value)) => found.offset = line.number("offset", value, "bytes")?,
            Some(("sizelimit", value)) => {
                found.size_limit = Some(line.number("sizelimit", value, "bytes")?);
            }
            _ => {}
        }
    }
    Ok(found)
}
