//! What one line of a log says, before neighbouring lines are taken together.

use badrange_core::{DevOffset, Extent, PageSize, Pfn, PhysAddr, SECTOR_SIZE};

use super::{
    name,
    place::{BlockUnit, Place, to_page_end},
};
use crate::Confidence;

/// What one line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    /// A request that failed, in logical blocks of a disk. The line of the block layer that follows
    /// tells the same request by its sector.
    Request { device: String, first: u64, blocks: u64 },
    /// The block layer's line: where a failed request, or what is left of it, starts.
    Sector { device: String, sector: u64 },
    /// A read of a member that an array does elsewhere, at a sector of the array.
    Retry { array: String, sector: u64, member: Option<String> },
    /// A command of an ATA port, which is not a disk by name.
    Ata { port: Option<String>, first: u64, blocks: Option<u64> },
    /// A range, known as well as this line knows it.
    Range { place: Place, confidence: Confidence, said: &'static str },
    /// How many bytes a logical block of a disk has.
    BlockSize { device: Option<String>, bytes: u64 },
    /// Something is missing from the text.
    Cut,
    /// It, and that there is more than the text says.
    Incomplete(Box<Self>),
    /// A place that leads to no bytes.
    Unplaced(String),
    /// The lines that follow are a list of a device, in sectors.
    ListOf { device: Option<String>, sysfs: bool },
    /// A line of such a list; without a count where sysfs cut it.
    ListLine { first: u64, count: Option<u64> },
    /// Whether the error record that follows is one that was corrected.
    Severity { corrected: bool },
    /// A physical address of such a record.
    RecordAddress(u64),
    /// The status register of a machine check bank.
    BankStatus(u64),
    /// Its address and miscellaneous registers.
    BankAddress { address: u64, misc: u64 },
}

/// A number that does not fit makes its place unplaced, never another place.
pub(super) fn too_large(what: &str) -> Said {
    Said::Unplaced(format!("{what}: does not fit in 64 bits of bytes"))
}

/// Sectors of a device.
pub(super) fn sectors(device: &str, first: u64, count: u64, said: &'static str) -> Said {
    bytes_of(
        device,
        first.checked_mul(SECTOR_SIZE).zip(count.checked_mul(SECTOR_SIZE)),
        Confidence::AtMost,
        said,
    )
    .unwrap_or_else(|| too_large(&format!("{device}: sectors {first}+{count}")))
}

/// Bytes of a device; `None` when there are none or too many.
pub(super) fn bytes_of(
    device: &str,
    range: Option<(u64, u64)>,
    confidence: Confidence,
    said: &'static str,
) -> Option<Said> {
    let (start, len) = range?;
    let extent = Extent::new(DevOffset::new(start), len).ok()?;
    let place = Place::Device { device: Some(name::of_device(device)), extent };
    Some(Said::Range { place, confidence, said })
}

/// A byte of a device from which on it is bad, nobody knows how far.
pub(super) fn from_byte(device: &str, start: Option<u64>, said: &'static str) -> Said {
    let device = name::of_device(device);
    match start.and_then(|start| to_page_end::<DevOffset>(start, 1, PageSize::K4)) {
        Some(extent) => Said::Range {
            place: Place::Device { device: Some(device), extent },
            confidence: Confidence::UnknownExtent,
            said,
        },
        None => too_large(&device),
    }
}

/// Blocks of unknown size.
pub(super) fn blocks(
    device: &str,
    unit: BlockUnit,
    first: u64,
    count: Option<u64>,
    said: &'static str,
) -> Said {
    let confidence = if count.is_some() { Confidence::AtMost } else { Confidence::UnknownExtent };
    let device = Some(name::of_device(device));
    Said::Range { place: Place::Blocks { device, unit, first, count }, confidence, said }
}

/// A page of physical memory by its number. How long it is says the machine, not the line: whoever
/// puts lines together knows.
pub(super) fn page(pfn: u64, said: &'static str) -> Said {
    let page = PageSize::K4;
    let frame = Extent::new(Pfn::new(pfn), 1).and_then(|frame| frame.bytes(page));
    frame.map_or_else(
        |_| too_large(&format!("pfn {pfn:#x}")),
        |extent| {
            let place = Place::Pages(extent, page);
            Said::Range { place, confidence: Confidence::Exact, said }
        },
    )
}

/// Bytes of physical memory.
pub(super) fn memory(start: u64, len: u64, confidence: Confidence, said: &'static str) -> Said {
    Extent::new(PhysAddr::new(start), len).map_or_else(
        |_| too_large(&format!("physical memory {start:#x}+{len:#x}")),
        |extent| Said::Range { place: Place::Memory(extent), confidence, said },
    )
}

/// A physical address of which nobody knows how much around it is bad.
pub(super) fn address(start: u64, said: &'static str) -> Said {
    to_page_end::<PhysAddr>(start, 1, PageSize::K4).map_or_else(
        || too_large(&format!("physical address {start:#x}")),
        |extent| {
            let confidence = Confidence::UnknownExtent;
            Said::Range { place: Place::Memory(extent), confidence, said }
        },
    )
}
