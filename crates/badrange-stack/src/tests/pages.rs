//! Devices with pages: what falls back where, how often, and in what order.

use super::*;

#[test]
fn memory_climbs_and_only_the_remainder_falls_back() {
    let stack = Stack::new();
    let (mem, pages) = memory(&stack, "mem", 1 << 46);
    let pmem = on(&stack, "pmem0", window(at(0x10000, 0x10000)), [mem]);
    let part = on(&stack, "pmem0p1", window(at(0x2000, 0x4000)), [pmem]);
    let holder = says(Outcome::Handled);
    let _r = stack.register(part, at(0, 0x1800), holder.clone()).unwrap();

    // Pages 0x11..0x14; the holder has bytes 0x12000..0x13800 of physical memory.
    let report = fail(&stack, mem, at(0x11000, 0x3000));
    assert_eq!(holder.told(), [at(0, 0x1800).into()]);
    let rest: Vec<_> = report.remainder().collect();
    assert_eq!(rest, [at(0x11000, 0x1000).into(), at(0x13800, 0x800).into()]);
    assert_eq!(report.fell_back(), rest);
    assert_eq!(pages.failed(), [0x11, 0x13]);
    assert_eq!(report.counts().widened, 0x800, "half of page 0x13 was handled");
    let all: Run<Pfn> = Extent::new(Pfn::new(0x11), 3).unwrap().into();
    assert_eq!(pages.unmapped(), [all], "whoever handled them");
}

#[test]
fn owners_of_memory_are_notified_in_host_addresses() {
    let stack = Stack::new();
    let (mem, pages) = memory(&stack, "mem", 1 << 46);
    let owner = says(Outcome::Failed(Errno::ENXIO));
    let mine = Extent::new(PhysAddr::new(0x1000), 0x1000).unwrap();
    let _r = stack.register(mem, mine.on_memory(), owner.clone()).unwrap();
    let report = fail(&stack, mem, at(0, 0x3000));
    assert_eq!(owner.told(), [at(0x1000, 0x1000).into()]);
    assert_eq!(report.failed_bytes(), 0x1000);
    assert_eq!(pages.failed(), [0, 2], "a final failure does not fall back");
}

type Log = Arc<Mutex<Vec<String>>>;

/// Host memory with a guest's in it, from host page 16 on, and the log of both fallbacks.
fn guest_in_host() -> (Stack, [DeviceId; 2], [Arc<Pages>; 2], Log) {
    let log = Arc::new(Mutex::new(Vec::new()));
    let pages: [Arc<Pages>; 2] = Default::default();
    let logged = |i: usize, name: &'static str| {
        Arc::new(Logged { pages: pages[i].clone(), name, log: log.clone() })
    };
    let stack = Stack::new();
    let host = DeviceSpec::base("host", at(0, 1 << 30));
    let host = stack.add_device(host.fallback(PageSize::K4, logged(0, "host"))).unwrap();
    let guest = DeviceSpec::on("guest", window(at(16 * 4096, 64 * 4096)), [host]);
    let guest = stack.add_device(guest.fallback(PageSize::K16, logged(1, "guest"))).unwrap();
    (stack, [host, guest], pages, log)
}

struct Logged {
    pages: Arc<Pages>,
    name: &'static str,
    log: Log,
}

impl Fallback for Logged {
    fn memory_failure(&self, page: Granule, flags: MfFlags) {
        self.log.lock().unwrap().push(format!("{} {page}", self.name));
        self.pages.memory_failure(page, flags);
    }
    fn unmap(&self, pages: Granules) {
        self.log.lock().unwrap().push(format!("{} unmaps {pages}", self.name));
        self.pages.unmap(pages);
    }
}

#[test]
fn a_guest_falls_back_before_its_host_and_hides_nothing_from_it() {
    let (stack, [host, guest], _, log) = guest_in_host();
    // The last page before the guest, and its first two.
    let report = fail(&stack, host, at(15 * 4096, 3 * 4096));
    assert_eq!(
        *log.lock().unwrap(),
        [
            "guest pfn 0x0",
            "guest unmaps pfns [0x0..0x1)",
            "host pfn 0xf",
            "host pfn 0x10",
            "host pfn 0x11",
            "host unmaps pfns [0xf..0x12)",
        ]
    );
    let pages =
        |first, n, size| Granules::new(Extent::new(Pfn::new(first), n).unwrap().into(), size);
    let ran = [(guest, pages(0, 1, PageSize::K16)), (host, pages(15, 3, PageSize::K4))];
    assert_eq!(report.fallback(), ran);
    assert_eq!(report.counts().widened, 2 * 4096, "of the guest's page");
    assert_eq!(report.remainder_bytes(), 3 * 4096, "a fallback has no answer");
    assert_eq!(report.fell_back(), [at(15 * 4096, 3 * 4096).into()]);
}

#[test]
fn what_a_holder_in_the_guest_handles_falls_back_nowhere() {
    let (stack, [host, guest], pages, _) = guest_in_host();
    let _r = stack.register(guest, at(0, 4096), handles()).unwrap();
    let report = fail(&stack, host, at(16 * 4096, 4096));
    assert_eq!((report.handled_bytes(), report.fallback()), (4096, &[][..]));
    assert_eq!((pages[0].failed(), pages[1].failed()), (vec![], vec![]));
    assert_eq!((pages[0].unmapped_pages(), pages[1].unmapped_pages()), (vec![16], vec![0]));
}

/// An owner below the guest's memory answers for the host, not for the guest.
#[test]
fn what_is_handled_below_a_device_with_pages_still_falls_back_there() {
    let (stack, [host, _], pages, _) = guest_in_host();
    let _r = stack.register(host, at(16 * 4096, 4096), handles()).unwrap();
    let report = fail(&stack, host, at(16 * 4096, 2 * 4096));
    assert_eq!((pages[0].failed(), pages[1].failed()), (vec![17], vec![0]));
    assert_eq!(report.handled_bytes(), 4096);
    let rest: Vec<Run> = report.remainder().collect();
    assert_eq!(report.fell_back(), rest, "of the remainder");
}

#[test]
fn a_failure_named_in_the_guest_does_not_reach_the_host() {
    let (stack, [_, guest], pages, _) = guest_in_host();
    let report = fail(&stack, guest, at(4096, 512));
    assert_eq!((pages[0].failed(), pages[1].failed()), (vec![], vec![0]));
    assert_eq!(report.counts().widened, 16384 - 512);
}

#[test]
fn a_removal_neither_falls_back_nor_unmaps() {
    let (stack, [host, guest], _, log) = guest_in_host();
    let report = stack.fail(host, at(0, 1 << 20), MfFlags::MEM_PRE_REMOVE).unwrap();
    assert_eq!(report.remainder_bytes(), 1 << 20);
    assert_eq!((report.fallback(), report.fell_back()), (&[][..], vec![]));
    let flags = MfFlags::MEM_PRE_REMOVE.with(MfFlags::SW_SIMULATED);
    let _ = stack.fail(guest, at(0, 4096), flags).unwrap();
    assert_eq!(stack.remove_device(guest).unwrap().remainder_bytes(), 64 * 4096);
    assert_eq!(*log.lock().unwrap(), [""; 0]);
}

/// A device with pages that shows two halves of a disk, the second one twice.
#[test]
fn pages_reached_by_several_routes_fall_back_once() {
    let stack = Stack::new();
    let disk = disk(&stack, 1 << 20);
    let [a, b] = [("a", 0), ("b", 512)].map(|(n, s)| on(&stack, n, window(at(s, 2048)), [disk]));
    let pages = Arc::new(Pages::default());
    // Bytes 0..1024 of a, then 1024..2048 of b, then those of a once more.
    let links = [(0, 0), (1024, 1024), (0, 2048)];
    let links = links.map(|(from, to)| (at(from, 1024).into(), at(to, 1024).into()));
    let spec = DeviceSpec::on("mem", Legs::mapping(links, at(0, 3072)), [a, b, a]);
    let mem = stack.add_device(spec.fallback(PageSize::K4, pages.clone())).unwrap();
    let report = fail(&stack, disk, at(0, 4096));
    assert_eq!((pages.failed(), pages.unmapped_pages()), (vec![0], vec![0]));
    assert_eq!(report.fallback().len(), 1);
    assert_eq!(report.fallback()[0].0, mem);
    // Bytes 0..1024 through a, 1536..2560 through b.
    assert_eq!(report.fell_back(), [at(0, 1024).into(), at(1536, 1024).into()]);
    assert_eq!(report.counts().widened, 4096 - 3072);
}

/// One copy of a byte is handled, the other is not: only the other one's page falls back.
#[test]
fn copies_of_a_byte_fall_back_one_by_one() {
    let stack = Stack::new();
    let disk = disk(&stack, 1 << 20);
    let pages = Arc::new(Pages::default());
    let twice = [0, 8192].map(|to| (at(0, 8192).into(), at(to, 8192).into()));
    let spec = DeviceSpec::on("mem", Legs::mapping(twice, at(0, 16384)), [disk, disk]);
    let mem = stack.add_device(spec.fallback(PageSize::K4, pages.clone())).unwrap();
    let _r = stack.register(mem, at(0, 8192), handles()).unwrap();
    let report = fail(&stack, disk, at(4096, 100));
    assert_eq!((pages.failed(), pages.unmapped_pages()), (vec![3], vec![1, 3]));
    // A holder of each byte has handled it, and that is what the report says.
    assert_eq!((report.handled_bytes(), report.remainder_bytes()), (100, 0));
    assert_eq!(report.fell_back(), []);
}

/// A page of a deeper device comes first, also where the event reached it by a shorter way.
#[test]
fn the_topmost_device_with_pages_falls_back_first() {
    let (stack, log) = (Stack::new(), Arc::new(Mutex::new(Vec::new())));
    let paged = |name: &'static str, spec: DeviceSpec| {
        let fallback = Logged { pages: Arc::default(), name, log: log.clone() };
        stack.add_device(spec.fallback(PageSize::K4, Arc::new(fallback))).unwrap()
    };
    let disk = disk(&stack, 1 << 20);
    let a = on(&stack, "a", window(at(0, 8192)), [disk]);
    let b = on(&stack, "b", window(at(0, 8192)), [a]);
    let low = paged("low", DeviceSpec::on("low", window(at(0, 8192)), [b]));
    // Its first page is the disk's, its second one low's: the failure comes over the disk.
    let links = [(at(8192, 4096), at(0, 4096)), (at(4096, 4096), at(4096, 4096))];
    let links = links.map(|(lower, upper)| (lower.into(), upper.into()));
    let high = DeviceSpec::on("high", Legs::mapping(links, at(0, 8192)), [disk, low]);
    let _high = paged("high", high);
    let _ = fail(&stack, disk, at(0, 4096));
    let _ = fail(&stack, disk, at(8192, 512));
    let unmapped = |log: &Mutex<Vec<String>>| log.lock().unwrap().drain(..).collect::<Vec<_>>();
    let ran: Vec<String> = unmapped(&log).into_iter().filter(|l| !l.contains("unmaps")).collect();
    assert_eq!(ran, ["low pfn 0x0", "high pfn 0x0"]);
    let _ = fail(&stack, disk, at(0, 12288));
    let ran: Vec<String> = unmapped(&log).into_iter().filter(|l| !l.contains("unmaps")).collect();
    assert_eq!(ran, ["high pfn 0x0", "high pfn 0x1", "low pfn 0x0", "low pfn 0x1"]);
}

#[test]
fn strided_bytes_fall_back_on_the_pages_that_they_touch() {
    let stack = Stack::new();
    let legs = ["a", "b", "c"].map(|n| stack.add_device(DeviceSpec::base(n, at(0, 1 << 20))));
    let legs = legs.map(Result::unwrap);
    let pages = Arc::new(Pages::default());
    // Chunks of 8 KiB: leg 1 has pages 2 and 3 of every six.
    let striped = DeviceSpec::on("mem", Arc::new(Legs::striped(3, 8192, 128, 0)), legs);
    let _mem = stack.add_device(striped.fallback(PageSize::K4, pages.clone())).unwrap();
    let report = fail(&stack, legs[1], at(4096, 5 * 8192));
    let expected: Vec<u64> = [3, 8, 9, 14, 15, 20, 21, 26, 27, 32].into();
    let mut failed = pages.failed();
    failed.sort_unstable();
    assert_eq!((failed, report.counts().widened), (expected.clone(), 0));
    let mut unmapped = pages.unmapped_pages();
    unmapped.sort_unstable();
    assert_eq!(unmapped, expected);
    assert_eq!(report.fell_back(), [at(4096, 5 * 8192).into()]);
}

struct Panics;

impl Fallback for Panics {
    fn memory_failure(&self, _: Granule, _: MfFlags) {
        panic!("a bug in a fallback");
    }
    fn unmap(&self, _: Granules) {
        panic!("another one");
    }
}

#[test]
fn a_fallback_that_panics_is_counted_and_the_next_one_runs() {
    let stack = Stack::new();
    let (host, pages) = memory(&stack, "host", 1 << 20);
    let guest = DeviceSpec::on("guest", window(at(0, 8192)), [host]);
    let guest = stack.add_device(guest.fallback(PageSize::K4, Arc::new(Panics))).unwrap();
    let report = fail(&stack, host, at(0, 4096));
    assert_eq!((report.counts().panicked, pages.failed()), (2, vec![0]));
    assert_eq!(report.fallback().first().map(|(device, _)| *device), Some(guest));
    let _ = stack.remove_device(guest).unwrap();
}

/// It used to run without an end: a fallback was no callback, and was called at any depth.
#[test]
fn a_fallback_that_reports_again_ends_at_the_nesting_limit() {
    struct Again(Mutex<Option<(Stack, DeviceId)>>, Mutex<Vec<bool>>);
    impl Fallback for Again {
        fn memory_failure(&self, page: Granule, flags: MfFlags) {
            let (stack, device) = self.0.lock().unwrap().clone().unwrap();
            let bad = at(page.pfn().get() * 4096, 64);
            let report = stack.fail(device, bad, flags).unwrap();
            assert_eq!(report.remainder_bytes(), 64);
            self.1.lock().unwrap().push(report.cut_short());
        }
    }
    let stack = Stack::with_limits(Limits { nesting: 3, ..Limits::DEFAULT });
    let again = Arc::new(Again(Mutex::default(), Mutex::default()));
    let spec = DeviceSpec::base("mem", at(0, 8192)).fallback(PageSize::K4, again.clone());
    let mem = stack.add_device(spec).unwrap();
    *again.0.lock().unwrap() = Some((stack.clone(), mem));
    let report = fail(&stack, mem, at(0, 64));
    assert!(!report.cut_short());
    // Events 1 to 3 from inside of callbacks are whole, 4 only falls back, 5 not even that.
    assert_eq!(*again.1.lock().unwrap(), [true, true, false, false, false]);
    *again.0.lock().unwrap() = None;
}

#[test]
fn a_fallback_may_change_the_stack_and_nobody_waits_there() {
    struct Ends(Mutex<Option<Registration>>);
    impl Fallback for Ends {
        fn memory_failure(&self, _: Granule, _: MfFlags) {
            let registration = self.0.lock().unwrap().take().unwrap();
            assert_eq!(registration.unregister(), Err(WouldDeadlock::default()));
        }
    }
    let stack = Stack::new();
    let ends = Arc::new(Ends(Mutex::default()));
    let spec = DeviceSpec::base("mem", at(0, 8192)).fallback(PageSize::K4, ends.clone());
    let mem = stack.add_device(spec).unwrap();
    let registration = stack.register(mem, at(0, 64), says(Outcome::NotSupported)).unwrap();
    *ends.0.lock().unwrap() = Some(registration);
    let report = fail(&stack, mem, at(0, 64));
    assert_eq!((report.counts().notified, report.counts().panicked), (1, 0));
    stack.snapshot().validate().unwrap();
}
