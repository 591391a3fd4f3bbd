//! Numbers of bytes, units of bytes, and the buffers that hold them.

use core::ops::Range;

use badrange_core::{DevOffset, Extent};

/// How many bytes of memory, as a number of bytes of a device. No buffer is longer than 64 bits say.
pub(crate) fn count(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// A number of bytes of a device, as an index of memory. What lies beyond every address is as good
/// as the last address: nothing is there.
pub(crate) fn index(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// A number rounded down to a multiple of a power of two.
pub(crate) const fn down(number: u64, unit: u64) -> u64 {
    // NO-OVERFLOW: the negative of a power of two is the mask of its multiples.
    number & unit.wrapping_neg()
}

/// The units that a range touches, in bytes; a unit is a power of two. The last unit of the 64-bit
/// scale, which has no end there, is taken to end with the scale.
pub(crate) fn units(range: Extent, unit: u64) -> Extent {
    let start = DevOffset::new(down(range.start().get(), unit));
    let end = range.end().get().checked_next_multiple_of(unit).unwrap_or(u64::MAX);
    let units = Extent::from_bounds(start, DevOffset::new(end));
    debug_assert!(units.is_ok(), "units hold what touches them");
    units.unwrap_or(range)
}

/// Where a part of a range is in a buffer whose first byte is the byte `from` of the device.
pub(crate) fn place(from: DevOffset, part: Extent) -> Range<usize> {
    debug_assert!(from <= part.start(), "a buffer holds the parts of its range");
    let place = |at: DevOffset| index(at.get().saturating_sub(from.get()));
    place(part.start())..place(part.end())
}

/// A part of a range in the buffer of the range, which begins at the byte `from` of the device.
pub(crate) fn part(from: DevOffset, part: Extent, buf: &[u8]) -> &[u8] {
    let bytes = buf.get(place(from, part));
    debug_assert!(bytes.is_some(), "a buffer is as long as its range");
    bytes.unwrap_or_default()
}

/// [`part`], to be changed.
pub(crate) fn part_mut(from: DevOffset, part: Extent, buf: &mut [u8]) -> &mut [u8] {
    let bytes = buf.get_mut(place(from, part));
    debug_assert!(bytes.is_some(), "a buffer is as long as its range");
    bytes.unwrap_or_default()
}
