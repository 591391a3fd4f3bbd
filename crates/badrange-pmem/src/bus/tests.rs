use super::*;

fn phys(start: u64, len: u64) -> Extent<PhysAddr> {
    Extent::new(PhysAddr::new(start), len).unwrap()
}

const ACPI: Provider = Provider::Acpi { clear_unit: 256 };

/// A bus with two regions side by side, and bad memory across the border.
fn bus() -> Bus {
    let mut bus = Bus::new(Kernel::Linux7_2, ACPI);
    bus.add_region(phys(0x10_0000, 0x1_0000));
    bus.add_region(phys(0x11_0000, 0x1_0000));
    bus.add_bad(phys(0x10_fe00, 0x400));
    bus
}

fn shown(bus: &Bus) -> Vec<String> {
    bus.regions().iter().map(|region| region.badblocks().show()).collect()
}

#[test]
fn each_region_has_its_part_and_counts_from_its_start() {
    assert_eq!(shown(&bus()), ["127 1\n", "0 1\n"]);
    let mut late = bus();
    late.add_region(phys(0x10_8000, 0x8000));
    assert_eq!(shown(&late)[2], "63 1\n", "a region that comes later is filled from the list");
    assert_eq!(late.badrange().entries(), [phys(0x10_fe00, 0x400)]);
}

#[test]
fn a_region_with_a_table_keeps_it_and_learns_the_rest() {
    let mut table = BadblocksTable::new(Kernel::Linux7_2);
    table.set(Sector::new(3), 2, true);
    let mut bus = bus();
    bus.add_region_with(phys(0x10_8000, 0x8000), table);
    assert_eq!(shown(&bus)[2], "3 2\n63 1\n");
    assert_eq!(bus.badrange().entries(), [phys(0x10_fe00, 0x400)], "the list has nothing new");
}

#[test]
fn a_region_forgets_only_what_lies_wholly_inside() {
    let all = |range: Extent<PhysAddr>| range.len();
    let mut across = bus();
    assert_eq!(across.clear_poison(phys(0x10_fe00, 0x400), &mut { all }), Ok(0x400));
    assert_eq!(shown(&across), ["127 1\n", "0 1\n"], "in neither");
    assert_eq!(across.badrange().entries(), [], "the bus knows better");
    // Up to the very end of a region is inside.
    let mut one = bus();
    assert_eq!(one.clear_poison(phys(0x10_fe00, 0x200), &mut { all }), Ok(0x200));
    assert_eq!(shown(&one), ["", "0 1\n"]);
    assert_eq!(one.badrange().entries(), [phys(0x11_0000, 0x200)]);
}

#[test]
fn a_partial_clear_counts_for_what_it_cleared() {
    let mut bus = bus();
    // Less than a sector: the list forgets bytes, the region no sector.
    assert_eq!(bus.clear_poison(phys(0x11_0000, 0x1000), &mut |_| 0x100), Ok(0x100));
    assert_eq!(shown(&bus)[1], "0 1\n");
    assert_eq!(bus.badrange().entries(), [phys(0x10_fe00, 0x200), phys(0x11_0100, 0x100)]);
    // More than was asked for cannot be.
    assert_eq!(bus.clear_poison(phys(0x11_0000, 0x200), &mut |_| u64::MAX), Ok(0x200));
    assert_eq!(shown(&bus), ["127 1\n", ""]);
}

#[test]
fn what_cannot_be_cleared_says_why_and_changes_nothing() {
    let range = phys(0x10_fe00, 0x200);
    for (provider, error) in [
        (Provider::Gone, Errno::ENXIO),
        (Provider::Cxl, Errno::ENOTTY),
        (Provider::Acpi { clear_unit: 0 }, Errno::ENXIO),
        (Provider::Acpi { clear_unit: 768 }, Errno::ENXIO),
        (Provider::Acpi { clear_unit: 1024 }, Errno::ENXIO),
    ] {
        let mut bus = Bus { provider, ..bus() };
        let before = bus.clone();
        assert_eq!(bus.clear_poison(range, &mut |_| panic!("asked")), Err(error), "{provider:?}");
        assert_eq!(bus, before);
    }
    let mut bus = bus();
    assert_eq!(bus.clear_poison(range, &mut |_| 0), Err(Errno::EIO));
    assert_eq!(bus.clear_poison(phys(0x10_fe80, 256), &mut |_| 256), Err(Errno::ENXIO));
    assert_eq!(shown(&bus), ["127 1\n", "0 1\n"]);
}

#[test]
fn a_plain_provider_pretends_and_forgets_nothing() {
    let mut bus = Bus { provider: Provider::Plain, ..bus() };
    let before = bus.clone();
    assert_eq!(bus.clear_poison(phys(0x10_fe01, 3), &mut |_| panic!("asked")), Ok(3));
    assert_eq!(bus.clear_error(phys(0x10_fe00, 512), &mut |_| 512), Err(Errno::ENOTTY));
    assert_eq!(bus.machine_check(PhysAddr::new(0x10_0000), 6), None);
    assert_eq!(bus, before);
}

#[test]
fn a_machine_check_is_remembered_with_its_granule() {
    let mut bus = bus();
    assert_eq!(bus.machine_check(PhysAddr::new(0x10_0fff), 6), Some(phys(0x10_0fc0, 64)));
    assert_eq!(shown(&bus)[0], "7 1\n127 1\n");
    assert_eq!(bus.machine_check(PhysAddr::new(0x12_0000), 6), None, "in no region");
    assert_eq!(bus.machine_check(PhysAddr::new(0x10_0000), 64), None);
    assert_eq!(granule(PhysAddr::new(u64::MAX), 6), None);
    assert_eq!(granule(PhysAddr::new(u64::MAX - 64), 6), Some(phys(u64::MAX - 127, 64)));
}
