//! Ranges that a text names, found on a stack: the way from a log to queries.

use core::{ops::ControlFlow, time::Duration};
use std::collections::BTreeMap;

use badrange_core::{Extent, Mapped, Stop};
use badrange_input::{
    BlockUnit, Confidence, Device, Layer, NamedRange, Place, RangeList, UnplacedRange,
};

use crate::{Explainer, Query, QueryTarget, Seen};

/// Bad ranges of a text as queries to a stack, and what could not become one.
///
/// # Examples
/// See [`Explainer::locate_ranges`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LocatedRanges {
    /// The queries, in the order of their lines, with confidence and line.
    pub queries: Vec<Query>,
    /// What the stack has no device for, what has no size, and what the text itself cannot place:
    /// for people to read.
    pub unplaced: Vec<UnplacedRange>,
    /// How many ranges were left out because a range of a device below tells the same event.
    pub merged: usize,
}

impl Explainer {
    /// Finds the ranges of a text on this stack.
    ///
    /// A device of the text is the device of that name; `dm-N` is the device-mapper device whose own
    /// number ends in `N`; `major:minor` is what a `[[dm]]` entry gives that number to. Where a range
    /// names no device, it is one of `nameless`. A range of a device that lies wholly on bytes which
    /// ranges of devices below name is the same event and left out.
    ///
    /// # Examples
    /// ```
    /// use badrange_explain::Explainer;
    /// use badrange_input::{MemoryFiles, RangeOptions, Topology, read_ranges};
    /// let text = "schema = \"badrange.stack/1\"\n[[disk]]\nname = \"sda\"\nsectors = 64\n";
    /// let explainer = Explainer::new(Topology::load("stack.toml", text, &MemoryFiles::new())?)?;
    /// let log = "I/O error, dev sda, sector 12\nI/O error, dev sdb, sector 7\n";
    /// let list = read_ranges(log.as_bytes(), &RangeOptions::default())?;
    /// let located = explainer.locate_ranges(&list, None);
    /// assert_eq!(located.queries[0].at, "sda:12+4");
    /// assert_eq!(located.queries[0].line, Some(1));
    /// assert_eq!(located.unplaced[0].what, "sdb:7+1: no device \"sdb\" in this stack");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn locate_ranges(&self, list: &RangeList, nameless: Option<&str>) -> LocatedRanges {
        let mut located =
            LocatedRanges { unplaced: list.unplaced.clone(), ..LocatedRanges::default() };
        let mut found: BTreeMap<Key, Query> = BTreeMap::new();
        for range in &list.ranges {
            match self.query(range, nameless) {
                Ok(query) => add(&mut found, query, &mut located.merged),
                Err(why) => {
                    let what = format!("{}: {why}", range.place);
                    located.unplaced.push(UnplacedRange { line: range.line, what });
                }
            }
        }
        let before = found.len();
        located.queries = self.without_layers_above(found.into_values().collect());
        located.merged =
            located.merged.saturating_add(before.saturating_sub(located.queries.len()));
        located.queries.sort_by(|a, b| (a.line, &a.at).cmp(&(b.line, &b.at)));
        located.unplaced.sort_by_key(|unplaced| unplaced.line);
        located
    }

    /// The place of a device in the topology, by any name that a log has for it.
    ///
    /// # Examples
    /// See [`locate_ranges`](Self::locate_ranges).
    #[must_use]
    pub fn device_of_log(&self, name: &str) -> Option<usize> {
        let place = |name: &str| self.topology().devices().iter().position(|d| d.name == name);
        let minor = || name.strip_prefix("dm-")?.parse().ok();
        place(name)
            .or_else(|| place(self.topology().dm_minor(minor()?)?))
            .or_else(|| place(self.topology().numbered(name)?))
    }

    /// Bytes of a block of a device, where a text counts blocks without saying how large they are.
    ///
    /// Blocks of the buffer cache are those of an ext4 on the device; without one, what the kernel
    /// begins with: the largest of up to 4096 bytes that divides the device.
    ///
    /// # Kernel
    /// `set_init_blocksize`
    ///
    /// # Examples
    /// ```
    /// use badrange_explain::Explainer;
    /// use badrange_input::{BlockUnit, MemoryFiles, Topology};
    /// let text = "schema = \"badrange.stack/1\"\n[[disk]]\nname = \"sda\"\nsectors = 66\n";
    /// let explainer = Explainer::new(Topology::load("stack.toml", text, &MemoryFiles::new())?)?;
    /// assert_eq!(explainer.block_size(Some("sda"), BlockUnit::Logical), Some(512));
    /// assert_eq!(explainer.block_size(Some("sda"), BlockUnit::Buffer), Some(1024));
    /// assert_eq!(explainer.block_size(Some("sda"), BlockUnit::Filesystem), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn block_size(&self, device: Option<&str>, unit: BlockUnit) -> Option<u64> {
        let place = device.and_then(|name| self.device_of_log(name));
        let device = place.and_then(|place| self.topology().devices().get(place));
        let filesystems = self.topology().filesystems();
        let filesystem = filesystems.iter().find(|fs| Some(fs.device) == place);
        match unit {
            BlockUnit::Logical => device.map(|device| device.logical_block),
            BlockUnit::Filesystem => filesystem.map(|fs| fs.block_size),
            BlockUnit::Buffer => match filesystem.filter(|fs| fs.kind == "ext4") {
                Some(ext4) => Some(ext4.block_size),
                None => Some(device.map_or(4096, soft_block)),
            },
            BlockUnit::List => None,
        }
    }

    /// The only disk or namespace that nothing is below: what a list without a device is of, when
    /// there is no other.
    ///
    /// # Examples
    /// ```
    /// use badrange_explain::Explainer;
    /// use badrange_input::{MemoryFiles, Topology};
    /// let text = "schema = \"badrange.stack/1\"\n[[disk]]\nname = \"sda\"\nsectors = 66\n";
    /// let explainer = Explainer::new(Topology::load("stack.toml", text, &MemoryFiles::new())?)?;
    /// assert_eq!(explainer.only_disk(), Some("sda"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn only_disk(&self) -> Option<&str> {
        let bottom = |device: &&Device| matches!(device.layer, Layer::Disk | Layer::Pmem { .. });
        let mut disks = self.topology().devices().iter().filter(bottom);
        let only = disks.next()?;
        disks.next().is_none().then_some(only.name.as_str())
    }

    fn query(&self, range: &NamedRange, nameless: Option<&str>) -> Result<Query, String> {
        let target = match &range.place {
            Place::Pages(extent, _) | Place::Memory(extent) => QueryTarget::Memory(*extent),
            Place::Blocks { unit, .. } => {
                let device = range.place.device().or(nameless);
                let size = self.block_size(device, *unit);
                let size = size.ok_or_else(|| format!("nobody says how large a {unit} is"))?;
                let bytes = range.place.clone().in_bytes(size);
                let bytes = bytes.ok_or("it does not fit in 64 bits of bytes")?;
                return self.query(&NamedRange { place: bytes, ..range.clone() }, nameless);
            }
            Place::Device { extent, .. } if range.retried.is_some() => {
                let (place, extent) = self.of_member(range, *extent)?;
                QueryTarget::Device { place, extent }
            }
            Place::Device { device, extent } => {
                let name = device.as_deref().or(nameless);
                let name = name.ok_or("the text does not say which device")?;
                let other = || self.device_of_log(range.also.as_deref()?);
                let place = self.device_of_log(name).or_else(other);
                let place = place.ok_or_else(|| format!("no device {name:?} in this stack"))?;
                QueryTarget::Device { place, extent: *extent }
            }
        };
        let (confidence, line) = (Some(range.confidence), Some(range.line));
        let (at, target) = self.written(range, target);
        Ok(Query { at, target, confidence, line })
    }

    /// The location of a target. Where only the start is known, the page ends with the device.
    fn written(&self, range: &NamedRange, target: QueryTarget) -> (String, QueryTarget) {
        let QueryTarget::Device { place, extent } = target else {
            return (range.place.to_string(), target);
        };
        let device = self.topology().devices().get(place);
        let bare = device.filter(|_| range.confidence == Confidence::UnknownExtent);
        let inside = bare.and_then(|device| device.extent.intersect(extent));
        let extent = inside.filter(|i| i.start() == extent.start()).unwrap_or(extent);
        let name = device.map(|device| device.name.clone());
        (Place::Device { device: name, extent }.to_string(), QueryTarget::Device { place, extent })
    }

    /// The bytes of the member that an array could not read. Where the array is not described,
    /// nothing leads there.
    fn of_member(&self, range: &NamedRange, extent: Extent) -> Result<(usize, Extent), String> {
        let array = range.place.device().unwrap_or_default();
        let member = range.retried.as_deref().filter(|member| !member.is_empty());
        let member =
            member.ok_or("read elsewhere; the text does not name the member that failed")?;
        let none = |name: &str| format!("no device {name:?} in this stack");
        let place = self.device_of_log(array).ok_or_else(|| none(array))?;
        let on = self.device_of_log(member).ok_or_else(|| none(member))?;
        let layer = self.topology().devices().get(place).map(|device| &device.layer);
        let mapping = layer.and_then(|layer| Some((layer.mapping()?, layer.legs())));
        let (mapping, legs) = mapping.ok_or_else(|| format!("{array} is not described"))?;
        let mut found = None;
        let _ = mapping.map(extent, &mut |part| {
            if let Mapped::To { leg, link } = part {
                let index = usize::try_from(leg.index()).unwrap_or(usize::MAX);
                if legs.get(index) == Some(&on) {
                    found = Some(link.lower().span());
                    return ControlFlow::Break(Stop::Enough);
                }
            }
            ControlFlow::Continue(())
        });
        found.map(|lower| (on, lower)).ok_or_else(|| format!("{member} is no member of {array}"))
    }

    /// Leaves out queries of devices whose bytes at the bottom are all named by queries of devices
    /// below.
    fn without_layers_above(&self, queries: Vec<Query>) -> Vec<Query> {
        let mut by_depth = queries;
        let depth = |query: &Query| match query.target {
            QueryTarget::Memory(_) => 0,
            QueryTarget::Device { place, .. } => place.saturating_add(1),
        };
        by_depth.sort_by_key(|query| (depth(query), query.line));
        let mut seen = Seen::new();
        by_depth.retain(|query| seen.take(self, query, Duration::ZERO, |_| true));
        by_depth
    }
}

/// A target, to find the same again.
type Key = (usize, u64, u64);

fn add(found: &mut BTreeMap<Key, Query>, query: Query, merged: &mut usize) {
    let key = match query.target {
        QueryTarget::Memory(extent) => (usize::MAX, extent.start().get(), extent.len()),
        QueryTarget::Device { place, extent } => (place, extent.start().get(), extent.len()),
    };
    match found.get_mut(&key) {
        None => {
            found.insert(key, query);
        }
        // Two names of one device.
        Some(known) => {
            *merged = merged.saturating_add(1);
            known.line = known.line.min(query.line);
            known.confidence = known.confidence.min(query.confidence);
        }
    }
}

/// The block size that the buffer cache begins with.
fn soft_block(device: &Device) -> u64 {
    let len: Extent = device.extent;
    let mut block = device.logical_block.max(512);
    while block < 4096 && len.len() & block == 0 {
        // NO-OVERFLOW: below 4096.
        block = block.wrapping_mul(2);
    }
    block
}
