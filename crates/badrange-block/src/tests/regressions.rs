//! Worked examples, and what the dm patches that were never merged got wrong.

use super::*;

/// Every leg on this device, asked for the same bad sectors: what is hit above, in sectors.
fn hit(device: &Table, name: &str, start: u64, len: u64) -> Vec<(u64, u64)> {
    let legs = device.legs_info().filter(|info| info.device == name);
    legs.flat_map(|info| rmap(device, info.leg.index(), sectors(start, len)))
        .flat_map(|link| link.upper().elements())
        .map(in_sectors)
        .collect()
}

#[test]
fn worked_example_of_a_stripe() {
    let device = Table::parse("0 2400 striped 3 16 A 2048 B 2048 C 2048").unwrap();
    let to = |sector| match map(&device, sectors(sector, 1))[..] {
        [Mapped::To { leg, link }] => {
            (device.leg_device(leg).unwrap(), in_sectors(link.lower().first()).0)
        }
        _ => panic!("one place"),
    };
    assert_eq!(to(100), ("A", 2084));
    assert_eq!(to(48), ("A", 2064));
    assert_eq!(to(47), ("C", 2063));
    assert_eq!(hit(&device, "B", 2060, 40), [(28, 4), (64, 16), (112, 16), (160, 4)]);
    let links = rmap(&device, 1, sectors(2060, 40));
    assert_eq!(links.len(), 3);
    let bytes: Vec<_> = elements(&links).map(|(_, e)| (e.start().get(), e.len())).collect();
    assert_eq!(bytes, [(14336, 2048), (32768, 8192), (57344, 8192), (81920, 2048)]);
    // Just outside of the leg on both sides.
    assert_eq!(hit(&device, "B", 2047, 1), []);
    assert_eq!(hit(&device, "B", 2848, 1), []);
    assert_eq!(hit(&device, "B", 2847, 2), [(2383, 1)]);
}

#[test]
fn worked_example_of_two_linear_targets() {
    let device = Table::parse("0 1000 linear A 5000\n1000 500 linear A 0").unwrap();
    assert_eq!(hit(&device, "A", 5999, 1), [(999, 1)]);
    assert_eq!(hit(&device, "A", 10, 1), [(1010, 1)]);
    assert_eq!(hit(&device, "A", 5990, 20), [(990, 10)]);
}

#[test]
fn dropped_dm_patches_matched_the_first_sector_only() {
    // The failure begins before the leg: the first sector is nobody's, the rest is.
    let device = Table::parse("0 100 linear A 1000").unwrap();
    assert_eq!(hit(&device, "A", 990, 20), [(0, 10)]);
    // And covers it from both sides.
    assert_eq!(hit(&device, "A", 0, 5000), [(0, 100)]);
    let striped = Table::parse("0 32 striped 2 8 A 1000 B 1000").unwrap();
    assert_eq!(hit(&striped, "B", 999, 2), [(8, 1)]);
}

#[test]
fn dropped_dm_patches_passed_the_length_unclipped() {
    // Across the end of a target into one that lies elsewhere.
    let device = Table::parse("0 10 linear A 0\n10 10 linear B 0").unwrap();
    assert_eq!(hit(&device, "A", 8, 100), [(8, 2)]);
    // Across the end of a leg, and across the end of a partition.
    let striped = Table::parse("0 16 striped 2 4 A 0 B 0").unwrap();
    assert_eq!(hit(&striped, "A", 6, 100), [(10, 2)]);
    let partition = Window::new(sectors(100, 10));
    let parts = rmap(&partition, 0, sectors(105, 1000));
    assert_eq!(parts, [link(sectors(105, 5), sectors(5, 5))]);
}

#[test]
fn dropped_dm_patches_told_the_first_match_only() {
    // The same sectors of one device in two targets, and twice in one stripe.
    let device = Table::parse("0 10 linear A 0\n10 10 linear A 5").unwrap();
    assert_eq!(hit(&device, "A", 7, 1), [(7, 1), (12, 1)]);
    let striped = Table::parse("0 16 striped 2 4 A 0 A 4").unwrap();
    assert_eq!(hit(&striped, "A", 4, 1), [(8, 1), (4, 1)]);
    let legs: Vec<_> = striped.legs_info().map(|info| (info.leg.index(), info.device)).collect();
    assert_eq!(legs, [(0, "A"), (1, "A")]);
}

#[test]
fn dropped_dm_patches_had_no_chunk_remainder() {
    // The last sector of a chunk and the first of the next are far apart above.
    let device = Table::parse("0 48 striped 3 8 A 0 B 0 C 0").unwrap();
    assert_eq!(hit(&device, "A", 7, 2), [(7, 1), (24, 1)]);
    // A chunk that is no power of two.
    let device = Table::parse("0 42 striped 2 7 A 3 B 0").unwrap();
    assert_eq!(hit(&device, "A", 3 + 6, 9), [(6, 1), (14, 7), (28, 1)]);
}

#[test]
fn dropped_dm_patches_wrapped_below_the_start() {
    // `d - (offset - begin)` for a sector below the offset is a huge number.
    let device = Table::parse("0 100 zero\n100 100 linear A 1000").unwrap();
    assert_eq!(hit(&device, "A", 999, 1), []);
    assert_eq!(hit(&device, "A", 900, 1), []);
    assert_eq!(hit(&device, "A", 0, 1), []);
    // A leg that lies lower than its target begins: `offset - begin` itself is negative.
    let device = Table::parse("0 1000 zero\n1000 10 linear A 3").unwrap();
    assert_eq!(hit(&device, "A", 0, 4), [(1000, 1)]);
    // The last bytes of the scale.
    let last = Extent::new(DevOffset::new(u64::MAX - 1), 1).unwrap();
    assert_eq!(rmap(&device, 0, last), []);
    assert_eq!(map(&device, last), [Mapped::Hole(HoleKind::Unmapped, last)]);
}

#[test]
fn a_table_may_end_where_64_bits_do() {
    // The largest whole number of sectors whose end in bytes fits.
    let most = u64::MAX / 512;
    let device = Table::parse(&format!("0 {most} linear A 0")).unwrap();
    let tail = sectors(most - 1, 1);
    assert_eq!(rmap(&device, 0, tail), [Link::same(tail)]);
    let even = most - most % 6;
    let device = Table::parse(&format!("0 {even} striped 2 3 A 0 B {}", even / 2)).unwrap();
    let tail = sectors(even - 1, 1);
    assert_eq!(hit(&device, "B", even - 1, 1), [(even - 1, 1)]);
    assert_eq!(map(&device, tail).len(), 1);
}

#[test]
fn legs_are_numbered_through_targets_without_legs() {
    let text =
        "0 4 error\n4 4 linear A 0\n8 4 zero\n12 4 zero\n16 4 striped 2 2 B 0 C 0\n20 4 error";
    let device = Table::parse(text).unwrap();
    let names: Vec<_> = (0..4).map(|i| device.leg_device(Leg::new(i))).collect();
    assert_eq!(names, [Some("A"), Some("B"), Some("C"), None]);
    let info: Vec<_> = device.legs_info().map(|i| (i.target, i.leg.index(), i.device)).collect();
    assert_eq!(info, [(1, 0, "A"), (4, 1, "B"), (4, 2, "C")]);
    assert_eq!(hit(&device, "C", 1, 1), [(19, 1)]);
}
