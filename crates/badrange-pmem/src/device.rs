use badrange_core::{Corruption, Errno, Extent, Holder, MfFlags, Outcome, Run};

use crate::{Badblocks, Namespace};

/// What is no loss of stored bytes: the device goes away, a page is retired while it works, or a
/// simulated failure is undone.
const NOT_BAD: [MfFlags; 3] = [MfFlags::MEM_PRE_REMOVE, MfFlags::SOFT_OFFLINE, MfFlags::UNPOISON];

/// A persistent-memory device: its geometry and its record of bad sectors.
///
/// Registered as holder of its own bytes, it records what failed and answers
/// [`Outcome::Nothing`]: it does not know who is affected. Bytes beyond its capacity are ignored,
/// and nothing is recorded for an event with [`MfFlags::MEM_PRE_REMOVE`],
/// [`MfFlags::SOFT_OFFLINE`] or [`MfFlags::UNPOISON`].
///
/// # Kernel
/// `struct pmem_device`. The kernel records from the machine-check handler, not from
/// `memory_failure()`; here the record comes with the event.
///
/// # Examples
/// ```
/// use badrange_core::{Corruption, DevOffset, Extent, Holder, MfFlags, PhysAddr};
/// use badrange_pmem::{Mode, Namespace, PmemDevice};
/// let whole = Extent::new(PhysAddr::new(0x1_0000_0000), 64 << 20)?;
/// let device = PmemDevice::new(Namespace::new(whole, 0, Mode::Raw)?);
/// let bad = Extent::new(DevOffset::new(8192), 4096)?.into();
/// let _ = device.corrupted_range(&Corruption::new(bad, MfFlags::MEM_PRE_REMOVE, &()));
/// assert!(device.badblocks().is_empty());
/// let _ = device.corrupted_range(&Corruption::new(bad, MfFlags::NONE, &()));
/// assert_eq!(device.badblocks().to_string(), "16 8");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct PmemDevice {
    namespace: Namespace,
    badblocks: Badblocks,
}

impl PmemDevice {
    /// The device of this namespace, with no bad sector.
    #[must_use]
    pub fn new(namespace: Namespace) -> Self {
        Self::with_badblocks(namespace, Badblocks::new())
    }

    /// The device of this namespace, with the bad sectors already known.
    #[must_use]
    pub fn with_badblocks(namespace: Namespace, badblocks: Badblocks) -> Self {
        Self { namespace, badblocks }
    }

    /// The geometry: the mapping to give to the engine.
    #[must_use]
    pub fn namespace(&self) -> Namespace {
        self.namespace
    }

    /// The record of bad sectors.
    #[must_use]
    pub fn badblocks(&self) -> &Badblocks {
        &self.badblocks
    }

    /// Cost: one insertion per element; what has no gaps is one.
    fn record(&self, run: &Run) {
        for part in run.clip(self.namespace.capacity()) {
            match part.as_extent() {
                Some(extent) => self.record_extent(extent),
                None => part.elements().for_each(|extent| self.record_extent(extent)),
            }
        }
    }

    fn record_extent(&self, bad: Extent) {
        let _sectors = self.badblocks.set(bad);
    }
}

impl Holder for PmemDevice {
    fn corrupted_range(&self, what: &Corruption<'_>) -> Outcome {
        if !NOT_BAD.iter().any(|flag| what.flags().contains(*flag)) {
            self.record(&what.range());
        }
        Outcome::Nothing
    }
}

/// The holder of the memory below a namespace's data, on the memory device.
///
/// A failure there is final: the kernel refuses it before it looks for anyone to tell, and never
/// falls back.
///
/// # Kernel
/// The `-ENXIO` of `memory_failure_dev_pagemap()` for a page that is not in the mapped data.
///
/// # Examples
/// ```
/// use badrange_core::{Corruption, Errno, Extent, Holder, MfFlags, Outcome, PhysAddr};
/// use badrange_pmem::{MetadataArea, Mode, Namespace};
/// let whole = Extent::new(PhysAddr::new(0x2_4000_0000), 512 << 20)?;
/// let namespace = Namespace::new(whole, 0x20_0000, Mode::Fsdax)?;
/// let bad = namespace.metadata().unwrap().on_memory().into();
/// let answer = MetadataArea.corrupted_range(&Corruption::new(bad, MfFlags::NONE, &()));
/// assert_eq!(answer, Outcome::Failed(Errno::ENXIO));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct MetadataArea;

impl Holder for MetadataArea {
    fn corrupted_range(&self, _: &Corruption<'_>) -> Outcome {
        Outcome::Failed(Errno::ENXIO)
    }
}
