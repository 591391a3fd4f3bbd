/// Named limits of a [`Stack`](crate::Stack), each with a defined behaviour when it is reached.
///
/// # Examples
/// ```
/// use badrange_stack::{DeviceSpec, Limits, Stack, TopologyErrorKind};
/// use badrange_core::{DevOffset, Extent};
/// let stack = Stack::with_limits(Limits { devices: 1, ..Limits::DEFAULT });
/// let disk = |name: &str| DeviceSpec::base(name, Extent::new(DevOffset::new(0), 4096).unwrap());
/// assert!(stack.add_device(disk("a")).is_ok());
/// assert_eq!(stack.add_device(disk("b")).unwrap_err().kind(), TopologyErrorKind::TooManyDevices);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Devices on the longest way from the bottom to the top. Adding or reloading a device that
    /// would make it longer is refused.
    pub depth: usize,
    /// Devices at a time. Adding more is refused.
    pub devices: usize,
    /// Registrations and upper devices on one device at a time. More are refused.
    pub holders: usize,
    /// Legs of one device. More are refused.
    pub legs: usize,
    /// Pieces one event may take through the stack (arrivals at devices and calls of holders).
    /// When they are used up no further holder is called, every byte of the report counts as not
    /// supported, so that it falls back, and the report says
    /// [`cut_short`](crate::Report::cut_short). A walk [down](crate::Snapshot::down) that has been
    /// at so many further copies of bytes leaves out the others, and says where.
    pub pieces: u64,
    /// Routes that one byte may take through the stack, counted in arrivals at devices. A device
    /// that lies on another twice doubles them. Bytes with more (at most twice as many are
    /// followed) count as not supported: they fall back, and are `Unfollowed` for whoever walks.
    pub routes: u64,
    /// Failures reported from inside a callback, from inside a callback, and so on. At the limit
    /// no holder is called and every byte falls back, as for `pieces`. Of what such a fallback
    /// reports in turn nobody is told any more: that it is [`cut_short`](crate::Report::cut_short),
    /// with all of it in the remainder, is the answer.
    pub nesting: usize,
}

impl Limits {
    /// Ample for real machines; small enough that a mistake ends.
    pub const DEFAULT: Self = Self {
        depth: 32,
        devices: 65_536,
        holders: 65_536,
        legs: 4096,
        pieces: 1 << 22,
        routes: 1 << 14,
        nesting: 8,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}
