#![expect(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "small numbers, and a panic is a failed test"
)]

use proptest::prelude::*;

use super::*;
use crate::ModelMemory;

const VA: u64 = 0x7f00_0000_0000;

fn at(start: u64, len: u64) -> Extent {
    Extent::new(DevOffset::new(start), len).unwrap()
}

#[test]
fn a_load_dies_of_poison_and_of_nothing_there() {
    let memory = ModelMemory::new(0x4000, 64);
    memory.poison(at(0x2fff, 1));
    let vma = Vma::new(VA, 0x2000, DevOffset::new(0x1000)).unwrap();
    let mapping = UserMapping::new(&memory, vma, Align::Size4K, Precision::Page);
    let load = |addr: u64, len: usize| mapping.load(addr, &mut vec![0; len]);
    assert_eq!(load(VA, 0x1fc0), Ok(()));
    let signal = Sigbus::new(SigbusCode::MceerrAr, VA + 0x1000, 12);
    assert_eq!(load(VA, 0x1fc1), Err(UserFault::Sigbus(signal)));
    assert_eq!(load(VA + 0x1fff, 1), Err(UserFault::Sigbus(signal)), "the last byte");
    assert_eq!(load(VA + 0x2000, 1), Err(UserFault::Segv(VA + 0x2000)));
    assert_eq!(load(VA - 1, 1), Err(UserFault::Segv(VA - 1)));
    assert_eq!(load(VA - 1, 0), Ok(()));
    // Past the end: what is there is copied.
    memory.clear_poison(at(0, 0x4000));
    let copied = mapping.load_nofault(VA + 0x1ff0, &mut [0; 32]);
    assert_eq!((copied.bytes(), copied.stopped()), (16, Some(UserFault::Segv(VA + 0x2000))));
}

#[test]
fn a_signal_names_the_page_or_the_unit_and_always_the_size_of_the_unit() {
    let memory = ModelMemory::new(4 << 20, 256);
    memory.poison(at((3 << 20) + 0x5100, 1));
    let vma = Vma::new(VA, 4 << 20, DevOffset::new(0)).unwrap();
    for (unit, precision, addr, lsb) in [
        (Align::Size4K, Precision::Page, VA + (3 << 20) + 0x5000, 12),
        (Align::Size4K, Precision::Unit, VA + (3 << 20) + 0x5000, 12),
        (Align::Size2M, Precision::Page, VA + (3 << 20) + 0x5000, 21),
        (Align::Size2M, Precision::Unit, VA + (2 << 20), 21),
        (Align::Size1G, Precision::Unit, VA, 30),
    ] {
        let mapping = UserMapping::new(&memory, vma, unit, precision);
        let Err(UserFault::Sigbus(signal)) = mapping.load(VA + (3 << 20) + 0x5180, &mut [0; 1])
        else {
            panic!("no signal")
        };
        assert_eq!(signal, Sigbus::new(SigbusCode::MceerrAr, addr, lsb), "{unit} {precision:?}");
    }
}

#[test]
fn no_signal_names_less_than_a_page_of_its_host() {
    let memory = ModelMemory::new(4 << 20, 256);
    memory.poison(at((3 << 20) + 0x1_5100, 1));
    let vma = Vma::new(VA, 4 << 20, DevOffset::new(0)).unwrap();
    for (page, unit, precision, addr, lsb) in [
        (PageSize::K64, Align::Size4K, Precision::Page, VA + (3 << 20) + 0x1_0000, 16),
        (PageSize::K64, Align::Size4K, Precision::Unit, VA + (3 << 20) + 0x1_0000, 16),
        (PageSize::K16, Align::Size4K, Precision::Page, VA + (3 << 20) + 0x1_4000, 14),
        (PageSize::K64, Align::Size2M, Precision::Page, VA + (3 << 20) + 0x1_0000, 21),
        (PageSize::K64, Align::Size2M, Precision::Unit, VA + (2 << 20), 21),
    ] {
        let mapping = UserMapping::new(&memory, vma, unit, precision).with_page_size(page);
        let fault = mapping.load(VA + (3 << 20) + 0x1_5180, &mut [0; 1]).unwrap_err();
        let signal = Sigbus::new(SigbusCode::MceerrAr, addr, lsb);
        assert_eq!(fault, UserFault::Sigbus(signal), "{page} {unit} {precision:?}");
    }
}

#[test]
fn an_alias_of_an_alias_is_the_byte_itself() {
    let region = Extent::new(PhysAddr::new(0x10_0000), 0x2_0000).unwrap();
    for offset in [0, 1, 0xffff, 0x1_0000, 0x1_0001, 0x1_ffff] {
        let addr = PhysAddr::new(0x10_0000 + offset);
        let alias = cache_alias(region, 0x1_0000, addr).unwrap();
        assert!(region.contains(alias) && alias != addr);
        assert_eq!(cache_alias(region, 0x1_0000, alias), Some(addr), "{offset:#x}");
    }
    assert_eq!(cache_alias(region, 0, PhysAddr::new(0x10_0000)), None);
}

proptest! {
    /// A loop over `load_nofault` that steps over each granule finds every good byte and no other.
    #[test]
    fn a_loop_without_faults_finds_every_good_byte(bad in prop::collection::btree_set(0..64_u64, 0..8), start in 0..4096_u64, len in 1..4096_u64) {
        let memory = ModelMemory::new(4096, 64);
        memory.copy_in(DevOffset::new(0), &[5; 4096]);
        for granule in &bad {
            memory.poison(at(granule * 64, 1));
        }
        let vma = Vma::new(VA, 4096, DevOffset::new(0)).unwrap();
        let mapping = UserMapping::new(&memory, vma, Align::Size4K, Precision::Page);
        let end = (start + len).min(4096);
        let (mut next, mut found) = (start, Vec::new());
        while next < end {
            let mut buf = vec![0; (end - next) as usize];
            let copied = mapping.load_nofault(VA + next, &mut buf);
            prop_assert!(buf[..copied.bytes()].iter().all(|b| *b == 5));
            found.extend(next..next + copied.bytes() as u64);
            next += copied.bytes() as u64;
            if copied.stopped().is_some() {
                next = (next / 64 + 1) * 64;
            }
        }
        let expected: Vec<u64> = (start..end).filter(|b| !bad.contains(&(b / 64))).collect();
        prop_assert_eq!(found, expected);
    }
}
