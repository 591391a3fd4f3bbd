//! From a physical address to an offset in a device.

use std::sync::Arc;

use badrange::{attach_pmem, attach_table};
use badrange_block::dm::Table;
use badrange_core::{Extent, MfFlags, Outcome, PageSize, Pfn, PhysAddr};
use badrange_pmem::{Mode, Namespace, PmemDevice};
use badrange_stack::{DeviceSpec, Stack};
use badrange_testkit::fake::{PageLog, Recorder};

use super::{at, plain};

const MIB: u64 = 1 << 20;

/// Two ranges of memory that are one device, with something else between them.
const RANGES: [(u64, u64); 2] = [(0x1_0000_0000, 2 * MIB), (0x1_4000_0000, 4 * MIB)];

/// As first merged: whatever range it is in, the start of the first is taken off.
fn first_range_only(phys: u64) -> Option<u64> {
    let known = RANGES.iter().any(|(start, len)| (*start..start + len).contains(&phys));
    known.then(|| phys - RANGES[0].0)
}

/// The sum of the ranges before, and the place in the range itself.
fn truth(phys: u64) -> Option<u64> {
    let mut before = 0;
    for (start, len) in RANGES {
        if (start..start + len).contains(&phys) {
            return Some(before + phys - start);
        }
        before += len;
    }
    None
}

/// What a holder of the whole device is told when a page fails.
fn ours(phys: u64) -> Option<u64> {
    let stack = Stack::new();
    let memory = DeviceSpec::base("mem", at(0, 1 << 46));
    let memory = memory.fallback(PageSize::K4, Arc::new(PageLog::default()));
    let memory = stack.add_device(memory).unwrap();
    let mut kept = Vec::new();
    for (i, (start, len)) in RANGES.into_iter().enumerate() {
        let whole = Extent::new(PhysAddr::new(start), len).unwrap();
        let device = PmemDevice::new(Namespace::new(whole, 0, Mode::Raw).unwrap());
        kept.push(attach_pmem(&stack, &format!("pmem{i}"), memory, Arc::new(device)).unwrap());
    }
    let (first, second) = (RANGES[0].1 / 512, RANGES[1].1 / 512);
    let text = format!("0 {first} linear pmem0 0\n{first} {second} linear pmem1 0");
    let both = attach_table(&stack, "both", Table::parse(&text).unwrap()).unwrap();
    let recorder = Arc::new(Recorder::new(Outcome::Handled));
    let all = at(0, RANGES[0].1 + RANGES[1].1);
    let _registration = stack.register(both, all, recorder.clone()).unwrap();
    let bad = Extent::new(PhysAddr::new(phys), 1).unwrap();
    let _report = stack.fail(memory, bad.on_memory(), MfFlags::NONE).unwrap();
    let notices = recorder.notices();
    assert!(notices.len() <= 1);
    notices.first().map(|notice| plain(notice.range.first()).0)
}

#[test]
fn a_device_of_several_ranges_counted_from_the_first_one() {
    let second = RANGES[1].0 + 4096;
    assert_eq!(first_range_only(second), Some(0x4000_1000), "1 GiB into a device of 6 MiB");
    assert_eq!(ours(second), Some(2 * MIB + 4096));
    for (start, len) in RANGES {
        for phys in [start - 1, start, start + 1, start + len - 1, start + len] {
            assert_eq!(ours(phys), truth(phys), "{phys:#x}");
        }
    }
}

/// The formula of the driver: what lies below the data wraps.
fn unchecked(phys: u64, start: u64, data_offset: u64) -> u64 {
    phys.wrapping_sub(start).wrapping_sub(data_offset)
}

#[test]
fn below_the_data_of_a_namespace_the_offset_wraps() {
    let (start, data_offset) = (0x2_4000_0000, 0x20_0000);
    let phys = 0x2_401f_f000;
    assert_eq!(unchecked(phys, start, data_offset), 0xffff_ffff_ffff_f000);
    let whole = Extent::new(PhysAddr::new(start), 512 * MIB).unwrap();
    let namespace = Namespace::new(whole, data_offset, Mode::Fsdax).unwrap();
    let pfn = |phys| Pfn::containing(PhysAddr::new(phys), PageSize::K4);
    assert_eq!(namespace.offset_of(pfn(phys)), None);
    let first = pfn(start + data_offset);
    assert_eq!(namespace.offset_of(first).map(|o| o.get()), Some(0));
}
