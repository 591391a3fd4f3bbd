//! ATA taskfiles: `41/40:00:90:2b:a9/00:00:73:00:00/40`.

/// A taskfile as the kernel prints it: command or status, five registers, the same five of the
/// previous content (high order bytes), and the device register.
///
/// # Kernel
/// `ata_eh_link_report`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Taskfile {
    first: u8,
    low: [u8; 5],
    high: [u8; 5],
    device: u8,
}

impl Taskfile {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let byte = |t: &str| u8::from_str_radix(t, 16).ok().filter(|_| t.len() == 2);
        let mut parts = text.split('/');
        let first = byte(parts.next()?)?;
        let low = five(parts.next()?)?;
        let high = five(parts.next()?)?;
        let device = byte(parts.next()?)?;
        parts.next().is_none().then_some(Self { first, low, high, device })
    }

    /// The address: 48 bits, or 28 of which four stand in the device register.
    const fn address(&self, wide: bool) -> u64 {
        let [_, _, l0, l1, l2] = self.low;
        let [_, _, h0, h1, h2] = self.high;
        if wide {
            u64::from_le_bytes([l0, l1, l2, h0, h1, h2, 0, 0])
        } else {
            u64::from_le_bytes([l0, l1, l2, self.device & 0xf, 0, 0, 0, 0])
        }
    }

    /// First logical block and blocks of a command that reads, writes or verifies.
    pub(super) fn transfer(&self) -> Option<(u64, u64)> {
        let [feature, count, ..] = self.low;
        let [high_feature, high_count, ..] = self.high;
        let or = |n: u64, whole: u64| if n == 0 { whole } else { n };
        match self.first {
            // READ, WRITE and VERIFY SECTORS, MULTIPLE and DMA, 28 bits.
            0x20 | 0x21 | 0x30 | 0x40 | 0xc4 | 0xc5 | 0xc8 | 0xca => {
                Some((self.address(false), or(u64::from(count), 256)))
            }
            // The same with 48 bits.
            0x24 | 0x25 | 0x29 | 0x34 | 0x35 | 0x39 | 0x3d | 0x42 | 0xce => {
                let blocks = u64::from(u16::from_le_bytes([count, high_count]));
                Some((self.address(true), or(blocks, 65536)))
            }
            // Queued: the count stands in the feature registers.
            0x60 | 0x61 => {
                let blocks = u64::from(u16::from_le_bytes([feature, high_feature]));
                Some((self.address(true), or(blocks, 65536)))
            }
            _ => None,
        }
    }

    /// The block that a result names as the first bad one. Bits 24 to 27 stand in the device
    /// register for 28-bit commands, which leave the high order bytes alone.
    pub(super) const fn failed_at(&self) -> u64 {
        self.address(matches!(self.high, [_, _, h0, h1, h2] if h0 != 0 || h1 != 0 || h2 != 0))
    }
}

fn five(text: &str) -> Option<[u8; 5]> {
    let mut bytes = [0; 5];
    let mut words = text.split(':');
    for byte in &mut bytes {
        let word = words.next().filter(|w| w.len() == 2)?;
        *byte = u8::from_str_radix(word, 16).ok()?;
    }
    words.next().is_none().then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transfer(text: &str) -> Option<(u64, u64)> {
        Taskfile::parse(text)?.transfer()
    }

    #[test]
    fn registers_are_put_together() {
        // READ DMA of 8 sectors at 0x138e0, 80096, as captured.
        assert_eq!(transfer("c8/00:08:e0:38:01/00:00:00:00:00/e0"), Some((80096, 8)));
        // Zero means 256 there, and bits 24 to 27 are in the device register.
        assert_eq!(transfer("c8/00:00:90:38:01/00:00:00:00:00/e1"), Some((0x0101_3890, 256)));
        // READ DMA EXT and READ FPDMA QUEUED of 8 at 0x73a92b90.
        assert_eq!(transfer("25/00:08:90:2b:a9/00:00:73:00:00/e0"), Some((0x73a9_2b90, 8)));
        assert_eq!(transfer("60/08:00:90:2b:a9/00:00:73:00:00/40"), Some((0x73a9_2b90, 8)));
        // IDENTIFY DEVICE names no block.
        assert_eq!(transfer("ec/00:01:00:00:00/00:00:00:00:00/a0"), None);
        let result = Taskfile::parse("41/40:00:90:2b:a9/00:00:73:00:00/40").unwrap();
        assert_eq!(result.failed_at(), 1_940_466_576);
        let result = Taskfile::parse("51/40:00:90:2b:a9/00:00:00:00:00/e3").unwrap();
        assert_eq!(result.failed_at(), 0x03a9_2b90);
    }

    #[test]
    fn what_is_no_taskfile() {
        for text in ["", "c8", "c8/00:08:e0:38/00:00:00:00:00/e0", "c8/00:08:e0:38:01/00/e0/1"] {
            assert_eq!(Taskfile::parse(text), None, "{text}");
        }
    }
}
