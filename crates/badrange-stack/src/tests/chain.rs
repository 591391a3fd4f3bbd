//! Memory devices under a region under memory under a namespace: one chain, whichever address names
//! the failure.

use super::*;

const GRAIN: u64 = 256;
const ROWS: u64 = 4096;
/// Where the region is in memory.
const BASE: u64 = 4 << 30;

struct Chain {
    stack: Stack,
    memdevs: [DeviceId; 2],
    region: DeviceId,
    memory: DeviceId,
    namespace: DeviceId,
    pages: Arc<Pages>,
}

fn region_in_memory() -> Arc<dyn Mapping> {
    let region = Link::at(at(0, 2 * GRAIN * ROWS), DevOffset::new(BASE)).unwrap();
    let parts = [(Leg::new(0), region)];
    Arc::new(Piecewise::new(at(0, 1 << 46), Rest::Own, parts).unwrap())
}

fn chain() -> Chain {
    let stack = Stack::new();
    let memdev = |name| DeviceSpec::base(name, at(0, GRAIN * ROWS));
    let memdevs = ["mem0", "mem1"].map(|name| stack.add_device(memdev(name)).unwrap());
    let region = on(&stack, "region0", Arc::new(Legs::striped(2, GRAIN, ROWS, 0)), memdevs);
    let (memory, pages) = memory(&stack, "mem", 1 << 46);
    stack.reload(memory, region_in_memory(), [region]).unwrap();
    let namespace = on(&stack, "pmem0", window(at(BASE + 0x2000, 0x8000)), [memory]);
    stack.snapshot().validate().unwrap();
    Chain { stack, memdevs, region, memory, namespace, pages }
}

fn told(holder: &Fake<impl Fn(&Corruption<'_>) -> Outcome + Send + Sync>) -> Vec<u64> {
    let mut all: Vec<u64> = holder.told().iter().flat_map(bytes).collect();
    all.sort_unstable();
    all
}

/// The address in memory of a byte of memory device 1.
fn host(on_memdev: u64) -> u64 {
    BASE + on_memdev / GRAIN * 2 * GRAIN + GRAIN + on_memdev % GRAIN
}

/// They used to reach different owners: memory was no device, and a region ended at itself.
#[test]
fn a_memory_device_and_a_host_address_reach_the_same_owner_with_the_same_bytes() {
    // From before the namespace into it, and over the end of the holder.
    for (start, len) in [(0xf00, 0x800), (0x1180, 0x300), (0x2f00, 0x400), (0x1080, 0x10)] {
        let by_device = chain();
        let by_address = chain();
        let holders = [&by_device, &by_address].map(|c| {
            let holder = says(Outcome::Handled);
            let range = at(0, 0x4000);
            (holder.clone(), c.stack.register(c.namespace, range, holder).unwrap())
        });
        let first = fail(&by_device.stack, by_device.memdevs[1], at(start, len));
        let mut handled = 0;
        let mut at_byte = start;
        while at_byte < start + len {
            let to = (at_byte / GRAIN * GRAIN + GRAIN).min(start + len);
            let part = at(host(at_byte), to - at_byte);
            handled += fail(&by_address.stack, by_address.memory, part).handled_bytes();
            at_byte = to;
        }
        assert!(handled > 0);
        assert_eq!(told(&holders[0].0), told(&holders[1].0));
        assert_eq!(first.handled_bytes(), handled);
        let expected = (start..start + len).map(host).filter_map(|b| b.checked_sub(BASE + 0x2000));
        assert_eq!(told(&holders[0].0), expected.filter(|b| *b < 0x4000).collect::<Vec<_>>());
    }
}

/// The pages that hold bytes of memory device 1.
fn pages_of(bytes: impl Iterator<Item = u64>) -> Vec<u64> {
    let mut pages: Vec<u64> = bytes.map(|b| host(b) / 4096).collect();
    pages.dedup();
    pages
}

#[test]
fn what_nobody_handles_falls_back_on_memory_once_per_page() {
    let c = chain();
    let _r = c.stack.register(c.namespace, at(0, 0x1800), handles()).unwrap();
    // Of the region, and of memory, 0x1000..0x5000; the holder has 0x2000..0x3800.
    let bad = at(0x800, 0x2000);
    let report = fail(&c.stack, c.memdevs[1], bad);
    let unhandled = (0x800..0x2800).filter(|b| !(0x1000..0x1c00).contains(b));
    assert_eq!(c.pages.failed(), pages_of(unhandled));
    assert_eq!(c.pages.failed(), [BASE / 4096 + 1, BASE / 4096 + 3, BASE / 4096 + 4]);
    assert_eq!(c.pages.unmapped_pages(), pages_of(0x800..0x2800));
    let rest: Vec<Run> = report.remainder().collect();
    assert_eq!(rest, [at(0x800, 0x800).into(), at(0x1c00, 0xc00).into()]);
    assert_eq!(report.fell_back(), rest, "in bytes of the memory device");
    assert!(report.fallback().iter().all(|(device, _)| *device == c.memory));
    // Half of the bytes of those pages are the other memory device's, or the holder's.
    assert_eq!(report.counts().widened, 3 * 4096 - (0x800 + 0xc00));
}

#[test]
fn by_host_address_the_same_pages_fall_back() {
    let c = chain();
    let _r = c.stack.register(c.namespace, at(0, 0x1800), handles()).unwrap();
    let report = fail(&c.stack, c.memory, at(BASE + 0x1000, 0x4000));
    assert_eq!(c.pages.failed(), [BASE / 4096 + 1, BASE / 4096 + 3, BASE / 4096 + 4]);
    assert_eq!(report.counts().widened, 0x800);
    let rest: Vec<Run> = report.remainder().collect();
    assert_eq!(rest, [at(BASE + 0x1000, 0x1000).into(), at(BASE + 0x3800, 0x1800).into()]);
}

#[test]
fn owners_and_fallbacks_below_the_point_that_is_named_are_not_called() {
    let c = chain();
    let [below, region, mem] = [c.memdevs[1], c.region, c.memory].map(|device| {
        let owner = says(Outcome::Nothing);
        let all = at(0, GRAIN * ROWS);
        (owner.clone(), c.stack.register(device, all, owner).unwrap())
    });
    let calls = || [below.0.told().len(), region.0.told().len(), mem.0.told().len()];
    let _ = fail(&c.stack, c.memory, at(0x1000, 0x2000));
    assert_eq!((calls(), c.pages.failed()), ([0, 0, 1], vec![1, 2]), "memory of its own");
    let _ = fail(&c.stack, c.memory, at(BASE, 512));
    assert_eq!(calls(), [0, 0, 1]);
    let _ = fail(&c.stack, c.region, at(0, 512));
    assert_eq!(calls(), [0, 1, 1]);
    let _ = fail(&c.stack, c.memdevs[1], at(0, 256));
    assert_eq!(calls(), [1, 2, 1]);
    let _ = fail(&c.stack, c.memdevs[0], at(0, 256));
    assert_eq!(calls(), [1, 3, 1]);
    c.pages.failed.lock().unwrap().clear();
    let report = fail(&c.stack, c.namespace, at(0, 4096));
    assert_eq!((calls(), c.pages.failed()), ([1, 3, 1], vec![]), "the namespace has no pages");
    assert_eq!(report.remainder_bytes(), 4096);
}

#[test]
fn a_region_may_come_and_go_under_memory() {
    let c = chain();
    let _r = c.stack.register(c.namespace, at(0, 0x8000), handles()).unwrap();
    assert_eq!(fail(&c.stack, c.memdevs[0], at(0x1000, 256)).handled_bytes(), 256);
    let none = Arc::new(Piecewise::new(at(0, 1 << 46), Rest::Own, []).unwrap());
    c.stack.reload(c.memory, none, []).unwrap();
    c.stack.snapshot().validate().unwrap();
    assert_eq!(fail(&c.stack, c.memdevs[0], at(0x1000, 256)).handled_bytes(), 0);
    assert_eq!(fail(&c.stack, c.memory, at(BASE + 0x2000, 256)).handled_bytes(), 256);
    c.stack.reload(c.memory, region_in_memory(), [c.region]).unwrap();
    c.stack.snapshot().validate().unwrap();
    assert_eq!(fail(&c.stack, c.memdevs[0], at(0x1000, 256)).handled_bytes(), 256);
    let _ = fail(&c.stack, c.memory, at(0, 1));
    assert_eq!(c.pages.failed(), [0], "it has kept its pages");
}
