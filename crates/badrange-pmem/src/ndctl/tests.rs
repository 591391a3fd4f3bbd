use super::*;
use crate::{Kernel, Mode, Provider};

fn phys(start: u64, len: u64) -> Extent<PhysAddr> {
    Extent::new(PhysAddr::new(start), len).unwrap()
}

fn sectors(start: u64, len: u64) -> Extent<Sector> {
    Extent::new(Sector::new(start), len).unwrap()
}

/// A region of 16 MiB at 256 MiB; a namespace from 4 MiB on, 8 MiB long.
const REGION: u64 = 0x1000_0000;

fn namespace(offset: u64, mode: Mode) -> Namespace {
    Namespace::new(phys(REGION + 0x40_0000, 0x80_0000), offset, mode).unwrap()
}

#[test]
fn offsets_are_those_of_the_users_part() {
    let listed = |offset, mode, record| {
        media_errors(&namespace(offset, mode), PhysAddr::new(REGION), [record])
    };
    // Sector 0x2000 of the region is the first of the namespace, 0x3000 the first of its data.
    for mode in [Mode::Fsdax, Mode::Devdax] {
        assert_eq!(listed(0x20_0000, mode, sectors(0x2000, 8)), [], "metadata");
        assert_eq!(listed(0x20_0000, mode, sectors(0x2fff, 1)), []);
        assert_eq!(listed(0x20_0000, mode, sectors(0x2fff, 2)), [sectors(0, 1)]);
        assert_eq!(listed(0x20_0000, mode, sectors(0x3000, 1)), [sectors(0, 1)]);
        assert_eq!(listed(0x20_0000, mode, sectors(0x3123, 5)), [sectors(0x123, 5)]);
        // Across the end, and beyond it.
        assert_eq!(listed(0x20_0000, mode, sectors(0x5ffe, 9)), [sectors(0x2ffe, 2)]);
        assert_eq!(listed(0x20_0000, mode, sectors(0x6000, 1)), []);
    }
    assert_eq!(listed(0, Mode::Devdax, sectors(0x2000, 8)), [sectors(0, 8)]);
    assert_eq!(listed(0, Mode::Devdax, sectors(0x1fff, 1)), []);
}

/// The quirk needs a region that does not begin at a sector of the namespace.
#[test]
fn a_record_that_ends_on_the_first_byte_is_left_out() {
    let listed = |start: u64| {
        media_errors(&namespace(0, Mode::Devdax), PhysAddr::new(start), [sectors(0, 1)])
    };
    let first = REGION + 0x40_0000;
    assert_eq!(listed(first - 511), [], "its last byte is the first of the data");
    assert_eq!(listed(first - 510), [], "two bytes are no sector");
    assert_eq!(listed(first), [sectors(0, 1)]);
}

#[test]
fn clearing_stops_at_what_fails() {
    let mut bus = Bus::new(Kernel::Linux6_12, Provider::Acpi { clear_unit: 256 });
    bus.add_region(phys(REGION, 0x100_0000));
    let data = REGION + 0x60_0000;
    for at in [0, 0x1000, 0x2000] {
        bus.add_bad(phys(data + at, 512));
    }
    let namespace = namespace(0x20_0000, Mode::Devdax);
    let mut firmware =
        |range: Extent<PhysAddr>| if range.start().get() == data { 512 } else { 256 };
    let done = clear_errors(&mut bus, 0, &namespace, &mut firmware).unwrap();
    assert_eq!(done.cleared(), [phys(data, 512)]);
    assert_eq!(done.skipped(), []);
    assert_eq!(done.failed(), Some((phys(data + 0x1000, 512), Errno::ENXIO)));
    // Half a sector was cleared: the list knows, no table does.
    assert_eq!(bus.regions()[0].badblocks().show(), "12296 1\n12304 1\n");
    assert_eq!(bus.badrange().entries(), [phys(data + 0x1100, 256), phys(data + 0x2000, 512)]);
    assert_eq!(clear_errors(&mut bus, 1, &namespace, &mut firmware), Err(Errno::ENXIO));
    // What is not wholly in the data is left alone.
    let mut bus = Bus::new(Kernel::Linux6_12, Provider::Acpi { clear_unit: 256 });
    bus.add_region(phys(REGION, 0x100_0000));
    bus.add_bad(phys(data - 512, 1024));
    let done = clear_errors(&mut bus, 0, &namespace, &mut firmware).unwrap();
    assert_eq!((done.cleared(), done.skipped()), (&[][..], &[phys(data - 512, 1024)][..]));
    let mut cxl = Bus::new(Kernel::Linux6_12, Provider::Cxl);
    cxl.add_region(phys(REGION, 0x100_0000));
    cxl.add_bad(phys(data, 512));
    let done = clear_errors(&mut cxl, 0, &namespace, &mut firmware).unwrap();
    assert_eq!(done.failed(), Some((phys(data, 512), Errno::ENOTTY)));
}
