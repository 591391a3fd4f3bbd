//! The interleave against the arithmetic as the kernel writes it, with shifts and masks, and
//! against a picture of small regions with a slot per 64 bytes.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "small numbers, and a panic is a failed test"
)]

use core::ops::ControlFlow;
use std::collections::BTreeSet;

use badrange_core::*;
use badrange_testkit::conformance::{self, Config};
use proptest::prelude::*;

use super::*;

/// The maps of published test windows: up to 16 host bridges, granularity 256.
const MAPS: [u64; 4] = [0x202_0900, 0x404_1200, 0x101_0400, 0x800];
const ALL_WAYS: [u32; 8] = [1, 2, 3, 4, 6, 8, 12, 16];

/// DPA offset to host address offset in the kernel's bit form, for encoded ways and granularity.
fn shifted(dpa: u64, pos: u64, eiw: u8, eig: u8) -> u64 {
    let low = u32::from(eig) + 8;
    let high = (dpa & ((1 << 52) - 1)) >> low;
    let row = if eiw < 8 { high << eiw } else { (high * 3) << (eiw - 8) };
    // For powers of two the position fills the bits that the shift left free.
    ((row + pos) << low) | (dpa & ((1 << low) - 1))
}

/// Bit by bit: the lowest bit of each map becomes the parity of the bits under the map.
fn stirred(mut address: u64, maps: &[u64]) -> u64 {
    for map in maps {
        let p = (0..64).find(|bit| map >> bit & 1 == 1).unwrap();
        let parity = (0..64).filter(|bit| (map >> bit & 1) == 1 && (address >> bit & 1) == 1);
        let parity = parity.count() as u64 % 2;
        address = address & !(1 << p) | parity << p;
    }
    address
}

fn region_at(base: u64, rows: u64, granule: u64, bases: &[u64]) -> Interleave {
    let len = rows * granule * bases.len() as u64;
    let hpa = Extent::new(PhysAddr::new(base), len).unwrap();
    let bases: Vec<_> = bases.iter().map(|base| DevOffset::new(*base)).collect();
    Interleave::new(hpa, Granularity::new(granule).unwrap(), &bases).unwrap()
}

fn region(rows: u64, granule: u64, ways: u32) -> Interleave {
    region_at(0, rows, granule, &vec![0; ways as usize])
}

/// The region with the published maps of as many host bridges as it has ways.
fn stir(region: Interleave) -> Interleave {
    let ways = region.ways();
    region.with_xor(ways, &MAPS).unwrap()
}

fn dev(start: u64, len: u64) -> Extent {
    Extent::new(DevOffset::new(start), len).unwrap()
}

fn rmap(mapping: &Interleave, leg: u32, lower: impl Into<Run>) -> Vec<Link> {
    let mut all = Vec::new();
    let flow = mapping.rmap(Leg::new(leg), lower.into(), &mut |link| {
        all.push(link);
        ControlFlow::Continue(())
    });
    assert_eq!(flow, ControlFlow::Continue(()));
    all
}

#[test]
fn worked_examples_of_modulo_arithmetic() {
    for (ways, granule, pos, dpa, hpa) in [
        (2, 256, 1, 0x1000, 0x2100),
        (3, 1024, 2, 0x1_2345, 0x3_6b45),
        (12, 4096, 7, 0x1_2345, 0xd_f345),
        (1, 256, 0, 0x1_2345, 0x1_2345),
        (16, 16384, 15, 0x7fff, 0x7_ffff),
    ] {
        let region = region(1 << 12, granule, ways);
        let found = region.dpa_to_hpa(Leg::new(pos), DevOffset::new(dpa));
        assert_eq!(found, Some(PhysAddr::new(hpa)), "{ways} ways");
        let back = region.hpa_to_dpa(PhysAddr::new(hpa));
        assert_eq!(back, Some((Leg::new(pos), DevOffset::new(dpa))));
    }
}

#[test]
fn worked_examples_of_xor_arithmetic() {
    // By hand. Four ways, granule 256. Granule 2 of position 1 is 544 = 2 * 256 + 32 in DPA, and
    // modulo 2336 = 0x920. Map 0x2020900 has bits 8, 11, 17, 25: of 0x920 bits 8 and 11, parity
    // even, so bit 8 is cleared: 0x820. Map 0x4041200 has bits 9, 12, ...: none of them set, so
    // bit 9 stays clear. 0x820 = 2080.
    let four = stir(region(1 << 12, 256, 4));
    let at = |region: &Interleave, pos, dpa| {
        region.dpa_to_hpa(Leg::new(pos), DevOffset::new(dpa)).map(PhysAddr::get)
    };
    assert_eq!(at(&four, 1, 544), Some(2080));
    // Position 0 of the same row: modulo 2080 = 0x820, bit 11 alone: parity odd, bit 8 set: 0x920.
    assert_eq!(at(&four, 0, 544), Some(2336));
    // Twelve ways: two maps. Position 9 of row 0 is modulo 9 * 256 + 32 = 0x920, as above: 0x820.
    let twelve = stir(region(1 << 12, 256, 12));
    assert_eq!(at(&twelve, 9, 32), Some(2080));
    // Three ways use no map at all.
    assert_eq!(stir(region(64, 256, 3)), region(64, 256, 3));
}

#[test]
fn every_byte_of_every_geometry_is_where_the_bit_form_puts_it() {
    for ways in ALL_WAYS {
        for eig in 0..=6 {
            let granularity = Granularity::from_encoded(eig).unwrap();
            let encoded = Ways::new(ways).unwrap().encoded();
            let plain = region(1 << 20, granularity.bytes(), ways);
            let low = 8 + eig;
            let maps: Vec<u64> = MAPS.iter().map(|map| map << eig).collect();
            let xor = plain.clone().with_xor(plain.ways(), &maps).unwrap();
            let used = &maps[..plain.ways().xor_maps() as usize];
            let rows = [0, 1, 2, 3, 7, 8, 63, 64, 511, 4096, (1 << 17) + 5, (1 << 20) - 1];
            for (row, pos) in rows.iter().flat_map(|row| (0..ways).map(move |pos| (*row, pos))) {
                for into in [0, 1, 63, granularity.bytes() - 1] {
                    let dpa = (row << low) + into;
                    let modulo = shifted(dpa, pos.into(), encoded, eig);
                    for (region, hpa) in [(&plain, modulo), (&xor, stirred(modulo, used))] {
                        let (leg, at) = (Leg::new(pos), DevOffset::new(dpa));
                        assert_eq!(region.dpa_to_hpa(leg, at), Some(PhysAddr::new(hpa)));
                        assert_eq!(region.hpa_to_dpa(PhysAddr::new(hpa)), Some((leg, at)));
                    }
                }
            }
        }
    }
}

/// Leg and 64-byte unit of its device, for every 64 bytes of the region.
fn picture(region: &Interleave, bases: &[u64], maps: &[u64]) -> Vec<(u32, u64)> {
    let (ways, granule) = (bases.len() as u64, region.granularity().bytes());
    let base = region.hpa().start().get();
    let mut slots = vec![None; (region.extent().len() / 64) as usize];
    for (unit, pos) in
        (0..region.extent().len() / ways / 64).flat_map(|u| (0..ways).map(move |p| (u, p)))
    {
        let dpa = unit * 64;
        let modulo = ((dpa / granule) * ways + pos) * granule + dpa % granule;
        let hpa = stirred(base + modulo, maps) - base;
        let slot = &mut slots[(hpa / 64) as usize];
        assert!(slot.is_none(), "two bytes at {hpa:#x}");
        *slot = Some((pos as u32, bases[pos as usize] + dpa));
    }
    slots.into_iter().map(|slot| slot.expect("every byte of the region is on a device")).collect()
}

/// Small regions of every kind: plain and stirred, with maps whose period is short, with maps
/// above the position, away from zero, with devices that begin anywhere.
fn small_regions() -> Vec<(Interleave, Vec<u64>, Vec<u64>)> {
    let mut all = Vec::new();
    let mut push = |base, rows, granule, bases: &[u64], bridges: u32, maps: &[u64]| {
        let region = region_at(base, rows, granule, bases);
        let bridges = Ways::new(bridges).unwrap();
        let used = maps[..(bridges.xor_maps() as usize).min(maps.len())].to_vec();
        let region = if used.is_empty() { region } else { region.with_xor(bridges, maps).unwrap() };
        all.push((region, bases.to_vec(), used));
    };
    for ways in ALL_WAYS {
        let bases: Vec<u64> = (0..u64::from(ways)).map(|i| i * 320).collect();
        push(0x10_0000, 4, 256, &bases, 1, &[]);
    }
    push(0, 32, 256, &[0, 64], 2, &[0x500]); // repeats after two rows
    push(0x1000, 24, 256, &[128, 0], 2, &[0x2500]); // the base has a bit of the map
    push(0x3000, 20, 256, &[0; 4], 4, &[0x900, 0x1200]);
    push(0, 32, 256, &[0; 4], 4, &[0x2100, 0x2200]); // two maps look at one bit
    push(0, 8, 256, &[0; 6], 6, &[0x900]);
    push(0x3000, 16, 256, &[0; 12], 12, &[0x900, 0x1200]);
    push(0, 16, 256, &[0; 8], 4, &[0x2400, 0x4800]); // bits above the granule, as high as a row
    push(0, 16, 256, &[0; 8], 2, &[0x1_0400]);
    push(0, 12, 512, &[0, 0], 2, &[0x200]); // a map of one bit changes nothing
    all
}

#[test]
fn every_range_of_a_small_region_is_as_drawn() {
    for (region, bases, maps) in small_regions() {
        let slots = picture(&region, &bases, &maps);
        let end = slots.len() as u64;
        for start in 0..=end {
            for len in
                [1, 2, 3, 4, 5, 9, 16, 17, end].into_iter().filter(|len| start + len <= end + 1)
            {
                let mut next = start * 64;
                let _ = region.map(dev(start * 64, len * 64), &mut |part| {
                    assert_eq!(part.upper().start().get(), next);
                    next = part.upper().end().get();
                    check_mapped(&slots, part);
                    ControlFlow::Continue(())
                });
                assert_eq!(next, (start + len) * 64);
            }
        }
        for leg in 0..=bases.len() as u32 {
            check_leg(&region, &slots, leg);
        }
    }
}

fn check_mapped(slots: &[(u32, u64)], part: Mapped) {
    for by in (0..part.upper().len()).step_by(64) {
        let slot = slots.get(((part.upper().start().get() + by) / 64) as usize).copied();
        let said = match part {
            Mapped::To { leg, link } => {
                Some((leg.index(), link.lower().first().start().get() + by))
            }
            Mapped::Hole(kind, _) => {
                assert_eq!(kind, HoleKind::Unmapped);
                None
            }
            Mapped::Own(_) => panic!("a region has no bytes of its own"),
        };
        assert_eq!(said, slot);
    }
}

/// Below and above, 64 bytes by 64 bytes.
fn units(links: &[Link]) -> Vec<(u64, u64)> {
    let elements = links.iter().flat_map(Link::elements);
    let units = elements.flat_map(|(lower, upper)| {
        assert_eq!(lower.len(), upper.len());
        let by = (0..lower.len()).step_by(64);
        by.map(move |by| (lower.start().get() + by, upper.start().get() + by))
    });
    units.collect()
}

/// Every range of a leg, and one byte beside it.
fn check_leg(region: &Interleave, slots: &[(u32, u64)], leg: u32) {
    let top = slots.iter().filter(|slot| slot.0 == leg).map(|slot| slot.1 + 64).max().unwrap_or(64);
    for start in (0..=top).step_by(64) {
        for len in [64, 128, 256, 320, 768, 1024, 2112, top + 64] {
            let lower = dev(start, len);
            let inside = |slot: &&(usize, &(u32, u64))| {
                slot.1.0 == leg && lower.contains(DevOffset::new(slot.1.1))
            };
            let due: BTreeSet<(u64, u64)> = (slots.iter().enumerate().filter(|slot| inside(&slot)))
                .map(|(upper, slot)| (slot.1, upper as u64 * 64))
                .collect();
            let links = rmap(region, leg, lower);
            assert!(links.iter().all(|link| lower.contains_extent(link.lower().span())));
            let said = units(&links);
            assert_eq!(said.len(), due.len());
            assert_eq!(
                said.into_iter().collect::<BTreeSet<_>>(),
                due,
                "{lower} of leg {leg} of {region:?}"
            );
        }
    }
}

#[test]
fn single_bytes_at_the_edges_of_granules() {
    for (region, ..) in small_regions() {
        let granule = region.granularity().bytes();
        for edge in (0..=region.extent().len()).step_by(granule as usize) {
            for byte in [edge.saturating_sub(1), edge, edge + 1] {
                let mut parts = Vec::new();
                let _ = region.map(dev(byte, 1), &mut |part| {
                    parts.push(part);
                    ControlFlow::Continue(())
                });
                match parts[..] {
                    [Mapped::To { leg, link }] => {
                        assert_eq!(rmap(&region, leg.index(), link.lower()), [link]);
                        let (lower, upper) = (link.lower().first(), link.upper().first());
                        let hpa = region.phys(upper).unwrap().start();
                        assert_eq!(region.hpa_to_dpa(hpa), Some((leg, lower.start())));
                        assert_eq!(region.offset(Extent::new(hpa, 1).unwrap()), Some(upper));
                    }
                    [Mapped::Hole(HoleKind::Unmapped, _)] => {
                        assert!(byte >= region.extent().len());
                    }
                    _ => panic!("one place for byte {byte}: {parts:?}"),
                }
            }
        }
    }
}

#[test]
fn the_laws_of_mappings_hold() {
    let config = Config::default().with_random_ranges(32);
    for (region, ..) in small_regions() {
        conformance::mapping(&region, &config).unwrap();
    }
    // Large ones: the last byte a decoder can address, and the end of the 64-bit scale.
    for ways in ALL_WAYS {
        let large = region(1 << 40, 4096, ways);
        conformance::mapping(&large, &config).unwrap();
        conformance::mapping(&stir(region(1 << 30, 256, ways)), &config).unwrap();
    }
    let last = u64::MAX - 0xffff;
    let high = region_at(0, 16, 256, &[last, last, 0, last]);
    conformance::mapping(&high, &config).unwrap();
}

#[test]
fn a_leg_of_a_tebibyte_is_few_runs() {
    let rows = 1_u64 << 32;
    let plain = region(rows, 256, 4);
    let whole = plain.leg_extent(Leg::new(2)).unwrap();
    assert_eq!(whole, dev(0, 1 << 40));
    let [one] = rmap(&plain, 2, whole)[..] else { panic!("one run") };
    assert_eq!(one.upper(), Run::new(dev(512, 256), 1024, rows).unwrap());
    let cut = rmap(&plain, 2, dev(1, (1 << 40) - 2));
    assert_eq!(cut.len(), 3);

    // With maps up to bit 26 and rows from bit 10 on, everything repeats after 2^17 rows.
    let stirred = stir(plain);
    let links = rmap(&stirred, 2, whole);
    assert_eq!(links.len(), 1 << 17);
    assert_eq!(links.iter().map(|link| link.upper().total_len()).sum::<u64>(), 1 << 40);
    // A short range costs what it holds: a run per two rows, the lowest bit of a map being 11.
    assert_eq!(rmap(&stirred, 2, dev(0, 64)).len(), 1);
    assert_eq!(rmap(&stirred, 2, dev(0, 256 * 64)).len(), 32);
    // A bit that changes every 32 rows: four runs, not one for each of the 64 rows of a period.
    let seldom = region(1 << 10, 256, 2).with_xor(Ways::new(2).unwrap(), &[0x4100]).unwrap();
    assert_eq!(rmap(&seldom, 1, dev(0, 256 * 128)).len(), 4);
    // Maps that reach very high never repeat: then it is what the range holds.
    let high = region(1 << 20, 256, 2).with_xor(Ways::new(2).unwrap(), &[1 << 63 | 0x100]).unwrap();
    assert_eq!(rmap(&high, 0, dev(0, 256 << 20)).len(), 1);
    // Two granules at the ends of a leg: what lies between them costs nothing.
    let ends = Run::new(dev(0, 64), (1 << 40) - 64, 2).unwrap();
    assert_eq!(rmap(&stirred, 2, ends).len(), 2);
    // Elements a whole number of periods apart are one link, or as many as they have granules.
    let period = 256 << 17;
    let spots = |from, len, stride| Run::new(dev(from, len), stride, 1 << 14).unwrap();
    assert_eq!(rmap(&stirred, 2, spots(64, 64, period)).len(), 1);
    assert_eq!(rmap(&stirred, 2, spots(64, 256, period)).len(), 2);
    assert_eq!(rmap(&stirred, 2, spots(64, 64, period / 4)).len(), 4);
}

#[test]
fn encodings_are_those_of_the_registers() {
    let encoded: Vec<_> = (0..=u8::MAX)
        .filter_map(|eiw| Some((eiw, Ways::from_encoded(eiw).ok()?.count())))
        .collect();
    assert_eq!(encoded, [(0, 1), (1, 2), (2, 4), (3, 8), (4, 16), (8, 3), (9, 6), (10, 12)]);
    let counts: Vec<_> = (0..100).filter(|count| Ways::new(*count).is_ok()).collect();
    assert_eq!(counts, [1, 2, 3, 4, 6, 8, 12, 16]);
    let bytes: Vec<_> =
        (0..=u8::MAX).filter_map(|eig| Granularity::from_encoded(eig).ok()).collect();
    let bytes: Vec<_> = bytes.iter().map(|g| (g.encoded(), g.bytes())).collect();
    assert_eq!(bytes[0], (0, 256));
    assert_eq!(bytes[6], (6, 16384));
    assert_eq!(bytes.len(), 7);
    for bad in [0, 1, 128, 255, 257, 384, 32768, u64::MAX] {
        assert_eq!(Granularity::new(bad).unwrap_err().kind(), InterleaveErrorKind::Granularity);
    }
}

#[test]
fn what_cannot_be_is_refused() {
    use InterleaveErrorKind as E;
    let new = |base, len, granule, bases: &[u64]| {
        let hpa = Extent::new(PhysAddr::new(base), len).unwrap();
        let bases: Vec<_> = bases.iter().map(|base| DevOffset::new(*base)).collect();
        Interleave::new(hpa, Granularity::new(granule).unwrap(), &bases).map_err(|err| err.kind())
    };
    for (err, base, len, granule, bases) in [
        (E::Ways, 0, 1280, 256, &[0; 5][..]),
        (E::Ways, 0, 1280, 256, &[]),
        (E::Uneven, 0, 256, 256, &[0; 2]),
        (E::Uneven, 0, 768 + 256, 256, &[0; 3]),
        (E::Uneven, 0, 512 + 64, 256, &[0; 2]),
        (E::Misaligned, 256, 512, 256, &[0; 2]),
        (E::Misaligned, 256, 1536, 256, &[0; 6]),
        (E::Overflow, 0, 512, 256, &[0, u64::MAX - 255]),
        (E::Overflow, 0, 1 << 54, 256, &[0, 0]),
    ] {
        assert_eq!(new(base, len, granule, bases).err(), Some(err), "{base:#x}+{len:#x} {bases:?}");
    }
    // Just inside each.
    assert!(new(0, 1 << 53, 256, &[0, 0]).is_ok());
    assert!(new(256, 768, 256, &[0; 3]).is_ok());
    assert!(new(512, 1536, 256, &[0; 6]).is_ok());
    assert!(new(0, 512, 256, &[0, u64::MAX - 256]).is_ok());

    let xor = |rows, granule, ways, bridges, maps: &[u64]| {
        let bridges = Ways::new(bridges).unwrap();
        region(rows, granule, ways).with_xor(bridges, maps).map_err(|err| err.kind())
    };
    assert_eq!(xor(8, 256, 4, 4, &[0x900]).unwrap_err(), E::XorCount);
    assert_eq!(xor(8, 256, 4, 3, &[0x900]).unwrap_err(), E::Ways);
    assert_eq!(xor(8, 256, 2, 2, &[0]).unwrap_err(), E::XorMap);
    assert_eq!(xor(8, 512, 2, 2, &[0x900]).unwrap_err(), E::XorMap, "tears granules apart");
    assert_eq!(xor(8, 256, 4, 4, &[0x900, 0x1300]).unwrap_err(), E::XorMap, "0x100 is in both");
    assert_eq!(xor(1, 256, 2, 2, &[0x2400]).unwrap_err(), E::Uneven, "would leave the region");
    assert!(xor(4, 256, 2, 2, &[0x2400]).is_ok());
    assert!(xor(8, 256, 4, 2, &[0x900]).is_ok(), "a window may have fewer ways than its regions");
    assert!(xor(8, 256, 4, 1, &[]).is_ok());
    assert!(xor(8, 256, 16, 16, &MAPS).is_ok(), "0x800 alone changes nothing");
    // A base inside a block of the bit that a map changes.
    let odd = region_at(0x200, 4, 256, &[0, 0]);
    assert_eq!(odd.with_xor(Ways::new(2).unwrap(), &[0x2400]).unwrap_err().kind(), E::Misaligned);
}

#[test]
fn poison_records_are_split_at_granules() {
    let record = PoisonRecord::decode(0x1_00c0 | 2, 6).unwrap();
    assert_eq!((record.dpa(), record.source()), (dev(0x1_00c0, 384), PoisonSource::Internal));
    // Two ways, 256 bytes: 64 bytes of one granule, the next granule, 64 bytes of the one after.
    let region = region_at(0x8000, 1024, 256, &[0x1_0000, 0]);
    let mut parts = Vec::new();
    let _ = record.split(&region, Leg::new(0), &mut |link| {
        let phys = |part| (region.phys(part).unwrap().start().get(), part.len());
        parts.extend(link.upper().elements().map(phys));
        ControlFlow::Continue(())
    });
    assert_eq!(parts, [(0x80c0, 64), (0x8200, 256), (0x8400, 64)]);
    // The kernel's trace event knows the first of them only.
    assert_eq!(record.traced(&region, Leg::new(0)), Some(PhysAddr::new(0x80c0)));
    assert_eq!(record.traced(&region, Leg::new(2)), None);
    // Across the end of the decoder: what the region has. Before it: nothing to trace.
    let last = PoisonRecord::decode(0xffc0, 2).unwrap();
    assert_eq!(last.traced(&region, Leg::new(0)), None);
    assert_eq!(rmap(&region, 0, last.dpa()).len(), 1);

    assert_eq!(PoisonRecord::decode(0, 0).unwrap_err().kind(), InterleaveErrorKind::Empty);
    let top = PoisonRecord::decode(u64::MAX, 1).unwrap_err();
    assert_eq!(top.kind(), InterleaveErrorKind::Overflow);
    assert!(PoisonRecord::decode(u64::MAX - 64, u32::MAX).is_err());
    let words: Vec<_> =
        (0..8).map(|code| PoisonRecord::decode(code, 1).unwrap().source()).collect();
    assert_eq!(words[3], PoisonSource::Injected);
    assert_eq!(words[5], PoisonSource::Reserved(5));
    assert_eq!(words[7], PoisonSource::Vendor);
}

#[test]
fn a_storm_names_every_page_once() {
    let region = region_at(0x10_0000, 48, 1024, &[0; 12]);
    let pages: Vec<_> = DecodeStorm::of_region(&region, PageSize::K4).collect();
    assert_eq!(pages.len() as u64, 48 * 1024 * 12 / 4096);
    assert_eq!(pages.first(), Some(&Pfn::new(0x100)));
    // On a host with longer pages there are fewer, and each has bytes of every device.
    for (page, first) in [(PageSize::K16, 0x40), (PageSize::K64, 0x10)] {
        let longer: Vec<_> = DecodeStorm::of_region(&region, page).collect();
        assert_eq!(longer.len() as u64, (48 * 1024 * 12_u64).div_ceil(page.bytes()));
        assert_eq!(longer.first(), Some(&Pfn::new(first)));
        let of_leg: Vec<_> = DecodeStorm::of_leg(&region, Leg::new(5), page).collect();
        assert_eq!(of_leg, longer);
    }
    // The last page there is ends where 64 bits do, and no extent has its last byte.
    let top = region_at(u64::MAX - 0x1fff, 31, 256, &[0]);
    let last: Vec<_> = DecodeStorm::of_leg(&top, Leg::new(0), PageSize::K4).collect();
    assert_eq!(last, [Pfn::new((1 << 52) - 2), Pfn::new((1 << 52) - 1)]);
    for seed in [0, 1, 7, u64::MAX] {
        let mut scattered: Vec<_> =
            DecodeStorm::of_region(&region, PageSize::K4).scattered(seed).collect();
        assert_ne!(scattered, pages);
        scattered.sort_unstable();
        assert_eq!(scattered, pages);
    }
    // 4 KiB hold four of twelve granules: a device is in a page of three.
    for leg in 0..12 {
        let of_leg: Vec<_> = DecodeStorm::of_leg(&region, Leg::new(leg), PageSize::K4).collect();
        let due: Vec<_> = pages.iter().copied().skip(leg as usize / 4).step_by(3).collect();
        assert_eq!(of_leg, due);
    }
    assert_eq!(DecodeStorm::of_leg(&region, Leg::new(12), PageSize::K4).count(), 0);
    // A region that ends inside a page, and one of a single page.
    assert_eq!(DecodeStorm::of_region(&region_at(0, 5, 1024, &[0]), PageSize::K4).count(), 2);
    assert_eq!(
        DecodeStorm::of_region(&region_at(0, 1, 256, &[0]), PageSize::K4).scattered(9).count(),
        1
    );
}

proptest! {
    #[test]
    fn any_byte_goes_there_and_back(
        ways in prop::sample::select(&ALL_WAYS[..]),
        eig in 0_u8..=6,
        row in 0_u64..1 << 36,
        into in 0_u64..16384,
        pos in 0_u32..16,
        base in 0_u64..1 << 20,
        maps in prop::array::uniform4(0_u64..1 << 30),
    ) {
        let low = 8 + u32::from(eig);
        let ways = Ways::new(ways).unwrap();
        let (pos, into) = (pos % ways.count(), into & ((1 << low) - 1));
        // Maps as the specification means them: bit 8 and up of the position, and any bits above.
        let maps: Vec<u64> = (0..4).map(|i| (maps[i as usize] << (low + 4)) | 1 << (low + i)).collect();
        let base = base << 28;
        let plain = region_at(base, 1 << 36, 256 << eig, &vec![0; ways.count() as usize]);
        let region = plain.with_xor(ways, &maps).unwrap();
        let (leg, dpa) = (Leg::new(pos), DevOffset::new((row << low) + into));
        let hpa = region.dpa_to_hpa(leg, dpa).unwrap();
        let modulo = base + shifted(dpa.get(), pos.into(), ways.encoded(), eig);
        prop_assert_eq!(hpa.get(), stirred(modulo, &maps[..ways.xor_maps() as usize]));
        prop_assert!(region.hpa().contains(hpa));
        prop_assert_eq!(region.hpa_to_dpa(hpa), Some((leg, dpa)));
    }

    #[test]
    fn a_run_through_an_interleave_is_its_elements(
        which in 0_usize..16,
        leg in 0_u32..4,
        start in 0_u64..6000,
        len in 1_u64..600,
        gap in 0_u64..900,
        count in 1_u64..12,
    ) {
        let (region, ..) = &small_regions()[which];
        let asked = Run::new(dev(start, len), len + gap, count).unwrap();
        run_is_its_elements(region, leg, asked);
    }

    #[test]
    fn elements_that_the_maps_treat_alike_are_taken_together(
        base in 0_u64..2,
        start in 0_u64..40_000,
        len in 1_u64..900,
        granules in 4_u64..600,
        odd in prop_oneof![3 => Just(0), 1 => 1_u64..64],
        count in 1_u64..40,
        leg in 0_u32..2,
    ) {
        // 1024 granules on each of two devices, stirred in blocks of two, all 256 of them once more.
        let region = region_at(base << 17, 1 << 10, 256, &[8192, 4096]);
        let region = region.with_xor(Ways::new(2).unwrap(), &[0x1_0500]).unwrap();
        let stride = granules * 256 + odd;
        run_is_its_elements(&region, leg, Run::new(dev(start, len), stride, count).unwrap());
    }
}

/// Bytes below and above, each inside an element that was asked for.
fn bytes(links: &[Link], asked: Run) -> Vec<(u64, u64)> {
    let mut all = Vec::new();
    for (lower, upper) in links.iter().flat_map(Link::elements) {
        assert!(asked.elements().any(|element| element.contains_extent(lower)));
        all.extend((0..lower.len()).map(|by| (lower.start().get() + by, upper.start().get() + by)));
    }
    all.sort_unstable();
    all
}

fn run_is_its_elements(region: &Interleave, leg: u32, asked: Run) {
    let each: Vec<_> = asked.elements().flat_map(|element| rmap(region, leg, element)).collect();
    assert_eq!(bytes(&rmap(region, leg, asked), asked), bytes(&each, asked), "{asked}");
}
