#![expect(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "small numbers, and a panic is a failed test"
)]

use proptest::prelude::*;

use super::*;
use crate::{Mode, ModelMemory, Provider};
use AccessMode::{Access, RecoveryWrite};

const BASE: u64 = 0x1_0000_0000;
const PAGE: u64 = 4096;
const ACPI: Provider = Provider::Acpi { clear_unit: 256 };

fn phys(start: u64, len: u64) -> Extent<PhysAddr> {
    Extent::new(PhysAddr::new(start), len).unwrap()
}

fn dev(start: u64, len: u64) -> Extent {
    Extent::new(DevOffset::new(start), len).unwrap()
}

/// A device of 16 pages of 4 KiB, after one of metadata, in its region; `bad` is poisoned and known.
fn machine(
    kernel: Kernel,
    provider: Provider,
    bad: &[(u64, u64)],
) -> (Bus, LinuxPmem<ModelMemory>) {
    machine_with(PageSize::K4, 16 * PAGE, kernel, provider, bad)
}

/// The same of `len` bytes, with pages of any size.
fn machine_with(
    page: PageSize,
    len: u64,
    kernel: Kernel,
    provider: Provider,
    bad: &[(u64, u64)],
) -> (Bus, LinuxPmem<ModelMemory>) {
    let mut bus = Bus::new(kernel, provider);
    let whole = phys(BASE, page.bytes() + len);
    bus.add_region(whole);
    let memory = ModelMemory::new(len as usize, 256);
    memory.copy_in(DevOffset::new(0), &vec![0xaa; len as usize]);
    for (start, len) in bad {
        bus.add_bad(phys(BASE + page.bytes() + start, *len));
        memory.poison(dev(*start, *len));
    }
    let namespace = Namespace::new(whole, page.bytes(), Mode::Fsdax).unwrap();
    let pmem = LinuxPmem::new(namespace.with_page_size(page).unwrap(), memory, &bus);
    (bus, pmem)
}

fn read(
    bus: &mut Bus,
    pmem: &mut LinuxPmem<ModelMemory>,
    at: u64,
    len: usize,
) -> Result<u64, Errno> {
    let mut buf = vec![0; len];
    pmem.read(bus, dev(at, len as u64), &mut buf).result()
}

#[test]
fn access_is_granted_as_the_table_says() {
    for kernel in Kernel::ALL {
        let denied = if kernel == Kernel::Linux6_1 { Errno::EIO } else { Errno::EHWPOISON };
        let (_, clean) = machine(kernel, ACPI, &[]);
        for mode in [Access, RecoveryWrite] {
            assert_eq!(clean.direct_access(3, 5, mode), Ok(5));
            assert_eq!(clean.direct_access(3, 500, mode), Ok(13), "to the end of the device");
            assert_eq!(clean.direct_access(3, 0, mode), Err(Errno::ERANGE));
            assert_eq!(clean.direct_access(16, 1, mode), Err(Errno::ENXIO));
        }
        // Sectors 40 (first of page 5) and 75 (in the middle of page 9).
        let (_, pmem) = machine(kernel, ACPI, &[(40 * 512, 512), (75 * 512, 512)]);
        for (page, pages, access, recovery) in [
            (0, 5, Ok(5), Ok(5)),       // none in the range
            (0, 6, Err(denied), Ok(5)), // the clean pages before
            (5, 2, Err(denied), Ok(1)), // the first page
            (6, 4, Err(denied), Ok(4)), // with the bad one, if it is hit in the middle
            (6, 10, Err(denied), Ok(4)),
            (9, 1, Err(denied), Ok(1)),
            (10, 6, Ok(6), Ok(6)),
        ] {
            assert_eq!(pmem.direct_access(page, pages, Access), access, "{kernel} {page}+{pages}");
            assert_eq!(pmem.direct_access(page, pages, RecoveryWrite), recovery);
        }
    }
}

#[test]
fn a_record_that_begins_before_the_range_wraps() {
    // One record of pages 2 to 4: asked from page 3 on, it begins 8 sectors before.
    let (_, pmem) = machine(Kernel::Linux7_2, ACPI, &[(2 * PAGE, 3 * PAGE)]);
    assert_eq!(pmem.direct_access(3, 10, RecoveryWrite), Ok(10));
    assert_eq!(pmem.direct_access(2, 10, RecoveryWrite), Ok(1));
    // From the middle of page 2 on: four sectors before, rounded up to nothing.
    let (_, pmem) = machine(Kernel::Linux7_2, ACPI, &[(2 * PAGE + 2048, PAGE)]);
    assert_eq!(pmem.direct_access(3, 10, RecoveryWrite), Ok(1));
}

#[test]
fn a_write_goes_over_poison_run_by_run() {
    // Poison at the start of page 2: the clean pages first, then the bad page by itself.
    let (mut bus, mut pmem) = machine(Kernel::Linux6_12, ACPI, &[(2 * PAGE, 512)]);
    pmem.mark_page(DevOffset::new(2 * PAGE + 700));
    let done = pmem.write(&mut bus, DevOffset::new(0), &[7; 5 * 4096]);
    assert_eq!(done.result(), Ok(5 * PAGE));
    let page = dev(2 * PAGE, PAGE);
    let sectors = Extent::new(Sector::new(16), 8).unwrap();
    assert_eq!(
        done.steps(),
        [
            AccessStep::Stored(dev(0, 2 * PAGE)),
            AccessStep::Cleared(page, Ok(PAGE)),
            AccessStep::PageRestored(DevOffset::new(2 * PAGE)),
            AccessStep::Stored(page),
            AccessStep::Forgotten(sectors),
            AccessStep::Stored(dev(3 * PAGE, 2 * PAGE)),
        ]
    );
    assert!(pmem.badblocks().is_empty() && bus.regions()[0].badblocks().is_empty());
    assert_eq!((bus.badrange().entries(), pmem.marked_pages().count()), (&[][..], 0));
    // In the middle of page 2: the clean pages are cleared and written with it.
    let (mut bus, mut pmem) = machine(Kernel::Linux6_12, ACPI, &[(2 * PAGE + 512, 512)]);
    let done = pmem.write(&mut bus, DevOffset::new(0), &[7; 5 * 4096]);
    assert_eq!(done.steps()[0], AccessStep::Cleared(dev(0, 3 * PAGE), Ok(3 * PAGE)));
    assert_eq!(done.result(), Ok(5 * PAGE));
}

#[test]
fn a_write_that_does_not_cover_the_page_fails() {
    let known = [(2 * PAGE, 512)];
    for (at, len, result) in [
        (2 * PAGE, 512, Err(Errno::EFAULT)),
        (2 * PAGE + 512, 3584, Err(Errno::EFAULT)),
        // The clean pages are a run of their own and are written before: a short count.
        (0, 2 * PAGE + 512, Ok(2 * PAGE)),
        // So their own beginning does not matter.
        (PAGE + 512, 2 * PAGE - 512, Ok(2 * PAGE - 512)),
        (2 * PAGE, PAGE, Ok(PAGE)),
        (2 * PAGE, 2 * PAGE, Ok(2 * PAGE)),
    ] {
        let (mut bus, mut pmem) = machine(Kernel::Linux6_12, ACPI, &known);
        let data = vec![7; usize::try_from(len).unwrap()];
        assert_eq!(pmem.write(&mut bus, DevOffset::new(at), &data).result(), result, "{at}+{len}");
        let repaired = result == Ok(len);
        assert_eq!(pmem.badblocks().is_empty(), repaired);
        assert_eq!(pmem.memory().poisoned().is_empty(), repaired);
    }
    // Hit in the middle, the run takes the bad page in and is as unaligned as the write.
    let (mut bus, mut pmem) = machine(Kernel::Linux6_12, ACPI, &[(2 * PAGE + 512, 512)]);
    let done = pmem.write(&mut bus, DevOffset::new(0), &[7; 2 * 4096 + 1024]);
    assert_eq!(done.result(), Err(Errno::EFAULT));
    assert_eq!(done.steps(), [], "nothing was done");
}

#[test]
fn a_read_fails_as_a_whole_where_poison_is_known() {
    for kernel in Kernel::ALL {
        let (mut bus, mut pmem) = machine(kernel, ACPI, &[(2 * PAGE, 512)]);
        assert_eq!(read(&mut bus, &mut pmem, 0, 3 * 4096), Err(Errno::EIO));
        assert_eq!(
            read(&mut bus, &mut pmem, 2 * PAGE + 512, 512),
            Err(Errno::EIO),
            "the same page"
        );
        assert_eq!(read(&mut bus, &mut pmem, 0, 2 * 4096), Ok(2 * PAGE));
        assert_eq!(read(&mut bus, &mut pmem, 3 * PAGE, 13 * 4096), Ok(13 * PAGE));
        assert_eq!(read(&mut bus, &mut pmem, 3 * PAGE, 14 * 4096), Err(Errno::ENXIO));
    }
}

#[test]
fn a_read_stops_at_poison_that_is_not_known_and_the_next_one_knows() {
    let (mut bus, mut pmem) = machine(Kernel::Linux6_12, ACPI, &[]);
    pmem.memory().poison(dev(2 * PAGE + 256, 256));
    let mut buf = vec![0; 3 * 4096];
    let first = pmem.read(&mut bus, dev(PAGE, 3 * PAGE), &mut buf);
    assert_eq!(first.result(), Ok(PAGE + 256));
    assert_eq!(first.steps(), [AccessStep::MachineCheck(DevOffset::new(2 * PAGE + 256))]);
    assert_eq!(pmem.badblocks().show(), "16 8\n", "a page, as machine checks report");
    assert_eq!(read(&mut bus, &mut pmem, PAGE, 3 * 4096), Err(Errno::EIO));
    // From the bad byte on, nothing can be copied.
    let (mut bus, pmem) = machine(Kernel::Linux6_12, ACPI, &[]);
    let mut pmem = pmem.with_machine_check_lsb(8);
    pmem.memory().poison(dev(2 * PAGE + 256, 256));
    assert_eq!(read(&mut bus, &mut pmem, 2 * PAGE + 300, 10), Err(Errno::EFAULT));
    assert_eq!(pmem.badblocks().show(), "16 1\n");
    // Nobody hears of machine checks on other providers.
    let (mut bus, mut pmem) = machine(Kernel::Linux6_12, Provider::Plain, &[]);
    pmem.memory().poison(dev(0, 1));
    for _ in 0..2 {
        assert_eq!(read(&mut bus, &mut pmem, 0, 10), Err(Errno::EFAULT));
    }
}

#[test]
fn a_partial_clear_leaves_the_table_as_it_was() {
    let (mut bus, mut pmem) = machine(Kernel::Linux7_2, ACPI, &[(2 * PAGE, 2 * PAGE)]);
    for page in [2, 3] {
        pmem.mark_page(DevOffset::new(page * PAGE));
    }
    pmem.memory().fail_after(PAGE);
    let done = pmem.recovery_write(&mut bus, DevOffset::new(2 * PAGE), &[7; 2 * 4096]);
    assert_eq!(done.result(), Ok(0));
    let cleared = AccessStep::Cleared(dev(2 * PAGE, 2 * PAGE), Ok(PAGE));
    assert_eq!(done.steps(), [cleared, AccessStep::PageRestored(DevOffset::new(2 * PAGE))]);
    assert_eq!(pmem.badblocks().show(), "16 16\n");
    assert_eq!(bus.badrange().entries(), [phys(BASE + 4 * PAGE, PAGE)]);
    assert_eq!(bus.regions()[0].badblocks().show(), "32 8\n");
    // The same through write(2), then once more.
    let again = pmem.write(&mut bus, DevOffset::new(2 * PAGE), &[7; 2 * 4096]);
    assert_eq!(again.result(), Ok(2 * PAGE));
    assert!(pmem.badblocks().is_empty() && pmem.memory().poisoned().is_empty());
}

#[test]
fn what_cannot_be_cleared_cannot_be_written() {
    for (provider, error) in
        [(Provider::Cxl, Errno::ENOTTY), (Provider::Acpi { clear_unit: 8192 }, Errno::ENXIO)]
    {
        let (mut bus, mut pmem) = machine(Kernel::Linux7_2, provider, &[(2 * PAGE, 512)]);
        let done = pmem.write(&mut bus, DevOffset::new(2 * PAGE), &[7; 4096]);
        assert_eq!(done.result(), Err(Errno::EFAULT));
        assert_eq!(done.steps(), [AccessStep::Cleared(dev(2 * PAGE, PAGE), Err(error))]);
        let block = pmem.bio_write(&mut bus, DevOffset::new(2 * PAGE), &[7; 4096]);
        assert_eq!(block.result(), Err(Errno::EIO));
    }
    // A provider without commands pretends: the table forgets, the memory does not.
    let (mut bus, mut pmem) = machine(Kernel::Linux7_2, Provider::Plain, &[(2 * PAGE, 512)]);
    assert_eq!(pmem.write(&mut bus, DevOffset::new(2 * PAGE), &[7; 4096]).result(), Ok(PAGE));
    assert!(pmem.badblocks().is_empty());
    assert_eq!(read(&mut bus, &mut pmem, 2 * PAGE, 4096), Err(Errno::EFAULT));
}

#[test]
fn the_block_layer_works_by_the_page() {
    let (mut bus, mut pmem) = machine(Kernel::Linux6_12, ACPI, &[(2 * PAGE + 512, 512)]);
    let mut buf = vec![0; 3 * 4096];
    assert_eq!(pmem.bio_read(&mut bus, dev(0, 3 * PAGE), &mut buf).result(), Err(Errno::EIO));
    let sector = &mut buf[..512];
    assert_eq!(pmem.bio_read(&mut bus, dev(2 * PAGE, 512), sector).result(), Ok(512));
    assert_eq!(
        pmem.bio_read(&mut bus, dev(2 * PAGE, 511), &mut buf[..511]).result(),
        Err(Errno::EINVAL)
    );
    // A write of the sector clears it: no page rule here.
    let done = pmem.bio_write(&mut bus, DevOffset::new(2 * PAGE + 512), &[7; 512]);
    assert_eq!(done.result(), Ok(512));
    assert!(pmem.badblocks().is_empty());
    assert_eq!(read(&mut bus, &mut pmem, 0, 4 * 4096), Ok(4 * PAGE));
    // A partial clear: the table forgets the part, the write fails.
    let (mut bus, mut pmem) = machine(Kernel::Linux6_12, ACPI, &[(2 * PAGE, PAGE)]);
    pmem.memory().fail_after(1024);
    let done = pmem.bio_write(&mut bus, DevOffset::new(2 * PAGE), &[7; 4096]);
    assert_eq!(done.result(), Err(Errno::EIO));
    assert_eq!(pmem.badblocks().show(), "18 6\n");
    // Poison that nobody knew: the read fails, and it is known.
    let (mut bus, mut pmem) = machine(Kernel::Linux6_12, ACPI, &[]);
    pmem.memory().poison(dev(0, 1));
    assert_eq!(pmem.bio_read(&mut bus, dev(0, 512), &mut buf[..512]).result(), Err(Errno::EIO));
    assert_eq!(pmem.badblocks().show(), "0 8\n");
}

#[test]
fn zeroing_a_page_clears_and_zeroing_a_part_does_not() {
    for kernel in Kernel::ALL {
        let (mut bus, mut pmem) = machine(kernel, ACPI, &[(2 * PAGE + 512, 512)]);
        assert_eq!(pmem.zero(&mut bus, dev(2 * PAGE, 512)).result(), Err(Errno::EIO), "{kernel}");
        assert_eq!(pmem.zero(&mut bus, dev(3 * PAGE + 1, 7)).result(), Ok(7));
        assert_eq!(pmem.zero(&mut bus, dev(2 * PAGE - 1, 2)).result(), Err(Errno::EINVAL));
        assert_eq!(pmem.zero(&mut bus, dev(2 * PAGE, PAGE)).result(), Ok(PAGE));
        assert!(pmem.badblocks().is_empty());
        let mut buf = vec![1; 4096];
        assert_eq!(pmem.read(&mut bus, dev(2 * PAGE, PAGE), &mut buf).result(), Ok(PAGE));
        assert_eq!(buf, [0; 4096]);
    }
}

/// Pages of 64 KiB: 128 sectors, and 1 MiB is 16 of them.
const LONG: u64 = 65536;

fn long_pages(bad: &[(u64, u64)]) -> (Bus, LinuxPmem<ModelMemory>) {
    machine_with(PageSize::K64, 16 * LONG, Kernel::Linux7_2, ACPI, bad)
}

#[test]
fn access_is_granted_in_pages_of_the_host() {
    // The table above, in pages of 64 KiB: page 5 at its first sector, page 9 in the middle.
    let (_, pmem) = long_pages(&[(5 * LONG, 512), (9 * LONG + 0x9000, 512)]);
    for (page, pages, access, recovery) in [
        (0, 5, Ok(5), Ok(5)),
        (0, 6, Err(Errno::EHWPOISON), Ok(5)),
        (5, 2, Err(Errno::EHWPOISON), Ok(1)),
        (6, 10, Err(Errno::EHWPOISON), Ok(4)),
        (10, 60, Ok(6), Ok(6)),
        (16, 1, Err(Errno::ENXIO), Err(Errno::ENXIO)),
    ] {
        assert_eq!(pmem.direct_access(page, pages, Access), access, "{page}+{pages}");
        assert_eq!(pmem.direct_access(page, pages, RecoveryWrite), recovery);
    }
    // The distance wraps up to 127 sectors before, and is more than all from 128 on.
    let pages = |bad| recovery_pages(Sector::new(1280), Sector::new(bad), 10, PageSize::K64);
    assert_eq!([1280, 1281, 1408, 1409].map(pages), [1, 1, 1, 2]);
    assert_eq!([1279, 1153, 1152, 0].map(pages), [1, 1, 10, 10]);
}

#[test]
fn a_page_of_the_host_is_cleared_whole() {
    let (mut bus, mut pmem) = long_pages(&[(2 * LONG, 512)]);
    pmem.mark_page(DevOffset::new(2 * LONG + 0x8123));
    assert_eq!(pmem.marked_pages().collect::<Vec<_>>(), [DevOffset::new(2 * LONG)]);
    // Whole pages of 4 KiB are not enough, neither is one page at another place.
    for (at, len) in [(2 * LONG, 0x1000), (2 * LONG, 0xf000), (2 * LONG + 0x8000, 0x1_0000)] {
        let done = pmem.write(&mut bus, DevOffset::new(at), &vec![7; len]);
        assert_eq!((done.result(), done.steps()), (Err(Errno::EFAULT), &[][..]), "{at:#x}");
    }
    let done = pmem.write(&mut bus, DevOffset::new(2 * LONG - 0x1000), &vec![7; 0x1_1000]);
    assert_eq!(done.result(), Ok(0x1_1000));
    let page = dev(2 * LONG, LONG);
    let forgotten = Extent::new(Sector::new(256), 128).unwrap();
    assert_eq!(
        done.steps(),
        [
            AccessStep::Stored(dev(2 * LONG - 0x1000, 0x1000)),
            AccessStep::Cleared(page, Ok(LONG)),
            AccessStep::PageRestored(DevOffset::new(2 * LONG)),
            AccessStep::Stored(page),
            AccessStep::Forgotten(forgotten),
        ]
    );
    assert!(pmem.badblocks().is_empty() && pmem.memory().poisoned().is_empty());
    assert_eq!(pmem.marked_pages().count(), 0);
    // Half a page cleared restores none, and the write does nothing.
    let (mut bus, mut pmem) = long_pages(&[(2 * LONG, LONG)]);
    pmem.mark_page(DevOffset::new(2 * LONG));
    pmem.memory().fail_after(0x8000);
    let done = pmem.recovery_write(&mut bus, DevOffset::new(2 * LONG), &vec![7; 0x1_0000]);
    assert_eq!(
        (done.result(), done.steps()),
        (Ok(0), &[AccessStep::Cleared(page, Ok(0x8000))][..])
    );
    assert_eq!(pmem.marked_pages().count(), 1);
}

#[test]
fn a_page_of_the_host_is_zeroed_and_reported_whole() {
    let (mut bus, mut pmem) = long_pages(&[(2 * LONG + 0x5000, 512)]);
    assert_eq!(pmem.zero(&mut bus, dev(2 * LONG, 0x1000)).result(), Err(Errno::EIO), "a part");
    assert_eq!(pmem.zero(&mut bus, dev(3 * LONG - 1, 2)).result(), Err(Errno::EINVAL));
    assert_eq!(pmem.zero(&mut bus, dev(3 * LONG + 1, 0x9001)).result(), Ok(0x9001));
    let done = pmem.zero(&mut bus, dev(2 * LONG, LONG));
    assert_eq!(done.result(), Ok(LONG));
    assert_eq!(done.steps().last(), Some(&AccessStep::Stored(dev(2 * LONG, LONG))));
    let mut buf = vec![1; 2 * LONG as usize];
    assert_eq!(pmem.read(&mut bus, dev(2 * LONG, 2 * LONG), &mut buf).result(), Ok(2 * LONG));
    let zeros = buf.iter().filter(|byte| **byte == 0).count() as u64;
    assert_eq!(
        (zeros, buf[LONG as usize], buf[LONG as usize + 0x9002]),
        (LONG + 0x9001, 0xaa, 0xaa)
    );
    // A machine check names the page.
    pmem.memory().poison(dev(9 * LONG + 0x2100, 1));
    assert_eq!(read(&mut bus, &mut pmem, 9 * LONG + 0x2000, 0x200), Ok(0x100));
    assert_eq!(pmem.badblocks().show(), "1152 128\n");
    // The block layer works by it, too: of a request over two pages the first is read.
    assert_eq!(
        pmem.bio_read(&mut bus, dev(8 * LONG, 2 * LONG), &mut buf).result(),
        Err(Errno::EIO)
    );
    assert!(buf[..LONG as usize].iter().all(|byte| *byte == 0xaa));
    assert!(buf[LONG as usize..].iter().all(|byte| *byte != 0xdb));
}

#[test]
fn a_device_that_ends_within_a_page_has_no_part_of_it() {
    // Two pages and a half: what is no whole page is not granted, and cannot be recovered.
    let (mut bus, mut pmem) =
        machine_with(PageSize::K16, 40960, Kernel::Linux7_2, ACPI, &[(0x8000, 512)]);
    assert_eq!(pmem.direct_access(1, 2, Access), Ok(1));
    assert_eq!(pmem.direct_access(2, 1, RecoveryWrite), Err(Errno::ENXIO));
    let end = DevOffset::new(0x8000);
    assert_eq!(pmem.write(&mut bus, end, &[7; 0x2000]).result(), Err(Errno::ENXIO));
    assert_eq!(pmem.recovery_write(&mut bus, end, &[7; 0x2000]).result(), Ok(0));
    // The block layer has no such rule.
    assert_eq!(pmem.bio_write(&mut bus, end, &[7; 0x2000]).result(), Ok(0x2000));
    assert!(pmem.badblocks().is_empty());
}

#[derive(Debug, Clone, Copy)]
enum Op {
    Poison(u64, u64),
    Scrub,
    Read(u64, u64),
    Write(u64, u64),
    Bio(u64, u64),
    Zero(u64),
    Limit(u64),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    // Mostly whole pages and sectors, sometimes anything.
    let at = || {
        (0..16_u64, 0..8_u64, prop_oneof![3 => Just(0_u64), 1 => 0..512_u64])
            .prop_map(|(page, sector, byte)| page * PAGE + sector * 512 + byte)
    };
    let page = || (0..16_u64, 1..5_u64).prop_map(|(page, pages)| (page * PAGE, pages * PAGE));
    let bytes = move || prop_oneof![page(), (at(), 1..9000_u64)];
    let sectors = (0..128_u64, 1..20_u64).prop_map(|(s, n)| (s * 512, n * 512));
    let op = prop_oneof![
        2 => (at(), 1..600_u64).prop_map(|(at, len)| Op::Poison(at, len)),
        1 => Just(Op::Scrub),
        4 => bytes().prop_map(|(at, len)| Op::Read(at, len)),
        4 => bytes().prop_map(|(at, len)| Op::Write(at, len)),
        1 => sectors.prop_map(|(at, len)| Op::Bio(at, len)),
        1 => (0..16_u64).prop_map(|page| Op::Zero(page * PAGE)),
        1 => (0..3 * PAGE).prop_map(Op::Limit),
    ];
    prop::collection::vec(op, 1..40)
}

/// What is true of every byte, whatever the driver believes.
struct Truth {
    /// `None`: lost.
    bytes: Vec<Option<u8>>,
}

impl Truth {
    fn lose(&mut self, range: Extent) {
        let (from, to) = (range.start().get() as usize, range.end().get() as usize);
        let end = to.min(self.bytes.len());
        self.bytes[from.min(end)..end].fill(None);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 2 } else { 128 }, ..ProptestConfig::default() })]

    /// Whatever happens in whatever order: what a read gives out is what was written last; and the
    /// list of the bus knows all poison that was found and not cleared.
    #[test]
    fn no_byte_is_given_out_that_is_not_good(
        ops in ops(), kernel in prop::sample::select(&Kernel::ALL[..]),
        page in prop::sample::select(&[PageSize::K4, PageSize::K4, PageSize::K16][..]),
    ) {
        let (mut bus, mut pmem) = machine_with(page, 16 * PAGE, kernel, ACPI, &[]);
        let data = BASE + page.bytes();
        let mut truth = Truth { bytes: vec![Some(0xaa); 16 * 4096] };
        let mut value = 0_u8;
        for op in ops {
            value = value.wrapping_add(1);
            let room = |at: u64, len: u64| len.min(16 * PAGE - at) as usize;
            match op {
                Op::Poison(at, len) => {
                    let bad = dev(at, room(at, len) as u64);
                    pmem.memory().poison(bad);
                    let granules = dev(at / 256 * 256, bad.end().get().next_multiple_of(256) - at / 256 * 256);
                    truth.lose(granules);
                }
                Op::Scrub => {
                    for bad in pmem.memory().poisoned() {
                        bus.add_bad(phys(data + bad.start().get(), bad.len()));
                    }
                    pmem.revalidate(&bus);
                }
                Op::Read(at, len) => {
                    let mut buf = vec![0; room(at, len)];
                    let done = pmem.read(&mut bus, dev(at, buf.len() as u64), &mut buf).result();
                    for (i, byte) in buf[..done.unwrap_or(0) as usize].iter().enumerate() {
                        // What was lost and cleared reads as zeros until somebody writes.
                        prop_assert!(truth.bytes[at as usize + i].is_none_or(|t| t == *byte));
                        prop_assert!(truth.bytes[at as usize + i].is_some() || *byte == 0);
                    }
                }
                Op::Write(at, len) => {
                    let data = vec![value; room(at, len)];
                    let before = pmem.memory().poisoned();
                    let done = pmem.write(&mut bus, DevOffset::new(at), &data).result();
                    for i in 0..done.unwrap_or(0) as usize {
                        truth.bytes[at as usize + i] = Some(value);
                    }
                    // A store to a granule that stays poisoned is lost with it.
                    for bad in pmem.memory().poisoned() {
                        truth.lose(bad);
                    }
                    // Clearing may cost what was there before: only inside of what was poisoned.
                    let after = pmem.memory().poisoned();
                    prop_assert!(after.iter().all(|a| before.iter().any(|b| b.contains_extent(*a))));
                }
                Op::Bio(at, len) => {
                    let data = vec![value; room(at, len)];
                    let done = pmem.bio_write(&mut bus, DevOffset::new(at), &data);
                    for step in done.steps() {
                        if let AccessStep::Stored(range) = step {
                            for byte in range.start().get()..range.end().get() {
                                truth.bytes[byte as usize] = Some(value);
                            }
                        }
                    }
                    for bad in pmem.memory().poisoned() {
                        truth.lose(bad);
                    }
                }
                Op::Zero(at) => {
                    let done = pmem.zero(&mut bus, dev(at, PAGE)).result();
                    if done.is_ok() {
                        truth.bytes[at as usize..(at + PAGE) as usize].fill(Some(0));
                    }
                    for bad in pmem.memory().poisoned() {
                        truth.lose(bad);
                    }
                }
                Op::Limit(bytes) => pmem.memory().fail_after(bytes),
            }
        }
        // Scrubbing once more makes every table know all poison.
        for bad in pmem.memory().poisoned() {
            bus.add_bad(phys(data + bad.start().get(), bad.len()));
        }
        pmem.revalidate(&bus);
        for bad in pmem.memory().poisoned() {
            prop_assert!(pmem.is_bad(bad));
        }
    }
}
