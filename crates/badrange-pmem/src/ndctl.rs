//! What `ndctl` makes of the tables of regions and namespaces.

use badrange_core::{Errno, Extent, PhysAddr, SECTOR_SIZE, Sector, Space};

use crate::{Bus, ClearError, Namespace};

#[cfg(test)]
mod tests;

/// The bad ranges of a namespace in sectors of its device, from the records of its region.
///
/// This is what `ndctl list --media-errors` prints as `offset` and `length` for fsdax and devdax.
/// For a raw namespace `ndctl` prints the block device's own table instead.
///
/// A record is clipped to the data of the namespace: the user's part of it, without the metadata in
/// front.
///
/// # Kernel
/// `dev_badblocks_to_json()` of ndctl. It tests an inclusive end against an inclusive start, so that
/// a record whose last byte is the first of the data is left out: so is here whatever is less than
/// a sector. Sectors and data both begin at multiples of 512 bytes, so that this needs a region
/// which does not.
///
/// # Examples
/// ```
/// use badrange_core::{Extent, PhysAddr, Sector};
/// use badrange_pmem::{Mode, Namespace, media_errors};
/// // A region at 4 GiB, in it a namespace at 5 GiB with 2 MiB of metadata.
/// let region = PhysAddr::new(0x1_0000_0000);
/// let whole = Extent::new(PhysAddr::new(0x1_4000_0000), 1 << 30)?;
/// let namespace = Namespace::new(whole, 0x20_0000, Mode::Devdax)?;
/// let record = Extent::new(Sector::new(0x4020_0000 / 512 - 8), 16)?; // half of it is metadata
/// let found = media_errors(&namespace, region, [record]);
/// assert_eq!(found, [Extent::new(Sector::new(0), 8)?]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn media_errors(
    namespace: &Namespace,
    region_start: PhysAddr,
    region_records: impl IntoIterator<Item = Extent<Sector>>,
) -> Vec<Extent<Sector>> {
    let data = namespace.link();
    let bad = region_records.into_iter().filter_map(|record| in_memory(region_start, record));
    let inside = bad.flat_map(|bad| data.clip_lower(bad.on_memory()));
    inside.filter_map(|link| shifted(link.upper().span())).collect()
}

/// Bytes as sectors: shifted, not rounded. Less than a sector is none.
fn shifted(bytes: Extent) -> Option<Extent<Sector>> {
    Extent::new(Sector::containing(bytes.start()), bytes.len() / SECTOR_SIZE).ok()
}

/// What became of the errors of a namespace: see [`clear_errors`].
///
/// # Examples
/// See [`clear_errors`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Clearing {
    cleared: Vec<Extent<PhysAddr>>,
    skipped: Vec<Extent<PhysAddr>>,
    failed: Option<(Extent<PhysAddr>, Errno)>,
}

impl Clearing {
    /// The records that were cleared, whole.
    #[must_use]
    pub fn cleared(&self) -> &[Extent<PhysAddr>] {
        &self.cleared
    }

    /// The records of the region that are not wholly in the data of the namespace: left alone.
    #[must_use]
    pub fn skipped(&self) -> &[Extent<PhysAddr>] {
        &self.skipped
    }

    /// The record that could not be cleared, or not all of it (`ENXIO`); those after it were not
    /// tried.
    #[must_use]
    pub const fn failed(&self) -> Option<(Extent<PhysAddr>, Errno)> {
        self.failed
    }
}

/// Clears every record of a region that lies wholly in the data of a namespace.
///
/// The namespace must not be in use: its own table is not touched. When it is used again, its table
/// is filled from the list of the bus.
///
/// # Errors
/// `ENXIO` when the bus has no region with that number.
///
/// # Kernel
/// `nstype_clear_badblocks()` of `ndctl clear-errors`.
///
/// # Examples
/// ```
/// use badrange_core::{Extent, PhysAddr};
/// use badrange_pmem::{Bus, Kernel, Mode, Namespace, Provider, clear_errors};
/// let phys = |start, len| Extent::new(PhysAddr::new(start), len).unwrap();
/// let mut bus = Bus::new(Kernel::Linux7_2, Provider::Acpi { clear_unit: 256 });
/// bus.add_region(phys(0x1000_0000, 0x100_0000));
/// bus.add_bad(phys(0x1020_1000, 512)); // in the data
/// bus.add_bad(phys(0x101f_fe00, 1024)); // half metadata, half data
/// let namespace = Namespace::new(phys(0x1000_0000, 0x100_0000), 0x20_0000, Mode::Fsdax)?;
/// let done = clear_errors(&mut bus, 0, &namespace, &mut |range| range.len()).unwrap();
/// assert_eq!(done.cleared(), [phys(0x1020_1000, 512)]);
/// assert_eq!(done.skipped(), [phys(0x101f_fe00, 1024)]);
/// assert_eq!(bus.regions()[0].badblocks().show(), "4095 2\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn clear_errors(
    bus: &mut Bus,
    region: usize,
    namespace: &Namespace,
    firmware: ClearError<'_>,
) -> Result<Clearing, Errno> {
    let region = bus.regions().get(region).ok_or(Errno::ENXIO)?;
    let start = region.place().start();
    let records: Vec<_> = region.badblocks().records().filter_map(|r| r.extent()).collect();
    let mut done = Clearing::default();
    for bad in records.into_iter().filter_map(|record| in_memory(start, record)) {
        if !namespace.data().contains_extent(bad) {
            done.skipped.push(bad);
            continue;
        }
        let cleared = bus.clear_error(bad, firmware);
        let all = cleared.and_then(|n| if n == bad.len() { Ok(()) } else { Err(Errno::ENXIO) });
        match all {
            Ok(()) => done.cleared.push(bad),
            Err(errno) => {
                done.failed = Some((bad, errno));
                break;
            }
        }
    }
    Ok(done)
}

/// Sectors of a region as bytes of physical memory. Beyond the end of memory is nothing bad: a table
/// takes what it is told.
fn in_memory(region_start: PhysAddr, record: Extent<Sector>) -> Option<Extent<PhysAddr>> {
    let bytes = record.bytes().ok()?;
    let start = region_start.checked_add(bytes.start().to_raw())?;
    Extent::new(start, bytes.len()).ok()
}
