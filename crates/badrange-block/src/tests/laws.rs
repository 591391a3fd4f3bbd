use proptest::prelude::*;

use super::*;

/// Small enough that everything collides.
const SCALE: u64 = 40;

fn drawn() -> impl Strategy<Value = Drawn> {
    let leg = || (0..3_usize, 0..12_u64);
    prop_oneof![
        2 => (leg(), 1..9_u64).prop_map(|((device, offset), len)| Drawn::Linear { device, offset, len }),
        3 => (1..5_u64, 1..4_u64, prop::collection::vec(leg(), 1..5))
            .prop_map(|(chunk, rows, legs)| Drawn::Striped { chunk, rows, legs }),
        1 => (1..5_u64).prop_map(|len| Drawn::Error { len }),
        1 => (1..5_u64).prop_map(|len| Drawn::Zero { len }),
    ]
}

pub(crate) fn tables() -> impl Strategy<Value = Vec<Drawn>> {
    prop::collection::vec(drawn(), 1..5)
}

fn runs() -> impl Strategy<Value = Run> {
    (0..SCALE, 1..7_u64, 0..7_u64, 1..7_u64).prop_map(|(start, len, gap, count)| {
        Run::new(units(start, len), (len + gap) * UNIT, count).unwrap()
    })
}

/// Any extent there is, often at one of the ends of the scale.
fn any_extent() -> impl Strategy<Value = Extent> {
    let edge = prop_oneof![0..4096_u64, any::<u64>(), u64::MAX - 4096..=u64::MAX];
    (edge.clone(), edge).prop_filter_map("not empty", |(a, b)| {
        Extent::from_bounds(DevOffset::new(a.min(b)), DevOffset::new(a.max(b))).ok()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn tables_map_and_rmap_as_they_are_drawn(
        targets in tables(),
        ranges in prop::collection::vec((0..2 * SCALE, 1..2 * SCALE), 8),
        runs in prop::collection::vec(runs(), 8),
    ) {
        let checked = Checked::new(table(&targets), draw(&targets));
        let legs = checked.mapping.legs();
        for (start, len) in ranges {
            checked.map(start, len);
            for leg in 0..legs + 2 {
                checked.rmap(leg, start, len);
            }
        }
        for run in runs {
            for leg in 0..legs + 2 {
                checked.rmap_run(leg, run);
            }
        }
    }

    #[test]
    fn partitions_map_and_rmap_as_they_are_drawn(
        start in 0..SCALE, len in 1..SCALE, at in 0..2 * SCALE, count in 1..2 * SCALE, run in runs(),
    ) {
        let slots = (start..start + len).map(|unit| Slot::On { leg: 0, unit }).collect();
        let checked = Checked::new(Window::new(units(start, len)), slots);
        checked.map(at, count);
        for leg in 0..3 {
            checked.rmap(leg, at, count);
            checked.rmap_run(leg, run);
        }
    }

    #[test]
    fn any_range_and_any_leg_have_an_answer(
        targets in tables(), on in any_extent(), range in any_extent(), leg in any::<u32>(),
        gap in 0..u64::MAX, times in 1..4_u64,
    ) {
        let layers: [Box<dyn Mapping>; 2] =
            [Box::new(table(&targets)), Box::new(Window::new(on))];
        for layer in layers {
            // Whatever is asked: parts of it, of equal length, inside the device.
            for leg in [0, 1, leg, u32::MAX] {
                for link in rmap(&*layer, leg, range) {
                    prop_assert!(range.contains_extent(link.lower().span()));
                    prop_assert!(layer.extent().contains_extent(link.upper().span()));
                }
                if let Ok(run) = Run::new(range, gap, times) {
                    let links = rmap(&*layer, leg, run);
                    let total: u64 = links.iter().map(|link| link.lower().total_len()).sum();
                    prop_assert!(total <= run.total_len());
                    for link in links {
                        prop_assert!(layer.extent().contains_extent(link.upper().span()));
                    }
                }
            }
        }
        // Forwards only where the number of chunks is small: near and beyond the end.
        let device = table(&targets);
        let parts = map(&device, range);
        let total: u64 = parts.iter().map(|part| part.upper().len()).sum();
        prop_assert_eq!(total, range.len());
        prop_assert_eq!(parts[0].upper().start(), range.start());
        prop_assert_eq!(parts[parts.len() - 1].upper().end(), range.end());
    }

    #[test]
    fn a_sink_that_breaks_is_not_called_again(targets in tables(), stop in 1..4_usize) {
        let enough = ControlFlow::Break(Stop::Enough);
        let device = table(&targets);
        let mut calls = 0;
        let all = map(&device, units(0, 2 * SCALE)).len();
        let flow = device.map(units(0, 2 * SCALE), &mut |_| {
            calls += 1;
            if calls == stop { enough } else { ControlFlow::Continue(()) }
        });
        prop_assert_eq!(calls, all.min(stop));
        prop_assert_eq!(flow, if all >= stop { enough } else { ControlFlow::Continue(()) });
        for leg in 0..device.legs() {
            let (all, mut calls) = (rmap(&device, leg, units(0, 2 * SCALE)).len(), 0);
            let flow = device.rmap(Leg::new(leg), units(0, 2 * SCALE).into(), &mut |_| {
                calls += 1;
                if calls == stop { enough } else { ControlFlow::Continue(()) }
            });
            prop_assert_eq!((calls, flow.is_break()), (all.min(stop), all >= stop));
        }
    }
}

#[test]
fn every_small_stripe_maps_and_rmaps_every_range_as_it_is_drawn() {
    for legs in 1..=4_u64 {
        for chunk in 1..=4_u64 {
            for rows in 1..=24 / (legs * chunk) {
                every_range_of(legs, chunk, rows);
            }
        }
    }
}

/// One striped target of at most 24 sectors, the second leg on the device of the first.
fn every_range_of(legs: u64, chunk: u64, rows: u64) {
    let places = (0..legs).map(|i| (usize::from(i > 1), 1 + 3 * i)).collect();
    let targets = [Drawn::Striped { chunk, rows, legs: places }];
    let checked = Checked::new(table(&targets), draw(&targets));
    let device = checked.slots.len() as u64;
    for start in 0..device + 2 {
        for len in 1..device + 3 - start {
            checked.map(start, len);
        }
    }
    let top = (chunk * rows + 3 * legs + 1) * UNITS_PER_SECTOR;
    for leg in 0..=legs as u32 {
        for start in 0..top {
            for len in 1..=top - start {
                checked.rmap(leg, start, len);
            }
        }
    }
}

#[test]
fn every_byte_of_a_small_stripe_comes_back() {
    // Byte by byte, where units of half a sector could hide an error of one.
    let device = Table::parse("0 12 striped 3 2 A 1 B 0 C 5").unwrap();
    for byte in 0..12 * 512 {
        let upper = Extent::new(DevOffset::new(byte), 1).unwrap();
        let [Mapped::To { leg, link }] = map(&device, upper)[..] else {
            panic!("one place for byte {byte}");
        };
        let (c, r) = (byte / 1024, byte % 1024);
        let start = [512, 0, 5 * 512][c as usize % 3];
        assert_eq!((link.upper(), u64::from(leg.index())), (upper.into(), c % 3));
        assert_eq!(link.lower().first().start().get(), start + (c / 3) * 1024 + r);
        assert_eq!(rmap(&device, leg.index(), link.lower()), [link]);
    }
}

#[test]
fn a_terabyte_leg_is_at_most_head_body_and_tail() {
    // Eight legs of 1 TiB in chunks of 64 KiB; the last sector of the device exists.
    let sectors_each = 1_u64 << 31;
    let legs: Vec<_> = (0..8).map(|_| ("8:0", Sector::new(2048))).collect();
    let striped = Striped::new(8 * sectors_each, 128, &legs).unwrap();
    let device = Table::new([striped.into()]).unwrap();
    let leg = 5;
    let on = device.leg_extent(Leg::new(leg)).unwrap();
    assert_eq!(on, sectors(2048, sectors_each));
    for (skip, drop, calls) in
        [(0, 0, 1), (1, 0, 2), (0, 1, 2), (512, 4096, 3), (65536, 65536, 1), (65535, 65537, 3)]
    {
        let failed = Extent::new(DevOffset::new(on.start().get() + skip), on.len() - skip - drop);
        let links = rmap(&device, leg, failed.unwrap());
        assert_eq!(links.len(), calls, "skip {skip}, drop {drop}");
        let total: u64 = links.iter().map(|link| link.upper().total_len()).sum();
        assert_eq!(total, on.len() - skip - drop);
    }
    // Wider than the leg on both sides: the leg, no more.
    let links = rmap(&device, leg, Extent::new(DevOffset::new(0), u64::MAX).unwrap());
    let chunk = Extent::new(DevOffset::new(5 * 65536), 65536).unwrap();
    let below = Extent::new(DevOffset::new(2048 * 512), 65536).unwrap();
    let run = |first, stride| Run::new(first, stride, 1 << 24).unwrap();
    assert_eq!(links, [Link::new(run(below, 65536), run(chunk, 8 * 65536)).unwrap()]);
}

#[test]
fn a_run_through_a_stripe_costs_its_phases_not_its_elements() {
    // 4 KiB bad every 20 KiB of a 1 TiB leg, chunks of 12 KiB: period 60 KiB, gcd 4 KiB.
    let legs = [("A", Sector::new(0)), ("B", Sector::new(0))];
    let chunks = (1_u64 << 40) / 12288;
    let striped = Striped::new(2 * chunks * 24, 24, &legs).unwrap();
    let device = Table::new([striped.into()]).unwrap();
    let first = Extent::new(DevOffset::new(8192), 6000).unwrap();
    let links = rmap(&device, 0, Run::new(first, 20480, 40_000_000).unwrap());
    assert!(links.len() as u64 <= 20480 / 4096 + 12288 / 4096, "{} links", links.len());
    let total: u64 = links.iter().map(|link| link.upper().total_len()).sum();
    assert_eq!(total, 40_000_000 * 6000);
}

#[test]
fn one_stripe_is_contiguous() {
    let device = Table::parse("0 4096 striped 1 16 8:0 100").unwrap();
    let all = sectors(0, 4096);
    assert_eq!(map(&device, all).len(), 1);
    assert_eq!(rmap(&device, 0, sectors(0, 9999)), [link(sectors(100, 4096), all)]);
    let links = rmap(&device, 0, sectors(103, 1000));
    assert_eq!(links, [link(sectors(103, 1000), sectors(3, 1000))]);
}
