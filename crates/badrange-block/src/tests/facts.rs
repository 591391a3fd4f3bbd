//! Single facts, worked out by hand: the words of device-mapper and `mdadm`, and what errors say.

use badrange_core::{
    Backing, BackingKind, DevOffset, Extent, Flow, Leg, Mapping, PageSize, Pfn, PhysAddr, Run,
};
use core::ops::ControlFlow;

use crate::{
    dm::{Table, TableError, TableErrorKind, Target, Thin, ThinPool},
    interleave::{DecodeStorm, Granularity, Interleave, PoisonSource, Ways},
    md::{Array, ArrayErrorKind, Copies, Level, MAX_MEMBERS, Member, ParityLayout, Raid0Layout},
    thin::{BlockRange, ThinError, Volume},
};

/// A raid line of 4 devices with metadata and 1024 sectors, and what becomes of it.
fn raid(kind: &str, params: &str) -> Result<Array, TableError> {
    let count = params.split(' ').count();
    let line = format!("0 1024 raid {kind} {count} {params} 4 m0 d0 m1 d1 m2 d2 m3 d3");
    let table = Table::parse(&line)?;
    let Some((_, Target::Raid(raid))) = table.targets().next() else { panic!("no raid: {line}") };
    assert_eq!(raid.metadata().collect::<Vec<_>>(), ["m0", "m1", "m2", "m3"]);
    assert_eq!(table.to_string().trim_end(), line);
    Ok(raid.array().clone())
}

#[test]
fn every_raid_type_of_device_mapper_has_the_layout_of_the_kernel() {
    // raid_types[] of dm-raid.c; each name with mdadm's words for the algorithm it stands for.
    for (kind, level) in [
        ("raid0", "raid0 original"),
        ("raid1", "raid1"),
        ("raid4", "raid5 parity-first"),
        ("raid5_n", "raid5 parity-last"),
        ("raid5_ls", "raid5 left-symmetric"),
        ("raid5_rs", "raid5 right-symmetric"),
        ("raid5_la", "raid5 left-asymmetric"),
        ("raid5_ra", "raid5 right-asymmetric"),
        ("raid6_zr", "raid6 ddf-zero-restart"),
        ("raid6_nr", "raid6 ddf-N-restart"),
        ("raid6_nc", "raid6 ddf-N-continue"),
        ("raid6_n_6", "raid6 parity-last"),
        ("raid6_ls_6", "raid6 left-symmetric-6"),
        ("raid6_rs_6", "raid6 right-symmetric-6"),
        ("raid6_la_6", "raid6 left-asymmetric-6"),
        ("raid6_ra_6", "raid6 right-asymmetric-6"),
        ("raid10", "raid10 near=2"),
        ("raid10_far", "raid10 far=2"),
        ("raid10_offset", "raid10 offset=2"),
    ] {
        // Three of four devices with data take lengths in thirds.
        let len = if level.starts_with("raid5") { 1536 } else { 1024 };
        let line = format!("0 {len} raid {kind} 1 128 4 m0 d0 m1 d1 m2 d2 m3 d3");
        let table = Table::parse(&line).unwrap();
        let Some((_, Target::Raid(raid))) = table.targets().next() else { panic!("{line}") };
        assert_eq!(raid.array().level().to_string(), level, "{kind}");
        if kind != "raid1" {
            assert_eq!(raid.array().chunk_bytes(), 128 * 512);
        }
        assert_eq!(raid.array().is_redundant(), kind != "raid0");
        let (array, leg) = table.array_of(Leg::new(3)).unwrap();
        assert_eq!((array.level(), leg), (raid.array().level(), Leg::new(3)));
        assert_eq!(Mapping::legs(raid.array()), 4);
    }
    assert!(Table::parse("0 8 linear a 0").unwrap().array_of(Leg::new(0)).is_none());
}

#[test]
fn parameters_of_raid_say_how_many_copies_and_where() {
    let copies = |params: &str| raid("raid10", params).unwrap().level();
    assert_eq!(copies("128 raid10_copies 4"), Level::Raid10(Copies::Near(4)));
    let far = |sets| Level::Raid10(Copies::Far { copies: 2, sets });
    assert_eq!(copies("128 raid10_format far"), far(true));
    assert_eq!(copies("128 raid10_format far raid10_use_near_sets"), far(false));
    let offset = Level::Raid10(Copies::Offset { copies: 2, sets: true });
    assert_eq!(copies("128 nosync raid10_format offset"), offset);
    assert!(raid("raid1", "0 delta_disks 0").is_ok());
    let refused = raid("raid1", "0 delta_disks 1").unwrap_err();
    assert_eq!(refused.kind(), TableErrorKind::Unsupported);
    assert!(raid("raid1", "0 sideways 1").is_err());
    // What is being rebuilt is no source.
    let rebuilt = raid("raid1", "0 rebuild 2").unwrap();
    let bytes = Extent::new(DevOffset::new(0), 512).unwrap().into();
    let [(_, _, sources)] = &backings(&rebuilt, 0, bytes)[..] else { panic!("one backing") };
    assert_eq!(sources.iter().map(|(leg, _)| leg.index()).collect::<Vec<_>>(), [1, 3]);
}

/// Which bytes, how many sources it takes to have them again, and the sources.
type Spare = (Run, usize, Vec<(Leg, Run)>);

/// Every backing of bytes of a leg.
fn backings(on: &dyn Mapping, leg: u32, lower: Run) -> Vec<Spare> {
    let mut all = Vec::new();
    let flow: Flow = on.redundancy(Leg::new(leg), lower, &mut |backing: Backing<'_>| {
        all.push((backing.lower, backing.needed, backing.sources.to_vec()));
        ControlFlow::Continue(())
    });
    assert_eq!(flow, ControlFlow::Continue(()));
    all
}

#[test]
fn the_number_of_devices_of_a_raid_is_between_one_and_253() {
    let line = |n: usize| format!("0 1024 raid raid1 1 0 {n}{}", " - d".repeat(n));
    assert!(Table::parse(&line(253)).is_ok());
    for n in [0, 254] {
        assert_eq!(
            Table::parse(&line(n)).unwrap_err().kind(),
            TableErrorKind::ArgumentCount,
            "{n}"
        );
    }
    let missing = line(3).replace("1 0 3", "1 0 2");
    assert_eq!(Table::parse(&missing).unwrap_err().kind(), TableErrorKind::ArgumentCount);
    let mirror = "0 64 mirror core 1 512 2 a 0 b 8 1 handle_errors";
    let table = Table::parse(mirror).unwrap();
    assert_eq!(table.to_string().trim_end(), mirror);
    assert!(Table::parse("0 64 mirror core 1 512 0").is_err());
}

#[test]
fn layouts_of_arrays_have_the_names_of_mdadm() {
    assert_eq!(Raid0Layout::from_name("original"), Some(Raid0Layout::Original));
    assert_eq!(Raid0Layout::from_name("alternate"), Some(Raid0Layout::Alternate));
    assert_eq!(Raid0Layout::from_name("-unknown-"), None);
    let names = ParityLayout::ALL.map(ParityLayout::as_str);
    assert_eq!(
        (names[2], names[6], names[13]),
        ("left-symmetric", "ddf-zero-restart", "parity-first-6")
    );
    for layout in ParityLayout::ALL {
        assert_eq!(ParityLayout::from_name(layout.as_str()), Some(layout));
    }
    assert_eq!(ParityLayout::from_name("left"), None);
    let far = |copies| Copies::Far { copies, sets: false };
    let offset = |copies| Copies::Offset { copies, sets: false };
    for (name, copies) in [("near=2", Copies::Near(2)), ("far=3", far(3)), ("offset=2", offset(2))]
    {
        assert_eq!((Copies::from_name(name), copies.to_string().as_str()), (Some(copies), name));
    }
    assert_eq!(Copies::from_name("near=1"), Some(Copies::Near(1)));
    for none in ["near=0", "near", "near=-1", "by=2", "near=2, far=2"] {
        assert_eq!(Copies::from_name(none), None, "{none}");
    }
    assert_eq!(Level::Raid0(Raid0Layout::Alternate).to_string(), "raid0 alternate");
}

#[test]
fn what_backs_a_leg_repeats_after_its_period() {
    let member = Member::in_sync(Extent::new(DevOffset::new(0), 12 << 12).unwrap());
    let of = |level| Array::new(level, 4096, vec![Some(member); 3]).unwrap();
    let parity = of(Level::Parity { disks: 1, layout: ParityLayout::LeftSymmetric });
    let every = |chunks: u64, count| {
        let first = Extent::new(DevOffset::new(512), 512).unwrap();
        Run::new(first, chunks << 12, count).unwrap()
    };
    // Parity comes to the same leg again after three stripes: one answer for all elements.
    for run in [every(3, 4), every(6, 2)] {
        let same = vec![(Leg::new(1), run), (Leg::new(2), run)];
        assert_eq!(backings(&parity, 0, run), [(run, 2, same)]);
    }
    assert_eq!(backings(&parity, 0, every(2, 6)).len(), 3, "one for each place of the parity");
    // Mirrors of pairs of three: after two rows, and in a mirror there are no rows.
    let near = of(Level::Raid10(Copies::Near(2)));
    assert_eq!(backings(&near, 0, every(2, 6)).len(), 1);
    assert_eq!(backings(&of(Level::Raid1), 0, every(1, 12)).len(), 1);
    assert_eq!(backings(&parity, 3, every(1, 1)), [], "no such leg");
    let none = Array::new(Level::Raid1, 0, vec![]).unwrap_err();
    assert!(none.to_string().contains("member"), "{none}");
}

#[test]
fn a_table_tells_the_redundancy_of_its_arrays_with_its_own_leg_numbers() {
    let text = "0 8 linear a 0\n8 8 mirror core 1 1024 2 b 0 c 16\n16 16 striped 2 8 d 0 e 0";
    let table = Table::parse(text).unwrap();
    let bytes = |start, len| Run::from(Extent::new(DevOffset::new(start), len).unwrap());
    // 1 KiB of c, whose data begin at sector 16, are the first of b.
    let copy = |leg, at| vec![(Leg::new(leg), bytes(at, 1024))];
    assert_eq!(backings(&table, 2, bytes(8192, 1024)), [(bytes(8192, 1024), 1, copy(1, 0))]);
    assert_eq!(backings(&table, 1, bytes(0, 1024)), [(bytes(0, 1024), 1, copy(2, 8192))]);
    for leg in [0, 3, 4, 5] {
        assert_eq!(backings(&table, leg, bytes(0, 1 << 20)), [], "leg {leg}");
    }
    let raid0 = raid("raid0", "128").unwrap();
    assert_eq!(backings(&raid0, 0, bytes(0, 1 << 20)), []);
    let mut kinds = Vec::new();
    let _ = table.redundancy(Leg::new(1), bytes(0, 512), &mut |backing| {
        kinds.push(backing.kind);
        ControlFlow::Continue(())
    });
    assert_eq!(kinds, [BackingKind::Copy]);
}

#[test]
fn lines_of_thin_pools_and_volumes_are_read_word_by_word() {
    let pool = ThinPool::parse("0 2048 thin-pool 254:1 254:2 128 0 1 x").unwrap().unwrap();
    assert_eq!((&*pool.metadata, &*pool.data), ("254:1", "254:2"));
    assert_eq!((pool.bytes, pool.block_bytes), (1 << 20, 65536));
    let thin = |line| Thin::parse(line).unwrap();
    let volume = thin("0 16 thin 253:1 7").unwrap();
    assert_eq!((&*volume.pool, volume.id, volume.origin, volume.bytes), ("253:1", 7, None, 8192));
    let with_origin = thin("0 16 thin 253:1 7 8:3").unwrap();
    assert_eq!(with_origin.origin.as_deref(), Some("8:3"));
    assert_eq!((thin("0 16 error"), thin("0 16 thin-pool a b 128 0")), (None, None));
    assert_eq!(ThinPool::parse("0 16 thin a 1"), Ok(None));
    let refused = |line| ThinPool::parse(line).unwrap_err().kind();
    assert_eq!(refused("0 16 thin-pool a b 0 0"), TableErrorKind::Zero);
    assert_eq!(refused("8 16 thin-pool a b 128 0"), TableErrorKind::Gap);
    assert_eq!(refused("0 0 thin-pool a b 128 0"), TableErrorKind::Overflow);
    assert_eq!(refused("0 16 thin-pool a b 128"), TableErrorKind::ArgumentCount);
    assert_eq!(Thin::parse("0 16 thin a").unwrap_err().kind(), TableErrorKind::ArgumentCount);
}

#[test]
fn an_error_of_a_table_has_its_line_and_unknown_types_are_told_apart() {
    let text = [(1, "0 8 linear a 0"), (2, "8 8 wormhole x")];
    let err = Table::parse_lines(text).unwrap_err();
    assert_eq!((err.line(), err.value()), (Some(2), "wormhole"));
    let (table, refused) = Table::parse_known(text).unwrap();
    assert_eq!((table.targets().count(), refused.len()), (2, 1));
    // A known type that is wrong in itself is no unknown type.
    let broken = [(1, "0 8 linear a 0"), (7, "8 8 linear a")];
    assert_eq!(Table::parse_known(broken).unwrap_err().line(), Some(7));
    assert_eq!(Table::parse("0 8 linear a 0").unwrap().to_string().trim_end(), "0 8 linear a 0");
}

#[test]
fn small_types_are_shown_as_their_formats_have_them() {
    assert_eq!(Ways::new(12).unwrap().to_string(), "12");
    assert_eq!(Granularity::new(4096).unwrap().to_string(), "4096");
    let err = Ways::new(5).unwrap_err();
    assert_eq!(err.value(), 5);
    assert!(err.to_string().starts_with("interleave ways 0x5: expected "), "{err}");
    assert_eq!(PoisonSource::Injected.to_string(), "Injected");
    let range = BlockRange { volume: 1, data: 5, blocks: 3 };
    assert_eq!(range.data_end(), Some(8));
    assert_eq!(BlockRange { data: u64::MAX, ..range }.data_end(), None);
    assert_eq!(ThinError::Volume { block: 3 }.to_string(), "block 3 of the volume is mapped twice");
}

#[test]
fn a_storm_says_how_many_pages_are_left() {
    let hpa = Extent::new(PhysAddr::new(0), 64 << 10).unwrap();
    let starts = [DevOffset::new(0); 2];
    let region = Interleave::new(hpa, Granularity::new(8192).unwrap(), &starts).unwrap();
    let mut all = DecodeStorm::of_region(&region, PageSize::K4);
    assert_eq!(all.size_hint(), (16, Some(16)));
    assert!(all.next().is_some());
    assert_eq!(all.size_hint(), (15, Some(15)));
    // Another seed begins with another page.
    let firsts = [3, 9, 16].map(|seed| all.clone().scattered(seed).next().map(Pfn::get));
    assert_eq!(firsts, [Some(3), Some(9), Some(0)]);
    // How many of the pages are on one device, only looking tells.
    assert_eq!(DecodeStorm::of_leg(&region, Leg::new(1), PageSize::K4).size_hint(), (0, Some(16)));
}

#[test]
fn a_leg_of_a_volume_spans_what_is_used_of_it() {
    let range = |volume, data, blocks| BlockRange { volume, data, blocks };
    let ranges = [range(0, 40, 2), range(5, 10, 1)];
    let volume = Volume::new(10 << 12, 1 << 12, &ranges, Some(3 << 12)).unwrap();
    let span = |leg| volume.leg_extent(Leg::new(leg)).map(|e| (e.start().get(), e.end().get()));
    // Blocks 10 to 41 of the pool; of the origin what the volume has no blocks for, and it has.
    assert_eq!(span(0), Some((10 << 12, 42 << 12)));
    assert_eq!(span(1), Some((2 << 12, 3 << 12)));
    assert_eq!((span(2), volume.legs()), (None, 2));
}

#[test]
fn an_array_has_as_many_members_as_its_level_needs() {
    let member = Member::in_sync(Extent::new(DevOffset::new(0), 64 << 12).unwrap());
    let of = |level, members| Array::new(level, 4096, vec![Some(member); members]);
    let parity = |disks, layout| Level::Parity { disks, layout };
    for (level, least) in [
        (Level::Raid0(Raid0Layout::Original), 1),
        (Level::Raid1, 1),
        (parity(1, ParityLayout::LeftSymmetric), 2),
        (parity(2, ParityLayout::LeftSymmetric), 3),
        (Level::Raid10(Copies::Near(2)), 2),
        (Level::Raid10(Copies::Far { copies: 3, sets: false }), 3),
    ] {
        assert!(of(level, least).is_ok(), "{level}");
        let few = of(level, least - 1).unwrap_err();
        assert_eq!(few.kind(), ArrayErrorKind::Members, "{level}: {few}");
        let hint = format!("{} members: {level} needs at least {least}", least - 1);
        assert!(few.to_string().contains(&hint), "{few}");
    }
    assert!(of(Level::Raid1, MAX_MEMBERS).is_ok());
    let many = of(Level::Raid1, MAX_MEMBERS + 1).unwrap_err();
    assert_eq!(many.kind(), ArrayErrorKind::Members);
    assert!(many.to_string().contains(&format!("at most {MAX_MEMBERS}")), "{many}");
    let none = of(Level::Raid10(Copies::Near(0)), 2).unwrap_err();
    assert_eq!(none.kind(), ArrayErrorKind::Layout, "no copy at all");
    // A layout of RAID 6 with a parity of RAID 5.
    let layout = of(parity(1, ParityLayout::ZeroRestart), 4).unwrap_err();
    assert_eq!(layout.kind(), ArrayErrorKind::Layout);
}

#[test]
fn only_copies_can_be_used_in_part() {
    let member = Member::in_sync(Extent::new(DevOffset::new(0), 8 << 12).unwrap());
    let of =
        |level, bytes| Array::new(level, 4096, vec![Some(member); 3]).unwrap().of_length(bytes);
    let near = Level::Raid10(Copies::Near(2));
    // Three members of eight chunks, twice each: twelve chunks.
    for (bytes, fits) in
        [(12 << 12, true), (11 << 12, true), (1 << 12, true), (0, false), (13 << 12, false)]
    {
        assert_eq!(of(near, bytes).is_ok(), fits, "{bytes}");
    }
    assert!(of(near, (11 << 12) + 512).is_err(), "half a chunk");
    let used = of(near, 1 << 12).unwrap();
    let legs = [0, 1, 2].map(|leg| used.leg_extent(Leg::new(leg)).map(|e| e.len()));
    assert_eq!(legs, [Some(1 << 12), Some(1 << 12), None]);
    let parity = Level::Parity { disks: 1, layout: ParityLayout::LeftSymmetric };
    assert!(of(parity, 16 << 12).is_ok());
    assert!(of(parity, 15 << 12).is_err());
}
