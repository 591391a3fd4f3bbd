//! Single facts, worked out by hand: names, messages, signals, and references that pass everything on.

use std::sync::Arc;

use badrange_core::{DevOffset, Errno, PageSize, PhysAddr, Sector};

use super::{dev, phys};
use crate::*;

#[test]
fn names_are_those_of_the_tools() {
    for (kernel, name) in [
        (Kernel::Linux6_1, "linux-6.1"),
        (Kernel::Linux6_12, "linux-6.12"),
        (Kernel::Linux7_2, "linux-7.2"),
    ] {
        assert_eq!((kernel.as_str(), kernel.to_string().as_str()), (name, name));
        assert_eq!(Kernel::from_name(name), Some(kernel));
    }
    assert_eq!(Kernel::from_name("linux"), None);
    for (mode, name) in [(Mode::Fsdax, "fsdax"), (Mode::Devdax, "devdax"), (Mode::Raw, "raw")] {
        assert_eq!((mode.as_str(), mode.to_string().as_str()), (name, name));
        assert_eq!(Mode::from_name(name), Some(mode));
    }
    assert_eq!(Mode::from_name("sector"), None);
    for (align, name, bytes, lsb) in [
        (Align::Size4K, "4K", 4096, 12),
        (Align::Size2M, "2M", 2_097_152, 21),
        (Align::Size1G, "1G", 1_073_741_824, 30),
    ] {
        assert_eq!((align.as_str(), align.to_string().as_str()), (name, name));
        assert_eq!(Align::from_name(name), Some(align));
        assert_eq!((align.bytes(), align.lsb()), (bytes, lsb));
    }
    assert_eq!(Align::from_name("4k"), None);
    let modes = [AccessMode::Access, AccessMode::RecoveryWrite].map(|mode| mode.to_string());
    assert_eq!(modes, ["access", "recovery write"]);
}

#[test]
fn steps_say_what_happened_to_which_bytes() {
    let (range, page) = (dev(0x1000, 0x200), DevOffset::new(0x1000));
    for (step, words) in [
        (AccessStep::MachineCheck(page), "machine check at device byte 0x1000"),
        (
            AccessStep::Cleared(range, Ok(256)),
            "poison cleared: 256 of 512 bytes of device bytes [0x1000..0x1200)",
        ),
        (
            AccessStep::Cleared(range, Err(Errno::ENXIO)),
            "poison of device bytes [0x1000..0x1200) not cleared: ENXIO",
        ),
        (AccessStep::PageRestored(page), "page at device byte 0x1000 restored"),
        (AccessStep::Stored(range), "data stored: device bytes [0x1000..0x1200)"),
        (
            AccessStep::Forgotten(badrange_core::Extent::new(Sector::new(8), 1).unwrap()),
            "badblocks cleared: sectors 8+1",
        ),
    ] {
        assert_eq!(step.to_string(), words);
    }
}

#[test]
fn a_known_bad_page_kills_as_each_kernel_does() {
    // 6.1 sends BUS_ADRERR without a size, later ones BUS_MCEERR_AR with that of a page.
    let signal = |kernel| Sigbus::of_known_bad_page(kernel, 0x7000_1234, PageSize::K4);
    let old = signal(Kernel::Linux6_1);
    assert_eq!((old.code(), old.addr(), old.lsb()), (SigbusCode::Adrerr, 0x7000_1000, 0));
    assert_eq!(old.to_string(), "BUS_ADRERR at 0x70001000, lsb 0");
    for kernel in [Kernel::Linux6_12, Kernel::Linux7_2] {
        let new = signal(kernel);
        assert_eq!((new.code(), new.addr(), new.lsb()), (SigbusCode::MceerrAr, 0x7000_1000, 12));
        assert_eq!(new.to_string(), "BUS_MCEERR_AR at 0x70001000, lsb 12");
    }
    assert_eq!(SigbusCode::MceerrAo.to_string(), "BUS_MCEERR_AO");
}

#[test]
fn a_mapping_knows_its_addresses() {
    let vma = Vma::new(0x7000_0000, 0x2000, DevOffset::new(0x1000)).unwrap();
    assert_eq!(
        (vma.start(), vma.end(), vma.device()),
        (0x7000_0000, 0x7000_2000, dev(0x1000, 0x2000))
    );
    let offset = |addr| vma.offset_of(addr).map(DevOffset::get);
    assert_eq!(offset(0x6fff_ffff), None);
    assert_eq!((offset(0x7000_0000), offset(0x7000_1fff)), (Some(0x1000), Some(0x2fff)));
    assert_eq!(offset(0x7000_2000), None);
    let addr = |at| vma.addr_of(DevOffset::new(at));
    assert_eq!((addr(0xfff), addr(0x1000)), (None, Some(0x7000_0000)));
    assert_eq!((addr(0x2fff), addr(0x3000)), (Some(0x7000_1fff), None));
    assert!(Vma::new(u64::MAX, 2, DevOffset::new(0)).is_none());
    assert!(Vma::new(0, 0, DevOffset::new(0)).is_none());
}

#[test]
fn refused_namespaces_say_why() {
    let whole = phys(0x10_0000, 0x10_0000);
    for (made, kind, why) in [
        (
            Namespace::new(phys(0x200, 0x1000), 0, Mode::Raw),
            NamespaceErrorKind::UnalignedStart,
            "must begin at a multiple of 4096 bytes",
        ),
        (
            Namespace::new(whole, 512, Mode::Fsdax),
            NamespaceErrorKind::UnalignedData,
            "data offset must be a multiple of 4096 bytes",
        ),
        (
            Namespace::new(whole, 0x1000, Mode::Raw),
            NamespaceErrorKind::RawOffset,
            "a raw namespace has no metadata; its data offset must be 0",
        ),
        (
            Namespace::new(whole, 0x10_0000, Mode::Fsdax),
            NamespaceErrorKind::NoData,
            "data offset leaves no sector for data",
        ),
        (
            Namespace::new(whole, 0, Mode::Devdax).and_then(|n| n.with_align(Align::Size2M)),
            NamespaceErrorKind::Misaligned(Align::Size2M),
            "data must begin at a physical address that is a multiple of 2M",
        ),
    ] {
        let err = made.unwrap_err();
        assert_eq!(err.kind(), kind);
        assert!(err.to_string().ends_with(why), "{err}");
        assert!(err.to_string().starts_with("invalid namespace at "), "{err}");
    }
}

#[test]
fn a_namespace_says_what_it_was_made_of() {
    let whole = phys(0x20_0000, 0x10_0100);
    let namespace = Namespace::new(whole, 0x1000, Mode::Fsdax).unwrap();
    assert_eq!(
        (namespace.whole(), namespace.mode(), namespace.align()),
        (whole, Mode::Fsdax, None)
    );
    assert_eq!(namespace.metadata(), Some(phys(0x20_0000, 0x1000)));
    // The last 256 bytes are no sector.
    assert_eq!(namespace.data(), phys(0x20_1000, 0xff000));
    assert_eq!(namespace.capacity(), dev(0, 0xff000));
    let pfn = |n| namespace.offset_of(badrange_core::Pfn::new(n)).map(DevOffset::get);
    assert_eq!([0x200, 0x201, 0x2ff, 0x300].map(pfn), [None, Some(0), Some(0xfe000), None]);
    let raw = Namespace::new(whole, 0, Mode::Raw).unwrap().with_align(Align::Size2M).unwrap();
    assert_eq!((raw.metadata(), raw.align()), (None, Some(Align::Size2M)));
}

#[test]
fn a_reference_to_memory_is_the_memory() {
    // A reference has an implementation of its own, which is what is called here.
    fn through<M: Memory>(memory: M, model: &ModelMemory) {
        assert_eq!((memory.len(), memory.granule()), (0x1000, 256));
        memory.copy_in(DevOffset::new(0x100), b"abc");
        let mut three = [0; 3];
        assert_eq!(memory.copy_out(DevOffset::new(0x100), &mut three), 3);
        assert_eq!(&three, b"abc");
        model.poison(dev(0x200, 1));
        assert_eq!(memory.copy_out(DevOffset::new(0x1ff), &mut three), 1);
        assert_eq!(memory.clear_poison(dev(0x200, 0x100)), 0x100);
        assert!(model.poisoned().is_empty());
        model.poison(dev(0x200, 1));
        assert_eq!(memory.write_and_clear(DevOffset::new(0x200), &[7; 0x100]), 0x100);
        assert!(model.poisoned().is_empty());
        assert_eq!(memory.copy_out(DevOffset::new(0x200), &mut three), 3);
        assert_eq!(three, [7; 3]);
    }
    let memory = Arc::new(ModelMemory::new(0x1000, 256));
    through(&*memory, &memory);
}

#[test]
fn a_model_takes_a_granule_that_hardware_could_have() {
    for (asked, granule) in [(0, 1), (1, 1), (3, 4), (256, 256), (5000, 4096)] {
        assert_eq!(ModelMemory::new(64, asked).granule(), granule);
    }
    let memory = ModelMemory::new(0x1000, 64);
    memory.poison(dev(0x40, 1));
    memory.poison(dev(0x80, 0x41));
    memory.poison(dev(0x200, 1));
    assert_eq!(memory.poisoned(), [dev(0x40, 0xc0), dev(0x200, 0x40)]);
    // A limit is for one operation, and whole granules are cleared.
    memory.fail_after(0x7f);
    assert_eq!(memory.clear_poison(dev(0x40, 0xc0)), 0x40);
    assert_eq!(memory.poisoned(), [dev(0x80, 0x80), dev(0x200, 0x40)]);
    assert_eq!(memory.clear_poison(dev(0x80, 0x80)), 0x80);
    // A limit that the operation does not exceed is none: all of it is done.
    memory.fail_after(0x41);
    assert_eq!(memory.clear_poison(dev(0x200, 0x41)), 0x41);
    assert!(memory.poisoned().is_empty());
    // What was poisoned is gone: cleared, it reads as zeros.
    memory.copy_in(DevOffset::new(0x40), b"abc");
    memory.poison(dev(0x41, 1));
    assert_eq!(memory.clear_poison(dev(0x40, 0x40)), 0x40);
    let mut three = [1; 3];
    assert_eq!((memory.copy_out(DevOffset::new(0x40), &mut three), three), (3, [0; 3]));
}

#[test]
fn a_device_has_its_namespace_and_its_list() {
    let namespace = Namespace::new(phys(0, 0x10000), 0, Mode::Raw).unwrap();
    let device = PmemDevice::new(namespace);
    assert_eq!(device.namespace(), namespace);
    assert_eq!(device.badblocks().records().count(), 0);
    let badblocks = Badblocks::new();
    let _ = badblocks.set(dev(512, 1024));
    let device = PmemDevice::with_badblocks(namespace, badblocks);
    assert_eq!(device.badblocks().to_string(), "1 2");
}

#[test]
fn a_unit_that_is_not_mapped_whole_is_nobodys() {
    let namespace = Namespace::new(phys(1 << 30, 64 << 20), 0, Mode::Devdax).unwrap();
    let dax = DevDax::new(namespace.with_align(Align::Size2M).unwrap()).unwrap();
    let vma = Vma::new(0x7f00_0000_0000, 3 << 20, DevOffset::new(0)).unwrap();
    let unit = |at| dax.blast_radius(vma, DevOffset::new(at)).map(|blast| blast.unit());
    assert_eq!(unit((2 << 20) - 1), Some(dev(0, 2 << 20)));
    assert_eq!(unit(2 << 20), None, "its second half is not mapped");
    assert_eq!(unit(3 << 20), None);
    let late = Vma::new(0x7f00_0010_0000, 3 << 20, DevOffset::new(1 << 20)).unwrap();
    assert_eq!(dax.blast_radius(late, DevOffset::new(1 << 20)), None, "its first half is not");
}

#[test]
fn a_repair_covers_a_unit_that_is_a_granule_at_least() {
    let unit = |granule, unit| {
        RangedPmem::new(ModelMemory::new(16_384, granule), Repair::ClearThenWrite { unit }).unit()
    };
    assert_eq!([unit(64, 256), unit(256, 256), unit(512, 256)], [256, 256, 512]);
}

#[test]
fn clearing_no_sectors_is_no_success_since_the_table_was_rewritten() {
    for kernel in [Kernel::Linux6_12, Kernel::Linux7_2] {
        let mut table = BadblocksTable::new(kernel);
        assert!(table.set(Sector::new(8), 8, true));
        for at in [0, 8, 12, 16] {
            assert!(!table.clear(Sector::new(at), 0), "{kernel}, sector {at}");
        }
        assert_eq!(table.show(), "8 8\n");
    }
}

/// Start, length and whether it is acknowledged.
fn records(table: &BadblocksTable) -> Vec<(u64, u64, bool)> {
    table.records().map(|r| (r.start().get(), r.len(), r.is_acknowledged())).collect()
}

#[test]
fn a_longest_record_of_6_1_keeps_its_state_where_one_begins_with_it() {
    // It cannot grow, so that it is not written anew; the rest is a record of its own.
    let mut table = BadblocksTable::new(Kernel::Linux6_1);
    assert!(table.set(Sector::new(100), 512, false));
    assert!(table.set(Sector::new(100), 600, true));
    assert_eq!(records(&table), [(100, 512, false), (612, 88, true)]);
}

#[test]
fn a_record_of_6_1_is_acknowledged_by_what_covers_all_of_it() {
    let after = |start, len| {
        let mut table = BadblocksTable::new(Kernel::Linux6_1);
        assert!(table.set(Sector::new(100), 10, false));
        assert!(table.set(Sector::new(start), len, true));
        records(&table)
    };
    assert_eq!(after(100, 9), [(100, 10, false)], "its last sector is left");
    assert_eq!(after(100, 10), [(100, 10, true)]);
    assert_eq!(after(100, 11), [(100, 11, true)]);
    assert_eq!(after(101, 9), [(100, 10, false)], "its first sector is left");
    assert_eq!(after(105, 10), [(100, 15, false)]);
    assert_eq!(after(110, 5), [(100, 15, false)], "it only touches");
    assert_eq!(after(111, 5), [(100, 10, false), (111, 5, true)]);
    // From in front of it.
    assert_eq!(after(90, 9), [(90, 9, true), (100, 10, false)]);
    assert_eq!(after(90, 10), [(90, 20, false)]);
    assert_eq!(after(90, 19), [(90, 20, false)]);
    assert_eq!(after(90, 20), [(90, 20, true)]);
    assert_eq!(after(90, 21), [(90, 21, true)]);
}

#[test]
fn two_records_of_6_1_that_are_joined_are_acknowledged_if_both_were() {
    let joined = |first, second| {
        let mut table = BadblocksTable::new(Kernel::Linux6_1);
        assert!(table.set(Sector::new(100), 10, first));
        assert!(table.set(Sector::new(112), 10, second));
        assert!(table.set(Sector::new(110), 2, true));
        records(&table)
    };
    for (first, second) in [(true, true), (true, false), (false, true), (false, false)] {
        assert_eq!(joined(first, second), [(100, 22, first && second)], "{first} {second}");
    }
}

#[test]
fn one_record_that_is_not_acknowledged_is_enough_for_a_check() {
    for (first, second, code) in
        [(true, true, 1), (true, false, -1), (false, true, -1), (false, false, -1)]
    {
        for kernel in Kernel::ALL {
            let mut table = BadblocksTable::new(kernel);
            assert!(table.set(Sector::new(100), 10, first));
            assert!(table.set(Sector::new(120), 10, second));
            assert_eq!(table.check(Sector::new(105), 20).code(), code, "{kernel}");
            assert_eq!(table.check(Sector::new(110), 10).code(), 0, "{kernel}");
        }
    }
}

#[test]
fn errors_of_an_access_say_what_could_not_be_done() {
    let memory = ModelMemory::new(4096, 64);
    memory.poison(dev(0, 4096));
    let pmem = RangedPmem::new(&memory, Repair::WriteAndClear);
    let _ = pmem.report(dev(0, 4096));
    let message = |at, len| pmem.write(DevOffset::new(at), &vec![7; len]).unwrap_err().to_string();
    assert_eq!(
        message(4000, 128),
        "cannot access device bytes [0xfa0..0x1020): it is not on the device"
    );
    assert_eq!(
        message(10, 118),
        "cannot write device bytes [0xa..0x80): there are holes in units that it covers only in part"
    );
    memory.fail_after(64);
    assert_eq!(
        message(0, 128),
        "cannot write device bytes [0x0..0x80): poison was not cleared after 64 bytes"
    );
    assert_eq!(
        pmem.read(dev(0, 8), &mut [0; 7]).unwrap_err().to_string(),
        "cannot access device bytes [0x0..0x8): the buffer has another length"
    );
    let vast = Repair::ClearThenWrite { unit: u64::MAX };
    assert_eq!(RangedPmem::new(ModelMemory::new(4096, 64), vast).unit(), 1 << 63);
}

#[test]
fn a_machine_check_names_a_granule() {
    let granule = |addr, lsb| machine_check_granule(PhysAddr::new(addr), lsb);
    assert_eq!(granule(0x1234, 6), Some(phys(0x1200, 64)));
    assert_eq!(granule(0x1240, 6), Some(phys(0x1240, 64)));
    assert_eq!(granule(0x1fff, 12), Some(phys(0x1000, 4096)));
    assert_eq!(granule(u64::MAX, 12), None, "it does not end within 64 bits");
}

#[test]
fn marked_pages_are_told_by_their_first_bytes() {
    let whole = phys(1 << 32, 1 << 20);
    let bus = Bus::new(Kernel::Linux7_2, Provider::Plain);
    let namespace = Namespace::new(whole, 0, Mode::Fsdax).unwrap();
    let mut pmem = LinuxPmem::new(namespace, ModelMemory::new(1 << 20, 256), &bus);
    pmem.mark_page(DevOffset::new(8191));
    pmem.mark_page(DevOffset::new(4096));
    pmem.mark_page(DevOffset::new(3));
    assert_eq!(pmem.marked_pages().collect::<Vec<_>>(), [0, 4096].map(DevOffset::new));
}
