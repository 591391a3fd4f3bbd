//! Layers on a stack in one call: the facade wires what must not know one another.

use std::sync::Arc;

use badrange_block::dm;
use badrange_core::{DeviceId, Mapping};
use badrange_pmem::{MetadataArea, PmemDevice};
use badrange_stack::{DeviceSpec, RegisterError, Registration, Stack, TopologyError};

/// A layer that could not be put on a stack.
///
/// # Examples
/// ```
/// use badrange::{attach_table, block::dm::Table, stack::Stack};
/// let table = Table::parse("0 8 linear /dev/sda 0")?;
/// let err = attach_table(&Stack::new(), "lv", table).unwrap_err();
/// assert_eq!(err.to_string(), "lv: leg 0 lies on \"/dev/sda\", and no device has that name");
/// # Ok::<(), badrange::block::dm::TableError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AttachError {
    /// The devices do not fit on one another, or a limit is reached.
    Topology(TopologyError),
    /// A registration did not fit, or a limit is reached.
    Register(RegisterError),
    /// A table names a device that the stack does not have.
    UnknownLeg {
        /// The device that was to be added.
        device: String,
        /// Which leg of it.
        leg: u32,
        /// What the table calls the leg's device.
        on: String,
    },
}

impl core::fmt::Display for AttachError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Topology(err) => err.fmt(f),
            Self::Register(err) => err.fmt(f),
            Self::UnknownLeg { device, leg, on } => {
                write!(f, "{device}: leg {leg} lies on {on:?}, and no device has that name")
            }
        }
    }
}

impl core::error::Error for AttachError {}

impl From<TopologyError> for AttachError {
    fn from(err: TopologyError) -> Self {
        Self::Topology(err)
    }
}

impl From<RegisterError> for AttachError {
    fn from(err: RegisterError) -> Self {
        Self::Register(err)
    }
}

/// A persistent-memory namespace on a stack.
///
/// While it lives, failures in the namespace are recorded in the device's badblocks, and failures
/// in its metadata area are final (`ENXIO`), as in the kernel. Dropping it ends both; the device
/// stays until [`Stack::remove_device`].
///
/// # Examples
/// See [`attach_pmem`].
#[derive(Debug)]
#[must_use = "dropping it ends the recording of badblocks"]
pub struct AttachedPmem {
    device: DeviceId,
    _registrations: Vec<Registration>,
}

impl AttachedPmem {
    /// The device, to register on and to build on.
    #[must_use]
    pub fn device(&self) -> DeviceId {
        self.device
    }
}

/// Puts a persistent-memory device on the device that is physical memory.
///
/// # Errors
/// An [`AttachError`] when the name is taken, the memory does not exist or is too short, or a limit
/// is reached.
///
/// # Examples
/// ```
/// use std::sync::Arc;
/// use badrange::{attach_pmem, core::*, pmem::{Mode, Namespace, PmemDevice}, stack::{DeviceSpec, Stack}};
///
/// let whole = Extent::new(PhysAddr::new(0x1_0000_0000), 0x1000_0000)?;
/// let pmem = Arc::new(PmemDevice::new(Namespace::new(whole, 0x20_0000, Mode::Fsdax)?));
/// let stack = Stack::new();
/// let memory = DeviceSpec::base("mem", Extent::new(DevOffset::new(0), 1 << 46)?);
/// let memory = stack.add_device(memory)?;
/// let attached = attach_pmem(&stack, "pmem0", memory, pmem.clone())?;
///
/// let bad = Extent::new(PhysAddr::new(0x1_0020_1000), 4096)?; // byte 4096 of pmem0
/// let report = stack.fail(memory, bad.on_memory(), MfFlags::NONE)?;
/// assert_eq!(report.remainder_bytes(), 4096, "nobody holds pmem0");
/// assert_eq!(pmem.badblocks().to_string(), "8 8");
/// # drop(attached);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn attach_pmem(
    stack: &Stack,
    name: &str,
    memory: DeviceId,
    pmem: Arc<PmemDevice>,
) -> Result<AttachedPmem, AttachError> {
    let namespace = pmem.namespace();
    let device = stack.add_device(DeviceSpec::on(name, Arc::new(namespace), [memory]))?;
    let mut registrations = vec![stack.register(device, namespace.capacity(), pmem)?];
    if let Some(area) = namespace.metadata() {
        registrations.push(stack.register(memory, area.on_memory(), Arc::new(MetadataArea))?);
    }
    Ok(AttachedPmem { device, _registrations: registrations })
}

/// Puts a device-mapper table on the devices that it names.
///
/// # Errors
/// An [`AttachError`] when a device is not there or too small, the name is taken, or a limit is
/// reached.
///
/// # Examples
/// ```
/// use badrange::{attach_table, block::dm::Table, core::*, stack::{DeviceSpec, Stack}};
/// let stack = Stack::new();
/// let all = Extent::new(DevOffset::new(0), 1 << 20)?;
/// let a = stack.add_device(DeviceSpec::base("a", all))?;
/// stack.add_device(DeviceSpec::base("b", all))?;
/// let striped = attach_table(&stack, "striped", Table::parse("0 256 striped 2 8 a 0 b 0")?)?;
/// assert_eq!(stack.device_extent(striped).unwrap().len(), 256 * 512);
/// # let _ = a;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn attach_table(stack: &Stack, name: &str, table: dm::Table) -> Result<DeviceId, AttachError> {
    let mut legs = Vec::new();
    for leg in table.legs_info() {
        let on = stack.device(leg.device).ok_or_else(|| AttachError::UnknownLeg {
            device: name.to_owned(),
            leg: leg.leg.index(),
            on: leg.device.to_owned(),
        })?;
        legs.push(on);
    }
    let table: Arc<dyn Mapping> = Arc::new(table);
    Ok(stack.add_device(DeviceSpec::on(name, table, legs))?)
}
