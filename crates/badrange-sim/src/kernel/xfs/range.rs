/// What is lost of a filesystem's device, in sectors of 512 bytes. May hold no sector at all, and
/// may reach beyond the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) sector: u64,
    pub(super) sectors: u64,
}

/// From a range of a DAX device, (first byte, bytes), to the filesystem's device, which begins at
/// byte `start` of it and has `size` bytes. `None` when nothing of the device is touched.
///
/// KERNEL: `xfs_dax_notify_failure()` and its helpers, wrapping 64-bit arithmetic included.
/// Two deliberate oddities. The clip at the end compares an offset that is relative to the device
/// already with an end that is not, so in a partition it clips too late or not at all. And the
/// first sector is rounded up like the number of sectors (`BTOBB`).
pub(super) fn translate((offset, len): (u64, u64), start: u64, size: u64) -> Option<Span> {
    let last = start.wrapping_add(size).wrapping_sub(1);
    let whole = offset == 0 && len == u64::MAX;
    let (mut offset, mut len) = if whole { (start, size) } else { (offset, len) };
    if offset.wrapping_add(len).wrapping_sub(1) < start || offset > last {
        return None;
    }
    if offset > start {
        offset = offset.wrapping_sub(start);
    } else {
        len = len.wrapping_sub(start.wrapping_sub(offset));
        offset = 0;
    }
    if offset.wrapping_add(len).wrapping_sub(1) > last {
        len = last.wrapping_sub(offset).wrapping_add(1);
    }
    let round_up = |bytes: u64| bytes.wrapping_add(511) / 512;
    Some(Span { sector: round_up(offset), sectors: round_up(len) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn span(sector: u64, sectors: u64) -> Option<Span> {
        Some(Span { sector, sectors })
    }

    #[test]
    fn one_page_inside_and_just_outside() {
        assert_eq!(translate((0x12a_b000, 4096), 0, GIB), span(38_232, 8));
        assert_eq!(translate((0x13a_b000, 4096), 1 << 20, GIB), span(38_232, 8));
        assert_eq!(translate(((1 << 20) - 4096, 4096), 1 << 20, GIB), None);
        assert_eq!(translate((1 << 20, 4096), 1 << 20, GIB), span(0, 8));
        assert_eq!(translate(((1 << 20) + GIB - 4096, 4096), 1 << 20, GIB), span(2_097_144, 8));
        assert_eq!(translate(((1 << 20) + GIB, 4096), 1 << 20, GIB), None);
    }

    #[test]
    fn a_range_that_begins_before_the_device_is_clipped() {
        assert_eq!(translate((0, (1 << 20) + 8192), 1 << 20, GIB), span(0, 16));
    }

    #[test]
    fn a_whole_disk_is_clipped_at_its_end_and_a_partition_is_not() {
        assert_eq!(translate((GIB - 4096, GIB), 0, GIB), span(2_097_144, 8));
        // 0.5 GiB into the device, and 1.5 GiB long instead of 0.5.
        let half = GIB / 2;
        assert_eq!(translate((GIB + half, 2 * GIB), GIB, GIB), span(half / 512, 3 * half / 512));
        assert_eq!(translate((GIB + half, GIB), GIB, GIB), span(half / 512, GIB / 512));
    }

    #[test]
    fn everything_is_the_device() {
        assert_eq!(translate((0, u64::MAX), 1 << 20, GIB), span(0, GIB / 512));
    }

    #[test]
    fn a_range_that_wraps_is_outside() {
        assert_eq!(translate((u64::MAX - 4095, 8192), 0, GIB), None);
        assert_eq!(translate((u64::MAX - 4095, 8192), 1 << 20, GIB), None);
    }

    #[test]
    fn starts_are_rounded_up() {
        assert_eq!(translate((100, 300), 0, GIB), span(1, 1));
        assert_eq!(translate((98_816, 0), 0, GIB), span(193, 0));
    }
}
