//! A small VMM: guest memory as a layer and a holder of its own. Failures arrive on one thread
//! while memory is plugged and unplugged on another.
//!
//! `docs/embedding.md` walks through it.
#![expect(clippy::print_stdout, reason = "an example shows its result")]

use core::{error::Error, ops::ControlFlow};
use std::{
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
};

use badrange::core::*;
use badrange::stack::{
    BadRange, DeviceSpec, EventQueue, Failure, PoisonLedger, Record, Registration, Stack,
};

type Result<T> = core::result::Result<T, Box<dyn Error + Send + Sync>>;
type Dev = Extent<DevOffset>;
type Sink<'a, T> = &'a mut dyn FnMut(T) -> ControlFlow<()>;

/// The layer: one module of guest memory, put together from pieces of host memory. Leg `i` is the
/// `i`-th piece; byte 0 of the module is the first byte of leg 0.
#[derive(Debug)]
struct Module {
    /// Where each piece is in the host, and in the module.
    pieces: Vec<(Extent<PhysAddr>, Dev)>,
    all: Dev,
}

impl Module {
    fn new(host: &[Extent<PhysAddr>]) -> Result<Self> {
        let mut pieces = Vec::new();
        let mut end = DevOffset::new(0);
        for piece in host {
            let here = Extent::new(end, piece.len())?;
            end = here.end();
            pieces.push((*piece, here));
        }
        Ok(Self { pieces, all: Extent::from_bounds(DevOffset::new(0), end)? })
    }
}

impl Mapping<PhysAddr, DevOffset> for Module {
    fn legs(&self) -> u32 {
        u32::try_from(self.pieces.len()).unwrap_or(u32::MAX)
    }
    fn extent(&self) -> Dev {
        self.all
    }
    fn leg_extent(&self, leg: Leg) -> Option<Extent<PhysAddr>> {
        self.pieces.get(usize::try_from(leg.index()).ok()?).map(|(host, _)| *host)
    }
    fn map(&self, upper: Dev, sink: Sink<'_, Mapped<PhysAddr>>) -> ControlFlow<()> {
        for ((host, here), leg) in self.pieces.iter().zip((0..).map(Leg::new)) {
            let Some(upper) = upper.intersect(*here) else { continue };
            if let Some(lower) = upper.rebase(here.start(), host.start()) {
                sink(Mapped::To { leg, upper, lower })?;
            }
        }
        let beyond = upper.split_at(self.all.end()).1.into_iter();
        let hole = |upper| Mapped::Hole { kind: HoleKind::Unmapped, upper };
        beyond.map(hole).try_for_each(sink)
    }
    fn rmap(
        &self,
        leg: Leg,
        lower: Extent<PhysAddr>,
        sink: Sink<'_, Rmapped<PhysAddr>>,
    ) -> ControlFlow<()> {
        let piece = usize::try_from(leg.index()).ok().and_then(|leg| self.pieces.get(leg));
        let hit = piece.and_then(|(host, here)| {
            let lower = lower.intersect(*host)?; // clip first, in the coordinates of the host
            Some(Rmapped { lower, upper: lower.rebase(host.start(), here.start())? })
        });
        hit.into_iter().try_for_each(sink)
    }
}

/// What the guest hears of.
#[derive(Debug, PartialEq, Eq)]
enum Signal {
    /// A machine check for these bytes of guest-physical memory.
    MachineCheck { from: u64, to: u64 },
    /// The module is about to go.
    Eject { module: String },
}

/// The holder: tells the guest, in guest-physical addresses.
struct Guest {
    module: String,
    /// Where the module begins in guest-physical memory.
    base: u64,
    signals: mpsc::Sender<Signal>,
}

impl Holder for Guest {
    fn corrupted_range(&self, what: &Corruption<'_>) -> Outcome {
        if what.flags().contains(MfFlags::MEM_PRE_REMOVE) {
            let signal = Signal::Eject { module: self.module.clone() };
            return self.answer(self.signals.send(signal).is_ok());
        }
        let sent = what.range().elements().all(|bad| {
            let guest = |at: DevOffset| self.base.checked_add(at.get());
            let (Some(from), Some(to)) = (guest(bad.start()), guest(bad.end())) else {
                return false;
            };
            self.signals.send(Signal::MachineCheck { from, to }).is_ok()
        });
        self.answer(sent)
    }
}

impl Guest {
    /// Without a guest to tell, the host has to find the users of each page itself.
    fn answer(&self, told: bool) -> Outcome {
        if told { Outcome::Handled } else { Outcome::NotSupported }
    }
}

/// The last resort: pages of the host that no guest memory lies on.
#[derive(Default)]
struct Host(Mutex<Vec<u64>>);

impl Fallback for Host {
    fn memory_failure(&self, pfn: Pfn, _: MfFlags) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(pfn.get());
    }
}

/// Plugs a module in: from the moment this returns, its failures reach the guest.
fn plug(stack: &Stack, module: Module, guest: Guest) -> Result<(DeviceId, Registration)> {
    let (name, all) = (guest.module.clone(), module.all);
    let device = stack.add_device(DeviceSpec::on_memory(name, Arc::new(module)))?;
    Ok((device, stack.register(device, all, Arc::new(guest))?))
}

fn host(start: u64, len: u64) -> Result<Extent<PhysAddr>> {
    Ok(Extent::new(PhysAddr::new(start), len)?)
}

fn failure(page: u64) -> Result<Failure> {
    let range = BadRange::Memory(Extent::new(Pfn::new(page), 1)?.bytes()?);
    Ok(Failure { range, flags: MfFlags::ACTION_REQUIRED })
}

/// The thread that hands failures to the stack, until the queue closes. Returns how many reports.
fn handle(queue: &EventQueue, stack: &Stack, ledger: &PoisonLedger, host: &Host) -> u64 {
    let mut reports = 0_u64;
    while let Some(batch) = queue.wait() {
        for record in batch {
            reports = reports.saturating_add(record.reports());
            match record {
                // What was lost is somewhere in its range: all of it is suspect.
                Record::Failed { failure, .. } | Record::Lost { failure, .. } => {
                    let report = stack.report(failure, &ledger.accounting(host));
                    let sum = report.handled_bytes().checked_add(report.remainder_bytes());
                    assert_eq!(sum, Some(failure.range.len()), "every byte is accounted for");
                }
                Record::LostAnywhere { .. } => println!("too much was lost: scrub everything"),
            }
        }
    }
    reports
}

fn main() -> Result<()> {
    let (stack, queue, ledger) = (Stack::new(), EventQueue::default(), PoisonLedger::new());
    let (signals, guest_hears) = mpsc::channel();
    let guest = |module: &str, base| {
        let (module, signals) = (module.to_owned(), signals.clone());
        Guest { module, base, signals }
    };
    // 2 MiB of guest memory at 0, from two places of the host that lie the other way around.
    let dimm0 = Module::new(&[host(0x4000_0000, 0x10_0000)?, host(0x3000_0000, 0x10_0000)?])?;
    let (device0, _on_dimm0) = plug(&stack, dimm0, guest("dimm0", 0))?;

    let nobodys = Host::default();
    let (plugged, is_plugged) = mpsc::channel();
    let reports = thread::scope(|scope| -> Result<u64> {
        let worker = scope.spawn(|| handle(&queue, &stack, &ledger, &nobodys));
        let hotplug = scope.spawn(|| -> Result<Registration> {
            let plugged = plugged; // dropped with this thread: nobody waits for it in vain
            let dimm1 = Module::new(&[host(0x5000_0000, 0x10_0000)?])?;
            let (_, on_dimm1) = plug(&stack, dimm1, guest("dimm1", 0x1_0000_0000))?;
            plugged.send(())?;
            // Meanwhile the first module goes. Its holder is told, and not called any more after.
            let report = stack.remove_device(device0)?;
            assert_eq!(report.handled_bytes(), 0x20_0000);
            Ok(on_dimm1)
        });
        let failures = &queue;
        let detector = scope.spawn(move || -> Result<()> {
            failures.push(failure(0x3_0000)?); // page 0x100 of dimm0, if that is still there
            is_plugged.recv()?;
            failures.push(failure(0x5_0001)?); // page 1 of dimm1, which is there
            failures.push(failure(0x5_0001)?); // the same page again
            failures.push(failure(0x9_0000)?); // no guest memory
            Ok(())
        });
        let (detected, on_dimm1) = (detector.join(), hotplug.join());
        queue.close(); // whatever happened: the worker must not wait for more
        let reports = worker.join().map_err(|_| "the worker panicked")?;
        detected.map_err(|_| "the detector panicked")??;
        on_dimm1.map_err(|_| "hot-plugging panicked")??.unregister()?;
        Ok(reports)
    })?;

    assert_eq!(reports, 4);
    assert_eq!(ledger.failed_pages(), 3, "page 0x50001 counts once");
    let mut heard: Vec<Signal> = guest_hears.try_iter().collect();
    let fell_back = nobodys.0.into_inner().unwrap_or_else(PoisonError::into_inner);
    println!("the guest heard {heard:x?}; on the host fell back {fell_back:x?}");
    // The first failure was in time for the guest, or fell back: one or the other, never neither.
    let early = Signal::MachineCheck { from: 0x10_0000, to: 0x10_1000 };
    assert_ne!(heard.contains(&early), fell_back.contains(&0x3_0000));
    assert!(fell_back.contains(&0x9_0000) && !fell_back.contains(&0x5_0001));
    heard.retain(|signal| *signal != early);
    assert!(heard.contains(&Signal::Eject { module: "dimm0".to_owned() }));
    let late = Signal::MachineCheck { from: 0x1_0000_1000, to: 0x1_0000_2000 };
    assert!(heard.contains(&late));
    Ok(())
}
