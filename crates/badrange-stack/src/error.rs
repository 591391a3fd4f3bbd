use badrange_core::{DeviceId, Leg};

use crate::sync::Arc;

/// Why a device could not be added, reloaded or removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TopologyErrorKind {
    /// A device of this name is there already.
    DuplicateName,
    /// No such device, or not any more.
    UnknownDevice,
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
    /// The device has no table to reload: it is the bottom of the stack, or lies on memory.
    NoTable,
    /// A registration on the device would no longer fit the reloaded table.
    Shrunk,
}

/// A device that could not be added, reloaded or removed.
///
/// # Examples
/// ```
/// use badrange_core::{DevOffset, DeviceId, Extent};
/// use badrange_stack::{Stack, TopologyErrorKind};
/// let err = Stack::new().remove_device(DeviceId::new(7, 1)).unwrap_err();
/// assert_eq!(err.kind(), TopologyErrorKind::UnknownDevice);
/// assert_eq!(err.to_string(), "device 7.1: no such device");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{device}: {}", self.reason())]
pub struct TopologyError {
    kind: TopologyErrorKind,
    device: Arc<str>,
    leg: Option<Leg>,
}

impl TopologyError {
    #[cold]
    pub(crate) fn new(kind: TopologyErrorKind, device: impl Into<Arc<str>>) -> Self {
        Self { kind, device: device.into(), leg: None }
    }

    #[cold]
    pub(crate) fn of_id(kind: TopologyErrorKind, id: DeviceId) -> Self {
        Self::new(kind, id.to_string())
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
        let what = match self.kind {
            TopologyErrorKind::DuplicateName => "a device of this name exists",
            TopologyErrorKind::UnknownDevice => "no such device",
            TopologyErrorKind::LegCount => "the mapping has another number of legs than devices",
            TopologyErrorKind::LegOutside => "reaches beyond its device",
            TopologyErrorKind::Cycle => "the device would lie below itself",
            TopologyErrorKind::TooDeep => "the stack would be too deep",
            TopologyErrorKind::TooManyDevices => "too many devices",
            TopologyErrorKind::TooManyLegs => "too many legs",
            TopologyErrorKind::TooManyHolders => "too many holders on a lower device",
            TopologyErrorKind::InUse => "another device lies on it",
            TopologyErrorKind::Dying => "the device is being removed",
            TopologyErrorKind::NoTable => "the device has no table to reload",
            TopologyErrorKind::Shrunk => "a registration lies beyond the new table",
        };
        self.leg.map_or_else(|| what.to_owned(), |leg| format!("{leg}: {what}"))
    }
}

/// Why a holder could not be registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RegisterErrorKind {
    /// No such device, or not any more.
    UnknownDevice,
    /// The range reaches beyond the device.
    Outside,
    /// The device is being removed.
    Dying,
    /// [`Limits::holders`](crate::Limits::holders) is reached.
    TooManyHolders,
}

/// A holder that could not be registered.
///
/// # Examples
/// ```
/// use std::sync::Arc;
/// use badrange_core::{Corruption, DevOffset, Extent, Holder, Outcome};
/// use badrange_stack::{DeviceSpec, RegisterErrorKind, Stack};
/// struct Mine;
/// impl Holder for Mine {
///     fn corrupted_range(&self, _: &Corruption<'_>) -> Outcome { Outcome::Handled }
/// }
/// let at = |start, len| Extent::new(DevOffset::new(start), len).unwrap();
/// let stack = Stack::new();
/// let disk = stack.add_device(DeviceSpec::base("disk", at(0, 4096))).unwrap();
/// let err = stack.register(disk, at(4000, 512), Arc::new(Mine)).unwrap_err();
/// assert_eq!(err.kind(), RegisterErrorKind::Outside);
/// assert_eq!(err.to_string(), "cannot register on disk: device bytes [0xfa0..0x11a0) reach beyond the device");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot register on {on}: {}", self.reason())]
pub struct RegisterError {
    kind: RegisterErrorKind,
    on: Arc<str>,
    range: String,
}

impl RegisterError {
    #[cold]
    pub(crate) fn new(
        kind: RegisterErrorKind,
        on: impl Into<Arc<str>>,
        range: impl core::fmt::Display,
    ) -> Self {
        Self { kind, on: on.into(), range: range.to_string() }
    }

    /// What was wrong; the part of the error to match on.
    #[must_use]
    pub const fn kind(&self) -> RegisterErrorKind {
        self.kind
    }

    fn reason(&self) -> String {
        match self.kind {
            RegisterErrorKind::UnknownDevice => "no such device".to_owned(),
            RegisterErrorKind::Outside => format!("{} reach beyond the device", self.range),
            RegisterErrorKind::Dying => "the device is being removed".to_owned(),
            RegisterErrorKind::TooManyHolders => "too many holders".to_owned(),
        }
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
