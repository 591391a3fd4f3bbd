use core::fmt;

use badrange_core::{DevOffset, Extent, PhysAddr, SECTOR_SIZE};
use badrange_input::{Confidence, parse_u64};

use crate::Explainer;

/// Where a query points.
///
/// # Examples
/// See [`Explainer::locate`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueryTarget {
    /// Bytes of a device, by its place in the topology.
    Device {
        /// The device.
        place: usize,
        /// Its bytes.
        extent: Extent,
    },
    /// Bytes of physical memory.
    Memory(Extent<PhysAddr>),
}

/// One location to explain, as it was written.
///
/// # Examples
/// See [`Explainer::locate`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// The text it was given as.
    pub at: String,
    /// What it means.
    pub target: QueryTarget,
    /// How well the text that named the range knew its extent; `None` for a location.
    pub confidence: Option<Confidence>,
    /// The line of that text.
    pub line: Option<u64>,
}

impl Query {
    /// The first byte asked about, in the space of the query.
    pub(crate) fn start(&self) -> u64 {
        match self.target {
            QueryTarget::Device { extent, .. } => extent.start().get(),
            QueryTarget::Memory(extent) => extent.start().get(),
        }
    }
}

/// Why a location cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LocationErrorKind {
    /// Not of the form `<space>:<start>[+<len>][B]`.
    Form,
    /// A number is not one.
    Number,
    /// The length is zero.
    Empty,
    /// The range does not fit in 64 bits of bytes.
    Overflow,
    /// The stack has no such device.
    UnknownDevice,
    /// The stack has no such file.
    UnknownFile,
    /// Several files of the stack have that name.
    Ambiguous,
    /// The unit does not go with the space.
    Unit,
}

/// A location that cannot be used, and what to write instead.
///
/// # Examples
/// ```
/// use badrange_explain::{Explainer, LocationErrorKind};
/// use badrange_input::{MemoryFiles, Topology};
/// let text = "schema = \"badrange.stack/1\"\n[[disk]]\nname = \"sda\"\nsectors = 64\n";
/// let explainer = Explainer::new(Topology::load("stack.toml", text, &MemoryFiles::new())?)?;
/// let err = explainer.locate("sdb:9+1").unwrap_err();
/// assert_eq!(err.kind(), LocationErrorKind::UnknownDevice);
/// assert_eq!(err.to_string(), "location \"sdb:9+1\": no device \"sdb\" in this stack: it has sda");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("location {at:?}: {message}")]
pub struct LocationError {
    kind: LocationErrorKind,
    at: String,
    message: String,
}

impl LocationError {
    /// What was wrong; the part of the error to match on.
    #[must_use]
    pub const fn kind(&self) -> LocationErrorKind {
        self.kind
    }
}

/// Devices named in an error, at most.
const SHOWN_DEVICES: usize = 12;

impl Explainer {
    /// Reads a comma-separated list of locations: `<space>:<start>[+<len>][B]`.
    ///
    /// | form | means |
    /// |---|---|
    /// | `disk:71870+4` | sectors of 512 bytes of the device `disk` |
    /// | `disk:0x100000+4096B` | the same device in bytes |
    /// | `lba@disk:71870+4` | logical blocks of the device |
    /// | `pfn:0x1850602+1` | physical pages, of 4096 bytes where the description does not say otherwise |
    /// | `phys:0x1850602400+0x1000` | physical bytes |
    ///
    /// Without a length: one unit. An upper-case `B` at the end is always the unit, also after a hex
    /// number: write hex digits in lower case. A range past the end of a device is no error.
    ///
    /// # Errors
    /// A [`LocationError`] naming the location and what to write instead.
    ///
    /// # Examples
    /// ```
    /// use badrange_explain::{Explainer, QueryTarget};
    /// use badrange_core::{DevOffset, Extent};
    /// use badrange_input::{MemoryFiles, Topology};
    /// let text = "schema = \"badrange.stack/1\"\n[[disk]]\nname = \"sda\"\nsectors = 64\n";
    /// let explainer = Explainer::new(Topology::load("stack.toml", text, &MemoryFiles::new())?)?;
    /// let queries = explainer.locate("sda:2,sda:0x400+512B")?;
    /// let extent = Extent::new(DevOffset::new(1024), 512)?;
    /// assert_eq!(queries[0].target, QueryTarget::Device { place: 0, extent });
    /// assert_eq!(queries[1].target, queries[0].target);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn locate(&self, list: &str) -> Result<Vec<Query>, LocationError> {
        list.split(',').map(|at| self.locate_one(at.trim())).collect()
    }

    fn locate_one(&self, at: &str) -> Result<Query, LocationError> {
        let err = |(kind, message)| LocationError { kind, at: at.to_owned(), message };
        let target = self.target(at).map_err(err)?;
        Ok(Query { at: at.to_owned(), target, confidence: None, line: None })
    }

    fn target(&self, at: &str) -> Result<QueryTarget, Refusal> {
        let (space, range) = at.rsplit_once(':').ok_or_else(form)?;
        let range = Range::parse(range)?;
        match space {
            "pfn" if range.bytes => {
                Err((LocationErrorKind::Unit, "pfn counts pages: for bytes use phys".to_owned()))
            }
            "pfn" => range
                .extent(self.topology().memory().page.bytes(), PhysAddr::new)
                .map(QueryTarget::Memory),
            "phys" => range.extent(1, PhysAddr::new).map(QueryTarget::Memory),
            name if name == self.topology().memory().name => {
                range.extent(1, PhysAddr::new).map(QueryTarget::Memory)
            }
            _ => self.device_target(space, &range),
        }
    }

    fn device_target(&self, space: &str, range: &Range) -> Result<QueryTarget, Refusal> {
        let (name, blocks) = match space.strip_prefix("lba@") {
            Some(name) => (name, true),
            None => (space, false),
        };
        let devices = self.topology().devices();
        let place = devices.iter().position(|d| d.name == name);
        let (place, device) = place
            .and_then(|place| Some((place, devices.get(place)?)))
            .ok_or_else(|| self.unknown(name))?;
        let unit = match (blocks, range.bytes) {
            (true, true) => {
                let message = "lba counts logical blocks: for bytes leave lba@ out".to_owned();
                return Err((LocationErrorKind::Unit, message));
            }
            (true, false) => device.logical_block,
            (false, true) => 1,
            (false, false) => SECTOR_SIZE,
        };
        let extent = range.extent(unit, DevOffset::new)?;
        Ok(QueryTarget::Device { place, extent })
    }

    fn unknown(&self, name: &str) -> Refusal {
        let devices = self.topology().devices();
        let known: Vec<_> = devices.iter().take(SHOWN_DEVICES).map(|d| d.name.as_str()).collect();
        let more = devices.len().saturating_sub(known.len());
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let message =
            format!("no device {name:?} in this stack: it has {}{more}", known.join(", "));
        (LocationErrorKind::UnknownDevice, message)
    }
}

pub(crate) type Refusal = (LocationErrorKind, String);

fn form() -> Refusal {
    let message = "expected <device>:<start>+<len>, such as disk:71870+4".to_owned();
    (LocationErrorKind::Form, message)
}

/// `<start>[+<len>][B]`, before the unit is known.
pub(crate) struct Range {
    pub(crate) start: u64,
    pub(crate) len: u64,
    bytes: bool,
}

impl Range {
    pub(crate) fn parse(text: &str) -> Result<Self, Refusal> {
        let (numbers, bytes) = match text.strip_suffix('B') {
            Some(numbers) => (numbers, true),
            None => (text, false),
        };
        let (start, len) = match numbers.split_once('+') {
            Some((start, len)) => (start, Some(len)),
            None => (numbers, None),
        };
        let len = len.map(number).transpose()?.unwrap_or(1);
        Ok(Self { start: number(start)?, len, bytes })
    }

    pub(crate) fn extent<S: badrange_core::Space>(
        &self,
        unit: u64,
        space: impl Fn(u64) -> S,
    ) -> Result<Extent<S>, Refusal> {
        if self.len == 0 {
            return Err((LocationErrorKind::Empty, "the length is zero".to_owned()));
        }
        let bytes = self.start.checked_mul(unit).zip(self.len.checked_mul(unit));
        bytes.and_then(|(start, len)| Extent::new(space(start), len).ok()).ok_or_else(|| {
            (LocationErrorKind::Overflow, "the range does not fit in 64 bits of bytes".to_owned())
        })
    }
}

fn number(text: &str) -> Result<u64, Refusal> {
    parse_u64(text).ok_or_else(|| {
        let message = format!("{text:?} is not a number: expected decimal or 0x-hex of 64 bits");
        (LocationErrorKind::Number, message)
    })
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.at)
    }
}
