use badrange_core::{DeviceId, Leg};

use crate::sync::Arc;

/// A device that a stack does not have.
///
/// # Examples
/// ```
/// use badrange_core::{DevOffset, Extent, MfFlags};
/// use badrange_stack::{DeviceSpec, NoDevice, Stack};
/// let all = Extent::new(DevOffset::new(0), 4096)?;
/// let (one, other) = (Stack::new(), Stack::new());
/// let disk = one.add_device(DeviceSpec::base("disk", all))?;
/// assert_eq!(other.fail(disk, all, MfFlags::NONE).unwrap_err(), NoDevice::Foreign(disk));
/// let _ = one.remove_device(disk)?;
/// let gone = one.fail(disk, all, MfFlags::NONE).unwrap_err();
/// assert_eq!(gone, NoDevice::Removed(disk));
/// assert_eq!(gone.to_string(), "device 0.1 has been removed");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum NoDevice {
    /// The id was given by another stack.
    #[error("{0} belongs to another stack")]
    Foreign(DeviceId),
    /// The device was there and has been removed.
    #[error("{0} has been removed")]
    Removed(DeviceId),
}

/// Why a device could not be added, reloaded or removed.
///
/// # Examples
/// See [`TopologyError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TopologyErrorKind {
    /// A device of this name is there already.
    DuplicateName,
    /// A device was there and has been removed.
    Removed,
    /// A device belongs to another stack.
    Foreign,
    /// The device does not begin at its byte 0.
    NotAtZero,
    /// The mapping has another number of legs than devices were given for.
    LegCount,
    /// A leg reaches beyond its device.
    LegOutside,
    /// The device would lie below itself.
    Cycle,
    /// The stack would be deeper than [`Limits::depth`](crate::Limits::depth).
    TooDeep,
    /// [`Limits::devices`](crate::Limits::devices) is reached.
    TooManyDevices,
    /// [`Limits::legs`](crate::Limits::legs) is exceeded.
    TooManyLegs,
    /// [`Limits::holders`](crate::Limits::holders) of a lower device is reached.
    TooManyHolders,
    /// Another device lies on this one.
    InUse,
    /// The device is being removed.
    Dying,
    /// A registration on the device would no longer fit the reloaded table.
    Shrunk,
}

impl TopologyErrorKind {
    pub(crate) const fn of(none: NoDevice) -> Self {
        match none {
            NoDevice::Foreign(_) => Self::Foreign,
            NoDevice::Removed(_) => Self::Removed,
        }
    }
}

/// A device that could not be added, reloaded or removed, with the numbers that did not fit.
///
/// # Examples
/// ```
/// use badrange_core::{DevOffset, Extent, Sector, Window};
/// use badrange_stack::{DeviceSpec, Stack, TopologyErrorKind};
/// use std::sync::Arc;
/// let stack = Stack::new();
/// let sda = stack.add_device(DeviceSpec::base("sda", Extent::new(DevOffset::new(0), 4096)?))?;
/// let beyond = Window::new(Extent::new(Sector::new(4), 8)?.bytes()?);
/// let err = stack.add_device(DeviceSpec::on("sda1", Arc::new(beyond), [sda])).unwrap_err();
/// assert_eq!(err.kind(), TopologyErrorKind::LegOutside);
/// assert_eq!(
///     err.to_string(),
///     "sda1: leg 0: device bytes [0x800..0x1800) reach beyond sda, which has device bytes [0x0..0x1000)",
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{device}: {}", self.reason())]
pub struct TopologyError {
    kind: TopologyErrorKind,
    device: Arc<str>,
    leg: Option<Leg>,
    why: Box<str>,
}

impl TopologyError {
    #[cold]
    pub(crate) fn new(kind: TopologyErrorKind, device: impl AsRef<str>, why: String) -> Self {
        Self { kind, device: device.as_ref().into(), leg: None, why: why.into() }
    }

    #[cold]
    pub(crate) fn on_leg(mut self, leg: Leg) -> Self {
        self.leg = Some(leg);
        self
    }

    /// What was wrong; the part of the error to match on.
    #[must_use]
    pub const fn kind(&self) -> TopologyErrorKind {
        self.kind
    }

    /// The leg concerned, where one is.
    #[must_use]
    pub const fn leg(&self) -> Option<Leg> {
        self.leg
    }

    fn reason(&self) -> String {
        self.leg.map_or_else(|| self.why.to_string(), |leg| format!("{leg}: {}", self.why))
    }
}

/// Why a holder could not be registered.
///
/// # Examples
/// See [`RegisterError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RegisterErrorKind {
    /// The device was there and has been removed.
    Removed,
    /// The device belongs to another stack.
    Foreign,
    /// The range reaches beyond the device.
    Outside,
    /// The device is being removed.
    Dying,
    /// [`Limits::holders`](crate::Limits::holders) is reached.
    TooManyHolders,
}

impl RegisterErrorKind {
    pub(crate) const fn of(none: NoDevice) -> Self {
        match none {
            NoDevice::Foreign(_) => Self::Foreign,
            NoDevice::Removed(_) => Self::Removed,
        }
    }
}

/// A holder that could not be registered, with the numbers that did not fit.
///
/// # Examples
/// ```
/// use std::sync::Arc;
/// use badrange_core::{Corruption, DevOffset, Extent, HolderFn, Outcome};
/// use badrange_stack::{DeviceSpec, RegisterErrorKind, Stack};
/// let mine = Arc::new(HolderFn(|_: &Corruption<'_>| Outcome::Handled));
/// let at = |start, len| Extent::new(DevOffset::new(start), len).unwrap();
/// let stack = Stack::new();
/// let disk = stack.add_device(DeviceSpec::base("disk", at(0, 4096))).unwrap();
/// let err = stack.register(disk, at(4000, 512), mine).unwrap_err();
/// assert_eq!(err.kind(), RegisterErrorKind::Outside);
/// assert_eq!(
///     err.to_string(),
///     "cannot register on disk: device bytes [0xfa0..0x11a0) reach beyond the device, which has device bytes [0x0..0x1000)",
/// );
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot register on {on}: {why}")]
pub struct RegisterError {
    kind: RegisterErrorKind,
    on: Arc<str>,
    why: Box<str>,
}

impl RegisterError {
    #[cold]
    pub(crate) fn new(kind: RegisterErrorKind, on: impl AsRef<str>, why: String) -> Self {
        Self { kind, on: on.as_ref().into(), why: why.into() }
    }

    /// What was wrong; the part of the error to match on.
    #[must_use]
    pub const fn kind(&self) -> RegisterErrorKind {
        self.kind
    }
}

/// Waiting for a holder's calls to end was refused: the caller is inside a callback itself.
///
/// The registration is detached all the same: no new call starts.
///
/// # Examples
/// ```
/// let err = badrange_stack::WouldDeadlock::default();
/// assert_eq!(err.to_string(), "waiting inside a callback could never end");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, thiserror::Error)]
#[error("waiting inside a callback could never end")]
#[non_exhaustive]
pub struct WouldDeadlock;
