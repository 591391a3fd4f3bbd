//! Named limits of a scenario. Beyond one of them a scenario is refused, with the limit in the
//! message: a simulation ends in seconds, or does not begin.

/// Bytes of a scenario text.
pub const MAX_TEXT_BYTES: usize = 256 << 20;

/// Elements of any one list.
pub const MAX_LIST: usize = 1 << 20;

/// Devices of one machine.
pub const MAX_DEVICES: usize = 1024;

/// Filesystems of one machine.
pub const MAX_FILESYSTEMS: usize = 256;

/// Extents of one filesystem.
pub const MAX_EXTENTS: usize = 1 << 17;

/// Processes of one machine.
pub const MAX_PROCESSES: usize = 1024;

/// Events of one scenario.
pub const MAX_EVENTS: usize = 4096;

/// Entries of all page tables together, whatever the size of the page. Every signal and every
/// unmapped page stands for one of them, so this bounds the work of any event.
pub const MAX_TOUCHED_PAGES: u64 = 1 << 22;

/// How many devices may stand on each other.
pub const MAX_DEPTH: usize = 16;

/// Ways up from all pmem devices together; a table with two legs on one device doubles them.
pub const MAX_ROUTES: u64 = 1 << 12;

/// Failures in all ranges, lists and storms of a scenario together.
pub const MAX_STORM_PAGES: u64 = 1 << 22;

/// 4096-byte pages that one `madvise` may fail.
pub const MAX_MADVISE_PAGES: u64 = 1 << 12;
