//! The other job: commands that make a chosen range of a file fail, and what must come of it.
//!
//! Commands are printed for a test machine and never run. Every injector has a granule, so more
//! bytes than asked for may fail; [`InjectPlan::at`] names exactly those that do.
//!
//! ```
//! use badrange_explain::{Explainer, inject::{Injector, plan}};
//! use badrange_input::{MemoryFiles, Topology};
//! let files = MemoryFiles::new()
//!     .with("map.txt", "\t0: 8:0 [8..15]: inode 12 data 0..7 8\n")
//!     .with("paths.txt", "12 /etc/passwd\n");
//! let text = r#"
//!     schema = "badrange.stack/1"
//!     [[disk]]
//!     name = "sda"
//!     sectors = 64
//!     [[fs]]
//!     device = "sda"
//!     kind = "xfs"
//!     map = ["map.txt"]
//!     paths = "paths.txt"
//!     block_size = 4096
//! "#;
//! let explainer = Explainer::new(Topology::load("stack.toml", text, &files)?)?;
//! let located = explainer.locate_file("/etc/passwd:600+600")?;
//! let plan = plan(&explainer, &located, Injector::NullBlk, None)?;
//! assert_eq!(plan.at, ["sda:9+2"]); // whole sectors
//! assert!(plan.commands.contains(&"echo '+9-10' > \"/sys/kernel/config/nullb/$dev/badblocks\"".to_owned()));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use core::num::NonZeroU64;
use std::collections::BTreeMap;

use badrange_core::{DevOffset, Extent, PageSize, PhysAddr, SECTOR_SIZE, Space};
use badrange_input::Device;
use serde::Serialize;

use crate::{Explainer, locate::Located};

mod commands;
#[cfg(test)]
mod tests;

/// Something that makes accesses fail.
///
/// # Examples
/// ```
/// use badrange_explain::inject::Injector;
/// assert_eq!(Injector::from_name("null_blk"), Some(Injector::NullBlk));
/// assert!(Injector::ALL.iter().all(|i| Injector::from_name(i.as_str()) == Some(*i)));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Injector {
    /// `dm-dust`: reads of listed blocks fail until they are written.
    DmDust,
    /// `dm-error` between `dm-linear` targets: reads and writes fail.
    DmError,
    /// The block layer's `error_injection` file in debugfs.
    BlockErrorInjection,
    /// The `badblocks` attribute of a `null_blk` device.
    NullBlk,
    /// `ndctl inject-error` on a namespace of a bus that can.
    Ndctl,
    /// The hwpoison injector: whole pages of memory.
    Hwpoison,
    /// `scsi_debug`: one range of medium errors.
    ScsiDebug,
}

impl Injector {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::DmDust,
        Self::DmError,
        Self::BlockErrorInjection,
        Self::NullBlk,
        Self::Ndctl,
        Self::Hwpoison,
        Self::ScsiDebug,
    ];

    /// Its name on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DmDust => "dm-dust",
            Self::DmError => "dm-error",
            Self::BlockErrorInjection => "block-error-injection",
            Self::NullBlk => "null_blk",
            Self::Ndctl => "ndctl",
            Self::Hwpoison => "hwpoison",
            Self::ScsiDebug => "scsi_debug",
        }
    }

    /// The injector of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|injector| injector.as_str() == name)
    }

    /// What fails together, in bytes, on a device with this logical block.
    const fn granule(self, logical_block: u64, page: PageSize) -> u64 {
        match self {
            Self::DmDust | Self::ScsiDebug => logical_block,
            Self::DmError | Self::BlockErrorInjection | Self::NullBlk | Self::Ndctl => SECTOR_SIZE,
            Self::Hwpoison => page.bytes(),
        }
    }
}

/// Why no commands can be given.
///
/// # Examples
/// ```
/// let err = badrange_explain::inject::InjectError::Nothing;
/// assert_eq!(err.to_string(), "no byte of this range has a place that could fail");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InjectError {
    /// No map places any byte of the range.
    #[error("no byte of this range has a place that could fail")]
    Nothing,
    /// The range lies on no such device.
    #[error("the range does not lie on {device:?}: it lies on {on}")]
    NotOn {
        /// The device that was asked for.
        device: String,
        /// Those that it lies on.
        on: String,
    },
    /// The injector needs persistent memory at the bottom.
    #[error("{} needs persistent memory at the bottom of the stack: {device} is none", .injector.as_str())]
    NoMemory {
        /// Which injector.
        injector: Injector,
        /// The lowest device.
        device: String,
    },
    /// `scsi_debug` has one range of errors.
    #[error(
        "scsi_debug has one range of medium errors and these are {ranges}: choose a shorter range, or dm-dust"
    )]
    OneRange {
        /// How many there are.
        ranges: usize,
    },
}

/// Commands for a test machine, and the bytes that fail by them.
///
/// # Examples
/// See the [module](self).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InjectPlan {
    /// The injector's name.
    pub emit: &'static str,
    /// What fails, as `explain --at` takes it: a superset of what was asked for, by rounding only.
    pub at: Vec<String>,
    /// What to run, in order, as root, in bash.
    pub commands: Vec<String>,
    /// What takes it back.
    pub undo: Vec<String>,
}

/// What of one device has to fail: disjoint, ascending, rounded to the granule.
struct Target<'t> {
    device: &'t Device,
    granule: u64,
    bad: Vec<Extent>,
}

/// Commands that make a located file range fail: every copy of it, or only what lies on `on`.
///
/// Without `on` the lowest devices fail. [`Injector::Hwpoison`] fails memory whatever `on` says is
/// between.
///
/// # Errors
/// An [`InjectError`] when the injector cannot do it for this range.
///
/// # Examples
/// See the [module](self).
pub fn plan(
    explainer: &Explainer,
    located: &Located,
    injector: Injector,
    on: Option<&str>,
) -> Result<InjectPlan, InjectError> {
    if injector == Injector::Hwpoison {
        return memory(explainer.topology().memory().page, located, on);
    }
    let targets = targets(explainer, located, injector, on)?;
    if injector == Injector::ScsiDebug {
        let ranges = targets.iter().map(|target| target.bad.len()).sum();
        if ranges > 1 {
            return Err(InjectError::OneRange { ranges });
        }
    }
    if let Some(target) = targets.iter().find(|t| injector == Injector::Ndctl && !t.is_pmem()) {
        let device = target.device.name.clone();
        return Err(InjectError::NoMemory { injector, device });
    }
    let at = targets.iter().flat_map(Target::locations).collect();
    let scripts = targets.iter().enumerate();
    let scripts: Vec<_> = scripts.map(|(nr, target)| commands::on(target, nr, injector)).collect();
    let commands = scripts.iter().flat_map(|script| script.run.clone()).collect();
    let undo = scripts.into_iter().flat_map(|script| script.undo).collect();
    Ok(InjectPlan { emit: injector.as_str(), at, commands, undo })
}

fn targets<'t>(
    explainer: &'t Explainer,
    located: &Located,
    injector: Injector,
    on: Option<&str>,
) -> Result<Vec<Target<'t>>, InjectError> {
    let (devices, page) = (explainer.topology().devices(), explainer.topology().memory().page);
    let mut bad: BTreeMap<&str, Vec<Extent>> = BTreeMap::new();
    for piece in &located.pieces {
        for route in &piece.routes {
            let chosen = match on {
                Some(on) => route.iter().find(|position| position.device == on),
                None => route.first(),
            };
            let Some(position) = chosen else { continue };
            let extent = Extent::new(DevOffset::new(position.start), piece.len).ok();
            bad.entry(position.device.as_str()).or_default().extend(extent);
        }
    }
    if bad.is_empty() {
        return Err(nowhere(located, on));
    }
    let target = |device: &'t Device| {
        let granule = injector.granule(device.logical_block, page);
        let bad = rounded(bad.remove(device.name.as_str())?, granule);
        Some(Target { device, granule, bad })
    };
    Ok(devices.iter().filter_map(target).collect())
}

fn nowhere(located: &Located, on: Option<&str>) -> InjectError {
    let routes = || located.pieces.iter().flat_map(|piece| &piece.routes).flatten();
    let mut on_devices: Vec<_> = routes().map(|position| position.device.as_str()).collect();
    on_devices.sort_unstable();
    on_devices.dedup();
    match on {
        Some(device) if !on_devices.is_empty() => {
            InjectError::NotOn { device: device.to_owned(), on: on_devices.join(", ") }
        }
        _ => InjectError::Nothing,
    }
}

/// Whole granules, adjacent and overlapping ones joined.
fn rounded<S: Space>(mut bad: Vec<Extent<S>>, granule: u64) -> Vec<Extent<S>> {
    bad.sort_unstable();
    let granule = NonZeroU64::new(granule).unwrap_or(NonZeroU64::MIN);
    let out = |extent: Extent<S>| {
        let start = extent.start().to_raw();
        let up = extent.end().to_raw().checked_next_multiple_of(granule.get())?;
        // NO-OVERFLOW: a remainder is not more than what it is the remainder of.
        let down = start.wrapping_sub(start % granule);
        Extent::from_bounds(S::from_raw(down), S::from_raw(up)).ok()
    };
    Extent::unite(bad.into_iter().filter_map(out))
}

impl Target<'_> {
    fn is_pmem(&self) -> bool {
        matches!(self.device.layer, badrange_input::Layer::Pmem { .. })
    }

    fn locations(&self) -> impl Iterator<Item = String> + '_ {
        self.in_units(SECTOR_SIZE)
            .map(|(first, count)| format!("{}:{first}+{count}", self.device.name))
    }

    /// First unit and how many, for each range.
    fn in_units(&self, unit: u64) -> impl Iterator<Item = (u64, u64)> + '_ {
        let unit = NonZeroU64::new(unit).unwrap_or(NonZeroU64::MIN);
        self.bad.iter().map(move |bad| (bad.start().get() / unit, bad.len() / unit))
    }
}

/// Pages of memory.
fn memory(page: PageSize, located: &Located, on: Option<&str>) -> Result<InjectPlan, InjectError> {
    let injector = Injector::Hwpoison;
    let mut bad: Vec<Extent<PhysAddr>> = Vec::new();
    for piece in &located.pieces {
        for (route, memory) in piece.routes.iter().zip(&piece.memory) {
            if on.is_some_and(|on| route.iter().all(|position| position.device != on)) {
                continue;
            }
            let Some(start) = memory else {
                let device = route.first().map_or_else(String::new, |p| p.device.clone());
                return Err(InjectError::NoMemory { injector, device });
            };
            bad.extend(Extent::new(PhysAddr::new(*start), piece.len).ok());
        }
    }
    if bad.is_empty() {
        return Err(nowhere(located, on));
    }
    let pages: Vec<_> = rounded(bad, page.bytes())
        .iter()
        .map(|bad| bad.containing_pages(page))
        .map(|frames| (frames.start().get(), frames.len()))
        .collect();
    let commands::Script { run, undo } = commands::pages(&pages);
    let at = pages.iter().map(|(first, count)| format!("pfn:{first:#x}+{count}")).collect();
    Ok(InjectPlan { emit: injector.as_str(), at, commands: run, undo })
}
