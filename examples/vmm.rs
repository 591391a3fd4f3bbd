//! A small VMM. A guest's memory is a device of its own, put together from pieces of host memory,
//! with a last resort of its own: a machine check. Failures arrive on one thread while memory is
//! plugged and unplugged on another.
//!
//! `docs/embedding.md` walks through it.
#![expect(clippy::print_stdout, reason = "an example shows its result")]

use core::error::Error;
use std::{
    sync::{Arc, mpsc},
    thread,
};

use badrange::core::*;
use badrange::stack::{DeviceSpec, EventQueue, Failure, PoisonLedger, QueueRecord, Report, Stack};

type Result<T> = core::result::Result<T, Box<dyn Error + Send + Sync>>;

const MIB: u64 = 1 << 20;

/// What the virtual processors and the memory manager of the guest have to do.
#[derive(Debug, PartialEq, Eq)]
enum GuestWork {
    /// Inject a machine check for the page with this guest-physical address. A page that was
    /// consumed stops whoever did, any other is only announced.
    MachineCheck { address: u64, consumed: bool },
    /// Take these guest-physical bytes out of the second-level page tables.
    Unmap { from: u64, to: u64 },
}

/// The last resort of the guest's memory: no holder in the guest handled these pages.
///
/// Called on the thread that reports the failure, in guest-physical pages; whoever runs the virtual
/// processors picks the work up. A failure that is on its way while memory is unplugged, or the
/// guest ends, may still be told: then nobody listens, and nothing is to be done.
struct Guest(mpsc::Sender<GuestWork>);

impl Fallback for Guest {
    fn memory_failure(&self, page: Granule, flags: MfFlags) {
        let address = page.pfn().phys(page.size()).expect("the guest's memory ends before 2^64");
        let consumed = flags.contains(MfFlags::ACTION_REQUIRED);
        let _ = self.0.send(GuestWork::MachineCheck { address: address.get(), consumed });
    }

    fn unmap(&self, pages: Granules) {
        for frames in pages.frames().elements() {
            let bytes = frames.bytes(pages.size()).expect("the guest's memory ends before 2^64");
            let (from, to) = (bytes.start().get(), bytes.end().get());
            let _ = self.0.send(GuestWork::Unmap { from, to });
        }
    }
}

/// What the host itself has to do.
#[derive(Debug, PartialEq, Eq)]
enum HostWork {
    /// Find and tell whoever else maps this page. The machine check of a guest does not replace
    /// it: a device model or another guest may have the same page.
    FindUsers(Pfn),
    /// Never give these pages out again.
    Retire(Pfn, u64),
}

/// The last resort of the host's memory, below that of every guest: runs for each page with bytes
/// that no holder handled. A guest's machine check is no answer, so it runs for those pages, too.
struct Host(mpsc::Sender<HostWork>);

impl Fallback for Host {
    fn memory_failure(&self, page: Granule, _: MfFlags) {
        self.0.send(HostWork::FindUsers(page.pfn())).expect("the host outlives its memory");
    }

    /// All pages that failed, whoever handled them.
    fn unmap(&self, pages: Granules) {
        for frames in pages.frames().elements() {
            let retire = HostWork::Retire(frames.start(), frames.len());
            self.0.send(retire).expect("the host outlives its memory");
        }
    }
}

/// One module of guest memory: `len` bytes of host memory from `host` on are guest-physical ones
/// from `guest` on. Leg 0 is the host's memory. (Host memory that a guest has in two places, like
/// the shadow of a ROM, needs a second leg for the second place.)
fn module(guest: u64, host: u64, len: u64) -> Result<(Leg, Link)> {
    let host = Extent::new(PhysAddr::new(host), len)?.on_memory();
    let link = Link::at(host, DevOffset::new(guest)).ok_or("beyond the end of the scale")?;
    Ok((Leg::new(0), link))
}

/// All of the guest's physical memory: its modules, and nothing in between.
fn guest_memory(modules: &[(Leg, Link)]) -> Result<Arc<dyn Mapping>> {
    let all = Extent::new(DevOffset::new(0), 1 << 40)?;
    let nothing = Rest::Hole(HoleKind::Unmapped);
    Ok(Arc::new(Piecewise::new(all, nothing, modules.iter().copied())?))
}

/// The thread that hands failures to the stack, until the queue closes.
fn handle(queue: &EventQueue, stack: &Stack) -> Result<Vec<Report>> {
    let mut reports = Vec::new();
    while let Some(batch) = queue.wait() {
        for record in batch {
            match record {
                // What was lost is somewhere in its range: all of it is suspect.
                QueueRecord::Failed { failure, .. } | QueueRecord::Lost { failure, .. } => {
                    reports.push(stack.report(failure)?);
                }
                QueueRecord::LostAnywhere { .. } => println!("too much was lost: scrub everything"),
            }
        }
    }
    Ok(reports)
}

fn machine_check(address: u64) -> GuestWork {
    GuestWork::MachineCheck { address, consumed: true }
}

/// A page of the host that failed.
fn failed_page(memory: DeviceId, pfn: u64) -> Result<Failure> {
    let range = Extent::new(Pfn::new(pfn), 1)?.bytes(PageSize::K4)?.on_memory();
    Ok(Failure { device: memory, range, flags: MfFlags::ACTION_REQUIRED })
}

/// The thread that learns of failures.
fn detect(queue: &EventQueue, memory: DeviceId, is_plugged: mpsc::Receiver<()>) -> Result<()> {
    queue.push(failed_page(memory, 0x3_0000)?); // in the low memory, if that is still there
    is_plugged.recv()?;
    queue.push(failed_page(memory, 0x5_0001)?); // page 1 of the high memory, which is there
    queue.push(failed_page(memory, 0x5_0001)?); // the same page again
    queue.push(failed_page(memory, 0x5_0080)?); // in the balloon
    queue.push(failed_page(memory, 0x9_0000)?); // no guest memory
    Ok(())
}

/// The last resorts ran, the guest's first.
fn check_order(report: &Report, guest: DeviceId) {
    let fell_back: Vec<String> = report.fallback().iter().map(|(_, run)| run.to_string()).collect();
    assert_eq!(fell_back, ["pfns [0x2..0x3)", "pfns [0x40002..0x40003)"]);
    assert_eq!(report.fallback().first().map(|(device, _)| *device), Some(guest));
}

fn main() -> Result<()> {
    let (stack, queue) = (Stack::new(), EventQueue::default());
    let ledger = Arc::new(PoisonLedger::new());

    // The host's memory, whose failed pages are counted.
    let (host_works, host_work) = mpsc::channel();
    let host = Arc::new(ledger.accounting(Arc::new(Host(host_works))));
    let all = Extent::new(DevOffset::new(0), 1 << 46)?;
    let memory = stack.add_device(DeviceSpec::base("mem", all).fallback(PageSize::K4, host))?;

    // On it the guest's: 2 MiB, from two places of the host that lie the other way around.
    let (guest_works, guest_work) = mpsc::channel();
    let low = [module(0, 0x4000_0000, MIB)?, module(MIB, 0x3000_0000, MIB)?];
    let high = module(0x1_0000_0000, 0x5000_0000, MIB)?;
    let guest = DeviceSpec::on("guest", guest_memory(&low)?, [memory]);
    let guest = guest.fallback(PageSize::K4, Arc::new(Guest(guest_works)));
    let guest = stack.add_device(guest)?;

    // A balloon has a part of what will be plugged. It knows that nothing is in there: for its
    // pages the guest is not interrupted. The registration outlasts every change of the table.
    let in_balloon = Extent::new(DevOffset::new(0x1_0008_0000), 0x1_0000)?;
    let balloon = Arc::new(HolderFn(|_: &Corruption<'_>| Outcome::Handled));
    let balloon = stack.register(guest, in_balloon, balloon)?;

    // One page fails. The topmost last resort runs first: the guest's, then the host's.
    check_order(&stack.report(failed_page(memory, 0x4_0002)?)?, guest);
    let heard: Vec<GuestWork> = guest_work.try_iter().collect();
    assert_eq!(heard, [machine_check(0x2000), GuestWork::Unmap { from: 0x2000, to: 0x3000 }]);

    // Now more of them, while memory is plugged and unplugged.
    let (plugged, is_plugged) = mpsc::channel();
    let reports = thread::scope(|scope| -> Result<Vec<Report>> {
        let worker = scope.spawn(|| handle(&queue, &stack));
        let hotplug = scope.spawn(|| -> Result<()> {
            let plugged = plugged; // dropped with this thread: nobody waits for it in vain
            // A failure sees the old table or the new one, never a mix.
            stack.reload(guest, guest_memory(&[low[0], low[1], high])?, [memory])?;
            plugged.send(())?;
            // The guest has agreed to give the low memory back.
            stack.reload(guest, guest_memory(&[high])?, [memory])?;
            Ok(())
        });
        let detector = scope.spawn(|| detect(&queue, memory, is_plugged));
        let (detected, plugged) = (detector.join(), hotplug.join());
        queue.close(); // whatever happened: the worker must not wait for more
        let reports = worker.join().map_err(|_| "the worker panicked")??;
        detected.map_err(|_| "the detector panicked")??;
        plugged.map_err(|_| "hot-plugging panicked")??;
        Ok(reports)
    })?;
    // The guest ends. Whoever is registered on its memory is notified, but nothing is poisoned.
    let end = stack.remove_device(guest)?;
    assert_eq!((end.handled_bytes(), end.fallback().len()), (in_balloon.len(), 0));
    balloon.unregister()?;

    let in_guest: Vec<GuestWork> = guest_work.try_iter().collect();
    let on_host: Vec<HostWork> = host_work.try_iter().collect();
    println!("guest: {in_guest:x?}\nhost: {on_host:x?}");
    check(&reports, &ledger, &in_guest, &on_host);
    Ok(())
}

/// What has to have happened, whatever came first.
fn check(reports: &[Report], ledger: &PoisonLedger, in_guest: &[GuestWork], on_host: &[HostWork]) {
    for report in reports {
        let sum = report.handled_bytes().checked_add(report.remainder_bytes());
        assert_eq!(sum, Some(report.len()), "every byte is accounted for");
    }
    let handled: u64 = reports.iter().map(Report::handled_bytes).sum();
    assert_eq!(handled, 4096, "the balloon's page");
    assert_eq!(ledger.failed_pages(), 5, "page 0x50001 counts once");

    assert!(in_guest.contains(&machine_check(0x1_0000_1000)));
    assert!(!in_guest.contains(&machine_check(0x1_0008_0000)), "the balloon answered");
    assert!(in_guest.contains(&GuestWork::Unmap { from: 0x1_0008_0000, to: 0x1_0008_1000 }));
    // The first failure came before the memory was unplugged, or after: the guest heard of it as a
    // whole or not at all. The host did in any case.
    let early = GuestWork::Unmap { from: MIB, to: MIB + 4096 };
    assert_eq!(in_guest.contains(&machine_check(MIB)), in_guest.contains(&early));
    for (pfn, users) in [(0x3_0000, true), (0x5_0001, true), (0x5_0080, false), (0x9_0000, true)] {
        let pfn = Pfn::new(pfn);
        assert_eq!(on_host.contains(&HostWork::FindUsers(pfn)), users);
        assert!(on_host.contains(&HostWork::Retire(pfn, 1)));
    }
}
