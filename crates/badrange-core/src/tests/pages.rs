//! Pages and other units, of every size.

use super::*;

const SIZES: [PageSize; 3] = [PageSize::K4, PageSize::K16, PageSize::K64];

fn sizes() -> impl Strategy<Value = PageSize> {
    let small = [512, 1024, 2048].map(|bytes| PageSize::new(bytes).unwrap());
    prop::sample::select([SIZES, small].concat())
}

fn bytes(start: u64, len: u64) -> Extent<PhysAddr> {
    Extent::new(PhysAddr::new(start), len).unwrap()
}

/// The naive twin: the page of every byte.
fn touched(run: &Run, size: PageSize) -> BTreeSet<u64> {
    run.elements()
        .flat_map(|e| e.start().get() / size.bytes()..=e.last().get() / size.bytes())
        .collect()
}

fn frames_of(run: &Run, size: PageSize) -> BTreeSet<u64> {
    let mut frames = BTreeSet::new();
    run.containing_frames(size, &mut |run| frames.extend(units(&run)));
    frames
}

proptest! {
    #[test]
    fn pages_outward_hold_every_byte_and_pages_inward_only_whole_ones(
        size in sizes(), start in 0..5_u64 << 16, len in 1..5_u64 << 16, base in bases(),
    ) {
        let bytes = bytes(start + base.min(u64::MAX - (11 << 16)), len);
        let page = size.bytes();
        let out = bytes.containing_pages(size);
        prop_assert!(out.bytes(size).unwrap().contains_extent(bytes));
        prop_assert!(out.bytes(size).unwrap().len() < len + 2 * page);
        match bytes.whole_pages(size) {
            Some(inner) => {
                prop_assert!(bytes.contains_extent(inner.bytes(size).unwrap()));
                prop_assert!(inner.bytes(size).unwrap().len() + 2 * page > len);
            }
            None => prop_assert!(len < 2 * page),
        }
        prop_assert_eq!(out.start(), Pfn::containing(bytes.start(), size));
        prop_assert_eq!(out.last(), Pfn::containing(bytes.last(), size));
    }

    #[test]
    fn granules_are_the_pages_that_bytes_touch_one_by_one(
        size in sizes(), start in 0..3_u64 << 16, len in 1..3_u64 << 16, base in bases(),
    ) {
        let bad = at(start + base.min(u64::MAX - (7 << 16)), len);
        let pages = Granules::containing(bad, size);
        let each: Vec<Granule> = pages.iter().collect();
        let numbers: Vec<u64> = each.iter().map(|page| page.pfn().get()).collect();
        prop_assert_eq!(&numbers, &Vec::from_iter(touched(&bad.into(), size)));
        prop_assert_eq!((pages.count(), pages.size()), (numbers.len() as u64, size));
        prop_assert_eq!(pages.bytes(), pages.count() * size.bytes());
        prop_assert_eq!(each.first(), Some(&Granule::containing(bad.start(), size)));
        prop_assert_eq!(each.last(), Some(&Granule::containing(bad.last(), size)));
        prop_assert!(each.iter().all(|page| page.size() == size));
        prop_assert_eq!(pages.frames().as_extent(), Some(bad.phys().containing_pages(size)));
    }

    #[test]
    fn pages_of_a_run_are_those_of_its_elements(
        size in sizes(), start in 0..20_000_u64, len in 1..6000_u64, gap in 0..9000_u64,
        count in 1..40_u64, base in bases(),
    ) {
        let stride = len + gap;
        let run = every(start + base.min(u64::MAX - 40 * 15_000 - 26_000), len, stride, count);
        prop_assert_eq!(frames_of(&run, size), touched(&run, size));
    }

    /// Elements that touch a page in common with the next of their phase.
    #[test]
    fn pages_of_a_run_with_narrow_gaps_are_those_of_its_elements(
        size in sizes(), start in 0..20_000_u64, sectors in 1..40_u64, gap in 1..600_u64,
        count in 1..40_u64,
    ) {
        let run = every(start, (sectors * 512).saturating_sub(gap).max(1), sectors * 512, count);
        prop_assert_eq!(frames_of(&run, size), touched(&run, size));
    }

    #[test]
    fn pages_of_a_run_cost_its_phases(
        size in sizes(), start in 0..70_000_u64, len in 1..600_u64, sectors in 2..40_u64,
    ) {
        let run = every(start, len, sectors * 512, 1 << 30);
        let mut emitted = 0;
        run.containing_frames(size, &mut |_| emitted += 1);
        prop_assert!(emitted <= size.bytes() / naive_gcd(sectors * 512, size.bytes()));
    }

    #[test]
    fn memory_is_a_device_whose_bytes_are_addresses(start in 0..u64::MAX, len in 1..u64::MAX) {
        let bad = bytes(start, len.min(u64::MAX - start));
        prop_assert_eq!(bad.on_memory(), at(start, bad.len()));
        prop_assert_eq!(bad.on_memory().phys(), bad);
        prop_assert_eq!(bad.start().on_memory().phys(), bad.start());
    }
}

#[test]
fn every_unit_has_its_size() {
    for (size, shift, shown) in [(SIZES[0], 12, "4K"), (SIZES[1], 14, "16K"), (SIZES[2], 16, "64K")]
    {
        let page = 1 << shift;
        assert_eq!((size.bytes(), size.nonzero().get(), size.shift()), (page, page, shift));
        assert_eq!(PageSize::new(page), Ok(size));
        assert_eq!(size.to_string(), shown);
        assert_eq!(Pfn::containing(PhysAddr::new(8 * page - 1), size), Pfn::new(7));
        assert_eq!(Pfn::new(7).phys(size), Some(PhysAddr::new(7 * page)));
        assert_eq!(
            Pfn::new(u64::MAX >> shift).phys(size),
            Some(PhysAddr::new(0_u64.wrapping_sub(page)))
        );
        assert_eq!(Pfn::new(1 << (64 - shift)).phys(size), None);
    }
    assert_eq!(Sector::containing(DevOffset::new(1535)), Sector::new(2));
    assert_eq!(Sector::new(2).offset(), Some(DevOffset::new(1024)));
    assert_eq!(Sector::new(1 << 55).offset(), None);
    let block = BlockSize::new(2048).unwrap();
    assert_eq!(block.get(), 2048);
    assert_eq!(FsBlock::containing(DevOffset::new(6143), block), FsBlock::new(2));
    assert_eq!(FsBlock::new(2).offset(block), Some(DevOffset::new(4096)));
    assert_eq!(FsBlock::new(1 << 53).offset(block), None);
    assert_eq!(at(511, 1026).whole_sectors(), Some(Extent::new(Sector::new(1), 2).unwrap()));
    assert_eq!(at(511, 1024).whole_sectors(), Some(Extent::new(Sector::new(1), 1).unwrap()));
    assert_eq!(at(1, 1022).whole_sectors(), None);
    assert_eq!(at(511, 2).containing_sectors(), Extent::new(Sector::new(0), 2).unwrap());
}

#[test]
fn sectors_and_blocks_in_bytes_are_exact() {
    let last = u64::MAX / 512;
    let sectors = Extent::new(Sector::new(1 << 32), 8).unwrap();
    assert_eq!(sectors.bytes(), Ok(at(1 << 41, 4096)));
    assert!(Extent::new(Sector::new(last - 1), 1).unwrap().bytes().is_ok());
    let over = Extent::new(Sector::new(last), 1).unwrap().bytes().unwrap_err();
    assert_eq!(over.kind(), RangeErrorKind::Overflow);
    let size = BlockSize::new(4096).unwrap();
    let blocks = Extent::new(FsBlock::new(3), 2).unwrap();
    assert_eq!(blocks.bytes(size), Ok(at(3 * 4096, 8192)));
    let over = Extent::new(FsBlock::new(1 << 52), 1).unwrap().bytes(size).unwrap_err();
    assert_eq!(over.kind(), RangeErrorKind::Overflow);
}

#[test]
fn pages_of_a_strided_run_are_those_that_its_bytes_touch() {
    let touched = |start, len, stride, count| {
        Vec::from_iter(frames_of(&every(start, len, stride, count), PageSize::K4))
    };
    // 512 bytes in every 6 KiB, from 0 on: at 0, 6144, 12288 and 18432.
    assert_eq!(touched(0, 512, 6144, 4), [0, 1, 3, 4]);
    // One byte more, and the first of every pair reaches no further: 4095 + 2 crosses a page.
    assert_eq!(touched(4095, 2, 8192, 2), [0, 1, 2, 3]);
    assert_eq!(touched(4096, 4096, 4096, 3), [1, 2, 3]);
    // The same in larger pages.
    let run = every(0, 512, 6144, 4);
    assert_eq!(Vec::from_iter(frames_of(&run, PageSize::K16)), [0, 1]);
    assert_eq!(Vec::from_iter(frames_of(&run, PageSize::K64)), [0]);
}

#[test]
fn granules_of_a_run_of_frames_are_listed_and_shown() {
    let frames = Run::new(Extent::new(Pfn::new(16), 2).unwrap(), 8, 2).unwrap();
    let pages = Granules::new(frames, PageSize::K64);
    assert_eq!((pages.frames(), pages.size()), (frames, PageSize::K64));
    assert_eq!(pages.iter().map(|p| p.pfn().get()).collect::<Vec<_>>(), [16, 17, 24, 25]);
    assert_eq!((pages.count(), pages.bytes()), (4, 4 * 65536));
    assert_eq!(pages.to_string(), "pfns [0x10..0x12) x2 every 0x8");
    assert_eq!(pages.iter().next().unwrap().to_string(), "pfn 0x10");
    let too_many = Extent::new(Pfn::new(0), u64::MAX).unwrap();
    assert_eq!(Granules::new(too_many.into(), PageSize::K4).bytes(), u64::MAX);
}
