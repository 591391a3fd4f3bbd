use badrange_core::PhysAddr;

use super::*;
use crate::{Kernel, Mode, Provider};

const VA: u64 = 0x7f00_0000_0000;
const G: u64 = 1 << 30;
const M2: u64 = 2 << 20;

fn dax(align: Align, size: u64) -> DevDax {
    let whole = Extent::new(PhysAddr::new(4 << 30), size).unwrap();
    let namespace = Namespace::new(whole, 0, Mode::Devdax).unwrap().with_align(align).unwrap();
    DevDax::new(namespace).unwrap()
}

fn vma(len: u64, offset: u64) -> Vma {
    Vma::new(VA, len, DevOffset::new(offset)).unwrap()
}

/// Rows: the size of the fault; columns: the granularity.
#[test]
fn the_granularity_is_guaranteed() {
    use Align::{Size1G, Size2M, Size4K};
    let all = vma(4 * G, 0);
    for (size, align, mapped, otherwise) in [
        (Size4K, Size4K, true, DaxFault::Sigbus),
        (Size4K, Size2M, false, DaxFault::Sigbus),
        (Size4K, Size1G, false, DaxFault::Sigbus),
        (Size2M, Size4K, false, DaxFault::Fallback),
        (Size2M, Size2M, true, DaxFault::Sigbus),
        (Size2M, Size1G, false, DaxFault::Sigbus),
        (Size1G, Size4K, false, DaxFault::Fallback),
        (Size1G, Size2M, false, DaxFault::Fallback),
        (Size1G, Size1G, true, DaxFault::Sigbus),
    ] {
        let at = G + 5 * M2 + 0x3123;
        let fault = dax(align, 4 * G).fault(all, VA + at, size);
        let unit = Extent::new(DevOffset::new(at / align.bytes() * align.bytes()), align.bytes());
        let expected = if mapped { DaxFault::Mapped(unit.unwrap()) } else { otherwise };
        assert_eq!(fault, expected, "a fault of {size} with {align}");
    }
}

#[test]
fn a_unit_lies_in_the_mapping_and_on_the_device_or_is_not_mapped() {
    let device = dax(Align::Size2M, 8 * M2);
    // The mapping ends before the device, and beyond it.
    assert_eq!(device.fault(vma(2 * M2, 7 * M2), VA + M2, Align::Size2M), DaxFault::Sigbus);
    assert!(matches!(device.fault(vma(2 * M2, 7 * M2), VA, Align::Size2M), DaxFault::Mapped(_)));
    assert_eq!(device.fault(vma(M2, 0), VA + M2, Align::Size2M), DaxFault::Sigbus);
    assert_eq!(device.fault(vma(M2, 0), VA - 1, Align::Size2M), DaxFault::Sigbus);
    // A mapping that is not aligned, or of a device that is gone, gets nothing.
    let odd = Vma::new(VA + 4096, M2, DevOffset::new(0)).unwrap();
    assert_eq!(device.mmap(odd, true), Err(Errno::EINVAL));
    assert_eq!(device.mmap(vma(M2 + 4096, 0), true), Err(Errno::EINVAL));
    assert_eq!(device.fault(odd, VA + M2, Align::Size2M), DaxFault::Sigbus);
    assert_eq!(device.dead().mmap(vma(M2, 0), false), Err(Errno::ENXIO));
    assert_eq!(device.dead().fault(vma(M2, 0), VA, Align::Size1G), DaxFault::Sigbus);
    // The offset of the mapping decides which unit of the device it is.
    let unit = Extent::new(DevOffset::new(3 * M2), M2).unwrap();
    assert_eq!(
        device.fault(vma(4 * M2, 2 * M2), VA + M2 + 7, Align::Size2M),
        DaxFault::Mapped(unit)
    );
}

#[test]
fn the_blast_radius_is_the_unit() {
    let device = dax(Align::Size2M, 8 * M2);
    let map = vma(2 * M2, M2);
    for at in [M2, M2 + 1, 2 * M2 - 1] {
        let blast = device.blast_radius(map, DevOffset::new(at)).unwrap();
        assert_eq!(blast.unit(), Extent::new(DevOffset::new(M2), M2).unwrap());
        assert_eq!(blast.signal().to_string(), "BUS_MCEERR_AR at 0x7f0000000000, lsb 21");
    }
    let next = device.blast_radius(map, DevOffset::new(2 * M2)).unwrap();
    assert_eq!(next.signal().addr(), VA + M2);
    assert_eq!(device.blast_radius(map, DevOffset::new(M2 - 1)), None);
    assert_eq!(device.blast_radius(map, DevOffset::new(3 * M2)), None);
}

#[test]
fn errors_are_those_of_the_region_translated() {
    let device = dax(Align::Size2M, 8 * M2);
    let mut bus = Bus::new(Kernel::Linux6_12, Provider::Acpi { clear_unit: 256 });
    // The region begins 1 GiB below.
    bus.add_region(Extent::new(PhysAddr::new(3 << 30), 4 << 30).unwrap());
    bus.add_bad(Extent::new(PhysAddr::new((4 << 30) + 4096 + 300), 300).unwrap());
    let bad = Extent::new(Sector::new(8), 2).unwrap();
    assert_eq!(device.list_errors(&bus, 0), Ok(vec![bad]));
    assert_eq!(device.list_errors(&bus, 1), Err(Errno::ENXIO));
    let beyond = Extent::new(Sector::new(8 * M2 / 512 - 1), 2).unwrap();
    assert_eq!(device.clear_error(&mut bus, beyond, &mut |_| panic!("asked")), Err(Errno::EINVAL));
    assert_eq!(device.clear_error(&mut bus, bad, &mut |_| 512), Ok(512));
    assert_eq!(device.list_errors(&bus, 0), Ok(vec![Extent::new(Sector::new(9), 1).unwrap()]));
    assert_eq!(device.clear_error(&mut bus, bad, &mut |_| 0), Err(Errno::EIO));
}
