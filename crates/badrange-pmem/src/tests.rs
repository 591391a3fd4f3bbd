//! The namespace against a page-by-page picture, the badblocks against a set of single sectors.

#![expect(clippy::arithmetic_side_effects, reason = "small numbers, and a panic is a failed test")]

use core::ops::ControlFlow;
use std::collections::BTreeSet;

use badrange_core::*;
use proptest::prelude::*;

use crate::*;

mod facts;

fn phys(start: u64, len: u64) -> Extent<PhysAddr> {
    Extent::new(PhysAddr::new(start), len).unwrap()
}

fn dev(start: u64, len: u64) -> Extent {
    Extent::new(DevOffset::new(start), len).unwrap()
}

/// Bytes of the memory device.
fn mem(start: u64, len: u64) -> Extent {
    phys(start, len).on_memory()
}

/// The same bytes below and above.
fn link(lower: Extent, upper: Extent) -> Link {
    Link::try_from((lower, upper)).unwrap()
}

fn map(m: &Namespace, upper: Extent) -> Vec<Mapped> {
    let mut all = Vec::new();
    let _ = m.map(upper, &mut |part| {
        all.push(part);
        ControlFlow::Continue(())
    });
    all
}

fn rmap(m: &Namespace, leg: u32, lower: impl Into<Run>) -> Vec<Link> {
    let mut all = Vec::new();
    let _ = m.rmap(Leg::new(leg), lower.into(), &mut |part| {
        all.push(part);
        ControlFlow::Continue(())
    });
    all
}

fn example() -> Namespace {
    Namespace::new(phys(0x2_4000_0000, 512 << 20), 0x20_0000, Mode::Fsdax).unwrap()
}

#[test]
fn worked_example_of_a_failed_page() {
    let namespace = example();
    assert_eq!(Pfn::containing(PhysAddr::new(0x2_415a_b000), PageSize::K4), Pfn::new(0x2_415ab));
    assert_eq!(namespace.offset_of(Pfn::new(0x2_415ab)), Some(DevOffset::new(20_623_360)));
    let [part] = rmap(&namespace, 0, mem(0x2_415a_b000, 4096))[..] else { panic!("one part") };
    assert_eq!(part, link(mem(0x2_415a_b000, 4096), dev(0x13a_b000, 4096)));
    assert_eq!(part.upper().first().containing_sectors().start(), Sector::new(40_280));
    // The first byte of the data, and the page before it, where the kernel's offset wraps.
    assert_eq!(namespace.offset_of(Pfn::new(0x2_40200)), Some(DevOffset::new(0)));
    assert_eq!(namespace.offset_of(Pfn::new(0x2_401ff)), None);
    assert_eq!(rmap(&namespace, 0, mem(0x2_401f_f000, 4096)), []);
    // A page on either side of the edge: only the second is on the device.
    let edge = mem(0x2_401f_f000, 8192);
    let hit = link(mem(0x2_4020_0000, 4096), dev(0, 4096));
    assert_eq!(rmap(&namespace, 0, edge), [hit]);
    // The last page, and the one after.
    assert_eq!(namespace.offset_of(Pfn::new(0x2_5ffff)), Some(DevOffset::new((510 << 20) - 4096)));
    assert_eq!(namespace.offset_of(Pfn::new(0x2_60000)), None);
    assert_eq!(namespace.offset_of(Pfn::new(0)), None);
    assert_eq!(namespace.offset_of(Pfn::new(u64::MAX)), None);
}

#[test]
fn a_namespace_is_its_metadata_and_its_data() {
    let namespace = example();
    assert_eq!(namespace.metadata(), Some(phys(0x2_4000_0000, 0x20_0000)));
    assert_eq!(namespace.data(), phys(0x2_4020_0000, 510 << 20));
    assert_eq!(namespace.capacity(), dev(0, 510 << 20));
    let raw = Namespace::new(phys(0x1000, 8192), 0, Mode::Raw).unwrap();
    assert_eq!((raw.metadata(), raw.data()), (None, phys(0x1000, 8192)));
    // A rest of less than a sector is on no device.
    let odd = Namespace::new(phys(0x1000, 4096 + 1000), 0, Mode::Raw).unwrap();
    assert_eq!(odd.capacity(), dev(0, 4096 + 512));
    assert_eq!(rmap(&odd, 0, mem(0x1000 + 4096 + 512, 488)), []);
    // Up to the end of the scale.
    let last = u64::MAX - 4095;
    let top = Namespace::new(phys(last - 4096, 8191), 4096, Mode::Devdax).unwrap();
    assert_eq!(top.data(), phys(last, 3584));
    assert_eq!(top.offset_of(Pfn::new(u64::MAX / 4096)), Some(DevOffset::new(0)));
}

#[test]
fn geometries_that_cannot_be_say_why() {
    use NamespaceErrorKind as K;
    let whole = phys(0x20_0000, 0x20_0000);
    let refuse = |whole, offset, mode| Namespace::new(whole, offset, mode).unwrap_err();
    let at = "invalid namespace at physical bytes [0x200000..0x400000) with data offset";
    for (err, kind, message) in [
        (
            refuse(phys(0x20_0200, 0x20_0000), 0, Mode::Raw),
            K::UnalignedStart,
            "invalid namespace at physical bytes [0x200200..0x400200) with data offset 0x0: \
             must begin at a multiple of 4096 bytes"
                .to_owned(),
        ),
        (
            refuse(whole, 512, Mode::Fsdax),
            K::UnalignedData,
            format!("{at} 0x200: data offset must be a multiple of 4096 bytes"),
        ),
        (
            refuse(whole, 4096, Mode::Raw),
            K::RawOffset,
            format!("{at} 0x1000: a raw namespace has no metadata; its data offset must be 0"),
        ),
        (
            refuse(whole, 0x20_0000, Mode::Fsdax),
            K::NoData,
            format!("{at} 0x200000: data offset leaves no sector for data"),
        ),
        (
            refuse(whole, 0xffff_ffff_ffff_f000, Mode::Devdax),
            K::NoData,
            format!("{at} 0xfffffffffffff000: data offset leaves no sector for data"),
        ),
        (
            Namespace::new(whole, 4096, Mode::Devdax)
                .unwrap()
                .with_align(Align::Size2M)
                .unwrap_err(),
            K::Misaligned(Align::Size2M),
            format!("{at} 0x1000: data must begin at a physical address that is a multiple of 2M"),
        ),
    ] {
        assert_eq!((err.kind(), err.to_string()), (kind, message));
    }
    assert_eq!(refuse(phys(0, 511), 0, Mode::Raw).kind(), K::NoData);
    assert!(Namespace::new(phys(0, 512), 0, Mode::Raw).is_ok());
    assert!(Namespace::new(whole, 0x1f_f000, Mode::Fsdax).is_ok());
    let aligned = example().with_align(Align::Size2M).unwrap();
    assert_eq!(aligned.align(), Some(Align::Size2M));
    assert!(aligned.with_align(Align::Size1G).is_err());
}

#[test]
fn pages_are_as_long_as_the_host_has_them() {
    use NamespaceErrorKind as K;
    assert_eq!(example().page_size(), PageSize::K4);
    // The worked example, by pages of 64 KiB: the same byte.
    let vast = example().with_page_size(PageSize::K64).unwrap();
    assert_eq!(vast.page_size(), PageSize::K64);
    assert_eq!(vast.offset_of(Pfn::new(0x2_4020)), Some(DevOffset::new(0)));
    assert_eq!(vast.offset_of(Pfn::new(0x2_401f)), None);
    assert_eq!(vast.offset_of(Pfn::new(0x2_415a)), Some(DevOffset::new(0x13a_0000)));
    assert_eq!(vast.offset_of(Pfn::new(0x2_415ab)), None, "a frame of other pages");
    assert_eq!((vast.data(), vast.capacity()), (example().data(), example().capacity()));
    // Nothing but pages changes, and both ways lead there.
    assert_eq!(vast.with_page_size(PageSize::K4), Ok(example()));
    let aligned = example().with_align(Align::Size2M).unwrap();
    let both = aligned.with_page_size(PageSize::K64).unwrap();
    assert_eq!(vast.with_align(Align::Size2M), Ok(both));

    let at = |start, offset| Namespace::new(phys(start, 0x20_0000), offset, Mode::Fsdax).unwrap();
    let small = at(0x20_0000, 0x1_0000).with_align(Align::Size4K).unwrap();
    let message = "invalid namespace at physical bytes";
    for (err, kind, why) in [
        (
            at(0x20_4000, 0).with_page_size(PageSize::K64).unwrap_err(),
            K::UnalignedStart,
            "[0x204000..0x404000) with data offset 0x0: must begin at a multiple of 65536 bytes",
        ),
        (
            at(0x20_0000, 0x1000).with_page_size(PageSize::K16).unwrap_err(),
            K::UnalignedData,
            "[0x200000..0x400000) with data offset 0x1000: data offset must be a multiple of 16384 bytes",
        ),
        (
            small.with_page_size(PageSize::K64).unwrap_err(),
            K::AlignBelowPage(Align::Size4K),
            "[0x200000..0x400000) with data offset 0x10000: a fault granularity of 4K is smaller than \
             a page of 64K",
        ),
        (
            at(0x20_0000, 0x1_0000)
                .with_page_size(PageSize::K16)
                .and_then(|namespace| namespace.with_align(Align::Size4K))
                .unwrap_err(),
            K::AlignBelowPage(Align::Size4K),
            "[0x200000..0x400000) with data offset 0x10000: a fault granularity of 4K is smaller than \
             a page of 16K",
        ),
    ] {
        assert_eq!((err.kind(), err.to_string()), (kind, format!("{message} {why}")));
    }
    // A page as long as the granularity is none that is smaller.
    assert!(small.with_page_size(PageSize::K4).is_ok());
    assert!(at(0x20_4000, 0x8000).with_page_size(PageSize::K16).is_ok());
}

#[test]
fn modes_and_alignments_are_known_by_name() {
    for mode in [Mode::Fsdax, Mode::Devdax, Mode::Raw] {
        assert_eq!(Mode::from_name(&mode.to_string()), Some(mode));
    }
    for align in [Align::Size4K, Align::Size2M, Align::Size1G] {
        assert_eq!(Align::from_name(&align.to_string()), Some(align));
        assert!(align.bytes().is_power_of_two());
    }
    assert_eq!((Mode::from_name("memory"), Align::from_name("2m")), (None, None));
}

#[test]
fn a_device_records_what_failed_and_leaves_the_rest_to_others() {
    let device = PmemDevice::new(example());
    let end = device.namespace().capacity().end().get();
    let tell = |at: Run, flags| {
        assert_eq!(device.corrupted_range(&Corruption::new(at, flags, &())), Outcome::Nothing);
    };
    for flag in [MfFlags::MEM_PRE_REMOVE, MfFlags::SOFT_OFFLINE, MfFlags::UNPOISON] {
        tell(dev(0, 4096).into(), flag.with(MfFlags::ACTION_REQUIRED));
    }
    assert!(device.badblocks().is_empty());
    tell(dev(4095, 2).into(), MfFlags::ACTION_REQUIRED);
    // Three pages with gaps, and a run without gaps as one.
    tell(Run::new(dev(65536, 4096), 8192, 3).unwrap(), MfFlags::NONE);
    tell(Run::new(dev(1 << 20, 512), 512, 1 << 12).unwrap(), MfFlags::SW_SIMULATED);
    // Across the end, and beyond it.
    tell(dev(end - 1, 4096).into(), MfFlags::NONE);
    tell(dev(end, 4096).into(), MfFlags::NONE);
    let list: Vec<_> =
        device.badblocks().list().iter().map(|e| (e.start().get(), e.len())).collect();
    let last = end / 512 - 1;
    assert_eq!(list, [(7, 2), (128, 8), (144, 8), (160, 8), (2048, 4096), (last, 1)]);
}

#[test]
fn the_metadata_area_fails_for_good() {
    let bad = example().metadata().unwrap().on_memory();
    let what = Corruption::new(bad.into(), MfFlags::NONE, &());
    assert_eq!(MetadataArea.corrupted_range(&what), Outcome::Failed(Errno::ENXIO));
}

#[test]
fn records_are_at_most_512_sectors_and_count_from_the_start_of_a_range() {
    let bad = Badblocks::new();
    bad.set(dev(0, 1300 * 512));
    assert_eq!(bad.to_string(), "0 512\n512 512\n1024 276");
    // A good hole makes two ranges, each counted from its own start.
    let hole = bad.clear(dev(600 * 512, 8 * 512)).unwrap();
    assert_eq!((hole.start(), hole.len()), (Sector::new(600), 8));
    assert_eq!(bad.to_string(), "0 512\n512 88\n608 512\n1120 180");
    assert_eq!(bad.list().len(), 2);
    bad.set(dev(600 * 512, 8 * 512));
    assert_eq!(bad.to_string(), "0 512\n512 512\n1024 276");
    assert_eq!(Badblocks::new().to_string(), "");
}

#[test]
fn badblocks_reach_to_the_end_of_the_scale() {
    let bad = Badblocks::new();
    let last = dev(u64::MAX - 1, 1);
    assert_eq!(bad.set(last).start(), Sector::new(u64::MAX / 512));
    assert_eq!(bad.check(last).unwrap().len(), 1);
    assert_eq!(bad.check(dev(0, u64::MAX)).unwrap().len(), 1);
    assert_eq!(
        bad.clear(last),
        None,
        "the last sector is never whole: its last byte has no extent"
    );
    bad.set(dev(0, u64::MAX));
    assert_eq!(bad.list().len(), 1);
    assert_eq!(bad.list()[0].len(), 1 << 55);
}

/// What happens to a table, in bytes.
#[derive(Debug, Clone)]
enum Op {
    Set(u64, u64),
    Clear(u64, u64),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let at = || (0..60 * 512_u64, 1..20 * 512_u64);
    let op = prop_oneof![
        at().prop_map(|(start, len)| Op::Set(start, len)),
        at().prop_map(|(start, len)| Op::Clear(start, len)),
    ];
    prop::collection::vec(op, 0..12)
}

fn singles(extents: impl IntoIterator<Item = Extent<Sector>>) -> Vec<u64> {
    extents.into_iter().flat_map(|e| e.start().get()..e.end().get()).collect()
}

/// Whether bytes of the range touch the sector, and whether they fill it.
fn touch_and_fill(start: u64, len: u64, sector: u64) -> (bool, bool) {
    let (from, to) = (start.max(sector * 512), (start + len).min((sector + 1) * 512));
    (from < to, from + 512 == to)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 4 } else { 60 }, ..ProptestConfig::default() })]

    #[test]
    fn badblocks_are_a_set_of_sectors(ops in ops(), start in 0..80 * 512_u64, len in 1..40 * 512_u64) {
        let bad = Badblocks::new();
        let mut naive = BTreeSet::new();
        for op in &ops {
            match *op {
                Op::Set(start, len) => {
                    let touched = (0..100).filter(|s| touch_and_fill(start, len, *s).0);
                    let touched: Vec<_> = touched.collect();
                    prop_assert_eq!(singles([bad.set(dev(start, len))]), touched.clone());
                    naive.extend(touched);
                }
                Op::Clear(start, len) => {
                    let filled = (0..100).filter(|s| touch_and_fill(start, len, *s).1);
                    let filled: Vec<_> = filled.collect();
                    prop_assert_eq!(singles(bad.clear(dev(start, len))), filled.clone());
                    naive.retain(|s| !filled.contains(s));
                }
            }
        }
        let all: Vec<u64> = naive.iter().copied().collect();
        prop_assert_eq!(singles(bad.list()), all.clone());
        prop_assert_eq!(singles(bad.records()), all);
        prop_assert_eq!(bad.is_empty(), naive.is_empty());
        // Ranges that touch are one.
        prop_assert!(bad.list().windows(2).all(|w| w[0].end() < w[1].start()));
        let asked: Vec<u64> =
            naive.iter().copied().filter(|s| touch_and_fill(start, len, *s).0).collect();
        prop_assert_eq!(singles(bad.within(dev(start, len))), asked.clone());
        let first = bad.check(dev(start, len));
        prop_assert_eq!(first.is_some(), !asked.is_empty());
        prop_assert!(first.is_none_or(|e| e.contains(Sector::new(asked[0])) && bad.list().contains(&e)));
        // The records alone make the same table.
        let again: Badblocks = bad.records().collect();
        prop_assert_eq!(again.list(), bad.list());
        prop_assert_eq!(again.to_string(), bad.to_string());
    }

    #[test]
    fn a_namespace_maps_and_rmaps_byte_by_byte(
        page in prop::sample::select(&[PageSize::K4, PageSize::K16, PageSize::K64][..]),
        start_page in 0..4_u64, size in 512..5 * 4096_u64, offset_page in 0..3_u64,
        at in 0..9 * 4096_u64, len in 1..9 * 4096_u64, stride in 0..4096_u64, count in 1..4_u64,
    ) {
        let bytes = page.bytes();
        let (start, offset) = (start_page * bytes, offset_page * bytes);
        // Five, two or no pages of data, and a rest.
        let Ok(namespace) = Namespace::new(phys(start, size), offset, Mode::Fsdax) else {
            prop_assert!(size < offset + 512);
            return Ok(());
        };
        let namespace = namespace.with_page_size(page).unwrap();
        // The picture: byte `b` of the device is physical byte `start + offset + b`.
        let capacity = (size - offset) / 512 * 512;
        let at = start + at;
        let on_device = |b: u64| b.checked_sub(start + offset).filter(|b| *b < capacity);
        prop_assert_eq!(namespace.extent(), dev(0, capacity));
        prop_assert_eq!(namespace.leg_extent(Leg::new(0)), Some(mem(start + offset, capacity)));
        prop_assert_eq!((namespace.legs(), namespace.leg_extent(Leg::new(1))), (1, None));
        for frame in 0..12 {
            let expected = on_device(frame * bytes).map(DevOffset::new);
            prop_assert_eq!(namespace.offset_of(Pfn::new(frame)), expected);
        }

        for from in [at - start, at] {
            let mut next = from;
            for part in map(&namespace, dev(from, len)) {
                let upper = part.upper();
                prop_assert_eq!(upper.start().get(), next);
                next = upper.end().get();
                match part {
                    Mapped::To { leg, link } => {
                        let lower = mem(start + offset + upper.start().get(), upper.len());
                        prop_assert_eq!((link.lower(), link.upper()), (lower.into(), upper.into()));
                        prop_assert!(upper.end().get() <= capacity);
                        prop_assert_eq!(rmap(&namespace, leg.index(), lower), [link]);
                    }
                    Mapped::Hole(kind, upper) => {
                        prop_assert_eq!(kind, HoleKind::Unmapped);
                        prop_assert!(upper.start().get() >= capacity);
                    }
                    Mapped::Own(_) => prop_assert!(false, "a namespace has nothing of its own"),
                }
            }
            prop_assert_eq!(next, from + len);
        }

        let hit: Vec<(u64, u64)> =
            (at..at + len).filter_map(|b| Some((b, on_device(b)?))).collect();
        let ends = hit.first().zip(hit.last()).map(|(first, last)| {
            link(mem(first.0, last.0 - first.0 + 1), dev(first.1, last.1 - first.1 + 1))
        });
        prop_assert_eq!(rmap(&namespace, 0, mem(at, len)), ends.into_iter().collect::<Vec<_>>());
        prop_assert_eq!(rmap(&namespace, 1, mem(at, len)), []);

        // A run: every byte of it that is on the device once, and where the picture has it.
        let element = len.min(2048);
        let here = Run::new(mem(at, element), element + stride, count).unwrap();
        let links = rmap(&namespace, 0, here);
        prop_assert!(links.len() <= 3);
        let mut found: Vec<(u64, u64)> = links
            .iter()
            .flat_map(Link::elements)
            .flat_map(|(low, up)| (0..up.len()).map(move |i| (low.start().get() + i, up.start().get() + i)))
            .collect();
        found.sort_unstable();
        let expected: Vec<(u64, u64)> = here
            .elements()
            .flat_map(|low| low.start().get()..low.end().get())
            .filter_map(|b| Some((b, on_device(b)?)))
            .collect();
        prop_assert_eq!(found, expected);
        // And a run as its elements, one by one.
        let bytes_of = |links: &[Link]| -> BTreeSet<(u64, u64)> {
            let pairs = links.iter().flat_map(Link::elements);
            pairs.flat_map(|(low, up)| (0..up.len()).map(move |i| (low.start().get() + i, up.start().get() + i))).collect()
        };
        let singly: Vec<Link> = here.elements().flat_map(|e| rmap(&namespace, 0, e)).collect();
        prop_assert_eq!(bytes_of(&links), bytes_of(&singly));
    }

    #[test]
    fn any_range_and_any_leg_of_a_namespace_have_an_answer(
        a in prop_oneof![any::<u64>(), u64::MAX - 9000..], b in prop_oneof![any::<u64>(), u64::MAX - 9000..],
        leg in any::<u32>(), pfn in any::<u64>(), stride in any::<u64>(), count in 2..u64::MAX,
    ) {
        let (start, end) = (a.min(b), a.max(b));
        prop_assume!(start < end);
        for namespace in [
            example(),
            example().with_page_size(PageSize::K64).unwrap(),
            Namespace::new(phys(u64::MAX - 8191, 8191), 4096, Mode::Fsdax).unwrap(),
        ] {
            let range = Run::from(mem(start, end - start));
            let run = Run::new(range.first(), stride, count).unwrap_or(range);
            for (leg, lower) in [(0, range), (1, range), (leg, range), (0, run), (leg, run)] {
                for part in rmap(&namespace, leg, lower) {
                    prop_assert!(leg == 0 && namespace.data().on_memory().contains_extent(part.lower().span()));
                    prop_assert!(namespace.capacity().contains_extent(part.upper().span()));
                    prop_assert_eq!(part.lower().total_len(), part.upper().total_len());
                }
            }
            let total: u64 =
                map(&namespace, dev(start, end - start)).iter().map(|part| part.upper().len()).sum();
            prop_assert_eq!(total, end - start);
            let at = namespace.offset_of(Pfn::new(pfn));
            prop_assert!(at.is_none_or(|at| namespace.capacity().contains(at)));
        }
    }
}
